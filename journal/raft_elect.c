/* journal/raft_elect.c - who leads: suspicion, pre-votes, votes, transfer.
 *
 *   FOLLOWER -suspects-> PRE_CANDIDATE -a quorum would vote-> CANDIDATE -a quorum voted-> LEADER
 *   a round without an end: once more from PRE_CANDIDATE; a leader heard, a higher term: FOLLOWER
 *
 * INVARIANTS
 *  1. A term is taken up, and a vote given, before it is durable; it is told only after.  A
 *     candidate asks and counts itself only after.  (Asking earlier would be unsafe as well: a
 *     candidate that forgot its term could collect answers to an older, longer log.)
 *  2. A step down within a term keeps the vote.
 *  3. Nobody stands or helps another to lead while his promise to a leader lasts, or while he may
 *     have made one before he was started; unless the leader itself asked for it (force).  Who
 *     led is bound as well: it was sure that it leads, and effects of its may still begin.  A vote
 *     request that comes while it lasts does not even raise the term; and a term that rises
 *     otherwise does not end it: the leader does not know of it, and relies on the promise.
 *  4. A pre-vote changes nothing of him who gives it.  One that refuses says its own term, so a
 *     member that was left behind with the longer log catches up and can stand (etcd #8501).
 *  5. Nobody stands whose log is not yet on its disk, who installs an image, whose disk is unfit,
 *     or who has no vote in the last configuration nor, while that one may be uncommitted, in the
 *     one before: he may be the only one whose log is long enough to commit it (dissertation,
 *     4.2.2). A low priority only delays, for the same reason.
 *  6. What damage took counts as if it were there, for the vote and against standing.  If only its
 *     term is known (or a higher one: no entry was answered for above the durable term), its end is
 *     taken to be beyond any index.  One candidate has enough all the same: who led that very term
 *     since he was started, if the last entry he wrote in it is the last one of his log (ended).
 *     For a leader removes nothing of his term, so no log holds more of it than he does, also not
 *     what was lost: with an undamaged log the voter would find his as long as its own, and that is
 *     all that the proof (dissertation, 3.6.3) asks of a vote.  Who was started since may lack what
 *     he had sent and not written; a follower may lack what others got.
 *  7. A round of votes is not over before its votes were asked for, and when several have failed
 *     the next ones are longer: each vote waits for a disk, and disks may be slower than any
 *     constant.
 *  8. From the moment a successor is told until a quorum has heard that the call is over, this
 *     leader has no lease.  A call and the votes that it forces say by the caller's clock when it
 *     is over; who has heard a later time from it follows neither, nor does who has just started:
 *     he says so, and is not called. */
#include "core/sometimes.h"
#include "journal/raft_impl.h"

static int64_t raft_elect_uniform(struct raft *r, int64_t lo, int64_t hi)
{
    return hi > lo ? prng_range(&r->prng, lo, hi) : lo;
}

static void raft_elect_rest(struct raft *r)
{
    r->yielded = false;
    r->rounds = 0;
    r->suspect_ns = r->now + raft_elect_uniform(r, r->cfg.suspect_min_ns, r->cfg.suspect_max_ns);
}

static void raft_elect_round(struct raft *r)
{
    int64_t ns = raft_elect_uniform(r, r->cfg.round_min_ns, r->cfg.round_max_ns);
    bool is_slow = r->role == RAFT_CANDIDATE && !r->cfg.no_longer_rounds;
    uint32_t longer = is_slow && r->rounds > 2 ? r->rounds - 2 : 0;
    r->round_ns = r->now + (ns << base_min_u64(longer, 3));
}

void raft_elect_contact(struct raft *r)
{
    int64_t bound = raft_bound_ns(r->cfg.promise_ns, r->cfg.suspect_min_ns);
    r->promise_ns = r->now + r->cfg.promise_ns;
    r->was_heard = true;
    r->bound_ns = MUTANT(RAFT_BOUND_SHORT) ? r->promise_ns : r->now + bound;
    raft_elect_rest(r);
}

void raft_elect_bind(struct raft *r)
{
    int64_t bound = raft_bound_ns(r->cfg.promise_ns, r->cfg.suspect_min_ns);
    int64_t until = raft_read_since_ns(r) + bound;
    if (r->bound_ns < until && !MUTANT(RAFT_LEADER_UNBOUND) && !MUTANT(RAFT_BOUND_SHORT))
        r->bound_ns = until;
}

void raft_elect_refused(struct raft *r)
{
    int64_t from = r->now > r->promise_ns ? r->now : r->promise_ns;
    int64_t at = from + raft_elect_uniform(r, 0, r->cfg.refused_max_ns);
    if (r->role == RAFT_FOLLOWER && at < r->suspect_ns)
        r->suspect_ns = at;
    r->bound_ns = base_min_i64(r->bound_ns, r->promise_ns);
}

void raft_elect_follow(struct raft *r, uint64_t term, struct raft_id leader)
{
    ASSERT(term >= r->term);
    bool fresh = term > r->term;
    if (fresh) {
        r->term = term;
        r->vote = (struct raft_id){0};
        r->grant = (struct raft_id){0};
        r->floor_seen = 0;
        raft_save_meta(r);
    }
    if (fresh || !raft_id_eq(leader, r->leader) || r->role != RAFT_FOLLOWER) {
        raft_read_drop(r);
        r->verified = r->commit;
        r->acked = 0;
        r->ack_due = false;
        r->ack_sent_ns = 0;
        r->ack_read = 0;
    }
    if (r->role == RAFT_LEADER) {
        r->led_last = r->trail.last;
        r->transfer = (struct raft_id){0};
        raft_elect_bind(r);
        raft_elect_rest(r);
    } else if (r->role != RAFT_FOLLOWER) {
        r->suspect_ns = r->round_ns;
    }
    if (MUTANT(RAFT_VOTE_FORGOTTEN) && r->role != RAFT_FOLLOWER && r->vote.v) {
        r->vote = (struct raft_id){0};
        raft_save_meta(r);
    }
    r->role = RAFT_FOLLOWER;
    r->leader = leader;
}

/* --- standing --- */

static bool raft_elect_is_bound(const struct raft *r)
{
    if (r->role == RAFT_LEADER)
        return !r->cfg.no_check_quorum && r->cfg.promise_ns;
    if (MUTANT(RAFT_PROMISE_BROKEN))
        return false;
    if (MUTANT(RAFT_PROMISE_LAPSES) && r->leader.v == 0)
        return r->now < r->silent_until_ns;
    return (r->now < r->silent_until_ns && !r->was_heard) || r->now < r->bound_ns ||
           (MUTANT(RAFT_LEADER_KEPT) && r->leader.v);
}

static bool raft_elect_may_stand(const struct raft *r, bool forced)
{
    bool pending = r->n_confs > 1 && r->conf_index[r->n_confs - 1] > r->commit;
    if (!MUTANT(RAFT_REMOVED_STANDS) && !raft_member_votes(raft_member_conf(r), r->cfg.self) &&
        !(pending && !MUTANT(RAFT_PENDING_SILENT) &&
          raft_member_votes(&r->conf[r->n_confs - 2], r->cfg.self)))
        return false;
    if ((!raft_is_whole(r) && !MUTANT(RAFT_FLOOR_FORGOTTEN)) || r->is_guest)
        return false;
    return !r->installing && r->stored == r->trail.last && r->fit && raft_meta_durable(r) &&
           raft_trail_has_room(&r->trail, 2) && r->now >= r->silent_until_ns &&
           (forced || MUTANT(RAFT_STANDS_BOUND) || !raft_elect_is_bound(r));
}

static uint64_t raft_elect_granted(const struct raft *r, struct raft_id id)
{
    if (MUTANT(RAFT_DEMOTED_MUTE) && raft_is_self(r, id) &&
        !(raft_member_find(raft_member_conf(r), id)->flags & RAFT_VOTER))
        return 0;
    if (raft_is_self(r, id))
        return r->role == RAFT_PRE_CANDIDATE || raft_meta_durable(r) || MUTANT(RAFT_ASK_EARLY);
    return raft_member_look(r, id)->granted;
}

static void raft_elect_stand(struct raft *r, enum raft_role role, bool forced);

static void raft_elect_count(struct raft *r)
{
    if (raft_member_quorum(r, raft_elect_granted) == 0)
        return;
    if (r->role == RAFT_PRE_CANDIDATE)
        raft_elect_stand(r, RAFT_CANDIDATE, false);
    else
        raft_repl_lead(r);
}

/* does it have all that there ever was of its last term? */
static bool raft_elect_has_ended(const struct raft *r)
{
    return (raft_last_term(r) == r->led_term && r->trail.last >= r->led_last) ||
           MUTANT(RAFT_ENDED_ANY);
}

static void raft_elect_ask(struct raft *r)
{
    bool pre = r->role == RAFT_PRE_CANDIDATE;
    for (uint32_t i = 0; i < r->n_peers; i++) {
        if (!raft_member_votes(raft_member_conf(r), r->peer[i].id))
            continue;
        struct raft_message *m =
            raft_send(r, pre ? RAFT_MSG_PRE_VOTE : RAFT_MSG_VOTE, r->peer[i].id);
        m->term = r->term + pre;
        m->index = r->trail.last;
        m->log_term = raft_last_term(r);
        m->ended = raft_elect_has_ended(r);
        m->force = r->forced;
        m->sent_ns = r->forced ? r->forced_ns : 0;
    }
}

static void raft_elect_stand(struct raft *r, enum raft_role role, bool forced)
{
    r->role = role;
    if (!MUTANT(RAFT_LEADER_KEPT) || role == RAFT_CANDIDATE)
        r->leader = (struct raft_id){0};
    r->forced = forced;
    r->asked = false;
    raft_elect_round(r);
    raft_read_drop(r);
    for (uint32_t i = 0; i < r->n_peers; i++)
        r->peer[i].granted = false;
    if (role == RAFT_CANDIDATE) {
        r->term++;
        r->vote = r->cfg.self;
        r->grant = (struct raft_id){0};
        raft_save_meta(r); /* raft_elect_meta goes on */
        if (MUTANT(RAFT_ASK_EARLY)) {
            r->asked = true;
            raft_elect_ask(r);
        }
        return;
    }
    raft_elect_ask(r);
    raft_elect_count(r);
}

int raft_elect_campaign(struct raft *r, bool forced)
{
    if (r->role == RAFT_LEADER)
        return E_EXIST;
    if (!raft_elect_may_stand(r, forced))
        return E_AGAIN;
    raft_elect_stand(r, forced || r->cfg.no_pre_vote ? RAFT_CANDIDATE : RAFT_PRE_CANDIDATE, forced);
    return 0;
}

/* how many voters would rather lead than this one */
static uint32_t raft_elect_rank(const struct raft *r)
{
    const struct raft_conf *c = raft_member_conf(r);
    const struct raft_member *me = raft_member_find(c, r->cfg.self);
    uint32_t n = 0;
    for (uint32_t i = 0; me && i < c->n; i++)
        n += (c->member[i].flags & RAFT_VOTER) && c->member[i].priority > me->priority &&
             !raft_id_eq(c->member[i].id, r->leader);
    return n;
}

static void raft_elect_suspects(struct raft *r)
{
    uint32_t rank = r->yielded ? 0 : raft_elect_rank(r);
    r->yielded = true;
    if (rank)
        r->suspect_ns = r->now + (int64_t)rank * r->cfg.round_max_ns;
    else if (raft_elect_campaign(r, false))
        r->suspect_ns = r->now + r->cfg.round_min_ns; /* what forbids it may be over then */
}

void raft_elect_meta(struct raft *r)
{
    if (r->grant.v && raft_id_eq(r->grant, r->vote)) {
        raft_send(r, RAFT_MSG_VOTE_REPLY, r->grant);
        r->grant = (struct raft_id){0};
        if (r->cfg.late_voted)
            raft_elect_rest(r);
    }
    if (r->role == RAFT_CANDIDATE && !r->asked) {
        r->asked = true;
        if (!r->cfg.no_asked_rounds)
            raft_elect_round(r);
        raft_elect_ask(r);
        raft_elect_count(r);
    }
}

void raft_elect_stored(struct raft *r)
{
    if (r->cfg.late_heard && r->role == RAFT_FOLLOWER && r->leader.v)
        raft_elect_rest(r);
}

/* --- being asked --- */

static bool raft_elect_is_behind(const struct raft *r, const struct raft_message *m)
{
    uint64_t term = raft_last_term(r), last = r->trail.last;
    if (MUTANT(RAFT_VOTE_BY_LENGTH))
        return m->index < last;
    if (!MUTANT(RAFT_FLOOR_FORGOTTEN) &&
        (r->floor_term > term || (r->floor_term == term && r->floor > last))) {
        term = r->floor_term;
        last = r->floor;
        if (m->log_term == term && m->ended)
            return false;
    }
    return m->log_term < term || (m->log_term == term && m->index < last);
}

void raft_elect_pre_vote(struct raft *r, const struct raft_message *m)
{
    bool no =
        raft_elect_is_bound(r) || m->term <= r->term || raft_elect_is_behind(r, m) || r->is_guest;
    struct raft_message *a = raft_send(r, RAFT_MSG_PRE_VOTE_REPLY, m->from);
    if (no)
        SOMETIMES(RAFT_PRE_VOTE_REFUSED);
    a->term = no && !MUTANT(RAFT_PRE_VOTE_MUTE) ? r->term : m->term;
    a->reject = no;
}

/* Has the leader of that term, as far as is known here, given up whom it called to lead?  Its lease
 * may hold again.  Who starts does not know what he knew. */
static bool raft_elect_is_late(const struct raft *r, uint64_t term, int64_t until_ns)
{
    if (!until_ns || MUTANT(RAFT_CALLED_LATE))
        return false;
    if (r->role == RAFT_LEADER)
        return r->term == term && until_ns <= r->now;
    return r->now < r->silent_until_ns || (r->seen_term == term && until_ns <= r->seen_ns);
}

void raft_elect_vote(struct raft *r, const struct raft_message *m)
{
    bool force = m->force && !raft_elect_is_late(r, m->term - 1, m->sent_ns);
    if (m->term > r->term) {
        if (!force && raft_elect_is_bound(r))
            return;
        raft_elect_follow(r, m->term, (struct raft_id){0});
    }
    bool mine = raft_id_eq(r->vote, m->from);
    bool no = m->term < r->term || r->role != RAFT_FOLLOWER || (r->vote.v && !mine) ||
              r->leader.v || raft_elect_is_behind(r, m) || r->installing || r->is_guest ||
              (!force && raft_elect_is_bound(r)) ||
              (MUTANT(RAFT_LEARNER_MUTE) && !raft_member_votes(raft_member_conf(r), r->cfg.self));
    if (no) {
        SOMETIMES(RAFT_VOTE_REFUSED);
        raft_send(r, RAFT_MSG_VOTE_REPLY, m->from)->reject = true;
        return;
    }
    raft_elect_rest(r);
    if (!mine) {
        r->vote = m->from;
        raft_save_meta(r);
    }
    if (raft_meta_durable(r) || MUTANT(RAFT_VOTE_EARLY))
        raft_send(r, RAFT_MSG_VOTE_REPLY, m->from);
    else
        r->grant = m->from;
}

void raft_elect_reply(struct raft *r, const struct raft_message *m)
{
    bool pre = m->type == RAFT_MSG_PRE_VOTE_REPLY;
    struct raft_peer *p = raft_member_peer(r, m->from);
    if (r->role != (pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE) || !p || (!pre && !r->asked) ||
        m->term != r->term + (pre && !m->reject))
        return;
    p->granted |= !m->reject;
    raft_elect_count(r);
}

/* --- transfer --- */

/* could it lead in a moment?  Who is dead, or far behind, would only hold up what is proposed. */
static bool raft_elect_is_ready(const struct raft *r, const struct raft_member *m,
                                const struct raft_peer *p)
{
    return (m->flags & RAFT_VOTER) && !p->unfit && !p->young && p->progress == RAFT_REPLICATE &&
           p->match >= r->term_start && r->now - p->heard_ns < r->cfg.suspect_min_ns;
}

int raft_elect_transfer(struct raft *r, struct raft_id to)
{
    const struct raft_conf *c = raft_member_conf(r);
    const struct raft_member *best = NULL;
    struct raft_peer *best_peer = NULL;
    if (r->role != RAFT_LEADER)
        return E_NOT_LEADER;
    if (r->transfer.v)
        return E_BUSY;
    for (uint32_t i = 0; i < c->n; i++) {
        const struct raft_member *m = &c->member[i];
        struct raft_peer *p = raft_member_peer(r, m->id);
        if (!p || !(m->flags & RAFT_VOTER) || (to.v && !raft_id_eq(m->id, to)))
            continue;
        if (!to.v && !raft_elect_is_ready(r, m, p))
            continue;
        if (!best || m->priority > best->priority ||
            (m->priority == best->priority && p->match > best_peer->match)) {
            best = m;
            best_peer = p;
        }
    }
    if (!best)
        return to.v ? E_INVAL : E_UNAVAILABLE;
    r->transfer = best->id;
    r->transfer_told = r->transfer_unfit = false;
    r->transfer_ns = r->now + r->cfg.suspect_min_ns;
    return 0;
}

/* when the successor has everything, and would follow, it is told */
void raft_elect_transfer_run(struct raft *r)
{
    if (r->role != RAFT_LEADER || !r->transfer.v || r->transfer_told)
        return;
    struct raft_peer *p = raft_member_peer(r, r->transfer);
    if (!p) {
        r->transfer = (struct raft_id){0};
        return;
    }
    /* one disk that all share stalls for all: whoever was picked before it said so is no better */
    if (r->transfer_unfit && (r->fit || p->unfit)) {
        SOMETIMES(RAFT_TRANSFER_NEEDLESS);
        r->transfer = (struct raft_id){0};
        return;
    }
    if (p->match < r->trail.last || p->young || !raft_may_send(r))
        return;
    r->transfer_told = true;
    r->void_ns = r->now + r->cfg.suspect_min_ns;
    SOMETIMES(RAFT_TRANSFER);
    raft_send(r, RAFT_MSG_TIMEOUT_NOW, p->id)->sent_ns = r->void_ns;
}

void raft_elect_timeout_now(struct raft *r, const struct raft_message *m)
{
    if (r->role != RAFT_FOLLOWER || !raft_id_eq(m->from, r->leader) ||
        raft_elect_is_late(r, m->term, m->sent_ns))
        return;
    r->forced_ns = m->sent_ns;
    raft_elect_campaign(r, true);
}

/* --- time --- */

static uint64_t raft_elect_heard(const struct raft *r, struct raft_id id)
{
    return raft_is_self(r, id) ? INT64_MAX : (uint64_t)raft_member_look(r, id)->heard_ns;
}

/* Is there somebody of higher priority who has (nearly) everything? */
static bool raft_elect_prefers(const struct raft *r)
{
    const struct raft_conf *c = raft_member_conf(r);
    const struct raft_member *me = raft_member_find(c, r->cfg.self);
    for (uint32_t i = 0; me && i < c->n; i++) {
        const struct raft_member *m = &c->member[i];
        const struct raft_peer *p = raft_member_look(r, m->id);
        if (p && m->priority > me->priority && raft_elect_is_ready(r, m, p))
            return true;
    }
    return false;
}

/* is there a voter that is fit, and has (nearly) everything? */
static bool raft_elect_has_ready(const struct raft *r)
{
    const struct raft_conf *c = raft_member_conf(r);
    for (uint32_t i = 0; i < c->n; i++) {
        const struct raft_peer *p = raft_member_look(r, c->member[i].id);
        if (p && raft_elect_is_ready(r, &c->member[i], p))
            return true;
    }
    return false;
}

static void raft_elect_lead_time(struct raft *r)
{
    const struct raft_member *me = raft_member_find(raft_member_conf(r), r->cfg.self);
    uint64_t heard = raft_member_quorum(r, raft_elect_heard);
    if (!r->cfg.no_check_quorum && heard < INT64_MAX && !MUTANT(RAFT_LEADER_STAYS) &&
        r->now - (int64_t)heard >= r->cfg.suspect_min_ns) {
        SOMETIMES(RAFT_ALONE);
        raft_elect_follow(r, r->term, (struct raft_id){0});
        return;
    }
    if (r->transfer.v && r->now >= r->transfer_ns) {
        SOMETIMES(RAFT_TRANSFER_LATE);
        r->transfer = (struct raft_id){0};
        r->transfer_told = false;
        r->prefer_ns = r->now;                             /* not again at once */
        if (!me || (!r->fit && raft_elect_has_ready(r))) { /* whoever comes is better */
            raft_elect_follow(r, r->term, (struct raft_id){0});
            return;
        }
    }
    if (!r->fit && !r->transfer.v && raft_elect_transfer(r, (struct raft_id){0}) == 0)
        r->transfer_unfit = true; /* if nobody is fitter it stays: a leader is better than none */
    if (!raft_elect_prefers(r))
        r->prefer_ns = r->now;
    else if (r->now - r->prefer_ns >= 2 * r->cfg.suspect_max_ns && !r->transfer.v)
        raft_elect_transfer(r, (struct raft_id){0});
    if (r->now >= r->heartbeat_ns) {
        r->heartbeat_ns = r->now + r->cfg.heartbeat_ns;
        raft_repl_heartbeat(r);
    }
}

void raft_elect_time(struct raft *r)
{
    switch (r->role) {
    case RAFT_FOLLOWER:
        if (r->now >= r->suspect_ns)
            raft_elect_suspects(r);
        break;
    case RAFT_PRE_CANDIDATE:
    case RAFT_CANDIDATE:
        if (r->now < r->round_ns)
            break;
        if (r->role == RAFT_CANDIDATE && !r->asked) {
            raft_elect_round(r);
            break;
        }
        r->rounds += r->role == RAFT_CANDIDATE;
        if (raft_elect_campaign(r, false)) /* not now: as a follower that suspects */
            raft_elect_follow(r, r->term, (struct raft_id){0});
        break;
    case RAFT_LEADER:
        raft_elect_lead_time(r);
        break;
    }
}
