/* tests/unit/test_raft.c - the Raft core: first as one would explain it, then in a hostile world.
 */
#include "tests/unit/test_raft_swarm.h"

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

static void test_soak(void)
{
    uint64_t from = getenv("RAFT_SEED") ? strtoull(getenv("RAFT_SEED"), NULL, 0) : 1;
    uint64_t n = getenv("RAFT_SEEDS") ? strtoull(getenv("RAFT_SEEDS"), NULL, 0) : 40;
    bool twice = getenv("RAFT_TWICE") != NULL;
    uint64_t hash = 0, leaders = 0, installs = 0, reads = 0, changes = 0, transfers = 0, cuts = 0;
    for (uint64_t s = from; s < from + n; s++) {
        const char *why = swarm_soak(&world, s);
        if (why)
            printf("seed %llu: %s\n", (unsigned long long)s, why);
        CU_ASSERT_PTR_NULL(why);
        hash = (hash ^ world.hash) * 0x9e3779b97f4a7c15ull;
        leaders += world.leaders;
        installs += world.installs;
        reads += world.reads_done;
        changes += world.changes;
        transfers += world.transfers;
        cuts += world.cuts;
        uint64_t once = world.hash;
        if (twice)
            swarm_soak(&world, s);
        if (world.hash != once)
            printf("seed %llu: two runs differ\n", (unsigned long long)s);
        CU_ASSERT_EQUAL(world.hash, once);
    }
    printf("leaders %llu, images %llu, reads %llu, changes %llu, transfers %llu, cuts %llu: ",
           (unsigned long long)leaders, (unsigned long long)installs, (unsigned long long)reads,
           (unsigned long long)changes, (unsigned long long)transfers, (unsigned long long)cuts);
    printf("hash %016llx: ", (unsigned long long)hash);
    CU_ASSERT(n < 20 || (leaders > n && installs && reads && changes && transfers && cuts));
}

static void test_calm(void)
{
    for (uint64_t s = 1; s <= 20; s++)
        CU_ASSERT_PTR_NULL(swarm_calm(&world, s));
}

/* Of three one is gone for good, and one has lost the end of its log, nobody knows how much.  who:
 * 0 the leader of that term stays, 1 it is started anew, 2 it is the one that is gone.  Does
 * anybody lead again? */
static bool leads_after_damage(uint32_t who)
{
    struct rw *w = &world;
    rw_open(w, 3, 3, 3, NULL);
    rw_run(w, 3000 * MS);
    struct rw_node *l = rw_leader(w), *a = &w->node[l->id.v % 3 + 1],
                   *b = &w->node[a->id.v % 3 + 1];
    rw_propose(w, l, 3);
    rw_run(w, w->now + 1000 * MS);
    CU_ASSERT_EQUAL(w->n_committed, 4);
    rw_crash(w, who == 2 ? l : a);
    swarm_rot(w, b);
    if (b->raft)
        rw_crash(w, b);
    if (who == 2)
        rw_crash(w, a);
    rw_run(w, w->now + 5000 * MS); /* without followers nobody leads on */
    CU_ASSERT_PTR_NULL(rw_leader(w));
    if (who == 1) {
        rw_crash(w, l);
        rw_start(w, l);
    }
    if (who == 2)
        rw_start(w, a);
    if (!b->raft)
        rw_start(w, b);
    rw_run(w, w->now + 60000 * MS);
    bool leads = rw_leader(w) != NULL;
    CU_ASSERT(!leads || (rw_leader(w) == l && raft_is_whole(b->raft)));
    CU_ASSERT_PTR_NULL(w->broken);
    rw_close(w);
    return leads;
}

static void test_who_led_the_term_that_was_lost_is_helped(void)
{
    CU_ASSERT(leads_after_damage(0));
    CU_ASSERT_FALSE(leads_after_damage(1)); /* it may have forgotten what it had sent */
    CU_ASSERT_FALSE(leads_after_damage(2)); /* a follower may never have had it */
}

static void test_damage(void)
{
    uint64_t n = getenv("RAFT_SEEDS") ? strtoull(getenv("RAFT_SEEDS"), NULL, 0) : 40, rots = 0;
    for (uint64_t s = 1; s <= n; s++) {
        const char *why = swarm_damage(&world, s);
        if (why)
            printf("seed %llu: %s\n", (unsigned long long)s, why);
        CU_ASSERT_PTR_NULL(why);
        rots += world.rots;
    }
    CU_ASSERT(rots > n);
}

static void test_same_seed_same_run(void)
{
    for (uint64_t s = 1; s <= 5; s++) {
        swarm_soak(&world, s);
        uint64_t hash = world.hash, steps = world.steps;
        swarm_soak(&world, s);
        CU_ASSERT(world.hash == hash && world.steps == steps);
        swarm_soak(&world, s + 100);
        CU_ASSERT(world.hash != hash);
    }
}

/* With -Dmutants=true: how many seeds until the swarm objects to each known bug, not knowing which.
 */
#ifdef TARN_MUTANTS
static const char *const mutant_name[] = {
#define NAME(n, what) [MUTANT_##n] = #n,
    RAFT_MUTANTS(NAME)};

static void hunt(uint32_t m, uint64_t n)
{
    static const char *volatile why;
    static volatile uint64_t s;
    static volatile int64_t ns;
    why = NULL;
    s = 0;
    ns = 0;
    if (setjmp(panicked) == 0) {
        base_panic_hook = jump;
        mutant_on = m;
        while (!why && s < n) {
            why = swarm_soak(&world, ++s);
            ns += world.now;
            if (why || s % 4)
                continue;
            why = swarm_calm(&world, s);
            ns += world.now;
            if (why)
                continue;
            why = swarm_damage(&world, s);
            ns += world.now;
        }
    } else {
        why = panic_what;
        ns += world.now;
        rw_close(&world);
    }
    base_panic_hook = unit_panic;
    mutant_on = MUTANT_NONE;
    printf("\n  %s: %s, seed %llu, %lld ms", mutant_name[m], why ? why : "NOT FOUND",
           (unsigned long long)s, (long long)(ns / MS));
    fflush(stdout);
    CU_ASSERT_PTR_NOT_NULL(why);
}

static void test_mutants(void)
{
    uint64_t n = getenv("RAFT_SEEDS") ? strtoull(getenv("RAFT_SEEDS"), NULL, 0) : 300;
    const char *only = getenv("RAFT_MUTANT");
    for (uint32_t m = 0; m < ARRAY_LEN(mutant_name); m++)
        if (mutant_name[m] && (!only || !strcmp(only, mutant_name[m])))
            hunt(m, n);
}
#endif

#ifdef TARN_MUTANTS
#define MUTANT_TESTS UNIT(test_mutants),
#else
#define MUTANT_TESTS
#endif

UNIT_MAIN("raft", MUTANT_TESTS UNIT(test_three_elect_one),
          UNIT(test_proposals_commit_and_reads_see_them), UNIT(test_soak), UNIT(test_calm),
          UNIT(test_who_led_the_term_that_was_lost_is_helped), UNIT(test_damage),
          UNIT(test_same_seed_same_run))
