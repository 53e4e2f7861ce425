/* tests/unit/test_lab_fault.c - faults of scenarios that are drawn once for many links, clocks that
 * are put on, and the core that must serve alone: what is switched on happens as it says, what is
 * not does not. */
#include "sim/lab_core.h"
#include "sim/lab_fault.h"
#include "sim/lab_group_impl.h"
#include "sim/lab_run.h"
#include "sim/sim_internal.h"
#include "tests/unit/unit.h"

static const int64_t sec = 1000000000, ms = 1000000;

struct place { /* machines without a load */
    struct mem m;
    struct sim *s;
    struct sim_node *n[16];
    uint32_t nodes, stops;
    int64_t first_ns, last_ns;
    uint64_t order;      /* of the stops */
    int64_t stop_ns[16]; /* of the links with node 0 */
};

static void place_trace(void *ctx, const struct sim_trace *t)
{
    struct place *p = ctx;
    if (t->kind != SIM_K_NET || t->a != 3)
        return;
    if (!t->node)
        p->stop_ns[t->b] = t->at_ns;
    p->first_ns = p->stops++ ? p->first_ns : t->at_ns;
    p->last_ns = t->at_ns;
    p->order = base_mix_u64(p->order + ((uint64_t)t->node << 32 | t->b));
}

static void place_open(struct place *p, uint32_t masters, uint32_t clients, uint64_t seed)
{
    struct sim_config cfg = sim_config_quiet(seed);
    char name[16];
    memset(p, 0, sizeof *p);
    unit_mem(&p->m, (uint64_t)1 << 30);
    p->s = sim_open(&p->m, &cfg);
    for (uint32_t i = 0; i < masters + clients; i++) {
        fmt_into(name, sizeof name, "%c%u", i < masters ? 'm' : 'c', i + 1);
        p->n[i] = sim_node_add(p->s, name);
    }
    p->nodes = masters + clients;
    sim_trace_hook(p->s, place_trace, p);
}

static void place_close(struct place *p)
{
    sim_close(p->s);
    mem_drop(&p->m);
}

/* ---- what is drawn ---- */

static void test_fault_as_often_as_asked(void)
{
    static const enum lab_fault_kind kinds[] = {LAB_FAULT_SWIZZLE, LAB_FAULT_BRIDGE,
                                                LAB_FAULT_LINK_SLOW, LAB_FAULT_CLOCK_STEP,
                                                LAB_FAULT_CLOCK_RATE};
    static struct lab_scenario s;
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        uint32_t n = 0, others = 0;
        for (uint64_t seed = 0; seed < 20; seed++) {
            lab_scenario_default(&s);
            s.masters = 5;
            s.duration_ns = 100 * sec;
            s.random_from_ns = 0;
            s.every_ns[kinds[k]] = sec;
            lab_scenario_draw(&s, seed);
            for (uint32_t i = 0; i < s.n_faults; i++)
                *(s.faults[i].kind == kinds[k] ? &n : &others) += 1;
        }
        CU_ASSERT_EQUAL(others, 0);
        /* 2,000; a link from a machine to itself is left out, at most one in 16 */
        CU_ASSERT(n > (kinds[k] == LAB_FAULT_LINK_SLOW ? 1700 : 1820) && n < 2180);
    }
}

/* ---- swizzle ---- */

/* how many of the links that node 0 has no part in are ever stopped */
static uint32_t swizzle_run(struct place *p, struct lab_fault *f)
{
    uint32_t others = 0;
    f->n_given = f->n_chance = 0;
    lab_fault_draw(f, p->s);
    sim_run_until(p->s, f->at_ns);
    for (int64_t after = 0, next = f->at_ns; next; after = sim_now_ns(p->s)) {
        sim_run_until(p->s, next);
        next = lab_fault_swizzle(f, p->s, p->n[0], after);
        CU_ASSERT(!next || next > sim_now_ns(p->s));
    }
    for (uint32_t i = 0; i < p->nodes; i++)
        for (uint32_t k = 0; k < p->nodes; k++) {
            int64_t until = sim_net_clogged_until(p->s, p->n[i], p->n[k]);
            CU_ASSERT(!until ||
                      (until > f->at_ns + f->for_ns / 2 && until <= f->at_ns + f->for_ns + 2));
            CU_ASSERT((i && k) || i == k || until); /* of node 0 every one */
            others += i && k && until;
        }
    return others;
}

static void test_fault_swizzle(void)
{
    uint32_t links = 0, turned = 0;
    uint64_t orders[20];
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct place p;
        struct lab_fault f = {.at_ns = sec, .for_ns = 4 * sec, .one_way = seed & 1};
        place_open(&p, 5, 3, seed);
        links += swizzle_run(&p, &f);
        CU_ASSERT(p.first_ns >= f.at_ns && p.last_ns <= f.at_ns + f.for_ns / 2 + 1);
        CU_ASSERT(p.last_ns - p.first_ns > f.for_ns / 4); /* one by one, not at once */
        orders[seed] = p.order;
        for (uint64_t o = 0; o < seed; o++)
            CU_ASSERT_NOT_EQUAL(orders[o], p.order);
        /* another order than they stopped in */
        int64_t a = sim_net_clogged_until(p.s, p.n[0], p.n[1]);
        int64_t b = sim_net_clogged_until(p.s, p.n[0], p.n[2]);
        turned += (a < b) != (p.stop_ns[1] < p.stop_ns[2]);
        sim_run_until(p.s, f.at_ns + f.for_ns + 2);
        for (uint32_t i = 1; i < p.nodes; i++)
            CU_ASSERT(sim_net_clogged_until(p.s, p.n[0], p.n[i]) <= sim_now_ns(p.s));
        place_close(&p);
    }
    CU_ASSERT(turned > 2 && turned < 18);
    CU_ASSERT(links > 20 * 42 * 4 / 10 && links < 20 * 42 * 6 / 10); /* every second one */
}

/* ---- bridge, slow links, clocks ---- */

static void test_fault_bridge(void)
{
    uint32_t alike = 0;
    for (uint64_t seed = 0; seed < 10; seed++) { /* the other two never reach each other */
        struct place p;
        struct lab_fault f = {.at_ns = sec, .for_ns = sec, .one_way = seed & 1};
        place_open(&p, 3, 0, seed);
        lab_fault_draw(&f, p.s);
        lab_fault_bridge(&f, p.s, p.n[0], lab_fault_partition);
        int ways = sim_net_blocked(p.s, p.n[1], p.n[2]) + sim_net_blocked(p.s, p.n[2], p.n[1]);
        CU_ASSERT_EQUAL(ways, f.one_way ? 1 : 2);
        CU_ASSERT(!sim_net_blocked(p.s, p.n[0], p.n[1]) && !sim_net_blocked(p.s, p.n[2], p.n[0]));
        place_close(&p);
    }
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct place p;
        struct lab_fault f = {.at_ns = sec, .for_ns = sec};
        uint32_t cut[16] = {0};
        place_open(&p, 5, 4, seed);
        lab_fault_draw(&f, p.s);
        lab_fault_bridge(&f, p.s, p.n[2], lab_fault_partition);
        for (uint32_t i = 0; i < p.nodes; i++)
            for (uint32_t k = 0; k < p.nodes; k++) {
                bool blocked = sim_net_blocked(p.s, p.n[i], p.n[k]);
                CU_ASSERT_EQUAL(blocked, sim_net_blocked(p.s, p.n[k], p.n[i]));
                CU_ASSERT(!blocked || (i != 2 && k != 2));
                cut[i] += blocked && k < 5;
            }
        for (uint32_t i = 0; i < p.nodes; i++)
            CU_ASSERT_EQUAL(cut[i], i == 2 ? 0 : 2); /* two masters of four are on the other side */
        alike += sim_net_blocked(p.s, p.n[0], p.n[1]);
        lab_fault_bridge(&f, p.s, p.n[2], lab_fault_heal);
        for (uint32_t i = 0; i < p.nodes; i++)
            CU_ASSERT(!sim_net_blocked(p.s, p.n[0], p.n[i]));
        place_close(&p);
    }
    CU_ASSERT(alike > 5 && alike < 20); /* two of three */
}

static int64_t mean_ns(struct place *p, uint32_t from, uint32_t to)
{
    int64_t sum = 0;
    for (int i = 0; i < 4000; i++)
        sum += sim_net_latency_ns(p->s, p->n[from], p->n[to], 100);
    return sum / 4000;
}

static void test_fault_slow_links(void)
{
    uint32_t seen[3] = {0};
    for (int64_t at = 1; at <= 30; at++) {
        struct place p;
        struct lab_fault f = {.at_ns = at * ms, .one_way = at % 2};
        place_open(&p, 3, 0, 5);
        lab_fault_slow(&f, p.n[0], p.n[1]);
        int64_t usual = mean_ns(&p, 0, 2), slow = mean_ns(&p, 0, 1), back = mean_ns(&p, 1, 0);
        CU_ASSERT(usual > 90000 && usual < 110000); /* 100 us */
        uint32_t which = slow < 40 * usual ? 0 : slow < 200 * usual ? 1 : 2;
        static const int64_t times[] = {20, 100, 500};
        seen[which]++;
        CU_ASSERT(slow > times[which] * 90000 && slow < times[which] * 110000);
        CU_ASSERT(f.one_way ? back < 110000 : back > times[which] * 90000);
        lab_fault_fast(&f, p.n[0], p.n[1]);
        CU_ASSERT(mean_ns(&p, 0, 1) < 110000 && mean_ns(&p, 1, 0) < 110000);
        place_close(&p);
    }
    CU_ASSERT(seen[0] && seen[1] && seen[2]);
}

static void test_fault_clock_step(void)
{
    uint32_t on = 0, far = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct place p;
        struct lab_fault f = {.at_ns = sec};
        place_open(&p, 2, 0, seed);
        struct env *e = sim_node_up(p.n[0]), *other = sim_node_up(p.n[1]);
        int64_t wall = env_wall_ns(e), mono = env_now_ns(e), apart = wall - env_wall_ns(other);
        lab_fault_draw(&f, p.s);
        lab_fault_clock(&f, p.n[0], true);
        int64_t by = env_wall_ns(e) - wall;
        CU_ASSERT(by >= -5 * sec && by <= 5 * sec && by != 0);
        CU_ASSERT_EQUAL(env_wall_ns(e) - env_wall_ns(other), apart + by);
        CU_ASSERT_EQUAL(env_now_ns(e), mono);
        on += by > 0;
        far += by > 2500 * ms || by < -2500 * ms;
        lab_fault_clock(&f, p.n[0], false);
        CU_ASSERT_EQUAL(env_wall_ns(e), wall);
        place_close(&p);
    }
    CU_ASSERT(on > 8 && on < 32 && far > 8 && far < 32); /* half of them each */
}

/* ---- the core ---- */

static void test_core_is_a_bare_majority(void)
{
    uint32_t fates[LAB_CORE_PARTIAL + 1] = {0}, in[5] = {0};
    struct place p;
    place_open(&p, 6, 2, 1);
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct lab_core c = {.n = 6};
        uint32_t kept = 0;
        for (uint32_t i = 0; i < 6; i++) {
            c.node[i] = p.n[i];
            c.votes[i] = i < 5; /* m6 is spare */
        }
        lab_core_draw(&c, seed, "test", 3);
        for (uint32_t i = 0; i < 6; i++) {
            kept += c.fate[i] == LAB_CORE_IN;
            fates[c.fate[i]]++;
            CU_ASSERT_EQUAL(lab_core_has(&c, p.n[i]), c.fate[i] == LAB_CORE_IN);
            if (i < 5)
                in[i] += c.fate[i] == LAB_CORE_IN;
        }
        CU_ASSERT(kept == 3 && c.fate[5] != LAB_CORE_IN && !lab_core_has(&c, p.n[6]));
    }
    for (uint32_t i = 0; i < 5; i++)
        CU_ASSERT(in[i] > 200 && in[i] < 280); /* 240 */
    for (uint32_t i = 1; i <= LAB_CORE_PARTIAL; i++)
        CU_ASSERT(fates[i] > 150 && fates[i] < 250); /* 200 */
    place_close(&p);
}

static void test_core_links(void)
{
    struct place p;
    struct lab_core c = {.n = 5};
    char text[LAB_CORE_TEXT];
    static const uint8_t fate[] = {LAB_CORE_IN, LAB_CORE_CUT, LAB_CORE_MUTE, LAB_CORE_DEAF,
                                   LAB_CORE_PARTIAL};
    place_open(&p, 5, 1, 1);
    for (uint32_t i = 0; i < 5; i++) {
        c.node[i] = p.n[i];
        c.fate[i] = fate[i];
    }
    lab_core_cut(&c, p.s, p.n[0]);
    CU_ASSERT(sim_net_blocked(p.s, p.n[1], p.n[0]) && sim_net_blocked(p.s, p.n[0], p.n[1]));
    CU_ASSERT(sim_net_blocked(p.s, p.n[2], p.n[0]) && !sim_net_blocked(p.s, p.n[0], p.n[2]));
    CU_ASSERT(!sim_net_blocked(p.s, p.n[3], p.n[0]) && sim_net_blocked(p.s, p.n[0], p.n[3]));
    CU_ASSERT(!sim_net_blocked(p.s, p.n[4], p.n[0]) && !sim_net_blocked(p.s, p.n[0], p.n[4]));
    CU_ASSERT(sim_net_blocked(p.s, p.n[4], p.n[5]) && sim_net_blocked(p.s, p.n[5], p.n[4]));
    CU_ASSERT(!sim_net_blocked(p.s, p.n[0], p.n[5]) && !sim_net_blocked(p.s, p.n[5], p.n[0]));
    lab_core_say(&c, text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "m1, m2 is cut off, m3 is not heard, m4 hears nobody, m5 reaches "
                                 "one of them only");
    place_close(&p);
}

static void test_core_serves_for_a_while(void)
{
    struct lab_core_watch w = {.success_ns = 900 * ms};
    CU_ASSERT(!lab_core_serves(&w, sec, true, 3, true, 2 * sec, sec));
    w.success_ns = 2900 * ms;
    CU_ASSERT(lab_core_serves(&w, 3 * sec, true, 3, true, 2 * sec, sec));
    CU_ASSERT(!lab_core_serves(&w, 3 * sec, true, 4, true, 2 * sec, sec));   /* another leader */
    CU_ASSERT(!lab_core_serves(&w, 5 * sec, true, 4, true, 2 * sec, sec));   /* a gap */
    CU_ASSERT(lab_core_serves(&w, 7 * sec, true, 4, false, 2 * sec, sec));   /* nobody asks */
    CU_ASSERT(!lab_core_serves(&w, 8 * sec, false, 4, false, 2 * sec, sec)); /* nobody leads */
}

/* of a group in which nobody is elected in time: found with a core, and only then */
static uint64_t core_run(const char *core, uint64_t seed, char *ret_core)
{
    static struct lab_scenario s;
    struct mem m;
    struct lab_group_report r;
    char json[500], why[LAB_ERROR];
    unit_mem(&m, (uint64_t)1 << 30);
    fmt_into(json, sizeof json,
             "{\"duration\": \"10s\", \"bound\": \"7s\", \"masters\": 3, \"workers\": 0, "
             "\"clients\": 2%s, \"journal\": {\"only\": 1, \"suspect_min\": \"7s\", "
             "\"suspect_max\": \"8s\"}, \"load\": {\"threads\": 2, \"think\": \"10ms\"}}",
             core);
    CU_ASSERT_EQUAL_FATAL(lab_scenario_parse(&s, json, why), 0);
    struct lab_group *g = lab_group_open(&m, &s, seed, NULL, NULL);
    CU_ASSERT(lab_group_go(g, 0));
    lab_group_report(g, &r);
    uint64_t failures = r.findings[LAB_GROUP_LIVENESS].failures;
    memcpy(ret_core, r.core, LAB_CORE_TEXT);
    for (int v = 0; v < LAB_GROUP_VERDICTS; v++)
        CU_ASSERT(v == LAB_GROUP_LIVENESS || !r.findings[v].failures);
    lab_group_close(g);
    mem_drop(&m);
    return failures;
}

static void test_core_that_is_slow_is_found(void)
{
    char text[LAB_CORE_TEXT];
    uint32_t found = 0;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        found += core_run(", \"core\": 1", seed, text) > 0;
        CU_ASSERT(text[0] != 0);
        CU_ASSERT_EQUAL(core_run("", seed, text), 0);
        CU_ASSERT_EQUAL(text[0], 0);
    }
    CU_ASSERT(found > 0);
}

/* ---- damage of several disks ---- */

/* how many rots hit, how many disks at least and at most */
static uint32_t rot_run(bool beyond, uint64_t seed, uint32_t *least, uint32_t *most,
                        uint32_t *stopped)
{
    static struct lab_scenario s;
    struct mem m;
    struct lab_group_report r;
    char why[LAB_ERROR];
    uint32_t hits = 0;
    unit_mem(&m, (uint64_t)1 << 30);
    int err = lab_scenario_parse(
        &s,
        "{\"duration\": \"5s\", \"bound\": \"10s\", \"masters\": 5, \"workers\": 0, \"clients\": "
        "2, \"journal\": {\"only\": 1, \"suspect_min\": \"200ms\", \"suspect_max\": \"400ms\"}, "
        "\"load\": {\"threads\": 3, \"think\": \"5ms\"}, \"random\": {\"rot_every\": \"1s\", "
        "\"for\": \"200ms\", \"from\": \"1s\"}}",
        why);
    CU_ASSERT_EQUAL_FATAL(err, 0);
    s.beyond = beyond;
    struct lab_group *g = lab_group_open(&m, &s, seed, NULL, NULL);
    CU_ASSERT(lab_group_go(g, 0));
    lab_group_report(g, &r);
    for (int v = 0; v < LAB_GROUP_VERDICTS; v++)
        CU_ASSERT_EQUAL(r.findings[v].failures, 0);
    for (uint32_t i = 0; i < g->s.n_faults; i++) {
        uint32_t n = (uint32_t)__builtin_popcount(g->events[i].hit);
        hits += n > 0;
        *least = n && n < *least ? n : *least;
        *most = n > *most ? n : *most;
    }
    *stopped += r.stopped;
    CU_ASSERT(beyond || !r.stopped);
    lab_group_close(g);
    mem_drop(&m);
    return hits;
}

static void test_rot_within_and_beyond(void)
{
    uint32_t least[2] = {9, 9}, most[2] = {0}, stopped[2] = {0}, hits[2] = {0};
    for (int beyond = 0; beyond < 2; beyond++)
        for (uint64_t seed = 1; seed <= 5; seed++)
            hits[beyond] += rot_run(beyond, seed, &least[beyond], &most[beyond], &stopped[beyond]);
    CU_ASSERT(hits[0] > 5 && least[0] == 1 && most[0] == 2); /* of five */
    CU_ASSERT(hits[1] > 5 && least[1] == 3 && most[1] == 5);
    CU_ASSERT(stopped[0] == 0 && stopped[1] > 0);
}

/* ---- what ends when all is healed ---- */

struct calm {
    bool healed;
    uint32_t stops[2]; /* in the middle of a turn; before and after */
};

static void calm_trace(void *ctx, const struct sim_trace *t)
{
    struct calm *x = ctx;
    x->healed |= t->kind == SIM_K_NET && t->node == UINT32_MAX && t->b == UINT32_MAX;
    x->stops[x->healed] += t->kind == SIM_K_PAUSE && t->a == 2;
}

/* connections that carry nothing, and that nobody was told of */
static uint32_t calm_silent(struct sim *sim)
{
    uint32_t n = 0;
    list_each(l, &sim->net.conns) {
        const struct sim_conn *c = container_of(l, struct sim_conn, link);
        n += c->silent && (c->end[0].state == SIM_END_OPEN || c->end[1].state == SIM_END_OPEN);
    }
    return n;
}

static void calm_run(int only)
{
    static struct lab_scenario s;
    struct calm x = {.healed = false};
    struct mem m;
    char json[500], why[LAB_ERROR];
    fmt_into(json, sizeof json,
             "{\"duration\": \"3s\", \"bound\": \"30s\", \"clients\": 3, \"masters\": %d, "
             "\"stall_ppm\": 3000, \"stall_mean\": \"30ms\", \"net\": {\"user_timeout\": \"20s\"}, "
             "\"disk\": {\"stall_ppm\": 20000, \"stall_mean\": \"5ms\"}, \"journal\": "
             "{\"only\": %d}}",
             only ? 3 : 1, only);
    CU_ASSERT_EQUAL_FATAL(lab_scenario_parse(&s, json, why), 0);
    unit_mem(&m, (uint64_t)4 << 30);
    struct lab_group *g = only ? lab_group_open(&m, &s, 1, NULL, NULL) : NULL;
    struct lab_run *r = only ? NULL : lab_run_open(&m, &s, 1, NULL, NULL);
    struct sim *sim = g ? lab_group_sim(g) : lab_run_sim(r);
    sim_trace_hook(sim, calm_trace, &x);
    CU_ASSERT(!(g ? lab_group_go(g, 2900 * ms) : lab_run_go(r, 2900 * ms)));
    for (uint32_t i = 1; i < sim_node_count(sim); i++) /* whoever had one before has given it up */
        sim_net_half_open(sim_node_at(sim, 0), sim_node_at(sim, i));
    CU_ASSERT(calm_silent(sim) > 1);
    CU_ASSERT(!(g ? lab_group_go(g, 3050 * ms) : lab_run_go(r, 3050 * ms)));
    CU_ASSERT(x.healed && calm_silent(sim) == 0);
    uint64_t stalls = sim_stats(sim)->stalls;
    CU_ASSERT(g ? lab_group_go(g, 0) : lab_run_go(r, 0));
    CU_ASSERT(x.stops[0] > 3 && x.stops[1] == 0);
    CU_ASSERT(stalls > 3 && sim_stats(sim)->stalls == stalls);
    if (g)
        lab_group_close(g);
    else
        lab_run_close(r);
    mem_drop(&m);
}

static void test_calm_after_healing(void)
{
    calm_run(0);
    calm_run(1);
}

UNIT_MAIN("lab_fault", UNIT(test_calm_after_healing), UNIT(test_fault_as_often_as_asked),
          UNIT(test_fault_swizzle), UNIT(test_fault_bridge), UNIT(test_fault_slow_links),
          UNIT(test_fault_clock_step), UNIT(test_core_is_a_bare_majority), UNIT(test_core_links),
          UNIT(test_core_serves_for_a_while), UNIT(test_core_that_is_slow_is_found),
          UNIT(test_rot_within_and_beyond))
