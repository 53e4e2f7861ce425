/* journal/raft_member.c - who belongs to the cluster, and what a majority of them is.
 *
 * A change of voters takes three steps, each a RAFT_CONF entry: learners are added as such and
 * catch up; then voters and old voters rule together (joint consensus); then the leader, whoever it
 * is by then, leaves the joint configuration by itself.
 *
 * INVARIANTS
 *  1. The configuration in effect is the last one in the log, committed or not; when its entry is
 *     cut, the one before is in effect again.
 *  2. A leader begins a configuration only when the last one is committed and an entry of its own
 *     term is (Ongaro's correction of 2015; joint consensus needs it as well here, since a leader
 *     leaves joint consensus without asking).
 *  3. So all but the last configuration of a log are committed.  Those kept reach back to the one
 *     that was in effect at `applied`, of which an image may be taken.
 *  4. Who gets a vote is known by its disk, where the host knows disks, and has caught up since it
 *     is: what another disk has answered for under its number counts for nothing.
 *  5. Everybody votes who is asked, whatever his own log says of his rank: the asker may know more.
 *     But who began empty in a group that was there (a guest) elects nobody before a configuration
 *     has come to him that names him by his disk.  By 4 he has none of the votes till then; if his
 *     number has one, another disk had it, and made promises of which he knows nothing. */
#include "core/sometimes.h"
#include "journal/raft_impl.h"

const struct raft_member *raft_member_find(const struct raft_conf *c, struct raft_id id)
{
    for (uint32_t i = 0; i < c->n; i++)
        if (raft_id_eq(c->member[i].id, id))
            return &c->member[i];
    return NULL;
}

bool raft_member_is_joint(const struct raft_conf *c)
{
    for (uint32_t i = 0; i < c->n; i++)
        if (c->member[i].flags & RAFT_OLD)
            return true;
    return false;
}

bool raft_member_votes(const struct raft_conf *c, struct raft_id id)
{
    const struct raft_member *m = raft_member_find(c, id);
    return m && (m->flags & (RAFT_VOTER | RAFT_OLD));
}

const struct raft_peer *raft_member_look(const struct raft *r, struct raft_id id)
{
    for (uint32_t i = 0; i < r->n_peers; i++)
        if (raft_id_eq(r->peer[i].id, id))
            return &r->peer[i];
    return NULL;
}

struct raft_peer *raft_member_peer(struct raft *r, struct raft_id id)
{
    return (struct raft_peer *)(uintptr_t)raft_member_look(r, id);
}

static uint64_t raft_member_half(const struct raft *r, uint8_t flag, raft_member_value value)
{
    const struct raft_conf *c = raft_member_conf(r);
    uint64_t v[RAFT_MEMBERS_MAX]; /* descending */
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        if (!(c->member[i].flags & flag))
            continue;
        uint64_t x = value(r, c->member[i].id);
        uint32_t at = n++;
        for (; at > 0 && v[at - 1] < x; at--)
            v[at] = v[at - 1];
        v[at] = x;
    }
    return n ? v[n / 2] : UINT64_MAX;
}

uint64_t raft_member_quorum(const struct raft *r, raft_member_value value)
{
    if (MUTANT(RAFT_JOINT_HALF))
        return raft_member_half(r, RAFT_VOTER, value);
    return base_min_u64(raft_member_half(r, RAFT_VOTER, value),
                        raft_member_half(r, RAFT_OLD, value));
}

/* --- which configuration is in effect --- */

/* what is known of members that stay is kept */
static void raft_member_peers(struct raft *r)
{
    const struct raft_conf *c = raft_member_conf(r);
    for (uint32_t i = 0; i < r->n_peers;) {
        if (raft_member_find(c, r->peer[i].id))
            i++;
        else
            r->peer[i] = r->peer[--r->n_peers];
    }
    for (uint32_t i = 0; i < c->n; i++) {
        struct raft_id id = c->member[i].id;
        if (raft_is_self(r, id) || raft_member_peer(r, id))
            continue;
        struct raft_peer *p = &r->peer[r->n_peers++];
        *p = (struct raft_peer){.id = id};
        raft_repl_reset(r, p);
    }
}

bool raft_member_has_room(const struct raft *r)
{
    return r->n_confs < RAFT_CONFS_MAX || r->conf_index[1] <= r->applied;
}

/* A disk that is written down may be another one than that which has answered so far.  Who votes
 * is known by it, or was from the beginning. */
static void raft_member_disks(struct raft *r, const struct raft_conf *c)
{
    const struct raft_conf *have = &r->conf[r->n_confs - 1];
    for (uint32_t i = 0; i < c->n; i++) {
        const struct raft_member *old = raft_member_find(have, c->member[i].id);
        struct raft_peer *p = raft_member_peer(r, c->member[i].id);
        if (p && old && old->disk != c->member[i].disk && !(old->flags & (RAFT_VOTER | RAFT_OLD)))
            raft_repl_reset(r, p);
    }
}

static void raft_member_known(struct raft *r, const struct raft_conf *c)
{
    const struct raft_member *m = r->is_guest ? raft_member_find(c, r->cfg.self) : NULL;
    if (m && m->disk == r->cfg.disk)
        r->is_guest = false;
}

void raft_member_push(struct raft *r, uint64_t index, const struct raft_conf *c)
{
    ASSERT(raft_member_has_room(r) && index > r->conf_index[r->n_confs - 1]);
    raft_member_disks(r, c);
    if (r->n_confs == RAFT_CONFS_MAX) {
        r->n_confs--;
        memmove(r->conf, r->conf + 1, r->n_confs * sizeof *r->conf);
        memmove(r->conf_index, r->conf_index + 1, r->n_confs * sizeof *r->conf_index);
    }
    r->conf[r->n_confs] = *c;
    r->conf_index[r->n_confs++] = index;
    raft_member_known(r, c);
    raft_member_peers(r);
}

void raft_member_cut(struct raft *r, uint64_t to)
{
    uint32_t n = r->n_confs;
    if (MUTANT(RAFT_CONF_KEPT) && r->n_confs < RAFT_CONFS_MAX) {
        for (uint32_t i = 0; i < n; i++)
            r->conf_index[i] = base_min_u64(r->conf_index[i], to);
        return;
    }
    while (r->n_confs > 1 && r->conf_index[r->n_confs - 1] > to)
        r->n_confs--;
    ASSERT(r->conf_index[r->n_confs - 1] <= to);
    if (r->n_confs != n) {
        SOMETIMES(RAFT_CONF_CUT);
        raft_member_peers(r);
    }
}

void raft_member_reset(struct raft *r, uint64_t index, const struct raft_conf *c)
{
    r->conf[0] = *c;
    r->conf_index[0] = index;
    r->n_confs = 1;
    raft_member_known(r, c);
    raft_member_peers(r);
}

/* --- changes --- */

static int raft_member_may_change(const struct raft *r)
{
    if (r->role != RAFT_LEADER)
        return E_NOT_LEADER;
    if ((r->commit < r->term_start && !MUTANT(RAFT_CHANGE_BEFORE_TERM)) ||
        (r->commit < r->conf_index[r->n_confs - 1] && !MUTANT(RAFT_CHANGE_ON_CHANGE)) ||
        r->transfer.v || raft_member_is_joint(raft_member_conf(r)) || !raft_member_has_room(r) ||
        !raft_trail_has_room(&r->trail, 1))
        return E_AGAIN;
    return 0;
}

static void raft_member_propose(struct raft *r, const struct raft_conf *c)
{
    struct raft_entry e = {.term = r->term, .type = RAFT_CONF, .len = 0};
    raft_elect_bind(r); /* from now on other answers count */
    raft_push(r, &e, c);
}

static bool raft_member_is_sound(const struct raft_conf *c)
{
    uint32_t voters = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        uint8_t f = c->member[i].flags;
        if (c->member[i].id.v == 0 || (i && c->member[i - 1].id.v >= c->member[i].id.v))
            return false;
        if (f != RAFT_VOTER && f != RAFT_LEARNER && f != (RAFT_LEARNER | RAFT_PROMOTE))
            return false;
        voters += f == RAFT_VOTER;
    }
    return voters > 0;
}

/* without those who are nothing any more */
static void raft_member_pack(struct raft_conf *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n; i++)
        if (c->member[i].flags)
            c->member[n++] = c->member[i];
    memset(c->member + n, 0, (c->n - n) * sizeof *c->member);
    c->n = n;
}

static bool raft_member_is_ready(const struct raft *r, const struct raft_member *m)
{
    const struct raft_peer *p = m ? raft_member_look(r, m->id) : NULL;
    return p && p->caught_up && (m->disk || !r->cfg.knows_disks);
}

/* Who becomes a voter first has to catch up as a learner; so a wanted configuration with voters
 * that were no member is begun with them as learners to be promoted. */
int raft_member_change(struct raft *r, const struct raft_conf *want)
{
    int ret = raft_member_may_change(r);
    if (ret)
        return ret;
    if (want->n > RAFT_MEMBERS_MAX || !raft_member_is_sound(want))
        return E_INVAL;
    const struct raft_conf *have = raft_member_conf(r);
    struct raft_conf c = *want;
    uint32_t differ = 0;
    for (uint32_t i = 0; i < c.n; i++) {
        struct raft_member *m = &c.member[i];
        const struct raft_member *old = raft_member_find(have, m->id);
        bool was = old && (old->flags & RAFT_VOTER);
        if (m->flags == RAFT_VOTER && !was && !raft_member_is_ready(r, old))
            m->flags = RAFT_LEARNER | RAFT_PROMOTE;
        differ += was != (m->flags == RAFT_VOTER);
        if (was)
            m->flags |= RAFT_OLD;
    }
    for (uint32_t i = 0; i < have->n; i++) { /* those who go have a say until it is done */
        const struct raft_member *old = &have->member[i];
        if (!(old->flags & RAFT_VOTER) || raft_member_find(&c, old->id))
            continue;
        if (c.n == RAFT_MEMBERS_MAX)
            return E_INVAL;
        uint32_t at = c.n++;
        for (; at > 0 && c.member[at - 1].id.v > old->id.v; at--)
            c.member[at] = c.member[at - 1];
        c.member[at] = *old;
        c.member[at].flags = RAFT_OLD;
        differ++;
    }
    bool voter = false, joint = differ > (MUTANT(RAFT_CHANGE_BEFORE_TERM) ? 1 : 0);
    for (uint32_t i = 0; i < c.n; i++) {
        voter |= (c.member[i].flags & RAFT_VOTER) != 0;
        if (!joint)
            c.member[i].flags &= (uint8_t)~RAFT_OLD;
    }
    if (!joint)
        raft_member_pack(&c);
    if (!voter) /* only newcomers: they have to become voters first */
        return E_INVAL;
    raft_member_propose(r, &c);
    return 0;
}

static void raft_member_leave_joint(struct raft *r)
{
    struct raft_conf c = *raft_member_conf(r);
    SOMETIMES(RAFT_JOINT);
    for (uint32_t i = 0; i < c.n; i++)
        c.member[i].flags &= (uint8_t)~RAFT_OLD;
    raft_member_pack(&c);
    raft_member_propose(r, &c);
}

static bool raft_member_may_promote(const struct raft *r)
{
    const struct raft_conf *c = raft_member_conf(r);
    for (uint32_t i = 0; i < c->n; i++)
        if (c->member[i].flags & RAFT_PROMOTE)
            return true;
    return false;
}

static void raft_member_promote(struct raft *r)
{
    if (!raft_member_may_promote(r)) /* each step of a leader comes by */
        return;
    struct raft_conf c = *raft_member_conf(r);
    bool any = false;
    for (uint32_t i = 0; i < c.n; i++) {
        if ((c.member[i].flags & RAFT_VOTER) && !MUTANT(RAFT_CHANGE_BEFORE_TERM))
            c.member[i].flags |= RAFT_OLD;
        else if ((c.member[i].flags & RAFT_PROMOTE) && raft_member_is_ready(r, &c.member[i])) {
            c.member[i].flags = RAFT_VOTER;
            any = true;
        }
    }
    if (any) {
        SOMETIMES(RAFT_PROMOTED);
        raft_member_propose(r, &c);
    }
}

void raft_member_run(struct raft *r)
{
    if (r->role != RAFT_LEADER || r->commit < r->term_start ||
        r->commit < r->conf_index[r->n_confs - 1])
        return;
    const struct raft_conf *c = raft_member_conf(r);
    if (raft_member_is_joint(c)) {
        if (raft_member_has_room(r) && raft_trail_has_room(&r->trail, 1) &&
            !(MUTANT(RAFT_JOINT_STAYS) && r->conf_index[r->n_confs - 1] < r->term_start))
            raft_member_leave_joint(r);
        return;
    }
    if (!raft_member_votes(c, r->cfg.self)) { /* the change that removes us is done */
        for (uint32_t i = 0; i < r->n_peers; i++)
            if (r->peer[i].told_commit < r->commit)
                r->peer[i].commit_due = true;
        if (!r->transfer.v)
            raft_elect_transfer(r, (struct raft_id){0});
        return;
    }
    if (raft_member_may_change(r) == 0)
        raft_member_promote(r);
}

/* Rounds of catching up (dissertation, 4.2.1): each ends when the learner has what the log held
 * when it began; one that took less than a suspicion says that it can follow. */
void raft_member_progress(struct raft *r, struct raft_peer *p)
{
    const struct raft_member *m = raft_member_find(raft_member_conf(r), p->id);
    if (!m || !(m->flags & RAFT_PROMOTE) || p->caught_up ||
        (p->rounds && p->match < p->round_target))
        return;
    if (p->rounds && r->now - p->round_ns < r->cfg.suspect_min_ns) {
        p->caught_up = true;
        return;
    }
    if (p->rounds < r->cfg.catch_up_rounds) /* status says so; the operator decides */
        p->rounds++;
    p->round_target = r->trail.last;
    p->round_ns = r->now;
}
