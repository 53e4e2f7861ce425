/* cluster/rpc_text.h - what a process has to say of itself, as lines "key value\n": the body of
 * RPC_STATUS and RPC_WORKER_STATUS, and what /metrics is made of (cluster/http_metrics.c).
 *
 * Keys are dotted, without spaces, and never change their meaning; new ones may appear.  A text
 * that does not fit is cut at a whole line and then ends with "truncated 1". */
#ifndef CLUSTER_RPC_TEXT_H
#define CLUSTER_RPC_TEXT_H

#include <stdarg.h>
#include "core/base.h"

struct rpc_host;

struct rpc_text {
    char *p;
    size_t len, cap;
    bool is_full;
};

/* cap: at least 64 */
struct rpc_text rpc_text_make(char *p, size_t cap);
/* one line, without its end */
void rpc_text_line(struct rpc_text *t, const char *format, ...) PRINTF_LIKE(2, 3);
void rpc_text_u64(struct rpc_text *t, const char *key, uint64_t v);
/* the length of the whole */
size_t rpc_text_end(struct rpc_text *t);

/* Calls by method, those that came in and those that were made:
 *   rpc.in.fs.calls 12      rpc.in.fs.errors 1      rpc.in.fs.bytes_in 3400 ...
 *   rpc.in.fs.time 12 sum 345000 100000:3 300000:9 ...    ns; how many took at most so long */
void rpc_text_calls(struct rpc_text *t, const struct rpc_host *h);

#endif
