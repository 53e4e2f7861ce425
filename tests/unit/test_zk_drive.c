/* tests/unit/test_zk_drive.c - the ZooKeeper journal without ZooKeeper: masters on one shared disk,
 * whoever is called to lead. */
#include "tests/unit/test_zk_world.h"

static struct zw zw_one;

/* standbys tell how large the log is that the leader writes */
static void test_size_is_everybodys(struct zw *w)
{
    struct journal_status lead, st;
    journal_status(w->m[0].j, &lead);
    CU_ASSERT(lead.wal_segments > 1 && lead.wal_bytes > 1000);
    for (uint32_t i = 1; i < ZW_MEMBERS; i++) {
        journal_status(w->m[i].j, &st);
        CU_ASSERT_EQUAL(st.wal_segments, lead.wal_segments);
        CU_ASSERT_EQUAL(st.wal_bytes, lead.wal_bytes);
    }
}

static void test_one_leads_and_all_follow(void)
{
    struct zw *w = &zw_one;
    zw_init(w, 1);
    for (uint32_t i = 0; i < ZW_MEMBERS; i++)
        zw_up(w, i);
    zw_run(w, 200);
    for (uint32_t i = 0; i < ZW_MEMBERS; i++)
        CU_ASSERT_EQUAL(w->m[i].role, JOURNAL_STANDBY);
    zw_call(w, 0);
    zw_run(w, 500);
    CU_ASSERT_FATAL(w->m[0].role == JOURNAL_LEADER);
    for (int k = 0; k < 400; k++) {
        zw_submit(w, 0, 8 + (uint32_t)prng_below(&w->s.rng, 3000));
        if (k % 5 == 0)
            zw_read(w, (uint32_t)k / 5 % 3);
        zw_run(w, 2);
    }
    zw_run(w, 300);
    CU_ASSERT_EQUAL(w->n_acked, 400);
    CU_ASSERT_EQUAL(w->n_reads, 80);
    for (uint32_t i = 0; i < ZW_MEMBERS; i++)
        CU_ASSERT(w->m[i].applied >= w->acked);
    test_size_is_everybodys(w);
    for (uint32_t i = 0; i < ZW_MEMBERS; i++)
        zw_stop(w, i);
    CU_ASSERT(!w->bad);
    zw_drop(w);
}

static void test_the_next_leader_has_all(void)
{
    struct zw *w = &zw_one;
    zw_init(w, 2);
    for (uint32_t i = 0; i < ZW_MEMBERS; i++)
        zw_up(w, i);
    for (uint32_t turn = 0; turn < 12 && !w->bad; turn++) {
        uint32_t i = turn % 3;
        zw_run(w, 300);
        for (int k = 0; k < 20 && w->m[i].role != JOURNAL_LEADER; k++) {
            zw_call(w, i);
            zw_run(w, 200);
        }
        CU_ASSERT_FATAL(w->m[i].role == JOURNAL_LEADER);
        for (int k = 0; k < 40; k++) {
            zw_submit(w, i, 100);
            if (k % 7 == 0)
                zw_run(w, 1);
        }
        if (turn % 4 == 3) {
            share_power_loss(&w->s);
            for (uint32_t k = 0; k < ZW_MEMBERS; k++)
                zw_up(w, k);
        } else if (turn % 2) {
            share_kill(&w->s, i);
            zw_up(w, i);
        } else {
            zw_uncall(w, i, ZK_STANDING_LOST);
        }
    }
    zw_heal(w, 1);
    CU_ASSERT(!w->bad && w->n_acked > 100);
    zw_drop(w);
}

/* one thing that happens */
static void zw_storm(struct zw *w)
{
    struct prng *r = &w->s.rng;
    uint32_t i = (uint32_t)prng_below(r, ZW_MEMBERS);
    uint64_t dice = prng_below(r, 1000);
    if (dice == 998 && !w->damaged) {
        w->damaged = zw_damage_image(w);
    } else if (dice >= 995 && dice < 998) {
        if (zw_is_up(w, i))
            zw_stop(w, i);
    } else if (dice < 400) {
        if (zw_is_up(w, i) && w->m[i].role == JOURNAL_LEADER)
            zw_submit(w, i, 8 + (uint32_t)prng_below(r, prng_below(r, 8) ? 200 : 4000));
    } else if (dice < 500) {
        if (zw_is_up(w, i))
            zw_read(w, i);
    } else if (dice < 530) {
        if (zw_is_up(w, i) && w->last_epoch < ZW_SLOTS / 2)
            zw_call(w, i);
    } else if (dice < 540) {
        if (zw_is_up(w, i))
            zw_uncall(w, i, prng_below(r, 2) ? ZK_STANDING_LOST : ZK_STANDING_NOT);
    } else if (dice < 555) {
        w->s.m[i].paused = !w->s.m[i].paused;
    } else if (dice < 560) {
        share_kill(&w->s, i);
    } else if (dice < 600) {
        if (!w->s.m[i].alive)
            zw_up(w, i);
    } else if (dice == 999 && prng_below(r, 4) == 0) {
        share_power_loss(&w->s);
    } else {
        zw_run(w, (int64_t)prng_below(r, 8));
    }
}

static void test_storms(void)
{
    struct zw *w = &zw_one;
    const char *from = getenv("ZW_SEED"), *n = getenv("ZW_SEEDS");
    uint64_t first = from ? strtoull(from, NULL, 0) : 1;
    uint64_t seeds = n ? strtoull(n, NULL, 0) : from ? 1 : 100;
    uint64_t acked = 0, unknown = 0, reads = 0, late = 0, leads = 0;
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        zw_init(w, seed);
        w->twice_ppm = seed % 4 == 0 ? 50000 : 0;
        w->s.slow_ppm = seed % 2 ? 20000 : 0;
        w->s.slow_ns = 100 * ZW_MS;
        w->s.disk.faults_ppm = seed % 3 == 0 ? 20000 : 0;
        for (uint32_t i = 0; i < ZW_MEMBERS; i++)
            zw_up(w, i);
        for (int k = 0; k < 3000 && !w->bad; k++)
            zw_storm(w);
        if (!w->bad)
            zw_heal(w, (uint32_t)(seed % ZW_MEMBERS));
        acked += w->n_acked;
        unknown += w->n_unknown;
        reads += w->n_reads;
        late += w->n_reads_failed;
        leads += w->n_leads;
        zw_drop(w);
        if (w->bad) {
            fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
            break;
        }
    }
    fprintf(stderr, "%llu acked, %llu unknown, %llu reads, %llu not, %llu leaderships\n",
            (unsigned long long)acked, (unsigned long long)unknown, (unsigned long long)reads,
            (unsigned long long)late, (unsigned long long)leads);
    CU_ASSERT(!w->bad);
}

/* Two are called at the same time and given the same number. */
static void test_two_of_one_number(void)
{
    struct zw *w = &zw_one;
    uint32_t leads = 0;
    for (uint64_t seed = 1; seed <= 150 && !w->bad; seed++) {
        zw_init(w, seed);
        w->twice_ppm = 1000000;
        w->s.slow_ppm = 50000;
        w->s.slow_ns = 20 * ZW_MS;
        for (uint32_t i = 0; i < ZW_MEMBERS; i++)
            zw_up(w, i);
        zw_run(w, 100);
        for (int turn = 0; turn < 6 && !w->bad; turn++) {
            zw_call(w, 0);
            zw_call(w, 1);
            for (int k = 0; k < 60 && !w->bad; k++) {
                for (uint32_t i = 0; i < 2; i++)
                    if (w->m[i].role == JOURNAL_LEADER)
                        zw_submit(w, i, 50);
                zw_run(w, (int64_t)prng_below(&w->s.rng, 4));
            }
        }
        zw_heal(w, 2);
        leads += w->n_leads;
        zw_drop(w);
    }
    CU_ASSERT(!w->bad && leads > 300);
}

/* Each member sees the others' new files late, whichever of them it looks for: a segment that is
 * not seen is not taken for the end of a log. */
static void test_names_are_seen_late(void)
{
    struct zw *w = &zw_one;
    uint32_t leads = 0, acked = 0;
    uint64_t hidden = 0;
    for (uint64_t seed = 1; seed <= 60 && !w->bad; seed++) {
        zw_init(w, seed);
        w->s.late_names_ns = 400 * ZW_MS;
        w->s.slow_ppm = 5000;
        w->s.slow_ns = 20 * ZW_MS;
        for (uint32_t i = 0; i < ZW_MEMBERS; i++)
            zw_up(w, i);
        zw_run(w, 100);
        for (uint32_t turn = 0; turn < 8 && !w->bad; turn++) {
            uint32_t i = turn % ZW_MEMBERS;
            for (int k = 0; k < 30 && w->m[i].role != JOURNAL_LEADER; k++) {
                zw_call(w, i);
                zw_run(w, 100);
            }
            for (int k = 0; k < 60 && !w->bad; k++) { /* until just after a segment has begun */
                zw_submit(w, i, 3000);
                zw_run(w, 2);
                if (k % 20 == 0)
                    zw_read(w, (uint32_t)prng_below(&w->s.rng, ZW_MEMBERS));
            }
            share_kill(&w->s, i);
            zw_up(w, i);
        }
        zw_heal(w, (uint32_t)(seed % ZW_MEMBERS));
        leads += w->n_leads;
        acked += w->n_acked;
        hidden += w->s.n_hidden;
        if (w->bad)
            fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        zw_drop(w);
    }
    CU_ASSERT(!w->bad && leads > 400 && acked > 20000 && hidden > 1000);
    fprintf(stderr, "%u leads, %u acked, %llu hidden ", leads, acked, (unsigned long long)hidden);
}

static bool zw_is_served(const struct zw *w, uint64_t epoch)
{
    uint64_t at = LOG_BLOCK * (1 + ZW_SLOTS + epoch);
    for (uint32_t k = 0; k < w->s.disk.n_names; k++)
        if (!strcmp(w->s.disk.names[k].name, "d/fence"))
            return w->s.disk.inodes[w->s.disk.names[k].now].now[at];
    return false;
}

/* files of logs of epochs above that one that did not serve */
static uint32_t zw_orphans(const struct zw *w, uint64_t above)
{
    uint64_t epoch;
    uint32_t n = 0;
    char leaf[LOG_NAME_MAX];
    for (uint32_t k = 0; k < w->s.disk.n_names; k++) {
        const char *name = w->s.disk.names[k].name;
        if (w->s.disk.names[k].now < 0 || strncmp(name, "d/log-", 6))
            continue;
        fmt_into(leaf, sizeof leaf, "%.20s", name + 2);
        n += log_format_name_parse(leaf, "log-", &epoch) && epoch < ZW_SLOTS && epoch > above &&
             !zw_is_served(w, epoch);
    }
    return n;
}

/* Those who are called and killed before they lead leave logs behind, which the next leader
 * removes, though there is no image; and the log that it stands on stays. */
static void test_orphans_go(void)
{
    struct zw *w = &zw_one;
    uint32_t orphans = 0, left = 0;
    for (uint64_t seed = 1; seed <= 20 && !w->bad; seed++) {
        zw_init(w, seed);
        w->cfg.image_after_bytes = 1 << 30;
        for (uint32_t i = 0; i < ZW_MEMBERS; i++)
            zw_up(w, i);
        zw_heal(w, 0);
        for (int k = 0; k < 8; k++) {
            zw_run(w, 300);
            zw_call(w, 1);
            uint32_t n = zw_orphans(w, 0);
            for (int i = 0; i < 5000 && zw_orphans(w, 0) == n; i++)
                share_step(&w->s);
            for (uint64_t i = prng_below(&w->s.rng, 40); i; i--)
                share_step(&w->s);
            if (w->m[1].role == JOURNAL_LEADER || zw_is_served(w, w->number))
                zw_run(w, 10000); /* what was left before goes */
            share_kill(&w->s, 1);
            zw_up(w, 1);
        }
        orphans += zw_orphans(w, 0);
        zw_heal(w, 2);
        zw_run(w, 11000);
        uint64_t prev = w->m[2].epoch - 1; /* what is below waits for images */
        while (prev && !zw_is_served(w, prev))
            prev--;
        CU_ASSERT_EQUAL(zw_orphans(w, prev), 0);
        left += zw_orphans(w, 0);
        share_power_loss(&w->s); /* and all is still to be read */
        for (uint32_t i = 0; i < ZW_MEMBERS; i++)
            zw_up(w, i);
        zw_heal(w, 1);
        zw_drop(w);
    }
    CU_ASSERT(!w->bad && orphans > 200 && left < orphans / 10);
}

/* what a member says */
static struct journal_status zw_status(struct zw *w, uint32_t i)
{
    struct journal_status st;
    journal_status(w->m[i].j, &st);
    return st;
}

static void zw_lead(struct zw *w, uint32_t i, int64_t ms)
{
    for (; ms > 0 && w->m[i].role != JOURNAL_LEADER; ms -= 100) {
        zw_call(w, i);
        zw_run(w, 100);
    }
}

/* was it full meanwhile? */
static bool zw_submits(struct zw *w, uint32_t i, uint32_t n)
{
    bool is_full = false;
    for (uint32_t k = 0; k < n && !w->bad; k++) {
        zw_submit(w, i, 3000);
        zw_run(w, 2);
        is_full |= zw_status(w, i).full;
    }
    return is_full;
}

/* The shared disk is full: submits end, reads go on, another one can take over by its reserve; then
 * nobody can, and no more than a few epochs are used up; with room all goes on. */
static void test_a_full_disk(void)
{
    struct zw *w = &zw_one;
    uint32_t n_full = 0;
    for (uint64_t seed = 1; seed <= 12 && !w->bad; seed++) {
        zw_init(w, seed);
        for (uint32_t i = 0; i < ZW_MEMBERS; i++)
            zw_up(w, i);
        zw_lead(w, 0, 3000);
        zw_submits(w, 0, 100);
        zw_run(w, 1000);
        w->s.disk.capacity = fake_used(&w->s.disk);
        bool is_full = zw_submits(w, 0, 150);
        uint32_t acked = w->n_acked, reads = w->n_reads;
        CU_ASSERT(w->n_unknown > 30 && is_full); /* an image may have made room since */
        CU_ASSERT_EQUAL(w->m[0].role, JOURNAL_LEADER);
        zw_read(w, 0); /* a standby may wait for what the leader has no room to say */
        zw_run(w, 500);
        CU_ASSERT_EQUAL(w->n_reads, reads + 1);
        w->s.disk.capacity += 2 << 20;
        zw_run(w, 2000);
        zw_submits(w, 0, 100);
        CU_ASSERT(w->n_acked >= acked + 90 && !zw_status(w, 0).full);
        zw_run(w, 12000); /* reserves */
        w->s.disk.capacity = fake_used(&w->s.disk);
        share_kill(&w->s, 0);
        zw_lead(w, 1, 8000);
        CU_ASSERT_EQUAL(w->m[1].role, JOURNAL_LEADER);
        n_full += zw_status(w, 1).full; /* unless something was removed meanwhile */
        zw_submits(w, 1, 50);           /* what the reserve has room for */
        w->s.disk.capacity = fake_used(&w->s.disk) - (192 << 10);
        share_kill(&w->s, 1);
        uint64_t epoch = w->number;
        zw_lead(w, 2, 30000);
        CU_ASSERT(w->m[2].role == JOURNAL_STANDBY && zw_status(w, 2).full);
        CU_ASSERT(w->number <= epoch + 8);
        zw_stop(w, 2);
        zw_up(w, 2);
        w->s.disk.capacity += 4 << 20;
        zw_heal(w, 2);
        zw_run(w, 15000);
        CU_ASSERT(!zw_status(w, 2).full);
        if (w->bad)
            fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        zw_drop(w);
    }
    CU_ASSERT(n_full >= 6);
    CU_ASSERT(!w->bad);
}

UNIT_MAIN("zk_drive", UNIT(test_a_full_disk), UNIT(test_orphans_go), UNIT(test_names_are_seen_late),
          UNIT(test_one_leads_and_all_follow), UNIT(test_the_next_leader_has_all),
          UNIT(test_two_of_one_number), UNIT(test_storms))
