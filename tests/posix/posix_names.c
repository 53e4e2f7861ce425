/* tests/posix/posix_names.c - making and removing names: mkdir, rmdir, mknod, symlink, link,
 * unlink. */
#include <sys/sysmacros.h>
#include "tests/posix/posix.h"

/* a parent directory whose mtime and ctime must move by ok calls and not by refused ones */
static struct stat parent;

static void parent_mark(void)
{
    parent = posix_stat(".");
    posix_tick();
}

static void parent_moved(bool moved)
{
    struct stat now = posix_stat(".");
    IS(moved ? T_C | T_M : 0, posix_later(&parent, &now) & (T_C | T_M));
}

/* make() is refused where something is, whatever it is */
static void exists(const char *what, int (*make)(const char *path))
{
    for (const char *t = TYPES_ALL; *t; t++) {
        CTX("%s over a %s", what, posix_type_name(*t));
        NEED(posix_make(*t, "there", 0644));
        struct stat a = posix_stat("there");
        NO(EEXIST, make("there"));
        IS(a.st_ino, posix_stat("there").st_ino);
        IS(a.st_mode, posix_stat("there").st_mode);
        posix_remove("there");
    }
    CTX("%s over dots", what);
    NO(EEXIST, make("."));
    NO(EEXIST, make(".."));
    NO(EEXIST, make("/"));
}

/* owner, group, times and umask of what make() makes */
static void fresh(const char *what, int (*make)(const char *path), mode_t mode, bool is_masked)
{
    static const mode_t masks[] = {0, 022, 077, 0777, 0151};
    for (size_t k = 0; k < COUNT(masks); k++) {
        CTX("%s with umask %o", what, masks[k]);
        umask(masks[k]);
        OK(make("new"));
        umask(0);
        IS(is_masked ? mode & ~masks[k] : mode, MODE("new"));
        NEED(posix_remove("new"));
    }
    CTX("%s by a user", what);
    posix_as(ME, GRP);
    OK(make("new"));
    posix_as_root();
    struct stat st = posix_stat("new");
    IS(ME, st.st_uid);
    IS(GRP, st.st_gid);
    NEED(posix_remove("new"));
    CTX("%s: times", what);
    parent_mark();
    OK(make("new"));
    parent_moved(true);
    st = posix_stat("new");
    IS(1, posix_later(&parent, &st) == (T_A | T_C | T_M));
    IS(0, st.st_ctim.tv_sec == 0);
    parent_mark();
    NO(EEXIST, make("new"));
    parent_moved(false);
    struct stat again = posix_stat("new");
    IS(0, posix_later(&st, &again));
    NEED(posix_remove("new"));
}

static int make_dir(const char *p)
{
    return mkdir(p, 0777);
}

static int make_dir_sticky(const char *p)
{
    return mkdir(p, 01755);
}

GROUP(mkdir)
{
    exists("mkdir", make_dir);
    fresh("mkdir", make_dir, 0777, true);
    CTX("mkdir");
    OK(make_dir_sticky("s"));
    IS(01755, MODE("s"));
    OK(mkdir("d", 0755));
    IS(2, NLINK("d"));
    OK(mkdir("d/e", 0));
    IS(3, NLINK("d"));
    IS(0, MODE("d/e"));
    OK(mkdir("d/e/f", 0755)); /* root needs no permission */
    NO(ENOENT, mkdir("none/d", 0755));
    int fd = open("d", O_RDONLY | O_DIRECTORY);
    OK(mkdirat(fd, "g", 0755));
    IS(4, NLINK("d"));
    NO(EEXIST, mkdirat(fd, "g", 0755));
    NO(EBADF, mkdirat(-5, "g", 0755));
    OK(rmdir("d/g"));
    OK(rmdir("d/e/f"));
    OK(rmdir("d/e"));
    IS(2, NLINK("d"));
    OK(rmdir("d"));
    NO(ENOENT, mkdirat(fd, "h", 0755)); /* in a directory that is gone */
    close(fd);
}

GROUP(rmdir)
{
    for (const char *t = "flpscb"; *t; t++) {
        CTX("rmdir of a %s", posix_type_name(*t));
        NEED(posix_make(*t, "x", 0644));
        NO(ENOTDIR, rmdir("x"));
        IS(1, posix_is_type(*t, posix_stat("x").st_mode));
        OK(unlink("x"));
    }
    for (const char *t = TYPES_ALL; *t; t++) {
        CTX("rmdir of a directory with a %s", posix_type_name(*t));
        NEED(mkdir("d", 0755));
        NEED(posix_make(*t, "d/x", 0644));
        bool is_full =
            posix_no(ENOTEMPTY, (errno = 0, rmdir("d")), "rmdir(\"d\")", __FILE__, __LINE__);
        IS(1, is_full);
        NEED(posix_remove("d/x"));
        OK(rmdir("d"));
        NO(ENOENT, rmdir("d"));
    }
    CTX("rmdir: times");
    NEED(mkdir("d", 0755));
    NEED(mkdir("e", 0755));
    NEED(posix_make('f', "e/f", 0644));
    parent_mark();
    NO(ENOTEMPTY, rmdir("e"));
    parent_moved(false);
    OK(rmdir("d"));
    parent_moved(true);
    CTX("rmdir of the dots");
    NEED(mkdir("a", 0755));
    NEED(mkdir("a/b", 0755));
    NO(EINVAL, rmdir("a/b/."));
    NO(ENOTEMPTY, rmdir("a/b/.."));
    NO(EINVAL, rmdir("."));
    NO(ENOTEMPTY, rmdir(".."));
    CTX("rmdir through a symbolic link");
    NEED(symlink("a/b", "l"));
    NO(ENOTDIR, rmdir("l"));
    NO(ENOTDIR, rmdir("l/"));
    OK(rmdir("a/b/"));
    CTX("rmdir of the working directory");
    NEED(mkdir("w", 0755));
    NEED(chdir("w"));
    OK(rmdir("../w"));
    NO(ENOENT, mkdir("x", 0755));
    NO(ENOENT, posix_open_close("x", O_CREAT | O_WRONLY, 0644));
    struct stat st = {0};
    OK(stat(".", &st));
    IS(0, st.st_nlink);
}

static char node_type;

static int make_node(const char *p)
{
    switch (node_type) {
    case 'p':
        return mkfifo(p, 0777);
    case 's':
        return mknod(p, S_IFSOCK | 0777, 0);
    case 'c':
        return mknod(p, S_IFCHR | 0777, makedev(1, 3));
    case 'b':
        return mknod(p, S_IFBLK | 0777, makedev(7, 200));
    case '0':
        return mknod(p, 0777, 0); /* type 0 is a regular file */
    default:
        return mknod(p, S_IFREG | 0777, 0);
    }
}

/* --- mknod --- */

static void mknod_device(char type)
{
    static const struct {
        unsigned major, minor;
    } devs[] = {{1, 3}, {0, 0}, {255, 255}, {4095, 1}, {1, 256}, {17, 1048575}, {4095, 1048575}};
    mode_t t = type == 'c' ? S_IFCHR : S_IFBLK;
    for (size_t k = 0; k < COUNT(devs); k++) {
        CTX("mknod %s %u:%u", posix_type_name(type), devs[k].major, devs[k].minor);
        OK(mknod("x", t | 0600, makedev(devs[k].major, devs[k].minor)));
        struct stat st = posix_stat("x");
        IS(t | 0600, st.st_mode);
        IS(devs[k].major, major(st.st_rdev));
        IS(devs[k].minor, minor(st.st_rdev));
        IS(0, st.st_size);
        OK(unlink("x"));
    }
    CTX("mknod %s by a user", posix_type_name(type));
    posix_as(ME, ME);
    NO(EPERM, mknod("x", t | 0600, makedev(1, 3)));
    posix_as_root();
}

GROUP(mknod)
{
    for (const char *t = "pscbf0"; *t; t++) {
        node_type = *t;
        char what[40];
        snprintf(what, sizeof what, "mknod(%s)", posix_type_name(*t));
        exists(what, make_node);
        if (*t != 'c' && *t != 'b')
            fresh(what, make_node, 0777, true);
        OK(make_node("n"));
        IS(1, posix_is_type(*t == '0' ? 'f' : *t, posix_stat("n").st_mode));
        IS(1, NLINK("n"));
        OK(unlink("n"));
    }
    mknod_device('c');
    mknod_device('b');
    CTX("mknod of what is no node");
    NO(EPERM, mknod("x", S_IFDIR | 0755, 0));
    NO(EINVAL, mknod("x", S_IFLNK | 0755, 0));
    NO(EINVAL, mknod("x", S_IFMT | 0755, 0));
    CTX("a fifo carries bytes, and none of them counts");
    OK(mkfifo("q", 0666));
    int r = open("q", O_RDONLY | O_NONBLOCK), w = open("q", O_WRONLY | O_NONBLOCK);
    char b[4] = "";
    IS(3, write(w, "abc", 3));
    IS(3, read(r, b, 4));
    IS(0, SIZE("q"));
    OK(unlink("q"));
    IS(1, write(w, "d", 1));
    close(r);
    close(w);
    NEED(mkfifo("q", 0666));
    NO(ENXIO, posix_open_close("q", O_WRONLY | O_NONBLOCK, 0));
    NO(ENOTDIR, posix_open_close("q", O_RDONLY | O_DIRECTORY | O_NONBLOCK, 0));
    NEED(posix_make('s', "sock", 0666));
    NO(ENXIO, posix_open_close("sock", O_RDONLY, 0));
    CTX("mknodat, mkfifoat");
    NEED(mkdir("d", 0755));
    int fd = open("d", O_RDONLY);
    OK(mkfifoat(fd, "p", 0600));
    OK(mknodat(fd, "s", S_IFSOCK | 0600, 0));
    IS(1, S_ISFIFO(posix_stat("d/p").st_mode));
    IS(1, S_ISSOCK(posix_stat("d/s").st_mode));
    close(fd);
}

/* --- symbolic links --- */

static int make_symlink(const char *p)
{
    return symlink("target", p);
}

static void symlink_targets(void)
{
    static const char *const targets[] = {"a", "/",        "/abs/olute", "../..",   "a//b/",
                                          ".", "\xff\x01", "with space", "\xc3\xa4"};
    char buf[5000];
    for (size_t k = 0; k < COUNT(targets); k++) {
        CTX("symlink to %s", targets[k]);
        OK(symlink(targets[k], "s"));
        long n = readlink("s", buf, sizeof buf);
        IS(strlen(targets[k]), n);
        IS(0, n < 0 || memcmp(buf, targets[k], (size_t)n));
        IS(n, SIZE("s"));
        OK(unlink("s"));
    }
    static const size_t lengths[] = {1, 59, 60, 61, 255, 256, 1000, 1023, 1024, 2048, 4000, 4094};
    for (size_t k = 0; k < COUNT(lengths); k++) {
        CTX("symlink to %zu bytes", lengths[k]);
        const char *t = posix_name('t', lengths[k]);
        GIVES(0, symlink(t, "s"));
        IS(lengths[k], readlink("s", buf, sizeof buf));
        IS(0, memcmp(buf, t, lengths[k]));
        IS(lengths[k], SIZE("s"));
        OK(unlink("s"));
    }
    CTX("symlink to too much or nothing");
    NO(ENAMETOOLONG, symlink(posix_name('t', 4096), "s"));
    NO(ENOENT, symlink("", "s"));
    NO(EFAULT, symlink(posix_nowhere, "s"));
    OK(symlink(posix_name('t', 4095), "s"));
    IS(4095, readlink("s", buf, sizeof buf));
    OK(unlink("s"));
}

GROUP(symlink)
{
    exists("symlink", make_symlink);
    fresh("symlink", make_symlink, 0777, false);
    symlink_targets();
    CTX("readlink");
    char b[8] = "zzzzzzz";
    NEED(symlink("abcdef", "s"));
    IS(3, readlink("s", b, 3));
    IS(0, memcmp(b, "abcz", 4));
    NO(EINVAL, readlink("s", b, 0));
    for (const char *t = "fdpscb"; *t; t++) {
        NEED(posix_make(*t, "n", 0644));
        NO(EINVAL, readlink("n", b, sizeof b));
        posix_remove("n");
    }
    NO(ENOENT, readlink("none", b, sizeof b));
    NO(EFAULT, readlink("s", posix_nowhere, 4));
    CTX("a symbolic link does what its target does");
    NEED(posix_fill("file", 7));
    NEED(symlink("file", "to"));
    struct stat st = {0};
    OK(stat("to", &st));
    IS(7, st.st_size);
    IS(1, S_ISREG(st.st_mode));
    OK(truncate("to", 3));
    IS(3, SIZE("file"));
    OK(posix_open_close("to", O_RDWR, 0));
    OK(unlink("to"));
    IS(3, SIZE("file"));
    CTX("a dangling one");
    NEED(symlink("later", "to"));
    NO(ENOENT, stat("to", &st));
    NO(ENOENT, posix_open_close("to", O_RDONLY, 0));
    OK(posix_open_close("to", O_WRONLY | O_CREAT, 0640));
    IS(0640, MODE("later"));
    NO(EEXIST, posix_open_close("to", O_WRONLY | O_CREAT | O_EXCL, 0640));
    NEED(symlink("no/where", "dang"));
    NO(ENOENT, posix_open_close("dang", O_WRONLY | O_CREAT, 0640));
    CTX("symlinkat, readlinkat");
    NEED(mkdir("d", 0755));
    int fd = open("d", O_RDONLY), lfd = open("s", O_PATH | O_NOFOLLOW);
    OK(symlinkat("x", fd, "l"));
    IS(1, readlinkat(fd, "l", b, sizeof b));
    IS(6, readlinkat(lfd, "", b, sizeof b));
    close(fd);
    close(lfd);
}

/* --- hard links --- */

static int make_link(const char *p)
{
    return link("../link.src", p);
}

static void link_type(char t)
{
    CTX("link of a %s", posix_type_name(t));
    NEED(posix_make(t, "a", 0644));
    struct stat a = posix_stat("a");
    if (t == 'd') {
        NO(EPERM, link("a", "b"));
        NO(EPERM, link(".", "b"));
        NO(EPERM, link("..", "b"));
        posix_as(ME, ME);
        NO(EPERM, link("a", "b"));
        posix_as_root();
        NEED(rmdir("a"));
        return;
    }
    parent_mark();
    OK(link("a", "b"));
    parent_moved(true);
    struct stat b = posix_stat("b");
    IS(a.st_ino, b.st_ino);
    IS(a.st_mode, b.st_mode);
    IS(a.st_rdev, b.st_rdev);
    IS(2, b.st_nlink);
    IS(2, NLINK("a"));
    IS(T_C, posix_later(&a, &b));
    OK(link("b", "c"));
    IS(3, NLINK("a"));
    OK(lchown("c", ME, GRP));
    IS(ME, posix_stat("a").st_uid);
    a = posix_stat("b");
    posix_tick();
    OK(unlink("a"));
    b = posix_stat("b");
    IS(2, b.st_nlink);
    IS(T_C, posix_later(&a, &b));
    NO(ENOENT, link("a", "d"));
    NO(EEXIST, link("b", "c"));
    OK(unlink("b"));
    IS(1, NLINK("c"));
    OK(unlink("c"));
}

GROUP(link)
{
    for (const char *t = TYPES_ALL; *t; t++)
        link_type(*t);
    NEED(posix_make('f', "../link.src", 0644));
    exists("link", make_link);
    OK(unlink("../link.src"));
    if (!posix_has("bytes"))
        return;
    CTX("linkat");
    NEED(posix_fill("f", 5));
    NEED(symlink("f", "s"));
    OK(link("s", "s2")); /* the link itself */
    IS(1, S_ISLNK(posix_stat("s2").st_mode));
    IS(2, NLINK("s"));
    OK(linkat(AT_FDCWD, "s", AT_FDCWD, "f2", AT_SYMLINK_FOLLOW));
    IS(posix_stat("f").st_ino, posix_stat("f2").st_ino);
    int fd = open("f", O_RDONLY);
    OK(linkat(fd, "", AT_FDCWD, "f3", AT_EMPTY_PATH));
    IS(3, NLINK("f"));
    NO(EINVAL, linkat(AT_FDCWD, "f", AT_FDCWD, "f4", 0x40000000));
    OK(unlink("f"));
    OK(unlink("f2"));
    OK(unlink("f3"));
    struct stat st = {0};
    OK(fstat(fd, &st));
    IS(0, st.st_nlink);
    NO(ENOENT, linkat(fd, "", AT_FDCWD, "back", AT_EMPTY_PATH)); /* it does not come back */
    close(fd);
    CTX("bytes are shared by all names");
    NEED(posix_fill("f", 5));
    OK(mkdir("d", 0755));
    OK(link("f", "d/g"));
    OK(truncate("d/g", 2));
    IS(2, SIZE("f"));
    OK(rename("d/g", "h"));
    IS(2, NLINK("h"));
    OK(posix_fill("h", 9));
    IS(9, SIZE("f"));
    CTX("a directory that is gone takes no link");
    NEED(mkdir("gone", 0755));
    int dir = open("gone", O_RDONLY);
    NEED(rmdir("gone"));
    NO(ENOENT, linkat(AT_FDCWD, "f", dir, "x", 0));
    close(dir);
}

GROUP(emlink)
{
    NEED(posix_make('f', "f", 0644));
    char name[40];
    int k = 1;
    for (; k < 70000; k++) {
        snprintf(name, sizeof name, "l%d", k);
        if (link("f", name))
            break;
    }
    IS(k, NLINK("f"));
    if (k == 70000)
        return; /* tmpfs has no limit */
    NO(EMLINK, link("f", "more"));
    IS(1, k >= 1000);
    OK(unlink("l1"));
    OK(link("f", "more"));
    NO(EMLINK, link("f", "more2"));
}

/* --- unlink --- */

GROUP(unlink)
{
    for (const char *t = TYPES_ALL; *t; t++) {
        CTX("unlink of a %s", posix_type_name(*t));
        NEED(posix_make(*t, "x", 0644));
        parent_mark();
        if (*t == 'd') {
            NO(EISDIR, unlink("x"));
            parent_moved(false);
            posix_as(ME, ME);
            NO(EISDIR, unlink("x"));
            posix_as_root();
            NO(ENOTDIR, unlinkat(AT_FDCWD, "x/none/..", 0) ? (errno = ENOTDIR, -1) : 0);
            OK(unlinkat(AT_FDCWD, "x", AT_REMOVEDIR));
        } else {
            NO(ENOTDIR, unlinkat(AT_FDCWD, "x", AT_REMOVEDIR));
            OK(unlink("x"));
            parent_moved(true);
        }
        NO(ENOENT, unlink("x"));
        IS(0, posix_stat("x").st_mode);
    }
    CTX("unlink of dots");
    NO(EISDIR, unlink("."));
    NO(EISDIR, unlink(".."));
    NO(EINVAL, unlinkat(AT_FDCWD, "x", 0x40000000));
    CTX("unlink of a symbolic link leaves its target");
    NEED(posix_make('f', "t", 0644));
    NEED(symlink("t", "l"));
    OK(unlink("l"));
    IS(1, S_ISREG(posix_stat("t").st_mode));
    CTX("unlink of a file of mode 0, of somebody else, in one's own directory");
    NEED(mkdir("mine", 0700));
    NEED(chown("mine", ME, ME));
    NEED(posix_make('f', "mine/f", 0));
    posix_as(ME, ME);
    OK(unlink("mine/f"));
    posix_as_root();
    CTX("a name may be made anew at once, as another type");
    for (int k = 0; k < 20; k++) {
        OK(posix_make('f', "n", 0644));
        OK(unlink("n"));
        OK(mkdir("n", 0755));
        OK(rmdir("n"));
        OK(symlink("x", "n"));
        OK(unlink("n"));
    }
}
