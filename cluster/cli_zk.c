/* cluster/cli_zk.c - the ZooKeeper journal as commands put it together (cli_zk.h).
 *
 * The shared directory is never made here but by `tarn up`: one that is missing is not mounted, as
 * a rule, and a journal made below a mount point would be one master's own. */
#include "cluster/cli_zk.h"
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cluster/cli_group.h"
#include "cluster/config_members.h"
#include "journal/zk_fence.h"

enum { CLI_ZK_MEM = 32 << 20, CLI_ZK_FRAME = 256 << 10 };
static const int64_t cli_zk_wait_ns = 60000000000LL;

/* --- of a master --- */

const char *cli_zk_address(const struct config *g, char to[ENV_ADDR_MAX])
{
    struct config_member m[JOURNAL_MEMBERS_MAX];
    char err[CONFIG_ERROR_MAX];
    uint32_t n = 0, id = (uint32_t)config_int(g, CONFIG_JOURNAL_ID);
    snprintf(to, ENV_ADDR_MAX, "%s", config_str(g, CONFIG_MASTER_LISTEN));
    if (!config_members_parse(config_str(g, CONFIG_JOURNAL_MEMBERS), m, &n, err, sizeof err))
        for (uint32_t i = 0; i < n; i++)
            if (m[i].id == id)
                memcpy(to, m[i].addr, ENV_ADDR_MAX);
    return to;
}

int cli_zk_shared(const struct cli *c, struct net *net, struct env **ret_env)
{
    const char *dir = config_str(c->config, CONFIG_JOURNAL_ZK_SHARED_DIR);
    struct stat st;
    if (stat(dir, &st))
        return cli_error(c, CLI_FAILED, "journal.zk.shared_dir %s: %s%s", dir, strerror(errno),
                         errno == ENOENT ? ": is the shared storage mounted?" : "");
    if (!S_ISDIR(st.st_mode))
        return cli_error(c, CLI_FAILED, "journal.zk.shared_dir %s: not a directory", dir);
    int code = cli_zk_access(c, dir);
    if (code)
        return code;
    int err = net_shared_open(net, dir, ret_env);
    if (err == E_BUSY)
        return cli_error(c, CLI_FAILED,
                         "journal.zk.shared_dir %s: a command reads or writes it alone (`tarn "
                         "journal migrate`, `verify`, ...): start again when that has ended",
                         dir);
    return err ? cli_error(c, CLI_FAILED, "journal.zk.shared_dir %s: %s", dir, err_text(err))
               : CLI_OK;
}

/* the journal that was there has been migrated away */
static int cli_zk_moved(const struct cli *c)
{
    const char *dir = config_str(c->config, CONFIG_JOURNAL_ZK_SHARED_DIR);
    char name[PATH_MAX], to[1200] = "";
    snprintf(name, sizeof name, "%.4000s/moved", dir);
    FILE *f = fopen(name, "r");
    if (!f)
        return CLI_OK;
    if (fgets(to, sizeof to, f))
        to[strcspn(to, "\n")] = 0;
    fclose(f);
    return cli_error(c, CLI_CONFIG,
                     "the journal in %s was migrated %s: set journal.zk.shared_dir to where it is "
                     "now (or, to go back to what was here then, remove %s)",
                     dir, to, name);
}

int cli_zk_own(const struct cli *c, struct net *net, struct env **ret_env)
{
    if (!config_int(c->config, CONFIG_JOURNAL_ID))
        return cli_error(c, CLI_CONFIG,
                         "journal.id is not set: a number of its own for each master "
                         "(--set journal.id=N)");
    int code = cli_zk_shared(c, net, ret_env);
    return code ? code : cli_zk_moved(c);
}

int cli_zk_open(struct cli_zk *z, const struct cli *c, struct net *net, struct mem *mem,
                struct journal_config *jc)
{
    const struct config *g = c->config;
    char err[CONFIG_ERROR_MAX], host[65], who[96], id[33];
    struct env *shared;
    int64_t session_ns = config_int(g, CONFIG_JOURNAL_ZK_SESSION);
    int code = cli_zk_own(c, net, &shared);
    if (code)
        return code;
    if (config_zk_auth(g, z->auth, err, sizeof err))
        return cli_error(c, CLI_CONFIG, "%s", err);
    z->client = zk_config_default();
    z->client.connect = config_str(g, CONFIG_JOURNAL_ZK_CONNECT);
    z->client.digest = z->auth;
    z->client.timeout_ns = session_ns;
    z->client.frame_max = CLI_ZK_FRAME;
    if (gethostname(host, sizeof host) || !memchr(host, 0, sizeof host))
        *host = 0;
    snprintf(who, sizeof who, "pid %ld on %s", (long)getpid(), *host ? host : "its host");
    bool is_known = !cli_zk_cluster(net, mem, shared, &z->cluster_hi, &z->cluster_lo);
    cli_group_id_text(id, z->cluster_hi, z->cluster_lo);
    struct zk_elect_config ec = {.zk = &z->client,
                                 .id = (uint32_t)config_int(g, CONFIG_JOURNAL_ID),
                                 .addr = cli_zk_address(g, z->addr),
                                 .who = who,
                                 .cluster = is_known ? id : NULL};
    if (zk_elect_open(net_env(net), mem, &ec, &z->elect, err, sizeof err))
        return cli_error(c, CLI_FAILED, "%s", err);
    jc->zk.id = ec.id;
    jc->zk.dir = "";
    jc->zk.shared = shared;
    jc->zk.elect = z->elect;
    jc->zk.begin_ns = session_ns / 3;
    jc->zk.room = &z->room.room;
    cli_zk_room_open(&z->room, net_env(net), config_str(g, CONFIG_JOURNAL_ZK_SHARED_DIR));
    return CLI_OK;
}

void cli_zk_stop(struct cli_zk *z, struct env_op *op)
{
    zk_elect_stop(z->elect, op);
}

struct cli_zk_wait {
    struct env_op op;
    bool done;
};

static void cli_zk_waited(struct env_op *op)
{
    container_of(op, struct cli_zk_wait, op)->done = true;
}

int cli_zk_cluster(struct net *net, struct mem *mem, struct env *shared, uint64_t *ret_hi,
                   uint64_t *ret_lo)
{
    static struct zk_fence f; /* of a disk that does not answer: it is still written to */
    struct env *e = net_env(net);
    struct cli_zk_wait w = {.op.done = cli_zk_waited};
    *ret_hi = *ret_lo = 0;
    if (!zk_fence_init(&f, shared, mem, ""))
        return E_NOMEM;
    zk_fence_open(&f, &w.op);
    if (net_run_until(net, &w.done, env_now_ns(e) + cli_zk_wait_ns))
        return E_TIMEOUT;
    int err = (int)w.op.ret;
    if (!err) {
        *ret_hi = f.cluster_hi;
        *ret_lo = f.cluster_lo;
        w.done = false;
        zk_fence_close(&f, &w.op);
        if (net_run_until(net, &w.done, env_now_ns(e) + cli_zk_wait_ns))
            return E_TIMEOUT;
    }
    zk_fence_drop(&f);
    return err;
}

/* --- of a command --- */

static void cli_zk_ask_state(struct zk_host *h, enum zk_state state, int why)
{
    (void)h, (void)state, (void)why; /* calls have deadlines; zk_status says the rest */
}

int cli_zk_ask_open(struct cli_zk_ask *a, const struct cli *c)
{
    char err[CONFIG_ERROR_MAX];
    struct net_config nc = {.node = "tarn", .log_level = ENV_LOG_ERROR};
    memset(a, 0, sizeof *a);
    a->cli = c;
    if (config_zk_auth(c->config, a->auth, err, sizeof err))
        return cli_error(c, CLI_CONFIG, "%s", err);
    int ret = net_open(&nc, &a->net);
    if (ret)
        return cli_error(c, CLI_FAILED, "event loop: %s", err_text(ret));
    mem_init(&a->mem, net_mem_source(), CLI_ZK_MEM);
    a->host.state = cli_zk_ask_state;
    return CLI_OK;
}

int cli_zk_ask_begin(struct cli_zk_ask *a, const char *connect, int64_t session_ns)
{
    char why[CONFIG_ERROR_MAX / 2];
    struct zk_config zc = zk_config_default();
    snprintf(a->connect, sizeof a->connect, "%s", connect);
    zc.connect = a->connect;
    zc.digest = a->auth;
    zc.timeout_ns = session_ns;
    int err = zk_open(net_env(a->net), &a->mem, &zc, &a->host, &a->zk, why, sizeof why);
    return err ? cli_error(a->cli, err == E_CONFIG ? CLI_USAGE : CLI_FAILED, "%s", why) : CLI_OK;
}

static void cli_zk_ask_called(struct env_op *op)
{
    struct cli_zk_ask *a =
        container_of(container_of(op, struct zk_call, op), struct cli_zk_ask, call);
    struct zk_reply *r = &a->call.reply;
    struct zk_list *list = r->acl.n ? &r->acl : &r->children;
    const void *from = r->data ? r->data : list->p;
    uint32_t n = r->data ? r->data_len : list->len;
    a->is_called = true;
    a->copy = malloc(n + 1);
    ASSERT(a->copy);
    if (from && n)
        memcpy(a->copy, from, n);
    if (r->data)
        r->data = a->copy;
    else
        list->p = a->copy;
}

int cli_zk_ask_call(struct cli_zk_ask *a, const struct zk_call *call, int64_t timeout_ns)
{
    struct env *e = net_env(a->net);
    free(a->copy);
    a->copy = NULL;
    a->call = *call;
    a->call.op.done = cli_zk_ask_called;
    a->call.deadline_ns = env_now_ns(e) + timeout_ns;
    a->is_called = false;
    zk_submit(a->zk, &a->call);
    int err = net_run_until(a->net, &a->is_called, a->call.deadline_ns + cli_zk_wait_ns);
    ASSERT(!err); /* it has a deadline of its own */
    return (int)a->call.op.ret;
}

static void cli_zk_ask_stopped(struct env_op *op)
{
    struct cli_zk_ask *a =
        container_of(container_of(op, struct zk_call, op), struct cli_zk_ask, call);
    a->is_stopped = true;
}

int cli_zk_ask_cluster(struct cli_zk_ask *a, uint64_t hi, uint64_t lo, int64_t timeout_ns)
{
    struct zk_call get = {.what = ZK_OP_GET_DATA, .path = "/cluster"};
    const struct zk_reply *r = &a->call.reply;
    char ours[33];
    int err = cli_zk_ask_call(a, &get, timeout_ns);
    cli_group_id_text(ours, hi, lo);
    if (!err && (!r->data || r->data_len != 32 || memcmp(r->data, ours, 32) != 0))
        err = E_CLUSTER;
    return err;
}

void cli_zk_ask_end(struct cli_zk_ask *a)
{
    if (!a->zk)
        return;
    a->is_stopped = false;
    a->call.op.done = cli_zk_ask_stopped;
    zk_stop(a->zk, true, &a->call.op);
    (void)net_run_until(a->net, &a->is_stopped, env_now_ns(net_env(a->net)) + cli_zk_wait_ns);
    a->zk = NULL;
}

void cli_zk_ask_close(struct cli_zk_ask *a)
{
    cli_zk_ask_end(a);
    free(a->copy);
    cli_net_close(a->net);
    mem_drop(&a->mem);
}

void cli_zk_ask_servers(const struct zk_address *from, char to[CLI_ZK_CONNECT])
{
    size_t at = 0;
    to[0] = 0;
    for (uint32_t i = 0; i < from->n; i++)
        at += (size_t)snprintf(to + at, CLI_ZK_CONNECT - at, "%s%s", i ? "," : "", from->server[i]);
}

unsigned cli_zk_unfound(const char *connect, char to[CLI_ZK_CONNECT])
{
    static struct zk_address a;
    char host[ENV_ADDR_MAX], why[CONFIG_ERROR_MAX];
    size_t at = 0;
    unsigned n = 0;
    to[0] = 0;
    if (zk_address_parse(connect, &a, why, sizeof why))
        return 0;
    for (uint32_t i = 0; i < a.n; i++) {
        const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
        struct addrinfo *list = NULL;
        bool is_bracketed = a.server[i][0] == '[';
        int len = (int)(strrchr(a.server[i], ':') - a.server[i]) - 2 * is_bracketed;
        snprintf(host, sizeof host, "%.*s", len, a.server[i] + is_bracketed);
        if (!getaddrinfo(host, NULL, &hints, &list)) {
            freeaddrinfo(list);
            continue;
        }
        at += (size_t)snprintf(to + at, CLI_ZK_CONNECT - at, "%s%s", n++ ? ", " : "", host);
    }
    return n;
}

int cli_zk_ask_fails(struct cli_zk_ask *a, const char *what, int err)
{
    struct zk_status st = {0};
    char unfound[CLI_ZK_CONNECT];
    if (a->zk)
        zk_status(a->zk, &st);
    if (err == E_TIMEOUT && !st.connects && cli_zk_unfound(a->connect, unfound))
        return cli_error(a->cli, CLI_UNREACHABLE,
                         "no ZooKeeper server answers at %s: there is no address for %s: check the "
                         "name and the resolver",
                         a->connect, unfound);
    if (err == E_TIMEOUT && !st.connects)
        return cli_error(a->cli, CLI_UNREACHABLE,
                         "no ZooKeeper server answers at %s%s%s: does one run there, and do its "
                         "ensemble's servers make a majority?",
                         a->connect, st.why ? ": " : "", st.why ? err_text(st.why) : "");
    if (err == E_TIMEOUT || err == E_CLOSED)
        return cli_error(a->cli, CLI_UNREACHABLE, "%s: ZooKeeper at %s does not answer in time",
                         what, a->connect);
    if (err == E_ACCES || err == E_AUTH)
        return cli_error(a->cli, CLI_FAILED,
                         "%s: ZooKeeper refuses access: it belongs to another user than "
                         "journal.zk.auth names",
                         what);
    if (err == E_NOENT)
        return cli_error(a->cli, CLI_FAILED, "%s: there is no such node at %s", what, a->connect);
    return cli_error(a->cli, CLI_FAILED, "%s: %s", what, err_text(err));
}
