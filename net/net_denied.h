/* net/net_denied.h - which part of a path keeps this process's user out, and what to do about it:
 * "permission denied" alone does not say whose file it is. */
#ifndef NET_NET_DENIED_H
#define NET_NET_DENIED_H

#include <stdbool.h>
#include <stddef.h>

enum { NET_DENIED = 2048 };

/* May this user do `wants` (R_OK, W_OK, X_OK of unistd.h) with name, below the open directory
 * dir_fd, which is `root` for people?  Blocks.  true: something is in the way, and `to` says what,
 * whose it is, who we are and what to do.  What is not there is not in the way. */
bool net_denied(int dir_fd, const char *root, const char *name, int wants, char *to, size_t cap);

#endif
