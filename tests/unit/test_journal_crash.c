/* tests/unit/test_journal_crash.c - ten thousand crashes and power losses at random moments,
 * in six kinds of weather.  What must hold is in test_journal_sim.h.
 *
 * Mistakes that were made in journal/ on purpose, one at a time, and the tests that fail then
 * (crash: this file, life: test_journal_life.c, damage: test_journal_damage.c, faults:
 * test_journal_faults.c):
 *
 *   a record is acknowledged when its write begins           crash, life, damage, faults
 *   batches are published in the order the disk finishes     crash, life, damage, faults
 *   the first batch is published when any is written         crash, faults
 *   the batch that vouches is written with the block before  crash, faults
 *   the unproven tail is not copied at a restart             crash, faults
 *   records are handed out before the tail is copied         crash, life, faults
 *   appends without DSYNC                                    crash, life, damage, faults
 *   a segment is named before it is synced                   crash, life, faults
 *   an image is named before it is synced                    crash, life, faults
 *   an image is cut after the index it says                  crash, life, damage, faults
 *   the log is cut behind the newest image                   damage, faults
 *   the log is cut one segment too far                       crash, damage, faults
 *   a removed segment keeps its header                       crash, faults
 *   a rejected segment keeps its header                      crash, life
 *   what is beyond the cut is not erased                     crash, damage
 *   a batch's or a record's checksum is ignored              crash, damage, faults
 *   a header's checksum is ignored                           crash, damage, faults
 *   the chain between batches is ignored                     damage
 *   an image's checksums are ignored                         faults
 *   damage is cut like a torn tail                           damage, faults
 *   a torn tail is refused like damage                       crash, damage, faults
 *   a batch vouches for what is only being written           crash, faults
 *   a quiet log does not vouch for its end                   damage, faults
 *   a full segment has no room for that                      damage
 *   a failed write is ignored, or tried again                crash, life, faults
 *   the epoch does not rise                                  crash, life, damage, faults
 *   the cluster of the directory, or of a segment, is not
 *   compared                                                 damage, faults
 *   the queue has no bound                                   crash, life, faults
 *   the reserve is not used                                  faults
 *   a start insists on a segment of the usual size           life
 *   an image does not pause for appends                      life
 */
#include <malloc.h>
#include "tests/unit/test_journal_sim.h"

static struct world world_one;

struct weather {
    uint64_t seed;
    uint32_t rounds;
    uint32_t power_percent; /* of the crashes */
    uint32_t steps;         /* events before a crash, at most, mostly */
    uint32_t record_max;
    void (*arrange)(struct sim_config *c);
    void (*tamper)(struct world *w);
};

static void weather_round(struct world *w, const struct weather *t)
{
    w->image_filler = (uint32_t)prng_below(&w->rng, prng_below(&w->rng, 20) ? 4 : 12);
    w->no_reset = prng_below(&w->rng, 4) == 0;
    if (t->tamper)
        t->tamper(w);
    world_open(w);
    uint64_t steps = prng_below(&w->rng, prng_below(&w->rng, 4) ? t->steps : 6 * t->steps);
    for (uint64_t k = 0; k < steps && !w->bad; k++) {
        uint64_t dice = prng_below(&w->rng, 8);
        if (w->role == JOURNAL_LEADER && dice < 3)
            world_submit(w, 8 + (uint32_t)prng_below(&w->rng, dice ? 300 : t->record_max));
        if (w->role == JOURNAL_LEADER && !w->imaging && prng_below(&w->rng, 150) == 0)
            world_image_submit(w);
        sim_step(w->s);
    }
}

static void weather_run(const struct weather *t)
{
    struct world *w = &world_one;
    struct sim_config c = sim_config_quiet(t->seed);
    mallopt(M_MMAP_THRESHOLD, 64 << 20); /* restarts by the thousand: keep their memory mapped */
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    if (t->arrange)
        t->arrange(&c);
    world_init(w, &c);
    uint32_t led = 0, failed = 0;
    for (uint32_t i = 0; i < t->rounds && !w->bad; i++) {
        weather_round(w, t);
        led += w->role == JOURNAL_LEADER;
        failed += w->role == JOURNAL_FAILED;
        EXPECT(w, w->role != JOURNAL_FAILED || c.disk.write_eio_ppm || c.disk.sync_fail_ppm);
        EXPECT(w, !strstr(w->last_warning, "older image")); /* nothing damages one here */
        if (w->bad)
            fprintf(stderr, "seed %llu round %u\n", (unsigned long long)t->seed, i);
        world_crash(w, prng_below(&w->rng, 100) < t->power_percent);
    }
    struct sim_disk_config calm = sim_config_quiet(1).disk;
    sim_disk_set(w->n, &calm);
    CU_ASSERT(w->bad || world_start(w));
    CU_ASSERT(w->bad || w->applied == w->seen);
    CU_ASSERT(w->acks > t->rounds * t->steps / 300);
    CU_ASSERT(led > t->rounds * t->steps / 2000);
    CU_ASSERT(!c.disk.write_eio_ppm || failed > 0);
    CU_ASSERT(w->images > 5);
    if (getenv("WORLD_STATS"))
        fprintf(stderr,
                "seed %llu: %u acks, %llu records, led %u, failed %u, images %u, %llu events\n",
                (unsigned long long)t->seed, w->acks, (unsigned long long)w->seen, led, failed,
                w->images, (unsigned long long)sim_events(w->s));
    world_drop(w);
}

static void test_crash_power_losses(void)
{
    for (uint64_t seed = 1; seed <= 5; seed++)
        weather_run(&(struct weather){
            .seed = seed, .rounds = 620, .power_percent = 100, .steps = 150, .record_max = 7000});
}

static void test_crash_kills_and_power_losses(void)
{
    for (uint64_t seed = 11; seed <= 15; seed++)
        weather_run(&(struct weather){
            .seed = seed, .rounds = 620, .power_percent = 30, .steps = 150, .record_max = 7000});
}

static void arrange_short_life(struct sim_config *c)
{
    c->disk.lose_drop_ppm = 600000;
    c->disk.unlink_commit_ns = 60000 * WORLD_MS; /* every unlink may be undone */
}

/* crashes during recovery, again and again */
static void test_crash_early_and_often(void)
{
    for (uint64_t seed = 21; seed <= 22; seed++)
        weather_run(&(struct weather){.seed = seed,
                                      .rounds = 900,
                                      .power_percent = 60,
                                      .steps = 90,
                                      .record_max = 7000,
                                      .arrange = arrange_short_life});
}

static void arrange_stalls(struct sim_config *c)
{
    *c = sim_config_stormy(c->seed);
    c->disk.stall_ppm = 20000;
    c->disk.stall_mean_ns = 100 * WORLD_MS;
    c->stall_ppm = 5000;
}

static void test_crash_with_stalls(void)
{
    for (uint64_t seed = 31; seed <= 33; seed++)
        weather_run(&(struct weather){.seed = seed,
                                      .rounds = 400,
                                      .power_percent = 60,
                                      .steps = 150,
                                      .record_max = 7000,
                                      .arrange = arrange_stalls});
}

/* the disk is full in every third life or so */
static void tamper_capacity(struct world *w)
{
    struct sim_disk_config d = *sim_disk_get(w->n);
    d.capacity = prng_below(&w->rng, 3) ? 0 : sim_disk_used(w->n) + prng_below(&w->rng, 200 << 10);
    sim_disk_set(w->n, &d);
}

static void test_crash_on_a_full_disk(void)
{
    for (uint64_t seed = 41; seed <= 42; seed++)
        weather_run(&(struct weather){.seed = seed,
                                      .rounds = 420,
                                      .power_percent = 60,
                                      .steps = 150,
                                      .record_max = 7000,
                                      .tamper = tamper_capacity});
}

static void arrange_errors(struct sim_config *c)
{
    c->disk.write_eio_ppm = 300;
    c->disk.sync_fail_ppm = 3000;
}

static void test_crash_after_failed_writes(void)
{
    for (uint64_t seed = 51; seed <= 52; seed++)
        weather_run(&(struct weather){.seed = seed,
                                      .rounds = 420,
                                      .power_percent = 60,
                                      .steps = 150,
                                      .record_max = 7000,
                                      .arrange = arrange_errors});
}

UNIT_MAIN("journal_crash", UNIT(test_crash_power_losses), UNIT(test_crash_kills_and_power_losses),
          UNIT(test_crash_early_and_often), UNIT(test_crash_with_stalls),
          UNIT(test_crash_on_a_full_disk), UNIT(test_crash_after_failed_writes))
