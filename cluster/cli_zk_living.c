/* cluster/cli_zk_living.c - does a master of a ZooKeeper journal run, wherever that is?  For
 * commands that read a shared directory as one whose masters are stopped.
 *
 * A lock tells of those on this host (cli_zk_shared, net_shared_open).  Of those on others
 * ZooKeeper tells: each master has a node of its own there (journal/zk_members.h), which goes when
 * the master is stopped, and a session's time after it was killed.  A leader goes on without
 * ZooKeeper, so its silence proves nothing, and is said. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cluster/cli_group.h"
#include "cluster/cli_zk.h"

static const int64_t living_call_ns = 5000000000LL, living_session_ns = 10000000000LL;
enum { LIVING_PAUSE_US = 250000 };

struct living {
    const struct cli *cli;
    const struct config *config;
    struct cli_zk_ask ask;
    uint64_t hi, lo;
};

static bool living_is_dir(const struct config *g, const char *dir)
{
    const char *own = config_zk_is(g) ? config_str(g, CONFIG_JOURNAL_ZK_SHARED_DIR) : "";
    struct stat x, y;
    return *own && !stat(own, &x) && !stat(dir, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* is the path of this cluster?  0, E_NOENT: no; or an error */
static int living_is_ours(struct living *l)
{
    struct zk_call get = {.what = ZK_OP_GET_DATA, .path = "/cluster"};
    char ours[33];
    int err = cli_zk_ask_call(&l->ask, &get, living_call_ns);
    const struct zk_reply *r = &l->ask.call.reply;
    cli_group_id_text(ours, l->hi, l->lo);
    return err                                                                   ? err
           : r->data && r->data_len == 32 && !memcmp(r->data, ours, r->data_len) ? 0
                                                                                 : E_NOENT;
}

/* one that has a node: "ID ADDRESS ..." to cap bytes; 0, E_NOENT: nobody has one; or an error */
static int living_find(struct living *l, char *to, size_t cap)
{
    struct zk_call list = {.what = ZK_OP_GET_CHILDREN2, .path = "/masters"};
    char path[96] = "";
    const char *text;
    uint32_t len;
    int err = cli_zk_ask_call(&l->ask, &list, living_call_ns);
    if (err)
        return err;
    struct zk_list kids = l->ask.call.reply.children;
    if (!kids.n || !zk_proto_text_next(&kids, &text, &len))
        return E_NOENT;
    snprintf(path, sizeof path, "/masters/%.*s", (int)(len < 64 ? len : 64), text);
    struct zk_call get = {.what = ZK_OP_GET_DATA, .path = path};
    err = cli_zk_ask_call(&l->ask, &get, living_call_ns);
    const struct zk_reply *r = &l->ask.call.reply;
    snprintf(to, cap, "%.*s", r->data ? (int)r->data_len : 0, r->data ? (const char *)r->data : "");
    return err;
}

static int living_say(const struct living *l, const char *dir, const char *text)
{
    char id[16] = "?", addr[ENV_ADDR_MAX] = "?";
    (void)sscanf(text, "%15s %63s", id, addr);
    return cli_error(l->cli, CLI_FAILED,
                     "%s: master %s at %s runs, in this cluster: it has a node in ZooKeeper, at "
                     "%s/masters/%s.  Stop all masters first",
                     dir, id, addr, config_str(l->config, CONFIG_JOURNAL_ZK_CONNECT), id);
}

static int living_ask(struct living *l, const char *dir)
{
    const struct cli *c = l->cli;
    const char *connect = config_str(l->config, CONFIG_JOURNAL_ZK_CONNECT);
    char text[256] = "";
    int64_t until_ns =
        cli_now_ns() + config_int(l->config, CONFIG_JOURNAL_ZK_SESSION) + living_call_ns;
    bool is_said = false;
    int code = cli_zk_ask_begin(&l->ask, connect, living_session_ns), err;
    if (code)
        return code;
    err = living_is_ours(l);
    while (!err && !(err = living_find(l, text, sizeof text)) && cli_now_ns() < until_ns) {
        if (!is_said && !c->quiet)
            fprintf(
                stderr,
                "ZooKeeper knows a master (%s): waiting whether it was killed, and is forgotten "
                "there\n",
                text);
        is_said = true;
        usleep(LIVING_PAUSE_US);
    }
    if (!err)
        return living_say(l, dir, text);
    if (err != E_NOENT && !c->quiet)
        fprintf(stderr,
                "note: ZooKeeper at %s cannot be asked whether a master runs (%s): one that leads "
                "goes on without it.  Be sure that all masters are stopped, on every host\n",
                connect, err_text(err));
    return CLI_OK;
}

int cli_zk_living(struct cli *c, const struct config *own, const char *dir, uint64_t hi,
                  uint64_t lo)
{
    static struct living l;
    struct cli as = *c;
    memset(&l, 0, sizeof l);
    l.config = own && living_is_dir(own, dir)  ? own
               : living_is_dir(c->config, dir) ? c->config
                                               : NULL;
    l.hi = hi;
    l.lo = lo;
    if (!l.config) {
        if (!c->quiet)
            fprintf(stderr,
                    "note: %s is in no configuration here (-c FILE), so ZooKeeper is not asked "
                    "whether a master runs.  Be sure that all are stopped, on every host\n",
                    dir);
        return CLI_OK;
    }
    as.config = (struct config *)l.config; /* its credentials */
    l.cli = &as;
    int code = cli_zk_ask_open(&l.ask, &as);
    if (code)
        return code;
    code = living_ask(&l, dir);
    cli_zk_ask_close(&l.ask);
    return code;
}
