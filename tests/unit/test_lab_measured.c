/* tests/unit/test_lab_measured.c - models of machines as files: what is taken from them, what is
 * wrong with bad ones, what they do to a run of journals; and the load from within. */
#include "sim/lab_measured.h"
#include "core/fmt.h"
#include "sim/lab_group.h"
#include "tests/unit/unit.h"

static char text[64 * 1024];
static struct lab_scenario scenario;

/* 33 numbers from `from`, with `instead` at one place */
static const char *points(int64_t from, int at, const char *instead)
{
    static char list[2][2000];
    static int turn;
    char *to = list[turn++ % 2];
    size_t n = 0;
    for (int i = 0; i < SIM_POINTS; i++)
        n += i == at ? fmt_into(to + n, sizeof *list - n, "%s%s", i ? "," : "", instead)
                     : fmt_into(to + n, sizeof *list - n, "%s%lld", i ? "," : "",
                                (long long)(from + i));
    return to;
}

static void refused(const char *json, const char *where, const char *what)
{
    char why[LAB_ERROR] = "";
    lab_scenario_default(&scenario);
    int err = lab_measured_parse(&scenario, "m.json", json, why);
    bool ok = err == E_CONFIG && strstr(why, "m.json: ") && strstr(why, where) && strstr(why, what);
    if (!ok)
        fprintf(stderr, "%s\n   -> %d %s\n", json, err, why);
    CU_ASSERT(ok);
    CU_ASSERT(!scenario.measured && !scenario.sim.model && !*scenario.model);
}

static const char *table(const char *fields, const char *list)
{
    fmt_into(text, sizeof text,
             "{\"tarn_model\": 1,\n\"disk\": {\"write\": [\n{%s, \"ns\": [%s]}]}}", fields, list);
    return text;
}

static void test_measured_refuses_what_is_wrong(void)
{
    const char *good = "\"bytes\": 4096, \"at_once\": 1";
    refused("{\"tarn_model\": 1,\n\"disk\": ", "line 2", "not a JSON object");
    refused("[]", "line 1", "not a JSON object");
    refused("{}", "line 1", "of this version");
    refused("{\"tarn_model\": 2}", "line 1, tarn_model", "of this version");
    refused("{\"tarn_model\": 1,\n\"dsk\": {}}", "line 2, dsk", "unknown");
    refused("{\"tarn_model\": 1,\n\"disk\": {\"read\": []}}", "line 2, disk", "write");
    refused("{\"tarn_model\": 1,\n\"disk\": {\"write\": []}}", "line 2, disk.write", "tables");
    refused("{\"tarn_model\": 1,\n\"cpu\": {\"turns\": 1}}", "line 2, cpu.turns", "unknown");
    refused("{\"tarn_model\": 1,\n\"cpu\": {\"turn\": -1}}", "line 2, cpu.turn", "from 0 to");
    refused("{\"tarn_model\": 1,\n\"cpu\": {\"turn\": 1.5}}", "line 2, cpu.turn", "whole");
    refused(table("\"bytes\": 4096", points(1, -1, "")), "line 3, disk.write[0]", "needs bytes");
    refused(table("\"bytes\": 0, \"at_once\": 1", points(1, -1, "")), "disk.write[0].bytes",
            "bytes from 1");
    refused(table("\"bytes\": 1, \"at_once\": \"x\"", points(1, -1, "")), "disk.write[0].at_once",
            "number from 1");
    refused(table(good, "1, 2, 3"), "line 3, disk.write[0].ns", "33 numbers");
    refused(table(good, points(10, 20, "5")), "line 3, disk.write[0].ns[20]", "ascend");
    refused(table(good, points(10, 3, "null")), "disk.write[0].ns[3]", "whole number of ns");
    refused(table(good, points(10, 32, "60000000001")), "disk.write[0].ns[32]", "a minute");
    refused(table("\"bytes\": 1, \"at_once\": 1, \"x\": 2", points(1, -1, "")), "disk.write[0].x",
            "only");
    fmt_into(text, sizeof text,
             "{\"tarn_model\": 1, \"net\": {\"way\": [\n{\"bytes\": 7, \"ns\": [%s]},\n{\"bytes\": "
             "7, \"ns\": [%s]}]}}",
             points(1, -1, ""), points(1, -1, ""));
    refused(text, "line 3, net.way[1]", "the second table");
    fmt_into(text, sizeof text,
             "{\"tarn_model\": 1, \"disk\": {\"write\": [{\"bytes\": 7, \"at_once\": 1, \"ns\": "
             "[%s]}, {\"bytes\": 8, \"at_once\": 2, \"ns\": [%s]}]}}",
             points(1, -1, ""), points(1, -1, ""));
    refused(text, "disk.write", "each size");
    char why[LAB_ERROR] = "";
    CU_ASSERT_EQUAL(lab_scenario_parse(&scenario, "{\n\"model\": 3}", why), E_CONFIG);
    CU_ASSERT(strstr(why, "line 2, model: ") != NULL);
    CU_ASSERT_EQUAL(lab_scenario_parse(&scenario, "{\n\"model\": \"/no/such\"}", why), E_CONFIG);
    CU_ASSERT(strstr(why, "line 2") && strstr(why, "/no/such"));
}

static void test_measured_is_taken(void)
{
    char why[LAB_ERROR];
    lab_scenario_default(&scenario);
    fmt_into(text, sizeof text,
             "{\"tarn_model\": 1, \"about\": {\"x\": [1]}, \"disk\": {\"write\": ["
             "{\"bytes\": 9000, \"at_once\": 3, \"ns\": [%s]},"
             "{\"bytes\": 10, \"at_once\": 3, \"ns\": [%s]}]},",
             points(100, -1, ""), points(200, -1, ""));
    fmt_into(text + strlen(text), sizeof text - strlen(text),
             "\"net\": {\"way\": [{\"bytes\": 5, \"ns\": [%s]}]}, \"cpu\": {\"cores\": 2, "
             "\"turn\": 3, \"submit_byte\": 9}}",
             points(300, -1, ""));
    CU_ASSERT_EQUAL_FATAL(lab_measured_parse(&scenario, "m.json", text, why), 0);
    const struct sim_model *m = scenario.sim.model;
    CU_ASSERT(m->write.n_bytes == 2 && m->write.n_at_once == 1 && m->write.at_once[0] == 3);
    CU_ASSERT(m->write.bytes[0] == 10 && m->write.bytes[1] == 9000);
    CU_ASSERT(m->write.ns[0][0][0] == 200 && m->write.ns[0][1][32] == 132);
    CU_ASSERT(m->way.n_bytes == 1 && m->way.ns[0][0][1] == 301);
    CU_ASSERT(scenario.sim.serve.cores == 2 && scenario.sim.serve.turn_ns == 3);
    CU_ASSERT_EQUAL(scenario.journal.submit_byte_ps, 9);
    lab_scenario_drop(&scenario);
    CU_ASSERT(!scenario.sim.model);
}

/* ---- runs ---- */

static struct mem mem;

static struct lab_group_report run(const char *more, const char *model)
{
    char json[800], why[LAB_ERROR];
    unit_mem(&mem, (uint64_t)1 << 30);
    fmt_into(json, sizeof json,
             "{\"duration\": \"3s\", \"bound\": \"10s\", \"masters\": 3, \"clients\": 1, "
             "\"journal\": {\"only\": 1, \"suspect_min\": \"300ms\", \"suspect_max\": "
             "\"500ms\"%s}, \"load\": {\"threads\": 2, \"think\": \"100ms\"}, \"machine\": "
             "{\"together\": 1}}",
             more);
    CU_ASSERT_EQUAL_FATAL(lab_scenario_parse(&scenario, json, why), 0);
    if (model)
        CU_ASSERT_EQUAL_FATAL(lab_measured_parse(&scenario, "m.json", model, why), 0);
    struct lab_group *g = lab_group_open(&mem, &scenario, 3, NULL, NULL);
    struct lab_group_report r;
    lab_group_go(g, 0);
    lab_group_report(g, &r);
    for (int v = 0; v < LAB_GROUP_VERDICTS; v++)
        CU_ASSERT_EQUAL(r.findings[v].failures, 0);
    lab_group_close(g);
    mem_drop(&mem);
    lab_scenario_drop(&scenario);
    return r;
}

static void test_measured_switched_off(void)
{
    struct lab_group_report a = run("", NULL), b = run("", "{\"tarn_model\": 1}");
    CU_ASSERT(a.hash[0] == b.hash[0] && a.hash[1] == b.hash[1]);
}

/* three writes of 1 ms and two ways of 100 us: so long takes a commit, and nothing else */
static void test_measured_journals(void)
{
    char ms[600] = "", us[600] = "";
    for (int i = 0; i < SIM_POINTS; i++) {
        fmt_into(ms + strlen(ms), sizeof ms - strlen(ms), "%s1000000", i ? "," : "");
        fmt_into(us + strlen(us), sizeof us - strlen(us), "%s100000", i ? "," : "");
    }
    fmt_into(text, sizeof text,
             "{\"tarn_model\": 1, \"disk\": {\"write\": [{\"bytes\": 1048576, \"at_once\": 3, "
             "\"ns\": [%s]}]}, \"net\": {\"way\": [{\"bytes\": 1048576, \"ns\": [%s]}]}}",
             ms, us);
    struct lab_group_report one = run(", \"outstanding\": 1", text);
    CU_ASSERT(one.fed_p50_ns > 1190000 && one.fed_p50_ns < 1210000);
    CU_ASSERT(one.fed > 780 && one.fed <= 840); /* of 1 s */
    struct lab_group_report many = run(", \"outstanding\": 64", text);
    CU_ASSERT(many.fed > 20 * one.fed); /* they go together */
    /* now records cost their members: no more than a processor has time for */
    size_t n = strlen(text);
    fmt_into(text + n - 1, sizeof text - n,
             ", \"cpu\": {\"cores\": 2, \"turn\": 5000, \"submit\": 100000, \"apply\": 100000}}");
    struct lab_group_report busy = run(", \"outstanding\": 64", text);
    CU_ASSERT(busy.fed > 2000 && busy.fed < 5000);
}

UNIT_MAIN("lab_measured", UNIT(test_measured_refuses_what_is_wrong), UNIT(test_measured_is_taken),
          UNIT(test_measured_switched_off), UNIT(test_measured_journals))
