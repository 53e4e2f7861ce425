/* tests/unit/test_lab_chance.c - what chance does is told, and given again it does the same; with
 * a list there is no other chance; and the shrinker leaves what a failure needs. */
#include "sim/lab_group.h"
#include "sim/lab_json.h"
#include "sim/lab_run.h"
#include "sim/lab_shrink.h"
#include "unit.h"

static const int64_t sec = 1000000000, ms = 1000000;

/* everything that chance may do, often */
static void stormy(struct lab_scenario *s, bool journals)
{
    lab_scenario_default(s);
    s->sim = sim_config_stormy(0);
    s->sim.net.loss_ppm = 10000;
    s->sim.net.half_open_ppm = s->sim.net.clog_ppm = 300;
    s->sim.net.reset_ppm = 3000;
    s->sim.disk.stall_ppm = 3000;
    s->sim.disk.stall_mean_ns = 20 * ms;
    s->sim.stall_ppm = 300;
    s->sim.fault_on_ppm = 1000000;
    s->store.eio_ppm = 20000;
    s->store.short_ppm = 20000;
    s->masters = journals ? 3 : 1;
    s->journal.only = s->journal.raft = journals;
    s->workers = journals ? 0 : 1;
    s->clients = 4;
    s->duration_ns = 3 * sec;
    for (uint32_t i = 0; i < 3; i++)
        s->faults[i] = (struct lab_fault){.at_ns = (300 + 500 * i) * ms,
                                          .for_ns = i == 1 && journals ? 900 * ms : 200 * ms,
                                          .kind = i == 1 && journals ? LAB_FAULT_SYNC_FAIL
                                                                     : LAB_FAULT_POWER_LOSS,
                                          .node = "m1",
                                          .to = "*"};
    s->n_faults = 3;
}

struct end {
    uint64_t hash[2];
    int64_t down_ns;
    struct sim_stats stats;
    struct lab_chances told;
};

static void run(struct lab_scenario *s, struct end *e)
{
    struct mem m;
    memset(e, 0, sizeof *e);
    unit_mem(&m, (uint64_t)4 << 30);
    s->told = &e->told;
    if (s->journal.only) {
        struct lab_group *g = lab_group_open(&m, s, 28, NULL, NULL);
        CU_ASSERT(lab_group_go(g, 0));
        sim_hash(lab_group_sim(g), e->hash);
        e->stats = *sim_stats(lab_group_sim(g));
        lab_group_close(g);
    } else {
        struct lab_report p;
        struct lab_run *r = lab_run_open(&m, s, 28, NULL, NULL);
        CU_ASSERT(lab_run_go(r, 0));
        lab_run_report(r, &p);
        sim_hash(lab_run_sim(r), e->hash);
        e->stats = *sim_stats(lab_run_sim(r));
        e->down_ns = p.longest_down_ns;
        lab_run_close(r);
    }
    s->told = NULL;
    mem_drop(&m);
}

static bool same(const struct lab_chances *a, const struct lab_chances *b)
{
    return a->n == b->n && !memcmp(a->c, b->c, a->n * sizeof a->c[0]);
}

static void again(bool journals, const enum sim_chance_kind *kinds, size_t n_kinds)
{
    static struct lab_scenario s;
    struct end drawn, plain, given, none;
    stormy(&s, journals);
    run(&s, &drawn);
    for (size_t i = 0; i < n_kinds; i++)
        if (!lab_chance_has(&drawn.told, kinds[i])) {
            CU_FAIL("a chance never hit");
            fprintf(stderr, "%s\n", lab_chance_name(kinds[i]));
        }
    for (uint32_t i = 1; i < drawn.told.n; i++)
        CU_ASSERT(drawn.told.c[i - 1].at_ns <= drawn.told.c[i].at_ns);
    s.has_chances = true;
    s.chances = drawn.told;
    run(&s, &given); /* bit by bit */
    CU_ASSERT(!memcmp(given.hash, drawn.hash, sizeof drawn.hash));
    CU_ASSERT(same(&given.told, &drawn.told));
    s.chances = (struct lab_chances){NULL, 0, 0};
    run(&s, &none);
    CU_ASSERT(none.told.n == 0 && none.stats.lost == 0 && none.stats.reordered == 0 &&
              none.stats.resets == 0 && none.stats.stalls == 0 && none.stats.sectors_torn == 0 &&
              none.stats.sectors_garbage == 0 && none.stats.names_undone == 0);
    CU_ASSERT(memcmp(none.hash, drawn.hash, sizeof drawn.hash) != 0);
    s.has_chances = false;
    run(&s, &plain); /* what is told is told of */
    CU_ASSERT(same(&plain.told, &drawn.told));
    lab_chance_free(&drawn.told);
    lab_chance_free(&plain.told);
    lab_chance_free(&given.told);
    lab_chance_free(&none.told);
}

static void test_chance_again(void)
{
    static const enum sim_chance_kind kinds[] = {SIM_CHANCE_LOSS,        SIM_CHANCE_LATE,
                                                 SIM_CHANCE_RESET,       SIM_CHANCE_DISK_STALL,
                                                 SIM_CHANCE_TURN_STALL,  SIM_CHANCE_NAME_UNDONE,
                                                 SIM_CHANCE_STORE_ERROR, SIM_CHANCE_SITE};
    again(false, kinds, ARRAY_LEN(kinds));
}

static void test_chance_again_group(void)
{
    static const enum sim_chance_kind kinds[] = {SIM_CHANCE_LOSS, SIM_CHANCE_LATE,
                                                 SIM_CHANCE_DISK_STALL, SIM_CHANCE_SYNC_ERROR,
                                                 SIM_CHANCE_SITE};
    again(true, kinds, ARRAY_LEN(kinds));
}

/* ---- text ---- */

static void test_chance_text(void)
{
    static struct lab_scenario s, back;
    static const char *const wrong[][2] = {
        {"{\"chances\": 1}", "not a list"},
        {"{\"chances\": [{\"at\": \"1s\", \"do\": \"loss\", \"node\": \"m1\"}]}", "\"to\""},
        {"{\"chances\": [{\"at\": \"1s\", \"do\": \"los\", \"node\": \"m1\"}]}",
         "line 1, chances[0].do: bad value"},
        {"{\"chances\": [{\"at\": \"1s\", \"do\": \"site\", \"node\": \"m1\"}]}", "\"site\""},
        {"{\"chances\": [{\"do\": \"disk_stall\", \"node\": \"m1\"}]}", "\"at\""},
        {"{\"chances\": [{\"at\": \"1s\", \"do\": \"disk_stall\", \"node\": \"m1\", \"for\": 1, "
         "\"to\": "
         "\"c1\"}]}",
         "has no \"to\""},
        {"{\"chances\": [{\"at\": \"x\", \"do\": \"disk_stall\", \"node\": \"m1\"}]}",
         "chances[0].at"},
        {"{\"chances\": [{\"at\": 1, \"doo\": 1}]}", "unknown key"},
        {"{\"chances\": [{\"at\": 1, \"do\": \"loss\", \"node\": \"a name that is long\"}]}",
         "chances[0].node"}};
    char why[LAB_ERROR];
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        CU_ASSERT_EQUAL(lab_scenario_parse(&s, wrong[i][0], why), E_CONFIG);
        CU_ASSERT_PTR_NOT_NULL(strstr(why, wrong[i][1]));
    }
    int err = lab_scenario_parse(&s,
                                 "{\"chances\": [{\"at\": \"2s\", \"do\": \"site\", \"node\": "
                                 "\"w1\", \"site\": \"wal.x\"}, {\"at\": 5, \"do\": \"loss\", "
                                 "\"node\": \"c1\", \"to\": \"m1\", \"n\": 3, \"skip\": 2}]}",
                                 why);
    CU_ASSERT_EQUAL_FATAL(err, 0);
    CU_ASSERT_EQUAL(lab_scenario_check(&s, why), 0);
    CU_ASSERT(s.has_chances && s.chances.n == 2 && s.chances.c[0].at_ns == 5 &&
              s.chances.c[0].skip == 2 && s.chances.c[0].n == 3 && s.chances.c[1].n == 1);
    s.chances.c[1].node[0] = 'x';
    CU_ASSERT_EQUAL(lab_scenario_check(&s, why), E_CONFIG);
    s.chances.n = 0; /* of every kind one, with every field that it has */
    for (unsigned k = 0; k < SIM_CHANCES; k++) {
        struct sim_chance *c = lab_chance_add(&s.chances);
        *c = (struct sim_chance){.at_ns = 7 * k, .skip = k % 3, .kind = (enum sim_chance_kind)k};
        c->node[0] = 'm', c->node[1] = '1', c->n = 1;
        if (lab_chance_has_field(c->kind, "to"))
            c->to[0] = 'w', c->to[1] = '1';
        if (k == SIM_CHANCE_SITE)
            memcpy(c->site, "a.b", 3);
        if (lab_chance_has_field(c->kind, "for"))
            c->for_ns = sec + k;
        if (k == SIM_CHANCE_SECTOR_GARBAGE)
            c->n = UINT64_MAX >> 11;
    }
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    lab_scenario_write(&s, f);
    fclose(f);
    CU_ASSERT_EQUAL_FATAL(lab_scenario_parse(&back, text, why), 0);
    CU_ASSERT(same(&s.chances, &back.chances));
    free(text);
    lab_scenario_drop(&s);
    lab_scenario_drop(&back);
}

/* what would do nothing is refused: siege and lose are of journals alone */
static void test_chance_refused(void)
{
    static struct lab_scenario s;
    static const char *const texts[][2] = {
        {"{\"masters\": 3, \"faults\": [{\"at\": 1, \"do\": \"siege\", \"node\": \"m1\"}]}",
         "faults[0] (siege)"},
        {"{\"faults\": [{\"at\": 1, \"do\": \"lose\", \"node\": \"m1\"}]}", "faults[0] (lose)"},
        {"{\"masters\": 3, \"random\": {\"siege_every\": \"1s\"}}", "random.siege_every"},
        {"{\"masters\": 3, \"journal\": {\"only\": 1}, \"random\": {\"siege_every\": \"1s\"}}",
         NULL},
        {"{\"masters\": 3, \"journal\": {\"only\": 1}, \"faults\": [{\"at\": 1, \"do\": "
         "\"lose\", \"node\": \"m1\"}]}",
         NULL}};
    char why[LAB_ERROR] = "";
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        CU_ASSERT_EQUAL_FATAL(lab_scenario_parse(&s, texts[i][0], why), 0);
        CU_ASSERT_EQUAL(lab_scenario_check(&s, why), texts[i][1] ? E_CONFIG : 0);
        CU_ASSERT(!texts[i][1] || strstr(why, texts[i][1]));
        lab_scenario_drop(&s);
    }
}

/* ---- shrinking ---- */

/* "nobody has a success for 200 ms": one thread needs one message lost, or one long stall */
static bool is_down(void *ctx, const struct lab_scenario *s, int64_t *ret_at_ns)
{
    static struct lab_scenario mine;
    struct end e;
    (void)ctx;
    mine = *s;
    run(&mine, &e);
    lab_chance_free(&e.told);
    *ret_at_ns = s->duration_ns;
    return e.down_ns >= 200 * ms;
}

static bool go_on(void *ctx)
{
    return --*(int *)ctx > 0;
}

static void test_chance_shrinks(void)
{
    static struct lab_scenario s;
    struct lab_shrink_size size;
    struct end e;
    int runs = 400;
    const struct lab_shrink how = {&runs, is_down, go_on, NULL};
    lab_scenario_default(&s);
    s.clients = s.workers = s.load.threads = 1;
    s.load.think_ns = ms;
    s.duration_ns = 2 * sec;
    s.seed = 7;
    s.sim.net.loss_ppm = 3000;
    s.sim.net.reorder_ppm = 20000;
    s.sim.disk.stall_ppm = 3000;
    s.sim.disk.stall_mean_ns = 5 * ms;
    run(&s, &e);
    CU_ASSERT_FATAL(e.down_ns >= 200 * ms && e.told.n >= 10);
    s.has_chances = true;
    s.chances = e.told;
    CU_ASSERT(lab_shrink(&s, s.duration_ns, &how));
    lab_shrink_measure(&s, &size);
    CU_ASSERT_EQUAL(size.chances, 1);
    CU_ASSERT(size.chances == 1 && s.chances.c[0].kind == SIM_CHANCE_LOSS);
    CU_ASSERT(s.sim.net.loss_ppm == 0 && s.sim.net.reorder_ppm == 0 && s.sim.disk.stall_ppm == 0);
    int64_t at;
    CU_ASSERT(is_down(NULL, &s, &at));
    lab_scenario_drop(&s);
}

UNIT_MAIN("lab_chance", UNIT(test_chance_again), UNIT(test_chance_again_group),
          UNIT(test_chance_text), UNIT(test_chance_refused), UNIT(test_chance_shrinks))
