/* tests/unit/test_raft_gone.c - who is a member no more learns it, and nobody else believes it. */
#include "tests/unit/test_raft_world_sim.h"

static struct gang *started(uint64_t seed, uint32_t n)
{
    struct sim_config c = sim_config_quiet(seed);
    struct gang *g = gang_new(&c, n);
    for (uint32_t i = 0; i < n; i++)
        gang_start(g, i);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    CU_ASSERT(gang_write(g, 10, 100));
    CU_ASSERT(gang_await_equal(g, 5000));
    gang_run(g, 500);
    return g;
}

static struct gang_op *asked(struct gang *g, const struct journal_change *c)
{
    static struct gang_op o;
    o = (struct gang_op){.op = {.done = gang_op_done}, .g = g, .busy = true};
    struct gang_member *l = gang_leader(g);
    journal_change(l->j, c, env_now_ns(sim_env(l->node)) + 20000 * GANG_MS, &o.op);
    return &o;
}

static void image_done(struct env_op *op)
{
    container_of(op, struct gang_op, op)->done = true;
}

static bool is_gone(const struct gang_member *m)
{
    struct journal_status st;
    journal_status(m->j, &st);
    return st.is_gone;
}

/* A leader that is cut off puts a configuration behind much that is never committed.  The others
 * remove it: their word is of an earlier entry, and counts. */
static void test_gone_behind_a_configuration_of_its_own(void)
{
    struct gang *g = started(1, 3);
    struct gang_member *l = gang_leader(g), *b = &g->m[l->id % 3];
    for (uint32_t i = 0; i < 3; i++)
        if (&g->m[i] != l)
            sim_net_partition(l->node, g->m[i].node, false);
    for (int i = 0; i < 50; i++)
        CU_ASSERT(gang_submit(g, 100));
    gang_run(g, 20);
    struct journal_change c = {.verb = JOURNAL_PRIORITY, .id = l->id, .priority = 9};
    asked(g, &c);
    for (int i = 0; i < 8000 && gang_leader(g) == l; i++)
        gang_run(g, 1);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_REMOVE, l->id, 0, NULL), 0);
    CU_ASSERT(!is_gone(l));
    struct journal_status st;
    journal_status(l->j, &st);
    CU_ASSERT(st.conf_index >= 60 && st.committed < 30);
    for (int restarts = 0; restarts < 2; restarts++) { /* what is on its way to it is lost */
        gang_crash(g, l->id - 1, false);
        gang_run(g, 100);
        sim_net_heal_all(g->s);
        gang_start(g, l->id - 1);
        gang_run(g, 5000);
        CU_ASSERT(is_gone(l) && !is_gone(b));
        journal_status(l->j, &st);
        CU_ASSERT(st.conf_index >= 60);
    }
    gang_free(g);
}

/* A leader that removed itself has more than the others knew to be committed when they told it, and
 * an image of all that. */
static void test_gone_with_an_image_behind_that(void)
{
    for (uint64_t seed = 2; seed < 6; seed++) {
        struct gang *g = started(seed, 3);
        struct gang_member *l = gang_leader(g);
        struct journal_change c = {.verb = JOURNAL_REMOVE, .id = l->id};
        const struct gang_op *o = asked(g, &c);
        for (int i = 0; i < 200 && gang_leader(g) == l; i++) {
            gang_submit(g, 100);
            sim_run_until(g->s, sim_now_ns(g->s) + GANG_MS / 20);
        }
        gang_run(g, 2000);
        CU_ASSERT(o->done && gang_leader(g) && gang_leader(g) != l);
        CU_ASSERT(is_gone(l));
        struct gang_op image = {.op = {.done = image_done}};
        journal_image_now(l->j, &image.op);
        gang_run(g, 2000);
        CU_ASSERT(image.done && image.op.ret > 0);
        gang_crash(g, l->id - 1, false);
        gang_start(g, l->id - 1);
        gang_run(g, 3000);
        CU_ASSERT(is_gone(l));
        gang_free(g);
    }
}

/* One that is being added reads how the group came about; its leader dies, and who is left does not
 * know of it. */
static void test_gone_is_nobody_who_is_being_added(void)
{
    struct gang *g = started(7, 3);
    struct gang_member *l = gang_leader(g), *behind = &g->m[l->id % 3], *n;
    for (uint32_t i = 0; i < 3; i++)
        if (&g->m[i] != behind)
            sim_net_partition(behind->node, g->m[i].node, false);
    CU_ASSERT(gang_write(g, 2000, 2000));
    gang_add(g);
    n = &g->m[3];
    n->join = true;
    sim_net_nic(n->node, 1 << 20);
    gang_start(g, 3);
    struct journal_change c = {.verb = JOURNAL_ADD, .id = 4, .addr = n->addr};
    asked(g, &c);
    for (int i = 0; i < 10000 && n->n_applied < 100; i++)
        gang_run(g, 1);
    CU_ASSERT(n->n_applied >= 100 && n->n_applied < 1900);
    for (uint32_t i = 0; i < 3; i++)
        if (&g->m[i] != behind)
            gang_crash(g, i, false);
    for (int i = 0; i < 500; i++) {
        gang_run(g, 10);
        CU_ASSERT(!is_gone(n) && !is_gone(behind));
    }
    sim_net_heal_all(g->s);
    sim_net_nic(n->node, 0);
    for (uint32_t i = 0; i < 3; i++)
        if (!g->m[i].j)
            gang_start(g, i);
    CU_ASSERT(gang_await_leader(g, 10000) && gang_await_equal(g, 20000));
    CU_ASSERT(!is_gone(n));
    gang_free(g);
}

/* Who is added again, with the disk that it had, is a member again. */
static void test_gone_and_back(void)
{
    struct gang *g = started(8, 3);
    uint32_t i = gang_leader(g)->id % 3;
    for (int k = 0; k < 3; k++) {
        CU_ASSERT_EQUAL(gang_change(g, JOURNAL_REMOVE, i + 1, 0, NULL), 0);
        gang_run(g, 4000);
        CU_ASSERT(is_gone(&g->m[i]));
        if (k == 1)
            gang_crash(g, i, false);
        struct journal_change c = {.verb = JOURNAL_ADD, .id = i + 1, .addr = g->m[i].addr};
        const struct gang_op *o = asked(g, &c);
        gang_run(g, 1000);
        if (k == 1)
            gang_start(g, i);
        gang_run(g, 4000);
        CU_ASSERT(o->done && o->op.ret == 0);
        CU_ASSERT(!is_gone(&g->m[i]) && gang_write(g, 10, 100) && gang_await_equal(g, 5000));
    }
    gang_free(g);
}

/* Its number is another disk's now: it is refused, and learns why. */
static void test_gone_under_a_number_of_anothers(void)
{
    struct gang *g = started(9, 3);
    uint32_t i = gang_leader(g)->id % 3;
    gang_crash(g, i, false);
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_REMOVE, i + 1, 0, NULL), 0);
    gang_add(g);
    g->m[3].id = i + 1;
    g->m[3].join = true;
    gang_start(g, 3);
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ADD, i + 1, 0, g->m[3].addr), 0);
    for (int restarts = 0; restarts < 2; restarts++) {
        gang_start(g, i);
        gang_run(g, 3000);
        CU_ASSERT(is_gone(&g->m[i]) && !is_gone(&g->m[3]));
        gang_crash(g, i, false);
    }
    CU_ASSERT(gang_write(g, 10, 100));
    gang_free(g);
}

UNIT_MAIN("raft_gone", UNIT(test_gone_behind_a_configuration_of_its_own),
          UNIT(test_gone_with_an_image_behind_that), UNIT(test_gone_is_nobody_who_is_being_added),
          UNIT(test_gone_and_back), UNIT(test_gone_under_a_number_of_anothers))
