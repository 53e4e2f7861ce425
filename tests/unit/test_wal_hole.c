/* tests/unit/test_wal_hole.c - a log that is damaged before its durable end: refused, or, when its
 * owner can get back from others what is lost, cut before the damage, and said so. */
#include "journal/wal_impl.h"
#include "tests/unit/test_wal_log.h"

static struct tlog log_one;
static struct fake log_disk;

static void hole_life(struct tlog *t, int turns, uint64_t *trimmed)
{
    for (int i = 0; i < turns; i++) {
        uint64_t dice = prng_below(&t->rng, 100);
        if (dice < 20)
            tlog_append(t, (uint32_t)prng_below(&t->rng, dice ? 2000 : 15000));
        else if (dice == 20 && prng_below(&t->rng, 4) == 0 && t->handed > *trimmed)
            wal_trim(t->wal, *trimmed += prng_below(&t->rng, t->handed - *trimmed));
        else
            tlog_step(t);
    }
}

/* damages one of the log's files; what was done, for the curious */
static const char *hole_damage(struct tlog *t)
{
    struct fake_name *logs[64];
    uint32_t n = 0;
    for (uint32_t k = 0; k < t->f->n_names; k++)
        if (t->f->names[k].now >= 0 && !strncmp(t->f->names[k].name, "j/wal-", 6))
            logs[n++] = &t->f->names[k];
    struct fake_name *f = logs[prng_below(&t->rng, n)];
    struct fake_inode *i = &t->f->inodes[f->now];
    uint64_t used = i->size;
    while (used && !i->now[used - 1])
        used--;
    uint64_t at = used ? prng_below(&t->rng, used) : 0;
    switch (prng_below(&t->rng, 8)) {
    case 0:
        f->now = f->durable = -1;
        return "removed";
    case 1:
        i->size = i->durable_size = at;
        memset(i->now + at, 0, i->cap - at);
        return "cut";
    case 2:
        memset(i->now + (at & ~(uint64_t)(LOG_BLOCK - 1)), 0, LOG_BLOCK);
        return "zeros";
    case 3:
        i->now[prng_below(&t->rng, LOG_BLOCK)] ^= 0x10;
        return "header";
    default:
        i->now[at] ^= 0x10;
        return "flip";
    }
}

static int64_t hole_recover(struct tlog *t, uint64_t from, uint64_t known, bool allow)
{
    struct tlog_op o = {.op.done = tlog_op_done};
    unit_mem(&t->own, 256 << 20);
    t->env = &t->f->env;
    t->mem = &t->own;
    t->wal = wal_create(t->env, t->mem, &t->cfg, &t->host);
    CU_ASSERT_FATAL(t->wal != NULL);
    if (allow)
        wal_allow_hole(t->wal);
    wal_recover(t->wal, from, known, &o.op);
    CU_ASSERT_FATAL(tlog_wait(t, &o));
    return o.op.ret;
}

static void hole_check(struct tlog *t, const struct wal_hole *h, uint64_t from)
{
    uint8_t want[8];
    CU_ASSERT_FATAL(h->first_bad >= from && h->known >= h->first_bad);
    CU_ASSERT_FATAL(wal_last_index(t->wal) == h->first_bad - 1);
    CU_ASSERT_FATAL(h->found <= t->appended);
    if (!h->found)
        return;
    const struct tlog_record *m = &t->at[h->found];
    tlog_fill(want, m->id, 8);
    CU_ASSERT(h->found >= h->first_bad && h->found_epoch == m->epoch && h->found_type == m->type);
    CU_ASSERT_EQUAL(h->found_head, m->len < 8 ? 0 : base_get_u64(want));
}

/* starts the log that hole_recover has read; false: the process died on the way */
static bool hole_start(struct tlog *t, uint64_t from, bool die)
{
    struct tlog_op o = {.op.done = tlog_op_done};
    wal_recover_start(t->wal, t->epoch, &o.op);
    for (uint64_t n = prng_below(&t->rng, 30); die && n; n--)
        tlog_step(t);
    if (die && !o.done) {
        tlog_crash(t, prng_below(&t->rng, 2));
        return false;
    }
    CU_ASSERT_FATAL(tlog_wait(t, &o) && o.op.ret == 0);
    o.done = false;
    t->handed = base_min_u64(from, wal_last_index(t->wal) + 1) - 1;
    wal_recover_replay(t->wal, t->handed + 1, &o.op);
    CU_ASSERT_FATAL(tlog_wait(t, &o) && o.op.ret == 0);
    CU_ASSERT_FATAL(t->handed == t->appended);
    return true;
}

static uint32_t n_holes, n_found, n_exact;

static void hole_seed(uint64_t seed)
{
    struct tlog *t = &log_one;
    struct wal_hole h, again;
    uint64_t trimmed = 0;
    tlog_init_fake(t, &log_disk, seed);
    t->epoch = 3;
    t->cfg.segment_bytes = 128 * 1024;
    for (int life = (int)prng_below(&t->rng, 3); life >= 0; life--) {
        CU_ASSERT_FATAL(tlog_open(t, trimmed + 1));
        hole_life(t, 400 + (int)prng_below(&t->rng, 3000), &trimmed);
        t->epoch += 2;
        if (life || prng_below(&t->rng, 2))
            tlog_crash(t, prng_below(&t->rng, 2));
        else
            tlog_stop(t);
    }
    uint64_t from = trimmed + 1, known = base_max_u64(t->seen, trimmed);
    const char *how = hole_damage(t);
    uint64_t hash = fake_hash(t->f);
    int64_t ret = hole_recover(t, from, known, false);
    tlog_crash(t, false);
    CU_ASSERT_FATAL(fake_hash(t->f) == hash && (ret == 0 || ret == E_CORRUPT));
    CU_ASSERT_FATAL(hole_recover(t, from, known, true) == 0);
    CU_ASSERT_FATAL(fake_hash(t->f) == hash);
    bool is_hole = wal_hole(t->wal, &h);
    /* damage of what is not needed any more is no hole */
    CU_ASSERT(is_hole ? ret == E_CORRUPT : ret == 0 || trimmed > 0);
    if (is_hole && ret == 0)
        fprintf(stderr, "seed %llu: %s: %d\n", (unsigned long long)seed, how, (int)ret);
    if (is_hole) {
        hole_check(t, &h, from);
        n_holes++;
        n_found += h.found != 0;
        n_exact += h.found >= h.known;
        for (bool up = false; !up;) {
            t->appended = t->seen = base_min_u64(t->seen, h.first_bad - 1);
            t->appended = h.first_bad - 1;
            t->seen = base_min_u64(t->seen, t->appended);
            up = hole_start(t, from, prng_below(&t->rng, 3));
            if (up)
                break;
            CU_ASSERT_FATAL(hole_recover(t, from, h.first_bad - 1, true) == 0);
            /* what was cut stays cut */
            CU_ASSERT_FATAL(wal_last_index(t->wal) == h.first_bad - 1);
            CU_ASSERT(!wal_hole(t->wal, &again) || again.first_bad == h.first_bad);
        }
    } else {
        t->appended = wal_last_index(t->wal);
        CU_ASSERT_FATAL(t->appended >= t->seen);
        hole_start(t, from, false);
    }
    hole_life(t, 500, &trimmed);
    /* and from here on it is a log like any other */
    tlog_crash(t, prng_below(&t->rng, 2));
    CU_ASSERT_FATAL(hole_recover(t, trimmed + 1, base_max_u64(t->seen, trimmed), true) == 0);
    CU_ASSERT_FATAL(!wal_hole(t->wal, &h));
    t->appended = wal_last_index(t->wal);
    CU_ASSERT_FATAL(t->appended >= t->seen);
    hole_start(t, trimmed + 1, false);
    tlog_stop(t);
    tlog_drop(t);
}

static void test_holes_are_cut_off(void)
{
    n_holes = n_found = n_exact = 0;
    for (uint64_t seed = 1; seed <= 150; seed++)
        hole_seed(seed);
    CU_ASSERT(n_holes > 50);
    CU_ASSERT(n_found > 20);
    CU_ASSERT(n_exact > 20);
}

static void test_what_is_behind_a_hole_is_told(void)
{
    struct tlog *t = &log_one;
    struct wal_hole h;
    tlog_init_fake(t, &log_disk, 5);
    t->epoch = 9;
    CU_ASSERT_FATAL(tlog_open(t, 1));
    for (int i = 1; i <= 9; i++) { /* a block each */
        CU_ASSERT_FATAL(tlog_append(t, 100) == 0);
        while (t->handed < (uint64_t)i)
            CU_ASSERT_FATAL(tlog_step(t));
    }
    tlog_crash(t, false);
    struct fake_inode *n = fake_file(t->f, "j/wal-0000000000000001");
    CU_ASSERT_FATAL(n != NULL);
    n->now[5 * LOG_BLOCK + 70] ^= 4; /* record 5 */
    n->now[9 * LOG_BLOCK + 70] ^= 4; /* and 9, in its bytes: its head is good */
    CU_ASSERT_EQUAL(hole_recover(t, 1, 0, true), 0);
    CU_ASSERT(wal_hole(t->wal, &h));
    CU_ASSERT_EQUAL(h.first_bad, 5);
    CU_ASSERT_EQUAL(h.known, 8); /* says the head of 9 */
    CU_ASSERT_EQUAL(h.found, 8);
    CU_ASSERT_EQUAL(h.found_epoch, t->at[8].epoch);
    tlog_crash(t, false);
    CU_ASSERT_EQUAL(hole_recover(t, 1, 9, true), 0);
    CU_ASSERT(wal_hole(t->wal, &h) && h.known == 9 && h.found == 8);
    CU_ASSERT(strstr(t->f->last_error, "other members") != NULL);
    tlog_crash(t, false);
    tlog_drop(t);
}

/* three segments and more, all durable; the process is gone */
static void hole_three(struct tlog *t)
{
    tlog_init_fake(t, &log_disk, 6);
    t->epoch = 9;
    t->cfg.segment_bytes = 128 * 1024;
    CU_ASSERT_FATAL(tlog_open(t, 1));
    for (int i = 1; i <= 100; i++) { /* a block each */
        CU_ASSERT_FATAL(tlog_append(t, 100) == 0);
        while (t->handed < (uint64_t)i)
            CU_ASSERT_FATAL(tlog_step(t));
    }
    CU_ASSERT_FATAL(t->wal->n_segs >= 4);
    tlog_crash(t, false);
}

static void test_damage_before_what_is_needed_is_passed_over(void)
{
    struct tlog *t = &log_one;
    struct wal_hole h;
    hole_three(t);
    fake_file(t->f, "j/wal-0000000000000001")->now[5 * LOG_BLOCK + 70] ^= 4;
    CU_ASSERT_EQUAL(hole_recover(t, 60, 100, false), E_CORRUPT);
    tlog_crash(t, false);
    CU_ASSERT_EQUAL(hole_recover(t, 60, 100, true), 0);
    CU_ASSERT(!wal_hole(t->wal, &h));
    CU_ASSERT_EQUAL(wal_last_index(t->wal), 100);
    CU_ASSERT(hole_start(t, 60, false));
    tlog_stop(t);
    tlog_drop(t);
}

static void test_a_file_that_lost_its_end_is_a_hole(void)
{
    struct tlog *t = &log_one;
    struct wal_hole h;
    for (int how = 0; how < 2; how++) {
        hole_three(t);
        struct fake_inode *n = fake_file(t->f, "j/wal-0000000000000004");
        CU_ASSERT_FATAL(n != NULL && !memcmp(n->now, "TSeg", 4));
        n->size = n->durable_size = how ? 100 : LOG_BLOCK; /* nothing tells what was there */
        CU_ASSERT_EQUAL(hole_recover(t, 1, 0, true), 0);
        CU_ASSERT(wal_hole(t->wal, &h));
        CU_ASSERT(h.first_bad > 60 && h.first_bad <= 100 && h.found == 0);
        t->appended = t->seen = h.first_bad - 1;
        CU_ASSERT(hole_start(t, 1, false));
        tlog_crash(t, false);
        CU_ASSERT_EQUAL(hole_recover(t, 1, t->seen, true), 0);
        CU_ASSERT(!wal_hole(t->wal, &h)); /* it is told once */
        CU_ASSERT(hole_start(t, 1, false));
        tlog_stop(t);
        tlog_drop(t);
    }
}

/* n records of a block each, the last of two; the process is gone */
static struct fake_inode *hole_blocks(struct tlog *t, int n)
{
    tlog_init_fake(t, &log_disk, 5);
    t->epoch = 9;
    CU_ASSERT_FATAL(tlog_open(t, 1));
    for (int i = 1; i <= n; i++) {
        CU_ASSERT_FATAL(tlog_append(t, i < n ? 100 : 5000) == 0);
        while (t->handed < (uint64_t)i)
            CU_ASSERT_FATAL(tlog_step(t));
    }
    tlog_crash(t, false);
    struct fake_inode *f = fake_file(t->f, "j/wal-0000000000000001");
    CU_ASSERT_FATAL(f != NULL);
    return f;
}

/* the last write went to another block, which was empty or was not */
static void test_a_write_to_a_wrong_place_is_a_hole(void)
{
    struct tlog *t = &log_one;
    struct wal_hole h;
    for (uint32_t n = 1; n <= 9; n += 4) {
        for (uint32_t to = 1; to < 14; to++) {
            struct fake_inode *f = hole_blocks(t, (int)n);
            uint8_t b[2 * LOG_BLOCK];
            if (to == n)
                to++;
            memcpy(b, f->now + (size_t)n * LOG_BLOCK, sizeof b);
            memset(f->now + (size_t)n * LOG_BLOCK, 0, sizeof b);
            memcpy(f->now + (size_t)to * LOG_BLOCK, b, sizeof b);
            CU_ASSERT_EQUAL(hole_recover(t, 1, 0, false), E_CORRUPT);
            tlog_crash(t, false);
            CU_ASSERT_EQUAL(hole_recover(t, 1, 0, true), 0);
            CU_ASSERT(wal_hole(t->wal, &h));
            CU_ASSERT_EQUAL(h.first_bad, base_min_u64(n, to));
            CU_ASSERT(h.known == n || h.found == n);
            tlog_crash(t, false);
            tlog_drop(t);
        }
    }
}

/* A batch was written over the one before it, of which it did not know yet that it was durable. */
static void test_a_batch_over_the_one_before_is_a_hole(void)
{
    struct tlog *t = &log_one;
    struct wal_hole h;
    char name[ENV_NAME_MAX];
    struct fake_inode *f = hole_blocks(t, 4); /* blocks 1 to 5 */
    CU_ASSERT(hole_recover(t, 1, 0, true) == 0 && hole_start(t, 1, false));
    for (int i = 0; i < 2; i++)
        CU_ASSERT_FATAL(tlog_append(t, 12000) == 0); /* a batch each, three blocks */
    while (t->handed < 6)
        CU_ASSERT_FATAL(tlog_step(t));
    wal_name(t->wal, t->wal->segs[t->wal->n_segs - 1].seq, name);
    tlog_crash(t, false);
    f = fake_file(t->f, name);
    CU_ASSERT_FATAL(f != NULL && !memcmp(f->now, "TSeg", 4));
    uint64_t at = LOG_BLOCK;
    while (at < f->size && base_get_u64(f->now + at + offsetof(struct log_batch, first_index)) != 5)
        at += LOG_BLOCK;
    CU_ASSERT_FATAL(at < f->size);
    memcpy(f->now + at, f->now + at + 3 * LOG_BLOCK, 3 * LOG_BLOCK);
    memset(f->now + at + 3 * LOG_BLOCK, 0, 3 * LOG_BLOCK);
    CU_ASSERT_EQUAL(hole_recover(t, 1, 0, false), E_CORRUPT);
    tlog_crash(t, false);
    CU_ASSERT_EQUAL(hole_recover(t, 1, 0, true), 0);
    CU_ASSERT(wal_hole(t->wal, &h) && h.first_bad == 5 && h.known == 6);
    tlog_crash(t, false);
    tlog_drop(t);
}

/* records of a block each, until the first one of the third segment is durable; the process is
 * gone */
static struct fake_inode *hole_third(struct tlog *t)
{
    char name[ENV_NAME_MAX];
    tlog_init_fake(t, &log_disk, 8);
    t->epoch = 9;
    t->cfg.segment_bytes = 128 * 1024;
    CU_ASSERT_FATAL(tlog_open(t, 1));
    while (t->wal->n_segs < 3) {
        CU_ASSERT_FATAL(tlog_append(t, 100) == 0);
        while (t->handed < t->appended)
            CU_ASSERT_FATAL(tlog_step(t));
    }
    wal_name(t->wal, t->wal->segs[2].seq, name);
    tlog_crash(t, false);
    struct fake_inode *f = fake_file(t->f, name);
    CU_ASSERT_FATAL(f != NULL && !memcmp(f->now, "TSeg", 4));
    return f;
}

/* The first write of a segment, its header and a batch, went to a wrong place in it. */
static void test_a_segment_that_begins_elsewhere_is_a_hole(void)
{
    struct tlog *t = &log_one;
    struct wal_hole h;
    for (uint32_t to = 1; to < 31; to++) {
        struct fake_inode *f = hole_third(t);
        uint8_t b[2 * LOG_BLOCK];
        uint64_t n = t->appended;
        memcpy(b, f->now, sizeof b);
        memset(f->now, 0, sizeof b);
        memcpy(f->now + (size_t)to * LOG_BLOCK, b, sizeof b);
        CU_ASSERT_EQUAL(hole_recover(t, 1, 0, false), E_CORRUPT);
        tlog_crash(t, false);
        CU_ASSERT_EQUAL(hole_recover(t, 1, 0, true), 0);
        CU_ASSERT(wal_hole(t->wal, &h) && h.first_bad == n && h.known == n);
        t->appended = t->seen = n - 1;
        CU_ASSERT(hole_start(t, 1, false));
        tlog_crash(t, false);
        CU_ASSERT_EQUAL(hole_recover(t, 1, n - 1, true), 0);
        CU_ASSERT(!wal_hole(t->wal, &h)); /* it is told once */
        tlog_crash(t, false);
        tlog_drop(t);
    }
}

/* A batch was written over the header of its segment. */
static void test_a_batch_over_the_header_is_a_hole(void)
{
    struct tlog *t = &log_one;
    struct wal_hole h;
    struct fake_inode *f = hole_third(t);
    uint64_t n = t->appended;
    memcpy(f->now, f->now + LOG_BLOCK, LOG_BLOCK);
    CU_ASSERT_EQUAL(hole_recover(t, 1, 0, false), E_CORRUPT);
    tlog_crash(t, false);
    CU_ASSERT_EQUAL(hole_recover(t, 1, 0, true), 0);
    CU_ASSERT(wal_hole(t->wal, &h) && h.first_bad == n && h.known == n);
    tlog_crash(t, false);
    tlog_drop(t);
}

/* A header alone that went there, as that of a start that died, holds no record. */
static void test_a_header_alone_elsewhere_is_no_hole(void)
{
    struct tlog *t = &log_one;
    struct wal_hole h;
    struct fake_inode *f = hole_third(t);
    uint64_t n = t->appended;
    memcpy(f->now + 7 * LOG_BLOCK, f->now, LOG_BLOCK);
    memset(f->now, 0, 2 * LOG_BLOCK);
    CU_ASSERT_EQUAL(hole_recover(t, 1, 0, true), 0);
    CU_ASSERT(!wal_hole(t->wal, &h) && wal_last_index(t->wal) == n - 1);
    tlog_crash(t, false);
    tlog_drop(t);
}

/* What is read badly a few times is not taken for a torn write, and cut, nor for damage. */
static void test_a_block_read_badly_is_read_again(void)
{
    static const uint64_t how[] = {1, 3, 5, 7};
    struct tlog *t = &log_one;
    for (uint32_t block = 0; block <= 10; block++) /* 0: the header */
        for (uint64_t read = 0; read < 12; read++)
            for (uint32_t k = 0; k < 4; k++) {
                (void)hole_blocks(t, 9);
                t->f->misread = how[k] << read;
                t->f->misread_at = (uint64_t)block * LOG_BLOCK;
                CU_ASSERT_EQUAL(hole_recover(t, 1, 0, block % 2), 0);
                CU_ASSERT_EQUAL(wal_last_index(t->wal), 9);
                CU_ASSERT(hole_start(t, 1, false));
                tlog_crash(t, false);
                tlog_drop(t);
            }
}

/* the same of several segments, the last of which has its first write only: any two readings of the
 * header, or of a batch */
static void test_any_two_bad_readings_are_read_again(void)
{
    struct tlog *t = &log_one;
    struct wal_hole h;
    (void)hole_third(t);
    for (uint32_t block = 0; block < 3; block++)
        for (uint32_t i = 0; i < 24; i++)
            for (uint32_t k = 0; k <= i; k++) {
                t->f->misread = 1u << i | 1u << k;
                t->f->misread_at = (uint64_t)block * LOG_BLOCK;
                CU_ASSERT_EQUAL(hole_recover(t, 1, 0, (i + k) % 2), 0);
                CU_ASSERT(!wal_hole(t->wal, &h) && wal_last_index(t->wal) == t->appended);
                tlog_crash(t, false);
            }
    tlog_drop(t);
}

/* However often a block reads badly, and when: what something intact says was durable is there in
 * the end, or is damaged; and nothing on the disk has changed. */
static void test_what_never_reads_well_is_damage_if_it_was_durable(void)
{
    struct tlog *t = &log_one;
    struct wal_hole h;
    uint32_t whole = 0, holes = 0;
    for (uint32_t block = 0; block <= 9; block++) {
        (void)hole_blocks(t, 9);
        uint64_t hash = fake_hash(t->f);
        for (uint32_t k = 0; k < 200; k++) {
            uint64_t dice = prng_u64(&t->rng), known = block == 9 ? 9 : 0;
            dice |= k % 2 ? prng_u64(&t->rng) : 0;
            dice |= k % 4 == 3 ? prng_u64(&t->rng) : 0;
            t->f->misread = k == 0 ? UINT64_MAX : dice;
            t->f->misread_at = (uint64_t)block * LOG_BLOCK;
            int64_t ret = hole_recover(t, 1, known, false);
            CU_ASSERT(ret == E_CORRUPT || (ret == E_IO && block == 0) ||
                      (ret == 0 && wal_last_index(t->wal) == 9));
            whole += ret == 0;
            tlog_crash(t, false);
            t->f->misread = k == 0 ? UINT64_MAX : dice;
            ret = hole_recover(t, 1, known, true);
            bool is_hole = wal_hole(t->wal, &h);
            CU_ASSERT(ret == 0 || (ret == E_IO && block == 0));
            CU_ASSERT(ret       ? !is_hole
                      : is_hole ? h.first_bad == base_max_u64(block, 1) && h.known >= h.first_bad
                                : wal_last_index(t->wal) == 9);
            holes += is_hole;
            tlog_crash(t, false);
            CU_ASSERT_EQUAL(fake_hash(t->f), hash);
        }
        t->f->misread = 0;
        CU_ASSERT(hole_recover(t, 1, 9, false) == 0 && hole_start(t, 1, false));
        tlog_crash(t, false);
        tlog_drop(t);
    }
    CU_ASSERT(whole > 100 && holes > 100);
    /* nothing says that of the last one: it is cut, as a torn one is, but not if it was seen whole
     */
    (void)hole_blocks(t, 9);
    t->f->misread = UINT64_MAX;
    t->f->misread_at = 9 * LOG_BLOCK;
    CU_ASSERT(hole_recover(t, 1, 0, false) == 0 && wal_last_index(t->wal) == 8);
    tlog_crash(t, false);
    for (uint32_t k = 0; k < 2; k++) {
        t->f->misread = 0x3c3c3c3c; /* the four of each scan are bad, others are good */
        CU_ASSERT_EQUAL(hole_recover(t, 1, 0, k), k ? 0 : E_CORRUPT);
        CU_ASSERT(!k || (wal_hole(t->wal, &h) && h.first_bad == 9 && h.known == 9));
        tlog_crash(t, false);
    }
    tlog_drop(t);
}

/* A bit of a header has flipped, before anything said that its batch was durable: it is put right,
 * and is not taken for one that read badly. */
static void test_a_flipped_bit_is_no_bad_reading(void)
{
    struct tlog *t = &log_one;
    for (uint32_t at = 0; at < 90; at += 3) {
        struct fake_inode *f = hole_blocks(t, 1);
        f->now[at] ^= 0x10;
        CU_ASSERT_EQUAL(hole_recover(t, 1, 0, at % 2), 0);
        CU_ASSERT_EQUAL(wal_last_index(t->wal), 1);
        CU_ASSERT(strstr(t->f->last_log, "put right") != NULL);
        CU_ASSERT(hole_start(t, 1, false));
        tlog_crash(t, false);
        tlog_drop(t);
    }
}

UNIT_MAIN("wal_hole", UNIT(test_a_write_to_a_wrong_place_is_a_hole),
          UNIT(test_a_batch_over_the_one_before_is_a_hole),
          UNIT(test_a_segment_that_begins_elsewhere_is_a_hole),
          UNIT(test_a_batch_over_the_header_is_a_hole),
          UNIT(test_a_header_alone_elsewhere_is_no_hole),
          UNIT(test_a_block_read_badly_is_read_again),
          UNIT(test_any_two_bad_readings_are_read_again),
          UNIT(test_what_never_reads_well_is_damage_if_it_was_durable),
          UNIT(test_a_flipped_bit_is_no_bad_reading), UNIT(test_holes_are_cut_off),
          UNIT(test_what_is_behind_a_hole_is_told),
          UNIT(test_damage_before_what_is_needed_is_passed_over),
          UNIT(test_a_file_that_lost_its_end_is_a_hole))
