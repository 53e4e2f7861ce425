/* net/net_errno.h - the one mapping between errno and E_*. */
#ifndef NET_NET_ERRNO_H
#define NET_NET_ERRNO_H

#include "core/err.h"

/* sys: an errno value, positive or negative (libuv and the kernel negate it); 0 is 0.  What has no
 * E_* of its own becomes E_IO. */
int net_errno_to_err(int sys);
/* a positive errno for the kernel or a C caller; 0 for 0 and for counts (err > 0) */
int net_errno_from_err(int err);

#endif
