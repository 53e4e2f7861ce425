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
 * client keep something - its lease, who cached what - is the leader's alone.
 *  3. What rests on the leader's own memory is not answered here: an open (the leader asks on the
 *     connection that it answers on who holds a file), a place to append to, anything in a mount
 *     whose under-store would have to be compared, listed or synced first.
 *  4. A call waits at most MASTER_ASIDE_NS; then, at once where no leader is known, when this
 * master begins to lead, and where 3 holds, the answer is E_NOT_LEADER and who leads: ask there.
 *  5. Calls that wait at the same time share a barrier (raft_drive.c); a round of messages is paid
 *     for all that came while the last ones were under way.
 *  6. A standby that is being given an image has no state to answer from. */
#include "cluster/master_impl.h"

#define MASTER_ASIDE_NS (500 * MASTER_MS)

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

bool master_standby_knows(struct master_req *r, const struct fsop_reply *rep)
{
    struct master *m = r->m;
    struct fsattr a;
    if (rep->err == E_NOT_LOADED)
        return false;
    if (r->op.ino.v && master_load_attr(m, r->op.ino, &a) == 0 && !standby_is_whole(m, a.mount))
        return false;
    return rep->err || !rep->attr.ino.v || standby_is_whole(m, rep->attr.mount);
}

void master_standby_refuse(struct master_req *r)
{
    r->m->n.refused++;
    r->state = REQ_NEW;
    master_rpc_fail(r, E_NOT_LEADER);
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
