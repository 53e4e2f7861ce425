/* sim/tarn_sim_main.c - tarn-sim: scenarios of failure, run on virtual time from a seed.
 *
 * The only file of the simulator that reads a clock, and only to say how fast it was. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "core/fmt.h"
#include "sim/lab_print.h"
#include "core/mutant.h"
#include "sim/lab_json.h"
#include "sim/lab_own.h"
#include "sim/tarn_sim.h"
#include "sim/tarn_sim_db.h"
#include "sim/tarn_sim_own.h"
#include "sim/tarn_sim_run.h"
#include "sim/tarn_sim_watch.h"

static const char usage[] =
    "tarn-sim - the whole cluster in one thread, on virtual time, from a seed\n"
    "\n"
    "  tarn-sim run SCENARIO [--seed N] [options]      one run, its table and its trace hash\n"
    "  tarn-sim seeds SCENARIO --from A --to B         many runs (1 to 100); prints those "
    "that fail\n"
    "  tarn-sim points [OPERATION] [--stride N]        the master dies at every point of every "
    "one\n"
    "  tarn-sim campaign SCENARIO... --seeds A..B --db F   many runs at once, kept in a "
    "database\n"
    "  tarn-sim merge OUT.db IN.db...                  joins databases of campaigns\n"
    "  tarn-sim report --db F > report.html            what is in one, as a page with plots\n"
    "  tarn-sim shrink SCENARIO --seed N               a failure becomes a small scenario "
    "file\n"
    "  tarn-sim diff SCENARIO --seed A --seed B        where two runs, or two traces, part\n"
    "  tarn-sim check-history FILE...                  is what others recorded linearizable?\n"
    "  tarn-sim elections [--set K=V] --trials N       how long they take, as CSV (papers/)\n"
    "  tarn-sim list [WHAT]                            scenarios, faults, checkers, knobs with "
    "ranges\n"
    "  tarn-sim keys [SCENARIO]                        every key of a scenario and its value\n"
    "  tarn-sim mutants                                known bugs that this build can switch "
    "on\n"
    "  tarn-sim --version                              commit, compiler, schema of databases\n"
    "\n"
    "A SCENARIO is a file, or the name of one that comes with tarn-sim (tarn-sim list scenarios).\n"
    "\n"
    "  --seed N        default: the scenario's, or 1; the same seed gives the same run, on "
    "every "
    "machine\n"
    "  --set K=V       overrides a key of the scenario (see keys); may be repeated; net.loss=0.05 "
    "is\n"
    "                  net.loss_ppm=50000; a time needs a unit\n"
    "  --twice         runs twice and shows the first event that differs, if any\n"
    "  --stride N      points: at every N-th point only\n"
    "  --at K [--at2 L] --mode M   points: one run; crash, power, torn or double\n"
    "  --first         seeds: stops at the first one that fails\n"
    "  --mutant NAME   with that known bug, or A+B (builds with -Dmutants=true only)\n"
    "  --until T       stops at a virtual time (2s, 150ms)\n"
    "  --stop-at-event N   stops at the N-th line of --trace: under a debugger by SIGTRAP, "
    "else "
    "with "
    "what there is\n"
    "  --plant panic@N an assertion fails at the N-th event: what do others make of it?\n"
    "  --branch T --vary N   the run up to T, then N continuations with other chances: how "
    "many "
    "fail?\n"
    "  --branch auto   looks for the event from which on most of N continuations fail as the run "
    "does\n"
    "  --log NODE      shows the log lines of a node (\"all\": of every node)\n"
    "  --trace FILE    writes every event as a line of text\n"
    "  --history FILE  writes every answer that a client got, and every record, as text; of\n"
    "                  journals alone, or with client.ask_always=1, FILE.jsonl is for "
    "check-history\n"
    "  --timeline F    writes the run as a page: machines, leaderships, faults, operations, "
    "messages\n"
    "  --json          run: one JSON document on standard output, and nothing else there\n"
    "\n"
    "A file \"-\" is standard output; the report then goes to standard error.\n"
    "\n"
    "Exit status: 0 all verdicts are ok, 1 a file could not be written, 2 usage, 3 a safety "
    "checker\n"
    "failed, 4 the cluster did not recover in time, 5 two runs of one seed differ, 6 an assertion\n"
    "failed.\n";

/* what a panic says; set before each run */
static char panic_again[3000]; /* the command, without the program and the seed */
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
    fprintf(stderr, "\nreproduce: %s %s --seed %llu\n", tarn_sim_name(), panic_again,
            (unsigned long long)panic_seed);
    if (panic_watch)
        tarn_sim_watch_panic(panic_watch, file, line, what);
    const char *dump = getenv("TARN_SIM_ABORT");
    if (dump && *dump)
        abort();
    _exit(EXIT_PANIC);
}

void tarn_sim_on_panic(const char *again, uint64_t seed)
{
    fmt_into(panic_again, sizeof panic_again, "%s", again);
    panic_seed = seed;
}

/* ---- runs ---- */

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

static_assert((int)LAB_GROUP_VERDICTS <= (int)LAB_VERDICTS, "one array for both");
static_assert((int)LAB_GROUP_LIVENESS == (int)LAB_LIVENESS, "and one exit status");

/* where what is said of a run goes: standard output, but for what a program reads there */
static FILE *words_of(const struct options *o)
{
    return o->json ? stderr : o->out;
}

/* a run is over, and not closed yet */
static void end_watch(const struct options *o, struct watch *w)
{
    panic_sim = NULL;
    if (!w)
        return;
    if (w->diverged) {
        fprintf(words_of(o), "the second run differs from event %llu on, which is now:\n  ",
                (unsigned long long)w->diverged);
        tarn_sim_watch_text(w, &w->first_other, words_of(o));
    }
    tarn_sim_watch_over(w);
}

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
    bool over = lab_group_go(g, o->until_ns);
    lab_group_report(g, &r);
    if (!quiet)
        lab_group_print(o->out, s, &r, tarn_sim_wall_s() - t0, over, o->json);
    memcpy(ret_out->report.hash, r.hash, sizeof r.hash);
    ret_out->report.events = r.events;
    for (unsigned v = 0; v < LAB_VERDICTS; v++) {
        ret_out->findings[v] = r.findings[v];
        ret_out->report.findings[v] = &ret_out->findings[v];
    }
    ret_out->status = verdict(&ret_out->report);
    end_watch(o, w);
    lab_group_close(g);
    mem_drop(&m);
    return ret_out->status;
}

static int run_one(const struct options *o, const struct lab_scenario *s, uint64_t seed,
                   struct watch *w, bool quiet, struct outcome *ret_out)
{
    struct mem m;
    struct run_end e;
    if (lab_scenario_is_group(s))
        return run_group(o, s, seed, w, quiet, ret_out);
    tarn_sim_mem(&m);
    panic_seed = seed;
    double t0 = tarn_sim_wall_s();
    struct lab_run *r = lab_run_open(&m, s, seed, w ? tarn_sim_watch_log : NULL, w);
    panic_sim = lab_run_sim(r);
    if (w)
        tarn_sim_watch_run(w, r);
    e.over = lab_run_go(r, o->until_ns);
    e.wall_s = tarn_sim_wall_s() - t0;
    lab_run_report(r, &ret_out->report);
    for (unsigned v = 0; v < LAB_VERDICTS; v++) {
        ret_out->findings[v] = *ret_out->report.findings[v];
        ret_out->report.findings[v] = &ret_out->findings[v];
    }
    ret_out->status = verdict(&ret_out->report);
    if (!quiet)
        tarn_sim_print(o->out, s, &ret_out->report, &e, o->json);
    end_watch(o, w);
    lab_run_close(r);
    mem_drop(&m);
    return ret_out->status;
}

/* what the command line says beside the scenario, and whether it makes sense then */
static int settle(struct lab_scenario *s, const char *name, const char *const *sets,
                  unsigned n_sets)
{
    char why[LAB_ERROR] = "";
    int err = 0;
    for (unsigned i = 0; i < n_sets && !err; i++)
        err = lab_scenario_set(s, sets[i], why);
    if (!err)
        err = lab_scenario_check(s, why);
    if (err)
        tarn_sim_say("%s: %s\n", name, why);
    return err ? EXIT_USAGE : 0;
}

int tarn_sim_load(struct lab_scenario *s, const char *path, const char *const *sets,
                  unsigned n_sets)
{
    char why[LAB_ERROR] = "", found[700];
    const char *file = tarn_sim_find(path, found, sizeof found);
    if (!file)
        return tarn_sim_no_scenario(path);
    if (lab_scenario_load(s, file, why)) {
        tarn_sim_say("%s: %s\n", file, why);
        return EXIT_USAGE;
    }
    int err = settle(s, path, sets, n_sets);
    if (!err && *s->mutant && !tarn_sim_mutant(s->mutant))
        err = tarn_sim_bad("the scenario is for a build with a known bug:", s->mutant);
    return err;
}

static int load_scenario(const struct options *o, struct lab_scenario *s)
{
    char again[sizeof panic_again];
    int err = tarn_sim_load(s, o->scenario, o->sets, o->n_sets);
    if (err)
        return err;
    size_t n = fmt_into(again, sizeof again, "run ");
    n += tarn_sim_quote(again + n, sizeof again - n, o->scenario);
    for (unsigned i = 0; i < o->n_sets; i++) {
        n += fmt_into(again + n, sizeof again - n, " --set ");
        n += tarn_sim_quote(again + n, sizeof again - n, o->sets[i]);
    }
    if (o->mutant)
        n += fmt_into(again + n, sizeof again - n, " --mutant %s", o->mutant);
    if (o->plant)
        fmt_into(again + n, sizeof again - n, " --plant %s", o->plant);
    tarn_sim_on_panic(again, o->seed);
    return 0;
}

static bool is_stdout(const char *file)
{
    return file && !strcmp(file, "-");
}

static int open_file(const char *name, FILE **ret_file)
{
    if (name && !(*ret_file = is_stdout(name) ? stdout : fopen(name, "w"))) {
        tarn_sim_say("cannot write %s\n", name);
        return EXIT_USAGE;
    }
    return 0;
}

/* files and what else is asked of a run; ret: 0, or EXIT_USAGE when it has said why not */
static int open_watch(struct options *o, const struct lab_scenario *s, struct watch *w)
{
    w->s = s;
    w->seed = o->seed;
    w->log_node = o->log_node;
    w->stop_event = o->stop_event;
    w->plant_event = o->plant_event;
    w->twice = o->twice;
    unsigned streams = is_stdout(o->trace) + is_stdout(o->history) + is_stdout(o->timeline);
    if (streams + o->json > 1)
        return tarn_sim_bad("standard output takes one of --json and files called", "-");
    if (streams)
        o->out = stderr;
    w->say = words_of(o);
    if (o->log_node && strcmp(o->log_node, "all") != 0 &&
        !lab_scenario_has_machine(s, o->log_node)) {
        tarn_sim_say("--log: there is no machine %s (m1..m%u", o->log_node, s->masters);
        if (s->workers && !lab_scenario_is_group(s))
            fprintf(stderr, ", w1..w%u", s->workers);
        fprintf(stderr, ", c1..c%u; all)\n", s->clients);
        return EXIT_USAGE;
    }
    size_t len = o->history ? strlen(o->history) : 0;
    bool is_linear = lab_scenario_is_group(s) || s->client_ask_always;
    w->is_jsonl = (len > 6 && !strcmp(o->history + len - 6, ".jsonl")) ||
                  (is_stdout(o->history) && is_linear);
    if (w->is_jsonl && !is_linear)
        return tarn_sim_bad("clients that keep answers have no history for check-history; try "
                            "--set client.ask_always=1, not",
                            o->history);
    int err = open_file(o->trace, &w->trace);
    err = err ? err : open_file(o->history, &w->history);
    return err ? err : open_file(o->timeline, &w->page);
}

/* an event that was asked for and never came: nothing of what was to happen there did */
static bool has_come(uint64_t asked, uint64_t seen, const char *option)
{
    if (asked <= seen)
        return true;
    tarn_sim_say("%s %llu: the run has %llu events only, as --trace counts them\n", option,
                 (unsigned long long)asked, (unsigned long long)seen);
    return false;
}

/* the last lines, or the end of the JSON */
static void print_end(const struct options *o, int status, const struct outcome *out)
{
    char again[sizeof panic_again + 60];
    fmt_into(again, sizeof again, "%s %s --seed %llu", tarn_sim_name(), panic_again,
             (unsigned long long)o->seed);
    if (status == EXIT_DIVERGED)
        fmt_into(again + strlen(again), sizeof again - strlen(again), " --twice");
    bool is_told = status && status != EXIT_USAGE;
    const struct db_machine *m = tarn_sim_db_machine();
    if (o->json) {
        fprintf(o->out, ", \"commit\": \"%s\", \"compiler\": ", tarn_sim_db_commit());
        lab_json_string(o->out, tarn_sim_db_compiler());
        fprintf(o->out, ", \"cpu\": ");
        lab_json_string(o->out, m->cpu);
        fprintf(o->out, ", \"cores\": %lld, \"kernel\": ", (long long)m->cores);
        lab_json_string(o->out, m->kernel);
        fprintf(o->out, ", \"status\": %d, \"reproduce\": ", status);
        lab_json_string(o->out, is_told ? again : "");
        fprintf(o->out, "}\n");
        return;
    }
    fprintf(o->out, "  program     commit %s, %s\n", tarn_sim_db_commit(), tarn_sim_db_compiler());
    fprintf(o->out, "  machine     %s, %lld core%s, %s\n\n", m->cpu, (long long)m->cores,
            lab_print_s((uint64_t)m->cores), m->kernel);
    if (status == EXIT_DIVERGED)
        fprintf(o->out, "FAIL  the two runs of seed %llu differ\n", (unsigned long long)o->seed);
    if (is_told)
        fprintf(o->out, "reproduce: %s\n", again);
    fprintf(o->out, "%016llx%016llx\n", (unsigned long long)out->report.hash[0],
            (unsigned long long)out->report.hash[1]);
}

/* of timed faults that are listed for a time when nothing happens any more, or where they can do
 * nothing */
static void warn_faults(const struct lab_scenario *s)
{
    for (uint32_t i = 0; i < s->n_faults; i++) {
        const struct lab_fault *f = &s->faults[i];
        const char *idle = lab_scenario_fault_idle(s, f);
        if (idle)
            tarn_sim_say("faults[%u] (%s) does nothing to %s: %s\n", i,
                         lab_scenario_fault_name(f->kind), f->node, idle);
        else if (!lab_scenario_comes_to(s, f, f->at_ns))
            tarn_sim_say(
                "faults[%u] (%s) never happens: it is at %.3f s, and the load ends at %.3f "
                "s (duration)\n",
                i, lab_scenario_fault_name(f->kind), (double)f->at_ns / 1e9,
                (double)s->duration_ns / 1e9);
    }
}

static int cmd_run(struct options *o)
{
    static struct lab_scenario s;
    static struct outcome out, again;
    static struct watch w;
    int err = load_scenario(o, &s);
    if (err)
        return err;
    if (!o->has_seed && s.seed)
        o->seed = s.seed;
    if (o->has_branch) {
        s.seed = o->seed;
        return o->is_auto ? tarn_sim_decided(&s, o->vary, o->json)
                          : tarn_sim_branch(&s, o->branch_ns, o->vary, o->json);
    }
    err = open_watch(o, &s, &w);
    if (err)
        return err;
    warn_faults(&s);
    bool watched = o->twice || o->trace || o->log_node || o->history || o->stop_event ||
                   o->plant_event || o->timeline;
    panic_watch = watched ? &w : NULL;
    int status = run_one(o, &s, o->seed, watched ? &w : NULL, false, &out);
    if (!tarn_sim_watch_close(&w))
        status = status ? status : EXIT_BROKEN;
    if (!has_come(o->stop_event, w.seen, "--stop-at-event") ||
        !has_come(o->plant_event, w.seen, "--plant panic@"))
        status = EXIT_USAGE;
    if (o->twice) {
        w.cap = w.n;
        w.n = w.seen = 0;
        w.is_second = true;
        w.log_node = NULL;
        run_one(o, &s, o->seed, &w, true, &again);
        if (w.diverged || memcmp(out.report.hash, again.report.hash, sizeof out.report.hash))
            status = EXIT_DIVERGED;
    }
    free(w.events);
    print_end(o, status, &out);
    if (fflush(stdout) || ferror(stdout)) {
        tarn_sim_say("standard output: %s\n", strerror(errno));
        status = status ? status : EXIT_BROKEN;
    }
    return status;
}

static int cmd_seeds(const struct options *o)
{
    static struct lab_scenario s;
    static struct outcome out;
    uint64_t failed = 0, events = 0, worst = 0, done = 0, n = o->to - o->from + 1;
    int err = load_scenario(o, &s);
    if (err)
        return err;
    bool tty = isatty(2);
    double t0 = tarn_sim_wall_s();
    while (done < n && !(failed && o->first)) {
        uint64_t seed = o->from + done++;
        int status = run_one(o, &s, seed, NULL, true, &out);
        events += out.report.events;
        if (tty)
            fprintf(stderr, "\r%llu of %llu, %llu failed ", (unsigned long long)done,
                    (unsigned long long)n, (unsigned long long)(failed + (status != 0)));
        if (!status)
            continue;
        failed++;
        worst = !worst || status < (int)worst ? (uint64_t)status : worst;
        for (unsigned v = 0; v < LAB_VERDICTS; v++)
            if (out.findings[v].failures)
                printf("seed %llu: %s: at %.6f s: %s\n", (unsigned long long)seed,
                       tarn_sim_watch_verdict(&s, v), (double)out.findings[v].at_ns / 1e9,
                       out.findings[v].what);
        printf("  reproduce: %s %s --seed %llu\n", tarn_sim_name(), panic_again,
               (unsigned long long)seed);
        fflush(stdout);
    }
    double wall_s = tarn_sim_wall_s() - t0;
    if (tty)
        fprintf(stderr, "\n");
    printf("%llu seeds, %llu failed, %llu events, %.0f events/s\n", (unsigned long long)done,
           (unsigned long long)failed, (unsigned long long)events,
           wall_s > 0 ? (double)events / wall_s : 0);
    return (int)worst;
}

static int cmd_keys(const struct options *o)
{
    static struct lab_scenario s;
    char line[200];
    lab_scenario_default(&s);
    int err = o->scenario ? load_scenario(o, &s) : settle(&s, "--set", o->sets, o->n_sets);
    for (uint32_t i = 0; !err && lab_scenario_key(&s, i, line, sizeof line); i++)
        printf("%s\n", line);
    return err;
}

static const char *const command_names[] = {
    "run",   "seeds",  "points", "list",          "keys",      "mutants", "campaign",
    "merge", "report", "shrink", "check-history", "elections", "diff"};

/* ---- known bugs ---- */

static const char *const mutants[][2] = {
#define MUTANT_TEXT(name, what) {#name, what},
    MUTANTS(MUTANT_TEXT) RAFT_MUTANTS(MUTANT_TEXT) ZK_MUTANTS(MUTANT_TEXT)
#undef MUTANT_TEXT
};

static const char no_mutants[] = "this build has no known bugs; configure one with -Dmutants=true";

/* of a program with a protocol of its own */
static bool own_mutant(const struct lab_own *own, const char *name)
{
    const char *names[64];
    size_t n = 0;
    if (lab_own_plant(name))
        return true;
    for (; own->bugs && own->bugs[n][0] && n < ARRAY_LEN(names); n++)
        names[n] = own->bugs[n][0];
    tarn_sim_say("no bug %s; there %s", name, n == 1 ? "is" : "are");
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, "%s %s", i ? "," : "", names[i]);
    fprintf(stderr, n ? "\n" : " none\n");
    return false;
}

#ifdef TARN_MUTANTS
/* 0: there is no such bug, which is said */
static uint32_t mutant_number(const char *name)
{
    const char *names[ARRAY_LEN(mutants)];
    for (uint32_t i = 0; i < ARRAY_LEN(mutants); i++) {
        names[i] = mutants[i][0];
        if (strcmp(mutants[i][0], name) == 0)
            return i + 1;
    }
    if (*name)
        tarn_sim_unknown("bug", name, names, ARRAY_LEN(names));
    return 0;
}
#endif

bool tarn_sim_mutant(const char *name)
{
    const struct lab_own *own = lab_own_registered();
    if (own && name)
        return own_mutant(own, name);
#ifdef TARN_MUTANTS
    const char *plus = name ? strchr(name, '+') : NULL;
    char one[64];
    fmt_into(one, sizeof one, "%.*s", name ? (int)(plus ? plus - name : (int)strlen(name)) : 0,
             name ? name : "");
    mutant_on = mutant_number(one);
    mutant_also = mutant_on && plus ? mutant_number(plus + 1) : 0;
    return mutant_on && !plus == !mutant_also;
#else
    (void)name;
    tarn_sim_say("%s\n", no_mutants);
#endif
    return false;
}

static int cmd_mutants(void)
{
    const struct lab_own *own = lab_own_registered();
    uint32_t n = 0;
    for (; own && own->bugs && own->bugs[n][0]; n++)
        printf("%-24s %s\n", own->bugs[n][0], own->bugs[n][1]);
    if (own && !n)
        tarn_sim_say("this program has no known bugs\n");
    if (own)
        return n ? 0 : EXIT_USAGE;
#ifdef TARN_MUTANTS
    for (uint32_t i = 0; i < ARRAY_LEN(mutants); i++)
        printf("%-24s %s\n", mutants[i][0], mutants[i][1]);
    (void)no_mutants;
    return 0;
#else
    (void)mutants;
    tarn_sim_say("%s\n", no_mutants);
    return EXIT_USAGE;
#endif
}

/* ---- the command line ---- */

/* ret: 1: it is such an option with a good value, 0: its value is bad, -1: it takes none */
static int parse_valued(struct options *o, const char *a, const char *v)
{
    if (!strcmp(a, "--seed"))
        return o->has_seed = tarn_sim_number(v, &o->seed);
    if (!strcmp(a, "--from"))
        return tarn_sim_number(v, &o->from);
    if (!strcmp(a, "--to"))
        return tarn_sim_number(v, &o->to);
    if (!strcmp(a, "--until"))
        return tarn_sim_time(v, &o->until_ns) && o->until_ns > 0;
    if (!strcmp(a, "--branch") && v && !strcmp(v, "auto"))
        return o->has_branch = o->is_auto = true;
    if (!strcmp(a, "--branch"))
        return o->has_branch = tarn_sim_time(v, &o->branch_ns);
    if (!strcmp(a, "--vary"))
        return o->has_vary = tarn_sim_number(v, &o->vary) && o->vary <= 100000;
    if (!strcmp(a, "--stop-at-event"))
        return tarn_sim_number(v, &o->stop_event) && o->stop_event;
    if (!strcmp(a, "--plant"))
        return (o->plant = v) && !strncmp(v, "panic@", 6) &&
               tarn_sim_number(v + 6, &o->plant_event) && o->plant_event;
    if (!strcmp(a, "--log"))
        return (o->log_node = v) != NULL;
    if (!strcmp(a, "--stride"))
        return tarn_sim_number(v, &o->stride) && o->stride;
    if (!strcmp(a, "--at"))
        return tarn_sim_number(v, &o->at);
    if (!strcmp(a, "--at2"))
        return tarn_sim_number(v, &o->at2);
    if (!strcmp(a, "--mode"))
        return (o->mode = v) != NULL;
    if (!strcmp(a, "--mutant"))
        return (o->mutant = v) && tarn_sim_mutant(v);
    if (!strcmp(a, "--trace"))
        return (o->trace = v) != NULL;
    if (!strcmp(a, "--history"))
        return (o->history = v) != NULL;
    if (!strcmp(a, "--timeline"))
        return (o->timeline = v) != NULL;
    if (!strcmp(a, "--set"))
        return v && o->n_sets < ARRAY_LEN(o->sets) && (o->sets[o->n_sets++] = v) != NULL;
    return -1;
}

static int parse(int argc, char **argv, struct options *o)
{
    for (int i = 2; i < argc; i++) {
        const char *a = argv[i];
        if (a[0] != '-') {
            if (o->scenario || !strcmp(argv[1], "mutants"))
                return tarn_sim_bad("unexpected operand", a);
            o->scenario = a;
            continue;
        }
        if (!tarn_sim_takes(argv[1], a))
            return tarn_sim_unknown_option(argv[1], a);
        int ok = parse_valued(o, a, argv[i + 1]);
        if (!ok)
            return tarn_sim_bad_value(a, argv[i + 1]);
        i += ok == 1;
        o->twice |= !strcmp(a, "--twice");
        o->json |= !strcmp(a, "--json");
        o->first |= !strcmp(a, "--first");
    }
    if (o->has_vary && !o->has_branch)
        return tarn_sim_bad("--vary is of --branch T", "");
    if (o->has_branch && (o->twice || o->until_ns || o->stop_event || o->plant || o->log_node ||
                          o->trace || o->history || o->timeline))
        return tarn_sim_bad("--branch goes with --vary, --seed, --set, --mutant and --json only",
                            "");
    return 0;
}

static int print_version(void)
{
    printf("%s, of commit %s, by %s; databases have schema %d\n", tarn_sim_name(),
           tarn_sim_db_commit(), tarn_sim_db_compiler(), DB_SCHEMA);
    return 0;
}

int tarn_sim_own(int argc, char **argv, const struct lab_own *own)
{
    struct options o = {.seed = 1, .from = 1, .to = 100, .stride = 1, .vary = 20, .out = stdout};
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
    if (!strcmp(cmd, "diff"))
        return tarn_sim_diff(argc, argv);
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
    if (!strcmp(cmd, "--version"))
        return print_version();
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
        return tarn_sim_points(&o);
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
