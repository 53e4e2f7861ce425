/* tests/unit/test_ship.c - state images on their way from one master to another, and into a host
 * that runs. */
#include "tests/unit/test_ship_world.h"

static struct mem ship_mem;
static struct side one, two;

static void world_begin(uint64_t seed)
{
    struct sim_config c = sim_config_quiet(seed);
    unit_mem(&ship_mem, (uint64_t)2 << 30);
    struct sim *s = sim_open(&ship_mem, &c);
    one = (struct side){.s = s, .n = sim_node_add(s, "one")};
    two = (struct side){.s = s, .n = sim_node_add(s, "two")};
    side_up(&one);
    side_up(&two);
    CU_ASSERT_FATAL(side_open(&one) == 0 && side_open(&two) == 0);
}

static void world_end(void)
{
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

UNIT_MAIN("ship", UNIT(test_an_image_is_installed_at_run_time),
          UNIT(test_a_bad_image_leaves_an_empty_host))
