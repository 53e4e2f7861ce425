/* tests/unit/test_journal_fake.h - the journal of one master of a group, whose role the test
 * decides.
 *
 * Records are committed a millisecond after their submission while it leads; what waits when it is
 * deposed may become committed nevertheless (fj.keeps), after the role has changed. */
#ifndef TESTS_UNIT_TEST_JOURNAL_FAKE_H
#define TESTS_UNIT_TEST_JOURNAL_FAKE_H

#include "journal/journal.h"
#include "sim/sim.h"
#include "tests/unit/unit.h"

enum { FJ_SUBS = 512, FJ_IMAGE = 8 << 20 };

struct fj_sub {
    struct env_op *op;
    uint8_t *rec;
    uint32_t len;
    int64_t at_ns;
};

static struct fj {
    struct journal j; /* first */
    struct journal_host *host;
    struct env *env;
    struct mem *mem;
    struct env_timer timer;
    bool leads, is_doubtful; /* doubtful: deposed and does not know it: barriers fail */
    bool is_stalled;         /* nothing is committed */
    bool is_ending;          /* it was told that it is to stop */
    unsigned keeps;          /* of what waits when it is deposed, so many are committed later */
    uint64_t epoch, index;
    struct fj_sub sub[FJ_SUBS];
    unsigned n, barriers, accepts, frames, closes;
    uint32_t leader; /* as it says; itself is 1 */
    uint32_t lost;   /* the member with which it is not connected */
    struct env_peer peer;
    struct env_op *change;
    struct journal_change changed;
    char change_addr[ENV_ADDR_MAX];
    struct env_op boot;
    int64_t barrier_ns; /* so long a barrier takes */
    struct list slow;
    struct env_timer slow_timer;
    unsigned held; /* how often it was told that nothing is under way below */
    int is_quiet;  /* what hold() said */
} fj;

static void fj_role(enum journal_role role, uint64_t epoch)
{
    fj.host->role(fj.host, role, epoch, 0);
}

static void fj_arm(void)
{
    if (fj.n && !fj.is_stalled)
        env_timer_set(fj.env, &fj.timer, fj.sub[0].at_ns);
}

static void fj_apply(const struct fj_sub *s)
{
    fj.host->apply(fj.host, ++fj.index, s->rec, s->len);
}

static struct fj_sub fj_take(void)
{
    struct fj_sub s = fj.sub[0];
    memmove(fj.sub, fj.sub + 1, --fj.n * sizeof s);
    return s;
}

static void fj_due(struct env_op *op)
{
    (void)op;
    while (fj.n && !fj.is_stalled && fj.sub[0].at_ns <= env_now_ns(fj.env)) {
        struct fj_sub s = fj_take();
        fj_apply(&s);
        free(s.rec);
        s.op->ret = (int64_t)fj.index;
        s.op->done(s.op);
    }
    fj_arm();
}

static void fj_submit(struct journal *j, const void *rec, uint32_t len, struct env_op *op)
{
    (void)j;
    if (!fj.leads || fj.n == FJ_SUBS) {
        op->ret = fj.leads ? E_AGAIN : E_NOT_LEADER;
        env_post(fj.env, op);
        return;
    }
    struct fj_sub *s = &fj.sub[fj.n++];
    *s = (struct fj_sub){op, malloc(len), len, env_now_ns(fj.env) + 1000000};
    memcpy(s->rec, rec, len);
    fj_arm();
}

static void fj_barrier(struct journal *j, struct env_op *op)
{
    (void)j;
    fj.barriers++;
    op->ret = fj.leads && !fj.is_doubtful ? 0 : E_NOT_LEADER;
    if (!fj.barrier_ns) {
        env_post(fj.env, op);
        return;
    }
    list_push_back(&fj.slow, &op->link);
    env_timer_set(fj.env, &fj.slow_timer, env_now_ns(fj.env) + fj.barrier_ns);
}

static void fj_barrier_late(struct env_op *op)
{
    struct list *l;
    (void)op;
    while ((l = list_pop(&fj.slow)))
        env_post(fj.env, list_entry(l, struct env_op, link));
}

static void fj_image_now(struct journal *j, struct env_op *op)
{
    (void)j;
    op->ret = E_NOTSUP;
    env_post(fj.env, op);
}

static void fj_status(struct journal *j, struct journal_status *s)
{
    (void)j;
    memset(s, 0, sizeof *s);
    s->role = fj.leads ? JOURNAL_LEADER : JOURNAL_STANDBY;
    s->self = 1;
    s->leader = fj.leads ? 1 : fj.leader;
    s->n = 3;
    for (uint32_t i = 0; i < 3; i++) {
        s->member[i].id = i + 1;
        s->member[i].votes = true;
        s->member[i].connected = i + 1 != fj.lost;
        snprintf(s->member[i].addr, ENV_ADDR_MAX, i ? "other%u:1" : "master:1", i + 1);
    }
}

static void fj_ending(struct journal *j)
{
    (void)j;
    fj.is_ending = true;
}

static void fj_stop(struct journal *j, struct env_op *op)
{
    (void)j;
    CU_ASSERT(fj.is_ending);
    env_timer_stop(fj.env, &fj.timer);
    CU_ASSERT_EQUAL(fj.n, 0);
    op->ret = 0;
    env_post(fj.env, op);
}

static void fj_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    (void)p, (void)type, (void)b, (void)n;
    fj.frames++;
}

static void fj_close(struct env_peer *p, int why)
{
    (void)p, (void)why;
    fj.closes++;
}

static struct env_peer *fj_accept(struct journal *j, const char *from)
{
    (void)j, (void)from;
    fj.accepts++;
    fj.peer.on_frame = fj_frame;
    fj.peer.on_close = fj_close;
    return &fj.peer;
}

static void fj_change(struct journal *j, const struct journal_change *c, int64_t deadline_ns,
                      struct env_op *op)
{
    (void)j, (void)deadline_ns;
    fj.change = op;
    fj.changed = *c;
    snprintf(fj.change_addr, sizeof fj.change_addr, "%s", c->addr ? c->addr : "");
}

static void fj_held(struct journal *j)
{
    (void)j;
    fj.held++;
}

static void fj_boot(struct env_op *op)
{
    (void)op;
    fj_role(JOURNAL_STANDBY, 0);
}

UNUSED static struct journal *fj_open(struct env *e, struct mem *m,
                                      const struct journal_config *cfg, struct journal_host *host)
{
    static const struct journal_vt vt = {.submit = fj_submit,
                                         .barrier = fj_barrier,
                                         .image_now = fj_image_now,
                                         .status = fj_status,
                                         .stop = fj_stop,
                                         .ending = fj_ending,
                                         .accept = fj_accept,
                                         .change = fj_change,
                                         .held = fj_held,
                                         .is_group = true};
    (void)cfg;
    memset(&fj, 0, sizeof fj);
    fj.j.vt = &vt;
    fj.env = e;
    fj.mem = m;
    fj.host = host;
    fj.timer.op.done = fj_due;
    fj.boot.done = fj_boot;
    list_init(&fj.slow);
    fj.slow_timer.op.done = fj_barrier_late;
    env_post(e, &fj.boot);
    return &fj.j;
}

/* --- what the test does; each in a turn of the node */

static void (*fj_doing)(void);

static void fj_do_now(struct env_op *op)
{
    (void)op;
    fj_doing();
}

static void fj_do(struct sim *s, void (*what)(void))
{
    static struct env_op op;
    memset(&op, 0, sizeof op);
    op.done = fj_do_now;
    fj_doing = what;
    env_post(fj.env, &op);
    sim_run_until(s, sim_now_ns(s) + 1);
}

static void fj_lead_now(void)
{
    fj.leads = true;
    fj_role(JOURNAL_LEADER, ++fj.epoch);
}

static void fj_depose_now(void)
{
    struct fj_sub kept[FJ_SUBS];
    unsigned n = 0;
    fj.leads = fj.is_doubtful = fj.is_stalled = false;
    env_timer_stop(fj.env, &fj.timer);
    while (fj.n) { /* before role(): see the contract */
        struct fj_sub s = fj_take();
        struct env_op *op = s.op;
        if (n < fj.keeps)
            kept[n++] = s;
        else
            free(s.rec);
        op->ret = E_NOT_LEADER;
        op->done(op);
    }
    fj_role(JOURNAL_STANDBY, fj.epoch);
    for (unsigned i = 0; i < n; i++) {
        fj_apply(&kept[i]);
        free(kept[i].rec);
    }
}

UNUSED static void fj_hold_now(void)
{
    fj.is_quiet = fj.host->hold(fj.host, true);
}

UNUSED static void fj_go_on_now(void)
{
    fj.host->hold(fj.host, false);
}

UNUSED static void fj_flip_now(void)
{
    fj_depose_now();
    fj_lead_now();
}

static uint8_t *fj_image;
static size_t fj_image_len;

static void fj_save_now(void)
{
    uint32_t n;
    fj_image = realloc(fj_image, FJ_IMAGE);
    fj_image_len = 0;
    fj.host->image_begin(fj.host);
    while ((n = fj.host->image_next(fj.host, fj_image + fj_image_len, JOURNAL_PIECE_MIN)))
        fj_image_len += n;
    fj.host->image_end(fj.host);
}

/* as one that was away and is given another's image: the pieces one a millisecond */
static size_t fj_loaded;

static void fj_load_begin_now(void)
{
    fj_loaded = 0;
    fj.host->image_reset(fj.host);
}

static void fj_load_some_now(void)
{
    size_t left = fj_image_len - fj_loaded, n = left > 16384 ? 16384 : left;
    CU_ASSERT_EQUAL(fj.host->image_load(fj.host, fj_image + fj_loaded, (uint32_t)n), 0);
    fj_loaded += n;
}

#endif
