/* journal/zk_follow.c - a standby of the ZooKeeper journal: which log is to be read, how far, and
 * proof for reads here.
 *
 * Each epoch that served stands on an index of the one before (zk_fence.h, 6).  From the newest one
 * backwards that chain leads to the log that holds what comes next here.
 *
 * INVARIANTS
 *  1. Nothing is applied but what its leader acknowledged: up to acked_upto, which records carry,
 *     or up to what a later epoch in the chain stands on, whose leader found it acknowledged.
 *  2. What is applied is in every chain that there will ever be, at the same index: a new leader
 *     takes the tail of the old log over record by record, also those that log wrote for itself.
 *  3. What is pending belongs to one log and is dropped when another one is read.
 *  4. A read is proven by a look at the fence, begun after it came, that showed no claim above the
 *     newest log's epoch, and then a thorough look at that log: what was acknowledged before the
 *     read came is in it.  It waits until the last record found is applied; when another log counts
 *     before that, it begins anew: that record may not be in it.
 *  5. What does not check behind the last record is under way, or was acknowledged and is damaged;
 *     nobody here can tell.  So a read that found such waits until it checks, or is gone: then it
 *     was not durable before.  The same when less is there than was when the log began to count.
 *     It is looked at again for ever, said after a while, and an image may lead past it. */
#include "core/mutant.h"
#include "core/sometimes.h"
#include "journal/zk_drive_impl.h"

static const int64_t ZK_PAUSE_NS = 100 * 1000000LL;
static const int64_t ZK_TORN_NS = 2000 * 1000000LL, ZK_TORN_IMAGES_NS = 10000 * 1000000LL;

/* --- reads --- */

void zk_follow_read(struct zk_drive *d, struct env_op *op)
{
    if (MUTANT(ZK_READ_UNASKED) && d->has_log && d->data_end <= d->applied) {
        env_reply(d->env, op, 0);
        return;
    }
    op->ret = env_now_ns(d->env);
    list_push_back(&d->reads_new, &op->link);
    d->is_woken = true;
    zk_drive_kick(d);
}

void zk_follow_end_reads(struct zk_drive *d, int why)
{
    env_reply_all(d->env, &d->reads_new, why);
    env_reply_all(d->env, &d->reads_round, why);
    for (uint32_t i = 0; i < ZK_WAITS; i++) {
        env_reply_all(d->env, &d->wait[i].ops, why);
        d->wait[i].index = 0;
    }
}

/* of these nothing is proven any more */
void zk_follow_reads_anew(struct zk_drive *d)
{
    list_splice(&d->reads_new, &d->reads_round);
    for (uint32_t i = 0; i < ZK_WAITS; i++)
        if (d->wait[i].index) {
            SOMETIMES(ZK_READ_ANEW);
            list_splice(&d->reads_new, &d->wait[i].ops);
            d->wait[i].index = 0;
        }
}

/* the index of what comes next in the log */
static uint64_t zk_follow_place(const struct zk_drive *d)
{
    return d->log.base + d->tail.next;
}

static bool zk_follow_is_torn(const struct zk_drive *d)
{
    return d->tail.is_torn && !MUTANT(ZK_TORN_IS_END);
}

/* the look that began after the proof is done */
static void zk_follow_reads_proven(struct zk_drive *d)
{
    uint32_t i = 0;
    if (list_empty(&d->reads_round))
        return;
    if (d->is_proven && d->data_end <= d->applied && !zk_follow_is_torn(d)) {
        env_reply_all(d->env, &d->reads_round, 0);
        return;
    }
    while (i < ZK_WAITS && d->wait[i].index)
        i++;
    if (!d->is_proven || i == ZK_WAITS) {
        list_splice(&d->reads_new, &d->reads_round);
        return;
    }
    d->wait[i].index = base_max_u64(d->data_end, 1);
    d->wait[i].torn = zk_follow_is_torn(d) ? zk_follow_place(d) : 0;
    if (d->wait[i].torn)
        SOMETIMES(ZK_READ_TORN);
    else
        SOMETIMES(ZK_READ_WAITS);
    list_splice(&d->wait[i].ops, &d->reads_round);
}

void zk_follow_applied(struct zk_drive *d)
{
    for (uint32_t i = 0; i < ZK_WAITS; i++)
        if (d->wait[i].index && d->wait[i].index <= d->applied && !d->wait[i].torn) {
            d->wait[i].index = 0;
            env_reply_all(d->env, &d->wait[i].ops, 0);
        }
}

static void zk_follow_late(struct zk_drive *d, struct list *reads)
{
    int64_t before = env_now_ns(d->env) - zk_drive_patience(d, d->cfg.zk.read_ns);
    list_each_safe(l, reads) {
        struct env_op *op = list_entry(l, struct env_op, link);
        if (op->ret > before)
            continue;
        list_remove(l);
        env_reply(d->env, op, E_NOT_LEADER);
    }
}

/* nobody leads, or the log cannot be read: the reads do not wait for ever */
void zk_follow_reads_late(struct zk_drive *d)
{
    zk_follow_late(d, &d->reads_new);
    zk_follow_late(d, &d->reads_round);
    for (uint32_t i = 0; i < ZK_WAITS; i++) {
        if (!d->wait[i].index)
            continue;
        zk_follow_late(d, &d->wait[i].ops);
        if (list_empty(&d->wait[i].ops))
            d->wait[i].index = 0;
    }
}

/* --- the log --- */

bool zk_follow_record(void *ctx, uint64_t index, const struct log_record *r, const void *bytes)
{
    struct zk_drive *d = ctx;
    if (d->log.base + index > d->log.limit || d->bad)
        return false;
    int ret = zk_drive_take(d, d->log.base + index, r, bytes);
    if (ret == E_CORRUPT)
        d->bad = ret;
    return ret == 0;
}

/* from here on that log, or the same one with another limit */
static void zk_follow_choose(struct zk_drive *d, const struct zk_fence_served *s)
{
    struct zk_log l = {s->epoch, s->base, d->chain_limit, s->end};
    bool is_same = d->has_log && d->log.epoch == l.epoch;
    bool is_over = is_same && d->log.limit != l.limit;
    if (!is_same || is_over)
        zk_follow_reads_anew(d);
    d->log = l;
    d->log_served = *s;
    if (is_same) {
        d->state = ZK_LOOK;
        return;
    }
    if (d->pend.next > d->applied + 1)
        SOMETIMES(ZK_DROPPED);
    if (!MUTANT(ZK_PENDING_KEPT))
        zk_pend_reset(&d->pend, d->applied + 1);
    d->has_log = true;
    d->log_is_new = true;
    d->acked = base_max_u64(d->applied, l.base);
    d->data_end = 0;
    d->lacks = 0;
    d->state = ZK_TURN;
}

static void zk_follow_damaged(struct zk_drive *d, const char *what)
{
    fmt_log(
        d->env, ENV_LOG_ERROR,
        "journal: '%s': %s. Nothing was changed; check the shared storage, or restore a backup.",
        env_disk(d->shared, d->dir), what);
    if (d->has_claim)
        zk_take_end(d, E_CORRUPT);
    else if (d->cfg.check_only)
        zk_drive_fail(d, E_CORRUPT);
    else
        zk_drive_pause(d, 10 * ZK_PAUSE_NS);
}

/* all that is there was read */
static void zk_follow_checked(struct zk_drive *d)
{
    if (!d->cfg.check_only || d->role != JOURNAL_STARTING)
        return;
    d->role = JOURNAL_STANDBY;
    d->host->role(d->host, JOURNAL_STANDBY, d->epoch, 0);
}

/* one link of the chain was read */
static void zk_follow_chain(struct zk_drive *d, int64_t ret)
{
    const struct zk_fence_served *s = &d->fence.served;
    bool is_first = d->chain_limit == UINT64_MAX && !d->found.epoch;
    if (ret == E_NOENT && is_first) { /* nobody ever served */
        if (d->has_claim && !d->applied)
            d->state = ZK_NAME;
        else if (d->applied)
            zk_follow_damaged(d, "there are state images, but no epoch that served");
        else
            zk_drive_pause(d, 0);
        if (!d->applied)
            zk_follow_checked(d);
        return;
    }
    if (ret) {
        if (d->has_claim)
            zk_take_end(d, (int)ret);
        else
            zk_drive_pause(d, ZK_PAUSE_NS);
        return;
    }
    zk_gc_link(d, s->epoch, s->prev, s->base);
    if (is_first) {
        d->newest = s->epoch;
        zk_hand_served(d, s);
    }
    if (d->has_claim && s->epoch >= d->number) {
        zk_take_end(d, E_STALE); /* a later one serves */
        return;
    }
    if (!is_first && s->epoch != d->found.epoch) {
        zk_follow_damaged(d, "the fence lacks an epoch that a later one stands on");
        return;
    }
    if (s->base <= d->applied) {
        zk_follow_choose(d, s);
        return;
    }
    if (!s->prev) {
        zk_follow_damaged(d, "the first epoch in the fence stands on another");
        return;
    }
    d->chain_limit = s->base;
    d->found.epoch = s->prev; /* again: the one before */
}

static void zk_follow_last(struct zk_drive *d, int64_t ret)
{
    d->is_proven = ret == 0 && d->log.limit == UINT64_MAX;
    d->chain_limit = UINT64_MAX;
    d->found.epoch = 0;
    if (ret == 0 && d->is_proven)
        d->state = ZK_LOOK;
    else if (ret == 0 || ret == E_STALE)
        d->state = ZK_CHAIN;
    else
        zk_drive_pause(d, ZK_PAUSE_NS);
}

/* The log's part that counts is not all there: it must be, but may be seen late. */
static void zk_follow_lacks(struct zk_drive *d)
{
    if (++d->lacks == ZK_LACKS_SAID)
        fmt_log(d->env, ENV_LOG_ERROR,
                "journal: '%slog-%016llx': record %llu cannot be read, and a later epoch stands on "
                "records up to %llu: check the shared storage.",
                d->dir, (unsigned long long)d->log.epoch, (unsigned long long)d->pend.next,
                (unsigned long long)d->log.limit);
    if (d->lacks > ZK_LACKS_SAID && d->has_claim) {
        zk_take_end(d, E_CORRUPT);
    } else if (d->lacks > ZK_LACKS_SAID && d->cfg.check_only) {
        zk_drive_fail(d, E_CORRUPT);
    } else if (d->lacks % ZK_LACKS_ANEW == 0) { /* what is open may be gone */
        zk_pend_reset(&d->pend, d->applied + 1);
        d->log_is_new = true;
        d->state = ZK_TURN;
    } else {
        zk_drive_pause(d, 0);
    }
}

/* A look came to the end of what checks.  true: something else comes first */
static bool zk_follow_torn(struct zk_drive *d)
{
    uint64_t place = zk_follow_place(d);
    struct zk_torn *t = &d->torn;
    int64_t now = env_now_ns(d->env);
    bool is_short = place <= d->log.end || place <= d->known;
    if (!zk_follow_is_torn(d) && !is_short) {
        if (t->is_said)
            fmt_log(d->env, ENV_LOG_INFO, "journal: '%slog-%016llx' can be read again.", d->dir,
                    (unsigned long long)d->log.epoch);
        *t = (struct zk_torn){0};
        return false;
    }
    if (t->at != place)
        *t = (struct zk_torn){.at = place, .since_ns = now, .images_ns = now};
    if (now - t->since_ns < ZK_TORN_NS)
        return false;
    if (!t->is_said)
        fmt_log(d->env, ENV_LOG_ERROR,
                "journal: '%slog-%016llx': record %llu cannot be read%s. Until it can, nobody is "
                "told here what it may hold; if it does not come when its leader writes again, "
                "check the shared storage.",
                d->dir, (unsigned long long)d->log.epoch, (unsigned long long)place,
                is_short ? ", and was acknowledged"
                         : ": it was not written to its end, or damaged");
    t->is_said = true;
    if (d->cfg.check_only && is_short) {
        zk_drive_fail(d, E_CORRUPT);
        return true;
    }
    if (d->has_claim || now - t->images_ns < ZK_TORN_IMAGES_NS)
        return false;
    t->images_ns = now;
    d->has_log = false;
    d->state = ZK_LOAD;
    d->image_state = ZK_IMAGE_MEMBERS;
    return true;
}

/* what did not check when these reads looked: does it now? */
static void zk_follow_mended(struct zk_drive *d)
{
    for (uint32_t i = 0; i < ZK_WAITS; i++)
        if (d->wait[i].torn &&
            (zk_follow_place(d) > d->wait[i].torn || (!d->tail.is_more && !d->tail.is_torn)))
            d->wait[i].torn = 0;
}

/* What comes next was removed, and then an image has it; or its name is not to be seen yet. */
static void zk_follow_unseen(struct zk_drive *d)
{
    SOMETIMES(ZK_OVERRUN);
    if (zk_drive_unseen(d) > ZK_NAMES_NS && d->has_claim) {
        zk_take_end(d, E_NOENT);
        return;
    }
    d->has_log = false;
    d->state = ZK_LOAD;
    d->image_state = ZK_IMAGE_MEMBERS;
}

static void zk_follow_looked(struct zk_drive *d, int64_t ret)
{
    bool is_limited = d->log.limit != UINT64_MAX;
    if (is_limited)
        d->acked = base_max_u64(d->acked, d->log.limit);
    zk_drive_know(d, d->acked);
    if (ret >= 0)
        zk_follow_mended(d);
    zk_drive_apply(d, MUTANT(ZK_TAIL_ACKED_IGNORED) ? UINT64_MAX : d->acked);
    zk_follow_applied(d);
    if (ret == E_NOENT || (is_limited && d->tail.is_empty)) {
        zk_follow_unseen(d);
        return;
    }
    if (ret >= 0 && !d->has_claim)
        zk_drive_seen(d);
    if (d->bad) {
        d->bad = 0;
        d->has_log = false;
        zk_follow_damaged(d, "a record of the log is not of this journal");
        return;
    }
    if (ret < 0) {
        if (d->has_claim)
            zk_take_end(d, (int)ret);
        else
            zk_drive_pause(d, ZK_PAUSE_NS);
        return;
    }
    if (is_limited && d->applied >= d->log.limit) {
        d->chain_limit = UINT64_MAX;
        d->found.epoch = 0;
        d->state = ZK_CHAIN;
        return;
    }
    if (d->tail.is_more && ret > 0) {
        d->state = ZK_LOOK;
        return;
    }
    if (is_limited) {
        zk_follow_lacks(d);
        return;
    }
    if (!d->has_claim && (!d->tail.is_more || !ret) && zk_follow_torn(d))
        return;
    d->is_proven &=
        !d->tail.is_more && !d->tail.is_empty && /* who served had a segment */
        (zk_follow_place(d) > base_max_u64(d->log.end, d->known) || MUTANT(ZK_TORN_IS_END));
    zk_follow_reads_proven(d);
    if (!d->tail.is_more && zk_follow_place(d) > base_max_u64(d->log.end, d->known))
        zk_follow_checked(d);
    if (d->has_claim)
        d->state = ZK_SEAL_SHUT;
    else if (d->role != JOURNAL_FAILED)
        zk_drive_pause(d, 0);
}

/* --- the states --- */

void zk_follow_begin(struct zk_drive *d)
{
    char dir[ENV_NAME_MAX];
    switch (d->state) {
    case ZK_LAST:
        list_splice(&d->reads_round, &d->reads_new);
        d->is_proven = false;
        if (d->has_log)
            zk_fence_is_last(&d->fence, d->log.epoch, &d->op);
        else
            env_reply(d->env, &d->op, E_STALE);
        return;
    case ZK_CHAIN:
        zk_fence_find_served(&d->fence, d->found.epoch ? d->found.epoch : UINT64_MAX, &d->op);
        return;
    case ZK_TURN:
        zk_tail_shut(&d->tail, &d->op);
        return;
    case ZK_LOOK:
        if (d->log_is_new) {
            d->log_is_new = false;
            zk_drive_log_dir(d, d->log.epoch, dir);
            zk_tail_start(&d->tail, dir,
                          (MUTANT(ZK_PENDING_KEPT) ? d->pend.next : d->applied + 1) - d->log.base);
        }
        zk_tail_look(&d->tail,
                     !list_empty(&d->reads_round) || d->log.limit != UINT64_MAX || d->has_claim,
                     &d->op);
        return;
    default:
        ASSERT(false);
    }
}

void zk_follow_next(struct zk_drive *d, int64_t ret)
{
    switch (d->state) {
    case ZK_LAST:
        zk_follow_last(d, ret);
        break;
    case ZK_CHAIN:
        zk_follow_chain(d, ret);
        break;
    case ZK_TURN:
        d->state = ZK_LOOK;
        break;
    case ZK_LOOK:
        zk_follow_looked(d, ret);
        break;
    default:
        ASSERT(false);
    }
}
