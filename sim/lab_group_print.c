/* sim/lab_group_print.c - the report of a run of journals (see sim/lab_group.h). */
#include "core/fmt.h"
#include "sim/lab_group.h"
#include "sim/lab_json.h"
#include "sim/lab_own.h"
#include "sim/lab_print.h"

static double seconds(int64_t ns)
{
    return (double)ns / 1e9;
}

static void print_faults(FILE *to, const struct lab_scenario *s, const struct lab_group_report *r)
{
    fprintf(to, "\n  %9s  %-34s %9s\n", "at", "what happened", "for");
    for (uint32_t i = 0; i < r->n_faults; i++) {
        const struct lab_fault *f = &r->faults[i];
        fprintf(to, "  %7.3f s  %-34s", seconds(f->at_ns), lab_print_fault(f));
        if (lab_scenario_comes_to(s, f, r->virtual_ns))
            fprintf(to, " %7.3f s\n", seconds(f->for_ns));
        else
            fprintf(to, lab_scenario_fault_idle(s, f) ? " does nothing\n" : " not reached\n");
    }
    if (!r->n_faults)
        fprintf(to, "  %9s  nothing\n", "");
    lab_print_chances(to, s);
}

static void print_people(FILE *to, const struct lab_scenario *s, const struct lab_group_report *r,
                         double wall_s, bool over)
{
    fprintf(to, "%s, seed %llu: %u %s%s, %u client%s, %.1f s of load, %.1f s in all%s\n", s->name,
            (unsigned long long)r->seed, s->masters, *s->protocol ? "server" : "journal",
            lab_print_s(s->masters), s->clients, lab_print_s(s->clients), seconds(s->duration_ns),
            seconds(r->virtual_ns), over ? "" : " (cut short)");
    if (r->drawn[0])
        fprintf(to, "  drawn       %s\n", r->drawn);
    if (r->stopped)
        fprintf(to, "  beyond      more was damaged than can be recovered: it stopped\n");
    if (r->core[0])
        fprintf(to, "  core        %s\n", r->core);
    print_faults(to, s, r);
    fprintf(to,
            "\n  operations  %llu writes, %llu reads (%llu by standbys), %llu without an answer; "
            "%llu records, %llu of them repeated\n",
            (unsigned long long)r->writes, (unsigned long long)r->reads,
            (unsigned long long)r->standby_reads, (unsigned long long)r->unanswered,
            (unsigned long long)r->records, (unsigned long long)r->duplicates);
    if (!*s->protocol)
        fprintf(
            to,
            "  group       %llu leaderships, %llu changes of members done, %llu not; %llu images "
            "cut, %llu loaded; %llu processes gave up\n",
            (unsigned long long)r->leaderships, (unsigned long long)r->changes,
            (unsigned long long)r->changes_failed, (unsigned long long)r->images_cut,
            (unsigned long long)r->images_loaded, (unsigned long long)r->exits);
    fprintf(to,
            "  available   %.1f%% of %u windows of 100 ms had a write; longest without %.1f s; ",
            r->windows ? 100.0 * r->windows_up / r->windows : 0, r->windows,
            seconds(r->longest_down_ns));
    if (r->healed_ns < 0)
        fprintf(to, "none after the last fault\n\n");
    else
        fprintf(to, "the first %.3f s after the last fault\n\n", seconds(r->healed_ns));
    if (s->journal.outstanding)
        fprintf(to,
                "  within      %u outstanding: %.0f records/s, each %.1f us in the median, %.1f us "
                "p99\n\n",
                s->journal.outstanding, r->fed_ns ? (double)r->fed / seconds(r->fed_ns) : 0,
                (double)r->fed_p50_ns / 1e3, (double)r->fed_p99_ns / 1e3);
    for (unsigned v = 0; v < LAB_GROUP_VERDICTS; v++) {
        const struct lab_finding *f = &r->findings[v];
        if (!*lab_own_verdict(s, v) || (v == LAB_GROUP_RAFT && !f->checks))
            continue;
        lab_print_finding(to, f, lab_own_verdict(s, v));
        if (v == LAB_GROUP_LINEAR && !*s->protocol)
            fprintf(to, " in %llu steps", (unsigned long long)r->wgl_steps);
        if (f->failures)
            fprintf(to, ", %llu failed\n        first at %.6f s: %s",
                    (unsigned long long)f->failures, seconds(f->at_ns), f->what);
        fprintf(to, "\n");
    }
    fprintf(to, "\n  speed       %llu events in %.2f s: %.0f events/s, %.0f x real time\n",
            (unsigned long long)r->events, wall_s, wall_s > 0 ? (double)r->events / wall_s : 0,
            wall_s > 0 ? seconds(r->virtual_ns) / wall_s : 0);
}

static void print_json(FILE *to, const struct lab_scenario *s, const struct lab_group_report *r,
                       double wall_s)
{
    fprintf(to, "{\"scenario\": ");
    lab_json_string(to, s->name);
    fprintf(
        to,
        ", \"seed\": %llu, \"virtual_ns\": %lld, \"events\": %llu, "
        "\"wall_s\": %.3f, \"writes\": %llu, \"reads\": %llu, \"standby_reads\": %llu, "
        "\"unanswered\": %llu, \"records\": %llu, \"leaderships\": %llu, \"changes\": %llu, "
        "\"images_cut\": %llu, \"images_loaded\": %llu, \"exits\": %llu, \"windows\": %u, "
        "\"windows_up\": %u, \"longest_down_ns\": %lld, \"healed_ns\": %lld, \"drawn\": \"%s\", "
        "\"faults\": [",
        (unsigned long long)r->seed, (long long)r->virtual_ns, (unsigned long long)r->events,
        wall_s, (unsigned long long)r->writes, (unsigned long long)r->reads,
        (unsigned long long)r->standby_reads, (unsigned long long)r->unanswered,
        (unsigned long long)r->records, (unsigned long long)r->leaderships,
        (unsigned long long)r->changes, (unsigned long long)r->images_cut,
        (unsigned long long)r->images_loaded, (unsigned long long)r->exits, r->windows,
        r->windows_up, (long long)r->longest_down_ns, (long long)r->healed_ns, r->drawn);
    for (uint32_t i = 0; i < r->n_faults; i++) {
        lab_print_json_fault(to, s, &r->faults[i], r->virtual_ns, !i);
        fputc('}', to);
    }
    fprintf(to, "], \"verdicts\": {");
    for (unsigned v = 0; v < LAB_GROUP_VERDICTS; v++) {
        const struct lab_finding *f = &r->findings[v];
        const char *name = lab_own_verdict(s, v);
        fprintf(to, "%s\"%s\": ", v ? ", " : "",
                *name ? name : lab_group_verdict_name((enum lab_group_verdict)v));
        lab_print_json_finding(to, f);
    }
    fputc('}', to);
    if (s->journal.outstanding)
        fprintf(to,
                ", \"fed\": {\"records\": %llu, \"ns\": %lld, \"p50_ns\": %lld, \"p99_ns\": %lld}",
                (unsigned long long)r->fed, (long long)r->fed_ns, (long long)r->fed_p50_ns,
                (long long)r->fed_p99_ns);
    fprintf(to, ", \"hash\": \"%016llx%016llx\"", (unsigned long long)r->hash[0],
            (unsigned long long)r->hash[1]);
}

void lab_group_print(FILE *to, const struct lab_scenario *s, const struct lab_group_report *r,
                     double wall_s, bool over, bool json)
{
    if (json)
        print_json(to, s, r, wall_s);
    else
        print_people(to, s, r, wall_s, over);
}
