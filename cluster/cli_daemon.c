/* cluster/cli_daemon.c - `tarn master` and `tarn worker`: one process, one env, one server.
 *
 * Life of a daemon: open net (which locks the directory), open the server, announce readiness, run
 * until SIGTERM or SIGINT, stop the server within a deadline, close net within another.  A second
 * signal ends at once.  A server that fails (a journal that cannot be written, a port in use) ends
 * with status 1 and a line that says why. */
#include "cluster/cli_daemon.h"
#include "cluster/cli_dir.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "cluster/cli_group.h"
#include "cluster/cli_local.h"
#include "cluster/cli_touch.h"
#include "cluster/cli_zk.h"
#include "core/fmt.h"
#include "core/store.h"
#include "journal/log_format.h"

enum { DAEMON_POLL_MS = 20, DAEMON_POOL = 10 };
static const int64_t cli_daemon_hand_over_ns = 1000000000LL; /* of the time to stop */
static const int64_t cli_daemon_linger_ns = 200000000LL;
static const int64_t cli_daemon_stop_ns = 10000000000LL;

void cli_daemon_announce(const struct cli *c)
{
    int64_t fd;
    if (!cli_number(c, "ready-fd", -1, 0, 1 << 20, &fd) || fd < 0)
        return;
    if (write((int)fd, "ready\n", 6) == 6)
        close((int)fd);
}

static void cli_daemon_signal(uv_signal_t *s, int number)
{
    struct cli_daemon *d = s->data;
    (void)number;
    if (d->stopping)
        _exit(CLI_FAILED);
    d->stopping = true;
    cli_watch_ending(&d->watch);
    d->stop_at_ns = env_now_ns(net_env(d->net)) + cli_daemon_stop_ns;
    d->stop(d);
}

static void cli_daemon_tick(uv_timer_t *t)
{
    struct cli_daemon *d = t->data;
    int why = 0;
    if (d->stopping) {
        if (d->stopped || env_now_ns(net_env(d->net)) > d->stop_at_ns)
            net_stop(d->net);
        return;
    }
    enum cli_daemon_state s = d->state(d, &why);
    if (s == CLI_DAEMON_SERVING && !d->announced) {
        d->announced = true;
        cli_daemon_announce(d->cli);
        uv_timer_start(t, cli_daemon_tick, 200, 200);
    }
    if (s == CLI_DAEMON_STARTING && !d->said_waiting && !d->cli->quiet &&
        env_now_ns(net_env(d->net)) - d->opened_ns > 3000000000LL) {
        d->said_waiting = true;
        fprintf(stderr, "tarn %s: not serving yet: %s\n", d->cli->command->name, d->waits_for);
    }
    if (s == CLI_DAEMON_FAILED) {
        /* the journal is not where a master of this type has its lock */
        bool is_zk = config_zk_is(d->cli->config) && !strcmp(d->cli->command->name, "master");
        const char *dir = is_zk ? config_str(d->cli->config, CONFIG_JOURNAL_ZK_SHARED_DIR) : d->dir;
        d->code =
            cli_error(d->cli, CLI_FAILED, "cannot serve%s%s%s: %s (the log lines above say %s)",
                      dir ? " from " : "", is_zk ? "journal.zk.shared_dir " : "", dir ? dir : "",
                      why == E_CLUSTER ? "it is not this one's" : err_text(why),
                      why == E_CLUSTER ? "whose" : "where");
        net_stop(d->net);
    }
}

void cli_daemon_stopped(struct env_op *op)
{
    struct cli_daemon *d = container_of(op, struct cli_daemon, stop_op);
    d->stopped = true;
    net_stop(d->net);
}

/* the configured id; without one: of a master's directory that is still empty a random one, which
 * it is formatted with, else 0, which adopts what is there */
static void cli_daemon_cluster_id(const struct config *g, const char *master_dir, uint64_t *ret_hi,
                                  uint64_t *ret_lo)
{
    const char *id = config_str(g, CONFIG_CLUSTER_ID);
    char half[17] = {0}, meta[PATH_MAX];
    *ret_hi = *ret_lo = 0;
    if (*id) {
        memcpy(half, id, 16);
        *ret_hi = strtoull(half, NULL, 16);
        *ret_lo = strtoull(id + 16, NULL, 16);
    } else if (master_dir) {
        snprintf(meta, sizeof meta, "%s/journal.meta", master_dir);
        if (access(meta, F_OK) && errno == ENOENT && !cli_group_id_fresh(ret_hi, ret_lo))
            *ret_hi = *ret_lo = 0;
    }
}

static size_t cli_daemon_text(void *ctx, char *to, size_t cap)
{
    struct cli_daemon *d = ctx;
    return d->text && !d->stopped ? d->text(d, to, cap) : 0;
}

/* what tells this process from others of its kind */
static const char *cli_daemon_id(const struct cli *c, const char *node)
{
    return !strcmp(node, "master")   ? config_str(c->config, CONFIG_MASTER_LISTEN)
           : !strcmp(node, "worker") ? config_str(c->config, CONFIG_WORKER_LISTEN)
                                     : c->args[0];
}

int cli_daemon_open(struct cli_daemon *d, const struct cli *c, const char *node, const char *dir,
                    int64_t memory)
{
    struct net_config nc = {.dir = dir,
                            .pool_threads = DAEMON_POOL,
                            .node = node,
                            .held_max = config_net_share((uint64_t)memory),
                            .log_level = ENV_LOG_DEBUG, /* the log chooses */
                            .log = cli_log_line,
                            .log_ctx = &d->watch.log,
                            .spin_ns = strcmp(node, "master") != 0
                                           ? config_int(c->config, CONFIG_NET_SPIN)
                                           : 0, /* its answers wait for a disk */
                            .secret_file = config_str(c->config, CONFIG_CLUSTER_SECRET_FILE)};
    if (!strcmp(node, "master"))
        nc.formats = (struct net_formats){.log_min = LOG_VERSION,
                                          .log_max = LOG_VERSION,
                                          .image_min = STORE_VERSION_OLD,
                                          .image_max = STORE_VERSION};
    char why[512];
    cli_daemon_cluster_id(c->config, NULL, &nc.cluster_hi, &nc.cluster_lo);
    int code = cli_secret_ready(c);
    if (code)
        return code;
    d->cli = c;
    d->dir = dir;
    if (cli_watch_log(&d->watch, c->config, node, cli_daemon_id(c, node), why, sizeof why))
        return cli_error(c, CLI_FAILED, "%s", why);
    int err = net_open(&nc, &d->net);
    if (err)
        return cli_error(c, CLI_FAILED, "%s: %s", dir ? dir : "event loop", err_text(err));
    d->opened_ns = env_now_ns(net_env(d->net));
    mem_init(&d->mem, net_mem_source(), (uint64_t)memory - nc.held_max);
    if (!cli_watch_open(&d->watch, d->net, c->config, cli_daemon_text, d, why, sizeof why))
        return CLI_OK;
    d->code = cli_error(c, CLI_FAILED, "%s", why);
    cli_daemon_close(d);
    return d->code;
}

int cli_daemon_run(struct cli_daemon *d)
{
    static const int numbers[] = {SIGTERM, SIGINT};
    uv_signal_t signals[ARRAY_LEN(numbers)];
    uv_timer_t tick;
    uv_loop_t *loop = net_uv(d->net);
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        uv_signal_init(loop, &signals[i]);
        signals[i].data = d;
        uv_signal_start(&signals[i], cli_daemon_signal, numbers[i]);
    }
    uv_timer_init(loop, &tick);
    tick.data = d;
    uv_timer_start(&tick, cli_daemon_tick, DAEMON_POLL_MS, DAEMON_POLL_MS);
    net_run(d->net);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        uv_close((uv_handle_t *)&signals[i], NULL);
    uv_close((uv_handle_t *)&tick, NULL);
    uv_run(loop, UV_RUN_NOWAIT);
    return d->code;
}

void cli_daemon_close(struct cli_daemon *d)
{
    cli_ending(d->code); /* whatever counts is on disk by now */
    cli_watch_close(&d->watch);
    net_close(d->net);
    mem_drop(&d->mem);
    cli_log_close(&d->watch.log);
}

/* --- master --- */

/* The lock of the under-stores is the cluster's, for as long as we run.  A member that joins does
 * not know its cluster yet. */
static int cli_daemon_claim(struct cli_daemon *d, const struct cli *c, const struct cli_zk *zk)
{
    uint64_t hi = zk->cluster_hi, lo = zk->cluster_lo;
    if (config_zk_is(c->config))
        return hi | lo ? cli_group_claim(c, hi, lo) : CLI_OK;
    if (!cli_group_is(c->config))
        return cli_group_claim(c, 0, 0);
    if (cli_group_on_disk(d->net, &d->mem, &hi, &lo))
        return CLI_OK; /* the journal says what is wrong there, or it joins */
    return cli_group_claim(c, hi, lo);
}

/* --join is for an empty directory, and means nothing where a member is already */
static void cli_daemon_joins(struct cli_daemon *d, const struct cli *c)
{
    uint64_t hi, lo;
    if (cli_flag(c, "join") && !cli_group_on_disk(d->net, &d->mem, &hi, &lo))
        fmt_log(net_env(d->net), ENV_LOG_WARN,
                "master: --join: %s has a member's journal already, of cluster %016llx%016llx: it "
                "goes on with that, and joins nothing.",
                d->dir, (unsigned long long)hi, (unsigned long long)lo);
}

struct cli_daemon_master {
    struct cli_daemon d;
    struct master *master;
    struct cli_zk zk; /* elect NULL: another kind of journal */
    struct env_timer linger;
};

static enum cli_daemon_state cli_daemon_master_state(struct cli_daemon *d, int *ret_why)
{
    struct cli_daemon_master *m = container_of(d, struct cli_daemon_master, d);
    enum master_state s = master_state(m->master, ret_why);
    return s == MASTER_SERVING || s == MASTER_STANDBY ? CLI_DAEMON_SERVING
           : s == MASTER_FAILED                       ? CLI_DAEMON_FAILED
                                                      : CLI_DAEMON_STARTING;
}

static size_t cli_daemon_master_text(struct cli_daemon *d, char *to, size_t cap)
{
    struct cli_daemon_master *m = container_of(d, struct cli_daemon_master, d);
    return m->master ? master_status_text(m->master, to, cap) : 0;
}

static void cli_daemon_master_ended(struct env_op *op)
{
    struct cli_daemon *d = container_of(op, struct cli_daemon, stop_op);
    struct cli_daemon_master *m = container_of(d, struct cli_daemon_master, d);
    m->master = NULL;
    op->done = cli_daemon_stopped;
    cli_zk_stop(&m->zk, op);
}

static void cli_daemon_master_end(struct env_op *op)
{
    struct cli_daemon_master *m = container_of(op, struct cli_daemon_master, linger.op);
    m->d.stop_op.done = m->zk.elect ? cli_daemon_master_ended : cli_daemon_stopped;
    master_stop(m->master, &m->d.stop_op);
}

/* who asks here still is told for a moment who leads */
static void cli_daemon_handed_over(struct env_op *op)
{
    struct cli_daemon *d = container_of(op, struct cli_daemon, stop_op);
    struct cli_daemon_master *m = container_of(d, struct cli_daemon_master, d);
    struct env *e = net_env(d->net);
    m->linger.op.done = cli_daemon_master_end;
    if (!op->ret)
        fmt_log(e, ENV_LOG_INFO, "master: another one leads now, and this one ends");
    env_timer_set(e, &m->linger, env_now_ns(e) + (op->ret ? 0 : cli_daemon_linger_ns));
}

static void cli_daemon_master_stop(struct cli_daemon *d)
{
    struct cli_daemon_master *m = container_of(d, struct cli_daemon_master, d);
    d->stop_op.done = cli_daemon_handed_over;
    master_hand_over(m->master, cli_daemon_hand_over_ns, &d->stop_op);
}

/* a local directory is read as a start would read it; an empty one is a start's to fill */
static int cli_daemon_master_check(struct cli *c, const char *dir)
{
    int code = cli_touch(
        c, config_zk_is(c->config) ? config_str(c->config, CONFIG_JOURNAL_ZK_SHARED_DIR) : dir);
    if (code)
        return code;
    if (config_zk_is(c->config))
        return cli_zk_check(c);
    if (cli_dir_has_log(dir))
        return cli_verify.run(c);
    if (!strcmp(config_str(c->config, CONFIG_JOURNAL_TYPE), "raft"))
        return cli_error(c, CLI_FAILED,
                         "%s: there is no member's journal: `tarn journal bootstrap` makes it, or "
                         "`tarn master --join` waits to be added",
                         dir);
    if (!c->json)
        printf("ok: %s: there is no journal, and a start begins one\n", dir);
    return CLI_OK;
}

static int cli_daemon_master_run(struct cli *c)
{
    struct cli_daemon_master m = {.d = {.state = cli_daemon_master_state,
                                        .stop = cli_daemon_master_stop,
                                        .text = cli_daemon_master_text,
                                        .waits_for = "reading its journal"}};
    const struct config *g = c->config;
    const char *dir = config_str(g, CONFIG_MASTER_DIR);
    struct master_config mc = master_config_default();
    if (!*dir)
        return cli_error(c, CLI_CONFIG,
                         "master.dir is not set (--set master.dir=/path or in the configuration)");
    if (cli_flag(c, "check"))
        return cli_daemon_master_check(c, dir);
    if (config_zk_is(g))
        cli_touch_patiently(c, config_str(g, CONFIG_JOURNAL_ZK_SHARED_DIR));
    char why[CONFIG_ERROR_MAX];
    if (config_zk_alone(g, why, sizeof why))
        return cli_error(c, CLI_CONFIG, "%s", why);
    mc.journal = journal_config_default();
    int code = cli_group_journal(c, cli_flag(c, "join"), &mc.journal);
    if (code)
        return code;
    code = cli_daemon_open(&m.d, c, "master", dir, config_int(g, CONFIG_MASTER_MEMORY));
    if (code)
        return code;
    cli_daemon_joins(&m.d, c);
    code = config_zk_is(g) ? cli_zk_open(&m.zk, c, m.d.net, &m.d.mem, &mc.journal) : CLI_OK;
    if (!code)
        code = cli_daemon_claim(&m.d, c, &m.zk);
    if (code) {
        cli_daemon_close(&m.d);
        return code;
    }
    mc.listen = config_str(g, CONFIG_MASTER_LISTEN);
    mc.journal.dir = "";
    mc.journal.segment_bytes = (uint64_t)config_int(g, CONFIG_JOURNAL_SEGMENT);
    mc.journal.image_after_bytes = (uint64_t)config_int(g, CONFIG_JOURNAL_IMAGE_AFTER);
    cli_daemon_cluster_id(c->config, cli_group_is(g) || config_zk_is(g) ? NULL : dir,
                          &mc.journal.cluster_hi, &mc.journal.cluster_lo);
    mc.limits.inodes_max = (uint64_t)config_int(g, CONFIG_MASTER_INODES_MAX);
    mc.mounts = config_mounts(g, &mc.n_mounts);
    mc.ufs = ufs_dir_factory();
    mc.page_bytes = (uint64_t)config_int(g, CONFIG_CLUSTER_PAGE);
    mc.stripe_bytes = (uint64_t)config_int(g, CONFIG_CLUSTER_STRIPE);
    mc.lease_ns = config_int(g, CONFIG_MASTER_LEASE);
    mc.session_ns = config_int(g, CONFIG_MASTER_SESSION);
    mc.worker_beat_ns = config_int(g, CONFIG_MASTER_WORKER_BEAT);
    mc.requests_max = (uint32_t)config_int(g, CONFIG_MASTER_REQUESTS_MAX);
    int err = master_open(net_env(m.d.net), &m.d.mem, &mc, &m.master);
    code = err ? cli_error(c, CLI_FAILED, "%s", err_text(err)) : cli_daemon_run(&m.d);
    cli_daemon_close(&m.d);
    return code;
}

/* --- worker --- */

struct cli_daemon_worker {
    struct cli_daemon d;
    struct worker *worker;
    struct cli_local local;
};

static enum cli_daemon_state cli_daemon_worker_state(struct cli_daemon *d, int *ret_why)
{
    struct cli_daemon_worker *w = container_of(d, struct cli_daemon_worker, d);
    enum worker_state s = worker_state(w->worker, ret_why);
    return s == WORKER_SERVING  ? CLI_DAEMON_SERVING
           : s == WORKER_FAILED ? CLI_DAEMON_FAILED
                                : CLI_DAEMON_STARTING;
}

static size_t cli_daemon_worker_text(struct cli_daemon *d, char *to, size_t cap)
{
    struct cli_daemon_worker *w = container_of(d, struct cli_daemon_worker, d);
    return w->worker ? worker_status_text(w->worker, to, cap) : 0;
}

static void cli_daemon_worker_stop(struct cli_daemon *d)
{
    struct cli_daemon_worker *w = container_of(d, struct cli_daemon_worker, d);
    d->stop_op.done = cli_daemon_stopped;
    worker_stop(w->worker, &d->stop_op);
}

/* what the files of a directory, and of those in it, take on disk */
static uint64_t cli_daemon_used(int at, const char *dir, unsigned depth)
{
    int fd = openat(at, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct stat st;
    uint64_t bytes = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
            fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
            continue;
        bytes += S_ISREG(st.st_mode)                ? (uint64_t)st.st_blocks * 512
                 : S_ISDIR(st.st_mode) && depth < 4 ? cli_daemon_used(fd, e->d_name, depth + 1)
                                                    : 0;
    }
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    return bytes;
}

/* A cache that is meant to grow beyond its disk would fill it, and others' writes would fail. */
static void cli_daemon_room(const struct cli *c, const char *dir)
{
    struct statvfs s;
    char want[16], have[16];
    uint64_t capacity = (uint64_t)config_int(c->config, CONFIG_WORKER_CAPACITY);
    if (statvfs(dir, &s))
        return;
    uint64_t room = (uint64_t)s.f_bavail * s.f_frsize;
    if (room < capacity)
        room += cli_daemon_used(AT_FDCWD, dir, 0);
    if (room < capacity)
        fprintf(stderr,
                "tarn worker: worker.capacity is %s, but %s has room for %s only: the cache would "
                "fill that file system; set worker.capacity lower\n",
                cli_bytes(want, capacity), dir, cli_bytes(have, room));
}

static int cli_daemon_worker_run(struct cli *c)
{
    char waits_for[256];
    struct cli_daemon_worker w = {.d = {.state = cli_daemon_worker_state,
                                        .stop = cli_daemon_worker_stop,
                                        .text = cli_daemon_worker_text,
                                        .waits_for = waits_for}};
    const struct config *g = c->config;
    const char *dir = config_str(g, CONFIG_WORKER_DIR);
    struct worker_config wc = worker_config_default();
    char host[64] = "localhost", kernel[CLI_LOCAL_TEXT];
    if (!*dir)
        return cli_error(c, CLI_CONFIG,
                         "worker.dir is not set (--set worker.dir=/path or in the configuration)");
    int code = cli_daemon_open(&w.d, c, "worker", dir, config_int(g, CONFIG_WORKER_MEMORY));
    if (code)
        return code;
    cli_daemon_room(c, dir);
    gethostname(host, sizeof host - 1);
    wc.listen = config_str(g, CONFIG_WORKER_LISTEN);
    wc.host = host;
    cli_local_kernel(kernel);
    wc.kernel = kernel;
    wc.masters = config_masters(g);
    snprintf(waits_for, sizeof waits_for, "no master at %.200s has taken it in", wc.masters);
    wc.dir = "";
    wc.capacity_bytes = (uint64_t)config_int(g, CONFIG_WORKER_CAPACITY);
    wc.eviction = config_str(g, CONFIG_WORKER_EVICTION);
    wc.ufs = ufs_dir_factory();
    wc.fetches_max = (uint32_t)config_int(g, CONFIG_WORKER_FETCHES_MAX);
    wc.buffer_bytes = config_share(g, CONFIG_WORKER_BUFFER, CONFIG_WORKER_MEMORY, 4);
    if (config_int(g, CONFIG_WORKER_PASSTHROUGH) && !cli_local_open(&w.local, w.d.net, dir))
        wc.edge = &w.local.edge;
    wc.page_cache_bytes = config_share(g, CONFIG_WORKER_PAGE_CACHE, CONFIG_WORKER_MEMORY, 2);
    int err = worker_open(net_env(w.d.net), &w.d.mem, &wc, &w.worker);
    w.local.worker = w.worker;
    code = err ? cli_error(c, CLI_FAILED, "%s", err_text(err)) : cli_daemon_run(&w.d);
    cli_local_close(&w.local);
    cli_daemon_close(&w.d);
    return code;
}

#define CLI_DAEMON_READY                                                      \
    {                                                                         \
        "ready-fd", 0, "N", "write \"ready\" to this descriptor when serving" \
    }

const struct cli_command cli_daemon_master = {
    NULL,
    "master",
    "",
    "run a master: the namespace and its journal",
    "Serves until SIGTERM.  Needs master.dir; listens on master.listen.  The mounts of the\n"
    "configuration are added to the namespace when it begins to lead.  One of a group\n"
    "(journal.type raft) is a standby until it is elected; its directory was made by\n"
    "`tarn journal bootstrap`, or it joins.  With journal.type zk the journal is in\n"
    "journal.zk.shared_dir, made there by `tarn journal bootstrap`, and master.dir is only locked.",
    cli_daemon_master_run,
    0,
    0,
    {CLI_DAEMON_READY,
     {"join", 0, NULL, "with an empty directory: wait to be added to a cluster that runs"},
     {"check", 0, NULL,
      "start nothing: is what a start needs there?  zk: the shared storage and ZooKeeper; else the "
      "journal, read as a start reads it (`tarn journal verify`)"}}};

const struct cli_command cli_daemon_worker = {NULL,
                                              "worker",
                                              "",
                                              "run a worker: cached pages in a local directory",
                                              "Serves until SIGTERM.  Needs worker.dir; listens on "
                                              "worker.listen and reports to client.masters.",
                                              cli_daemon_worker_run,
                                              0,
                                              0,
                                              {CLI_DAEMON_READY}};
