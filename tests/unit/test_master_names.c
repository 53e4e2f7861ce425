/* tests/unit/test_master_names.c - listings past the tree, and listings that compare their entries
 * in one piece of work. */
#include "tests/unit/master_world.h"

static struct wcall a;

static uint64_t applied(void)
{
    struct meta_stats st;
    meta_stats(master_meta(wmaster), &st);
    return st.applied;
}

static uint32_t inodes(void)
{
    struct meta_stats st;
    meta_stats(master_meta(wmaster), &st);
    return (uint32_t)st.inodes;
}

static void files(int n)
{
    for (int i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%02d", i);
        wu_add(name, FSOP_S_IFREG | 0644, 1);
    }
}

/* one batch after cookie; each name's bit is set in *seen, which must not have it */
static int batch(struct wc *c, uint64_t *cookie, uint32_t mode, uint64_t *seen, bool *bare)
{
    struct fsop op = {.kind = FSOP_READDIR, .ino = INO_ROOT, .arg = *cookie, .mode = mode};
    int n = 0, err = w_fs(c, op, &a);
    if (err)
        return err;
    struct rbuf r = rbuf_make(a.reply.data, a.reply.data_len);
    struct fsop_dirent d;
    *bare = true;
    while (rbuf_left(&r) && fsop_dirent_get(&r, &d) == 0) {
        uint64_t bit = d.name[0] == 'f' ? 1ULL << ((d.name[1] - '0') * 10 + d.name[2] - '0') : 0;
        CU_ASSERT(!(*seen & bit));
        *seen |= bit;
        *bare = *bare && (d.attr.flags & FSATTR_BARE);
        *cookie = d.cookie;
        n++;
    }
    return n;
}

static void test_master_names_pass_the_tree(void)
{
    w_open(FSOP_MOUNT_THROUGH, 1000 * MS);
    files(20);
    struct wc *c = wc_new(0, true);
    uint64_t cookie = 0, seen = 0, before = applied();
    uint32_t had = inodes();
    bool bare;
    CU_ASSERT_EQUAL(batch(c, &cookie, 1, &seen, &bare), 3);
    CU_ASSERT(bare && !(a.reply.flags & FSOP_R_EOF) && a.reply.lease_ns == 0);
    CU_ASSERT_EQUAL(applied(), before);
    /* somebody loads it: the listing goes on where it was, also on a new master */
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 20);
    CU_ASSERT_EQUAL(inodes(), had + 20);
    w_master_crash();
    w_run_ms(300);
    w_master_start();
    wc_dial(c);
    for (int i = 0; i < 20 && !(a.reply.flags & FSOP_R_EOF); i++) {
        CU_ASSERT(batch(c, &cookie, (uint32_t)i & 1, &seen, &bare) >= 0);
        CU_ASSERT(bare);
    }
    CU_ASSERT_EQUAL(seen, (1ULL << 20) - 1);
    w_close();
}

static void test_master_names_of_what_is_loaded_come_from_the_tree(void)
{
    w_open(FSOP_MOUNT_THROUGH, 60000 * MS);
    files(5);
    struct wc *c = wc_new(0, true);
    uint64_t cookie = 0, seen = 0;
    bool bare;
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 5);
    CU_ASSERT_EQUAL(batch(c, &cookie, 1, &seen, &bare), 5);
    CU_ASSERT(!bare && wu.count[UFS_NAMES] == 0);
    w_close();
}

static void test_master_names_that_cannot_be_listed(void)
{
    w_open(FSOP_MOUNT_THROUGH, 1000 * MS);
    files(5);
    struct wc *c = wc_new(0, true);
    uint64_t cookie = 0, seen = 0;
    bool bare;
    wu.fail = E_NOTSUP; /* an under-store without places */
    wu.fail_kind = UFS_NAMES;
    CU_ASSERT_EQUAL(batch(c, &cookie, 1, &seen, &bare), 5);
    CU_ASSERT(!bare && seen == 31);
    cookie = FSOP_COOKIE_BELOW | 2;
    wu.fail = E_IO;
    CU_ASSERT_EQUAL(batch(c, &cookie, 1, &seen, &bare), E_IO);
    w_close();
}

static void test_master_neighbours_are_brought_at_once(void)
{
    w_open(FSOP_MOUNT_THROUGH, 60000 * MS);
    files(20);
    struct wc *c = wc_new(0, true);
    struct fsop op = {
        .kind = FSOP_LOOKUP, .ino = INO_ROOT, .name = "f03", .name_len = 3, .mode = 1};
    CU_ASSERT_EQUAL(w_fs(c, op, &a), 0);
    unsigned stats = wu.count[UFS_STAT];
    for (int i = 0; i < 20; i++) {
        char name[8];
        snprintf(name, sizeof name, "f%02d", i);
        (void)w_lookup(c, INO_ROOT, name, 0);
    }
    CU_ASSERT_EQUAL(wu.count[UFS_STAT], stats);
    w_close();
}

static void test_master_listing_compares_its_entries_together(void)
{
    w_open(FSOP_MOUNT_THROUGH, 1000 * MS);
    files(20);
    struct wc *c = wc_new(0, true);
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 20);
    w_run_ms(1500);
    uint64_t cookie = 0, seen = 0, before = applied();
    bool bare;
    unsigned stats = wu.count[UFS_STAT];
    CU_ASSERT_EQUAL(batch(c, &cookie, 0, &seen, &bare), 20);
    CU_ASSERT(a.reply.lease_ns > 0 && a.reply.lease_ns <= 1000 * MS);
    CU_ASSERT_EQUAL(wu.count[UFS_LOOK], 1);
    CU_ASSERT_EQUAL(wu.count[UFS_STAT], stats + 1); /* the directory's own */
    CU_ASSERT_EQUAL(applied(), before);             /* nothing has changed */
    /* changed in place: the directory does not tell */
    w_run_ms(1500);
    wu_find("f07")->size = 99;
    wu_touch(wu_find("f07"));
    cookie = seen = 0;
    CU_ASSERT_EQUAL(batch(c, &cookie, 0, &seen, &bare), 20);
    CU_ASSERT_EQUAL(applied(), before + 1);
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_LOOKUP, INO_ROOT, "f07"), &a), 0);
    CU_ASSERT_EQUAL(a.reply.attr.size, 99);
    w_close();
}

static void test_master_listing_is_of_use_for_a_while(void)
{
    w_open(FSOP_MOUNT_THROUGH, 1000 * MS);
    files(20);
    struct wc *c = wc_new(0, true);
    uint64_t cookie = 0, seen = 0;
    bool bare;
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 20);
    w_run_ms(300);
    CU_ASSERT_EQUAL(batch(c, &cookie, 0, &seen, &bare), 20);
    CU_ASSERT_EQUAL(wu.count[UFS_LOOK], 0);
    w_run_ms(500); /* nothing is due, but soon */
    cookie = seen = 0;
    CU_ASSERT_EQUAL(batch(c, &cookie, 0, &seen, &bare), 20);
    CU_ASSERT_EQUAL(wu.count[UFS_LOOK], 1);
    CU_ASSERT(a.reply.lease_ns > 500 * MS);
    w_close();
}

/* what one look had no room for is looked at next, not taken for compared */
static void test_master_listing_compares_what_did_not_fit(void)
{
    w_open(FSOP_MOUNT_THROUGH, 1000 * MS);
    files(20);
    struct wc *c = wc_new(0, true);
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 20);
    w_run_ms(1500);
    wu.look = 6;
    for (int i = 0; i < 20; i += 2) {
        char name[8];
        snprintf(name, sizeof name, "f%02d", i);
        wu_find(name)->size = 99;
        wu_touch(wu_find(name));
    }
    uint64_t cookie = 0, seen = 0;
    bool bare;
    CU_ASSERT_EQUAL(batch(c, &cookie, 0, &seen, &bare), 20);
    CU_ASSERT(a.reply.lease_ns > 0);
    CU_ASSERT_EQUAL(wu.count[UFS_LOOK], 4);
    struct rbuf b = rbuf_make(a.reply.data, a.reply.data_len);
    struct fsop_dirent d;
    unsigned changed = 0;
    while (rbuf_left(&b) && fsop_dirent_get(&b, &d) == 0)
        changed += d.attr.size == 99;
    CU_ASSERT_EQUAL(changed, 10);
    w_close();
}

static void test_master_listing_that_cannot_compare_gives_no_lease(void)
{
    w_open(FSOP_MOUNT_THROUGH, 1000 * MS);
    files(20);
    struct wc *c = wc_new(0, true);
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 20);
    w_run_ms(1500);
    wu.fail = E_IO;
    wu.fail_kind = UFS_LOOK;
    uint64_t cookie = 0, seen = 0;
    bool bare;
    CU_ASSERT_EQUAL(batch(c, &cookie, 0, &seen, &bare), 20);
    CU_ASSERT_EQUAL(a.reply.lease_ns, 0);
    w_close();
}

/* A change outside is shown by the listing that has found it, also when something is changed
 * through us while it looks: this file, another one, or one that shares its place in the state. */
static void test_master_listing_shows_what_it_found(void)
{
    static struct wcall b;
    enum { THIS, OTHER, PLACE, HOW_COUNT };
    for (int how = THIS; how < HOW_COUNT; how++) {
        w_config(FSOP_MOUNT_THROUGH, 1000 * MS);
        wmounts[1] = (struct master_mount){"/m", "", FSOP_MOUNT_META, 0};
        wcfg.n_mounts = 2;
        w_master_start();
        wu_add("d", FSOP_S_IFDIR | 0755, 0);
        struct wu_file *f = wu_add("d/f", FSOP_S_IFREG | 0644, 1);
        struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
        struct ino d = w_lookup(c1, INO_ROOT, "d", 0), m = w_lookup(c1, INO_ROOT, "m", 0);
        struct fsop set = {.kind = FSOP_SETATTR,
                           .ino = w_lookup(c1, d, "f", 0),
                           .valid = FSOP_SET_MODE,
                           .mode = 0600};
        struct ino other = set.ino;
        for (int i = 0; how == PLACE ? i == 0 || (other.v - set.ino.v) % 256 : how > i; i++) {
            char name[16];
            snprintf(name, sizeof name, "%d", i);
            struct fsop make = w_name(FSOP_MKNOD, m, name);
            make.acked = c1->seq + 1;
            CU_ASSERT_EQUAL(w_fs(c1, make, &a), 0);
            other = a.reply.attr.ino;
        }
        set.ino = other;
        CU_ASSERT_EQUAL(w_readdir(c1, d), 1);
        w_run_ms(1500);
        f->size = 9;
        wu_touch(f);
        wu.latency_ns = 400 * MS;
        struct fsop list = {.kind = FSOP_READDIR, .ino = d};
        unsigned looks = wu.count[UFS_LOOK];
        w_send(c2, &list, &b);
        for (int i = 0; i < 3000 && wu.count[UFS_LOOK] == looks; i++)
            w_run_ms(1);
        wu.latency_ns = 2 * MS;
        CU_ASSERT_EQUAL(w_fs(c1, set, &a), 0);
        CU_ASSERT_FALSE(b.done);
        CU_ASSERT(w_wait(&b, 5000) && b.err == 0);
        struct rbuf r = rbuf_make(b.reply.data, b.reply.data_len);
        struct fsop_dirent e;
        CU_ASSERT_EQUAL(fsop_dirent_get(&r, &e), 0);
        CU_ASSERT_EQUAL(e.attr.size, 9);
        CU_ASSERT_EQUAL(e.attr.mode & 07777, how == THIS ? 0600 : 0644);
        CU_ASSERT(b.reply.lease_ns > 0);
        CU_ASSERT_EQUAL(wu.count[UFS_LOOK], looks + 1 + (how == PLACE));
        w_close();
    }
}

/* A directory's mode was looked at, then changed through us, back to what it was when the look
 * began: the listing that follows does not bring back what was seen. */
static void test_master_names_listing_undoes_no_mode(void)
{
    static struct wcall b;
    w_open(FSOP_MOUNT_THROUGH, 60000 * MS);
    struct wu_file *d = wu_add("d", FSOP_S_IFDIR | 0755, 0);
    wu_add("d/f", FSOP_S_IFREG | 0644, 1);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    struct ino ino = w_lookup(c1, INO_ROOT, "d", 0);
    struct fsop set = {.kind = FSOP_SETATTR, .ino = ino, .valid = FSOP_SET_MODE};
    wu.latency_ns = 400 * MS;
    unsigned stats = wu.count[UFS_STAT];
    struct fsop list = {.kind = FSOP_READDIR, .ino = ino};
    w_send(c2, &list, &b);
    w_run_ms(50);
    wu.latency_ns = 2 * MS;
    set.mode = 0711;
    CU_ASSERT_EQUAL(w_fs(c1, set, &a), 0);
    CU_ASSERT_EQUAL(wu.count[UFS_STAT], stats);
    wu.latency_ns = 400 * MS;
    for (int i = 0; i < 400 && wu.count[UFS_STAT] == stats; i++)
        w_run_ms(1);
    wu.latency_ns = 2 * MS;
    set.mode = 0755;
    CU_ASSERT_EQUAL(w_fs(c1, set, &a), 0);
    CU_ASSERT_FALSE(b.done);
    CU_ASSERT(w_wait(&b, 1000) && b.err == 0);
    struct fsop get = {.kind = FSOP_GETATTR, .ino = ino};
    CU_ASSERT_EQUAL(w_fs(c2, get, &b), 0);
    CU_ASSERT_EQUAL(b.reply.attr.mode & 07777, 0755);
    CU_ASSERT_EQUAL(d->mode & 07777, 0755);
    w_close();
}

/* Several listings wait for memory: they try again a tick later, not because of each other. */
static void test_master_listings_wait_for_memory(void)
{
    static struct wcall w[3];
    w_open(FSOP_MOUNT_THROUGH, 1000 * MS);
    files(20);
    struct wc *c = wc_new(0, true);
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 20);
    w_run_ms(1500);
    struct mem *mem = sim_mem(sim_node_find(ws, "master"));
    uint64_t budget = mem->budget;
    mem->budget = mem->used + mem->promised + 2 * LIMIT_BATCH; /* a comparison takes four */
    for (size_t i = 0; i < ARRAY_LEN(w); i++) {
        struct fsop op = {.kind = FSOP_READDIR, .ino = INO_ROOT};
        w_send(c, &op, &w[i]);
    }
    w_run_ms(500);
    CU_ASSERT_EQUAL(wu.count[UFS_LOOK], 0);
    mem->budget = budget;
    for (size_t i = 0; i < ARRAY_LEN(w); i++) {
        CU_ASSERT(w_wait(&w[i], 5000));
        CU_ASSERT_EQUAL(w[i].err, 0);
    }
    CU_ASSERT(wu.count[UFS_LOOK] > 0);
    w_close();
}

UNIT_MAIN("master_names", UNIT(test_master_names_pass_the_tree),
          UNIT(test_master_names_of_what_is_loaded_come_from_the_tree),
          UNIT(test_master_names_that_cannot_be_listed),
          UNIT(test_master_neighbours_are_brought_at_once),
          UNIT(test_master_listing_compares_its_entries_together),
          UNIT(test_master_listing_is_of_use_for_a_while),
          UNIT(test_master_listing_compares_what_did_not_fit),
          UNIT(test_master_listing_that_cannot_compare_gives_no_lease),
          UNIT(test_master_listing_shows_what_it_found),
          UNIT(test_master_names_listing_undoes_no_mode),
          UNIT(test_master_listings_wait_for_memory))
