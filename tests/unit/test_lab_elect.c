/* tests/unit/test_lab_elect.c - trials of elections: what can be told beforehand comes out, each
 * trial is a function of its number, and keys mean what they say. */
#include "sim/lab_elect.h"
#include "tests/unit/unit.h"

#define MS 1000000LL

static struct mem mem;

/* keys as assignments, ended by NULL */
static struct lab_elect *trials(uint64_t seed, const char *const *set)
{
    int64_t key[LAB_ELECT_KEYS];
    lab_elect_defaults(key);
    for (; *set; set++) {
        const char *why = lab_elect_set(key, *set);
        if (why)
            fprintf(stderr, "%s: %s\n", *set, why);
        CU_ASSERT_FATAL(!why);
    }
    CU_ASSERT_FATAL(!lab_elect_settle(key));
    return lab_elect_open(&mem, key, seed);
}

#define TRIALS(seed, ...) trials(seed, (const char *const[]){__VA_ARGS__, NULL})

static bool same(const struct lab_elect_trial *a, const struct lab_elect_trial *b)
{
    return a->ns == b->ns && a->won_ns == b->won_ns && a->terms == b->terms &&
           a->leaders == b->leaders && a->disturbed == b->disturbed && a->away_ns == b->away_ns &&
           a->messages == b->messages && a->writes == b->writes;
}

/* The same in any order, and with the same hash in the same one; another seed is another one. */
static void test_elect_is_a_function_of_its_number(void)
{
    enum { N = 20 };
    static struct lab_elect_trial t[3][N];
    uint64_t hash[3][2];
    unit_mem(&mem, 64 << 20);
    for (int r = 0; r < 3; r++) {
        struct lab_elect *e = TRIALS(r == 2 ? 8 : 7, "begin=crash", "latency_max=20ms",
                                     "write_max=10ms", "loss_ppm=50000", "drift_ppm=1000");
        for (int i = 0; i < N; i++)
            lab_elect_run(e, (uint64_t)i, &t[r][i]);
        lab_elect_hash(e, hash[r]);
        CU_ASSERT(lab_elect_events(e) > 20 * N);
        for (int i = N - 1; i >= 0; i--) {
            struct lab_elect_trial again;
            lab_elect_run(e, (uint64_t)i, &again);
            CU_ASSERT(same(&again, &t[r][i]));
        }
        lab_elect_close(e);
    }
    CU_ASSERT(!memcmp(hash[0], hash[1], sizeof hash[0]));
    CU_ASSERT(memcmp(hash[0], hash[2], sizeof hash[0]) != 0);
    bool is_other = false;
    for (int i = 0; i < N; i++) {
        CU_ASSERT(same(&t[0][i], &t[1][i]));
        is_other |= !same(&t[0][i], &t[2][i]);
    }
    CU_ASSERT(is_other);
    mem_drop(&mem);
}

/* With one latency L and one time W to write: who stands writes his own vote while the others are
 * asked, who votes writes first; the last one hears of it one L later. */
static void test_elect_adds_up(void)
{
    unit_mem(&mem, 64 << 20);
    struct lab_elect *e = TRIALS(1, "suspect_min=1s", "suspect_max=9s", "latency_min=2ms",
                                 "latency_max=2ms", "write_min=3ms", "write_max=3ms");
    unsigned plain = 0;
    for (uint64_t i = 0; i < 200; i++) {
        struct lab_elect_trial t;
        lab_elect_run(e, i, &t);
        CU_ASSERT_FATAL(t.ns > 0 && t.leaders >= 1 && t.terms >= 1);
        CU_ASSERT(t.won_ns >= 1000 * MS + 2 * 2 * MS + 3 * MS);
        CU_ASSERT(t.won_ns < 9100 * MS || t.terms > 1);
        if (t.terms > 1 || t.leaders > 1)
            continue;
        plain++;
        CU_ASSERT_EQUAL(t.ns - t.won_ns, 2 * MS);
        /* four requests, four votes, four first heartbeats; a vote is written by each */
        CU_ASSERT(t.messages >= 12 && t.writes >= 5);
    }
    CU_ASSERT(plain > 150); /* eight seconds are room enough for five */
    lab_elect_close(e);
    mem_drop(&mem);
}

static int64_t median_ns(struct lab_elect *e, unsigned n, uint32_t *ret_terms)
{
    int64_t at[201];
    *ret_terms = 0;
    for (unsigned i = 0; i < n; i++) {
        struct lab_elect_trial t;
        lab_elect_run(e, i, &t);
        *ret_terms += t.terms;
        int64_t ns = t.ns < 0 ? INT64_MAX : t.ns;
        unsigned k = i;
        for (; k && at[k - 1] > ns; k--)
            at[k] = at[k - 1];
        at[k] = ns;
    }
    lab_elect_close(e);
    return at[n / 2];
}

/* A dead leader is missed after suspect_min less what it was heard of since, at the earliest;
 * without randomness votes split again and again. */
static void test_elect_after_a_crash(void)
{
    uint32_t terms_wide, terms_none;
    unit_mem(&mem, 64 << 20);
    int64_t wide =
        median_ns(TRIALS(3, "begin=crash", "latency_min=1ms", "latency_max=2ms"), 101, &terms_wide);
    int64_t none = median_ns(
        TRIALS(3, "begin=crash", "latency_min=1ms", "latency_max=2ms", "suspect_max=151ms"), 101,
        &terms_none);
    CU_ASSERT(wide >= (150 - 75) * MS && wide < 320 * MS);
    CU_ASSERT(none > wide && none < INT64_MAX);
    CU_ASSERT(terms_wide >= 101 && terms_wide < 130 && terms_none > 2 * terms_wide);
    /* and half as long timers find it out in half the time */
    uint32_t terms;
    int64_t half = median_ns(TRIALS(3, "begin=crash", "latency_min=1ms", "latency_max=2ms",
                                    "suspect_min=75ms", "suspect_max=150ms"),
                             101, &terms);
    CU_ASSERT(half > wide * 2 / 5 && half < wide * 3 / 5);
    mem_drop(&mem);
}

/* Who is left alone leads for ever; without heartbeats that arrive nobody does. */
static void test_elect_calm(void)
{
    struct lab_elect_trial t;
    unit_mem(&mem, 64 << 20);
    struct lab_elect *e = TRIALS(5, "begin=calm", "limit=60s", "latency_max=10ms");
    for (uint64_t i = 0; i < 5; i++) {
        lab_elect_run(e, i, &t);
        CU_ASSERT(t.ns == 60000 * MS && !t.disturbed && !t.leaders && !t.away_ns && t.messages);
    }
    lab_elect_close(e);
    uint32_t disturbed[2] = {0, 0};
    for (int k = 0; k < 2;
         k++) { /* a lost heartbeat ends a leader, unless who misses it asks first */
        e = TRIALS(5, "begin=calm", "limit=60s", "latency_max=10ms", "loss_ppm=200000",
                   k ? "pre_vote=yes" : "pre_vote=no", k ? "promise=150ms" : "promise=0");
        for (uint64_t i = 0; i < 5; i++) {
            lab_elect_run(e, i, &t);
            disturbed[k] += t.disturbed;
            CU_ASSERT(t.away_ns >= 0 && t.away_ns <= 60000 * MS);
        }
        lab_elect_close(e);
    }
    CU_ASSERT(disturbed[0] > 5 && disturbed[1] < disturbed[0] / 2);
    e = TRIALS(5, "limit=5s", "loss_ppm=900000"); /* and it is given up */
    unsigned lost = 0;
    for (uint64_t i = 0; i < 20; i++) {
        lab_elect_run(e, i, &t);
        lost += t.ns < 0;
    }
    CU_ASSERT(lost > 10);
    lab_elect_close(e);
    mem_drop(&mem);
}

/* The dead are not asked for; nobody is elected whose log lacks what a majority has. */
static void test_elect_by_those_who_are_left(void)
{
    struct lab_elect_trial t;
    unit_mem(&mem, 64 << 20);
    struct lab_elect *e = TRIALS(2, "members=5", "failed=2", "latency_max=1ms");
    for (uint64_t i = 0; i < 50; i++) {
        lab_elect_run(e, i, &t);
        CU_ASSERT(t.ns > 0 && t.won_ns > 0 && t.won_ns <= t.ns);
    }
    lab_elect_close(e);
    uint32_t terms[2];
    for (int k = 0; k < 2; k++) /* logs=half: two of those who stand cannot win */
        median_ns(TRIALS(2, "begin=crash", "latency_max=1ms", k ? "logs=half" : "logs=same"), 201,
                  &terms[k]);
    CU_ASSERT(terms[1] > terms[0] + 20);
    /* who leads dies later than it should, rather than before it may append anything */
    e = TRIALS(2, "begin=crash", "logs=half", "heartbeat=10ms", "write_min=60ms", "write_max=60ms",
               "warm=1");
    for (uint64_t i = 0; i < 20; i++) {
        lab_elect_run(e, i, &t);
        CU_ASSERT(t.ns > 0);
    }
    lab_elect_close(e);
    mem_drop(&mem);
}

/* Does who voted wait for the winner from when its vote is on its disk?  With disks slower than its
 * patience it stands itself before the winner can be heard, otherwise. */
static void test_elect_granted_timer(void)
{
    uint32_t leaders[2] = {0, 0}, terms[2] = {0, 0};
    unit_mem(&mem, 64 << 20);
    for (int k = 0; k < 2; k++) {
        struct lab_elect *e =
            TRIALS(1, "members=3", "failed=1", "suspect_max=1s", "asked_rounds=yes",
                   "latency_min=20ms", "latency_max=20ms", "write_min=500ms", "write_max=500ms",
                   k ? "granted_timer=stored" : "granted_timer=granted");
        for (uint64_t i = 0; i < 50; i++) {
            struct lab_elect_trial t;
            lab_elect_run(e, i, &t);
            CU_ASSERT(t.ns > 0);
            leaders[k] += t.leaders;
            terms[k] += t.terms;
        }
        lab_elect_close(e);
    }
    CU_ASSERT(leaders[0] > 50 && leaders[1] == 50);
    CU_ASSERT(terms[1] < terms[0] - terms[0] / 10);
    mem_drop(&mem);
}

/* With heard_timer=stored who wrote what came last waits for the dead leader from then on.  That is
 * everybody with last_entry=all; or else those who cannot win stand before those who can. */
static void test_elect_heard_timer(void)
{
    enum { N = 300, W = 60 };
    int64_t least[2][2], firsts[2][2];
    unit_mem(&mem, 64 << 20);
    for (int s = 0; s < 2; s++)
        for (int a = 0; a < 2; a++) {
            struct lab_elect *e =
                TRIALS(1, "begin=crash", "logs=half", "heartbeat=10ms", "warm=30",
                       "suspect_min=400ms", "suspect_max=1s", "write_min=60ms", "write_max=60ms",
                       s ? "heard_timer=stored" : "heard_timer=heard",
                       a ? "last_entry=all" : "last_entry=half");
            least[s][a] = INT64_MAX;
            firsts[s][a] = 0;
            for (uint64_t i = 0; i < N; i++) {
                struct lab_elect_trial t;
                lab_elect_run(e, i, &t);
                CU_ASSERT(t.ns > 0);
                least[s][a] = t.won_ns < least[s][a] ? t.won_ns : least[s][a];
                firsts[s][a] += t.terms == 1;
            }
            lab_elect_close(e);
            /* since its last heartbeat, of which it died up to 10 ms after; two votes are written
             */
            int64_t from_ns = (400 - 10 + 2 * W + (s ? W : 0)) * MS;
            CU_ASSERT(least[s][a] >= from_ns && least[s][a] < from_ns + W / 2 * MS);
        }
    CU_ASSERT(firsts[1][1] > firsts[1][0] + N / 10);
    CU_ASSERT(firsts[0][1] < firsts[0][0] + N / 20 && firsts[0][1] > firsts[0][0] - N / 20);
    mem_drop(&mem);
}

static void test_elect_keys(void)
{
    static const struct {
        const char *set, *why; /* NULL: taken */
    } cases[] = {
        {"members=3", NULL},
        {"members=2", "bad value"},
        {"members=16", "bad value"},
        {"members=three", "bad value"},
        {"members", "KEY=VALUE"},
        {"member=3", "no key"},
        {"=3", "no key"},
        {"logs=half", NULL},
        {"logs=1", "bad value"},
        {"pre_vote=yes", NULL},
        {"pre_vote=1", "bad value"},
        {"granted_timer=stored", NULL},
        {"granted_timer=heard", "bad value"},
        {"heard_timer=heard", NULL},
        {"last_entry=some", "bad value"},
        {"suspect_min=0.1ms", NULL},
        {"suspect_min=2h", "bad value"},
        {"suspect_min=-1ms", "bad value"},
        {"suspect_min=1.5", NULL},
        {"loss_ppm=1.5", "bad value"},
        {"loss_ppm=900001", "bad value"},
    };
    int64_t key[LAB_ELECT_KEYS];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        lab_elect_defaults(key);
        const char *why = lab_elect_set(key, cases[i].set);
        bool ok = cases[i].why ? why && strstr(why, cases[i].why) : !why;
        if (!ok)
            fprintf(stderr, "%s: %s\n", cases[i].set, why ? why : "taken");
        CU_ASSERT(ok);
    }
    lab_elect_defaults(key);
    CU_ASSERT(!lab_elect_set(key, "write_min=2.2ms") && key[LAB_ELECT_WRITE_MIN] == 2200000);
    CU_ASSERT(!lab_elect_set(key, "rto=150us") && key[LAB_ELECT_RTO] == 150000);
    CU_ASSERT_PTR_NOT_NULL(lab_elect_settle(key)); /* write_min is above write_max */
    lab_elect_defaults(key);
    CU_ASSERT_PTR_NULL(lab_elect_settle(key));
    CU_ASSERT(key[LAB_ELECT_HEARTBEAT] == 75 * MS && key[LAB_ELECT_ROUND_MAX] == 300 * MS);
    CU_ASSERT(!lab_elect_set(key, "failed=2") && !lab_elect_settle(key));
    CU_ASSERT(!lab_elect_set(key, "begin=crash"));
    CU_ASSERT_PTR_NOT_NULL(strstr(lab_elect_settle(key), "too many fail"));
    lab_elect_defaults(key);
    CU_ASSERT(!lab_elect_set(key, "far=6"));
    CU_ASSERT_PTR_NOT_NULL(strstr(lab_elect_settle(key), "far away"));
}

UNIT_MAIN("lab_elect", UNIT(test_elect_is_a_function_of_its_number), UNIT(test_elect_adds_up),
          UNIT(test_elect_after_a_crash), UNIT(test_elect_calm),
          UNIT(test_elect_by_those_who_are_left), UNIT(test_elect_granted_timer),
          UNIT(test_elect_heard_timer), UNIT(test_elect_keys))
