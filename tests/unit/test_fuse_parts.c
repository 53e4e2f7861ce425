/* tests/unit/test_fuse_parts.c - what needs no mount: options, the table of inodes, mount points.
 */
#include <sys/stat.h>
#include <unistd.h>
#include "fuse/fuse_mount.h"
#include "fuse/fuse_node.h"
#include "fuse/fuse_options.h"
#include "fuse/fuse_point.h"
#include "tests/unit/unit.h"

static void test_options_known(void)
{
    struct fuse_options o;
    char text[256];
    CU_ASSERT_EQUAL(fuse_options_parse(NULL, &o, text, sizeof text), 0);
    CU_ASSERT(!o.ro && !o.kernel[0] && o.readahead_kb == -1 && o.attr_ns > 0);
    CU_ASSERT_EQUAL(fuse_options_parse("ro,allow_other,noatime,attr_timeout=2.5,entry_timeout=0,,"
                                       "max_read=65536,fsname=m:1,direct_io,x-systemd.automount,"
                                       "_netdev,default_permissions,readahead_kb=0,",
                                       &o, text, sizeof text),
                    0);
    CU_ASSERT(o.ro && o.is_other_allowed && o.direct_io && !o.kernel_cache);
    CU_ASSERT_EQUAL(o.attr_ns, 2500000000);
    CU_ASSERT_EQUAL(o.entry_ns, 0);
    CU_ASSERT_EQUAL(o.max_read, 65536);
    CU_ASSERT_EQUAL(o.readahead_kb, 0);
    CU_ASSERT_STRING_EQUAL(o.fsname, "m:1");
    CU_ASSERT_STRING_EQUAL(o.kernel, "ro,allow_other,noatime");
    CU_ASSERT_EQUAL(fuse_options_parse("ro,rw", &o, text, sizeof text), 0);
    CU_ASSERT(!o.ro);
}

static void test_options_refused(void)
{
    static const char *const bad[] = {"attr_timeot=1",    "attr_timeout",
                                      "attr_timeout=x",   "attr_timeout=1.2.3",
                                      "attr_timeout=-1",  "max_read=1.5",
                                      "max_read=1",       "max_read=99999999",
                                      "attr_timeout=1e3", "allow_other=1",
                                      "fsname=",          "zzzzzzzzzzzz",
                                      "direct_io=yes",    "=",
                                      "ro,,what,rw",      "attr_timeout=99999999999999999999"};
    struct fuse_options o;
    char text[256];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CU_ASSERT_EQUAL(fuse_options_parse(bad[i], &o, text, sizeof text), E_CONFIG);
        CU_ASSERT(text[0]);
    }
    CU_ASSERT(fuse_options_parse("attr_timeot=1", &o, text, sizeof text) < 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "did you mean 'attr_timeout'"));
    CU_ASSERT(fuse_options_parse("allow_othr", &o, text, sizeof text) < 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "'allow_other'"));
    char many[8192] = "";
    for (int i = 0; i < 500; i++)
        strcat(many, "noatime,");
    CU_ASSERT_EQUAL(fuse_options_parse(many, &o, text, sizeof text), E_CONFIG);
}

static void test_nodes_count(void)
{
    struct mem m;
    struct fuse_nodes t;
    unit_mem(&m, 16 << 20);
    CU_ASSERT_EQUAL_FATAL(fuse_node_init(&t, &m), 0);
    for (uint64_t i = 1; i <= 5000; i++) {
        CU_ASSERT_PTR_NOT_NULL_FATAL(fuse_node_ref(&t, (struct ino){i}));
        if (i % 2)
            fuse_node_ref(&t, (struct ino){i});
    }
    CU_ASSERT_EQUAL(t.count, 5000);
    for (uint64_t i = 1; i <= 5000; i++)
        fuse_node_forget(&t, (struct ino){i}, 1);
    CU_ASSERT_EQUAL(t.count, 2500);
    CU_ASSERT_PTR_NULL(fuse_node_find(&t, (struct ino){2}));
    CU_ASSERT_PTR_NOT_NULL(fuse_node_find(&t, (struct ino){3}));
    /* an open handle keeps its node after the last forget */
    struct fuse_node *n = fuse_node_open(&t, (struct ino){3});
    fuse_node_forget(&t, (struct ino){3}, 100);
    CU_ASSERT_PTR_EQUAL(fuse_node_find(&t, (struct ino){3}), n);
    fuse_node_close(&t, n);
    CU_ASSERT_PTR_NULL(fuse_node_find(&t, (struct ino){3}));
    fuse_node_drop(&t);
    mem_drop(&m);
}

static void test_nodes_walk_survives_growth(void)
{
    enum { N = 3000, CAP = 64 };
    static bool seen[2 * N + 1];
    struct mem m;
    struct fuse_nodes t;
    struct ino got[CAP];
    uint64_t cursor = 0;
    unit_mem(&m, 16 << 20);
    CU_ASSERT_EQUAL_FATAL(fuse_node_init(&t, &m), 0);
    for (uint64_t i = 1; i <= N; i++)
        CU_ASSERT_PTR_NOT_NULL(fuse_node_ref(&t, (struct ino){i}));
    uint64_t more = N, before = t.n_buckets;
    do {
        size_t n = fuse_node_walk(&t, &cursor, got, CAP);
        for (size_t k = 0; k < n; k++)
            seen[got[k].v] = true;
        for (int k = 0; k < 100 && more < 2 * N; k++) /* grows under the walk */
            CU_ASSERT_PTR_NOT_NULL(fuse_node_ref(&t, (struct ino){++more}));
    } while (cursor);
    CU_ASSERT(t.n_buckets > before);
    int missed = 0;
    for (int i = 1; i <= N; i++)
        missed += !seen[i];
    CU_ASSERT_EQUAL(missed, 0);
    fuse_node_drop(&t);
    mem_drop(&m);
}

static void test_names_never_expire_early(void)
{
    struct mem m;
    struct fuse_nodes t;
    char name[32];
    unit_mem(&m, 16 << 20);
    CU_ASSERT_EQUAL_FATAL(fuse_node_init(&t, &m), 0);
    CU_ASSERT_PTR_NOT_NULL(fuse_node_ref(&t, INO_ROOT));
    int early = 0;
    for (int i = 0; i < 20000; i++) {
        size_t n = (size_t)snprintf(name, sizeof name, "n%d", i);
        fuse_node_name_given(&t, INO_ROOT, name, n, 1000 + i);
    }
    for (int i = 0; i < 20000; i++) {
        size_t n = (size_t)snprintf(name, sizeof name, "n%d", i);
        early += fuse_node_name_until(&t, INO_ROOT, name, n) < 1000 + i;
    }
    CU_ASSERT_EQUAL(early, 0);
    CU_ASSERT_EQUAL(fuse_node_find(&t, INO_ROOT)->entries_until_ns, 1000 + 19999);
    /* most names that were never given are known not to be there */
    int there = 0;
    for (int i = 0; i < 1000; i++) {
        size_t n = (size_t)snprintf(name, sizeof name, "other%d", i);
        there += fuse_node_name_until(&t, INO_ROOT, name, n) != 0;
    }
    CU_ASSERT(there < 400);
    fuse_node_drop(&t);
    mem_drop(&m);
}

static void test_mount_points(void)
{
    char abs[LIMIT_PATH], text[512];
    struct fuse_point p;
    CU_ASSERT_EQUAL(fuse_point_resolve("/", abs, sizeof abs), 0);
    CU_ASSERT_STRING_EQUAL(abs, "/");
    CU_ASSERT_EQUAL(fuse_point_resolve("/usr/./bin/../nothing-here/", abs, sizeof abs), 0);
    CU_ASSERT_STRING_EQUAL(abs, "/usr/nothing-here");
    CU_ASSERT_EQUAL(fuse_point_resolve("/no/such/parent/x", abs, sizeof abs), E_NOENT);
    CU_ASSERT_EQUAL(fuse_point_resolve("", abs, sizeof abs), E_NOENT);
    CU_ASSERT_EQUAL(fuse_point_resolve("/usr/bin", abs, 4), E_RANGE);
    CU_ASSERT(fuse_point_find("/proc", &p));
    CU_ASSERT_STRING_EQUAL(p.type, "proc");
    CU_ASSERT(!fuse_point_find("/usr/nothing-here", &p));
    if (fuse_point_check("/proc", false, false, text, sizeof text) == FUSE_MOUNT_NO_FUSE)
        return;
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "busy"));
    CU_ASSERT_EQUAL(fuse_point_check("/nothing-here", false, false, text, sizeof text),
                    FUSE_MOUNT_FAILED);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "mkdir -p /nothing-here"));
    CU_ASSERT_EQUAL(fuse_point_check("/etc/passwd", false, false, text, sizeof text),
                    FUSE_MOUNT_FAILED);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "not a directory"));
    CU_ASSERT_EQUAL(fuse_point_check("/etc", false, false, text, sizeof text), FUSE_MOUNT_FAILED);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "nonempty"));
    CU_ASSERT_EQUAL(fuse_point_check("/etc", true, false, text, sizeof text), FUSE_MOUNT_DONE);
}

UNIT_MAIN("fuse_parts", UNIT(test_options_known), UNIT(test_options_refused),
          UNIT(test_nodes_count), UNIT(test_nodes_walk_survives_growth),
          UNIT(test_names_never_expire_early), UNIT(test_mount_points))
