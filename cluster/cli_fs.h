/* cluster/cli_fs.h - what the `tarn fs` commands share: a connection, and walking trees. */
#ifndef CLUSTER_CLI_FS_H
#define CLUSTER_CLI_FS_H

#include "cluster/cli_commands.h"
#include "cluster/tarn.h"

/* CLI_OK with *ret_t, or an exit code (the error is printed) */
int cli_fs_connect(const struct cli *c, struct tarn **ret_t);

static inline bool cli_fs_is_dir(const struct fsattr *a)
{
    return (a->mode & FSOP_S_IFMT) == FSOP_S_IFDIR;
}

static inline bool cli_fs_is_file(const struct fsattr *a)
{
    return (a->mode & FSOP_S_IFMT) == FSOP_S_IFREG;
}

static inline bool cli_fs_is_link(const struct fsattr *a)
{
    return (a->mode & FSOP_S_IFMT) == FSOP_S_IFLNK;
}

/* "dir/name", "/name" for the root; false when it is too long */
bool cli_fs_join(char *to, size_t cap, const char *dir, const char *name);
/* What `from` is called inside a directory: its last name, whatever slashes follow it; "" for the
 * root, "." and "..", whose contents are meant.  To cap LIMIT_NAME + 1; false: too long */
bool cli_fs_basename(const char *from, char *to);

/* Visits path and everything below it, each directory before its entries (or after: post). The
 * visitor returns 0 to go on or an exit code to stop with.  Errors of listing are printed and make
 * the walk's own exit code CLI_FAILED, but do not stop it.  Memory is one batch a level. */
struct cli_fs_visitor {
    int (*visit)(struct cli_fs_visitor *v, const char *path, const struct fsattr *a);
    int (*leave)(struct cli_fs_visitor *v, const char *path,
                 const struct fsattr *a); /* may be NULL */
    const struct cli *cli;
    struct tarn *tarn;
};
int cli_fs_walk(struct cli_fs_visitor *v, const char *path, const struct fsattr *a, unsigned depth);

/* waits until each living worker has begun and sent a report */
int cli_status_fresh(const struct cli *c, struct tarn *t);
/* waits until the living workers have dropped what the master told them to */
int cli_status_freed(const struct cli *c, struct tarn *t);

#endif
