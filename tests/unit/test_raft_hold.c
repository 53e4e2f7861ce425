/* tests/unit/test_raft_hold.c - nobody is called to lead before the host has ended what it began.
 */
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

static struct gang_op *elect(struct gang *g, struct gang_member *l, uint32_t id)
{
    static struct gang_op o;
    struct journal_change c = {.verb = JOURNAL_ELECT, .id = id};
    o = (struct gang_op){.op = {.done = gang_op_done}, .g = g, .busy = true};
    journal_change(l->j, &c, env_now_ns(sim_env(l->node)) + 20000 * GANG_MS, &o.op);
    return &o;
}

static void ready(struct gang_member *m)
{
    m->is_busy = false;
    journal_held(m->j);
}

/* records go on meanwhile */
static void test_hold_elects_when_all_has_ended(void)
{
    struct gang *g = started(1);
    struct gang_member *l = gang_leader(g), *to = &g->m[l->id % 3];
    l->is_busy = true;
    const struct gang_op *o = elect(g, l, to->id);
    for (int i = 0; i < 10; i++) {
        gang_run(g, 50);
        CU_ASSERT(gang_write(g, 1, 100));
        CU_ASSERT(l->is_held && !o->done && gang_leader(g) == l);
    }
    ready(l);
    gang_run(g, 50);
    CU_ASSERT(o->done && o->op.ret == 0 && gang_leader(g) == to);
    CU_ASSERT(!l->is_held && l->asks == 1);
    CU_ASSERT(gang_write(g, 10, 100));
    gang_free(g);
}

static void test_hold_gives_up_what_does_not_end(void)
{
    struct gang *g = started(2);
    struct gang_member *l = gang_leader(g);
    int64_t from = sim_now_ns(g->s), most = g->cfg.raft.suspect_max_ns;
    l->is_busy = true;
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ELECT, 0, 0, NULL), E_BUSY);
    CU_ASSERT(sim_now_ns(g->s) - from >= most && sim_now_ns(g->s) - from < most + 50 * GANG_MS);
    gang_run(g, 1);
    CU_ASSERT(gang_leader(g) == l && !l->is_held);
    CU_ASSERT(gang_write(g, 10, 100));
    ready(l); /* nobody has asked any more */
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ELECT, 0, 0, NULL), 0);
    CU_ASSERT(gang_leader(g) != l);
    gang_free(g);
}

/* What the core begins by itself: for the sake of another's priority. */
static void test_hold_keeps_a_call_back(void)
{
    struct gang *g = started(3);
    struct gang_member *l = gang_leader(g), *to = &g->m[l->id % 3];
    l->is_busy = true;
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_PRIORITY, to->id, 7, NULL), 0);
    gang_run(g, 15000);
    CU_ASSERT(gang_leader(g) == l && l->asks > 1);
    CU_ASSERT(gang_write(g, 10, 100));
    for (int i = 0; i < 20000 && !l->is_held; i++)
        gang_run(g, 1);
    gang_run(g, 300);
    CU_ASSERT(l->is_held && gang_leader(g) == l);
    ready(l);
    gang_run(g, 50);
    CU_ASSERT(gang_leader(g) == to && !l->is_held);
    CU_ASSERT(gang_write(g, 10, 100));
    gang_free(g);
}

/* Whose disk is sick does not wait for ever: it steps down, and others suspect it. */
static void test_hold_ends_for_a_full_disk(void)
{
    struct gang *g = started(4);
    struct gang_member *l = gang_leader(g);
    struct sim_disk_config full = *sim_disk_get(l->node);
    full.capacity = sim_disk_used(l->node) + 1;
    sim_disk_set(l->node, &full);
    l->is_busy = true;
    int64_t held_at = 0, led_at = 0;
    for (int i = 0; i < 20000 && !led_at; i++) {
        if (i % 20 == 0)
            gang_submit(g, 60000);
        gang_run(g, 1);
        held_at = held_at || !l->is_held ? held_at : sim_now_ns(g->s);
        led_at = gang_leader(g) && gang_leader(g) != l ? sim_now_ns(g->s) : 0;
    }
    CU_ASSERT(held_at && led_at - held_at >= g->cfg.raft.suspect_min_ns);
    CU_ASSERT(led_at - held_at < 10000 * GANG_MS);
    gang_run(g, 100);
    CU_ASSERT_FALSE(l->is_held);
    gang_free(g);
}

/* Who was called and did not come may still lead, until a quorum knows that the call is over. */
static void test_hold_lasts_until_the_lease_is_back(void)
{
    struct gang *g = started(5);
    struct gang_member *l = gang_leader(g), *to = &g->m[l->id % 3];
    struct journal_status s;
    bool was_called = false;
    sim_net_partition(l->node, to->node, true);
    const struct gang_op *o = elect(g, l, to->id);
    for (int i = 0; i < 4000; i++) {
        gang_run(g, 1);
        journal_status(l->j, &s);
        was_called = was_called || o->done;
        CU_ASSERT(l->is_held || (o->done && s.lease));
    }
    CU_ASSERT(was_called && o->op.ret == E_UNAVAILABLE);
    CU_ASSERT(gang_leader(g) == l && !l->is_held);
    sim_net_heal_all(g->s);
    CU_ASSERT(gang_write(g, 10, 100));
    gang_free(g);
}

/* Who has just started follows no call yet: another one is called, or he a little later. */
static void test_who_has_just_started_is_not_called_in_vain(void)
{
    for (uint32_t named = 0; named < 2; named++) {
        struct gang *g = started(6 + named);
        struct gang_member *l = gang_leader(g);
        uint32_t i = l->id == 1 ? 1 : 0; /* who would be chosen */
        gang_crash(g, i, false);
        gang_run(g, 100);
        gang_start(g, i);
        gang_run(g, 150);
        CU_ASSERT(gang_leader(g) == l && gang_write(g, 10, 100));
        int64_t from = sim_now_ns(g->s);
        CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ELECT, named ? g->m[i].id : 0, 0, NULL), 0);
        CU_ASSERT(sim_now_ns(g->s) - from < (named ? 700 : 50) * GANG_MS);
        gang_run(g, 50);
        CU_ASSERT(gang_leader(g) && gang_leader(g) != l);
        CU_ASSERT(gang_write(g, 10, 100));
        gang_free(g);
    }
}

UNIT_MAIN("raft_hold", UNIT(test_hold_elects_when_all_has_ended),
          UNIT(test_hold_gives_up_what_does_not_end), UNIT(test_hold_keeps_a_call_back),
          UNIT(test_hold_ends_for_a_full_disk), UNIT(test_hold_lasts_until_the_lease_is_back),
          UNIT(test_who_has_just_started_is_not_called_in_vain))
