/* tests/unit/test_raft_swarm.h - what kind of hostile world a seed is, and what happens in it.
 *
 * A swarm finds more than one average mix: each seed draws its faults' rates, its timing and
 * perhaps a theme, a schedule of faults that belongs together and is played with random pieces
 * again and again.  Then peace comes, at least among a quorum, and something has to be committed.
 * Nothing here knows which known bug of core/mutant.h is on. */
#ifndef TESTS_UNIT_TEST_RAFT_SWARM_H
#define TESTS_UNIT_TEST_RAFT_SWARM_H

#include "tests/unit/test_raft_world.h"

enum swarm_act {
    SWARM_CRASH,
    SWARM_RESTART,
    SWARM_CUT,
    SWARM_HEAL,
    SWARM_PAUSE,
    SWARM_TRANSFER,
    SWARM_CHANGE,
    SWARM_HEALTH,
    SWARM_STAND,
    SWARM_BREAK,
    SWARM_SPEED,
    SWARM_LOSE,
    SWARM_RIVALS, /* the themes */
    SWARM_PARTIAL,
    SWARM_LEASE,
    SWARM_MEMBER,
    SWARM_SCHISM,
    SWARM_HEIR,
    SWARM_LOAD, /* proposals and reads: what is left of the hundred */
};

struct swarm {
    struct raft_config cfg;
    uint32_t chance[SWARM_LOAD];
    int64_t turn_ns;           /* between two acts, at most */
    int64_t delay_ns, disk_ns; /* the usual ones */
    uint32_t voters;
    bool lost; /* a disk, or a member for good */
};

static uint32_t swarm_pick(struct rw *w, uint32_t n)
{
    return (uint32_t)prng_below(&w->prng, n);
}

static int64_t swarm_trip(struct rw *w, const struct swarm *m, int64_t trips)
{
    return prng_range(&w->prng, 0, trips * (m->delay_ns + m->disk_ns));
}

static struct swarm swarm_draw(struct prng *p)
{
    struct swarm m = {.cfg = rw_config(), .turn_ns = 400 * MS};
    static const uint8_t voters[] = {1, 2, 3, 3, 3, 4, 5, 5};
    static const uint32_t drift[] = {1000, 1000, 50000, 200000}, batch[] = {1, 8, 16, 64, 64};
    m.voters = voters[prng_below(p, ARRAY_LEN(voters))];
    for (uint32_t i = 0; i < SWARM_RIVALS; i++)
        m.chance[i] = prng_below(p, 3) ? (uint32_t)prng_below(p, 8) : 0;
    uint32_t theme = SWARM_RIVALS + (uint32_t)prng_below(p, 8);
    if (theme == SWARM_SCHISM || (theme == SWARM_MEMBER && prng_below(p, 2)))
        m.voters = 4;
    if (theme < SWARM_LOAD) { /* it, and little else */
        for (uint32_t i = 0; i < SWARM_RIVALS; i++)
            m.chance[i] = prng_below(p, 4) ? 0 : m.chance[i] / 2;
        m.chance[theme] = (uint32_t)prng_range(p, 20, 60);
    }
    m.chance[SWARM_RESTART] += m.chance[SWARM_CRASH] + 1;
    m.chance[SWARM_HEAL] += m.chance[SWARM_CUT] / 2 + 1;
    m.cfg.drift_ppm = drift[prng_below(p, ARRAY_LEN(drift))];
    m.cfg.batch_bytes = batch[prng_below(p, theme == SWARM_PARTIAL ? 3 : ARRAY_LEN(batch))];
    if (prng_below(p, theme < SWARM_LOAD ? 4 : 2)) { /* elections all the time */
        m.turn_ns = prng_range(p, 5, 100) * MS;
        m.cfg.suspect_min_ns = prng_range(p, 40, 200) * MS;
        m.cfg.suspect_max_ns = m.cfg.suspect_min_ns * 2;
        m.cfg.round_min_ns =
            prng_range(p, 20, theme != SWARM_RIVALS && prng_below(p, 3) ? 100 : 800) * MS;
        m.cfg.round_max_ns = m.cfg.round_min_ns * 2;
        m.cfg.heartbeat_ns = m.cfg.suspect_min_ns / 4;
        m.cfg.promise_ns = prng_below(p, 2) ? m.cfg.suspect_min_ns : 0;
        m.cfg.no_pre_vote = prng_below(p, 3) == 0;
        if (m.cfg.no_pre_vote) /* a removed member would disturb for ever: that is what it is for */
            m.chance[SWARM_CHANGE] = m.chance[SWARM_MEMBER] = m.chance[SWARM_SCHISM] = 0;
    } else if (prng_below(p, 2)) {
        m.cfg.promise_ns = m.cfg.suspect_min_ns;
    }
    if (theme == SWARM_LEASE)
        m.cfg.promise_ns = prng_below(p, 2) ? m.cfg.suspect_min_ns : 150 * MS;
    else if (theme < SWARM_LOAD && prng_below(p, 4)) /* nobody keeps still for its sake */
        m.cfg.promise_ns = 0;
    if (m.cfg.promise_ns > m.cfg.suspect_min_ns)
        m.cfg.promise_ns = m.cfg.suspect_min_ns;
    m.delay_ns = prng_range(p, MS / 10, prng_below(p, 2) ? 2 * MS : 30 * MS);
    m.disk_ns = prng_range(p, MS / 10, prng_below(p, 3) ? 10 * MS : 200 * MS);
    return m;
}

/* --- acts --- */

static struct rw_node *swarm_node(struct rw *w)
{
    return &w->node[1 + swarm_pick(w, w->n)];
}

static void swarm_cut(struct rw *w, struct rw_node *n, uint32_t one_in)
{
    for (uint32_t k = 1; k <= w->n; k++) {
        bool cut = swarm_pick(w, one_in) == 0;
        w->link[n->id.v][k].cut = cut;
        w->link[k][n->id.v].cut = swarm_pick(w, 4) ? cut : swarm_pick(w, 2);
    }
}

static void swarm_heal(struct rw *w)
{
    for (uint32_t k = 1; k <= w->n; k++)
        for (uint32_t m = 1; m <= w->n; m++) {
            if (w->link[k][m].cut)
                w->link[k][m].told_at = w->now + 1;
            w->link[k][m].cut = false;
        }
}

static void swarm_restart(struct rw *w, uint32_t one_in)
{
    for (uint32_t k = 1; k <= w->n; k++)
        if (!w->node[k].raft && swarm_pick(w, one_in) == 0)
            rw_start(w, &w->node[k]);
}

static void swarm_stand(struct rw *w, struct rw_node *n)
{
    if (n->raft)
        rw_event(w, n, RAFT_CAMPAIGN);
}

static void swarm_change(struct rw *w, struct rw_node *l, const struct raft_conf *c)
{
    for (uint32_t i = 0; i < c->n; i++) { /* whoever is wanted is switched on */
        struct rw_node *n = &w->node[c->member[i].id.v];
        if (n->off) {
            n->off = false;
            rw_start(w, n);
        }
    }
    struct raft_event ev = {.type = RAFT_CHANGE, .u.conf = c};
    rw_step(w, l, &ev);
    w->changes += w->fx.ret == 0;
}

/* a new set of members */
static void swarm_members(struct rw *w, struct rw_node *l)
{
    struct raft_conf c = {0};
    for (uint32_t k = 1; k <= w->n; k++)
        if (swarm_pick(w, 3))
            c.member[c.n++] =
                (struct raft_member){.id = {k},
                                     .flags = swarm_pick(w, 4) ? RAFT_VOTER : RAFT_LEARNER,
                                     .priority = (uint8_t)swarm_pick(w, 3)};
    swarm_change(w, l, &c);
}

/* one comes, goes or changes its rank */
static void swarm_member(struct rw *w, struct rw_node *l, uint32_t k)
{
    const struct raft_conf *have = raft_conf(l->raft);
    struct raft_conf c = {0};
    for (uint32_t i = 1; i <= w->n; i++) {
        const struct raft_member fresh = {.id = {i}, .priority = 1}, *m = NULL;
        for (uint32_t j = 0; j < have->n; j++)
            if (have->member[j].id.v == i)
                m = &have->member[j];
        bool voter = m && (m->flags & RAFT_VOTER);
        if (i == k)
            m = m && swarm_pick(w, 2) ? NULL : &fresh;
        if (!m)
            continue;
        c.member[c.n] = *m;
        c.member[c.n++].flags = voter != (i == k) ? RAFT_VOTER : RAFT_LEARNER;
    }
    swarm_change(w, l, &c);
}

/* one of those who began, and who are voters for ever, may be lost */
static bool swarm_may_lose(const struct swarm *m)
{
    return !m->lost && m->voters >= 3 && !m->chance[SWARM_CHANGE] && !m->chance[SWARM_MEMBER] &&
           !m->chance[SWARM_SCHISM];
}

static void swarm_lose(struct rw *w, struct swarm *m)
{
    struct rw_node *n = &w->node[1 + swarm_pick(w, m->voters)];
    if (!swarm_may_lose(m))
        return;
    m->lost = true;
    if (n->raft)
        rw_crash(w, n);
    memset(&n->disk, 0, sizeof n->disk);
    n->meta = (struct raft_meta){0};
    n->image = (struct rw_image){0};
    n->lost = true;
    n->gone = !MUTANT(RAFT_WIPED);
    rw_start(w, n);
}

static void swarm_speed(struct rw *w, const struct swarm *m)
{
    static const int32_t percent[] = {5, 30, 100, 100, 100, 300, 1000};
    for (uint32_t i = 1; i <= w->n; i++) {
        w->node[i].disk_ns = m->disk_ns * percent[swarm_pick(w, ARRAY_LEN(percent))] / 100;
        for (uint32_t k = 1; k <= w->n; k++)
            w->link[i][k].delay_ns = m->delay_ns * percent[swarm_pick(w, ARRAY_LEN(percent))] / 100;
    }
}

/* until something is committed, or another than l leads; some trips at most */
static void swarm_watch(struct rw *w, const struct swarm *m, const struct rw_node *l)
{
    uint64_t before = w->n_committed;
    for (int i = 0; i < 32 && !w->broken; i++) {
        rw_run(w, w->now + (m->delay_ns + m->disk_ns) / 8);
        const struct rw_node *n = rw_leader(w);
        if (w->n_committed != before || (n && n != l))
            return;
    }
}

/* Others would like to lead in place of l, one after the other, until one does. */
static void swarm_usurp(struct rw *w, const struct swarm *m, const struct rw_node *l)
{
    for (uint32_t k = swarm_pick(w, 12); k && !w->broken; k--) {
        struct rw_node *n = swarm_node(w);
        if (n != l)
            swarm_stand(w, n);
        swarm_watch(w, m, l);
        n = rw_leader(w);
        if (n && n != l)
            return;
    }
}

/* two stand at once, and a voter crashes and comes back in the middle of it */
static void swarm_rivals(struct rw *w, const struct swarm *m)
{
    struct rw_node *n = swarm_node(w);
    if (swarm_pick(w, 3) == 0)
        swarm_speed(w, m);
    if (swarm_pick(w, 3) == 0)
        swarm_cut(w, swarm_node(w), 2);
    for (uint32_t k = 2 + swarm_pick(w, 2); k; k--) {
        swarm_stand(w, swarm_node(w));
        if (swarm_pick(w, 2))
            rw_run(w, w->now + swarm_trip(w, m, 1));
    }
    if (swarm_pick(w, 4))
        rw_run(w, w->now + swarm_trip(w, m, 2));
    else
        rw_run(w, w->now + prng_range(&w->prng, 0, 2 * m->cfg.suspect_max_ns));
    if (swarm_pick(w, 2))
        swarm_heal(w);
    if (w->broken || swarm_pick(w, 4) == 0)
        return;
    if (n->raft)
        rw_crash(w, n);
    if (swarm_pick(w, 4))
        rw_start(w, n);
}

/* Two want to lead the same term, and one of them is slow.  Meanwhile who voted crashes, or the
 * winner loses touch for so long that it steps down. */
static void swarm_duel(struct rw *w, const struct swarm *m)
{
    struct rw_node *v = swarm_node(w), *a = swarm_node(w), *b = swarm_node(w);
    b->disk_ns = swarm_pick(w, 3) ? m->disk_ns * prng_range(&w->prng, 1, 30)
                                  : m->disk_ns + prng_range(&w->prng, 0, 2 * m->cfg.suspect_max_ns);
    if (swarm_pick(w, 4)) /* they do not hear of each other */
        w->link[a->id.v][b->id.v].cut = w->link[b->id.v][a->id.v].cut = true;
    swarm_stand(w, b);
    if (swarm_pick(w, 2))
        rw_run(w, w->now + swarm_trip(w, m, 1));
    swarm_stand(w, a);
    rw_run(w, w->now + swarm_trip(w, m, 6));
    if (w->broken)
        return;
    if (swarm_pick(w, 2))
        swarm_cut(w, a, 1 + swarm_pick(w, 2));
    w->link[b->id.v][v->id.v].cut = w->link[v->id.v][b->id.v].cut = false;
    if (swarm_pick(w, 3) == 0) {
        rw_run(w, w->now + prng_range(&w->prng, 0, 2 * m->cfg.suspect_max_ns));
        if (swarm_pick(w, 2))
            swarm_heal(w);
    } else if (v->raft) {
        rw_crash(w, v);
        rw_start(w, v);
    }
    rw_run(w, w->now + prng_range(&w->prng, 0, 2 * m->cfg.suspect_max_ns));
    b->disk_ns = m->disk_ns;
    swarm_heal(w);
}

/* leaders that are gone before what they took has got round (Fig. 8) */
static void swarm_partial(struct rw *w, const struct swarm *m, struct rw_node *l)
{
    if (l) {
        swarm_cut(w, l, 2);
        rw_propose(w, l, 1 + swarm_pick(w, 3));
        if (swarm_pick(w, 2))
            rw_run(w, w->now + swarm_trip(w, m, 3));
        else /* as soon as it has committed anything */
            swarm_watch(w, m, l);
        if (w->broken)
            return;
        if (l->raft && swarm_pick(w, 4))
            rw_crash(w, l);
    }
    swarm_restart(w, 2);
    if (swarm_pick(w, 2))
        swarm_heal(w);
    swarm_usurp(w, m, l);
}

/* The lease shall rest on few: the others have not heard of l for a while, but of each other. */
static void swarm_lease_rest(struct rw *w, const struct swarm *m, struct rw_node *l)
{
    for (uint32_t k = 1, left = (w->n - 1) / 2; k <= w->n && left; k++)
        if (k != l->id.v && swarm_pick(w, 2)) {
            w->link[l->id.v][k].cut = w->link[k][l->id.v].cut = true;
            left--;
        }
    rw_run(w, w->now + prng_range(&w->prng, m->cfg.promise_ns, 3 * m->cfg.promise_ns));
}

/* It calls a successor, whose disk takes longer for the vote than the call holds, and does not hear
 * of him: so it gives him up and has a lease again when he asks for votes. */
static void swarm_called_late(struct rw *w, const struct swarm *m, struct rw_node *l)
{
    struct rw_node *v = swarm_node(w);
    struct raft_event ev = {.type = RAFT_TRANSFER, .u.id = v->id};
    if (v == l || !v->raft || !l->raft)
        return;
    v->disk_ns = m->cfg.suspect_min_ns + prng_range(&w->prng, 0, m->cfg.suspect_min_ns);
    rw_step(w, l, &ev);
    rw_run(w, w->now + swarm_trip(w, m, 2));
    v->disk_ns = m->disk_ns;
    w->link[l->id.v][v->id.v].cut = w->link[v->id.v][l->id.v].cut = true;
    int64_t until = w->now + 3 * m->cfg.suspect_min_ns;
    while (w->now < until && !w->broken) {
        rw_run(w, w->now + prng_range(&w->prng, 0, m->cfg.promise_ns / 5));
        if (v->raft)
            rw_propose(w, v, 1);
        if (l->raft && !w->broken)
            rw_read(w, l);
    }
    swarm_heal(w);
}

/* a leader that may have a lease is cut off, and others would like to lead at once */
static void swarm_lease(struct rw *w, const struct swarm *m, struct rw_node *l)
{
    struct rw_node *v = swarm_node(w);
    if (swarm_pick(w, 2))
        swarm_lease_rest(w, m, l);
    if (swarm_pick(w, 2) && l->raft)
        rw_propose(w, l, 1);
    rw_run(w, w->now + swarm_trip(w, m, 3));
    if (w->broken || !l->raft)
        return;
    switch (swarm_pick(w, 6)) {
    case 0: /* a voter forgets */
        if (v->raft && v != l) {
            rw_crash(w, v);
            rw_start(w, v);
        }
        break;
    case 1: { /* it calls a successor */
        if (swarm_pick(w, 2)) {
            swarm_called_late(w, m, l);
            return;
        }
        struct raft_event ev = {.type = RAFT_TRANSFER, .u.id = v->id};
        rw_step(w, l, &ev);
        rw_run(w, w->now + swarm_trip(w, m, 1));
        break;
    }
    case 2: /* it was away, and is back while another asks to lead */
        rw_pause(w, l, m->cfg.promise_ns + swarm_trip(w, m, 1));
        rw_run(w, w->now + m->cfg.promise_ns);
        for (int k = 0; k < 4; k++) {
            swarm_stand(w, swarm_node(w));
            rw_run(w, w->now + swarm_trip(w, m, 2));
            if (swarm_pick(w, 3) == 0)
                swarm_speed(w, m);
        }
        rw_run(w, l->paused_until + swarm_trip(w, m, 6));
        break;
    case 3: /* it sleeps, and knows nothing of the time that goes by */
        rw_pause(w, l, m->cfg.promise_ns * 2);
        break;
    }
    for (uint32_t k = 1; k <= w->n && !w->broken; k++) {
        w->link[l->id.v][k].cut = true;
        w->link[k][l->id.v].cut = swarm_pick(w, 4) != 0;
    }
    int64_t until = w->now + m->cfg.promise_ns * 3 / 2;
    while (w->now < until && !w->broken && l->raft) {
        struct rw_node *n = swarm_node(w), *x = rw_leader(w);
        if (n != l && swarm_pick(w, 3) == 0)
            swarm_stand(w, n);
        rw_run(w, w->now + prng_range(&w->prng, 0, m->cfg.promise_ns / 20));
        if (x && x != l && x->raft)
            rw_propose(w, x, 1);
        if (l->raft)
            rw_read(w, l);
    }
    if (swarm_pick(w, 3))
        swarm_heal(w);
}

/* a change of members, and its leader is gone or cut off before it is done */
static void swarm_changes(struct rw *w, const struct swarm *m, struct rw_node *l)
{
    if (swarm_pick(w, 2))
        swarm_cut(w, l, 2);
    if (swarm_pick(w, 3))
        swarm_member(w, l, 1 + swarm_pick(w, w->n));
    else
        swarm_members(w, l);
    rw_run(w, w->now + swarm_trip(w, m, swarm_pick(w, 3) ? 3 : 20));
    if (w->broken)
        return;
    switch (swarm_pick(w, 5)) {
    case 0:
        if (l->raft)
            rw_crash(w, l);
        break;
    case 1:
    case 2:
        swarm_cut(w, l, 1);
        break;
    }
    swarm_usurp(w, m, l);
    struct rw_node *x = rw_leader(w);
    if (x && swarm_pick(w, 2)) { /* the next one begins another at once */
        if (swarm_pick(w, 2))
            swarm_cut(w, x, 2);
        swarm_member(w, x, 1 + swarm_pick(w, w->n));
        rw_run(w, w->now + swarm_trip(w, m, 4));
    }
    if (w->broken || swarm_pick(w, 3) == 0)
        return;
    swarm_heal(w);
    swarm_restart(w, 1);
    if (swarm_pick(w, 2)) { /* and the first one is called back */
        rw_run(w, w->now + swarm_trip(w, m, 6));
        swarm_stand(w, l);
        rw_run(w, w->now + swarm_trip(w, m, 8));
        if (swarm_pick(w, 2) && !w->broken)
            swarm_cut(w, l, 1 + swarm_pick(w, 2));
        if (l->raft && !w->broken)
            rw_propose(w, l, 1);
        swarm_usurp(w, m, l);
        x = rw_leader(w);
        if (x && !w->broken)
            rw_propose(w, x, 1);
    }
}

/* Between n and each other, one way or the other: is there a connection? */
static void swarm_touch(struct rw *w, const struct rw_node *n, bool cut, uint32_t one_in)
{
    for (uint32_t k = 1; k <= w->n; k++)
        if (k != n->id.v && swarm_pick(w, one_in) == 0)
            w->link[n->id.v][k].cut = w->link[k][n->id.v].cut = cut;
}

/* As in the beginning: all are there, and those vote who did.  false: it is so already. */
static bool swarm_reunite(struct rw *w, const struct swarm *m, struct rw_node *l)
{
    struct raft_conf c = {0};
    uint32_t voters = 0;
    const struct raft_conf *have = raft_conf(l->raft);
    for (uint32_t i = 0; i < have->n; i++)
        voters += have->member[i].flags == RAFT_VOTER;
    if (voters == m->voters)
        return false;
    swarm_heal(w);
    swarm_restart(w, 1);
    for (uint32_t k = 1; k <= m->voters; k++)
        c.member[c.n++] =
            (struct raft_member){.id = {k}, .flags = RAFT_VOTER, .priority = (uint8_t)(k % 2)};
    swarm_change(w, l, &c);
    rw_run(w, w->now + swarm_trip(w, m, 40));
    return true;
}

/* Two leaders, one after the other, each of whom changes the members as soon as it can and reaches
 * some only; then the first one comes back to those whom the second did not reach. */
static void swarm_schism(struct rw *w, const struct swarm *m, struct rw_node *l)
{
    if (swarm_reunite(w, m, l))
        return;
    swarm_touch(w, l, true, 1 + swarm_pick(w, 2));
    swarm_member(w, l, 1 + swarm_pick(w, m->voters));
    rw_run(w, w->now + swarm_trip(w, m, 2));
    swarm_usurp(w, m, l);
    struct rw_node *x = rw_leader(w);
    if (!x || x == l || w->broken)
        return;
    swarm_touch(w, x, true, 2);
    swarm_member(w, x, 1 + swarm_pick(w, m->voters));
    swarm_watch(w, m, x);
    if (swarm_pick(w, 2))
        rw_run(w, w->now + swarm_trip(w, m, 2));
    if (w->broken)
        return;
    swarm_touch(w, x, true, 1); /* now that one is alone, or nearly so, and l is not */
    if (swarm_pick(w, 2))
        swarm_touch(w, swarm_node(w), true, 1);
    swarm_touch(w, l, false, 1);
    w->link[x->id.v][l->id.v].cut = w->link[l->id.v][x->id.v].cut = true;
    swarm_restart(w, 2);
    for (int k = 0; k < 3 && !w->broken; k++) {
        swarm_stand(w, l);
        swarm_watch(w, m, x);
        if (l->raft && !w->broken && rw_leader(w) == l) {
            rw_propose(w, l, 1);
            swarm_watch(w, m, l);
        }
    }
    if (swarm_pick(w, 2))
        swarm_heal(w);
}

/* Somebody was away for so long that it needs an image; while that comes to it, its leader is gone,
 * perhaps for good, and another one goes on. */
static void swarm_heir(struct rw *w, struct swarm *m, struct rw_node *l)
{
    struct rw_node *f = swarm_node(w);
    if (f == l)
        return;
    swarm_touch(w, f, true, 1);
    for (uint32_t k = 1 + swarm_pick(w, 8); k && !w->broken && l->raft; k--) {
        rw_propose(w, l, 8);
        rw_run(w, w->now + swarm_trip(w, m, 3));
    }
    swarm_touch(w, f, false, 1);
    for (int k = 0; k < 64 && !w->broken && f->raft && !f->coming.index; k++)
        rw_run(w, w->now + 1 + (m->delay_ns + m->disk_ns) / 8);
    if (w->broken || !f->raft || !f->coming.index)
        return;
    struct rw_node *from = &w->node[f->coming_from.v];
    switch (swarm_pick(w, 4)) {
    case 0:
    case 1:
        if (!swarm_may_lose(m) || from->id.v > m->voters)
            break;
        m->lost = true;
        if (from->raft)
            rw_crash(w, from);
        from->gone = true;
        break;
    case 2:
        if (from->raft)
            rw_crash(w, from);
        break;
    case 3:
        swarm_touch(w, from, true, 1);
        break;
    }
    rw_run(w, w->now + swarm_trip(w, m, 2));
    swarm_usurp(w, m, from);
}

/* Whoever was removed is taken away, as an operator does once it is committed. */
static void swarm_remove(struct rw *w)
{
    struct rw_node *l = rw_leader(w);
    struct raft_status s;
    if (!l || !w->remove_for_good)
        return;
    raft_status(l->raft, &s);
    struct raft_conf c = *raft_conf(l->raft);
    if (s.joint || s.conf_index > s.commit || s.commit < s.term_start || s.commit < w->n_committed)
        return; /* or it led once, and what it says holds no more */
    for (uint32_t i = 1; i <= w->n; i++) {
        bool member = false;
        for (uint32_t k = 0; k < c.n; k++)
            member |= c.member[k].id.v == i;
        if (member || w->node[i].off)
            continue;
        if (w->node[i].raft)
            rw_crash(w, &w->node[i]);
        w->node[i].off = true;
    }
}

static void swarm_load(struct rw *w, struct rw_node *n, struct rw_node *l)
{
    if (l)
        rw_propose(w, l, 1 + swarm_pick(w, 8));
    if (n->raft)
        rw_read(w, n);
}

static void swarm_act(struct rw *w, struct swarm *m)
{
    struct rw_node *n = swarm_node(w), *l = rw_leader(w);
    if (l && swarm_pick(w, 3) == 0)
        n = l;
    uint32_t dice = swarm_pick(w, 100), act = 0;
    for (; act < SWARM_LOAD && dice >= m->chance[act]; act++)
        dice -= m->chance[act];
    struct raft_event ev;
    switch ((enum swarm_act)act) {
    case SWARM_CRASH:
        if (n->raft)
            rw_crash(w, n);
        return;
    case SWARM_RESTART:
        swarm_restart(w, 1);
        return;
    case SWARM_CUT: /* perhaps one-way */
        swarm_cut(w, n, 2);
        return;
    case SWARM_HEAL:
        swarm_heal(w);
        return;
    case SWARM_PAUSE:
        rw_pause(w, n, prng_range(&w->prng, 0, 4 * m->cfg.suspect_max_ns));
        return;
    case SWARM_TRANSFER:
        if (!l)
            return;
        ev = (struct raft_event){.type = RAFT_TRANSFER, .u.id = {swarm_pick(w, w->n + 1)}};
        rw_step(w, l, &ev);
        w->transfers += w->fx.ret == 0;
        return;
    case SWARM_CHANGE:
        if (l)
            swarm_members(w, l);
        return;
    case SWARM_HEALTH:
        ev = (struct raft_event){.type = RAFT_HEALTH, .u.fit = swarm_pick(w, 2)};
        if (n->raft)
            rw_step(w, n, &ev);
        return;
    case SWARM_STAND:
        swarm_stand(w, n);
        return;
    case SWARM_BREAK:
        rw_break(w, n->id.v, 1 + swarm_pick(w, w->n));
        return;
    case SWARM_SPEED:
        swarm_speed(w, m);
        return;
    case SWARM_LOSE:
        swarm_lose(w, m);
        return;
    case SWARM_RIVALS:
        if (swarm_pick(w, 2))
            swarm_rivals(w, m);
        else
            swarm_duel(w, m);
        return;
    case SWARM_PARTIAL:
        swarm_partial(w, m, l);
        return;
    case SWARM_LEASE:
        if (l)
            swarm_lease(w, m, l);
        else
            swarm_restart(w, 1);
        return;
    case SWARM_MEMBER:
        if (l)
            swarm_changes(w, m, l);
        else
            swarm_restart(w, 1);
        return;
    case SWARM_SCHISM:
        if (l)
            swarm_schism(w, m, l);
        else
            swarm_restart(w, 1);
        return;
    case SWARM_HEIR:
        if (l)
            swarm_heir(w, m, l);
        else
            swarm_restart(w, 1);
        return;
    case SWARM_LOAD:
        swarm_load(w, n, l);
        return;
    }
}

/* --- peace --- */

/* Everything is well again; or only among a quorum of the voters, and whatever is between them and
 * the others stays as it is.  true: everything. */
static bool swarm_peace(struct rw *w, const struct swarm *m)
{
    w->loss_ppm = w->late_ppm = w->unread_ppm = 0;
    bool all = m->chance[SWARM_CHANGE] || m->chance[SWARM_MEMBER] || m->chance[SWARM_SCHISM] ||
               m->cfg.no_pre_vote || m->cfg.promise_ns == 0 || swarm_pick(w, 2);
    bool core[RW_NODES + 1] = {false};
    for (uint32_t need = m->voters / 2 + 1; need;) {
        uint32_t i = 1 + swarm_pick(w, m->voters);
        if (core[i] || w->node[i].gone)
            continue;
        core[i] = true;
        need--;
    }
    for (uint32_t k = 1; k <= w->n; k++) {
        struct rw_node *n = &w->node[k];
        for (uint32_t j = 1; j <= w->n; j++) {
            struct rw_link *l = &w->link[k][j];
            l->delay_ns = MS; /* short beside any timeout, as Raft requires */
            l->cut = !all && !(core[k] && core[j]) && swarm_pick(w, 2);
            l->told_at = w->now + 1;
        }
        n->paused_until = 0;
        n->disk_ns = MS;
        if (!n->raft && (all || core[k] || swarm_pick(w, 2)))
            rw_start(w, n);
        struct raft_event ev = {.type = RAFT_HEALTH, .u.fit = true};
        if (n->raft)
            rw_step(w, n, &ev);
    }
    return all;
}

/* something new is committed soon, and nobody waits for ever */
static void swarm_progress(struct rw *w, bool all)
{
    struct rw_node *l = NULL;
    rw_run(w, w->now + 10000 * MS);
    uint64_t before = w->n_committed;
    for (int i = 0; i < 10 && !w->broken; i++) {
        l = rw_leader(w);
        if (l && w->n_committed == before)
            rw_propose(w, l, 1);
        rw_run(w, w->now + 2000 * MS);
        if (l && w->n_committed > before && !rw_is_joint(l))
            break;
    }
    rw_check(w, l != NULL, "no leader after the faults");
    rw_check(w, w->n_committed > before, "no progress after the faults");
    rw_check(w, !l || !rw_is_joint(l), "joint consensus without an end");
    for (uint32_t i = 1; i <= w->n && all; i++)
        rw_check(w, !w->node[i].raft || !w->node[i].read_name, "a read without an end");
}

static const char *swarm_soak(struct rw *w, uint64_t seed)
{
    struct prng p;
    prng_seed(&p, seed, "swarm", 0);
    struct swarm m = swarm_draw(&p);
    rw_open(w, seed, m.voters + 2, m.voters, &m.cfg);
    w->loss_ppm = prng_below(&p, 3) ? (uint32_t)prng_below(&p, 20000) : 0;
    w->late_ppm = prng_below(&p, 2) ? (uint32_t)prng_below(&p, 100000) : 0;
    w->unread_ppm = prng_below(&p, 2) ? 50000 : 0;
    w->install_ns = prng_range(&p, 1, prng_below(&p, 2) ? 10 * MS : 1000 * MS);
    w->image_every =
        prng_below(&p, 2) ? (uint64_t)prng_range(&p, 2, prng_below(&p, 2) ? 10 : 100) : 0;
    if (m.chance[SWARM_HEIR] && !w->image_every)
        w->image_every = (uint64_t)prng_range(&p, 2, 10);
    w->remove_for_good = prng_below(&p, 2);
    w->images_aligned = prng_below(&p, 2);
    int64_t skew = m.cfg.drift_ppm * 2 / 5;
    for (uint32_t i = 1; i <= w->n; i++) {
        w->node[i].skew_ppm = prng_below(&p, 2)   ? prng_range(&p, -skew, skew)
                              : prng_below(&p, 2) ? skew
                                                  : -skew;
        w->node[i].disk_ns = m.disk_ns;
        for (uint32_t k = 1; k <= w->n; k++)
            w->link[i][k].delay_ns = m.delay_ns;
    }
    if (prng_below(&p, 3) == 0)
        swarm_speed(w, &m);
    for (int i = 0; i < 400 && !w->broken; i++) {
        swarm_act(w, &m);
        if (w->n_committed > RW_LOG / 2 || w->n_seen > RW_SEEN / 4 ||
            (!w->image_every && (w->n_committed > 1500 || w->leaders > 500)))
            break;
        rw_run(w, w->now + prng_range(&w->prng, 0, m.turn_ns));
        if (!w->broken)
            swarm_remove(w);
    }
    if (!w->broken)
        swarm_progress(w, swarm_peace(w, &m));
    const char *why = w->broken;
    if (why && w->trace)
        rw_print(w);
    rw_close(w);
    return why;
}

/* --- damage --- */

/* The end of its log is gone, and nothing says how long that was: of one at a time, so that the
 * others need not wait for what only it has. */
static void swarm_rot(struct rw *w, struct rw_node *n)
{
    for (uint32_t i = 1; i <= w->n; i++)
        if (w->node[i].floor_term)
            return;
    if (n->raft)
        rw_crash(w, n);
    n->disk.last -= prng_below(&w->prng, n->disk.last - n->disk.base + 1);
    n->floor = UINT64_MAX;
    n->floor_term = n->meta.term;
    w->rots += n->floor_term != 0;
    if (swarm_pick(w, 4))
        rw_start(w, n);
}

/* Some get what a leader takes, one of those is damaged, and the leader is gone, or cut off for so
 * long that it leads no more: who would lead then may lack what it was. */
static void swarm_rots(struct rw *w, const struct swarm *m, struct rw_node *l)
{
    struct rw_node *n = swarm_node(w);
    if (l) {
        swarm_cut(w, l, 2);
        rw_propose(w, l, 1 + swarm_pick(w, 3));
        swarm_watch(w, m, l);
    }
    if (w->broken)
        return;
    if (swarm_pick(w, 4))
        swarm_rot(w, n);
    if (l && l->raft && swarm_pick(w, 2))
        rw_crash(w, l);
    else
        rw_run(w, w->now + prng_range(&w->prng, 0, 2 * m->cfg.suspect_max_ns));
    if (swarm_pick(w, 4))
        swarm_heal(w);
    if (swarm_pick(w, 2))
        swarm_restart(w, 2);
    if (!w->broken)
        swarm_usurp(w, m, l);
    if (swarm_pick(w, 2))
        swarm_restart(w, 1);
    if (swarm_pick(w, 2))
        swarm_heal(w);
}

/* Few members, nothing but damage and what brings it to light. */
static const char *swarm_damage(struct rw *w, uint64_t seed)
{
    struct prng p;
    prng_seed(&p, seed, "damage", 0);
    struct swarm m = {.cfg = rw_config(), .turn_ns = prng_range(&p, 20, 300) * MS};
    m.voters = prng_below(&p, 3) ? 3 : 5;
    m.cfg.suspect_min_ns = prng_range(&p, 40, 200) * MS;
    m.cfg.suspect_max_ns = m.cfg.suspect_min_ns * 2;
    m.cfg.round_min_ns = prng_range(&p, 20, 100) * MS;
    m.cfg.round_max_ns = m.cfg.round_min_ns * 2;
    m.cfg.heartbeat_ns = m.cfg.suspect_min_ns / 4;
    m.cfg.promise_ns = prng_below(&p, 2) ? m.cfg.suspect_min_ns / 2 : 0;
    m.delay_ns = prng_range(&p, MS / 10, 5 * MS);
    m.disk_ns = prng_range(&p, MS / 10, 20 * MS);
    rw_open(w, seed, m.voters, m.voters, &m.cfg);
    for (int i = 0; i < 60 && !w->broken && w->n_committed < 1000; i++) {
        swarm_rots(w, &m, rw_leader(w));
        if (!w->broken)
            rw_run(w, w->now + prng_range(&w->prng, 0, m.turn_ns));
    }
    swarm_heal(w);
    swarm_restart(w, 1);
    if (!w->broken)
        swarm_progress(w, true);
    const char *why = w->broken;
    if (why && w->trace)
        rw_print(w);
    rw_close(w);
    return why;
}

/* A leader that is well and hears a quorum goes on leading, whatever becomes of one other at a
 * time.  Without pre-votes that is so only while the other sleeps: then it finds the leader's
 * messages when it wakes. */
static const char *swarm_calm(struct rw *w, uint64_t seed)
{
    struct prng p;
    prng_seed(&p, seed, "calm", 0);
    struct raft_config cfg = rw_config();
    cfg.no_pre_vote = prng_below(&p, 3) == 0;
    uint32_t voters = prng_below(&p, 2) ? 3 : 5;
    rw_open(w, seed, voters + 1, voters, &cfg);
    rw_run(w, 10000 * MS);
    struct rw_node *l = rw_leader(w);
    uint64_t leaders = w->leaders;
    rw_check(w, l != NULL, "no leader in a calm world");
    for (int i = 0; i < 60 && !w->broken; i++) {
        struct rw_node *n = swarm_node(w);
        if (n == l)
            continue;
        switch (cfg.no_pre_vote ? 0 : swarm_pick(w, 4)) {
        case 0:
            rw_pause(w, n, prng_range(&w->prng, 0, 8000 * MS));
            break;
        case 1:
            swarm_cut(w, n, 1 + swarm_pick(w, 2));
            break;
        case 2:
            rw_crash(w, n);
            break;
        case 3:
            swarm_stand(w, n);
            break;
        }
        rw_propose(w, l, 1);
        rw_run(w, w->now + prng_range(&w->prng, 0, 6000 * MS));
        swarm_heal(w);
        swarm_restart(w, 1);
        rw_run(w, (int64_t)base_max_u64((uint64_t)n->paused_until, (uint64_t)w->now) + 300 * MS);
        rw_check(w, w->leaders == leaders && rw_leader(w) == l,
                 "a leader that was well did not stay");
    }
    const char *why = w->broken;
    if (why && w->trace)
        rw_print(w);
    rw_close(w);
    return why;
}

#endif
