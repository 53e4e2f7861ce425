/* tests/unit/test_lab_lie.h - a checker of whole file systems that has seen a little truth, to tell
 * it lies. */
#ifndef TESTS_UNIT_TEST_LAB_LIE_H
#define TESTS_UNIT_TEST_LAB_LIE_H

#include "core/fmt.h"
#include "sim/lab_run.h"
#include "tests/unit/unit.h"

static const int64_t sec = 1000000000, ms = 1000000;

struct lie {
    struct mem m;
    struct sim *s;
    struct lab_ufs *u;
    struct lab_check *c;
    struct master_observer *o;
    struct meta *real;
    uint64_t index;
};

/* a checker that has seen record 1 (a session of "c1") and 2 (its directory "d") */
static inline struct meta_result lie_apply(struct lie *l, const struct fsop *op)
{
    struct meta_result res;
    meta_apply(l->real, ++l->index, op, &res);
    l->o->on_apply(l->o, l->index, op, &res, l->real);
    return res;
}

static inline struct fsop lie_mkdir(const char *name, uint64_t seq)
{
    return (struct fsop){.kind = FSOP_MKDIR,
                         .session = {1},
                         .seq = seq,
                         .ino = INO_ROOT,
                         .name = name,
                         .name_len = (uint32_t)strlen(name),
                         .mode = 0755};
}

static inline void lie_open_as(struct lie *l, bool is_group)
{
    memset(l, 0, sizeof *l);
    unit_mem(&l->m, 512 << 20);
    struct sim_config cfg = sim_config_quiet(1);
    l->s = sim_open(&l->m, &cfg);
    struct lab_ufs_config uc = lab_ufs_config_default(1);
    l->u = lab_ufs_open(&l->m, l->s, &uc);
    lab_ufs_mkdir(l->u, "main");
    struct lab_check_config cc = {.slack_ns = 10 * sec,
                                  .behind_ns = 5 * sec,
                                  .told_ns = 2 * sec,
                                  .is_group = is_group,
                                  .limits = {.inodes_max = 1000, .sessions_max = 10},
                                  .store = "main"};
    l->c = lab_check_open(&l->m, l->s, l->u, &cc);
    l->o = lab_check_observer(l->c, "m1");
    CU_ASSERT_EQUAL_FATAL(meta_open(&l->m, &cc.limits, &l->real), 0);
    struct fsop op = {.kind = FSOP_SESSION_OPEN, .name = "c1", .name_len = 2};
    lie_apply(l, &op);
    op = lie_mkdir("d", 1);
    lie_apply(l, &op);
}

static inline void lie_open(struct lie *l)
{
    lie_open_as(l, false);
}

static inline uint64_t lie_close(struct lie *l, enum lab_verdict v)
{
    uint64_t failures = lab_check_finding(l->c, v)->failures;
    sim_close(l->s);
    mem_drop(&l->m);
    return failures;
}

static inline void lie_wait(struct lie *l, int64_t ns)
{
    sim_run_until(l->s, sim_now_ns(l->s) + ns);
}

/* a question that is put after all that came before, and answered a little later */
static inline struct lab_window lie_now(struct lie *l)
{
    lie_wait(l, ms);
    struct lab_window w = {.from_ns = sim_now_ns(l->s)};
    lie_wait(l, ms);
    w.to_ns = sim_now_ns(l->s);
    return w;
}

static inline struct fsop lie_lookup(const char *name)
{
    return (struct fsop){
        .kind = FSOP_LOOKUP, .ino = INO_ROOT, .name = name, .name_len = (uint32_t)strlen(name)};
}

/* an answer that was right may be given until somebody was told of the change, and not after */
/* a file of the under-store, known to the namespace by a record */
static inline struct ino lie_file(struct lie *l)
{
    static uint8_t buf[512];
    lab_ufs_file(l->u, "main/f", 100000);
    struct fsop mount = {.kind = FSOP_MOUNT,
                         .name = "/m",
                         .name_len = 2,
                         .data = "sim:main",
                         .data_len = 8,
                         .arg = FSOP_MOUNT_THROUGH};
    lie_apply(l, &mount);
    struct fsop look = lie_lookup("m");
    struct fsop_reply rep;
    meta_query(l->real, &look, NULL, 0, &rep);
    struct fsent e;
    CU_ASSERT_EQUAL(lab_ufs_look(l->u, "main/f", &e, NULL), 0);
    e.name = "f";
    e.name_len = 1;
    struct wbuf w = wbuf_make(buf, sizeof buf);
    fsop_ent_put(&w, &e);
    struct fsop load = {
        .kind = FSOP_LOAD, .ino = rep.attr.ino, .data = buf, .data_len = (uint32_t)w.len};
    lie_apply(l, &load);
    look.ino = rep.attr.ino;
    look.name = "f";
    meta_query(l->real, &look, NULL, 0, &rep);
    CU_ASSERT_EQUAL_FATAL(rep.err, 0);
    return rep.attr.ino;
}

#endif
