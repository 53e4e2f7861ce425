/* sim/tarn_sim_db.c - see sim/tarn_sim_db.h. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "core/fmt.h"
#include "tarn_sim_commit.h"
#include "sim/tarn_sim_db.h"

#if defined(__clang__)
#define DB_COMPILER "clang " __clang_version__
#else
#define DB_COMPILER "gcc " __VERSION__
#endif
#ifdef __OPTIMIZE__
#define DB_OPTIMIZE " -O"
#else
#define DB_OPTIMIZE " -O0"
#endif

static const char schema[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;"
    "CREATE TABLE build(id INTEGER PRIMARY KEY, program TEXT, compiler TEXT, cpu TEXT, cores "
    "INTEGER,"
    " kernel TEXT, UNIQUE(program, cpu, cores, kernel));"
    "CREATE TABLE scenario(id INTEGER PRIMARY KEY, digest TEXT UNIQUE, name TEXT, path TEXT, sets "
    "TEXT,"
    " mutant TEXT, settings TEXT);"
    "CREATE TABLE mark(id INTEGER PRIMARY KEY, name TEXT UNIQUE);"
    "CREATE TABLE reached(scenario INTEGER, mark INTEGER, armed INTEGER, runs INTEGER, hits "
    "INTEGER,"
    " PRIMARY KEY(scenario, mark)) WITHOUT ROWID;"
    "CREATE TABLE run(scenario INTEGER, seed INTEGER, verdict TEXT, status INTEGER, checker TEXT,"
    " at_ns INTEGER, what TEXT, hash TEXT, other_hash TEXT, runs INTEGER, build INTEGER,"
    " events INTEGER, virtual_ns INTEGER, wall_ns INTEGER, drawn TEXT"
#define SCHEMA_MEASURE(name, unit, what) ", " #name " INTEGER"
    ROW_MEASURES(SCHEMA_MEASURE)
#undef SCHEMA_MEASURE
        ", marks BLOB, PRIMARY KEY(scenario, seed)) WITHOUT ROWID;";

/* ---- SQLite ---- */

void tarn_sim_db_panic(sqlite3 *db)
{
    const char *path = sqlite3_db_filename(db, "main");
    fflush(stdout);
    tarn_sim_say("%s: %s\n", path && *path ? path : "the database", sqlite3_errmsg(db));
    exit(EXIT_BROKEN);
}

void tarn_sim_db_do(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL))
        tarn_sim_db_panic(db);
}

sqlite3_stmt *tarn_sim_db_ask(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *st;
    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL))
        tarn_sim_db_panic(db);
    return st;
}

bool tarn_sim_db_row(sqlite3_stmt *st)
{
    int err = sqlite3_step(st);
    if (err != SQLITE_ROW && err != SQLITE_DONE)
        tarn_sim_db_panic(sqlite3_db_handle(st));
    return err == SQLITE_ROW;
}

void tarn_sim_db_run(sqlite3_stmt *st)
{
    while (tarn_sim_db_row(st)) {
    }
    sqlite3_reset(st);
}

int64_t tarn_sim_db_number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *st = tarn_sim_db_ask(db, sql);
    int64_t v = tarn_sim_db_row(st) ? sqlite3_column_int64(st, 0) : 0;
    sqlite3_finalize(st);
    return v;
}

static void bind_text(sqlite3_stmt *st, int at, const char *text)
{
    if (sqlite3_bind_text(st, at, text, -1, SQLITE_TRANSIENT))
        tarn_sim_db_panic(sqlite3_db_handle(st));
}

static void bind_number(sqlite3_stmt *st, int at, int64_t v)
{
    if (sqlite3_bind_int64(st, at, v))
        tarn_sim_db_panic(sqlite3_db_handle(st));
}

const char *tarn_sim_db_meta(sqlite3 *db, const char *key, char *ret, size_t cap)
{
    sqlite3_stmt *st = tarn_sim_db_ask(db, "SELECT value FROM meta WHERE key = ?");
    bind_text(st, 1, key);
    bool is_there = tarn_sim_db_row(st);
    fmt_into(ret, cap, "%s", is_there ? (const char *)sqlite3_column_text(st, 0) : "");
    sqlite3_finalize(st);
    return ret;
}

static void meta_set(sqlite3 *db, const char *key, const char *value)
{
    sqlite3_stmt *st = tarn_sim_db_ask(db, "INSERT INTO meta VALUES (?, ?)");
    bind_text(st, 1, key);
    bind_text(st, 2, value);
    tarn_sim_db_run(st);
    sqlite3_finalize(st);
}

int tarn_sim_db_open(const char *path, bool may_create, sqlite3 **ret_db)
{
    int flags = SQLITE_OPEN_READWRITE | (may_create ? SQLITE_OPEN_CREATE : 0);
    sqlite3 *db = NULL;
    int err = sqlite3_open_v2(path, &db, flags, NULL);
    /* a campaign is the only one that writes, until it ends */
    err = err ? err : sqlite3_exec(db, "PRAGMA locking_mode=EXCLUSIVE; BEGIN IMMEDIATE", 0, 0, 0);
    if (err == SQLITE_BUSY) {
        tarn_sim_say("%s is in use by another campaign: wait for it, or give each "
                     "one its own --db and join them by tarn-sim merge\n",
                     path);
    } else if (err) {
        tarn_sim_say("%s: %s%s\n", path, db ? sqlite3_errmsg(db) : "out of memory",
                     err == SQLITE_NOTADB ? "; give another --db" : "");
    }
    if (err) {
        sqlite3_close(db);
        return err == SQLITE_BUSY || err == SQLITE_CANTOPEN || err == SQLITE_NOTADB ? EXIT_USAGE
                                                                                    : EXIT_BROKEN;
    }
    char text[16];
    bool is_empty = !tarn_sim_db_number(db, "SELECT count(*) FROM sqlite_master");
    if (is_empty) {
        fmt_into(text, sizeof text, "%d", DB_SCHEMA);
        tarn_sim_db_do(db, schema);
        meta_set(db, "schema", text);
    } else if (!tarn_sim_db_number(db, "SELECT count(*) FROM sqlite_master WHERE name = 'meta'") ||
               atoi(tarn_sim_db_meta(db, "schema", text, sizeof text)) != DB_SCHEMA) {
        tarn_sim_say(
            "%s is no database of campaigns, or of another version of "
            "tarn-sim (its schema is \"%s\", this one's %d); give another --db\n",
            path,
            tarn_sim_db_number(db, "SELECT count(*) FROM sqlite_master WHERE name = 'meta'") ? text
                                                                                             : "",
            DB_SCHEMA);
        sqlite3_close(db);
        return EXIT_USAGE;
    }
    *ret_db = db;
    return 0;
}

int tarn_sim_db_close(sqlite3 *db)
{
    tarn_sim_db_do(db, "COMMIT");
    for (sqlite3_stmt *st; (st = sqlite3_next_stmt(db, NULL));)
        sqlite3_finalize(st);
    if (sqlite3_close(db) == SQLITE_OK)
        return 0;
    tarn_sim_say("the database could not be closed\n");
    return EXIT_BROKEN;
}

/* ---- identity ---- */

const char *tarn_sim_db_compiler(void)
{
    return DB_COMPILER DB_OPTIMIZE;
}

const char *tarn_sim_db_commit(void)
{
    return TARN_SIM_COMMIT;
}

const char *tarn_sim_db_build(void)
{
    static char text[40];
    static unsigned char bytes[1 << 16];
    FILE *f = text[0] ? NULL : fopen("/proc/self/exe", "rb");
    uint64_t a = 1, b = 2;
    for (size_t n; f && (n = fread(bytes, 1, sizeof bytes, f)) > 0;) {
        a = base_hash(bytes, n, a);
        b = base_hash(bytes, n, b);
    }
    if (f)
        fclose(f);
    if (!text[0])
        fmt_into(text, sizeof text, "%016llx%016llx", (unsigned long long)a, (unsigned long long)b);
    return text;
}

const char *tarn_sim_db_verdict(int status)
{
    switch (status) {
    case 0:
        return "ok";
    case EXIT_SAFETY:
        return "safety";
    case EXIT_LIVENESS:
        return "liveness";
    case EXIT_DIVERGED:
        return "divergence";
    default:
        return "crash";
    }
}

/* what /proc/cpuinfo calls it; where it has no such name, the architecture */
static void cpu_name(char *to, size_t cap, const char *otherwise)
{
    char line[300];
    FILE *f = fopen("/proc/cpuinfo", "r");
    fmt_into(to, cap, "%s", otherwise);
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (!colon || strncmp(line, "model name", 10) != 0)
            continue;
        line[strcspn(line, "\n")] = 0;
        fmt_into(to, cap, "%s", colon + 1 + (colon[1] == ' '));
        break;
    }
    if (f)
        fclose(f);
}

const struct db_machine *tarn_sim_db_machine(void)
{
    static struct db_machine m;
    struct utsname u;
    if (m.cores)
        return &m;
    if (uname(&u))
        memset(&u, 0, sizeof u);
    cpu_name(m.cpu, sizeof m.cpu, u.machine);
    fmt_into(m.kernel, sizeof m.kernel, "%s %s", u.sysname, u.release);
    m.cores = sysconf(_SC_NPROCESSORS_ONLN);
    return &m;
}

static void bind_build(sqlite3_stmt *st)
{
    const struct db_machine *m = tarn_sim_db_machine();
    bind_text(st, 1, tarn_sim_db_build());
    bind_text(st, 2, m->cpu);
    bind_number(st, 3, m->cores);
    bind_text(st, 4, m->kernel);
}

static int64_t build_id(sqlite3 *db)
{
    sqlite3_stmt *st = tarn_sim_db_ask(db, "INSERT OR IGNORE INTO build(program, cpu, cores, "
                                           "kernel, compiler) VALUES (?, ?, ?, ?, ?)");
    bind_build(st);
    bind_text(st, 5, tarn_sim_db_compiler());
    tarn_sim_db_run(st);
    sqlite3_finalize(st);
    st = tarn_sim_db_ask(
        db, "SELECT id FROM build WHERE program = ? AND cpu = ? AND cores = ? AND kernel = ?");
    bind_build(st);
    int64_t id = tarn_sim_db_row(st) ? sqlite3_column_int64(st, 0) : 0;
    sqlite3_finalize(st);
    return id;
}

static int refuse_commit(sqlite3 *db, const char *path)
{
    char commit[80], program[80];
    tarn_sim_db_meta(db, "commit", commit, sizeof commit);
    tarn_sim_db_meta(db, "program", program, sizeof program);
    if (strcmp(commit, TARN_SIM_COMMIT) != 0) {
        tarn_sim_say("%s has runs of commit %s, and this is %s: runs of two programs are not "
                     "mixed.\n"
                     "Give another --db, or build that commit to go on with this one\n",
                     path, commit, TARN_SIM_COMMIT);
        return EXIT_USAGE;
    }
    bool is_exact = !strstr(commit, "dirty") && strcmp(commit, "unknown") != 0;
    if (is_exact || !strcmp(program, tarn_sim_db_build()))
        return 0;
    tarn_sim_say(
        "%s has runs of another build of \"%s\", which may have been made of other "
        "sources.\n"
        "Give another --db; databases can be continued by other builds when all is committed "
        "to git\n",
        path, commit);
    return EXIT_USAGE;
}

static int64_t scenario_id(sqlite3 *db, const struct row_scenario *r)
{
    sqlite3_stmt *st = tarn_sim_db_ask(db, "SELECT id FROM scenario WHERE digest = ?");
    bind_text(st, 1, r->digest);
    int64_t id = tarn_sim_db_row(st) ? sqlite3_column_int64(st, 0) : 0;
    sqlite3_finalize(st);
    return id;
}

static int64_t scenario_add(sqlite3 *db, const struct row_plan *p, const struct row_scenario *r)
{
    char sets[2000] = "";
    for (unsigned i = 0, n = 0; i < p->n_sets; i++)
        n += (unsigned)fmt_into(sets + n, sizeof sets - n, "%s%s", i ? " " : "", p->sets[i]);
    for (unsigned i = 0; i < p->n_sweeps; i++) {
        size_t n = strlen(sets);
        fmt_into(sets + n, sizeof sets - n, "%s%s", n ? " " : "", r->sweep[i]);
    }
    sqlite3_stmt *st =
        tarn_sim_db_ask(db, "INSERT INTO scenario(digest, name, path, sets, mutant, settings)"
                            " VALUES (?, ?, ?, ?, ?, ?)");
    bind_text(st, 1, r->digest);
    bind_text(st, 2, r->text);
    bind_text(st, 3, r->path);
    bind_text(st, 4, sets);
    bind_text(st, 5, p->mutant ? p->mutant : "");
    bind_text(st, 6, r->settings);
    tarn_sim_db_run(st);
    sqlite3_finalize(st);
    return sqlite3_last_insert_rowid(db);
}

int tarn_sim_db_bind(sqlite3 *db, const char *path, struct row_plan *p)
{
    int64_t n = tarn_sim_db_number(db, "SELECT count(*) FROM scenario");
    if (!n) {
        meta_set(db, "commit", TARN_SIM_COMMIT);
        meta_set(db, "program", tarn_sim_db_build());
    } else if (refuse_commit(db, path)) {
        return EXIT_USAGE;
    }
    for (uint32_t i = 0; i < p->n_scenarios; i++) {
        struct row_scenario *r = &p->scenarios[i];
        r->db_id = n ? scenario_id(db, r) : scenario_add(db, p, r);
        if (r->db_id)
            continue;
        tarn_sim_say("%s has no runs of %s with these settings: a database is of one campaign.\n"
                     "Give another --db, or the same scenarios, --set, --sweep, --mutant and "
                     "--plant; the table "
                     "\"scenario\" has them\n",
                     path, r->path);
        return EXIT_USAGE;
    }
    if (n && n != p->n_scenarios) {
        tarn_sim_say("%s is of %lld scenarios, not of %u: give another --db, or all of them; "
                     "the table "
                     "\"scenario\" has them\n",
                     path, (long long)n, p->n_scenarios);
        return EXIT_USAGE;
    }
    build_id(db);
    tarn_sim_db_do(db, "COMMIT; BEGIN");
    return 0;
}

/* ---- rows ---- */

enum { MARK_BYTES = 20 };

static int64_t mark_id(sqlite3 *db, const char *name)
{
    static sqlite3_stmt *find, *add;
    if (!find) {
        find = tarn_sim_db_ask(db, "SELECT id FROM mark WHERE name = ?");
        add = tarn_sim_db_ask(db, "INSERT INTO mark(name) VALUES (?)");
    }
    bind_text(find, 1, name);
    int64_t id = tarn_sim_db_row(find) ? sqlite3_column_int64(find, 0) : 0;
    sqlite3_reset(find);
    if (id)
        return id;
    bind_text(add, 1, name);
    tarn_sim_db_run(add);
    return sqlite3_last_insert_rowid(db);
}

/* id and hits of each armed mark, seven bits a byte, low ones first */
size_t tarn_sim_db_pack(uint8_t *to, uint64_t v)
{
    size_t n = 0;
    for (; v >= 128; v >>= 7)
        to[n++] = (uint8_t)(v | 128);
    to[n++] = (uint8_t)v;
    return n;
}

const uint8_t *tarn_sim_db_unpack(const uint8_t *at, const uint8_t *end, uint64_t *ret_v)
{
    *ret_v = 0;
    for (unsigned shift = 0; at < end && shift < 63; shift += 7) {
        *ret_v |= (uint64_t)(*at & 127) << shift;
        if (!(*at++ & 128))
            break;
    }
    return at;
}

static size_t marks_pack(sqlite3 *db, const struct row *r, uint8_t *to)
{
    size_t n = 0;
    for (uint32_t i = 0; i < r->n_marks; i++) {
        if (!r->marks[i].armed)
            continue;
        n += tarn_sim_db_pack(to + n, (uint64_t)mark_id(db, r->marks[i].name));
        n += tarn_sim_db_pack(to + n, r->marks[i].hits);
    }
    return n;
}

static void hash_text(const struct row *r, char to[33])
{
    to[0] = 0;
    if (r->hash[0] || r->hash[1])
        fmt_into(to, 33, "%016llx%016llx", (unsigned long long)r->hash[0],
                 (unsigned long long)r->hash[1]);
}

static void put_first(sqlite3 *db, const struct row_plan *p, const struct row *r)
{
    static const char sql[] = "INSERT OR REPLACE INTO run VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
                              "NULL, 1, ?9, ?10, ?11, ?12, ?13"
#define PUT_MEASURE(name, unit, what) ", ?"
        ROW_MEASURES(PUT_MEASURE) ", ?)";
#undef PUT_MEASURE
    static sqlite3_stmt *st;
    static uint8_t packed[MARK_BYTES * LAB_MARKS_MAX];
    static int64_t build;
    char hash[33];
    if (!st) {
        st = tarn_sim_db_ask(db, sql);
        build = build_id(db);
    }
    size_t n = marks_pack(db, r, packed);
    hash_text(r, hash);
    sqlite3_clear_bindings(st);
    bind_number(st, 1, p->scenarios[r->job.scenario].db_id);
    bind_number(st, 2, (int64_t)r->job.seed);
    bind_text(st, 3, tarn_sim_db_verdict(r->status));
    bind_number(st, 4, r->status);
    if (r->status) {
        bind_text(st, 5, r->checker);
        bind_number(st, 6, r->at_ns);
    }
    if (r->what[0]) /* of a run that is ok: what of it is unknown */
        bind_text(st, 7, r->what);
    if (hash[0])
        bind_text(st, 8, hash);
    bind_number(st, 9, build);
    bind_number(st, 10, (int64_t)r->events);
    bind_number(st, 11, r->virtual_ns);
    bind_number(st, 12, r->wall_ns);
    bind_text(st, 13, r->drawn);
    for (int m = 0; m < ROW_COUNT; m++)
        if (r->has >> m & 1)
            bind_number(st, 14 + m, r->values[m]);
    sqlite3_bind_blob(st, 14 + ROW_COUNT, packed, (int)n, SQLITE_STATIC);
    tarn_sim_db_run(st);
}

/* The second run of a seed says nothing new unless its hash, or its end, is another. */
static int put_second(sqlite3 *db, const struct row_plan *p, const struct row *r)
{
    static sqlite3_stmt *find, *set;
    char hash[33], what[700];
    if (!find) {
        find = tarn_sim_db_ask(db, "SELECT status, hash FROM run WHERE scenario = ? AND seed = ?");
        set = tarn_sim_db_ask(
            db, "UPDATE run SET runs = runs + 1, status = ?1, verdict = ?2, other_hash = ?3,"
                " checker = coalesce(?4, checker), what = coalesce(?5, what)"
                " WHERE scenario = ?6 AND seed = ?7");
    }
    hash_text(r, hash);
    bind_number(find, 1, p->scenarios[r->job.scenario].db_id);
    bind_number(find, 2, (int64_t)r->job.seed);
    int status = tarn_sim_db_row(find) ? sqlite3_column_int(find, 0) : EXIT_PANIC;
    const char *first = (const char *)sqlite3_column_text(find, 1);
    bool same = status == r->status && first && !strcmp(first, hash);
    sqlite3_clear_bindings(set);
    if (!same) {
        fmt_into(what, sizeof what, "one run ended as %s with hash %s, another as %s with %s%s%s",
                 tarn_sim_db_verdict(status), first ? first : "none",
                 tarn_sim_db_verdict(r->status), hash[0] ? hash : "none", r->what[0] ? ": " : "",
                 r->what);
        status = EXIT_DIVERGED;
        bind_text(set, 4, "twice");
        bind_text(set, 5, what);
    }
    sqlite3_reset(find);
    bind_number(set, 1, status);
    bind_text(set, 2, tarn_sim_db_verdict(status));
    if (hash[0])
        bind_text(set, 3, hash);
    bind_number(set, 6, p->scenarios[r->job.scenario].db_id);
    bind_number(set, 7, (int64_t)r->job.seed);
    tarn_sim_db_run(set);
    return status;
}

int tarn_sim_db_put(sqlite3 *db, const struct row_plan *p, const struct row *r)
{
    if (r->job.pass)
        return put_second(db, p, r);
    put_first(db, p, r);
    return r->status;
}

void tarn_sim_db_done(sqlite3 *db, const struct row_plan *p, uint64_t from, uint64_t to)
{
    sqlite3_stmt *st = tarn_sim_db_ask(
        db, "SELECT seed, runs, status FROM run WHERE scenario = ? AND seed BETWEEN ? AND ?");
    for (uint32_t i = 0; i < p->n_scenarios; i++) {
        bind_number(st, 1, p->scenarios[i].db_id);
        bind_number(st, 2, (int64_t)from);
        bind_number(st, 3, (int64_t)to);
        while (tarn_sim_db_row(st)) {
            int64_t runs = sqlite3_column_int64(st, 1);
            bool is_over = runs > 1 || sqlite3_column_int(st, 2) == EXIT_PANIC;
            p->scenarios[i].state[(uint64_t)sqlite3_column_int64(st, 0) - from] =
                is_over ? 2 : (uint8_t)runs;
        }
        sqlite3_reset(st);
    }
    sqlite3_finalize(st);
}

/* ---- marks ---- */

struct reach {
    int64_t armed, runs;
    uint64_t hits;
};

static void reached_put(sqlite3 *db, int64_t scenario, struct reach *to, int64_t n)
{
    sqlite3_stmt *st = tarn_sim_db_ask(db, "INSERT INTO reached VALUES (?, ?, ?, ?, ?)");
    for (int64_t i = 0; i <= n; i++) {
        if (!to[i].armed)
            continue;
        bind_number(st, 1, scenario);
        bind_number(st, 2, i);
        bind_number(st, 3, to[i].armed);
        bind_number(st, 4, to[i].runs);
        bind_number(st, 5, (int64_t)to[i].hits);
        tarn_sim_db_run(st);
    }
    sqlite3_finalize(st);
    memset(to, 0, (size_t)(n + 1) * sizeof *to);
}

void tarn_sim_db_reached(sqlite3 *db)
{
    int64_t n = tarn_sim_db_number(db, "SELECT max(id) FROM mark"), scenario = 0;
    struct reach *to = calloc((size_t)n + 1, sizeof *to);
    sqlite3_stmt *st =
        tarn_sim_db_ask(db, "SELECT scenario, marks FROM run ORDER BY scenario, seed");
    tarn_sim_db_do(db, "DELETE FROM reached");
    while (to && tarn_sim_db_row(st)) {
        const uint8_t *at = sqlite3_column_blob(st, 1);
        const uint8_t *end = at ? at + sqlite3_column_bytes(st, 1) : at; /* NULL: none */
        if (scenario && scenario != sqlite3_column_int64(st, 0))
            reached_put(db, scenario, to, n);
        scenario = sqlite3_column_int64(st, 0);
        while (at < end) {
            uint64_t id, hits;
            at = tarn_sim_db_unpack(tarn_sim_db_unpack(at, end, &id), end, &hits);
            if (id > (uint64_t)n)
                continue;
            to[id].armed++;
            to[id].runs += hits > 0;
            to[id].hits += hits;
        }
    }
    if (scenario && to)
        reached_put(db, scenario, to, n);
    sqlite3_finalize(st);
    free(to);
}
