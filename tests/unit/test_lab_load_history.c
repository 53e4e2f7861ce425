/* tests/unit/test_lab_load_history.c - what clients of a simulated file system see is recorded as
 * real mounts record it, and a lie in it is found. */
#include "sim/lab_history.h"
#include "sim/lab_load_impl.h"
#include "sim/lab_run_impl.h"
#include "tests/unit/unit.h"

static struct mem mem;
static struct lab_scenario scenario;
static uint64_t lines;

static void on_line(void *ctx, const char *line, size_t n)
{
    CU_ASSERT(ctx == &lines && n > 10 && line[0] == '{' && line[n - 1] == '\n');
    lines++;
}

static struct lab_run *begin(bool asks)
{
    char json[500], why[LAB_ERROR] = "";
    unit_mem(&mem, (uint64_t)1 << 30);
    fmt_into(json, sizeof json,
             "{\"duration\": \"4s\", \"masters\": 1, \"workers\": 1, \"clients\": 3,"
             " \"client\": {\"ask_always\": %d}, \"load\": {\"think\": \"10ms\", \"names\": 4},"
             " \"faults\": [{\"at\": \"1s\", \"do\": \"crash\", \"node\": \"c1\", \"for\": "
             "\"200ms\"}, {\"at\": \"2s\", \"do\": \"crash\", \"node\": \"m1\", \"for\": "
             "\"300ms\"}]}",
             asks);
    CU_ASSERT_EQUAL_FATAL(lab_scenario_parse(&scenario, json, why), 0);
    lines = 0;
    struct lab_run *r = lab_run_open(&mem, &scenario, 1, NULL, NULL);
    lab_load_on_history(lab_run_load(r), on_line, &lines);
    lab_run_go(r, 3 * RUN_MS * 1000);
    return r;
}

static void put(struct lab_run *r, const char *type, const char *f, const char *value)
{
    char line[200];
    size_t n =
        fmt_into(line, sizeof line,
                 "{\"process\": 7, \"type\": \"%s\", \"f\": \"%s\", \"key\": \"name 1/lie\", "
                 "\"value\": %s}\n",
                 type, f, value);
    lab_load_history_put(lab_run_load(r), line, n);
}

/* somebody makes it, and then finds it, or does not */
static void tell(struct lab_run *r, bool is_lie)
{
    put(r, "invoke", "cas", "[null, 1]");
    put(r, "ok", "cas", "[null, 1]");
    put(r, "invoke", "read", "null");
    put(r, "ok", "read", is_lie ? "null" : "1");
}

static void test_load_history(void)
{
    for (int lie = 0; lie < 4; lie++) {
        struct lab_run *r = begin(lie != 3);
        struct lab_report p;
        if (lie != 3)
            tell(r, lie != 0);
        if (lie == 2) /* somebody who does not record may have removed it */
            CU_ASSERT_EQUAL(lab_ufs_file(r->ufs, "main/other", 10), 0);
        CU_ASSERT(lab_run_go(r, 0));
        lab_run_report(r, &p);
        for (unsigned v = 0; v < LAB_VERDICTS; v++)
            CU_ASSERT_EQUAL(p.findings[v]->failures, lie == 1 && v == LAB_LINEAR);
        if (lie == 1)
            CU_ASSERT_PTR_NOT_NULL(strstr(p.findings[LAB_LINEAR]->what,
                                          "no order explains the read of \"name 1/lie\""));
        CU_ASSERT_EQUAL(p.findings[LAB_LINEAR]->checks > 100, lie < 2);
        CU_ASSERT(lie == 3 ? lines == 0 : lines > 1000);
        lab_run_close(r);
        mem_drop(&mem);
    }
}

/* a client that starts again is not taken for the one that died */
static void test_load_history_lives(void)
{
    struct lab_run *r = begin(true);
    const struct lab_load *l = lab_run_load(r);
    struct lab_history h;
    bool second = false;
    uint32_t starts = 0;
    CU_ASSERT_EQUAL(lab_history_read(&h, &mem, LAB_HISTORY_CAS, l->history, l->history_n), 0);
    uint64_t base = l->clients[0]->history->of.process[0] / 100000000;
    for (uint32_t i = 0; i < h.n; i++)
        second |= h.notes[i].process / 100000000 == base;
    for (size_t i = 0; i + 8 < l->history_n; i++)
        starts += !memcmp(l->history + i, "{\"start\"", 8);
    CU_ASSERT(second && l->clients[0]->history->lives == 2 && starts == 4);
    lab_history_drop(&h);
    lab_run_close(r);
    mem_drop(&mem);
}

/* a search that is given up is no "ok": how many keys, and what did not do */
static void test_load_history_unknown(void)
{
    struct lab_run *r = begin(true);
    struct lab_report p;
    lab_load_history_budget(lab_run_load(r), 3);
    CU_ASSERT(lab_run_go(r, 0));
    lab_run_report(r, &p);
    const struct lab_finding *f = p.findings[LAB_LINEAR];
    CU_ASSERT(f->unknown > 10 && f->unknown < f->checks && !f->failures);
    CU_ASSERT_STRING_EQUAL(f->budget, "3 steps of search for each");
    lab_run_close(r);
    mem_drop(&mem);
    r = begin(true);
    CU_ASSERT(lab_run_go(r, 0));
    lab_run_report(r, &p);
    CU_ASSERT(p.findings[LAB_LINEAR]->checks > 100 && !p.findings[LAB_LINEAR]->unknown);
    lab_run_close(r);
    mem_drop(&mem);
}

UNIT_MAIN("lab_load_history", UNIT(test_load_history_unknown), UNIT(test_load_history),
          UNIT(test_load_history_lives))
