/* tests/unit/test_raft_change.c - what a change of the group waits for, and what it says. */
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
    return g;
}

/* asked of the leader, and not waited for; a few at once */
static struct gang_op *asked(struct gang *g, const struct journal_change *c)
{
    static struct gang_op ops[16];
    static uint32_t n;
    struct gang_op *o = &ops[n++ % ARRAY_LEN(ops)];
    *o = (struct gang_op){.op = {.done = gang_op_done}, .g = g, .busy = true};
    struct gang_member *l = gang_leader(g);
    journal_change(l->j, c, env_now_ns(sim_env(l->node)) + 5000 * GANG_MS, &o->op);
    return o;
}

/* a change whose answer comes within a second */
static int64_t soon(struct gang *g, enum journal_verb verb, uint32_t id, uint32_t other,
                    const char *addr)
{
    int64_t from = sim_now_ns(g->s);
    int64_t ret = gang_change(g, verb, id, other, addr);
    CU_ASSERT(sim_now_ns(g->s) - from < 1000 * GANG_MS);
    return ret;
}

/* The leader is replaced, by one that does not run yet: its successor goes on with that. */
static void test_replace_of_the_leader_is_gone_on_with(void)
{
    struct gang *g = started(1, 3);
    struct journal_status st;
    gang_add(g);
    g->m[3].join = true;
    uint32_t old = gang_leader(g)->id;
    struct journal_change c = {JOURNAL_REPLACE, old, 4, 0, g->m[3].addr};
    const struct gang_op *o = asked(g, &c);
    gang_run(g, 3000);
    CU_ASSERT(o->done && o->op.ret == E_NOT_LEADER);
    CU_ASSERT_FATAL(gang_leader(g) != NULL && gang_leader(g)->id != old);
    o = asked(g, &c);
    gang_run(g, 2000);
    CU_ASSERT(!o->done); /* it waits for the rest */
    gang_start(g, 3);
    gang_run(g, 2000);
    CU_ASSERT(o->done && o->op.ret == 0);
    journal_status(gang_leader(g)->j, &st);
    CU_ASSERT(st.n == 3 && st.member[2].id == 4 && st.member[2].votes && !st.member[2].joins);
    CU_ASSERT_EQUAL(soon(g, JOURNAL_REPLACE, old, 4, g->m[3].addr), E_EXIST);
    CU_ASSERT_EQUAL(soon(g, JOURNAL_REPLACE, old, 4, "x:1"), E_INVAL);
    gang_free(g);
}

/* One that is to be a voter never comes: what else is changed is done at once. */
static void test_who_never_comes_holds_up_nothing(void)
{
    struct gang *g = started(2, 3);
    struct journal_status st;
    for (int i = 0; i < 3; i++)
        gang_add(g);
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ADD, 4, 0, g->m[3].addr), E_TIMEOUT);
    uint32_t standby = gang_leader(g)->id % 3 + 1;
    CU_ASSERT_EQUAL(soon(g, JOURNAL_PRIORITY, standby, 0, NULL), E_EXIST);
    CU_ASSERT_EQUAL(soon(g, JOURNAL_PRIORITY, gang_leader(g)->id, 7, NULL), 0);
    CU_ASSERT_EQUAL(soon(g, JOURNAL_ADD_LEARNER, 5, 0, g->m[4].addr), 0);
    CU_ASSERT_EQUAL(soon(g, JOURNAL_ADD_LEARNER, 5, 0, g->m[4].addr), E_EXIST);
    CU_ASSERT_EQUAL(soon(g, JOURNAL_ADD_LEARNER, 5, 0, "elsewhere:1"), E_INVAL);
    CU_ASSERT_EQUAL(soon(g, JOURNAL_ADD, 4, 0, "elsewhere:1"), E_INVAL);
    CU_ASSERT_EQUAL(soon(g, JOURNAL_REMOVE, 5, 0, NULL), 0);
    CU_ASSERT_EQUAL(soon(g, JOURNAL_REMOVE, standby, 0, NULL), 0);
    journal_status(gang_leader(g)->j, &st);
    CU_ASSERT(st.n == 3 && st.member[2].id == 4 && st.member[2].joins);
    /* asked for again it is waited for */
    struct journal_change c = {.verb = JOURNAL_ADD, .id = 4, .addr = g->m[3].addr};
    const struct gang_op *o = asked(g, &c);
    gang_run(g, 1000);
    CU_ASSERT(!o->done);
    g->m[3].join = true;
    gang_start(g, 3);
    gang_run(g, 3000);
    CU_ASSERT(o->done && o->op.ret == 0);
    CU_ASSERT_EQUAL(soon(g, JOURNAL_ADD, 4, 0, g->m[3].addr), E_EXIST);
    CU_ASSERT(gang_write(g, 10, 100));
    gang_free(g);
}

/* Nor does one that is waited for: it is taken back, of which who waits is told, or somebody else
 * is called to lead, as when this one is to stop; then the next leader is asked for the rest. */
static void test_who_is_waited_for_holds_up_nothing(void)
{
    struct gang *g = started(20, 3);
    struct gang_member *l = gang_leader(g);
    gang_add(g);
    gang_add(g);
    struct journal_change four = {.verb = JOURNAL_ADD, .id = 4, .addr = g->m[3].addr};
    struct journal_change five = {.verb = JOURNAL_ADD, .id = 5, .addr = g->m[4].addr};
    const struct gang_op *a = asked(g, &four), *b;
    gang_run(g, 500);
    CU_ASSERT_EQUAL(soon(g, JOURNAL_PRIORITY, l->id % 3 + 1, 0, NULL), E_EXIST);
    CU_ASSERT_EQUAL(soon(g, JOURNAL_PRIORITY, l->id, 7, NULL), 0);
    b = asked(g, &five);
    gang_run(g, 500);
    CU_ASSERT(!a->done && !b->done);
    CU_ASSERT_EQUAL(soon(g, JOURNAL_REMOVE, 4, 0, NULL), 0);
    CU_ASSERT(a->done && a->op.ret == E_NOENT && !b->done);
    CU_ASSERT_EQUAL(soon(g, JOURNAL_ELECT, l->id % 3 + 1, 0, NULL), 0);
    CU_ASSERT(gang_leader(g) != l);
    gang_run(g, 100);
    CU_ASSERT(b->done && b->op.ret == E_NOT_LEADER);
    b = asked(g, &five);
    a = asked(g, &five); /* two may wait for the same */
    gang_run(g, 1000);
    CU_ASSERT(!a->done && !b->done);
    g->m[4].join = true;
    gang_start(g, 4);
    gang_run(g, 2000);
    CU_ASSERT(a->done && a->op.ret == 0 && b->done && b->op.ret == 0);
    CU_ASSERT(gang_write(g, 10, 100));
    gang_free(g);
}

/* Nor do many: then it is said that there are too many, and a hand-over goes on all the same. */
static void test_many_are_waited_for(void)
{
    struct gang *g = started(21, 3);
    const struct gang_op *o[12];
    uint32_t again = 0;
    gang_add(g);
    struct journal_change four = {.verb = JOURNAL_ADD, .id = 4, .addr = g->m[3].addr};
    for (uint32_t i = 0; i < ARRAY_LEN(o); i++) {
        o[i] = asked(g, &four);
        gang_run(g, 50);
        again += o[i]->done && o[i]->op.ret == E_AGAIN;
    }
    CU_ASSERT_EQUAL(again, 4);
    CU_ASSERT_EQUAL(soon(g, JOURNAL_ELECT, 0, 0, NULL), 0);
    gang_run(g, 100);
    for (uint32_t i = 0; i < ARRAY_LEN(o); i++)
        CU_ASSERT(o[i]->done && o[i]->op.ret == (i < 8 ? E_NOT_LEADER : E_AGAIN));
    gang_free(g);
}

/* A disk that is written down meanwhile ends nobody's waiting. */
static void test_a_learnt_disk_ends_no_change(void)
{
    struct gang *g = started(22, 3);
    struct journal_status st;
    gang_add(g);
    gang_add(g);
    struct journal_change four = {.verb = JOURNAL_ADD, .id = 4, .addr = g->m[3].addr};
    const struct gang_op *o = asked(g, &four);
    gang_run(g, 500);
    CU_ASSERT_EQUAL(soon(g, JOURNAL_ADD_LEARNER, 5, 0, g->m[4].addr), 0);
    g->m[4].join = true;
    gang_start(g, 4);
    gang_run(g, 1000);
    journal_status(gang_leader(g)->j, &st);
    CU_ASSERT(st.n == 5 && st.member[4].disk != 0 && !o->done);
    g->m[3].join = true;
    gang_start(g, 3);
    for (int i = 0; i < 20000 && !o->done; i++) {
        sim_run_until(g->s, sim_now_ns(g->s) + GANG_MS / 10);
        journal_status(gang_leader(g)->j, &st);
        CU_ASSERT(!o->done || (o->op.ret == 0 && st.member[3].votes && !st.is_changing));
    }
    CU_ASSERT(o->done);
    gang_free(g);
}

/* Who stands still is not called to lead: it would hold up what is written. */
static void test_who_is_silent_is_not_called(void)
{
    struct gang *g = started(3, 3);
    struct gang_member *l = gang_leader(g), *to = &g->m[l->id % 3];
    sim_node_pause(to->node);
    gang_run(g, 400);
    for (int i = 0; i < 5; i++) {
        int64_t from = sim_now_ns(g->s);
        CU_ASSERT_EQUAL(soon(g, JOURNAL_ELECT, to->id, 0, NULL), E_UNAVAILABLE);
        CU_ASSERT(gang_write(g, 1, 100));
        CU_ASSERT(sim_now_ns(g->s) - from < 50 * GANG_MS);
    }
    sim_node_resume(to->node);
    gang_run(g, 400);
    CU_ASSERT_EQUAL(soon(g, JOURNAL_ELECT, to->id, 0, NULL), 0);
    gang_free(g);
}

/* A leader does not say of whom it has never heard when that was. */
static void test_who_was_never_heard(void)
{
    struct gang *g = started(4, 3);
    struct gang_member *l = gang_leader(g);
    uint32_t to = l->id % 3, dead = (l->id + 1) % 3;
    struct journal_status st;
    gang_crash(g, dead, false);
    gang_run(g, 100);
    journal_status(l->j, &st);
    CU_ASSERT(st.member[dead].heard_ago_ns >= 50 * GANG_MS);
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ELECT, to + 1, 0, NULL), 0);
    gang_run(g, 1000);
    CU_ASSERT_FATAL(gang_leader(g) == &g->m[to]);
    journal_status(g->m[to].j, &st);
    CU_ASSERT_EQUAL(st.member[dead].heard_ago_ns, -1);
    CU_ASSERT(st.member[l->id - 1].heard_ago_ns >= 0);
    gang_free(g);
}

static bool is_gone(const struct gang_member *m)
{
    struct journal_status st;
    journal_status(m->j, &st);
    return st.is_gone;
}

/* Who is taken out knows it soon, and again when it starts once more; the others are what they
 * were.
 */
static void test_who_was_removed_knows_it(void)
{
    for (uint32_t way = 0; way < 4; way++) { /* the leader, one that votes, a learner, one away */
        struct gang *g = started(5 + way, way == 2 ? 2 : 3);
        struct gang_member *l = gang_leader(g), *out = way ? &g->m[l->id % 3] : l;
        if (way == 2) {
            gang_add(g);
            out = &g->m[2];
            out->join = true;
            gang_start(g, 2);
            CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ADD_LEARNER, 3, 0, out->addr), 0);
            CU_ASSERT(gang_await_equal(g, 5000));
        }
        if (way == 3)
            gang_crash(g, out->id - 1, false);
        int64_t ret = gang_change(g, JOURNAL_REMOVE, out->id, 0, NULL);
        CU_ASSERT(ret == 0 || (way == 0 && ret == E_NOT_LEADER));
        for (int restarts = 0; restarts < 2; restarts++) {
            if (!out->j)
                gang_start(g, out->id - 1);
            gang_run(g, 4000);
            CU_ASSERT_FATAL(gang_leader(g) != NULL && gang_leader(g) != out);
            CU_ASSERT(is_gone(out));
            for (uint32_t i = 0; i < g->n; i++)
                CU_ASSERT(&g->m[i] == out || !is_gone(&g->m[i]));
            gang_crash(g, out->id - 1, false);
        }
        CU_ASSERT(gang_write(g, 10, 100));
        gang_free(g);
    }
}

/* Nobody is gone who is only cut off, or just comes. */
static void test_who_is_cut_off_is_not_gone(void)
{
    struct gang *g = started(9, 3);
    struct gang_member *l = gang_leader(g), *out = &g->m[l->id % 3];
    sim_net_partition(l->node, out->node, true);
    gang_add(g);
    g->m[3].join = true;
    gang_start(g, 3);
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ADD, 4, 0, g->m[3].addr), 0);
    for (int i = 0; i < 400; i++) {
        gang_run(g, 10);
        for (uint32_t k = 0; k < 4; k++)
            CU_ASSERT(!is_gone(&g->m[k]));
    }
    gang_crash(g, 3, false);
    sim_net_heal_all(g->s);
    gang_start(g, 3);
    for (int i = 0; i < 400; i++) {
        gang_run(g, 10);
        for (uint32_t k = 0; k < 4; k++)
            CU_ASSERT(!is_gone(&g->m[k]));
    }
    gang_free(g);
}

UNIT_MAIN("raft_change", UNIT(test_replace_of_the_leader_is_gone_on_with),
          UNIT(test_who_never_comes_holds_up_nothing),
          UNIT(test_who_is_waited_for_holds_up_nothing), UNIT(test_many_are_waited_for),
          UNIT(test_a_learnt_disk_ends_no_change), UNIT(test_who_is_silent_is_not_called),
          UNIT(test_who_was_never_heard), UNIT(test_who_was_removed_knows_it),
          UNIT(test_who_is_cut_off_is_not_gone))
