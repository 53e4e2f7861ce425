/* core/fsop.h - one file system operation and its answer, as a struct and as bytes.
 *
 * The same struct is the client's request, the record in the journal and the input of the metadata
 * state machine (core/meta.h), so there is one codec and nothing is translated on the way.
 *
 * Format (version 1): u16 kind, u16 flags, u32 presence mask, then every present field in the order
 * of the mask's bits, little-endian.  A field equal to zero (or empty) is absent; decoding gives
 * zero.  Unknown kinds decode (and are answered E_NOTSUP at apply); unknown mask bits are E_PROTO.
 *
 * Ownership: decoded pointers (name, data, ...) point into the decoded bytes. */
#ifndef CORE_FSOP_H
#define CORE_FSOP_H

#include "core/buf.h"
#include "core/err.h"
#include "core/limits.h"

enum fsop_kind {
    /* mutations: journaled, evaluated at apply */
    FSOP_NOOP = 0,
    FSOP_SESSION_OPEN = 1,  /* name: the client's own description.  reply.value: the session id */
    FSOP_SESSION_CLOSE = 2, /* arg: session id.  Also its expiry.  Writers must be closed before */
    FSOP_MOUNT = 3,         /* name: tarn path, data: under-store URI, arg: enum fsop_mount_mode,
                               size: check interval in ns.  reply.value: mount number */
    FSOP_UNMOUNT = 4,       /* name: tarn path */
    FSOP_LOAD = 5,          /* ino: directory; data: batch of fsent; see FSOP_F_LOAD_* */
    FSOP_REFRESH = 6,       /* ino; data: one fsent as found in the under-store (empty: gone).
                               Here, in LOAD and in WRITE_CLOSE, size: meta_path_mark() when it was
                               looked for; E_CONFLICT if that is another by now.  LOAD, mtime_ns:
                               record applied when the names, or in the last batch the directory
                               itself, were read: what was changed through us since keeps its
                               attributes.  LOAD that begins, atime_ns: version of
                               the directory before its names were read; E_CONFLICT if that is
                               another by now */
    FSOP_MKNOD = 8,         /* ino: parent, name, mode (type and permission), rdev.  FSOP_F_OPEN: a
                               regular file, which the session begins to write, as by WRITE_OPEN;
                               reply.data: its path, as of OPEN */
    FSOP_MKDIR = 9,         /* ino: parent, name, mode */
    FSOP_SYMLINK = 10,      /* ino: parent, name, data: target */
    FSOP_LINK = 11,         /* ino: existing file, ino2: new parent, name */
    FSOP_UNLINK = 12,       /* ino: parent, name */
    FSOP_RMDIR = 13,        /* ino: parent, name */
    FSOP_RENAME = 14,       /* ino: parent, name -> ino2: new parent, name2; FSOP_F_NOREPLACE,
                               FSOP_F_EXCHANGE */
    FSOP_SETATTR = 15,      /* ino; valid: FSOP_SET_*; mode, set_uid, set_gid, size, times */
    FSOP_SETXATTR = 16,     /* ino, name, data; FSOP_F_XATTR_CREATE / _REPLACE */
    FSOP_REMOVEXATTR = 17,  /* ino, name */
    FSOP_WRITE_OPEN = 18,   /* ino: the session begins to write it (once per session and file);
                               FSOP_F_TRUNC: size to 0 as an effect of its own */
    FSOP_WRITE_CLOSE = 19,  /* ino: the session ended writing; data: one fsent (master fills in);
                               mtime_ns: record applied when it was looked for, as for LOAD */
    FSOP_OUTCOME = 20,      /* arg: intent id, err: 0 or the under-store's error; data: fsents of
                               target, parent, second parent; an empty name and type 0 is "none".
                               Of an exchange, one more: of what was behind name2 */
    FSOP_RECLAIM = 21,      /* ino: an orphan nobody holds; its bytes are gone already */
    FSOP_VERSION = 22,      /* arg: version of state-machine rules from this record on, which never
                               falls (META_RULES says when one is needed) */
    FSOP_LIMITS = 23,       /* size: most inodes, arg: most sessions, mtime_ns: most bytes of state
                               (0: no limit), atime_ns: era of the group, from this record on */
    FSOP_NOTE = 24,         /* arg: intent id of an exchange; size, mtime_ns: what the under-store
                               calls the two things whose places are about to be exchanged */
    /* queries: answered from applied state, never journaled */
    FSOP_LOOKUP = 64,    /* ino: parent, name; mode 1: its neighbours will be asked for too */
    FSOP_GETATTR = 65,   /* ino; size: of an append, whose place is wanted; arg: the
                            place + 1 that is given back; mtime_ns: number of the question,
                            another one for each place */
    FSOP_READDIR = 66,   /* ino, arg: cookie to start after (0: begin), size: most bytes, mode 1:
                            names and types will do (FSATTR_BARE).
                            reply.data: fsop_dirent...; FSOP_R_EOF */
    FSOP_READLINK = 67,  /* ino; reply.data: target */
    FSOP_GETXATTR = 68,  /* ino, name; reply.data */
    FSOP_LISTXATTR = 69, /* ino; reply.data: names, each ended by NUL */
    FSOP_STATFS = 70, /* reply.data: struct fsop_statfs encoded; ino, mode 1: no data, but what is
                         in that directory is durable in the under-store */
    FSOP_OPEN = 71,   /* ino, mode: wanted FSOP_ACCESS_* bits, arg 1: it was seen changed in the
                         under-store, compare now.  reply: attr (version, fp) and data:
                         under-store path relative to the mount */
    FSOP_ACCESS = 72, /* ino, mode: FSOP_ACCESS_* bits */
    FSOP_MOUNTS = 73, /* reply.data: u16 count, then fsop_mount_info... */
};

enum fsop_flag {
    FSOP_F_NOREPLACE = 1 << 0,
    FSOP_F_EXCHANGE = 1 << 1,
    FSOP_F_TRUNC = 1 << 2,
    FSOP_F_XATTR_CREATE = 1 << 3,
    FSOP_F_XATTR_REPLACE = 1 << 4,
    FSOP_F_LOAD_BEGIN =
        1 << 5, /* first batch of a full listing: locks the directory; reply.intent */
    FSOP_F_LOAD_LAST =
        1 << 6,             /* last batch: entries not seen since BEGIN are removed, the directory
                               is loaded, the lock ends.  arg: the intent of BEGIN.  Without
                               BEGIN/arg: single entries found by name, added or refreshed. */
    FSOP_F_ABSENT = 1 << 7, /* names the tree does not know are known to be absent below, so
                               answer E_NOENT (or go on) instead of E_NOT_LOADED */
    FSOP_F_OPEN = 1 << 8,
    FSOP_F_PART = 1 << 9,   /* LOAD, REFRESH: takes away a bounded number of names; reply.value 1:
                               there is more of it, the same record again */
    FSOP_F_ASIDE = 1 << 10, /* of a query: a standby may answer it (cluster/master_standby.c) */
};

enum fsop_set { /* bits of fsop.valid */
                FSOP_SET_MODE = 1 << 0,
                FSOP_SET_UID = 1 << 1,
                FSOP_SET_GID = 1 << 2,
                FSOP_SET_SIZE = 1 << 3,
                FSOP_SET_ATIME = 1 << 4,
                FSOP_SET_MTIME = 1 << 5,
                FSOP_SET_ATIME_NOW = 1 << 6, /* the leader's time_ns is used */
                FSOP_SET_MTIME_NOW = 1 << 7,
};

enum fsop_access { FSOP_ACCESS_X = 1, FSOP_ACCESS_W = 2, FSOP_ACCESS_R = 4 };

enum fsop_mount_mode {
    FSOP_MOUNT_RO = 1,      /* the under-store is never changed */
    FSOP_MOUNT_THROUGH = 2, /* every change reaches the under-store before it is acknowledged */
    FSOP_MOUNT_META = 3,    /* no under-store: names and attributes only, held by the journal */
};

/* type and permission bits of fsattr.mode, as POSIX numbers them */
enum fsop_mode {
    FSOP_S_IFMT = 0170000,
    FSOP_S_IFDIR = 0040000,
    FSOP_S_IFREG = 0100000,
    FSOP_S_IFLNK = 0120000,
    FSOP_S_IFIFO = 0010000,
    FSOP_S_IFSOCK = 0140000,
    FSOP_S_IFCHR = 0020000,
    FSOP_S_IFBLK = 0060000,
};

struct fsop {
    uint16_t kind, flags;
    struct session_id session; /* 0: the master itself (loads, outcomes, reclaims) */
    uint64_t seq;              /* the session's number of this request; 0: not to be deduplicated */
    uint64_t acked;            /* every reply below it has reached the client */
    int64_t time_ns;           /* wall time, chosen by the leader */
    uint32_t uid, gid;
    uint32_t n_groups;
    uint32_t groups[LIMIT_GROUPS];
    struct ino ino, ino2;
    uint32_t mode, rdev, valid, set_uid, set_gid;
    uint64_t size;
    int64_t atime_ns, mtime_ns;
    uint64_t arg;
    int32_t err;
    const char *name, *name2; /* not ended by NUL */
    uint32_t name_len, name2_len;
    const void *data;
    uint32_t data_len;
};

enum fsattr_flag {
    FSATTR_LIVE = 1 << 0,   /* somebody writes: read past the caches, do not keep size or data */
    FSATTR_LOADED = 1 << 1, /* directory: its listing is complete */
    FSATTR_ORPHAN = 1 << 2, /* unlinked but held */
    FSATTR_MOUNT_ROOT = 1 << 3,
    FSATTR_RO = 1 << 4,   /* lies in a read-only mount */
    FSATTR_BARE = 1 << 5, /* of a listing: nothing but the type is known, and ino is no inode */
};

struct fsattr {
    struct ino ino;
    uint64_t version; /* of the content; rises with every change, never falls */
    uint64_t size;
    uint64_t fp;      /* fingerprint of the under-store's file; 0: not to be trusted yet */
    uint64_t ufs_ino; /* regular file: what the under-store itself calls it; 0: not known */
    int64_t atime_ns, mtime_ns, ctime_ns;
    uint32_t mode, nlink, uid, gid, rdev;
    uint16_t mount, flags;
};

enum fsop_reply_flag { FSOP_R_EOF = 1 << 0, FSOP_R_DUPLICATE = 1 << 1 };

struct fsop_reply {
    int32_t err;
    uint32_t flags;
    uint64_t index;    /* journal index the answer is true at */
    uint64_t value;    /* session id, mount number, ... */
    uint64_t intent;   /* master only: an under-store effect is owed; never sent to a client */
    uint64_t lease_ns; /* how long the client may use the answer without asking again */
    struct fsattr attr;
    const void *data;
    uint32_t data_len;
};

/* What the under-store says about one name. */
struct fsent {
    const char *name;
    uint32_t name_len;
    uint32_t mode, nlink, uid, gid, rdev;
    uint64_t size, fp, ufs_ino;
    int64_t atime_ns, mtime_ns, ctime_ns;
    const char *target; /* symbolic link */
    uint32_t target_len;
};

#define FSOP_COOKIE_BELOW ((uint64_t)1 << 62)

/* One entry of a READDIR reply. */
struct fsop_dirent {
    uint64_t cookie; /* with FSOP_COOKIE_BELOW: a place in the under-store's own listing */
    struct fsattr attr;
    const char *name;
    uint32_t name_len;
};

struct fsop_statfs {
    uint64_t bytes, bytes_free, files, files_free;
    uint32_t name_max, block;
};

struct fsop_mount_info {
    uint16_t number, mode;
    uint64_t check_interval_ns;
    struct ino root;
    const char *path, *uri;
    uint32_t path_len, uri_len;
};

static inline bool fsop_is_query(uint16_t kind)
{
    return kind >= 64;
}

/* "rename" */
const char *fsop_kind_name(uint16_t kind);

/* All decoders return 0 or E_PROTO and accept any bytes; all *_put set w->bad when out of room. */
void fsop_put(struct wbuf *w, const struct fsop *op);
int fsop_get(struct rbuf *r, struct fsop *ret_op);
void fsop_reply_put(struct wbuf *w, const struct fsop_reply *rep);
int fsop_reply_get(struct rbuf *r, struct fsop_reply *ret_rep);
void fsop_attr_put(struct wbuf *w, const struct fsattr *a);
int fsop_attr_get(struct rbuf *r, struct fsattr *ret_a);
void fsop_ent_put(struct wbuf *w, const struct fsent *e);
int fsop_ent_get(struct rbuf *r, struct fsent *ret_e);
void fsop_dirent_put(struct wbuf *w, const struct fsop_dirent *d);
int fsop_dirent_get(struct rbuf *r, struct fsop_dirent *ret_d);
void fsop_statfs_put(struct wbuf *w, const struct fsop_statfs *s);
int fsop_statfs_get(struct rbuf *r, struct fsop_statfs *ret_s);
void fsop_mount_put(struct wbuf *w, const struct fsop_mount_info *i);
int fsop_mount_get(struct rbuf *r, struct fsop_mount_info *ret_i);

#endif
