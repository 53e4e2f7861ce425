/* tests/unit/test_raft_terms.c - many leaders and few records: a log has room for a thousand terms
 * (RAFT_RUNS_MAX), and no record may ever come that has an image written. */
#include "journal/raft_log.h"
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

static void on_stored(struct raft_log_host *h)
{
    (void)h;
}

static void on_failed(struct raft_log_host *h, int why)
{
    (void)h, (void)why;
    CU_FAIL("the log failed");
}

static void on_space(struct raft_log_host *h, bool full)
{
    (void)h, (void)full;
}

static void done(struct env_op *op)
{
    container_of(op, struct gang_op, op)->done = true;
}

static void await(struct gang *g, struct gang_op *o)
{
    for (int k = 0; k < 5000 && !o->done; k++)
        gang_run(g, 1);
    CU_ASSERT_FATAL(o->done && o->op.ret == 0);
    o->done = false;
}

/* a member's log, while it does not run, gets the first entries of so many leaders that it holds n
 * terms; `last` is its last entry before, the same on each */
static void led_in_vain(struct gang *g, uint32_t i, uint32_t n, uint64_t *ret_last)
{
    static const struct raft_log_config cfg = {.mem_entries = 2048,
                                               .wal = {.dir = "",
                                                       .segment_bytes = 1 << 20,
                                                       .batch_bytes = 256 << 10,
                                                       .batches_in_flight = 4,
                                                       .queue_bytes = 1 << 20,
                                                       .cluster_hi = 7,
                                                       .cluster_lo = 8}};
    struct env *e = sim_node_up(g->m[i].node);
    struct raft_log_host host = {.stored = on_stored, .failed = on_failed, .space = on_space};
    struct raft_log *l = raft_log_create(e, sim_mem(g->m[i].node), &cfg, &host);
    struct gang_op o = {.op = {.done = done}};
    struct raft_conf none = {0};
    struct raft_start s = {.image = {.conf = &none}};
    raft_log_recover(l, 1, 0, &o.op);
    await(g, &o);
    raft_log_begin(l, &o.op);
    await(g, &o);
    raft_log_replay(l, &o.op);
    await(g, &o);
    CU_ASSERT_EQUAL_FATAL(raft_log_start(l, &s), 0);
    *ret_last = s.n;
    struct raft_entry entry = {.term = s.run[s.n_runs - 1].term, .type = RAFT_NOOP};
    for (uint32_t k = 1; s.n_runs - 1 + k < n; k++) {
        entry.term++;
        CU_ASSERT_EQUAL(raft_log_append(l, s.n + k, &entry, NULL), 0);
    }
    raft_log_stop(l, &o.op);
    await(g, &o);
    gang_crash(g, i, false);
    g->m[i].found = false;
}

/* As many terms as a log holds, and nothing is committed since they began: the masters were started
 * again and again, or had no space for an image.  What was known to be committed before makes
 * room. */
static void test_a_start_with_all_the_terms_that_there_is_room_for(void)
{
    struct gang *g = started(5, 1 << 20);
    uint64_t last[3];
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ELECT, 0, 0, NULL), 0);
    CU_ASSERT(gang_await_leader(g, 10000) && gang_write(g, 10, 100));
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ELECT, 0, 0, NULL), 0);
    CU_ASSERT(gang_await_leader(g, 10000) && gang_await_equal(g, 1000));
    gang_run(g, 500);
    for (uint32_t i = 0; i < 3; i++)
        gang_crash(g, i, false);
    for (uint32_t i = 0; i < 3; i++)
        led_in_vain(g, i, RAFT_RUNS_MAX, &last[i]);
    CU_ASSERT(last[0] == last[1] && last[0] == last[2]);
    for (uint32_t i = 0; i < 3; i++)
        gang_start(g, i);
    CU_ASSERT_FATAL(gang_await_leader(g, 30000) != NULL);
    CU_ASSERT(gang_write(g, 10, 100) && gang_await_equal(g, 10000));
    CU_ASSERT_EQUAL(g->m[0].n_applied, 30);
    gang_free(g);
}

/* What was known to be committed is applied at a start, with nobody else there. */
static void test_a_start_knows_what_was_committed(void)
{
    struct gang *g = started(6, 1 << 20);
    CU_ASSERT(gang_await_equal(g, 1000));
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ELECT, 0, 0, NULL), 0);
    CU_ASSERT(gang_await_leader(g, 10000) && gang_await_equal(g, 1000));
    for (uint32_t i = 0; i < 3; i++)
        gang_crash(g, i, true);
    gang_start(g, 0);
    gang_run(g, 1000);
    CU_ASSERT(g->m[0].role == JOURNAL_STANDBY && g->m[0].n_applied == 10);
    gang_free(g);
}

UNIT_MAIN("raft_terms", UNIT(test_more_leaders_than_a_log_holds_terms),
          UNIT(test_more_terms_in_a_segment_than_a_log_holds),
          UNIT(test_a_start_with_many_terms_does_not_keep_files),
          UNIT(test_more_leaders_while_a_member_is_away),
          UNIT(test_a_start_with_all_the_terms_that_there_is_room_for),
          UNIT(test_a_start_knows_what_was_committed))
