/* cluster/ufs.h - an under-store: where the files really live.
 *
 * One asynchronous table for a directory (ufs_dir), an object store later, and the simulator's
 * model (sim/lab_ufs).  Submits follow env.h's contract: done once, later, on the loop.
 *
 * Paths are relative to the mount's root, without leading '/', "" for the root itself; an
 * implementation must not follow a symbolic link out of the root on its way and never returns or
 * accepts the reserved directory ".tarn" in a listing.
 *
 * Fingerprint (fp): a 64-bit hash of (inode or etag, size, mtime, ctime); 0 when the last change is
 * younger than the clock's granularity, so that a second change could hide: not to be trusted.
 *
 * READ of a file with expect_fp != 0 is checked on the same descriptor before and after: E_CHANGED
 * unless both match.  Some (network file systems) give less than there is and say nothing: what is
 * shorter than its version is asked for again a few times, never kept, and then E_STALE.
 * A path is only where a file was last seen: READ, WRITE, SYNC and
 * ALLOC with expect_ino != 0 touch no other file than that one, whatever was renamed meanwhile.
 * Effects are idempotent where a repetition can be told: UFS_F_RESUME. */
#ifndef CLUSTER_UFS_H
#define CLUSTER_UFS_H

#include "core/env.h"
#include "core/fsop.h"

enum ufs_kind {
    UFS_STAT, /* path -> ent (its name empty; a link's target goes to buf) */
    UFS_LIST, /* path -> buf: encoded fsents; ret = bytes; call again with the same op (the cursor
                 is kept in impl) until ret is 0 or an error */
    UFS_LIST_END, /* gives a listing up early; needed only before ret was 0 or an error */
    UFS_NAMES,   /* path, off: place (0: the start) -> buf: encoded fsop_dirents with name, type and
                    FSATTR_BARE, each with the place after it as cookie; is_end.  Keeps nothing;
                    E_NOTSUP where listings have no places */
    UFS_LOOK,    /* path: a directory, names -> buf: an fsent for each, mode 0: not there; ent: the
                    directory's own, taken before them.  ret = bytes; as many as fit */
    UFS_READ,    /* path, off, len -> buf; ret = bytes (short only at the end of the file) */
    UFS_WRITE,   /* path, off, buf, len; ret = len; the file must exist */
    UFS_SYNC,    /* path: data and metadata durable, and the name; UFS_F_DATA: data and size */
    UFS_CREATE,  /* path, mode (type and permission), uid, gid, rdev; E_EXIST.  -> ent */
    UFS_MKDIR,   /* path, mode, uid, gid; E_EXIST.  -> ent */
    UFS_SYMLINK, /* path, path2: target, uid, gid; E_EXIST.  -> ent */
    UFS_LINK,    /* path -> path2; E_EXIST.  -> ent */
    UFS_UNLINK,  /* path; if hidden != "": kept under that name (its parent is made).  -> ent of a
                    regular file that has other names left; else, or if that is not known (as of
                    what was done before), mode 0: who asked may look at another name.
                    What has the hidden name makes room, unless RESUME finds expect_ino there:
                    then it was done */
    UFS_RMDIR,   /* path; E_NOTEMPTY */
    UFS_RENAME,  /* path -> path2, replacing atomically; if hidden != "": the replaced file is kept
                    under that name first, in the place of another only if it is expect_ino2, else
                    E_EXIST.  -> ent of the moved, ent2 of the replaced as UNLINK says.
                    UFS_F_EXCHANGE: the two change places, if path leads to expect_ino and path2 to
                    expect_ino2: else E_CHANGED.  -> ent of what path2 leads to now, ent2 of what
                    path does */
    UFS_SETATTR, /* path, valid FSOP_SET_*: mode, uid, gid, size, times.  -> ent */
    UFS_STATFS,  /* -> statfs */
    UFS_ALLOC,   /* path, off, size: length of the range, mode: enum ufs_alloc; the file must exist.
                    Like a WRITE otherwise; E_NOTSUP where the store has no such thing */
};

/* What is to become of a range: room is set aside, and the file is made longer where it ends
 * before, unless: */
enum ufs_alloc {
    UFS_ALLOC_KEEP = 1 << 0,  /* the file keeps its size */
    UFS_ALLOC_PUNCH = 1 << 1, /* it becomes a hole; KEEP, too */
    UFS_ALLOC_ZERO = 1 << 2,  /* it reads as zeros */
    UFS_ALLOC_ALL = 7,
};

enum ufs_flag {
    UFS_F_RESUME = 1 << 0, /* this effect may have been done already by somebody who crashed: a
                              state that looks as if it was done is success */
    UFS_F_EXCHANGE = 1 << 1,
    UFS_F_DATA = 1 << 2,
};

struct ufs_op {
    struct env_op op; /* ret: 0, a count, or E_* */
    enum ufs_kind kind;
    unsigned flags;
    const char *path, *path2, *hidden; /* ended by NUL, NULL is ""; must live until done */
    const uint8_t *names;              /* LOOK: each a u16 length and bytes; must live until done */
    uint32_t names_len;
    bool is_end; /* out: NAMES */
    void *buf;
    uint32_t len;
    uint64_t off;
    uint64_t expect_fp;
    uint64_t expect_ino;  /* READ, WRITE, SYNC, ALLOC: E_CHANGED if another file; 0: any */
    uint64_t expect_ino2; /* RENAME: of path2 */
    int64_t not_after_ns; /* WRITE, ALLOC, CREATE ... SETATTR: E_TIMEOUT, nothing done, if it would
                             begin later than that on the env's clock (now_ns); 0: whenever */
    uint32_t mode, uid, gid, rdev, valid;
    uint64_t size;
    int64_t atime_ns, mtime_ns;
    struct fsent ent, ent2;    /* out */
    struct fsop_statfs statfs; /* out */
    uint64_t impl[4];          /* zero before the first submit */
};

struct ufs;

struct ufs_vt {
    void (*submit)(struct ufs *u, struct ufs_op *op);
    void (*close)(struct ufs *u);
};

struct ufs {
    const struct ufs_vt *vt;
};

static inline void ufs_submit(struct ufs *u, struct ufs_op *op)
{
    u->vt->submit(u, op);
}

static inline void ufs_close(struct ufs *u)
{
    u->vt->close(u);
}

/* Makes under-stores from their URIs: "dir:/abs/path" in the real world, a model in the lab.  The
 * composition root gives one to master, workers and clients.  open: 0, or E_INVAL for a URI that it
 * does not know, E_NOENT, E_ACCES. */
struct ufs_factory {
    int (*open)(struct ufs_factory *f, struct env *e, const char *uri, struct ufs **ret_u);
};

#endif
