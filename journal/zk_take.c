/* journal/zk_take.c - how a member comes to lead, in this order:
 *
 *   1. a number (ZooKeeper), and the claim of that epoch in the fence: from here on no other
 *      leader's look at the fence succeeds;
 *   2. the newest epoch that served is the predecessor.  Its log is followed up to where it began,
 *      then read to its end, freshly, in the segments that its leader told of: whatever was
 *      acknowledged is there.  Up to the highest acked_upto in it everything counts; what is behind
 *      that is the tail: acknowledged, perhaps;
 *   3. a log of its own, made exclusively, a look at the fence (zk_owner.h, 5), and the tail in the
 *      log, record by record with their indices, durable;
 *   4. the predecessor's served slot once more, the own one, and a look at the fence: nobody
 *      claimed meanwhile, so the tail counts.
 *
 * INVARIANTS
 *  1. Until the look of 4 nothing is done that another member would have to heed: a claim that
 *     comes to nothing leaves an epoch that never served, or one that served and acknowledged
 *     nothing, on which another can stand as well.
 *  2. A tail record keeps its index: its leader may have acknowledged and applied it, and an image
 *     may be named by it.
 *  3. The old log may still be written to, by who does not know yet; so what looks like damage is
 *     read again a few times.  Its writer can have only so much under way.
 *  4. A log that ends before what is known to have been acknowledged, or before what it had taken
 *     over when it began to count (its served slot), is damaged, not torn: nobody leads without
 *     that.
 *  5. Whoever is not first any more claims nothing: the fence would end the leadership of who is.
 *  6. Each state ends within a bound, or others are let go first (zk_drive.c, zk_drive_guarded).
 *  7. A log that is damaged seldom mends itself: who came to nothing by one stands again after 1,
 *     2, 4, ... 60 s, or a group would have used up its epochs when somebody comes to look. */
#include "core/mutant.h"
#include "core/sometimes.h"
#include "journal/zk_drive_impl.h"

static const int64_t ZK_VAIN_NS = 1000 * 1000000LL, ZK_VAIN_MAX_NS = 60000 * 1000000LL;

/* what may have failed because another one has claimed meanwhile, and removed it */
static bool zk_take_doubts(int why)
{
    return why != E_STALE && why != E_EXIST && why != E_CANCELLED && why != E_TIMEOUT &&
           why != E_NOSPC && why != E_DQUOT && why != E_NOMEM && why != E_RANGE;
}

static void zk_take_over(struct zk_drive *d, int why)
{
    if (d->unreadable && why != E_STALE)
        fmt_log(
            d->env, ENV_LOG_ERROR,
            "journal: '%slog-%016llx' cannot be read to its end: %s. This master does not lead: "
            "acknowledged records would be lost. Check the shared storage, or restore a backup.",
            d->dir, (unsigned long long)d->log.epoch, err_text(why));
    if (why != E_STALE && why != E_EXIST && why != E_CANCELLED)
        fmt_log(d->env, ENV_LOG_WARN, "journal: member %u cannot lead now: %s.", d->cfg.zk.id,
                err_text(why));
    if (why == E_NOSPC || why == E_DQUOT)
        zk_room_short(d);
    if (why == E_CORRUPT) {
        d->vain_ns = d->vain_ns ? base_min_i64(2 * d->vain_ns, ZK_VAIN_MAX_NS) : ZK_VAIN_NS;
        d->vain_until_ns = env_now_ns(d->env) + d->vain_ns;
    }
    d->unreadable = false;
    d->end_why = why;
    d->state = ZK_ENDING;
}

void zk_take_end(struct zk_drive *d, int why)
{
    zk_drive_stand_down(d);
    d->end_why = why;
    if (d->has_claim && zk_take_doubts(why))
        d->state = ZK_DOUBT;
    else
        zk_take_over(d, why);
}

/* another number, a few times; then others shall try */
static void zk_take_again(struct zk_drive *d, int why)
{
    if (++d->tries >= ZK_CLAIM_TRIES)
        zk_take_end(d, why);
    else
        d->state = ZK_NUMBER;
}

static void zk_take_claim(struct zk_drive *d)
{
    d->epoch = d->number;
    zk_fence_claim(&d->fence, d->number, d->cfg.zk.id, env_random(d->env), &d->op);
}

static void zk_take_out_of_range(struct zk_drive *d)
{
    bool is_used_up = d->fence.seen + 2 >= d->fence.slots;
    fmt_log(d->env, ENV_LOG_ERROR,
            "journal: ZooKeeper's node 'epoch' gives epochs above %llu, and '%sfence' has slots up "
            "to there; %llu are used. %s",
            (unsigned long long)d->elect->most, d->dir, (unsigned long long)d->fence.seen,
            is_used_up ? "They are used up: stop the masters and migrate to a new directory "
                         "(`tarn journal migrate --from zk:DIR --to zk:NEW`)."
                       : "Somebody has changed that node, or it is another journal's: set it to "
                         "the number of used ones.");
}

static void zk_take_numbered(struct zk_drive *d, int64_t ret)
{
    if (!ret && d->number > d->elect->most)
        ret = E_RANGE;
    if (ret == E_RANGE)
        zk_take_out_of_range(d);
    else if (!ret && d->elect->standing != ZK_STANDING_FIRST && !MUTANT(ZK_CLAIM_UNCALLED))
        ret = E_CANCELLED;
    if (ret)
        zk_take_end(d, (int)ret);
    else
        d->state = ZK_CLAIM;
}

static void zk_take_claimed(struct zk_drive *d, int64_t ret)
{
    if (ret == E_STALE) {
        zk_take_again(d, E_STALE);
        return;
    }
    if (ret) {
        zk_take_end(d, (int)ret);
        return;
    }
    d->has_claim = true;
    d->chain_limit = UINT64_MAX;
    d->found.epoch = 0;
    d->state = MUTANT(ZK_SEAL_EARLY) && d->has_log ? ZK_NAME : ZK_CHAIN;
}

/* --- the old log, to its end --- */

static struct zk_drive *zk_take_of(struct wal_host *h)
{
    return container_of(h, struct zk_drive, wal_host);
}

static void zk_take_on_record(struct wal_host *h, uint64_t index, const struct log_record *r,
                              const void *bytes)
{
    struct zk_drive *d = zk_take_of(h);
    if (d->seal_ret)
        return;
    if (d->log.base + index != d->pend.next)
        d->seal_ret = E_CORRUPT;
    else
        d->seal_ret = zk_drive_take(d, d->log.base + index, r, bytes);
}

static void zk_take_on_nothing(struct wal_host *h, int why)
{
    (void)h;
    (void)why;
}

static void zk_take_read(struct zk_drive *d)
{
    uint64_t from = d->applied + 1 - d->log.base;
    uint64_t known = base_max_u64(d->log.end, d->known);
    if (known < d->applied || MUTANT(ZK_END_UNKNOWN))
        known = d->applied;
    zk_pend_reset(&d->pend, d->applied + 1);
    d->seal_ret = 0;
    d->wal_host = (struct wal_host){.record = zk_take_on_record, .failed = zk_take_on_nothing};
    d->wal = zk_drive_wal(d, d->log.epoch);
    if (d->wal)
        wal_expect(d->wal, d->own.first, d->own.last);
    if (d->wal)
        wal_recover(d->wal, from, known - d->log.base, &d->op);
    else
        env_reply(d->env, &d->op, E_NOMEM);
}

static void zk_take_sealed(struct zk_drive *d)
{
    int why = d->seal_ret;
    if (!why && base_max_u64(d->acked, d->known) >= d->pend.next)
        why = E_CORRUPT; /* more was acknowledged than is there */
    if (!why) {
        zk_drive_seen(d);
        zk_drive_apply(d, d->acked);
        d->state = ZK_NAME;
    } else if (why == E_NOENT && zk_drive_unseen(d) < ZK_NAMES_NS) {
        d->has_log = false; /* perhaps another one leads, and has removed it */
        zk_drive_pause(d, ZK_NAMES_NS / 100);
    } else if (++d->tries < ZK_SEAL_TRIES) {
        SOMETIMES(ZK_SEALED_AGAIN);
        d->state = ZK_SEAL_PAUSE;
    } else {
        d->unreadable = true;
        zk_take_end(d, why);
    }
}

/* --- the own log --- */

static void zk_own_on_record(struct wal_host *h, uint64_t index, const struct log_record *r,
                             const void *bytes)
{
    struct zk_drive *d = zk_take_of(h);
    (void)r;
    (void)bytes;
    d->durable = d->log.base + index;
    d->moved_ns = env_now_ns(d->env);
    zk_drive_kick(d);
}

static void zk_own_on_rejected(struct wal_host *h, uint32_t n, int why)
{
    struct zk_drive *d = zk_take_of(h);
    (void)n;
    d->seal_ret = why;
    zk_drive_kick(d);
}

static void zk_own_on_failed(struct wal_host *h, int why)
{
    zk_own_on_rejected(h, 0, why);
}

static void zk_own_on_space(struct wal_host *h, bool full)
{
    struct zk_drive *d = zk_take_of(h);
    d->full = full;
    if (full && d->state == ZK_RELOG)
        zk_own_on_rejected(h, 0, E_NOSPC);
}

void zk_take_on_names(struct wal_host *h, uint64_t first, uint64_t last, struct env_op *op)
{
    zk_owner_tell(&zk_take_of(h)->own, first, last, op);
}

static void zk_take_own(struct zk_drive *d)
{
    d->wal_host = (struct wal_host){.record = zk_own_on_record,
                                    .rejected = zk_own_on_rejected,
                                    .failed = zk_own_on_failed,
                                    .space = zk_own_on_space,
                                    .names = zk_take_on_names};
    d->seal_ret = 0;
    d->wal = zk_drive_wal(d, d->number);
    if (d->wal)
        wal_expect(d->wal, 1, 0); /* nobody can have made any */
    if (d->wal)
        wal_recover(d->wal, 1, 0, &d->op);
    else
        env_reply(d->env, &d->op, E_NOMEM);
}

static void zk_take_owned(struct zk_drive *d)
{
    d->prev = d->has_log ? d->log.epoch : 0;
    if (MUTANT(ZK_TAIL_NOT_RELOGGED))
        zk_pend_reset(&d->pend, d->applied + 1);
    if (d->pend.next > d->applied + 1)
        SOMETIMES(ZK_RELOGGED);
    d->log = (struct zk_log){d->number, d->applied, UINT64_MAX, d->pend.next - 1};
    d->durable = d->applied;
    d->relog_pos = d->pend.tail;
    d->relogged = d->pend.first - 1;
    d->first_own = d->pend.next;
    d->state = ZK_RELOG;
}

/* as much of the tail as the log takes; true: all of it is durable, or it is over */
static bool zk_take_relogged(struct zk_drive *d)
{
    uint8_t acked[ZK_ACKED_BYTES];
    struct zk_pend_head h;
    const void *bytes;
    uint64_t pos, index;
    base_put_u64(acked, d->applied);
    while (!d->seal_ret &&
           (pos = d->relog_pos, bytes = zk_pend_at(&d->pend, &pos, &h, d->record))) {
        struct env_iov iov[2] = {{acked, sizeof acked}, {bytes, h.len}};
        int ret = wal_append(d->wal, (uint8_t)h.type, d->number, iov, 2, &index);
        if (ret == E_AGAIN)
            return false;
        d->seal_ret = ret;
        if (ret)
            break;
        ASSERT(d->log.base + index == d->relogged + 1);
        d->relogged++;
        d->relog_pos = pos;
    }
    return d->seal_ret || d->durable + 1 == d->pend.next || MUTANT(ZK_SERVE_EARLY);
}

bool zk_take_relog(struct zk_drive *d)
{
    if (!zk_take_relogged(d))
        return false;
    d->state = d->prev && !MUTANT(ZK_SERVED_ONCE) ? ZK_SERVE_PREV : ZK_SERVE;
    if (d->seal_ret)
        zk_take_end(d, d->seal_ret);
    return true;
}

/* --- the states --- */

static void zk_take_name(struct zk_drive *d)
{
    char dir[ENV_NAME_MAX];
    zk_drive_log_dir(d, d->number, dir);
    d->tries = 0;
    zk_owner_make(&d->own, dir, d->number, d->cfg.zk.id, &d->op);
}

static void zk_take_open(struct zk_drive *d)
{
    char dir[ENV_NAME_MAX];
    zk_drive_log_dir(d, d->log.epoch, dir);
    zk_owner_open(&d->own, dir, &d->op);
}

void zk_take_begin(struct zk_drive *d)
{
    switch (d->state) {
    case ZK_NUMBER:
        d->elect->vt->number(d->elect, d->fence.seen, &d->number, &d->op);
        return;
    case ZK_CLAIM:
        zk_take_claim(d);
        return;
    case ZK_SEAL_SHUT:
        zk_tail_shut(&d->tail, &d->op);
        return;
    case ZK_SEAL_OPEN:
        zk_take_open(d);
        return;
    case ZK_SEAL_TOLD:
        zk_owner_read(&d->own, &d->op);
        return;
    case ZK_SEAL_CLOSE:
        zk_owner_shut(&d->own, &d->op);
        return;
    case ZK_SEAL_READ:
        zk_take_read(d);
        return;
    case ZK_SEAL_REPLAY:
        wal_recover_replay(d->wal, d->applied + 1 - d->log.base, &d->op);
        return;
    case ZK_SEAL_STOP:
        wal_stop(d->wal, &d->op);
        return;
    case ZK_NAME:
        zk_take_name(d);
        return;
    case ZK_NAME_CHECK:
        zk_fence_check(&d->fence, &d->op);
        return;
    case ZK_OWN_READ:
        zk_take_own(d);
        return;
    case ZK_OWN_START:
        wal_recover_start(d->wal, d->number, &d->op);
        return;
    case ZK_OWN_REPLAY:
        wal_recover_replay(d->wal, 1, &d->op);
        return;
    case ZK_SERVE_PREV:
        zk_fence_serve_again(&d->fence, &d->log_served, &d->op);
        return;
    case ZK_SERVE:
        zk_fence_serve(&d->fence, d->prev, d->applied, d->log.end, &d->op);
        return;
    case ZK_PROVE:
    case ZK_DOUBT:
        zk_fence_check(&d->fence, &d->op);
        return;
    default:
        ASSERT(false);
    }
}

static void zk_take_proved(struct zk_drive *d, int64_t ret)
{
    if (ret == 0 && d->is_late)
        zk_take_end(d, E_TIMEOUT);
    else if (ret == 0 && d->seal_ret) /* the own log failed behind the tail */
        zk_take_end(d, d->seal_ret);
    else if (ret == 0)
        zk_lead_begin(d);
    else if (ret == E_STALE || ++d->tries >= ZK_PROVE_TRIES)
        zk_take_end(d, (int)ret);
}

/* who served had a segment, and the last one stays */
static int zk_take_is_there(const struct zk_drive *d)
{
    struct wal_stats s;
    wal_stats(d->wal, &s);
    return s.segments ? 0 : E_NOENT;
}

static void zk_take_seal_next(struct zk_drive *d, int64_t ret)
{
    switch (d->state) {
    case ZK_SEAL_SHUT:
        d->has_log = true;
        d->tries = 0;
        d->state = ZK_SEAL_OPEN;
        break;
    case ZK_SEAL_OPEN:
        d->seal_ret = (int)ret;
        if (ret)
            zk_take_sealed(d);
        else
            d->state = ZK_SEAL_TOLD;
        break;
    case ZK_SEAL_TOLD:
        d->seal_ret = (int)ret;
        d->state = ZK_SEAL_CLOSE;
        break;
    case ZK_SEAL_CLOSE:
        d->state = ZK_SEAL_READ;
        if (d->seal_ret)
            zk_take_sealed(d);
        break;
    case ZK_SEAL_READ:
        if (!d->wal) {
            zk_take_end(d, E_NOMEM);
            break;
        }
        d->seal_ret = ret ? (int)ret : zk_take_is_there(d);
        d->state = d->seal_ret ? ZK_SEAL_STOP : ZK_SEAL_REPLAY;
        break;
    case ZK_SEAL_REPLAY:
        if (ret && !d->seal_ret)
            d->seal_ret = (int)ret;
        d->state = ZK_SEAL_STOP;
        break;
    case ZK_SEAL_STOP:
        zk_drive_wal_free(d);
        zk_take_sealed(d);
        break;
    default:
        ASSERT(false);
    }
}

void zk_take_next(struct zk_drive *d, int64_t ret)
{
    bool is_done = ret == 0;
    if (ret == E_STALE && (d->state == ZK_NAME_CHECK || d->state == ZK_PROVE))
        SOMETIMES(ZK_OVERTAKEN);
    switch (d->state) {
    case ZK_NUMBER:
        zk_take_numbered(d, ret);
        return;
    case ZK_CLAIM:
        zk_take_claimed(d, ret);
        return;
    case ZK_NAME:
        if (ret >= 0)
            d->state = MUTANT(ZK_OWNER_UNCHECKED) ? ZK_OWN_READ : ZK_NAME_CHECK;
        else
            zk_take_end(d, (int)ret);
        return;
    case ZK_SERVE_PREV:
    case ZK_SERVE:
        d->tries = 0;
        if (is_done)
            d->state++;
        else
            zk_take_end(d, (int)ret);
        if (MUTANT(ZK_PROVE_SKIPPED) && d->state == ZK_PROVE)
            zk_lead_begin(d);
        return;
    case ZK_PROVE:
        zk_take_proved(d, ret);
        return;
    case ZK_DOUBT:
        zk_take_over(d, ret == E_STALE ? E_STALE : d->end_why);
        return;
    case ZK_NAME_CHECK:
    case ZK_OWN_READ:
    case ZK_OWN_START:
    case ZK_OWN_REPLAY:
        if (!is_done || (d->state == ZK_OWN_READ && wal_last_index(d->wal)))
            zk_take_end(d, ret ? (int)ret : E_EXIST);
        else if (d->state == ZK_OWN_REPLAY)
            zk_take_owned(d);
        else
            d->state++;
        return;
    default:
        zk_take_seal_next(d, ret);
    }
}
