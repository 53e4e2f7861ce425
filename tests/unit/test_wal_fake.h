/* tests/unit/test_wal_fake.h - an env with nothing but a clock, posts and a hostile disk in memory.
 *
 * Disk operations finish in random order; a write takes effect when it finishes.  What was not
 * synced is lost, kept, or turned into garbage, sector by sector, by fake_power_loss(); fake_kill()
 * keeps what reached the "page cache".  Unsynced names may vanish, unlinks may be undone. */
#ifndef TESTS_UNIT_TEST_WAL_FAKE_H
#define TESTS_UNIT_TEST_WAL_FAKE_H

#include "core/fmt.h"
#include "core/heap.h"
#include "core/prng.h"
#include "tests/unit/unit.h"

enum { FAKE_SECTOR = 512, FAKE_INODES = 256, FAKE_NAMES = 512, FAKE_OPS = 256 };

enum fake_kind {
    FAKE_OPEN,
    FAKE_CLOSE,
    FAKE_READ,
    FAKE_WRITE,
    FAKE_SYNC,
    FAKE_RENAME,
    FAKE_UNLINK,
    FAKE_LIST,
    FAKE_RESIZE,
};

struct fake_inode {
    bool used;
    uint8_t *now, *durable, *dirty;
    uint64_t size, cap, durable_size;
    uint32_t n_dirty;
};

struct fake_name {
    char name[96];
    int now, durable; /* inode or -1 */
};

struct fake_file {
    struct env_file file;
    int inode;
    unsigned flags;
};

struct fake_op {
    enum fake_kind kind;
    struct env_op *op;
    struct fake_file *file;
    struct env_file **ret_file;
    char name[96], to[96];
    unsigned flags;
    void *buf;
    const void *from;
    uint32_t len;
    uint64_t off;
};

struct fake {
    struct env env;
    struct mem mem; /* the timers' */
    struct heap timers;
    struct prng rng;
    struct list posts;
    struct fake_op ops[FAKE_OPS];
    uint32_t n_ops;
    struct fake_inode inodes[FAKE_INODES];
    struct fake_name names[FAKE_NAMES];
    uint32_t n_names;
    struct fake_file *open_files[128];
    int64_t now_ns;
    uint64_t capacity; /* bytes of all files; over it E_NOSPC, or full_with */
    int full_with;
    /* faults */
    bool resize_fails;
    int fail_in; /* the fail_in-th write or sync from now fails (0: none) */
    int fail_sync_in;
    int fail_with;
    int fail_read_in;
    /* of the next reads of that block those give other bytes (the first is the lowest bit) */
    uint64_t misread, misread_at;
    const uint8_t *misread_as; /* a block; NULL: zeros */
    uint32_t misdirect_in;     /* of the so-many-th read a block is any other one of its file */
    bool torn_reads;           /* a read sees writes that are under way in part */
    bool hold_writes;          /* writes do not finish */
    uint64_t hold_off; /* with hold_one: the write at this offset of a log does not finish */
    bool hold_one, one_by_one_last_first;
    uint32_t faults_ppm;
    uint64_t writes_done, syncs_done, dsync_done, bytes_read;
    void (*on_write)(struct fake *f, const char *name, const void *b, uint32_t len, uint64_t off);
    char last_log[1024];
    char last_error[1024];
};

static struct fake *fake_of(struct env *e)
{
    return container_of(e, struct fake, env);
}

static int64_t fake_now(struct env *e)
{
    return fake_of(e)->now_ns;
}

static uint64_t fake_random(struct env *e)
{
    return prng_u64(&fake_of(e)->rng);
}

static bool fake_fault(struct env *e, const char *site)
{
    (void)site;
    return prng_chance_ppm(&fake_of(e)->rng, fake_of(e)->faults_ppm);
}

static void fake_log(struct env *e, enum env_log level, const char *line)
{
    struct fake *f = fake_of(e);
    if (getenv("FAKE_LOG"))
        fprintf(stderr, "[%d] %s\n", level, line);
    fmt_into(f->last_log, sizeof f->last_log, "%s", line);
    if (level == ENV_LOG_ERROR)
        fmt_into(f->last_error, sizeof f->last_error, "%s", line);
}

static void fake_timer_set(struct env *e, struct env_timer *t, int64_t at_ns)
{
    heap_set(&fake_of(e)->timers, t, at_ns);
}

static void fake_timer_stop(struct env *e, struct env_timer *t)
{
    heap_remove(&fake_of(e)->timers, t);
}

static void fake_post(struct env *e, struct env_op *op)
{
    list_push_back(&fake_of(e)->posts, &op->link);
}

static struct fake_op *fake_submit(struct env *e, enum fake_kind kind, struct env_op *op)
{
    struct fake *f = fake_of(e);
    ASSERT(f->n_ops < FAKE_OPS);
    struct fake_op *o = &f->ops[f->n_ops++];
    memset(o, 0, sizeof *o);
    o->kind = kind;
    o->op = op;
    return o;
}

static void fake_open(struct env *e, const char *name, unsigned flags, struct env_file **ret_file,
                      struct env_op *op)
{
    struct fake_op *o = fake_submit(e, FAKE_OPEN, op);
    fmt_into(o->name, sizeof o->name, "%s", name);
    o->flags = flags;
    o->ret_file = ret_file;
}

static struct fake_op *fake_on_file(struct env_file *f, enum fake_kind kind, struct env_op *op)
{
    struct fake_op *o = fake_submit(f->env, kind, op);
    o->file = container_of(f, struct fake_file, file);
    return o;
}

static void fake_close(struct env_file *f, struct env_op *op)
{
    fake_on_file(f, FAKE_CLOSE, op);
}

static void fake_check_direct(const struct fake_op *o, const void *p)
{
    if (o->file->flags & ENV_O_DIRECT)
        ASSERT((uintptr_t)p % 4096 == 0 && o->len % 4096 == 0 && o->off % 4096 == 0);
}

static void fake_read(struct env_file *f, void *to, uint32_t len, uint64_t off, struct env_op *op)
{
    struct fake_op *o = fake_on_file(f, FAKE_READ, op);
    o->buf = to;
    o->len = len;
    o->off = off;
    fake_check_direct(o, to);
}

static void fake_write(struct env_file *f, const void *from, uint32_t len, uint64_t off,
                       struct env_op *op)
{
    struct fake_op *o = fake_on_file(f, FAKE_WRITE, op);
    o->from = from;
    o->len = len;
    o->off = off;
    fake_check_direct(o, from);
}

static void fake_sync(struct env_file *f, struct env_op *op)
{
    fake_on_file(f, FAKE_SYNC, op);
}

static void fake_resize(struct env_file *f, uint64_t size, struct env_op *op)
{
    fake_on_file(f, FAKE_RESIZE, op)->off = size;
}

static void fake_rename(struct env *e, const char *from, const char *to, struct env_op *op)
{
    struct fake_op *o = fake_submit(e, FAKE_RENAME, op);
    fmt_into(o->name, sizeof o->name, "%s", from);
    fmt_into(o->to, sizeof o->to, "%s", to);
}

static void fake_unlink(struct env *e, const char *name, struct env_op *op)
{
    struct fake_op *o = fake_submit(e, FAKE_UNLINK, op);
    fmt_into(o->name, sizeof o->name, "%s", name);
}

static void fake_list(struct env *e, const char *dir, const char *after, char *buf, uint32_t cap,
                      struct env_op *op)
{
    struct fake_op *o = fake_submit(e, FAKE_LIST, op);
    fmt_into(o->name, sizeof o->name, "%s", dir);
    fmt_into(o->to, sizeof o->to, "%s", after);
    o->buf = buf;
    o->len = cap;
}

/* --- the disk --- */

static struct fake_name *fake_name(struct fake *f, const char *name, bool create)
{
    for (uint32_t i = 0; i < f->n_names; i++)
        if (!strcmp(f->names[i].name, name))
            return &f->names[i];
    if (!create)
        return NULL;
    struct fake_name *n = NULL;
    for (uint32_t i = 0; i < f->n_names && !n; i++)
        if (f->names[i].now < 0 && f->names[i].durable < 0)
            n = &f->names[i];
    if (!n) {
        ASSERT(f->n_names < FAKE_NAMES);
        n = &f->names[f->n_names++];
    }
    fmt_into(n->name, sizeof n->name, "%s", name);
    n->now = n->durable = -1;
    return n;
}

static void fake_drop_unused(struct fake *f)
{
    bool used[FAKE_INODES] = {0};
    for (uint32_t i = 0; i < f->n_names; i++) {
        if (f->names[i].now >= 0)
            used[f->names[i].now] = true;
        if (f->names[i].durable >= 0)
            used[f->names[i].durable] = true;
    }
    for (unsigned i = 0; i < ARRAY_LEN(f->open_files); i++)
        if (f->open_files[i])
            used[f->open_files[i]->inode] = true;
    for (int i = 0; i < FAKE_INODES; i++)
        if (f->inodes[i].used && !used[i]) {
            free(f->inodes[i].now);
            free(f->inodes[i].durable);
            free(f->inodes[i].dirty);
            memset(&f->inodes[i], 0, sizeof f->inodes[i]);
        }
}

static int fake_new_inode(struct fake *f)
{
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < FAKE_INODES; i++)
            if (!f->inodes[i].used) {
                f->inodes[i].used = true;
                return i;
            }
        fake_drop_unused(f);
    }
    ASSERT(false);
    return -1;
}

static void fake_grow(struct fake_inode *n, uint64_t size)
{
    if (size <= n->cap)
        return;
    uint64_t cap = base_align_up(base_max_u64(size, 2 * n->cap), 64 * 1024);
    n->now = realloc(n->now, cap);
    n->durable = realloc(n->durable, cap);
    n->dirty = realloc(n->dirty, cap / FAKE_SECTOR);
    memset(n->now + n->cap, 0, cap - n->cap);
    memset(n->durable + n->cap, 0, cap - n->cap);
    memset(n->dirty + n->cap / FAKE_SECTOR, 0, (cap - n->cap) / FAKE_SECTOR);
    n->cap = cap;
}

static void fake_put(struct fake_inode *n, const void *b, uint64_t len, uint64_t off)
{
    fake_grow(n, off + len);
    memcpy(n->now + off, b, len);
    for (uint64_t s = off / FAKE_SECTOR; s < (off + len + FAKE_SECTOR - 1) / FAKE_SECTOR; s++)
        if (!n->dirty[s]) {
            n->dirty[s] = 1;
            n->n_dirty++;
        }
    n->size = base_max_u64(n->size, off + len);
}

static void fake_make_durable(struct fake *f, int i, uint64_t off, uint64_t len)
{
    struct fake_inode *n = &f->inodes[i];
    for (uint64_t s = off / FAKE_SECTOR; s * FAKE_SECTOR < off + len && n->n_dirty; s++)
        if (n->dirty[s]) {
            memcpy(n->durable + s * FAKE_SECTOR, n->now + s * FAKE_SECTOR, FAKE_SECTOR);
            n->dirty[s] = 0;
            n->n_dirty--;
        }
    n->durable_size = base_max_u64(n->durable_size, base_min_u64(n->size, off + len));
}

static void fake_sync_all(struct fake *f, int i)
{
    fake_make_durable(f, i, 0, f->inodes[i].cap);
    f->inodes[i].durable_size = f->inodes[i].size;
    for (uint32_t k = 0; k < f->n_names; k++)
        if (f->names[k].now == i)
            f->names[k].durable = i;
}

static uint64_t fake_used(const struct fake *f)
{
    uint64_t sum = 0;
    bool seen[FAKE_INODES] = {0};
    for (uint32_t k = 0; k < f->n_names; k++)
        if (f->names[k].now >= 0 && !seen[f->names[k].now]) {
            seen[f->names[k].now] = true;
            sum += f->inodes[f->names[k].now].size;
        }
    return sum;
}

static const char *fake_inode_name(const struct fake *f, int inode)
{
    for (uint32_t k = 0; k < f->n_names; k++)
        if (f->names[k].now == inode)
            return f->names[k].name;
    return "";
}

static int64_t fake_do_resize(struct fake *f, struct fake_op *o)
{
    struct fake_inode *n = &f->inodes[o->file->inode];
    if (f->resize_fails)
        return E_IO;
    fake_grow(n, o->off);
    for (uint64_t at = base_align_up(o->off, FAKE_SECTOR); at < n->size; at += FAKE_SECTOR) {
        uint64_t size = n->size;
        static const uint8_t zero[FAKE_SECTOR];
        fake_put(n, zero, FAKE_SECTOR, at);
        n->size = size;
    }
    n->size = o->off;
    return 0;
}

static int64_t fake_do_open(struct fake *f, struct fake_op *o)
{
    struct fake_name *n = fake_name(f, o->name, (o->flags & ENV_O_CREATE) != 0);
    if (!n || (n->now < 0 && !(o->flags & ENV_O_CREATE)))
        return E_NOENT;
    if (n->now >= 0 && (o->flags & ENV_O_EXCL))
        return E_EXIST;
    if (n->now < 0) {
        n->now = fake_new_inode(f);
    } else if (o->flags & ENV_O_TRUNC) {
        n->now = fake_new_inode(f); /* the old bytes stay until the new name is durable */
    }
    unsigned k = 0;
    while (f->open_files[k])
        k++;
    ASSERT(k < ARRAY_LEN(f->open_files) - 1);
    struct fake_file *file = calloc(1, sizeof *file);
    file->file.env = &f->env;
    file->inode = n->now;
    file->flags = o->flags;
    f->open_files[k] = file;
    *o->ret_file = &file->file;
    return (int64_t)f->inodes[n->now].size;
}

static int64_t fake_do_write(struct fake *f, struct fake_op *o)
{
    struct fake_inode *n = &f->inodes[o->file->inode];
    if (f->fail_in && --f->fail_in == 0) {
        fake_put(n, o->from, o->len / 2, o->off);
        return f->fail_with;
    }
    if (o->off + o->len > n->size && fake_used(f) + o->off + o->len - n->size > f->capacity)
        return f->full_with ? f->full_with : E_NOSPC;
    if (f->on_write)
        f->on_write(f, fake_inode_name(f, o->file->inode), o->from, o->len, o->off);
    fake_put(n, o->from, o->len, o->off);
    f->writes_done++;
    if (o->file->flags & ENV_O_DSYNC) {
        f->dsync_done++;
        fake_make_durable(f, o->file->inode, o->off, o->len);
    }
    return o->len;
}

static void fake_do_misread(struct fake *f, const struct fake_op *o, uint64_t len)
{
    static const uint8_t zeros[4096];
    if (f->misread_at < o->off || f->misread_at + sizeof zeros > o->off + len)
        return;
    if (f->misread & 1)
        memcpy((uint8_t *)o->buf + (f->misread_at - o->off), f->misread_as ? f->misread_as : zeros,
               sizeof zeros);
    f->misread >>= 1;
}

static void fake_do_misdirect(struct fake *f, const struct fake_inode *n, const struct fake_op *o,
                              uint64_t len)
{
    if (!f->misdirect_in || --f->misdirect_in || len < 4096 || n->size < 2 * 4096)
        return;
    uint64_t at = prng_below(&f->rng, len / 4096) * 4096;
    uint64_t from = prng_below(&f->rng, n->size / 4096 - 1) * 4096;
    from += from >= o->off + at ? 4096 : 0;
    memcpy((uint8_t *)o->buf + at, n->now + from, 4096);
}

static int64_t fake_do_read(struct fake *f, struct fake_op *o)
{
    const struct fake_inode *n = &f->inodes[o->file->inode];
    if (f->fail_read_in && --f->fail_read_in == 0)
        return E_IO;
    if (o->off >= n->size)
        return 0;
    uint64_t len = base_min_u64(o->len, n->size - o->off);
    memcpy(o->buf, n->now + o->off, len);
    f->bytes_read += len;
    fake_do_misread(f, o, len);
    fake_do_misdirect(f, n, o, len);
    for (uint32_t i = 0; f->torn_reads && i < f->n_ops; i++) {
        const struct fake_op *q = &f->ops[i];
        if (q->kind != FAKE_WRITE || q->file->inode != o->file->inode)
            continue;
        for (uint64_t at = q->off; at < q->off + q->len; at += FAKE_SECTOR)
            if (at >= o->off && at + FAKE_SECTOR <= o->off + len && prng_below(&f->rng, 2))
                memcpy((uint8_t *)o->buf + (at - o->off), (const uint8_t *)q->from + (at - q->off),
                       FAKE_SECTOR);
    }
    return (int64_t)len;
}

static int64_t fake_do_list(struct fake *f, struct fake_op *o)
{
    uint32_t used = 0;
    char after[96];
    size_t dl = strlen(o->name);
    fmt_into(after, sizeof after, "%s", o->to);
    for (;;) {
        const char *best = NULL;
        for (uint32_t i = 0; i < f->n_names; i++) {
            const char *leaf = f->names[i].name;
            if (f->names[i].now < 0)
                continue;
            if (dl) {
                if (strncmp(leaf, o->name, dl) || leaf[dl] != '/')
                    continue;
                leaf += dl + 1;
            }
            if (strcmp(leaf, after) > 0 && (!best || strcmp(leaf, best) < 0))
                best = leaf;
        }
        if (!best || used + strlen(best) + 1 > o->len)
            return used;
        memcpy((char *)o->buf + used, best, strlen(best) + 1);
        used += (uint32_t)strlen(best) + 1;
        fmt_into(after, sizeof after, "%s", best);
    }
}

static int64_t fake_do(struct fake *f, struct fake_op *o)
{
    switch (o->kind) {
    case FAKE_OPEN:
        return fake_do_open(f, o);
    case FAKE_CLOSE:
        for (unsigned k = 0; k < ARRAY_LEN(f->open_files); k++)
            if (f->open_files[k] == o->file)
                f->open_files[k] = NULL;
        free(o->file);
        return 0;
    case FAKE_READ:
        return fake_do_read(f, o);
    case FAKE_WRITE:
        return fake_do_write(f, o);
    case FAKE_SYNC:
        if (f->fail_sync_in && --f->fail_sync_in == 0)
            return E_IO;
        f->syncs_done++;
        fake_sync_all(f, o->file->inode);
        return 0;
    case FAKE_RENAME: {
        struct fake_name *from = fake_name(f, o->name, false);
        if (!from || from->now < 0)
            return E_NOENT;
        int i = from->now;
        from->now = from->durable = -1;
        struct fake_name *to = fake_name(f, o->to, true);
        to->now = to->durable = i;
        return 0;
    }
    case FAKE_UNLINK: {
        struct fake_name *n = fake_name(f, o->name, false);
        if (!n || n->now < 0)
            return E_NOENT;
        n->now = -1;
        return 0;
    }
    case FAKE_LIST:
        return fake_do_list(f, o);
    case FAKE_RESIZE:
        return fake_do_resize(f, o);
    }
    return E_INVAL;
}

/* --- running --- */

static const struct env_vt fake_vt = {
    .now_ns = fake_now,
    .wall_ns = fake_now,
    .random = fake_random,
    .fault = fake_fault,
    .log = fake_log,
    .timer_set = fake_timer_set,
    .timer_stop = fake_timer_stop,
    .post = fake_post,
    .open = fake_open,
    .close = fake_close,
    .read = fake_read,
    .write = fake_write,
    .sync = fake_sync,
    .resize = fake_resize,
    .rename = fake_rename,
    .unlink = fake_unlink,
    .list = fake_list,
};

static void fake_init(struct fake *f, uint64_t seed)
{
    memset(f, 0, sizeof *f);
    f->env.vt = &fake_vt;
    f->capacity = UINT64_MAX / 2;
    unit_mem(&f->mem, 1 << 20);
    heap_init(&f->timers, &f->mem);
    prng_seed(&f->rng, seed, "fake", 0);
    list_init(&f->posts);
}

static bool fake_held(const struct fake *f, const struct fake_op *o)
{
    if (o->kind != FAKE_WRITE)
        return false;
    return f->hold_writes || (f->hold_one && o->off == f->hold_off);
}

/* one event; false when there is nothing left but held writes */
static UNUSED bool fake_step(struct fake *f)
{
    f->now_ns += (int64_t)prng_below(&f->rng, 20000);
    struct env_timer *t = heap_peek(&f->timers);
    if (t && t->at_ns <= f->now_ns) {
        heap_remove(&f->timers, t);
        t->op.ret = 0;
        t->op.done(&t->op);
        return true;
    }
    uint32_t ready = 0, pick[FAKE_OPS];
    for (uint32_t i = 0; i < f->n_ops; i++)
        if (!fake_held(f, &f->ops[i]))
            pick[ready++] = i;
    if (!list_empty(&f->posts) && (!ready || prng_below(&f->rng, 2))) {
        struct env_op *op = list_entry(list_pop(&f->posts), struct env_op, link);
        op->done(op);
        return true;
    }
    if (ready) {
        uint32_t i = f->one_by_one_last_first ? pick[ready - 1] : pick[prng_below(&f->rng, ready)];
        struct fake_op o = f->ops[i];
        memmove(&f->ops[i], &f->ops[i + 1], (--f->n_ops - i) * sizeof o);
        o.op->ret = fake_do(f, &o);
        o.op->done(o.op);
        return true;
    }
    if (t) {
        f->now_ns = t->at_ns;
        return true;
    }
    return false;
}

static void fake_forget(struct fake *f)
{
    f->n_ops = 0;
    for (unsigned k = 0; k < ARRAY_LEN(f->open_files); k++) {
        free(f->open_files[k]);
        f->open_files[k] = NULL;
    }
    list_init(&f->posts);
    mem_drop(&f->mem);
    heap_init(&f->timers, &f->mem);
    fake_drop_unused(f);
}

/* the process dies: writes under way took effect or did not, in whole or in part */
static void fake_kill(struct fake *f)
{
    for (uint32_t i = 0; i < f->n_ops; i++) {
        struct fake_op *o = &f->ops[i];
        if (o->kind != FAKE_WRITE || prng_below(&f->rng, 3) == 0)
            continue;
        struct fake_inode *n = &f->inodes[o->file->inode];
        uint64_t len = prng_below(&f->rng, 2)
                           ? o->len
                           : prng_below(&f->rng, o->len / FAKE_SECTOR + 1) * FAKE_SECTOR;
        if (len && (o->off + len <= n->size || f->capacity > (1ull << 40)))
            fake_put(n, o->from, len, o->off);
    }
    fake_forget(f);
}

static UNUSED void fake_power_loss(struct fake *f)
{
    fake_kill(f);
    for (uint32_t k = 0; k < f->n_names; k++) {
        struct fake_name *n = &f->names[k];
        if (n->now != n->durable)
            n->now = n->durable = prng_below(&f->rng, 2) ? n->now : n->durable;
    }
    uint32_t mood = (uint32_t)prng_below(&f->rng, 4); /* all, nothing, a mix, a mix */
    for (int i = 0; i < FAKE_INODES; i++) {
        struct fake_inode *n = &f->inodes[i];
        if (!n->used)
            continue;
        for (uint64_t s = 0; s < n->cap / FAKE_SECTOR && n->n_dirty; s++) {
            if (!n->dirty[s])
                continue;
            uint64_t dice = mood == 0 ? 0 : mood == 1 ? 6 : prng_below(&f->rng, 12);
            uint8_t *now = n->now + s * FAKE_SECTOR, *durable = n->durable + s * FAKE_SECTOR;
            if (dice == 11)
                for (unsigned b = 0; b < FAKE_SECTOR; b += 8)
                    base_put_u64(now + b, prng_u64(&f->rng));
            else if (dice > 5)
                memcpy(now, durable, FAKE_SECTOR);
            memcpy(durable, now, FAKE_SECTOR);
            n->dirty[s] = 0;
            n->n_dirty--;
        }
        if (n->size != n->durable_size && prng_below(&f->rng, 2)) {
            n->size = n->durable_size;
            memset(n->now + n->size, 0, n->cap - n->size);
            memset(n->durable + n->size, 0, n->cap - n->size);
        }
        n->durable_size = n->size;
    }
    fake_drop_unused(f);
}

static void fake_drop(struct fake *f)
{
    fake_forget(f);
    f->n_names = 0;
    fake_drop_unused(f);
}

/* the bytes of a file, to look at or to damage; NULL when it is not there */
static UNUSED struct fake_inode *fake_file(struct fake *f, const char *name)
{
    struct fake_name *n = fake_name(f, name, false);
    return n && n->now >= 0 ? &f->inodes[n->now] : NULL;
}

/* a hash over all names and bytes: did anything on disk change? */
static UNUSED uint64_t fake_hash(const struct fake *f)
{
    uint64_t h = 0;
    for (uint32_t k = 0; k < f->n_names; k++)
        if (f->names[k].now >= 0) {
            const struct fake_inode *n = &f->inodes[f->names[k].now];
            h += base_hash(f->names[k].name, strlen(f->names[k].name),
                           base_hash(n->now, n->size, n->size));
        }
    return h;
}

#endif
