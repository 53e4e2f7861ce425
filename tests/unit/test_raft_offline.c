/* tests/unit/test_raft_offline.c - a member's directory without its group: checked, and made the
 * beginning of a new group after a majority was lost. */
#include "journal/era.h"
#include "journal/raft_drive_impl.h"
#include "tests/unit/test_raft_world_sim.h"

static struct gang *started(uint64_t seed, uint32_t n)
{
    struct sim_config c = sim_config_quiet(seed);
    struct gang *g = gang_new(&c, n);
    for (uint32_t i = 0; i < n; i++)
        gang_start(g, i);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    return g;
}

static struct {
    uint64_t n, last, crc;
} seen;

static void seen_entry(struct journal_host *h, uint64_t index, uint64_t term, uint8_t type,
                       const void *bytes, uint32_t len)
{
    (void)h, (void)term;
    seen.n++;
    seen.last = index;
    for (uint32_t i = 0; i < len; i++)
        seen.crc = base_mix_u64(seen.crc ^ ((const uint8_t *)bytes)[i]);
    seen.crc ^= type;
}

static void offline_apply(struct journal_host *h, uint64_t index, const void *rec, uint32_t len)
{
    (void)h, (void)index, (void)rec, (void)len;
    CU_FAIL("a look applies nothing");
}

static int offline_load(struct journal_host *h, const void *piece, uint32_t len)
{
    (void)h, (void)piece, (void)len;
    return 0;
}

static void offline_reset(struct journal_host *h)
{
    (void)h;
}

/* looks at member i's directory, or recovers with it; then lets go of it.  steps: at most so many
 * steps of 100 us, then the power goes */
static int offline(struct gang *g, uint32_t i, const char *recover, int steps,
                   struct journal_status *ret_st)
{
    struct gang_member *m = &g->m[i];
    struct env *e = sim_node_up(m->node);
    struct journal_config c = g->cfg;
    c.raft.id = m->id;
    c.cluster_hi = c.cluster_lo = 0;
    c.check_only = !recover;
    c.raft.recover = recover;
    c.raft.entry = recover ? NULL : seen_entry;
    m->host = (struct journal_host){.apply = offline_apply,
                                    .role = gang_role,
                                    .image_load = offline_load,
                                    .image_reset = offline_reset};
    memset(&seen, 0, sizeof seen);
    m->role = JOURNAL_STARTING;
    m->j = raft_open(e, sim_mem(m->node), &c, &m->host);
    CU_ASSERT_FATAL(m->j != NULL);
    while (m->role == JOURNAL_STARTING && steps-- > 0)
        sim_run_until(g->s, sim_now_ns(g->s) + GANG_MS / 10);
    if (m->role == JOURNAL_STARTING) {
        gang_crash(g, i, true);
        return E_TIMEOUT;
    }
    int ret = m->role == JOURNAL_STANDBY ? 0 : m->why;
    journal_status(m->j, ret_st);
    struct gang_op o = {.op = {.done = gang_op_done}, .g = g, .busy = true};
    journal_stop(m->j, &o.op);
    for (int k = 0; k < 5000 && !o.done; k++)
        gang_run(g, 1);
    CU_ASSERT_FATAL(o.done);
    CU_ASSERT(list_empty(&sim_mem(m->node)->large));
    gang_crash(g, i, false);
    m->found = false;
    return ret;
}

enum { ALL = 1 << 20 };

static void test_offline_check(void)
{
    struct gang *g = started(1, 3);
    struct journal_status st[3];
    uint64_t crc[3];
    CU_ASSERT(gang_write(g, 500, 300));
    CU_ASSERT(gang_await_equal(g, 1000));
    gang_run(g, 1000);
    for (uint32_t i = 0; i < 3; i++)
        gang_crash(g, i, false);
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(offline(g, i, NULL, ALL, &st[i]), 0);
        crc[i] = seen.crc;
        CU_ASSERT(st[i].last_index > 500);
        CU_ASSERT_EQUAL(seen.last, st[i].last_index);
        CU_ASSERT_EQUAL(st[i].last_index, st[0].last_index);
        CU_ASSERT_EQUAL(st[i].last_term, st[0].last_term);
        CU_ASSERT_EQUAL(st[i].n, 3);
        CU_ASSERT_EQUAL(st[i].self, i + 1);
        CU_ASSERT(!strcmp(st[i].member[2].addr, "m3:1"));
        CU_ASSERT_EQUAL(crc[i], crc[0]);
    }
    for (uint32_t i = 0; i < 3; i++) /* nothing has changed */
        gang_start(g, i);
    CU_ASSERT(gang_await_equal(g, 10000));
    CU_ASSERT(gang_write(g, 10, 100));
    gang_free(g);
}

static void ignore_stored(struct raft_log_host *h)
{
    (void)h;
}

static void ignore_failed(struct raft_log_host *h, int why)
{
    (void)h, (void)why;
    CU_FAIL("the log failed");
}

static void ignore_space(struct raft_log_host *h, bool full)
{
    (void)h, (void)full;
}

static void waited(struct gang *g, struct gang_op *o)
{
    for (int k = 0; k < 5000 && !o->done; k++)
        gang_run(g, 1);
    CU_ASSERT_FATAL(o->done && o->op.ret == 0);
    o->done = false;
}

static const struct raft_log_config small_log = {.mem_entries = 1024,
                                                 .wal = {.dir = "",
                                                         .segment_bytes = 1 << 20,
                                                         .batch_bytes = 256 << 10,
                                                         .batches_in_flight = 4,
                                                         .queue_bytes = 1 << 20,
                                                         .cluster_hi = 7,
                                                         .cluster_lo = 8}};

/* an intact log whose last entry is of a term before the one before it: no member writes that */
static void test_offline_check_finds_nonsense(void)
{
    struct gang *g = started(8, 1);
    struct journal_status st;
    CU_ASSERT(gang_write(g, 20, 100));
    gang_run(g, 1000);
    gang_crash(g, 0, false);
    CU_ASSERT_EQUAL(offline(g, 0, NULL, ALL, &st), 0);
    CU_ASSERT(st.last_index > 20 && st.last_term > 1);
    struct env *e = sim_node_up(g->m[0].node);
    struct raft_log_host host = {
        .stored = ignore_stored, .failed = ignore_failed, .space = ignore_space};
    struct raft_log *l = raft_log_create(e, sim_mem(g->m[0].node), &small_log, &host);
    struct gang_op o = {.op = {.done = gang_op_done}, .g = g, .busy = true};
    struct raft_conf none = {0};
    struct raft_start s = {.image = {.conf = &none}};
    raft_log_recover(l, 1, 0, &o.op);
    waited(g, &o);
    raft_log_begin(l, &o.op);
    waited(g, &o);
    raft_log_replay(l, &o.op);
    waited(g, &o);
    CU_ASSERT_EQUAL(raft_log_start(l, &s), 0);
    struct raft_entry entry = {.term = 1, .type = RAFT_NOOP};
    CU_ASSERT_EQUAL(raft_log_append(l, st.last_index + 1, &entry, NULL), 0);
    raft_log_stop(l, &o.op);
    waited(g, &o);
    gang_crash(g, 0, false);
    CU_ASSERT_EQUAL(offline(g, 0, NULL, ALL, &st), E_CORRUPT);
    CU_ASSERT(strstr(g->last_error, "does not continue") != NULL);
    CU_ASSERT_EQUAL(offline(g, 0, "1@m1:1", ALL, &st), E_CORRUPT); /* nor is it recovered */
    gang_free(g);
}

static void ignore_record(struct wal_host *h, uint64_t index, const struct log_record *r,
                          const void *bytes)
{
    (void)h, (void)index, (void)r, (void)bytes;
}

/* The oldest segment that is left begins right behind the image: nothing is missing between them.
 */
static void test_a_log_that_begins_right_behind_its_image(void)
{
    struct sim_config sc = sim_config_quiet(9);
    struct gang *g = gang_new(&sc, 1);
    struct env *e = sim_node_up(g->m[0].node);
    struct mem *m = sim_mem(g->m[0].node);
    struct raft_log_host host = {
        .stored = ignore_stored, .failed = ignore_failed, .space = ignore_space};
    struct wal_host wal_host = {.record = ignore_record};
    struct gang_op o = {.op = {.done = gang_op_done}, .g = g, .busy = true};
    struct wal *w = wal_create(e, m, &small_log.wal, &wal_host);
    wal_recover(w, 1, 0, &o.op);
    waited(g, &o);
    wal_recover_start(w, 1, &o.op);
    waited(g, &o);
    wal_recover_replay(w, 1, &o.op);
    waited(g, &o);
    for (uint64_t index = 101; index <= 110; index++) {
        uint8_t head[RAFT_LOG_HEAD];
        uint64_t place;
        struct env_iov iov = {head, sizeof head};
        base_put_u64(head, index);
        CU_ASSERT_EQUAL(wal_append(w, RAFT_NOOP, 3, &iov, 1, &place), 0);
    }
    wal_stop(w, &o.op);
    waited(g, &o);
    wal_free(w);
    struct raft_conf none = {0};
    for (uint64_t index = 99; index <= 101; index++) {
        struct raft_start s = {.image = {.index = index, .term = 3, .conf = &none}};
        struct raft_log *l = raft_log_create(e, m, &small_log, &host);
        raft_log_recover(l, 1, 0, &o.op);
        waited(g, &o);
        raft_log_replay(l, &o.op);
        waited(g, &o);
        CU_ASSERT_EQUAL(raft_log_start(l, &s), index < 100 ? E_CORRUPT : 0);
        if (index >= 100)
            CU_ASSERT(s.base + s.n == 110 && s.base <= index);
        raft_log_stop(l, &o.op);
        waited(g, &o);
        raft_log_free(l);
    }
    gang_free(g);
}

/* two of three are lost; the third goes on alone, and those that come back do no harm */
static void test_offline_recover(void)
{
    struct gang *g = started(2, 3);
    struct journal_status st;
    CU_ASSERT(gang_write(g, 200, 100));
    gang_run(g, 1000);
    uint32_t left = gang_leader(g)->id % 3, other = (left + 1) % 3, third = (left + 2) % 3;
    for (uint32_t i = 0; i < 3; i++)
        gang_crash(g, i, i == left);
    CU_ASSERT_EQUAL(offline(g, left, "9@m9:1", ALL, &st), E_INVAL); /* not this member's group */
    CU_ASSERT_EQUAL(offline(g, left, "nonsense", ALL, &st), E_INVAL);
    char group[64];
    fmt_into(group, sizeof group, "%u@%s", g->m[left].id, g->m[left].addr);
    CU_ASSERT_EQUAL(offline(g, left, group, ALL, &st), 0);
    CU_ASSERT_EQUAL(st.n, 1);
    uint64_t era = st.era;
    CU_ASSERT(era_number(era) >= 1700000000);
    gang_start(g, left);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) == &g->m[left]);
    CU_ASSERT(g->m[left].n_applied == 200);
    CU_ASSERT(gang_write(g, 100, 100));
    /* the others are a majority of the group that was: they hear of the new era, and stop */
    g->m[other].found = g->m[third].found = false;
    gang_start(g, other);
    gang_start(g, third);
    gang_run(g, 5000);
    CU_ASSERT_EQUAL(g->m[other].role, JOURNAL_FAILED);
    CU_ASSERT_EQUAL(g->m[third].role, JOURNAL_FAILED);
    CU_ASSERT(strstr(g->last_error, "recovered or restored without") != NULL);
    CU_ASSERT(gang_leader(g) == &g->m[left]);
    CU_ASSERT(gang_write(g, 100, 100));
    /* they come back as new members: an empty directory, and then even the same id will do */
    gang_crash(g, other, false);
    gang_crash(g, third, false);
    sim_node_wipe(g->m[other].node);
    g->m[other].join = true;
    gang_start(g, other);
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ADD, g->m[other].id, 0, g->m[other].addr), 0);
    CU_ASSERT(gang_await_equal(g, 10000));
    CU_ASSERT_EQUAL(g->m[other].n_applied, 400);
    gang_crash(g, left, false); /* the era survives with the others */
    gang_crash(g, other, false);
    gang_start(g, left);
    g->m[other].join = false;
    gang_start(g, other);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    CU_ASSERT(gang_write(g, 10, 100));
    journal_status(gang_leader(g)->j, &st);
    CU_ASSERT_EQUAL(st.era, era);
    gang_free(g);
}

/* the majority was alive after all: it stopped, but lost nothing, and goes on without the other */
static void test_offline_recovered_by_mistake(void)
{
    struct gang *g = started(7, 3);
    struct journal_status st;
    CU_ASSERT(gang_write(g, 200, 100));
    gang_run(g, 1000);
    uint32_t alone = gang_leader(g)->id % 3, one = (alone + 1) % 3, two = (alone + 2) % 3;
    char group[64];
    fmt_into(group, sizeof group, "%u@%s", g->m[alone].id, g->m[alone].addr);
    gang_crash(g, alone, false);
    CU_ASSERT(gang_write(g, 50, 100)); /* what the recovered one will not have */
    CU_ASSERT_EQUAL(offline(g, alone, group, ALL, &st), 0);
    gang_start(g, alone);
    gang_run(g, 3000);
    CU_ASSERT_EQUAL(g->m[one].role, JOURNAL_FAILED);
    CU_ASSERT_EQUAL(g->m[two].role, JOURNAL_FAILED);
    for (uint32_t i = 0; i < 3; i++)
        gang_crash(g, i, false);
    sim_node_wipe(g->m[alone].node);
    memset(g->value_at, 0, sizeof g->value_at); /* of the group that was given up */
    g->m[one].found = g->m[two].found = false;
    gang_start(g, one);
    gang_start(g, two);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    CU_ASSERT_EQUAL(gang_leader(g)->n_applied, 250);
    CU_ASSERT(gang_write(g, 10, 100));
    gang_free(g);
}

/* One that is told beforehand which cluster it joins takes its era from who calls, too: without it
 * it would be of the history that was given up. */
static void test_offline_joins_a_cluster_it_knows(void)
{
    struct gang *g = started(2, 3);
    struct journal_status st;
    char group[64];
    CU_ASSERT(gang_write(g, 100, 100));
    for (uint32_t i = 0; i < 3; i++)
        gang_crash(g, i, false);
    fmt_into(group, sizeof group, "%u@%s", g->m[0].id, g->m[0].addr);
    CU_ASSERT_EQUAL(offline(g, 0, group, ALL, &st), 0);
    uint64_t era = st.era;
    gang_start(g, 0);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) == &g->m[0]);
    for (uint32_t i = 1; i < 3; i++) {
        sim_node_wipe(g->m[i].node);
        g->m[i].found = false;
        g->m[i].join = g->m[i].knows_cluster = true;
    }
    gang_start(g, 1);
    gang_run(g, 1000); /* it waits, and nobody has called it */
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ADD, g->m[1].id, 0, g->m[1].addr), 0);
    CU_ASSERT_EQUAL(g->m[1].role, JOURNAL_STANDBY);
    CU_ASSERT(gang_write(g, 10, 100) && gang_await_equal(g, 5000));
    journal_status(g->m[1].j, &st);
    CU_ASSERT_EQUAL(st.era, era);
    /* of another cluster it lets itself not be called */
    g->cfg.cluster_hi++;
    gang_start(g, 2);
    g->cfg.cluster_hi--;
    CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ADD, g->m[2].id, 0, g->m[2].addr), E_TIMEOUT);
    CU_ASSERT_EQUAL(g->m[2].role, JOURNAL_STANDBY);
    journal_status(g->m[2].j, &st);
    CU_ASSERT(st.n == 0 && st.era == 0);
    CU_ASSERT(gang_write(g, 10, 100));
    gang_free(g);
}

static void starts_empty(struct gang *g, uint32_t i)
{
    sim_node_wipe(g->m[i].node);
    g->m[i].found = false;
    g->m[i].join = true;
    gang_start(g, i);
}

/* the new group may name members that begin empty */
static void test_offline_recover_with_new_ones(void)
{
    struct gang *g = started(3, 3);
    struct journal_status st;
    CU_ASSERT(gang_write(g, 200, 100));
    CU_ASSERT(gang_await_equal(g, 1000));
    gang_run(g, 1000);
    for (uint32_t i = 0; i < 3; i++)
        gang_crash(g, i, false);
    CU_ASSERT_EQUAL(offline(g, 0, g->members, ALL, &st), 0);
    gang_start(g, 0);
    g->m[1].found = false;
    gang_start(g, 1); /* not emptied */
    CU_ASSERT_FATAL(gang_await_leader(g, 5000) == &g->m[0]);
    gang_run(g, 5000);
    CU_ASSERT_EQUAL(g->m[1].role, JOURNAL_FAILED);
    gang_crash(g, 1, false);
    starts_empty(g, 1);
    CU_ASSERT(gang_write(g, 100, 100));
    CU_ASSERT(gang_await_equal(g, 5000));
    CU_ASSERT_EQUAL(g->m[1].n_applied, 300);
    starts_empty(g, 2);
    gang_run(g, 5000);
    journal_status(g->m[0].j, &st);
    for (uint32_t i = 0; i < 3; i++)
        CU_ASSERT(st.member[i].votes && st.member[i].connected && st.member[i].disk);
    gang_crash(g, 0, false); /* they need it no more */
    CU_ASSERT(gang_await_leader(g, 10000) != NULL && gang_write(g, 10, 100));
    gang_free(g);
}

/* Those who begin empty do not go on with a part of what was recovered. */
static void test_offline_new_ones_lead_with_all_of_it(void)
{
    struct gang *g = started(4, 3);
    struct journal_status st;
    uint64_t all;
    CU_ASSERT(gang_write(g, 2000, 1000));
    gang_run(g, 1000);
    for (uint32_t i = 0; i < 3; i++)
        gang_crash(g, i, false);
    CU_ASSERT_EQUAL(offline(g, 0, g->members, ALL, &st), 0);
    all = st.last_index;
    gang_start(g, 0);
    starts_empty(g, 1);
    for (st.last_index = 0; st.last_index < 100;) {
        sim_run_until(g->s, sim_now_ns(g->s) + GANG_MS / 10);
        journal_status(g->m[1].j, &st);
    }
    CU_ASSERT(st.last_index < all / 2);
    gang_crash(g, 0, false);
    starts_empty(g, 2);
    gang_run(g, 10000);
    CU_ASSERT(gang_leader(g) == NULL);
    gang_start(g, 0);
    CU_ASSERT(gang_await_leader(g, 10000) != NULL && gang_write(g, 10, 100));
    gang_run(g, 5000);
    for (uint32_t i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(g->m[i].n_applied, 2010);
    gang_free(g);
}

/* Who is alone in the recovered group has nobody to repair its log: damage that comes before its
 * first start is not cut off in the hope of others. */
static void test_offline_recovered_alone_is_alone(void)
{
    static uint8_t b[1 << 20];
    struct gang *g = started(12, 3);
    struct journal_status st;
    CU_ASSERT(gang_write(g, 200, 300));
    CU_ASSERT(gang_await_equal(g, 1000));
    gang_run(g, 1000);
    for (uint32_t i = 0; i < 3; i++)
        gang_crash(g, i, false);
    CU_ASSERT_EQUAL(offline(g, 0, "1@m1:1", ALL, &st), 0);
    char name[ENV_NAME_MAX] = "";
    for (const char *f = ""; (f = sim_disk_next(g->m[0].node, f));)
        if (strstr(f, "wal-") && !name[0])
            fmt_into(name, sizeof name, "%s", f);
    int64_t n = sim_disk_read(g->m[0].node, name, b, sizeof b, 0), used = 0;
    for (int64_t k = 0; k < n; k++)
        used = b[k] ? k : used;
    CU_ASSERT_EQUAL(sim_disk_flip(g->m[0].node, name, (uint64_t)used / 2, 3), 0);
    gang_start(g, 0);
    gang_run(g, 5000);
    CU_ASSERT_EQUAL(g->m[0].role, JOURNAL_FAILED);
    CU_ASSERT_EQUAL(g->m[0].why, E_CORRUPT);
    gang_free(g);
}

/* to where two recoveries fall into one second */
static void next_second(struct gang *g)
{
    gang_run(g, 1000 - (int)(sim_now_ns(g->s) / GANG_MS % 1000));
}

/* What the operator did last counts, not what was done more often: a member that was recovered
 * again and again stops when it meets one that was recovered once, and later (era.c). */
static void test_offline_the_last_counts(void)
{
    struct gang *g = started(10, 3);
    struct journal_status st;
    uint32_t stray = 0;
    CU_ASSERT(gang_write(g, 200, 100));
    CU_ASSERT(gang_await_equal(g, 1000));
    for (uint32_t i = 0; i < 3; i++)
        gang_crash(g, i, false);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(offline(g, 0, "1@m1:1,2@m2:1", ALL, &st), 0);
    stray = era_number(st.era);
    gang_run(g, 5000);
    CU_ASSERT_EQUAL(offline(g, 1, "2@m2:1", ALL, &st), 0);
    CU_ASSERT(era_number(st.era) > stray);
    gang_start(g, 1);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) == &g->m[1]);
    CU_ASSERT(gang_write(g, 10, 100));
    gang_start(g, 0);
    gang_run(g, 5000);
    CU_ASSERT_EQUAL(g->m[0].role, JOURNAL_FAILED);
    CU_ASSERT(gang_leader(g) == &g->m[1]);
    CU_ASSERT(gang_write(g, 10, 100));
    gang_crash(g, 0, false);
    gang_crash(g, 1, false);
    /* with a clock that was set back, what is known of the other puts it after */
    g->cfg.raft.recover_era = 0xfffffff0ULL << 32;
    CU_ASSERT_EQUAL(offline(g, 1, "2@m2:1", ALL, &st), 0);
    CU_ASSERT_EQUAL(era_number(st.era), 0xfffffff1);
    gang_free(g);
}

/* two survivors, each made a group of its own: neither takes anything from the other */
static void test_offline_recovered_twice(void)
{
    struct gang *g = started(4, 3);
    struct journal_status st;
    CU_ASSERT(gang_write(g, 200, 100));
    CU_ASSERT(gang_await_equal(g, 1000));
    for (uint32_t i = 0; i < 3; i++)
        gang_crash(g, i, false);
    next_second(g);
    /* each names the other, so that they do call */
    CU_ASSERT_EQUAL(offline(g, 0, "1@m1:1,2@m2:1", ALL, &st), 0);
    uint32_t number = era_number(st.era);
    CU_ASSERT_EQUAL(offline(g, 1, "1@m1:1,2@m2:1", ALL, &st), 0);
    CU_ASSERT_EQUAL(era_number(st.era), number);
    gang_start(g, 0);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) == &g->m[0]);
    gang_crash(g, 0, false);
    memset(g->leader_of, 0, sizeof g->leader_of); /* each has terms of its own */
    gang_start(g, 0);
    gang_start(g, 1);
    gang_run(g, 8000);
    for (uint32_t i = 0; i < 2; i++) { /* each leads, and the other is nobody to it */
        journal_status(g->m[i].j, &st);
        CU_ASSERT(g->m[i].role == JOURNAL_LEADER && g->m[i].n_applied == 200);
        CU_ASSERT(!st.member[1 - i].votes && !st.member[1 - i].connected);
    }
    CU_ASSERT(strstr(g->last_error, "only one can go on") != NULL);
    /* the operator decides; one that was given up stops when it hears of it */
    gang_crash(g, 0, false);
    CU_ASSERT_EQUAL(offline(g, 0, "1@m1:1", ALL, &st), 0);
    CU_ASSERT(era_number(st.era) > number);
    gang_start(g, 0);
    gang_run(g, 5000);
    CU_ASSERT_EQUAL(g->m[1].role, JOURNAL_FAILED);
    CU_ASSERT(gang_leader(g) == &g->m[0] && gang_write(g, 10, 100));
    gang_free(g);
}

/* the power goes at any moment; the same command ends it, and nothing is lost */
static void test_offline_recover_crashes(void)
{
    uint32_t whole = 0, early = 0;
    for (int steps = 1; steps < 400 && !whole; steps += 1 + steps / 16) {
        struct gang *g = started(5, 3);
        struct journal_status st;
        CU_ASSERT(gang_write(g, 20, 100));
        CU_ASSERT(gang_await_equal(g, 1000));
        for (uint32_t i = 0; i < 3; i++)
            gang_crash(g, i, true);
        if (offline(g, 2, "3@m3:1", steps, &st) == 0)
            whole++;
        else
            early++;
        /* as it is, it harms nobody: it is one of the old group, or it is alone */
        g->m[0].found = g->m[1].found = g->m[2].found = false;
        gang_start(g, 2);
        gang_run(g, 3000);
        bool alone = g->m[2].role == JOURNAL_LEADER;
        gang_crash(g, 2, true);
        if (!alone)
            CU_ASSERT_EQUAL(offline(g, 2, "3@m3:1", ALL, &st), 0);
        gang_start(g, 2);
        CU_ASSERT_FATAL(gang_await_leader(g, 10000) == &g->m[2]);
        CU_ASSERT_EQUAL(g->m[2].n_applied, 20);
        CU_ASSERT(gang_write(g, 10, 100));
        gang_free(g);
    }
    CU_ASSERT(whole == 1 && early >= 10);
}

/* --- another release calls --- */

struct caller {
    struct env_peer peer;
    struct env_op op;
    bool connected, answered;
    int32_t err;
};

static void caller_connected(struct env_op *op)
{
    container_of(op, struct caller, op)->connected = op->ret == 0;
}

static void caller_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    struct caller *c = container_of(p, struct caller, peer);
    CU_ASSERT(type == DRIVE_FRAME_WELCOME && n >= 4);
    c->err = (int32_t)base_get_u32(b);
    c->answered = true;
}

static void caller_closed(struct env_peer *p, int why)
{
    (void)p, (void)why;
}

/* a hello of these versions and so many bytes: what is answered; g->last_error says the rest */
static int32_t hello_of(uint16_t proto, uint16_t format, uint32_t bytes, char *ret_said, size_t cap)
{
    struct gang *g = started(6, 3);
    gang_add(g);
    struct env *e = sim_node_up(g->m[3].node);
    struct caller c = {.peer = {.on_frame = caller_frame, .on_close = caller_closed},
                       .op = {.done = caller_connected}};
    env_connect(e, g->m[0].addr, 1000 * GANG_MS, &c.peer, &c.op);
    gang_run(g, 100);
    CU_ASSERT_FATAL(c.connected);
    uint8_t b[80] = {0};
    struct wbuf w = wbuf_make(b, sizeof b);
    wbuf_u16(&w, proto);
    wbuf_u16(&w, format);
    wbuf_u64(&w, 7);
    wbuf_u64(&w, 8);
    wbuf_u32(&w, 2);
    wbuf_u32(&w, 1);
    wbuf_u64(&w, 1);
    wbuf_u64(&w, 0);
    wbuf_u64(&w, (uint64_t)g->cfg.raft.promise_ns);
    struct env_iov iov = {b, bytes};
    env_send(c.peer.conn, DRIVE_FRAME_HELLO, &iov, 1);
    gang_run(g, 100);
    CU_ASSERT(c.answered);
    snprintf(ret_said, cap, "%s", g->last_error);
    CU_ASSERT(gang_write(g, 10, 100));
    gang_free(g);
    return c.err;
}

/* Whatever else it says, both versions are named: nobody looks for another reason. */
static void test_other_releases_are_refused(void)
{
    static const struct {
        uint16_t proto, format;
        uint32_t bytes;
    } hello[] = {
        {DRIVE_PROTO + 1, LOG_VERSION + 1, 48}, {DRIVE_PROTO + 1, LOG_VERSION + 1, 72},
        {DRIVE_PROTO, LOG_VERSION, 48},         {DRIVE_PROTO, LOG_VERSION, 52},
        {DRIVE_PROTO, LOG_VERSION, 64},         {DRIVE_PROTO - 1, LOG_VERSION, 60},
        {DRIVE_PROTO - 1, LOG_VERSION, 8},
    };
    for (uint32_t i = 0; i < ARRAY_LEN(hello); i++) {
        char said[1024], want[160];
        CU_ASSERT_EQUAL(
            hello_of(hello[i].proto, hello[i].format, hello[i].bytes, said, sizeof said),
            E_VERSION);
        snprintf(want, sizeof want,
                 "it speaks version %u and writes format %u, here it is %u and %u (its hello has "
                 "%u bytes, ours 60)",
                 hello[i].proto, hello[i].format, DRIVE_PROTO, LOG_VERSION, hello[i].bytes);
        CU_ASSERT(strstr(said, want) && strstr(said, "a downgrade is refused"));
    }
}

UNIT_MAIN("raft_offline", UNIT(test_offline_check), UNIT(test_offline_check_finds_nonsense),
          UNIT(test_a_log_that_begins_right_behind_its_image), UNIT(test_offline_recover),
          UNIT(test_offline_recovered_by_mistake), UNIT(test_offline_recover_with_new_ones),
          UNIT(test_offline_new_ones_lead_with_all_of_it),
          UNIT(test_offline_joins_a_cluster_it_knows), UNIT(test_offline_recovered_alone_is_alone),
          UNIT(test_offline_the_last_counts), UNIT(test_offline_recovered_twice),
          UNIT(test_offline_recover_crashes), UNIT(test_other_releases_are_refused))
