/* tests/unit/test_lab_shrink.c - explicit operations say what was drawn, as text, too; a failure is
 * made smaller, and what it needs stays. */
#include "core/fmt.h"
#include "sim/lab_group.h"
#include "sim/lab_name.h"
#include "sim/lab_run.h"
#include "sim/lab_shrink.h"
#include "tests/unit/unit.h"

static const int64_t sec = 1000000000, ms = 1000000;

/* ---- text ---- */

static char *written(const struct lab_scenario *s)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    lab_scenario_write(s, f);
    fclose(f);
    return text;
}

static void test_shrink_text(void)
{
    static struct lab_scenario s, again;
    static const char json[] =
        "{\"masters\": 3, \"net\": {\"loss_ppm\": 5}, \"seed\": 18446744073709551615,"
        "\"faults\": [{\"at\": \"1.5s\", \"do\": \"bit_flip\", \"node\": \"w1\", \"for\": \"20ms\","
        "\"chance\": [3, 70000000000, 1]}], \"mutant\": \"NAME\", \"operations\": ["
        "{\"at\": \"20us\", \"by\": \"c2.1\", \"do\": \"rename\", \"in\": \"/d1\", \"name\": "
        "\"a\\\"b\","
        "\"to\": \"/d2/x#2\", \"as\": \"n\", \"flags\": 2},"
        "{\"at\": 17, \"by\": \"c1.0\", \"do\": \"open\", \"in\": \"/f\", \"mode\": 6, \"steps\": "
        "\"write 0+500 fill 18446744073709551615, wait 1.000000001s, read 5+6, sync; wait 3ms, "
        "read "
        "1+1\"}, {\"at\": 18, \"by\": \"c1.0\", \"do\": \"readdir\", \"in\": \"/\", \"steps\": "
        "\"wait 0, wait 7us\"}, {\"at\": 19, \"by\": \"c1.0\", \"do\": \"get\", \"steps\": "
        "\"ask 2, again 1 3ms, again 0 1ns\"}]}";
    char why[LAB_ERROR] = "";
    int err = lab_scenario_parse(&s, "{\"seed\": \"18446744073709551615\"}", why);
    CU_ASSERT_EQUAL(err, E_CONFIG); /* INT64_MAX at most */
    char *at = strstr((char *)(uintptr_t)json, "18446744073709551615,");
    char *mine = strdup(json);
    memcpy(mine + (at - json), "77                  ", 20);
    err = lab_scenario_parse(&s, mine, why);
    CU_ASSERT_EQUAL_FATAL(err, 0);
    CU_ASSERT_EQUAL(s.ops.n, 4);
    const struct lab_op *op = &s.ops.op[0]; /* sorted by time */
    CU_ASSERT(op->at_ns == 17 && op->kind == FSOP_OPEN && op->n_steps == 5);
    CU_ASSERT(op->steps[0].kind == LAB_STEP_WRITE && op->steps[0].fill == UINT64_MAX);
    CU_ASSERT(op->steps[1].kind == LAB_STEP_READ && op->steps[1].wait_ns == sec + 1);
    CU_ASSERT(op->steps[2].kind == LAB_STEP_SYNC && op->steps[3].kind == LAB_STEP_REOPEN);
    CU_ASSERT(op->steps[4].wait_ns == 3 * ms && op->steps[4].off == 1 && op->steps[4].len == 1);
    op = &s.ops.op[1];
    CU_ASSERT(op->n_steps == 2 && op->steps[0].kind == LAB_STEP_WAIT && !op->steps[0].wait_ns &&
              op->steps[1].wait_ns == 7000);
    op = &s.ops.op[2];
    CU_ASSERT(op->n_steps == 3 && op->steps[0].kind == LAB_STEP_ASK && op->steps[0].off == 2);
    CU_ASSERT(op->steps[1].kind == LAB_STEP_AGAIN && op->steps[2].wait_ns == 1);
    char *a = written(&s);
    err = lab_scenario_parse(&again, a, why);
    CU_ASSERT_EQUAL_FATAL(err, 0);
    for (uint32_t i = 0; lab_scenario_key_name(i); i++)
        CU_ASSERT_EQUAL(lab_scenario_get(&s, i), lab_scenario_get(&again, i));
    CU_ASSERT_EQUAL(memcmp(s.ops.op, again.ops.op, s.ops.n * sizeof *s.ops.op), 0);
    CU_ASSERT_EQUAL(memcmp(s.faults, again.faults, sizeof s.faults[0]), 0);
    CU_ASSERT_STRING_EQUAL(again.mutant, "NAME");
    char *b = written(&again);
    CU_ASSERT_STRING_EQUAL(a, b);
    free(a);
    free(b);
    free(mine);
    lab_scenario_drop(&s);
    lab_scenario_drop(&again);
}

static void test_shrink_text_bad(void)
{
    static struct lab_scenario s;
    static const struct {
        const char *what, *says;
    } bad[] = {
        {"{\"at\": 1, \"by\": \"c1\", \"do\": \"mkdir\"}", "bad value of \"by\""},
        {"{\"at\": 1, \"by\": \"c0.1\", \"do\": \"mkdir\"}", "bad value of \"by\""},
        {"{\"at\": \"1 s\", \"by\": \"c1.0\", \"do\": \"mkdir\"}", "bad value of \"at\""},
        {"{\"at\": \"-1\", \"by\": \"c1.0\", \"do\": \"mkdir\"}", "\"at\""},
        {"{\"at\": 1, \"by\": \"c1.0\", \"do\": \"fly\"}", "bad value of \"do\""},
        {"{\"at\": 1, \"by\": \"c1.0\"}", "each needs"},
        {"{\"at\": 1, \"by\": \"c1.0\", \"do\": \"open\", \"wings\": 2}", "unknown key \"wings\""},
        {"{\"at\": 1, \"by\": \"c1.0\", \"do\": \"open\", \"user\": 4294967296}", "\"user\""},
        {"{\"at\": 1, \"by\": \"c1.0\", \"do\": \"open\", \"steps\": \"read 5\"}", "\"steps\""},
        {"{\"at\": 1, \"by\": \"c1.0\", \"do\": \"open\", \"steps\": \"read 5+5 sync\"}",
         "\"steps\""},
        {"{\"at\": 1, \"by\": \"c1.0\", \"do\": \"open\", \"steps\": \"wait, sync\"}", "\"steps\""},
        {"{\"at\": 1, \"by\": \"c1.0\", \"do\": \"open\", \"steps\": \"write 0+99999999\"}",
         "\"steps\""},
        {"7", "each needs"},
    };
    char json[400], why[LAB_ERROR];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        fmt_into(json, sizeof json, "{\"operations\": [%s]}", bad[i].what);
        int err = lab_scenario_parse(&s, json, why);
        CU_ASSERT_EQUAL(err, E_CONFIG);
        CU_ASSERT_PTR_NOT_NULL(strstr(why, bad[i].says));
        if (!strstr(why, bad[i].says))
            printf("\n%s: %s\n", bad[i].what, why);
    }
    static const struct {
        const char *json, *says;
    } senseless[] = {
        {"{\"operations\": [{\"at\": 1, \"by\": \"c4.0\", \"do\": \"mkdir\"}]}", "no c4.0"},
        {"{\"operations\": [{\"at\": 1, \"by\": \"c1.3\", \"do\": \"mkdir\"}]}", "no c1.3"},
        {"{\"operations\": [{\"at\": 1, \"by\": \"c1.0\", \"do\": \"set\"}]}", "journals alone"},
        {"{\"faults\": [{\"at\": 1, \"do\": \"crash\", \"node\": \"w3\"}]}", "machine \"w3\""},
        {"{\"faults\": [{\"at\": 1, \"do\": \"crash\", \"node\": \"leader\"}]}", "\"leader\""},
        {"{\"faults\": [{\"at\": 1, \"do\": \"reset\", \"node\": \"m1\", \"to\": \"x\"}]}",
         "\"x\""},
        {"{\"masters\": 3, \"journal\": {\"promise\": \"1s\"}}", "journal.suspect_min"},
    };
    for (size_t i = 0; i < ARRAY_LEN(senseless); i++) {
        CU_ASSERT_EQUAL(lab_scenario_parse(&s, senseless[i].json, why), 0);
        CU_ASSERT_EQUAL(lab_scenario_check(&s, why), E_CONFIG);
        CU_ASSERT_PTR_NOT_NULL(strstr(why, senseless[i].says));
        lab_scenario_drop(&s);
    }
}

static void test_shrink_names(void)
{
    struct mem m;
    unit_mem(&m, 1 << 24);
    struct lab_names *l = lab_names_open(&m);
    struct ino d = {10}, f = {11}, g = {12}, h = {13};
    lab_names_learn(l, INO_ROOT, "d", 1, d);
    lab_names_learn(l, d, "f", 1, f);
    lab_names_learn(l, INO_ROOT, "other", 5, f); /* keeps its first */
    lab_names_learn(l, d, "f", 1, g);
    CU_ASSERT_STRING_EQUAL(lab_names_of(l, INO_ROOT), "/");
    CU_ASSERT_STRING_EQUAL(lab_names_of(l, f), "/d/f");
    CU_ASSERT_STRING_EQUAL(lab_names_of(l, g), "/d/f#2");
    CU_ASSERT_STRING_EQUAL(lab_names_of(l, h), "");
    CU_ASSERT_EQUAL(lab_names_find(l, "/d/f").v, 11);
    CU_ASSERT_EQUAL(lab_names_find(l, "/d/f#2").v, 12);
    CU_ASSERT_EQUAL(lab_names_find(l, "/d/f#7").v, 12); /* the last there is */
    CU_ASSERT_EQUAL(lab_names_find(l, "/d#3").v, 10);
    CU_ASSERT_EQUAL(lab_names_find(l, "/d#4/f#7").v, 12);
    CU_ASSERT_EQUAL(lab_names_find(l, "/d#4/x").v, 0);
    CU_ASSERT_EQUAL(lab_names_find(l, "/x").v, 0);
    CU_ASSERT_EQUAL(lab_names_find(l, "/").v, INO_ROOT.v);
    mem_drop(&m);
}

static void test_shrink_kind(void)
{
    char a[200], b[200];
    lab_shrink_kind("c1, asked at 2345 us: lookup of 5 \"n3\" answered E_NOENT inode 0: gone", a,
                    sizeof a);
    lab_shrink_kind("c14, asked at 9 us: getattr of 77 \"a b\" answered ok inode 12: gone", b,
                    sizeof b);
    CU_ASSERT_STRING_EQUAL(a, b);
    lab_shrink_kind("c14, asked at 9 us: getattr of 77 \"a b\" answered ok inode 12: late", b,
                    sizeof b);
    CU_ASSERT_STRING_NOT_EQUAL(a, b);
}

/* ---- a recorded run is the same run ---- */

struct told {
    uint64_t answers, hash;
};

static void on_answer(void *ctx, const struct lab_load_answer *a)
{
    struct told *t = ctx;
    char line[300];
    size_t n = fmt_into(line, sizeof line, "%lld %lld %s.%u %s %llu %.*s %llu+%u %lld",
                        (long long)a->w.from_ns, (long long)a->w.to_ns, a->client, a->thread,
                        a->step, (unsigned long long)a->op->ino.v, (int)a->op->name_len,
                        a->op->name, (unsigned long long)a->off, a->len, (long long)a->ret);
    t->answers++;
    t->hash = base_hash(line, n, t->hash);
}

static struct told run_fs(const struct lab_scenario *s, struct lab_ops *record,
                          struct lab_scenario *ret_explicit)
{
    struct mem m;
    struct told told = {0, 0};
    struct lab_report p;
    unit_mem(&m, (uint64_t)4 << 30);
    struct lab_run *r = lab_run_open(&m, s, 1, NULL, NULL);
    lab_load_on_answer(lab_run_load(r), on_answer, &told);
    if (record)
        lab_load_record(lab_run_load(r), record);
    CU_ASSERT(lab_run_go(r, 0));
    lab_run_report(r, &p);
    for (uint32_t i = 0; ret_explicit && i < p.n_faults; i++) {
        ret_explicit->faults[i] = p.faults[i].f;
        ret_explicit->faults[i].n_given = p.faults[i].f.n_chance;
        ret_explicit->n_faults = p.n_faults;
    }
    for (int v = 0; v < LAB_VERDICTS; v++)
        CU_ASSERT_EQUAL(p.findings[v]->failures, 0);
    lab_run_close(r);
    mem_drop(&m);
    return told;
}

static void quiet_draws(struct lab_scenario *s)
{
    s->swarm = 0;
    memset(s->every_ns, 0, sizeof s->every_ns);
}

static void test_shrink_replay(void)
{
    static struct lab_scenario s, list, parsed;
    char why[LAB_ERROR] = "";
    int err = lab_scenario_parse(
        &s,
        "{\"duration\": \"3s\", \"clients\": 2, \"bound\": \"20s\", \"load\": {\"threads\": 2, "
        "\"think\": \"10ms\", \"linger\": \"20ms\"}, \"clock\": {\"drift_max_ppm\": 20000}, "
        "\"random\": {\"store_change_every\": \"200ms\", \"clock_rate_every\": \"40ms\", "
        "\"crash_every\": \"900ms\", \"bit_flip_every\": \"500ms\", \"reset_every\": \"500ms\", "
        "\"from\": \"1s\", \"for\": \"300ms\"}}",
        why);
    CU_ASSERT_EQUAL_FATAL(err, 0);
    struct told plain = run_fs(&s, NULL, NULL);
    list = s;
    lab_scenario_draw(&list, 1);
    quiet_draws(&list);
    struct told recorded = run_fs(&s, &list.ops, &list);
    list.has_ops = true;
    CU_ASSERT(plain.answers > 300 && plain.hash == recorded.hash);
    struct told explicitly = run_fs(&list, NULL, NULL);
    CU_ASSERT_EQUAL(explicitly.answers, plain.answers);
    CU_ASSERT_EQUAL(explicitly.hash, plain.hash);
    char *text = written(&list);
    err = lab_scenario_parse(&parsed, text, why);
    CU_ASSERT_EQUAL_FATAL(err, 0);
    struct told read = run_fs(&parsed, NULL, NULL);
    CU_ASSERT_EQUAL(read.hash, plain.hash);
    parsed.ops.n /= 2;
    struct told half = run_fs(&parsed, NULL, NULL);
    CU_ASSERT(half.answers < plain.answers && half.answers > 100);
    free(text);
    lab_scenario_drop(&list);
    lab_scenario_drop(&parsed);
}

static uint64_t run_group(const struct lab_scenario *s, struct lab_ops *record)
{
    struct mem m;
    struct lab_group_report p;
    char *text = NULL;
    size_t size;
    unit_mem(&m, (uint64_t)2 << 30);
    struct lab_group *g = lab_group_open(&m, s, 1, NULL, NULL);
    FILE *f = open_memstream(&text, &size);
    lab_group_history(g, f);
    if (record)
        lab_group_keep(g, record);
    lab_group_go(g, 0);
    lab_group_report(g, &p);
    for (int v = 0; v < LAB_GROUP_VERDICTS; v++)
        CU_ASSERT_EQUAL(p.findings[v].failures, 0);
    CU_ASSERT(p.writes > 50 && p.reads > 50);
    lab_group_close(g);
    fclose(f);
    uint64_t hash = base_hash(text, strlen(text), 0);
    free(text);
    mem_drop(&m);
    return hash;
}

static void test_shrink_replay_group(void)
{
    static struct lab_scenario s, list;
    char why[LAB_ERROR] = "";
    int err = lab_scenario_parse(
        &s,
        "{\"duration\": \"2s\", \"masters\": 3, \"clients\": 2, \"journal\": {\"only\": 1, "
        "\"suspect_min\": \"300ms\", \"suspect_max\": \"600ms\"}, \"load\": {\"threads\": 2}, "
        "\"faults\": [{\"at\": \"1s\", \"do\": \"crash\", \"node\": \"leader\", \"for\": "
        "\"200ms\"}]}",
        why);
    CU_ASSERT_EQUAL_FATAL(err, 0);
    list = s;
    uint64_t drawn = run_group(&s, &list.ops);
    list.has_ops = true;
    CU_ASSERT(list.ops.n > 100);
    uint64_t same = run_group(&list, NULL);
    CU_ASSERT_EQUAL(drawn, same);
    lab_scenario_drop(&list);
}

/* ---- another continuation of the same past ---- */

static void vary_fs(const struct lab_scenario *s, uint64_t k, uint64_t ret_hash[2])
{
    struct mem m;
    unit_mem(&m, (uint64_t)4 << 30);
    struct lab_run *r = lab_run_open(&m, s, 1, NULL, NULL);
    CU_ASSERT(!lab_run_go(r, sec));
    if (k)
        lab_run_vary(r, k);
    CU_ASSERT(lab_run_go(r, 0));
    sim_hash(lab_run_sim(r), ret_hash);
    lab_run_close(r);
    mem_drop(&m);
}

static void test_shrink_vary(void)
{
    static struct lab_scenario s;
    char why[LAB_ERROR];
    uint64_t h[4][2];
    CU_ASSERT_EQUAL_FATAL(lab_scenario_parse(&s, "{\"duration\": \"2s\", \"clients\": 2}", why), 0);
    for (unsigned i = 0; i < 4; i++)
        vary_fs(&s, i < 2 ? i : i - 1, h[i]);
    CU_ASSERT_NOT_EQUAL(h[0][0], h[1][0]);
    CU_ASSERT_EQUAL(h[1][0], h[2][0]);
    CU_ASSERT_NOT_EQUAL(h[2][0], h[3][0]);
}

/* ---- the shrinker, on failures that are made up ---- */

struct fake {
    uint32_t runs, most;
    bool needs_loss;
};

/* a fault of w1, then two operations on /a, the second with a write, by two clients */
static bool fake_fails(void *ctx, const struct lab_scenario *s, int64_t *ret_at_ns)
{
    struct fake *f = ctx;
    int64_t at = -1;
    f->runs++;
    for (uint32_t i = 0; i < s->n_faults && at < 0; i++)
        if (s->faults[i].kind == LAB_FAULT_CRASH && !strcmp(s->faults[i].node, "w1") &&
            s->faults[i].for_ns >= 5 * ms)
            at = s->faults[i].at_ns;
    uint32_t first = UINT32_MAX;
    for (uint32_t i = 0; i < s->ops.n && at >= 0; i++) {
        const struct lab_op *op = &s->ops.op[i];
        if (op->at_ns < at || strcmp(op->in, "/a") != 0)
            continue;
        bool writes = op->n_steps && op->steps[0].kind == LAB_STEP_WRITE;
        if (first == UINT32_MAX)
            first = op->client;
        else if (op->client != first && writes && s->duration_ns > op->at_ns) {
            *ret_at_ns = op->at_ns + ms;
            return s->workers >= 1 && (!f->needs_loss || s->sim.net.loss_ppm > 3);
        }
    }
    return false;
}

static bool fake_goes_on(void *ctx)
{
    const struct fake *f = ctx;
    return !f->most || f->runs < f->most;
}

static void fake_scenario(struct lab_scenario *s)
{
    char why[LAB_ERROR];
    CU_ASSERT_EQUAL_FATAL(lab_scenario_parse(s,
                                             "{\"profile\": \"stormy\", \"clients\": 4, "
                                             "\"workers\": 3}",
                                             why),
                          0);
    s->has_ops = true;
    for (uint32_t i = 0; i < 40; i++) {
        struct lab_fault *f = &s->faults[s->n_faults++];
        *f = (struct lab_fault){.at_ns = (int64_t)i * 400 * ms + 5, .for_ns = sec, .to = "*"};
        f->kind = i % 4 == 1 ? LAB_FAULT_CRASH : LAB_FAULT_PAUSE;
        fmt_into(f->node, sizeof f->node, "w%u", i % 3 + 1);
    }
    for (uint32_t i = 0; i < 2000; i++) {
        struct lab_op *op = lab_ops_add(&s->ops);
        CU_ASSERT_PTR_NOT_NULL_FATAL(op);
        op->at_ns = (int64_t)i * 8 * ms + 3;
        op->client = i % 4;
        op->thread = i % 3;
        op->kind = FSOP_OPEN;
        fmt_into(op->in, sizeof op->in, "/%c", (char)('a' + i % 11));
        struct lab_step w = {.kind = LAB_STEP_READ, .len = 5000, .fill = 9};
        w.kind = i % 2 ? LAB_STEP_WRITE : LAB_STEP_READ;
        lab_op_step_add(op, &w);
        lab_op_step_add(op, &w);
    }
}

static void test_shrink_smallest(void)
{
    static struct lab_scenario s;
    struct fake f = {.runs = 0};
    const struct lab_shrink how = {&f, fake_fails, fake_goes_on, NULL};
    struct lab_shrink_size z;
    int64_t at = 0;
    fake_scenario(&s);
    CU_ASSERT_FATAL(fake_fails(&f, &s, &at));
    CU_ASSERT(lab_shrink(&s, at, &how));
    CU_ASSERT(fake_fails(&f, &s, &at));
    lab_shrink_measure(&s, &z);
    CU_ASSERT(z.faults == 1 && z.operations == 2 && z.steps == 1);
    CU_ASSERT(z.workers == 1 && z.clients == 2 && z.duration_ns < 60 * ms);
    CU_ASSERT(s.faults[0].for_ns <= 10 * ms && s.load.threads == 1);
    CU_ASSERT(s.sim.net.loss_ppm == 0 && s.sim.clock.drift_max_ppm == 0);
    CU_ASSERT(f.runs < 600);
    lab_scenario_drop(&s);
}

static void test_shrink_keeps_what_it_needs(void)
{
    static struct lab_scenario s, other;
    struct fake f = {.needs_loss = true}, short_f = {.needs_loss = true, .most = 25};
    struct lab_shrink how = {&f, fake_fails, fake_goes_on, NULL};
    struct lab_shrink_size z;
    int64_t at = 0, bound;
    fake_scenario(&s);
    bound = s.bound_ns;
    CU_ASSERT_FATAL(fake_fails(&f, &s, &at));
    CU_ASSERT(lab_shrink(&s, at, &how));
    CU_ASSERT(s.sim.net.loss_ppm == 2000 && s.sim.net.reset_ppm == 0 && s.bound_ns == bound);
    /* without the time for it: smaller, and still a failure */
    fake_scenario(&other);
    how.ctx = &short_f;
    CU_ASSERT(!lab_shrink(&other, at, &how));
    CU_ASSERT(short_f.runs == 25);
    CU_ASSERT(fake_fails(&f, &other, &at));
    lab_shrink_measure(&other, &z);
    CU_ASSERT(z.operations < 2000);
    lab_scenario_drop(&s);
    lab_scenario_drop(&other);
}

/* two faults and three operations, or one of each at the right moment */
static bool moment_fails(void *ctx, const struct lab_scenario *s, int64_t *ret_at_ns)
{
    struct fake *f = ctx;
    bool fails = s->n_faults >= 2 && s->ops.n >= 3;
    f->runs++;
    *ret_at_ns = s->ops.n ? s->ops.op[s->ops.n - 1].at_ns + ms : 0;
    for (uint32_t i = 0; i < s->n_faults; i++)
        for (uint32_t j = 0; j < s->ops.n; j++) {
            int64_t after = s->faults[i].at_ns - s->ops.op[j].at_ns;
            fails |= after >= 650000 && after < 800000 && s->faults[i].kind == LAB_FAULT_CRASH;
        }
    return fails;
}

static void test_shrink_finds_the_moment(void)
{
    static struct lab_scenario s;
    struct fake f = {.runs = 0};
    const struct lab_shrink how = {&f, moment_fails, fake_goes_on, NULL};
    struct lab_shrink_size z;
    int64_t at = 0;
    fake_scenario(&s);
    for (uint32_t i = 0; i < s.ops.n; i++)
        fmt_into(s.ops.op[i].in, sizeof s.ops.op[i].in, "/a#%u/b#x#3", i + 2);
    CU_ASSERT_FATAL(moment_fails(&f, &s, &at));
    CU_ASSERT(lab_shrink(&s, at, &how));
    CU_ASSERT(moment_fails(&f, &s, &at));
    lab_shrink_measure(&s, &z);
    CU_ASSERT(z.faults == 1 && z.operations == 1);
    CU_ASSERT_STRING_EQUAL(s.ops.op[0].in, "/a/b#x");
    lab_scenario_drop(&s);
}

UNIT_MAIN("lab_shrink", UNIT(test_shrink_text), UNIT(test_shrink_text_bad), UNIT(test_shrink_names),
          UNIT(test_shrink_kind), UNIT(test_shrink_replay), UNIT(test_shrink_replay_group),
          UNIT(test_shrink_vary), UNIT(test_shrink_smallest), UNIT(test_shrink_keeps_what_it_needs),
          UNIT(test_shrink_finds_the_moment))
