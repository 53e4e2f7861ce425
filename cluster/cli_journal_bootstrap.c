/* cluster/cli_journal_bootstrap.c - `tarn journal bootstrap`: the directory of a first member.
 *
 * A cluster of several masters is made once: each of them gets a directory that begins with the
 * same list of members and the same cluster id.  A master itself never does that, so a master whose
 * disk was lost refuses to start, and cannot vote again under the promises of its old disk; and
 * this command refuses where something lies, or where another member runs already.
 *
 * What it was interrupted in is no member yet: the same command goes on with it.  And what is made,
 * and was never used, is made again by saying so. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cluster/cli_dir.h"
#include "cluster/cli_group.h"
#include "cluster/cli_masters.h"
#include "cluster/cli_zk.h"

enum { BOOTSTRAP_MEM = 128 << 20 };
static const int64_t bootstrap_ask_ns = 1000000000LL;
static const int64_t bootstrap_others_ns = 5000000000LL;
static const int64_t bootstrap_wait_ns = 60000000000LL;

struct cli_journal_bootstrap {
    const struct cli *cli;
    struct net *net;
    struct mem mem;
    struct journal_host host;
    struct env_op stop_op;
    bool decided, stopped;
    enum journal_role role;
    int why;
};

static void bootstrap_apply(struct journal_host *h, uint64_t index, const void *rec, uint32_t len)
{
    (void)h, (void)index, (void)rec, (void)len;
}

static void bootstrap_role(struct journal_host *h, enum journal_role role, uint64_t epoch, int why)
{
    struct cli_journal_bootstrap *b = container_of(h, struct cli_journal_bootstrap, host);
    (void)epoch;
    if (role == JOURNAL_STARTING || b->decided)
        return;
    b->role = role;
    b->why = why;
    b->decided = true;
}

static void bootstrap_image_begin(struct journal_host *h)
{
    (void)h;
}

static uint32_t bootstrap_image_next(struct journal_host *h, void *buf, uint32_t cap)
{
    (void)h, (void)buf, (void)cap;
    return 0;
}

static int bootstrap_image_load(struct journal_host *h, const void *piece, uint32_t len)
{
    (void)h, (void)piece, (void)len;
    return 0;
}

static void bootstrap_stopped(struct env_op *op)
{
    container_of(op, struct cli_journal_bootstrap, stop_op)->stopped = true;
}

/* E_NOENT: nothing is there; 0: empty; E_EXIST: not empty; E_BUSY: a journal, or the beginning of
 * one; E_ACCES: errno's */
static int bootstrap_look(const char *dir)
{
    DIR *d = opendir(dir);
    bool other = false, any = false;
    if (!d)
        return errno == ENOENT ? E_NOENT : E_ACCES;
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            bool is_ours = !strncmp(e->d_name, "journal.", 8) || !strncmp(e->d_name, "wal", 3);
            other |= !is_ours;
            any |= is_ours;
        }
    closedir(d);
    return other ? E_EXIST : any ? E_BUSY : 0;
}

/* the list of its members, as the configuration has it? */
static bool bootstrap_is_same(const struct journal_status *st, const char *members)
{
    char list[JOURNAL_MEMBERS_MAX * (ENV_ADDR_MAX + 16)];
    cli_dir_member_list(list, sizeof list, st);
    return !strcmp(list, members);
}

/* Was it this command that was interrupted there?  CLI_OK: it can go on, as jc says. */
static int bootstrap_resume(const struct cli *c, const char *dir, struct journal_config *jc,
                            bool *ret_is_made)
{
    static struct cli_dir d;
    static struct cli_dir_journal j;
    bool given = jc->cluster_hi || jc->cluster_lo;
    int code = cli_dir_open(&d, c, dir, CLI_DIR_LOOK);
    if (code)
        return code;
    enum cli_dir_life life = cli_dir_life(&d, &j);
    uint64_t hi = d.meta.cluster_hi, lo = d.meta.cluster_lo;
    bool is_own =
        d.meta.member == jc->raft.id && (!given || (hi == jc->cluster_hi && lo == jc->cluster_lo));
    cli_dir_close(&d);
    *ret_is_made = life == CLI_DIR_MADE && is_own &&
                   bootstrap_is_same(&j.status, config_str(c->config, CONFIG_JOURNAL_MEMBERS));
    if (life == CLI_DIR_BLANK)
        return CLI_OK;
    if (!*ret_is_made && (life != CLI_DIR_BEGUN || !is_own))
        return cli_error(c, CLI_FAILED,
                         "%s is not empty: a member's directory is made once.  If its journal is "
                         "there, start the master; else name an empty directory",
                         dir);
    jc->cluster_hi = hi;
    jc->cluster_lo = lo;
    return CLI_OK;
}

/* one whose host did not say that nobody listens there, and that said nothing itself; NULL: none */
static const struct cli_masters_one *bootstrap_silent(const struct cli_masters *m)
{
    for (unsigned i = 0; i < m->n; i++)
        if (m->one[i].err && m->one[i].err != E_REFUSED)
            return &m->one[i];
    return NULL;
}

/* Another member that runs has a cluster already.  One that cannot be asked may, too. */
static int bootstrap_others(const struct cli *c)
{
    static struct cli_masters m;
    const struct cli_masters_one *silent;
    int64_t until_ns = cli_now_ns() + bootstrap_others_ns;
    int code = cli_masters_open(&m, c);
    if (code)
        return code;
    do {
        cli_masters_ask(&m, bootstrap_ask_ns);
        code = cli_masters_refused(&m);
        for (unsigned i = 0; i < m.n && !code; i++)
            if (cli_masters_u64(&m.one[i], "journal.members.count"))
                code = cli_error(
                    c, CLI_FAILED,
                    "the master at %s runs, and has members: this cluster is there already.  A "
                    "member that is new or lost its disk starts with `tarn master --join`, and is "
                    "added by `tarn journal add` or `replace` (--force: make a directory all the "
                    "same)",
                    m.one[i].addr);
        silent = bootstrap_silent(&m);
    } while (!code && silent && cli_now_ns() < until_ns && !usleep(100000));
    if (!code && silent)
        code = cli_error(c, CLI_UNREACHABLE,
                         "%s cannot be reached (%s), so whether it has this cluster already is not "
                         "known.  If it is new as well: --force",
                         silent->addr, err_text(silent->err));
    cli_masters_close(&m);
    return code;
}

/* 0, 0: none is given */
static int bootstrap_given_id(const struct cli *c, uint64_t *ret_hi, uint64_t *ret_lo)
{
    const char *own = config_str(c->config, CONFIG_CLUSTER_ID);
    const char *id = cli_value(c, "cluster", *own ? own : NULL);
    return !id || cli_group_id(id, ret_hi, ret_lo)
               ? CLI_OK
               : cli_error(c, CLI_USAGE, "--cluster: \"%s\" is not 32 hex digits", id);
}

static int bootstrap_id(const struct cli *c, uint64_t *ret_hi, uint64_t *ret_lo)
{
    return *ret_hi || *ret_lo || cli_group_id_fresh(ret_hi, ret_lo)
               ? CLI_OK
               : cli_error(c, CLI_FAILED, "no random numbers: %s", strerror(errno));
}

static int bootstrap_write(struct cli_journal_bootstrap *b, const struct journal_config *jc)
{
    const struct cli *c = b->cli;
    struct env *e = net_env(b->net);
    int err;
    struct journal *j = raft_open(e, &b->mem, jc, &b->host);
    if (!j)
        return cli_error(c, CLI_FAILED, "%s", err_text(E_NOMEM));
    err = net_run_until(b->net, &b->decided, env_now_ns(e) + bootstrap_wait_ns);
    if (err)
        return cli_error(c, CLI_FAILED, "the disk did not answer");
    b->stop_op.done = bootstrap_stopped;
    journal_stop(j, &b->stop_op);
    err = net_run_until(b->net, &b->stopped, env_now_ns(e) + bootstrap_wait_ns);
    if (!err && b->role == JOURNAL_FAILED)
        err = b->why;
    return err ? cli_error(c, CLI_FAILED, "%s: %s", config_str(c->config, CONFIG_MASTER_DIR),
                           err_text(err))
               : CLI_OK;
}

static void bootstrap_say(const struct cli *c, const char *dir, const struct journal_config *jc)
{
    char id[33];
    cli_group_id_text(id, jc->cluster_hi, jc->cluster_lo);
    if (c->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "cluster", id);
        cJSON_AddNumberToObject(j, "id", jc->raft.id);
        cJSON_AddStringToObject(j, "dir", dir);
        cJSON_AddStringToObject(j, "members", jc->raft.members);
        cli_print_json(j);
        return;
    }
    printf("%s\n", id);
    if (!c->quiet)
        fprintf(stderr,
                "member %u of cluster %s is made in %s; the other members: "
                "tarn journal bootstrap --cluster %s\n",
                jc->raft.id, id, dir, id);
}

static int cli_journal_bootstrap_run(struct cli *c)
{
    const char *dir = config_str(c->config, CONFIG_MASTER_DIR);
    struct journal_config jc = journal_config_default();
    struct cli_journal_bootstrap b = {.cli = c,
                                      .host = {.apply = bootstrap_apply,
                                               .role = bootstrap_role,
                                               .image_begin = bootstrap_image_begin,
                                               .image_next = bootstrap_image_next,
                                               .image_end = bootstrap_image_begin,
                                               .image_load = bootstrap_image_load}};
    if (config_zk_is(c->config))
        return cli_zk_bootstrap(c);
    if (!*dir || !cli_group_is(c->config))
        return cli_error(c, CLI_CONFIG, "%s",
                         *dir ? "journal.type is local: a single master makes its directory itself"
                              : "master.dir is not set (--set master.dir=/path)");
    int code = cli_group_journal(c, false, &jc);
    if (!code)
        code = bootstrap_given_id(c, &jc.cluster_hi, &jc.cluster_lo);
    int found = code ? 0 : bootstrap_look(dir);
    bool is_made = false;
    if (found == E_EXIST)
        return cli_error(c, CLI_FAILED,
                         "%s is not empty: a member's directory is made once.  If its journal is "
                         "there, start the master; else name an empty directory",
                         dir);
    if (!code && found == E_ACCES)
        return cli_error(c, CLI_FAILED, "%s: %s", dir, strerror(errno));
    if (found == E_BUSY)
        code = bootstrap_resume(c, dir, &jc, &is_made);
    if (!code && !cli_flag(c, "force"))
        code = bootstrap_others(c);
    if (!code)
        code = bootstrap_id(c, &jc.cluster_hi, &jc.cluster_lo);
    if (code)
        return code;
    jc.raft.members = config_str(c->config, CONFIG_JOURNAL_MEMBERS);
    if (is_made) {
        bootstrap_say(c, dir, &jc);
        return CLI_OK;
    }
    jc.segment_bytes = (uint64_t)config_int(c->config, CONFIG_JOURNAL_SEGMENT);
    struct net_config nc = {.dir = dir,
                            .node = "bootstrap",
                            .log_level = ENV_LOG_WARN,
                            .secret_file = config_str(c->config, CONFIG_CLUSTER_SECRET_FILE)};
    int err = net_open(&nc, &b.net);
    if (err)
        return cli_error(c, CLI_FAILED, "%s: %s", dir, err_text(err));
    mem_init(&b.mem, net_mem_source(), BOOTSTRAP_MEM);
    code = bootstrap_write(&b, &jc);
    cli_net_close(b.net);
    mem_drop(&b.mem);
    if (!code)
        bootstrap_say(c, dir, &jc);
    return code;
}

const struct cli_command cli_journal_bootstrap = {
    "journal",
    "bootstrap",
    "",
    "make what a new group of masters begins with",
    "journal.type raft: once for each of journal.members, with journal.id set and master.dir empty "
    "or\n"
    "missing: that one's directory.  Prints the cluster's id, which the others are given by "
    "--cluster.\n"
    "Not for a member that lost its disk: see `tarn journal replace`.\n"
    "journal.type zk: once, for all masters: the journal in journal.zk.shared_dir, and its path "
    "in\n"
    "ZooKeeper.  Then `tarn master` starts them.",
    cli_journal_bootstrap_run,
    0,
    0,
    {{"cluster", 0, "ID", "of the cluster, as the first one was told; zk: instead of a new one"},
     {"force", 0, NULL, "raft: also if a member runs already, or cannot be asked"},
     {"if-needed", 0, NULL, "zk: what is there already is no mistake"}},
    .touches = CLI_TOUCHES_OWN};
