/* journal/raft_read.c - linearizable reads without a log entry (dissertation, 6.4).
 *
 * INVARIANTS
 *  1. A read is answered with an index that was committed when it came, and only after proof that
 *     this member led at some time after it came: a lease that holds then, or answers by a quorum
 *     to a round that began then.
 *  2. Before an entry of its own term is committed a leader does not know what is: reads wait.
 *  3. The lease begins when the messages were sent that a quorum has answered, and lasts for their
 *     promise, shortened by what two clocks may drift apart.  Who was called to lead is voted for
 *     against all promises, but not by those who have heard, by the leader's clock, that the call
 *     is over (nor does he stand then, nor do they in the silence after a start).  So where a
 *     transfer came to nothing the lease holds again once a quorum has answered what was sent after
 *     that.
 *  4. A follower repeats what it asked until it is answered, or knows of another leader or of none:
 *     question and answer may be lost with a connection.  A name is never used for another read,
 *     by no later process either. */
#include "core/sometimes.h"
#include "journal/raft_impl.h"

static uint64_t raft_read_acked(const struct raft *r, struct raft_id id)
{
    if (raft_is_self(r, id))
        return INT64_MAX;
    const struct raft_peer *p = raft_member_look(r, id);
    return (uint64_t)p->acked_ns;
}

int64_t raft_read_lease_ns(const struct raft *r)
{
    if (r->role != RAFT_LEADER || r->cfg.promise_ns == 0 || r->commit < r->term_start)
        return 0;
    uint64_t since = raft_member_quorum(r, raft_read_acked);
    if (since >= INT64_MAX)
        return INT64_MAX; /* alone */
    if (since == 0 || ((int64_t)since < r->void_ns && !MUTANT(RAFT_LEASE_TRANSFER)))
        return 0;
    if (MUTANT(RAFT_LEASE_LONGER))
        return (int64_t)since + r->cfg.suspect_max_ns;
    if (MUTANT(RAFT_LEASE_DRIFT))
        return (int64_t)since + r->cfg.promise_ns;
    return (int64_t)since + r->cfg.promise_ns - r->cfg.promise_ns / 1000000 * r->cfg.drift_ppm;
}

int64_t raft_read_since_ns(const struct raft *r)
{
    return base_min_i64((int64_t)raft_member_quorum(r, raft_read_acked), r->now);
}

static uint64_t raft_read_answered(const struct raft *r, struct raft_id id)
{
    return raft_is_self(r, id) ? UINT64_MAX : raft_member_look(r, id)->read;
}

static void raft_read_done(struct raft *r, uint32_t i, int ret)
{
    const struct raft_pending_read *p = &r->reads[i];
    if (raft_is_self(r, p->from)) {
        ASSERT(r->fx->n_reads < RAFT_READS_MAX);
        r->fx->read[r->fx->n_reads++] =
            (struct raft_read){.name = p->name, .index = ret ? 0 : p->index, .ret = ret};
    } else {
        struct raft_message *m = raft_send(r, RAFT_MSG_READ_REPLY, p->from);
        m->read = p->name;
        m->index = ret ? 0 : p->index;
        m->commit = r->commit;
        m->reject = ret != 0;
    }
}

static void raft_read_round(struct raft *r)
{
    r->read_round++;
    for (uint32_t i = 0; i < r->n_peers; i++)
        r->peer[i].read_due = true;
}

static void raft_read_again(struct raft *r)
{
    for (uint32_t i = 0; i < r->n_reads && r->leader.v; i++) {
        struct raft_pending_read *p = &r->reads[i];
        if (r->now - p->asked_ns < 2 * r->cfg.heartbeat_ns || !raft_may_send(r))
            continue;
        p->asked_ns = r->now;
        raft_send(r, RAFT_MSG_READ, r->leader)->read = p->name;
    }
}

/* a leader's: those whose proof is there */
void raft_read_run(struct raft *r)
{
    if (r->role != RAFT_LEADER)
        raft_read_again(r);
    if (r->role != RAFT_LEADER || r->n_reads == 0 ||
        (r->commit < r->term_start && !MUTANT(RAFT_READ_EARLY)))
        return;
    uint64_t round = raft_member_quorum(r, raft_read_answered);
    bool lease = raft_lease_holds(r, r->now);
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n_reads; i++) {
        struct raft_pending_read *p = &r->reads[i];
        if (p->index == UINT64_MAX)
            p->index = r->commit;
        if ((p->round <= round || lease || MUTANT(RAFT_READ_UNPROVEN)) && raft_may_send(r))
            raft_read_done(r, i, 0);
        else
            r->reads[n++] = *p;
    }
    r->n_reads = n;
    if (n && r->reads[n - 1].round > r->read_round && !lease)
        raft_read_round(r); /* the lease lapsed before there was room to answer */
}

static void raft_read_begin(struct raft *r, uint64_t name, struct raft_id from)
{
    r->reads[r->n_reads++] = (struct raft_pending_read){
        .name = name,
        .round = r->read_round + 1,
        .index = r->commit < r->term_start && !MUTANT(RAFT_READ_EARLY) ? UINT64_MAX : r->commit,
        .from = from};
    if (r->commit < r->term_start)
        SOMETIMES(RAFT_READ_WAITS);
    if (!raft_lease_holds(r, r->now))
        raft_read_round(r);
}

int raft_read_ask(struct raft *r, uint64_t name)
{
    if (r->n_reads == RAFT_READS_MAX)
        return E_AGAIN;
    if (r->role == RAFT_LEADER) {
        raft_read_begin(r, name, r->cfg.self);
        return 0;
    }
    if (r->leader.v == 0 || r->installing)
        return E_NOT_LEADER;
    r->reads[r->n_reads++] =
        (struct raft_pending_read){.name = name, .from = r->cfg.self, .asked_ns = r->now};
    struct raft_message *m = raft_send(r, RAFT_MSG_READ, r->leader);
    m->read = name;
    return 0;
}

void raft_read_asked(struct raft *r, const struct raft_message *m)
{
    for (uint32_t i = 0; i < r->n_reads && r->role == RAFT_LEADER; i++)
        if (r->reads[i].name == m->read && raft_id_eq(r->reads[i].from, m->from))
            return; /* asked again */
    if (r->role == RAFT_LEADER && r->n_reads < RAFT_READS_MAX) {
        raft_read_begin(r, m->read, m->from);
        return;
    }
    struct raft_message *a = raft_send(r, RAFT_MSG_READ_REPLY, m->from);
    a->read = m->read;
    a->reject = true;
}

void raft_read_replied(struct raft *r, const struct raft_message *m)
{
    if (!raft_id_eq(m->from, r->leader) || r->role == RAFT_LEADER)
        return;
    for (uint32_t i = 0; i < r->n_reads; i++)
        if (r->reads[i].name == m->read) {
            r->reads[i].index = m->index;
            raft_read_done(r, i, m->reject ? E_NOT_LEADER : 0);
            r->reads[i] = r->reads[--r->n_reads];
            break;
        }
    if (!m->reject)
        raft_set_commit(r, base_min_u64(m->commit, r->verified));
}

void raft_read_drop(struct raft *r)
{
    for (uint32_t i = 0; i < r->n_reads; i++)
        if (raft_is_self(r, r->reads[i].from) && r->fx && !MUTANT(RAFT_READ_LOST))
            raft_read_done(r, i, E_NOT_LEADER); /* the others notice by the term */
    r->n_reads = 0;
}
