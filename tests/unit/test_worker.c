/* tests/unit/test_worker.c - reads, writes, fills, eviction, faults and restarts of a worker. */
#include "tests/unit/test_worker_world.h"

static void test_worker_miss_then_hit(void)
{
    make_world(1, 64 * PAGE);
    CU_ASSERT_EQUAL(read_file(5, 0, 2 * PAGE), 0);
    CU_ASSERT_EQUAL(fake.reads, 2);
    CU_ASSERT_EQUAL(read_file(5, 0, 2 * PAGE), 1);
    CU_ASSERT_EQUAL(read_file(5, 1000, 3000), 1);
    CU_ASSERT_EQUAL(read_file(5, PAGE - 7, 14), 1);
    CU_ASSERT_EQUAL(fake.reads, 2);
    CU_ASSERT_EQUAL(read_file(5, 2 * PAGE, 2 * PAGE), 0); /* clipped at the end of the file */
    CU_ASSERT_EQUAL(read_file(5, 2 * PAGE, 2 * PAGE), 1);
    CU_ASSERT_EQUAL(read_file(5, 1 << 30, 10), 1); /* nothing there: no byte came from elsewhere */
    CU_ASSERT_EQUAL(read_file(0, 0, PAGE), 0);     /* 100 bytes */
    CU_ASSERT_EQUAL(read_file(0, 0, PAGE), 1);
    struct worker_stats s = stats();
    CU_ASSERT_EQUAL(s.pages, 4);
    CU_ASSERT_EQUAL(s.ufs_reads, 4);
    CU_ASSERT_EQUAL(s.misses, 3);
    run_for(SECOND);
    CU_ASSERT_EQUAL(told[6], 3);
    CU_ASSERT_EQUAL(told[1], 1);
    CU_ASSERT_EQUAL(full_reports, 1);
    end_world();
}

static void test_worker_single_flight(void)
{
    make_world(2, 64 * PAGE);
    fake.latency_ns = 50000000;
    for (uint32_t i = 0; i < 100; i++)
        start(&calls[i], RPC_READ, 4, 0, i * 100, 50, (uint64_t)i * 50);
    for (uint32_t i = 0; i < 100; i++) {
        wait_for(&calls[i]);
        CU_ASSERT_EQUAL(calls[i].err, 0);
        CU_ASSERT(bytes_right(4, i * 100, 50, (uint64_t)i * 50));
    }
    CU_ASSERT_EQUAL(fake.reads, 1);
    end_world();
}

static void test_worker_failed_fetch_does_not_stick(void)
{
    make_world(3, 64 * PAGE);
    fake.fail = E_IO;
    for (uint32_t i = 0; i < 5; i++)
        start(&calls[i], RPC_READ, 4, 0, 0, 50, 0);
    for (uint32_t i = 0; i < 5; i++) {
        wait_for(&calls[i]);
        CU_ASSERT_EQUAL(calls[i].err, E_IO);
    }
    fake.fail = 0;
    CU_ASSERT_EQUAL(read_file(4, 0, 50), 0);
    CU_ASSERT_EQUAL(read_file(4, 0, 50), 1);
    CU_ASSERT_EQUAL(io(RPC_READ, FILES - 1, 0, 0, 10), 0);
    fake.file[3].gen = 0;
    CU_ASSERT_EQUAL(io(RPC_READ, 3, 0, 0, 10), E_NOENT);
    fake.file[6].is_dir = true; /* something above was renamed: the client is to ask where it is */
    CU_ASSERT_EQUAL(io(RPC_READ, 6, 0, 0, 10), E_CHANGED);
    CU_ASSERT_EQUAL(io(RPC_READ, 6, RPC_IO_LIVE, 0, 10), E_CHANGED);
    end_world();
}

static void test_worker_changed_file(void)
{
    make_world(4, 64 * PAGE);
    CU_ASSERT_EQUAL(read_file(4, 0, PAGE), 0);
    /* the client still opens the old version when it is replaced behind our back */
    start(&calls[1], RPC_READ, 4, 0, PAGE, 100, 0);
    fake.file[4].gen = 2;
    wait_for(&calls[1]);
    CU_ASSERT_EQUAL(calls[1].err, E_CHANGED);
    CU_ASSERT_EQUAL(read_file(4, 0, PAGE), 0); /* the new version has pages of its own */
    CU_ASSERT_EQUAL(read_file(4, 0, PAGE), 1);
    /* the master frees what is older */
    start_free(&calls[2], 4, 2);
    wait_for(&calls[2]);
    CU_ASSERT_EQUAL(calls[2].err, 0);
    run_for(SECOND);
    CU_ASSERT_EQUAL(stats().pages, 1);
    char name[ENV_NAME_MAX];
    worker_format_name(name, sizeof name, "", (struct ino){5}, 1, WORKER_FORMAT_DATA);
    CU_ASSERT_EQUAL(sim_disk_size(node_w, name), E_NOENT);
    name_of(4, WORKER_FORMAT_DATA, name);
    CU_ASSERT_EQUAL(sim_disk_size(node_w, name), PAGE);
    end_world();
}

static void test_worker_live_and_writes(void)
{
    make_world(5, 64 * PAGE);
    CU_ASSERT_EQUAL(io(RPC_READ, 4, RPC_IO_LIVE, 10, 100), 0);
    CU_ASSERT(bytes_right(4, 10, 100, 0));
    CU_ASSERT_EQUAL(io(RPC_READ, 4, RPC_IO_LIVE, 10, 100), 0);
    CU_ASSERT_EQUAL(calls[0].reply.hit, 0);
    CU_ASSERT_EQUAL(stats().live_reads, 2);
    CU_ASSERT_EQUAL(stats().pages, 0);
    CU_ASSERT_EQUAL(io(RPC_READ, 0, RPC_IO_LIVE, 90, 100), 0); /* 10 bytes are left */
    CU_ASSERT_EQUAL(calls[0].reply.bytes, 10);
    memcpy(buf, "written by a client", 19);
    CU_ASSERT_EQUAL(io(RPC_WRITE, 4, RPC_IO_LIVE, 3, 19), 0);
    CU_ASSERT_EQUAL(calls[0].reply.bytes, 19);
    CU_ASSERT(!memcmp(fake.file[4].written + 3, "written by a client", 19));
    CU_ASSERT_EQUAL(io(RPC_SYNC, 4, 0, 0, 0), 0);
    CU_ASSERT_EQUAL(fake.syncs, 1);
    memset(buf, 0, 64);
    CU_ASSERT_EQUAL(io(RPC_READ, 4, RPC_IO_LIVE, 3, 19), 0);
    CU_ASSERT(!memcmp(buf, "written by a client", 19));
    end_world();
}

/* of 1 TiB from the last byte of a page on: one operation, whose parameters are pulled */
static void test_worker_allocates(void)
{
    make_world(5, 64 * PAGE);
    struct wbuf w = wbuf_make(buf, RPC_ALLOC_BYTES);
    rpc_format_alloc_put(&w, &(struct rpc_alloc){(uint64_t)1 << 40, UFS_ALLOC_KEEP});
    CU_ASSERT_EQUAL(io(RPC_ALLOC, 4, RPC_IO_LIVE, PAGE - 1, RPC_ALLOC_BYTES), 0);
    CU_ASSERT_EQUAL(calls[0].reply.bytes, RPC_ALLOC_BYTES);
    CU_ASSERT_EQUAL(fake.file[4].alloc_off, PAGE - 1);
    CU_ASSERT_EQUAL(fake.file[4].alloc_len, (uint64_t)1 << 40);
    CU_ASSERT_EQUAL(fake.file[4].alloc_how, UFS_ALLOC_KEEP);
    CU_ASSERT_EQUAL(io(RPC_ALLOC, 4, RPC_IO_LIVE, 0, RPC_ALLOC_BYTES + 1), E_INVAL);
    fake.fail = E_NOTSUP;
    CU_ASSERT_EQUAL(io(RPC_ALLOC, 4, RPC_IO_LIVE, 0, RPC_ALLOC_BYTES), E_NOTSUP);
    end_world();
}

/* Stopped after it asked for the bytes and before it writes them: when it wakes up their writer has
 * gone another way, and they are not written any more.  A call that it had not seen before is as
 * good as new. */
static void test_worker_does_not_write_late(void)
{
    unsigned late[2] = {0};
    for (int64_t pause_at_ns = 0; pause_at_ns < 30; pause_at_ns++) {
        int64_t valid_ms = pause_at_ns < 15 ? RPC_WRITE_VALID_MS : 50;
        start_valid_ms = pause_at_ns < 15 ? 0 : 50;
        make_world(6, 64 * PAGE);
        fake.latency_ns = 10000000;
        memset(buf, 7, 100);
        start(&calls[0], RPC_WRITE, 2, RPC_IO_LIVE, 0, 100, 0);
        run_for(pause_at_ns % 15 * 1000000 / 4);
        sim_node_pause(node_w);
        run_for(valid_ms * (SECOND / 1000) + SECOND / 100);
        CU_ASSERT(!calls[0].done && !fake.file[2].n_written);
        sim_node_resume(node_w);
        run_for(SECOND);
        CU_ASSERT(calls[0].done && (calls[0].err == 0 || calls[0].err == E_AGAIN));
        CU_ASSERT_EQUAL(fake.file[2].n_written, calls[0].err ? 0 : 100);
        late[pause_at_ns / 15] += calls[0].err == E_AGAIN;
        end_world();
    }
    CU_ASSERT(late[0] > 5 && late[1] > 5);
    start_valid_ms = 0;
}

/* Connections whose other end is stopped: its kernel takes what is sent, nobody answers a pull. */
static struct {
    struct env_vt vt, sim;
    struct env_op *pulls[CALLS];
    unsigned n_pulls, hangups;
} stopped;

static void stopped_rma(struct env_conn *c, enum env_rma dir, void *m, uint32_t len,
                        struct env_key k, uint64_t off, struct env_op *o)
{
    if (dir == ENV_RMA_READ && stopped.n_pulls < CALLS)
        stopped.pulls[stopped.n_pulls++] = o;
    else
        stopped.sim.rma(c, dir, m, len, k, off, o);
}

static void stopped_hangup(struct env_conn *c)
{
    struct env *e = c->env;
    stopped.hangups++;
    stopped.sim.hangup(c);
    while (stopped.n_pulls) {
        struct env_op *o = stopped.pulls[--stopped.n_pulls];
        o->ret = E_CLOSED;
        stopped.sim.post(e, o);
    }
}

static void test_worker_a_stopped_writer_keeps_no_buffers(void)
{
    make_world(19, 64 * PAGE);
    struct env *e = sim_env(node_w);
    memset(&stopped, 0, sizeof stopped);
    stopped.sim = stopped.vt = *e->vt;
    stopped.vt.rma = stopped_rma;
    stopped.vt.hangup = stopped_hangup;
    e->vt = &stopped.vt;
    for (uint32_t i = 0; i < 16; i++) /* as many as there are buffers */
        start(&calls[i + 1], RPC_WRITE, 2, RPC_IO_LIVE, 0, 100, 0);
    run_for(SECOND / 10);
    CU_ASSERT_EQUAL(stopped.n_pulls, 12); /* the others are for what is cached */
    connect_client();                     /* another one */
    start(&calls[0], RPC_READ, 5, 0, 0, 100, 0);
    wait_for(&calls[0]);
    CU_ASSERT_EQUAL(calls[0].err, 0);
    CU_ASSERT_EQUAL(stopped.hangups, 1);
    CU_ASSERT_EQUAL(fake.file[2].n_written, 0);
    end_world();
}

/* Reads, writes and syncs of a mount whose under-store hangs, as many as come, leave the other its
 * fetches, buffers and requests. */
static void test_worker_a_hung_mount_stops_no_other(void)
{
    static const uint16_t methods[] = {RPC_READ, RPC_WRITE, RPC_SYNC, RPC_READ};
    static const uint16_t flags[] = {0, RPC_IO_LIVE, 0, RPC_IO_LIVE};
    two_mounts = true;
    make_world(21, 64 * PAGE);
    use_mount = 2;
    for (uint32_t i = 1; i < CALLS; i++)
        start(&calls[i], methods[i % 4], i / 4 % FILES, flags[i % 4], 0, 100, 0);
    run_for(SECOND);
    CU_ASSERT(fake.hung > 12);
    use_mount = 1;
    CU_ASSERT_EQUAL(read_file(30, 0, PAGE), 0); /* not cached: a fetch */
    CU_ASSERT_EQUAL(read_file(30, 0, PAGE), 1);
    CU_ASSERT_EQUAL(io(RPC_WRITE, 31, RPC_IO_LIVE, 0, 100), 0);
    CU_ASSERT_EQUAL(io(RPC_SYNC, 31, RPC_IO_LIVE, 0, 0), 0);
    two_mounts = false;
    end_world();
}

static void test_worker_load(void)
{
    make_world(6, 64 * PAGE);
    CU_ASSERT_EQUAL(io(RPC_LOAD, 7, 0, 0, 1 << 30), 0);
    CU_ASSERT_EQUAL(calls[0].reply.bytes, fake.file[7].size);
    CU_ASSERT_EQUAL(calls[0].reply.hit, 0);
    run_for(SECOND);
    CU_ASSERT_EQUAL(read_file(7, 0, 3 * PAGE), 1);
    CU_ASSERT_EQUAL(io(RPC_LOAD, 7, 0, 0, 1 << 30), 0);
    CU_ASSERT_EQUAL(calls[0].reply.hit, 1);
    end_world();
}

static void test_worker_evicts_under_pressure(void)
{
    static const char *const policies[] = {"s3fifo", "lru", "fifo"};
    for (unsigned p = 0; p < 3; p++) {
        policy = policies[p];
        make_world(7 + p, 6 * PAGE);
        char why[128] = "";
        for (uint32_t i = 0; i < 60; i++) {
            for (uint32_t k = 0; k < 8; k++)
                start(&calls[k], RPC_READ, (i * 7 + k * 3) % 12, 0, (k % 3) * (PAGE / 2), 3000,
                      (uint64_t)k * 4096);
            for (uint32_t k = 0; k < 8; k++) {
                wait_for(&calls[k]);
                CU_ASSERT_EQUAL(calls[k].err, 0);
                CU_ASSERT(bytes_right((i * 7 + k * 3) % 12, (k % 3) * (PAGE / 2),
                                      calls[k].reply.bytes, (uint64_t)k * 4096));
            }
            CU_ASSERT(stats().bytes <= 6 * PAGE);
            CU_ASSERT_FATAL(worker_check(worker, why, sizeof why));
        }
        run_for(SECOND);
        struct worker_stats s = stats();
        CU_ASSERT(s.evictions > 20);
        CU_ASSERT_EQUAL(s.corrupt, 0);
        CU_ASSERT(sim_disk_used(node_w) < 6 * PAGE + 200000); /* holes were punched */
        uint64_t sum = 0;
        for (uint32_t i = 0; i <= FILES; i++)
            sum += told[i];
        CU_ASSERT_EQUAL(sum, s.pages);
        end_world();
    }
    policy = NULL;
}

static void test_worker_eviction_gives_blocks_back(void)
{
    make_world(18, 6 * PAGE);
    for (uint32_t round = 0; round < 2; round++)
        for (uint64_t page = 0; page < 19; page++) /* one file, so that holes must be punched */
            CU_ASSERT(read_file(39, page * PAGE, 1000) >= 0);
    run_for(SECOND);
    CU_ASSERT(stats().evictions >= 20);
    CU_ASSERT(sim_disk_used(node_w) < 7 * PAGE);
    CU_ASSERT_EQUAL(stats().corrupt, 0);
    end_world();
}

static void client_closed(struct rpc_host *h, struct rpc_conn *c)
{
    (void)h;
    if (c == to_worker)
        to_worker = NULL;
}

/* Every kind of fault at once: what is answered without an error must be right, and when the storm
 * is over everything must be answered. */
static void test_worker_storm(void)
{
    for (uint64_t seed = 0; seed < 6; seed++) {
        page_cache_bytes = 3 * PAGE;
        make_world(100 + seed, 10 * PAGE);
        client.on_close = client_closed;
        struct sim_config storm = sim_config_stormy(seed), quiet = sim_config_quiet(seed);
        sim_net_set(sim, &storm.net);
        sim_disk_set(node_w, &storm.disk);
        uint32_t good = 0;
        for (uint32_t i = 0; i < 150; i++) {
            if (i % 40 == 39) {
                if (i % 80 == 39)
                    sim_node_crash(node_w);
                else
                    sim_node_power_loss(node_w);
                run_for(SECOND);
                worker_up();
            }
            if (!to_worker) {
                struct env_op o = {.done = done};
                rpc_connect(&client, "w:1", SECOND, &o, &to_worker);
                if (sim_run_op(sim, &o, 10 * SECOND))
                    to_worker = NULL;
            }
            if (!to_worker || worker_state(worker, NULL) != WORKER_SERVING)
                continue;
            uint32_t n = (uint32_t)sim_random(sim, 12);
            uint64_t off = sim_random(sim, fake.file[n].size + 100);
            good += read_file(n, off, (uint32_t)sim_random(sim, 2 * PAGE)) >= 0;
        }
        CU_ASSERT(good > 50);
        sim_net_set(sim, &quiet.net);
        sim_disk_set(node_w, &quiet.disk);
        sim_node_crash(node_w);
        run_for(SECOND);
        worker_up();
        run_for(SECOND);
        CU_ASSERT_EQUAL_FATAL(worker_state(worker, NULL), WORKER_SERVING);
        connect_client();
        for (uint32_t n = 0; n < 12; n++)
            CU_ASSERT(read_file(n, 0, 4 * PAGE) >= 0);
        end_world();
        page_cache_bytes = 0;
    }
}

static void test_worker_restart_keeps_pages(void)
{
    make_world(10, 64 * PAGE);
    for (uint32_t n = 0; n < 12; n++)
        CU_ASSERT(read_file(n, 0, 4 * PAGE) >= 0);
    run_for(SECOND);
    struct worker_stats before = stats();
    sim_node_crash(node_w);
    run_for(SECOND);
    worker_up();
    CU_ASSERT_EQUAL_FATAL(worker_state(worker, NULL), WORKER_SERVING);
    struct worker_stats after = stats();
    CU_ASSERT_EQUAL(after.pages, before.pages);
    CU_ASSERT_EQUAL(after.bytes, before.bytes);
    connect_client();
    uint64_t reads = fake.reads;
    for (uint32_t n = 0; n < 12; n++)
        CU_ASSERT_EQUAL(read_file(n, 0, 4 * PAGE < fake.file[n].size ? PAGE : 4 * PAGE), 1);
    CU_ASSERT_EQUAL(fake.reads, reads);
    CU_ASSERT_EQUAL(stats().corrupt, 0);
    run_for(SECOND);
    CU_ASSERT_EQUAL(full_reports, 2);
    end_world();
}

static void test_worker_serves_without_a_master(void)
{
    make_world(11, 64 * PAGE);
    CU_ASSERT_EQUAL(read_file(3, 0, PAGE), 0);
    run_for(SECOND);
    sim_node_crash(node_m);
    CU_ASSERT_EQUAL(read_file(3, 0, PAGE), 1);
    CU_ASSERT_EQUAL(read_file(4, 0, PAGE), 0);
    sim_node_crash(node_w);
    worker_up();
    CU_ASSERT_EQUAL(worker_state(worker, NULL), WORKER_SERVING);
    connect_client();
    CU_ASSERT_EQUAL(read_file(3, 0, PAGE), 1);
    CU_ASSERT_EQUAL(io(RPC_READ, 9, 0, 0, 10), E_AGAIN); /* nobody told it the mounts */
    end_world();
}

static void test_worker_power_loss_serves_no_wrong_byte(void)
{
    uint64_t lost = 0;
    for (uint64_t seed = 0; seed < 12; seed++) {
        make_world(20 + seed, 20 * PAGE);
        for (uint32_t n = 0; n < 14; n++)
            CU_ASSERT(read_file(n, 0, 4 * PAGE) >= 0);
        sim_node_power_loss(node_w);
        run_for(SECOND);
        worker_up();
        CU_ASSERT_EQUAL_FATAL(worker_state(worker, NULL), WORKER_SERVING);
        run_for(SECOND);
        connect_client();
        for (uint32_t round = 0; round < 2; round++)
            for (uint32_t n = 0; n < 14; n++)
                CU_ASSERT(read_file(n, 0, 4 * PAGE) >= 0); /* read_file checks every byte */
        lost += stats().corrupt;
        end_world();
    }
    CU_ASSERT(lost > 0); /* else the power losses did no harm and this shows nothing */
}

static void test_worker_keeps_pages_in_memory(void)
{
    page_cache_bytes = 4 * PAGE;
    make_world(13, 64 * PAGE);
    CU_ASSERT_EQUAL(read_file(6, 0, 3 * PAGE), 0);
    run_for(SECOND);
    char name[ENV_NAME_MAX];
    name_of(6, WORKER_FORMAT_DATA, name);
    CU_ASSERT_EQUAL(sim_disk_flip(node_w, name, PAGE + 20000, 3), 0);
    CU_ASSERT_EQUAL(read_file(6, 0, 3 * PAGE), 0); /* what is damaged does not come in */
    CU_ASSERT_EQUAL(stats().corrupt, 1);
    run_for(SECOND);
    CU_ASSERT_EQUAL(read_file(6, 0, 3 * PAGE), 1);
    CU_ASSERT_EQUAL(stats().memory_hits, 2); /* pages 0 and 2 */
    CU_ASSERT_EQUAL(sim_disk_flip(node_w, name, 20000, 3), 0);
    CU_ASSERT_EQUAL(read_file(6, 100, 2 * PAGE), 1); /* what is in is right */
    CU_ASSERT_EQUAL(stats().memory_hits, 5);
    CU_ASSERT_EQUAL(stats().corrupt, 1);
    /* what the index has not is not asked for, though it may still be in memory */
    uint64_t hits = stats().memory_hits;
    fake.file[6].gen++;
    CU_ASSERT_EQUAL(read_file(6, 0, 3 * PAGE), 0);
    CU_ASSERT_EQUAL(stats().memory_hits, hits);
    CU_ASSERT_TRUE(worker_check(worker, NULL, 0));
    /* more than fits: a few come and go, most stay */
    for (uint32_t round = 0; round < 20; round++)
        for (uint32_t n = 3; n < 12; n++)
            CU_ASSERT(read_file(n, 0, PAGE) >= 0);
    CU_ASSERT(stats().memory_hits > hits + 20);
    CU_ASSERT_TRUE(worker_check(worker, NULL, 0));
    end_world();
    page_cache_bytes = 0;
}

static void test_worker_flipped_bit(void)
{
    make_world(12, 64 * PAGE);
    CU_ASSERT_EQUAL(read_file(6, 0, 3 * PAGE), 0);
    run_for(SECOND);
    char name[ENV_NAME_MAX];
    name_of(6, WORKER_FORMAT_DATA, name);
    CU_ASSERT_EQUAL(sim_disk_flip(node_w, name, PAGE + 20000, 3), 0);
    CU_ASSERT_EQUAL(read_file(6, PAGE, 100), 1); /* another block of that page */
    CU_ASSERT_EQUAL(read_file(6, PAGE + 19000, 2000), 0);
    CU_ASSERT_EQUAL(stats().corrupt, 1);
    run_for(SECOND);
    CU_ASSERT_EQUAL(read_file(6, PAGE + 19000, 2000), 1);
    CU_ASSERT_EQUAL(stats().corrupt, 1);
    CU_ASSERT_EQUAL(sim_disk_bad(node_w, name, 0), 0); /* a bad sector, too */
    CU_ASSERT_EQUAL(read_file(6, 0, 100), 0);
    run_for(SECOND);
    CU_ASSERT_EQUAL(read_file(6, 0, 100), 1);
    /* a bit of the map: found at the next start */
    name_of(6, WORKER_FORMAT_MAP, name);
    CU_ASSERT_EQUAL(sim_disk_flip(node_w, name, WORKER_FORMAT_HEAD + 20, 1), 0);
    sim_node_crash(node_w);
    worker_up();
    run_for(SECOND);
    /* it may have been whole and handed out, so it is not repaired in place */
    CU_ASSERT_EQUAL(stats().pages, 0);
    connect_client();
    CU_ASSERT_EQUAL(read_file(6, 0, PAGE), 0);
    /* the head of the map: the file goes */
    run_for(SECOND);
    CU_ASSERT_EQUAL(sim_disk_flip(node_w, name, 9, 1), 0);
    sim_node_crash(node_w);
    worker_up();
    run_for(SECOND);
    CU_ASSERT_EQUAL(stats().pages, 0);
    CU_ASSERT_EQUAL(sim_disk_size(node_w, name), E_NOENT);
    end_world();
}

/* A map so long that it is read in pieces, of which the second cannot be read: what the first has
 * goes, too, as the rest takes room that would not be counted. */
static void test_worker_map_that_cannot_be_read(void)
{
    make_world(12, 64 * PAGE);
    fake.file[6].size = 3000 * (uint64_t)PAGE;
    CU_ASSERT_EQUAL(read_file(6, 0, 100), 0);
    CU_ASSERT_EQUAL(read_file(6, 2900 * (uint64_t)PAGE, 100), 0);
    CU_ASSERT_EQUAL(read_file(7, 0, 100), 0);
    run_for(SECOND);
    char name[ENV_NAME_MAX];
    name_of(6, WORKER_FORMAT_MAP, name);
    uint64_t last = (uint64_t)sim_disk_size(node_w, name) - 1;
    CU_ASSERT_EQUAL(sim_disk_bad(node_w, name, last), 0);
    sim_node_crash(node_w);
    worker_up();
    run_for(SECOND);
    CU_ASSERT_EQUAL(stats().pages, 1);
    CU_ASSERT_EQUAL(stats().corrupt, 1);
    CU_ASSERT_EQUAL(sim_disk_size(node_w, name), E_NOENT);
    name_of(6, WORKER_FORMAT_DATA, name);
    CU_ASSERT_EQUAL(sim_disk_size(node_w, name), E_NOENT);
    connect_client();
    CU_ASSERT_EQUAL(read_file(7, 0, 100), 1);
    end_world();
}

static void test_worker_disk_full(void)
{
    make_world(13, 64 * PAGE);
    struct sim_disk_config d = *sim_disk_get(node_w);
    d.capacity = 5 * PAGE + PAGE / 2;
    sim_disk_set(node_w, &d);
    for (uint32_t round = 0; round < 3; round++)
        for (uint32_t n = 0; n < 10; n++)
            CU_ASSERT(read_file(n, 0, 4 * PAGE) >= 0);
    run_for(SECOND);
    struct worker_stats s = stats();
    CU_ASSERT(s.pages > 0 && s.bytes < 6 * PAGE);
    CU_ASSERT(s.evictions > 0);
    CU_ASSERT_EQUAL(s.corrupt, 0);
    CU_ASSERT_EQUAL(s.errors, 0);
    d.capacity = 1; /* nothing fits at all */
    sim_disk_set(node_w, &d);
    for (uint32_t n = 0; n < 10; n++)
        CU_ASSERT(read_file(n, 0, 4 * PAGE) >= 0);
    end_world();
}

static void test_worker_foreign_directory(void)
{
    make_world(14, 64 * PAGE);
    sim_node_crash(node_w);
    sim_node_wipe(node_w);
    struct env *e = sim_node_up(node_w);
    struct env_file *f;
    struct env_op o = {.done = done};
    env_open(e, "precious", ENV_O_WRITE | ENV_O_CREATE, &f, &o);
    CU_ASSERT_EQUAL(sim_run_op(sim, &o, SECOND), 0);
    CU_ASSERT_EQUAL_FATAL(worker_open(e, sim_mem(node_w), &cfg, &worker), 0);
    run_for(SECOND);
    int why = 0;
    CU_ASSERT_EQUAL(worker_state(worker, &why), WORKER_FAILED);
    CU_ASSERT_EQUAL(why, E_CONFIG);
    CU_ASSERT_EQUAL(sim_disk_size(node_w, "worker"), E_NOENT);
    end_world();
}

static void test_worker_lost_beats(void)
{
    make_world(15, 64 * PAGE);
    drop_beats = true;
    CU_ASSERT(read_file(5, 0, 4 * PAGE) >= 0);
    run_for(5 * SECOND);
    CU_ASSERT_EQUAL(told[6], 0);
    drop_beats = false;
    run_for(5 * SECOND);
    CU_ASSERT_EQUAL(told[6], 3);
    end_world();
}

/* a worker that has nothing to say yet, or a page size it cannot have, keeps the rhythm */
static void test_worker_beats_are_not_a_storm(void)
{
    make_world(16, 64 * PAGE);
    sim_node_crash(node_w);
    sim_node_wipe(node_w);
    page_bytes = LIMIT_PAGE_MIN / 4;
    want_full = true;
    beats = 0;
    worker_up();
    CU_ASSERT(beats > 10 && beats < 200); /* ten seconds of one in 100 ms */
    CU_ASSERT_EQUAL(worker_state(worker, NULL), WORKER_STARTING);
    end_world();
}

static unsigned other_beats;

static void other_call(struct rpc_host *h, struct rpc_token t, uint16_t method, const void *body,
                       uint32_t len)
{
    (void)h, (void)body, (void)len;
    CU_ASSERT_EQUAL(method, RPC_WORKER_BEAT);
    struct rpc_worker_beat_reply a = {.interval_ns = SECOND / 10, .page_bytes = page_bytes};
    uint8_t out[64];
    struct wbuf w = wbuf_make(out, sizeof out);
    other_beats++;
    rpc_format_worker_beat_reply_put(&w, &a);
    rpc_reply(t, 0, out, (uint32_t)w.len);
}

/* An environment in which whoever asks to listen is kept waiting, and then refused. */
static struct env_op *slow_listen_op;

static void slow_listen(struct env *e, const char *addr, struct env_acceptor *a, struct env_op *op)
{
    (void)e, (void)addr, (void)a;
    slow_listen_op = op;
}

/* What cannot listen, or not yet, is reported to no master: clients would be sent to it. */
static void test_worker_listens_before_it_reports(void)
{
    make_world(23, 64 * PAGE);
    sim_node_crash(node_w);
    worker = NULL;
    struct env *e = sim_node_up(node_w);
    const struct env_vt *real = e->vt;
    struct env_vt slow = *real;
    slow.listen = slow_listen;
    e->vt = &slow;
    slow_listen_op = NULL;
    beats = 0;
    CU_ASSERT_EQUAL_FATAL(worker_open(e, sim_mem(node_w), &cfg, &worker), 0);
    run_for(20 * SECOND);
    CU_ASSERT_PTR_NOT_NULL_FATAL(slow_listen_op);
    CU_ASSERT_EQUAL(worker_state(worker, NULL), WORKER_STARTING);
    CU_ASSERT_EQUAL(beats, 0);
    slow_listen_op->ret = E_EXIST;
    env_post(e, slow_listen_op);
    run_for(20 * SECOND);
    CU_ASSERT_EQUAL(worker_state(worker, NULL), WORKER_FAILED);
    CU_ASSERT_EQUAL(beats, 0);
    e->vt = real;
    end_world();
}

/* A master that was added to the group since the worker began is reported to, as well. */
static void test_worker_hears_of_new_masters(void)
{
    static struct rpc_host other;
    struct env_op op = {0};
    make_world(17, 64 * PAGE);
    struct sim_node *n = sim_node_add(sim, "new");
    memset(&other, 0, sizeof other);
    other.on_call = other_call;
    struct env *en = sim_node_up(n);
    CU_ASSERT_EQUAL_FATAL(rpc_host_init(&other, en, sim_mem(n), 16, 64), 0);
    rpc_listen(&other, "new:1", &op);
    CU_ASSERT_EQUAL_FATAL(sim_run_op(sim, &op, SECOND), 0);
    run_for(SECOND);
    other_beats = 0;
    beats = 0;
    named[0] = "m:1"; /* known */
    named[1] = "new:1";
    two_mounts = true; /* the names are behind all of them */
    run_for(5 * SECOND);
    CU_ASSERT(other_beats > 30 && other_beats < 70);
    CU_ASSERT(beats > 30 && beats < 70);
    named[0] = named[1] = NULL;
    two_mounts = false;
    end_world();
}

/* So is one that comes after more have come and gone than a worker keeps. */
static void test_worker_hears_of_the_newest_masters(void)
{
    static struct rpc_host other;
    static char gone[2 * 16][16];
    struct env_op op = {0};
    make_world(19, 64 * PAGE);
    struct sim_node *n = sim_node_add(sim, "new");
    memset(&other, 0, sizeof other);
    other.on_call = other_call;
    struct env *en = sim_node_up(n);
    CU_ASSERT_EQUAL_FATAL(rpc_host_init(&other, en, sim_mem(n), 16, 64), 0);
    rpc_listen(&other, "new:1", &op);
    CU_ASSERT_EQUAL_FATAL(sim_run_op(sim, &op, SECOND), 0);
    named[0] = "m:1";
    two_mounts = true;
    for (int i = 0; i < 2 * 16; i++) {
        snprintf(gone[i], sizeof gone[i], "gone%d:1", i);
        named[1] = gone[i];
        run_for(5 * SECOND);
    }
    other_beats = 0;
    named[1] = "new:1";
    run_for(20 * SECOND);
    CU_ASSERT(other_beats > 30);
    beats = 0;
    run_for(SECOND);
    CU_ASSERT(beats > 5);
    named[0] = named[1] = NULL;
    two_mounts = false;
    end_world();
}

static void test_worker_page_size_changes_under_a_read(void)
{
    make_world(18, 64 * PAGE);
    fake.latency_ns = SECOND;
    memset(buf, 0xaa, BUF);
    start(&calls[0], RPC_READ, 10, 0, 3 * PAGE, PAGE, 0);
    run_for(SECOND / 10);
    page_bytes = 4 * PAGE;
    wait_for(&calls[0]);
    int why = 0;
    CU_ASSERT_EQUAL(worker_state(worker, &why), WORKER_FAILED);
    CU_ASSERT_EQUAL(why, E_CONFIG);
    CU_ASSERT(calls[0].err == E_UNAVAILABLE || bytes_right(10, 3 * PAGE, PAGE, 0));
    CU_ASSERT(buf[0] == 0xaa || bytes_right(10, 3 * PAGE, PAGE, 0)); /* nobody else's memory */
    run_for(SECOND);
    sim_node_crash(node_w);
    worker_up();
    CU_ASSERT_EQUAL(worker_state(worker, NULL), WORKER_SERVING);
    end_world();
}

/* what goes wrong with every beat or every page is said now and then */
static void test_worker_does_not_fill_the_log(void)
{
    make_world(21, 64 * PAGE);
    counted = "cannot keep a page";
    struct sim_disk_config good = *sim_disk_get(node_w), bad = good;
    bad.write_eio_ppm = 1000000;
    sim_disk_set(node_w, &bad);
    for (uint32_t n = 3; n < 23; n++)
        CU_ASSERT_EQUAL(read_file(n, 0, PAGE), 0);
    CU_ASSERT(n_counted >= 1 && n_counted <= 2);
    sim_disk_set(node_w, &good);
    sim_node_crash(node_w);
    counted = "cannot open under-store";
    n_counted = 0;
    cfg.ufs = NULL;
    worker_up();
    run_for(5 * SECOND); /* a beat in 100 ms */
    CU_ASSERT(n_counted >= 1 && n_counted <= 2);
    end_world();
}

static void test_worker_stop(void)
{
    make_world(16, 64 * PAGE);
    CU_ASSERT(read_file(5, 0, 4 * PAGE) >= 0);
    CU_ASSERT(sim_mem(node_w)->large.next != &sim_mem(node_w)->large);
    for (uint32_t i = 0; i < 50; i++)
        start(&calls[i], RPC_READ, i % 20, 0, 0, 50, 0);
    run_for(1000000);
    struct env_op o = {.done = done};
    worker_stop(worker, &o);
    CU_ASSERT_EQUAL(sim_run_op(sim, &o, 10 * SECOND), 0);
    run_for(SECOND); /* the ends of their connections have come through */
    for (uint32_t i = 0; i < 50; i++)
        CU_ASSERT(calls[i].done);
    CU_ASSERT_EQUAL(leaving, 1);
    CU_ASSERT(list_empty(&sim_mem(node_w)->large)); /* every large block came back */
    worker = NULL;
    end_world();
}

/* what is on its way to the disk when its file is freed does not stay in the index without it */
static void test_worker_freed_while_a_page_is_written(void)
{
    make_world(20, 64 * PAGE);
    for (int64_t at = 0; at < 50; at++) {
        fake.file[5].gen++;
        CU_ASSERT_EQUAL(read_file(5, 0, PAGE), 0);
        run_for(SECOND / 10);
        start(&calls[1], RPC_READ, 5, 0, PAGE, PAGE, 0);
        run_for(fake.latency_ns + at * 20000);
        start_free(&calls[2], 5, UINT64_MAX);
        wait_for(&calls[1]);
        wait_for(&calls[2]);
        run_for(SECOND / 10);
        CU_ASSERT(read_file(5, PAGE, PAGE) >= 0);
    }
    CU_ASSERT_EQUAL(stats().corrupt, 0);
    end_world();
}

static void test_worker_hostile_calls(void)
{
    make_world(17, 64 * PAGE);
    uint8_t junk[300];
    for (uint32_t i = 0; i < 400; i++) {
        for (uint32_t k = 0; k < sizeof junk; k++)
            junk[k] = (uint8_t)base_mix_u64(i * 1000 + k);
        static const uint16_t methods[] = {RPC_READ, RPC_WRITE, RPC_SYNC,
                                           RPC_LOAD, RPC_FREE,  RPC_LOCAL};
        send(&calls[i % CALLS], to_worker, methods[i % 6], junk, i % sizeof junk);
        if (i % CALLS == CALLS - 1)
            run_for(2 * SECOND);
    }
    run_for(2 * SECOND);
    CU_ASSERT_EQUAL(read_file(5, 0, PAGE), 0);
    end_world();
}

UNIT_MAIN("worker", UNIT(test_worker_miss_then_hit), UNIT(test_worker_single_flight),
          UNIT(test_worker_failed_fetch_does_not_stick), UNIT(test_worker_changed_file),
          UNIT(test_worker_live_and_writes), UNIT(test_worker_does_not_write_late),
          UNIT(test_worker_a_stopped_writer_keeps_no_buffers),
          UNIT(test_worker_page_size_changes_under_a_read), UNIT(test_worker_allocates),
          UNIT(test_worker_load), UNIT(test_worker_a_hung_mount_stops_no_other),
          UNIT(test_worker_evicts_under_pressure), UNIT(test_worker_restart_keeps_pages),
          UNIT(test_worker_serves_without_a_master),
          UNIT(test_worker_power_loss_serves_no_wrong_byte),
          UNIT(test_worker_keeps_pages_in_memory), UNIT(test_worker_flipped_bit),
          UNIT(test_worker_map_that_cannot_be_read), UNIT(test_worker_disk_full),
          UNIT(test_worker_foreign_directory), UNIT(test_worker_lost_beats),
          UNIT(test_worker_listens_before_it_reports), UNIT(test_worker_hears_of_new_masters),
          UNIT(test_worker_hears_of_the_newest_masters), UNIT(test_worker_beats_are_not_a_storm),
          UNIT(test_worker_freed_while_a_page_is_written), UNIT(test_worker_does_not_fill_the_log),
          UNIT(test_worker_stop), UNIT(test_worker_hostile_calls),
          UNIT(test_worker_eviction_gives_blocks_back), UNIT(test_worker_storm))
