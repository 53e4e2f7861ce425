/* cluster/cli_up_group.c - the masters of `tarn up --masters N`, one directory MASTER_DIR-ID each.
 *
 *   MASTER_DIR-new   "CLUSTER MEMBERS": a group is being made, and is not whole
 *
 * INVARIANTS
 *  1. A group is made once.  Where some of its masters have their directory and others do not,
 *     those others have lost theirs, unless MASTER_DIR-new says that they are being made and none
 *     that is there was ever used: then what is missing is made, of that cluster.
 *  2. Who belongs to a group that there is, and where, is what the most complete of its journals
 *     says, whatever the command line and the configuration say: they only make new ones. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cluster/cli_up.h"
#include "cluster/config_zk.h"
#include "journal/era.h"

enum { UP_LIST = JOURNAL_MEMBERS_MAX * (ENV_ADDR_MAX + 16) };

/* a directory with somebody's journal */
struct up_seen {
    const char *dir;
    uint32_t id; /* 0: unreadable, or not the one that its name says */
    enum cli_dir_life life;
    char cluster[33];
    struct journal_status st;
};

struct up_look {
    struct cli_up *u;
    struct up_seen seen[JOURNAL_MEMBERS_MAX];
    uint32_t n;
    const struct up_seen *best; /* whose word counts; NULL: nobody's */
};

static char up_of[JOURNAL_MEMBERS_MAX][CLI_DIR_PATH];

const char *cli_up_group_dir(const struct cli_up *u, uint32_t id, char to[PATH_MAX])
{
    if (u->is_zk)
        snprintf(to, PATH_MAX, "%s/zk-master-%u", u->dir, id);
    else
        snprintf(to, PATH_MAX, "%.3000s-%u", config_str(u->cli->config, CONFIG_MASTER_DIR), id);
    return to;
}

static const char *up_marker(const struct cli_up *u, char to[PATH_MAX])
{
    snprintf(to, PATH_MAX, "%.3000s-new", config_str(u->cli->config, CONFIG_MASTER_DIR));
    return to;
}

static bool up_is_empty(const char *dir)
{
    DIR *d = opendir(dir);
    bool is_empty = true;
    for (struct dirent *e; d && (e = readdir(d));)
        is_empty = is_empty && (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."));
    if (d)
        closedir(d);
    return is_empty;
}

/* What lies there is of one master, or of several: the other kind would begin a new, empty cluster
 * beside it, under its name. */
static int up_same_kind(const struct cli_up *u)
{
    const char *base = config_str(u->cli->config, CONFIG_MASTER_DIR);
    unsigned n = cli_dir_members(base, up_of, ARRAY_LEN(up_of));
    bool is_one = !up_is_empty(base);
    if (u->n_members && is_one)
        return cli_error(u->cli, CLI_FAILED,
                         "%s is a single master's, and several would begin a new, empty cluster "
                         "beside it: start it without --masters, name another --dir, or move it "
                         "away.  (`tarn journal migrate` makes a group of it.)  "
                         "Nothing was changed",
                         base);
    if (!u->n_members && n)
        return cli_error(u->cli, CLI_FAILED,
                         "%s%s%s: a group of masters lies there, and a single one would begin a "
                         "new, empty cluster beside it: start it with --masters %u, name another "
                         "--dir, or move them away.  Nothing was changed",
                         up_of[0], n > 1 ? " to " : "", n > 1 ? up_of[n - 1] : "", n > 1 ? n : 2);
    return CLI_OK;
}

/* --masters and the configuration name different numbers of them */
static int up_disagree(const struct cli_up *u, int64_t n, uint32_t have)
{
    return cli_error(u->cli, CLI_USAGE, "--masters %d: the configuration names %u", (int)n, have);
}

/* as many as --masters says, or as the configuration names; *ret_n: the former, where they differ
 */
static int up_configured(struct cli_up *u, int64_t *ret_n)
{
    const struct cli *c = u->cli;
    struct config *g = c->config;
    char err[CONFIG_ERROR_MAX], list[UP_LIST];
    const char *listen = config_str(g, CONFIG_MASTER_LISTEN), *colon = strrchr(listen, ':');
    const char *journal = cli_value(c, "journal", "");
    int64_t n;
    uint32_t have;
    if (!cli_number(c, "masters", !strcmp(journal, "raft") ? 3 : 0, 1, UP_MASTERS, &n))
        return CLI_USAGE;
    if (!strcmp(journal, "local") && n > 1)
        return cli_error(c, CLI_USAGE, "--journal local is of one master: raft or zk of %d",
                         (int)n);
    if (config_members_parse(config_str(g, CONFIG_JOURNAL_MEMBERS), u->member, &have, err,
                             sizeof err))
        return cli_error(c, CLI_CONFIG, "%s", err);
    *ret_n = have && n && (uint32_t)n != have ? n : 0;
    if (!have && (n > 1 || !strcmp(journal, "raft"))) {
        size_t at = 0;
        for (int i = 0; i < n; i++)
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%d@%.*s:%d", i ? "," : "", i + 1,
                                   (int)(colon - listen), listen, atoi(colon + 1) + i);
        if (config_set(g, "journal.type", "raft", err, sizeof err) ||
            config_set(g, "journal.members", list, err, sizeof err) ||
            config_members_parse(list, u->member, &have, err, sizeof err) ||
            config_check(g, err, sizeof err))
            return cli_error(c, CLI_USAGE, "--masters: %s", err);
    }
    if (have > UP_MASTERS)
        return cli_error(c, CLI_CONFIG, "journal.members: more than %d", UP_MASTERS);
    u->n_members = have;
    return CLI_OK;
}

/* --- what is there --- */

static int up_look_one(struct up_look *l, const char *dir)
{
    static struct cli_dir d;
    static struct cli_dir_journal j;
    struct up_seen *s = &l->seen[l->n++];
    const char *number = strrchr(dir, '-');
    int code = cli_dir_open(&d, l->u->cli, dir, CLI_DIR_LOOK);
    *s = (struct up_seen){.dir = dir};
    if (code)
        return code;
    s->life = cli_dir_life(&d, &j);
    s->st = j.status;
    cli_group_id_text(s->cluster, d.meta.cluster_hi, d.meta.cluster_lo);
    if (s->life != CLI_DIR_BAD && s->life != CLI_DIR_BLANK &&
        d.meta.member == strtoul(number + 1, NULL, 10))
        s->id = d.meta.member;
    cli_dir_close(&d);
    return CLI_OK;
}

/* the later history, and there the more complete log */
static bool up_is_better(const struct journal_status *a, const struct journal_status *b)
{
    if (era_number(a->era) != era_number(b->era))
        return era_number(a->era) > era_number(b->era);
    return a->last_term != b->last_term ? a->last_term > b->last_term
                                        : a->last_index > b->last_index;
}

static int up_look(struct up_look *l)
{
    const struct cli *c = l->u->cli;
    const struct up_seen *first = NULL;
    unsigned n = cli_dir_members(config_str(c->config, CONFIG_MASTER_DIR), up_of, ARRAY_LEN(up_of));
    for (unsigned i = 0; i < n; i++) {
        int code = up_look_one(l, up_of[i]);
        const struct up_seen *s = &l->seen[i];
        if (code)
            return code;
        if (!s->id)
            continue;
        first = first ? first : s;
        if (strcmp(s->cluster, first->cluster) != 0)
            return cli_error(c, CLI_FAILED,
                             "%s is of cluster %s, and %s of %s: name another --dir, or move those "
                             "of one away.  Nothing was changed",
                             first->dir, first->cluster, s->dir, s->cluster);
        if (s->st.n && (!l->best || up_is_better(&s->st, &l->best->st)))
            l->best = s;
    }
    return CLI_OK;
}

static const struct up_seen *up_find(const struct up_look *l, uint32_t id)
{
    for (uint32_t i = 0; id && i < l->n; i++)
        if (l->seen[i].id == id)
            return &l->seen[i];
    return NULL;
}

/* --- a group that is being made --- */

/* "CLUSTER MEMBERS" as it was written; false: there is none */
static bool up_marker_read(const struct cli_up *u, char cluster[33], char members[UP_LIST])
{
    char path[PATH_MAX], text[UP_LIST + 64] = "";
    uint64_t hi, lo;
    FILE *f = fopen(up_marker(u, path), "re");
    if (!f)
        return false;
    bool ok = fgets(text, sizeof text, f) && strlen(text) > 34 && text[32] == ' ';
    fclose(f);
    text[strcspn(text, "\n")] = 0;
    snprintf(cluster, 33, "%.32s", text);
    snprintf(members, UP_LIST, "%.*s", UP_LIST - 1, ok ? text + 33 : "");
    return ok && cli_group_id(cluster, &hi, &lo);
}

static int up_marker_write(const struct cli_up *u)
{
    char path[PATH_MAX], next[PATH_MAX + 8];
    snprintf(next, sizeof next, "%s.part", up_marker(u, path));
    FILE *f = fopen(next, "we");
    bool ok = f && fprintf(f, "%s %s\n", u->cluster,
                           config_str(u->cli->config, CONFIG_JOURNAL_MEMBERS)) > 0;
    ok = f && !fflush(f) && !fsync(fileno(f)) && ok;
    if (f && fclose(f))
        ok = false;
    return ok && !rename(next, path)
               ? CLI_OK
               : cli_error(u->cli, CLI_FAILED, "%s: %s", path, strerror(errno));
}

/* Is what is there the beginning of a group, which nobody has used yet?  Then it is gone on with.
 */
static int up_resume(struct up_look *l, bool *ret_resumes)
{
    struct cli_up *u = l->u;
    char cluster[33], members[UP_LIST], path[PATH_MAX];
    *ret_resumes = false;
    if (!up_marker_read(u, cluster, members))
        return CLI_OK;
    for (uint32_t i = 0; i < l->n; i++) {
        const struct up_seen *s = &l->seen[i];
        bool is_unused = s->life == CLI_DIR_BLANK || s->life == CLI_DIR_BEGUN ||
                         (s->life == CLI_DIR_MADE && s->id && !strcmp(s->cluster, cluster));
        if (!is_unused)
            return CLI_OK; /* somebody has gone on with it by hand */
    }
    if (strcmp(members, config_str(u->cli->config, CONFIG_JOURNAL_MEMBERS)) != 0)
        return cli_error(u->cli, CLI_FAILED,
                         "the group %s was being made here, and is not whole: start it with as "
                         "many masters and the same master.listen as then, or, as nothing is in "
                         "it yet, remove %s and the directories beside it.  Nothing was changed",
                         members, up_marker(u, path));
    snprintf(u->cluster, sizeof u->cluster, "%s", cluster);
    u->makes = *ret_resumes = true;
    cli_error(u->cli, 0, "note: cluster %s was being made here, and is not whole: going on",
              cluster);
    return CLI_OK;
}

/* --- a group that there is --- */

static void up_say_missing(const struct up_look *l, const struct journal_member *m)
{
    char dir[PATH_MAX];
    cli_error(l->u->cli, 0,
              "note: member %u at %s is not started: %s has nothing of this group.  It is not made "
              "anew: `tarn journal replace %u NEWID@HOST:PORT` puts a new one in its place",
              m->id, m->addr, cli_up_group_dir(l->u, m->id, dir), m->id);
}

/* has it a directory of this history? */
static bool up_is_there(const struct up_look *l, uint32_t id)
{
    const struct up_seen *s = up_find(l, id);
    return s && era_number(s->st.era) == era_number(l->best->st.era);
}

/* enough of those that vote, or nothing is started: nobody could lead */
static int up_quorum(const struct up_look *l)
{
    const struct journal_status *st = &l->best->st;
    uint32_t voters = 0, here = 0;
    for (uint32_t i = 0; i < st->n; i++) {
        bool votes = st->member[i].votes && !st->member[i].leaving;
        voters += votes;
        here += votes && up_is_there(l, st->member[i].id);
    }
    if (here > voters / 2)
        return CLI_OK;
    if (l->best->life == CLI_DIR_MADE)
        return cli_error(l->u->cli, CLI_FAILED,
                         "%s was made and never used, and of the %u masters of its group only %u "
                         "ha%s a directory here: if the others were never used, either, move what "
                         "is there away, and all are made anew; else bring theirs back.  Nothing "
                         "was changed",
                         l->best->dir, voters, here, here == 1 ? "s" : "ve");
    return cli_error(l->u->cli, CLI_FAILED,
                     "of the %u masters that vote only %u ha%s a directory here, and %u are "
                     "needed: bring back the others', or, if they are lost for good, see "
                     "docs/recovery.md (`tarn journal recover --dir %s`).  Nothing was changed",
                     voters, here, here == 1 ? "s" : "ve", voters / 2 + 1, l->best->dir);
}

/* were these the ones that were asked for? */
static bool up_is_as_configured(const struct cli_up *u, const struct journal_status *st)
{
    uint32_t same = 0;
    for (uint32_t i = 0; i < u->n_members; i++)
        for (uint32_t k = 0; k < st->n; k++)
            same += u->member[i].id == st->member[k].id &&
                    !strcmp(u->member[i].addr, st->member[k].addr);
    return same == u->n_members && same == st->n;
}

static void up_say_differs(const struct up_look *l, const char *list)
{
    const struct journal_status *st = &l->best->st;
    cli_error(l->u->cli, 0,
              "note: the group that lies here is %s, as its journal says (%s), and not %s: it is "
              "started as it is",
              list, l->best->dir, config_str(l->u->cli->config, CONFIG_JOURNAL_MEMBERS));
    for (uint32_t i = 0; i < l->n; i++) {
        bool is_in = false;
        for (uint32_t k = 0; k < st->n; k++)
            is_in |= st->member[k].id == l->seen[i].id;
        if (l->seen[i].id && !is_in)
            cli_error(l->u->cli, 0,
                      "note: member %u is no member any more: it is not started, and %s can be "
                      "moved away",
                      l->seen[i].id, l->seen[i].dir);
    }
}

static int up_follow(struct up_look *l)
{
    struct cli_up *u = l->u;
    struct config *g = u->cli->config;
    char list[UP_LIST], err[CONFIG_ERROR_MAX], path[PATH_MAX];
    int code = l->best ? up_quorum(l) : CLI_OK;
    if (code || !l->best)
        return code;
    const struct journal_status *st = &l->best->st;
    cli_dir_member_list(list, sizeof list, st);
    if (!up_is_as_configured(u, st))
        up_say_differs(l, list);
    u->n_members = 0;
    for (uint32_t i = 0; i < st->n; i++) {
        const struct journal_member *m = &st->member[i];
        if (!up_is_there(l, m->id)) {
            up_say_missing(l, m);
            continue;
        }
        if (u->n_members == UP_MASTERS)
            return cli_error(u->cli, CLI_FAILED, "the group has more than %d members here",
                             UP_MASTERS);
        struct config_member *to = &u->member[u->n_members++];
        *to = (struct config_member){.id = m->id, .priority = m->priority};
        snprintf(to->addr, sizeof to->addr, "%s", m->addr);
    }
    unlink(up_marker(u, path)); /* it is whole, or not to be made any more */
    return config_set(g, "journal.members", list, err, sizeof err) ||
                   config_check(g, err, sizeof err)
               ? cli_error(u->cli, CLI_CONFIG, "%s", err)
               : CLI_OK;
}

int cli_up_group(struct cli_up *u)
{
    static struct up_look l;
    struct config *g = u->cli->config;
    char err[CONFIG_ERROR_MAX], text[PATH_MAX];
    int64_t other = 0;
    bool resumes = false;
    const char *journal = cli_value(u->cli, "journal", NULL);
    if (journal && config_set(g, "journal.type", journal, err, sizeof err))
        return cli_error(u->cli, CLI_USAGE, "--journal: %s", err);
    if (config_zk_is(g))
        return cli_up_zk(u);
    int code = up_configured(u, &other);
    if (!code)
        code = cli_up_zk_none(u);
    if (code)
        return code;
    if (!*config_str(g, CONFIG_MASTER_DIR)) {
        snprintf(text, sizeof text, "%s/master", u->dir);
        config_set(g, "master.dir", text, err, sizeof err);
    }
    code = up_same_kind(u);
    if (code || !u->n_members)
        return code;
    l = (struct up_look){.u = u};
    code = up_look(&l);
    u->makes = !l.n;
    if (!code && l.n)
        code = up_resume(&l, &resumes);
    if (!code && other && (!l.best || resumes)) /* a group that is there knows better than both */
        code = up_disagree(u, other, u->n_members);
    return code || !l.n || resumes ? code : up_follow(&l);
}

/* --- made --- */

int cli_up_bootstrap(struct cli_up *u, const struct cli_up_child *k, const char *const *argv)
{
    pid_t us = getpid(), pid = fork();
    int status = -1;
    if (!pid) {
        int log = open(k->log, O_WRONLY | O_CREAT | O_APPEND, 0644);
        dup2(log, 1);
        dup2(log, 2);
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* the next `tarn up` goes on with it */
        if (log >= 0 && getppid() == us)
            execv(u->self, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (pid > 0 && WIFEXITED(status) && !WEXITSTATUS(status))
        return CLI_OK;
    cli_up_tail(k);
    return CLI_FAILED;
}

/* `tarn journal bootstrap` for one of them, with its log */
static int up_make_one(struct cli_up *u, const struct cli_up_child *k)
{
    const char *argv[UP_ARGS + 6] = {u->self, "journal", "bootstrap", "--cluster", u->cluster};
    int n = 5;
    for (int i = 2; k->argv[i]; i++)
        argv[n++] = k->argv[i];
    return cli_up_bootstrap(u, k, argv)
               ? cli_error(u->cli, CLI_FAILED,
                           "%s: its directory could not be made; the same command again goes on",
                           k->name)
               : CLI_OK;
}

int cli_up_group_make(struct cli_up *u)
{
    char path[PATH_MAX];
    uint64_t hi, lo;
    const char *own = config_str(u->cli->config, CONFIG_CLUSTER_ID);
    if (!u->n_members || !u->makes)
        return CLI_OK;
    if (!*u->cluster) {
        if (!cli_group_id_fresh(&hi, &lo))
            return cli_error(u->cli, CLI_FAILED, "no random numbers: %s", strerror(errno));
        cli_group_id_text(u->cluster, hi, lo);
        if (*own)
            snprintf(u->cluster, sizeof u->cluster, "%s", own);
        int code = up_marker_write(u);
        if (code)
            return code;
    }
    for (uint32_t i = 0; i < u->n_members; i++) {
        int code = up_make_one(u, &u->child[i]);
        if (code)
            return code;
    }
    unlink(up_marker(u, path));
    return CLI_OK;
}
