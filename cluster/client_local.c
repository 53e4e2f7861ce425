/* cluster/client_local.c - files that the owner may read past us, from a worker of the same host.
 *
 *   ask: (all stripes of the file have one home, it is not known to be elsewhere) --HOLD--> held
 *                                          \--no answer in time--RETURN--> refused
 *   return: --RETURN--> done
 *
 * The token is ours, so that what was granted without our hearing of it can be given back.  While
 * anything is held from a worker a timer renews it; a connection that ends gives everything back by
 * itself.  See worker_local.c for what the worker promises. */
#include "cluster/client_impl.h"

static const int64_t LOCAL_ASK_NS = 500 * CLIENT_MS;
static const int64_t LOCAL_RENEW_NS = 10000 * CLIENT_MS;

enum local_state { LOCAL_ASK, LOCAL_HELD, LOCAL_UNDO, LOCAL_RETURN, LOCAL_OVER };

struct local_impl { /* in client_local.impl */
    struct client *c;
    struct client_worker *w;
    struct rpc_conn *conn; /* that it is held by; only compared */
    struct rpc_call call;
    enum local_state state;
    int err;
};
static_assert(sizeof(struct local_impl) <= sizeof(((struct client_local *)0)->impl), "must fit");

static struct local_impl *local_of(struct client_local *l)
{
    return (struct local_impl *)(void *)l->impl;
}

static void local_done(struct client_local *l, int err)
{
    struct local_impl *s = local_of(l);
    s->state = err || s->state == LOCAL_RETURN ? LOCAL_OVER : LOCAL_HELD;
    l->op.ret = err;
    env_post(s->c->env, &l->op);
}

static void local_called(struct env_op *op);

static void local_call(struct client_local *l, enum local_state state, uint32_t kind)
{
    struct local_impl *s = local_of(l);
    struct client *c = s->c;
    struct rpc_local q = {.kind = kind, .token = l->token};
    if (kind == RPC_LOCAL_HOLD) {
        q.ino = l->file->cf->ino;
        q.version = l->version;
        q.size = l->size;
        q.host = c->cfg.kernel;
        q.host_len = (uint32_t)strlen(c->cfg.kernel);
    }
    struct wbuf w = wbuf_make(c->scratch, RPC_BODY_MAX);
    rpc_format_local_put(&w, &q);
    s->state = state;
    memset(&s->call, 0, sizeof s->call);
    s->call.op.done = local_called;
    c->pending++;
    rpc_call(s->w->conn, RPC_LOCAL, w.p, (uint32_t)w.len, env_now_ns(c->env) + LOCAL_ASK_NS,
             &s->call);
}

static int local_answer(struct client_local *l, const struct rpc_call *call)
{
    struct rbuf r = rbuf_make(call->reply, call->reply_len);
    struct rpc_local_reply rep;
    int err = rpc_format_local_reply_get(&r, &rep);
    if (err || !rep.address_len || rep.address_len >= sizeof l->address)
        return E_PROTO;
    memcpy(l->address, rep.address, rep.address_len);
    l->address[rep.address_len] = 0;
    return 0;
}

static void local_renew_set(struct client *c)
{
    if (!env_timer_is_set(&c->local_timer) && c->state < CLIENT_STOPPING)
        env_timer_set(c->env, &c->local_timer, env_now_ns(c->env) + LOCAL_RENEW_NS);
}

static void local_asked(struct client_local *l, int err)
{
    struct local_impl *s = local_of(l);
    struct client_worker *w = s->w;
    bool is_answered = err != E_TIMEOUT;
    if (err == E_NOTSUP)
        w->is_elsewhere = true;
    if (!err && (err = local_answer(l, &s->call)))
        is_answered = false; /* granted, whatever it said */
    s->err = err;
    if (!is_answered && w->conn == s->conn) {
        local_call(l, LOCAL_UNDO, RPC_LOCAL_RETURN);
        return;
    }
    if (!err) {
        w->n_held++;
        local_renew_set(s->c);
    }
    local_done(l, err);
}

static void local_called(struct env_op *op)
{
    struct local_impl *s = container_of(op, struct local_impl, call.op);
    struct client_local *l = container_of((uint64_t(*)[64])(void *)s, struct client_local, impl);
    struct client *c = s->c;
    c->pending--;
    switch (s->state) {
    case LOCAL_ASK:
        local_asked(l, (int)op->ret);
        break;
    case LOCAL_UNDO:
        local_done(l, s->err);
        break;
    case LOCAL_RETURN:
        local_done(l, 0);
        break;
    case LOCAL_HELD:
    case LOCAL_OVER:
        ASSERT(!"nothing is asked");
    }
    client_quiet(c);
}

/* the one worker that is the home of the whole file, or NULL */
static struct client_worker *local_home(struct client *c, struct ino ino, uint64_t size)
{
    struct client_worker *w = client_worker_pick(c, ino, 0, NULL, 0);
    uint64_t stripes = (size + c->stripe_bytes - 1) / c->stripe_bytes;
    for (uint64_t i = 1; w && c->n_alive > 1 && i < stripes; i++)
        if (client_worker_pick(c, ino, i * c->stripe_bytes, NULL, 0) != w)
            return NULL;
    return w;
}

static int local_ask(struct client *c, struct client_local *l)
{
    struct local_impl *s = local_of(l);
    struct cfile *cf = l->file->cf;
    if (!c->cfg.kernel || !*c->cfg.kernel)
        return E_NOTSUP;
    if (c->state != CLIENT_READY || cf->live || cf->check || !l->file->pin.size)
        return E_AGAIN;
    l->version = l->file->pin.version;
    l->size = l->file->pin.size;
    s->w = local_home(c, cf->ino, l->size);
    if (!s->w || s->w->is_elsewhere)
        return E_NOTSUP;
    if (!s->w->conn) {
        client_worker_connect(s->w);
        return E_AGAIN;
    }
    s->conn = s->w->conn;
    l->token = env_random(c->env) | 1;
    return 0;
}

void client_local_ask(struct client *c, struct client_local *l)
{
    struct local_impl *s = local_of(l);
    memset(s, 0, sizeof *s);
    s->c = c;
    int err = local_ask(c, l);
    if (err)
        local_done(l, err);
    else
        local_call(l, LOCAL_ASK, RPC_LOCAL_HOLD);
}

void client_local_return(struct client *c, struct client_local *l)
{
    struct local_impl *s = local_of(l);
    ASSERT(s->state == LOCAL_HELD);
    s->w->n_held--;
    s->state = LOCAL_RETURN;
    if (s->w->conn && s->w->conn == s->conn && c->state < CLIENT_STOPPING)
        local_call(l, LOCAL_RETURN, RPC_LOCAL_RETURN);
    else
        local_done(l, 0);
}

/* --- what is held is still in use --- */

static void local_renewed(struct env_op *op)
{
    struct client_worker *w = container_of(op, struct client_worker, renew.op);
    w->is_renewing = false;
    w->c->pending--;
    client_quiet(w->c);
}

static void local_renew(struct env_op *op)
{
    struct client *c = container_of(op, struct client, local_timer.op);
    struct rpc_local q = {.kind = RPC_LOCAL_RENEW};
    bool any = false;
    for (uint32_t i = 0; i < c->n_workers; i++) {
        struct client_worker *w = c->workers[i];
        any |= w->n_held > 0;
        if (!w->n_held || !w->conn || w->is_renewing)
            continue;
        struct wbuf b = wbuf_make(c->scratch, RPC_BODY_MAX);
        rpc_format_local_put(&b, &q);
        memset(&w->renew, 0, sizeof w->renew);
        w->renew.op.done = local_renewed;
        w->is_renewing = true;
        c->pending++;
        rpc_call(w->conn, RPC_LOCAL, b.p, (uint32_t)b.len, env_now_ns(c->env) + LOCAL_RENEW_NS,
                 &w->renew);
    }
    if (any)
        local_renew_set(c);
}

void client_local_init(struct client *c)
{
    c->local_timer.op.done = local_renew;
}
