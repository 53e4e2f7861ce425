/* tests/unit/test_raft.c - the Raft core: first as one would explain it, then in a hostile world.
 */
#include "tests/unit/test_raft_world.h"

#include "core/mutant.h"
#include <setjmp.h>

static struct rw world;

#ifdef TARN_MUTANTS
static jmp_buf panicked;
static const char *panic_what;

static void jump(const char *file, int line, const char *what)
{
    (void)file;
    (void)line;
    panic_what = what;
    longjmp(panicked, 1);
}
#endif

static void test_three_elect_one(void)
{
    struct rw *w = &world;
    rw_open(w, 1, 3, 3, NULL);
    rw_run(w, 3000 * MS);
    CU_ASSERT_PTR_NOT_NULL(rw_leader(w));
    CU_ASSERT_EQUAL(w->leaders, 1);
    CU_ASSERT_EQUAL(w->n_committed, 1); /* the leader's first, empty entry */
    rw_run(w, 60000 * MS);
    CU_ASSERT_EQUAL(w->leaders, 1);
    CU_ASSERT_PTR_NULL(w->broken);
    rw_close(w);
}

static void test_proposals_commit_and_reads_see_them(void)
{
    struct rw *w = &world;
    rw_open(w, 2, 3, 3, NULL);
    rw_run(w, 3000 * MS);
    for (int i = 0; i < 500; i++) {
        rw_propose(w, rw_leader(w), 3);
        CU_ASSERT_EQUAL(w->fx.ret, 0);
        rw_run(w, w->now + 10 * MS);
        rw_read(w, &w->node[1 + i % 3]);
    }
    rw_run(w, w->now + 100 * MS);
    CU_ASSERT_EQUAL(w->n_committed, 1501);
    CU_ASSERT_EQUAL(w->reads_done, 500);
    CU_ASSERT_PTR_NULL(w->broken);
    rw_close(w);
}

/* a random cluster under random faults; then peace, and it has to go on */
/* what kind of world a seed is: a swarm finds more than one average mix */
struct mix {
    struct raft_config cfg;
    uint32_t crash, restart, part, heal, pause, transfer, change, health, storm,
        rush;        /* chances, of 100 */
    int64_t turn_ns; /* between two faults, at most */
};

static struct mix draw(struct prng *p)
{
    struct mix m = {.cfg = rw_config(), .turn_ns = 400 * MS};
    uint32_t *const chance[] = {&m.crash,    &m.restart, &m.part,   &m.heal,  &m.pause,
                                &m.transfer, &m.change,  &m.health, &m.storm, &m.rush};
    for (size_t i = 0; i < ARRAY_LEN(chance); i++)
        *chance[i] = prng_below(p, 3) ? (uint32_t)prng_below(p, 12) : 0;
    m.restart += m.crash;
    m.heal += m.part / 2 + 1;
    if (prng_below(p, 2)) { /* elections all the time */
        m.turn_ns = prng_range(p, 5, 100) * MS;
        m.cfg.suspect_min_ns = prng_range(p, 40, 200) * MS;
        m.cfg.suspect_max_ns = m.cfg.suspect_min_ns * 2;
        m.cfg.round_min_ns = prng_range(p, 20, 100) * MS;
        m.cfg.round_max_ns = m.cfg.round_min_ns * 2;
        m.cfg.heartbeat_ns = m.cfg.suspect_min_ns / 4;
        m.cfg.promise_ns = prng_below(p, 2) ? m.cfg.suspect_min_ns : 0;
        m.cfg.no_pre_vote = prng_below(p, 3) == 0;
        if (m.cfg.no_pre_vote) /* a removed member would disturb for ever: that is what it is for */
            m.change = 0;
    } else if (prng_below(p, 2)) {
        m.cfg.promise_ns = m.cfg.suspect_min_ns;
    }
    return m;
}

static const char *soak(uint64_t seed)
{
    struct rw *w = &world;
    struct prng swarm;
    prng_seed(&swarm, seed, "swarm", 0);
    struct mix mix = draw(&swarm);
    uint32_t voters = 1 + 2 * (uint32_t)(seed % 3);
    rw_open(w, seed, voters + 2, voters, &mix.cfg);
    struct prng *p = &w->prng;
    w->loss_ppm = prng_below(p, 3) ? (uint32_t)prng_below(p, 20000) : 0;
    w->delay_ns = prng_range(p, MS / 10, 30 * MS);
    w->disk_ns = prng_range(p, MS / 10, prng_below(p, 3) ? 20 * MS : 200 * MS);
    w->image_every = prng_below(p, 2) ? (uint64_t)prng_range(p, 5, 100) : 0;
    for (uint32_t i = 1; i <= w->n; i++)
        w->node[i].skew_ppm = prng_range(p, -400, 400);
    for (int i = 0; i < 400 && !w->broken; i++) {
        struct rw_node *n = &w->node[1 + prng_below(p, w->n)], *l = rw_leader(w);
        if (l && prng_below(p, 3) == 0)
            n = l;
        static const uint8_t what[] = {0, 1, 3, 4, 6, 7, 8, 9, 11, 12};
        const uint32_t chance[] = {mix.crash,    mix.restart, mix.part,   mix.heal,  mix.pause,
                                   mix.transfer, mix.change,  mix.health, mix.storm, mix.rush};
        uint64_t dice = prng_below(p, 100);
        uint32_t k0 = 0;
        for (; k0 < ARRAY_LEN(what) && dice >= chance[k0]; k0++)
            dice -= chance[k0];
        switch (k0 < ARRAY_LEN(what) ? what[k0] : 10) {
        case 0:
            if (n->raft)
                rw_crash(w, n);
            break;
        case 1:
            for (uint32_t k = 1; k <= w->n; k++)
                if (!w->node[k].raft)
                    rw_start(w, &w->node[k]);
            break;
        case 3: /* a partition, perhaps one-way */
            for (uint32_t k = 1; k <= w->n; k++) {
                bool cut = prng_below(p, 2);
                w->link[n->id.v][k].cut = cut;
                w->link[k][n->id.v].cut = prng_below(p, 3) ? cut : prng_below(p, 2);
            }
            break;
        case 4:
            for (uint32_t k = 1; k <= w->n; k++)
                for (uint32_t m = 1; m <= w->n; m++)
                    w->link[k][m].cut = false;
            break;
        case 6:
            n->paused_until = w->now + prng_range(p, 0, 4 * mix.cfg.suspect_max_ns);
            break;
        case 7:
            if (l) {
                struct raft_event ev = {.type = RAFT_TRANSFER,
                                        .u.id = {(uint32_t)prng_below(p, w->n + 1)}};
                rw_step(w, l, &ev);
                w->transfers += w->fx.ret == 0;
            }
            break;
        case 8:
            if (l) {
                struct raft_conf c = {0};
                for (uint32_t k = 1; k <= w->n; k++)
                    if (prng_below(p, 3))
                        c.member[c.n++] = (struct raft_member){
                            .id = {k},
                            .flags = prng_below(p, 4) ? RAFT_VOTER : RAFT_LEARNER,
                            .priority = (uint8_t)prng_below(p, 3)};
                struct raft_event ev = {.type = RAFT_CHANGE, .u.conf = &c};
                rw_step(w, l, &ev);
                w->changes += w->fx.ret == 0;
            }
            break;
        case 9:
            if (n->raft) {
                struct raft_event ev = {.type = RAFT_HEALTH, .u.fit = prng_below(p, 2)};
                rw_step(w, n, &ev);
            }
            break;
        case 11: /* two stand at once, and a voter crashes and comes back in the middle of it */
            for (int k = 0; k < 2; k++) {
                struct rw_node *c = &w->node[1 + prng_below(p, w->n)];
                if (c->raft)
                    rw_event(w, c, RAFT_CAMPAIGN);
            }
            rw_run(w, w->now + prng_range(p, 0, 2 * (w->delay_ns + w->disk_ns)));
            if (n->raft)
                rw_crash(w, n);
            rw_start(w, n);
            break;
        case 12: /* the leader is gone before what it took has got round */
            if (l) {
                rw_propose(w, l, 1);
                rw_run(w, w->now + prng_range(p, 0, 2 * (w->delay_ns + w->disk_ns)));
                if (l->raft)
                    rw_crash(w, l);
                if (prng_below(p, 2))
                    rw_start(w, l);
            }
            break;
        default:
            if (l)
                rw_propose(w, l, 1 + (uint32_t)prng_below(p, 8));
            if (n->raft)
                rw_read(w, n);
        }
        if (w->n_committed > RW_LOG / 2 || (!w->image_every && w->n_committed > 1500))
            break;
        rw_run(w, w->now + prng_range(p, 0, mix.turn_ns));
    }
    const char *why = w->broken;
    if (why) {
        rw_close(w);
        return why;
    }
    /* liveness: everybody up, no fault: something new is committed soon */
    w->loss_ppm = 0;
    w->delay_ns = w->disk_ns = MS; /* short beside any timeout, as Raft requires */
    for (uint32_t k = 1; k <= w->n; k++) {
        w->node[k].paused_until = 0;
        for (uint32_t m = 1; m <= w->n; m++)
            w->link[k][m].cut = false;
        if (!w->node[k].raft)
            rw_start(w, &w->node[k]);
        struct raft_event ev = {.type = RAFT_HEALTH, .u.fit = true};
        rw_step(w, &w->node[k], &ev);
    }
    rw_run(w, w->now + 15000 * MS);
    struct rw_node *l = rw_leader(w);
    uint64_t before = w->n_committed;
    if (l)
        rw_propose(w, l, 1);
    rw_run(w, w->now + 5000 * MS);
    rw_check(w, l != NULL, "no leader after the faults");
    rw_check(w, w->n_committed > before, "no progress after the faults");
    rw_check(w, !l || !rw_is_joint(l), "joint consensus without an end");
    why = w->broken;
    if (why && w->trace)
        rw_print(w);
    rw_close(w);
    return why;
}

static void test_soak(void)
{
    uint64_t from = getenv("RAFT_SEED") ? strtoull(getenv("RAFT_SEED"), NULL, 0) : 1;
    uint64_t n = getenv("RAFT_SEEDS") ? strtoull(getenv("RAFT_SEEDS"), NULL, 0) : 40;
    uint64_t leaders = 0, installs = 0, reads = 0, changes = 0, transfers = 0, cuts = 0;
    for (uint64_t s = from; s < from + n; s++) {
        const char *why = soak(s);
        if (why)
            printf("seed %llu: %s\n", (unsigned long long)s, why);
        CU_ASSERT_PTR_NULL(why);
        leaders += world.leaders;
        installs += world.installs;
        reads += world.reads_done;
        changes += world.changes;
        transfers += world.transfers;
        cuts += world.cuts;
    }
    printf("leaders %llu, images %llu, reads %llu, changes %llu, transfers %llu, cuts %llu: ",
           (unsigned long long)leaders, (unsigned long long)installs, (unsigned long long)reads,
           (unsigned long long)changes, (unsigned long long)transfers, (unsigned long long)cuts);
    CU_ASSERT(leaders > n && installs && reads && changes && transfers && cuts);
}

/* With -Dmutants=true: how many seeds until the soak objects to each known bug, not knowing which.
 */
#ifdef TARN_MUTANTS
static void test_mutants(void)
{
    static const char *const name[] = {
#define NAME(n, what) [MUTANT_##n] = #n,
        RAFT_MUTANTS(NAME)};
    uint64_t n = getenv("RAFT_SEEDS") ? strtoull(getenv("RAFT_SEEDS"), NULL, 0) : 300;
    for (uint32_t m = 0; m < ARRAY_LEN(name); m++) {
        if (!name[m] || (getenv("RAFT_MUTANT") && strcmp(getenv("RAFT_MUTANT"), name[m])))
            continue;
        static const char *volatile why;
        static volatile uint64_t s;
        why = NULL;
        s = 0;
        if (setjmp(panicked) == 0) {
            base_panic_hook = jump;
            mutant_on = m;
            while (!why && s < n)
                why = soak(s = s + 1);
        } else {
            why = panic_what;
            rw_close(&world);
        }
        mutant_on = MUTANT_NONE;
        printf("\n  %s: %s, seed %llu, %lld ms", name[m], why ? why : "NOT FOUND",
               (unsigned long long)s, (long long)(world.now / MS));
        CU_ASSERT_PTR_NOT_NULL(why);
    }
    base_panic_hook = unit_panic;
}
#endif

#ifdef TARN_MUTANTS
#define MUTANT_TESTS UNIT(test_mutants),
#else
#define MUTANT_TESTS
#endif

UNIT_MAIN("raft", MUTANT_TESTS UNIT(test_three_elect_one),
          UNIT(test_proposals_commit_and_reads_see_them), UNIT(test_soak))
