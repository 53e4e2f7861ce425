/* sim/tarn_sim_points.c - tarn-sim points: the master dies at every point of every operation. */
#include <stdio.h>
#include "core/fmt.h"
#include "sim/lab_points.h"
#include "sim/tarn_sim_run.h"

struct sweep {
    const struct options *o;
    uint32_t op, runs, failed;
    uint64_t events;
    struct lab_points_result calm; /* of the run in which nothing happens */
};

static void point_run(struct sweep *w, enum lab_points_mode mode, uint32_t at, uint32_t at2,
                      struct lab_points_result *r)
{
    struct mem m;
    tarn_sim_mem(&m);
    char again[200];
    fmt_into(again, sizeof again, "points \"%s\" --mode %s --at %u --at2 %u",
             lab_points_name(w->op), lab_points_mode_name(mode), at, at2);
    tarn_sim_on_panic(again, w->o->seed);
    lab_points_run(&m, w->op, w->o->seed, mode, at, at2, r);
    mem_drop(&m);
    w->runs++;
    w->events += r->events;
    if (!at) {
        w->calm = *r;
    } else if (r->ok && (r->err != w->calm.err || r->digest != w->calm.digest)) {
        r->ok = false;
        fmt_into(r->why, sizeof r->why, "answered %s, %s", r->err ? err_name(r->err) : "ok",
                 r->digest == w->calm.digest ? "and not as without a crash"
                                             : "and left another namespace than without a crash");
    }
    if (r->ok)
        return;
    if (w->failed++ < 3)
        printf("FAIL  %s: %s\n  reproduce: %s %s --seed %llu\n", lab_points_name(w->op), r->why,
               tarn_sim_name(), again, (unsigned long long)w->o->seed);
    fflush(stdout);
}

static uint32_t point_next(uint32_t at, uint32_t n, uint64_t stride)
{
    return at < n && at + stride > n ? n : at + (uint32_t)stride;
}

static void point_sweep(struct sweep *w)
{
    struct lab_points_result r;
    uint64_t stride = w->o->stride;
    point_run(w, LAB_POINTS_CRASH, 0, 0, &r);
    uint32_t n = w->calm.points, doubles = 0, before = w->runs;
    for (int mode = LAB_POINTS_CRASH; mode <= LAB_POINTS_TORN; mode++)
        for (uint32_t at = 1; at <= n; at = point_next(at, n, stride))
            point_run(w, (enum lab_points_mode)mode, at, 0, &r);
    uint32_t singles = w->runs - before;
    for (uint32_t at = 1; at <= n; at = point_next(at, n, 7 * stride)) {
        struct lab_points_result first;
        point_run(w, LAB_POINTS_DOUBLE, at, 0, &first);
        for (uint32_t at2 = 1; at2 < first.points; at2 += 1 + (uint32_t)(11 * stride), doubles++)
            point_run(w, LAB_POINTS_DOUBLE, at, at2, &r);
    }
    printf("  %-26s %-12s %6u %5u %5u %5u %5u %7u %7u %7u\n", lab_points_name(w->op),
           w->calm.err ? err_name(w->calm.err) : "ok", n, w->calm.by_net, w->calm.by_disk,
           w->calm.by_store, w->calm.by_rest, singles, doubles, w->failed);
    fflush(stdout);
}

int tarn_sim_points(const struct options *o)
{
    uint32_t runs = 0, failed = 0, ops = 0;
    uint64_t events = 0;
    double t0 = tarn_sim_wall_s();
    bool is_known = !o->scenario;
    for (uint32_t i = 0; !is_known && lab_points_name(i); i++)
        is_known = !strcmp(o->scenario, lab_points_name(i));
    if (!is_known) {
        tarn_sim_say("no operation is called %s; there are", o->scenario);
        for (uint32_t i = 0; lab_points_name(i); i++)
            fprintf(stderr, "%s \"%s\"", i ? "," : "", lab_points_name(i));
        fputc('\n', stderr);
        return EXIT_USAGE;
    }
    if ((o->mode || o->at2) && !o->at)
        return tarn_sim_bad("--mode and --at2 are of one point: --at K", "");
    if (!o->at)
        printf("  %-26s %-12s %6s %5s %5s %5s %5s %7s %7s %7s\n", "operation", "answer", "points",
               "net", "disk", "store", "rest", "crashes", "doubles", "failed");
    for (uint32_t i = 0; lab_points_name(i); i++) {
        struct sweep w = {.o = o, .op = i};
        struct lab_points_result r;
        if (o->scenario && strcmp(o->scenario, lab_points_name(i)) != 0)
            continue;
        ops++;
        if (o->at) {
            int mode = 0;
            while (mode < LAB_POINTS_MODES && o->mode &&
                   strcmp(o->mode, lab_points_mode_name((enum lab_points_mode)mode)) != 0)
                mode++;
            if (mode == LAB_POINTS_MODES)
                return tarn_sim_bad("mode", o->mode);
            point_run(&w, LAB_POINTS_CRASH, 0, 0, &r);
            point_run(&w, (enum lab_points_mode)mode, (uint32_t)o->at, (uint32_t)o->at2, &r);
            printf("%s: %s\n", lab_points_name(i), r.ok ? "ok" : r.why);
        } else {
            point_sweep(&w);
        }
        runs += w.runs;
        failed += w.failed;
        events += w.events;
    }
    printf("%u operations, %u runs, %u failed, %llu events, %.1f s\n", ops, runs, failed,
           (unsigned long long)events, tarn_sim_wall_s() - t0);
    return failed ? EXIT_SAFETY : 0;
}
