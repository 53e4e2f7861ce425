/* tests/unit/test_raft_drive.c - the journal of a group, in the simulated world. */
#include "core/mutant.h"
#include "journal/log_format.h"
#include "tests/unit/test_raft_world_sim.h"

static struct gang *started(uint64_t seed, uint32_t n)
{
    struct sim_config c = sim_config_quiet(seed);
    struct gang *g = gang_new(&c, n);
    for (uint32_t i = 0; i < n; i++)
        gang_start(g, i);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    return g;
}

static void test_group_writes(void)
{
    for (uint32_t n = 1; n <= 5; n += 2) {
        struct gang *g = started(n, n);
        CU_ASSERT(gang_write(g, 1000, 100));
        CU_ASSERT(gang_await_equal(g, 1000));
        CU_ASSERT(g->m[n - 1].n_applied == 1000);
        gang_free(g);
    }
}

/* A leader that was cut off hears of its successor by an append that brings what is committed in
 * place of its own records: those were not. */
static void overtaken(uint64_t seed)
{
    struct gang *g = started(seed, 3);
    CU_ASSERT(gang_write(g, 10, 100));
    CU_ASSERT(gang_await_equal(g, 1000));
    struct gang_member *l = gang_leader(g), *a = &g->m[l->id % 3], *b = &g->m[(l->id + 1) % 3];
    gang_crash(g, a->id - 1, false);
    g->cfg.raft.suspect_min_ns = 300 * GANG_MS; /* it suspects before the leader gives up */
    g->cfg.raft.suspect_max_ns = 400 * GANG_MS;
    gang_start(g, a->id - 1);
    CU_ASSERT(gang_await_equal(g, 5000));
    sim_net_partition(l->node, b->node, false);
    sim_net_partition(l->node, a->node, false);
    for (int i = 0; i < 5; i++)
        CU_ASSERT(gang_submit(g, 100));
    for (int i = 0; i < 950 && a->role != JOURNAL_LEADER; i++)
        gang_run(g, 1);
    CU_ASSERT_FATAL(a->role == JOURNAL_LEADER && l->role == JOURNAL_LEADER);
    for (int i = 0; i < 20; i++)
        CU_ASSERT(gang_submit(g, 100));
    gang_run(g, 20);
    CU_ASSERT(a->applied > l->applied && l->role == JOURNAL_LEADER);
    /* its answers take their time: it hears the append first */
    sim_net_link(l->node, a->node, 60 * GANG_MS, 60 * GANG_MS, 0);
    sim_net_heal(l->node, a->node);
    sim_net_reset(l->node, a->node);
    gang_run(g, 70); /* the old leader has said what it has to say */
    sim_net_reset(l->node, a->node);
    gang_run(g, 400);
    sim_net_heal_all(g->s);
    CU_ASSERT(gang_await_equal(g, 5000));
    CU_ASSERT(g->n_refused >= 5);
    gang_free(g);
}

static void test_group_does_not_take_anothers_record_for_its_own(void)
{
    for (uint64_t seed = 31; seed < 51; seed++)
        overtaken(seed);
}

static void test_group_survives_its_leader(void)
{
    struct gang *g = started(2, 3);
    CU_ASSERT(gang_write(g, 100, 100));
    struct gang_member *old = gang_leader(g);
    gang_crash(g, old->id - 1, false);
    int64_t t0 = sim_now_ns(g->s);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    CU_ASSERT(sim_now_ns(g->s) - t0 < 600 * GANG_MS); /* the fast path, not a suspicion */
    CU_ASSERT(gang_write(g, 100, 100));
    gang_start(g, old->id - 1);
    CU_ASSERT(gang_await_equal(g, 5000));
    CU_ASSERT(old->n_applied >= 200);
    gang_free(g);
}

static void test_group_restarts_whole(void)
{
    struct gang *g = started(3, 3);
    CU_ASSERT(gang_write(g, 300, 200));
    for (uint32_t i = 0; i < 3; i++)
        gang_crash(g, i, true);
    for (uint32_t i = 0; i < 3; i++) {
        g->m[i].found = false;
        gang_start(g, i);
    }
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    CU_ASSERT(gang_await_equal(g, 1000));
    CU_ASSERT(g->m[0].n_applied >= 300);
    CU_ASSERT(gang_write(g, 100, 100));
    gang_free(g);
}

static void test_group_ships_images(void)
{
    struct sim_config c = sim_config_quiet(4);
    struct gang *g = gang_new(&c, 3);
    g->cfg.image_after_bytes = 1 << 20;
    g->cfg.raft.keep_entries = 100;
    g->ballast = 20;
    for (uint32_t i = 0; i < 3; i++)
        gang_start(g, i);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    CU_ASSERT(gang_write(g, 100, 100));
    uint32_t away = gang_leader(g)->id % 3;
    gang_crash(g, away, false);
    CU_ASSERT(gang_write(g, 4000, 4000));
    struct journal_status st;
    for (int i = 0; i < 50; i++) { /* images come when there is time for them */
        journal_status(gang_leader(g)->j, &st);
        if (st.first_index > 200)
            break;
        CU_ASSERT(gang_write(g, 100, 4000));
        gang_run(g, 100);
    }
    CU_ASSERT(st.first_index > 200);
    g->m[away].resets = 0;
    gang_start(g, away);
    CU_ASSERT(gang_await_equal(g, 20000));
    CU_ASSERT_EQUAL(g->m[away].resets, 1); /* it took one over, at run time */
    CU_ASSERT(gang_write(g, 100, 100));
    gang_crash(g, away, true);
    gang_start(g, away);
    CU_ASSERT(gang_await_equal(g, 20000));
    gang_free(g);
}

/* A start that finds much behind its image first applies that, and then writes one of all of it. */
static void test_group_starts_without_an_image_of_the_past(void)
{
    struct journal_status st;
    struct gang *g = started(27, 3);
    CU_ASSERT(gang_write(g, 8000, 200));
    uint64_t all = gang_leader(g)->applied;
    for (uint32_t i = 0; i < 3; i++)
        gang_crash(g, i, false);
    g->cfg.image_after_bytes = 1 << 20;
    for (uint32_t i = 0; i < 3; i++)
        gang_start(g, i);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    gang_run(g, 2000);
    for (uint32_t i = 0; i < 3; i++) {
        journal_status(g->m[i].j, &st);
        CU_ASSERT(st.image_index >= all);
        if (getenv("WORLD_LOG"))
            fprintf(stderr, "image %llu of %llu\n", (unsigned long long)st.image_index,
                    (unsigned long long)all);
    }
    gang_free(g);
}

/* An image takes a second to come, and every half second there is a newer one. */
static void test_group_images_do_not_outrun_a_slow_line(void)
{
    struct sim_config c = sim_config_quiet(14);
    struct gang *g = gang_new(&c, 3);
    g->cfg.image_after_bytes = 1 << 20;
    g->cfg.raft.keep_entries = 10;
    g->ballast = 80;
    for (uint32_t i = 0; i < 3; i++)
        gang_start(g, i);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    CU_ASSERT(gang_write(g, 100, 100));
    uint32_t away = gang_leader(g)->id % 3;
    gang_crash(g, away, false);
    CU_ASSERT(gang_write(g, 4000, 4000));
    sim_net_nic(g->m[away].node, 4 << 20);
    gang_start(g, away);
    bool caught_up = false;
    for (int ms = 0; ms < 15000 && !caught_up; ms++) {
        gang_submit(g, 2000);
        gang_run(g, 1);
        struct gang_member *l = gang_leader(g);
        caught_up = l && g->m[away].applied + 100 > l->applied;
    }
    CU_ASSERT(caught_up);
    gang_free(g);
}

static void test_group_slow_follower_reads_the_log(void)
{
    struct gang *g = started(5, 3);
    uint32_t away = gang_leader(g)->id % 3;
    CU_ASSERT(gang_write(g, 10, 100));
    gang_crash(g, away, false);
    CU_ASSERT(gang_write(g, 20000, 1000)); /* more than memory holds */
    gang_start(g, away);
    CU_ASSERT(gang_await_equal(g, 20000));
    gang_free(g);
}

/* What was lost in a cut comes again only after a pause as long as the cut was: new connections are
 * made before. */
static void test_group_is_whole_soon_after_a_cut(void)
{
    for (uint64_t way = 0; way < 3; way++) {
        struct gang *g = started(40 + way, 3);
        CU_ASSERT(gang_write(g, 10, 100));
        struct gang_member *l = gang_leader(g), *b = &g->m[l->id % 3];
        if (way != 1)
            sim_net_partition(l->node, b->node, true);
        if (way != 2)
            sim_net_partition(b->node, l->node, true);
        gang_run(g, 3300); /* the tries of before: 0.2, 0.6, 1.4, 3.0 s; the next: 6.2 s */
        sim_net_heal_all(g->s);
        gang_run(g, 1200);
        CU_ASSERT_FATAL(gang_await_leader(g, 3000) != NULL);
        CU_ASSERT(gang_write(g, 10, 100));
        CU_ASSERT(gang_await_equal(g, 100));
        gang_free(g);
    }
}

/* a lease is as long as what the others are believed to promise */
static void test_group_takes_nothing_from_another_promise(void)
{
    struct gang *g = started(44, 3);
    uint32_t odd = gang_leader(g)->id % 3;
    int64_t promise_ns = g->cfg.raft.promise_ns;
    gang_crash(g, odd, false);
    g->cfg.raft.promise_ns = promise_ns / 2;
    gang_start(g, odd);
    CU_ASSERT(gang_write(g, 10, 100));
    gang_run(g, 3000);
    CU_ASSERT(g->m[odd].applied < gang_leader(g)->applied);
    gang_crash(g, odd, false);
    g->cfg.raft.promise_ns = promise_ns;
    gang_start(g, odd);
    CU_ASSERT(gang_await_equal(g, 5000));
    gang_free(g);
}

/* who is preferred most is dead: the next one is handed over to, and nobody is held up */
static void test_group_prefers_who_lives(void)
{
    struct gang *g = started(46, 3);
    struct gang_member *l = gang_leader(g), *b = &g->m[l->id % 3], *dead = &g->m[(l->id + 1) % 3];
    gang_crash(g, dead->id - 1, false);
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_PRIORITY, dead->id, 3, NULL), 0);
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_PRIORITY, b->id, 2, NULL), 0);
    for (int i = 0; i < 10; i++) {
        gang_run(g, 900);
        CU_ASSERT(gang_write(g, 1, 100));
    }
    CU_ASSERT(gang_leader(g) == b);
    gang_start(g, dead->id - 1);
    for (int i = 0; i < 10; i++) {
        gang_run(g, 900);
        CU_ASSERT(gang_write(g, 1, 100));
    }
    CU_ASSERT(gang_leader(g) == dead);
    gang_free(g);
}

static void test_group_changes(void)
{
    struct gang *g = started(6, 3);
    CU_ASSERT(gang_write(g, 100, 100));
    gang_add(g);
    g->m[3].join = true;
    gang_start(g, 3);
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ADD, 4, 0, g->m[3].addr), 0);
    CU_ASSERT(gang_await_equal(g, 5000));
    struct journal_status st;
    journal_status(gang_leader(g)->j, &st);
    CU_ASSERT_EQUAL(st.n, 4);
    uint32_t out = gang_leader(g)->id;
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_REMOVE, out, 0, NULL), 0);
    gang_run(g, 3000);
    CU_ASSERT_FATAL(gang_leader(g) != NULL);
    CU_ASSERT(gang_leader(g)->id != out);
    CU_ASSERT(gang_write(g, 100, 100));
    journal_status(gang_leader(g)->j, &st);
    CU_ASSERT_EQUAL(st.n, 3);
    gang_crash(g, out - 1, false);
    /* a dead member is replaced */
    uint32_t dead = gang_leader(g)->id;
    while (dead == gang_leader(g)->id || dead == out)
        dead = dead % 4 + 1;
    gang_crash(g, dead - 1, false);
    gang_add(g);
    g->m[4].join = true;
    gang_start(g, 4);
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_REPLACE, dead, 5, g->m[4].addr), 0);
    CU_ASSERT(gang_write(g, 100, 100));
    CU_ASSERT(gang_await_equal(g, 5000));
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_REPLACE, dead, 6, "x:1"), E_INVAL);
    /* asked once more, by somebody who did not hear the answer */
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_REPLACE, dead, 5, g->m[4].addr), E_EXIST);
    gang_free(g);
}

/* One that was to take another's place dies before it is in: the next one takes its place. */
static void test_group_replaces_who_never_came(void)
{
    struct gang *g = started(7, 3);
    struct journal_status st;
    CU_ASSERT(gang_write(g, 20, 100));
    uint32_t dead = gang_leader(g)->id % 3 + 1;
    gang_crash(g, dead - 1, false);
    gang_add(g);
    gang_add(g);
    g->m[4].join = true;
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_REPLACE, dead, 4, g->m[3].addr), E_TIMEOUT);
    journal_status(gang_leader(g)->j, &st);
    CU_ASSERT(st.n == 3 && st.member[2].id == 4 && st.member[2].joins);
    gang_start(g, 4);
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_REPLACE, 4, 5, g->m[4].addr), 0);
    journal_status(gang_leader(g)->j, &st);
    CU_ASSERT(st.n == 3 && st.member[2].id == 5 && st.member[2].votes);
    CU_ASSERT(gang_write(g, 20, 100));
    gang_free(g);
}

static void test_group_elects(void)
{
    struct gang *g = started(7, 3);
    CU_ASSERT(gang_write(g, 100, 100));
    uint32_t to = gang_leader(g)->id % 3 + 1;
    int64_t t0 = sim_now_ns(g->s);
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ELECT, to, 0, NULL), 0);
    gang_run(g, 20);
    CU_ASSERT(sim_now_ns(g->s) - t0 < 100 * GANG_MS);
    CU_ASSERT_FATAL(gang_leader(g) != NULL);
    CU_ASSERT_EQUAL(gang_leader(g)->id, to);
    CU_ASSERT(gang_write(g, 100, 100));
    gang_free(g);
}

/* a large record, submitted there; its answer, or 0: there is none within a second */
static int64_t large(struct gang *g, struct gang_member *m, struct gang_op *o)
{
    static uint8_t rec[60000];
    *o = (struct gang_op){.op = {.done = gang_op_done}, .g = g, .busy = true};
    o->value = ++g->next_value;
    memset(rec, (int)o->value, sizeof rec);
    base_put_u64(rec, o->value);
    journal_submit(m->j, rec, sizeof rec, &o->op);
    for (int k = 0; k < 1000 && !o->done; k++)
        gang_run(g, 1);
    return o->done ? o->op.ret : 0;
}

static void fill(struct gang_member *m)
{
    struct sim_disk_config full = sim_config_quiet(0).disk;
    full.capacity = sim_disk_used(m->node) + 1;
    sim_disk_set(m->node, &full);
}

/* A leader whose disk fills up hands over.  Meanwhile records are to come again, not refused for
 * good: others have space.  A member that is alone says that it has none. */
static void test_group_moves_from_a_full_disk(void)
{
    static struct gang_op o, last;
    uint32_t again = 0, no_space = 0;
    struct gang *g = started(21, 3);
    CU_ASSERT(gang_write(g, 100, 100));
    struct gang_member *l = gang_leader(g);
    fill(l);
    for (int i = 0; i < 4000 && l->role == JOURNAL_LEADER; i++) {
        int64_t ret = large(g, l, &o);
        CU_ASSERT_FATAL(ret != 0);
        again += ret == E_AGAIN;
        no_space += ret == E_NOSPC;
    }
    CU_ASSERT(again > 0);
    CU_ASSERT_EQUAL(no_space, 0);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    CU_ASSERT(gang_leader(g) != l && gang_write(g, 100, 100));
    gang_free(g);
    g = started(22, 1);
    fill(&g->m[0]);
    int64_t ret = 1;
    for (int i = 0; i < 4000 && ret > 0; i++) /* the one that does not fit waits for space */
        ret = large(g, &g->m[0], &o);
    no_space += large(g, &g->m[0], &last) == E_NOSPC;
    CU_ASSERT(no_space > 0);
    gang_free(g);
}

static bool full_reads(struct gang *g, struct gang_member *l)
{
    struct gang_op b = {.op = {.done = gang_op_done}, .g = g, .busy = true};
    journal_barrier(l->j, &b.op);
    gang_run(g, 1000);
    return b.done && b.op.ret == 0;
}

/* With all disks full who leads goes on, and another one when it goes: what is there can be read.
 */
static void test_group_that_is_full_answers_reads(void)
{
    static struct gang_op o;
    struct gang *g = started(23, 3);
    CU_ASSERT(gang_write(g, 100, 100));
    CU_ASSERT(gang_await_equal(g, 1000));
    gang_run(g, 5000); /* the reserve is written slowly */
    for (uint32_t i = 0; i < 3; i++)
        fill(&g->m[i]);
    struct gang_member *l = gang_leader(g);
    int64_t ret = 1;
    for (int i = 0; i < 400 && ret != E_NOSPC && ret; i++)
        ret = large(g, l, &o);
    gang_run(g, 20000);
    CU_ASSERT_FATAL(gang_leader(g) == l && l->role == JOURNAL_LEADER);
    CU_ASSERT(full_reads(g, l));
    uint32_t gone = (uint32_t)(l - g->m);
    gang_crash(g, gone, false);
    CU_ASSERT_FATAL((l = gang_await_leader(g, 30000)) != NULL);
    CU_ASSERT(full_reads(g, l));
    ret = large(g, l, &o);
    CU_ASSERT(ret == E_NOSPC || ret == E_AGAIN); /* the one that went may have space */
    gang_run(g, 20000);
    CU_ASSERT_FATAL(gang_leader(g) == l && full_reads(g, l));
    gang_start(g, gone);
    gang_run(g, 5000);
    CU_ASSERT_FATAL((l = gang_leader(g)) != NULL);
    CU_ASSERT(full_reads(g, l));
    for (uint32_t i = 0; i < 3; i++) {
        struct sim_disk_config c = sim_config_quiet(0).disk;
        sim_disk_set(g->m[i].node, &c);
    }
    gang_run(g, 20000);
    CU_ASSERT(gang_write(g, 10, 100)); /* there is space again */
    gang_free(g);
}

static void test_group_reads(void)
{
    struct gang *g = started(8, 3);
    CU_ASSERT(gang_write(g, 100, 100));
    for (uint32_t i = 0; i < 3; i++) {
        struct gang_op o = {.op = {.done = gang_op_done}, .g = g, .busy = true};
        journal_barrier(g->m[i].j, &o.op);
        for (int k = 0; k < 1000 && !o.done; k++)
            gang_run(g, 1);
        CU_ASSERT(o.done && o.op.ret == 0);
        CU_ASSERT_EQUAL(g->m[i].n_applied, 100);
    }
    gang_free(g);
}

/* A leader that stood still through its successor's election is asked before its timers tell it
 * anything: the clock does. */
static void test_group_reads_by_the_clock_of_now(void)
{
    struct gang *g = started(31, 3);
    CU_ASSERT(gang_write(g, 10, 100));
    gang_run(g, 200);
    struct gang_member *l = gang_leader(g);
    struct gang_op o = {.op = {.done = gang_op_done}, .g = g, .busy = true};
    journal_barrier(l->j, &o.op);
    gang_run(g, 1);
    CU_ASSERT(o.done && o.op.ret == 0); /* it has a lease */
    for (uint32_t i = 0; i < 3; i++)
        if (&g->m[i] != l)
            sim_net_partition(l->node, g->m[i].node, false);
    sim_node_pause(l->node);
    gang_run(g, 5000);
    CU_ASSERT(gang_leader(g) != l && gang_write(g, 5, 100));
    sim_node_resume(l->node);
    o = (struct gang_op){.op = {.done = gang_op_done}, .g = g, .busy = true};
    journal_barrier(l->j, &o.op);
    gang_run(g, 20);
    CU_ASSERT(!o.done || o.op.ret < 0);
    gang_run(g, 5000);
    CU_ASSERT(o.done && l->n_applied == 10);
    sim_net_heal_all(g->s);
    CU_ASSERT(gang_await_equal(g, 10000));
    gang_free(g);
}

/* A leader that stood still itself does not blame its disk, and hands nothing over. */
static void test_group_stays_with_who_paused(void)
{
    struct gang *g = started(32, 3);
    CU_ASSERT(gang_write(g, 10, 100));
    struct gang_member *l = gang_leader(g);
    struct journal_status before, after;
    struct sim_disk_config slow = *sim_disk_get(l->node);
    slow.write_mean_ns = slow.write_min_ns = 20 * GANG_MS;
    sim_disk_set(l->node, &slow);
    struct gang_op o = {.op = {.done = gang_op_done}, .g = g, .busy = true}, read = o;
    journal_status(l->j, &before);
    uint8_t rec[16] = {0};
    base_put_u64(rec, o.value = ++g->next_value);
    journal_submit(l->j, rec, sizeof rec, &o.op);
    gang_run(g, 2); /* its disk is not done yet */
    sim_node_pause(l->node);
    journal_barrier(g->m[l == &g->m[0]].j, &read.op); /* somebody asks it before that */
    gang_run(g, 700);                                 /* suspicion begins at 1000 */
    sim_node_resume(l->node);
    gang_run(g, 1000);
    CU_ASSERT(o.done && o.op.ret > 0);
    CU_ASSERT_PTR_EQUAL(gang_leader(g), l);
    journal_status(l->j, &after);
    CU_ASSERT_EQUAL(after.epoch, before.epoch);
    CU_ASSERT_EQUAL(g->n_stalls, 0);
    gang_free(g);
}

/* its promises went with its disk: the others do not talk to it */
static void test_group_refuses_a_wiped_disk(void)
{
    struct gang *g = started(9, 3);
    CU_ASSERT(gang_write(g, 100, 100));
    gang_run(g, 1000); /* the disks are written down */
    uint32_t w = gang_leader(g)->id % 3;
    gang_crash(g, w, false);
    sim_node_wipe(g->m[w].node);
    g->m[w].found = false;
    gang_start(g, w);
    gang_run(g, 1000);
    CU_ASSERT_EQUAL(g->m[w].role, JOURNAL_FAILED); /* nothing here, and no leave to begin */
    gang_crash(g, w, false);
    g->m[w].found = true;
    gang_start(g, w);
    gang_run(g, 5000);
    CU_ASSERT(g->m[w].n_applied == 0);
    CU_ASSERT(strstr(g->last_error, "another disk") != NULL);
    CU_ASSERT(gang_write(g, 10, 100));
    gang_free(g);
}

/* what journal.meta of member i says; copy 0 or 1, or 2: the one that counts.  false: it is bad */
static bool meta_of(struct gang *g, uint32_t i, uint32_t copy, struct log_meta *ret_m)
{
    static uint8_t b[2 * LOG_BLOCK];
    bool found = false;
    CU_ASSERT_EQUAL(sim_disk_read(g->m[i].node, "journal.meta", b, sizeof b, 0), sizeof b);
    for (uint32_t k = 0; k < 2; k++) {
        struct log_meta m;
        memcpy(&m, b + k * LOG_BLOCK, sizeof m);
        if (log_format_check(b + k * LOG_BLOCK, LOG_BLOCK, LOG_META_MAGIC) ||
            (copy < 2 && copy != k) || (found && m.counter < ret_m->counter))
            continue;
        found = true;
        *ret_m = m;
    }
    return found;
}

/* Whatever it told of its vote it knows again, with any one copy gone; and both are good again
 * before it tells anything. */
static void test_group_keeps_its_vote_though_a_copy_rots(void)
{
    for (uint32_t copy = 0; copy < 2; copy++) {
        struct gang *g = started(92, 3);
        CU_ASSERT(gang_write(g, 10, 100));
        gang_crash(g, gang_leader(g)->id - 1, false); /* another term, another vote */
        CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
        CU_ASSERT(gang_write(g, 10, 100));
        gang_run(g, 100);
        for (uint32_t i = 0; i < 3; i++)
            if (g->m[i].j)
                gang_crash(g, i, true);
        for (uint32_t i = 0; i < 3; i++) {
            struct log_meta was, is, other;
            CU_ASSERT_FATAL(meta_of(g, i, 2, &was));
            sim_disk_flip(g->m[i].node, "journal.meta", copy * LOG_BLOCK + 50, 3);
            CU_ASSERT_FATAL(meta_of(g, i, 2, &is));
            CU_ASSERT(is.epoch == was.epoch && is.vote == was.vote);
            gang_start(g, i);
            gang_run(g, 100); /* alone, and before it stands */
            CU_ASSERT(g->m[i].role == JOURNAL_STANDBY);
            CU_ASSERT(meta_of(g, i, 0, &is) && meta_of(g, i, 1, &other));
            CU_ASSERT(is.epoch == was.epoch && is.vote == was.vote);
            CU_ASSERT_EQUAL(is.counter, other.counter);
            gang_crash(g, i, true);
        }
        for (uint32_t i = 0; i < 3; i++)
            gang_start(g, i);
        CU_ASSERT(gang_await_leader(g, 10000) != NULL);
        CU_ASSERT(gang_await_equal(g, 5000));
        gang_free(g);
    }
}

/* nor is a copy missed whose place cannot be read any more */
static void test_group_keeps_its_vote_though_a_copy_is_unreadable(void)
{
    for (uint32_t copy = 0; copy < 3; copy++) {
        struct gang *g = started(92, 1);
        struct log_meta was, is, other;
        CU_ASSERT(gang_write(g, 10, 100));
        gang_crash(g, 0, true);
        CU_ASSERT_FATAL(meta_of(g, 0, 2, &was));
        for (uint32_t k = 0; k < 2; k++)
            if (copy == k || copy == 2)
                CU_ASSERT_EQUAL(sim_disk_bad(g->m[0].node, "journal.meta", k * LOG_BLOCK), 0);
        gang_start(g, 0);
        gang_run(g, 100);
        CU_ASSERT_EQUAL(g->m[0].role == JOURNAL_FAILED, copy == 2);
        if (copy < 2) {
            CU_ASSERT(gang_await_leader(g, 10000) != NULL && g->m[0].n_applied == 10);
            CU_ASSERT(meta_of(g, 0, 0, &is) && meta_of(g, 0, 1, &other));
            CU_ASSERT(is.counter > was.counter && is.counter == other.counter);
            CU_ASSERT(is.epoch >= was.epoch && is.disk == was.disk);
        }
        gang_free(g);
    }
}

/* flips a bit in what member i has written of its log, or lets its disk not read that block */
static void damage(struct gang *g, uint32_t i, double at, bool is_bad)
{
    static uint8_t b[1 << 20];
    const char *seg = NULL;
    char name[ENV_NAME_MAX] = "";
    for (const char *f = ""; (f = sim_disk_next(g->m[i].node, f));)
        if ((seg = strstr(f, "wal-")) && !name[0])
            fmt_into(name, sizeof name, "%s", f);
    int64_t n = sim_disk_read(g->m[i].node, name, b, sizeof b, 0), used = 0;
    for (int64_t k = 0; k < n; k++)
        used = b[k] ? k : used;
    uint64_t off = (uint64_t)((double)used * at);
    if (is_bad)
        CU_ASSERT_EQUAL(sim_disk_bad(g->m[i].node, name, off / LOG_BLOCK * LOG_BLOCK), 0);
    if (!is_bad)
        CU_ASSERT_EQUAL(sim_disk_flip(g->m[i].node, name, off, 3), 0);
}

/* 300 records acknowledged, 200 of them by the leader and a alone; then the leader is dead, a's log
 * is damaged, and b never had them */
static struct gang *damaged(int k, uint32_t *ret_a, uint32_t *ret_leader)
{
    struct gang *g = started(20 + (uint64_t)k, 3);
    struct gang_member *l = gang_leader(g);
    uint32_t a = l->id % 3, b = (l->id + 1) % 3;
    CU_ASSERT(gang_write(g, 100, 300));
    CU_ASSERT(gang_await_equal(g, 1000));
    gang_crash(g, b, false);
    CU_ASSERT(gang_write(g, 200, 300));
    gang_run(g, 200);
    gang_crash(g, a, false);
    gang_crash(g, l->id - 1, false);
    /* 1: nothing behind it proves that it was durable; 0: the header */
    static const double at[] = {0.2, 0.6, 0.9, 0.2, 0.6, 0.9, 1, 0};
    damage(g, a, at[k], k >= 3);
    gang_start(g, a);
    gang_start(g, b);
    gang_run(g, 10000);
    *ret_a = a;
    *ret_leader = l->id - 1;
    return g;
}

/* A member whose log was damaged gets it back from the others; until then it helps nobody who
 * lacks what it had answered for. */
static void test_group_repairs_a_damaged_log(void)
{
    for (int k = 0; k < 8; k++) {
        uint32_t a, l;
        struct gang *g = damaged(k, &a, &l);
        CU_ASSERT(gang_leader(g) == NULL);
        struct journal_status st;
        journal_status(g->m[a].j, &st);
        CU_ASSERT(st.repairing);
        gang_start(g, l);
        CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
        CU_ASSERT(gang_await_equal(g, 5000));
        CU_ASSERT(g->m[a].n_applied >= 300);
        gang_run(g, 500);
        journal_status(g->m[a].j, &st);
        CU_ASSERT(!st.repairing);
        struct log_meta m;
        CU_ASSERT(meta_of(g, a, 0, &m) && m.lost_term == 0); /* a restart need not ask again */
        CU_ASSERT(gang_write(g, 10, 100));
        CU_ASSERT(gang_await_equal(g, 1000));
        /* whole again: with either of the others it is a majority */
        gang_crash(g, gang_leader(g)->id - 1, false);
        CU_ASSERT(gang_await_leader(g, 10000) != NULL);
        gang_free(g);
    }
}

#ifdef TARN_MUTANTS
static void test_group_that_forgets_its_damage(void)
{
    uint32_t a, l;
    mutant_on = MUTANT_RAFT_FLOOR_FORGOTTEN;
    struct gang *g = damaged(1, &a, &l);
    CU_ASSERT(gang_leader(g) != NULL); /* without what was acknowledged */
    mutant_on = MUTANT_NONE;
    gang_free(g);
}
#else
static void test_group_that_forgets_its_damage(void) {}
#endif

/* Each vote is written to a file that has to be opened, and that takes longer than a round of votes
 * at first. */
static void test_group_elects_on_slow_disks(void)
{
    struct gang *g = started(77, 3);
    CU_ASSERT(gang_write(g, 100, 100));
    CU_ASSERT(gang_await_equal(g, 5000));
    for (uint32_t i = 0; i < 3; i++) {
        struct sim_disk_config c = *sim_disk_get(g->m[i].node);
        c.read_min_ns = c.read_mean_ns = 1000 * GANG_MS;
        sim_disk_set(g->m[i].node, &c);
    }
    gang_run(g, 5000);
    CU_ASSERT_FATAL(gang_leader(g) != NULL); /* who leads needs no reads */
    gang_crash(g, gang_leader(g)->id - 1, false);
    CU_ASSERT(gang_await_leader(g, 30000) != NULL);
    gang_free(g);
}

/* All masters start at once, and each disk takes a second to open or read anything. */
static void test_group_restarts_whole_on_slow_disks(void)
{
    for (uint64_t k = 0; k < 4; k++) {
        struct gang *g = started(80 + k, 3);
        CU_ASSERT(gang_write(g, 300, 200));
        for (uint32_t i = 0; i < 3; i++) {
            struct sim_disk_config c = *sim_disk_get(g->m[i].node);
            gang_crash(g, i, k % 2);
            c.read_min_ns = c.read_mean_ns = 1000 * GANG_MS;
            sim_disk_set(g->m[i].node, &c);
        }
        for (uint32_t i = 0; i < 3; i++)
            gang_start(g, i);
        uint32_t open = 0;
        for (int ms = 0; ms < 120000 && open < 3; ms += 10, gang_run(g, 10))
            for (open = 0; open < 3 && g->m[open].role == JOURNAL_STANDBY;)
                open++;
        CU_ASSERT_FATAL(open == 3);
        CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL); /* one open of the file of votes */
        CU_ASSERT(gang_await_equal(g, 60000));
        CU_ASSERT(g->m[0].n_applied >= 300);
        gang_free(g);
    }
}

static void test_group_stops(void)
{
    struct gang *g = started(10, 3);
    CU_ASSERT(gang_write(g, 50, 100));
    for (uint32_t i = 0; i < 3; i++) {
        struct gang_op o = {.op = {.done = gang_op_done}, .g = g, .busy = true};
        env_unlisten(sim_env(g->m[i].node), &g->m[i].acceptor);
        journal_stop(g->m[i].j, &o.op);
        for (int k = 0; k < 5000 && !o.done; k++)
            gang_run(g, 1);
        CU_ASSERT(o.done);
        g->m[i].j = NULL;
        CU_ASSERT(list_empty(&sim_mem(g->m[i].node)->large)); /* every buffer given back */
    }
    gang_free(g);
}

/* crashes and cuts at random; all that was acknowledged stays, all members end equal */
static void test_group_storm(void)
{
    uint32_t taken = 0;
    const char *one = getenv("RAFT_DRIVE_SEED");
    uint64_t from = one ? strtoull(one, NULL, 10) : 1, n = one ? 1 : 12;
    for (uint64_t seed = from; seed < from + n; seed++) {
        struct sim_config c = sim_config_stormy(seed);
        c.disk.sync_fail_ppm = c.disk.write_eio_ppm = c.disk.read_eio_ppm = 0;
        c.disk.misdirect_ppm = 0;
        struct gang *g = gang_new(&c, seed % 2 ? 3 : 5);
        bool images = seed % 3 != 1; /* those who were away fetch them */
        g->cfg.image_after_bytes = images ? 300000 : 256 << 20;
        g->cfg.raft.keep_entries = images ? 50 : 50000;
        g->cfg.segment_bytes = 1 << 20;
        g->ballast = 3;
        for (uint32_t i = 0; i < g->n; i++)
            gang_start(g, i);
        for (int round = 0; round < 40; round++) {
            uint32_t i = (uint32_t)sim_random(g->s, g->n), k = (uint32_t)sim_random(g->s, g->n);
            switch (sim_random(g->s, 6)) {
            case 0:
                if (g->m[i].j)
                    gang_crash(g, i, sim_random(g->s, 2));
                break;
            case 1:
                if (i != k)
                    sim_net_partition(g->m[i].node, g->m[k].node, sim_random(g->s, 2));
                break;
            case 2:
                sim_net_heal_all(g->s);
                break;
            default:
                if (!g->m[i].j)
                    gang_start(g, i);
            }
            for (int j = 0; j < 50; j++) {
                gang_submit(g, 8 + (uint32_t)sim_random(g->s, 2000));
                gang_run(g, 1 + (int64_t)sim_random(g->s, 10));
            }
            for (uint32_t f = 0; f < g->n; f++)
                if (g->m[f].j && g->m[f].role == JOURNAL_FAILED)
                    gang_crash(g, f, false);
        }
        sim_net_heal_all(g->s);
        for (uint32_t i = 0; i < g->n; i++)
            if (!g->m[i].j)
                gang_start(g, i);
        CU_ASSERT(gang_await_leader(g, 30000) != NULL);
        CU_ASSERT(gang_write(g, 10, 100));
        bool equal = gang_await_equal(g, 30000);
        CU_ASSERT(equal);
        for (uint32_t i = 0; i < g->n; i++)
            taken += g->m[i].resets;
        if (!equal || g->bad)
            fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        gang_free(g);
    }
    CU_ASSERT(one || taken > 0); /* images of others */
}

UNIT_MAIN("raft_drive", UNIT(test_group_writes),
          UNIT(test_group_does_not_take_anothers_record_for_its_own),
          UNIT(test_group_survives_its_leader), UNIT(test_group_restarts_whole),
          UNIT(test_group_ships_images), UNIT(test_group_images_do_not_outrun_a_slow_line),
          UNIT(test_group_slow_follower_reads_the_log), UNIT(test_group_is_whole_soon_after_a_cut),
          UNIT(test_group_takes_nothing_from_another_promise), UNIT(test_group_prefers_who_lives),
          UNIT(test_group_changes), UNIT(test_group_replaces_who_never_came),
          UNIT(test_group_elects), UNIT(test_group_moves_from_a_full_disk), UNIT(test_group_reads),
          UNIT(test_group_stays_with_who_paused), UNIT(test_group_that_is_full_answers_reads),
          UNIT(test_group_reads_by_the_clock_of_now), UNIT(test_group_refuses_a_wiped_disk),
          UNIT(test_group_stops), UNIT(test_group_repairs_a_damaged_log),
          UNIT(test_group_starts_without_an_image_of_the_past),
          UNIT(test_group_that_forgets_its_damage), UNIT(test_group_storm),
          UNIT(test_group_elects_on_slow_disks), UNIT(test_group_restarts_whole_on_slow_disks),
          UNIT(test_group_keeps_its_vote_though_a_copy_rots),
          UNIT(test_group_keeps_its_vote_though_a_copy_is_unreadable))
