/* tests/unit/test_master_crash.c - the master is killed, or loses its power, at every event of
 * every kind of operation; the client asks again with the same number.
 *
 * Each scenario is set up, its operation is sent, the world makes k events, the master dies, a new
 * one starts, the same request comes again: for k = 0, 1, 2, ... until the first answer was there
 * for a while.  Then the answer is the expected one (the same as the first, where there was one),
 * the tree and the under-store are equal, and no intent, lock or hidden file is left over. */
#include "tests/unit/master_world.h"

static struct wcall a, b;

struct crash_case {
    void (*prepare)(struct wc *c, struct fsop *ret_op);
    bool (*is_done)(void); /* what must hold in the under-store afterwards; may be NULL */
    int want;              /* the answer's error */
    unsigned orphans;      /* left because somebody holds them */
};

static struct ino crash_dir(struct wc *c, const char *name)
{
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKDIR, INO_ROOT, name), &a), 0);
    return a.reply.attr.ino;
}

static struct ino crash_file(struct wc *c, struct ino dir, const char *name)
{
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKNOD, dir, name), &a), 0);
    return a.reply.attr.ino;
}

static struct fsop crash_rename(struct ino from, const char *name, struct ino to, const char *name2)
{
    struct fsop op = w_name(FSOP_RENAME, from, name);
    op.ino2 = to;
    op.name2 = name2;
    op.name2_len = (uint32_t)strlen(name2);
    return op;
}

/* --- the tree beside the under-store --- */

static void crash_compare_dir(struct ino dir, const char *path, unsigned *seen)
{
    static uint8_t buf[8][LIMIT_BATCH];
    static unsigned depth;
    struct fsop op = {
        .kind = FSOP_READDIR, .ino = dir, .flags = FSOP_F_ABSENT, .size = LIMIT_BATCH};
    struct fsop_reply rep;
    if (depth == 8)
        return;
    meta_query(master_meta(wmaster), &op, buf[depth], LIMIT_BATCH, &rep);
    CU_ASSERT_EQUAL(rep.err, 0);
    struct rbuf r = rbuf_make(rep.data, rep.data_len);
    struct fsop_dirent d;
    while (rbuf_left(&r) && fsop_dirent_get(&r, &d) == 0) {
        char at[WU_PATH];
        snprintf(at, sizeof at, "%s%s%.*s", path, path[0] ? "/" : "", (int)d.name_len, d.name);
        struct wu_file *f = wu_find(at);
        CU_ASSERT_PTR_NOT_NULL(f);
        ++*seen;
        if (!f)
            continue;
        CU_ASSERT_EQUAL(d.attr.mode & FSOP_S_IFMT, f->mode & FSOP_S_IFMT);
        if ((f->mode & FSOP_S_IFMT) == FSOP_S_IFDIR) {
            depth++;
            crash_compare_dir(d.attr.ino, at, seen);
            depth--;
            continue;
        }
        CU_ASSERT_EQUAL(d.attr.mode & 07777, f->mode & 07777);
        if ((f->mode & FSOP_S_IFMT) == FSOP_S_IFREG) {
            CU_ASSERT_EQUAL(d.attr.size, f->size);
            CU_ASSERT_EQUAL(d.attr.mtime_ns, f->mtime_ns);
        }
    }
}

static void crash_compare(unsigned orphans)
{
    unsigned seen = 0, below = 0, hidden = 0;
    struct meta_stats st;
    crash_compare_dir(INO_ROOT, "", &seen);
    for (int i = 0; i < WU_FILES; i++) {
        const struct wu_file *f = &wu.files[i];
        bool is_hidden = !strncmp(f->path, ".tarn/", 6);
        hidden += f->used && is_hidden;
        below += f->used && f->path[0] && !is_hidden;
    }
    meta_stats(master_meta(wmaster), &st);
    CU_ASSERT_EQUAL(seen, below);
    CU_ASSERT_EQUAL(st.intents, 0);
    CU_ASSERT_EQUAL(st.orphans, orphans);
    CU_ASSERT_EQUAL(hidden, orphans);
}

/* --- the sweep --- */

/* ret: the first answer had been there for a while when the master died */
static bool crash_at(const struct crash_case *cc, unsigned events, bool is_power)
{
    unsigned failures = CU_get_number_of_failures();
    struct fsop op, again;
    bool was_there = false;
    w_open(FSOP_MOUNT_THROUGH, 0);
    struct wc *c = wc_new(0, true);
    cc->prepare(c, &op);
    c->no_beats = true;
    w_send(c, &op, &a);
    again = op;
    for (unsigned k = 0, after = 0; k < events && !was_there; k++) {
        sim_step(ws);
        was_there = a.done && ++after > 12;
    }
    bool had = a.done && !a.call.op.ret;
    int err = a.err;
    uint64_t ino = a.reply.attr.ino.v;
    if (is_power)
        sim_node_power_loss(sim_node_find(ws, "master"));
    else
        sim_node_crash(sim_node_find(ws, "master"));
    c->conn = is_power ? NULL : c->conn; /* nobody says that it is gone */
    w_run_ms(200);
    w_master_start();
    wc_dial(c);
    c->no_beats = false;
    w_send(c, &again, &b);
    CU_ASSERT(w_wait(&b, 10000));
    CU_ASSERT_EQUAL(b.err, cc->want);
    if (had && !fsop_is_query(op.kind)) {
        CU_ASSERT_EQUAL(err, b.err);
        CU_ASSERT_EQUAL(ino, b.reply.attr.ino.v);
    }
    w_run_ms(2500);
    crash_compare(cc->orphans);
    CU_ASSERT(!cc->is_done || cc->is_done());
    w_close();
    if (CU_get_number_of_failures() != failures)
        fprintf(stderr, "%s after %u events\n", is_power ? "power loss" : "crash", events);
    return was_there;
}

static void crash_sweep(const struct crash_case *cc)
{
    unsigned failures = CU_get_number_of_failures();
    for (int is_power = 0; is_power < 2; is_power++)
        for (unsigned k = 0; k < 400; k += 1 + (unsigned)is_power)
            if (crash_at(cc, k, is_power) || CU_get_number_of_failures() != failures)
                break;
}

/* --- the operations --- */

static void prepare_mkdir(struct wc *c, struct fsop *op)
{
    (void)c;
    *op = w_name(FSOP_MKDIR, INO_ROOT, "d");
}

static bool done_mkdir(void)
{
    return wu_find("d") != NULL;
}

static void test_master_crash_mkdir(void)
{
    crash_sweep(&(struct crash_case){prepare_mkdir, done_mkdir, 0, 0});
}

static void prepare_create(struct wc *c, struct fsop *op)
{
    *op = w_name(FSOP_MKNOD, crash_dir(c, "d"), "f");
}

static bool done_create(void)
{
    return wu_find("d/f") != NULL;
}

static void test_master_crash_create(void)
{
    crash_sweep(&(struct crash_case){prepare_create, done_create, 0, 0});
}

static void prepare_symlink(struct wc *c, struct fsop *op)
{
    (void)c;
    *op = w_name(FSOP_SYMLINK, INO_ROOT, "s");
    op->data = "there";
    op->data_len = 5;
}

static bool done_symlink(void)
{
    return wu_find("s") && !strcmp(wu_find("s")->target, "there");
}

static void test_master_crash_symlink(void)
{
    crash_sweep(&(struct crash_case){prepare_symlink, done_symlink, 0, 0});
}

static void prepare_link(struct wc *c, struct fsop *op)
{
    struct ino f = crash_file(c, INO_ROOT, "f");
    *op = w_name(FSOP_LINK, f, "g");
    op->ino2 = crash_dir(c, "d");
}

static bool done_link(void)
{
    return wu_find("d/g") && wu_find("f") && wu_find("d/g")->ino == wu_find("f")->ino;
}

static void test_master_crash_link(void)
{
    crash_sweep(&(struct crash_case){prepare_link, done_link, 0, 0});
}

static void prepare_unlink(struct wc *c, struct fsop *op)
{
    (void)crash_file(c, INO_ROOT, "f");
    *op = w_name(FSOP_UNLINK, INO_ROOT, "f");
}

static bool done_unlink(void)
{
    return !wu_find("f");
}

static void test_master_crash_unlink(void)
{
    crash_sweep(&(struct crash_case){prepare_unlink, done_unlink, 0, 0});
}

static void prepare_unlink_held(struct wc *c, struct fsop *op)
{
    c->held[0] = crash_file(c, INO_ROOT, "f").v;
    *op = w_name(FSOP_UNLINK, INO_ROOT, "f");
}

static void test_master_crash_unlink_of_an_open_file(void)
{
    crash_sweep(&(struct crash_case){prepare_unlink_held, done_unlink, 0, 1});
}

static void prepare_unlink_unknown(struct wc *c, struct fsop *op)
{
    (void)c;
    wu_add("f", FSOP_S_IFREG | 0644, 7);
    *op = w_name(FSOP_UNLINK, INO_ROOT, "f");
}

static void test_master_crash_unlink_of_an_unknown_name(void)
{
    crash_sweep(&(struct crash_case){prepare_unlink_unknown, done_unlink, 0, 0});
}

/* --- a file that loses one of its names keeps its version --- */

static struct ino crash_kept;
static uint64_t crash_version;

/* "g" and "k" are one file, which is known as it is */
static void prepare_two_names(struct wc *c)
{
    crash_kept = crash_file(c, INO_ROOT, "g");
    struct fsop op = w_name(FSOP_LINK, crash_kept, "k");
    op.ino2 = INO_ROOT;
    CU_ASSERT_EQUAL(w_fs(c, op, &a), 0);
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_LOOKUP, INO_ROOT, "k"), &a), 0);
    CU_ASSERT_EQUAL(a.reply.attr.ino.v, crash_kept.v);
    crash_version = a.reply.attr.version;
}

/* after a comparison by its other name */
static bool done_version(void)
{
    struct wc *c = wc_new(1, true);
    return w_fs(c, w_name(FSOP_LOOKUP, INO_ROOT, "k"), &a) == 0 &&
           a.reply.attr.ino.v == crash_kept.v && a.reply.attr.version == crash_version;
}

static void prepare_unlink_one(struct wc *c, struct fsop *op)
{
    prepare_two_names(c);
    *op = w_name(FSOP_UNLINK, INO_ROOT, "g");
}

static bool done_unlink_one(void)
{
    return !wu_find("g") && wu_find("k") && done_version();
}

static void test_master_crash_unlink_of_one_of_two_names(void)
{
    crash_sweep(&(struct crash_case){prepare_unlink_one, done_unlink_one, 0, 0});
}

static void prepare_rename_over_one(struct wc *c, struct fsop *op)
{
    prepare_two_names(c);
    (void)crash_file(c, INO_ROOT, "f");
    *op = crash_rename(INO_ROOT, "f", INO_ROOT, "g");
}

static bool done_rename_over_one(void)
{
    return !wu_find("f") && wu_find("g") && wu_find("k") && done_version();
}

static void test_master_crash_rename_over_one_of_two_names(void)
{
    crash_sweep(&(struct crash_case){prepare_rename_over_one, done_rename_over_one, 0, 0});
}

static void prepare_rmdir(struct wc *c, struct fsop *op)
{
    (void)crash_dir(c, "d");
    *op = w_name(FSOP_RMDIR, INO_ROOT, "d");
}

static bool done_rmdir(void)
{
    return !wu_find("d");
}

static void test_master_crash_rmdir(void)
{
    crash_sweep(&(struct crash_case){prepare_rmdir, done_rmdir, 0, 0});
}

static void prepare_rename(struct wc *c, struct fsop *op)
{
    (void)crash_file(c, INO_ROOT, "f");
    *op = crash_rename(INO_ROOT, "f", crash_dir(c, "d"), "g");
}

static bool done_rename(void)
{
    return !wu_find("f") && wu_find("d/g");
}

static void test_master_crash_rename(void)
{
    crash_sweep(&(struct crash_case){prepare_rename, done_rename, 0, 0});
}

static uint64_t crash_ino;

static void prepare_rename_over(struct wc *c, struct fsop *op)
{
    struct ino d = crash_dir(c, "d");
    (void)crash_file(c, INO_ROOT, "f");
    crash_ino = wu_find("f")->ino;
    (void)crash_file(c, d, "g");
    *op = crash_rename(INO_ROOT, "f", d, "g");
}

static bool done_rename_over(void)
{
    return !wu_find("f") && wu_find("d/g") && wu_find("d/g")->ino == crash_ino;
}

static void test_master_crash_rename_over_a_file(void)
{
    crash_sweep(&(struct crash_case){prepare_rename_over, done_rename_over, 0, 0});
}

static void prepare_rename_over_held(struct wc *c, struct fsop *op)
{
    prepare_rename_over(c, op);
    c->held[0] = w_lookup(c, op->ino2, "g", 0).v;
}

static void test_master_crash_rename_over_an_open_file(void)
{
    crash_sweep(&(struct crash_case){prepare_rename_over_held, done_rename_over, 0, 1});
}

static void prepare_rename_over_dir(struct wc *c, struct fsop *op)
{
    (void)crash_dir(c, "f");
    crash_ino = wu_find("f")->ino;
    (void)crash_dir(c, "g");
    *op = crash_rename(INO_ROOT, "f", INO_ROOT, "g");
}

static bool done_rename_over_dir(void)
{
    return !wu_find("f") && wu_find("g") && wu_find("g")->ino == crash_ino;
}

static void test_master_crash_rename_over_an_empty_directory(void)
{
    crash_sweep(&(struct crash_case){prepare_rename_over_dir, done_rename_over_dir, 0, 0});
}

static void prepare_rename_dir(struct wc *c, struct fsop *op)
{
    struct ino from = crash_dir(c, "from"), to = crash_dir(c, "to");
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKDIR, from, "d"), &a), 0);
    (void)crash_file(c, a.reply.attr.ino, "f");
    *op = crash_rename(from, "d", to, "e");
}

static bool done_rename_dir(void)
{
    return !wu_find("from/d") && wu_find("to/e/f");
}

static void test_master_crash_rename_of_a_directory(void)
{
    crash_sweep(&(struct crash_case){prepare_rename_dir, done_rename_dir, 0, 0});
}

static void prepare_setattr_size(struct wc *c, struct fsop *op)
{
    struct ino f = crash_file(c, INO_ROOT, "f");
    *op = (struct fsop){.kind = FSOP_SETATTR, .ino = f, .valid = FSOP_SET_SIZE, .size = 77};
}

static bool done_setattr_size(void)
{
    return wu_find("f")->size == 77;
}

static void test_master_crash_setattr_size(void)
{
    crash_sweep(&(struct crash_case){prepare_setattr_size, done_setattr_size, 0, 0});
}

static void prepare_setattr_mode(struct wc *c, struct fsop *op)
{
    struct ino f = crash_file(c, INO_ROOT, "f");
    *op = (struct fsop){.kind = FSOP_SETATTR, .ino = f, .valid = FSOP_SET_MODE, .mode = 0600};
}

static bool done_setattr_mode(void)
{
    return (wu_find("f")->mode & 07777) == 0600;
}

static void test_master_crash_setattr_mode(void)
{
    crash_sweep(&(struct crash_case){prepare_setattr_mode, done_setattr_mode, 0, 0});
}

static void prepare_setattr_times(struct wc *c, struct fsop *op)
{
    struct ino f = crash_file(c, INO_ROOT, "f");
    *op = (struct fsop){.kind = FSOP_SETATTR,
                        .ino = f,
                        .valid = FSOP_SET_ATIME | FSOP_SET_MTIME,
                        .atime_ns = 5,
                        .mtime_ns = 6};
}

static bool done_setattr_times(void)
{
    return wu_find("f")->atime_ns == 5 && wu_find("f")->mtime_ns == 6;
}

static void test_master_crash_setattr_times(void)
{
    crash_sweep(&(struct crash_case){prepare_setattr_times, done_setattr_times, 0, 0});
}

static void prepare_write_open(struct wc *c, struct fsop *op)
{
    wu_add("f", FSOP_S_IFREG | 0644, 9);
    struct ino f = w_lookup(c, INO_ROOT, "f", 0);
    *op = (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = f, .flags = FSOP_F_TRUNC};
}

static bool done_write_open(void)
{
    struct ino ino = meta_writer_next(master_meta(wmaster), wclients[0].session, (struct ino){0});
    return ino.v && wu_find("f")->size == 0;
}

static void test_master_crash_write_open_truncating(void)
{
    crash_sweep(&(struct crash_case){prepare_write_open, done_write_open, 0, 0});
}

static void prepare_write_close(struct wc *c, struct fsop *op)
{
    struct ino f = crash_file(c, INO_ROOT, "f");
    CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = f}, &a), 0);
    wu_find("f")->size = 123;
    wu_touch(wu_find("f"));
    *op = (struct fsop){.kind = FSOP_WRITE_CLOSE, .ino = f};
}

static bool done_write_close(void)
{
    struct session_id s = wclients[0].session;
    return !meta_writer_next(master_meta(wmaster), s, (struct ino){0}).v;
}

static void test_master_crash_write_close(void)
{
    crash_sweep(&(struct crash_case){prepare_write_close, done_write_close, 0, 0});
}

static void prepare_list(struct wc *c, struct fsop *op)
{
    for (int i = 0; i < 7; i++) {
        char name[8] = {'f', (char)('0' + i), 0};
        wu_add(name, FSOP_S_IFREG | 0644, 1);
    }
    (void)w_lookup(c, INO_ROOT, "f3", 0);
    (void)w_lookup(c, INO_ROOT, "f6", 0);
    wu_find("f6")->used = false;
    wu_touch(wu_find(""));
    *op = (struct fsop){.kind = FSOP_READDIR, .ino = INO_ROOT};
}

static void test_master_crash_listing(void)
{
    crash_sweep(&(struct crash_case){prepare_list, NULL, 0, 0});
}

static void prepare_refresh(struct wc *c, struct fsop *op)
{
    wu_add("f", FSOP_S_IFREG | 0644, 9);
    struct ino f = w_lookup(c, INO_ROOT, "f", 0);
    wu_find("f")->size = 10;
    wu_touch(wu_find("f"));
    *op = (struct fsop){.kind = FSOP_GETATTR, .ino = f};
}

static void test_master_crash_refresh(void)
{
    crash_sweep(&(struct crash_case){prepare_refresh, NULL, 0, 0});
}

static void prepare_session_open(struct wc *c, struct fsop *op)
{
    c->session.v = 0; /* the one that it had expires */
    *op = (struct fsop){.kind = FSOP_SESSION_OPEN, .name = "x", .name_len = 1};
}

static void test_master_crash_session_open(void)
{
    for (int is_power = 0; is_power < 2; is_power++)
        for (unsigned k = 0; k < 60; k += 2) {
            struct fsop op;
            struct meta_stats st;
            w_open(FSOP_MOUNT_THROUGH, 0);
            struct wc *c = wc_new(0, true);
            prepare_session_open(c, &op);
            w_send(c, &op, &a);
            for (unsigned n = 0; n < k; n++)
                sim_step(ws);
            uint64_t first = a.done ? a.reply.value : 0;
            (is_power ? sim_node_power_loss : sim_node_crash)(sim_node_find(ws, "master"));
            c->conn = is_power ? NULL : c->conn;
            w_run_ms(200);
            w_master_start();
            if (first)
                CU_ASSERT(meta_session_exists(master_meta(wmaster), (struct session_id){first}));
            wc_dial(c);
            w_send(c, &op, &b);
            CU_ASSERT(w_wait(&b, 5000) && b.err == 0 && b.reply.value != first);
            c->session.v = b.reply.value;
            w_run_ms(4000);
            meta_stats(master_meta(wmaster), &st);
            CU_ASSERT_EQUAL(st.sessions, 1); /* those that nobody uses have expired */
            w_close();
        }
}

/* the master dies somewhere in the second in which a session with an open file expires */
static void test_master_crash_session_expiry(void)
{
    for (unsigned k = 0; k < 60; k += 3) {
        struct meta_stats st;
        w_open(FSOP_MOUNT_THROUGH, 0);
        wu_add("f", FSOP_S_IFREG | 0644, 1);
        struct wc *c1 = wc_new(0, true), *c2 = wc_new(1, true);
        struct ino ino = w_lookup(c1, INO_ROOT, "f", 0);
        CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = ino}, &a), 0);
        CU_ASSERT_EQUAL(w_fs(c1, w_name(FSOP_UNLINK, INO_ROOT, "f"), &a), 0);
        sim_node_crash(sim_node_find(ws, "client0"));
        for (int ms = 0; ms < 4000 && master_state(wmaster, NULL) == MASTER_SERVING; ms++) {
            struct meta_stats now;
            meta_stats(master_meta(wmaster), &now);
            if (sim_now_ns(ws) > 3000 * MS && ms > 2950)
                break;
            w_run_ms(1);
        }
        for (unsigned n = 0; n < k * 4; n++)
            sim_step(ws);
        (k & 1 ? sim_node_power_loss : sim_node_crash)(sim_node_find(ws, "master"));
        w_run_ms(200);
        w_master_start();
        c2->conn = NULL;
        wc_dial(c2);
        w_run_ms(12000);
        meta_stats(master_meta(wmaster), &st);
        CU_ASSERT_EQUAL(st.sessions, 1);
        CU_ASSERT_EQUAL(st.intents, 0);
        crash_compare(0);
        w_close();
    }
}

UNIT_MAIN("master_crash", UNIT(test_master_crash_mkdir), UNIT(test_master_crash_create),
          UNIT(test_master_crash_symlink), UNIT(test_master_crash_link),
          UNIT(test_master_crash_unlink), UNIT(test_master_crash_unlink_of_an_open_file),
          UNIT(test_master_crash_unlink_of_an_unknown_name),
          UNIT(test_master_crash_unlink_of_one_of_two_names),
          UNIT(test_master_crash_rename_over_one_of_two_names), UNIT(test_master_crash_rmdir),
          UNIT(test_master_crash_rename), UNIT(test_master_crash_rename_over_a_file),
          UNIT(test_master_crash_rename_over_an_open_file),
          UNIT(test_master_crash_rename_over_an_empty_directory),
          UNIT(test_master_crash_rename_of_a_directory), UNIT(test_master_crash_setattr_size),
          UNIT(test_master_crash_setattr_mode), UNIT(test_master_crash_setattr_times),
          UNIT(test_master_crash_write_open_truncating), UNIT(test_master_crash_write_close),
          UNIT(test_master_crash_listing), UNIT(test_master_crash_refresh),
          UNIT(test_master_crash_session_open), UNIT(test_master_crash_session_expiry))
