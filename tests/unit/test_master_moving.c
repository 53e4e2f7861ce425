/* tests/unit/test_master_moving.c - questions while an effect has moved what they are about, and
 * its outcome is not in the log yet: the under-store has already, at the old path, another file or
 * nothing. */
#include "tests/unit/master_world.h"

static struct wcall a, b;

/* from -> to in the root; ret once the under-store has it, held back before its outcome */
static void rename_held(struct wc *c, const char *from, const char *to)
{
    struct fsop op = w_name(FSOP_RENAME, INO_ROOT, from);
    unsigned before = wu.count[UFS_RENAME];
    op.ino2 = INO_ROOT;
    op.name2 = to;
    op.name2_len = (uint32_t)strlen(to);
    wu.hold = true;
    wu.hold_kind = UFS_RENAME;
    w_send(c, &op, &a);
    for (int i = 0; i < 2000 && wu.count[UFS_RENAME] == before; i++)
        w_run_ms(1);
    CU_ASSERT_EQUAL(wu.count[UFS_RENAME], before + 1);
    CU_ASSERT_FALSE(a.done);
}

static void effect_ends(void)
{
    wu.hold = false;
    CU_ASSERT(w_wait(&a, 5000) && a.err == 0);
}

static void test_master_moving_a_written_file_is_replaced(void)
{
    w_open(FSOP_MOUNT_THROUGH, 1000 * MS);
    wu_add("f", FSOP_S_IFREG | 0644, 7);
    wu_add("g", FSOP_S_IFREG | 0644, 998);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    struct ino f = w_lookup(c1, INO_ROOT, "f", 0);
    (void)w_lookup(c1, INO_ROOT, "g", 0);
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = f}, &b), 0);
    rename_held(c1, "g", "f");
    struct fsop op = {.kind = FSOP_GETATTR, .ino = f};
    w_send(c2, &op, &b);
    w_run_ms(300);
    CU_ASSERT_FALSE(b.done); /* 998 bytes are what is there now */
    effect_ends();
    CU_ASSERT(w_wait(&b, 5000) && b.err == 0);
    CU_ASSERT_EQUAL(b.reply.attr.size, 7);
    CU_ASSERT(b.reply.attr.flags & FSATTR_LIVE);
    w_close();
}

/* replaced from outside there is nothing to wait for */
static void test_master_moving_a_written_file_is_replaced_from_outside(void)
{
    w_open(FSOP_MOUNT_THROUGH, 1000 * MS);
    struct wu_file *f = wu_add("f", FSOP_S_IFREG | 0644, 7);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    struct ino ino = w_lookup(c1, INO_ROOT, "f", 0);
    struct fsop get = {.kind = FSOP_GETATTR, .ino = ino};
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = ino}, &b), 0);
    f->ino = ++wu.next_ino;
    f->size = 9;
    wu_touch(f);
    CU_ASSERT_EQUAL(w_fs(c2, get, &b), 0);
    CU_ASSERT_EQUAL(b.reply.attr.size, 9);
    f->mode = FSOP_S_IFLNK | 0777; /* a link's length is no size of a file */
    f->size = 5;
    wu_touch(f);
    CU_ASSERT_EQUAL(w_fs(c2, get, &b), 0);
    CU_ASSERT(b.reply.attr.size == 7 && (b.reply.attr.mode & FSOP_S_IFMT) == FSOP_S_IFREG);
    w_close();
}

/* The recorded size is from before the writing: nobody may take it for the one it has. */
static void test_master_moving_a_written_file_cannot_be_looked_at(void)
{
    w_open(FSOP_MOUNT_THROUGH, 1000 * MS);
    struct wu_file *f = wu_add("f", FSOP_S_IFREG | 0644, 7);
    struct wc *c = wc_new(0, true);
    struct ino ino = w_lookup(c, INO_ROOT, "f", 0);
    CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = ino}, &b), 0);
    f->size = 9;
    wu_touch(f);
    wu.fail_kind = UFS_STAT;
    wu.fail = E_IO;
    CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = FSOP_GETATTR, .ino = ino}, &b), E_IO);
    CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = FSOP_GETATTR, .ino = ino}, &b), 0);
    CU_ASSERT_EQUAL(b.reply.attr.size, 9);
    w_close();
}

static void test_master_moving_a_directory_with_unknown_names(void)
{
    static const int found[] = {E_NOENT, E_LOOP, E_NOTDIR};
    for (size_t i = 0; i < ARRAY_LEN(found); i++) {
        w_open(FSOP_MOUNT_THROUGH, 1000 * MS);
        wu_add("d", FSOP_S_IFDIR | 0755, 0);
        wu_add("d/x", FSOP_S_IFREG | 0644, 3);
        struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
        struct ino d = w_lookup(c1, INO_ROOT, "d", 0);
        rename_held(c1, "d", "e");
        struct fsop op = w_name(FSOP_LOOKUP, d, "x");
        wu.fail_kind = UFS_STAT; /* whatever has taken its place by now */
        wu.fail = found[i] == E_NOENT ? 0 : found[i];
        w_send(c2, &op, &b);
        w_run_ms(300);
        CU_ASSERT_FALSE(b.done);
        effect_ends();
        CU_ASSERT(w_wait(&b, 5000) && b.err == 0);
        CU_ASSERT_EQUAL(b.reply.attr.size, 3);
        w_close();
    }
}

/* How much was written is not known, as the look at its end failed, and a rename is in the way of
 * the next one: nobody is told the size of before. */
static void test_master_moving_a_file_whose_end_is_not_known(void)
{
    static const uint16_t asks[] = {FSOP_GETATTR, FSOP_OPEN, FSOP_LOOKUP, FSOP_READDIR};
    for (unsigned i = 0; i < 2 * ARRAY_LEN(asks); i++) {
        w_open(FSOP_MOUNT_THROUGH, 1000 * MS);
        struct wu_file *f = wu_add("f", FSOP_S_IFREG | 0644, 1);
        struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true), *c3 = wc_new(2, true);
        struct ino ino = w_lookup(c1, INO_ROOT, "f", 0);
        CU_ASSERT_EQUAL(w_readdir(c1, INO_ROOT), 1); /* that there is no g is known */
        CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = ino}, &b), 0);
        f->size = 100; /* acknowledged by the worker */
        wu_touch(f);
        wu.fail = E_IO;
        wu.fail_kind = UFS_STAT;
        if (i % 2) {
            sim_node_crash(sim_node_find(ws, "client0"));
            w_run_ms(4000);
        } else {
            CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_WRITE_CLOSE, .ino = ino}, &b), 0);
        }
        CU_ASSERT_EQUAL(wu.fail, 0);
        rename_held(c2, "f", "g");
        struct fsop op = w_name(asks[i / 2], INO_ROOT, "f");
        op.mode = asks[i / 2] == FSOP_OPEN ? FSOP_ACCESS_R : 0;
        if (asks[i / 2] == FSOP_GETATTR || asks[i / 2] == FSOP_OPEN)
            op.ino = ino;
        w_send(c3, &op, &b);
        w_run_ms(300);
        if (asks[i / 2] == FSOP_READDIR) { /* shown as it is known, and not for long */
            CU_ASSERT(b.done && b.err == 0 && b.reply.lease_ns == 0);
            effect_ends();
        } else {
            CU_ASSERT_FALSE(b.done);
            effect_ends();
            CU_ASSERT(w_wait(&b, 5000));
            /* by its name it is not there any more */
            CU_ASSERT_EQUAL(b.err, asks[i / 2] == FSOP_LOOKUP ? E_NOENT : 0);
            CU_ASSERT(b.err || b.reply.attr.size == 100);
        }
        w_close();
    }
}

/* A name is asked for below while its directory is elsewhere, and by the answer it is back. */
static void test_master_moving_there_and_back(void)
{
    w_open(FSOP_MOUNT_THROUGH, 1000 * MS);
    wu_add("d", FSOP_S_IFDIR | 0755, 0);
    wu_add("d/x", FSOP_S_IFREG | 0644, 3);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    struct ino d = w_lookup(c1, INO_ROOT, "d", 0);
    int64_t fast = wu.latency_ns;
    rename_held(c1, "d", "e");
    struct fsop op = w_name(FSOP_LOOKUP, d, "x"), back = w_name(FSOP_RENAME, INO_ROOT, "e");
    wu.latency_ns = 400 * MS;
    w_send(c2, &op, &b);
    w_run_ms(100);
    wu.latency_ns = 1600 * MS; /* of the answer */
    w_run_ms(150);
    wu.latency_ns = fast;
    effect_ends();
    back.ino2 = INO_ROOT;
    back.name2 = "d";
    back.name2_len = 1;
    CU_ASSERT_EQUAL(w_fs(c1, back, &a), 0);
    CU_ASSERT_FALSE(b.done);
    CU_ASSERT(w_wait(&b, 5000) && b.err == 0);
    CU_ASSERT_EQUAL(b.reply.attr.size, 3);
    w_close();
}

/* What somebody outside has changed is found, though its directory is changed through us during the
 * look. */
static void test_master_moving_looked_at_under_a_change_above(void)
{
    w_open(FSOP_MOUNT_THROUGH, 0);
    wu_add("d", FSOP_S_IFDIR | 0755, 0);
    struct wu_file *f = wu_add("d/x", FSOP_S_IFREG | 0644, 3);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    struct ino d = w_lookup(c1, INO_ROOT, "d", 0), x = w_lookup(c1, d, "x", 0);
    int64_t fast = wu.latency_ns;
    f->size = 9;
    wu_touch(f);
    struct fsop op = {.kind = FSOP_GETATTR, .ino = x};
    struct fsop chmod = {.kind = FSOP_SETATTR, .ino = d, .valid = FSOP_SET_MODE, .mode = 0700};
    wu.latency_ns = 400 * MS;
    w_send(c2, &op, &b);
    w_run_ms(50);
    wu.latency_ns = fast;
    CU_ASSERT_EQUAL(w_fs(c1, chmod, &a), 0);
    CU_ASSERT_FALSE(b.done);
    CU_ASSERT(w_wait(&b, 5000) && b.err == 0);
    CU_ASSERT_EQUAL(b.reply.attr.size, 9);
    w_close();
}

/* Others that are changed meanwhile, however many, are no reason to look again. */
static void test_master_moving_looked_at_while_others_are_changed(void)
{
    enum { OTHERS = 1500 };
    static struct ino ino[OTHERS];
    w_config(FSOP_MOUNT_THROUGH, 0);
    wmounts[1] = (struct master_mount){"/m", "", FSOP_MOUNT_META, 0};
    wcfg.n_mounts = 2;
    w_master_start();
    struct wu_file *f = wu_add("x", FSOP_S_IFREG | 0644, 3);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    struct ino x = w_lookup(c1, INO_ROOT, "x", 0), m = w_lookup(c1, INO_ROOT, "m", 0);
    for (int i = 0; i < OTHERS; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        struct fsop make = w_name(FSOP_MKNOD, m, name);
        make.acked = c1->seq + 1;
        CU_ASSERT_EQUAL(w_fs(c1, make, &a), 0);
        ino[i] = a.reply.attr.ino;
    }
    f->size = 9;
    wu_touch(f);
    struct fsop op = {.kind = FSOP_GETATTR, .ino = x};
    unsigned before = wu.count[UFS_STAT];
    wu.latency_ns = 8000 * MS;
    w_send(c2, &op, &b);
    for (int i = 0; i < OTHERS; i++) {
        struct fsop chmod = {.kind = FSOP_SETATTR,
                             .acked = c1->seq + 1,
                             .ino = ino[i],
                             .valid = FSOP_SET_MODE,
                             .mode = 0600};
        CU_ASSERT_EQUAL(w_fs(c1, chmod, &a), 0);
    }
    wu.latency_ns = 2 * MS;
    CU_ASSERT_FALSE(b.done);
    CU_ASSERT(w_wait(&b, 10000) && b.err == 0);
    CU_ASSERT_EQUAL(b.reply.attr.size, 9);
    CU_ASSERT_EQUAL(wu.count[UFS_STAT], before + 1);
    w_close();
}

/* a link in the place of a directory, put there by somebody else: what was below is not there */
static void test_master_moving_a_link_in_the_way(void)
{
    w_open(FSOP_MOUNT_THROUGH, 1000 * MS);
    wu_add("d", FSOP_S_IFDIR | 0755, 0);
    struct wc *c = wc_new(0, true);
    struct ino d = w_lookup(c, INO_ROOT, "d", 0);
    wu.fail_kind = UFS_STAT;
    wu.fail = E_LOOP;
    (void)w_lookup(c, d, "x", E_NOENT);
    CU_ASSERT_EQUAL(wu.fail, 0);
    w_close();
}

/* Names past the tree, of a directory that has just been renamed below, are those of another one.
 */
static void test_master_moving_a_directory_that_is_listed(void)
{
    w_open(FSOP_MOUNT_THROUGH, 1000 * MS);
    wu_add("d", FSOP_S_IFDIR | 0755, 0);
    wu_add("d/x", FSOP_S_IFREG | 0644, 3);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    struct ino d = w_lookup(c1, INO_ROOT, "d", 0);
    rename_held(c1, "d", "e");
    wu_add("d", FSOP_S_IFDIR | 0755, 0);
    wu_add("d/foreign", FSOP_S_IFREG | 0644, 3);
    struct fsop op = {.kind = FSOP_READDIR, .ino = d, .mode = 1};
    w_send(c2, &op, &b);
    w_run_ms(300);
    CU_ASSERT_FALSE(b.done);
    effect_ends();
    CU_ASSERT(w_wait(&b, 5000) && b.err == 0);
    struct rbuf r = rbuf_make(b.reply.data, b.reply.data_len);
    struct fsop_dirent e;
    CU_ASSERT_EQUAL(fsop_dirent_get(&r, &e), 0);
    CU_ASSERT(e.name_len == 1 && e.name[0] == 'x' && !rbuf_left(&r));
    w_close();
}

/* It lies below already, and its making has not come to an end: it is not there yet. */
static void test_master_moving_a_name_that_is_being_made(void)
{
    w_open(FSOP_MOUNT_THROUGH, 1000 * MS);
    wu_add("d", FSOP_S_IFDIR | 0755, 0);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    struct ino d = w_lookup(c1, INO_ROOT, "d", 0);
    wu.hold = true;
    wu.hold_kind = UFS_MKDIR;
    struct fsop op = w_name(FSOP_MKDIR, d, "n");
    op.mode = 0755;
    w_send(c1, &op, &a);
    for (int i = 0; i < 2000 && !wu.count[UFS_MKDIR]; i++)
        w_run_ms(1);
    w_run_ms(1100); /* that it was not there has to be asked again */
    (void)w_lookup(c2, d, "n", E_NOENT);
    CU_ASSERT_FALSE(a.done);
    effect_ends();
    CU_ASSERT_EQUAL(w_lookup(c2, d, "n", 0).v, a.reply.attr.ino.v);
    w_close();
}

/* A file loses the one of its two names by which it was compared.  The other one is still there,
 * in a directory that did not change, and what it leads to is looked at at once. */
static void test_master_moving_one_of_two_names_goes(void)
{
    w_open(FSOP_MOUNT_THROUGH, 200 * MS);
    wu_add("d", FSOP_S_IFDIR | 0755, 0);
    wu_add("e", FSOP_S_IFDIR | 0755, 0);
    wu_add("d/f", FSOP_S_IFREG | 0644, 5);
    struct wc *c = wc_new(0, true);
    struct ino d = w_lookup(c, INO_ROOT, "d", 0), e = w_lookup(c, INO_ROOT, "e", 0);
    struct ino f = w_lookup(c, d, "f", 0);
    struct fsop op = w_name(FSOP_LINK, f, "g");
    op.ino2 = e;
    CU_ASSERT_EQUAL(w_fs(c, op, &a), 0);
    CU_ASSERT_EQUAL(w_readdir(c, d), 1);
    CU_ASSERT_EQUAL(w_readdir(c, e), 1);
    w_run_ms(300);
    wu_find("e/g")->used = false;
    wu_touch_parent("e/g");
    wu_find("d/f")->size = 6;
    wu_touch(wu_find("d/f"));
    CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = FSOP_GETATTR, .ino = f}, &a), 0);
    CU_ASSERT(a.reply.attr.nlink == 1 && a.reply.attr.size == 6);
    CU_ASSERT_EQUAL(w_readdir(c, d), 1);
    CU_ASSERT_EQUAL(w_readdir(c, e), 0);
    CU_ASSERT_EQUAL(w_lookup(c, d, "f", 0).v, f.v);
    (void)w_lookup(c, e, "g", E_NOENT);
    wu_find("d/f")->used = false;
    wu_touch_parent("d/f");
    w_run_ms(300);
    CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = FSOP_GETATTR, .ino = f}, &a), E_STALE);
    CU_ASSERT_EQUAL(w_readdir(c, d), 0);
    w_close();
}

/* A file that loses one of several names through us is the same file: who reads it reads on. */
static void test_master_file_that_loses_a_name_keeps_its_version(void)
{
    w_open(FSOP_MOUNT_THROUGH, 0);
    wu_add("f", FSOP_S_IFREG | 0644, 5);
    struct wc *c = wc_new(0, true);
    struct ino f = w_lookup(c, INO_ROOT, "f", 0);
    static const char *const names[] = {"g", "h", "k"};
    for (int i = 0; i < 3; i++) {
        struct fsop op = w_name(FSOP_LINK, f, names[i]);
        op.ino2 = INO_ROOT;
        CU_ASSERT_EQUAL(w_fs(c, op, &a), 0);
    }
    const struct fsop get = {.kind = FSOP_GETATTR, .ino = f};
    CU_ASSERT_EQUAL(w_fs(c, get, &a), 0);
    struct fsattr was = a.reply.attr;
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_UNLINK, INO_ROOT, "g"), &a), 0);
    CU_ASSERT_EQUAL(w_fs(c, get, &a), 0);
    CU_ASSERT(a.reply.attr.version == was.version && a.reply.attr.nlink == 3);
    CU_ASSERT(a.reply.attr.fp != was.fp);
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_UNLINK, INO_ROOT, "f"), &a), 0); /* it was compared there */
    CU_ASSERT_EQUAL(w_fs(c, get, &a), 0);
    CU_ASSERT(a.reply.attr.version == was.version && a.reply.attr.nlink == 2);
    wu_add("n", FSOP_S_IFREG | 0644, 7);
    (void)w_lookup(c, INO_ROOT, "n", 0);
    struct fsop op = w_name(FSOP_RENAME, INO_ROOT, "n");
    op.ino2 = INO_ROOT;
    op.name2 = "h";
    op.name2_len = 1;
    CU_ASSERT_EQUAL(w_fs(c, op, &a), 0);
    CU_ASSERT_EQUAL(w_fs(c, get, &a), 0);
    CU_ASSERT(a.reply.attr.version == was.version && a.reply.attr.nlink == 1);
    w_close();
}

/* Another file has come behind one of the names: of that one nothing is taken over. */
static void test_master_name_that_led_elsewhere_is_taken_away(void)
{
    w_open(FSOP_MOUNT_THROUGH, 60000 * MS);
    wu_add("f", FSOP_S_IFREG | 0644, 5);
    struct wc *c = wc_new(0, true);
    struct ino f = w_lookup(c, INO_ROOT, "f", 0);
    struct fsop op = w_name(FSOP_LINK, f, "g");
    op.ino2 = INO_ROOT;
    CU_ASSERT_EQUAL(w_fs(c, op, &a), 0);
    const struct fsop get = {.kind = FSOP_GETATTR, .ino = f};
    CU_ASSERT_EQUAL(w_fs(c, get, &a), 0);
    struct fsattr was = a.reply.attr;
    wu_find("g")->ino = wu_add("other", FSOP_S_IFREG | 0600, 9)->ino;
    wu_find("g")->size = 9;
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_UNLINK, INO_ROOT, "g"), &a), 0);
    CU_ASSERT_EQUAL(w_fs(c, get, &a), 0);
    CU_ASSERT(a.reply.attr.version == was.version && a.reply.attr.size == 5);
    CU_ASSERT(a.reply.attr.fp == was.fp && a.reply.attr.mode == was.mode);
    w_close();
}

UNIT_MAIN("master moving", UNIT(test_master_file_that_loses_a_name_keeps_its_version),
          UNIT(test_master_name_that_led_elsewhere_is_taken_away),
          UNIT(test_master_moving_a_written_file_is_replaced),
          UNIT(test_master_moving_a_written_file_is_replaced_from_outside),
          UNIT(test_master_moving_a_written_file_cannot_be_looked_at),
          UNIT(test_master_moving_a_directory_with_unknown_names),
          UNIT(test_master_moving_a_file_whose_end_is_not_known),
          UNIT(test_master_moving_there_and_back),
          UNIT(test_master_moving_looked_at_under_a_change_above),
          UNIT(test_master_moving_looked_at_while_others_are_changed),
          UNIT(test_master_moving_a_link_in_the_way),
          UNIT(test_master_moving_a_name_that_is_being_made),
          UNIT(test_master_moving_a_directory_that_is_listed),
          UNIT(test_master_moving_one_of_two_names_goes))
