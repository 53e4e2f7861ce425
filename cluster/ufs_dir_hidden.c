/* cluster/ufs_dir_hidden.c - files that lose their last name and are kept under a hidden one.
 *
 * INVARIANTS
 *  1. A hidden name belongs to one inode number, and of one history of the journal a number is
 *     given once.  After a restore or a recovery the journal gives numbers again: then another file
 *     may have the name, which nobody can ask for any more, and it makes room.
 *  2. Bytes that somebody may ask for stay: the name is taken from another file only by the file
 *     that the record knows by number (expect), at no moment by nothing, and never from that one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cluster/ufs_dir_impl.h"

int ufs_dir_make_parents(struct ufs_dir *d, const char *path)
{
    char part[LIMIT_BELOW];
    int err = ufs_dir_path_check(path);
    for (const char *slash = path; !err && (slash = strchr(slash, '/')); slash++) {
        memcpy(part, path, (size_t)(slash - path));
        part[slash - path] = 0;
        struct ufs_dir_at at;
        err = ufs_dir_resolve(d, part, &at);
        if (!err && mkdirat(at.fd, at.name, 0700) && errno != EEXIST)
            err = ufs_dir_err();
        ufs_dir_release(&at);
    }
    return err;
}

bool ufs_dir_is_same(const struct ufs_dir_at *a, const struct ufs_dir_at *b)
{
    struct stat sa, sb;
    return !fstatat(a->fd, a->name, &sa, AT_SYMLINK_NOFOLLOW) &&
           !fstatat(b->fd, b->name, &sb, AT_SYMLINK_NOFOLLOW) && sa.st_ino == sb.st_ino &&
           sa.st_dev == sb.st_dev;
}

static bool hidden_is(const struct ufs_dir_at *at, uint64_t expect)
{
    struct stat st;
    return expect && !fstatat(at->fd, at->name, &st, AT_SYMLINK_NOFOLLOW) && st.st_ino == expect;
}

static bool hidden_links_fail(int error)
{
    /* no links here, or none to a file of somebody else */
    return error == EPERM || error == EMLINK || error == EOPNOTSUPP;
}

int ufs_dir_hide(const struct ufs_dir_at *at, const struct ufs_dir_at *hidden,
                 const struct ufs_op *o)
{
    struct stat st, kept;
    if (fstatat(at->fd, at->name, &st, AT_SYMLINK_NOFOLLOW))
        return ufs_dir_err();
    if (S_ISDIR(st.st_mode))
        return E_ISDIR;
    /* rename between two names of one file does nothing */
    if (ufs_dir_is_same(at, hidden))
        return unlinkat(at->fd, at->name, 0) ? ufs_dir_err() : 0;
    /* done before: what has the name now came later, from outside */
    if ((o->flags & UFS_F_RESUME) && hidden_is(hidden, o->expect_ino) &&
        !fstatat(hidden->fd, hidden->name, &kept, AT_SYMLINK_NOFOLLOW) && kept.st_dev == st.st_dev)
        return 0;
    if (!renameat(at->fd, at->name, hidden->fd, hidden->name))
        return 0;
    if (errno != EXDEV)
        return ufs_dir_err();
    return unlinkat(at->fd, at->name, 0) ? ufs_dir_err() : 0; /* ufs_dir.c, invariant 5 */
}

/* invariant 2.  By a link beside it: between two looks another master may have done the same. */
static int hidden_supersede(const struct ufs_dir_at *to, const struct ufs_dir_at *hidden,
                            uint64_t expect)
{
    struct ufs_dir_at aside = {.fd = hidden->fd};
    if (!hidden_is(to, expect) || strlen(hidden->name) + sizeof ".new" > sizeof aside.name)
        return E_EXIST;
    strcpy(aside.name, hidden->name);
    strcat(aside.name, ".new");
    if (!hidden_is(&aside, expect)) /* one of an attempt that was cut off */
        unlinkat(aside.fd, aside.name, 0);
    if (linkat(to->fd, to->name, aside.fd, aside.name, 0) && errno != EEXIST) {
        if (!hidden_links_fail(errno) || !hidden_is(to, expect))
            return ufs_dir_err();
        return renameat(to->fd, to->name, hidden->fd, hidden->name) ? ufs_dir_err() : 0;
    }
    int err = hidden_is(&aside, expect) ? 0 : E_EXIST;
    if (!err && renameat(aside.fd, aside.name, hidden->fd, hidden->name))
        err = ufs_dir_err();
    unlinkat(aside.fd, aside.name, 0); /* there only after an error, or if it was done meanwhile */
    return hidden_is(hidden, expect) ? 0 : err;
}

int ufs_dir_keep(struct ufs_dir *d, const struct ufs_op *o, const struct ufs_dir_at *to,
                 struct ufs_dir_at *ret_hidden, bool *ret_kept)
{
    struct stat st;
    if (fstatat(to->fd, to->name, &st, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT ? 0 : ufs_dir_err();
    if (S_ISDIR(st.st_mode)) /* only an empty one can be replaced, and nothing of it is kept */
        return 0;
    int err = ufs_dir_make_parents(d, o->hidden);
    if (!err)
        err = ufs_dir_resolve(d, o->hidden, ret_hidden);
    if (err)
        return err;
    if (linkat(to->fd, to->name, ret_hidden->fd, ret_hidden->name, 0)) {
        int error = errno;
        if (error == EXDEV || (error == EEXIST && ufs_dir_is_same(to, ret_hidden)))
            return 0;
        if (error == EEXIST)
            err = hidden_supersede(to, ret_hidden, o->expect_ino2);
        /* the name is free for a moment */
        else if (!hidden_links_fail(error) ||
                 renameat(to->fd, to->name, ret_hidden->fd, ret_hidden->name))
            err = ufs_dir_err();
        if (err)
            return err == E_XDEV ? 0 : err;
    }
    *ret_kept = true;
    return 0;
}
