/* cluster/worker_beat.c - reports to every master: alive, counters, and which files have pages
 * here.
 *
 * Each master has its own cursor into the order of changes (core/cache.h).  A beat carries what is
 * behind the cursor, as much as fits a frame; the cursor moves for good when the answer arrives and
 * goes back when it does not.  A full report is a run of beats from FULL_BEGIN to FULL_END that
 * follow each other without a pause; if one is lost, the report begins again.
 *
 * The masters are those of the configuration, and those that a leader names since: the group may
 * have changed.  When there are too many, one that was learned and is named no more goes.
 *
 * Masters need not lead to be told; what they tell us (mounts, page size) counts only from the
 * highest epoch seen. */
#include "cluster/worker_impl.h"
#include "core/fmt.h"
#include "core/mutant.h"

static const int64_t WORKER_BEAT_NS = 500 * 1000000LL;
static const int64_t WORKER_BEAT_MIN_NS = 10 * 1000000LL;
static const int64_t WORKER_BEAT_MAX_NS = 60 * 1000000000LL;
static const int64_t WORKER_BEAT_PATIENCE_NS = 2 * 1000000000LL;

enum { WORKER_DELTA_BYTES = 28 };

static void worker_beat_send(struct worker_master *m, uint32_t flags);

static void worker_beat_timer(struct env_op *op)
{
    struct worker_master *m = container_of(op, struct worker_master, timer.op);
    if (!m->is_calling)
        worker_beat_send(m, 0);
}

static void worker_beat_head(struct worker_master *m, uint32_t n, struct wbuf *w)
{
    struct worker *k = m->w;
    struct worker_stats s;
    worker_stats(k, &s);
    struct rpc_worker_beat b = {
        .id = k->id.id,
        .incarnation = k->incarnation,
        .flags = m->flags,
        .addr = k->cfg.advertise,
        .addr_len = (uint32_t)strlen(k->cfg.advertise),
        .host = k->cfg.host,
        .host_len = (uint32_t)strlen(k->cfg.host),
        .capacity = s.capacity,
        .used = s.bytes,
        .page_bytes = k->id.page_bytes,
        .reads = s.reads,
        .hits = s.hits,
        .misses = s.misses,
        .bytes_served = s.bytes_served,
        .ufs_bytes = s.ufs_bytes,
        .ufs_reads = s.ufs_reads,
        .evictions = s.evictions,
        .corrupt = s.corrupt,
        .errors = s.errors,
        .handed_out = s.handed_out,
        .held_bytes = s.held_bytes,
        .n_deltas = n,
    };
    rpc_format_worker_beat_put(w, &b);
}

/* the items behind the cursor, as many as fit */
static uint32_t worker_beat_items(struct worker_master *m, struct wbuf *w)
{
    struct cache *c = &m->w->cache;
    struct cache_item i;
    uint32_t n = 0;
    m->has_more = false;
    while (cache_cursor_next(c, &m->cursor, &i)) {
        if (m->in_full && !i.pages)
            continue;
        struct rpc_page_delta d = {i.ino, i.version, i.pages, i.bytes};
        rpc_format_delta_put(w, &d);
        n++;
        if (w->cap - w->len < WORKER_DELTA_BYTES) {
            m->has_more = true;
            break;
        }
    }
    return n;
}

static void worker_beat_prepare(struct worker_master *m)
{
    struct cache *c = &m->w->cache;
    if (!m->has_cursor) {
        cache_cursor_open(c, &m->cursor);
        m->has_cursor = true;
        m->want_full = true;
    }
    if (cache_cursor_lost(c, &m->cursor) || env_fault(m->w->env, "worker.tells_all"))
        m->want_full = true;
    if (m->want_full) {
        cache_cursor_reset(c, &m->cursor);
        m->want_full = false;
        m->in_full = true;
        m->flags |= RPC_BEAT_FULL_BEGIN;
    }
}

static void worker_beat_done(struct env_op *op);

/* while the index is rebuilt there is nothing true to say about it */
static bool worker_beat_tells(const struct worker *w)
{
    return w->has_cache && w->phase != WP_LOAD;
}

static void worker_beat_send(struct worker_master *m, uint32_t flags)
{
    struct worker *w = m->w;
    uint32_t n = 0;
    m->flags = flags;
    bool tells = worker_beat_tells(w);
    if (tells)
        worker_beat_prepare(m);
    struct wbuf body = wbuf_make(m->body, RPC_BODY_MAX);
    worker_beat_head(m, 0, &body);
    if (tells)
        n = worker_beat_items(m, &body);
    if (m->in_full && tells && !m->has_more)
        m->flags |= RPC_BEAT_FULL_END;
    struct wbuf head = wbuf_make(m->body, RPC_BODY_MAX); /* again, now with count and flags */
    worker_beat_head(m, n, &head);
    int64_t now = env_now_ns(w->env), patience = 4 * m->interval_ns;
    if (patience < WORKER_BEAT_PATIENCE_NS)
        patience = WORKER_BEAT_PATIENCE_NS;
    m->is_calling = true;
    m->call.op.done = worker_beat_done;
    rpc_link_call(&m->link, RPC_WORKER_BEAT, m->body, (uint32_t)body.len, now + patience, &m->call);
}

static int worker_beat_add(struct worker *w, const char *addr, size_t len);
static void worker_beat_begin(struct worker_master *m, const char *addr, size_t len);

static bool worker_beat_is_named(struct rbuf names, const char *master)
{
    const char *addr;
    uint32_t len;
    while (rbuf_left(&names) && rpc_format_addr_get(&names, &addr, &len) == 0)
        if (strlen(master) == len && !memcmp(master, addr, len))
            return true;
    return false;
}

static bool worker_beat_knows(const struct worker *w, const char *addr, uint32_t len)
{
    for (uint32_t i = 0; i < w->n_masters; i++)
        if (strlen(w->masters[i].addr) == len && !memcmp(w->masters[i].addr, addr, len))
            return true;
    return false;
}

/* One that was learned, belongs to the group no more and is at rest; its place is free then. */
static struct worker_master *worker_beat_drop_one(struct worker *w, struct rbuf names)
{
    for (uint32_t i = w->n_given; i < w->n_masters; i++) {
        struct worker_master *m = &w->masters[i];
        if (m->is_calling || m->link.is_connecting || worker_beat_is_named(names, m->addr))
            continue;
        env_timer_stop(w->env, &m->timer);
        rpc_link_close(&m->link);
        if (m->has_cursor)
            cache_cursor_close(&w->cache, &m->cursor);
        return m;
    }
    return NULL;
}

/* masters that are named behind the mounts, and that nobody told us of before */
static void worker_beat_learn(struct worker *w, struct rbuf items, uint32_t n_mounts)
{
    struct rpc_mount_item mount;
    const char *addr;
    uint32_t len;
    while (n_mounts--)
        if (rpc_format_mount_get(&items, &mount))
            return;
    struct rbuf names = items;
    while (rbuf_left(&items) && rpc_format_addr_get(&items, &addr, &len) == 0) {
        struct worker_master *m = NULL;
        if (!len || worker_beat_knows(w, addr, len))
            continue;
        if (worker_beat_add(w, addr, len) == 0)
            m = &w->masters[w->n_masters - 1];
        else if ((m = worker_beat_drop_one(w, names)))
            worker_beat_begin(m, addr, len); /* else with a later answer */
        if (m)
            worker_beat_send(m, 0);
    }
}

static void worker_beat_answer(struct worker_master *m, const void *b, uint32_t n)
{
    struct worker *w = m->w;
    struct rpc_worker_beat_reply r;
    struct rbuf in = rbuf_make(b, n);
    if (rpc_format_worker_beat_reply_get(&in, &r)) {
        w->stats.errors++;
        return;
    }
    int64_t ns =
        r.interval_ns > (uint64_t)WORKER_BEAT_MAX_NS ? WORKER_BEAT_MAX_NS : (int64_t)r.interval_ns;
    m->interval_ns = ns < WORKER_BEAT_MIN_NS ? WORKER_BEAT_MIN_NS : ns;
    if (r.want_full)
        m->want_full = true;
    if (r.epoch < w->epoch)
        return;
    w->epoch = r.epoch;
    worker_beat_learn(w, r.items, r.n_mounts);
    if (r.n_mounts)
        worker_mounts_set(w, r.items, r.n_mounts);
    if (r.page_bytes && r.page_bytes <= UINT32_MAX)
        worker_load_page_bytes(w, (uint32_t)r.page_bytes);
}

static void worker_beat_done(struct env_op *op)
{
    struct worker_master *m = container_of(op, struct worker_master, call.op);
    struct worker *w = m->w;
    m->is_calling = false;
    if (op->ret < 0 && !MUTANT(DELTA_LOST)) {
        if (m->has_cursor)
            cache_cursor_rollback(&w->cache, &m->cursor);
        if (m->in_full)
            m->want_full = true;
        m->in_full = m->has_more = false;
    } else {
        if (m->has_cursor)
            cache_cursor_ack(&w->cache, &m->cursor);
        if (m->flags & RPC_BEAT_FULL_END)
            m->in_full = false;
        m->heard_ns = env_now_ns(w->env);
        if (!w->stopping)
            worker_beat_answer(m, m->call.call.reply, m->call.call.reply_len);
    }
    if (w->stopping || w->phase == WP_FAILED)
        return;
    bool more = op->ret >= 0 && worker_beat_tells(w) && (m->has_more || m->want_full);
    int64_t wait = more ? 0 : m->interval_ns;
    env_timer_set(w->env, &m->timer, env_now_ns(w->env) + wait);
}

/* ---- all masters ---- */

/* in a free place */
static void worker_beat_begin(struct worker_master *m, const char *addr, size_t len)
{
    struct worker *w = m->w;
    uint8_t *body = m->body;
    memset(m, 0, sizeof *m);
    memcpy(m->addr, addr, len);
    m->body = body;
    m->w = w;
    m->interval_ns = WORKER_BEAT_NS;
    m->timer.op.done = worker_beat_timer;
    rpc_link_init(&m->link, &w->host, m->addr);
}

static int worker_beat_add(struct worker *w, const char *addr, size_t len)
{
    struct worker_master *m = &w->masters[w->n_masters];
    if (w->n_masters == WORKER_MASTERS_MAX)
        return E_AGAIN;
    m->w = w;
    m->body = mem_alloc(w->mem, RPC_BODY_MAX);
    if (!m->body)
        return E_NOMEM;
    worker_beat_begin(m, addr, len);
    w->n_masters++;
    return 0;
}

static bool worker_beat_next_addr(const char **at, char to[ENV_ADDR_MAX])
{
    while (**at == ',' || **at == ' ')
        ++*at;
    size_t n = 0;
    while ((*at)[n] && (*at)[n] != ',' && (*at)[n] != ' ')
        n++;
    if (n && n < ENV_ADDR_MAX) {
        memcpy(to, *at, n);
        to[n] = 0;
    }
    *at += n;
    return n && n < ENV_ADDR_MAX;
}

int worker_beat_open(struct worker *w)
{
    w->masters = mem_zalloc(w->mem, WORKER_MASTERS_MAX * sizeof *w->masters);
    if (!w->masters)
        return E_NOMEM;
    const char *at = w->cfg.masters;
    while (w->n_masters < WORKER_MASTERS_MAX) {
        char addr[ENV_ADDR_MAX];
        if (!worker_beat_next_addr(&at, addr))
            break;
        int err = worker_beat_add(w, addr, strlen(addr));
        if (err)
            return err;
        w->n_given = w->n_masters;
    }
    return *at ? E_INVAL : 0;
}

void worker_beat_start(struct worker *w)
{
    for (uint32_t i = 0; i < w->n_masters; i++)
        worker_beat_send(&w->masters[i], 0);
}

void worker_beat_now(struct worker *w)
{
    for (uint32_t i = 0; i < w->n_masters; i++)
        if (!w->masters[i].is_calling)
            env_timer_set(w->env, &w->masters[i].timer, env_now_ns(w->env));
}

void worker_beat_leave(struct worker *w)
{
    for (uint32_t i = 0; i < w->n_masters; i++) {
        struct worker_master *m = &w->masters[i];
        env_timer_stop(w->env, &m->timer);
        if (!m->is_calling && m->link.conn)
            worker_beat_send(m, RPC_BEAT_LEAVING);
    }
}

bool worker_beat_idle(const struct worker *w)
{
    for (uint32_t i = 0; i < w->n_masters; i++)
        if (w->masters[i].is_calling)
            return false;
    return true;
}

void worker_beat_text(const struct worker *w, struct rpc_text *t)
{
    int64_t now = env_now_ns(w->env);
    rpc_text_u64(t, "masters.count", w->n_masters);
    for (uint32_t i = 0; i < w->n_masters; i++) {
        const struct worker_master *m = &w->masters[i];
        rpc_text_line(t, "masters.%u.addr %s", i, m->addr);
        rpc_text_line(t, "masters.%u.connected %d", i, m->link.conn != NULL);
        rpc_text_line(t, "masters.%u.connects %llu", i, (unsigned long long)m->link.connects);
        rpc_text_line(t, "masters.%u.interval_ns %llu", i, (unsigned long long)m->interval_ns);
        if (m->heard_ns)
            rpc_text_line(t, "masters.%u.heard_ago_ns %llu", i,
                          (unsigned long long)(now - m->heard_ns));
    }
}

void worker_beat_close(struct worker *w)
{
    for (uint32_t i = 0; i < w->n_masters; i++) {
        env_timer_stop(w->env, &w->masters[i].timer);
        rpc_link_close(&w->masters[i].link);
    }
}

void worker_beat_free(struct worker *w)
{
    for (uint32_t i = 0; i < w->n_masters; i++) {
        struct worker_master *m = &w->masters[i];
        if (m->has_cursor)
            cache_cursor_close(&w->cache, &m->cursor);
        mem_free(w->mem, m->body, RPC_BODY_MAX);
    }
    mem_free(w->mem, w->masters, WORKER_MASTERS_MAX * sizeof *w->masters);
}
