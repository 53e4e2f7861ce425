/* fuse/fuse_ops.h - the kernel's requests, answered through cluster/client.h.
 *
 * Shared by fuse_ops.c (namespace, attributes, the life of a request), fuse_ops_io.c (open files),
 * fuse_ops_dir.c (listings), fuse_ops_inval.c (what the cluster makes us forget) and fuse_loop.c,
 * which reads requests from the device. */
#ifndef FUSE_FUSE_OPS_H
#define FUSE_FUSE_OPS_H

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif
#include <fuse_lowlevel.h>
#include "cluster/client.h"
#include "core/pool.h"
#include "fuse/fuse_inval.h"
#include "fuse/fuse_node.h"
#include "fuse/fuse_options.h"
#include "fuse/fuse_pass.h"

enum {
    FUSE_OPS_IO = 1 << 20, /* bytes of the largest read or write */
    FUSE_OPS_HEAD = 4096,  /* before the payload of a buffer; holds a request's headers */
    FUSE_OPS_BUFFER = FUSE_OPS_HEAD + FUSE_OPS_IO + 4096,
    FUSE_OPS_RESERVE = 4,  /* buffers that reads leave to the device and to writes */
    FUSE_OPS_CALLS = 2048, /* requests under way */
};

enum fuse_ops_kind {
    CALL_ENTRY, /* lookup, mknod, mkdir, symlink, link: answers with an entry */
    CALL_ATTR,  /* getattr, setattr */
    CALL_NONE,  /* unlink, rmdir, rename, setxattr, removexattr, access: answers with a code */
    CALL_READLINK,
    CALL_STATFS,
    CALL_XATTR, /* getxattr, listxattr */
    CALL_LSEEK,
    CALL_READDIR,
    CALL_OPEN,
    CALL_CREATE,       /* create: the name is being made */
    CALL_CREATE_FOUND, /* ... it was there: being looked up */
    CALL_CREATE_OPEN,  /* ... the file is being opened */
    CALL_READ,
    CALL_WRITE,
    CALL_WRITE_KILL,  /* a write before which set-user-id bits are being cleared */
    CALL_WRITE_PLACE, /* an append that asks where the end is */
    CALL_WRITE_UNDO,  /* ... and that failed: the place is given back */
    CALL_WRITE_SYNC,  /* a write that is to be durable: O_DSYNC, O_SYNC, RWF_DSYNC, -o sync */
    CALL_ALLOC,
    CALL_FSYNC,
    CALL_RELEASE,
};

/* One request under way.  From fuse_ops_begin to fuse_ops_end. */
struct fuse_ops_call {
    union { /* create uses req twice; what uses both has size, off and data meanwhile */
        struct client_req req;
        struct client_io io;
    };
    struct fuse_ops *o;
    fuse_req_t fuse; /* NULL once answered */
    enum fuse_ops_kind kind;
    struct list wait; /* for a buffer (o->waiting) or the end of an interrupt's grace */
    struct list interrupt;
    int64_t interrupted_ns;
    bool is_dying;    /* who asked is being killed */
    bool is_writing;  /* io is a write under way */
    bool is_given_up; /* answered EINTR when nothing of it can come any more */
    char *buf;        /* a buffer that the call owns */
    struct fuse_ops_file *file;
    struct fuse_ops_dir *dir;
    bool plus, is_user; /* listing: with attributes; xattrs: for whom not all is visible */
    bool is_append, is_sync, is_datasync, is_alloc;
    int flags;
    size_t size;
    off_t off;
    int64_t place;      /* write: number of the question where to append */
    char *data;         /* write: in buf */
    uint64_t inval_gen; /* when it was sent */
    uint64_t node_id;   /* open: the kernel's number of the inode; 0 for a new one */
    struct ino parent;  /* of the entry that comes back */
    uint32_t name_len, name2_len;
    char name[LIMIT_NAME + 1], name2[LIMIT_NAME + 1];
};

struct fuse_ops_file { /* an open file; fi->fh */
    struct client_file *file;
    struct fuse_node *node;
    uint32_t busy; /* calls under way on it */
    bool cached;   /* through the page cache */
    bool is_writer;
    uint64_t node_id;              /* the kernel's inode that it belongs to */
    struct fuse_pass *pass;        /* the kernel reads this itself */
    struct fuse_ops_call *release; /* waits for busy to end */
};

struct fuse_ops_dir { /* an open directory; fi->fh */
    struct ino ino;
    uint32_t busy;
    bool is_released;
    /* one batch of entries: those after cookie `first`; the next one to give is at pos, it comes
     * after cookie `next` */
    char *batch;
    uint32_t len, pos;
    uint64_t first, next;
    bool filled, eof;
    bool names_only;              /* chosen when it was read from its start */
    struct fuse_ops_given *given; /* fuse_ops_dir.c: names that are not given a second time */
    int64_t until_ns;
    uint64_t inval_gen;
};

struct fuse_ops_stats {
    uint64_t requests, replies, interrupted, buffer_waits, pauses, invals, invals_skipped;
};

struct fuse_loop;

struct fuse_ops {
    struct client_host host;
    struct env *env;
    struct mem *mem;
    struct client *client;
    struct fuse_session *se;
    struct fuse_options opts;
    struct pool calls;
    struct fuse_nodes nodes;
    struct fuse_inval inval;
    struct fuse_passes pass;
    int64_t n_places;        /* to append to, that were asked for */
    uint64_t req_node;       /* of the request being processed, as the kernel named it */
    struct list interrupted; /* calls in the order of interrupted_ns */
    struct env_timer interrupt_timer;
    struct list waiting;     /* reads that wait for a buffer */
    char *buffers;           /* n_buffers * FUSE_OPS_BUFFER, page-aligned */
    struct mem buffers_part; /* their share of mem's budget */
    uint32_t n_buffers, n_free;
    char **free_buffers;
    char *recv;     /* the buffer the device is read into; NULL when none is free */
    bool recv_kept; /* the request just processed keeps o->recv */
    char *scratch;  /* FUSE_OPS_IO bytes for an answer made and sent at once */
    bool is_init;   /* the kernel's INIT was answered */
    uint32_t plain; /* listings lately, one after the other, of which nobody asked attributes */
    /* who asks the master for the names of a listed directory one by one (fuse_ops_dir.c) */
    struct ino missed;
    uint32_t misses;
    struct client_req ahead; /* READDIR of it */
    uint64_t ahead_cookie;
    bool is_ahead; /* it is under way */
    uint64_t inval_gen;
    /* one walk over every known inode at a time */
    struct env_op walk;
    enum { FUSE_OPS_WALK_NAMES, FUSE_OPS_WALK_INODES, FUSE_OPS_WALK_EXPIRY } walk_state;
    uint64_t walk_cursor;
    int64_t walk_until_ns;
    bool is_walking;
    struct list walk_now, walk_next; /* env_ops to acknowledge */
    struct env_timer walk_timer;
    struct fuse_loop *loop; /* fuse_loop.c's own */
    /* room for another request came back */
    void (*on_room)(struct fuse_ops *o);
    struct fuse_ops_stats stats;
};

extern const struct fuse_lowlevel_ops fuse_ops_table;

int fuse_ops_init(struct fuse_ops *o, struct env *e, struct mem *m, const struct fuse_options *opts,
                  uint32_t buffers) MUST_CHECK;
/* when no call is under way */
void fuse_ops_drop(struct fuse_ops *o);
/* false: reading another request from the device must wait for on_room */
bool fuse_ops_has_room(const struct fuse_ops *o);
/* o->recv after a request was processed from it: a fresh buffer if the request kept it */
void fuse_ops_recv_next(struct fuse_ops *o);
/* answers what waits for a buffer: the mount ends */
void fuse_ops_abort(struct fuse_ops *o);

/* fuse_ops.c, for the files beside it.  NULL: answered already. */
struct fuse_ops_call *fuse_ops_begin(fuse_req_t req, enum fuse_ops_kind kind);
void fuse_ops_end(struct fuse_ops_call *c);
void fuse_ops_err(struct fuse_ops_call *c, int err); /* answers and ends */
void fuse_ops_send(struct fuse_ops_call *c);         /* client_fs with the caller's interrupt */
void fuse_ops_watch(struct fuse_ops_call *c);        /* from here on an interrupt is heard */
void fuse_ops_caller(struct fuse_ops_call *c);       /* acts as the calling user */
char *fuse_ops_keep_recv(struct fuse_ops_call *c);
char *fuse_ops_buffer_get(struct fuse_ops *o);
void fuse_ops_buffer_put(struct fuse_ops *o, char *b);
struct stat fuse_ops_stat(const struct fsattr *a);
double fuse_ops_seconds(int64_t most_ns, uint64_t lease_ns);
double fuse_ops_attr_seconds(struct fuse_ops *o, const struct fsattr *a, uint64_t lease_ns);
/* fills e and counts the lookup; false when memory is out */
bool fuse_ops_entry(struct fuse_ops *o, struct ino parent, const char *name, size_t len,
                    const struct fsattr *a, uint64_t lease_ns, struct fuse_entry_param *ret_e);
void fuse_ops_req_done(struct env_op *op);

/* fuse_ops_io.c */
void fuse_ops_io_opened(struct fuse_ops_call *c, int err);
/* gives the handle of an open to the kernel, with a backing file or without (NULL) */
void fuse_ops_io_attach(struct fuse_ops_call *c, struct fuse_pass *pass);
void fuse_ops_io_created(struct fuse_ops_call *c, int err);
void fuse_ops_io_killed(struct fuse_ops_call *c, int err);
void fuse_ops_io_placed(struct fuse_ops_call *c, int err);
void fuse_ops_io_undone(struct fuse_ops_call *c);
/* the permission bits that a file has once a stranger has changed it; 0: those it has */
uint32_t fuse_ops_io_killed_mode(const struct fuse_file_info *fi);
void fuse_ops_io_lseek(struct fuse_ops_call *c, int err);
void fuse_ops_io_room(struct fuse_ops *o); /* a buffer is free */
void fuse_ops_io_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fuse_ops_io_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                        struct fuse_file_info *fi);
void fuse_ops_io_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                      struct fuse_file_info *fi);
void fuse_ops_io_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
                       struct fuse_file_info *fi);
void fuse_ops_io_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fuse_ops_io_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fuse_ops_io_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void fuse_ops_io_alloc(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
                       struct fuse_file_info *fi);
void fuse_ops_io_seek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
                      struct fuse_file_info *fi);

/* fuse_ops_dir.c */
void fuse_ops_dir_filled(struct fuse_ops_call *c, int err);
void fuse_ops_dir_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fuse_ops_dir_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                       struct fuse_file_info *fi);
void fuse_ops_dir_readplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                           struct fuse_file_info *fi);
void fuse_ops_dir_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
/* a name of dir, which was listed, was not known here: the master was asked */
void fuse_ops_dir_missed(struct fuse_ops *o, struct ino dir);
void fuse_ops_dir_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

/* fuse_ops_inval.c */
void fuse_ops_inval_init(struct fuse_ops *o);
/* The kernel forgets the attributes of n; done is called then, or at once when it has none. */
void fuse_ops_inval_own(struct fuse_ops *o, struct fuse_node *n, struct env_op *done);
void fuse_ops_inval_stop(struct fuse_ops *o);

#endif
