/* cluster/cli_local.h - descriptors of a worker's whole files, passed to processes of this host.
 *
 * One datagram each way on an abstract Unix socket: u64 token; then i32 error, u32 0 with the
 * read-only descriptor (SCM_RIGHTS).  The token comes from RPC_LOCAL (cluster/worker_local.c), and
 * only root and the worker's own user are answered.  The address ends in the user that the worker
 * runs as, and comes over a connection that was proven: an answer of another user's process, which
 * took the name when the worker died, is not believed.  Why datagrams: there is no state to keep
 * for one who asks, and who holds what is known by the connection to the worker. */
#ifndef CLUSTER_CLI_LOCAL_H
#define CLUSTER_CLI_LOCAL_H

#include <limits.h>
#include "cluster/worker.h"
#include "net/net.h"

enum { CLI_LOCAL_TEXT = 80 };

struct cli_local {
    struct worker_edge edge;
    struct worker *worker; /* set it when it is there */
    uv_poll_t poll;
    int fd, dir_fd;
    char host[CLI_LOCAL_TEXT], address[CLI_LOCAL_TEXT];
};

/* what names the running kernel; "" where it cannot be told */
void cli_local_kernel(char to[CLI_LOCAL_TEXT]);
/* E_*: then there is no such edge, and the worker does without */
int cli_local_open(struct cli_local *l, struct net *n, const char *dir);
/* before the net is closed; no-op when it was not opened */
void cli_local_close(struct cli_local *l);
/* blocks for a second at most: the descriptor, or E_* */
int cli_local_fetch(const char *address, uint64_t token);

#endif
