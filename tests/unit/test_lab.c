/* tests/unit/test_lab.c - scenarios, whole runs, and for each clause of the checkers of file
 * systems lies that they must find (test_lab_lies: each checker alone). */
#include "core/fmt.h"
#include "sim/lab_check_impl.h"
#include "sim/lab_run.h"
#include "tests/unit/test_lab_content.h"
#include "tests/unit/test_lab_lie.h"
#include "tests/unit/unit.h"

/* ---- scenarios ---- */

static void test_lab_scenario(void)
{
    static struct lab_scenario s;
    char why[LAB_ERROR];
    int err = lab_scenario_parse(
        &s,
        "{\"duration\": \"1.5s\", \"workers\": 3, \"net\": {\"loss_ppm\": 7},"
        " \"faults\": [{\"at\": \"250ms\", \"do\": \"crash\", \"node\": \"w1\"}]}",
        why);
    CU_ASSERT_EQUAL(err, 0);
    CU_ASSERT_EQUAL(s.duration_ns, 1500 * ms);
    CU_ASSERT_EQUAL(s.workers, 3);
    CU_ASSERT_EQUAL(s.sim.net.loss_ppm, 7);
    CU_ASSERT_EQUAL(s.n_faults, 1);
    CU_ASSERT_EQUAL(s.faults[0].kind, LAB_FAULT_CRASH);
    CU_ASSERT_EQUAL(s.faults[0].at_ns, 250 * ms);
    CU_ASSERT_EQUAL(lab_scenario_set(&s, "load.think=3us", why), 0);
    CU_ASSERT_EQUAL(s.load.think_ns, 3000);
}

static void test_lab_scenario_bad(void)
{
    static struct lab_scenario s;
    static const struct {
        const char *json, *says;
    } bad[] = {
        {"{\"worker\": 3}", "did you mean \"workers\""},
        {"{\"net\": {\"los_ppm\": 3}}", "did you mean \"net.loss_ppm\""},
        {"{\"net\": {\"lss\": 3}}", "did you mean \"net.loss_ppm\""},
        {"{\"duration\": \"5 parsecs\"}", "is not a time"},
        {"{\"duration\": -1}", "is not a time"},
        {"{\"workers\": 10000}", "from 0 to"},
        {"{\"workers\": \"two\"}", "is not a number"},
        {"{\"workers\": {}}", "is not a number"},
        {"{\"net\": {\"loss_ppm\": {}}}", "is not a number"},
        {"{\"profile\": \"windy\"}", "neither quiet nor stormy"},
        {"{\"faults\": [{\"at\": \"1s\", \"do\": \"power_los\", \"node\": \"m1\"}]}",
         "did you mean \"power_loss\""},
        {"{\"faults\": [{\"at\": \"1s\", \"node\": \"m1\"}]}", "needs \"at\""},
        {"{\"faults\": [{\"when\": \"1s\"}]}", "unknown key \"when\""},
        {"{\"faults\": 7}", "not a list"},
        {"{\"what\": {}}", "unknown key"},
        {"{\"worker\": {\"page_bytes\": 16384}}", "power of two from 65536"},
        {"{\"worker\": {\"page_bytes\": 100000}}", "power of two from 65536"},
        {"{\"duration\": \"1s\",\n}", "line 2"},
        {"{\"masters\": 1,\n \"net\": {\"rto\": \"1s\",\n  \"loss_ppm\": 1.5}}",
         "line 3, net.loss_ppm: \"a number with a fraction\""},
        {"{\"about\": \"a \\\"b: {[,\",\n\"faults\": [\n {\"at\": 0, \"do\": \"crash\", \"node\": "
         "\"m1\"},\n\n {\"at\": 1,\n\"do\": \"crsh\"}]}",
         "line 6, faults[1].do: unknown fault \"crsh\"; did you mean \"crash\"?"},
        {"{\"faults\": [{\"at\": 0, \"do\": \"crash\", \"nod\": \"m1\"}]}",
         "did you mean \"node\""},
        {"{\"operations\": [{\"at\": 1}]}", "line 1, operations[0]: "},
        {"[]", "not a JSON object"},
        {"", "not a JSON object"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char why[LAB_ERROR] = "";
        int err = lab_scenario_parse(&s, bad[i].json, why);
        CU_ASSERT_EQUAL(err, E_CONFIG);
        if (!strstr(why, bad[i].says))
            printf("\n%s: %s\n", bad[i].json, why);
        CU_ASSERT(strstr(why, bad[i].says) != NULL);
    }
    char why[LAB_ERROR] = "";
    CU_ASSERT_EQUAL(lab_scenario_set(&s, "load.think", why), E_CONFIG);
    CU_ASSERT_EQUAL(lab_scenario_set(&s, "load.thimk=1ms", why), E_CONFIG);
    CU_ASSERT(strstr(why, "load.think") != NULL);
}

static void test_lab_scenario_draw(void)
{
    static struct lab_scenario a, b;
    lab_scenario_default(&a);
    a.every_ns[LAB_FAULT_CRASH] = sec;
    b = a;
    b.every_ns[LAB_FAULT_RESET] = sec; /* another stream: it shifts nothing */
    lab_scenario_draw(&a, 5);
    lab_scenario_draw(&b, 5);
    uint32_t k = 0;
    CU_ASSERT(a.n_faults > 3 && b.n_faults > a.n_faults);
    for (uint32_t i = 0; i < b.n_faults; i++) {
        CU_ASSERT(i == 0 || b.faults[i - 1].at_ns <= b.faults[i].at_ns);
        if (b.faults[i].kind == LAB_FAULT_CRASH) {
            CU_ASSERT_EQUAL(memcmp(&a.faults[k], &b.faults[i], sizeof a.faults[k]), 0);
            k++;
        }
    }
    CU_ASSERT_EQUAL(k, a.n_faults);
}

/* "swarm": 2 draws what a file system has, and nothing that a run cannot work with */
static void test_lab_scenario_swarm_of_files(void)
{
    static const char *const keys[] = {
        " worker.page_bytes=",    " worker.capacity_bytes=",  " master.lease=",
        " master.session=",       " store.latency_mean=",     " store.eio_ppm=",
        " store.check_interval=", " client.readahead_pages=", " client.direct=",
        " load.threads=",         " load.io_bytes=",          " load.read=",
        " load.append="};
    static const char *const texts[] = {
        "{\"swarm\": 2, \"profile\": \"stormy\", \"client\": {\"deadline\": \"400ms\"}}",
        "{\"swarm\": 1, \"profile\": \"stormy\"}", "{\"swarm\": 2, \"journal\": {\"only\": 1}}"};
    enum { SEEDS = 200 };
    static struct lab_scenario s;
    char why[LAB_ERROR], drawn[LAB_DRAWN_MAX + 2];
    for (size_t t = 0; t < ARRAY_LEN(texts); t++) {
        unsigned n[ARRAY_LEN(keys)] = {0}, drifts = 0, journals = 0;
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            CU_ASSERT_EQUAL(lab_scenario_parse(&s, texts[t], why), 0);
            lab_scenario_draw(&s, seed);
            CU_ASSERT_EQUAL(lab_scenario_check(&s, why), 0);
            CU_ASSERT(strlen(s.drawn) < LAB_DRAWN_MAX - 100);
            fmt_into(drawn, sizeof drawn, " %s", s.drawn);
            for (size_t k = 0; k < ARRAY_LEN(keys); k++)
                n[k] += strstr(drawn, keys[k]) != NULL;
            CU_ASSERT(s.store.latency_mean_ns <= s.load.deadline_ns / 40);
            CU_ASSERT(t || s.sim.net.latency_mean_ns <= s.bound_ns / 2000);
            drifts += s.sim.clock.drift_max_ppm > 20000;
            journals += strstr(drawn, " journal.") != NULL;
        }
        for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
            if (t == 0) /* the rarest: one of two or more values */
                CU_ASSERT(n[k] > SEEDS / 5 && n[k] < SEEDS * 4 / 5);
            if (t > 0 && strcmp(keys[k], " master.session=") != 0)
                CU_ASSERT_EQUAL(n[k], 0);
        }
        CU_ASSERT_EQUAL(journals > 0, t == 2);
        CU_ASSERT_EQUAL(drifts > 0, t > 0); /* what leases of files bear */
    }
}

/* ---- whole runs ---- */

static void small_scenario(struct lab_scenario *s)
{
    lab_scenario_default(s);
    s->duration_ns = 3 * sec;
    s->clients = 2;
    s->load.think_ns = 20 * ms;
    s->faults[0] = (struct lab_fault){
        .at_ns = sec, .for_ns = 300 * ms, .kind = LAB_FAULT_POWER_LOSS, .node = "m1", .to = "*"};
    s->faults[1] = (struct lab_fault){
        .at_ns = 2 * sec, .for_ns = 300 * ms, .kind = LAB_FAULT_CRASH, .node = "w1", .to = "*"};
    s->n_faults = 2;
}

static char ended_text[128];

static struct lab_report run(const struct lab_scenario *s, uint64_t seed,
                             struct lab_finding *ret_findings)
{
    struct mem m;
    struct lab_report p;
    unit_mem(&m, (uint64_t)4 << 30);
    struct lab_run *r = lab_run_open(&m, s, seed, NULL, NULL);
    CU_ASSERT(lab_run_go(r, 0));
    lab_run_report(r, &p);
    for (int v = 0; v < LAB_VERDICTS; v++)
        ret_findings[v] = *p.findings[v];
    fmt_into(ended_text, sizeof ended_text, "%s", p.ended);
    lab_run_close(r);
    mem_drop(&m);
    return p;
}

static void test_lab_run(void)
{
    static struct lab_scenario s;
    struct lab_finding f[LAB_VERDICTS];
    small_scenario(&s);
    struct lab_report a = run(&s, 1, f);
    for (int v = 0; v < LAB_VERDICTS; v++) {
        CU_ASSERT_EQUAL(f[v].failures, 0);
        CU_ASSERT((f[v].checks > 0) == (v != LAB_RAFT && v != LAB_LINEAR));
        if (f[v].failures)
            printf("\n%s: %s\n", lab_check_name((enum lab_verdict)v), f[v].what);
    }
    CU_ASSERT(a.windows_up > 0 && a.events > 1000 && a.records > 100);
    struct lab_report b = run(&s, 1, f);
    CU_ASSERT_EQUAL(memcmp(a.hash, b.hash, sizeof a.hash), 0);
    struct lab_report c = run(&s, 2, f);
    CU_ASSERT_NOT_EQUAL(memcmp(a.hash, c.hash, sizeof a.hash), 0);
}

/* more clients than a master takes by its default: each has a session */
static void test_lab_run_many(void)
{
    static struct lab_scenario s;
    struct lab_finding f[LAB_VERDICTS];
    small_scenario(&s);
    s.n_faults = 0;
    s.clients = 300;
    s.load.threads = 1;
    s.load.think_ns = 200 * ms;
    s.duration_ns = sec;
    run(&s, 1, f);
    for (int v = 0; v < LAB_VERDICTS; v++)
        CU_ASSERT_EQUAL(f[v].failures, 0);
}

/* a cluster whose messages take twenty seconds serves nobody */
static void test_lab_run_liveness(void)
{
    static struct lab_scenario s;
    struct lab_finding f[LAB_VERDICTS];
    small_scenario(&s);
    s.n_faults = 0;
    s.sim.net.latency_min_ns = s.sim.net.latency_mean_ns = 20 * sec;
    s.load.deadline_ns = 2 * sec;
    s.bound_ns = 5 * sec;
    run(&s, 1, f);
    CU_ASSERT(f[LAB_LIVENESS].failures > 0);
    CU_ASSERT_EQUAL(f[LAB_LOG].failures + f[LAB_ANSWERS].failures + f[LAB_DATA].failures, 0);
}

/* A single master may say that it cannot start from its disk, which was damaged: there the run
 * ends. Where nobody has said that it would be, that is no excuse. */
static void test_lab_run_single_master_on_a_damaged_disk(void)
{
    static struct lab_scenario s;
    struct lab_finding f[LAB_VERDICTS];
    unsigned ended = 0;
    for (uint64_t file = 0; file < 6; file++) {
        small_scenario(&s);
        s.faults[1] = (struct lab_fault){.at_ns = 500 * ms,
                                         .for_ns = 1,
                                         .kind = LAB_FAULT_BIT_FLIP,
                                         .node = "m1",
                                         .to = "*",
                                         .chance = {file, 0, 9}, /* a block that cannot be read */
                                         .n_given = 3};
        struct lab_report p = run(&s, 1, f);
        bool is_over = p.virtual_ns < 2 * sec;
        ended += is_over;
        CU_ASSERT_EQUAL(is_over,
                        strstr(ended_text, "m1 cannot start from its damaged disk: E_IO") ||
                            strstr(ended_text, "E_CORRUPT"));
        for (int v = 0; v < LAB_VERDICTS; v++)
            CU_ASSERT_EQUAL(f[v].failures, 0);
    }
    CU_ASSERT(ended > 0);
    small_scenario(&s);
    struct mem m;
    unit_mem(&m, (uint64_t)4 << 30);
    struct lab_run *r = lab_run_open(&m, &s, 1, NULL, NULL);
    CU_ASSERT(!lab_run_go(r, 500 * ms));
    struct sim_node *n = sim_node_find(lab_run_sim(r), "m1");
    for (const char *name = ""; (name = sim_disk_next(n, name));)
        if (strstr(name, "wal-"))
            (void)sim_disk_bad(n, name, 0);
    (void)lab_run_go(r, 0);
    CU_ASSERT(lab_check_finding(lab_run_check(r), LAB_LIVENESS)->failures > 0);
    lab_run_close(r);
    mem_drop(&m);
}

/* ---- lies ---- */

static void test_lab_check_log(void)
{
    struct lie l;
    struct meta_result res;
    lie_open(&l);
    struct fsop op = lie_mkdir("e", 2);
    meta_apply(l.real, ++l.index, &op, &res);
    l.o->on_apply(l.o, l.index, &op, &res, l.real);
    l.o->on_apply(l.o, l.index, &op, &res, l.real); /* replayed after a restart */
    l.o->on_lead(l.o, 1, l.real);
    CU_ASSERT_EQUAL(lie_close(&l, LAB_LOG), 0);

    lie_open(&l); /* a record that is another one after the restart */
    op = lie_mkdir("x", 1);
    l.o->on_apply(l.o, 2, &op, &res, l.real);
    CU_ASSERT_EQUAL(lie_close(&l, LAB_LOG), 1);

    lie_open(&l); /* a record that was left out */
    op = lie_mkdir("e", 2);
    l.o->on_apply(l.o, 4, &op, &res, l.real);
    CU_ASSERT_EQUAL(lie_close(&l, LAB_LOG), 1);

    lie_open(&l); /* a master that leads without the last record */
    struct meta *less;
    struct meta_limits limits = {.inodes_max = 1000, .sessions_max = 10};
    CU_ASSERT_EQUAL_FATAL(meta_open(&l.m, &limits, &less), 0);
    op = (struct fsop){.kind = FSOP_SESSION_OPEN, .name = "c1", .name_len = 2};
    meta_apply(less, 1, &op, &res);
    l.o->on_lead(l.o, 1, less);
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_LOG)->failures, 1);
    op = lie_mkdir("other", 1); /* or with another one in its place */
    meta_apply(less, 2, &op, &res);
    l.o->on_lead(l.o, 2, less);
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_LOG)->failures, 2);
    l.o->on_lead(l.o, 2, l.real); /* or in an epoch that was used before */
    CU_ASSERT_EQUAL(lie_close(&l, LAB_LOG), 3);
}

/* ---- lies of several masters ---- */

struct lie_master {
    struct master_observer *o;
    struct meta *m;
};

static struct lie_master lie_master(struct lie *l, const char *name)
{
    struct meta_limits limits = {.inodes_max = 1000, .sessions_max = 10};
    struct lie_master x = {.o = lab_check_observer(l->c, name)};
    CU_ASSERT_EQUAL_FATAL(meta_open(&l->m, &limits, &x.m), 0);
    return x;
}

static void lie_master_apply(struct lie_master *x, uint64_t index, const struct fsop *op)
{
    struct meta_result res;
    meta_apply(x->m, index, op, &res);
    x->o->on_apply(x->o, index, op, &res, x->m);
}

/* m1 has applied 1, 2 and, as entries of the journal's own are between, 16; m2 1 and 2 */
static struct lie_master lie_group(struct lie *l, struct fsop *ret_last)
{
    lie_open_as(l, true);
    struct lie_master x = lie_master(l, "m2");
    struct fsop op = {.kind = FSOP_SESSION_OPEN, .name = "c1", .name_len = 2};
    lie_master_apply(&x, 1, &op);
    op = lie_mkdir("d", 1);
    lie_master_apply(&x, 2, &op);
    l->index = 15;
    *ret_last = lie_mkdir("e", 2);
    lie_apply(l, ret_last);
    return x;
}

static void test_lab_check_group(void)
{
    struct lie l;
    struct fsop last, op;
    struct lie_master x = lie_group(&l, &last);
    char why[200];
    CU_ASSERT(!lab_check_even(l.c, x.o, x.m, why, sizeof why));
    lie_master_apply(&x, 16, &last);
    CU_ASSERT(lab_check_even(l.c, x.o, x.m, why, sizeof why));
    x.o->on_image(x.o, l.real);
    lab_check_starts(x.o);
    x.o->on_lead(x.o, 3, x.m);
    op = lie_mkdir("f", 3); /* from the image on */
    x.o->on_image(x.o, l.real);
    lie_master_apply(&x, 18, &op);
    CU_ASSERT_EQUAL(lie_close(&l, LAB_LOG), 0);

    x = lie_group(&l, &last); /* another record at the same place */
    op = lie_mkdir("x", 2);
    lie_master_apply(&x, 16, &op);
    CU_ASSERT_EQUAL(lie_close(&l, LAB_LOG), 1);

    x = lie_group(&l, &last); /* at a place that has none */
    lie_master_apply(&x, 15, &last);
    CU_ASSERT_EQUAL(lie_close(&l, LAB_LOG), 1);

    x = lie_group(&l, &last); /* the last one was left out */
    op = lie_mkdir("f", 3);
    lie_master_apply(&x, 17, &op);
    CU_ASSERT_EQUAL(lie_close(&l, LAB_LOG), 1);

    x = lie_group(&l, &last); /* the state is another one: this machine lacks record 2 */
    struct lie_master y = lie_master(&l, "m3");
    op = (struct fsop){.kind = FSOP_SESSION_OPEN, .name = "c1", .name_len = 2};
    lie_master_apply(&y, 1, &op);
    lie_master_apply(&y, 16, &last);
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_LOG)->failures, 1);
    y.o->on_image(y.o, y.m);
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_LOG)->failures, 2);
    y.o->on_lead(y.o, 1, y.m);
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_LOG)->failures, 3);
    CU_ASSERT(lab_check_even(l.c, y.o, y.m, why, sizeof why));
    CU_ASSERT_EQUAL(lie_close(&l, LAB_LOG), 4);
}

static void test_lab_check_leaders(void)
{
    struct lie l;
    struct fsop last, op;
    struct lie_master x = lie_group(&l, &last);
    /* m1 leads in 5; that it led in 4 m2 learns late, and then lacks nothing of 3 or before */
    l.o->on_lead(l.o, 5, l.real);
    x.o->on_lead(x.o, 4, x.m);
    x.o->on_step_down(x.o);
    lie_master_apply(&x, 16, &last);
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_LOG)->failures, 0);
    x.o->on_lead(x.o, 5, x.m); /* another's epoch */
    CU_ASSERT_EQUAL(lie_close(&l, LAB_LOG), 1);

    x = lie_group(&l, &last); /* m2 lacks what was applied in 3, by m1 that led then */
    l.o->on_lead(l.o, 3, l.real);
    op = lie_mkdir("f", 3);
    lie_apply(&l, &op);
    lie_master_apply(&x, 16, &last);
    x.o->on_lead(x.o, 4, x.m);
    CU_ASSERT_EQUAL(lie_close(&l, LAB_LOG), 1);

    x = lie_group(&l, &last); /* an epoch of its own again */
    lie_master_apply(&x, 16, &last);
    x.o->on_lead(x.o, 4, x.m);
    x.o->on_lead(x.o, 4, x.m);
    CU_ASSERT_EQUAL(lie_close(&l, LAB_LOG), 1);
}

static void test_lab_check_twice(void)
{
    struct lie l;
    lie_open(&l);
    struct fsop op = lie_mkdir("e", 2);
    struct meta_result res;
    lie_apply(&l, &op);
    /* the same request again, and a machine that forgot that it was answered */
    op = (struct fsop){
        .kind = FSOP_MKDIR, .session = {1}, .seq = 2, .ino = INO_ROOT, .name = "e", .name_len = 1};
    meta_apply(l.real, ++l.index, &op, &res);
    CU_ASSERT(res.reply.flags & FSOP_R_DUPLICATE);
    res.reply.err = E_EXIST;
    l.o->on_apply(l.o, l.index, &op, &res, l.real);
    CU_ASSERT_EQUAL(lie_close(&l, LAB_LOG), 1);
}

static void test_lab_check_mutation(void)
{
    struct lie l;
    lie_open(&l);
    struct lab_window w = {sim_now_ns(l.s), 0};
    lie_wait(&l, ms);
    struct fsop op = lie_mkdir("e", 2);
    struct meta_result res = lie_apply(&l, &op);
    lie_wait(&l, ms);
    w.to_ns = sim_now_ns(l.s);
    lab_check_mutation(l.c, "c1", &op, &res.reply, w);
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_ANSWERS)->failures, 0);
    lab_check_mutation(l.c, "c1", &op, &res.reply, w); /* one record, two answers */
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_ANSWERS)->failures, 1);
    struct fsop lost = lie_mkdir("lost", 3); /* acknowledged, and in no record */
    struct fsop_reply ok = {.index = 3, .attr = {.ino = {77}}};
    lab_check_mutation(l.c, "c1", &lost, &ok, w);
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_ANSWERS)->failures, 2);
    op = lie_mkdir("f", 4); /* an answer that is not what the record gave */
    w.from_ns = sim_now_ns(l.s);
    res = lie_apply(&l, &op);
    res.reply.err = E_EXIST;
    lab_check_mutation(l.c, "c1", &op, &res.reply, w);
    CU_ASSERT_EQUAL(lie_close(&l, LAB_ANSWERS), 3);
}

static void test_lab_check_stale(void)
{
    struct lie l;
    struct fsop_reply was;
    lie_open(&l);
    struct fsop look = lie_lookup("d");
    meta_query(l.real, &look, NULL, 0, &was);
    struct lab_window w = {sim_now_ns(l.s), sim_now_ns(l.s)};
    lab_check_query(l.c, "c2", &look, &was, w);
    struct fsop op = {
        .kind = FSOP_RMDIR, .session = {1}, .seq = 2, .ino = INO_ROOT, .name = "d", .name_len = 1};
    lie_wait(&l, ms);
    w.from_ns = sim_now_ns(l.s);
    struct meta_result res = lie_apply(&l, &op);
    lie_wait(&l, ms);
    struct lab_window later = {sim_now_ns(l.s), sim_now_ns(l.s) + 1};
    lab_check_query(l.c, "c2", &look, &was, later); /* c1 waits for c2 to forget it */
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_ANSWERS)->failures, 0);
    w.to_ns = sim_now_ns(l.s);
    lab_check_mutation(l.c, "c1", &op, &res.reply, w);
    lie_wait(&l, ms);
    later.from_ns = later.to_ns = sim_now_ns(l.s);
    lab_check_query(l.c, "c2", &look, &was, later);
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_ANSWERS)->failures, 1);
    struct fsop_reply gone = {.err = E_NOENT};
    lab_check_query(l.c, "c2", &look, &gone, later);
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_ANSWERS)->failures, 1);
    look = lie_lookup("never");
    was.err = 0;
    lab_check_query(l.c, "c2", &look, &was, later);
    CU_ASSERT_EQUAL(lie_close(&l, LAB_ANSWERS), 2);
}

/* What was seen binds nobody who had asked before, nor what another one keeps; and it goes by the
 * least that explains it. */
static void test_lab_check_seen(void)
{
    struct lie l;
    struct fsop_reply there, gone = {.err = E_NOENT}, asked = {.err = E_NOENT, .index = 1};
    lie_open(&l);
    struct fsop look = lie_lookup("d");
    meta_query(l.real, &look, NULL, 0, &there);
    struct lab_window early = lie_now(&l), w = lie_now(&l);
    lab_check_query(l.c, "c1", &look, &there, w);
    lab_check_query(l.c, "c1", &look, &gone, early); /* another of its threads */
    lab_check_query(l.c, "c2", &look, &asked, early);
    lab_check_query(l.c, "c2", &look, &gone, lie_now(&l));
    struct fsop op = {
        .kind = FSOP_RMDIR, .session = {1}, .seq = 2, .ino = INO_ROOT, .name = "d", .name_len = 1};
    lie_apply(&l, &op);
    lab_check_query(l.c, "c1", &look, &gone, lie_now(&l)); /* it is, now */
    op = lie_mkdir("d", 3);
    lie_apply(&l, &op);
    meta_query(l.real, &look, NULL, 0, &there);
    lab_check_query(l.c, "c1", &look, &gone, lie_now(&l)); /* still as it was between */
    lab_check_query(l.c, "c2", &look, &there, lie_now(&l));
    lab_check_query(l.c, "c1", &look, &gone, lie_now(&l));
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_ANSWERS)->failures, 0);
    asked.index = 4;
    lab_check_query(l.c, "c1", &look, &asked, lie_now(&l)); /* no master says so any more */
    CU_ASSERT_EQUAL(lie_close(&l, LAB_ANSWERS), 1);
}

static void test_lab_check_listing(void)
{
    struct lie l;
    lie_open(&l);
    struct fsop op = lie_mkdir("e", 2);
    uint64_t e = lie_apply(&l, &op).reply.attr.ino.v;
    struct fsop look = lie_lookup("d");
    struct fsop_reply d;
    meta_query(l.real, &look, NULL, 0, &d);
    lie_wait(&l, 20 * sec);
    struct lab_window w = {sim_now_ns(l.s), sim_now_ns(l.s)};
    struct lab_model_name names[3] = {{d.attr.ino, 1, "d"}, {{e}, 1, "e"}, {{e}, 1, "e"}};
    lab_check_listing(l.c, "c1", INO_ROOT, names, 2, w);
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_ANSWERS)->failures, 0);
    lab_check_listing(l.c, "c1", INO_ROOT, names, 1, w); /* one is missing */
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_ANSWERS)->failures, 1);
    lab_check_listing(l.c, "c1", INO_ROOT, names, 3, w); /* one comes twice */
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_ANSWERS)->failures, 2);
    names[1].ino.v = 99; /* one never was */
    lab_check_listing(l.c, "c1", INO_ROOT, names, 2, w);
    CU_ASSERT_EQUAL(lie_close(&l, LAB_ANSWERS), 3);
}

static void test_lab_check_data(void)
{
    struct lie l;
    static uint8_t a[1000], b[1000];
    struct fsent e;
    lie_open(&l);
    struct ino ino = lie_file(&l);
    lab_ufs_look(l.u, "main/f", &e, NULL);
    lie_wait(&l, sec);
    content(l.u, e.ufs_ino, 1, 500, a, sizeof a);
    struct lab_check_file f = {.ino = ino, .opened_ns = sim_now_ns(l.s)};
    lab_check_read(l.c, "c1", &f, false, 500, 1000, a, 1000);
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_DATA)->failures, 0);
    a[700] ^= 4; /* a flipped bit */
    lab_check_read(l.c, "c1", &f, false, 500, 1000, a, 1000);
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_DATA)->failures, 1);
    f = (struct lab_check_file){.ino = ino, .opened_ns = sim_now_ns(l.s)};
    lab_check_read(l.c, "c1", &f, false, 0, 1000, b, 0); /* too short */
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_DATA)->failures, 2);
    /* another version: allowed for a while, but not half of each within one open */
    lab_ufs_rewrite(l.u, "main/f", 100000);
    content(l.u, e.ufs_ino, 1, 0, a, sizeof a);
    content(l.u, e.ufs_ino, 2, 5000, b, sizeof b);
    f = (struct lab_check_file){.ino = ino, .opened_ns = sim_now_ns(l.s)};
    lab_check_read(l.c, "c1", &f, false, 0, 1000, a, 1000);
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_DATA)->failures, 2);
    lab_check_read(l.c, "c1", &f, false, 5000, 1000, b, 1000);
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_DATA)->failures, 3);
    lie_wait(&l, 10 * sec); /* by now the old one is too old */
    f = (struct lab_check_file){.ino = ino, .opened_ns = sim_now_ns(l.s)};
    lab_check_read(l.c, "c1", &f, false, 0, 1000, a, 1000);
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_DATA)->failures, 4);
    f = (struct lab_check_file){.ino = ino, .opened_ns = sim_now_ns(l.s)};
    lab_check_read(l.c, "c1", &f, true, 0, 1000, b, 1000); /* bytes of another place */
    CU_ASSERT_EQUAL(lie_close(&l, LAB_DATA), 5);
}

/* Who fails to read what has not changed since long before he opened it: nobody has to look below
 * for that, so how often that is done is no excuse. */
static void test_lab_check_unread(void)
{
    struct lie l;
    struct fsent e;
    lie_open(&l);
    struct ino ino = lie_file(&l);
    lab_ufs_look(l.u, "main/f", &e, NULL);
    l.c->behind = lab_ufs_stats(l.u)->behind; /* the file was there before */
    lie_wait(&l, sec);
    struct lab_check_file f = {.ino = ino, .opened_ns = sim_now_ns(l.s)};
    lab_check_unread(l.c, "c1", &f, E_STALE);
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_DATA)->failures, 0);
    lie_wait(&l, 2 * sec);
    f.opened_ns = sim_now_ns(l.s);
    lab_check_unread(l.c, "c1", &f, E_TIMEOUT);
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_DATA)->failures, 0);
    lab_check_unread(l.c, "c1", &f, E_STALE);
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_DATA)->failures, 1);
    l.u->nodes[e.ufs_ino]->touched_ns = sim_now_ns(l.s); /* a write may hide behind that */
    lab_check_unread(l.c, "c1", &f, E_STALE);
    CU_ASSERT_EQUAL(lie_close(&l, LAB_DATA), 1);
}

static bool lie_is_writer(void *ctx, const char *client, struct ino ino)
{
    (void)ino;
    return !strcmp(ctx, client);
}

/* the answer to a question that c1 or c2 asked about a file of that size; ret: what is wrong */
static uint64_t lie_size(struct lie *l, const char *client, struct ino ino, uint64_t size,
                         int64_t from_ns)
{
    struct fsop op = {.kind = FSOP_GETATTR, .ino = ino};
    struct fsop_reply rep;
    struct lab_window w = {from_ns, sim_now_ns(l->s)};
    meta_query(l->real, &op, NULL, 0, &rep);
    rep.attr.flags |= FSATTR_LIVE;
    rep.attr.size = size;
    uint64_t before = lab_check_finding(l->c, LAB_ANSWERS)->failures;
    lab_check_query(l->c, client, &op, &rep, w);
    return lab_check_finding(l->c, LAB_ANSWERS)->failures - before;
}

static void test_lab_check_size(void)
{
    struct lie l;
    static uint8_t a[3000];
    struct fsent e;
    lie_open(&l);
    struct ino ino = lie_file(&l);
    lab_check_on_writer(l.c, lie_is_writer, (void *)(uintptr_t) "c1");
    lab_ufs_look(l.u, "main/f", &e, NULL);
    uint64_t size = e.size;
    lie_wait(&l, 20 * sec);
    int64_t before = sim_now_ns(l.s) - sec;
    CU_ASSERT_EQUAL(lie_size(&l, "c2", ino, size, before), 0);
    CU_ASSERT_EQUAL(lie_size(&l, "c2", ino, size + 1, before), 1);
    /* two pieces of one write, the later one first: it was never as long as the earlier one */
    struct lab_ufs_node *n = l.u->nodes[e.ufs_ino];
    lab_ufs_data_write(l.u, n, size + 3000, a, 3000);
    lab_ufs_data_write(l.u, n, size, a, 3000);
    int64_t now = sim_now_ns(l.s);
    CU_ASSERT_EQUAL(lie_size(&l, "c2", ino, size, before), 0); /* asked before */
    CU_ASSERT_EQUAL(lie_size(&l, "c2", ino, size, now), 1);
    CU_ASSERT_EQUAL(lie_size(&l, "c2", ino, size + 6000, now), 0);
    CU_ASSERT_EQUAL(lie_size(&l, "c1", ino, size + 3000, now), 0); /* who writes sees his own end */
    CU_ASSERT_EQUAL(lie_size(&l, "c2", ino, size + 3000, now), 1); /* nobody else does */
    CU_ASSERT_EQUAL(lie_size(&l, "c1", ino, size + 2999, now), 1);
    (void)lie_close(&l, LAB_ANSWERS);
}

/* Two write the file; somebody outside puts another one in its place, which one of the two finds
 * when he closes it; then it is truncated.  What the file is by then comes from the other one. */
static void test_lab_check_replaced_from_outside(void)
{
    struct lie l;
    struct fsent e;
    uint8_t buf[256];
    uint64_t session[2];
    lie_open(&l);
    struct ino ino = lie_file(&l);
    for (int i = 0; i < 2; i++) {
        struct fsop op = {.kind = FSOP_SESSION_OPEN, .name = "c1", .name_len = 2};
        session[i] = lie_apply(&l, &op).reply.value;
        op = (struct fsop){.kind = FSOP_WRITE_OPEN, .session = {session[i]}, .seq = 1, .ino = ino};
        CU_ASSERT_EQUAL(lie_apply(&l, &op).reply.err, 0);
    }
    lab_ufs_remove(l.u, "main/f");
    lab_ufs_file(l.u, "main/f", 5);
    lab_ufs_look(l.u, "main/f", &e, NULL);
    e.mode = FSOP_S_IFREG | 0600;
    struct wbuf w = wbuf_make(buf, sizeof buf);
    fsop_ent_put(&w, &e);
    struct fsop op = {.kind = FSOP_WRITE_CLOSE,
                      .session = {session[0]},
                      .seq = 2,
                      .ino = ino,
                      .data = buf,
                      .data_len = (uint32_t)w.len};
    CU_ASSERT_EQUAL(lie_apply(&l, &op).reply.err, 0);
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_ANSWERS)->failures, 0);
    op = (struct fsop){.kind = FSOP_WRITE_OPEN,
                       .flags = FSOP_F_TRUNC,
                       .session = {session[1]},
                       .seq = 2,
                       .ino = ino};
    uint64_t intent = lie_apply(&l, &op).reply.intent;
    CU_ASSERT(intent != 0);
    e.size = 0;
    w = wbuf_make(buf, sizeof buf);
    fsop_ent_put(&w, &e);
    op = (struct fsop){
        .kind = FSOP_OUTCOME, .arg = intent, .data = buf, .data_len = (uint32_t)w.len};
    CU_ASSERT_EQUAL(lie_apply(&l, &op).reply.attr.mode, FSOP_S_IFREG | 0600);
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_ANSWERS)->failures, 0);
    lab_check_interval(l.c);
    CU_ASSERT_EQUAL(lie_close(&l, LAB_ANSWERS), 0);
}

/* Somebody outside puts another file in its place while its attributes are being changed: a look
 * that the lock refuses brings nothing, and the outcome the other one's. */
static void test_lab_check_replaced_in_an_effect(void)
{
    struct lie l;
    struct fsent e;
    uint8_t buf[256];
    lie_open(&l);
    struct ino ino = lie_file(&l);
    struct fsop op = {.kind = FSOP_SETATTR,
                      .session = {1},
                      .seq = 2,
                      .ino = ino,
                      .valid = FSOP_SET_MODE,
                      .mode = 0600};
    uint64_t intent = lie_apply(&l, &op).reply.intent;
    CU_ASSERT(intent != 0);
    lab_ufs_remove(l.u, "main/f");
    lab_ufs_file(l.u, "main/f", 5);
    lab_ufs_look(l.u, "main/f", &e, NULL);
    e.uid = 7;
    struct wbuf w = wbuf_make(buf, sizeof buf);
    fsop_ent_put(&w, &e);
    op = (struct fsop){.kind = FSOP_REFRESH, .ino = ino, .data = buf, .data_len = (uint32_t)w.len};
    CU_ASSERT_EQUAL(lie_apply(&l, &op).reply.err, E_CONFLICT);
    e.mode = FSOP_S_IFREG | 0600;
    w = wbuf_make(buf, sizeof buf);
    fsop_ent_put(&w, &e);
    op = (struct fsop){
        .kind = FSOP_OUTCOME, .arg = intent, .data = buf, .data_len = (uint32_t)w.len};
    CU_ASSERT_EQUAL(lie_apply(&l, &op).reply.attr.uid, 7);
    lab_check_interval(l.c);
    CU_ASSERT_EQUAL(lie_close(&l, LAB_ANSWERS), 0);
}

static struct meta_result lie_find(struct lie *l, struct ino dir, const char *name, struct fsent *e)
{
    static uint8_t buf[512];
    e->name = name;
    e->name_len = (uint32_t)strlen(name);
    struct wbuf w = wbuf_make(buf, sizeof buf);
    fsop_ent_put(&w, e);
    struct fsop load = {.kind = FSOP_LOAD, .ino = dir, .data = buf, .data_len = (uint32_t)w.len};
    e->name_len = 0;
    return lie_apply(l, &load);
}

/* op is carried out, and finds a, and behind the other name of an exchange b */
static struct meta_result lie_effect(struct lie *l, struct fsop op, const struct fsent *a,
                                     const struct fsent *b)
{
    static uint8_t buf[1024];
    static const struct fsent none;
    struct wbuf w = wbuf_make(buf, sizeof buf);
    fsop_ent_put(&w, a);
    fsop_ent_put(&w, &none);
    fsop_ent_put(&w, &none);
    if (b)
        fsop_ent_put(&w, b);
    uint64_t intent = lie_apply(l, &op).reply.intent;
    CU_ASSERT(intent != 0);
    op = (struct fsop){
        .kind = FSOP_OUTCOME, .arg = intent, .data = buf, .data_len = (uint32_t)w.len};
    return lie_apply(l, &op);
}

/* Two names of one file below are two inodes: what is changed through one of them the other finds
 * with the next thing that is done to it.  Of a file that is one inode nobody else changes it. */
static void test_lab_check_two_of_a_file(void)
{
    for (int shared = 0; shared < 2; shared++) {
        struct lie l;
        struct fsent e, h;
        uint8_t buf[256];
        lie_open(&l);
        struct ino ino = lie_file(&l), dir = {0};
        struct fsop q = lie_lookup("m");
        struct fsop_reply rep;
        meta_query(l.real, &q, NULL, 0, &rep);
        dir = rep.attr.ino;
        lab_ufs_look(l.u, "main/f", &e, NULL);
        lab_ufs_file(l.u, "main/h", 5);
        lab_ufs_look(l.u, "main/h", &h, NULL);
        lie_find(&l, dir, "h", &h);
        if (shared)
            lie_find(&l, dir, "g", &e);
        struct fsop op = {.session = {1}, .seq = 10, .ino = ino};
        op.kind = FSOP_SETATTR;
        op.valid = FSOP_SET_MODE;
        op.mode = 0640;
        e.mode = FSOP_S_IFREG | 0640;
        e.uid = 7; /* not by this one */
        CU_ASSERT_EQUAL(lie_effect(&l, op, &e, NULL).reply.attr.uid, 7);
        uint64_t first = lab_check_finding(l.c, LAB_ANSWERS)->failures;
        CU_ASSERT_EQUAL(first, !shared);
        op = (struct fsop){.kind = FSOP_WRITE_OPEN, .session = {1}, .seq = 11, .ino = ino};
        CU_ASSERT_EQUAL(lie_apply(&l, &op).reply.err, 0);
        e.uid = 8;
        struct wbuf w = wbuf_make(buf, sizeof buf);
        fsop_ent_put(&w, &e);
        op = (struct fsop){.kind = FSOP_WRITE_CLOSE,
                           .session = {1},
                           .seq = 12,
                           .ino = ino,
                           .mtime_ns = (int64_t)l.index,
                           .data = buf,
                           .data_len = (uint32_t)w.len};
        CU_ASSERT_EQUAL(lie_apply(&l, &op).reply.err, 0);
        lab_check_interval(l.c);
        uint64_t second = lab_check_finding(l.c, LAB_ANSWERS)->failures;
        CU_ASSERT_EQUAL(second > first, !shared);
        op = (struct fsop){.kind = FSOP_RENAME,
                           .flags = FSOP_F_EXCHANGE,
                           .session = {1},
                           .seq = 13,
                           .ino = dir,
                           .ino2 = dir,
                           .name = "h",
                           .name_len = 1,
                           .name2 = "f",
                           .name2_len = 1};
        e.uid = 9;
        CU_ASSERT_EQUAL(lie_effect(&l, op, &h, &e).reply.err, 0);
        lab_check_interval(l.c);
        CU_ASSERT_EQUAL(lie_close(&l, LAB_ANSWERS) > second, !shared);
    }
}

/* One of two names of a file is found to be another file now, by a batch that tells of so many
 * changes that this is not among them: the file has one name less. */
static void test_lab_check_a_name_less(void)
{
    struct lie l;
    struct fsent e, h;
    static uint8_t buf[2048];
    lie_open(&l);
    struct ino ino = lie_file(&l);
    struct fsop q = lie_lookup("m");
    struct fsop_reply rep;
    meta_query(l.real, &q, NULL, 0, &rep);
    lab_ufs_mkdir(l.u, "main/s");
    lab_ufs_look(l.u, "main/s", &e, NULL);
    lie_find(&l, rep.attr.ino, "s", &e);
    q.ino = rep.attr.ino;
    q.name = "s";
    meta_query(l.real, &q, NULL, 0, &rep);
    struct ino dir = rep.attr.ino;
    lab_ufs_look(l.u, "main/f", &e, NULL);
    struct fsop op = {.kind = FSOP_LINK,
                      .session = {1},
                      .seq = 10,
                      .ino = ino,
                      .ino2 = dir,
                      .name = "g",
                      .name_len = 1};
    CU_ASSERT_EQUAL(lie_effect(&l, op, &e, NULL).reply.attr.nlink, 2);
    struct wbuf w = wbuf_make(buf, sizeof buf);
    for (const char *name = "abcdehijg"; *name; name++) {
        char path[] = "main/s/?";
        path[7] = *name;
        lab_ufs_file(l.u, path, 5);
        lab_ufs_look(l.u, path, &h, NULL);
        h.name = name;
        h.name_len = 1;
        fsop_ent_put(&w, &h);
    }
    op = (struct fsop){.kind = FSOP_LOAD, .ino = dir, .data = buf, .data_len = (uint32_t)w.len};
    CU_ASSERT_EQUAL(lie_apply(&l, &op).n_changes, META_CHANGES_MAX);
    q = (struct fsop){.kind = FSOP_GETATTR, .ino = ino};
    meta_query(l.real, &q, NULL, 0, &rep);
    CU_ASSERT_EQUAL(rep.attr.nlink, 1);
    lab_check_interval(l.c);
    CU_ASSERT_EQUAL(lie_close(&l, LAB_ANSWERS), 0);
}

/* a session that no client uses is of one that died, until it ends; also the latest of a name: who
 * asked twice for one may use the first */
static void test_lab_load_ghosts(void)
{
    struct lie l;
    lie_open(&l);
    struct lab_load_config lc = {.threads = 1};
    struct lab_load *load = lab_load_open(&l.m, l.s, l.c, &lc);
    CU_ASSERT_EQUAL(lab_load_ghosts(load, lab_check_state(l.c)), 1);
    struct fsop op = {.kind = FSOP_SESSION_OPEN, .name = "c1", .name_len = 2};
    lie_apply(&l, &op);
    CU_ASSERT_EQUAL(lab_load_ghosts(load, lab_check_state(l.c)), 2);
    op = (struct fsop){.kind = FSOP_SESSION_CLOSE, .arg = 1};
    CU_ASSERT_EQUAL(lie_apply(&l, &op).reply.err, 0);
    CU_ASSERT_EQUAL(lab_load_ghosts(load, lab_check_state(l.c)), 1);
    CU_ASSERT_EQUAL(lie_close(&l, LAB_LOG), 0);
}

static void test_lab_check_written(void)
{
    struct lie l;
    static uint8_t a[1000];
    lie_open(&l);
    struct ino ino = lie_file(&l);
    lie_wait(&l, sec);
    struct lab_window w = {sim_now_ns(l.s), sim_now_ns(l.s) + 1};
    memset(a, 7, sizeof a);
    lab_check_written(l.c, "c1", ino, 100, a, sizeof a, w); /* acknowledged, nowhere to be found */
    CU_ASSERT_EQUAL(lab_check_finding(l.c, LAB_DATA)->failures, 1);
    struct fsent e;
    lab_ufs_look(l.u, "main/f", &e, NULL);
    lab_ufs_data_write(l.u, l.u->nodes[e.ufs_ino], 100, a, sizeof a);
    lab_check_written(l.c, "c1", ino, 100, a, sizeof a, w);
    CU_ASSERT_EQUAL(lie_close(&l, LAB_DATA), 1);
}

static void test_lab_check_store(void)
{
    struct lie l;
    lie_open(&l);
    lie_file(&l);
    struct lab_check *c = l.c;
    /* the root is no mount here, so its directory "d" is not in the under-store, and "f" is hidden
     */
    lab_check_end(c);
    uint64_t first = lab_check_finding(c, LAB_STORE)->failures;
    CU_ASSERT(first > 0);
    l.u->nodes[1]->subdirs++; /* the model of the under-store itself */
    lab_check_interval(c);
    CU_ASSERT_EQUAL(lie_close(&l, LAB_STRUCTURE), 1);
}

/* a mutation that the machine judges otherwise than the model */
static void test_lab_check_model(void)
{
    struct lie l;
    lie_open(&l);
    struct lab_model *m = lab_check_model(l.c);
    char why[LAB_MODEL_WHY] = "";
    struct meta_result res;
    struct fsop op = lie_mkdir("d", 9); /* exists */
    meta_apply(l.real, ++l.index, &op, &res);
    CU_ASSERT_EQUAL(res.reply.err, E_EXIST);
    res.reply.err = 0;
    res.reply.attr = (struct fsattr){.ino = {55}, .mode = FSOP_S_IFDIR | 0755};
    CU_ASSERT(!lab_model_apply(m, l.index, 0, &op, &res, l.real, why));
    CU_ASSERT(strstr(why, "E_EXIST") != NULL);
    op = lie_mkdir("new", 10); /* a number that was used before */
    meta_apply(l.real, ++l.index, &op, &res);
    res.reply.attr.ino = INO_ROOT;
    CU_ASSERT(!lab_model_apply(m, l.index, 0, &op, &res, l.real, why));
    CU_ASSERT(strstr(why, "used before") != NULL);
    CU_ASSERT(!lab_model_compare(m, l.real, why)); /* and now they are two namespaces */
    lie_close(&l, LAB_LOG);
}

UNIT_MAIN("lab", UNIT(test_lab_scenario), UNIT(test_lab_scenario_bad), UNIT(test_lab_scenario_draw),
          UNIT(test_lab_scenario_swarm_of_files), UNIT(test_lab_run), UNIT(test_lab_run_many),
          UNIT(test_lab_run_liveness), UNIT(test_lab_run_single_master_on_a_damaged_disk),
          UNIT(test_lab_check_log), UNIT(test_lab_check_group), UNIT(test_lab_check_leaders),
          UNIT(test_lab_check_twice), UNIT(test_lab_check_mutation), UNIT(test_lab_check_stale),
          UNIT(test_lab_check_seen), UNIT(test_lab_check_listing), UNIT(test_lab_check_data),
          UNIT(test_lab_check_unread), UNIT(test_lab_check_size),
          UNIT(test_lab_check_replaced_from_outside), UNIT(test_lab_check_replaced_in_an_effect),
          UNIT(test_lab_check_two_of_a_file), UNIT(test_lab_check_a_name_less),
          UNIT(test_lab_load_ghosts), UNIT(test_lab_check_written), UNIT(test_lab_check_store),
          UNIT(test_lab_check_model))
