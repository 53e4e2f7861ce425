/* journal/zk_client.c - the calls of a ZooKeeper client: taken in, sent in order, answered in
 * order.
 *
 * INVARIANTS
 *  1. A call is encoded where it is sent, out of the caller's memory, so what waits costs a slot
 *     and no bytes; calls_bytes bounds what the callers' memory may come to nevertheless, for it
 *     all goes to the connection at once when there is one.
 *  2. No more than window_bytes are sent and unanswered, except one call that is larger: so the
 *     connection's own queue is bounded, and the answers pull the rest after them.
 *  3. A slot is given back, and its watch has its new state, before the call's done. */
#include "core/mutant.h"
#include "journal/zk_impl.h"

struct zk_config zk_config_default(void)
{
    return (struct zk_config){.timeout_ns = 4000 * ZK_MS,
                              .calls_max = 256,
                              .calls_bytes = 4 * 1024 * 1024,
                              .window_bytes = 1024 * 1024,
                              .watches_max = 256,
                              .frame_max = ZK_FRAME_MAX,
                              .backoff_min_ns = 20 * ZK_MS,
                              .backoff_max_ns = 1000 * ZK_MS};
}

const char *zk_state_name(enum zk_state s)
{
    static const char *const names[] = {
        "connecting", "connected", "suspended", "expired", "authentication failed", "closed"};
    return names[s];
}

/* --- encoding --- */

bool zk_client_strip(const struct zk *z, const char **path, uint32_t *len)
{
    uint32_t n = z->root_len;
    if (!n)
        return true;
    if (*len < n || memcmp(*path, z->address.root, n) != 0 || (*len > n && (*path)[n] != '/'))
        return false;
    *path = *len == n ? "/" : *path + n;
    *len = *len == n ? 1 : *len - n;
    return true;
}

static bool client_creates(int32_t what)
{
    return what == ZK_OP_CREATE || what == ZK_OP_CREATE2;
}

static bool client_path_fits(const struct zk *z, const char *path, int32_t what, int32_t flags)
{
    size_t n = path ? strlen(path) : 0;
    bool is_sequential = client_creates(what) && zk_proto_is_sequential(flags);
    return n && n + z->root_len <= ZK_PATH_MAX && !zk_proto_path_wrong(path, n, is_sequential);
}

static bool client_flags_fit(int32_t what, int32_t flags)
{
    return !client_creates(what) || (flags >= 0 && flags <= ZK_CREATE_CONTAINER);
}

static bool client_multi_fits(const struct zk *z, const struct zk_call *c)
{
    if (!c->n_ops || c->n_ops > ZK_MULTI_MAX || !c->ops)
        return false;
    for (uint32_t i = 0; i < c->n_ops; i++) {
        const struct zk_multi *o = &c->ops[i];
        bool is_known = client_creates(o->what) || o->what == ZK_OP_DELETE ||
                        o->what == ZK_OP_SET_DATA || o->what == ZK_OP_CHECK;
        if (!is_known || !client_path_fits(z, o->path, o->what, o->flags) ||
            !client_flags_fit(o->what, o->flags))
            return false;
    }
    return true;
}

/* it can be sent as it is */
static bool client_fits(const struct zk *z, const struct zk_call *c)
{
    uint8_t kind;
    if (c->watch && !zk_watch_kind(c->what, &kind))
        return false;
    switch (c->what) {
    case ZK_OP_CREATE:
    case ZK_OP_CREATE2:
    case ZK_OP_DELETE:
    case ZK_OP_EXISTS:
    case ZK_OP_GET_DATA:
    case ZK_OP_SET_DATA:
    case ZK_OP_GET_ACL:
    case ZK_OP_SET_ACL:
    case ZK_OP_GET_CHILDREN:
    case ZK_OP_GET_CHILDREN2:
    case ZK_OP_SYNC:
        return client_path_fits(z, c->path, c->what, c->flags) &&
               client_flags_fit(c->what, c->flags);
    case ZK_OP_MULTI:
        return client_multi_fits(z, c);
    case ZK_OP_WHO_AM_I:
        return true;
    default:
        return false;
    }
}

static struct zk_request client_request(const struct zk *z, int32_t what, const char *path)
{
    return (struct zk_request){.op = what,
                               .root = z->address.root,
                               .root_len = z->root_len,
                               .path = path,
                               .path_len = path ? (uint32_t)strlen(path) : 0};
}

static struct zk_list client_acl(const struct zk *z, const struct zk_list *acl)
{
    return acl->n ? *acl : z->has_digest ? zk_proto_acl_own : zk_proto_acl_open;
}

static void client_put_multi(struct zk *z, const struct zk_call *c, int32_t xid, struct wbuf *w)
{
    uint32_t n = 0;
    size_t at = zk_proto_multi_begin(w, xid, ZK_OP_MULTI);
    for (uint32_t i = 0; i < c->n_ops; i++) {
        const struct zk_multi *o = &c->ops[i];
        struct zk_request q = client_request(z, o->what, o->path);
        q.data = o->data;
        q.data_len = o->data_len;
        q.version = o->version;
        q.flags = o->flags;
        q.acl = client_acl(z, &o->acl);
        zk_proto_op_put(w, &n, &q);
    }
    zk_proto_multi_end(w, at);
}

/* the call's packet, in z->out; bad: it is larger than packets may be */
static struct wbuf client_put(struct zk *z, const struct zk_call *c, int32_t xid)
{
    struct wbuf w = wbuf_make(z->out, z->io_cap);
    if (c->what == ZK_OP_MULTI) {
        client_put_multi(z, c, xid, &w);
        return w;
    }
    struct zk_request q = client_request(z, c->what, c->path);
    q.root_len = c->is_absolute ? 0 : q.root_len;
    q.xid = xid;
    q.data = c->data;
    q.data_len = c->data_len;
    q.version = c->version;
    q.flags = c->flags;
    q.acl = client_acl(z, &c->acl);
    q.watch = c->watch != NULL;
    zk_proto_request_put(&w, &q);
    return w;
}

/* --- slots --- */

/* s, which is on no list, is over; ret: its call, or NULL */
static struct zk_call *client_slot_end(struct zk_slot *s)
{
    struct zk *z = s->z;
    struct zk_call *c = s->call;
    env_timer_stop(z->env, &s->timer);
    z->n_calls--;
    z->calls_bytes -= s->bytes;
    pool_put(&z->slots, s);
    return c;
}

static void client_unanswered(struct zk *z, struct zk_call *c, int ret)
{
    struct zk_watch *w = c->watch;
    if (w)
        zk_watch_dropped(z, w);
    c->reply.err = c->is_sent ? ZK_ERR_CONNECTION_LOSS : ZK_ERR_OK;
    c->op.ret = ret;
    c->op.done(&c->op);
}

static void client_deadline(struct env_op *op)
{
    struct zk_slot *s = container_of(op, struct zk_slot, timer.op);
    struct zk *z = s->z;
    struct zk_call *c = s->call;
    if (c->is_sent) { /* the place in the row stays: an answer may come */
        s->call = NULL;
    } else {
        list_remove(&s->link);
        client_slot_end(s);
    }
    client_unanswered(z, c, E_TIMEOUT);
}

void zk_client_end_sent(struct zk *z, int ret)
{
    z->window = 0;
    z->n_sent = 0;
    while (MUTANT(ZK_RESENT) && !list_empty(&z->sent) && z->state < ZK_EXPIRED) {
        struct zk_slot *s = list_entry(z->sent.prev, struct zk_slot, link);
        list_remove(&s->link);
        if (s->call) {
            s->call->is_sent = false;
            list_push_front(&z->waiting, &s->link);
        } else {
            client_slot_end(s);
        }
    }
    struct list *l;
    while ((l = list_pop(&z->sent))) {
        struct zk_call *c = client_slot_end(list_entry(l, struct zk_slot, link));
        if (c)
            client_unanswered(z, c, ret);
    }
}

void zk_client_end_waiting(struct zk *z, int ret)
{
    struct list *l;
    while ((l = list_pop(&z->waiting))) {
        struct zk_call *c = client_slot_end(list_entry(l, struct zk_slot, link));
        client_unanswered(z, c, ret);
    }
}

/* --- sending --- */

static bool client_may_send(const struct zk *z, uint32_t bytes)
{
    return z->link == ZK_LINK_UP &&
           (list_empty(&z->sent) || z->window + bytes <= z->cfg.window_bytes);
}

static void client_send(struct zk *z, struct zk_slot *s, const struct wbuf *w)
{
    s->xid = z->xid;
    z->xid = z->xid == INT32_MAX ? 1 : z->xid + 1;
    s->call->is_sent = true;
    s->sent_clock_ns = env_clock_ns(z->env);
    z->window += s->bytes;
    z->n_sent++;
    list_push_back(&z->sent, &s->link);
    zk_session_send(z, w);
}

void zk_client_pump(struct zk *z)
{
    while (!list_empty(&z->waiting)) {
        struct zk_slot *s = list_entry(z->waiting.next, struct zk_slot, link);
        if (!client_may_send(z, s->bytes))
            return;
        struct wbuf w = client_put(z, s->call, z->xid);
        ASSERT(!w.bad); /* it was when it was submitted; the caller may not change it since */
        list_remove(&s->link);
        client_send(z, s, &w);
    }
}

static int client_take(struct zk *z, struct zk_call *c)
{
    if (z->stop_op)
        return E_CANCELLED;
    if (z->state >= ZK_EXPIRED)
        return z->why;
    if (!client_fits(z, c))
        return E_INVAL;
    if (z->n_calls == z->cfg.calls_max || (c->watch && z->n_watches == z->cfg.watches_max))
        return E_AGAIN;
    struct wbuf w = client_put(z, c, z->xid);
    if (w.bad || w.len > ZK_REQUEST_MAX + ZK_FRAME_HEAD)
        return E_TOOBIG;
    if (z->calls_bytes + w.len > z->cfg.calls_bytes)
        return E_AGAIN;
    uint8_t kind;
    if (c->watch && zk_watch_kind(c->what, &kind) && !zk_watch_ask(z, c->watch, c->path, kind))
        return E_NOMEM;
    for (uint32_t i = 0; c->what == ZK_OP_MULTI && i < c->n_ops; i++)
        memset(&c->ops[i].reply, 0, sizeof c->ops[i].reply);
    struct zk_slot *s = pool_get(&z->slots);
    ASSERT(s); /* there are calls_max of them */
    s->z = z;
    s->call = c;
    s->what = c->what;
    s->bytes = (uint32_t)w.len;
    s->timer.op.done = client_deadline;
    z->n_calls++;
    z->calls_bytes += s->bytes;
    if (c->deadline_ns)
        env_timer_set(z->env, &s->timer, c->deadline_ns);
    if (list_empty(&z->waiting) && client_may_send(z, s->bytes))
        client_send(z, s, &w);
    else
        list_push_back(&z->waiting, &s->link);
    return 0;
}

void zk_submit(struct zk *z, struct zk_call *c)
{
    ASSERT(!c->watch || c->watch->state == ZK_WATCH_IDLE);
    memset(&c->reply, 0, sizeof c->reply);
    c->is_sent = c->is_answered = false;
    c->fault = 0;
    int err = client_take(z, c);
    if (err)
        env_reply(z->env, &c->op, err);
}

/* --- answers --- */

/* CREATE2 in a multi is answered as CREATE by ZooKeeper 3.8, without the stat */
static bool client_is_result_of(int32_t result, int32_t what)
{
    return result == ZK_OP_ERROR || result == what ||
           (what == ZK_OP_CREATE2 && result == ZK_OP_CREATE);
}

/* the operations' own answers; E_PROTO: they are not of these operations */
static int client_answer_multi(const struct zk *z, struct zk_call *c)
{
    struct zk_list l = c->reply.results;
    bool has_failed = false;
    if (l.n != c->n_ops)
        return E_PROTO;
    for (uint32_t i = 0; i < c->n_ops; i++) {
        struct zk_reply *a = &c->ops[i].reply;
        zk_proto_result_next(&l, a);
        if (!client_is_result_of(a->op, c->ops[i].what))
            return E_PROTO;
        if (a->path && !zk_client_strip(z, &a->path, &a->path_len))
            return E_PROTO;
        has_failed |= a->op == ZK_OP_ERROR;
    }
    if (!has_failed)
        return 0;
    /* those before the one at fault say OK, those after it INCONSISTENCY; all of them are undone */
    c->reply.err = ZK_ERR_INCONSISTENCY;
    for (uint32_t i = c->n_ops; i-- > 0;) {
        int32_t err = c->ops[i].reply.err;
        if (err && err != ZK_ERR_INCONSISTENCY) {
            c->reply.err = err;
            c->fault = i;
        }
    }
    return 0;
}

int zk_client_answer(struct zk *z, const struct zk_reply *a)
{
    struct zk_slot *s = list_entry(z->sent.next, struct zk_slot, link);
    struct zk_call *c = s->call;
    if (c) {
        c->reply = *a;
        int err = c->what == ZK_OP_MULTI && !a->err ? client_answer_multi(z, c) : 0;
        if (c->reply.path && !c->is_absolute &&
            !zk_client_strip(z, &c->reply.path, &c->reply.path_len))
            err = E_PROTO;
        if (err) {
            memset(&c->reply, 0, sizeof c->reply);
            return err;
        }
    }
    list_remove(&s->link);
    z->window -= s->bytes;
    z->n_sent--;
    z->answers++;
    client_slot_end(s);
    if (!c)
        return 0;
    struct zk_watch *w = c->watch;
    if (w)
        zk_watch_answered(z, w, c->reply.err);
    c->is_answered = true;
    c->op.ret = zk_proto_err_to_e(c->reply.err);
    c->op.done(&c->op);
    return 0;
}

/* --- a client's life --- */

static void client_free(struct zk *z)
{
    struct mem *m = z->mem;
    memset(z->secret, 0, sizeof z->secret);
    memset(z->password, 0, sizeof z->password);
    if (z->slots.base)
        mem_free(m, z->slots.base, (size_t)z->slots.object_size * z->slots.count);
    mem_free(m, z->in, z->io_cap);
    mem_free(m, z->out, z->io_cap);
    mem_free(m, z, sizeof *z);
}

static struct zk_config client_config(const struct zk_config *given)
{
    struct zk_config c = *given, d = zk_config_default();
    if (c.timeout_ns < 10 * ZK_MS)
        c.timeout_ns = d.timeout_ns;
    c.timeout_ns = base_min_i64(c.timeout_ns, INT32_MAX * ZK_MS);
    c.calls_max = c.calls_max ? c.calls_max : d.calls_max;
    c.calls_bytes = c.calls_bytes ? c.calls_bytes : d.calls_bytes;
    c.window_bytes = c.window_bytes ? c.window_bytes : d.window_bytes;
    if (!c.frame_max || c.frame_max > ZK_FRAME_MAX)
        c.frame_max = ZK_FRAME_MAX;
    if (c.frame_max < ZK_FRAME_MIN)
        c.frame_max = ZK_FRAME_MIN;
    if (c.backoff_min_ns < ZK_MS)
        c.backoff_min_ns = d.backoff_min_ns;
    if (c.backoff_max_ns < c.backoff_min_ns)
        c.backoff_max_ns =
            d.backoff_max_ns > c.backoff_min_ns ? d.backoff_max_ns : c.backoff_min_ns;
    c.connect = c.digest = NULL; /* the caller's; copied where they belong */
    return c;
}

int zk_open(struct env *e, struct mem *m, const struct zk_config *cfg, struct zk_host *host,
            struct zk **ret_z, char *why, size_t why_cap)
{
    struct zk *z = mem_zalloc(m, sizeof *z);
    bool has_digest = cfg->digest && *cfg->digest;
    int err = z ? zk_address_parse(cfg->connect, &z->address, why, why_cap) : E_NOMEM;
    *ret_z = NULL;
    if (!err && has_digest && (!strchr(cfg->digest, ':') || strlen(cfg->digest) > ZK_AUTH_BYTES)) {
        fmt_into(why, why_cap, "the ZooKeeper credentials are not USER:PASSWORD, at most %d bytes",
                 ZK_AUTH_BYTES);
        err = E_CONFIG;
    }
    if (err == E_CONFIG) {
        mem_free(m, z, sizeof *z);
        return err;
    }
    if (!err) {
        z->env = e;
        z->mem = m;
        z->cfg = client_config(cfg);
        z->io_cap = z->cfg.frame_max + ZK_FRAME_HEAD;
        z->in = mem_alloc(m, z->io_cap);
        z->out = mem_alloc(m, z->io_cap);
        err = pool_init(&z->slots, m, sizeof(struct zk_slot), z->cfg.calls_max);
        if (!z->in || !z->out)
            err = E_NOMEM;
    }
    if (err) {
        fmt_into(why, why_cap, "no memory for a ZooKeeper client: %u calls, packets of %u bytes",
                 cfg->calls_max, cfg->frame_max);
        if (z)
            client_free(z);
        return err;
    }
    z->host = host;
    z->has_digest = has_digest;
    z->root_len = (uint32_t)strlen(z->address.root);
    z->timeout_ns = z->cfg.timeout_ns;
    z->backoff_ns = z->cfg.backoff_min_ns;
    z->xid = 1;
    z->is_rearmed = true;
    list_init(&z->waiting);
    list_init(&z->sent);
    list_init(&z->firing);
    for (uint32_t k = 0; k < ZK_KINDS; k++)
        list_init(&z->armed[k]);
    if (z->has_digest) {
        err = zk_auth(z, "digest", cfg->digest, (uint32_t)strlen(cfg->digest));
        ASSERT(!err);
    }
    zk_session_open(z);
    *ret_z = z;
    return 0;
}

int zk_auth(struct zk *z, const char *scheme, const void *secret, uint32_t len)
{
    size_t n = strlen(scheme);
    if (n >= sizeof z->secret[0].scheme || len > ZK_AUTH_BYTES)
        return E_TOOBIG;
    if (z->n_secrets == ZK_AUTHS_MAX)
        return E_NOSPC;
    struct zk_secret *s = &z->secret[z->n_secrets++];
    memcpy(s->scheme, scheme, n + 1);
    s->scheme_len = (uint32_t)n;
    memcpy(s->bytes, secret, len);
    s->len = len;
    if (z->link == ZK_LINK_UP)
        zk_session_auth(z, s);
    return 0;
}

void zk_status(const struct zk *z, struct zk_status *ret_status)
{
    *ret_status = (struct zk_status){.state = z->state,
                                     .why = z->why,
                                     .session = z->session,
                                     .timeout_ns = z->timeout_ns,
                                     .zxid = z->zxid,
                                     .older_zxid = z->older_zxid,
                                     .heard_clock_ns = z->heard_clock_ns,
                                     .calls = z->n_calls,
                                     .sent = z->n_sent,
                                     .watches = z->n_watches,
                                     .attempts = z->attempts,
                                     .connects = z->connects,
                                     .losses = z->losses,
                                     .events = z->events,
                                     .answers = z->answers};
    memcpy(ret_status->server, z->address.server[z->server], ENV_ADDR_MAX);
}

static void client_gone(struct env_op *op)
{
    struct zk *z = container_of(op, struct zk, turn);
    struct env_op *stop = z->stop_op;
    stop->ret = z->stop_ret;
    client_free(z);
    stop->done(stop);
}

void zk_client_stopped(struct zk *z, int ret)
{
    z->stop_ret = ret;
    zk_session_end(z, ZK_CLOSED, 0);
    z->turn.done = client_gone;
    env_reply(z->env, &z->turn, 0);
}

static void client_stop(struct env_op *op)
{
    struct zk *z = container_of(op, struct zk, turn);
    bool is_open = z->session && z->state < ZK_EXPIRED;
    z->is_ending = true;
    z->stop_ret = z->closes_session && is_open ? E_TIMEOUT : 0;
    zk_client_end_waiting(z, E_CANCELLED);
    if (z->link == ZK_LINK_UP && z->closes_session)
        zk_session_close(z);
    else if (z->link != ZK_LINK_DIALLING) /* else its op has to come back first */
        zk_client_stopped(z, z->stop_ret);
}

void zk_stop(struct zk *z, bool closes_session, struct env_op *op)
{
    ASSERT(!z->stop_op);
    z->stop_op = op;
    z->closes_session = closes_session;
    z->turn.done = client_stop;
    env_reply(z->env, &z->turn, 0);
}
