/* fuse/fuse_pass.h - passthrough: the kernel reads a whole cached file from the worker's disk
 * itself, without asking us. */
#ifndef FUSE_FUSE_PASS_H
#define FUSE_FUSE_PASS_H

#include "cluster/client.h"

struct fuse_ops;
struct fuse_ops_call;
struct fuse_pass;

enum { FUSE_PASS_BUCKETS = 256, FUSE_PASS_MIN = 1 << 20 /* bytes of a file that is worth it */ };

struct fuse_passes {
    bool is_on;    /* the kernel takes backing files from us */
    bool is_quiet; /* nothing is under way */
    bool is_stopping;
    int fd; /* of /dev/fuse */
    uint32_t pending, count;
    struct list bucket[FUSE_PASS_BUCKETS];
    struct list idle; /* registered and not open, oldest first */
    struct env_timer timer;
    uint64_t asked, refused, opened, clashes;
};

void fuse_pass_init(struct fuse_ops *o);
/* INIT was answered; offered: the kernel was told that we pass files through */
void fuse_pass_start(struct fuse_ops *o, int fd, bool offered);
/* Before the client stops: what waits is answered; is_quiet follows. */
void fuse_pass_stop(struct fuse_ops *o);

/* c->req.file was opened.  true: fuse_ops_io_attach follows, now or later. */
bool fuse_pass_begin(struct fuse_ops_call *c);
/* What this mount does to a file, told before the writer is answered: whoever reads it past us sees
 * that, too.  a: as it is afterwards; is_first: no other handle of ours writes it. */
void fuse_pass_write_opened(struct fuse_ops *o, const struct fsattr *a, bool is_first, bool is_cut);
void fuse_pass_write_closed(struct fuse_ops *o, struct ino ino); /* the last of ours */
void fuse_pass_wrote(struct fuse_ops *o, struct ino ino, const void *bytes, size_t n, off_t off);
void fuse_pass_alloced(struct fuse_ops *o, struct ino ino, int mode, off_t off, off_t len);
void fuse_pass_sized(struct fuse_ops *o, const struct fsattr *a, off_t size);
void fuse_pass_put(struct fuse_pass *p);
int32_t fuse_pass_id(const struct fuse_pass *p);
uint64_t fuse_pass_version(const struct fuse_pass *p);

#endif
