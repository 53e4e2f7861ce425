/* sim/tarn_sim_main.c - tarn-sim: scenarios of failure, run on virtual time from a seed.
 *
 * The only file of the simulator that reads a clock, and only to say how fast it was. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "core/fmt.h"
#include "core/mutant.h"
#include "sim/lab_own.h"
#include "sim/lab_json.h"
#include "sim/lab_points.h"
#include "sim/tarn_sim.h"
#include "sim/tarn_sim_own.h"
#include "sim/tarn_sim_watch.h"

static const char usage[] =
    "tarn-sim - the whole cluster in one thread, on virtual time, from a seed\n"
    "\n"
    "  tarn-sim run SCENARIO [--seed N] [options]      one run, its table and its trace hash\n"
    "  tarn-sim seeds SCENARIO --from A --to B         many runs; prints those that fail\n"
    "  tarn-sim points [OPERATION] [--stride N]        the master dies at every point of every "
    "one\n"
    "  tarn-sim campaign SCENARIO... --seeds A..B --db F   many runs at once, kept in a "
    "database\n"
    "  tarn-sim merge OUT.db IN.db...                  joins databases of campaigns\n"
    "  tarn-sim report --db F > report.html            what is in one, as a page with plots\n"
    "  tarn-sim shrink SCENARIO --seed N               a failure becomes a small scenario "
    "file\n"
    "  tarn-sim check-history FILE...                  is what others recorded linearizable?\n"
    "  tarn-sim elections [--set K=V] --trials N       how long they take, as CSV (papers/)\n"
    "  tarn-sim list [WHAT]                            scenarios, faults, checkers, knobs with "
    "ranges\n"
    "  tarn-sim keys [SCENARIO]                        every key of a scenario and its value\n"
    "  tarn-sim mutants                                known bugs that this build can switch "
    "on\n"
    "\n"
    "  --seed N        default: the scenario's, or 1; the same seed gives the same run, on "
    "every "
    "machine\n"
    "  --set K=V       overrides a key of the scenario (see keys); may be repeated\n"
    "  --twice         runs twice and shows the first event that differs, if any\n"
    "  --stride N      points: at every N-th point only\n"
    "  --at K [--at2 L] --mode M   points: one run; crash, power, torn or double\n"
    "  --first         seeds: stops at the first one that fails\n"
    "  --mutant NAME   with that known bug (builds with -Dmutants=true only)\n"
    "  --until T       stops at a virtual time (2s, 150ms)\n"
    "  --stop-at-event N   stops at the N-th line of --trace: under a debugger by SIGTRAP, "
    "else "
    "with "
    "what there is\n"
    "  --plant panic@N an assertion fails at the N-th event: what do others make of it?\n"
    "  --branch T --vary N   the run up to T, then N continuations with other chances: how "
    "many "
    "fail?\n"
    "  --log NODE      shows the log lines of a node (\"all\": of every node)\n"
    "  --trace FILE    writes every event as a line of text\n"
    "  --history FILE  writes every answer that a client got, and every record, as text; of\n"
    "                  journals alone FILE.jsonl is for check-history\n"
    "  --timeline F    writes the run as a page: machines, leaderships, faults, operations, "
    "messages\n"
    "  --json          the report as JSON (the hash still comes last)\n"
    "\n"
    "Exit status: 0 all verdicts are ok, 2 usage, 3 a safety checker failed, 4 the cluster did "
    "not\n"
    "recover in time, 5 two runs of one seed differ, 6 an assertion failed.\n";

struct options {
    const char *scenario;
    uint64_t seed, from, to;
    const char *sets[64];
    unsigned n_sets;
    bool twice, json, first, has_seed;
    uint64_t stride, at, at2;
    const char *mode;
    int64_t until_ns, branch_ns;
    uint64_t vary, stop_event, plant_event;
    const char *log_node, *trace, *history, *timeline;
};

/* what a panic says; set before each run */
static char panic_scenario[600];
static uint64_t panic_seed;
static struct sim *panic_sim;
static struct watch *panic_watch;

static const char *program = "tarn-sim";

const char *tarn_sim_name(void)
{
    return program;
}

static void on_panic(const char *file, int line, const char *what)
{
    fflush(stdout);
    fprintf(stderr, "assertion failed: %s:%d: %s", file, line, what);
    if (panic_sim)
        fprintf(stderr, ", at %.6f s of virtual time", (double)sim_now_ns(panic_sim) / 1e9);
    fprintf(stderr, "\nreproduce: %s run %s --seed %llu\n", tarn_sim_name(), panic_scenario,
            (unsigned long long)panic_seed);
    if (panic_watch)
        tarn_sim_watch_panic(panic_watch, file, line, what);
    const char *dump = getenv("TARN_SIM_ABORT");
    if (dump && *dump)
        abort();
    _exit(EXIT_PANIC);
}

/* ---- reports ---- */

static double seconds(int64_t ns)
{
    return (double)ns / 1e9;
}

static void print_faults(const struct lab_report *p)
{
    printf("\n  %9s  %-34s %9s  %s\n", "at", "what happened", "for", "longest without any success");
    for (uint32_t i = 0; i < p->n_faults; i++) {
        const struct lab_run_fault *f = &p->faults[i];
        if (f->f.at_ns > p->virtual_ns) {
            printf("  %7.3f s  %-34s not reached\n", seconds(f->f.at_ns),
                   tarn_sim_fault_text(&f->f));
            continue;
        }
        printf("  %7.3f s  %-34s %7.3f s  %7.1f s\n", seconds(f->f.at_ns),
               tarn_sim_fault_text(&f->f), seconds(f->f.for_ns), seconds(f->down_ns));
    }
    if (!p->n_faults)
        printf("  %9s  nothing\n", "");
}

static void print_core(const struct lab_report *p)
{
    if (*p->core)
        printf("\n  core        %s\n", p->core);
}

static void print_load(const struct lab_report *p)
{
    const struct lab_load_stats *l = p->load;
    printf(
        "\n  operations  %llu (%llu ok, %llu refused by the file system, %llu without an answer)\n",
        (unsigned long long)l->ops, (unsigned long long)l->ok, (unsigned long long)l->refused,
        (unsigned long long)l->failed);
    printf("              ");
    for (unsigned k = 0; k < LAB_LOAD_KINDS; k++)
        printf("%s %llu%s", lab_load_kind_name((enum lab_load_kind)k),
               (unsigned long long)l->by_kind[k], k + 1 < LAB_LOAD_KINDS ? ", " : "\n");
    printf("  errors      ");
    unsigned shown = 0;
    for (int e = 1; e < (int)ARRAY_LEN(l->errors); e++)
        if (l->errors[e])
            printf("%s%s %llu", shown++ ? ", " : "", err_name(-e),
                   (unsigned long long)l->errors[e]);
    printf("%s\n", shown ? "" : "none");
    printf(
        "  bytes       %.1f MB read, %.1f MB written; under-store %.1f MB read, %.1f MB written\n",
        (double)l->bytes_read / 1e6, (double)l->bytes_written / 1e6,
        (double)p->store->read_bytes / 1e6, (double)p->store->written_bytes / 1e6);
    printf("  latency     50%% %.2f ms, 90%% %.2f ms, 99%% %.2f ms, 99.9%% %.2f ms (virtual)\n",
           (double)lab_run_quantile(l, 500000) / 1e6, (double)lab_run_quantile(l, 900000) / 1e6,
           (double)lab_run_quantile(l, 990000) / 1e6, (double)lab_run_quantile(l, 999000) / 1e6);
}

static int verdict(const struct lab_report *p)
{
    int status = 0;
    for (unsigned v = 0; v < LAB_VERDICTS; v++)
        if (p->findings[v]->failures && v != LAB_LIVENESS)
            return EXIT_SAFETY;
        else if (p->findings[v]->failures)
            status = EXIT_LIVENESS;
    return status;
}

static void print_verdicts(const struct lab_report *p)
{
    printf("\n");
    for (unsigned v = 0; v < LAB_VERDICTS; v++) {
        const struct lab_finding *f = p->findings[v];
        const char *name = lab_check_name((enum lab_verdict)v);
        printf("  %-4s  %-10s %llu checks", f->failures ? "FAIL" : "ok", name,
               (unsigned long long)f->checks);
        if (f->failures)
            printf(", %llu failed\n        first at %.6f s: %s", (unsigned long long)f->failures,
                   seconds(f->at_ns), f->what);
        printf("\n");
    }
}

static void print_report(const struct lab_scenario *s, const struct lab_report *p, bool over,
                         double wall_s)
{
    printf("%s, seed %llu: %u master%s, %u workers, %u clients, %.1f s of load, %.1f s in all%s\n",
           s->name, (unsigned long long)p->seed, s->masters, s->masters == 1 ? "" : "s", s->workers,
           s->clients, seconds(p->load_ns), seconds(p->virtual_ns), over ? "" : " (cut short)");
    print_faults(p);
    print_core(p);
    print_load(p);
    printf("\n  available   %.1f%% of %u windows of 100 ms had a success; longest without %.1f s; ",
           p->windows ? 100.0 * p->windows_up / p->windows : 0, p->windows,
           seconds(p->longest_down_ns));
    if (p->healed_ns < 0)
        printf("no success after the last fault\n");
    else
        printf("first success %.3f s after the last fault\n", seconds(p->healed_ns));
    if (p->repairs)
        printf("  repaired    %u damaged cache directories were emptied, as their workers asked\n",
               p->repairs);
    if (p->ended && *p->ended)
        printf("  ended       %s\n", p->ended);
    if (s->masters > 1)
        printf(
            "  masters     %llu leaderships, %u changes of the group, %u processes that ended for "
            "their disk's sake\n",
            (unsigned long long)p->leaderships, p->changes, p->exits);
    print_verdicts(p);
    printf("\n  speed       %llu events in %.2f s: %.0f events/s, %.0f x real time\n\n",
           (unsigned long long)p->events, wall_s, wall_s > 0 ? (double)p->events / wall_s : 0,
           wall_s > 0 ? seconds(p->virtual_ns) / wall_s : 0);
}

static void json_report(const struct lab_scenario *s, const struct lab_report *p, double wall_s)
{
    printf("{\"scenario\": ");
    lab_json_string(stdout, s->name);
    printf(", \"seed\": %llu, \"virtual_ns\": %lld, \"events\": %llu, \"wall_s\": %.3f, "
           "\"records\": %llu, \"operations\": %llu, \"ok\": %llu, \"refused\": %llu, "
           "\"unanswered\": %llu, \"windows\": %u, \"windows_up\": %u, \"longest_down_ns\": %lld, "
           "\"healed_ns\": %lld, \"p50_ns\": %lld, \"p99_ns\": %lld, \"faults\": [",
           (unsigned long long)p->seed, (long long)p->virtual_ns, (unsigned long long)p->events,
           wall_s, (unsigned long long)p->records, (unsigned long long)p->load->ops,
           (unsigned long long)p->load->ok, (unsigned long long)p->load->refused,
           (unsigned long long)p->load->failed, p->windows, p->windows_up,
           (long long)p->longest_down_ns, (long long)p->healed_ns,
           (long long)lab_run_quantile(p->load, 500000),
           (long long)lab_run_quantile(p->load, 990000));
    for (uint32_t i = 0; i < p->n_faults; i++)
        printf("%s{\"at_ns\": %lld, \"do\": \"%s\", \"node\": \"%s\", \"to\": \"%s\", \"for_ns\": "
               "%lld, \"down_ns\": %lld}",
               i ? ", " : "", (long long)p->faults[i].f.at_ns,
               lab_scenario_fault_name(p->faults[i].f.kind), p->faults[i].f.node, p->faults[i].f.to,
               (long long)p->faults[i].f.for_ns, (long long)p->faults[i].down_ns);
    printf("], \"verdicts\": {");
    for (unsigned v = 0; v < LAB_VERDICTS; v++) {
        const struct lab_finding *f = p->findings[v];
        printf("%s\"%s\": {\"checks\": %llu, \"failures\": %llu, \"at_ns\": %lld, \"first\": ",
               v ? ", " : "", lab_check_name((enum lab_verdict)v), (unsigned long long)f->checks,
               (unsigned long long)f->failures, (long long)f->at_ns);
        lab_json_string(stdout, f->failures ? f->what : "");
        printf("}");
    }
    printf("}, \"hash\": \"%016llx%016llx\"}\n", (unsigned long long)p->hash[0],
           (unsigned long long)p->hash[1]);
}

/* ---- runs ---- */

struct outcome {
    struct lab_report report;
    struct lab_finding findings[LAB_VERDICTS];
    int status;
};

double tarn_sim_wall_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static_assert((int)LAB_GROUP_VERDICTS == (int)LAB_VERDICTS, "one array for both");
static_assert((int)LAB_GROUP_LIVENESS == (int)LAB_LIVENESS, "and one exit status");

/* journals alone */
static int run_group(const struct options *o, const struct lab_scenario *s, uint64_t seed,
                     struct watch *w, bool quiet, struct outcome *ret_out)
{
    struct mem m;
    struct lab_group_report r;
    tarn_sim_mem(&m);
    panic_seed = seed;
    double t0 = tarn_sim_wall_s();
    struct lab_group *g = lab_group_open(&m, s, seed, w ? tarn_sim_watch_log : NULL, w);
    panic_sim = lab_group_sim(g);
    if (w)
        tarn_sim_watch_group(w, g);
    lab_group_go(g, o->until_ns);
    lab_group_report(g, &r);
    if (!quiet)
        lab_group_print(s, &r, tarn_sim_wall_s() - t0, o->json);
    memcpy(ret_out->report.hash, r.hash, sizeof r.hash);
    ret_out->report.events = r.events;
    for (unsigned v = 0; v < LAB_VERDICTS; v++) {
        ret_out->findings[v] = r.findings[v];
        ret_out->report.findings[v] = &ret_out->findings[v];
    }
    ret_out->status = verdict(&ret_out->report);
    if (w)
        tarn_sim_watch_over(w);
    panic_sim = NULL;
    lab_group_close(g);
    mem_drop(&m);
    return ret_out->status;
}

static int run_one(const struct options *o, const struct lab_scenario *s, uint64_t seed,
                   struct watch *w, bool quiet, struct outcome *ret_out)
{
    struct mem m;
    if (lab_scenario_is_group(s))
        return run_group(o, s, seed, w, quiet, ret_out);
    tarn_sim_mem(&m);
    panic_seed = seed;
    double t0 = tarn_sim_wall_s();
    struct lab_run *r = lab_run_open(&m, s, seed, w ? tarn_sim_watch_log : NULL, w);
    panic_sim = lab_run_sim(r);
    if (w)
        tarn_sim_watch_run(w, r);
    bool over = lab_run_go(r, o->until_ns);
    double wall_s = tarn_sim_wall_s() - t0;
    lab_run_report(r, &ret_out->report);
    for (unsigned v = 0; v < LAB_VERDICTS; v++) {
        ret_out->findings[v] = *ret_out->report.findings[v];
        ret_out->report.findings[v] = &ret_out->findings[v];
    }
    ret_out->status = verdict(&ret_out->report);
    if (!quiet && o->json)
        json_report(s, &ret_out->report, wall_s);
    else if (!quiet)
        print_report(s, &ret_out->report, over, wall_s);
    if (w && w->diverged) {
        printf("the second run differs from event %llu on, which is now:\n  ",
               (unsigned long long)w->diverged);
        tarn_sim_watch_text(w, &w->first_other, stdout);
    }
    if (w)
        tarn_sim_watch_over(w);
    panic_sim = NULL;
    lab_run_close(r);
    mem_drop(&m);
    return ret_out->status;
}

int tarn_sim_load(struct lab_scenario *s, const char *path, const char *const *sets,
                  unsigned n_sets)
{
    char why[LAB_ERROR] = "";
    int err = lab_scenario_load(s, path, why);
    for (unsigned i = 0; i < n_sets && !err; i++)
        err = lab_scenario_set(s, sets[i], why);
    if (!err)
        err = lab_scenario_check(s, why);
    if (err)
        fprintf(stderr, "tarn-sim: %s: %s\n", path, why);
    else if (*s->mutant && !tarn_sim_mutant(s->mutant))
        err = tarn_sim_bad("the scenario is for a build with a known bug:", s->mutant);
    return err ? EXIT_USAGE : 0;
}

static int load_scenario(const struct options *o, struct lab_scenario *s)
{
    int err = tarn_sim_load(s, o->scenario, o->sets, o->n_sets);
    if (err)
        return err;
    size_t n = fmt_into(panic_scenario, sizeof panic_scenario, "%s", o->scenario);
    for (unsigned i = 0; i < o->n_sets; i++)
        n += fmt_into(panic_scenario + n, sizeof panic_scenario - n, " --set %s", o->sets[i]);
    return 0;
}

static int cmd_run(struct options *o)
{
    static struct lab_scenario s;
    static struct outcome out, again;
    int err = load_scenario(o, &s);
    if (err)
        return err;
    if (!o->has_seed && s.seed)
        o->seed = s.seed;
    if (o->branch_ns) {
        s.seed = o->seed;
        return tarn_sim_branch(&s, o->branch_ns, o->vary, o->json);
    }
    static struct watch w;
    w.s = &s;
    w.seed = o->seed;
    w.log_node = o->log_node;
    w.stop_event = o->stop_event;
    w.plant_event = o->plant_event;
    w.twice = o->twice;
    bool watched = o->twice || o->trace || o->log_node || o->history || o->stop_event ||
                   o->plant_event || o->timeline;
    panic_watch = watched ? &w : NULL;
    size_t len = o->history ? strlen(o->history) : 0;
    w.is_jsonl = len > 6 && !strcmp(o->history + len - 6, ".jsonl");
    if (w.is_jsonl && !lab_scenario_is_group(&s))
        return tarn_sim_bad("only of journals alone is a history for check-history:", o->history);
    if ((o->trace && !(w.trace = fopen(o->trace, "w"))) ||
        (o->history && !(w.history = fopen(o->history, "w"))) ||
        (o->timeline && !(w.page = fopen(o->timeline, "w")))) {
        fprintf(stderr, "tarn-sim: cannot write %s\n",
                o->trace && !w.trace       ? o->trace
                : o->history && !w.history ? o->history
                                           : o->timeline);
        return EXIT_USAGE;
    }
    int status = run_one(o, &s, o->seed, watched ? &w : NULL, false, &out);
    if (!tarn_sim_watch_close(&w))
        status = status ? status : EXIT_USAGE;
    if (o->twice) {
        w.cap = w.n;
        w.n = 0;
        w.is_second = true;
        run_one(o, &s, o->seed, &w, true, &again);
        if (w.diverged || memcmp(out.report.hash, again.report.hash, sizeof out.report.hash)) {
            status = EXIT_DIVERGED;
            printf("FAIL  the two runs of seed %llu differ\n", (unsigned long long)o->seed);
        }
    }
    free(w.events);
    if (status && status != EXIT_DIVERGED)
        printf("reproduce: %s run %s --seed %llu\n", tarn_sim_name(), panic_scenario,
               (unsigned long long)o->seed);
    printf("%016llx%016llx\n", (unsigned long long)out.report.hash[0],
           (unsigned long long)out.report.hash[1]);
    return status;
}

static int cmd_seeds(const struct options *o)
{
    static struct lab_scenario s;
    static struct outcome out;
    uint64_t failed = 0, events = 0, worst = 0;
    int err = load_scenario(o, &s);
    if (err)
        return err;
    bool tty = isatty(2);
    double t0 = tarn_sim_wall_s();
    for (uint64_t seed = o->from; seed <= o->to; seed++) {
        int status = run_one(o, &s, seed, NULL, true, &out);
        events += out.report.events;
        if (tty)
            fprintf(stderr, "\r%llu of %llu, %llu failed ",
                    (unsigned long long)(seed - o->from + 1),
                    (unsigned long long)(o->to - o->from + 1),
                    (unsigned long long)(failed + (status != 0)));
        if (!status)
            continue;
        failed++;
        worst = !worst || status < (int)worst ? (uint64_t)status : worst;
        for (unsigned v = 0; v < LAB_VERDICTS; v++)
            if (out.findings[v].failures)
                printf("seed %llu: %s: at %.6f s: %s\n", (unsigned long long)seed,
                       tarn_sim_watch_verdict(&s, v), seconds(out.findings[v].at_ns),
                       out.findings[v].what);
        printf("  reproduce: %s run %s --seed %llu\n", tarn_sim_name(), panic_scenario,
               (unsigned long long)seed);
        fflush(stdout);
        if (o->first)
            break;
    }
    double wall_s = tarn_sim_wall_s() - t0;
    if (tty)
        fprintf(stderr, "\n");
    printf("%llu seeds, %llu failed, %llu events, %.0f events/s\n",
           (unsigned long long)(o->to - o->from + 1), (unsigned long long)failed,
           (unsigned long long)events, wall_s > 0 ? (double)events / wall_s : 0);
    return (int)worst;
}

static int cmd_keys(const struct options *o)
{
    static struct lab_scenario s;
    char line[200];
    lab_scenario_default(&s);
    int err = o->scenario ? load_scenario(o, &s) : 0;
    for (uint32_t i = 0; !err && lab_scenario_key(&s, i, line, sizeof line); i++)
        printf("%s\n", line);
    return err;
}

static const char *const option_names[] = {
    "--seed",    "--from", "--to",     "--until", "--log",           "--stride",   "--at",
    "--at2",     "--mode", "--branch", "--vary",  "--stop-at-event", "--mutant",   "--trace",
    "--history", "--set",  "--twice",  "--json",  "--first",         "--timeline", "--plant",
};
static const char *const command_names[] = {"run",    "seeds",   "points",        "list",
                                            "keys",   "mutants", "campaign",      "merge",
                                            "report", "shrink",  "check-history", "elections"};

/* how many letters must be changed, added or dropped to make b of a; at most 32 letters count */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[34];
    size_t n = strlen(b) > 32 ? 32 : strlen(b);
    for (unsigned j = 0; j <= n; j++)
        row[j] = j;
    for (unsigned i = 1; *a && i <= 32; i++, a++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= n; j++) {
            unsigned change = diagonal + (*a != b[j - 1]);
            diagonal = row[j];
            unsigned least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = change < least ? change : least;
        }
    }
    return row[n];
}

int tarn_sim_unknown(const char *what, const char *word, const char *const *names, size_t n)
{
    const char *near = NULL;
    unsigned best = 3;
    for (size_t i = 0; i < n; i++) {
        unsigned d = distance(word, names[i]);
        if (d < best) {
            best = d;
            near = names[i];
        }
    }
    fprintf(stderr, "tarn-sim: unknown %s %s%s%s%s (see --help)\n", what, word,
            near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    return EXIT_USAGE;
}

int tarn_sim_bad(const char *what, const char *arg)
{
    fprintf(stderr, "tarn-sim: %s %s (see --help)\n", what, arg ? arg : "");
    return EXIT_USAGE;
}

/* ---- points ---- */

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
    fmt_into(panic_scenario, sizeof panic_scenario, "points \"%s\" --mode %s --at %u --at2 %u",
             lab_points_name(w->op), lab_points_mode_name(mode), at, at2);
    panic_seed = w->o->seed;
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
        printf("FAIL  %s: %s\n  reproduce: tarn-sim %s --seed %llu\n", lab_points_name(w->op),
               r->why, panic_scenario, (unsigned long long)w->o->seed);
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

static int cmd_points(const struct options *o)
{
    uint32_t runs = 0, failed = 0, ops = 0;
    uint64_t events = 0;
    double t0 = tarn_sim_wall_s();
    bool is_known = !o->scenario;
    for (uint32_t i = 0; !is_known && lab_points_name(i); i++)
        is_known = !strcmp(o->scenario, lab_points_name(i));
    if (!is_known) {
        fprintf(stderr, "tarn-sim: no operation is called %s; there are", o->scenario);
        for (uint32_t i = 0; lab_points_name(i); i++)
            fprintf(stderr, "%s \"%s\"", i ? "," : "", lab_points_name(i));
        fputc('\n', stderr);
        return EXIT_USAGE;
    }
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

/* ---- known bugs ---- */

static const char *const mutants[][2] = {
#define MUTANT_TEXT(name, what) {#name, what},
    MUTANTS(MUTANT_TEXT) RAFT_MUTANTS(MUTANT_TEXT)
#undef MUTANT_TEXT
};

bool tarn_sim_mutant(const char *name)
{
    if (name && lab_own_plant(name))
        return true;
#ifdef TARN_MUTANTS
    for (uint32_t i = 0; name && i < ARRAY_LEN(mutants); i++) {
        if (strcmp(mutants[i][0], name) != 0)
            continue;
        mutant_on = i + 1;
        return true;
    }
#else
    (void)name;
    fprintf(stderr, "tarn-sim: this build has no known bugs; configure one with -Dmutants=true\n");
#endif
    return false;
}

static int cmd_mutants(void)
{
    const struct lab_own *own = lab_own_registered();
    for (uint32_t i = 0; own && own->bugs && own->bugs[i][0]; i++)
        printf("%-24s %s\n", own->bugs[i][0], own->bugs[i][1]);
    if (own)
        return 0;
#ifdef TARN_MUTANTS
    for (uint32_t i = 0; i < ARRAY_LEN(mutants); i++)
        printf("%-24s %s\n", mutants[i][0], mutants[i][1]);
#else
    (void)mutants;
    fprintf(stderr, "tarn-sim: this build has no known bugs; configure one with -Dmutants=true\n");
#endif
    return 0;
}

/* ---- the command line ---- */

bool tarn_sim_number(const char *s, uint64_t *ret_v)
{
    char *end = NULL;
    *ret_v = s ? strtoull(s, &end, 10) : 0;
    return s && *s >= '0' && *s <= '9' && !*end;
}

bool tarn_sim_time(const char *s, int64_t *ret_ns)
{
    static struct lab_scenario scratch;
    char assignment[80], why[LAB_ERROR];
    fmt_into(assignment, sizeof assignment, "duration=%s", s ? s : "");
    int err = lab_scenario_set(&scratch, assignment, why);
    *ret_ns = scratch.duration_ns;
    return !err;
}

static int parse(int argc, char **argv, struct options *o)
{
    for (int i = 2; i < argc; i++) {
        const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;
        bool takes = true, ok = true;
        if (!strcmp(a, "--seed"))
            ok = o->has_seed = tarn_sim_number(v, &o->seed);
        else if (!strcmp(a, "--from"))
            ok = tarn_sim_number(v, &o->from);
        else if (!strcmp(a, "--to"))
            ok = tarn_sim_number(v, &o->to);
        else if (!strcmp(a, "--until"))
            ok = tarn_sim_time(v, &o->until_ns);
        else if (!strcmp(a, "--branch"))
            ok = tarn_sim_time(v, &o->branch_ns) && o->branch_ns > 0;
        else if (!strcmp(a, "--vary"))
            ok = tarn_sim_number(v, &o->vary) && o->vary <= 100000;
        else if (!strcmp(a, "--stop-at-event"))
            ok = tarn_sim_number(v, &o->stop_event) && o->stop_event;
        else if (!strcmp(a, "--plant"))
            ok = v && !strncmp(v, "panic@", 6) && tarn_sim_number(v + 6, &o->plant_event);
        else if (!strcmp(a, "--log"))
            ok = (o->log_node = v) != NULL;
        else if (!strcmp(a, "--stride"))
            ok = tarn_sim_number(v, &o->stride) && o->stride;
        else if (!strcmp(a, "--at"))
            ok = tarn_sim_number(v, &o->at);
        else if (!strcmp(a, "--at2"))
            ok = tarn_sim_number(v, &o->at2);
        else if (!strcmp(a, "--mode"))
            ok = (o->mode = v) != NULL;
        else if (!strcmp(a, "--mutant"))
            ok = tarn_sim_mutant(v);
        else if (!strcmp(a, "--trace"))
            ok = (o->trace = v) != NULL;
        else if (!strcmp(a, "--history"))
            ok = (o->history = v) != NULL;
        else if (!strcmp(a, "--timeline"))
            ok = (o->timeline = v) != NULL;
        else if (!strcmp(a, "--set"))
            ok = v && o->n_sets < ARRAY_LEN(o->sets) && (o->sets[o->n_sets++] = v) != NULL;
        else {
            takes = false;
            if (!strcmp(a, "--twice"))
                o->twice = true;
            else if (!strcmp(a, "--json"))
                o->json = true;
            else if (!strcmp(a, "--first"))
                o->first = true;
            else if (a[0] == '-')
                return tarn_sim_unknown("option", a, option_names, ARRAY_LEN(option_names));
            else if (o->scenario)
                return tarn_sim_bad("unexpected operand", a);
            else
                o->scenario = a;
        }
        if (!ok)
            return tarn_sim_bad("missing or bad value of", a);
        i += takes;
    }
    return 0;
}

int tarn_sim_own(int argc, char **argv, const struct lab_own *own)
{
    struct options o = {.seed = 1, .from = 1, .to = 100, .stride = 1, .vary = 20};
    const char *cmd = argc > 1 ? argv[1] : "";
    base_panic_hook = on_panic;
    lab_own_register(own);
    if (own && argc)
        program = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    if (!strcmp(cmd, "campaign"))
        return tarn_sim_campaign(argc, argv);
    if (!strcmp(cmd, "merge"))
        return tarn_sim_merge(argc, argv);
    if (!strcmp(cmd, "report"))
        return tarn_sim_report(argc, argv);
    if (!strcmp(cmd, "shrink"))
        return tarn_sim_shrink(argc, argv);
    if (!strcmp(cmd, "check-history"))
        return tarn_sim_history(argc, argv);
    if (!strcmp(cmd, "list"))
        return tarn_sim_list(argc, argv);
    if (!strcmp(cmd, "elections"))
        return tarn_sim_elections(argc, argv);
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(usage, stdout);
            return 0;
        }
    }
    if (!*cmd) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    bool is_known = false;
    for (size_t i = 0; i < ARRAY_LEN(command_names); i++)
        is_known |= !strcmp(cmd, command_names[i]);
    if (!is_known)
        return tarn_sim_unknown("command", cmd, command_names, ARRAY_LEN(command_names));
    int err = parse(argc, argv, &o);
    if (err)
        return err;
    if (!strcmp(cmd, "points"))
        return cmd_points(&o);
    if (!strcmp(cmd, "mutants"))
        return cmd_mutants();
    if (!strcmp(cmd, "keys"))
        return cmd_keys(&o);
    if (!o.scenario)
        return tarn_sim_bad("which scenario?", "");
    if (o.from > o.to)
        return tarn_sim_bad("--from is above --to,", "so there is no seed to run");
    return !strcmp(cmd, "run") ? cmd_run(&o) : cmd_seeds(&o);
}
