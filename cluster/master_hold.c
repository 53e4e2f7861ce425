/* cluster/master_hold.c - no change of the under-store is under way when leadership is handed over.
 *
 * A successor that is called to lead does at once what its predecessor owed.  What that one began
 * and is slower would land after it, and after what clients have changed by then.
 *
 * INVARIANTS
 *  1. The journal says hold: from then on no change is begun below.  A job that comes to one is put
 *     aside; all others go on.
 *  2. The journal is told when the last change that was begun has ended, in whichever leadership of
 *     this master.
 *  3. When it is over, jobs put aside ask anew whether this master leads; in another leadership
 *     they end. */
#include "cluster/master_impl.h"

bool master_hold_parks(struct master_job *j)
{
    struct master *m = j->m;
    if (!m->is_holding || !m->is_leading || j->epoch != m->epoch)
        return false;
    list_push_back(&m->held, &j->sub.link);
    return true;
}

void master_hold_began(struct master_job *j)
{
    j->is_below = true;
    j->m->n_below++;
}

void master_hold_ended(struct master_job *j)
{
    struct master *m = j->m;
    if (!j->is_below)
        return;
    j->is_below = false;
    if (--m->n_below == 0 && m->is_holding)
        journal_held(m->journal);
}

static void hold_go_on(struct env_op *op)
{
    struct master *m = container_of(op, struct master, hold_op);
    struct list held, *e;
    m->hold_posted = false;
    list_init(&held);
    list_splice(&held, &m->held);
    while ((e = list_pop(&held))) /* the last one may be the end of the master */
        master_load_go_on(list_entry(e, struct master_job, sub.link));
}

void master_hold_end(struct master *m)
{
    if (m->hold_posted || list_empty(&m->held))
        return;
    m->hold_posted = true;
    env_post(m->env, &m->hold_op);
}

bool master_hold(struct journal_host *h, bool is_on)
{
    struct master *m = container_of(h, struct master, host);
    m->is_holding = is_on;
    if (!is_on)
        master_hold_end(m);
    return m->n_below == 0;
}

void master_hold_init(struct master *m)
{
    list_init(&m->held);
    m->hold_op.done = hold_go_on;
}
