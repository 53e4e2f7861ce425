/* tests/unit/test_journal_images.c - state images larger than what is read or filled at once:
 * damage, bad sectors and cuts in every window, too little memory, an image given up half way. */
#include "tests/unit/test_journal_sim.h"

static struct world world_one;

/* two images of about 9 MB, more than two windows, a few records, and a sealed end */
static struct world *images_begin(uint64_t seed)
{
    struct world *w = &world_one;
    world_init_quiet(w, seed);
    w->cfg.image_after_bytes = 1 << 30;
    w->image_filler = 700;
    CU_ASSERT_FATAL(world_start(w));
    for (int i = 0; i < 2; i++) {
        world_put(w, 20, 1000);
        CU_ASSERT_FATAL(world_image(w));
    }
    world_put(w, 5, 1000);
    world_settle(w, 6000);
    CU_ASSERT_FATAL(world_status(w).image_bytes > 17 << 19);
    world_stop(w);
    return w;
}

/* it leads with everything, from the newest image (or not); no buffer is left over */
static void images_start(struct world *w, bool newest)
{
    uint32_t warnings = w->warnings;
    CU_ASSERT_FATAL(world_start(w));
    CU_ASSERT_EQUAL(w->applied, 45);
    CU_ASSERT_EQUAL(world_status(w).image_index, newest ? 40 : 20);
    CU_ASSERT_EQUAL(w->warnings, warnings + !newest);
    world_stop(w);
}

static void images_resize(struct world *w, const char *name, uint64_t size)
{
    struct env *e = sim_node_up(w->n);
    struct env_file *f = NULL;
    struct env_op op;
    env_open(e, name, ENV_O_WRITE, &f, &op);
    CU_ASSERT_FATAL(sim_run_op(w->s, &op, 1000 * WORLD_MS) >= 0);
    env_resize(f, size, &op);
    CU_ASSERT_EQUAL(sim_run_op(w->s, &op, 1000 * WORLD_MS), 0);
    env_sync(f, &op);
    CU_ASSERT_EQUAL(sim_run_op(w->s, &op, 1000 * WORLD_MS), 0);
    sim_node_crash(w->n);
}

static void test_images_load_from_many_windows(void)
{
    struct world *w = images_begin(1);
    images_start(w, true);
    w->cfg.check_only = true;
    CU_ASSERT_FALSE(world_start(w));
    CU_ASSERT_EQUAL(w->role, JOURNAL_STANDBY);
    CU_ASSERT(w->loaded_pieces > 2 * 700); /* both */
    world_stop(w);
    w->cfg.check_only = false;
    w->no_reset = true;
    images_start(w, true);
    world_drop(w);
}

/* a flipped bit is found while the next window is on its way */
static void test_images_damage_in_any_window(void)
{
    struct world *w = images_begin(2);
    char name[ENV_NAME_MAX];
    CU_ASSERT_FATAL(world_file(w, "j/image-", -1, name));
    int64_t size = sim_disk_size(w->n, name);
    for (int64_t i = 0; i < 11; i++) {
        int64_t off = i * (size - LOG_BLOCK) / 11 + 20; /* not in the padding of the end */
        w->no_reset = i & 1;
        sim_disk_flip(w->n, name, (uint64_t)off, 3);
        images_start(w, false);
        sim_disk_flip(w->n, name, (uint64_t)off, 3);
    }
    images_start(w, true);
    world_drop(w);
}

/* an end in the middle: of a window, of a piece, of nothing */
static void test_images_cut_anywhere(void)
{
    struct world *w = images_begin(3);
    char name[ENV_NAME_MAX];
    CU_ASSERT_FATAL(world_file(w, "j/image-", -1, name));
    uint64_t size = (uint64_t)sim_disk_size(w->n, name);
    for (int i = 0; size > 0; i++) {
        uint64_t less = i % 3 == 0 ? size % LOG_BLOCK + LOG_BLOCK : 450 * 1000 + (uint64_t)i * 977;
        size = size > less ? size - less : 0;
        images_resize(w, name, size);
        images_start(w, false);
    }
    world_drop(w);
}

/* a sector that cannot be read; also behind a flipped bit, where the read that fails is no longer
 * wanted, and also in the older image */
static void test_images_bad_sectors(void)
{
    for (uint64_t i = 0; i < 6; i++) {
        struct world *w = images_begin(4);
        char name[ENV_NAME_MAX];
        CU_ASSERT_FATAL(world_file(w, "j/image-", -1, name));
        uint64_t size = (uint64_t)sim_disk_size(w->n, name);
        uint64_t off = i * (size - LOG_BLOCK) / 6 & ~(uint64_t)(LOG_BLOCK - 1);
        CU_ASSERT_EQUAL(sim_disk_bad(w->n, name, off), 0);
        if (i & 1)
            sim_disk_flip(w->n, name, off > (4 << 20) ? off - (4 << 20) : 20, 3);
        images_start(w, false);
        CU_ASSERT_FATAL(world_file(w, "j/image-", 0, name));
        CU_ASSERT_EQUAL(sim_disk_bad(w->n, name, off), 0);
        CU_ASSERT_FATAL(world_start(w)); /* the log is whole: it was not cut yet */
        CU_ASSERT_EQUAL(world_status(w).image_index, 0);
        world_stop(w);
        world_drop(w);
    }
}

/* a host that refuses in the middle of an image, while the next window is on its way */
static void test_images_too_large_for_the_host(void)
{
    struct world *w = images_begin(5);
    w->refuse_piece = 320;
    w->refuse_why = E_NOMEM;
    CU_ASSERT_FALSE(world_start(w));
    CU_ASSERT_EQUAL(w->why, E_NOMEM);
    CU_ASSERT_PTR_NOT_NULL(strstr(w->last_error, "nothing was changed"));
    world_stop(w);
    w->refuse_piece = 0;
    images_start(w, true);
    world_drop(w);
}

/* whatever buffer it is that there is no memory for: a start is refused, says so, and leaves
 * nothing behind; with enough it starts */
static void test_images_no_memory_for_windows(void)
{
    struct world *w = images_begin(6);
    uint32_t refused = 0;
    for (uint64_t budget = 256 << 10; budget < 32 << 20; budget += 480 << 10) {
        world_open(w);
        sim_mem(w->n)->budget = sim_mem(w->n)->used + budget;
        if (world_until_role(w))
            break;
        CU_ASSERT_EQUAL(w->why, E_NOMEM);
        CU_ASSERT(w->last_error[0] != 0);
        w->last_error[0] = 0;
        refused++;
        world_stop(w);
    }
    CU_ASSERT(refused > 5);
    CU_ASSERT_EQUAL(w->role, JOURNAL_LEADER);
    CU_ASSERT_EQUAL(world_status(w).image_index, 40);
    world_stop(w);
    images_start(w, true);
    world_drop(w);
}

/* While appends are under way an image takes little of any turn; when nothing is, it does not
 * dawdle. */
static void test_images_are_filled_in_steps(void)
{
    struct world *w = images_begin(7);
    const uint64_t step = 64 << 10;
    uint64_t most_busy = 0, most_idle = 0;
    CU_ASSERT_FATAL(world_start(w));
    world_put(w, 1, 100);
    for (int idle = 0; idle < 2; idle++) {
        world_settle(w, 2000);
        world_image_submit(w);
        while (w->imaging) {
            if (!idle && world_busy(w) < 4)
                world_submit(w, 500);
            uint64_t before = w->image_out;
            CU_ASSERT_FATAL(sim_step(w->s));
            uint64_t *most = idle ? &most_idle : &most_busy;
            *most = base_max_u64(*most, w->image_out - before);
        }
        CU_ASSERT(w->image_ret > 0);
    }
    CU_ASSERT(most_busy > 0 && most_busy < 2 * step);
    CU_ASSERT(most_idle > 3 * step);
    world_stop(w);
    world_drop(w);
}

/* stopped between two steps of a fill: given up, and nothing of it is left */
static void test_images_given_up_half_way(void)
{
    struct world *w = images_begin(8);
    for (int i = 0; i < 20; i++) {
        CU_ASSERT_FATAL(world_start(w));
        world_put(w, 1, 100);
        world_image_submit(w);
        uint64_t until = w->image_out + 1 + (uint64_t)i * 20000;
        while (w->imaging && w->image_out < until) {
            if (world_busy(w) < 4)
                world_submit(w, 500);
            CU_ASSERT_FATAL(sim_step(w->s));
        }
        CU_ASSERT(w->imaging);
        world_stop(w);
        CU_ASSERT_FALSE(w->imaging);
        CU_ASSERT_EQUAL(w->image_ret, E_CANCELLED);
        CU_ASSERT_EQUAL(world_files(w, "j/image.tmp"), 0);
    }
    world_drop(w);
}

/* a stop does not wait for the rest of a large image, or of a long log */
static void test_images_stop_while_starting(void)
{
    for (int log = 0; log < 2; log++) {
        struct world *w = images_begin(9);
        if (log) {
            CU_ASSERT_FATAL(world_start(w));
            world_put(w, 2000, 3000);
            world_stop(w);
        }
        uint64_t records = w->seen;
        int64_t began_ns = sim_now_ns(w->s), worst_ns = 0;
        CU_ASSERT_FATAL(world_start(w));
        int64_t whole_ns = sim_now_ns(w->s) - began_ns;
        CU_ASSERT_EQUAL(w->applied, records);
        world_stop(w);
        uint32_t cut_loads = 0, cut_replays = 0;
        for (int i = 1; i < 16; i++) {
            world_open(w);
            sim_run_until(w->s, sim_now_ns(w->s) + whole_ns * i / 16);
            began_ns = sim_now_ns(w->s);
            world_stop(w);
            int64_t took_ns = sim_now_ns(w->s) - began_ns;
            worst_ns = took_ns > worst_ns ? took_ns : worst_ns;
            cut_loads += w->loaded_pieces > 0 && w->applied == 0;
            cut_replays += w->applied > 45 && w->applied < records;
        }
        CU_ASSERT(log ? cut_replays > 1 : cut_loads > 1);
        CU_ASSERT(worst_ns < whole_ns / 4);
        CU_ASSERT_FATAL(world_start(w)); /* nothing is lost by it */
        CU_ASSERT_EQUAL(w->applied, records);
        world_stop(w);
        world_drop(w);
    }
}

UNIT_MAIN("journal_images", UNIT(test_images_load_from_many_windows),
          UNIT(test_images_damage_in_any_window), UNIT(test_images_cut_anywhere),
          UNIT(test_images_bad_sectors), UNIT(test_images_too_large_for_the_host),
          UNIT(test_images_no_memory_for_windows), UNIT(test_images_are_filled_in_steps),
          UNIT(test_images_given_up_half_way), UNIT(test_images_stop_while_starting))
