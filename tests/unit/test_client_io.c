/* tests/unit/test_client_io.c - reads, read-ahead, failover, versions, writes and releases. */
#include "test_client_fake.h"

enum { SIZE = 20 * FAKE_PAGE + 1234 };

static uint8_t buf[SIZE + FAKE_PAGE];

static uint32_t all_reads(const struct fake *k)
{
    return k->w[0].reads + k->w[1].reads;
}

static void test_client_reads_the_right_bytes(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_R);
    CU_ASSERT_EQUAL(fake_read(k, f, buf, sizeof buf, 0), SIZE);
    CU_ASSERT_TRUE(fake_same(buf, 2, 1, 0, SIZE));
    CU_ASSERT(k->w[0].reads > 0 && k->w[1].reads > 0);
    CU_ASSERT_EQUAL(all_reads(k), 21);
    CU_ASSERT_EQUAL(fake_read(k, f, buf, 100, SIZE), 0);
    CU_ASSERT_EQUAL(fake_read(k, f, buf, 100, SIZE - 40), 40);
    CU_ASSERT_TRUE(fake_same(buf, 2, 1, SIZE - 40, 40));
    CU_ASSERT_EQUAL(fake_read(k, f, buf, 0, 5), 0);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

static void test_client_opens_from_cache(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_R);
    struct client_file *g = fake_open_file(k, 2, FSOP_ACCESS_R);
    CU_ASSERT_EQUAL(k->kinds[FSOP_OPEN], 1);
    CU_ASSERT_EQUAL(fake_read(k, g, buf, 1000, 77), 1000);
    CU_ASSERT_TRUE(fake_same(buf, 2, 1, 77, 1000));
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    CU_ASSERT_EQUAL(fake_release(k, g), 0);
    fake_run(k, 4 * SEC); /* renewed leases do not prolong an answer's own */
    k->answer_lease_ns = 0;
    f = fake_open_file(k, 4, FSOP_ACCESS_R);
    g = fake_open_file(k, 4, FSOP_ACCESS_R);
    CU_ASSERT_EQUAL(k->kinds[FSOP_OPEN], 3);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    CU_ASSERT_EQUAL(fake_release(k, g), 0);
    fake_close(k);
}

static void test_client_reads_ahead_of_a_sequential_reader(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_R);
    enum { STEP = 10000 };
    for (uint64_t off = 0; off < SIZE; off += STEP) {
        int64_t n = fake_read(k, f, buf, STEP, off);
        CU_ASSERT_EQUAL(n, (int64_t)base_min_u64(STEP, SIZE - off));
        CU_ASSERT_TRUE(fake_same(buf, 2, 1, off, (uint64_t)n));
        fake_check(k);
    }
    struct client_stats st;
    client_stats(k->c, &st);
    CU_ASSERT(st.readahead_pages >= 18);
    CU_ASSERT(all_reads(k) < 30);
    CU_ASSERT_EQUAL(k->w[0].bytes + k->w[1].bytes, SIZE); /* each byte once */
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

static void test_client_random_reads_are_exact(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_R);
    uint64_t sum = 0;
    for (uint64_t i = 1; i <= 60; i++) {
        uint64_t off = i * 7919 * 131 % (SIZE - 3000);
        CU_ASSERT_EQUAL(fake_read(k, f, buf, 3000, off), 3000);
        CU_ASSERT_TRUE(fake_same(buf, 2, 1, off, 3000));
        sum += 3000;
    }
    CU_ASSERT_EQUAL(k->w[0].bytes + k->w[1].bytes, sum);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

/* several sequential readers with too few buffers: slower, never wrong, never stuck */
static void test_client_readahead_shares_few_buffers(void)
{
    enum { N = 6, STEP = 30000 };
    struct client_config cfg = fake_config();
    cfg.buffer_bytes = 3 * FAKE_PAGE;
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f[N];
    for (int i = 0; i < N; i++)
        f[i] = fake_open_file(k, 2, FSOP_ACCESS_R);
    for (uint64_t off = 0; off + STEP < SIZE; off += STEP)
        for (int i = 0; i < N; i++) {
            CU_ASSERT_EQUAL(fake_read(k, f[i], buf, STEP, off), STEP);
            CU_ASSERT_TRUE(fake_same(buf, 2, 1, off, STEP));
            fake_check(k);
        }
    for (int i = 0; i < N; i++)
        CU_ASSERT_EQUAL(fake_release(k, f[i]), 0);
    fake_close(k);
}

/* --- pages that are kept --- */

static uint64_t all_bytes(const struct fake *k)
{
    return k->w[0].bytes + k->w[1].bytes;
}

/* n reads of 100 bytes in page `page`, none of which begins where another ended */
static void read_bits(struct fake *k, struct client_file *f, uint64_t page, int n)
{
    for (int i = 0; i < n; i++) {
        uint64_t off = page * FAKE_PAGE + (uint64_t)(n - i) * 777;
        CU_ASSERT_EQUAL(fake_read(k, f, buf, 100, off), 100);
        CU_ASSERT_TRUE(fake_same(buf, 2, 1, off, 100));
        fake_check(k);
    }
}

static void test_client_keeps_a_page_that_has_paid(void)
{
    struct client_config cfg = fake_config();
    cfg.page_cache_bytes = 4 * FAKE_PAGE;
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_R);
    struct client_stats st;
    read_bits(k, f, 3, 2); /* a page costs 4, a small read 3 */
    CU_ASSERT_EQUAL(all_bytes(k), 200);
    read_bits(k, f, 3, 30);
    CU_ASSERT_EQUAL(all_bytes(k), 200 + FAKE_PAGE);
    client_stats(k->c, &st);
    CU_ASSERT_EQUAL(st.pages_kept, 1);
    CU_ASSERT_EQUAL(st.page_hits, 30);
    /* by another handle, lent, and across its end */
    struct client_file *g = fake_open_file(k, 2, FSOP_ACCESS_R);
    struct client_io io = {.file = g, .buf = buf, .len = 500, .off = 3 * FAKE_PAGE + 10};
    io.may_lend = true;
    client_read(k->c, &io);
    CU_ASSERT_EQUAL(sim_run_op(k->sim, &io.op, SEC), 500);
    CU_ASSERT(io.lent && io.lent != buf);
    CU_ASSERT_TRUE(fake_same((const uint8_t *)io.lent, 2, 1, io.off, 500));
    CU_ASSERT_EQUAL(all_bytes(k), 200 + FAKE_PAGE);
    CU_ASSERT_EQUAL(fake_read(k, g, buf, 1000, 4 * FAKE_PAGE - 300), 1000);
    CU_ASSERT_TRUE(fake_same(buf, 2, 1, 4 * FAKE_PAGE - 300, 1000));
    CU_ASSERT_EQUAL(all_bytes(k), 200 + FAKE_PAGE + 700);
    /* others take its place while it is lent: it stays where it is */
    for (uint64_t page = 5; page < 12; page++)
        read_bits(k, f, page, 60);
    CU_ASSERT_TRUE(fake_same((const uint8_t *)io.lent, 2, 1, io.off, 500));
    client_give_back(k->c, &io);
    fake_check(k);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    CU_ASSERT_EQUAL(fake_release(k, g), 0);
    fake_close(k);
}

static void test_client_keeps_pages_of_one_version(void)
{
    struct client_config cfg = fake_config();
    cfg.page_cache_bytes = 4 * FAKE_PAGE;
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_R);
    read_bits(k, f, 0, 10);
    k->answer_lease_ns = 0;
    fake_run(k, 101 * SEC); /* what is known about it ends */
    fake_find(k, (struct ino){2})->attr.version = 2;
    k->max_version = 2;
    struct client_file *g = fake_open_file(k, 2, FSOP_ACCESS_R);
    CU_ASSERT_EQUAL(fake_read(k, g, buf, 100, 50), 100);
    CU_ASSERT_TRUE(fake_same(buf, 2, 2, 50, 100));
    /* the other handle has read the old one and goes on with it, or not at all */
    CU_ASSERT_EQUAL(fake_read(k, f, buf, 100, 5 * FAKE_PAGE), E_STALE);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    CU_ASSERT_EQUAL(fake_release(k, g), 0);
    /* a version that may still change under its fingerprint is not kept */
    fake_find(k, (struct ino){2})->attr.version = 3;
    fake_find(k, (struct ino){2})->attr.fp = 0;
    f = fake_open_file(k, 2, FSOP_ACCESS_R);
    uint64_t before = all_bytes(k);
    for (uint64_t i = 0; i < 20; i++)
        CU_ASSERT_EQUAL(fake_read(k, f, buf, 100, 9000 - i * 300), 100);
    CU_ASSERT_EQUAL(all_bytes(k), before + 2000);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

static void test_client_keeps_few_pages_of_many(void)
{
    struct client_config cfg = fake_config();
    cfg.page_cache_bytes = 2 * FAKE_PAGE;
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_R);
    for (uint64_t i = 1; i <= 2000; i++) {
        uint64_t off = i * 7919 * 131 % (SIZE - 100);
        CU_ASSERT_EQUAL(fake_read(k, f, buf, 100, off), 100);
        CU_ASSERT_TRUE(fake_same(buf, 2, 1, off, 100));
        fake_check(k);
    }
    struct client_stats st;
    client_stats(k->c, &st);
    CU_ASSERT(st.pages_kept > 2);
    CU_ASSERT(st.pages_kept < 120); /* else prices did not rise: two reads in three would buy */
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

/* a fetch that fails is no answer: the reader asks again by himself, elsewhere */
static void test_client_survives_a_failed_page(void)
{
    struct client_config cfg = fake_config();
    cfg.page_cache_bytes = 4 * FAKE_PAGE;
    struct fake *k = fake_open(&cfg, NULL, true);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_R);
    read_bits(k, f, 3, 2);
    sim_node_crash(k->w[0].node);
    sim_node_crash(k->w[1].node);
    read_bits(k, f, 3, 5);
    CU_ASSERT(k->ufs_reads > 0);
    fake_worker_up(k, 0);
    fake_worker_up(k, 1);
    fake_run(k, 2 * SEC);
    /* a handle that goes while its page is under way, for which another one waits */
    struct client_file *g = fake_open_file(k, 2, FSOP_ACCESS_R);
    read_bits(k, g, 7, 2);
    k->w[0].silent = k->w[1].silent = true;
    struct client_io a = {.file = g, .buf = buf, .len = 100, .off = 7 * FAKE_PAGE};
    struct client_io b = {.file = f, .buf = buf + 100, .len = 100, .off = 7 * FAKE_PAGE + 50};
    struct client_io end = {.file = g};
    a.op.done = b.op.done = end.op.done = fake_nothing;
    a.op.ret = b.op.ret = end.op.ret = 1;
    a.deadline_ns = env_now_ns(k->e) + 50 * MS;
    client_read(k->c, &a);
    client_read(k->c, &b);
    fake_run(k, 100 * MS);
    CU_ASSERT(a.op.ret == E_TIMEOUT && b.op.ret == 1);
    client_release(k->c, &end);
    fake_run(k, 100 * MS);
    CU_ASSERT(end.op.ret == 0 && b.op.ret == 1);
    k->w[0].silent = k->w[1].silent = false;
    fake_run(k, 8 * SEC);
    CU_ASSERT(b.op.ret == 100);
    CU_ASSERT_TRUE(fake_same(buf + 100, 2, 1, 7 * FAKE_PAGE + 50, 100));
    fake_check(k);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

/* --- lost workers --- */

static void test_client_goes_to_the_next_worker(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, true);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_R);
    CU_ASSERT_EQUAL(fake_read(k, f, buf, SIZE, 0), SIZE);
    sim_node_crash(k->w[0].node);
    memset(buf, 0, sizeof buf);
    CU_ASSERT_EQUAL(fake_read(k, f, buf, SIZE, 0), SIZE);
    CU_ASSERT_TRUE(fake_same(buf, 2, 1, 0, SIZE));
    CU_ASSERT_EQUAL(k->ufs_reads, 0);
    struct client_stats st;
    client_stats(k->c, &st);
    CU_ASSERT(st.failovers > 0);
    /* the second one too: the under-store itself */
    sim_node_crash(k->w[1].node);
    memset(buf, 0, sizeof buf);
    CU_ASSERT_EQUAL(fake_read(k, f, buf, SIZE, 0), SIZE);
    CU_ASSERT_TRUE(fake_same(buf, 2, 1, 0, SIZE));
    CU_ASSERT_EQUAL(k->ufs_reads, 21);
    /* and back */
    fake_worker_up(k, 0);
    fake_run(k, 2 * SEC);
    CU_ASSERT_EQUAL(fake_read(k, f, buf, SIZE, 0), SIZE);
    CU_ASSERT_EQUAL(k->ufs_reads, 21);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

static void test_client_passes_by_a_failing_worker(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_R);
    k->w[1].err = E_IO;
    CU_ASSERT_EQUAL(fake_read(k, f, buf, SIZE, 0), SIZE);
    CU_ASSERT_TRUE(fake_same(buf, 2, 1, 0, SIZE));
    k->w[0].err = E_IO;
    CU_ASSERT_EQUAL(fake_read(k, f, buf, 100, 0), E_IO);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

static void test_client_reads_end_by_their_deadline(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_R);
    k->w[0].silent = k->w[1].silent = true;
    struct client_io io = {.file = f, .buf = buf, .len = SIZE};
    io.deadline_ns = env_now_ns(k->e) + 3 * SEC;
    int64_t before = sim_now_ns(k->sim);
    client_read(k->c, &io);
    CU_ASSERT_EQUAL(sim_run_op(k->sim, &io.op, 20 * SEC), E_TIMEOUT);
    CU_ASSERT(sim_now_ns(k->sim) - before < 3 * SEC + 100 * MS);
    k->w[0].silent = k->w[1].silent = false;
    sim_node_crash(k->w[0].node);
    sim_node_crash(k->w[1].node);
    io = (struct client_io){.file = f, .buf = buf, .len = SIZE};
    io.deadline_ns = env_now_ns(k->e) + 3 * SEC;
    client_read(k->c, &io);
    CU_ASSERT_EQUAL(sim_run_op(k->sim, &io.op, 20 * SEC), E_TIMEOUT);
    fake_worker_up(k, 0);
    fake_worker_up(k, 1);
    CU_ASSERT_EQUAL(fake_read(k, f, buf, SIZE, 0), SIZE);
    CU_ASSERT_TRUE(fake_same(buf, 2, 1, 0, SIZE));
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

/* --- versions --- */

static void test_client_pins_anew_before_the_first_byte(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_R);
    fake_find(k, (struct ino){2})->attr.version = 2;
    fake_find(k, (struct ino){2})->attr.size = 5000;
    k->max_version = 2;
    CU_ASSERT_EQUAL(fake_read(k, f, buf, SIZE, 0), 5000);
    CU_ASSERT_TRUE(fake_same(buf, 2, 2, 0, 5000));
    CU_ASSERT_EQUAL(client_file_attr(f).version, 2);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

static void test_client_never_mixes_versions(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_R);
    CU_ASSERT_EQUAL(fake_read(k, f, buf, 10, 0), 10);
    fake_find(k, (struct ino){2})->attr.version = 2;
    CU_ASSERT_EQUAL(fake_read(k, f, buf, 10, 100), 10); /* still there */
    CU_ASSERT_TRUE(fake_same(buf, 2, 1, 100, 10));
    k->max_version = 2;
    CU_ASSERT_EQUAL(fake_read(k, f, buf, 10, 0), E_STALE);
    struct client_file *g = fake_open_file(k, 2, FSOP_ACCESS_R);
    CU_ASSERT_EQUAL(fake_read(k, g, buf, 10, 0), 10);
    CU_ASSERT_TRUE(fake_same(buf, 2, 2, 0, 10));
    CU_ASSERT_EQUAL(fake_read(k, f, buf, 10, 0), E_STALE);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    CU_ASSERT_EQUAL(fake_release(k, g), 0);
    fake_close(k);
}

static void test_client_follows_a_renamed_file(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    fake_find(k, (struct ino){2})->path = "old";
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_R);
    CU_ASSERT_EQUAL(fake_read(k, f, buf, 10, 0), 10);
    fake_find(k, (struct ino){2})->path = "new";
    k->moved = true;
    CU_ASSERT_EQUAL(fake_read(k, f, buf, SIZE, 0), SIZE);
    CU_ASSERT_TRUE(fake_same(buf, 2, 1, 0, SIZE));
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

static void test_client_sees_live_files_and_their_end(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct fake_file *ff = fake_find(k, (struct ino){2});
    ff->attr.flags = FSATTR_LIVE;
    memset(k->written, 'a', 1000);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_R);
    CU_ASSERT_TRUE(client_file_is_live(f));
    CU_ASSERT_EQUAL(fake_read(k, f, buf, 10, 0), 10);
    CU_ASSERT_EQUAL(buf[3], 'a');
    memset(k->written, 'b', 1000);
    CU_ASSERT_EQUAL(fake_read(k, f, buf, 10, 0), 10);
    CU_ASSERT_EQUAL(buf[3], 'b');
    ff->attr.flags = 0; /* the other writer closes; nobody has a lease to be told */
    ff->attr.version = 5;
    fake_run(k, 2 * SEC);
    CU_ASSERT_EQUAL(fake_read(k, f, buf, 10, 0), 10);
    CU_ASSERT_TRUE(fake_same(buf, 2, 5, 0, 10));
    CU_ASSERT_FALSE(client_file_is_live(f));
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

/* --- writing --- */

static void test_client_writes_and_closes_once(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W | FSOP_ACCESS_R);
    struct client_file *g = fake_open_file(k, 2, FSOP_ACCESS_W);
    struct client_file *h = fake_open_file(k, 2, FSOP_ACCESS_R);
    CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_OPEN], 1);
    CU_ASSERT_TRUE(client_file_is_live(h));
    for (uint32_t i = 0; i < 200000; i++)
        buf[i] = (uint8_t)(i * 7);
    CU_ASSERT_EQUAL(fake_write(k, h, buf, 10, 0), E_BADF);
    CU_ASSERT_EQUAL(fake_write(k, f, buf, 200000, 500), 200000);
    CU_ASSERT_EQUAL(memcmp(k->written + 500, buf, 200000), 0);
    static uint8_t back[200000];
    CU_ASSERT_EQUAL(fake_read(k, h, back, 200000, 500), 200000); /* by the other handle */
    CU_ASSERT_EQUAL(memcmp(back, buf, 200000), 0);
    CU_ASSERT_EQUAL(fake_write(k, g, buf, 100, SIZE + 1000), 100);
    struct client_req r = {0};
    CU_ASSERT_EQUAL(fake_req(k, &r, FSOP_GETATTR, 2, NULL), 0);
    CU_ASSERT_EQUAL(r.reply.attr.size, SIZE + 1100);
    struct client_io io = {.file = f};
    client_fsync(k->c, &io);
    CU_ASSERT_EQUAL(sim_run_op(k->sim, &io.op, SEC), 0);
    CU_ASSERT_EQUAL(k->w[0].syncs, k->w[0].writes > 0);
    CU_ASSERT_EQUAL(k->w[1].syncs, k->w[1].writes > 0);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_CLOSE], 0);
    CU_ASSERT_EQUAL(fake_release(k, g), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_CLOSE], 1);
    CU_ASSERT_FALSE(client_file_is_live(h));
    CU_ASSERT_EQUAL(client_file_attr(h).version, 2);
    CU_ASSERT_EQUAL(fake_release(k, h), 0);
    fake_close(k);
}

static int64_t sync_file(struct fake *k, struct client_file *f)
{
    struct client_io io = {.file = f};
    client_fsync(k->c, &io);
    return sim_run_op(k->sim, &io.op, 20 * SEC);
}

static uint32_t all_syncs(const struct fake *k)
{
    return k->w[0].syncs + k->w[1].syncs;
}

/* one that is about the bytes alone says so, and is not enough for one that is about all */
static void test_client_syncs_bytes_alone(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W | FSOP_ACCESS_R);
    struct client_io io = {.file = f, .data_only = true};
    const struct {
        bool writes, data_only;
        uint32_t syncs, datasyncs;
    } steps[] = {{true, true, 1, 1},  {false, true, 1, 1}, {false, false, 2, 1},
                 {false, true, 2, 1}, {true, true, 3, 2},  {true, false, 4, 2},
                 {true, true, 5, 3},  {false, false, 6, 3}};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        if (steps[i].writes)
            CU_ASSERT_EQUAL(fake_write(k, f, buf, 100, 0), 100);
        io = (struct client_io){.file = f, .data_only = steps[i].data_only};
        client_fsync(k->c, &io);
        CU_ASSERT_EQUAL(sim_run_op(k->sim, &io.op, 20 * SEC), 0);
        CU_ASSERT_EQUAL(all_syncs(k), steps[i].syncs);
        CU_ASSERT_EQUAL(k->w[0].datasyncs + k->w[1].datasyncs, steps[i].datasyncs);
    }
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

/* what the master did for us is not durable below either */
static void test_client_syncs_what_was_cut(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W | FSOP_ACCESS_R);
    CU_ASSERT_EQUAL(fake_write(k, f, buf, 100, 0), 100);
    CU_ASSERT_EQUAL(sync_file(k, f), 0);
    CU_ASSERT_EQUAL(all_syncs(k), 1);
    struct client_req r = {.fsop = {.valid = FSOP_SET_SIZE, .size = 50}};
    CU_ASSERT_EQUAL(fake_req(k, &r, FSOP_SETATTR, 2, NULL), 0);
    CU_ASSERT_EQUAL(sync_file(k, f), 0);
    CU_ASSERT_EQUAL(all_syncs(k), 2);
    CU_ASSERT_EQUAL(sync_file(k, f), 0);
    CU_ASSERT_EQUAL(all_syncs(k), 2);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

/* fsync is about the file, not about the handle */
static void test_client_syncs_what_others_wrote(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W | FSOP_ACCESS_R);
    CU_ASSERT_EQUAL(fake_write(k, f, buf, 100, 0), 100);
    /* two at a time: neither returns before a worker has synced for it */
    struct client_io io[2] = {{.file = f}, {.file = f}};
    io[0].op.done = io[1].op.done = fake_nothing;
    client_fsync(k->c, &io[0]);
    client_fsync(k->c, &io[1]);
    fake_run(k, SEC);
    CU_ASSERT_EQUAL(all_syncs(k), 2);
    CU_ASSERT_EQUAL(sync_file(k, f), 0); /* nothing is dirty any more */
    CU_ASSERT_EQUAL(all_syncs(k), 2);
    CU_ASSERT_EQUAL(fake_write(k, f, buf, 100, 0), 100);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    f = fake_open_file(k, 2, FSOP_ACCESS_R); /* written by a handle that is gone */
    CU_ASSERT_EQUAL(sync_file(k, f), 0);
    CU_ASSERT_EQUAL(all_syncs(k), 3);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

static void test_client_tells_each_handle_of_a_failed_sync(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W);
    struct client_file *g = fake_open_file(k, 2, FSOP_ACCESS_W);
    CU_ASSERT_EQUAL(fake_write(k, f, buf, 100, 0), 100);
    k->w[0].err = k->w[1].err = E_IO;
    CU_ASSERT_EQUAL(sync_file(k, f), E_IO);
    k->w[0].err = k->w[1].err = 0;
    CU_ASSERT_EQUAL(sync_file(k, g), E_IO);
    CU_ASSERT_EQUAL(sync_file(k, g), 0);
    CU_ASSERT_EQUAL(sync_file(k, f), 0);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    CU_ASSERT_EQUAL(fake_release(k, g), 0);
    fake_close(k);
}

static void test_client_release_tells_a_failed_close(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W);
    k->answer_err[FSOP_WRITE_CLOSE] = E_IO;
    CU_ASSERT_EQUAL(fake_release(k, f), E_IO);
    /* a master that cannot be reached: told at the deadline, and owed until it answers */
    k->answer_err[FSOP_WRITE_CLOSE] = 0;
    f = fake_open_file(k, 2, FSOP_ACCESS_W);
    uint32_t closes = k->kinds[FSOP_WRITE_CLOSE];
    k->answer_err[FSOP_WRITE_CLOSE] = E_AGAIN;
    struct client_io io = {.file = f, .deadline_ns = env_now_ns(k->e) + SEC};
    client_release(k->c, &io);
    CU_ASSERT_EQUAL(sim_run_op(k->sim, &io.op, 20 * SEC), E_TIMEOUT);
    fake_check(k);
    uint64_t seq = k->last_seq[FSOP_WRITE_CLOSE];
    k->answer_err[FSOP_WRITE_CLOSE] = 0;
    fake_run(k, 2 * SEC);
    CU_ASSERT(k->kinds[FSOP_WRITE_CLOSE] > closes + 1);
    CU_ASSERT_EQUAL(k->last_seq[FSOP_WRITE_CLOSE], seq); /* a second one may meet a later open */
    CU_ASSERT_EQUAL(fake_find(k, (struct ino){2})->attr.flags & FSATTR_LIVE, 0);
    /* and the file can be written again */
    f = fake_open_file(k, 2, FSOP_ACCESS_W);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

static void test_client_open_of_unknown_outcome_is_closed(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_req r = {.deadline_ns = env_now_ns(k->e) + SEC};
    r.fsop.mode = FSOP_ACCESS_W;
    k->answer_err[FSOP_WRITE_OPEN] = E_AGAIN;
    CU_ASSERT_EQUAL(fake_req(k, &r, FSOP_OPEN, 2, NULL), E_TIMEOUT);
    CU_ASSERT_PTR_NULL(r.file);
    memset(&r, 0xff, sizeof r); /* nobody looks at it any more */
    uint64_t seq = k->last_seq[FSOP_WRITE_OPEN];
    fake_run(k, SEC);
    /* no close overtakes it: it is asked for under its number until it is answered */
    CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_CLOSE], 0);
    k->answer_err[FSOP_WRITE_OPEN] = 0;
    fake_run(k, 2 * SEC);
    CU_ASSERT_EQUAL(k->last_seq[FSOP_WRITE_OPEN], seq);
    CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_CLOSE], 1);
    CU_ASSERT_FALSE(fake_find(k, (struct ino){2})->attr.flags & FSATTR_LIVE);
    k->answer_err[FSOP_WRITE_OPEN] = E_ROFS;
    r = (struct client_req){0};
    r.fsop.mode = FSOP_ACCESS_W;
    CU_ASSERT_EQUAL(fake_req(k, &r, FSOP_OPEN, 2, NULL), E_ROFS);
    CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_CLOSE], 1);
    k->answer_err[FSOP_WRITE_OPEN] = E_AGAIN;
    r = (struct client_req){.deadline_ns = env_now_ns(k->e) + SEC, .fsop.mode = FSOP_ACCESS_W};
    CU_ASSERT_EQUAL(fake_req(k, &r, FSOP_OPEN, 2, NULL), E_TIMEOUT);
    fake_close(k); /* with somebody who still asks */
}

static int64_t create_open(struct fake *k, struct client_req *r)
{
    r->fsop.mode = FSOP_S_IFREG | 0644;
    r->fsop.flags = FSOP_F_OPEN;
    return fake_req(k, r, FSOP_MKNOD, 1, "f");
}

static void test_client_creates_and_opens_at_once(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_req r = {0};
    CU_ASSERT_EQUAL(create_open(k, &r), 0);
    CU_ASSERT_EQUAL(r.reply.attr.ino.v, 2);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r.file);
    CU_ASSERT_TRUE(client_file_is_live(r.file));
    CU_ASSERT_EQUAL(fake_write(k, r.file, "bytes", 5, 0), 5);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W); /* the session writes it already */
    CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_OPEN], 0);
    CU_ASSERT_EQUAL(fake_release(k, r.file), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_CLOSE], 0);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_CLOSE], 1);
    fake_close(k);
}

/* Somebody opened and closed it by its name before its creator had the answer. */
static void test_client_creates_what_was_closed_meanwhile(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_req r = {.fsop = {.kind = FSOP_MKNOD,
                                    .ino = INO_ROOT,
                                    .mode = FSOP_S_IFREG | 0644,
                                    .flags = FSOP_F_OPEN,
                                    .name = "f",
                                    .name_len = 1}};
    k->answer_err[FSOP_MKNOD] = E_AGAIN;
    client_fs(k->c, &r);
    fake_run(k, 20 * MS);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_CLOSE], 1);
    k->answer_err[FSOP_MKNOD] = 0;
    CU_ASSERT_EQUAL(sim_run_op(k->sim, &r.op, 100 * SEC), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_OPEN], 2);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r.file);
    CU_ASSERT_EQUAL(fake_release(k, r.file), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_CLOSE], 2);
    fake_close(k);
}

static void test_client_creation_of_unknown_outcome_is_closed(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_req r = {.deadline_ns = env_now_ns(k->e) + SEC};
    k->answer_err[FSOP_MKNOD] = E_AGAIN;
    CU_ASSERT_EQUAL(create_open(k, &r), E_TIMEOUT);
    CU_ASSERT_PTR_NULL(r.file);
    memset(&r, 0xff, sizeof r); /* nobody looks at it any more */
    fake_run(k, SEC);
    CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_CLOSE], 0);
    k->answer_err[FSOP_MKNOD] = 0;
    fake_run(k, 2 * SEC);
    CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_CLOSE], 1);
    CU_ASSERT_FALSE(fake_find(k, (struct ino){2})->attr.flags & FSATTR_LIVE);
    k->answer_err[FSOP_MKNOD] = E_AGAIN;
    r = (struct client_req){.deadline_ns = env_now_ns(k->e) + SEC};
    CU_ASSERT_EQUAL(create_open(k, &r), E_TIMEOUT);
    fake_close(k); /* with somebody who still asks */
}

static void test_client_truncates_at_open(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W);
    struct client_req r = {0};
    r.fsop.mode = FSOP_ACCESS_W;
    r.fsop.flags = FSOP_F_TRUNC;
    CU_ASSERT_EQUAL(fake_req(k, &r, FSOP_OPEN, 2, NULL), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_OPEN], 1);
    CU_ASSERT_EQUAL(k->kinds[FSOP_SETATTR], 1);
    CU_ASSERT_EQUAL(r.reply.attr.size, 0);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    CU_ASSERT_EQUAL(fake_release(k, r.file), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_CLOSE], 1);
    fake_close(k);
}

static void test_client_files_outlive_a_session(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_R);
    struct client_file *w = fake_open_file(k, 4, FSOP_ACCESS_W);
    k->expire = true;
    fake_run(k, 3 * SEC);
    CU_ASSERT_EQUAL(k->kinds[FSOP_SESSION_OPEN], 2);
    CU_ASSERT_EQUAL(fake_read(k, f, buf, SIZE, 0), SIZE);
    CU_ASSERT_TRUE(fake_same(buf, 2, 1, 0, SIZE));
    CU_ASSERT_EQUAL(fake_write(k, w, "abc", 3, 0), 3); /* a writer again, in the new session */
    CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_OPEN], 2);
    CU_ASSERT_EQUAL(fake_release(k, w), 0);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    w = fake_open_file(k, 4, FSOP_ACCESS_W);
    k->expire = true;
    fake_run(k, 3 * SEC);
    CU_ASSERT_EQUAL(fake_release(k, w), E_SESSION_EXPIRED);
    fake_close(k);
}

static void test_client_writes_survive_a_lost_worker(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W);
    memset(buf, 'x', SIZE);
    CU_ASSERT_EQUAL(fake_write(k, f, buf, SIZE, 0), SIZE);
    sim_node_crash(k->w[1].node);
    memset(buf, 'y', SIZE);
    CU_ASSERT_EQUAL(fake_write(k, f, buf, SIZE, 0), SIZE);
    CU_ASSERT_EQUAL(memcmp(k->written, buf, SIZE), 0);
    struct client_io io = {.file = f};
    client_fsync(k->c, &io); /* what the lost one had may not be on disk */
    int64_t ret = sim_run_op(k->sim, &io.op, 20 * SEC);
    CU_ASSERT(ret == E_IO || ret == E_TIMEOUT);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

/* a worker that is lost in the middle of a write may have pulled the bytes: until it cannot write
 * them any more nobody else is asked to, and nobody is told that the write is over */
/* after a lapse the session may be over and the file closed: the master is asked first */
static void test_client_does_not_write_without_a_lease(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W);
    CU_ASSERT_EQUAL(fake_write(k, f, buf, 100, 0), 100);
    uint32_t n = k->w[0].writes + k->w[1].writes;
    k->silent = true;
    fake_run(k, (int64_t)k->lease_ns + SEC);
    struct client_io io = {.file = f, .buf = buf, .len = 100, .op.done = fake_nothing};
    io.deadline_ns = env_now_ns(sim_env(k->cn)) + SEC;
    client_write(k->c, &io);
    fake_run(k, 2 * SEC);
    CU_ASSERT_EQUAL(io.op.ret, E_TIMEOUT);
    CU_ASSERT_EQUAL(k->w[0].writes + k->w[1].writes, n);
    k->silent = false;
    CU_ASSERT_EQUAL(fake_write(k, f, buf, 100, 0), 100);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

/* The host of a worker started anew between write and sync: what its kernel had is gone. */
static void test_client_sync_by_another_kernel(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W);
    k->w[0].kernel = k->w[1].kernel = 11;
    CU_ASSERT_EQUAL(fake_write(k, f, buf, 100, 0), 100);
    CU_ASSERT_EQUAL(sync_file(k, f), 0);
    CU_ASSERT_EQUAL(fake_write(k, f, buf, 100, 0), 100);
    k->w[0].kernel = k->w[1].kernel = 12;
    CU_ASSERT_EQUAL(fake_write(k, f, buf, 100, 100), 100); /* by the new one */
    CU_ASSERT_EQUAL(sync_file(k, f), E_IO);
    CU_ASSERT_EQUAL(sync_file(k, f), 0); /* it was said once, as of any lost write */
    CU_ASSERT_EQUAL(fake_write(k, f, buf, 100, 0), 100);
    CU_ASSERT_EQUAL(sync_file(k, f), 0);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

static void test_client_syncs_when_the_worker_is_back(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W);
    CU_ASSERT_EQUAL(fake_write(k, f, buf, 100, 0), 100);
    k->w[0].err = k->w[1].err = E_UNAVAILABLE;
    struct client_io io = {.file = f, .op.done = fake_nothing, .op.ret = 1};
    client_fsync(k->c, &io);
    fake_run(k, SEC / 2);
    CU_ASSERT_EQUAL(io.op.ret, 1);
    k->w[0].err = k->w[1].err = 0;
    fake_run(k, 2 * SEC);
    CU_ASSERT_EQUAL(io.op.ret, 0);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

static void test_client_waits_for_a_lost_write(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W);
    k->w[0].silent = k->w[1].silent = true;
    struct client_io io = {.file = f, .buf = buf, .len = 100};
    struct env_op *op = &io.op;
    op->done = fake_nothing;
    client_write(k->c, &io);
    for (int i = 0; i < 1000 && !k->w[0].writes && !k->w[1].writes; i++)
        fake_run(k, SEC / 1000);
    uint32_t first = k->w[0].writes ? 0 : 1;
    k->w[!first].silent = false;
    int64_t lost_ns = sim_now_ns(k->sim);
    sim_node_crash(k->w[first].node);
    for (int i = 0; i < 5000 && !k->w[!first].writes; i++)
        fake_run(k, SEC / 1000);
    CU_ASSERT_EQUAL(k->w[!first].writes, 1);
    CU_ASSERT(sim_now_ns(k->sim) - lost_ns > RPC_WRITE_VALID_MS * (SEC / 1000));
    CU_ASSERT(sim_now_ns(k->sim) - lost_ns < 2 * RPC_WRITE_VALID_MS * (SEC / 1000));
    fake_run(k, SEC);
    CU_ASSERT_EQUAL(op->ret, 100);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

/* one call however long the range is; the size that this mount knows of follows, or not */
static void test_client_allocates(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W);
    uint64_t size = client_file_attr(f).size, far = (uint64_t)1 << 40;
    struct client_io io = {
        .file = f, .off = FAKE_PAGE - 1, .range = far, .how = UFS_ALLOC_KEEP | UFS_ALLOC_PUNCH};
    client_alloc(k->c, &io);
    CU_ASSERT_EQUAL(sim_run_op(k->sim, &io.op, 20 * SEC), 0);
    CU_ASSERT(k->alloc_off == FAKE_PAGE - 1 && k->alloc.len == far && k->alloc.how == io.how);
    CU_ASSERT_EQUAL(client_file_attr(f).size, size);
    io = (struct client_io){.file = f, .off = 5, .range = far};
    client_alloc(k->c, &io);
    CU_ASSERT_EQUAL(sim_run_op(k->sim, &io.op, 20 * SEC), 0);
    CU_ASSERT_EQUAL(client_file_attr(f).size, far + 5);
    k->w[0].err = k->w[1].err = E_NOTSUP;
    io = (struct client_io){.file = f, .off = 5, .range = far};
    client_alloc(k->c, &io);
    CU_ASSERT_EQUAL(sim_run_op(k->sim, &io.op, SEC), E_NOTSUP);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

static void test_client_loads(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_R);
    struct client_io io = {.file = f, .len = SIZE};
    client_load(k->c, &io);
    CU_ASSERT_EQUAL(sim_run_op(k->sim, &io.op, 20 * SEC), SIZE);
    CU_ASSERT_EQUAL(k->w[0].loads + k->w[1].loads, 21);
    struct rpc_worker_info i;
    CU_ASSERT_TRUE(client_place(k->c, (struct ino){2}, 0, &i));
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

static bool waited;

static void waited_done(struct env_op *op)
{
    (void)op;
    waited = true;
}

/* Nothing is read of a version that could not be told from the next one. */
static void test_client_waits_for_a_fingerprint(void)
{
    static uint8_t b[1000];
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct fsattr *a = NULL;
    for (uint32_t i = 0; i < k->n_files; i++)
        if (k->files[i].ino.v == 2)
            a = &k->files[i].attr;
    CU_ASSERT_PTR_NOT_NULL_FATAL(a);
    a->fp = 0; /* for ever: it is read, but cannot be kept */
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_R);
    struct client_io io = {.file = f, .len = sizeof b};
    client_load(k->c, &io);
    CU_ASSERT_EQUAL(sim_run_op(k->sim, &io.op, 20 * SEC), E_BUSY);
    CU_ASSERT_EQUAL(k->w[0].loads + k->w[1].loads, 0);
    CU_ASSERT_EQUAL(fake_read(k, f, b, sizeof b, 0), (int64_t)sizeof b);
    CU_ASSERT(fake_same(b, 2, 1, 0, sizeof b));
    CU_ASSERT_EQUAL(fake_release(k, f), 0);

    f = fake_open_file(k, 2, FSOP_ACCESS_R);
    uint32_t opens = k->kinds[FSOP_OPEN];
    io = (struct client_io){.file = f, .buf = b, .len = sizeof b};
    io.op.done = waited_done;
    waited = false;
    client_read(k->c, &io);
    fake_run(k, 15 * MS);
    CU_ASSERT(!waited);
    a->version = 2; /* it was written once more */
    a->fp = 78;
    fake_run(k, 30 * MS);
    CU_ASSERT(waited && io.op.ret == sizeof b && fake_same(b, 2, 2, 0, sizeof b));
    CU_ASSERT(k->kinds[FSOP_OPEN] > opens && k->kinds[FSOP_OPEN] <= opens + 2);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

/* a storm: resets, crashes and clogs under many readers; every read ends, right or with an error */
static struct client_io storm_io[64];
static uint8_t storm_buf[64][100000];
static uint32_t storm_left, storm_ok, storm_wrong;

static void storm_done(struct env_op *op)
{
    struct client_io *io = container_of(op, struct client_io, op);
    storm_left--;
    if (op->ret < 0)
        return;
    storm_ok++;
    storm_wrong += !fake_same(io->buf, 2, 1, io->off, (uint64_t)op->ret) ||
                   (uint64_t)op->ret != base_min_u64(io->len, SIZE - io->off);
}

static void test_client_storm(void)
{
    struct client_config cfg = fake_config();
    cfg.page_cache_bytes = 3 * FAKE_PAGE;
    cfg.deadline_ns = 3 * SEC;
    struct fake *k = fake_open(&cfg, NULL, true);
    struct client_file *f[8];
    storm_ok = storm_wrong = storm_left = 0;
    for (int i = 0; i < 8; i++)
        f[i] = fake_open_file(k, 2, FSOP_ACCESS_R);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 64; i++) {
            struct client_io *io = &storm_io[i];
            *io = (struct client_io){.file = f[i % 8], .buf = storm_buf[i]};
            io->op.done = storm_done;
            io->len = 1 + (uint32_t)sim_random(k->sim, 99999);
            io->off = i % 3 ? (uint64_t)(i / 8 * 100000) % SIZE : sim_random(k->sim, SIZE);
            storm_left++;
            client_read(k->c, io);
        }
        fake_run(k, (int64_t)sim_random(k->sim, 3 * MS));
        int v = (int)sim_random(k->sim, 2);
        switch (sim_random(k->sim, 4)) {
        case 0:
            sim_net_reset(k->cn, k->w[v].node);
            break;
        case 1:
            sim_net_clog(k->w[v].node, k->cn, 50 * MS);
            break;
        case 2:
            sim_node_crash(k->w[v].node);
            fake_worker_up(k, v);
            break;
        default:
            sim_net_reset(k->cn, k->mn[0]);
            break;
        }
        fake_run(k, 5 * SEC);
        CU_ASSERT_EQUAL(storm_left, 0);
        fake_check(k);
    }
    CU_ASSERT_EQUAL(storm_wrong, 0);
    CU_ASSERT_EQUAL(storm_ok, 20 * 64);
    for (int i = 0; i < 8; i++)
        CU_ASSERT_EQUAL(fake_release(k, f[i]), 0);
    fake_close(k);
}

UNIT_MAIN(
    "client_io", UNIT(test_client_waits_for_a_fingerprint), UNIT(test_client_reads_the_right_bytes),
    UNIT(test_client_opens_from_cache), UNIT(test_client_reads_ahead_of_a_sequential_reader),
    UNIT(test_client_random_reads_are_exact), UNIT(test_client_readahead_shares_few_buffers),
    UNIT(test_client_keeps_a_page_that_has_paid), UNIT(test_client_keeps_pages_of_one_version),
    UNIT(test_client_keeps_few_pages_of_many), UNIT(test_client_survives_a_failed_page),
    UNIT(test_client_goes_to_the_next_worker), UNIT(test_client_passes_by_a_failing_worker),
    UNIT(test_client_reads_end_by_their_deadline),
    UNIT(test_client_pins_anew_before_the_first_byte), UNIT(test_client_never_mixes_versions),
    UNIT(test_client_follows_a_renamed_file), UNIT(test_client_sees_live_files_and_their_end),
    UNIT(test_client_syncs_bytes_alone), UNIT(test_client_syncs_what_was_cut),
    UNIT(test_client_syncs_what_others_wrote), UNIT(test_client_tells_each_handle_of_a_failed_sync),
    UNIT(test_client_writes_and_closes_once), UNIT(test_client_release_tells_a_failed_close),
    UNIT(test_client_creates_and_opens_at_once),
    UNIT(test_client_creates_what_was_closed_meanwhile),
    UNIT(test_client_creation_of_unknown_outcome_is_closed),
    UNIT(test_client_open_of_unknown_outcome_is_closed), UNIT(test_client_truncates_at_open),
    UNIT(test_client_files_outlive_a_session), UNIT(test_client_writes_survive_a_lost_worker),
    UNIT(test_client_does_not_write_without_a_lease), UNIT(test_client_sync_by_another_kernel),
    UNIT(test_client_syncs_when_the_worker_is_back), UNIT(test_client_waits_for_a_lost_write),
    UNIT(test_client_allocates), UNIT(test_client_loads), UNIT(test_client_storm))
