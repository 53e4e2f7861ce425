/* fuse/fuse_point.h - the mount point: is it fit, what is mounted there, unmounting it. */
#ifndef FUSE_FUSE_POINT_H
#define FUSE_FUSE_POINT_H

#include "core/base.h"
#include "core/err.h"

struct fuse_point {
    unsigned major, minor; /* of the mounted device, names its bdi */
    char type[64], source[256];
};

/* An absolute path, without touching what may be mounted at its end.  0, E_NOENT, ..., E_RANGE */
int fuse_point_resolve(const char *path, char *ret_abs, size_t cap) MUST_CHECK;
/* The topmost mount at exactly this absolute path; false when there is none. */
bool fuse_point_find(const char *abs, struct fuse_point *ret_p);
/* Is another file system mounted in a directory below this absolute path? */
bool fuse_point_has_inner(const char *abs);
/* enum fuse_mount_exit.  is_cleaning: a dead tarn mount found there is removed. */
int fuse_point_check(const char *abs, bool nonempty, bool is_cleaning, char *err_text, size_t cap);
/* 0, E_BUSY (something is open in it), E_INVAL (not mounted), E_PERM, E_IO.  May block. */
int fuse_point_unmount(const char *abs, bool lazy) MUST_CHECK;
/* false when it may not be set */
bool fuse_point_readahead(const struct fuse_point *p, uint32_t kb);

#endif
