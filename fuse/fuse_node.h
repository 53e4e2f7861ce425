/* fuse/fuse_node.h - what the kernel holds of us: inodes, their lookups, and which answers are
 * still valid in its caches.
 *
 * It exists so that an invalidation costs nothing when the kernel cannot have the thing, which is
 * the common case, and so that pages of two versions never mix in one page cache.
 *
 * The kernel knows an inode by a number that we choose, usually ours.  An inode of which it reads a
 * backing file cannot be opened in any other way; when it must be, the node gets another number (an
 * alias: no inode has slot 0), and to the kernel a second inode of the same file begins.  Requests
 * are translated back as they are read. */
#ifndef FUSE_FUSE_NODE_H
#define FUSE_FUSE_NODE_H

#include "core/mem.h"

enum { FUSE_NODE_NAMES = 1 << 16, FUSE_NODE_ALIASES = 256 /* buckets */ };

struct fuse_alias {
    uint64_t id;
    struct ino ino;
    struct fuse_alias *next, *older; /* of the bucket; of the node */
};

struct fuse_pass;

struct fuse_node {
    struct ino ino, parent;   /* parent: for ".."; 0 when not known */
    uint64_t nlookup;         /* references that the kernel will give back by forget */
    uint64_t version;         /* of the pages that the kernel may hold */
    int64_t attr_until_ns;    /* its attributes may be valid in the kernel until then */
    int64_t entries_until_ns; /* some name below may be valid in the kernel until then */
    uint32_t handles;         /* open here */
    uint32_t cached;          /* of those, through the page cache */
    uint32_t writers;         /* ... to write, whatever the kernel calls the node */
    bool has_pages;
    /* as last told to the kernel: what is left to say of it when it is gone */
    uint32_t mode, uid, gid;
    /* as the kernel has it now: cached above, and these, are of the newest number */
    uint32_t open_now, n_pass; /* handles; of those, with a backing file */
    struct fuse_pass *pass;    /* theirs, while n_pass */
    struct fuse_alias *alias;  /* the newest; NULL: the kernel knows the node by ino */
    uint32_t n_aliases;
    bool is_listed;  /* a directory that was listed */
    bool names_only; /* ... without attributes */
    bool is_asked;   /* ... and of which one has been asked for since */
    struct fuse_node *next;
};

struct fuse_nodes {
    struct mem *mem;
    struct fuse_node **buckets;
    uint64_t n_buckets, count;
    int64_t entries_until_ns; /* the latest of all */
    struct fuse_alias *aliases[FUSE_NODE_ALIASES];
    uint64_t n_aliases, last_alias;
    /* For each hash of (parent, name): until when the kernel may use an answer about it.  Two names
     * on one slot cost a needless notification, nothing else. */
    int64_t *name_until_ns;
};

int fuse_node_init(struct fuse_nodes *t, struct mem *m) MUST_CHECK;
void fuse_node_drop(struct fuse_nodes *t);
/* NULL when the kernel does not hold it */
struct fuse_node *fuse_node_find(struct fuse_nodes *t, struct ino ino);
/* the node with one more lookup; NULL when memory is out */
struct fuse_node *fuse_node_ref(struct fuse_nodes *t, struct ino ino);
void fuse_node_forget(struct fuse_nodes *t, struct ino ino, uint64_t nlookup);
/* a handle is opened on it, closed; open before the reply, so that a forget cannot overtake it */
struct fuse_node *fuse_node_open(struct fuse_nodes *t, struct ino ino);
void fuse_node_close(struct fuse_nodes *t, struct fuse_node *n);

/* the kernel may use an answer about (parent, name) until then */
void fuse_node_name_given(struct fuse_nodes *t, struct ino parent, const char *name, size_t len,
                          int64_t until_ns);
int64_t fuse_node_name_until(const struct fuse_nodes *t, struct ino parent, const char *name,
                             size_t len);

/* what the kernel is told */
static inline uint64_t fuse_node_id(const struct fuse_node *n)
{
    return n->alias ? n->alias->id : n->ino.v;
}
/* what the kernel's number means; 0 for an alias that is not known any more */
struct ino fuse_node_real(const struct fuse_nodes *t, uint64_t id);
/* from now on the kernel is told another number; false when memory is out */
bool fuse_node_retire(struct fuse_nodes *t, struct fuse_node *n);
/* every number by which the kernel may know the node; ret: how many there are */
size_t fuse_node_ids(const struct fuse_node *n, struct ino *to, size_t cap);

/* Up to cap numbers of known nodes, going on at *cursor (0 first; 0 again at the end). */
size_t fuse_node_walk(const struct fuse_nodes *t, uint64_t *cursor, struct ino *to, size_t cap);

#endif
