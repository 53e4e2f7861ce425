/* tests/unit/test_master.c - requests: queries and loads, mutations and effects, repetitions,
 * conflicts, bounds, deadlines. */
#include "cluster/master_impl.h"
#include "tests/unit/master_world.h"

#include <time.h>

static struct wcall a, b;

static void test_master_serves_names_of_the_under_store(void)
{
    w_open(FSOP_MOUNT_THROUGH, 1000 * MS);
    wu_add("d", FSOP_S_IFDIR | 0755, 0);
    wu_add("d/f", FSOP_S_IFREG | 0644, 5);
    struct wc *c = wc_new(0, true);
    struct ino d = w_lookup(c, INO_ROOT, "d", 0);
    struct ino f = w_lookup(c, d, "f", 0);
    CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = FSOP_GETATTR, .ino = f}, &a), 0);
    CU_ASSERT_EQUAL(a.reply.attr.size, 5);
    CU_ASSERT(a.reply.lease_ns > 0 && a.reply.lease_ns <= 1000 * MS);
    CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = FSOP_OPEN, .ino = f, .mode = FSOP_ACCESS_R}, &a),
                    0);
    CU_ASSERT(a.reply.data_len == 3 && !memcmp(a.reply.data, "d/f", 3));
    (void)w_lookup(c, d, "no", E_NOENT);
    unsigned stats = wu.count[UFS_STAT];
    (void)w_lookup(c, d, "no", E_NOENT); /* known to be absent for the interval */
    CU_ASSERT_EQUAL(wu.count[UFS_STAT], stats);
    CU_ASSERT_EQUAL(wu.count[UFS_LIST], 0);
    w_close();
}

static void test_master_lists_a_directory_once_for_all(void)
{
    w_open(FSOP_MOUNT_THROUGH, 60000 * MS);
    for (int i = 0; i < 7; i++) {
        char name[8] = {'f', (char)('0' + i), 0};
        wu_add(name, FSOP_S_IFREG | 0644, 1);
    }
    struct wc *c = wc_new(0, true);
    struct fsop op = {.kind = FSOP_READDIR, .ino = INO_ROOT}, op2 = op;
    w_send(c, &op, &a);
    w_send(c, &op2, &b);
    CU_ASSERT(w_wait(&a, 1000) && w_wait(&b, 1000));
    CU_ASSERT(a.err == 0 && b.err == 0);
    CU_ASSERT_EQUAL(wu.count[UFS_LIST], 4); /* 3 + 3 + 1 + the end */
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 7);
    CU_ASSERT_EQUAL(wu.count[UFS_LIST], 4);
    w_close();
}

static void test_master_failed_load_does_not_stick(void)
{
    w_open(FSOP_MOUNT_THROUGH, 1000 * MS);
    wu_add("f", FSOP_S_IFREG | 0644, 1);
    struct wc *c = wc_new(0, true);
    wu.fail = E_IO;
    wu.fail_kind = UFS_LIST;
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), E_IO);
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 1);
    wu_add("g", FSOP_S_IFREG | 0644, 1);
    wu.fail = E_IO;
    wu.fail_kind = UFS_STAT;
    w_run_ms(1100);
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), E_IO);
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 2);
    w_close();
}

static void test_master_listing_that_breaks_off_gives_up_its_lock(void)
{
    w_open(FSOP_MOUNT_THROUGH, 1000 * MS);
    for (int i = 0; i < 7; i++) {
        char name[8] = {'f', (char)('0' + i), 0};
        wu_add(name, FSOP_S_IFREG | 0644, 1);
    }
    struct wc *c = wc_new(0, true);
    struct fsop op = {.kind = FSOP_READDIR, .ino = INO_ROOT};
    w_send(c, &op, &a);
    while (wu.count[UFS_LIST] < 2 && !a.done)
        w_run_ms(1);
    wu.fail = E_IO;
    wu.fail_kind = UFS_LIST;
    CU_ASSERT(w_wait(&a, 2000));
    CU_ASSERT_EQUAL(a.err, E_IO);
    struct meta_stats st;
    meta_stats(master_meta(wmaster), &st);
    CU_ASSERT_EQUAL(st.intents, 0);
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKDIR, INO_ROOT, "new"), &a), 0);
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 8);
    w_close();
}

static void test_master_mutations_reach_the_under_store_first(void)
{
    w_open(FSOP_MOUNT_THROUGH, 1000 * MS);
    wu_add("old", FSOP_S_IFREG | 0644, 9);
    struct wc *c = wc_new(0, true);
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKDIR, INO_ROOT, "d"), &a), 0);
    struct ino d = a.reply.attr.ino;
    CU_ASSERT_PTR_NOT_NULL(wu_find("d"));
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKNOD, d, "f"), &a), 0);
    struct ino f = a.reply.attr.ino;
    CU_ASSERT_PTR_NOT_NULL(wu_find("d/f"));
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKNOD, d, "f"), &a), E_EXIST);
    struct fsop ln = w_name(FSOP_SYMLINK, d, "s");
    ln.data = "f";
    ln.data_len = 1;
    CU_ASSERT_EQUAL(w_fs(c, ln, &a), 0);
    CU_ASSERT_STRING_EQUAL(wu_find("d/s")->target, "f");
    struct fsop mv = w_name(FSOP_RENAME, d, "f");
    mv.ino2 = INO_ROOT;
    mv.name2 = "old";
    mv.name2_len = 3;
    CU_ASSERT_EQUAL(w_fs(c, mv, &a), 0);
    CU_ASSERT(!wu_find("d/f") && wu_find("old") && wu_find("old")->size == 0);
    CU_ASSERT_EQUAL(w_lookup(c, INO_ROOT, "old", 0).v, f.v);
    struct fsop sa = {.kind = FSOP_SETATTR,
                      .ino = f,
                      .valid = FSOP_SET_SIZE | FSOP_SET_MODE,
                      .size = 77,
                      .mode = 0600};
    CU_ASSERT_EQUAL(w_fs(c, sa, &a), 0);
    CU_ASSERT(wu_find("old")->size == 77 && (wu_find("old")->mode & 0777) == 0600);
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_RMDIR, INO_ROOT, "d"), &a), E_NOTEMPTY);
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_UNLINK, d, "s"), &a), 0);
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_RMDIR, INO_ROOT, "d"), &a), 0);
    CU_ASSERT_PTR_NULL(wu_find("d"));
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_UNLINK, INO_ROOT, "nope"), &a), E_NOENT);
    w_close();
}

static void test_master_failed_effect_changes_nothing(void)
{
    w_open(FSOP_MOUNT_THROUGH, 0);
    struct wc *c = wc_new(0, true);
    wu.fail = E_NOSPC;
    wu.fail_kind = UFS_MKDIR;
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKDIR, INO_ROOT, "d"), &a), E_NOSPC);
    (void)w_lookup(c, INO_ROOT, "d", E_NOENT);
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKDIR, INO_ROOT, "d"), &a), 0);
    w_close();
}

static void test_master_repetition_in_flight_waits_for_the_same_answer(void)
{
    w_open(FSOP_MOUNT_THROUGH, 0);
    struct wc *c = wc_new(0, true);
    wu.latency_ns = 100 * MS;
    struct fsop op = w_name(FSOP_MKDIR, INO_ROOT, "d"), again;
    w_send(c, &op, &a);
    again = op;
    w_run_ms(50);
    w_send(c, &again, &b);
    w_run_ms(10);
    CU_ASSERT(!a.done && !b.done);
    CU_ASSERT(w_wait(&a, 2000) && w_wait(&b, 2000));
    CU_ASSERT(a.err == 0 && b.err == 0 && a.reply.attr.ino.v == b.reply.attr.ino.v);
    CU_ASSERT_EQUAL(wu.count[UFS_MKDIR], 1);
    w_close();
}

static void test_master_repetition_after_a_restart_gets_the_first_answer(void)
{
    w_open(FSOP_MOUNT_THROUGH, 0);
    struct wc *c = wc_new(0, true);
    struct fsop op = w_name(FSOP_MKDIR, INO_ROOT, "d");
    w_send(c, &op, &a);
    CU_ASSERT(w_wait(&a, 2000) && a.err == 0);
    struct ino d = a.reply.attr.ino;
    w_master_crash();
    w_run_ms(500);
    w_master_start();
    wc_dial(c);
    w_send(c, &op, &b);
    CU_ASSERT(w_wait(&b, 5000));
    CU_ASSERT(b.err == 0 && b.reply.attr.ino.v == d.v && (b.reply.flags & FSOP_R_DUPLICATE));
    CU_ASSERT_EQUAL(wu.count[UFS_MKDIR], 1);
    w_close();
}

static void test_master_conflicting_mutations_wait_for_each_other(void)
{
    w_open(FSOP_MOUNT_THROUGH, 0);
    struct wc *c = wc_new(0, true);
    wu.latency_ns = 50 * MS;
    struct fsop op = w_name(FSOP_MKDIR, INO_ROOT, "d"), op2 = op;
    w_send(c, &op, &a);
    w_send(c, &op2, &b);
    CU_ASSERT(w_wait(&a, 5000) && w_wait(&b, 5000));
    CU_ASSERT_EQUAL(a.err, 0);
    CU_ASSERT_EQUAL(b.err, E_EXIST);
    w_close();
}

static void test_master_crash_at_any_moment_of_a_mutation(void)
{
    for (int ms = 0; ms < 30; ms++) {
        w_open(FSOP_MOUNT_THROUGH, 0);
        struct wc *c = wc_new(0, true);
        wu.latency_ns = 6 * MS;
        struct fsop op = w_name(FSOP_MKDIR, INO_ROOT, "d");
        w_send(c, &op, &a);
        w_run_ms(ms);
        w_master_crash();
        w_run_ms(300);
        w_master_start();
        wc_dial(c);
        w_send(c, &op, &b);
        CU_ASSERT(w_wait(&b, 5000));
        CU_ASSERT_EQUAL(b.err, 0);
        CU_ASSERT_PTR_NOT_NULL(wu_find("d"));
        CU_ASSERT_EQUAL(w_lookup(c, INO_ROOT, "d", 0).v, b.reply.attr.ino.v);
        if (a.done && a.err == 0)
            CU_ASSERT_EQUAL(a.reply.attr.ino.v, b.reply.attr.ino.v);
        w_run_ms(100);
        struct meta_stats st;
        meta_stats(master_meta(wmaster), &st);
        CU_ASSERT_EQUAL(st.intents, 0);
        w_close();
    }
}

static void test_master_intent_without_a_client_is_resumed(void)
{
    w_open(FSOP_MOUNT_THROUGH, 0);
    struct wc *c = wc_new(0, true);
    wu.latency_ns = 200 * MS;
    wu.hang = true;
    struct fsop op = w_name(FSOP_MKNOD, INO_ROOT, "f");
    struct meta_stats st;
    w_send(c, &op, &a);
    for (int i = 0; i < 100; i++) {
        w_run_ms(10);
        wu.hang = false; /* the lookup of the name passes; the effect is still to come */
        meta_stats(master_meta(wmaster), &st);
        if (st.intents)
            break;
    }
    CU_ASSERT_EQUAL(st.intents, 1);
    w_master_crash();
    CU_ASSERT_PTR_NULL(wu_find("f"));
    wu.latency_ns = 2 * MS;
    w_run_ms(300);
    w_master_start();
    w_run_ms(500);
    meta_stats(master_meta(wmaster), &st);
    CU_ASSERT_EQUAL(st.intents, 0);
    CU_ASSERT_PTR_NOT_NULL(wu_find("f"));
    CU_ASSERT(wu.resumed >= 1);
    w_close();
}

static void test_master_listing_gets_in_between_steady_writers(void)
{
    static struct wcall writes[16];
    unsigned made = 0, begun = 0;
    w_open(FSOP_MOUNT_THROUGH, 0);
    wu.latency_ns = 10 * MS;
    struct wc *c = wc_new(0, true);
    struct fsop list = {.kind = FSOP_READDIR, .ino = INO_ROOT};
    for (unsigned ms = 0; ms < 2000 && !(ms > 100 && a.done); ms++) {
        for (unsigned i = 0; i < 16; i++) {
            char name[16];
            if (i < begun ? !writes[i].done : ms < begun * 3)
                continue;
            begun += i == begun; /* they start one after the other, so that one is always busy */
            snprintf(name, sizeof name, "n%u", made++);
            struct fsop op = w_name(FSOP_MKNOD, INO_ROOT, name);
            w_send(c, &op, &writes[i]);
            break;
        }
        if (ms == 100)
            w_send(c, &list, &a);
        w_run_ms(1);
    }
    CU_ASSERT(a.done && a.err == 0);
    w_run_ms(2000);
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), (int)made);
    w_close();
}

static void test_master_pool_is_bounded(void)
{
    static struct wcall many[80];
    w_open(FSOP_MOUNT_THROUGH, 0);
    struct wc *c = wc_new(0, true);
    wu.hang = true;
    unsigned again = 0, waiting = 0;
    for (int i = 0; i < 80; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        struct fsop op = w_name(FSOP_LOOKUP, INO_ROOT, name);
        w_send(c, &op, &many[i]);
    }
    w_run_ms(200);
    for (int i = 0; i < 80; i++) {
        again += many[i].done && many[i].err == E_AGAIN;
        waiting += !many[i].done;
    }
    CU_ASSERT_EQUAL(waiting, 64);
    CU_ASSERT_EQUAL(again, 16);
    wu.hang = false;
    w_run_ms(3000);
    for (int i = 0; i < 80; i++)
        CU_ASSERT(many[i].done && (many[i].err == E_AGAIN || many[i].err == E_NOENT));
    w_close();
}

static void test_master_deadline_answers_and_the_effect_goes_on(void)
{
    w_open(FSOP_MOUNT_THROUGH, 0);
    struct wc *c = wc_new(0, true);
    (void)w_readdir(c, INO_ROOT);
    wu.hang = true;
    struct fsop op = w_name(FSOP_MKDIR, INO_ROOT, "d");
    w_send(c, &op, &a);
    w_run_ms(59000);
    CU_ASSERT(!a.done);
    w_run_ms(2000);
    CU_ASSERT(a.done && a.err == E_TIMEOUT);
    wu.hang = false;
    w_send(c, &op, &b);
    CU_ASSERT(w_wait(&b, 5000) && b.err == 0);
    CU_ASSERT_EQUAL(wu.count[UFS_MKDIR], 1);
    w_close();
}

static void test_master_refuses_what_is_not_a_clients(void)
{
    static const uint16_t kinds[] = {FSOP_LOAD,    FSOP_REFRESH, FSOP_OUTCOME,
                                     FSOP_RECLAIM, FSOP_MOUNT,   FSOP_UNMOUNT,
                                     FSOP_VERSION, FSOP_NOTE,    50};
    w_open(FSOP_MOUNT_THROUGH, 0);
    struct wc *c = wc_new(0, true);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = kinds[i], .ino = INO_ROOT}, &a), E_PERM);
    CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = FSOP_SESSION_CLOSE, .arg = 999}, &a), E_PERM);
    w_call(c, RPC_FS, "\1", 1, &a);
    CU_ASSERT(w_wait(&a, 1000));
    CU_ASSERT_EQUAL(a.err, E_PROTO);
    w_call(c, 999, "", 0, &a);
    CU_ASSERT(w_wait(&a, 1000));
    CU_ASSERT_EQUAL(a.err, E_NOTSUP);
    w_close();
}

static void test_master_notices_changes_behind_its_back(void)
{
    w_open(FSOP_MOUNT_THROUGH, 200 * MS);
    struct wu_file *f = wu_add("f", FSOP_S_IFREG | 0644, 5);
    struct wc *c = wc_new(0, true);
    struct ino ino = w_lookup(c, INO_ROOT, "f", 0);
    struct fsop op = {.kind = FSOP_OPEN, .ino = ino, .mode = FSOP_ACCESS_R};
    CU_ASSERT_EQUAL(w_fs(c, op, &a), 0);
    uint64_t version = a.reply.attr.version;
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 1);
    f->size = 6;
    wu_touch(f);
    wu_add("g", FSOP_S_IFREG | 0644, 1);
    w_run_ms(300);
    CU_ASSERT_EQUAL(w_fs(c, op, &a), 0);
    CU_ASSERT(a.reply.attr.size == 6 && a.reply.attr.version > version);
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 2);
    f->used = false;
    wu_touch(wu_find(""));
    w_run_ms(300);
    (void)w_lookup(c, INO_ROOT, "f", E_NOENT);
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 1);
    w_close();
}

/* While a rename is at work, another file may be where one lies that is being written: that one's
 * size is nobody's news. */
static void test_master_size_of_a_written_file_that_is_replaced(void)
{
    for (int ms = 0; ms < 25; ms++) {
        w_open(FSOP_MOUNT_THROUGH, 3600000 * MS);
        struct wc *c = wc_new(0, true), *c2 = wc_new(1, true);
        wu_add("f", FSOP_S_IFREG | 0644, 5);
        wu_add("g", FSOP_S_IFREG | 0644, 1);
        struct ino ino = w_lookup(c, INO_ROOT, "f", 0);
        (void)w_lookup(c, INO_ROOT, "g", 0);
        CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = ino}, &a), 0);
        wu_find("f")->size = 77;
        wu_touch(wu_find("f"));
        wu.latency_ns = 8 * MS;
        struct fsop op = w_name(FSOP_RENAME, INO_ROOT, "g");
        op.ino2 = INO_ROOT;
        op.name2 = "f";
        op.name2_len = 1;
        w_send(c, &op, &a);
        w_run_ms(ms);
        CU_ASSERT_EQUAL(w_fs(c2, (struct fsop){.kind = FSOP_GETATTR, .ino = ino}, &b), 0);
        CU_ASSERT_EQUAL(b.reply.attr.size, 77);
        CU_ASSERT(w_wait(&a, 5000) && a.err == 0);
        w_close();
    }
}

/* a look that takes longer than the end of writing says nothing of the file as it was closed */
static void test_master_size_of_a_file_closed_meanwhile(void)
{
    w_open(FSOP_MOUNT_THROUGH, 3600000 * MS);
    struct wc *c = wc_new(0, true), *c2 = wc_new(1, true);
    struct wu_file *f = wu_add("f", FSOP_S_IFREG | 0644, 5);
    struct ino ino = w_lookup(c, INO_ROOT, "f", 0);
    CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = ino}, &a), 0);
    wu.latency_ns = 60 * MS;
    struct fsop get = {.kind = FSOP_GETATTR, .ino = ino};
    w_send(c2, &get, &b);
    w_run_ms(40);
    f->size = 77;
    wu_touch(f);
    wu.latency_ns = 2 * MS;
    CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = FSOP_WRITE_CLOSE, .ino = ino}, &a), 0);
    CU_ASSERT(!b.done);
    CU_ASSERT(w_wait(&b, 1000) && b.err == 0);
    CU_ASSERT_EQUAL(b.reply.attr.size, 77);
    w_close();
}

/* A look that met what was between two changes of ours: all is as it was when it began, so that no
 * mark tells. */
static void test_master_look_that_is_outrun(void)
{
    for (int renames = 0; renames < 2; renames++) {
        w_open(FSOP_MOUNT_THROUGH, 0);
        wu_add("d", FSOP_S_IFDIR | 0755, 0);
        wu_add("d/f", FSOP_S_IFREG | 0644, 5);
        struct wc *c = wc_new(0, true), *c2 = wc_new(1, true);
        struct ino d = w_lookup(c, INO_ROOT, "d", 0), f = w_lookup(c, d, "f", 0);
        struct fsop get = {.kind = FSOP_GETATTR, .ino = renames ? f : d};
        wu.latency_ns = 120 * MS; /* it looks after 60 ms, and answers 100 ms later */
        w_send(c2, &get, &b);
        w_run_ms(2);
        for (int back = 0; back < 2; back++) {
            wu.latency_ns = 2 * MS;
            struct fsop op = {
                .kind = FSOP_SETATTR, .ino = d, .valid = FSOP_SET_MODE, .mode = back ? 0755 : 0700};
            if (renames) {
                op = w_name(FSOP_RENAME, INO_ROOT, back ? "e" : "d");
                op.ino2 = INO_ROOT;
                op.name2 = back ? "d" : "e";
                op.name2_len = 1;
            }
            CU_ASSERT_EQUAL(w_fs(c, op, &a), 0);
            CU_ASSERT(!b.done);
            wu.latency_ns = 200 * MS;
            if (!back)
                w_run_ms(60);
        }
        CU_ASSERT(!b.done);
        CU_ASSERT(w_wait(&b, 1000) && b.err == 0);
        CU_ASSERT_EQUAL(b.reply.attr.mode & 0777, renames ? 0644 : 0755);
        CU_ASSERT_EQUAL(w_fs(c, get, &a), 0);
        CU_ASSERT_EQUAL(a.reply.attr.mode & 0777, renames ? 0644 : 0755);
        CU_ASSERT_EQUAL(w_lookup(c, d, "f", 0).v, f.v);
        w_close();
    }
}

static void send_rename(struct wc *c, const char *from, const char *to, struct wcall *w)
{
    struct fsop op = w_name(FSOP_RENAME, INO_ROOT, from);
    op.ino2 = INO_ROOT;
    op.name2 = to;
    op.name2_len = (uint32_t)strlen(to);
    w_send(c, &op, w);
}

/* The look at the end of writing finds nothing, because a directory above is away and comes back:
 * it looks once more when that is done, and what it saw is recorded. */
static void test_master_write_close_while_its_directory_is_away(void)
{
    static struct wcall away, back;
    for (int ms = 1; ms < 10; ms++) { /* until the effect of its coming back begins */
        w_open(FSOP_MOUNT_THROUGH, 3600000 * MS);
        wu_add("d", FSOP_S_IFDIR | 0755, 0);
        wu_add("d/f", FSOP_S_IFREG | 0644, 5);
        struct wc *c = wc_new(0, true), *c2 = wc_new(1, true);
        struct ino d = w_lookup(c, INO_ROOT, "d", 0), ino = w_lookup(c, d, "f", 0);
        CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = ino}, &a), 0);
        wu_find("d/f")->size = 77;
        wu_touch(wu_find("d/f"));
        wu.latency_ns = 120 * MS; /* it looks after 60 ms, and answers 100 ms later */
        struct fsop op = {.kind = FSOP_WRITE_CLOSE, .ino = ino};
        w_send(c, &op, &b);
        w_run_ms(2);
        wu.latency_ns = 2 * MS;
        send_rename(c2, "d", "e", &away);
        CU_ASSERT(w_wait(&away, 50) && away.err == 0);
        wu.latency_ns = 200 * MS;
        w_run_ms(60);
        wu.latency_ns = 2 * MS;
        send_rename(c2, "e", "d", &back);
        w_run_ms(ms);
        wu.latency_ns = 400 * MS;
        CU_ASSERT(w_wait(&back, 5000) && back.err == 0);
        wu.latency_ns = 2 * MS;
        CU_ASSERT(w_wait(&b, 5000) && b.err == 0);
        send_rename(c2, "d", "e", &away); /* in whose way no look is recorded */
        w_run_ms(ms);
        wu.latency_ns = 400 * MS;
        w_run_ms(20);
        wu.latency_ns = 2 * MS;
        CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = FSOP_GETATTR, .ino = ino}, &a), 0);
        CU_ASSERT_EQUAL(a.reply.attr.size, 77);
        CU_ASSERT(w_wait(&away, 5000) && away.err == 0);
        w_close();
    }
}

static void test_master_refresh_by_path(void)
{
    uint8_t body[64];
    w_open(FSOP_MOUNT_THROUGH, 3600000 * MS);
    struct wu_file *f = wu_add("f", FSOP_S_IFREG | 0644, 5);
    struct wc *c = wc_new(0, true);
    struct fsop op = {.kind = FSOP_GETATTR, .ino = w_lookup(c, INO_ROOT, "f", 0)};
    f->size = 6;
    wu_touch(f);
    CU_ASSERT_EQUAL(w_fs(c, op, &a), 0);
    CU_ASSERT_EQUAL(a.reply.attr.size, 5);
    struct wbuf w = wbuf_make(body, sizeof body);
    struct rpc_admin admin = {RPC_ADMIN_REFRESH, "/f", 2};
    rpc_format_admin_put(&w, &admin);
    w_call(c, RPC_ADMIN, w.p, (uint32_t)w.len, &a);
    CU_ASSERT(w_wait(&a, 1000));
    CU_ASSERT_EQUAL(a.call.op.ret, 0);
    CU_ASSERT_EQUAL(w_fs(c, op, &a), 0);
    CU_ASSERT_EQUAL(a.reply.attr.size, 6);
    w_close();
}

static void test_master_stop_gives_everything_back(void)
{
    w_open(FSOP_MOUNT_THROUGH, 0);
    struct wc *c = wc_new(0, true);
    wu.latency_ns = 100 * MS;
    struct fsop op = w_name(FSOP_MKDIR, INO_ROOT, "d");
    w_send(c, &op, &a);
    w_run_ms(30);
    struct env_op stopped = {0};
    master_stop(wmaster, &stopped);
    wmaster = NULL;
    CU_ASSERT_EQUAL(sim_run_op(ws, &stopped, 10000 * MS), 0);
    CU_ASSERT(a.done);
    w_close();
}

static void test_master_names_only_mount(void)
{
    w_open(FSOP_MOUNT_META, 0);
    struct wc *c = wc_new(0, true);
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKDIR, INO_ROOT, "d"), &a), 0);
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKNOD, a.reply.attr.ino, "f"), &a), 0);
    CU_ASSERT(a.reply.lease_ns > 0);
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 1);
    w_master_crash();
    w_run_ms(300);
    w_master_start();
    wc_dial(c);
    CU_ASSERT_EQUAL(w_readdir(c, w_lookup(c, INO_ROOT, "d", 0)), 1);
    w_close();
}

/* whether it was done is not known: it is asked again, never answered with the time-out */
static void test_master_effect_that_timed_out_is_resolved(void)
{
    struct meta_stats st;
    for (int after = 0; after < 2; after++) {
        w_open(FSOP_MOUNT_THROUGH, 0);
        struct wc *c = wc_new(0, true);
        wu.fail = E_TIMEOUT;
        wu.fail_kind = UFS_MKDIR;
        wu.fail_after = after;
        CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKDIR, INO_ROOT, "d"), &a), 0);
        CU_ASSERT_PTR_NOT_NULL(wu_find("d"));
        CU_ASSERT_EQUAL(wu.count[UFS_MKDIR], 2);
        CU_ASSERT_EQUAL(w_lookup(c, INO_ROOT, "d", 0).v, a.reply.attr.ino.v);
        meta_stats(master_meta(wmaster), &st);
        CU_ASSERT_EQUAL(st.intents, 0);
        w_close();
    }
}

/* an effect that fails after a part of it was done must not hide that part */
static void test_master_failed_effect_is_looked_at(void)
{
    w_open(FSOP_MOUNT_THROUGH, 3600000 * MS);
    struct wc *c = wc_new(0, true);
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 0);
    wu.fail = E_IO;
    wu.fail_kind = UFS_MKDIR;
    wu.fail_after = true;
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKDIR, INO_ROOT, "d"), &a), E_IO);
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 1);
    w_close();
}

static void test_master_opens_a_late_under_store(void)
{
    w_open(FSOP_MOUNT_THROUGH, 0);
    struct wc *c = wc_new(0, true);
    wu_add("f", FSOP_S_IFREG | 0644, 1);
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKDIR, INO_ROOT, "d"), &a), 0);
    wu.hang = true;
    struct fsop op = w_name(FSOP_MKDIR, INO_ROOT, "e");
    w_send(c, &op, &a);
    w_run_ms(50);
    w_master_crash();
    wu.hang = false;
    wu.is_missing = true;
    w_run_ms(200);
    w_master_start();
    wc_dial(c);
    (void)w_lookup(c, INO_ROOT, "f", E_IO);
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKDIR, INO_ROOT, "x"), &b), E_IO); /* nothing was done */
    w_send(c, &op, &a);
    w_run_ms(10000);
    CU_ASSERT_FALSE(a.done); /* it may have been: that must be found out first */
    CU_ASSERT(wu.opens > 3 && wu.opens < 20);
    wu.is_missing = false;
    CU_ASSERT(w_wait(&a, 20000));
    CU_ASSERT_EQUAL(a.err, 0);
    CU_ASSERT_PTR_NOT_NULL(wu_find("e"));
    (void)w_lookup(c, INO_ROOT, "f", 0);
    w_close();
}

/* nobody has looked into the directory that is to hold the mount point */
static void test_master_mounts_inside_an_unloaded_directory(void)
{
    w_open(FSOP_MOUNT_THROUGH, 0);
    wu_add("in", FSOP_S_IFDIR | 0755, 0);
    struct wc *c = wc_new(0, true);
    w_master_crash();
    w_run_ms(200);
    wmounts[1] = (struct master_mount){"/in/names", "", FSOP_MOUNT_META, 0};
    wmounts[2] = (struct master_mount){"/missing/names", "", FSOP_MOUNT_META, 0};
    wcfg.n_mounts = 3;
    w_master_start();
    wc_dial(c);
    w_run_ms(500);
    struct ino in = w_lookup(c, INO_ROOT, "in", 0);
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_LOOKUP, in, "names"), &a), 0);
    CU_ASSERT(a.reply.attr.flags & FSATTR_MOUNT_ROOT);
    wu_add("missing", FSOP_S_IFDIR | 0755, 0);
    w_run_ms(20000); /* it is made at last */
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_LOOKUP, w_lookup(c, INO_ROOT, "missing", 0), "names"), &a),
                    0);
    CU_ASSERT(a.reply.attr.flags & FSATTR_MOUNT_ROOT);
    w_close();
}

/* a lower limit is for what comes, not for what was acknowledged: the log is applied as it was */
static void test_master_replays_under_the_limits_of_then(void)
{
    char name[8];
    for (int image = 0; image < 2; image++) {
        w_open(FSOP_MOUNT_META, 0);
        struct wc *c = wc_new(0, true);
        for (int i = 0; i < 10; i++) {
            snprintf(name, sizeof name, "d%d", i);
            CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKDIR, INO_ROOT, name), &a), 0);
            if (image && i == 5)
                CU_ASSERT_EQUAL(w_admin(c, RPC_ADMIN_IMAGE, "", &b), 0);
        }
        w_master_crash();
        w_run_ms(200);
        wcfg.limits.inodes_max = 4;
        w_master_start();
        wc_dial(c);
        CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 10);
        CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKDIR, INO_ROOT, "more"), &a), E_NOSPC);
        w_master_crash();
        w_run_ms(200);
        wcfg.limits.inodes_max = 4096;
        w_master_start();
        wc_dial(c);
        CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKDIR, INO_ROOT, "more"), &a), 0);
        w_close();
    }
}

static void test_master_admin_image_check_free(void)
{
    w_open(FSOP_MOUNT_THROUGH, 1000 * MS);
    struct wc *c = wc_new(0, true);
    wu_add("f", FSOP_S_IFREG | 0644, 5);
    (void)w_lookup(c, INO_ROOT, "f", 0);
    CU_ASSERT_EQUAL(w_admin(c, RPC_ADMIN_CHECK, "", &a), 0);
    CU_ASSERT(a.len == 9 && !memcmp(a.body, "check ok\n", 9));
    CU_ASSERT_EQUAL(w_admin(c, RPC_ADMIN_IMAGE, "", &a), 0);
    CU_ASSERT(a.len > 7 && !memcmp(a.body, "image ", 6));
    CU_ASSERT_EQUAL(w_admin(c, RPC_ADMIN_FREE, "/f", &a), 0);
    CU_ASSERT(a.len == 8 && !memcmp(a.body, "files 0\n", 8));
    CU_ASSERT_EQUAL(w_admin(c, RPC_ADMIN_FREE, "/f/x", &a), E_NOTDIR);
    CU_ASSERT_EQUAL(w_admin(c, 77, "", &a), E_NOTSUP);
    w_call(c, RPC_ADMIN, "\1", 1, &a);
    CU_ASSERT(w_wait(&a, 1000));
    CU_ASSERT_EQUAL(a.call.op.ret, E_PROTO);
    w_master_crash();
    w_run_ms(200);
    w_master_start(); /* from the image */
    wc_dial(c);
    (void)w_lookup(c, INO_ROOT, "f", 0);
    w_close();
}

/* Those who wait for a lock cost no records while they wait, and go on when it is released. */
static void test_master_waiters_of_a_lock_are_woken_by_its_release(void)
{
    static struct wcall calls[8];
    struct meta_stats before, after;
    w_open(FSOP_MOUNT_THROUGH, 0);
    struct wc *c = wc_new(0, true);
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 0);
    wu.hang = true;
    struct fsop op = w_name(FSOP_MKDIR, INO_ROOT, "d");
    w_send(c, &op, &a);
    w_run_ms(50);
    for (int i = 0; i < 8; i++) {
        op.seq = 0;
        w_send(c, &op, &calls[i]);
    }
    w_run_ms(50);
    meta_stats(master_meta(wmaster), &before);
    w_run_ms(2000);
    meta_stats(master_meta(wmaster), &after);
    CU_ASSERT_EQUAL(after.applied, before.applied);
    wu.hang = false;
    CU_ASSERT(w_wait(&a, 1000) && a.err == 0);
    w_run_ms(8); /* not at a tick: at once */
    for (int i = 0; i < 8; i++)
        CU_ASSERT(calls[i].done && calls[i].err == E_EXIST);
    w_close();
}

/* the same where the lock is that of a listing */
static void test_master_waiters_of_a_listing(void)
{
    struct meta_stats before, after;
    w_open(FSOP_MOUNT_THROUGH, 0);
    for (int i = 0; i < 7; i++) {
        char name[8] = {'f', (char)('0' + i), 0};
        wu_add(name, FSOP_S_IFREG | 0644, 1);
    }
    struct wc *c = wc_new(0, true);
    struct fsop list = {.kind = FSOP_READDIR, .ino = INO_ROOT};
    w_send(c, &list, &a);
    while (wu.count[UFS_LIST] < 2 && !a.done)
        w_run_ms(1);
    wu.hang = true;
    struct fsop op = w_name(FSOP_MKDIR, INO_ROOT, "d");
    w_send(c, &op, &b);
    w_run_ms(100);
    meta_stats(master_meta(wmaster), &before);
    w_run_ms(2000);
    meta_stats(master_meta(wmaster), &after);
    CU_ASSERT_EQUAL(after.applied, before.applied);
    CU_ASSERT_FALSE(b.done);
    wu.hang = false;
    CU_ASSERT(w_wait(&a, 1000) && w_wait(&b, 1000));
    CU_ASSERT(a.err == 0 && b.err == 0);
    w_close();
}

/* a request outlives its deadline while somebody repeats it: it must not be forgotten at a stop */
static void test_master_stop_with_a_late_repetition(void)
{
    w_open(FSOP_MOUNT_THROUGH, 0);
    struct wc *c = wc_new(0, true);
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 0);
    wu.hang = true;
    struct fsop op = w_name(FSOP_MKDIR, INO_ROOT, "d"), again;
    w_send(c, &op, &a);
    again = op;
    w_run_ms(59900);
    w_send(c, &again, &b);
    w_run_ms(1000);
    wu.hang = false;
    struct env_op stopped = {0};
    master_stop(wmaster, &stopped);
    wmaster = NULL;
    CU_ASSERT_EQUAL(sim_run_op(ws, &stopped, 10000 * MS), 0);
    w_close();
}

/* sessions lo to hi - 1 hold f and have it open for writing */
static void many_write(struct wc *c, struct ino f, unsigned lo, unsigned hi)
{
    for (unsigned i = lo; i < hi; i++) {
        struct fsop open = {.kind = FSOP_SESSION_OPEN, .name = "w", .name_len = 1};
        c->session.v = c->seq = 0;
        if (w_fs(c, open, &a) != 0)
            CU_FAIL_FATAL("a session did not open");
        c->session.v = a.reply.value;
        CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = f}, &a), 0);
        CU_ASSERT(master_lease_give(wmaster, c->session, f));
    }
}

/* processor time of telling all of them, the shortest of some */
static int64_t change_ns(struct ino f)
{
    const struct meta_result res = {.changes = {{.kind = META_CHANGE_DATA, .ino = f}},
                                    .n_changes = 1};
    int64_t least = INT64_MAX;
    for (int i = 0; i < 9; i++) {
        struct timespec from, to;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
        master_lease_changed(wmaster, &res, NULL);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
        least =
            base_min_i64(least, (to.tv_sec - from.tv_sec) * 1000 * MS + to.tv_nsec - from.tv_nsec);
        for (uint32_t k = 1; k < wmaster->n_sessions; k++) /* all hold it again */
            if (wmaster->sessions[k].id.v)
                (void)master_lease_give(wmaster, wmaster->sessions[k].id, f);
    }
    return least;
}

/* Eight times the writers cost about eight times as much, not 64 times. */
static void test_master_tells_many_writers_in_one_pass(void)
{
    w_config(FSOP_MOUNT_THROUGH, 60000 * MS);
    wcfg.limits.sessions_max = 4096;
    wcfg.session_ns = 1000000 * MS;
    w_master_start();
    wu_add("f", FSOP_S_IFREG | 0644, 1);
    struct wc *c = wc_new(0, true);
    struct ino f = w_lookup(c, INO_ROOT, "f", 0);
    c->no_beats = true;
    many_write(c, f, 0, 256);
    int64_t few = change_ns(f);
    many_write(c, f, 256, 2048);
    int64_t many = change_ns(f);
    CU_ASSERT(many < 36 * few); /* 17 to 21 as measured: caches are small */
    w_close();
}

UNIT_MAIN("master", UNIT(test_master_tells_many_writers_in_one_pass),
          UNIT(test_master_waiters_of_a_lock_are_woken_by_its_release),
          UNIT(test_master_waiters_of_a_listing), UNIT(test_master_stop_with_a_late_repetition),
          UNIT(test_master_replays_under_the_limits_of_then),
          UNIT(test_master_admin_image_check_free),
          UNIT(test_master_effect_that_timed_out_is_resolved),
          UNIT(test_master_failed_effect_is_looked_at), UNIT(test_master_opens_a_late_under_store),
          UNIT(test_master_mounts_inside_an_unloaded_directory),
          UNIT(test_master_serves_names_of_the_under_store),
          UNIT(test_master_lists_a_directory_once_for_all),
          UNIT(test_master_failed_load_does_not_stick),
          UNIT(test_master_listing_that_breaks_off_gives_up_its_lock),
          UNIT(test_master_mutations_reach_the_under_store_first),
          UNIT(test_master_failed_effect_changes_nothing),
          UNIT(test_master_repetition_in_flight_waits_for_the_same_answer),
          UNIT(test_master_repetition_after_a_restart_gets_the_first_answer),
          UNIT(test_master_conflicting_mutations_wait_for_each_other),
          UNIT(test_master_crash_at_any_moment_of_a_mutation),
          UNIT(test_master_intent_without_a_client_is_resumed),
          UNIT(test_master_listing_gets_in_between_steady_writers),
          UNIT(test_master_pool_is_bounded),
          UNIT(test_master_deadline_answers_and_the_effect_goes_on),
          UNIT(test_master_refuses_what_is_not_a_clients),
          UNIT(test_master_notices_changes_behind_its_back),
          UNIT(test_master_size_of_a_written_file_that_is_replaced),
          UNIT(test_master_look_that_is_outrun),
          UNIT(test_master_write_close_while_its_directory_is_away),
          UNIT(test_master_size_of_a_file_closed_meanwhile), UNIT(test_master_refresh_by_path),
          UNIT(test_master_stop_gives_everything_back), UNIT(test_master_names_only_mount))
