/* sim/lab_elect_keys.c - what can be said of a trial of an election. */
#include <string.h>
#include "sim/lab_elect.h"

#define ELECT_MS   1000000LL
#define ELECT_HOUR (3600 * 1000 * ELECT_MS)

static const char *const no_yes[] = {"no", "yes", NULL};
static const char *const logs[] = {"same", "half", "all", NULL};
static const char *const last_entries[] = {"half", "all", NULL};
static const char *const granted[] = {"granted", "stored", NULL};
static const char *const heard[] = {"heard", "stored", NULL};
static const char *const begins[] = {"timers", "crash", "calm", NULL};

#define TIME(k, ms, what)                                 \
    {                                                     \
        k, (ms)*ELECT_MS, 0, ELECT_HOUR, true, NULL, what \
    }
#define FLAG(k, on, what)                \
    {                                    \
        k, on, 0, 1, false, no_yes, what \
    }
#define COUNT(k, init, lo, hi, what)       \
    {                                      \
        k, init, lo, hi, false, NULL, what \
    }

const struct lab_elect_knob lab_elect_knobs[LAB_ELECT_KEYS] = {
    [LAB_ELECT_MEMBERS] = COUNT("members", 5, 3, 15, "voters"),
    [LAB_ELECT_FAILED] = COUNT("failed", 0, 0, 7, "dead from the beginning: the last ones"),
    [LAB_ELECT_LOGS] = {"logs", LAB_ELECT_LOGS_SAME, 0, 2, false, logs,
                        "same; half: a bare majority has the last entry (it dies with its leader); "
                        "all: with timers, each has another length"},
    [LAB_ELECT_LAST_ENTRY] = {"last_entry", LAB_ELECT_LAST_HALF, 0, 1, false, last_entries,
                              "with logs=half and a crash: who else than that majority has nothing "
                              "to write; all: the others have the entry before it to write"},
    [LAB_ELECT_BEGIN] = {"begin", LAB_ELECT_TIMERS, 0, 2, false, begins,
                         "timers: a fresh timer each, no leader; crash: the leader dies; calm: it "
                         "does not"},
    [LAB_ELECT_WARM] = COUNT("warm", 4, 1, 1000, "heartbeats of a leader before it dies"),
    [LAB_ELECT_SUSPECT_MIN] = TIME("suspect_min", 150, "election timeout, uniform, from here"),
    [LAB_ELECT_SUSPECT_MAX] = TIME("suspect_max", 300, "to here"),
    [LAB_ELECT_ROUND_MIN] = TIME("round_min", 0, "a candidate's; 0: both as suspect_*"),
    [LAB_ELECT_ROUND_MAX] = TIME("round_max", 0, "likewise"),
    [LAB_ELECT_HEARTBEAT] = TIME("heartbeat", 0, "0: half of suspect_min"),
    [LAB_ELECT_PROMISE] = TIME("promise", 0, "who heard a leader helps nobody else for so long"),
    [LAB_ELECT_PRE_VOTE] = FLAG("pre_vote", 0, "asks first whether it would be elected"),
    [LAB_ELECT_CHECK_QUORUM] = FLAG("check_quorum", 0, "a leader that no majority answers ends"),
    [LAB_ELECT_ASKED_ROUNDS] = FLAG(
        "asked_rounds", 0, "a round counts from when its votes are asked for, not from standing"),
    [LAB_ELECT_GRANTED_TIMER] = {"granted_timer", 0, 0, 1, false, granted,
                                 "who votes waits for the winner from when it decided so; stored: "
                                 "from when the vote is on its disk"},
    [LAB_ELECT_HEARD_TIMER] = {"heard_timer", 0, 0, 1, false, heard,
                               "who hears a leader waits for it from then on; stored: and again "
                               "from when what came is on its disk"},
    [LAB_ELECT_LONGER_ROUNDS] = FLAG("longer_rounds", 0, "from the third round in vain on longer"),
    [LAB_ELECT_LATENCY_MIN] = TIME("latency_min", 0, "one way, uniform, from here"),
    [LAB_ELECT_LATENCY_MAX] = TIME("latency_max", 0, "to here"),
    [LAB_ELECT_FAR] = COUNT("far", 0, 0, 15, "members far away: the last ones"),
    [LAB_ELECT_FAR_OUT] = TIME("far_out", 0, "what they say takes so much longer"),
    [LAB_ELECT_FAR_IN] = TIME("far_in", 0, "what they hear takes so much longer"),
    [LAB_ELECT_LOSS_PPM] = COUNT("loss_ppm", 0, 0, 900000, "of a million messages lost"),
    [LAB_ELECT_RTO] = TIME("rto", 0, "a lost one comes so much later, doubling; 0: never"),
    [LAB_ELECT_FIFO] = FLAG("fifo", 0, "links keep the order"),
    [LAB_ELECT_DRIFT_PPM] = COUNT("drift_ppm", 0, 0, 900000, "a clock is off by up to this"),
    [LAB_ELECT_WRITE_MIN] = TIME("write_min", 0, "a durable write, uniform, from here"),
    [LAB_ELECT_WRITE_MAX] = TIME("write_max", 0, "to here"),
    [LAB_ELECT_VOTE_WRITES] =
        COUNT("vote_writes", 1, 1, 2, "a vote for another takes as long as so many writes"),
    [LAB_ELECT_TERM_FIRST] =
        FLAG("term_first", 0, "a higher term is written before its message is looked at"),
    [LAB_ELECT_BUSY] = FLAG("busy", 0, "nothing is done while term and vote are written"),
    [LAB_ELECT_STABLE] = COUNT("stable", 0, 0, 1000,
                               "a leader counts after more than so many heartbeats; 0: when heard"),
    [LAB_ELECT_LIMIT] = TIME("limit", 600000, "a trial is given up after this"),
};

void lab_elect_defaults(int64_t key[LAB_ELECT_KEYS])
{
    for (uint32_t i = 0; i < LAB_ELECT_KEYS; i++)
        key[i] = lab_elect_knobs[i].init;
}

/* "12", "0.1ms", "2s", "150us"; exact to the nanosecond */
static bool elect_number(const char *s, bool is_time, int64_t *ret_v)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {{"", 1},
                 {"ns", 1},
                 {"us", 1000},
                 {"ms", ELECT_MS},
                 {"s", 1000 * ELECT_MS},
                 {"m", 60000 * ELECT_MS}};
    int64_t whole = 0, part = 0, scale = 1;
    const char *p = s;
    for (; *p >= '0' && *p <= '9' && whole < INT64_MAX / 20; p++)
        whole = whole * 10 + (*p - '0');
    if (p == s)
        return false;
    if (is_time && *p == '.')
        for (p++; *p >= '0' && *p <= '9' && scale < 1000000000; p++, scale *= 10)
            part = part * 10 + (*p - '0');
    for (size_t i = 0; i < (is_time ? ARRAY_LEN(units) : 1); i++) {
        if (strcmp(p, units[i].name) || whole > ELECT_HOUR / units[i].ns)
            continue;
        *ret_v = whole * units[i].ns + part * units[i].ns / scale;
        return true;
    }
    if (is_time || *p)
        return false;
    *ret_v = whole;
    return true;
}

const char *lab_elect_set(int64_t key[LAB_ELECT_KEYS], const char *assignment)
{
    const char *eq = strchr(assignment, '=');
    if (!eq)
        return "KEY=VALUE is wanted";
    for (uint32_t i = 0; i < LAB_ELECT_KEYS; i++) {
        const struct lab_elect_knob *k = &lab_elect_knobs[i];
        if (strlen(k->key) != (size_t)(eq - assignment) ||
            memcmp(k->key, assignment, strlen(k->key)))
            continue;
        for (uint32_t w = 0; k->words && k->words[w]; w++)
            if (!strcmp(eq + 1, k->words[w])) {
                key[i] = w;
                return NULL;
            }
        int64_t v;
        if (k->words || !elect_number(eq + 1, k->is_time, &v) || v < k->min || v > k->max)
            return "bad value of";
        key[i] = v;
        return NULL;
    }
    return "there is no key";
}

const char *lab_elect_settle(int64_t key[LAB_ELECT_KEYS])
{
    if (!key[LAB_ELECT_ROUND_MAX]) {
        key[LAB_ELECT_ROUND_MIN] = key[LAB_ELECT_SUSPECT_MIN];
        key[LAB_ELECT_ROUND_MAX] = key[LAB_ELECT_SUSPECT_MAX];
    }
    if (!key[LAB_ELECT_HEARTBEAT])
        key[LAB_ELECT_HEARTBEAT] = key[LAB_ELECT_SUSPECT_MIN] / 2;
    if (key[LAB_ELECT_SUSPECT_MIN] <= 0 || key[LAB_ELECT_ROUND_MIN] <= 0 ||
        key[LAB_ELECT_HEARTBEAT] <= 0)
        return "times that are 0";
    static const enum lab_elect_key low[] = {LAB_ELECT_SUSPECT_MIN, LAB_ELECT_ROUND_MIN,
                                             LAB_ELECT_LATENCY_MIN, LAB_ELECT_WRITE_MIN};
    for (size_t i = 0; i < ARRAY_LEN(low); i++)
        if (key[low[i]] > key[low[i] + 1])
            return "a *_min is above its *_max";
    int64_t dies = key[LAB_ELECT_BEGIN] == LAB_ELECT_CRASH;
    if (key[LAB_ELECT_FAILED] + dies > (key[LAB_ELECT_MEMBERS] - 1) / 2)
        return "too many fail for anybody to be elected";
    if (key[LAB_ELECT_FAR] > key[LAB_ELECT_MEMBERS])
        return "more are far away than there are";
    return NULL;
}
