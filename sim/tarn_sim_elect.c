/* sim/tarn_sim_elect.c - tarn-sim elections: a line of CSV for each trial of sim/lab_elect.h. */
#include <stdio.h>
#include <string.h>
#include "sim/lab_elect.h"
#include "sim/tarn_sim.h"

static const char usage[] =
    "tarn-sim elections [--set K=V]... [--trials N] [--seed S] - how long elections take\n"
    "\n"
    "  --set K=V    a key of the model, as often as needed (see --keys)\n"
    "  --trials N   default 1000\n"
    "  --seed S     default 1; the same keys, seed and number give the same trial\n"
    "  --keys       the keys, their defaults and what they are\n"
    "\n"
    "The Raft core of the journals on machines and links as papers describe them. Writes CSV: "
    "trial,\n"
    "time in ns since the crash or the start (-1: not within the limit), until somebody led, by "
    "how\n"
    "many terms, leaders since, terms disturbed, ns without a leader, messages, writes of a vote.\n"
    "The hash of all events goes to standard error. papers/run uses it (papers/README.md).\n";

static void print_keys(const int64_t *key)
{
    for (uint32_t i = 0; i < LAB_ELECT_KEYS; i++) {
        const struct lab_elect_knob *k = &lab_elect_knobs[i];
        char value[32];
        if (k->words)
            snprintf(value, sizeof value, "%s", k->words[key[i]]);
        else if (k->is_time)
            snprintf(value, sizeof value, "%gms", (double)key[i] / 1e6);
        else
            snprintf(value, sizeof value, "%lld", (long long)key[i]);
        printf("  %-14s %-10s %s\n", k->key, value, k->what);
    }
}

static void run(const int64_t *key, uint64_t seed, uint64_t trials)
{
    struct mem m;
    struct lab_elect_trial t;
    uint64_t hash[2];
    tarn_sim_mem(&m);
    struct lab_elect *e = lab_elect_open(&m, key, seed);
    printf("trial,ns,won_ns,terms,leaders,disturbed,away_ns,messages,writes\n");
    for (uint64_t i = 0; i < trials; i++) {
        lab_elect_run(e, i, &t);
        printf("%llu,%lld,%lld,%u,%u,%u,%lld,%llu,%llu\n", (unsigned long long)i, (long long)t.ns,
               (long long)t.won_ns, t.terms, t.leaders, t.disturbed, (long long)t.away_ns,
               (unsigned long long)t.messages, (unsigned long long)t.writes);
    }
    lab_elect_hash(e, hash);
    fprintf(stderr, "%llu events, hash %016llx%016llx\n", (unsigned long long)lab_elect_events(e),
            (unsigned long long)hash[0], (unsigned long long)hash[1]);
    lab_elect_close(e);
    mem_drop(&m);
}

int tarn_sim_elections(int argc, char **argv)
{
    int64_t key[LAB_ELECT_KEYS];
    uint64_t seed = 1, trials = 1000;
    bool only_keys = false;
    lab_elect_defaults(key);
    for (int i = 2; i < argc; i++) {
        const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL, *why = NULL;
        bool ok = true;
        if (!strcmp(a, "--help") || !strcmp(a, "-h")) {
            fputs(usage, stdout);
            return 0;
        }
        if (!strcmp(a, "--keys")) {
            only_keys = true;
            continue;
        }
        if (!strcmp(a, "--set"))
            ok = v && !(why = lab_elect_set(key, v));
        else if (!strcmp(a, "--trials"))
            ok = tarn_sim_number(v, &trials) && trials;
        else if (!strcmp(a, "--seed"))
            ok = tarn_sim_number(v, &seed);
        else
            return a[0] == '-' ? tarn_sim_unknown_option("elections", a)
                               : tarn_sim_bad("unexpected operand", a);
        if (!ok)
            return why ? tarn_sim_bad(why, v) : tarn_sim_bad_value(a, v);
        i++;
    }
    if (only_keys) {
        print_keys(key);
        return 0;
    }
    const char *why = lab_elect_settle(key);
    if (why)
        return tarn_sim_bad(why, "");
    run(key, seed, trials);
    return fflush(stdout) || ferror(stdout) ? EXIT_BROKEN : 0;
}
