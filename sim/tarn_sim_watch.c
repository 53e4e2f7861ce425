/* sim/tarn_sim_watch.c - what is seen of a run while it runs (see sim/tarn_sim_watch.h). */
#include "sim/tarn_sim_watch.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include "core/fmt.h"
#include "sim/lab_own.h"
#include "sim/tarn_sim.h"

void tarn_sim_watch_log(void *ctx, int64_t at_ns, struct sim_node *n, enum env_log level,
                        const char *line)
{
    const struct watch *w = ctx;
    const char *want = w->log_node;
    if (want && (!strcmp(want, "all") || !strcmp(want, sim_node_name(n))))
        fprintf(w->say, "%12.6f %-4s %c %s\n", (double)at_ns / 1e9, sim_node_name(n), "EWID"[level],
                line);
}

static void watch_answer(void *ctx, const struct lab_load_answer *a)
{
    const struct watch *w = ctx;
    if (w->history && !w->is_over && !w->is_jsonl)
        tarn_sim_record_answer(w->history, a);
    if (w->timeline)
        tarn_sim_timeline_answer(w->timeline, a);
}

static void watch_record(void *ctx, int64_t at_ns, uint64_t index, const struct fsop *op,
                         const struct meta_result *res)
{
    const struct watch *w = ctx;
    char what[80];
    if (w->history && !w->is_jsonl)
        tarn_sim_record_record(w->history, at_ns, index, op, res);
    fmt_into(what, sizeof what, "%s %llu %.*s", fsop_kind_name(op->kind),
             (unsigned long long)op->ino.v, (int)op->name_len, op->name_len ? op->name : "");
    if (w->timeline)
        tarn_sim_timeline_record(w->timeline, at_ns, index, what);
}

static void watch_lead(void *ctx, int64_t at_ns, const char *node, uint64_t epoch, bool begins)
{
    const struct watch *w = ctx;
    if (w->timeline)
        tarn_sim_timeline_lead(w->timeline, at_ns, node, epoch, begins);
}

static void watch_group_record(void *ctx, int64_t at_ns, uint64_t index, const char *node)
{
    const struct watch *w = ctx;
    if (w->timeline)
        tarn_sim_timeline_record(w->timeline, at_ns, index, node);
}

static void watch_op(void *ctx, int64_t at_ns, const struct lab_group_op *op)
{
    struct watch *w = ctx;
    if (w->timeline)
        tarn_sim_timeline_op(w->timeline, at_ns, op);
    if (w->is_jsonl)
        tarn_sim_record_op(w->history, at_ns, op, w->lives);
}

void tarn_sim_watch_text(const struct watch *w, const struct sim_trace *t, FILE *to)
{
    struct sim_node *n = t->node == UINT32_MAX ? NULL : sim_node_at(w->sim, t->node);
    fprintf(to, "%.9f %s %s %llx %llx\n", (double)t->at_ns / 1e9, n ? sim_node_name(n) : "-",
            sim_kind_name((enum sim_kind)t->kind), (unsigned long long)t->a,
            (unsigned long long)t->b);
}

/* is somebody tracing this process? */
static bool is_debugged(void)
{
    char line[200];
    bool is = false;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        is |= !strncmp(line, "TracerPid:", 10) && atoi(line + 10) > 0;
    if (f)
        fclose(f);
    return is;
}

static void watch_stop(struct watch *w, const struct sim_trace *t)
{
    if (w->is_second) { /* where the first one ended, this one ends */
        if (w->is_stopped)
            sim_halt(w->sim);
        return;
    }
    fprintf(w->say, "event %llu: ", (unsigned long long)w->seen);
    tarn_sim_watch_text(w, t, w->say);
    fflush(w->say);
    w->is_stopped = !is_debugged();
    if (w->is_stopped)
        sim_halt(w->sim);
    else
        raise(SIGTRAP); /* up a few frames: whose turn this is */
}

static void watch_event(void *ctx, const struct sim_trace *t)
{
    struct watch *w = ctx;
    if (w->trace)
        tarn_sim_watch_text(w, t, w->trace);
    if (w->timeline)
        tarn_sim_timeline_event(w->timeline, t);
    if (++w->seen == w->stop_event)
        watch_stop(w, t);
    ASSERT(w->seen != w->plant_event);
    if (!w->twice)
        return;
    uint64_t h = base_hash(t, sizeof *t, 1);
    if (w->is_second) {
        if (!w->diverged && (w->n >= w->cap || w->events[w->n] != h)) {
            w->diverged = w->n + 1;
            w->first_other = *t;
        }
        w->n++;
        return;
    }
    if (w->n == w->cap) {
        w->cap = w->cap ? 2 * w->cap : 1 << 20;
        w->events = realloc(w->events, w->cap * sizeof *w->events);
        if (!w->events) {
            tarn_sim_say("out of memory\n");
            exit(EXIT_PANIC);
        }
    }
    w->events[w->n++] = h;
}

/* who is watched has been opened, and has not begun; ret: its operations are wanted */
static bool watch_open(struct watch *w, struct sim *s)
{
    w->sim = s;
    if (w->page && !w->is_second && !(w->timeline = tarn_sim_timeline_open(s)))
        tarn_sim_say("no memory for a timeline\n");
    if (w->trace || w->timeline || w->twice || w->stop_event || w->plant_event)
        sim_trace_hook(s, watch_event, w);
    return w->timeline;
}

void tarn_sim_watch_group(struct watch *w, struct lab_group *g)
{
    struct lab_group_watch lw = {w, watch_op, watch_lead, watch_group_record};
    w->group = g;
    if (watch_open(w, lab_group_sim(g)) || w->is_jsonl)
        lab_group_watch(g, &lw);
    lab_group_history(g, w->is_jsonl ? NULL : w->history);
}

static void watch_history(void *ctx, const char *line, size_t n)
{
    fwrite(line, 1, n, ((struct watch *)ctx)->history);
}

void tarn_sim_watch_run(struct watch *w, struct lab_run *r)
{
    w->run = r;
    if (w->is_jsonl)
        lab_load_on_history(lab_run_load(r), watch_history, w);
    if (!watch_open(w, lab_run_sim(r)) && !w->history)
        return;
    lab_load_on_answer(lab_run_load(r), watch_answer, w);
    lab_check_on_record(lab_run_check(r), watch_record, w);
    lab_check_on_lead(lab_run_check(r), watch_lead, w);
}

const char *tarn_sim_watch_verdict(const struct lab_scenario *s, unsigned v)
{
    return lab_scenario_is_group(s) ? lab_own_verdict(s, v) : lab_check_name((enum lab_verdict)v);
}

/* crash: NULL, or the assertion that ended the run */
static void watch_page(struct watch *w, const struct lab_finding *crash)
{
    const struct lab_finding *findings[LAB_VERDICTS];
    const struct lab_fault *f;
    size_t stride = sizeof *f;
    uint32_t n;
    struct timeline_end e = {w->s->name, w->seed, sim_now_ns(w->sim), w->s->duration_ns};
    if (w->group) {
        struct lab_group_report r;
        lab_group_report(w->group, &r);
        f = r.faults;
        n = r.n_faults;
        for (unsigned v = 0; v < LAB_VERDICTS; v++)
            findings[v] = &r.findings[v];
    } else {
        struct lab_report r;
        w->is_over = true;
        lab_load_tell_open(lab_run_load(w->run));
        lab_run_report(w->run, &r);
        f = &r.faults->f;
        stride = sizeof *r.faults;
        n = r.n_faults;
        memcpy(findings, r.findings, sizeof findings);
    }
    tarn_sim_timeline_begin(w->timeline, w->page, &e);
    for (uint32_t i = 0; i < n; i++) {
        const struct lab_fault *at = (const void *)((const char *)f + i * stride);
        if (lab_scenario_comes_to(w->s, at, e.end_ns))
            tarn_sim_timeline_fault(w->timeline, at);
    }
    tarn_sim_timeline_chances(w->timeline, &w->s->chances);
    for (unsigned v = 0; v < LAB_VERDICTS; v++)
        if (*tarn_sim_watch_verdict(w->s, v))
            tarn_sim_timeline_verdict(w->timeline, tarn_sim_watch_verdict(w->s, v), findings[v]);
    if (crash)
        tarn_sim_timeline_verdict(w->timeline, "assertion", crash);
    if (!tarn_sim_timeline_end(w->timeline))
        tarn_sim_say("the timeline is not of everything: the run has too much\n");
    tarn_sim_timeline_close(w->timeline);
    w->timeline = NULL;
}

bool tarn_sim_watch_close(struct watch *w)
{
    bool ok = true;
    FILE **files[] = {&w->trace, &w->history, &w->page};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        if (*files[i] && (*files[i] == stdout ? fflush(stdout) : fclose(*files[i]))) {
            tarn_sim_say("the trace, history or timeline is not whole: %s\n", strerror(errno));
            ok = false;
        }
        *files[i] = NULL;
    }
    w->is_jsonl = false;
    return ok;
}

void tarn_sim_watch_over(struct watch *w)
{
    if (w->timeline)
        watch_page(w, NULL);
    w->group = NULL;
    w->run = NULL;
}

void tarn_sim_watch_panic(struct watch *w, const char *file, int line, const char *what)
{
    static bool is_second;
    struct lab_finding crash = {.checks = 1, .failures = 1};
    if (is_second)
        return; /* in what follows */
    is_second = true;
    struct timeline *t = w->timeline;
    if (w->trace)
        fflush(w->trace);
    if (w->history)
        fflush(w->history);
    if (t && (w->group || w->run)) {
        crash.at_ns = sim_now_ns(w->sim);
        fmt_into(crash.what, sizeof crash.what, "%s:%d: %s", file, line, what);
        watch_page(w, &crash);
    }
    tarn_sim_watch_close(w);
}
