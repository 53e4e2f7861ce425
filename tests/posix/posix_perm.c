/* tests/posix/posix_perm.c - permissions of directories and programs; which times move; link
 * counts. */
#include <dirent.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include "tests/posix/posix.h"

/* acts as class cls (owner, group, supplementary group, others) of what ME:GRP owns */
static void perm_as(int cls)
{
    cls == 0   ? posix_as_group(ME, ME, GRP)
    : cls == 1 ? posix_as(YOU, GRP)
    : cls == 2 ? posix_as_group(YOU, YOU, GRP)
               : posix_as(YOU, YOU);
}

/* a mode where cls has bits and everybody else the opposite */
static mode_t perm_mode(int cls, mode_t bits)
{
    mode_t other = 7 & ~bits;
    return cls == 0   ? bits << 6 | other << 3 | other
           : cls == 3 ? other << 6 | other << 3 | bits
                      : other << 6 | bits << 3 | other;
}

static int perm_list(const char *p)
{
    DIR *d = opendir(p);
    if (!d)
        return -1;
    int n = 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static int perm_run(const char *p)
{
    pid_t pid = fork();
    int status;
    if (pid == 0) {
        close(STDERR_FILENO); /* the shell's complaint */
        execl(p, p, (char *)NULL);
        _exit(errno == EACCES ? 100 : 101);
    }
    if (waitpid(pid, &status, 0) != pid)
        return -1;
    errno = EACCES;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int perm_getxattr(const char *p)
{
    char b[4];
    return getxattr(p, "user.k", b, sizeof b) < 0 && errno != ENODATA ? -1 : 0;
}

GROUP(perm_file)
{
    int fd = open("prog", O_CREAT | O_WRONLY, 0644);
    NEED(fd);
    NEED(write(fd, "#!/bin/sh\nexit 0\n", 17));
    NEED(close(fd));
    NEED(chown("prog", ME, GRP));
    for (int cls = 0; cls < 4; cls++)
        for (mode_t bits = 0; bits < 8; bits++) {
            CTX("a program of mode %03o, class %d", perm_mode(cls, bits), cls);
            NEED(chmod("prog", perm_mode(cls, bits)));
            perm_as(cls);
            /* the interpreter has to read it */
            GIVES((bits & 5) == 5 ? 0 : EACCES, perm_run("./prog"));
            GIVES(bits & 2 ? 0 : EACCES, setxattr("prog", "user.k", "v", 1, 0));
            GIVES(bits & 4 ? 0 : EACCES, perm_getxattr("prog"));
            posix_as_root();
        }
    CTX("root needs one x");
    NEED(chmod("prog", 0644));
    NO(EACCES, perm_run("./prog"));
    NEED(chmod("prog", 0645));
    OK(perm_run("./prog"));
    CTX("the way to a file: each directory needs x");
    NEED(mkdir("a", 0755));
    NEED(mkdir("a/b", 0755));
    NEED(mkdir("a/b/c", 0755));
    NEED(posix_fill("a/b/c/f", 1));
    static const char *const dirs[] = {"a", "a/b", "a/b/c"};
    for (size_t k = 0; k < COUNT(dirs); k++)
        for (mode_t bits = 0; bits < 8; bits++) {
            NEED(chmod(dirs[k], 0770 | bits));
            posix_as(ME, ME);
            struct stat st;
            GIVES(bits & 1 ? 0 : EACCES, stat("a/b/c/f", &st));
            GIVES(bits & 1 ? 0 : EACCES, posix_open_close("a/b/c/f", O_RDONLY, 0));
            posix_as_root();
            NEED(chmod(dirs[k], 0755));
        }
}

static void perm_dir_one(int cls, mode_t bits)
{
    struct stat st;
    bool r = bits & 4, x = bits & 1, wx = (bits & 3) == 3;
    CTX("a directory of mode %03o, class %d", perm_mode(cls, bits), cls);
    NEED(mkdir("d", 0777));
    NEED(posix_make('f', "d/f", 0666));
    NEED(mkdir("d/sub", 0777));
    NEED(symlink("f", "d/l"));
    NEED(chown("d", ME, GRP));
    NEED(chmod("d", perm_mode(cls, bits)));
    perm_as(cls);
    GIVES(r ? 0 : EACCES, perm_list("d"));
    GIVES(x ? 0 : EACCES, stat("d/f", &st));
    GIVES(x ? 0 : EACCES, readlink("d/l", (char *)&st, 8));
    GIVES(x ? ENOENT : EACCES, stat("d/none", &st));
    GIVES(x ? 0 : EACCES, stat("d/..", &st));
    OK(stat("d", &st));
    GIVES(x ? 0 : EACCES, access("d/f", R_OK | W_OK));
    GIVES(wx ? 0 : EACCES, posix_open_close("d/new", O_CREAT | O_WRONLY, 0644));
    GIVES(wx ? 0 : EACCES, mkdir("d/newdir", 0755));
    GIVES(wx ? 0 : EACCES, symlink("x", "d/newlink"));
    GIVES(wx ? 0 : EACCES, mkfifo("d/newfifo", 0644));
    GIVES(wx ? 0 : EACCES, link("d/f", "d/newname"));
    GIVES(wx ? 0 : EACCES, rename("d/f", "d/g"));
    GIVES(wx ? 0 : EACCES, unlink(wx ? "d/g" : "d/f"));
    GIVES(wx ? 0 : EACCES, rmdir("d/sub"));
    GIVES(x ? 0 : EACCES, chdir("d"));
    posix_as_root();
    if (x)
        NEED(chdir(".."));
    NEED(posix_remove("d"));
}

GROUP(perm_dir)
{
    NEED(chmod(".", 0777));
    for (int cls = 0; cls < 4; cls++)
        for (mode_t bits = 0; bits < 8; bits++)
            perm_dir_one(cls, bits);
    CTX("root is not asked");
    NEED(mkdir("z", 0));
    OK(posix_make('f', "z/f", 0));
    OK(posix_open_close("z/f", O_RDWR, 0));
    OK(perm_list("z"));
    OK(unlink("z/f"));
}

/* --- which times move --- */

static int times_nothing(void)
{
    return 0;
}

static int times_write(void)
{
    int fd = open("d/f", O_WRONLY), r = (int)write(fd, "abc", 3);
    close(fd);
    return r;
}

static int times_write0(void)
{
    int fd = open("d/f", O_WRONLY), r = (int)write(fd, "abc", 0);
    close(fd);
    return r;
}

static int times_open(void)
{
    return posix_open_close("d/f", O_RDWR, 0);
}

static int times_fsync(void)
{
    int fd = open("d/f", O_WRONLY), r = fsync(fd);
    close(fd);
    return r;
}

static int times_chmod(void)
{
    return chmod("d/f", 0640);
}

static int times_chmod_same(void)
{
    return chmod("d/f", MODE("d/f"));
}

static int times_chown(void)
{
    return chown("d/f", ME, ME);
}

static int times_truncate(void)
{
    return truncate("d/f", 100);
}

static int times_shrink(void)
{
    return truncate("d/f", 1);
}

static int times_link(void)
{
    return link("d/f", "d/g");
}

static int times_unlink_other(void)
{
    return unlink("d/g");
}

static int times_rename(void)
{
    return rename("d/f", "d/h") || rename("d/h", "d/f");
}

static int times_setxattr(void)
{
    return setxattr("d/f", "user.k", "v", 1, 0);
}

static int times_removexattr(void)
{
    return removexattr("d/f", "user.k");
}

static int times_mkdir(void)
{
    return mkdir("d/sub", 0755);
}

static int times_deep(void)
{
    return mkdir("d/sub/deep", 0755);
}

static int times_symlink(void)
{
    return symlink("f", "d/l");
}

static int times_readlink(void)
{
    char b[8];
    return (int)readlink("d/l", b, 8);
}

static int times_rmdir(void)
{
    return rmdir("d/sub/deep") || rmdir("d/sub");
}

static int times_refused(void)
{
    bool bad = !mkdir("d/f", 0755) || !rmdir("d/f") || !link("d/f", "d/l") || !rmdir("d");
    return bad ? -1 : 0;
}

static int times_stat(void)
{
    struct stat st;
    return stat("d/f", &st) || access("d/f", R_OK) || perm_list("d") < 0;
}

GROUP(times)
{
    static const struct {
        const char *name;
        int (*run)(void);
        int file, dir; /* what moves, of c and m */
    } rows[] = {
        {"nothing", times_nothing, 0, 0},
        {"write", times_write, T_C | T_M, 0},
        {"write of 0 bytes", times_write0, 0, 0},
        {"open, close", times_open, 0, 0},
        {"fsync", times_fsync, 0, 0},
        {"chmod", times_chmod, T_C, 0},
        {"chmod to the same", times_chmod_same, T_C, 0},
        {"chown", times_chown, T_C, 0},
        {"truncate up", times_truncate, T_C | T_M, 0},
        {"truncate down", times_shrink, T_C | T_M, 0},
        {"link", times_link, T_C, T_C | T_M},
        {"unlink of another name", times_unlink_other, T_C, T_C | T_M},
        {"rename", times_rename, T_C, T_C | T_M},
        {"setxattr", times_setxattr, T_C, 0},
        {"removexattr", times_removexattr, T_C, 0},
        {"mkdir beside", times_mkdir, 0, T_C | T_M},
        {"mkdir deeper", times_deep, 0, 0},
        {"symlink beside", times_symlink, 0, T_C | T_M},
        {"readlink", times_readlink, 0, 0},
        {"rmdir", times_rmdir, 0, T_C | T_M},
        {"refused calls", times_refused, 0, 0},
        {"stat, access, readdir", times_stat, 0, 0},
    };
    NEED(mkdir("d", 0755));
    NEED(posix_fill("d/f", 10));
    struct stat top = posix_stat(".");
    for (size_t k = 0; k < COUNT(rows); k++) {
        CTX("%s", rows[k].name);
        struct stat f = posix_stat("d/f"), d = posix_stat("d");
        posix_tick();
        OK(rows[k].run());
        struct stat f2 = posix_stat("d/f"), d2 = posix_stat("d");
        IS(rows[k].file, posix_later(&f, &f2) & ~T_A);
        IS(rows[k].dir, posix_later(&d, &d2) & ~T_A);
    }
    struct stat top2 = posix_stat(".");
    IS(0, posix_later(&top, &top2) & ~T_A);
    CTX("times are the same on every name, and as fstat says");
    NEED(link("d/f", "other"));
    struct stat a = posix_stat("d/f"), b = posix_stat("other"), c;
    int fd = open("other", O_RDONLY);
    OK(fstat(fd, &c));
    IS(0, posix_later(&a, &b) | posix_later(&b, &c) | posix_later(&c, &a));
    close(fd);
}

/* --- link counts --- */

GROUP(nlink)
{
    CTX("directories");
    NEED(mkdir("d", 0755));
    char name[40];
    for (int k = 0; k < 20; k++) {
        snprintf(name, sizeof name, "d/s%d", k);
        OK(mkdir(name, 0755));
        IS(3 + k, NLINK("d"));
        snprintf(name, sizeof name, "d/f%d", k);
        OK(posix_make('f', name, 0644)); /* files do not count */
        IS(3 + k, NLINK("d"));
    }
    NEED(mkdir("e", 0755));
    for (int k = 0; k < 20; k++) {
        char to[40];
        snprintf(name, sizeof name, "d/s%d", k);
        snprintf(to, sizeof to, "e/s%d", k);
        OK(rename(name, to));
        IS(21 - k, NLINK("d"));
        IS(3 + k, NLINK("e"));
    }
    OK(rename("e/s1", "e/s0")); /* over an empty one */
    IS(21, NLINK("e"));
    OK(rmdir("e/s0"));
    IS(20, NLINK("e"));
    CTX("a replaced directory that is open");
    NEED(mkdir("x", 0755));
    NEED(mkdir("y", 0755));
    int fd = open("y", O_RDONLY);
    struct stat st = {0};
    OK(rename("x", "y"));
    OK(fstat(fd, &st));
    IS(0, st.st_nlink);
    IS(2, NLINK("y"));
    close(fd);
    CTX("files");
    NEED(posix_make('f', "f", 0644));
    for (int k = 0; k < 50; k++) {
        snprintf(name, sizeof name, "d/l%d", k);
        OK(link("f", name));
        IS(2 + k, NLINK("f"));
    }
    for (int k = 0; k < 50; k += 2) {
        snprintf(name, sizeof name, "d/l%d", k);
        OK(unlink(name));
    }
    IS(26, NLINK("f"));
    for (int k = 1; k < 50; k += 2) {
        char to[40];
        snprintf(name, sizeof name, "d/l%d", k);
        snprintf(to, sizeof to, "d/f%d", k % 20);
        OK(rename(name, to));
    }
    /* renames between two names of one file do nothing: 10 names replaced, 15 kept both */
    IS(26, NLINK("f"));
}
