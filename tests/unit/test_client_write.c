/* tests/unit/test_client_write.c - when a write may be begun, until when it may land, and the size
 * that it leaves. */
#include "test_client_fake.h"

static uint8_t bytes[FAKE_PAGE];

static uint32_t all_writes(const struct fake *k)
{
    return k->w[0].writes + k->w[1].writes;
}

/* until a worker is asked to write; ret: which */
static int until_asked(struct fake *k)
{
    uint32_t was[2] = {k->w[0].writes, k->w[1].writes};
    for (int i = 0; i < 5000; i++) {
        fake_run(k, MS);
        for (int w = 0; w < 2; w++)
            if (k->w[w].writes > was[w])
                return w;
    }
    CU_FAIL("no worker was asked");
    return 0;
}

/* A piece under way when the lease ends is given up there and then, and tried again only in a
 * session that has the file open: with another one's lease, the file is closed in the cluster. */
static void test_client_write_ends_with_the_lease(void)
{
    for (int expires = 0; expires < 2; expires++) {
        struct client_config cfg = fake_config();
        struct fake *k = fake_open(&cfg, NULL, false);
        struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W);
        struct client_io io = {.file = f, .buf = bytes, .len = 100, .op.done = fake_nothing};
        io.op.ret = 1;
        io.deadline_ns = env_now_ns(k->e) + 200 * SEC; /* one attempt: 50 s */
        k->w[0].silent = k->w[1].silent = true;
        client_write(k->c, &io);
        (void)until_asked(k);
        k->silent = true;
        k->w[0].silent = k->w[1].silent = false;
        fake_run(k, 8 * SEC);
        CU_ASSERT_EQUAL(io.op.ret, 1);
        CU_ASSERT_EQUAL(all_writes(k), 1);
        k->expire = expires;
        k->silent = false;
        fake_run(k, 4 * SEC);
        CU_ASSERT_EQUAL(io.op.ret, 100);
        CU_ASSERT_EQUAL(all_writes(k), 2);
        CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_OPEN], expires ? 2 : 1);
        CU_ASSERT_EQUAL(fake_release(k, f), 0);
        fake_close(k);
    }
}

/* The leader that is gone may have closed the file, before it could end the session. */
static void test_client_write_after_a_change_of_leader(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W);
    CU_ASSERT_EQUAL(fake_write(k, f, bytes, 100, 0), 100);
    CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_OPEN], 1);
    k->epoch++;
    fake_run(k, 4 * SEC);
    CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_OPEN], 1);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(fake_write(k, f, bytes, 100, 0), 100);
        CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_OPEN], 2);
    }
    /* asked of the one, answered by the next, who need not know what became of it since */
    k->epoch++;
    fake_run(k, 4 * SEC);
    k->answer_err[FSOP_WRITE_OPEN] = E_AGAIN;
    struct client_io io = {.file = f, .buf = bytes, .len = 100, .op.done = fake_nothing};
    client_write(k->c, &io);
    fake_run(k, SEC);
    k->epoch++;
    fake_run(k, 4 * SEC);
    uint64_t seq = k->last_seq[FSOP_WRITE_OPEN];
    k->answer_err[FSOP_WRITE_OPEN] = 0;
    fake_run(k, SEC);
    CU_ASSERT_EQUAL(io.op.ret, 100);
    CU_ASSERT_EQUAL(k->last_seq[FSOP_WRITE_OPEN], seq + 1);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

/* a renewed lease does not disturb what is under way */
static void test_client_write_outlives_a_renewed_lease(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W);
    struct client_io io = {.file = f, .buf = bytes, .len = 100, .op.done = fake_nothing};
    io.deadline_ns = env_now_ns(k->e) + 200 * SEC;
    k->w[0].holds = k->w[1].holds = true;
    client_write(k->c, &io);
    int w = until_asked(k);
    fake_run(k, 4 * (int64_t)k->lease_ns);
    CU_ASSERT_EQUAL(all_writes(k), 1);
    fake_give_back(&k->w[w]);
    fake_run(k, MS * 10);
    CU_ASSERT_EQUAL(io.op.ret, 100);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

/* Of what a worker may still write the caller is not told that it is over: the bytes are out of
 * reach for as long before the deadline as the worker has to write them, however short that is. */
static void test_client_write_of_little_time(void)
{
    for (int64_t ms = 40; ms <= 4000; ms *= 10) {
        for (int late = 0; late < 2; late++) {
            struct client_config cfg = fake_config();
            struct fake *k = fake_open(&cfg, NULL, false);
            struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W);
            struct client_io io = {.file = f, .buf = bytes, .len = 100, .op.done = fake_nothing};
            io.op.ret = 1;
            int64_t deadline_ns = io.deadline_ns = env_now_ns(k->e) + ms * MS;
            k->w[0].stalls = k->w[1].stalls = true;
            memset(bytes, 7, 100);
            memset(k->written, 0, 100);
            client_write(k->c, &io);
            int w = until_asked(k);
            int64_t valid_ns = k->w[w].valid_ms * MS;
            CU_ASSERT(valid_ns >= ms * MS / 4 - 2 * MS && valid_ns <= ms * MS / 4);
            struct fake_worker *first = &k->w[w];
            struct fake_io *io1 = first->stalled;
            if (late)
                fake_run(k, deadline_ns - valid_ns - env_now_ns(k->e));
            first->stalled = io1;
            fake_pull(first);
            fake_run(k, deadline_ns + MS - env_now_ns(k->e));
            CU_ASSERT_EQUAL(io.op.ret, late ? E_TIMEOUT : 100);
            CU_ASSERT_EQUAL(k->written[0], late ? 0 : 7);
            k->w[0].stalls = k->w[1].stalls = false;
            CU_ASSERT_EQUAL(fake_release(k, f), 0);
            fake_close(k);
        }
    }
}

/* Cut while a write was on its way: which was first only the under-store knows, so the write's end
 * is no size. */
static void test_client_write_met_by_a_cut(void)
{
    for (int told = 0; told < 2; told++) {
        struct client_config cfg = fake_config();
        struct fake *k = fake_open(&cfg, NULL, false);
        struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_R | FSOP_ACCESS_W);
        struct client_io io = {.file = f, .buf = bytes, .len = 100, .op.done = fake_nothing};
        io.off = 30 * FAKE_PAGE;
        k->w[0].holds = k->w[1].holds = true;
        client_write(k->c, &io);
        int w = until_asked(k);
        fake_run(k, 10 * MS);
        struct client_req r = {.fsop = {.valid = FSOP_SET_SIZE, .size = 10}};
        CU_ASSERT_EQUAL(told ? 0 : fake_req(k, &r, FSOP_SETATTR, 2, NULL), 0);
        if (told) { /* somebody else did */
            uint8_t body[64];
            struct wbuf b = wbuf_make(body, sizeof body);
            struct rpc_inval i = {.ino = {2}, .kind = RPC_INVAL_DATA};
            fake_find(k, (struct ino){2})->attr.size = 10;
            rpc_format_inval_put(&b, &i);
            k->call.op.done = fake_nothing;
            rpc_call(k->client_conn, RPC_INVALIDATE, b.p, (uint32_t)b.len, 100 * SEC, &k->call);
            fake_run(k, 10 * MS);
        }
        k->w[0].holds = k->w[1].holds = false;
        fake_give_back(&k->w[w]);
        fake_run(k, 10 * MS);
        CU_ASSERT_EQUAL(io.op.ret, 100);
        CU_ASSERT_EQUAL(fake_read(k, f, bytes, 100, 0), 10); /* asks what the size is now */
        CU_ASSERT_EQUAL(client_file_attr(f).size, 10);
        CU_ASSERT_EQUAL(fake_write(k, f, bytes, 100, 50), 100);
        CU_ASSERT_EQUAL(client_file_attr(f).size, 150);
        CU_ASSERT_EQUAL(fake_release(k, f), 0);
        fake_close(k);
    }
}

/* who gives up hears of it when nothing can land any more: neither at once nor at the deadline */
static void test_client_gives_up_a_write(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W);
    k->w[0].silent = k->w[1].silent = true;
    for (int twice = 0; twice < 2; twice++) { /* the second time while the end is waited for */
        char buf[100] = {0};
        uint32_t before = k->w[0].writes + k->w[1].writes;
        struct client_io io = {.file = f, .buf = buf, .len = 100};
        struct env_op *op = &io.op;
        op->done = fake_nothing;
        op->ret = 1;
        client_write(k->c, &io);
        for (int i = 0; i < 1000 && k->w[0].writes + k->w[1].writes == before; i++)
            fake_run(k, SEC / 1000);
        int64_t from_ns = sim_now_ns(k->sim);
        client_give_up(k->c, &io);
        if (twice)
            client_give_up(k->c, &io);
        for (int i = 0; i < 5000 && op->ret == 1; i++)
            fake_run(k, SEC / 1000);
        int64_t took_ms = (sim_now_ns(k->sim) - from_ns) / (SEC / 1000);
        CU_ASSERT_EQUAL(op->ret, E_CANCELLED);
        CU_ASSERT(took_ms >= RPC_WRITE_VALID_MS && took_ms < RPC_WRITE_VALID_MS * 5 / 4);
        CU_ASSERT_EQUAL(k->w[0].writes + k->w[1].writes, before + 1); /* nobody else was asked */
        fake_run(k, 3 * SEC);
    }
    k->w[0].silent = k->w[1].silent = false;
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

/* A place to append to is good as long as who gave it leads: the next one does not know of it, and
 * gives it again. */
static void test_client_write_to_a_place_that_the_last_leader_gave(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W);
    struct client_io io = {.file = f, .buf = bytes, .len = 100, .op.done = fake_nothing};
    io.placed = 1;
    io.op.ret = 1;
    k->w[0].silent = k->w[1].silent = true;
    client_write(k->c, &io);
    (void)until_asked(k);
    k->epoch++;
    fake_run(k, 2 * SEC);
    CU_ASSERT_EQUAL(all_writes(k), 1);
    k->w[0].silent = k->w[1].silent = false;
    fake_run(k, 10 * SEC);
    CU_ASSERT_EQUAL(all_writes(k), 1);
    CU_ASSERT_EQUAL(io.op.ret, E_IO);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

static int places_answer(struct fake *k)
{
    uint8_t body[16];
    struct wbuf w = wbuf_make(body, sizeof body);
    rpc_format_inos_put(&w, 1);
    wbuf_u64(&w, 2);
    memset(&k->call, 0, sizeof k->call);
    k->call.op.done = fake_nothing;
    k->call.op.ret = 1;
    rpc_call(k->client_conn, RPC_PLACES, w.p, (uint32_t)w.len, 100 * SEC, &k->call);
    fake_run(k, 10 * MS);
    return (int)k->call.op.ret;
}

/* Before a truncation: what was begun is waited for, and goes on; for the rest another place is
 * asked for, also if the write to it was not even asked for yet. */
static void test_client_write_to_a_place_of_before_a_truncation(void)
{
    for (int begun = 0; begun < 2; begun++) {
        struct client_config cfg = fake_config();
        struct fake *k = fake_open(&cfg, NULL, false);
        struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W);
        struct client_req place = {.fsop = {.kind = FSOP_GETATTR, .ino = {2}, .size = 100}};
        struct client_io io = {.file = f, .buf = bytes, .len = 100, .op.done = fake_nothing};
        place.op.done = fake_nothing;
        client_fs(k->c, &place);
        fake_run(k, 100 * MS);
        CU_ASSERT(place.placed != 0);
        io.placed = place.placed;
        io.op.ret = 1;
        if (begun) {
            k->w[0].holds = k->w[1].holds = true;
            client_write(k->c, &io);
            int w = until_asked(k);
            fake_run(k, 10 * MS);
            CU_ASSERT_EQUAL(places_answer(k), E_AGAIN);
            CU_ASSERT_EQUAL(io.op.ret, 1);
            k->w[0].holds = k->w[1].holds = false;
            fake_give_back(&k->w[w]);
            fake_run(k, 10 * MS);
            CU_ASSERT_EQUAL(io.op.ret, 100);
        }
        CU_ASSERT_EQUAL(places_answer(k), 0);
        if (!begun) {
            client_write(k->c, &io);
            fake_run(k, 100 * MS);
            CU_ASSERT(io.op.ret == E_NOT_LEADER && io.is_displaced && all_writes(k) == 0);
        }
        CU_ASSERT_EQUAL(fake_release(k, f), 0);
        fake_close(k);
    }
}

/* No truncation waits for a write that does not end: its attempt is waited for, and is the last. */
static void test_client_write_to_a_place_that_does_not_end(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_W);
    struct client_io io = {
        .file = f, .buf = bytes, .len = 100, .op.done = fake_nothing, .placed = 1};
    io.op.ret = 1;
    k->w[0].silent = k->w[1].silent = true;
    client_write(k->c, &io);
    (void)until_asked(k);
    CU_ASSERT_EQUAL(places_answer(k), E_AGAIN);
    fake_run(k, 1 * SEC);
    CU_ASSERT_EQUAL(places_answer(k), E_AGAIN);
    fake_run(k, 20 * SEC);
    CU_ASSERT_EQUAL(places_answer(k), 0);
    CU_ASSERT_EQUAL(io.op.ret, E_IO);
    CU_ASSERT_EQUAL(all_writes(k), 1);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    fake_close(k);
}

/* The leader that made the file may have closed it before it was gone: its session was ending. */
static void test_client_write_to_a_file_that_the_last_leader_made(void)
{
    for (int again = 0; again < 2; again++) {
        struct client_config cfg = fake_config();
        struct fake *k = fake_open(&cfg, NULL, false);
        struct client_req r = {.fsop = {.mode = FSOP_S_IFREG | 0644, .flags = FSOP_F_OPEN}};
        CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 1, NULL), 0);
        r.op.done = fake_nothing;
        r.fsop.kind = FSOP_MKNOD;
        r.fsop.ino.v = 1;
        r.fsop.name = "f";
        r.fsop.name_len = 1;
        k->lose = 1;
        client_fs(k->c, &r);
        for (int i = 0; i < 1000 && k->lose; i++)
            fake_run(k, MS / 10);
        k->epoch += (uint64_t)again;
        fake_run(k, 2 * SEC);
        CU_ASSERT_PTR_NOT_NULL_FATAL(r.file);
        CU_ASSERT_EQUAL(k->duplicates, 1);
        CU_ASSERT_EQUAL(fake_write(k, r.file, bytes, 100, 0), 100);
        CU_ASSERT_EQUAL(k->kinds[FSOP_WRITE_OPEN], (uint32_t)again);
        CU_ASSERT_EQUAL(fake_release(k, r.file), 0);
        fake_close(k);
    }
}

UNIT_MAIN("client_write", UNIT(test_client_write_ends_with_the_lease),
          UNIT(test_client_write_after_a_change_of_leader),
          UNIT(test_client_write_outlives_a_renewed_lease), UNIT(test_client_write_of_little_time),
          UNIT(test_client_write_met_by_a_cut), UNIT(test_client_gives_up_a_write),
          UNIT(test_client_write_to_a_place_that_the_last_leader_gave),
          UNIT(test_client_write_to_a_place_of_before_a_truncation),
          UNIT(test_client_write_to_a_place_that_does_not_end),
          UNIT(test_client_write_to_a_file_that_the_last_leader_made))
