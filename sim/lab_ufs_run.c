/* sim/lab_ufs_run.c - when an operation on the model happens: on its way, done, known to be done.
 *
 *   submit (node) --way--> the effect (world, whatever became of the node) --way back--> done
 * (node)
 *
 * The caller's buffers belong to a process that may die, so the world works on copies. */
#include "sim/lab_ufs_impl.h"

static const int64_t RUN_AGAIN_NS = 100 * 1000; /* the node's clock runs fast: not there yet */
static const uint32_t RUN_TWO_LOOKS = 32 * 1024;

/* A store as one process has it open; in the process's memory, as are the waits. */
struct run_store {
    struct ufs ufs;
    struct lab_ufs *u;
    struct env *env;
    struct sim_node *by;
    struct mem *mem;
    struct lab_ufs_node *root;
    uint32_t under_way;
    bool closed;
};

struct run_wait {
    struct env_timer timer;
    struct run_store *store;
    struct ufs_op *op;
    struct lab_ufs_call *call;
};

static void call_free(struct lab_ufs_call *c)
{
    struct lab_ufs *u = c->u;
    list_remove(&c->link);
    lab_ufs_text_free(u, c->path);
    lab_ufs_text_free(u, c->path2);
    lab_ufs_text_free(u, c->hidden);
    mem_free(u->mem, c->buf, c->len ? c->len : 1);
    mem_free(u->mem, c->names, c->names_len);
    mem_free(u->mem, c, sizeof *c);
}

static bool call_is_orphan(const struct lab_ufs_call *c)
{
    return !sim_node_is_up(c->by) || sim_node_incarnation(c->by) != c->incarnation;
}

static void call_tell(const struct lab_ufs_call *c, bool orphan)
{
    const struct lab_ufs *u = c->u;
    bool changes = c->kind == UFS_WRITE || (c->kind >= UFS_CREATE && c->kind <= UFS_SETATTR);
    if (!u->on_effect || !changes || c->ret < 0)
        return;
    struct lab_ufs_effect e = {.kind = c->kind,
                               .path = c->path,
                               .path2 = c->path2,
                               .ino = c->ino,
                               .off = c->off,
                               .len = c->len,
                               .by = c->by,
                               .is_orphan = orphan};
    u->on_effect(u->effect_ctx, &e);
}

static void call_effect(struct env_op *op)
{
    struct lab_ufs_call *c = container_of(op, struct lab_ufs_call, at);
    struct lab_ufs *u = c->u;
    int64_t now = sim_now_ns(u->sim);
    bool orphan = call_is_orphan(c);
    if (orphan && !c->half && prng_u64(&u->prng) % 2) {
        u->stats.lost++; /* it had not left the machine */
        call_free(c);
        return;
    }
    bool fails = now < u->outage_until_ns;
    if (!fails) {
        uint64_t none = 0;
        fails = prng_chance_ppm(&u->prng, u->cfg.eio_ppm);
        fails = sim_chance_driver(u->sim, SIM_CHANCE_STORE_ERROR, c->by, fails, &none);
    }
    if (fails) {
        c->ret = E_IO;
        u->stats.failed++;
    } else if (!orphan && c->not_after_ns && env_now_ns(c->env) > c->not_after_ns) {
        c->ret = E_TIMEOUT;
        u->stats.too_late++;
    } else {
        c->ret = lab_ufs_perform(u, c);
        call_tell(c, orphan);
        if (c->kind == UFS_READ && c->ret >= 0 && c->rest_ns && !c->half) {
            c->half = true;
            sim_at(u->sim, now + c->rest_ns, &c->at);
            return;
        }
    }
    c->done = true;
    if (orphan)
        call_free(c);
}

static void store_free(struct run_store *st)
{
    if (st->closed && !st->under_way)
        mem_free(st->mem, st, sizeof *st);
}

/* what the looks of a read have seen */
static void call_read(const struct lab_ufs_call *c, uint8_t *to)
{
    uint32_t n = (uint32_t)base_min_u64(c->out_len, c->middle);
    lab_ufs_data_read(c->seen, c->look[0], c->off, to, n);
    if (c->out_len > n)
        lab_ufs_data_read(c->seen, c->look[1], c->off + n, to + n, c->out_len - n);
}

static void wait_timer(struct env_op *op)
{
    struct run_wait *w = container_of(op, struct run_wait, timer.op);
    struct run_store *st = w->store;
    struct lab_ufs_call *c = w->call;
    struct ufs_op *o = w->op;
    if (!c->done) {
        env_timer_set(st->env, &w->timer, env_now_ns(st->env) + RUN_AGAIN_NS);
        return;
    }
    o->op.ret = c->ret;
    if (c->kind == UFS_READ && c->ret > 0)
        call_read(c, o->buf);
    else if (o->buf && c->out_len && c->ret >= 0 && c->kind != UFS_WRITE)
        memcpy(o->buf, c->buf, c->out_len);
    if (c->ret >= 0) {
        o->ent = c->ent;
        o->ent2 = c->ent2;
        o->ent.target = c->ent.target_len ? o->buf : NULL;
        o->statfs = c->statfs;
    }
    o->impl[1] = c->kind == UFS_LIST && c->ret > 0 ? c->cursor : 0;
    call_free(c);
    mem_free(st->mem, w, sizeof *w);
    st->under_way--;
    store_free(st);
    o->op.done(&o->op);
}

/* what died with its process after its effect */
static void run_sweep(struct lab_ufs *u)
{
    list_each_safe(it, &u->calls) {
        struct lab_ufs_call *c = list_entry(it, struct lab_ufs_call, link);
        if (c->done && call_is_orphan(c))
            call_free(c);
    }
}

static uint8_t *call_bytes(struct lab_ufs *u, const void *from, uint32_t n)
{
    uint8_t *to = mem_alloc(u->mem, n ? n : 1);
    ASSERT(to != NULL);
    if (from && n)
        memcpy(to, from, n);
    return to;
}

static struct lab_ufs_call *call_new(struct run_store *st, const struct ufs_op *o)
{
    struct lab_ufs *u = st->u;
    struct lab_ufs_call *c = lab_ufs_alloc(u, sizeof *c);
    bool is_effect = o->kind >= UFS_CREATE && o->kind <= UFS_SETATTR;
    *c = (struct lab_ufs_call){
        .u = u,
        .by = st->by,
        .incarnation = sim_node_incarnation(st->by),
        .kind = o->kind,
        .flags = o->flags,
        .root = st->root,
        .path = lab_ufs_text(u, o->path),
        .path2 = lab_ufs_text(u, o->path2),
        .hidden = lab_ufs_text(u, o->hidden),
        .len = o->buf ? o->len : 0,
        .names_len = o->kind == UFS_LOOK ? o->names_len : 0,
        .off = o->off,
        .expect_fp = o->expect_fp,
        .expect_ino = o->expect_ino,
        .expect_ino2 = o->expect_ino2,
        .size = o->size,
        .cursor = o->impl[1],
        .mode = o->mode,
        .uid = o->uid,
        .gid = o->gid,
        .rdev = o->rdev,
        .valid = o->valid,
        .atime_ns = o->atime_ns,
        .mtime_ns = o->mtime_ns,
        .not_after_ns = is_effect || o->kind == UFS_WRITE ? o->not_after_ns : 0,
        .env = st->env,
    };
    if (o->kind != UFS_READ)
        c->buf = call_bytes(u, o->kind == UFS_WRITE ? o->buf : NULL, c->len);
    if (c->names_len)
        c->names = call_bytes(u, o->names, c->names_len);
    c->at.done = call_effect;
    list_push_back(&u->calls, &c->link);
    return c;
}

static void run_submit(struct ufs *ufs, struct ufs_op *o)
{
    struct run_store *st = container_of(ufs, struct run_store, ufs);
    struct lab_ufs *u = st->u;
    int64_t mean = u->cfg.latency_mean_ns - u->cfg.latency_min_ns;
    run_sweep(u);
    struct lab_ufs_call *c = call_new(st, o);
    struct run_wait *w = mem_zalloc(st->mem, sizeof *w);
    ASSERT(w != NULL);
    int64_t there = u->cfg.latency_min_ns / 2 + prng_exp(&u->prng, mean / 2);
    int64_t back = u->cfg.latency_min_ns / 2 + prng_exp(&u->prng, mean / 2);
    if (o->kind == UFS_READ && c->len > RUN_TWO_LOOKS)
        c->rest_ns = 1 + prng_exp(&u->prng, mean / 2);
    u->stats.ops++;
    st->under_way++;
    w->store = st;
    w->op = o;
    w->call = c;
    w->timer.op.done = wait_timer;
    sim_at(u->sim, sim_now_ns(u->sim) + there, &c->at);
    env_timer_set(st->env, &w->timer, env_now_ns(st->env) + there + c->rest_ns + back);
}

static void run_close(struct ufs *ufs)
{
    struct run_store *st = container_of(ufs, struct run_store, ufs);
    st->closed = true;
    store_free(st);
}

void lab_ufs_on_effect(struct lab_ufs *u, void (*fn)(void *ctx, const struct lab_ufs_effect *e),
                       void *ctx)
{
    u->on_effect = fn;
    u->effect_ctx = ctx;
}

int lab_ufs_run_open(struct ufs_factory *f, struct env *e, const char *uri, struct ufs **ret_u)
{
    static const struct ufs_vt vt = {run_submit, run_close};
    struct lab_ufs *u = container_of(f, struct lab_ufs, factory);
    struct sim_node *by = NULL;
    if (strncmp(uri, "sim:", 4))
        return E_INVAL;
    for (uint32_t i = 0; i < sim_node_count(u->sim) && !by; i++) {
        struct sim_node *n = sim_node_at(u->sim, i);
        if (sim_node_is_up(n) && sim_env(n) == e)
            by = n;
    }
    ASSERT(by != NULL);
    const struct lab_ufs_dent *d = lab_ufs_find(u->nodes[0], uri + 4);
    if (!d)
        return E_NOENT;
    struct run_store *st = mem_zalloc(sim_mem(by), sizeof *st);
    if (!st)
        return E_NOMEM;
    st->ufs.vt = &vt;
    st->u = u;
    st->env = e;
    st->by = by;
    st->mem = sim_mem(by);
    st->root = d->node;
    *ret_u = &st->ufs;
    return 0;
}

void lab_ufs_vary(struct lab_ufs *u, uint64_t seed)
{
    prng_seed(&u->prng, seed, "lab_ufs", 0);
}
