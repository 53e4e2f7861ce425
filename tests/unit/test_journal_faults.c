/* tests/unit/test_journal_faults.c - one test for each promise of the local journal, each of which
 * a plausible mistake would break: acknowledging early, publishing out of order, cutting what was
 * durable, writing on a full or broken disk, trusting the wrong files. */
#include "tests/unit/test_journal_world.h"

static struct world *faults_start(uint64_t seed)
{
    struct world *w = &world_one;
    world_init(w, &fake_one, seed);
    world_open(w);
    CU_ASSERT_FATAL(world_until_role(w));
    return w;
}

/* expects the next start to be refused with why, and nothing on disk to change */
static void faults_refused(struct world *w, int why)
{
    uint64_t before = fake_hash(w->f);
    world_open(w);
    CU_ASSERT_FALSE(world_until_role(w));
    CU_ASSERT_EQUAL(w->role, JOURNAL_FAILED);
    CU_ASSERT_EQUAL(w->why, why);
    CU_ASSERT_EQUAL(fake_hash(w->f), before);
    world_stop(w);
    CU_ASSERT_EQUAL(fake_hash(w->f), before);
}

static void faults_flip(struct fake_inode *n, uint64_t at)
{
    CU_ASSERT_FATAL(n != NULL && at < n->size);
    n->now[at] ^= 0x10;
    n->durable[at] = n->now[at];
}

/* the newest segment that holds a header, and the offset behind its last batch that is not zero */
static struct fake_inode *faults_segment(struct fake *f, char *ret_name, uint64_t *ret_end)
{
    const char *best = NULL;
    for (uint32_t i = 0; i < f->n_names; i++) {
        struct fake_name *n = &f->names[i];
        if (n->now < 0 || strncmp(n->name, "j/wal-", 6) || !base_get_u32(f->inodes[n->now].now))
            continue;
        if (!best || strcmp(n->name, best) > 0)
            best = n->name;
    }
    CU_ASSERT_FATAL(best != NULL);
    fmt_into(ret_name, 96, "%s", best);
    struct fake_inode *n = fake_file(f, best);
    *ret_end = n->size;
    while (*ret_end > LOG_BLOCK && !base_get_u32(n->now + *ret_end - LOG_BLOCK))
        *ret_end -= LOG_BLOCK;
    return n;
}

static uint32_t faults_count(struct fake *f, const char *prefix)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < f->n_names; i++)
        count += f->names[i].now >= 0 && !strncmp(f->names[i].name, prefix, strlen(prefix));
    return count;
}

static void faults_steps(struct world *w, int n)
{
    while (n-- > 0 && fake_step(w->f))
        ;
}

/* n more records acknowledged; what the queue refuses is submitted again */
static void faults_put(struct world *w, uint32_t n, uint32_t len)
{
    uint32_t want = w->acks + n;
    while (w->acks < want && w->role == JOURNAL_LEADER)
        world_put(w, want - w->acks < 4 ? want - w->acks : 4, len);
}

static void test_ack_waits_for_the_write(void)
{
    struct world *w = faults_start(1);
    world_settle(w);
    w->f->hold_writes = true;
    world_submit(w, 100);
    faults_steps(w, 2000);
    CU_ASSERT_EQUAL(w->acks, 0);
    CU_ASSERT_EQUAL(w->applied, 0);
    w->f->hold_writes = false;
    faults_steps(w, 2000);
    CU_ASSERT_EQUAL(w->acks, 1);
    world_drop(w);
}

static void test_acks_keep_the_order_whatever_the_disk_does(void)
{
    struct world *w = faults_start(2);
    world_settle(w);
    w->f->hold_one = true;
    w->f->hold_off = LOG_BLOCK; /* where the first batch goes */
    uint64_t before = w->f->dsync_done;
    for (int i = 0; i < 3; i++) {
        world_submit(w, 100);
        faults_steps(w, 50);
    }
    CU_ASSERT_EQUAL(w->f->dsync_done, before + 2); /* the second and third batch are written */
    CU_ASSERT_EQUAL(w->acks, 0);
    w->f->hold_one = false;
    faults_steps(w, 2000);
    CU_ASSERT_EQUAL(w->acks, 3);
    world_drop(w);
}

static void test_submits_of_one_turn_share_a_batch(void)
{
    struct world *w = faults_start(3);
    struct journal_status a, b;
    world_settle(w);
    journal_status(w->j, &a);
    for (int i = 0; i < 30; i++)
        world_submit(w, 40);
    while (w->acks == 0)
        fake_step(w->f);
    journal_status(w->j, &b);
    CU_ASSERT_EQUAL(w->acks, 30);
    CU_ASSERT_EQUAL(b.batches - a.batches, 1);
    world_drop(w);
}

static void test_bit_flip_in_the_middle_is_refused(void)
{
    struct world *w = faults_start(4);
    char name[96], where[64];
    uint64_t end;
    for (int i = 0; i < 5; i++)
        world_put(w, 1, 100);
    CU_ASSERT_EQUAL(w->acks, 5);
    world_crash(w, true);
    struct fake_inode *n = faults_segment(w->f, name, &end);
    CU_ASSERT(end >= 6 * LOG_BLOCK);
    faults_flip(n, 3 * LOG_BLOCK + 90);
    faults_refused(w, E_CORRUPT);
    fmt_into(where, sizeof where, "offset %d", 3 * LOG_BLOCK);
    CU_ASSERT_PTR_NOT_NULL(strstr(w->f->last_error, name));
    CU_ASSERT_PTR_NOT_NULL(strstr(w->f->last_error, where));
    faults_flip(n, 3 * LOG_BLOCK + 90); /* the file restored, so is the journal */
    world_open(w);
    CU_ASSERT(world_until_role(w));
    CU_ASSERT_EQUAL(w->applied, 5);
    world_drop(w);
}

static void test_bit_flips_in_an_unproven_tail_are_cut(void)
{
    struct world *w = faults_start(5);
    char name[96];
    uint64_t end;
    for (int i = 0; i < 5; i++)
        world_put(w, 1, 100);
    world_crash(w, true);
    struct fake_inode *n = faults_segment(w->f, name, &end);
    faults_flip(n, end - LOG_BLOCK + 80);
    faults_flip(n, end - LOG_BLOCK + 81); /* one would be mended */
    w->seen = 4; /* nothing on disk tells it from a write that never finished */
    world_open(w);
    CU_ASSERT(world_until_role(w));
    CU_ASSERT_EQUAL(w->applied, 4);
    CU_ASSERT_EQUAL(base_get_u32(n->now + end - LOG_BLOCK), 0); /* it cannot come back */
    world_put(w, 3, 100);
    CU_ASSERT_EQUAL(w->applied, 7);
    world_crash(w, true);
    world_open(w);
    CU_ASSERT(world_until_role(w));
    CU_ASSERT_EQUAL(w->applied, 7);
    world_drop(w);
}

static void test_a_quiet_log_vouches_for_its_end(void)
{
    for (int stop = 0; stop < 2; stop++) {
        struct world *w = faults_start(6);
        char name[96];
        uint64_t end;
        world_put(w, 1, 100);
        if (stop) {
            world_stop(w);
        } else {
            world_settle(w);
            world_crash(w, true);
        }
        struct fake_inode *n = faults_segment(w->f, name, &end);
        CU_ASSERT_EQUAL(end, 3 * LOG_BLOCK);
        faults_flip(n, LOG_BLOCK + 80);
        faults_refused(w, E_CORRUPT);
        world_drop(w);
    }
}

static void test_a_missing_segment_is_refused(void)
{
    for (int which = 0; which < 2; which++) {
        struct world *w = &world_one;
        world_init(w, &fake_one, 7);
        w->cfg.image_after_bytes = 1 << 30;
        world_open(w);
        CU_ASSERT_FATAL(world_until_role(w));
        faults_put(w, 60, 4000);
        world_stop(w);
        world_open(w);
        CU_ASSERT_FATAL(world_until_role(w));
        faults_put(w, 60, 4000);
        world_stop(w);
        CU_ASSERT(faults_count(w->f, "j/wal-") > 4);
        fake_name(w->f, which ? "j/wal-0000000000000003" : "j/wal-0000000000000001", false)->now =
            -1;
        faults_refused(w, E_CORRUPT);
        world_drop(w);
    }
}

/* intact, of this cluster, with the next index - but it stands on another history */
static void test_a_segment_of_another_history_is_not_taken(void)
{
    struct world *w = faults_start(18);
    static uint8_t seg[2 * LOG_BLOCK];
    world_put(w, 5, 100);
    world_stop(w);
    struct log_segment h = {.prev_chain = 0xdeadbeef,
                            .cluster_hi = 1,
                            .cluster_lo = 2,
                            .seq = 0x77,
                            .first_index = 6,
                            .epoch = 9,
                            .bytes = sizeof seg};
    memset(seg, 0, sizeof seg);
    memcpy(seg, &h, sizeof h);
    log_format_seal(seg, LOG_BLOCK, LOG_SEGMENT_MAGIC);
    memcpy(&h, seg, sizeof h);
    struct log_batch b = {
        .prev_chain = h.crc, .seq = 0x77, .epoch = 9, .first_index = 6, .records = 1};
    log_format_record_put(seg + LOG_BLOCK + sizeof b, b.prev_chain, 0, 9, "invented", 8);
    b.payload_len = log_format_record_size(8);
    log_format_batch_put(seg + LOG_BLOCK, &b);
    struct fake_name *n = fake_name(w->f, "j/wal-0000000000000077", true);
    n->now = n->durable = fake_new_inode(w->f);
    fake_put(&w->f->inodes[n->now], seg, sizeof seg, 0);
    world_open(w);
    CU_ASSERT(world_until_role(w));
    CU_ASSERT_EQUAL(w->applied, 5);
    CU_ASSERT(n->now < 0 || !base_get_u32(w->f->inodes[n->now].now));
    world_put(w, 5, 100);
    world_crash(w, true);
    world_open(w);
    CU_ASSERT(world_until_role(w));
    CU_ASSERT_EQUAL(w->applied, 10);
    world_drop(w);
}

static void test_a_full_disk_makes_it_read_only_for_a_while(void)
{
    struct world *w = faults_start(8);
    w->cfg.image_after_bytes = 1 << 30;
    world_stop(w);
    world_open(w);
    CU_ASSERT_FATAL(world_until_role(w));
    world_settle(w);
    CU_ASSERT_EQUAL(faults_count(w->f, "j/journal.reserve"), 1);
    w->f->capacity = fake_used(w->f);
    world_put(w, 400, 1000);
    CU_ASSERT(w->refused > 0);
    CU_ASSERT_EQUAL(w->last_refusal, E_NOSPC);
    CU_ASSERT_EQUAL(w->role, JOURNAL_LEADER);
    CU_ASSERT(w->acked > 10);
    /* the reserve let an image be written; with the second one old segments could go */
    struct journal_status st;
    world_settle(w);
    journal_status(w->j, &st);
    CU_ASSERT(st.image_index > 0);
    w->f->capacity = UINT64_MAX / 2;
    world_settle(w);
    uint32_t acks = w->acks;
    world_put(w, 20, 1000);
    CU_ASSERT_EQUAL(w->acks, acks + 20);
    world_crash(w, true);
    world_open(w);
    CU_ASSERT(world_until_role(w));
    world_drop(w);
}

static void test_no_space_at_start_waits_and_can_be_stopped(void)
{
    struct world *w = faults_start(9);
    world_put(w, 10, 100);
    world_crash(w, true);
    w->f->capacity = 0;
    world_open(w);
    for (int i = 0; i < 3000 && w->role == JOURNAL_STARTING; i++)
        fake_step(w->f);
    CU_ASSERT_EQUAL(w->role, JOURNAL_STARTING);
    world_stop(w);
    world_open(w);
    for (int i = 0; i < 3000 && w->role == JOURNAL_STARTING; i++)
        fake_step(w->f);
    CU_ASSERT_EQUAL(w->role, JOURNAL_STARTING);
    w->f->capacity = UINT64_MAX / 2;
    CU_ASSERT(world_until_role(w));
    CU_ASSERT_EQUAL(w->applied, 10);
    world_drop(w);
}

static void test_a_failed_write_is_the_end(void)
{
    for (int sync = 0; sync < 2; sync++) {
        struct world *w = faults_start(10);
        world_put(w, 5, 100);
        CU_ASSERT_EQUAL(w->acks, 5);
        if (sync)
            w->f->fail_sync_in = 1;
        else
            w->f->fail_in = 1;
        w->f->fail_with = E_IO;
        for (int i = 0; i < 200 && w->role == JOURNAL_LEADER; i++)
            world_put(w, 1, sync ? 4000 : 100);
        CU_ASSERT_EQUAL(w->role, JOURNAL_FAILED);
        CU_ASSERT_EQUAL(w->why, E_IO);
        uint64_t acked = w->acked;
        world_put(w, 5, 100);
        CU_ASSERT_EQUAL(w->acked, acked);
        CU_ASSERT_EQUAL(w->last_refusal, E_NOT_LEADER);
        world_stop(w);
        world_open(w);
        CU_ASSERT(world_until_role(w));
        CU_ASSERT(w->applied >= acked);
        world_drop(w);
    }
}

static void test_images_let_the_log_be_cut(void)
{
    struct world *w = faults_start(11);
    struct journal_status st;
    world_stop(w);
    w->cfg.image_after_bytes = 1 << 30; /* only when asked for */
    world_open(w);
    CU_ASSERT_FATAL(world_until_role(w));
    w->image_filler = 9; /* several blocks */
    for (int i = 0; i < 4; i++) {
        faults_put(w, 40, 2000);
        CU_ASSERT(world_image(w));
        CU_ASSERT_EQUAL((uint64_t)w->image_ret, w->applied);
        world_settle(w);
    }
    journal_status(w->j, &st);
    CU_ASSERT_EQUAL(st.image_index, 160);
    CU_ASSERT(st.first_index > 80 && st.first_index <= 121);
    CU_ASSERT_EQUAL(faults_count(w->f, "j/image-"), 2);
    CU_ASSERT(faults_count(w->f, "j/wal-") <= st.wal_segments + 2 + 4);
    CU_ASSERT(world_image(w)); /* nothing new: the same one */
    CU_ASSERT_EQUAL(w->image_ret, 160);
    world_put(w, 7, 100);
    world_crash(w, true);
    world_open(w);
    CU_ASSERT(world_until_role(w));
    CU_ASSERT_EQUAL(w->applied, 167);
    CU_ASSERT(w->loaded_pieces >= 10);
    world_drop(w);
}

/* One block of one read is another one of its file: whichever that is, the start goes on, and has
 * all. */
static void test_a_start_reads_again_what_was_read_badly(void)
{
    uint32_t reads = 0;
    for (uint32_t n = 1; n <= 160; n++) {
        struct world *w = faults_start(100 + n);
        struct journal_status was, is;
        w->image_filler = 9;
        for (int i = 0; i < 2; i++) {
            faults_put(w, 30, 3000);
            CU_ASSERT(world_image(w));
        }
        faults_put(w, 40 + n % 3, 3000);
        journal_status(w->j, &was);
        if (n % 2)
            world_stop(w);
        else
            world_crash(w, false);
        w->f->misdirect_in = 1 + n / 4;
        world_open(w);
        CU_ASSERT(world_until_role(w));
        journal_status(w->j, &is);
        CU_ASSERT(is.image_index == was.image_index && is.applied >= was.applied);
        reads += !w->f->misdirect_in;
        w->f->misdirect_in = 0;
        world_stop(w);
        world_drop(w);
    }
    CU_ASSERT(reads > 20);
}

static void test_a_bad_image_gives_way_to_the_older(void)
{
    for (int reset = 0; reset < 2; reset++) {
        struct world *w = faults_start(12);
        char name[96];
        w->image_filler = 9;
        for (int i = 0; i < 3; i++) {
            faults_put(w, 40, 2000);
            CU_ASSERT(world_image(w));
        }
        world_settle(w);
        world_stop(w);
        fmt_into(name, sizeof name, "j/image-%016x", 120);
        struct fake_inode *n = fake_file(w->f, name);
        CU_ASSERT_FATAL(n != NULL);
        w->next_id += (w->next_id % 2 != (unsigned)reset); /* chooses whether there is a reset */
        n->size = n->durable_size = n->size / 2;
        world_open(w);
        CU_ASSERT(world_until_role(w));
        CU_ASSERT_EQUAL(w->applied, 120);
        world_put(w, 3, 100);
        CU_ASSERT(world_image(w)); /* and the bad one goes */
        world_settle(w);
        CU_ASSERT_PTR_NULL(fake_file(w->f, name));
        world_stop(w);
        /* both bad: the log alone is not enough, and says so */
        for (uint32_t i = 0; i < w->f->n_names; i++)
            if (w->f->names[i].now >= 0 && !strncmp(w->f->names[i].name, "j/image-", 8))
                faults_flip(&w->f->inodes[w->f->names[i].now], LOG_BLOCK + 20);
        world_open(w);
        CU_ASSERT_FALSE(world_until_role(w));
        CU_ASSERT_EQUAL(w->why, E_CORRUPT);
        world_drop(w);
    }
}

static void test_a_disk_error_spoils_the_image_not_the_journal(void)
{
    struct world *w = faults_start(13);
    world_put(w, 10, 100);
    world_settle(w);
    w->image_op.done = world_image_done;
    w->imaging = true;
    journal_image_now(w->j, &w->image_op);
    w->f->fail_in = 1;
    w->f->fail_with = E_IO;
    for (int i = 0; i < 1000 && w->imaging; i++)
        fake_step(w->f);
    CU_ASSERT_EQUAL(w->image_ret, E_IO);
    CU_ASSERT_EQUAL(faults_count(w->f, "j/image"), 0);
    CU_ASSERT(world_image(w));
    world_drop(w);
}

static void test_identity(void)
{
    struct world *w = &world_one;
    world_init(w, &fake_one, 14);
    w->cfg.cluster_hi = w->cfg.cluster_lo = 0;
    faults_refused(w, E_NOENT); /* nothing here, and no identity to give it */
    w->cfg.cluster_lo = 2;
    world_open(w);
    CU_ASSERT(world_until_role(w));
    world_put(w, 5, 100);
    world_stop(w);
    w->cfg.cluster_lo = 3;
    faults_refused(w, E_CLUSTER);
    w->cfg.cluster_lo = 0;
    world_open(w);
    CU_ASSERT(world_until_role(w));
    CU_ASSERT_EQUAL(w->applied, 5);
    world_stop(w);
    struct fake_inode *n = fake_file(w->f, "j/journal.meta");
    faults_flip(n, 20); /* one block is enough */
    world_open(w);
    CU_ASSERT(world_until_role(w));
    world_stop(w);
    faults_flip(n, 21);
    faults_flip(n, LOG_BLOCK + 21);
    faults_refused(w, E_CORRUPT);
    world_drop(w);
}

static void test_formats_from_the_future_are_refused(void)
{
    static const uint32_t magics[] = {LOG_SEGMENT_MAGIC, LOG_META_MAGIC, LOG_IMAGE_MAGIC};
    for (unsigned k = 0; k < 3; k++) {
        struct world *w = faults_start(15);
        world_put(w, 5, 100);
        CU_ASSERT(world_image(w));
        world_stop(w);
        bool found = false;
        for (uint32_t i = 0; i < w->f->n_names && !found; i++) {
            if (w->f->names[i].now < 0)
                continue;
            struct fake_inode *n = &w->f->inodes[w->f->names[i].now];
            for (uint64_t at = 0; at + LOG_BLOCK <= n->size && at <= LOG_BLOCK; at += LOG_BLOCK) {
                if (base_get_u32(n->now + at) != magics[k])
                    continue;
                struct log_head h;
                memcpy(&h, n->now + at, sizeof h);
                h.version++;
                h.crc = 0;
                memcpy(n->now + at, &h, sizeof h);
                h.crc = crc_update(0, n->now + at, LOG_BLOCK);
                memcpy(n->now + at, &h, sizeof h);
                found = true;
            }
        }
        CU_ASSERT(found);
        faults_refused(w, E_VERSION);
        world_drop(w);
    }
}

static void test_limits(void)
{
    struct world *w = &world_one;
    world_init(w, &fake_one, 16);
    uint64_t queue = w->cfg.queue_bytes;
    w->cfg = journal_config_default();
    w->cfg.dir = "j";
    w->cfg.cluster_lo = 2;
    w->cfg.segment_bytes = 1; /* raised to what it takes */
    w->cfg.batch_bytes = 128 << 10;
    world_open(w);
    world_submit(w, 8);
    faults_steps(w, 1);
    CU_ASSERT_FATAL(world_until_role(w));
    CU_ASSERT_EQUAL(w->last_refusal, E_NOT_LEADER);
    world_put(w, 5, JOURNAL_RECORD_MAX);
    CU_ASSERT_EQUAL(w->acks, 5);
    world_put(w, 1, JOURNAL_RECORD_MAX + 8);
    CU_ASSERT_EQUAL(w->last_refusal, E_TOOBIG);
    world_crash(w, true);
    world_open(w);
    CU_ASSERT_FATAL(world_until_role(w));
    CU_ASSERT_EQUAL(w->applied, 5);
    world_stop(w);
    /* the bound of the queue; and large batches are read with a smaller configuration */
    w->cfg.batch_bytes = 8 << 10;
    w->cfg.queue_bytes = queue;
    world_open(w);
    CU_ASSERT_FATAL(world_until_role(w));
    world_settle(w);
    w->f->hold_writes = true;
    w->refused = 0;
    for (int i = 0; i < WORLD_SUBMITS; i++) {
        world_submit(w, 2000);
        faults_steps(w, 20);
    }
    CU_ASSERT(w->refused > 0);
    CU_ASSERT_EQUAL(w->last_refusal, E_AGAIN);
    w->f->hold_writes = false;
    world_settle(w);
    CU_ASSERT_EQUAL(w->acked, 5 + WORLD_SUBMITS - w->refused);
    world_drop(w);
}

static void test_a_larger_tail_than_a_segment_is_secured(void)
{
    struct world *w = &world_one;
    world_init(w, &fake_one, 17);
    w->cfg.batch_bytes = 64 << 10;
    w->cfg.segment_bytes = 1 << 20;
    w->cfg.batches_in_flight = 8;
    w->cfg.queue_bytes = 1 << 20;
    world_open(w);
    CU_ASSERT_FATAL(world_until_role(w));
    w->f->hold_writes = true;
    for (int i = 0; i < 8; i++) {
        for (int k = 0; k < 3; k++)
            world_submit(w, 20000);
        faults_steps(w, 20);
    }
    /* killed with all of it in the page cache at best; some of these are whole */
    for (uint32_t i = 0; i < w->f->n_ops; i++)
        if (w->f->ops[i].kind == FAKE_WRITE)
            fake_put(&w->f->inodes[w->f->ops[i].file->inode], w->f->ops[i].from, w->f->ops[i].len,
                     w->f->ops[i].off);
    w->f->n_ops = 0;
    world_crash(w, false);
    w->f->hold_writes = false;
    w->cfg.batch_bytes = 2 << 10;
    w->cfg.segment_bytes = 1;
    w->cfg.batches_in_flight = 1;
    w->cfg.queue_bytes = 1;
    world_open(w);
    CU_ASSERT_FATAL(world_until_role(w));
    CU_ASSERT_EQUAL(w->applied, 24);
    world_put(w, 4, 1000);
    world_crash(w, true); /* nothing of the tail may depend on the page cache any more */
    world_open(w);
    CU_ASSERT_FATAL(world_until_role(w));
    CU_ASSERT_EQUAL(w->applied, 28);
    world_drop(w);
}

UNIT_MAIN("journal_faults", UNIT(test_ack_waits_for_the_write),
          UNIT(test_acks_keep_the_order_whatever_the_disk_does),
          UNIT(test_submits_of_one_turn_share_a_batch),
          UNIT(test_bit_flip_in_the_middle_is_refused),
          UNIT(test_bit_flips_in_an_unproven_tail_are_cut),
          UNIT(test_a_quiet_log_vouches_for_its_end), UNIT(test_a_missing_segment_is_refused),
          UNIT(test_a_segment_of_another_history_is_not_taken),
          UNIT(test_a_full_disk_makes_it_read_only_for_a_while),
          UNIT(test_no_space_at_start_waits_and_can_be_stopped),
          UNIT(test_a_failed_write_is_the_end), UNIT(test_images_let_the_log_be_cut),
          UNIT(test_a_start_reads_again_what_was_read_badly),
          UNIT(test_a_bad_image_gives_way_to_the_older),
          UNIT(test_a_disk_error_spoils_the_image_not_the_journal), UNIT(test_identity),
          UNIT(test_formats_from_the_future_are_refused), UNIT(test_limits),
          UNIT(test_a_larger_tail_than_a_segment_is_secured))
