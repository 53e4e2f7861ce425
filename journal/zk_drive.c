/* journal/zk_drive.c - the journal of a group of masters with one log on shared storage, elected
 * through ZooKeeper and fenced by the storage itself.
 *
 *   fence                 claims of epochs, and what each that served stands on (zk_fence.h)
 *   log-<epoch>/owner     made exclusively by who leads in that epoch, before anything else there;
 *                         says which segments the log has (zk_owner.h)
 *   log-<epoch>/wal-*     the log (wal.h) of that one leadership: nobody goes on with it later
 *   images/<member>/      state images (snap.h)
 *
 * A record in a log is u64 acked_upto and then the host's, or nothing (ZK_REC_ACKED).  Its index is
 * what the epoch stands on plus its place in the log.
 *
 * INVARIANTS
 *  1. One machine (enum zk_drive_state) does one thing at a time with `op`; beside it only a
 *     leader's looks at the fence (zk_lead.c) and own images (zk_image.c) are under way.  The fence
 *     has one call at a time: whoever leads leaves it to the looks.
 *  2. What is applied was acknowledged, or is in the log of who holds the claim and was proven to
 *     (zk_lead.c, 1; zk_follow.c, 1): so it has its index for ever.
 *  3. No clock and nothing that ZooKeeper says decides what counts.  They decide who tries to lead,
 *     and when to give up.
 *  4. The epoch's log ends with the leadership; its process may go on as a standby.
 *
 * Why an epoch has a log of its own: nobody but its leader writes there, so there is nothing to
 * take over by name or to truncate, and a stale leader can harm nothing but what is closed. */
#include "core/mutant.h"
#include "core/sometimes.h"
#include "journal/zk_drive_impl.h"
#include "journal/zk_members.h"

static const int64_t ZK_MS = 1000000;
static const int64_t ZK_HEARD_NS = 5 * ZK_MEMBERS_NS;

static struct zk_drive *zk_self(struct journal *j)
{
    return container_of(j, struct zk_drive, journal);
}

void zk_drive_kick(struct zk_drive *d)
{
    if (d->kicked)
        return;
    d->kicked = true;
    env_post(d->env, &d->kick_op);
}

static void zk_drive_kicked(struct env_op *op)
{
    struct zk_drive *d = container_of(op, struct zk_drive, kick_op);
    d->kicked = false;
    zk_drive_run(d);
}

static void zk_drive_op_done(struct env_op *op)
{
    struct zk_drive *d = container_of(op, struct zk_drive, op);
    d->busy = false;
    zk_drive_run(d);
}

static void zk_drive_timer(struct env_op *op)
{
    struct zk_drive *d = container_of(op, struct zk_drive, timer.op);
    d->timer_fired = true;
    zk_drive_run(d);
}

static void zk_drive_elected(struct zk_elect *e, void *ctx)
{
    (void)e;
    zk_drive_kick(ctx);
}

void zk_drive_pause(struct zk_drive *d, int64_t ns)
{
    d->state = ZK_REST;
    d->pause_ns = ns;
    d->timer_fired = false;
}

static void zk_drive_timers_stop(struct zk_drive *d)
{
    env_timer_stop(d->env, &d->timer);
    env_timer_stop(d->env, &d->guard);
    env_timer_stop(d->env, &d->tell_timer);
    env_timer_stop(d->env, &d->watch_timer);
    env_timer_stop(d->env, &d->hand.timer);
}

void zk_drive_know(struct zk_drive *d, uint64_t acked)
{
    d->known = base_max_u64(d->known, acked);
}

void zk_drive_stand_down(struct zk_drive *d)
{
    d->is_well = false;
    if (!d->stands)
        return;
    d->stands = false;
    d->elect->vt->stand(d->elect, false);
}

void zk_drive_fail(struct zk_drive *d, int why)
{
    if (d->role == JOURNAL_FAILED)
        return;
    if (d->role == JOURNAL_LEADER)
        d->elect->vt->serves(d->elect, 0);
    d->role = JOURNAL_FAILED;
    d->state = ZK_FAILED;
    zk_drive_timers_stop(d);
    zk_lead_end_submits(d, E_NOT_LEADER);
    env_reply_all(d->env, &d->image_ops, E_NOT_LEADER);
    if (d->snap)
        snap_cancel(d->snap);
    zk_drive_stand_down(d);
    d->host->role(d->host, JOURNAL_FAILED, d->epoch, why);
    zk_hand_end(d, E_NOT_LEADER);
}

void zk_drive_log_dir(const struct zk_drive *d, uint64_t epoch, char *ret_dir)
{
    char leaf[LOG_NAME_MAX];
    log_format_name(leaf, "log-", epoch);
    fmt_into(ret_dir, ENV_NAME_MAX, "%s%s", d->dir, leaf);
}

uint64_t zk_drive_written(const struct zk_drive *d)
{
    return d->bytes_past + d->tail.bytes +
           (d->role == JOURNAL_LEADER && d->wal ? wal_written(d->wal) : 0);
}

struct wal *zk_drive_wal(struct zk_drive *d, uint64_t epoch)
{
    zk_drive_log_dir(d, epoch, d->wal_dir);
    struct wal_config wc = {.dir = d->wal_dir,
                            .segment_bytes = d->room.lacks ? 0 : d->cfg.segment_bytes,
                            .is_fenced = true,
                            .no_wait = true,
                            .batch_bytes = d->cfg.batch_bytes,
                            .batches_in_flight = d->cfg.batches_in_flight,
                            .queue_bytes = d->cfg.queue_bytes,
                            .cluster_hi = d->fence.cluster_hi,
                            .cluster_lo = d->fence.cluster_lo,
                            .keeps_none = true};
    return wal_create(d->shared, d->mem, &wc, &d->wal_host);
}

void zk_drive_wal_free(struct zk_drive *d)
{
    if (d->state == ZK_ENDED)
        d->bytes_past += wal_written(d->wal);
    wal_free(d->wal);
    d->wal = NULL;
}

/* --- applying --- */

void zk_drive_apply(struct zk_drive *d, uint64_t upto)
{
    struct zk_pend_head h;
    if (d->is_left)
        return;
    while (d->pend.first < d->pend.next && d->pend.first <= upto) {
        uint64_t index = d->pend.first;
        struct env_op *op = NULL;
        const void *record = zk_pend_pop(&d->pend, &h, d->record);
        ASSERT(record);
        ASSERT(index == d->applied + 1);
        bool is_own = d->state == ZK_LEAD && index >= d->first_own;
        if (h.type == ZK_REC_DATA)
            d->host->apply(d->host, index, record, h.len);
        d->applied = index;
        if (h.type == ZK_REC_DATA)
            d->acked_data = index;
        if (is_own)
            op = zk_lead_answered(d, h.type);
        if (op) {
            op->ret = (int64_t)index;
            op->done(op);
        }
    }
}

int zk_drive_take(struct zk_drive *d, uint64_t index, const struct log_record *r, const void *bytes)
{
    if (d->is_left)
        return E_CANCELLED;
    if (r->len < ZK_ACKED_BYTES || r->type > ZK_REC_ACKED ||
        r->len > JOURNAL_RECORD_MAX + ZK_ACKED_BYTES)
        return E_CORRUPT;
    uint64_t acked = base_get_u64(bytes);
    uint32_t len = r->len - ZK_ACKED_BYTES;
    if (acked >= index)
        return E_CORRUPT;
    d->acked = base_max_u64(d->acked, acked);
    zk_drive_know(d, acked);
    ASSERT(index == d->pend.next);
    const uint8_t *rec = (const uint8_t *)bytes + ZK_ACKED_BYTES;
    if (!zk_pend_put(&d->pend, r->type, rec, len)) {
        zk_drive_apply(d, d->acked);
        if (!zk_pend_put(&d->pend, r->type, rec, len))
            return E_AGAIN;
    }
    if (r->type == ZK_REC_DATA)
        d->data_end = index;
    return 0;
}

/* --- the machine --- */

static bool zk_drive_may_lead(struct zk_drive *d)
{
    return d->elect->standing == ZK_STANDING_FIRST && d->stands && !d->cfg.check_only;
}

/* at rest; true: it goes on */
static bool zk_drive_rested(struct zk_drive *d)
{
    bool is_due =
        d->timer_fired || (!d->pause_ns && d->is_woken) || (!d->pause_ns && zk_drive_may_lead(d));
    if (!is_due) {
        if (!env_timer_is_set(&d->timer))
            env_timer_set(d->env, &d->timer,
                          env_now_ns(d->env) + (d->pause_ns ? d->pause_ns : d->cfg.zk.poll_ns));
        return false;
    }
    env_timer_stop(d->env, &d->timer);
    d->timer_fired = d->is_woken = false;
    d->chain_limit = UINT64_MAX;
    d->found.epoch = 0;
    if (!d->stands && d->is_well && !d->cfg.check_only && zk_room_may_stand(d) &&
        env_now_ns(d->env) >= d->vain_until_ns) {
        d->stands = true;
        d->elect->vt->stand(d->elect, true);
    }
    if (d->load_again) {
        d->load_again = false;
        d->image_state = ZK_IMAGE_MEMBERS;
        d->state = ZK_LOAD;
    } else if (d->has_claim) {
        d->state = ZK_CHAIN;
    } else if (zk_drive_may_lead(d)) {
        d->tries = 0;
        d->state = ZK_NUMBER;
    } else {
        d->state = ZK_LAST;
    }
    return true;
}

static bool zk_drive_paused(struct zk_drive *d)
{
    if (!d->timer_fired) {
        if (!env_timer_is_set(&d->timer))
            env_timer_set(d->env, &d->timer, env_now_ns(d->env) + 50 * ZK_MS);
        return false;
    }
    d->timer_fired = false;
    d->state = ZK_SEAL_OPEN;
    return true;
}

int64_t zk_drive_unseen(struct zk_drive *d)
{
    int64_t now = env_now_ns(d->env);
    if (!d->unseen_ns)
        d->unseen_ns = now;
    if (now - d->unseen_ns > ZK_NAMES_NS / 2 && !d->unseen_said) {
        d->unseen_said = true;
        fmt_log(d->env, ENV_LOG_WARN,
                "journal: '%slog-%016llx': files that another master made are not found here. If "
                "this goes on, the shared directory shows new names late, or somebody removed "
                "them: see docs/zookeeper-journal.md, what the storage must give.",
                d->dir, (unsigned long long)d->log.epoch);
    }
    return now - d->unseen_ns;
}

void zk_drive_seen(struct zk_drive *d)
{
    d->unseen_ns = 0;
    d->unseen_said = false;
}

/* a leadership, or the way there, is over */
static void zk_drive_ended(struct zk_drive *d)
{
    if (d->wal)
        zk_drive_wal_free(d);
    if (zk_owner_is_open(&d->own)) {
        d->state = ZK_ENDED_OWNER;
        return;
    }
    d->has_claim = d->has_log = false;
    zk_drive_seen(d);
    zk_pend_reset(&d->pend, d->applied + 1);
    d->acked = d->applied;
    d->is_late = d->full = false;
    zk_drive_pause(d, d->end_why == E_STALE || !d->end_why ? 10 * ZK_MS
                      : d->end_why == E_RANGE              ? 10000 * ZK_MS
                                                           : 200 * ZK_MS);
}

static void zk_drive_opened(struct zk_drive *d, int64_t ret)
{
    bool is_other =
        !ret && (d->cfg.cluster_hi || d->cfg.cluster_lo) &&
        (d->cfg.cluster_hi != d->fence.cluster_hi || d->cfg.cluster_lo != d->fence.cluster_lo);
    if (is_other)
        ret = E_CLUSTER;
    if (ret) {
        fmt_log(d->env, ENV_LOG_ERROR, "journal: '%sfence': %s%s.", d->dir, err_text((int)ret),
                ret == E_NOENT
                    ? ": there is no journal in the shared directory, or it is not mounted"
                    : "");
        zk_drive_fail(d, (int)ret);
        return;
    }
    d->elect->most = d->fence.slots - 2;
    d->image_state = ZK_IMAGE_OWN;
    d->state = d->cfg.check_only ? ZK_LOAD : ZK_STORE;
}

static void zk_drive_stored(struct zk_drive *d, int64_t ret)
{
    bool is_full = ret == E_NOSPC || ret == E_DQUOT;
    if (ret)
        fmt_log(d->env, is_full ? ENV_LOG_WARN : ENV_LOG_ERROR,
                "journal: the shared storage at '%s' %s: %s. %s", env_disk(d->shared, d->dir),
                ret == E_NOTSUP ? "cannot hold the log" : "could not be checked", d->store.text,
                ret == E_NOTSUP
                    ? "See docs/zookeeper-journal.md, what the storage must give."
                    : "Free some space there, or see that it is mounted and may be written to.");
    d->state = ZK_LOAD;
    if (ret && !is_full)
        zk_drive_fail(d, (int)ret);
}

static void zk_drive_begin(struct zk_drive *d)
{
    d->busy = true;
    switch (d->state) {
    case ZK_OPEN:
        zk_fence_open(&d->fence, &d->op);
        return;
    case ZK_STORE:
        zk_store_check(&d->store, d->shared, d->mem, d->dir, &d->op);
        return;
    case ZK_ENDED:
        wal_stop(d->wal, &d->op);
        return;
    case ZK_ENDED_OWNER:
        zk_owner_shut(&d->own, &d->op);
        return;
    case ZK_LAST:
    case ZK_CHAIN:
    case ZK_TURN:
    case ZK_LOOK:
        zk_follow_begin(d);
        return;
    default:
        zk_take_begin(d);
    }
}

static bool zk_drive_takes(const struct zk_drive *d)
{
    return d->has_claim || (d->state >= ZK_NUMBER && d->state <= ZK_PROVE);
}

static void zk_drive_moved(struct zk_drive *d, int64_t ret)
{
    bool is_asked = d->state != ZK_LAST || d->has_log;
    bool is_answer = ret >= 0 || ret == E_STALE || (ret == E_NOENT && d->state == ZK_CHAIN);
    if (!is_asked || !is_answer)
        return;
    d->moved_ns = env_now_ns(d->env);
    if (zk_drive_takes(d))
        return;
    d->is_late = false;
    d->is_well = true;
}

static void zk_drive_next(struct zk_drive *d)
{
    int64_t ret = d->op.ret;
    zk_drive_moved(d, ret);
    switch (d->state) {
    case ZK_OPEN:
        zk_drive_opened(d, ret);
        return;
    case ZK_STORE:
        zk_drive_stored(d, ret);
        return;
    case ZK_ENDED:
    case ZK_ENDED_OWNER:
        zk_drive_ended(d);
        return;
    case ZK_LAST:
    case ZK_CHAIN:
    case ZK_TURN:
    case ZK_LOOK:
        zk_follow_next(d, ret);
        break;
    default:
        zk_take_next(d, ret);
    }
    if (d->is_late && zk_drive_takes(d) && d->state < ZK_LEAD)
        zk_take_end(d, E_TIMEOUT);
}

/* --- what takes too long --- */

/* Nothing that was begun can be taken back; but others may lead meanwhile. */
static void zk_drive_late(struct zk_drive *d)
{
    fmt_log(d->env, ENV_LOG_WARN,
            "journal: '%s': member %u has got nothing done there for %llu ms, and does not stand "
            "for election until it has.",
            env_disk(d->shared, d->dir), d->cfg.zk.id,
            (unsigned long long)((env_now_ns(d->env) - d->moved_ns) / ZK_MS));
    SOMETIMES(ZK_LATE);
    d->is_late = true;
    zk_drive_stand_down(d);
    if (d->state == ZK_RELOG || d->state == ZK_SEAL_PAUSE)
        zk_take_end(d, E_TIMEOUT);
}

static void zk_drive_guard_set(struct zk_drive *d)
{
    int64_t ns = base_min_i64(d->cfg.zk.outage_ns, d->cfg.zk.read_ns) / 16;
    env_timer_set(d->env, &d->guard, env_now_ns(d->env) + (ns > ZK_MS ? ns : ZK_MS));
}

static void zk_drive_guarded(struct env_op *op)
{
    struct zk_drive *d = container_of(op, struct zk_drive, guard.op);
    if (d->role == JOURNAL_FAILED || d->stop_op)
        return;
    zk_follow_reads_late(d);
    zk_bar_look(d);
    if (d->elect->vt->tell)
        d->elect->vt->tell(d->elect, d->applied, d->snap ? snap_index(d->snap) : 0);
    if (d->state == ZK_LEAD)
        zk_lead_guard(d);
    else if ((d->stands || zk_drive_takes(d)) && d->state < ZK_LEAD && !d->is_late &&
             env_now_ns(d->env) - d->moved_ns > d->cfg.zk.outage_ns)
        zk_drive_late(d);
    zk_drive_guard_set(d);
    zk_drive_run(d);
}

/* --- stop --- */

static void zk_drive_free(struct zk_drive *d)
{
    struct env_op *op = d->stop_op;
    d->elect->changed = NULL;
    zk_drive_timers_stop(d);
    env_timer_stop(d->env, &d->stop_timer);
    if (d->snap)
        snap_free(d->snap);
    zk_tail_drop(&d->tail);
    zk_fence_drop(&d->fence);
    zk_owner_drop(&d->own);
    mem_free(d->mem, d->pend.ring, ZK_PEND_CAP);
    mem_free(d->mem, d->record, JOURNAL_RECORD_MAX);
    env_reply(d->env, op, 0);
    mem_free(d->mem, d, sizeof *d);
}

/* nothing is under way but what runs beside; true: go on, false: wait, or it is gone */
static bool zk_drive_stop_step(struct zk_drive *d)
{
    if (d->is_checking || d->gc.busy || d->hand.is_calling || !zk_image_end(d))
        return false;
    if (d->other) {
        snap_free(d->other);
        d->other = NULL;
    }
    if (d->wal && !d->begun) {
        d->begun = d->busy = true;
        wal_stop(d->wal, &d->op);
        return false;
    }
    if (d->wal) {
        d->begun = false;
        wal_free(d->wal);
        d->wal = NULL;
    }
    if (zk_owner_is_open(&d->own)) {
        d->busy = true;
        zk_owner_shut(&d->own, &d->op);
        return false;
    }
    switch (d->state) {
    default:
        d->state = ZK_STOP_TAIL;
        d->busy = true;
        zk_tail_shut(&d->tail, &d->op);
        return false;
    case ZK_STOP_TAIL:
        d->state = ZK_STOP_FENCE;
        d->busy = true;
        zk_fence_close(&d->fence, &d->op);
        return false;
    case ZK_STOP_FENCE:
        d->state = ZK_STOPPED;
        return true;
    case ZK_STOPPED:
        if (!d->kicked)
            zk_drive_free(d);
        return false;
    }
}

/* What hangs can still write into what it was given, so that stays; nobody hears of it. */
static void zk_drive_leave(struct env_op *op)
{
    struct zk_drive *d = container_of(op, struct zk_drive, stop_timer.op);
    fmt_log(d->env, ENV_LOG_WARN,
            "journal: '%s': calls there do not end: member %u stops without waiting for them.",
            env_disk(d->shared, d->dir), d->cfg.zk.id);
    d->is_left = true;
    d->elect->changed = NULL;
    zk_image_leave(d);
    env_reply(d->env, d->stop_op, E_TIMEOUT);
}

/* what was begun has ended, and would have gone on */
static void zk_drive_stop_begin(struct zk_drive *d)
{
    bool was_stopped = d->begun && d->wal && (d->state == ZK_SEAL_STOP || d->state == ZK_ENDED);
    if (d->state >= ZK_STOP_TAIL)
        return;
    d->state = ZK_FAILED;
    d->begun = was_stopped;
}

/* one step; false: something is under way, or there is nothing to do */
static bool zk_drive_step(struct zk_drive *d)
{
    enum zk_drive_state before = d->state;
    switch (d->state) {
    case ZK_LOAD:
        return zk_image_load(d);
    case ZK_REST:
        return zk_drive_rested(d);
    case ZK_SEAL_PAUSE:
        return zk_drive_paused(d);
    case ZK_RELOG:
        return zk_take_relog(d);
    case ZK_LEAD:
        zk_lead_run(d);
        return d->state != before;
    case ZK_ENDING:
        if (d->is_checking || d->gc.busy)
            return false;
        if (d->wal)
            d->state = ZK_ENDED;
        else
            zk_drive_ended(d);
        return true;
    case ZK_FAILED:
        return false;
    default:
        break;
    }
    if (!d->begun) {
        d->begun = true;
        zk_drive_begin(d);
    } else {
        d->begun = false;
        zk_drive_next(d);
    }
    return true;
}

/* nothing was begun that something is still to come of */
static bool zk_drive_is_between(const struct zk_drive *d)
{
    return !d->begun && !(d->state == ZK_LOAD && d->image_begun) && d->role != JOURNAL_FAILED;
}

void zk_drive_run(struct zk_drive *d)
{
    if (d->is_left)
        return;
    if (d->is_running) {
        zk_drive_kick(d);
        return;
    }
    d->is_running = true;
    while (!d->busy) {
        if (d->stop_op && !d->stop_begun) {
            d->stop_begun = true;
            zk_drive_stop_begin(d);
        }
        if (d->stop_op) {
            d->is_running = false;
            if (!zk_drive_stop_step(d))
                return;
            d->is_running = true;
        } else if (d->elect->failed && zk_drive_is_between(d)) {
            zk_drive_fail(d, d->elect->failed);
            break;
        } else if (!zk_drive_step(d)) {
            break;
        }
    }
    d->is_running = false;
    zk_image_run(d);
    zk_room_run(d);
    zk_gc_run(d);
}

/* --- the door --- */

static void zk_journal_submit(struct journal *j, const void *rec, uint32_t len, struct env_op *op)
{
    struct zk_drive *d = zk_self(j);
    if (d->state != ZK_LEAD || d->stop_op)
        env_reply(d->env, op, E_NOT_LEADER);
    else if (len > JOURNAL_RECORD_MAX)
        env_reply(d->env, op, E_TOOBIG);
    else if (zk_hand_is_closed(d))
        env_reply(d->env, op, E_AGAIN);
    else
        zk_lead_submit(d, rec, len, op);
}

static void zk_journal_barrier(struct journal *j, struct env_op *op)
{
    struct zk_drive *d = zk_self(j);
    if (d->stop_op || d->role == JOURNAL_FAILED || d->role == JOURNAL_STARTING)
        env_reply(d->env, op, E_NOT_LEADER);
    else if (d->state == ZK_LEAD)
        zk_lead_read(d, op);
    else
        zk_follow_read(d, op);
}

static void zk_journal_image_now(struct journal *j, struct env_op *op)
{
    struct zk_drive *d = zk_self(j);
    if (d->stop_op || d->role == JOURNAL_FAILED || d->role == JOURNAL_STARTING ||
        d->cfg.check_only) {
        env_reply(d->env, op, d->cfg.check_only ? E_NOTSUP : E_NOT_LEADER);
        return;
    }
    list_push_back(&d->image_ops, &op->link);
    zk_drive_kick(d);
}

static void zk_journal_image_read(struct journal *j, uint64_t index, uint64_t offset, void *to,
                                  uint32_t len, struct env_op *op)
{
    struct zk_drive *d = zk_self(j);
    fmt_into(d->image_read_dir, sizeof d->image_read_dir, "%simages/%u/", d->dir, d->cfg.zk.id);
    if (d->stop_op || d->role == JOURNAL_FAILED || d->role == JOURNAL_STARTING)
        env_reply(d->env, op, E_UNAVAILABLE);
    else
        image_read_start(&d->image_read, d->image_read_dir, index, offset, to, len, op);
}

/* Who has not been read of in ZooKeeper for a while may be there and may not: nobody would be
 * called to lead from there now.  Without a session only this one is known. */
static void zk_status_members(const struct zk_drive *d, struct journal_status *st)
{
    const struct zk_elect *e = d->elect;
    int64_t now = env_now_ns(d->env);
    bool has_self = false;
    for (uint32_t i = 0; i < e->n_members && i < JOURNAL_MEMBERS_MAX; i++) {
        const struct zk_elect_member *from = &e->member[i];
        struct journal_member *m = &st->member[st->n++];
        bool is_self = from->id == st->self;
        *m = (struct journal_member){.id = from->id,
                                     .votes = true,
                                     .leads = from->id == st->leader,
                                     .connected = is_self || now - from->heard_ns < ZK_HEARD_NS,
                                     .match = is_self ? d->applied : from->applied,
                                     .heard_ago_ns = is_self ? 0 : now - from->heard_ns};
        memcpy(m->addr, from->addr, sizeof m->addr);
        has_self |= is_self;
    }
    bool takes_part = d->role == JOURNAL_LEADER || d->role == JOURNAL_STANDBY;
    if (!has_self && takes_part && st->n < JOURNAL_MEMBERS_MAX)
        st->member[st->n++] = (struct journal_member){.id = st->self,
                                                      .votes = true,
                                                      .leads = st->leader == st->self,
                                                      .connected = true,
                                                      .match = d->applied};
}

/* the log that this one writes, or reads as its leader writes it */
static void zk_status_log(const struct zk_drive *d, struct wal_stats *ret_w)
{
    *ret_w = (struct wal_stats){0};
    if (d->wal && d->role == JOURNAL_LEADER)
        wal_stats(d->wal, ret_w);
    else if (d->has_log)
        zk_tail_size(&d->tail, &ret_w->segments, &ret_w->bytes);
}

static void zk_journal_status(struct journal *j, struct journal_status *ret_status)
{
    struct zk_drive *d = zk_self(j);
    struct wal_stats w;
    zk_status_log(d, &w);
    *ret_status = (struct journal_status){
        .role = d->role,
        .epoch = d->role == JOURNAL_LEADER ? d->epoch : d->log.epoch,
        .first_index = d->log.base + 1,
        .last_index = d->role == JOURNAL_LEADER ? d->log.base + w.last_index : d->pend.next - 1,
        .committed = d->applied,
        .applied = d->applied,
        .image_index = d->snap ? snap_index(d->snap) : 0,
        .image_bytes = d->snap ? snap_bytes(d->snap) : 0,
        .wal_bytes = w.bytes,
        .wal_segments = w.segments,
        .records = w.records,
        .batches = w.batches,
        .syncs = w.syncs,
        .cluster_hi = d->fence.cluster_hi,
        .cluster_lo = d->fence.cluster_lo,
        .full = d->full || d->room.lacks,
        .repairing = d->torn.is_said || d->lacks > ZK_LACKS_SAID,
        .self = d->cfg.zk.id,
        .leader = d->role == JOURNAL_LEADER ? d->cfg.zk.id : d->elect->leader,
        .elections = d->elections,
        .lost = d->lost};
    zk_status_members(d, ret_status);
    zk_bar_status(d, ret_status);
}

static void zk_journal_ending(struct journal *j)
{
    struct zk_drive *d = zk_self(j);
    d->is_ending = true;
    env_reply_all(d->env, &d->image_ops, E_CANCELLED);
    env_reply_all(d->env, &d->image_ops_running, E_CANCELLED);
}

static void zk_journal_stop(struct journal *j, struct env_op *op)
{
    struct zk_drive *d = zk_self(j);
    ASSERT(!d->stop_op);
    d->stop_op = op;
    zk_hand_end(d, E_NOT_LEADER);
    if (d->state == ZK_LEAD)
        d->state = ZK_ENDING; /* what is proven from now on is nobody's here */
    zk_lead_end_submits(d, E_NOT_LEADER);
    env_reply_all(d->env, &d->image_ops, E_CANCELLED);
    zk_drive_timers_stop(d);
    if (d->role == JOURNAL_LEADER)
        d->elect->vt->serves(d->elect, 0);
    zk_drive_stand_down(d);
    if (d->state == ZK_LOAD && d->image_begun) {
        if (d->other)
            snap_cancel(d->other);
        else if (d->snap)
            snap_cancel(d->snap);
    }
    env_timer_set(d->env, &d->stop_timer, env_now_ns(d->env) + ZK_STOP_NS);
    zk_drive_kick(d);
}

static bool zk_drive_memory(struct zk_drive *d, const char *dir)
{
    fmt_into(d->dir, sizeof d->dir - 2 * LOG_NAME_MAX, "%s%s", dir, *dir ? "/" : "");
    d->pend.ring = mem_alloc(d->mem, ZK_PEND_CAP);
    d->record = mem_alloc(d->mem, JOURNAL_RECORD_MAX);
    bool has_fence = zk_fence_init(&d->fence, d->shared, d->mem, d->dir);
    bool has_tail = zk_tail_init(&d->tail, d->shared, d->mem);
    bool has_own = zk_owner_init(&d->own, d->shared, d->mem);
    if (d->pend.ring && d->record && has_fence && has_tail && has_own)
        return true;
    zk_fence_drop(&d->fence);
    zk_owner_drop(&d->own);
    if (has_tail)
        zk_tail_drop(&d->tail);
    mem_free(d->mem, d->pend.ring, ZK_PEND_CAP);
    mem_free(d->mem, d->record, JOURNAL_RECORD_MAX);
    return false;
}

static void zk_drive_init(struct zk_drive *d)
{
    d->tail.record = zk_follow_record;
    d->tail.ctx = d;
    d->op.done = zk_drive_op_done;
    d->kick_op.done = zk_drive_kicked;
    d->timer.op.done = zk_drive_timer;
    d->guard.op.done = zk_drive_guarded;
    d->stop_timer.op.done = zk_drive_leave;
    d->moved_ns = d->bar_ns = env_now_ns(d->env);
    d->bar = JOURNAL_BAR_STARTING;
    zk_pend_reset(&d->pend, 1);
    list_init(&d->reads_new);
    list_init(&d->reads_round);
    for (uint32_t i = 0; i < ZK_WAITS; i++)
        list_init(&d->wait[i].ops);
    zk_lead_init(d);
    zk_hand_init(d);
    zk_image_init(d);
    zk_gc_init(d);
    zk_room_init(d);
    d->elect->changed = zk_drive_elected;
    d->elect->ctx = d;
}

struct journal *zk_drive_open(struct env *e, struct env *shared, struct mem *m,
                              const struct journal_config *cfg, struct zk_elect *elect,
                              struct journal_host *host)
{
    static const struct journal_vt vt = {
        .submit = zk_journal_submit,
        .barrier = zk_journal_barrier,
        .image_now = zk_journal_image_now,
        .status = zk_journal_status,
        .image_read = zk_journal_image_read,
        .change = zk_hand_change,
        .held = zk_hand_held,
        .stop = zk_journal_stop,
        .ending = zk_journal_ending,
        .is_group = true,
    };
    ASSERT(host->image_reset && cfg->zk.id);
    struct zk_drive *d = mem_zalloc(m, sizeof *d);
    if (!d)
        return NULL;
    d->journal.vt = &vt;
    d->env = e;
    d->shared = shared;
    d->mem = m;
    d->host = host;
    d->cfg = *cfg;
    d->elect = elect;
    d->tag = env_random(e) | 1;
    if (!zk_drive_memory(d, cfg->zk.dir)) {
        mem_free(m, d, sizeof *d);
        return NULL;
    }
    zk_drive_init(d);
    zk_drive_guard_set(d);
    zk_drive_kick(d);
    return &d->journal;
}
