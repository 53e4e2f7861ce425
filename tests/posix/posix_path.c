/* tests/posix/posix_path.c - the errors that a path itself can cause, for every call that takes
 * one.
 *
 * A row of `calls` is a call, what must be there for it to succeed, and how it treats the path:
 *   C  makes the name      M  changes the directory      W  changes the object      F  follows a
 *   symbolic link at the end */
#include <dirent.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include "tests/posix/posix.h"

static int back = -1; /* the group's directory, however far away we are */

#define CALL(name, expr)                  \
    static int call_##name(const char *p) \
    {                                     \
        return (int)(expr);               \
    }
#define HERE(rel) posix_here(rel)

/* a path below the group's directory that a call at the end of a long path can also use */
static const char *posix_here(const char *rel)
{
    static char s[64];
    snprintf(s, sizeof s, "/proc/self/fd/%d/%s", back, rel);
    return s;
}

static const struct timespec stamps[2] = {{1, 2}, {3, 4}};
static char sink[8192];

CALL(open_r, posix_open_close(p, O_RDONLY, 0))
CALL(open_w, posix_open_close(p, O_WRONLY, 0))
CALL(open_creat, posix_open_close(p, O_WRONLY | O_CREAT, 0644))
CALL(open_excl, posix_open_close(p, O_WRONLY | O_CREAT | O_EXCL, 0644))
CALL(open_trunc, posix_open_close(p, O_WRONLY | O_TRUNC, 0))
CALL(open_path, posix_open_close(p, O_PATH, 0))
CALL(chmod, chmod(p, 0666))
CALL(chown, chown(p, 0, 0))
CALL(lchown, lchown(p, 0, 0))
CALL(truncate, truncate(p, 1))
CALL(utimens, utimensat(AT_FDCWD, p, stamps, 0))
CALL(lutimens, utimensat(AT_FDCWD, p, stamps, AT_SYMLINK_NOFOLLOW))
CALL(stat, stat(p, (struct stat *)(void *)sink))
CALL(lstat, lstat(p, (struct stat *)(void *)sink))
CALL(statfs, statfs(p, (struct statfs *)(void *)sink))
CALL(access, access(p, F_OK))
CALL(readlink, readlink(p, sink, sizeof sink))
CALL(mkdir, mkdir(p, 0755))
CALL(rmdir, rmdir(p))
CALL(mkfifo, mkfifo(p, 0644))
CALL(mksock, mknod(p, S_IFSOCK | 0644, 0))
CALL(mkchr, mknod(p, S_IFCHR | 0644, 0x103))
CALL(symlink, symlink("to", p))
CALL(link_from, link(p, HERE("made")))
CALL(link_to, link(HERE("source"), p))
CALL(unlink, unlink(p))
CALL(rename_from, rename(p, HERE("made")))
CALL(rename_to, rename(HERE("source"), p))
CALL(chdir, chdir(p))
CALL(opendir, posix_open_close(p, O_RDONLY | O_DIRECTORY, 0))
CALL(listxattr, listxattr(p, sink, sizeof sink))
CALL(setxattr, setxattr(p, "user.a", "b", 1, 0))
CALL(getxattr, getxattr(p, "user.none", sink, 1) < 0 && errno == ENODATA ? 0 : -1)

struct call {
    const char *name;
    int (*run)(const char *p);
    char object; /* what has to be there */
    const char *how;
};

#define ROW(name, object, how)          \
    {                                   \
#name, call_##name, object, how \
    }
static const struct call calls[] = {
    ROW(open_r, 'f', "F"),    ROW(open_w, 'f', "FW"),     ROW(open_creat, '-', "FC"),
    ROW(open_excl, '-', "C"), ROW(open_trunc, 'f', "FW"), ROW(open_path, 'f', "F"),
    ROW(chmod, 'f', "FW"),    ROW(chown, 'f', "FW"),      ROW(lchown, 'f', "W"),
    ROW(truncate, 'f', "FW"), ROW(utimens, 'f', "FW"),    ROW(lutimens, 'f', "W"),
    ROW(stat, 'f', "F"),      ROW(lstat, 'f', ""),        ROW(statfs, 'f', "F"),
    ROW(access, 'f', "F"),    ROW(readlink, 'l', ""),     ROW(mkdir, '-', "C"),
    ROW(rmdir, 'd', "M"),     ROW(mkfifo, '-', "C"),      ROW(mksock, '-', "C"),
    ROW(mkchr, '-', "C"),     ROW(symlink, '-', "C"),     ROW(link_from, 'f', "L"),
    ROW(link_to, '-', "C"),   ROW(unlink, 'f', "M"),      ROW(rename_from, 'f', "M"),
    ROW(rename_to, '-', "C"), ROW(chdir, 'd', "F"),       ROW(opendir, 'd', "F"),
    ROW(listxattr, 'f', "F"), ROW(setxattr, 'f', "FW"),   ROW(getxattr, 'f', "F"),
};

static bool is(const struct call *c, char how)
{
    return strchr(c->how, how);
}

/* the ground of one call: its object at p, and a file that link and rename bring */
static void lay(const struct call *c, const char *p)
{
    if (back < 0)
        back = open(".", O_RDONLY | O_DIRECTORY);
    NEED(back);
    posix_remove(HERE("made"));
    posix_remove(HERE("source"));
    NEED(posix_make('f', HERE("source"), 0666));
    NEED(posix_make(c->object, p, c->object == 'd' ? 0777 : 0666));
}

static void clear(const char *p)
{
    NEED(fchdir(back));
    posix_remove(HERE("made"));
    posix_remove(HERE("source"));
    if (p)
        posix_remove(p);
}

static int run(const struct call *c, const char *p)
{
    int r = c->run(p), saved = errno;
    NEED(fchdir(back));
    errno = saved;
    return r;
}

/* --- ENOENT, ENOTDIR, EFAULT, ENAMETOOLONG of a name, EACCES --- */

static void errors_names(const struct call *c)
{
    CTX("%s: names", c->name);
    lay(c, "x");
    OK(run(c, "x"));
    clear("x");
    lay(c, "x");
    NO(ENOENT, run(c, "none/x"));
    NO(ENOENT, run(c, ""));
    if (c->object != '-')
        NO(ENOENT, run(c, "absent"));
    NO(EFAULT, run(c, posix_nowhere));
    NEED(symlink("nowhere", "dangling"));
    NO(ENOENT, run(c, "dangling/x"));
    for (const char *t = "fpscb"; *t; t++) {
        NEED(posix_make(*t, "t", 0777));
        NO(ENOTDIR, run(c, "t/x"));
        NO(ENOTDIR, run(c, "t/x/y"));
        NEED(unlink("t"));
    }
    clear("x");
    NEED(unlink("dangling"));
    const char *most = posix_name('n', 255), *more = posix_name('n', 256);
    char below[300];
    lay(c, most);
    OK(run(c, most));
    clear(most);
    lay(c, "x");
    NO(ENAMETOOLONG, run(c, more));
    snprintf(below, sizeof below, "%s/x", more);
    NO(ENAMETOOLONG, run(c, below));
    clear("x");
}

static void errors_access(const struct call *c)
{
    CTX("%s: permission", c->name);
    NEED(mkdir("d", 0777));
    NEED(mkdir("d/e", 0777));
    lay(c, "d/x");
    if (c->object != '-')
        NEED(lchown("d/x", ME, ME));
    NEED(chown("source", ME, ME));
    for (mode_t m = 0; m < 8; m++) {
        bool dir = is(c, 'C') || is(c, 'M');
        int want = !(m & 1) || (dir && !(m & 2)) ? EACCES : 0;
        if (!want)
            continue; /* success has its own test below: it would use up the ground */
        NEED(chmod("d", 0770 | m));
        posix_as(ME, ME);
        GIVES(want, run(c, "d/x"));
        if (!(m & 1))
            NO(EACCES, run(c, "d/e/none"));
        posix_as_root();
    }
    NEED(chmod("d", 0777));
    posix_as(ME, ME);
    bool is_roots =
        !strcmp(c->name, "chown") || !strcmp(c->name, "lchown") || !strcmp(c->name, "mkchr");
    GIVES(is_roots ? EPERM : 0, run(c, "d/x"));
    posix_as_root();
    clear("d");
}

GROUP(errors)
{
    NEED(chmod(".", 0777));
    for (size_t k = 0; k < COUNT(calls); k++) {
        errors_names(&calls[k]);
        errors_access(&calls[k]);
    }
}

/* --- PATH_MAX --- */

/* makes directories until an absolute path has exactly 4095 bytes with the name in ret_name */
static void path_max_make(char *ret_path, char *ret_name)
{
    NEED(getcwd(ret_path, 4096) ? 0 : -1);
    size_t n = strlen(ret_path);
    while (4095 - n - 1 > 255) {
        size_t k = 4095 - n - 1 - 1 > 400 ? 200 : (4095 - n) / 2;
        const char *part = posix_name('p', k);
        NEED(mkdir(part, 0777));
        NEED(chdir(part));
        ret_path[n++] = '/';
        strcpy(ret_path + n, part);
        n += k;
    }
    strcpy(ret_name, posix_name('q', 4095 - n - 1));
    ret_path[n++] = '/';
    strcpy(ret_path + n, ret_name);
}

static int path_max_deeper(const char *part, int n)
{
    for (int k = 0; k < n; k++)
        if (mkdir(part, 0755) || chdir(part))
            return -1;
    return 0;
}

GROUP(path_max)
{
    static char path[5000], longer[5000];
    char name[300];
    back = open(".", O_RDONLY | O_DIRECTORY);
    path_max_make(path, name);
    IS(4095, strlen(path));
    int deep = open(".", O_RDONLY | O_DIRECTORY);
    memcpy(longer, path, 4095);
    memcpy(longer + 4095, "x", 2);
    for (size_t k = 0; k < COUNT(calls); k++) {
        CTX("%s of 4095 bytes", calls[k].name);
        NEED(fchdir(deep));
        lay(&calls[k], name);
        OK(calls[k].run(path));
        NEED(fchdir(deep));
        posix_remove(name);
        CTX("%s of 4096 bytes", calls[k].name);
        NO(ENAMETOOLONG, calls[k].run(longer));
    }
    CTX("deeper than PATH_MAX, step by step");
    NEED(fchdir(deep));
    const char *part = posix_name('z', 250);
    OK(path_max_deeper(part, 15));
    NEED(posix_fill("f", 5));
    OK(posix_open_close("f", O_RDONLY, 0));
    IS(5, SIZE("f"));
    OK(link("f", "g"));
    OK(rename("g", "../f"));
    OK(unlink("../f"));
    OK(truncate("f", 3));
    IS(3, SIZE("f"));
    OK(mkdir("d", 0755));
    OK(rename("d", "../d"));
    OK(rmdir("../d"));
    CTX("deeper than twice PATH_MAX");
    GIVES(posix_has("deep") ? 0 : ENAMETOOLONG, path_max_deeper(part, 5));
    OK(posix_open_close("..", O_RDONLY, 0));
    NEED(fchdir(back));
}

/* --- ELOOP --- */

GROUP(loops)
{
    NEED(symlink("a", "b"));
    NEED(symlink("b", "a"));
    NEED(symlink("self", "self"));
    for (size_t k = 0; k < COUNT(calls); k++) {
        const struct call *c = &calls[k];
        CTX("%s", c->name);
        lay(c, "x");
        NO(ELOOP, run(c, "a/x"));
        NO(ELOOP, run(c, "self/x"));
        if (is(c, 'F')) {
            NO(ELOOP, run(c, "b"));
            NO(ELOOP, run(c, "self"));
        }
        clear("x");
    }
    CTX("chains");
    char name[20], to[20] = "file";
    NEED(posix_fill("file", 3));
    struct stat st;
    for (int k = 1; k <= 41; k++) {
        snprintf(name, sizeof name, "c%d", k);
        NEED(symlink(to, name));
        strcpy(to, name);
        GIVES(k <= 40 ? 0 : ELOOP, stat(name, &st));
        IS(k <= 40 ? 3 : 0, k <= 40 ? st.st_size : 0);
    }
    CTX("by way of \"..\"");
    NEED(mkdir("d", 0755));
    NEED(symlink("../d", "d/up"));
    OK(stat("d/up/up/up/up/up", &st));
    NO(ELOOP, stat("a/..", &st));
    if (back >= 0)
        close(back);
    back = -1;
}

/* --- slashes, dots --- */

GROUP(slashes)
{
    for (size_t k = 0; k < COUNT(calls); k++) {
        const struct call *c = &calls[k];
        CTX("%s of what is no directory, with a slash", c->name);
        if (c->object != 'f')
            continue;
        lay(c, "x");
        NO(ENOTDIR, run(c, "x/"));
        NO(ENOTDIR, run(c, "x///"));
        NO(ENOTDIR, run(c, "x/."));
        NO(ENOTDIR, run(c, "x/.."));
        IS(1, S_ISREG(posix_stat("x").st_mode));
        clear("x");
    }
    CTX("making with a slash");
    NEED(posix_make('f', "f", 0644));
    OK(mkdir("new/", 0755));
    OK(rmdir("new///"));
    NO(EISDIR, posix_open_close("new/", O_CREAT | O_WRONLY, 0644));
    NO(ENOENT, mkfifo("new/", 0644));
    NO(ENOENT, mknod("new/", S_IFREG | 0644, 0));
    NO(ENOENT, symlink("t", "new/"));
    NO(ENOENT, link("f", "new/"));
    NO(ENOTDIR, rename("f", "new/"));
    NEED(mkdir("d", 0755));
    OK(rename("d/", "e/"));
    OK(rename("e", "d//"));
    NO(EEXIST, mkdir("d/", 0755));
    NO(ENOENT, posix_stat("new").st_mode ? 0 : (errno = ENOENT, -1));
    CTX("a symbolic link to a directory, with a slash");
    NEED(symlink("d", "l"));
    struct stat st = {0};
    OK(lstat("l/", &st));
    IS(1, S_ISDIR(st.st_mode));
    NO(ENOTDIR, rmdir("l/"));
    NO(ENOTDIR, unlink("l/"));
    NO(EINVAL, readlink("l/", sink, 4));
    OK(mkdir("l/in/", 0755));
    OK(rmdir("d/in"));
    OK(chmod("l/", 0700));
    IS(0700, MODE("d"));
    NO(ENOTDIR, rename("l/", "m"));
    CTX("many slashes");
    OK(posix_open_close(".//d//.///../f", O_RDONLY, 0));
    OK(mkdir("d//x//", 0755));
    IS(1, S_ISDIR(posix_stat("d/x").st_mode));
}

GROUP(dots)
{
    NEED(mkdir("d", 0755));
    NEED(mkdir("d/e", 0755));
    struct stat a, b;
    CTX("where dots lead");
    OK(stat("d/e/..", &a));
    OK(stat("d", &b));
    IS(a.st_ino, b.st_ino);
    OK(stat("d/e/.", &a));
    OK(stat("d/e", &b));
    IS(a.st_ino, b.st_ino);
    OK(stat("d/e/../../d/./e", &a));
    IS(a.st_ino, b.st_ino);
    NO(ENOENT, stat("d/none/..", &a));
    NEED(posix_make('f', "f", 0644));
    NO(ENOTDIR, stat("f/..", &a));
    CTX("names that begin with dots are names");
    OK(mkdir("...", 0755));
    OK(posix_make('f', "..x", 0644));
    OK(posix_make('f', ".hidden", 0644));
    OK(rename("..x", ".../..y"));
    IS(1, S_ISREG(posix_stat(".../..y").st_mode));
    CTX("odd names");
    static const char *const odd[] = {" ",   "\n",  "\t\x01",           "a b", "\xff\xfe", "*",
                                      "\\",  "-rf", "\xc3\xa4\xc3\xb6", "\"'", "~",        "a:b",
                                      "%s%n"};
    for (size_t k = 0; k < COUNT(odd); k++) {
        OK(posix_make('f', odd[k], 0644));
        OK(stat(odd[k], &a));
        OK(unlink(odd[k]));
    }
    CTX("case and length tell names apart");
    OK(posix_make('f', "Name", 0644));
    NO(ENOENT, stat("name", &a));
    OK(posix_make('f', "name", 0644));
    for (size_t n = 1; n <= 255; n += 2)
        OK(posix_make('f', posix_name('L', n), 0644));
    for (size_t n = 1; n <= 255; n++)
        GIVES(n % 2 ? 0 : ENOENT, stat(posix_name('L', n), &a));
}

/* --- EROFS, EXDEV --- */

GROUP(rofs)
{
    if (!posix_opt.ro) {
        printf("# rofs: no --ro directory\n");
        return;
    }
    back = open(".", O_RDONLY | O_DIRECTORY);
    NEED(posix_make('f', "source", 0644));
    NEED(chdir(posix_opt.ro));
    for (size_t k = 0; k < COUNT(calls); k++) {
        const struct call *c = &calls[k];
        CTX("%s", c->name);
        const char *p = c->object == 'f' ? "file" : c->object == 'd' ? "dir/sub" : "new";
        if (c->object == 'l')
            p = "link";
        if (!strncmp(c->name, "link_", 5) || !strncmp(c->name, "rename_", 7))
            continue; /* two file systems: EXDEV may come first */
        bool refused = is(c, 'C') || is(c, 'M') || is(c, 'W');
        GIVES(refused ? EROFS : 0, c->run(p));
        NEED(chdir(posix_opt.ro));
    }
    CTX("within it");
    NO(EROFS, rename("file", "file2"));
    NO(EROFS, rename("dir", "dir2"));
    NO(EROFS, link("file", "file2"));
    GIVES(posix_has("ro_access") ? EROFS : 0, access("file", W_OK));
    NO(EROFS, removexattr("file", "user.a"));
    NO(EROFS, posix_open_close("file", O_RDWR | O_CREAT, 0644));
    NO(EEXIST, mkdir("dir", 0755));
    OK(posix_open_close("file", O_RDONLY, 0));
    OK(posix_open_close("fifo", O_RDWR | O_NONBLOCK, 0)); /* a fifo is not of the file system */
    NEED(fchdir(back));
}

GROUP(xdev)
{
    if (!posix_opt.other) {
        printf("# xdev: no --other directory\n");
        return;
    }
    char there[4200];
    for (const char *t = TYPES_ALL; *t; t++) {
        CTX("%s to another file system", posix_type_name(*t));
        NEED(posix_make(*t, "x", 0644));
        snprintf(there, sizeof there, "%s/posix-xdev", posix_opt.other);
        NO(EXDEV, rename("x", there));
        if (*t != 'd')
            NO(EXDEV, link("x", there));
        IS(1, posix_is_type(*t, posix_stat("x").st_mode));
        NEED(posix_remove("x"));
    }
}
