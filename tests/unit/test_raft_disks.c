/* tests/unit/test_raft_disks.c - which disk a member is known by, and who is taken for whom. */
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

/* asked of the leader, and not waited for */
static struct gang_op *asked(struct gang *g, uint32_t id, const char *addr)
{
    static struct gang_op o;
    struct journal_change c = {.verb = JOURNAL_ADD, .id = id, .addr = addr};
    o = (struct gang_op){.op = {.done = gang_op_done}, .g = g, .busy = true};
    struct gang_member *l = gang_leader(g);
    journal_change(l->j, &c, env_now_ns(sim_env(l->node)) + 20000 * GANG_MS, &o.op);
    return &o;
}

/* what the leader says of a member; its id is 0 if there is none */
static struct journal_member said(struct gang *g, uint32_t id)
{
    struct journal_status st;
    CU_ASSERT_FATAL(gang_leader(g) != NULL);
    journal_status(gang_leader(g)->j, &st);
    for (uint32_t i = 0; i < st.n; i++)
        if (st.member[i].id == id)
            return st.member[i];
    return (struct journal_member){0};
}

static uint64_t disk_of(const struct gang_member *m)
{
    struct journal_status st;
    journal_status(m->j, &st);
    return st.disk;
}

/* A newcomer is known by its disk while another one never comes, waited for or not: who loses it
 * does not come back under its number. */
static void test_one_that_never_comes_hides_no_disk(void)
{
    for (uint32_t waits = 0; waits < 2; waits++) {
        struct gang *g = started(1 + waits, 3);
        gang_add(g);
        gang_add(g);
        struct gang_member *n = &g->m[4];
        n->join = true;
        gang_start(g, 4);
        if (!waits)
            CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ADD, 4, 0, g->m[3].addr), E_TIMEOUT);
        if (!waits)
            CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ADD, 5, 0, n->addr), 0);
        if (waits) {
            CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ADD_LEARNER, 5, 0, n->addr), 0);
            const struct gang_op *o = asked(g, 4, g->m[3].addr);
            gang_run(g, 1000);
            CU_ASSERT(!o->done);
        }
        gang_run(g, 1000);
        CU_ASSERT(said(g, 4).joins);
        CU_ASSERT(said(g, 5).disk != 0 && said(g, 5).disk == disk_of(n));
        gang_crash(g, 4, false);
        sim_node_wipe(n->node);
        gang_start(g, 4);
        gang_run(g, 3000);
        CU_ASSERT(!said(g, 5).connected && n->n_applied == 0);
        CU_ASSERT(strstr(g->last_error, "another disk") != NULL);
        CU_ASSERT(gang_write(g, 10, 100));
        gang_free(g);
    }
}

/* Nobody gets a vote whose disk is not written down: it might lose it, and vote again. */
static void test_who_votes_is_known_by_its_disk(void)
{
    for (uint64_t seed = 10; seed < 20; seed++) {
        struct gang *g = started(seed, 3);
        gang_add(g);
        g->m[3].join = true;
        gang_start(g, 3);
        const struct gang_op *o = asked(g, 4, g->m[3].addr);
        for (int i = 0; i < 30000 && !o->done; i++) {
            sim_run_until(g->s, sim_now_ns(g->s) + GANG_MS / 10);
            struct journal_member m = said(g, 4);
            CU_ASSERT(!m.votes || m.disk == disk_of(&g->m[3]));
        }
        CU_ASSERT(o->done && o->op.ret == 0);
        gang_free(g);
    }
}

/* A number that was removed is given to another disk, elsewhere, and the old process still runs: it
 * is not taken for the new one, before that one comes and after. */
static void test_who_was_removed_is_not_the_new_one(void)
{
    for (uint64_t seed = 30; seed < 34; seed++) {
        struct gang *g = started(seed, 3);
        uint32_t i = gang_leader(g)->id % 3, id = i + 1;
        struct gang_member *old = &g->m[i], *n = &g->m[3];
        if (seed % 2) /* it is not connected when it is removed, or it is */
            sim_net_partition(old->node, gang_leader(g)->node, false);
        CU_ASSERT_EQUAL(gang_change(g, JOURNAL_REMOVE, id, 0, NULL), 0);
        gang_add(g);
        n->id = id;
        n->join = true;
        const struct gang_op *o = asked(g, id, n->addr);
        sim_net_heal_all(g->s);
        uint64_t was = old->n_applied;
        CU_ASSERT(gang_write(g, 10, 100));
        for (int k = 0; k < 300; k++) {
            gang_run(g, 10);
            struct journal_member m = said(g, id);
            CU_ASSERT(m.joins && !m.votes && !m.connected && m.disk == 0);
        }
        CU_ASSERT(!o->done && old->n_applied == was);
        gang_start(g, 3);
        gang_run(g, 3000);
        CU_ASSERT(o->done && o->op.ret == 0);
        CU_ASSERT(said(g, id).votes && said(g, id).disk == disk_of(n));
        gang_crash(g, i, false); /* it calls anew */
        gang_start(g, i);
        CU_ASSERT(gang_write(g, 10, 100));
        gang_run(g, 2000);
        CU_ASSERT(old->n_applied < n->n_applied && said(g, id).connected);
        /* the one that votes is the new one: without it there are too few */
        for (uint32_t k = 0; k < 3; k++)
            if (k != i && &g->m[k] != gang_leader(g)) {
                gang_crash(g, k, false);
                break;
            }
        gang_crash(g, 3, false);
        gang_run(g, 5000);
        CU_ASSERT(gang_leader(g) == NULL);
        gang_free(g);
    }
}

/* The same, where the disk of the new one is written down while the old one is connected with those
 * who do not lead: they stay connected with the new one only. */
static void test_who_was_removed_is_cut_off_by_all(void)
{
    struct gang *g = started(40, 3);
    uint32_t i = gang_leader(g)->id % 3, id = i + 1, k = (i + 1) % 3;
    struct gang_member *old = &g->m[i], *n = &g->m[3], *other = &g->m[k];
    struct journal_status st;
    CU_ASSERT(other != gang_leader(g));
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_REMOVE, id, 0, NULL), 0);
    gang_add(g);
    n->id = id;
    n->join = true;
    gang_start(g, 3);
    sim_net_partition(other->node, n->node, false); /* of 3 it hears the old one only */
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ADD, id, 0, n->addr), 0);
    gang_run(g, 1000);
    journal_status(other->j, &st);
    CU_ASSERT(st.member[id - 1].id == id && !st.member[id - 1].connected);
    sim_net_heal_all(g->s);
    gang_run(g, 3000);
    journal_status(other->j, &st);
    CU_ASSERT(st.member[id - 1].connected);
    CU_ASSERT(old->n_applied == 10 && gang_await_leader(g, 1000) && gang_write(g, 10, 100));
    gang_free(g);
}

/* Who reads in the log that its leader's number was another disk's follows it all the same. */
static void test_a_leader_whose_number_was_anothers(void)
{
    struct gang *g = started(50, 3);
    uint32_t i = gang_leader(g)->id % 3, id = i + 1;
    for (int k = 0; k < 2; k++) {
        CU_ASSERT_EQUAL(gang_change(g, JOURNAL_REMOVE, id, 0, NULL), 0);
        gang_crash(g, i, false);
        sim_node_wipe(g->m[i].node);
        g->m[i].found = false;
        g->m[i].join = true;
        gang_start(g, i);
        CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ADD, id, 0, g->m[i].addr), 0);
        CU_ASSERT(gang_write(g, 10, 100));
    }
    gang_run(g, 1000);
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ELECT, id, 0, NULL), 0);
    gang_add(g);
    g->m[3].join = true;
    gang_start(g, 3);
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ADD, 4, 0, g->m[3].addr), 0);
    CU_ASSERT(gang_await_equal(g, 5000));
    CU_ASSERT(gang_leader(g) == &g->m[i] && g->m[3].n_applied == 30);
    gang_free(g);
}

/* A voter lost its disk and comes back under its number, with an empty directory, while nobody runs
 * who knew its disk: it does not help one to lead that has nothing of what was acknowledged. */
static void test_a_voter_without_its_disk_elects_nobody(void)
{
    struct sim_config c = sim_config_quiet(60);
    struct gang *g = gang_new(&c, 3);
    gang_start(g, 0); /* the second has not run yet */
    gang_start(g, 2);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    CU_ASSERT(gang_write(g, 10, 100));
    CU_ASSERT(gang_await_equal(g, 5000));
    gang_crash(g, 0, false);
    gang_crash(g, 2, false);
    sim_node_wipe(g->m[2].node);
    g->m[2].found = false;
    g->m[2].join = true;
    gang_start(g, 1);
    gang_start(g, 2);
    gang_run(g, 10000);
    CU_ASSERT(gang_leader(g) == NULL);
    gang_start(g, 0);
    CU_ASSERT(gang_await_leader(g, 10000) != NULL && gang_write(g, 10, 100));
    gang_run(g, 2000);
    CU_ASSERT(g->m[0].n_applied == 20 && g->m[1].n_applied == 20 && g->m[2].n_applied == 0);
    gang_free(g);
}

/* Nor is it taken for the one that it was, where that one's disk was never heard of. */
static void test_a_voter_without_its_disk_is_refused(void)
{
    struct sim_config c = sim_config_quiet(61);
    struct gang *g = gang_new(&c, 3);
    gang_start(g, 0);
    gang_start(g, 1);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    g->m[2].found = false;
    g->m[2].join = true;
    gang_start(g, 2);
    CU_ASSERT(gang_write(g, 10, 100));
    gang_run(g, 3000);
    CU_ASSERT(!said(g, 3).connected && said(g, 3).disk == 0 && g->m[2].n_applied == 0);
    CU_ASSERT(strstr(g->last_error, "another disk") != NULL);
    gang_free(g);
}

UNIT_MAIN("raft_disks", UNIT(test_one_that_never_comes_hides_no_disk),
          UNIT(test_who_votes_is_known_by_its_disk), UNIT(test_who_was_removed_is_not_the_new_one),
          UNIT(test_who_was_removed_is_cut_off_by_all),
          UNIT(test_a_leader_whose_number_was_anothers),
          UNIT(test_a_voter_without_its_disk_elects_nobody),
          UNIT(test_a_voter_without_its_disk_is_refused))
