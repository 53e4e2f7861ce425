/* cluster/worker_local.c - whole files for processes of the same host, to be read past the worker.
 *
 * A mount on this host asks (RPC_LOCAL) whether it may open the data file of one version of a file.
 * It may when every page of it is here and was read and verified; it gets the address of the edge,
 * which passes the descriptor for the token.  What it holds it gives back, or its connection ends,
 * or it falls silent for WORKER_HOLD_NS.
 *
 *   (none) --asked, pages missing--> WANTED --last page came--> CHECK --all right--> READY
 *   (none) --asked, whole--> CHECK          READY --a page left--> WANTED
 *   CHECK --a page is damaged or left--> (none)
 *   any --the file is dropped--> (none), or GONE while somebody has it --last one back--> (none)
 *
 * INVARIANTS
 *  1. Nobody can tell when a process has stopped reading a descriptor it was given: it may be
 *     mapped, or passed on, or outlive the mount and this process.  So a data file that was handed
 *     out is never punched and never written again; it is unlinked, and its readers keep right
 *     bytes (cache_file.goes_whole).  A process that starts takes every whole file for such a one.
 *  2. While somebody has a file it is not evicted, because that would free nothing
 *     (cache_file.is_held).  If it must go all the same (a new version, a damaged page), its bytes
 *     count against the capacity until it is given back (cache.lent).
 *  3. Files that somebody has are half of the capacity at most; beyond that the answer is no, and
 *     the rest of the capacity goes on as a cache.
 *  4. Bytes are verified before they are handed out the first time; the edge's stamp says later
 *     that nobody wrote them since, else they are verified again.  Rot below the file system after
 *     that is not seen by those who read past us.
 *  5. A hold without grants is on `idle` (WANTED, READY) or `checks`; one that is GONE is only in
 *     its grants. */
#include "cluster/worker_impl.h"
#include "core/fmt.h"

enum { WORKER_HOLDS = 1024, WORKER_GRANTS = 4096 };

static const int64_t WORKER_HOLD_NS = 30 * 1000000000LL;

static void worker_local_step(struct worker *w);

int worker_local_open(struct worker *w)
{
    struct worker_local *l = &w->local;
    list_init(&l->idle);
    list_init(&l->checks);
    list_init(&l->all_grants);
    for (unsigned i = 0; i < WORKER_HOLD_BUCKETS; i++)
        list_init(&l->bucket[i]);
    if (!w->cfg.edge)
        return 0;
    int err = pool_init(&l->holds, w->mem, sizeof(struct worker_hold), WORKER_HOLDS);
    return err ? err : pool_init(&l->grants, w->mem, sizeof(struct worker_grant), WORKER_GRANTS);
}

void worker_local_free(struct worker *w)
{
    struct pool *pools[] = {&w->local.holds, &w->local.grants};
    for (unsigned i = 0; i < ARRAY_LEN(pools); i++)
        mem_free(w->mem, pools[i]->base, (size_t)pools[i]->object_size * pools[i]->count);
}

bool worker_local_idle(const struct worker *w)
{
    return !w->local.buf;
}

/* ---- holds ---- */

static struct list *worker_hold_bucket(struct worker *w, struct ino ino)
{
    return &w->local.bucket[base_mix_u64(ino.v) & (WORKER_HOLD_BUCKETS - 1)];
}

static struct worker_hold *worker_hold_find(struct worker *w, struct ino ino, uint64_t version)
{
    list_each(it, worker_hold_bucket(w, ino)) {
        struct worker_hold *h = list_entry(it, struct worker_hold, link);
        if (h->ino.v == ino.v && h->version == version)
            return h;
    }
    return NULL;
}

static void worker_hold_off(struct list *l)
{
    if (list_linked(l))
        list_remove(l);
}

static void worker_hold_free(struct worker *w, struct worker_hold *h)
{
    ASSERT(list_empty(&h->grants));
    if (w->local.checking == h)
        w->local.checking = NULL;
    worker_hold_off(&h->idle);
    worker_hold_off(&h->link);
    pool_put(&w->local.holds, h);
}

static struct worker_hold *worker_hold_make(struct worker *w, const struct rpc_local *q)
{
    struct worker_local *l = &w->local;
    struct list *oldest = l->holds.free_count ? NULL : list_pop(&l->idle);
    if (oldest)
        worker_hold_free(w, list_entry(oldest, struct worker_hold, idle));
    struct worker_hold *h = pool_get(&l->holds);
    if (!h)
        return NULL;
    h->state = WH_WANTED;
    h->ino = q->ino;
    h->version = q->version;
    h->size = q->size;
    list_init(&h->grants);
    list_init(&h->idle);
    list_push_back(worker_hold_bucket(w, h->ino), &h->link);
    list_push_back(&l->idle, &h->idle);
    return h;
}

static uint64_t worker_hold_stamp(struct worker *w, const struct worker_hold *h)
{
    char name[ENV_NAME_MAX];
    worker_format_name(name, sizeof name, w->prefix, h->ino, h->version, WORKER_FORMAT_DATA);
    return w->cfg.edge->stamp(w->cfg.edge, name);
}

static void worker_hold_check(struct worker *w, struct worker_hold *h)
{
    h->state = WH_CHECK;
    worker_hold_off(&h->idle);
    list_push_back(&w->local.checks, &h->idle);
    worker_local_step(w);
}

void worker_local_filled(struct worker *w, struct ino ino, uint64_t version)
{
    struct worker_hold *h = w->cfg.edge ? worker_hold_find(w, ino, version) : NULL;
    if (h && h->state == WH_WANTED && cache_is_whole(cache_find_file(&w->cache, ino, version)))
        worker_hold_check(w, h);
}

void worker_local_leaving(struct worker *w, struct cache_file *file, bool all)
{
    struct worker_hold *h = w->cfg.edge ? worker_hold_find(w, file->ino, file->version) : NULL;
    if (!h)
        return;
    if (!list_empty(&h->grants)) {
        ASSERT(all && h->state == WH_READY);
        worker_hold_off(&h->link);
        h->state = WH_GONE;
        w->cache.lent += h->size;
    } else if (h->state == WH_CHECK || all) {
        worker_hold_free(w, h);
    } else {
        h->state = WH_WANTED;
    }
}

/* ---- grants ---- */

static void worker_grant_end(struct worker *w, struct worker_grant *g)
{
    struct worker_hold *h = g->hold;
    list_remove(&g->link);
    list_remove(&g->order);
    pool_put(&w->local.grants, g);
    if (!list_empty(&h->grants))
        return;
    w->local.held_bytes -= h->size;
    if (h->state == WH_GONE) {
        w->cache.lent -= h->size;
        worker_hold_free(w, h);
        return;
    }
    struct cache_file *file = cache_find_file(&w->cache, h->ino, h->version);
    ASSERT(file && file->is_held);
    file->is_held = false;
    list_push_back(&w->local.idle, &h->idle);
}

static struct worker_grant *worker_grant_find(const struct worker *w, uint64_t token)
{
    list_each(it, &w->local.all_grants) {
        struct worker_grant *g = list_entry(it, struct worker_grant, order);
        if (g->token == token)
            return g;
    }
    return NULL;
}

static bool worker_grant_is_of(const struct worker_grant *g, struct rpc_token t)
{
    return g->conn == t.conn && g->conn_serial == t.conn_serial;
}

void worker_local_closed(struct rpc_host *host, struct rpc_conn *c)
{
    struct worker *w = container_of(host, struct worker, host);
    list_each_safe(it, &w->local.all_grants) {
        struct worker_grant *g = list_entry(it, struct worker_grant, order);
        if (g->conn == c)
            worker_grant_end(w, g);
    }
}

void worker_local_tick(struct worker *w)
{
    int64_t now = env_now_ns(w->env);
    list_each_safe(it, &w->local.all_grants) {
        struct worker_grant *g = list_entry(it, struct worker_grant, order);
        if (now >= g->until_ns)
            worker_grant_end(w, g);
    }
    worker_local_step(w);
}

bool worker_local_name(const struct worker *w, uint64_t token, char *name, size_t cap,
                       uint64_t *ret_size)
{
    const struct worker_grant *g = token ? worker_grant_find(w, token) : NULL;
    if (!g || g->hold->state != WH_READY)
        return false;
    worker_format_name(name, cap, w->prefix, g->hold->ino, g->hold->version, WORKER_FORMAT_DATA);
    *ret_size = g->hold->size;
    return true;
}

static int worker_grant_make(struct worker *w, struct worker_hold *h, struct cache_file *file,
                             const struct rpc_local *q, struct rpc_token t)
{
    struct worker_local *l = &w->local;
    bool is_first = list_empty(&h->grants);
    if (is_first && l->held_bytes + h->size > w->cfg.capacity_bytes / 2)
        return E_NOSPC;
    struct worker_grant *g = worker_grant_find(w, q->token) ? NULL : pool_get(&l->grants);
    if (!g)
        return E_UNAVAILABLE;
    *g = (struct worker_grant){.hold = h,
                               .token = q->token,
                               .conn = t.conn,
                               .conn_serial = t.conn_serial,
                               .until_ns = env_now_ns(w->env) + WORKER_HOLD_NS};
    list_push_back(&h->grants, &g->link);
    list_push_back(&l->all_grants, &g->order);
    if (is_first) {
        l->held_bytes += h->size;
        worker_hold_off(&h->idle);
    }
    file->is_held = file->goes_whole = true;
    w->stats.handed_out++;
    return 0;
}

/* ---- verifying, one page of one file at a time ---- */

static void worker_local_verified(struct worker *w, struct worker_hold *h)
{
    struct worker_local *l = &w->local;
    l->checking = NULL;
    worker_hold_off(&h->idle);
    list_push_back(&l->idle, &h->idle);
    h->stamp = l->stamp;
    h->state = h->stamp && h->stamp == worker_hold_stamp(w, h) ? WH_READY : WH_WANTED;
    w->stats.checked++;
}

static void worker_local_damaged(struct worker *w, uint32_t slot)
{
    struct cache_file *file = w->cache.slot[slot].file;
    w->stats.corrupt++;
    fmt_log(w->env, ENV_LOG_WARN,
            "worker %s: page %u of file %llx is damaged on disk (checksum): the file goes",
            w->cfg.listen, w->cache.slot[slot].page, (unsigned long long)file->ino.v);
    if (!worker_fill_drop_file(w, file))
        worker_local_leaving(w, file, false); /* no hurry: whoever reads the page finds it */
}

static void worker_local_read(struct env_op *op)
{
    struct worker_job *j = container_of(op, struct worker_job, op);
    struct worker *w = container_of(j, struct worker, local.job);
    struct worker_local *l = &w->local;
    const struct cache_slot *s = &w->cache.slot[l->slot];
    bool is_there = s->file;
    bool good = op->ret == (int64_t)j->len && worker_rpc_verify(w, s, l->buf, j->len, j->off);
    cache_unpin(&w->cache, l->slot);
    worker_buf_put(w, l->buf, NULL);
    l->buf = NULL;
    if (is_there && !good && op->ret != E_AGAIN)
        worker_local_damaged(w, l->slot);
    else if (good)
        l->page++;
    worker_rpc_kick(w);
    if (op->ret != E_AGAIN) /* then the tick comes back to it */
        worker_local_step(w);
}

/* the next page of the file at hand; false: there is no buffer now */
static bool worker_local_read_page(struct worker *w, uint32_t slot)
{
    struct worker_local *l = &w->local;
    l->buf = worker_buf_get(w, NULL);
    if (!l->buf)
        return false; /* the tick comes again */
    const struct cache_slot *s = &w->cache.slot[slot];
    l->slot = slot;
    cache_pin(&w->cache, slot);
    l->job = (struct worker_job){
        .op.done = worker_local_read,
        .kind = WORKER_JOB_READ,
        .key = {s->file->ino, s->file->version, s->page},
        .buf = l->buf,
        .len = s->size,
        .off = (uint64_t)s->page * w->id.page_bytes,
    };
    worker_store_submit(&w->store, &l->job);
    return true;
}

static void worker_local_step(struct worker *w)
{
    struct worker_local *l = &w->local;
    while (!l->buf && w->phase == WP_SERVE && !w->stopping) {
        if (!l->checking && list_empty(&l->checks))
            return;
        if (!l->checking) {
            l->checking = list_entry(l->checks.next, struct worker_hold, idle);
            l->stamp = worker_hold_stamp(w, l->checking);
            l->page = 0;
        }
        struct worker_hold *h = l->checking;
        uint32_t slot = cache_find(&w->cache, (struct cache_key){h->ino, h->version, l->page});
        if ((uint64_t)l->page * w->id.page_bytes >= h->size)
            worker_local_verified(w, h);
        else if (slot == CACHE_NONE)
            worker_hold_free(w, h); /* never: a page that leaves takes the check with it */
        else if (!worker_local_read_page(w, slot))
            return;
    }
}

/* ---- calls ---- */

static int worker_local_hold(struct worker *w, const struct rpc_local *q, struct rpc_token t)
{
    struct worker_edge *edge = w->cfg.edge;
    if (!edge || q->host_len != strlen(edge->host) || memcmp(q->host, edge->host, q->host_len))
        return E_NOTSUP;
    if (w->phase != WP_SERVE)
        return E_AGAIN;
    if (!q->ino.v || !q->token || !q->size)
        return E_INVAL;
    struct cache_file *file = cache_find_file(&w->cache, q->ino, q->version);
    struct worker_hold *h = worker_hold_find(w, q->ino, q->version);
    if (!h && !(h = worker_hold_make(w, q)))
        return E_UNAVAILABLE;
    if (h->size != q->size)
        return E_INVAL;
    if (!cache_is_whole(file) || file->size != q->size || h->state == WH_CHECK)
        return E_AGAIN;
    if (h->state == WH_READY && list_empty(&h->grants) && worker_hold_stamp(w, h) != h->stamp)
        h->state = WH_WANTED;
    if (h->state == WH_READY)
        return worker_grant_make(w, h, file, q, t);
    worker_hold_check(w, h);
    return E_AGAIN;
}

void worker_local_call(struct worker *w, struct rpc_token t, const void *body, uint32_t len)
{
    struct rbuf in = rbuf_make(body, len);
    struct rpc_local q;
    uint8_t out[256];
    struct wbuf b = wbuf_make(out, sizeof out);
    int err = rpc_format_local_get(&in, &q);
    struct worker_grant *g = err ? NULL : worker_grant_find(w, q.token);
    if (!err && q.kind == RPC_LOCAL_HOLD) {
        err = worker_local_hold(w, &q, t);
        w->stats.refused += err != 0;
    } else if (!err && q.kind == RPC_LOCAL_RETURN && g && worker_grant_is_of(g, t)) {
        worker_grant_end(w, g);
    } else if (!err && q.kind > RPC_LOCAL_RENEW) {
        err = E_NOTSUP;
    }
    list_each(it, &w->local.all_grants) {
        g = list_entry(it, struct worker_grant, order);
        if (worker_grant_is_of(g, t))
            g->until_ns = env_now_ns(w->env) + WORKER_HOLD_NS;
    }
    if (!err && q.kind == RPC_LOCAL_HOLD) {
        struct rpc_local_reply r = {w->cfg.edge->address, (uint32_t)strlen(w->cfg.edge->address)};
        rpc_format_local_reply_put(&b, &r);
    }
    rpc_reply(t, err, out, (uint32_t)b.len);
}

bool worker_local_check(const struct worker *w, char *err_text, size_t cap)
{
    uint64_t held = 0, lent = 0;
    const struct worker_local *l = &w->local;
    list_each(it, &l->all_grants) {
        struct worker_grant *g = list_entry(it, struct worker_grant, order);
        struct worker_hold *h = g->hold;
        if (h->grants.next != &g->link)
            continue; /* each hold is looked at once */
        const struct cache_file *file = cache_find_file(&w->cache, h->ino, h->version);
        bool is_gone = h->state == WH_GONE;
        held += h->size;
        lent += is_gone ? h->size : 0;
        if (!is_gone && (!cache_is_whole(file) || !file->is_held || !file->goes_whole)) {
            fmt_into(err_text, cap, "worker: file %llx is handed out, but not held",
                     (unsigned long long)h->ino.v);
            return false;
        }
    }
    if (held != l->held_bytes || lent != w->cache.lent || held > w->cfg.capacity_bytes / 2) {
        fmt_into(err_text, cap, "worker: %llu bytes of %llu handed out, %llu of %llu lent",
                 (unsigned long long)held, (unsigned long long)l->held_bytes,
                 (unsigned long long)lent, (unsigned long long)w->cache.lent);
        return false;
    }
    return true;
}
