/* net/net_disk.c - disk operations: reads, writes and syncs through io_uring where the kernel
 * allows, all else as jobs on libuv's pool.
 *
 * A turn's operations are queued and given to the kernel by one call in prepare, which does at once
 * what is in the page cache: that is taken right there.  For the rest the ring's own descriptor
 * tells the loop that completions are there (no eventfd: one read less a turn).
 *
 * Invariants:
 *  1. At most NET_DISK_DEPTH operations are in the ring, so its completion queue cannot overflow;
 *     more wait in order.
 *  2. An operation that the kernel did in part goes back for the rest; it completes whole, with an
 *     error, or (a read) at the end of the file.
 *  3. The op's own words hold all of its state: nothing is allocated.
 *  4. Nothing far is done at once, a thread of the kernel's does it: some file systems (FUSE) wait
 *     for their server though they were told not to, and with them would wait this loop, its
 *     timers, and every deadline.
 *
 * Why not everything through the ring: opens, renames and the like are rare and need several calls
 * each (parents, directory syncs); io_uring would run them on kernel threads anyhow. */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <unistd.h>
#include "net/net_impl.h"

enum { NET_DISK_DEPTH = 256 };

/* words of op->impl */
enum { NET_DISK_FILE, NET_DISK_MEM, NET_DISK_LEN, NET_DISK_OFF, NET_DISK_DONE, NET_DISK_KIND };

struct net_uring {
    struct io_uring ring;
    uv_poll_t poll;
    struct list wait;
    uint32_t in_ring, not_submitted;
};

static void net_disk_queue(struct net *net, struct env_op *op);

/* ---- the ring ---- */

static void net_disk_prep(struct io_uring_sqe *sqe, struct env_op *op)
{
    struct net_file *f = (struct net_file *)(uintptr_t)op->impl[NET_DISK_FILE];
    uint64_t done = op->impl[NET_DISK_DONE];
    void *mem = (void *)(uintptr_t)(op->impl[NET_DISK_MEM] + done);
    unsigned len = (unsigned)(op->impl[NET_DISK_LEN] - done);
    uint64_t off = op->impl[NET_DISK_OFF] + done;
    switch (op->impl[NET_DISK_KIND]) {
    case IORING_OP_READ:
        io_uring_prep_read(sqe, f->read_fd, mem, len, off);
        break;
    case IORING_OP_WRITE:
        io_uring_prep_write(sqe, f->fd, mem, len, off);
        break;
    case IORING_OP_CLOSE:
        io_uring_prep_close(sqe, f->fd);
        break;
    default:
        io_uring_prep_fsync(sqe, f->fd, IORING_FSYNC_DATASYNC);
    }
    if (f->far)
        io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
    io_uring_sqe_set_data(sqe, op);
}

static void net_disk_queue(struct net *net, struct env_op *op)
{
    struct net_uring *u = net->uring;
    struct io_uring_sqe *sqe = u->in_ring < NET_DISK_DEPTH ? io_uring_get_sqe(&u->ring) : NULL;
    if (!sqe) {
        list_push_back(&u->wait, &op->link);
        return;
    }
    net_disk_prep(sqe, op);
    u->in_ring++;
    u->not_submitted++;
    net->stats.disk_ops++;
}

bool net_disk_flush(struct net *net)
{
    struct net_uring *u = net->uring;
    if (!u)
        return false;
    for (;;) {
        while (u->in_ring < NET_DISK_DEPTH && io_uring_sq_space_left(&u->ring) &&
               !list_empty(&u->wait))
            net_disk_queue(net, list_entry(list_pop(&u->wait), struct env_op, link));
        if (!u->not_submitted)
            return false;
        int n = io_uring_submit(&u->ring);
        net->stats.disk_submits++;
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return true; /* EAGAIN, EBUSY: the kernel wants completions taken first */
        u->not_submitted -= (uint32_t)n;
    }
}

/* res is what the kernel said of the last piece; false when the rest was sent on its way */
static bool net_disk_ended(struct net *net, struct env_op *op, int res)
{
    uint64_t kind = op->impl[NET_DISK_KIND], len = op->impl[NET_DISK_LEN];
    struct net_file *f = (struct net_file *)(uintptr_t)op->impl[NET_DISK_FILE];
    if (kind == IORING_OP_CLOSE) { /* the descriptor is gone, whatever the kernel says */
        list_remove(&f->link);
        net_file_close_read(f);
        free(f);
        op->ret = res < 0 && res != -EINTR ? net_errno_to_err(res) : 0;
        return true;
    }
    if (res == -EINTR || res == -EAGAIN) {
        net_disk_queue(net, op);
        return false;
    }
    if (res < 0) {
        bool part = res == -EINVAL && op->impl[NET_DISK_DONE];
        op->ret = part ? E_IO : net_errno_to_err(res);
        return true;
    }
    op->impl[NET_DISK_DONE] += (uint64_t)res;
    uint64_t done = op->impl[NET_DISK_DONE];
    op->ret = (int64_t)done;
    if (kind == IORING_OP_FSYNC || done == len)
        return true;
    if (kind == IORING_OP_WRITE && !res) {
        op->ret = E_NOSPC;
        return true;
    }
    if (kind == IORING_OP_READ && (!res || (f->direct && done % ENV_DIRECT_ALIGN)))
        return true; /* the end of the file */
    net_disk_queue(net, op);
    return false;
}

bool net_disk_reap(struct net *net)
{
    struct net_uring *u = net->uring;
    struct io_uring_cqe *cqe;
    bool any = false;
    while (u && u->in_ring && !io_uring_peek_cqe(&u->ring, &cqe)) {
        any = true;
        struct env_op *op = io_uring_cqe_get_data(cqe);
        int res = cqe->res;
        io_uring_cqe_seen(&u->ring, cqe);
        u->in_ring--;
        if (net_disk_ended(net, op, res))
            op->done(op);
    }
    return any;
}

static void net_disk_on_poll(uv_poll_t *h, int status, int events)
{
    (void)status;
    (void)events;
    net_disk_reap(h->data);
}

static int net_disk_ring(struct net *net)
{
    struct net_uring *u = net_loop_alloc(sizeof *u);
    int rc = io_uring_queue_init(NET_DISK_DEPTH, &u->ring, 0);
    if (rc) {
        free(u);
        return net_errno_to_err(rc);
    }
    struct io_uring_probe *probe = io_uring_get_probe_ring(&u->ring);
    bool able = probe && io_uring_opcode_supported(probe, IORING_OP_READ) &&
                io_uring_opcode_supported(probe, IORING_OP_WRITE) &&
                io_uring_opcode_supported(probe, IORING_OP_FSYNC) &&
                io_uring_opcode_supported(probe, IORING_OP_CLOSE);
    io_uring_free_probe(probe);
    if (!able || uv_poll_init(&net->loop, &u->poll, u->ring.ring_fd)) {
        io_uring_queue_exit(&u->ring);
        free(u);
        return E_NOTSUP;
    }
    list_init(&u->wait);
    u->poll.data = net;
    uv_poll_start(&u->poll, UV_READABLE, net_disk_on_poll);
    net->uring = u;
    return 0;
}

static void net_disk_place(struct net_place *p, int fd, const char *dir)
{
    p->dir_fd = fd;
    p->name = strdup(dir);
    ASSERT(p->name);
    p->env.disk = p->name;
}

int net_shared_open(struct net *net, const char *dir, struct env **ret_env)
{
    int fd = net_file_root(net, dir, false);
    if (fd < 0)
        return fd;
    struct net_place *p = net_loop_alloc(sizeof *p);
    p->env.vt = net->env.vt;
    p->net = net;
    net_disk_place(p, fd, dir);
    list_push_back(&net->shared, &p->link);
    *ret_env = &p->env;
    return 0;
}

void net_disk_close_places(struct net *net)
{
    struct list *l;
    while ((l = list_pop(&net->shared))) {
        struct net_place *p = list_entry(l, struct net_place, link);
        close(p->dir_fd);
        free(p->name);
        free(p);
    }
    if (net->own.dir_fd >= 0)
        close(net->own.dir_fd);
    free(net->own.name);
}

int net_disk_open(struct net *net)
{
    if (!net->config.dir)
        return 0;
    int fd = net_file_root(net, net->config.dir, true);
    if (fd < 0)
        return fd;
    net_disk_place(&net->own, fd, net->config.dir);
    if (net->config.disk == NET_DISK_POOL)
        return 0;
    int err = net_disk_ring(net);
    if (!err)
        return 0;
    if (net->config.disk == NET_DISK_URING) {
        fmt_log(&net->env, ENV_LOG_ERROR,
                "net: io_uring is not available (%s): allow it (sysctl kernel.io_uring_disabled, "
                "container policy) or choose the pool",
                err_text(err));
        return E_NOTSUP;
    }
    fmt_log(&net->env, ENV_LOG_INFO, "net: io_uring is not available (%s): disk by the pool",
            err_text(err));
    return 0;
}

static void net_disk_freed(uv_handle_t *h)
{
    free(container_of(h, struct net_uring, poll));
}

void net_disk_close(struct net *net)
{
    struct net_uring *u = net->uring;
    if (!u)
        return;
    /* the kernel may still write into buffers that their owners free next */
    list_init(&u->wait);
    while (u->in_ring) {
        struct io_uring_cqe *cqe;
        int rc = io_uring_submit_and_wait(&u->ring, 1);
        if (rc < 0 && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY)
            break;
        while (!io_uring_peek_cqe(&u->ring, &cqe)) {
            struct env_op *op = io_uring_cqe_get_data(cqe);
            if (op->impl[NET_DISK_KIND] == IORING_OP_CLOSE)
                net_disk_ended(net, op, cqe->res);
            io_uring_cqe_seen(&u->ring, cqe);
            u->in_ring--;
        }
    }
    net->uring = NULL;
    uv_close((uv_handle_t *)&u->poll, net_disk_freed);
    io_uring_queue_exit(&u->ring);
}

/* ---- submits ---- */

static struct net_job *net_disk_job(struct net *net, struct env_op *op,
                                    int64_t (*run)(struct net_job *job))
{
    struct net_job *job = net_loop_job(net, op);
    job->run = run;
    job->place = NULL;
    job->mem = NULL;
    job->off = job->len = 0;
    return job;
}

/* a read, write or sync of f, either way */
static void net_disk_io(struct env_file *file, unsigned kind, void *mem, uint32_t len, uint64_t off,
                        struct env_op *op)
{
    struct net_file *f = (struct net_file *)file;
    if (f->direct && ((uintptr_t)mem | len | off) % ENV_DIRECT_ALIGN) {
        net_loop_later(f->net, op, E_INVAL);
        return;
    }
    if (off > (uint64_t)INT64_MAX - len) {
        net_loop_later(f->net, op, E_FBIG);
        return;
    }
    if (f->net->uring && !(kind == IORING_OP_FSYNC && atomic_load(&f->name_unsynced))) {
        op->impl[NET_DISK_FILE] = (uint64_t)(uintptr_t)f;
        op->impl[NET_DISK_MEM] = (uint64_t)(uintptr_t)mem;
        op->impl[NET_DISK_LEN] = len;
        op->impl[NET_DISK_OFF] = off;
        op->impl[NET_DISK_DONE] = 0;
        op->impl[NET_DISK_KIND] = kind;
        net_disk_queue(f->net, op);
        return;
    }
    struct net_job *job = net_disk_job(f->net, op,
                                       kind == IORING_OP_READ    ? net_file_read
                                       : kind == IORING_OP_WRITE ? net_file_write
                                                                 : net_file_sync);
    job->file = f;
    job->mem = mem;
    job->len = len;
    job->off = off;
    net_loop_job_start(job);
}

static void net_disk_read(struct env_file *f, void *to, uint32_t len, uint64_t off,
                          struct env_op *op)
{
    net_disk_io(f, IORING_OP_READ, to, len, off, op);
}

static void net_disk_write(struct env_file *f, const void *from, uint32_t len, uint64_t off,
                           struct env_op *op)
{
    net_disk_io(f, IORING_OP_WRITE, (void *)(uintptr_t)from, len, off, op);
}

static void net_disk_sync(struct env_file *f, struct env_op *op)
{
    net_disk_io(f, IORING_OP_FSYNC, NULL, 0, 0, op);
}

static void net_disk_file_job(struct env_file *file, uint64_t off, uint64_t len, struct env_op *op,
                              int64_t (*run)(struct net_job *job))
{
    struct net_file *f = (struct net_file *)file;
    if (off > INT64_MAX || len > INT64_MAX - off) {
        net_loop_later(f->net, op, E_FBIG);
        return;
    }
    struct net_job *job = net_disk_job(f->net, op, run);
    job->file = f;
    job->off = off;
    job->len = len;
    net_loop_job_start(job);
}

/* without a thread: the kernel does it at once where it need not wait */
static void net_disk_close_file(struct env_file *file, struct env_op *op)
{
    struct net_file *f = (struct net_file *)file;
    if (f->net->uring) {
        op->impl[NET_DISK_FILE] = (uint64_t)(uintptr_t)f;
        op->impl[NET_DISK_MEM] = op->impl[NET_DISK_LEN] = op->impl[NET_DISK_OFF] = 0;
        op->impl[NET_DISK_DONE] = 0;
        op->impl[NET_DISK_KIND] = IORING_OP_CLOSE;
        net_disk_queue(f->net, op);
        return;
    }
    list_remove(&f->link);
    net_disk_file_job(file, 0, 0, op, net_file_close);
}

static void net_disk_resize(struct env_file *f, uint64_t size, struct env_op *op)
{
    net_disk_file_job(f, 0, size, op, net_file_resize);
}

static void net_disk_punch(struct env_file *f, uint64_t off, uint64_t len, struct env_op *op)
{
    net_disk_file_job(f, off, len, op, net_file_punch);
}

/* a job on names, or NULL and op completes with the reason */
static struct net_job *net_disk_name_job(struct env *e, const char *name, bool empty_ok,
                                         struct env_op *op, int64_t (*run)(struct net_job *job))
{
    struct net *net = net_of(e);
    struct net_place *place = (struct net_place *)e;
    if (place->dir_fd < 0 || !net_file_name_ok(name, empty_ok)) {
        net_loop_later(net, op, E_INVAL);
        return NULL;
    }
    struct net_job *job = net_disk_job(net, op, run);
    job->place = place;
    fmt_into(job->name, sizeof job->name, "%s", name);
    return job;
}

static void net_disk_open_file(struct env *e, const char *name, unsigned flags,
                               struct env_file **ret_file, struct env_op *op)
{
    struct net_job *job = net_disk_name_job(e, name, false, op, net_file_open);
    if (!job)
        return;
    job->flags = flags;
    job->ret_file = ret_file;
    net_loop_job_start(job);
}

static void net_disk_rename(struct env *e, const char *from, const char *to, struct env_op *op)
{
    if (!net_file_name_ok(to, false)) {
        net_loop_later(net_of(e), op, E_INVAL);
        return;
    }
    struct net_job *job = net_disk_name_job(e, from, false, op, net_file_rename);
    if (!job)
        return;
    fmt_into(job->name2, sizeof job->name2, "%s", to);
    net_loop_job_start(job);
}

static void net_disk_unlink(struct env *e, const char *name, struct env_op *op)
{
    struct net_job *job = net_disk_name_job(e, name, false, op, net_file_unlink);
    if (job)
        net_loop_job_start(job);
}

static void net_disk_list(struct env *e, const char *dir, const char *after, char *buf,
                          uint32_t cap, struct env_op *op)
{
    struct net_job *job = net_disk_name_job(e, dir, true, op, net_file_list);
    if (!job)
        return;
    fmt_into(job->name2, sizeof job->name2, "%s", after);
    job->mem = buf;
    job->len = cap;
    net_loop_job_start(job);
}

void net_disk_vt(struct env_vt *vt)
{
    vt->open = net_disk_open_file;
    vt->close = net_disk_close_file;
    vt->read = net_disk_read;
    vt->write = net_disk_write;
    vt->sync = net_disk_sync;
    vt->resize = net_disk_resize;
    vt->punch = net_disk_punch;
    vt->rename = net_disk_rename;
    vt->unlink = net_disk_unlink;
    vt->list = net_disk_list;
}
