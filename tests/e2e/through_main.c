/* tests/e2e/through_main.c - fuse-through FROM AT -f: the directory FROM, through a file system at
 * AT whose process a test can stop, so that calls there hang.  As much as a shared journal needs.
 */
#define FUSE_USE_VERSION 31
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int from = -1;

static const char *rel(const char *path)
{
    return path[1] ? path + 1 : ".";
}

static int result(int64_t ret)
{
    return ret < 0 ? -errno : (int)ret;
}

static int on_getattr(const char *path, struct stat *st, struct fuse_file_info *f)
{
    (void)f;
    return result(fstatat(from, rel(path), st, AT_SYMLINK_NOFOLLOW));
}

static int on_mkdir(const char *path, mode_t mode)
{
    return result(mkdirat(from, rel(path), mode));
}

static int on_unlink(const char *path)
{
    return result(unlinkat(from, rel(path), 0));
}

static int on_rename(const char *path, const char *to, unsigned flags)
{
    return flags ? -EINVAL : result(renameat(from, rel(path), from, rel(to)));
}

static int on_create(const char *path, mode_t mode, struct fuse_file_info *f)
{
    int fd = openat(from, rel(path), f->flags & ~O_DIRECT, mode); /* buffers here are not aligned */
    f->fh = (uint64_t)fd;
    return fd < 0 ? -errno : 0;
}

static int on_open(const char *path, struct fuse_file_info *f)
{
    return on_create(path, 0, f);
}

static int on_read(const char *path, char *to, size_t n, off_t off, struct fuse_file_info *f)
{
    (void)path;
    return result(pread((int)f->fh, to, n, off));
}

static int on_write(const char *path, const char *b, size_t n, off_t off, struct fuse_file_info *f)
{
    (void)path;
    return result(pwrite((int)f->fh, b, n, off));
}

static int on_truncate(const char *path, off_t size, struct fuse_file_info *f)
{
    int fd = f ? (int)f->fh : openat(from, rel(path), O_WRONLY);
    int ret = fd < 0 ? -errno : result(ftruncate(fd, size));
    if (!f && fd >= 0)
        close(fd);
    return ret;
}

static int on_fsync(const char *path, int data, struct fuse_file_info *f)
{
    (void)path;
    return result(data ? fdatasync((int)f->fh) : fsync((int)f->fh));
}

static int on_release(const char *path, struct fuse_file_info *f)
{
    (void)path;
    return result(close((int)f->fh));
}

static int on_fsyncdir(const char *path, int data, struct fuse_file_info *f)
{
    (void)path, (void)data, (void)f;
    return result(syncfs(from));
}

static int on_statfs(const char *path, struct statvfs *st)
{
    (void)path;
    return result(fstatvfs(from, st));
}

static int on_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t off,
                      struct fuse_file_info *f, enum fuse_readdir_flags flags)
{
    (void)off, (void)f, (void)flags;
    int fd = openat(from, rel(path), O_RDONLY | O_DIRECTORY);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d)
        return -errno;
    for (struct dirent *e; (e = readdir(d));)
        fill(buf, e->d_name, NULL, 0, 0);
    closedir(d);
    return 0;
}

/* Who waits for a direct write of that kind cannot even be killed. */
static void *on_init(struct fuse_conn_info *c, struct fuse_config *config)
{
    (void)config;
    c->want &= ~(unsigned)FUSE_CAP_ASYNC_DIO;
    return NULL;
}

int main(int argc, char **argv)
{
    static const struct fuse_operations ops = {.init = on_init,
                                               .getattr = on_getattr,
                                               .mkdir = on_mkdir,
                                               .unlink = on_unlink,
                                               .rename = on_rename,
                                               .create = on_create,
                                               .open = on_open,
                                               .read = on_read,
                                               .write = on_write,
                                               .truncate = on_truncate,
                                               .fsync = on_fsync,
                                               .release = on_release,
                                               .fsyncdir = on_fsyncdir,
                                               .statfs = on_statfs,
                                               .readdir = on_readdir};
    if (argc < 3 || (from = open(argv[1], O_RDONLY | O_DIRECTORY)) < 0) {
        fprintf(stderr, "usage: fuse-through FROM AT [options of FUSE]\n");
        return 2;
    }
    argv[1] = argv[0];
    return fuse_main(argc - 1, argv + 1, &ops, NULL);
}
