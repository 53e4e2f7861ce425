/* cluster/cli_watch.h - what every daemon has for those who run it: its log, health and metrics by
 * HTTP, the service manager's notifications, and the signals for them:
 *
 *   SIGUSR1  one level more of log      SIGUSR2  one level less
 *   SIGHUP   log.file is opened again; without one it means nothing to a process that a service
 *            manager runs, and ends another one, whose terminal has gone */
#ifndef CLUSTER_CLI_WATCH_H
#define CLUSTER_CLI_WATCH_H

#include "cluster/cli_log.h"
#include "cluster/config.h"
#include "cluster/http.h"
#include "net/net.h"

struct cli_watch {
    struct net *net;
    struct cli_log log;
    struct http *http;
    struct http_source source;
    size_t (*text)(void *ctx, char *to, size_t cap); /* the process's own; on the loop */
    void *ctx;
    struct env_timer tick;
    uv_signal_t signals[3];
    bool notifies, is_told_ready;
    int64_t watchdog_ns, fed_ns, extended_ns;
    char id[ENV_ADDR_MAX];
};

/* The log of a process of this role ("master"); before net_open, which needs it.  0, or E_* with a
 * sentence. */
int cli_watch_log(struct cli_watch *w, const struct config *g, const char *role, const char *id,
                  char *err_text, size_t cap) MUST_CHECK;
/* The rest.  text says what there is to say, at any time until cli_watch_close. */
int cli_watch_open(struct cli_watch *w, struct net *n, const struct config *g,
                   size_t (*text)(void *ctx, char *to, size_t cap), void *ctx, char *err_text,
                   size_t cap) MUST_CHECK;
/* SIGHUP is not the end */
bool cli_watch_keeps_hangup(const struct config *g);
/* the process is about to end */
void cli_watch_ending(struct cli_watch *w);
/* Nothing is asked any more; w must live on until net_close. */
void cli_watch_close(struct cli_watch *w);

#endif
