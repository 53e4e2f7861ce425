/* sim/lab_group_print.c - the report of a run of journals (see sim/lab_group.h). */
#include "core/fmt.h"
#include "sim/lab_group.h"
#include "sim/lab_own.h"

static double seconds(int64_t ns)
{
    return (double)ns / 1e9;
}

static void print_faults(const struct lab_group_report *r)
{
    printf("\n  %9s  %-34s %9s\n", "at", "what happened", "for");
    for (uint32_t i = 0; i < r->n_faults; i++) {
        const struct lab_fault *f = &r->faults[i];
        bool net = lab_scenario_fault_is_link(f->kind);
        char text[120];
        fmt_into(text, sizeof text, "%s: %s%s%s", f->node, lab_scenario_fault_name(f->kind),
                 net ? f->one_way ? " towards " : " from " : "", net ? f->to : "");
        if (f->at_ns > r->virtual_ns)
            printf("  %7.3f s  %-34s not reached\n", seconds(f->at_ns), text);
        else
            printf("  %7.3f s  %-34s %7.3f s\n", seconds(f->at_ns), text, seconds(f->for_ns));
    }
    if (!r->n_faults)
        printf("  %9s  nothing\n", "");
}

static void print_people(const struct lab_scenario *s, const struct lab_group_report *r,
                         double wall_s)
{
    printf("%s, seed %llu: %u %s, %u clients, %.1f s of load, %.1f s in all\n", s->name,
           (unsigned long long)r->seed, s->masters, *s->protocol ? "servers" : "journals",
           s->clients, seconds(s->duration_ns), seconds(r->virtual_ns));
    if (r->drawn[0])
        printf("  drawn       %s\n", r->drawn);
    if (r->stopped)
        printf("  beyond      more was damaged than can be recovered: it stopped\n");
    if (r->core[0])
        printf("  core        %s\n", r->core);
    print_faults(r);
    printf("\n  operations  %llu writes, %llu reads (%llu by standbys), %llu without an answer; "
           "%llu records, %llu of them repeated\n",
           (unsigned long long)r->writes, (unsigned long long)r->reads,
           (unsigned long long)r->standby_reads, (unsigned long long)r->unanswered,
           (unsigned long long)r->records, (unsigned long long)r->duplicates);
    if (!*s->protocol)
        printf(
            "  group       %llu leaderships, %llu changes of members done, %llu not; %llu images "
            "cut, %llu loaded; %llu processes gave up\n",
            (unsigned long long)r->leaderships, (unsigned long long)r->changes,
            (unsigned long long)r->changes_failed, (unsigned long long)r->images_cut,
            (unsigned long long)r->images_loaded, (unsigned long long)r->exits);
    printf("  available   %.1f%% of %u windows of 100 ms had a write; longest without %.1f s; ",
           r->windows ? 100.0 * r->windows_up / r->windows : 0, r->windows,
           seconds(r->longest_down_ns));
    if (r->healed_ns < 0)
        printf("none after the last fault\n\n");
    else
        printf("the first %.3f s after the last fault\n\n", seconds(r->healed_ns));
    if (s->journal.outstanding)
        printf("  within      %u outstanding: %.0f records/s, each %.1f us in the median, %.1f us "
               "p99\n\n",
               s->journal.outstanding, r->fed_ns ? (double)r->fed / seconds(r->fed_ns) : 0,
               (double)r->fed_p50_ns / 1e3, (double)r->fed_p99_ns / 1e3);
    for (unsigned v = 0; v < LAB_GROUP_VERDICTS; v++) {
        const struct lab_finding *f = &r->findings[v];
        if (!*lab_own_verdict(s, v))
            continue;
        printf("  %-4s  %-10s %llu checks", f->failures ? "FAIL" : "ok", lab_own_verdict(s, v),
               (unsigned long long)f->checks);
        if (v == LAB_GROUP_LINEAR && !*s->protocol)
            printf(" in %llu steps%s", (unsigned long long)r->wgl_steps,
                   r->wgl_unknown ? ", some given up" : "");
        if (f->failures)
            printf(", %llu failed\n        first at %.6f s: %s", (unsigned long long)f->failures,
                   seconds(f->at_ns), f->what);
        printf("\n");
    }
    printf("\n  speed       %llu events in %.2f s: %.0f events/s, %.0f x real time\n\n",
           (unsigned long long)r->events, wall_s, wall_s > 0 ? (double)r->events / wall_s : 0,
           wall_s > 0 ? seconds(r->virtual_ns) / wall_s : 0);
}

static void print_json(const struct lab_scenario *s, const struct lab_group_report *r,
                       double wall_s)
{
    printf("{\"scenario\": \"%s\", \"seed\": %llu, \"virtual_ns\": %lld, \"events\": %llu, "
           "\"wall_s\": %.3f, \"writes\": %llu, \"reads\": %llu, \"standby_reads\": %llu, "
           "\"unanswered\": %llu, \"records\": %llu, \"leaderships\": %llu, \"changes\": %llu, "
           "\"images_cut\": %llu, \"images_loaded\": %llu, \"exits\": %llu, \"windows\": %u, "
           "\"windows_up\": %u, \"longest_down_ns\": %lld, \"healed_ns\": %lld, \"drawn\": \"%s\", "
           "\"verdicts\": {",
           s->name, (unsigned long long)r->seed, (long long)r->virtual_ns,
           (unsigned long long)r->events, wall_s, (unsigned long long)r->writes,
           (unsigned long long)r->reads, (unsigned long long)r->standby_reads,
           (unsigned long long)r->unanswered, (unsigned long long)r->records,
           (unsigned long long)r->leaderships, (unsigned long long)r->changes,
           (unsigned long long)r->images_cut, (unsigned long long)r->images_loaded,
           (unsigned long long)r->exits, r->windows, r->windows_up, (long long)r->longest_down_ns,
           (long long)r->healed_ns, r->drawn);
    for (unsigned v = 0; v < LAB_GROUP_VERDICTS; v++)
        printf(
            "%s\"%s\": {\"checks\": %llu, \"failures\": %llu, \"at_ns\": %lld, \"first\": \"%s\"}",
            v ? ", " : "",
            *lab_own_verdict(s, v) ? lab_own_verdict(s, v)
                                   : lab_group_verdict_name((enum lab_group_verdict)v),
            (unsigned long long)r->findings[v].checks, (unsigned long long)r->findings[v].failures,
            (long long)r->findings[v].at_ns, r->findings[v].what);
    putchar('}');
    if (s->journal.outstanding)
        printf(", \"fed\": {\"records\": %llu, \"ns\": %lld, \"p50_ns\": %lld, \"p99_ns\": %lld}",
               (unsigned long long)r->fed, (long long)r->fed_ns, (long long)r->fed_p50_ns,
               (long long)r->fed_p99_ns);
    printf(", \"hash\": \"%016llx%016llx\"}\n", (unsigned long long)r->hash[0],
           (unsigned long long)r->hash[1]);
}

void lab_group_print(const struct lab_scenario *s, const struct lab_group_report *r, double wall_s,
                     bool json)
{
    if (json)
        print_json(s, r, wall_s);
    else
        print_people(s, r, wall_s);
}
