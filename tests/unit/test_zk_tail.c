/* tests/unit/test_zk_tail.c - one process writes a log, another reads it meanwhile: every record
 * once, in order, whatever is under way, whenever a segment ends, and told when it was removed. */
#include "journal/wal.h"
#include "journal/zk_tail.h"
#include "tests/unit/test_zk_share.h"

enum { TT_RECORDS = 4096, TT_BYTES = 20000 };

struct tt_op {
    struct env_op op;
    bool done;
};

struct tt {
    struct share s;
    struct wal *wal;
    struct wal_host host;
    struct zk_tail tail;
    struct zk_owner owner;
    struct tt_op wal_op, look, shut;
    uint32_t len[TT_RECORDS];
    uint64_t appended, durable, trimmed, want; /* want: next one that is to come */
    uint64_t at_look;                          /* durable when the look began */
    bool looking, thorough, refused;
    bool errs; /* reads fail now and then */
    uint32_t refuse_ppm, n_gone, n_come, n_errors;
};

static struct tt tt_one;

static void tt_done(struct env_op *op)
{
    container_of(op, struct tt_op, op)->done = true;
}

static void tt_wait(struct tt *t, struct tt_op *o)
{
    for (int i = 0; i < 400000 && !o->done; i++)
        if (!share_step(&t->s))
            break;
    CU_ASSERT_FATAL(o->done);
}

static void tt_on_record(struct wal_host *h, uint64_t index, const struct log_record *r,
                         const void *bytes)
{
    (void)r;
    (void)bytes;
    container_of(h, struct tt, host)->durable = index;
}

static void tt_on_rejected(struct wal_host *h, uint32_t n, int why)
{
    (void)h;
    (void)n;
    (void)why;
    CU_ASSERT_FATAL(false);
}

static void tt_on_failed(struct wal_host *h, int why)
{
    (void)h;
    (void)why;
    CU_ASSERT_FATAL(false);
}

static void tt_on_space(struct wal_host *h, bool full)
{
    (void)h;
    (void)full;
}

static void tt_on_names(struct wal_host *h, uint64_t first, uint64_t last, struct env_op *op)
{
    zk_owner_tell(&container_of(h, struct tt, host)->owner, first, last, op);
}

static void tt_fill(uint8_t *b, uint64_t index, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        b[i] = (uint8_t)(base_mix_u64(index + i / 8) >> i % 8 * 8);
}

static bool tt_come(void *ctx, uint64_t index, const struct log_record *r, const void *bytes)
{
    static uint8_t b[TT_BYTES];
    struct tt *t = ctx;
    CU_ASSERT_FATAL(index == t->want && index <= t->appended && r->len == t->len[index]);
    if (prng_chance_ppm(&t->s.rng, t->refuse_ppm)) {
        t->refused = true;
        return false;
    }
    tt_fill(b, index, r->len);
    CU_ASSERT_FATAL(!memcmp(b, bytes, r->len));
    t->want++;
    t->n_come++;
    return true;
}

static void tt_init(struct tt *t, uint64_t seed)
{
    memset(t, 0, sizeof *t);
    share_init(&t->s, seed);
    t->s.disk.torn_reads = seed % 2;
    t->s.disk.faults_ppm = seed % 3 ? 0 : 30000;
    t->refuse_ppm = seed % 5 ? 0 : 50000;
    t->errs = seed % 4 == 1;
    t->want = 1;
    t->host =
        (struct wal_host){tt_on_record, tt_on_rejected, tt_on_failed, tt_on_space, tt_on_names};
    struct wal_config wc = {.dir = "d/log",
                            .segment_bytes = 128 << 10,
                            .batch_bytes = 24 << 10,
                            .batches_in_flight = 3,
                            .queue_bytes = 64 << 10,
                            .cluster_hi = 1,
                            .keeps_none = true};
    struct env *a = share_up(&t->s, 0), *b = share_up(&t->s, 1);
    t->wal = wal_create(a, &t->s.m[0].mem, &wc, &t->host);
    t->wal_op.op.done = t->look.op.done = t->shut.op.done = tt_done;
    CU_ASSERT_FATAL(zk_owner_init(&t->owner, a, &t->s.m[0].mem));
    zk_owner_make(&t->owner, "d/log", 3, 1, &t->wal_op.op);
    tt_wait(t, &t->wal_op);
    t->wal_op.done = false;
    wal_recover(t->wal, 1, 0, &t->wal_op.op);
    tt_wait(t, &t->wal_op);
    t->wal_op.done = false;
    wal_recover_start(t->wal, 3, &t->wal_op.op);
    tt_wait(t, &t->wal_op);
    t->wal_op.done = false;
    wal_recover_replay(t->wal, 1, &t->wal_op.op);
    tt_wait(t, &t->wal_op);
    CU_ASSERT_FATAL(zk_tail_init(&t->tail, b, &t->s.m[1].mem));
    t->tail.record = tt_come;
    t->tail.ctx = t;
    zk_tail_start(&t->tail, "d/log", 1);
}

static void tt_append(struct tt *t)
{
    static uint8_t b[TT_BYTES];
    struct prng *r = &t->s.rng;
    uint32_t len = (uint32_t)prng_below(r, prng_below(r, 10) ? 400 : TT_BYTES);
    uint64_t index = t->appended + 1;
    struct env_iov iov = {b, len};
    if (index == TT_RECORDS)
        return;
    tt_fill(b, index, len);
    if (wal_append(t->wal, 0, 3, &iov, 1, &index) == 0)
        t->len[t->appended = index] = len;
}

static void tt_look(struct tt *t)
{
    t->looking = true;
    t->look.done = false;
    t->refused = false;
    t->at_look = t->durable;
    t->thorough = prng_below(&t->s.rng, 2);
    zk_tail_look(&t->tail, t->thorough, &t->look.op);
}

/* from a place that is there */
static void tt_start(struct tt *t)
{
    t->shut.done = false;
    zk_tail_shut(&t->tail, &t->shut.op);
    tt_wait(t, &t->shut);
    t->want = t->trimmed + 1 + prng_below(&t->s.rng, t->durable + 1 - t->trimmed);
    zk_tail_start(&t->tail, "d/log", t->want);
}

static void tt_looked(struct tt *t)
{
    int64_t ret = t->look.op.ret;
    t->looking = false;
    CU_ASSERT_FATAL(t->tail.next == t->want);
    if (ret == E_NOENT) {
        CU_ASSERT_FATAL(t->want <= t->trimmed);
        t->n_gone++;
        tt_start(t);
        return;
    }
    CU_ASSERT_FATAL(ret >= 0 || (ret == E_IO && t->errs));
    t->n_errors += ret < 0;
    if (ret >= 0 && t->thorough && !t->tail.is_more)
        CU_ASSERT_FATAL(t->want > t->at_look);
}

static void tt_act(struct tt *t)
{
    struct prng *r = &t->s.rng;
    uint64_t dice = prng_below(r, 100);
    if (t->looking && t->look.done)
        tt_looked(t);
    else if (dice < 40)
        tt_append(t);
    else if (dice < 60 && !t->looking)
        tt_look(t);
    else if (dice == 60 && prng_below(r, 4) == 0 && t->durable > t->trimmed)
        wal_trim(t->wal, t->trimmed = t->trimmed + prng_below(r, t->durable - t->trimmed));
    else if (dice == 61 && !t->looking && prng_below(r, 8) == 0)
        tt_start(t);
    else if (dice == 62 && t->errs)
        t->s.disk.fail_read_in = 1 + (int)prng_below(r, 30);
    else
        share_step(&t->s);
}

static void test_every_record_once(void)
{
    struct tt *t = &tt_one;
    uint64_t come = 0, gone = 0, errors = 0;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        tt_init(t, seed);
        for (int k = 0; k < 8000; k++)
            tt_act(t);
        while (t->looking) {
            tt_wait(t, &t->look);
            tt_looked(t);
        }
        t->refuse_ppm = 0;
        t->s.disk.fail_read_in = 0;
        for (int k = 0; k < 20000 && (t->durable < t->appended || t->want <= t->durable); k++) {
            if (!t->looking)
                tt_look(t);
            share_step(&t->s);
            if (t->look.done)
                tt_looked(t);
        }
        CU_ASSERT_EQUAL(t->want, t->appended + 1);
        come += t->n_come;
        gone += t->n_gone;
        errors += t->n_errors;
        share_drop(&t->s);
    }
    CU_ASSERT(come > 50000 && gone > 20 && errors > 20);
}

UNIT_MAIN("zk_tail", UNIT(test_every_record_once))
