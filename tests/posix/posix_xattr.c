/* tests/posix/posix_xattr.c - extended attributes: values, flags, name spaces, limits. */
#include <sys/xattr.h>
#include "tests/posix/posix.h"

static char big[70000];

/* how many attributes whose names begin with prefix are listed */
static int xattr_listed(const char *path, const char *prefix)
{
    ssize_t n = llistxattr(path, big, sizeof big);
    int found = 0;
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(big + at) + 1)
        found += !strncmp(big + at, prefix, strlen(prefix));
    return n < 0 ? -1 : found;
}

static void xattr_values(const char *p)
{
    char b[300];
    CTX("values on %s", p);
    OK(setxattr(p, "user.a", "one", 3, 0));
    IS(3, getxattr(p, "user.a", b, sizeof b));
    IS(0, memcmp(b, "one", 3));
    IS(3, getxattr(p, "user.a", NULL, 0));
    NO(ERANGE, getxattr(p, "user.a", b, 2));
    OK(setxattr(p, "user.a", "", 0, 0));
    IS(0, getxattr(p, "user.a", b, sizeof b));
    OK(setxattr(p, "user.a", "x\0y", 3, 0));
    IS(3, getxattr(p, "user.a", b, sizeof b));
    IS(0, memcmp(b, "x\0y", 3));
    CTX("flags on %s", p);
    NO(EEXIST, setxattr(p, "user.a", "n", 1, XATTR_CREATE));
    NO(ENODATA, setxattr(p, "user.b", "n", 1, XATTR_REPLACE));
    OK(setxattr(p, "user.b", "n", 1, XATTR_CREATE));
    OK(setxattr(p, "user.b", "longer", 6, XATTR_REPLACE));
    IS(6, getxattr(p, "user.b", NULL, 0));
    NO(EINVAL, setxattr(p, "user.b", "n", 1, 4));
    CTX("listing of %s", p);
    IS(2, xattr_listed(p, "user."));
    NO(ERANGE, listxattr(p, b, 1));
    IS(listxattr(p, big, sizeof big), listxattr(p, NULL, 0));
    CTX("removal from %s", p);
    OK(removexattr(p, "user.a"));
    NO(ENODATA, removexattr(p, "user.a"));
    NO(ENODATA, getxattr(p, "user.a", b, sizeof b));
    IS(1, xattr_listed(p, "user."));
    OK(removexattr(p, "user.b"));
    IS(0, xattr_listed(p, "user."));
}

static void xattr_spaces(void)
{
    char b[10];
    CTX("user.* is for files and directories");
    for (const char *t = "lpscb"; *t; t++) {
        NEED(posix_make(*t, "n", 0666));
        NO(EPERM, lsetxattr("n", "user.a", "v", 1, 0));
        NO(ENODATA, lgetxattr("n", "user.a", b, 10));
        OK(lsetxattr("n", "trusted.a", "v", 1, 0));
        IS(1, lgetxattr("n", "trusted.a", b, 10));
        IS(1, xattr_listed("n", "trusted."));
        NEED(unlink("n"));
    }
    CTX("trusted.* is root's");
    NEED(posix_make('f', "t", 0666));
    OK(setxattr("t", "trusted.k", "v", 1, 0));
    IS(1, xattr_listed("t", "trusted."));
    posix_as(ME, ME);
    NO(EPERM, setxattr("t", "trusted.k", "w", 1, 0));
    NO(ENODATA, getxattr("t", "trusted.k", b, 10));
    NO(EPERM, removexattr("t", "trusted.k"));
    IS(0, xattr_listed("t", "trusted."));
    posix_as_root();
    IS(1, getxattr("t", "trusted.k", b, 10));
    CTX("security.*");
    if (posix_has("security_xattr")) {
        OK(setxattr("t", "security.tarn", "v", 1, 0));
        IS(1, getxattr("t", "security.tarn", b, 10));
        OK(removexattr("t", "security.tarn"));
    } else {
        NO(EOPNOTSUPP, setxattr("t", "security.tarn", "v", 1, 0));
        NO(EOPNOTSUPP, getxattr("t", "security.tarn", b, 10));
    }
    CTX("POSIX ACLs");
    if (!posix_has("acl")) {
        static const char acl[] = "\2\0\0\0\1\0\6\0\xff\xff\xff\xff\4\0\4\0\xff\xff\xff\xff"
                                  "\x20\0\4\0\xff\xff\xff\xff";
        NO(EOPNOTSUPP, setxattr("t", "system.posix_acl_access", acl, sizeof acl - 1, 0));
        NO(EOPNOTSUPP, removexattr("t", "system.posix_acl_access"));
        NO(EOPNOTSUPP, getxattr("t", "system.posix_acl_access", b, 10));
    }
    CTX("other spaces");
    NO(EOPNOTSUPP, setxattr("t", "nospace", "v", 1, 0));
    NO(EOPNOTSUPP, setxattr("t", "foo.bar", "v", 1, 0));
    NO(EOPNOTSUPP, getxattr("t", "foo.bar", b, 10));
    NO(EOPNOTSUPP, removexattr("t", "foo.bar"));
    NO(EINVAL, setxattr("t", "user.", "v", 1, 0));
}

static void xattr_permission(void)
{
    char b[10];
    for (mode_t m = 0; m < 8; m++) {
        CTX("user.* and mode %o for others", m);
        NEED(posix_make('f', "p", 0660 | m));
        NEED(setxattr("p", "user.old", "v", 1, 0));
        posix_as(ME, ME);
        GIVES(m & 2 ? 0 : EACCES, setxattr("p", "user.k", "v", 1, 0));
        GIVES(m & 4 ? 0 : EACCES, getxattr("p", "user.old", b, 10));
        GIVES(m & 2 ? 0 : EACCES, removexattr("p", "user.old"));
        OK(listxattr("p", big, sizeof big));
        posix_as_root();
        NEED(unlink("p"));
    }
    CTX("a sticky directory takes user.* from its owner only");
    NEED(posix_make('d', "s", 01777));
    NEED(chown("s", ME, ME));
    posix_as(YOU, YOU);
    NO(EPERM, setxattr("s", "user.k", "v", 1, 0));
    posix_as(ME, ME);
    OK(setxattr("s", "user.k", "v", 1, 0));
    posix_as(YOU, YOU);
    IS(1, getxattr("s", "user.k", b, 10));
    posix_as_root();
}

GROUP(xattr)
{
    char b[10];
    NEED(posix_make('f', "f", 0644));
    NEED(posix_make('d', "d", 0755));
    xattr_values("f");
    xattr_values("d");
    xattr_spaces();
    xattr_permission();
    CTX("they belong to the file, not the name");
    OK(setxattr("f", "user.k", "v", 1, 0));
    NEED(link("f", "g"));
    OK(rename("f", "h"));
    IS(1, getxattr("g", "user.k", b, 10));
    IS(1, getxattr("h", "user.k", b, 10));
    OK(setxattr("g", "user.k", "vv", 2, 0));
    IS(2, getxattr("h", "user.k", b, 10));
    OK(chmod("h", 0600));
    OK(truncate("h", 5));
    IS(2, getxattr("h", "user.k", b, 10));
    CTX("they end with the file");
    OK(unlink("g"));
    int fd = open("h", O_RDWR);
    OK(unlink("h"));
    IS(2, fgetxattr(fd, "user.k", b, 10));
    OK(fsetxattr(fd, "user.l", "v", 1, 0));
    OK(fremovexattr(fd, "user.k"));
    NO(ENODATA, fgetxattr(fd, "user.k", b, 10));
    close(fd);
    NEED(posix_make('f', "h", 0644));
    NO(ENODATA, getxattr("h", "user.l", b, 10));
    CTX("links: followed or not");
    NEED(symlink("h", "l"));
    OK(setxattr("l", "user.via", "v", 1, 0));
    IS(1, getxattr("h", "user.via", b, 10));
    NO(EPERM, lsetxattr("l", "user.via", "v", 1, 0));
    NO(ENODATA, lgetxattr("l", "user.via", b, 10));
}

GROUP(xattr_limits)
{
    NEED(posix_make('f', "f", 0644));
    char name[300] = "user.";
    CTX("names");
    memset(name + 5, 'n', 250);
    name[255] = 0;
    OK(setxattr("f", name, "v", 1, 0));
    IS(1, getxattr("f", name, big, sizeof big));
    OK(removexattr("f", name));
    name[255] = 'n';
    name[256] = 0;
    NO(ERANGE, setxattr("f", name, "v", 1, 0));
    NO(ERANGE, getxattr("f", name, big, 10));
    NO(ERANGE, setxattr("f", "", "v", 1, 0));
    CTX("values");
    memset(big, 'v', sizeof big);
    static const size_t sizes[] = {1, 100, 255, 256, 1000, 2000};
    for (size_t k = 0; k < COUNT(sizes); k++) {
        OK(setxattr("f", "user.k", big, sizes[k], 0));
        IS(sizes[k], getxattr("f", "user.k", NULL, 0));
    }
    NO(E2BIG, setxattr("f", "user.k", big, 65537, 0));
    IS(2000, getxattr("f", "user.k", NULL, 0));
    CTX("many");
    for (int k = 0; k < 40; k++) {
        snprintf(name, sizeof name, "user.n%d", k);
        OK(setxattr("f", name, name, strlen(name), 0));
    }
    IS(41, xattr_listed("f", "user."));
    for (int k = 0; k < 40; k += 2) {
        snprintf(name, sizeof name, "user.n%d", k);
        OK(removexattr("f", name));
    }
    IS(21, xattr_listed("f", "user."));
    if (!posix_has("large_xattr"))
        return;
    CTX("large ones");
    for (size_t n = 4096; n <= 65536; n *= 2) {
        for (size_t k = 0; k < n; k++)
            big[k] = (char)(k * 7 + n);
        OK(setxattr("f", "user.large", big, n, 0));
        memset(big, 0, sizeof big);
        IS(n, getxattr("f", "user.large", big, sizeof big));
        int bad = 0;
        for (size_t k = 0; k < n; k++)
            bad += big[k] != (char)(k * 7 + n);
        IS(0, bad);
    }
    if (!posix_has("xattr_list_limit"))
        return; /* tmpfs takes more names than listxattr can tell */
    CTX("names beyond 64 KiB in all");
    int err = 0;
    for (int k = 0; k < 400 && !err; k++) {
        memset(name, 'm', 255);
        name[255] = 0;
        memcpy(name, "user.", 5);
        snprintf(name + 5, 5, "%04d", k);
        name[9] = 'm';
        err = setxattr("f", name, "v", 1, 0) ? errno : 0;
    }
    IS(ENOSPC, err);
    OK(listxattr("f", big, sizeof big));
}
