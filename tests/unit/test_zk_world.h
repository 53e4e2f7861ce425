/* tests/unit/test_zk_world.h - a group of masters with the ZooKeeper journal on one shared disk
 * (test_zk_share.h), and an elector that calls whom it likes: nobody, several, who was called long
 * ago; its numbers may come twice.
 *
 * Always checked: an index has one record for ever, whoever applies it, and a record one index;
 * what was answered for is at its index; who begins to lead has all that was ever answered for; a
 * read comes after all that was answered for before it; an image is what was cut. */
#ifndef TESTS_UNIT_TEST_ZK_WORLD_H
#define TESTS_UNIT_TEST_ZK_WORLD_H

#include "journal/zk_drive_impl.h"
#include "journal/zk_elect.h"
#include "journal/zk_fence.h"
#include "tests/unit/test_zk_share.h"

enum { ZW_MEMBERS = 3, ZW_RECORDS = 1 << 14, ZW_OPS = 256, ZW_SLOTS = 256 };
#define ZW_MS 1000000LL

struct zw_op {
    struct env_op op;
    struct zw *w;
    struct zw_member *m;
    uint32_t life;
    bool busy, is_read;
    uint64_t id, least; /* of a submit; of a read: so much was answered for when it came */
};

struct zw_member {
    struct zw *w;
    uint32_t i;
    struct journal *j;
    struct journal_host host;
    struct zk_elect elect;
    bool stands, is_held;
    uint32_t life;
    enum journal_role role;
    int why;
    uint64_t applied, roll, epoch;
    uint64_t acked_then; /* when it asked for its number; it may hear late that it leads */
    uint64_t out_applied, out_roll, in_applied, in_roll;
    uint32_t out_left;
    struct env_op stop_op, image_op;
    bool stopped, imaging;
};

struct zw {
    struct share s;
    bool numbers_come; /* ZooKeeper always answers who asks for one */
    struct zw_member m[ZW_MEMBERS];
    struct zw_op ops[ZW_OPS];
    struct journal_config cfg;
    uint64_t value_at[ZW_RECORDS], index_of[ZW_RECORDS], roll_at[ZW_RECORDS];
    bool is_acked[ZW_RECORDS];     /* by index */
    uint64_t next_id, seen, acked; /* acked: highest index answered for */
    uint64_t number, last_epoch;
    uint32_t n_numbers, n_calls; /* calls: of another one, to lead */
    bool hold_waits;             /* what a leader began does not end at once */
    bool number_uncalls;         /* who asks for a number is not first any more when it comes */
    uint32_t twice_ppm, n_acked, n_unknown, n_reads, n_reads_failed, n_leads;
    bool bad, damaged;
    struct fake_inode *bad_file; /* of zw_damage_batch */
    uint64_t bad_at;
    struct env_op format_op;
    bool formatted;
};

#define ZW_EXPECT(w, cond)                                                                         \
    do {                                                                                           \
        if (!(cond) && !(w)->bad) {                                                                \
            (w)->bad = true;                                                                       \
            fprintf(stderr, "expectation failed at line %d, %lld ms: %s\n  error: %s\n", __LINE__, \
                    (long long)((w)->s.disk.now_ns / ZW_MS), #cond, (w)->s.disk.last_error);       \
        }                                                                                          \
    } while (0)

/* --- the host --- */

static struct zw_member *zw_of(struct journal_host *h)
{
    struct zw_member *m = container_of(h, struct zw_member, host);
    if (m->stopped) /* it is nobody's any more */
        m->w->bad = true;
    return m;
}

static void zw_apply(struct journal_host *h, uint64_t index, const void *rec, uint32_t len)
{
    struct zw_member *m = zw_of(h);
    struct zw *w = m->w;
    ZW_EXPECT(w, index > m->applied && index < ZW_RECORDS && len >= 8);
    if (w->bad)
        return;
    uint64_t id = base_get_u64(rec);
    ZW_EXPECT(w, id && id < w->next_id);
    if (w->bad)
        return;
    ZW_EXPECT(w, !w->value_at[index] || w->value_at[index] == id);
    ZW_EXPECT(w, !w->index_of[id] || w->index_of[id] == index);
    for (uint32_t k = 8; k < len; k++)
        ZW_EXPECT(w, ((const uint8_t *)rec)[k] == (uint8_t)(id + k));
    m->roll = base_mix_u64(m->roll ^ base_mix_u64(id + index));
    ZW_EXPECT(w, !w->value_at[index] || w->roll_at[index] == m->roll);
    w->value_at[index] = id;
    w->index_of[id] = index;
    w->roll_at[index] = m->roll;
    w->seen = base_max_u64(w->seen, index);
    m->applied = index;
}

static void zw_role(struct journal_host *h, enum journal_role role, uint64_t epoch, int why)
{
    struct zw_member *m = zw_of(h);
    struct zw *w = m->w;
    m->role = role;
    m->why = why;
    if (role != JOURNAL_LEADER)
        return;
    ZW_EXPECT(w, m->applied >= m->acked_then);
    ZW_EXPECT(w, epoch > m->epoch);
    m->epoch = epoch;
    w->last_epoch = base_max_u64(w->last_epoch, epoch);
    w->n_leads++;
}

static bool zw_hold(struct journal_host *h, bool is_on)
{
    struct zw_member *m = zw_of(h);
    m->is_held = is_on;
    return !is_on || !m->w->hold_waits;
}

static void zw_image_begin(struct journal_host *h)
{
    struct zw_member *m = zw_of(h);
    m->out_applied = m->applied;
    m->out_roll = m->roll;
    m->out_left = 3;
}

static uint32_t zw_image_next(struct journal_host *h, void *buf, uint32_t cap)
{
    struct zw_member *m = zw_of(h);
    uint64_t head[2] = {m->out_applied, m->out_roll};
    (void)cap;
    if (!m->out_left)
        return 0;
    m->out_left--;
    memset(buf, 7, 3000);
    memcpy(buf, head, sizeof head);
    return m->out_left ? 3000 : sizeof head;
}

static void zw_image_end(struct journal_host *h)
{
    zw_of(h)->out_left = 0;
}

static int zw_image_load(struct journal_host *h, const void *piece, uint32_t len)
{
    struct zw_member *m = zw_of(h);
    if (len == 16) {
        m->in_applied = base_get_u64(piece);
        m->in_roll = base_get_u64((const uint8_t *)piece + 8);
    } else if (len == 0) {
        m->applied = m->in_applied;
        m->roll = m->in_roll;
        ZW_EXPECT(m->w, m->applied <= m->w->seen);
    }
    return 0;
}

static void zw_image_reset(struct journal_host *h)
{
    struct zw_member *m = zw_of(h);
    m->applied = m->roll = 0;
}

/* --- the elector --- */

static struct zw_member *zw_of_elect(struct zk_elect *e)
{
    return container_of(e, struct zw_member, elect);
}

static void zw_changed(struct zw_member *m)
{
    if (m->elect.changed && m->w->s.m[m->i].alive)
        m->elect.changed(&m->elect, m->elect.ctx);
}

static void zw_stand(struct zk_elect *e, bool is_on)
{
    struct zw_member *m = zw_of_elect(e);
    m->stands = is_on;
    if (!is_on)
        e->standing = ZK_STANDING_NOT;
}

static void zw_number(struct zk_elect *e, uint64_t above, uint64_t *ret_number, struct env_op *op)
{
    struct zw_member *m = zw_of_elect(e);
    struct zw *w = m->w;
    m->acked_then = w->acked;
    w->n_numbers++;
    if (w->number_uncalls)
        e->standing = ZK_STANDING_NOT;
    *ret_number = above + 1;
    if (!prng_chance_ppm(&w->s.rng, w->twice_ppm)) {
        w->number = base_max_u64(w->number, above) + 1;
        *ret_number = w->number;
    }
    env_reply(&w->s.m[m->i].env, op, prng_below(&w->s.rng, 50) || w->numbers_come ? 0 : E_TIMEOUT);
}

static void zw_serves(struct zk_elect *e, uint64_t epoch)
{
    (void)e;
    (void)epoch;
}

static void zw_call(struct zw *w, uint32_t i);

static void zw_hand(struct zk_elect *e, uint32_t id, int64_t deadline_ns, struct env_op *op)
{
    struct zw_member *m = zw_of_elect(e);
    struct zw *w = m->w;
    uint32_t to = id ? id - 1 : (m->i + 1) % ZW_MEMBERS;
    (void)deadline_ns;
    bool can = w->m[to].stands && w->s.m[to].alive && e->standing == ZK_STANDING_FIRST;
    w->n_calls++;
    if (can) {
        e->standing = ZK_STANDING_NOT;
        zw_call(w, to);
    }
    env_reply(&w->s.m[m->i].env, op, can ? (int64_t)to + 1 : E_NOENT);
}

static const struct zk_elect_vt zw_elect_vt = {
    .stand = zw_stand, .number = zw_number, .serves = zw_serves, .call = zw_hand};

/* calls a member, whoever else was called */
static void zw_call(struct zw *w, uint32_t i)
{
    struct zw_member *m = &w->m[i];
    if (!m->stands)
        return;
    m->elect.standing = ZK_STANDING_FIRST;
    zw_changed(m);
}

static UNUSED void zw_uncall(struct zw *w, uint32_t i, enum zk_standing how)
{
    w->m[i].elect.standing = how;
    zw_changed(&w->m[i]);
}

static UNUSED const struct zk_drive *zw_drive(const struct zw *w, uint32_t i)
{
    return container_of(w->m[i].j, struct zk_drive, journal);
}

/* --- requests --- */

static void zw_done(struct env_op *op)
{
    struct zw_op *o = container_of(op, struct zw_op, op);
    struct zw *w = o->w;
    o->busy = false;
    if (o->is_read) {
        w->n_reads += op->ret == 0;
        w->n_reads_failed += op->ret != 0;
        if (op->ret == 0)
            ZW_EXPECT(w, o->m->applied >= o->least);
        return;
    }
    if (op->ret < 0) {
        w->n_unknown++;
        return;
    }
    uint64_t index = (uint64_t)op->ret;
    ZW_EXPECT(w, index < ZW_RECORDS && w->value_at[index] == o->id);
    ZW_EXPECT(w, o->m->applied >= index);
    if (w->bad)
        return;
    w->is_acked[index] = true;
    w->acked = base_max_u64(w->acked, index);
    w->n_acked++;
}

static struct zw_op *zw_op(struct zw *w, uint32_t i)
{
    for (uint32_t k = 0; k < ZW_OPS; k++) {
        struct zw_op *o = &w->ops[k];
        if (o->busy && o->m->life == o->life && w->s.m[o->m->i].alive)
            continue;
        *o = (struct zw_op){
            .op.done = zw_done, .w = w, .m = &w->m[i], .life = w->m[i].life, .busy = true};
        return o;
    }
    return NULL;
}

static bool zw_submit(struct zw *w, uint32_t i, uint32_t len)
{
    static uint8_t rec[JOURNAL_RECORD_MAX];
    struct zw_op *o = zw_op(w, i);
    if (!o || w->next_id + 1 >= ZW_RECORDS)
        return false;
    o->id = w->next_id++;
    for (uint32_t k = 0; k < len; k++)
        rec[k] = (uint8_t)(o->id + k);
    base_put_u64(rec, o->id);
    journal_submit(w->m[i].j, rec, len, &o->op);
    return true;
}

static void zw_read(struct zw *w, uint32_t i)
{
    struct zw_op *o = zw_op(w, i);
    if (!o)
        return;
    o->is_read = true;
    o->least = w->acked;
    journal_barrier(w->m[i].j, &o->op);
}

static void zw_imaged(struct env_op *op)
{
    container_of(op, struct zw_member, image_op)->imaging = false;
}

/* a state image, unless one is asked for already */
static UNUSED void zw_image(struct zw *w, uint32_t i)
{
    struct zw_member *m = &w->m[i];
    if (m->imaging)
        return;
    m->imaging = true;
    m->image_op = (struct env_op){.done = zw_imaged};
    journal_image_now(m->j, &m->image_op);
}

/* --- processes --- */

static UNUSED bool zw_is_up(const struct zw *w, uint32_t i)
{
    return w->s.m[i].alive && !w->s.m[i].paused;
}

static void zw_up(struct zw *w, uint32_t i)
{
    struct zw_member *m = &w->m[i];
    uint32_t life = m->life + 1;
    struct env *e = share_up(&w->s, i);
    *m = (struct zw_member){.w = w, .i = i, .life = life, .elect.vt = &zw_elect_vt};
    m->host = (struct journal_host){.apply = zw_apply,
                                    .role = zw_role,
                                    .image_begin = zw_image_begin,
                                    .image_next = zw_image_next,
                                    .image_end = zw_image_end,
                                    .image_load = zw_image_load,
                                    .image_reset = zw_image_reset,
                                    .hold = zw_hold};
    w->cfg.zk.id = i + 1;
    m->j = zk_drive_open(e, e, &w->s.m[i].mem, &w->cfg, &m->elect, &m->host);
    CU_ASSERT_FATAL(m->j != NULL);
}

static void zw_stop_done(struct env_op *op)
{
    container_of(op, struct zw_member, stop_op)->stopped = true;
}

static UNUSED void zw_stop(struct zw *w, uint32_t i)
{
    struct zw_member *m = &w->m[i];
    m->stop_op.done = zw_stop_done;
    m->stopped = false;
    journal_stop(m->j, &m->stop_op);
    for (int k = 0; k < 200000 && !m->stopped && share_step(&w->s); k++)
        ;
    CU_ASSERT_FATAL(m->stopped);
    CU_ASSERT(list_empty(&w->s.m[i].mem.large));
    share_kill(&w->s, i);
}

static void zw_format_done(struct env_op *op)
{
    container_of(op, struct zw, format_op)->formatted = op->ret == 0;
}

static void zw_init(struct zw *w, uint64_t seed)
{
    struct zk_fence f;
    memset(w, 0, sizeof *w);
    share_init(&w->s, seed);
    w->next_id = 1;
    w->cfg = journal_config_default();
    w->cfg.segment_bytes = 64 << 10;
    w->cfg.batch_bytes = 8 << 10;
    w->cfg.batches_in_flight = 3;
    w->cfg.queue_bytes = 32 << 10;
    w->cfg.image_after_bytes = 256 << 10;
    w->cfg.zk.dir = "d";
    struct env *e = share_up(&w->s, 3);
    CU_ASSERT_FATAL(zk_fence_init(&f, e, &w->s.m[3].mem, "d/"));
    w->format_op.done = zw_format_done;
    zk_fence_format(&f, 5, 7, ZW_SLOTS, &w->format_op);
    while (!w->formatted && share_step(&w->s))
        ;
    CU_ASSERT_FATAL(w->formatted);
    zk_fence_drop(&f);
    share_kill(&w->s, 3);
}

static void zw_drop(struct zw *w)
{
    share_drop(&w->s);
}

/* The best image of all loses a bit, for ever.  false: there is none */
static UNUSED bool zw_damage_image(struct zw *w)
{
    struct fake_inode *best = NULL;
    uint64_t index, most = 0;
    for (uint32_t k = 0; k < w->s.disk.n_names; k++) {
        const struct fake_name *n = &w->s.disk.names[k];
        const char *leaf = strstr(n->name, "/image-");
        if (n->now >= 0 && leaf && log_format_name_parse(leaf + 1, "image-", &index) &&
            index > most) {
            most = index;
            best = &w->s.disk.inodes[n->now];
        }
    }
    if (!best)
        return false;
    best->now[LOG_BLOCK + 100] ^= 4;
    best->durable[LOG_BLOCK + 100] ^= 4;
    return true;
}

/* is there a file with that in its name? */
static UNUSED bool zw_has(const struct zw *w, const char *part)
{
    for (uint32_t k = 0; k < w->s.disk.n_names; k++)
        if (w->s.disk.names[k].now >= 0 && strstr(w->s.disk.names[k].name, part))
            return true;
    return false;
}

/* the bytes of a file of the shared storage, as they are and as a power loss would leave them */
static UNUSED struct fake_inode *zw_file(struct zw *w, const char *part)
{
    for (uint32_t k = 0; k < w->s.disk.n_names; k++) {
        const struct fake_name *n = &w->s.disk.names[k];
        if (n->now >= 0 && strstr(n->name, part))
            return &w->s.disk.inodes[n->now];
    }
    CU_FAIL_FATAL("no such file");
    return NULL;
}

/* The batch of that record in that epoch's log loses a bit, or is gone with all behind it. */
static UNUSED void zw_damage_batch(struct zw *w, uint64_t epoch, uint64_t place, bool is_gone)
{
    char part[64];
    struct log_batch b;
    fmt_into(part, sizeof part, "log-%016llx/wal-", (unsigned long long)epoch);
    struct fake_inode *f = zw_file(w, part);
    for (uint64_t at = LOG_BLOCK; at + LOG_BLOCK <= f->size; at += LOG_BLOCK) {
        if (log_format_batch_head(f->now + at, &b) || place < b.first_index ||
            place >= b.first_index + b.records)
            continue;
        for (int copy = 0; copy < 2; copy++) {
            uint8_t *bytes = copy ? f->durable : f->now;
            if (is_gone)
                memset(bytes + at, 0, f->size - at);
            else
                bytes[at + sizeof b + 20] ^= 4;
        }
        w->bad_file = f;
        w->bad_at = at + sizeof b + 20;
        return;
    }
    CU_FAIL_FATAL("no such batch");
}

static UNUSED void zw_mend_batch(struct zw *w)
{
    w->bad_file->now[w->bad_at] ^= 4;
    w->bad_file->durable[w->bad_at] ^= 4;
}

/* runs until the time has gone on by so much */
static void zw_run(struct zw *w, int64_t ms)
{
    int64_t until = w->s.disk.now_ns + ms * ZW_MS;
    while (w->s.disk.now_ns < until && !w->bad && share_step(&w->s))
        ;
}

static bool zw_all_have_all(const struct zw *w)
{
    bool is_all = true;
    for (uint32_t i = 0; i < ZW_MEMBERS; i++)
        is_all &= w->m[i].applied >= w->acked;
    return is_all;
}

/* everybody is well again, one leads, and all have all */
static UNUSED void zw_heal(struct zw *w, uint32_t first)
{
    for (uint32_t i = 0; i < ZW_MEMBERS; i++) {
        w->s.m[i].paused = false;
        if (w->s.m[i].alive && w->m[i].role == JOURNAL_FAILED)
            share_kill(&w->s, i);
        if (!w->s.m[i].alive)
            zw_up(w, i);
        if (i != first)
            zw_uncall(w, i, ZK_STANDING_NOT);
    }
    uint32_t n = w->n_acked;
    w->s.slow_ppm = 0;
    for (int k = 0; k < 200 && w->n_acked == n && !w->bad; k++) {
        if (w->m[first].elect.standing != ZK_STANDING_FIRST)
            zw_call(w, first);
        if (w->m[first].role == JOURNAL_LEADER)
            zw_submit(w, first, 100);
        zw_run(w, 100);
    }
    ZW_EXPECT(w, w->n_acked > n);
    for (int k = 0; k < 50 && !zw_all_have_all(w) && !w->bad; k++) {
        if (w->m[first].elect.standing != ZK_STANDING_FIRST)
            zw_call(w, first);
        zw_run(w, 100);
    }
    ZW_EXPECT(w, zw_all_have_all(w));
    for (uint64_t k = 1; k <= w->acked; k++)
        ZW_EXPECT(w, !w->is_acked[k] || w->value_at[k]);
}

#endif
