/* cluster/cli_touch.h - the first touch of directories that somebody names: does the storage
 * answer?
 *
 * A call that waits for a server which is gone (NFS mounted hard, FUSE) may never end, and no
 * signal ends it.  So a child of ours makes the first ones, and is left where it hangs. */
#ifndef CLUSTER_CLI_TOUCH_H
#define CLUSTER_CLI_TOUCH_H

#include "cluster/cli.h"

enum { CLI_TOUCH_S = 10 };

/* What the command is about to use: as its row says (cli.h, touches).  Before it has threads.  What
 * is not there is fine.  CLI_OK, or says what does not answer. */
int cli_touch_all(const struct cli *c);
/* the same of one directory */
int cli_touch(const struct cli *c, const char *dir);
/* Waits until it answers, and says so now and then. */
void cli_touch_patiently(const struct cli *c, const char *dir);

#endif
