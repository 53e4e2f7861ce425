/* tests/unit/test_meta.c - each operation, each refusal; META mounts (mount 0). */
#include "tests/unit/test_meta.h"

static struct kit k;

#define APPLY(...) kit_apply(&k, (struct fsop){__VA_ARGS__})
#define QUERY(...) kit_query(&k, (struct fsop){__VA_ARGS__})

static void test_meta_new_machine(void)
{
    kit_open(&k, 1000);
    struct fsattr a = kit_attr(&k, INO_ROOT);
    CU_ASSERT(a.mode == (FSOP_S_IFDIR | 0755) && a.nlink == 2 && a.uid == 0);
    CU_ASSERT(a.flags & FSATTR_LOADED);
    CU_ASSERT_EQUAL(meta_applied(k.m), 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_NOOP), 0);
    CU_ASSERT_EQUAL(meta_applied(k.m), 1);
    CU_ASSERT_EQUAL(APPLY(.kind = 63), E_NOTSUP);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_LOOKUP), E_NOTSUP);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_MKDIR), E_NOTSUP);
    kit_close(&k);
}

static void test_meta_create_and_lookup(void)
{
    kit_open(&k, 1000);
    struct ino d = kit_make(&k, FSOP_MKDIR, INO_ROOT, "d");
    CU_ASSERT_EQUAL(k.r.n_changes, 1);
    CU_ASSERT(k.r.changes[0].kind == META_CHANGE_ENTRY && k.r.changes[0].ino.v == 1 &&
              k.r.changes[0].name_len == 1 && k.r.changes[0].name[0] == 'd');
    struct ino f = kit_make(&k, FSOP_MKNOD, d, "f");
    CU_ASSERT_EQUAL(kit_find(&k, d, "f").v, f.v);
    CU_ASSERT_EQUAL(kit_attr(&k, f).mode, FSOP_S_IFREG | 0755);
    CU_ASSERT_EQUAL(kit_attr(&k, f).nlink, 1);
    CU_ASSERT_EQUAL(kit_attr(&k, INO_ROOT).nlink, 3);
    CU_ASSERT_EQUAL(kit_attr(&k, d).size, 1);
    CU_ASSERT_EQUAL(kit_find(&k, d, ".").v, d.v);
    CU_ASSERT_EQUAL(kit_find(&k, d, "..").v, 1);
    CU_ASSERT_EQUAL(kit_find(&k, INO_ROOT, "..").v, 1);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MKDIR, .ino = d, NAME("f")), E_EXIST);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MKDIR, .ino = f, NAME("x")), E_NOTDIR);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MKDIR, .ino = {77}, NAME("x")), E_STALE);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MKDIR, .ino = d, NAME("")), E_INVAL);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MKDIR, .ino = d, NAME(".")), E_INVAL);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MKDIR, .ino = d, NAME("..")), E_INVAL);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MKDIR, .ino = d, NAME("a/b")), E_INVAL);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MKDIR, .ino = d, .name = "a\0b", .name_len = 3), E_INVAL);
    static char longest[300];
    memset(longest, 'n', 256);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MKDIR, .ino = d, NAME(longest)), E_NAMETOOLONG);
    longest[255] = 0;
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MKDIR, .ino = d, NAME(longest)), 0);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_LOOKUP, .ino = d, NAME("gone")), E_NOENT);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_LOOKUP, .ino = f, NAME("gone")), E_NOTDIR);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_GETATTR, .ino = {99}), E_STALE);
    kit_close(&k);
}

static void test_meta_symlink_and_nodes(void)
{
    kit_open(&k, 1000);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SYMLINK, .ino = INO_ROOT, NAME("l"), DATA("to/there")), 0);
    struct ino l = k.r.reply.attr.ino;
    CU_ASSERT_EQUAL(k.r.reply.attr.size, 8);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_READLINK, .ino = l), 0);
    CU_ASSERT(k.q.data_len == 8 && !memcmp(k.q.data, "to/there", 8));
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_READLINK, .ino = INO_ROOT), E_INVAL);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SYMLINK, .ino = INO_ROOT, NAME("m")), E_INVAL);
    static char big[LIMIT_PATH + 1];
    memset(big, 'x', LIMIT_PATH);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SYMLINK, .ino = INO_ROOT, NAME("m"), DATA(big)),
                    E_NAMETOOLONG);
    big[LIMIT_PATH - 1] = 0;
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SYMLINK, .ino = INO_ROOT, NAME("m"), DATA(big)), 0);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_READLINK, .ino = k.r.reply.attr.ino), 0);
    CU_ASSERT_EQUAL(k.q.data_len, LIMIT_PATH - 1);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MKNOD, .ino = INO_ROOT, NAME("c"),
                          .mode = FSOP_S_IFCHR | 0600, .rdev = 0x501),
                    0);
    CU_ASSERT_EQUAL(kit_attr(&k, k.r.reply.attr.ino).rdev, 0x501);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MKNOD, .ino = INO_ROOT, NAME("e"), .mode = FSOP_S_IFDIR),
                    E_INVAL);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_UNLINK, .ino = INO_ROOT, NAME("l")), 0);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_GETATTR, .ino = l), E_STALE);
    kit_close(&k);
}

static void test_meta_links_and_orphans(void)
{
    kit_open(&k, 1000);
    struct ino d = kit_make(&k, FSOP_MKDIR, INO_ROOT, "d");
    struct ino f = kit_make(&k, FSOP_MKNOD, INO_ROOT, "f");
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_LINK, .ino = f, .ino2 = d, NAME("g")), 0);
    CU_ASSERT_EQUAL(k.r.reply.attr.nlink, 2);
    CU_ASSERT_EQUAL(kit_find(&k, d, "g").v, f.v);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_LINK, .ino = f, .ino2 = d, NAME("g")), E_EXIST);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_LINK, .ino = d, .ino2 = d, NAME("h")), E_PERM);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_UNLINK, .ino = INO_ROOT, NAME("d")), E_ISDIR);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_UNLINK, .ino = INO_ROOT, NAME("x")), E_NOENT);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_UNLINK, .ino = INO_ROOT, NAME("f")), 0);
    CU_ASSERT_EQUAL(kit_attr(&k, f).nlink, 1);
    CU_ASSERT_EQUAL(meta_orphan_next(k.m, (struct ino){0}).v, 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_RECLAIM, .ino = f), E_INVAL);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_UNLINK, .ino = d, NAME("g")), 0);
    CU_ASSERT_EQUAL(kit_attr(&k, f).nlink, 0);
    CU_ASSERT(kit_attr(&k, f).flags & FSATTR_ORPHAN);
    CU_ASSERT_EQUAL(meta_orphan_next(k.m, (struct ino){0}).v, f.v);
    CU_ASSERT_EQUAL(meta_orphan_next(k.m, f).v, 0);
    char path[LIMIT_PATH];
    uint16_t mount;
    CU_ASSERT_EQUAL(meta_path(k.m, f, path, sizeof path, &mount), 0);
    CU_ASSERT(!strncmp(path, ".tarn/orphan-", 13));
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_LINK, .ino = f, .ino2 = d, NAME("h")), E_NOENT);
    kit_check(&k);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_RECLAIM, .ino = f), 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_RECLAIM, .ino = f), E_STALE);
    struct ino again = kit_make(&k, FSOP_MKNOD, INO_ROOT, "f");
    CU_ASSERT((uint32_t)again.v == (uint32_t)f.v && again.v != f.v);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_GETATTR, .ino = f), E_STALE);
    kit_close(&k);
}

static void test_meta_rmdir(void)
{
    kit_open(&k, 1000);
    struct ino d = kit_make(&k, FSOP_MKDIR, INO_ROOT, "d");
    kit_make(&k, FSOP_MKNOD, d, "f");
    kit_make(&k, FSOP_MKNOD, INO_ROOT, "f");
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_RMDIR, .ino = INO_ROOT, NAME("d")), E_NOTEMPTY);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_RMDIR, .ino = INO_ROOT, NAME("f")), E_NOTDIR);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_RMDIR, .ino = INO_ROOT, NAME("x")), E_NOENT);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_UNLINK, .ino = d, NAME("f")), 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_RMDIR, .ino = INO_ROOT, NAME("d")), 0);
    CU_ASSERT_EQUAL(kit_attr(&k, INO_ROOT).nlink, 2);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MKNOD, .ino = d, NAME("f")), E_STALE);
    kit_close(&k);
}

static void test_meta_rename_cases(void)
{
    kit_open(&k, 1000);
    struct ino a = kit_make(&k, FSOP_MKDIR, INO_ROOT, "a"), b = kit_make(&k, FSOP_MKDIR, a, "b");
    struct ino f = kit_make(&k, FSOP_MKNOD, INO_ROOT, "f"), g = kit_make(&k, FSOP_MKNOD, b, "g");
#define RENAME(d1, n1, d2, n2) RENAME_FLAGS(d1, n1, d2, n2, 0)
#define RENAME_FLAGS(d1, n1, d2, n2, how) \
    APPLY(.kind = FSOP_RENAME, .ino = d1, NAME(n1), .ino2 = d2, NAME2(n2), .flags = how)
    CU_ASSERT_EQUAL(RENAME(INO_ROOT, "a", b, "x"), E_INVAL);
    CU_ASSERT_EQUAL(RENAME(INO_ROOT, "a", a, "x"), E_INVAL);
    CU_ASSERT_EQUAL(RENAME(INO_ROOT, "f", INO_ROOT, "a"), E_ISDIR);
    CU_ASSERT_EQUAL(RENAME(INO_ROOT, "a", INO_ROOT, "f"), E_NOTDIR);
    CU_ASSERT_EQUAL(RENAME(b, "g", INO_ROOT, "a"), E_NOTEMPTY);
    CU_ASSERT_EQUAL(RENAME(INO_ROOT, "x", INO_ROOT, "y"), E_NOENT);
    CU_ASSERT_EQUAL(RENAME_FLAGS(INO_ROOT, "f", b, "g", FSOP_F_NOREPLACE), E_EXIST);
    CU_ASSERT_EQUAL(RENAME_FLAGS(INO_ROOT, "f", b, "n", FSOP_F_EXCHANGE), E_NOENT);
    CU_ASSERT_EQUAL(RENAME_FLAGS(INO_ROOT, "f", b, "g", FSOP_F_EXCHANGE | FSOP_F_NOREPLACE),
                    E_INVAL);
    CU_ASSERT_EQUAL(RENAME(INO_ROOT, "f", INO_ROOT, "f"), 0);
    struct ino e = kit_make(&k, FSOP_MKDIR, INO_ROOT, "e");
    CU_ASSERT_EQUAL(RENAME(a, "b", INO_ROOT, "e"), 0); /* a directory over an empty one */
    CU_ASSERT_EQUAL(kit_find(&k, INO_ROOT, "e").v, b.v);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_GETATTR, .ino = e), E_STALE);
    CU_ASSERT_EQUAL(kit_find(&k, b, "..").v, 1);
    kit_check(&k);
    CU_ASSERT_EQUAL(RENAME(INO_ROOT, "f", b, "g"), 0); /* a file over a file */
    CU_ASSERT_EQUAL(kit_find(&k, b, "g").v, f.v);
    CU_ASSERT_EQUAL(meta_orphan_next(k.m, (struct ino){0}).v, g.v);
    CU_ASSERT_EQUAL(RENAME(INO_ROOT, "a", INO_ROOT, "e"), E_NOTEMPTY);
    CU_ASSERT_EQUAL(RENAME_FLAGS(b, "g", INO_ROOT, "a", FSOP_F_EXCHANGE), 0);
    CU_ASSERT_EQUAL(kit_find(&k, b, "g").v, a.v);
    CU_ASSERT_EQUAL(kit_find(&k, INO_ROOT, "a").v, f.v);
    CU_ASSERT_EQUAL(RENAME_FLAGS(INO_ROOT, "e", a, "z", FSOP_F_EXCHANGE), E_NOENT);
    CU_ASSERT_EQUAL(RENAME_FLAGS(b, "g", INO_ROOT, "e", FSOP_F_EXCHANGE), E_INVAL);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_LINK, .ino = f, .ino2 = b, NAME("h")), 0);
    CU_ASSERT_EQUAL(RENAME(INO_ROOT, "a", b, "h"), 0); /* the same inode: nothing happens */
    CU_ASSERT_EQUAL(kit_find(&k, INO_ROOT, "a").v, f.v);
    CU_ASSERT_EQUAL(kit_attr(&k, f).nlink, 2);
    kit_close(&k);
}

static void test_meta_permissions(void)
{
    kit_open(&k, 1000);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MKDIR, .ino = INO_ROOT, NAME("t"), .mode = 01777), 0);
    struct ino t = k.r.reply.attr.ino;
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MKDIR, .ino = INO_ROOT, NAME("p"), .uid = 5), E_ACCES);
    CU_ASSERT_EQUAL(
        APPLY(.kind = FSOP_MKNOD, .ino = t, NAME("f"), .uid = 5, .gid = 50, .mode = 0640), 0);
    struct ino f = k.r.reply.attr.ino;
    CU_ASSERT(k.r.reply.attr.uid == 5 && k.r.reply.attr.gid == 50);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_UNLINK, .ino = t, NAME("f"), .uid = 6), E_PERM);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_ACCESS, .ino = f, .mode = FSOP_ACCESS_R, .uid = 6), E_ACCES);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_ACCESS, .ino = f, .mode = FSOP_ACCESS_R, .uid = 6,
                          .n_groups = 1, .groups = {50}),
                    0);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_OPEN, .ino = f, .mode = FSOP_ACCESS_W, .uid = 6, .gid = 50),
                    E_ACCES);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_ACCESS, .ino = f, .mode = FSOP_ACCESS_X), E_ACCES);
    CU_ASSERT_EQUAL(
        APPLY(.kind = FSOP_SETATTR, .ino = f, .valid = FSOP_SET_MODE, .mode = 0600, .uid = 6),
        E_PERM);
    CU_ASSERT_EQUAL(
        APPLY(.kind = FSOP_SETATTR, .ino = f, .valid = FSOP_SET_UID, .set_uid = 6, .uid = 5),
        E_PERM);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SETATTR, .ino = f, .valid = FSOP_SET_GID, .set_gid = 60,
                          .uid = 5, .gid = 50),
                    E_PERM);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SETATTR, .ino = f, .valid = FSOP_SET_GID, .set_gid = 60,
                          .uid = 5, .gid = 50, .n_groups = 1, .groups = {60}),
                    0);
    CU_ASSERT_EQUAL(kit_attr(&k, f).gid, 60);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SETATTR, .ino = f, .valid = FSOP_SET_MTIME, .uid = 6),
                    E_PERM);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SETATTR, .ino = f, .valid = FSOP_SET_MTIME_NOW, .uid = 6),
                    E_ACCES);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SETATTR, .ino = f, .valid = FSOP_SET_MODE, .mode = 06755,
                          .uid = 5, .gid = 60),
                    0);
    CU_ASSERT_EQUAL(kit_attr(&k, f).mode, FSOP_S_IFREG | 06755);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SETATTR, .ino = f, .valid = FSOP_SET_UID, .set_uid = 7), 0);
    CU_ASSERT_EQUAL(kit_attr(&k, f).mode, FSOP_S_IFREG | 0755);
    CU_ASSERT_EQUAL(
        APPLY(.kind = FSOP_MKNOD, .ino = t, NAME("dev"), .uid = 5, .mode = FSOP_S_IFBLK), E_PERM);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MKDIR, .ino = INO_ROOT, NAME("s"), .mode = 02777), 0);
    struct ino s = k.r.reply.attr.ino;
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SETATTR, .ino = s, .valid = FSOP_SET_GID, .set_gid = 9), 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MKDIR, .ino = s, NAME("in"), .uid = 5, .mode = 0700), 0);
    CU_ASSERT(k.r.reply.attr.gid == 9 && k.r.reply.attr.mode == (FSOP_S_IFDIR | 02700));
    struct ino in = k.r.reply.attr.ino;
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_LOOKUP, .ino = in, NAME("x"), .uid = 6), E_ACCES);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_READDIR, .ino = in, .uid = 6), E_ACCES);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_READDIR, .ino = in, .uid = 5), 0);
    kit_close(&k);
}

static void test_meta_setattr(void)
{
    kit_open(&k, 1000);
    struct ino f = kit_make(&k, FSOP_MKNOD, INO_ROOT, "f");
    uint64_t v = kit_attr(&k, f).version;
    CU_ASSERT_EQUAL(
        APPLY(.kind = FSOP_SETATTR, .ino = f, .valid = FSOP_SET_SIZE, .size = 4096, .time_ns = 777),
        0);
    CU_ASSERT(k.r.reply.attr.size == 4096 && k.r.reply.attr.version > v);
    CU_ASSERT(k.r.reply.attr.mtime_ns == 777 && k.r.changes[0].kind == META_CHANGE_DATA);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SETATTR, .ino = f,
                          .valid = FSOP_SET_ATIME | FSOP_SET_MTIME_NOW, .atime_ns = -5,
                          .time_ns = 888),
                    0);
    CU_ASSERT(k.r.reply.attr.atime_ns == -5 && k.r.reply.attr.mtime_ns == 888);
    CU_ASSERT_EQUAL(k.r.changes[0].kind, META_CHANGE_ATTR);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SETATTR, .ino = INO_ROOT, .valid = FSOP_SET_SIZE), E_ISDIR);
    CU_ASSERT_EQUAL(
        APPLY(.kind = FSOP_SETATTR, .ino = f, .valid = FSOP_SET_SIZE, .size = UINT64_MAX), E_FBIG);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SETATTR, .ino = f), 0);
    CU_ASSERT_EQUAL(k.r.n_changes, 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SETATTR, .ino = {1234}), E_STALE);
    kit_close(&k);
}

static void test_meta_xattrs(void)
{
    kit_open(&k, 1000);
    struct ino f = kit_make(&k, FSOP_MKNOD, INO_ROOT, "f");
#define X(flag, n, v) APPLY(.kind = FSOP_SETXATTR, .flags = flag, .ino = f, NAME(n), DATA(v))
    CU_ASSERT_EQUAL(X(0, "user.a", "one"), 0);
    CU_ASSERT_EQUAL(X(FSOP_F_XATTR_CREATE, "user.a", "two"), E_EXIST);
    CU_ASSERT_EQUAL(X(FSOP_F_XATTR_REPLACE, "user.b", "two"), E_NODATA);
    CU_ASSERT_EQUAL(X(FSOP_F_XATTR_REPLACE, "user.a", "two"), 0);
    CU_ASSERT_EQUAL(X(0, "user.empty", ""), 0);
    CU_ASSERT_EQUAL(X(0, "trusted.t", "t"), 0);
    CU_ASSERT_EQUAL(X(0, "system.posix_acl_access", "t"), E_NOTSUP);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_GETXATTR, .ino = f, NAME("user.a")), 0);
    CU_ASSERT(k.q.data_len == 3 && !memcmp(k.q.data, "two", 3));
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_GETXATTR, .ino = f, NAME("user.empty")), 0);
    CU_ASSERT_EQUAL(k.q.data_len, 0);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_GETXATTR, .ino = f, NAME("user.none")), E_NODATA);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_GETXATTR, .ino = f, NAME("trusted.t"), .uid = 3), E_NODATA);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_LISTXATTR, .ino = f), 0);
    CU_ASSERT_EQUAL(k.q.data_len, sizeof "user.a" + sizeof "user.empty" + sizeof "trusted.t");
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_LISTXATTR, .ino = f, .uid = 3), 0);
    CU_ASSERT_EQUAL(k.q.data_len, sizeof "user.a" + sizeof "user.empty");
    static char big[LIMIT_XATTR_VALUE + 1];
    memset(big, 'v', sizeof big);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SETXATTR, .ino = f, NAME("user.big"), .data = big,
                          .data_len = LIMIT_XATTR_VALUE + 1),
                    E_2BIG);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SETXATTR, .ino = f, NAME("user.big"), .data = big,
                          .data_len = LIMIT_XATTR_VALUE),
                    0);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_GETXATTR, .ino = f, NAME("user.big")), 0);
    CU_ASSERT(k.q.data_len == LIMIT_XATTR_VALUE && !memcmp(k.q.data, big, LIMIT_XATTR_VALUE));
    kit_check(&k);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_REMOVEXATTR, .ino = f, NAME("user.a")), 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_REMOVEXATTR, .ino = f, NAME("user.a")), E_NODATA);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SETXATTR, .ino = f, NAME("user.z"), .uid = 4), E_ACCES);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_UNLINK, .ino = INO_ROOT, NAME("f")), 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_RECLAIM, .ino = f), 0);
    kit_close(&k);
}

static void test_meta_sessions(void)
{
    kit_open(&k, 1000);
    struct session_id s = kit_session(&k);
    CU_ASSERT_EQUAL(s.v, k.index);
    CU_ASSERT(meta_session_exists(k.m, s));
    struct fsop mk = {.kind = FSOP_MKDIR, .session = s, .seq = 1, .ino = INO_ROOT, NAME("d")};
    CU_ASSERT_EQUAL(kit_apply(&k, mk), 0);
    struct ino d = k.r.reply.attr.ino;
    uint64_t at = k.r.reply.index;
    CU_ASSERT_EQUAL(kit_apply(&k, mk), 0); /* again: the same answer, nothing done */
    CU_ASSERT(k.r.reply.flags & FSOP_R_DUPLICATE);
    CU_ASSERT(k.r.reply.attr.ino.v == d.v && k.r.reply.index == at && k.r.n_changes == 0);
    mk.seq = 2;
    CU_ASSERT_EQUAL(kit_apply(&k, mk), E_EXIST);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_RMDIR, .session = s, .seq = 3, .ino = INO_ROOT, NAME("d")),
                    0);
    CU_ASSERT_EQUAL(kit_apply(&k, mk), E_EXIST); /* the answer it had, though it would work now */
    mk.seq = 4;
    mk.acked = 4;
    CU_ASSERT_EQUAL(kit_apply(&k, mk), 0);
    mk.seq = 3;
    mk.acked = 0;
    CU_ASSERT_EQUAL(kit_apply(&k, mk), E_PROTO);
    mk.seq = 4 + LIMIT_SESSION_WINDOW;
    CU_ASSERT_EQUAL(kit_apply(&k, mk), E_AGAIN);
    mk.seq--;
    CU_ASSERT_EQUAL(kit_apply(&k, mk), E_EXIST);
    mk.session.v = 4711;
    CU_ASSERT_EQUAL(kit_apply(&k, mk), E_SESSION_EXPIRED);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_REFRESH, .session = s, .seq = 9), E_PERM);
    struct session_id s2 = kit_session(&k);
    CU_ASSERT_EQUAL(meta_session_next(k.m, (struct session_id){0}).v, s.v);
    CU_ASSERT_EQUAL(meta_session_next(k.m, s).v, s2.v);
    CU_ASSERT_EQUAL(meta_session_next(k.m, s2).v, 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SESSION_CLOSE, .session = s2, .arg = s.v), E_PERM);
    kit_check(&k);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SESSION_CLOSE, .arg = s.v), 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SESSION_CLOSE, .arg = s.v), E_SESSION_EXPIRED);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SESSION_CLOSE, .session = s2, .seq = 1, .arg = s2.v), 0);
    for (int i = 0; i < 16; i++)
        (void)kit_session(&k);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SESSION_OPEN), E_AGAIN);
    kit_close(&k);
}

static void test_meta_writers(void)
{
    uint8_t b[200];
    kit_open(&k, 1000);
    struct session_id s = kit_session(&k), s2 = kit_session(&k);
    struct ino f = kit_make(&k, FSOP_MKNOD, INO_ROOT, "f"),
               g = kit_make(&k, FSOP_MKNOD, INO_ROOT, "g");
    uint64_t v = kit_attr(&k, f).version;
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_WRITE_OPEN, .ino = f), E_INVAL);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_WRITE_OPEN, .ino = f, .session = s, .seq = 1), 0);
    CU_ASSERT((k.r.reply.attr.flags & FSATTR_LIVE) && k.r.reply.attr.version == v + 1);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_WRITE_OPEN, .ino = f, .session = s, .seq = 2), 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_WRITE_OPEN, .ino = f, .session = s2, .seq = 1), 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_WRITE_OPEN, .ino = g, .session = s2, .seq = 2), 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_WRITE_OPEN, .ino = INO_ROOT, .session = s2, .seq = 3),
                    E_ISDIR);
    CU_ASSERT_EQUAL(meta_writer_next(k.m, s2, (struct ino){0}).v, f.v);
    CU_ASSERT_EQUAL(meta_writer_next(k.m, s2, f).v, g.v);
    CU_ASSERT_EQUAL(meta_writer_next(k.m, s2, g).v, 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SESSION_CLOSE, .arg = s2.v), E_BUSY);
    kit_check(&k);
    struct fsent e = {.mode = FSOP_S_IFREG | 0644, .size = 99, .fp = 5, .mtime_ns = 6};
    struct wbuf w = wbuf_make(b, sizeof b);
    fsop_ent_put(&w, &e);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_WRITE_CLOSE, .ino = f, .session = s, .data = b,
                          .data_len = (uint32_t)w.len),
                    0);
    CU_ASSERT(kit_attr(&k, f).flags & FSATTR_LIVE);
    CU_ASSERT_EQUAL(kit_attr(&k, f).fp, 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_WRITE_CLOSE, .ino = f, .session = s), E_BADF);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_UNLINK, .ino = INO_ROOT, NAME("f")), 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_RECLAIM, .ino = f), E_BUSY);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_WRITE_CLOSE, .ino = f, .session = s2, .data = b,
                          .data_len = (uint32_t)w.len),
                    0);
    struct fsattr a = kit_attr(&k, f);
    CU_ASSERT(!(a.flags & FSATTR_LIVE) && a.size == 99 && a.fp == 5 && a.version > v + 1);
    CU_ASSERT_EQUAL(k.r.changes[0].kind, META_CHANGE_DATA);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_RECLAIM, .ino = f), 0);
    CU_ASSERT_EQUAL(
        APPLY(.kind = FSOP_WRITE_OPEN, .ino = g, .session = s2, .seq = 4, .flags = FSOP_F_TRUNC),
        0);
    CU_ASSERT_EQUAL(k.r.reply.attr.size, 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_WRITE_CLOSE, .ino = g, .session = s2), 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SESSION_CLOSE, .arg = s2.v), 0);
    kit_close(&k);
}

static void test_meta_creates_for_a_writer(void)
{
    kit_open(&k, 1000);
    struct session_id s = kit_session(&k);
    struct fsop op = {.kind = FSOP_MKNOD, .ino = INO_ROOT, NAME("f"), .flags = FSOP_F_OPEN};
    CU_ASSERT_EQUAL(kit_apply(&k, op), E_INVAL); /* nobody writes it */
    op.session = s;
    op.mode = FSOP_S_IFIFO | 0600;
    CU_ASSERT_EQUAL(kit_apply(&k, op), E_INVAL);
    op.mode = 0400; /* for others */
    op.seq = 1;
    CU_ASSERT_EQUAL(kit_apply(&k, op), 0);
    struct ino f = k.r.reply.attr.ino;
    CU_ASSERT_TRUE(k.r.reply.attr.flags & FSATTR_LIVE);
    CU_ASSERT_EQUAL(meta_writer_next(k.m, s, (struct ino){0}).v, f.v);
    CU_ASSERT_EQUAL(kit_apply(&k, op), 0); /* repeated */
    CU_ASSERT_EQUAL(k.r.reply.attr.ino.v, f.v);
    kit_check(&k);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_WRITE_CLOSE, .ino = f, .session = s), 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_WRITE_CLOSE, .ino = f, .session = s), E_BADF);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SESSION_CLOSE, .arg = s.v), 0);
    kit_close(&k);
}

static void test_meta_mounts(void)
{
    kit_open(&k, 1000);
    struct fsop_mount_info info;
    kit_make(&k, FSOP_MKDIR, INO_ROOT, "data");
#define MOUNT(path, how) \
    APPLY(.kind = FSOP_MOUNT, NAME(path), DATA("dir:/x"), .arg = how, .size = 7)
    CU_ASSERT_EQUAL(MOUNT("/", FSOP_MOUNT_RO), E_NOTEMPTY);
    CU_ASSERT_EQUAL(MOUNT("data/x", FSOP_MOUNT_RO), E_INVAL);
    CU_ASSERT_EQUAL(MOUNT("/nope/x", FSOP_MOUNT_RO), E_NOENT);
    CU_ASSERT_EQUAL(MOUNT("/data", FSOP_MOUNT_RO), E_EXIST);
    CU_ASSERT_EQUAL(MOUNT("/data/x", 9), E_INVAL);
    CU_ASSERT_EQUAL(MOUNT("/data/x", FSOP_MOUNT_THROUGH), 0);
    CU_ASSERT_EQUAL(k.r.reply.value, 1);
    struct ino x = k.r.reply.attr.ino;
    CU_ASSERT(k.r.reply.attr.flags == FSATTR_MOUNT_ROOT && k.r.reply.attr.mount == 1);
    CU_ASSERT_EQUAL(meta_mount_get(k.m, 1, &info), 0);
    CU_ASSERT(info.root.v == x.v && info.path_len == 7 && !memcmp(info.uri, "dir:/x", 6) &&
              info.check_interval_ns == 7);
    CU_ASSERT_EQUAL(meta_mount_get(k.m, 2, &info), E_NOENT);
    CU_ASSERT_EQUAL(meta_mount_get(k.m, 0, &info), 0);
    CU_ASSERT_EQUAL(MOUNT("/data/x/in/deep", FSOP_MOUNT_RO), E_NOT_LOADED);
    CU_ASSERT_EQUAL(MOUNT("/data/x/in", FSOP_MOUNT_RO), 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_UNMOUNT, NAME("/data/x")), E_BUSY);
    kit_check(&k);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_UNMOUNT, NAME("/data/x/in")), 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_UNMOUNT, NAME("/data/x")), 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_UNMOUNT, NAME("/data/x")), E_NOENT);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_MOUNTS), 0);
    CU_ASSERT(k.q.data_len == 2 && base_get_u16(k.q.data) == 0);
    /* a mount point and what lies above it stay where they are */
    CU_ASSERT_EQUAL(MOUNT("/data/x", FSOP_MOUNT_META), 0);
    x = k.r.reply.attr.ino;
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_RMDIR, .ino = kit_find(&k, INO_ROOT, "data"), NAME("x")),
                    E_BUSY);
    CU_ASSERT_EQUAL(
        APPLY(.kind = FSOP_RENAME, .ino = INO_ROOT, NAME("data"), .ino2 = INO_ROOT, NAME2("moved")),
        E_BUSY);
    struct ino f = kit_make(&k, FSOP_MKNOD, x, "f");
    CU_ASSERT_EQUAL(kit_attr(&k, f).mount, 1);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_RENAME, .ino = x, NAME("f"), .ino2 = INO_ROOT, NAME2("f")),
                    E_XDEV);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_LINK, .ino = f, .ino2 = INO_ROOT, NAME("f")), E_XDEV);
    kit_make(&k, FSOP_MKNOD, x, "g");
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_UNLINK, .ino = x, NAME("g")), 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_UNMOUNT, NAME("/data/x")), 0);
    CU_ASSERT_EQUAL(meta_orphan_next(k.m, (struct ino){0}).v, 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_RMDIR, .ino = INO_ROOT, NAME("data")), 0);
    CU_ASSERT_EQUAL(MOUNT("/", FSOP_MOUNT_RO), 0);
    CU_ASSERT_EQUAL(MOUNT("/", FSOP_MOUNT_RO), E_BUSY);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MKDIR, .ino = INO_ROOT, NAME("d")), E_ROFS);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_LOOKUP, .ino = INO_ROOT, NAME("d")), E_NOT_LOADED);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_LOOKUP, .ino = INO_ROOT, NAME("d"), .flags = FSOP_F_ABSENT),
                    E_NOENT);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_UNMOUNT, NAME("/")), 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MKDIR, .ino = INO_ROOT, NAME("d")), 0);
    kit_close(&k);
}

static void test_meta_limits(void)
{
    kit_open(&k, 5);
    for (int i = 0; i < 4; i++) {
        char n[2] = {(char)('a' + i), 0};
        kit_make(&k, FSOP_MKNOD, INO_ROOT, n);
    }
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MKNOD, .ino = INO_ROOT, NAME("z")), E_NOSPC);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MOUNT, NAME("/z"), .arg = FSOP_MOUNT_META), E_NOSPC);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_STATFS), 0);
    struct fsop_statfs s;
    struct rbuf r = rbuf_make(k.q.data, k.q.data_len);
    CU_ASSERT_EQUAL(fsop_statfs_get(&r, &s), 0);
    CU_ASSERT(s.files == 5 && s.files_free == 0 && s.name_max == 255);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_VERSION, .arg = 99), E_VERSION);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_VERSION, .arg = 0), E_VERSION);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_VERSION, .arg = 1), 0);
    kit_close(&k);
}

/* A group that was recovered or restored gives numbers again that it gave in a past that is lost.
 */
static void test_meta_versions_of_eras(void)
{
    kit_open(&k, 1000);
    struct ino a = kit_make(&k, FSOP_MKNOD, INO_ROOT, "a"),
               b = kit_make(&k, FSOP_MKNOD, INO_ROOT, "b");
    uint64_t was = kit_attr(&k, a).version, era = 1795000000ull << 32 | 77;
    CU_ASSERT(was >= 1 && was < 100);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_LIMITS, .size = 1000, .arg = 10, .atime_ns = (int64_t)era),
                    0);
    CU_ASSERT_EQUAL(meta_era(k.m), era);
    CU_ASSERT_EQUAL(kit_attr(&k, a).version, was); /* what is cached of it is right */
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SETATTR, .ino = a, .valid = FSOP_SET_SIZE, .size = 1), 0);
    CU_ASSERT_EQUAL(kit_attr(&k, a).version, era + 1);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SETATTR, .ino = a, .valid = FSOP_SET_SIZE, .size = 2), 0);
    CU_ASSERT_EQUAL(kit_attr(&k, a).version, era + 2);
    CU_ASSERT(kit_attr(&k, kit_make(&k, FSOP_MKNOD, INO_ROOT, "c")).version > era);
    CU_ASSERT(kit_attr(&k, INO_ROOT).version > era);
    CU_ASSERT_EQUAL(kit_attr(&k, b).version, was);
    CU_ASSERT_EQUAL(
        APPLY(.kind = FSOP_LIMITS, .size = 1000, .arg = 10, .atime_ns = (int64_t)era - 1), 0);
    CU_ASSERT_EQUAL(meta_era(k.m), era); /* it does not go back */
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_LIMITS, .atime_ns = (int64_t)era + 1), E_INVAL);
    CU_ASSERT_EQUAL(meta_era(k.m), era + 1); /* whatever else is wrong */
    kit_close(&k);
}

UNIT_MAIN("meta", UNIT(test_meta_versions_of_eras), UNIT(test_meta_new_machine),
          UNIT(test_meta_create_and_lookup), UNIT(test_meta_symlink_and_nodes),
          UNIT(test_meta_links_and_orphans), UNIT(test_meta_rmdir), UNIT(test_meta_rename_cases),
          UNIT(test_meta_permissions), UNIT(test_meta_setattr), UNIT(test_meta_xattrs),
          UNIT(test_meta_sessions), UNIT(test_meta_writers), UNIT(test_meta_creates_for_a_writer),
          UNIT(test_meta_mounts), UNIT(test_meta_limits))
