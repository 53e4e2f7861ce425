/* tests/unit/test_journal_world.h - a local journal on a hostile disk, with a host that knows what
 * must be true of it: every acknowledged record is there, in order, without gaps; nothing appears
 * that was not submitted; a block of the log that holds something is only ever overwritten with
 * zeros. */
#ifndef TESTS_UNIT_TEST_JOURNAL_WORLD_H
#define TESTS_UNIT_TEST_JOURNAL_WORLD_H

#include "core/crc.h"
#include "journal/journal.h"
#include "journal/log_format.h"
#include "tests/unit/test_wal_fake.h"

enum { WORLD_RECORDS = 1 << 20, WORLD_SUBMITS = 64 };

struct world_submit {
    struct env_op op;
    struct world *w;
    uint64_t id;
    bool busy;
};

/* One master's journal and what must be true of it. */
struct world {
    struct fake *f;
    struct mem mem;
    struct journal *j;
    struct journal_host host;
    struct journal_config cfg;
    struct prng rng;
    /* the truth, across restarts */
    uint64_t *id_at, *roll_at; /* by index: record's id, rolling hash up to it */
    uint64_t acked, seen, next_id;
    /* the host's state, gone with its process */
    uint64_t applied, roll, epoch, last_epoch;
    enum journal_role role;
    int why;
    uint64_t cut_index, cut_roll;
    uint32_t pieces_left, image_filler, loaded_pieces;
    uint32_t acks, refused, last_error;
    struct world_submit submits[WORLD_SUBMITS];
    struct env_op image_op, stop_op, barrier_op;
    bool imaging, stopped, barred;
    int64_t image_ret;
    bool bad; /* an expectation failed */
};

#define EXPECT(w, cond)                                                         \
    do {                                                                        \
        if (!(cond) && !(w)->bad) {                                             \
            (w)->bad = true;                                                    \
            fprintf(stderr, "expectation failed at %d: %s\n", __LINE__, #cond); \
        }                                                                       \
    } while (0)

static struct world *world_of(struct journal_host *h)
{
    return container_of(h, struct world, host);
}

static UNUSED uint32_t world_fill(uint8_t *b, uint64_t id, uint32_t len)
{
    for (uint32_t i = 0; i < len; i += 8)
        base_put_u64(b + i, base_mix_u64(id + i));
    base_put_u64(b, id);
    return len;
}

static UNUSED void world_apply(struct journal_host *h, uint64_t index, const void *rec,
                               uint32_t len)
{
    struct world *w = world_of(h);
    uint8_t want[JOURNAL_RECORD_MAX + 8];
    EXPECT(w, len >= 8);
    uint64_t id = base_get_u64(rec);
    EXPECT(w, index == w->applied + 1);
    EXPECT(w, id < w->next_id);
    world_fill(want, id, len);
    EXPECT(w, !memcmp(want, rec, len));
    if (index <= w->seen && index <= w->acked)
        EXPECT(w, w->id_at[index] == id);
    EXPECT(w, index == 1 || w->id_at[index - 1] < id);
    w->applied = index;
    w->roll = base_mix_u64(w->roll ^ id);
    w->id_at[index] = id;
    w->roll_at[index] = w->roll;
    w->seen = base_max_u64(w->seen, index);
}

static UNUSED void world_role(struct journal_host *h, enum journal_role role, uint64_t epoch,
                              int why)
{
    struct world *w = world_of(h);
    w->role = role;
    w->why = why;
    if (role != JOURNAL_LEADER)
        return;
    EXPECT(w, w->applied >= w->acked);
    EXPECT(w, epoch > w->last_epoch);
    w->epoch = w->last_epoch = epoch;
    w->acked = w->applied; /* served from now on, so it must stay */
    w->seen = w->applied;
}

static UNUSED void world_image_begin(struct journal_host *h)
{
    struct world *w = world_of(h);
    w->cut_index = w->applied;
    w->cut_roll = w->roll;
    w->pieces_left = 2 + w->image_filler;
}

static UNUSED uint32_t world_image_next(struct journal_host *h, void *buf, uint32_t cap)
{
    struct world *w = world_of(h);
    EXPECT(w, cap >= JOURNAL_PIECE_MIN);
    if (!w->pieces_left)
        return 0;
    if (--w->pieces_left == 0) {
        base_put_u64(buf, w->cut_index);
        base_put_u64((uint8_t *)buf + 8, w->cut_roll);
        return 16;
    }
    uint32_t n = w->pieces_left % 7 == 6 ? cap : 17 + w->pieces_left * 131 % 3000;
    memset(buf, 0x5a, n);
    return n;
}

static UNUSED void world_image_end(struct journal_host *h)
{
    world_of(h)->pieces_left = 0;
}

static UNUSED int world_image_load(struct journal_host *h, const void *piece, uint32_t len)
{
    struct world *w = world_of(h);
    EXPECT(w, w->applied == 0 || len == 0);
    w->loaded_pieces++;
    if (len == 16) {
        w->applied = base_get_u64(piece);
        w->roll = base_get_u64((const uint8_t *)piece + 8);
        EXPECT(w, w->applied <= w->seen && w->roll_at[w->applied] == w->roll);
    }
    return 0;
}

static UNUSED void world_image_reset(struct journal_host *h)
{
    world_of(h)->applied = world_of(h)->roll = 0;
}

static UNUSED void world_submit_done(struct env_op *op)
{
    struct world_submit *s = container_of(op, struct world_submit, op);
    struct world *w = s->w;
    s->busy = false;
    if (op->ret < 0) {
        w->refused++;
        w->last_error = (uint32_t)-op->ret;
        return;
    }
    uint64_t index = (uint64_t)op->ret;
    EXPECT(w, index == w->acked + 1 && index == w->applied);
    EXPECT(w, w->id_at[index] == s->id);
    w->acked = index;
    w->acks++;
}

static UNUSED bool world_submit(struct world *w, uint32_t len)
{
    static uint8_t b[JOURNAL_RECORD_MAX + 64];
    for (int i = 0; i < WORLD_SUBMITS; i++) {
        struct world_submit *s = &w->submits[i];
        if (s->busy)
            continue;
        s->busy = true;
        s->w = w;
        s->id = w->next_id++;
        s->op.done = world_submit_done;
        world_fill(b, s->id, len);
        journal_submit(w->j, b, len, &s->op);
        return true;
    }
    return false;
}

static UNUSED void world_image_done(struct env_op *op)
{
    struct world *w = container_of(op, struct world, image_op);
    w->imaging = false;
    w->image_ret = op->ret;
}

static UNUSED void world_stop_done(struct env_op *op)
{
    container_of(op, struct world, stop_op)->stopped = true;
}

static UNUSED void world_barrier_done(struct env_op *op)
{
    container_of(op, struct world, barrier_op)->barred = true;
}

static UNUSED void world_open(struct world *w)
{
    unit_mem(&w->mem, 256 << 20);
    memset(w->submits, 0, sizeof w->submits);
    w->applied = w->roll = 0;
    w->role = JOURNAL_STARTING;
    w->why = 0;
    w->imaging = w->stopped = w->barred = false;
    w->loaded_pieces = 0;
    w->host = (struct journal_host){.apply = world_apply,
                                    .role = world_role,
                                    .image_begin = world_image_begin,
                                    .image_next = world_image_next,
                                    .image_end = world_image_end,
                                    .image_load = world_image_load};
    if (w->next_id % 2)
        w->host.image_reset = world_image_reset;
    w->j = local_open(&w->f->env, &w->mem, &w->cfg, &w->host);
    CU_ASSERT_PTR_NOT_NULL_FATAL(w->j);
}

static UNUSED void world_crash(struct world *w, bool power)
{
    if (power)
        fake_power_loss(w->f);
    else
        fake_kill(w->f);
    mem_drop(&w->mem);
    w->j = NULL;
}

static UNUSED bool world_until_role(struct world *w)
{
    for (int i = 0; i < 200000 && w->role == JOURNAL_STARTING; i++)
        if (!fake_step(w->f))
            break;
    return w->role == JOURNAL_LEADER;
}

/* everything that can happen without more input; timers go on for a while */
static UNUSED void world_settle(struct world *w)
{
    for (int i = 0; i < 20000; i++)
        if (!fake_step(w->f))
            break;
    (void)w;
}

static UNUSED void world_stop(struct world *w)
{
    w->stop_op.done = world_stop_done;
    journal_stop(w->j, &w->stop_op);
    for (int i = 0; i < 100000 && !w->stopped; i++)
        if (!fake_step(w->f))
            break;
    CU_ASSERT(w->stopped);
    if (w->stopped) {
        CU_ASSERT_EQUAL(w->f->n_ops, 0);
        for (unsigned k = 0; k < ARRAY_LEN(w->f->open_files); k++)
            CU_ASSERT_PTR_NULL(w->f->open_files[k]);
    }
    mem_drop(&w->mem);
    fake_forget(w->f);
    w->j = NULL;
}

static UNUSED bool world_image(struct world *w)
{
    w->image_op.done = world_image_done;
    w->imaging = true;
    journal_image_now(w->j, &w->image_op);
    for (int i = 0; i < 20000 && w->imaging; i++)
        fake_step(w->f);
    return !w->imaging && w->image_ret > 0;
}

static UNUSED void world_put(struct world *w, uint32_t n, uint32_t len)
{
    uint32_t want = w->acks + w->refused + n;
    for (uint32_t i = 0; i < n; i++) {
        while (!world_submit(w, len))
            fake_step(w->f);
        if (prng_below(&w->rng, 3) == 0)
            fake_step(w->f);
    }
    for (int i = 0; i < 100000 && w->acks + w->refused < want; i++)
        if (!fake_step(w->f))
            break;
}

static UNUSED void world_on_write(struct fake *f, const char *name, const void *b, uint32_t len,
                                  uint64_t off);

static UNUSED void world_init(struct world *w, struct fake *f, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    fake_init(f, seed);
    w->f = f;
    f->on_write = world_on_write;
    prng_seed(&w->rng, seed, "world", 0);
    w->id_at = calloc(WORLD_RECORDS, sizeof *w->id_at);
    w->roll_at = calloc(WORLD_RECORDS, sizeof *w->roll_at);
    w->next_id = 1;
    w->cfg = journal_config_default();
    w->cfg.dir = "j";
    w->cfg.segment_bytes = 64 << 10;
    w->cfg.batch_bytes = 8 << 10;
    w->cfg.batches_in_flight = 3;
    w->cfg.queue_bytes = 32 << 10;
    w->cfg.image_after_bytes = 96 << 10;
    w->cfg.cluster_hi = 1;
    w->cfg.cluster_lo = 2;
}

static UNUSED void world_drop(struct world *w)
{
    CU_ASSERT(!w->bad);
    if (w->j)
        world_crash(w, false);
    fake_drop(w->f);
    free(w->id_at);
    free(w->roll_at);
}

static struct world world_one;
static struct fake fake_one;

/* a block of a segment that holds something may only become zeros */
static UNUSED void world_on_write(struct fake *f, const char *name, const void *b, uint32_t len,
                                  uint64_t off)
{
    static const uint8_t zero[LOG_BLOCK];
    struct fake_inode *n = fake_file(f, name);
    if (strncmp(name, "j/wal-", 6) || !n)
        return;
    for (uint32_t at = 0; at < len && off + at < n->size; at += LOG_BLOCK)
        EXPECT(&world_one, !memcmp(n->now + off + at, zero, LOG_BLOCK) ||
                               !memcmp((const uint8_t *)b + at, zero, LOG_BLOCK));
}

#endif
