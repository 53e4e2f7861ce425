/* tests/unit/test_lab_clock.c - clocks that change their rates: what that does to a machine, that
 * it happens as it says, and that leases hold as long as clocks differ by no more than the members
 * believe, and not much longer. */
#include "sim/lab_fault.h"
#include "sim/lab_group_impl.h"
#include "sim/lab_run.h"
#include "sim/sim_internal.h"
#include "tests/unit/unit.h"

static const int64_t sec = 1000000000, ms = 1000000;

/* ---- the world's clocks ---- */

struct place {
    struct mem m;
    struct sim *s;
    struct sim_node *n, *other;
    struct env *e;
    struct env_timer t;
    int64_t fired_ns; /* world; 0: not yet */
};

static void place_fired(struct env_op *op)
{
    struct place *p = container_of(op, struct place, t.op);
    CU_ASSERT(env_now_ns(p->e) >= p->t.at_ns);
    p->fired_ns = sim_now_ns(p->s);
}

static void place_open(struct place *p, uint32_t drift_max_ppm)
{
    struct sim_config cfg = sim_config_quiet(1);
    memset(p, 0, sizeof *p);
    unit_mem(&p->m, (uint64_t)1 << 30);
    cfg.clock.drift_max_ppm = drift_max_ppm;
    p->s = sim_open(&p->m, &cfg);
    p->n = sim_node_add(p->s, "m1");
    p->other = sim_node_add(p->s, "m2");
    p->e = sim_node_up(p->n);
    sim_node_up(p->other);
    p->t.op.done = place_fired;
}

static void place_close(struct place *p)
{
    sim_close(p->s);
    mem_drop(&p->m);
}

static int64_t place_passes(struct place *p, struct sim_node *n, int64_t for_ns)
{
    int64_t from = env_now_ns(sim_env(n));
    sim_run_until(p->s, sim_now_ns(p->s) + for_ns);
    return env_now_ns(sim_env(n)) - from;
}

static void test_clock_rate_and_timers(void)
{
    struct place p;
    place_open(&p, 0);
    int64_t from = env_now_ns(p.e), wall = env_wall_ns(p.e);
    env_timer_set(p.e, &p.t, from + 3 * sec);
    sim_run_until(p.s, sec);
    sim_clock_rate(p.n, -500000);
    CU_ASSERT_EQUAL(env_now_ns(p.e), from + sec); /* no step */
    CU_ASSERT_EQUAL(place_passes(&p, p.n, sec), sec / 2);
    sim_clock_rate(p.n, 500000);
    CU_ASSERT_EQUAL(env_now_ns(p.e), from + sec + sec / 2);
    sim_run_until(p.s, 2999 * ms);
    CU_ASSERT(!p.fired_ns); /* as it was set it would have been for 3 s, and slowed for 5 s */
    sim_run_until(p.s, 10 * sec);
    CU_ASSERT_EQUAL(p.fired_ns, 3 * sec);
    sim_clock_own(p.n);
    CU_ASSERT_EQUAL(place_passes(&p, p.n, sec), sec);
    CU_ASSERT_EQUAL(env_wall_ns(p.e), wall + 11 * sec); /* which has a rate of its own */
    env_timer_set(p.e, &p.t, env_now_ns(p.e) + sec);
    sim_clock_rate(p.n, 1000000); /* twice as fast: what waits comes earlier */
    sim_run_until(p.s, 20 * sec);
    CU_ASSERT_EQUAL(p.fired_ns, 11 * sec + sec / 2);
    place_close(&p);
}

static void test_clock_rate_of_a_machine_that_stands_still(void)
{
    struct place p;
    place_open(&p, 0);
    env_timer_set(p.e, &p.t, env_now_ns(p.e) + sec);
    sim_node_pause(p.n);
    sim_run_until(p.s, 2 * sec);
    sim_clock_rate(p.n, -900000);
    sim_run_until(p.s, 3 * sec);
    sim_node_resume(p.n);
    sim_run_until(p.s, 4 * sec);
    CU_ASSERT_EQUAL(p.fired_ns, 3 * sec); /* it was over before the clock was slowed */
    place_close(&p);
}

static void test_clock_own_rate(void)
{
    struct place p;
    place_open(&p, 1000);
    int64_t own = place_passes(&p, p.n, 10 * sec) - 10 * sec;
    CU_ASSERT(own != 0 && own >= -10 * ms && own <= 10 * ms);
    sim_clock_rate(p.n, 400000);
    CU_ASSERT_EQUAL(place_passes(&p, p.n, 10 * sec), 14 * sec);
    sim_clock_own(p.n);
    CU_ASSERT_EQUAL(place_passes(&p, p.n, 10 * sec) - 10 * sec, own);
    sim_clock_rate(p.n, 400000);
    sim_node_power_loss(p.n); /* another clock, as far as anybody can tell */
    sim_node_up(p.n);
    int64_t later = place_passes(&p, p.n, 10 * sec) - 10 * sec;
    CU_ASSERT(later != own && later >= -10 * ms && later <= 10 * ms);
    sim_clock_own(p.n);
    CU_ASSERT_EQUAL(place_passes(&p, p.n, 10 * sec) - 10 * sec, later);
    place_close(&p);
}

/* ---- the fault ---- */

static void test_clock_rate_is_drawn_within_the_bound(void)
{
    uint32_t slowest = 0, fastest = 0, slower = 0, n = 400;
    struct place p;
    place_open(&p, 0);
    for (uint32_t i = 0; i < n; i++) {
        struct lab_fault f = {.at_ns = sec};
        lab_fault_draw(&f, p.s);
        lab_fault_rate(&f, p.n, 20000);
        CU_ASSERT(p.n->drift_ppm >= -20000 && p.n->drift_ppm <= 20000);
        slowest += p.n->drift_ppm == -20000;
        fastest += p.n->drift_ppm == 20000;
        slower += p.n->drift_ppm < 0;
        lab_fault_rate(&f, p.n, 0);
        CU_ASSERT_EQUAL(p.n->drift_ppm, 0);
        lab_fault_rate(&f, p.n, 1000000);
        CU_ASSERT(p.n->drift_ppm > -1000000); /* it goes on */
    }
    /* a quarter, a quarter, half, within five standard errors */
    CU_ASSERT(slowest > 56 && slowest < 144 && fastest > 56 && fastest < 144);
    CU_ASSERT(slower > 150 && slower < 250);
    struct lab_fault slow = {.chance = {0}}, fast = {.chance = {1}};
    lab_fault_rate(&slow, p.n, 700);
    CU_ASSERT_EQUAL(p.n->drift_ppm, -700);
    lab_fault_rate(&fast, p.n, 700);
    CU_ASSERT_EQUAL(p.n->drift_ppm, 700);
    place_close(&p);
}

/* what a whole run does to clocks */
struct rates {
    uint32_t changes, machines; /* machines: a bit for each */
    uint32_t beyond;            /* of them, further off than max_ppm */
    uint64_t max_ppm;
};

static void on_trace(void *ctx, const struct sim_trace *t)
{
    struct rates *x = ctx;
    if (t->kind != SIM_K_CLOCK)
        return;
    x->changes++;
    x->machines |= 1U << t->node;
    x->beyond += t->a < 1000000 - x->max_ppm || t->a > 1000000 + x->max_ppm;
}

static void scenario_parse(struct lab_scenario *s, const char *text)
{
    char why[LAB_ERROR] = "";
    int err = lab_scenario_parse(s, text, why);
    if (!err)
        err = lab_scenario_check(s, why);
    if (err)
        printf("%s\n", why);
    CU_ASSERT_EQUAL_FATAL(err, 0);
}

/* rates are as they were at the end; ret: what happened */
static struct rates run_rates(const struct lab_scenario *s, uint64_t seed)
{
    struct mem m;
    struct rates x = {.max_ppm = s->sim.clock.drift_max_ppm};
    unit_mem(&m, (uint64_t)4 << 30);
    struct lab_group *g = s->journal.only ? lab_group_open(&m, s, seed, NULL, NULL) : NULL;
    struct lab_run *r = g ? NULL : lab_run_open(&m, s, seed, NULL, NULL);
    struct sim *sim = g ? lab_group_sim(g) : lab_run_sim(r);
    sim_trace_hook(sim, on_trace, &x);
    CU_ASSERT(g ? lab_group_go(g, 0) : lab_run_go(r, 0));
    for (uint32_t i = 0; i < sim_node_count(sim); i++)
        CU_ASSERT_EQUAL(sim_node_at(sim, i)->drift_ppm, sim_node_at(sim, i)->own_ppm);
    if (g)
        lab_group_close(g);
    else
        lab_run_close(r);
    mem_drop(&m);
    return x;
}

static void test_clock_rate_happens_where_it_is_on(void)
{
    static struct lab_scenario s;
    for (int only = 0; only < 2; only++)
        for (int on = 0; on < 2; on++) {
            char text[400];
            fmt_into(text, sizeof text,
                     "{\"duration\": \"3s\", \"masters\": 3, \"clients\": 2, \"journal\": "
                     "{\"only\": %d}, \"clock\": {\"drift_max_ppm\": 5000}, \"load\": "
                     "{\"threads\": 1, \"think\": \"50ms\"}, \"random\": {\"clock_rate_every\": "
                     "\"%dms\", \"from\": \"10ms\", \"for\": \"200ms\"}}",
                     only, on ? 60 : 0);
            scenario_parse(&s, text);
            struct rates x = run_rates(&s, 1);
            CU_ASSERT_EQUAL(x.changes > 40, on);
            CU_ASSERT_EQUAL(x.changes != 0, on);
            CU_ASSERT_EQUAL(x.beyond, 0);
            /* of journals only the members; of file systems every machine: 3, 2 workers, 2 */
            CU_ASSERT_EQUAL(x.machines, !on ? 0 : only ? 0x7 : 0x7f);
        }
}

/* ---- leases ---- */

static const char leases[] =
    "{\"duration\": \"24s\", \"bound\": \"30s\", \"masters\": 3, \"workers\": 0, \"clients\": 3, "
    "\"journal\": {\"only\": 1, \"keys\": 2, \"reads_ppm\": 960000, \"standby_ppm\": 400000, "
    "\"heartbeat\": \"60ms\", \"promise\": \"400ms\", \"suspect_min\": \"400ms\", "
    "\"suspect_max\": \"420ms\", \"attempt\": \"70ms\", \"drift_ppm\": 181819}, "
    "\"load\": {\"threads\": 3, \"think\": \"40ms\"}, \"random\": {\"usurp_every\": \"300ms\", "
    "\"clock_rate_every\": \"400ms\", \"leader_ppm\": 400000, \"for\": \"1500ms\", \"from\": "
    "\"600ms\"}}";

/* ret: failures of verdicts that are about safety */
static uint64_t lease_run(uint32_t drift_ppm, uint64_t seed)
{
    static struct lab_scenario s;
    struct lab_group_report p;
    struct mem m;
    unit_mem(&m, (uint64_t)2 << 30);
    scenario_parse(&s, leases);
    s.sim.clock.drift_max_ppm = drift_ppm;
    struct lab_group *g = lab_group_open(&m, &s, seed, NULL, NULL);
    CU_ASSERT(lab_group_go(g, 0));
    lab_group_report(g, &p);
    CU_ASSERT(p.leaderships > 5);
    uint64_t n = p.findings[LAB_GROUP_LEADERS].failures + p.findings[LAB_GROUP_ANSWERS].failures +
                 p.findings[LAB_GROUP_LINEAR].failures;
    for (int v = 0; v < LAB_GROUP_VERDICTS; v++)
        if (v != LAB_GROUP_LEADERS && v != LAB_GROUP_ANSWERS && v != LAB_GROUP_LINEAR)
            CU_ASSERT_EQUAL(p.findings[v].failures, 0); /* clocks break leases, and nothing else */
    lab_group_close(g);
    mem_drop(&m);
    return n;
}

/* Clocks off by d differ by 2 d / (1 + d) of the faster one. */
static void test_clock_leases_hold_at_the_bound(void)
{
    for (uint64_t seed = 1; seed <= 12; seed++)
        CU_ASSERT_EQUAL(lease_run(100000, seed), 0);
}

static void test_clock_leases_break_past_it(void)
{
    uint32_t failed = 0;
    for (uint64_t seed = 1; seed <= 12 && failed < 2; seed++) /* of 20, about nine */
        failed += lease_run(200000, seed) > 0;
    CU_ASSERT(failed > 0);
}

static void test_clock_belief(void)
{
    static struct lab_scenario s;
    scenario_parse(&s, "{\"clock\": {\"drift_max_ppm\": 100000}}");
    CU_ASSERT_EQUAL(lab_scenario_belief_ppm(&s), 225100);
    for (uint64_t d = 0; d <= 400000; d += 500) { /* never less than the truth */
        s.sim.clock.drift_max_ppm = (uint32_t)d;
        CU_ASSERT(lab_scenario_belief_ppm(&s) >= 2 * d * 1000000 / (1000000 + d) + 1);
    }
    scenario_parse(&s, "{\"clock\": {\"drift_max_ppm\": 100000}, \"journal\": {\"drift_ppm\": 7}}");
    CU_ASSERT_EQUAL(lab_scenario_belief_ppm(&s), 7);
    /* masters of files that believe so would never change anything below */
    char why[LAB_ERROR];
    s.masters = 3;
    CU_ASSERT_EQUAL(lab_scenario_check(&s, why), 0);
    s.journal.drift_ppm = 900000;
    CU_ASSERT_EQUAL(lab_scenario_check(&s, why), E_CONFIG);
    s.journal.only = 1;
    CU_ASSERT_EQUAL(lab_scenario_check(&s, why), 0);
}

UNIT_MAIN("lab_clock", UNIT(test_clock_rate_and_timers),
          UNIT(test_clock_rate_of_a_machine_that_stands_still), UNIT(test_clock_own_rate),
          UNIT(test_clock_rate_is_drawn_within_the_bound),
          UNIT(test_clock_rate_happens_where_it_is_on), UNIT(test_clock_leases_hold_at_the_bound),
          UNIT(test_clock_leases_break_past_it), UNIT(test_clock_belief))
