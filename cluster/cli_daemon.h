/* cluster/cli_daemon.h - what the daemons' commands share: net, memory, signals, readiness. */
#ifndef CLUSTER_CLI_DAEMON_H
#define CLUSTER_CLI_DAEMON_H

#include "cluster/cli_commands.h"
#include "cluster/cli_watch.h"
#include "cluster/master.h"
#include "cluster/ufs_dir.h"
#include "cluster/worker.h"
#include "net/net.h"

enum cli_daemon_state { CLI_DAEMON_STARTING, CLI_DAEMON_SERVING, CLI_DAEMON_FAILED };

struct cli_daemon {
    const struct cli *cli;
    struct net *net;
    const char *dir; /* its disk; NULL: none */
    struct mem mem;
    struct cli_watch watch;
    enum cli_daemon_state (*state)(struct cli_daemon *d, int *ret_why);
    size_t (*text)(struct cli_daemon *d, char *to, size_t cap); /* its status; until it stopped */
    void (*stop)(struct cli_daemon *d); /* must end in cli_daemon_stopped(&d->stop_op) */
    struct env_op stop_op;
    int64_t opened_ns, stop_at_ns;
    const char *waits_for; /* said once when serving takes long to begin */
    bool announced, said_waiting, stopping, stopped;
    int code;
};

/* net (with dir as its disk; NULL: none) and memory by the configuration; CLI_OK or an exit code */
int cli_daemon_open(struct cli_daemon *d, const struct cli *c, const char *node, const char *dir,
                    int64_t memory);
/* until a signal or a failure; the exit code */
int cli_daemon_run(struct cli_daemon *d);
void cli_daemon_stopped(struct env_op *op);
void cli_daemon_close(struct cli_daemon *d);
/* tells --ready-fd, if it was given */
void cli_daemon_announce(const struct cli *c);

#endif
