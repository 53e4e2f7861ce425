/* tests/posix/posix_io.c - bytes: append, holes, allocation, mappings, copies, open files without
 * names, locks, descriptors. */
#include <signal.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include "tests/posix/posix.h"

/* waits for n children; how many of them did not end with status 0 */
static int io_children(int n)
{
    int bad = 0, status;
    while (n--)
        bad += wait(&status) < 0 || status != 0;
    return bad;
}

GROUP(append)
{
    enum { WRITERS = 4, EACH = 60, LINE = 37 };
    CTX("several processes append whole lines");
    NEED(posix_fill("log", 0));
    for (int w = 0; w < WRITERS; w++)
        if (fork() == 0) {
            int fd = open("log", O_WRONLY | O_APPEND);
            char line[LINE];
            memset(line, 'a' + w, LINE);
            line[LINE - 1] = '\n';
            for (int k = 0; k < EACH; k++)
                if (write(fd, line, LINE) != LINE)
                    _exit(1);
            _exit(close(fd) != 0);
        }
    IS(0, io_children(WRITERS));
    IS(WRITERS * EACH * LINE, SIZE("log"));
    static char all[WRITERS * EACH * LINE];
    int fd = open("log", O_RDONLY), torn = 0, per[WRITERS] = {0};
    IS(sizeof all, read(fd, all, sizeof all));
    for (int k = 0; k < WRITERS * EACH; k++) {
        const char *l = all + (size_t)k * LINE;
        for (int j = 1; j < LINE - 1; j++)
            torn += l[j] != l[0];
        if (l[0] >= 'a' && l[0] < 'a' + WRITERS)
            per[l[0] - 'a']++;
    }
    IS(0, torn);
    for (int w = 0; w < WRITERS; w++)
        IS(EACH, per[w]);
    close(fd);
    CTX("O_APPEND looks at the end of every write");
    int a = open("x", O_CREAT | O_WRONLY | O_APPEND, 0644), b = open("x", O_WRONLY);
    IS(3, write(a, "abc", 3));
    IS(5, pwrite(b, "12345", 5, 10));
    IS(3, write(a, "def", 3));
    IS(18, SIZE("x"));
    OK(ftruncate(b, 2));
    IS(1, write(a, "z", 1));
    IS(3, SIZE("x"));
    IS(2, pwrite(a, "yy", 2, 0)); /* Linux appends here too */
    IS(5, SIZE("x"));
    OK(fcntl(a, F_SETFL, 0));
    IS(1, pwrite(a, "q", 1, 0));
    IS(5, SIZE("x"));
    close(a);
    close(b);
}

GROUP(read_write)
{
    char b[64];
    volatile int minus = -1;
    CTX("small reads and writes");
    int fd = open("f", O_CREAT | O_RDWR, 0644);
    IS(10, write(fd, "0123456789", 10));
    IS(10, lseek(fd, 0, SEEK_CUR));
    IS(0, read(fd, b, 10));
    IS(4, pread(fd, b, 64, 6));
    IS(0, pread(fd, b, 64, 10));
    IS(0, pread(fd, b, 64, 1000000));
    IS(0, read(fd, b, 0));
    IS(0, write(fd, b, 0));
    NO(EINVAL, pread(fd, b, 1, -1));
    NO(EINVAL, pwrite(fd, b, 1, -1));
    NO(EFAULT, pread(fd, posix_nowhere, 4, 0));
    NO(EFAULT, pwrite(fd, posix_nowhere, 4, 0));
    IS(10, SIZE("f"));
    CTX("lseek");
    IS(13, lseek(fd, 3, SEEK_END));
    IS(10, lseek(fd, -3, SEEK_CUR));
    NO(EINVAL, lseek(fd, -1, SEEK_SET));
    NO(EINVAL, lseek(fd, -100, SEEK_END));
    NO(EINVAL, lseek(fd, 0, 99));
    IS(10, lseek(fd, 0, SEEK_CUR));
    CTX("beyond the end");
    IS(1, pwrite(fd, "x", 1, 5000));
    IS(5001, SIZE("f"));
    IS(64, pread(fd, b, 64, 2000));
    int bad = 0;
    for (int k = 0; k < 64; k++)
        bad += b[k] != 0;
    IS(0, bad);
    IS(1, pwrite(fd, "y", 1, 1LL << 33));
    IS((1LL << 33) + 1, SIZE("f"));
    IS(1, pread(fd, b, 4, 1LL << 33));
    IS('y', b[0]);
    OK(ftruncate(fd, 100));
    if (posix_has("file_limit"))
        NO(EFBIG, pwrite(fd, "x", 1, INT64_MAX - 1));
    CTX("vectors");
    struct iovec v[3] = {{"abc", 3}, {"", 0}, {"defgh", 5}};
    IS(8, pwritev(fd, v, 3, 0));
    struct iovec r[2] = {{b, 2}, {b + 10, 6}};
    IS(8, preadv(fd, r, 2, 0));
    IS(0, memcmp(b, "ab", 2) | memcmp(b + 10, "cdefgh", 6));
    IS(0, lseek(fd, 0, SEEK_SET));
    IS(8, writev(fd, v, 3));
    NO(EINVAL, pwritev(fd, v, minus, 0));
    CTX("two descriptors see the same bytes at once");
    int other = open("f", O_RDWR);
    for (int k = 0; k < 50; k++) {
        char c = (char)k, got = 0;
        IS(1, pwrite(k % 2 ? fd : other, &c, 1, k * 3));
        IS(1, pread(k % 2 ? other : fd, &got, 1, k * 3));
        IS(c, got);
    }
    close(other);
    CTX("large ones");
    enum { BIG = 3 * 1024 * 1024 + 777 };
    unsigned char *p = malloc(BIG), *q = malloc(BIG);
    for (unsigned k = 0; k < BIG; k++)
        p[k] = (unsigned char)(k * 2654435761u >> 13);
    OK(ftruncate(fd, 0));
    IS(BIG, pwrite(fd, p, BIG, 0));
    IS(BIG, pread(fd, q, BIG, 0));
    IS(0, memcmp(p, q, BIG));
    IS(BIG - 4097, pread(fd, q, BIG, 4097));
    IS(0, memcmp(p + 4097, q, BIG - 4097));
    IS(100000, pwrite(fd, q, 100000, 999999));
    memcpy(p + 999999, q, 100000);
    OK(fsync(fd));
    close(fd);
    fd = open("f", O_RDONLY);
    IS(BIG, pread(fd, q, BIG, 0));
    IS(0, memcmp(p, q, BIG));
    free(p);
    free(q);
    close(fd);
}

GROUP(holes)
{
    CTX("SEEK_DATA, SEEK_HOLE");
    int fd = open("h", O_CREAT | O_RDWR, 0644);
    NO(ENXIO, lseek(fd, 0, SEEK_DATA));
    NO(ENXIO, lseek(fd, 0, SEEK_HOLE));
    IS(5, pwrite(fd, "hello", 5, 0));
    IS(0, lseek(fd, 0, SEEK_DATA));
    IS(3, lseek(fd, 3, SEEK_DATA));
    IS(5, lseek(fd, 0, SEEK_HOLE));
    NO(ENXIO, lseek(fd, 5, SEEK_DATA));
    NO(ENXIO, lseek(fd, 5, SEEK_HOLE));
    NO(ENXIO, lseek(fd, 6, SEEK_HOLE));
    NO(ENXIO, lseek(fd, -1, SEEK_DATA));
    IS(5, pwrite(fd, "world", 5, 1 << 20));
    off_t hole = lseek(fd, 0, SEEK_HOLE), data = lseek(fd, 512 * 1024, SEEK_DATA);
    if (posix_has("holes")) {
        IS(1, hole >= 5 && hole <= 65536);
        IS(1, data > 512 * 1024 && data <= 1 << 20);
        IS(1, posix_stat("h").st_blocks < 1024);
    } else {
        IS((1 << 20) + 5, hole); /* all is data */
        IS(512 * 1024, data);
    }
    close(fd);
}

GROUP(fallocate)
{
    int fd = open("f", O_CREAT | O_RDWR, 0644);
    char b[16];
    IS(10, write(fd, "0123456789", 10));
    if (!posix_has("fallocate")) {
        CTX("no fallocate");
        NO(EOPNOTSUPP, fallocate(fd, 0, 0, 100));
        NO(EOPNOTSUPP, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4));
        IS(10, SIZE("f"));
    } else {
        CTX("fallocate");
        OK(fallocate(fd, 0, 0, 100));
        IS(100, SIZE("f"));
        IS(16, pread(fd, b, 16, 0));
        IS(0, memcmp(b, "0123456789\0\0\0\0\0\0", 16));
        OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 10000));
        IS(100, SIZE("f"));
        OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3));
        IS(16, pread(fd, b, 16, 0));
        IS(0, memcmp(b,
                     "01\0\0\0"
                     "56789",
                     10));
        IS(100, SIZE("f"));
        OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 90, 1000));
        IS(100, SIZE("f"));
        struct stat a = posix_stat("f");
        posix_tick();
        OK(fallocate(fd, 0, 0, 200));
        struct stat c = posix_stat("f");
        IS(T_C | T_M, posix_later(&a, &c) & ~T_A);
        if (posix_has("zero_range")) {
            OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 5, 2));
            IS(16, pread(fd, b, 16, 0));
            IS(0, memcmp(b,
                         "01\0\0\0"
                         "\0\0"
                         "789",
                         10));
        }
        CTX("fallocate through another handle, mapped");
        int other = open("f", O_RDWR);
        char *m = mmap(NULL, 4096, PROT_READ, MAP_SHARED, other, 0);
        NEED(m == MAP_FAILED ? -1 : 0);
        IS('9', m[9]);
        OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8, 2));
        IS(0, m[9]);
        IS(10, pread(other, b, 10, 0));
        IS(0, b[8]);
        OK(fallocate(other, 0, 1 << 20, 1 << 20));
        IS(2 << 20, lseek(fd, 0, SEEK_END));
        IS(1, pread(fd, b, 4, (2 << 20) - 1));
        munmap(m, 4096);
        close(other);
        OK(ftruncate(fd, 10));
        CTX("fallocate clears set-user-id");
        NEED(fchmod(fd, 06777));
        posix_as(7, 7);
        int theirs = open("f", O_RDWR);
        OK(fallocate(theirs, FALLOC_FL_KEEP_SIZE, 0, 20));
        close(theirs);
        posix_as_root();
        IS(0777, posix_stat("f").st_mode & 07777);
    }
    CTX("fallocate: refused");
    NO(EINVAL, fallocate(fd, 0, 0, 0));
    NO(EINVAL, fallocate(fd, 0, -1, 10));
    NO(EINVAL, fallocate(fd, 0, 0, -1));
    NO(EFBIG, fallocate(fd, 0, INT64_MAX, 10));
    NO(EOPNOTSUPP, fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 1)); /* without KEEP_SIZE */
    NO(EOPNOTSUPP, fallocate(fd, 0x4000, 0, 1));
    int r = open("f", O_RDONLY), d = open(".", O_RDONLY);
    NO(EBADF, fallocate(r, 0, 0, 1));
    NO(EBADF, fallocate(d, 0, 0, 1));
    close(d);
    close(r);
    CTX("posix_fallocate"); /* which the C library can do by writing */
    IS(0, posix_fallocate(fd, 0, 5000));
    IS(5000, SIZE("f"));
    IS(0, posix_fallocate(fd, 100, 10));
    IS(5000, SIZE("f"));
    IS(EINVAL, posix_fallocate(fd, 0, 0));
    close(fd);
}

GROUP(mmap)
{
    enum { LEN = 10000 };
    NEED(posix_fill("f", LEN));
    CTX("a mapping to read");
    int fd = open("f", O_RDONLY);
    char *m = mmap(NULL, LEN, PROT_READ, MAP_SHARED, fd, 0);
    OK(m == MAP_FAILED ? -1 : 0);
    IS('x', m[0]);
    IS('x', m[LEN - 1]);
    IS(0, m[LEN]); /* the rest of the page */
    OK(munmap(m, LEN));
    m = mmap(NULL, LEN, PROT_READ, MAP_PRIVATE, fd, 4096);
    OK(m == MAP_FAILED ? -1 : 0);
    IS('x', m[0]);
    OK(munmap(m, LEN));
    NO(EACCES, mmap(NULL, LEN, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
    CTX("a private one to write");
    m = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    OK(m == MAP_FAILED ? -1 : 0);
    m[5] = 'z';
    char b[8];
    IS(1, pread(fd, b, 1, 5));
    IS('x', b[0]);
    OK(munmap(m, LEN));
    CTX("a mapping outlives its descriptor and its name");
    m = mmap(NULL, LEN, PROT_READ, MAP_SHARED, fd, 0);
    OK(m == MAP_FAILED ? -1 : 0);
    close(fd);
    IS('x', m[100]);
    OK(munmap(m, LEN));
    CTX("a shared one to write");
    fd = open("f", O_RDWR);
    m = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (!posix_has("mmap_write")) {
        NO(ENODEV, m == MAP_FAILED ? -1 : 0);
    } else if (OK(m == MAP_FAILED ? -1 : 0)) {
        m[7] = 'w';
        m[LEN - 1] = 'e';
        OK(msync(m, LEN, MS_SYNC));
        IS(1, pread(fd, b, 1, 7));
        IS('w', b[0]);
        OK(munmap(m, LEN));
        OK(close(fd));
        fd = open("f", O_RDONLY);
        IS(1, pread(fd, b, 8, LEN - 1));
        IS('e', b[0]);
        IS(LEN, SIZE("f"));
    }
    close(fd);
    CTX("a program is mapped and run");
    OK(system("cp /bin/true prog && chmod 755 prog && ./prog") == 0 ? 0 : -1);
}

GROUP(copy_range)
{
    char b[32];
    NEED(posix_fill("a", 100000));
    int a = open("a", O_RDWR), d = open("b", O_CREAT | O_RDWR, 0644);
    IS(5, pwrite(a, "BEGIN", 5, 0));
    CTX("copy_file_range");
    loff_t in = 0, out = 50;
    ssize_t n = 0, done = 0;
    while (done < 100000 && (n = copy_file_range(a, &in, d, &out, (size_t)(100000 - done), 0)) > 0)
        done += n;
    IS(100000, done);
    IS(100050, SIZE("b"));
    IS(5, pread(d, b, 5, 50));
    IS(0, memcmp(b, "BEGIN", 5));
    in = 100000;
    IS(0, copy_file_range(a, &in, d, &out, 10, 0));
    NO(EINVAL, copy_file_range(a, NULL, d, NULL, 10, 1));
    in = 0, out = 3;
    NO(EINVAL, copy_file_range(a, &in, a, &out, 10, 0)); /* overlapping */
    int r = open("b", O_RDONLY), w = open("a", O_WRONLY), ap = open("b", O_WRONLY | O_APPEND);
    int dir = open(".", O_RDONLY);
    NO(EBADF, copy_file_range(a, NULL, r, NULL, 10, 0));
    NO(EBADF, copy_file_range(w, NULL, d, NULL, 10, 0));
    NO(EBADF, copy_file_range(a, NULL, ap, NULL, 10, 0));
    NO(EISDIR, copy_file_range(dir, NULL, d, NULL, 10, 0));
    close(r);
    close(w);
    close(ap);
    close(dir);
    CTX("sendfile, splice");
    off_t at = 0;
    OK(ftruncate(d, 0));
    IS(0, lseek(d, 0, SEEK_SET));
    IS(4096, sendfile(d, a, &at, 4096));
    IS(4096, SIZE("b"));
    int p[2];
    NEED(pipe(p));
    loff_t from = 0, to = 4096;
    IS(1000, splice(a, &from, p[1], NULL, 1000, 0));
    IS(1000, splice(p[0], NULL, d, &to, 1000, 0));
    IS(5096, SIZE("b"));
    IS(5, pread(d, b, 5, 4096));
    IS(0, memcmp(b, "BEGIN", 5));
    close(p[0]);
    close(p[1]);
    close(a);
    close(d);
}

GROUP(unlinked)
{
    char b[16];
    struct stat st;
    CTX("a file without a name");
    int fd = open("f", O_CREAT | O_RDWR, 0644), other = open("f", O_RDONLY);
    IS(5, write(fd, "hello", 5));
    OK(unlink("f"));
    OK(posix_fill("f", 3)); /* another one */
    IS(5, pread(fd, b, 16, 0));
    IS(5, pread(other, b, 16, 0));
    IS(6, pwrite(fd, "world!", 6, 5));
    IS(11, pread(other, b, 16, 0));
    IS(0, memcmp(b, "helloworld!", 11));
    OK(fstat(fd, &st));
    IS(0, st.st_nlink);
    IS(11, st.st_size);
    OK(ftruncate(fd, 4));
    OK(fstat(other, &st));
    IS(4, st.st_size);
    OK(fchmod(fd, 0600));
    OK(fchown(fd, ME, ME));
    OK(fsync(fd));
    OK(futimens(fd, NULL));
    IS(3, SIZE("f"));
    char again[40];
    snprintf(again, sizeof again, "/proc/self/fd/%d", fd);
    int third = open(again, O_RDWR);
    OK(third);
    IS(4, pread(third, b, 16, 0));
    close(third);
    OK(close(fd));
    IS(4, pread(other, b, 16, 0)); /* until the last one closes */
    OK(close(other));
    CTX("many at once");
    int fds[30];
    for (int k = 0; k < 30; k++) {
        fds[k] = open("n", O_CREAT | O_EXCL | O_RDWR, 0644);
        OK(fds[k]);
        OK(unlink("n"));
        IS(1, pwrite(fds[k], &(char){(char)k}, 1, 0));
    }
    for (int k = 0; k < 30; k++) {
        IS(1, pread(fds[k], b, 1, 0));
        IS(k, b[0]);
        OK(close(fds[k]));
    }
    CTX("replaced by a rename");
    NEED(posix_fill("a", 1));
    NEED(posix_fill("r", 2));
    fd = open("r", O_RDWR);
    OK(rename("a", "r"));
    IS(2, pread(fd, b, 16, 0));
    IS(1, pwrite(fd, "z", 1, 4));
    IS(1, SIZE("r"));
    close(fd);
    CTX("removed from a directory that goes too");
    NEED(mkdir("d", 0755));
    fd = open("d/f", O_CREAT | O_RDWR, 0644);
    IS(3, write(fd, "abc", 3));
    OK(unlink("d/f"));
    OK(rmdir("d"));
    IS(3, pread(fd, b, 16, 0));
    IS(1, write(fd, "d", 1));
    close(fd);
}

/* in another process: 0 if the lock is had at once, else errno */
static int lock_elsewhere(int (*take)(int fd), const char *path)
{
    pid_t pid = fork();
    int status;
    if (pid == 0) {
        int fd = open(path, O_RDWR);
        _exit(fd < 0 ? 255 : take(fd) ? errno : 0);
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int lock_flock_ex(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB);
}

static int lock_flock_sh(int fd)
{
    return flock(fd, LOCK_SH | LOCK_NB);
}

static int lock_range(int fd, int cmd, short type, off_t from, off_t n)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = from, .l_len = n};
    return fcntl(fd, cmd, &l);
}

static int lock_posix_all(int fd)
{
    return lock_range(fd, F_SETLK, F_WRLCK, 0, 0);
}

static int lock_posix_head(int fd)
{
    return lock_range(fd, F_SETLK, F_WRLCK, 0, 10);
}

static int lock_posix_tail(int fd)
{
    return lock_range(fd, F_SETLK, F_WRLCK, 10, 0);
}

static int lock_posix_read(int fd)
{
    return lock_range(fd, F_SETLK, F_RDLCK, 0, 0);
}

GROUP(locks)
{
    NEED(posix_fill("l", 100));
    int fd = open("l", O_RDWR), fd2 = open("l", O_RDWR);
    CTX("flock");
    OK(flock(fd, LOCK_EX));
    NO(EWOULDBLOCK, flock(fd2, LOCK_EX | LOCK_NB));
    NO(EWOULDBLOCK, flock(fd2, LOCK_SH | LOCK_NB));
    IS(EWOULDBLOCK, lock_elsewhere(lock_flock_ex, "l"));
    OK(flock(fd, LOCK_SH));
    OK(flock(fd2, LOCK_SH | LOCK_NB));
    IS(0, lock_elsewhere(lock_flock_sh, "l"));
    IS(EWOULDBLOCK, lock_elsewhere(lock_flock_ex, "l"));
    OK(flock(fd2, LOCK_UN));
    OK(flock(fd, LOCK_UN));
    IS(0, lock_elsewhere(lock_flock_ex, "l"));
    OK(flock(fd, LOCK_EX));
    close(fd);
    OK(flock(fd2, LOCK_EX | LOCK_NB)); /* a close unlocks */
    OK(flock(fd2, LOCK_UN));
    CTX("fcntl");
    fd = open("l", O_RDWR);
    OK(lock_posix_head(fd));
    IS(EAGAIN, lock_elsewhere(lock_posix_all, "l"));
    IS(EAGAIN, lock_elsewhere(lock_posix_head, "l"));
    IS(EAGAIN, lock_elsewhere(lock_posix_read, "l"));
    IS(0, lock_elsewhere(lock_posix_tail, "l"));
    OK(lock_posix_read(fd)); /* its own locks do not hinder */
    IS(0, lock_elsewhere(lock_posix_read, "l"));
    IS(EAGAIN, lock_elsewhere(lock_posix_tail, "l"));
    OK(lock_range(fd, F_SETLK, F_UNLCK, 0, 0));
    IS(0, lock_elsewhere(lock_posix_all, "l"));
    OK(lock_posix_all(fd));
    close(fd2); /* any close of the file by the process unlocks: POSIX */
    IS(0, lock_elsewhere(lock_posix_all, "l"));
    NO(EINVAL, lock_range(fd, F_SETLK, 99, 0, 1));
    int r = open("l", O_RDONLY);
    NO(EBADF, lock_range(r, F_SETLK, F_WRLCK, 0, 1));
    CTX("locks of open file descriptions");
    OK(lock_range(fd, F_OFD_SETLK, F_WRLCK, 0, 10));
    close(r); /* does not unlock them */
    r = open("l", O_RDWR);
    NO(EAGAIN, lock_range(r, F_OFD_SETLK, F_WRLCK, 5, 10));
    OK(lock_range(r, F_OFD_SETLK, F_WRLCK, 10, 10));
    IS(EAGAIN, lock_elsewhere(lock_posix_all, "l"));
    close(r);
    close(fd);
    IS(0, lock_elsewhere(lock_posix_all, "l"));
}

GROUP(statfs)
{
    struct statvfs v, w;
    NEED(posix_make('f', "f", 0644));
    int fd = open("f", O_RDONLY);
    OK(statvfs(".", &v));
    OK(fstatvfs(fd, &w));
    IS(255, v.f_namemax);
    IS(v.f_namemax, w.f_namemax);
    IS(v.f_blocks, w.f_blocks);
    IS(v.f_frsize, w.f_frsize);
    IS(1, v.f_bsize > 0 && v.f_frsize > 0);
    if (posix_has("statfs_blocks"))
        IS(1, v.f_blocks > 0);
    IS(1, v.f_bfree <= v.f_blocks && v.f_bavail <= v.f_bfree);
    IS(1, v.f_ffree <= v.f_files);
    IS(255, pathconf(".", _PC_NAME_MAX));
    IS(4096, pathconf(".", _PC_PATH_MAX));
    struct stat st = {0};
    OK(fstat(fd, &st));
    IS(1, st.st_blksize >= 512);
    IS(0, st.st_blocks);
    close(fd);
}

GROUP(fds)
{
    char b[16];
    CTX("dup and fork share an offset, open does not");
    NEED(posix_fill("f", 100));
    int fd = open("f", O_RDWR), dup_fd = dup(fd), own = open("f", O_RDONLY);
    IS(10, read(fd, b, 10));
    IS(10, lseek(dup_fd, 0, SEEK_CUR));
    IS(0, lseek(own, 0, SEEK_CUR));
    if (fork() == 0)
        _exit(read(fd, b, 5) != 5);
    IS(0, io_children(1));
    IS(15, lseek(fd, 0, SEEK_CUR));
    CTX("sync in its forms");
    OK(fsync(fd));
    OK(fdatasync(fd));
    OK(syncfs(fd));
    OK(fsync(own));
    OK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) ? -1 : 0);
    OK(posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED) ? -1 : 0);
    OK(readahead(fd, 0, 100));
    struct pollfd pf = {fd, POLLIN | POLLOUT, 0};
    IS(1, poll(&pf, 1, 0));
    IS(POLLIN | POLLOUT, pf.revents);
    close(dup_fd);
    close(own);
    close(fd);
    CTX("inotify tells of what is done here");
    NEED(mkdir("d", 0755));
    int in = inotify_init1(IN_NONBLOCK);
    OK(inotify_add_watch(in, "d", IN_ALL_EVENTS & ~(IN_OPEN | IN_ACCESS | IN_CLOSE_NOWRITE)));
    NEED(posix_fill("d/x", 3));
    NEED(chmod("d/x", 0600));
    NEED(rename("d/x", "d/y"));
    NEED(unlink("d/y"));
    NEED(rmdir("d"));
    static const unsigned want[] = {IN_CREATE,     IN_MODIFY,   IN_CLOSE_WRITE, IN_ATTRIB,
                                    IN_MOVED_FROM, IN_MOVED_TO, IN_DELETE,      IN_DELETE_SELF};
    static char ev[8192] __attribute__((aligned(8)));
    ssize_t n = read(in, ev, sizeof ev);
    unsigned seen = 0;
    for (ssize_t k = 0; k < n;) {
        const struct inotify_event *e = (void *)(ev + k);
        seen |= e->mask;
        k += (ssize_t)(sizeof *e + e->len);
    }
    for (size_t k = 0; k < COUNT(want); k++)
        IS(want[k], seen & want[k]);
    close(in);
}
