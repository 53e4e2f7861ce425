/* tests/unit/test_raft_terms.c - many leaders and few records: a log has room for a thousand terms
 * (RAFT_RUNS_MAX), and no record may ever come that has an image written. */
#include "tests/unit/test_raft_world_sim.h"

static struct gang *started(uint64_t seed, uint64_t segment_bytes)
{
    struct sim_config c = sim_config_quiet(seed);
    struct gang *g = gang_new(&c, 3);
    g->cfg.segment_bytes = segment_bytes;
    for (uint32_t i = 0; i < 3; i++)
        gang_start(g, i);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    CU_ASSERT(gang_write(g, 10, 100));
    return g;
}

/* one leader after another; false: at some point there was none for long, or no other one */
static bool lead_in_turn(struct gang *g, uint32_t terms, int64_t each_ms)
{
    uint32_t fails = 0;
    for (uint32_t i = 0; i < terms && fails < 10; i++) {
        if (!gang_await_leader(g, 10000))
            return false;
        if (gang_change(g, JOURNAL_ELECT, 0, 0, NULL) == 0) {
            fails = 0;
            gang_run(g, each_ms);
            continue;
        }
        fails++;
        gang_run(g, 1000); /* images are not written all the time */
    }
    return fails == 0 && gang_await_leader(g, 10000) && gang_write(g, 10, 100);
}

static void test_more_leaders_than_a_log_holds_terms(void)
{
    struct gang *g = started(1, 1 << 20);
    CU_ASSERT(lead_in_turn(g, 2500, 0));
    gang_run(g, 1000);
    CU_ASSERT(gang_equal(g));
    for (uint32_t i = 0; i < 3; i++)
        gang_crash(g, i, false);
    gang_run(g, 100);
    for (uint32_t i = 0; i < 3; i++) /* the one segment that there is began long before */
        gang_start(g, i);
    CU_ASSERT(lead_in_turn(g, 3, 0));
    gang_free(g);
}

/* The log is trimmed by entries, its files go whole: they hold more terms than there is room for,
 * or nearly as many, and an image is due only when more have come. */
static void test_more_terms_in_a_segment_than_a_log_holds(void)
{
    static const uint32_t terms[] = {900, 1100, 300};
    struct gang *g = started(3, 32 << 20);
    for (uint32_t k = 0; k < ARRAY_LEN(terms); k++) {
        CU_ASSERT(lead_in_turn(g, terms[k], 5));
        for (uint32_t i = 0; i < 3; i++)
            gang_crash(g, i, false);
        gang_run(g, 100);
        for (uint32_t i = 0; i < 3; i++)
            gang_start(g, i);
    }
    CU_ASSERT(gang_await_leader(g, 10000) != NULL);
    CU_ASSERT(gang_await_equal(g, 10000));
    gang_free(g);
}

/* What was in the log at a start goes as it would have gone without. */
static void test_a_start_with_many_terms_does_not_keep_files(void)
{
    struct gang *g = started(4, 1 << 20);
    struct journal_status st;
    CU_ASSERT(lead_in_turn(g, 700, 5));
    for (uint32_t i = 0; i < 3; i++)
        gang_crash(g, i, false);
    gang_run(g, 100);
    for (uint32_t i = 0; i < 3; i++)
        gang_start(g, i);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) && gang_await_equal(g, 10000));
    journal_status(gang_leader(g)->j, &st);
    uint64_t segments = st.wal_segments, first = st.first_index;
    struct gang_op o = {.op = {.done = gang_op_done}, .g = g, .busy = true};
    journal_image_now(gang_leader(g)->j, &o.op);
    for (int i = 0; i < 5000 && !o.done; i++)
        gang_run(g, 1);
    gang_run(g, 100);
    journal_status(gang_leader(g)->j, &st);
    if (getenv("WORLD_LOG"))
        fprintf(stderr, "first %llu %llu, segments %llu %llu\n", (unsigned long long)first,
                (unsigned long long)st.first_index, (unsigned long long)segments,
                (unsigned long long)st.wal_segments);
    CU_ASSERT(o.done && o.op.ret > 0);
    CU_ASSERT(st.first_index == first + 1 && st.wal_segments < segments);
    gang_free(g);
}

/* the log is not kept for who does not come back */
static void test_more_leaders_while_a_member_is_away(void)
{
    struct gang *g = started(2, 1 << 20);
    uint32_t away = gang_leader(g) == &g->m[2] ? 1 : 2;
    gang_crash(g, away, true);
    CU_ASSERT(lead_in_turn(g, 1500, 0));
    gang_start(g, away);
    CU_ASSERT(gang_await_equal(g, 20000));
    gang_free(g);
}

UNIT_MAIN("raft_terms", UNIT(test_more_leaders_than_a_log_holds_terms),
          UNIT(test_more_terms_in_a_segment_than_a_log_holds),
          UNIT(test_a_start_with_many_terms_does_not_keep_files),
          UNIT(test_more_leaders_while_a_member_is_away))
