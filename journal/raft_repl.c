/* journal/raft_repl.c - the log's way from the leader to the others.
 *
 * What a leader thinks of a member:
 *
 *   PROBE      where do the logs agree?  One message, then wait for its answer or a heartbeat
 *   REPLICATE  they agree: entries leave as they come, up to a bound of unanswered ones
 *   IMAGE      what it needs is not in the log any more: it fetches the image and the rest after it
 *
 *   PROBE -accepts-> REPLICATE -rejects, connection lost-> PROBE;   both -log trimmed-> IMAGE
 *   IMAGE -answers with what is in the log again-> REPLICATE
 *
 * INVARIANTS
 *  1. An append cuts the log only where an entry of it contradicts one that is there, and never at
 *     or below commit: so a late or repeated append takes nothing away that was answered for.
 *  2. An answer's index is stored here and equal to the leader's log: min(stored, verified).
 *  3. match only grows while a leadership lasts, but for a member that lost entries; next > match.
 *  4. An answer of a past term, or to a message of one, moves nothing.
 *  5. What is sent to a member and not durable there is bounded, in messages, bytes and entries
 *     (half of what it can hold): so a member whose disk is slower than its network is never sent
 *     what it must refuse, which costs a probe and is read from disk and sent once more.
 *  6. Nor is more than a window of bytes sent to it unanswered, which grows while what is sent
 *     comes to it soon and is halved when not, as TCP's with loss: on a slow line a heartbeat and
 *     its answer wait behind what is queued there, and must come before the line counts as
 *     silent.
 *  7. Where leaders that committed nothing have nearly filled the table of terms (RAFT_RUNS_LATE),
 *     the next one writes nothing of its own before a quorum has stored all of its log: till then
 *     it could not commit it.  So only who is lost within the one round trip that is left takes
 *     another place there, and those who reach no quorum never fill it up. */
#include "core/sometimes.h"
#include "journal/raft_impl.h"

/* --- leader: sending --- */

/* to begin with, and again after a connection was lost */
static uint32_t raft_repl_window(const struct raft *r)
{
    return (uint32_t)base_min_u64(2 * r->cfg.batch_bytes, r->cfg.inflight_bytes);
}

void raft_repl_reset(struct raft *r, struct raft_peer *p)
{
    *p = (struct raft_peer){.id = p->id,
                            .unfit = p->unfit,
                            .next = r->trail.last + 1,
                            .heard_ns = r->now,
                            .window = raft_repl_window(r)};
}

/* the first entry of this leadership: with it all before it can be committed */
static void raft_repl_begin(struct raft *r)
{
    struct raft_entry e = {.term = r->term, .type = RAFT_NOOP};
    r->term_start = r->trail.last + 1;
    raft_push(r, &e, NULL);
}

void raft_repl_lead(struct raft *r)
{
    ASSERT(raft_meta_durable(r));
    r->role = RAFT_LEADER;
    r->led_term = r->term;
    r->leader = r->cfg.self;
    r->term_start = UINT64_MAX;
    r->transfer = (struct raft_id){0};
    r->transfer_told = false;
    r->void_ns = 0;
    r->prefer_ns = r->now;
    r->heartbeat_ns = r->now + r->cfg.heartbeat_ns;
    r->wanted_index = 0;
    /* a tail that has left memory counts as a full one: what it held is not known */
    r->uncommitted_bytes = r->commit + 1 < r->trail.mem_first ? r->cfg.uncommitted_bytes : 0;
    for (uint64_t i = base_max_u64(r->commit + 1, r->trail.mem_first); i <= r->trail.last; i++)
        r->uncommitted_bytes += r->trail.ring[i & r->trail.mask].len;
    for (uint32_t i = 0; i < r->n_peers; i++)
        raft_repl_reset(r, &r->peer[i]);
    if (r->trail.n_runs < RAFT_RUNS_LATE)
        raft_repl_begin(r);
}

static void raft_repl_send(struct raft *r, struct raft_peer *p, uint64_t first, uint32_t n,
                           bool fetched)
{
    struct raft_message *m = raft_send(r, RAFT_MSG_APPEND, p->id);
    m->index = first - 1;
    m->log_term = raft_trail_term(&r->trail, first - 1);
    m->hint = r->trail.last;
    m->commit = r->commit;
    m->read = r->read_round;
    m->sent_ns = r->now;
    m->n = n;
    m->fetched = fetched;
    p->told_commit = r->commit;
    p->read_due = p->commit_due = false;
}

static void raft_repl_offer(struct raft *r, struct raft_peer *p)
{
    struct raft_message *m = raft_send(r, RAFT_MSG_IMAGE, p->id);
    m->index = r->image_index;
    m->log_term = r->image_term;
    m->conf = raft_conf_at(r, r->image_index);
    m->commit = r->commit;
    m->read = r->read_round;
    m->sent_ns = r->now;
    p->told_commit = 0;
    p->read_due = p->commit_due = false;
}

static void raft_repl_to_probe(struct raft_peer *p, uint64_t next)
{
    p->progress = RAFT_PROBE;
    p->next = next;
    p->probed = p->is_bare = false;
    p->flights = p->flight_bytes = 0;
}

static void raft_repl_to_image(struct raft *r, struct raft_peer *p)
{
    raft_repl_to_probe(p, p->next);
    p->progress = RAFT_IMAGE;
    raft_repl_offer(r, p);
}

/* entries from p->next on that fit one message */
static uint32_t raft_repl_plan(const struct raft *r, const struct raft_peer *p, uint32_t *ret_bytes)
{
    uint32_t n = 0;
    uint64_t bytes = 0;
    uint64_t most = base_min_u64(r->cfg.batch_bytes, p->window);
    for (uint64_t i = p->next; i <= r->trail.last && n < RAFT_BATCH_ENTRIES; i++) {
        const struct raft_slot *s = &r->trail.ring[i & r->trail.mask];
        if (n && bytes + s->len > most)
            break;
        bytes += s->len;
        n++;
        if (s->type == RAFT_CONF)
            break;
    }
    *ret_bytes = (uint32_t)bytes;
    return n;
}

static void raft_repl_fly(const struct raft *r, struct raft_peer *p, uint32_t n, uint32_t bytes)
{
    p->next += n;
    p->flight[(p->flight_first + p->flights++) % RAFT_INFLIGHT_MAX] =
        (struct raft_flight){p->next - 1, bytes, r->now};
    p->flight_bytes += bytes;
}

/* What was sent then is answered now, or the connection was lost first.  Once for each window: what
 * else is under way was sent before it was known.  What waits for the other's disk is no sign of a
 * slow line: his answer says that he has heard us since. */
static void raft_repl_paced(struct raft *r, struct raft_peer *p, uint32_t bytes, int64_t heard_ns,
                            int64_t sent_ns, bool is_lost)
{
    uint32_t least = (uint32_t)base_min_u64(r->cfg.batch_bytes / 16, r->cfg.inflight_bytes);
    int64_t soon_ns = r->cfg.suspect_min_ns / 4;
    if (!is_lost && (r->now - sent_ns < soon_ns || r->now - heard_ns < soon_ns)) {
        p->window = (uint32_t)base_min_u64((uint64_t)p->window + bytes, r->cfg.inflight_bytes);
    } else if (sent_ns >= p->narrow_ns) {
        SOMETIMES(RAFT_NARROW);
        p->window = p->window / 2 > least ? p->window / 2 : least;
        p->narrow_ns = r->now;
    }
}

static void raft_repl_fetch(struct raft *r, struct raft_peer *p)
{
    if (p->fetching)
        return;
    p->fetching = true;
    ASSERT(r->fx->n_fetches < RAFT_MEMBERS_MAX);
    r->fx->fetch[r->fx->n_fetches++] = (struct raft_fetch){p->id, p->next};
}

static bool raft_repl_may_fly(const struct raft *r, const struct raft_peer *p)
{
    uint64_t entries = p->next - 1 - p->match, most = (r->trail.mask + 1) / 2;
    bool is_open = p->flights == 0 || p->flight_bytes < p->window;
    return p->flights < r->cfg.inflight_messages && is_open && entries < most;
}

static void raft_repl_pump_peer(struct raft *r, struct raft_peer *p)
{
    if (p->progress == RAFT_IMAGE)
        return;
    if (p->next <= r->trail.base) {
        if (raft_may_send(r))
            raft_repl_to_image(r, p);
        return;
    }
    if (p->progress == RAFT_PROBE) {
        if (p->probed || !raft_may_send(r))
            return;
        bool is_bare = p->is_bare || p->next < r->trail.mem_first;
        uint32_t bytes, n = is_bare ? 0 : raft_repl_plan(r, p, &bytes);
        p->probed = true;
        p->is_bare |= n > 0;
        raft_repl_send(r, p, p->next, n, false);
        return;
    }
    while (p->next <= r->trail.last && raft_repl_may_fly(r, p) && raft_may_send(r)) {
        if (p->next < r->trail.mem_first) {
            raft_repl_fetch(r, p);
            return;
        }
        uint32_t bytes, n = raft_repl_plan(r, p, &bytes);
        raft_repl_send(r, p, p->next, n, false);
        raft_repl_fly(r, p, n, bytes);
    }
}

void raft_repl_pump(struct raft *r)
{
    if (r->role != RAFT_LEADER)
        return;
    for (uint32_t i = 0; i < r->n_peers; i++) {
        struct raft_peer *p = &r->peer[i];
        raft_repl_pump_peer(r, p);
        if ((!p->read_due && !p->commit_due) || !raft_may_send(r))
            continue;
        if (p->progress == RAFT_IMAGE)
            raft_repl_offer(r, p);
        else if (p->next > r->trail.base)
            raft_repl_send(r, p, p->next, 0, false);
    }
}

void raft_repl_heartbeat(struct raft *r)
{
    for (uint32_t i = 0; i < r->n_peers; i++) {
        r->peer[i].probed = false; /* it, or its answer, may have been lost */
        r->peer[i].read_due = true;
    }
}

void raft_repl_lost(struct raft *r, struct raft_peer *p)
{
    if (p->flights || (p->progress == RAFT_PROBE && p->is_bare))
        raft_repl_paced(r, p, 0, 0, p->flights ? p->flight[p->flight_first].sent_ns : r->now, true);
    p->window = (uint32_t)base_min_u64(p->window, raft_repl_window(r));
    if (p->progress == RAFT_REPLICATE)
        raft_repl_to_probe(p, p->match + 1);
}

void raft_repl_fetched(struct raft *r, const struct raft_event *ev)
{
    struct raft_peer *p = raft_member_peer(r, ev->u.fetched.id);
    if (!p || !p->fetching)
        return;
    p->fetching = false;
    if (r->role != RAFT_LEADER || p->progress != RAFT_REPLICATE ||
        (p->next != ev->u.fetched.from && !MUTANT(RAFT_PACK_GAP)) || p->next <= r->trail.base ||
        !raft_may_send(r))
        return;
    uint32_t n = (uint32_t)base_min_u64(ev->u.fetched.n, r->trail.last + 1 - p->next);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++)
        bytes += ev->u.fetched.entry[i].len;
    if (n == 0) { /* not readable: the next heartbeat tries again, or the log was trimmed by then */
        raft_repl_to_probe(p, p->next);
        p->probed = true;
        return;
    }
    raft_repl_send(r, p, p->next, n, true);
    raft_repl_fly(r, p, n, (uint32_t)bytes);
}

/* --- leader: answers --- */

static uint64_t raft_repl_match(const struct raft *r, struct raft_id id)
{
    return raft_is_self(r, id) ? (MUTANT(RAFT_SELF_EARLY) ? r->trail.last : r->stored)
                               : raft_member_look(r, id)->match;
}

void raft_repl_commit(struct raft *r)
{
    if (r->role != RAFT_LEADER)
        return;
    uint64_t q = raft_member_quorum(r, raft_repl_match);
    q = base_min_u64(q, r->trail.last);
    if (r->term_start == UINT64_MAX && q == r->trail.last)
        raft_repl_begin(r);
    if (q > r->commit && (MUTANT(RAFT_COMMIT_OLD_TERM) || raft_trail_term(&r->trail, q) == r->term))
        raft_set_commit(r, q);
    else if (q > r->commit)
        SOMETIMES(RAFT_OLD_TERM);
}

/* Does it lack what it had answered for?  It says so; or it was asked after that answer had come.
 */
static bool raft_repl_has_lost(const struct raft *r, const struct raft_peer *p,
                               const struct raft_message *m)
{
    return m->hint < p->match && m->index <= r->trail.last &&
           (m->lost || (m->index <= p->match && m->sent_ns > p->match_ns && m->sent_ns <= r->now));
}

static void raft_repl_rejected(struct raft *r, struct raft_peer *p, const struct raft_message *m)
{
    if (raft_repl_has_lost(r, p, m)) {
        SOMETIMES(RAFT_LOST);
        p->losses++;
        /* what it had answered for counts on, for it helps nobody who lacks that; but it is sent
         * once more */
        p->match = m->hint;
        if (p->progress != RAFT_IMAGE)
            raft_repl_to_probe(p, m->hint + 1);
        return;
    }
    if (p->progress == RAFT_IMAGE || m->index <= p->match || m->index > r->trail.last)
        return;
    if (p->progress == RAFT_PROBE && m->index != p->next - 1)
        return; /* to an older probe */
    uint64_t hint = MUTANT(RAFT_HINT_BEYOND) ? m->index : base_min_u64(m->hint, m->index - 1);
    if (hint > r->trail.base && !MUTANT(RAFT_HINT_BEYOND)) /* below it only the image helps */
        hint = raft_trail_upto_term(&r->trail, hint, m->log_term);
    raft_repl_to_probe(p, base_max_u64(hint, p->match) + 1);
}

static void raft_repl_accepted(struct raft *r, struct raft_peer *p, const struct raft_message *m)
{
    uint64_t hint = base_max_u64(m->hint, m->index);
    if (m->index > r->trail.last || hint > r->trail.last)
        return; /* no member of this cluster says that */
    if (m->index > p->match) {
        p->match = m->index;
        p->match_ns = r->now;
    }
    while (p->flights && p->flight[p->flight_first].last <= m->index) { /* durable there */
        const struct raft_flight *f = &p->flight[p->flight_first];
        raft_repl_paced(r, p, f->bytes, m->sent_ns, f->sent_ns, false);
        p->flight_bytes -= f->bytes;
        p->flight_first = (p->flight_first + 1) % RAFT_INFLIGHT_MAX;
        p->flights--;
    }
    switch (p->progress) {
    case RAFT_PROBE:
        if (hint + 1 < p->next)
            break; /* a heartbeat's, sent before we looked further ahead */
        p->progress = RAFT_REPLICATE;
        p->next = hint + 1;
        break;
    case RAFT_REPLICATE:
        p->next = base_max_u64(p->next, p->match + 1);
        break;
    case RAFT_IMAGE:
        if (hint < r->trail.base || (MUTANT(RAFT_IMAGE_STUCK) && hint <= r->image_index))
            break;
        p->progress = RAFT_REPLICATE;
        p->next = hint + 1;
        break;
    }
    raft_member_progress(r, p);
}

void raft_repl_reply(struct raft *r, const struct raft_message *m)
{
    struct raft_peer *p = raft_member_peer(r, m->from);
    if (r->role != RAFT_LEADER || !p || m->term != r->term)
        return;
    p->heard_ns = r->now;
    p->has_answered = true;
    p->unfit = m->unfit;
    p->young = m->young;
    if (m->sent_ns <= r->now && m->read <= r->read_round) { /* else not of this leadership */
        p->acked_ns = m->sent_ns > p->acked_ns ? m->sent_ns : p->acked_ns;
        p->read = base_max_u64(p->read, m->read);
    }
    if (m->reject)
        raft_repl_rejected(r, p, m);
    else
        raft_repl_accepted(r, p, m);
}

/* --- follower --- */

void raft_repl_answer(struct raft *r)
{
    if (!raft_meta_durable(r)) {
        r->ack_due = true;
        return;
    }
    r->ack_due = false;
    struct raft_message *m = raft_send(r, RAFT_MSG_APPEND_REPLY, r->leader);
    m->index = r->acked =
        base_min_u64(MUTANT(RAFT_ACK_EARLY) ? r->trail.last : r->stored, r->verified);
    m->hint = r->verified;
    m->sent_ns = r->ack_sent_ns;
    m->read = r->ack_read;
    m->unfit = !r->fit;
    m->young = r->now < r->silent_until_ns;
    m->lost = !raft_is_whole(r);
}

/* term of the entry before which ours may agree: saves a round trip for each entry of a wrong term
 */
static void raft_repl_reject(struct raft *r, const struct raft_message *m)
{
    SOMETIMES(RAFT_REJECTED);
    raft_repl_answer(r);
    if (r->ack_due) /* what is sent then finds out as well */
        return;
    struct raft_message *a = &r->fx->message[r->fx->n_messages - 1];
    a->reject = true;
    a->index = m->index;
    a->hint = m->index > r->trail.last ? r->trail.last
                                       : raft_trail_upto_term(&r->trail, m->index - 1, m->log_term);
    a->log_term = raft_trail_term(&r->trail, a->hint);
}

/* the leader's clock and read round, to be echoed: the newest of each */
static void raft_repl_echo(struct raft *r, const struct raft_message *m)
{
    r->ack_sent_ns = m->sent_ns > r->ack_sent_ns ? m->sent_ns : r->ack_sent_ns;
    if (r->seen_term != r->term || m->sent_ns > r->seen_ns)
        r->seen_ns = m->sent_ns;
    r->seen_term = r->term;
    r->ack_read = base_max_u64(r->ack_read, m->read);
}

static bool raft_repl_is_sound(const struct raft_message *m)
{
    uint64_t term = m->log_term;
    if (m->n > RAFT_BATCH_ENTRIES || m->index > UINT64_MAX / 2)
        return false;
    for (uint32_t i = 0; i < m->n; i++) {
        const struct raft_entry *e = &m->entry[i];
        if (e->term < term || e->term > m->term || e->type < RAFT_DATA || e->type > RAFT_CONF)
            return false;
        if (e->type == RAFT_CONF && (i + 1 < m->n || !m->conf))
            return false;
        term = e->term;
    }
    return true;
}

/* The entries of m from number k on, which do not contradict the log: what is new goes in as far as
 * there is room.  Returns how many of m's entries the log then holds. */
static uint32_t raft_repl_take(struct raft *r, const struct raft_message *m, uint32_t k)
{
    raft_evict(r);
    if (r->trail.mem_bytes > r->cfg.mem_bytes) /* which waits for the disk, all of it */
        return k;
    for (; k < m->n; k++) {
        bool conf = m->entry[k].type == RAFT_CONF;
        if (!raft_trail_has_room(&r->trail, RAFT_SPARE) || (conf && !raft_member_has_room(r)))
            break; /* the leader finds out by its next message */
        raft_push(r, &m->entry[k], conf ? m->conf : NULL);
    }
    return k;
}

void raft_repl_append(struct raft *r, const struct raft_message *m)
{
    const struct raft_trail *t = &r->trail;
    if (!raft_repl_is_sound(m)) {
        r->fx->ret = E_PROTO;
        return;
    }
    raft_repl_echo(r, m);
    if (r->floor_term && r->floor_seen == 0 && m->term >= r->floor_term)
        r->floor_seen = m->hint;
    if (r->installing && !MUTANT(RAFT_APPENDS_INSTALLING)) {
        SOMETIMES(RAFT_APPEND_INSTALLING);
        raft_repl_answer(r);
        return;
    }
    uint32_t k = 0;
    if (m->index < t->base) { /* all that we have no log for is committed, hence equal */
        k = (uint32_t)base_min_u64(m->n, t->base - m->index);
        if (m->index + k == t->base && m->entry[k - 1].term != t->base_term) {
            r->fx->ret = E_CORRUPT;
            return;
        }
    } else if (m->index > t->last || raft_trail_term(t, m->index) != m->log_term) {
        if (m->index <= r->commit)
            r->fx->ret = E_CORRUPT;
        else
            raft_repl_reject(r, m);
        return;
    }
    for (; k < m->n && m->index + 1 + k <= t->last; k++) {
        uint64_t index = m->index + 1 + k;
        if (raft_trail_term(t, index) == m->entry[k].term &&
            !(MUTANT(RAFT_CUT_ALWAYS) && index > r->commit))
            continue;
        if (index <= (MUTANT(RAFT_CUT_ALWAYS)
                          ? r->commit
                          : r->verified)) { /* it is no leader that contradicts itself */
            r->fx->ret = E_CORRUPT;
            return;
        }
        raft_cut(r, index - 1);
        break;
    }
    uint64_t last = t->last;
    k = raft_repl_take(r, m, k);
    if (m->index + k >= t->base)
        r->verified = base_max_u64(r->verified, m->index + k);
    raft_set_commit(
        r, base_min_u64(m->commit, MUTANT(RAFT_COMMIT_UNVERIFIED) ? t->last : r->verified));
    if (m->n == 0 || t->last == last)
        raft_repl_answer(r); /* else when it is stored */
}

void raft_repl_image(struct raft *r, const struct raft_message *m)
{
    if (m->index > UINT64_MAX / 2 || m->log_term > m->term) {
        r->fx->ret = E_PROTO;
        return;
    }
    raft_repl_echo(r, m);
    bool here = m->index <= r->trail.last && m->index >= r->trail.base &&
                raft_trail_term(&r->trail, m->index) == m->log_term;
    if (r->installing) {
        ;
    } else if (m->index <= r->commit || here) { /* an image is of committed entries */
        r->verified = base_max_u64(r->verified, here ? m->index : r->commit);
        raft_set_commit(r, base_max_u64(r->commit, here ? m->index : 0));
    } else if (r->wanted_index != m->index || r->wanted_term != m->log_term ||
               (!raft_id_eq(r->wanted_from, m->from) && !MUTANT(RAFT_WISH_KEPT))) {
        SOMETIMES(RAFT_IMAGE_WANTED);
        r->wanted_from = m->from; /* the one before may be gone for good */
        r->wanted_index = m->index;
        r->wanted_term = m->log_term;
        r->fx->image_wanted = true;
        r->fx->image_from = m->from;
        r->fx->image_index = m->index;
        r->fx->image_term = m->log_term;
    }
    raft_repl_answer(r);
}
