/* cluster/client_session.c - the leading master, the session and its lease, and what the master
 * asks of the client.
 *
 *        +--------------------- lost, not the leader, no beat ----------------------+
 *        v                                                                          |
 *      DOWN --timer--> CONNECTING --> (no session: OPENING) --> BEATING --> READY --+
 *                                          ^                                  |
 *                                          +------- session expired ----------+
 *
 * INVARIANTS
 *  1. Requests leave in READY only: the other end has answered a beat of this session on this
 *     connection, so it leads, knows where to send invalidations, and its epoch is known.
 *  2. The lease counts from when the beat was sent.
 *  3. A new connection, a new epoch and a new session each void the caches: invalidations may have
 *     been missed.  The owner is told of the last two; over a reconnect its own entries end by the
 *     lease they were given.
 *  4. An invalidation is answered after the owner dropped everything it names; one that cannot be
 *     dealt with is answered with E_AGAIN, and the master waits for the lease instead. */
#include "cluster/client_impl.h"
#include "core/fmt.h"
#include "core/sometimes.h"

static const int64_t CLIENT_CONNECT_NS = 2000 * CLIENT_MS;
/* of several masters another one may lead: it is looked for sooner */
static const int64_t CLIENT_GROUP_CONNECT_NS = 1000 * CLIENT_MS;
static const int64_t CLIENT_DEAD_CONNECT_NS =
    200 * CLIENT_MS; /* one found dead: has it come back? */
static const int64_t CLIENT_GROUP_BEAT_NS = 500 * CLIENT_MS;
static const int64_t CLIENT_GROUP_WAIT_NS = 1500 * CLIENT_MS;
/* READY so long: who leads there did, and its end begins a new round (client_master.c) */
static const int64_t CLIENT_LASTED_NS = 100 * CLIENT_MS;
static const int64_t CLIENT_BEAT_MIN_NS = 100 * CLIENT_MS;
static const int64_t CLIENT_BEAT_WAIT_NS = 1000 * CLIENT_MS;
static const int64_t CLIENT_FIRST_BEAT_NS = 3000 * CLIENT_MS;

static void session_next(struct client *c);

/* everything void, and the owner's too */
static void session_forget(struct client *c);

const bool *client_decided(const struct client *c, const int **ret_err)
{
    *ret_err = &c->barred_why;
    return &c->decided;
}

static void session_down(struct client *c, int why)
{
    client_master_barred(c, why);
    c->conn = NULL;
    rpc_cancel(&c->beat);
    rpc_cancel(&c->opening);
    c->beat_out = c->opening_out = false;
    env_timer_stop(c->env, &c->beat_timer);
    c->stats.connected = false;
    if (c->state >= CLIENT_STOPPING)
        return;
    if (c->state == CLIENT_READY && env_now_ns(c->env) - c->ready_since_ns >= CLIENT_LASTED_NS) {
        uint32_t hint = c->hint;
        client_master_reset(c);
        c->hint = hint;
    }
    if (why != E_NOT_LEADER)
        client_master_dead(c, why);
    c->state = CLIENT_DOWN;
    int64_t wait_ns = client_master_next(c);
    env_timer_set(c->env, &c->retry, env_now_ns(c->env) + wait_ns);
}

void client_session_rotate(struct client *c, struct rpc_conn *conn, int why, const void *hint,
                           uint32_t hint_len)
{
    if (!c->conn || c->conn != conn)
        return;
    bool is_this = why == E_NOT_LEADER && client_master_hint(c, hint, hint_len) == c->master;
    bool may_stay = c->state == CLIENT_BEATING || c->state == CLIENT_OPENING;
    if (is_this && may_stay && !c->beat_out && !c->opening_out && c->stays++ < CLIENT_STAYS_MAX) {
        session_next(c); /* it has come to lead since */
        return;
    }
    rpc_hangup(conn);
    session_down(c, why);
}

void client_session_on_close(struct rpc_host *h, struct rpc_conn *conn)
{
    struct client *c = container_of(h, struct client, rpc);
    struct client_worker *w = *rpc_conn_tag(conn);
    if (w && w->conn == conn)
        client_worker_closed(w);
    else if (!client_standby_closed(c, conn) && c->conn == conn)
        session_down(c, E_CLOSED);
    client_quiet(c);
}

static void session_connected(struct env_op *op)
{
    struct client *c = container_of(op, struct client, connecting);
    c->pending--;
    if (c->state != CLIENT_CONNECTING) {
        client_quiet(c);
        return;
    }
    if (op->ret < 0) {
        session_down(c, (int)op->ret);
        return;
    }
    c->conn = c->conn_new;
    c->stays = 0;
    c->workers_version = 0; /* each master counts for itself */
    client_cache_inval_all(c);
    struct rpc_inval all = {.kind = RPC_INVAL_ATTR};
    client_file_inval(c, &all);
    session_next(c);
}

static void session_connect(struct env_op *op)
{
    struct client *c = container_of(op, struct client, retry.op);
    c->state = CLIENT_CONNECTING;
    c->connecting.done = session_connected;
    c->pending++;
    rpc_connect(&c->rpc, c->masters[c->master],
                client_master_is_dead(c, c->master) ? CLIENT_DEAD_CONNECT_NS
                : c->n_masters > 1                  ? CLIENT_GROUP_CONNECT_NS
                                                    : CLIENT_CONNECT_NS,
                &c->connecting, &c->conn_new);
}

/* --- opening a session --- */

static void session_opened(struct env_op *op)
{
    struct client *c = container_of(op, struct client, opening.op);
    c->opening_out = false;
    struct fsop_reply rep = {0};
    struct rbuf r = rbuf_make(c->opening.reply, c->opening.reply_len);
    int err = (int)op->ret;
    if (!err)
        err = fsop_reply_get(&r, &rep);
    if (!err)
        err = rep.err ? rep.err : rep.value ? 0 : E_PROTO;
    if (err) {
        c->barred_why =
            err == E_NOSPC ? err : c->barred_why; /* it may pass; to be told at the end */
        /* also busy ones: another try of the same master comes after the round */
        client_session_rotate(c, c->conn, err, c->opening.reply, c->opening.reply_len);
        return;
    }
    c->session.v = rep.value;
    session_next(c);
}

static void session_open(struct client *c)
{
    struct fsop op = {.kind = FSOP_SESSION_OPEN, .name = c->cfg.name};
    op.name_len = (uint32_t)base_min_u64(strlen(c->cfg.name), LIMIT_NAME);
    struct wbuf w = wbuf_make(c->scratch, RPC_BODY_MAX);
    fsop_put(&w, &op);
    c->state = CLIENT_OPENING;
    c->opening_out = true;
    c->opening.op.done = session_opened;
    rpc_call(c->conn, RPC_FS, w.p, (uint32_t)w.len, env_now_ns(c->env) + CLIENT_FIRST_BEAT_NS,
             &c->opening);
}

/* --- beats --- */

static void session_owner_told(struct env_op *op)
{
    struct client *c = container_of(op, struct client, epoch_op);
    c->epoch_op_out = false;
    c->pending--;
    client_quiet(c);
}

static void session_forget(struct client *c)
{
    struct rpc_inval all = {.kind = RPC_INVAL_DIR};
    client_cache_inval_all(c);
    client_file_inval(c, &all);
    /* one that is still being dealt with began before; its owner drops by lease what came since */
    if (c->host && !c->epoch_op_out && c->state < CLIENT_STOPPING) {
        c->epoch_op_out = true;
        c->pending++;
        c->epoch_op.done = session_owner_told;
        c->host->on_invalidate(c->host, &all, &c->epoch_op);
    }
}

void client_session_lost(struct client *c, struct session_id s)
{
    if (!s.v || s.v != c->session.v)
        return;
    fmt_log(c->env, ENV_LOG_WARN, "client %s: session %llu expired, opening a new one", c->cfg.name,
            (unsigned long long)s.v);
    c->session.v = 0;
    c->lease_until_ns = 0;
    client_piece_void_all(c);
    session_forget(c);
    client_file_session_lost(c);
    client_fs_session_lost(c, s);
    if (c->conn && c->state == CLIENT_READY) {
        rpc_cancel(&c->beat);
        c->beat_out = false;
        env_timer_stop(c->env, &c->beat_timer);
        session_next(c);
    }
}

static void session_ready(struct client *c)
{
    c->ready_since_ns = env_now_ns(c->env);
    c->state = CLIENT_READY;
    c->stats.connected = true;
    client_master_serves(c);
    client_worker_learn_mounts(c);
    client_fs_pump(c);
}

static void session_beaten(struct env_op *op)
{
    struct client *c = container_of(op, struct client, beat.op);
    c->beat_out = false;
    struct rpc_beat_reply b = {0};
    struct rbuf r = rbuf_make(c->beat.reply, c->beat.reply_len);
    int err = (int)op->ret;
    if (!err)
        err = rpc_format_beat_reply_get(&r, &b);
    if (err == E_SESSION_EXPIRED || (!err && !b.lease_ns)) {
        SOMETIMES(CLIENT_EXPIRED);
        client_session_lost(c, c->session);
        if (c->state == CLIENT_BEATING)
            session_next(c);
        return;
    }
    if (err == E_AGAIN && c->state == CLIENT_READY) { /* busy; it leads still */
        env_timer_set(c->env, &c->beat_timer, env_now_ns(c->env) + CLIENT_BEAT_MIN_NS);
        return;
    }
    if (err) {
        client_session_rotate(c, c->conn, err, c->beat.reply, c->beat.reply_len);
        return;
    }
    bool epoch_changed = c->epoch && c->epoch != b.epoch;
    c->epoch = c->stats.epoch = b.epoch;
    if (epoch_changed) {
        client_piece_void_all(c);
        session_forget(c);
        client_file_epoch_changed(c);
    }
    if (b.page_bytes >= LIMIT_PAGE_MIN && b.page_bytes <= LIMIT_PAGE_MAX)
        c->page_bytes = b.page_bytes;
    if (b.stripe_bytes)
        c->stripe_bytes = b.stripe_bytes;
    client_worker_list(c, &b);
    c->lease_ns = (int64_t)base_min_u64(b.lease_ns, INT64_MAX / 4);
    c->lease_until_ns = c->beat_sent_ns + c->lease_ns;
    /* a master that waits for a lease to lapse gives a very short one */
    int64_t every_ns = c->lease_ns / 3;
    every_ns = every_ns > CLIENT_BEAT_MIN_NS ? every_ns : CLIENT_BEAT_MIN_NS;
    if (c->n_masters > 1 && every_ns > CLIENT_GROUP_BEAT_NS)
        every_ns = CLIENT_GROUP_BEAT_NS;
    env_timer_set(c->env, &c->beat_timer, c->beat_sent_ns + every_ns);
    if (c->state == CLIENT_BEATING)
        session_ready(c);
}

static void session_beat(struct client *c)
{
    struct rpc_beat b = {c->session, c->workers_version};
    struct wbuf w = wbuf_make(c->scratch, RPC_BODY_MAX);
    rpc_format_beat_put(&w, &b);
    c->beat_out = true;
    c->beat.op.done = session_beaten;
    c->beat_sent_ns = env_now_ns(c->env);
    int64_t wait_ns = c->lease_ns * 2 / 3;
    if (c->state == CLIENT_BEATING || wait_ns < CLIENT_BEAT_WAIT_NS)
        wait_ns = c->state == CLIENT_BEATING ? CLIENT_FIRST_BEAT_NS : CLIENT_BEAT_WAIT_NS;
    if (c->n_masters > 1 && wait_ns > CLIENT_GROUP_WAIT_NS)
        wait_ns = CLIENT_GROUP_WAIT_NS;
    rpc_call(c->conn, RPC_SESSION_BEAT, w.p, (uint32_t)w.len, c->beat_sent_ns + wait_ns, &c->beat);
}

static void session_beat_timer(struct env_op *op)
{
    struct client *c = container_of(op, struct client, beat_timer.op);
    if (c->conn && !c->beat_out && c->state == CLIENT_READY)
        session_beat(c);
}

static void session_next(struct client *c)
{
    if (!c->session.v) {
        session_open(c);
        return;
    }
    c->state = CLIENT_BEATING;
    session_beat(c);
}

/* --- what the master asks --- */

static void batch_done(struct client_batch *b)
{
    struct client *c = b->c;
    rpc_reply(b->token, 0, NULL, 0);
    mem_free(c->mem, b, b->bytes);
    c->n_batches--;
    c->pending--;
    client_quiet(c);
}

static void batch_op_done(struct env_op *op)
{
    struct client_batch *b = container_of(op, struct client_batch_op, op)->b;
    if (--b->left == 0)
        batch_done(b);
}

/* every item of an invalidation; n counts them; the owner is asked only when b is given */
static int session_each_inval(struct client *c, const void *body, uint32_t len,
                              struct client_batch *b, uint32_t *ret_n)
{
    struct rbuf r = rbuf_make(body, len);
    uint32_t n = 0;
    while (rbuf_left(&r)) {
        struct rpc_inval i;
        if (rpc_format_inval_get(&r, &i))
            return E_PROTO;
        if (b) {
            b->ops[n].b = b;
            b->ops[n].op.done = batch_op_done;
            c->host->on_invalidate(c->host, &i, &b->ops[n].op);
        } else if (ret_n) {
            client_cache_inval(c, &i);
            client_file_inval(c, &i);
            c->stats.invalidations++;
        }
        n++;
    }
    if (ret_n)
        *ret_n = n;
    return 0;
}

static void session_invalidate(struct client *c, struct rpc_token t, const void *body, uint32_t len)
{
    uint32_t n = 0;
    if (session_each_inval(c, body, len, NULL, &n)) {
        client_cache_inval_all(c);
        rpc_reply(t, E_PROTO, NULL, 0);
        return;
    }
    if (!c->host || !n || c->state >= CLIENT_STOPPING) {
        rpc_reply(t, 0, NULL, 0);
        return;
    }
    size_t bytes = sizeof(struct client_batch) + n * sizeof(struct client_batch_op) + len;
    struct client_batch *b = c->n_batches < CLIENT_BATCHES_MAX ? mem_zalloc(c->mem, bytes) : NULL;
    if (!b) {
        rpc_reply(t, E_AGAIN, NULL, 0);
        return;
    }
    c->n_batches++;
    c->pending++;
    b->c = c;
    b->token = t;
    b->bytes = (uint32_t)bytes;
    b->left = n;
    b->body = (char *)&b->ops[n];
    memcpy(b->body, body, len); /* names must live until the owner is done with them */
    int err = session_each_inval(c, b->body, len, b, NULL);
    ASSERT(!err);
}

static void session_holds(struct client *c, struct rpc_token t, const void *body, uint32_t len)
{
    struct rbuf r = rbuf_make(body, len);
    struct rpc_inos q;
    if (rpc_format_inos_get(&r, &q)) {
        rpc_reply(t, E_PROTO, NULL, 0);
        return;
    }
    uint32_t n = 0;
    for (int pass = 0; pass < 2; pass++) {
        struct rbuf items = q.items;
        struct wbuf w = wbuf_make(c->scratch, RPC_BODY_MAX);
        rpc_format_inos_put(&w, n);
        n = 0;
        for (uint32_t i = 0; i < q.n; i++) {
            struct ino ino = {rbuf_u64(&items)};
            if (!client_file_find(c, ino))
                continue;
            n++;
            if (pass)
                wbuf_u64(&w, ino.v);
        }
        if (pass)
            rpc_reply(t, w.bad || items.bad ? E_PROTO : 0, w.p, (uint32_t)w.len);
    }
}

static void session_places(struct client *c, struct rpc_token t, const void *body, uint32_t len)
{
    struct rbuf r = rbuf_make(body, len);
    struct rpc_inos q;
    if (rpc_format_inos_get(&r, &q) || q.n != 1)
        rpc_reply(t, E_PROTO, NULL, 0);
    else
        rpc_reply(t, client_piece_void(c, (struct ino){rbuf_u64(&q.items)}) ? 0 : E_AGAIN, NULL, 0);
}

void client_session_on_call(struct rpc_host *h, struct rpc_token t, uint16_t method,
                            const void *body, uint32_t len)
{
    struct client *c = container_of(h, struct client, rpc);
    if (rpc_token_conn(t) != c->conn)
        rpc_reply(t, E_NOTSUP, NULL, 0); /* workers have nothing to ask of a client */
    else if (method == RPC_INVALIDATE)
        session_invalidate(c, t, body, len);
    else if (method == RPC_HOLDS)
        session_holds(c, t, body, len);
    else if (method == RPC_PLACES)
        session_places(c, t, body, len);
    else
        rpc_reply(t, E_NOTSUP, NULL, 0);
}

/* --- start and stop --- */

void client_session_start(struct client *c)
{
    client_master_reset(c);
    c->retry.op.done = session_connect;
    c->beat_timer.op.done = session_beat_timer;
    env_timer_set(c->env, &c->retry, env_now_ns(c->env));
}

static void session_closed(struct env_op *op)
{
    struct client *c = container_of(op, struct client, closing.op);
    c->closing_out = false;
    rpc_host_close(&c->rpc);
    client_quiet(c);
}

void client_session_stop(struct client *c)
{
    bool can = c->state == CLIENT_READY && c->session.v;
    c->state = CLIENT_STOPPING;
    env_timer_stop(c->env, &c->retry);
    env_timer_stop(c->env, &c->beat_timer);
    rpc_cancel(&c->beat);
    rpc_cancel(&c->opening);
    if (!can) {
        rpc_host_close(&c->rpc);
        return;
    }
    struct fsop op = {.kind = FSOP_SESSION_CLOSE, .session = c->session, .arg = c->session.v};
    op.seq = c->next_seq++;
    op.acked = op.seq;
    struct wbuf w = wbuf_make(c->scratch, RPC_BODY_MAX);
    fsop_put(&w, &op);
    c->closing_out = true;
    c->closing.op.done = session_closed;
    rpc_call(c->conn, RPC_FS, w.p, (uint32_t)w.len, env_now_ns(c->env) + 1000 * CLIENT_MS,
             &c->closing);
}
