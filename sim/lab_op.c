/* sim/lab_op.c - operations as JSON (see sim/lab_op.h). */
#include "sim/lab_op.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include "core/fmt.h"
#include "sim/lab_json.h"

static const uint16_t op_kinds[] = {FSOP_MKNOD,       FSOP_MKDIR,    FSOP_SYMLINK,  FSOP_LINK,
                                    FSOP_UNLINK,      FSOP_RMDIR,    FSOP_RENAME,   FSOP_SETATTR,
                                    FSOP_SETXATTR,    FSOP_GETXATTR, FSOP_LOOKUP,   FSOP_GETATTR,
                                    FSOP_REMOVEXATTR, FSOP_READDIR,  FSOP_READLINK, FSOP_OPEN,
                                    FSOP_ACCESS,      LAB_OP_SET,    LAB_OP_CAS,    LAB_OP_GET};

static const char *const step_names[LAB_STEP_KINDS] = {"read", "write", "append", "sync",
                                                       ";",    "wait",  "ask",    "again"};

const char *lab_op_kind_name(uint16_t kind)
{
    return kind == LAB_OP_SET   ? "set"
           : kind == LAB_OP_CAS ? "cas"
           : kind == LAB_OP_GET ? "get"
                                : fsop_kind_name(kind);
}

bool lab_op_is_kind(uint16_t kind)
{
    for (size_t i = 0; i < ARRAY_LEN(op_kinds); i++)
        if (op_kinds[i] == kind)
            return true;
    return false;
}

bool lab_op_step_add(struct lab_op *op, const struct lab_step *s)
{
    if (op->n_steps == LAB_OP_STEPS)
        return false;
    op->steps[op->n_steps++] = *s;
    return true;
}

struct lab_op *lab_ops_add(struct lab_ops *l)
{
    if (l->n == LAB_OPS_MAX)
        return NULL;
    if (l->n == l->cap) {
        uint32_t cap = l->cap ? 2 * l->cap : 256;
        struct lab_op *to = realloc(l->op, cap * sizeof *to);
        if (!to)
            return NULL;
        l->op = to;
        l->cap = cap;
    }
    struct lab_op *op = &l->op[l->n++];
    memset(op, 0, sizeof *op);
    return op;
}

static int op_order(const void *a, const void *b)
{
    const struct lab_op *x = a, *y = b;
    if (x->at_ns != y->at_ns)
        return x->at_ns < y->at_ns ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

void lab_ops_sort(struct lab_ops *l)
{
    for (uint32_t i = 0; i < l->n; i++)
        l->op[i].order = i;
    if (l->n)
        qsort(l->op, l->n, sizeof *l->op, op_order);
    for (uint32_t i = 0; i < l->n; i++)
        l->op[i].order = i;
}

void lab_ops_free(struct lab_ops *l)
{
    free(l->op);
    *l = (struct lab_ops){NULL, 0, 0};
}

/* ---- text ---- */

size_t lab_op_time(int64_t ns, char *ret, size_t cap)
{
    static const struct {
        int64_t ns;
        const char *unit;
    } units[] = {{1000000000, "s"}, {1000000, "ms"}, {1000, "us"}};
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        char digits[16];
        if (ns < units[i].ns && i + 1 < ARRAY_LEN(units))
            continue;
        size_t n = fmt_into(digits, sizeof digits, "%09lld",
                            (long long)(ns % units[i].ns * (1000000000 / units[i].ns)));
        while (n && digits[n - 1] == '0')
            digits[--n] = 0;
        return fmt_into(ret, cap, "%lld%s%s%s", (long long)(ns / units[i].ns), n ? "." : "", digits,
                        units[i].unit);
    }
    return 0;
}

static void steps_write(const struct lab_op *op, FILE *to)
{
    for (uint32_t i = 0; i < op->n_steps; i++) {
        const struct lab_step *s = &op->steps[i];
        char wait[40];
        lab_op_time(s->wait_ns, wait, sizeof wait);
        bool again = s->kind == LAB_STEP_AGAIN, reopen = s->kind == LAB_STEP_REOPEN;
        bool first = i == 0 || op->steps[i - 1].kind == LAB_STEP_REOPEN;
        fputs(reopen ? "" : first ? "" : ", ", to);
        if ((s->wait_ns && !again) || s->kind == LAB_STEP_WAIT)
            fprintf(to, "wait %s%s", wait, s->kind == LAB_STEP_WAIT || reopen ? "" : ", ");
        if (s->kind <= LAB_STEP_APPEND)
            fprintf(to, "%s %llu+%u", step_names[s->kind], (unsigned long long)s->off, s->len);
        else if (s->kind == LAB_STEP_ASK)
            fprintf(to, "ask %llu", (unsigned long long)s->off);
        else if (again)
            fprintf(to, "again %llu %s", (unsigned long long)s->off, wait);
        else if (s->kind != LAB_STEP_WAIT)
            fprintf(to, "%s%s", step_names[s->kind], reopen ? " " : "");
        if (s->fill)
            fprintf(to, " fill %llu", (unsigned long long)s->fill);
    }
}

static void field(FILE *to, const char *name, uint64_t v)
{
    if (v)
        fprintf(to, ", \"%s\": %llu", name, (unsigned long long)v);
}

static void text(FILE *to, const char *name, const char *v)
{
    if (!*v)
        return;
    fprintf(to, ", \"%s\": ", name);
    lab_json_string(to, v);
}

void lab_op_write(const struct lab_op *op, FILE *to)
{
    char at[40];
    lab_op_time(op->at_ns, at, sizeof at);
    fprintf(to, "{\"at\": \"%s\", \"by\": \"c%u.%u\", \"do\": \"%s\"", at, op->client + 1,
            op->thread, lab_op_kind_name(op->kind));
    text(to, "in", op->in);
    text(to, "name", op->name);
    text(to, "to", op->to);
    text(to, "as", op->as);
    text(to, "data", op->data);
    field(to, "user", op->user);
    field(to, "mode", op->mode);
    field(to, "flags", op->flags);
    field(to, "valid", op->valid);
    field(to, "size", op->size);
    if (op->stamp)
        fprintf(to, ", \"stamp\": \"%llu\"", (unsigned long long)op->stamp);
    field(to, "key", op->key);
    if (op->n_steps) {
        fprintf(to, ", \"steps\": \"");
        steps_write(op, to);
        fputc('"', to);
    }
    fputc('}', to);
}

/* ---- parsing ---- */

static const char *skip(const char *p)
{
    while (*p == ' ')
        p++;
    return p;
}

static bool number(const char **p, uint64_t *ret_v)
{
    const char *at = skip(*p);
    uint64_t v = 0;
    if (*at < '0' || *at > '9')
        return false;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*at - '0'), &v))
            return false;
    }
    *ret_v = v;
    *p = at;
    return true;
}

static bool time_text(const char **p, int64_t *ret_ns)
{
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = {{"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}, {"", 1}};
    uint64_t v, scale = 1, part = 0;
    if (!number(p, &v))
        return false;
    if (**p == '.')
        for ((*p)++; **p >= '0' && **p <= '9' && scale < 1000000000; (*p)++) {
            part = 10 * part + (uint64_t)(**p - '0');
            scale *= 10;
        }
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        size_t n = strlen(units[i].unit);
        if (strncmp(*p, units[i].unit, n) != 0)
            continue;
        if (v > (uint64_t)INT64_MAX / 2 / units[i].ns)
            return false;
        *ret_ns = (int64_t)(v * units[i].ns + part * units[i].ns / scale);
        *p += n;
        return true;
    }
    return false;
}

static bool word(const char **p, const char *w)
{
    const char *at = skip(*p);
    size_t n = strlen(w);
    if (strncmp(at, w, n) != 0 || (*w != ';' && at[n] >= 'a' && at[n] <= 'z'))
        return false;
    *p = at + n;
    return true;
}

static bool step_body(const char **p, struct lab_step *s)
{
    uint64_t len = 0;
    switch (s->kind) {
    case LAB_STEP_READ:
    case LAB_STEP_WRITE:
    case LAB_STEP_APPEND:
        if (!number(p, &s->off) || *(*p)++ != '+' || !number(p, &len) || len > 1 << 22)
            return false;
        s->len = (uint32_t)len;
        return !word(p, "fill") || number(p, &s->fill);
    case LAB_STEP_ASK:
        return number(p, &s->off) && s->off < 64;
    case LAB_STEP_AGAIN:
        return number(p, &s->off) && s->off < 64 && time_text(p, &s->wait_ns);
    default:
        return true;
    }
}

int lab_op_steps_parse(struct lab_op *op, const char *p)
{
    int64_t wait_ns = 0;
    bool waits = false;
    op->n_steps = 0;
    for (p = skip(p); *p; p = skip(p)) {
        struct lab_step s = {.kind = LAB_STEP_READ};
        while (s.kind < LAB_STEP_KINDS && !word(&p, step_names[s.kind]))
            s.kind++;
        if (s.kind == LAB_STEP_KINDS)
            return E_CONFIG;
        if (s.kind == LAB_STEP_WAIT && !time_text(&p, &wait_ns))
            return E_CONFIG;
        s.wait_ns = wait_ns;
        p = skip(p);
        waits = s.kind == LAB_STEP_WAIT;
        bool comma = *p == ',', last = !*p;
        const char *next = comma ? skip(p + 1) : p;
        if (waits && comma && strncmp(next, "wait", 4) != 0) { /* it belongs to what follows */
            p = next;
            continue;
        }
        if (!step_body(&p, &s) || !lab_op_step_add(op, &s))
            return E_CONFIG;
        wait_ns = 0;
        waits = false;
        p = skip(p);
        last = !*p;
        if (*p == ',')
            p++;
        else if (!last && *p != ';' && s.kind != LAB_STEP_REOPEN)
            return E_CONFIG;
    }
    return waits ? E_CONFIG : 0;
}

static bool by_parse(struct lab_op *op, const char *p)
{
    uint64_t c, t;
    if (*p++ != 'c' || !number(&p, &c) || *p++ != '.' || !number(&p, &t) || *p)
        return false;
    op->client = (uint32_t)c - 1;
    op->thread = (uint32_t)t;
    return c >= 1 && c <= 4096 && t < 4096;
}

static bool kind_parse(struct lab_op *op, const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(op_kinds); i++)
        if (!strcmp(name, lab_op_kind_name(op_kinds[i]))) {
            op->kind = op_kinds[i];
            return true;
        }
    return false;
}

static bool copy(char *to, size_t cap, const char *v)
{
    return fmt_into(to, cap, "%s", v) == strlen(v);
}

/* ret: 1 set, 0 a bad value, -1 there is no such field */
static int text_field(struct lab_op *op, const char *name, const char *v)
{
    const char *p = v;
    if (!strcmp(name, "at") && time_text(&p, &op->at_ns))
        return *p == 0;
    if (!strcmp(name, "stamp") && number(&p, &op->stamp))
        return *p == 0;
    if (!strcmp(name, "by"))
        return by_parse(op, v);
    if (!strcmp(name, "do"))
        return kind_parse(op, v);
    if (!strcmp(name, "in"))
        return copy(op->in, sizeof op->in, v);
    if (!strcmp(name, "to"))
        return copy(op->to, sizeof op->to, v);
    if (!strcmp(name, "name"))
        return copy(op->name, sizeof op->name, v);
    if (!strcmp(name, "as"))
        return copy(op->as, sizeof op->as, v);
    if (!strcmp(name, "data"))
        return copy(op->data, sizeof op->data, v);
    if (!strcmp(name, "steps"))
        return lab_op_steps_parse(op, v) == 0;
    return -1;
}

static int number_field(struct lab_op *op, const char *name, uint64_t v)
{
    static const struct {
        const char *name;
        size_t at;
    } fields[] = {{"user", offsetof(struct lab_op, user)},
                  {"mode", offsetof(struct lab_op, mode)},
                  {"flags", offsetof(struct lab_op, flags)},
                  {"valid", offsetof(struct lab_op, valid)},
                  {"key", offsetof(struct lab_op, key)}};
    if (!strcmp(name, "at")) {
        op->at_ns = (int64_t)v;
        return 1;
    }
    if (!strcmp(name, "size")) {
        op->size = v;
        return 1;
    }
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (strcmp(name, fields[i].name) != 0)
            continue;
        *(uint32_t *)(void *)((char *)op + fields[i].at) = (uint32_t)v;
        return v <= UINT32_MAX;
    }
    return -1;
}

int lab_op_parse(struct lab_op *op, const struct cJSON *j, char *ret_why, size_t cap)
{
    const cJSON *f;
    memset(op, 0, sizeof *op);
    op->client = UINT32_MAX;
    op->at_ns = -1;
    op->kind = UINT16_MAX;
    cJSON_ArrayForEach(f, j)
    {
        bool in_range = cJSON_IsNumber(f) && f->valuedouble >= 0 && f->valuedouble < 9e15;
        int ok = cJSON_IsString(f) ? text_field(op, f->string, f->valuestring)
                 : in_range        ? number_field(op, f->string, (uint64_t)f->valuedouble)
                                   : 0;
        if (ok > 0)
            continue;
        fmt_into(ret_why, cap,
                 ok ? "operations: unknown key \"%s\" (at, by, do, in, name, to, as, "
                      "data, user, mode, flags, valid, size, stamp, key, steps)"
                    : "operations: bad value of \"%s\"",
                 f->string);
        return E_CONFIG;
    }
    if (cJSON_IsObject(j) && op->at_ns >= 0 && op->client != UINT32_MAX && op->kind != UINT16_MAX)
        return 0;
    fmt_into(ret_why, cap, "operations: each needs \"at\", \"by\" (like c1.0) and \"do\"");
    return E_CONFIG;
}
