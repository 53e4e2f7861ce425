/* tests/posix/posix_dir.c - listings: complete, positioned, and true while the directory changes.
 */
#include <dirent.h>
#include <sys/syscall.h>
#include "tests/posix/posix.h"

/* Reads d to its end; counts in seen[k] the names "n<k>"; others, but for the dots, in ret_more. */
static int dir_count(DIR *d, int *seen, int n, int *ret_more)
{
    int all = 0;
    *ret_more = 0;
    errno = 0;
    for (struct dirent *e; (e = readdir(d)); all++) {
        int k = -1;
        if (e->d_name[0] == 'n')
            k = atoi(e->d_name + 1);
        if (k >= 0 && k < n)
            seen[k]++;
        else if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            ++*ret_more;
    }
    return errno ? -1 : all;
}

static void dir_make(const char *dir, int from, int n)
{
    char name[80];
    for (int k = from; k < from + n; k++) {
        snprintf(name, sizeof name, "%s/n%d", dir, k);
        NEED(posix_make('f', name, 0644));
    }
}

static void dir_types(void)
{
    CTX("types and numbers");
    NEED(mkdir("t", 0755));
    for (const char *t = TYPES_ALL; *t; t++) {
        char name[10] = "t/?";
        name[2] = *t;
        NEED(posix_make(*t, name, 0644));
    }
    static const struct {
        char type;
        unsigned char d_type;
    } map[] = {{'f', DT_REG},  {'d', DT_DIR}, {'l', DT_LNK}, {'p', DT_FIFO},
               {'s', DT_SOCK}, {'c', DT_CHR}, {'b', DT_BLK}};
    DIR *d = opendir("t");
    NEED(d ? 0 : -1);
    int n = 0, dots = 0;
    for (struct dirent *e; (e = readdir(d)); n++) {
        struct stat st = {0};
        OK(fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW));
        IS(st.st_ino, e->d_ino);
        if (e->d_name[0] == '.') {
            IS(DT_DIR, e->d_type);
            dots++;
            continue;
        }
        for (size_t k = 0; k < COUNT(map); k++)
            if (e->d_name[0] == map[k].type)
                IS(map[k].d_type, e->d_type);
    }
    IS(2, dots);
    IS(9, n);
    closedir(d);
}

GROUP(readdir)
{
    enum { N = 300 };
    static int seen[N];
    int more;
    dir_types();
    CTX("an empty directory");
    NEED(mkdir("e", 0755));
    DIR *d = opendir("e");
    IS(2, dir_count(d, seen, 0, &more));
    IS(0, readdir(d) != NULL);
    closedir(d);
    CTX("each name once");
    NEED(mkdir("d", 0755));
    dir_make("d", 0, N);
    d = opendir("d");
    IS(N + 2, dir_count(d, seen, N, &more));
    int bad = 0;
    for (int k = 0; k < N; k++)
        bad += seen[k] != 1;
    IS(0, bad);
    IS(0, more);
    CTX("rewinddir, telldir, seekdir");
    rewinddir(d);
    long at[N + 3];
    static char names[N + 2][256];
    int n = 0;
    at[0] = telldir(d);
    for (struct dirent *e; n < N + 2 && (e = readdir(d)); n++) {
        snprintf(names[n], sizeof names[n], "%s", e->d_name);
        at[n + 1] = telldir(d);
    }
    IS(N + 2, n);
    for (int k = 0; k < n; k += 7) {
        seekdir(d, at[k]);
        struct dirent *e = readdir(d);
        IS(0, e ? strcmp(e->d_name, names[k]) : -1);
    }
    seekdir(d, at[n]);
    IS(0, readdir(d) != NULL);
    seekdir(d, at[1]);
    int rest = 0;
    while (readdir(d))
        rest++;
    IS(N + 1, rest);
    closedir(d);
    CTX("small reads");
    int fd = open("d", O_RDONLY | O_DIRECTORY), calls = 0, all = 0;
    char buf[100];
    long got;
    while ((got = syscall(SYS_getdents64, fd, buf, sizeof buf)) > 0) {
        for (long k = 0; k < got; all++)
            k += *(unsigned short *)(void *)(buf + k + 16);
        calls++;
    }
    IS(0, got);
    IS(N + 2, all);
    IS(0, lseek(fd, 0, SEEK_SET));
    NO(EINVAL, syscall(SYS_getdents64, fd, buf, 10));
    close(fd);
    NO(ENOTDIR, syscall(SYS_getdents64, fd = open("d/n1", O_RDONLY), buf, 100));
    close(fd);
    NO(EBADF, syscall(SYS_getdents64, -1, buf, 100));
}

GROUP(readdir_large)
{
    enum { N = 20000 };
    static int seen[N];
    int more, bad = 0;
    NEED(mkdir("d", 0755));
    dir_make("d", 0, N);
    DIR *d = opendir("d");
    IS(N + 2, dir_count(d, seen, N, &more));
    for (int k = 0; k < N; k++)
        bad += seen[k] != 1;
    IS(0, bad);
    rewinddir(d);
    IS(N + 2, dir_count(d, seen, N, &more));
    closedir(d);
}

GROUP(readdir_change)
{
    enum { N = 900, STAY = 600 };
    static int seen[N];
    int more, k, bad = 0;
    char name[40], to[40];
    NEED(mkdir("d", 0755));
    dir_make("d", 0, N);
    CTX("names come and go while they are listed");
    DIR *d = opendir("d");
    for (k = 0; k < 50; k++) {
        struct dirent *e = readdir(d);
        NEED(e ? 0 : -1);
        if (e->d_name[0] == 'n')
            seen[atoi(e->d_name + 1)]++;
    }
    for (k = STAY; k < N; k++) {
        snprintf(name, sizeof name, "d/n%d", k);
        snprintf(to, sizeof to, "d/moved%d", k);
        NEED(k % 2 ? unlink(name) : rename(name, to));
    }
    dir_make("d", N, 100);
    OK(dir_count(d, seen, N, &more));
    for (k = 0; k < STAY; k++)
        bad += seen[k] != 1;
    IS(0, bad); /* what stayed is there, once */
    for (k = STAY; k < N; k++)
        bad += seen[k] > 1;
    IS(0, bad);
    CTX("rewinddir sees what is there now");
    memset(seen, 0, sizeof seen);
    rewinddir(d);
    IS(2 + STAY + (N - STAY) / 2 + 100, dir_count(d, seen, STAY, &more));
    for (k = 0; k < STAY; k++)
        bad += seen[k] != 1;
    IS(0, bad);
    IS((N - STAY) / 2 + 100, more);
    CTX("each name is removed as it is read");
    rewinddir(d);
    int removed = 0;
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) {
            OK(unlinkat(dirfd(d), e->d_name, 0));
            removed++;
        }
    IS(STAY + (N - STAY) / 2 + 100, removed);
    OK(rmdir("d"));
    CTX("a directory that is gone lists nothing");
    rewinddir(d);
    struct dirent *e = readdir(d);
    IS(0, e && strcmp(e->d_name, ".") && strcmp(e->d_name, ".."));
    closedir(d);
}
