/* tests/posix/posix.h - what the groups of the conformance suite share.
 *
 * A check is OK(call), NO(errno, call) or IS(wanted, got); CTX("...") names what the checks that
 * follow are about.  NEED(call) ends the group when its ground cannot be laid.  A group runs in a
 * process and a directory of its own, as root, with umask 0, and may leave anything behind there.
 */
#ifndef POSIX_H
#define POSIX_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

struct posix_options {
    const char *dir;   /* below it, everything happens */
    const char *other; /* a directory of another file system; NULL: EXDEV is not tried */
    const char *ro;    /* a read-only mount with file, dir/, dir/sub, link, fifo; NULL: no EROFS */
    bool verbose, slow;
};

struct posix_group {
    const char *name;
    void (*run)(void);
    bool slow; /* only with --slow */
};

extern struct posix_options posix_opt;
extern char *volatile posix_nowhere; /* no address: EFAULT */

/* Expected differences, by name: false if --without names it.  The caller then checks for the
 * documented error instead. */
bool posix_has(const char *feature);

bool posix_ok(long got, const char *call, const char *file, int line);
bool posix_no(int want, long got, const char *call, const char *file, int line);
bool posix_is(long long want, long long got, const char *what, const char *file, int line);
void posix_need(long got, const char *call, const char *file, int line);
void posix_ctx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define OK(call)      posix_ok((errno = 0, (long)(call)), #call, __FILE__, __LINE__)
#define NO(err, call) posix_no(err, (errno = 0, (long)(call)), #call, __FILE__, __LINE__)
#define IS(want, got) posix_is((long long)(want), (long long)(got), #got, __FILE__, __LINE__)
#define NEED(call)    posix_need((errno = 0, (long)(call)), #call, __FILE__, __LINE__)
#define CTX(...)      posix_ctx(__VA_ARGS__)
/* err 0: must succeed */
#define GIVES(err, call) posix_no(err, (errno = 0, (long)(call)), #call, __FILE__, __LINE__)
#define COUNT(a)         (sizeof(a) / sizeof(a)[0])

/* --- who asks (posix.c) --- */
enum { ROOT = 0, ME = 65534, YOU = 65533, THEM = 65532, GRP = 65531, GRP2 = 65530 };
void posix_as(uid_t uid, gid_t gid); /* without supplementary groups; files made are theirs */
void posix_as_group(uid_t uid, gid_t gid, gid_t more);
void posix_as_root(void);

/* --- files (posix.c); types are f d l p s c b, and '-' for nothing --- */
#define TYPES_ALL "fdlpscb"
const char *posix_type_name(char type);
int posix_make(char type, const char *path, mode_t mode); /* mode exactly, whatever the umask */
int posix_remove(const char *path);                       /* with everything in it; 0 if absent */
struct stat posix_stat(const char *path);                 /* lstat; zeroes if there is none */
bool posix_is_type(char type, mode_t mode);
#define MODE(path)  ((int)posix_stat(path).st_mode & 07777)
#define NLINK(path) ((int)posix_stat(path).st_nlink)
#define SIZE(path)  ((long long)posix_stat(path).st_size)

/* waits until a timestamp taken now differs from those before */
void posix_tick(void);
/* which of "acm" are later in b than in a, as a bit mask: 1 a, 2 c, 4 m */
enum { T_A = 1, T_C = 2, T_M = 4 };
int posix_later(const struct stat *a, const struct stat *b);
char *posix_name(char c, size_t n); /* a name of n bytes; four are kept at a time */
int posix_fill(const char *path, size_t n);
int posix_open_close(const char *path, int flags, mode_t mode);

#define GROUP(name) void posix_group_##name(void)
GROUP(chmod);
GROUP(chown);
GROUP(utimens);
GROUP(access);
GROUP(setid);
GROUP(setgid_dir);
GROUP(mkdir);
GROUP(rmdir);
GROUP(mknod);
GROUP(symlink);
GROUP(link);
GROUP(unlink);
GROUP(emlink);
GROUP(rename);
GROUP(rename_types);
GROUP(rename_flags);
GROUP(rename_dirs);
GROUP(sticky);
GROUP(open);
GROUP(open_flags);
GROUP(open_perm);
GROUP(truncate);
GROUP(opath);
GROUP(tmpfile);
GROUP(errors);
GROUP(path_max);
GROUP(loops);
GROUP(slashes);
GROUP(dots);
GROUP(rofs);
GROUP(xdev);
GROUP(perm_file);
GROUP(perm_dir);
GROUP(times);
GROUP(nlink);
GROUP(xattr);
GROUP(xattr_limits);
GROUP(append);
GROUP(read_write);
GROUP(holes);
GROUP(fallocate);
GROUP(mmap);
GROUP(copy_range);
GROUP(unlinked);
GROUP(locks);
GROUP(statfs);
GROUP(readdir);
GROUP(readdir_large);
GROUP(readdir_change);
GROUP(fds);

#endif
