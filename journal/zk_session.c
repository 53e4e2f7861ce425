/* journal/zk_session.c - the connection of a ZooKeeper client, and what keeps its session.
 *
 * INVARIANTS
 *  1. One server at a time.  The servers are tried in an order drawn at the start; after a round of
 *     all of them there is a pause, which doubles until a server lets the session in: during an
 *     election servers accept connections only to close them.
 *  2. Every attempt, connecting and greeting together, has a deadline: so much of the third of the
 *     session that is left after a server was given up as lets each server have its turn, and twice
 *     as much in each further round.
 *  3. On a new connection credentials come first, then the watches, then what waits.
 *  4. After a third of the session without a word to the server comes a ping; after two thirds
 *     without one from it the server is given up.
 *  5. What comes and does not fit costs the connection, never more.
 *  6. A server that is behind what the client has seen closes without a word, and so does one
 *     without a majority.  When most servers of a round did, and twice the session's time has
 *     passed, the next round asks: an empty session is begun that has seen nothing, and closed.
 *     Its end is a change that a majority agreed on.  If its zxid is lower than what was seen, the
 *     ensemble has lost that, for good, and the session with it; else it was a server that lags.
 *
 * That a process stood still does not look like silence: the loop delivers what came meanwhile
 * before it fires timers (core/env.h). */
#include "core/mutant.h"
#include "journal/zk_impl.h"

static const int64_t SESSION_ATTEMPT_MIN_NS = 100 * ZK_MS;
enum { SESSION_LOG_EVERY = 16 /* rounds: what fails for long is not told at each attempt */ };

static void session_dialled(struct env_op *op);
static void session_bytes(struct env_peer *p, uint16_t type, const void *b, uint32_t n);
static void session_closed(struct env_peer *p, int why);

static const char *session_server(const struct zk *z)
{
    return z->address.server[z->server];
}

/* --- attempts --- */

static int64_t session_attempt_ns(const struct zk *z)
{
    int64_t most_ns = z->timeout_ns * 2 / 3;
    int64_t ns = z->timeout_ns / 3 / z->address.n;
    if (ns < SESSION_ATTEMPT_MIN_NS)
        ns = SESSION_ATTEMPT_MIN_NS;
    for (uint32_t i = z->tried / z->address.n; i > 0 && ns < most_ns; i--)
        ns *= 2;
    return base_min_i64(ns, most_ns);
}

/* are the servers to be asked whether they have lost what was seen? */
static bool session_doubts(const struct zk *z)
{
    return z->session && z->zxid && z->shut > z->address.n / 2 && !z->is_probing &&
           env_now_ns(z->env) - z->heard_ns >= 2 * z->timeout_ns;
}

static void session_dial(struct zk *z)
{
    int64_t ns = session_attempt_ns(z);
    if (z->tried % z->address.n == 0) {
        z->is_probing = session_doubts(z);
        z->shut = z->unfound = 0;
    }
    z->link = ZK_LINK_DIALLING;
    z->attempts++;
    z->tried++;
    z->attempt_end_ns = env_now_ns(z->env) + ns;
    z->peer =
        (struct env_peer){.on_frame = session_bytes, .on_close = session_closed, .is_raw = true};
    z->dial = (struct env_op){.done = session_dialled};
    env_connect(z->env, session_server(z), ns, &z->peer, &z->dial);
}

static int64_t session_half_or_more(struct zk *z, int64_t ns)
{
    return ns / 2 + (int64_t)(env_random(z->env) % (uint64_t)(ns / 2 + 1));
}

/* a round of servers none of which has an address: a word in the configuration, or the resolver */
static void session_log_unfound(const struct zk *z)
{
    uint32_t n = z->address.n;
    if (z->unfound == n && (z->tried == n || z->tried / n % SESSION_LOG_EVERY == 0))
        fmt_log(
            z->env, ENV_LOG_ERROR,
            "zookeeper: none of the %u hosts in the connection string has an address (%s, ...): "
            "check the names and the resolver. It is tried again and again.",
            n, session_server(z));
}

static void session_dial_later(struct zk *z)
{
    int64_t pause_ns;
    if (!z->tried) { /* a connection was lost: the others are not called in the same moment */
        pause_ns = session_half_or_more(z, z->cfg.backoff_min_ns / 2);
    } else if (z->tried % z->address.n) {
        pause_ns = (int64_t)(env_random(z->env) % (uint64_t)z->cfg.backoff_min_ns);
    } else {
        session_log_unfound(z);
        pause_ns = session_half_or_more(z, z->backoff_ns);
        z->backoff_ns = base_min_i64(z->backoff_ns * 2, z->cfg.backoff_max_ns);
    }
    z->server = (z->server + 1) % z->address.n;
    env_timer_set(z->env, &z->timer, env_now_ns(z->env) + pause_ns);
}

/* --- the end of a connection --- */

static void session_hang_up(struct zk *z)
{
    env_timer_stop(z->env, &z->timer);
    if (z->peer.conn)
        env_hangup(z->peer.conn);
    z->peer.conn = NULL;
    z->link = ZK_LINK_DOWN;
    z->in_len = 0;
    z->ping_out = z->is_probed = false;
    z->auths_out = 0;
}

static void session_log_lost(struct zk *z, bool was_up, int why, const char *what)
{
    uint32_t n = z->address.n;
    if (was_up)
        fmt_log(z->env, ENV_LOG_WARN, "zookeeper: lost %s: %s (%s); session 0x%llx goes elsewhere",
                session_server(z), what, err_text(why), (unsigned long long)z->session);
    else if (z->tried <= n || z->tried / n % SESSION_LOG_EVERY == 0)
        fmt_log(z->env, ENV_LOG_INFO, "zookeeper: no session on %s: %s (%s), attempt %u",
                session_server(z), what, err_text(why), z->tried);
}

void zk_session_lost(struct zk *z, int why, const char *what)
{
    bool was_up = z->link == ZK_LINK_UP || z->link == ZK_LINK_CLOSING;
    bool was_closing = z->link == ZK_LINK_CLOSING;
    session_log_lost(z, was_up, why, what);
    session_hang_up(z);
    z->why = why;
    z->losses += was_up;
    if (was_up)
        z->state = ZK_SUSPENDED;
    zk_client_end_sent(z, E_CLOSED);
    if (was_closing) {
        zk_client_stopped(z, E_TIMEOUT);
        return;
    }
    if (was_up)
        z->host->state(z->host, ZK_SUSPENDED, why);
    session_dial_later(z);
}

void zk_session_end(struct zk *z, enum zk_state state, int why)
{
    session_hang_up(z);
    z->state = state;
    z->why = why;
    zk_watch_drop_all(z);
    int ret = state == ZK_CLOSED ? E_CANCELLED : why;
    zk_client_end_sent(z, ret);
    zk_client_end_waiting(z, ret);
    z->host->state(z->host, state, why);
}

static void session_closed(struct env_peer *p, int why)
{
    struct zk *z = container_of(p, struct zk, peer);
    z->shut += z->link == ZK_LINK_GREETING && !z->is_probing;
    zk_session_lost(z, why ? why : E_CLOSED,
                    z->link == ZK_LINK_GREETING ? "it closed the connection unasked"
                                                : "the connection was closed");
}

/* --- sending --- */

void zk_session_send(struct zk *z, const struct wbuf *w)
{
    for (size_t at = 0; at < w->len;) {
        size_t n = base_min_u64(w->len - at, ENV_FRAME_MAX);
        struct env_iov iov = {w->p + at, n};
        env_send(z->peer.conn, 0, &iov, 1);
        at += n;
    }
    z->spoke_ns = env_now_ns(z->env);
}

void zk_session_auth(struct zk *z, const struct zk_secret *s)
{
    struct wbuf w = wbuf_make(z->out, z->io_cap);
    struct zk_request q = {.xid = ZK_XID_AUTH,
                           .op = ZK_OP_AUTH,
                           .scheme = s->scheme,
                           .scheme_len = s->scheme_len,
                           .data = s->bytes,
                           .data_len = s->len};
    zk_proto_request_put(&w, &q);
    zk_session_send(z, &w);
    memset(z->out, 0, w.len);
    z->auths_out++;
}

static void session_ping(struct zk *z)
{
    uint8_t bytes[16];
    struct wbuf w = wbuf_make(bytes, sizeof bytes);
    zk_proto_request_put(&w, &(struct zk_request){.xid = ZK_XID_PING, .op = ZK_OP_PING});
    z->ping_clock_ns = env_clock_ns(z->env);
    zk_session_send(z, &w);
    z->ping_out = true;
}

static void session_put_close(struct zk *z)
{
    uint8_t bytes[16];
    struct wbuf w = wbuf_make(bytes, sizeof bytes);
    z->close_xid = z->xid;
    z->xid = z->xid == INT32_MAX ? 1 : z->xid + 1;
    zk_proto_request_put(&w, &(struct zk_request){.xid = z->close_xid, .op = ZK_OP_CLOSE_SESSION});
    zk_session_send(z, &w);
}

void zk_session_close(struct zk *z)
{
    z->link = ZK_LINK_CLOSING;
    z->attempt_end_ns = env_now_ns(z->env) + z->timeout_ns / 3;
    session_put_close(z);
    env_timer_set(z->env, &z->timer, z->attempt_end_ns);
}

/* --- silence --- */

static void session_watch_silence(struct zk *z)
{
    int64_t at_ns = z->heard_ns + z->timeout_ns * 2 / 3;
    if (!z->ping_out)
        at_ns = base_min_i64(at_ns, z->spoke_ns + z->timeout_ns / 3);
    env_timer_set(z->env, &z->timer, at_ns);
}

static void session_tick(struct env_op *op)
{
    struct zk *z = container_of(op, struct zk, timer.op);
    int64_t now = env_now_ns(z->env);
    switch (z->link) {
    case ZK_LINK_DOWN:
        session_dial(z);
        break;
    case ZK_LINK_DIALLING:
        break;
    case ZK_LINK_GREETING:
        zk_session_lost(z, E_TIMEOUT, "it did not answer in time");
        break;
    case ZK_LINK_UP:
        if (now >= z->heard_ns + z->timeout_ns * 2 / 3) {
            zk_session_lost(z, E_TIMEOUT, "it was silent for two thirds of the session");
            break;
        }
        if (!z->ping_out && now >= z->spoke_ns + z->timeout_ns / 3)
            session_ping(z);
        session_watch_silence(z);
        break;
    case ZK_LINK_CLOSING:
        zk_session_lost(z, E_TIMEOUT, "it did not close the session in time");
        break;
    }
}

/* what was sent then has reached the server; answers may overtake each other's kinds */
static void session_heard(struct zk *z, int64_t sent_clock_ns)
{
    if (!z->heard_clock_ns || sent_clock_ns > z->heard_clock_ns)
        z->heard_clock_ns = sent_clock_ns;
}

/* --- greeting --- */

static void session_dialled(struct env_op *op)
{
    struct zk *z = container_of(op, struct zk, dial);
    if (z->is_ending) {
        session_hang_up(z);
        zk_client_stopped(z, z->stop_ret);
        return;
    }
    if (op->ret < 0) {
        bool is_unfound = op->ret == E_NXIO;
        z->unfound += is_unfound;
        zk_session_lost(z, (int)op->ret, is_unfound ? "its name has no address" : "cannot connect");
        return;
    }
    struct wbuf w = wbuf_make(z->out, z->io_cap);
    struct zk_connect c = {.timeout_ms = (int32_t)(z->cfg.timeout_ns / ZK_MS),
                           .password_len = ZK_PASSWORD};
    if (!z->is_probing) {
        c.zxid = MUTANT(ZK_ZXID_FORGOTTEN) ? 0 : z->zxid;
        c.session = z->session;
        memcpy(c.password, z->password, ZK_PASSWORD);
    }
    zk_proto_connect_put(&w, &c);
    z->link = ZK_LINK_GREETING;
    z->greet_clock_ns = env_clock_ns(z->env);
    zk_session_send(z, &w);
    memset(z->out, 0, w.len);
    env_timer_set(z->env, &z->timer, z->attempt_end_ns);
}

static void session_up(struct zk *z, const struct zk_connected *c)
{
    bool is_new = !z->session;
    z->session = c->session;
    memcpy(z->password, c->password, ZK_PASSWORD);
    z->timeout_ns = c->timeout_ms * ZK_MS;
    session_heard(z, z->greet_clock_ns);
    z->link = ZK_LINK_UP;
    z->state = ZK_CONNECTED;
    z->why = 0;
    z->tried = z->shut = 0;
    z->backoff_ns = z->cfg.backoff_min_ns;
    z->connects++;
    fmt_log(z->env, ENV_LOG_INFO, "zookeeper: session 0x%llx %s on %s, time-out %lld ms",
            (unsigned long long)z->session, is_new ? "begins" : "goes on", session_server(z),
            (long long)c->timeout_ms);
    for (uint32_t i = 0; i < z->n_secrets; i++)
        zk_session_auth(z, &z->secret[i]);
    if (!MUTANT(ZK_REARM_LATE))
        zk_watch_rearm(z);
    session_watch_silence(z);
    z->host->state(z->host, ZK_CONNECTED, 0);
    zk_client_pump(z);
    if (MUTANT(ZK_REARM_LATE))
        zk_watch_rearm(z);
}

/* the end of the empty session, at that zxid */
static void session_probed(struct zk *z, int64_t zxid)
{
    z->is_probing = z->is_probed = false;
    if (zxid >= z->zxid) { /* it lagged: now as usual */
        session_hang_up(z);
        env_timer_set(z->env, &z->timer, env_now_ns(z->env));
        return;
    }
    fmt_log(z->env, ENV_LOG_ERROR,
            "zookeeper: the data of %s is older than what was seen of it: it is at zxid 0x%llx, "
            "and was at 0x%llx. It was lost, or an older state was brought back. Session 0x%llx "
            "is over.",
            session_server(z), (unsigned long long)zxid, (unsigned long long)z->zxid,
            (unsigned long long)z->session);
    z->older_zxid = zxid;
    zk_session_end(z, ZK_EXPIRED, E_SESSION_EXPIRED);
}

/* of an empty session: first its ConnectResponse, then the answer to its close */
static void session_probe(struct zk *z, const void *b, uint32_t n)
{
    struct zk_connected c;
    struct zk_reply a;
    bool is_good = z->is_probed ? !zk_proto_reply_get(b, n, ZK_OP_NONE, &a) &&
                                      a.xid == z->close_xid && a.zxid > 0 && !a.err
                                : !zk_proto_connected_get(b, n, &c) && c.timeout_ms > 0 &&
                                      c.session && !c.read_only;
    if (!is_good) {
        zk_session_lost(z, E_PROTO, "it begins and ends no empty session");
    } else if (z->is_probed) {
        session_probed(z, a.zxid);
    } else {
        z->is_probed = true;
        session_put_close(z);
    }
}

static void session_greeted(struct zk *z, const void *b, uint32_t n)
{
    struct zk_connected c;
    if (zk_proto_connected_get(b, n, &c)) {
        zk_session_lost(z, E_PROTO, "its ConnectResponse cannot be read");
        return;
    }
    if (c.timeout_ms <= 0 && z->session) {
        fmt_log(z->env, ENV_LOG_WARN, "zookeeper: session 0x%llx is expired, says %s",
                (unsigned long long)z->session, session_server(z));
        zk_session_end(z, ZK_EXPIRED, E_SESSION_EXPIRED);
        return;
    }
    bool is_ours = c.session && (!z->session || c.session == z->session);
    if (c.timeout_ms <= 0 || !is_ours || c.password_len != ZK_PASSWORD) {
        zk_session_lost(z, E_PROTO, "its ConnectResponse is for no session of ours");
        return;
    }
    if (c.read_only) { /* we never say that this would do */
        zk_session_lost(z, E_ROFS, "it serves reads only");
        return;
    }
    session_up(z, &c);
}

/* --- what comes --- */

static void session_auth_answered(struct zk *z, const struct zk_reply *a)
{
    if (!z->auths_out) {
        zk_session_lost(z, E_PROTO, "an answer to credentials that were not sent");
        return;
    }
    z->auths_out--;
    if (!a->err)
        return;
    fmt_log(z->env, ENV_LOG_ERROR, "zookeeper: %s refuses our credentials: %s", session_server(z),
            zk_proto_err_text(a->err));
    zk_session_end(z, ZK_AUTH_FAILED, E_AUTH);
    if (z->is_ending)
        zk_client_stopped(z, E_TIMEOUT);
}

static void session_rearm_answered(struct zk *z, const struct zk_reply *a)
{
    if (!z->rearms_out)
        zk_session_lost(z, E_PROTO, "an answer to setWatches that was not sent");
    else if (a->err)
        zk_session_lost(z, zk_proto_err_to_e(a->err), "it did not arm the watches again");
    else
        z->is_rearmed = --z->rearms_out == 0;
}

static void session_answer(struct zk *z, const struct zk_reply *a)
{
    char what[96];
    const struct zk_slot *s =
        list_empty(&z->sent) ? NULL : list_entry(z->sent.next, struct zk_slot, link);
    if (!s && z->link == ZK_LINK_CLOSING && a->xid == z->close_xid) {
        zk_client_stopped(z, 0);
        return;
    }
    if (!s || a->xid != s->xid) {
        fmt_into(what, sizeof what, "an answer to request %d, not to %d", a->xid, s ? s->xid : 0);
        zk_session_lost(z, E_PROTO, what);
        return;
    }
    bool was_closing = z->link == ZK_LINK_CLOSING;
    session_heard(z, s->sent_clock_ns);
    if (a->zxid > z->zxid)
        z->zxid = a->zxid;
    if (zk_client_answer(z, a)) {
        fmt_into(what, sizeof what, "an answer to %s that does not fit", zk_proto_op_name(a->op));
        zk_session_lost(z, E_PROTO, what);
    } else if (a->err == ZK_ERR_SESSION_MOVED && z->peer.conn && !was_closing) {
        zk_session_lost(z, E_AGAIN, "the session has moved to another server");
    } else {
        zk_client_pump(z);
    }
}

static void session_packet(struct zk *z, const void *b, uint32_t n)
{
    char what[64];
    if (z->link == ZK_LINK_GREETING && z->is_probing) {
        session_probe(z, b, n);
        return;
    }
    if (z->link == ZK_LINK_GREETING) {
        session_greeted(z, b, n);
        return;
    }
    struct zk_reply a;
    int32_t op =
        list_empty(&z->sent) ? ZK_OP_NONE : list_entry(z->sent.next, struct zk_slot, link)->what;
    if (zk_proto_reply_get(b, n, op, &a)) {
        fmt_into(what, sizeof what, "%s, which cannot be read",
                 a.xid == ZK_XID_EVENT ? "an event" : zk_proto_op_name(a.op));
        zk_session_lost(z, E_PROTO, what);
        return;
    }
    switch (a.xid) {
    case ZK_XID_EVENT:
        z->events++;
        zk_watch_event(z, &a);
        break;
    case ZK_XID_PING:
        if (!z->ping_out) {
            zk_session_lost(z, E_PROTO, "an answer to a ping that was not sent");
            break;
        }
        z->ping_out = false;
        session_heard(z, z->ping_clock_ns);
        break;
    case ZK_XID_AUTH:
        session_auth_answered(z, &a);
        break;
    case ZK_XID_SET_WATCHES:
        session_rearm_answered(z, &a);
        break;
    default:
        session_answer(z, &a);
    }
}

/* More of a packet that has not come whole.  ret: bytes taken, or E_PROTO; it is whole when *ret_n
 * is not 0. */
static int64_t session_gather(struct zk *z, const uint8_t *b, uint32_t n, uint32_t *ret_n)
{
    uint32_t took = 0;
    *ret_n = 0;
    if (z->in_len < ZK_FRAME_HEAD) {
        uint32_t want = ZK_FRAME_HEAD - z->in_len;
        took = (uint32_t)base_min_u64(want, n);
        memcpy(z->in + z->in_len, b, took);
        z->in_len += took;
        if (took < want)
            return took;
    }
    uint32_t len = __builtin_bswap32(base_get_u32(z->in));
    if (len > z->cfg.frame_max)
        return E_PROTO;
    uint32_t rest = (uint32_t)base_min_u64(len + ZK_FRAME_HEAD - z->in_len, n - took);
    memcpy(z->in + z->in_len, b + took, rest);
    z->in_len += rest;
    if (z->in_len == len + ZK_FRAME_HEAD)
        *ret_n = z->in_len;
    return took + rest;
}

static void session_bytes(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    struct zk *z = container_of(p, struct zk, peer);
    const uint8_t *at = b;
    (void)type;
    z->heard_ns = env_now_ns(z->env);
    while (n && p->conn) {
        int64_t took = 0;
        uint32_t whole = 0;
        const uint8_t *packet = at;
        if (!z->in_len) {
            took = zk_proto_frame(at, n, z->cfg.frame_max);
            whole = took > 0 ? (uint32_t)took : 0;
        }
        if (!took) {
            took = session_gather(z, at, n, &whole);
            packet = z->in;
        }
        if (took < 0) {
            zk_session_lost(z, E_PROTO,
                            "what begins there is no packet, or a larger one than we take");
            return;
        }
        at += took;
        n -= (uint32_t)took;
        if (whole) {
            z->in_len = 0;
            session_packet(z, packet + ZK_FRAME_HEAD, whole - ZK_FRAME_HEAD);
        }
    }
}

void zk_session_open(struct zk *z)
{
    z->timer.op.done = session_tick;
    for (uint32_t i = z->address.n - 1; i > 0; i--) {
        uint32_t k = (uint32_t)(env_random(z->env) % (i + 1));
        char t[ENV_ADDR_MAX];
        memcpy(t, z->address.server[i], sizeof t);
        memcpy(z->address.server[i], z->address.server[k], sizeof t);
        memcpy(z->address.server[k], t, sizeof t);
    }
    env_timer_set(z->env, &z->timer, env_now_ns(z->env));
}
