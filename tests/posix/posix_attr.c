/* tests/posix/posix_attr.c - modes, owners, times of files, and what clears set-id bits. */
#include <time.h>
#include "tests/posix/posix.h"

static bool has_x(mode_t m)
{
    return m & 0111;
}

/* --- chmod --- */

static void chmod_modes(char type)
{
    static const mode_t some[] = {0,     0111,  0222,  0444,  0640,  0700,  0755,
                                  01777, 02755, 04755, 06711, 07777, 07000, 0777};
    NEED(posix_make(type, "x", 0600));
    for (size_t k = 0; k < COUNT(some); k++) {
        OK(chmod("x", some[k]));
        IS(some[k], MODE("x"));
        struct stat st = posix_stat("x");
        IS(1, posix_is_type(type, st.st_mode));
    }
    /* through a symbolic link, which keeps its own mode */
    NEED(symlink("x", "to"));
    OK(chmod("to", 0321));
    IS(0321, MODE("x"));
    IS(0777, MODE("to"));
    OK(unlink("to"));
    /* ctime moves, mtime does not; a refused one moves nothing */
    struct stat a = posix_stat("x");
    posix_tick();
    OK(chmod("x", 0123));
    struct stat b = posix_stat("x");
    IS(T_C, posix_later(&a, &b));
    posix_tick();
    posix_as(YOU, YOU);
    NO(EPERM, chmod("x", 0111));
    posix_as_root();
    a = posix_stat("x");
    IS(0, posix_later(&b, &a));
    IS(0123, MODE("x"));
    posix_remove("x");
}

static void chmod_owner(char type)
{
    NEED(posix_make(type, "x", 0644));
    NEED(chown("x", ME, ME));
    posix_as(ME, ME);
    OK(chmod("x", 0111));
    IS(0111, MODE("x"));
    OK(chmod("x", 06777));
    IS(06777, MODE("x"));
    posix_as_root();
    NEED(chown("x", ME, YOU)); /* a group that the owner is not in: set-group-id is refused */
    posix_as(ME, ME);
    OK(chmod("x", 02755));
    IS(type == 'd' && posix_has("dir_sgid_kept") ? -1 : 0755,
       type == 'd' && posix_has("dir_sgid_kept") ? -1 : MODE("x"));
    posix_as_group(ME, ME, YOU); /* a supplementary group is as good */
    OK(chmod("x", 02755));
    IS(02755, MODE("x"));
    posix_as(YOU, YOU); /* the group alone gives no right */
    NO(EPERM, chmod("x", 0777));
    posix_as_root();
    posix_remove("x");
}

GROUP(chmod)
{
    for (const char *t = "fdpscb"; *t; t++) {
        CTX("chmod of a %s", posix_type_name(*t));
        chmod_modes(*t);
        chmod_owner(*t);
    }
    CTX("fchmod, fchmodat");
    int dir = open(".", O_RDONLY), fd = open("f", O_CREAT | O_RDWR, 0644);
    NEED(fd);
    for (mode_t m = 0; m <= 07777; m += 0111) {
        OK(fchmod(fd, m));
        struct stat st = {0};
        OK(fstat(fd, &st));
        IS(m, st.st_mode & 07777);
        OK(fchmodat(dir, "f", m ^ 0777, 0));
        IS(m ^ 0777, MODE("f"));
    }
    OK(unlink("f"));
    OK(fchmod(fd, 0600)); /* unlinked, but open */
    struct stat st = {0};
    OK(fstat(fd, &st));
    IS(0600, st.st_mode & 07777);
    IS(0, st.st_nlink);
    NO(EBADF, fchmod(-1, 0600));
    OK(close(fd));
    CTX("a sticky file of a user");
    NEED(posix_make('f', "s", 0644));
    NEED(chown("s", ME, ME));
    posix_as(ME, ME);
    OK(chmod("s", 01644));
    IS(01644, MODE("s")); /* Linux lets it stand */
    posix_as_root();
    close(dir);
}

/* --- chown --- */

static void chown_root(char type)
{
    NEED(posix_make(type, "x", 0644));
    static const struct {
        uid_t uid;
        gid_t gid;
    } to[] = {{1, 2}, {ME, GRP}, {0, 0}, {(uid_t)-2, (gid_t)-2}, {123456789, 987654321}};
    uid_t uid = 0;
    gid_t gid = 0;
    for (size_t k = 0; k < COUNT(to); k++) {
        OK(lchown("x", to[k].uid, to[k].gid));
        IS(to[k].uid, posix_stat("x").st_uid);
        IS(to[k].gid, posix_stat("x").st_gid);
        uid = to[k].uid;
        gid = to[k].gid;
    }
    OK(lchown("x", 5, (gid_t)-1));
    IS(5, posix_stat("x").st_uid);
    IS(gid, posix_stat("x").st_gid);
    OK(lchown("x", (uid_t)-1, 6));
    IS(5, posix_stat("x").st_uid);
    IS(6, posix_stat("x").st_gid);
    (void)uid;
    if (type != 'l') { /* chown follows, lchown does not */
        NEED(symlink("x", "to"));
        OK(chown("to", 7, 8));
        IS(7, posix_stat("x").st_uid);
        IS(0, posix_stat("to").st_uid);
        OK(lchown("to", 9, 10));
        IS(9, posix_stat("to").st_uid);
        IS(10, posix_stat("to").st_gid);
        IS(8, posix_stat("x").st_gid);
        OK(unlink("to"));
    }
    struct stat a = posix_stat("x");
    posix_tick();
    OK(lchown("x", 11, 12));
    struct stat b = posix_stat("x");
    IS(T_C, posix_later(&a, &b));
    posix_remove("x");
}

static void chown_user(char type)
{
    NEED(posix_make(type, "x", 0644));
    NEED(lchown("x", ME, GRP));
    posix_as_group(ME, ME, GRP2);
    OK(lchown("x", ME, GRP2)); /* the owner to a supplementary group */
    IS(GRP2, posix_stat("x").st_gid);
    OK(lchown("x", (uid_t)-1, ME)); /* and to the effective one */
    IS(ME, posix_stat("x").st_gid);
    OK(lchown("x", ME, ME));
    NO(EPERM, lchown("x", ME, GRP)); /* not to another */
    NO(EPERM, lchown("x", YOU, ME)); /* nor to another owner */
    NO(EPERM, lchown("x", 0, 0));
    NO(EPERM, lchown("x", YOU, (gid_t)-1));
    posix_as(YOU, ME);
    NO(EPERM, lchown("x", YOU, YOU));
    NO(EPERM, lchown("x", (uid_t)-1, ME));
    NO(EPERM, lchown("x", ME, ME));
    posix_as_root();
    IS(ME, posix_stat("x").st_uid);
    IS(ME, posix_stat("x").st_gid);
    posix_remove("x");
}

GROUP(chown)
{
    for (const char *t = TYPES_ALL; *t; t++) {
        CTX("chown of a %s", posix_type_name(*t));
        chown_root(*t);
        chown_user(*t);
    }
    CTX("fchown, fchownat");
    int fd = open("f", O_CREAT | O_RDWR, 0644), dir = open(".", O_RDONLY);
    NEED(fd);
    OK(fchown(fd, ME, GRP));
    IS(ME, posix_stat("f").st_uid);
    IS(GRP, posix_stat("f").st_gid);
    OK(fchownat(dir, "f", 1, 2, 0));
    IS(1, posix_stat("f").st_uid);
    NEED(symlink("f", "l"));
    OK(fchownat(dir, "l", 3, 4, AT_SYMLINK_NOFOLLOW));
    IS(3, posix_stat("l").st_uid);
    IS(1, posix_stat("f").st_uid);
    OK(fchownat(fd, "", 5, 6, AT_EMPTY_PATH));
    IS(5, posix_stat("f").st_uid);
    NO(EINVAL, fchownat(dir, "f", 1, 1, 0x40000000));
    NO(EBADF, fchown(-1, 1, 1));
    close(dir);
    close(fd);
}

/* --- set-id bits --- */

static int setid_write(void)
{
    int fd = open("x", O_WRONLY);
    int r = fd < 0 ? -1 : (int)pwrite(fd, "ab", 2, 0);
    close(fd);
    return r == 2 ? 0 : -1;
}

static int setid_truncate(void)
{
    return truncate("x", 1);
}

static int setid_ftruncate(void)
{
    int fd = open("x", O_WRONLY), r = fd < 0 ? -1 : ftruncate(fd, 0);
    close(fd);
    return r;
}

static int setid_open_trunc(void)
{
    return posix_open_close("x", O_WRONLY | O_TRUNC, 0);
}

static void setid_changes(void)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } how[] = {{"write", setid_write},
               {"truncate", setid_truncate},
               {"ftruncate", setid_ftruncate},
               {"O_TRUNC", setid_open_trunc}};
    static const mode_t modes[] = {04777, 06777, 02777, 02767, 04767, 06766, 0777};
    for (size_t k = 0; k < COUNT(how); k++)
        for (size_t m = 0; m < COUNT(modes); m++)
            for (int who = 0; who < 3; who++) {
                static const uid_t uids[] = {ROOT, ME, YOU};
                CTX("%s by uid %d of a file of mode %o", how[k].name, (int)uids[who], modes[m]);
                NEED(posix_fill("x", 3));
                NEED(chown("x", ME, ME));
                NEED(chmod("x", modes[m]));
                /* in the file's group: without it some systems also drop what is no set-id bit */
                uids[who] ? posix_as_group(uids[who], uids[who], ME) : posix_as_root();
                OK(how[k].run());
                posix_as_root();
                mode_t want = modes[m];
                if (uids[who]) {
                    want &= ~(mode_t)04000;
                    if (want & 0010)
                        want &= ~(mode_t)02000;
                }
                IS(want, MODE("x"));
                NEED(unlink("x"));
            }
}

GROUP(setid)
{
    setid_changes();
    for (const char *t = "fdps"; *t; t++)
        for (int who = 0; who < 2; who++)
            for (int g = 0; g < 2; g++) {
                mode_t m = g ? 06755 : 06745;
                CTX("chown of a %s of mode %o by %s", posix_type_name(*t), m,
                    who ? "its owner" : "root");
                NEED(posix_make(*t, "x", 0));
                NEED(chown("x", ME, ME));
                NEED(chmod("x", m));
                who ? posix_as_group(ME, ME, GRP) : posix_as_root();
                OK(chown("x", ME, who ? GRP : YOU));
                posix_as_root();
                /* a directory's bits mean something else and stay */
                IS(*t == 'd' ? m : m & ~04000u & ~(has_x(m & 010) ? 02000u : 0), MODE("x"));
                posix_remove("x");
            }
    CTX("the mode of a file with set-id bits survives a read and a close");
    NEED(posix_fill("y", 5));
    NEED(chmod("y", 06755));
    posix_as(ME, ME);
    char b[8];
    int fd = open("y", O_RDONLY);
    IS(5, read(fd, b, 8));
    OK(close(fd));
    posix_as_root();
    IS(06755, MODE("y"));
}

GROUP(setgid_dir)
{
    NEED(posix_make('d', "g", 0));
    NEED(chown("g", ROOT, GRP));
    NEED(chmod("g", 02777));
    NEED(posix_make('d', "n", 0777));
    for (const char *t = TYPES_ALL; *t; t++)
        for (int who = 0; who < 2; who++) {
            if (who && (*t == 'c' || *t == 'b'))
                continue;
            CTX("a %s made by %s", posix_type_name(*t), who ? "a user" : "root");
            who ? posix_as(ME, YOU) : posix_as_root();
            OK(posix_make(*t, "g/x", 0700));
            OK(posix_make(*t, "n/x", 0700));
            posix_as_root();
            IS(GRP, posix_stat("g/x").st_gid); /* the directory's group, */
            IS(who ? YOU : 0, posix_stat("n/x").st_gid);
            IS(who ? ME : 0, posix_stat("g/x").st_uid);
            posix_remove("g/x");
            posix_remove("n/x");
        }
    CTX("directories inherit the bit");
    OK(mkdir("g/d", 0755));
    IS(02755, MODE("g/d"));
    OK(mkdir("g/d/e", 0700));
    IS(02700, MODE("g/d/e"));
    IS(GRP, posix_stat("g/d/e").st_gid);
    posix_as(ME, ME);
    OK(mkdir("g/m", 0777));
    IS(02777, MODE("g/m"));
    CTX("a file with set-group-id in a group that its maker is not in loses it");
    OK(posix_open_close("g/sg", O_CREAT | O_WRONLY, 02775));
    IS(0775, MODE("g/sg"));
    posix_as_group(ME, ME, GRP);
    OK(posix_open_close("g/sg2", O_CREAT | O_WRONLY, 02775));
    IS(02775, MODE("g/sg2"));
    posix_as_root();
    OK(posix_open_close("g/sg3", O_CREAT | O_WRONLY, 02775));
    IS(02775, MODE("g/sg3"));
    CTX("moving in changes nothing");
    NEED(posix_make('f', "n/moved", 0644));
    OK(rename("n/moved", "g/moved"));
    IS(0, posix_stat("g/moved").st_gid);
}

/* --- times --- */

static void utimens_is(const char *path, struct timespec a, struct timespec m)
{
    struct stat st = posix_stat(path);
    IS(a.tv_sec, st.st_atim.tv_sec);
    IS(a.tv_nsec, st.st_atim.tv_nsec);
    IS(m.tv_sec, st.st_mtim.tv_sec);
    IS(m.tv_nsec, st.st_mtim.tv_nsec);
}

#define NOW          \
    {                \
        0, UTIME_NOW \
    }
#define OMIT          \
    {                 \
        0, UTIME_OMIT \
    }

static void utimens_set(char type)
{
    static const struct timespec values[][2] = {
        {{1, 1}, {2, 999999999}},
        {{1000000000, 123456789}, {1700000000, 987654321}},
        {{0, 0}, {0, 0}},
        {{-1, 5}, {-100000, 500000000}},
        {{2147483647, 1}, {4000000000, 2}},
        {{4294967296, 3}, {9000000000, 4}},
    };
    for (size_t k = 0; k < COUNT(values); k++) {
        CTX("utimensat of a %s, %ld.%09ld", posix_type_name(type), (long)values[k][0].tv_sec,
            values[k][0].tv_nsec);
        OK(utimensat(AT_FDCWD, "x", values[k], AT_SYMLINK_NOFOLLOW));
        utimens_is("x", values[k][0], values[k][1]);
    }
    if (posix_has("year_2300")) {
        OK(utimensat(AT_FDCWD, "x", (struct timespec[2]){{0, 0}, {10413792000, 7}},
                     AT_SYMLINK_NOFOLLOW));
        IS(10413792000, posix_stat("x").st_mtim.tv_sec);
    } else { /* clamped, never wrapped */
        OK(utimensat(AT_FDCWD, "x", (struct timespec[2]){{0, 0}, {10413792000, 7}},
                     AT_SYMLINK_NOFOLLOW));
        IS(9223372035, posix_stat("x").st_mtim.tv_sec);
    }
    CTX("utimensat of a %s, UTIME_OMIT and UTIME_NOW", posix_type_name(type));
    struct timespec set[2] = {{100, 1}, {200, 2}};
    OK(utimensat(AT_FDCWD, "x", set, AT_SYMLINK_NOFOLLOW));
    struct stat before = posix_stat("x");
    posix_tick();
    OK(utimensat(AT_FDCWD, "x", (struct timespec[2]){OMIT, OMIT}, AT_SYMLINK_NOFOLLOW));
    utimens_is("x", set[0], set[1]);
    OK(utimensat(AT_FDCWD, "x", (struct timespec[2]){OMIT, {300, 3}}, AT_SYMLINK_NOFOLLOW));
    utimens_is("x", set[0], (struct timespec){300, 3});
    struct stat after = posix_stat("x");
    IS(T_C | T_M, posix_later(&before, &after));
    OK(utimensat(AT_FDCWD, "x", (struct timespec[2]){{400, 4}, OMIT}, AT_SYMLINK_NOFOLLOW));
    utimens_is("x", (struct timespec){400, 4}, (struct timespec){300, 3});
    time_t now = time(NULL);
    OK(utimensat(AT_FDCWD, "x", (struct timespec[2]){NOW, OMIT}, AT_SYMLINK_NOFOLLOW));
    after = posix_stat("x");
    IS(1, after.st_atim.tv_sec >= now - 1 && after.st_atim.tv_sec <= now + 60);
    IS(300, after.st_mtim.tv_sec);
    OK(utimensat(AT_FDCWD, "x", (struct timespec[2]){OMIT, NOW}, AT_SYMLINK_NOFOLLOW));
    after = posix_stat("x");
    IS(1, after.st_mtim.tv_sec >= now - 1 && after.st_mtim.tv_sec <= now + 60);
    OK(utimensat(AT_FDCWD, "x", set, AT_SYMLINK_NOFOLLOW));
    OK(utimensat(AT_FDCWD, "x", NULL, AT_SYMLINK_NOFOLLOW));
    after = posix_stat("x");
    IS(1, after.st_mtim.tv_sec >= now - 1 && after.st_atim.tv_sec >= now - 1);
}

/* what = 0: NULL, 1: both NOW, 2: values, 3: one NOW, 4: both OMIT */
static void utimens_permissions(void)
{
    static const struct timespec ts[5][2] = {
        {{0, 0}, {0, 0}}, {NOW, NOW}, {{5, 5}, {6, 6}}, {NOW, OMIT}, {OMIT, OMIT}};
    for (int what = 0; what < 5; what++)
        for (int who = 0; who < 4; who++)
            for (mode_t mode = 0444; mode <= 0666; mode += 0222) {
                static const uid_t uids[] = {ROOT, ME, YOU, THEM};
                CTX("utimensat form %d of a file of mode %o by uid %d", what, mode, (int)uids[who]);
                NEED(posix_make('f', "p", mode));
                NEED(chown("p", ME, ME));
                uids[who] ? posix_as(uids[who], uids[who]) : posix_as_root();
                int want = 0;
                if (uids[who] && uids[who] != ME && what != 4)
                    want = what >= 2 ? EPERM : mode & 0222 ? 0 : EACCES;
                GIVES(want, utimensat(AT_FDCWD, "p", what ? ts[what] : NULL, 0));
                posix_as_root();
                NEED(unlink("p"));
            }
}

GROUP(utimens)
{
    for (const char *t = TYPES_ALL; *t; t++) {
        NEED(posix_make(*t, "x", 0644));
        utimens_set(*t);
        posix_remove("x");
    }
    utimens_permissions();
    CTX("utimensat: forms");
    NEED(posix_make('f', "f", 0644));
    NEED(symlink("f", "l"));
    const struct timespec ts[2] = {{11, 12}, {13, 14}};
    OK(utimensat(AT_FDCWD, "l", ts, 0));
    utimens_is("f", ts[0], ts[1]);
    IS(0, posix_stat("l").st_mtim.tv_sec == 13);
    int fd = open("f", O_RDONLY);
    const struct timespec tu[2] = {{21, 22}, {23, 24}};
    OK(futimens(fd, tu));
    utimens_is("f", tu[0], tu[1]);
    NO(EINVAL, utimensat(AT_FDCWD, "f", (struct timespec[2]){{1, 1000000000}, {1, 1}}, 0));
    NO(EINVAL, utimensat(AT_FDCWD, "f", (struct timespec[2]){{1, 1}, {1, -1}}, 0));
    NO(EINVAL, utimensat(AT_FDCWD, "f", ts, 0x40000000));
    NO(EBADF, futimens(-1, ts));
    close(fd);
    CTX("times survive a rename and a link");
    OK(utimensat(AT_FDCWD, "f", ts, 0));
    OK(rename("f", "g"));
    utimens_is("g", ts[0], ts[1]);
    OK(link("g", "h"));
    utimens_is("h", ts[0], ts[1]);
    OK(chmod("h", 0600));
    utimens_is("g", ts[0], ts[1]);
}

/* --- access --- */

GROUP(access)
{
    static const int asks[] = {F_OK, R_OK, W_OK, X_OK, R_OK | W_OK, R_OK | X_OK, 7};
    for (const char *t = "fdpsc"; *t; t++)
        for (mode_t bits = 0; bits < 8; bits++)
            for (int cls = 0; cls < 4; cls++) {
                /* the class asked about has `bits`, the others their opposite */
                mode_t other = 7 & ~bits;
                mode_t m = cls == 0   ? bits << 6 | other << 3 | other
                           : cls == 3 ? other << 6 | other << 3 | bits
                                      : other << 6 | bits << 3 | other;
                CTX("access to a %s of mode %03o, class %d", posix_type_name(*t), m, cls);
                NEED(posix_make(*t, "x", m));
                NEED(chown("x", ME, GRP));
                cls == 0   ? posix_as_group(ME, ME, GRP)
                : cls == 1 ? posix_as(YOU, GRP)
                : cls == 2 ? posix_as_group(YOU, YOU, GRP)
                           : posix_as(YOU, YOU);
                for (size_t k = 0; k < COUNT(asks); k++)
                    GIVES((asks[k] & (int)bits) == asks[k] ? 0 : EACCES, access("x", asks[k]));
                posix_as_root();
                posix_remove("x");
            }
    CTX("access by root");
    for (mode_t m = 0; m < 0777; m += 0101) {
        NEED(posix_make('f', "x", m));
        OK(access("x", R_OK | W_OK));
        GIVES(has_x(m) ? 0 : EACCES, access("x", X_OK));
        NEED(unlink("x"));
        NEED(posix_make('d', "x", m));
        OK(access("x", 7));
        NEED(rmdir("x"));
    }
    NO(EINVAL, access(".", 8));
    NO(ENOENT, access("none", F_OK));
}
