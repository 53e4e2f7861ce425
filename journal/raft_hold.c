/* journal/raft_hold.c - before another member is called to lead, the host ends what it began.
 *
 * Whoever is called to lead does so at once: no promise and no suspicion is between what this
 * master has begun in the under-store and the same done by its successor.  So the host is asked to
 * begin nothing more and to say when what it began has ended.
 *
 *   a change wants it (ELECT): the host is asked -> it is ready -> RAFT_TRANSFER
 *   the core wants it (a sick disk, priority, this member was removed): it calls a successor -> the
 *     host is asked -> it is ready -> the call leaves
 *
 * INVARIANTS
 *  1. No call to lead leaves before the host is ready.
 *  2. The host stays so until this member leads no more, or a call that left is over and a quorum
 *     knows that: then the lease holds again.
 *  3. The wait is bounded.  ELECT is given up after suspect_max: clients wait for no longer than
 *     for an election.  A call is given up when the core's transfer is over (suspect_min); whose
 *     disk is sick then steps down, and others lead once they have suspected it: later than
 *     anything begins that it began.  What hangs in the under-store longer than all that cannot be
 *     taken back. */
#include "core/mutant.h"
#include "journal/raft_drive_impl.h"

static bool hold_is_ready(struct drive *d)
{
    if (!d->holds) {
        d->holds = true;
        d->call_until_ns = 0;
        d->is_held = !d->host->hold || MUTANT(HELD_UNASKED) || d->host->hold(d->host, true);
    }
    return d->is_held;
}

bool raft_hold_keeps(struct drive *d, const struct raft_message *call)
{
    if (hold_is_ready(d)) {
        d->call_until_ns = call->sent_ns;
        return false;
    }
    d->call = *call;
    d->has_call = true;
    return true;
}

bool raft_hold_elect(struct drive *d)
{
    if (hold_is_ready(d))
        return true;
    d->elect_waits = true;
    env_timer_set(d->env, &d->hold_timer, env_now_ns(d->env) + d->cfg.raft.suspect_max_ns);
    return false;
}

void raft_hold_elect_end(struct drive *d)
{
    d->elect_waits = false;
    env_timer_stop(d->env, &d->hold_timer);
}

static void hold_late(struct env_op *op)
{
    struct drive *d = container_of(op, struct drive, hold_timer.op);
    fmt_log(d->env, ENV_LOG_WARN,
            "journal: '%s': this member stays leader: changes that it began in the under-store do "
            "not end.",
            env_disk(d->env, d->dir));
    raft_drive_elect_end(d, E_BUSY);
    raft_drive_kick(d);
}

static void hold_end(struct drive *d)
{
    d->holds = d->is_held = d->has_call = false;
    d->call_until_ns = 0;
    if (d->host->hold)
        d->host->hold(d->host, false);
}

/* may another one still come to lead because of a call that left? */
static bool hold_is_called(const struct drive *d, const struct raft_status *s)
{
    if (!d->call_until_ns)
        return false;
    return d->cfg.raft.promise_ns ? !s->lease : env_clock_ns(d->env) < d->call_until_ns;
}

void raft_hold_run(struct drive *d)
{
    struct raft_status s;
    if (!d->holds)
        return;
    raft_status(d->raft, &s);
    bool leads = s.role == RAFT_LEADER;
    if (d->has_call && (!leads || s.transfer_to.v != d->call.to.v || s.term != d->call.term))
        d->has_call = false;
    if (d->has_call && d->is_held) {
        d->has_call = false;
        d->call_until_ns = d->call.sent_ns;
        raft_drive_send(d, &d->call);
    }
    if (leads && d->elect_waits && d->is_held) {
        struct raft_event ev = {.type = RAFT_TRANSFER, .u.id = {d->elect.what.id}};
        raft_hold_elect_end(d);
        int ret = raft_drive_event(d, &ev, NULL);
        if (ret)
            raft_drive_elect_end(d, ret == E_BUSY ? E_AGAIN : ret);
        return; /* it came here again */
    }
    if (!leads || (!s.transfer_to.v && !d->elect_waits && !hold_is_called(d, &s)))
        hold_end(d);
}

void raft_hold_held(struct journal *j)
{
    struct drive *d = container_of(j, struct drive, journal);
    if (!d->holds || d->is_held || d->state != DRIVE_RUNNING)
        return;
    d->is_held = true;
    raft_drive_kick(d);
}

void raft_hold_init(struct drive *d)
{
    d->hold_timer.op.done = hold_late;
}
