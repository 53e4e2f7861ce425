/* tests/unit/test_lab_long.c - a long run needs no more memory than a short one, and its verdicts
 * are what they would be if nothing were forgotten. */
#include "sim/lab_check_impl.h"
#include "sim/lab_group_impl.h"
#include "sim/lab_model_impl.h"
#include "sim/lab_ring.h"
#include "sim/lab_run_impl.h"
#include "sim/lab_ufs_impl.h"
#include "tests/unit/test_lab_lie.h"

/* ---- runs ---- */

static struct mem mem;
static struct lab_scenario scenario;

static void long_load(uint32_t seconds, const char *rest)
{
    char json[900], why[LAB_ERROR] = "";
    unit_mem(&mem, (uint64_t)2 << 30);
    fmt_into(json, sizeof json, "{\"duration\": \"%us\", %s}", seconds, rest);
    CU_ASSERT_EQUAL_FATAL(lab_scenario_parse(&scenario, json, why), 0);
    CU_ASSERT_EQUAL_FATAL(lab_scenario_check(&scenario, why), 0);
}

/* the most that it had at once, world and checkers */
static uint64_t long_files(uint32_t seconds)
{
    long_load(seconds, "\"masters\": 1, \"workers\": 1, \"clients\": 2,"
                       " \"store\": {\"files\": 8, \"dirs\": 2, \"file_bytes\": 20000},"
                       " \"worker\": {\"capacity_bytes\": 1000000},"
                       " \"master\": {\"image_after_bytes\": 50000, \"segment_bytes\": 65536},"
                       " \"load\": {\"threads\": 2, \"think\": \"60ms\", \"names\": 4,"
                       " \"io_bytes\": 60000, \"file_bytes\": 60000, \"mkdir\": 0, \"write\": 30}");
    struct lab_run *r = lab_run_open(&mem, &scenario, 1, NULL, NULL);
    struct lab_report p;
    CU_ASSERT(lab_run_go(r, 0));
    lab_run_report(r, &p);
    for (unsigned v = 0; v < LAB_VERDICTS; v++)
        CU_ASSERT_EQUAL(p.findings[v]->failures, 0);
    CU_ASSERT(p.load->ok > 30 * seconds);
    CU_ASSERT(p.store->written_bytes > 100000 * seconds);
    uint64_t most = mem.used_max;
    lab_run_close(r);
    mem_drop(&mem);
    return most;
}

static uint64_t long_journals(uint32_t seconds)
{
    long_load(seconds, "\"masters\": 3, \"workers\": 0, \"clients\": 2,"
                       " \"journal\": {\"only\": 1, \"keys\": 3, \"record_bytes\": 64},"
                       " \"master\": {\"image_after_bytes\": 50000, \"segment_bytes\": 65536},"
                       " \"load\": {\"threads\": 4, \"think\": \"25ms\"}");
    struct lab_group *g = lab_group_open(&mem, &scenario, 1, NULL, NULL);
    struct lab_group_report p;
    CU_ASSERT(lab_group_go(g, 0));
    lab_group_report(g, &p);
    for (unsigned v = 0; v < LAB_GROUP_VERDICTS; v++)
        CU_ASSERT_EQUAL(p.findings[v].failures, 0);
    CU_ASSERT(p.writes + p.reads > 200 * seconds);
    uint64_t most = mem.used_max;
    lab_group_close(g);
    mem_drop(&mem);
    return most;
}

static void long_compare(const char *what, uint64_t (*run)(uint32_t seconds))
{
    uint64_t a = run(100), b = run(400);
    if (10 * b > 13 * a)
        printf("\n%s: 100 s %llu bytes, 400 s %llu\n", what, (unsigned long long)a,
               (unsigned long long)b);
    CU_ASSERT(10 * b <= 13 * a);
}

static void test_long_files(void)
{
    long_compare("files", long_files);
}

static void test_long_journals(void)
{
    long_compare("journals", long_journals);
}

/* ---- what is remembered by numbers ---- */

static void test_long_ring(void)
{
    struct lab_ring r;
    unit_mem(&mem, 1 << 24);
    lab_ring_open(&r, &mem, sizeof(uint64_t), 3, 256);
    for (uint64_t i = 0; i < 1000; i += 3) { /* two of three are gaps */
        *(uint64_t *)lab_ring_push(&r, i) = i + 1;
        if (i > 300 && i < 600)
            lab_ring_forget(&r, i - 20);
        for (uint64_t k = 0; k <= i + 2; k++) {
            const uint64_t *p = lab_ring_at(&r, k);
            CU_ASSERT_EQUAL(p != NULL, k >= r.first && k <= i);
            CU_ASSERT(!p || *p == (k % 3 ? 0 : k + 1));
        }
        CU_ASSERT(i < 256 || r.first >= i - 255);
        CU_ASSERT(i <= 300 || i >= 600 || r.end - r.first <= 21);
    }
    CU_ASSERT_EQUAL(r.cap, 256);
    CU_ASSERT_PTR_NULL(lab_ring_push(&r, 5));
    lab_ring_forget(&r, 5000);
    CU_ASSERT(r.first == r.end && *(uint64_t *)lab_ring_push(&r, 1000) == 0);
    mem_drop(&mem);
}

/* ---- a file's past ---- */

enum { LONG_CHANGES = 400, LONG_BYTES = 3000 };

static void long_change(struct lab_ufs *u, struct lab_ufs_node *n, struct prng *p, uint32_t k)
{
    uint32_t off = (uint32_t)prng_below(p, LONG_BYTES / 2), len = 1 + (uint32_t)prng_below(p, 900);
    uint32_t what = k ? (uint32_t)prng_below(p, 12) : 0;
    if (what == 0) {
        lab_ufs_data_seed(u, n, prng_below(p, LONG_BYTES), true);
    } else if (what < 3) {
        lab_ufs_data_size(u, n, what == 1 && prng_below(p, 2) ? 0 : prng_below(p, LONG_BYTES));
    } else {
        uint8_t *bytes = mem_alloc(u->mem, len);
        memset(bytes, (int)(k + 1), len);
        lab_ufs_data_write(u, n, off, bytes, len);
    }
}

/* Of two files with the same changes one forgets: what is not forgotten is the same. */
static void test_long_bytes(void)
{
    struct lie l;
    lie_open(&l);
    static uint8_t a[LONG_BYTES], b[LONG_BYTES];
    struct prng p;
    uint32_t merged = 0;
    prng_seed(&p, 1, "test_long_bytes", 0);
    struct lab_ufs_config uc = lab_ufs_config_default(1);
    struct lab_ufs *u = lab_ufs_open(&l.m, l.s, &uc), *all = lab_ufs_open(&l.m, l.s, &uc);
    lab_ufs_file(u, "f", 2000);
    lab_ufs_file(all, "f", 2000);
    for (uint32_t k = 0; k < LONG_CHANGES; k++) {
        struct prng same = p;
        long_change(u, u->nodes[1], &p, k);
        long_change(all, all->nodes[1], &same, k);
        lie_wait(&l, ms);
        if (prng_below(&p, 7) == 0)
            lab_ufs_forget(u, sim_now_ns(l.s) - (int64_t)prng_below(&p, 40) * ms);
        uint32_t first = u->nodes[1]->n_forgot;
        merged += first && u->nodes[1]->changes[0].kind == LAB_UFS_WRITE;
        CU_ASSERT_EQUAL(lab_ufs_changes(u, 1), lab_ufs_changes(all, 1));
        for (uint32_t at = first + 1; at <= lab_ufs_changes(u, 1); at++) {
            uint64_t off = prng_below(&p, LONG_BYTES);
            uint32_t n, m;
            const uint8_t *x = lab_ufs_content(u, 1, at, off, a, LONG_BYTES, &n);
            const uint8_t *y = lab_ufs_content(all, 1, at, off, b, LONG_BYTES, &m);
            CU_ASSERT_FATAL(n == m && !memcmp(x, y, n));
            CU_ASSERT_EQUAL(lab_ufs_change(u, 1, at - 1)->size,
                            lab_ufs_change(all, 1, at - 1)->size);
        }
        CU_ASSERT(lab_ufs_check(u, (char *)a, sizeof a));
    }
    CU_ASSERT(merged > 50 && u->nodes[1]->n_forgot > LONG_CHANGES / 2);
    lab_ufs_remove(u, "f");
    lab_ufs_forget(u, sim_now_ns(l.s) - ms); /* it was not over by then */
    CU_ASSERT_PTR_NOT_NULL(u->nodes[1]);
    lie_wait(&l, sec);
    lab_ufs_keep(u, 1);
    lab_ufs_forget(u, sim_now_ns(l.s));
    CU_ASSERT_PTR_NOT_NULL(u->nodes[1]);
    lab_ufs_forget(u, sim_now_ns(l.s));
    CU_ASSERT_PTR_NULL(u->nodes[1]);
    CU_ASSERT(lab_ufs_changes(u, 1) == 0 && lab_ufs_is_displaced(u, 1));
    lie_close(&l, LAB_LOG);
}

/* ---- lies after much was forgotten ---- */

/* "d" is removed, which somebody is told; `ino`: what it was */
static struct fsop_reply long_removed(struct lie *l, const struct fsop *look)
{
    struct fsop_reply was;
    struct fsop op = *look;
    meta_query(l->real, look, NULL, 0, &was);
    op.kind = FSOP_RMDIR;
    op.session.v = 1;
    op.seq = 2;
    lie_wait(l, sec);
    struct lab_window w = {sim_now_ns(l->s), sim_now_ns(l->s)};
    struct meta_result res = lie_apply(l, &op);
    CU_ASSERT_EQUAL(res.reply.err, 0);
    lie_wait(l, ms);
    w.to_ns = sim_now_ns(l->s);
    lab_check_mutation(l->c, "c1", &op, &res.reply, w);
    return was;
}

/* A question that is still open may be answered with what was; one that is put later may not. */
static void test_long_within_its_window(void)
{
    for (int late = 0; late < 2; late++) {
        struct lie l;
        lie_open(&l);
        struct fsop look = lie_lookup("d");
        struct lab_window open = lie_now(&l);
        struct fsop_reply was = long_removed(&l, &look);
        lie_wait(&l, 100 * sec);
        lab_check_forget(l.c, open.from_ns);
        CU_ASSERT(lab_ring_at(&l.c->log, 3) && !lab_ring_at(&l.c->log, 1));
        open.to_ns = sim_now_ns(l.s);
        open.from_ns = late ? open.to_ns - ms : open.from_ns;
        lab_check_query(l.c, "c2", &look, &was, open);
        CU_ASSERT_EQUAL(lie_close(&l, LAB_ANSWERS) != 0, late != 0);
    }
}

/* a machine that has applied record 1 only */
static struct meta *long_begun(struct lie *l)
{
    struct fsop first = {.kind = FSOP_SESSION_OPEN, .name = "c1", .name_len = 2};
    struct meta_result res;
    struct meta *m;
    CU_ASSERT_EQUAL_FATAL(meta_open(&l->m, &l->c->cfg.limits, &m), 0);
    meta_apply(m, 1, &first, &res);
    return m;
}

/* all of it was forgotten, and what is said of it is still wrong, or right */
static void test_long_after_it(void)
{
    for (int lie = 0; lie < 7; lie++) {
        struct lie l;
        lie_open(&l);
        struct fsop look = lie_lookup("d"), op = lie_mkdir("d", 1);
        struct fsop_reply was = long_removed(&l, &look), rep;
        struct meta_result res;
        char why[LAB_MODEL_WHY] = "";
        lie_wait(&l, 100 * sec);
        lab_check_forget(l.c, sim_now_ns(l.s));
        lab_check_interval(l.c);
        CU_ASSERT_PTR_NULL(lab_ring_at(&l.c->log, 2));
        CU_ASSERT(lab_model_is_gone(lab_check_model(l.c), was.attr.ino));
        rep = (struct fsop_reply){.err = E_NOENT, .index = 3};
        lab_check_query(l.c, "c1", &look, &rep, lie_now(&l));
        struct fsop of = {.kind = FSOP_GETATTR, .ino = was.attr.ino};
        rep.err = E_STALE;
        lab_check_query(l.c, "c1", &of, &rep, lie_now(&l));
        for (unsigned v = 0; v < LAB_VERDICTS; v++)
            CU_ASSERT_EQUAL(lab_check_finding(l.c, v)->failures, 0);
        enum lab_verdict by = LAB_ANSWERS;
        if (lie == 1) { /* it is there again */
            lab_check_query(l.c, "c1", &look, &was, lie_now(&l));
        } else if (lie == 2) {
            lab_check_query(l.c, "c1", &of, &was, lie_now(&l));
        } else if (lie == 3) { /* its number is given again */
            op = lie_mkdir("e", 3);
            res = (struct meta_result){.reply = was};
            if (!lab_model_apply(lab_check_model(l.c), 4, 0, &op, &res, l.real, why))
                lab_check_fail(l.c, LAB_ANSWERS, "%s", why);
            CU_ASSERT_PTR_NOT_NULL(strstr(why, "was used before"));
        } else if (lie == 4) { /* its request is carried out again */
            CU_ASSERT(lab_check_did(l.c, 1, 1) && !lab_check_did(l.c, 1, 3));
            l.c->state = long_begun(&l);
            meta_apply(long_begun(&l), 4, &op, &res);
            l.o->on_apply(l.o, 4, &op, &res, l.real);
            by = LAB_LOG;
            CU_ASSERT_PTR_NOT_NULL(strstr(lab_check_finding(l.c, by)->what, "and long before"));
        } else if (lie >= 5) { /* a master applies it again; or something else */
            struct meta *again = long_begun(&l);
            lab_check_starts(l.o);
            op.mode = lie == 6 ? 0700 : op.mode;
            meta_apply(again, 2, &op, &res);
            l.o->on_apply(l.o, 2, &op, &res, again);
            by = LAB_LOG;
        }
        CU_ASSERT_EQUAL(lie_close(&l, by) != 0, lie != 0 && lie != 5);
    }
}

/* ---- a history in pieces ---- */

static struct lab_group *long_group(void)
{
    char why[LAB_ERROR];
    unit_mem(&mem, (uint64_t)1 << 30);
    CU_ASSERT_EQUAL(lab_scenario_parse(&scenario,
                                       "{\"duration\": \"2s\", \"masters\": 1, \"clients\": 1, "
                                       "\"journal\": {\"only\": 1, \"raft\": 0}}",
                                       why),
                    0);
    return lab_group_open(&mem, &scenario, 1, NULL, NULL);
}

/* writes 1 .. n of key 0, one after another, each read afterwards; others write at once with them
 */
static void long_tell(struct lab_group *g, uint64_t from, uint64_t n, uint64_t wrong)
{
    for (uint64_t i = from; i < from + n; i++) {
        int64_t t = (int64_t)i * 100;
        struct lab_wgl_op w = {.from = t, .to = t + 10, .f = LAB_WGL_WRITE, .a = i};
        struct lab_wgl_op c = {.from = t + 5, .to = t + 30, .f = LAB_WGL_CAS, .a = i};
        struct lab_wgl_op r = {.from = t + 40, .to = t + 50, .f = LAB_WGL_READ};
        c.b = i + 1000000;
        r.a = i == wrong ? i - 1 + 1000000 : c.b;
        lab_group_linear_op(g, w);
        lab_group_linear_op(g, c);
        lab_group_linear_op(g, r);
    }
}

static void test_long_pieces(void)
{
    static const struct {
        uint64_t wrong; /* a read of what was before */
        int64_t shown;  /* when an unanswered write of 7, asked at 500, is read; 0: never */
        int64_t again;  /* and again, though others were read between */
        bool bad;
    } cases[] = {{0, 0, 0, false},       {250, 0, 0, true},     {499, 0, 0, true},
                 {0, 100, 0, true},      {0, 1960, 0, false},   {0, 45060, 0, false},
                 {0, 1960, 1970, false}, {0, 1960, 2060, true}, {0, 1960, 45060, true}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct lab_group *g = long_group();
        struct group_request q = {.verb = GROUP_WRITE, .a = 7000000};
        struct lab_wgl_op r = {.f = LAB_WGL_READ, .a = 7000000};
        lab_group_check_unknown(g, &q, 500);
        for (uint64_t k = 2; k < 500; k += 83) {
            for (int n = 0; n < 2; n++) {
                r.from = n ? cases[i].again : cases[i].shown;
                r.to = r.from + 3;
                if (r.from && (k == 2 || r.from >= (int64_t)k * 100) &&
                    r.from < ((int64_t)k + 83) * 100)
                    lab_group_linear_op(g, r);
            }
            long_tell(g, k, 83, cases[i].wrong);
            lab_group_linear_forget(g);
            CU_ASSERT(g->check.n_ops < 300);
        }
        lab_group_linear_end(g);
        CU_ASSERT_EQUAL(g->check.findings[LAB_GROUP_LINEAR].failures, cases[i].bad);
        CU_ASSERT_EQUAL(g->check.findings[LAB_GROUP_LINEAR].checks, 1);
        lab_group_close(g);
        mem_drop(&mem);
    }
}

UNIT_MAIN("lab_long", UNIT(test_long_files), UNIT(test_long_journals), UNIT(test_long_ring),
          UNIT(test_long_bytes), UNIT(test_long_within_its_window), UNIT(test_long_after_it),
          UNIT(test_long_pieces))
