/* tests/unit/test_lab_kinds.c - every kind of fault of scenarios: what the seed draws of it has the
 * distribution that was asked for, and in a run it happens when it is on, and never when it is off.
 *
 * The tolerance is four standard errors of a fixed number of draws; the seeds are fixed, so what
 * passes once passes always. */
#include "core/fmt.h"
#include "sim/lab_group.h"
#include "sim/lab_mark.h"
#include "sim/lab_run.h"
#include "sim/lab_scenario.h"
#include "tests/unit/unit.h"

static const int64_t sec = 1000000000, ms = 1000000;
static struct lab_scenario scen;

/* ---- what is drawn ---- */

enum { DRAW_SEEDS = 60, DRAW_M = 3, DRAW_W = 2, DRAW_C = 3 };

struct drawn {
    uint64_t n, gaps, gaps_above[2], lengths, lengths_above[2], on[DRAW_M + DRAW_W + DRAW_C], led;
    double sum_ns;
};

/* hits of n, each with probability p: within four standard errors */
static bool share_is(uint64_t hits, uint64_t n, double p)
{
    double d = (double)hits - p * (double)n;
    return d * d <= 16 * p * (1 - p) * (double)n + 1;
}

static bool kind_is_of_store(enum lab_fault_kind k)
{
    return k >= LAB_FAULT_STORE_CHANGE;
}

/* which machines a kind may hit: 1 masters, 2 workers, 4 clients */
static unsigned kind_victims(enum lab_fault_kind k)
{
    switch (k) {
    case LAB_FAULT_DISK_FULL:
    case LAB_FAULT_DISK_SLOW:
    case LAB_FAULT_SYNC_FAIL:
    case LAB_FAULT_IMAGE:
    case LAB_FAULT_MEMBERS:
    case LAB_FAULT_USURP:
    case LAB_FAULT_BLACKOUT:
    case LAB_FAULT_BRIDGE:
    case LAB_FAULT_ROT:
        return 1;
    case LAB_FAULT_WIPE:
    case LAB_FAULT_BIT_FLIP:
    case LAB_FAULT_DISK_ERRORS:
        return 3;
    default:
        return 7;
    }
}

static uint32_t machine(const char *name)
{
    uint32_t at = (uint32_t)(name[1] - '1');
    return name[0] == 'm' ? at : name[0] == 'w' ? DRAW_M + at : DRAW_M + DRAW_W + at;
}

static struct drawn draw_kind(enum lab_fault_kind k, uint32_t leader_ppm)
{
    struct drawn d = {0};
    for (uint64_t seed = 1; seed <= DRAW_SEEDS; seed++) {
        lab_scenario_default(&scen);
        scen.masters = DRAW_M;
        scen.workers = DRAW_W;
        scen.clients = DRAW_C;
        scen.duration_ns = 500 * sec;
        scen.every_ns[k] = sec;
        scen.random_for_ns = 400 * ms;
        scen.random_leader_ppm = leader_ppm;
        lab_scenario_draw(&scen, seed);
        CU_ASSERT_FATAL(scen.n_faults > 0 && scen.n_faults < LAB_FAULTS_MAX);
        int64_t before = scen.random_from_ns;
        for (uint32_t i = 0; i < scen.n_faults; i++) {
            const struct lab_fault *f = &scen.faults[i];
            CU_ASSERT(f->kind == k && f->at_ns > before && f->for_ns > 0);
            CU_ASSERT(f->at_ns + f->for_ns <= scen.duration_ns);
            d.n++;
            d.gaps_above[0] += f->at_ns - before > sec;
            d.gaps_above[1] += f->at_ns - before > 2 * sec;
            before = f->at_ns;
            if (f->at_ns < 490 * sec) { /* what is cut off at the end is another thing */
                d.lengths++;
                d.sum_ns += (double)f->for_ns;
                d.lengths_above[0] += f->for_ns > 400 * ms;
                d.lengths_above[1] += f->for_ns > 800 * ms;
            }
            if (!strcmp(f->node, "leader"))
                d.led++;
            else if (!kind_is_of_store(k))
                d.on[machine(f->node)]++;
        }
    }
    return d;
}

static void test_drawn_as_asked(void)
{
    const double e1 = 0.367879, e2 = 0.135335;
    for (int i = 0; i < LAB_FAULTS; i++) {
        enum lab_fault_kind k = (enum lab_fault_kind)i;
        for (uint32_t ppm = 0; ppm <= 300000; ppm += 300000) {
            struct drawn d = draw_kind(k, ppm);
            unsigned who = kind_victims(k);
            uint64_t may = (who & 1 ? DRAW_M : 0) + (who & 2 ? DRAW_W : 0) + (who & 4 ? DRAW_C : 0);
            double led = ppm / 1e6, keep = 1;
            /* of a link from a machine to itself nothing is left: of two in six one is to one */
            if (lab_scenario_fault_is_link(k))
                keep = 1 - (led * led + (1 - led) * (1 - led) / (double)may) / 3;
            double want = DRAW_SEEDS * 498.0 * keep, off = (double)d.n - want;
            CU_ASSERT(off * off <= 16 * want);
            CU_ASSERT(keep < 1 || share_is(d.gaps_above[0], d.n, e1));
            CU_ASSERT(keep < 1 || share_is(d.gaps_above[1], d.n, e2));
            CU_ASSERT(share_is(d.lengths_above[0], d.lengths, e1));
            CU_ASSERT(share_is(d.lengths_above[1], d.lengths, e2));
            double mean = d.sum_ns / (double)d.lengths - 400e6;
            CU_ASSERT(mean * mean <= 16 * 400e6 * 400e6 / (double)d.lengths);
            if (lab_scenario_fault_is_zk(k))
                continue; /* of no machine */
            CU_ASSERT(!ppm ? d.led == 0 : keep < 1 || share_is(d.led, d.n, led));
            for (uint32_t m = 0; m < ARRAY_LEN(d.on) && !kind_is_of_store(k); m++) {
                bool hit = who & (m < DRAW_M ? 1 : m < DRAW_M + DRAW_W ? 2 : 4);
                CU_ASSERT(hit ? share_is(d.on[m], d.n - d.led, 1.0 / (double)may) : !d.on[m]);
            }
        }
    }
}

/* ---- what happens ---- */

struct happened {
    uint64_t crashes, powers, pauses, stalls, net, cuts, course, marks, drew;
    struct sim_stats world;
};

static void on_trace(void *ctx, const struct sim_trace *t)
{
    struct happened *h = ctx;
    h->crashes += t->kind == SIM_K_CRASH;
    h->powers += t->kind == SIM_K_CRASH && t->a == 1;
    h->pauses += t->kind == SIM_K_PAUSE && t->a == 1;
    h->stalls += t->kind == SIM_K_PAUSE && t->a == 2;
    h->net += t->kind == SIM_K_NET && t->a; /* 0: all is healed */
    h->cuts += t->kind == SIM_K_CLOSE;
    if (t->kind == SIM_K_DISK || t->kind == SIM_K_FRAMES || t->kind == SIM_K_TIMER)
        h->course = base_mix_u64(h->course ^ base_mix_u64((uint64_t)t->at_ns) ^ t->a);
}

/* ret: marks of faults that are of kind k, or of any other */
static uint64_t marks_of(const struct sim *s, enum lab_fault_kind k, uint64_t *ret_others)
{
    static struct lab_mark m[LAB_MARKS_MAX];
    char name[48];
    uint64_t own = 0;
    *ret_others = 0;
    fmt_into(name, sizeof name, "fault.%s", k < LAB_FAULTS ? lab_scenario_fault_name(k) : "");
    for (uint32_t i = lab_mark_list(&scen, s, m); i; i--)
        if (!strncmp(m[i - 1].name, "fault.", 6))
            *(!strcmp(m[i - 1].name, name) ? &own : ret_others) += m[i - 1].hits;
    return own;
}

static const char *errs_on; /* whose disk errs; NULL: m1's */
static int beyond;

enum world { FILES, JOURNALS, ZOOKEEPER };

/* A quiet run with nothing, or with one fault; k LAB_FAULTS: nothing. */
static struct happened run_kind(enum world world, enum lab_fault_kind k, uint64_t seed)
{
    struct happened h = {0};
    struct mem mem;
    char json[800], fault[200] = "", why[LAB_ERROR];
    uint64_t others;
    bool journals = world != FILES;
    bool is_long = k == LAB_FAULT_DISK_ERRORS || k == LAB_FAULT_SYNC_FAIL || k == LAB_FAULT_ZK_CUT;
    unit_mem(&mem, (uint64_t)2 << 30);
    if (k < LAB_FAULTS)
        fmt_into(fault, sizeof fault,
                 ", \"faults\": [{\"at\": \"%s\", \"do\": \"%s\"%s, \"for\": \"%dms\"}]",
                 k == LAB_FAULT_TOPPLE ? "0s" : "1s", /* who begins to lead */
                 lab_scenario_fault_name(k),
                 k == LAB_FAULT_ZK_CUT        ? ", \"chance\": [2]" /* who has a client */
                 : kind_is_of_store(k)        ? ""
                 : k == LAB_FAULT_DISK_ERRORS ? errs_on ? errs_on : ", \"node\": \"m1\""
                 : k == LAB_FAULT_BLACKOUT || k == LAB_FAULT_BIT_FLIP ? ", \"node\": \"m2\""
                                                                      : ", \"node\": \"leader\"",
                 is_long ? 1800 : 700);
    fmt_into(
        json, sizeof json,
        "{\"beyond\": %d, \"duration\": \"3s\", \"masters\": 4, \"workers\": 1, \"clients\": 2, "
        "\"journal\": {\"only\": %d%s, \"members\": 3, \"suspect_min\": \"200ms\", "
        "\"suspect_max\": \"400ms\"}, \"store\": {\"files\": 4}, "
        "\"clock\": {\"drift_max_ppm\": %d}, \"master\": {\"image_after_bytes\": %d}, "
        "\"load\": {\"threads\": 3, \"think\": \"5ms\"}%s}",
        beyond, journals, world == ZOOKEEPER ? ", \"raft\": 0, \"zk\": 1" : "",
        k == LAB_FAULT_CLOCK_RATE ? 20000 : 0, k == LAB_FAULT_SHARED_ROT ? 20000 : 1 << 20, fault);
    CU_ASSERT_EQUAL_FATAL(lab_scenario_parse(&scen, json, why), 0);
    if (journals) {
        struct lab_group *g = lab_group_open(&mem, &scen, seed, NULL, NULL);
        sim_trace_hook(lab_group_sim(g), on_trace, &h);
        lab_group_go(g, 3 * sec - ms); /* then all is healed */
        struct lab_group_report rep;
        lab_group_report(g, &rep);
        h.drew = rep.n_faults ? rep.faults[0].n_chance : 0;
        h.world = *sim_stats(lab_group_sim(g));
        h.marks = marks_of(lab_group_sim(g), k, &others);
        sim_trace_hook(lab_group_sim(g), NULL, NULL); /* its end is a crash of all */
        lab_group_close(g);
    } else {
        struct lab_report rep;
        struct lab_run *r = lab_run_open(&mem, &scen, seed, NULL, NULL);
        sim_trace_hook(lab_run_sim(r), on_trace, &h);
        lab_run_go(r, 3 * sec - ms);
        lab_run_report(r, &rep);
        h.drew = rep.n_faults ? rep.faults[0].f.n_chance : 0;
        h.world = *sim_stats(lab_run_sim(r));
        h.marks = marks_of(lab_run_sim(r), k, &others);
        sim_trace_hook(lab_run_sim(r), NULL, NULL);
        lab_run_close(r);
    }
    CU_ASSERT_EQUAL(others, 0);
    mem_drop(&mem);
    return h;
}

/* what shows that it happened, and is 0 in a run without faults; or that the run took another
 * course than that one */
static bool has_happened(enum lab_fault_kind k, const struct happened *h,
                         const struct happened *off)
{
    switch (k) {
    case LAB_FAULT_POWER_LOSS:
    case LAB_FAULT_BLACKOUT:
        return h->powers;
    case LAB_FAULT_CRASH:
    case LAB_FAULT_RESTART:
        return h->crashes && !h->powers;
    case LAB_FAULT_WIPE:
    case LAB_FAULT_LOSE:
    case LAB_FAULT_ROT:
        return h->crashes;
    case LAB_FAULT_BIT_FLIP: /* which file, where, which bit */
        return h->crashes || h->drew == 3;
    case LAB_FAULT_PAUSE:
        return h->pauses;
    case LAB_FAULT_STALL:
        return h->stalls;
    case LAB_FAULT_PARTITION:
    case LAB_FAULT_CLOG:
    case LAB_FAULT_SWIZZLE:
    case LAB_FAULT_BRIDGE:
    case LAB_FAULT_LINK_SLOW:
    case LAB_FAULT_SIEGE:
        return h->net;
    case LAB_FAULT_RESET:
        return h->cuts > off->cuts;
    case LAB_FAULT_DISK_FULL:
        return h->world.enospc;
    case LAB_FAULT_SYNC_FAIL:
        return h->course != off->course; /* few files are synced: a write is durable when done */
    case LAB_FAULT_CLOCK_RATE:
        return h->world.kinds[SIM_K_CLOCK];
    case LAB_FAULT_SHARED_ROT: /* where, which bit */
        return h->drew == 2;
    case LAB_FAULT_TOPPLE:
        return h->crashes;
    case LAB_FAULT_ZK_BACK: /* by how much */
        return h->drew == 1;
    case LAB_FAULT_DISK_ERRORS:
        return h->world.eio && h->world.misdirected;
    default:
        return h->course != off->course;
    }
}

static bool kind_is_for(enum lab_fault_kind k, enum world world)
{
    if (world == ZOOKEEPER)
        return lab_scenario_fault_is_zk(k) && k != LAB_FAULT_ZK_LAG; /* nobody writes there */
    if (world == JOURNALS) /* there is no time in the records of a journal alone */
        return !kind_is_of_store(k) && k != LAB_FAULT_CLOCK_STEP;
    return k != LAB_FAULT_LOSE && k != LAB_FAULT_SIEGE && k != LAB_FAULT_ROT &&
           !lab_scenario_fault_is_zk(k);
}

static void kinds_on_and_off(enum world world)
{
    enum { SEEDS = 4 };
    struct happened off[SEEDS];
    for (uint64_t s = 0; s < SEEDS; s++) {
        off[s] = run_kind(world, LAB_FAULTS, s + 1);
        const struct sim_stats *w = &off[s].world;
        CU_ASSERT_EQUAL(off[s].crashes + off[s].pauses + off[s].stalls + off[s].net, 0);
        CU_ASSERT_EQUAL(w->eio + w->enospc + w->stalls + w->misdirected + w->misread, 0);
        CU_ASSERT_EQUAL(w->lost + w->resets + w->half_opens + w->clogs + off[s].marks, 0);
        CU_ASSERT_EQUAL(w->kinds[SIM_K_CLOCK], 0);
    }
    for (int i = 0; i < LAB_FAULTS; i++) {
        enum lab_fault_kind k = (enum lab_fault_kind)i;
        bool seen = !kind_is_for(k, world);
        for (uint64_t s = 0; s < SEEDS && !seen; s++) {
            struct happened h = run_kind(world, k, s + 1);
            CU_ASSERT_EQUAL(h.marks, 1);
            seen = has_happened(k, &h, &off[s]);
        }
        if (!seen)
            printf("\n%s did not happen\n", lab_scenario_fault_name(k));
        CU_ASSERT(seen);
    }
}

static void test_kinds_of_files(void)
{
    kinds_on_and_off(FILES);
}

static void test_kinds_of_journals(void)
{
    kinds_on_and_off(JOURNALS);
}

static void test_kinds_of_zookeeper(void)
{
    kinds_on_and_off(ZOOKEEPER);
}

/* What destroys acknowledged data hits fewer than half of the masters: of three the first. */
static void test_errors_spare_most_masters(void)
{
    static const char *const on[] = {", \"node\": \"m2\"", ", \"node\": \"m3\""};
    for (unsigned i = 0; i < 2 * ARRAY_LEN(on); i++) {
        uint64_t eio = 0, elsewhere = 0;
        errs_on = on[i / 2];
        for (beyond = 0; beyond < 2; beyond += 1 + (i % 2 == 0)) {
            eio = elsewhere = 0;
            for (uint64_t seed = 1; seed <= 4; seed++) {
                struct happened h = run_kind(i % 2 ? JOURNALS : FILES, LAB_FAULT_DISK_ERRORS, seed);
                eio += h.world.eio;
                elsewhere += h.world.misdirected + h.world.misread;
            }
            CU_ASSERT(eio > 0);
            CU_ASSERT_EQUAL(elsewhere > 0, beyond > 0);
        }
    }
    errs_on = NULL;
    beyond = 0;
}

UNIT_MAIN("lab_kinds", UNIT(test_errors_spare_most_masters), UNIT(test_drawn_as_asked),
          UNIT(test_kinds_of_files), UNIT(test_kinds_of_journals), UNIT(test_kinds_of_zookeeper))
