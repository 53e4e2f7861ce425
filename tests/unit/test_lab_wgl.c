/* tests/unit/test_lab_wgl.c - the search for a linear order: by hand, against trying every order,
 * and on histories whose verdicts are known. */
#include "core/prng.h"
#include "sim/lab_history.h"
#include "tests/unit/unit.h"

static struct mem mem;

static enum lab_wgl_verdict verdict_of(const char *text, uint64_t *ret_steps)
{
    struct lab_history h;
    struct lab_wgl_result r;
    int err = lab_history_read(&h, &mem, LAB_HISTORY_ANY, text, strlen(text));
    if (err)
        fprintf(stderr, "line %u: %s\n", h.bad_line, h.why);
    CU_ASSERT_FATAL(err == 0);
    lab_wgl_check(&mem, h.ops, h.n, h.start, 20000000, &r);
    lab_history_drop(&h);
    if (ret_steps)
        *ret_steps = r.steps;
    return r.verdict;
}

#define EV(p, type, f, v) "{:process " #p ", :type :" #type ", :f :" #f ", :value " v "}\n"

static void test_wgl_by_hand(void)
{
    unit_mem(&mem, 256 << 20);
    static const struct {
        enum lab_wgl_verdict want;
        const char *text;
    } cases[] = {
        {LAB_WGL_OK, ""},
        {LAB_WGL_OK, EV(1, invoke, read, "nil") EV(1, ok, read, "nil")},
        {LAB_WGL_BAD, EV(1, invoke, read, "nil") EV(1, ok, read, "7")},
        /* a read after a write that was answered */
        {LAB_WGL_OK, EV(1, invoke, write, "1") EV(1, ok, write, "1") EV(1, invoke, read, "nil")
                         EV(1, ok, read, "1")},
        {LAB_WGL_BAD, EV(1, invoke, write, "1") EV(1, ok, write, "1") EV(2, invoke, read, "nil")
                          EV(2, ok, read, "nil")},
        /* a write that nobody was told of: seen, not seen, but not seen and then gone */
        {LAB_WGL_OK,
         EV(1, invoke, write, "1") EV(1, info, write, ":timed-out") EV(2, invoke, read, "nil")
             EV(2, ok, read, "nil") EV(2, invoke, read, "nil") EV(2, ok, read, "1")},
        {LAB_WGL_BAD,
         EV(1, invoke, write, "1") EV(1, info, write, ":timed-out") EV(2, invoke, read, "nil")
             EV(2, ok, read, "1") EV(2, invoke, read, "nil") EV(2, ok, read, "nil")},
        /* one that failed must not be seen */
        {LAB_WGL_BAD, EV(1, invoke, write, "1") EV(1, fail, write, "1") EV(2, invoke, read, "nil")
                          EV(2, ok, read, "1")},
        /* overlapping reads may not disagree about the order */
        {LAB_WGL_BAD, EV(1, invoke, write, "1") EV(2, invoke, write, "2") EV(3, invoke, read, "nil")
                          EV(3, ok, read, "1") EV(3, invoke, read, "nil") EV(3, ok, read, "2")
                              EV(3, invoke, read, "nil") EV(3, ok, read, "1") EV(1, ok, write, "1")
                                  EV(2, ok, write, "2")},
        {LAB_WGL_OK, EV(1, invoke, write, "1") EV(2, invoke, write, "2") EV(3, invoke, read, "nil")
                         EV(4, invoke, read, "nil") EV(3, ok, read, "2") EV(4, ok, read, "1")
                             EV(1, ok, write, "1") EV(2, ok, write, "2")},
        /* cas: won by one of two */
        {LAB_WGL_OK,
         EV(1, invoke, write, "1") EV(1, ok, write, "1") EV(1, invoke, cas, "[1 2]")
             EV(2, invoke, cas, "[1 3]") EV(1, ok, cas, "[1 2]") EV(2, fail, cas, "[1 3]")},
        {LAB_WGL_BAD,
         EV(1, invoke, write, "1") EV(1, ok, write, "1") EV(1, invoke, cas, "[1 2]")
             EV(2, invoke, cas, "[1 3]") EV(1, ok, cas, "[1 2]") EV(2, ok, cas, "[1 3]")},
        {LAB_WGL_BAD, EV(1, invoke, write, "1") EV(1, ok, write, "1") EV(2, invoke, cas, "[1 3]")
                          EV(2, fail, cas, "[1 3]")},
        /* an answer and a call at one time overlap; texts grow in one order */
        {LAB_WGL_OK,
         EV(1, invoke, append, "\"a\"") EV(2, invoke, append, "\"b\"") EV(1, ok, append, "\"a\"")
             EV(2, ok, append, "\"b\"") EV(1, invoke, get, "nil") EV(1, ok, get, "\"ba\"")},
        {LAB_WGL_BAD,
         EV(1, invoke, append, "\"a\"") EV(1, ok, append, "\"a\"") EV(2, invoke, append, "\"b\"")
             EV(2, ok, append, "\"b\"") EV(1, invoke, get, "nil") EV(1, ok, get, "\"ba\"")},
    };
    CU_ASSERT_EQUAL(verdict_of("{\"start\": \"any\"}\n" EV(1, invoke, read, "nil")
                                   EV(1, ok, read, "7") EV(1, invoke, read, "nil")
                                       EV(1, ok, read, "7"),
                               NULL),
                    LAB_WGL_OK);
    CU_ASSERT_EQUAL(verdict_of("{\"start\": \"any\"}\n" EV(1, invoke, read, "nil")
                                   EV(1, ok, read, "7") EV(1, invoke, read, "nil")
                                       EV(1, ok, read, "8"),
                               NULL),
                    LAB_WGL_BAD);
    /* refused is not failed: nothing was compared */
    CU_ASSERT_EQUAL(verdict_of(EV(1, invoke, cas, "[nil 3]") EV(1, fail, cas, "[nil 3]"), NULL),
                    LAB_WGL_BAD);
    CU_ASSERT_EQUAL(verdict_of(EV(1, invoke, cas, "[nil 3]") EV(1, refused, cas, "[nil 3]"), NULL),
                    LAB_WGL_OK);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum lab_wgl_verdict v = verdict_of(cases[i].text, NULL);
        if (v != cases[i].want)
            fprintf(stderr, "case %zu: %d, not %d\n", i, (int)v, (int)cases[i].want);
        CU_ASSERT_EQUAL(v, cases[i].want);
    }
    CU_ASSERT_EQUAL(mem.large.next, &mem.large);
    mem_drop(&mem);
}

/* ---- against every order ---- */

enum { FEW = 6 };

static bool orders(const struct lab_wgl_op *ops, uint32_t n, unsigned done, uint64_t state)
{
    bool all = true;
    for (uint32_t i = 0; i < n; i++)
        all &= done >> i & 1 || ops[i].to == INT64_MAX;
    if (all)
        return true;
    for (uint32_t i = 0; i < n; i++) {
        bool may = !(done >> i & 1);
        for (uint32_t k = 0; k < n && may; k++)
            may = done >> k & 1 || k == i || ops[k].to >= ops[i].from;
        if (!may)
            continue;
        const struct lab_wgl_op *o = &ops[i];
        uint64_t next = state;
        bool ok = true;
        if (o->f == LAB_WGL_READ)
            ok = state == o->a;
        else if (o->f == LAB_WGL_WRITE)
            next = o->a;
        else if (o->f == LAB_WGL_CAS)
            ok = state == o->a, next = o->b;
        else if (o->f == LAB_WGL_CAS_FAILED)
            ok = state != o->a;
        else if (o->f == LAB_WGL_CAS_MAYBE)
            next = state == o->a ? o->b : state;
        if (ok && orders(ops, n, done | 1u << i, next))
            return true;
    }
    return false;
}

static void test_wgl_against_every_order(void)
{
    struct prng p;
    uint32_t good = 0, rounds = 20000;
    unit_mem(&mem, 256 << 20);
    prng_seed(&p, 1, "wgl", 0);
    for (uint32_t r = 0; r < rounds; r++) {
        struct lab_wgl_op ops[FEW], copy[FEW];
        uint32_t n = 1 + (uint32_t)prng_below(&p, FEW);
        for (uint32_t i = 0; i < n; i++) {
            int64_t from = (int64_t)prng_below(&p, 12), to = from + (int64_t)prng_below(&p, 8);
            enum lab_wgl_f f = (enum lab_wgl_f)prng_below(&p, LAB_WGL_APPEND);
            if (f == LAB_WGL_CAS_MAYBE || (f == LAB_WGL_WRITE && !prng_below(&p, 4)))
                to = INT64_MAX;
            ops[i] = (struct lab_wgl_op){.from = from,
                                         .to = to,
                                         .a = prng_below(&p, 3),
                                         .b = prng_below(&p, 3),
                                         .f = f,
                                         .tag = i};
            copy[i] = ops[i];
        }
        struct lab_wgl_result res;
        lab_wgl_check(&mem, ops, n, 0, 1000000, &res);
        bool want = orders(copy, n, 0, 0), want_any = false, is_exact = true;
        good += want;
        CU_ASSERT_FATAL(res.verdict == (want ? LAB_WGL_OK : LAB_WGL_BAD));
        /* nobody knows what was there: as with one of all values.  That a cas failed, while that is
         * so, says more than is kept. */
        for (uint64_t v = 0; v < 4; v++)
            want_any |= orders(copy, n, 0, v);
        for (uint32_t i = 0; i < n; i++)
            is_exact &= copy[i].f != LAB_WGL_CAS_FAILED;
        lab_wgl_check(&mem, copy, n, LAB_WGL_ANY, 1000000, &res);
        CU_ASSERT_FATAL(want_any ? res.verdict == LAB_WGL_OK
                                 : !is_exact || res.verdict == LAB_WGL_BAD);
    }
    CU_ASSERT(good > rounds / 10 && good < rounds - rounds / 10);
    mem_drop(&mem);
}

/* the history as far as just before `at`: what was answered later has no answer, what was asked
 * later is not there */
static bool orders_before(const struct lab_wgl_op *ops, uint32_t n, int64_t at)
{
    struct lab_wgl_op cut[FEW];
    uint32_t k = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (ops[i].from >= at)
            continue;
        cut[k] = ops[i];
        if (cut[k].to >= at)
            cut[k].to = INT64_MAX;
        k++;
    }
    return orders(cut, k, 0, 0);
}

/* is it an order that respects real time, explains what it has, and has all answers before at? */
static bool order_holds(const struct lab_wgl_op *ops, uint32_t n, const struct lab_wgl_witness *w,
                        int64_t at)
{
    uint64_t state = 0;
    unsigned done = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        const struct lab_wgl_op *o = &ops[w->order[i]];
        for (uint32_t k = 0; k < n; k++)
            if (!(done >> k & 1) && k != w->order[i] && ops[k].to < o->from)
                return false;
        if ((o->f == LAB_WGL_READ || o->f == LAB_WGL_CAS) && state != o->a)
            return false;
        if (o->f == LAB_WGL_CAS_FAILED && state == o->a)
            return false;
        if (o->f == LAB_WGL_WRITE)
            state = o->a;
        else if (o->f == LAB_WGL_CAS || (o->f == LAB_WGL_CAS_MAYBE && state == o->a))
            state = o->b;
        done |= 1u << w->order[i];
    }
    for (uint32_t k = 0; k < n; k++)
        if (!(done >> k & 1) && ops[k].to < at)
            return false;
    return w->n_states && w->states[0] == state;
}

/* The answer that is blamed is the first that no order explains: the history before it has an
 * order, which is the one that is shown; with it, it has none. */
static void test_wgl_blames_the_first(void)
{
    struct prng p;
    uint32_t bad = 0;
    unit_mem(&mem, 256 << 20);
    prng_seed(&p, 2, "wgl", 0);
    for (uint32_t r = 0; r < 20000; r++) {
        struct lab_wgl_op ops[FEW];
        uint32_t n = 2 + (uint32_t)prng_below(&p, FEW - 1);
        int64_t times[2 * FEW];
        for (uint32_t i = 0; i < 2 * FEW; i++) /* no two at once: a prefix is one of events */
            times[i] = i + 1;
        for (uint32_t i = 2 * FEW - 1; i > 0; i--) {
            uint32_t k = (uint32_t)prng_below(&p, i + 1);
            int64_t t = times[i];
            times[i] = times[k];
            times[k] = t;
        }
        for (uint32_t i = 0; i < n; i++) {
            int64_t a = times[2 * i], b = times[2 * i + 1];
            enum lab_wgl_f f = (enum lab_wgl_f)prng_below(&p, LAB_WGL_CAS_MAYBE);
            bool is_open = f == LAB_WGL_WRITE && !prng_below(&p, 4);
            ops[i] = (struct lab_wgl_op){.from = a < b ? a : b,
                                         .to = is_open ? INT64_MAX
                                               : a < b ? b
                                                       : a,
                                         .a = prng_below(&p, 3),
                                         .b = prng_below(&p, 3),
                                         .f = f,
                                         .tag = i};
        }
        struct lab_wgl_result res, again;
        struct lab_wgl_witness w;
        lab_wgl_check(&mem, ops, n, 0, 1000000, &res);
        lab_wgl_explain(&mem, ops, n, 0, 1000000, &again, &w);
        CU_ASSERT_FATAL(again.verdict == res.verdict && w.order != NULL);
        if (res.verdict == LAB_WGL_BAD) {
            int64_t at = ops[w.blocked].to;
            bad++;
            CU_ASSERT_FATAL(ops[w.blocked].tag == res.tag && at < INT64_MAX);
            CU_ASSERT_FATAL(orders_before(ops, n, at) && !orders_before(ops, n, at + 1));
            CU_ASSERT_FATAL(order_holds(ops, n, &w, at));
        }
        mem_free(&mem, w.order, w.cap * sizeof *w.order);
    }
    CU_ASSERT(bad > 5000);
    mem_drop(&mem);
}

static void test_wgl_gives_up(void)
{
    struct lab_wgl_op ops[40];
    struct lab_wgl_result r;
    unit_mem(&mem, 256 << 20);
    for (uint32_t i = 0; i < 40; i++) /* all at once, and in no order does the last answer fit */
        ops[i] = (struct lab_wgl_op){.from = 0, .to = 10, .a = i, .f = LAB_WGL_WRITE};
    ops[39].f = LAB_WGL_READ;
    ops[39].a = 1000;
    lab_wgl_check(&mem, ops, 40, 0, 5000, &r);
    CU_ASSERT_EQUAL(r.verdict, LAB_WGL_UNKNOWN);
    CU_ASSERT(r.steps >= 5000 && r.steps < 5010);
    mem_drop(&mem);
}

/* ---- histories whose verdicts are known; where they are not there, nothing is tested ---- */

static char *slurp(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text = calloc(1, 4 << 20);
    bool ok = f && text && fread(text, 1, (4 << 20) - 1, f) > 0;
    if (f)
        fclose(f);
    if (ok)
        return text;
    free(text);
    return NULL;
}

static void test_wgl_known_histories(void)
{
    static const unsigned good[] = {2,  5,  7,  18, 25, 31, 38, 45, 48,  49,  51, 53,
                                    56, 67, 75, 76, 80, 87, 92, 98, 100, 101, 102};
    const char *dir = getenv("TARN_TEST_DATA");
    unsigned files = 0;
    uint64_t steps = 0;
    unit_mem(&mem, (uint64_t)4 << 30);
    for (unsigned i = 0; dir && i < 103; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/data/histories/etcd_%03u.log", dir, i);
        char *text = slurp(path);
        bool want = false;
        for (size_t k = 0; k < ARRAY_LEN(good); k++)
            want |= good[k] == i;
        if (!text)
            continue;
        files++;
        uint64_t took;
        enum lab_wgl_verdict v = verdict_of(text, &took);
        steps += took;
        if (v != (want ? LAB_WGL_OK : LAB_WGL_BAD))
            fprintf(stderr, "%s: verdict %d\n", path, (int)v);
        CU_ASSERT_EQUAL(v, want ? LAB_WGL_OK : LAB_WGL_BAD);
        free(text);
    }
    static const char *const kv[] = {"c01-ok", "c01-bad", "c10-ok", "c10-bad", "c50-ok", "c50-bad"};
    for (size_t i = 0; dir && i < ARRAY_LEN(kv); i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/data/histories/kv_%s.txt", dir, kv[i]);
        char *text = slurp(path);
        if (!text)
            continue;
        files++;
        enum lab_wgl_verdict want = strstr(kv[i], "ok") ? LAB_WGL_OK : LAB_WGL_BAD;
        CU_ASSERT_EQUAL(verdict_of(text, NULL), want);
        free(text);
    }
    mem_drop(&mem);
    if (!files)
        fprintf(stderr,
                "\nSKIP known histories: TARN_TEST_DATA names no folder with data/histories\n");
    else
        printf("(%u histories, %llu steps) ", files, (unsigned long long)steps);
}

UNIT_MAIN("lab_wgl", UNIT(test_wgl_by_hand), UNIT(test_wgl_against_every_order),
          UNIT(test_wgl_blames_the_first), UNIT(test_wgl_gives_up), UNIT(test_wgl_known_histories))
