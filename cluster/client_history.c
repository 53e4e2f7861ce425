/* cluster/client_history.c - what a client asks and is answered, as lines (see
 * cluster/client_history.h). */
#include "cluster/client_history.h"
#include "core/fmt.h"

enum { HISTORY_LINE = 4096, HISTORY_TEXT = 48 };

enum history_type { HISTORY_INVOKE, HISTORY_OK, HISTORY_FAIL, HISTORY_REFUSED, HISTORY_INFO };

enum history_f { HISTORY_READ, HISTORY_WRITE, HISTORY_CAS };

enum history_object { HISTORY_NAME, HISTORY_MODE, HISTORY_XATTR };

/* A value: null, a number, or bytes. */
struct history_value {
    bool is_there;
    uint64_t number;
    const void *bytes; /* NULL: the number */
    uint32_t len;
};

struct history_record {
    enum history_f f;
    enum history_object object;
    struct ino ino;
    const char *name;
    uint32_t name_len;
    struct history_value old, new;
};

/* --- a line --- */

static size_t history_bytes(char *to, size_t cap, const char *p, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        bool is_plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
        at += fmt_into(to + at, cap - at, is_plain ? "%c" : "\\u%04x", c);
    }
    return at;
}

static size_t history_value(char *to, size_t cap, const struct history_value *v)
{
    const char *p = v->bytes;
    bool is_text = v->len && v->len <= HISTORY_TEXT && *p != '#';
    for (uint32_t i = 0; is_text && i < v->len; i++)
        is_text = p[i] >= 0x20 && p[i] < 0x7f;
    if (!v->is_there)
        return fmt_into(to, cap, "null");
    if (!p)
        return fmt_into(to, cap, "%llu", (unsigned long long)v->number);
    if (!is_text)
        return fmt_into(to, cap, "\"#%u %016llx\"", v->len,
                        (unsigned long long)base_hash(p, v->len, 0));
    size_t at = fmt_into(to, cap, "\"");
    at += history_bytes(to + at, cap - at, p, v->len);
    return at + fmt_into(to + at, cap - at, "\"");
}

static void history_line(struct client_history *h, uint64_t process, enum history_type type,
                         const struct history_record *r)
{
    static const char *const types[] = {"invoke", "ok", "fail", "refused", "info"};
    static const char *const fs[] = {"read", "write", "cas"};
    static const char *const objects[] = {"name", "mode", "xattr"};
    char b[HISTORY_LINE];
    size_t at = fmt_into(b, sizeof b,
                         "{\"process\": %llu, \"type\": \"%s\", \"f\": \"%s\", \"key\": \"%s %llx",
                         (unsigned long long)process, types[type], fs[r->f], objects[r->object],
                         (unsigned long long)r->ino.v);
    if (r->object != HISTORY_MODE) {
        b[at++] = '/';
        at += history_bytes(b + at, sizeof b - at, r->name, r->name_len);
    }
    at += fmt_into(b + at, sizeof b - at, "\", \"value\": %s", r->f == HISTORY_CAS ? "[" : "");
    if (r->f == HISTORY_CAS) {
        at += history_value(b + at, sizeof b - at, &r->old);
        at += fmt_into(b + at, sizeof b - at, ", ");
    }
    at += history_value(b + at, sizeof b - at, &r->new);
    at += fmt_into(b + at, sizeof b - at, "%s, \"time\": %lld}\n", r->f == HISTORY_CAS ? "]" : "",
                   (long long)h->now_ns(h));
    h->put(h, b, at);
}

/* --- what an operation is, as operations on registers --- */

static struct history_record history_name(enum history_f f, struct ino dir, const char *name,
                                          uint32_t n, bool makes)
{
    struct history_value there = {.is_there = true, .number = 1}, none = {.is_there = false};
    return (struct history_record){.f = f,
                                   .object = HISTORY_NAME,
                                   .ino = dir,
                                   .name = name,
                                   .name_len = n,
                                   .old = makes ? none : there,
                                   .new = makes ? there : none};
}

static struct history_record history_xattr(const struct fsop *op)
{
    struct history_record r = {.f = HISTORY_WRITE,
                               .object = HISTORY_XATTR,
                               .ino = op->ino,
                               .name = op->name,
                               .name_len = op->name_len};
    if (op->kind == FSOP_GETXATTR)
        r.f = HISTORY_READ;
    if (op->kind != FSOP_SETXATTR)
        return r;
    if (op->flags & FSOP_F_XATTR_CREATE)
        r.f = HISTORY_CAS;
    r.new = (struct history_value){true, 0, op->data ? op->data : "", op->data_len};
    return r;
}

static bool history_is_same(const struct fsop *op)
{
    return op->ino.v == op->ino2.v && op->name_len == op->name2_len &&
           !memcmp(op->name, op->name2, op->name_len);
}

/* how many of two */
static unsigned history_records(const struct fsop *op, struct history_record *r)
{
    switch (op->kind) {
    case FSOP_MKNOD:
    case FSOP_MKDIR:
    case FSOP_SYMLINK:
        *r = history_name(HISTORY_CAS, op->ino, op->name, op->name_len, true);
        return 1;
    case FSOP_LINK:
        *r = history_name(HISTORY_CAS, op->ino2, op->name, op->name_len, true);
        return 1;
    case FSOP_UNLINK:
    case FSOP_RMDIR:
        *r = history_name(HISTORY_CAS, op->ino, op->name, op->name_len, false);
        return 1;
    case FSOP_RENAME:
        if (op->flags & FSOP_F_EXCHANGE || history_is_same(op))
            return 0;
        r[0] = history_name(HISTORY_CAS, op->ino, op->name, op->name_len, false);
        r[1] = history_name(op->flags & FSOP_F_NOREPLACE ? HISTORY_CAS : HISTORY_WRITE, op->ino2,
                            op->name2, op->name2_len, true);
        return 2;
    case FSOP_LOOKUP:
        *r = history_name(HISTORY_READ, op->ino, op->name, op->name_len, false);
        return 1;
    case FSOP_SETATTR:
        *r = (struct history_record){.f = HISTORY_WRITE,
                                     .object = HISTORY_MODE,
                                     .ino = op->ino,
                                     .new = {.is_there = true, .number = op->mode & 0777}};
        return (op->valid & FSOP_SET_MODE) != 0;
    case FSOP_GETATTR:
        *r = (struct history_record){.f = HISTORY_READ, .object = HISTORY_MODE, .ino = op->ino};
        return !op->size && !op->arg;
    case FSOP_SETXATTR:
    case FSOP_REMOVEXATTR:
    case FSOP_GETXATTR:
        *r = history_xattr(op);
        return 1;
    default:
        return 0;
    }
}

/* what the answer to a read says; false: nothing */
static bool history_seen(const struct client_req *r, int err, struct history_record *rec)
{
    const struct fsop_reply *rep = &r->reply;
    rec->new = (struct history_value){.is_there = !err};
    switch (rec->object) {
    case HISTORY_NAME:
        rec->new.number = 1;
        return !err || err == E_NOENT;
    case HISTORY_MODE:
        rec->new.number = rep->attr.mode & 0777;
        return !err;
    case HISTORY_XATTR:
        rec->new.bytes = rep->data ? rep->data : "";
        rec->new.len = rep->data_len;
        return !err || err == E_NODATA;
    }
    return false;
}

/* it cannot have happened, nor happen later */
static bool history_is_refusal(int err)
{
    switch (err) {
    case E_NOENT:
    case E_EXIST:
    case E_NOTDIR:
    case E_ISDIR:
    case E_NOTEMPTY:
    case E_PERM:
    case E_ACCES:
    case E_INVAL:
    case E_NAMETOOLONG:
    case E_XDEV:
    case E_ROFS:
    case E_NODATA:
    case E_2BIG:
        return true;
    default:
        return false;
    }
}

/* which of its records is `i`, and how did it end? */
static enum history_type history_end(const struct client_req *r, unsigned i,
                                     struct history_record *rec)
{
    const struct fsop *op = &r->fsop;
    const struct fsattr *a = &r->reply.attr;
    int err = r->reply.err;
    if (rec->f == HISTORY_READ)
        return history_seen(r, err, rec) ? HISTORY_OK : HISTORY_REFUSED;
    if (!err && op->kind == FSOP_RENAME && i == 0 && (a->mode & FSOP_S_IFMT) != FSOP_S_IFDIR &&
        a->nlink != 1)
        return HISTORY_INFO; /* two names of one file: nothing was done */
    if (!err)
        return HISTORY_OK;
    if (rec->f == HISTORY_CAS && rec->new.is_there &&err == E_EXIST &&
        (op->kind != FSOP_RENAME || i))
        return HISTORY_FAIL;
    if ((op->kind == FSOP_UNLINK || op->kind == FSOP_RMDIR) && err == E_NOENT)
        return HISTORY_FAIL;
    return history_is_refusal(err) ? HISTORY_REFUSED : HISTORY_INFO;
}

/* --- the tap --- */

static void history_asked(struct client_tap *t, struct client_req *r)
{
    struct client_history *h = container_of(t, struct client_history, tap);
    struct history_record rec[2];
    unsigned n = h->is_over ? 0 : history_records(&r->fsop, rec);
    r->tapped[0] = r->tapped[1] = 0;
    for (unsigned i = 0; i < n && !h->is_over; i++) {
        if (!h->n_free) {
            h->too_many(h);
            return;
        }
        uint16_t slot = h->free[--h->n_free];
        r->tapped[i] = (uint16_t)(slot + 1);
        history_line(h, h->process[slot], HISTORY_INVOKE, &rec[i]);
    }
}

static void history_answered(struct client_tap *t, struct client_req *r)
{
    struct client_history *h = container_of(t, struct client_history, tap);
    struct history_record rec[2];
    unsigned n = history_records(&r->fsop, rec);
    for (unsigned i = 0; i < n; i++) {
        if (!r->tapped[i])
            continue;
        uint16_t slot = (uint16_t)(r->tapped[i] - 1);
        enum history_type type = history_end(r, i, &rec[i]);
        if (!h->is_over)
            history_line(h, h->process[slot], type, &rec[i]);
        if (type == HISTORY_INFO) /* open for ever: its process asks nothing more */
            h->process[slot] += CLIENT_HISTORY_SLOTS;
        h->free[h->n_free++] = slot;
    }
}

void client_history_start(struct client_history *h, uint64_t base, const char *by)
{
    char line[1024], name[600];
    h->tap = (struct client_tap){history_asked, history_answered};
    h->is_over = false;
    h->n_free = CLIENT_HISTORY_SLOTS;
    for (unsigned i = 0; i < CLIENT_HISTORY_SLOTS; i++) {
        h->process[i] = base * 100000000 + i; /* below 10^18 */
        h->free[i] = (uint16_t)(CLIENT_HISTORY_SLOTS - 1 - i);
    }
    name[history_bytes(name, sizeof name, by, base_min_u64(strlen(by), 90))] = 0;
    h->put(h, line, fmt_into(line, sizeof line, "{\"start\": \"any\", \"by\": \"%s\"}\n", name));
}
