/* journal/log_meta.c - see log_meta.h. */
#include "journal/log_meta.h"
#include "core/fmt.h"
#include "core/mutant.h"
#include "core/sometimes.h"

enum { LOG_META_BYTES = 2 * LOG_BLOCK, LOG_META_MENDS = 3 };

/* what was read in the place of copy i, len bytes of it */
static void log_meta_look(struct log_meta_file *f, uint32_t i, int64_t len)
{
    struct log_meta_copy *c = &f->copy[i];
    const uint8_t *p = f->block + i * LOG_BLOCK;
    int ret = len < LOG_BLOCK ? E_CORRUPT : log_format_check(p, LOG_BLOCK, LOG_META_MAGIC);
    c->looks++;
    c->is_good = ret == 0;
    c->is_own = false;
    if (ret == E_VERSION)
        f->ret = ret;
    if (ret)
        return;
    memcpy(&c->meta, p, sizeof c->meta);
    bool is_said = c->meta.version >= 2 && c->meta.place && !MUTANT(RAFT_META_ASTRAY);
    c->is_own = !is_said || c->meta.place == i + 1;
}

/* a copy that is worth another look; 2: none */
static uint32_t log_meta_again(const struct log_meta_file *f)
{
    uint32_t i = 0;
    while (i < 2 && (f->copy[i].is_own || f->copy[i].looks >= LOG_META_LOOKS || f->ret))
        i++;
    return i;
}

static void log_meta_say(const struct log_meta_file *f, enum env_log level, const char *what)
{
    fmt_log(f->env, level, "journal: '%s%s%s': %s", env_disk(f->env, ""),
            *env_disk(f->env, "") ? "/" : "", f->name, what);
}

/* All that can be read has been: the better of the two. */
static int log_meta_check(struct log_meta_file *f)
{
    const struct log_meta_copy *c = f->copy;
    bool is_both = c[0].is_good && c[1].is_good;
    bool is_later = is_both && c[1].meta.counter > c[0].meta.counter;
    uint32_t best = !c[0].is_good || is_later;
    bool is_same = is_both && c[1].meta.counter == c[0].meta.counter;
    if (f->ret)
        return f->ret;
    if (!c[best].is_good)
        return f->unread ? f->unread : E_NODATA;
    if (is_same && c[0].is_own != c[1].is_own && c[0].meta.place == c[1].meta.place) {
        log_meta_say(f, ENV_LOG_ERROR,
                     "whichever of its two copies is read, the disk gives the same one. Nothing "
                     "was changed. Check the disk, and start again.");
        return E_IO;
    }
    f->meta = c[best].meta;
    f->is_single = !is_same || !c[0].is_own || !c[1].is_own;
    f->worse = !best;
    if (is_both && (!c[0].is_own || !c[1].is_own)) {
        log_meta_say(f, ENV_LOG_WARN,
                     "one of its two copies stands in the other's place: a write went astray. The "
                     "later one has all that was told. Check the disk.");
    } else if (!is_both) {
        log_meta_say(f, ENV_LOG_INFO,
                     "one of its two copies does not check: a crash while it was written, or "
                     "damage. The other one has all that was told.");
    }
    if (f->is_single)
        SOMETIMES(META_SINGLE);
    return 0;
}

/* Both copies of what is to be saved: what the owner has, or what was saved last. */
static void log_meta_put(struct log_meta_file *f, struct log_meta m)
{
    m.counter = ++f->meta.counter;
    memset(f->block, 0, LOG_META_BYTES);
    for (uint32_t i = 0; i < 2; i++) {
        m.place = i + 1;
        memcpy(f->block + i * LOG_BLOCK, &m, sizeof m);
        log_format_seal(f->block + i * LOG_BLOCK, LOG_BLOCK, LOG_META_MAGIC);
    }
}

static void log_meta_write(struct log_meta_file *f, uint32_t i)
{
    env_write(f->file, f->block + i * LOG_BLOCK, LOG_BLOCK, i * LOG_BLOCK, &f->op);
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
    case LOG_META_READ_ONE:
        env_read(file, f->block + f->one * LOG_BLOCK, LOG_BLOCK, f->one * LOG_BLOCK, &f->op);
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
        log_meta_put(f, f->meta);
        if (f->is_new)
            env_write(file, f->block, LOG_META_BYTES, 0, &f->op);
        else
            log_meta_write(f, f->worse);
        return;
    case LOG_META_WRITE_OTHER:
        log_meta_write(f, !f->worse);
        return;
    case LOG_META_SYNC:
        env_sync(file, &f->op);
        return;
    case LOG_META_RENAME:
        env_rename(f->env, f->new_name, f->name, &f->op);
        return;
    case LOG_META_MEND:
        log_meta_write(f, f->worse);
        return;
    case LOG_META_MEND_OTHER:
        log_meta_write(f, !f->worse);
        return;
    case LOG_META_REST:
        break;
    }
    ASSERT(false);
}

static void log_meta_go(struct log_meta_file *f, enum log_meta_state state)
{
    f->state = state;
    log_meta_begin(f);
}

static void log_meta_start(struct log_meta_file *f, enum log_meta_state state, struct env_op *op)
{
    ASSERT(!f->user);
    f->user = op;
    f->ret = f->unread = 0;
    if (f->state == LOG_META_MEND || f->state == LOG_META_MEND_OTHER ||
        (state == LOG_META_CLOSE && f->is_reading_back)) {
        f->wanted = state;
        return;
    }
    ASSERT(log_meta_at_rest(f));
    log_meta_go(f, state);
}

/* --- reading back --- */

static void log_meta_read_back(struct log_meta_file *f)
{
    if (f->is_reading_back || !f->file || MUTANT(RAFT_META_ONCE))
        return;
    f->is_reading_back = true;
    f->back_counter = f->meta.counter;
    env_read(f->file, f->back, LOG_META_BYTES, 0, &f->back_op);
}

/* true: something began that had to wait */
static bool log_meta_go_on(struct log_meta_file *f)
{
    enum log_meta_state wanted = f->wanted;
    bool may = f->state == LOG_META_REST || f->state == wanted;
    if (wanted == LOG_META_REST || !may || f->is_reading_back)
        return false;
    f->wanted = LOG_META_REST;
    log_meta_go(f, wanted);
    return true;
}

/* the place in which what was saved last does not stand as it should, and so the one that may be
 * written first; 2: none */
static uint32_t log_meta_astray(const struct log_meta_file *f)
{
    bool has[2], is_own[2];
    for (uint32_t i = 0; i < 2; i++) {
        const uint8_t *p = f->back + i * LOG_BLOCK;
        struct log_meta m;
        memcpy(&m, p, sizeof m);
        has[i] = !log_format_check(p, LOG_BLOCK, LOG_META_MAGIC) && m.counter == f->meta.counter;
        is_own[i] = !memcmp(p, f->block + i * LOG_BLOCK, LOG_BLOCK);
    }
    if (is_own[0] && is_own[1])
        return 2;
    return has[0] != has[1] ? has[0] : is_own[0];
}

static void log_meta_was_read_back(struct env_op *op)
{
    struct log_meta_file *f = container_of(op, struct log_meta_file, back_op);
    f->is_reading_back = false;
    if (log_meta_go_on(f) || f->state != LOG_META_REST)
        return;
    if (f->back_counter != f->meta.counter) {
        log_meta_read_back(f);
        return;
    }
    uint32_t astray = op->ret == LOG_META_BYTES ? log_meta_astray(f) : 2;
    if (astray == 2)
        return;
    f->worse = astray;
    if (f->mended++ >= LOG_META_MENDS)
        return;
    log_meta_say(f, ENV_LOG_WARN,
                 "a copy of it does not read back as it was written, and is written again. Check "
                 "the disk.");
    struct log_meta m; /* what the owner has may not be what was saved */
    memcpy(&m, f->block, sizeof m);
    log_meta_put(f, m);
    log_meta_go(f, LOG_META_MEND);
}

/* The place of which nobody knows what it holds is the first of the next save, too. */
static void log_meta_mended(struct log_meta_file *f)
{
    bool is_first = f->state == LOG_META_MEND;
    if (is_first && f->op.ret >= 0) {
        log_meta_go(f, LOG_META_MEND_OTHER);
        return;
    }
    f->worse = is_first ? f->worse : f->op.ret < 0 ? !f->worse : 0;
    f->state = LOG_META_REST;
    if (!log_meta_go_on(f))
        log_meta_read_back(f);
}

/* --- */

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
    case LOG_META_READ_ONE:
        return f->one < 2 ? LOG_META_READ_ONE : LOG_META_READ_CLOSE;
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
    case LOG_META_MEND:
    case LOG_META_MEND_OTHER:
    case LOG_META_REST:
        break;
    }
    return LOG_META_REST;
}

/* Both copies together, then each that is not as it should be by itself: the place of one may be
 * unreadable. */
static void log_meta_was_read(struct log_meta_file *f)
{
    int64_t n = f->op.ret;
    if (n < 0)
        f->unread = (int)n;
    if (f->state == LOG_META_READ_ONE) {
        log_meta_look(f, f->one, n);
    } else {
        log_meta_look(f, 0, n);
        log_meta_look(f, 1, n - LOG_BLOCK);
    }
    f->one = log_meta_again(f);
    if (f->one == 2)
        f->ret = log_meta_check(f);
}

static void log_meta_done(struct env_op *op)
{
    struct log_meta_file *f = container_of(op, struct log_meta_file, op);
    bool reads = f->state <= LOG_META_READ_CLOSE;
    if (f->state == LOG_META_MEND || f->state == LOG_META_MEND_OTHER) {
        log_meta_mended(f);
        return;
    }
    if (f->state == LOG_META_READ || f->state == LOG_META_READ_ONE)
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
    if (f->state == LOG_META_CLOSE && f->is_reading_back) {
        f->wanted = LOG_META_CLOSE;
        return;
    }
    if (f->state != LOG_META_REST) {
        log_meta_begin(f);
        return;
    }
    if (!reads && f->ret == 0) {
        f->is_new = f->is_single = false;
        f->worse = MUTANT(RAFT_META_ONCE) ? !f->worse : 0;
        f->mended = 0;
        log_meta_read_back(f);
    }
    log_meta_end(f);
}

bool log_meta_init(struct log_meta_file *f, struct env *e, struct mem *m, const char *dir)
{
    f->env = e;
    f->mem = m;
    f->op.done = log_meta_done;
    f->back_op.done = log_meta_was_read_back;
    fmt_into(f->name, sizeof f->name, "%sjournal.meta", dir);
    fmt_into(f->new_name, sizeof f->new_name, "%sjournal.new", dir);
    f->memory = mem_zalloc(m, 2 * LOG_META_BYTES + LOG_BLOCK);
    if (!f->memory)
        return false;
    f->block = f->memory + (-(uintptr_t)f->memory & (LOG_BLOCK - 1));
    f->back = f->block + LOG_META_BYTES;
    return true;
}

void log_meta_drop(struct log_meta_file *f)
{
    ASSERT(log_meta_at_rest(f) && !f->file);
    mem_free(f->mem, f->memory, 2 * LOG_META_BYTES + LOG_BLOCK);
}

void log_meta_read(struct log_meta_file *f, struct env_op *op)
{
    memset(f->copy, 0, sizeof f->copy);
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
                         "(`tarn journal migrate` makes a group of it).";
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

bool log_meta_is_unfinished(struct env *e, const char *dir, const char *names, int64_t n)
{
    const char *at = names;
    while (at < names + n && strcmp(at, LOG_META_UNFINISHED) != 0)
        at += strlen(at) + 1;
    if (at >= names + n)
        return false;
    fmt_log(e, ENV_LOG_ERROR,
            "journal: '%s': a migration into this directory was begun and has not ended "
            "('%s%s' says of what): nothing here counts yet. Give the same `tarn journal migrate` "
            "again, it goes on; or remove what is in this directory. Nothing was changed.",
            env_disk(e, dir), dir, LOG_META_UNFINISHED);
    return true;
}
