/* cluster/client_worker.c - the workers as the master lists them, their connections, and the
 * under-stores that the client reaches by itself.
 *
 * INVARIANTS
 *  1. A worker's entry is never freed before the client: pieces keep its id and find it again.
 *  2. One that left the list or is dead there has no connection, so its calls have ended.
 *  3. One that failed lately is chosen after those that did not, until the time of suspicion is
 *     over; the order among the others is placement's. */
#include "cluster/client_impl.h"
#include "core/fmt.h"

static const int64_t WORKER_CONNECT_NS = 1000 * CLIENT_MS;
static const int64_t WORKER_SUSPECT_NS = 1000 * CLIENT_MS;

struct client_worker *client_worker_find(struct client *c, struct worker_id id)
{
    for (uint32_t i = 0; i < c->n_workers; i++)
        if (c->workers[i]->id.v == id.v)
            return c->workers[i];
    return NULL;
}

void client_worker_suspect(struct client_worker *w)
{
    w->suspect_until_ns = env_now_ns(w->c->env) + WORKER_SUSPECT_NS;
}

void client_worker_closed(struct client_worker *w)
{
    w->conn = NULL;
    client_worker_suspect(w);
}

static void worker_connected(struct env_op *op)
{
    struct client_worker *w = container_of(op, struct client_worker, connecting);
    struct client *c = w->c;
    c->pending--;
    w->is_connecting = false;
    if (op->ret < 0) {
        client_worker_suspect(w);
    } else if (!w->alive || c->state >= CLIENT_STOPPING) {
        rpc_hangup(w->conn_new);
        op->ret = E_CLOSED;
    } else {
        w->conn = w->conn_new;
        w->is_elsewhere = false; /* it may be another process now */
        *rpc_conn_tag(w->conn) = w;
    }
    client_piece_wake(&w->waiting, (int)op->ret);
    client_quiet(c);
}

void client_worker_connect(struct client_worker *w)
{
    struct client *c = w->c;
    if (w->is_connecting || w->conn)
        return;
    w->is_connecting = true;
    w->connecting.done = worker_connected;
    c->pending++;
    rpc_connect(&c->rpc, w->addr, WORKER_CONNECT_NS, &w->connecting, &w->conn_new);
}

static void worker_hangup(struct client_worker *w)
{
    struct rpc_conn *conn = w->conn;
    w->conn = NULL;
    if (conn)
        rpc_hangup(conn); /* its calls end with E_CLOSED on a later turn */
}

/* --- the list --- */

static int worker_room(struct client *c)
{
    if (c->n_workers < c->workers_cap)
        return 0;
    uint32_t cap = c->workers_cap ? c->workers_cap * 2 : 16;
    struct client_worker **w = mem_alloc(c->mem, cap * sizeof *w);
    struct worker_id *alive = mem_alloc(c->mem, cap * sizeof *alive);
    uint32_t *alive_at = mem_alloc(c->mem, cap * sizeof *alive_at);
    if (!w || !alive || !alive_at) {
        mem_free(c->mem, w, cap * sizeof *w);
        mem_free(c->mem, alive, cap * sizeof *alive);
        mem_free(c->mem, alive_at, cap * sizeof *alive_at);
        return E_NOMEM;
    }
    if (c->n_workers)
        memcpy(w, c->workers, c->n_workers * sizeof *w);
    mem_free(c->mem, c->workers, c->workers_cap * sizeof *w);
    mem_free(c->mem, c->alive, c->workers_cap * sizeof *alive);
    mem_free(c->mem, c->alive_at, c->workers_cap * sizeof *alive_at);
    c->workers = w;
    c->alive = alive;
    c->alive_at = alive_at;
    c->workers_cap = cap;
    return 0;
}

static struct client_worker *worker_new(struct client *c, struct worker_id id)
{
    if (c->n_workers >= LIMIT_WORKERS || worker_room(c))
        return NULL;
    struct client_worker *w = mem_zalloc(c->mem, sizeof *w);
    if (!w)
        return NULL;
    w->c = c;
    w->id = id;
    list_init(&w->waiting);
    c->workers[c->n_workers++] = w;
    return w;
}

static void worker_text(char to[ENV_ADDR_MAX], const char *from, uint32_t n)
{
    n = n < ENV_ADDR_MAX ? n : ENV_ADDR_MAX - 1;
    if (n)
        memcpy(to, from, n);
    to[n] = 0;
}

static void worker_update(struct client *c, const struct rpc_worker_info *i)
{
    struct client_worker *w = client_worker_find(c, i->id);
    if (!w)
        w = worker_new(c, i->id);
    if (!w)
        return;
    char addr[ENV_ADDR_MAX];
    worker_text(addr, i->addr, i->addr_len);
    if (strcmp(addr, w->addr) != 0) {
        worker_hangup(w); /* it moved */
        memcpy(w->addr, addr, sizeof addr);
        w->suspect_until_ns = 0;
    }
    worker_text(w->host, i->host, i->host_len);
    w->alive = i->alive && w->addr[0];
    w->listed = true;
}

void client_worker_list(struct client *c, const struct rpc_beat_reply *b)
{
    if (b->workers_version == c->workers_version)
        return;
    for (uint32_t i = 0; i < c->n_workers; i++)
        c->workers[i]->listed = false;
    struct rbuf items = b->items;
    for (uint32_t i = 0; i < b->n_workers; i++) {
        struct rpc_worker_info info;
        if (rpc_format_worker_info_get(&items, &info)) {
            fmt_log(c->env, ENV_LOG_WARN, "client %s: malformed worker list: kept the old one",
                    c->cfg.name);
            return;
        }
        worker_update(c, &info);
    }
    c->workers_version = b->workers_version;
    c->n_alive = 0;
    for (uint32_t i = 0; i < c->n_workers; i++) {
        struct client_worker *w = c->workers[i];
        if (!w->listed)
            w->alive = false;
        if (!w->alive) {
            worker_hangup(w);
            continue;
        }
        c->alive[c->n_alive] = w->id;
        c->alive_at[c->n_alive++] = i;
    }
}

static bool worker_is_among(const struct client_worker *w, const struct worker_id *ids, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (ids[i].v == w->id.v)
            return true;
    return false;
}

struct client_worker *client_worker_pick(struct client *c, struct ino ino, uint64_t off,
                                         const struct worker_id *tried, uint32_t n_tried)
{
    int64_t now_ns = env_now_ns(c->env);
    uint64_t stripe = off / c->stripe_bytes;
    /* in placement's order: first those without suspicion, then the others */
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t k = 0; k < c->n_alive && k < 2 * CLIENT_RANKS; k++) {
            uint32_t at = place_pick(c->alive, c->n_alive, ino, stripe, k);
            struct client_worker *w = c->workers[c->alive_at[at]];
            if ((w->suspect_until_ns > now_ns) == (pass == 1) &&
                !worker_is_among(w, tried, n_tried))
                return w;
        }
    }
    return NULL;
}

bool client_place(struct client *c, struct ino ino, uint64_t off, struct rpc_worker_info *ret_i)
{
    struct client_worker *w = client_worker_pick(c, ino, off, NULL, 0);
    memset(ret_i, 0, sizeof *ret_i);
    if (!w)
        return false;
    ret_i->id = w->id;
    ret_i->alive = w->alive;
    ret_i->addr = w->addr;
    ret_i->addr_len = (uint32_t)strlen(w->addr);
    ret_i->host = w->host;
    ret_i->host_len = (uint32_t)strlen(w->host);
    return true;
}

/* --- under-stores --- */

static void mounts_drop(struct client *c)
{
    for (uint32_t i = 0; i < c->n_mounts; i++) {
        if (c->mounts[i].ufs)
            ufs_close(c->mounts[i].ufs);
        mem_free(c->mem, c->mounts[i].uri, c->mounts[i].uri_len + 1);
    }
    c->n_mounts = 0;
}

static struct client_mount *mount_find(struct client *c, uint16_t number)
{
    for (uint32_t i = 0; i < c->n_mounts; i++)
        if (c->mounts[i].number == number)
            return &c->mounts[i];
    return NULL;
}

/* new ones are added; a number never names another under-store later */
static void mounts_take(struct client *c, const struct fsop_reply *rep)
{
    struct rbuf r = rbuf_make(rep->data, rep->data_len);
    uint32_t n = rbuf_u16(&r);
    for (uint32_t i = 0; i < n; i++) {
        struct fsop_mount_info info;
        if (fsop_mount_get(&r, &info))
            return;
        struct client_mount *m = mount_find(c, info.number);
        if (m || c->n_mounts == LIMIT_MOUNTS)
            continue;
        char *uri = mem_alloc(c->mem, info.uri_len + 1);
        if (!uri)
            return;
        memcpy(uri, info.uri, info.uri_len);
        uri[info.uri_len] = 0;
        c->mounts[c->n_mounts++] =
            (struct client_mount){.number = info.number, .uri_len = info.uri_len, .uri = uri};
    }
    c->mounts_known = true;
}

static void mounts_done(struct env_op *op)
{
    struct client *c = container_of(op, struct client, mounts_req.op);
    c->mounts_busy = false;
    c->pending--;
    if (op->ret == 0)
        mounts_take(c, &c->mounts_req.reply);
    client_piece_wake(&c->mount_waiting, (int)op->ret);
    client_quiet(c);
}

void client_worker_learn_mounts(struct client *c)
{
    if (!c->cfg.ufs || c->mounts_busy || c->state >= CLIENT_STOPPING)
        return;
    c->mounts_busy = true;
    c->pending++;
    memset(&c->mounts_req.fsop, 0, sizeof c->mounts_req.fsop);
    c->mounts_req.fsop.kind = FSOP_MOUNTS;
    c->mounts_req.deadline_ns = 0;
    c->mounts_req.op.done = mounts_done;
    client_fs_internal(c, &c->mounts_req);
}

int client_worker_ufs(struct client *c, uint16_t mount, struct ufs **ret_u)
{
    if (!c->cfg.ufs)
        return E_UNAVAILABLE;
    struct client_mount *m = mount_find(c, mount);
    if (!m && (c->mounts_busy || !c->mounts_known)) {
        client_worker_learn_mounts(c);
        return 1;
    }
    if (!m) {
        c->mounts_known = false; /* a new one: the next try asks again */
        return E_UNAVAILABLE;
    }
    if (!m->uri_len)
        return E_NOTSUP; /* mode meta: there is nowhere to put bytes */
    if (!m->ufs && !m->failed && c->cfg.ufs->open(c->cfg.ufs, c->env, m->uri, &m->ufs)) {
        fmt_log(c->env, ENV_LOG_WARN, "client %s: cannot reach %s directly", c->cfg.name, m->uri);
        m->failed = true;
        m->ufs = NULL;
    }
    *ret_u = m->ufs;
    return m->ufs ? 0 : E_UNAVAILABLE;
}

void client_worker_free(struct client *c)
{
    mounts_drop(c);
    for (uint32_t i = 0; i < c->n_workers; i++)
        mem_free(c->mem, c->workers[i], sizeof *c->workers[i]);
    mem_free(c->mem, c->workers, c->workers_cap * sizeof *c->workers);
    mem_free(c->mem, c->alive, c->workers_cap * sizeof *c->alive);
    mem_free(c->mem, c->alive_at, c->workers_cap * sizeof *c->alive_at);
}
