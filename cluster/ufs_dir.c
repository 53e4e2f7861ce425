/* cluster/ufs_dir.c - the under-store over a POSIX directory.
 *
 * Every operation runs on one of env_work()'s threads and may block there.  An operation is a pure
 * function of its ufs_op and the root's descriptor, so any number run at once and nothing is
 * cached: a descriptor per read costs a few microseconds of a transfer of a mebibyte and is always
 * right.
 *
 * INVARIANTS
 *  1. Nothing outside the root is reached: a path is resolved from the root's descriptor, beneath
 *     it, through no symbolic link (openat2; where the kernel has none or the path is too long for
 *     it, one component at a time with O_NOFOLLOW), and the last component is never followed.
 *  2. The reserved directory ".tarn" is neither listed nor found by its own name; what lies in it
 *     is reached by whoever knows the name (files that are unlinked but still held).
 *  3. A fingerprint is given only when the file's ctime is older than FP_YOUNG_NS, which exceeds
 *     every kernel's timestamp granularity: a change after the fingerprint was taken has another
 *     ctime.
 *  4. An effect that fails half way is undone, or is completed by its repetition with UFS_F_RESUME.
 *  5. A file is kept under its hidden name where that can be: not when another file system is
 *     mounted below the root and the file lies there.  Then it is gone at once, and who has it open
 *     reads E_STALE: better than names that cannot be removed.
 *
 * impl[0] of an op is the under-store, impl[1] the cursor of a listing, impl[2] the caller's done.
 */
#include "cluster/ufs_dir_impl.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>
#include "net/net_errno.h"

enum { UFS_DIR_FP_YOUNG_NS = 20 * 1000 * 1000 };

struct ufs_dir_cursor {
    DIR *dir;
    bool is_root, has_pending;
    char pending[LIMIT_NAME + 1]; /* read from the directory, but had no room in the last batch */
};

int ufs_dir_err(void)
{
    return net_errno_to_err(errno);
}

static const char *ufs_dir_text(const char *s)
{
    return s ? s : "";
}

bool ufs_dir_is_reserved(const char *path)
{
    return !strcmp(path, UFS_DIR_HIDDEN);
}

/* ---- paths ---- */

int ufs_dir_path_check(const char *path)
{
    size_t n = strlen(path);
    if (n >= LIMIT_BELOW)
        return E_NAMETOOLONG;
    for (const char *at = path; *at;) {
        size_t k = strcspn(at, "/");
        if (k == 0 || (k == 1 && at[0] == '.') || (k == 2 && at[0] == '.' && at[1] == '.'))
            return E_INVAL;
        if (k > LIMIT_NAME)
            return E_NAMETOOLONG;
        at += k;
        if (*at == '/' && !*++at)
            return E_INVAL;
    }
    return 0;
}

/* The walk for kernels without openat2, and for what is longer than a call may name.  ret: a
 * descriptor or -1 with errno. */
static int ufs_dir_walk(int root, const char *path, int flags)
{
    int fd = dup(root);
    while (fd >= 0) {
        char name[LIMIT_NAME + 1];
        size_t k = strcspn(path, "/");
        memcpy(name, path, k);
        name[k] = 0;
        bool last = path[k] == 0;
        int to = last ? openat(fd, name, flags | O_NOFOLLOW | O_CLOEXEC)
                      : openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int saved = errno;
        close(fd);
        errno = saved;
        fd = to;
        if (last)
            break;
        path += k + 1;
    }
    return fd;
}

/* Opens a checked path beneath the root.  ret: a descriptor or -1 with errno. */
int ufs_dir_open_path(struct ufs_dir *d, const char *path, int flags)
{
    if (!*path)
        return openat(d->root, ".", flags | O_CLOEXEC);
    if (strlen(path) < LIMIT_PATH && !atomic_load(&d->no_openat2)) {
        struct open_how how = {.flags = (uint64_t)(flags | O_NOFOLLOW | O_CLOEXEC),
                               .resolve =
                                   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
        for (int tries = 0; tries < 16; tries++) { /* EAGAIN: something was renamed meanwhile */
            long fd = syscall(SYS_openat2, d->root, path, &how, sizeof how);
            if (fd >= 0)
                return (int)fd;
            if (errno == ENOSYS || errno == EPERM) {
                /* a sandbox answers EPERM for what it does not know; a file may do so too, and then
                 * the walk finds out */
                if (errno == ENOSYS)
                    atomic_store(&d->no_openat2, true);
                return ufs_dir_walk(d->root, path, flags);
            }
            if (errno != EAGAIN && errno != EINTR)
                return -1;
        }
        return -1;
    }
    return ufs_dir_walk(d->root, path, flags);
}

int ufs_dir_resolve(struct ufs_dir *d, const char *path, struct ufs_dir_at *ret_at)
{
    ret_at->fd = -1;
    int err = ufs_dir_path_check(path);
    if (err)
        return err;
    char parent[LIMIT_BELOW];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    memcpy(parent, path, n);
    parent[n] = 0;
    strcpy(ret_at->name, *path ? (slash ? slash + 1 : path) : ".");
    ret_at->fd = ufs_dir_open_path(d, parent, O_PATH | O_DIRECTORY);
    return ret_at->fd < 0 ? ufs_dir_err() : 0;
}

void ufs_dir_release(struct ufs_dir_at *at)
{
    if (at->fd >= 0)
        close(at->fd);
    at->fd = -1;
}

/* ---- what a file looks like ---- */

static int64_t ufs_dir_ns(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint64_t ufs_dir_fp(const struct stat *st)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (ufs_dir_ns(st->st_ctim) > ufs_dir_ns(now) - UFS_DIR_FP_YOUNG_NS)
        return 0;
    uint64_t f[4] = {st->st_ino, (uint64_t)st->st_size, (uint64_t)ufs_dir_ns(st->st_mtim),
                     (uint64_t)ufs_dir_ns(st->st_ctim)};
    uint64_t h = base_hash(f, sizeof f, 1);
    return h ? h : 1;
}

void ufs_dir_ent(const struct stat *st, struct fsent *ret_ent)
{
    *ret_ent = (struct fsent){
        .mode = st->st_mode,
        .nlink = (uint32_t)st->st_nlink,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .rdev = (uint32_t)st->st_rdev,
        .size = (uint64_t)st->st_size,
        .fp = ufs_dir_fp(st),
        .ufs_ino = st->st_ino,
        .atime_ns = ufs_dir_ns(st->st_atim),
        .mtime_ns = ufs_dir_ns(st->st_mtim),
        .ctime_ns = ufs_dir_ns(st->st_ctim),
    };
}

/* The ent of a resolved name; a link's target goes to buf if there is one. */
int ufs_dir_look(const struct ufs_dir_at *at, char *buf, uint32_t cap, struct fsent *ret_ent)
{
    struct stat st;
    if (fstatat(at->fd, at->name, &st, AT_SYMLINK_NOFOLLOW))
        return ufs_dir_err();
    ufs_dir_ent(&st, ret_ent);
    if (S_ISLNK(st.st_mode) && buf && cap) {
        ssize_t n = readlinkat(at->fd, at->name, buf, cap);
        if (n < 0)
            return ufs_dir_err();
        if ((uint32_t)n == cap)
            return E_RANGE;
        ret_ent->target = buf;
        ret_ent->target_len = (uint32_t)n;
    }
    return 0;
}

static int ufs_dir_stat(struct ufs_dir *d, struct ufs_op *o)
{
    const char *path = ufs_dir_text(o->path);
    if (ufs_dir_is_reserved(path))
        return E_NOENT;
    struct ufs_dir_at at;
    int err = ufs_dir_resolve(d, path, &at);
    if (!err)
        err = ufs_dir_look(&at, o->buf, o->len, &o->ent);
    ufs_dir_release(&at);
    return err;
}

/* ---- listing ---- */

static void ufs_dir_list_end(struct ufs_op *o)
{
    struct ufs_dir_cursor *c = (void *)(uintptr_t)o->impl[1];
    if (c) {
        closedir(c->dir);
        free(c);
    }
    o->impl[1] = 0;
}

static int ufs_dir_list_begin(struct ufs_dir *d, struct ufs_op *o)
{
    const char *path = ufs_dir_text(o->path);
    if (ufs_dir_is_reserved(path))
        return E_NOENT;
    int err = ufs_dir_path_check(path);
    if (err)
        return err;
    int fd = ufs_dir_open_path(d, path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return ufs_dir_err();
    struct ufs_dir_cursor *c = calloc(1, sizeof *c);
    DIR *dir = c ? fdopendir(fd) : NULL;
    if (!dir) {
        err = c ? ufs_dir_err() : E_NOMEM;
        free(c);
        close(fd);
        return err;
    }
    c->dir = dir;
    c->is_root = !*path;
    o->impl[1] = (uintptr_t)c;
    return 0;
}

/* ret: 1 when the cursor holds a name, 0 at the end, or an error */
static int ufs_dir_list_next(struct ufs_dir_cursor *c)
{
    while (!c->has_pending) {
        errno = 0;
        struct dirent *e = readdir(c->dir);
        if (!e)
            return errno ? ufs_dir_err() : 0;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
            (c->is_root && ufs_dir_is_reserved(e->d_name)))
            continue;
        size_t n = strlen(e->d_name);
        if (n > LIMIT_NAME)
            continue;
        memcpy(c->pending, e->d_name, n + 1);
        c->has_pending = true;
    }
    return 1;
}

static int64_t ufs_dir_list(struct ufs_dir *d, struct ufs_op *o)
{
    int err = 0;
    if (!o->impl[1] && (err = ufs_dir_list_begin(d, o)))
        return err;
    struct ufs_dir_cursor *c = (void *)(uintptr_t)o->impl[1];
    struct wbuf w = wbuf_make(o->buf, o->len);
    char target[LIMIT_PATH];
    while ((err = ufs_dir_list_next(c)) == 1) {
        struct ufs_dir_at at = {.fd = dirfd(c->dir)};
        strcpy(at.name, c->pending);
        struct fsent ent;
        err = ufs_dir_look(&at, target, sizeof target, &ent);
        if (err == E_NOENT) { /* unlinked while we list */
            c->has_pending = false;
            continue;
        }
        if (err)
            break;
        ent.name = c->pending;
        ent.name_len = (uint32_t)strlen(c->pending);
        size_t before = w.len;
        fsop_ent_put(&w, &ent);
        if (w.bad) {
            w.len = before;
            err = before ? 0 : E_RANGE;
            break;
        }
        c->has_pending = false;
    }
    if (err < 0 || w.len == 0)
        ufs_dir_list_end(o);
    return err < 0 ? err : (int64_t)w.len;
}

/* ---- bytes ---- */

/* Opens a file that the daemon owns although its mode forbids it: whoever created it (0444, as git
 * does) may write through the descriptor of the creation, and we write on its behalf. */
static int ufs_dir_open_forced(struct ufs_dir *d, const char *path, int flags)
{
    int fd = -1, saved = EACCES;
    pthread_mutex_lock(&d->force);
    struct stat st;
    int at = ufs_dir_open_path(d, path, O_PATH);
    if (at >= 0 && !fstat(at, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid()) {
        char proc[64];
        snprintf(proc, sizeof proc, "/proc/self/fd/%d", at);
        if (!chmod(proc, (st.st_mode & 07777) | 0600)) {
            fd = open(proc, flags | O_CLOEXEC);
            saved = errno;
            chmod(proc, st.st_mode & 07777);
        }
    }
    if (at >= 0)
        close(at);
    pthread_mutex_unlock(&d->force);
    errno = saved;
    return fd;
}

/* Something else has taken the place of the file that ino names, or of a directory above it: the
 * caller is to ask where it is now.  (A missing name says so by itself.) */
static int ufs_dir_other(int err, uint64_t ino)
{
    switch (err) {
    case E_LOOP:
    case E_NOTDIR:
    case E_ISDIR:
    case E_NXIO:
    case E_INVAL:
        return ino ? E_CHANGED : err;
    default:
        return err;
    }
}

/* Opens a regular file for bytes; not another one than ino, if that is given.  ret: a descriptor or
 * E_*. */
static int ufs_dir_open_file(struct ufs_dir *d, const char *path, int flags, uint64_t ino,
                             struct stat *ret_st)
{
    int err = ufs_dir_path_check(path);
    if (err)
        return err;
    flags |= O_NONBLOCK | O_NOCTTY; /* a FIFO or a terminal must not hang or take us */
    int fd = ufs_dir_open_path(d, path, flags);
    if (fd < 0 && errno == EACCES)
        fd = ufs_dir_open_forced(d, path, flags);
    if (fd < 0)
        return ufs_dir_other(ufs_dir_err(), ino);
    if (fstat(fd, ret_st))
        err = ufs_dir_err();
    else if (!S_ISREG(ret_st->st_mode))
        err = ufs_dir_other(S_ISDIR(ret_st->st_mode) ? E_ISDIR : E_INVAL, ino);
    if (!err && ino && ino != ret_st->st_ino)
        err = E_CHANGED;
    if (err) {
        close(fd);
        return err;
    }
    return fd;
}

static int64_t ufs_dir_read(struct ufs_dir *d, struct ufs_op *o)
{
    struct stat st;
    int fd = ufs_dir_open_file(d, ufs_dir_text(o->path), O_RDONLY, o->expect_ino, &st);
    if (fd < 0)
        return fd;
    int64_t ret = 0;
    if (o->expect_fp && ufs_dir_fp(&st) != o->expect_fp)
        ret = E_CHANGED;
    while (ret >= 0 && ret < o->len) {
        ssize_t n = pread(fd, (char *)o->buf + ret, o->len - (size_t)ret, (off_t)o->off + ret);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            ret = ufs_dir_err();
        if (n <= 0)
            break;
        ret += n;
    }
    if (ret >= 0 && o->expect_fp) {
        if (fstat(fd, &st))
            ret = ufs_dir_err();
        else if (ufs_dir_fp(&st) != o->expect_fp)
            ret = E_CHANGED;
    }
    close(fd);
    return ret;
}

/* now_ns of the env, as a thread may ask for it */
static int64_t ufs_dir_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return ufs_dir_ns(t);
}

static int64_t ufs_dir_write(struct ufs_dir *d, struct ufs_op *o)
{
    struct stat st;
    int fd = ufs_dir_open_file(d, ufs_dir_text(o->path), O_WRONLY, o->expect_ino, &st);
    if (fd < 0)
        return fd;
    int64_t ret = 0;
    if (o->not_after_ns && ufs_dir_now_ns() > o->not_after_ns) /* the last thing before the write */
        ret = E_TIMEOUT;
    while (ret >= 0 && ret < o->len) {
        ssize_t n =
            pwrite(fd, (const char *)o->buf + ret, o->len - (size_t)ret, (off_t)o->off + ret);
        if (n < 0 && errno == EINTR)
            continue;
        ret = n < 0 ? ufs_dir_err() : n == 0 ? E_IO : ret + n;
    }
    if (close(fd) && ret >= 0)
        ret = ufs_dir_err();
    return ret;
}

static int ufs_dir_alloc(struct ufs_dir *d, struct ufs_op *o)
{
    struct stat st;
    int how = (o->mode & UFS_ALLOC_KEEP ? FALLOC_FL_KEEP_SIZE : 0) |
              (o->mode & UFS_ALLOC_PUNCH ? FALLOC_FL_PUNCH_HOLE : 0) |
              (o->mode & UFS_ALLOC_ZERO ? FALLOC_FL_ZERO_RANGE : 0);
    if (o->off > INT64_MAX || o->size > INT64_MAX || o->mode & ~(uint32_t)UFS_ALLOC_ALL)
        return E_INVAL;
    int fd = ufs_dir_open_file(d, ufs_dir_text(o->path), O_WRONLY, o->expect_ino, &st);
    if (fd < 0)
        return fd;
    int err = 0, again = EINTR;
    while (!err && again == EINTR)
        if (o->not_after_ns && ufs_dir_now_ns() > o->not_after_ns)
            err = E_TIMEOUT;
        else if (!fallocate(fd, how, (off_t)o->off, (off_t)o->size))
            break;
        else if ((again = errno) != EINTR)
            err = ufs_dir_err();
    if (close(fd) && !err)
        err = ufs_dir_err();
    return err;
}

static int ufs_dir_sync(struct ufs_dir *d, struct ufs_op *o)
{
    const char *path = ufs_dir_text(o->path);
    int err = ufs_dir_path_check(path);
    if (err)
        return err;
    int fd = ufs_dir_open_path(d, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == EACCES)
        fd = ufs_dir_open_forced(d, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return ufs_dir_other(ufs_dir_err(), o->expect_ino);
    struct stat st;
    if (fstat(fd, &st))
        err = ufs_dir_err();
    else if (o->expect_ino && o->expect_ino != st.st_ino)
        err = E_CHANGED;
    else if (o->flags & UFS_F_DATA ? fdatasync(fd) : fsync(fd))
        err = ufs_dir_err();
    close(fd);
    if (err || !*path || o->flags & UFS_F_DATA)
        return err;
    struct ufs_dir_at at;
    err = ufs_dir_resolve(d, path, &at);
    if (!err && (fd = openat(at.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0) {
        if (fsync(fd))
            err = ufs_dir_err();
        close(fd);
    }
    ufs_dir_release(&at);
    return err;
}

/* ---- names ---- */

static int ufs_dir_chown(const struct ufs_dir_at *at, bool set_uid, uint32_t uid, bool set_gid,
                         uint32_t gid)
{
    struct stat st;
    if (fstatat(at->fd, at->name, &st, AT_SYMLINK_NOFOLLOW))
        return ufs_dir_err();
    uid_t u = set_uid && st.st_uid != uid ? uid : (uid_t)-1;
    gid_t g = set_gid && st.st_gid != gid ? gid : (gid_t)-1;
    if (u == (uid_t)-1 && g == (gid_t)-1) /* an unprivileged daemon may not even repeat it */
        return 0;
    return fchownat(at->fd, at->name, u, g, AT_SYMLINK_NOFOLLOW) ? ufs_dir_err() : 0;
}

static int ufs_dir_make_one(const struct ufs_dir_at *at, const struct ufs_op *o)
{
    switch (o->kind) {
    case UFS_MKDIR:
        return mkdirat(at->fd, at->name, 0700) ? ufs_dir_err() : 0;
    case UFS_SYMLINK:
        return symlinkat(ufs_dir_text(o->path2), at->fd, at->name) ? ufs_dir_err() : 0;
    default:
        break;
    }
    mode_t type = o->mode & S_IFMT;
    if (type && type != S_IFREG)
        return mknodat(at->fd, at->name, type | 0600, o->rdev) ? ufs_dir_err() : 0;
    int fd = openat(at->fd, at->name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return ufs_dir_err();
    close(fd);
    return 0;
}

/* Does what is there look like the outcome of the same operation? */
static bool ufs_dir_looks_made(const struct ufs_dir_at *at, const struct ufs_op *o)
{
    char target[LIMIT_PATH];
    struct fsent ent = {0};
    if (ufs_dir_look(at, target, sizeof target, &ent))
        return false;
    mode_t type = ent.mode & S_IFMT;
    if (o->kind == UFS_MKDIR)
        return type == S_IFDIR;
    if (o->kind == UFS_SYMLINK) {
        const char *want = ufs_dir_text(o->path2);
        return type == S_IFLNK && ent.target_len == strlen(want) &&
               !memcmp(ent.target, want, ent.target_len);
    }
    mode_t want = o->mode & S_IFMT ? o->mode & S_IFMT : S_IFREG;
    return type == want && (type != S_IFREG || ent.size == 0);
}

static int ufs_dir_make(struct ufs_dir *d, struct ufs_op *o)
{
    const char *path = ufs_dir_text(o->path);
    if (ufs_dir_is_reserved(path))
        return E_PERM;
    if (!*path)
        return E_EXIST;
    struct ufs_dir_at at;
    int err = ufs_dir_resolve(d, path, &at);
    if (err)
        goto out;
    bool made = false;
    err = ufs_dir_make_one(&at, o);
    if (!err)
        made = true;
    else if (err == E_EXIST && (o->flags & UFS_F_RESUME) && ufs_dir_looks_made(&at, o))
        err = 0;
    if (err)
        goto out;
    err = ufs_dir_chown(&at, true, o->uid, true, o->gid);
    if (!err && o->kind != UFS_SYMLINK &&
        fchmodat(at.fd, at.name, o->mode & 07777, AT_SYMLINK_NOFOLLOW))
        err = ufs_dir_err();
    if (!err)
        err = ufs_dir_look(&at, NULL, 0, &o->ent);
    if (err && made)
        unlinkat(at.fd, at.name, o->kind == UFS_MKDIR ? AT_REMOVEDIR : 0);
out:
    ufs_dir_release(&at);
    return err;
}

static bool ufs_dir_exists(const struct ufs_dir_at *at)
{
    struct stat st;
    return !fstatat(at->fd, at->name, &st, AT_SYMLINK_NOFOLLOW);
}

static int ufs_dir_link(struct ufs_dir *d, struct ufs_op *o)
{
    struct ufs_dir_at from, to = {.fd = -1};
    if (ufs_dir_is_reserved(ufs_dir_text(o->path2)))
        return E_PERM;
    int err = ufs_dir_resolve(d, ufs_dir_text(o->path), &from);
    if (!err)
        err = ufs_dir_resolve(d, ufs_dir_text(o->path2), &to);
    if (err)
        goto out;
    if (linkat(from.fd, from.name, to.fd, to.name, 0)) {
        err = ufs_dir_err();
        if (err == E_EXIST && (o->flags & UFS_F_RESUME) && ufs_dir_is_same(&from, &to))
            err = 0;
    }
    if (!err)
        err = ufs_dir_look(&to, NULL, 0, &o->ent);
out:
    ufs_dir_release(&from);
    ufs_dir_release(&to);
    return err;
}

/* Does the file system only rename what is removed while a process has it open (NFS, SMB, many that
 * FUSE serves)?  Then nothing is held open over a removal. */
static bool ufs_dir_renames_open(int dir_fd)
{
    static const uint32_t magics[] = {0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x65735546};
    struct statfs fs;
    if (fstatfs(dir_fd, &fs))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(magics); i++)
        if ((uint32_t)fs.f_type == magics[i])
            return true;
    return false;
}

/* a file that is about to lose one of several names, to be looked at when it has; -1: none such */
static int ufs_dir_hold(const struct ufs_dir_at *at)
{
    struct stat st;
    bool has_more = !fstatat(at->fd, at->name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode) &&
                    st.st_nlink > 1;
    return has_more && !ufs_dir_renames_open(at->fd)
               ? openat(at->fd, at->name, O_PATH | O_NOFOLLOW | O_CLOEXEC)
               : -1;
}

static void ufs_dir_let_go(int fd, bool is_done, struct fsent *ret_ent)
{
    struct stat st;
    if (is_done && fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_nlink)
        ufs_dir_ent(&st, ret_ent);
    if (fd >= 0)
        close(fd);
}

static int ufs_dir_unlink(struct ufs_dir *d, struct ufs_op *o)
{
    o->ent = (struct fsent){0};
    const char *hide = ufs_dir_text(o->hidden);
    struct ufs_dir_at at, hidden = {.fd = -1};
    int err = ufs_dir_resolve(d, ufs_dir_text(o->path), &at);
    if (!err && *hide) {
        err = ufs_dir_make_parents(d, hide);
        if (!err)
            err = ufs_dir_resolve(d, hide, &hidden);
        if (!err)
            err = ufs_dir_hide(&at, &hidden, o);
    } else if (!err) {
        int fd = ufs_dir_hold(&at);
        err = unlinkat(at.fd, at.name, 0) ? ufs_dir_err() : 0;
        ufs_dir_let_go(fd, !err, &o->ent);
    }
    if (err == E_NOENT && (o->flags & UFS_F_RESUME))
        err = 0;
    ufs_dir_release(&at);
    ufs_dir_release(&hidden);
    return err;
}

static int ufs_dir_rmdir(struct ufs_dir *d, struct ufs_op *o)
{
    struct ufs_dir_at at;
    const char *path = ufs_dir_text(o->path);
    if (!*path || ufs_dir_is_reserved(path))
        return E_BUSY;
    int err = ufs_dir_resolve(d, path, &at);
    if (!err && unlinkat(at.fd, at.name, AT_REMOVEDIR))
        err = ufs_dir_err();
    if (err == E_NOENT && (o->flags & UFS_F_RESUME))
        err = 0;
    ufs_dir_release(&at);
    return err;
}

/* A repetition finds one of the two where the other was.  If both names were given to something
 * else meanwhile, by somebody else, nobody can tell any more, and E_CHANGED is all there is to say.
 */
static int ufs_dir_exchange(const struct ufs_dir_at *from, const struct ufs_dir_at *to,
                            struct ufs_op *o)
{
    struct fsent a, b;
    int err = ufs_dir_look(from, NULL, 0, &a);
    if (!err)
        err = ufs_dir_look(to, NULL, 0, &b);
    if (err)
        return err;
    bool before = a.ufs_ino == o->expect_ino && b.ufs_ino == o->expect_ino2;
    bool after = a.ufs_ino == o->expect_ino2 || b.ufs_ino == o->expect_ino;
    if (before && renameat2(from->fd, from->name, to->fd, to->name, RENAME_EXCHANGE))
        return errno == ENOSYS ? E_INVAL : ufs_dir_err();
    if (!before && !(after && (o->flags & UFS_F_RESUME)))
        return E_CHANGED;
    err = ufs_dir_look(to, NULL, 0, &o->ent);
    return err ? err : ufs_dir_look(from, NULL, 0, &o->ent2);
}

static int ufs_dir_rename(struct ufs_dir *d, struct ufs_op *o)
{
    const char *hide = ufs_dir_text(o->hidden);
    struct ufs_dir_at from, to = {.fd = -1}, hidden = {.fd = -1};
    bool kept = false;
    o->ent2 = (struct fsent){0};
    if (ufs_dir_is_reserved(ufs_dir_text(o->path)) || ufs_dir_is_reserved(ufs_dir_text(o->path2)))
        return E_PERM;
    int err = ufs_dir_resolve(d, ufs_dir_text(o->path), &from);
    if (!err)
        err = ufs_dir_resolve(d, ufs_dir_text(o->path2), &to);
    if (err)
        goto out;
    if (o->flags & UFS_F_EXCHANGE) {
        err = ufs_dir_exchange(&from, &to, o);
        goto out;
    }
    if (!ufs_dir_exists(&from)) {
        err = (o->flags & UFS_F_RESUME) && ufs_dir_exists(&to) ? 0 : E_NOENT;
    } else {
        if (*hide && !ufs_dir_is_same(&from, &to))
            err = ufs_dir_keep(d, o, &to, &hidden, &kept);
        int fd = *hide ? -1 : ufs_dir_hold(&to);
        if (!err && renameat(from.fd, from.name, to.fd, to.name))
            err = ufs_dir_err();
        ufs_dir_let_go(fd, !err, &o->ent2);
    }
    if (err && kept) {
        if (ufs_dir_is_same(&to, &hidden)) /* else who led before has done it meanwhile */
            unlinkat(hidden.fd, hidden.name, 0);
        else if (!ufs_dir_exists(&to))
            renameat(hidden.fd, hidden.name, to.fd, to.name);
    }
    if (!err)
        err = ufs_dir_look(&to, NULL, 0, &o->ent);
out:
    ufs_dir_release(&from);
    ufs_dir_release(&to);
    ufs_dir_release(&hidden);
    return err;
}

/* ---- attributes ---- */

static struct timespec ufs_dir_timespec(bool set, bool set_now, int64_t ns)
{
    if (!set && !set_now)
        return (struct timespec){.tv_nsec = UTIME_OMIT};
    if (!set && ns == 0)
        return (struct timespec){.tv_nsec = UTIME_NOW};
    int64_t sec = ns / 1000000000, rest = ns % 1000000000;
    if (rest < 0) {
        rest += 1000000000;
        sec--;
    }
    return (struct timespec){.tv_sec = sec, .tv_nsec = rest};
}

static int ufs_dir_truncate(struct ufs_dir *d, struct ufs_op *o)
{
    struct stat st;
    int fd = ufs_dir_open_file(d, ufs_dir_text(o->path), O_WRONLY, 0, &st);
    if (fd < 0)
        return fd;
    int err = o->size > INT64_MAX ? E_FBIG : ftruncate(fd, (off_t)o->size) ? ufs_dir_err() : 0;
    close(fd);
    return err;
}

static int ufs_dir_setattr(struct ufs_dir *d, struct ufs_op *o)
{
    struct ufs_dir_at at;
    int err = ufs_dir_resolve(d, ufs_dir_text(o->path), &at);
    if (!err && (o->valid & FSOP_SET_SIZE))
        err = ufs_dir_truncate(d, o);
    if (!err && (o->valid & (FSOP_SET_UID | FSOP_SET_GID)))
        err = ufs_dir_chown(&at, o->valid & FSOP_SET_UID, o->uid, o->valid & FSOP_SET_GID, o->gid);
    /* after chown, which clears the set-id bits */
    if (!err && (o->valid & FSOP_SET_MODE) &&
        fchmodat(at.fd, at.name, o->mode & 07777, AT_SYMLINK_NOFOLLOW))
        err = ufs_dir_err();
    struct timespec t[2] = {
        ufs_dir_timespec(o->valid & FSOP_SET_ATIME, o->valid & FSOP_SET_ATIME_NOW, o->atime_ns),
        ufs_dir_timespec(o->valid & FSOP_SET_MTIME, o->valid & FSOP_SET_MTIME_NOW, o->mtime_ns),
    };
    if (!err && (t[0].tv_nsec != UTIME_OMIT || t[1].tv_nsec != UTIME_OMIT) &&
        utimensat(at.fd, at.name, t, AT_SYMLINK_NOFOLLOW))
        err = ufs_dir_err();
    if (!err)
        err = ufs_dir_look(&at, NULL, 0, &o->ent);
    ufs_dir_release(&at);
    return err;
}

static int ufs_dir_statfs(struct ufs_dir *d, struct ufs_op *o)
{
    struct statvfs s;
    if (fstatvfs(d->root, &s))
        return ufs_dir_err();
    o->statfs = (struct fsop_statfs){
        .bytes = (uint64_t)s.f_blocks * s.f_frsize,
        .bytes_free = (uint64_t)s.f_bavail * s.f_frsize,
        .files = s.f_files,
        .files_free = s.f_favail,
        .name_max = (uint32_t)s.f_namemax,
        .block = (uint32_t)s.f_frsize,
    };
    return 0;
}

/* ---- the table ---- */

void ufs_dir_put(struct ufs_dir *d)
{
    if (atomic_fetch_sub(&d->refs, 1) != 1)
        return;
    ufs_dir_turn_leave(d);
    close(d->root);
    pthread_mutex_destroy(&d->force);
    free(d);
}

static int64_t ufs_dir_do(struct ufs_dir *d, struct ufs_op *o)
{
    bool is_effect = o->kind >= UFS_CREATE && o->kind <= UFS_SETATTR;
    if (is_effect && o->not_after_ns && ufs_dir_now_ns() > o->not_after_ns)
        return E_TIMEOUT;
    switch (o->kind) {
    case UFS_STAT:
        return ufs_dir_stat(d, o);
    case UFS_LIST:
        return ufs_dir_list(d, o);
    case UFS_LIST_END:
        ufs_dir_list_end(o);
        return 0;
    case UFS_NAMES:
        return ufs_dir_names_list(d, o);
    case UFS_LOOK:
        return ufs_dir_names_look(d, o);
    case UFS_READ:
        return ufs_dir_read(d, o);
    case UFS_WRITE:
        return ufs_dir_write(d, o);
    case UFS_SYNC:
        return ufs_dir_sync(d, o);
    case UFS_ALLOC:
        return ufs_dir_alloc(d, o);
    case UFS_CREATE:
    case UFS_MKDIR:
    case UFS_SYMLINK:
        return ufs_dir_make(d, o);
    case UFS_LINK:
        return ufs_dir_link(d, o);
    case UFS_UNLINK:
        return ufs_dir_unlink(d, o);
    case UFS_RMDIR:
        return ufs_dir_rmdir(d, o);
    case UFS_RENAME:
        return ufs_dir_rename(d, o);
    case UFS_SETATTR:
        return ufs_dir_setattr(d, o);
    case UFS_STATFS:
        return ufs_dir_statfs(d, o);
    }
    return E_NOTSUP;
}

static void ufs_dir_work(struct env_op *op)
{
    struct ufs_op *o = container_of(op, struct ufs_op, op);
    struct ufs_dir *d = (void *)(uintptr_t)o->impl[0];
    op->ret = ufs_dir_do(d, o);
}

static void ufs_dir_submit(struct ufs *u, struct ufs_op *o)
{
    struct ufs_dir *d = container_of(u, struct ufs_dir, u);
    atomic_fetch_add(&d->refs, 1);
    o->impl[0] = (uintptr_t)d;
    ufs_dir_turn_submit(d, o, ufs_dir_work);
}

static void ufs_dir_close(struct ufs *u)
{
    ufs_dir_put(container_of(u, struct ufs_dir, u));
}

static int ufs_dir_open(struct ufs_factory *f, struct env *e, const char *uri, struct ufs **ret_u)
{
    static const struct ufs_vt vt = {ufs_dir_submit, ufs_dir_close};
    (void)f;
    if (strncmp(uri, "dir:/", 5))
        return E_INVAL;
    int root = open(uri + 4, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return ufs_dir_err();
    struct ufs_dir *d = calloc(1, sizeof *d);
    if (!d) {
        close(root);
        return E_NOMEM;
    }
    d->u.vt = &vt;
    d->env = e;
    d->root = root;
    atomic_init(&d->refs, 1);
    ufs_dir_turn_join(d);
    pthread_mutex_init(&d->force, NULL);
    *ret_u = &d->u;
    return 0;
}

struct ufs_factory *ufs_dir_factory(void)
{
    static struct ufs_factory factory = {ufs_dir_open};
    return &factory;
}
