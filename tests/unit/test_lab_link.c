/* tests/unit/test_lab_link.c - links and network cards of their own: what a scenario asks for is
 * what the world does, nothing else changes, and text says it all. */
#include "core/fmt.h"
#include "sim/lab_group.h"
#include "sim/lab_run.h"
#include "sim/lab_shrink.h"
#include "sim/sim_internal.h"
#include "tests/unit/unit.h"

static const int64_t ms = 1000000;

static struct lab_scenario s;

static void scenario_parse(const char *text)
{
    char why[LAB_ERROR] = "";
    int err = lab_scenario_parse(&s, text, why);
    if (!err)
        err = lab_scenario_check(&s, why);
    if (err)
        printf("\n%s\n", why);
    CU_ASSERT_EQUAL_FATAL(err, 0);
}

/* ---- text ---- */

static char *written(const struct lab_scenario *of)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    lab_scenario_write(of, f);
    fclose(f);
    return text;
}

static void test_link_text(void)
{
    scenario_parse(
        "{\"masters\": 3, \"links\": [{\"from\": \"m1\", \"to\": \"c*\", \"latency_mean\": "
        "\"40ms\"}, {\"from\": \"*\", \"to\": \"w2\", \"latency_min\": 7, "
        "\"latency_mean\": \"1.5s\", \"loss_ppm\": 0, \"one_way\": true}, {\"from\": "
        "\"op\", \"to\": \"m*\"}], \"nics\": [{\"node\": \"w*\", \"bytes_per_s\": 5}, "
        "{\"node\": \"m1\", \"bytes_per_s\": \"9223372036854775807\"}]}");
    CU_ASSERT(s.links.n == 3 && s.links.n_nics == 2);
    const struct lab_link *l = s.links.link;
    CU_ASSERT(l[0].mean_ns == 40 * ms && l[0].min_ns < 0 && l[0].loss_ppm < 0 && !l[0].one_way);
    CU_ASSERT(l[1].mean_ns == 1500 * ms && l[1].min_ns == 7 && !l[1].loss_ppm && l[1].one_way);
    CU_ASSERT_EQUAL(s.links.nic[1].bytes_per_s, INT64_MAX);
    char *a = written(&s);
    struct lab_links was = s.links;
    scenario_parse(a);
    CU_ASSERT(!memcmp(&was, &s.links, sizeof was));
    char *b = written(&s);
    CU_ASSERT_STRING_EQUAL(a, b);
    free(a);
    free(b);
    scenario_parse("{}");
    a = written(&s);
    CU_ASSERT(!strstr(a, "links") && !strstr(a, "nics"));
    free(a);
}

static void test_link_text_bad(void)
{
    static const struct {
        const char *what, *says;
    } bad[] = {
        {"\"links\": 3", "links are a list"},
        {"\"links\": [3]", "links are a list"},
        {"\"links\": [{\"from\": \"m1\"}]", "\"to\""},
        {"\"links\": [{\"from\": \"m1\", \"to\": \"c1\", \"latency\": 3}]", "\"latency\" (from"},
        {"\"links\": [{\"from\": \"m1\", \"to\": \"c1\", \"loss_ppm\": 1000001}]", "loss_ppm"},
        {"\"links\": [{\"from\": \"m1\", \"to\": \"c1\", \"loss_ppm\": 0.5}]", "loss_ppm"},
        {"\"links\": [{\"from\": \"m1\", \"to\": \"c1\", \"one_way\": 1}]", "one_way"},
        {"\"links\": [{\"from\": \"m2\", \"to\": \"c1\"}]", "no machine \"m2\""},
        {"\"links\": [{\"from\": \"m1\", \"to\": \"x*\"}]", "no machine \"x*\""},
        {"\"links\": [{\"from\": \"m1\", \"to\": \"leader\"}]", "no machine \"leader\""},
        {"\"links\": [{\"from\": \"m1\", \"to\": \"m1\"}]", "to itself"},
        {"\"links\": [{\"from\": \"m1\", \"to\": \"c1\", \"latency_min\": \"1s\"}]", "set both"},
        {"\"links\": [{\"from\": \"m1\", \"to\": \"c1\", \"latency_mean\": 1}]", "set both"},
        {"\"clients\": 4000, \"links\": [{\"from\": \"*\", \"to\": \"*\"}]", "pairs of machines"},
        {"\"nics\": [{\"node\": \"w1\"}]", "\"bytes_per_s\""},
        {"\"nics\": [{\"node\": \"w7\", \"bytes_per_s\": 1}]", "no machine \"w7\""},
        {"\"nics\": [{\"node\": \"w1\", \"bytes_per_s\": -1}]",
         "nics[0].bytes_per_s: -1 is not a whole number from 0 to 9223372036854775807"},
        {"\"nics\": [{\"node\": \"w1\", \"bytes_per_s\": 1}, {\"node\": [\"w2\"], "
         "\"bytes_per_s\": 1}]",
         "nics[1].node: a list names no machines"},
        {"\"nics\": [{\"node\": \"w1\", \"bytes\": 1}]", "\"bytes\" (node, bytes_per_s)"},
        {"\"links\": [{\"from\": \"m1\", \"to\": \"c1\"}, {\"from\": \"m1\", \"to\": \"c1\", "
         "\"loss_ppm\": 1000001}]",
         "links[1].loss_ppm: 1000001 is not a whole number from 0 to 1000000"},
        {"\"links\": [{\"from\": \"m1\", \"to\": \"c1\", \"latency_mean\": \"soon\"}]",
         "links[0].latency_mean: \"soon\" is not a time from 0 to 24h (like 250ms, 2s)"},
        {"\"links\": [{\"from\": \"m1\", \"to\": \"c1\", \"one_way\": \"yes\"}]",
         "links[0].one_way: \"yes\" is neither true nor false"},
        {"\"links\": [{\"from\": 7, \"to\": \"c1\"}]",
         "links[0].from: 7 names no machines (m1, w1, c1, m*, w*, c*, *)"},
        {"\"links\": [{\"from\": \"m1\", \"to\": \"a_name_of_sixteen\"}]",
         "links[0].to: \"a_name_of_sixteen\" names no machines"},
    };
    char json[400], why[LAB_ERROR];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        fmt_into(json, sizeof json, "{%s}", bad[i].what);
        int err = lab_scenario_parse(&s, json, why);
        err = err ? err : lab_scenario_check(&s, why);
        CU_ASSERT_EQUAL(err, E_CONFIG);
        CU_ASSERT_PTR_NOT_NULL(strstr(why, bad[i].says));
        if (!strstr(why, bad[i].says))
            printf("\n%s: %s\n", bad[i].what, why);
    }
}

/* of a list that later elements make void: which one is told; else nothing */
static void test_link_that_counts_nowhere(void)
{
    static const struct {
        const char *what, *says;
    } lists[] = {
        {"\"links\": [{\"from\": \"m1\", \"to\": \"c1\", \"loss_ppm\": 9}, {\"from\": \"c1\", "
         "\"to\": "
         "\"m1\", \"latency_mean\": \"1s\"}]",
         "links[0]: nothing of it counts, as links[1]"},
        {"\"links\": [{\"from\": \"m1\", \"to\": \"c1\"}, {\"from\": \"m*\", \"to\": \"c*\"}]",
         "links[0]: nothing of it counts, as links[1]"},
        {"\"links\": [{\"from\": \"m1\", \"to\": \"c1\"}, {\"from\": \"m1\", \"to\": \"*\", "
         "\"one_way\": true}, {\"from\": \"*\", \"to\": \"m1\", \"one_way\": true}]",
         "links[0]: nothing of it counts, as links[2]"},
        {"\"links\": [{\"from\": \"m1\", \"to\": \"c1\"}, {\"from\": \"m1\", \"to\": \"c1\", "
         "\"one_way\": true}]",
         NULL}, /* back it still counts */
        {"\"links\": [{\"from\": \"m*\", \"to\": \"c1\"}, {\"from\": \"m1\", \"to\": \"c1\"}]",
         NULL},
        {"\"links\": [{\"from\": \"op\", \"to\": \"m1\"}, {\"from\": \"m1\", \"to\": \"c*\"}]",
         NULL},
        {"\"nics\": [{\"node\": \"w1\", \"bytes_per_s\": 1}, {\"node\": \"w*\", \"bytes_per_s\": "
         "2}]",
         "nics[0]: it counts nowhere, as nics[1]"},
        {"\"nics\": [{\"node\": \"w*\", \"bytes_per_s\": 1}, {\"node\": \"w1\", \"bytes_per_s\": "
         "2}]",
         NULL},
    };
    char json[400], why[LAB_ERROR];
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        fmt_into(json, sizeof json, "{\"masters\": 3, %s}", lists[i].what);
        CU_ASSERT_EQUAL_FATAL(lab_scenario_parse(&s, json, why), 0);
        int err = lab_scenario_check(&s, why);
        CU_ASSERT_EQUAL(err, lists[i].says ? E_CONFIG : 0);
        CU_ASSERT(!lists[i].says || strstr(why, lists[i].says) != NULL);
        if (lists[i].says && !strstr(why, lists[i].says))
            printf("\n%s: %s\n", lists[i].what, why);
    }
}

/* ---- what the world does ---- */

struct place {
    struct mem m;
    struct lab_group *g;
    struct lab_run *r;
    struct sim *sim;
};

static void place_open(struct place *p)
{
    *p = (struct place){0};
    unit_mem(&p->m, (uint64_t)4 << 30);
    if (s.journal.only)
        p->g = lab_group_open(&p->m, &s, 1, NULL, NULL);
    else
        p->r = lab_run_open(&p->m, &s, 1, NULL, NULL);
    p->sim = p->g ? lab_group_sim(p->g) : lab_run_sim(p->r);
}

static void place_close(struct place *p)
{
    if (p->g)
        lab_group_close(p->g);
    else
        lab_run_close(p->r);
    mem_drop(&p->m);
}

static bool is_about(int64_t v, int64_t want, int64_t percent)
{
    return v >= want - want * percent / 100 && v <= want + want * percent / 100;
}

/* the least and the mean of what the link from a to b takes, of so many draws */
static bool takes(struct place *p, const char *a, const char *b, int64_t min_ns, int64_t mean_ns)
{
    enum { DRAWS = 4000 };
    struct sim_node *from = sim_node_find(p->sim, a), *to = sim_node_find(p->sim, b);
    int64_t sum = 0, least = INT64_MAX;
    for (int i = 0; i < DRAWS; i++) {
        int64_t ns = sim_net_latency_ns(p->sim, from, to, 100);
        sum += ns;
        least = ns < least ? ns : least;
    }
    bool ok = least >= min_ns && is_about(least, min_ns, 5) && is_about(sum / DRAWS, mean_ns, 5);
    if (!ok)
        printf("\n%s to %s: %lld, %lld on average\n", a, b, (long long)least,
               (long long)(sum / DRAWS));
    return ok;
}

static uint32_t lost_ppm(struct place *p, const char *a, const char *b)
{
    const struct sim_link *l =
        sim_net_special(p->sim, sim_node_find(p->sim, a), sim_node_find(p->sim, b));
    return l && l->own ? l->loss_ppm : p->sim->net.cfg.loss_ppm;
}

static void links_as_asked(int only)
{
    char text[900];
    struct place p;
    fmt_into(text, sizeof text,
             "{\"duration\": \"1s\", \"masters\": 3, \"clients\": 2, \"journal\": {\"only\": %d}, "
             "\"net\": {\"latency_min\": \"1ms\", \"latency_mean\": \"2ms\", \"loss_ppm\": 9}, "
             "\"links\": [{\"from\": \"m*\", \"to\": \"m*\", \"latency_min\": \"30ms\", "
             "\"latency_mean\": \"35ms\"}, {\"from\": \"m1\", \"to\": \"c*\", \"latency_min\": "
             "\"10ms\", \"latency_mean\": \"10ms\", \"loss_ppm\": 500, \"one_way\": true}, "
             "{\"from\": \"c2\", \"to\": \"*\", \"latency_mean\": \"7ms\"}, "
             "{\"from\": \"m3\", \"to\": \"m1\", \"latency_min\": \"90ms\", \"latency_mean\": "
             "\"100ms\", \"one_way\": true}], \"nics\": [{\"node\": \"*\", \"bytes_per_s\": "
             "1000000}, {\"node\": \"c*\", \"bytes_per_s\": 2000000}, {\"node\": \"m2\", "
             "\"bytes_per_s\": 0}]}",
             only);
    scenario_parse(text);
    place_open(&p);
    CU_ASSERT(takes(&p, "m1", "m2", 30 * ms, 35 * ms) && takes(&p, "m2", "m1", 30 * ms, 35 * ms));
    CU_ASSERT(takes(&p, "m3", "m1", 90 * ms, 100 * ms) && takes(&p, "m1", "m3", 30 * ms, 35 * ms));
    CU_ASSERT(takes(&p, "m1", "c1", 10 * ms, 10 * ms) && takes(&p, "c1", "m1", ms, 2 * ms));
    CU_ASSERT(takes(&p, "m1", "c2", ms, 7 * ms) && takes(&p, "c2", "m2", ms, 7 * ms));
    CU_ASSERT(takes(&p, "m2", "c1", ms, 2 * ms) && takes(&p, "m2", "op", ms, 2 * ms));
    CU_ASSERT(lost_ppm(&p, "m1", "c1") == 500 && lost_ppm(&p, "c1", "m1") == 9);
    CU_ASSERT_EQUAL(lost_ppm(&p, "m1", "m2"), 9);
    const struct sim_node *n = sim_node_find(p.sim, "m1");
    CU_ASSERT(n->own_nic && n->nic_bytes_per_s == 1000000);
    n = sim_node_find(p.sim, "m2");
    CU_ASSERT(n->own_nic && !n->nic_bytes_per_s);
    n = sim_node_find(p.sim, "c2");
    CU_ASSERT(n->own_nic && n->nic_bytes_per_s == 2000000);
    /* when all is healed nothing is lost any more, and places are as far from each other */
    CU_ASSERT(p.g ? lab_group_go(p.g, 0) : lab_run_go(p.r, 0));
    CU_ASSERT(!lost_ppm(&p, "m1", "c1") && !lost_ppm(&p, "m1", "m2") && !lost_ppm(&p, "c1", "m1"));
    CU_ASSERT(takes(&p, "m3", "m1", 90 * ms, 100 * ms) && takes(&p, "c1", "m1", ms, 2 * ms));
    place_close(&p);
}

static void test_link_as_asked(void)
{
    links_as_asked(1);
    links_as_asked(0);
}

static void test_link_nothing_asked(void)
{
    struct place p;
    for (int only = 0; only < 2; only++) {
        scenario_parse(only ? "{\"masters\": 3, \"journal\": {\"only\": 1}}" : "{\"masters\": 3}");
        place_open(&p);
        CU_ASSERT_EQUAL(p.sim->net.n_links, 0);
        for (uint32_t i = 0; i < sim_node_count(p.sim); i++)
            CU_ASSERT(!sim_node_at(p.sim, i)->own_nic);
        place_close(&p);
    }
}

/* ---- what is on its way in a run ---- */

struct travel {
    uint32_t from, to, n;
    int64_t least_ns, sum_ns;
};

static void on_trace(void *ctx, const struct sim_trace *t)
{
    struct travel *x = ctx;
    if (t->kind != SIM_K_FRAMES || t->node != x->to || (uint32_t)(t->b >> 32) != x->from)
        return;
    int64_t ns = t->at_ns - t->since_ns;
    x->n++;
    x->sum_ns += ns;
    x->least_ns = ns < x->least_ns ? ns : x->least_ns;
}

/* how long what is said is on its way */
static struct travel run_travel(const char *links, const char *from, const char *to)
{
    char text[700];
    struct place p;
    fmt_into(text, sizeof text,
             "{\"duration\": \"3s\", \"masters\": 3, \"clients\": 2, \"journal\": {\"only\": 1}, "
             "\"load\": {\"think\": \"20ms\"}%s%s}",
             *links ? ", " : "", links);
    scenario_parse(text);
    place_open(&p);
    struct travel x = {.from = sim_node_id(sim_node_find(p.sim, from)),
                       .to = sim_node_id(sim_node_find(p.sim, to)),
                       .least_ns = INT64_MAX};
    sim_trace_hook(p.sim, on_trace, &x);
    CU_ASSERT(p.g && lab_group_go(p.g, 2500 * ms) == false);
    CU_ASSERT(x.n > 30);
    place_close(&p);
    return x;
}

static void test_link_of_a_run(void)
{
    const char *slow = "\"links\": [{\"from\": \"m1\", \"to\": \"m2\", \"latency_min\": \"40ms\", "
                       "\"latency_mean\": \"50ms\", \"one_way\": true}]";
    struct travel usual = run_travel("", "m1", "m2"), there = run_travel(slow, "m1", "m2"),
                  back = run_travel(slow, "m2", "m1");
    CU_ASSERT(usual.sum_ns / usual.n < ms);
    CU_ASSERT(there.least_ns >= 40 * ms && there.least_ns < 45 * ms);
    /* a write waits for those before it: the mean may be longer, by little */
    CU_ASSERT(there.sum_ns / there.n > 47 * ms && there.sum_ns / there.n < 70 * ms);
    CU_ASSERT(back.sum_ns / back.n < ms);
}

/* ---- smaller ---- */

static bool needs_one(void *ctx, const struct lab_scenario *x, int64_t *ret_at_ns)
{
    bool link = false, nic = false, far = x->workers < 3; /* w3 must be far, or not there */
    (void)ctx;
    *ret_at_ns = 1;
    for (uint32_t i = 0; i < x->links.n; i++) {
        link |= x->links.link[i].loss_ppm == 7;
        far |= !strcmp(x->links.link[i].to, "w3");
    }
    for (uint32_t i = 0; i < x->links.n_nics; i++)
        nic |= x->links.nic[i].bytes_per_s == 8;
    return link && nic && far;
}

static bool go_on(void *ctx)
{
    (void)ctx;
    return true;
}

static void test_link_shrinks(void)
{
    struct lab_shrink how = {.fails = needs_one, .may_go_on = go_on};
    scenario_parse(
        "{\"masters\": 5, \"workers\": 3, \"clients\": 4, \"links\": [{\"from\": \"*\", \"to\": "
        "\"*\"}, {\"from\": \"m4\", \"to\": \"w3\"}, {\"from\": \"c4\", \"to\": \"*\"}, {\"from\": "
        "\"m1\", \"to\": \"c1\", \"loss_ppm\": 7}], \"nics\": [{\"node\": \"w*\", \"bytes_per_s\": "
        "8}, {\"node\": \"w3\", \"bytes_per_s\": 3}]}");
    CU_ASSERT(lab_shrink(&s, 1, &how));
    CU_ASSERT(s.links.n == 1 && s.links.n_nics == 1);
    CU_ASSERT(s.links.link[0].loss_ppm == 7 && s.links.nic[0].bytes_per_s == 8);
    CU_ASSERT(s.masters == 1 && s.workers == 0 && s.clients == 1);
    lab_scenario_drop(&s);
}

UNIT_MAIN("lab_link", UNIT(test_link_text), UNIT(test_link_text_bad),
          UNIT(test_link_that_counts_nowhere), UNIT(test_link_as_asked),
          UNIT(test_link_nothing_asked), UNIT(test_link_of_a_run), UNIT(test_link_shrinks))
