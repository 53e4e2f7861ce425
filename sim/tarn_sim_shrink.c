/* sim/tarn_sim_shrink.c - tarn-sim shrink: a failure becomes a small scenario file that fails in
 * the same way, alone (see sim/lab_shrink.h for how).
 *
 * Each candidate runs in a process of its own: what fails an assertion or crashes is a failure like
 * the others.  A run ends as soon as the checker in question objects; what is written at the end
 * has been run to its end, too, and if that gives another verdict all is done again with whole
 * runs. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "core/fmt.h"
#include "sim/lab_json.h"
#include "sim/lab_shrink.h"
#include "sim/tarn_sim_args.h"
#include "sim/tarn_sim_child.h"
#include "sim/tarn_sim_db.h"

static const char usage[] =
    "tarn-sim shrink SCENARIO --seed N [options]      a run that fails\n"
    "tarn-sim shrink --db F [--scenario NAME] [--seed N]   the first failure in a campaign's "
    "database\n"
    "\n"
    "Writes a small scenario that fails in the same way (same checker, same kind of failure), and "
    "says everything\n"
    "itself: machines, knobs, when which fault happens, what chance does, who begins which "
    "operation when, on what. "
    " It runs by\n"
    "`tarn-sim run FILE` alone.\n"
    "\n"
    "  --out FILE      default: shrunk-SCENARIO-SEED.json here\n"
    "  --budget T      writes the best there is after that time (default 10m)\n"
    "  --record        writes the run as it is, with every fault and operation, and stops there; "
    "it need not fail\n"
    "  --set K=V       overrides a key of the scenario; may be repeated; with --db: only of those "
    "failures (of a sweep)\n"
    "  --mutant NAME   with that known bug (builds with -Dmutants=true only); the file says so\n"
    "  --json          what came of it, as JSON\n"
    "  --quiet         no progress\n"
    "\n"
    "Exit status: 0 a file was written, 1 it could not be, or the run does not fail, 2 usage.\n";

struct shrink {
    const char *path, *out, *db, *scenario, *mutant;
    const char *sets[64];
    unsigned n_sets;
    uint64_t seed;
    bool has_seed, json, quiet, help, record;
    int64_t budget_ns;
    double t0, told_s;
    bool to_end; /* runs are not ended by their first failure */
    struct child_end target;
    uint64_t runs, most_events;
    struct lab_shrink_size before, after;
};

static volatile sig_atomic_t interrupted;

/* ---- one run, in a process of its own ---- */

/* runs in steps, until it is over, too long, or what is looked for has come */
static void child_go(const struct shrink *k, struct child_world *w, struct child_end *e)
{
    const int64_t step_ns = 20000000;
    bool over = false;
    for (int64_t t = step_ns; !over; t += step_ns) {
        over = tarn_sim_child_go(w, t);
        if (k->most_events && sim_events(w->sim) > k->most_events)
            return;
        bool failed = tarn_sim_child_judge(w, e);
        if (failed && !k->to_end && e->status == EXIT_SAFETY && tarn_sim_child_alike(e, &k->target))
            return;
    }
}

__attribute__((noreturn)) static void child_main(const struct shrink *k,
                                                 const struct lab_scenario *s, int fd, bool record)
{
    static struct lab_ops ops;
    static struct child_end e;
    struct child_world w;
    struct mem m;
    tarn_sim_mem(&m);
    alarm(900); /* an event that never ends is no failure of this kind */
    tarn_sim_child_open(&w, &m, s, record ? &ops : NULL);
    tarn_sim_child_begin(fd, &w);
    child_go(k, &w, &e);
    tarn_sim_child_tell(&e);
}

/* what was done takes the place of what is drawn */
static bool take_record(int fd, struct lab_scenario *s)
{
    uint32_t n;
    if (!tarn_sim_child_get(fd, &n, sizeof n) || n > LAB_FAULTS_MAX ||
        !tarn_sim_child_get(fd, s->faults, n * sizeof s->faults[0]))
        return false;
    s->n_faults = n;
    for (uint32_t i = 0; i < n; i++)
        s->faults[i].n_given = s->faults[i].n_chance;
    if (!tarn_sim_child_get(fd, &n, sizeof n) || n > LAB_OPS_MAX)
        return false;
    s->ops.n = 0;
    while (s->ops.n < n) {
        struct lab_op *op = lab_ops_add(&s->ops);
        if (!op || !tarn_sim_child_get(fd, op, sizeof *op))
            return false;
    }
    s->has_ops = true;
    if (!tarn_sim_child_get(fd, &n, sizeof n) || n > LAB_CHANCES_MAX)
        return false;
    s->chances.n = 0;
    while (s->chances.n < n) {
        struct sim_chance *c = lab_chance_add(&s->chances);
        if (!c || !tarn_sim_child_get(fd, c, sizeof *c))
            return false;
    }
    s->has_chances = true;
    return true;
}

/* runs s with its seed; record: s becomes the list of what was done.  false: it cannot be run */
static bool run(struct shrink *k, const struct lab_scenario *s, struct child_end *ret_e,
                struct lab_scenario *record)
{
    int fd;
    memset(ret_e, 0, sizeof *ret_e);
    pid_t pid = tarn_sim_child_fork(&fd);
    if (pid == 0)
        child_main(k, s, fd, record != NULL);
    k->runs++;
    if (pid < 0)
        return false;
    bool ok = tarn_sim_child_get(fd, ret_e, sizeof *ret_e) && (!record || take_record(fd, record));
    close(fd);
    return tarn_sim_child_wait(pid, ok, ret_e) && (ok || !record);
}

/* ---- what the shrinker asks ---- */

static void tell(struct shrink *k, const struct lab_scenario *s, bool now)
{
    double t = tarn_sim_wall_s();
    if (k->quiet || (!now && t - k->told_s < 1))
        return;
    k->told_s = t;
    lab_shrink_measure(s, &k->after);
    fprintf(stderr,
            "%s%5.0f s  %5llu runs  %4u faults  %5u operations  %5u chances  %um %uw %uc  %.3f s%s",
            isatty(2) ? "\r" : "", t - k->t0, (unsigned long long)k->runs, k->after.faults,
            k->after.operations, k->after.chances, s->masters, s->workers, s->clients,
            (double)s->duration_ns / 1e9, isatty(2) ? "   " : "\n");
}

static bool fails(void *ctx, const struct lab_scenario *s, int64_t *ret_at_ns)
{
    struct shrink *k = ctx;
    struct child_end e;
    if (!run(k, s, &e, NULL) || !tarn_sim_child_alike(&e, &k->target))
        return false;
    *ret_at_ns = e.at_ns;
    return true;
}

static bool may_go_on(void *ctx)
{
    const struct shrink *k = ctx;
    return !interrupted && (tarn_sim_wall_s() - k->t0) * 1e9 < (double)k->budget_ns;
}

static void on_smaller(void *ctx, const struct lab_scenario *best)
{
    tell(ctx, best, false);
}

/* ---- all of it ---- */

static int write_file(const struct shrink *k, struct lab_scenario *s, const struct child_end *e,
                      const char *from)
{
    char about[sizeof s->about], at[40];
    lab_op_time(e->at_ns, at, sizeof at);
    if (e->status)
        fmt_into(about, sizeof about, "%s of %s: %s at %s: %s", k->record ? "recorded" : "shrunk",
                 from, e->checker, at, e->what);
    else
        fmt_into(about, sizeof about, "recorded of %s: all verdicts are ok", from);
    memcpy(s->about, about, sizeof about);
    FILE *f = fopen(k->out, "w");
    if (f)
        lab_scenario_write(s, f);
    if (f && !ferror(f) && fclose(f) == 0)
        return 0;
    tarn_sim_say("cannot write %s: %s\n", k->out, strerror(errno));
    return EXIT_BROKEN;
}

static void json_size(const char *name, const struct lab_shrink_size *z)
{
    printf(", \"%s\": {\"faults\": %u, \"operations\": %u, \"chances\": %u, \"steps\": %u, "
           "\"masters\": %u, "
           "\"workers\": %u, \"clients\": %u, \"duration_ns\": %lld}",
           name, z->faults, z->operations, z->chances, z->steps, z->masters, z->workers, z->clients,
           (long long)z->duration_ns);
}

static void print_result(const struct shrink *k, const struct child_end *e, bool whole)
{
    const struct lab_shrink_size *a = &k->before, *b = &k->after;
    if (k->json) {
        printf("{\"file\": ");
        lab_json_string(stdout, k->out);
        printf(", \"status\": %d, \"checker\": ", e->status);
        lab_json_string(stdout, e->checker);
        printf(", \"kind\": ");
        lab_json_string(stdout, e->kind);
        printf(", \"what\": ");
        lab_json_string(stdout, e->what);
        printf(", \"at_ns\": %lld, \"runs\": %llu, \"wall_s\": %.1f, \"done\": %s",
               (long long)e->at_ns, (unsigned long long)k->runs, tarn_sim_wall_s() - k->t0,
               whole ? "true" : "false");
        json_size("before", a);
        json_size("after", b);
        printf("}\n");
        return;
    }
    printf("%s, %llu runs, %.1f s%s\n", k->out, (unsigned long long)k->runs,
           tarn_sim_wall_s() - k->t0, whole ? "" : " (the best when the time was over)");
    printf("  %-12s %9s %11s %8s %6s %8s %8s %8s %11s\n", "", "faults", "operations", "chances",
           "steps", "masters", "workers", "clients", "duration");
    for (int i = 0; i < 2; i++) {
        const struct lab_shrink_size *z = i ? b : a;
        printf("  %-12s %9u %11u %8u %6u %8u %8u %8u %9.3f s\n", i ? "after" : "before", z->faults,
               z->operations, z->chances, z->steps, z->masters, z->workers, z->clients,
               (double)z->duration_ns / 1e9);
    }
    if (e->status)
        printf("  %s: at %.6f s: %s\n", e->checker, (double)e->at_ns / 1e9, e->what);
    char out[800];
    tarn_sim_quote(out, sizeof out, k->out);
    printf("reproduce: %s run %s\n", tarn_sim_name(), out);
}

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

/* the run with everything in it that was drawn */
static bool make_explicit(struct shrink *k, struct lab_scenario *s, struct child_end *ret_e)
{
    static struct lab_scenario drawn;
    drawn = *s;
    lab_scenario_draw(&drawn, s->seed);
    drawn.swarm = 0;
    memset(drawn.every_ns, 0, sizeof drawn.every_ns);
    *s = drawn;
    return run(k, &drawn, ret_e, s);
}

static int shrink_all(struct shrink *k, struct lab_scenario *s, struct child_end *e,
                      bool *ret_whole)
{
    static struct lab_scenario first;
    struct child_end again;
    const struct lab_shrink how = {k, fails, may_go_on, on_smaller};
    first = *s;
    first.ops = (struct lab_ops){NULL, 0, 0};
    first.chances = (struct lab_chances){NULL, 0, 0};
    for (uint32_t i = 0; i < s->chances.n; i++) {
        struct sim_chance *c = lab_chance_add(&first.chances);
        if (!c)
            return tarn_sim_bad("out of memory", "");
        *c = s->chances.c[i];
    }
    for (uint32_t i = 0; i < s->ops.n; i++) {
        struct lab_op *op = lab_ops_add(&first.ops);
        if (!op)
            return tarn_sim_bad("out of memory", "");
        *op = s->ops.op[i];
    }
    for (int strict = 0; strict < 2; strict++) {
        k->to_end = strict;
        *ret_whole = lab_shrink(s, e->at_ns, &how);
        k->to_end = true;
        if (run(k, s, &again, NULL) && tarn_sim_child_alike(&again, &k->target)) {
            *e = again;
            return 0;
        }
        if (!k->quiet)
            tarn_sim_say("run to its end it fails otherwise (%s): all again, slower\n", again.kind);
        *s = first;
    }
    return 0; /* nothing is taken away, then */
}

/* What is explicit and ends otherwise stays drawn: operations first, then what chance does. */
static struct child_end replayed(struct shrink *k, struct lab_scenario *s,
                                 const struct child_end *e, const char *from)
{
    struct child_end replay;
    if (run(k, s, &replay, NULL) && tarn_sim_child_alike(&replay, e))
        return replay;
    tarn_sim_say("with explicit operations %s ends otherwise (%s); they stay drawn\n", from,
                 replay.status ? replay.kind : "ok");
    s->has_ops = false;
    s->ops.n = 0;
    if (run(k, s, &replay, NULL) && tarn_sim_child_alike(&replay, e))
        return replay;
    tarn_sim_say("with explicit chances, too (%s); they stay drawn\n",
                 replay.status ? replay.kind : "ok");
    s->has_chances = false;
    s->chances.n = 0;
    return *e;
}

static int shrink_run(struct shrink *k, struct lab_scenario *s, const char *from)
{
    struct child_end e;
    bool whole = true;
    k->to_end = true;
    if (!make_explicit(k, s, &e)) {
        tarn_sim_say("the run of %s cannot be recorded: %s\n", from,
                     e.status ? e.what : "no memory or no processes");
        return EXIT_BROKEN;
    }
    lab_shrink_measure(s, &k->before);
    k->target = e;
    k->most_events = 3 * e.events + 1000000;
    if (!k->record && !e.status) {
        tarn_sim_say("%s does not fail: all verdicts are ok\n", from);
        return EXIT_BROKEN;
    }
    tell(k, s, true);
    e = replayed(k, s, &e, from);
    int err = k->record ? 0 : shrink_all(k, s, &e, &whole);
    lab_shrink_measure(s, &k->after);
    if (!k->quiet && isatty(2))
        fprintf(stderr, "\n");
    if (!err)
        err = write_file(k, s, &e, from);
    if (!err)
        print_result(k, &e, whole);
    return err;
}

/* ---- the command line ---- */

static int parse_valued(void *ctx, const char *o, const char *v)
{
    struct shrink *k = ctx;
    if (!strcmp(o, "--seed"))
        return k->has_seed = tarn_sim_number(v, &k->seed) && k->seed;
    if (!strcmp(o, "--out"))
        return (k->out = v) && *v;
    if (!strcmp(o, "--budget"))
        return v && tarn_sim_time(v, &k->budget_ns) && k->budget_ns > 0;
    if (!strcmp(o, "--set"))
        return v && k->n_sets < ARRAY_LEN(k->sets) && (k->sets[k->n_sets++] = v) != NULL;
    if (!strcmp(o, "--mutant"))
        return (k->mutant = v) && tarn_sim_mutant(v);
    if (!strcmp(o, "--db"))
        return (k->db = v) != NULL;
    if (!strcmp(o, "--scenario"))
        return (k->scenario = v) != NULL;
    return -1;
}

static int parse_operand(void *ctx, char *v)
{
    struct shrink *k = ctx;
    if (k->path)
        return tarn_sim_bad("unexpected operand", v);
    k->path = v;
    return 0;
}

static int parse(int argc, char **argv, struct shrink *k)
{
    const struct args_flag flags[] = {
        {"--json", &k->json}, {"--quiet", &k->quiet}, {"--record", &k->record}};
    struct args_table t = {k,    flags, ARRAY_LEN(flags), "shrink", parse_valued, parse_operand,
                           false};
    int err = tarn_sim_args_read(argc, argv, &t);
    k->help = t.help;
    if (err || k->help)
        return err;
    if (k->path && k->db)
        return tarn_sim_bad("a scenario or --db, not both:", k->path);
    return k->path || k->db ? 0 : tarn_sim_bad("which failure? SCENARIO --seed N, or --db F", "");
}

/* does a database's text of settings have all that --set says? */
static bool has_sets(const struct shrink *k, const char *sets)
{
    for (unsigned i = 0; i < k->n_sets; i++) {
        const char *rest = sets;
        bool found = false;
        for (char set[600]; !found && tarn_sim_next_set(&rest, set, sizeof set);)
            found = !strcmp(set, k->sets[i]);
        if (!found)
            return false;
    }
    return true;
}

/* the failure of a database: its scenario, seed and settings; of a sweep --set says which value */
static int pick_from_db(struct shrink *k)
{
    static char path[600], sets[2000], mutant[40];
    sqlite3 *db;
    int err = tarn_sim_db_open(k->db, false, &db);
    if (err)
        return err;
    sqlite3_stmt *st = tarn_sim_db_ask(
        db,
        "SELECT s.path, s.sets, s.mutant, r.seed, r.checker FROM run r JOIN scenario s ON s.id = "
        "r.scenario WHERE r.status IN (3, 4, 6) AND (?1 IS NULL OR s.name = ?1) AND (?2 IS NULL "
        "OR r.seed = ?2) ORDER BY s.id, r.seed");
    if (k->scenario)
        sqlite3_bind_text(st, 1, k->scenario, -1, SQLITE_STATIC);
    if (k->has_seed)
        sqlite3_bind_int64(st, 2, (int64_t)k->seed);
    bool found = false;
    while (!found && tarn_sim_db_row(st)) {
        const unsigned char *m = sqlite3_column_text(st, 2);
        found = has_sets(k, (const char *)sqlite3_column_text(st, 1));
        if (!found)
            continue;
        fmt_into(path, sizeof path, "%s", (const char *)sqlite3_column_text(st, 0));
        fmt_into(sets, sizeof sets, "%s", (const char *)sqlite3_column_text(st, 1));
        fmt_into(mutant, sizeof mutant, "%s", m ? (const char *)m : "");
        k->seed = (uint64_t)sqlite3_column_int64(st, 3);
        k->has_seed = true;
    }
    sqlite3_finalize(st);
    err = tarn_sim_db_close(db);
    if (!found) {
        tarn_sim_say("%s has no such failure of a single run (safety, liveness or crash)%s\n",
                     k->db, k->n_sets ? "; with --db a --set says which of its values" : "");
        return EXIT_USAGE;
    }
    k->path = path;
    k->n_sets = 0; /* they are among those */
    const char *rest = sets;
    for (char set[600];
         k->n_sets < ARRAY_LEN(k->sets) && tarn_sim_next_set(&rest, set, sizeof set);)
        k->sets[k->n_sets++] = strdup(set);
    if (!err && *mutant && (k->mutant = mutant) && !tarn_sim_mutant(mutant))
        return EXIT_USAGE;
    return err;
}

/* "storm, seed 3, with net.loss=0.05" */
static void say_from(const struct shrink *k, const struct lab_scenario *s, char *to, size_t cap)
{
    size_t n = fmt_into(to, cap, "%s, seed %llu", s->name, (unsigned long long)s->seed);
    if (*s->mutant)
        n += fmt_into(to + n, cap - n, ", with %s", s->mutant);
    for (unsigned i = 0; i < k->n_sets; i++)
        n += fmt_into(to + n, cap - n, "%s%s", i ? " " : *s->mutant ? " " : ", with ", k->sets[i]);
}

int tarn_sim_shrink(int argc, char **argv)
{
    static struct shrink k = {.budget_ns = (int64_t)600 * 1000000000};
    static struct lab_scenario s;
    static char out[700], from[700];
    int err = parse(argc, argv, &k);
    if (k.help)
        fputs(usage, stdout);
    if (err || k.help)
        return err;
    err = k.db ? pick_from_db(&k) : 0;
    if (!err)
        err = tarn_sim_load(&s, k.path, k.sets, k.n_sets);
    if (err)
        return err;
    if (k.has_seed || !s.seed)
        s.seed = k.has_seed ? k.seed : 1;
    if (k.mutant)
        fmt_into(s.mutant, sizeof s.mutant, "%s", k.mutant);
    fmt_into(out, sizeof out, "%s-%s-%llu.json", k.record ? "recorded" : "shrunk", s.name,
             (unsigned long long)s.seed);
    say_from(&k, &s, from, sizeof from);
    k.out = k.out ? k.out : out;
    k.t0 = tarn_sim_wall_s();
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    return shrink_run(&k, &s, from);
}
