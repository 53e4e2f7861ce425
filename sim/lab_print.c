/* sim/lab_print.c - see sim/lab_print.h. */
#include "sim/lab_print.h"
#include "core/fmt.h"
#include "sim/lab_json.h"

enum { PRINT_CHANCES = 40 };

const char *lab_print_fault(const struct lab_fault *f)
{
    static char text[160];
    const char *verb = lab_scenario_fault_name(f->kind);
    bool towards = f->one_way || f->kind == LAB_FAULT_CLOG; /* which has one direction only */
    if (lab_scenario_fault_is_zk(f->kind))
        fmt_into(text, sizeof text, "%s", verb);
    else if (f->kind >= LAB_FAULT_STORE_CHANGE)
        fmt_into(text, sizeof text, "under-store: %s", verb);
    else if (lab_scenario_fault_is_link(f->kind))
        fmt_into(text, sizeof text, "%s: %s %s %s", f->node, verb, towards ? "towards" : "from",
                 !strcmp(f->to, "*") ? "all" : f->to);
    else
        fmt_into(text, sizeof text, "%s: %s", f->node, verb);
    return text;
}

const char *lab_print_chance(const struct sim_chance *c)
{
    static char text[200];
    size_t n = fmt_into(text, sizeof text, "%s: %s", c->node, lab_chance_name(c->kind));
    if (lab_chance_has_field(c->kind, "to"))
        n += fmt_into(text + n, sizeof text - n, " towards %s", c->to);
    if (lab_chance_has_field(c->kind, "site"))
        n += fmt_into(text + n, sizeof text - n, " %s", c->site);
    if (c->n != 1 && lab_chance_has_field(c->kind, "n"))
        n += fmt_into(text + n, sizeof text - n, ", n %llu", (unsigned long long)c->n);
    if (c->skip)
        fmt_into(text + n, sizeof text - n, ", not the first %u", c->skip);
    return text;
}

void lab_print_chances(FILE *to, const struct lab_scenario *s)
{
    if (!s->has_chances)
        return;
    fprintf(to, "\n  %9s  %-34s %9s\n", "from", "what chance does", "for");
    for (uint32_t i = 0; i < s->chances.n && i < PRINT_CHANCES; i++) {
        const struct sim_chance *c = &s->chances.c[i];
        fprintf(to, "  %9.6f s %-34s", (double)c->at_ns / 1e9, lab_print_chance(c));
        if (lab_chance_has_field(c->kind, "for"))
            fprintf(to, " %7.3f s", (double)c->for_ns / 1e9);
        fputc('\n', to);
    }
    if (s->chances.n > PRINT_CHANCES)
        fprintf(to, "  %9s  and %u more\n", "", s->chances.n - PRINT_CHANCES);
    if (!s->chances.n)
        fprintf(to, "  %9s  nothing\n", "");
}

void lab_print_json_fault(FILE *to, const struct lab_scenario *s, const struct lab_fault *f,
                          int64_t end_ns, bool is_first)
{
    fprintf(to, "%s{\"at_ns\": %lld, \"do\": \"%s\", \"node\": ", is_first ? "" : ", ",
            (long long)f->at_ns, lab_scenario_fault_name(f->kind));
    lab_json_string(to, f->node);
    fprintf(to, ", \"to\": ");
    lab_json_string(to, f->to);
    fprintf(to, ", \"for_ns\": %lld, \"reached\": %s", (long long)f->for_ns,
            lab_scenario_comes_to(s, f, end_ns) ? "true" : "false");
}

void lab_print_finding(FILE *to, const struct lab_finding *f, const char *name)
{
    fprintf(to, "  %-4s  %-10s %llu checks",
            f->failures  ? "FAIL"
            : f->unknown ? "?"
                         : "ok",
            name, (unsigned long long)f->checks);
    if (f->unknown)
        fprintf(to, ", %llu unknown (%s did not do)", (unsigned long long)f->unknown, f->budget);
}

void lab_print_json_finding(FILE *to, const struct lab_finding *f)
{
    fprintf(
        to,
        "{\"checks\": %llu, \"failures\": %llu, \"unknown\": %llu, \"at_ns\": %lld, \"first\": ",
        (unsigned long long)f->checks, (unsigned long long)f->failures,
        (unsigned long long)f->unknown, (long long)f->at_ns);
    lab_json_string(to, f->failures ? f->what : f->unknown ? f->budget : "");
    fputc('}', to);
}

const char *lab_print_s(uint64_t n)
{
    return n == 1 ? "" : "s";
}
