/* cluster/cli_zk_check.c - `tarn master --check` with journal.type zk: would a start find what it
 * needs?  The shared directory, that the storage is fit (journal/zk_store.h), whose journal is in
 * it, ZooKeeper, and that the path there is this cluster's.
 *
 * Nothing is elected and nothing of the journal is written or read: `tarn journal verify` reads it.
 * The masters may run meanwhile. */
#include "cluster/cli_group.h"
#include "cluster/cli_zk.h"
#include "journal/zk_store.h"

static const int64_t check_call_ns = 5000000000LL, check_session_ns = 10000000000LL,
                     check_disk_ns = 60000000000LL;

struct check {
    struct cli *cli;
    const char *dir, *connect;
    struct cli_zk_ask ask;
    struct env *shared;
    struct zk_store store;
    struct env_op op;
    bool done;
    uint64_t hi, lo; /* the cluster, and as text */
    char id[33];
};

static void check_done(struct env_op *op)
{
    container_of(op, struct check, op)->done = true;
}

static int check_store(struct check *k)
{
    const struct cli *c = k->cli;
    k->op.done = check_done;
    zk_store_check(&k->store, k->shared, &k->ask.mem, "", &k->op);
    if (net_run_until(k->ask.net, &k->done, env_now_ns(net_env(k->ask.net)) + check_disk_ns))
        return cli_error(c, CLI_FAILED,
                         "journal.zk.shared_dir %s does not answer: see that it is mounted",
                         k->dir);
    if (!k->op.ret)
        return CLI_OK;
    return cli_error(
        c, CLI_FAILED, "the shared storage at %s %s: %s.  %s", k->dir,
        k->op.ret == E_NOTSUP ? "cannot hold the log" : "could not be checked", k->store.text,
        k->op.ret == E_NOTSUP
            ? "See docs/zookeeper-journal.md, what the storage must give"
            : "Free some space there, or see that it is mounted and may be written to");
}

static int check_journal(struct check *k)
{
    int err = cli_zk_cluster(k->ask.net, &k->ask.mem, k->shared, &k->hi, &k->lo);
    if (err == E_NOENT)
        return cli_error(k->cli, CLI_FAILED,
                         "%s: there is no journal (no file \"fence\"): is the shared storage "
                         "mounted?  `tarn journal bootstrap` makes a new one",
                         k->dir);
    cli_group_id_text(k->id, k->hi, k->lo);
    return err ? cli_error(k->cli, err_class(err) == ERR_CLASS_DATA ? CLI_DATA : CLI_FAILED,
                           "%s/fence: %s.  `tarn journal verify zk:%s` says more", k->dir,
                           err_text(err), k->dir)
               : CLI_OK;
}

static int check_zookeeper(struct check *k)
{
    const struct cli *c = k->cli;
    const struct zk_reply *r = &k->ask.call.reply;
    int code = cli_zk_ask_begin(&k->ask, k->connect, check_session_ns);
    if (code)
        return code;
    int err = cli_zk_ask_cluster(&k->ask, k->hi, k->lo, check_call_ns);
    if (err == E_NOENT)
        return cli_error(c, CLI_FAILED,
                         "ZooKeeper at %s does not know cluster %s there: `tarn journal bootstrap` "
                         "makes the path",
                         k->connect, k->id);
    if (err == E_CLUSTER)
        return cli_error(c, CLI_FAILED,
                         "%s has the journal of cluster %s, but ZooKeeper at %s is of cluster "
                         "%.*s: name the directory and the path of one of them",
                         k->dir, k->id, k->connect, (int)r->data_len, (const char *)r->data);
    return err ? cli_zk_ask_fails(&k->ask, "/cluster", err) : CLI_OK;
}

/* nodes from before journal.zk.auth was set */
static void check_nodes(struct check *k)
{
    static struct zk_address at;
    char open[CLI_ZK_OPEN], why[CONFIG_ERROR_MAX];
    int err = zk_address_parse(k->connect, &at, why, sizeof why);
    if (!err && cli_zk_acl_open(&k->ask, at.root, false, open, &err) && !k->cli->quiet)
        fprintf(stderr,
                "note: in ZooKeeper everybody may change %s: made before journal.zk.auth was set. "
                "When all masters have it, `tarn journal bootstrap` closes them\n",
                open);
}

static int check_say(struct check *k)
{
    char unfound[CLI_ZK_CONNECT];
    check_nodes(k);
    bool is_unfound = cli_zk_unfound(k->connect, unfound);
    if (is_unfound && !k->cli->quiet)
        fprintf(stderr,
                "note: journal.zk.connect: there is no address for %s here: check the name and the "
                "resolver\n",
                unfound);
    if (k->cli->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddBoolToObject(j, "ok", true);
        cJSON_AddStringToObject(j, "cluster", k->id);
        cJSON_AddStringToObject(j, "dir", k->dir);
        cJSON_AddStringToObject(j, "zookeeper", k->connect);
        cJSON_AddStringToObject(j, "hosts_without_address", unfound);
        cli_print_json(j);
    } else {
        printf("ok: cluster %s: %s is fit for its journal, and ZooKeeper answers at %s\n", k->id,
               k->dir, k->connect);
    }
    return CLI_OK;
}

int cli_zk_check(struct cli *c)
{
    static struct check k;
    const struct config *g = c->config;
    memset(&k, 0, sizeof k);
    k.cli = c;
    k.dir = config_str(g, CONFIG_JOURNAL_ZK_SHARED_DIR);
    k.connect = config_str(g, CONFIG_JOURNAL_ZK_CONNECT);
    int code = cli_zk_ask_open(&k.ask, c);
    if (code)
        return code;
    code = cli_zk_own(c, k.ask.net, &k.shared);
    if (!code)
        code = check_store(&k);
    if (!code)
        code = check_journal(&k);
    if (!code)
        code = check_zookeeper(&k);
    if (!code)
        code = check_say(&k);
    cli_zk_ask_close(&k.ask);
    return code;
}
