/* cluster/cli_zk_bootstrap.c - `tarn journal bootstrap` of a ZooKeeper journal: the fence in the
 * shared directory, the path in ZooKeeper.
 *
 *   SHARED_DIR/fence    whose journal it is (journal/zk_fence.h)
 *   PATH/cluster        the same id as text: which shared directory the path belongs to
 *
 * INVARIANTS
 *  1. A journal is made once: where a fence is, nothing of it is touched.  What is missing in
 *     ZooKeeper, which only elects, is made again.
 *     Nodes that everybody may change, from before journal.zk.auth was set, become its user's,
 *     unless a master runs that would be locked out.
 *  2. A path that another cluster uses is not shared: two groups of candidates, each of which can
 *     only lead its own, would wait for each other. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "cluster/cli_group.h"
#include "cluster/cli_zk.h"
#include "journal/log_meta.h"
#include "journal/zk_fence.h"

static const int64_t bootstrap_call_ns = 10000000000LL;
static const int64_t bootstrap_disk_ns = 60000000000LL;
static const int64_t bootstrap_session_ns = 10000000000LL;

struct cli_zk_bootstrap {
    struct cli *cli;
    struct cli_zk_ask ask;
    struct zk_address at;
    char servers[CLI_ZK_CONNECT], id_path[ZK_ROOT_MAX + 16];
    uint64_t hi, lo; /* the cluster's; 0, 0: not known yet */
    char zk_id[33];  /* of the path; "": nobody's */
    struct env *shared;
    struct env_op op;
    bool done;
    unsigned n_closed; /* nodes of an older path, to others */
    char closed[CLI_ZK_OPEN];
};

static void bootstrap_done(struct env_op *op)
{
    container_of(op, struct cli_zk_bootstrap, op)->done = true;
}

/* every node on the way to the path, and it */
static int bootstrap_path(struct cli_zk_bootstrap *b)
{
    char path[ZK_ROOT_MAX];
    const char *root = b->at.root;
    for (size_t at = 1; *root && at <= strlen(root); at++) {
        if (root[at] && root[at] != '/')
            continue;
        snprintf(path, sizeof path, "%.*s", (int)at, root);
        struct zk_call make = {.what = ZK_OP_CREATE, .path = path};
        struct zk_call look = {.what = ZK_OP_EXISTS, .path = path};
        int err = cli_zk_ask_call(&b->ask, &look, bootstrap_call_ns);
        if (err == E_NOENT)
            err = cli_zk_ask_call(&b->ask, &make, bootstrap_call_ns);
        if (err && err != E_EXIST)
            return cli_zk_ask_fails(&b->ask, path, err);
    }
    return CLI_OK;
}

/* whose the path is already, into zk_id */
static int bootstrap_look(struct cli_zk_bootstrap *b)
{
    uint64_t hi, lo;
    struct zk_call get = {.what = ZK_OP_GET_DATA, .path = b->id_path};
    int err = cli_zk_ask_call(&b->ask, &get, bootstrap_call_ns);
    b->zk_id[0] = 0;
    if (err == E_NOENT)
        return CLI_OK;
    if (err)
        return cli_zk_ask_fails(&b->ask, b->id_path, err);
    const struct zk_reply *r = &b->ask.call.reply;
    snprintf(b->zk_id, sizeof b->zk_id, "%.*s", (int)r->data_len,
             r->data ? (const char *)r->data : "");
    return cli_group_id(b->zk_id, &hi, &lo)
               ? CLI_OK
               : cli_error(b->cli, CLI_FAILED,
                           "%s in ZooKeeper holds something else than a cluster's id: name another "
                           "path in journal.zk.connect",
                           b->id_path);
}

/* ours from now on; that somebody was quicker shows */
static int bootstrap_take(struct cli_zk_bootstrap *b)
{
    char id[33];
    cli_group_id_text(id, b->hi, b->lo);
    struct zk_call make = {.what = ZK_OP_CREATE, .path = b->id_path, .data = id, .data_len = 32};
    int err = cli_zk_ask_call(&b->ask, &make, bootstrap_call_ns);
    if (err == E_EXIST) {
        int code = bootstrap_look(b);
        return code || !strcmp(b->zk_id, id)
                   ? code
                   : cli_error(b->cli, CLI_FAILED,
                               "%s in ZooKeeper is of cluster %s: name another path in "
                               "journal.zk.connect",
                               b->id_path, b->zk_id);
    }
    return err ? cli_zk_ask_fails(&b->ask, b->id_path, err) : CLI_OK;
}

/* a log, or images, of a journal whose fence is gone: masters would begin without them */
static bool bootstrap_has_journal(const char *dir)
{
    char images[4096];
    uint64_t epoch;
    snprintf(images, sizeof images, "%.4000s/images", dir);
    bool has = !access(images, F_OK);
    DIR *d = opendir(dir);
    for (struct dirent *e; d && !has && (e = readdir(d));)
        has = log_format_name_parse(e->d_name, "log-", &epoch);
    if (d)
        closedir(d);
    return has;
}

static int bootstrap_format(struct cli_zk_bootstrap *b)
{
    static struct zk_fence f;
    struct cli *c = b->cli;
    const char *dir = config_str(c->config, CONFIG_JOURNAL_ZK_SHARED_DIR);
    char mark[4096];
    snprintf(mark, sizeof mark, "%.4000s/" LOG_META_UNFINISHED, dir);
    if (!access(mark, F_OK))
        return cli_error(
            c, CLI_FAILED,
            "%s: a migration into this directory was begun and has not ended: give the "
            "same `tarn journal migrate` again, it goes on; or remove what is in it",
            dir);
    if (bootstrap_has_journal(dir))
        return cli_error(
            c, CLI_FAILED,
            "%s has logs or images of a journal, and no file \"fence\", which says what "
            "counts of them.  Nothing was changed.  Bring that file back from a copy, "
            "or restore a backup (`tarn journal restore`) into an empty directory",
            dir);
    if (!b->hi && !b->lo && !cli_group_id_fresh(&b->hi, &b->lo))
        return cli_error(c, CLI_FAILED, "no random numbers: %s", strerror(errno));
    if (!zk_fence_init(&f, b->shared, &b->ask.mem, ""))
        return cli_error(c, CLI_FAILED, "%s", err_text(E_NOMEM));
    b->op.done = bootstrap_done;
    b->done = false;
    zk_fence_format(&f, b->hi, b->lo, ZK_FENCE_SLOTS, &b->op);
    if (net_run_until(b->ask.net, &b->done, env_now_ns(net_env(b->ask.net)) + bootstrap_disk_ns))
        return cli_error(c, CLI_FAILED, "%s does not answer", dir);
    zk_fence_drop(&f);
    return b->op.ret ? cli_error(c, CLI_FAILED, "%s/fence: %s", dir, err_text((int)b->op.ret))
                     : CLI_OK;
}

static int bootstrap_say(const struct cli_zk_bootstrap *b, bool is_new)
{
    const struct cli *c = b->cli;
    const char *dir = config_str(c->config, CONFIG_JOURNAL_ZK_SHARED_DIR);
    char id[33];
    cli_group_id_text(id, b->hi, b->lo);
    if (c->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "cluster", id);
        cJSON_AddStringToObject(j, "dir", dir);
        cJSON_AddStringToObject(j, "zookeeper", config_str(c->config, CONFIG_JOURNAL_ZK_CONNECT));
        cJSON_AddBoolToObject(j, "made", is_new);
        cli_print_json(j);
        return CLI_OK;
    }
    printf("%s\n", id);
    if (!c->quiet && !b->n_closed)
        fprintf(stderr,
                is_new ? "the journal of cluster %s is made in %s: start the masters\n"
                       : "the journal of cluster %s in %s was there; its path in ZooKeeper "
                         "is made: start the masters\n",
                id, dir);
    return CLI_OK;
}

/* the fence, if there is one: *ret_err is what opening it came to */
static int bootstrap_decide(struct cli_zk_bootstrap *b, int found, uint64_t hi, uint64_t lo)
{
    struct cli *c = b->cli;
    const char *dir = config_str(c->config, CONFIG_JOURNAL_ZK_SHARED_DIR);
    bool given = b->hi || b->lo;
    char own[33], want[33];
    cli_group_id_text(own, hi, lo);
    cli_group_id_text(want, b->hi, b->lo);
    if (found && found != E_NOENT)
        return cli_error(c, CLI_FAILED,
                         "%s/fence: %s.  If a bootstrap was interrupted there, and the directory "
                         "has nothing else, remove that file and begin again; else bring it back "
                         "from a backup (docs/zookeeper-journal.md)",
                         dir, err_text(found));
    if (!found && given && (hi != b->hi || lo != b->lo))
        return cli_error(c, CLI_FAILED, "%s has the journal of cluster %s, not of %s", dir, own,
                         want);
    if (!found && *b->zk_id && strcmp(b->zk_id, own) != 0)
        return cli_error(c, CLI_FAILED,
                         "%s has the journal of cluster %s, but %s in ZooKeeper is of cluster %s: "
                         "name the directory and the path of one of them",
                         dir, own, b->at.root, b->zk_id);
    if (!found && *b->zk_id && b->n_closed)
        fprintf(stderr, "closed to others than journal.zk.auth's user: %s\n", b->closed);
    if (!found && *b->zk_id && (b->n_closed || cli_flag(c, "if-needed")))
        return CLI_OK;
    if (!found && *b->zk_id)
        return cli_error(c, CLI_FAILED,
                         "the journal of cluster %s is in %s already: start its masters (`tarn "
                         "master`).  Nothing was changed",
                         own, dir);
    if (found && *b->zk_id && (!given || strcmp(b->zk_id, want) != 0))
        return cli_error(c, CLI_FAILED,
                         "%s in ZooKeeper is of cluster %s, whose journal is not in %s: is the "
                         "shared storage mounted?  For a new cluster name another path; if that "
                         "one's journal is lost for good, or never was: --cluster %s",
                         *b->at.root ? b->at.root : "/", b->zk_id, dir, b->zk_id);
    return CLI_OK;
}

/* the path is there, and its cluster's: with journal.zk.auth it is to be that user's alone */
static int bootstrap_close(struct cli_zk_bootstrap *b, uint64_t hi, uint64_t lo)
{
    char id[33], masters[CLI_ZK_IDS];
    int err = 0;
    unsigned n = 0;
    cli_group_id_text(id, hi, lo);
    bool is_ours = !strcmp(id, b->zk_id);
    if (is_ours && cli_zk_acl_open(&b->ask, b->at.root, false, b->closed, &err) && !err)
        n = cli_zk_acl_masters(&b->ask, b->at.root, masters, &err);
    if (n && !err)
        return cli_error(b->cli, CLI_FAILED,
                         "master%s %s run%s without journal.zk.auth: restart %s with it first.  "
                         "(One that was killed is known for journal.zk.session.)  Nothing was "
                         "closed",
                         n > 1 ? "s" : "", masters, n > 1 ? "" : "s", n > 1 ? "them" : "it");
    if (is_ours && !err)
        b->n_closed = cli_zk_acl_open(&b->ask, b->at.root, true, b->closed, &err);
    return err ? cli_zk_ask_fails(&b->ask, b->at.root, err) : CLI_OK;
}

static int bootstrap_run(struct cli_zk_bootstrap *b)
{
    uint64_t hi, lo;
    int code = cli_zk_shared(b->cli, b->ask.net, &b->shared);
    if (!code)
        code = cli_zk_ask_begin(&b->ask, b->servers, bootstrap_session_ns);
    if (!code)
        code = bootstrap_path(b);
    if (!code)
        code = bootstrap_look(b);
    if (code)
        return code;
    int found = cli_zk_cluster(b->ask.net, &b->ask.mem, b->shared, &hi, &lo);
    if (found == E_TIMEOUT)
        return cli_error(b->cli, CLI_FAILED, "%s does not answer",
                         config_str(b->cli->config, CONFIG_JOURNAL_ZK_SHARED_DIR));
    if (!found && *b->zk_id)
        code = bootstrap_close(b, hi, lo);
    if (!code)
        code = bootstrap_decide(b, found, hi, lo);
    if (code)
        return code;
    if (found) {
        code = bootstrap_format(b);
    } else {
        b->hi = hi;
        b->lo = lo;
    }
    if (!code)
        code = bootstrap_take(b);
    return code ? code : bootstrap_say(b, found != 0);
}

int cli_zk_bootstrap(struct cli *c)
{
    static struct cli_zk_bootstrap b;
    char why[CONFIG_ERROR_MAX / 2];
    const char *own = config_str(c->config, CONFIG_CLUSTER_ID);
    const char *id = cli_value(c, "cluster", *own ? own : NULL);
    memset(&b, 0, sizeof b);
    b.cli = c;
    if (id && !cli_group_id(id, &b.hi, &b.lo))
        return cli_error(c, CLI_USAGE, "--cluster: \"%s\" is not 32 hex digits", id);
    if (zk_address_parse(config_str(c->config, CONFIG_JOURNAL_ZK_CONNECT), &b.at, why, sizeof why))
        return cli_error(c, CLI_CONFIG, "journal.zk.connect: %s", why);
    cli_zk_ask_servers(&b.at, b.servers);
    snprintf(b.id_path, sizeof b.id_path, "%s/cluster", b.at.root);
    int code = cli_zk_ask_open(&b.ask, c);
    if (code)
        return code;
    code = bootstrap_run(&b);
    cli_zk_ask_close(&b.ask);
    return code;
}
