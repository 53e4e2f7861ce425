/* tests/unit/test_worker_local.c - whole files that a worker hands to processes of its host. */
#include "tests/unit/test_worker_world.h"

static uint64_t stamps[FILES + 1]; /* added to what a file's stamp is */

/* as the time of the last write to it: the same until it is made anew or touched */
static uint64_t edge_stamp(struct worker_edge *e, const char *name)
{
    (void)e;
    struct ino ino;
    uint64_t version;
    const char *slash = strrchr(name, '/');
    CU_ASSERT_FATAL(slash && worker_format_parse(slash + 1, &ino, &version) == WORKER_FORMAT_DATA);
    return sim_disk_size(node_w, name) < 0 ? 0 : 1 + stamps[ino.v];
}

static struct worker_edge edge = {"here", "@edge", edge_stamp};

static void make_local_world(uint64_t seed, uint64_t capacity)
{
    make_world(seed, capacity);
    memset(stamps, 0, sizeof stamps);
    sim_node_crash(node_w);
    cfg.edge = &edge;
    worker_up();
    run_for(SECOND);
    connect_client();
}

static int local(uint32_t kind, uint32_t n, uint64_t token, const char *host)
{
    struct call *c = &calls[CALLS - 1];
    struct rpc_local q = {.kind = kind,
                          .ino = {n + 1},
                          .version = fake.file[n].gen,
                          .size = fake.file[n].size,
                          .token = token,
                          .host = host,
                          .host_len = (uint32_t)strlen(host)};
    uint8_t body[128];
    struct wbuf w = wbuf_make(body, sizeof body);
    rpc_format_local_put(&w, &q);
    send(c, to_worker, RPC_LOCAL, body, (uint32_t)w.len);
    wait_for(c);
    run_for(SECOND / 10);
    char why[256] = "";
    if (!worker_check(worker, why, sizeof why))
        CU_FAIL_FATAL(why);
    return c->err;
}

static int hold(uint32_t n, uint64_t token)
{
    return local(RPC_LOCAL_HOLD, n, token, "here");
}

/* what somebody who has the data file open sees of it: every byte as it was, or the file unlinked
 */
static bool file_is_right(uint32_t n)
{
    char name[ENV_NAME_MAX];
    static uint8_t bytes[20 * PAGE];
    name_of(n, WORKER_FORMAT_DATA, name);
    int64_t size = sim_disk_read(node_w, name, bytes, sizeof bytes, 0);
    if (size == E_NOENT)
        return true;
    if (size != (int64_t)fake.file[n].size)
        return false;
    for (int64_t i = 0; i < size; i++)
        if (bytes[i] != fake_byte(n, fake.file[n].gen, (uint64_t)i))
            return false;
    return true;
}

static bool file_is_there(uint32_t n)
{
    char name[ENV_NAME_MAX];
    name_of(n, WORKER_FORMAT_DATA, name);
    return sim_disk_size(node_w, name) >= 0;
}

static void test_local_hands_out_whole_files(void)
{
    char name[ENV_NAME_MAX], want[ENV_NAME_MAX];
    uint64_t size = 0;
    make_local_world(30, 64 * PAGE);
    CU_ASSERT_EQUAL(local(RPC_LOCAL_HOLD, 6, 1, "elsewhere"), E_NOTSUP);
    CU_ASSERT_EQUAL(hold(6, 1), E_AGAIN); /* nothing of it is here */
    CU_ASSERT_EQUAL(read_file(6, 0, 2 * PAGE), 0);
    CU_ASSERT_EQUAL(hold(6, 1), E_AGAIN);
    CU_ASSERT_EQUAL(stats().checked, 0);
    CU_ASSERT_EQUAL(read_file(6, 2 * PAGE, 2 * PAGE), 0);
    run_for(SECOND);
    CU_ASSERT_EQUAL(stats().checked, 1); /* when the last page came, without being asked again */
    CU_ASSERT(!worker_local_name(worker, 1, name, sizeof name, &size));
    CU_ASSERT_EQUAL(hold(6, 1), 0);
    CU_ASSERT_EQUAL(hold(6, 2), 0);
    CU_ASSERT_EQUAL(stats().checked, 1);
    CU_ASSERT_FATAL(worker_local_name(worker, 1, name, sizeof name, &size));
    name_of(6, WORKER_FORMAT_DATA, want);
    CU_ASSERT_STRING_EQUAL(name, want);
    CU_ASSERT_EQUAL(size, fake.file[6].size);
    CU_ASSERT_EQUAL(stats().held_bytes, size); /* once, however many have it */
    CU_ASSERT_EQUAL(local(RPC_LOCAL_RETURN, 6, 1, ""), 0);
    CU_ASSERT_EQUAL(local(RPC_LOCAL_RETURN, 6, 77, ""), 0);
    CU_ASSERT_EQUAL(stats().held_bytes, size);
    CU_ASSERT_EQUAL(local(RPC_LOCAL_RETURN, 6, 2, ""), 0);
    CU_ASSERT_EQUAL(stats().held_bytes, 0);
    CU_ASSERT(!worker_local_name(worker, 2, name, sizeof name, &size));
    /* somebody wrote it: it is verified again before it is handed out again */
    stamps[7]++;
    CU_ASSERT_EQUAL(hold(6, 3), E_AGAIN);
    CU_ASSERT_EQUAL(hold(6, 3), 0);
    CU_ASSERT_EQUAL(stats().checked, 2);
    /* a connection that ends gives everything back; so does silence */
    rpc_hangup(to_worker);
    run_for(SECOND);
    CU_ASSERT_EQUAL(stats().held_bytes, 0);
    connect_client();
    CU_ASSERT_EQUAL(hold(6, 4), 0);
    run_for(25 * SECOND);
    CU_ASSERT_EQUAL(local(RPC_LOCAL_RENEW, 0, 0, ""), 0);
    run_for(25 * SECOND);
    CU_ASSERT_EQUAL(stats().held_bytes, size);
    run_for(10 * SECOND);
    CU_ASSERT_EQUAL(stats().held_bytes, 0);
    end_world();
}

static void test_local_verifies_before_it_hands_out(void)
{
    char name[ENV_NAME_MAX];
    make_local_world(31, 64 * PAGE);
    CU_ASSERT_EQUAL(read_file(6, 0, 4 * PAGE), 0);
    run_for(SECOND);
    name_of(6, WORKER_FORMAT_DATA, name);
    CU_ASSERT_EQUAL(sim_disk_flip(node_w, name, 2 * PAGE + 30, 3), 0);
    CU_ASSERT_EQUAL(hold(6, 1), E_AGAIN);
    CU_ASSERT_EQUAL(hold(6, 1), E_AGAIN);
    CU_ASSERT_EQUAL(stats().corrupt, 1);
    CU_ASSERT_EQUAL(read_file(6, 0, 4 * PAGE), 0);
    run_for(SECOND);
    CU_ASSERT_EQUAL(hold(6, 1), 0);
    end_world();
}

/* Pressure, a new version, a damaged page and a restart: whoever has the file open sees its bytes
 * or an unlinked file, never a hole; and what is lent counts. */
static void test_local_never_punches_what_it_handed_out(void)
{
    policy = "lru";
    make_local_world(32, 12 * PAGE);
    policy = NULL;
    for (int round = 0; round < 2; round++)
        for (uint32_t n = 4; n < 7; n++) {
            CU_ASSERT(read_file(n, 0, 4 * PAGE) >= 0);
            run_for(SECOND);
            CU_ASSERT_EQUAL(hold(n, n), round ? n == 6 ? E_NOSPC : E_UNAVAILABLE : E_AGAIN);
            if (!round)
                CU_ASSERT_EQUAL(hold(n, n), n == 6 ? E_NOSPC : 0); /* half of the capacity */
        }
    for (uint64_t page = 0; page < 19; page++)
        CU_ASSERT(read_file(39, page * PAGE, 1000) >= 0);
    run_for(SECOND);
    CU_ASSERT(stats().evictions > 5);
    for (uint32_t n = 4; n < 6; n++) /* in use: not evicted */
        CU_ASSERT(file_is_there(n) && file_is_right(n));
    CU_ASSERT(sim_disk_used(node_w) < 13 * PAGE);
    /* file 4 is given back, and then pressure takes it as a whole */
    CU_ASSERT_EQUAL(local(RPC_LOCAL_RETURN, 4, 4, ""), 0);
    for (int round = 0; round < 3 && file_is_there(4); round++)
        for (uint64_t page = 0; page < 19; page++) {
            CU_ASSERT(read_file(39, page * PAGE, 1000) >= 0);
            CU_ASSERT_FATAL(file_is_right(4) && file_is_right(5));
        }
    CU_ASSERT(!file_is_there(4) && file_is_there(5));
    /* file 5 has a new version: the old one is unlinked and lent until it is given back */
    start_free(&calls[2], 5, UINT64_MAX);
    wait_for(&calls[2]);
    run_for(SECOND);
    CU_ASSERT(!file_is_there(5));
    CU_ASSERT_EQUAL(stats().lent_bytes, fake.file[5].size);
    for (uint64_t page = 0; page < 19; page++)
        CU_ASSERT(read_file(39, page * PAGE, 1000) >= 0);
    CU_ASSERT(stats().bytes + stats().lent_bytes <= 12 * PAGE);
    CU_ASSERT_EQUAL(local(RPC_LOCAL_RETURN, 5, 5, ""), 0);
    CU_ASSERT_EQUAL(stats().lent_bytes, 0);
    end_world();
}

/* A worker that starts does not know what the one before it handed out. */
static void test_local_restart_takes_whole_files_for_handed_out(void)
{
    make_local_world(33, 12 * PAGE);
    for (uint32_t n = 4; n < 7; n++)
        CU_ASSERT(read_file(n, 0, 4 * PAGE) >= 0);
    run_for(SECOND);
    CU_ASSERT_EQUAL(hold(5, 1), E_AGAIN);
    CU_ASSERT_EQUAL(hold(5, 1), 0);
    for (int life = 0; life < 3; life++) {
        sim_node_crash(node_w);
        run_for(SECOND);
        if (life == 2)
            cfg.capacity_bytes = 4 * PAGE; /* not everything fits any more */
        worker_up();
        run_for(SECOND);
        connect_client();
        CU_ASSERT_FATAL(file_is_right(4) && file_is_right(5) && file_is_right(6));
        CU_ASSERT(life == 2 || file_is_there(5));
        for (uint64_t page = 0; page < (life ? 19 : 2); page++) {
            CU_ASSERT(read_file(39, page * PAGE, 1000) >= 0);
            CU_ASSERT_FATAL(file_is_right(4) && file_is_right(5) && file_is_right(6));
        }
    }
    end_world();
}

UNIT_MAIN("worker_local", UNIT(test_local_hands_out_whole_files),
          UNIT(test_local_verifies_before_it_hands_out),
          UNIT(test_local_never_punches_what_it_handed_out),
          UNIT(test_local_restart_takes_whole_files_for_handed_out))
