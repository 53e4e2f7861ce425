/* tests/posix/posix_main.c - a POSIX conformance suite for a directory: the program.
 *
 *   posix-suite DIR [--other DIR] [--ro DIR] [--only G,...] [--skip G,...] [--without F,...]
 *               [--slow] [--verbose] [--list]
 *
 * Prints TAP: one line per group, preceded by a "# not ok" line for each check that failed (with
 * --verbose: by all checks).  Needs root: it acts as other users.  --without names what the file
 * system does not have and says so in docs/posix.md: then the documented error is the right answer.
 *
 * INVARIANTS
 *  1. A group's outcome depends on no other group: own directory, own process, own deadline.
 *  2. A group that does not end by itself in time, or ends otherwise, has failed.
 *  3. Nothing outside DIR is touched, and DIR is left as it was. */
#include <dirent.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include "tests/posix/posix.h"

enum { GROUP_SECONDS = 180, GROUP_SECONDS_SLOW = 3600 };

struct posix_options posix_opt;
char *volatile posix_nowhere = (char *)8;
static const char *posix_without = "", *posix_only, *posix_skip = "";
static struct {
    unsigned checks, failed;
    char context[200]; /* what the checks are about */
} * posix_count;

#define ROW(n)                     \
    {                              \
#n, posix_group_##n, false \
    }
static const struct posix_group posix_groups[] = {
    ROW(chmod),
    ROW(chown),
    ROW(utimens),
    ROW(access),
    ROW(setid),
    ROW(setgid_dir),
    ROW(mkdir),
    ROW(rmdir),
    ROW(mknod),
    ROW(symlink),
    ROW(link),
    ROW(unlink),
    ROW(rename),
    ROW(rename_types),
    ROW(rename_flags),
    ROW(rename_dirs),
    ROW(sticky),
    ROW(open),
    ROW(open_flags),
    ROW(open_perm),
    ROW(truncate),
    ROW(opath),
    ROW(tmpfile),
    ROW(errors),
    ROW(path_max),
    ROW(loops),
    ROW(slashes),
    ROW(dots),
    ROW(rofs),
    ROW(xdev),
    ROW(perm_file),
    ROW(perm_dir),
    ROW(times),
    ROW(nlink),
    ROW(xattr),
    ROW(xattr_limits),
    ROW(append),
    ROW(read_write),
    ROW(holes),
    ROW(fallocate),
    ROW(mmap),
    ROW(copy_range),
    ROW(unlinked),
    ROW(locks),
    ROW(statfs),
    ROW(readdir),
    ROW(fds),
    ROW(readdir_change),
    {"readdir_large", posix_group_readdir_large, true},
    {"emlink", posix_group_emlink, true},
};

/* is name one of list, which is divided by commas? */
static bool posix_listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = list; at && *at;) {
        size_t k = strcspn(at, ",");
        if (k == n && !memcmp(at, name, n))
            return true;
        at += k + (at[k] == ',');
    }
    return false;
}

bool posix_has(const char *feature)
{
    return !posix_listed(posix_without, feature);
}

/* --- checks --- */

void posix_ctx(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(posix_count->context, sizeof posix_count->context, fmt, ap);
    va_end(ap);
}

static bool posix_say(bool good, const char *call, const char *file, int line, const char *outcome)
{
    posix_count->checks++;
    posix_count->failed += !good;
    const char *base = strrchr(file, '/');
    if (!good || posix_opt.verbose)
        printf("# %s %u - [%s] %s: %s (%s:%d)\n", good ? "ok" : "not ok", posix_count->checks,
               posix_count->context, call, outcome, base ? base + 1 : file, line);
    return good;
}

static const char *posix_errname(int err)
{
    const char *s = err ? strerrorname_np(err) : "success";
    return s ? s : "?";
}

bool posix_ok(long got, const char *call, const char *file, int line)
{
    return posix_say(got >= 0, call, file, line, got >= 0 ? "success" : posix_errname(errno));
}

bool posix_no(int want, long got, const char *call, const char *file, int line)
{
    int have = got < 0 ? errno : 0;
    char text[80];
    snprintf(text, sizeof text, "%s, wanted %s", posix_errname(have), posix_errname(want));
    return posix_say(have == want, call, file, line, text);
}

bool posix_is(long long want, long long got, const char *what, const char *file, int line)
{
    char text[120];
    snprintf(text, sizeof text, "%lld (0%llo), wanted %lld (0%llo)", got, got, want, want);
    return posix_say(want == got, what, file, line, text);
}

void posix_need(long got, const char *call, const char *file, int line)
{
    if (got >= 0)
        return;
    posix_say(false, call, file, line, posix_errname(errno));
    fflush(stdout);
    _exit(1);
}

/* --- users --- */

void posix_as_root(void)
{
    if (setresuid(0, 0, 0) || setresgid(0, 0, 0) || setgroups(0, NULL))
        abort();
}

static void posix_become(uid_t uid, gid_t gid, size_t n, const gid_t *more)
{
    posix_as_root();
    if (setgroups(n, more) || setresgid(gid, gid, 0) || setresuid(uid, uid, 0))
        abort();
}

void posix_as(uid_t uid, gid_t gid)
{
    posix_become(uid, gid, 0, NULL);
}

void posix_as_group(uid_t uid, gid_t gid, gid_t more)
{
    posix_become(uid, gid, 1, &more);
}

/* --- files --- */

const char *posix_type_name(char type)
{
    switch (type) {
    case 'f':
        return "file";
    case 'd':
        return "dir";
    case 'l':
        return "symlink";
    case 'p':
        return "fifo";
    case 's':
        return "socket";
    case 'c':
        return "char";
    case 'b':
        return "block";
    default:
        return "nothing";
    }
}

int posix_make(char type, const char *path, mode_t mode)
{
    static const dev_t null = 0x103; /* 1:3 */
    int r = 0;
    switch (type) {
    case '-':
        return 0;
    case 'f':
        r = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
        r = r < 0 ? r : close(r);
        break;
    case 'd':
        r = mkdir(path, 0700);
        break;
    case 'l':
        return symlink("nowhere", path);
    case 'p':
        r = mknod(path, S_IFIFO | 0600, 0);
        break;
    case 's':
        r = mknod(path, S_IFSOCK | 0600, 0);
        break;
    case 'c':
        r = mknod(path, S_IFCHR | 0600, null);
        break;
    case 'b':
        r = mknod(path, S_IFBLK | 0600, makedev(7, 200));
        break;
    }
    return r < 0 ? r : chmod(path, mode);
}

bool posix_is_type(char type, mode_t mode)
{
    switch (type) {
    case 'f':
        return S_ISREG(mode);
    case 'd':
        return S_ISDIR(mode);
    case 'l':
        return S_ISLNK(mode);
    case 'p':
        return S_ISFIFO(mode);
    case 's':
        return S_ISSOCK(mode);
    case 'c':
        return S_ISCHR(mode);
    case 'b':
        return S_ISBLK(mode);
    default:
        return mode == 0;
    }
}

/* below fd, by names alone: paths may be longer than any system call takes */
static int posix_remove_at(int fd, const char *name)
{
    if (!unlinkat(fd, name, 0) || errno == ENOENT)
        return 0;
    int sub = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    DIR *d = sub < 0 ? NULL : fdopendir(sub);
    if (!d)
        return -1;
    int r = 0;
    for (int again = 1; again && !r;) {
        again = 0;
        rewinddir(d);
        for (struct dirent *e; !r && (e = readdir(d));)
            if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) {
                r = posix_remove_at(dirfd(d), e->d_name);
                again = 1;
            }
    }
    closedir(d);
    return r ? r : unlinkat(fd, name, AT_REMOVEDIR);
}

int posix_remove(const char *path)
{
    return posix_remove_at(AT_FDCWD, path);
}

struct stat posix_stat(const char *path)
{
    struct stat st;
    if (lstat(path, &st))
        memset(&st, 0, sizeof st);
    return st;
}

void posix_tick(void)
{
    struct timespec t = {0, 12 * 1000 * 1000};
    nanosleep(&t, NULL);
}

static bool posix_after(struct timespec a, struct timespec b)
{
    return b.tv_sec != a.tv_sec ? b.tv_sec > a.tv_sec : b.tv_nsec > a.tv_nsec;
}

int posix_later(const struct stat *a, const struct stat *b)
{
    return (posix_after(a->st_atim, b->st_atim) ? T_A : 0) |
           (posix_after(a->st_ctim, b->st_ctim) ? T_C : 0) |
           (posix_after(a->st_mtim, b->st_mtim) ? T_M : 0);
}

char *posix_name(char c, size_t n)
{
    static char names[4][5000];
    static unsigned next;
    char *s = names[next++ % 4];
    memset(s, c, n);
    s[n] = 0;
    return s;
}

int posix_fill(const char *path, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0)
        return -1;
    static char b[4096];
    memset(b, 'x', sizeof b);
    while (n) {
        ssize_t k = write(fd, b, n < sizeof b ? n : sizeof b);
        if (k <= 0) {
            close(fd);
            return -1;
        }
        n -= (size_t)k;
    }
    return close(fd);
}

int posix_open_close(const char *path, int flags, mode_t mode)
{
    int fd = open(path, flags, mode);
    return fd < 0 ? -1 : close(fd);
}

/* --- the program --- */

static int posix_group_run(const struct posix_group *g, const char *base)
{
    char dir[8192];
    int status;
    posix_count->checks = posix_count->failed = 0;
    fflush(stdout);
    snprintf(dir, sizeof dir, "%s/%s", base, g->name);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(posix_opt.slow ? GROUP_SECONDS_SLOW : GROUP_SECONDS);
        signal(SIGPIPE, SIG_IGN);
        umask(0);
        CTX("%s", g->name);
        NEED(mkdir(dir, 0777));
        NEED(chmod(dir, 0777));
        NEED(chdir(dir));
        g->run();
        fflush(stdout);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    if (WIFSIGNALED(status))
        printf("# the group was ended by signal %d after [%s]\n", WTERMSIG(status),
               posix_count->context);
    if (posix_remove(dir))
        printf("# what is in %s cannot be removed: %s\n", dir, strerror(errno));
    return status == 0 && !posix_count->failed ? 0 : -1;
}

static int posix_usage(const char *what)
{
    fprintf(stderr,
            "%s\nusage: posix-suite DIR [--other DIR] [--ro DIR] [--only GROUP,...] "
            "[--skip GROUP,...] [--without FEATURE,...] [--slow] [--verbose] [--list]\n",
            what);
    return 2;
}

static int posix_arguments(int argc, char **argv)
{
    static const struct {
        const char *name, **to;
    } with[] = {{"--other", &posix_opt.other},
                {"--ro", &posix_opt.ro},
                {"--only", &posix_only},
                {"--skip", &posix_skip},
                {"--without", &posix_without}};
    for (int i = 1; i < argc; i++) {
        bool found = false;
        for (size_t k = 0; k < COUNT(with) && !found; k++)
            if (!strcmp(argv[i], with[k].name) && i + 1 < argc) {
                *with[k].to = argv[++i];
                found = true;
            }
        if (found)
            continue;
        if (!strcmp(argv[i], "--slow")) {
            posix_opt.slow = true;
        } else if (!strcmp(argv[i], "--verbose")) {
            posix_opt.verbose = true;
        } else if (!strcmp(argv[i], "--list")) {
            for (size_t k = 0; k < COUNT(posix_groups); k++)
                printf("%s%s\n", posix_groups[k].name, posix_groups[k].slow ? " (slow)" : "");
            exit(0);
        } else if (argv[i][0] != '-' && !posix_opt.dir) {
            posix_opt.dir = argv[i];
        } else {
            return posix_usage(argv[i]);
        }
    }
    return posix_opt.dir ? 0 : posix_usage("no directory given");
}

static bool posix_wanted(const struct posix_group *g)
{
    if (posix_listed(posix_skip, g->name) || (g->slow && !posix_opt.slow))
        return false;
    return !posix_only || posix_listed(posix_only, g->name);
}

int main(int argc, char **argv)
{
    char base[PATH_MAX + 32], abs[PATH_MAX];
    unsigned n = 0, bad = 0, checks = 0;
    int r = posix_arguments(argc, argv);
    if (r)
        return r;
    if (geteuid()) {
        printf("1..0 # SKIP needs root, to act as other users\n");
        return 77;
    }
    posix_count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (posix_count == MAP_FAILED || !realpath(posix_opt.dir, abs))
        return posix_usage(strerror(errno));
    posix_as_root();
    snprintf(base, sizeof base, "%s/posix-%d", abs, (int)getpid());
    umask(0);
    if (mkdir(base, 0777))
        return posix_usage(strerror(errno));
    for (size_t k = 0; k < COUNT(posix_groups); k++) {
        const struct posix_group *g = &posix_groups[k];
        struct timespec a, b;
        if (!posix_wanted(g))
            continue;
        clock_gettime(CLOCK_MONOTONIC, &a);
        bool good = posix_group_run(g, base) == 0;
        clock_gettime(CLOCK_MONOTONIC, &b);
        bad += !good;
        checks += posix_count->checks;
        printf("%s %u - %s: %u checks, %u failed, %ld ms\n", good ? "ok" : "not ok", ++n, g->name,
               posix_count->checks, posix_count->failed,
               (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000);
    }
    posix_remove(base);
    printf("1..%u\n# %u groups, %u failed; %u checks\n", n, n, bad, checks);
    return bad || !n;
}
