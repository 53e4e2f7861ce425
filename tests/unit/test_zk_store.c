/* tests/unit/test_zk_store.c - storage that lacks something is refused, and what it lacks is named.
 */
#include "journal/zk_store.h"
#include "tests/unit/test_zk_share.h"

enum ts_lack {
    TS_NOTHING,
    TS_EXCL,      /* O_EXCL means nothing */
    TS_OLD_PAGES, /* a block that was read is remembered */
    TS_OLD_END,   /* so is a file's end */
    TS_OTHER,     /* another descriptor reads zeros */
    TS_MOVE_COPY, /* a rename leaves the old name */
    TS_MOVE_NOT,
    TS_LIST,
    TS_LACKS,
};

struct ts_op {
    struct env_op op, *user;
    uint8_t *to;
    uint32_t len;
};

static struct share ts_share;
static enum ts_lack ts_lack;
static struct env_vt ts_vt;
static uint8_t ts_page[4096];
static bool ts_has_page, ts_done_flag;

static void ts_open(struct env *e, const char *name, unsigned flags, struct env_file **ret_file,
                    struct env_op *op)
{
    share_vt.open(e, name, ts_lack == TS_EXCL ? flags & ~(unsigned)ENV_O_EXCL : flags, ret_file,
                  op);
}

static void ts_was_read(struct env_op *op)
{
    struct ts_op *o = container_of(op, struct ts_op, op);
    if (ts_lack == TS_OLD_PAGES && ts_has_page)
        memcpy(o->to, ts_page, sizeof ts_page);
    if (ts_lack == TS_OLD_END && op->ret > 4096)
        op->ret = 4096;
    if (ts_lack == TS_OTHER)
        memset(o->to, 0, o->len);
    memcpy(ts_page, o->to, sizeof ts_page);
    ts_has_page = true;
    o->user->ret = op->ret;
    o->user->done(o->user);
    free(o);
}

static void ts_read(struct env_file *f, void *to, uint32_t len, uint64_t off, struct env_op *op)
{
    struct ts_op *o = calloc(1, sizeof *o);
    *o = (struct ts_op){.op.done = ts_was_read, .user = op, .to = to, .len = len};
    share_vt.read(f, to, len, off, &o->op);
}

static void ts_rename(struct env *e, const char *from, const char *to, struct env_op *op)
{
    if (ts_lack == TS_MOVE_NOT)
        env_reply(e, op, 0);
    else
        share_vt.rename(e, from, to, op);
    if (ts_lack == TS_MOVE_COPY) { /* a new file of the old name */
        struct fake *f = &ts_share.disk;
        while (f->n_ops)
            share_disk_do(&ts_share, 0);
        fake_name(f, from, true)->now = fake_new_inode(f);
    }
}

static void ts_list(struct env *e, const char *dir, const char *after, char *buf, uint32_t cap,
                    struct env_op *op)
{
    if (ts_lack == TS_LIST)
        env_reply(e, op, 0);
    else
        share_vt.list(e, dir, after, buf, cap, op);
}

static void ts_done(struct env_op *op)
{
    (void)op;
    ts_done_flag = true;
}

/* on storage that lacks this */
static int64_t ts_check(enum ts_lack lack, uint64_t capacity, struct zk_store *s)
{
    struct share *w = &ts_share;
    struct env_op op = {.done = ts_done};
    share_init(w, 1 + lack);
    w->disk.capacity = capacity;
    struct env *e = share_up(w, 0);
    ts_vt = share_vt;
    ts_vt.open = ts_open;
    ts_vt.read = ts_read;
    ts_vt.rename = ts_rename;
    ts_vt.list = ts_list;
    e->vt = &ts_vt;
    ts_lack = lack;
    ts_has_page = ts_done_flag = false;
    zk_store_check(s, e, &w->m[0].mem, "d/", &op);
    for (int k = 0; k < 10000 && !ts_done_flag; k++)
        share_step(w);
    CU_ASSERT_FATAL(ts_done_flag && zk_store_at_rest(s));
    for (uint32_t k = 0; k < w->disk.n_names; k++) /* nothing stays, open or by name */
        CU_ASSERT(w->disk.names[k].now < 0);
    CU_ASSERT(list_empty(&w->m[0].files));
    CU_ASSERT(list_empty(&w->m[0].mem.large));
    e->vt = &share_vt;
    share_drop(w);
    return op.ret;
}

static void test_good_storage(void)
{
    static struct zk_store s;
    CU_ASSERT_EQUAL(ts_check(TS_NOTHING, UINT64_MAX / 2, &s), 0);
    CU_ASSERT_STRING_EQUAL(s.text, "");
}

static void test_what_it_lacks_is_named(void)
{
    static const char *const say[TS_LACKS] = {
        [TS_EXCL] = "O_EXCL",
        [TS_OLD_PAGES] = "older bytes",
        [TS_OLD_END] = "still ends",
        [TS_OTHER] = "another descriptor",
        [TS_MOVE_COPY] = "its old name",
        [TS_MOVE_NOT] = "still found by its old name",
        [TS_LIST] = "is listed",
    };
    static struct zk_store s;
    for (enum ts_lack l = TS_EXCL; l < TS_LACKS; l++) {
        CU_ASSERT_EQUAL(ts_check(l, UINT64_MAX / 2, &s), E_NOTSUP);
        CU_ASSERT(strstr(s.text, say[l]) != NULL);
    }
}

static void test_what_fails_is_said(void)
{
    static struct zk_store s;
    CU_ASSERT_EQUAL(ts_check(TS_NOTHING, 0, &s), E_NOSPC);
    CU_ASSERT_STRING_EQUAL(s.text, "cannot write to a file in 'd/probe': no space left");
}

UNIT_MAIN("zk_store", UNIT(test_good_storage), UNIT(test_what_it_lacks_is_named),
          UNIT(test_what_fails_is_said))
