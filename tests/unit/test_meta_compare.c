/* tests/unit/test_meta_compare.c - a copy is equal; a wrong record in it is noticed, and named. */
#include "core/meta_internal.h"
#include "tests/unit/test_meta.h"

static struct kit a, b;
static char first[512], all[8192];
static uint64_t n_said;

static void said(void *ctx, const char *text)
{
    (void)ctx;
    if (!n_said++)
        *all = 0, snprintf(first, sizeof first, "%s", text);
    snprintf(all + strlen(all), sizeof all - strlen(all), "%s\n", text);
}

static uint64_t compare(void)
{
    n_said = 0;
    first[0] = 0;
    uint64_t n = meta_compare(a.m, b.m, said, NULL);
    CU_ASSERT_EQUAL(n, n_said);
    return n;
}

static void begin(void)
{
    kit_open(&a, 1000);
    kit_open(&b, 1000);
    CU_ASSERT_EQUAL(
        kit_apply(&a, (struct fsop){.kind = FSOP_LIMITS, .size = 1000, .arg = 16, .mtime_ns = 0}),
        0);
    struct session_id s = kit_session(&a);
    CU_ASSERT(s.v != 0);
    struct ino d = kit_make(&a, FSOP_MKDIR, INO_ROOT, "dir");
    kit_make(&a, FSOP_MKNOD, d, "file");
    CU_ASSERT_EQUAL(
        kit_apply(
            &a,
            (struct fsop){.kind = FSOP_SYMLINK, .ino = INO_ROOT, NAME("link"), DATA("some/where")}),
        0);
    CU_ASSERT_EQUAL(
        kit_apply(&a,
                  (struct fsop){.kind = FSOP_SETXATTR, .ino = d, NAME("user.x"), DATA("value")}),
        0);
    CU_ASSERT_EQUAL(kit_copy(&a, &b, 50000), 0);
    CU_ASSERT_EQUAL(compare(), 0);
    CU_ASSERT_EQUAL(meta_hash(a.m), meta_hash(b.m));
}

static void end(void)
{
    meta_close(a.m);
    meta_close(b.m);
    mem_drop(&a.mem);
    mem_drop(&b.mem);
}

/* a bit of one record of b, in each table that has one */
static void test_meta_compare_every_table(void)
{
    begin();
    unsigned tables = 0;
    for (unsigned t = 0; t < TABLE_COUNT; t++) {
        const struct store_table *x = &b.m->st.t[t];
        if (x->high < 2)
            continue;
        tables++;
        for (uint32_t at = 0; at < x->def.record; at++) {
            uint8_t *rec = store_mut(&b.m->st, t, x->high - 1);
            if (t == TABLE_DENTRY && at >= offsetof(struct meta_dentry, name) &&
                at < offsetof(struct meta_dentry, name) + 4)
                continue; /* a reference to nowhere is not followed by tests */
            if ((t == TABLE_SESSION && at >= offsetof(struct meta_session, name) &&
                 at < offsetof(struct meta_session, name) + 4) ||
                (t == TABLE_INODE && at >= 72) || (t == TABLE_DENTRY && at >= 8 && at < 28))
                continue;
            rec[at] ^= 0x10;
            CU_ASSERT_NOT_EQUAL(compare(), 0);
            CU_ASSERT(first[0] != 0);
            rec[at] ^= 0x10;
        }
    }
    CU_ASSERT(tables > 8);
    CU_ASSERT_EQUAL(compare(), 0);
    end();
}

static void test_meta_compare_names(void)
{
    begin();
    struct meta_inode *i = store_mut(&b.m->st, TABLE_INODE, 3);
    i->size = 77;
    CU_ASSERT_EQUAL(compare(), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(first, "dir/file"));
    CU_ASSERT_PTR_NOT_NULL(strstr(first, "size is 0 in the first, 77 in the second"));
    i->size = 0;
    struct meta_session *s = store_mut(&b.m->st, TABLE_SESSION, 1);
    s->acked++;
    CU_ASSERT_EQUAL(compare(), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(first, "session "));
    CU_ASSERT_PTR_NOT_NULL(strstr(first, "acked is 0 in the first, 1 in the second"));
    s->acked--;
    struct meta_super *sup = store_mut(&b.m->st, TABLE_SUPER, 1);
    sup->era = 5;
    CU_ASSERT_EQUAL(compare(), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(first, "counters: era is 0 in the first, 5 in the second"));
    end();
}

/* what only one of them has */
static void test_meta_compare_one_more(void)
{
    begin();
    kit_make(&b, FSOP_MKDIR, INO_ROOT, "more");
    CU_ASSERT(compare() > 2);
    n_said = 0;
    CU_ASSERT(meta_compare(b.m, a.m, said, NULL) > 2);
    bool found = false;
    for (const char *p = all; (p = strstr(p, "\"more\"")); p++)
        found |= strstr(p, "only in the first") != NULL;
    CU_ASSERT(found);
    end();
}

UNIT_MAIN("meta_compare", UNIT(test_meta_compare_every_table), UNIT(test_meta_compare_names),
          UNIT(test_meta_compare_one_more))
