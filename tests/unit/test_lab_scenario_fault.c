/* tests/unit/test_lab_scenario_fault.c - the list of timed faults: values and fields that are
 * refused say where, what and what is allowed; what can do nothing does not count as done; --set
 * empties lists. */
#include "core/fmt.h"
#include "sim/lab_mark.h"
#include "sim/lab_group.h"
#include "tests/unit/unit.h"

static struct lab_scenario s;

static void refused(const char *fault, const char *says)
{
    char json[300], why[LAB_ERROR] = "";
    fmt_into(json, sizeof json, "{\"faults\": [{\"at\": 1, \"do\": \"store_full\"},\n{%s}]}",
             fault);
    CU_ASSERT_EQUAL(lab_scenario_parse(&s, json, why), E_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, says));
    if (!strstr(why, says))
        printf("\n%s: %s\n", fault, why);
}

static void test_fault_values(void)
{
    refused("\"at\": \"soon\"", "line 2, faults[1].at: \"soon\" is not a time (like 250ms, 2s)");
    refused("\"at\": 1.5", "line 2, faults[1].at: 1.5 is not a time");
    refused("\"at\": 1, \"for\": {}", "faults[1].for: an object is not a time");
    refused("\"at\": 1, \"do\": 7", "faults[1].do: 7 is no name of a fault");
    refused("\"at\": 1, \"do\": \"crash\", \"node\": [1]",
            "faults[1].node: a list is no machine (m1, w1, c1, leader)");
    refused("\"at\": 1, \"do\": \"reset\", \"node\": \"m1\", \"to\": \"\"",
            "faults[1].to: \"\" is no machine (m1, w1, c1, leader, half, *)");
    refused("\"at\": 1, \"do\": \"partition\", \"node\": \"m1\", \"one_way\": 1",
            "faults[1].one_way: 1 is neither true nor false");
    refused("\"at\": 1, \"do\": \"rot\", \"node\": \"m1\", \"chance\": 3",
            "faults[1].chance: 3 is no list of numbers");
    refused("\"at\": 1, \"do\": \"rot\", \"node\": \"m1\", \"chance\": [1, -1]",
            "-1 is no whole number below 2^53");
    refused("\"at\": 1, \"do\": \"crash\", \"when\": 1", "unknown key \"when\"");
}

static void test_fault_fields(void)
{
    refused("\"at\": 1, \"do\": \"clock_rate\", \"node\": \"m1\", \"to\": \"m2\"",
            "line 2, faults[1].to: clock_rate has no \"to\" (at, do, node, for, chance)");
    refused("\"at\": 1, \"one_way\": true, \"do\": \"disk_errors\", \"node\": \"m1\"",
            "faults[1].one_way: disk_errors has no \"one_way\" (at, do, node, for)");
    refused("\"at\": 1, \"do\": \"clog\", \"node\": \"m1\", \"one_way\": false", "clog has no");
    refused("\"at\": 1, \"do\": \"store_full\", \"to\": \"m1\"",
            "store_full has no \"to\" (at, do, node, for)");
    refused("\"at\": 1, \"do\": \"crash\", \"node\": \"m1\", \"chance\": [1]", "crash has no");
    /* each kind takes what it is said to take, and says it again */
    for (int k = 0; k < LAB_FAULTS; k++) {
        char json[400], why[LAB_ERROR] = "";
        fmt_into(
            json, sizeof json, "{\"faults\": [{\"at\": 1, \"for\": 2, \"do\": \"%s\"%s%s%s%s}]}",
            lab_scenario_fault_name((enum lab_fault_kind)k), ", \"node\": \"w1\"",
            lab_scenario_fault_has((enum lab_fault_kind)k, "to") ? ", \"to\": \"w2\"" : "",
            lab_scenario_fault_has((enum lab_fault_kind)k, "one_way") ? ", \"one_way\": true" : "",
            lab_scenario_fault_has((enum lab_fault_kind)k, "chance") ? ", \"chance\": [3]" : "");
        CU_ASSERT_EQUAL(lab_scenario_parse(&s, json, why), 0);
        struct lab_fault was = s.faults[0];
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);
        CU_ASSERT_PTR_NOT_NULL_FATAL(f);
        lab_scenario_write(&s, f);
        fclose(f);
        CU_ASSERT_EQUAL(lab_scenario_parse(&s, text, why), 0);
        CU_ASSERT(!memcmp(&was, &s.faults[0], sizeof was));
        free(text);
    }
}

/* what is drawn can be written down, and read again */
static void fault_fields_of_drawn(bool is_zk)
{
    static struct lab_scenario drawn;
    char why[LAB_ERROR] = "", *text = NULL;
    size_t size;
    lab_scenario_default(&s);
    s.masters = 3;
    s.journal.only = s.journal.zk = is_zk;
    s.journal.raft = !is_zk;
    for (int k = 0; k < LAB_FAULTS; k++) {
        bool is_journals = k == LAB_FAULT_LOSE || k == LAB_FAULT_SIEGE || k == LAB_FAULT_ROT;
        bool may = is_zk || (!is_journals && !lab_scenario_fault_is_zk((enum lab_fault_kind)k));
        s.every_ns[k] = may ? (int64_t)900000000 : 0;
    }
    lab_scenario_draw(&s, 1);
    FILE *f = open_memstream(&text, &size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    lab_scenario_write(&s, f);
    fclose(f);
    CU_ASSERT_EQUAL(lab_scenario_parse(&drawn, text, why), 0);
    CU_ASSERT_EQUAL(lab_scenario_check(&drawn, why), 0);
    CU_ASSERT_STRING_EQUAL(why, "");
    CU_ASSERT(drawn.n_faults == s.n_faults && s.n_faults > 350);
    for (uint32_t i = 0; i < s.n_faults; i++)
        CU_ASSERT(drawn.faults[i].one_way == s.faults[i].one_way &&
                  !strcmp(drawn.faults[i].to, s.faults[i].to));
    free(text);
}

static void test_fault_fields_of_drawn(void)
{
    fault_fields_of_drawn(false);
    fault_fields_of_drawn(true);
}

/* what needs ZooKeeper is refused without, and the other way round */
static void test_fault_of_zk(void)
{
    static const char *const bad[][2] = {
        {"{\"faults\": [{\"at\": \"1s\", \"do\": \"zk_crash\"}]}", "zk_crash"},
        {"{\"random\": {\"shared_full_every\": \"1s\"}}", "random.shared_full_every"},
        {"{\"journal\": {\"only\": 1, \"zk\": 1}}", "journal.raft 0"},
        {"{\"journal\": {\"raft\": 0, \"zk\": 1}}", "two masters"},
        {"{\"masters\": 3, \"journal\": {\"raft\": 0, \"zk\": 1, \"members\": 2}}", "all of which"},
        {"{\"journal\": {\"only\": 1, \"raft\": 0, \"zk\": 1}, \"core\": 1}", "core"},
        {"{\"journal\": {\"only\": 1, \"raft\": 0, \"zk\": 1}, \"zk\": {\"session\": \"300ms\"}}",
         "two ticks"},
        {"{\"journal\": {\"only\": 1, \"raft\": 0, \"zk\": 1}, \"faults\": [{\"at\": \"1s\", "
         "\"do\": "
         "\"partition\", \"node\": \"m1\", \"to\": \"z4\"}]}",
         "z4"}};
    char why[LAB_ERROR];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CU_ASSERT_EQUAL(lab_scenario_parse(&s, bad[i][0], why), 0);
        CU_ASSERT_EQUAL(lab_scenario_check(&s, why), E_CONFIG);
        CU_ASSERT(strstr(why, bad[i][1]) != NULL);
    }
    CU_ASSERT_EQUAL(lab_scenario_parse(&s,
                                       "{\"journal\": {\"only\": 1, \"raft\": 0, \"zk\": 1}, "
                                       "\"faults\": [{\"at\": \"1s\", \"do\": \"partition\", "
                                       "\"node\": \"m1\", \"to\": \"s1\"}, {\"at\": \"2s\", "
                                       "\"do\": \"zk_lag\", \"chance\": [1, 5]}]}",
                                       why),
                    0);
    CU_ASSERT_EQUAL(lab_scenario_check(&s, why), 0);
}

/* ---- what can do nothing ---- */

static const char *idle(const char *keys, const char *fault)
{
    char json[300], why[LAB_ERROR] = "";
    fmt_into(json, sizeof json, "{%s\"faults\": [{\"at\": \"1s\", %s}]}", keys, fault);
    CU_ASSERT_EQUAL(lab_scenario_parse(&s, json, why), 0);
    const char *said = lab_scenario_fault_idle(&s, &s.faults[0]);
    CU_ASSERT_EQUAL(lab_scenario_comes_to(&s, &s.faults[0], (int64_t)2000000000), !said);
    return said ? said : "";
}

static void test_fault_idle(void)
{
    const char *rate = "\"do\": \"clock_rate\", \"node\": \"m1\"";
    const char *errors = "\"do\": \"disk_errors\", \"node\": \"m1\"";
    CU_ASSERT_PTR_NOT_NULL(strstr(idle("", rate), "clock.drift_max_ppm is 0"));
    CU_ASSERT_STRING_EQUAL(idle("\"clock\": {\"drift_max_ppm\": 1}, ", rate), "");
    CU_ASSERT_PTR_NOT_NULL(strstr(idle("", errors), "spared"));
    CU_ASSERT_STRING_EQUAL(idle("\"masters\": 3, ", errors), "");
    CU_ASSERT_STRING_EQUAL(idle("\"journal\": {\"only\": 1}, ", errors), "");
    CU_ASSERT_STRING_EQUAL(idle("", "\"do\": \"disk_errors\", \"node\": \"w1\""), "");
    CU_ASSERT_PTR_NOT_NULL(strstr(idle("", "\"do\": \"disk_full\", \"node\": \"c1\""), "no disk"));
    CU_ASSERT_PTR_NOT_NULL(strstr(idle("", "\"do\": \"usurp\", \"node\": \"m1\""), "several"));
    CU_ASSERT_STRING_EQUAL(idle("", "\"do\": \"crash\", \"node\": \"c1\""), "");
    CU_ASSERT_PTR_NOT_NULL(strstr(
        idle("\"journal\": {\"only\": 1}, ", "\"do\": \"crash\", \"node\": \"c1\""), "masters"));
    const char *zk = "\"masters\": 3, \"journal\": {\"raft\": 0, \"zk\": 1}, ";
    CU_ASSERT_PTR_NOT_NULL(strstr(idle(zk, errors), "keep nothing"));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(idle(zk, "\"do\": \"wipe\", \"node\": \"leader\""), "keep nothing"));
    CU_ASSERT_STRING_EQUAL(idle(zk, "\"do\": \"disk_errors\", \"node\": \"w1\""), "");
}

/* ret: hits of the mark of clock_rate; *ret_armed: could it be reached? */
static uint64_t rate_marks(uint32_t drift_ppm, bool *ret_armed)
{
    static struct lab_mark marks[LAB_MARKS_MAX];
    static struct lab_scenario drawn;
    char json[300], why[LAB_ERROR] = "";
    uint64_t hits = 0;
    struct mem m;
    fmt_into(json, sizeof json,
             "{\"masters\": 3, \"workers\": 0, \"duration\": \"2s\", \"journal\": {\"only\": 1}, "
             "\"clock\": {\"drift_max_ppm\": %u}, \"random\": {\"clock_rate_every\": \"100ms\", "
             "\"from\": \"1ms\"}}",
             drift_ppm);
    CU_ASSERT_EQUAL_FATAL(lab_scenario_parse(&s, json, why), 0);
    unit_mem(&m, (uint64_t)2 << 30);
    struct lab_group *g = lab_group_open(&m, &s, 1, NULL, NULL);
    lab_group_go(g, (int64_t)2000000000);
    drawn = s;
    lab_scenario_draw(&drawn, 1);
    uint32_t n = lab_mark_list(&drawn, lab_group_sim(g), marks);
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(marks[i].name, "fault.clock_rate") != 0)
            continue;
        hits = marks[i].hits;
        *ret_armed = marks[i].armed;
    }
    lab_group_close(g);
    mem_drop(&m);
    return hits;
}

static void test_fault_idle_is_not_done(void)
{
    bool armed = false;
    CU_ASSERT(rate_marks(1000, &armed) > 5 && armed);
    CU_ASSERT(rate_marks(0, &armed) == 0 && !armed);
}

/* ---- --set ---- */

static void test_fault_set_lists(void)
{
    char why[LAB_ERROR] = "";
    int err = lab_scenario_parse(
        &s,
        "{\"links\": [{\"from\": \"m1\", \"to\": \"c1\"}], \"nics\": [{\"node\": \"m1\", "
        "\"bytes_per_s\": 1}], \"faults\": [{\"at\": 1, \"do\": \"crash\", \"node\": \"m1\"}]}",
        why);
    CU_ASSERT_EQUAL_FATAL(err, 0);
    CU_ASSERT(s.links.n == 1 && s.links.n_nics == 1 && s.n_faults == 1);
    CU_ASSERT_EQUAL(lab_scenario_set(&s, "links=[]", why), 0);
    CU_ASSERT(s.links.n == 0 && s.links.n_nics == 1 && s.n_faults == 1);
    CU_ASSERT_EQUAL(lab_scenario_set(&s, "nics=[]", why), 0);
    CU_ASSERT_EQUAL(lab_scenario_set(&s, "faults=[]", why), 0);
    CU_ASSERT(s.links.n_nics == 0 && s.n_faults == 0 && !s.has_ops && !s.has_chances);
    CU_ASSERT_EQUAL(lab_scenario_set(&s, "operations=[]", why), 0);
    CU_ASSERT_EQUAL(lab_scenario_set(&s, "chances=[]", why), 0);
    CU_ASSERT(s.has_ops && s.has_chances);
    CU_ASSERT_EQUAL(lab_scenario_set(&s, "links=m1", why), E_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "but for [], which empties the list"));
    CU_ASSERT_EQUAL(lab_scenario_set(&s, "mutant=X", why), E_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "--mutant"));
    CU_ASSERT_EQUAL(lab_scenario_set(&s, "lonks=[]", why), E_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "did you mean \"links\""));
    lab_scenario_drop(&s);
}

UNIT_MAIN("lab_scenario_fault", UNIT(test_fault_values), UNIT(test_fault_fields),
          UNIT(test_fault_fields_of_drawn), UNIT(test_fault_of_zk), UNIT(test_fault_idle),
          UNIT(test_fault_idle_is_not_done), UNIT(test_fault_set_lists))
