/* sim/tarn_sim_summary.c - see sim/tarn_sim_summary.h. */
#include <stdlib.h>
#include "core/fmt.h"
#include "sim/lab_print.h"
#include "sim/lab_json.h"
#include "sim/lab_stats.h"
#include "sim/tarn_sim_db.h"
#include "sim/tarn_sim_summary.h"

static const uint32_t quantiles[] = {500000, 950000, 990000};
static const char *const quantile_names[] = {"p50", "p95", "p99"};
/* in the order in which a campaign's exit status looks for them */
static const int classes[] = {EXIT_SAFETY, EXIT_PANIC, EXIT_DIVERGED, EXIT_LIVENESS};

static const char *column(sqlite3_stmt *st, int i)
{
    const char *text = (const char *)sqlite3_column_text(st, i);
    return text ? text : "";
}

/* ---- pieces ---- */

uint64_t tarn_sim_summary_values(sqlite3 *db, int64_t scenario, const char *measure,
                                 int64_t **ret_v)
{
    char sql[200];
    uint64_t n = 0;
    fmt_into(sql, sizeof sql, "SELECT count(*) FROM run WHERE scenario = %lld AND %s IS NOT NULL",
             (long long)scenario, measure);
    uint64_t cap = (uint64_t)tarn_sim_db_number(db, sql);
    *ret_v = malloc((cap + 1) * sizeof **ret_v);
    fmt_into(sql, sizeof sql,
             "SELECT %s FROM run WHERE scenario = %lld AND %s IS NOT NULL ORDER BY 1", measure,
             (long long)scenario, measure);
    sqlite3_stmt *st = tarn_sim_db_ask(db, sql);
    while (*ret_v && n < cap && tarn_sim_db_row(st))
        (*ret_v)[n++] = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return n;
}

const char *tarn_sim_summary_text(int64_t v, const char *unit, char *ret, size_t cap)
{
    if (!strcmp(unit, "ppm"))
        fmt_into(ret, cap, "%.2f %%", (double)v / 1e4);
    else if (!strcmp(unit, "milli"))
        fmt_into(ret, cap, "%.3f", (double)v / 1e3);
    else if (strcmp(unit, "ns") != 0)
        fmt_into(ret, cap, "%lld", (long long)v);
    else if (v >= 10000000000)
        fmt_into(ret, cap, "%.2f s", (double)v / 1e9);
    else if (v >= 10000000)
        fmt_into(ret, cap, "%.0f ms", (double)v / 1e6);
    else
        fmt_into(ret, cap, "%.3f ms", (double)v / 1e6);
    return ret;
}

bool tarn_sim_summary_excused(const char *mark, const struct summary_options *o)
{
    for (unsigned i = 0; i < o->n_excuses; i++) {
        size_t n = strlen(o->excuses[i]);
        if (n && o->excuses[i][n - 1] == '*' ? !strncmp(mark, o->excuses[i], n - 1)
                                             : !strcmp(mark, o->excuses[i]))
            return true;
    }
    return false;
}

void tarn_sim_summary_again(sqlite3_stmt *st, char *ret, size_t cap)
{
    char set[600];
    size_t n = fmt_into(ret, cap, "%s run ", tarn_sim_name());
    n += tarn_sim_quote(ret + n, cap - n, column(st, 0));
    for (const char *sets = column(st, 1); tarn_sim_next_set(&sets, set, sizeof set);) {
        n += fmt_into(ret + n, cap - n, " --set ");
        n += tarn_sim_quote(ret + n, cap - n, set);
    }
    if (*column(st, 2))
        n += fmt_into(ret + n, cap - n, " --mutant %s", column(st, 2));
    fmt_into(ret + n, cap - n, " --seed %lld%s", (long long)sqlite3_column_int64(st, 3),
             !strcmp(column(st, 5), "divergence") ? " --twice" : "");
}

static const char failure_sql[] = "SELECT s.path, s.sets, s.mutant, r.seed, r.runs, r.verdict, "
                                  "s.name, r.checker, r.at_ns, r.what FROM run r"
                                  " JOIN scenario s ON s.id = r.scenario WHERE r.status != 0";

static void print_failure(sqlite3_stmt *st, FILE *to)
{
    char again[3000];
    tarn_sim_summary_again(st, again, sizeof again);
    fprintf(to, "FAIL  %s seed %lld%s%s: %s, %s", column(st, 6),
            (long long)sqlite3_column_int64(st, 3), *column(st, 1) ? " with " : "", column(st, 1),
            column(st, 5), column(st, 7));
    if (sqlite3_column_int64(st, 8))
        fprintf(to, " at %.6f s", (double)sqlite3_column_int64(st, 8) / 1e9);
    fprintf(to, ": %s\n  reproduce: %s\n", column(st, 9), again);
}

void tarn_sim_summary_failure(sqlite3 *db, int64_t scenario, uint64_t seed, FILE *to)
{
    char sql[700];
    fmt_into(sql, sizeof sql, "%s AND r.scenario = %lld AND r.seed = %llu", failure_sql,
             (long long)scenario, (unsigned long long)seed);
    sqlite3_stmt *st = to ? tarn_sim_db_ask(db, sql) : NULL;
    if (st && tarn_sim_db_row(st))
        print_failure(st, to);
    sqlite3_finalize(st);
}

/* ---- text ---- */

static void print_quantiles(const struct row_measure_text *m, const int64_t *v, uint64_t n)
{
    char a[32], b[32], c[32], cell[100];
    for (size_t q = 0; q < ARRAY_LEN(quantiles); q++) {
        struct lab_stats_ranks r = lab_stats_quantile(n, quantiles[q]);
        fmt_into(cell, sizeof cell, "%s [%s, %s]",
                 tarn_sim_summary_text(v[r.at - 1], m->unit, a, sizeof a),
                 r.lo ? tarn_sim_summary_text(v[r.lo - 1], m->unit, b, sizeof b) : "?",
                 r.hi <= n ? tarn_sim_summary_text(v[r.hi - 1], m->unit, c, sizeof c) : "?");
        printf(" %-32s", cell);
    }
    printf(" %s\n", tarn_sim_summary_text(v[n - 1], m->unit, a, sizeof a));
}

/* of one scenario, with what stands before it; ret: there is something */
static bool print_measure(sqlite3 *db, int64_t id, const struct row_measure_text *m,
                          const char *label, int width)
{
    int64_t *v;
    uint64_t n = tarn_sim_summary_values(db, id, m->name, &v);
    bool any = n && v && (v[0] || v[n - 1]) && strcmp(m->unit, "kind") != 0;
    if (any) {
        printf("    %-*s", width, label);
        print_quantiles(m, v, n);
    }
    free(v);
    return any;
}

static void print_heading(const char *what, int width)
{
    printf("    %-*s %-32s %-32s %-32s %s\n", width, what, "median [95 % interval]", "p95", "p99",
           "largest");
}

/* ret: seeds */
static uint64_t print_failed(sqlite3 *db, int64_t id, const char *name, const char *sets)
{
    char sql[200];
    fmt_into(sql, sizeof sql, "SELECT count(*) FROM run WHERE scenario = %lld", (long long)id);
    uint64_t n = (uint64_t)tarn_sim_db_number(db, sql);
    printf("%s%s%s: %llu seeds\n", name, *sets ? " with " : "", sets, (unsigned long long)n);
    if (!n)
        return 0;
    for (size_t i = 0; i <= ARRAY_LEN(classes); i++) { /* failed, then each kind that there is */
        double lo, hi;
        bool any = i == 0;
        fmt_into(sql, sizeof sql, "SELECT count(*) FROM run WHERE scenario = %lld AND status %s %d",
                 (long long)id, any ? "!=" : "=", any ? 0 : classes[i - 1]);
        uint64_t k = (uint64_t)tarn_sim_db_number(db, sql);
        lab_stats_wilson(k, n, &lo, &hi);
        if (k || any)
            printf("  %-10s %6llu, %.3f %% [%.3f, %.3f]\n",
                   any ? "failed" : tarn_sim_db_verdict(classes[i - 1]), (unsigned long long)k,
                   100.0 * (double)k / (double)n, 100 * lo, 100 * hi);
    }
    return n;
}

static void print_scenario(sqlite3 *db, int64_t id, const char *name, const char *sets)
{
    enum { WIDTH = 26 };
    if (!print_failed(db, id, name, sets))
        return;
    print_heading("measure", WIDTH);
    for (int m = 0; m < ROW_COUNT; m++)
        print_measure(db, id, &tarn_sim_measures[m], tarn_sim_measures[m].name, WIDTH);
}

/* one scenario with several settings: one table for each measure, a line for each setting */
static void print_sweep(sqlite3 *db, const char *path)
{
    size_t width = 16;
    sqlite3_stmt *st =
        tarn_sim_db_ask(db, "SELECT id, name, sets FROM scenario WHERE path = ? ORDER BY id");
    sqlite3_bind_text(st, 1, path, -1, SQLITE_STATIC);
    for (; tarn_sim_db_row(st);) {
        size_t n = strlen(column(st, 2));
        width = n > width ? n : width;
        print_failed(db, sqlite3_column_int64(st, 0), column(st, 1), column(st, 2));
    }
    for (int m = 0; m < ROW_COUNT; m++) {
        const struct row_measure_text *t = &tarn_sim_measures[m];
        char sql[200];
        fmt_into(sql, sizeof sql,
                 "SELECT count(*) FROM run WHERE %s != 0 AND scenario IN (SELECT id FROM scenario "
                 "WHERE path = ?)",
                 t->name);
        sqlite3_stmt *any = tarn_sim_db_ask(db, sql);
        sqlite3_bind_text(any, 1, path, -1, SQLITE_STATIC);
        bool is_there =
            strcmp(t->unit, "kind") != 0 && tarn_sim_db_row(any) && sqlite3_column_int64(any, 0);
        sqlite3_finalize(any);
        sqlite3_reset(st);
        if (is_there)
            print_heading(t->name, (int)width);
        while (is_there && tarn_sim_db_row(st))
            print_measure(db, sqlite3_column_int64(st, 0), t, column(st, 2), (int)width);
    }
    sqlite3_finalize(st);
}

static uint64_t print_failures(sqlite3 *db)
{
    char sql[700];
    uint64_t n = 0;
    fmt_into(sql, sizeof sql, "%s ORDER BY r.scenario, r.seed", failure_sql);
    sqlite3_stmt *st = tarn_sim_db_ask(db, sql);
    for (; tarn_sim_db_row(st); n++)
        if (n < SUMMARY_FAILURES)
            print_failure(st, stdout);
    if (n > SUMMARY_FAILURES)
        printf("... and %llu more: SELECT * FROM run WHERE status != 0\n",
               (unsigned long long)(n - SUMMARY_FAILURES));
    sqlite3_finalize(st);
    return n;
}

/* ret: marks that no run came to, and that nobody excused */
static uint64_t judge_marks(sqlite3 *db, const struct summary_options *o)
{
    uint64_t reached = 0, unreached = 0, excused = 0;
    sqlite3_stmt *st = tarn_sim_db_ask(
        db, "SELECT m.name, sum(r.runs), sum(r.armed) FROM reached r JOIN mark m ON m.id = r.mark"
            " GROUP BY m.id ORDER BY m.name");
    while (o->marks != SUMMARY_MARKS_OFF && tarn_sim_db_row(st)) {
        if (sqlite3_column_int64(st, 1)) {
            reached++;
        } else if (tarn_sim_summary_excused(column(st, 0), o)) {
            excused++;
        } else {
            unreached++;
            if (!o->json && o->marks != SUMMARY_MARKS_LATER)
                printf("%s  %s was never reached in %lld runs that could\n",
                       o->marks == SUMMARY_MARKS_FAIL ? "FAIL" : "warn", column(st, 0),
                       (long long)sqlite3_column_int64(st, 2));
        }
    }
    sqlite3_finalize(st);
    if (o->json || o->marks == SUMMARY_MARKS_OFF)
        return unreached;
    printf("marks: %llu reached, %llu not, %llu of them excused%s\n", (unsigned long long)reached,
           (unsigned long long)(unreached + excused), (unsigned long long)excused,
           o->marks == SUMMARY_MARKS_LATER ? "; judged when the shards are merged"
           : unreached ? "; more seeds may reach them, --excuse NAME excuses one, --marks warn all"
                       : "");
    return unreached;
}

/* runs that say less than "ok": how many, and which budget did not do */
static void print_unknown(sqlite3 *db)
{
    sqlite3_stmt *st = tarn_sim_db_ask(
        db, "SELECT count(*), sum(r.unknown), min(r.what) FROM run r WHERE r.unknown > 0");
    if (tarn_sim_db_row(st) && sqlite3_column_int64(st, 0))
        printf("unknown: in %lld runs %lld checks were given up (%s): SELECT * FROM run WHERE "
               "unknown > 0\n",
               (long long)sqlite3_column_int64(st, 0), (long long)sqlite3_column_int64(st, 1),
               column(st, 2));
    sqlite3_finalize(st);
}

static void print_text(sqlite3 *db)
{
    sqlite3_stmt *st = tarn_sim_db_ask(
        db, "SELECT min(id), name, sets, path, count(*) FROM scenario GROUP BY path ORDER BY 1");
    while (tarn_sim_db_row(st))
        if (sqlite3_column_int64(st, 4) > 1)
            print_sweep(db, column(st, 3));
        else
            print_scenario(db, sqlite3_column_int64(st, 0), column(st, 1), column(st, 2));
    sqlite3_finalize(st);
    st = tarn_sim_db_ask(db, "SELECT DISTINCT cpu, cores, kernel FROM build ORDER BY id");
    while (tarn_sim_db_row(st))
        printf("\nmachine: %s, %lld core%s, %s", column(st, 0),
               (long long)sqlite3_column_int64(st, 1),
               lab_print_s((uint64_t)sqlite3_column_int64(st, 1)), column(st, 2));
    sqlite3_finalize(st);
    printf("\n\n");
    print_unknown(db);
}

/* ---- JSON ---- */

static void json_measures(sqlite3 *db, int64_t id)
{
    bool any = false;
    for (int m = 0; m < ROW_COUNT; m++) {
        int64_t *v;
        uint64_t n = tarn_sim_summary_values(db, id, tarn_sim_measures[m].name, &v);
        if (n && v) {
            printf("%s\"%s\": {\"n\": %llu, \"min\": %lld, \"max\": %lld", any ? ", " : "",
                   tarn_sim_measures[m].name, (unsigned long long)n, (long long)v[0],
                   (long long)v[n - 1]);
            for (size_t q = 0; q < ARRAY_LEN(quantiles); q++) {
                struct lab_stats_ranks r = lab_stats_quantile(n, quantiles[q]);
                char lo[24] = "null", hi[24] = "null";
                if (r.lo)
                    fmt_into(lo, sizeof lo, "%lld", (long long)v[r.lo - 1]);
                if (r.hi <= n)
                    fmt_into(hi, sizeof hi, "%lld", (long long)v[r.hi - 1]);
                printf(", \"%s\": [%lld, %s, %s]", quantile_names[q], (long long)v[r.at - 1], lo,
                       hi);
            }
            printf("}");
            any = true;
        }
        free(v);
    }
}

static void json_scenarios(sqlite3 *db)
{
    sqlite3_stmt *st =
        tarn_sim_db_ask(db, "SELECT s.id, s.name, s.sets, s.digest, (SELECT count(*) FROM run r "
                            "WHERE r.scenario = s.id),"
                            " (SELECT count(*) FROM run r WHERE r.scenario = s.id AND status = 0)"
                            " FROM scenario s ORDER BY s.id");
    for (unsigned i = 0; tarn_sim_db_row(st); i++) {
        printf("%s{\"name\": ", i ? ", " : "");
        lab_json_string(stdout, column(st, 1));
        printf(", \"sets\": ");
        lab_json_string(stdout, column(st, 2));
        printf(", \"digest\": \"%s\", \"seeds\": %lld, \"ok\": %lld, \"measures\": {",
               column(st, 3), (long long)sqlite3_column_int64(st, 4),
               (long long)sqlite3_column_int64(st, 5));
        json_measures(db, sqlite3_column_int64(st, 0));
        printf("}}");
    }
    sqlite3_finalize(st);
}

static void json_failures(sqlite3 *db)
{
    char sql[700], again[3000];
    fmt_into(sql, sizeof sql, "%s ORDER BY r.scenario, r.seed", failure_sql);
    sqlite3_stmt *st = tarn_sim_db_ask(db, sql);
    for (unsigned i = 0; tarn_sim_db_row(st); i++) {
        tarn_sim_summary_again(st, again, sizeof again);
        printf("%s{\"scenario\": ", i ? ", " : "");
        lab_json_string(stdout, column(st, 6));
        printf(", \"sets\": ");
        lab_json_string(stdout, column(st, 1));
        printf(", \"seed\": %lld, \"verdict\": \"%s\", \"checker\": ",
               (long long)sqlite3_column_int64(st, 3), column(st, 5));
        lab_json_string(stdout, column(st, 7));
        printf(", \"what\": ");
        lab_json_string(stdout, column(st, 9));
        printf(", \"reproduce\": ");
        lab_json_string(stdout, again);
        printf("}");
    }
    sqlite3_finalize(st);
}

static void json_marks(sqlite3 *db, const struct summary_options *o)
{
    sqlite3_stmt *st =
        tarn_sim_db_ask(db, "SELECT m.name, sum(r.armed), sum(r.runs), sum(r.hits) FROM reached r"
                            " JOIN mark m ON m.id = r.mark GROUP BY m.id ORDER BY m.name");
    for (unsigned i = 0; tarn_sim_db_row(st); i++) {
        printf("%s{\"name\": ", i ? ", " : "");
        lab_json_string(stdout, column(st, 0));
        printf(", \"armed\": %lld, \"runs\": %lld, \"hits\": %lld, \"excused\": %s}",
               (long long)sqlite3_column_int64(st, 1), (long long)sqlite3_column_int64(st, 2),
               (long long)sqlite3_column_int64(st, 3),
               tarn_sim_summary_excused(column(st, 0), o) ? "true" : "false");
    }
    sqlite3_finalize(st);
}

static void json_builds(sqlite3 *db)
{
    static const char *const names[] = {"program", "compiler", "cpu", "kernel"};
    sqlite3_stmt *st =
        tarn_sim_db_ask(db, "SELECT program, compiler, cpu, kernel, cores FROM build ORDER BY id");
    for (unsigned i = 0; tarn_sim_db_row(st); i++) {
        printf("%s{\"cores\": %lld", i ? ", " : "", (long long)sqlite3_column_int64(st, 4));
        for (int k = 0; k < (int)ARRAY_LEN(names); k++) {
            printf(", \"%s\": ", names[k]);
            lab_json_string(stdout, column(st, k));
        }
        printf("}");
    }
    sqlite3_finalize(st);
}

static void print_json(sqlite3 *db, const struct summary_options *o, uint64_t unreached, int status)
{
    char commit[80];
    printf("{\"commit\": ");
    lab_json_string(stdout, tarn_sim_db_meta(db, "commit", commit, sizeof commit));
    printf(", \"left\": %llu, \"builds\": [", (unsigned long long)o->left);
    json_builds(db);
    printf("], \"scenarios\": [");
    json_scenarios(db);
    printf("], \"failures\": [");
    json_failures(db);
    printf("], \"marks\": [");
    json_marks(db, o);
    printf("], \"unreached\": %llu, \"status\": %d}\n", (unsigned long long)unreached, status);
}

/* ---- both ---- */

int tarn_sim_summary(sqlite3 *db, const struct summary_options *o)
{
    int status = 0;
    char sql[120];
    for (size_t i = 0; !status && i < ARRAY_LEN(classes); i++) {
        fmt_into(sql, sizeof sql, "SELECT count(*) FROM run WHERE status = %d", classes[i]);
        status = tarn_sim_db_number(db, sql) ? classes[i] : 0;
    }
    if (!o->json)
        print_text(db);
    uint64_t failures = o->json ? 0 : print_failures(db), unreached = judge_marks(db, o);
    if (!status && unreached && o->marks == SUMMARY_MARKS_FAIL)
        status = EXIT_UNREACHED;
    if (o->json) {
        print_json(db, o, unreached, status);
        return status;
    }
    printf("%lld seeds, %lld of them run twice, %llu failed, %lld events",
           (long long)tarn_sim_db_number(db, "SELECT count(*) FROM run"),
           (long long)tarn_sim_db_number(db, "SELECT count(*) FROM run WHERE runs > 1"),
           (unsigned long long)failures,
           (long long)tarn_sim_db_number(db, "SELECT sum(events) FROM run"));
    if (o->left)
        printf("; %llu runs are left, %s: the same command goes on", (unsigned long long)o->left,
               o->why_left);
    printf("\n");
    return status;
}
