/* tests/zk/case_multi.c - several operations at once: all of them, or none; and who may do what. */
#include <stdlib.h>
#include "tests/zk/zk_suite.h"

static void multi_all(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/set", "1", 0));
    OK(zs_create(a, "/gone", "", 0));
    const struct zk_multi ops[] = {MULTI_CHECK("/set", 0), MULTI_CREATE("/new", "n", 0),
                                   MULTI_SET("/set", "22", 0), MULTI_DELETE("/gone", 0)};
    struct zs_answer *m = zs_multi(a, ops, 4);
    OK(m);
    for (uint32_t i = 0; i < 4; i++)
        EQ(m->of[i].err, 0);
    STR(m->of[1].path, "/new");
    EQ(m->of[2].stat.version, 1);
    EQ(m->of[2].stat.mzxid, m->zxid);
    STR(zs_get(a, "/set")->data, "22");
    EQ(zs_get(a, "/new")->stat.czxid, m->zxid);
    EQ(zs_children(a, "/")->stat.pzxid, m->zxid);
    STR(zs_children(a, "/")->names, "new,set");
}

static void multi_of_one(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    const struct zk_multi ops[] = {MULTI_CREATE("/a", "x", 0)};
    struct zs_answer *m = zs_multi(a, ops, 1);
    OK(m);
    STR(m->of[0].path, "/a");
    STR(zs_get(a, "/a")->data, "x");
}

static void multi_create_without_stat(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zk_multi ops[] = {MULTI_CREATE("/a", "x", 0), MULTI_CREATE("/b", "y", 0)};
    ops[0].what = ZK_OP_CREATE;
    struct zs_answer *m = zs_multi(a, ops, 2);
    OK(m);
    STR(m->of[0].path, "/a");
    STR(m->of[1].path, "/b");
    EQ(m->of[0].stat.czxid, 0);
    EQ(m->of[1].stat.czxid, 0); /* although it was asked for one */
}

static void multi_fails_as_a_whole(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/set", "1", 0));
    struct zk_stat dir = zs_exists(a, "/")->stat;
    const struct zk_multi ops[] = {MULTI_CREATE("/new", "n", 0), MULTI_SET("/set", "2", 0),
                                   MULTI_CHECK("/set", 7), MULTI_DELETE("/set", -1)};
    struct zs_answer *m = zs_multi(a, ops, 4);
    ERR(m, ZK_ERR_BAD_VERSION);
    EQ(m->fault, 2);
    EQ(m->of[0].err, 0);
    EQ(m->of[1].err, 0);
    EQ(m->of[2].err, ZK_ERR_BAD_VERSION);
    EQ(m->of[3].err, ZK_ERR_INCONSISTENCY);
    ERR(zs_exists(a, "/new"), ZK_ERR_NO_NODE);
    struct zs_answer *g = zs_get(a, "/set");
    STR(g->data, "1");
    EQ(g->stat.version, 0);
    EQ(g->stat.mzxid, g->stat.czxid);
    struct zk_stat after = zs_exists(a, "/")->stat;
    TRUE(zs_same_stat(&dir, &after));
}

static void multi_each_failure(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/a", "", 0));
    OK(zs_create(a, "/a/b", "", 0));
    OK(zs_create(a, "/e", "", ZK_CREATE_EPHEMERAL));
    static const struct {
        struct zk_multi op;
        int32_t err;
    } bad[] = {
        {MULTI_CREATE("/a", "", 0), ZK_ERR_NODE_EXISTS},
        {MULTI_CREATE("/no/a", "", 0), ZK_ERR_NO_NODE},
        {MULTI_CREATE("/e/a", "", 0), ZK_ERR_NO_CHILDREN_FOR_EPHEMERALS},
        {MULTI_DELETE("/no", -1), ZK_ERR_NO_NODE},
        {MULTI_DELETE("/a", -1), ZK_ERR_NOT_EMPTY},
        {MULTI_DELETE("/a/b", 3), ZK_ERR_BAD_VERSION},
        {MULTI_SET("/no", "", -1), ZK_ERR_NO_NODE},
        {MULTI_SET("/a", "", 3), ZK_ERR_BAD_VERSION},
        {MULTI_CHECK("/no", -1), ZK_ERR_NO_NODE},
        {MULTI_CHECK("/a", 3), ZK_ERR_BAD_VERSION},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const struct zk_multi ops[] = {MULTI_CREATE("/n", "", 0), bad[i].op,
                                       MULTI_DELETE("/a/b", -1)};
        struct zs_answer *m = zs_multi(a, ops, 3);
        ERR(m, bad[i].err);
        EQ(m->fault, 1);
        EQ(m->of[0].err, 0);
        EQ(m->of[1].err, bad[i].err);
        EQ(m->of[2].err, ZK_ERR_INCONSISTENCY);
        ERR(zs_exists(a, "/n"), ZK_ERR_NO_NODE);
        OK(zs_exists(a, "/a/b"));
    }
}

static void multi_first_fails(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    const struct zk_multi ops[] = {MULTI_CHECK("/no", -1), MULTI_CREATE("/n", "", 0)};
    struct zs_answer *m = zs_multi(a, ops, 2);
    ERR(m, ZK_ERR_NO_NODE);
    EQ(m->fault, 0);
    EQ(m->of[1].err, ZK_ERR_INCONSISTENCY);
}

static void multi_sees_itself(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    const struct zk_multi ops[] = {MULTI_CREATE("/a", "", 0),   MULTI_CREATE("/a/b", "1", 0),
                                   MULTI_SET("/a/b", "2", 0),   MULTI_CHECK("/a/b", 1),
                                   MULTI_SET("/a/b", "333", 1), MULTI_CREATE("/c", "", 0),
                                   MULTI_DELETE("/c", 0)};
    struct zs_answer *m = zs_multi(a, ops, 7);
    OK(m);
    EQ(m->of[4].stat.version, 2);
    struct zs_answer *g = zs_get(a, "/a/b");
    STR(g->data, "333");
    EQ(g->stat.mzxid, g->stat.czxid);
    ERR(zs_exists(a, "/c"), ZK_ERR_NO_NODE);
    STR(zs_children(a, "/")->names, "a");
    EQ(zs_children(a, "/")->stat.cversion, 3); /* two were created, one of them is gone */
}

static void multi_replaces(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zs_answer *c = zs_create(a, "/a", "old", 0);
    int64_t old = c->stat.czxid;
    const struct zk_multi ops[] = {MULTI_DELETE("/a", 0), MULTI_CREATE("/a", "new", 0)};
    OK(zs_multi(a, ops, 2));
    struct zs_answer *g = zs_get(a, "/a");
    STR(g->data, "new");
    TRUE(g->stat.czxid > old);
    const struct zk_multi fails[] = {MULTI_DELETE("/a", 0), MULTI_CREATE("/a", "newer", 0),
                                     MULTI_DELETE("/b", 0)};
    ERR(zs_multi(a, fails, 3), ZK_ERR_NO_NODE);
    STR(zs_get(a, "/a")->data, "new");
}

static void multi_sequences(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    const struct zk_multi ops[] = {MULTI_CREATE("/s", "", ZK_CREATE_SEQUENTIAL),
                                   MULTI_CREATE("/s", "", ZK_CREATE_EPHEMERAL_SEQUENTIAL)};
    struct zs_answer *m = zs_multi(a, ops, 2);
    OK(m);
    STR(m->of[0].path, "/s0000000000");
    STR(m->of[1].path, "/s0000000001");
    EQ(zs_exists(a, "/s0000000001")->stat.owner, zs_id(a));
}

static void multi_that_fails_takes_no_number(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    const struct zk_multi ops[] = {MULTI_CREATE("/s", "", ZK_CREATE_SEQUENTIAL),
                                   MULTI_CHECK("/no", -1)};
    ERR(zs_multi(a, ops, 2), ZK_ERR_NO_NODE);
    STR(zs_create(a, "/s", "", ZK_CREATE_SEQUENTIAL)->path, "/s0000000000");
}

static void multi_in_a_pipeline(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zk_multi one[] = {MULTI_CREATE("/a", "1", 0), MULTI_CREATE("/b", "1", 0)};
    struct zk_multi two[] = {MULTI_SET("/a", "2", 0), MULTI_CHECK("/b", 1)};
    struct zk_multi three[] = {MULTI_SET("/a", "3", 0), MULTI_CHECK("/b", 0)};
    zs_go(a, "m1", &(struct zk_call){.what = ZK_OP_MULTI, .ops = one, .n_ops = 2});
    zs_go(a, "m2", &(struct zk_call){.what = ZK_OP_MULTI, .ops = two, .n_ops = 2});
    zs_go(a, "m3", &(struct zk_call){.what = ZK_OP_MULTI, .ops = three, .n_ops = 2});
    struct zs_answer *g = zs_go(a, "g", &(struct zk_call){.what = ZK_OP_GET_DATA, .path = "/a"});
    zs_wait(t, g);
    STR(a->said, "m1:0 m2:-103 m3:0 g:0");
    STR(g->data, "3");
    EQ(g->stat.version, 1);
}

static void check_versions(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/a", "", 0));
    OK(zs_set(a, "/a", "", 0));
    const struct zk_multi any[] = {MULTI_CHECK("/a", -1)}, right[] = {MULTI_CHECK("/a", 1)},
                          wrong[] = {MULTI_CHECK("/a", 0)};
    OK(zs_multi(a, any, 1));
    OK(zs_multi(a, right, 1));
    ERR(zs_multi(a, wrong, 1), ZK_ERR_BAD_VERSION);
    EQ(zs_exists(a, "/a")->stat.version, 1);
}

/* ---- who may ---- */

static void acl_open(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/a", "", 0));
    struct zs_answer *g = zs_get_acl(a, "/a");
    OK(g);
    STR(g->names, "31 world anyone");
    EQ(g->stat.aversion, 0);
}

static void acl_set(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zs_answer *c = zs_create(a, "/a", "x", 0);
    struct zk_stat was = c->stat;
    struct zk_list reads = zs_acl(ZK_PERM_READ | ZK_PERM_ADMIN, "world", "anyone", 0);
    struct zs_answer *s = zs_set_acl(a, "/a", reads, 0);
    OK(s);
    EQ(s->stat.aversion, 1);
    EQ(s->stat.version, 0);
    EQ(s->stat.mzxid, was.mzxid);
    EQ(s->stat.pzxid, was.pzxid);
    STR(zs_get_acl(a, "/a")->names, "17 world anyone");
    OK(zs_get(a, "/a"));
    ERR(zs_set(a, "/a", "y", -1), ZK_ERR_NO_AUTH);
    ERR(zs_create(a, "/a/b", "", 0), ZK_ERR_NO_AUTH);
    OK(zs_set_acl(a, "/a", zk_proto_acl_open, 1));
    OK(zs_set(a, "/a", "y", -1));
}

static void acl_versions(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/a", "", 0));
    OK(zs_set(a, "/a", "", -1)); /* its version is another one */
    ERR(zs_set_acl(a, "/a", zk_proto_acl_open, 1), ZK_ERR_BAD_VERSION);
    OK(zs_set_acl(a, "/a", zk_proto_acl_open, 0));
    OK(zs_set_acl(a, "/a", zk_proto_acl_open, -1));
    EQ(zs_exists(a, "/a")->stat.aversion, 2);
    EQ(zs_exists(a, "/a")->stat.version, 1);
}

static void acl_each_permission(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    const char *w = "world", *any = "anyone";
    OK(zs_create_acl(a, "/noread", zs_acl(ZK_PERM_ALL & ~ZK_PERM_READ, w, any, 0)));
    OK(zs_create_acl(a, "/nowrite", zs_acl(ZK_PERM_ALL & ~ZK_PERM_WRITE, w, any, 0)));
    OK(zs_create_acl(a, "/nocreate", zs_acl(ZK_PERM_ALL & ~ZK_PERM_CREATE, w, any, 0)));
    OK(zs_create_acl(a, "/nodelete", zs_acl(ZK_PERM_ALL & ~ZK_PERM_DELETE, w, any, 0)));
    OK(zs_create_acl(a, "/noadmin", zs_acl(ZK_PERM_ALL & ~ZK_PERM_ADMIN, w, any, 0)));
    ERR(zs_get(a, "/noread"), ZK_ERR_NO_AUTH);
    ERR(zs_children(a, "/noread"), ZK_ERR_NO_AUTH);
    OK(zs_exists(a, "/noread"));
    OK(zs_set(a, "/noread", "x", -1));
    ERR(zs_set(a, "/nowrite", "x", -1), ZK_ERR_NO_AUTH);
    OK(zs_get(a, "/nowrite"));
    ERR(zs_create(a, "/nocreate/a", "", 0), ZK_ERR_NO_AUTH);
    OK(zs_create(a, "/nodelete/a", "", 0));
    ERR(zs_delete(a, "/nodelete/a", -1), ZK_ERR_NO_AUTH);
    ERR(zs_delete(a, "/nodelete", 7), ZK_ERR_BAD_VERSION); /* of itself it says nothing */
    ERR(zs_set_acl(a, "/noadmin", zk_proto_acl_open, -1), ZK_ERR_NO_AUTH);
    OK(zs_get_acl(a, "/noadmin"));
    OK(zs_delete(a, "/noread", -1)); /* that is the parent's to say */
}

static void acl_check_needs_read(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create_acl(a, "/a", zs_acl(ZK_PERM_WRITE, "world", "anyone", 0)));
    const struct zk_multi ops[] = {MULTI_CHECK("/a", 0)};
    ERR(zs_multi(a, ops, 1), ZK_ERR_NO_AUTH);
}

static void acl_get_needs_read_or_admin(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create_acl(a, "/admin", zs_acl(ZK_PERM_ADMIN, "world", "anyone", 0)));
    OK(zs_create_acl(a, "/write", zs_acl(ZK_PERM_WRITE, "world", "anyone", 0)));
    OK(zs_get_acl(a, "/admin"));
    ERR(zs_get_acl(a, "/write"), ZK_ERR_NO_AUTH);
}

static void acl_invalid(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    static const char *const bad[][2] = {{"world", "somebody"}, {"nothing", "x"},    {"auth", ""},
                                         {"digest", "nocolon"}, {"digest", "a:b:c"}, {"", ""}};
    OK(zs_create(a, "/a", "", 0));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct zk_list acl = zs_acl(ZK_PERM_ALL, bad[i][0], bad[i][1], 0);
        ERR(zs_create_acl(a, "/b", acl), ZK_ERR_INVALID_ACL);
        ERR(zs_set_acl(a, "/a", acl, -1), ZK_ERR_INVALID_ACL);
        ERR(zs_create_acl(a, "/no/b", acl), ZK_ERR_INVALID_ACL); /* before it is looked for */
    }
    EQ(zs_exists(a, "/a")->stat.aversion, 0);
}

static void acl_several(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zk_list acl = zs_acl(ZK_PERM_READ, "world", "anyone", ZK_PERM_WRITE, "world", "anyone",
                                ZK_PERM_READ, "world", "anyone", 0);
    OK(zs_create_acl(a, "/a", acl));
    OK(zs_set(a, "/a", "x", -1));
    OK(zs_get(a, "/a"));
    STR(zs_get_acl(a, "/a")->names, "1 world anyone,2 world anyone"); /* each once */
}

static void digest_keeps_others_out(struct zs *t)
{
    struct zs_session *a = zs_open(t, &(struct zs_how){.password = "user:pass"});
    struct zs_session *b = zs_open(t, NULL);
    struct zs_session *c = zs_open(t, &(struct zs_how){.password = "user:other"});
    OK(zs_create_acl(a, "/a", zs_acl(ZK_PERM_ALL, "auth", "", 0)));
    STR(zs_get_acl(a, "/a")->names, "31 digest user:smGaoVKd/cQkjm7b88GyorAUz20=");
    OK(zs_set(a, "/a", "x", -1));
    ERR(zs_get(b, "/a"), ZK_ERR_NO_AUTH);
    ERR(zs_set(c, "/a", "y", -1), ZK_ERR_NO_AUTH);
    OK(zs_exists(b, "/a"));
    EQ(zk_auth(b->zk, "digest", "user:pass", 9), 0);
    OK(zs_get(b, "/a"));
    STR(zs_get(b, "/a")->data, "x");
}

static void digest_by_its_sum(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create_acl(a, "/a",
                     zs_acl(ZK_PERM_ALL, "digest", "user:smGaoVKd/cQkjm7b88GyorAUz20=", 0)));
    ERR(zs_get(a, "/a"), ZK_ERR_NO_AUTH);
    ERR(zs_get_acl(a, "/a"), ZK_ERR_NO_AUTH);
    EQ(zk_auth(a->zk, "digest", "user:pass", 9), 0);
    OK(zs_get(a, "/a"));
}

static void digest_is_hidden(struct zs *t)
{
    struct zs_session *a = zs_open(t, &(struct zs_how){.password = "user:pass"});
    struct zs_session *b = zs_open(t, NULL);
    OK(zs_create_acl(a, "/a", zs_acl(ZK_PERM_ALL, "auth", "", ZK_PERM_READ, "world", "anyone", 0)));
    STR(zs_get_acl(a, "/a")->names, "1 world anyone,31 digest user:smGaoVKd/cQkjm7b88GyorAUz20=");
    STR(zs_get_acl(b, "/a")->names, "1 world anyone,31 digest user:x");
}

static void digest_of_two(struct zs *t)
{
    struct zs_session *a = zs_open(t, &(struct zs_how){.password = "one:1"});
    struct zs_session *b = zs_open(t, &(struct zs_how){.password = "two:2"});
    EQ(zk_auth(a->zk, "digest", "two:2", 5), 0);
    OK(zs_create_acl(a, "/a", zs_acl(ZK_PERM_ALL, "auth", "", 0)));
    EQ(zs_get_acl(a, "/a")->n_names, 2);
    OK(zs_set(b, "/a", "x", -1)); /* either may */
}

static void digest_with_colons(struct zs *t)
{
    struct zs_session *a = zs_open(t, &(struct zs_how){.password = "a:b:c"});
    OK(zs_create_acl(a, "/a", zs_acl(ZK_PERM_ALL, "auth", "", 0)));
    STR(zs_get_acl(a, "/a")->names, "31 digest a:cLzgnoJ6mP5qz3w+mwvPE2vDgu0=");
}

static void digest_inside_a_multi(struct zs *t)
{
    struct zs_session *a = zs_open(t, &(struct zs_how){.password = "user:pass"});
    struct zs_session *b = zs_open(t, NULL);
    struct zk_multi ops[] = {MULTI_CREATE("/a", "", 0), MULTI_CREATE("/a/b", "", 0)};
    ops[0].acl = zs_acl(ZK_PERM_ALL, "auth", "", 0);
    OK(zs_multi(a, ops, 2));
    zs_settle(b);
    const struct zk_multi more[] = {MULTI_CREATE("/c", "", 0), MULTI_CREATE("/a/c", "", 0)};
    ERR(zs_multi(b, more, 2), ZK_ERR_NO_AUTH);
    ERR(zs_exists(b, "/c"), ZK_ERR_NO_NODE);
    OK(zs_multi(a, more, 2));
}

const struct zs_case zs_multis[] = {
    {"multi_all", multi_all, 0},
    {"multi_of_one", multi_of_one, 0},
    {"multi_create_without_stat", multi_create_without_stat, 0},
    {"multi_fails_as_a_whole", multi_fails_as_a_whole, 0},
    {"multi_each_failure", multi_each_failure, 0},
    {"multi_first_fails", multi_first_fails, 0},
    {"multi_sees_itself", multi_sees_itself, 0},
    {"multi_replaces", multi_replaces, 0},
    {"multi_sequences", multi_sequences, 0},
    {"multi_that_fails_takes_no_number", multi_that_fails_takes_no_number, 0},
    {"multi_in_a_pipeline", multi_in_a_pipeline, 0},
    {"check_versions", check_versions, 0},
    {"acl_open", acl_open, 0},
    {"acl_set", acl_set, 0},
    {"acl_versions", acl_versions, 0},
    {"acl_each_permission", acl_each_permission, 0},
    {"acl_check_needs_read", acl_check_needs_read, 0},
    {"acl_get_needs_read_or_admin", acl_get_needs_read_or_admin, 0},
    {"acl_invalid", acl_invalid, 0},
    {"acl_several", acl_several, 0},
    {"digest_keeps_others_out", digest_keeps_others_out, 0},
    {"digest_by_its_sum", digest_by_its_sum, 0},
    {"digest_is_hidden", digest_is_hidden, 0},
    {"digest_of_two", digest_of_two, 0},
    {"digest_with_colons", digest_with_colons, 0},
    {"digest_inside_a_multi", digest_inside_a_multi, 0},
    {NULL, NULL, 0}};
