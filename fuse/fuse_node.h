/* fuse/fuse_node.h - what the kernel holds of us: inodes, their lookups, and which answers are
 * still valid in its caches.
 *
 * It exists so that an invalidation costs nothing when the kernel cannot have the thing, which is
 * the common case, and so that pages of two versions never mix in one page cache. */
#ifndef FUSE_FUSE_NODE_H
#define FUSE_FUSE_NODE_H

#include "core/mem.h"

enum { FUSE_NODE_NAMES = 1 << 16 };

struct fuse_node {
    struct ino ino, parent;   /* parent: for ".."; 0 when not known */
    uint64_t nlookup;         /* references that the kernel will give back by forget */
    uint64_t version;         /* of the pages that the kernel may hold */
    int64_t entries_until_ns; /* some name below may be valid in the kernel until then */
    uint32_t handles;         /* open here */
    uint32_t cached;          /* of those, through the page cache */
    bool has_pages;
    struct fuse_node *next;
};

struct fuse_nodes {
    struct mem *mem;
    struct fuse_node **buckets;
    uint64_t n_buckets, count;
    int64_t entries_until_ns; /* the latest of all */
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

/* Up to cap numbers of known nodes, going on at *cursor (0 first; 0 again at the end). */
size_t fuse_node_walk(const struct fuse_nodes *t, uint64_t *cursor, struct ino *to, size_t cap);

#endif
