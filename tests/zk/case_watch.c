/* tests/zk/case_watch.c - watches: what fires them, once, in which order; and how they are armed
 * again. */
#include "core/fmt.h"
#include "tests/zk/zk_suite.h"

static void watch_data(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/a", "", 0));
    struct zs_watch *w = zs_watch(a, "w", ZK_OP_GET_DATA, "/a");
    OK(zs_create(a, "/a/b", "", 0)); /* is no change of its data */
    OK(zs_set_acl(a, "/a", zk_proto_acl_open, -1));
    EQ(w->fired, 0);
    OK(zs_set(a, "/a", "1", -1));
    EQ(w->fired, 1);
    EQ(w->event, ZK_EVENT_DATA);
    OK(zs_set(a, "/a", "2", -1)); /* once */
    zs_settle(a);
    EQ(w->fired, 1);
}

static void watch_data_until_it_is_deleted(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/a", "", 0));
    struct zs_watch *w = zs_watch(a, "w", ZK_OP_GET_DATA, "/a");
    OK(zs_delete(a, "/a", -1));
    EQ(w->fired, 1);
    EQ(w->event, ZK_EVENT_DELETED);
}

static void watch_what_is_not_there(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zs_watch *w = zs_watch(a, "w", ZK_OP_EXISTS, "/a");
    OK(zs_create(a, "/b", "", 0));
    EQ(w->fired, 0);
    OK(zs_create(a, "/a", "", 0));
    EQ(w->fired, 1);
    EQ(w->event, ZK_EVENT_CREATED);
    OK(zs_set(a, "/a", "", -1));
    zs_settle(a);
    EQ(w->fired, 1);
}

static void watch_what_is_there(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/a", "", 0));
    struct zs_watch *w = zs_watch(a, "w", ZK_OP_EXISTS, "/a");
    OK(zs_set(a, "/a", "1", -1));
    EQ(w->event, ZK_EVENT_DATA);
    struct zs_watch *v = zs_watch(a, "v", ZK_OP_EXISTS, "/a");
    OK(zs_delete(a, "/a", -1));
    EQ(v->event, ZK_EVENT_DELETED);
}

static void watch_children(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/p", "", 0));
    struct zs_watch *w = zs_watch(a, "w", ZK_OP_GET_CHILDREN2, "/p");
    OK(zs_set(a, "/p", "x", -1));
    EQ(w->fired, 0);
    OK(zs_create(a, "/p/1", "", 0));
    EQ(w->fired, 1);
    EQ(w->event, ZK_EVENT_CHILDREN);
    struct zs_watch *v = zs_watch(a, "v", ZK_OP_GET_CHILDREN2, "/p");
    OK(zs_set(a, "/p/1", "x", -1));
    OK(zs_create(a, "/p/1/deep", "", 0));
    OK(zs_delete(a, "/p/1/deep", -1));
    EQ(v->fired, 0);
    OK(zs_delete(a, "/p/1", -1));
    EQ(v->fired, 1);
    EQ(v->event, ZK_EVENT_CHILDREN);
}

static void watch_children_of_what_goes(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/p", "", 0));
    struct zs_watch *w = zs_watch(a, "w", ZK_OP_GET_CHILDREN2, "/p");
    OK(zs_delete(a, "/p", -1));
    EQ(w->fired, 1);
    EQ(w->event, ZK_EVENT_DELETED);
}

static void watch_children_by_the_older_call(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/p", "", 0));
    struct zs_watch *w = zs_watch(a, "w", ZK_OP_GET_CHILDREN, "/p");
    OK(zs_create(a, "/p/1", "", 0));
    EQ(w->event, ZK_EVENT_CHILDREN);
}

static void watch_fires_before_the_answer(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/a", "", 0));
    zs_watch(a, "w", ZK_OP_GET_DATA, "/a");
    zs_go(a, "set", &(struct zk_call){.what = ZK_OP_SET_DATA, .path = "/a", .version = -1});
    zs_wait(t, zs_go(a, "get", &(struct zk_call){.what = ZK_OP_GET_DATA, .path = "/a"}));
    STR(a->said, "w:data set:0 get:0");
}

static void watch_fires_before_others_see_it(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL), *b = zs_open(t, NULL);
    OK(zs_create(a, "/a", "", 0));
    zs_watch(b, "w", ZK_OP_GET_DATA, "/a");
    OK(zs_set(a, "/a", "1", -1));
    struct zs_answer *g = zs_go(b, "get", &(struct zk_call){.what = ZK_OP_GET_DATA, .path = "/a"});
    zs_wait(t, g);
    STR(g->data, "1");
    STR(b->said, "w:data get:0");
}

static void watches_of_a_node_that_goes(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL), *b = zs_open(t, NULL);
    OK(zs_create(a, "/p", "", 0));
    OK(zs_create(a, "/p/a", "", 0));
    struct zs_watch *data = zs_watch(b, "data", ZK_OP_GET_DATA, "/p/a");
    struct zs_watch *stat = zs_watch(b, "stat", ZK_OP_EXISTS, "/p/a");
    struct zs_watch *kids = zs_watch(b, "kids", ZK_OP_GET_CHILDREN2, "/p/a");
    struct zs_watch *up = zs_watch(b, "up", ZK_OP_GET_CHILDREN2, "/p");
    OK(zs_delete(a, "/p/a", -1));
    zs_settle(b);
    EQ(data->event, ZK_EVENT_DELETED);
    EQ(stat->event, ZK_EVENT_DELETED);
    EQ(kids->event, ZK_EVENT_DELETED);
    EQ(up->event, ZK_EVENT_CHILDREN);
    EQ(data->fired + stat->fired + kids->fired + up->fired, 4);
    STR(strrchr(b->said, ' '), " up:children"); /* its parent's comes last */
}

static void watches_of_several_sessions(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL), *b = zs_open(t, NULL), *c = zs_open(t, NULL);
    OK(zs_create(a, "/a", "", 0));
    struct zs_watch *w[] = {zs_watch(a, "a", ZK_OP_GET_DATA, "/a"),
                            zs_watch(b, "b", ZK_OP_EXISTS, "/a"),
                            zs_watch(c, "c", ZK_OP_GET_DATA, "/a")};
    OK(zs_set(a, "/a", "1", -1));
    zs_settle(b);
    zs_settle(c);
    for (size_t i = 0; i < ARRAY_LEN(w); i++)
        EQ(w[i]->fired, 1);
}

static void watch_of_a_change_that_fails(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/a", "", 0));
    struct zs_watch *w = zs_watch(a, "w", ZK_OP_GET_DATA, "/a");
    struct zs_watch *v = zs_watch(a, "v", ZK_OP_GET_CHILDREN2, "/");
    ERR(zs_set(a, "/a", "", 7), ZK_ERR_BAD_VERSION);
    const struct zk_multi ops[] = {MULTI_SET("/a", "", 0), MULTI_CREATE("/b", "", 0),
                                   MULTI_CHECK("/no", -1)};
    ERR(zs_multi(a, ops, 3), ZK_ERR_NO_NODE);
    zs_settle(a);
    EQ(w->fired + v->fired, 0);
}

static void watches_of_a_multi_in_its_order(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL), *b = zs_open(t, NULL);
    OK(zs_create(a, "/set", "", 0));
    OK(zs_create(a, "/gone", "", 0));
    zs_watch(b, "set", ZK_OP_GET_DATA, "/set");
    zs_watch(b, "gone", ZK_OP_GET_DATA, "/gone");
    zs_watch(b, "new", ZK_OP_EXISTS, "/new");
    const struct zk_multi ops[] = {MULTI_CREATE("/new", "", 0), MULTI_DELETE("/gone", 0),
                                   MULTI_SET("/set", "1", 0)};
    OK(zs_multi(a, ops, 3));
    zs_settle(b);
    STR(b->said, "new:created gone:deleted set:data");
}

static void watch_when_a_session_ends(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL), *b = zs_open(t, NULL);
    OK(zs_create(a, "/e", "", ZK_CREATE_EPHEMERAL));
    struct zs_watch *w = zs_watch(b, "w", ZK_OP_EXISTS, "/e");
    struct zs_watch *v = zs_watch(b, "v", ZK_OP_GET_CHILDREN2, "/");
    zs_close(a, true);
    zs_settle(b);
    EQ(w->event, ZK_EVENT_DELETED);
    EQ(v->event, ZK_EVENT_CHILDREN);
    STR(b->said, "w:deleted v:children");
}

static void watch_again(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    OK(zs_create(a, "/a", "", 0));
    for (int i = 0; i < 5; i++) {
        struct zs_watch *w = zs_watch(a, "w", ZK_OP_GET_DATA, "/a");
        OK(zs_set(a, "/a", "x", i));
        EQ(w->fired, 1);
    }
    STR(a->said, "w:data w:data w:data w:data w:data");
}

static void watch_of_a_sequence(struct zs *t) /* as an election has it */
{
    struct zs_session *a = zs_open(t, NULL), *b = zs_open(t, NULL);
    OK(zs_create(a, "/n", "", ZK_CREATE_EPHEMERAL_SEQUENTIAL));
    OK(zs_create(b, "/n", "", ZK_CREATE_EPHEMERAL_SEQUENTIAL));
    struct zs_watch *w = zs_watch(b, "w", ZK_OP_GET_DATA, "/n0000000000");
    EQ(w->fired, 0);
    zs_close(a, true);
    TRUE(zs_fires(w));
    STR(zs_children(b, "/")->names, "n0000000001");
}

/* ---- on raw connections, where nobody helps ---- */

static struct zs_raw *raw_session(struct zs *t)
{
    struct zs_raw *r = zs_raw(t, 0);
    TRUE(zs_raw_connect(r, 0, NULL, 0, 20 * t->w->tick_ns));
    return r;
}

static const struct zk_request ping = {.xid = ZK_XID_PING, .op = ZK_OP_PING};

/* one event more in the text: "data /a" */
static size_t event_text(struct zs *t, char *text, size_t cap, size_t at, const struct zk_reply *a)
{
    static const char *const names[] = {"?", "created", "deleted", "data", "children"};
    size_t dir = strlen(t->dir);
    EQ(a->keeper, ZK_KEEPER_CONNECTED);
    if (!TRUE(a->path_len >= dir && !memcmp(a->path, t->dir, dir)))
        return at;
    return at + fmt_into(text + at, cap - at, "%s%s %.*s", at ? ", " : "",
                         a->event >= 1 && a->event <= 4 ? names[a->event] : "?",
                         (int)(a->path_len - dir), a->path + dir);
}

/* what a raw connection hears until a ping is answered */
static const char *events(struct zs_raw *r)
{
    static char text[1024];
    struct zs *t = r->t;
    struct zk_reply a;
    size_t at = 0;
    text[0] = 0;
    zs_raw_send(r, &ping);
    while (zs_raw_next(r, ZK_OP_PING, &a) && a.xid == ZK_XID_EVENT)
        at = event_text(t, text, sizeof text, at, &a);
    EQ(a.xid, ZK_XID_PING);
    return text;
}

static int32_t raw_watch(struct zs_raw *r, int32_t op, const char *path)
{
    const struct zk_request q = {.op = op, .path = path, .watch = true};
    return zs_raw_ask(r, &q, NULL);
}

static void raw_watches_fire_once_each(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zs_raw *r = raw_session(t);
    OK(zs_create(a, "/a", "", 0));
    EQ(raw_watch(r, ZK_OP_GET_DATA, "/a"), 0);
    EQ(raw_watch(r, ZK_OP_GET_DATA, "/a"), 0); /* twice is once */
    EQ(raw_watch(r, ZK_OP_EXISTS, "/a"), 0);   /* is the same */
    OK(zs_set(a, "/a", "1", -1));
    OK(zs_set(a, "/a", "2", -1)); /* nobody is told of that */
    STR(events(r), "data /a");
    OK(zs_set(a, "/a", "3", -1));
    STR(events(r), "");
    EQ(raw_watch(r, ZK_OP_GET_DATA, "/a"), 0);
    EQ(raw_watch(r, ZK_OP_GET_CHILDREN2, "/a"), 0);
    OK(zs_delete(a, "/a", -1)); /* two watches, one event */
    STR(events(r), "deleted /a");
    EQ(raw_watch(r, ZK_OP_GET_CHILDREN2, ""), 0);
    OK(zs_create(a, "/b", "", 0));
    OK(zs_create(a, "/c", "", 0));
    STR(events(r), "children ");
}

static void raw_watch_of_nothing(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zs_raw *r = raw_session(t);
    EQ(raw_watch(r, ZK_OP_GET_DATA, "/a"), ZK_ERR_NO_NODE);
    EQ(raw_watch(r, ZK_OP_GET_CHILDREN2, "/a"), ZK_ERR_NO_NODE);
    OK(zs_create(a, "/a", "", 0));
    OK(zs_create(a, "/a/b", "", 0));
    STR(events(r), ""); /* only EXISTS watches what is not there */
}

static void raw_watch_by_who_may_not_read(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zs_raw *r = raw_session(t);
    OK(zs_create_acl(a, "/a", zs_acl(ZK_PERM_WRITE, "world", "anyone", 0)));
    EQ(raw_watch(r, ZK_OP_GET_DATA, "/a"), ZK_ERR_NO_AUTH);
    OK(zs_set(a, "/a", "1", -1));
    STR(events(r), "");
}

/* full paths, as servers know them */
static struct zk_list full_paths(struct zs *t, const char *paths)
{
    static uint8_t bytes[8][512];
    static uint32_t at;
    struct wbuf w = wbuf_make(bytes[at++ % 8], sizeof bytes[0]);
    uint32_t n = 0;
    for (const char *p = paths, *end; *p; p = *end ? end + 1 : end) {
        char one[256];
        end = strchr(p, ' ') ? strchr(p, ' ') : p + strlen(p);
        size_t len = fmt_into(one, sizeof one, "%s%.*s", t->dir, (int)(end - p), p);
        zk_proto_text_put(&w, &n, one, (uint32_t)len);
    }
    return (struct zk_list){w.p, (uint32_t)w.len, n};
}

/* what SET_WATCHES fires before it is answered: "data /a, ..." */
static const char *rearm(struct zs_raw *r, int64_t zxid, const char *data, const char *exist,
                         const char *child)
{
    static char text[1024];
    struct zs *t = r->t;
    struct zk_reply a;
    const struct zk_request q = {.xid = ZK_XID_SET_WATCHES,
                                 .op = ZK_OP_SET_WATCHES,
                                 .zxid = zxid,
                                 .data_watches = full_paths(t, data),
                                 .exist_watches = full_paths(t, exist),
                                 .child_watches = full_paths(t, child)};
    size_t at = 0;
    text[0] = 0;
    zs_raw_send(r, &q);
    while (zs_raw_next(r, q.op, &a) && a.xid == ZK_XID_EVENT)
        at = event_text(t, text, sizeof text, at, &a);
    EQ(a.xid, ZK_XID_SET_WATCHES);
    EQ(a.err, 0);
    return text;
}

static void rearm_what_has_changed(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zs_raw *r = raw_session(t);
    OK(zs_create(a, "/a", "", 0));
    OK(zs_create(a, "/gone", "", 0));
    OK(zs_create(a, "/p", "", 0));
    int64_t seen = zs_exists(a, "/p")->zxid;
    OK(zs_set(a, "/a", "1", -1));
    OK(zs_delete(a, "/gone", -1));
    OK(zs_create(a, "/p/1", "", 0));
    STR(rearm(r, seen, "/a", "", ""), "data /a");
    STR(rearm(r, seen, "/gone", "", ""), "deleted /gone");
    STR(rearm(r, seen, "", "", "/p"), "children /p");
    STR(rearm(r, seen, "", "", "/gone"), "deleted /gone");
    STR(rearm(r, seen, "", "/p/1", ""), "created /p/1");
    OK(zs_set(a, "/a", "2", -1));
    OK(zs_create(a, "/p/2", "", 0));
    STR(events(r), ""); /* what fired is armed no more */
}

static void rearm_what_has_not(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zs_raw *r = raw_session(t);
    OK(zs_create(a, "/a", "", 0));
    OK(zs_create(a, "/p", "", 0));
    int64_t seen = zs_exists(a, "/p")->zxid;
    STR(rearm(r, seen, "/a", "/new", "/p"), "");
    OK(zs_set(a, "/a", "1", -1));
    OK(zs_create(a, "/p/1", "", 0));
    OK(zs_create(a, "/new", "", 0));
    STR(events(r), "data /a, children /p, created /new");
}

static void rearm_sees_each_its_own(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zs_raw *r = raw_session(t);
    OK(zs_create(a, "/a", "", 0));
    int64_t seen = zs_exists(a, "/a")->zxid;
    OK(zs_create(a, "/a/b", "", 0)); /* children, and no data */
    STR(rearm(r, seen, "/a", "", ""), "");
    STR(rearm(r, seen, "", "", "/a"), "children /a");
    seen = zs_exists(a, "/a")->zxid;
    OK(zs_set(a, "/a", "1", -1)); /* data, and no children; and what was armed above hears of it */
    STR(events(r), "data /a");
    STR(rearm(r, seen, "", "", "/a"), "");
    STR(rearm(r, seen, "/a", "", ""), "data /a");
}

static void rearm_by_the_newer_call(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zs_raw *r = raw_session(t);
    struct zk_reply e;
    OK(zs_create(a, "/a", "", 0));
    const struct zk_request q = {.xid = ZK_XID_SET_WATCHES,
                                 .op = ZK_OP_SET_WATCHES2,
                                 .zxid = zs_exists(a, "/a")->zxid,
                                 .data_watches = full_paths(t, "/a"),
                                 .exist_watches = full_paths(t, "/a")};
    zs_raw_send(r, &q);
    TRUE(zs_raw_next(r, q.op, &e));
    EQ(e.xid, ZK_XID_EVENT);
    EQ(e.event, ZK_EVENT_CREATED);
    TRUE(zs_raw_next(r, q.op, &e));
    EQ(e.xid, ZK_XID_SET_WATCHES);
    EQ(e.err, 0);
    OK(zs_set(a, "/a", "1", -1));
    STR(events(r), "data /a");
}

static void watches_end_with_their_connection(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zs_raw *r = raw_session(t);
    OK(zs_create(a, "/a", "", 0));
    EQ(raw_watch(r, ZK_OP_GET_DATA, "/a"), 0);
    zs_raw_hangup(r);
    struct zs_raw *again = zs_raw(t, 0);
    TRUE(zs_raw_connect(again, r->c.session, r->c.password, 0, 20 * t->w->tick_ns));
    EQ(again->c.session, r->c.session);
    OK(zs_set(a, "/a", "1", -1));
    STR(events(again), "");
}

static void watches_are_taken_back(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL);
    struct zs_raw *r = raw_session(t);
    OK(zs_create(a, "/a", "", 0));
    struct zk_request check = {.op = ZK_OP_CHECK_WATCHES, .path = "/a", .flags = ZK_WATCHER_DATA};
    struct zk_request remove = {.op = ZK_OP_REMOVE_WATCHES, .path = "/a", .flags = ZK_WATCHER_DATA};
    EQ(zs_raw_ask(r, &check, NULL), ZK_ERR_NO_WATCHER);
    EQ(zs_raw_ask(r, &remove, NULL), ZK_ERR_NO_WATCHER);
    EQ(raw_watch(r, ZK_OP_GET_DATA, "/a"), 0);
    EQ(zs_raw_ask(r, &check, NULL), 0);
    remove.flags = ZK_WATCHER_CHILDREN;
    EQ(zs_raw_ask(r, &remove, NULL), ZK_ERR_NO_WATCHER);
    remove.flags = ZK_WATCHER_ANY;
    EQ(zs_raw_ask(r, &remove, NULL), 0);
    EQ(zs_raw_ask(r, &check, NULL), ZK_ERR_NO_WATCHER);
    OK(zs_set(a, "/a", "1", -1));
    STR(events(r), "");
}

const struct zs_case zs_watches[] = {
    {"watch_data", watch_data, 0},
    {"watch_data_until_it_is_deleted", watch_data_until_it_is_deleted, 0},
    {"watch_what_is_not_there", watch_what_is_not_there, 0},
    {"watch_what_is_there", watch_what_is_there, 0},
    {"watch_children", watch_children, 0},
    {"watch_children_of_what_goes", watch_children_of_what_goes, 0},
    {"watch_children_by_the_older_call", watch_children_by_the_older_call, 0},
    {"watch_fires_before_the_answer", watch_fires_before_the_answer, 0},
    {"watch_fires_before_others_see_it", watch_fires_before_others_see_it, 0},
    {"watches_of_a_node_that_goes", watches_of_a_node_that_goes, 0},
    {"watches_of_several_sessions", watches_of_several_sessions, 0},
    {"watch_of_a_change_that_fails", watch_of_a_change_that_fails, 0},
    {"watches_of_a_multi_in_its_order", watches_of_a_multi_in_its_order, 0},
    {"watch_when_a_session_ends", watch_when_a_session_ends, 0},
    {"watch_again", watch_again, 0},
    {"watch_of_a_sequence", watch_of_a_sequence, 0},
    {"raw_watches_fire_once_each", raw_watches_fire_once_each, 0},
    {"raw_watch_of_nothing", raw_watch_of_nothing, 0},
    {"raw_watch_by_who_may_not_read", raw_watch_by_who_may_not_read, 0},
    {"rearm_what_has_changed", rearm_what_has_changed, 0},
    {"rearm_what_has_not", rearm_what_has_not, 0},
    {"rearm_sees_each_its_own", rearm_sees_each_its_own, 0},
    {"rearm_by_the_newer_call", rearm_by_the_newer_call, 0},
    {"watches_end_with_their_connection", watches_end_with_their_connection, 0},
    {"watches_are_taken_back", watches_are_taken_back, 0},
    {NULL, NULL, 0}};
