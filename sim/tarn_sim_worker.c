/* sim/tarn_sim_worker.c - one process of a campaign (see sim/tarn_sim_row.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "core/fmt.h"
#include "sim/lab_group.h"
#include "sim/lab_own.h"
#include "sim/lab_run.h"
#include "sim/tarn_sim_row.h"

const struct row_measure_text tarn_sim_measures[ROW_COUNT] = {
#define ROW_TEXT(name, unit, what) {#name, unit, what},
    ROW_MEASURES(ROW_TEXT)
#undef ROW_TEXT
};

static_assert(ROW_kind_clock - ROW_kind_boot == SIM_K_CLOCK - SIM_K_BOOT &&
                  SIM_K_CLOCK + 1 == SIM_KINDS,
              "a column for each kind");
static_assert(ROW_COUNT <= 64, "a bit for each measure");

static struct row row;
static int row_fd;
static struct sim *running;

static bool send_row(void)
{
    const char *at = (const char *)&row;
    size_t left = sizeof row;
    while (left) {
        ssize_t n = write(row_fd, at, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        left -= (size_t)n;
    }
    return true;
}

static void on_panic(const char *file, int line, const char *what)
{
    row.status = EXIT_PANIC;
    fmt_into(row.checker, sizeof row.checker, "assertion");
    fmt_into(row.what, sizeof row.what, "%s:%d: %s", file, line, what);
    if (running) {
        row.at_ns = row.virtual_ns = sim_now_ns(running);
        row.events = sim_events(running);
        sim_hash(running, row.hash);
    }
    send_row();
    _exit(EXIT_PANIC);
}

static void measure(enum row_measure m, uint64_t v)
{
    row.has |= (uint64_t)1 << m;
    row.values[m] = (int64_t)v;
}

static void measure_service(int64_t down_ns, int64_t healed_ns, uint32_t windows, uint32_t up)
{
    measure(ROW_longest_down_ns, (uint64_t)down_ns);
    if (healed_ns >= 0)
        measure(ROW_healed_ns, (uint64_t)healed_ns);
    if (windows)
        measure(ROW_up_ppm, (uint64_t)up * 1000000 / windows);
}

static void take_world(const struct lab_scenario *drawn, const struct sim *s)
{
    const struct sim_stats *t = sim_stats(s);
    sim_hash(s, row.hash);
    row.events = sim_events(s);
    row.virtual_ns = sim_now_ns(s);
    measure(ROW_frames, t->frames);
    measure(ROW_frame_bytes, t->frame_bytes);
    measure(ROW_connects, t->connects);
    measure(ROW_disk_writes, t->disk_writes);
    measure(ROW_disk_syncs, t->disk_syncs);
    for (unsigned k = 1; k < SIM_KINDS; k++)
        measure((enum row_measure)(ROW_kind_boot + k - 1), t->kinds[k]);
    row.n_marks = lab_mark_list(drawn, s, row.marks);
}

static void measure_records(uint64_t records)
{
    measure(ROW_records, records);
    if (records)
        measure(ROW_messages_per_record_milli, (uint64_t)row.values[ROW_frames] * 1000 / records);
}

static void take_verdict(const struct lab_finding *f, bool is_liveness, const char *name)
{
    measure(ROW_unknown, (uint64_t)row.values[ROW_unknown] + f->unknown);
    if (f->unknown && !row.status)
        fmt_into(row.what, sizeof row.what, "%s: %llu unknown, %s did not do", name,
                 (unsigned long long)f->unknown, f->budget);
    if (!f->failures || row.status == EXIT_SAFETY)
        return; /* the first that is about safety, or else about liveness */
    if (row.status && is_liveness)
        return;
    row.status = is_liveness ? EXIT_LIVENESS : EXIT_SAFETY;
    row.at_ns = f->at_ns;
    fmt_into(row.checker, sizeof row.checker, "%s", name);
    fmt_into(row.what, sizeof row.what, "%s", f->what);
}

static void run_group(const struct lab_scenario *s, const struct lab_scenario *drawn)
{
    struct mem m;
    struct lab_group_report r;
    tarn_sim_mem(&m);
    struct lab_group *g = lab_group_open(&m, s, row.job.seed, NULL, NULL);
    running = lab_group_sim(g);
    lab_group_go(g, 0);
    lab_group_report(g, &r);
    take_world(drawn, running);
    measure_service(r.longest_down_ns, r.healed_ns, r.windows, r.windows_up);
    measure(ROW_operations, r.writes + r.reads);
    measure(ROW_unanswered, r.unanswered);
    measure_records(r.records);
    measure(ROW_duplicates, r.duplicates);
    measure(ROW_leaderships, r.leaderships);
    measure(ROW_changes, r.changes);
    measure(ROW_images_cut, r.images_cut);
    measure(ROW_images_loaded, r.images_loaded);
    measure(ROW_exits, r.exits);
    for (unsigned v = 0; v < LAB_GROUP_VERDICTS; v++)
        take_verdict(&r.findings[v], v == LAB_GROUP_LIVENESS, lab_own_verdict(s, v));
    running = NULL;
    lab_group_close(g);
    mem_drop(&m);
}

static void run_whole(const struct lab_scenario *s, const struct lab_scenario *drawn)
{
    struct mem m;
    struct lab_report r;
    tarn_sim_mem(&m);
    struct lab_run *w = lab_run_open(&m, s, row.job.seed, NULL, NULL);
    running = lab_run_sim(w);
    lab_run_go(w, 0);
    lab_run_report(w, &r);
    take_world(drawn, running);
    measure_service(r.longest_down_ns, r.healed_ns, r.windows, r.windows_up);
    measure(ROW_operations, r.load->ops);
    measure(ROW_unanswered, r.load->failed);
    measure(ROW_refused, r.load->refused);
    if (r.load->ok) {
        measure(ROW_p50_ns, (uint64_t)lab_hist_quantile(&r.load->latency, 500000));
        measure(ROW_p99_ns, (uint64_t)lab_hist_quantile(&r.load->latency, 990000));
    }
    measure_records(r.records);
    measure(ROW_repairs, r.repairs);
    for (unsigned v = 0; v < LAB_VERDICTS; v++)
        take_verdict(r.findings[v], v == LAB_LIVENESS, lab_check_name((enum lab_verdict)v));
    running = NULL;
    lab_run_close(w);
    mem_drop(&m);
}

static void plant(const struct row_plan *p)
{
    for (unsigned i = 0; i < p->n_plants; i++) {
        const char *kind = p->plants[i].kind;
        if (p->plants[i].seed != row.job.seed)
            continue;
        if (!strcmp(kind, "abort"))
            abort();
        if (!strcmp(kind, "hang"))
            for (;;)
                pause();
        ASSERT(strcmp(kind, "panic") != 0);
        if (!strcmp(kind, "diverge"))
            row.hash[0] ^= row.job.pass;
        if (strcmp(kind, "safety") != 0 && strcmp(kind, "liveness") != 0)
            continue;
        row.status = !strcmp(kind, "safety") ? EXIT_SAFETY : EXIT_LIVENESS;
        fmt_into(row.checker, sizeof row.checker, "planted");
        fmt_into(row.what, sizeof row.what, "by --plant");
    }
}

int tarn_sim_worker(const struct row_plan *p)
{
    static struct lab_scenario drawn;
    struct row_job job;
    ssize_t n;
    row_fd = dup(1);
    if (row_fd < 0 || dup2(2, 1) < 0) /* whoever prints does not print into a row */
        return EXIT_BROKEN;
    base_panic_hook = on_panic;
    while ((n = read(0, &job, sizeof job)) == sizeof job || (n < 0 && errno == EINTR)) {
        if (n < 0)
            continue;
        const struct lab_scenario *s = &p->scenarios[job.scenario].s;
        memset(&row, 0, sizeof row);
        row.job = job;
        double t0 = tarn_sim_wall_s();
        drawn = *s;
        lab_scenario_draw(&drawn, job.seed);
        fmt_into(row.drawn, sizeof row.drawn, "%s", drawn.drawn);
        lab_mark_begin();
        if (lab_scenario_is_group(s))
            run_group(s, &drawn);
        else
            run_whole(s, &drawn);
        plant(p);
        row.wall_ns = (int64_t)((tarn_sim_wall_s() - t0) * 1e9);
        if (!send_row())
            break;
    }
    return 0;
}
