/* cluster/master_query.c - answering questions, and when they need a look at the under-store first.
 *
 * INVARIANTS
 *  1. An answer comes from applied state only.  What it does not hold is loaded, what was compared
 *     with the under-store too long ago is compared, and then the question is asked again.
 *  2. Each request causes one comparison, and a bounded number of loads, or more of what moves.
 *  3. A file that somebody writes shows the size and times that it has below right now.
 *  4. reply.lease_ns never outlasts the session's lease, nor the next comparison that is due; it is
 *     0 where the master could not remember that the client has the answer.
 *  5. What is in the way of a look is not waited for when what is recorded is good enough.  Of a
 *     file that is written, or was and could not be looked at in the end, it is not: after its
 *     writer has expired the size would be that of before all it had been told is written.
 *
 * A comparison that fails is an error, of a file being written as well: its recorded size is not
 * the one that it has, and a reader, or the writer itself, would take it for the truth. */
#include "cluster/master_impl.h"
#include "core/mutant.h"

/* How long the client may use the answer: while its lease lasts, and while nobody need look below.
 */
uint64_t master_query_lease(struct master_req *r, struct ino about, uint64_t key, uint16_t mount)
{
    struct master *m = r->m;
    int64_t left = r->is_aside ? 0 : master_lease_left_ns(m, r->op.session);
    const struct master_ufs *u = master_mount_at(m, mount);
    if (left <= 0 || (about.v && !master_lease_give(m, r->op.session, about)))
        return 0;
    if (u->ufs) {
        int64_t at = master_load_verified_ns(m, (struct ino){key});
        int64_t until = at == INT64_MIN ? 0 : at + u->check_interval_ns - env_now_ns(m->env);
        left = until < left ? until : left;
    }
    return left > 0 ? (uint64_t)left : 0;
}

/* A file of which no fingerprint is known: how much was written to it may not be known either, if
 * it could not be looked at when that ended (its writer may have expired).  Of any other what is
 * recorded is good enough while something is in the way of a look. */
static bool query_is_open_ended(const struct fsattr *a)
{
    return !a->fp && (a->mode & FSOP_S_IFMT) == FSOP_S_IFREG;
}

/* ... and something is */
static bool query_is_unknown(const struct master *m, const struct fsattr *a)
{
    uint64_t intent;
    return query_is_open_ended(a) &&
           meta_path_steady(m->meta, a->ino, meta_path_mark(m->meta, a->ino), &intent) != 0;
}

static uint64_t query_lease_readdir(struct master_req *r, const struct fsop_reply *rep)
{
    struct master *m = r->m;
    if (r->op.mode)
        return 0; /* names only: nothing but the type is used */
    uint64_t lease = master_query_lease(r, r->op.ino, r->op.ino.v, rep->attr.mount);
    const struct master_ufs *u = master_mount_at(m, rep->attr.mount);
    if (lease && u->ufs) {
        int64_t at = master_names_verified_ns(m, r, rep);
        int64_t left = at == INT64_MIN ? 0 : at + u->check_interval_ns - env_now_ns(m->env);
        lease = left <= 0 ? 0 : base_min_u64(lease, (uint64_t)left);
    }
    struct rbuf b = rbuf_make(rep->data, rep->data_len);
    struct fsop_dirent d;
    while (lease && rbuf_left(&b) && fsop_dirent_get(&b, &d) == 0)
        if (query_is_unknown(m, &d.attr) || !master_lease_give(m, r->op.session, d.attr.ino))
            lease = 0;
    return lease;
}

/* The end of the file is just being moved, or was since it was looked at: the place of an append
 * would be beyond it. */
static bool query_is_end_moving(struct master_req *r, const struct fsop_reply *rep)
{
    struct master *m = r->m;
    bool is_looked = r->is_live_known && (rep->attr.flags & FSATTR_LIVE);
    r->blocker = master_effect_cutting(m, r->op.ino);
    return r->blocker || (is_looked && meta_path_mark(m->meta, r->op.ino) != r->mark);
}

static void query_answer(struct master_req *r, struct fsop_reply *rep)
{
    struct master *m = r->m;
    struct fsattr dir;
    uint8_t statfs[64];
    rep->index = meta_applied(m->meta);
    if (r->op.kind == FSOP_STATFS && r->found.mode) {
        struct wbuf w = wbuf_make(statfs, sizeof statfs);
        fsop_statfs_put(&w, &r->statfs);
        rep->data = statfs;
        rep->data_len = (uint32_t)w.len;
    }
    /* closed since: what is recorded is newer, and may be kept */
    if (r->is_live_known && r->found.mode && (rep->attr.flags & FSATTR_LIVE)) {
        rep->attr.size = r->found.size;
        rep->attr.mtime_ns = r->found.mtime_ns;
        rep->attr.ctime_ns = r->found.ctime_ns;
    }
    if (r->op.kind == FSOP_GETATTR && r->op.size && !rep->err) {
        /* a truncation asks those who write, and nobody else, for what is on its way */
        if (!meta_writes(m->meta, r->op.session, r->op.ino) ||
            !master_lease_find(m, r->op.session) ||
            !master_lease_is_heard(m, r->op.session, r->token)) {
            master_rpc_answer_err(r, E_AGAIN);
            return;
        }
        if (!r->op.arg && query_is_end_moving(r, rep)) {
            r->is_checked = r->is_live_known = false;
            master_rpc_block(r, REQ_QUERY);
            return;
        }
        int err = master_append_place(m, &r->op, &rep->attr.size);
        if (err == E_AGAIN) {
            master_rpc_park(r, REQ_QUERY);
            r->is_live_known = false;
            return;
        }
        if (err) {
            master_rpc_answer_err(r, err);
            return;
        }
        master_rpc_answer(r, rep); /* a place is no attribute: nobody keeps it */
        return;
    }
    if (r->op.kind == FSOP_LOOKUP && rep->err == E_NOENT) {
        if (master_load_attr(m, r->op.ino, &dir) == 0)
            rep->lease_ns = master_query_lease(
                r, r->op.ino, master_load_name_key(r->op.ino, r->op.name, r->op.name_len),
                dir.mount);
    } else if (rep->err == 0 && r->op.kind == FSOP_READDIR) {
        rep->lease_ns = query_lease_readdir(r, rep);
    } else if (rep->err == 0 && rep->attr.ino.v) {
        rep->lease_ns = master_query_lease(r, rep->attr.ino, rep->attr.ino.v, rep->attr.mount);
        if (r->op.kind == FSOP_LOOKUP && rep->lease_ns &&
            !master_lease_give(m, r->op.session, r->op.ino))
            rep->lease_ns = 0;
        if ((rep->attr.flags & FSATTR_LIVE) && !MUTANT(LIVE_CACHED))
            rep->lease_ns = 0;
    }
    if (env_fault(m->env, "master.no_lease"))
        rep->lease_ns = 0;
    master_rpc_answer(r, rep);
}

static void query_not_loaded(struct master_req *r)
{
    struct master *m = r->m;
    const struct fsop *op = &r->op;
    if (++r->loads > MASTER_LOADS_MAX) {
        master_rpc_answer_err(r, E_IO);
    } else if (op->kind == FSOP_READDIR ||
               (op->kind == FSOP_LOOKUP && op->mode == 1 && !r->absents)) {
        r->op.mode = 0; /* once: if that does not tell, the name itself is looked for */
        master_rpc_wait_job(r, JOB_LIST, op->ino, NULL, 0, REQ_QUERY);
    } else if (op->kind != FSOP_LOOKUP) {
        master_rpc_answer_err(r, E_STALE);
    } else {
        uint64_t key = master_load_name_key(op->ino, op->name, op->name_len);
        struct fsattr dir = {.ino = {key}, .fp = 1};
        struct fsattr parent;
        if (master_load_attr(m, op->ino, &parent) == 0)
            dir.mount = parent.mount;
        if (!r->absents && !master_mount_at(m, dir.mount)->ufs) {
            master_rpc_answer_err(r, E_IO); /* it may well be there */
        } else if (r->absents || !master_load_is_due(m, &dir)) {
            r->op.flags |= FSOP_F_ABSENT;
            r->state = REQ_QUERY;
            master_query_run(r);
        } else {
            master_rpc_wait_job(r, JOB_NAME, op->ino, op->name, op->name_len, REQ_QUERY);
        }
    }
}

static void query_names(struct master_req *r)
{
    struct fsop_reply rep = {.data = r->page, .data_len = r->page_len};
    rep.err = master_load_attr(r->m, r->op.ino, &rep.attr);
    if (r->page_is_end || !r->page_len)
        rep.flags = FSOP_R_EOF;
    rep.index = meta_applied(r->m->meta);
    master_rpc_answer(r, &rep);
}

/* true: the answer waits for names past the tree, or is given */
static bool query_past(struct master_req *r, int err)
{
    bool goes_on = r->op.arg & FSOP_COOKIE_BELOW;
    if (!goes_on && err != E_NOT_LOADED)
        return false;
    if (r->page) {
        query_names(r);
    } else if (r->job_err && goes_on) {
        master_rpc_answer_err(r, r->job_err);
    } else if (r->job_err) {
        r->job_err = 0; /* the usual way tells what is wrong */
        r->op.mode = 0;
        return false;
    } else {
        r->state = REQ_WAIT_JOB;
        r->resume = REQ_QUERY;
        if (!master_names_wait(r->m, r))
            master_rpc_park(r, REQ_QUERY);
    }
    return true;
}

/* It was looked at while it was written, was closed since, and could not be looked at then: what is
 * recorded is that of before the writing, and the look does not count. */
static void query_closed_unseen(struct master_req *r, const struct fsattr *a)
{
    if (!r->is_live_known || (a->flags & FSATTR_LIVE) || !query_is_open_ended(a) ||
        r->loads >= MASTER_LOADS_MAX - 2)
        return;
    r->loads++;
    r->is_checked = r->is_live_known = false;
}

/* true: the answer waits for a look at the under-store */
static bool query_verify(struct master_req *r, const struct fsop_reply *rep)
{
    struct master *m = r->m;
    const struct fsop *op = &r->op;
    struct fsattr a = rep->attr;
    bool is_attr = op->kind == FSOP_LOOKUP || op->kind == FSOP_GETATTR || op->kind == FSOP_OPEN;
    if (op->kind == FSOP_LOOKUP && rep->err == E_NOENT && !r->is_checked && !r->absents &&
        !(op->flags & FSOP_F_ABSENT) && master_load_attr(m, op->ino, &a) == 0) {
        struct fsattr dir = a;
        a.ino.v = master_load_name_key(op->ino, op->name, op->name_len);
        a.fp = 1;
        if (!master_load_is_due(m, &a))
            return false;
        /* all names of a directory that was just made, listed or compared are known; one of those
         * is about to be created, mostly */
        if (!master_load_is_due(m, &dir)) {
            master_load_verified_set(m, a.ino, master_load_verified_ns(m, dir.ino));
            return false;
        }
        r->is_checked = true;
        master_rpc_wait_job(r, JOB_NAME, op->ino, op->name, op->name_len, REQ_QUERY);
        return true;
    }
    if (rep->err)
        return false;
    if (op->kind == FSOP_READDIR && op->arg == 0 && !r->is_checked &&
        master_load_attr(m, op->ino, &a) == 0 && master_load_is_due(m, &a)) {
        r->is_checked = true;
        master_rpc_wait_job(r, JOB_LIST, op->ino, NULL, 0, REQ_QUERY);
        return true;
    }
    bool is_free;
    if (op->kind == FSOP_READDIR && !op->mode && !r->is_looked_at &&
        master_mount_at(m, rep->attr.mount)->ufs) {
        r->is_looked_at = true;
        r->state = REQ_WAIT_JOB;
        r->resume = REQ_QUERY;
        if (!master_names_look(m, r, rep, &is_free)) {
            r->state = REQ_QUERY;
            return false;
        }
        if (!is_free) {
            r->is_looked_at = false;
            master_rpc_park(r, REQ_QUERY);
        }
        return true;
    }
    if (op->kind == FSOP_STATFS && !r->is_checked && master_load_attr(m, op->ino, &a) == 0 &&
        master_mount_at(m, a.mount)->ufs &&
        (!op->mode || master_mount_at(m, a.mount)->mode == FSOP_MOUNT_THROUGH)) {
        r->is_checked = true;
        master_rpc_wait_job(r, op->mode ? JOB_SYNC : JOB_STATFS, op->ino, NULL, 0, REQ_QUERY);
        return true;
    }
    if (!is_attr || !master_mount_at(m, a.mount)->ufs)
        return false;
    query_closed_unseen(r, &a);
    bool is_live = (a.flags & FSATTR_LIVE) && !r->is_live_known;
    bool is_stale = !(a.flags & FSATTR_LIVE) && !r->is_checked && master_load_is_due(m, &a);
    bool is_doubted = (a.fp == 0 && !(op->mode & FSOP_ACCESS_W)) || op->arg;
    if (!is_stale && op->kind == FSOP_OPEN && !r->is_checked && is_doubted &&
        (a.mode & FSOP_S_IFMT) == FSOP_S_IFREG && !(a.flags & FSATTR_LIVE))
        is_stale = true; /* seen changed, or a fingerprint that may hide a change; who is about to
                            write pins no version */
    if (!is_live && !is_stale)
        return false;
    r->is_live_known = is_live;
    r->is_checked = true;
    master_rpc_wait_job(r, JOB_CHECK, a.ino, NULL, 0, REQ_QUERY);
    return true;
}

void master_query_run(struct master_req *r)
{
    struct master *m = r->m;
    struct fsop_reply rep;
    struct fsop op = r->op;
    if (!r->is_aside && master_names_may(m, r)) {
        struct fsop ask = op;
        ask.arg = 0;
        meta_query(m->meta, &ask, m->qbuf, 0, &rep);
        if (query_past(r, rep.err))
            return;
        op = r->op;
    }
    bool is_conflict = r->job_err == E_CONFLICT;
    if (is_conflict)
        r->job_err = 0;
    if (r->job_err && !r->is_aside && (op.kind != FSOP_STATFS || op.mode)) {
        master_rpc_answer_err(r, r->job_err);
        return;
    }
    if (op.kind == FSOP_READDIR && (!op.size || op.size > LIMIT_BATCH))
        op.size = LIMIT_BATCH;
    meta_query(m->meta, &op, m->qbuf, RPC_BODY_MAX - 512, &rep);
    /* a file that is written, not found where it should be, or another one there (or the name leads
     * to another one by now): what is at work is waited for, or will be done in a moment */
    bool is_other =
        !is_conflict && r->found.mode && rep.attr.ufs_ino && r->found.ufs_ino != rep.attr.ufs_ino;
    bool is_moving = (((is_conflict || is_other) && r->is_live_known) ||
                      (is_conflict && query_is_open_ended(&rep.attr))) &&
                     !rep.err && (r->blocker || r->loads < MASTER_LOADS_MAX - 2);
    bool is_orphan = op.kind == FSOP_OPEN && !rep.err && (rep.attr.flags & FSATTR_ORPHAN);
    if (r->is_aside) {
        if (master_standby_knows(r, &rep))
            query_answer(r, &rep);
    } else if (is_orphan && !master_lease_orphan_opened(m, op.ino)) {
        master_rpc_answer_err(r, E_STALE);
    } else if (is_conflict && rep.err == E_NOT_LOADED) {
        r->is_checked = false;
        r->loads -= r->loads > 0;
        master_rpc_block(r, REQ_QUERY);
    } else if (is_moving) {
        r->loads += !r->blocker;
        r->is_checked = r->is_live_known = false;
        master_rpc_block(r, REQ_QUERY);
    } else if (rep.err == E_NOT_LOADED) {
        query_not_loaded(r);
    } else if (is_conflict || !query_verify(r, &rep)) {
        query_answer(r, &rep); /* what is being changed right now through us is known well enough */
    }
}
