/* tests/posix/posix_rename.c - rename in every case that POSIX and Linux distinguish; sticky
 * directories. */
#include <linux/fs.h>
#include "tests/posix/posix.h"

static int rename_flags(const char *a, const char *b, unsigned flags)
{
    return renameat2(AT_FDCWD, a, AT_FDCWD, b, flags);
}

/* --- one kind of file, no target --- */

static void rename_plain(char t)
{
    CTX("rename of a %s", posix_type_name(t));
    NEED(posix_make(t, "a", 0640));
    NEED(mkdir("to", 0755));
    struct stat a = posix_stat("a"), here = posix_stat("."), there = posix_stat("to");
    posix_tick();
    OK(rename("a", "b"));
    struct stat b = posix_stat("b"), here2 = posix_stat(".");
    IS(0, posix_stat("a").st_mode);
    IS(a.st_ino, b.st_ino);
    IS(a.st_mode, b.st_mode);
    IS(a.st_nlink, b.st_nlink);
    IS(T_C, posix_later(&a, &b) & ~T_A);
    IS(T_C | T_M, posix_later(&here, &here2) & ~T_A);
    posix_tick();
    OK(rename("b", "to/c"));
    struct stat here3 = posix_stat("."), there2 = posix_stat("to"), c = posix_stat("to/c");
    IS(a.st_ino, c.st_ino);
    IS(T_C | T_M, posix_later(&here2, &here3) & ~T_A);
    IS(T_C | T_M, posix_later(&there, &there2) & ~T_A);
    IS(2 + (t == 'd'), there2.st_nlink);
    IS(here2.st_nlink - (t == 'd'), here3.st_nlink);
    NO(ENOENT, rename("b", "d"));
    OK(rename("to/c", "to/c")); /* to itself: nothing */
    IS(a.st_ino, posix_stat("to/c").st_ino);
    NO(ENOENT, rename("to/c", "none/c"));
    NEED(posix_remove("to"));
}

GROUP(rename)
{
    for (const char *t = TYPES_ALL; *t; t++)
        rename_plain(*t);
    CTX("rename between two names of one file does nothing");
    NEED(posix_fill("a", 3));
    NEED(link("a", "b"));
    OK(rename("a", "b"));
    IS(2, NLINK("a"));
    IS(2, NLINK("b"));
    CTX("rename over a file that is open");
    NEED(posix_fill("new", 1));
    int fd = open("b", O_RDWR);
    OK(rename("new", "b"));
    struct stat st = {0};
    OK(fstat(fd, &st));
    IS(1, st.st_nlink); /* "a" */
    IS(3, st.st_size);
    IS(1, SIZE("b"));
    OK(unlink("a"));
    OK(fstat(fd, &st));
    IS(0, st.st_nlink);
    char buf[8];
    IS(3, pread(fd, buf, 8, 0));
    close(fd);
    CTX("renameat");
    NEED(mkdir("d", 0755));
    int dir = open("d", O_RDONLY);
    OK(renameat(AT_FDCWD, "b", dir, "c"));
    IS(1, SIZE("d/c"));
    OK(renameat(dir, "c", dir, "e"));
    NO(ENOENT, renameat(dir, "c", dir, "e"));
    NO(ENOTDIR, renameat(dir, "e/", AT_FDCWD, "x"));
    close(dir);
    CTX("rename does not follow");
    NEED(symlink("d", "l"));
    OK(rename("l", "l2"));
    IS(1, S_ISLNK(posix_stat("l2").st_mode));
    NEED(posix_fill("f", 1));
    OK(rename("f", "l2"));
    IS(1, S_ISREG(posix_stat("l2").st_mode));
    IS(1, S_ISDIR(posix_stat("d").st_mode));
    CTX("a chain that keeps its bytes");
    NEED(posix_fill("n0", 77));
    for (int k = 0; k < 50; k++) {
        char from[20], to[20];
        snprintf(from, sizeof from, "n%d", k);
        snprintf(to, sizeof to, "n%d", k + 1);
        OK(rename(from, to));
    }
    IS(77, SIZE("n50"));
}

/* --- every type over every type --- */

static void rename_over(char from, char to, bool across)
{
    const char *dst = across ? "to/b" : "b";
    CTX("rename of a %s over a %s%s", posix_type_name(from), posix_type_name(to),
        across ? " elsewhere" : "");
    NEED(posix_make(from, "a", 0640));
    NEED(posix_make(to, dst, 0600));
    struct stat a = posix_stat("a"), b = posix_stat(dst);
    NEED(to == 'd' ? 0 : link(dst, "keep"));
    struct stat k0 = posix_stat("keep");
    posix_tick();
    int want = from == 'd' && to != 'd' ? ENOTDIR : from != 'd' && to == 'd' ? EISDIR : 0;
    GIVES(want, rename("a", dst));
    IS(want ? a.st_ino : 0, posix_stat("a").st_ino);
    IS(want ? b.st_ino : a.st_ino, posix_stat(dst).st_ino);
    if (to != 'd') {
        struct stat k1 = posix_stat("keep");
        IS(want ? 2 : 1, k1.st_nlink);
        IS(want ? 0 : T_C, posix_later(&k0, &k1) & ~T_A);
    }
    posix_remove("a");
    posix_remove(dst);
    posix_remove("keep");
}

GROUP(rename_types)
{
    NEED(mkdir("to", 0755));
    for (const char *f = TYPES_ALL; *f; f++)
        for (const char *t = TYPES_ALL; *t; t++) {
            rename_over(*f, *t, false);
            rename_over(*f, *t, true);
        }
    for (const char *t = TYPES_ALL; *t; t++) {
        CTX("a directory over one that holds a %s", posix_type_name(*t));
        NEED(mkdir("a", 0755));
        NEED(mkdir("b", 0755));
        NEED(posix_make(*t, "b/x", 0644));
        NO(ENOTEMPTY, rename("a", "b"));
        OK(rename("b", "a")); /* the full one over the empty one */
        IS(1, posix_is_type(*t, posix_stat("a/x").st_mode));
        NEED(posix_remove("a"));
    }
}

/* --- NOREPLACE, EXCHANGE --- */

static void rename_exchange(char f, char t)
{
    CTX("exchange of a %s and a %s", posix_type_name(f), posix_type_name(t));
    NEED(posix_make(f, "a", 0640));
    NEED(posix_make(t, "to/b", 0600));
    struct stat a = posix_stat("a"), b = posix_stat("to/b");
    OK(rename_flags("a", "to/b", RENAME_EXCHANGE));
    IS(a.st_ino, posix_stat("to/b").st_ino);
    IS(b.st_ino, posix_stat("a").st_ino);
    IS(2 + (f == 'd'), NLINK("to"));
    posix_remove("a");
    posix_remove("to/b");
}

GROUP(rename_flags)
{
    NEED(mkdir("to", 0755));
    for (const char *f = TYPES_ALL; *f; f++) {
        CTX("NOREPLACE of a %s", posix_type_name(*f));
        NEED(posix_make(*f, "a", 0644));
        OK(rename_flags("a", "b", RENAME_NOREPLACE));
        OK(rename_flags("b", "to/b", RENAME_NOREPLACE));
        NO(EEXIST, rename_flags("to/b", "to/b", RENAME_NOREPLACE));
        for (const char *t = TYPES_ALL; *t; t++) {
            NEED(posix_make(*t, "c", 0644));
            NO(EEXIST, rename_flags("to/b", "c", RENAME_NOREPLACE));
            NEED(posix_remove("c"));
        }
        NEED(posix_remove("to/b"));
    }
    CTX("flags that cannot be");
    NEED(posix_make('f', "a", 0644));
    NEED(posix_make('f', "b", 0644));
    NO(EINVAL, rename_flags("a", "b", RENAME_NOREPLACE | RENAME_EXCHANGE));
    NO(EINVAL, rename_flags("a", "b", 1u << 20));
    NO(ENOENT, rename_flags("none", "b", RENAME_NOREPLACE));
    if (!posix_has("whiteout"))
        NO(EINVAL, rename_flags("a", "b", RENAME_WHITEOUT));
    if (!posix_has("exchange")) {
        CTX("no EXCHANGE");
        NO(EINVAL, rename_flags("a", "b", RENAME_EXCHANGE));
        return;
    }
    CTX("EXCHANGE");
    NO(ENOENT, rename_flags("a", "none", RENAME_EXCHANGE));
    NO(ENOENT, rename_flags("none", "a", RENAME_EXCHANGE));
    OK(rename_flags("a", "a", RENAME_EXCHANGE));
    NEED(unlink("a"));
    for (const char *f = TYPES_ALL; *f; f++)
        for (const char *t = TYPES_ALL; *t; t++)
            rename_exchange(*f, *t);
    CTX("EXCHANGE with a directory above or below");
    NEED(mkdir("d", 0755));
    NEED(mkdir("d/e", 0755));
    NO(EINVAL, rename_flags("d", "d/e", RENAME_EXCHANGE));
    NO(EINVAL, rename_flags("d/e", "d", RENAME_EXCHANGE));
}

/* --- directories: loops, "..", permission to change ".." --- */

GROUP(rename_dirs)
{
    CTX("a directory into itself");
    NEED(mkdir("a", 0755));
    NEED(mkdir("a/b", 0755));
    NEED(mkdir("a/b/c", 0755));
    NO(EINVAL, rename("a", "a/x"));
    NO(EINVAL, rename("a", "a/b/x"));
    NO(EINVAL, rename("a", "a/b/c/x"));
    NO(EINVAL, rename("a", "a/b"));
    NO(ENOTEMPTY, rename("a/b", "a"));
    NO(ENOTEMPTY, rename("a/b/c", "a"));
    OK(rename("a", "a"));
    CTX("dots");
    NO(EBUSY, rename("a/.", "x"));
    NO(EBUSY, rename("a/..", "x"));
    NO(EBUSY, rename(".", "x"));
    NO(EBUSY, rename("..", "x"));
    NO(EBUSY, rename("a", "."));
    NO(EBUSY, rename("a", "a/.."));
    CTX("\"..\" follows its directory");
    struct stat st = {0};
    NEED(mkdir("other", 0755));
    OK(rename("a/b", "other/b"));
    OK(stat("other/b/..", &st));
    IS(posix_stat("other").st_ino, st.st_ino);
    IS(3, NLINK("other"));
    IS(2, NLINK("a"));
    int fd = open("other/b/c", O_RDONLY);
    OK(rename("other", "renamed"));
    OK(fstatat(fd, "../..", &st, 0));
    IS(posix_stat("renamed").st_ino, st.st_ino);
    OK(mkdirat(fd, "in", 0755));
    IS(1, S_ISDIR(posix_stat("renamed/b/c/in").st_mode));
    close(fd);
    CTX("a deep tree keeps its paths");
    NEED(posix_make('f', "renamed/b/c/in/f", 0641));
    OK(rename("renamed/b", "a/b"));
    IS(0641, MODE("a/b/c/in/f"));
    NO(ENOENT, stat("renamed/b", &st));
    OK(rename("a", "renamed/a"));
    IS(0641, MODE("renamed/a/b/c/in/f"));
    CTX("permission to change \"..\"");
    for (int who = 0; who < 3; who++) {
        static const uid_t uids[] = {ROOT, ME, YOU};
        NEED(mkdir("p", 0777));
        NEED(mkdir("q", 0777));
        NEED(mkdir("p/d", 0755));
        NEED(chown("p/d", ME, ME));
        uids[who] ? posix_as(uids[who], uids[who]) : posix_as_root();
        GIVES(0, rename("p/d", "p/e")); /* same parent: ".." stays */
        GIVES(uids[who] == YOU ? EACCES : 0, rename("p/e", "q/e"));
        posix_as_root();
        NEED(posix_remove("p"));
        NEED(posix_remove("q"));
    }
    CTX("no permission");
    NEED(mkdir("closed", 0755));
    NEED(mkdir("free", 0777));
    NEED(posix_make('f', "closed/f", 0666));
    NEED(posix_make('f', "free/f", 0666));
    posix_as(ME, ME);
    NO(EACCES, rename("closed/f", "free/g"));
    NO(EACCES, rename("free/f", "closed/g"));
    NO(EACCES, rename("closed/f", "closed/g"));
    OK(rename("free/f", "free/g"));
    posix_as_root();
    NEED(chmod("closed", 0666));
    posix_as(ME, ME);
    NO(EACCES, rename("closed/f", "free/h"));
    NO(EACCES, rename("free/g", "closed/f"));
    posix_as_root();
}

/* --- sticky directories --- */

struct sticky_case {
    uid_t dir, file, who;
    bool is_sticky;
    char type;
};

static bool sticky_may(const struct sticky_case *k)
{
    return !k->is_sticky || k->who == ROOT || k->who == k->dir || k->who == k->file;
}

static void sticky_ground(const struct sticky_case *k)
{
    NEED(mkdir("s", 0777));
    NEED(chown("s", k->dir, 0));
    NEED(chmod("s", k->is_sticky ? 01777 : 0777));
    NEED(posix_make(k->type, "s/x", 0777));
    NEED(lchown("s/x", k->file, 0));
    NEED(mkdir("o", 0777));
    NEED(posix_make(k->type, "o/y", 0777));
    NEED(lchown("o/y", k->who, 0));
    k->who ? posix_as(k->who, k->who) : posix_as_root();
}

static void sticky_one(const struct sticky_case *k)
{
    int want = sticky_may(k) ? 0 : EPERM;
    CTX("%s dir of %d, %s of %d, by %d", k->is_sticky ? "sticky" : "plain", (int)k->dir,
        posix_type_name(k->type), (int)k->file, (int)k->who);
    sticky_ground(k);
    GIVES(want, rename("s/x", "s/z")); /* within */
    posix_as_root();
    NEED(want ? 0 : rename("s/z", "s/x"));
    k->who ? posix_as(k->who, k->who) : posix_as_root();
    GIVES(want, rename("o/y", "s/x")); /* over it */
    posix_as_root();
    NEED(posix_remove("s"));
    NEED(posix_remove("o"));
    sticky_ground(k);
    /* out of it; what it moves would get another "..", so a directory must be writable too: 0777 */
    GIVES(want, rename("s/x", "o/x"));
    posix_as_root();
    NEED(want ? 0 : rename("o/x", "s/x"));
    k->who ? posix_as(k->who, k->who) : posix_as_root();
    GIVES(want, k->type == 'd' ? rmdir("s/x") : unlink("s/x"));
    OK(posix_make(k->type, "s/new", 0777)); /* anybody may add */
    OK(k->type == 'd' ? rmdir("s/new") : unlink("s/new"));
    posix_as_root();
    NEED(posix_remove("s"));
    NEED(posix_remove("o"));
}

GROUP(sticky)
{
    static const uid_t owners[] = {ROOT, ME, YOU}, users[] = {ROOT, ME, YOU, THEM};
    for (const char *t = "fdlps"; *t; t++)
        for (size_t d = 0; d < COUNT(owners); d++)
            for (size_t f = 0; f < COUNT(owners); f++)
                for (size_t u = 0; u < COUNT(users); u++) {
                    struct sticky_case k = {owners[d], owners[f], users[u], true, *t};
                    if (*t != 'f' && (*t != 'd' || d == f) && !(d == 1 && f == 2))
                        continue; /* of the other types one pair of owners */
                    sticky_one(&k);
                    k.is_sticky = false;
                    if (*t == 'f')
                        sticky_one(&k);
                }
}
