/* tests/unit/test_wal_spare.c - segments that are used again: only as good as new, at most a few of
 * them kept, and none when the disk is full. */
#include "journal/wal_dump.h"
#include "journal/wal_impl.h"
#include "tests/unit/test_wal_log.h"

static struct tlog log_one;
static struct fake log_disk;
static const uint8_t spare_zeros[LOG_BLOCK];

static uint64_t spare_seq(const struct fake_name *n)
{
    uint64_t seq = 0;
    return n->now >= 0 && !strncmp(n->name, "j/", 2) &&
                   log_format_name_parse(n->name + 2, "wal-", &seq)
               ? seq
               : 0;
}

static uint32_t spare_files(const struct tlog *t)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < t->f->n_names; k++)
        n += spare_seq(&t->f->names[k]) != 0;
    return n;
}

/* A segment that was made and is not in use is all zeros, whatever it was before; and of the active
 * one all that is behind its last batch. */
static void spare_look(const struct tlog *t)
{
    const struct wal *w = t->wal;
    uint64_t active = w->segs[w->n_segs - 1].seq;
    for (uint32_t k = 0; k < t->f->n_names; k++) {
        uint64_t seq = spare_seq(&t->f->names[k]);
        if (seq < active)
            continue;
        const struct fake_inode *i = &t->f->inodes[t->f->names[k].now];
        CU_ASSERT_FATAL(i->size == t->cfg.segment_bytes);
        for (uint64_t at = seq == active ? w->off : 0; at < i->size; at += LOG_BLOCK)
            CU_ASSERT_FATAL(!memcmp(i->now + at, spare_zeros, LOG_BLOCK));
    }
    CU_ASSERT_FATAL(w->n_spares <= WAL_SPARES_MAX);
    CU_ASSERT_FATAL(spare_files(t) <= w->n_segs + w->n_spares + w->ahead.n + 2);
}

static uint32_t
    spare_made; /* files called wal.new that were opened, counted by their first block */

static void spare_on_write(struct fake *f, const char *name, const void *b, uint32_t len,
                           uint64_t off)
{
    (void)f, (void)b, (void)len;
    spare_made += !strcmp(name, "j/wal.new") && off == 0;
}

static void spare_life(struct tlog *t, uint64_t *trimmed, int turns)
{
    uint64_t active = 0;
    for (int i = 0; i < turns && t->appended + 100 < TLOG_RECORDS; i++) {
        uint64_t dice = prng_below(&t->rng, 200);
        if (dice < 40)
            tlog_append(t, (uint32_t)prng_below(&t->rng, dice < 3 ? 15000 : 3000));
        else if (dice == 40 && t->handed > *trimmed)
            wal_trim(t->wal, *trimmed += prng_below(&t->rng, t->handed - *trimmed));
        else
            tlog_step(t);
        if (t->wal->seq_max != active || wal_is_ready(t->wal)) {
            if (t->wal->seq_max != active)
                spare_look(t);
            active = t->wal->seq_max;
        }
    }
}

/* Trimmed as it is filled, with crashes at any moment: everything is found again, what is made of
 * an old segment is like a new one, and few new ones are made at all. */
static void test_spare_lives(void)
{
    uint32_t segments = 0;
    spare_made = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct tlog *t = &log_one;
        uint64_t trimmed = 0;
        tlog_init_fake(t, &log_disk, seed);
        t->f->on_write = spare_on_write;
        t->epoch = 3;
        for (int life = 0; life < 6; life++) {
            CU_ASSERT_FATAL(tlog_open(t, trimmed + 1));
            uint64_t before = t->wal->seq_max;
            spare_life(t, &trimmed, 6000);
            segments += (uint32_t)(t->wal->seq_max - before);
            if (life % 3 == 2)
                tlog_stop(t);
            else
                tlog_crash(t, life % 3 == 1);
        }
        tlog_drop(t);
    }
    if (getenv("SPARE_TELL"))
        fprintf(stderr, "%u segments, %u new files\n", segments, spare_made);
    CU_ASSERT(segments > 300);
    CU_ASSERT(spare_made < segments / 2);
}

static void spare_settle(struct tlog *t)
{
    for (int i = 0; i < 20000 && tlog_step(t); i++)
        ;
}

/* fills and trims until there are spares */
static void spare_until(struct tlog *t, uint32_t spares)
{
    for (int i = 0; i < 100000 && t->wal->n_spares < spares; i++) {
        tlog_append(t, 3000);
        tlog_step(t);
        if (i % 2000 == 1999)
            wal_trim(t->wal, t->handed);
    }
    CU_ASSERT_FATAL(t->wal->n_spares >= spares);
}

/* a dump shows the records of a spare as none of the log's, and a stop leaves no spares */
static void test_spare_is_no_part_of_the_log(void)
{
    struct tlog *t = &log_one;
    struct mem m;
    tlog_init_fake(t, &log_disk, 21);
    t->epoch = 3;
    CU_ASSERT_FATAL(tlog_open(t, 1));
    spare_until(t, 2);
    uint64_t spare = t->wal->spare[0], first = t->wal->segs[0].first_index, last = t->handed;
    tlog_crash(t, false);
    unit_mem(&m, 16 << 20);
    struct wal_dump *d = wal_dump_open(&t->f->env, &m, "j");
    CU_ASSERT_FATAL(d != NULL);
    char name[LOG_NAME_MAX];
    uint32_t of_spare = 0;
    uint64_t next = first;
    log_format_name(name, "wal-", spare);
    for (;;) {
        struct tlog_op o = {.op.done = tlog_op_done};
        wal_dump_next(d, &o.op);
        CU_ASSERT_FATAL(tlog_wait(t, &o));
        if (o.op.ret != 1)
            break;
        const struct wal_dump_item *item = wal_dump_item(d);
        if (item->kind != WAL_DUMP_BATCH)
            continue;
        of_spare += strstr(item->name, name) != NULL;
        if (!item->chained)
            continue;
        CU_ASSERT_EQUAL(item->batch.first_index, next);
        next = item->batch.first_index + item->batch.records;
    }
    CU_ASSERT(of_spare > 2);
    CU_ASSERT(next > last);
    wal_dump_free(d);
    mem_drop(&m);
    CU_ASSERT_FATAL(tlog_open(t, first)); /* a start drops them */
    CU_ASSERT_EQUAL(spare_files(t), t->wal->n_segs);
    spare_until(t, 1);
    spare = t->wal->spare[0];
    tlog_stop(t);
    for (uint32_t k = 0; k < t->f->n_names; k++)
        CU_ASSERT(spare_seq(&t->f->names[k]) != spare);
    tlog_drop(t);
}

/* Where others may have a segment open that goes, it does not become another one. */
static void test_spare_unwanted(void)
{
    struct tlog *t = &log_one;
    tlog_init_fake(t, &log_disk, 22);
    t->cfg.keeps_none = true;
    t->epoch = 3;
    CU_ASSERT_FATAL(tlog_open(t, 1));
    uint64_t first = t->wal->segs[0].seq;
    for (int i = 0; i < 6000; i++) {
        tlog_append(t, 3000);
        tlog_step(t);
        if (i % 1000 == 999)
            wal_trim(t->wal, t->handed);
        CU_ASSERT_FATAL(t->wal->n_spares == 0);
    }
    CU_ASSERT(t->wal->segs[0].seq > first + 4);
    tlog_stop(t);
    tlog_drop(t);
}

/* The log waits for a segment that takes long to be made: from then on more are ready, and it waits
 * no more; when there was no need for long they get fewer again, and a restart removes them. */
static void test_spare_made_ahead(void)
{
    struct tlog *t = &log_one;
    tlog_init_fake(t, &log_disk, 23);
    t->epoch = 3;
    CU_ASSERT_FATAL(tlog_open(t, 1));
    CU_ASSERT_EQUAL(t->wal->ahead.want, 1);
    for (int i = 0; i < 4000; i++) {
        for (int k = 0; k < 4; k++)
            tlog_append(t, 3000);
        tlog_step(t);
    }
    uint32_t most = t->wal->ahead.want;
    CU_ASSERT_FATAL(most > 1); /* as many as this load takes */
    spare_settle(t);
    CU_ASSERT_EQUAL(t->wal->ahead.n, most);
    spare_look(t);
    for (int i = 0; i < 2 * WAL_AHEAD_CALM && t->wal->ahead.want == most; i++) {
        uint64_t first = t->wal->ahead.made[0].seq;
        wal_trim(t->wal, t->handed);
        while (t->wal->ahead.made[0].seq == first) {
            CU_ASSERT_FATAL(!t->wal->ahead.is_wanted && tlog_append(t, 3000) == 0);
            spare_settle(t);
        }
    }
    CU_ASSERT_EQUAL(t->wal->ahead.want, most - 1);
    tlog_crash(t, true);
    CU_ASSERT_FATAL(tlog_open(t, t->handed + 1));
    spare_settle(t);
    CU_ASSERT(spare_files(t) <= t->wal->n_segs + t->wal->ahead.n + 1);
    tlog_stop(t);
    tlog_drop(t);
}

/* The disk gets full while segments are ready: nobody is told before the last of them is. */
static void test_spare_full_behind_ready_ones(void)
{
    struct tlog *t = &log_one;
    tlog_init_fake(t, &log_disk, 24);
    t->epoch = 3;
    CU_ASSERT_FATAL(tlog_open(t, 1));
    t->wal->ahead.want = 3;
    spare_settle(t);
    CU_ASSERT_EQUAL_FATAL(t->wal->ahead.n, 3);
    t->f->capacity = fake_used(t->f);
    uint64_t last = t->wal->ahead.made[2].seq;
    for (int i = 0; i < 4000 && !t->full; i++) {
        tlog_append(t, 3000);
        for (int k = 0; k < 20 && !t->full; k++)
            tlog_step(t);
    }
    CU_ASSERT(t->full);
    CU_ASSERT_EQUAL(t->wal->segs[t->wal->n_segs - 1].seq, last);
    t->f->capacity = UINT64_MAX / 2;
    for (int i = 0; i < 100000 && t->full && tlog_step(t); i++)
        ;
    CU_ASSERT_FALSE(t->full);
    tlog_stop(t);
    tlog_drop(t);
}

/* A full disk: what is spare is given back, and again kept once there was room. */
static void test_spare_is_given_back(void)
{
    struct tlog *t = &log_one;
    tlog_init_fake(t, &log_disk, 22);
    t->epoch = 3;
    CU_ASSERT_FATAL(tlog_open(t, 1));
    spare_until(t, WAL_SPARES_MAX);
    spare_settle(t);
    CU_ASSERT(wal_give(t->wal));
    spare_settle(t);
    CU_ASSERT_EQUAL(t->wal->n_spares, 0);
    CU_ASSERT_FALSE(wal_give(t->wal));
    CU_ASSERT_EQUAL(t->wal->ahead.n, 1);
    CU_ASSERT(spare_files(t) <= t->wal->n_segs + 1);
    spare_until(t, 1);
    tlog_stop(t);
    CU_ASSERT_FATAL(tlog_open(t, t->handed + 1));
    tlog_drop(t);
}

/* until the log is full; true: it is, and takes nothing */
static bool spare_fill(struct tlog *t)
{
    for (int i = 0; i < 2000000 && !t->full; i++)
        if (t->handed < t->appended || tlog_append(t, 15000))
            tlog_step(t);
    return t->full && tlog_append(t, 15000) == E_NOSPC;
}

/* As many segments as a log can have: nothing more is taken, a restart finds its way with all of
 * them, and what is trimmed makes room again. */
static void test_spare_too_many_segments(void)
{
    struct tlog *t = &log_one;
    struct sim_config c = sim_config_quiet(4);
    struct wal_stats st;
    c.node_mem_bytes = 1 << 28;
    tlog_init_sim(t, &c);
    t->cfg.segment_bytes = 1; /* raised to what it takes */
    t->epoch = 3;
    CU_ASSERT_FATAL(tlog_open(t, 1) && spare_fill(t));
    wal_stats(t->wal, &st);
    CU_ASSERT(st.segments > 4000);
    tlog_stop(t);
    t->full = false;
    CU_ASSERT_FATAL(tlog_open(t, 1) && spare_fill(t));
    wal_trim(t->wal, t->handed / 2);
    for (int i = 0; i < 200000 && t->full; i++)
        tlog_step(t);
    uint64_t had = t->handed;
    CU_ASSERT(!t->full && tlog_append(t, 15000) == 0);
    for (int i = 0; i < 20000 && t->handed == had; i++)
        tlog_step(t);
    CU_ASSERT_EQUAL(t->handed, had + 1);
    tlog_stop(t);
    tlog_drop(t);
}

UNIT_MAIN("wal_spare", UNIT(test_spare_too_many_segments), UNIT(test_spare_lives),
          UNIT(test_spare_is_no_part_of_the_log), UNIT(test_spare_unwanted),
          UNIT(test_spare_made_ahead), UNIT(test_spare_full_behind_ready_ones),
          UNIT(test_spare_is_given_back))
