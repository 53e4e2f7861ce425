/* tests/unit/test_lab_group.c - the checkers of journals alone find lies; a run is the same twice,
 * and its swarm can be overridden. */
#include "sim/lab_group_impl.h"
#include "tests/unit/unit.h"

static struct mem mem;
static struct lab_scenario scenario;

static struct lab_group *open_group(const char *more, uint64_t seed)
{
    char json[600], why[LAB_ERROR];
    unit_mem(&mem, (uint64_t)1 << 30);
    fmt_into(
        json, sizeof json,
        "{\"duration\": \"2s\", \"bound\": \"10s\", \"masters\": 1, \"clients\": 2, \"journal\": "
        "{\"only\": 1, \"raft\": 0}, \"load\": {\"threads\": 3, \"think\": \"4ms\"}%s}",
        more);
    int err = lab_scenario_parse(&scenario, json, why);
    CU_ASSERT_EQUAL_FATAL(err, 0);
    return lab_group_open(&mem, &scenario, seed, NULL, NULL);
}

static void close_group(struct lab_group *g)
{
    lab_group_close(g);
    mem_drop(&mem);
}

static uint64_t failures(struct lab_group *g, enum lab_group_verdict v)
{
    return g->check.findings[v].failures;
}

/* ---- a small truth: three records, two machines ---- */

struct truth {
    struct lab_group *g;
    struct group_node a, b;
    struct group_state st[2];
    uint8_t rec[4][GROUP_HEAD];
};

static void make_record(struct truth *t, uint32_t i, uint64_t client, uint64_t seq, uint64_t verb,
                        uint64_t a, uint64_t b)
{
    uint64_t words[8] = {i, client, seq, verb, 0, a, b, 0};
    words[7] = base_hash(NULL, 0, 0);
    memcpy(t->rec[i], words, sizeof words);
    t->g->tickets = i;
}

static void apply(struct truth *t, uint32_t who, uint64_t index, uint32_t rec)
{
    struct group_node *n = who ? &t->b : &t->a;
    uint64_t before = t->st[who].applied;
    struct group_record r;
    CU_ASSERT_FATAL(lab_group_record(t->g, index, t->rec[rec], GROUP_HEAD, &r));
    lab_group_state_apply(&t->st[who], &r, NULL, 0);
    lab_group_check_apply(n, &r, before, &t->st[who]);
}

/* client 1 writes 11, client 2 makes 22 of it; gaps between the indices */
static struct truth *tell(void)
{
    static struct truth the;
    struct truth *t = &the;
    memset(t, 0, sizeof *t);
    t->g = open_group("", 1);
    t->a = t->b = t->g->node[0];
    make_record(t, 1, 1, 1, GROUP_WRITE, 11, 0);
    make_record(t, 2, 2, 1, GROUP_CAS, 11, 22);
    make_record(t, 3, 1, 2, GROUP_WRITE, 33, 0);
    lab_group_check_role(&t->a, JOURNAL_LEADER, 1, 0, 0);
    apply(t, 0, 2, 1);
    apply(t, 0, 5, 2);
    apply(t, 1, 2, 1);
    lab_group_check_done(&t->a, 1, 1, 2, 5);
    for (unsigned v = 0; v < LAB_GROUP_VERDICTS; v++)
        CU_ASSERT_EQUAL(failures(t->g, (enum lab_group_verdict)v), 0);
    return t;
}

static void test_group_lies_of_leaders(void)
{
    for (int lie = 0; lie < 4; lie++) {
        struct truth *t = tell();
        if (lie == 0)
            lab_group_check_role(&t->b, JOURNAL_LEADER, 2, 0, 2);
        else if (lie == 1) /* a second leader of an epoch */
            lab_group_check_role(&t->b, JOURNAL_LEADER, 1, 0, 5);
        else if (lie == 2) /* without what was acknowledged */
            lab_group_check_role(&t->b, JOURNAL_LEADER, 2, 0, 1);
        else { /* an epoch below its last */
            lab_group_check_role(&t->b, JOURNAL_LEADER, 4, 0, 2);
            lab_group_check_role(&t->b, JOURNAL_LEADER, 3, 0, 2);
        }
        CU_ASSERT_EQUAL(failures(t->g, LAB_GROUP_LEADERS), lie != 0);
        close_group(t->g);
    }
}

static void test_group_lies_of_logs(void)
{
    for (int lie = 0; lie < 8; lie++) {
        struct truth *t = tell();
        if (lie == 0) {
            apply(t, 1, 5, 2);
            lab_group_check_image(&t->b, &t->st[0]);
        } else if (lie == 1) { /* another record */
            apply(t, 1, 5, 3);
        } else if (lie == 2) { /* one where nobody has one */
            apply(t, 1, 4, 2);
        } else if (lie == 3) { /* one left out */
            apply(t, 1, 6, 3);
        } else if (lie == 4) { /* one submit twice */
            apply(t, 0, 6, 2);
        } else if (lie == 5) { /* acknowledged as something else */
            lab_group_check_done(&t->a, 1, 1, 5, 5);
        } else if (lie == 6) { /* an image of another past */
            t->st[0].chain++;
            lab_group_check_image(&t->b, &t->st[0]);
        } else { /* acknowledged before it was applied */
            lab_group_check_done(&t->a, 1, 2, 5, 4);
        }
        CU_ASSERT_EQUAL(failures(t->g, LAB_GROUP_LOG) != 0, lie != 0);
        close_group(t->g);
    }
}

static void test_group_lies_of_answers(void)
{
    for (int lie = 0; lie < 7; lie++) {
        struct truth *t = tell();
        struct group_request w = {.verb = GROUP_WRITE, .client = 1, .seq = 1, .a = 11};
        struct group_request c = {.verb = GROUP_CAS, .client = 2, .seq = 1, .a = 11, .b = 22};
        struct group_request r = {.verb = GROUP_READ, .client = 3};
        struct group_answer wa = {.index = 2, .value = 11, .did = 1};
        struct group_answer ca = {.index = 5, .value = 22, .did = 1};
        struct group_answer ra = {.index = 3, .value = 11};
        uint64_t floor = 0;
        if (lie == 1)
            wa.index = 5;
        if (lie == 2)
            ra.value = 22;
        if (lie == 3)
            ca.did = 0;
        lab_group_check_write(t->g, &w, 0, floor, &wa);
        CU_ASSERT(lie == 1 || t->g->check.floor == 2);
        lab_group_check_read(t->g, &r, 0, lie == 4 ? 5 : 2, &ra);
        lab_group_check_write(t->g, &c, 0, lie == 5 ? 5 : 2, &ca);
        if (lie == 6)
            ra.index = 1;
        lab_group_check_read(t->g, &r, 0, lie == 6 ? t->g->check.floor : 3, &ra);
        CU_ASSERT_EQUAL(failures(t->g, LAB_GROUP_ANSWERS) != 0, lie != 0);
        close_group(t->g);
    }
}

static void test_group_lies_of_registers(void)
{
    for (int lie = 0; lie < 3; lie++) {
        struct lab_group *g = open_group("", 1);
        struct group_request w = {.verb = GROUP_WRITE, .client = 1, .a = 11};
        struct lab_wgl_op read = {.from = 5, .to = 9, .f = LAB_WGL_READ, .a = lie == 1 ? 12 : 11};
        struct lab_wgl_op again = {.from = 20, .to = 21, .f = LAB_WGL_READ, .a = lie == 2 ? 0 : 11};
        g->check.ops = mem_zalloc(&mem, 16 * sizeof *g->check.ops);
        g->check.cap_ops = 16;
        lab_group_check_unknown(g, &w, 1);
        read.tag = 1;
        again.tag = 2;
        g->check.ops[g->check.n_ops++] = read;
        g->check.ops[g->check.n_ops++] = again;
        lab_group_check_end(g);
        CU_ASSERT_EQUAL(failures(g, LAB_GROUP_LINEAR) != 0, lie != 0);
        close_group(g);
    }
}

/* ---- whole runs ---- */

static const char *const faults =
    ", \"swarm\": 1, \"random\": {\"power_loss_every\": \"700ms\", \"crash_every\": \"700ms\", "
    "\"stall_every\": \"300ms\", \"for\": \"100ms\", \"from\": \"100ms\"}";

static void test_group_runs_the_same_twice(void)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct lab_group_report a, b;
        struct lab_group *g = open_group(faults, seed);
        CU_ASSERT(lab_group_go(g, 0));
        lab_group_report(g, &a);
        for (unsigned v = 0; v < LAB_GROUP_VERDICTS; v++)
            CU_ASSERT_EQUAL(a.findings[v].failures, 0);
        CU_ASSERT(a.writes > 20 && a.reads > 20 && a.events > 1000);
        close_group(g);
        g = open_group(faults, seed);
        lab_group_go(g, 0);
        lab_group_report(g, &b);
        CU_ASSERT(!memcmp(a.hash, b.hash, sizeof a.hash));
        close_group(g);
    }
}

/* a journal that loses its disk behind its back is caught */
static void test_group_finds_a_lost_log(void)
{
    struct lab_group *g = open_group("", 1);
    struct lab_group_report r;
    lab_group_go(g, 1000 * GROUP_MS);
    lab_group_down(&g->node[0], sim_node_crash);
    sim_node_wipe(g->node[0].node);
    lab_group_boot(&g->node[0]);
    lab_group_go(g, 0);
    lab_group_report(g, &r);
    CU_ASSERT(r.findings[LAB_GROUP_LEADERS].failures > 0);
    CU_ASSERT(r.findings[LAB_GROUP_LOG].failures > 0);
    CU_ASSERT(r.findings[LAB_GROUP_ANSWERS].failures > 0);
    CU_ASSERT(r.findings[LAB_GROUP_LINEAR].failures > 0);
    close_group(g);
}

static void test_group_swarm_is_drawn_and_overridden(void)
{
    char why[LAB_ERROR];
    unsigned drawn = 0, kept = 0;
    open_group(", \"swarm\": 1, \"random\": {\"crash_every\": \"1s\"}", 1);
    mem_drop(&mem);
    CU_ASSERT_EQUAL(lab_scenario_set(&scenario, "random.crash_every=3s", why), 0);
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct lab_scenario s = scenario, t = scenario;
        lab_scenario_draw(&s, seed);
        lab_scenario_draw(&t, seed);
        CU_ASSERT(!strcmp(s.drawn, t.drawn) && s.n_faults == t.n_faults);
        CU_ASSERT_EQUAL(s.every_ns[LAB_FAULT_CRASH], 3000 * GROUP_MS);
        CU_ASSERT(!strstr(s.drawn, "crash_every"));
        CU_ASSERT(strlen(s.drawn) < LAB_DRAWN_MAX - 100);
        drawn += s.journal.record_bytes != scenario.journal.record_bytes;
        kept += s.journal.record_bytes == scenario.journal.record_bytes;
    }
    CU_ASSERT(drawn > 10 && kept > 10);
}

/* for a file system what is drawn keeps to what lab_scenario_check asks */
static void test_group_swarm_keeps_to_the_rules(void)
{
    const char *text = "{\"masters\": 3, \"swarm\": 1, \"journal\": {\"promise\": \"150ms\", "
                       "\"suspect_min\": \"200ms\"}}";
    char why[LAB_ERROR];
    int shorter = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct lab_scenario s;
        CU_ASSERT_EQUAL(lab_scenario_parse(&s, text, why), 0);
        lab_scenario_draw(&s, seed);
        CU_ASSERT_EQUAL(lab_scenario_check(&s, why), 0);
        shorter += s.journal.promise_ns == 100 * GROUP_MS;
        lab_scenario_drop(&s);
    }
    CU_ASSERT(shorter > 0); /* twice 150 ms would be too long */
}

UNIT_MAIN("lab_group", UNIT(test_group_lies_of_leaders), UNIT(test_group_lies_of_logs),
          UNIT(test_group_lies_of_answers), UNIT(test_group_lies_of_registers),
          UNIT(test_group_runs_the_same_twice), UNIT(test_group_finds_a_lost_log),
          UNIT(test_group_swarm_is_drawn_and_overridden), UNIT(test_group_swarm_keeps_to_the_rules))
