/* journal/zk_hand.c - the ZooKeeper journal's leader hands over to another member (JOURNAL_ELECT).
 *
 *   NOT -> HOLD   the host ends what it began (journal.h, 7); it may still submit
 *       -> DRAIN  submits are answered E_AGAIN; what came before is proven, and standbys are told
 *       -> CALL   this one's place in the election goes to the called one (zk_elect.h)
 *       -> AWAIT  it leads no more; the fence shows who serves next
 *       -> NOT
 *
 * INVARIANTS
 *  1. Nobody is called before the host is ready, all that was submitted is proven, and the log says
 *     so: the called one has nothing to read but that.
 *  2. Nothing here makes the called one lead, nor this one safe: the fence does, as ever.
 *  3. The wait is bounded: HOLD by ZK_HAND_HOLD_NS (E_BUSY), CALL by zk_elect.h, all of it by the
 *     caller's deadline.  What was asked of ZooKeeper by then may still come; until its answer no
 *     submit is taken.
 *  4. Without a session nobody can be called: nothing is begun, and before CALL it ends. */
#include "core/mutant.h"
#include "core/sometimes.h"
#include "journal/zk_drive_impl.h"

static const int64_t ZK_HAND_HOLD_NS = 2000 * 1000000LL;

bool zk_hand_is_closed(const struct zk_drive *d)
{
    return d->hand.state == ZK_HAND_DRAIN || d->hand.state == ZK_HAND_CALL;
}

static bool zk_hand_has_session(const struct zk_drive *d)
{
    struct zk_elect_look l = {.has_session = true};
    if (d->elect->vt->look)
        d->elect->vt->look(d->elect, &l);
    return l.has_session;
}

static void zk_hand_answer(struct zk_drive *d, int ret)
{
    struct env_op *op = d->hand.op;
    d->hand.op = NULL;
    env_timer_stop(d->env, &d->hand.timer);
    if (op)
        env_reply(d->env, op, ret);
}

static void zk_hand_release(struct zk_drive *d)
{
    if (!d->hand.holds)
        return;
    d->hand.holds = d->hand.is_held = false;
    if (d->host->hold)
        d->host->hold(d->host, false);
}

void zk_hand_end(struct zk_drive *d, int ret)
{
    zk_hand_answer(d, ret);
    zk_hand_release(d);
    d->hand.state = ZK_HAND_NOT;
}

void zk_hand_led(struct zk_drive *d)
{
    if (d->hand.state == ZK_HAND_AWAIT)
        zk_hand_release(d);
    else if (d->hand.state != ZK_HAND_NOT)
        zk_hand_end(d, E_NOT_LEADER);
}

void zk_hand_served(struct zk_drive *d, const struct zk_fence_served *s)
{
    bool is_called = s->member == d->hand.id;
    if (d->hand.state != ZK_HAND_AWAIT || s->epoch <= d->hand.epoch)
        return;
    if (is_called)
        SOMETIMES(ZK_HANDED_OVER);
    else
        SOMETIMES(ZK_HAND_OTHER);
    zk_hand_end(d, is_called ? 0 : E_CONFLICT);
}

/* is it one of those who take part?  What is said of that comes late, so it only tells why nobody
 * of that number stands for election. */
static bool zk_hand_knows(const struct zk_drive *d, uint32_t id)
{
    for (uint32_t i = 0; i < d->elect->n_members; i++)
        if (d->elect->member[i].id == id)
            return true;
    return !id || !d->elect->n_members;
}

static void zk_hand_called(struct env_op *op)
{
    struct zk_drive *d = container_of(op, struct zk_drive, hand.call_op);
    int64_t ret = op->ret;
    d->hand.is_calling = false;
    if (d->hand.state == ZK_HAND_CALL && ret > 0) {
        d->hand.state = ZK_HAND_AWAIT;
        d->hand.id = (uint32_t)ret;
        d->hand.epoch = d->epoch;
        zk_lead_end(d, "it has handed over");
    } else if (d->hand.state == ZK_HAND_CALL) {
        zk_hand_end(d, ret != E_NOENT                 ? (int)ret
                       : zk_hand_knows(d, d->hand.id) ? E_UNAVAILABLE
                                                      : E_INVAL);
    }
    zk_drive_kick(d);
}

static void zk_hand_late(struct env_op *op)
{
    struct zk_drive *d = container_of(op, struct zk_drive, hand.timer.op);
    bool is_hold = d->hand.state == ZK_HAND_HOLD && env_now_ns(d->env) < d->hand.deadline_ns;
    if (is_hold)
        fmt_log(d->env, ENV_LOG_WARN,
                "journal: member %u stays leader: changes that it began in the under-store do not "
                "end.",
                d->cfg.zk.id);
    if (d->hand.state == ZK_HAND_CALL)
        zk_hand_answer(d, E_TIMEOUT);
    else
        zk_hand_end(d, is_hold ? E_BUSY : E_TIMEOUT);
    zk_drive_kick(d);
}

/* the leader's next step towards it */
void zk_hand_run(struct zk_drive *d)
{
    struct zk_hand *h = &d->hand;
    if ((h->state == ZK_HAND_HOLD || h->state == ZK_HAND_DRAIN) && !zk_hand_has_session(d)) {
        zk_hand_end(d, E_SESSION_EXPIRED);
        zk_drive_kick(d);
        return;
    }
    if (h->state == ZK_HAND_HOLD && h->is_held) {
        h->state = ZK_HAND_DRAIN;
        env_timer_set(d->env, &h->timer, h->deadline_ns);
    }
    if (h->state != ZK_HAND_DRAIN || !list_empty(&d->waiting))
        return;
    if (d->told < d->acked_data) {
        zk_lead_tell_now(d);
        return;
    }
    h->state = ZK_HAND_CALL;
    h->is_calling = true;
    d->elect->vt->call(d->elect, h->id, h->deadline_ns, &h->call_op);
}

void zk_hand_held(struct journal *j)
{
    struct zk_drive *d = container_of(j, struct zk_drive, journal);
    if (!d->hand.holds || d->hand.is_held)
        return;
    d->hand.is_held = true;
    zk_drive_kick(d);
}

void zk_hand_change(struct journal *j, const struct journal_change *c, int64_t deadline_ns,
                    struct env_op *op)
{
    struct zk_drive *d = container_of(j, struct zk_drive, journal);
    struct zk_hand *h = &d->hand;
    int ret = 0;
    if (c->verb != JOURNAL_ELECT || !d->elect->vt->call)
        ret = E_NOTSUP; /* members come and go by themselves */
    else if (d->state != ZK_LEAD || d->stop_op)
        ret = E_NOT_LEADER;
    else if (h->state != ZK_HAND_NOT || h->is_calling)
        ret = E_AGAIN;
    else if (c->id == d->cfg.zk.id)
        ret = E_EXIST;
    else if (!zk_hand_has_session(d))
        ret = E_SESSION_EXPIRED;
    if (ret) {
        env_reply(d->env, op, ret);
        return;
    }
    h->state = ZK_HAND_HOLD;
    h->id = c->id;
    h->op = op;
    h->deadline_ns = deadline_ns;
    h->holds = true;
    h->is_held = !d->host->hold || MUTANT(HELD_UNASKED) || d->host->hold(d->host, true);
    env_timer_set(d->env, &h->timer,
                  base_min_i64(deadline_ns, env_now_ns(d->env) + ZK_HAND_HOLD_NS));
    zk_drive_kick(d);
}

void zk_hand_init(struct zk_drive *d)
{
    d->hand.call_op.done = zk_hand_called;
    d->hand.timer.op.done = zk_hand_late;
}
