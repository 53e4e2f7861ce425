/* sim/tarn_sim_decided.c - tarn-sim run ... --branch auto --vary N: from which event on was the
 * failure decided?
 *
 * A first run, in a process of its own, says how it ends and which steps it took.  Those between
 * its beginning and the failure are halved: what stands for "decided" is that more than half of N
 * continuations with other chances fail in the same way.
 *
 *  1. This process's world stands behind the last step that is known to be before; it only goes on.
 *  2. The k-th continuation has the same other chances wherever it begins, so one that fails from
 * one step on mostly does from the next one, too. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "sim/lab_json.h"
#include "sim/lab_stats.h"
#include "sim/tarn_sim_child.h"

enum { DECIDED_STEPS = 1 << 24, DECIDED_PROBES = 64, DECIDED_EVENTS = 12 };

struct decided_step {
    int64_t at_ns;
    uint64_t step;  /* as sim_events counts them */
    uint64_t event; /* the number of its last one in --trace, from 1: --stop-at-event */
};

/* written by one process at a time, and read by their parent */
struct decided_seen {
    struct sim *sim;
    uint64_t events, n;
    struct decided_step at[DECIDED_STEPS];
    uint32_t n_last;
    struct sim_trace last[DECIDED_EVENTS];
};

struct decided_probe {
    int64_t at_ns;
    uint64_t failed, alike, unknown;
};

struct decided {
    struct child_world w;
    struct child_end calm; /* the unvaried run */
    struct decided_seen *seen;
    uint64_t n;
    struct decided_probe probe[DECIDED_PROBES], before, after;
    uint32_t n_probes;
};

static void on_step(void *ctx, const struct sim_trace *t)
{
    struct decided_seen *x = ctx;
    uint64_t step = sim_events(x->sim);
    x->events++;
    if (x->n && x->at[x->n - 1].step == step)
        x->at[x->n - 1].event = x->events;
    else if (x->n < DECIDED_STEPS)
        x->at[x->n++] = (struct decided_step){t->at_ns, step, x->events};
}

static void on_last(void *ctx, const struct sim_trace *t)
{
    struct decided_seen *x = ctx;
    if (x->n_last < DECIDED_EVENTS)
        x->last[x->n_last++] = *t;
}

__attribute__((noreturn)) static void on_panic(const char *file, int line, const char *what)
{
    (void)file;
    (void)line;
    (void)what;
    _exit(EXIT_PANIC);
}

/* ---- from one step on ---- */

static void go_to(struct decided *d, uint64_t step)
{
    while (sim_events(d->w.sim) < step && sim_step(d->w.sim)) {
    }
}

__attribute__((noreturn)) static void probe_in_child(struct decided *d, int fd,
                                                     const struct decided_step *at)
{
    struct decided_probe p = {.at_ns = at->at_ns};
    struct child_end e;
    go_to(d, at->step);
    for (uint64_t i = 1; i <= d->n; i++) {
        bool told = tarn_sim_child_vary(&d->w, i, &d->calm, &e);
        p.unknown += !told;
        p.failed += told && e.status;
        p.alike += told && e.status && tarn_sim_child_alike(&e, &d->calm);
    }
    _exit(write(fd, &p, sizeof p) == sizeof p ? 0 : EXIT_BROKEN);
}

/* false: there are no processes */
static bool probe(struct decided *d, const struct decided_step *at, struct decided_probe *ret_p)
{
    int fd;
    pid_t pid = tarn_sim_child_fork(&fd);
    if (pid < 0)
        return false;
    if (pid == 0)
        probe_in_child(d, fd, at);
    bool ok = tarn_sim_child_get(fd, ret_p, sizeof *ret_p);
    close(fd);
    waitpid(pid, NULL, 0);
    if (ok && d->n_probes < DECIDED_PROBES)
        d->probe[d->n_probes++] = *ret_p;
    return ok;
}

static bool is_decided(const struct decided *d, const struct decided_probe *p)
{
    return 2 * p->alike > d->n;
}

/* what happens from where the world stands up to that step's end */
static void look(struct decided *d, const struct decided_step *at)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        base_panic_hook = on_panic;
        sim_trace_hook(d->w.sim, on_last, d->seen);
        go_to(d, at->step);
        _exit(0);
    }
    if (pid > 0)
        waitpid(pid, NULL, 0);
}

/* ret: the place, from 1, of the first step from whose end on it is decided; 0: it is from the
 * beginning; -1: there are no processes */
static int64_t halve(struct decided *d)
{
    static const struct decided_step beginning;
    const struct decided_step *at = d->seen->at - 1; /* places from 1 */
    int64_t lo = 0, hi = (int64_t)d->seen->n;
    while (hi > 1 && at[hi].at_ns > d->calm.at_ns)
        hi--;
    if (!probe(d, &beginning, &d->before))
        return -1;
    d->after = d->before;
    if (is_decided(d, &d->before))
        return 0;
    d->after = (struct decided_probe){d->calm.at_ns, d->n, d->n, 0}; /* it has failed by then */
    while (hi - lo > 1) {
        int64_t mid = lo + (hi - lo) / 2;
        struct decided_probe p;
        if (isatty(2))
            fprintf(stderr, "\rbetween %.6f and %.6f s ", lo ? (double)at[lo].at_ns / 1e9 : 0,
                    (double)at[hi].at_ns / 1e9);
        if (!probe(d, &at[mid], &p))
            return -1;
        if (is_decided(d, &p)) {
            hi = mid;
            d->after = p;
        } else {
            lo = mid;
            d->before = p;
            go_to(d, at[mid].step);
        }
    }
    if (isatty(2))
        fprintf(stderr, "\n");
    look(d, &at[hi]);
    return hi;
}

/* ---- what is said ---- */

static int by_time(const void *a, const void *b)
{
    const struct decided_probe *x = a, *y = b;
    return (x->at_ns > y->at_ns) - (x->at_ns < y->at_ns);
}

static void print_share(const struct decided *d, const struct decided_probe *p)
{
    double lo, hi;
    lab_stats_wilson(p->alike, d->n, &lo, &hi);
    printf("%llu of %llu (95 %%: %.0f..%.0f %%)", (unsigned long long)p->alike,
           (unsigned long long)d->n, 100 * lo, 100 * hi);
}

static const char *node_of(const struct decided *d, const struct sim_trace *t)
{
    return t->node == UINT32_MAX ? "-" : sim_node_name(sim_node_at(d->w.sim, t->node));
}

/* the number of the first event that is shown */
static uint64_t first_event(const struct decided *d, int64_t at)
{
    return at > 1 ? d->seen->at[at - 2].event + 1 : 1;
}

static void print_text(const struct decided *d, int64_t at)
{
    printf("unvaried: %s at %.6f s: %s\n\n  %14s  %8s  %15s\n", d->calm.checker,
           (double)d->calm.at_ns / 1e9, d->calm.what, "from", "fail", "in the same way");
    for (uint32_t i = 0; i < d->n_probes; i++)
        printf("  %12.6f s  %8llu  %15llu%s\n", (double)d->probe[i].at_ns / 1e9,
               (unsigned long long)d->probe[i].failed, (unsigned long long)d->probe[i].alike,
               d->probe[i].unknown ? "  (some did not say how they ended)" : "");
    if (!at) {
        printf("\nfrom the beginning on most other continuations fail in the same way: ");
        print_share(d, &d->after);
        printf("\n");
        return;
    }
    printf("\ndecided at %.9f s: from then on ", (double)d->seen->at[at - 1].at_ns / 1e9);
    if (d->after.at_ns == d->calm.at_ns)
        printf("it has failed");
    else
        print_share(d, &d->after);
    printf(", before it ");
    print_share(d, &d->before);
    printf(" fail in the same way; what happened then:\n");
    for (uint32_t i = 0; i < d->seen->n_last; i++) {
        const struct sim_trace *t = &d->seen->last[i];
        printf("  event %llu: %.9f %s %s %llx %llx\n", (unsigned long long)(first_event(d, at) + i),
               (double)t->at_ns / 1e9, node_of(d, t), sim_kind_name((enum sim_kind)t->kind),
               (unsigned long long)t->a, (unsigned long long)t->b);
    }
}

static void print_json(const struct decided *d, int64_t at)
{
    printf("{\"unvaried\": {\"status\": %d, \"checker\": \"%s\", \"at_ns\": %lld, \"what\": ",
           d->calm.status, d->calm.checker, (long long)d->calm.at_ns);
    lab_json_string(stdout, d->calm.what);
    printf("}, \"continuations\": %llu, \"probes\": [", (unsigned long long)d->n);
    for (uint32_t i = 0; i < d->n_probes; i++)
        printf("%s{\"at_ns\": %lld, \"failed\": %llu, \"alike\": %llu, \"unknown\": %llu}",
               i ? ", " : "", (long long)d->probe[i].at_ns, (unsigned long long)d->probe[i].failed,
               (unsigned long long)d->probe[i].alike, (unsigned long long)d->probe[i].unknown);
    printf("], \"decided_ns\": %lld, \"alike_before\": %llu, \"alike_after\": %llu, \"events\": [",
           at ? (long long)d->seen->at[at - 1].at_ns : 0, (unsigned long long)d->before.alike,
           (unsigned long long)d->after.alike);
    for (uint32_t i = 0; at && i < d->seen->n_last; i++) {
        const struct sim_trace *t = &d->seen->last[i];
        printf("%s{\"event\": %llu, \"node\": \"%s\", \"kind\": \"%s\", \"a\": \"%llx\", \"b\": "
               "\"%llx\"}",
               i ? ", " : "", (unsigned long long)(first_event(d, at) + i), node_of(d, t),
               sim_kind_name((enum sim_kind)t->kind), (unsigned long long)t->a,
               (unsigned long long)t->b);
    }
    printf("]}\n");
}

int tarn_sim_decided(const struct lab_scenario *s, uint64_t n, bool json)
{
    static struct decided d;
    struct mem m;
    d.n = n;
    d.seen = mmap(NULL, sizeof *d.seen, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!n || d.seen == MAP_FAILED)
        return n ? EXIT_BROKEN : tarn_sim_bad("--branch auto needs a --vary of 1 or more", "");
    tarn_sim_mem(&m);
    tarn_sim_child_open(&d.w, &m, s, NULL);
    d.seen->sim = d.w.sim;
    sim_trace_hook(d.w.sim, on_step, d.seen);
    bool told = tarn_sim_child_vary(&d.w, 0, NULL, &d.calm);
    sim_trace_hook(d.w.sim, NULL, NULL);
    if (told && !d.calm.status) {
        tarn_sim_say("all verdicts are ok: there is no failure that was decided\n");
        if (json)
            printf("{\"unvaried\": {\"status\": 0}}\n");
        return 0;
    }
    if (d.seen->n == DECIDED_STEPS)
        return tarn_sim_bad("the run is too long for --branch auto: --branch T;", "");
    int64_t at = told && d.seen->n ? halve(&d) : -1;
    if (at < 0) {
        tarn_sim_say("no processes, or a run without events\n");
        return EXIT_BROKEN;
    }
    qsort(d.probe, d.n_probes, sizeof d.probe[0], by_time);
    if (json)
        print_json(&d, at);
    else
        print_text(&d, at);
    return fflush(stdout) ? EXIT_BROKEN : d.calm.status;
}
