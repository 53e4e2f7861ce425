/* cluster/client.h - the client library: what FUSE, the command line and the load generators call.
 *
 * Asynchronous, on an env, one thread.  Metadata is one call, client_fs(), that takes the same
 * struct fsop as the master; files are opened, read, written and released by handle.
 *
 * INVARIANTS
 *  1. Every request is done exactly once, by its deadline at the latest (E_TIMEOUT).
 *  2. A mutation is sent again with the same (session, seq) until it is answered or its deadline
 *     passes, so it takes effect at most once.  If the session expired meanwhile the answer is
 *     E_SESSION_EXPIRED: it is surfaced, never executed again under a new session.
 *  3. Nothing is answered from cache after the session's lease ran out, measured from when the
 *     renewal was SENT; reply.lease_ns says how long the caller (the kernel) may keep an answer.
 *     Nor is anything written then: a session that is over has left its files closed.
 *  4. One open file reads one version: the one pinned at open, unless the file is LIVE (somebody
 *     in the cluster writes it) when it reads what is in the under-store now.  If the pinned
 *     version is gone: re-pinned if nothing was read yet, else E_STALE.
 *  5. A worker lost: the read goes to the next in rendezvous order, then to the under-store itself
 *     (when the client has a factory for it).
 *  6. Buffers and cache entries are bounded by the config.
 *  7. What a write wrote is never overwritten later by an earlier write of the same client: an
 *     attempt of unknown outcome is waited for (its worker begins it within RPC_WRITE_VALID_MS or
 *     never) before another way is tried or the caller is told that it failed.
 *  8. Bytes are read from and written to the file that was opened, whatever has become of its name:
 *     the under-store's own number of the file travels with every request. */
#ifndef CLUSTER_CLIENT_H
#define CLUSTER_CLIENT_H

#include "cluster/rpc.h"
#include "cluster/rpc_format.h"
#include "cluster/ufs.h"
#include "core/env.h"
#include "core/fsop.h"
#include "core/mem.h"

struct client_req;

/* Who hears of every client_fs: before anything is done for it, and before its done() is called. */
struct client_tap {
    void (*asked)(struct client_tap *t, struct client_req *r);
    void (*answered)(struct client_tap *t, struct client_req *r);
};

struct client_config {
    const char *masters;      /* "host:port[,host:port...]" */
    const char *name;         /* description, for status and logs */
    const char *host;         /* this host's name */
    const char *kernel;       /* names the running kernel, for client_local; NULL: never local */
    struct ufs_factory *ufs;  /* NULL: never read the under-store directly */
    int64_t deadline_ns;      /* of a request that gives none; default 30 s */
    uint32_t requests_max;    /* at once; default 1024 */
    uint32_t cache_entries;   /* attributes and names kept; default 100,000 */
    bool ask_always;          /* every read asks the master: linearizable, where a cache may still
                                 show what a change that is not answered yet replaces */
    bool read_any;            /* questions that need no lease go to all masters in turn */
    uint32_t readahead_pages; /* most pages read ahead of a sequential reader; default 8; 0: none */
    uint64_t buffer_bytes;    /* for read-ahead; default 64 MiB */
    uint64_t
        page_cache_bytes;   /* for pages read in bits again and again; default 512 MiB; 0: none */
    struct client_tap *tap; /* NULL: nobody */
};

struct client;
struct client_file;

/* What the owner (FUSE) must forget.  done(op) when it has: the master's other client waits. */
struct client_host {
    void (*on_invalidate)(struct client_host *h, const struct rpc_inval *i, struct env_op *op);
};

/* One metadata request.  The caller fills fsop (kind, ino, name, uid, gid, ...; not session, seq)
 * and op.done; names and data must live until done.  reply.data is valid until done returns. */
struct client_req {
    struct env_op op; /* ret: 0 or E_*, the same as reply.err */
    struct fsop fsop;
    struct fsop_reply reply;
    int64_t deadline_ns;      /* absolute; 0: now + config's */
    struct client_file *file; /* FSOP_OPEN, MKNOD with FSOP_F_OPEN: the handle */
    uint64_t placed;          /* FSOP_GETATTR of an append: for client_io.placed */
    uint16_t tapped[2];       /* the tap's own */
    uint64_t impl[64];        /* client.c's own */
};

/* One piece of file I/O. */
struct client_io {
    struct env_op op; /* ret: bytes, or E_* */
    struct client_file *file;
    void *buf; /* must live until done; read: filled */
    uint32_t len;
    uint64_t off;
    int64_t deadline_ns;
    uint64_t range;    /* alloc: bytes from off on */
    uint32_t how;      /* alloc */
    bool data_only;    /* fsync: of the bytes and the size; not the name, nor the times */
    uint64_t placed;   /* write: off is a place to append to, of that answer's number; 0: not */
    bool is_displaced; /* it is nobody's any more: E_IO, or E_NOT_LEADER if no attempt was begun */
    bool may_lend;     /* read: the bytes may stay where they are, if that saves a copy */
    const void *lent;  /* then they are here, not in buf, until client_give_back() */
    uint64_t impl[96];
};

/* A file of which a worker of this host has every page: its data file may be opened past us. */
struct client_local {
    struct env_op op;         /* ret: 0, or E_* that says why not */
    struct client_file *file; /* not being written; until done */
    /* set when done with 0 */
    uint64_t version, size;
    uint64_t token; /* for the descriptor, which is asked for at address */
    char address[ENV_ADDR_MAX];
    uint64_t impl[64];
};

struct client_stats {
    uint64_t requests, cache_hits, retries, reads, bytes_read, writes, bytes_written;
    uint64_t worker_hits, worker_misses, fallback_reads, failovers, invalidations, readahead_pages;
    uint64_t page_hits, pages_kept;
    uint64_t asides, asides_refused; /* questions that standbys answered; that they did not */
    uint64_t epoch, session;         /* session 0: none */
    bool connected;
};

struct client_config client_config_default(void);
int client_open(struct env *e, struct mem *m, const struct client_config *cfg,
                struct client_host *host /* may be NULL */, struct client **ret_c) MUST_CHECK;
/* closes the session, ends requests with E_CANCELLED; done once */
void client_stop(struct client *c, struct env_op *op);

/* Any fsop kind but FSOP_OPEN's data path; FSOP_OPEN with mode FSOP_ACCESS_R and/or W gives
 * r->file (W: the file is opened for writing in the cluster before done; flags FSOP_F_TRUNC).
 * FSOP_MKNOD of a regular file with FSOP_F_OPEN gives one, too, opened with R and W. */
void client_fs(struct client *c, struct client_req *r);
/* Walks an absolute path ("/a/b"; NUL-ended, in fsop.name with name_len) from the root, following
 * symbolic links (the last one only if follow), as r->fsop.uid/gid; done with reply.attr of the
 * thing, or with E_NOENT and reply.attr of the PARENT and reply.value = offset in the path of the
 * missing last name when only that is missing. */
void client_walk(struct client *c, struct client_req *r, bool follow);

/* short only at the end of the file */
void client_read(struct client *c, struct client_io *io);
/* once after a read that ended with io->lent; the handle may be released before */
void client_give_back(struct client *c, struct client_io *io);
/* reaches the under-store before it is done; ret len or E_* */
void client_write(struct client *c, struct client_io *io);
/* Of a write or alloc under way: nothing more is tried; it ends, mostly with E_CANCELLED, as soon
 * as nothing of it can come any more (about RPC_WRITE_VALID_MS, or what the under-store takes). */
void client_give_up(struct client *c, struct client_io *io);
/* io->file, io->off, io->range, io->how: enum ufs_alloc, in the under-store; ret 0 or E_* */
void client_alloc(struct client *c, struct client_io *io);
/* io->file: written data durable in the under-store */
void client_fsync(struct client *c, struct client_io *io);
/* io->file: the handle dies; a last writer's size and times are recorded before it is done */
void client_release(struct client *c, struct client_io *io);
/* io->file, io->off, io->len: bring the range into the workers' caches without moving it here */
void client_load(struct client *c, struct client_io *io);
struct fsattr client_file_attr(const struct client_file *f);
bool client_file_is_live(const struct client_file *f);
/* Counts as read: the owner may serve bytes of the pinned version from a cache of its own. */
void client_file_pin(struct client_file *f);

/* l->file, l->op.done.  What is granted is given back by client_local_return, which is done once
 * the worker knows, or is gone; by a client_stop, too. */
void client_local_ask(struct client *c, struct client_local *l);
void client_local_return(struct client *c, struct client_local *l);

/* A plain call to the leading master (RPC_STATUS, RPC_ADMIN, RPC_LOCATION, ...); retried as reads.
 */
void client_call(struct client *c, uint16_t method, const void *body, uint32_t len,
                 int64_t deadline_ns, struct rpc_link_call *call);
/* The worker that serves `off` of a file now, for display; false when there is none. */
bool client_place(struct client *c, struct ino ino, uint64_t off, struct rpc_worker_info *ret_i);
void client_stats(const struct client *c, struct client_stats *ret_s);
/* becomes true when a master serves us for the first time, or when each that is configured has
 * refused this process for good (another secret, another release): then *ret_err is why, else 0.
 * The client itself goes on trying: a secret can be changed. */
const bool *client_decided(const struct client *c, const int **ret_err);
/* what it has to say, lines "key value\n" (cluster/rpc_text.h); the length */
size_t client_status_text(const struct client *c, char *to, size_t cap);
bool client_check(const struct client *c, char *err_text, size_t cap);

#endif
