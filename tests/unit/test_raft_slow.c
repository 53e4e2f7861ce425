/* tests/unit/test_raft_slow.c - followers whose disks take long for each sync: what is sent to them
 * is bounded by what they can hold, not by the window that a slow line has (raft_repl.c, 6). */
#include "tests/unit/test_raft_world_sim.h"

static void test_slow_disks_are_sent_what_they_can_take(void)
{
    struct sim_config c = sim_config_quiet(3);
    struct gang *g = gang_new(&c, 3);
    g->cfg.segment_bytes = 16 << 20;
    for (uint32_t i = 0; i < 3; i++)
        gang_start(g, i);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    CU_ASSERT(gang_write(g, 100, 100) && gang_await_equal(g, 1000));
    for (uint32_t i = 0; i < 3; i++) {
        struct sim_disk_config d = *sim_disk_get(g->m[i].node);
        d.write_min_ns = d.write_mean_ns = d.sync_min_ns = d.sync_mean_ns = 300 * GANG_MS;
        if (&g->m[i] != gang_leader(g))
            sim_disk_set(g->m[i].node, &d);
    }
    int64_t from = sim_now_ns(g->s);
    CU_ASSERT(gang_write(g, 600, 15000));
    int64_t took_ms = (sim_now_ns(g->s) - from) / GANG_MS;
    CU_ASSERT(took_ms < 15000); /* as many at once as may be submitted: some 10 s */
    gang_free(g);
}

UNIT_MAIN("raft_slow", UNIT(test_slow_disks_are_sent_what_they_can_take))
