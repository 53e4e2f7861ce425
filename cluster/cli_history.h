/* cluster/cli_history.h - a real client's history (cluster/client_history.h) in a file.
 *
 * A line is appended by one write(): several clients of one host may share a file, and the order of
 * its lines is the real time.
 *
 *  1. A line that cannot be written ends the history, and whoever looks at failed() is told.
 *  2. Numbers of processes differ from those of all other recorders with high probability. */
#ifndef CLUSTER_CLI_HISTORY_H
#define CLUSTER_CLI_HISTORY_H

#include "cluster/cli.h"
#include "cluster/client_history.h"

struct cli_history {
    struct client_history of;
    const char *path;
    int fd;
    bool failed;                              /* it ends before the client did */
    void (*say)(void *ctx, const char *text); /* gets a sentence then; NULL: standard error */
    void *ctx;
    uint64_t lines;
};

/* Opens or makes the file; say and ctx are set already.  0, or an errno. */
int cli_history_open(struct cli_history *h, const char *path, const char *by);
/* Of a command: a client of cc will be recorded in the file, unless path is "", and asks the
 * masters for everything.  CLI_OK, or an exit code (the error is printed) */
int cli_history_of(const struct cli *c, struct cli_history *h, const char *path,
                   struct client_config *cc);
/* false: it is not whole */
bool cli_history_close(struct cli_history *h);

#endif
