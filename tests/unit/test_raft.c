/* tests/unit/test_raft.c - the Raft core: first as one would explain it, then in a hostile world.
 */
#include "tests/unit/test_raft_world.h"

static struct rw world;

static void test_three_elect_one(void)
{
    struct rw *w = &world;
    rw_open(w, 1, 3, 3);
    rw_run(w, 3000 * RW_MS);
    CU_ASSERT_PTR_NOT_NULL(rw_leader(w));
    CU_ASSERT_EQUAL(w->leaders, 1);
    CU_ASSERT_EQUAL(w->n_committed, 1); /* the leader's first, empty entry */
    rw_run(w, 60000 * RW_MS);
    CU_ASSERT_EQUAL(w->leaders, 1);
    CU_ASSERT_PTR_NULL(w->broken);
    rw_close(w);
}

static void test_proposals_commit_and_reads_see_them(void)
{
    struct rw *w = &world;
    rw_open(w, 2, 3, 3);
    rw_run(w, 3000 * RW_MS);
    for (int i = 0; i < 500; i++) {
        rw_propose(w, rw_leader(w), 3);
        CU_ASSERT_EQUAL(w->fx.ret, 0);
        rw_run(w, w->now + 10 * RW_MS);
        rw_read(w, &w->node[1 + i % 3]);
    }
    rw_run(w, w->now + 100 * RW_MS);
    CU_ASSERT_EQUAL(w->n_committed, 1501);
    CU_ASSERT_EQUAL(w->reads_done, 500);
    CU_ASSERT_PTR_NULL(w->broken);
    rw_close(w);
}

/* a random cluster under random faults; then peace, and it has to go on */
static void soak(uint64_t seed)
{
    struct rw *w = &world;
    uint32_t voters = 1 + 2 * (uint32_t)(seed % 3);
    rw_open(w, seed, voters + 2, voters);
    struct prng *p = &w->prng;
    w->loss_ppm = prng_below(p, 3) ? (uint32_t)prng_below(p, 20000) : 0;
    w->delay_ns = prng_range(p, RW_MS / 10, 30 * RW_MS);
    w->disk_ns = prng_range(p, RW_MS / 10, 20 * RW_MS);
    w->image_every = prng_below(p, 2) ? (uint64_t)prng_range(p, 5, 100) : 0;
    for (uint32_t i = 1; i <= w->n; i++)
        w->node[i].skew_ppm = prng_range(p, -400, 400);
    for (int i = 0; i < 400 && !w->broken; i++) {
        struct rw_node *n = &w->node[1 + prng_below(p, w->n)], *l = rw_leader(w);
        switch (prng_below(p, 24)) {
        case 0:
            if (n->raft)
                rw_crash(w, n);
            break;
        case 1:
        case 2:
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
        case 5:
            for (uint32_t k = 1; k <= w->n; k++)
                for (uint32_t m = 1; m <= w->n; m++)
                    w->link[k][m].cut = false;
            break;
        case 6:
            n->paused_until = w->now + prng_range(p, 0, 3000 * RW_MS);
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
        default:
            if (l)
                rw_propose(w, l, 1 + (uint32_t)prng_below(p, 8));
            if (n->raft)
                rw_read(w, n);
        }
        if (w->n_committed > RW_LOG / 2 || (!w->image_every && w->n_committed > 1500))
            break;
        rw_run(w, w->now + prng_range(p, 0, 400 * RW_MS));
    }
    CU_ASSERT_PTR_NULL(w->broken);
    if (w->broken) {
        printf("seed %llu: %s\n", (unsigned long long)seed, w->broken);
        rw_close(w);
        return;
    }
    /* liveness: everybody up, no fault: something new is committed soon */
    w->loss_ppm = 0;
    for (uint32_t k = 1; k <= w->n; k++) {
        w->node[k].paused_until = 0;
        for (uint32_t m = 1; m <= w->n; m++)
            w->link[k][m].cut = false;
        if (!w->node[k].raft)
            rw_start(w, &w->node[k]);
        struct raft_event ev = {.type = RAFT_HEALTH, .u.fit = true};
        rw_step(w, &w->node[k], &ev);
    }
    rw_run(w, w->now + 15000 * RW_MS);
    struct rw_node *l = rw_leader(w);
    CU_ASSERT_PTR_NOT_NULL(l);
    uint64_t before = w->n_committed;
    if (l)
        rw_propose(w, l, 1);
    rw_run(w, w->now + 5000 * RW_MS);
    if (!l || w->n_committed <= before || w->broken) {
        printf("seed %llu: no progress after the faults %s\n", (unsigned long long)seed,
               w->broken ? w->broken : "");
        rw_print(w);
        CU_FAIL("liveness");
    }
    rw_close(w);
}

static void test_soak(void)
{
    uint64_t from = getenv("RAFT_SEED") ? strtoull(getenv("RAFT_SEED"), NULL, 0) : 1;
    uint64_t n = getenv("RAFT_SEEDS") ? strtoull(getenv("RAFT_SEEDS"), NULL, 0) : 40;
    uint64_t leaders = 0, installs = 0, reads = 0, changes = 0, transfers = 0, cuts = 0;
    for (uint64_t s = from; s < from + n; s++) {
        soak(s);
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

UNIT_MAIN("raft", UNIT(test_three_elect_one), UNIT(test_proposals_commit_and_reads_see_them),
          UNIT(test_soak))
