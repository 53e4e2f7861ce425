/* sim/tarn_sim_args.c - see sim/tarn_sim_args.h. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "core/fmt.h"
#include "sim/lab_mark.h"
#include "sim/lab_own.h"
#include "sim/lab_word.h"
#include "sim/tarn_sim_args.h"

static const char usage[] =
    "tarn-sim campaign SCENARIO... --seeds A..B [options]\n"
    "\n"
    "Runs every scenario with every seed from A to B (or 1 to N: --seeds N), several at once, and "
    "says what came\n"
    "of it: verdicts, distributions with 95 % intervals, each failure with the line that "
    "reproduces it.\n"
    "\n"
    "  --db FILE       keeps a row for each run in SQLite (docs/simulator.md has the schema); the "
    "same command\n"
    "                  goes on where it was interrupted\n"
    "  --jobs N        processes at once (default: processors)\n"
    "  --shard I/N     only the I-th of N parts of the seeds, from 0; join the databases by "
    "tarn-sim merge\n"
    "  --budget T      begins nothing more after that time (90s, 30m, 8h)\n"
    "  --twice         runs each seed twice, in two processes where it can, and compares the "
    "hashes\n"
    "  --first         stops at the first failure\n"
    "  --set K=V       overrides a key of every scenario (tarn-sim keys); may be repeated\n"
    "  --sweep K=V1,V2,...  each scenario with each of these values, side by side; may be "
    "repeated: with all combinations\n"
    "  --mutant NAME   with that known bug (builds with -Dmutants=true only)\n"
    "  --seed-timeout T  a run that takes longer is ended and counts as a crash (default 10m)\n"
    "  --marks fail|warn|off  what a mark that no run came to is (default: a failure)\n"
    "  --excuse NAME,...  marks that need not be reached; \"group.*\" is all of a group\n"
    "  --plant KIND@SEED  a failure of that seed, to see what happens then: panic, abort, hang, "
    "diverge,\n"
    "                  safety, liveness\n"
    "  --json          the summary as JSON\n"
    "  --quiet         no progress\n"
    "\n"
    "Exit status, the first that applies: 3 a safety checker failed, 6 a run crashed, 5 two runs "
    "of one seed\n"
    "differ, 4 a cluster did not recover in time, 7 a mark was not reached, 0 none of these; 2 "
    "usage, 1 the campaign\n"
    "itself could not go on, or ran nothing.\n";

static const char *const plants[] = {"panic", "abort", "hang", "diverge", "safety", "liveness"};

bool tarn_sim_args_marks(const char *word, enum summary_marks *ret_m)
{
    if (!word)
        return false;
    *ret_m = !strcmp(word, "off")    ? SUMMARY_MARKS_OFF
             : !strcmp(word, "warn") ? SUMMARY_MARKS_WARN
                                     : SUMMARY_MARKS_FAIL;
    return *ret_m != SUMMARY_MARKS_FAIL || !strcmp(word, "fail");
}

/* is it a mark, or "GROUP.*" of some? */
static bool is_mark(const char *word)
{
    size_t n = strlen(word), len = n && word[n - 1] == '*' ? n - 1 : n + 1;
    char name[48];
    if (lab_own_registered() && !strncmp(word, "site.", 5))
        return true; /* rare paths in somebody else's code */
    for (uint32_t i = 0; lab_mark_name(i, name, sizeof name); i++)
        if (!strncmp(word, name, len))
            return true;
    return false;
}

static bool say_no_mark(const char *word)
{
    static char text[LAB_MARKS_MAX][48];
    const char *names[LAB_MARKS_MAX];
    uint32_t n = 0;
    while (n < LAB_MARKS_MAX && lab_mark_name(n, text[n], sizeof text[n])) {
        names[n] = text[n];
        n++;
    }
    const char *near = lab_word_near(word, names, n);
    tarn_sim_say("there is no mark %s%s%s%s\n", word, near ? "; did you mean " : "",
                 near ? near : "", near ? "?" : "");
    return false;
}

bool tarn_sim_args_excuse(const char *list, char **to, unsigned *n)
{
    char *copy = list ? strdup(list) : NULL, *rest = NULL;
    if (!copy)
        return false;
    for (char *word = strtok_r(copy, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        if (*n == SUMMARY_EXCUSES)
            return false;
        if (!is_mark(word))
            return say_no_mark(word);
        to[(*n)++] = word;
    }
    return true; /* the words stay in the copy */
}

static bool parse_range(const char *v, struct args *a)
{
    char first[24];
    const char *dots = v ? strstr(v, "..") : NULL;
    a->from = 1;
    if (!dots)
        return tarn_sim_number(v, &a->to) && a->to > 0;
    fmt_into(first, sizeof first, "%.*s", (int)(dots - v), v);
    return tarn_sim_number(first, &a->from) && tarn_sim_number(dots + 2, &a->to) &&
           a->from <= a->to;
}

static bool parse_shard(const char *v, struct args *a)
{
    char first[24];
    const char *slash = v ? strchr(v, '/') : NULL;
    if (!slash)
        return false;
    fmt_into(first, sizeof first, "%.*s", (int)(slash - v), v);
    return tarn_sim_number(first, &a->shard) && tarn_sim_number(slash + 1, &a->shards) &&
           a->shard < a->shards;
}

static bool parse_time(const char *v, int64_t *ret_ns)
{
    uint64_t hours;
    char number[24];
    size_t n = v ? strlen(v) : 0;
    if (!n || n >= sizeof number || v[n - 1] != 'h')
        return n && tarn_sim_time(v, ret_ns) && *ret_ns > 0;
    fmt_into(number, sizeof number, "%.*s", (int)(n - 1), v);
    *ret_ns = 0;
    if (!tarn_sim_number(number, &hours) || hours > 100000)
        return false;
    *ret_ns = (int64_t)hours * 3600 * 1000000000;
    return hours > 0;
}

static bool parse_plant(const char *v, struct args *a)
{
    const char *at = v ? strchr(v, '@') : NULL;
    if (!at || a->plan.n_plants == ROW_PLANTS)
        return false;
    struct row_plant *p = &a->plan.plants[a->plan.n_plants++];
    for (size_t i = 0; i < ARRAY_LEN(plants); i++)
        if (strlen(plants[i]) == (size_t)(at - v) && !strncmp(plants[i], v, (size_t)(at - v)))
            p->kind = plants[i];
    return p->kind && tarn_sim_number(at + 1, &p->seed);
}

/* ret: 1 when it is such an option with a good value, 0 when its value is bad, -1 when there is no
 * such */
static int parse_valued(void *ctx, const char *o, const char *v)
{
    struct args *a = ctx;
    if (!strcmp(o, "--seeds"))
        return parse_range(v, a);
    if (!strcmp(o, "--jobs"))
        return tarn_sim_number(v, &a->jobs) && a->jobs > 0 && a->jobs <= 512;
    if (!strcmp(o, "--shard"))
        return parse_shard(v, a);
    if (!strcmp(o, "--budget"))
        return parse_time(v, &a->budget_ns);
    if (!strcmp(o, "--seed-timeout"))
        return parse_time(v, &a->seed_timeout_ns);
    if (!strcmp(o, "--db"))
        return (a->db = v) != NULL;
    if (!strcmp(o, "--set"))
        return v && a->plan.n_sets < ROW_SETS && (a->plan.sets[a->plan.n_sets++] = v) != NULL;
    if (!strcmp(o, "--sweep")) /* one too many is told when all is read */
        return v && strchr(v, '=') && a->plan.n_sweeps <= ROW_SWEEPS &&
               (a->plan.sweeps[a->plan.n_sweeps++] = v) != NULL;
    if (!strcmp(o, "--mutant"))
        return (a->plan.mutant = v) && tarn_sim_mutant(v);
    if (!strcmp(o, "--plant"))
        return parse_plant(v, a);
    if (!strcmp(o, "--marks"))
        return tarn_sim_args_marks(v, &a->marks);
    if (!strcmp(o, "--excuse"))
        return tarn_sim_args_excuse(v, a->excuses, &a->n_excuses);
    return -1;
}

static int parse_operand(void *ctx, char *v)
{
    struct args *a = ctx;
    if (a->plan.n_scenarios == ROW_SCENARIOS)
        return tarn_sim_bad("too many scenarios, from", v);
    a->plan.scenarios[a->plan.n_scenarios++].path = v;
    return 0;
}

static bool is_flag(struct args_table *t, const char *o)
{
    for (size_t i = 0; i < t->n_flags; i++)
        if (!strcmp(o, t->flags[i].name))
            return *t->flags[i].to = true;
    if (strcmp(o, "--help") != 0 && strcmp(o, "-h") != 0)
        return false;
    return t->help = true;
}

int tarn_sim_args_read(int argc, char **argv, struct args_table *t)
{
    for (int i = 2; i < argc; i++) {
        char *o = argv[i];
        if (o[0] != '-' || !o[1]) { /* "-" is a file */
            int err = t->operand(t->ctx, o);
            if (err)
                return err;
            continue;
        }
        if (!tarn_sim_takes(t->command, o))
            return tarn_sim_unknown_option(t->command, o);
        if (is_flag(t, o))
            continue;
        if (t->valued(t->ctx, o, argv[i + 1]) != 1)
            return tarn_sim_bad_value(o, argv[i + 1]);
        i++;
    }
    return 0;
}

/* ---- scenarios ---- */

static char *settings_text(const struct lab_scenario *s)
{
    char *text = NULL, line[200];
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    if (*s->protocol)
        fprintf(f, "protocol %s\n", s->protocol);
    for (uint32_t i = 0; lab_scenario_key(s, i, line, sizeof line); i++)
        fprintf(f, "%s%s\n", line, /* what a swarm draws, and what it may not */
                s->swarm && s->fixed[i / 64] >> (i % 64) & 1 ? " fixed" : "");
    for (uint32_t i = 0; i < s->n_faults; i++) {
        const struct lab_fault *t = &s->faults[i];
        fprintf(f, "fault %lld %s %s %s for %lld%s\n", (long long)t->at_ns,
                lab_scenario_fault_name(t->kind), t->node, t->to, (long long)t->for_ns,
                t->one_way ? " one way" : "");
    }
    lab_link_write(&s->links, f);
    return fclose(f) ? NULL : text;
}

static void digest(const struct row_plan *p, struct row_scenario *r)
{
    uint64_t h[2];
    for (unsigned k = 0; k < 2; k++) {
        h[k] = base_hash(r->settings, strlen(r->settings), k + 1);
        h[k] = base_hash(r->text, strlen(r->text), h[k]);
        if (p->mutant)
            h[k] = base_hash(p->mutant, strlen(p->mutant), h[k]);
        for (unsigned i = 0; i < p->n_plants; i++) {
            h[k] = base_hash(p->plants[i].kind, strlen(p->plants[i].kind), h[k]);
            h[k] = base_hash(&p->plants[i].seed, sizeof p->plants[i].seed, h[k]);
        }
    }
    fmt_into(r->digest, sizeof r->digest, "%016llx%016llx", (unsigned long long)h[0],
             (unsigned long long)h[1]);
}

/* the k-th word of "key=value,value,..." as "key=value", of the heap; NULL: there are no more */
static char *sweep_word(const char *sweep, unsigned k)
{
    const char *at = strchr(sweep, '=') + 1;
    int key = (int)(at - sweep);
    for (; k && *at; k--)
        at = strchr(at, ',') ? strchr(at, ',') + 1 : "";
    size_t n = strcspn(at, ",");
    char *word = *at ? malloc((size_t)key + n + 1) : NULL;
    if (word)
        fmt_into(word, (size_t)key + n + 1, "%.*s%.*s", key, sweep, (int)n, at);
    return word;
}

/* Each scenario becomes as many as the sweep has values: those of one scenario stay together. */
static int sweep(struct row_plan *p, unsigned which)
{
    struct row_scenario *all = calloc(ROW_SCENARIOS, sizeof *all);
    uint32_t n = 0;
    char *word;
    for (uint32_t i = 0; all && i < p->n_scenarios; i++) {
        for (unsigned k = 0; (word = sweep_word(p->sweeps[which], k)); k++) {
            if (n == ROW_SCENARIOS)
                return tarn_sim_bad("too many values, at", word);
            all[n] = p->scenarios[i];
            all[n++].sweep[which] = word;
        }
    }
    if (!n)
        return tarn_sim_bad_value("--sweep", p->sweeps[which]);
    free(p->scenarios);
    p->scenarios = all;
    p->n_scenarios = n;
    return 0;
}

/* do two settings set one key?  X_ppm and X are one. */
static bool is_same_key(const char *a, const char *b)
{
    static const char ppm[] = "_ppm";
    size_t n = strcspn(a, "="), m = strcspn(b, "=");
    n -= n > 4 && !strncmp(a + n - 4, ppm, 4) ? 4 : 0;
    m -= m > 4 && !strncmp(b + m - 4, ppm, 4) ? 4 : 0;
    return n == m && !strncmp(a, b, n);
}

/* what cannot be meant: each key has one value in each run, and seeds are the campaign's own */
static int check_sets(const struct row_plan *p)
{
    if (p->n_sweeps > ROW_SWEEPS)
        return tarn_sim_bad("at most three --sweep, not also --sweep", p->sweeps[ROW_SWEEPS]);
    for (unsigned i = 0; i < p->n_sets + p->n_sweeps; i++) {
        bool is_sweep = i >= p->n_sets;
        const char *set = is_sweep ? p->sweeps[i - p->n_sets] : p->sets[i];
        if (!strncmp(set, "seed=", 5)) {
            tarn_sim_say("%s %s: a campaign's seeds are --seeds A..B\n",
                         is_sweep ? "--sweep" : "--set", set);
            return EXIT_USAGE;
        }
        for (unsigned k = 0; is_sweep && k < i; k++) {
            const char *other = k < p->n_sets ? p->sets[k] : p->sweeps[k - p->n_sets];
            if (!is_same_key(set, other))
                continue;
            tarn_sim_say("--sweep %s and %s %s: one key, and each run has one value of it\n", set,
                         k < p->n_sets ? "--set" : "--sweep", other);
            return EXIT_USAGE;
        }
    }
    return 0;
}

static int load_one(const struct row_plan *p, struct row_scenario *r)
{
    const char *sets[ROW_SETS + ROW_SWEEPS];
    memcpy(sets, p->sets, sizeof p->sets);
    for (unsigned i = 0; i < p->n_sweeps; i++)
        sets[p->n_sets + i] = r->sweep[i];
    return tarn_sim_load(&r->s, r->path, sets, p->n_sets + p->n_sweeps);
}

static int load_all(struct row_plan *p)
{
    int err = check_sets(p);
    for (unsigned i = 0; i < p->n_sweeps && !err; i++)
        err = sweep(p, i);
    if (err)
        return err;
    for (uint32_t i = 0; i < p->n_scenarios; i++) {
        struct row_scenario *r = &p->scenarios[i];
        err = load_one(p, r);
        if (err)
            return err;
        fmt_into(r->text, sizeof r->text, "%s", r->s.name);
        r->settings = settings_text(&r->s);
        if (!r->settings)
            return tarn_sim_bad("out of memory", "");
        digest(p, r);
        for (uint32_t k = 0; k < i; k++)
            if (!strcmp(p->scenarios[k].digest, r->digest))
                return tarn_sim_bad("the same scenario twice:", r->path);
    }
    return 0;
}

int tarn_sim_args(int argc, char **argv, struct args *a)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    *a = (struct args){.jobs = processors > 0 && processors < 512 ? (uint64_t)processors : 1,
                       .shards = 1};
    a->seed_timeout_ns = (int64_t)600 * 1000000000;
    a->plan.scenarios = calloc(ROW_SCENARIOS, sizeof *a->plan.scenarios);
    if (!a->plan.scenarios)
        return tarn_sim_bad("out of memory", "");
    const struct args_flag flags[] = {{"--twice", &a->twice},
                                      {"--first", &a->first},
                                      {"--json", &a->json},
                                      {"--quiet", &a->quiet},
                                      {"--worker", &a->is_worker}};
    struct args_table t = {a,    flags, ARRAY_LEN(flags), "campaign", parse_valued, parse_operand,
                           false};
    int err = tarn_sim_args_read(argc, argv, &t);
    a->help = t.help;
    if (err)
        return err;
    if (a->help) {
        fputs(usage, stdout);
        return 0;
    }
    if (!a->plan.n_scenarios)
        return tarn_sim_bad("which scenarios?", "");
    if (!a->to)
        return tarn_sim_bad("which seeds? --seeds A..B", "");
    if (a->to - a->from >= (uint64_t)1 << 32 || a->to >> 63)
        return tarn_sim_bad("so many seeds are not kept in mind: use --shard, or fewer;",
                            "--seeds");
    return load_all(&a->plan);
}
