/* cluster/tarn.h - a small blocking API for programs: connect, walk paths, read and write files.
 *
 * Wraps the asynchronous client (cluster/client.h) and its event loop: each call runs the loop in
 * the caller's thread until its answer is there or its deadline passed.  A struct tarn belongs to
 * one thread; a program may have several.  Cached leases are renewed only while a call runs; after
 * a longer silence the session is resumed, or replaced if it expired.
 *
 * Every int function returns 0 (or a count) or a negative E_* of core/err.h; tarn_strerror() has
 * the text.  Paths are absolute in the cluster ("/a/b") and followed through symbolic links except
 * for the last name of lstat, readlink, unlink, rename, link, lchown.  Permissions are those of
 * options.uid/gid.
 *
 *     struct tarn *t;
 *     struct tarn_options o = tarn_options_default();
 *     o.client.masters = "127.0.0.1:7700";
 *     if (tarn_connect(&o, &t) == 0) {
 *         struct tarn_file *f;
 *         if (tarn_open(t, "/model.bin", TARN_READ, 0, &f) == 0) { tarn_pread(f, ...);
 * tarn_close(f); } tarn_disconnect(t);
 *     } */
#ifndef CLUSTER_TARN_H
#define CLUSTER_TARN_H

#include "cluster/client.h"

struct tarn;
struct tarn_file;
struct tarn_dir;

struct tarn_options {
    struct client_config client; /* masters is required; see cluster/client.h */
    uint64_t memory_bytes;       /* budget; default 256 MiB */
    uint32_t uid, gid;           /* whose rights; default: the process's, with its groups */
    uint32_t n_groups, groups[LIMIT_GROUPS];
    bool direct_under_store; /* read the under-store itself when no worker answers */
    enum env_log log_level;  /* lines on stderr; default ENV_LOG_ERROR */
    const char *secret_file; /* of the cluster; NULL: none, and masters on loopback only */
};

enum tarn_open {
    TARN_READ = 1,
    TARN_WRITE = 2,
    TARN_CREATE = 4,
    TARN_EXCL = 8,
    TARN_TRUNC = 16,
};

struct tarn_dirent {
    const char *name; /* ended by NUL; valid until the next call on the same directory */
    struct fsattr attr;
};

struct tarn_options tarn_options_default(void);
/* waits for a master to answer: E_TIMEOUT, E_NOMEM, E_INVAL */
int tarn_connect(const struct tarn_options *o, struct tarn **ret_t) MUST_CHECK;
void tarn_disconnect(struct tarn *t);
const char *tarn_strerror(int err);

int tarn_stat(struct tarn *t, const char *path, struct fsattr *ret_a);
int tarn_lstat(struct tarn *t, const char *path, struct fsattr *ret_a);
int tarn_open(struct tarn *t, const char *path, unsigned flags, uint32_t mode,
              struct tarn_file **ret_f) MUST_CHECK;
/* short only at the end of the file */
int64_t tarn_pread(struct tarn_file *f, void *buf, size_t len, uint64_t off);
/* in the under-store when it returns */
int64_t tarn_pwrite(struct tarn_file *f, const void *buf, size_t len, uint64_t off);
int tarn_fsync(struct tarn_file *f);
struct fsattr tarn_fstat(const struct tarn_file *f);
/* reports an error in recording the file's final size; f is gone in any case */
int tarn_close(struct tarn_file *f);

int tarn_opendir(struct tarn *t, const char *path, struct tarn_dir **ret_d) MUST_CHECK;
/* 1 with *ret_e, 0 at the end, or E_*; "." and ".." are not among them */
int tarn_readdir(struct tarn_dir *d, struct tarn_dirent *ret_e);
void tarn_closedir(struct tarn_dir *d);

int tarn_mkdir(struct tarn *t, const char *path, uint32_t mode);
int tarn_unlink(struct tarn *t, const char *path);
int tarn_rmdir(struct tarn *t, const char *path);
int tarn_rename(struct tarn *t, const char *from, const char *to);
int tarn_link(struct tarn *t, const char *existing, const char *path);
int tarn_symlink(struct tarn *t, const char *target, const char *path);
/* bytes of the target, ended by NUL; E_RANGE when it does not fit */
int tarn_readlink(struct tarn *t, const char *path, char *buf, size_t cap);
int tarn_chmod(struct tarn *t, const char *path, uint32_t mode);
int tarn_chown(struct tarn *t, const char *path, uint32_t uid, uint32_t gid);
int tarn_truncate(struct tarn *t, const char *path, uint64_t size);
int tarn_utimens(struct tarn *t, const char *path, int64_t atime_ns, int64_t mtime_ns);
int tarn_statfs(struct tarn *t, struct fsop_statfs *ret_s);

/* For what has no wrapper: the layer below, and running the loop until *flag (set by a completion)
 * or until the deadline by env_now_ns: 0 or E_TIMEOUT. */
struct client *tarn_client(struct tarn *t);
struct env *tarn_env(struct tarn *t);
int tarn_run_until(struct tarn *t, const bool *flag, int64_t deadline_ns);
struct client_file *tarn_client_file(struct tarn_file *f);
/* one metadata request, as the options' user; r->reply.data is copied to data (cap) if it fits */
int tarn_fs(struct tarn *t, struct client_req *r, void *data, uint32_t cap);
/* the inode that `path` names; its parent and last name, whether that exists or not (E_BUSY: "/")
 */
int tarn_walk(struct tarn *t, const char *path, bool follow, struct fsattr *ret_a);
int tarn_walk_parent(struct tarn *t, const char *path, struct fsattr *ret_parent,
                     char ret_name[LIMIT_NAME + 1]);
/* a call to the master; the answer is copied to reply */
int tarn_call(struct tarn *t, uint16_t method, const void *body, uint32_t len, void *reply,
              uint32_t cap, uint32_t *ret_len);

#endif
