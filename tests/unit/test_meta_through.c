/* tests/unit/test_meta_through.c - THROUGH mounts: intents, locks, outcomes, loads, refreshes. */
#include "tests/unit/test_meta.h"

static struct kit k;
static struct ino root;
static struct session_id ses;
static uint64_t seq;
static uint8_t ents[LIMIT_BATCH];
static struct wbuf ents_w;

#define APPLY(...) kit_apply(&k, (struct fsop){__VA_ARGS__})
#define QUERY(...) kit_query(&k, (struct fsop){__VA_ARGS__})
/* as a client does: with a session and the next number */
#define CLIENT(...) kit_apply(&k, (struct fsop){.session = ses, .seq = ++seq, __VA_ARGS__})

static void setup(enum fsop_mount_mode mode)
{
    kit_open(&k, 10000);
    seq = 0;
    ses = kit_session(&k);
    CU_ASSERT_EQUAL_FATAL(APPLY(.kind = FSOP_MOUNT, NAME("/m"), DATA("dir:/u"), .arg = mode), 0);
    root = k.r.reply.attr.ino;
}

static void ents_begin(void)
{
    ents_w = wbuf_make(ents, sizeof ents);
}

static void ent(const char *name, uint32_t mode, uint64_t size, uint64_t fp)
{
    struct fsent e = {NAME(name), .mode = mode, .nlink = 1, .size = size, .fp = fp};
    e.target = (mode & FSOP_S_IFMT) == FSOP_S_IFLNK ? "target" : NULL;
    e.target_len = e.target ? 6 : 0;
    fsop_ent_put(&ents_w, &e);
}

static int load(struct ino dir, uint16_t flags, uint64_t arg)
{
    return APPLY(.kind = FSOP_LOAD, .flags = flags, .ino = dir, .arg = arg, .data = ents,
                 .data_len = (uint32_t)ents_w.len);
}

/* an empty directory becomes fully known */
static void load_empty(struct ino dir)
{
    ents_begin();
    CU_ASSERT_EQUAL(load(dir, FSOP_F_LOAD_BEGIN | FSOP_F_LOAD_LAST, 0), 0);
}

static int outcome(uint64_t intent, int err)
{
    return APPLY(.kind = FSOP_OUTCOME, .arg = intent, .err = err);
}

/* a name made by intent and outcome */
static struct ino make(uint16_t kind, struct ino dir, const char *name)
{
    CU_ASSERT_EQUAL(CLIENT(.kind = kind, .ino = dir, NAME(name), .mode = 0755), 0);
    CU_ASSERT(k.r.reply.intent != 0);
    CU_ASSERT_EQUAL(outcome(k.r.reply.intent, 0), 0);
    CU_ASSERT(k.r.reply.attr.ino.v != 0);
    return k.r.reply.attr.ino;
}

static void test_through_create(void)
{
    struct meta_intent i;
    setup(FSOP_MOUNT_THROUGH);
    struct fsop mk = {.kind = FSOP_MKNOD,
                      .session = ses,
                      .seq = ++seq,
                      .ino = root,
                      NAME("f"),
                      .mode = 0640,
                      .uid = 0};
    CU_ASSERT_EQUAL(kit_apply(&k, mk), 0);
    uint64_t id = k.r.reply.intent;
    CU_ASSERT(id != 0 && k.r.n_changes == 0);
    CU_ASSERT_EQUAL(meta_intent_get(k.m, id, &i), 0);
    CU_ASSERT(i.kind == FSOP_MKNOD && !strcmp(i.path, "f") && i.mode == (FSOP_S_IFREG | 0640));
    CU_ASSERT(i.session.v == ses.v && i.seq == seq && i.parent.v == root.v && i.mount == 1);
    CU_ASSERT_EQUAL(meta_intent_next(k.m, 0, &i), 0);
    CU_ASSERT_EQUAL(meta_intent_next(k.m, id, &i), E_NOENT);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_LOOKUP, .ino = root, NAME("f")), E_NOT_LOADED);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_GETATTR, .ino = i.ino), E_STALE);
    CU_ASSERT_EQUAL(kit_apply(&k, mk), 0); /* a repetition meets the same intent */
    CU_ASSERT(k.r.reply.intent == id && (k.r.reply.flags & FSOP_R_DUPLICATE));
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_MKDIR, .ino = root, NAME("f")), E_CONFLICT);
    CU_ASSERT_EQUAL(
        kit_apply(
            &k,
            (struct fsop){.kind = FSOP_MKDIR, .session = ses, .seq = seq, .ino = root, NAME("f2")}),
        0); /* E_CONFLICT was not an answer */
    CU_ASSERT_EQUAL(outcome(k.r.reply.intent, E_EXIST), E_EXIST);
    CU_ASSERT(k.r.session.v == ses.v && k.r.seq == seq);
    kit_check(&k);
    ents_begin();
    ent("", FSOP_S_IFREG | 0600, 0, 71);
    ent("", FSOP_S_IFDIR | 0700, 0, 72);
    CU_ASSERT_EQUAL(
        APPLY(.kind = FSOP_OUTCOME, .arg = id, .data = ents, .data_len = (uint32_t)ents_w.len), 0);
    CU_ASSERT(k.r.session.v == ses.v && k.r.seq == 1 && k.r.n_changes == 1);
    CU_ASSERT(k.r.reply.attr.fp == 71 && k.r.reply.attr.mode == (FSOP_S_IFREG | 0600));
    CU_ASSERT_EQUAL(k.r.reply.attr.ino.v, i.ino.v == 0 ? 0 : kit_find(&k, root, "f").v);
    CU_ASSERT_EQUAL(kit_attr(&k, root).fp, 72);
    CU_ASSERT_EQUAL(outcome(id, 0), E_STALE);
    CU_ASSERT_EQUAL(kit_apply(&k, mk), 0);
    CU_ASSERT((k.r.reply.flags & FSOP_R_DUPLICATE) && k.r.reply.attr.fp == 71);
    mk.seq = 2;
    CU_ASSERT_EQUAL(kit_apply(&k, mk), E_EXIST); /* what the under-store said of f2 */
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_MKNOD, .ino = root, NAME(".tarn")), E_PERM);
    kit_close(&k);
}

/* Who creates a file to write it writes it from the outcome on, if he still waits for that. */
static void test_through_creates_for_a_writer(void)
{
    setup(FSOP_MOUNT_THROUGH);
    for (int given_up = 0; given_up < 3; given_up++) {
        const char *name = given_up == 0 ? "a" : given_up == 1 ? "b" : "c";
        CU_ASSERT_EQUAL(
            CLIENT(.kind = FSOP_MKNOD, .ino = root, NAME(name), .flags = FSOP_F_OPEN, .mode = 0600),
            0);
        uint64_t id = k.r.reply.intent;
        CU_ASSERT_EQUAL(meta_writer_next(k.m, ses, (struct ino){0}).v, 0);
        uint64_t next = seq + 1;
        if (given_up == 1)
            CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_RMDIR, .acked = next, .ino = root, NAME("x"),
                                   .flags = FSOP_F_ABSENT),
                            E_NOENT);
        if (given_up == 2)
            CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SESSION_CLOSE, .arg = ses.v), 0);
        CU_ASSERT_EQUAL(outcome(id, 0), 0);
        struct ino f = k.r.reply.attr.ino;
        CU_ASSERT_EQUAL((kit_attr(&k, f).flags & FSATTR_LIVE) != 0, given_up == 0);
        CU_ASSERT_EQUAL(meta_writer_next(k.m, ses, (struct ino){0}).v, given_up ? 0 : f.v);
        kit_check(&k);
        if (!given_up)
            CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_WRITE_CLOSE, .ino = f), 0);
    }
    kit_close(&k);
}

static void test_through_unknown_names(void)
{
    setup(FSOP_MOUNT_THROUGH);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_UNLINK, .ino = root, NAME("x")), E_NOT_LOADED);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_RMDIR, .ino = root, NAME("x")), E_NOT_LOADED);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_RENAME, .ino = root, NAME("x"), .ino2 = root, NAME2("y")),
                    E_NOT_LOADED);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_UNLINK, .ino = root, NAME("x"), .flags = FSOP_F_ABSENT),
                    E_NOENT);
    struct ino f = make(FSOP_MKNOD, root, "f");
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_RENAME, .ino = root, NAME("f"), .ino2 = root, NAME2("y")),
                    E_NOT_LOADED);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_RENAME, .ino = root, NAME("f"), .ino2 = root, NAME2("y"),
                           .flags = FSOP_F_EXCHANGE | FSOP_F_ABSENT),
                    E_NOENT);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_RENAME, .ino = root, NAME("f"), .ino2 = root, NAME2("y"),
                           .flags = FSOP_F_ABSENT),
                    0);
    CU_ASSERT_EQUAL(outcome(k.r.reply.intent, 0), 0);
    CU_ASSERT_EQUAL(kit_find(&k, root, "y").v, f.v);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_READDIR, .ino = root), E_NOT_LOADED);
    kit_close(&k);
}

/* what is exchanged is noted once, under the locks, before anything is done */
static void test_through_exchange(void)
{
    struct meta_intent i;
    setup(FSOP_MOUNT_THROUGH);
    struct ino d = make(FSOP_MKDIR, root, "d"), e = make(FSOP_MKDIR, d, "e");
    struct ino f = make(FSOP_MKNOD, root, "f"), g = make(FSOP_MKNOD, e, "g");
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_RENAME, .ino = root, NAME("f"), .ino2 = d, NAME2("e"),
                           .flags = FSOP_F_EXCHANGE),
                    0);
    uint64_t id = k.r.reply.intent;
    CU_ASSERT_EQUAL(meta_intent_get(k.m, id, &i), 0);
    CU_ASSERT(i.below == 0 && i.below2 == 0 && !i.hidden[0] && i.replaced.v == e.v);
    CU_ASSERT(!strcmp(i.path, "f") && !strcmp(i.path2, "d/e"));
    uint64_t by;
    CU_ASSERT_EQUAL(meta_path_steady(k.m, f, meta_path_mark(k.m, f), &by), E_CONFLICT);
    CU_ASSERT_EQUAL(by, id);
    CU_ASSERT_EQUAL(meta_path_steady(k.m, g, meta_path_mark(k.m, g), &by), E_CONFLICT);
    CU_ASSERT_EQUAL(by, id);
    CU_ASSERT_EQUAL(meta_path_steady(k.m, d, meta_path_mark(k.m, d), &by), 0);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_UNLINK, .ino = e, NAME("g")), E_CONFLICT);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_NOTE, .arg = id, .size = 7), E_INVAL);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_NOTE, .arg = id + 1, .size = 7, .mtime_ns = 8), E_STALE);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_NOTE, .session = ses, .seq = seq + 1, .arg = id, .size = 7,
                          .mtime_ns = 8),
                    E_PERM);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_NOTE, .arg = id, .size = 7, .mtime_ns = 8), 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_NOTE, .arg = id, .size = 8, .mtime_ns = 7), E_EXIST);
    CU_ASSERT_EQUAL(meta_intent_get(k.m, id, &i), 0);
    CU_ASSERT(i.below == 7 && i.below2 == 8);
    kit_check(&k);
    ents_begin();
    ent("", FSOP_S_IFREG | 0600, 5, 71);
    ent("", FSOP_S_IFDIR | 0755, 0, 72);
    ent("", FSOP_S_IFDIR | 0755, 0, 73);
    ent("", FSOP_S_IFDIR | 0711, 0, 74);
    CU_ASSERT_EQUAL(
        APPLY(.kind = FSOP_OUTCOME, .arg = id, .data = ents, .data_len = (uint32_t)ents_w.len), 0);
    CU_ASSERT_EQUAL(kit_find(&k, root, "f").v, e.v);
    CU_ASSERT_EQUAL(kit_find(&k, d, "e").v, f.v);
    CU_ASSERT_EQUAL(kit_find(&k, e, "g").v, g.v);
    CU_ASSERT(kit_attr(&k, f).fp == 71 && kit_attr(&k, root).fp == 72);
    CU_ASSERT(kit_attr(&k, d).fp == 73 && kit_attr(&k, e).fp == 74);
    CU_ASSERT_EQUAL(kit_attr(&k, e).mode, FSOP_S_IFDIR | 0711);
    CU_ASSERT_EQUAL(meta_path_steady(k.m, g, meta_path_mark(k.m, g), &by), 0);
    kit_check(&k);
    /* of anything else there is nothing to note */
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_UNLINK, .ino = e, NAME("g")), 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_NOTE, .arg = k.r.reply.intent, .size = 7, .mtime_ns = 8),
                    E_INVAL);
    kit_close(&k);
}

static void test_through_unlink_keeps_bytes(void)
{
    struct meta_intent i;
    char path[LIMIT_PATH];
    uint16_t mount;
    setup(FSOP_MOUNT_THROUGH);
    struct ino d = make(FSOP_MKDIR, root, "d"), f = make(FSOP_MKNOD, d, "f");
    CU_ASSERT_EQUAL(meta_path(k.m, f, path, sizeof path, &mount), 0);
    CU_ASSERT(!strcmp(path, "d/f") && mount == 1);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_LINK, .ino = f, .ino2 = root, NAME("g")), 0);
    CU_ASSERT_EQUAL(meta_intent_get(k.m, k.r.reply.intent, &i), 0);
    CU_ASSERT(!strcmp(i.path, "d/f") && !strcmp(i.path2, "g"));
    uint64_t id = k.r.reply.intent;
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_UNLINK, .ino = d, NAME("f")), E_CONFLICT);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_SETATTR, .ino = f, .valid = FSOP_SET_MODE), E_CONFLICT);
    CU_ASSERT_EQUAL(outcome(id, 0), 0);
    CU_ASSERT_EQUAL(kit_attr(&k, f).nlink, 2);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_UNLINK, .ino = d, NAME("f")), 0);
    CU_ASSERT_EQUAL(meta_intent_get(k.m, k.r.reply.intent, &i), 0);
    CU_ASSERT(i.hidden[0] == 0);
    CU_ASSERT_EQUAL(outcome(i.id, 0), 0);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_UNLINK, .ino = root, NAME("g")), 0);
    CU_ASSERT_EQUAL(meta_intent_get(k.m, k.r.reply.intent, &i), 0);
    CU_ASSERT(!strncmp(i.hidden, ".tarn/orphan-", 13));
    CU_ASSERT_EQUAL(kit_find(&k, root, "g").v, f.v); /* until the outcome */
    CU_ASSERT_EQUAL(outcome(i.id, 0), 0);
    CU_ASSERT_EQUAL(meta_path(k.m, f, path, sizeof path, &mount), 0);
    CU_ASSERT(!strcmp(path, i.hidden));
    CU_ASSERT_EQUAL(meta_orphan_next(k.m, (struct ino){0}).v, f.v);
    kit_close(&k);
}

static void test_through_rename_locks_subtrees(void)
{
    struct meta_intent i;
    setup(FSOP_MOUNT_THROUGH);
    struct ino a = make(FSOP_MKDIR, root, "a"), b = make(FSOP_MKDIR, a, "b");
    struct ino f = make(FSOP_MKNOD, b, "f");
    load_empty(root); /* nothing is there: a and what is below go */
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_GETATTR, .ino = f), E_STALE);
    kit_check(&k);
    a = make(FSOP_MKDIR, root, "a");
    b = make(FSOP_MKDIR, a, "b");
    f = make(FSOP_MKNOD, b, "f");
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_RENAME, .ino = root, NAME("a"), .ino2 = root, NAME2("z")),
                    0);
    uint64_t id = k.r.reply.intent;
    CU_ASSERT_EQUAL(meta_intent_get(k.m, id, &i), 0);
    CU_ASSERT(!strcmp(i.path, "a") && !strcmp(i.path2, "z") && !i.replaced.v);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_MKNOD, .ino = b, NAME("g")), E_CONFLICT);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_SETATTR, .ino = f, .valid = FSOP_SET_MODE), E_CONFLICT);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_UNLINK, .ino = b, NAME("f")), E_CONFLICT);
    CU_ASSERT_EQUAL(load(b, FSOP_F_LOAD_BEGIN, 0), E_CONFLICT);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_REFRESH, .ino = f), E_CONFLICT);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_UNMOUNT, NAME("/m")), E_BUSY);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_MKNOD, .ino = root, NAME("z")), E_CONFLICT);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_MKNOD, .ino = root, NAME("y")), 0);
    CU_ASSERT_EQUAL(outcome(k.r.reply.intent, 0), 0);
    kit_check(&k);
    CU_ASSERT_EQUAL(outcome(id, 0), 0);
    CU_ASSERT_EQUAL(kit_find(&k, root, "z").v, a.v);
    /* and the other way round: something under way below forbids it */
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_SETATTR, .ino = f, .valid = FSOP_SET_MODE), 0);
    id = k.r.reply.intent;
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_RENAME, .ino = root, NAME("z"), .ino2 = root, NAME2("a")),
                    E_CONFLICT);
    CU_ASSERT_EQUAL(outcome(id, E_IO), E_IO);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_RMDIR, .ino = root, NAME("z")), E_NOTEMPTY);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_RMDIR, .ino = b, NAME("f")), E_NOTDIR);
    /* over a file: its bytes stay under the hidden name */
    struct ino g = make(FSOP_MKNOD, b, "g");
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_RENAME, .ino = b, NAME("g"), .ino2 = b, NAME2("f")), 0);
    CU_ASSERT_EQUAL(meta_intent_get(k.m, k.r.reply.intent, &i), 0);
    CU_ASSERT(i.replaced.v == f.v && i.hidden[0] && !strcmp(i.path, "z/b/g"));
    CU_ASSERT_EQUAL(outcome(i.id, 0), 0);
    CU_ASSERT_EQUAL(kit_find(&k, b, "f").v, g.v);
    CU_ASSERT(kit_attr(&k, f).flags & FSATTR_ORPHAN);
    kit_close(&k);
}

static void test_through_setattr_and_writers(void)
{
    struct meta_intent i;
    setup(FSOP_MOUNT_THROUGH);
    struct ino f = make(FSOP_MKNOD, root, "f");
    CU_ASSERT_EQUAL(
        CLIENT(.kind = FSOP_SETATTR, .ino = f, .valid = FSOP_SET_MTIME_NOW, .time_ns = 555), 0);
    CU_ASSERT_EQUAL(meta_intent_get(k.m, k.r.reply.intent, &i), 0);
    CU_ASSERT(i.valid == FSOP_SET_MTIME && i.mtime_ns == 555 && !strcmp(i.path, "f"));
    CU_ASSERT_EQUAL(outcome(i.id, 0), 0);
    CU_ASSERT_EQUAL(kit_attr(&k, f).mtime_ns, 555);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_WRITE_OPEN, .ino = f), 0);
    CU_ASSERT(k.r.reply.intent == 0 && (k.r.reply.attr.flags & FSATTR_LIVE));
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_REFRESH, .ino = f), E_CONFLICT); /* a writer holds it */
    ents_begin();
    ent("f", FSOP_S_IFREG | 0644, 10, 8);
    CU_ASSERT_EQUAL(load(root, 0, 0), 0);
    CU_ASSERT_EQUAL(kit_attr(&k, f).size, 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_WRITE_CLOSE, .session = ses, .ino = f, .data = ents,
                          .data_len = (uint32_t)ents_w.len),
                    0);
    CU_ASSERT(kit_attr(&k, f).size == 10 && kit_attr(&k, f).fp == 8);
    /* looked at, and then changed to what it had been before: what was seen is no news */
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_WRITE_OPEN, .ino = f), 0);
    uint64_t seen = meta_applied(k.m);
    for (int w = 0; w < 2; w++) {
        CU_ASSERT_EQUAL(
            CLIENT(.kind = FSOP_SETATTR, .ino = f, .valid = FSOP_SET_MODE, .mode = w ? 0644 : 0777),
            0);
        CU_ASSERT_EQUAL(outcome(k.r.reply.intent, 0), 0);
    }
    ents_begin();
    ent("f", FSOP_S_IFREG | 0777, 20, 9);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_WRITE_CLOSE, .session = ses, .ino = f, .data = ents,
                          .data_len = (uint32_t)ents_w.len, .size = meta_path_mark(k.m, f),
                          .mtime_ns = (int64_t)seen),
                    0);
    CU_ASSERT_EQUAL(kit_attr(&k, f).mode & 07777, 0644);
    CU_ASSERT(kit_attr(&k, f).size == 20 && kit_attr(&k, f).fp == 0);
    ents_begin();
    ent("f", FSOP_S_IFREG | 0644, 20, 8);
    CU_ASSERT_EQUAL(
        APPLY(.kind = FSOP_REFRESH, .ino = f, .data = ents, .data_len = (uint32_t)ents_w.len), 0);
    CU_ASSERT_EQUAL(kit_attr(&k, f).fp, 8);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_WRITE_OPEN, .ino = f, .flags = FSOP_F_TRUNC), 0);
    CU_ASSERT_EQUAL(meta_intent_get(k.m, k.r.reply.intent, &i), 0);
    CU_ASSERT(i.valid == FSOP_SET_SIZE && i.size == 0 && i.fp == 8);
    CU_ASSERT(!(kit_attr(&k, f).flags & FSATTR_LIVE));
    CU_ASSERT_EQUAL(outcome(i.id, 0), 0);
    CU_ASSERT((kit_attr(&k, f).flags & FSATTR_LIVE) && kit_attr(&k, f).size == 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_WRITE_CLOSE, .session = ses, .ino = f), 0);
    /* the session ends while its request is under way: the effect counts, nobody is answered */
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_WRITE_OPEN, .ino = f, .flags = FSOP_F_TRUNC), 0);
    uint64_t id = k.r.reply.intent;
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_SESSION_CLOSE, .arg = ses.v), 0);
    kit_check(&k);
    CU_ASSERT_EQUAL(outcome(id, 0), 0);
    CU_ASSERT(!(kit_attr(&k, f).flags & FSATTR_LIVE));
    kit_close(&k);
}

static void test_through_load(void)
{
    setup(FSOP_MOUNT_THROUGH);
    struct ino kept = make(FSOP_MKNOD, root, "kept"), gone = make(FSOP_MKNOD, root, "gone");
    struct ino type = make(FSOP_MKNOD, root, "type"), sub = make(FSOP_MKDIR, root, "sub");
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_MKNOD, .ino = root, NAME("early")), 0);
    uint64_t early = k.r.reply.intent;
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_UNLINK, .ino = root, NAME("kept")), 0);
    uint64_t unlink = k.r.reply.intent;
    ents_begin();
    ent("new", FSOP_S_IFREG | 0644, 5, 50);
    ent(".tarn", FSOP_S_IFDIR | 0700, 0, 1);
    ent("bad/name", FSOP_S_IFREG, 0, 1);
    CU_ASSERT_EQUAL(load(root, FSOP_F_LOAD_BEGIN, 0), 0);
    uint64_t id = k.r.reply.intent;
    CU_ASSERT(id != 0);
    CU_ASSERT_EQUAL(load(root, FSOP_F_LOAD_BEGIN, 0), E_CONFLICT);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_MKNOD, .ino = root, NAME("late")), E_CONFLICT);
    CU_ASSERT(kit_find(&k, root, "new").v != 0);
    /* what was under way before the listing wins over it */
    CU_ASSERT_EQUAL(outcome(early, 0), 0);
    CU_ASSERT_EQUAL(outcome(unlink, 0), 0);
    CU_ASSERT(kit_attr(&k, kept).flags & FSATTR_ORPHAN);
    kit_check(&k);
    ents_begin();
    ent("kept", FSOP_S_IFREG | 0644, 0, 60); /* read before the unlink */
    ent("link", FSOP_S_IFLNK | 0777, 6, 61);
    ent("type", FSOP_S_IFLNK | 0777, 6, 62);
    ent("sub", FSOP_S_IFDIR | 0755, 0, 63);
    CU_ASSERT_EQUAL(load(root, 0, id), 0);
    CU_ASSERT_EQUAL(k.r.changes[0].kind, META_CHANGE_DIR);
    ents_begin();
    ent("", FSOP_S_IFDIR | 0711, 0, 64);
    CU_ASSERT_EQUAL(load(root, FSOP_F_LOAD_LAST, id), 0);
    kit_check(&k);
    CU_ASSERT_EQUAL(kit_find(&k, root, "kept").v, 0);
    CU_ASSERT_EQUAL(kit_find(&k, root, "gone").v, 0);
    CU_ASSERT(kit_find(&k, root, "early").v != 0);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_GETATTR, .ino = gone), E_STALE);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_GETATTR, .ino = type), E_STALE);
    CU_ASSERT_EQUAL(kit_find(&k, root, "sub").v, sub.v);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_READLINK, .ino = kit_find(&k, root, "type")), 0);
    CU_ASSERT(k.q.data_len == 6 && !memcmp(k.q.data, "target", 6));
    struct fsattr a = kit_attr(&k, root);
    CU_ASSERT((a.flags & FSATTR_LOADED) && a.fp == 64 && a.mode == (FSOP_S_IFDIR | 0711));
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_LOOKUP, .ino = root, NAME("other")), E_NOENT);
    CU_ASSERT_EQUAL(load(root, FSOP_F_LOAD_LAST, id), E_STALE);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_MKNOD, .ino = root, NAME("late")), 0);
    /* a listing that is given up leaves what it found */
    CU_ASSERT_EQUAL(load(sub, FSOP_F_LOAD_BEGIN, 0), 0);
    id = k.r.reply.intent;
    CU_ASSERT_EQUAL(outcome(id, E_CANCELLED), 0);
    CU_ASSERT_EQUAL(load(sub, 0, id), E_STALE);
    kit_check(&k);
    ents[3] ^= 0x40;
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_LOAD, .ino = root, .data = ents, .data_len = 9), E_PROTO);
    CU_ASSERT_EQUAL(load(INO_ROOT, 0, 0), E_NOTSUP);
    kit_close(&k);
}

static void ent_of(const char *name, uint64_t ufs_ino)
{
    struct fsent e = {NAME(name),    .mode = FSOP_S_IFREG | 0644, .nlink = 2, .size = 5,
                      .fp = ufs_ino, .ufs_ino = ufs_ino};
    fsop_ent_put(&ents_w, &e);
}

/* One of two names leads to another file below while the file is written: the listing leaves it,
 * and must not pass for one that is complete. */
static void test_through_load_leaves_a_held_name(void)
{
    for (int is_gone = 0; is_gone < 2; is_gone++) {
        setup(FSOP_MOUNT_THROUGH);
        ents_begin();
        ent_of("f", 17);
        CU_ASSERT_EQUAL(load(root, 0, 0), 0);
        struct ino f = kit_find(&k, root, "f");
        CU_ASSERT_EQUAL(
            CLIENT(.kind = FSOP_LINK, .ino = f, .ino2 = root, NAME("g"), .flags = FSOP_F_ABSENT),
            0);
        CU_ASSERT_EQUAL(outcome(k.r.reply.intent, 0), 0);
        CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_WRITE_OPEN, .ino = f), 0);
        for (int closed = 0; closed < 2; closed++) {
            ents_begin();
            ent_of("f", 17);
            if (!is_gone)
                ent_of("g", 88);
            CU_ASSERT_EQUAL(load(root, FSOP_F_LOAD_BEGIN, 0), 0);
            uint64_t id = k.r.reply.intent;
            ents_begin();
            ent("", FSOP_S_IFDIR | 0755, 0, 64);
            CU_ASSERT_EQUAL(load(root, FSOP_F_LOAD_LAST, id), 0);
            CU_ASSERT_EQUAL(kit_attr(&k, root).fp, closed ? 64 : 0);
            CU_ASSERT_EQUAL(kit_find(&k, root, "g").v == f.v, !closed);
            CU_ASSERT_EQUAL(kit_find(&k, root, "g").v == 0, closed && is_gone);
            kit_check(&k);
            ents_begin();
            ent_of("", 17);
            if (!closed)
                CU_ASSERT_EQUAL(APPLY(.kind = FSOP_WRITE_CLOSE, .session = ses, .ino = f,
                                      .data = ents, .data_len = (uint32_t)ents_w.len),
                                0);
        }
        kit_close(&k);
    }
}

/* A change of the directory's own attributes is under way when its listing ends: what was found of
 * them is not taken over, so its fingerprint must not be either; the change may fail. */
static void test_through_load_of_a_directory_that_is_changed(void)
{
    setup(FSOP_MOUNT_THROUGH);
    struct ino d = make(FSOP_MKDIR, root, "d");
    ents_begin();
    CU_ASSERT_EQUAL(load(d, FSOP_F_LOAD_BEGIN, 0), 0);
    uint64_t listing = k.r.reply.intent;
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_SETATTR, .ino = d, .valid = FSOP_SET_MODE, .mode = 0711),
                    0);
    uint64_t change = k.r.reply.intent;
    ents_begin();
    ent("", FSOP_S_IFDIR | 0500, 0, 64); /* somebody outside has changed it, too */
    CU_ASSERT_EQUAL(load(d, FSOP_F_LOAD_LAST, listing), 0);
    CU_ASSERT_EQUAL(outcome(change, E_PERM), E_PERM);
    struct fsattr a = kit_attr(&k, d);
    CU_ASSERT((a.mode & 07777) == 0500 || a.fp == 0);
    CU_ASSERT(a.flags & FSATTR_LOADED);
    kit_close(&k);
}

/* ---- many names at once */

enum { MANY = 9000, WORK = 4096 }; /* WORK: as in tree_load.c */

/* the listing of a directory that holds MANY files, or one; ret: its records */
static unsigned list_many(struct ino dir, unsigned files)
{
    struct meta_stats before, after;
    unsigned records = 0, flags = FSOP_F_LOAD_BEGIN;
    uint64_t id = 0;
    for (unsigned at = 0; at < files;) {
        ents_begin();
        for (unsigned n = 0; n < 200 && at < files; n++) {
            char name[16];
            snprintf(name, sizeof name, "f%u", at++);
            ent(name, FSOP_S_IFREG | 0644, 1, 7);
        }
        CU_ASSERT_EQUAL(load(dir, (uint16_t)(FSOP_F_PART | flags), id), 0);
        id = id ? id : k.r.reply.intent;
        flags = 0;
    }
    do {
        ents_begin();
        ent("", FSOP_S_IFDIR | 0755, 0, 64);
        meta_stats(k.m, &before);
        CU_ASSERT_EQUAL_FATAL(load(dir, FSOP_F_PART | FSOP_F_LOAD_LAST, id), 0);
        meta_stats(k.m, &after);
        CU_ASSERT(before.inodes - after.inodes <= WORK);
        records++;
    } while (k.r.reply.value && records < 100);
    meta_stats(k.m, &after);
    CU_ASSERT_EQUAL(after.intents, 0);
    return records;
}

static int refresh_gone(struct ino dir, unsigned *ret_records)
{
    struct meta_stats before, after;
    for (*ret_records = 1; *ret_records < 100; ++*ret_records) {
        meta_stats(k.m, &before);
        int err = APPLY(.kind = FSOP_REFRESH, .ino = dir, .flags = FSOP_F_PART);
        meta_stats(k.m, &after);
        CU_ASSERT(before.inodes - after.inodes <= WORK + 1);
        if (err || !k.r.reply.value)
            return err;
    }
    return E_IO;
}

/* No record takes more than a bounded number of names away; in between the rest can be used. */
static void test_through_many_names_go_in_parts(void)
{
    struct meta_stats st;
    unsigned records;
    setup(FSOP_MOUNT_THROUGH);
    struct ino d = make(FSOP_MKDIR, root, "d"), sub = make(FSOP_MKDIR, d, "sub");
    CU_ASSERT_EQUAL(list_many(sub, MANY), 3);
    CU_ASSERT(kit_attr(&k, sub).flags & FSATTR_LOADED);
    kit_check(&k);
    CU_ASSERT_EQUAL(list_many(sub, 1), 3);
    meta_stats(k.m, &st);
    uint64_t few = st.inodes;
    CU_ASSERT(kit_find(&k, sub, "f0").v && !kit_find(&k, sub, "f1").v);
    kit_check(&k);
    CU_ASSERT_EQUAL(list_many(sub, MANY), 3);
    CU_ASSERT_EQUAL(list_many(sub, MANY),
                    3); /* nothing of the last listing is left to mislead it */
    kit_check(&k);
    /* somebody writes one of many files: what is above it stays */
    struct ino f = kit_find(&k, sub, "f7777");
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_WRITE_OPEN, .ino = f), 0);
    CU_ASSERT_EQUAL(refresh_gone(d, &records), E_CONFLICT);
    ents_begin();
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_WRITE_CLOSE, .session = ses, .ino = f), 0);
    CU_ASSERT_EQUAL(refresh_gone(d, &records), 0);
    CU_ASSERT_EQUAL(records, 3);
    meta_stats(k.m, &st);
    CU_ASSERT_EQUAL(st.inodes, few - 3); /* d, sub, f0 */
    kit_check(&k);
    kit_close(&k);
}

static void test_through_versions(void)
{
    setup(FSOP_MOUNT_RO);
    ents_begin();
    ent("f", FSOP_S_IFREG | 0644, 5, 50);
    ent("d", FSOP_S_IFDIR | 0755, 0, 51);
    CU_ASSERT_EQUAL(load(root, FSOP_F_LOAD_BEGIN | FSOP_F_LOAD_LAST, 0), 0);
    struct ino f = kit_find(&k, root, "f"), d = kit_find(&k, root, "d");
    uint64_t v = kit_attr(&k, f).version;
    CU_ASSERT(kit_attr(&k, f).flags & FSATTR_RO);
    ents_begin();
    ent("", FSOP_S_IFREG | 0644, 5, 50);
#define REFRESH(i) \
    APPLY(.kind = FSOP_REFRESH, .ino = i, .data = ents, .data_len = (uint32_t)ents_w.len)
    CU_ASSERT_EQUAL(REFRESH(f), 0);
    CU_ASSERT(kit_attr(&k, f).version == v && k.r.n_changes == 0);
    ents_begin();
    ent("", FSOP_S_IFREG | 0644, 6, 51);
    CU_ASSERT_EQUAL(REFRESH(f), 0);
    CU_ASSERT(k.r.changes[0].kind == META_CHANGE_DATA && k.r.changes[0].ino.v == f.v);
    CU_ASSERT(kit_attr(&k, f).version == v + 1 && kit_attr(&k, f).size == 6);
    ents_begin();
    ent("", FSOP_S_IFREG | 0644, 6, 0); /* too young to be trusted: may have changed */
    CU_ASSERT_EQUAL(REFRESH(f), 0);
    CU_ASSERT_EQUAL(REFRESH(f), 0);
    CU_ASSERT_EQUAL(kit_attr(&k, f).version, v + 3);
    ents_begin();
    uint64_t was = kit_attr(&k, d).version;
    struct fsop list = {.kind = FSOP_LOAD,
                        .flags = FSOP_F_LOAD_BEGIN | FSOP_F_LOAD_LAST,
                        .ino = d,
                        .atime_ns = (int64_t)was + 1};
    CU_ASSERT_EQUAL(kit_apply(&k, list), E_CONFLICT); /* its names are not those that were read */
    CU_ASSERT(!(kit_attr(&k, d).flags & FSATTR_LOADED));
    list.atime_ns = (int64_t)was;
    CU_ASSERT_EQUAL(kit_apply(&k, list), 0);
    CU_ASSERT(kit_attr(&k, d).flags & FSATTR_LOADED);
    ent("", FSOP_S_IFDIR | 0755, 0, 99);
    CU_ASSERT_EQUAL(REFRESH(d), 0);
    CU_ASSERT(!(kit_attr(&k, d).flags & FSATTR_LOADED));
    CU_ASSERT_EQUAL(k.r.changes[0].kind, META_CHANGE_DIR);
    ents_begin();
    CU_ASSERT_EQUAL(REFRESH(f), 0); /* gone */
    CU_ASSERT_EQUAL(kit_find(&k, root, "f").v, 0);
    ent("d", 0, 0, 0); /* gone, by name */
    CU_ASSERT_EQUAL(load(root, 0, 0), 0);
    CU_ASSERT_EQUAL(kit_find(&k, root, "d").v, 0);
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_MKDIR, .ino = root, NAME("n")), E_ROFS);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_OPEN, .ino = root, .mode = FSOP_ACCESS_W), E_ROFS);
    ents_begin();
    CU_ASSERT_EQUAL(REFRESH(root), E_BUSY); /* a mount point does not go */
    kit_close(&k);
}

/* Who looked at one of two names says nothing of the other. */
static void test_through_one_of_two_names_goes(void)
{
    setup(FSOP_MOUNT_THROUGH);
    struct ino d = make(FSOP_MKDIR, root, "d"), f = make(FSOP_MKNOD, d, "f");
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(
            CLIENT(.kind = FSOP_LINK, .ino = f, .ino2 = root, NAME("g"), .flags = FSOP_F_ABSENT),
            0);
        CU_ASSERT_EQUAL(outcome(k.r.reply.intent, 0), 0);
        ents_begin();
        if (i) /* a directory lies there now */
            ent("", FSOP_S_IFDIR | 0755, 0, 50);
        CU_ASSERT_EQUAL(REFRESH(f), 0);
        CU_ASSERT_EQUAL(kit_find(&k, root, "g").v, 0);
        CU_ASSERT_EQUAL(kit_find(&k, d, "f").v, f.v);
        CU_ASSERT_EQUAL(kit_attr(&k, f).nlink, 1);
        kit_check(&k);
    }
    CU_ASSERT_EQUAL(APPLY(.kind = FSOP_REFRESH, .ino = f), 0);
    CU_ASSERT_EQUAL(kit_find(&k, d, "f").v, 0);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_GETATTR, .ino = f), E_STALE);
    kit_check(&k);
    kit_close(&k);
}

/* what a listing says of f, 3 bytes by fingerprint 10, read when record seen had been applied */
static int load_late(struct ino dir, uint64_t seen)
{
    ents_begin();
    ent("f", FSOP_S_IFREG | 0644, 3, 10);
    return APPLY(.kind = FSOP_LOAD, .ino = dir, .mtime_ns = (int64_t)seen, .data = ents,
                 .data_len = (uint32_t)ents_w.len);
}

/* What was read before somebody else looked, or changed it through us, does not come back. */
static void test_through_load_does_not_bring_back(void)
{
    setup(FSOP_MOUNT_THROUGH);
    struct ino d = make(FSOP_MKDIR, root, "d");
    CU_ASSERT_EQUAL(load_late(d, 0), 0);
    struct ino f = kit_find(&k, d, "f");
    uint64_t seen = meta_applied(k.m);
    ents_begin();
    ent("f", FSOP_S_IFREG | 0644, 9, 20);
    CU_ASSERT_EQUAL(
        APPLY(.kind = FSOP_REFRESH, .ino = f, .data = ents, .data_len = (uint32_t)ents_w.len), 0);
    CU_ASSERT_EQUAL(load_late(d, seen), 0);
    CU_ASSERT(kit_attr(&k, f).size == 9 && kit_attr(&k, f).fp == 20);
    for (int remove = 0; remove < 2; remove++) {
        seen = meta_applied(k.m);
        int err = remove ? CLIENT(.kind = FSOP_UNLINK, .ino = root, NAME("g"))
                         : CLIENT(.kind = FSOP_LINK, .ino = f, .ino2 = root, NAME("g"),
                                  .flags = FSOP_F_ABSENT);
        CU_ASSERT_EQUAL(err, 0);
        uint64_t id = k.r.reply.intent, version = kit_attr(&k, f).version;
        CU_ASSERT_EQUAL(outcome(id, 0), 0);
        CU_ASSERT_EQUAL(load_late(d, seen), 0);
        CU_ASSERT(kit_attr(&k, f).size == 9 && kit_attr(&k, f).version == version);
        kit_check(&k);
    }
    CU_ASSERT_EQUAL(load_late(d, meta_applied(k.m)), 0);
    CU_ASSERT_EQUAL(kit_attr(&k, f).size, 3);
    kit_close(&k);
}

/* What is changed of others through us meanwhile does not keep out what was found. */
static void test_through_load_while_others_are_changed(void)
{
    setup(FSOP_MOUNT_THROUGH);
    struct ino d = make(FSOP_MKDIR, root, "d"), g = make(FSOP_MKNOD, root, "g");
    ents_begin();
    ent("f", FSOP_S_IFREG | 0644, 9, 20);
    CU_ASSERT_EQUAL(load(d, 0, 0), 0);
    uint64_t seen = meta_applied(k.m);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_SETATTR, .ino = g, .valid = FSOP_SET_MODE, .mode = 0600),
                    0);
    CU_ASSERT_EQUAL(outcome(k.r.reply.intent, 0), 0);
    CU_ASSERT_EQUAL(load_late(d, seen), 0);
    CU_ASSERT_EQUAL(kit_attr(&k, kit_find(&k, d, "f")).size, 3);
    /* nor do those that one record brings stand in each other's way */
    for (int changed = 0; changed < 2; changed++) {
        ents_begin();
        for (int i = 0; i < 600; i++) {
            char name[8];
            snprintf(name, sizeof name, "n%d", i);
            ent(name, FSOP_S_IFREG | 0644, 5 + (uint64_t)changed, 30 + (uint64_t)changed);
        }
        CU_ASSERT_EQUAL(APPLY(.kind = FSOP_LOAD, .ino = d, .mtime_ns = (int64_t)meta_applied(k.m),
                              .data = ents, .data_len = (uint32_t)ents_w.len),
                        0);
    }
    unsigned adopted = 0;
    for (int i = 0; i < 600; i++) {
        char name[8];
        snprintf(name, sizeof name, "n%d", i);
        adopted += kit_attr(&k, kit_find(&k, d, name)).size == 6;
    }
    CU_ASSERT_EQUAL(adopted, 600);
    kit_close(&k);
}

/* refreshes f by what was found; whether its contents count as changed */
static bool refresh_changes(struct ino f, uint64_t fp, int64_t mtime_ns, int64_t ctime_ns)
{
    uint64_t v = kit_attr(&k, f).version;
    struct fsent e = {.mode = FSOP_S_IFREG | 0644,
                      .nlink = 1,
                      .size = 5,
                      .fp = fp,
                      .ufs_ino = 7,
                      .mtime_ns = mtime_ns,
                      .ctime_ns = ctime_ns};
    ents_begin();
    fsop_ent_put(&ents_w, &e);
    CU_ASSERT_EQUAL(REFRESH(f), 0);
    CU_ASSERT_EQUAL(kit_attr(&k, f).fp, fp);
    return kit_attr(&k, f).version != v;
}

/* What moves the time of change alone, by our own doing, makes no new version. */
static void test_through_same_contents(void)
{
    enum { MS = 1000000 };
    setup(FSOP_MOUNT_THROUGH);
    struct ino f = make(FSOP_MKNOD, root, "f");
    refresh_changes(f, 0, 100 * MS, 120 * MS);
    CU_ASSERT(!refresh_changes(f, 11, 100 * MS, 120 * MS)); /* no longer young, else as it was */
    CU_ASSERT(refresh_changes(f, 12, 100 * MS, 130 * MS));
    refresh_changes(f, 0, 100 * MS, 119 * MS); /* a write may hide in the tick of the change */
    CU_ASSERT(refresh_changes(f, 13, 100 * MS, 119 * MS));
    refresh_changes(f, 0, 100 * MS, 150 * MS);
    CU_ASSERT(refresh_changes(f, 14, 100 * MS, 151 * MS));
    refresh_changes(f, 0, 100 * MS, 150 * MS);
    CU_ASSERT(refresh_changes(f, 15, 101 * MS, 150 * MS));
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_UNLINK, .ino = root, NAME("f")), 0);
    CU_ASSERT_EQUAL(outcome(k.r.reply.intent, 0), 0);
    CU_ASSERT(kit_attr(&k, f).flags & FSATTR_ORPHAN);
    CU_ASSERT(!refresh_changes(f, 16, 101 * MS, 200 * MS)); /* nobody else reaches it */
    CU_ASSERT(!refresh_changes(f, 0, 101 * MS, 210 * MS));
    CU_ASSERT(refresh_changes(f, 17, 102 * MS, 210 * MS));
    kit_close(&k);
}

/* An effect that finds another file than the one we knew brings its contents: a new version. */
static void test_through_other_contents(void)
{
    enum { MS = 1000000 };
    setup(FSOP_MOUNT_THROUGH);
    load_empty(root);
    struct ino f = make(FSOP_MKNOD, root, "f");
    refresh_changes(f, 11, 100 * MS, 120 * MS);
    struct fsent e = {.mode = FSOP_S_IFREG | 0644,
                      .size = 5,
                      .ufs_ino = 7,
                      .mtime_ns = 100 * MS,
                      .ctime_ns = 500 * MS};
    for (int other = 0; other < 4; other++) {
        uint64_t v = kit_attr(&k, f).version;
        char from[] = {(char)('f' + other), 0}, to[] = {(char)('g' + other), 0};
        e.size += other == 1;
        e.ufs_ino += other == 2;
        e.mtime_ns += other == 3;
        CU_ASSERT_EQUAL(
            CLIENT(.kind = FSOP_RENAME, .ino = root, NAME(from), .ino2 = root, NAME2(to)), 0);
        ents_begin();
        fsop_ent_put(&ents_w, &e);
        CU_ASSERT_EQUAL(APPLY(.kind = FSOP_OUTCOME, .arg = k.r.reply.intent, .data = ents,
                              .data_len = (uint32_t)ents_w.len),
                        0);
        bool told = false;
        for (uint32_t i = 0; i < k.r.n_changes; i++)
            told |= k.r.changes[i].kind == META_CHANGE_DATA && k.r.changes[i].ino.v == f.v;
        CU_ASSERT_EQUAL(kit_attr(&k, f).version, v + (other > 0));
        CU_ASSERT_EQUAL(told, other > 0);
    }
    kit_close(&k);
}

/* A rename above can make a path longer than the under-store takes: refused, not forgotten. */
static void test_through_paths_too_long(void)
{
    static char longest[251];
    setup(FSOP_MOUNT_THROUGH);
    memset(longest, 'n', 250);
    struct ino top = make(FSOP_MKDIR, root, "a"), dir = top, f;
    for (int i = 0; i < 32; i++)
        dir = make(FSOP_MKDIR, dir, longest);
    f = make(FSOP_MKNOD, dir, "f");
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_MKNOD, .ino = dir, NAME(longest)), E_NAMETOOLONG);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_RENAME, .ino = root, NAME("a"), .ino2 = root,
                           NAME2(longest), .flags = FSOP_F_ABSENT),
                    0);
    CU_ASSERT_EQUAL(outcome(k.r.reply.intent, 0), 0);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_LINK, .ino = f, .ino2 = root, NAME("g")), E_NAMETOOLONG);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_UNLINK, .ino = dir, NAME("f")), E_NAMETOOLONG);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_SETATTR, .ino = f, .valid = FSOP_SET_UID), E_NAMETOOLONG);
    CU_ASSERT_EQUAL(load(dir, FSOP_F_LOAD_BEGIN, 0), E_NAMETOOLONG);
    CU_ASSERT_EQUAL(QUERY(.kind = FSOP_OPEN, .ino = f), E_NAMETOOLONG);
    kit_close(&k);
}

static void test_through_image_in_the_middle(void)
{
    static struct kit k2;
    struct meta_intent i;
    setup(FSOP_MOUNT_THROUGH);
    struct ino d = make(FSOP_MKDIR, root, "d");
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_SYMLINK, .ino = d, NAME("l"), DATA("t")), 0);
    uint64_t id = k.r.reply.intent;
    kit_open(&k2, 10000);
    CU_ASSERT_EQUAL(kit_copy(&k, &k2, 777), 0);
    CU_ASSERT_EQUAL(meta_hash(k.m), meta_hash(k2.m));
    CU_ASSERT_EQUAL(meta_intent_get(k2.m, id, &i), 0);
    CU_ASSERT(!strcmp(i.path, "d/l") && !strcmp(i.target, "t"));
    struct fsop out = {.kind = FSOP_OUTCOME, .arg = id};
    CU_ASSERT_EQUAL(kit_apply(&k, out), 0);
    CU_ASSERT_EQUAL(kit_apply(&k2, out), 0);
    CU_ASSERT_EQUAL(meta_hash(k.m), meta_hash(k2.m));
    CU_ASSERT_EQUAL(kit_find(&k2, d, "l").v, i.ino.v);
    kit_close(&k2);
    kit_close(&k);
}

/* a listing whose first batch finds no room leaves no lock behind */
static void test_through_listing_without_room(void)
{
    struct meta_stats st;
    kit_open(&k, 4);
    seq = 0;
    ses = kit_session(&k);
    CU_ASSERT_EQUAL_FATAL(
        APPLY(.kind = FSOP_MOUNT, NAME("/m"), DATA("dir:/u"), .arg = FSOP_MOUNT_THROUGH), 0);
    root = k.r.reply.attr.ino;
    ents_begin();
    for (int i = 0; i < 5; i++) {
        char name[8] = {'f', (char)('0' + i), 0};
        ent(name, FSOP_S_IFREG | 0600, 0, 71);
    }
    CU_ASSERT_EQUAL(load(root, FSOP_F_LOAD_BEGIN, 0), E_NOSPC);
    CU_ASSERT_EQUAL(k.r.reply.intent, 0);
    meta_stats(k.m, &st);
    CU_ASSERT_EQUAL(st.intents, 0);
    CU_ASSERT_EQUAL(CLIENT(.kind = FSOP_UNLINK, .ino = root, NAME("f0")), 0);
    CU_ASSERT_EQUAL(outcome(k.r.reply.intent, 0), 0);
    kit_close(&k);
}

UNIT_MAIN("meta_through", UNIT(test_through_listing_without_room), UNIT(test_through_create),
          UNIT(test_through_creates_for_a_writer), UNIT(test_through_unknown_names),
          UNIT(test_through_exchange), UNIT(test_through_unlink_keeps_bytes),
          UNIT(test_through_rename_locks_subtrees), UNIT(test_through_setattr_and_writers),
          UNIT(test_through_load_does_not_bring_back),
          UNIT(test_through_load_while_others_are_changed), UNIT(test_through_load),
          UNIT(test_through_load_leaves_a_held_name),
          UNIT(test_through_load_of_a_directory_that_is_changed),
          UNIT(test_through_many_names_go_in_parts), UNIT(test_through_versions),
          UNIT(test_through_one_of_two_names_goes), UNIT(test_through_same_contents),
          UNIT(test_through_other_contents), UNIT(test_through_paths_too_long),
          UNIT(test_through_image_in_the_middle))
