/* tests/unit/test_master_lease.c - sessions and what they cache: invalidations before answers,
 * lapsed leases, grace after a restart, expiry, orphans; and workers. */
#include "tests/unit/master_world.h"

static struct wcall a, b;

/* c2 has looked at f; c1 then unlinks it: ret ms until the answer */
static int64_t unlink_ms(struct wc *c1, const char *name)
{
    struct fsop op = w_name(FSOP_UNLINK, INO_ROOT, name);
    int64_t from = sim_now_ns(ws);
    w_send(c1, &op, &a);
    CU_ASSERT(w_wait(&a, 20000));
    CU_ASSERT_EQUAL(a.err, 0);
    return (sim_now_ns(ws) - from) / MS;
}

static void test_master_lease_others_are_told_before_the_answer(void)
{
    w_open(FSOP_MOUNT_THROUGH, 60000 * MS);
    wu_add("f", FSOP_S_IFREG | 0644, 1);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    (void)w_lookup(c2, INO_ROOT, "f", 0);
    CU_ASSERT(unlink_ms(c1, "f") < 100);
    CU_ASSERT(c2->invals >= 1);
    CU_ASSERT_EQUAL(c1->invals, 0);
    (void)w_lookup(c2, INO_ROOT, "f", E_NOENT);
    w_close();
}

static void test_master_lease_answer_waits_for_the_acknowledgement(void)
{
    w_open(FSOP_MOUNT_THROUGH, 60000 * MS);
    wu_add("f", FSOP_S_IFREG | 0644, 1);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    (void)w_lookup(c2, INO_ROOT, "f", 0);
    c2->mute = true;
    struct fsop op = w_name(FSOP_UNLINK, INO_ROOT, "f");
    w_send(c1, &op, &a);
    w_run_ms(200);
    CU_ASSERT(c2->invals >= 1);
    CU_ASSERT_FALSE(a.done);
    rpc_reply(c2->unanswered, 0, NULL, 0);
    c2->mute = false;
    w_run_ms(100);
    CU_ASSERT(a.done && a.err == 0);
    w_close();
}

static void test_master_lease_silent_client_costs_one_lease(void)
{
    w_open(FSOP_MOUNT_THROUGH, 60000 * MS);
    wu_add("f", FSOP_S_IFREG | 0644, 1);
    wu_add("g", FSOP_S_IFREG | 0644, 1);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    (void)w_lookup(c2, INO_ROOT, "f", 0);
    (void)w_lookup(c2, INO_ROOT, "g", 0);
    c2->no_beats = c2->mute = true;
    int64_t ms = unlink_ms(c1, "f");
    CU_ASSERT(ms > 800 && ms < 1300);
    CU_ASSERT(unlink_ms(c1, "g") < 100); /* once */
    uint64_t epoch = c2->epoch;
    c2->no_beats = c2->mute = false;
    w_run_ms(300);
    CU_ASSERT(c2->epoch != epoch); /* it must drop everything */
    CU_ASSERT(c2->lease_ns > MS);
    w_close();
}

static void test_master_lease_beats_do_not_prolong_what_is_unanswered(void)
{
    w_open(FSOP_MOUNT_THROUGH, 60000 * MS);
    wu_add("f", FSOP_S_IFREG | 0644, 1);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    (void)w_lookup(c2, INO_ROOT, "f", 0);
    c2->mute = true;
    int64_t ms = unlink_ms(c1, "f");
    CU_ASSERT(ms > 800 && ms < 4000);
    w_close();
}

static void test_master_lease_grace_after_a_restart(void)
{
    w_open(FSOP_MOUNT_THROUGH, 60000 * MS);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    w_master_crash();
    w_run_ms(200);
    w_master_start();
    wc_dial(c1); /* c2 may still live on what the last master gave it */
    c1->no_beats = true;
    struct fsop op = w_name(FSOP_MKDIR, INO_ROOT, "d");
    int64_t from = sim_now_ns(ws);
    w_send(c1, &op, &a);
    CU_ASSERT(w_wait(&a, 20000) && a.err == 0);
    CU_ASSERT((sim_now_ns(ws) - from) / MS > 500);
    w_master_crash();
    w_run_ms(200);
    w_master_start();
    wc_dial(c1);
    wc_dial(c2);
    c1->no_beats = c2->no_beats = false;
    w_run_ms(150); /* both have beaten: nothing to wait for */
    from = sim_now_ns(ws);
    CU_ASSERT_EQUAL(w_fs(c1, w_name(FSOP_MKDIR, INO_ROOT, "e"), &a), 0);
    CU_ASSERT((sim_now_ns(ws) - from) / MS < 200);
    w_close();
}

static void test_master_lease_expiry_closes_writers(void)
{
    w_open(FSOP_MOUNT_THROUGH, 0);
    struct wu_file *f = wu_add("f", FSOP_S_IFREG | 0644, 1);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    struct ino ino = w_lookup(c1, INO_ROOT, "f", 0);
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = ino}, &a), 0);
    f->size = 100;
    wu_touch(f);
    struct fsop get = {.kind = FSOP_GETATTR, .ino = ino};
    CU_ASSERT_EQUAL(w_fs(c2, get, &b), 0);
    CU_ASSERT(b.reply.attr.flags & FSATTR_LIVE);
    CU_ASSERT_EQUAL(b.reply.attr.size, 100);
    CU_ASSERT_EQUAL(b.reply.lease_ns, 0);
    sim_node_crash(sim_node_find(ws, "client0"));
    w_run_ms(4000);
    CU_ASSERT_FALSE(meta_session_exists(master_meta(wmaster), c1->session));
    CU_ASSERT_EQUAL(w_fs(c2, get, &b), 0);
    CU_ASSERT_FALSE(b.reply.attr.flags & FSATTR_LIVE);
    CU_ASSERT_EQUAL(b.reply.attr.size, 100);
    w_close();
}

/* One of its files is just being removed and cannot be closed: the others are, so the session ends,
 * even if its client is heard of again. */
static void test_master_lease_expiry_is_not_given_up(void)
{
    w_open(FSOP_MOUNT_THROUGH, 0);
    wu_add("f", FSOP_S_IFREG | 0644, 1);
    wu_add("g", FSOP_S_IFREG | 0644, 1);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    struct ino f = w_lookup(c1, INO_ROOT, "f", 0), g = w_lookup(c1, INO_ROOT, "g", 0);
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = g}, &a), 0);
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = f}, &a), 0);
    c1->no_beats = true;
    w_run_ms(2500);
    wu.latency_ns = 4000 * MS; /* of the first half: 2 s */
    struct fsop op = w_name(FSOP_UNLINK, INO_ROOT, "g");
    w_send(c2, &op, &a);
    w_run_ms(50);
    wu.latency_ns = 2 * MS;
    struct fsop get = {.kind = FSOP_GETATTR, .ino = f};
    int64_t from = sim_now_ns(ws);
    do {
        CU_ASSERT_EQUAL_FATAL(w_fs(c2, get, &b), 0);
        w_run_ms(5);
    } while (b.reply.attr.flags & FSATTR_LIVE && sim_now_ns(ws) - from < 1500 * MS);
    CU_ASSERT_FALSE(b.reply.attr.flags & FSATTR_LIVE);
    w_run_ms(100);
    CU_ASSERT_TRUE(meta_session_exists(master_meta(wmaster), c1->session));
    CU_ASSERT_FALSE(a.done);
    c1->no_beats = false;
    wc_beat(&c1->beat_timer.op);
    w_run_ms(300);
    CU_ASSERT_EQUAL(c1->lease_ns, 0);
    CU_ASSERT(w_wait(&a, 3000) && a.err == 0);
    w_run_ms(500);
    CU_ASSERT_FALSE(meta_session_exists(master_meta(wmaster), c1->session));
    w_close();
}

/* However short a session is: what was begun at the end of its lease is written while the file is
 * LIVE. */
static void test_master_lease_expiry_waits_for_the_last_write(void)
{
    for (int restarts = 0; restarts < 2; restarts++) {
        w_open(FSOP_MOUNT_THROUGH, 0);
        wu_add("f", FSOP_S_IFREG | 0644, 1);
        w_master_crash();
        wcfg.session_ns = 1100 * MS;
        w_master_start();
        struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
        struct ino ino = w_lookup(c1, INO_ROOT, "f", 0);
        CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = ino}, &a), 0);
        w_run_ms(500);
        sim_node_crash(sim_node_find(ws, "client0"));
        int64_t from = sim_now_ns(ws);
        if (restarts) { /* the new leader does not know when the lease began */
            w_master_crash();
            w_master_start();
            wc_dial(c2);
        }
        struct fsop get = {.kind = FSOP_GETATTR, .ino = ino};
        do {
            CU_ASSERT_EQUAL_FATAL(w_fs(c2, get, &b), 0);
            w_run_ms(5);
        } while (b.reply.attr.flags & FSATTR_LIVE && sim_now_ns(ws) - from < 10000 * MS);
        int64_t ms = (sim_now_ns(ws) - from) / MS;
        int64_t beat_ms = 350; /* the last one was so long ago */
        CU_ASSERT(ms > 1000 - beat_ms + RPC_WRITE_VALID_MS && ms < 3500);
        w_close();
    }
}

/* In the moment in which another file has its name below already, and the record is not written
 * yet: the size of a file that is written is its own. */
static void test_master_lease_live_size_is_its_own(void)
{
    w_open(FSOP_MOUNT_THROUGH, 0);
    wu_add("f", FSOP_S_IFREG | 0644, 11);
    wu_add("g", FSOP_S_IFREG | 0644, 222);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    struct ino ino = w_lookup(c1, INO_ROOT, "f", 0);
    (void)w_lookup(c1, INO_ROOT, "g", 0);
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = ino}, &a), 0);
    wu.latency_ns = 40 * MS;
    struct fsop op = w_name(FSOP_RENAME, INO_ROOT, "g");
    op.ino2 = (struct ino){INO_ROOT.v};
    op.name2 = "f";
    op.name2_len = 1;
    w_send(c1, &op, &a);
    for (int i = 0; i < 100 && !wu.count[UFS_RENAME]; i++)
        w_run_ms(1);
    CU_ASSERT_EQUAL(wu_find("f")->size, 222);
    wu.latency_ns = 2 * MS;
    CU_ASSERT_EQUAL(w_fs(c2, (struct fsop){.kind = FSOP_GETATTR, .ino = ino}, &b), 0);
    CU_ASSERT_EQUAL(b.reply.attr.size, 11);
    CU_ASSERT(b.reply.attr.flags & FSATTR_LIVE);
    CU_ASSERT(w_wait(&a, 1000) && a.err == 0);
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_WRITE_CLOSE, .ino = ino}, &a), 0);
    CU_ASSERT_EQUAL(w_fs(c2, (struct fsop){.kind = FSOP_GETATTR, .ino = ino}, &b), 0);
    CU_ASSERT(b.reply.attr.size == 11 && !(b.reply.attr.flags & FSATTR_LIVE));
    w_close();
}

/* The look below is at the file that had the name when it began, the answer about the one that has
 * it now. */
static void test_master_lease_live_size_follows_the_name(void)
{
    w_open(FSOP_MOUNT_THROUGH, 0);
    wu_add("f", FSOP_S_IFREG | 0644, 11);
    struct wu_file *g = wu_add("g", FSOP_S_IFREG | 0644, 222);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    struct ino f_ino = w_lookup(c1, INO_ROOT, "f", 0), g_ino = w_lookup(c1, INO_ROOT, "g", 0);
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = f_ino}, &a), 0);
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = g_ino}, &a), 0);
    wu.latency_ns = 200 * MS;
    unsigned stats = wu.count[UFS_STAT];
    struct fsop look = w_name(FSOP_LOOKUP, INO_ROOT, "f");
    w_send(c2, &look, &b);
    for (int i = 0; i < 200 && wu.count[UFS_STAT] == stats; i++)
        w_run_ms(1);
    wu.latency_ns = 2 * MS;
    struct fsop op = w_name(FSOP_RENAME, INO_ROOT, "g");
    op.ino2 = (struct ino){INO_ROOT.v};
    op.name2 = "f";
    op.name2_len = 1;
    CU_ASSERT_EQUAL(w_fs(c1, op, &a), 0);
    g->size = 333;
    CU_ASSERT_FALSE(b.done);
    CU_ASSERT(w_wait(&b, 1000) && b.err == 0);
    CU_ASSERT_EQUAL(b.reply.attr.ino.v, g_ino.v);
    CU_ASSERT_EQUAL(b.reply.attr.size, 333);
    w_close();
}

/* One client writes a file, which is 100 bytes long by now; the question of another, into b, looks
 * below since before that. */
static struct wc *w_look_while_written(struct ino *ret_ino)
{
    w_open(FSOP_MOUNT_THROUGH, 60000 * MS);
    struct wu_file *f = wu_add("f", FSOP_S_IFREG | 0644, 1);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    *ret_ino = w_lookup(c1, INO_ROOT, "f", 0);
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = *ret_ino}, &a), 0);
    wu.latency_ns = 200 * MS;
    unsigned stats = wu.count[UFS_STAT];
    struct fsop get = {.kind = FSOP_GETATTR, .ino = *ret_ino};
    w_send(c2, &get, &b);
    for (int i = 0; i < 200 && wu.count[UFS_STAT] == stats; i++)
        w_run_ms(1);
    wu.latency_ns = 2 * MS;
    f->size = 100;
    wu_touch(f);
    return c1;
}

/* The look below was made while the file was written, its answer comes after the close. */
static void test_master_lease_live_size_ends_with_the_close(void)
{
    struct ino ino;
    struct wc *c1 = w_look_while_written(&ino);
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_WRITE_CLOSE, .ino = ino}, &a), 0);
    CU_ASSERT_FALSE(b.done);
    CU_ASSERT(w_wait(&b, 1000) && b.err == 0);
    CU_ASSERT_FALSE(b.reply.attr.flags & FSATTR_LIVE);
    CU_ASSERT_EQUAL(b.reply.attr.size, 100);
    w_close();
}

/* ... and the look at the end of writing failed, so what is recorded is that of before it. */
static void test_master_lease_live_size_is_asked_again(void)
{
    struct ino ino;
    struct wc *c1 = w_look_while_written(&ino);
    wu.fail_kind = UFS_STAT;
    wu.fail = E_IO;
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_WRITE_CLOSE, .ino = ino}, &a), 0);
    CU_ASSERT(!wu.fail && !b.done);
    CU_ASSERT(w_wait(&b, 1000) && b.err == 0);
    CU_ASSERT_FALSE(b.reply.attr.flags & FSATTR_LIVE);
    CU_ASSERT_EQUAL(b.reply.attr.size, 100);
    w_close();
}

static void test_master_lease_write_close_records_what_lies_below(void)
{
    w_open(FSOP_MOUNT_THROUGH, 0);
    struct wu_file *f = wu_add("f", FSOP_S_IFREG | 0644, 1);
    struct wc *c1 = wc_new(0, true);
    struct ino ino = w_lookup(c1, INO_ROOT, "f", 0);
    struct fsop open = {.kind = FSOP_WRITE_OPEN, .ino = ino, .flags = FSOP_F_TRUNC};
    CU_ASSERT_EQUAL(w_fs(c1, open, &a), 0);
    CU_ASSERT_EQUAL(f->size, 0);
    f->size = 55;
    wu_touch(f);
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_WRITE_CLOSE, .ino = ino}, &a), 0);
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_GETATTR, .ino = ino}, &a), 0);
    CU_ASSERT(a.reply.attr.size == 55 && !(a.reply.attr.flags & FSATTR_LIVE));
    w_close();
}

static void test_master_lease_own_close_ends_the_session(void)
{
    w_open(FSOP_MOUNT_THROUGH, 0);
    wu_add("f", FSOP_S_IFREG | 0644, 1);
    struct wc *c1 = wc_new(0, true);
    struct ino ino = w_lookup(c1, INO_ROOT, "f", 0);
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = ino}, &a), 0);
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_SESSION_CLOSE, .arg = c1->session.v}, &a),
                    0);
    CU_ASSERT_FALSE(meta_session_exists(master_meta(wmaster), c1->session));
    CU_ASSERT_EQUAL(w_fs(c1, w_name(FSOP_MKDIR, INO_ROOT, "d"), &a), E_SESSION_EXPIRED);
    w_run_ms(300);
    CU_ASSERT_EQUAL(c1->lease_ns, 0); /* what its next beat is told */
    w_close();
}

static void test_master_lease_orphans_go_when_nobody_holds_them(void)
{
    struct meta_stats st;
    w_open(FSOP_MOUNT_THROUGH, 0);
    wu_add("f", FSOP_S_IFREG | 0644, 1);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    c2->held[0] = w_lookup(c2, INO_ROOT, "f", 0).v;
    (void)unlink_ms(c1, "f");
    CU_ASSERT_PTR_NULL(wu_find("f"));
    w_run_ms(4000);
    meta_stats(master_meta(wmaster), &st);
    CU_ASSERT_EQUAL(st.orphans, 1);
    CU_ASSERT(c2->holds_asked >= 1);
    c2->held[0] = 0;
    w_run_ms(16000);
    meta_stats(master_meta(wmaster), &st);
    CU_ASSERT_EQUAL(st.orphans, 0);
    unsigned left = 0;
    for (int i = 0; i < WU_FILES; i++)
        left += wu.files[i].used && wu.files[i].path[0] != 0;
    CU_ASSERT_EQUAL(left, 0);
    w_close();
}

static void test_master_lease_orphan_waits_for_a_session_that_is_away(void)
{
    struct meta_stats st;
    w_open(FSOP_MOUNT_THROUGH, 0);
    wcfg.session_ns = 3000 * MS;
    wu_add("f", FSOP_S_IFREG | 0644, 1);
    struct wc *c1 = wc_new(0, true);
    (void)wc_new(1, true);
    (void)unlink_ms(c1, "f");
    sim_node_crash(sim_node_find(ws, "client1"));
    w_run_ms(1500);
    meta_stats(master_meta(wmaster), &st);
    CU_ASSERT(st.orphans <= 1);
    w_run_ms(20000); /* it expired meanwhile */
    meta_stats(master_meta(wmaster), &st);
    CU_ASSERT_EQUAL(st.orphans, 0);
    w_close();
}

/* an open that comes between a session's "not held" and the end of the round */
static void test_master_lease_orphan_opened_while_all_are_asked(void)
{
    uint8_t none[4];
    struct meta_stats st;
    w_open(FSOP_MOUNT_THROUGH, 0);
    wu_add("f", FSOP_S_IFREG | 0644, 1);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    struct ino f = w_lookup(c1, INO_ROOT, "f", 0);
    c2->no_holds = true;
    (void)unlink_ms(c1, "f");
    unsigned asked = c1->holds_asked;
    for (int i = 0; i < 5000 && c1->holds_asked == asked; i++)
        w_run_ms(1);
    w_run_ms(10);
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_OPEN, .ino = f}, &a), 0);
    c1->held[0] = f.v;
    c2->no_holds = false;
    struct wbuf w = wbuf_make(none, sizeof none);
    rpc_format_inos_put(&w, 0);
    rpc_reply(c2->unanswered_holds, 0, w.p, (uint32_t)w.len);
    w_run_ms(1000);
    meta_stats(master_meta(wmaster), &st);
    CU_ASSERT_EQUAL(st.orphans, 1);
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_OPEN, .ino = f}, &a), 0);
    c1->held[0] = 0;
    w_run_ms(20000);
    meta_stats(master_meta(wmaster), &st);
    CU_ASSERT_EQUAL(st.orphans, 0);
    w_close();
}

/* its maker is not told yet that it is there, so it says that it holds nothing */
static void test_master_lease_orphan_that_is_written(void)
{
    struct meta_stats st;
    w_open(FSOP_MOUNT_THROUGH, 0);
    struct wc *c1 = wc_new(0, true);
    struct fsop make = w_name(FSOP_MKNOD, INO_ROOT, "f");
    make.flags = FSOP_F_OPEN;
    CU_ASSERT_EQUAL(w_fs(c1, make, &a), 0);
    struct ino f = a.reply.attr.ino;
    (void)unlink_ms(c1, "f");
    unsigned asked = c1->holds_asked;
    w_run_ms(5000);
    CU_ASSERT(c1->holds_asked > asked);
    unsigned left = 0;
    for (int i = 0; i < WU_FILES; i++)
        left += wu.files[i].used && !strncmp(wu.files[i].path, ".tarn/", 6);
    CU_ASSERT_EQUAL(left, 1);
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_WRITE_CLOSE, .ino = f}, &a), 0);
    w_run_ms(20000);
    meta_stats(master_meta(wmaster), &st);
    CU_ASSERT_EQUAL(st.orphans, 0);
    w_close();
}

static unsigned hidden_files(void)
{
    unsigned n = 0;
    for (int i = 0; i < WU_FILES; i++)
        n += wu.files[i].used && !strncmp(wu.files[i].path, ".tarn/", 6);
    return n;
}

/* Who was not told yet that the name is gone may open the file from what it has cached, after it
 * said that it holds nothing. */
static void test_master_lease_orphan_of_whom_somebody_has_not_heard(void)
{
    w_config(FSOP_MOUNT_THROUGH, 60000 * MS);
    wcfg.lease_ns = 8000 * MS;
    w_master_start();
    wu_add("f", FSOP_S_IFREG | 0644, 1);
    wu_add("g", FSOP_S_IFREG | 0644, 1);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    (void)w_lookup(c2, INO_ROOT, "f", 0);
    (void)w_lookup(c2, INO_ROOT, "g", 0);
    c2->mute = true;
    struct fsop g = {.kind = FSOP_SETATTR, .valid = FSOP_SET_MODE, .mode = 0600};
    struct fsop f = w_name(FSOP_UNLINK, INO_ROOT, "f");
    g.ino = w_lookup(c1, INO_ROOT, "g", 0);
    w_send(c1, &g, &a);
    w_run_ms(100);
    w_send(c1, &f, &b);
    w_run_ms(4000);
    CU_ASSERT(c2->holds_asked >= 1);
    CU_ASSERT_FALSE(b.done);
    CU_ASSERT_EQUAL(hidden_files(), 1);
    c2->mute = false;
    rpc_reply(c2->unanswered, 0, NULL, 0);
    w_run_ms(20000);
    CU_ASSERT(b.done && b.err == 0);
    CU_ASSERT_EQUAL(hidden_files(), 0);
    w_close();
}

/* an under-store (or a journal) that takes longer than the time between two rounds */
static void test_master_lease_orphan_is_removed_once(void)
{
    struct meta_stats st;
    w_open(FSOP_MOUNT_THROUGH, 0);
    wu_add("f", FSOP_S_IFREG | 0644, 1);
    struct wc *c1 = wc_new(0, true);
    (void)unlink_ms(c1, "f");
    unsigned removed = wu.count[UFS_UNLINK];
    wu.latency_ns = 5000 * MS;
    w_run_ms(20000);
    meta_stats(master_meta(wmaster), &st);
    CU_ASSERT_EQUAL(st.orphans, 0);
    CU_ASSERT_EQUAL(wu.count[UFS_UNLINK] - removed, 1);
    w_close();
}

/* what was written is not known when it ends: the next question looks, also without a name */
static void test_master_lease_write_close_that_could_not_look(void)
{
    for (int k = 0; k < 4; k++) {
        bool expires = k % 2, orphan = k / 2;
        w_open(FSOP_MOUNT_THROUGH, 3600000 * MS);
        struct wu_file *f = wu_add("f", FSOP_S_IFREG | 0644, 1);
        struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
        struct ino ino = w_lookup(c1, INO_ROOT, "f", 0);
        CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = ino}, &a), 0);
        c2->held[0] = ino.v;
        if (orphan)
            CU_ASSERT_EQUAL(w_fs(c2, w_name(FSOP_UNLINK, INO_ROOT, "f"), &a), 0);
        f->size = 9;
        wu_touch(f);
        wu.fail = E_IO;
        wu.fail_kind = UFS_STAT;
        if (expires) {
            sim_node_crash(sim_node_find(ws, "client0"));
            w_run_ms(4000);
        } else {
            CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_WRITE_CLOSE, .ino = ino}, &a), 0);
        }
        CU_ASSERT_EQUAL(wu.fail, 0);
        CU_ASSERT_EQUAL(w_fs(c2, (struct fsop){.kind = FSOP_GETATTR, .ino = ino}, &a), 0);
        CU_ASSERT(a.reply.attr.size == 9 && !(a.reply.attr.flags & FSATTR_LIVE));
        w_close();
    }
}

/* ---- workers */

static void worker_beat(struct wc *c, uint64_t id, uint64_t inc, uint32_t flags,
                        const struct rpc_page_delta *d, uint32_t n, struct wcall *w,
                        struct rpc_worker_beat_reply *ret)
{
    uint8_t body[512];
    struct wbuf o = wbuf_make(body, sizeof body);
    struct rpc_worker_beat beat = {.id = {id},
                                   .incarnation = inc,
                                   .flags = flags,
                                   .addr = "w:1",
                                   .addr_len = 3,
                                   .host = "h",
                                   .host_len = 1,
                                   .capacity = 100,
                                   .used = 10,
                                   .hits = 7,
                                   .n_deltas = n};
    rpc_format_worker_beat_put(&o, &beat);
    for (uint32_t i = 0; i < n; i++)
        rpc_format_delta_put(&o, &d[i]);
    w_call(c, RPC_WORKER_BEAT, o.p, (uint32_t)o.len, w);
    CU_ASSERT(w_wait(w, 1000));
    CU_ASSERT_EQUAL(w->call.op.ret, 0);
    struct rbuf r = rbuf_make(w->body, w->len);
    CU_ASSERT_EQUAL(rpc_format_worker_beat_reply_get(&r, ret), 0);
}

static uint64_t workers_alive(struct wc *c, uint64_t *ret_version)
{
    uint8_t body[32];
    struct wbuf o = wbuf_make(body, sizeof body);
    struct rpc_beat beat = {{0}, 0};
    struct rpc_beat_reply rep;
    struct rpc_worker_info i;
    uint64_t alive = 0;
    rpc_format_beat_put(&o, &beat);
    w_call(c, RPC_SESSION_BEAT, o.p, (uint32_t)o.len, &b);
    CU_ASSERT(w_wait(&b, 1000));
    struct rbuf r = rbuf_make(b.body, b.len);
    CU_ASSERT_EQUAL(rpc_format_beat_reply_get(&r, &rep), 0);
    CU_ASSERT_EQUAL(rep.lease_ns, 0);
    for (uint32_t k = 0; k < rep.n_workers; k++) {
        CU_ASSERT_EQUAL(rpc_format_worker_info_get(&rep.items, &i), 0);
        alive += i.alive;
    }
    *ret_version = rep.workers_version;
    return alive;
}

static uint32_t locations(struct wc *c, struct ino ino)
{
    uint8_t body[32];
    struct wbuf o = wbuf_make(body, sizeof body);
    struct rpc_file f = {ino, 0};
    struct rpc_location l;
    rpc_format_file_put(&o, &f);
    w_call(c, RPC_LOCATION, o.p, (uint32_t)o.len, &b);
    CU_ASSERT(w_wait(&b, 1000));
    struct rbuf r = rbuf_make(b.body, b.len);
    CU_ASSERT_EQUAL(rpc_format_location_get(&r, &l), 0);
    return l.n;
}

static void test_master_member_beats_lists_and_losses(void)
{
    struct rpc_worker_beat_reply rep;
    uint64_t v1, v2, v3;
    w_open(FSOP_MOUNT_THROUGH, 0);
    wu_add("f", FSOP_S_IFREG | 0644, 1);
    struct wc *c = wc_new(0, true), *w = wc_new(1, false);
    struct ino ino = w_lookup(c, INO_ROOT, "f", 0);
    CU_ASSERT_EQUAL(workers_alive(c, &v1), 0);
    worker_beat(w, 5, 1, 0, NULL, 0, &a, &rep);
    CU_ASSERT(rep.want_full && rep.n_mounts == 1 && rep.epoch >= 1);
    struct rpc_mount_item mount;
    CU_ASSERT_EQUAL(rpc_format_mount_get(&rep.items, &mount), 0);
    CU_ASSERT(mount.uri_len == 7 && !memcmp(mount.uri, "model:x", 7));
    struct rpc_page_delta d = {ino, 1, 3, 300};
    worker_beat(w, 5, 1, RPC_BEAT_FULL_BEGIN | RPC_BEAT_FULL_END, &d, 1, &a, &rep);
    CU_ASSERT_FALSE(rep.want_full);
    CU_ASSERT_EQUAL(workers_alive(c, &v2), 1);
    CU_ASSERT(v2 != v1);
    CU_ASSERT_EQUAL(locations(c, ino), 1);
    w_run_ms(2600);
    CU_ASSERT_EQUAL(workers_alive(c, &v3), 0);
    CU_ASSERT(v3 != v2);
    CU_ASSERT_EQUAL(locations(c, ino), 0);
    worker_beat(w, 5, 2, 0, NULL, 0, &a, &rep); /* restarted: its pages are not known */
    CU_ASSERT(rep.want_full);
    CU_ASSERT_EQUAL(workers_alive(c, &v1), 1);
    CU_ASSERT_EQUAL(locations(c, ino), 0);
    worker_beat(w, 5, 2, RPC_BEAT_LEAVING, NULL, 0, &a, &rep);
    CU_ASSERT_EQUAL(workers_alive(c, &v1), 0);
    w_close();
}

/* what the last RPC_FREE named */
static struct rpc_free freed[8];
static unsigned n_freed;
static bool worker_is_deaf;

static void worker_on_call(struct rpc_host *h, struct rpc_token t, uint16_t method,
                           const void *body, uint32_t len)
{
    struct rbuf r = rbuf_make(body, len);
    (void)h;
    CU_ASSERT_EQUAL(method, RPC_FREE);
    if (worker_is_deaf)
        return;
    while (rbuf_left(&r) && n_freed < 8 && rpc_format_free_get(&r, &freed[n_freed]) == 0)
        n_freed++;
    rpc_reply(t, 0, NULL, 0);
}

static void test_master_member_orders_old_pages_freed(void)
{
    struct rpc_worker_beat_reply rep;
    w_open(FSOP_MOUNT_THROUGH, 0);
    struct wu_file *f = wu_add("f", FSOP_S_IFREG | 0644, 1);
    struct wc *c = wc_new(0, true), *w = wc_new(1, false);
    w->host.on_call = worker_on_call;
    n_freed = 0;
    struct ino ino = w_lookup(c, INO_ROOT, "f", 0);
    CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = FSOP_GETATTR, .ino = ino}, &a), 0);
    struct rpc_page_delta d = {ino, a.reply.attr.version, 3, 300};
    worker_beat(w, 5, 1, RPC_BEAT_FULL_BEGIN | RPC_BEAT_FULL_END, &d, 1, &a, &rep);
    CU_ASSERT_EQUAL(n_freed, 0);
    f->size = 2;
    wu_touch(f);
    CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = FSOP_GETATTR, .ino = ino}, &a), 0);
    worker_beat(w, 5, 1, 0, NULL, 0, &b, &rep);
    w_run_ms(50);
    CU_ASSERT_EQUAL(n_freed, 1);
    CU_ASSERT(freed[0].ino.v == ino.v && freed[0].below == a.reply.attr.version);
    w_close();
}

/* after a restore the state is older than what workers cached of it: those versions will be others
 */
static void test_master_member_orders_pages_freed_that_are_ahead(void)
{
    struct rpc_worker_beat_reply rep;
    w_open(FSOP_MOUNT_THROUGH, 0);
    wu_add("f", FSOP_S_IFREG | 0644, 1);
    struct wc *c = wc_new(0, true), *w = wc_new(1, false);
    w->host.on_call = worker_on_call;
    n_freed = 0;
    struct ino ino = w_lookup(c, INO_ROOT, "f", 0);
    CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = FSOP_GETATTR, .ino = ino}, &a), 0);
    struct rpc_page_delta d = {ino, a.reply.attr.version + 1, 3, 300};
    worker_beat(w, 5, 1, RPC_BEAT_FULL_BEGIN | RPC_BEAT_FULL_END, &d, 1, &a, &rep);
    w_run_ms(50);
    CU_ASSERT_EQUAL(n_freed, 1);
    CU_ASSERT(freed[0].ino.v == ino.v && freed[0].below == UINT64_MAX);
    w_close();
}

/* an order that got lost is given again */
static void test_master_member_repeats_a_lost_order(void)
{
    struct rpc_worker_beat_reply rep;
    w_open(FSOP_MOUNT_THROUGH, 0);
    struct wu_file *f = wu_add("f", FSOP_S_IFREG | 0644, 1);
    struct wc *c = wc_new(0, true), *w = wc_new(1, false);
    w->host.on_call = worker_on_call;
    n_freed = 0;
    worker_is_deaf = true;
    struct ino ino = w_lookup(c, INO_ROOT, "f", 0);
    struct rpc_page_delta d = {ino, 1, 3, 300};
    worker_beat(w, 5, 1, RPC_BEAT_FULL_BEGIN | RPC_BEAT_FULL_END, &d, 1, &a, &rep);
    f->size = 2;
    wu_touch(f);
    CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = FSOP_GETATTR, .ino = ino}, &a), 0);
    uint64_t version = a.reply.attr.version;
    for (int i = 0; i < 45; i++) {
        worker_beat(w, 5, 1, 0, NULL, 0, &b, &rep);
        worker_is_deaf = i < 20;
        w_run_ms(200);
    }
    CU_ASSERT_EQUAL(n_freed, 1);
    CU_ASSERT(freed[0].ino.v == ino.v && freed[0].below == version);
    CU_ASSERT_EQUAL(w_admin(c, RPC_ADMIN_FREE, "/f", &a), 0);
    CU_ASSERT(a.len == 8 && !memcmp(a.body, "files 1\n", 8));
    worker_beat(w, 5, 1, 0, NULL, 0, &b, &rep);
    w_run_ms(50);
    CU_ASSERT(n_freed == 2 && freed[1].below == UINT64_MAX);
    w_close();
}

static void test_master_status_is_lines_of_key_and_value(void)
{
    struct rpc_worker_beat_reply rep;
    w_open(FSOP_MOUNT_THROUGH, 0);
    struct wc *c = wc_new(0, true);
    worker_beat(c, 5, 1, 0, NULL, 0, &a, &rep);
    w_call(c, RPC_STATUS, "", 0, &a);
    CU_ASSERT(w_wait(&a, 1000));
    a.body[a.len] = 0;
    const char *text = (const char *)a.body;
    if (getenv("UNIT_LOG"))
        fputs(text, stderr);
    static const char *const want[] = {"state serving\n",          "role leader\n",
                                       "mounts.0.path /\n",        "mounts.0.mode through\n",
                                       "workers.0.capacity 100\n", "workers.0.hits 7\n",
                                       "total.hits 7\n",           "sessions.now 1\n",
                                       "\njournal.applied ",       "\nmeta.inodes "};
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        CU_ASSERT_PTR_NOT_NULL(strstr(text, want[i]));
    w_close();
}

/* the second change finds the first invalidation still unacknowledged */
static void test_master_lease_second_change_waits_as_well(void)
{
    w_open(FSOP_MOUNT_THROUGH, 60000 * MS);
    wu_add("f", FSOP_S_IFREG | 0644, 1);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true), *c3 = wc_new(2, true);
    struct ino f = w_lookup(c2, INO_ROOT, "f", 0);
    struct fsop op = {.kind = FSOP_SETATTR, .ino = f, .valid = FSOP_SET_SIZE, .size = 5}, op3 = op;
    op3.size = 6;
    c2->mute = true;
    w_send(c1, &op, &a);
    w_run_ms(50);
    w_send(c3, &op3, &b);
    w_run_ms(50);
    CU_ASSERT_FALSE(a.done);
    CU_ASSERT_FALSE(b.done); /* c2 may still use what was true before both */
    c2->mute = false;
    rpc_reply(c2->unanswered, 0, NULL, 0);
    CU_ASSERT(w_wait(&a, 100) && w_wait(&b, 100));
    CU_ASSERT(a.err == 0 && b.err == 0);
    /* c1 had nothing that it could have been told to drop, and its answer is old by now */
    CU_ASSERT(a.reply.attr.size == 5 && a.reply.lease_ns == 0);
    CU_ASSERT(b.reply.attr.size == 6 && b.reply.lease_ns > 0);
    w_close();
}

/* whose open for writing changes nothing, as another's did before, waits as that one does */
static void test_master_lease_second_writer_waits_as_well(void)
{
    w_open(FSOP_MOUNT_THROUGH, 60000 * MS);
    wu_add("f", FSOP_S_IFREG | 0644, 1);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true), *c3 = wc_new(2, true);
    struct fsop op = {.kind = FSOP_WRITE_OPEN, .ino = w_lookup(c2, INO_ROOT, "f", 0)};
    c2->mute = true;
    w_send(c1, &op, &a);
    w_run_ms(50);
    w_send(c3, &op, &b);
    w_run_ms(50);
    CU_ASSERT_FALSE(a.done);
    CU_ASSERT_FALSE(b.done); /* c2 may still use the size from before all writing */
    c2->mute = false;
    rpc_reply(c2->unanswered, 0, NULL, 0);
    CU_ASSERT(w_wait(&a, 100) && w_wait(&b, 100));
    CU_ASSERT(a.err == 0 && b.err == 0);
    w_close();
}

/* an answer kept from before is given no earlier than the first would have been */
static void test_master_lease_kept_answer_waits_for_acknowledgements(void)
{
    w_open(FSOP_MOUNT_THROUGH, 60000 * MS);
    wu_add("f", FSOP_S_IFREG | 0644, 1);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    (void)w_lookup(c1, INO_ROOT, "f", 0);
    wu.fail = E_TIMEOUT;
    wu.fail_kind = UFS_UNLINK;
    wu.fail_always = true;
    struct fsop op = w_name(FSOP_UNLINK, INO_ROOT, "f");
    w_send(c1, &op, &a);
    w_run_ms(50);
    w_master_crash();
    w_run_ms(200);
    w_master_start();
    wc_dial(c1);
    wc_dial(c2);
    w_run_ms(1200);
    (void)w_lookup(c2, INO_ROOT, "f", 0);
    c2->mute = true;
    wu.fail = 0; /* the effect that is owed is done while nobody waits for it */
    for (int i = 0; i < 3000 && wu_find("f"); i++)
        w_run_ms(1);
    w_run_ms(10);
    CU_ASSERT_PTR_NULL(wu_find("f"));
    w_send(c1, &op, &a);
    w_run_ms(100);
    CU_ASSERT_FALSE(a.done);
    c2->mute = false;
    rpc_reply(c2->unanswered, 0, NULL, 0);
    CU_ASSERT(w_wait(&a, 100));
    CU_ASSERT(a.err == 0 && (a.reply.flags & FSOP_R_DUPLICATE));
    w_close();
}

/* A beat at a new leader does not say that what the last one gave is forgotten: the client learns
 * of the new leader from the answer. */
static void test_master_lease_new_leader_is_sure_that_all_is_dropped(void)
{
    w_open(FSOP_MOUNT_THROUGH, 60000 * MS);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    w_master_crash();
    w_run_ms(200);
    w_master_start();
    wc_dial(c1);
    wc_dial(c2);
    c2->mute = true;
    w_run_ms(300);
    CU_ASSERT(c2->epoch == 2 && c2->lease_ns > 0); /* it has beaten */
    struct fsop op = w_name(FSOP_MKDIR, INO_ROOT, "d");
    w_send(c1, &op, &a);
    w_run_ms(100);
    CU_ASSERT_FALSE(a.done);
    CU_ASSERT(c2->invals >= 1);
    c2->mute = false;
    rpc_reply(c2->unanswered, 0, NULL, 0);
    CU_ASSERT(w_wait(&a, 100) && a.err == 0);
    w_close();
}

/* more to say than one message holds, to a client that does not listen: it loses its lease */
static void test_master_lease_overflow_costs_the_lease(void)
{
    char name[64];
    w_open(FSOP_MOUNT_META, 0);
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    CU_ASSERT_EQUAL(w_readdir(c2, INO_ROOT), 0);
    c2->mute = true;
    uint64_t epoch = c2->epoch;
    static struct wcall many[40];
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 40; i++) {
            struct fsop op = {.kind = FSOP_MKDIR, .ino = INO_ROOT, .mode = 0755, .name = name};
            op.name_len = (uint32_t)snprintf(name, sizeof name, "a-rather-long-name-%d-%d-%040d",
                                             round, i, i);
            w_send(c1, &op, &many[i]);
        }
        w_run_ms(round ? 20 : 30);
        for (int i = 0; i < 40; i++)
            CU_ASSERT(w_wait(&many[i], 5000));
    }
    c2->mute = false;
    w_run_ms(1500);
    CU_ASSERT(c2->epoch != epoch); /* drop everything */
    CU_ASSERT(c2->lease_ns > MS);
    struct fsop list = {.kind = FSOP_READDIR, .ino = INO_ROOT};
    CU_ASSERT_EQUAL(w_fs(c2, list, &a), 0);
    CU_ASSERT(a.reply.lease_ns > 0);
    w_close();
}

/* more is given out than can be remembered: the oldest places are asked back */
static void test_master_lease_holds_are_evicted(void)
{
    struct fsop_reply last = {0};
    w_open(FSOP_MOUNT_META, 0);
    w_master_crash();
    w_run_ms(100);
    wcfg.limits.inodes_max = 8192;
    w_master_start();
    struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
    static struct ino made[4400];
    static struct wcall calls[32];
    char name[16];
    for (int i = 0; i < 4400; i += 32) {
        for (int k = 0; k < 32 && i + k < 4400; k++) {
            snprintf(name, sizeof name, "%d", i + k);
            struct fsop op = w_name(FSOP_MKNOD, INO_ROOT, name);
            op.acked = c1->seq > 100 ? c1->seq - 100 : 0;
            w_send(c1, &op, &calls[k]);
        }
        for (int k = 0; k < 32 && i + k < 4400; k++) {
            CU_ASSERT(w_wait(&calls[k], 2000) && calls[k].err == 0);
            made[i + k] = calls[k].reply.attr.ino;
        }
    }
    w_run_ms(2000);
    CU_ASSERT(c1->invals > 0);
    for (int i = 0; i < 4400; i += 32) {
        for (int k = 0; k < 32 && i + k < 4400; k++) {
            struct fsop op = {.kind = FSOP_GETATTR, .ino = made[i + k]};
            w_send(c2, &op, &calls[k]);
        }
        for (int k = 0; k < 32 && i + k < 4400; k++)
            CU_ASSERT(w_wait(&calls[k], 2000) && calls[k].err == 0);
        last = calls[0].reply;
    }
    w_run_ms(2000);
    CU_ASSERT_EQUAL(w_fs(c2, (struct fsop){.kind = FSOP_GETATTR, .ino = last.attr.ino}, &a), 0);
    CU_ASSERT(a.reply.lease_ns > 0);
    unsigned invals = c2->invals;
    struct fsop sa = {
        .kind = FSOP_SETATTR, .ino = last.attr.ino, .valid = FSOP_SET_SIZE, .size = 9};
    CU_ASSERT_EQUAL(w_fs(c1, sa, &a), 0);
    CU_ASSERT(c2->invals > invals);
    w_close();
}

/* a kept answer of one session may name another that has ended long ago */
static void test_master_lease_repeated_open_revives_nobody(void)
{
    w_open(FSOP_MOUNT_THROUGH, 0);
    wu_add("f", FSOP_S_IFREG | 0644, 1);
    struct wc *c = wc_new(0, true);
    struct fsop open = {.kind = FSOP_SESSION_OPEN, .name = "x", .name_len = 1};
    w_send(c, &open, &a);
    CU_ASSERT(w_wait(&a, 1000) && a.err == 0);
    struct session_id mine = c->session, other = {a.reply.value};
    c->session = other;
    CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = FSOP_SESSION_CLOSE, .arg = other.v}, &a), 0);
    c->session = mine;
    open.session = mine;
    w_send(c, &open, &a);
    CU_ASSERT(w_wait(&a, 1000) && a.err == 0);
    CU_ASSERT(a.reply.flags & FSOP_R_DUPLICATE);
    rpc_hangup(c->conn);
    w_run_ms(10);
    wc_dial(c);
    (void)w_lookup(c, INO_ROOT, "f", 0);
    (void)unlink_ms(c, "f");
    for (int i = 0; i < 20000 && wu.count[UFS_UNLINK] < 2; i += 100)
        w_run_ms(100);
    CU_ASSERT_EQUAL(wu.count[UFS_UNLINK], 2); /* its bytes are gone, too */
    w_close();
}

UNIT_MAIN(
    "master_lease", UNIT(test_master_lease_repeated_open_revives_nobody),
    UNIT(test_master_lease_second_change_waits_as_well),
    UNIT(test_master_lease_second_writer_waits_as_well),
    UNIT(test_master_lease_kept_answer_waits_for_acknowledgements),
    UNIT(test_master_lease_new_leader_is_sure_that_all_is_dropped),
    UNIT(test_master_lease_overflow_costs_the_lease), UNIT(test_master_lease_holds_are_evicted),
    UNIT(test_master_lease_others_are_told_before_the_answer),
    UNIT(test_master_lease_answer_waits_for_the_acknowledgement),
    UNIT(test_master_lease_silent_client_costs_one_lease),
    UNIT(test_master_lease_beats_do_not_prolong_what_is_unanswered),
    UNIT(test_master_lease_grace_after_a_restart), UNIT(test_master_lease_expiry_closes_writers),
    UNIT(test_master_lease_expiry_is_not_given_up),
    UNIT(test_master_lease_expiry_waits_for_the_last_write),
    UNIT(test_master_lease_live_size_is_its_own),
    UNIT(test_master_lease_live_size_follows_the_name),
    UNIT(test_master_lease_live_size_ends_with_the_close),
    UNIT(test_master_lease_live_size_is_asked_again),
    UNIT(test_master_lease_write_close_records_what_lies_below),
    UNIT(test_master_lease_own_close_ends_the_session),
    UNIT(test_master_lease_orphans_go_when_nobody_holds_them),
    UNIT(test_master_lease_orphan_waits_for_a_session_that_is_away),
    UNIT(test_master_lease_orphan_opened_while_all_are_asked),
    UNIT(test_master_lease_orphan_that_is_written), UNIT(test_master_lease_orphan_is_removed_once),
    UNIT(test_master_lease_orphan_of_whom_somebody_has_not_heard),
    UNIT(test_master_lease_write_close_that_could_not_look),
    UNIT(test_master_member_beats_lists_and_losses),
    UNIT(test_master_member_orders_old_pages_freed), UNIT(test_master_member_repeats_a_lost_order),
    UNIT(test_master_member_orders_pages_freed_that_are_ahead),
    UNIT(test_master_status_is_lines_of_key_and_value))
