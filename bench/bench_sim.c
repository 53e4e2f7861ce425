/* bench/bench_sim.c - how fast the simulator is: tarn-sim as a process, beside a bare queue.
 *
 * What is counted is processor time (user and system) of the process from its start to its end,
 * one process at a time.  An event is an entry of the world's queue that is carried out
 * (docs/simulator.md, "Speed and size").  The baseline does, for each event, what no simulation
 * can do without: an entry leaves a heap of SIM_QUEUE, another enters it, and SIM_BYTES are copied
 * from one place of 8 MiB to another.  All rows are measured in turn, round by round. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "bench/bench_proc.h"

enum { SIM_QUEUE = 1024, SIM_BYTES = 1024, SIM_ROOM = 8 << 20, SIM_ROUND = 1 << 20 };

struct sim_case {
    const char *word; /* of --only */
    const char *name, *unit;
    const char *scenario; /* JSON */
    const char *seeds;    /* as many in one process, from 1 on */
    bool is_asked;        /* measured only when --only names it */
};

/* the first is the one of docs/simulator.md; think times make the operations a second */
static const struct sim_case sim_cases[] = {
    {"files", "3 masters, 2 workers, 8 clients", "ev/s",
     "{\"duration\": \"24s\", \"masters\": 3, \"workers\": 2, \"clients\": 8,"
     " \"load\": {\"think\": \"20ms\", \"io_bytes\": 32768}}",
     "1"},
    {"failures", "the same, leader and worker die, a link is cut", "ev/s",
     "{\"duration\": \"24s\", \"masters\": 3, \"workers\": 2, \"clients\": 8,"
     " \"load\": {\"think\": \"20ms\", \"io_bytes\": 32768}, \"faults\": ["
     "{\"at\": \"5s\", \"do\": \"power_loss\", \"node\": \"leader\", \"for\": \"1s\"},"
     "{\"at\": \"10s\", \"do\": \"crash\", \"node\": \"w2\", \"for\": \"4s\"},"
     "{\"at\": \"16s\", \"do\": \"partition\", \"node\": \"c1\", \"to\": \"leader\", \"for\": "
     "\"2s\"}]}",
     "1"},
    {"journals", "journals alone: 3, 8 clients", "ev/s",
     "{\"duration\": \"60s\", \"masters\": 3, \"workers\": 0, \"clients\": 8,"
     " \"journal\": {\"only\": 1}, \"load\": {\"threads\": 4, \"think\": \"10ms\"}}",
     "1"},
    {"light", "5 masters, 20 operations/s", "x",
     "{\"duration\": \"300s\", \"masters\": 5, \"workers\": 2, \"clients\": 2,"
     " \"load\": {\"threads\": 1, \"think\": \"100ms\"}}",
     "1"},
    {"failover", "20 s of failover, seeds of one process", "/min",
     "{\"duration\": \"20s\", \"masters\": 3, \"workers\": 1, \"clients\": 2,"
     " \"load\": {\"threads\": 2, \"think\": \"100ms\", \"io_bytes\": 16384}, \"faults\": ["
     "{\"at\": \"5s\", \"do\": \"crash\", \"node\": \"leader\", \"for\": \"3s\"},"
     "{\"at\": \"10s\", \"do\": \"power_loss\", \"node\": \"leader\", \"for\": \"1s\"},"
     "{\"at\": \"14s\", \"do\": \"crash\", \"node\": \"w1\", \"for\": \"2s\"}]}",
     "20"},
    {"large", "1,000 workers, 1,000 clients: memory", "MiB",
     "{\"duration\": \"5s\", \"masters\": 3, \"workers\": 1000, \"clients\": 1000,"
     " \"load\": {\"threads\": 1, \"think\": \"500ms\", \"io_bytes\": 16384}}",
     "1", true},
};

enum { SIM_CASES = sizeof sim_cases / sizeof sim_cases[0] };

struct sim_world {
    struct bench *b;
    char dir[512], sim[600];
    uint8_t *room;
    volatile uint64_t sink;
};

struct sim_ran { /* of one process */
    double cpu_s, events, virtual_s, peak_bytes;
};

/* ---- the baseline ---- */

struct sim_entry {
    int64_t at;
    uint64_t seq, id;
};

static void sim_sink_down(struct sim_entry *h, uint32_t n, struct sim_entry x)
{
    uint32_t i = 0;
    for (uint32_t c; (c = 2 * i + 1) < n; i = c) {
        c += c + 1 < n && h[c + 1].at < h[c].at;
        if (h[c].at >= x.at)
            break;
        h[i] = h[c];
    }
    h[i] = x;
}

/* events a second of this process's processor time */
static double sim_bare(struct sim_world *w)
{
    static struct sim_entry heap[SIM_QUEUE];
    struct timespec from, to;
    uint64_t chance = 1;
    for (uint32_t i = 0; i < SIM_QUEUE; i++)
        heap[i] = (struct sim_entry){.at = i, .seq = i, .id = i};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    for (uint32_t i = 0; i < SIM_ROUND; i++) {
        struct sim_entry x = heap[0];
        chance = chance * 6364136223846793005ULL + 1442695040888963407ULL;
        x.at += (int64_t)(chance >> 44);
        x.seq = i;
        sim_sink_down(heap, SIM_QUEUE, x);
        uint64_t a = chance % (SIM_ROOM / SIM_BYTES), b = (chance >> 32) % (SIM_ROOM / SIM_BYTES);
        if (a != b)
            memcpy(w->room + a * SIM_BYTES, w->room + b * SIM_BYTES, SIM_BYTES);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    w->sink += heap[0].seq + w->room[chance % SIM_ROOM];
    return SIM_ROUND /
           ((double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9);
}

/* ---- processes ---- */

/* the line of what argv[] prints that has the numbers, and what the process took */
static bool sim_process(char *const argv[], char *line, size_t cap, struct sim_ran *ret)
{
    int p[2], status = -1;
    struct rusage u;
    char one[8192];
    if (pipe(p))
        return bench_fail("pipe");
    pid_t pid = fork();
    if (!pid) {
        dup2(p[1], 1);
        close(p[0]);
        close(p[1]);
        execv(argv[0], argv);
        _exit(127);
    }
    close(p[1]);
    if (pid > 0)
        bench_track(pid);
    FILE *f = fdopen(p[0], "r");
    *line = 0;
    while (f && fgets(one, sizeof one, f))
        if (one[0] == '{' || strstr(one, " events/s"))
            snprintf(line, cap, "%s", one);
    if (f)
        fclose(f);
    while (pid > 0 && wait4(pid, &status, 0, &u) < 0 && errno == EINTR)
        ;
    if (pid > 0)
        bench_forget(pid);
    if (status || !*line) {
        fprintf(stderr, "tarn bench: sim: %s %s %s: status %d\n", argv[0], argv[1], argv[2],
                status);
        return false;
    }
    ret->cpu_s = (double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec / 1e6 +
                 (double)u.ru_stime.tv_sec + (double)u.ru_stime.tv_usec / 1e6;
    ret->peak_bytes = (double)u.ru_maxrss * 1024;
    return true;
}

static double sim_number(const char *line, const char *key)
{
    const char *at = strstr(line, key);
    return at ? strtod(at + strlen(key), NULL) : 0;
}

static bool sim_run(struct sim_world *w, const struct sim_case *c, struct sim_ran *ret)
{
    char path[600], line[8192], run[] = "run", seeds[] = "seeds", json[] = "--json";
    char from[] = "--from", to[] = "--to", one[] = "1", n[16];
    bool is_one = !strcmp(c->seeds, "1");
    snprintf(path, sizeof path, "%s/%s.json", w->dir, c->word);
    snprintf(n, sizeof n, "%s", c->seeds);
    FILE *f = fopen(path, "we");
    if (!f || fprintf(f, "%s\n", c->scenario) < 0 || fclose(f))
        return bench_fail(path);
    char *of_one[] = {w->sim, run, path, json, NULL};
    char *of_many[] = {w->sim, seeds, path, from, one, to, n, NULL};
    if (!sim_process(is_one ? of_one : of_many, line, sizeof line, ret))
        return false;
    ret->events = sim_number(line, "\"events\": ");
    ret->virtual_s = sim_number(line, "\"virtual_ns\": ") / 1e9;
    return true;
}

static double sim_value(const struct sim_case *c, const struct sim_ran *r)
{
    if (!strcmp(c->unit, "MiB"))
        return r->peak_bytes / (1 << 20);
    if (!(r->cpu_s > 0))
        return 0;
    if (!strcmp(c->unit, "/min"))
        return 60 * atof(c->seeds) / r->cpu_s;
    return (!strcmp(c->unit, "x") ? r->virtual_s : r->events) / r->cpu_s;
}

static bool sim_round(struct sim_world *w)
{
    struct bench *b = w->b;
    int bare = bench_row(b, "bare heap and memcpy of 1 KiB", "ev/s", -1);
    for (int i = 0; i < SIM_CASES; i++) {
        const struct sim_case *c = &sim_cases[i];
        struct sim_ran r;
        if (b->only ? !strstr(b->only, c->word) : c->is_asked)
            continue;
        bench_sample(b, bare, sim_bare(w));
        if (!sim_run(w, c, &r))
            return false;
        bench_sample(b, bench_row(b, c->name, c->unit, strcmp(c->unit, "ev/s") ? -1 : bare),
                     sim_value(c, &r));
    }
    return true;
}

int bench_sim_main(struct bench *b)
{
    static struct sim_world w;
    w.b = b;
    b->title = "simulator: tarn-sim, one process, all checkers on";
    snprintf(b->params, sizeof b->params, "seed 1, processor time, pinned %s", b->pin);
    if (!bench_proc_beside(b, "tarn-sim", w.sim, sizeof w.sim)) {
        fprintf(stderr, "tarn bench: sim: there is no tarn-sim beside %s\n", b->self);
        return 1;
    }
    w.room = calloc(1, SIM_ROOM);
    if (!w.room || !bench_temp_dir(b, w.dir, sizeof w.dir))
        return 1;
    bench_pin(b, false);
    bool ok = true;
    for (int round = 0; ok && round < b->rounds; round++) {
        ok = sim_round(&w);
        fprintf(stderr, "round %d of %d\n", round + 1, b->rounds);
    }
    bench_remove(w.dir);
    free(w.room);
    if (ok)
        bench_report(b);
    return ok ? 0 : 1;
}
