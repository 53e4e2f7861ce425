/* tests/unit/test_lab_history.c - histories as text: three forms say the same, and what is no
 * history is refused with its line. */
#include "sim/lab_history.h"
#include "tests/unit/unit.h"

static struct mem mem;

static struct lab_history read_all(enum lab_history_model model, const char *text)
{
    struct lab_history h;
    int err = lab_history_read(&h, &mem, model, text, strlen(text));
    if (err)
        fprintf(stderr, "line %u: %s\n", h.bad_line, h.why);
    CU_ASSERT_FATAL(err == 0);
    return h;
}

static void test_history_forms(void)
{
    static const char *const forms[] = {
        "INFO  jepsen.core - something else\n"
        "INFO  jepsen.util - 3\t:invoke\t:cas\t[1 -2]\n"
        "INFO  jepsen.util - :nemesis\t:info\t:start\tnil\n"
        "INFO  jepsen.util - 4\t:invoke\t:read\tnil\n"
        "INFO  jepsen.util - 3\t:ok\t:cas\t[1 -2]\n"
        "INFO  jepsen.util - 4\t:ok\t:read\t-2\n"
        "INFO  jepsen.util - 5\t:invoke\t:write\tnil\n"
        "INFO  jepsen.util - 5\t:info\t:write\t:timed-out\n",
        "# a comment\n"
        "{:process 3, :type :invoke, :f :cas, :value [1 -2], :time 17}\n"
        "{:process :nemesis, :type :info, :f :start, :value nil}\n"
        "{:type :invoke, :process 4, :f :read, :value nil, :error [:a {:b \"}\"}]}\n"
        "{:process 3, :type :ok, :f :cas, :value [1 -2]}\n"
        "{:process 4, :type :ok, :f :read, :value -2}\n"
        "{:process 5, :type :invoke, :f :write, :value nil}\n"
        "{:process 5, :type :info, :f :write, :error :timed-out}",
        "\n"
        "{\"process\": 3, \"type\": \"invoke\", \"f\": \"cas\", \"value\": [1, -2], \"time\": "
        "1.5e3}\n"
        "{\"process\": \"nemesis\", \"type\": \"info\", \"f\": \"start\", \"value\": null}\r\n"
        "{\"process\": "
        "4,\"type\":\"invoke\",\"f\":\"read\",\"value\":null,\"x\":{\"y\":[\"]\"]}}\r\n"
        " {\"process\" : 3, \"type\": \"ok\", \"f\": \"cas\", \"value\": [1,-2]}\n"
        "{\"process\": 4, \"type\": \"ok\", \"f\": \"read\", \"value\": -2}\n"
        "{\"process\": 5, \"type\": \"invoke\", \"f\": \"write\", \"value\": null}\n"
        "{\"process\": 5, \"type\": \"info\", \"f\": \"write\"}\n",
    };
    unit_mem(&mem, 64 << 20);
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        struct lab_history h = read_all(LAB_HISTORY_ANY, forms[i]);
        CU_ASSERT_FATAL(h.n == 3 && h.lines == 8 && h.model == LAB_HISTORY_CAS);
        CU_ASSERT_EQUAL(h.processes, 2);
        const struct lab_wgl_op *cas = &h.ops[0], *read = &h.ops[1], *write = &h.ops[2];
        CU_ASSERT(cas->f == LAB_WGL_CAS && cas->from == 2 && cas->to == 5);
        CU_ASSERT(read->f == LAB_WGL_READ && read->from == 4 && read->to == 6);
        CU_ASSERT(write->f == LAB_WGL_WRITE && write->from == 7 && write->to == INT64_MAX);
        CU_ASSERT(read->a == cas->b && cas->a != cas->b && write->a == LAB_HISTORY_NIL);
        CU_ASSERT(cas->a != LAB_HISTORY_NIL && cas->b != LAB_HISTORY_NIL);
        CU_ASSERT(h.notes[0].process == 3 && h.notes[1].answered_line == 6);
        CU_ASSERT(h.notes[1].answered.n == 2 && !memcmp(h.notes[1].answered.p, "-2", 2));
        lab_history_drop(&h);
    }
    CU_ASSERT_EQUAL(mem.large.next, &mem.large);
    mem_drop(&mem);
}

#define EV(p, type, f, v) "{:process " #p ", :type :" #type ", :f :" #f ", :value " v "}\n"

/* -1 is not nil, 1 is not "1", "" is nil, and a text is what its escapes say */
static void test_history_values(void)
{
    static const struct {
        const char *wrote, *read;
        bool is_same;
    } pairs[] = {{"-1", "nil", false},
                 {"-1", "-1", true},
                 {"1", "\"1\"", false},
                 {"\"\"", "nil", true},
                 {"999999999999999999", "999999999999999999", true},
                 {"\"a\\n\\u0041\\\"\"", "\"a\\u000aA\\u0022\"", true},
                 {"\"\\u00e9\\u20ac\"", "\"\xc3\xa9\xe2\x82\xac\"", true},
                 {"\"\\u00e9\"", "\"\xe9\"", false},
                 {"\"ab\"", "\"ba\"", false}};
    unit_mem(&mem, 64 << 20);
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        char text[400];
        snprintf(text, sizeof text,
                 "{:process 1 :type :invoke :f :write :value %s}\n"
                 "{:process 1 :type :ok :f :write :value %s}\n"
                 "{:process 1 :type :invoke :f :read}\n{:process 1 :type :ok :f :read :value %s}\n",
                 pairs[i].wrote, pairs[i].wrote, pairs[i].read);
        struct lab_history h = read_all(LAB_HISTORY_REGISTER, text);
        if ((h.ops[0].a == h.ops[1].a) != pairs[i].is_same)
            fprintf(stderr, "%s and %s\n", pairs[i].wrote, pairs[i].read);
        CU_ASSERT((h.ops[0].a == h.ops[1].a) == pairs[i].is_same);
        lab_history_drop(&h);
    }
    mem_drop(&mem);
}

static void test_history_refused(void)
{
    static const struct {
        enum lab_history_model model;
        uint32_t line;
        const char *why, *text;
    } cases[] = {
        {LAB_HISTORY_ANY, 2, "answer to nothing", "a\n" EV(1, ok, read, "1")},
        {LAB_HISTORY_ANY, 2, "without an answer to line 1",
         EV(1, invoke, read, "nil") EV(1, invoke, read, "nil")},
        {LAB_HISTORY_ANY, 1, "\"pop\"", EV(1, invoke, pop, "nil")},
        {LAB_HISTORY_ANY, 2, "type \"done\"", EV(1, invoke, read, "nil") EV(1, done, read, "1")},
        {LAB_HISTORY_ANY, 2, "the answer is of a write",
         EV(1, invoke, read, "nil") EV(1, ok, write, "1")},
        {LAB_HISTORY_ANY, 2, "another key",
         "{:process 1 :type :invoke :f :read :key \"a\"}\n{:process 1 :type :ok :f :read :key "
         "\"b\" "
         ":value 1}"},
        {LAB_HISTORY_ANY, 1, "not \"[1 2]\"", EV(1, invoke, write, "[1 2]")},
        {LAB_HISTORY_ANY, 1, "[old new], not \"[1]\"", EV(1, invoke, cas, "[1]")},
        {LAB_HISTORY_ANY, 1, "not \"1.5\"", EV(1, invoke, write, "1.5")},
        {LAB_HISTORY_ANY, 1, "below 10^18", EV(1, invoke, write, "1234567890123456789")},
        {LAB_HISTORY_ANY, 2, "a value is", EV(1, invoke, read, "nil") EV(1, ok, read, ":gone")},
        {LAB_HISTORY_ANY, 1, "an append needs", EV(1, invoke, append, "3")},
        {LAB_HISTORY_ANY, 3, "model cas has no get",
         EV(1, invoke, read, "nil") EV(1, ok, read, "nil") EV(1, invoke, get, "nil")},
        {LAB_HISTORY_REGISTER, 1, "model register has no cas", EV(1, invoke, cas, "[1 2]")},
        {LAB_HISTORY_KV, 1, "model kv has no write", EV(1, invoke, write, "1")},
        {LAB_HISTORY_ANY, 1, "ends before its }", "{\"process\": 3, \"type\": \"ok\""},
        {LAB_HISTORY_ANY, 1, "no process", "{\"level\": \"info\"}"},
        {LAB_HISTORY_ANY, 1, "no process", "{\"start\": \"now\"}"},
        {LAB_HISTORY_ANY, 1, "no f", "{\"process\": 1, \"type\": \"invoke\"}"},
        {LAB_HISTORY_ANY, 1, "colon", "{\"process\" 3}"},
        {LAB_HISTORY_ANY, 1, "no name", "{\"process\": 3, type: 4}"},
        {LAB_HISTORY_ANY, 1, "does not end", "{\"process\": 1, \"value\": \"abc}"},
        {LAB_HISTORY_ANY, 1, "does not end",
         "{\"process\": 1, \"value\": [1, 2"
         "\n"},
        {LAB_HISTORY_ANY, 1, "does not close", "{\"process\": 1, \"x\": [1, [2]"},
    };
    unit_mem(&mem, 64 << 20);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct lab_history h;
        int err = lab_history_read(&h, &mem, cases[i].model, cases[i].text, strlen(cases[i].text));
        if (err != E_INVAL || h.bad_line != cases[i].line || !strstr(h.why, cases[i].why))
            fprintf(stderr, "case %zu: %d, line %u: %s\n", i, err, h.bad_line, h.why);
        CU_ASSERT(err == E_INVAL && h.bad_line == cases[i].line && strstr(h.why, cases[i].why));
        lab_history_drop(&h);
    }
    struct lab_history h; /* and what is another's is left out */
    static const char others[] = "{:process 1\nnot { closed\n{:a :b}\n{{{\n\"\n:process 1";
    CU_ASSERT_EQUAL(lab_history_read(&h, &mem, LAB_HISTORY_ANY, others, strlen(others)), E_INVAL);
    CU_ASSERT_EQUAL(h.bad_line, 1); /* it began with a process */
    lab_history_drop(&h);
    const char *rest = strchr(others, '\n') + 1;
    CU_ASSERT_EQUAL(lab_history_read(&h, &mem, LAB_HISTORY_ANY, rest, strlen(rest)), 0);
    CU_ASSERT(h.n == 0 && h.lines == 5);
    lab_history_drop(&h);
    static const char open[] = "x jepsen.util - \"read :f"; /* and nothing is read behind the end */
    for (size_t n = 0; n < sizeof open; n++) {
        char *copy = malloc(n ? n : 1);
        CU_ASSERT_FATAL(copy != NULL);
        memcpy(copy, open, n);
        CU_ASSERT_EQUAL(lab_history_read(&h, &mem, LAB_HISTORY_ANY, copy, n), 0);
        CU_ASSERT_EQUAL(h.n, 0);
        lab_history_drop(&h);
        free(copy);
    }
    CU_ASSERT_EQUAL(mem.large.next, &mem.large);
    mem_drop(&mem);
}

UNIT_MAIN("lab_history", UNIT(test_history_forms), UNIT(test_history_values),
          UNIT(test_history_refused))
