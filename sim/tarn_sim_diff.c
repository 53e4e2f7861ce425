/* sim/tarn_sim_diff.c - tarn-sim diff: where do two runs part?  Two seeds of a scenario, or two
 * files of --trace (of two builds, or of one seed with other settings).
 *
 *  1. A machine's events are a stream; the world's own are one more ("-").  Streams of one name are
 *     compared event by event: time, kind and what it is about.
 *  2. A machine that parts late was told late: the first one is where to look. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "core/fmt.h"
#include "sim/lab_json.h"
#include "sim/tarn_sim_args.h"
#include "sim/tarn_sim_child.h"
#include "sim/tarn_sim_run.h"

enum { DIFF_STREAMS = 9000, DIFF_NAME = 32, DIFF_LINE = 200, DIFF_ZERO = 400 };

struct diff_event {
    uint64_t n; /* its number in the whole trace, from 1: --stop-at-event */
    int64_t at_ns;
    uint64_t a, b;
    char kind[16];
};

struct diff_stream {
    char name[DIFF_NAME];
    struct diff_event *e;
    size_t n, cap;
};

struct side {
    char name[80]; /* for people */
    struct diff_stream *streams;
    uint32_t n_streams;
    uint64_t n; /* events */
    struct sim *sim;
};

struct diff {
    const char *operands[2];
    unsigned n_operands;
    const char *sets[ROW_SETS], *others[ROW_SETS]; /* others: of the second run, after sets */
    unsigned n_sets, n_others;
    char zero[DIFF_ZERO]; /* rates that are 0 in one run only: "net.loss_ppm, ..." */
    uint64_t seeds[2];
    unsigned n_seeds;
    int64_t until_ns;
    const char *mutant;
    bool json;
    struct side side[2];
};

/* a stream, and how many of its events are the same; the rest of the two */
struct parting {
    const char *name;
    uint64_t same, alike;          /* alike: of the same kind, whatever the times */
    const struct diff_event *e[2]; /* NULL: it has no more */
};

static const char usage[] =
    "tarn-sim diff SCENARIO --seed A --seed B [--set K=V] [--until T] [--mutant NAME] [--json]\n"
    "tarn-sim diff SCENARIO --seed A --other K=V ...     one seed, and another setting in the "
    "second "
    "run\n"
    "tarn-sim diff TRACE TRACE [--json]\n"
    "\n"
    "Says for each machine, and for the world (\"-\"), how many of its events are the same in two "
    "runs, and the first\n"
    "one that differs; who parts first comes first.  A TRACE is a file of tarn-sim run --trace.\n"
    "\n"
    "Exit status: 0 nothing differs, 5 something does, 2 usage, 6 an assertion failed in a run.\n";

static void *grown(void *old, size_t bytes)
{
    void *p = realloc(old, bytes);
    if (p)
        return p;
    tarn_sim_say("out of memory\n");
    exit(EXIT_BROKEN);
}

static struct diff_stream *stream_of(struct side *d, const char *name, uint32_t hint)
{
    if (hint < d->n_streams && !strcmp(d->streams[hint].name, name))
        return &d->streams[hint];
    for (uint32_t i = 0; i < d->n_streams; i++)
        if (!strcmp(d->streams[i].name, name))
            return &d->streams[i];
    if (d->n_streams == DIFF_STREAMS)
        return NULL;
    d->streams = grown(d->streams, (d->n_streams + 1) * sizeof *d->streams);
    struct diff_stream *s = &d->streams[d->n_streams++];
    *s = (struct diff_stream){.e = NULL};
    fmt_into(s->name, sizeof s->name, "%s", name);
    return s;
}

static void add(struct side *d, struct diff_stream *s, const struct diff_event *e)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 1024;
        s->e = grown(s->e, s->cap * sizeof *s->e);
    }
    s->e[s->n] = *e;
    s->e[s->n++].n = ++d->n;
}

/* ---- where events come from ---- */

static void on_event(void *ctx, const struct sim_trace *t)
{
    struct side *d = ctx;
    bool is_world = t->node == UINT32_MAX;
    const char *name = is_world ? "-" : sim_node_name(sim_node_at(d->sim, t->node));
    struct diff_event e = {.at_ns = t->at_ns, .a = t->a, .b = t->b};
    fmt_into(e.kind, sizeof e.kind, "%s", sim_kind_name((enum sim_kind)t->kind));
    struct diff_stream *s = stream_of(d, name, t->node);
    ASSERT(s);
    add(d, s, &e);
}

static const char *set_of(const struct diff *x, unsigned i)
{
    return i < x->n_sets ? x->sets[i] : x->others[i - x->n_sets];
}

/* what a failed assertion says */
static void tell_again(const struct diff *x, uint64_t seed, unsigned n_sets)
{
    char again[3000];
    size_t n = fmt_into(again, sizeof again, "run ");
    n += tarn_sim_quote(again + n, sizeof again - n, x->operands[0]);
    for (unsigned i = 0; i < n_sets; i++) {
        n += fmt_into(again + n, sizeof again - n, " --set ");
        n += tarn_sim_quote(again + n, sizeof again - n, set_of(x, i));
    }
    if (x->mutant)
        fmt_into(again + n, sizeof again - n, " --mutant %s", x->mutant);
    tarn_sim_on_panic(again, seed);
}

static void run_side(struct diff *x, struct lab_scenario *s, unsigned i)
{
    struct child_world w;
    struct mem m;
    struct side *d = &x->side[i];
    s->seed = x->seeds[i];
    size_t n = fmt_into(d->name, sizeof d->name, "seed %llu", (unsigned long long)s->seed);
    for (unsigned k = 0; i && k < x->n_others; k++)
        n += fmt_into(d->name + n, sizeof d->name - n, " %s", x->others[k]);
    tell_again(x, s->seed, x->n_sets + (i ? x->n_others : 0));
    tarn_sim_mem(&m);
    tarn_sim_child_open(&w, &m, s, NULL);
    d->sim = w.sim;
    sim_trace_hook(w.sim, on_event, d);
    tarn_sim_child_go(&w, x->until_ns);
    if (w.group)
        lab_group_close(w.group);
    else
        lab_run_close(w.run);
    mem_drop(&m);
}

/* "SECONDS.NANOSECONDS MACHINE KIND A B", A and B in hexadecimal */
static bool parse_line(const char *line, char *ret_name, struct diff_event *ret_e)
{
    unsigned long long s, ns, a, b;
    int end = 0;
    *ret_e = (struct diff_event){.n = 0};
    if (sscanf(line, "%9llu.%9llu %31s %15s %16llx %16llx %n", &s, &ns, ret_name, ret_e->kind, &a,
               &b, &end) != 6 ||
        line[end] || strspn(strchr(line, '.') + 1, "0123456789") != 9)
        return false;
    ret_e->at_ns = (int64_t)(s * 1000000000 + ns);
    ret_e->a = a;
    ret_e->b = b;
    return true;
}

static int refuse_operand(const char *path, const char *why)
{
    tarn_sim_say("%s: %s; two operands are two files of tarn-sim run --trace, and a scenario takes "
                 "--seed A --seed B (or --other K=V)\n",
                 path, why);
    return EXIT_USAGE;
}

static int read_side(struct side *d, const char *path)
{
    char line[DIFF_LINE], name[DIFF_NAME], found[700];
    struct diff_event e;
    FILE *f = fopen(path, "r");
    int err = 0;
    fmt_into(d->name, sizeof d->name, "%s", path);
    if (!f && tarn_sim_find(path, found, sizeof found) == found)
        return refuse_operand(path, "the name of a scenario, no trace");
    if (!f) {
        tarn_sim_say("cannot read %s: %s\n", path, strerror(errno));
        return EXIT_USAGE;
    }
    while (!err && fgets(line, sizeof line, f)) {
        struct diff_stream *s = parse_line(line, name, &e) ? stream_of(d, name, 0) : NULL;
        if (s) {
            add(d, s, &e);
            continue;
        }
        tarn_sim_say("%s, line %llu: no event of tarn-sim run --trace%s\n", path,
                     (unsigned long long)d->n + 1,
                     !d->n && *line == '{' ? "; a scenario takes --seed A --seed B, and no second "
                                             "operand"
                                           : "");
        err = EXIT_USAGE;
    }
    if (!err && ferror(f)) {
        tarn_sim_say("cannot read %s: %s\n", path, strerror(errno));
        err = EXIT_USAGE;
    }
    if (!err && !d->n)
        err = refuse_operand(path, "there is no event in it, so nothing to compare");
    fclose(f);
    return err;
}

/* ---- where they part ---- */

static bool is_same(const struct diff_event *a, const struct diff_event *b)
{
    return a->at_ns == b->at_ns && a->a == b->a && a->b == b->b && !strcmp(a->kind, b->kind);
}

static struct parting part(const char *name, const struct diff_stream *a,
                           const struct diff_stream *b)
{
    struct parting p = {.name = name};
    size_t n_a = a ? a->n : 0, n_b = b ? b->n : 0;
    while (p.same < n_a && p.same < n_b && is_same(&a->e[p.same], &b->e[p.same]))
        p.same++;
    p.alike = p.same;
    while (p.alike < n_a && p.alike < n_b && !strcmp(a->e[p.alike].kind, b->e[p.alike].kind))
        p.alike++;
    p.e[0] = p.same < n_a ? &a->e[p.same] : NULL;
    p.e[1] = p.same < n_b ? &b->e[p.same] : NULL;
    return p;
}

/* when it parts; INT64_MAX: never */
static int64_t parting_ns(const struct parting *p)
{
    int64_t at = INT64_MAX;
    for (unsigned i = 0; i < 2; i++)
        if (p->e[i] && p->e[i]->at_ns < at)
            at = p->e[i]->at_ns;
    return at;
}

static int by_time(const void *a, const void *b)
{
    const struct parting *x = a, *y = b;
    int64_t s = parting_ns(x), t = parting_ns(y);
    return s != t ? (s > t) - (s < t) : strcmp(x->name, y->name);
}

static struct parting *part_all(const struct diff *x, uint32_t *ret_n)
{
    const struct side *a = &x->side[0], *b = &x->side[1];
    struct parting *all = grown(NULL, ((size_t)a->n_streams + b->n_streams + 1) * sizeof *all);
    uint32_t n = 0;
    for (unsigned i = 0; i < 2; i++) {
        const struct side *d = &x->side[i], *other = &x->side[1 - i];
        for (uint32_t k = 0; k < d->n_streams; k++) {
            const struct diff_stream *s = &d->streams[k], *t = NULL;
            for (uint32_t j = 0; j < other->n_streams && !t; j++)
                if (!strcmp(other->streams[j].name, s->name))
                    t = &other->streams[j];
            if (i == 0)
                all[n++] = part(s->name, s, t);
            else if (!t)
                all[n++] = part(s->name, NULL, s);
        }
    }
    qsort(all, n, sizeof *all, by_time);
    *ret_n = n;
    return all;
}

/* ---- what is said ---- */

static void print_event(const struct diff_event *e, const char *of)
{
    if (!e)
        printf("      %-20s no more events\n", of);
    else
        printf("      %-20s %.9f s  %s %llx %llx  (event %llu)\n", of, (double)e->at_ns / 1e9,
               e->kind, (unsigned long long)e->a, (unsigned long long)e->b,
               (unsigned long long)e->n);
}

static void print_text(const struct diff *x, const struct parting *all, uint32_t n)
{
    uint32_t equal = 0;
    if (*x->zero)
        printf("%s: 0 in one of them; where a rate is 0 nothing is drawn for it, so from its first "
               "draw on the two have other chance\n",
               x->zero);
    printf("%s: %llu events; %s: %llu events\n", x->side[0].name, (unsigned long long)x->side[0].n,
           x->side[1].name, (unsigned long long)x->side[1].n);
    for (uint32_t i = 0; i < n; i++) {
        if (parting_ns(&all[i]) == INT64_MAX) {
            equal++;
            continue;
        }
        printf("  %-6s parts at %.9f s, after %llu events that are the same (%llu of the same "
               "kinds)\n",
               all[i].name, (double)parting_ns(&all[i]) / 1e9, (unsigned long long)all[i].same,
               (unsigned long long)all[i].alike);
        for (unsigned k = 0; k < 2; k++)
            print_event(all[i].e[k], x->side[k].name);
    }
    printf("%u of %u streams part", n - equal, n);
    for (uint32_t i = n - equal; i < n; i++)
        printf("%s %s", i == n - equal ? "; the same to the end:" : ",", all[i].name);
    printf("\n");
}

static void json_event(const char *name, const struct diff_event *e)
{
    if (!e)
        printf(", \"%s\": null", name);
    else
        printf(", \"%s\": {\"event\": %llu, \"at_ns\": %lld, \"kind\": \"%s\", \"a\": \"%llx\", "
               "\"b\": \"%llx\"}",
               name, (unsigned long long)e->n, (long long)e->at_ns, e->kind,
               (unsigned long long)e->a, (unsigned long long)e->b);
}

static void print_json(const struct diff *x, const struct parting *all, uint32_t n, bool differs)
{
    for (unsigned k = 0; k < 2; k++) {
        printf("%s\"%s\": {\"name\": ", k ? ", " : "{", k ? "second" : "first");
        lab_json_string(stdout, x->side[k].name);
        printf(", \"events\": %llu}", (unsigned long long)x->side[k].n);
    }
    printf(", \"differs\": %s, \"zero_rates\": ", differs ? "true" : "false");
    lab_json_string(stdout, x->zero);
    printf(", \"streams\": [");
    for (uint32_t i = 0; i < n; i++) {
        printf("%s{\"node\": ", i ? ", " : "");
        lab_json_string(stdout, all[i].name);
        printf(", \"same\": %llu, \"alike\": %llu", (unsigned long long)all[i].same,
               (unsigned long long)all[i].alike);
        json_event("first", all[i].e[0]);
        json_event("second", all[i].e[1]);
        printf("}");
    }
    printf("]}\n");
}

/* ---- the command line ---- */

static int parse_valued(void *ctx, const char *o, const char *v)
{
    struct diff *x = ctx;
    if (!strcmp(o, "--seed"))
        return x->n_seeds < 2 && tarn_sim_number(v, &x->seeds[x->n_seeds++]);
    if (!strcmp(o, "--set"))
        return v && x->n_sets < ROW_SETS && (x->sets[x->n_sets++] = v) != NULL;
    if (!strcmp(o, "--other"))
        return v && x->n_others < ROW_SETS && (x->others[x->n_others++] = v) != NULL;
    if (!strcmp(o, "--until"))
        return tarn_sim_time(v, &x->until_ns) && x->until_ns > 0;
    if (!strcmp(o, "--mutant"))
        return (x->mutant = v) && tarn_sim_mutant(v);
    return -1;
}

static int parse_operand(void *ctx, char *v)
{
    struct diff *x = ctx;
    if (x->n_operands == 2)
        return tarn_sim_bad("unexpected operand (a scenario, or two traces)", v);
    x->operands[x->n_operands++] = v;
    return 0;
}

/* rates that are 0 in one of the two runs of a seed alone */
static void find_zeros(struct diff *x, const struct lab_scenario *s)
{
    static struct lab_scenario drawn[2];
    const char *name;
    size_t n = 0;
    for (unsigned i = 0; i < 2; i++) {
        drawn[i] = s[i];
        lab_scenario_draw(&drawn[i], x->seeds[i]);
    }
    for (uint32_t k = 0; x->seeds[0] == x->seeds[1] && (name = lab_scenario_key_name(k)); k++) {
        size_t len = strlen(name);
        bool is_rate = len > 4 && !strcmp(name + len - 4, "_ppm");
        if (is_rate && !lab_scenario_get(&drawn[0], k) != !lab_scenario_get(&drawn[1], k))
            n += fmt_into(x->zero + n, sizeof x->zero - n, "%s%s", n ? ", " : "", name);
    }
}

static bool is_trace(const char *path)
{
    char line[DIFF_LINE] = "", name[DIFF_NAME];
    struct diff_event e;
    FILE *f = fopen(path, "r");
    bool is = f && fgets(line, sizeof line, f) && parse_line(line, name, &e);
    if (f)
        fclose(f);
    return is;
}

static int run_both(struct diff *x)
{
    static struct lab_scenario s[2];
    const char *sets[2 * ROW_SETS];
    unsigned n = x->n_sets + x->n_others;
    if (is_trace(x->operands[0]))
        return tarn_sim_bad("which other trace than", x->operands[0]);
    if (x->n_seeds == 1 && x->n_others)
        x->seeds[x->n_seeds++] = x->seeds[0];
    if (x->n_seeds != 2)
        return tarn_sim_bad("which two seeds? --seed A --seed B, or one and --other K=V", "");
    for (unsigned i = 0; i < n; i++)
        sets[i] = set_of(x, i);
    int err = tarn_sim_load(&s[0], x->operands[0], sets, x->n_sets);
    err = err ? err : tarn_sim_load(&s[1], x->operands[0], sets, n);
    if (err)
        return err;
    find_zeros(x, s);
    for (unsigned i = 0; i < 2; i++)
        run_side(x, &s[i], i);
    return 0;
}

static int read_both(struct diff *x)
{
    if (x->n_seeds || x->n_sets || x->n_others || x->until_ns || x->mutant)
        return tarn_sim_bad("of two traces only --json is an option:", x->operands[1]);
    int err = read_side(&x->side[0], x->operands[0]);
    return err ? err : read_side(&x->side[1], x->operands[1]);
}

int tarn_sim_diff(int argc, char **argv)
{
    static struct diff x;
    const struct args_flag flags[] = {{"--json", &x.json}};
    struct args_table t = {&x, flags, ARRAY_LEN(flags), "diff", parse_valued, parse_operand, false};
    int err = tarn_sim_args_read(argc, argv, &t);
    if (err)
        return err;
    if (t.help) {
        fputs(usage, stdout);
        return 0;
    }
    if (!x.n_operands)
        return tarn_sim_bad("which scenario, or which two traces?", "");
    err = x.n_operands == 2 ? read_both(&x) : run_both(&x);
    if (err)
        return err;
    uint32_t n;
    struct parting *all = part_all(&x, &n);
    bool differs = n && parting_ns(&all[0]) != INT64_MAX;
    if (x.json)
        print_json(&x, all, n, differs);
    else
        print_text(&x, all, n);
    free(all);
    return fflush(stdout) ? EXIT_BROKEN : differs ? EXIT_DIVERGED : 0;
}
