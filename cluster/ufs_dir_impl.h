/* cluster/ufs_dir_impl.h - what the files of the directory under-store share; nobody else includes
 * it. */
#ifndef CLUSTER_UFS_DIR_IMPL_H
#define CLUSTER_UFS_DIR_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include "cluster/ufs_dir.h"

#define UFS_DIR_HIDDEN ".tarn"

struct ufs_dir {
    struct ufs u;
    struct env *env;
    int root;
    struct list all;     /* every under-store of the process */
    struct list waiting; /* operations, while busy is its share: see ufs_dir_turn.c */
    unsigned busy;       /* operations on threads */
    void (*work)(struct env_op *op);
    atomic_uint share;      /* most of them */
    atomic_uint refs;       /* the owner's, and one per operation under way */
    atomic_bool no_openat2; /* the kernel (or a sandbox) refuses it */
    pthread_mutex_t force;  /* held while a file's mode is widened to open it */
};

/* A resolved name: the directory that holds it, and the last component ("." for the root). */
struct ufs_dir_at {
    int fd;
    char name[LIMIT_NAME + 1];
};

/* ---- ufs_dir.c */
int ufs_dir_err(void); /* of errno */
bool ufs_dir_is_reserved(const char *path);
int ufs_dir_path_check(const char *path);
/* opens a checked path beneath the root: a descriptor or -1 with errno */
int ufs_dir_open_path(struct ufs_dir *d, const char *path, int flags);
void ufs_dir_ent(const struct stat *st, struct fsent *ret_ent);
/* the ent of a resolved name; a link's target goes to buf if there is one */
int ufs_dir_look(const struct ufs_dir_at *at, char *buf, uint32_t cap, struct fsent *ret_ent);

int ufs_dir_resolve(struct ufs_dir *d, const char *path, struct ufs_dir_at *ret_at);
void ufs_dir_release(struct ufs_dir_at *at);

/* ---- ufs_dir_hidden.c */
/* mkdir -p of everything above a hidden name, for the daemon's eyes only */
int ufs_dir_make_parents(struct ufs_dir *d, const char *path);
/* same file behind two names? */
bool ufs_dir_is_same(const struct ufs_dir_at *a, const struct ufs_dir_at *b);
/* UNLINK: at gets the hidden name */
int ufs_dir_hide(const struct ufs_dir_at *at, const struct ufs_dir_at *hidden,
                 const struct ufs_op *o);
/* Keeps the file that a rename replaces under its hidden name.  ret_kept: whether a name was made.
 */
int ufs_dir_keep(struct ufs_dir *d, const struct ufs_op *o, const struct ufs_dir_at *to,
                 struct ufs_dir_at *ret_hidden, bool *ret_kept);

/* ---- ufs_dir_turn.c */
void ufs_dir_turn_join(struct ufs_dir *d);
void ufs_dir_turn_leave(struct ufs_dir *d);
/* fn(op) on a thread when it is this under-store's turn, then op->done on the loop */
void ufs_dir_turn_submit(struct ufs_dir *d, struct ufs_op *o, void (*fn)(struct env_op *op));
void ufs_dir_put(struct ufs_dir *d);

/* ---- ufs_dir_names.c */
int64_t ufs_dir_names_list(struct ufs_dir *d, struct ufs_op *o);
int64_t ufs_dir_names_look(struct ufs_dir *d, struct ufs_op *o);

#endif
