/* cluster/cli_zk.h - the ZooKeeper journal as commands put it together: the shared directory, the
 * session, the fence; and ZooKeeper asked by a command, a call at a time. */
#ifndef CLUSTER_CLI_ZK_H
#define CLUSTER_CLI_ZK_H

#include "cluster/cli_commands.h"
#include "cluster/config_zk.h"
#include "journal/journal.h"
#include "journal/zk_elect.h"
#include "net/net.h"

/* --- of a master --- */

/* cli_zk_room.c: the free space of a directory, and whether it is still the one that it was at
 * first, looked at now and then off the loop */
struct cli_zk_room {
    struct journal_room room;
    const char *dir;
    struct env *env;
    struct env_timer timer;
    struct env_op op;
    uint64_t fence;  /* the fence's inode, as it was at first; 0: it was not seen yet */
    unsigned losses; /* looks, one after the other, that did not find it */
    /* the pool's */
    struct journal_room found;
    int fence_ret;
    uint64_t fence_now;
};
/* dir lives as long as r; it ends with its net */
void cli_zk_room_open(struct cli_zk_room *r, struct env *e, const char *dir);

struct cli_zk {
    struct zk_elect *elect;
    struct zk_config client;
    struct cli_zk_room room;
    char auth[CONFIG_ZK_AUTH], addr[ENV_ADDR_MAX];
    uint64_t cluster_hi, cluster_lo; /* as the directory says; 0: the journal will say why not */
};

/* what a master says of itself to others: as journal.members has it, else master.listen */
const char *cli_zk_address(const struct config *g, char to[ENV_ADDR_MAX]);
/* cli_zk_access.c: may this user do there what a master does?  CLI_OK or an exit code */
int cli_zk_access(const struct cli *c, const char *dir);
/* The shared directory that is there, as an env of net's; CLI_OK or an exit code. */
int cli_zk_shared(const struct cli *c, struct net *net, struct env **ret_env);
/* The same for a master: it has a number, and the journal was not migrated away. */
int cli_zk_own(const struct cli *c, struct net *net, struct env **ret_env);
/* jc->zk for master_open: takes part in the election at once.  CLI_OK or an exit code. */
int cli_zk_open(struct cli_zk *z, const struct cli *c, struct net *net, struct mem *mem,
                struct journal_config *jc);
/* after the master; op is done when the session is closed */
void cli_zk_stop(struct cli_zk *z, struct env_op *op);
/* whose journal is in the shared directory: 0, E_NOENT (none), another error (it is unreadable) */
int cli_zk_cluster(struct net *net, struct mem *mem, struct env *shared, uint64_t *ret_hi,
                   uint64_t *ret_lo);
/* cli_zk_living.c: dir is read as one whose masters are stopped: asks ZooKeeper, as `own` (may be
 * NULL) or the configuration in force has it, whether a master of the cluster runs.  CLI_OK, which
 * may be only that nothing is known, and that was said; or an exit code. */
int cli_zk_living(struct cli *c, const struct config *own, const char *dir, uint64_t hi,
                  uint64_t lo);
/* cli_zk_check.c: `tarn master --check` of it */
int cli_zk_check(struct cli *c);
/* `tarn journal bootstrap` of it */
int cli_zk_bootstrap(struct cli *c);

/* --- of a command --- */

enum {
    CLI_ZK_CONNECT = 4400,
    CLI_ZK_OPEN = 5 * (ZK_ROOT_MAX + 16),
    CLI_ZK_IDS = JOURNAL_MEMBERS_MAX * 12
};

struct cli_zk_ask {
    const struct cli *cli;
    struct net *net;
    struct mem mem;
    struct zk *zk;
    struct zk_host host;
    struct zk_call call;
    void *copy; /* of what the last reply points to */
    bool is_called, is_stopped;
    char auth[CONFIG_ZK_AUTH], connect[CLI_ZK_CONNECT];
    const char *servers; /* that the session is with; for messages */
};

/* net and memory, no session yet */
int cli_zk_ask_open(struct cli_zk_ask *a, const struct cli *c);
/* A session with the servers, and below the path, that connect names (zk_address.h): it begins.
 * CLI_OK or an exit code. */
int cli_zk_ask_begin(struct cli_zk_ask *a, const char *connect, int64_t session_ns);
/* call as a->call, what it needs being set: its result, 0 or an error.  What a->call.reply points
 * to is there until the next one. */
int cli_zk_ask_call(struct cli_zk_ask *a, const struct zk_call *call, int64_t timeout_ns);
/* Is the path that cluster's?  0, E_NOENT: nobody's yet, E_CLUSTER: a->call.reply says whose; or an
 * error. */
int cli_zk_ask_cluster(struct cli_zk_ask *a, uint64_t hi, uint64_t lo, int64_t timeout_ns);
void cli_zk_ask_end(struct cli_zk_ask *a); /* of the session */
void cli_zk_ask_close(struct cli_zk_ask *a);
/* the servers of an address, without its path: "h1:2181,h2:2181" */
void cli_zk_ask_servers(const struct zk_address *from, char to[CLI_ZK_CONNECT]);
/* those of its hosts whose names have no address here, with ", " between; how many.  Asks the
 * resolver, and waits for it. */
unsigned cli_zk_unfound(const char *connect, char to[CLI_ZK_CONNECT]);
/* cli_zk_acl.c: the nodes of the path `root` that everybody may change, with ", " between; how
 * many.  closes: they become the own user's, or *ret_err says why not. */
unsigned cli_zk_acl_open(struct cli_zk_ask *a, const char *root, bool closes, char to[CLI_ZK_OPEN],
                         int *ret_err);
/* The masters whose own nodes everybody may change, with ", " between: they run without
 * credentials, or did until a moment ago.  How many. */
unsigned cli_zk_acl_masters(struct cli_zk_ask *a, const char *root, char to[CLI_ZK_IDS],
                            int *ret_err);
/* says why as far as it is known; the exit code */
int cli_zk_ask_fails(struct cli_zk_ask *a, const char *what, int err);

#endif
