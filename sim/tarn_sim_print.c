/* sim/tarn_sim_print.c - the report of a run of a whole file system, for people and as JSON. */
#include <stdio.h>
#include "core/fmt.h"
#include "sim/lab_json.h"
#include "sim/lab_print.h"
#include "sim/tarn_sim_run.h"

static double seconds(int64_t ns)
{
    return (double)ns / 1e9;
}

static void print_faults(FILE *to, const struct lab_scenario *s, const struct lab_report *p)
{
    fprintf(to, "\n  %9s  %-34s %9s  %s\n", "at", "what happened", "for",
            "longest without any success");
    for (uint32_t i = 0; i < p->n_faults; i++) {
        const struct lab_run_fault *f = &p->faults[i];
        fprintf(to, "  %7.3f s  %-34s", seconds(f->f.at_ns), lab_print_fault(&f->f));
        if (lab_scenario_comes_to(s, &f->f, p->virtual_ns))
            fprintf(to, " %7.3f s  %7.1f s\n", seconds(f->f.for_ns), seconds(f->down_ns));
        else
            fprintf(to, lab_scenario_fault_idle(s, &f->f) ? " does nothing\n" : " not reached\n");
    }
    if (!p->n_faults)
        fprintf(to, "  %9s  nothing\n", "");
    lab_print_chances(to, s);
}

static void print_core(FILE *to, const struct lab_report *p)
{
    if (*p->core)
        fprintf(to, "\n  core        %s\n", p->core);
}

static void print_load(FILE *to, const struct lab_report *p)
{
    const struct lab_load_stats *l = p->load;
    fprintf(
        to,
        "\n  operations  %llu (%llu ok, %llu refused by the file system, %llu without an answer)\n",
        (unsigned long long)l->ops, (unsigned long long)l->ok, (unsigned long long)l->refused,
        (unsigned long long)l->failed);
    fprintf(to, "              ");
    for (unsigned k = 0; k < LAB_LOAD_KINDS; k++)
        fprintf(to, "%s %llu%s", lab_load_kind_name((enum lab_load_kind)k),
                (unsigned long long)l->by_kind[k], k + 1 < LAB_LOAD_KINDS ? ", " : "\n");
    fprintf(to, "  errors      ");
    unsigned shown = 0;
    for (int e = 1; e < (int)ARRAY_LEN(l->errors); e++)
        if (l->errors[e])
            fprintf(to, "%s%s %llu", shown++ ? ", " : "", err_name(-e),
                    (unsigned long long)l->errors[e]);
    fprintf(to, "%s\n", shown ? "" : "none");
    fprintf(
        to,
        "  bytes       %.1f MB read, %.1f MB written; under-store %.1f MB read, %.1f MB written\n",
        (double)l->bytes_read / 1e6, (double)l->bytes_written / 1e6,
        (double)p->store->read_bytes / 1e6, (double)p->store->written_bytes / 1e6);
    fprintf(to,
            "  latency     50%% %.2f ms, 90%% %.2f ms, 99%% %.2f ms, 99.9%% %.2f ms (virtual)\n",
            (double)lab_hist_quantile(&l->latency, 500000) / 1e6,
            (double)lab_hist_quantile(&l->latency, 900000) / 1e6,
            (double)lab_hist_quantile(&l->latency, 990000) / 1e6,
            (double)lab_hist_quantile(&l->latency, 999000) / 1e6);
}

static void print_verdicts(FILE *to, const struct lab_report *p)
{
    fprintf(to, "\n");
    for (unsigned v = 0; v < LAB_VERDICTS; v++) {
        const struct lab_finding *f = p->findings[v];
        const char *name = lab_check_name((enum lab_verdict)v);
        if ((v == LAB_RAFT || v == LAB_LINEAR) && !f->checks && !f->unknown)
            continue;
        lab_print_finding(to, f, name);
        if (f->failures)
            fprintf(to, ", %llu failed\n        first at %.6f s: %s",
                    (unsigned long long)f->failures, seconds(f->at_ns), f->what);
        fprintf(to, "\n");
    }
}

static void print_report(FILE *to, const struct lab_scenario *s, const struct lab_report *p,
                         const struct run_end *e)
{
    fprintf(
        to,
        "%s, seed %llu: %u master%s, %u worker%s, %u client%s, %.1f s of load, %.1f s in all%s\n",
        s->name, (unsigned long long)p->seed, s->masters, lab_print_s(s->masters), s->workers,
        lab_print_s(s->workers), s->clients, lab_print_s(s->clients), seconds(p->load_ns),
        seconds(p->virtual_ns), e->over ? "" : " (cut short)");
    if (*p->drawn)
        fprintf(to, "  drawn       %s\n", p->drawn);
    print_faults(to, s, p);
    print_core(to, p);
    print_load(to, p);
    fprintf(
        to,
        "\n  available   %.1f%% of %u windows of 100 ms had a success; longest without %.1f s; ",
        p->windows ? 100.0 * p->windows_up / p->windows : 0, p->windows,
        seconds(p->longest_down_ns));
    if (p->healed_ns < 0)
        fprintf(to, "no success after the last fault\n");
    else
        fprintf(to, "first success %.3f s after the last fault\n", seconds(p->healed_ns));
    if (p->repairs)
        fprintf(to,
                "  repaired    %u damaged cache directories were emptied, as their workers asked\n",
                p->repairs);
    if (p->ended && *p->ended)
        fprintf(to, "  ended       %s\n", p->ended);
    if (s->masters > 1)
        fprintf(
            to,
            "  masters     %llu leaderships, %u changes of the group, %u processes that ended for "
            "their disk's sake\n",
            (unsigned long long)p->leaderships, p->changes, p->exits);
    print_verdicts(to, p);
    fprintf(to, "\n  speed       %llu events in %.2f s: %.0f events/s, %.0f x real time\n",
            (unsigned long long)p->events, e->wall_s,
            e->wall_s > 0 ? (double)p->events / e->wall_s : 0,
            e->wall_s > 0 ? seconds(p->virtual_ns) / e->wall_s : 0);
}

static void json_report(FILE *to, const struct lab_scenario *s, const struct lab_report *p,
                        const struct run_end *e)
{
    fprintf(to, "{\"scenario\": ");
    lab_json_string(to, s->name);
    fprintf(
        to,
        ", \"seed\": %llu, \"virtual_ns\": %lld, \"events\": %llu, \"wall_s\": %.3f, "
        "\"records\": %llu, \"operations\": %llu, \"ok\": %llu, \"refused\": %llu, "
        "\"unanswered\": %llu, \"windows\": %u, \"windows_up\": %u, \"longest_down_ns\": %lld, "
        "\"healed_ns\": %lld, \"p50_ns\": %lld, \"p99_ns\": %lld, \"drawn\": \"%s\", \"faults\": [",
        (unsigned long long)p->seed, (long long)p->virtual_ns, (unsigned long long)p->events,
        e->wall_s, (unsigned long long)p->records, (unsigned long long)p->load->ops,
        (unsigned long long)p->load->ok, (unsigned long long)p->load->refused,
        (unsigned long long)p->load->failed, p->windows, p->windows_up,
        (long long)p->longest_down_ns, (long long)p->healed_ns,
        (long long)lab_hist_quantile(&p->load->latency, 500000),
        (long long)lab_hist_quantile(&p->load->latency, 990000), p->drawn);
    for (uint32_t i = 0; i < p->n_faults; i++) {
        lab_print_json_fault(to, s, &p->faults[i].f, p->virtual_ns, !i);
        fprintf(to, ", \"down_ns\": %lld}", (long long)p->faults[i].down_ns);
    }
    fprintf(to, "], \"verdicts\": {");
    for (unsigned v = 0; v < LAB_VERDICTS; v++) {
        const struct lab_finding *f = p->findings[v];
        fprintf(to, "%s\"%s\": ", v ? ", " : "", lab_check_name((enum lab_verdict)v));
        lab_print_json_finding(to, f);
    }
    fprintf(to, "}, \"hash\": \"%016llx%016llx\"", (unsigned long long)p->hash[0],
            (unsigned long long)p->hash[1]);
}

void tarn_sim_print(FILE *to, const struct lab_scenario *s, const struct lab_report *p,
                    const struct run_end *e, bool json)
{
    if (json)
        json_report(to, s, p, e);
    else
        print_report(to, s, p, e);
}
