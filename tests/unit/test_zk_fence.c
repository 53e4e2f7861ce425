/* tests/unit/test_zk_fence.c - claims of several members on one fence, in any order, cut short
 * anywhere: whoever is told that its claim still holds is told so before a later one holds. */
#include "journal/zk_fence.h"
#include "tests/unit/test_zk_share.h"

enum { FT_SLOTS = 24, FT_CLAIMS = 128 };

enum ft_doing {
    FT_CLOSED,
    FT_OPENING,
    FT_IDLE,
    FT_CLAIMING,
    FT_CHECKING,
    FT_LASTING,
    FT_SERVING,
    FT_FINDING
};

struct ft_claim { /* one that held */
    uint64_t epoch, at;
    uint64_t ok_at, over_at; /* last proven; another one of this epoch was proven after that */
};

struct ft_member {
    struct ft *t;
    uint32_t i;
    struct zk_fence f;
    struct env_op op;
    enum ft_doing doing;
    bool holds, is_served; /* is_served: the slot is written; a check comes next */
    uint64_t held_no;      /* which of the claims that held */
    uint64_t began, epoch; /* of what is under way: when; of the question */
    uint64_t prev, base, end;
};

struct ft {
    struct share w;
    struct ft_member m[SHARE_MEMBERS];
    struct ft_claim held[FT_CLAIMS];
    uint32_t n_held;
    uint64_t clock, marks, highest; /* events so far; any epoch asked for */
    /* of epochs that serve: proven by a check after it */
    uint64_t owner[FT_SLOTS]; /* whose log it is, by mark: its name is made exclusively */
    uint64_t serves[FT_SLOTS], serves_prev[FT_SLOTS], serves_base[FT_SLOTS], serves_end[FT_SLOTS];
    uint32_t n_checked, n_stale, n_claims, n_found;
    bool bad;
};

static struct ft ft_one;

#define FT_EXPECT(t, cond)                                                           \
    do {                                                                             \
        if (!(cond) && !(t)->bad) {                                                  \
            (t)->bad = true;                                                         \
            fprintf(stderr, "expectation failed at line %d: %s\n", __LINE__, #cond); \
        }                                                                            \
    } while (0)

static void ft_done(struct env_op *op);

static void ft_open(struct ft *t, uint32_t i)
{
    struct ft_member *m = &t->m[i];
    struct env *e = share_up(&t->w, i);
    *m = (struct ft_member){.t = t, .i = i, .op.done = ft_done, .doing = FT_OPENING};
    CU_ASSERT_FATAL(zk_fence_init(&m->f, e, &t->w.m[i].mem, "d/"));
    zk_fence_open(&m->f, &m->op);
}

/* no claim of a later epoch held before `began` */
static bool ft_is_newest(const struct ft *t, uint64_t epoch, uint64_t began)
{
    for (uint32_t k = 0; k < t->n_held; k++)
        if (t->held[k].at < began && t->held[k].epoch > epoch)
            return false;
    return true;
}

/* the claim was told that it holds, of a time after `began`: of two of one epoch, which only the
 * exclusive name of a log keeps apart otherwise, no one comes back */
static void ft_proved(struct ft *t, uint64_t no, uint64_t began)
{
    struct ft_claim *c = &t->held[no];
    FT_EXPECT(t, !c->over_at || c->over_at > began);
    for (uint32_t k = 0; k < t->n_held; k++)
        if (k != no && t->held[k].epoch == c->epoch && t->held[k].ok_at < began &&
            !t->held[k].over_at)
            t->held[k].over_at = t->clock;
    c->ok_at = t->clock;
    c->over_at = 0;
}

static void ft_claimed(struct ft *t, struct ft_member *m, int64_t ret)
{
    if (ret) {
        FT_EXPECT(t, ret == E_STALE || ret == E_RANGE);
        FT_EXPECT(t, ret != E_STALE || m->f.seen >= m->epoch);
        t->n_stale++;
        return;
    }
    FT_EXPECT(t, t->n_held < FT_CLAIMS);
    if (t->bad)
        return;
    FT_EXPECT(t, ft_is_newest(t, m->epoch, m->began));
    m->holds = true;
    m->is_served = false;
    m->held_no = t->n_held;
    t->held[t->n_held++] = (struct ft_claim){m->epoch, t->clock, t->clock, 0};
    ft_proved(t, m->held_no, m->began);
    t->n_claims++;
}

static void ft_found(struct ft *t, struct ft_member *m, int64_t ret)
{
    uint64_t e = m->f.served.epoch, least = 0;
    for (uint64_t k = 0; k < FT_SLOTS && k <= m->epoch; k++)
        if (t->serves[k] && t->serves[k] < m->began)
            least = k;
    FT_EXPECT(t, ret == 0 || (ret == E_NOENT && !least));
    if (ret)
        return;
    FT_EXPECT(t, e >= least && e <= m->epoch && e < FT_SLOTS);
    if (!t->bad && t->serves[e])
        FT_EXPECT(t, m->f.served.prev == t->serves_prev[e] &&
                         m->f.served.base == t->serves_base[e] &&
                         m->f.served.end == t->serves_end[e]);
    t->n_found++;
}

static void ft_done(struct env_op *op)
{
    struct ft_member *m = container_of(op, struct ft_member, op);
    struct ft *t = m->t;
    enum ft_doing was = m->doing;
    m->doing = FT_IDLE;
    switch (was) {
    case FT_OPENING:
        FT_EXPECT(t, op->ret == 0 && m->f.slots == FT_SLOTS && m->f.cluster_lo == 7);
        break;
    case FT_CLAIMING:
        ft_claimed(t, m, op->ret);
        break;
    case FT_CHECKING:
        FT_EXPECT(t, op->ret == 0 || op->ret == E_STALE);
        if (op->ret) {
            m->holds = false;
            t->n_stale++;
            break;
        }
        FT_EXPECT(t, ft_is_newest(t, m->f.epoch, m->began));
        ft_proved(t, m->held_no, m->began);
        t->n_checked++;
        if (m->is_served) {
            t->serves[m->f.epoch] = t->clock;
            t->serves_prev[m->f.epoch] = m->prev;
            t->serves_base[m->f.epoch] = m->base;
            t->serves_end[m->f.epoch] = m->end;
        }
        break;
    case FT_LASTING:
        FT_EXPECT(t, op->ret == 0 || op->ret == E_STALE || op->ret == E_RANGE);
        if (op->ret == 0)
            FT_EXPECT(t, ft_is_newest(t, m->epoch, m->began));
        break;
    case FT_SERVING:
        m->is_served = op->ret == 0;
        break;
    case FT_FINDING:
        ft_found(t, m, op->ret);
        break;
    default:
        FT_EXPECT(t, false);
    }
}

static void ft_act(struct ft *t, struct ft_member *m)
{
    struct prng *r = &t->w.rng;
    uint64_t dice = prng_below(r, 12);
    m->began = t->clock;
    if (dice < 3 || !m->holds) {
        m->epoch = m->f.seen + 1 + prng_below(r, 3);
        if (prng_below(r, 4) == 0)
            m->epoch = 1 + prng_below(r, FT_SLOTS);
        m->doing = FT_CLAIMING;
        m->holds = false;
        zk_fence_claim(&m->f, m->epoch, m->i + 1, ++t->marks, &m->op);
    } else if (dice < 8) {
        m->doing = FT_CHECKING;
        zk_fence_check(&m->f, &m->op);
    } else if (dice == 8 && !m->is_served &&
               (!t->owner[m->f.epoch] || t->owner[m->f.epoch] == m->f.mark)) {
        t->owner[m->f.epoch] = m->f.mark;
        m->doing = FT_SERVING;
        m->prev = prng_below(r, m->f.epoch);
        m->base = prng_below(r, 1000);
        m->end = m->base + prng_below(r, 10);
        zk_fence_serve(&m->f, m->prev, m->base, m->end, &m->op);
    } else if (dice == 9) {
        m->doing = FT_LASTING;
        m->epoch = prng_below(r, m->f.epoch + 2);
        zk_fence_is_last(&m->f, m->epoch, &m->op);
    } else if (dice == 10) {
        m->doing = FT_FINDING;
        m->epoch = prng_below(r, 2) ? UINT64_MAX : prng_below(r, FT_SLOTS);
        zk_fence_find_served(&m->f, m->epoch, &m->op);
    }
}

static void ft_storm(struct ft *t)
{
    struct prng *r = &t->w.rng;
    uint32_t i = (uint32_t)prng_below(r, 3);
    struct share_member *s = &t->w.m[i];
    uint64_t dice = prng_below(r, 1000);
    if (dice < 12)
        s->paused = !s->paused;
    else if (dice < 16 && s->alive)
        share_kill(&t->w, i);
    else if (dice < 40 && !s->alive)
        ft_open(t, i);
    else if (dice == 999)
        share_power_loss(&t->w);
    else if (s->alive && !s->paused && t->m[i].doing == FT_IDLE)
        ft_act(t, &t->m[i]);
}

static void ft_begin(struct ft *t, uint64_t seed)
{
    struct zk_fence f;
    memset(t, 0, sizeof *t);
    share_init(&t->w, seed);
    struct env *e = share_up(&t->w, 3);
    struct ft_member *m = &t->m[3];
    *m = (struct ft_member){.t = t, .op.done = ft_done, .doing = FT_SERVING};
    CU_ASSERT_FATAL(zk_fence_init(&f, e, &t->w.m[3].mem, "d/"));
    zk_fence_format(&f, 5, 7, FT_SLOTS, &m->op);
    while (m->doing == FT_SERVING && share_step(&t->w))
        ;
    CU_ASSERT_FATAL(m->op.ret == 0 && m->doing == FT_IDLE);
    zk_fence_drop(&f);
    share_kill(&t->w, 3);
    for (uint32_t i = 0; i < 3; i++)
        ft_open(t, i);
}

/* FT_SEED: others */
static uint64_t ft_seed(void)
{
    const char *from = getenv("FT_SEED");
    return from ? strtoull(from, NULL, 0) : 1;
}

static void test_one_holder_at_a_time(void)
{
    struct ft *t = &ft_one;
    uint64_t checked = 0, stale = 0, claims = 0, found = 0;
    const char *n = getenv("FT_SEEDS");
    uint64_t seeds = n ? strtoull(n, NULL, 0) : 10000;
    for (uint64_t seed = ft_seed(); seed < ft_seed() + seeds; seed++) {
        ft_begin(t, seed);
        for (int k = 0; k < 400 && !t->bad; k++) {
            t->clock++;
            if (prng_below(&t->w.rng, 3))
                share_step(&t->w);
            else
                ft_storm(t);
        }
        checked += t->n_checked;
        stale += t->n_stale;
        claims += t->n_claims;
        found += t->n_found;
        share_drop(&t->w);
        if (t->bad) {
            fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
            CU_ASSERT_FATAL(!t->bad);
        }
    }
    if (getenv("FAKE_LOG"))
        fprintf(stderr, "%llu checks, %llu stale, %llu claims, %llu found\n",
                (unsigned long long)checked, (unsigned long long)stale, (unsigned long long)claims,
                (unsigned long long)found);
    CU_ASSERT(checked > seeds && stale > seeds && claims > seeds && found > seeds / 10);
}

/* this member alone goes on, for so many events or until it is idle */
static void ft_only(struct ft *t, uint32_t i, int events)
{
    struct share *w = &t->w;
    for (int k = 0; k < events && t->m[i].doing != FT_IDLE; k++) {
        t->clock++;
        if (share_turn(w, &w->m[i]))
            continue;
        for (uint32_t n = 0; n < w->disk.n_ops; n++)
            if (container_of(w->disk.ops[n].op, struct share_op, op)->m == &w->m[i]) {
                share_disk_do(w, n);
                break;
            }
    }
}

static void ft_claim(struct ft *t, uint32_t i, uint64_t epoch)
{
    struct ft_member *m = &t->m[i];
    t->clock++;
    m->began = t->clock;
    m->epoch = epoch;
    m->doing = FT_CLAIMING;
    zk_fence_claim(&m->f, epoch, i + 1, ++t->marks, &m->op);
}

static bool ft_check(struct ft *t, uint32_t i)
{
    struct ft_member *m = &t->m[i];
    t->clock++;
    m->began = t->clock;
    m->doing = FT_CHECKING;
    zk_fence_check(&m->f, &m->op);
    ft_only(t, i, 1000);
    return m->op.ret == 0;
}

/* Two members were given the same number, and a third one's claim is under way: wherever that
 * stops, the one that was overtaken does not hold again. */
static void test_who_was_overtaken_stays_so(void)
{
    struct ft *t = &ft_one;
    for (int stop = 0; stop < 24; stop++) {
        for (int late = 0; late < 24; late++) {
            ft_begin(t, 1);
            for (uint32_t i = 0; i < 3; i++)
                ft_only(t, i, 1000);
            ft_claim(t, 1, 5);
            ft_only(t, 1, late);
            ft_claim(t, 0, 5);
            ft_only(t, 0, 1000);
            ft_claim(t, 2, 7);
            ft_only(t, 2, stop);
            ft_only(t, 1, 1000);
            bool was = t->m[1].holds && ft_check(t, 1);
            ft_only(t, 2, 2);
            if (was && t->m[0].holds)
                CU_ASSERT(!ft_check(t, 0));
            ft_only(t, 2, 1000);
            if (t->m[0].holds && t->m[0].doing == FT_IDLE && t->m[2].holds)
                CU_ASSERT(!ft_check(t, 0));
            CU_ASSERT_FATAL(!t->bad);
            share_drop(&t->w);
        }
    }
}

/* member 0 alone does it */
static int64_t ft_sole(struct ft *t)
{
    t->m[0].doing = FT_FINDING;
    ft_only(t, 0, 1000);
    return t->m[0].op.ret;
}

static void ft_on_formatted(struct env_op *op)
{
    container_of(op, struct ft_member, op)->doing = FT_IDLE;
}

/* The disk is full once the fence is there: whatever is claimed and served needs no room.  Where it
 * does not fit, nothing is left of it. */
static void test_a_full_disk(void)
{
    struct ft *t = &ft_one;
    struct ft_member *m = &t->m[0];
    const uint64_t size = LOG_BLOCK * (1 + 3 * FT_SLOTS);
    memset(t, 0, sizeof *t);
    share_init(&t->w, 1);
    t->w.disk.capacity = size - LOG_BLOCK;
    struct env *e = share_up(&t->w, 0);
    *m = (struct ft_member){.t = t, .op.done = ft_on_formatted};
    CU_ASSERT_FATAL(zk_fence_init(&m->f, e, &t->w.m[0].mem, "d/"));
    zk_fence_format(&m->f, 5, 7, FT_SLOTS, &m->op);
    CU_ASSERT_EQUAL(ft_sole(t), E_NOSPC);
    t->w.disk.capacity = size;
    zk_fence_format(&m->f, 5, 7, FT_SLOTS, &m->op);
    CU_ASSERT_EQUAL(ft_sole(t), 0);
    CU_ASSERT_EQUAL(fake_used(&t->w.disk), size);
    zk_fence_open(&m->f, &m->op);
    CU_ASSERT_EQUAL(ft_sole(t), 0);
    for (uint64_t epoch = 1; epoch + 1 < FT_SLOTS; epoch += 4) {
        zk_fence_claim(&m->f, epoch, 1, epoch, &m->op);
        CU_ASSERT_EQUAL(ft_sole(t), 0);
        zk_fence_serve(&m->f, epoch - 1, 1, 2, &m->op);
        CU_ASSERT_EQUAL(ft_sole(t), 0);
    }
    share_drop(&t->w);
}

UNIT_MAIN("zk_fence", UNIT(test_one_holder_at_a_time), UNIT(test_who_was_overtaken_stays_so),
          UNIT(test_a_full_disk))
