/* tests/zk/case_nodes.c - znodes one by one: what each call gives and refuses, what stats show. */
#include <stdio.h>
#include <stdlib.h>
#include "core/fmt.h"
#include "tests/zk/zk_suite.h"

static void create_and_get(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zs_answer *c = zs_create(a, "/a", "hello", 0);
    OK(c);
    STR(c->path, "/a");
    struct zs_answer *g = zs_get(a, "/a");
    OK(g);
    STR(g->data, "hello");
    EQ(g->data_len, 5);
    EQ(g->stat.data_len, 5);
}

static void create_stat(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zs_answer *c = zs_create(a, "/a", "xy", 0);
    OK(c);
    EQ(c->stat.version, 0);
    EQ(c->stat.cversion, 0);
    EQ(c->stat.aversion, 0);
    EQ(c->stat.owner, 0);
    EQ(c->stat.children, 0);
    EQ(c->stat.data_len, 2);
    EQ(c->stat.czxid, c->zxid);
    EQ(c->stat.mzxid, c->stat.czxid);
    EQ(c->stat.pzxid, c->stat.czxid);
    EQ(c->stat.mtime_ms, c->stat.ctime_ms);
    TRUE(c->stat.ctime_ms > 0);
    struct zs_answer *e = zs_exists(a, "/a");
    OK(e);
    TRUE(zs_same_stat(&e->stat, &c->stat));
}

static void create_without_stat(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zs_answer *c =
        zs_do(a, &(struct zk_call){.what = ZK_OP_CREATE, .path = "/a", .data = "x", .data_len = 1});
    OK(c);
    STR(c->path, "/a");
    STR(zs_get(a, "/a")->data, "x");
}

static void create_null_data(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/null", NULL, 0));
    OK(zs_create(a, "/empty", "", 0));
    struct zs_answer *g = zs_get(a, "/null");
    OK(g);
    TRUE(!g->has_data);
    EQ(g->stat.data_len, 0);
    g = zs_get(a, "/empty");
    OK(g);
    TRUE(g->has_data);
    EQ(g->data_len, 0);
}

static void create_twice(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/a", "1", 0));
    ERR(zs_create(a, "/a", "2", 0), ZK_ERR_NODE_EXISTS);
    ERR(zs_create(a, "/a", "2", ZK_CREATE_EPHEMERAL), ZK_ERR_NODE_EXISTS);
    STR(zs_get(a, "/a")->data, "1");
}

static void create_without_parent(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    ERR(zs_create(a, "/no/a", "1", 0), ZK_ERR_NO_NODE);
    ERR(zs_create(a, "/no/a", "1", ZK_CREATE_SEQUENTIAL), ZK_ERR_NO_NODE);
}

static void create_below_ephemeral(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/e", "", ZK_CREATE_EPHEMERAL));
    ERR(zs_create(a, "/e/a", "", 0), ZK_ERR_NO_CHILDREN_FOR_EPHEMERALS);
    ERR(zs_create(a, "/e/a", "", ZK_CREATE_EPHEMERAL), ZK_ERR_NO_CHILDREN_FOR_EPHEMERALS);
}

static void create_root(struct zs *t)
{
    struct zs_session *a = zs_open(t, &(struct zs_how){.root = ""});
    ERR(zs_create(a, "/", "", 0), ZK_ERR_NODE_EXISTS);
}

static void root_and_zookeeper(struct zs *t)
{
    struct zs_session *a = zs_open(t, &(struct zs_how){.root = ""});
    struct zs_answer *g = zs_get(a, "/");
    OK(g);
    EQ(g->stat.czxid, 0);
    EQ(g->stat.owner, 0);
    OK(zs_exists(a, "/zookeeper"));
    OK(zs_exists(a, "/zookeeper/quota"));
    STR(zs_children(a, "/zookeeper")->names, "config,quota");
    ERR(zs_delete(a, "/", -1), ZK_ERR_BAD_ARGUMENTS);
    ERR(zs_delete(a, "/zookeeper", -1), ZK_ERR_BAD_ARGUMENTS);
    ERR(zs_delete(a, "/zookeeper/quota", -1), ZK_ERR_BAD_ARGUMENTS);
}

static void delete_one(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/a", "1", 0));
    OK(zs_delete(a, "/a", -1));
    ERR(zs_exists(a, "/a"), ZK_ERR_NO_NODE);
    OK(zs_create(a, "/a", "2", 0)); /* anew */
    STR(zs_get(a, "/a")->data, "2");
}

static void delete_refused(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    ERR(zs_delete(a, "/a", -1), ZK_ERR_NO_NODE);
    ERR(zs_delete(a, "/no/a", -1), ZK_ERR_NO_NODE);
    OK(zs_create(a, "/a", "", 0));
    OK(zs_create(a, "/a/b", "", 0));
    ERR(zs_delete(a, "/a", -1), ZK_ERR_NOT_EMPTY);
    ERR(zs_delete(a, "/a", 7), ZK_ERR_BAD_VERSION); /* comes first */
    OK(zs_delete(a, "/a/b", 0));
    OK(zs_delete(a, "/a", 0));
}

static void delete_version(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/a", "", 0));
    OK(zs_set(a, "/a", "1", -1));
    ERR(zs_delete(a, "/a", 0), ZK_ERR_BAD_VERSION);
    ERR(zs_delete(a, "/a", 2), ZK_ERR_BAD_VERSION);
    OK(zs_delete(a, "/a", 1));
}

static void exists_not(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    ERR(zs_exists(a, "/a"), ZK_ERR_NO_NODE);
    ERR(zs_exists(a, "/a/b/c"), ZK_ERR_NO_NODE);
    ERR(zs_get(a, "/a"), ZK_ERR_NO_NODE);
    ERR(zs_set(a, "/a", "x", -1), ZK_ERR_NO_NODE);
    ERR(zs_children(a, "/a"), ZK_ERR_NO_NODE);
    ERR(zs_get_acl(a, "/a"), ZK_ERR_NO_NODE);
    ERR(zs_set_acl(a, "/a", zk_proto_acl_open, -1), ZK_ERR_NO_NODE);
}

static void set_and_get(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zs_answer *c = zs_create(a, "/a", "1", 0);
    zs_pass(t, 5 * zs_ms);
    struct zs_answer *s = zs_set(a, "/a", "234", 0);
    OK(s);
    EQ(s->stat.version, 1);
    EQ(s->stat.czxid, c->stat.czxid);
    EQ(s->stat.mzxid, s->zxid);
    EQ(s->stat.pzxid, c->stat.pzxid);
    EQ(s->stat.ctime_ms, c->stat.ctime_ms);
    TRUE(s->stat.mtime_ms > s->stat.ctime_ms);
    EQ(s->stat.data_len, 3);
    struct zs_answer *g = zs_get(a, "/a");
    STR(g->data, "234");
    TRUE(zs_same_stat(&g->stat, &s->stat));
}

static void set_versions(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/a", "", 0));
    ERR(zs_set(a, "/a", "x", 1), ZK_ERR_BAD_VERSION);
    OK(zs_set(a, "/a", "x", 0));
    ERR(zs_set(a, "/a", "y", 0), ZK_ERR_BAD_VERSION);
    OK(zs_set(a, "/a", "x", 1)); /* the same bytes are a change */
    struct zs_answer *s = zs_set(a, "/a", "z", -1);
    OK(s);
    EQ(s->stat.version, 3);
    STR(zs_get(a, "/a")->data, "z");
}

static void set_null_data(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/a", "x", 0));
    OK(zs_set(a, "/a", NULL, -1));
    struct zs_answer *g = zs_get(a, "/a");
    OK(g);
    TRUE(!g->has_data);
    EQ(g->stat.data_len, 0);
    EQ(g->stat.version, 1);
}

static void children_names(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zs_answer *c = zs_children(a, "/");
    OK(c);
    EQ(c->n_names, 0);
    OK(zs_create(a, "/b", "", 0));
    OK(zs_create(a, "/a", "", 0));
    OK(zs_create(a, "/a/x", "", 0));
    c = zs_children(a, "/");
    STR(c->names, "a,b");
    EQ(c->stat.children, 2);
    OK(zs_delete(a, "/b", -1));
    STR(zs_children(a, "/")->names, "a");
    c = zs_do(a, &(struct zk_call){.what = ZK_OP_GET_CHILDREN, .path = "/a"});
    OK(c);
    STR(c->names, "x");
}

static void children_many(struct zs *t)
{
    enum { MANY = 300 };
    struct zs_session *a = zs_open(t, NULL);
    struct zs_answer *last = NULL;
    char name[32];
    for (int i = 0; i < MANY; i++) {
        fmt_into(name, sizeof name, "/child-%d", i);
        last = zs_go(a, NULL, &(struct zk_call){.what = ZK_OP_CREATE, .path = name, .data = ""});
        if (i % 32 == 31)
            zs_wait(t, last);
    }
    zs_wait(t, last);
    struct zs_answer *c = zs_children(a, "/");
    OK(c);
    EQ(c->n_names, MANY);
    EQ(c->stat.children, MANY);
}

static void cversion_counts(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/p", "", 0));
    struct zs_answer *one = zs_create(a, "/p/1", "", 0);
    struct zk_stat s = zs_exists(a, "/p")->stat;
    EQ(s.cversion, 1);
    EQ(s.pzxid, one->stat.czxid);
    OK(zs_create(a, "/p/2", "", 0));
    EQ(zs_exists(a, "/p")->stat.cversion, 2);
    struct zs_answer *gone = zs_delete(a, "/p/1", -1);
    s = zs_exists(a, "/p")->stat;
    EQ(s.cversion, 3);
    EQ(s.pzxid, gone->zxid);
    EQ(s.children, 1);
    EQ(s.version, 0);
    EQ(s.mzxid, s.czxid);
}

static void parent_unmoved_by_data(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/p", "", 0));
    OK(zs_create(a, "/p/1", "", 0));
    struct zk_stat before = zs_exists(a, "/p")->stat;
    OK(zs_set(a, "/p/1", "x", -1));
    OK(zs_create(a, "/p/1/deep", "", 0));
    struct zk_stat after = zs_exists(a, "/p")->stat;
    TRUE(zs_same_stat(&before, &after));
}

static void zxid_rises(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    int64_t last = 0;
    for (int i = 0; i < 10; i++) {
        struct zs_answer *w = i ? zs_set(a, "/a", "x", -1) : zs_create(a, "/a", "", 0);
        OK(w);
        TRUE(w->zxid > last);
        last = w->zxid;
        struct zs_answer *g = zs_get(a, "/a");
        TRUE(g->zxid >= last);
        EQ(g->stat.mzxid, last);
        TRUE(zs_create(a, "/a", "", 0)->zxid >= last); /* also what fails has one */
    }
}

static uint64_t big(struct zs_session *a, const char *path, uint32_t n, struct zs_answer **ret_a)
{
    char *b = malloc(n);
    for (uint32_t i = 0; i < n; i++)
        b[i] = (char)base_mix_u64(i);
    *ret_a =
        zs_do(a, &(struct zk_call){.what = ZK_OP_CREATE, .path = path, .data = b, .data_len = n});
    uint64_t sum = base_hash(b, n, 1);
    free(b);
    return sum;
}

static void data_large(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zs_answer *c;
    uint64_t sum = big(a, "/half", 512 * 1024, &c);
    OK(c);
    struct zs_answer *g = zs_get(a, "/half");
    OK(g);
    EQ(g->data_len, 512 * 1024);
    TRUE(g->data_sum == sum);
    sum = big(a, "/most", 1000000, &c);
    OK(c);
    g = zs_get(a, "/most");
    EQ(g->data_len, 1000000);
    TRUE(g->data_sum == sum);
}

static void data_too_large(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zs_answer *c;
    OK(zs_create(a, "/before", "", 0));
    big(a, "/a", 1048576, &c);
    TRUE(!c->is_answered); /* the server closes, or the client does not begin */
    TRUE(c->ret < 0);
    t->w->until(t->w, &a->is_connected, zs_long_ns);
    ERR(zs_exists(a, "/a"), ZK_ERR_NO_NODE);
    OK(zs_exists(a, "/before"));
}

static void paths_that_the_client_refuses(struct zs *t)
{
    static const char *const bad[] = {"",    "a",    "/a/",  "//",    "/a//b", "/.",
                                      "/..", "/./a", "/a/.", "/a/..", "/\x01", "/\x7f"};
    struct zs_session *a = zs_open(t, NULL);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct zs_answer *c = zs_create(a, bad[i], "", 0);
        EQ(c->ret, E_INVAL);
        TRUE(!c->is_sent);
    }
}

static void paths_that_are_fine(struct zs *t)
{
    static const char *const good[] = {"/a b",      "/.a", "/..a", "/a.",        "/...",
                                       "/\xc3\xa9", "/-",  "/%d",  "/zookeeper", "/\xe4\xb8\xad"};
    struct zs_session *a = zs_open(t, NULL);
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct zs_answer *c = zs_create(a, good[i], good[i], 0);
        OK(c);
        STR(c->path, good[i]);
        STR(zs_get(a, good[i])->data, good[i]);
    }
    EQ(zs_children(a, "/")->n_names, ARRAY_LEN(good));
}

static void path_long_and_deep(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    char path[600] = "";
    for (int i = 0; i < 20; i++) {
        memcpy(path + strlen(path), "/level", 7);
        OK(zs_create(a, path, "", 0));
    }
    memset(path, 'n', 300);
    path[0] = '/';
    path[300] = 0;
    struct zs_answer *c = zs_create(a, path, "", 0);
    OK(c);
    EQ(c->path_len, 300);
    OK(zs_exists(a, path));
}

/* ---- a chroot ---- */

static void chroot_hides_what_is_above(struct zs *t)
{
    char root[256];
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/sub", "top", 0));
    fmt_into(root, sizeof root, "%s/sub", t->dir);
    struct zs_session *b = zs_open(t, &(struct zs_how){.root = root});
    STR(zs_create(b, "/x", "1", 0)->path, "/x");
    STR(zs_create(b, "/s", "", ZK_CREATE_SEQUENTIAL)->path, "/s0000000001");
    STR(zs_get(b, "/")->data, "top"); /* its root is that node */
    STR(zs_children(b, "/")->names, "s0000000001,x");
    STR(zs_get(a, "/sub/x")->data, "1");
    const struct zk_multi ops[] = {MULTI_CREATE("/m", "", 0), MULTI_SET("/x", "2", 0)};
    STR(zs_multi(b, ops, 2)->of[0].path, "/m");
    struct zs_watch *w = zs_watch(b, "w", ZK_OP_GET_DATA, "/x");
    OK(zs_set(a, "/sub/x", "3", -1));
    TRUE(zs_fires(w));
}

static void chroot_that_is_not_there(struct zs *t)
{
    char root[256];
    fmt_into(root, sizeof root, "%s/no/such", t->dir);
    struct zs_session *a = zs_open(t, &(struct zs_how){.root = root}); /* no server looks at it */
    ERR(zs_exists(a, "/"), ZK_ERR_NO_NODE);
    ERR(zs_create(a, "/x", "", 0), ZK_ERR_NO_NODE);
}

static void chroots_that_begin_alike(struct zs *t)
{
    char root[256];
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/ab", "", 0));
    OK(zs_create(a, "/abc", "", 0));
    fmt_into(root, sizeof root, "%s/ab", t->dir);
    struct zs_session *b = zs_open(t, &(struct zs_how){.root = root});
    OK(zs_create(a, "/abc/x", "", 0));
    ERR(zs_exists(b, "/x"), ZK_ERR_NO_NODE);
}

/* ---- sequential ones ---- */

static void sequence_names(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    STR(zs_create(a, "/s-", "", ZK_CREATE_SEQUENTIAL)->path, "/s-0000000000");
    STR(zs_create(a, "/s-", "", ZK_CREATE_SEQUENTIAL)->path, "/s-0000000001");
    STR(zs_create(a, "/other", "", ZK_CREATE_SEQUENTIAL)->path, "/other0000000002");
    STR(zs_children(a, "/")->names, "other0000000002,s-0000000000,s-0000000001");
}

static void sequence_counts_creations(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/a", "", 0));
    STR(zs_create(a, "/s", "", ZK_CREATE_SEQUENTIAL)->path, "/s0000000001");
    OK(zs_delete(a, "/s0000000001", -1));
    OK(zs_delete(a, "/a", -1));
    STR(zs_create(a, "/s", "", ZK_CREATE_SEQUENTIAL)->path, "/s0000000002");
    /* neither what fails nor what is below counts */
    ERR(zs_create(a, "/s0000000002", "", 0), ZK_ERR_NODE_EXISTS);
    OK(zs_create(a, "/s0000000002/deep", "", 0));
    STR(zs_create(a, "/s", "", ZK_CREATE_SEQUENTIAL)->path, "/s0000000003");
}

static void sequence_hits_a_name(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/s0000000001", "", 0));
    ERR(zs_create(a, "/s", "", ZK_CREATE_SEQUENTIAL), ZK_ERR_NODE_EXISTS);
    ERR(zs_create(a, "/s", "", ZK_CREATE_SEQUENTIAL), ZK_ERR_NODE_EXISTS);
    OK(zs_create(a, "/x", "", 0));
    STR(zs_create(a, "/s", "", ZK_CREATE_SEQUENTIAL)->path, "/s0000000002");
}

static void sequence_without_prefix(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/d", "", 0));
    STR(zs_create(a, "/d/", "", ZK_CREATE_SEQUENTIAL)->path, "/d/0000000000");
    STR(zs_create(a, "/d/", "", ZK_CREATE_EPHEMERAL_SEQUENTIAL)->path, "/d/0000000001");
}

static void sequence_of_each_parent(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/p", "", 0));
    OK(zs_create(a, "/q", "", 0));
    STR(zs_create(a, "/p/s", "", ZK_CREATE_SEQUENTIAL)->path, "/p/s0000000000");
    STR(zs_create(a, "/q/s", "", ZK_CREATE_SEQUENTIAL)->path, "/q/s0000000000");
    STR(zs_create(a, "/s", "", ZK_CREATE_SEQUENTIAL)->path, "/s0000000002");
}

static void sequence_starts_anew(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/p", "", 0));
    STR(zs_create(a, "/p/s", "", ZK_CREATE_EPHEMERAL_SEQUENTIAL)->path, "/p/s0000000000");
    OK(zs_delete(a, "/p/s0000000000", -1));
    OK(zs_delete(a, "/p", -1));
    OK(zs_create(a, "/p", "", 0));
    STR(zs_create(a, "/p/s", "", ZK_CREATE_SEQUENTIAL)->path, "/p/s0000000000");
}

/* ---- many at once ---- */

static void pipeline_in_order(struct zs *t)
{
    enum { MANY = 40 };
    struct zs_session *a = zs_open(t, NULL);
    struct zs_answer *c[MANY];
    char want[32];
    for (int i = 0; i < MANY; i++)
        c[i] = zs_go(
            a, NULL,
            &(struct zk_call){
                .what = ZK_OP_CREATE2, .path = "/s", .data = "", .flags = ZK_CREATE_SEQUENTIAL});
    zs_wait(t, c[MANY - 1]);
    for (int i = 0; i < MANY; i++) {
        fmt_into(want, sizeof want, "/s%010d", i);
        OK(c[i]);
        STR(c[i]->path, want);
        TRUE(!i || c[i]->stat.czxid > c[i - 1]->stat.czxid);
    }
}

static void pipeline_reads_its_writes(struct zs *t)
{
    enum { ROUNDS = 12 };
    struct zs_session *a = zs_open(t, NULL);
    struct zs_answer *g[ROUNDS];
    char text[ROUNDS][8];
    OK(zs_create(a, "/a", "", 0));
    for (int i = 0; i < ROUNDS; i++) {
        fmt_into(text[i], sizeof text[i], "v%d", i);
        zs_go(a, NULL,
              &(struct zk_call){.what = ZK_OP_SET_DATA,
                                .path = "/a",
                                .data = text[i],
                                .data_len = (uint32_t)strlen(text[i]),
                                .version = i});
        g[i] = zs_go(a, NULL, &(struct zk_call){.what = ZK_OP_GET_DATA, .path = "/a"});
    }
    zs_wait(t, g[ROUNDS - 1]);
    for (int i = 0; i < ROUNDS; i++) {
        STR(g[i]->data, text[i]);
        EQ(g[i]->stat.version, i + 1);
    }
}

static void pipeline_goes_on_behind_errors(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    zs_go(a, "1", &(struct zk_call){.what = ZK_OP_CREATE, .path = "/a", .data = ""});
    zs_go(a, "2", &(struct zk_call){.what = ZK_OP_CREATE, .path = "/a", .data = ""});
    zs_go(a, "3", &(struct zk_call){.what = ZK_OP_GET_DATA, .path = "/b"});
    zs_go(a, "4", &(struct zk_call){.what = ZK_OP_CREATE, .path = "/a/b", .data = ""});
    zs_go(a, "5", &(struct zk_call){.what = ZK_OP_DELETE, .path = "/a", .version = -1});
    zs_wait(t, zs_go(a, "6", &(struct zk_call){.what = ZK_OP_EXISTS, .path = "/a/b"}));
    STR(a->said, "1:0 2:-110 3:-101 4:0 5:-111 6:0");
}

const struct zs_case zs_nodes[] = {
    {"create_and_get", create_and_get, 0},
    {"create_stat", create_stat, 0},
    {"create_without_stat", create_without_stat, 0},
    {"create_null_data", create_null_data, 0},
    {"create_twice", create_twice, 0},
    {"create_without_parent", create_without_parent, 0},
    {"create_below_ephemeral", create_below_ephemeral, 0},
    {"create_root", create_root, 0},
    {"root_and_zookeeper", root_and_zookeeper, 0},
    {"delete_one", delete_one, 0},
    {"delete_refused", delete_refused, 0},
    {"delete_version", delete_version, 0},
    {"exists_not", exists_not, 0},
    {"set_and_get", set_and_get, 0},
    {"set_versions", set_versions, 0},
    {"set_null_data", set_null_data, 0},
    {"children_names", children_names, 0},
    {"children_many", children_many, 0},
    {"cversion_counts", cversion_counts, 0},
    {"parent_unmoved_by_data", parent_unmoved_by_data, 0},
    {"zxid_rises", zxid_rises, 0},
    {"data_large", data_large, 0},
    {"data_too_large", data_too_large, 0},
    {"paths_that_the_client_refuses", paths_that_the_client_refuses, 0},
    {"paths_that_are_fine", paths_that_are_fine, 0},
    {"path_long_and_deep", path_long_and_deep, 0},
    {"chroot_hides_what_is_above", chroot_hides_what_is_above, 0},
    {"chroot_that_is_not_there", chroot_that_is_not_there, 0},
    {"chroots_that_begin_alike", chroots_that_begin_alike, 0},
    {"sequence_names", sequence_names, 0},
    {"sequence_counts_creations", sequence_counts_creations, 0},
    {"sequence_hits_a_name", sequence_hits_a_name, 0},
    {"sequence_without_prefix", sequence_without_prefix, 0},
    {"sequence_of_each_parent", sequence_of_each_parent, 0},
    {"sequence_starts_anew", sequence_starts_anew, 0},
    {"pipeline_in_order", pipeline_in_order, 0},
    {"pipeline_reads_its_writes", pipeline_reads_its_writes, 0},
    {"pipeline_goes_on_behind_errors", pipeline_goes_on_behind_errors, 0},
    {NULL, NULL, 0}};
