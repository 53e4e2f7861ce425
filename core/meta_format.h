/* core/meta_format.h - the metadata machine's records as they lie in pages and images.
 *
 * Little-endian, no padding, no pointers: records name each other by slot (0: none).  A record that
 * is indexed begins with a struct store_link.  The first u32 of a freed record belongs to the free
 * list.  A change here raises STORE_VERSION. */
#ifndef CORE_META_FORMAT_H
#define CORE_META_FORMAT_H

#include "core/store.h"

enum meta_table { /* numbers of the store's tables; part of the image format */
                  TABLE_SUPER,
                  TABLE_INODE,
                  TABLE_DENTRY,
                  TABLE_DENTRY_BUCKET,
                  TABLE_XATTR,
                  TABLE_SESSION,
                  TABLE_SESSION_BUCKET,
                  TABLE_REPLY,
                  TABLE_REPLY_BUCKET,
                  TABLE_WRITER,
                  TABLE_MOUNT,
                  TABLE_INTENT,
                  TABLE_LOCK,
                  TABLE_LOCK_BUCKET,
                  TABLE_ORPHAN,
                  TABLE_BLOB, /* and the STORE_BLOB_CLASSES - 1 after it */
                  TABLE_COUNT = TABLE_BLOB + STORE_BLOB_CLASSES,
};

enum { META_GONE = 128, META_ATTRS = 256 };

/* One record, slot 1: what belongs to no other table. */
struct meta_super {
    uint16_t rules; /* version of the state machine's rules (FSOP_VERSION) */
    uint16_t reserved;
    uint32_t tree_locks;
    uint64_t applied;
    uint64_t era; /* of the group (FSOP_LIMITS): versions given from then on are above it */
    uint64_t intent_count; /* intents ever opened: the high bits of their ids */
    uint64_t orphans;
    uint32_t session_first, session_last; /* in id order */
    uint32_t intent_first, intent_last;   /* in id order */
    uint64_t inodes_max;                  /* FSOP_LIMITS; 0: those of meta_open */
    uint32_t sessions_max;
    uint32_t memory_mib; /* most bytes of pages; 0: no limit */
    /* of the last record that took a name away through us, by directory: see dir_gone() */
    uint64_t gone_index[META_GONE];
    /* of the last record that changed attributes, sizes or links, by slot: see inode_touch() */
    uint64_t attr_index[META_ATTRS];
};

enum meta_inode_flag {
    INODE_LOADED = 1 << 0,
    INODE_ORPHAN = 1 << 1,
    INODE_MOUNT_ROOT = 1 << 2,
    INODE_RESERVED = 1 << 3, /* number given to an open intent; not there for anybody else */
};

/* Slot and gen are the inode's number.  mode 0: free. */
struct meta_inode {
    uint32_t links; /* its first dentry */
    uint32_t gen;
    uint64_t version;
    uint64_t size; /* directory: sequence of the next entry */
    uint64_t fp;
    int64_t atime_ns, mtime_ns, ctime_ns;
    uint32_t mode, nlink, uid, gid; /* nlink: dentries; directory: 2 + subdirectories */
    uint16_t mount, flags;
    uint32_t xattrs;
    union {
        struct {
            uint32_t first, last, count; /* entries in cookie order */
        } dir;
        struct {
            uint32_t writers;
            uint32_t ufs_lo, ufs_hi; /* the under-store's number of it */
        } file;
        struct {
            uint32_t target;
        } symlink;
        struct {
            uint32_t rdev;
        } dev;
    };
    uint32_t n_locks;
};

enum meta_dentry_flag { DENTRY_SEEN = 1 << 0 }; /* by the load under way */

struct meta_dentry {
    struct store_link index; /* by parent and name */
    uint32_t parent, node;
    uint32_t prev, next; /* in the parent, in sequence order */
    uint32_t link_next;  /* of the same inode */
    uint32_t name;
    uint32_t seq_lo;
    uint16_t seq_hi, flags;
};

struct meta_xattr {
    uint32_t next, name, value, pad;
};

struct meta_session {
    struct store_link index; /* by id */
    uint64_t id;
    uint64_t acked;
    uint32_t name, prev, next;
    uint32_t replies, n_replies;
    uint32_t writers;
};

/* One request that is not acknowledged: answered (reply) or waiting for its outcome (intent). */
struct meta_reply {
    struct store_link index; /* by session and seq */
    uint64_t seq;
    uint64_t intent; /* 0: answered */
    uint32_t reply;  /* blob: fsop_reply_put */
    uint32_t session, prev, next;
};

struct meta_writer {
    uint32_t next_of_file, next_of_session, prev_of_session, node, session;
};

struct meta_mount {
    uint64_t check_interval_ns;
    uint64_t root; /* inode number */
    uint32_t path, uri;
    uint32_t mode; /* 0: free */
    uint32_t pad;
};

struct meta_intent_rec {
    uint32_t prev, next;
    uint64_t id; /* count << 20 | slot; 0: free */
    uint64_t session, seq;
    uint64_t ino, parent, parent2, replaced; /* replaced, LOAD: cookie of the last name that its end
                                                has passed */
    uint32_t op;                             /* blob: fsop_put */
    uint32_t locks;
    uint16_t kind, mount;
    uint32_t left; /* LOAD: held names that differ below */
};

enum meta_lock_kind {
    LOCK_NAME = 1,  /* (node, name): nobody else changes that entry */
    LOCK_INODE = 2, /* nobody else changes node or takes its names away */
    LOCK_TREE = 3,  /* INODE, and nothing below changes */
    LOCK_LOAD = 4,  /* node's names are being listed: no new mutation of any */
};

struct meta_lock {
    struct store_link index; /* NAME: by node and name; else by node */
    uint32_t intent;         /* slot of the owner */
    uint32_t next;           /* of the same owner */
    uint32_t node, name;
    uint32_t kind, pad;
};

struct meta_orphan_bits { /* record k: slots 64 (k - 1) to 64 (k - 1) + 63 of the inode table */
    uint64_t bits;
};

static_assert(sizeof(struct meta_super) == 72 + 8 * (META_GONE + META_ATTRS), "format");
static_assert(sizeof(struct meta_inode) == 96, "format");
static_assert(sizeof(struct meta_dentry) == 40, "format");
static_assert(sizeof(struct meta_xattr) == 16, "format");
static_assert(sizeof(struct meta_session) == 48, "format");
static_assert(sizeof(struct meta_reply) == 40, "format");
static_assert(sizeof(struct meta_writer) == 20, "format");
static_assert(sizeof(struct meta_mount) == 32, "format");
static_assert(sizeof(struct meta_intent_rec) == 80, "format");
static_assert(sizeof(struct meta_lock) == 32, "format");
static_assert((int)TABLE_COUNT <= (int)STORE_TABLES_MAX, "tables");

#endif
