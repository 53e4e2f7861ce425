/* cluster/cli_zk_living.c - does a master of a ZooKeeper journal run, wherever that is?  For
 * commands that read a shared directory as one whose masters are stopped.
 *
 * A lock tells of those on this host (cli_zk_shared, net_shared_open).  Of those on others
 * ZooKeeper tells: each master has a node of its own there (journal/zk_members.h), which goes when
 * the master is stopped, and a session's time after it was killed; and who stands has another one,
 * in the election.  A master that was killed and started again has none for a while: the session
 * of before has ended, and its next round comes.  So nobody runs only if there was no node for
 * longer than such rounds take.  A leader goes on without ZooKeeper, so silence proves nothing:
 * neither that of ZooKeeper, nor that of a leader whose session is over.  That is said. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cluster/cli_group.h"
#include "cluster/cli_zk.h"
#include "journal/zk_members.h"

static const int64_t living_call_ns = 5000000000LL, living_session_ns = 10000000000LL,
                     living_none_ns = 2 * ZK_MEMBERS_NS + 500000000LL;
enum { LIVING_PAUSE_US = 250000 };

struct living {
    const struct cli *cli;
    const struct config *config;
    struct cli_zk_ask ask;
    uint64_t hi, lo;
    char id[16], addr[ENV_ADDR_MAX], path[96]; /* of the one that was found */
};

static bool living_is_dir(const struct config *g, const char *dir)
{
    const char *own = config_zk_is(g) ? config_str(g, CONFIG_JOURNAL_ZK_SHARED_DIR) : "";
    struct stat x, y;
    return *own && !stat(own, &x) && !stat(dir, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* whose node l->path is: of the election the name has the number, and the text the address */
static void living_name(struct living *l, bool is_standing)
{
    const struct zk_reply *r = &l->ask.call.reply;
    char text[256];
    snprintf(l->id, sizeof l->id, "?");
    snprintf(l->addr, sizeof l->addr, "?");
    snprintf(text, sizeof text, "%.*s", r->data ? (int)r->data_len : 0,
             r->data ? (const char *)r->data : "");
    if (!is_standing)
        (void)sscanf(text, "%15s %63s", l->id, l->addr);
    else if (sscanf(l->path, "/election/%*[0-9a-f]-%15[0-9]", l->id) == 1)
        (void)sscanf(text, "%63s", l->addr);
}

/* One that has a node in dir, which may go between the list and the look: then another one.  0,
 * E_NOENT: nobody; or an error. */
static int living_find_in(struct living *l, const char *dir, bool is_standing)
{
    struct zk_call list = {.what = ZK_OP_GET_CHILDREN2, .path = dir};
    const char *text;
    uint32_t len;
    int err = cli_zk_ask_call(&l->ask, &list, living_call_ns);
    if (err)
        return err;
    struct zk_list kids = l->ask.call.reply.children;
    void *names = l->ask.copy; /* the next call would free them */
    l->ask.copy = NULL;
    err = E_NOENT;
    while (err == E_NOENT && zk_proto_text_next(&kids, &text, &len)) {
        snprintf(l->path, sizeof l->path, "%s/%.*s", dir, (int)(len < 64 ? len : 64), text);
        struct zk_call get = {.what = ZK_OP_GET_DATA, .path = l->path};
        err = cli_zk_ask_call(&l->ask, &get, living_call_ns);
    }
    free(names);
    if (!err)
        living_name(l, is_standing);
    return err;
}

static int living_find(struct living *l)
{
    int err = living_find_in(l, "/masters", false);
    return err == E_NOENT ? living_find_in(l, "/election", true) : err;
}

/* 0: one runs; E_NOENT: nobody had a node for long enough; or an error */
static int living_watch(struct living *l)
{
    int64_t none_ns = 0,
            until_ns =
                cli_now_ns() + config_int(l->config, CONFIG_JOURNAL_ZK_SESSION) + living_call_ns;
    bool is_said = l->cli->quiet;
    for (;;) {
        int err = living_find(l);
        int64_t now_ns = cli_now_ns();
        if (err && err != E_NOENT)
            return err;
        if (!err && now_ns >= until_ns)
            return 0;
        if (!err && !is_said)
            fprintf(stderr,
                    "ZooKeeper knows a master (%s %s): waiting whether it was killed, and is "
                    "forgotten there\n",
                    l->id, l->addr);
        is_said |= !err;
        none_ns = !err ? 0 : none_ns ? none_ns : now_ns;
        if (none_ns && now_ns - none_ns > living_none_ns)
            return E_NOENT;
        usleep(LIVING_PAUSE_US);
    }
}

static int living_say(const struct living *l, const char *dir)
{
    return cli_error(l->cli, CLI_FAILED,
                     "%s: master %s at %s runs, in this cluster: it has a node in ZooKeeper, at "
                     "%s%s.  Stop all masters first",
                     dir, l->id, l->addr, config_str(l->config, CONFIG_JOURNAL_ZK_CONNECT),
                     l->path);
}

static void living_note(const struct living *l, bool is_ours, int err)
{
    const char *connect = config_str(l->config, CONFIG_JOURNAL_ZK_CONNECT);
    char ours[33];
    cli_group_id_text(ours, l->hi, l->lo);
    if (l->cli->quiet)
        return;
    if (!is_ours && (err == E_NOENT || err == E_CLUSTER))
        fprintf(stderr,
                "note: ZooKeeper at %s %s, and the directory is of cluster %s: so it does not say "
                "whether a master of that runs (journal.zk.connect).  ",
                connect, err == E_NOENT ? "has no cluster there" : "is of another cluster", ours);
    else if (err == E_NOENT)
        fprintf(stderr,
                "note: no master has a node in ZooKeeper at %s; one that leads goes on without its "
                "session, and then has none.  ",
                connect);
    else
        fprintf(stderr,
                "note: ZooKeeper at %s cannot be asked whether a master runs (%s): one that leads "
                "goes on without it.  ",
                connect, err_text(err));
    fprintf(stderr, "Be sure that all masters are stopped, on every host\n");
}

static int living_ask(struct living *l, const char *dir)
{
    int code = cli_zk_ask_begin(&l->ask, config_str(l->config, CONFIG_JOURNAL_ZK_CONNECT),
                                living_session_ns);
    if (code)
        return code;
    int err = cli_zk_ask_cluster(&l->ask, l->hi, l->lo, living_call_ns);
    bool is_ours = !err;
    if (is_ours)
        err = living_watch(l);
    if (!err)
        return living_say(l, dir);
    living_note(l, is_ours, err);
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
