/* tests/unit/test_raft_terms.c - many leaders and few records: a log has room for a thousand terms
 * (RAFT_RUNS_MAX), and no record may ever come that has an image written. */
#include "tests/unit/test_raft_world_sim.h"

static struct gang *started(uint64_t seed)
{
    struct sim_config c = sim_config_quiet(seed);
    struct gang *g = gang_new(&c, 3);
    for (uint32_t i = 0; i < 3; i++)
        gang_start(g, i);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    CU_ASSERT(gang_write(g, 10, 100));
    return g;
}

/* one leader after another; false: at some point there was none for long, or no other one */
static bool lead_in_turn(struct gang *g, uint32_t terms)
{
    uint32_t fails = 0;
    for (uint32_t i = 0; i < terms && fails < 10; i++) {
        if (!gang_await_leader(g, 10000))
            return false;
        if (gang_change(g, JOURNAL_ELECT, 0, 0, NULL) == 0) {
            fails = 0;
            continue;
        }
        fails++;
        gang_run(g, 1000); /* images are not written all the time */
    }
    return fails == 0 && gang_await_leader(g, 10000) && gang_write(g, 10, 100);
}

static void test_more_leaders_than_a_log_holds_terms(void)
{
    struct gang *g = started(1);
    CU_ASSERT(lead_in_turn(g, 2500));
    gang_run(g, 1000);
    CU_ASSERT(gang_equal(g));
    for (uint32_t i = 0; i < 3; i++)
        gang_crash(g, i, false);
    gang_run(g, 100);
    for (uint32_t i = 0; i < 3; i++) /* the one segment that there is began long before */
        gang_start(g, i);
    CU_ASSERT(lead_in_turn(g, 3));
    gang_free(g);
}

/* the log is not kept for who does not come back */
static void test_more_leaders_while_a_member_is_away(void)
{
    struct gang *g = started(2);
    uint32_t away = gang_leader(g) == &g->m[2] ? 1 : 2;
    gang_crash(g, away, true);
    CU_ASSERT(lead_in_turn(g, 1500));
    gang_start(g, away);
    CU_ASSERT(gang_await_equal(g, 20000));
    gang_free(g);
}

UNIT_MAIN("raft_terms", UNIT(test_more_leaders_than_a_log_holds_terms),
          UNIT(test_more_leaders_while_a_member_is_away))
