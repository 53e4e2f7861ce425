/* fuse/fuse_mount.c - the life of one mount, from the options to the last answer.
 *
 *   options -> mount point -> client -> a master answers -> mount -> serve -> unmount -> client
 *   stops (every request under way is answered) -> invalidations stop -> session ends
 *
 * INVARIANTS
 *  1. Nothing is mounted before a master has answered: a mount that is there is one that works.
 *  2. Every step of the end is bounded in time; with the master dead, too.
 *  3. What this process mounted is gone when fuse_mount_run returns. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "cluster/rpc_text.h"
#include "core/fmt.h"
#include "fuse/fuse_loop.h"
#include "fuse/fuse_mount.h"
#include "fuse/fuse_point.h"

#define S INT64_C(1000000000)

struct fuse_mount {
    struct net *net;
    struct env *env;
    const struct fuse_mount_config *cfg;
    struct mem mem;
    struct fuse_options opts;
    struct fuse_ops ops;
    struct fuse_loop loop;
    struct fuse_point point; /* what we mounted */
    struct client *client;
    struct client_req probe;
    bool probed, stopped;
    struct env_op stop;
    char abs[LIMIT_PATH];
    char text[512];
};

struct fuse_mount_config fuse_mount_config_default(void)
{
    return (struct fuse_mount_config){.fsname = "tarn",
                                      .readahead_kb = 1024,
                                      .buffers = 64,
                                      .memory_bytes = UINT64_C(1) << 30,
                                      .start_timeout_ns = 30 * S,
                                      .ready_fd = -1};
}

static int mount_prepare(const struct fuse_mount_config *cfg, struct fuse_options *ret_opts,
                         char *ret_abs, bool is_cleaning, char *err_text_to, size_t cap)
{
    if (fuse_options_parse(cfg->options, ret_opts, err_text_to, cap))
        return FUSE_MOUNT_USAGE;
    if (!cfg->mountpoint || !*cfg->mountpoint) {
        fmt_into(err_text_to, cap, "no mount point given: name an empty directory");
        return FUSE_MOUNT_USAGE;
    }
    int err = fuse_point_resolve(cfg->mountpoint, ret_abs, LIMIT_PATH);
    if (err) {
        fmt_into(err_text_to, cap, "cannot use mount point %s: %s", cfg->mountpoint, err_text(err));
        return FUSE_MOUNT_FAILED;
    }
    ret_opts->no_passthrough |= cfg->no_passthrough;
    return fuse_point_check(ret_abs, ret_opts->nonempty, is_cleaning, err_text_to, cap);
}

int fuse_mount_check(const struct fuse_mount_config *cfg, char *err_text_to, size_t cap)
{
    struct fuse_options opts;
    char abs[LIMIT_PATH];
    return mount_prepare(cfg, &opts, abs, false, err_text_to, cap);
}

int fuse_mount_unmount(const char *mountpoint, bool lazy, char *err_text_to, size_t cap)
{
    struct fuse_point p;
    char abs[LIMIT_PATH];
    int err = fuse_point_resolve(mountpoint, abs, sizeof abs);
    if (!err && !fuse_point_find(abs, &p))
        err = E_INVAL;
    if (!err && strncmp(p.type, "fuse", 4)) {
        fmt_into(err_text_to, cap, "%s is no mount of tarn (its type is %s)", mountpoint, p.type);
        return E_PERM;
    }
    if (!err)
        err = fuse_point_unmount(abs, lazy);
    if (err)
        fmt_into(err_text_to, cap, "cannot unmount %s: %s", mountpoint,
                 err == E_INVAL  ? "nothing is mounted there"
                 : err == E_BUSY ? "it is in use; end what uses it, or detach it by -z"
                                 : err_text(err));
    return err;
}

static void mount_probed(struct env_op *op)
{
    container_of(op, struct fuse_mount, probe.op)->probed = true;
}

static void mount_stopped(struct env_op *op)
{
    container_of(op, struct fuse_mount, stop)->stopped = true;
}

static void mount_readahead(struct fuse_mount *m)
{
    uint32_t kb = m->cfg->readahead_kb;
    if (m->opts.readahead_kb >= 0)
        kb = (uint32_t)m->opts.readahead_kb;
    if (kb && !fuse_point_readahead(&m->point, kb))
        fmt_log(m->env, ENV_LOG_WARN,
                "cannot raise the read-ahead of %s: sequential reads will be slower; as root: echo "
                "%u > /sys/class/bdi/%u:%u/read_ahead_kb",
                m->abs, kb, m->point.major, m->point.minor);
}

static void mount_ready(struct fuse_loop *l)
{
    struct fuse_mount *m = container_of(l, struct fuse_mount, loop);
    if (fuse_point_find(m->abs, &m->point))
        mount_readahead(m);
    fmt_log(m->env, ENV_LOG_INFO, "mounted at %s", m->abs);
    if (m->cfg->on_ready)
        m->cfg->on_ready(m->cfg->ready_ctx, m->abs);
    if (m->cfg->ready_fd >= 0) {
        if (write(m->cfg->ready_fd, "ready", 5) != 5)
            fmt_log(m->env, ENV_LOG_DEBUG, "nobody waits for %s", m->abs);
        close(m->cfg->ready_fd);
    }
}

/* Asks for the root: a master answers, or there is nothing to mount. */
static int mount_probe(struct fuse_mount *m, const struct client_config *cc)
{
    m->probe.op.done = mount_probed;
    m->probe.fsop.kind = FSOP_GETATTR;
    m->probe.fsop.ino = INO_ROOT;
    m->probe.deadline_ns = env_now_ns(m->env) + m->cfg->start_timeout_ns;
    client_fs(m->client, &m->probe);
    int err = net_run_until(m->net, &m->probed, m->probe.deadline_ns + 5 * S);
    if (!err)
        err = (int)m->probe.op.ret;
    if (err >= 0)
        return FUSE_MOUNT_DONE;
    fmt_into(m->text, sizeof m->text,
             "no master answered at %s within %lld s (%s): is it running? see tarn status",
             cc->masters, (long long)(m->cfg->start_timeout_ns / S), err_text(err));
    return FUSE_MOUNT_NO_MASTER;
}

static void mount_serve(struct fuse_mount *m)
{
    int err = net_run_until(m->net, &m->loop.ended, INT64_MAX);
    if (err == E_CANCELLED && !m->loop.ended) { /* net_stop(): asked to end */
        fuse_loop_unmount(&m->loop);
        net_run_until(m->net, &m->loop.ended, env_now_ns(m->env) + 10 * S);
    }
    if (m->loop.lost)
        fmt_log(m->env, ENV_LOG_ERROR, "%s: the kernel's requests cannot be read: %s", m->abs,
                strerror(m->loop.lost));
}

/* false: something is stuck and may still look at m */
static bool mount_end(struct fuse_mount *m)
{
    bool is_clean = true;
    int64_t until = env_now_ns(m->env) + 10 * S;
    if (m->loop.net)
        fuse_loop_stop(&m->loop);
    fuse_ops_abort(&m->ops);
    fuse_ops_inval_stop(&m->ops);
    if (m->client) {
        m->stop.done = mount_stopped;
        client_stop(m->client, &m->stop);
        is_clean = !net_run_until(m->net, &m->stopped, until);
    }
    if (!m->ops.pass.is_quiet)
        is_clean = !net_run_until(m->net, &m->ops.pass.is_quiet, until) && is_clean;
    if (m->loop.is_unmounting && !m->loop.is_unmounted)
        net_run_until(m->net, &m->loop.is_unmounted, until);
    if (m->loop.net)
        is_clean = !net_run_until(m->net, &m->loop.is_closed, until) && is_clean;
    if (!fuse_inval_stop(&m->ops.inval))
        is_clean = false;
    if (m->ops.pass.opened)
        fmt_log(m->env, ENV_LOG_INFO,
                "%s: %llu opens were read by the kernel itself, of %llu asked", m->abs,
                (unsigned long long)m->ops.pass.opened, (unsigned long long)m->ops.pass.asked);
    struct fuse_point now;
    if (is_clean) {
        fuse_loop_drop(&m->loop);
        fuse_ops_drop(&m->ops);
    }
    if (m->loop.is_mounted && fuse_point_find(m->abs, &now) && now.minor == m->point.minor &&
        now.major == m->point.major && fuse_point_unmount(m->abs, true))
        fmt_log(m->env, ENV_LOG_WARN, "%s is still mounted: run fusermount3 -uz %s", m->abs,
                m->abs);
    return is_clean;
}

size_t fuse_mount_status_text(const struct fuse_mount *m, char *to, size_t cap)
{
    const struct fuse_ops *o = &m->ops;
    const struct {
        const char *key;
        uint64_t value;
    } all[] = {
        {"serving", m->loop.is_ready && !m->loop.ended},
        {"requests", o->stats.requests},
        {"requests_now", o->calls.count - o->calls.free_count},
        {"interrupted", o->stats.interrupted},
        {"buffers", o->n_buffers},
        {"buffers_free", o->n_free},
        {"buffer_waits", o->stats.buffer_waits},
        {"pauses", o->stats.pauses},
        {"invalidations", o->stats.invals},
        {"inodes", o->nodes.count},
        {"passthrough.asked", o->pass.asked},
        {"passthrough.refused", o->pass.refused},
        {"passthrough.opened", o->pass.opened},
        {"passthrough.files", o->pass.count},
    };
    struct rpc_text t = rpc_text_make(to, cap);
    rpc_text_line(&t, "mount.point %s", m->abs);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        rpc_text_line(&t, "mount.%s %llu", all[i].key, (unsigned long long)all[i].value);
    size_t n = rpc_text_end(&t);
    return cap - n >= 64 ? n + client_status_text(m->client, to + n, cap - n) : n;
}

int fuse_mount_run(struct net *n, const struct client_config *cc,
                   const struct fuse_mount_config *cfg)
{
    struct fuse_mount *m = calloc(1, sizeof *m);
    if (!m)
        return FUSE_MOUNT_FAILED;
    m->net = n;
    m->env = net_env(n);
    m->cfg = cfg;
    mem_init(&m->mem, net_mem_source(), cfg->memory_bytes);
    m->loop.on_ready = mount_ready;
    int code = mount_prepare(cfg, &m->opts, m->abs, true, m->text, sizeof m->text);
    if (code)
        goto out;
    code = FUSE_MOUNT_FAILED;
    int err = fuse_ops_init(&m->ops, m->env, &m->mem, &m->opts, cfg->buffers);
    if (!err)
        err = client_open(m->env, &m->mem, cc, &m->ops.host, &m->client);
    if (err) {
        fmt_into(m->text, sizeof m->text, "cannot start the client: %s", err_text(err));
        goto out;
    }
    m->ops.client = m->client;
    if (cfg->ret_mount)
        *cfg->ret_mount = m;
    code = mount_probe(m, cc);
    if (code)
        goto out;
    code = fuse_loop_mount(&m->loop, n, &m->ops, m->abs, cfg->fsname ? cfg->fsname : "tarn",
                           cfg->no_signals  ? 0
                           : cfg->no_hangup ? FUSE_LOOP_SIGNALS - 1
                                            : FUSE_LOOP_SIGNALS,
                           m->text, sizeof m->text);
    if (code)
        goto out;
    mount_serve(m);
    if (m->loop.lost)
        code = FUSE_MOUNT_FAILED;

out:
    if (cfg->ret_mount)
        *cfg->ret_mount = NULL;
    if (m->text[0])
        env_log(m->env, ENV_LOG_ERROR, m->text);
    if (m->ops.env && !mount_end(m)) {
        fmt_log(m->env, ENV_LOG_WARN, "%s: gave up waiting for requests under way", m->abs);
        return code; /* m is left to what is stuck */
    }
    if (code == FUSE_MOUNT_DONE)
        fmt_log(m->env, ENV_LOG_INFO, "unmounted %s", m->abs);
    mem_drop(&m->mem);
    free(m);
    return code;
}
