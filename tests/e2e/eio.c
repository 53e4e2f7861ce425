/* tests/e2e/eio.c - preloaded into a worker: what it does below $EIO_ROOT fails with EIO while the
 * file $EIO_FLAG names it: r (reads), w (writes), s (syncs of files), d (of directories).  While
 * it names h, reads hang, with l, looks at names do.  The hidden files of the cluster are spared.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
static int fails(int fd, char what)
{
    char path[64], to[4096] = "", now[16] = "";
    const char *root = getenv("EIO_ROOT"), *flag = getenv("EIO_FLAG");
    int f = flag ? open(flag, O_RDONLY | O_CLOEXEC) : -1;
    if (f < 0)
        return 0;
    ssize_t n = read(f, now, sizeof now - 1);
    close(f);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (n <= 0 || !strchr(now, what) || readlink(path, to, sizeof to - 1) <= 0)
        return 0;
    return !strncmp(to, root, strlen(root)) && !strstr(to, ".tarn");
}
#define WRAP(name, what, args, call)                         \
    ssize_t name args                                        \
    {                                                        \
        static ssize_t(*real) args;                          \
        if (!real)                                           \
            real = (ssize_t(*) args)dlsym(RTLD_NEXT, #name); \
        while (fails(fd, 'h'))                               \
            usleep(20000);                                   \
        if (fails(fd, what))                                 \
            return errno = EIO, -1;                          \
        return real call;                                    \
    }
WRAP(pread64, 'r', (int fd, void *b, size_t n, off64_t o), (fd, b, n, o))
WRAP(pwrite64, 'w', (int fd, const void *b, size_t n, off64_t o), (fd, b, n, o))
WRAP(pread, 'r', (int fd, void *b, size_t n, off_t o), (fd, b, n, o))
WRAP(pwrite, 'w', (int fd, const void *b, size_t n, off_t o), (fd, b, n, o))
int fstatat64(int fd, const char *path, struct stat64 *st, int flags)
{
    static int (*real)(int, const char *, struct stat64 *, int);
    if (!real)
        real = (int (*)(int, const char *, struct stat64 *, int))dlsym(RTLD_NEXT, "fstatat64");
    while (fails(fd, 'l'))
        usleep(20000);
    return real(fd, path, st, flags);
}

static int sync_or_fail(int fd, const char *name)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    struct stat st;
    if (!fstat(fd, &st) && fails(fd, S_ISDIR(st.st_mode) ? 'd' : 's'))
        return errno = EIO, -1;
    return real(fd);
}

int fsync(int fd)
{
    return sync_or_fail(fd, "fsync");
}

int fdatasync(int fd)
{
    return sync_or_fail(fd, "fdatasync");
}
