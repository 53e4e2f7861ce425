/* fuse/fuse_point.c - see fuse_point.h.
 *
 * INVARIANTS
 *  1. What is mounted is read from /proc/self/mountinfo: a stat of a dead or hung mount would fail
 *     or wait, and one of our own, from the loop that serves it, would wait for ever.
 *  2. Only a dead mount of our own type is removed without being asked.
 *  3. Every refusal says what to do about it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/fmt.h"
#include "core/limits.h"
#include "fuse/fuse_mount.h"
#include "fuse/fuse_point.h"
#include "net/net_errno.h"

#define POINT_TYPE "fuse.tarn"

int fuse_point_resolve(const char *path, char *ret_abs, size_t cap)
{
    char dir[LIMIT_PATH];
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    if (!n || n >= sizeof dir)
        return n ? E_RANGE : E_NOENT;
    memcpy(dir, path, n);
    dir[n] = '\0';
    char *slash = strrchr(dir, '/');
    char *base = slash ? slash + 1 : dir;
    char name[LIMIT_NAME + 1];
    bool is_whole = !*base || !strcmp(base, ".") || !strcmp(base, "..");
    if (strlen(base) >= sizeof name)
        return E_NAMETOOLONG;
    strcpy(name, is_whole ? "" : base);
    if (!is_whole)
        *base = '\0';
    char *real = realpath(*dir ? dir : ".", NULL);
    if (!real)
        return net_errno_to_err(errno);
    size_t used =
        fmt_into(ret_abs, cap, "%s%s%s", real, is_whole || !strcmp(real, "/") ? "" : "/", name);
    free(real);
    return used + 1 < cap ? 0 : E_RANGE;
}

/* mountinfo writes blanks as \040 */
static void point_unescape(char *s)
{
    char *to = s;
    for (; *s; s++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
            *to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 3;
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
}

/* One line of mountinfo: where it is mounted (in place), device, and the rest behind the dash. */
static const char *point_line(char *line, struct fuse_point *ret_p, const char **ret_rest)
{
    int at = 0, end = 0;
    char *dash = strstr(line, " - ");
    if (sscanf(line, "%*d %*d %u:%u %*s %n%*s%n", &ret_p->major, &ret_p->minor, &at, &end) != 2 ||
        !end || !dash)
        return NULL;
    line[end] = '\0';
    point_unescape(line + at);
    *ret_rest = dash + 3;
    return line + at;
}

bool fuse_point_find(const char *abs, struct fuse_point *ret_p)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    if (!f)
        return false;
    while (getline(&line, &room, f) > 0) {
        struct fuse_point p = {0};
        const char *rest, *at = point_line(line, &p, &rest);
        if (!at || strcmp(at, abs))
            continue;
        found = true; /* a later one lies above it */
        sscanf(rest, "%63s %255s", p.type, p.source);
        point_unescape(p.source);
        *ret_p = p;
    }
    free(line);
    fclose(f);
    return found;
}

bool fuse_point_has_inner(const char *abs)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t room = 0, n = strlen(abs);
    bool found = false;
    while (f && !found && getline(&line, &room, f) > 0) {
        struct fuse_point p;
        const char *rest, *at = point_line(line, &p, &rest);
        found = at && !strncmp(at, abs, n) && at[n] == '/';
    }
    free(line);
    if (f)
        fclose(f);
    return found;
}

static int point_fusermount(const char *abs, bool lazy)
{
    char *argv[] = {"fusermount3", "-u", "-q", lazy ? "-z" : "--", (char *)(uintptr_t)abs, NULL};
    char *env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", NULL};
    pid_t pid;
    int status;
    if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, env))
        return E_PERM;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return E_IO;
    return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : E_BUSY;
}

int fuse_point_unmount(const char *abs, bool lazy)
{
    if (geteuid())
        return point_fusermount(abs, lazy);
    /* FORCE aborts the connection: a request that nobody will answer must not keep a process */
    if (!umount2(abs, lazy ? MNT_DETACH | MNT_FORCE : 0))
        return 0;
    return net_errno_to_err(errno);
}

static bool point_is_empty(const char *abs)
{
    DIR *d = opendir(abs);
    bool empty = true;
    if (!d)
        return true; /* mount(2) will say what is wrong */
    for (struct dirent *e; empty && (e = readdir(d));)
        empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
    closedir(d);
    return empty;
}

static int point_check_dead(const char *abs, int sys, bool is_cleaning, char *err_text, size_t cap)
{
    struct fuse_point p;
    if (!fuse_point_find(abs, &p)) {
        fmt_into(err_text, cap, "cannot use mount point %s: %s", abs, strerror(sys));
        return FUSE_MOUNT_FAILED;
    }
    bool is_ours = !strcmp(p.type, POINT_TYPE);
    if (is_ours && is_cleaning && !fuse_point_unmount(abs, true))
        return FUSE_MOUNT_DONE;
    fmt_into(err_text, cap, "%s is a dead mount (%s): remove it with fusermount3 -uz %s", abs,
             p.type, abs);
    return is_ours && !is_cleaning ? FUSE_MOUNT_DONE : FUSE_MOUNT_FAILED;
}

static int point_check_device(char *err_text, size_t cap)
{
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    int sys = errno;
    if (fd >= 0) {
        close(fd);
        return FUSE_MOUNT_DONE;
    }
    if (sys == EACCES && geteuid()) /* fusermount3 may still be allowed to */
        return FUSE_MOUNT_DONE;
    fmt_into(err_text, cap,
             sys == ENOENT || sys == ENODEV || sys == ENXIO
                 ? "FUSE is not available here (/dev/fuse: %s): run modprobe fuse as root, or give "
                   "the container --device /dev/fuse --cap-add SYS_ADMIN"
                 : "FUSE may not be used here (/dev/fuse: %s): run as root, or give the container "
                   "--device /dev/fuse --cap-add SYS_ADMIN",
             strerror(sys));
    return FUSE_MOUNT_NO_FUSE;
}

/* As lstat, but a dead mount cannot hide behind attributes that the kernel still keeps. */
static int point_stat(const char *abs, struct stat *ret_st)
{
    struct statx x;
    struct fuse_point p;
    bool is_tarn = fuse_point_find(abs, &p) && !strcmp(p.type, POINT_TYPE);
    if (is_tarn &&
        statx(AT_FDCWD, abs, AT_STATX_FORCE_SYNC | AT_SYMLINK_NOFOLLOW, STATX_MTIME, &x) &&
        errno == ENOTCONN)
        return -1;
    return lstat(abs, ret_st);
}

int fuse_point_check(const char *abs, bool nonempty, bool is_cleaning, char *err_text, size_t cap)
{
    struct stat st;
    struct fuse_point p;
    int code = point_check_device(err_text, cap);
    if (code)
        return code;
    if (point_stat(abs, &st)) {
        if (errno == ENOENT) {
            fmt_into(err_text, cap, "mount point %s does not exist: create it with mkdir -p %s",
                     abs, abs);
            return FUSE_MOUNT_FAILED;
        }
        code = point_check_dead(abs, errno, is_cleaning, err_text, cap);
        if (code || !is_cleaning)
            return code;
        if (point_stat(abs, &st)) {
            fmt_into(err_text, cap, "cannot use mount point %s: %s", abs, strerror(errno));
            return FUSE_MOUNT_FAILED;
        }
    }
    if (S_ISLNK(st.st_mode)) {
        fmt_into(err_text, cap, "mount point %s is a symbolic link: name the directory itself",
                 abs);
        return FUSE_MOUNT_FAILED;
    }
    if (!S_ISDIR(st.st_mode)) {
        fmt_into(err_text, cap, "mount point %s is not a directory: give an empty directory", abs);
        return FUSE_MOUNT_FAILED;
    }
    if (fuse_point_find(abs, &p)) {
        fmt_into(
            err_text, cap,
            "mount point %s is busy (%s of type %s is mounted there): unmount it with tarn umount "
            "%s, or choose another directory",
            abs, p.source, p.type, abs);
        return FUSE_MOUNT_FAILED;
    }
    if (!nonempty && !point_is_empty(abs)) {
        fmt_into(err_text, cap,
                 "mount point %s is not empty: choose an empty directory, or hide what is in it "
                 "with -o nonempty",
                 abs);
        return FUSE_MOUNT_FAILED;
    }
    return FUSE_MOUNT_DONE;
}

bool fuse_point_readahead(const struct fuse_point *p, uint32_t kb)
{
    char path[96], text[16];
    fmt_into(path, sizeof path, "/sys/class/bdi/%u:%u/read_ahead_kb", p->major, p->minor);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t n = fmt_into(text, sizeof text, "%u\n", kb);
    bool ok = write(fd, text, n) == (ssize_t)n;
    close(fd);
    return ok;
}
