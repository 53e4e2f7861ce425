/* tests/unit/test_zk_share.h - several members, each a process of its own, on one shared disk in
 * memory (test_wal_fake.h): operations finish in random order, a write takes effect when it
 * finishes, a read sees what is there when it finishes.
 *
 * A member's operations on files with a certain part in their names can be held back (stuck).
 *
 * A member that is killed never hears of its operations again, but its writes may still land, in
 * whole or in part, at any later time.  One that is paused hears of them when it goes on.  Its
 * clock goes on meanwhile.
 *
 * With late_names_ns a name that one member made is not there for another one for up to so long, as
 * where directories are cached; an exclusive creation still fails. */
#ifndef TESTS_UNIT_TEST_ZK_SHARE_H
#define TESTS_UNIT_TEST_ZK_SHARE_H

#include "tests/unit/test_wal_fake.h"

enum { SHARE_MEMBERS = 4, SHARE_BORN = 512 };

struct share_member {
    struct env env;
    struct share *w;
    uint32_t id, life;
    struct mem timer_mem, mem; /* mem: of the process */
    struct heap timers;
    struct list posts, ready, files;
    bool alive, paused;
    const char *stuck; /* NULL: nothing; "": all */
};

struct share_born { /* a name */
    char name[96];
    const struct share_member *by;
    int64_t at_ns;
};

struct share {
    int64_t late_names_ns;
    struct share_born born[SHARE_BORN]; /* the latest, in a ring */
    uint32_t n_born, n_hidden;
    struct fake disk;
    struct share_member m[SHARE_MEMBERS];
    struct prng rng;
    struct list ops;   /* share_op.all */
    uint32_t slow_ppm; /* an operation takes up to slow_ns longer */
    int64_t slow_ns;
};

struct share_op {
    struct env_op op, *user;
    struct list all;
    struct share_member *m;
    uint32_t life, len;
    int64_t not_before_ns;
    struct env_file *inner, **ret_file;
    void *copy, *to;
    char name[96];
};

struct share_file {
    struct env_file file;
    struct list all;
    struct share_member *m;
    struct env_file *inner;
    char name[96];
};

static struct share_member *share_of(struct env *e)
{
    return container_of(e, struct share_member, env);
}

static int64_t share_now(struct env *e)
{
    return share_of(e)->w->disk.now_ns;
}

static uint64_t share_random(struct env *e)
{
    return prng_u64(&share_of(e)->w->rng);
}

static bool share_fault(struct env *e, const char *site)
{
    (void)site;
    return prng_chance_ppm(&share_of(e)->w->rng, share_of(e)->w->disk.faults_ppm);
}

static void share_log(struct env *e, enum env_log level, const char *line)
{
    struct share_member *m = share_of(e);
    if (getenv("FAKE_LOG"))
        fprintf(stderr, "%u [%d] %s\n", m->id, level, line);
    fmt_into(m->w->disk.last_log, sizeof m->w->disk.last_log, "%s", line);
    if (level == ENV_LOG_ERROR)
        fmt_into(m->w->disk.last_error, sizeof m->w->disk.last_error, "%u: %s", m->id, line);
}

static void share_timer_set(struct env *e, struct env_timer *t, int64_t at_ns)
{
    heap_set(&share_of(e)->timers, t, at_ns);
}

static void share_timer_stop(struct env *e, struct env_timer *t)
{
    heap_remove(&share_of(e)->timers, t);
}

static void share_post(struct env *e, struct env_op *op)
{
    list_push_back(&share_of(e)->posts, &op->link);
}

/* of a large one: few sizes, so that unit.h can keep them */
static size_t share_copy_size(uint32_t len)
{
    return base_align_up(len, len < UNIT_LARGE / 2 ? 4096 : 8 * UNIT_LARGE);
}

static void share_op_free(struct share_op *o)
{
    list_remove(&o->all);
    unit_put(NULL, o->copy, share_copy_size(o->len));
    free(o);
}

static void share_nobody(struct env_op *op)
{
    free(op);
}

static void share_done(struct env_op *op)
{
    struct share_op *o = container_of(op, struct share_op, op);
    struct share_member *m = o->m;
    bool is_alive = m->alive && m->life == o->life;
    if (o->ret_file && op->ret >= 0) {
        if (is_alive) {
            struct share_file *f = calloc(1, sizeof *f);
            *f = (struct share_file){.file = {&m->env}, .m = m, .inner = o->inner};
            memcpy(f->name, o->name, sizeof f->name);
            list_push_back(&m->files, &f->all);
            *o->ret_file = &f->file;
        } else { /* nobody has it open */
            struct env_op *close = calloc(1, sizeof *close);
            close->done = share_nobody;
            fake_close(o->inner, close);
        }
    }
    if (is_alive) {
        if (o->to && op->ret > 0)
            memcpy(o->to, o->copy, (size_t)op->ret);
        o->user->ret = op->ret;
        list_push_back(&m->ready, &o->user->link);
    }
    share_op_free(o);
}

static struct share_op *share_op_new(struct share_member *m, struct env_op *user, const char *name,
                                     uint32_t len)
{
    struct share_op *o = calloc(1, sizeof *o);
    fmt_into(o->name, sizeof o->name, "%s", name);
    o->op.done = share_done;
    o->user = user;
    o->m = m;
    o->life = m->life;
    o->len = len;
    if (len)
        o->copy = unit_block(share_copy_size(len));
    if (prng_chance_ppm(&m->w->rng, m->w->slow_ppm))
        o->not_before_ns =
            m->w->disk.now_ns + (int64_t)prng_below(&m->w->rng, (uint64_t)m->w->slow_ns);
    list_push_back(&m->w->ops, &o->all);
    return o;
}

static void share_open(struct env *e, const char *name, unsigned flags, struct env_file **ret_file,
                       struct env_op *op)
{
    struct share_member *m = share_of(e);
    struct share_op *o = share_op_new(m, op, name, 0);
    o->ret_file = ret_file;
    fake_open(&m->w->disk.env, name, flags, &o->inner, &o->op);
}

static struct share_file *share_file_of(struct env_file *f)
{
    return container_of(f, struct share_file, file);
}

static void share_close(struct env_file *f, struct env_op *op)
{
    struct share_file *s = share_file_of(f);
    fake_close(s->inner, &share_op_new(s->m, op, s->name, 0)->op);
    list_remove(&s->all);
    free(s);
}

static void share_read(struct env_file *f, void *to, uint32_t len, uint64_t off, struct env_op *op)
{
    struct share_file *s = share_file_of(f);
    struct share_op *o = share_op_new(s->m, op, s->name, len);
    ASSERT((uintptr_t)to % 4096 == 0);
    o->to = to;
    fake_read(s->inner, o->copy, len, off, &o->op);
}

static void share_write(struct env_file *f, const void *from, uint32_t len, uint64_t off,
                        struct env_op *op)
{
    struct share_file *s = share_file_of(f);
    struct share_op *o = share_op_new(s->m, op, s->name, len);
    memcpy(o->copy, from, len);
    fake_write(s->inner, o->copy, len, off, &o->op);
}

static void share_sync(struct env_file *f, struct env_op *op)
{
    struct share_file *s = share_file_of(f);
    fake_sync(s->inner, &share_op_new(s->m, op, s->name, 0)->op);
}

static void share_resize(struct env_file *f, uint64_t size, struct env_op *op)
{
    struct share_file *s = share_file_of(f);
    fake_resize(s->inner, size, &share_op_new(s->m, op, s->name, 0)->op);
}

static void share_rename(struct env *e, const char *from, const char *to, struct env_op *op)
{
    struct share_member *m = share_of(e);
    fake_rename(&m->w->disk.env, from, to, &share_op_new(m, op, from, 0)->op);
}

static void share_unlink(struct env *e, const char *name, struct env_op *op)
{
    struct share_member *m = share_of(e);
    fake_unlink(&m->w->disk.env, name, &share_op_new(m, op, name, 0)->op);
}

static void share_list(struct env *e, const char *dir, const char *after, char *buf, uint32_t cap,
                       struct env_op *op)
{
    struct share_member *m = share_of(e);
    struct share_op *o = share_op_new(m, op, dir, cap);
    o->to = buf;
    fake_list(&m->w->disk.env, dir, after, o->copy, cap, &o->op);
}

static const struct env_vt share_vt = {
    .now_ns = share_now,
    .clock_ns = share_now,
    .wall_ns = share_now,
    .random = share_random,
    .fault = share_fault,
    .log = share_log,
    .timer_set = share_timer_set,
    .timer_stop = share_timer_stop,
    .post = share_post,
    .open = share_open,
    .close = share_close,
    .read = share_read,
    .write = share_write,
    .sync = share_sync,
    .resize = share_resize,
    .rename = share_rename,
    .unlink = share_unlink,
    .list = share_list,
};

static void share_init(struct share *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    fake_init(&w->disk, seed);
    prng_seed(&w->rng, seed, "share", 0);
    list_init(&w->ops);
    for (uint32_t i = 0; i < SHARE_MEMBERS; i++) {
        struct share_member *m = &w->m[i];
        m->env.vt = &share_vt;
        m->w = w;
        m->id = i + 1;
        list_init(&m->posts);
        list_init(&m->ready);
        list_init(&m->files);
    }
}

/* pages that nobody touches cost nothing */
static void *share_get(void *ctx, size_t n)
{
    (void)ctx;
    return unit_block(n);
}

/* a process begins; its memory is m->mem */
static struct env *share_up(struct share *w, uint32_t i)
{
    struct share_member *m = &w->m[i];
    ASSERT(!m->alive);
    m->alive = true;
    m->paused = false;
    m->stuck = NULL;
    m->life++;
    mem_init(&m->mem, (struct mem_source){share_get, unit_put, NULL, 0}, 256 << 20);
    mem_init(&m->timer_mem, (struct mem_source){share_get, unit_put, NULL, 0}, 1 << 20);
    heap_init(&m->timers, &m->timer_mem);
    list_init(&m->posts);
    list_init(&m->ready);
    return &m->env;
}

/* a file that a write under way needs stays open */
static void share_shut_files(struct share_member *m)
{
    struct fake *f = &m->w->disk;
    struct list *l;
    while ((l = list_pop(&m->files))) {
        struct share_file *s = list_entry(l, struct share_file, all);
        bool is_used = false;
        for (uint32_t k = 0; k < f->n_ops; k++)
            is_used |= f->ops[k].file && &f->ops[k].file->file == s->inner;
        for (unsigned k = 0; k < ARRAY_LEN(f->open_files) && !is_used; k++)
            if (f->open_files[k] && &f->open_files[k]->file == s->inner) {
                free(f->open_files[k]);
                f->open_files[k] = NULL;
                break;
            }
        free(s);
    }
}

/* of its writes under way some never happen, some in part; the others land when they will */
static void share_kill(struct share *w, uint32_t i)
{
    struct share_member *m = &w->m[i];
    struct fake *f = &w->disk;
    if (!m->alive)
        return;
    m->alive = false;
    for (uint32_t k = 0; k < f->n_ops; k++) {
        struct fake_op *o = &f->ops[k];
        if (o->op->done != share_done || container_of(o->op, struct share_op, op)->m != m ||
            o->kind == FAKE_CLOSE)
            continue;
        uint32_t dice = (uint32_t)prng_below(&w->rng, 4);
        if (dice == 0 && o->kind != FAKE_OPEN) {
            share_op_free(container_of(o->op, struct share_op, op));
            memmove(o, o + 1, (--f->n_ops - k) * sizeof *o);
            k--;
        } else if (dice == 1 && o->kind == FAKE_WRITE) {
            o->len = (uint32_t)prng_below(&w->rng, o->len / FAKE_SECTOR + 1) * FAKE_SECTOR;
        }
    }
    share_shut_files(m);
    mem_drop(&m->mem);
    mem_drop(&m->timer_mem);
}

/* the storage, and with it everybody */
static UNUSED void share_power_loss(struct share *w)
{
    for (uint32_t i = 0; i < SHARE_MEMBERS; i++)
        share_kill(w, i);
    fake_power_loss(&w->disk);
    while (!list_empty(&w->ops))
        share_op_free(list_entry(w->ops.next, struct share_op, all));
}

static void share_drop(struct share *w)
{
    for (uint32_t i = 0; i < SHARE_MEMBERS; i++)
        share_kill(w, i);
    while (!list_empty(&w->ops))
        share_op_free(list_entry(w->ops.next, struct share_op, all));
    fake_drop(&w->disk);
}

/* --- names --- */

static void share_is_born(struct share *w, const struct share_member *m, const char *name)
{
    struct share_born *b = &w->born[w->n_born++ % SHARE_BORN];
    *b = (struct share_born){.by = m, .at_ns = w->disk.now_ns};
    fmt_into(b->name, sizeof b->name, "%s", name);
}

static bool share_is_hidden(struct share *w, const struct share_member *m, const char *name)
{
    uint64_t hash = m->id;
    for (uint32_t i = w->n_born, k = 0; k < SHARE_BORN && i-- > 0; k++) {
        const struct share_born *b = &w->born[i % SHARE_BORN];
        if (strcmp(b->name, name))
            continue;
        for (const char *c = name; *c; c++)
            hash = base_mix_u64(hash + (uint8_t)*c);
        bool is_hidden =
            b->by != m &&
            w->disk.now_ns < b->at_ns + (int64_t)(hash % (uint64_t)(w->late_names_ns + 1));
        w->n_hidden += is_hidden;
        return is_hidden;
    }
    return false;
}

/* what the disk does, as that member sees it */
static int64_t share_do_named(struct share *w, const struct share_member *m, struct fake_op *o)
{
    struct fake_name *n = fake_name(&w->disk, o->name, false);
    bool was = n && n->now >= 0;
    if (o->kind == FAKE_OPEN && !(o->flags & ENV_O_CREATE) && share_is_hidden(w, m, o->name))
        return E_NOENT;
    int64_t ret = fake_do(&w->disk, o);
    if (ret >= 0 && o->kind == FAKE_RENAME)
        share_is_born(w, m, o->to);
    else if (ret >= 0 && !was && o->kind == FAKE_OPEN)
        share_is_born(w, m, o->name);
    return ret;
}

/* names one level below a directory; a directory ends in '/' */
static int64_t share_do_list(struct share *w, const struct share_member *m, struct fake_op *o)
{
    struct fake *f = &w->disk;
    uint32_t used = 0;
    char after[96], best[96], leaf[96];
    size_t dl = strlen(o->name);
    while (dl && o->name[dl - 1] == '/')
        dl--;
    fmt_into(after, sizeof after, "%s", o->to);
    for (;;) {
        *best = 0;
        for (uint32_t i = 0; i < f->n_names; i++) {
            const char *n = f->names[i].name;
            if (f->names[i].now < 0 || (dl && (strncmp(n, o->name, dl) || n[dl] != '/')))
                continue;
            if (w->late_names_ns && share_is_hidden(w, m, n))
                continue;
            fmt_into(leaf, sizeof leaf, "%s", n + (dl ? dl + 1 : 0));
            char *slash = strchr(leaf, '/');
            if (slash)
                slash[1] = 0;
            if (strcmp(leaf, after) > 0 && (!*best || strcmp(leaf, best) < 0))
                fmt_into(best, sizeof best, "%s", leaf);
        }
        if (!*best || used + strlen(best) + 1 > o->len)
            return used;
        memcpy((char *)o->buf + used, best, strlen(best) + 1);
        used += (uint32_t)strlen(best) + 1;
        fmt_into(after, sizeof after, "%s", best);
    }
}

static bool share_run_list(struct list *l)
{
    struct list *e = list_pop(l);
    if (!e)
        return false;
    struct env_op *op = list_entry(e, struct env_op, link);
    op->done(op);
    return true;
}

/* operations that are done are heard of in any order */
static bool share_run_ready(struct share *w, struct share_member *m)
{
    uint32_t n = 0;
    list_each(l, &m->ready)
        n++;
    for (uint64_t skip = n ? prng_below(&w->rng, n) : 0; skip; skip--)
        list_push_back(&m->ready, list_pop(&m->ready));
    return share_run_list(&m->ready);
}

/* one thing of this member's; false: it has nothing to do now */
static bool share_turn(struct share *w, struct share_member *m)
{
    if (!m->alive || m->paused)
        return false;
    struct env_timer *t = heap_peek(&m->timers);
    if (prng_below(&w->rng, 2) && share_run_ready(w, m))
        return true;
    if (share_run_list(&m->posts) || share_run_ready(w, m))
        return true;
    if (!t || t->at_ns > w->disk.now_ns)
        return false;
    heap_remove(&m->timers, t);
    t->op.ret = 0;
    t->op.done(&t->op);
    return true;
}

static void share_disk_do(struct share *w, uint32_t i)
{
    struct fake *f = &w->disk;
    struct fake_op o = f->ops[i];
    memmove(&f->ops[i], &f->ops[i + 1], (--f->n_ops - i) * sizeof o);
    const struct share_member *m =
        o.op->done == share_done ? container_of(o.op, struct share_op, op)->m : NULL;
    o.op->ret = o.kind == FAKE_LIST     ? share_do_list(w, m, &o)
                : m && w->late_names_ns ? share_do_named(w, m, &o)
                                        : fake_do(f, &o);
    o.op->done(o.op);
}

static int64_t share_not_before(const struct fake_op *o)
{
    if (o->op->done != share_done)
        return 0;
    const struct share_op *s = container_of(o->op, struct share_op, op);
    bool is_stuck =
        s->m->alive && s->m->life == s->life && s->m->stuck && strstr(s->name, s->m->stuck);
    return is_stuck ? INT64_MAX : s->not_before_ns;
}

/* false: nothing is under way that may end now; *ret_at: when something may */
static bool share_disk_turn(struct share *w, int64_t *ret_at)
{
    struct fake *f = &w->disk;
    uint32_t n = 0, pick[FAKE_OPS];
    for (uint32_t i = 0; i < f->n_ops; i++) {
        int64_t at = share_not_before(&f->ops[i]);
        if (at <= f->now_ns)
            pick[n++] = i;
        *ret_at = base_min_i64(*ret_at, at);
    }
    if (!n)
        return false;
    share_disk_do(w, pick[prng_below(&w->rng, n)]);
    return true;
}

/* one event; false: nothing will ever happen (but what a paused one waits for) */
static UNUSED bool share_step(struct share *w)
{
    int64_t at = INT64_MAX;
    w->disk.now_ns += (int64_t)prng_below(&w->rng, 20000);
    if (prng_below(&w->rng, 2) && share_disk_turn(w, &at))
        return true;
    uint32_t first = (uint32_t)prng_below(&w->rng, SHARE_MEMBERS);
    for (uint32_t k = 0; k < SHARE_MEMBERS; k++)
        if (share_turn(w, &w->m[(first + k) % SHARE_MEMBERS]))
            return true;
    at = INT64_MAX;
    if (share_disk_turn(w, &at))
        return true;
    for (uint32_t k = 0; k < SHARE_MEMBERS; k++) {
        struct share_member *m = &w->m[k];
        struct env_timer *t = m->alive && !m->paused ? heap_peek(&m->timers) : NULL;
        if (t)
            at = base_min_i64(at, t->at_ns);
    }
    if (at == INT64_MAX)
        return false;
    w->disk.now_ns = at > w->disk.now_ns ? at : w->disk.now_ns;
    return true;
}

#endif
