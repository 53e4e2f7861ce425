/* tests/unit/test_wal.c - the stored bytes, and the dump that shows them to people. */
#include "journal/wal_dump.h"
#include "tests/unit/test_journal_world.h"

static uint8_t wal_block[4 * LOG_BLOCK];

static uint32_t wal_make(struct log_batch *b, uint32_t records)
{
    uint32_t at = sizeof *b, seed = b->prev_chain;
    b->records = records;
    for (uint32_t i = 0; i < records; i++) {
        char text[32];
        uint32_t n = (uint32_t)fmt_into(text, sizeof text, "record number %u", i);
        seed = log_format_record_put(wal_block + at, seed, 0, 7, text, n);
        at += log_format_record_size(n);
    }
    b->payload_len = at - (uint32_t)sizeof *b;
    return log_format_batch_put(wal_block, b);
}

static void test_batch_round_trip(void)
{
    struct log_batch b = {.prev_chain = 9, .seq = 3, .epoch = 7, .first_index = 50}, got;
    struct log_expect ex = {3, 50, 9};
    struct log_record r;
    const void *bytes;
    size_t need;
    uint32_t at = 0, n = 0, size = wal_make(&b, 5);
    CU_ASSERT_EQUAL(size, LOG_BLOCK);
    CU_ASSERT_EQUAL(log_format_batch_check(wal_block, size, &ex, &got, &need), 0);
    CU_ASSERT_EQUAL(got.crc, b.crc);
    while (log_format_record_next(wal_block + sizeof b, got.payload_len, &at, &r, &bytes)) {
        CU_ASSERT_EQUAL(r.epoch, 7);
        CU_ASSERT(!memcmp(bytes, "record number ", 14));
        n++;
    }
    CU_ASSERT_EQUAL(n, 5);
    for (int i = 0; i < 3; i++) {
        struct log_expect other = {3 + (i == 0), 50 + (i == 1), 9 + (i == 2)};
        CU_ASSERT_EQUAL(log_format_batch_check(wal_block, size, &other, &got, &need), E_CORRUPT);
    }
    CU_ASSERT_EQUAL(log_format_batch_check(wal_block, 100, &ex, &got, &need), E_EOF);
    CU_ASSERT_EQUAL(need, LOG_BLOCK);
}

static void test_every_flipped_bit_of_a_batch_is_found(void)
{
    struct log_batch b = {.prev_chain = 9, .seq = 3, .epoch = 7, .first_index = 50}, got;
    size_t need;
    wal_make(&b, 4);
    for (uint32_t bit = 0; bit < (sizeof b + b.payload_len) * 8; bit++) {
        wal_block[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int ret = log_format_batch_check(wal_block, LOG_BLOCK, NULL, &got, &need);
        CU_ASSERT(ret == E_CORRUPT);
        wal_block[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CU_ASSERT_EQUAL(log_format_batch_check(wal_block, LOG_BLOCK, NULL, &got, &need), 0);
}

static void test_records_cannot_change_places(void)
{
    struct log_batch b = {.prev_chain = 9, .seq = 3, .first_index = 1}, got;
    uint8_t one[64];
    size_t need;
    wal_make(&b, 3);
    uint32_t size = log_format_record_size(15);
    memcpy(one, wal_block + sizeof b, size);
    memcpy(wal_block + sizeof b, wal_block + sizeof b + size, size);
    memcpy(wal_block + sizeof b + size, one, size);
    log_format_batch_put(wal_block, &b); /* the batch's own sums are right again */
    CU_ASSERT_EQUAL(log_format_batch_check(wal_block, LOG_BLOCK, NULL, &got, &need), E_CORRUPT);
}

static void test_header_verdicts(void)
{
    struct log_segment h = {.seq = 1, .first_index = 1};
    memset(wal_block, 0, LOG_BLOCK);
    CU_ASSERT_EQUAL(log_format_check(wal_block, LOG_BLOCK, LOG_SEGMENT_MAGIC), E_NODATA);
    memcpy(wal_block, &h, sizeof h);
    log_format_seal(wal_block, LOG_BLOCK, LOG_SEGMENT_MAGIC);
    CU_ASSERT_EQUAL(log_format_check(wal_block, LOG_BLOCK, LOG_SEGMENT_MAGIC), 0);
    CU_ASSERT_EQUAL(log_format_check(wal_block, LOG_BLOCK, LOG_IMAGE_MAGIC), E_CORRUPT);
    wal_block[4] = 2; /* a damaged version is damage, not the future */
    CU_ASSERT_EQUAL(log_format_check(wal_block, LOG_BLOCK, LOG_SEGMENT_MAGIC), E_CORRUPT);
    wal_block[4] = 1;
    wal_block[LOG_BLOCK - 1] = 1;
    CU_ASSERT_EQUAL(log_format_check(wal_block, LOG_BLOCK, LOG_SEGMENT_MAGIC), E_CORRUPT);
}

static void test_names(void)
{
    char name[LOG_NAME_MAX];
    uint64_t n = 0;
    log_format_name(name, "wal-", 0xabc);
    CU_ASSERT_STRING_EQUAL(name, "wal-0000000000000abc");
    CU_ASSERT(log_format_name_parse(name, "wal-", &n) && n == 0xabc);
    CU_ASSERT(!log_format_name_parse("wal-new", "wal-", &n));
    CU_ASSERT(!log_format_name_parse("wal-0000000000000ABC", "wal-", &n));
    CU_ASSERT(!log_format_name_parse("wal-0000000000000000", "wal-", &n));
    CU_ASSERT(!log_format_name_parse("wal-0000000000000abcd", "wal-", &n));
}

struct wal_next {
    struct env_op op;
    bool done;
};

static void wal_next_done(struct env_op *op)
{
    container_of(op, struct wal_next, op)->done = true;
}

static void test_dump_shows_everything(void)
{
    struct world *w = &world_one;
    world_init(w, &fake_one, 3);
    world_open(w);
    CU_ASSERT_FATAL(world_until_role(w));
    for (int i = 0; i < 6; i++)
        world_put(w, 1, 100);
    world_stop(w);
    struct fake_inode *n = fake_file(w->f, "j/wal-0000000000000001");
    CU_ASSERT_FATAL(n != NULL);
    n->now[3 * LOG_BLOCK + 100] ^= 1;
    uint64_t hash = fake_hash(w->f);
    unit_mem(&w->mem, 16 << 20);
    struct wal_dump *d = wal_dump_open(&w->f->env, &w->mem, "j");
    CU_ASSERT_FATAL(d != NULL);
    uint32_t count[4] = {0}, records = 0, loose = 0;
    int64_t ret = 1;
    while (ret == 1) {
        struct wal_next next = {.op.done = wal_next_done};
        wal_dump_next(d, &next.op);
        while (!next.done && fake_step(w->f))
            ;
        CU_ASSERT_FATAL(next.done);
        ret = next.op.ret;
        const struct wal_dump_item *item = wal_dump_item(d);
        if (ret != 1)
            break;
        count[item->kind]++;
        if (item->kind == WAL_DUMP_BATCH) {
            records += item->batch.records;
            loose += !item->chained;
        }
        if (item->kind == WAL_DUMP_BAD)
            CU_ASSERT_EQUAL(item->at, 3 * LOG_BLOCK);
    }
    CU_ASSERT_EQUAL(ret, 0);
    CU_ASSERT_EQUAL(count[WAL_DUMP_BAD], 1);
    CU_ASSERT(count[WAL_DUMP_SEGMENT] >= 1);
    CU_ASSERT(count[WAL_DUMP_END] >= 1);
    CU_ASSERT_EQUAL(records, 5);
    CU_ASSERT_EQUAL(loose, 1); /* the one after the damage */
    CU_ASSERT_EQUAL(fake_hash(w->f), hash);
    wal_dump_free(d);
    CU_ASSERT_EQUAL(w->f->n_ops, 0);
    mem_drop(&w->mem);
    world_drop(w);
}

UNIT_MAIN("wal", UNIT(test_batch_round_trip), UNIT(test_every_flipped_bit_of_a_batch_is_found),
          UNIT(test_records_cannot_change_places), UNIT(test_header_verdicts), UNIT(test_names),
          UNIT(test_dump_shows_everything))
