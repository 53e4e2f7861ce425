/* cluster/cli_log.h - a daemon's log: where lines go, how they look, which are kept.
 *
 *   text   2026-11-21 22:33:07.123 info  worker 127.0.0.1:7710: line          (local time)
 *   json   {"time": "2026-11-21T22:33:07.123Z", "level": "info", "role": "worker",
 *           "id": "127.0.0.1:7710", "pid": 42, "message": "line"}             (one object a line)
 *
 * To standard error, or to log.file, which is opened again when asked (logrotate).  Lines of one
 * shape (the same but for numbers) that come too often are held back, and counted. */
#ifndef CLUSTER_CLI_LOG_H
#define CLUSTER_CLI_LOG_H

#include <pthread.h>
#include <stdatomic.h>
#include "cluster/rpc_text.h"
#include "core/env.h"

enum { CLI_LOG_SHAPES = 64, CLI_LOG_SAMPLE = 160 };

struct cli_log_config {
    const char *role, *id; /* must live as long as the log */
    enum env_log level;
    const char *file; /* NULL or "": standard error */
    bool is_json;
};

struct cli_log_shape {
    uint64_t hash; /* 0: free */
    int64_t since_ns;
    uint32_t n, held;
    enum env_log level;
    char sample[CLI_LOG_SAMPLE]; /* the last one held back */
};

/* Which lines are held back: pure, by the time it is given. */
struct cli_log_limit {
    struct cli_log_shape shapes[CLI_LOG_SHAPES];
    int64_t since_ns;
    uint32_t n;
};

struct cli_log {
    struct cli_log_config cfg;
    atomic_int level;
    int fd;
    pthread_mutex_t lock; /* of limit alone; never held over a write */
    struct cli_log_limit limit;
    atomic_ullong lines, errors, warnings, held, lost;
};

/* 0, or E_* with a sentence in err_text */
int cli_log_open(struct cli_log *l, const struct cli_log_config *cfg, char *err_text,
                 size_t cap) MUST_CHECK;
void cli_log_close(struct cli_log *l);
/* one line, from any thread; ctx is the log: what net_config.log wants */
void cli_log_line(void *ctx, enum env_log level, const char *node, const char *line);
PRINTF_LIKE(3, 4) void cli_log_say(struct cli_log *l, enum env_log level, const char *format, ...);
/* log.file by its name again; if that fails, the old one stays and says why */
void cli_log_reopen(struct cli_log *l);
/* by: 1 for more lines, -1 for fewer; says so */
void cli_log_louder(struct cli_log *l, int by);
/* now and then: tells of what was held back */
void cli_log_tick(struct cli_log *l);
void cli_log_text(struct cli_log *l, struct rpc_text *t);

/* May this line be written at now_ns? */
bool cli_log_may(struct cli_log_limit *m, enum env_log level, const char *line, int64_t now_ns);
/* A shape that was held back and whose time is over; false: none.  Call it until then. */
bool cli_log_over(struct cli_log_limit *m, int64_t now_ns, struct cli_log_shape *ret_s);
/* one line as it is written, its end included; the length */
size_t cli_log_format(const struct cli_log_config *cfg, enum env_log level, int64_t wall_ns,
                      const char *line, char *to, size_t cap);

#endif
