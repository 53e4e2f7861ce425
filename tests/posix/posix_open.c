/* tests/posix/posix_open.c - open and its flags, truncation. */
#include <sys/resource.h>
#include <signal.h>
#include "tests/posix/posix.h"

GROUP(open)
{
    static const mode_t modes[] = {0, 0200, 0400, 0644, 0755, 0777, 01644, 04755, 06777};
    static const mode_t masks[] = {0, 022, 077, 0777};
    for (size_t k = 0; k < COUNT(modes); k++)
        for (size_t m = 0; m < COUNT(masks); m++) {
            CTX("O_CREAT with mode %o and umask %o", modes[k], masks[m]);
            umask(masks[m]);
            int fd = open("x", O_CREAT | O_RDWR, modes[k]);
            umask(0);
            OK(fd);
            IS(modes[k] & ~masks[m], MODE("x"));
            IS(1, write(fd, "x", 1)); /* whatever the mode says */
            OK(close(fd));
            OK(posix_open_close("x", O_CREAT | O_RDWR, 0123)); /* no change */
            IS(modes[k] & ~masks[m], MODE("x"));
            IS(1, SIZE("x"));
            OK(unlink("x"));
        }
    CTX("O_CREAT: owner and times");
    struct stat p = posix_stat(".");
    posix_tick();
    posix_as(ME, GRP);
    OK(posix_open_close("x", O_CREAT | O_WRONLY, 0600));
    posix_as_root();
    struct stat x = posix_stat("x"), p2 = posix_stat(".");
    IS(ME, x.st_uid);
    IS(GRP, x.st_gid);
    IS(T_C | T_M, posix_later(&p, &p2) & ~T_A);
    posix_tick();
    OK(posix_open_close("x", O_CREAT | O_WRONLY, 0600));
    struct stat x2 = posix_stat("x"), p3 = posix_stat(".");
    IS(0, posix_later(&p2, &p3) & ~T_A);
    IS(0, posix_later(&x, &x2) & ~T_A);
    CTX("O_EXCL");
    for (const char *t = TYPES_ALL; *t; t++) {
        NEED(posix_make(*t, "e", 0644));
        NO(EEXIST, posix_open_close("e", O_CREAT | O_EXCL | O_RDWR, 0644));
        NEED(posix_remove("e"));
    }
    OK(posix_open_close("e", O_CREAT | O_EXCL | O_RDONLY, 0));
    NO(EEXIST, posix_open_close("e", O_CREAT | O_EXCL | O_RDONLY, 0));
    CTX("descriptors say how they were opened");
    int r = open("x", O_RDONLY), w = open("x", O_WRONLY);
    char b[4];
    NO(EBADF, write(r, "x", 1));
    NO(EBADF, read(w, b, 1));
    NO(EINVAL, ftruncate(r, 0));
    IS(O_WRONLY, fcntl(w, F_GETFL) & O_ACCMODE);
    close(r);
    close(w);
    CTX("refused");
    NO(ENOENT, posix_open_close("none", O_RDWR, 0));
    NO(ENOENT, posix_open_close("none/x", O_RDWR | O_CREAT, 0644));
    NO(EFAULT, posix_open_close(posix_nowhere, O_RDONLY, 0));
    NO(ENOENT, posix_open_close("", O_RDONLY, 0));
}

static void open_dir(void)
{
    CTX("directories");
    NEED(mkdir("d", 0755));
    NO(EISDIR, posix_open_close("d", O_WRONLY, 0));
    NO(EISDIR, posix_open_close("d", O_RDWR, 0));
    NO(EISDIR, posix_open_close("d", O_RDONLY | O_TRUNC, 0));
    NO(EISDIR, posix_open_close("d", O_RDONLY | O_CREAT, 0644));
    OK(posix_open_close("d", O_RDONLY, 0));
    OK(posix_open_close("d", O_RDONLY | O_DIRECTORY, 0));
    char b[4];
    int fd = open("d", O_RDONLY);
    NO(EISDIR, read(fd, b, 4));
    NO(EBADF, write(fd, b, 4));
    NO(EINVAL, ftruncate(fd, 0));
    OK(fsync(fd));
    close(fd);
    for (const char *t = "flpscb"; *t; t++) {
        NEED(posix_make(*t, "n", 0644));
        NO(*t == 'l' ? ENOENT : ENOTDIR,
           posix_open_close("n", O_RDONLY | O_DIRECTORY | O_NONBLOCK, 0));
        NEED(unlink("n"));
    }
}

static void open_nofollow(void)
{
    CTX("O_NOFOLLOW");
    NEED(posix_make('f', "f", 0644));
    NEED(symlink("f", "l"));
    NEED(symlink("d", "ld"));
    NO(ELOOP, posix_open_close("l", O_RDONLY | O_NOFOLLOW, 0));
    NO(ELOOP, posix_open_close("l", O_RDWR | O_CREAT | O_NOFOLLOW, 0644));
    NO(ENOTDIR, posix_open_close("ld", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0));
    OK(posix_open_close("ld/.", O_RDONLY | O_NOFOLLOW, 0)); /* only the last one */
    OK(posix_open_close("f", O_RDONLY | O_NOFOLLOW, 0));
    NO(EEXIST, posix_open_close("l", O_CREAT | O_EXCL | O_RDONLY | O_NOFOLLOW, 0));
    NO(ENOENT, posix_open_close("g", O_RDONLY | O_NOFOLLOW, 0));
}

static void open_trunc(void)
{
    CTX("O_TRUNC");
    NEED(posix_fill("t", 10));
    struct stat a = posix_stat("t");
    posix_tick();
    OK(posix_open_close("t", O_WRONLY | O_TRUNC, 0));
    struct stat b = posix_stat("t");
    IS(0, b.st_size);
    IS(T_C | T_M, posix_later(&a, &b) & ~T_A);
    posix_tick();
    OK(posix_open_close("t", O_WRONLY | O_TRUNC, 0)); /* an empty one too */
    a = posix_stat("t");
    IS(T_C | T_M, posix_later(&b, &a) & ~T_A);
    NEED(posix_fill("t", 10));
    OK(posix_open_close("t", O_RDWR | O_CREAT | O_TRUNC, 0777));
    IS(0, SIZE("t"));
    NEED(posix_fill("t", 10));
    NO(EEXIST, posix_open_close("t", O_WRONLY | O_CREAT | O_EXCL | O_TRUNC, 0644));
    IS(10, SIZE("t"));
    NEED(chmod("t", 0444));
    posix_as(ME, ME);
    NO(EACCES, posix_open_close("t", O_WRONLY | O_TRUNC, 0));
    NO(EACCES, posix_open_close("t", O_RDONLY | O_TRUNC, 0));
    posix_as_root();
    IS(10, SIZE("t"));
    int fd = open("t", O_RDWR), fd2 = open("t", O_WRONLY | O_TRUNC);
    char c;
    IS(0, read(fd, &c, 1)); /* others see it too */
    close(fd);
    close(fd2);
}

GROUP(open_flags)
{
    open_dir();
    open_nofollow();
    open_trunc();
    CTX("O_APPEND");
    NEED(posix_fill("a", 4));
    int fd = open("a", O_WRONLY | O_APPEND);
    IS(0, lseek(fd, 0, SEEK_SET));
    IS(2, write(fd, "zz", 2));
    IS(6, lseek(fd, 0, SEEK_CUR));
    IS(6, SIZE("a"));
    close(fd);
    CTX("other flags");
    OK(posix_open_close("a", O_RDWR | O_SYNC, 0));
    OK(posix_open_close("a", O_RDWR | O_DSYNC, 0));
    OK(posix_open_close("a", O_RDONLY | O_NONBLOCK, 0));
    OK(posix_open_close("a", O_RDONLY | O_NOATIME, 0));
    OK(posix_open_close("a", O_RDONLY | O_NOCTTY | O_CLOEXEC | O_LARGEFILE, 0));
    NEED(chown("a", YOU, YOU));
    NEED(chmod("a", 0666));
    posix_as(ME, ME);
    NO(EPERM, posix_open_close("a", O_RDONLY | O_NOATIME, 0));
    posix_as_root();
    CTX("openat");
    int dir = open("d", O_RDONLY);
    fd = openat(dir, "in", O_CREAT | O_RDWR, 0600);
    OK(fd);
    IS(0600, MODE("d/in"));
    close(fd);
    NO(ENOTDIR, openat(fd = open("a", O_RDONLY), "x", O_RDONLY));
    close(fd);
    NO(EBADF, openat(-7, "x", O_RDONLY));
    OK(unlink("d/in"));
    OK(rmdir("d"));
    NO(ENOENT, openat(dir, "new", O_CREAT | O_RDWR, 0600));
    close(dir);
}

GROUP(open_perm)
{
    static const int flags[] = {O_RDONLY, O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC, O_RDONLY | O_TRUNC};
    static const int needs[] = {4, 2, 6, 2, 6};
    for (int cls = 0; cls < 4; cls++)
        for (mode_t bits = 0; bits < 8; bits++) {
            mode_t other = 7 & ~bits;
            mode_t m = cls == 0   ? bits << 6 | other << 3 | other
                       : cls == 3 ? other << 6 | other << 3 | bits
                                  : other << 6 | bits << 3 | other;
            CTX("mode %03o, class %d", m, cls);
            NEED(posix_make('f', "x", m));
            NEED(chown("x", ME, GRP));
            cls == 0   ? posix_as_group(ME, ME, GRP)
            : cls == 1 ? posix_as(YOU, GRP)
            : cls == 2 ? posix_as_group(YOU, YOU, GRP)
                       : posix_as(YOU, YOU);
            for (size_t k = 0; k < COUNT(flags); k++) {
                int need = needs[k];
                /* O_RDONLY | O_TRUNC wants both on Linux */
                GIVES((need & (int)bits) == need ? 0 : EACCES, posix_open_close("x", flags[k], 0));
            }
            GIVES(bits & 2 ? 0 : EACCES, truncate("x", 0));
            posix_as_root();
            OK(posix_open_close("x", O_RDWR, 0));
            NEED(unlink("x"));
        }
    CTX("creation needs w and x on the directory");
    for (mode_t bits = 0; bits < 8; bits++) {
        NEED(mkdir("d", 0777));
        NEED(posix_make('f', "d/old", 0666));
        NEED(chmod("d", 0770 | bits));
        posix_as(ME, ME);
        GIVES((bits & 3) == 3 ? 0 : EACCES, posix_open_close("d/new", O_CREAT | O_RDWR, 0644));
        GIVES(bits & 1 ? 0 : EACCES, posix_open_close("d/old", O_CREAT | O_RDWR, 0644));
        GIVES(bits & 4 ? 0 : EACCES, posix_open_close("d", O_RDONLY, 0));
        posix_as_root();
        NEED(posix_remove("d"));
    }
    CTX("a file created without permissions for its maker can be written by it, once");
    NEED(mkdir("free", 0777));
    posix_as(ME, ME);
    int fd = open("free/f", O_CREAT | O_EXCL | O_RDWR, 0);
    OK(fd);
    IS(3, write(fd, "abc", 3));
    char b[4];
    IS(3, pread(fd, b, 4, 0));
    OK(ftruncate(fd, 1));
    NO(EACCES, posix_open_close("free/f", O_RDONLY, 0));
    OK(close(fd));
    posix_as_root();
    IS(1, SIZE("free/f"));
    CTX("a right once given stays with the descriptor");
    NEED(posix_fill("keep", 5));
    NEED(chmod("keep", 0666));
    posix_as(ME, ME);
    fd = open("keep", O_RDWR);
    posix_as_root();
    NEED(chmod("keep", 0));
    posix_as(ME, ME);
    IS(2, pwrite(fd, "yy", 2, 0));
    IS(4, pread(fd, b, 4, 0));
    OK(ftruncate(fd, 2));
    OK(close(fd));
    posix_as_root();
}

/* --- truncate --- */

static void truncate_zeroes(const char *p, long from, long to)
{
    static char b[70000];
    int fd = open(p, O_RDONLY);
    long n = pread(fd, b, (size_t)(to - from), from), bad = 0;
    IS(to - from, n);
    for (long k = 0; k < n; k++)
        bad += b[k] != 0;
    IS(0, bad);
    close(fd);
}

GROUP(truncate)
{
    static const long long sizes[] = {0, 1, 511, 4096, 4097, 65536, 3, 1048577, 2, 1LL << 32, 0};
    NEED(posix_fill("t", 1000));
    int fd = open("t", O_RDWR);
    for (size_t k = 0; k < COUNT(sizes); k++) {
        CTX("to %lld bytes", sizes[k]);
        OK(truncate("t", sizes[k]));
        IS(sizes[k], SIZE("t"));
        OK(ftruncate(fd, sizes[k] / 2));
        IS(sizes[k] / 2, SIZE("t"));
    }
    CTX("what grows is zero, what was cut does not come back");
    NEED(posix_fill("t", 60000));
    OK(truncate("t", 100));
    OK(truncate("t", 60000));
    truncate_zeroes("t", 100, 60000);
    OK(ftruncate(fd, 50));
    OK(ftruncate(fd, 5000));
    truncate_zeroes("t", 50, 5000);
    CTX("times");
    struct stat a = posix_stat("t");
    posix_tick();
    OK(truncate("t", 123));
    struct stat b = posix_stat("t");
    IS(T_C | T_M, posix_later(&a, &b) & ~T_A);
    posix_tick();
    OK(ftruncate(fd, 456));
    a = posix_stat("t");
    IS(T_C | T_M, posix_later(&b, &a) & ~T_A);
    CTX("ftruncate to the same size keeps the bytes");
    OK(ftruncate(fd, 456));
    IS(456, SIZE("t"));
    NO(EINVAL, ftruncate(fd, -1));
    NO(EINVAL, truncate("t", -1));
    close(fd);
    NO(EBADF, ftruncate(fd, 1));
    CTX("not of what is no file");
    NEED(mkdir("d", 0755));
    NO(EISDIR, truncate("d", 0));
    NEED(mkfifo("p", 0644));
    NO(EINVAL, truncate("p", 0));
    NO(ENOENT, truncate("none", 0));
    CTX("the offset stays");
    fd = open("t", O_RDWR | O_TRUNC);
    IS(5, write(fd, "hello", 5));
    OK(ftruncate(fd, 0));
    IS(5, write(fd, "world", 5));
    IS(10, SIZE("t"));
    truncate_zeroes("t", 0, 5);
    close(fd);
    CTX("RLIMIT_FSIZE");
    struct rlimit old, lim = {1000, RLIM_INFINITY};
    getrlimit(RLIMIT_FSIZE, &old);
    fd = open("t", O_RDWR | O_TRUNC);
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &lim);
    static char buf[2000];
    NO(EFBIG, ftruncate(fd, 2000));
    IS(1000, write(fd, buf, 2000));
    NO(EFBIG, write(fd, buf, 1));
    setrlimit(RLIMIT_FSIZE, &old);
    IS(1000, SIZE("t"));
    close(fd);
}

/* --- O_PATH, O_TMPFILE --- */

GROUP(opath)
{
    for (const char *t = TYPES_ALL; *t; t++) {
        CTX("O_PATH of a %s", posix_type_name(*t));
        NEED(posix_make(*t, "x", *t == 'd' ? 0755 : 0));
        int fd = open("x", O_PATH | O_NOFOLLOW);
        OK(fd);
        struct stat st = {0};
        OK(fstat(fd, &st));
        IS(posix_stat("x").st_ino, st.st_ino);
        char b[4];
        NO(EBADF, read(fd, b, 1));
        NO(EBADF, write(fd, b, 1));
        NO(EBADF, fchmod(fd, 0644));
        NO(EBADF, fchown(fd, 1, 1));
        NO(EBADF, ftruncate(fd, 0));
        NO(EBADF, lseek(fd, 0, SEEK_SET));
        OK(fchownat(fd, "", 1, 1, AT_EMPTY_PATH));
        IS(1, posix_stat("x").st_uid);
        if (*t == 'd') {
            OK(mkdirat(fd, "in", 0755));
            OK(unlinkat(fd, "in", AT_REMOVEDIR));
        }
        posix_remove("x");
        OK(fstat(fd, &st));
        IS(0, st.st_nlink);
        close(fd);
    }
    CTX("O_PATH needs no permission on the file, only the way to it");
    NEED(posix_make('f', "f", 0));
    NEED(mkdir("d", 0700));
    NEED(posix_make('f', "d/f", 0777));
    posix_as(ME, ME);
    OK(posix_open_close("f", O_PATH, 0));
    NO(EACCES, posix_open_close("d/f", O_PATH, 0));
    posix_as_root();
}

GROUP(tmpfile)
{
    CTX("O_TMPFILE");
    if (!posix_has("tmpfile")) {
        NO(EOPNOTSUPP, open(".", O_TMPFILE | O_RDWR, 0640));
        return;
    }
    int fd = open(".", O_TMPFILE | O_RDWR, 0640);
    OK(fd);
    struct stat st = {0};
    OK(fstat(fd, &st));
    IS(0, st.st_nlink);
    IS(0640, st.st_mode & 07777);
    IS(3, write(fd, "abc", 3));
    OK(linkat(fd, "", AT_FDCWD, "named", AT_EMPTY_PATH));
    IS(3, SIZE("named"));
    IS(1, NLINK("named"));
    close(fd);
    NO(EINVAL, open(".", O_TMPFILE | O_RDONLY, 0640));
}
