/* tests/unit/test_wal_cursor.c - a log that many use at once: records of any epoch in pieces, and
 * readers of it while it runs. */
#include "journal/wal_cursor.h"
#include "journal/wal_read.h"
#include "tests/unit/test_wal_log.h"

static struct tlog log_one;
static struct fake log_disk;

static void test_pieces_and_epochs_come_back(void)
{
    struct tlog *t = &log_one;
    tlog_init_fake(t, &log_disk, 3);
    t->epoch = 5;
    CU_ASSERT_FATAL(tlog_open(t, 1));
    for (int life = 0; life < 4; life++) {
        for (int i = 0; i < 300; i++) {
            uint32_t len = (uint32_t)prng_below(&t->rng, i % 10 ? 300 : 15000);
            while (tlog_append(t, len) == E_AGAIN)
                CU_ASSERT_FATAL(tlog_step(t));
            if (i % 50 == 7)
                t->epoch += 3;
            if (i % 3 == 0)
                tlog_step(t);
        }
        if (life == 3)
            break;
        tlog_crash(t, life != 1);
        CU_ASSERT_FATAL(tlog_open(t, 1));
        CU_ASSERT_FATAL(wal_epoch(t->wal) >= t->at[t->seen].epoch);
    }
    for (int i = 0; i < 20000 && t->handed < t->appended; i++)
        tlog_step(t);
    CU_ASSERT_EQUAL(t->handed, t->appended);
    CU_ASSERT_EQUAL(wal_durable(t->wal), t->appended);
    tlog_stop(t);
    CU_ASSERT_FATAL(tlog_open(t, 1));
    tlog_stop(t);
    tlog_drop(t);
}

static void test_what_is_too_big_or_too_much_is_refused(void)
{
    struct tlog *t = &log_one;
    tlog_init_fake(t, &log_disk, 4);
    CU_ASSERT_FATAL(tlog_open(t, 1));
    CU_ASSERT_EQUAL(tlog_append(t, t->cfg.batch_bytes - 23), E_TOOBIG);
    struct env_iov huge[2] = {{t->at, SIZE_MAX}, {t->at, 2}};
    uint64_t place;
    CU_ASSERT_EQUAL(wal_append(t->wal, 0, 1, huge, 2, &place), E_TOOBIG);
    int ret, n = 0;
    while ((ret = tlog_append(t, 1000)) == 0)
        n++;
    CU_ASSERT_EQUAL(ret, E_AGAIN);
    CU_ASSERT_EQUAL(n, 64 * 1024 / 1016);
    tlog_stop(t);
    CU_ASSERT_EQUAL(t->handed, (uint64_t)n);
    tlog_drop(t);
}

/* --- reading beside --- */

struct reader {
    struct tlog *t;
    struct wal_cursor *c;
    struct env_op op, close_op;
    bool busy, closing, closed, no_mem;
    uint64_t from, durable; /* of the read under way; what was durable when it began */
    uint32_t n, bytes, max_bytes, max_records;
    int64_t ret;
    uint64_t trimmed, total;
};

static void reader_record(void *ctx, uint64_t index, const struct log_record *r, const void *bytes)
{
    struct reader *d = ctx;
    CU_ASSERT_FATAL(d->busy && !d->closed);
    CU_ASSERT_FATAL(index == d->from + d->n);
    CU_ASSERT_FATAL(index <= wal_durable(d->t->wal) && index <= d->t->handed);
    CU_ASSERT_FATAL(tlog_is(d->t, index, r, bytes));
    d->n++;
    d->bytes += r->len;
}

static void reader_done(struct env_op *op)
{
    struct reader *d = container_of(op, struct reader, op);
    d->busy = false;
    d->ret = op->ret;
    d->total += d->n;
    if (d->closing && d->ret == E_CANCELLED)
        return;
    if (d->ret == E_NOENT) { /* only ever of what was let go */
        CU_ASSERT_FATAL(d->n == 0 && d->from <= d->trimmed);
    } else if (d->ret >= 0) {
        CU_ASSERT_FATAL(d->ret == d->n && d->n <= d->max_records);
        CU_ASSERT_FATAL(d->bytes <= d->max_bytes || d->n == 1);
        CU_ASSERT_FATAL(d->n > 0 || d->from > d->durable);
    }
}

static void reader_closed(struct env_op *op)
{
    struct reader *d = container_of(op, struct reader, close_op);
    CU_ASSERT_FATAL(!d->busy);
    d->closed = true;
    d->c = NULL;
}

static void reader_open(struct reader *d, struct tlog *t)
{
    *d = (struct reader){.t = t, .op.done = reader_done, .close_op.done = reader_closed};
    d->c = wal_cursor_open(t->wal);
    CU_ASSERT_FATAL(d->c != NULL);
}

static void reader_read(struct reader *d, uint64_t from, uint32_t max_bytes, uint32_t max_records)
{
    d->busy = true;
    d->from = from;
    d->durable = wal_durable(d->t->wal);
    d->n = d->bytes = 0;
    d->max_bytes = max_bytes;
    d->max_records = max_records;
    wal_cursor_read(d->c, from, max_bytes, max_records, reader_record, d, &d->op);
}

static void reader_wait(struct reader *d)
{
    for (int i = 0; i < 200000 && d->busy; i++)
        CU_ASSERT_FATAL(tlog_step(d->t));
    CU_ASSERT_FATAL(!d->busy);
}

static void reader_close(struct reader *d)
{
    d->closing = true;
    wal_cursor_close(d->c, &d->close_op);
}

static void reader_gone(struct reader *d)
{
    if (!d->closing)
        reader_close(d);
    for (int i = 0; i < 200000 && !d->closed; i++)
        CU_ASSERT_FATAL(tlog_step(d->t));
    CU_ASSERT_FATAL(d->closed);
}

/* appends n records and waits until they are durable */
static void grow(struct tlog *t, int n, uint32_t len)
{
    for (int i = 0; i < n; i++)
        while (tlog_append(t, len) == E_AGAIN)
            CU_ASSERT_FATAL(tlog_step(t));
    for (int i = 0; i < 200000 && t->handed < t->appended; i++)
        CU_ASSERT_FATAL(tlog_step(t));
    CU_ASSERT_FATAL(t->handed == t->appended);
}

static void settle(struct tlog *t, int n)
{
    while (n-- && tlog_step(t))
        ;
}

enum { READERS = 3 };

static void random_life(struct tlog *t, struct reader *d, uint64_t *trimmed, int turns)
{
    for (int i = 0; i < turns; i++) {
        struct reader *r = &d[prng_below(&t->rng, READERS)];
        uint64_t dice = prng_below(&t->rng, 100), first = *trimmed + 1;
        if (dice < 12) {
            uint32_t len = (uint32_t)prng_below(&t->rng, dice == 0 ? 15000 : 400);
            for (uint64_t n = prng_below(&t->rng, 6); n && !tlog_append(t, len); n--)
                ;
        } else if (dice < 40 && r->c && !r->busy && !r->closing) {
            uint64_t mood = prng_below(&t->rng, 8), to = t->handed + 2;
            uint64_t from = mood < 5    ? r->from + r->n
                            : mood == 5 ? first + prng_below(&t->rng, to > first ? to - first : 1)
                                        : 1 + prng_below(&t->rng, to);
            r->trimmed = *trimmed;
            reader_read(r, base_max_u64(from, 1), (uint32_t)prng_below(&t->rng, 30000),
                        1 + (uint32_t)prng_below(&t->rng, 40));
        } else if (dice == 40 && r->c && !r->closing) {
            reader_close(r);
        } else if (dice == 41 && r->closed) {
            reader_open(r, t);
        } else if (dice == 42 && t->handed > *trimmed) {
            *trimmed += prng_below(&t->rng, t->handed - *trimmed);
            wal_trim(t->wal, *trimmed);
            for (int k = 0; k < READERS; k++)
                d[k].trimmed = *trimmed;
        } else {
            tlog_step(t);
        }
        if (t->appended + 100 > TLOG_RECORDS)
            break;
    }
}

/* what a reader that begins at the oldest place sees is all there is */
static void read_all(struct tlog *t, uint64_t first)
{
    struct reader d;
    reader_open(&d, t);
    d.trimmed = first - 1;
    for (uint64_t at = first; at <= t->handed; at += (uint64_t)d.ret) {
        reader_read(&d, at, 50000, 1000);
        reader_wait(&d);
        CU_ASSERT_FATAL(d.ret > 0);
    }
    reader_gone(&d);
}

static void random_lives(struct tlog *t, int lives, uint64_t *ret_read)
{
    uint64_t trimmed = 0;
    t->epoch = 3;
    for (int life = 0; life < lives; life++) {
        struct reader d[READERS];
        CU_ASSERT_FATAL(tlog_open(t, trimmed + 1));
        read_all(t, trimmed + 1); /* also where a segment repeats an older one */
        for (int i = 0; i < READERS; i++)
            reader_open(&d[i], t);
        random_life(t, d, &trimmed, 5000);
        for (int i = 0; i < READERS; i++)
            *ret_read += d[i].total;
        t->epoch += 1 + prng_below(&t->rng, 3);
        if (life % 3 == 2) {
            for (int i = 0; i < READERS; i++)
                if (!d[i].closed)
                    reader_gone(&d[i]);
            tlog_stop(t);
        } else {
            tlog_crash(t, life % 3 == 1);
        }
    }
}

static void test_cursors_beside_everything(void)
{
    uint64_t read = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct tlog *t = &log_one;
        tlog_init_fake(t, &log_disk, seed);
        t->f->torn_reads = true;
        t->f->faults_ppm = seed % 2 ? 300000 : 0;
        t->cfg.segment_bytes = seed % 3 ? 128 * 1024 : 512 * 1024;
        random_lives(t, 5, &read);
        tlog_drop(t);
    }
    CU_ASSERT(read > 20000);
}

static void test_cursors_beside_everything_in_the_simulator(void)
{
    uint64_t read = 0;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct tlog *t = &log_one;
        struct sim_config sc = sim_config_stormy(seed);
        tlog_init_sim(t, &sc);
        random_lives(t, 4, &read);
        tlog_drop(t);
    }
    CU_ASSERT(read > 2000);
}

/* --- one thing at a time --- */

static void test_going_on_costs_no_new_scan(void)
{
    struct tlog *t = &log_one;
    struct reader d;
    tlog_init_fake(t, &log_disk, 5);
    t->cfg.segment_bytes = 4 << 20;
    CU_ASSERT_FATAL(tlog_open(t, 1));
    for (int i = 0; i < 200; i++)
        grow(t, 5, 700);
    reader_open(&d, t);
    uint64_t before = t->f->bytes_read, at = 1;
    while (at <= t->handed) {
        reader_read(&d, at, UINT32_MAX, 3);
        reader_wait(&d);
        CU_ASSERT_EQUAL_FATAL(d.ret, (int64_t)base_min_u64(3, t->handed + 1 - at));
        at += (uint64_t)d.ret;
    }
    uint64_t log_bytes = wal_written(t->wal);
    CU_ASSERT(t->f->bytes_read - before <= log_bytes + WAL_READ_WINDOW / 4);
    /* the end of the log, followed closely, costs what was appended */
    for (int i = 0; i < 50; i++) {
        grow(t, 1, 700);
        before = t->f->bytes_read;
        reader_read(&d, t->handed, UINT32_MAX, 3);
        reader_wait(&d);
        CU_ASSERT_EQUAL(d.ret, 1);
        CU_ASSERT(t->f->bytes_read - before <= 3 * LOG_BLOCK);
    }
    /* back, in the same file, and to what is not there yet */
    reader_read(&d, 7, UINT32_MAX, 3);
    reader_wait(&d);
    CU_ASSERT_EQUAL(d.ret, 3);
    reader_read(&d, t->handed + 1, UINT32_MAX, 3);
    reader_wait(&d);
    CU_ASSERT_EQUAL(d.ret, 0);
    reader_gone(&d);
    tlog_stop(t);
    tlog_drop(t);
}

static void test_seals_have_no_records(void)
{
    struct tlog *t = &log_one;
    struct reader d;
    tlog_init_fake(t, &log_disk, 6);
    CU_ASSERT_FATAL(tlog_open(t, 1));
    for (int i = 0; i < 10; i++) {
        grow(t, 2, 100);
        settle(t, 3000); /* a seal follows */
    }
    struct wal_stats s;
    wal_stats(t->wal, &s);
    CU_ASSERT(s.batches >= 20);
    read_all(t, 1);
    /* a seal on its way is read in part; what follows it is read right */
    t->f->torn_reads = true;
    reader_open(&d, t);
    reader_read(&d, t->handed, 1, 1);
    reader_wait(&d);
    for (int i = 0; i < 40; i++) {
        uint64_t place = t->handed + 1;
        CU_ASSERT_FATAL(tlog_append(t, 100) == 0);
        settle(t, (int)prng_below(&t->rng, 2000));
        while (t->handed < place)
            CU_ASSERT_FATAL(tlog_step(t));
        reader_read(&d, place, 1, 1);
        reader_wait(&d);
        CU_ASSERT_EQUAL_FATAL(d.ret, 1);
    }
    reader_gone(&d);
    tlog_stop(t);
    tlog_drop(t);
}

static void test_what_is_being_written_is_not_believed(void)
{
    struct tlog *t = &log_one;
    struct reader d;
    tlog_init_fake(t, &log_disk, 6);
    t->f->torn_reads = true;
    CU_ASSERT_FATAL(tlog_open(t, 1));
    grow(t, 1, 100);
    reader_open(&d, t);
    for (int i = 0; i < 20; i++) {
        uint64_t place = t->handed;
        t->f->hold_writes = true;
        CU_ASSERT_FATAL(tlog_append(t, 9000) == 0);
        settle(t, 10);
        reader_read(&d, place, UINT32_MAX, 5); /* and sees what follows in part */
        reader_wait(&d);
        CU_ASSERT_EQUAL(d.ret, 1);
        reader_read(&d, place + 1, UINT32_MAX, 5);
        reader_wait(&d);
        CU_ASSERT_EQUAL(d.ret, 0);
        t->f->hold_writes = false;
        while (t->handed == place)
            CU_ASSERT_FATAL(tlog_step(t));
        reader_read(&d, place + 1, UINT32_MAX, 5);
        reader_wait(&d);
        CU_ASSERT_EQUAL_FATAL(d.ret, 1);
    }
    reader_gone(&d);
    tlog_stop(t);
    tlog_drop(t);
}

static unsigned files_open(const struct fake *f)
{
    unsigned n = 0;
    for (unsigned k = 0; k < ARRAY_LEN(f->open_files); k++)
        n += f->open_files[k] != NULL;
    return n;
}

static void test_a_removed_segment_is_let_go(void)
{
    struct tlog *t = &log_one;
    struct reader d, busy;
    tlog_init_fake(t, &log_disk, 7);
    t->cfg.segment_bytes = 128 * 1024;
    CU_ASSERT_FATAL(tlog_open(t, 1));
    grow(t, 600, 1000);
    reader_open(&d, t);
    reader_open(&busy, t);
    reader_read(&d, 5, 1, 1);
    reader_wait(&d);
    settle(t, 1000);
    unsigned before = files_open(t->f);
    reader_read(&busy, 1, UINT32_MAX, UINT32_MAX); /* is under way while it goes */
    busy.trimmed = d.trimmed = 590;
    wal_trim(t->wal, 590);
    settle(t, 2000);
    CU_ASSERT(!busy.busy && (busy.ret > 0 || busy.ret == E_NOENT));
    CU_ASSERT_EQUAL(files_open(t->f), before - 1 + (busy.ret > 0));
    reader_read(&d, 6, 1, 1);
    reader_wait(&d);
    CU_ASSERT_EQUAL(d.ret, E_NOENT);
    struct wal_stats s;
    wal_stats(t->wal, &s);
    CU_ASSERT(s.first_index > 6);
    reader_read(&d, s.first_index, UINT32_MAX, UINT32_MAX);
    reader_wait(&d);
    CU_ASSERT_EQUAL(d.ret, (int64_t)(t->handed + 1 - s.first_index));
    reader_gone(&d);
    reader_gone(&busy);
    tlog_stop(t);
    tlog_drop(t);
}

static void test_close_ends_a_read(void)
{
    for (int steps = 0; steps < 12; steps++) {
        struct tlog *t = &log_one;
        struct reader d;
        tlog_init_fake(t, &log_disk, 8);
        CU_ASSERT_FATAL(tlog_open(t, 1));
        grow(t, 500, 1000);
        reader_open(&d, t);
        reader_read(&d, 1, UINT32_MAX, UINT32_MAX);
        settle(t, steps);
        bool was_busy = d.busy;
        reader_close(&d);
        reader_gone(&d);
        CU_ASSERT(!was_busy || d.ret == E_CANCELLED);
        CU_ASSERT(steps > 2 || was_busy);
        tlog_stop(t);
        tlog_drop(t);
    }
}

static void test_damage_and_errors_are_told(void)
{
    struct tlog *t = &log_one;
    struct reader d;
    tlog_init_fake(t, &log_disk, 9);
    CU_ASSERT_FATAL(tlog_open(t, 1));
    for (int i = 0; i < 9; i++)
        grow(t, 1, 100); /* a block each */
    struct fake_inode *n = fake_file(t->f, "j/wal-0000000000000001");
    CU_ASSERT_FATAL(n != NULL);
    t->f->misread = 7; /* three times, and then it reads well */
    t->f->misread_at = 5 * LOG_BLOCK;
    reader_open(&d, t);
    reader_read(&d, 1, UINT32_MAX, 100);
    reader_wait(&d);
    CU_ASSERT_EQUAL(d.ret, 9);
    reader_gone(&d);
    n->now[5 * LOG_BLOCK + 70] ^= 4; /* record 5 */
    reader_open(&d, t);
    reader_read(&d, 1, UINT32_MAX, 100);
    reader_wait(&d);
    CU_ASSERT_EQUAL(d.ret, 4);
    reader_read(&d, 5, UINT32_MAX, 100);
    reader_wait(&d);
    CU_ASSERT_EQUAL(d.ret, E_CORRUPT);
    CU_ASSERT(strstr(t->f->last_error, "offset 20480") != NULL);
    n->now[5 * LOG_BLOCK + 70] ^= 4;
    t->f->fail_read_in = 1;
    reader_read(&d, 5, UINT32_MAX, 100);
    reader_wait(&d);
    CU_ASSERT_EQUAL(d.ret, E_IO);
    memset(n->now + 7 * LOG_BLOCK, 0, LOG_BLOCK); /* zeros are no end here */
    reader_read(&d, 5, UINT32_MAX, 100);
    reader_wait(&d);
    CU_ASSERT_EQUAL(d.ret, 2);
    reader_read(&d, 7, UINT32_MAX, 100);
    reader_wait(&d);
    CU_ASSERT_EQUAL(d.ret, E_CORRUPT);
    reader_read(&d, 3, UINT32_MAX, 2); /* and it goes on after all that */
    reader_wait(&d);
    CU_ASSERT_EQUAL(d.ret, 2);
    reader_gone(&d);
    CU_ASSERT_EQUAL(t->failed, 0);
    tlog_stop(t);
    tlog_drop(t);
}

/* Where a restart copied the log's end, what the older segment holds of it is read no more: there
 * it may vanish, or hold a bit that was put right in the copy only. */
static void test_a_mended_end_is_read_from_its_copy(void)
{
    struct tlog *t = &log_one;
    struct reader d;
    tlog_init_fake(t, &log_disk, 12);
    CU_ASSERT_FATAL(tlog_open(t, 1));
    for (int i = 0; i < 9; i++)
        grow(t, 1, 100); /* a block each */
    tlog_crash(t, true); /* nothing proves the last one */
    struct fake_inode *n = fake_file(t->f, "j/wal-0000000000000001");
    CU_ASSERT_FATAL(n != NULL);
    n->now[9 * LOG_BLOCK + 70] ^= 4;
    CU_ASSERT_FATAL(tlog_open(t, 1));
    CU_ASSERT_EQUAL_FATAL(t->handed, 9);
    for (int round = 0; round < 2; round++) {
        reader_open(&d, t);
        for (uint64_t from = 1; from <= t->handed; from += d.n) { /* the older one is open */
            reader_read(&d, from, UINT32_MAX, 4);
            reader_wait(&d);
            CU_ASSERT_FATAL(d.ret > 0);
        }
        reader_gone(&d);
        tlog_crash(t, false);
        CU_ASSERT_FATAL(tlog_open(t, 1)); /* there it is still, and has to be mended again */
        grow(t, 1, 100);
    }
    CU_ASSERT_EQUAL(t->failed, 0);
    tlog_stop(t);
    tlog_drop(t);
}

UNIT_MAIN("wal_cursor", UNIT(test_a_mended_end_is_read_from_its_copy),
          UNIT(test_pieces_and_epochs_come_back), UNIT(test_what_is_too_big_or_too_much_is_refused),
          UNIT(test_cursors_beside_everything),
          UNIT(test_cursors_beside_everything_in_the_simulator),
          UNIT(test_going_on_costs_no_new_scan), UNIT(test_seals_have_no_records),
          UNIT(test_what_is_being_written_is_not_believed), UNIT(test_a_removed_segment_is_let_go),
          UNIT(test_close_ends_a_read), UNIT(test_damage_and_errors_are_told))
