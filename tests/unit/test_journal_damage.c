/* tests/unit/test_journal_damage.c - disks that lie: flipped bits, bad sectors, cut and missing
 * files, formats from the future, other clusters.  A start has every record, or is refused and
 * changes nothing on disk: never a third. */
#include "core/crc.h"
#include "tests/unit/test_journal_sim.h"

static struct world world_one;

/* records, two images and a sealed end */
static struct world *damage_begin(uint64_t seed)
{
    struct world *w = &world_one;
    world_init_quiet(w, seed);
    w->cfg.image_after_bytes = 1 << 30;
    w->image_filler = 2;
    CU_ASSERT_FATAL(world_start(w));
    for (int i = 0; i < 2; i++) {
        world_put(w, 40, 2000);
        CU_ASSERT(world_image(w));
    }
    world_put(w, 60, 1000);
    world_settle(w, 6000);
    world_stop(w);
    return w;
}

/* starts; true: it leads, with everything.  Else it was refused, and no byte has changed. */
static bool damage_start(struct world *w)
{
    uint64_t before = world_disk_hash(w);
    if (world_start(w))
        return true;
    EXPECT(w, w->role == JOURNAL_FAILED && *w->last_error);
    world_stop(w);
    EXPECT(w, world_disk_hash(w) == before);
    return false;
}

static void damage_refused(struct world *w, int why)
{
    w->last_warning[0] = 0;
    CU_ASSERT_FALSE(damage_start(w));
    CU_ASSERT_EQUAL(w->why, why);
}

static void damage_leads(struct world *w)
{
    CU_ASSERT_FATAL(damage_start(w));
    world_put(w, 3, 500);
    world_settle(w, 100); /* its end is vouched for */
    world_stop(w);
}

/* writes to a file while nothing runs; n 0: cuts it at off; name gone when off is UINT64_MAX */
static void damage_patch(struct world *w, const char *name, uint64_t off, const void *p, uint32_t n)
{
    struct env *e = sim_node_up(w->n);
    struct env_file *f = NULL;
    struct env_op op;
    const int64_t limit_ns = 10000 * WORLD_MS;
    if (off == UINT64_MAX) {
        env_unlink(e, name, &op);
        CU_ASSERT_EQUAL(sim_run_op(w->s, &op, limit_ns), 0);
    } else {
        env_open(e, name, ENV_O_WRITE, &f, &op);
        CU_ASSERT_FATAL(sim_run_op(w->s, &op, limit_ns) >= 0);
        if (n)
            env_write(f, p, n, off, &op);
        else
            env_resize(f, off, &op);
        CU_ASSERT_EQUAL(sim_run_op(w->s, &op, limit_ns), (int64_t)n);
        env_sync(f, &op);
        CU_ASSERT_EQUAL(sim_run_op(w->s, &op, limit_ns), 0);
    }
    sim_run_until(w->s, sim_now_ns(w->s) + 6000 * WORLD_MS);
    sim_node_crash(w->n);
}

/* bits anywhere in any file, one at a time */
static void test_damage_random_flips(void)
{
    uint32_t led = 0, refused = 0;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct world *w = damage_begin(seed);
        for (int i = 0; i < 80 && !w->bad; i++) {
            char name[ENV_NAME_MAX];
            int n = world_files(w, "j/");
            CU_ASSERT_FATAL(world_file(w, "j/", (int)prng_below(&w->rng, (uint64_t)n), name));
            uint64_t size = (uint64_t)sim_disk_size(w->n, name);
            uint64_t off = prng_below(&w->rng, size), bit = prng_below(&w->rng, 8);
            CU_ASSERT_EQUAL(sim_disk_flip(w->n, name, off, (unsigned)bit), 0);
            if (damage_start(w)) {
                led++;
                world_put(w, 5, 1000);
                world_settle(w, 100);
                world_stop(w);
                continue;
            }
            refused++;
            EXPECT(w, w->why == E_CORRUPT);
            sim_disk_flip(w->n, name, off, (unsigned)bit);
        }
        damage_leads(w);
        world_drop(w);
    }
    CU_ASSERT(led > 20 && refused > 20);
}

/* every block of the log's live part: what the message says is where it is */
static void test_damage_is_named(void)
{
    struct world *w = &world_one;
    world_init_quiet(w, 4);
    CU_ASSERT_FATAL(world_start(w));
    for (int i = 0; i < 8; i++)
        world_put(w, 1, 100); /* a block each */
    world_settle(w, 200);
    world_stop(w);
    for (uint64_t block = 0; block <= 8; block++) {
        const char *name = "j/wal-0000000000000001";
        char where[64];
        sim_disk_flip(w->n, name, block * LOG_BLOCK + 70, 3);
        damage_refused(w, E_CORRUPT);
        fmt_into(where, sizeof where, "offset %u", (unsigned)(block * LOG_BLOCK));
        CU_ASSERT_PTR_NOT_NULL(strstr(w->last_error, block ? name : "no intact segment"));
        CU_ASSERT_PTR_NOT_NULL(strstr(w->last_error, block ? where : "offset 0"));
        CU_ASSERT_PTR_NOT_NULL(strstr(w->last_error, "Nothing was changed"));
        sim_disk_flip(w->n, name, block * LOG_BLOCK + 70, 3);
    }
    damage_leads(w);
    world_drop(w);
}

/* The last batch before a crash: nothing vouches for it, so a bad one is a torn one, unless one bit
 * makes the difference. */
static void damage_unproven_tail(unsigned bits, uint64_t at)
{
    struct world *w = &world_one;
    const char *name = "j/wal-0000000000000001";
    world_init_quiet(w, 5);
    CU_ASSERT_FATAL(world_start(w));
    for (int i = 0; i < 4; i++)
        world_put(w, 1, 100);
    world_settle(w, 200);
    world_put(w, 1, 100); /* block 6: the seal is in 5 */
    world_crash(w, false);
    CU_ASSERT_EQUAL(w->seen, 5);
    for (unsigned i = 0; i < bits; i++)
        CU_ASSERT_EQUAL(sim_disk_flip(w->n, name, 6 * LOG_BLOCK + at, 3 + i), 0);
    w->seen = bits < 2 ? 5 : 4;
    w->last_warning[0] = 0;
    CU_ASSERT_FATAL(world_start(w));
    CU_ASSERT_EQUAL(w->applied, w->seen);
    CU_ASSERT_PTR_NOT_NULL(strstr(w->last_warning, bits < 2 ? "is put right" : "does not check"));
    uint64_t had = w->seen;
    world_put(w, 3, 100);
    world_crash(w, true);
    CU_ASSERT_FATAL(world_start(w));
    CU_ASSERT_EQUAL(w->applied, had + 3);
    world_drop(w);
}

static void test_damage_unproven_tail_is_mended(void)
{
    damage_unproven_tail(1, 70);
    damage_unproven_tail(1, 30);
    damage_unproven_tail(1, 100);
}

/* A batch behind the mended one says that it was durable, and can be read because it was mended,
 * too: neither stays on the disk as it is, where the next start would find damage. */
static void test_damage_mended_is_written_anew(void)
{
    struct world *w = &world_one;
    const char *name = "j/wal-0000000000000001";
    world_init_quiet(w, 5);
    CU_ASSERT_FATAL(world_start(w));
    for (int i = 0; i < 4; i++)
        world_put(w, 1, 100);
    world_settle(w, 200);
    world_put(w, 1, 100); /* block 6 */
    world_settle(w, 3);
    world_put(w, 1, 100); /* block 7, which proves it; no seal yet */
    world_crash(w, false);
    CU_ASSERT_EQUAL(w->seen, 6);
    CU_ASSERT_EQUAL(sim_disk_flip(w->n, name, 6 * LOG_BLOCK + 70, 3), 0);
    CU_ASSERT_EQUAL(sim_disk_flip(w->n, name, 7 * LOG_BLOCK + 30, 3), 0);
    for (uint64_t had = 6; had < 10; had++) {
        CU_ASSERT_FATAL(world_start(w));
        CU_ASSERT_EQUAL(w->applied, had);
        world_put(w, 1, 100);
        world_crash(w, false);
    }
    world_drop(w);
}

static void test_damage_unproven_tail_is_cut(void)
{
    damage_unproven_tail(2, 70);
    damage_unproven_tail(2, 30);
}

/* However full the segment is, a quiet log's last record is vouched for. */
static void test_damage_seal_always_has_room(void)
{
    for (unsigned n = 10; n < 20; n++) {
        struct world *w = &world_one;
        char name[ENV_NAME_MAX];
        world_init_quiet(w, 50 + n);
        CU_ASSERT_FATAL(world_start(w));
        for (unsigned i = 0; i < n; i++)
            world_put(w, 1, 100); /* a block each; a segment of 16 */
        world_settle(w, 200);
        world_crash(w, true);
        struct log_batch b = {0};
        for (unsigned k = 0; b.first_index != n && k < 32; k++) {
            fmt_into(name, sizeof name, "j/wal-%016x", 1 + k / 16);
            sim_disk_read(w->n, name, &b, sizeof b, k % 16 * LOG_BLOCK);
            if (b.magic != LOG_BATCH_MAGIC || b.records == 0)
                b.first_index = 0;
            else if (b.first_index == n)
                sim_disk_flip(w->n, name, k % 16 * LOG_BLOCK + 70, 0);
        }
        CU_ASSERT_EQUAL_FATAL(b.first_index, n);
        damage_refused(w, E_CORRUPT);
        world_drop(w);
    }
}

/* an intact batch with the right numbers, of another history */
static void test_damage_spliced_batch(void)
{
    struct world *w = &world_one;
    static uint8_t block[LOG_BLOCK], was[LOG_BLOCK];
    const char *name = "j/wal-0000000000000001";
    struct log_batch b;
    world_init_quiet(w, 49);
    CU_ASSERT_FATAL(world_start(w));
    for (int i = 0; i < 4; i++)
        world_put(w, 1, 100);
    world_settle(w, 200);
    world_stop(w);
    sim_disk_read(w->n, name, was, LOG_BLOCK, 2 * LOG_BLOCK);
    memcpy(&b, was, sizeof b);
    CU_ASSERT_EQUAL(b.first_index, 2);
    b.prev_chain ^= 1;
    world_fill(block + sizeof b + sizeof(struct log_record), 1, 100);
    log_format_record_put(block + sizeof b, b.prev_chain, 0, b.epoch,
                          block + sizeof b + sizeof(struct log_record), 100);
    log_format_batch_put(block, &b);
    damage_patch(w, name, 2 * LOG_BLOCK, block, LOG_BLOCK);
    damage_refused(w, E_CORRUPT);
    damage_patch(w, name, 2 * LOG_BLOCK, was, LOG_BLOCK);
    damage_leads(w);
    world_drop(w);
}

/* garbage behind the end, as a torn write leaves it, is cut and does not come back */
static void test_damage_garbage_behind_the_end(void)
{
    struct world *w = &world_one;
    static uint8_t junk[3 * LOG_BLOCK];
    world_init_quiet(w, 6);
    CU_ASSERT_FATAL(world_start(w));
    world_put(w, 4, 100);
    world_settle(w, 200);
    world_stop(w);
    for (size_t i = 0; i < sizeof junk; i++)
        junk[i] = (uint8_t)prng_u64(&w->rng);
    damage_patch(w, "j/wal-0000000000000001", 8 * LOG_BLOCK, junk, sizeof junk);
    damage_leads(w);
    uint8_t b = 1;
    if (sim_disk_read(w->n, "j/wal-0000000000000001", &b, 1, 8 * LOG_BLOCK + 5) >= 0)
        CU_ASSERT_EQUAL(b, 0);
    damage_leads(w);
    world_drop(w);
}

/* the segment that records were last written to: behind it are those that are kept ready */
static void damage_active(struct world *w, char *ret_name)
{
    uint64_t magic = 0;
    for (int k = -1; magic == 0; k--) {
        CU_ASSERT_FATAL(world_file(w, "j/wal-", k, ret_name));
        sim_disk_read(w->n, ret_name, &magic, sizeof magic, 0);
    }
}

static void test_damage_cut_and_missing_files(void)
{
    uint32_t refused = 0, gone = 0;
    struct world *w = damage_begin(7);
    char name[ENV_NAME_MAX];
    static uint8_t whole[1 << 20];
    for (int round = 0; round < 60 && !w->bad; round++) {
        int n = world_files(w, "j/wal-");
        CU_ASSERT_FATAL(world_file(w, "j/wal-", (int)prng_below(&w->rng, (uint64_t)n), name));
        int64_t size = sim_disk_read(w->n, name, whole, sizeof whole, 0);
        damage_patch(w, name, prng_below(&w->rng, (uint64_t)size / LOG_BLOCK) * LOG_BLOCK, NULL, 0);
        if (damage_start(w)) { /* it was not needed, or not in use yet */
            world_put(w, 5, 1000);
            world_settle(w, 100);
            world_stop(w);
            continue;
        }
        refused++;
        CU_ASSERT_EQUAL(w->why, E_CORRUPT);
        damage_patch(w, name, 0, whole, (uint32_t)size);
    }
    CU_ASSERT(refused > 10);
    world_drop(w);
    for (uint64_t seed = 41; seed < 49; seed++) { /* the k-th gone; nothing can miss the last */
        char last[ENV_NAME_MAX];
        w = damage_begin(seed);
        CU_ASSERT_FATAL(world_file(w, "j/wal-", (int)(seed - 41) % 4, name));
        damage_active(w, last);
        if (strcmp(name, last) < 0) {
            damage_patch(w, name, UINT64_MAX, NULL, 0);
            gone += !damage_start(w);
        }
        world_drop(w);
    }
    CU_ASSERT(gone > 2);
}

/* a sector that cannot be read: an image gives way, the log does not */
static void test_damage_bad_sectors(void)
{
    struct world *w = damage_begin(9);
    char name[ENV_NAME_MAX];
    CU_ASSERT(world_file(w, "j/image-", -1, name));
    CU_ASSERT_EQUAL(sim_disk_bad(w->n, name, LOG_BLOCK), 0);
    uint32_t warnings = w->warnings;
    damage_leads(w);
    CU_ASSERT_EQUAL(w->warnings, warnings + 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(w->last_warning, name));
    CU_ASSERT(world_file(w, "j/wal-", 0, name));
    sim_disk_bad(w->n, name, 2 * LOG_BLOCK);
    damage_refused(w, E_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(w->last_error, "I/O") || strstr(w->last_error, "input/output")
                               ? w->last_error
                               : NULL);
    world_drop(w);
}

/* --- images --- */

static void test_damage_newest_image_gives_way_to_the_older(void)
{
    for (int reset = 0; reset < 2; reset++) {
        struct world *w = damage_begin(10);
        char name[ENV_NAME_MAX];
        w->no_reset = !reset;
        for (int i = 0; i < 4; i++) { /* the log was cut, more than once */
            CU_ASSERT_FATAL(world_start(w));
            world_put(w, 60, 2000);
            CU_ASSERT(world_image(w));
            world_settle(w, 6000);
            CU_ASSERT(world_status(w).first_index > 1);
            CU_ASSERT_EQUAL(world_files(w, "j/image-"), 2);
            world_stop(w);
            CU_ASSERT(world_file(w, "j/image-", -1, name));
            uint64_t off = (uint64_t)prng_below(&w->rng, (uint64_t)sim_disk_size(w->n, name));
            if (i & 1)
                off = prng_below(&w->rng, 40);
            else
                off = LOG_BLOCK + off % 16;
            sim_disk_flip(w->n, name, off, 1);
            damage_leads(w);
            CU_ASSERT_PTR_NOT_NULL(strstr(w->last_warning, name));
        }
        /* both: more of the log is needed than there is */
        CU_ASSERT_FATAL(world_start(w));
        CU_ASSERT(world_image(w));
        world_stop(w);
        CU_ASSERT_EQUAL(world_files(w, "j/image-"), 2);
        for (int i = 0; i < 2; i++) {
            CU_ASSERT(world_file(w, "j/image-", i, name));
            sim_disk_flip(w->n, name, 20, 1);
        }
        damage_refused(w, E_CORRUPT);
        CU_ASSERT_PTR_NOT_NULL(strstr(w->last_error, "are missing"));
        sim_disk_flip(w->n, name, 20, 1);
        damage_leads(w);
        world_drop(w);
    }
}

/* the host says no to an intact image */
static void test_damage_image_that_the_host_refuses(void)
{
    struct world *w = damage_begin(11);
    w->refuse_images = 1;
    damage_leads(w); /* from the older one */
    w->refuse_images = 2;
    CU_ASSERT(damage_start(w) || w->why == E_CORRUPT);
    if (w->j)
        world_crash(w, false);
    w->refuse_images = 1;
    w->no_reset = true; /* it cannot forget what it took in already */
    damage_refused(w, E_CORRUPT);
    w->refuse_images = 0;
    damage_leads(w);
    world_drop(w);
}

/* an image of another release, or one too large for the budget, is no damage: no older image and
 * no longer log makes it better */
static void test_damage_image_of_another_release(void)
{
    struct world *w = damage_begin(15);
    static const int whys[] = {E_VERSION, E_NOMEM};
    for (int i = 0; i < 2; i++) {
        w->refuse_images = 1;
        w->refuse_why = whys[i];
        w->last_error[0] = w->last_warning[0] = 0;
        damage_refused(w, whys[i]);
        CU_ASSERT_PTR_NOT_NULL(strstr(w->last_error, "nothing was changed"));
        CU_ASSERT_PTR_NULL(strstr(w->last_warning, "older image"));
    }
    damage_leads(w);
    world_drop(w);
}

/* what a crash leaves of an image is never loaded, and goes */
static void test_damage_unfinished_image(void)
{
    struct world *w = &world_one;
    world_init_quiet(w, 12);
    w->image_filler = 500;
    CU_ASSERT_FATAL(world_start(w));
    world_put(w, 20, 1000);
    world_image_submit(w);
    while (sim_disk_size(w->n, "j/image.tmp") < 4 * LOG_BLOCK)
        sim_step(w->s);
    world_crash(w, false);
    CU_ASSERT_EQUAL(world_files(w, "j/image.tmp"), 1);
    w->image_filler = 0;
    CU_ASSERT_FATAL(world_start(w));
    CU_ASSERT_EQUAL(w->loaded_pieces, 0);
    world_settle(w, 1000);
    CU_ASSERT_EQUAL(world_files(w, "j/image.tmp"), 0);
    world_drop(w);
}

/* --- identity and versions --- */

static uint32_t damage_crc(const uint8_t *header, uint32_t n)
{
    uint8_t b[LOG_BLOCK];
    memcpy(b, header, n);
    memset(b + offsetof(struct log_head, crc), 0, 4);
    return crc_update(0, b, n);
}

/* sets the version in an intact header of n bytes, and its checksum right */
static void damage_version(struct world *w, const char *name, uint64_t off, uint32_t n,
                           uint16_t version)
{
    static uint8_t block[LOG_BLOCK];
    struct log_head h;
    CU_ASSERT_EQUAL(sim_disk_read(w->n, name, block, LOG_BLOCK, off), LOG_BLOCK);
    memcpy(&h, block, sizeof h);
    CU_ASSERT_EQUAL(damage_crc(block, n), h.crc);
    h.version = version;
    memcpy(block, &h, sizeof h);
    h.crc = damage_crc(block, n);
    memcpy(block, &h, sizeof h);
    damage_patch(w, name, off, block, LOG_BLOCK);
}

static void test_damage_versions_from_the_future(void)
{
    static const struct {
        const char *prefix;
        uint64_t off;
        uint32_t n;
        uint16_t newest;
    } cases[] = {{"j/wal-", 0, LOG_BLOCK, LOG_VERSION},
                 {"j/wal-", LOG_BLOCK, sizeof(struct log_batch), LOG_VERSION},
                 {"j/image-", 0, LOG_BLOCK, LOG_VERSION},
                 {"j/journal.meta", 0, LOG_BLOCK, LOG_META_VERSION}};
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct world *w = damage_begin(20 + i);
        char name[ENV_NAME_MAX];
        CU_ASSERT_FATAL(world_file(w, cases[i].prefix, i == 2 ? -1 : 0, name));
        damage_version(w, name, cases[i].off, cases[i].n, cases[i].newest + 1);
        damage_refused(w, E_VERSION);
        damage_version(w, name, cases[i].off, cases[i].n, cases[i].newest);
        damage_leads(w);
        world_drop(w);
    }
}

static void test_damage_identity(void)
{
    struct world *w = damage_begin(30);
    w->cfg.cluster_lo = 3;
    damage_refused(w, E_CLUSTER);
    CU_ASSERT_PTR_NOT_NULL(strstr(w->last_error, "another cluster"));
    w->cfg.cluster_hi = w->cfg.cluster_lo = 0; /* takes what is there */
    damage_leads(w);
    /* a damaged block of the meta file leaves the other; without any, a log belongs to nobody */
    sim_disk_flip(w->n, "j/journal.meta", 20, 0);
    damage_leads(w);
    sim_disk_flip(w->n, "j/journal.meta", LOG_BLOCK + 20, 0);
    sim_disk_flip(w->n, "j/journal.meta", 21, 0);
    damage_refused(w, E_CORRUPT);
    damage_patch(w, "j/journal.meta", UINT64_MAX, NULL, 0);
    damage_refused(w, E_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(w->last_error, "journal.meta"));
    world_drop(w);
    world_init_quiet(w, 31);
    w->cfg.cluster_hi = w->cfg.cluster_lo = 0;
    damage_refused(w, E_NOENT); /* nothing there to take */
    world_drop(w);
}

/* the log of one cluster among the files of another */
static void test_damage_foreign_segment(void)
{
    struct world *w = damage_begin(32);
    char name[ENV_NAME_MAX];
    static uint8_t block[LOG_BLOCK];
    struct log_segment h;
    CU_ASSERT(world_file(w, "j/wal-", 0, name));
    sim_disk_read(w->n, name, block, LOG_BLOCK, 0);
    memcpy(&h, block, sizeof h);
    h.cluster_lo++;
    memcpy(block, &h, sizeof h);
    log_format_seal(block, LOG_BLOCK, LOG_SEGMENT_MAGIC);
    damage_patch(w, name, 0, block, LOG_BLOCK);
    damage_refused(w, E_CLUSTER);
    world_drop(w);
}

UNIT_MAIN("journal_damage", UNIT(test_damage_random_flips), UNIT(test_damage_is_named),
          UNIT(test_damage_unproven_tail_is_mended), UNIT(test_damage_mended_is_written_anew),
          UNIT(test_damage_unproven_tail_is_cut), UNIT(test_damage_seal_always_has_room),
          UNIT(test_damage_spliced_batch), UNIT(test_damage_garbage_behind_the_end),
          UNIT(test_damage_cut_and_missing_files), UNIT(test_damage_bad_sectors),
          UNIT(test_damage_newest_image_gives_way_to_the_older),
          UNIT(test_damage_image_that_the_host_refuses), UNIT(test_damage_image_of_another_release),
          UNIT(test_damage_unfinished_image), UNIT(test_damage_versions_from_the_future),
          UNIT(test_damage_identity), UNIT(test_damage_foreign_segment))
