/* net/net_file.c - the blocking file calls behind the disk operations; they run on the pool.
 *
 * Invariants:
 *  1. Every name is resolved below the env's directory: relative, no "." or "..", and the net's own
 *     directory is locked, so two processes never share one by mistake.
 *  2. The first sync of a file opened for writing makes its name durable too: it syncs every
 *     directory from the file's up to the root.  Whether the file is new cannot be known: it may
 *     have been created, and not synced, by the process before us.
 *  3. A write is all or an error; a read is short only at the end of the file.
 *  4. Reads of an ENV_O_COHERENT file go through the page cache on file systems of one host alone:
 *     there a direct write drops the pages before it is done, so whoever reads later sees it, in a
 *     microsecond instead of a disk's time.  Not where any other kernel may write below: what this
 *     one keeps says nothing about that.
 *  5. A file is "far" where its file system is not known to end each call by itself, but may wait
 *     for a server that does not answer (net/net_disk.c, 4).  What is far has one descriptor. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "net/net_impl.h"

enum { NET_FILE_MODE = 0640, NET_FILE_DIR_MODE = 0750, NET_FILE_ZEROS = 64 * 1024 };

bool net_file_name_ok(const char *name, bool empty_ok)
{
    size_t n = strnlen(name, ENV_NAME_MAX);
    if (n == ENV_NAME_MAX)
        return false;
    if (!n)
        return empty_ok;
    const char *part = name;
    for (;;) {
        const char *slash = strchr(part, '/');
        size_t len = slash ? (size_t)(slash - part) : strlen(part);
        if (!len || (len == 1 && part[0] == '.') || (len == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        if (!slash)
            return true;
        part = slash + 1;
    }
}

static int64_t net_file_errno(void)
{
    return net_errno_to_err(errno);
}

static int net_file_open_at(int dir_fd, const char *name, int flags)
{
    int fd;
    do
        fd = openat(dir_fd, name, flags | O_CLOEXEC | O_NOCTTY, NET_FILE_MODE);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* ---- directories ---- */

/* every directory on the way to name; path is cut at each slash and mended */
static int net_file_parents(int dir_fd, char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        int rc = mkdirat(dir_fd, path, NET_FILE_DIR_MODE);
        int sys = errno;
        *slash = '/';
        if (rc && sys != EEXIST) {
            errno = sys;
            return -1;
        }
    }
    return 0;
}

/* One process alone has its own directory.  Of a shared one this keeps out who would have it alone,
 * on this host; a file system that has no such locks is shared without. */
static int net_file_lock(struct net *net, int fd, const char *dir, bool is_own)
{
    if (!flock(fd, (is_own ? LOCK_EX : LOCK_SH) | LOCK_NB))
        return 0;
    bool is_taken = errno == EWOULDBLOCK;
    int err = is_taken ? E_BUSY : (int)net_file_errno();
    if (!is_taken && (!is_own || net->config.dir_readonly))
        return 0;
    if (is_taken)
        fmt_log(&net->env, ENV_LOG_ERROR, "net: the directory %s is in use by another process: %s",
                dir,
                is_own ? "stop that one, or configure another directory"
                       : "a command that needs it alone reads or writes it; wait for its end");
    else
        fmt_log(&net->env, ENV_LOG_ERROR,
                "net: the directory %s cannot be locked: %s; use another file system", dir,
                err_text(err));
    return err;
}

int net_file_root(struct net *net, const char *dir, bool is_own)
{
    char path[4096];
    bool reads_only = is_own && net->config.dir_readonly;
    size_t n = fmt_into(path, sizeof path - 1, "%s", dir);
    while (n > 1 && path[n - 1] == '/')
        path[--n] = 0;
    path[n] = '/'; /* so that the last one is made too */
    path[n + 1] = 0;
    int fd = -1, err = 0;
    if (n + 1 >= sizeof path - 1) {
        err = E_NAMETOOLONG;
    } else if ((!reads_only && net_file_parents(AT_FDCWD, path)) ||
               (fd = net_file_open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY)) < 0 ||
               faccessat(fd, ".", (reads_only ? 0 : W_OK) | R_OK | X_OK, AT_EACCESS)) {
        err = (int)net_file_errno();
    }
    if (err) {
        fmt_log(&net->env, ENV_LOG_ERROR,
                "net: cannot use the directory %s: %s; it must exist or be makeable, and be "
                "writable by this user",
                dir, err_text(err));
    } else {
        err = net_file_lock(net, fd, dir, is_own);
    }
    if (err && fd >= 0)
        close(fd);
    return err ? err : fd;
}

static int net_file_fsync(int fd)
{
    int rc;
    do
        rc = fsync(fd);
    while (rc && errno == EINTR);
    return rc;
}

/* the directories above name, innermost first */
static int64_t net_file_sync_dirs(const struct net_place *p, const char *name)
{
    char path[ENV_NAME_MAX];
    fmt_into(path, sizeof path, "%s", name);
    for (char *slash; (slash = strrchr(path, '/'));) {
        *slash = 0;
        int fd = net_file_open_at(p->dir_fd, path, O_RDONLY | O_DIRECTORY);
        if (fd < 0)
            return net_file_errno();
        int rc = net_file_fsync(fd);
        int64_t err = rc ? net_file_errno() : 0;
        close(fd);
        if (err)
            return err;
    }
    return net_file_fsync(p->dir_fd) ? net_file_errno() : 0;
}

/* ---- files ---- */

static int net_file_open_flags(int dir_fd, char *name, unsigned flags, int os)
{
    if (!(flags & ENV_O_CREATE))
        return net_file_open_at(dir_fd, name, os);
    os |= O_CREAT | (flags & ENV_O_EXCL ? O_EXCL : 0);
    int fd = net_file_open_at(dir_fd, name, os);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    if (net_file_parents(dir_fd, name))
        return -1;
    return net_file_open_at(dir_fd, name, os);
}

enum net_file_system { NET_FILE_FAR, NET_FILE_LOCAL, NET_FILE_COHERENT };

/* Coherent: one kernel alone serves it, and its pages are as new as its blocks.  Whatever is not
 * known is far. */
static enum net_file_system net_file_system(int fd)
{
    struct statfs s;
    if (fstatfs(fd, &s))
        return NET_FILE_FAR;
    switch ((unsigned long)s.f_type) {
    case EXT4_SUPER_MAGIC: /* and ext2, ext3 */
    case XFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case TMPFS_MAGIC:
        return NET_FILE_COHERENT;
    case BTRFS_SUPER_MAGIC: /* a page may outlive a direct write while its extent is locked */
        return NET_FILE_LOCAL;
    default:
        return NET_FILE_FAR;
    }
}

/* the descriptor that a file's reads go through */
static int net_file_read_fd(const struct net_job *job, int fd, const struct stat *st,
                            enum net_file_system system)
{
    struct stat same;
    if (!(job->flags & ENV_O_COHERENT) || system != NET_FILE_COHERENT)
        return fd;
    int read_fd = net_file_open_at(job->place->dir_fd, job->name, O_RDONLY);
    if (read_fd < 0)
        return fd;
    if (!fstat(read_fd, &same) && same.st_dev == st->st_dev && same.st_ino == st->st_ino)
        return read_fd;
    close(read_fd); /* it was renamed meanwhile */
    return fd;
}

void net_file_close_read(struct net_file *f)
{
    if (f->read_fd != f->fd)
        close(f->read_fd);
}

int64_t net_file_open(struct net_job *job)
{
    struct net_place *place = job->place;
    unsigned flags = job->flags;
    int os = flags & ENV_O_WRITE ? O_RDWR : O_RDONLY;
    os |= (flags & ENV_O_TRUNC ? O_TRUNC : 0) | (flags & ENV_O_DSYNC ? O_DSYNC : 0);
    int direct = flags & ENV_O_DIRECT ? O_DIRECT : 0;
    int fd = net_file_open_flags(place->dir_fd, job->name, flags, os | direct);
    if (fd < 0 && direct && errno == EINVAL) {
        /* a file system without direct I/O may have created the file before it said so */
        flags &= ~(unsigned)ENV_O_EXCL;
        fd = net_file_open_flags(place->dir_fd, job->name, flags, os);
    }
    if (fd < 0)
        return net_file_errno();
    struct stat st;
    int64_t err = fstat(fd, &st) ? net_file_errno() : 0;
    if (!err && !S_ISREG(st.st_mode))
        err = S_ISDIR(st.st_mode) ? E_ISDIR : E_INVAL;
    bool dsync = flags & ENV_O_DSYNC && flags & ENV_O_WRITE;
    if (!err && dsync) /* its writes are durable, so its name must be */
        err = net_file_sync_dirs(place, job->name);
    if (err) {
        close(fd);
        return err;
    }
    enum net_file_system system = net_file_system(fd);
    struct net_file *f = net_loop_alloc(sizeof *f);
    f->base.env = &place->env;
    f->net = place->net;
    f->place = place;
    f->fd = fd;
    f->read_fd = net_file_read_fd(job, fd, &st, system);
    f->far = system == NET_FILE_FAR;
    f->direct = flags & ENV_O_DIRECT;
    atomic_init(&f->name_unsynced, (flags & ENV_O_WRITE) && !dsync);
    fmt_into(f->name, sizeof f->name, "%s", job->name);
    job->opened = f;
    *job->ret_file = &f->base;
    return st.st_size;
}

int64_t net_file_close(struct net_job *job)
{
    struct net_file *f = job->file; /* off its list already */
    net_file_close_read(f);
    int64_t err = close(f->fd) && errno != EINTR ? net_file_errno() : 0;
    free(f);
    return err;
}

int64_t net_file_read(struct net_job *job)
{
    size_t done = 0;
    while (done < job->len) {
        ssize_t r = pread(job->file->read_fd, (char *)job->mem + done, job->len - done,
                          (off_t)(job->off + done));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return net_file_errno();
        done += (size_t)r;
        if (!r || (job->file->direct && done % ENV_DIRECT_ALIGN))
            break; /* direct: only the end of the file is not aligned */
    }
    return (int64_t)done;
}

int64_t net_file_write(struct net_job *job)
{
    size_t done = 0;
    while (done < job->len) {
        ssize_t r = pwrite(job->file->fd, (char *)job->mem + done, job->len - done,
                           (off_t)(job->off + done));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return done && errno == EINVAL ? E_IO : net_file_errno();
        if (!r)
            return E_NOSPC;
        done += (size_t)r;
    }
    return (int64_t)done;
}

int64_t net_file_sync(struct net_job *job)
{
    struct net_file *f = job->file;
    int rc;
    do
        rc = fdatasync(f->fd);
    while (rc && errno == EINTR);
    if (rc)
        return net_file_errno();
    if (!atomic_load(&f->name_unsynced))
        return 0;
    int64_t err = net_file_sync_dirs(f->place, f->name);
    if (!err)
        atomic_store(&f->name_unsynced, false);
    return err;
}

int64_t net_file_resize(struct net_job *job)
{
    int rc;
    do
        rc = ftruncate(job->file->fd, (off_t)job->len);
    while (rc && errno == EINTR);
    return rc ? net_file_errno() : 0;
}

/* for a file system that cannot punch: the blocks stay, the bytes go */
static int64_t net_file_zero(struct net_job *job)
{
    struct stat st;
    if (fstat(job->file->fd, &st))
        return net_file_errno();
    uint64_t size = (uint64_t)st.st_size, off = job->off;
    uint64_t end = job->len < size - base_min_u64(off, size) ? off + job->len : size;
    void *zeros;
    if (posix_memalign(&zeros, ENV_DIRECT_ALIGN, NET_FILE_ZEROS))
        return E_NOMEM;
    memset(zeros, 0, NET_FILE_ZEROS);
    int64_t ret = 0;
    while (off < end && ret >= 0) {
        job->mem = zeros;
        job->off = off;
        job->len = base_min_u64(end - off, NET_FILE_ZEROS);
        ret = net_file_write(job);
        off += job->len;
    }
    free(zeros);
    return ret < 0 ? ret : 0;
}

int64_t net_file_punch(struct net_job *job)
{
    if (!job->len)
        return 0;
    int rc;
    do
        rc = fallocate(job->file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)job->off,
                       (off_t)job->len);
    while (rc && errno == EINTR);
    if (rc && (errno == EOPNOTSUPP || errno == ENOSYS))
        return net_file_zero(job);
    return rc ? net_file_errno() : 0;
}

/* bytes of a name's directory, with its slash */
static size_t net_file_dir_len(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? (size_t)(slash - name) + 1 : 0;
}

int64_t net_file_rename(struct net_job *job)
{
    int fd = job->place->dir_fd;
    int rc = renameat(fd, job->name, fd, job->name2);
    if (rc && errno == ENOENT) {
        /* the source or the target's directory: making that one decides which */
        if (net_file_parents(fd, job->name2))
            return net_file_errno();
        rc = renameat(fd, job->name, fd, job->name2);
    }
    if (rc)
        return net_file_errno();
    int64_t err = net_file_sync_dirs(job->place, job->name2);
    bool same = net_file_dir_len(job->name) == net_file_dir_len(job->name2) &&
                !memcmp(job->name, job->name2, net_file_dir_len(job->name));
    return err || same ? err : net_file_sync_dirs(job->place, job->name);
}

int64_t net_file_unlink(struct net_job *job)
{
    return unlinkat(job->place->dir_fd, job->name, 0) ? net_file_errno() : 0;
}

/* ---- list ---- */

struct net_file_names {
    char **at;
    size_t n, cap;
};

static int net_file_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void net_file_keep(struct net_file_names *names, int dir_fd, const struct dirent *d,
                          const char *after)
{
    char name[NAME_MAX + 2];
    struct stat st;
    bool is_dir = d->d_type == DT_DIR;
    if (d->d_type == DT_UNKNOWN)
        is_dir = !fstatat(dir_fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode);
    if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
        return;
    fmt_into(name, sizeof name, is_dir ? "%s/" : "%s", d->d_name);
    if (strcmp(name, after) <= 0)
        return;
    if (names->n == names->cap) {
        names->cap = names->cap ? names->cap * 2 : 64;
        names->at = realloc(names->at, names->cap * sizeof *names->at);
        ASSERT(names->at);
    }
    names->at[names->n] = strdup(name);
    ASSERT(names->at[names->n]);
    names->n++;
}

int64_t net_file_list(struct net_job *job)
{
    struct net_file_names names = {0};
    int64_t ret = 0;
    int fd = net_file_open_at(job->place->dir_fd, job->name[0] ? job->name : ".",
                              O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return errno == ENOENT ? 0 : net_file_errno();
    DIR *dir = fdopendir(fd);
    if (!dir) {
        ret = net_file_errno();
        close(fd);
        return ret;
    }
    struct dirent *d;
    while ((errno = 0, d = readdir(dir)))
        net_file_keep(&names, fd, d, job->name2);
    if (errno)
        ret = net_file_errno();
    if (names.n)
        qsort(names.at, names.n, sizeof *names.at, net_file_compare);
    for (size_t i = 0; i < names.n && ret >= 0; i++) {
        size_t n = strlen(names.at[i]) + 1;
        if ((uint64_t)ret + n > job->len) {
            ret = ret ? ret : E_RANGE;
            break;
        }
        memcpy((char *)job->mem + ret, names.at[i], n);
        ret += (int64_t)n;
    }
    for (size_t i = 0; i < names.n; i++)
        free(names.at[i]);
    free(names.at);
    closedir(dir);
    return ret;
}
