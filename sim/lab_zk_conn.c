/* sim/lab_zk_conn.c - a connection to a server of sim_zk: bytes, requests, their order, its end.
 *
 * Whoever finds that a connection must end dooms it: it sends and hears nothing more, and is hung
 * up at the end of the turn, behind what was sent.  So nothing goes away under anybody's feet. */
#include "sim/lab_zk_impl.h"

/* ---- beginning and end ---- */

void lab_zk_conn_doom(struct lab_zk_conn *c)
{
    c->p->proc->n_doomed += !c->is_doomed;
    c->is_doomed = true;
}

void lab_zk_conns_doom(struct lab_zk_proc *r, int64_t session, const struct lab_zk_conn *but)
{
    list_each(l, &r->conns) {
        struct lab_zk_conn *c = list_entry(l, struct lab_zk_conn, link);
        if (c != but && c->state != LAB_ZK_CONN_NEW && (!session || c->session == session))
            lab_zk_conn_doom(c);
    }
}

static void req_free(struct lab_zk_conn *c, struct lab_zk_req *q)
{
    c->n_reqs--;
    c->req_bytes -= q->n_body;
    c->p->proc->n_syncs -= q->kind == LAB_ZK_REQ_SYNC;
    list_remove(&q->link);
    mem_free(c->p->proc->mem, q, sizeof *q + q->n_body);
}

static void conn_end(struct lab_zk_conn *c)
{
    struct lab_zk_proc *r = c->p->proc;
    lab_zk_watch_drop(c);
    while (!list_empty(&c->reqs))
        req_free(c, list_entry(c->reqs.next, struct lab_zk_req, link));
    mem_free(r->mem, c->in, c->in_cap);
    env_timer_stop(r->env, &c->slow);
    if (c->peer.conn)
        env_hangup(c->peer.conn);
    list_remove(&c->link);
    pool_put(&r->conn_pool, c);
}

void lab_zk_conns_sweep(struct lab_zk_proc *r)
{
    if (!r->n_doomed)
        return;
    r->n_doomed = 0;
    list_each_safe(l, &r->conns) {
        struct lab_zk_conn *c = list_entry(l, struct lab_zk_conn, link);
        if (c->is_doomed)
            conn_end(c);
    }
}

struct lab_zk_conn *lab_zk_conn_find(struct lab_zk_place *p, const struct lab_zk_origin *o)
{
    if (!o->conn || o->server != p->index || o->boot != p->boot)
        return NULL;
    list_each(l, &p->proc->conns) {
        struct lab_zk_conn *c = list_entry(l, struct lab_zk_conn, link);
        if (c->number == o->conn)
            return c->is_doomed ? NULL : c;
    }
    return NULL;
}

/* ---- sessions ---- */

void lab_zk_password(const struct lab_zk *z, int64_t session, uint8_t ret[ZK_PASSWORD])
{
    base_put_u64(ret, base_hash(&session, sizeof session, z->secret));
    base_put_u64(ret + 8, base_hash(&session, sizeof session, ~z->secret));
}

static void conn_cut(struct lab_zk_conn *c);

void lab_zk_conn_attached(struct lab_zk_conn *c, bool ok)
{
    struct lab_zk *z = c->p->z;
    struct zk_connected a = {.password_len = ZK_PASSWORD, .is_old = c->is_old};
    struct wbuf w = wbuf_make(c->p->proc->out, LAB_ZK_SCRATCH);
    if (c->state != LAB_ZK_CONN_ASKED || c->is_doomed)
        return;
    if (ok) {
        a.timeout_ms = c->timeout_ms;
        a.session = c->session;
        lab_zk_password(z, c->session, a.password);
    }
    zk_proto_connected_put(&w, &a);
    ASSERT(!w.bad);
    lab_zk_send(c, w.p, w.len);
    if (!ok) {
        z->stats.refused++;
        lab_zk_conn_doom(c);
        return;
    }
    c->state = LAB_ZK_CONN_OPEN;
    conn_cut(c); /* what came meanwhile */
}

static int32_t clip(int64_t ms, int64_t tick_ns)
{
    int64_t least = 2 * tick_ns / 1000000, most = 20 * tick_ns / 1000000;
    return (int32_t)(ms < least ? least : ms > most ? most : ms);
}

static void conn_connect(struct lab_zk_conn *c, const void *b, uint32_t n)
{
    struct lab_zk_place *p = c->p;
    struct lab_zk *z = p->z;
    struct zk_connect q;
    uint8_t password[ZK_PASSWORD];
    if (zk_proto_connect_get(b, n, &q)) {
        z->stats.malformed++;
        lab_zk_conn_doom(c);
        return;
    }
    if (!lab_zk_serves(p) || q.zxid > p->tree.zxid) {
        z->stats.ahead += lab_zk_serves(p);
        lab_zk_conn_doom(c);
        return;
    }
    c->state = LAB_ZK_CONN_ASKED;
    c->is_old = q.is_old;
    c->timeout_ms = clip(q.timeout_ms, z->cfg.tick_ns);
    if (!q.session) {
        c->session = (int64_t)((uint64_t)(p->index + 1) << 56 | (uint64_t)(p->boot & 0xffff) << 32 |
                               ++p->sessions_made);
        struct lab_zk_entry *e = lab_zk_entry_new(z, LAB_ZK_OPEN, c->session, c, 0, NULL, 0);
        e->timeout_ms = c->timeout_ms;
        z->stats.connects++;
        lab_zk_submit(p, e);
        return;
    }
    c->session = q.session;
    lab_zk_conns_doom(p->proc, q.session, c); /* its older one, whether the password is right */
    lab_zk_password(z, q.session, password);
    if (q.password_len != ZK_PASSWORD || memcmp(password, q.password, ZK_PASSWORD) != 0) {
        lab_zk_conn_attached(c, false);
        return;
    }
    z->stats.reattached++;
    lab_zk_revalidate(p, c);
}

/* ---- requests ---- */

static struct lab_zk_req *req_new(struct lab_zk_conn *c, enum lab_zk_request_kind kind, int32_t xid,
                                  int32_t op, const void *body, uint32_t n_body)
{
    struct lab_zk_proc *r = c->p->proc;
    struct lab_zk_req *q = NULL;
    if (c->n_reqs < LAB_ZK_REQUESTS && c->req_bytes + n_body <= LAB_ZK_INPUT)
        q = mem_alloc(r->mem, sizeof *q + n_body);
    if (!q) {
        lab_zk_conn_doom(c);
        return NULL;
    }
    *q = (struct lab_zk_req){.kind = kind,
                             .xid = xid,
                             .op = op,
                             .number = ++c->requests,
                             .n_ids = c->n_ids,
                             .n_body = n_body};
    if (n_body)
        memcpy(q->body, body, n_body);
    list_push_back(&c->reqs, &q->link);
    c->n_reqs++;
    c->req_bytes += n_body;
    r->n_syncs += kind == LAB_ZK_REQ_SYNC;
    return q;
}

/* may it be part of the log?  0, or what is answered */
static int32_t change_wrong(const void *b, uint32_t n)
{
    struct zk_request q, o;
    if (zk_proto_request_get(b, n, &q))
        return ZK_ERR_MARSHALLING;
    if (q.op != ZK_OP_MULTI)
        return 0;
    if (q.ops.n > LAB_ZK_OPS)
        return ZK_ERR_MARSHALLING;
    struct zk_list ops = q.ops;
    while (zk_proto_op_next(&ops, &o))
        if (o.op != ZK_OP_CREATE && o.op != ZK_OP_CREATE2 && o.op != ZK_OP_DELETE &&
            o.op != ZK_OP_SET_DATA && o.op != ZK_OP_CHECK)
            return ZK_ERR_MARSHALLING;
    return 0;
}

static void conn_change(struct lab_zk_conn *c, int32_t xid, int32_t op, const void *b, uint32_t n)
{
    bool is_close = op == ZK_OP_CLOSE_SESSION;
    int32_t wrong = is_close ? 0 : change_wrong(b, n);
    if (!req_new(c, LAB_ZK_REQ_CHANGE, xid, op, NULL, 0))
        return;
    struct lab_zk_entry *e =
        lab_zk_entry_new(c->p->z, is_close ? LAB_ZK_CLOSE : LAB_ZK_CHANGE, c->session, c, c->n_ids,
                         b, wrong || is_close ? 0 : n);
    e->refused = wrong;
    lab_zk_submit(c->p, e);
}

static void conn_request(struct lab_zk_conn *c, const uint8_t *b, uint32_t n)
{
    struct lab_zk *z = c->p->z;
    if (n < 8) {
        z->stats.malformed++;
        lab_zk_conn_doom(c);
        return;
    }
    int32_t xid = (int32_t)__builtin_bswap32(base_get_u32(b));
    int32_t op = (int32_t)__builtin_bswap32(base_get_u32(b + 4));
    z->stats.requests++;
    lab_zk_touch(c->p, c);
    switch (op) {
    case ZK_OP_AUTH:
        lab_zk_serve_auth(c, xid, b, n); /* at once: it waits for nobody */
        break;
    case ZK_OP_CREATE:
    case ZK_OP_CREATE2:
    case ZK_OP_DELETE:
    case ZK_OP_SET_DATA:
    case ZK_OP_SET_ACL:
    case ZK_OP_MULTI:
    case ZK_OP_CLOSE_SESSION:
        conn_change(c, xid, op, b, n);
        break;
    case ZK_OP_SYNC:
        if (c->p->role == LAB_ZK_FOLLOWING) {
            if (req_new(c, LAB_ZK_REQ_SYNC, xid, op, b, n))
                lab_zk_sync(c->p, c, c->requests);
            break;
        } /* fallthrough */
    case ZK_OP_EXISTS:
    case ZK_OP_GET_DATA:
    case ZK_OP_GET_ACL:
    case ZK_OP_GET_CHILDREN:
    case ZK_OP_GET_CHILDREN2:
    case ZK_OP_PING:
    case ZK_OP_SET_WATCHES:
    case ZK_OP_SET_WATCHES2:
    case ZK_OP_CHECK_WATCHES:
    case ZK_OP_REMOVE_WATCHES:
    case ZK_OP_GET_EPHEMERALS:
    case ZK_OP_GET_ALL_CHILDREN_NUMBER:
    case ZK_OP_WHO_AM_I:
        req_new(c, LAB_ZK_REQ_LOCAL, xid, op, b, n);
        break;
    default:
        lab_zk_reply_err(c, xid, op, ZK_ERR_UNIMPLEMENTED);
        lab_zk_conn_doom(c);
        break;
    }
}

void lab_zk_conn_pump(struct lab_zk_conn *c)
{
    while (!list_empty(&c->reqs) && !c->is_doomed) {
        struct lab_zk_req *q = list_entry(c->reqs.next, struct lab_zk_req, link);
        if (q->kind == LAB_ZK_REQ_CHANGE ||
            (q->kind == LAB_ZK_REQ_SYNC && (!q->is_ready || c->p->applied < q->index)))
            return;
        lab_zk_serve(c, q);
        req_free(c, q);
    }
}

void lab_zk_conn_synced(struct lab_zk_conn *c, uint64_t request, uint64_t index)
{
    list_each(l, &c->reqs) {
        struct lab_zk_req *q = list_entry(l, struct lab_zk_req, link);
        if (q->number == request) {
            q->is_ready = true;
            q->index = index;
        }
    }
    lab_zk_conn_pump(c);
}

void lab_zk_conn_applied(struct lab_zk_place *p, const struct lab_zk_entry *e, int32_t err,
                         const struct lab_zk_result *results, uint32_t n)
{
    struct lab_zk_conn *c = lab_zk_conn_find(p, &e->origin);
    if (!c || c->is_doomed)
        return;
    ASSERT(!list_empty(&c->reqs)); /* what came before it has been answered */
    struct lab_zk_req *q = list_entry(c->reqs.next, struct lab_zk_req, link);
    ASSERT(q->number == e->origin.request);
    if (err == ZK_ERR_SESSION_MOVED) { /* no word: it would take the session back */
        p->z->stats.moved++;
        lab_zk_conn_doom(c);
        return;
    }
    lab_zk_serve_changed(c, q, err, results, n);
    req_free(c, q);
    lab_zk_conn_pump(c);
}

/* ---- bytes ---- */

/* whole packets out of what came, as long as they can be taken */
static void conn_cut(struct lab_zk_conn *c)
{
    uint32_t at = 0;
    while (!c->is_doomed && c->state != LAB_ZK_CONN_ASKED) {
        if (c->state == LAB_ZK_CONN_NEW && c->in_len - at >= 4 && lab_zk_serve_word(c))
            break;
        int64_t n = zk_proto_frame(c->in + at, c->in_len - at, LAB_ZK_FRAME);
        if (n < 0) {
            c->p->z->stats.malformed++;
            lab_zk_conn_doom(c);
        }
        if (n <= 0)
            break;
        const uint8_t *b = c->in + at + ZK_FRAME_HEAD;
        uint32_t len = (uint32_t)n - ZK_FRAME_HEAD;
        at += (uint32_t)n;
        if (c->state == LAB_ZK_CONN_OPEN) {
            conn_request(c, b, len);
            continue;
        }
        /* a leader answers from within: then the rest is cut there */
        uint8_t first[256];
        uint32_t n_first = len < sizeof first ? len : (uint32_t)sizeof first;
        memcpy(first, b, n_first);
        memmove(c->in, c->in + at, c->in_len - at);
        c->in_len -= at;
        at = 0;
        conn_connect(c, first, n_first);
    }
    if (at) {
        memmove(c->in, c->in + at, c->in_len - at);
        c->in_len -= at;
    }
    lab_zk_conn_pump(c);
}

static bool conn_take(struct lab_zk_conn *c, const void *b, uint32_t n)
{
    struct mem *m = c->p->proc->mem;
    uint32_t need = c->in_len + n, cap = c->in_cap ? c->in_cap : 1024;
    if (need > LAB_ZK_INPUT)
        return false;
    while (cap < need)
        cap *= 2;
    if (cap != c->in_cap) {
        uint8_t *to = mem_alloc(m, cap);
        if (!to)
            return false;
        if (c->in_len)
            memcpy(to, c->in, c->in_len);
        mem_free(m, c->in, c->in_cap);
        c->in = to;
        c->in_cap = cap;
    }
    memcpy(c->in + c->in_len, b, n);
    c->in_len = need;
    return true;
}

static void conn_bytes(struct env_peer *peer, uint16_t type, const void *b, uint32_t n)
{
    struct lab_zk_conn *c = container_of(peer, struct lab_zk_conn, peer);
    struct lab_zk_proc *r = c->p->proc;
    (void)type;
    c->heard_ns = sim_now_ns(c->p->z->sim);
    if (!conn_take(c, b, n))
        lab_zk_conn_doom(c);
    else if (c->slow_ns && !env_timer_is_set(&c->slow))
        env_timer_set(r->env, &c->slow, env_now_ns(r->env) + c->slow_ns);
    else if (!c->slow_ns)
        conn_cut(c);
    lab_zk_conns_sweep(r);
}

static void conn_slowly(struct env_op *op)
{
    struct lab_zk_conn *c = container_of(op, struct lab_zk_conn, slow.op);
    struct lab_zk_proc *r = c->p->proc;
    c->p->z->stats.slow++;
    conn_cut(c);
    lab_zk_conns_sweep(r);
}

static void conn_closed(struct env_peer *peer, int why)
{
    struct lab_zk_conn *c = container_of(peer, struct lab_zk_conn, peer);
    (void)why;
    lab_zk_conn_doom(c);
    lab_zk_conns_sweep(c->p->proc);
}

struct env_peer *lab_zk_conn_open(struct env_acceptor *a, const char *from)
{
    struct lab_zk_proc *r = container_of(a, struct lab_zk_proc, door);
    struct lab_zk *z = r->p->z;
    struct lab_zk_conn *c = pool_get(&r->conn_pool);
    if (!c)
        return NULL;
    c->p = r->p;
    c->number = ++r->conns_made;
    c->peer.on_frame = conn_bytes;
    c->peer.on_close = conn_closed;
    c->slow.op.done = conn_slowly;
    c->heard_ns = sim_now_ns(z->sim);
    if (prng_chance_ppm(&z->prng, z->cfg.slow_ppm))
        c->slow_ns = prng_exp(&z->prng, z->cfg.slow_mean_ns);
    list_init(&c->reqs);
    list_init(&c->watches);
    list_push_back(&r->conns, &c->link);
    memcpy(c->ids[0].scheme, "ip", 3);
    size_t n = strcspn(from, ":");
    n = n < sizeof c->ids[0].id ? n : sizeof c->ids[0].id - 1;
    memcpy(c->ids[0].id, from, n);
    c->n_ids = 1;
    return &c->peer;
}
