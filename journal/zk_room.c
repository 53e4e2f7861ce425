/* journal/zk_room.c - what a member does when the shared storage is full.
 *
 * INVARIANTS
 *  1. A claim needs no room (zk_fence.h, 1), and a leader none to end.
 *  2. Who leads and finds no room for another segment answers with E_NOSPC until there is some; it
 *     goes on leading, and reads go on.
 *  3. Each member keeps a reserve beside its images, for an image or for a log to begin.  Who is to
 *     lead and finds no room gives the epoch up, and then its reserve; with what is free then it
 *     tries once more, with segments as small as can be.
 *  4. Epochs are not used up in vain: who found no room, and has no reserve left, stands for
 *     election again when it could make one, or, because others may be gone and little may do,
 *     after a minute.
 *  5. What there is of a reserve that does not fit is given back: it is not to take the room that
 *     the log waits for. */
#include "journal/zk_drive_impl.h"

static const int64_t ZK_ROOM_AGAIN_NS = 10000 * 1000000LL;
static const int64_t ZK_ROOM_STAND_NS = 60000 * 1000000LL;

void zk_room_short(struct zk_drive *d)
{
    struct zk_room *r = &d->room;
    int64_t now = env_now_ns(d->env);
    if (!r->lacks)
        fmt_log(d->env, ENV_LOG_ERROR,
                "journal: '%s': no room for a log: member %u %s. Free some space there.",
                env_disk(d->shared, d->dir), d->cfg.zk.id,
                r->has ? "gives its reserve and tries again" : "cannot lead until there is some");
    r->lacks = true;
    r->gives |= r->has;
    r->stand_ns = r->gives ? INT64_MAX : now + ZK_ROOM_STAND_NS;
    r->again_ns = now + ZK_ROOM_AGAIN_NS;
}

bool zk_room_may_stand(const struct zk_drive *d)
{
    return env_now_ns(d->env) >= d->room.stand_ns;
}

void zk_room_used(struct zk_drive *d)
{
    d->room.has = false;
}

static void zk_room_made(struct zk_drive *d, int64_t ret)
{
    struct zk_room *r = &d->room;
    r->has = ret == 0;
    r->again_ns = env_now_ns(d->env) + ZK_ROOM_AGAIN_NS;
    if (ret == 0) {
        if (r->lacks)
            fmt_log(d->env, ENV_LOG_INFO, "journal: '%s': there is room again for a log.",
                    env_disk(d->shared, d->dir));
        r->lacks = false;
        r->stand_ns = 0;
    } else if (ret == E_NOSPC || ret == E_DQUOT) {
        r->gives = true;
    }
}

static void zk_room_done(struct env_op *op)
{
    struct zk_drive *d = container_of(op, struct zk_drive, room.op);
    struct zk_room *r = &d->room;
    int64_t ret = op->ret;
    d->snap_busy = false;
    if (!r->is_giving)
        zk_room_made(d, ret);
    else if (r->stand_ns == INT64_MAX)
        r->stand_ns = 0; /* the other try */
    r->is_giving = false;
    zk_drive_run(d);
}

void zk_room_run(struct zk_drive *d)
{
    struct zk_room *r = &d->room;
    if (d->snap_busy || d->state <= ZK_LOAD || d->stop_op || !d->snap ||
        d->role == JOURNAL_FAILED || d->cfg.check_only)
        return;
    bool is_due = !r->has && !d->full && env_now_ns(d->env) >= r->again_ns;
    if (!r->gives && !is_due)
        return;
    d->snap_busy = true;
    r->is_giving = r->gives;
    if (r->gives) {
        r->gives = r->has = false;
        snap_release(d->snap, &r->op);
    } else {
        snap_reserve(d->snap, &r->op);
    }
}

void zk_room_init(struct zk_drive *d)
{
    d->room.op.done = zk_room_done;
}
