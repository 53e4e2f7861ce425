/* fuse/fuse_loop.c - one libuv loop reads /dev/fuse, processes and answers, without a hand-off to
 * another thread: waking one costs more than most requests.
 *
 * INVARIANTS
 *  1. A wake-up takes at most LOOP_BATCH requests, so that the network and timers have their turn;
 *     one, while they come one at a time: reading once more only to hear that there is none is a
 *     system call for each.  The device is level-triggered: nothing is missed.
 *  2. No request is read without room for it (fuse_ops_has_room): the kernel keeps the rest, and
 *     the device's end is still noticed.
 *  3. The loop never calls into its own mount: unmounting, which may write dirty pages back through
 *     us, runs in the pool; the mount's device number is read from /proc.
 *  4. The end of the mount, by whomever, ends the loop's work; a descriptor of an unmounted
 *     connection is not polled again.
 *
 * libfuse decodes requests and encodes answers.  The device is read here, at an offset in the
 * buffer that puts a write's payload on a page boundary, and the one answer that this libfuse
 * cannot give in full, INIT, is completed on its way out. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>
#include "core/fmt.h"
#include "fuse/fuse_loop.h"
#include "fuse/fuse_mount.h"
#include "fuse/fuse_point.h"

enum {
    LOOP_BATCH = 32,
    LOOP_SINGLES = 4, /* so many single requests, and the next are taken for such */
    LOOP_PROBE = 16,  /* ... but for one wake-up in so many */
    LOOP_WRITE_HEAD = sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in),
    LOOP_RECV_AT = FUSE_OPS_HEAD - LOOP_WRITE_HEAD,
};

/* Linux 6.6: a file that bypasses the page cache may still be mapped shared */
#define LOOP_DIRECT_IO_ALLOW_MMAP (UINT64_C(1) << 36)

/* Linux 6.9: backing files, and how many file systems may be stacked */
#define LOOP_PASSTHROUGH (UINT64_C(1) << 37)
enum { LOOP_STACK_DEPTH_AT = offsetof(struct fuse_init_out, flags2) + 4 };

static_assert(LOOP_RECV_AT % 8 == 0, "requests are read at an aligned address");

static const int loop_signals[FUSE_LOOP_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};

/* libfuse reports why a mount failed only as a log line */
static _Thread_local char loop_said[256];

static void loop_on_log(enum fuse_log_level level, const char *format, va_list args)
{
    (void)level;
    fmt_into_v(loop_said, sizeof loop_said, format, args);
    loop_said[strcspn(loop_said, "\n")] = '\0';
}

static struct fuse_loop *loop_of(struct fuse_ops *o)
{
    return o->loop;
}

static void loop_end(struct fuse_loop *l, int lost)
{
    if (l->ended)
        return;
    l->ended = true;
    l->lost = lost;
    uv_poll_stop(&l->poll);
}

/* What libfuse 3.14 does not know and the kernel offers is added to the answer to INIT. */
static ssize_t loop_writev(int fd, struct iovec *iov, int count, void *data)
{
    struct fuse_loop *l = loop_of(data);
    const struct fuse_out_header *h = iov[0].iov_base;
    if (!l->init_unique || h->unique != l->init_unique)
        return writev(fd, iov, count);
    l->init_unique = 0;
    struct fuse_init_out out;
    if (h->error || count < 2 || iov[1].iov_len != sizeof out)
        return writev(fd, iov, count);
    memcpy(&out, iov[1].iov_base, sizeof out);
    /* Set-user-id bits: we clear them when the kernel says so with a write, the master at a change
     * of owner or size.  Left to itself the kernel forgets about direct writes, has a stranger who
     * truncates do a chmod, and asks for security.capability before every write. */
    if (l->init_flags & FUSE_HANDLE_KILLPRIV_V2)
        out.flags |= FUSE_HANDLE_KILLPRIV_V2;
    if (l->init_flags & LOOP_DIRECT_IO_ALLOW_MMAP) {
        out.flags |= FUSE_INIT_EXT;
        out.flags2 |= (uint32_t)(LOOP_DIRECT_IO_ALLOW_MMAP >> 32);
    }
    if (l->init_flags & LOOP_PASSTHROUGH && !l->ops->opts.no_passthrough) {
        const uint32_t depth = 1;
        out.flags |= FUSE_INIT_EXT;
        out.flags2 |= (uint32_t)(LOOP_PASSTHROUGH >> 32);
        memcpy((char *)&out + LOOP_STACK_DEPTH_AT, &depth, sizeof depth);
        l->is_passing = true;
    }
    struct iovec two[2] = {iov[0], {&out, sizeof out}};
    return writev(fd, two, 2);
}

static ssize_t loop_read(int fd, void *buf, size_t n, void *data)
{
    (void)data;
    return read(fd, buf, n);
}

static void loop_note_init(struct fuse_loop *l, const char *mem, size_t n)
{
    const struct fuse_in_header *h = (const void *)mem;
    struct fuse_init_in in = {0};
    if (n < sizeof *h || h->opcode != FUSE_INIT)
        return;
    size_t body = n - sizeof *h;
    memcpy(&in, mem + sizeof *h, body < sizeof in ? body : sizeof in);
    l->init_unique = h->unique;
    l->init_flags = in.flags;
    if (in.flags & FUSE_INIT_EXT)
        l->init_flags |= (uint64_t)in.flags2 << 32;
}

/* The kernel may name an inode by an alias; from here on it has our number. */
static void loop_translate(struct fuse_loop *l, char *mem, size_t n)
{
    struct fuse_in_header *h = (void *)mem;
    const struct fuse_nodes *t = &l->ops->nodes;
    l->ops->req_node = h->nodeid;
    if (!t->n_aliases || n < sizeof *h)
        return;
    h->nodeid = fuse_node_real(t, h->nodeid).v;
    char *body = mem + sizeof *h, *end = mem + n;
    if (h->opcode == FUSE_LINK && n >= sizeof *h + sizeof(struct fuse_link_in)) {
        struct fuse_link_in *in = (void *)body;
        in->oldnodeid = fuse_node_real(t, in->oldnodeid).v;
    } else if (h->opcode == FUSE_BATCH_FORGET) {
        struct fuse_forget_one *one = (void *)(body + sizeof(struct fuse_batch_forget_in));
        for (; (char *)(one + 1) <= end; one++)
            one->nodeid = fuse_node_real(t, one->nodeid).v;
    }
}

/* Reads and processes one request; false when there is none now, or none any more. */
static bool loop_one(struct fuse_loop *l)
{
    char *at = l->ops->recv + LOOP_RECV_AT;
    ssize_t n = read(l->fd, at, FUSE_OPS_BUFFER - LOOP_RECV_AT);
    if (n < 0) {
        if (errno == EINTR || errno == ENOENT) /* ENOENT: it was interrupted before it was read */
            return true;
        if (errno != EAGAIN)
            loop_end(l, errno == ENODEV ? 0 : errno);
        return false;
    }
    bool was_init = l->ops->is_init;
    if (!was_init)
        loop_note_init(l, at, (size_t)n);
    loop_translate(l, at, (size_t)n);
    struct fuse_buf b = {.size = (size_t)n, .mem = at};
    fuse_session_process_buf(l->se, &b);
    fuse_ops_recv_next(l->ops);
    if (fuse_session_exited(l->se)) {
        if (!l->is_ready)
            fmt_log(l->env, ENV_LOG_ERROR, "%s: the kernel's FUSE and libfuse do not agree: %s",
                    l->mountpoint, loop_said);
        loop_end(l, l->is_ready ? 0 : EPROTO);
        return false;
    }
    if (!was_init && l->ops->is_init) {
        l->is_ready = true;
        fuse_pass_start(l->ops, l->fd, l->is_passing);
        if (l->on_ready)
            l->on_ready(l);
    }
    return !l->ended;
}

static void loop_readable(uv_poll_t *p, int status, int events);

static void loop_pause(struct fuse_loop *l, bool is_paused)
{
    if (l->is_paused == is_paused || l->ended)
        return;
    l->is_paused = is_paused;
    l->ops->stats.pauses += is_paused;
    uv_poll_start(&l->poll, is_paused ? UV_DISCONNECT : UV_READABLE | UV_DISCONNECT, loop_readable);
}

static void loop_on_room(struct fuse_ops *o)
{
    loop_pause(loop_of(o), false);
}

static void loop_readable(uv_poll_t *p, int status, int events)
{
    struct fuse_loop *l = p->data;
    (void)events;
    if (l->ended)
        return;
    if (status < 0 || events & UV_DISCONNECT) { /* POLLERR: the connection is over */
        loop_end(l, 0);
        return;
    }
    net_event(l->net);
    for (int i = 0; i < LOOP_BATCH; i++) {
        if (!fuse_ops_has_room(l->ops)) {
            loop_pause(l, true);
            return;
        }
        if (i == 1 && l->singles >= LOOP_SINGLES && ++l->singles % LOOP_PROBE)
            return;
        if (!loop_one(l)) {
            l->singles += i == 1;
            return;
        }
        if (i == 1)
            l->singles = 0;
    }
}

static void loop_unmount_work(struct env_op *op)
{
    struct fuse_loop *l = container_of(op, struct fuse_loop, unmount);
    op->ret = fuse_point_unmount(l->mountpoint, false);
    if (op->ret == E_BUSY && !fuse_point_unmount(l->mountpoint, true))
        op->ret = 1;
}

static void loop_unmount_done(struct env_op *op)
{
    struct fuse_loop *l = container_of(op, struct fuse_loop, unmount);
    l->is_unmounted = true;
    if (op->ret == 1)
        fmt_log(l->env, ENV_LOG_WARN,
                "%s was in use: detached, and what was open in it fails from now on",
                l->mountpoint);
    else if (op->ret < 0 && op->ret != E_INVAL && !l->ended)
        fmt_log(l->env, ENV_LOG_WARN, "cannot unmount %s (%s): run fusermount3 -uz %s",
                l->mountpoint, err_text((int)op->ret), l->mountpoint);
    loop_end(l, 0);
}

void fuse_loop_unmount(struct fuse_loop *l)
{
    if (l->is_unmounting) {
        loop_end(l, 0);
        return;
    }
    l->is_unmounting = true;
    l->unmount.done = loop_unmount_done;
    env_work(l->env, &l->unmount, loop_unmount_work);
}

static void loop_signal(uv_signal_t *s, int number)
{
    struct fuse_loop *l = s->data;
    fmt_log(l->env, ENV_LOG_INFO, "signal %d: unmounting %s", number, l->mountpoint);
    fuse_loop_unmount(l);
}

static int loop_session(struct fuse_loop *l, const char *fsname)
{
    const struct fuse_options *opts = &l->ops->opts;
    char name[2 * sizeof opts->fsname], text[sizeof name + sizeof opts->kernel + 128];
    size_t n = 0;
    for (const char *s = opts->fsname[0] ? opts->fsname : fsname; *s && n + 3 < sizeof name; s++) {
        if (*s == ',' || *s == '\\')
            name[n++] = '\\';
        name[n++] = *s;
    }
    name[n] = '\0';
    size_t used = fmt_into(text, sizeof text, "-ofsname=%s,subtype=tarn,default_permissions%s%s",
                           name, opts->kernel[0] ? "," : "", opts->kernel);
    if (opts->max_read)
        fmt_into(text + used, sizeof text - used, ",max_read=%u", opts->max_read);
    char program[] = "tarn";
    char *argv[] = {program, text, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(2, argv);
    l->se = fuse_session_new(&args, &fuse_ops_table, sizeof fuse_ops_table, l->ops);
    fuse_opt_free_args(&args);
    return l->se ? 0 : E_CONFIG;
}

static int loop_watch(struct fuse_loop *l, int n_signals)
{
    uv_loop_t *uv = net_uv(l->net);
    int err = uv_poll_init(uv, &l->poll, l->fd);
    if (err)
        return err;
    l->poll.data = l;
    l->handles++;
    err = uv_poll_start(&l->poll, UV_READABLE | UV_DISCONNECT, loop_readable);
    for (int i = 0; !err && i < n_signals; i++) {
        err = uv_signal_init(uv, &l->signals[i]);
        if (err)
            break;
        l->signals[i].data = l;
        l->handles++;
        err = uv_signal_start(&l->signals[i], loop_signal, loop_signals[i]);
    }
    return err;
}

int fuse_loop_mount(struct fuse_loop *l, struct net *n, struct fuse_ops *o, const char *abs,
                    const char *fsname, int n_signals, char *err_text, size_t cap)
{
    static const struct fuse_custom_io io = {.writev = loop_writev, .read = loop_read};
    void (*on_ready)(struct fuse_loop *) = l->on_ready;
    memset(l, 0, sizeof *l);
    l->on_ready = on_ready;
    l->net = n;
    l->env = net_env(n);
    l->ops = o;
    o->loop = l;
    o->on_room = loop_on_room;
    fmt_into(l->mountpoint, sizeof l->mountpoint, "%s", abs);
    fuse_set_log_func(loop_on_log);
    loop_said[0] = '\0';
    if (loop_session(l, fsname)) {
        fmt_into(err_text, cap, "libfuse refused the mount options: %s", loop_said);
        return FUSE_MOUNT_USAGE;
    }
    errno = 0;
    if (fuse_session_mount(l->se, abs)) {
        bool is_denied = errno == EPERM || errno == EACCES;
        fmt_into(err_text, cap, "cannot mount at %s: %s%s", abs,
                 loop_said[0] ? loop_said : "fusermount3 failed",
                 is_denied ? " (mounting needs root, a set-user-id fusermount3, or CAP_SYS_ADMIN "
                             "in a container)"
                           : "");
        return is_denied ? FUSE_MOUNT_NO_FUSE : FUSE_MOUNT_FAILED;
    }
    l->is_mounted = true;
    l->fd = fuse_session_fd(l->se);
    o->se = l->se;
    fcntl(l->fd, F_SETFD, FD_CLOEXEC);
    if (fuse_session_custom_io(l->se, &io, l->fd) ||
        fcntl(l->fd, F_SETFL, fcntl(l->fd, F_GETFL) | O_NONBLOCK) || loop_watch(l, n_signals) ||
        fuse_inval_start(&o->inval, l->se, l->mountpoint)) {
        fmt_into(err_text, cap, "cannot serve %s: %s", abs, strerror(errno));
        return FUSE_MOUNT_FAILED;
    }
    return FUSE_MOUNT_DONE;
}

static void loop_closed(uv_handle_t *h)
{
    struct fuse_loop *l = h->data;
    if (--l->handles == 0)
        l->is_closed = true;
}

void fuse_loop_stop(struct fuse_loop *l)
{
    l->ended = true;
    if (!l->handles) {
        l->is_closed = true;
        return;
    }
    uv_close((uv_handle_t *)&l->poll, loop_closed);
    unsigned open = l->handles - 1;
    for (unsigned i = 0; i < open; i++)
        uv_close((uv_handle_t *)&l->signals[i], loop_closed);
}

void fuse_loop_drop(struct fuse_loop *l)
{
    if (!l->se)
        return;
    /* does nothing where the kernel has let go already; fusermount3 could hit a mount below */
    if (l->is_mounted && (!l->is_unmounted || !geteuid()))
        fuse_session_unmount(l->se);
    fuse_session_destroy(l->se);
    l->se = NULL;
}
