/* sim/tarn_sim_branch.c - tarn-sim run ... --branch T --vary N: one run up to T, and from there N
 * continuations, each with other chances: was the failure inevitable by then?
 *
 * The world at T is copied by fork(), so it is the same to the last bit; what chance does from then
 * on (latencies, losses, what the load does next) comes from other streams.  The faults of the
 * scenario stay: they are the question, not the answer.  Number 0 goes on as it was. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "core/fmt.h"
#include "sim/lab_stats.h"
#include "sim/tarn_sim_child.h"

struct branch {
    const struct lab_scenario *s;
    int64_t at_ns;
    uint64_t n;
    struct child_end calm, end; /* of number 0, of the one under way */
    uint64_t failed, alike, unknown;
};

static void branch_print(const struct branch *b, bool json)
{
    double lo = 0, hi = 1;
    if (b->n)
        lab_stats_wilson(b->alike, b->n, &lo, &hi);
    if (json) {
        printf("{\"at_ns\": %lld, \"continuations\": %llu, \"failed\": %llu, \"alike\": %llu, "
               "\"unknown\": %llu, \"unvaried\": {\"status\": %d, \"checker\": \"%s\", \"at_ns\": "
               "%lld}, \"alike_low\": %.4f, \"alike_high\": %.4f}\n",
               (long long)b->at_ns, (unsigned long long)b->n, (unsigned long long)b->failed,
               (unsigned long long)b->alike, (unsigned long long)b->unknown, b->calm.status,
               b->calm.checker, (long long)b->calm.at_ns, lo, hi);
        return;
    }
    if (!b->calm.status)
        printf("unvaried: all verdicts are ok\n");
    else
        printf("unvaried: %s at %.6f s: %s\n", b->calm.checker, (double)b->calm.at_ns / 1e9,
               b->calm.what);
    printf("from %.6f s on, %llu other continuations: %llu fail, %llu of them in the same way "
           "(%.0f %%; 95 %%: %.0f..%.0f %%)\n",
           (double)b->at_ns / 1e9, (unsigned long long)b->n, (unsigned long long)b->failed,
           (unsigned long long)b->alike, b->n ? 100.0 * (double)b->alike / (double)b->n : 0,
           100 * lo, 100 * hi);
    if (b->unknown)
        printf("%llu did not say how they ended\n", (unsigned long long)b->unknown);
}

int tarn_sim_branch(const struct lab_scenario *s, int64_t at_ns, uint64_t n, bool json)
{
    struct branch b = {.s = s, .at_ns = at_ns, .n = n};
    struct child_world w;
    struct mem m;
    tarn_sim_mem(&m);
    tarn_sim_child_open(&w, &m, s, NULL);
    if (at_ns && tarn_sim_child_go(&w, at_ns)) {
        tarn_sim_say("the run is over at %.6f s, before --branch\n",
                     (double)sim_now_ns(w.sim) / 1e9);
        return EXIT_USAGE;
    }
    if (tarn_sim_child_judge(&w, &b.end) && !json)
        printf("it has failed by then already: %s at %.6f s\n", b.end.checker,
               (double)b.end.at_ns / 1e9);
    if (!tarn_sim_child_vary(&w, 0, NULL, &b.calm)) {
        tarn_sim_say("no processes\n");
        return EXIT_BROKEN;
    }
    for (uint64_t i = 1; i <= n; i++) {
        bool told = tarn_sim_child_vary(&w, i, NULL, &b.end);
        b.unknown += !told;
        b.failed += told && b.end.status;
        b.alike += told && b.end.status && tarn_sim_child_alike(&b.end, &b.calm);
        if (isatty(2))
            fprintf(stderr, "\r%llu of %llu, %llu failed ", (unsigned long long)i,
                    (unsigned long long)n, (unsigned long long)b.failed);
    }
    if (isatty(2))
        fprintf(stderr, "\n");
    branch_print(&b, json);
    return b.calm.status;
}
