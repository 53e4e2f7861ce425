/* tests/unit/test_wal_log.h - a write-ahead log alone, on the hostile disk in memory or in the
 * simulated world, and what it was given.
 *
 * Always checked: record() is called for 1, 2, 3, ... with the very bytes, type and epoch that were
 * appended in that place; what was handed out once is there after every crash. */
#ifndef TESTS_UNIT_TEST_WAL_LOG_H
#define TESTS_UNIT_TEST_WAL_LOG_H

#include "journal/wal.h"
#include "sim/sim.h"
#include "tests/unit/test_wal_fake.h"

enum { TLOG_RECORDS = 1 << 16, TLOG_BYTES = 64 * 1024 };

struct tlog_record {
    uint64_t epoch, id; /* the bytes follow from the id */
    uint32_t len;
    uint8_t type;
};

struct tlog {
    /* the room: either of the two */
    struct fake *f;
    struct sim *s;
    struct sim_node *n;
    struct env *env;
    struct mem own, *mem;
    struct wal_config cfg;
    struct wal_host host;
    struct wal *wal;
    struct prng rng;
    struct tlog_record *at; /* by place */
    uint64_t next_id, epoch;
    uint64_t appended, seen; /* last place given out; and ever handed out by record() */
    uint64_t handed;         /* by this process */
    int failed;
    bool full;
};

struct tlog_op {
    struct env_op op;
    bool done;
};

static void tlog_op_done(struct env_op *op)
{
    container_of(op, struct tlog_op, op)->done = true;
}

static UNUSED bool tlog_step(struct tlog *t)
{
    return t->s ? sim_step(t->s) : fake_step(t->f);
}

/* runs until o is done; false: it never is */
static UNUSED bool tlog_wait(struct tlog *t, struct tlog_op *o)
{
    for (int i = 0; i < 4000000 && !o->done; i++)
        if (!tlog_step(t))
            break;
    return o->done;
}

static void tlog_fill(uint8_t *b, uint64_t id, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        b[i] = (uint8_t)(base_mix_u64(id + i / 8) >> i % 8 * 8);
}

/* is it the record of that place? */
static bool tlog_is(const struct tlog *t, uint64_t place, const struct log_record *r,
                    const void *bytes)
{
    static uint8_t want[TLOG_BYTES];
    const struct tlog_record *m = &t->at[place];
    if (place == 0 || place > t->appended || r->len != m->len || r->type != m->type ||
        r->epoch != m->epoch)
        return false;
    tlog_fill(want, m->id, m->len);
    return !memcmp(want, bytes, m->len);
}

static void tlog_on_record(struct wal_host *h, uint64_t index, const struct log_record *r,
                           const void *bytes)
{
    struct tlog *t = container_of(h, struct tlog, host);
    CU_ASSERT_FATAL(index == t->handed + 1);
    CU_ASSERT_FATAL(tlog_is(t, index, r, bytes));
    t->handed = index;
    t->seen = base_max_u64(t->seen, index);
}

static void tlog_on_rejected(struct wal_host *h, uint32_t n, int why)
{
    struct tlog *t = container_of(h, struct tlog, host);
    CU_ASSERT(why < 0 && n <= t->appended - t->handed);
    t->appended -= n;
}

static void tlog_on_failed(struct wal_host *h, int why)
{
    container_of(h, struct tlog, host)->failed = why;
}

static void tlog_on_space(struct wal_host *h, bool full)
{
    container_of(h, struct tlog, host)->full = full;
}

static void tlog_init(struct tlog *t, uint64_t seed)
{
    memset(t, 0, sizeof *t);
    prng_seed(&t->rng, seed, "tlog", 0);
    t->at = calloc(TLOG_RECORDS, sizeof *t->at);
    t->host = (struct wal_host){.record = tlog_on_record,
                                .rejected = tlog_on_rejected,
                                .failed = tlog_on_failed,
                                .space = tlog_on_space};
    t->cfg = (struct wal_config){.dir = "j",
                                 .segment_bytes = 256 * 1024,
                                 .batch_bytes = 16 * 1024,
                                 .batches_in_flight = 3,
                                 .queue_bytes = 64 * 1024,
                                 .cluster_hi = 1,
                                 .cluster_lo = 2};
}

static UNUSED void tlog_init_fake(struct tlog *t, struct fake *f, uint64_t seed)
{
    tlog_init(t, seed);
    fake_init(f, seed);
    t->f = f;
}

static UNUSED void tlog_init_sim(struct tlog *t, const struct sim_config *sc)
{
    tlog_init(t, sc->seed);
    unit_mem(&t->own, 1 << 30);
    t->s = sim_open(&t->own, sc);
    t->n = sim_node_add(t->s, "m");
}

/* from place `from` on: what the log holds is handed out; false: it does not start */
static UNUSED bool tlog_open(struct tlog *t, uint64_t from)
{
    if (t->s) {
        t->env = sim_node_up(t->n);
        t->mem = sim_mem(t->n);
    } else {
        t->env = &t->f->env;
        unit_mem(&t->own, 256 << 20);
        t->mem = &t->own;
    }
    t->failed = 0;
    t->wal = wal_create(t->env, t->mem, &t->cfg, &t->host);
    CU_ASSERT_FATAL(t->wal != NULL);
    struct tlog_op o = {.op.done = tlog_op_done};
    wal_recover(t->wal, from, from - 1, &o.op);
    if (!tlog_wait(t, &o) || o.op.ret)
        return false;
    CU_ASSERT_FATAL(wal_last_index(t->wal) >= t->seen && wal_last_index(t->wal) <= t->appended);
    t->appended = wal_last_index(t->wal); /* what is behind it was never handed out */
    CU_ASSERT(t->appended == 0 || wal_epoch(t->wal) >= t->at[t->appended].epoch);
    o.done = false;
    wal_recover_start(t->wal, t->epoch, &o.op);
    if (!tlog_wait(t, &o) || o.op.ret)
        return false;
    CU_ASSERT_FATAL(wal_durable(t->wal) == t->appended);
    t->handed = from - 1;
    o.done = false;
    wal_recover_replay(t->wal, from, &o.op);
    return tlog_wait(t, &o) && o.op.ret == 0 && t->handed == t->appended;
}

/* one record, in up to four pieces, of any epoch; what wal_append said */
static UNUSED int tlog_append(struct tlog *t, uint32_t len)
{
    static uint8_t b[TLOG_BYTES];
    struct env_iov iov[4];
    unsigned n = 1 + (unsigned)prng_below(&t->rng, 4);
    struct tlog_record m = {.epoch = t->epoch - prng_below(&t->rng, t->epoch / 2 + 1),
                            .id = t->next_id++,
                            .len = len,
                            .type = (uint8_t)prng_below(&t->rng, 5)};
    uint64_t place;
    uint32_t at = 0;
    tlog_fill(b, m.id, len);
    for (unsigned i = 0; i < n; i++) {
        uint32_t part = i + 1 == n ? len - at : (uint32_t)prng_below(&t->rng, len - at + 1);
        iov[i] = (struct env_iov){b + at, part};
        at += part;
    }
    int ret = wal_append(t->wal, m.type, m.epoch, iov, n, &place);
    memset(b, 0xee, len); /* copied by now */
    if (ret)
        return ret;
    CU_ASSERT_FATAL(place == t->appended + 1 && place < TLOG_RECORDS);
    t->at[place] = m;
    t->appended = place;
    CU_ASSERT(wal_epoch(t->wal) >= m.epoch);
    return 0;
}

static UNUSED void tlog_stop(struct tlog *t)
{
    struct tlog_op o = {.op.done = tlog_op_done};
    wal_stop(t->wal, &o.op);
    CU_ASSERT_FATAL(tlog_wait(t, &o));
    wal_free(t->wal);
    t->wal = NULL;
    if (t->f) {
        CU_ASSERT_EQUAL(t->f->n_ops, 0);
        for (unsigned k = 0; k < ARRAY_LEN(t->f->open_files); k++)
            CU_ASSERT_PTR_NULL(t->f->open_files[k]);
        CU_ASSERT(list_empty(&t->own.large));
        mem_drop(&t->own);
        fake_forget(t->f);
    } else {
        CU_ASSERT(list_empty(&t->mem->large));
        sim_node_crash(t->n);
    }
}

static UNUSED void tlog_crash(struct tlog *t, bool power)
{
    if (t->s && power) {
        sim_node_power_loss(t->n);
    } else if (t->s) {
        sim_node_crash(t->n);
    } else {
        if (power)
            fake_power_loss(t->f);
        else
            fake_kill(t->f);
        mem_drop(&t->own);
    }
    t->wal = NULL;
}

static UNUSED void tlog_drop(struct tlog *t)
{
    if (t->wal)
        tlog_crash(t, false);
    if (t->s) {
        sim_close(t->s);
        mem_drop(&t->own);
    } else {
        fake_drop(t->f);
    }
    free(t->at);
}

#endif
