/* cluster/cli_up.h - what the parts of `tarn up` share. */
#ifndef CLUSTER_CLI_UP_H
#define CLUSTER_CLI_UP_H

#include <limits.h>
#include <sys/types.h>
#include "cluster/cli_dir.h"
#include "cluster/cli_group.h"
#include "cluster/config_members.h"

enum { UP_ARGS = 16, UP_MASTERS = 9, UP_CHILDREN = 66 + UP_MASTERS, UP_SETS = 3 };

struct cli_up_child {
    char name[24], log[PATH_MAX], sets[UP_SETS][PATH_MAX + 64];
    char http[ENV_ADDR_MAX], http_set[ENV_ADDR_MAX + 24];
    const char *argv[UP_ARGS];
    pid_t pid;                                   /* 0: not running */
    int64_t started_ns, restart_at_ns, pause_ns; /* the pause before a restart doubles */
    long log_from;                               /* where this start begins in the log */
    bool is_mount, is_one_of;                    /* one of several masters */
    bool is_over, is_foreign;                    /* foreign: argv is run as it is, and is ready when
                                                    its ZooKeeper answers */
};

struct cli_up {
    const struct cli *cli;
    char dir[PATH_MAX / 2], config[PATH_MAX], self[PATH_MAX];
    struct cli_up_child child[UP_CHILDREN];
    int n;
    struct config_member member[JOURNAL_MEMBERS_MAX]; /* to be started, the first children */
    uint32_t n_members;                               /* 0: one master, without a group */
    bool makes;                                       /* their directories are to be made */
    char cluster[33];                                 /* for that */
    bool is_zk, has_server;                           /* has_server: a ZooKeeper of our own */
    uint16_t zk_port;
    char zk_dir[PATH_MAX]; /* its directory */
};

/* what a child said since it was started, at least the end of it, and what may help */
void cli_up_tail(const struct cli_up_child *k);
/* Which masters there are to be: as --masters and the configuration say, or as their journals do
 * where they have some.  CLI_OK or an exit code; nothing was changed. */
int cli_up_group(struct cli_up *u);
/* makes what is missing of a new group, as cli_up_group found */
int cli_up_group_make(struct cli_up *u);
/* a master's directory; of a ZooKeeper journal it is only locked */
const char *cli_up_group_dir(const struct cli_up *u, uint32_t id, char to[PATH_MAX]);
/* runs `tarn journal bootstrap ...`, whose output goes to the log of k; 0: it did */
int cli_up_bootstrap(struct cli_up *u, const struct cli_up_child *k, const char *const *argv);

/* cli_up_zk.c */
/* `tarn up --journal zk`: as cli_up_group, of masters with a ZooKeeper journal */
int cli_up_zk(struct cli_up *u);
/* the other kinds: does one of those lie here?  CLI_OK or an exit code */
int cli_up_zk_none(const struct cli_up *u);
void cli_up_zk_plan(struct cli_up *u, struct cli_up_child *k); /* its server's command line */
bool cli_up_zk_is_ready(const struct cli_up *u);
int cli_up_zk_make(struct cli_up *u); /* the journal, once its ZooKeeper answers */

#endif
