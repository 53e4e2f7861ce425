/* journal/log_meta.c - see log_meta.h. */
#include "journal/log_meta.h"
#include "core/fmt.h"
#include "core/mutant.h"
#include "core/sometimes.h"

enum { LOG_META_BYTES = 2 * LOG_BLOCK };

/* the better of the two copies, of which len bytes are there */
static int log_meta_check(struct log_meta_file *f, int64_t len)
{
    uint32_t good = 0;
    for (uint32_t i = 0; i < 2 && (i + 1) * LOG_BLOCK <= len; i++) {
        struct log_meta m;
        int ret = log_format_check(f->block + i * LOG_BLOCK, LOG_BLOCK, LOG_META_MAGIC);
        if (ret == E_VERSION)
            return ret;
        if (ret)
            continue;
        memcpy(&m, f->block + i * LOG_BLOCK, sizeof m);
        f->is_single = good == 0 || m.counter != f->meta.counter;
        if (good == 0 || m.counter > f->meta.counter) {
            f->meta = m;
            f->worse = !i;
        }
        good++;
    }
    if (good == 1)
        fmt_log(f->env, ENV_LOG_INFO,
                "journal: '%s%s%s': one of its two copies does not check: a crash while it was "
                "written, or damage. The other one has all that was told.",
                env_disk(f->env, ""), *env_disk(f->env, "") ? "/" : "", f->name);
    if (f->is_single)
        SOMETIMES(META_SINGLE);
    return good ? 0 : E_NODATA;
}

static void log_meta_begin(struct log_meta_file *f)
{
    struct env_file *file = f->file;
    switch (f->state) {
    case LOG_META_READ_OPEN:
        env_open(f->env, f->name, ENV_O_READ | ENV_O_DIRECT, &f->file, &f->op);
        return;
    case LOG_META_READ:
        env_read(f->file, f->block, LOG_META_BYTES, 0, &f->op);
        return;
    case LOG_META_READ_FIRST:
    case LOG_META_READ_SECOND:
        env_read(file, f->block + (f->state == LOG_META_READ_SECOND) * LOG_BLOCK, LOG_BLOCK,
                 (f->state == LOG_META_READ_SECOND) * LOG_BLOCK, &f->op);
        return;
    case LOG_META_READ_CLOSE:
    case LOG_META_CLOSE:
        f->file = NULL;
        env_close(file, &f->op);
        return;
    case LOG_META_OPEN:
        env_open(f->env, f->is_new ? f->new_name : f->name,
                 ENV_O_WRITE | ENV_O_DIRECT |
                     (f->is_new ? ENV_O_CREATE | ENV_O_TRUNC : ENV_O_DSYNC),
                 &f->file, &f->op);
        return;
    case LOG_META_WRITE:
        f->meta.counter++;
        memset(f->block, 0, LOG_META_BYTES);
        memcpy(f->block, &f->meta, sizeof f->meta);
        log_format_seal(f->block, LOG_BLOCK, LOG_META_MAGIC);
        memcpy(f->block + LOG_BLOCK, f->block, LOG_BLOCK);
        if (f->is_new)
            env_write(file, f->block, LOG_META_BYTES, 0, &f->op);
        else
            env_write(file, f->block, LOG_BLOCK, f->worse * LOG_BLOCK, &f->op);
        return;
    case LOG_META_WRITE_OTHER:
        env_write(file, f->block, LOG_BLOCK, !f->worse * LOG_BLOCK, &f->op);
        return;
    case LOG_META_SYNC:
        env_sync(file, &f->op);
        return;
    case LOG_META_RENAME:
        env_rename(f->env, f->new_name, f->name, &f->op);
        return;
    case LOG_META_REST:
        break;
    }
    ASSERT(false);
}

static void log_meta_end(struct log_meta_file *f)
{
    struct env_op *op = f->user;
    f->state = LOG_META_REST;
    f->user = NULL;
    op->ret = f->ret;
    op->done(op);
}

/* what follows when all is well */
static enum log_meta_state log_meta_next(const struct log_meta_file *f)
{
    switch (f->state) {
    case LOG_META_READ_OPEN:
        return LOG_META_READ;
    case LOG_META_READ:
        return f->unread ? LOG_META_READ_FIRST : LOG_META_READ_CLOSE;
    case LOG_META_READ_FIRST:
        return LOG_META_READ_SECOND;
    case LOG_META_READ_SECOND:
        return LOG_META_READ_CLOSE;
    case LOG_META_OPEN:
        return LOG_META_WRITE;
    case LOG_META_WRITE:
        if (!f->is_new && !MUTANT(RAFT_META_ONCE))
            return LOG_META_WRITE_OTHER;
        return f->is_new ? LOG_META_SYNC : f->keeps_open ? LOG_META_REST : LOG_META_CLOSE;
    case LOG_META_WRITE_OTHER:
        return f->keeps_open ? LOG_META_REST : LOG_META_CLOSE;
    case LOG_META_SYNC:
        return LOG_META_CLOSE;
    case LOG_META_CLOSE:
        return f->is_new ? LOG_META_RENAME : LOG_META_REST;
    case LOG_META_READ_CLOSE:
    case LOG_META_RENAME:
    case LOG_META_REST:
        break;
    }
    return LOG_META_REST;
}

/* Both copies together, or one by one if that failed: the place of one may be unreadable. */
static void log_meta_was_read(struct log_meta_file *f)
{
    if (f->state == LOG_META_READ && f->op.ret < 0) {
        f->unread = (int)f->op.ret;
        return;
    }
    bool second = f->state == LOG_META_READ_SECOND;
    if (f->state != LOG_META_READ && f->op.ret != LOG_BLOCK)
        memset(f->block + second * LOG_BLOCK, 0, LOG_BLOCK);
    if (f->state == LOG_META_READ_FIRST)
        return;
    f->ret = log_meta_check(f, second ? LOG_META_BYTES : f->op.ret);
    if (f->ret == E_NODATA && f->unread)
        f->ret = f->unread;
}

static void log_meta_done(struct env_op *op)
{
    struct log_meta_file *f = container_of(op, struct log_meta_file, op);
    bool reads = f->state <= LOG_META_READ_CLOSE;
    if (f->state >= LOG_META_READ && f->state <= LOG_META_READ_SECOND)
        log_meta_was_read(f);
    else if (op->ret < 0 && f->ret == 0)
        f->ret = (int)op->ret;
    if (f->state == LOG_META_READ_OPEN && op->ret == E_NOENT) {
        f->is_new = true;
        f->ret = E_NODATA;
    }
    bool opening = f->state == LOG_META_READ_OPEN || f->state == LOG_META_OPEN;
    if (opening && op->ret < 0)
        f->file = NULL;
    if (f->ret == 0)
        f->state = log_meta_next(f);
    else if (f->file)
        f->state = reads ? LOG_META_READ_CLOSE : LOG_META_CLOSE;
    else
        f->state = LOG_META_REST;
    if (f->state != LOG_META_REST) {
        log_meta_begin(f);
        return;
    }
    if (!reads && f->ret == 0) {
        f->is_new = f->is_single = false;
        f->worse = MUTANT(RAFT_META_ONCE) ? !f->worse : 0;
    }
    log_meta_end(f);
}

bool log_meta_init(struct log_meta_file *f, struct env *e, struct mem *m, const char *dir)
{
    f->env = e;
    f->mem = m;
    f->op.done = log_meta_done;
    fmt_into(f->name, sizeof f->name, "%sjournal.meta", dir);
    fmt_into(f->new_name, sizeof f->new_name, "%sjournal.new", dir);
    f->memory = mem_zalloc(m, LOG_META_BYTES + LOG_BLOCK);
    if (!f->memory)
        return false;
    f->block = f->memory + (-(uintptr_t)f->memory & (LOG_BLOCK - 1));
    return true;
}

void log_meta_drop(struct log_meta_file *f)
{
    ASSERT(log_meta_at_rest(f) && !f->file);
    mem_free(f->mem, f->memory, LOG_META_BYTES + LOG_BLOCK);
}

static void log_meta_start(struct log_meta_file *f, enum log_meta_state state, struct env_op *op)
{
    ASSERT(log_meta_at_rest(f));
    f->state = state;
    f->user = op;
    f->ret = f->unread = 0;
    log_meta_begin(f);
}

void log_meta_read(struct log_meta_file *f, struct env_op *op)
{
    log_meta_start(f, LOG_META_READ_OPEN, op);
}

void log_meta_save(struct log_meta_file *f, struct env_op *op)
{
    log_meta_start(f, f->file ? LOG_META_WRITE : LOG_META_OPEN, op);
}

void log_meta_close(struct log_meta_file *f, struct env_op *op)
{
    if (f->file) {
        f->keeps_open = false;
        log_meta_start(f, LOG_META_CLOSE, op);
    } else {
        env_reply(f->env, op, 0);
    }
}

/* why a directory is not the one that was asked for; to cap 256 */
static const char *log_meta_wrong(const struct log_meta *m, uint64_t cluster_hi,
                                  uint64_t cluster_lo, uint32_t member, char *to)
{
    if (member != m->member && (!member || !m->member))
        return !member ? "this is the journal of a member of a group: journal.type must be raft."
                       : "this is a single master's journal: journal.type must be local "
                         "(`tarn journal backup --from` and `restore` make a group of it).";
    if (member != m->member)
        fmt_into(to, 256,
                 "this is the journal of member %u, and journal.id is %u. Start each member with "
                 "its own number and its own master.dir.",
                 m->member, member);
    else
        fmt_into(to, 256,
                 "this journal is of cluster %016llx%016llx, and %016llx%016llx is expected: it "
                 "belongs to another cluster. Name the right directory (master.dir), or set "
                 "cluster.id to the former.",
                 (unsigned long long)m->cluster_hi, (unsigned long long)m->cluster_lo,
                 (unsigned long long)cluster_hi, (unsigned long long)cluster_lo);
    return to;
}

int log_meta_identify(struct log_meta_file *f, int read, bool has_data, uint64_t cluster_hi,
                      uint64_t cluster_lo, uint32_t member)
{
    const char *say = NULL;
    char wrong[256];
    bool given = cluster_hi || cluster_lo;
    int ret = read;
    if (ret == E_NODATA && has_data) {
        ret = E_CORRUPT;
        say = "missing or damaged while a log is there. Restore it from a copy.";
    } else if (ret == E_NODATA && !given) {
        return E_NOENT;
    } else if (ret == E_NODATA) {
        ret = 0;
        f->is_new = true; /* also where one lies that was never finished */
        f->meta.cluster_hi = cluster_hi;
        f->meta.cluster_lo = cluster_lo;
        f->meta.member = member;
    } else if (ret == E_VERSION) {
        say = "written by a newer release: run that one.";
    } else if (ret == 0 &&
               (member != f->meta.member || (given && (cluster_hi != f->meta.cluster_hi ||
                                                       cluster_lo != f->meta.cluster_lo)))) {
        ret = E_CLUSTER;
        say = log_meta_wrong(&f->meta, cluster_hi, cluster_lo, member, wrong);
    }
    if (say)
        fmt_log(f->env, ENV_LOG_ERROR, "journal: '%s%s%s': %s Nothing was changed.",
                env_disk(f->env, ""), *env_disk(f->env, "") ? "/" : "", f->name, say);
    return ret;
}

bool log_meta_listed(const char *names, int64_t n, char *after, size_t cap)
{
    bool has_data = false;
    uint64_t number;
    for (const char *c = names; c < names + n; c += strlen(c) + 1) {
        fmt_into(after, cap, "%s", c);
        has_data |= log_format_name_parse(c, "wal-", &number) ||
                    log_format_name_parse(c, "image-", &number);
    }
    return has_data;
}
