/* cluster/cli_notify.h - tells the service manager how it goes: sd_notify(3)'s protocol.
 *
 * A datagram of lines "NAME=value" to the Unix socket that $NOTIFY_SOCKET names; nothing without
 * it.  Never blocks: what does not fit the socket now is dropped, and false. */
#ifndef CLUSTER_CLI_NOTIFY_H
#define CLUSTER_CLI_NOTIFY_H

#include "core/base.h"

bool cli_notify(const char *text);
bool cli_notify_is_wanted(void);
/* how long the manager waits for WATCHDOG=1 from this process; 0: it does not */
int64_t cli_notify_watchdog_ns(void);

#endif
