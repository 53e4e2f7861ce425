/* fuse/fuse_ops_io.c - open files: open, create, read, write, fsync, seek, release.
 *
 * INVARIANTS
 *  1. Pages of one version only: a file is opened through the page cache only when every other
 *     cached handle of its inode has the same version; else, and while the file is LIVE, the handle
 *     is direct.  keep_cache only when the pages that may be there are of the version just opened.
 *  2. A handle is released to the client after the last call on it ended, even when the kernel,
 *     having been told EINTR, releases it earlier.
 *  3. A file that was opened for a request that was given up is released at once.
 *  4. An inode of the kernel that is open with a backing file (fuse_pass.h) is opened with the same
 *     one or not at all: any other open retires the inode (fuse_node.h) and is answered ESTALE, on
 *     which the kernel looks the name up again and opens what it finds.
 *  5. Reads leave FUSE_OPS_RESERVE buffers to the device; a read without a buffer waits in order.
 *
 * Bytes are copied once on this side: into the page-aligned buffer that is handed to writev, or,
 * for a write, by the kernel into the buffer that the client sends from: the device is read at an
 * offset that puts the payload on a page boundary. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fuse.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cluster/ufs.h"
#include "fuse/fuse_ops.h"
#include "net/net_errno.h"

enum { /* not in older headers */
       IO_OPEN_NOFLUSH = 1 << 5,
       IO_OPEN_PASSTHROUGH = 1 << 7,
       IO_BACKING_AT = offsetof(struct fuse_open_out, open_flags) + 4
};

static void io_done(struct env_op *op);

static struct fuse_ops_file *io_file(const struct fuse_file_info *fi)
{
    return (struct fuse_ops_file *)(uintptr_t)fi->fh;
}

/* Gives the client's handle back; the call is answered when that is done. */
static void io_release_send(struct fuse_ops_call *c, struct client_file *file)
{
    c->kind = CALL_RELEASE;
    memset(&c->io, 0, sizeof c->io);
    c->io.op.done = io_done;
    c->io.file = file;
    client_release(c->o->client, &c->io);
}

static void io_file_free(struct fuse_ops *o, struct fuse_ops_file *f);

static void io_close(struct fuse_ops_call *c, struct fuse_ops_file *f)
{
    struct client_file *file = f->file;
    io_file_free(c->o, f);
    io_release_send(c, file);
}

/* a call on f ended */
static void io_unbusy(struct fuse_ops_file *f)
{
    ASSERT(f->busy > 0);
    if (--f->busy == 0 && f->release)
        io_close(f->release, f);
}

/* the handle is no longer one of those that the kernel has of the inode */
static void io_detach(struct fuse_ops_file *f)
{
    struct fuse_node *n = f->node;
    if (f->node_id != fuse_node_id(n))
        return;
    n->open_now--;
    n->cached -= f->cached;
    n->n_pass -= f->pass != NULL;
    if (!n->n_pass)
        n->pass = NULL;
}

static void io_file_free(struct fuse_ops *o, struct fuse_ops_file *f)
{
    io_detach(f);
    if (f->is_writer && --f->node->writers == 0)
        fuse_pass_write_closed(o, f->node->ino);
    if (f->pass)
        fuse_pass_put(f->pass);
    fuse_node_close(&o->nodes, f->node);
    mem_free(o->mem, f, sizeof *f);
}

/* How the kernel may use the handle: its own pages, or us for each read. */
static void io_choose(struct fuse_ops *o, struct fuse_ops_file *f, const struct fsattr *a,
                      struct fuse_file_info *fi)
{
    struct fuse_node *n = f->node;
    bool is_other_version = n->cached && n->version != a->version;
    f->cached = !o->opts.direct_io && !client_file_is_live(f->file) && !is_other_version;
    fi->direct_io = !f->cached;
    fi->noflush = 1; /* a write is in the under-store when it is answered */
    if (!f->cached)
        return;
    client_file_pin(f->file); /* the kernel may serve pages that other handles brought */
    fi->keep_cache = o->opts.kernel_cache || (n->has_pages && n->version == a->version);
    n->version = a->version;
    n->has_pages = true;
    n->cached++;
}

static bool io_writes(const struct fuse_ops_call *c)
{
    return (c->flags & O_ACCMODE) != O_RDONLY || c->flags & O_TRUNC;
}

/* Does an open have no place among those that the kernel's inode has?  Then it has another one from
 * now on, and the kernel must look the name up again. */
static bool io_clashes(struct fuse_ops_call *c, struct fuse_node *n, const struct fuse_pass *pass)
{
    if (n->alias && c->node_id && c->node_id != fuse_node_id(n))
        return true;
    if (!n->n_pass || n->pass == pass)
        return false;
    c->o->pass.clashes++;
    return fuse_node_retire(&c->o->nodes, n) && c->node_id;
}

/* Makes the handle of c->req.file, and says in fi how the kernel may use it, or that it has a
 * backing file (f->pass).  E_NOMEM; E_STALE: the kernel must look the name up again. */
static int io_attach(struct fuse_ops_call *c, struct fuse_pass *pass, struct fuse_file_info *fi,
                     struct fuse_ops_file **ret_f)
{
    struct fuse_ops *o = c->o;
    struct fsattr a = client_file_attr(c->req.file);
    struct fuse_ops_file *f = mem_zalloc(o->mem, sizeof *f);
    struct fuse_node *n = f ? fuse_node_open(&o->nodes, a.ino) : NULL;
    if (pass && (client_file_is_live(c->req.file) || fuse_pass_version(pass) != a.version))
        pass = NULL; /* it changed while the file was being fetched */
    int err = !n ? E_NOMEM : io_clashes(c, n, pass) ? E_STALE : 0;
    if (err == E_STALE && io_writes(c)) { /* it was opened, and will be closed again */
        fuse_pass_write_opened(o, &a, n->writers == 0, c->flags & O_TRUNC);
        if (n->writers == 0)
            fuse_pass_write_closed(o, n->ino);
    }
    if (err) {
        if (n)
            fuse_node_close(&o->nodes, n);
        mem_free(o->mem, f, sizeof *f);
        return err;
    }
    f->file = c->req.file;
    f->node = n;
    f->node_id = fuse_node_id(n);
    fi->fh = (uint64_t)(uintptr_t)f;
    if (pass && n->open_now == n->n_pass) {
        client_file_pin(f->file); /* the kernel reads the version it is pinned to */
        f->pass = n->pass = pass;
        n->has_pages = false; /* an open drops them */
        n->n_pass++;
        o->pass.opened++;
    } else {
        io_choose(o, f, &a, fi);
    }
    if (io_writes(c)) {
        fuse_pass_write_opened(o, &a, n->writers == 0, c->flags & O_TRUNC);
        f->is_writer = true;
        n->writers++;
    }
    n->open_now++;
    *ret_f = f;
    return 0;
}

static void io_attr_gone(struct env_op *op)
{
    fuse_ops_io_attach(container_of(op, struct fuse_ops_call, req.op), NULL);
}

/* CALL_OPEN, CALL_CREATE_OPEN: r->file is ours, or there is none */
void fuse_ops_io_opened(struct fuse_ops_call *c, int err)
{
    struct fuse_node *n = NULL;
    if (!err && client_file_is_live(c->req.file))
        n = fuse_node_find(&c->o->nodes, client_file_attr(c->req.file).ino);
    if (err) {
        fuse_ops_err(c, err);
    } else if (n) {
        /* nobody tells a writer what other writers do: from now on the kernel asks */
        c->req.op.done = io_attr_gone;
        fuse_ops_inval_own(c->o, n, &c->req.op);
    } else if (!c->fuse || c->kind != CALL_OPEN || !fuse_pass_begin(c)) {
        fuse_ops_io_attach(c, NULL);
    }
}

static int io_reply_created(struct fuse_ops_call *c, struct fuse_ops_file *f,
                            const struct fuse_file_info *fi)
{
    struct fuse_ops *o = c->o;
    struct fuse_entry_param e;
    struct fsattr a = client_file_attr(f->file);
    uint64_t lease = c->inval_gen == o->inval_gen ? c->req.reply.lease_ns : 0;
    bool ok = fuse_ops_entry(o, c->parent, c->name, c->name_len, &a, lease, &e);
    int lost = ok ? fuse_reply_create(c->fuse, &e, fi) : fuse_reply_err(c->fuse, ENOMEM) | 1;
    if (ok && lost)
        fuse_node_forget(&o->nodes, a.ino, 1);
    return lost;
}

/* this libfuse does not know of backing files */
static int io_reply_pass(struct fuse_ops_call *c, const struct fuse_ops_file *f)
{
    struct fuse_open_out out = {.fh = (uint64_t)(uintptr_t)f,
                                .open_flags = IO_OPEN_PASSTHROUGH | IO_OPEN_NOFLUSH};
    const int32_t id = fuse_pass_id(f->pass);
    memcpy((char *)&out + IO_BACKING_AT, &id, sizeof id);
    return fuse_reply_buf(c->fuse, (const char *)&out, sizeof out);
}

void fuse_ops_io_attach(struct fuse_ops_call *c, struct fuse_pass *pass)
{
    struct fuse_file_info fi = {.flags = c->flags};
    struct fuse_ops_file *f = NULL;
    int err = c->fuse ? io_attach(c, pass, &fi, &f) : 0;
    if (pass && (!f || !f->pass))
        fuse_pass_put(pass);
    if (err) {
        fuse_reply_err(c->fuse, net_errno_from_err(err));
        c->fuse = NULL;
    }
    if (!c->fuse) {
        io_release_send(c, c->req.file);
        return;
    }
    int lost = c->kind != CALL_OPEN ? io_reply_created(c, f, &fi)
               : f->pass            ? io_reply_pass(c, f)
                                    : fuse_reply_open(c->fuse, &fi);
    c->fuse = NULL;
    if (lost) /* the caller is gone, or the mount: the kernel will not release it */
        io_close(c, f);
    else
        fuse_ops_end(c);
}

static void io_open_send(struct fuse_ops_call *c, struct ino ino, enum fuse_ops_kind kind)
{
    int how = c->flags & O_ACCMODE;
    struct fsop op = {.kind = FSOP_OPEN, .ino = ino};
    op.mode = how == O_WRONLY ? FSOP_ACCESS_W
              : how == O_RDWR ? FSOP_ACCESS_R | FSOP_ACCESS_W
                              : FSOP_ACCESS_R;
    if (c->flags & O_TRUNC)
        op.flags = FSOP_F_TRUNC;
    memset(&c->req, 0, sizeof c->req);
    c->req.fsop = op;
    c->kind = kind;
    if (kind == CALL_OPEN && how != O_RDONLY)
        fuse_ops_caller(c); /* a file that was just created may be opened whatever its mode says */
    fuse_ops_send(c);
}

void fuse_ops_io_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fuse_ops_call *c = fuse_ops_begin(req, CALL_OPEN);
    c->flags = fi->flags;
    c->node_id = c->o->req_node;
    struct fuse_node *n = fuse_node_find(&c->o->nodes, (struct ino){ino});
    if (n && io_writes(c) && io_clashes(c, n, NULL)) { /* not to be opened first and closed again */
        fuse_ops_err(c, E_STALE);
        return;
    }
    fuse_ops_watch(c);
    io_open_send(c, (struct ino){ino}, CALL_OPEN);
}

void fuse_ops_io_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                        struct fuse_file_info *fi)
{
    struct fuse_ops_call *c = fuse_ops_begin(req, CALL_CREATE);
    size_t n = strlen(name);
    if (n > LIMIT_NAME) {
        fuse_ops_err(c, E_NAMETOOLONG);
        return;
    }
    memcpy(c->name, name, n + 1);
    c->name_len = (uint32_t)n;
    c->flags = fi->flags;
    c->parent.v = parent;
    c->req.fsop = (struct fsop){.kind = FSOP_MKNOD,
                                .ino = {parent},
                                .mode = FSOP_S_IFREG | (mode & 07777),
                                .name = c->name,
                                .name_len = c->name_len};
    if ((c->flags & O_ACCMODE) != O_RDONLY)
        c->req.fsop.flags = FSOP_F_OPEN;
    fuse_ops_watch(c);
    fuse_ops_caller(c);
    fuse_ops_send(c);
}

/* CALL_CREATE, CALL_CREATE_FOUND */
void fuse_ops_io_created(struct fuse_ops_call *c, int err)
{
    if (c->fuse && c->kind == CALL_CREATE && err == E_EXIST && !(c->flags & O_EXCL)) {
        /* somebody else was faster, which O_CREAT alone allows */
        memset(&c->req, 0, sizeof c->req);
        c->req.fsop = (struct fsop){
            .kind = FSOP_LOOKUP, .ino = c->parent, .name = c->name, .name_len = c->name_len};
        c->kind = CALL_CREATE_FOUND;
        fuse_ops_send(c);
        return;
    }
    if (!err && c->req.file && !c->fuse) {
        io_release_send(c, c->req.file);
        return;
    }
    if (err || !c->fuse) {
        fuse_ops_err(c, err);
        return;
    }
    struct fsattr a = c->req.reply.attr;
    bool is_new = c->kind == CALL_CREATE;
    if (is_new)
        c->flags &= ~O_TRUNC; /* it is empty */
    if (c->req.file) {
        c->kind = CALL_CREATE_OPEN;
        fuse_ops_io_opened(c, 0);
        return;
    }
    if ((a.mode & FSOP_S_IFMT) != FSOP_S_IFREG) {
        fuse_ops_err(c, (a.mode & FSOP_S_IFMT) == FSOP_S_IFDIR ? E_ISDIR : E_EXIST);
        return;
    }
    io_open_send(c, a.ino, CALL_CREATE_OPEN);
}

static void io_read_send(struct fuse_ops_call *c)
{
    c->io.op.done = io_done;
    c->io.file = c->file->file;
    c->io.buf = c->buf;
    c->io.len = (uint32_t)c->size;
    c->io.off = (uint64_t)c->off;
    c->io.may_lend = true;
    client_read(c->o->client, &c->io);
}

void fuse_ops_io_room(struct fuse_ops *o)
{
    list_each_safe(l, &o->waiting) {
        struct fuse_ops_call *c = list_entry(l, struct fuse_ops_call, wait);
        if (!c->fuse) { /* given up while it waited */
            struct fuse_ops_file *f = c->file;
            fuse_ops_end(c);
            io_unbusy(f);
        } else if (o->n_free > FUSE_OPS_RESERVE) {
            list_remove(&c->wait);
            c->buf = fuse_ops_buffer_get(o);
            io_read_send(c);
        }
    }
}

void fuse_ops_io_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                      struct fuse_file_info *fi)
{
    (void)ino;
    struct fuse_ops_call *c = fuse_ops_begin(req, CALL_READ);
    struct fuse_ops *o = c->o;
    if (size > FUSE_OPS_IO)
        size = FUSE_OPS_IO; /* never: the kernel keeps to max_pages */
    c->file = io_file(fi);
    c->file->busy++;
    c->size = size;
    c->off = off;
    fuse_ops_watch(c);
    if (o->n_free <= FUSE_OPS_RESERVE || !list_empty(&o->waiting)) {
        o->stats.buffer_waits++;
        list_push_back(&o->waiting, &c->wait);
        return;
    }
    c->buf = fuse_ops_buffer_get(o);
    io_read_send(c);
}

static void io_sync_send(struct fuse_ops_call *c, enum fuse_ops_kind kind)
{
    c->kind = kind;
    memset(&c->io, 0, sizeof c->io);
    c->io.op.done = io_done;
    c->io.file = c->file->file;
    c->io.data_only = c->is_datasync;
    client_fsync(c->o->client, &c->io);
}

static void io_write_send(struct fuse_ops_call *c)
{
    c->kind = CALL_WRITE;
    memset(&c->io, 0, sizeof c->io);
    c->io.op.done = io_done;
    c->io.file = c->file->file;
    c->io.buf = c->data;
    c->io.len = (uint32_t)c->size;
    c->io.off = (uint64_t)c->off;
    c->io.placed = c->is_append ? c->req.placed : 0;
    c->is_writing = true;
    client_write(c->o->client, &c->io);
}

static void io_alloc_send(struct fuse_ops_call *c)
{
    int mode = c->flags;
    c->kind = CALL_ALLOC;
    memset(&c->io, 0, sizeof c->io);
    c->io.op.done = io_done;
    c->io.file = c->file->file;
    c->io.off = (uint64_t)c->off;
    c->io.range = c->size;
    c->io.how = (mode & FALLOC_FL_KEEP_SIZE ? UFS_ALLOC_KEEP : 0) |
                (mode & FALLOC_FL_PUNCH_HOLE ? UFS_ALLOC_PUNCH : 0) |
                (mode & FALLOC_FL_ZERO_RANGE ? UFS_ALLOC_ZERO : 0);
    c->is_writing = true;
    client_alloc(c->o->client, &c->io);
}

/* The kernel's idea of the end is as old as its attributes. */
static void io_place(struct fuse_ops_call *c, uint64_t size, uint64_t undo, enum fuse_ops_kind kind)
{
    struct fsop op = {.kind = FSOP_GETATTR, .ino = c->file->node->ino, .size = size, .arg = undo};
    if (!undo)
        c->place = ++c->o->n_places;
    op.mtime_ns = c->place;
    c->kind = kind;
    memset(&c->req, 0, sizeof c->req);
    c->req.fsop = op;
    fuse_ops_send(c);
}

static void io_write_begin(struct fuse_ops_call *c)
{
    if (c->is_alloc)
        io_alloc_send(c);
    else if (c->is_append)
        io_place(c, c->size, 0, CALL_WRITE_PLACE);
    else
        io_write_send(c);
}

/* CALL_WRITE_PLACE */
void fuse_ops_io_placed(struct fuse_ops_call *c, int err)
{
    struct fuse_ops_file *f = c->file;
    c->off = (off_t)c->req.reply.attr.size;
    if (!err && c->fuse) {
        io_write_send(c);
    } else if (!err) { /* given up meanwhile */
        io_place(c, c->size, (uint64_t)c->off + 1, CALL_WRITE_UNDO);
    } else {
        fuse_ops_err(c, err);
        io_unbusy(f);
    }
}

/* CALL_WRITE_UNDO: answered before */
void fuse_ops_io_undone(struct fuse_ops_call *c)
{
    struct fuse_ops_file *f = c->file;
    fuse_ops_end(c);
    io_unbusy(f);
}

uint32_t fuse_ops_io_killed_mode(const struct fuse_file_info *fi)
{
    uint32_t mode = client_file_attr(io_file(fi)->file).mode & 07777, kill = mode & S_ISUID;
    if (mode & S_IXGRP) /* without it the other bit is not about execution */
        kill |= mode & S_ISGID;
    return kill ? mode & ~kill : 0;
}

/* Clears set-user-id bits first if need be: as root, because the writer need not be the owner. */
static void io_write_or_kill(struct fuse_ops_call *c, const struct fuse_file_info *fi, bool kills)
{
    uint32_t mode = kills ? fuse_ops_io_killed_mode(fi) : 0;
    if (!mode) {
        io_write_begin(c);
        return;
    }
    c->kind = CALL_WRITE_KILL;
    c->req.fsop = (struct fsop){
        .kind = FSOP_SETATTR, .ino = c->file->node->ino, .valid = FSOP_SET_MODE, .mode = mode};
    fuse_ops_send(c);
}

/* CALL_WRITE_KILL: the bits are gone, or could not be cleared, and then nothing is written */
void fuse_ops_io_killed(struct fuse_ops_call *c, int err)
{
    struct fuse_ops_file *f = c->file;
    if (c->fuse && !err) {
        io_write_begin(c);
        return;
    }
    fuse_ops_err(c, err);
    io_unbusy(f);
}

/* The kernel's header of the write whose payload this is: libfuse keeps a part to itself. */
static struct fuse_write_in io_write_in(const char *payload)
{
    struct fuse_write_in in;
    memcpy(&in, payload - sizeof in, sizeof in);
    return in;
}

void fuse_ops_io_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
                       struct fuse_file_info *fi)
{
    (void)ino;
    struct fuse_ops_call *c = fuse_ops_begin(req, CALL_WRITE);
    c->file = io_file(fi);
    c->file->busy++;
    const char *kept = fuse_ops_keep_recv(c);
    ASSERT(buf >= kept + sizeof(struct fuse_write_in) && buf + size <= kept + FUSE_OPS_BUFFER);
    c->data = c->buf + (buf - kept);
    c->size = size;
    c->off = off;
    fuse_ops_watch(c);
    struct fuse_write_in in = io_write_in(buf);
    c->is_append = in.flags & O_APPEND && !(in.write_flags & FUSE_WRITE_CACHE);
    /* the kernel itself syncs after writes to its page cache only */
    c->is_sync = in.flags & O_DSYNC && !(in.write_flags & FUSE_WRITE_CACHE);
    c->is_datasync = (in.flags & O_SYNC) != O_SYNC;
    io_write_or_kill(c, fi, in.write_flags & FUSE_WRITE_KILL_SUIDGID);
}

/* The kernel drops its pages of the range and knows the new size, but does not say whether
 * set-user-id bits are to be cleared. */
void fuse_ops_io_alloc(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
                       struct fuse_file_info *fi)
{
    (void)ino;
    struct fuse_ops_call *c = fuse_ops_begin(req, CALL_ALLOC);
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) {
        fuse_ops_err(c, E_NOTSUP);
        return;
    }
    c->file = io_file(fi);
    c->file->busy++;
    c->flags = mode;
    c->off = off;
    c->size = (size_t)len;
    c->is_alloc = true;
    fuse_ops_watch(c);
    io_write_or_kill(c, fi, fuse_req_ctx(req)->uid != 0);
}

void fuse_ops_io_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino, (void)fi;
    fuse_reply_err(req, 0);
}

void fuse_ops_io_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)ino;
    struct fuse_ops_call *c = fuse_ops_begin(req, CALL_FSYNC);
    c->is_datasync = datasync;
    c->file = io_file(fi);
    c->file->busy++;
    fuse_ops_watch(c);
    io_sync_send(c, CALL_FSYNC);
}

void fuse_ops_io_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    struct fuse_ops_call *c = fuse_ops_begin(req, CALL_RELEASE);
    struct fuse_ops_file *f = io_file(fi);
    if (f->busy)
        f->release = c;
    else
        io_close(c, f);
}

static void io_done(struct env_op *op)
{
    struct fuse_ops_call *c = container_of(op, struct fuse_ops_call, io.op);
    struct fuse_ops_file *f = c->kind == CALL_RELEASE ? NULL : c->file;
    int64_t ret = op->ret;
    c->is_writing = false;
    if (ret == E_CANCELLED && c->fuse && c->is_given_up) {
        fuse_reply_err(c->fuse, EINTR);
        c->fuse = NULL;
    }
    if (ret >= 0 && c->fuse && c->kind == CALL_READ) {
        fuse_reply_buf(c->fuse, c->io.lent ? c->io.lent : c->buf, (size_t)ret);
        c->fuse = NULL;
    }
    if (ret > 0 && c->kind == CALL_WRITE)
        fuse_pass_wrote(c->o, c->file->node->ino, c->data, (size_t)ret, c->off);
    if (!ret && c->kind == CALL_ALLOC)
        fuse_pass_alloced(c->o, c->file->node->ino, c->flags, (off_t)c->io.off, (off_t)c->io.range);
    if (c->is_sync && c->fuse && c->kind == CALL_WRITE && ret == (int64_t)c->size) {
        io_sync_send(c, CALL_WRITE_SYNC);
        return;
    }
    if (ret >= 0 && c->fuse && (c->kind == CALL_WRITE || c->kind == CALL_WRITE_SYNC)) {
        fuse_reply_write(c->fuse, c->kind == CALL_WRITE ? (size_t)ret : c->size);
        c->fuse = NULL;
    }
    if (c->kind == CALL_READ && c->io.lent)
        client_give_back(c->o->client, &c->io);
    if (c->kind == CALL_WRITE && c->io.is_displaced && ret == E_NOT_LEADER && c->fuse) {
        io_write_begin(c); /* another place */
        return;
    }
    if (c->kind == CALL_WRITE && c->is_append && ret < (int64_t)c->size && !c->io.is_displaced) {
        uint64_t put = ret < 0 ? 0 : (uint64_t)ret;
        if (c->fuse)
            fuse_reply_err(c->fuse, net_errno_from_err((int)ret));
        c->fuse = NULL;
        io_place(c, c->size - put, (uint64_t)c->off + put + 1, CALL_WRITE_UNDO);
        return;
    }
    fuse_ops_err(c, ret < 0 ? (int)ret : 0);
    if (f)
        io_unbusy(f);
}

void fuse_ops_io_seek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
                      struct fuse_file_info *fi)
{
    (void)fi;
    struct fuse_ops_call *c = fuse_ops_begin(req, CALL_LSEEK);
    c->off = off;
    c->flags = whence;
    c->req.fsop.kind = FSOP_GETATTR;
    c->req.fsop.ino.v = ino;
    fuse_ops_watch(c);
    fuse_ops_send(c);
}

/* The under-store's holes are not known here: a file is data from its first byte to its last. */
void fuse_ops_io_lseek(struct fuse_ops_call *c, int err)
{
    off_t size = (off_t)c->req.reply.attr.size;
    if (!err && c->flags != SEEK_DATA && c->flags != SEEK_HOLE)
        err = E_INVAL;
    if (!err && (c->off < 0 || c->off >= size))
        err = E_NXIO;
    if (!err && c->fuse) {
        fuse_reply_lseek(c->fuse, c->flags == SEEK_DATA ? c->off : size);
        c->fuse = NULL;
    }
    fuse_ops_err(c, err);
}
