/* core/env.h - the only door between the file system and the world: clock, timers, chance, disk,
 * network, remote memory.
 *
 * sim/ and net/ implement it; core, journal and cluster only call it, and call nothing else.
 *
 * CONTRACT
 *  1. A submit (every call that takes an env_op) never fails and never calls back.  op->done() runs
 *     exactly once, later, from this env's loop, with the outcome in op->ret: 0 or a count, or a
 *     negative E_*.  Until then the env owns the op and every buffer named in the call.
 *  2. Ops are embedded in the request that waits for them; done() gets back with container_of.
 *  3. now_ns is monotonic, goes on while the machine sleeps (a suspended host or VM has no lease
 *     that outlives it) and is constant during one turn of the loop.  clock_ns is taken at the
 *     call: masters' leases are measured by it; its zero may be another one.  wall_ns is for file
 *     times and log lines; no decision may depend on it.
 *  4. A stopped timer does not complete.  A timer may be set again at any time; the last set wins.
 *     After hangup() neither on_frame nor on_close is called for that connection any more.
 *  5. Frames are FIFO within one connection, and an rma WRITE is placed before any frame that was
 *     sent after it on the same connection is delivered.  Nothing else is ordered.  Loss shows only
 *     as on_close.  send() copies the frame before it returns.
 *  6. The loop drains the network before it fires timers.  Frames sent in one turn to one peer
 *     leave as one write; of many the first leave earlier.
 *  7. One env = one thread = one loop.  Only post() may be called from another thread.
 *  8. A crashed node's ops never complete (the simulator drops the process's memory instead).
 *  9. A raw connection speaks another's protocol: it has neither hello nor proof of the cluster's
 *     secret, and no frames.  send() puts the bytes on the wire as they are, its type means
 *     nothing; on_frame brings type 0 and bytes in whatever pieces they come, 1 to ENV_FRAME_MAX
 *     of them: what was sent at once may come in pieces, what was sent apart may come joined.  It
 *     is done with connecting when the other end accepted.  No rma, and it stays raw when adopted.
 *     All else is as above: 5 for its bytes, 6, backlog, on_close, the deadline of connect.
 *
 * Disk names are relative to the env's own directory, '/'-separated, without "." or "..".
 * Durability: write() is durable after a later sync() of the file, or when done if the file was
 * opened with ENV_O_DSYNC.  sync() also makes the file's size and its name durable.  rename() is
 * durable when done.  unlink() may be undone by a power loss.  A failed sync or DSYNC write says
 * nothing about what is on disk: treat it as fatal, never retry it.
 *
 * A directory that hosts share is an env of its own on the same loop (net_shared_open in net/,
 * sim_shared_mount in sim/): its names lead there, all else is the first env's, and no network call
 * is made on it.  What others see of it, and when, its file system says. */
#ifndef CORE_ENV_H
#define CORE_ENV_H

#include "core/err.h"
#include "core/list.h"

enum {
    ENV_FRAME_MAX = 128 * 1024, /* payload bytes of one frame */
    ENV_NAME_MAX = 512,         /* bytes of a disk name, NUL included */
    ENV_ADDR_MAX = 128,         /* bytes of an address, NUL included */
    ENV_DIRECT_ALIGN = 4096,    /* memory, offset and length of I/O on an ENV_O_DIRECT file */
};

enum env_log { ENV_LOG_ERROR, ENV_LOG_WARN, ENV_LOG_INFO, ENV_LOG_DEBUG };

enum env_open {
    ENV_O_READ = 0,
    ENV_O_WRITE = 1 << 0,  /* and read */
    ENV_O_CREATE = 1 << 1, /* with missing parent directories */
    ENV_O_EXCL = 1 << 2,   /* with CREATE: E_EXIST if it is there */
    ENV_O_TRUNC = 1 << 3,
    ENV_O_DIRECT = 1 << 4, /* past the page cache where the file system can; align as above */
    ENV_O_DSYNC = 1 << 5,  /* a write is durable when done */
    /* With DIRECT: reads show what was written before, whoever did, and that may come from the page
     * cache where this kernel's is the only one that the file system has. */
    ENV_O_COHERENT = 1 << 6,
};

enum env_rma { ENV_RMA_READ, ENV_RMA_WRITE };

struct env;
struct env_file;
struct env_conn;

struct env_op {
    void (*done)(struct env_op *op);
    int64_t ret;
    struct list link; /* the env's while submitted; the owner's otherwise */
    uint64_t impl[6]; /* the env's own */
};

struct env_timer { /* zero it before the first use; op.ret is 0 when it fires */
    struct env_op op;
    int64_t at_ns;
    uint64_t seq;
    uint32_t heap_pos; /* 0: not set; else place in the env's heap + 1 */
};

/* Bytes to send: a frame is the concatenation of a few pieces, at most ENV_FRAME_MAX in all. */
struct env_iov {
    const void *p;
    size_t n;
};

/* The owner's side of one connection.  Embed it; it must live until on_close or hangup(). */
struct env_peer {
    struct env_conn *conn; /* set by the env before the first callback */
    /* b is valid only during the call */
    void (*on_frame)(struct env_peer *p, uint16_t type, const void *b, uint32_t n);
    /* the connection is gone, conn is NULL; why is E_CLOSED, E_PROTO, E_VERSION, E_CLUSTER, ... */
    void (*on_close)(struct env_peer *p, int why);
    bool is_raw; /* for env_connect, set before it: a raw connection; nothing else looks at it */
};

/* The owner's side of a listening address.  on_open returns the peer for a new connection (with
 * its callbacks set), or NULL to refuse it.  from names the other end, for logs. */
struct env_acceptor {
    struct env_peer *(*on_open)(struct env_acceptor *a, const char *from);
    void *impl;
    bool is_raw; /* set before env_listen: all that are accepted here are raw */
};

/* Local memory that others may reach.  Embed it; it must live until revoke() is done. */
struct env_region {
    struct env *env;
    void *mem;
    uint64_t len;
    uint64_t token;
    struct list link;
    uint64_t impl[4];
};

/* What travels on the wire to let the other end of a connection reach a region. */
struct env_key {
    uint64_t token;
    uint64_t len;
};

struct env_vt {
    int64_t (*now_ns)(struct env *e);
    int64_t (*clock_ns)(struct env *e);
    int64_t (*wall_ns)(struct env *e);
    uint64_t (*random)(struct env *e);
    bool (*fault)(struct env *e, const char *site);
    void (*log)(struct env *e, enum env_log level, const char *line);
    void (*timer_set)(struct env *e, struct env_timer *t, int64_t at_ns);
    void (*timer_stop)(struct env *e, struct env_timer *t);
    void (*post)(struct env *e, struct env_op *op);
    void (*work)(struct env *e, struct env_op *op, void (*fn)(struct env_op *op));

    void (*open)(struct env *e, const char *name, unsigned flags, struct env_file **ret_file,
                 struct env_op *op);
    void (*close)(struct env_file *f, struct env_op *op);
    void (*read)(struct env_file *f, void *to, uint32_t len, uint64_t off, struct env_op *op);
    void (*write)(struct env_file *f, const void *from, uint32_t len, uint64_t off,
                  struct env_op *op);
    void (*sync)(struct env_file *f, struct env_op *op);
    void (*resize)(struct env_file *f, uint64_t size, struct env_op *op);
    void (*punch)(struct env_file *f, uint64_t off, uint64_t len, struct env_op *op);
    void (*rename)(struct env *e, const char *from, const char *to, struct env_op *op);
    void (*unlink)(struct env *e, const char *name, struct env_op *op);
    void (*list)(struct env *e, const char *dir, const char *after, char *buf, uint32_t cap,
                 struct env_op *op);

    void (*listen)(struct env *e, const char *addr, struct env_acceptor *a, struct env_op *op);
    void (*unlisten)(struct env *e, struct env_acceptor *a);
    void (*connect)(struct env *e, const char *addr, int64_t timeout_ns, struct env_peer *p,
                    struct env_op *op);
    void (*send)(struct env_conn *c, uint16_t type, const struct env_iov *iov, unsigned n_iov);
    uint64_t (*backlog)(struct env_conn *c);
    void (*hangup)(struct env_conn *c);
    void (*adopt)(struct env_conn *c, struct env_peer *p);
    void (*share)(struct env *e, void *mem, uint64_t len, struct env_region *r,
                  struct env_key *ret_key);
    void (*revoke)(struct env_region *r, struct env_op *op);
    void (*rma)(struct env_conn *c, enum env_rma dir, void *mem, uint32_t len, struct env_key key,
                uint64_t off, struct env_op *op);
};

/* First member of every backend's env, file and connection. */
struct env {
    const struct env_vt *vt;
    const char *disk; /* where its disk names lie, for messages; may be NULL */
};
struct env_file {
    struct env *env;
};
struct env_conn {
    struct env *env;
};

static inline int64_t env_now_ns(struct env *e)
{
    return e->vt->now_ns(e);
}

static inline int64_t env_clock_ns(struct env *e)
{
    return e->vt->clock_ns(e);
}

static inline int64_t env_wall_ns(struct env *e)
{
    return e->vt->wall_ns(e);
}

static inline uint64_t env_random(struct env *e)
{
    return e->vt->random(e);
}

/* Opens a rare path: false in production; in the simulator a site is switched on per run, then
 * fires at random (FoundationDB's BUGGIFY). */
static inline bool env_fault(struct env *e, const char *site)
{
    return e->vt->fault(e, site);
}

/* A directory's disk name as a message shall have it: "", the env's own, by where that lies. */
static inline const char *env_disk(const struct env *e, const char *dir)
{
    return *dir || !e->disk ? dir : e->disk;
}

/* One line for operators: what, where, what to do. */
static inline void env_log(struct env *e, enum env_log level, const char *line)
{
    e->vt->log(e, level, line);
}

static inline void env_timer_set(struct env *e, struct env_timer *t, int64_t at_ns)
{
    e->vt->timer_set(e, t, at_ns);
}

static inline void env_timer_stop(struct env *e, struct env_timer *t)
{
    e->vt->timer_stop(e, t);
}

static inline bool env_timer_is_set(const struct env_timer *t)
{
    return t->heap_pos != 0;
}

/* op->done on e's loop, with op->ret as the caller set it; from any thread */
static inline void env_post(struct env *e, struct env_op *op)
{
    e->vt->post(e, op);
}

/* posts op with that answer; all of a list, which is empty then */
static inline void env_reply(struct env *e, struct env_op *op, int64_t ret)
{
    op->ret = ret;
    env_post(e, op);
}

static inline void env_reply_all(struct env *e, struct list *ops, int64_t ret)
{
    struct list *l;
    while ((l = list_pop(ops)))
        env_reply(e, list_entry(l, struct env_op, link), ret);
}

/* fn(op) off the loop, where it may block and must set op->ret; then op->done on the loop */
static inline void env_work(struct env *e, struct env_op *op, void (*fn)(struct env_op *op))
{
    e->vt->work(e, op, fn);
}

/* ret: the file's size in bytes, with *ret_file set; or E_NOENT, E_EXIST, E_ACCES, E_NOSPC, E_IO */
static inline void env_open(struct env *e, const char *name, unsigned flags,
                            struct env_file **ret_file, struct env_op *op)
{
    e->vt->open(e, name, flags, ret_file, op);
}

/* no op on the file may be under way; f is gone at once */
static inline void env_close(struct env_file *f, struct env_op *op)
{
    f->env->vt->close(f, op);
}

/* ret: bytes read, less than len only at the end of the file */
static inline void env_read(struct env_file *f, void *to, uint32_t len, uint64_t off,
                            struct env_op *op)
{
    f->env->vt->read(f, to, len, off, op);
}

/* ret: len, or an error after which the range holds anything */
static inline void env_write(struct env_file *f, const void *from, uint32_t len, uint64_t off,
                             struct env_op *op)
{
    f->env->vt->write(f, from, len, off, op);
}

static inline void env_sync(struct env_file *f, struct env_op *op)
{
    f->env->vt->sync(f, op);
}

static inline void env_resize(struct env_file *f, uint64_t size, struct env_op *op)
{
    f->env->vt->resize(f, size, op);
}

/* gives the range's blocks back; it reads as zeros */
static inline void env_punch(struct env_file *f, uint64_t off, uint64_t len, struct env_op *op)
{
    f->env->vt->punch(f, off, len, op);
}

/* replaces an existing target atomically; missing parents of `to` are created */
static inline void env_rename(struct env *e, const char *from, const char *to, struct env_op *op)
{
    e->vt->rename(e, from, to, op);
}

static inline void env_unlink(struct env *e, const char *name, struct env_op *op)
{
    e->vt->unlink(e, name, op);
}

/* Fills buf with names in byte order, each ended by NUL, that sort after `after` ("" for the
 * first); a directory's name ends in '/'.  ret: bytes used; 0 at the end or for a missing dir. */
static inline void env_list(struct env *e, const char *dir, const char *after, char *buf,
                            uint32_t cap, struct env_op *op)
{
    e->vt->list(e, dir, after, buf, cap, op);
}

/* addr "host:port".  ret: 0, E_ADDRINUSE, E_INVAL, E_ACCES.  The op is for the bind alone. */
static inline void env_listen(struct env *e, const char *addr, struct env_acceptor *a,
                              struct env_op *op)
{
    e->vt->listen(e, addr, a, op);
}

/* closes the listening address; accepted connections stay */
static inline void env_unlisten(struct env *e, struct env_acceptor *a)
{
    e->vt->unlisten(e, a);
}

/* ret: 0 with p->conn set and the hello exchanged (a raw one has none); or E_REFUSED, E_TIMEOUT,
 * E_VERSION, ...; of a raw one E_NXIO: its name has no address */
static inline void env_connect(struct env *e, const char *addr, int64_t timeout_ns,
                               struct env_peer *p, struct env_op *op)
{
    e->vt->connect(e, addr, timeout_ns, p, op);
}

static inline void env_send(struct env_conn *c, uint16_t type, const struct env_iov *iov,
                            unsigned n_iov)
{
    c->env->vt->send(c, type, iov, n_iov);
}

/* bytes accepted by send and rma that have not left yet; the caller bounds it */
static inline uint64_t env_backlog(struct env_conn *c)
{
    return c->env->vt->backlog(c);
}

static inline void env_hangup(struct env_conn *c)
{
    c->env->vt->hangup(c);
}

/* From here on p owns the connection, and whoever owned it hears no more of it; also from within
 * its on_frame.  What is raw stays raw. */
static inline void env_adopt(struct env_conn *c, struct env_peer *p)
{
    c->env->vt->adopt(c, p);
}

/* Opens mem[0..len) to the other ends of this env's connections. */
static inline void env_share(struct env *e, void *mem, uint64_t len, struct env_region *r,
                             struct env_key *ret_key)
{
    e->vt->share(e, mem, len, r, ret_key);
}

/* when done nobody can reach the region any more, and mem may be reused */
static inline void env_revoke(struct env_region *r, struct env_op *op)
{
    r->env->vt->revoke(r, op);
}

/* WRITE: mem -> remote[off..off+len); done when mem may be reused (a later frame tells the peer
 * that the bytes are there).  READ: remote -> mem; done when the bytes are here.  A key that the
 * other end has revoked: WRITE is dropped there, READ ends with E_STALE.  ret: len, or E_CLOSED
 * when the connection is lost or hung up first, and then a WRITE may still land until revoke is
 * done. */
static inline void env_rma(struct env_conn *c, enum env_rma dir, void *mem, uint32_t len,
                           struct env_key key, uint64_t off, struct env_op *op)
{
    c->env->vt->rma(c, dir, mem, len, key, off, op);
}

#endif
