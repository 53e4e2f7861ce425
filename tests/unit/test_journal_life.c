/* tests/unit/test_journal_life.c - the local journal's life: starts, limits, a full disk, a failed
 * disk, a slow disk, stops. */
#include "journal/log_meta.h"
#include "tests/unit/test_journal_sim.h"

static struct world world_one;

static int64_t barrier(struct world *w)
{
    w->barred = false;
    w->barrier_op.done = world_barrier_done;
    journal_barrier(w->j, &w->barrier_op);
    while (!w->barred && sim_step(w->s))
        ;
    return w->barrier_op.ret;
}

static void test_life_starts_empty_and_restarts(void)
{
    struct world *w = &world_one;
    world_init_quiet(w, 1);
    CU_ASSERT_FATAL(world_start(w));
    CU_ASSERT_EQUAL(w->epoch, 1);
    world_put(w, 100, 100);
    CU_ASSERT_EQUAL(w->acks, 100);
    CU_ASSERT_EQUAL(barrier(w), 0);
    struct journal_status st = world_status(w);
    CU_ASSERT_EQUAL(st.role, JOURNAL_LEADER);
    CU_ASSERT_EQUAL(st.last_index, 100);
    CU_ASSERT_EQUAL(st.applied, 100);
    CU_ASSERT(st.batches > 0 && st.batches <= 100);
    world_stop(w);
    for (unsigned again = 0; again < 3; again++) {
        CU_ASSERT_FATAL(world_start(w));
        CU_ASSERT_EQUAL(w->applied, 100);
        CU_ASSERT_EQUAL(w->epoch, 2 + again);
        world_stop(w);
    }
    world_drop(w);
}

/* each start makes a segment; those that hold nothing go again */
static void test_life_many_restarts_leave_few_files(void)
{
    struct world *w = &world_one;
    world_init_quiet(w, 2);
    for (int i = 0; i < 30; i++) {
        CU_ASSERT_FATAL(world_start(w));
        if (i % 10 == 0)
            world_put(w, 1, 100);
        world_settle(w, 100);
        if (i & 1)
            world_stop(w);
        else
            world_crash(w, i & 2);
    }
    CU_ASSERT_FATAL(world_start(w));
    CU_ASSERT_EQUAL(w->applied, 3);
    world_settle(w, 1000);
    CU_ASSERT(world_files(w, "j/wal-") <= 6);
    world_drop(w);
}

static void test_life_batches_what_waits(void)
{
    struct world *w = &world_one;
    world_init_quiet(w, 3);
    CU_ASSERT_FATAL(world_start(w));
    struct journal_status before = world_status(w);
    for (int i = 0; i < 60; i++)
        CU_ASSERT(world_submit(w, 40));
    world_settle(w, 30);
    struct journal_status after = world_status(w);
    CU_ASSERT_EQUAL(w->acks, 60);
    CU_ASSERT_EQUAL(after.batches - before.batches, 1);
    world_drop(w);
}

static void test_life_sizes(void)
{
    struct world *w = &world_one;
    world_init_quiet(w, 4);
    struct journal_config d = journal_config_default();
    w->cfg.batch_bytes = d.batch_bytes;
    w->cfg.segment_bytes = 1 << 20;
    w->cfg.queue_bytes = d.queue_bytes;
    w->cfg.image_after_bytes = 1 << 30;
    CU_ASSERT_FATAL(world_start(w));
    world_put(w, 30, JOURNAL_RECORD_MAX); /* crosses segments */
    world_put(w, 3, 8);
    CU_ASSERT_EQUAL(w->acks, 33);
    world_put(w, 1, JOURNAL_RECORD_MAX + 1);
    CU_ASSERT_EQUAL(w->refused, 1);
    CU_ASSERT_EQUAL(w->last_refusal, E_TOOBIG);
    world_crash(w, true);
    /* and with smaller limits than the log was written with */
    w->cfg.batch_bytes = 4096;
    w->cfg.segment_bytes = 64 << 10;
    CU_ASSERT_FATAL(world_start(w));
    CU_ASSERT_EQUAL(w->applied, 33);
    world_put(w, 1, 8000);
    CU_ASSERT_EQUAL(w->last_refusal, E_TOOBIG);
    world_put(w, 5, 3000);
    CU_ASSERT_EQUAL(w->acks, 38);
    world_stop(w);
    CU_ASSERT_FATAL(world_start(w));
    CU_ASSERT_EQUAL(w->applied, 38);
    world_drop(w);
}

static void slow_disk(struct world *w, int64_t ms)
{
    struct sim_disk_config d = *sim_disk_get(w->n);
    d.write_min_ns = ms * WORLD_MS;
    d.write_mean_ns = ms * WORLD_MS;
    sim_disk_set(w->n, &d);
}

static void test_life_queue_is_bounded(void)
{
    struct world *w = &world_one;
    world_init_quiet(w, 5);
    CU_ASSERT_FATAL(world_start(w));
    world_settle(w, 500);
    slow_disk(w, 2000);
    for (int i = 0; i < WORLD_SUBMITS; i++)
        CU_ASSERT(world_submit(w, 2000));
    world_settle(w, 1000);
    CU_ASSERT_EQUAL(w->acks, 0);
    CU_ASSERT(w->refused > 0 && w->refused < WORLD_SUBMITS - 10);
    CU_ASSERT_EQUAL(w->last_refusal, E_AGAIN);
    world_settle(w, 60000);
    CU_ASSERT_EQUAL(w->acks + w->refused, WORLD_SUBMITS);
    slow_disk(w, 1);
    world_put(w, 10, 100);
    CU_ASSERT_EQUAL(w->acks + w->refused, WORLD_SUBMITS + 10);
    world_stop(w);
    world_drop(w);
}

/* A stalled disk delays answers; nothing is answered meanwhile, everything afterwards. */
static void test_life_stall(void)
{
    struct world *w = &world_one;
    world_init_quiet(w, 6);
    CU_ASSERT_FATAL(world_start(w));
    world_put(w, 10, 100);
    struct sim_disk_config calm = *sim_disk_get(w->n), d = calm;
    world_settle(w, 500);
    d.stall_ppm = 1000000;
    d.stall_mean_ns = 5000 * WORLD_MS;
    sim_disk_set(w->n, &d);
    for (int i = 0; i < 20; i++)
        world_submit(w, 100);
    sim_step(w->s);
    sim_disk_set(w->n, &calm);
    world_settle(w, 5);
    CU_ASSERT_EQUAL(w->acks, 10);
    CU_ASSERT_EQUAL(w->role, JOURNAL_LEADER);
    world_settle(w, 120000);
    CU_ASSERT_EQUAL(w->acks, 30);
    world_drop(w);
}

static void fail_disk(struct world *w, uint32_t write_ppm, uint32_t sync_ppm)
{
    struct sim_disk_config d = *sim_disk_get(w->n);
    d.write_eio_ppm = write_ppm;
    d.sync_fail_ppm = sync_ppm;
    sim_disk_set(w->n, &d);
}

static void test_life_failed_write_is_fatal(void)
{
    struct world *w = &world_one;
    world_init_quiet(w, 7);
    CU_ASSERT_FATAL(world_start(w));
    world_put(w, 10, 100);
    world_settle(w, 500);
    fail_disk(w, 1000000, 0);
    for (int i = 0; i < 5; i++)
        world_submit(w, 100);
    world_settle(w, 1000);
    CU_ASSERT_EQUAL(w->role, JOURNAL_FAILED);
    CU_ASSERT_EQUAL(w->why, E_IO);
    CU_ASSERT_EQUAL(w->acks, 10);
    CU_ASSERT_EQUAL(w->refused, 5);
    CU_ASSERT_EQUAL(w->last_refusal, E_NOT_LEADER);
    CU_ASSERT_PTR_NOT_NULL(strstr(w->last_error, "restart"));
    fail_disk(w, 0, 0); /* it works again: that changes nothing */
    world_put(w, 3, 100);
    world_settle(w, 5000);
    CU_ASSERT_EQUAL(w->acks, 10);
    CU_ASSERT_EQUAL(w->refused, 8);
    CU_ASSERT_EQUAL(barrier(w), E_NOT_LEADER);
    CU_ASSERT_FALSE(world_image(w));
    world_stop(w);
    CU_ASSERT_FATAL(world_start(w));
    CU_ASSERT(w->applied >= 10);
    world_drop(w);
}

/* the sync of a new segment, or of the epoch */
static void test_life_failed_sync_is_fatal(void)
{
    struct world *w = &world_one;
    world_init_quiet(w, 8);
    CU_ASSERT_FATAL(world_start(w));
    world_settle(w, 500);
    fail_disk(w, 0, 1000000);
    world_put(w, 60, 3000);
    CU_ASSERT_EQUAL(w->role, JOURNAL_FAILED);
    CU_ASSERT_EQUAL(w->why, E_IO);
    world_crash(w, true);
    CU_ASSERT_FALSE(world_start(w)); /* the epoch is not durable: it must not lead */
    CU_ASSERT_EQUAL(w->why, E_IO);
    world_crash(w, true);
    fail_disk(w, 0, 0);
    CU_ASSERT_FATAL(world_start(w));
    world_put(w, 10, 100);
    world_drop(w);
}

static void set_capacity(struct world *w, uint64_t bytes)
{
    struct sim_disk_config d = *sim_disk_get(w->n);
    d.capacity = bytes;
    sim_disk_set(w->n, &d);
}

static void test_life_full_disk_then_space(void)
{
    struct world *w = &world_one;
    world_init_quiet(w, 9);
    w->cfg.image_after_bytes = 1 << 30;
    CU_ASSERT_FATAL(world_start(w));
    world_put(w, 5, 100);
    world_settle(w, 1000);
    set_capacity(w, sim_disk_used(w->n));
    for (int i = 0; i < 100 && !w->refused; i++)
        world_put(w, 1, 3000);
    CU_ASSERT_EQUAL(w->last_refusal, E_NOSPC);
    CU_ASSERT_EQUAL(w->role, JOURNAL_LEADER); /* reads go on */
    CU_ASSERT(w->acks > 20);                  /* the segment at hand and the prepared one */
    CU_ASSERT_PTR_NOT_NULL(strstr(w->last_error, "Free some space"));
    uint32_t acks = w->acks;
    world_put(w, 3, 3000);
    CU_ASSERT_EQUAL(w->acks, acks);
    CU_ASSERT_EQUAL(barrier(w), 0);
    /* restarts in that state keep everything; the reserve lets them start */
    world_crash(w, true);
    CU_ASSERT_FATAL(world_start(w));
    CU_ASSERT(w->applied >= acks);
    world_crash(w, false);
    set_capacity(w, 0);
    CU_ASSERT_FATAL(world_start(w));
    world_settle(w, 2000);
    acks = w->acks;
    world_put(w, 50, 3000);
    CU_ASSERT_EQUAL(w->acks, acks + 50);
    world_drop(w);
}

/* without a restart: space comes back and so do writes */
static void test_life_full_disk_recovers_by_itself(void)
{
    struct world *w = &world_one;
    world_init_quiet(w, 10);
    w->cfg.image_after_bytes = 1 << 30;
    CU_ASSERT_FATAL(world_start(w));
    world_settle(w, 1000);
    set_capacity(w, sim_disk_used(w->n));
    for (int i = 0; i < 100 && !w->refused; i++)
        world_put(w, 1, 3000);
    CU_ASSERT_EQUAL(w->last_refusal, E_NOSPC);
    set_capacity(w, 0);
    world_settle(w, 3000);
    uint32_t acks = w->acks;
    world_put(w, 50, 3000);
    CU_ASSERT_EQUAL(w->acks, acks + 50);
    world_stop(w);
    CU_ASSERT_FATAL(world_start(w));
    world_drop(w);
}

/* A disk that has `room` left, then 400 records: how many of them were taken. */
static uint32_t life_full_disk(struct world *w, uint32_t filler, uint64_t room)
{
    world_init_quiet(w, 11);
    w->cfg.image_after_bytes = 1 << 30;
    w->image_filler = filler;
    CU_ASSERT_FATAL(world_start(w));
    for (int i = 0; i < 3; i++) {
        world_put(w, 40, 3000);
        CU_ASSERT(world_image(w));
    }
    world_put(w, 40, 3000);
    world_settle(w, 1000);
    set_capacity(w, sim_disk_used(w->n) + room);
    uint32_t acks = w->acks;
    for (int i = 0; i < 400; i++) {
        world_put(w, 1, 3000);
        if (w->last_refusal) {
            w->last_refusal = 0;
            world_settle(w, 1000);
        }
    }
    return w->acks - acks;
}

/* A full disk asks for an image, which the reserve has room for, and that lets segments go. */
static void test_life_full_disk_lives_by_its_reserve(void)
{
    struct world *w = &world_one;
    CU_ASSERT(life_full_disk(w, 3, 0) > 300); /* 20 times the space there was */
    world_crash(w, true);
    CU_ASSERT_FATAL(world_start(w));
    world_drop(w);
}

/* However much room there is, if it is enough: space for an image, the next segment and the rest
 * of the reserve is given in that order, so none of them ends up with what another needs. */
static void test_life_full_disk_with_any_room(void)
{
    struct world *w = &world_one;
    for (uint64_t room = 0; room <= 192 << 10; room += 8 << 10) {
        for (uint32_t filler = 3; filler <= 30; filler += 27) {
            uint32_t taken = life_full_disk(w, filler, room);
            CU_ASSERT(taken > 300);
            if (getenv("WORLD_LOG"))
                fprintf(stderr, "room %u filler %u: %u\n", (unsigned)room, filler, taken);
            world_drop(w);
        }
    }
}

/* journal_stop at any moment: everything is answered, closed and given back */
static void test_life_stops_at_any_moment(void)
{
    struct world *w = &world_one;
    world_init_quiet(w, 12);
    w->cfg.image_after_bytes = 20 << 10;
    for (int i = 0; i < 150 && !w->bad; i++) {
        w->image_filler = (uint32_t)prng_below(&w->rng, 8);
        world_open(w);
        uint64_t steps = prng_below(&w->rng, 300);
        for (uint64_t k = 0; k < steps; k++) {
            if (w->role == JOURNAL_LEADER && prng_below(&w->rng, 2))
                world_submit(w, 8 + (uint32_t)prng_below(&w->rng, 2000));
            if (w->role == JOURNAL_LEADER && !w->imaging && prng_below(&w->rng, 50) == 0)
                world_image_submit(w);
            sim_step(w->s);
        }
        world_stop(w);
        CU_ASSERT(!w->imaging);
    }
    CU_ASSERT(w->acks > 100);
    world_drop(w);
}

/* no room for a usual segment, and no reserve left: a small one lets it start and be read */
static void test_life_starts_with_little_space(void)
{
    struct world *w = &world_one;
    struct env_op op;
    world_init_quiet(w, 14);
    w->cfg.image_after_bytes = 1 << 30;
    CU_ASSERT_FATAL(world_start(w));
    world_settle(w, 1000);
    set_capacity(w, sim_disk_used(w->n));
    for (uint32_t full = 0, was; full < 2;) { /* nothing comes back by itself any more */
        was = w->acks;
        world_put(w, 1, 3000);
        full = w->acks == was ? full + 1 : 0;
        if (full)
            world_settle(w, 10000);
    }
    world_crash(w, true);
    const char *spare[] = {"j/journal.reserve", "j/wal.new"};
    struct env *e = sim_node_up(w->n);
    for (unsigned i = 0; i < ARRAY_LEN(spare); i++) {
        env_unlink(e, spare[i], &op);
        sim_run_op(w->s, &op, 1000 * WORLD_MS);
    }
    sim_run_until(w->s, sim_now_ns(w->s) + 6000 * WORLD_MS);
    sim_node_crash(w->n);
    uint64_t records = w->seen;
    set_capacity(w, sim_disk_used(w->n) + (48 << 10));
    CU_ASSERT_FATAL(world_start(w));
    CU_ASSERT_EQUAL(w->applied, records);
    world_crash(w, true);
    set_capacity(w, 0);
    CU_ASSERT_FATAL(world_start(w));
    uint32_t acks = w->acks;
    world_put(w, 30, 1000);
    CU_ASSERT_EQUAL(w->acks, acks + 30);
    world_drop(w);
}

/* Images are written in pauses while appends go on: an append waits for one piece at most, and an
 * image has less than half of the disk. */
static void test_life_image_does_not_hold_up_appends(void)
{
    struct world *w = &world_one;
    world_init_quiet(w, 13);
    struct sim_disk_config d = *sim_disk_get(w->n);
    d.bytes_per_s = 100 << 20; /* 64 KiB: 0.6 ms */
    sim_disk_set(w->n, &d);
    w->image_filler = 600; /* about 6 MB: 60 ms of this disk */
    w->cfg.image_after_bytes = 1 << 30;
    CU_ASSERT_FATAL(world_start(w));
    world_put(w, 100, 100);
    world_settle(w, 500);
    int64_t from_ns = sim_now_ns(w->s);
    CU_ASSERT(world_image(w));
    int64_t alone_ns = sim_now_ns(w->s) - from_ns, worst_ns = 0, began_ns;
    int64_t alone_kib = (int64_t)world_status(w).image_bytes >> 10;
    world_put(w, 1, 100);
    world_settle(w, 2000);
    began_ns = sim_now_ns(w->s);
    world_image_submit(w);
    for (int i = 0; w->imaging && i < 100000; i++) {
        from_ns = sim_now_ns(w->s);
        world_put(w, 1, 100);
        int64_t took_ns = sim_now_ns(w->s) - from_ns;
        worst_ns = took_ns > worst_ns ? took_ns : worst_ns;
    }
    CU_ASSERT(w->image_ret > 0);
    CU_ASSERT(worst_ns < 3 * WORLD_MS);                       /* one of 256 KiB: 3.9 ms */
    int64_t kib = (int64_t)world_status(w).image_bytes >> 10; /* smaller pieces, fewer bytes here */
    CU_ASSERT((sim_now_ns(w->s) - began_ns) / kib > 2 * (alone_ns / alone_kib));
    world_drop(w);
}

/* One small record at a time takes a whole block of the log each: blocks are what brings the next
 * image, also those written before a restart, or the log would grow to many times its limit. */
static void test_life_small_records_bring_an_image(void)
{
    struct world *w = &world_one;
    world_init_quiet(w, 16);
    w->cfg.image_after_bytes = 40 * LOG_BLOCK;
    CU_ASSERT_FATAL(world_start(w));
    for (int i = 0; i < 30; i++)
        world_put(w, 1, 20);
    world_settle(w, 500);
    CU_ASSERT_EQUAL(world_status(w).image_index, 0);
    world_crash(w, true);
    CU_ASSERT_FATAL(world_start(w));
    for (int i = 0; i < 15; i++)
        world_put(w, 1, 20);
    world_settle(w, 500);
    uint64_t first = world_status(w).image_index;
    CU_ASSERT(first > 35 && first <= 45);
    for (int i = 0; i < 400; i++)
        world_put(w, 1, 20);
    world_settle(w, 500);
    CU_ASSERT(world_status(w).image_index > 390);
    world_crash(w, true); /* a log that is long already: an image at once */
    w->cfg.image_after_bytes = LOG_BLOCK;
    CU_ASSERT_FATAL(world_start(w));
    world_settle(w, 500);
    CU_ASSERT_EQUAL(world_status(w).image_index, 445);
    world_drop(w);
}

/* beside a large image the log may grow further before the next one */
static void test_life_large_images_come_less_often(void)
{
    struct world *w = &world_one;
    world_init_quiet(w, 17);
    w->cfg.image_after_bytes = 10 * LOG_BLOCK;
    w->image_filler = 60; /* some 600 KiB */
    CU_ASSERT_FATAL(world_start(w));
    for (int i = 0; i < 11; i++)
        world_put(w, 1, 20);
    world_settle(w, 500);
    struct journal_status st = world_status(w);
    uint64_t first = st.image_index, blocks = st.image_bytes / LOG_BLOCK;
    CU_ASSERT_FATAL(first > 0 && blocks > 100);
    for (uint64_t i = 0; i < blocks / 4 - 5; i++)
        world_put(w, 1, 20);
    world_settle(w, 500);
    CU_ASSERT_EQUAL(world_status(w).image_index, first);
    for (int i = 0; i < 10; i++)
        world_put(w, 1, 20);
    world_settle(w, 500);
    CU_ASSERT(world_status(w).image_index > first);
    world_drop(w);
}

/* only looking: everything is read and nothing written */
static void test_life_check_only(void)
{
    struct world *w = &world_one;
    world_init_quiet(w, 15);
    CU_ASSERT_FATAL(world_start(w));
    for (int i = 0; i < 3; i++) {
        world_put(w, 30, 1000);
        CU_ASSERT(world_image(w));
    }
    world_put(w, 30, 1000);
    world_crash(w, true);
    w->cfg.check_only = true;
    uint64_t before = world_disk_hash(w);
    CU_ASSERT_FALSE(world_start(w));
    CU_ASSERT_EQUAL(w->role, JOURNAL_STANDBY);
    struct journal_status st = world_status(w);
    CU_ASSERT_EQUAL(st.last_index, 120);
    CU_ASSERT_EQUAL(st.image_index, 90);
    CU_ASSERT_EQUAL(w->warnings, 0);
    world_put(w, 1, 100);
    CU_ASSERT_EQUAL(w->last_refusal, E_NOT_LEADER);
    world_stop(w);
    CU_ASSERT_EQUAL(world_disk_hash(w), before);
    char name[ENV_NAME_MAX]; /* the older image is looked at too */
    CU_ASSERT(world_file(w, "j/image-", 0, name));
    sim_disk_flip(w->n, name, LOG_BLOCK + 3, 0);
    CU_ASSERT_FALSE(world_start(w));
    CU_ASSERT_EQUAL(w->role, JOURNAL_STANDBY);
    CU_ASSERT_EQUAL(w->warnings, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(w->last_warning, name));
    world_stop(w);
    world_drop(w);
}

/* the image and all records after it, once each, to who only looks */
static void test_life_check_replays(void)
{
    struct world *w = &world_one;
    world_init_quiet(w, 16);
    CU_ASSERT_FATAL(world_start(w));
    for (int i = 0; i < 3; i++) {
        world_put(w, 30, 1000);
        CU_ASSERT(world_image(w));
    }
    world_put(w, 25, 1000);
    uint64_t roll = w->roll;
    world_crash(w, true);
    w->cfg.check_only = w->cfg.replays = true;
    uint64_t before = world_disk_hash(w);
    CU_ASSERT_FALSE(world_start(w));
    CU_ASSERT_EQUAL(w->role, JOURNAL_STANDBY);
    CU_ASSERT_EQUAL(w->applied, 115);
    CU_ASSERT_EQUAL(w->roll, roll);
    CU_ASSERT_EQUAL(world_status(w).last_index, 115);
    world_put(w, 1, 100);
    CU_ASSERT_EQUAL(w->last_refusal, E_NOT_LEADER);
    world_stop(w);
    CU_ASSERT_EQUAL(world_disk_hash(w), before);
    world_drop(w);
}

static void test_life_nothing(struct env_op *op)
{
    (void)op;
}

/* what a migration has not finished starts nobody, and nothing there changes */
static void test_life_unfinished(void)
{
    struct world *w = &world_one;
    struct env_file *f;
    static struct env_op op;
    world_init_quiet(w, 17);
    CU_ASSERT_FATAL(world_start(w));
    world_put(w, 30, 1000);
    op = (struct env_op){.done = test_life_nothing, .ret = E_TIMEOUT};
    env_open(sim_env(w->n), "j/" LOG_META_UNFINISHED, ENV_O_WRITE | ENV_O_CREATE, &f, &op);
    world_settle(w, 500);
    CU_ASSERT_FATAL(op.ret >= 0);
    op.ret = E_TIMEOUT;
    env_sync(f, &op);
    world_settle(w, 500);
    CU_ASSERT_FATAL(op.ret >= 0);
    world_crash(w, true);
    uint64_t before = world_disk_hash(w);
    CU_ASSERT_FALSE(world_start(w));
    CU_ASSERT_EQUAL(w->role, JOURNAL_FAILED);
    CU_ASSERT_EQUAL(w->why, E_BUSY);
    CU_ASSERT_PTR_NOT_NULL(strstr(w->last_error, "has not ended"));
    world_stop(w);
    CU_ASSERT_EQUAL(world_disk_hash(w), before);
    w->cfg.check_only = w->cfg.unfinished = true;
    CU_ASSERT_FALSE(world_start(w));
    CU_ASSERT_EQUAL(w->role, JOURNAL_STANDBY);
    world_stop(w);
    world_drop(w);
}

UNIT_MAIN("journal_life", UNIT(test_life_starts_empty_and_restarts),
          UNIT(test_life_many_restarts_leave_few_files), UNIT(test_life_batches_what_waits),
          UNIT(test_life_sizes), UNIT(test_life_queue_is_bounded), UNIT(test_life_stall),
          UNIT(test_life_failed_write_is_fatal), UNIT(test_life_failed_sync_is_fatal),
          UNIT(test_life_full_disk_then_space), UNIT(test_life_full_disk_recovers_by_itself),
          UNIT(test_life_full_disk_lives_by_its_reserve), UNIT(test_life_full_disk_with_any_room),
          UNIT(test_life_stops_at_any_moment), UNIT(test_life_image_does_not_hold_up_appends),
          UNIT(test_life_starts_with_little_space), UNIT(test_life_small_records_bring_an_image),
          UNIT(test_life_large_images_come_less_often), UNIT(test_life_check_only),
          UNIT(test_life_check_replays), UNIT(test_life_unfinished))
