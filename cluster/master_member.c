/* cluster/master_member.c - workers: who lives, what they cache, what they may throw away.
 *
 * INVARIANTS
 *  1. Everything here is soft: a restarted master knows nothing and asks each worker for a full
 *     report; a table without room forgets pages, which costs a location, never a wrong byte.
 *  2. A worker is lost after four silent beats, or at once when it says that it leaves.  Every
 *     change of who is alive raises workers_version, and clients learn the list with their next
 *     beat.
 *  3. Only a leader orders pages freed, and only for versions that its applied state has left
 *     behind or has not come to. The order is repeated until the worker answers it.
 *  4. Workers report to every master.  One that begins to lead knows them at once, and looks
 *     through what they reported before, a part of it at each tick, for what is to be freed.
 *
 * Pages are counted per (file, version, worker), hashed by file; each is also on its worker's list.
 */
#include "cluster/master_impl.h"

static struct list *member_bucket(struct master *m, struct ino ino)
{
    return &m->page_hash[base_mix_u64(ino.v) & (m->page_buckets - 1)];
}

static void member_page_drop(struct master *m, struct master_page *p)
{
    struct master_worker *w = &m->workers[p->worker];
    w->pages -= p->pages;
    w->bytes -= p->bytes;
    list_remove(&p->hash);
    list_remove(&p->of_worker);
    list_remove(&p->to_free);
    mem_free(m->mem, p, sizeof *p);
    m->pages_used--;
}

static void member_forget_pages(struct master *m, struct master_worker *w)
{
    while (!list_empty(&w->all))
        member_page_drop(m, list_entry(w->all.next, struct master_page, of_worker));
}

static struct master_page *member_page(struct master *m, uint32_t worker, struct ino ino,
                                       uint64_t version)
{
    list_each(it, member_bucket(m, ino)) {
        struct master_page *p = list_entry(it, struct master_page, hash);
        if (p->ino.v == ino.v && p->version == version && p->worker == worker)
            return p;
    }
    return NULL;
}

/* --- freeing --- */

static void member_order(struct master *m, struct master_worker *w);

static void member_mark(struct master *m, struct master_page *p, uint64_t below)
{
    if (p->version >= below && below != UINT64_MAX)
        return;
    p->free_below = base_max_u64(p->free_below, below);
    if (!list_linked(&p->to_free))
        list_push_back(&m->workers[p->worker].frees, &p->to_free);
}

void master_member_free(struct master *m, struct ino ino, uint64_t below)
{
    list_each(it, member_bucket(m, ino)) {
        struct master_page *p = list_entry(it, struct master_page, hash);
        if (p->ino.v == ino.v)
            member_mark(m, p, below);
    }
}

uint64_t master_member_free_path(struct master *m, uint16_t mount, const char *path)
{
    char at[LIMIT_BELOW];
    uint64_t n = 0;
    size_t len = strlen(path);
    for (uint32_t i = 0; i < m->page_buckets; i++)
        list_each(it, &m->page_hash[i]) {
            struct master_page *p = list_entry(it, struct master_page, hash);
            uint16_t on;
            bool is_below = meta_path(m->meta, p->ino, at, sizeof at, &on) == 0 && on == mount &&
                            (!len || (!strncmp(at, path, len) && (!at[len] || at[len] == '/')));
            if (!is_below)
                continue;
            member_mark(m, p, UINT64_MAX);
            n++;
        }
    for (uint32_t i = 0; n && i < m->n_workers; i++)
        if (m->workers[i].id.v)
            member_order(m, &m->workers[i]);
    return n;
}

uint64_t master_member_to_free(const struct master_worker *w)
{
    uint64_t n = 0;
    list_each(it, &w->frees)
        n++;
    list_each(it, &w->ordered)
        n++;
    return n;
}

static void member_freed(struct env_op *op)
{
    struct rpc_call *call = container_of(op, struct rpc_call, op);
    struct master_worker *w = container_of(call, struct master_worker, free_call);
    struct list *e;
    w->is_freeing = false;
    while ((e = list_pop(&w->ordered))) {
        struct master_page *p = list_entry(e, struct master_page, to_free);
        if (op->ret < 0 || p->free_below > p->ordered_below)
            list_push_back(&w->frees, e); /* with the next beat */
    }
    if (op->ret >= 0)
        member_order(w->m, w);
}

/* What is ordered stays on a list until the worker has answered; pages that it reports gone leave
 * it with them. */
static void member_order(struct master *m, struct master_worker *w)
{
    struct rpc_conn *c = rpc_token_conn(w->token);
    if (!c || !w->is_alive || !m->is_leading || w->is_freeing || list_empty(&w->frees))
        return;
    struct wbuf b = wbuf_make(m->qbuf, RPC_BODY_MAX);
    for (unsigned n = 0; n < MASTER_FREE_MAX && !list_empty(&w->frees); n++) {
        struct master_page *p = list_entry(w->frees.next, struct master_page, to_free);
        struct rpc_free f = {p->ino, p->free_below};
        rpc_format_free_put(&b, &f);
        p->ordered_below = p->free_below;
        list_remove(&p->to_free);
        list_push_back(&w->ordered, &p->to_free);
    }
    w->is_freeing = true;
    w->free_call.op.done = member_freed;
    rpc_call(c, RPC_FREE, b.p, (uint32_t)b.len, env_now_ns(m->env) + MASTER_CALL_NS, &w->free_call);
}

/* to be freed, if its version is not the file's any more; or not yet: then the state went back (a
 * backup was restored, a majority lost), and that version will be given to other bytes */
static void member_judge(struct master *m, struct master_page *p)
{
    struct fsattr a;
    if (master_load_attr(m, p->ino, &a) != 0)
        member_mark(m, p, UINT64_MAX);
    else if (p->version < a.version)
        member_mark(m, p, a.version);
    else if (p->version > a.version)
        member_mark(m, p, UINT64_MAX);
}

void master_member_lead(struct master *m)
{
    m->sweep_at = 0;
}

static void member_sweep(struct master *m)
{
    for (unsigned n = 0; n < MASTER_SWEEP && m->sweep_at < m->page_buckets; n++, m->sweep_at++)
        list_each(it, &m->page_hash[m->sweep_at])
            member_judge(m, list_entry(it, struct master_page, hash));
}

/* --- beats --- */

static void member_delta(struct master *m, uint32_t worker, const struct rpc_page_delta *d)
{
    struct master_worker *w = &m->workers[worker];
    struct master_page *p = member_page(m, worker, d->ino, d->version);
    if (!d->pages) {
        if (p)
            member_page_drop(m, p);
        return;
    }
    if (!p) {
        p = m->pages_used < m->pages_max ? mem_zalloc(m->mem, sizeof *p) : NULL;
        if (!p)
            return;
        m->pages_used++;
        p->ino = d->ino;
        p->version = d->version;
        p->worker = worker;
        list_init(&p->to_free);
        list_push_back(member_bucket(m, d->ino), &p->hash);
        list_push_back(&w->all, &p->of_worker);
    }
    w->pages = w->pages - p->pages + d->pages; /* counts of 32 bits, a sum of 64 */
    w->bytes = w->bytes - p->bytes + d->bytes;
    p->pages = d->pages;
    p->bytes = d->bytes;
    if (m->is_leading)
        member_judge(m, p);
}

static struct master_worker *member_find(struct master *m, struct worker_id id)
{
    struct master_worker *free = NULL, *lost = NULL;
    for (uint32_t i = 0; i < m->n_workers; i++) {
        struct master_worker *w = &m->workers[i];
        if (w->id.v == id.v)
            return w;
        if (!w->id.v && !free)
            free = w;
        if (w->id.v && !w->is_alive && !w->is_freeing && (!lost || w->beat_ns < lost->beat_ns))
            lost = w;
    }
    if (!free && lost) { /* a stranger takes the place of the one that is away longest */
        member_forget_pages(m, lost);
        free = lost;
    }
    if (!free)
        return NULL;
    memset(free, 0, sizeof *free);
    free->id = id;
    free->m = m;
    list_init(&free->all);
    list_init(&free->frees);
    list_init(&free->ordered);
    return free;
}

static bool member_text(char *to, uint32_t *ret_len, const char *from, uint32_t len)
{
    if (len >= ENV_ADDR_MAX)
        return false;
    bool is_new = len != *ret_len || (len && memcmp(to, from, len) != 0);
    if (len)
        memcpy(to, from, len);
    to[len] = 0;
    *ret_len = len;
    return is_new;
}

static void member_reply(struct master *m, struct rpc_token t, bool want_full)
{
    struct rpc_worker_beat_reply rep = {.epoch = m->is_leading ? m->epoch : 0,
                                        .interval_ns = (uint64_t)m->cfg.worker_beat_ns,
                                        .page_bytes = m->cfg.page_bytes,
                                        .want_full = want_full};
    struct wbuf w = wbuf_make(m->out, RPC_BODY_MAX), items = wbuf_make(m->qbuf, RPC_BODY_MAX - 256);
    for (uint16_t n = 0; n <= LIMIT_MOUNTS && !m->is_loading; n++) {
        struct fsop_mount_info i;
        if (meta_mount_get(m->meta, n, &i) != 0 || !i.uri_len)
            continue;
        size_t before = items.len;
        struct rpc_mount_item item = {n, i.mode, i.uri, i.uri_len};
        rpc_format_mount_put(&items, &item);
        if (items.bad) {
            items.len = before;
            break;
        }
        rep.n_mounts++;
    }
    master_group_addresses(m, &items);
    rpc_format_worker_beat_reply_put(&w, &rep);
    wbuf_bytes(&w, items.p, items.len);
    rpc_reply(t, w.bad ? E_TOOBIG : 0, w.p, w.bad ? 0 : (uint32_t)w.len);
}

void master_member_beat(struct master *m, struct rpc_token t, const void *body, uint32_t len)
{
    struct rbuf b = rbuf_make(body, len);
    struct rpc_worker_beat beat;
    struct rpc_page_delta d;
    if (rpc_format_worker_beat_get(&b, &beat) != 0 || !beat.id.v) {
        rpc_reply(t, E_PROTO, NULL, 0);
        return;
    }
    struct master_worker *w = member_find(m, beat.id);
    if (!w) {
        rpc_reply(t, E_AGAIN, NULL, 0);
        return;
    }
    bool is_alive = !(beat.flags & RPC_BEAT_LEAVING);
    bool is_new = member_text(w->addr, &w->addr_len, beat.addr, beat.addr_len);
    is_new = member_text(w->host, &w->host_len, beat.host, beat.host_len) || is_new;
    if (is_new || is_alive != w->is_alive)
        m->workers_version++;
    if (w->incarnation != beat.incarnation || (beat.flags & RPC_BEAT_FULL_BEGIN))
        member_forget_pages(m, w);
    if (w->incarnation != beat.incarnation)
        w->is_reported = false;
    if (beat.flags & (RPC_BEAT_FULL_BEGIN | RPC_BEAT_FULL_END))
        w->is_reported = true;
    w->incarnation = beat.incarnation;
    w->is_alive = is_alive;
    w->beat_ns = env_now_ns(m->env);
    w->beats++;
    w->token = t;
    w->last = beat;
    uint32_t slot = (uint32_t)(w - m->workers);
    for (uint32_t i = 0; i < beat.n_deltas && rpc_format_delta_get(&beat.items, &d) == 0; i++)
        member_delta(m, slot, &d);
    member_reply(m, t, !w->is_reported && is_alive);
    member_order(m, w);
}

void master_member_tick(struct master *m)
{
    int64_t now = env_now_ns(m->env);
    if (m->is_leading)
        member_sweep(m);
    for (uint32_t i = 0; i < m->n_workers; i++) {
        struct master_worker *w = &m->workers[i];
        if (!w->is_alive || now - w->beat_ns <= 4 * m->cfg.worker_beat_ns)
            continue;
        w->is_alive = false;
        m->workers_version++;
        fmt_log(m->env, ENV_LOG_WARN, "master: worker %s is silent: its clients go elsewhere",
                w->addr);
    }
}

/* --- asking --- */

uint32_t master_member_list(struct master *m, struct wbuf *w)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n_workers; i++) {
        const struct master_worker *k = &m->workers[i];
        if (!k->id.v)
            continue;
        size_t before = w->len;
        struct rpc_worker_info info = {k->id,   k->is_alive, k->addr,
                                       k->host, k->addr_len, k->host_len};
        rpc_format_worker_info_put(w, &info);
        if (w->bad) {
            w->bad = false;
            w->len = before;
            break;
        }
        n++;
    }
    return n;
}

void master_member_location(struct master *m, struct rpc_token t, const void *body, uint32_t len)
{
    struct rbuf b = rbuf_make(body, len);
    struct rpc_file f;
    struct rpc_location l = {0};
    if (rpc_format_file_get(&b, &f) != 0) {
        rpc_reply(t, E_PROTO, NULL, 0);
        return;
    }
    struct wbuf w = wbuf_make(m->out, RPC_BODY_MAX), items = wbuf_make(m->qbuf, RPC_BODY_MAX - 256);
    list_each(it, member_bucket(m, f.ino)) {
        const struct master_page *p = list_entry(it, struct master_page, hash);
        if (p->ino.v != f.ino.v || (f.version && p->version != f.version) ||
            !m->workers[p->worker].is_alive || items.cap - items.len < 32)
            continue;
        struct rpc_location_item i = {m->workers[p->worker].id, p->pages, p->bytes};
        rpc_format_location_item_put(&items, &i);
        l.n++;
    }
    rpc_format_location_put(&w, &l);
    wbuf_bytes(&w, items.p, items.len);
    rpc_reply(t, 0, w.p, (uint32_t)w.len);
}

int master_member_init(struct master *m)
{
    uint32_t workers = m->cfg.clients_max / 2;
    uint64_t want = m->cfg.limits.inodes_max / 8;
    m->n_workers = workers < 16 ? 16 : workers > LIMIT_WORKERS ? LIMIT_WORKERS : workers;
    m->page_buckets = 2048;
    while (m->page_buckets < want && m->page_buckets < 1u << 19)
        m->page_buckets *= 2;
    m->workers_version = 1;
    m->sweep_at = m->page_buckets;
    m->workers = master_keep(m, sizeof *m->workers * m->n_workers);
    m->page_hash = master_keep(m, sizeof *m->page_hash * m->page_buckets);
    if (!m->workers || !m->page_hash)
        return E_NOMEM;
    for (uint32_t i = 0; i < m->page_buckets; i++)
        list_init(&m->page_hash[i]);
    m->pages_max = m->page_buckets;
    return 0;
}

void master_member_free_all(struct master *m)
{
    for (uint32_t i = 0; m->workers && i < m->n_workers; i++)
        if (m->workers[i].id.v)
            member_forget_pages(m, &m->workers[i]);
}

bool master_member_pages(const struct master *m, const char *addr, uint64_t *ret_pages)
{
    size_t len = strlen(addr);
    for (uint32_t i = 0; i < m->n_workers; i++) {
        const struct master_worker *w = &m->workers[i];
        if (!w->id.v || !w->is_alive || w->addr_len != len || memcmp(w->addr, addr, len) != 0)
            continue;
        *ret_pages = w->pages;
        return true;
    }
    return false;
}

bool master_member_check(const struct master *m, char *err_text_buf, size_t cap)
{
    uint32_t out = 0;
    for (uint32_t i = 0; i < m->n_workers; i++) {
        const struct master_worker *w = &m->workers[i];
        uint64_t pages = 0, bytes = 0;
        if (!w->id.v)
            continue;
        list_each(it, &w->all) {
            const struct master_page *p = list_entry(it, struct master_page, of_worker);
            pages += p->pages;
            bytes += p->bytes;
            out++;
        }
        if (pages != w->pages || bytes != w->bytes) {
            fmt_into(err_text_buf, cap, "worker %u: %llu pages of %llu", i,
                     (unsigned long long)pages, (unsigned long long)w->pages);
            return false;
        }
    }
    if (out == m->pages_used)
        return true;
    fmt_into(err_text_buf, cap, "pages: %u on lists, %u out", out, m->pages_used);
    return false;
}
