/* bench/bench_predict.c - the same work by real processes and by the simulator, which has nothing
 * of this machine but the model that `tarn bench calibrate` wrote.
 *
 * Three journals on this machine, load within the process that leads, so many records outstanding:
 * the rows "tarn" of `tarn bench journal`.  The simulator runs the same archives of core and
 * journal in a scenario of journals alone (journal.outstanding), on one machine, its disk and its
 * processors as measured; PREDICT_SEEDS runs, of which the median counts.
 *
 * A row holds if what was predicted is within max(15 %, twice the spread) of the median that was
 * measured.  The spread is half of what lies between the least and the most of the repeats, as a
 * part of their median. Exit status: 0 all rows hold, 3 not all, 1 something failed. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "bench/bench_calibrate.h"

enum { PREDICT_DEPTHS = 4, PREDICT_SIZES = 2, PREDICT_SEEDS = 3, PREDICT_MEASURES = 2 };

static const int predict_depths[PREDICT_DEPTHS] = {1, 8, 64, 512};
static const int predict_sizes[PREDICT_SIZES] = {100, 1024};
static const char *const predict_what[PREDICT_MEASURES] = {"median commit latency, us",
                                                           "records a second"};

struct predict_row {
    struct bench_row real[PREDICT_MEASURES];
    double predicted[PREDICT_MEASURES];
};

struct predict {
    struct bench *b;
    char dir[512], sim[600], model[4200];
    struct bench_group group;
    struct predict_row row[PREDICT_SIZES][PREDICT_DEPTHS];
};

static bool predict_wants(const struct predict *p, int depth)
{
    return !p->b->depth || p->b->depth == depth;
}

/* ---- simulated ---- */

static bool predict_scenario(const struct predict *p, const char *path, int size, int depth)
{
    FILE *f = fopen(path, "we");
    if (!f)
        return bench_fail(path);
    fprintf(f,
            "{\"model\": \"%s\", \"duration\": \"1800ms\", \"masters\": 3, \"workers\": 0, "
            "\"clients\": 1,\n\"journal\": {\"only\": 1, \"outstanding\": %d, \"record_bytes\": "
            "%d, \"suspect_min\": \"300ms\", \"suspect_max\": \"600ms\", \"keep_entries\": "
            "100000},\n\"load\": {\"threads\": 1, \"think\": \"1s\"}, \"machine\": {\"together\": "
            "1},\n\"master\": {\"segment_bytes\": %d, \"image_after_bytes\": %d}}\n",
            p->model, depth, size, 16 << 20, 64 << 20);
    return fclose(f) == 0 || bench_fail(path);
}

static bool predict_run(const struct predict *p, const char *path, int seed, double *ret)
{
    char command[1400], line[8192], last[8192] = "";
    unsigned long long n = 0;
    long long ns = 0, p50 = 0;
    snprintf(command, sizeof command, "'%s' run '%s' --seed %d --json 2>&1", p->sim, path, seed);
    FILE *f = popen(command, "r");
    const char *at = NULL;
    while (f && fgets(line, sizeof line, f)) {
        if (line[0] == '{')
            snprintf(last, sizeof last, "%s", line);
        else if (!at && !*last)
            fprintf(stderr, "%s", line);
    }
    int status = f ? pclose(f) : -1;
    at = strstr(last, "\"fed\": ");
    if (status || !at ||
        sscanf(at, "\"fed\": {\"records\": %llu, \"ns\": %lld, \"p50_ns\": %lld", &n, &ns, &p50) !=
            3 ||
        !n || ns <= 0) {
        fprintf(stderr, "tarn bench: predict: %s: status %d, %s\n", command, status,
                n ? "not understood" : "nothing was done");
        return false;
    }
    ret[0] = (double)p50 / 1e3;
    ret[1] = (double)n * 1e9 / (double)ns;
    return true;
}

static bool predict_simulate(struct predict *p, int i, int k)
{
    struct bench_row of[PREDICT_MEASURES] = {{.n = 0}};
    char path[600];
    snprintf(path, sizeof path, "%s/scenario.json", p->dir);
    if (!predict_scenario(p, path, predict_sizes[i], predict_depths[k]))
        return false;
    for (int seed = 1; seed <= PREDICT_SEEDS; seed++) {
        double v[PREDICT_MEASURES];
        if (!predict_run(p, path, seed, v))
            return false;
        for (int m = 0; m < PREDICT_MEASURES; m++)
            of[m].sample[of[m].n++] = v[m];
    }
    for (int m = 0; m < PREDICT_MEASURES; m++)
        p->row[i][k].predicted[m] = bench_median(&of[m]);
    return true;
}

/* ---- measured ---- */

static bool predict_measure(struct predict *p)
{
    for (int i = 0; i < PREDICT_SIZES; i++)
        for (int k = 0; k < PREDICT_DEPTHS; k++) {
            struct bench_group_ran ran;
            struct predict_row *r = &p->row[i][k];
            if (!predict_wants(p, predict_depths[k]))
                continue;
            if (!bench_group_run(&p->group, predict_depths[k], predict_sizes[i],
                                 (int)(p->b->seconds * 1000), &ran))
                return false;
            r->real[0].sample[r->real[0].n++] = ran.p50_us;
            r->real[1].sample[r->real[1].n++] = ran.rate;
        }
    return true;
}

/* ---- the table ---- */

struct verdict {
    double predicted, measured, deviation, spread, allowed;
    bool holds;
};

static struct verdict predict_verdict(const struct predict_row *r, int m)
{
    struct verdict v = {.predicted = r->predicted[m], .measured = bench_median(&r->real[m])};
    double least = bench_quantile(&r->real[m], 0), most = bench_quantile(&r->real[m], 100);
    if (v.measured <= 0)
        return v;
    v.spread = (most - least) / 2 / v.measured;
    v.allowed = 2 * v.spread > 0.15 ? 2 * v.spread : 0.15;
    v.deviation = v.predicted / v.measured - 1;
    v.holds = v.deviation <= v.allowed && v.deviation >= -v.allowed;
    return v;
}

static int predict_print(const struct predict *p)
{
    char machine[512], commit[64];
    int bad = 0, n = 0;
    bench_machine(machine, sizeof machine);
    bench_commit(commit, sizeof commit);
    if (p->b->json)
        printf("{\"benchmark\": \"predicted and measured\", \"machine\": \"%s\", \"commit\": "
               "\"%s\", \"model\": \"%s\", \"rounds\": %d, \"seconds\": %g, \"rows\": [",
               machine, commit, p->model, p->b->rounds, p->b->seconds);
    else
        printf("predicted and measured: appends to a journal of three masters on this machine\n"
               "  machine   %s\n  commit    %s\n  settings  %g s each, %d rounds, model %s\n\n",
               machine, commit, p->b->seconds, p->b->rounds, p->model);
    for (int m = 0; m < PREDICT_MEASURES; m++) {
        if (!p->b->json)
            printf("%s  %-24s %10s %10s %9s %8s %8s\n", m ? "\n" : "", predict_what[m], "predicted",
                   "measured", "deviation", "spread", "allowed");
        for (int i = 0; i < PREDICT_SIZES; i++)
            for (int k = 0; k < PREDICT_DEPTHS; k++) {
                if (!predict_wants(p, predict_depths[k]))
                    continue;
                struct verdict v = predict_verdict(&p->row[i][k], m);
                bad += !v.holds;
                if (p->b->json)
                    printf("%s\n{\"what\": \"%s\", \"bytes\": %d, \"outstanding\": %d, "
                           "\"predicted\": %.1f, \"measured\": %.1f, \"deviation\": %.4f, "
                           "\"spread\": %.4f, \"allowed\": %.4f, \"holds\": %s}",
                           n++ ? "," : "", predict_what[m], predict_sizes[i], predict_depths[k],
                           v.predicted, v.measured, v.deviation, v.spread, v.allowed,
                           v.holds ? "true" : "false");
                else
                    printf("  %5d B, %3d outstanding %10.1f %10.1f %+8.1f%% %7.1f%% %7.1f%%  %s\n",
                           predict_sizes[i], predict_depths[k], v.predicted, v.measured,
                           100 * v.deviation, 100 * v.spread, 100 * v.allowed,
                           v.holds ? "holds" : "does not hold");
            }
    }
    if (p->b->json)
        printf("],\n\"failing\": %d}\n", bad);
    else
        printf("\n  %s\n", bad ? "not all rows hold" : "all rows hold");
    return bad ? 3 : 0;
}

/* ---- all ---- */

static bool predict_open(struct predict *p)
{
    char *model = realpath(p->b->model ? p->b->model : "model.json", NULL);
    if (!model || strlen(model) >= 500 || strpbrk(model, "\"\\'")) {
        fprintf(stderr, "tarn bench: predict: %s: %s; tarn bench calibrate --out FILE makes one\n",
                p->b->model ? p->b->model : "model.json",
                model ? "not a name that goes into a scenario" : "there is no such model");
        free(model);
        return false;
    }
    snprintf(p->model, sizeof p->model, "%s", model);
    free(model);
    if (!bench_proc_beside(p->b, "tarn-sim", p->sim, sizeof p->sim)) {
        fprintf(stderr, "tarn bench: predict: there is no tarn-sim beside %s\n", p->b->self);
        return false;
    }
    return bench_temp_dir(p->b, p->dir, sizeof p->dir);
}

int bench_predict_main(struct bench *b)
{
    static struct predict p;
    p.b = b;
    if (!predict_open(&p))
        return 1;
    bool ok = true;
    /* first what is simulated: a mistake in the model shows at once */
    for (int i = 0; i < PREDICT_SIZES; i++)
        for (int k = 0; k < PREDICT_DEPTHS; k++)
            ok = ok && (!predict_wants(&p, predict_depths[k]) || predict_simulate(&p, i, k));
    fprintf(stderr, "%s", ok ? "simulated\n" : "");
    struct bench_group_ran warm;
    ok = ok && bench_group_open(&p.group, b, p.dir) &&
         bench_group_run(&p.group, 64, 100, 500, &warm);
    for (int round = 0; ok && round < b->rounds; round++) {
        ok = predict_measure(&p);
        fprintf(stderr, "round %d of %d\n", round + 1, b->rounds);
    }
    bench_group_close(&p.group);
    if (!ok)
        return 1;
    bench_remove(p.dir);
    return predict_print(&p);
}
