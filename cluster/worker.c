/* cluster/worker.c - a worker's life: start, buffers, mounts, stop, and what it tells about itself.
 *
 *   WP_ID --identity read--> WP_LOAD --index rebuilt--> WP_SERVE --stop--> WP_LEAVE > WP_DRAIN
 *     \--fresh directory--> WP_TOLD --a master told the page size--> WP_LOAD     > WP_STOPPED
 *   any --cannot go on--> WP_FAILED
 *
 * It listens from the first moment, before any master hears of it, and answers E_AGAIN until it
 * serves. */
#include "cluster/worker_impl.h"
#include "core/fmt.h"

static const int64_t WORKER_TICK_NS = 100 * 1000000LL;
static const int64_t WORKER_SAY_NS = 10 * 1000000000LL;
static const int64_t WORKER_DRAIN_TICK_NS = 5 * 1000000LL;
static const int64_t WORKER_LEAVE_NS = 500 * 1000000LL;

enum { WORKER_CONNS_MAX = 1024, WORKER_CALLS_MAX = 64, WORKER_GONE_MAX = 65536 };

struct worker_config worker_config_default(void)
{
    return (struct worker_config){
        .listen = "127.0.0.1:7401",
        .dir = "",
        .host = "localhost",
        .masters = "",
        .capacity_bytes = (uint64_t)1 << 30,
        .eviction = "s3fifo",
        .requests_max = 1024,
        .fetches_max = 16,
        .buffer_bytes = 64 << 20,
        .page_cache_bytes = 256 << 20,
    };
}

bool worker_may_say(struct worker *w, int64_t *next_ns)
{
    int64_t now = env_now_ns(w->env);
    if (now < *next_ns)
        return false;
    *next_ns = now + WORKER_SAY_NS;
    return true;
}

void worker_fail(struct worker *w, int why)
{
    if (w->phase >= WP_FAILED)
        return;
    w->phase = WP_FAILED;
    w->why = why;
    fmt_log(w->env, ENV_LOG_ERROR, "worker %s: stopped serving: %s", w->cfg.listen, err_text(why));
}

/* ---- buffers ---- */

bool worker_buf_may(const struct worker *w, const struct worker_mount *m)
{
    uint32_t most = w->n_bufs - w->n_bufs / 4;
    return w->free_bufs && (!m || (w->ufs_bufs < most && m->bufs < worker_mount_share(w, most)));
}

uint8_t *worker_buf_get(struct worker *w, struct worker_mount *m)
{
    if (!worker_buf_may(w, m))
        return NULL;
    if (m) {
        w->ufs_bufs++;
        m->bufs++;
    }
    return w->bufs[--w->free_bufs];
}

void worker_buf_put(struct worker *w, uint8_t *buf, struct worker_mount *m)
{
    ASSERT(w->free_bufs < w->n_bufs);
    if (m) {
        w->ufs_bufs--;
        m->bufs--;
    }
    w->bufs[w->free_bufs++] = buf;
}

static int worker_make_bufs(struct worker *w)
{
    uint32_t page = w->id.page_bytes;
    w->n_bufs = (uint32_t)base_min_u64(base_max_u64(w->cfg.buffer_bytes / page, 4), 65536);
    w->slab_bytes = (size_t)w->n_bufs * page + ENV_DIRECT_ALIGN;
    w->slab = mem_alloc(w->mem, w->slab_bytes);
    w->bufs = mem_alloc(w->mem, w->n_bufs * sizeof *w->bufs);
    if (!w->slab || !w->bufs)
        return E_NOMEM;
    uint8_t *at = w->slab + (ENV_DIRECT_ALIGN - (uintptr_t)w->slab % ENV_DIRECT_ALIGN);
    for (uint32_t i = w->n_bufs; i-- > 0;)
        w->bufs[w->free_bufs++] = at + (size_t)i * page;
    return pool_init(&w->fills, w->mem, sizeof(struct worker_fill), w->n_bufs);
}

static void worker_crc_free(void *ctx, void *tag, uint32_t size)
{
    struct worker *w = ctx;
    mem_free(w->mem, tag, 4 * (size_t)worker_format_blocks(size));
}

/* index and store, once the page size is known */
bool worker_make_cache(struct worker *w)
{
    uint64_t page = w->id.page_bytes;
    uint64_t slots = base_max_u64(w->cfg.capacity_bytes / (16 * 1024), 1024);
    struct cache_config cfg = {
        .capacity_bytes = w->cfg.capacity_bytes,
        .slots_max = (uint32_t)base_min_u64(slots, 64 << 20),
        .gone_max = WORKER_GONE_MAX,
        .policy = w->policy,
        .small_bytes = base_max_u64(w->cfg.capacity_bytes / 10, 2 * page),
        .on_free = worker_crc_free,
        .ctx = w,
    };
    int err = cache_init(&w->cache, w->mem, &cfg);
    if (!err)
        err = worker_make_bufs(w);
    if (!err)
        err = worker_hot_init(w);
    if (!err)
        err = worker_store_init(&w->store, w->env, w->mem, w->prefix, (uint32_t)page,
                                2 * w->n_bufs + WORKER_DROPS + 64);
    if (err) {
        worker_fail(w, err);
        return false;
    }
    w->has_cache = true;
    return true;
}

/* ---- mounts ---- */

/* All but one may hang, and still a quarter is left. */
uint32_t worker_mount_share(const struct worker *w, uint32_t all)
{
    uint32_t rest = all - (all / 4 ? all / 4 : 1);
    if (w->n_mounts < 2)
        return all;
    return rest >= w->n_mounts ? rest / (w->n_mounts - 1) : 1;
}

struct worker_mount *worker_mount_get(struct worker *w, uint16_t number)
{
    list_each(it, &w->mounts) {
        struct worker_mount *m = list_entry(it, struct worker_mount, link);
        if (m->number == number) {
            m->refs++;
            return m;
        }
    }
    return NULL;
}

void worker_mount_put(struct worker *w, struct worker_mount *m)
{
    if (!m || --m->refs)
        return;
    ufs_close(m->ufs);
    mem_free(w->mem, m, sizeof *m + m->uri_len + 1);
}

static void worker_mount_add(struct worker *w, const struct rpc_mount_item *i)
{
    struct worker_mount *m = mem_zalloc(w->mem, sizeof *m + i->uri_len + 1);
    if (!m)
        return;
    memcpy(m->uri, i->uri, i->uri_len);
    m->uri_len = i->uri_len;
    m->number = i->number;
    m->refs = 1;
    int err = w->cfg.ufs ? w->cfg.ufs->open(w->cfg.ufs, w->env, m->uri, &m->ufs) : E_INVAL;
    if (err) {
        if (worker_may_say(w, &w->say_mount_ns))
            fmt_log(w->env, ENV_LOG_WARN,
                    "worker %s: cannot open under-store %s: %s; it is tried again", w->cfg.listen,
                    m->uri, err_text(err));
        mem_free(w->mem, m, sizeof *m + m->uri_len + 1);
        return;
    }
    list_push_back(&w->mounts, &m->link);
    w->n_mounts++;
}

static bool worker_mount_is(const struct worker_mount *m, const struct rpc_mount_item *i)
{
    return m->number == i->number && m->uri_len == i->uri_len &&
           !memcmp(m->uri, i->uri, i->uri_len);
}

/* The list replaces what we know; what stays the same keeps its handle. */
void worker_mounts_set(struct worker *w, struct rbuf items, uint32_t n)
{
    struct list old;
    list_init(&old);
    list_splice(&old, &w->mounts);
    w->n_mounts = 0;
    for (uint32_t k = 0; k < n && k < LIMIT_MOUNTS; k++) {
        struct rpc_mount_item i;
        if (rpc_format_mount_get(&items, &i))
            break;
        struct worker_mount *same = NULL;
        list_each(it, &old) {
            struct worker_mount *m = list_entry(it, struct worker_mount, link);
            if (worker_mount_is(m, &i))
                same = m;
        }
        if (same) {
            list_remove(&same->link);
            list_push_back(&w->mounts, &same->link);
            w->n_mounts++;
        } else if (i.uri_len) {
            worker_mount_add(w, &i);
        }
    }
    struct list *l;
    while ((l = list_pop(&old)))
        worker_mount_put(w, list_entry(l, struct worker_mount, link));
    worker_rpc_kick(w); /* shares may have grown */
}

/* ---- start and stop ---- */

static void worker_listened(struct env_op *op)
{
    struct worker *w = container_of(op, struct worker, listening);
    w->is_listening = false;
    if (op->ret < 0) {
        fmt_log(w->env, ENV_LOG_ERROR, "worker: cannot listen on %s: %s", w->cfg.listen,
                err_text((int)op->ret));
        worker_fail(w, (int)op->ret);
    } else if (!w->stopping) {
        worker_load_boot(w); /* not before: no master shall list an address nobody listens on */
    }
}

static void worker_free(struct worker *w)
{
    struct list *l;
    while ((l = list_pop(&w->mounts)))
        worker_mount_put(w, list_entry(l, struct worker_mount, link));
    worker_beat_free(w);
    worker_load_free(w);
    worker_local_free(w);
    worker_hot_free(w);
    cache_free(&w->cache);
    if (w->store.mem)
        worker_store_free(&w->store);
    if (w->host.conns.base)
        rpc_host_free(&w->host);
    mem_free(w->mem, w->slab, w->slab_bytes);
    mem_free(w->mem, w->bufs, w->n_bufs * sizeof *w->bufs);
    struct pool *pools[] = {&w->reqs, &w->fills, &w->drops};
    for (unsigned i = 0; i < ARRAY_LEN(pools); i++)
        mem_free(w->mem, pools[i]->base, (size_t)pools[i]->object_size * pools[i]->count);
    mem_free(w->mem, w, sizeof *w);
}

static bool worker_is_drained(struct worker *w)
{
    if (w->reqs.free_count != w->reqs.count || w->fills.free_count != w->fills.count ||
        w->drops.free_count != w->drops.count || w->is_listening || !worker_load_idle(w) ||
        !worker_beat_idle(w) || !worker_local_idle(w) ||
        w->host.conns.free_count != w->host.conns.count)
        return false;
    return !w->store.mem || worker_store_close(&w->store);
}

static void worker_drain(struct worker *w)
{
    int64_t now = env_now_ns(w->env);
    if (w->phase == WP_LEAVE && (worker_beat_idle(w) || now >= w->drain_until_ns)) {
        w->phase = WP_DRAIN;
        worker_beat_close(w);
        rpc_host_close(&w->host);
    }
    if (w->phase != WP_DRAIN || !worker_is_drained(w)) {
        env_timer_set(w->env, &w->tick, now + WORKER_DRAIN_TICK_NS);
        return;
    }
    struct env_op *op = w->stopping;
    struct env *e = w->env;
    worker_free(w);
    op->ret = 0;
    env_post(e, op);
}

static void worker_ticked(struct env_op *op)
{
    struct worker *w = container_of(op, struct worker, tick.op);
    worker_rpc_expire(w);
    worker_local_tick(w);
    if (w->stopping)
        worker_drain(w);
    else
        env_timer_set(w->env, &w->tick, env_now_ns(w->env) + WORKER_TICK_NS);
}

void worker_stop(struct worker *w, struct env_op *op)
{
    ASSERT(!w->stopping);
    w->stopping = op;
    worker_rpc_abort(w, E_UNAVAILABLE);
    w->drain_until_ns = env_now_ns(w->env) + WORKER_LEAVE_NS;
    if (w->phase == WP_SERVE)
        worker_beat_leave(w);
    w->phase = WP_LEAVE;
    env_timer_set(w->env, &w->tick, env_now_ns(w->env));
}

static int worker_open_parts(struct worker *w)
{
    const char *dir = w->cfg.dir ? w->cfg.dir : "";
    size_t n = strlen(dir);
    if (n + WORKER_FORMAT_NAME + 2 > ENV_NAME_MAX)
        return E_NAMETOOLONG;
    fmt_into(w->prefix, sizeof w->prefix, "%s%s", dir, n && dir[n - 1] != '/' ? "/" : "");
    w->host.on_call = worker_rpc_call;
    w->host.on_close = worker_local_closed;
    int err = rpc_host_init(&w->host, w->env, w->mem, WORKER_CONNS_MAX, WORKER_CALLS_MAX);
    if (!err)
        err = pool_init(&w->reqs, w->mem, sizeof(struct worker_req), w->cfg.requests_max);
    if (!err)
        err = pool_init(&w->drops, w->mem, sizeof(struct worker_drop), WORKER_DROPS);
    if (!err)
        err = worker_local_open(w);
    if (!err)
        err = worker_beat_open(w);
    return err;
}

static void worker_config_fill(struct worker_config *cfg)
{
    struct worker_config d = worker_config_default();
    cfg->eviction = cfg->eviction ? cfg->eviction : d.eviction;
    cfg->advertise = cfg->advertise && *cfg->advertise ? cfg->advertise : cfg->listen;
    cfg->host = cfg->host ? cfg->host : d.host;
    cfg->masters = cfg->masters ? cfg->masters : d.masters;
    cfg->requests_max = cfg->requests_max ? cfg->requests_max : d.requests_max;
    cfg->fetches_max = cfg->fetches_max ? cfg->fetches_max : d.fetches_max;
    cfg->buffer_bytes = cfg->buffer_bytes ? cfg->buffer_bytes : d.buffer_bytes;
}

int worker_open(struct env *e, struct mem *m, const struct worker_config *cfg,
                struct worker **ret_w)
{
    struct worker *w = mem_zalloc(m, sizeof *w);
    if (!w)
        return E_NOMEM;
    w->env = e;
    w->mem = m;
    w->cfg = *cfg;
    worker_config_fill(&w->cfg);
    w->policy = evict_find(w->cfg.eviction);
    w->incarnation = env_random(e);
    size_t n = cfg->kernel ? strlen(cfg->kernel) : 0;
    w->kernel = n ? base_hash(cfg->kernel, n, 1) | 1 : 0;
    list_init(&w->mounts);
    list_init(&w->reqs_open);
    list_init(&w->fills_open);
    list_init(&w->wait_buf);
    list_init(&w->wait_fill);
    list_init(&w->aging);
    int err = !w->policy || !w->cfg.listen ? E_INVAL : worker_open_parts(w);
    if (err) {
        worker_free(w);
        return err;
    }
    w->tick.op.done = worker_ticked;
    env_timer_set(e, &w->tick, env_now_ns(e) + WORKER_TICK_NS);
    w->is_listening = true;
    w->listening.done = worker_listened;
    rpc_listen(&w->host, w->cfg.listen, &w->listening);
    *ret_w = w;
    return 0;
}

/* ---- telling ---- */

enum worker_state worker_state(const struct worker *w, int *ret_why)
{
    if (ret_why)
        *ret_why = w->why;
    switch (w->phase) {
    case WP_SERVE:
        return WORKER_SERVING;
    case WP_FAILED:
        return WORKER_FAILED;
    case WP_LEAVE:
    case WP_DRAIN:
    case WP_STOPPED:
        return WORKER_STOPPED;
    default:
        return WORKER_STARTING;
    }
}

void worker_stats(const struct worker *w, struct worker_stats *ret_s)
{
    *ret_s = w->stats;
    ret_s->capacity = w->cfg.capacity_bytes;
    ret_s->held_bytes = w->local.held_bytes;
    if (w->has_cache) {
        ret_s->pages = w->cache.evict.count;
        ret_s->bytes = w->cache.evict.used;
        ret_s->lent_bytes = w->cache.lent;
    }
}

bool worker_check(const struct worker *w, char *err_text, size_t cap)
{
    if (!w->has_cache)
        return true;
    if (!cache_check(&w->cache, err_text, cap))
        return false;
    uint32_t req_bufs = 0, fills = 0, reserved = 0, direct = 0;
    list_each(it, &w->reqs_open) {
        struct worker_req *r = list_entry(it, struct worker_req, open);
        req_bufs += r->buf != NULL;
        direct += r->buf && r->is_ufs_buf;
        if (list_linked(&r->wait) != list_linked(&r->aging)) {
            fmt_into(err_text, cap, "worker: a request waits without a deadline");
            return false;
        }
    }
    list_each(it, &w->fills_open) {
        struct worker_fill *f = list_entry(it, struct worker_fill, link);
        fills++;
        reserved += f->is_reserved;
    }
    req_bufs += w->local.buf != NULL;
    if (req_bufs + fills + w->free_bufs != w->n_bufs || fills + direct != w->ufs_bufs ||
        reserved != w->cache.reserved_slots) {
        fmt_into(err_text, cap, "worker: %u + %u + %u buffers of %u, %u reserved of %u", req_bufs,
                 fills, w->free_bufs, w->n_bufs, reserved, w->cache.reserved_slots);
        return false;
    }
    if (!worker_hot_check(w)) {
        fmt_into(err_text, cap, "worker: %llu of %llu bytes of pages in memory",
                 (unsigned long long)w->hot.bytes, (unsigned long long)w->hot.max);
        return false;
    }
    return worker_local_check(w, err_text, cap);
}
