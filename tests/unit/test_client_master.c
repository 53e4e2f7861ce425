/* tests/unit/test_client_master.c - which master a client tries next, and when. */
#include "cluster/client_impl.h"
#include "sim/sim.h"
#include "unit.h"

#define MS 1000000LL

static struct mem m;
static struct sim *s;
static struct client c;

static void world_open(uint32_t n)
{
    unit_mem(&m, 64 << 20);
    struct sim_config cfg = sim_config_quiet(3);
    s = sim_open(&m, &cfg);
    memset(&c, 0, sizeof c);
    c.env = sim_node_up(sim_node_add(s, "client"));
    for (uint32_t i = 0; i < n; i++)
        snprintf(c.masters[i], ENV_ADDR_MAX, "m%u:1", i);
    c.n_masters = c.n_given = n;
    client_master_reset(&c);
}

static void world_close(void)
{
    sim_close(s);
    mem_drop(&m);
}

static void pass_ms(int64_t ms)
{
    sim_run_until(s, sim_now_ns(s) + ms * MS);
}

/* the next one, and that it is asked within a pause of these bounds */
static uint32_t next(int64_t least_ms, int64_t most_ms)
{
    int64_t ns = client_master_next(&c);
    CU_ASSERT(ns >= least_ms * MS && ns <= most_ms * MS);
    return c.master;
}

static void hint(const char *addr)
{
    client_master_hint(&c, addr, (uint32_t)strlen(addr));
}

static void test_client_master_each_once_then_a_pause(void)
{
    world_open(3);
    CU_ASSERT_EQUAL(next(1, 1), 1);
    CU_ASSERT_EQUAL(next(1, 1), 2);
    CU_ASSERT_EQUAL(next(10, 20), 0);
    CU_ASSERT_EQUAL(next(1, 1), 1);
    CU_ASSERT_EQUAL(next(1, 1), 2);
    CU_ASSERT_EQUAL(next(20, 40), 0);
    for (int i = 0; i < 30; i++)
        (void)next(1, 80); /* during an election */
    pass_ms(4000);
    int64_t longest = 0;
    for (int i = 0; i < 30; i++) {
        int64_t ns = client_master_next(&c);
        longest = ns > longest ? ns : longest;
    }
    CU_ASSERT(longest > 400 * MS && longest <= 1000 * MS);
    world_close();
}

static void test_client_master_one_alone_is_tried_again_and_again(void)
{
    world_open(1);
    client_master_dead(&c, E_TIMEOUT);
    CU_ASSERT_EQUAL(next(10, 20), 0);
    CU_ASSERT_EQUAL(next(20, 40), 0);
    hint("m0:1");
    CU_ASSERT_EQUAL(next(40, 80), 0);
    world_close();
}

static void test_client_master_a_hint_is_followed_once_a_round(void)
{
    world_open(4);
    hint("m3:1");
    CU_ASSERT_EQUAL(next(1, 1), 3);
    hint("m0:1"); /* it has just said that it does not lead */
    CU_ASSERT_EQUAL(next(1, 1), 1);
    hint("m3:1");
    CU_ASSERT_EQUAL(next(1, 1), 2);
    hint("m3:1");
    CU_ASSERT_EQUAL(next(10, 20), 3);
    hint("m1:1");
    CU_ASSERT_EQUAL(next(1, 1), 1);
    world_close();
}

static void test_client_master_the_dead_come_last(void)
{
    world_open(3);
    client_master_dead(&c, E_TIMEOUT); /* 0 */
    CU_ASSERT_EQUAL(next(1, 1), 1);
    hint("m0:1"); /* 1 has not noticed yet */
    CU_ASSERT_EQUAL(next(1, 1), 2);
    hint("m0:1");
    CU_ASSERT_EQUAL(next(10, 20), 1);
    hint("m0:1");
    CU_ASSERT_EQUAL(next(1, 1), 2);
    CU_ASSERT_EQUAL(next(1, 1), 0); /* but it is asked, too */
    pass_ms(2100);
    CU_ASSERT_EQUAL(next(1, 80), 1);
    hint("m0:1");
    CU_ASSERT_EQUAL(next(1, 1), 0);
    world_close();
}

static void test_client_master_hints_are_any_bytes(void)
{
    char longer[ENV_ADDR_MAX + 8];
    memset(longer, 'x', sizeof longer);
    world_open(2);
    CU_ASSERT_EQUAL(client_master_hint(&c, "", 0), UINT32_MAX);
    CU_ASSERT_EQUAL(client_master_hint(&c, longer, ENV_ADDR_MAX), UINT32_MAX);
    CU_ASSERT_EQUAL(client_master_hint(&c, "a\0b", 3), UINT32_MAX);
    CU_ASSERT_EQUAL(c.n_masters, 2);
    CU_ASSERT_EQUAL(client_master_hint(&c, "new:1", 5), 2);
    CU_ASSERT_EQUAL(client_master_hint(&c, "new:1", 5), 2);
    CU_ASSERT(c.n_masters == 3 && !strcmp(c.masters[2], "new:1"));
    CU_ASSERT_EQUAL(next(1, 1), 2);
    for (int i = 0; i < 40; i++) {
        char text[16];
        snprintf(text, sizeof text, "more%d:1", i);
        (void)client_master_hint(&c, text, (uint32_t)strlen(text));
    }
    CU_ASSERT_EQUAL(c.n_masters, CLIENT_MASTERS_MAX);
    world_close();
}

/* The masters of a group are replaced again and again while a client runs: it finds the last. */
static void test_client_master_new_ones_are_found_after_many(void)
{
    world_open(3);
    for (uint32_t i = 0; i < 3 * CLIENT_MASTERS_MAX; i++) {
        char text[16];
        snprintf(text, sizeof text, "new%u:1", i);
        uint32_t was = c.master;
        client_master_reset(&c);
        hint(text);
        CU_ASSERT(c.master == was && next(1, 1) != was);
        CU_ASSERT_STRING_EQUAL(c.masters[c.master], text);
        client_master_dead(&c, E_TIMEOUT);
        pass_ms(10);
    }
    for (uint32_t i = 0; i < 3; i++) {
        char text[16];
        snprintf(text, sizeof text, "m%u:1", i);
        CU_ASSERT_STRING_EQUAL(c.masters[i], text); /* what was configured stays */
    }
    world_close();
}

/* every one has refused us for good: that is known, but only until one serves */
static void test_client_master_all_bar_us(void)
{
    const int *why;
    world_open(3);
    const bool *decided = client_decided(&c, &why);
    client_master_barred(&c, E_AUTH);
    c.master = 1;
    client_master_barred(&c, E_REFUSED);
    c.master = 2;
    client_master_barred(&c, E_AUTH);
    CU_ASSERT(!*decided && !*why); /* 1 may come up, and let us in */
    c.master = 1;
    client_master_barred(&c, E_CONFIG);
    CU_ASSERT(*decided);
    CU_ASSERT_EQUAL(*why, E_CONFIG);
    client_master_serves(&c); /* somebody has changed the secret */
    CU_ASSERT(*decided && !*why);
    for (c.master = 0; c.master < 3; c.master++)
        client_master_barred(&c, E_AUTH);
    CU_ASSERT_EQUAL(*why, 0); /* it was connected once: it goes on trying */
    world_close();
    world_open(2);
    decided = client_decided(&c, &why);
    client_master_barred(&c, E_AUTH);
    client_master_barred(&c, E_TIMEOUT); /* it came again as another process */
    c.master = 1;
    client_master_barred(&c, E_AUTH);
    CU_ASSERT(!*decided);
    client_master_serves(&c);
    CU_ASSERT(*decided && !*why);
    world_close();
}

UNIT_MAIN("client_master", UNIT(test_client_master_all_bar_us),
          UNIT(test_client_master_each_once_then_a_pause),
          UNIT(test_client_master_one_alone_is_tried_again_and_again),
          UNIT(test_client_master_a_hint_is_followed_once_a_round),
          UNIT(test_client_master_new_ones_are_found_after_many),
          UNIT(test_client_master_the_dead_come_last), UNIT(test_client_master_hints_are_any_bytes))
