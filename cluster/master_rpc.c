/* cluster/master_rpc.c - a client's call, from its frame to its answer.
 *
 * INVARIANTS
 *  1. Every call gets exactly one answer, at its deadline at the latest.  A mutation whose client
 *     got E_TIMEOUT goes on: its record is in the journal, its intent is the master's own business.
 *  2. A mutation that is under way is found by (session, seq); a repetition waits for the same
 *     answer and is never submitted beside it.
 *  3. A client can journal nothing but its own namespace operations: loads, outcomes, reclaims,
 *     mounts and other sessions' ends are E_PERM.
 *  4. A mutation is answered after everybody else who may have cached what it changed has dropped
 *     it, or cannot use it any more.
 *  5. E_NOT_LOADED and E_CONFLICT never reach a client.
 *
 * Answers of the file system travel in the body (err included); the call's own error is for what
 * concerns the call: E_NOT_LEADER, E_AGAIN, E_TIMEOUT, E_PROTO. */
#include "cluster/master_impl.h"
#include "core/mutant.h"

/* A query:
 *
 *   NEW -> [BARRIER] -> QUERY --answer-------------------------------> (gone)
 *                       (on a standby no further: master_standby.c)
 *                       ^   |
 *                       |   | not loaded, or due for a comparison
 *                       |   v
 *                       WAIT_JOB / PARKED (no job free)
 *
 * A mutation:
 *
 *   NEW -> [WAIT_JOB: WRITE_CLOSE's stat] -> JOURNAL --applied--> [WAIT_INTENT] -> [WAIT_ACKS] ->
 * (gone) ^    | |    | not loaded: WAIT_JOB;  conflict: PARKED
 *                                            +----+
 *
 *   ECHO: a repetition, on the list of the request it repeats.  IMAGE: an operator's image. */

static void req_run(struct master_req *r);

static const uint16_t REQ_FLAGS = FSOP_F_NOREPLACE | FSOP_F_EXCHANGE | FSOP_F_TRUNC |
                                  FSOP_F_XATTR_CREATE | FSOP_F_XATTR_REPLACE | FSOP_F_OPEN;

static struct list *req_bucket(struct master *m, struct session_id s, uint64_t seq)
{
    return &m->inflight[base_mix_u64(s.v * 31 + seq) % MASTER_BUCKETS];
}

static bool req_is_keyed(const struct master_req *r)
{
    return r->method == RPC_FS && !fsop_is_query(r->op.kind) && r->op.session.v && r->op.seq;
}

/* --- making and ending --- */

struct master_req *master_rpc_new(struct master *m, struct rpc_token t, uint16_t method,
                                  const void *body, uint32_t len)
{
    struct master_req *r = pool_get(&m->reqs);
    if (!r)
        return NULL;
    r->body = mem_alloc(m->mem, len ? len : 1);
    if (!r->body) {
        pool_put(&m->reqs, r);
        return NULL;
    }
    if (len)
        memcpy(r->body, body, len);
    r->body_len = len;
    r->m = m;
    r->method = method;
    r->token = t;
    r->deadline_ns = env_now_ns(m->env) + MASTER_DEADLINE_NS;
    size_t slot = (size_t)((char *)r - m->reqs.base) / m->reqs.object_size;
    r->acks = m->acks + slot * m->ack_words;
    memset(r->acks, 0, m->ack_words * sizeof *r->acks);
    list_init(&r->link);
    list_init(&r->hashed);
    list_init(&r->echoes);
    list_init(&r->sub.link);
    list_push_back(&m->live, &r->live);
    master_busy(m);
    return r;
}

static void req_free(struct master_req *r)
{
    struct master *m = r->m;
    list_remove(&r->link);
    list_remove(&r->live);
    list_remove(&r->hashed);
    list_remove(&r->sub.link);
    mem_free(m->mem, r->body, r->body_len ? r->body_len : 1);
    mem_free(m->mem, r->page, r->page ? LIMIT_BATCH : 0);
    pool_put(&m->reqs, r);
    if (m->is_stopping)
        master_stop_step(m);
}

/* an operation that will come back is under way */
static bool req_is_out(const struct master_req *r)
{
    return r->state == REQ_JOURNAL || r->state == REQ_BARRIER || r->state == REQ_IMAGE;
}

static void req_send(struct master_req *r, int err, const void *body, uint32_t len)
{
    struct list *e;
    if (!r->is_answered)
        rpc_reply(r->token, err, body, len);
    r->is_answered = true;
    r->m->n.answers++;
    while ((e = list_pop(&r->echoes))) {
        struct master_req *echo = list_entry(e, struct master_req, link);
        if (!echo->is_answered)
            rpc_reply(echo->token, err, body, len);
        req_free(echo);
    }
}

void master_rpc_fail(struct master_req *r, int err)
{
    char hint[ENV_ADDR_MAX];
    req_send(r, err, hint, err == E_NOT_LEADER ? master_group_hint(r->m, hint) : 0);
    if (!req_is_out(r))
        req_free(r);
}

void master_rpc_answer(struct master_req *r, const struct fsop_reply *rep)
{
    struct wbuf w = wbuf_make(r->m->out, RPC_BODY_MAX);
    struct fsop_reply out = *rep;
    out.intent = 0;
    fsop_reply_put(&w, &out);
    req_send(r, w.bad ? E_TOOBIG : 0, w.p, w.bad ? 0 : (uint32_t)w.len);
    req_free(r);
}

void master_rpc_answer_err(struct master_req *r, int err)
{
    struct fsop_reply rep = {.err = err, .index = meta_applied(r->m->meta)};
    master_rpc_answer(r, &rep);
}

void master_rpc_park(struct master_req *r, enum master_req_state resume)
{
    r->state = REQ_PARKED;
    r->resume = resume;
    list_remove(&r->link);
    list_push_back(&r->m->parked, &r->link);
}

/* until the intent in the way is closed, where that is known; else for a while */
static void req_block(struct master_req *r, uint64_t blocker, enum master_req_state resume)
{
    struct master *m = r->m;
    m->n.conflicts++;
    master_rpc_park(r, resume);
    r->blocker = blocker;
    if (!blocker || !meta_intent_is_open(m->meta, blocker))
        return;
    list_remove(&r->link);
    list_push_back(&m->intent_waits[blocker % MASTER_EFFECT_BUCKETS], &r->link);
}

void master_rpc_block(struct master_req *r, enum master_req_state resume)
{
    req_block(r, r->blocker, resume);
}

void master_rpc_released(struct master *m, uint64_t intent)
{
    list_each_safe(it, &m->intent_waits[intent % MASTER_EFFECT_BUCKETS]) {
        struct master_req *r = list_entry(it, struct master_req, link);
        if (r->state != REQ_PARKED || r->blocker != intent)
            continue;
        list_remove(&r->link);
        list_push_back(&m->parked, &r->link);
    }
    master_rpc_unpark(m, 16);
}

void master_rpc_wait_job(struct master_req *r, enum master_job_kind kind, struct ino ino,
                         const char *name, uint32_t name_len, enum master_req_state resume)
{
    r->state = REQ_WAIT_JOB;
    r->resume = resume;
    r->job_err = 0;
    if (master_load_wait(r->m, kind, ino, name, name_len, r))
        return;
    if (r->method == RPC_ADMIN) {
        master_rpc_fail(r, E_AGAIN);
        return;
    }
    /* no job is free: what led here is done again */
    r->is_checked = r->is_live_known = false;
    r->loads -= r->loads > 0;
    master_rpc_park(r, r->op.kind == FSOP_WRITE_CLOSE ? REQ_NEW : resume);
}

/* --- mutations --- */

/* Others' changes since were told to those who had something cached.  The caller need not have been
 * one of them, so what is no longer so carries no lease. */
static bool req_is_still_so(struct master *m, const struct fsattr *a)
{
    struct fsattr now;
    static_assert(sizeof now == 88, "no padding: compared as bytes");
    return MUTANT(ANSWER_OUTDATED) ||
           (master_load_attr(m, a->ino, &now) == 0 && !memcmp(&now, a, sizeof now));
}

static void req_acked(struct master_req *r)
{
    list_remove(&r->link);
    if (master_lease_must_wait(r->m, r)) {
        r->state = REQ_WAIT_ACKS;
        list_push_back(&r->m->acking, &r->link);
        return;
    }
    struct fsop_reply *rep = &r->reply;
    char path[LIMIT_PATH];
    uint16_t mount;
    if (!rep->err && r->op.kind == FSOP_MKNOD && (r->op.flags & FSOP_F_OPEN) &&
        meta_path(r->m->meta, rep->attr.ino, path, sizeof path, &mount) == 0) {
        rep->data = path;
        rep->data_len = (uint32_t)strlen(path);
    }
    if (!rep->err && rep->attr.ino.v && r->op.session.v) {
        rep->lease_ns = master_query_lease(r, rep->attr.ino, rep->attr.ino.v, rep->attr.mount);
        if (rep->attr.flags & FSATTR_LIVE || !req_is_still_so(r->m, &rep->attr))
            rep->lease_ns = 0;
    }
    master_rpc_answer(r, rep);
}

/* E_NOT_LOADED: which name is it?  Each in turn is looked for; then what was not found is absent.
 */
static void req_load_names(struct master_req *r)
{
    const struct fsop *op = &r->op;
    unsigned n = r->loads++;
    if (n > MASTER_LOADS_MAX) {
        master_rpc_answer_err(r, E_IO);
    } else if (n == 0 && op->kind == FSOP_LINK) {
        master_rpc_wait_job(r, JOB_NAME, op->ino2, op->name, op->name_len, REQ_JOURNAL);
    } else if (n == 0) {
        master_rpc_wait_job(r, JOB_NAME, op->ino, op->name, op->name_len, REQ_JOURNAL);
    } else if (n == 1 && op->kind == FSOP_RENAME) {
        master_rpc_wait_job(r, JOB_NAME, op->ino2, op->name2, op->name2_len, REQ_JOURNAL);
    } else if (n < 4 && op->kind == FSOP_RMDIR && (r->op.flags & FSOP_F_ABSENT)) {
        struct fsop q = {.kind = FSOP_LOOKUP,
                         .ino = op->ino,
                         .name = op->name,
                         .name_len = op->name_len,
                         .flags = FSOP_F_ABSENT};
        struct fsop_reply rep;
        meta_query(r->m->meta, &q, r->m->qbuf, RPC_BODY_MAX, &rep);
        master_rpc_wait_job(r, JOB_LIST, rep.attr.ino, NULL, 0, REQ_JOURNAL);
    } else {
        r->op.flags |= FSOP_F_ABSENT;
        r->state = REQ_JOURNAL;
        req_run(r);
    }
}

static void req_applied(struct env_op *op)
{
    struct master_req *r = container_of(op, struct master_req, sub.op);
    struct master *m = r->m;
    list_remove(&r->sub.link);
    r->state = REQ_NEW; /* nothing is under way any more */
    bool is_wanted = !r->is_answered || !list_empty(&r->echoes);
    if (!m->is_leading || op->ret < 0 || !is_wanted) {
        master_rpc_fail(r, op->ret < 0 ? (int)op->ret : E_NOT_LEADER);
        return;
    }
    if (r->is_intent_closed) {
        req_acked(r);
        return;
    }
    r->reply = r->sub.reply;
    if (r->reply.flags & FSOP_R_DUPLICATE)
        master_lease_repeated(m, r);
    if (r->intent && !MUTANT(ANSWER_AT_INTENT)) {
        r->state = REQ_WAIT_INTENT;
    } else if (r->reply.err == E_NOT_LOADED) {
        req_load_names(r);
    } else if (r->reply.err == E_CONFLICT) {
        /* a file's end of writing is looked at anew: it may have moved */
        req_block(r, r->sub.conflict, r->op.kind == FSOP_WRITE_CLOSE ? REQ_NEW : REQ_JOURNAL);
    } else {
        req_acked(r);
    }
}

static void req_submit(struct master_req *r)
{
    struct master *m = r->m;
    uint8_t ent[512];
    if (r->job_err == E_CONFLICT && r->op.kind == FSOP_WRITE_CLOSE) {
        /* not where it should be: looked at anew when what moves it is done; it may be gone, too */
        if (r->blocker || r->loads < MASTER_LOADS_MAX - 2) {
            r->loads += !r->blocker;
            master_rpc_block(r, REQ_NEW);
            return;
        }
    } else if (r->job_err == E_CONFLICT) {
        r->job_err = 0;
        r->loads -= r->loads > 0;
        master_rpc_block(r, REQ_JOURNAL);
        return;
    }
    if (r->job_err && r->op.kind != FSOP_WRITE_CLOSE) {
        master_rpc_answer_err(r, r->job_err);
        return;
    }
    if (r->op.kind == FSOP_WRITE_CLOSE) {
        struct wbuf w = wbuf_make(ent, sizeof ent);
        if (r->found.mode)
            fsop_ent_put(&w, &r->found);
        else
            master_load_doubt(m, r->op.ino);
        r->op.data = ent;
        r->op.data_len = (uint32_t)w.len;
        r->op.size = r->is_live_known ? r->mark : 0;
        r->op.mtime_ns = (int64_t)(r->is_live_known ? r->seen : 0);
    }
    r->state = REQ_JOURNAL;
    r->intent = 0;
    r->op.time_ns = env_wall_ns(m->env);
    r->sub.op.done = req_applied;
    r->sub.req = r;
    master_submit(m, &r->op, &r->sub);
    if (r->op.kind == FSOP_WRITE_CLOSE)
        r->op.data = NULL;
}

void master_rpc_intent_opened(struct master_req *r, uint64_t intent)
{
    r->intent = intent;
    r->is_intent_closed = false;
    list_remove(&r->link);
    list_push_back(&r->m->intent_waits[intent % MASTER_EFFECT_BUCKETS], &r->link);
}

struct master_req *master_rpc_by_intent(struct master *m, uint64_t intent)
{
    list_each(it, &m->intent_waits[intent % MASTER_EFFECT_BUCKETS]) {
        struct master_req *r = list_entry(it, struct master_req, link);
        if (r->intent == intent)
            return r;
    }
    return NULL;
}

void master_rpc_intent_closed(struct master *m, uint64_t intent, const struct fsop_reply *reply)
{
    struct master_req *r;
    while ((r = master_rpc_by_intent(m, intent))) {
        list_remove(&r->link);
        r->reply = *reply;
        r->reply.data = NULL;
        r->reply.data_len = 0;
        r->intent = 0;
        r->is_intent_closed = true;
        if (r->state == REQ_WAIT_INTENT)
            req_acked(r);
    }
}

/* --- the switch --- */

static void req_barrier_done(struct env_op *op)
{
    struct master_req *r = container_of(op, struct master_req, barrier);
    struct master *m = r->m;
    r->state = REQ_NEW;
    if (op->ret < 0 || r->is_answered || m->is_leading == r->is_aside || m->is_loading) {
        master_rpc_fail(r, op->ret < 0 ? (int)op->ret : r->is_answered ? E_TIMEOUT : E_NOT_LEADER);
    } else if (r->method == RPC_SESSION_BEAT) {
        m->n.answers++;
        master_lease_beat(m, r->token, r->body, r->body_len);
        req_free(r);
    } else {
        r->state = REQ_QUERY;
        req_run(r);
    }
}

/* Nobody else led before this request came, or, on a standby, what was committed by then is
 * applied: what is read now is what is so. */
static void req_barrier(struct master_req *r)
{
    r->state = REQ_BARRIER;
    r->barrier.done = req_barrier_done;
    bool is_beat = r->method == RPC_SESSION_BEAT;
    if ((r->is_aside && MUTANT(READ_STANDBY_STALE)) || (is_beat && MUTANT(LEASE_UNASKED)) ||
        (!r->is_aside && !is_beat && MUTANT(READ_UNASKED))) {
        r->barrier.ret = 0;
        env_post(r->m->env, &r->barrier);
        return;
    }
    journal_barrier(r->m->journal, &r->barrier);
}

void master_rpc_done(struct master_req *r, int err)
{
    r->state = REQ_NEW;
    req_send(r, err, NULL, 0);
    req_free(r);
}

static void req_image_done(struct env_op *op)
{
    struct master_req *r = container_of(op, struct master_req, barrier);
    char text[64];
    r->state = REQ_NEW;
    size_t n = fmt_into(text, sizeof text, "image %lld\n", (long long)op->ret);
    req_send(r, op->ret < 0 ? (int)op->ret : 0, text, op->ret < 0 ? 0 : (uint32_t)n);
    req_free(r);
}

static void req_new_run(struct master_req *r)
{
    struct master *m = r->m;
    struct fsattr a;
    if (fsop_is_query(r->op.kind)) {
        r->state = REQ_QUERY;
        if (m->is_group) {
            req_barrier(r);
            return;
        }
    } else if (r->op.kind == FSOP_SESSION_CLOSE) {
        r->state = REQ_WAIT_JOB;
        r->resume = REQ_NEW;
        if (!master_lease_expire(m, r->op.session, r))
            master_rpc_park(r, REQ_NEW);
        return;
    } else if (r->op.kind == FSOP_WRITE_CLOSE && master_load_attr(m, r->op.ino, &a) == 0 &&
               master_mount_at(m, a.mount)->ufs) {
        r->is_live_known = true;
        master_rpc_wait_job(r, JOB_CHECK, r->op.ino, NULL, 0, REQ_JOURNAL);
        return;
    } else {
        r->state = REQ_JOURNAL;
    }
    req_run(r);
}

static void req_admin_answer(struct master_req *r)
{
    char text[96];
    size_t n =
        fmt_into(text, sizeof text, "checked %s\n", r->job_err ? err_name(r->job_err) : "ok");
    req_send(r, r->job_err, text, (uint32_t)n);
    req_free(r);
}

static void req_run(struct master_req *r)
{
    if (r->method == RPC_ADMIN) {
        req_admin_answer(r);
        return;
    }
    switch (r->state) {
    case REQ_NEW:
        if (r->op.kind != FSOP_SESSION_CLOSE || !r->is_checked) {
            req_new_run(r);
        } else if (r->job_err == E_CONFLICT) {
            r->is_checked = false;
            master_rpc_park(r, REQ_NEW);
        } else {
            master_rpc_answer_err(r, r->job_err);
        }
        break;
    case REQ_QUERY:
        master_query_run(r);
        break;
    case REQ_JOURNAL:
        req_submit(r);
        break;
    case REQ_WAIT_ACKS:
        req_acked(r);
        break;
    case REQ_BARRIER:
    case REQ_WAIT_JOB:
    case REQ_PARKED:
    case REQ_WAIT_INTENT:
    case REQ_ECHO:
    case REQ_IMAGE:
        ASSERT(!"a waiting request is woken, not run");
    }
}

static void req_woken(struct master_req *r)
{
    if (r->state == REQ_WAIT_JOB || r->state == REQ_PARKED)
        r->state = r->resume;
    if (r->m->is_leading == r->is_aside || r->m->is_loading) {
        r->state = REQ_NEW;
        master_rpc_fail(r, E_NOT_LEADER);
        return;
    }
    if (r->state == REQ_QUERY && r->m->is_group && !r->is_aside)
        req_barrier(r);
    else
        req_run(r);
}

/* A request that runs may end a job, which wakes others: they have their turn here, one after the
 * other, not inside each other. */
static void req_run_woken(struct master *m)
{
    struct list *e;
    if (m->is_waking)
        return;
    m->is_waking = true;
    while ((e = list_pop(&m->woken)))
        req_woken(list_entry(e, struct master_req, link));
    m->is_waking = false;
}

void master_rpc_wake(struct master_req *r)
{
    list_remove(&r->link);
    list_push_back(&r->m->woken, &r->link);
    req_run_woken(r->m);
}

void master_rpc_unpark(struct master *m, uint32_t n)
{
    struct list *e;
    for (; n && (e = list_pop(&m->parked)); n--)
        list_push_back(&m->woken, e);
    req_run_woken(m);
}

/* --- calls --- */

static bool req_is_allowed(const struct fsop *op)
{
    if (fsop_is_query(op->kind))
        return true;
    switch (op->kind) {
    case FSOP_SESSION_CLOSE:
        return op->session.v && op->arg == op->session.v;
    case FSOP_NOOP:
    case FSOP_SESSION_OPEN:
    case FSOP_MKNOD:
    case FSOP_MKDIR:
    case FSOP_SYMLINK:
    case FSOP_LINK:
    case FSOP_UNLINK:
    case FSOP_RMDIR:
    case FSOP_RENAME:
    case FSOP_SETATTR:
    case FSOP_SETXATTR:
    case FSOP_REMOVEXATTR:
    case FSOP_WRITE_OPEN:
    case FSOP_WRITE_CLOSE:
        return true;
    default:
        return false;
    }
}

static struct master_req *req_twin(struct master *m, const struct fsop *op)
{
    list_each(it, req_bucket(m, op->session, op->seq)) {
        struct master_req *r = list_entry(it, struct master_req, hashed);
        if (r->op.session.v == op->session.v && r->op.seq == op->seq)
            return r;
    }
    return NULL;
}

static void req_fs(struct master *m, struct rpc_token t, const void *body, uint32_t len)
{
    bool is_full = env_fault(m->env, "master.busy");
    struct master_req *r = is_full ? NULL : master_rpc_new(m, t, RPC_FS, body, len);
    if (!r) {
        m->n.again++;
        rpc_reply(t, E_AGAIN, NULL, 0);
        return;
    }
    if (!m->is_leading)
        master_standby_begin(r);
    struct rbuf b = rbuf_make(r->body, len);
    if (fsop_get(&b, &r->op) != 0) {
        master_rpc_fail(r, E_PROTO);
        return;
    }
    r->op.flags &= REQ_FLAGS;
    if (r->op.kind == FSOP_STATFS && !r->op.ino.v)
        r->op.ino = INO_ROOT;
    if (!req_is_allowed(&r->op)) {
        master_rpc_answer_err(r, E_PERM);
        return;
    }
    if (r->op.session.v && !r->is_aside)
        master_lease_seen(m, r->op.session, t);
    if (req_is_keyed(r)) {
        struct master_req *twin = req_twin(m, &r->op);
        if (twin) {
            m->n.duplicates++;
            r->state = REQ_ECHO;
            list_push_back(&twin->echoes, &r->link);
            return;
        }
        list_push_back(req_bucket(m, r->op.session, r->op.seq), &r->hashed);
    }
    req_run(r);
}

/* the inode at an absolute path, as far as it is known; links are not followed */
static int req_resolve(struct master *m, const char *path, uint32_t len, struct fsattr *ret_a)
{
    int err = master_load_attr(m, INO_ROOT, ret_a);
    uint32_t at = 0;
    while (!err && at < len) {
        if (path[at] == '/') {
            at++;
            continue;
        }
        uint32_t end = at;
        while (end < len && path[end] != '/')
            end++;
        struct fsop op = {
            .kind = FSOP_LOOKUP, .ino = ret_a->ino, .name = path + at, .name_len = end - at};
        struct fsop_reply rep;
        meta_query(m->meta, &op, m->qbuf, RPC_BODY_MAX, &rep);
        err = rep.err;
        *ret_a = rep.attr;
        at = end;
    }
    return err;
}

static void req_admin_refresh(struct master *m, struct rpc_token t, const struct fsattr *a)
{
    struct master_req *r = master_rpc_new(m, t, RPC_ADMIN, NULL, 0);
    if (!r) {
        rpc_reply(t, E_AGAIN, NULL, 0);
        return;
    }
    bool is_loaded = a->flags & FSATTR_LOADED;
    master_rpc_wait_job(r, is_loaded ? JOB_LIST : JOB_CHECK, a->ino, NULL, 0, REQ_NEW);
}

static void req_unmounted(struct env_op *op)
{
    struct master_req *r = container_of(op, struct master_req, sub.op);
    list_remove(&r->sub.link);
    r->state = REQ_NEW;
    int err = op->ret < 0 ? (int)op->ret : r->sub.reply.err;
    req_send(r, err, "unmounted\n", err ? 0 : 10);
    req_free(r);
}

/* What is configured would be back at the next start. */
static int req_admin_unmount(struct master *m, struct rpc_token t, const struct rpc_admin *a)
{
    struct fsop op = {.kind = FSOP_UNMOUNT, .name = a->path, .name_len = a->path_len};
    if (master_mount_is_configured(m, a->path, a->path_len))
        return E_EXIST;
    struct master_req *r = master_rpc_new(m, t, RPC_ADMIN, NULL, 0);
    if (!r)
        return E_AGAIN;
    r->state = REQ_IMAGE; /* until its record is applied */
    r->sub.op.done = req_unmounted;
    op.time_ns = env_wall_ns(m->env);
    master_submit(m, &op, &r->sub);
    return 0;
}

static void req_admin(struct master *m, struct rpc_token t, const void *body, uint32_t len)
{
    struct rbuf b = rbuf_make(body, len);
    struct rpc_admin admin;
    struct fsattr a;
    char text[256], path[LIMIT_BELOW];
    size_t n = 0;
    uint16_t mount;
    int err = rpc_format_admin_get(&b, &admin);
    bool has_path = admin.kind == RPC_ADMIN_REFRESH || admin.kind == RPC_ADMIN_FREE;
    if (!err && has_path)
        err = req_resolve(m, admin.path, admin.path_len, &a);
    if (admin.kind == RPC_ADMIN_REFRESH && err != E_PROTO) {
        m->verified_after_ns = env_now_ns(m->env) + 1;
        if (!err && master_mount_at(m, a.mount)->ufs) {
            req_admin_refresh(m, t, &a);
            return;
        }
        err = err == E_NOT_LOADED ? 0 : err;
        n = fmt_into(text, sizeof text, "checked when used\n");
    } else if (!err && admin.kind == RPC_ADMIN_FREE) {
        err = meta_path(m->meta, a.ino, path, sizeof path, &mount);
        uint64_t files = err ? 0 : master_member_free_path(m, mount, path);
        n = fmt_into(text, sizeof text, "files %llu\n", (unsigned long long)files);
    } else if (!err && admin.kind == RPC_ADMIN_IMAGE) {
        struct master_req *r = master_rpc_new(m, t, RPC_ADMIN, NULL, 0);
        if (r) {
            r->state = REQ_IMAGE;
            r->barrier.done = req_image_done;
            journal_image_now(m->journal, &r->barrier);
            return;
        }
        err = E_AGAIN;
    } else if (!err && admin.kind == RPC_ADMIN_UNMOUNT) {
        err = req_admin_unmount(m, t, &admin);
        if (!err)
            return;
    } else if (!err && admin.kind == RPC_ADMIN_CHECK && m->is_loading) {
        err = E_AGAIN;
    } else if (!err && admin.kind == RPC_ADMIN_CHECK) {
        err = master_check(m, true, text, sizeof text - 1) ? 0 : E_CORRUPT;
        n = err ? strlen(text) : fmt_into(text, sizeof text, "check ok\n");
    } else if (!err) {
        err = E_NOTSUP;
    }
    rpc_reply(t, err, text, (uint32_t)n);
}

/* about this master, not about the cluster */
static bool req_admin_is_own(const void *body, uint32_t len)
{
    struct rbuf b = rbuf_make(body, len);
    struct rpc_admin a;
    return rpc_format_admin_get(&b, &a) == 0 &&
           (a.kind == RPC_ADMIN_IMAGE || a.kind == RPC_ADMIN_CHECK);
}

/* A lease lets the client use what it has without asking: only who surely leads may give one. */
static void req_beat(struct master *m, struct rpc_token t, const void *body, uint32_t len)
{
    struct master_req *r = m->is_group ? master_rpc_new(m, t, RPC_SESSION_BEAT, body, len) : NULL;
    if (r)
        req_barrier(r);
    else if (m->is_group)
        rpc_reply(t, E_AGAIN, NULL, 0);
    else
        master_lease_beat(m, t, body, len);
}

void master_rpc_on_call(struct rpc_host *h, struct rpc_token t, uint16_t method, const void *body,
                        uint32_t len)
{
    struct master *m = container_of(h, struct master, rpc);
    m->n.requests++;
    if (method == RPC_WORKER_BEAT) {
        master_member_beat(m, t, body, len);
    } else if (method == RPC_STATUS) {
        master_status_reply(m, t);
    } else if (m->state == MASTER_STANDBY && method == RPC_ADMIN && req_admin_is_own(body, len)) {
        req_admin(m, t, body, len);
    } else if (master_standby_may(m, method, body, len)) {
        req_fs(m, t, body, len);
    } else if (!m->is_leading || m->state != MASTER_SERVING) {
        master_group_refuse(m, t);
    } else if (method == RPC_FS) {
        req_fs(m, t, body, len);
    } else if (method == RPC_SESSION_BEAT) {
        req_beat(m, t, body, len);
    } else if (method == RPC_ADMIN) {
        req_admin(m, t, body, len);
    } else if (method == RPC_LOCATION) {
        master_member_location(m, t, body, len);
    } else if (method == RPC_CHANGE) {
        master_group_change(m, t, body, len);
    } else if (method == RPC_BACKUP) {
        master_backup_call(m, t, body, len);
    } else {
        rpc_reply(t, E_NOTSUP, NULL, 0);
    }
}

/* --- time --- */

void master_rpc_tick(struct master *m)
{
    int64_t now = env_now_ns(m->env);
    while (!list_empty(&m->live)) {
        struct master_req *r = list_entry(m->live.next, struct master_req, live);
        if (r->deadline_ns > now)
            break;
        m->n.timeouts++;
        list_remove(&r->live);
        if (req_is_out(r)) { /* it lives on, perhaps for a repetition: it must still be found */
            r->deadline_ns = now + MASTER_DEADLINE_NS;
            list_push_back(&m->live, &r->live);
        }
        master_rpc_fail(r, r->is_aside ? E_NOT_LEADER : E_TIMEOUT);
    }
    for (struct list *it = m->acking.next, *next; it != &m->acking; it = next) {
        struct master_req *r = list_entry(it, struct master_req, link);
        next = it->next;
        if (!master_lease_must_wait(m, r))
            master_rpc_wake(r);
    }
    master_rpc_unpark(m, 8);
}

void master_rpc_end_all(struct master *m, int err)
{
    struct list all, *e;
    list_init(&all);
    list_splice(&all, &m->live);
    while ((e = list_pop(&all))) {
        struct master_req *r = list_entry(e, struct master_req, live);
        if (r->method == RPC_CHANGE && err == E_NOT_LEADER) {
            list_push_back(&m->live, &r->live); /* the journal knows what became of it */
            continue;
        }
        master_rpc_fail(r, err); /* also ends its echoes, which leave the list themselves */
    }
}

int master_rpc_init(struct master *m)
{
    list_init(&m->live);
    list_init(&m->parked);
    list_init(&m->woken);
    list_init(&m->acking);
    for (unsigned i = 0; i < MASTER_BUCKETS; i++)
        list_init(&m->inflight[i]);
    for (unsigned i = 0; i < MASTER_EFFECT_BUCKETS; i++)
        list_init(&m->intent_waits[i]);
    m->ack_words = m->n_sessions / 64 + 1;
    m->acks = master_keep(m, sizeof *m->acks * m->ack_words * m->cfg.requests_max);
    if (!m->acks)
        return E_NOMEM;
    int err = pool_init(&m->reqs, m->mem, sizeof(struct master_req), m->cfg.requests_max);
    if (!err) {
        m->owned[m->n_owned].p = m->reqs.base;
        m->owned[m->n_owned++].n = (size_t)m->reqs.object_size * m->reqs.count;
    }
    return err;
}

bool master_rpc_check(const struct master *m, char *err_text_buf, size_t cap)
{
    uint32_t out = m->reqs.count - m->reqs.free_count, parked = 0, live = 0;
    list_each(it, &m->parked)
        parked++;
    list_each(it, &m->live)
        live++;
    if (live > out || parked > out) {
        fmt_into(err_text_buf, cap, "requests: %u out, %u live, %u parked", out, live, parked);
        return false;
    }
    return true;
}
