/* tests/unit/test_ship.c - state images on their way from one master to another, and into a host
 * that runs. */
#include "journal/ship_impl.h"
#include "tests/unit/test_ship_world.h"

static struct mem ship_mem;
static struct side one, two;

static void world_begin_with(const struct sim_config *c)
{
    unit_mem(&ship_mem, (uint64_t)2 << 30);
    struct sim *s = sim_open(&ship_mem, c);
    one = (struct side){.s = s, .n = sim_node_add(s, "one")};
    two = (struct side){.s = s, .n = sim_node_add(s, "two")};
    side_up(&one);
    side_up(&two);
    CU_ASSERT_FATAL(side_open(&one) == 0 && side_open(&two) == 0);
}

static void world_begin(uint64_t seed)
{
    struct sim_config c = sim_config_quiet(seed);
    world_begin_with(&c);
}

/* both are stopped in good order, with whatever is under way, and give back what they had */
static void side_stop(struct side *d)
{
    struct env_op op = {0};
    ship_stop(d->ship, &op);
    CU_ASSERT_FATAL(sim_run_op(d->s, &op, 600000 * SHIP_MS) == 0);
    CU_ASSERT(!d->fetching || d->fetch_op.ret == E_CANCELLED);
    ship_free(d->ship);
    snap_free(d->snap);
    CU_ASSERT(list_empty(&d->mem->large));
    sim_node_crash(d->n);
}

static void world_end(void)
{
    if (sim_node_is_up(one.n))
        side_stop(&one);
    if (sim_node_is_up(two.n))
        side_stop(&two);
    sim_close(one.s);
    mem_drop(&ship_mem);
}

static uint32_t side_images(struct side *d)
{
    uint32_t n = 0;
    const char *at = "";
    for (const char *f; (f = sim_disk_next(d->n, at)); at = f)
        n += !strncmp(f, "j/image-", 8);
    return n;
}

static void image_name(uint64_t index, char *ret_name)
{
    snprintf(ret_name, ENV_NAME_MAX, "j/image-%016llx", (unsigned long long)index);
}

/* --- a host that runs takes an image --- */

static void test_an_image_is_installed_at_run_time(void)
{
    world_begin(1);
    side_state(&one, 11, 3000000);
    CU_ASSERT_EQUAL(side_write(&one, 100, 3), 0);
    CU_ASSERT(snap_index(one.snap) == 100 && snap_epoch(one.snap) == 3);
    side_state(&one, 12, 2500000);
    CU_ASSERT_EQUAL(side_write(&one, 200, 4), 0);
    one.host.most = 0;
    CU_ASSERT_EQUAL(side_install(&one, 100), 0);
    CU_ASSERT(one.host.good && one.host.id == 11 && one.host.bytes == 3000000);
    CU_ASSERT(one.host.most > 0 && one.host.most <= 1024 * 1024); /* a little at a time */
    CU_ASSERT_EQUAL(one.host.resets, 1);
    CU_ASSERT_EQUAL(snap_index(one.snap), 100);
    CU_ASSERT_EQUAL(snap_epoch(one.snap), 3);
    CU_ASSERT_EQUAL(side_images(&one), 1); /* the other was of a state that is gone */
    side_state(&one, 13, 8);
    CU_ASSERT_EQUAL(side_write(&one, 300, 5), 0);
    CU_ASSERT_EQUAL(snap_trim_index(one.snap), 100);
    side_state(&one, 14, 9);
    CU_ASSERT_EQUAL(side_write(&one, 400, 5), 0);
    CU_ASSERT_EQUAL(side_images(&one), 2);
    CU_ASSERT_EQUAL(side_install(&one, 400), 0); /* its own, again */
    CU_ASSERT_EQUAL(snap_trim_index(one.snap), 300);
    CU_ASSERT(one.host.good && one.host.id == 14);
    sim_node_crash(one.n);
    side_up(&one);
    CU_ASSERT_EQUAL(side_open(&one), 0);
    CU_ASSERT(one.host.good && one.host.id == 14 && snap_index(one.snap) == 400);
    world_end();
}

static void test_a_bad_image_leaves_an_empty_host(void)
{
    char name[ENV_NAME_MAX];
    for (int how = 0; how < 3; how++) {
        world_begin(2);
        side_state(&one, 11, 300000);
        CU_ASSERT_EQUAL(side_write(&one, 100, 3), 0);
        side_state(&one, 12, 300000);
        CU_ASSERT_EQUAL(side_write(&one, 200, 4), 0);
        image_name(200, name);
        if (how == 0)
            CU_ASSERT_EQUAL_FATAL(sim_disk_flip(one.n, name, 200000, 3), 0);
        if (how == 1)
            CU_ASSERT_EQUAL_FATAL(sim_disk_bad(one.n, name, 65536), 0);
        int64_t want = how == 0 ? E_CORRUPT : how == 1 ? E_IO : E_NOENT;
        CU_ASSERT_EQUAL(side_install(&one, how == 2 ? 201 : 200), want);
        CU_ASSERT(!one.host.good && one.host.id == 0);
        CU_ASSERT_EQUAL(snap_index(one.snap), 0);
        CU_ASSERT_EQUAL(side_install(&one, 100), 0);
        CU_ASSERT(one.host.good && one.host.id == 11);
        side_state(&one, 15, 20);
        CU_ASSERT_EQUAL(side_write(&one, 500, 6), 0);
        CU_ASSERT_EQUAL(side_images(&one), 2); /* and no bad one */
        world_end();
    }
}

/* --- which files stay --- */

static bool side_has(struct side *d, uint64_t index)
{
    char name[ENV_NAME_MAX];
    image_name(index, name);
    return sim_disk_size(d->n, name) >= 0;
}

static void pruned(struct env_op *op)
{
    CU_ASSERT_EQUAL(op->ret, 0);
}

/* All of them turn out to be bad while what the newest makes needless is removed: none is, until
 * there is a good one. */
static void test_the_last_images_stay_until_there_is_a_good_one(void)
{
    world_begin(20);
    for (uint64_t i = 1; i <= 3; i++) {
        side_state(&one, i, 300000);
        CU_ASSERT_EQUAL_FATAL(side_write(&one, i * 10, 3), 0);
    }
    CU_ASSERT(snap_mark_bad(one.snap, 20) && snap_mark_bad(one.snap, 30));
    struct env_op op = {.done = pruned};
    bool marked = false;
    snap_write(one.snap, 40, 3, &op);
    for (int i = 0; i < 1000000 && !snap_at_rest(one.snap); i++) {
        sim_step(one.s);
        marked = marked || snap_mark_bad(one.snap, 40);
    }
    CU_ASSERT_FATAL(snap_at_rest(one.snap) && marked);
    CU_ASSERT(side_has(&one, 40) && snap_trim_index(one.snap) == 0);
    CU_ASSERT_EQUAL_FATAL(side_write(&one, 40, 3), 0); /* in its place */
    CU_ASSERT(!snap_is_bad(one.snap, 40));
    CU_ASSERT(side_has(&one, 40) && side_images(&one) == 1);
    world_end();
}

/* What came from another master and is not wanted goes with the next image; so does a bad one of a
 * higher index than what is written now. */
static void test_images_that_do_not_count_are_removed(void)
{
    char name[ENV_NAME_MAX];
    world_begin(21);
    for (uint64_t i = 1; i <= 3; i++) {
        side_state(&one, i, 300000);
        CU_ASSERT_EQUAL_FATAL(side_write(&one, i * 10, 3), 0);
    }
    side_state(&two, 7, 1000);
    CU_ASSERT_EQUAL_FATAL(side_write(&two, 5, 3), 0);
    CU_ASSERT_EQUAL_FATAL(side_write(&two, 25, 3), 0);
    CU_ASSERT_EQUAL(side_fetch(&two, "one", 20, 3), 0);
    CU_ASSERT_EQUAL(side_fetch(&two, "one", 30, 3), 0);
    snap_leave(two.snap, 20);
    snap_leave(two.snap, 30);
    snap_leave(two.snap, 25); /* its own: that stays */
    CU_ASSERT(side_images(&two) == 4 && snap_trim_index(two.snap) == 5);
    CU_ASSERT(snap_is_bad(two.snap, 20) && !snap_is_bad(two.snap, 25));
    CU_ASSERT(snap_bytes(two.snap) == (uint64_t)sim_disk_size(two.n, "j/image-0000000000000019"));
    CU_ASSERT_EQUAL_FATAL(side_write(&two, 27, 3), 0);
    CU_ASSERT(side_images(&two) == 2 && side_has(&two, 25) && side_has(&two, 27));
    CU_ASSERT_EQUAL(snap_trim_index(two.snap), 25);
    /* the newest is damaged when it is started */
    image_name(30, name);
    CU_ASSERT_EQUAL_FATAL(sim_disk_flip(one.n, name, 200000, 3), 0);
    sim_node_crash(one.n);
    side_up(&one);
    CU_ASSERT_EQUAL(side_open(&one), 0);
    CU_ASSERT(snap_index(one.snap) == 20 && snap_is_bad(one.snap, 30));
    side_state(&one, 9, 1000);
    CU_ASSERT_EQUAL_FATAL(side_write(&one, 22, 3), 0);
    CU_ASSERT(side_images(&one) == 2 && side_has(&one, 20) && side_has(&one, 22));
    world_end();
}

/* --- on the way --- */

static uint32_t side_parts(struct side *d, char *ret_name)
{
    uint32_t n = 0;
    const char *at = "";
    for (const char *f; (f = sim_disk_next(d->n, at)); at = f)
        if (!strncmp(f, "j/image.recv-", 13)) {
            snprintf(ret_name, ENV_NAME_MAX, "%s", f);
            n++;
        }
    return n;
}

static bool same_file(uint64_t index)
{
    static uint8_t a[65536], b[65536];
    char name[ENV_NAME_MAX];
    image_name(index, name);
    int64_t size = sim_disk_size(one.n, name);
    if (size < 0 || sim_disk_size(two.n, name) != size)
        return false;
    for (int64_t at = 0; at < size; at += (int64_t)sizeof a) {
        int64_t n = sim_disk_read(one.n, name, a, sizeof a, (uint64_t)at);
        if (sim_disk_read(two.n, name, b, sizeof b, (uint64_t)at) != n || memcmp(a, b, (size_t)n))
            return false;
    }
    return true;
}

/* image `index` is at two, and makes the state (id, bytes) */
static void arrived(uint64_t index, uint64_t id, uint64_t bytes)
{
    char part[ENV_NAME_MAX];
    CU_ASSERT(same_file(index));
    CU_ASSERT_EQUAL(side_parts(&two, part), 0);
    CU_ASSERT_EQUAL(side_install(&two, index), 0);
    CU_ASSERT(two.host.good && two.host.id == id && two.host.bytes == bytes);
}

static uint64_t image_bytes(uint64_t index)
{
    char name[ENV_NAME_MAX];
    image_name(index, name);
    return (uint64_t)sim_disk_size(one.n, name);
}

static void test_images_of_all_sizes_arrive(void)
{
    static const uint64_t sizes[] = {8,      4000,   61440,  65536 - 48, 65536 - 32, 65536,
                                     131056, 262144, 300000, 1 << 20,    3 << 20,    9000000};
    world_begin(3);
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        side_state(&one, 100 + i, sizes[i]);
        one.is_busy = i % 2;
        two.data_bytes = 0;
        CU_ASSERT_EQUAL_FATAL(side_write(&one, 10 + i, 3), 0);
        CU_ASSERT_EQUAL(side_fetch(&two, "one", 10 + i, i % 3 ? 3 : 0), 0);
        CU_ASSERT_EQUAL(two.data_bytes, image_bytes(10 + i) + LOG_BLOCK); /* nothing twice */
        arrived(10 + i, 100 + i, sizes[i]);
        struct ship_progress p;
        ship_progress(two.ship, &p);
        CU_ASSERT(!p.under_way && p.have == p.total && p.total == image_bytes(10 + i));
    }
    CU_ASSERT_EQUAL(two.bad_frames + one.bad_frames, 0);
    world_end();
}

static void test_a_wrong_term_or_index_is_not_there(void)
{
    uint64_t term;
    world_begin(4);
    side_state(&one, 5, 100000);
    CU_ASSERT_EQUAL_FATAL(side_write(&one, 10, 3), 0);
    CU_ASSERT_EQUAL(side_fetch(&two, "one", 11, 3), E_NOENT);
    CU_ASSERT_EQUAL(ship_newer(two.ship, &term), 0);
    CU_ASSERT_EQUAL(side_fetch(&two, "one", 10, 4), E_NOENT);
    CU_ASSERT_EQUAL(side_fetch(&two, "one", 10, 3), 0);
    arrived(10, 5, 100000);
    world_end();
}

/* cuts the connection whenever that many chunks came */
static uint64_t cut_every;
static void cut_now(struct side *d)
{
    if (d->data_frames % cut_every == 0)
        sim_net_reset(one.n, two.n);
}

static void test_cut_connections_cost_little(void)
{
    world_begin(5);
    side_state(&one, 5, 4 << 20);
    CU_ASSERT_EQUAL_FATAL(side_write(&one, 10, 3), 0);
    cut_every = 7;
    two.on_data = cut_now;
    CU_ASSERT_EQUAL(side_fetch(&two, "one", 10, 3), 0);
    two.on_data = NULL;
    uint64_t cuts = two.data_frames / cut_every;
    CU_ASSERT(cuts >= 10);
    /* a chunk that has come is not asked for again, but for the few that wait for the disk */
    CU_ASSERT(two.data_bytes <= image_bytes(10) + (cuts + 1) * (4 * SHIP_CHUNK + LOG_BLOCK));
    arrived(10, 5, 4 << 20);
    world_end();
}

static void run_until_came(uint64_t bytes)
{
    int64_t until = sim_now_ns(two.s) + 600000 * SHIP_MS;
    struct ship_progress p;
    do
        ship_progress(two.ship, &p);
    while (p.have < bytes && two.fetching && sim_now_ns(two.s) < until && sim_step(two.s));
    CU_ASSERT_FATAL(two.fetching);
}

static void test_a_restarted_fetcher_goes_on(void)
{
    for (int power = 0; power < 2; power++) {
        world_begin(6);
        side_state(&one, 5, 4 << 20);
        CU_ASSERT_EQUAL_FATAL(side_write(&one, 10, 3), 0);
        CU_ASSERT_FATAL(side_connect(&two, "one"));
        side_begin_fetch(&two, 10, 3);
        run_until_came(3 << 20);
        if (power)
            sim_node_power_loss(two.n);
        else
            sim_node_crash(two.n);
        side_up(&two);
        CU_ASSERT_EQUAL(side_open(&two), 0);
        two.data_bytes = 0;
        CU_ASSERT_EQUAL(side_fetch(&two, "one", 10, 3), 0);
        /* after a power loss it is what checks that counts */
        CU_ASSERT(two.data_bytes <=
                  image_bytes(10) - (power ? 0 : (3 << 20) - LOG_PIECE_MAX) + LOG_BLOCK);
        arrived(10, 5, 4 << 20);
        world_end();
    }
}

static void test_a_restarted_holder_is_asked_again(void)
{
    world_begin(7);
    side_state(&one, 5, 4 << 20);
    CU_ASSERT_EQUAL_FATAL(side_write(&one, 10, 3), 0);
    CU_ASSERT_FATAL(side_connect(&two, "one"));
    side_begin_fetch(&two, 10, 3);
    run_until_came(2 << 20);
    sim_node_power_loss(one.n);
    CU_ASSERT_EQUAL(side_fetched(&two), E_TIMEOUT); /* silence */
    side_up(&one);
    CU_ASSERT_EQUAL(side_open(&one), 0);
    two.data_bytes = 0;
    CU_ASSERT_EQUAL(side_fetch(&two, "one", 10, 3), 0);
    CU_ASSERT(two.data_bytes <= image_bytes(10) - (2 << 20) + 2 * LOG_BLOCK);
    arrived(10, 5, 4 << 20);
    world_end();
}

/* the same state written by another master is another file: nothing of one goes on in the other */
static void test_a_file_that_differs_is_begun_anew(void)
{
    char part[ENV_NAME_MAX];
    world_begin(8);
    side_state(&one, 5, 4 << 20);
    CU_ASSERT_EQUAL_FATAL(side_write(&one, 10, 3), 0);
    CU_ASSERT_FATAL(side_connect(&two, "one"));
    side_begin_fetch(&two, 10, 3);
    run_until_came(2 << 20);
    sim_node_crash(one.n);
    CU_ASSERT_EQUAL(side_fetched(&two), E_CLOSED);
    CU_ASSERT_EQUAL(side_parts(&two, part), 1);
    sim_node_wipe(one.n);
    side_up(&one);
    CU_ASSERT_EQUAL(side_open(&one), 0);
    side_state(&one, 5, 4 << 20);
    one.is_busy = true; /* other pieces */
    CU_ASSERT_EQUAL_FATAL(side_write(&one, 10, 3), 0);
    two.data_bytes = 0;
    CU_ASSERT_EQUAL(side_fetch(&two, "one", 10, 3), 0);
    CU_ASSERT(two.data_bytes >= image_bytes(10));
    arrived(10, 5, 4 << 20);
    world_end();
}

static void test_damage_on_the_way_is_found(void)
{
    char part[ENV_NAME_MAX], name[ENV_NAME_MAX];
    world_begin(9);
    side_state(&one, 5, 3 << 20);
    CU_ASSERT_EQUAL_FATAL(side_write(&one, 10, 3), 0);
    CU_ASSERT_FATAL(side_connect(&two, "one"));
    side_begin_fetch(&two, 10, 3);
    run_until_came(2 << 20);
    CU_ASSERT_EQUAL_FATAL(side_parts(&two, part), 1);
    CU_ASSERT_EQUAL_FATAL(sim_disk_flip(two.n, part, 1234567, 2), 0); /* after it was written */
    CU_ASSERT_EQUAL(side_fetched(&two), E_CORRUPT);
    CU_ASSERT_EQUAL(side_parts(&two, part), 0);
    CU_ASSERT_EQUAL(side_images(&two), 0);
    /* a restart that finds such a part keeps what is before the damage */
    side_begin_fetch(&two, 10, 3);
    run_until_came(2 << 20);
    CU_ASSERT_EQUAL_FATAL(side_parts(&two, part), 1);
    sim_node_crash(two.n);
    CU_ASSERT_EQUAL_FATAL(sim_disk_flip(two.n, part, 1234567, 2), 0);
    side_up(&two);
    CU_ASSERT_EQUAL(side_open(&two), 0);
    two.data_bytes = 0;
    CU_ASSERT_EQUAL(side_fetch(&two, "one", 10, 3), 0);
    CU_ASSERT(two.data_bytes <= image_bytes(10) - 1234567 + LOG_PIECE_MAX + 2 * LOG_BLOCK);
    CU_ASSERT(two.data_bytes >= image_bytes(10) - 1234567);
    arrived(10, 5, 3 << 20);
    /* the holder's own file is bad: in the middle, at its head, unreadable */
    image_name(10, name);
    for (int how = 0; how < 3; how++) {
        uint64_t off = how == 0 ? 2000000 : how == 1 ? 30 : 65536;
        int ret = how == 2 ? sim_disk_bad(one.n, name, off) : sim_disk_flip(one.n, name, off, 2);
        CU_ASSERT_EQUAL_FATAL(ret, 0);
        CU_ASSERT_EQUAL(side_fetch(&two, "one", 10, 3), E_CORRUPT);
        CU_ASSERT_EQUAL(side_parts(&two, part), 0);
        if (how != 2)
            CU_ASSERT_EQUAL_FATAL(sim_disk_flip(one.n, name, off, 2), 0);
    }
    CU_ASSERT_EQUAL(side_images(&two), 1);
    world_end();
}

/* The fetcher's own disk cannot read back what came: that is no fault of the holder's, who is not
 * told that his image is bad. */
static void test_a_disk_that_does_not_read_back_is_its_owners(void)
{
    char part[ENV_NAME_MAX];
    world_begin(18);
    side_state(&one, 5, 3 << 20);
    CU_ASSERT_EQUAL_FATAL(side_write(&one, 10, 3), 0);
    CU_ASSERT_FATAL(side_connect(&two, "one"));
    side_begin_fetch(&two, 10, 3);
    run_until_came(2 << 20);
    CU_ASSERT_EQUAL_FATAL(side_parts(&two, part), 1);
    CU_ASSERT_EQUAL_FATAL(sim_disk_bad(two.n, part, 1234567), 0); /* after it was written */
    CU_ASSERT_EQUAL(side_fetched(&two), E_IO);
    CU_ASSERT_EQUAL(side_parts(&two, part), 0);
    sim_run_until(one.s, sim_now_ns(one.s) + 100 * SHIP_MS);
    CU_ASSERT_EQUAL(one.bad_frames, 0); /* an IMAGE_BAD counts as one here */
    CU_ASSERT_EQUAL(side_fetch(&two, "one", 10, 3), 0);
    arrived(10, 5, 3 << 20);
    world_end();
}

/* tells one that an image of it is bad, as who has fetched it does */
static void doubt(uint64_t index)
{
    uint8_t b[8];
    struct env_iov iov = {b, sizeof b};
    base_put_u64(b, index);
    CU_ASSERT_FATAL(side_connect(&two, "one"));
    uint64_t told = one.told;
    env_send(two.to->peer.conn, JOURNAL_FRAME_IMAGE_BAD, &iov, 1);
    for (int i = 0; i < 100000 && one.told == told; i++)
        sim_step(one.s);
    CU_ASSERT_FATAL(one.told == told + 1);
}

static bool doubt_ends(void)
{
    for (int i = 0; i < 1000000 && one.ship->doubt.state != SHIP_DOUBT_REST; i++)
        sim_step(one.s);
    return one.ship->doubt.state == SHIP_DOUBT_REST;
}

/* An image of the holder's is bad if it is, not if somebody says so: the other's memory may have
 * damaged what came.  More than one may be. */
static void test_a_holder_believes_its_own_eyes(void)
{
    char name[ENV_NAME_MAX];
    for (int busy = 0; busy < 2; busy++) {
        world_begin(22);
        one.heeds = true;
        side_state(&one, 5, 3 << 20);
        CU_ASSERT_EQUAL_FATAL(side_write(&one, 10, 3), 0);
        CU_ASSERT_EQUAL_FATAL(side_write(&one, 20, 3), 0);
        one.is_busy = busy;
        doubt(10);
        CU_ASSERT(doubt_ends() && !snap_is_bad(one.snap, 10));
        doubt(30); /* there is none */
        CU_ASSERT(doubt_ends() && !snap_is_bad(one.snap, 30));
        image_name(10, name);
        CU_ASSERT_EQUAL_FATAL(sim_disk_flip(one.n, name, 2000000, 2), 0);
        image_name(20, name);
        CU_ASSERT_EQUAL_FATAL(sim_disk_bad(one.n, name, 65536), 0);
        doubt(20);
        CU_ASSERT(doubt_ends() && snap_is_bad(one.snap, 20) && !snap_is_bad(one.snap, 10));
        CU_ASSERT_EQUAL(side_fetch(&two, "one", 10, 3), E_CORRUPT); /* and so it is told */
        doubt(20);                                                  /* waits for that */
        CU_ASSERT(doubt_ends() && snap_is_bad(one.snap, 10));
        for (uint64_t i = 10; i <= 20; i += 10) { /* neither is served any more */
            CU_ASSERT_FATAL(side_connect(&two, "one"));
            side_begin_fetch(&two, i, 3);
            CU_ASSERT_EQUAL(side_fetched(&two), E_AGAIN);
        }
        CU_ASSERT_EQUAL_FATAL(side_write(&one, 20, 3), 0); /* anew */
        ship_kept(one.ship, 20, 20, 3);
        CU_ASSERT_EQUAL(side_fetch(&two, "one", 20, 3), 0);
        arrived(20, 5, 3 << 20);
        world_end();
    }
}

/* Who has fetched for long reads back and loads for long, too: the image counts until then. */
static void test_an_image_counts_as_long_as_it_took(void)
{
    world_begin(24);
    side_state(&one, 5, 4 << 20);
    CU_ASSERT_EQUAL_FATAL(side_write(&one, 10, 3), 0);
    CU_ASSERT_EQUAL(ship_serving(one.ship), 0);
    sim_net_nic(two.n, 200 << 10);
    int64_t began_ns = sim_now_ns(one.s);
    CU_ASSERT_EQUAL(side_fetch(&two, "one", 10, 3), 0);
    int64_t took_ns = sim_now_ns(one.s) - began_ns;
    CU_ASSERT_FATAL(took_ns > 15000 * SHIP_MS && took_ns < 40000 * SHIP_MS);
    sim_run_until(one.s, sim_now_ns(one.s) + 3 * took_ns);
    CU_ASSERT_EQUAL(ship_serving(one.ship), 10);
    sim_net_reset(one.n, two.n); /* and it is not forgotten for that */
    sim_run_until(one.s, sim_now_ns(one.s) + 20000 * SHIP_MS);
    CU_ASSERT_EQUAL(ship_serving(one.ship), 10);
    sim_run_until(one.s, sim_now_ns(one.s) + 30000 * SHIP_MS);
    CU_ASSERT_EQUAL(ship_serving(one.ship), 0);
    /* a small one does for no more than half a minute */
    CU_ASSERT_EQUAL_FATAL(side_write(&one, 11, 3), 0);
    sim_net_nic(two.n, 200 << 20);
    CU_ASSERT_EQUAL(side_fetch(&two, "one", 11, 3), 0);
    sim_run_until(one.s, sim_now_ns(one.s) + 20000 * SHIP_MS);
    CU_ASSERT_EQUAL(ship_serving(one.ship), 11);
    sim_run_until(one.s, sim_now_ns(one.s) + 20000 * SHIP_MS);
    CU_ASSERT_EQUAL(ship_serving(one.ship), 0);
    world_end();
}

/* what is looked at has been written anew meanwhile, or is stopped in the middle */
static void test_a_doubt_is_overtaken(void)
{
    char name[ENV_NAME_MAX];
    for (int k = 0; k < 20; k++) {
        world_begin(23);
        one.heeds = true;
        side_state(&one, 5, 3 << 20);
        CU_ASSERT_EQUAL_FATAL(side_write(&one, 10, 3), 0);
        one.is_busy = k % 2;
        image_name(10, name);
        CU_ASSERT_EQUAL_FATAL(sim_disk_flip(one.n, name, 3000000, 2), 0);
        doubt(10);
        CU_ASSERT_FATAL(one.ship->doubt.state != SHIP_DOUBT_REST);
        for (int i = 0; i < k && k < 10; i++)
            sim_step(one.s);
        if (k >= 10) {
            struct env_op op = {0};
            env_rename(one.env, name, "j/old", &op);
            CU_ASSERT_EQUAL(sim_run_op(one.s, &op, sim_now_ns(one.s) + 1000 * SHIP_MS), 0);
            one.is_busy = false;
            ship_kept(one.ship, 10, 10, 3); /* as after it was written */
            CU_ASSERT(doubt_ends() && !snap_is_bad(one.snap, 10));
        }
        world_end();
    }
}

static void test_a_full_disk_is_given_its_space_back(void)
{
    char part[ENV_NAME_MAX];
    world_begin(10);
    side_state(&one, 5, 3 << 20);
    CU_ASSERT_EQUAL_FATAL(side_write(&one, 10, 3), 0);
    struct sim_disk_config full = *sim_disk_get(two.n), roomy = full;
    uint64_t before = sim_disk_used(two.n);
    full.capacity = before + (1 << 20);
    sim_disk_set(two.n, &full);
    CU_ASSERT_EQUAL(side_fetch(&two, "one", 10, 3), E_NOSPC);
    CU_ASSERT_EQUAL(side_parts(&two, part), 0);
    CU_ASSERT_EQUAL(sim_disk_used(two.n), before);
    sim_disk_set(two.n, &roomy);
    CU_ASSERT_EQUAL(side_fetch(&two, "one", 10, 3), 0);
    arrived(10, 5, 3 << 20);
    world_end();
}

static void test_who_fetches_what_is_gone_is_told_the_newest(void)
{
    char part[ENV_NAME_MAX];
    uint64_t term = 0;
    world_begin(11);
    side_state(&one, 5, 3 << 20);
    CU_ASSERT_EQUAL_FATAL(side_write(&one, 10, 3), 0);
    CU_ASSERT_FATAL(side_connect(&two, "one"));
    side_begin_fetch(&two, 10, 3);
    run_until_came(1 << 20);
    /* its file goes while it is read: what is open is served on */
    for (uint64_t i = 11; i < 14; i++) {
        side_state(&one, i, 1 << 20);
        CU_ASSERT_EQUAL_FATAL(side_write(&one, i, 4), 0);
    }
    CU_ASSERT_EQUAL(side_fetched(&two), 0);
    CU_ASSERT_EQUAL(side_install(&two, 10), 0);
    CU_ASSERT(two.host.good && two.host.id == 5);
    /* unless it is worth nothing any more */
    side_begin_fetch(&two, 12, 4);
    run_until_came(300000);
    ship_kept(one.ship, 13, 13, 4);
    CU_ASSERT_EQUAL(side_fetched(&two), E_NOENT);
    CU_ASSERT_EQUAL(ship_newer(two.ship, &term), 13);
    CU_ASSERT_EQUAL(term, 4);
    CU_ASSERT_EQUAL(side_parts(&two, part), 1);
    CU_ASSERT_EQUAL(side_fetch(&two, "one", 13, 4), 0);
    arrived(13, 13, 1 << 20); /* and the part of the other is gone */
    world_end();
}

static void test_images_are_written_meanwhile(void)
{
    world_begin(12);
    side_state(&one, 5, 3 << 20);
    CU_ASSERT_EQUAL_FATAL(side_write(&one, 10, 3), 0);
    CU_ASSERT_FATAL(side_connect(&two, "one"));
    one.is_busy = true; /* slow */
    side_begin_fetch(&two, 10, 3);
    int n = 0;
    for (uint64_t i = 1; two.fetching && i < 100; i++, n++) {
        side_state(&two, i, 500000);
        CU_ASSERT_EQUAL_FATAL(side_write(&two, i % 9 + 1, 2), 0);
        side_state(&one, i, 500000);
        CU_ASSERT_EQUAL_FATAL(side_write(&one, 20 + i, 3), 0);
    }
    CU_ASSERT(n >= 2);
    CU_ASSERT_EQUAL(side_fetched(&two), 0);
    CU_ASSERT_EQUAL(side_install(&two, 10), 0);
    CU_ASSERT(two.host.good && two.host.id == 5);
    world_end();
}

static void test_silence_has_an_end(void)
{
    world_begin(13);
    side_state(&one, 5, 3 << 20);
    CU_ASSERT_EQUAL_FATAL(side_write(&one, 10, 3), 0);
    CU_ASSERT_FATAL(side_connect(&two, "one"));
    side_begin_fetch(&two, 10, 3);
    run_until_came(1 << 20);
    sim_net_partition(one.n, two.n, true);
    int64_t at = sim_now_ns(two.s);
    CU_ASSERT_EQUAL(side_fetched(&two), E_TIMEOUT);
    CU_ASSERT(sim_now_ns(two.s) - at < 10000 * SHIP_MS);
    sim_net_heal_all(two.s);
    CU_ASSERT_EQUAL(side_fetch(&two, "one", 10, 3), 0);
    arrived(10, 5, 3 << 20);
    world_end();
}

static void test_sweep_and_cancel(void)
{
    char part[ENV_NAME_MAX];
    world_begin(14);
    side_state(&one, 5, 3 << 20);
    CU_ASSERT_EQUAL_FATAL(side_write(&one, 10, 3), 0);
    CU_ASSERT_FATAL(side_connect(&two, "one"));
    for (int steps = 0; steps < 400; steps += 1 + steps / 10) {
        side_begin_fetch(&two, 10, 3);
        for (int i = 0; i < steps && two.fetching; i++)
            sim_step(two.s);
        ship_cancel(two.ship);
        int64_t ret = side_fetched(&two);
        CU_ASSERT(ret == E_CANCELLED || ret == 0);
    }
    CU_ASSERT(side_parts(&two, part) + side_images(&two) == 1);
    struct env_op op = {0};
    ship_sweep(two.ship, &op);
    CU_ASSERT_EQUAL(sim_run_op(two.s, &op, 600000 * SHIP_MS), 0);
    CU_ASSERT_EQUAL(side_parts(&two, part), 0);
    CU_ASSERT_EQUAL(side_fetch(&two, "one", 10, 3), 0);
    arrived(10, 5, 3 << 20);
    world_end();
}

/* what an earlier fetch still waits for is not in the way of the next one */
static void test_a_new_fetch_does_not_wait_for_the_old(void)
{
    world_begin(16);
    side_state(&one, 5, 3 << 20);
    CU_ASSERT_EQUAL_FATAL(side_write(&one, 10, 3), 0);
    side_state(&one, 6, 100000);
    CU_ASSERT_EQUAL_FATAL(side_write(&one, 11, 3), 0);
    CU_ASSERT_FATAL(side_connect(&two, "one"));
    one.is_busy = true; /* slow */
    for (int i = 0; i < 20; i++) {
        side_begin_fetch(&two, 10, 3);
        run_until_came(100000 + (uint64_t)i * 8192);
        ship_cancel(two.ship);
        CU_ASSERT_EQUAL(side_fetched(&two), E_CANCELLED);
        side_begin_fetch(&two, 11, 3);
        CU_ASSERT_EQUAL(side_fetched(&two), 0);
    }
    arrived(11, 6, 100000);
    world_end();
}

static void test_what_has_arrived_survives_a_power_loss(void)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        world_begin(seed);
        side_state(&one, 5, 700000);
        CU_ASSERT_EQUAL_FATAL(side_write(&one, 10, 3), 0);
        CU_ASSERT_EQUAL(side_fetch(&two, "one", 10, 3), 0);
        sim_node_power_loss(two.n);
        side_up(&two);
        CU_ASSERT_EQUAL(side_open(&two), 0);
        CU_ASSERT(two.host.good && two.host.id == 5 && snap_index(two.snap) == 10);
        world_end();
    }
}

/* more want something than may read at once, and one of them goes away in the middle */
static void test_many_are_served_at_once(void)
{
    static struct side more[5];
    char name[8];
    world_begin(15);
    side_state(&one, 5, 2 << 20);
    CU_ASSERT_EQUAL_FATAL(side_write(&one, 10, 3), 0);
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "x%d", i);
        more[i] = (struct side){.s = one.s, .n = sim_node_add(one.s, name)};
        side_up(&more[i]);
        CU_ASSERT_FATAL(side_open(&more[i]) == 0 && side_connect(&more[i], "one"));
    }
    for (int i = 0; i < 5; i++)
        side_begin_fetch(&more[i], 10, 3);
    sim_run_until(one.s, sim_now_ns(one.s) + 3 * SHIP_MS);
    CU_ASSERT(more[4].fetching);
    sim_node_crash(more[4].n);
    for (int i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(side_fetched(&more[i]), 0);
        CU_ASSERT_EQUAL(side_install(&more[i], 10), 0);
        CU_ASSERT(more[i].host.good && more[i].host.id == 5);
        side_stop(&more[i]);
    }
    world_end();
}

/* of those who want chunks all the time none has to wait until the others have their image */
static void test_all_are_served_alike(void)
{
    enum { N = 5 };
    static struct side more[N];
    char name[8];
    world_begin(17);
    side_state(&one, 5, 8 << 20);
    CU_ASSERT_EQUAL_FATAL(side_write(&one, 10, 3), 0);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "x%d", i);
        more[i] = (struct side){.s = one.s, .n = sim_node_add(one.s, name)};
        side_up(&more[i]);
        CU_ASSERT_FATAL(side_open(&more[i]) == 0 && side_connect(&more[i], "one"));
    }
    for (int i = 0; i < N; i++)
        side_begin_fetch(&more[i], 10, 3);
    uint64_t most = 0, least = 0;
    for (int k = 0; k < 1000000 && most < 8 << 20; k++) {
        sim_step(one.s);
        least = UINT64_MAX;
        for (int i = 0; i < N; i++) {
            most = base_max_u64(most, more[i].data_bytes);
            least = base_min_u64(least, more[i].data_bytes);
        }
    }
    CU_ASSERT(most >= 8 << 20 && least > most / 2);
    for (int i = 0; i < N; i++) {
        CU_ASSERT_EQUAL(side_fetched(&more[i]), 0);
        side_stop(&more[i]);
    }
    world_end();
}

/* everything at once: storms, crashes of both, images written and pruned, stops in the middle */
static void storm(uint64_t seed)
{
    struct sim_config c = sim_config_stormy(seed);
    struct prng rng;
    c.disk.read_eio_ppm = c.disk.write_eio_ppm = c.disk.sync_fail_ppm = 0;
    c.disk.misdirect_ppm = 0;
    prng_seed(&rng, seed, "storm", 0);
    world_begin_with(&c);
    uint64_t index = 1, bytes = 100000 + prng_below(&rng, 3 << 20);
    side_state(&one, index, bytes);
    CU_ASSERT_EQUAL_FATAL(side_write(&one, index, 3), 0);
    uint64_t most = 0;
    for (int i = 0; i < 300; i++) {
        uint64_t dice = prng_below(&rng, 40);
        if (!two.fetching && side_connect(&two, "one"))
            side_begin_fetch(&two, index, 3);
        if (dice == 0) {
            side_stop(&two);
        } else if (dice < 3) {
            if (prng_below(&rng, 2))
                sim_node_crash(two.n);
            else
                sim_node_power_loss(two.n);
        } else if (dice == 3) {
            sim_node_crash(one.n);
            side_up(&one);
            CU_ASSERT_EQUAL_FATAL(side_open(&one), 0);
        } else if (dice == 4) {
            side_state(&one, ++index, bytes);
            CU_ASSERT_EQUAL_FATAL(side_write(&one, index, 3), 0);
            ship_kept(one.ship, index - 1, index, 3);
        } else if (dice == 5) {
            sim_net_reset(one.n, two.n);
        }
        if (!sim_node_is_up(two.n)) {
            side_up(&two);
            CU_ASSERT_EQUAL_FATAL(side_open(&two), 0);
        }
        sim_run_until(two.s, sim_now_ns(two.s) + (int64_t)prng_below(&rng, 30) * SHIP_MS);
        /* nothing bad ever comes of it; E_CORRUPT would be */
        int64_t ret = two.fetching ? 0 : two.fetch_ret;
        CU_ASSERT_FATAL(ret == 0 || ret == E_NOENT || ret == E_TIMEOUT || ret == E_CANCELLED ||
                        ret == E_CLOSED);
        most = base_max_u64(most, side_images(&two));
    }
    if (two.fetching)
        side_fetched(&two);
    CU_ASSERT_EQUAL(side_fetch(&two, "one", index, 3), 0);
    arrived(index, index, bytes);
    world_end();
}

static void test_storms(void)
{
    for (uint64_t seed = 1; seed <= 12; seed++)
        storm(seed);
}

UNIT_MAIN("ship", UNIT(test_an_image_is_installed_at_run_time),
          UNIT(test_a_bad_image_leaves_an_empty_host),
          UNIT(test_the_last_images_stay_until_there_is_a_good_one),
          UNIT(test_images_that_do_not_count_are_removed),
          UNIT(test_a_holder_believes_its_own_eyes), UNIT(test_a_doubt_is_overtaken),
          UNIT(test_an_image_counts_as_long_as_it_took), UNIT(test_images_of_all_sizes_arrive),
          UNIT(test_a_wrong_term_or_index_is_not_there), UNIT(test_cut_connections_cost_little),
          UNIT(test_a_restarted_fetcher_goes_on), UNIT(test_a_restarted_holder_is_asked_again),
          UNIT(test_a_file_that_differs_is_begun_anew), UNIT(test_damage_on_the_way_is_found),
          UNIT(test_a_disk_that_does_not_read_back_is_its_owners),
          UNIT(test_a_full_disk_is_given_its_space_back),
          UNIT(test_who_fetches_what_is_gone_is_told_the_newest),
          UNIT(test_images_are_written_meanwhile), UNIT(test_silence_has_an_end),
          UNIT(test_sweep_and_cancel), UNIT(test_a_new_fetch_does_not_wait_for_the_old),
          UNIT(test_what_has_arrived_survives_a_power_loss), UNIT(test_many_are_served_at_once),
          UNIT(test_all_are_served_alike), UNIT(test_storms))
