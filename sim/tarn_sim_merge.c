/* sim/tarn_sim_merge.c - tarn-sim merge: the databases of shards, or of several builds, become one.
 *
 *  1. All are of one commit and the same scenarios with the same settings; others are refused, and
 *     those before them stay merged.
 *  2. A seed that is in several must have ended the same way with the same hash, or its row becomes
 *     a divergence: so two compilers, or two machines, are compared.
 *  3. Numbers of scenarios, builds and marks differ between databases: names are what counts.
 *  4. The same database merged again changes nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "core/fmt.h"
#include "sim/lab_print.h"
#include "sim/tarn_sim_args.h"
#include "sim/tarn_sim_db.h"

static const char usage[] =
    "tarn-sim merge OUT.db IN.db... [options]\n"
    "\n"
    "Joins databases of campaigns, of shards or of several builds, into OUT.db (which is made, or "
    "added to), and says\n"
    "what is in it.  A seed that several of them ran must have the same hash in all, or it is a "
    "divergence.\n"
    "\n"
    "  --marks fail|warn|off  what a mark that no run came to is (default: a failure)\n"
    "  --excuse NAME,...  marks that need not be reached; \"group.*\" is all of a group\n"
    "  --same-sources  builds of sources that were not committed are of the same: you know it\n"
    "  --json          the summary as JSON\n"
    "\n"
    "Exit status: as tarn-sim campaign.\n";

#define MERGE_COLUMN(name, unit, what) ", " #name
#define MERGE_COLUMNS                                                                              \
    "verdict, status, checker, at_ns, what, hash, other_hash, runs, events, virtual_ns, wall_ns, " \
    "drawn" ROW_MEASURES(MERGE_COLUMN)

/* ---- marks under other numbers ---- */

struct renumber {
    uint64_t *to, n;
};

static struct renumber renumber_make(sqlite3 *db)
{
    struct renumber r = {.n = (uint64_t)tarn_sim_db_number(db, "SELECT max(id) FROM src.mark") + 1};
    r.to = calloc(r.n, sizeof *r.to);
    sqlite3_stmt *st = tarn_sim_db_ask(
        db, "SELECT s.id, m.id FROM src.mark s JOIN main.mark m ON m.name = s.name");
    while (r.to && tarn_sim_db_row(st))
        r.to[sqlite3_column_int64(st, 0)] = (uint64_t)sqlite3_column_int64(st, 1);
    sqlite3_finalize(st);
    return r;
}

/* the SQL function renumbered(marks) */
static void renumbered(sqlite3_context *ctx, int n, sqlite3_value **v)
{
    const struct renumber *r = sqlite3_user_data(ctx);
    const uint8_t *at = sqlite3_value_blob(v[0]);
    size_t size = at ? (size_t)sqlite3_value_bytes(v[0]) : 0; /* NULL: none */
    const uint8_t *end = at ? at + size : at;
    /* a number may come to be longer, at most ten bytes, where it was one */
    uint8_t *to = malloc(size * 10 + 1);
    size_t len = 0;
    (void)n;
    while (to && r->to && at < end) {
        uint64_t id, hits;
        at = tarn_sim_db_unpack(tarn_sim_db_unpack(at, end, &id), end, &hits);
        if (id >= r->n)
            continue;
        len += tarn_sim_db_pack(to + len, r->to[id]);
        len += tarn_sim_db_pack(to + len, hits);
    }
    if (to)
        sqlite3_result_blob(ctx, to, (int)len, free);
    else
        sqlite3_result_error_nomem(ctx);
}

/* ---- may they be joined? ---- */

static void src_meta(sqlite3 *db, const char *key, char *ret, size_t cap)
{
    sqlite3_stmt *st = tarn_sim_db_ask(db, "SELECT value FROM src.meta WHERE key = ?");
    sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
    bool is_there = tarn_sim_db_row(st);
    fmt_into(ret, cap, "%s", is_there ? (const char *)sqlite3_column_text(st, 0) : "");
    sqlite3_finalize(st);
}

static int refuse(const char *path, const char *what)
{
    tarn_sim_say("%s %s: not merged\n", path, what);
    return EXIT_USAGE;
}

static int fits(sqlite3 *db, const char *path, bool same_sources)
{
    char a[80], b[80], program_a[80], program_b[80], what[300];
    if (!tarn_sim_db_number(db, "SELECT count(*) FROM src.sqlite_master WHERE name = 'meta'"))
        return refuse(path, "is no database of campaigns");
    src_meta(db, "schema", b, sizeof b);
    if (atoi(b) != DB_SCHEMA) {
        fmt_into(what, sizeof what,
                 "is of another version of tarn-sim: its schema is \"%s\", this one's %d", b,
                 DB_SCHEMA);
        return refuse(path, what);
    }
    if (!tarn_sim_db_number(db, "SELECT count(*) FROM main.scenario"))
        return 0;
    src_meta(db, "commit", b, sizeof b);
    src_meta(db, "program", program_b, sizeof program_b);
    tarn_sim_db_meta(db, "commit", a, sizeof a);
    tarn_sim_db_meta(db, "program", program_a, sizeof program_a);
    if (strcmp(a, b) != 0) {
        fmt_into(what, sizeof what,
                 "is of commit %s and the others of %s; run it again by one program", b, a);
        return refuse(path, what);
    }
    if (!same_sources && (strstr(a, "dirty") || !strcmp(a, "unknown")) &&
        strcmp(program_a, program_b) != 0)
        return refuse(path, "is of another build than the others, and its sources were not "
                            "committed (see --same-sources)");
    if (tarn_sim_db_number(db, "SELECT count(*) FROM (SELECT digest FROM src.scenario EXCEPT "
                               "SELECT digest FROM main.scenario)") ||
        tarn_sim_db_number(db, "SELECT count(*) FROM (SELECT digest FROM main.scenario EXCEPT "
                               "SELECT digest FROM src.scenario)"))
        return refuse(path, "is of other scenarios or settings than the others (see the table "
                            "\"scenario\" of each)");
    return 0;
}

/* ---- joining ---- */

static const char names_sql[] =
    "INSERT OR IGNORE INTO main.meta SELECT key, value FROM src.meta;"
    "INSERT OR IGNORE INTO main.scenario(digest, name, path, sets, mutant, settings)"
    " SELECT digest, name, path, sets, mutant, settings FROM src.scenario ORDER BY id;"
    "INSERT OR IGNORE INTO main.build(program, compiler, cpu, cores, kernel) SELECT program, "
    "compiler, "
    "cpu, cores, kernel FROM src.build ORDER BY id;"
    "INSERT OR IGNORE INTO main.mark(name) SELECT name FROM src.mark ORDER BY id;"
    "CREATE TEMP TABLE map AS SELECT s.id AS theirs, m.id AS ours FROM src.scenario s JOIN "
    "main.scenario m USING (digest);"
    /* what both have, but for one run that is in both */
    "CREATE TEMP TABLE both AS SELECT a.scenario AS scenario, a.seed AS seed, b.runs AS runs, "
    "b.status AS status, b.hash AS hash,"
    " b.what AS what, a.status = b.status AND a.hash IS b.hash AS same, y.compiler AS compiler"
    " FROM src.run b JOIN map ON map.theirs = b.scenario JOIN main.run a ON a.scenario = map.ours "
    "AND a.seed = b.seed"
    " JOIN main.build x ON x.id = a.build JOIN src.build y ON y.id = b.build"
    " WHERE NOT (x.program = y.program AND a.wall_ns = b.wall_ns);"
    "CREATE UNIQUE INDEX temp.both_key ON both(scenario, seed);";

static const char rows_sql[] =
    "INSERT INTO main.run(scenario, seed, build, marks, " MERGE_COLUMNS ")"
    " SELECT map.ours, b.seed, m.id, renumbered(b.marks), " MERGE_COLUMNS
    " FROM src.run b JOIN map ON map.theirs = b.scenario JOIN src.build y ON y.id = b.build JOIN "
    "main.build m USING (program, cpu, cores, kernel)"
    " WHERE NOT EXISTS (SELECT 1 FROM main.run a WHERE a.scenario = map.ours AND a.seed = b.seed);"
    "UPDATE main.run AS a SET runs = a.runs + t.runs, other_hash = t.hash FROM both t"
    " WHERE t.scenario = a.scenario AND t.seed = a.seed AND t.same;"
    "UPDATE main.run AS a SET runs = a.runs + t.runs, other_hash = t.hash, status = 5, verdict = "
    "'divergence', checker = 'merge',"
    " what = CASE WHEN t.status = 5 THEN t.what ELSE 'ended with status ' || a.status || ' and "
    "hash ' || coalesce(a.hash, 'none') ||"
    " ', by ' || t.compiler || ' with status ' || t.status || ' and hash ' || coalesce(t.hash, "
    "'none') END FROM both t"
    " WHERE t.scenario = a.scenario AND t.seed = a.seed AND NOT t.same AND a.status != 5;";

struct merge {
    sqlite3 *db;
    uint64_t both, differ;
    bool same_sources;
};

static int merge_one(struct merge *m, const char *path)
{
    sqlite3 *db = m->db;
    if (access(path, R_OK)) {
        tarn_sim_say("cannot read %s\n", path);
        return EXIT_USAGE;
    }
    sqlite3_stmt *st = tarn_sim_db_ask(db, "ATTACH ? AS src");
    sqlite3_bind_text(st, 1, path, -1, SQLITE_STATIC);
    int err = sqlite3_step(st);
    sqlite3_finalize(st);
    if (err == SQLITE_DONE)
        err = sqlite3_exec(db, "SELECT count(*) FROM src.sqlite_master", NULL, NULL, NULL);
    if (err) {
        tarn_sim_say("%s: %s\n", path, sqlite3_errmsg(db));
        return EXIT_USAGE;
    }
    err = fits(db, path, m->same_sources);
    if (err)
        return err;
    tarn_sim_db_do(db, "BEGIN");
    tarn_sim_db_do(db, names_sql);
    struct renumber r = renumber_make(db);
    sqlite3_create_function(db, "renumbered", 1, SQLITE_UTF8, &r, renumbered, NULL, NULL);
    tarn_sim_db_do(db, rows_sql);
    m->both += (uint64_t)tarn_sim_db_number(db, "SELECT count(*) FROM both");
    m->differ += (uint64_t)tarn_sim_db_number(db, "SELECT count(*) FROM both WHERE NOT same");
    tarn_sim_db_do(db, "DROP TABLE both; DROP TABLE map; COMMIT; DETACH src");
    free(r.to);
    return 0;
}

static void say_builds(sqlite3 *db)
{
    sqlite3_stmt *st =
        tarn_sim_db_ask(db, "SELECT program, compiler, cpu, cores, kernel FROM build ORDER BY id");
    while (tarn_sim_db_row(st))
        printf("program %s, %s, on %s, %lld core%s, %s\n", (const char *)sqlite3_column_text(st, 0),
               (const char *)sqlite3_column_text(st, 1), (const char *)sqlite3_column_text(st, 2),
               (long long)sqlite3_column_int64(st, 3),
               lab_print_s((uint64_t)sqlite3_column_int64(st, 3)),
               (const char *)sqlite3_column_text(st, 4));
    sqlite3_finalize(st);
}

static int merge_all(const char *out, const char *const *in, unsigned n, bool same_sources,
                     struct summary_options *so)
{
    struct merge m = {.same_sources = same_sources};
    int err = tarn_sim_db_open(out, true, &m.db);
    if (err)
        return err;
    tarn_sim_db_do(m.db, "COMMIT");
    for (unsigned i = 0; i < n; i++) {
        err = merge_one(&m, in[i]);
        if (err)
            return err;
    }
    tarn_sim_db_do(m.db, "BEGIN");
    tarn_sim_db_reached(m.db);
    if (!so->json)
        say_builds(m.db);
    int status = tarn_sim_summary(m.db, so);
    if (!so->json)
        printf("%llu seeds were in more than one database: %s", (unsigned long long)m.both,
               !m.both    ? "nothing to compare\n"
               : m.differ ? ""
                          : "all hashes are equal\n");
    if (!so->json && m.differ)
        printf("%llu DIFFER\n", (unsigned long long)m.differ);
    err = tarn_sim_db_close(m.db);
    return err ? err : status;
}

int tarn_sim_merge(int argc, char **argv)
{
    static char *excuses[SUMMARY_EXCUSES];
    struct summary_options so = {.excuses = excuses};
    const char **paths = calloc((size_t)argc + 1, sizeof *paths);
    unsigned n = 0;
    bool same_sources = false;
    for (int i = 2; paths && i < argc; i++) {
        const char *o = argv[i];
        if (!strcmp(o, "--help") || !strcmp(o, "-h")) {
            fputs(usage, stdout);
            return 0;
        }
        if (!strcmp(o, "--json"))
            so.json = true;
        else if (!strcmp(o, "--same-sources"))
            same_sources = true;
        else if (!strcmp(o, "--marks") && tarn_sim_args_marks(argv[i + 1], &so.marks))
            i++;
        else if (!strcmp(o, "--excuse") &&
                 tarn_sim_args_excuse(argv[i + 1], excuses, &so.n_excuses))
            i++;
        else if (!strcmp(o, "--marks") || !strcmp(o, "--excuse"))
            return tarn_sim_bad_value(o, argv[i + 1]);
        else if (o[0] == '-')
            return tarn_sim_unknown_option("merge", o);
        else
            paths[n++] = o;
    }
    if (!paths || n < 2)
        return tarn_sim_bad("what into what? merge OUT.db IN.db...", "");
    int err = merge_all(paths[0], paths + 1, n - 1, same_sources, &so);
    free(paths);
    return err;
}
