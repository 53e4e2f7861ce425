/* cluster/cli_migrate.c - `tarn journal migrate`: the state of a stopped journal goes on as a
 * journal of another type, or of another group, or in another place.
 *
 *   ask ZooKeeper, of a shared directory, whether a master runs -> read the source to its end ->
 *   ask at the masters' addresses -> look at the destination -> write it -> read it again, and
 *   compare record by record -> read a shared directory again -> from then on it counts
 *
 * INVARIANTS
 *  1. The source is only read.  Its directories are locked meanwhile, so no master starts there. In
 *     a shared directory, whose masters are on other hosts, a note is left at the end: none starts
 *     on it by an old configuration.
 *  2. No master starts on the destination before all of it was compared (cli_migrate_put.c, 1).
 *  3. The cluster keeps its id: workers and clients go on.  Its epoch goes on from the source's,
 * and it has a new era (journal/era.c), which the last record of the destination begins: versions
 * of files count from there on, so what a master of the source gives out, should one be started
 *     after all, is never taken for the destination's.  A group's member of before that meets the
 *     new group stops.
 *  4. The same command again goes on where one was interrupted; from another source, or when the
 *     source has changed since, it is refused. */
#include "cluster/cli_migrate.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include "cluster/cli_commands.h"
#include "cluster/cli_group.h"
#include "cluster/cli_masters.h"
#include "cluster/config_members.h"
#include "core/fmt.h"
#include "journal/era.h"

enum { MIGRATE_SAID_MAX = 10 };
static const int64_t migrate_ask_ns = 2000000000LL;

struct migrate {
    struct cli *cli;
    struct cli_migrate_place from, to;
    struct cli_migrate_state source, copy;
    struct cli_dir from_dir[JOURNAL_MEMBERS_MAX], to_dir[JOURNAL_MEMBERS_MAX];
    unsigned n_from, n_to; /* that are open */
    struct cli_migrate_mark mark;
    enum cli_migrate_life life[JOURNAL_MEMBERS_MAX];
    uint64_t known, said; /* known: the latest era of those that run */
    cJSON *differences;
    bool is_dry, is_verify;
};

static void migrate_say(const struct migrate *m, const char *format, ...) PRINTF_LIKE(2, 3);
static void migrate_say(const struct migrate *m, const char *format, ...)
{
    va_list ap;
    if (m->cli->quiet)
        return;
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
}

/* --- what is refused --- */

static bool migrate_is_same(const char *a, const char *b)
{
    struct stat x, y;
    return !strcmp(a, b) ||
           (!stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

static int migrate_places(struct migrate *m, const char *from)
{
    struct cli *c = m->cli;
    int code =
        cli_migrate_place(&m->from, c, "--from", from ? from : cli_value(c, "from", ""), false);
    if (!code)
        code = cli_migrate_place(&m->to, c, "--to", cli_value(c, "to", ""), true);
    for (unsigned i = 0; i < m->from.n && !code; i++)
        for (unsigned k = 0; k < m->to.n && !code; k++)
            if (migrate_is_same(m->from.dir[i], m->to.dir[k]))
                code = cli_error(c, CLI_USAGE, "%s is both the source and the destination",
                                 m->to.dir[k]);
    return code;
}

static void migrate_know(struct cli_masters *all, const char *list)
{
    for (const char *p = list; *p;) {
        char addr[ENV_ADDR_MAX];
        size_t n = strcspn(p, ",");
        snprintf(addr, sizeof addr, "%.*s", (int)n, p);
        cli_masters_add(all, addr);
        p += n + (p[n] == ',');
    }
}

/* Locks show only masters on this host. */
static int migrate_ask(struct migrate *m)
{
    static struct cli_masters all;
    static char members[4096];
    struct cli *c = m->cli;
    char ours[33], theirs[33];
    int code = cli_masters_open_none(&all, c);
    if (code)
        return code;
    config_members_addresses(m->source.members, members, sizeof members);
    migrate_know(&all, members);
    for (uint32_t i = 0; i < m->to.conf.n; i++)
        cli_masters_add(&all, m->to.conf.member[i].addr);
    if (m->from.config)
        migrate_know(&all, config_masters(m->from.config));
    if (m->to.config)
        migrate_know(&all, config_masters(m->to.config));
    if (c->config_file)
        migrate_know(&all, config_masters(c->config));
    cli_masters_ask(&all, migrate_ask_ns);
    cli_group_id_text(ours, m->source.cluster_hi, m->source.cluster_lo);
    for (unsigned i = 0; i < all.n && !code; i++) {
        const struct cli_masters_one *o = &all.one[i];
        enum cli_masters_said said = cli_masters_said(o);
        bool is_ours = said == CLI_MASTERS_ANSWERS &&
                       !strcmp(cli_masters_str(o, "journal.cluster", theirs, sizeof theirs), ours);
        m->known = base_max_u64(m->known, is_ours ? cli_masters_u64(o, "journal.era") : 0);
        if (cli_flag(c, "force"))
            continue;
        if (is_ours)
            code = cli_error(c, CLI_FAILED,
                             "the master at %s runs, in this cluster: stop all masters first, or "
                             "what they do from now on is lost (--force: do it all the same)",
                             o->addr);
        else if (said == CLI_MASTERS_BARRED)
            code = cli_error(c, CLI_FAILED,
                             "%s cannot be asked (%s), so a master of the cluster may run there.  "
                             "Use the cluster's configuration (-c FILE, cluster.secret_file); "
                             "--force: I know that it is off",
                             o->addr, err_text(o->err));
    }
    cli_masters_close(&all);
    return code;
}

static bool migrate_is_ours(const struct migrate *m, unsigned i, const struct cli_migrate_mark *o)
{
    return !strcmp(o->cluster, m->mark.cluster) && !strcmp(o->type, m->mark.type) &&
           !strcmp(o->members, m->mark.members) && o->index == m->mark.index &&
           o->digest == m->mark.digest && o->epoch == m->mark.epoch && o->id == m->to.id[i];
}

/* is each directory empty, or this very migration's?  Whose has an era has told it. */
static int migrate_look(struct migrate *m)
{
    struct cli *c = m->cli;
    struct cli_migrate_mark there;
    for (unsigned i = 0; i < m->to.n; i++) {
        const char *dir = m->to.dir[i];
        struct stat st;
        if (m->to.type == CLI_MIGRATE_ZK && stat(dir, &st)) /* below a mount that is not there? */
            return cli_error(c, CLI_FAILED,
                             "%s: %s: is the shared storage mounted?  The directory is not made "
                             "here: make it first",
                             dir, strerror(errno));
        m->life[i] = cli_migrate_look(dir, &there);
        if (m->life[i] == CLI_MIGRATE_EMPTY)
            continue;
        if (m->life[i] == CLI_MIGRATE_FOREIGN)
            return cli_error(c, CLI_FAILED,
                             "%s is not empty.  Nothing was changed.  Move away what is there (it "
                             "may be the only copy of something), or name another directory",
                             dir);
        if (!migrate_is_ours(m, i, &there) || (m->mark.era && m->mark.era != there.era))
            return cli_error(
                c, CLI_FAILED,
                "%s: a migration of %s up to record %llu (digest %016llx) was %s here, and this is "
                "%s up to record %llu (digest %016llx)%s%s.  Nothing was changed.  Remove what is "
                "in "
                "it to begin anew, or name another directory",
                dir, there.from, (unsigned long long)there.index, (unsigned long long)there.digest,
                m->life[i] == CLI_MIGRATE_BEGUN ? "begun" : "made", m->from.text,
                (unsigned long long)m->mark.index, (unsigned long long)m->mark.digest,
                strcmp(there.members, m->mark.members) != 0 ? ", of other members" : "",
                m->mark.era && m->mark.era != there.era ? ", or of another --era" : "");
        m->mark.era = there.era;
    }
    return CLI_OK;
}

static int migrate_era(struct migrate *m)
{
    struct cli *c = m->cli;
    const char *given = cli_value(c, "era", NULL);
    struct timespec now;
    uint32_t chance;
    if (given && !cli_dir_era_parse(given, &m->mark.era))
        return cli_error(c, CLI_USAGE, "--era: \"%s\" is not 16 hex digits", given);
    int code = migrate_look(m);
    if (code || m->mark.era)
        return code;
    if (m->is_verify)
        return cli_error(c, CLI_FAILED, "%s: no migration was begun or ended here", m->to.dir[0]);
    if (getrandom(&chance, sizeof chance, 0) != sizeof chance)
        return cli_error(c, CLI_FAILED, "no random numbers");
    clock_gettime(CLOCK_REALTIME, &now);
    m->mark.era = era_next(base_max_u64(m->source.era, m->known),
                           now.tv_sec * 1000000000LL + now.tv_nsec, chance);
    return CLI_OK;
}

/* --- the source --- */

static void migrate_members_text(const struct migrate *m, char *to, size_t cap)
{
    size_t n = 0;
    *to = 0;
    for (uint32_t i = 0; i < m->to.conf.n; i++) {
        const struct raft_member *o = &m->to.conf.member[i];
        n += fmt_into(to + n, cap - n, "%s", i ? "," : "");
        n += cli_dir_member(to + n, cap - n, o->id.v, o->addr, o->priority);
    }
}

static int migrate_source(struct migrate *m)
{
    struct cli *c = m->cli;
    struct cli_migrate_state *s = &m->source;
    struct cli_migrate_mark *k = &m->mark;
    char broken[256];
    int code = CLI_OK;
    if (m->from.type == CLI_MIGRATE_ZK && !cli_flag(c, "force"))
        code = cli_migrate_zk_ask(c, &m->from);
    if (code)
        return code;
    migrate_say(m, "reading %s", m->from.text);
    code = cli_migrate_read(s, c, &m->from, cli_flag(c, "force"), m->from_dir, &m->n_from);
    if (code)
        return code;
    if (!meta_check(s->meta, broken, sizeof broken))
        return cli_error(c, CLI_DATA,
                         "%s: the state that it leads to is not sound: %s.  Nothing was changed",
                         m->from.text, broken);
    cli_group_id_text(k->cluster, s->cluster_hi, s->cluster_lo);
    fmt_into(k->from, sizeof k->from, "%s", m->from.text);
    fmt_into(k->type, sizeof k->type, "%s", cli_migrate_type(m->to.type));
    migrate_members_text(m, k->members, sizeof k->members);
    k->index = s->index;
    k->epoch = s->epoch;
    k->digest = meta_hash(s->meta);
    migrate_say(
        m, "%s: cluster %s up to record %llu (image %llu, then %llu records), digest %016llx",
        m->from.text, k->cluster, (unsigned long long)k->index, (unsigned long long)s->image_index,
        (unsigned long long)s->replayed, (unsigned long long)k->digest);
    return CLI_OK;
}

/* --- the comparison --- */

static void migrate_differs(void *ctx, const char *text)
{
    struct migrate *m = ctx;
    if (m->said++ >= MIGRATE_SAID_MAX)
        return;
    if (m->cli->json)
        cJSON_AddItemToArray(m->differences, cJSON_CreateString(text));
    else
        cli_error(m->cli, 0, "%s", text);
}

static int migrate_compare(struct migrate *m, unsigned i)
{
    struct cli_migrate_state *a = &m->source, *b = &m->copy;
    const struct cli *c = m->cli;
    m->said = 0;
    uint64_t n = meta_compare(a->meta, b->meta, migrate_differs, m);
    if (a->cluster_hi != b->cluster_hi || a->cluster_lo != b->cluster_lo) {
        migrate_differs(m, "they are of different clusters");
        n++;
    }
    if (a->index != b->index) {
        migrate_differs(m, b->index > a->index ? "the second has records that the first has not: a "
                                                 "master has served from it since"
                                               : "the first has records that the second has not");
        n++;
    }
    if (n)
        return cli_error(c, CLI_DATA,
                         "%llu differences between the first, %s, and the second, %s (up to record "
                         "%llu and %llu)",
                         (unsigned long long)n, m->from.text, m->to.dir[i],
                         (unsigned long long)a->index, (unsigned long long)b->index);
    return CLI_OK;
}

/* reads the i-th directory as a start would, and compares */
static int migrate_verify(struct migrate *m, unsigned i)
{
    int code = cli_dir_open(&m->to_dir[i], m->cli, m->to.dir[i], CLI_DIR_LOOK);
    if (code)
        return code;
    m->n_to = i + 1;
    migrate_say(m, "comparing %s, record by record", m->to.dir[i]);
    code = cli_migrate_read_new(&m->copy, m->cli, &m->to, i, &m->to_dir[i]);
    if (!code)
        code = migrate_compare(m, i);
    cli_migrate_state_end(&m->copy);
    return code;
}

/* --- the destination --- */

static int migrate_write(struct migrate *m, unsigned i)
{
    static struct cli_dir d;
    const char *dir = m->to.dir[i];
    if (mkdir(dir, 0700) && errno != EEXIST)
        return cli_error(m->cli, CLI_FAILED, "%s: %s", dir, strerror(errno));
    int code = cli_dir_open(&d, m->cli, dir, CLI_DIR_CHANGE);
    if (code)
        return code;
    migrate_say(m, "%s %s", m->life[i] == CLI_MIGRATE_BEGUN ? "going on with" : "writing", dir);
    code = cli_migrate_put(m->cli, &m->to, i, &m->mark, &m->source, &d);
    cli_dir_close(&d);
    return code;
}

static int migrate_again(struct migrate *m)
{
    if (m->from.type != CLI_MIGRATE_ZK)
        return CLI_OK;
    return cli_migrate_zk_again(m->cli, &m->from, &m->from_dir[0], &m->mark,
                                m->is_dry || m->is_verify ? "" : m->to.dir[0]);
}

/* cli_zk_moved reads it */
static int migrate_note(struct migrate *m)
{
    char name[CLI_DIR_PATH + 8], when[32];
    time_t now = time(NULL);
    struct tm at;
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", gmtime_r(&now, &at));
    snprintf(name, sizeof name, "%s/moved", m->from.dir[0]);
    FILE *f = fopen(name, "w");
    bool ok = f && fprintf(f, "to %s, %s\n", m->to.text, when) > 0;
    ok = ok && fflush(f) == 0 && fsync(fileno(f)) == 0;
    int why = errno;
    if (f)
        fclose(f);
    return ok ? CLI_OK
              : cli_error(m->cli, CLI_FAILED,
                          "%s: %s.  All was migrated, but a master could still start on %s", name,
                          strerror(why), m->from.text);
}

static int migrate_run(struct migrate *m)
{
    bool is_whole = true;
    int code = CLI_OK;
    for (unsigned i = 0; i < m->to.n; i++)
        is_whole &= m->life[i] == CLI_MIGRATE_WHOLE;
    for (unsigned i = 0; i < m->to.n && !code && !m->is_verify; i++)
        if (m->life[i] != CLI_MIGRATE_WHOLE)
            code = migrate_write(m, i);
    for (unsigned i = 0; i < m->to.n && !code; i++)
        code = migrate_verify(m, i);
    if (!code)
        code = migrate_again(m);
    for (unsigned i = 0; i < m->to.n && !code && !m->is_verify; i++)
        if (m->life[i] != CLI_MIGRATE_WHOLE)
            code = cli_migrate_finish(m->cli, &m->to, i);
    if (!code && m->from.type == CLI_MIGRATE_ZK && !m->is_verify)
        code = migrate_note(m);
    if (!code && is_whole && !m->is_verify)
        migrate_say(m, "it had been migrated before, and nothing has changed since");
    return code;
}

/* --- what is said --- */

static void migrate_json(struct migrate *m, int code, const struct meta_stats *st)
{
    cJSON *j = cJSON_CreateObject();
    char hex[17];
    cJSON_AddBoolToObject(j, "ok", code == CLI_OK);
    cJSON_AddStringToObject(j, "from", m->from.text);
    cJSON_AddStringToObject(j, "to", m->to.text);
    cJSON_AddStringToObject(j, "cluster", m->mark.cluster);
    cli_json_u64(j, "index", m->mark.index);
    cli_json_u64(j, "epoch", m->mark.epoch);
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)m->mark.digest);
    cJSON_AddStringToObject(j, "digest", hex);
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)meta_hash(m->source.meta));
    cJSON_AddStringToObject(j, "digest_to", hex);
    cli_dir_era_json(j, m->mark.era);
    cJSON_AddBoolToObject(j, "dry_run", m->is_dry);
    cJSON_AddBoolToObject(j, "verified", code == CLI_OK && !m->is_dry);
    cli_json_u64(j, "inodes", st->inodes);
    cli_json_u64(j, "names", st->dentries);
    cli_json_u64(j, "sessions", st->sessions);
    cli_json_u64(j, "intents", st->intents);
    cJSON *dirs = cJSON_AddArrayToObject(j, "directories");
    for (unsigned i = 0; i < m->to.n; i++)
        cJSON_AddItemToArray(dirs, cJSON_CreateString(m->to.dir[i]));
    cJSON_AddItemToObject(j, "differences", m->differences);
    m->differences = NULL;
    cli_print_json(j);
}

/* what the configuration must have then, and what is refused with that type */
static const char *migrate_keys(enum cli_migrate_type to)
{
    return to == CLI_MIGRATE_ZK
               ? "journal.zk.connect, journal.zk.shared_dir and each master's journal.id.  "
                 "journal.members may stay"
           : to == CLI_MIGRATE_RAFT
               ? "journal.members, and each master's journal.id and master.dir.  Take out "
                 "journal.zk.connect, journal.zk.shared_dir and journal.zk.auth"
               : "master.dir.  Take out journal.members, journal.zk.connect, "
                 "journal.zk.shared_dir and journal.zk.auth";
}

static void migrate_report(struct migrate *m, int code)
{
    struct meta_stats st;
    char era[CLI_DIR_ERA];
    meta_stats(m->source.meta, &st);
    if (m->cli->json) {
        migrate_json(m, code, &st);
        return;
    }
    if (code)
        return;
    printf("%s%s -> %s: cluster %s up to record %llu, %llu inodes, %llu names, %llu sessions, %llu "
           "intents; digest %016llx, era %s\n",
           m->is_dry      ? "would migrate "
           : m->is_verify ? "same: "
                          : "migrated and compared: ",
           m->from.text, m->to.text, m->mark.cluster, (unsigned long long)m->mark.index,
           (unsigned long long)st.inodes, (unsigned long long)st.dentries,
           (unsigned long long)st.sessions, (unsigned long long)st.intents,
           (unsigned long long)m->mark.digest, cli_dir_era(era, m->mark.era));
    for (unsigned i = 0; i < m->to.n; i++)
        printf("  %s\n", m->to.dir[i]);
    if (m->is_dry || m->is_verify || m->cli->quiet)
        return;
    if (m->to.type == CLI_MIGRATE_RAFT && m->to.n < m->to.conf.n)
        fprintf(stderr,
                "The other members: the same --from and --members, each with its --id, and "
                "--era %016llx\n",
                (unsigned long long)m->mark.era);
    if (m->to.type == CLI_MIGRATE_ZK)
        fprintf(stderr, "`tarn journal bootstrap` makes its path in ZooKeeper.\n");
    fprintf(stderr,
            "In the configuration set journal.type to %s, %s.  Then start the masters.  Keep the "
            "source, do not start it again.\n",
            m->mark.type, migrate_keys(m->to.type));
}

int cli_migrate_do(struct cli *c, const char *from)
{
    static struct migrate m;
    memset(&m, 0, sizeof m);
    m.cli = c;
    m.is_dry = !from && cli_flag(c, "dry-run");
    m.is_verify = !from && cli_flag(c, "verify");
    int code = migrate_places(&m, from);
    if (!code)
        code = migrate_source(&m);
    if (!code)
        code = m.is_verify ? CLI_OK : migrate_ask(&m);
    if (!code)
        code = migrate_era(&m);
    if (!code) {
        m.differences = cJSON_CreateArray();
        cli_migrate_raise(&m.source, m.mark.era);
        code = m.is_dry ? migrate_again(&m) : migrate_run(&m);
        migrate_report(&m, code);
    }
    cJSON_Delete(m.differences);
    for (unsigned i = 0; i < m.n_to; i++)
        cli_dir_close(&m.to_dir[i]);
    for (unsigned i = 0; i < m.n_from; i++)
        cli_dir_close(&m.from_dir[i]);
    cli_migrate_state_end(&m.copy);
    cli_migrate_state_end(&m.source);
    cli_migrate_place_end(&m.from);
    cli_migrate_place_end(&m.to);
    return code;
}

static int cli_migrate_run(struct cli *c)
{
    return cli_migrate_do(c, NULL);
}

const struct cli_command cli_migrate = {
    "journal",
    "migrate",
    "",
    "make another kind of journal of a stopped one: local, raft, zk, any to any",
    "--from and --to are TYPE:DIR, or a configuration's file:\n"
    "  local:DIR             a single master's directory\n"
    "  raft:DIR[,DIR...]     --from: members' directories, of a majority; DIR stands for DIR-1, "
    "DIR-2, ...\n"
    "  raft:DIR              --to: DIR-1, DIR-2, ... for each of --members, or with --id N just "
    "DIR\n"
    "  zk:DIR                a shared directory\n"
    "  backup:FILE           --from: what `tarn journal backup` wrote\n"
    "  FILE                  as journal.type, master.dir, journal.members, ... say there\n"
    "All masters are stopped.  The source is read to its end and not changed, but that a zk one\n"
    "gets a file \"moved\" at the end, which keeps masters from it; the destination\n"
    "is empty, written, read again, and compared with the source record by record; before that no\n"
    "master starts on it.  Interrupted: the same command again.  The cluster keeps its id, so\n"
    "workers and mounts go on.  Exit status 5: bytes are wrong, or the two differ.\n"
    "See docs/recovery.md.",
    cli_migrate_run,
    0,
    0,
    {{"from", 0, "JOURNAL", "the source (default: the configuration's)"},
     {"to", 0, "JOURNAL", "the destination (default: the configuration's)"},
     {"members", 0, "LIST", "--to raft: ID@HOST:PORT[=PRIORITY],... (default: journal.members)"},
     {"id", 0, "N", "--to raft: this member's directory alone; zk: whose image it is (default 1)"},
     {"era", 0, "ERA", "as the first member's printed it; for the others"},
     {"dry-run", 'n', NULL, "read and check the source, say what would be done"},
     {"verify", 0, NULL, "write nothing: compare the two once more"},
     {"force", 0, NULL,
      "even if a master runs or cannot be asked, or with less than a majority of a group"}},
    .touches = CLI_TOUCHES_OWN};
