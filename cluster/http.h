/* cluster/http.h - what watches a process asks it: /healthz, /readyz, /metrics by HTTP.
 *
 *   /healthz   200 while the event loop turns, else 503; nothing is asked of the loop
 *   /readyz    200 when the process can serve, else 503 with the reason; JSON
 *   /metrics   every number of the process in Prometheus' text format 0.0.4
 *
 * GET and HEAD; one answer a connection.  Nothing here changes anything, and there is no
 * authentication: addresses other than loopback need http.allow_remote. */
#ifndef CLUSTER_HTTP_H
#define CLUSTER_HTTP_H

#include "core/env.h"

/* What is served. */
struct http_source {
    /* on the loop: lines "key value\n" (cluster/rpc_text.h) of at most cap bytes; the length */
    size_t (*text)(struct http_source *s, char *to, size_t cap);
};

/* Zero means the default. */
struct http_config {
    const char *listen; /* "host:port"; port 0: any that is free */
    bool allow_non_loopback;
    struct env *env; /* the loop that is asked, and watched */
    struct http_source *source;
    int64_t stall_ns;      /* a loop that does not turn for so long hangs; default 3 s */
    int64_t wait_ns;       /* for the loop's numbers; default 2 s */
    unsigned conns_max;    /* at once; one more waits; default 16 */
    unsigned idle_seconds; /* a connection that is silent so long is closed; default 10 */
    unsigned most_seconds; /* and any that is so old, however busy; default 30 */
};

struct http;

/* On the loop's thread.  E_ADDRINUSE, E_ACCES, E_INVAL, ... with a sentence in err_text. */
int http_open(const struct http_config *cfg, struct http **ret_h, char *err_text,
              size_t cap) MUST_CHECK;
uint16_t http_port(const struct http *h);
/* From the loop's thread.  Ends every answer under way; true: h is gone.  false: a question still
 * waits in the loop: run it until http_is_quiet(), then call http_close() again. */
bool http_close(struct http *h);
bool http_is_quiet(const struct http *h);

/* From any thread: by a status text, can the process serve?  *json gets the answer to /readyz. */
bool http_ready(const char *text, char *json, size_t cap);
/* The value of a key of a status text, up to the end of its line, copied; false: not there. */
bool http_ready_value(const char *text, const char *key, char *to, size_t cap);

#endif
