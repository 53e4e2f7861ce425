/* cluster/rpc_format.h - bodies of calls and answers, as structs and as bytes (version 1).
 *
 * Little-endian, fields in the order of the struct, strings as u16 length + bytes, lists as u32
 * count + items.  Every get accepts any bytes and returns 0 or E_PROTO; list items are read one by
 * one with the item's get from `items` (a reader over the rest), so nothing is allocated.
 * Pointers point into the decoded bytes. */
#ifndef CLUSTER_RPC_FORMAT_H
#define CLUSTER_RPC_FORMAT_H

#include "core/buf.h"
#include "core/env.h"
#include "core/fsop.h"

/* RPC_SESSION_BEAT: the client lives.  session 0 asks for the worker list only. */
struct rpc_beat {
    struct session_id session;
    uint64_t workers_seen; /* version of the worker list that the client has */
};

struct rpc_worker_info { /* one line of the worker list */
    struct worker_id id;
    uint32_t alive;
    const char *addr, *host; /* host: name for "is it local?" */
    uint32_t addr_len, host_len;
};

struct rpc_beat_reply {
    uint64_t epoch;    /* of the master's leadership: a change means drop every lease */
    uint64_t lease_ns; /* the session's lease from when the beat was sent; 0: no such session */
    uint64_t page_bytes, stripe_bytes;
    uint64_t workers_version;
    uint32_t n_workers; /* items follow only if the version differs from workers_seen */
    struct rbuf items;
};

/* RPC_ADMIN */
enum rpc_admin_kind {
    RPC_ADMIN_REFRESH =
        1, /* path: forget what was verified; check against the under-store; recursive */
    RPC_ADMIN_FREE = 2,    /* path: drop cached pages, recursive */
    RPC_ADMIN_IMAGE = 3,   /* write a state image now */
    RPC_ADMIN_CHECK = 4,   /* meta_check now */
    RPC_ADMIN_UNMOUNT = 5, /* path of an under-store that the configuration names no more */
};
struct rpc_admin {
    uint32_t kind;
    const char *path;
    uint32_t path_len;
};

/* RPC_CHANGE: as struct journal_change */
enum rpc_change_verb {
    RPC_CHANGE_ADD,
    RPC_CHANGE_ADD_LEARNER,
    RPC_CHANGE_REMOVE,
    RPC_CHANGE_REPLACE,
    RPC_CHANGE_PRIORITY,
    RPC_CHANGE_ELECT,
};
struct rpc_change {
    uint32_t verb, id, new_id, priority;
    uint64_t timeout_ns; /* from when it arrives */
    const char *addr;
    uint32_t addr_len;
};

struct rpc_backup { /* RPC_BACKUP */
    uint64_t index, offset;
};

struct rpc_file { /* RPC_LOCATION */
    struct ino ino;
    uint64_t version;
};
struct rpc_location_item {
    struct worker_id worker;
    uint64_t pages, bytes;
};
struct rpc_location {
    uint32_t n;
    struct rbuf items;
};

/* RPC_INVALIDATE: a list of what to drop */
enum rpc_inval_kind {
    RPC_INVAL_ENTRY = 1,
    RPC_INVAL_ATTR = 2,
    RPC_INVAL_DATA = 3,
    RPC_INVAL_DIR = 4
};
struct rpc_inval {
    uint32_t kind;
    struct ino ino; /* ENTRY: the parent */
    const char *name;
    uint32_t name_len;
};

struct rpc_inos {
    uint32_t n;
    struct rbuf items; /* u64 each */
};

/* RPC_WORKER_BEAT */
enum rpc_beat_flag {
    RPC_BEAT_FULL_BEGIN = 1, /* forget what you knew of me */
    RPC_BEAT_FULL_END = 2,
    RPC_BEAT_LEAVING = 4,
};
struct rpc_page_delta { /* now so many pages of (ino, version) are cached; 0: none */
    struct ino ino;
    uint64_t version;
    uint32_t pages;
    uint64_t bytes;
};
struct rpc_worker_beat {
    struct worker_id id;
    uint64_t incarnation; /* random per process start */
    uint32_t flags;
    const char *addr, *host;
    uint32_t addr_len, host_len;
    uint64_t capacity, used, page_bytes;
    /* counters since start */
    uint64_t reads, hits, misses, bytes_served, ufs_bytes, ufs_reads, evictions, corrupt, errors;
    uint64_t handed_out, held_bytes; /* whole files given to processes of its host; held now */
    uint32_t n_deltas;
    struct rbuf items;
};
struct rpc_mount_item {
    uint16_t number, mode;
    const char *uri;
    uint32_t uri_len;
};
struct rpc_worker_beat_reply {
    uint64_t epoch;
    uint64_t interval_ns; /* next beat */
    uint64_t page_bytes;
    uint32_t want_full; /* the master does not know this incarnation: send a full report */
    uint32_t n_mounts;
    struct rbuf items; /* the mounts; then, to the end, the addresses of all masters of a group */
};

/* RPC_READ, RPC_WRITE, RPC_SYNC, RPC_LOAD, RPC_ALLOC */
enum rpc_io_flag {
    RPC_IO_LIVE = 1, /* the file is being written: straight from and to the under-store, no cache */
    RPC_IO_RESERVED = 2,
    RPC_IO_DATA = 4, /* SYNC: of the bytes and the size, as fdatasync does */
};
struct rpc_io {
    struct ino ino;
    uint64_t version, size, fp;
    uint64_t ufs_ino; /* the file that path is to lead to: E_CHANGED otherwise; 0: not known */
    uint16_t mount, flags;
    uint64_t off;
    uint32_t len;
    struct env_key key;
    uint64_t key_off;
    uint16_t valid_ms; /* of a write: at most RPC_WRITE_VALID_MS, which 0 stands for */
    const char *path;
    uint32_t path_len;
};
/* A worker begins to write what it pulled within this time after it asked for the bytes, or not at
 * all (E_AGAIN): whoever gets no answer knows when nothing can come any more.  Who has less time
 * than that says so in valid_ms. */
enum { RPC_WRITE_VALID_MS = 1000 };
/* A client begins no attempt to write to a place that it was given for an append later than this;
 * the master keeps the place for longer. */
enum { RPC_APPEND_VALID_MS = 45 * 1000 };

/* what becomes of io.off and the bytes behind it: enum ufs_alloc */
struct rpc_alloc {
    uint64_t len;
    uint32_t how;
};
enum { RPC_ALLOC_BYTES = 12 };

struct rpc_io_reply {
    uint32_t bytes;
    uint32_t hit; /* 1: every byte came from the cache */
    /* WRITE, SYNC: names the running kernel of the worker, 0: not known.  What one kernel took is
     * not made durable by another: its host has started anew in between. */
    uint64_t kernel;
};

/* RPC_LOCAL */
enum rpc_local_kind {
    RPC_LOCAL_HOLD = 1,   /* may this version of the file be opened past the worker? */
    RPC_LOCAL_RETURN = 2, /* token is not used any more */
    RPC_LOCAL_RENEW = 3,  /* everything that this connection holds is still in use */
};
struct rpc_local {
    uint32_t kind;
    struct ino ino;
    uint64_t version, size;
    uint64_t token;   /* chosen by the caller at random; not 0 */
    const char *host; /* which running kernel the caller is on */
    uint32_t host_len;
};
struct rpc_local_reply {
    const char *address; /* HOLD: where the descriptor is asked for, with the token */
    uint32_t address_len;
};

/* RPC_FREE: items until the end of the body */
struct rpc_free {
    struct ino ino;
    uint64_t below; /* versions < below; UINT64_MAX: all */
};

/* For lists: put the head with its count, then the items. */
void rpc_format_beat_put(struct wbuf *w, const struct rpc_beat *b);
int rpc_format_beat_get(struct rbuf *r, struct rpc_beat *ret_b);
void rpc_format_beat_reply_put(struct wbuf *w, const struct rpc_beat_reply *b);
int rpc_format_beat_reply_get(struct rbuf *r, struct rpc_beat_reply *ret_b);
void rpc_format_worker_info_put(struct wbuf *w, const struct rpc_worker_info *i);
int rpc_format_worker_info_get(struct rbuf *r, struct rpc_worker_info *ret_i);
void rpc_format_admin_put(struct wbuf *w, const struct rpc_admin *a);
int rpc_format_admin_get(struct rbuf *r, struct rpc_admin *ret_a);
void rpc_format_change_put(struct wbuf *w, const struct rpc_change *c);
int rpc_format_change_get(struct rbuf *r, struct rpc_change *ret_c);
void rpc_format_backup_put(struct wbuf *w, const struct rpc_backup *b);
int rpc_format_backup_get(struct rbuf *r, struct rpc_backup *ret_b);
void rpc_format_file_put(struct wbuf *w, const struct rpc_file *f);
int rpc_format_file_get(struct rbuf *r, struct rpc_file *ret_f);
void rpc_format_location_put(struct wbuf *w, const struct rpc_location *l);
int rpc_format_location_get(struct rbuf *r, struct rpc_location *ret_l);
void rpc_format_location_item_put(struct wbuf *w, const struct rpc_location_item *i);
int rpc_format_location_item_get(struct rbuf *r, struct rpc_location_item *ret_i);
void rpc_format_inval_put(struct wbuf *w, const struct rpc_inval *i);
int rpc_format_inval_get(struct rbuf *r, struct rpc_inval *ret_i);
void rpc_format_inos_put(struct wbuf *w, uint32_t n); /* then n times wbuf_u64 */
int rpc_format_inos_get(struct rbuf *r, struct rpc_inos *ret_i);
void rpc_format_worker_beat_put(struct wbuf *w, const struct rpc_worker_beat *b);
int rpc_format_worker_beat_get(struct rbuf *r, struct rpc_worker_beat *ret_b);
void rpc_format_delta_put(struct wbuf *w, const struct rpc_page_delta *d);
int rpc_format_delta_get(struct rbuf *r, struct rpc_page_delta *ret_d);
void rpc_format_worker_beat_reply_put(struct wbuf *w, const struct rpc_worker_beat_reply *b);
int rpc_format_worker_beat_reply_get(struct rbuf *r, struct rpc_worker_beat_reply *ret_b);
void rpc_format_mount_put(struct wbuf *w, const struct rpc_mount_item *m);
int rpc_format_mount_get(struct rbuf *r, struct rpc_mount_item *ret_m);
void rpc_format_addr_put(struct wbuf *w, const char *addr, uint32_t len);
int rpc_format_addr_get(struct rbuf *r, const char **ret_addr, uint32_t *ret_len);
void rpc_format_io_put(struct wbuf *w, const struct rpc_io *io);
int rpc_format_io_get(struct rbuf *r, struct rpc_io *ret_io);
void rpc_format_io_reply_put(struct wbuf *w, const struct rpc_io_reply *io);
int rpc_format_io_reply_get(struct rbuf *r, struct rpc_io_reply *ret_io);
void rpc_format_alloc_put(struct wbuf *w, const struct rpc_alloc *a);
int rpc_format_alloc_get(struct rbuf *r, struct rpc_alloc *ret_a);
void rpc_format_local_put(struct wbuf *w, const struct rpc_local *l);
int rpc_format_local_get(struct rbuf *r, struct rpc_local *ret_l);
void rpc_format_local_reply_put(struct wbuf *w, const struct rpc_local_reply *l);
int rpc_format_local_reply_get(struct rbuf *r, struct rpc_local_reply *ret_l);
void rpc_format_free_put(struct wbuf *w, const struct rpc_free *f);
int rpc_format_free_get(struct rbuf *r, struct rpc_free *ret_f);

#endif
