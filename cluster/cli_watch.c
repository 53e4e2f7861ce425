/* cluster/cli_watch.c - see cli_watch.h.
 *
 * INVARIANTS
 *  1. The service manager hears READY=1 once, when /readyz would answer 200; until then it is told
 *     to go on waiting, but only while the loop turns.
 *  2. WATCHDOG=1 is sent from the loop and from nowhere else: a loop that hangs is not fed. */
#include "cluster/cli_watch.h"
#include <signal.h>
#include <stdlib.h>
#include "cluster/cli_notify.h"
#include "core/fmt.h"

enum { WATCH_TEXT = 256 << 10 };
static const int64_t WATCH_TICK_NS = 1000000000LL, WATCH_START_NS = 200000000LL;
static const int64_t WATCH_EXTEND_NS = 5000000000LL;
static const char watch_extend[] = "EXTEND_TIMEOUT_USEC=30000000\nSTATUS=starting: %s\n";

static void cli_watch_net(struct net *n, struct rpc_text *t)
{
    struct net_stats s;
    net_stats(n, &s);
    const struct {
        const char *key;
        uint64_t v;
    } rows[] = {
        {"turns", s.turns},
        {"reads", s.reads},
        {"writes", s.writes},
        {"frames_in", s.frames_in},
        {"frames_out", s.frames_out},
        {"rma_in", s.rma_in},
        {"rma_out", s.rma_out},
        {"bytes_in", s.bytes_in},
        {"bytes_out", s.bytes_out},
        {"bytes_dropped", s.bytes_dropped},
        {"accepted", s.accepted},
        {"connected", s.connected},
        {"closed", s.closed},
        {"conns", s.conns},
        {"bad_frames", s.bad_frames},
        {"bad_hellos", s.bad_hellos},
        {"unauthorised", s.unauthorised},
        {"disk_ops", s.disk_ops},
        {"disk_submits", s.disk_submits},
        {"spins", s.spins},
        {"spins_hit", s.spins_hit},
        {"uring", s.uring},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        rpc_text_line(t, "net.%s %llu", rows[i].key, (unsigned long long)rows[i].v);
}

/* the process's own lines first: they tell its kind */
static size_t cli_watch_text(struct http_source *s, char *to, size_t cap)
{
    struct cli_watch *w = container_of(s, struct cli_watch, source);
    size_t n = w->text(w->ctx, to, cap);
    if (cap - n < 64)
        return n;
    struct rpc_text t = rpc_text_make(to + n, cap - n);
    cli_watch_net(w->net, &t);
    cli_log_text(&w->log, &t);
    return n + rpc_text_end(&t);
}

static void cli_watch_ready(struct cli_watch *w, int64_t now)
{
    char json[1024], line[1200];
    char *text = malloc(WATCH_TEXT);
    if (!text)
        return;
    text[w->text(w->ctx, text, WATCH_TEXT - 1)] = 0;
    bool ready = http_ready(text, json, sizeof json);
    free(text);
    const char *reason = strstr(json, "\"reason\": \"");
    if (ready) {
        w->is_told_ready = cli_notify("READY=1\nSTATUS=serving\n");
    } else if (now - w->extended_ns >= WATCH_EXTEND_NS) {
        reason = reason ? reason + 11 : "";
        fmt_into(line, sizeof line, "%.*s", (int)strcspn(reason, "\""), reason);
        fmt_into(json, sizeof json, watch_extend, line);
        w->extended_ns = now;
        cli_notify(json);
    }
}

static void cli_watch_ticked(struct env_op *op)
{
    struct cli_watch *w = container_of(op, struct cli_watch, tick.op);
    struct env *e = net_env(w->net);
    int64_t now = env_now_ns(e);
    bool starts = w->notifies && !w->is_told_ready;
    cli_log_tick(&w->log);
    if (starts)
        cli_watch_ready(w, now);
    if (w->watchdog_ns && now - w->fed_ns >= w->watchdog_ns / 4) {
        w->fed_ns = now;
        cli_notify("WATCHDOG=1\n");
    }
    int64_t every = starts ? WATCH_START_NS : WATCH_TICK_NS;
    if (w->watchdog_ns && every > w->watchdog_ns / 4)
        every = w->watchdog_ns / 4;
    env_timer_set(e, &w->tick, now + every);
}

static void cli_watch_signal(uv_signal_t *s, int number)
{
    struct cli_watch *w = s->data;
    if (number == SIGHUP)
        cli_log_reopen(&w->log);
    else
        cli_log_louder(&w->log, number == SIGUSR1 ? 1 : -1);
}

int cli_watch_log(struct cli_watch *w, const struct config *g, const char *role, const char *id,
                  char *err_to, size_t cap)
{
    fmt_into(w->id, sizeof w->id, "%s", id);
    struct cli_log_config lc = {.role = role,
                                .id = w->id,
                                .level = (enum env_log)config_int(g, CONFIG_LOG_LEVEL),
                                .file = config_str(g, CONFIG_LOG_FILE),
                                .is_json = config_int(g, CONFIG_LOG_FORMAT) == 1};
    return cli_log_open(&w->log, &lc, err_to, cap);
}

bool cli_watch_keeps_hangup(const struct config *g)
{
    return *config_str(g, CONFIG_LOG_FILE) || cli_notify_is_wanted();
}

static enum config_id cli_watch_key(const char *role)
{
    return !strcmp(role, "master")   ? CONFIG_MASTER_HTTP
           : !strcmp(role, "worker") ? CONFIG_WORKER_HTTP
                                     : CONFIG_MOUNT_HTTP;
}

int cli_watch_open(struct cli_watch *w, struct net *n, const struct config *g,
                   size_t (*text)(void *ctx, char *to, size_t cap), void *ctx, char *err_to,
                   size_t cap)
{
    static const int numbers[] = {SIGUSR1, SIGUSR2, SIGHUP};
    size_t n_signals = ARRAY_LEN(numbers) - !cli_watch_keeps_hangup(g);
    const char *listen = config_str(g, cli_watch_key(w->log.cfg.role));
    w->net = n;
    w->text = text;
    w->ctx = ctx;
    w->source.text = cli_watch_text;
    struct http_config hc = {.listen = listen,
                             .allow_non_loopback = config_int(g, CONFIG_HTTP_ALLOW_REMOTE) != 0,
                             .env = net_env(n),
                             .source = &w->source};
    int err = *listen ? http_open(&hc, &w->http, err_to, cap) : 0;
    if (err)
        return err;
    if (w->http)
        cli_log_say(&w->log, ENV_LOG_INFO, "health and metrics: http://%.*s:%u/",
                    (int)(strrchr(listen, ':') - listen), listen, (unsigned)http_port(w->http));
    for (size_t i = 0; i < n_signals; i++) {
        uv_signal_init(net_uv(n), &w->signals[i]);
        w->signals[i].data = w;
        uv_signal_start(&w->signals[i], cli_watch_signal, numbers[i]);
    }
    w->notifies = cli_notify_is_wanted();
    w->watchdog_ns = cli_notify_watchdog_ns();
    w->tick.op.done = cli_watch_ticked;
    env_timer_set(net_env(n), &w->tick, env_now_ns(net_env(n)) + WATCH_START_NS);
    return 0;
}

void cli_watch_ending(struct cli_watch *w)
{
    if (w->notifies)
        cli_notify("STOPPING=1\nSTATUS=stopping\n");
}

void cli_watch_close(struct cli_watch *w)
{
    if (!w->net)
        return;
    env_timer_stop(net_env(w->net), &w->tick);
    cli_log_tick(&w->log);
    while (w->http && !http_close(w->http)) { /* a question waits in the loop */
        bool never = false;
        net_run_until(w->net, &never, env_now_ns(net_env(w->net)) + 10000000);
    }
    w->http = NULL;
}
