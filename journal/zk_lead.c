/* journal/zk_lead.c - the leader of the ZooKeeper journal.
 *
 *   submit -> in the own log -> durable -> a look at the fence that began after that -> applied,
 *   answered
 *
 * INVARIANTS
 *  1. A record is applied and answered when a look at the fence (zk_fence_check), issued when the
 *     record was durable, found the claim to hold: whoever claims later finds it in the log.  One
 *     look at a time; it counts for all that was durable when it was issued.
 *  2. A read is answered after a look issued after it came, for the same reason: nobody else had
 *     acknowledged anything by then.  What ZooKeeper says of the session proves nothing.
 *  3. A look that fails says nothing; it is repeated.  When looks bring no proof for `outage`, or
 *     when a submit waits for as long, whatever else goes on, this one steps down: what waits may
 *     be adopted by the next leader, and is answered so.  Without requests it looks now and then.
 *  4. A record in the log says up to where the log was acknowledged when it was appended.  When
 *     nothing follows, one of the journal's own says it.
 *  5. The log holds at most ZK_PEND_MOST that is not acknowledged.
 *  6. Whatever fails in the own log, it may be because a successor has removed it.  So a look that
 *     begins after that decides: who was superseded steps down, as for any other reason; whose
 *     claim still holds has met a real error, and its journal fails.  On the way to leadership the
 *     same is done by zk_take_end. */
#include "core/mutant.h"
#include "core/sometimes.h"
#include "journal/zk_drive_impl.h"

static const int64_t ZK_MS = 1000000LL, ZK_CHECK_AGAIN_NS = 50 * 1000000LL;

enum {
    ZK_NOTE_BITS = 20
}; /* of a waiting submit's ret, for its bytes; above: when it came, in ms */
static_assert(ZK_PEND_MOST > 1 << ZK_NOTE_BITS && JOURNAL_RECORD_MAX < 1 << (ZK_NOTE_BITS - 1),
              "a record's bytes fit");

static void zk_lead_check(struct zk_drive *d);

static struct zk_drive *zk_lead_of(struct wal_host *h)
{
    return container_of(h, struct zk_drive, wal_host);
}

static int64_t zk_lead_note(const struct zk_drive *d, uint64_t bytes)
{
    int64_t ms = (env_now_ns(d->env) - d->led_since_ns) / ZK_MS;
    return ms << ZK_NOTE_BITS | (int64_t)bytes;
}

static uint64_t zk_lead_bytes(const struct env_op *op)
{
    return (uint64_t)op->ret & ((1ULL << ZK_NOTE_BITS) - 1);
}

static int64_t zk_lead_came_ns(const struct zk_drive *d, const struct env_op *op)
{
    return d->led_since_ns + (op->ret >> ZK_NOTE_BITS) * ZK_MS;
}

/* --- the end --- */

void zk_lead_end_submits(struct zk_drive *d, int why)
{
    struct list *l;
    while ((l = list_pop(&d->waiting))) {
        struct env_op *op = list_entry(l, struct env_op, link);
        if (op != &d->tell_op)
            env_reply(d->env, op, why);
    }
    d->is_telling = false;
    d->unproven = 0;
    zk_follow_end_reads(d, why);
}

void zk_lead_end(struct zk_drive *d, const char *why)
{
    if (d->state != ZK_LEAD)
        return;
    fmt_log(d->env, ENV_LOG_INFO, "journal: member %u leads no more (epoch %llu): %s.",
            d->cfg.zk.id, (unsigned long long)d->epoch, why);
    d->lost++;
    d->state = ZK_ENDING;
    d->end_why = 0;
    env_timer_stop(d->env, &d->tell_timer);
    env_timer_stop(d->env, &d->watch_timer);
    zk_lead_end_submits(d, E_NOT_LEADER);
    d->elect->vt->serves(d->elect, 0);
    zk_drive_stand_down(d);
    d->role = JOURNAL_STANDBY;
    d->host->role(d->host, JOURNAL_STANDBY, d->epoch, 0);
    zk_hand_led(d);
    zk_drive_kick(d);
}

/* --- the log's calls --- */

static void zk_lead_on_record(struct wal_host *h, uint64_t index, const struct log_record *r,
                              const void *bytes)
{
    struct zk_drive *d = zk_lead_of(h);
    if (d->state != ZK_LEAD)
        return; /* it may be adopted */
    d->durable = d->log.base + index;
    if (d->durable < d->first_own)
        return; /* of the tail, by a mutant */
    ASSERT(r->len >= ZK_ACKED_BYTES);
    bool is_put = zk_pend_put(&d->pend, r->type, (const uint8_t *)bytes + ZK_ACKED_BYTES,
                              r->len - ZK_ACKED_BYTES);
    ASSERT(is_put);
    zk_drive_kick(d);
}

static void zk_lead_on_rejected(struct wal_host *h, uint32_t n, int why)
{
    struct zk_drive *d = zk_lead_of(h);
    struct list dropped;
    list_init(&dropped);
    for (; n && d->state == ZK_LEAD; n--) {
        struct list *e = d->waiting.prev;
        ASSERT(e != &d->waiting);
        struct env_op *op = list_entry(e, struct env_op, link);
        d->unproven -= zk_lead_bytes(op);
        list_remove(e);
        if (op == &d->tell_op)
            d->is_telling = false;
        else
            list_push_front(&dropped, e);
    }
    env_reply_all(d->env, &dropped, why);
    d->told = 0; /* what was dropped told it */
    zk_drive_kick(d);
}

static void zk_lead_on_failed(struct wal_host *h, int why)
{
    struct zk_drive *d = zk_lead_of(h);
    if (d->state != ZK_LEAD)
        return;
    d->doubt = why;
    if (MUTANT(ZK_DOUBT_SKIPPED))
        zk_drive_fail(d, why);
    zk_drive_kick(d);
}

/* the claim held after that */
static void zk_lead_fail(struct zk_drive *d)
{
    fmt_log(d->env, ENV_LOG_ERROR,
            "journal: member %u still leads, and its log '%s' failed: %s. What is on disk is "
            "unknown now, so nothing more is acknowledged. Check the shared storage and restart; "
            "acknowledged records are kept.",
            d->cfg.zk.id, env_disk(d->shared, d->wal_dir), err_text(d->doubt));
    zk_drive_fail(d, d->doubt);
}

static void zk_lead_on_space(struct wal_host *h, bool full)
{
    struct zk_drive *d = zk_lead_of(h);
    if (full)
        SOMETIMES(ZK_FULL);
    d->full = full;
    d->image_wanted |= full;
    zk_drive_kick(d);
}

/* --- appending --- */

static int zk_lead_append(struct zk_drive *d, uint8_t type, const void *rec, uint32_t len,
                          struct env_op *op)
{
    uint8_t acked[ZK_ACKED_BYTES];
    struct env_iov iov[2] = {{acked, sizeof acked}, {rec, len}};
    uint64_t index, size = zk_pend_size(len);
    if (d->unproven + size > ZK_PEND_MOST || d->doubt)
        return E_AGAIN;
    base_put_u64(acked, MUTANT(ZK_TOLD_DURABLE) ? d->durable : d->applied);
    int ret = wal_append(d->wal, type, d->epoch, iov, 2, &index);
    if (ret)
        return ret;
    d->told = d->applied;
    d->unproven += size;
    op->ret = zk_lead_note(d, size);
    list_push_back(&d->waiting, &op->link);
    return 0;
}

void zk_lead_submit(struct zk_drive *d, const void *rec, uint32_t len, struct env_op *op)
{
    int ret = zk_lead_append(d, ZK_REC_DATA, rec, len, op);
    if (ret)
        env_reply(d->env, op, ret);
}

void zk_lead_read(struct zk_drive *d, struct env_op *op)
{
    if (MUTANT(ZK_SESSION_IS_PROOF)) {
        env_reply(d->env, op, 0);
        return;
    }
    op->ret = env_now_ns(d->env);
    list_push_back(&d->reads_new, &op->link);
    zk_drive_kick(d);
}

/* whose record is being applied: its op, or NULL */
struct env_op *zk_lead_answered(struct zk_drive *d, uint32_t type)
{
    struct list *l = list_pop(&d->waiting);
    ASSERT(l);
    struct env_op *op = list_entry(l, struct env_op, link);
    d->unproven -= zk_lead_bytes(op);
    ASSERT((op == &d->tell_op) == (type == ZK_REC_ACKED));
    if (op != &d->tell_op)
        return op;
    d->is_telling = false;
    return NULL;
}

/* --- telling standbys --- */

void zk_lead_tell_now(struct zk_drive *d)
{
    if (d->state != ZK_LEAD || d->is_telling || d->told >= d->acked_data)
        return;
    d->is_telling = true;
    if (zk_lead_append(d, ZK_REC_ACKED, NULL, 0, &d->tell_op)) {
        d->is_telling = false;
        env_timer_set(d->env, &d->tell_timer, env_now_ns(d->env) + ZK_CHECK_AGAIN_NS);
    }
}

static void zk_lead_tell_late(struct env_op *op)
{
    zk_lead_tell_now(container_of(op, struct zk_drive, tell_timer.op));
}

static void zk_lead_tell(struct zk_drive *d)
{
    if (d->told < d->acked_data && !d->is_telling && !env_timer_is_set(&d->tell_timer))
        env_timer_set(d->env, &d->tell_timer, env_now_ns(d->env) + d->cfg.zk.tell_ns);
}

/* --- looks at the fence --- */

static void zk_lead_checked(struct env_op *op)
{
    struct zk_drive *d = container_of(op, struct zk_drive, check_op);
    d->is_checking = false;
    if (d->state != ZK_LEAD) {
        zk_drive_run(d);
        return;
    }
    if (op->ret == E_STALE) {
        SOMETIMES(ZK_FENCED);
        zk_lead_end(d, "another one has claimed the log");
        return;
    }
    if (op->ret && !MUTANT(ZK_LOOK_PASSES)) {
        SOMETIMES(ZK_LOOK_FAILED);
        d->check_failed = true;
        list_splice(&d->reads_new, &d->reads_round);
        env_timer_set(d->env, &d->watch_timer, env_now_ns(d->env) + ZK_CHECK_AGAIN_NS);
        return;
    }
    d->check_failed = false;
    d->asked_ns = 0;
    zk_drive_apply(d, MUTANT(ZK_FENCE_EARLY) ? d->durable : d->check_upto);
    env_reply_all(d->env, &d->reads_round, 0);
    if (d->check_doubts)
        zk_lead_fail(d);
    zk_drive_run(d);
}

static void zk_lead_check(struct zk_drive *d)
{
    int64_t now = env_now_ns(d->env);
    bool is_due = d->durable > d->applied || !list_empty(&d->reads_new) || d->doubt ||
                  now - d->check_ns > d->cfg.zk.outage_ns / 8;
    if (is_due && !d->asked_ns)
        d->asked_ns = now;
    if (d->is_checking || d->check_failed || !is_due || d->gc.wants_fence)
        return;
    d->is_checking = true;
    d->check_doubts = d->doubt != 0;
    d->check_ns = now;
    d->check_upto = d->durable;
    list_splice(&d->reads_round, &d->reads_new);
    if (MUTANT(ZK_NO_FENCE))
        env_reply(d->env, &d->check_op, 0);
    else
        zk_fence_check(&d->fence, &d->check_op);
}

static void zk_lead_watch(struct env_op *op)
{
    struct zk_drive *d = container_of(op, struct zk_drive, watch_timer.op);
    d->check_failed = false;
    zk_drive_run(d);
}

void zk_lead_run(struct zk_drive *d)
{
    if (d->elect->standing == ZK_STANDING_LOST)
        SOMETIMES(ZK_EXPIRED);
    if (d->elect->standing != ZK_STANDING_FIRST) {
        zk_lead_end(d, d->elect->standing == ZK_STANDING_LOST ? "its ZooKeeper session is over"
                                                              : "another one is to lead");
        return;
    }
    zk_lead_check(d);
    zk_lead_tell(d);
    zk_hand_run(d);
}

/* from time to time */
void zk_lead_guard(struct zk_drive *d)
{
    int64_t before = env_now_ns(d->env) - zk_drive_patience(d, d->cfg.zk.outage_ns);
    const struct list *first = d->waiting.next;
    if (d->asked_ns && d->asked_ns < before) {
        SOMETIMES(ZK_OUTAGE);
        zk_lead_end(d, "the shared storage does not answer");
    } else if (first != &d->waiting &&
               zk_lead_came_ns(d, list_entry(first, struct env_op, link)) < before)
        zk_lead_end(d, "the shared storage does not take its log");
}

/* the claim was found to hold after the served slot was there */
void zk_lead_begin(struct zk_drive *d)
{
    d->wal_host = (struct wal_host){.record = zk_lead_on_record,
                                    .rejected = zk_lead_on_rejected,
                                    .failed = zk_lead_on_failed,
                                    .space = zk_lead_on_space,
                                    .names = zk_take_on_names};
    d->state = ZK_LEAD;
    zk_follow_reads_anew(d);
    d->told = d->applied;
    d->acked_data = d->applied;
    d->is_checking = d->check_failed = d->check_doubts = false;
    d->doubt = 0;
    d->led_since_ns = d->check_ns = env_now_ns(d->env);
    d->asked_ns = 0;
    zk_drive_apply(d, d->first_own - 1);
    ASSERT(d->applied + 1 == d->first_own);
    d->acked = d->applied;
    d->durable = base_max_u64(d->durable, d->applied);
    d->elections++;
    d->vain_ns = 0;
    zk_gc_link(d, d->epoch, d->prev, d->log.base);
    d->gc.again_ns = 0; /* it may be the only thing that it has time for */
    zk_room_led(d);
    d->role = JOURNAL_LEADER;
    SOMETIMES(ZK_LEADS);
    fmt_log(d->env, ENV_LOG_INFO, "journal: member %u leads: epoch %llu, %llu records.",
            d->cfg.zk.id, (unsigned long long)d->epoch, (unsigned long long)d->applied);
    d->elect->vt->serves(d->elect, d->epoch);
    d->host->role(d->host, JOURNAL_LEADER, d->epoch, 0);
}

void zk_lead_init(struct zk_drive *d)
{
    d->check_op.done = zk_lead_checked;
    d->tell_timer.op.done = zk_lead_tell_late;
    d->watch_timer.op.done = zk_lead_watch;
    list_init(&d->waiting);
}
