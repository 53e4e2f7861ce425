/* tests/unit/test_journal_host.h - the host of a journal, and the truth about it that survives
 * every crash; the room (the simulated world or the fake disk) is the including header's.
 *
 * Always checked: records come in index order without gaps, each is one that was submitted, byte
 * for byte, in the order of submission; a record that was ever applied keeps its index for ever
 * (an apply says that it is durable); a leader has all of them; epochs rise; an image is what was
 * cut; answers come in order and after the apply. */
#ifndef TESTS_UNIT_TEST_JOURNAL_HOST_H
#define TESTS_UNIT_TEST_JOURNAL_HOST_H

#include "core/fmt.h"
#include "core/prng.h"
#include "journal/journal.h"
#include "journal/log_format.h"
#include "tests/unit/unit.h"

enum { WORLD_RECORDS = 1 << 19, WORLD_SUBMITS = 64 };
#define WORLD_MS 1000000LL

struct world_submit {
    struct env_op op;
    struct world *w;
    uint64_t id;
    bool busy;
};

struct world {
    struct mem mem;
    struct sim *s; /* the room: either these two */
    struct sim_node *n;
    struct fake *f; /* or this */
    struct journal *j;
    struct journal_host host;
    struct journal_config cfg;
    struct prng rng;
    /* the truth, across restarts */
    uint64_t *id_at, *roll_at; /* by index: record's id, rolling hash up to it */
    uint64_t seen, next_id, last_epoch;
    uint32_t acks, refused;
    int last_refusal;
    /* the host's state, gone with its process */
    uint64_t applied, acked, roll, epoch;
    enum journal_role role;
    int why;
    uint64_t cut_index, cut_roll;
    uint32_t pieces_left, image_filler, loaded_pieces;
    uint64_t image_out;    /* bytes that image_next gave */
    int refuse_images;     /* image_load says no that many times */
    int refuse_why;        /* with this; 0: E_PROTO */
    uint32_t refuse_piece; /* so does this one, if not 0 */
    struct world_submit submits[WORLD_SUBMITS];
    struct env_op image_op, stop_op, barrier_op;
    bool imaging, stopped, barred, no_reset;
    int64_t patience; /* what is left of it, in the room's unit */
    int64_t image_ret;
    uint32_t images; /* written */
    char last_warning[1024], last_error[1024];
    uint32_t warnings;
    bool bad; /* an expectation failed */
};

#define EXPECT(w, cond)                                                                          \
    do {                                                                                         \
        if (!(cond) && !(w)->bad) {                                                              \
            (w)->bad = true;                                                                     \
            fprintf(stderr, "expectation failed at line %d: %s\n", __LINE__, #cond);             \
            fprintf(stderr, "  warning: %s\n  error: %s\n", (w)->last_warning, (w)->last_error); \
        }                                                                                        \
    } while (0)

static struct world *world_of(struct journal_host *h)
{
    return container_of(h, struct world, host);
}

static void world_fill(uint8_t *b, uint64_t id, uint32_t len)
{
    uint8_t word[8];
    for (uint32_t i = 0; i < len; i += 8) {
        base_put_u64(word, i ? base_mix_u64(id + i) : id);
        memcpy(b + i, word, len - i < 8 ? len - i : 8);
    }
}

static void world_apply(struct journal_host *h, uint64_t index, const void *rec, uint32_t len)
{
    struct world *w = world_of(h);
    static uint8_t want[JOURNAL_RECORD_MAX];
    EXPECT(w, index == w->applied + 1 && index < WORLD_RECORDS);
    EXPECT(w, len >= 8 && len <= sizeof want);
    if (w->bad)
        return;
    uint64_t id = base_get_u64(rec);
    EXPECT(w, id < w->next_id);
    world_fill(want, id, len);
    EXPECT(w, !memcmp(want, rec, len));
    EXPECT(w, index > w->seen || w->id_at[index] == id);
    EXPECT(w, index == 1 || w->id_at[index - 1] < id);
    w->applied = index;
    w->roll = base_mix_u64(w->roll ^ id);
    w->id_at[index] = id;
    w->roll_at[index] = w->roll;
    w->seen = base_max_u64(w->seen, index);
}

static void world_role(struct journal_host *h, enum journal_role role, uint64_t epoch, int why)
{
    struct world *w = world_of(h);
    w->role = role;
    w->why = why;
    if (role != JOURNAL_LEADER)
        return;
    EXPECT(w, w->applied == w->seen);
    EXPECT(w, epoch > w->last_epoch);
    w->epoch = w->last_epoch = epoch;
    w->acked = w->applied;
}

static void world_image_begin(struct journal_host *h)
{
    struct world *w = world_of(h);
    w->cut_index = w->applied;
    w->cut_roll = w->roll;
    w->pieces_left = 2 + w->image_filler;
}

static uint32_t world_image_next(struct journal_host *h, void *buf, uint32_t cap)
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
    w->image_out += n;
    memset(buf, 0x5a, n);
    return n;
}

static void world_image_end(struct journal_host *h)
{
    world_of(h)->pieces_left = 0;
}

static int world_image_load(struct journal_host *h, const void *piece, uint32_t len)
{
    struct world *w = world_of(h);
    EXPECT(w, w->applied == 0 || len == 0 || w->cfg.check_only);
    if (++w->loaded_pieces == w->refuse_piece)
        return w->refuse_why;
    if (len == 16) {
        if (w->refuse_images && w->refuse_images--)
            return w->refuse_why ? w->refuse_why : E_PROTO;
        w->applied = base_get_u64(piece);
        w->roll = base_get_u64((const uint8_t *)piece + 8);
        EXPECT(w, w->applied <= w->seen && w->roll_at[w->applied] == w->roll);
    }
    return 0;
}

static void world_image_reset(struct journal_host *h)
{
    world_of(h)->applied = world_of(h)->roll = 0;
}

static void world_submit_done(struct env_op *op)
{
    struct world_submit *s = container_of(op, struct world_submit, op);
    struct world *w = s->w;
    s->busy = false;
    if (op->ret < 0) {
        w->refused++;
        w->last_refusal = (int)op->ret;
        return;
    }
    uint64_t index = (uint64_t)op->ret;
    EXPECT(w, index == w->acked + 1 && index == w->applied);
    EXPECT(w, w->id_at[index] == s->id);
    w->acked = index;
    w->acks++;
}

static bool world_submit(struct world *w, uint32_t len)
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
        memset(b, 0xee, len); /* copied by now */
        return true;
    }
    return false;
}

static void world_image_done(struct env_op *op)
{
    struct world *w = container_of(op, struct world, image_op);
    w->imaging = false;
    w->image_ret = op->ret;
    w->images += op->ret > 0;
}

static void world_stop_done(struct env_op *op)
{
    container_of(op, struct world, stop_op)->stopped = true;
}

static UNUSED void world_barrier_done(struct env_op *op)
{
    container_of(op, struct world, barrier_op)->barred = true;
}

/* the room's: one event; false when nothing more will happen, or the patience of a test is over */
static bool world_step(struct world *w);
static void world_patience(struct world *w);

/* no room yet */
static void world_init_truth(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
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

static void world_open_in(struct world *w, struct env *e, struct mem *m)
{
    memset(w->submits, 0, sizeof w->submits);
    w->applied = w->acked = w->roll = w->epoch = 0;
    w->role = JOURNAL_STARTING;
    w->why = 0;
    w->imaging = w->stopped = w->barred = false;
    w->loaded_pieces = w->pieces_left = 0;
    w->host = (struct journal_host){.apply = world_apply,
                                    .role = world_role,
                                    .image_begin = world_image_begin,
                                    .image_next = world_image_next,
                                    .image_end = world_image_end,
                                    .image_load = world_image_load,
                                    .image_reset = w->no_reset ? NULL : world_image_reset};
    w->j = local_open(e, m, &w->cfg, &w->host);
    CU_ASSERT_PTR_NOT_NULL_FATAL(w->j);
}

/* until it leads or has failed */
static bool world_until_role(struct world *w)
{
    world_patience(w);
    while (w->role == JOURNAL_STARTING && world_step(w))
        ;
    return w->role == JOURNAL_LEADER;
}

static void world_until_stopped(struct world *w)
{
    w->stop_op.done = world_stop_done;
    journal_stop(w->j, &w->stop_op);
    world_patience(w);
    while (!w->stopped && world_step(w))
        ;
    CU_ASSERT(w->stopped);
    for (int i = 0; i < WORLD_SUBMITS; i++)
        CU_ASSERT_FALSE(w->submits[i].busy);
}

static UNUSED void world_image_submit(struct world *w)
{
    w->image_op.done = world_image_done;
    w->imaging = true;
    journal_image_now(w->j, &w->image_op);
}

static UNUSED bool world_image(struct world *w)
{
    world_image_submit(w);
    world_patience(w);
    while (w->imaging && world_step(w))
        ;
    return !w->imaging && w->image_ret > 0;
}

static uint32_t world_busy(const struct world *w)
{
    uint32_t n = 0;
    for (int i = 0; i < WORLD_SUBMITS; i++)
        n += w->submits[i].busy;
    return n;
}

/* submits n records, never more than half the queue takes, and waits for the answers */
static UNUSED void world_put(struct world *w, uint32_t n, uint32_t len)
{
    uint32_t want = w->acks + w->refused + n;
    world_patience(w);
    for (uint32_t i = 0; i < n; i++) {
        while (world_busy(w) * (len + 16) > w->cfg.queue_bytes / 2 || !world_submit(w, len))
            if (!world_step(w))
                return;
        if (prng_below(&w->rng, 3) == 0)
            world_step(w);
    }
    while (w->acks + w->refused < want && world_step(w))
        ;
}

static UNUSED struct journal_status world_status(struct world *w)
{
    struct journal_status st;
    journal_status(w->j, &st);
    return st;
}

static void world_drop_truth(struct world *w)
{
    CU_ASSERT(!w->bad);
    free(w->id_at);
    free(w->roll_at);
}

#endif
