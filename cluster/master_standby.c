/* cluster/master_standby.c - questions that a standby answers, so that reads grow with the number
 * of masters.
 *
 * Who asks says that a standby may answer (FSOP_F_ASIDE).  The way is the leader's own: barrier,
 * applied state, answer (master_rpc.c, master_query.c).
 *
 * INVARIANTS
 *  1. An answer is linearizable: the journal's barrier is asked for after the call came; it ends
 *     when all that the leader had committed by then is applied here.  So an answer is never older
 *     than any answer that anybody, the asker included, had got from any master before.
 *  2. An answer promises nothing: lease_ns is 0 and nobody remembers who got it.  What lets a
 *     client keep something - its lease, who cached what - is the leader's alone.
 *  3. What rests on the leader's own memory is not answered here: an open (the leader asks on the
 *     connection that it answers on who holds a file), a place to append to, a file that is being
 *     written below, a sync, what is not loaded yet.
 *  4. Where the leader would compare with the under-store, a standby does so itself, as often as
 *     the leader would and at least every MASTER_ASIDE_FRESH_NS (it does not hear of a `refresh`).
 *     It changes nothing: what differs is the leader's to take in, and so is the answer.  That a
 *     thing is the same is remembered of its very attributes, so a change through the journal voids
 *     it.
 *  5. A call waits at most MASTER_ASIDE_NS; then, at once where no leader is known, and when this
 *     master begins to lead, the answer is E_NOT_LEADER and who leads.  Where 3 or 4 say so it is
 *     E_NOTSUP: ask the leader this, and here the next.
 *  6. Calls that wait at the same time share a barrier (raft_drive.c); a round of messages is paid
 *     for all that came while the last ones were under way.
 *  7. A standby that is being given an image has no state to answer from. */
#include "cluster/master_impl.h"

#define MASTER_ASIDE_NS       (500 * MASTER_MS)
#define MASTER_ASIDE_FRESH_NS (1000 * MASTER_MS)

static bool standby_may(const struct fsop *op)
{
    switch (op->kind) {
    case FSOP_GETATTR:
        return !op->size && !op->arg;
    case FSOP_READDIR:
        return !(op->arg & FSOP_COOKIE_BELOW);
    case FSOP_STATFS:
        return !op->mode;
    case FSOP_LOOKUP:
    case FSOP_READLINK:
    case FSOP_GETXATTR:
    case FSOP_LISTXATTR:
    case FSOP_ACCESS:
    case FSOP_MOUNTS:
        return true;
    default:
        return false;
    }
}

bool master_standby_may(const struct master *m, uint16_t method, const void *body, uint32_t len)
{
    struct rbuf b = rbuf_make(body, len);
    struct fsop op;
    return method == RPC_FS && m->is_group && m->state == MASTER_STANDBY && m->is_standby &&
           !m->is_loading && fsop_get(&b, &op) == 0 && (op.flags & FSOP_F_ASIDE) &&
           standby_may(&op);
}

/* m->live stays in the order of deadlines: an operator's request, that may be there, has longer */
void master_standby_begin(struct master_req *r)
{
    struct master *m = r->m;
    struct list *at = &m->live;
    r->is_aside = true;
    r->deadline_ns = env_now_ns(m->env) + MASTER_ASIDE_NS;
    list_remove(&r->live);
    while (at->prev != &m->live &&
           list_entry(at->prev, struct master_req, live)->deadline_ns > r->deadline_ns)
        at = at->prev;
    list_insert(&r->live, at->prev, at);
}

/* nothing but the journal knows what is there */
static bool standby_is_whole(const struct master *m, uint16_t mount)
{
    struct fsop_mount_info i;
    return meta_mount_get(m->meta, mount, &i) != 0 || i.mode == FSOP_MOUNT_META || !i.uri_len;
}

/* these very attributes, whatever the inode's other ones were when it was looked at */
static struct ino standby_key(const struct fsattr *a)
{
    static_assert(sizeof *a == 88, "no padding: taken as bytes");
    return (struct ino){base_hash(a, sizeof *a, 3) | 1ULL << 63};
}

static bool standby_is_fresh(struct master_req *r, const struct fsattr *a)
{
    struct master *m = r->m;
    master_mount_look(m, a->mount);
    int64_t interval = master_mount_at(m, a->mount)->check_interval_ns;
    int64_t at = master_load_verified_ns(m, standby_key(a));
    if (interval > MASTER_ASIDE_FRESH_NS)
        interval = MASTER_ASIDE_FRESH_NS;
    return at != INT64_MIN &&
           (env_now_ns(m->env) - at < interval || (r->is_checked && at >= r->token.came_ns));
}

/* What must be as it is below for the answer to be given: 1, and *ret_a; 0: nothing; -1: it is not
 * to be given here. */
static int standby_rests_on(struct master_req *r, const struct fsop_reply *rep,
                            struct fsattr *ret_a)
{
    const struct fsop *op = &r->op;
    bool is_name = op->kind == FSOP_LOOKUP && !rep->err, is_here = true;
    if (rep->err == E_NOT_LOADED)
        return -1;
    *ret_a = rep->attr;
    if (!is_name)
        is_here = op->ino.v && master_load_attr(r->m, op->ino, ret_a) == 0;
    if (!is_here || standby_is_whole(r->m, ret_a->mount))
        return 0;
    switch (op->kind) {
    case FSOP_LOOKUP: /* a name is not there as long as its directory is the same */
        if (rep->err && rep->err != E_NOENT)
            return 0;
        break;
    case FSOP_GETATTR:
        break;
    case FSOP_READDIR:
        if (!op->mode)
            return -1; /* each entry would have to be compared */
        if (op->arg)
            return 0;
        break;
    case FSOP_STATFS:
        return -1;
    default:
        return 0;
    }
    if (ret_a->flags & FSATTR_LIVE)
        return -1; /* its size is what it has below right now */
    return ret_a->flags & FSATTR_ORPHAN ? 0 : 1;
}

static void standby_refuse(struct master_req *r)
{
    r->m->n.refused++;
    r->state = REQ_NEW;
    master_rpc_fail(r, E_NOTSUP);
}

bool master_standby_knows(struct master_req *r, const struct fsop_reply *rep)
{
    struct fsattr a;
    int rests = r->job_err ? -1 : standby_rests_on(r, rep, &a);
    if (rests > 0 && standby_is_fresh(r, &a))
        rests = 0;
    if (rests < 0 || (rests > 0 && r->is_checked)) {
        standby_refuse(r);
        return false;
    }
    r->is_checked = true;
    if (rests > 0)
        master_rpc_wait_job(r, JOB_ASIDE, a.ino, NULL, 0, REQ_QUERY);
    else
        r->m->n.asides++;
    return rests == 0;
}

/* What was seen below may be the work of a change that has not come here yet. */
static void standby_looked(struct env_op *op)
{
    struct master_job *j = container_of(op, struct master_job, sub.op);
    struct master *m = j->m;
    struct fsattr a;
    uint64_t intent;
    if (!master_load_job_leads(j))
        return;
    bool is_same = op->ret >= 0 && meta_path_steady(m->meta, j->ino, j->mark, &intent) == 0 &&
                   master_load_attr(m, j->ino, &a) == 0 && master_load_is_same(&a, &j->ent);
    if (is_same)
        master_load_verified_set(m, standby_key(&a), j->began_ns);
    master_load_job_end(j, is_same ? 0 : E_NOT_LEADER);
}

void master_standby_step(struct master_job *j)
{
    if (j->ret < 0) {
        master_load_job_end(j, E_NOT_LEADER);
        return;
    }
    j->ent = j->uop.ent;
    j->sub.op.done = standby_looked;
    journal_barrier(j->m->journal, &j->sub.op);
}

void master_standby_end(struct master *m)
{
    list_each_safe(it, &m->live) {
        struct master_req *r = list_entry(it, struct master_req, live);
        if (!r->is_aside)
            continue;
        list_remove(&r->live); /* it goes, or its barrier comes back to it */
        master_rpc_fail(r, E_NOT_LEADER);
    }
}
