/* tests/unit/test_zk_image.c - state images on storage that several processes share: two with one
 * directory do not spoil each other's, and what could not be read is not thrown away for it. */
#include "journal/snap.h"
#include "tests/unit/test_zk_share.h"

enum { TI_PIECES = 6 };

struct ti_one { /* a process with a snap */
    struct share *w;
    struct journal_host host;
    struct snap *s;
    struct env_op op;
    bool done;
    uint32_t left, resets;
    uint64_t in;
};

static struct share ti_share;

static struct ti_one *ti_of(struct journal_host *h)
{
    return container_of(h, struct ti_one, host);
}

static void ti_begin(struct journal_host *h)
{
    ti_of(h)->left = TI_PIECES;
}

static uint32_t ti_next(struct journal_host *h, void *buf, uint32_t cap)
{
    if (!ti_of(h)->left)
        return 0;
    ti_of(h)->left--;
    memset(buf, 7, cap < 60000 ? cap : 60000);
    return cap < 60000 ? cap : 60000;
}

static void ti_end(struct journal_host *h)
{
    ti_of(h)->left = 0;
}

static int ti_load(struct journal_host *h, const void *piece, uint32_t len)
{
    (void)piece;
    ti_of(h)->in += len;
    return 0;
}

static void ti_reset(struct journal_host *h)
{
    ti_of(h)->resets++;
}

static bool ti_busy(void *ctx)
{
    (void)ctx;
    return true; /* small pieces */
}

static void ti_done(struct env_op *op)
{
    container_of(op, struct ti_one, op)->done = true;
}

static int64_t ti_wait(struct ti_one *t)
{
    for (int k = 0; k < 100000 && !t->done && share_step(t->w); k++)
        ;
    CU_ASSERT_FATAL(t->done);
    t->done = false;
    return t->op.ret;
}

/* a process at place i that has opened the directory */
static void ti_up(struct ti_one *t, struct share *w, uint32_t i, uint64_t tag)
{
    struct snap_config c = {.dir = "d/images/1",
                            .reserve_bytes = 4096,
                            .cluster_hi = 1,
                            .tag = tag,
                            .keeps_unread = true,
                            .busy = ti_busy};
    struct env *e = share_up(w, i);
    *t = (struct ti_one){.w = w, .op.done = ti_done};
    t->host = (struct journal_host){.image_begin = ti_begin,
                                    .image_next = ti_next,
                                    .image_end = ti_end,
                                    .image_load = ti_load,
                                    .image_reset = ti_reset};
    t->s = snap_create(e, &w->m[i].mem, &c, &t->host);
    CU_ASSERT_FATAL(t->s != NULL);
    snap_open(t->s, &t->op);
    CU_ASSERT_EQUAL(ti_wait(t), 0);
}

static bool ti_has(const struct share *w, const char *part)
{
    bool has = false;
    for (uint32_t k = 0; k < w->disk.n_names; k++)
        has |= w->disk.names[k].now >= 0 && strstr(w->disk.names[k].name, part);
    return has;
}

/* One stands still in the middle of an image; another process of the same id writes one and goes,
 * or dies in the middle of it; then the first goes on.  Whatever has an image's name is one. */
static void test_two_writers(void)
{
    struct share *w = &ti_share;
    struct ti_one a, b, c;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        share_init(w, seed);
        ti_up(&a, w, 0, seed * 2 + 1);
        snap_write(a.s, 10, 1, &a.op);
        for (uint64_t k = prng_below(&w->rng, 150); k && !a.done; k--)
            share_step(w);
        w->m[0].paused = true;
        ti_up(&b, w, 1, seed * 2 + 1001);
        snap_write(b.s, 20, 1, &b.op);
        for (uint64_t k = prng_below(&w->rng, 250); k && !b.done; k--)
            share_step(w);
        w->m[1].paused = true;
        w->m[0].paused = false;
        if (!a.done)
            (void)ti_wait(&a);
        if (seed % 3 == 0)
            share_kill(w, 1);
        w->m[1].paused = false;
        bool is_b = seed % 3 && (b.done || ti_wait(&b) == 0) && b.op.ret == 0;
        *w->disk.last_log = 0;
        ti_up(&c, w, 2, 5);
        CU_ASSERT_EQUAL(c.resets, 0); /* none was bad */
        CU_ASSERT(!is_b || snap_index(c.s) == 20);
        CU_ASSERT(!strstr(w->disk.last_log, "image"));
        share_kill(w, 0);
        share_kill(w, 1);
        for (int k = 0; k < 1000; k++) /* what the dead had under way */
            share_step(w);
        snap_reserve(c.s, &c.op);
        CU_ASSERT_EQUAL(ti_wait(&c), 0);
        share_drop(w);
    }
}

/* what others left unfinished goes with the first reserve */
static void test_unfinished_ones_go(void)
{
    struct share *w = &ti_share;
    struct ti_one a;
    share_init(w, 1);
    for (uint64_t life = 0; life < 3; life++) {
        ti_up(&a, w, 0, life * 2 + 1);
        snap_write(a.s, 10, 1, &a.op);
        while (!ti_has(w, "/tmp-") && share_step(w))
            ;
        share_kill(w, 0);
        for (int k = 0; k < 1000; k++)
            share_step(w);
    }
    CU_ASSERT(ti_has(w, "/tmp-"));
    ti_up(&a, w, 0, 99);
    snap_reserve(a.s, &a.op);
    CU_ASSERT_EQUAL(ti_wait(&a), 0);
    CU_ASSERT_FALSE(ti_has(w, "/tmp-"));
    share_drop(w);
}

/* The storage fails while a start reads the images: they stay until there are two newer ones. */
static void test_unread_ones_stay(void)
{
    struct share *w = &ti_share;
    struct ti_one a;
    share_init(w, 1);
    ti_up(&a, w, 0, 1);
    for (uint64_t index = 10; index <= 20; index += 10) {
        snap_write(a.s, index, 1, &a.op);
        CU_ASSERT_EQUAL(ti_wait(&a), 0);
    }
    share_kill(w, 0);
    w->disk.fail_read_in = 1;
    ti_up(&a, w, 0, 3);
    CU_ASSERT_EQUAL(snap_index(a.s), 10);
    for (uint64_t index = 30; index <= 40; index += 10) {
        snap_write(a.s, index, 1, &a.op);
        CU_ASSERT_EQUAL(ti_wait(&a), 0);
        CU_ASSERT_EQUAL(ti_has(w, "image-0000000000000014"), index == 30);
    }
    share_drop(w);
}

UNIT_MAIN("zk_image", UNIT(test_two_writers), UNIT(test_unfinished_ones_go),
          UNIT(test_unread_ones_stay))
