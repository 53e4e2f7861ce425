/* cluster/client_fs.c - metadata requests: one struct, one state, one switch.
 *
 *   client_fs --cache--> DONE                         +---- busy, conflict: a little later ----+
 *       |                                             v                                        |
 *       +--> QUEUED --session ready, window open--> CALL --answer--> DONE                      |
 *              ^                                      |  \---(open: next phase)--> QUEUED      |
 *              +------ lost, not the leader ----------+--> BACKOFF ---------------------------+
 *   WAIT_FILE: an open for writing while another one of the same file is under way.
 *   A creation with FSOP_F_OPEN goes on as the open for writing that it is.
 *
 * INVARIANTS
 *  1. A mutation gets its number when it is first sent, and keeps it; c->muts is in order of
 *     number, so its head is the lowest unanswered one.
 *  2. Next number minus lowest unanswered < LIMIT_SESSION_WINDOW: the master keeps that many
 *     answers.
 *  3. A request is on exactly one of queued[], active, a file's waiting list, until it is DONE.
 *  4. The caller's done() is the last thing that happens to a request; it never runs inside the
 *     call that submitted it. */
#include "cluster/client_impl.h"
#include "core/mutant.h"

static const int64_t FSR_BACKOFF_MIN_NS = 5 * CLIENT_MS;
static const int64_t FSR_BACKOFF_MAX_NS = 500 * CLIENT_MS;

static void fsr_called(struct env_op *op);

static bool fsr_window_open(const struct client *c)
{
    if (list_empty(&c->muts))
        return true;
    const struct client_fsr *first = list_entry(c->muts.next, struct client_fsr, mut);
    return c->next_seq - first->seq < LIMIT_SESSION_WINDOW;
}

static uint64_t fsr_acked(const struct client *c)
{
    if (list_empty(&c->muts))
        return c->next_seq;
    return list_entry(c->muts.next, struct client_fsr, mut)->seq;
}

static void fsr_unlink(struct client_fsr *s)
{
    if (list_linked(&s->link))
        list_remove(&s->link);
    env_timer_stop(s->c->env, &s->timer);
}

/* What is left of a request that its caller gave up: a file that it may have created, or have
 * opened for writing, is open. */
struct fsr_heir {
    struct client_req r;
    struct client_io io;
    struct client *c;
    char name[LIMIT_NAME + 1];
};

static void fsr_heir_released(struct env_op *op)
{
    struct fsr_heir *h = container_of(op, struct fsr_heir, io.op);
    mem_free(h->c->mem, h, sizeof *h);
}

static void fsr_heir_done(struct env_op *op)
{
    struct fsr_heir *h = container_of(op, struct fsr_heir, r.op);
    if (!h->r.file) {
        mem_free(h->c->mem, h, sizeof *h);
        return;
    }
    h->io.op.done = fsr_heir_released;
    h->io.file = h->r.file;
    client_release(h->c, &h->io);
}

static void fsr_init(struct client *c, struct client_req *r);
static void fsr_wait(struct client_req *r, enum client_fs_state state);

/* The number, and the handle, go on to somebody who waits for the answer, and then closes the file.
 */
static void fsr_inherit(struct client_req *r)
{
    struct client_fsr *s = client_fsr_of(r);
    struct client *c = s->c;
    bool creates = r->fsop.kind == FSOP_MKNOD && r->fsop.flags & FSOP_F_OPEN && !s->f;
    bool opens = s->f && s->phase == OPEN_WRITER;
    if ((!creates && !opens) || !s->seq || !s->was_sent || s->session.v != c->session.v ||
        c->state >= CLIENT_STOPPING)
        return;
    struct fsr_heir *h = mem_zalloc(c->mem, sizeof *h);
    if (!h)
        return;
    h->c = c;
    h->r.fsop = r->fsop;
    if (r->fsop.name_len) {
        h->r.fsop.name = h->name;
        memcpy(h->name, r->fsop.name, r->fsop.name_len);
    }
    h->r.op.done = fsr_heir_done;
    fsr_init(c, &h->r);
    struct client_fsr *heir = client_fsr_of(&h->r);
    heir->is_internal = heir->was_sent = true;
    heir->seq = s->seq;
    heir->session = s->session;
    heir->closes = s->closes;
    heir->epoch = s->epoch;
    heir->f = s->f;
    heir->phase = s->phase;
    heir->is_mutation = true;
    s->f = NULL;
    list_insert(&heir->mut, s->mut.prev, &s->mut);
    list_remove(&s->mut);
    s->seq = 0;
    fsr_wait(&h->r, FSR_BACKOFF);
}

/* the mutation is over: its number is free */
static void fsr_settle(struct client_fsr *s)
{
    if (list_linked(&s->mut))
        list_remove(&s->mut);
    s->seq = 0;
    s->was_sent = false;
}

static void fsr_finish(struct client_req *r, int err)
{
    struct client_fsr *s = client_fsr_of(r);
    struct client *c = s->c;
    fsr_unlink(s);
    if (s->is_mutation && s->was_sent && (err_is_retry(err) || err == E_SESSION_EXPIRED))
        client_cache_own(c, &r->fsop, &r->reply); /* it may have happened */
    if (err_is_retry(err))
        fsr_inherit(r);
    fsr_settle(s);
    if (list_linked(&s->link))
        list_remove(&s->link);
    s->state = FSR_DONE;
    r->reply.err = err;
    r->op.ret = err;
    char *copy = s->copy;
    uint32_t n = s->copy_len;
    if (c->cfg.tap && s->is_tapped)
        c->cfg.tap->answered(c->cfg.tap, r);
    r->op.done(&r->op); /* r may be gone */
    mem_free(c->mem, copy, n);
}

/* the outcome in r->reply.err, on a later turn */
static void fsr_posted(struct env_op *op)
{
    struct client_fsr *s = container_of(op, struct client_fsr, call.op);
    struct client *c = s->c;
    struct client_req *r = client_req_of(s);
    c->pending--;
    if (s->f && r->reply.err)
        client_file_answer(r);
    fsr_finish(r, r->reply.err);
    client_quiet(c);
}

static void fsr_post(struct client_req *r, int err)
{
    struct client_fsr *s = client_fsr_of(r);
    fsr_unlink(s);
    s->state = FSR_DONE;
    r->reply.err = err;
    list_push_back(&s->c->active, &s->link);
    s->call.op.done = fsr_posted;
    s->c->pending++;
    env_post(s->c->env, &s->call.op);
}

/* --- waiting --- */

static void fsr_wait(struct client_req *r, enum client_fs_state state)
{
    struct client_fsr *s = client_fsr_of(r);
    struct client *c = s->c;
    fsr_unlink(s);
    s->state = (uint8_t)state;
    int64_t at_ns = s->deadline_ns;
    switch (state) {
    case FSR_QUEUED:
        if (s->seq) /* its number holds the window: before those that wait for room in it */
            list_push_front(&c->queued[1], &s->link);
        else
            list_push_back(&c->queued[s->is_mutation], &s->link);
        break;
    case FSR_BACKOFF: {
        int64_t most_ns = FSR_BACKOFF_MIN_NS << (s->tries < 8 ? s->tries : 8);
        most_ns = most_ns < FSR_BACKOFF_MAX_NS ? most_ns : FSR_BACKOFF_MAX_NS;
        int64_t wait_ns = most_ns / 2 + (int64_t)(env_random(c->env) % (uint64_t)(most_ns / 2));
        int64_t then_ns = env_now_ns(c->env) + wait_ns;
        at_ns = then_ns < at_ns ? then_ns : at_ns;
        list_push_back(&c->active, &s->link);
        break;
    }
    case FSR_WAIT_FILE:
        list_push_back(&s->f->cf->waiting, &s->link);
        break;
    case FSR_CALL:
    case FSR_DONE:
        ASSERT(false);
    }
    env_timer_set(c->env, &s->timer, at_ns);
}

void client_fs_queue(struct client_req *r)
{
    fsr_wait(r, FSR_QUEUED);
    client_fs_pump(client_fsr_of(r)->c);
}

/* this phase of the request ends with err, not by an answer of the master */
static void fsr_give_up(struct client_req *r, int err)
{
    struct client_fsr *s = client_fsr_of(r);
    fsr_unlink(s);
    r->reply = (struct fsop_reply){.err = err};
    if (s->f && err_is_retry(err))
        fsr_inherit(r);
    if (s->f)
        client_file_answer(r);
    fsr_finish(r, err);
}

static void fsr_timer(struct env_op *op)
{
    struct client_fsr *s = container_of(op, struct client_fsr, timer.op);
    struct client *c = s->c;
    struct client_req *r = client_req_of(s);
    if (env_now_ns(c->env) < s->deadline_ns)
        client_fs_queue(r); /* the back-off is over */
    else
        fsr_give_up(r, E_TIMEOUT);
    client_quiet(c);
}

/* --- sending --- */

static int fsr_send(struct client_req *r)
{
    struct client_fsr *s = client_fsr_of(r);
    struct client *c = s->c;
    struct fsop w = r->fsop;
    struct rpc_conn *aside = NULL;
    if (s->f)
        client_file_wire(r, &w);
    if (!s->is_mutation && !s->is_internal && !s->f && !s->was_aside)
        aside = client_standby_conn(c, &w);
    s->is_aside = aside;
    s->was_aside = s->was_aside || aside;
    if (aside)
        w.flags |= FSOP_F_ASIDE;
    if (s->seq && MUTANT(RESEND_RENUMBERED))
        fsr_settle(s);
    if (!s->seq && s->is_mutation) {
        s->seq = c->next_seq++;
        s->session = c->session;
        s->closes = c->n_closed;
        s->epoch = c->epoch;
        list_push_back(&c->muts, &s->mut);
    }
    if (!s->is_mutation)
        s->session = c->session;
    w.session = s->session;
    w.seq = s->seq;
    w.acked = fsr_acked(c);
    struct wbuf b = wbuf_make(c->scratch, RPC_BODY_MAX);
    fsop_put(&b, &w);
    if (b.bad)
        return E_TOOBIG;
    fsr_unlink(s);
    list_push_back(&c->active, &s->link);
    s->state = FSR_CALL;
    s->conn = aside ? aside : c->conn;
    s->sent_ns = env_now_ns(c->env);
    s->stamp = c->cache.stamp;
    if (s->tries++)
        c->stats.retries++;
    s->was_sent = true;
    s->call.op.done = fsr_called;
    c->n_calls++;
    rpc_call(s->conn, RPC_FS, b.p, (uint32_t)b.len,
             aside ? client_standby_deadline_ns(c, s->deadline_ns) : s->deadline_ns, &s->call);
    return 0;
}

static void client_calls_pump(struct client *c);

void client_fs_pump(struct client *c)
{
    for (int m = 0; m < 2; m++) {
        while (c->state == CLIENT_READY && c->n_calls < c->cfg.requests_max &&
               !list_empty(&c->queued[m])) {
            struct client_fsr *s = list_entry(c->queued[m].next, struct client_fsr, link);
            if (m && !s->seq && !fsr_window_open(c))
                break;
            struct client_req *r = client_req_of(s);
            if (s->is_mutation && s->seq && s->session.v != c->session.v) {
                fsr_post(r, E_SESSION_EXPIRED);
                continue;
            }
            int err = fsr_send(r);
            if (err)
                fsr_post(r, err);
        }
    }
    client_calls_pump(c);
}

/* --- answers --- */

/* what the master said: an error of the call, or the answer in its body */
static int fsr_decode(struct client_req *r)
{
    struct client_fsr *s = client_fsr_of(r);
    int err = (int)s->call.op.ret;
    memset(&r->reply, 0, sizeof r->reply);
    if (s->call.reply_len) {
        struct rbuf b = rbuf_make(s->call.reply, s->call.reply_len);
        int bad = fsop_reply_get(&b, &r->reply);
        if (bad) {
            memset(&r->reply, 0, sizeof r->reply);
            return err ? err : bad;
        }
    }
    return err ? err : r->reply.err;
}

static void fsr_learn(struct client_req *r)
{
    struct client_fsr *s = client_fsr_of(r);
    struct client *c = s->c;
    struct fsop w = r->fsop;
    if (s->f)
        client_file_wire(r, &w);
    if (s->is_mutation) {
        /* our own drop must not make the answer look old; another's since it was sent does */
        bool is_news = client_cache_is_news(c, &w, &r->reply, s->stamp);
        client_cache_own(c, &w, &r->reply);
        client_file_own(c, &w, &r->reply);
        s->stamp = is_news ? c->cache.stamp : 0;
    } else {
        /* The master answers a query in the moment it looks, on the connection that carries the
         * invalidations: what came before the answer happened before it.  The first listing of a
         * directory depends on this: loading it is itself a change that we are told of. */
        s->stamp = c->cache.stamp;
    }
    if (w.kind == FSOP_GETATTR && w.size) { /* a place to append to, no attribute */
        r->placed = c->places;
        return;
    }
    int64_t lease_ns = (int64_t)base_min_u64(r->reply.lease_ns, INT64_MAX / 4);
    if (s->is_aside) {
        client_cache_aside(c, &w, &r->reply);
        lease_ns = MUTANT(READ_STANDBY_KEPT) ? c->lease_ns : 0;
    }
    int64_t until_ns = s->sent_ns + lease_ns;
    until_ns = until_ns < c->lease_until_ns ? until_ns : c->lease_until_ns;
    int64_t left_ns = until_ns - env_now_ns(c->env);
    if (left_ns <= 0 || !client_leased(c) || s->session.v != c->session.v ||
        !client_cache_learn(c, &w, &r->reply, s->stamp, until_ns))
        left_ns = 0;
    if (!left_ns && !s->is_mutation && !s->is_aside)
        client_cache_unkept(c, &w, &r->reply);
    if (!s->is_mutation && client_cache_in_doubt(c, &w, r->reply.attr.ino.v))
        left_ns = 0; /* kept here, for later, but not by the caller */
    r->reply.lease_ns = (uint64_t)left_ns;
    if (!s->is_mutation)
        client_file_seen(c, &r->reply.attr, s->sent_ns);
    client_file_overlay(c, &r->reply.attr);
}

static void fsr_follow(struct client_req *r, enum client_open_next next)
{
    switch (next) {
    case OPEN_DONE:
        fsr_finish(r, r->reply.err);
        break;
    case OPEN_SEND:
        fsr_wait(r, FSR_QUEUED);
        break;
    case OPEN_WAIT:
        fsr_wait(r, FSR_WAIT_FILE);
        break;
    }
}

static void fsr_called(struct env_op *op)
{
    struct client_fsr *s = container_of(op, struct client_fsr, call.op);
    struct client *c = s->c;
    struct client_req *r = client_req_of(s);
    c->n_calls--;
    int err = fsr_decode(r);
    bool late = env_now_ns(c->env) >= s->deadline_ns;
    if (s->is_aside) {
        client_standby_done(c, s->conn, (int)op->ret);
        if (op->ret < 0 && !late && c->state < CLIENT_STOPPING) {
            fsr_wait(r, FSR_QUEUED); /* to the leader */
            client_fs_pump(c);
            return;
        }
    }
    /* what the body says comes from the under-store, at most: it is no news of the master */
    bool is_passing = op->ret < 0 ? s->is_aside : err_is_retry(err);
    switch (is_passing ? E_TIMEOUT : err) {
    case E_CLOSED:
    case E_REFUSED:
    case E_NOT_LEADER:
    case E_UNAVAILABLE:
    case E_CANCELLED:
        client_session_rotate(c, s->conn, err, s->call.reply, s->call.reply_len);
        if (s->is_mutation && s->session.v != c->session.v)
            fsr_give_up(r, E_SESSION_EXPIRED);
        else if (late || c->state >= CLIENT_STOPPING)
            fsr_give_up(r, late ? E_TIMEOUT : E_CANCELLED);
        else
            fsr_wait(r, FSR_QUEUED);
        break;
    case E_AGAIN:
    case E_CONFLICT:
    case E_NOT_LOADED:
    case E_TIMEOUT:
        if (late || c->state >= CLIENT_STOPPING)
            fsr_give_up(r, late ? E_TIMEOUT : E_CANCELLED);
        else
            fsr_wait(r, FSR_BACKOFF);
        if (r->fsop.kind == FSOP_GETATTR && r->fsop.size)
            client_file_no_place(c, r->fsop.ino);
        break;
    case E_SESSION_EXPIRED: {
        struct session_id was = s->session;
        if (s->is_mutation && !MUTANT(EXPIRY_RETRIED))
            fsr_give_up(r, E_SESSION_EXPIRED);
        else
            fsr_wait(r, FSR_QUEUED); /* a query changed nothing: asked again in the new session */
        client_session_lost(c, was);
        break;
    }
    default: /* the answer */
        fsr_unlink(s);
        r->reply.err = err;
        fsr_learn(r);
        fsr_settle(s);
        fsr_follow(r, s->f ? client_file_answer(r) : client_file_created(r));
        break;
    }
    client_fs_pump(c);
    client_quiet(c);
}

/* --- from outside --- */

static void fsr_init(struct client *c, struct client_req *r)
{
    struct client_fsr *s = client_fsr_of(r);
    memset(s, 0, sizeof *s);
    memset(&r->reply, 0, sizeof r->reply);
    s->c = c;
    s->timer.op.done = fsr_timer;
    s->deadline_ns = r->deadline_ns ? r->deadline_ns : env_now_ns(c->env) + c->cfg.deadline_ns;
    s->is_mutation = !fsop_is_query(r->fsop.kind);
    list_init(&s->link);
    list_init(&s->mut);
    c->stats.requests++;
}

void client_fs(struct client *c, struct client_req *r)
{
    fsr_init(c, r);
    r->file = NULL;
    if (c->cfg.tap) {
        client_fsr_of(r)->is_tapped = true;
        c->cfg.tap->asked(c->cfg.tap, r);
    }
    if (c->state >= CLIENT_STOPPING) {
        fsr_post(r, E_CANCELLED);
        return;
    }
    if (r->fsop.name_len > LIMIT_NAME && r->fsop.kind != FSOP_MOUNT &&
        r->fsop.kind != FSOP_UNMOUNT) {
        fsr_post(r, E_NAMETOOLONG);
        return;
    }
    if (!r->fsop.size && client_cache_answer(c, r)) {
        c->stats.cache_hits++;
        client_file_overlay(c, &r->reply.attr);
        fsr_post(r, r->reply.err);
        return;
    }
    if (r->fsop.kind == FSOP_OPEN) {
        int err = client_file_from_cache(c, r, NULL, 0, NULL, 0);
        if (err) {
            fsr_post(r, err);
            return;
        }
    }
    client_fs_queue(r);
}

void client_fs_internal(struct client *c, struct client_req *r)
{
    fsr_init(c, r);
    client_fsr_of(r)->is_internal = true;
    client_fs_queue(r);
}

void client_fs_wake(struct list *waiting)
{
    struct list now;
    list_init(&now);
    list_splice(&now, waiting);
    for (struct list *it; (it = list_pop(&now));) {
        struct client_fsr *s = list_entry(it, struct client_fsr, link);
        struct client_req *r = client_req_of(s);
        enum client_open_next next = client_file_resume(r);
        if (next == OPEN_DONE)
            fsr_post(r, r->reply.err); /* not from here: this may be inside a submit */
        else
            fsr_follow(r, next);
    }
}

/* mutations that the old session sent and nobody will answer any more */
void client_fs_session_lost(struct client *c, struct session_id old)
{
    list_each_safe(it, &c->muts) {
        struct client_fsr *s = list_entry(it, struct client_fsr, mut);
        if (s->session.v != old.v || s->state == FSR_DONE)
            continue;
        if (s->state == FSR_CALL) {
            rpc_cancel(&s->call);
            c->n_calls--;
        }
        list_remove(&s->mut);
        if (MUTANT(EXPIRY_RETRIED)) {
            fsr_settle(s);
            fsr_wait(client_req_of(s), FSR_QUEUED);
            continue;
        }
        fsr_post(client_req_of(s), E_SESSION_EXPIRED);
    }
}

static void fsr_cancel_all(struct client *c, struct list *l)
{
    struct list now;
    list_init(&now);
    list_splice(&now, l);
    for (struct list *it; (it = list_pop(&now));) {
        struct client_fsr *s = list_entry(it, struct client_fsr, link);
        if (s->state == FSR_DONE) { /* posted already */
            list_push_back(l, &s->link);
            continue;
        }
        if (s->state == FSR_CALL) {
            rpc_cancel(&s->call);
            c->n_calls--;
        }
        fsr_post(client_req_of(s), E_CANCELLED);
    }
}

void client_fs_stop(struct client *c)
{
    for (uint32_t b = 0; b < CLIENT_FILE_BUCKETS; b++)
        list_each(it, &c->files[b])
            fsr_cancel_all(c, &list_entry(it, struct cfile, link)->waiting);
    fsr_cancel_all(c, &c->queued[0]);
    fsr_cancel_all(c, &c->queued[1]);
    fsr_cancel_all(c, &c->active);
    while (!list_empty(&c->calls)) {
        struct rpc_call *call = list_entry(c->calls.next, struct rpc_call, link);
        list_remove(&call->link);
        call->op.ret = E_CANCELLED;
        env_timer_set(c->env, &call->deadline, env_now_ns(c->env));
    }
}

/* --- plain calls --- */

static struct client *call_client(const struct rpc_link_call *call)
{
    return container_of(call->on, struct client, call_anchor);
}

static void call_end(struct rpc_link_call *call, int err)
{
    call->op.ret = err;
    call->op.done(&call->op);
}

/* Waits look to rpc_cancel() like any call under way, so that the caller can cancel at any time. */
static void call_timer(struct env_op *op)
{
    struct rpc_link_call *call = container_of(op, struct rpc_link_call, call.deadline.op);
    int err = (int)call->call.op.ret;
    rpc_cancel(&call->call);
    call_end(call, err);
}

static void call_wait(struct client *c, struct rpc_link_call *call)
{
    struct rpc_call *r = &call->call;
    r->env = c->env;
    r->conn = NULL;
    r->reply = NULL;
    r->reply_len = 0;
    r->op.ret = c->state >= CLIENT_STOPPING ? E_CANCELLED : E_TIMEOUT;
    r->deadline.op.done = call_timer;
    env_timer_set(c->env, &r->deadline,
                  c->state >= CLIENT_STOPPING ? env_now_ns(c->env) : call->deadline_ns);
    if (c->state < CLIENT_STOPPING)
        list_push_back(&c->calls, &r->link);
    else
        list_init(&r->link);
}

static void call_done(struct env_op *op)
{
    struct rpc_link_call *call = container_of(op, struct rpc_link_call, call.op);
    struct client *c = call_client(call);
    bool late = env_now_ns(c->env) >= call->deadline_ns;
    bool lost = op->ret == E_CLOSED || op->ret == E_NOT_LEADER || op->ret == E_UNAVAILABLE ||
                op->ret == E_CANCELLED; /* by a master that was stopped */
    if (!lost || late || c->state >= CLIENT_STOPPING) {
        call_end(call, (int)op->ret);
        return;
    }
    if (op->ret != E_CLOSED) /* a lost connection brings its own news */
        client_session_rotate(c, c->conn, (int)op->ret, call->call.reply, call->call.reply_len);
    call_wait(c, call);
}

static void client_calls_pump(struct client *c)
{
    while (c->state == CLIENT_READY && !list_empty(&c->calls)) {
        struct rpc_link_call *call = list_entry(c->calls.next, struct rpc_link_call, call.link);
        rpc_cancel(&call->call);
        call->call.op.done = call_done;
        rpc_call(c->conn, call->method, call->body, call->len, call->deadline_ns, &call->call);
    }
}

void client_call(struct client *c, uint16_t method, const void *body, uint32_t len,
                 int64_t deadline_ns, struct rpc_link_call *call)
{
    call->method = method;
    call->body = body;
    call->len = len;
    call->deadline_ns = deadline_ns ? deadline_ns : env_now_ns(c->env) + c->cfg.deadline_ns;
    call->on = &c->call_anchor;
    call_wait(c, call);
    client_calls_pump(c);
}
