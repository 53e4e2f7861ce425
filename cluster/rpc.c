/* cluster/rpc.c - calls and answers over env frames.
 *
 * INVARIANTS
 *  1. A call under way has call->env set and its deadline timer running.  If it was sent it is
 *     also in its connection's table; if it waits for a link it is on the link's list; else it has
 *     failed already and the timer, set for now, brings the news on a later turn.  So one timer is
 *     enough to end every call, and stopping it is enough to cancel one.
 *  2. A connection's memory belongs to the host's pool and stays readable after the connection has
 *     gone; its serial number is never used twice, so a token for a lost connection is recognised.
 *  3. A connection leaves in one place, rpc_conn_gone(), which runs from the loop and never inside
 *     a call of the owner.
 *
 * Calls are found by id in 64 short lists: ids are consecutive, so the lists stay equally long. Not
 * a table of calls_max slots: most connections of a master wait for nothing most of the time. */
#include "cluster/rpc.h"
#include "core/buf.h"
#include "core/fmt.h"

enum { RPC_HEAD = 8, RPC_BUCKETS = 64 };

static const int64_t RPC_BACKOFF_MIN_NS = 20 * 1000000LL;
static const int64_t RPC_BACKOFF_MAX_NS = 1000 * 1000000LL;
static const int64_t RPC_LASTED_NS = 1000 * 1000000LL; /* a connection that was worth its making */
static const int64_t RPC_FULL_SAID_NS = 1000 * 1000000LL;
static const int64_t RPC_CONNECT_NS = 2000 * 1000000LL;

struct rpc_conn {
    struct env_peer peer;
    struct rpc_host *host;
    struct list link; /* host->open */
    uint64_t serial;
    uint32_t last_id, n_calls;
    struct list calls[RPC_BUCKETS];
    struct rpc_link *on; /* whose connection it is, or NULL */
    void *tag;
    bool is_lost, is_fresh; /* fresh: accepted, and nothing came yet */
    char from[64];
    struct env_op op; /* being made, then being hung up */
    struct env_op *connecting;
    struct rpc_conn **connecting_ret;
};

static void rpc_on_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n);
static void rpc_on_close(struct env_peer *p, int why);

/* --- one call --- */

static void rpc_call_detach(struct rpc_call *call)
{
    env_timer_stop(call->env, &call->deadline);
    if (list_linked(&call->link))
        list_remove(&call->link);
    if (call->conn)
        call->conn->n_calls--;
    call->conn = NULL;
    call->env = NULL;
}

static void rpc_call_end(struct rpc_call *call, int err, const void *reply, uint32_t len)
{
    if (call->conn) {
        struct rpc_host *h = call->conn->host;
        struct rpc_count *n = rpc_count_of(h->went, call->method);
        n->bytes_in += len;
        rpc_count_done(n, err, env_now_ns(h->env) - call->began_ns);
    }
    rpc_call_detach(call);
    call->op.ret = err;
    call->reply = reply;
    call->reply_len = len;
    call->op.done(&call->op);
}

static void rpc_call_timer(struct env_op *op)
{
    struct rpc_call *call = container_of(op, struct rpc_call, deadline.op);
    rpc_call_end(call, (int)call->op.ret, NULL, 0);
}

/* under way from here on; ends at the deadline with err unless something happens before */
static void rpc_call_begin(struct rpc_call *call, struct env *env, int64_t deadline_ns, int err)
{
    ASSERT(!call->env);
    call->env = env;
    call->conn = NULL;
    call->reply = NULL;
    call->reply_len = 0;
    call->op.ret = err;
    call->deadline.op.done = rpc_call_timer;
    call->deadline.op.ret = 0;
    env_timer_set(env, &call->deadline, deadline_ns);
}

/* the news of a failure, on a later turn */
static void rpc_call_fail(struct rpc_call *call, int err)
{
    if (list_linked(&call->link))
        list_remove(&call->link);
    call->op.ret = err;
    env_timer_set(call->env, &call->deadline, env_now_ns(call->env));
}

void rpc_cancel(struct rpc_call *call)
{
    if (call->env)
        rpc_call_detach(call);
}

static void rpc_send(struct rpc_conn *c, uint16_t type, const uint8_t head[RPC_HEAD],
                     const void *body, uint32_t len)
{
    struct env_iov iov[2] = {{head, RPC_HEAD}, {body, len}};
    env_send(c->peer.conn, type, iov, len ? 2 : 1);
}

void rpc_call(struct rpc_conn *c, uint16_t method, const void *body, uint32_t len,
              int64_t deadline_ns, struct rpc_call *call)
{
    struct rpc_host *h = c->host;
    rpc_call_begin(call, h->env, deadline_ns, E_TIMEOUT);
    if (c->is_lost || !c->peer.conn) {
        rpc_call_fail(call, E_CLOSED);
        return;
    }
    if (len > RPC_BODY_MAX) {
        rpc_call_fail(call, E_TOOBIG);
        return;
    }
    if (c->n_calls >= h->calls_max) {
        rpc_call_fail(call, E_AGAIN);
        return;
    }
    if (deadline_ns <= env_now_ns(h->env))
        return; /* nobody would wait for the answer */
    call->id = ++c->last_id;
    call->conn = c;
    call->method = method;
    call->began_ns = env_now_ns(h->env);
    struct rpc_count *n = rpc_count_of(h->went, method);
    n->calls++;
    n->bytes_out += len;
    c->n_calls++;
    list_push_back(&c->calls[call->id % RPC_BUCKETS], &call->link);
    uint8_t head[RPC_HEAD] = {0};
    base_put_u16(head, method);
    base_put_u32(head + 4, call->id);
    rpc_send(c, RPC_FRAME_CALL, head, body, len);
}

static struct rpc_call *rpc_find(struct rpc_conn *c, uint32_t id)
{
    list_each(it, &c->calls[id % RPC_BUCKETS]) {
        struct rpc_call *call = list_entry(it, struct rpc_call, link);
        if (call->id == id)
            return call;
    }
    return NULL;
}

/* --- answering --- */

struct rpc_conn *rpc_token_conn(struct rpc_token t)
{
    return t.conn && t.conn->serial == t.conn_serial && !t.conn->is_lost ? t.conn : NULL;
}

void rpc_reply(struct rpc_token t, int err, const void *body, uint32_t len)
{
    struct rpc_conn *c = rpc_token_conn(t);
    if (!c || !c->peer.conn)
        return;
    if (len > RPC_BODY_MAX) {
        err = E_TOOBIG;
        len = 0;
    }
    uint8_t head[RPC_HEAD];
    base_put_u32(head, (uint32_t)err);
    base_put_u32(head + 4, t.id);
    struct rpc_count *n = rpc_count_of(c->host->came, t.method);
    n->bytes_out += len;
    rpc_count_done(n, err, env_now_ns(c->host->env) - t.came_ns);
    rpc_send(c, RPC_FRAME_REPLY, head, body, len);
}

/* --- connections --- */

static struct rpc_conn *rpc_conn_new(struct rpc_host *h)
{
    struct rpc_conn *c = h->closed ? NULL : pool_get(&h->conns);
    if (!c)
        return NULL;
    c->host = h;
    c->serial = ++h->serial;
    c->peer.on_frame = rpc_on_frame;
    c->peer.on_close = rpc_on_close;
    list_init(&c->link);
    for (unsigned i = 0; i < RPC_BUCKETS; i++)
        list_init(&c->calls[i]);
    return c;
}

static void rpc_conn_free(struct rpc_conn *c)
{
    c->serial = 0;
    pool_put(&c->host->conns, c);
}

static void rpc_link_lost(struct rpc_link *l, int why);

/* ends its calls, tells the owner; c dies */
static void rpc_conn_gone(struct rpc_conn *c, int why)
{
    struct rpc_host *h = c->host;
    c->is_lost = true;
    if (c->on)
        rpc_link_lost(c->on, why);
    c->on = NULL;
    for (unsigned i = 0; i < RPC_BUCKETS; i++)
        while (!list_empty(&c->calls[i]))
            rpc_call_end(list_entry(c->calls[i].next, struct rpc_call, link), E_CLOSED, NULL, 0);
    list_remove(&c->link);
    if (h->on_close)
        h->on_close(h, c);
    rpc_conn_free(c);
}

static void rpc_on_close(struct env_peer *p, int why)
{
    rpc_conn_gone(container_of(p, struct rpc_conn, peer), why);
}

static void rpc_hung_up(struct env_op *op)
{
    rpc_conn_gone(container_of(op, struct rpc_conn, op), E_CLOSED);
}

void rpc_hangup(struct rpc_conn *c)
{
    if (c->is_lost)
        return;
    c->is_lost = true;
    if (c->on) {
        rpc_link_lost(c->on, E_CLOSED);
        c->on = NULL;
    }
    env_hangup(c->peer.conn);
    c->peer.conn = NULL;
    c->op.done = rpc_hung_up;
    c->op.ret = 0;
    env_post(c->host->env, &c->op);
}

/* another's connection: it gets it, and what came on it; or it does not want it (now) */
static void rpc_give_away(struct rpc_conn *c, uint16_t type, const void *b, uint32_t n)
{
    struct rpc_host *h = c->host;
    struct env_conn *conn = c->peer.conn;
    struct env_peer *to = h->on_foreign ? h->on_foreign(h, type, c->from) : NULL;
    if (!to) {
        rpc_hangup(c);
        return;
    }
    env_adopt(conn, to);
    rpc_conn_gone(c, E_CLOSED);
    to->on_frame(to, type, b, n);
}

static void rpc_on_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    struct rpc_conn *c = container_of(p, struct rpc_conn, peer);
    struct rbuf r = rbuf_make(b, n);
    if (c->is_lost)
        return;
    bool is_first = c->is_fresh;
    c->is_fresh = false;
    bool is_ours = type == RPC_FRAME_CALL || type == RPC_FRAME_REPLY;
    if (is_first && !is_ours && c->host->on_foreign) {
        rpc_give_away(c, type, b, n);
        return;
    }
    if (type == RPC_FRAME_CALL && n >= RPC_HEAD) {
        uint16_t method = rbuf_u16(&r);
        rbuf_u16(&r);
        uint32_t id = rbuf_u32(&r);
        struct rpc_token t = {c, c->serial, id, method, env_now_ns(c->host->env)};
        struct rpc_count *count = rpc_count_of(c->host->came, method);
        count->calls++;
        count->bytes_in += rbuf_left(&r);
        if (c->host->on_call)
            c->host->on_call(c->host, t, method, r.p + r.pos, (uint32_t)rbuf_left(&r));
        else
            rpc_reply(t, E_NOTSUP, NULL, 0);
    } else if (type == RPC_FRAME_REPLY && n >= RPC_HEAD) {
        int err = err_checked((int32_t)rbuf_u32(&r));
        struct rpc_call *call = rpc_find(c, rbuf_u32(&r));
        if (call)
            rpc_call_end(call, err, r.p + r.pos, (uint32_t)rbuf_left(&r));
    } else {
        fmt_log(c->host->env, ENV_LOG_WARN, "rpc: frame of type %u with %u bytes: hanging up",
                (unsigned)type, (unsigned)n);
        rpc_hangup(c);
    }
}

/* Who is refused tries again, at once or not: one line a second. */
static void rpc_say_full(struct rpc_host *h, const char *from)
{
    int64_t now = env_now_ns(h->env);
    h->full_unsaid++;
    if (now < h->full_said_ns)
        return;
    fmt_log(h->env, ENV_LOG_WARN, "rpc: no room for a connection from %s (most %u; %llu refused)",
            from, (unsigned)h->conns_max, (unsigned long long)h->full_unsaid);
    h->full_said_ns = now + RPC_FULL_SAID_NS;
    h->full_unsaid = 0;
}

static struct env_peer *rpc_on_open(struct env_acceptor *a, const char *from)
{
    struct rpc_host *h = container_of(a, struct rpc_host, acceptor);
    struct rpc_conn *c = rpc_conn_new(h);
    if (!c) {
        rpc_say_full(h, from);
        return NULL;
    }
    c->is_fresh = true;
    fmt_into(c->from, sizeof c->from, "%s", from);
    list_push_back(&h->open, &c->link);
    if (h->on_open)
        h->on_open(h, c);
    return &c->peer;
}

struct env_conn *rpc_env_conn(struct rpc_conn *c)
{
    return c->is_lost ? NULL : c->peer.conn;
}

void **rpc_conn_tag(struct rpc_conn *c)
{
    return &c->tag;
}

static void rpc_connected(struct env_op *op)
{
    struct rpc_conn *c = container_of(op, struct rpc_conn, op);
    struct env_op *user = c->connecting;
    struct rpc_conn **ret_conn = c->connecting_ret;
    user->ret = op->ret;
    if (op->ret == 0 && c->host->closed) {
        env_hangup(c->peer.conn);
        user->ret = E_CLOSED;
    }
    if (user->ret < 0) {
        rpc_conn_free(c);
    } else {
        list_push_back(&c->host->open, &c->link);
        *ret_conn = c;
    }
    user->done(user);
}

void rpc_connect(struct rpc_host *h, const char *addr, int64_t timeout_ns, struct env_op *op,
                 struct rpc_conn **ret_conn)
{
    struct rpc_conn *c = rpc_conn_new(h);
    if (!c) {
        op->ret = h->closed ? E_CLOSED : E_AGAIN;
        env_post(h->env, op);
        return;
    }
    c->connecting = op;
    c->connecting_ret = ret_conn;
    c->op.done = rpc_connected;
    env_connect(h->env, addr, timeout_ns, &c->peer, &c->op);
}

/* --- the owner --- */

int rpc_host_init(struct rpc_host *h, struct env *e, struct mem *m, uint32_t conns_max,
                  uint32_t calls_max)
{
    h->env = e;
    h->mem = m;
    h->conns_max = conns_max;
    h->calls_max = calls_max;
    h->acceptor.on_open = rpc_on_open;
    h->acceptor.is_raw = false;
    h->serial = 0;
    h->listening = h->closed = false;
    h->full_said_ns = 0;
    h->full_unsaid = 0;
    memset(h->came, 0, sizeof h->came);
    memset(h->went, 0, sizeof h->went);
    list_init(&h->open);
    return pool_init(&h->conns, m, sizeof(struct rpc_conn), conns_max);
}

void rpc_listen(struct rpc_host *h, const char *addr, struct env_op *op)
{
    h->listening = true;
    env_listen(h->env, addr, &h->acceptor, op);
}

void rpc_host_close(struct rpc_host *h)
{
    if (h->closed)
        return;
    h->closed = true;
    if (h->listening)
        env_unlisten(h->env, &h->acceptor);
    h->listening = false;
    list_each_safe(it, &h->open)
        rpc_hangup(list_entry(it, struct rpc_conn, link));
}

void rpc_host_free(struct rpc_host *h)
{
    ASSERT(h->conns.free_count == h->conns.count);
    mem_free(h->mem, h->conns.base, (size_t)h->conns.object_size * h->conns.count);
    memset(&h->conns, 0, sizeof h->conns);
}

/* --- a link --- */

static void rpc_link_kick(struct rpc_link *l);

static void rpc_link_back_off(struct rpc_link *l)
{
    uint64_t jitter = env_random(l->host->env) % (uint64_t)(l->backoff_ns / 2);
    int64_t wait_ns = l->backoff_ns / 2 + (int64_t)jitter;
    l->backoff_ns = l->backoff_ns * 2 < RPC_BACKOFF_MAX_NS ? l->backoff_ns * 2 : RPC_BACKOFF_MAX_NS;
    env_timer_set(l->host->env, &l->retry, env_now_ns(l->host->env) + wait_ns);
}

static void rpc_link_lost(struct rpc_link *l, int why)
{
    l->conn = NULL;
    l->last_err = why;
    if (env_now_ns(l->host->env) - l->up_since_ns >= RPC_LASTED_NS)
        l->backoff_ns = RPC_BACKOFF_MIN_NS;
    if (!l->closed)
        rpc_link_back_off(l);
}

static void rpc_link_connected(struct env_op *op)
{
    struct rpc_link *l = container_of(op, struct rpc_link, connecting);
    l->is_connecting = false;
    if (op->ret < 0) {
        l->conn = NULL;
        l->last_err = (int)op->ret;
        if (!l->closed)
            rpc_link_back_off(l);
        return;
    }
    if (l->closed) {
        rpc_hangup(l->conn);
        l->conn = NULL;
        return;
    }
    l->conn->on = l;
    l->connects++;
    l->last_err = 0;
    l->up_since_ns = env_now_ns(l->host->env);
    while (l->conn && !list_empty(&l->waiting)) {
        struct rpc_link_call *call = list_entry(l->waiting.next, struct rpc_link_call, call.link);
        rpc_cancel(&call->call);
        rpc_call(l->conn, call->method, call->body, call->len, call->deadline_ns, &call->call);
    }
}

static void rpc_link_retry(struct env_op *op)
{
    rpc_link_kick(container_of(op, struct rpc_link, retry.op));
}

/* starts a connection if one is needed and may be made now */
static void rpc_link_kick(struct rpc_link *l)
{
    if (l->conn || l->is_connecting || l->closed || list_empty(&l->waiting) ||
        env_timer_is_set(&l->retry))
        return;
    l->is_connecting = true;
    l->connecting.done = rpc_link_connected;
    rpc_connect(l->host, l->addr, RPC_CONNECT_NS, &l->connecting, &l->conn);
}

void rpc_link_init(struct rpc_link *l, struct rpc_host *h, const char *addr)
{
    memset(l, 0, sizeof *l);
    l->host = h;
    l->addr = addr;
    l->backoff_ns = RPC_BACKOFF_MIN_NS;
    l->retry.op.done = rpc_link_retry;
    list_init(&l->waiting);
}

static void rpc_link_call_done(struct env_op *op)
{
    struct rpc_link_call *call = container_of(op, struct rpc_link_call, call.op);
    call->op.ret = op->ret;
    call->op.done(&call->op);
}

void rpc_link_call(struct rpc_link *l, uint16_t method, const void *body, uint32_t len,
                   int64_t deadline_ns, struct rpc_link_call *call)
{
    call->method = method;
    call->body = body;
    call->len = len;
    call->deadline_ns = deadline_ns;
    call->on = l;
    call->call.op.done = rpc_link_call_done;
    if (l->conn) {
        rpc_call(l->conn, method, body, len, deadline_ns, &call->call);
        return;
    }
    rpc_call_begin(&call->call, l->host->env, deadline_ns, E_TIMEOUT);
    if (l->closed) {
        rpc_call_fail(&call->call, E_CLOSED);
        return;
    }
    list_push_back(&l->waiting, &call->call.link);
    rpc_link_kick(l);
}

void rpc_link_cancel(struct rpc_link_call *call)
{
    rpc_cancel(&call->call);
}

void rpc_link_close(struct rpc_link *l)
{
    if (l->closed)
        return;
    l->closed = true;
    env_timer_stop(l->host->env, &l->retry);
    while (!list_empty(&l->waiting))
        rpc_call_fail(list_entry(l->waiting.next, struct rpc_call, link), E_CLOSED);
    if (l->conn && !l->is_connecting)
        rpc_hangup(l->conn);
}
