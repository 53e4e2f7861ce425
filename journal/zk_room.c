/* journal/zk_room.c - what a member does when the shared storage is full.
 *
 * INVARIANTS
 *  1. A claim needs no room (zk_fence.h, 1), and a leader none to end.
 *  2. Who leads and finds no room for another segment answers with E_NOSPC until there is some; it
 *     goes on leading, and reads go on.  It takes an image from time to time, if it has none of
 *     what it applied: that lets old logs go.
 *  3. Each member keeps a reserve beside its images, for an image or for a log to begin, and gives
 *     of it what is needed only (snap_reserve.c): whoever else finds room there takes it, be it
 *     another program or the log, and the next one that is to lead needs some, too.  Who is to lead
 *     and finds no room gives the epoch up, and then such a part; with what is free then it tries
 *     once more, with segments as small as can be.  Each time that this does not do the part is
 *     twice as large.
 *  4. Epochs are not used up in vain: who found no room, and has no reserve left, stands for
 *     election again when it has got as much of one as the next try would give, or, because others
 *     may be gone and little may do, after a minute.
 *  5. A reserve that was used grows again when there is room, also beside a log that waits for
 *     some.  What there is of it that does not fit is given back, but for one part: that is what
 *     lets this one lead. */
#include "journal/zk_drive_impl.h"

static const int64_t ZK_ROOM_AGAIN_NS = 10000 * 1000000LL, ZK_ROOM_SOON_NS = 2000 * 1000000LL;
static const int64_t ZK_ROOM_STAND_NS = 60000 * 1000000LL;

/* to begin to lead: an owner file and its directory, the smallest segment, and some */
uint64_t zk_room_part(const struct zk_drive *d)
{
    uint64_t batch = base_max_u64(d->cfg.batch_bytes, LOG_BLOCK) + 2 * LOG_BLOCK;
    return 6 * LOG_BLOCK + 2 * base_align_up(batch, LOG_BLOCK);
}

static bool zk_room_is_full(int64_t ret)
{
    return ret == E_NOSPC || ret == E_DQUOT;
}

void zk_room_short(struct zk_drive *d)
{
    struct zk_room *r = &d->room;
    int64_t now = env_now_ns(d->env);
    bool has = snap_reserve_bytes(d->snap) > 0;
    uint64_t tail = 2 * (d->pend.head - d->pend.tail); /* it is in the log, too, in batches */
    if (!r->lacks)
        fmt_log(d->env, ENV_LOG_ERROR,
                "journal: '%s': no room for a log: member %u %s. Free some space there.",
                env_disk(d->shared, d->dir), d->cfg.zk.id,
                has ? "gives of its reserve and tries again" : "cannot lead until there is some");
    r->lacks = true;
    r->gives |= has;
    r->part = r->part ? 2 * r->part : zk_room_part(d);
    r->wants = r->part + tail;
    r->stand_ns = r->gives ? INT64_MAX : now + ZK_ROOM_STAND_NS;
    r->again_ns = now + ZK_ROOM_SOON_NS;
}

bool zk_room_may_stand(const struct zk_drive *d)
{
    return env_now_ns(d->env) >= d->room.stand_ns;
}

void zk_room_led(struct zk_drive *d)
{
    d->room.part = d->room.wants = 0;
}

void zk_room_used(struct zk_drive *d, int64_t ret)
{
    struct zk_room *r = &d->room;
    r->has = false;
    if (zk_room_is_full(ret) || snap_reserve_bytes(d->snap) < r->had) {
        r->is_short = true;
        r->again_ns = 0;
    }
    r->image_ns = env_now_ns(d->env) + ZK_ROOM_AGAIN_NS;
}

void zk_room_freed(struct zk_drive *d)
{
    if (d->room.is_short)
        d->room.again_ns = 0;
}

bool zk_room_wants_image(const struct zk_drive *d)
{
    return d->full && env_now_ns(d->env) >= d->room.image_ns;
}

static void zk_room_made(struct zk_drive *d, int64_t ret)
{
    struct zk_room *r = &d->room;
    uint64_t has = snap_reserve_bytes(d->snap), part = zk_room_part(d);
    r->had = has;
    r->has = ret == 0;
    r->is_short = zk_room_is_full(ret);
    r->again_ns =
        env_now_ns(d->env) + (r->is_short && has < part ? ZK_ROOM_SOON_NS : ZK_ROOM_AGAIN_NS);
    if (ret == 0) {
        if (r->lacks)
            fmt_log(d->env, ENV_LOG_INFO, "journal: '%s': there is room again for a log.",
                    env_disk(d->shared, d->dir));
        r->lacks = false;
        r->part = r->wants = 0;
        r->stand_ns = 0;
    } else if (r->is_short && has >= base_max_u64(part, r->wants) && r->stand_ns != INT64_MAX) {
        r->stand_ns = 0;
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
    else if (r->stand_ns == INT64_MAX && ret == 0)
        r->stand_ns = 0; /* the other try */
    else if (r->stand_ns == INT64_MAX)
        r->stand_ns = env_now_ns(d->env) + ZK_ROOM_STAND_NS;
    r->had = snap_reserve_bytes(d->snap);
    r->is_giving = false;
    zk_drive_run(d);
}

void zk_room_run(struct zk_drive *d)
{
    struct zk_room *r = &d->room;
    if (d->snap_busy || d->state <= ZK_LOAD || d->stop_op || !d->snap ||
        d->role == JOURNAL_FAILED || d->cfg.check_only)
        return;
    bool is_due = !r->has && (!d->full || r->is_short) && env_now_ns(d->env) >= r->again_ns;
    if (!r->gives && !is_due)
        return;
    d->snap_busy = true;
    r->is_giving = r->gives;
    if (r->gives) {
        r->gives = r->has = false;
        r->is_short = true;
        snap_give(d->snap, r->wants, &r->op);
    } else {
        snap_reserve(d->snap, &r->op);
    }
}

void zk_room_init(struct zk_drive *d)
{
    d->room.op.done = zk_room_done;
}
