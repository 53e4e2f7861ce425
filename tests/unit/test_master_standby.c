/* tests/unit/test_master_standby.c - questions answered by masters that do not lead: never an old
 * answer, never a promise, never without an end.  Three real masters on the Raft journal; a raw
 * client with a connection to each.  (Clients that read so through failovers: test_master_raft.c.)
 */
#include "cluster/client.h"
#include "tests/unit/master_world.h"

enum { S_MASTERS = 3, S_MANY = 60 };

static struct s_master {
    struct ufs_factory factory;
    struct sim_node *node;
    struct master *master;
    struct master_config cfg;
    char name[8], listen[16];
    struct wc *c; /* to it */
} sm[S_MASTERS];

static struct wcall w, many[S_MANY];

static int s_open_store(struct ufs_factory *f, struct env *e, const char *uri, struct ufs **ret_u)
{
    static const struct ufs_vt vt = {wu_submit, wu_close};
    struct mem *mem = sim_mem(container_of(f, struct s_master, factory)->node);
    struct wu_store *s = mem_zalloc(mem, sizeof *s);
    (void)uri;
    *s = (struct wu_store){.ufs.vt = &vt, .env = e, .mem = mem};
    *ret_u = &s->ufs;
    return 0;
}

static void s_boot(struct env *e, struct mem *mem, void *ctx)
{
    struct s_master *m = ctx;
    CU_ASSERT_EQUAL_FATAL(master_open(e, mem, &m->cfg, &m->master), 0);
}

static bool s_serves(const struct s_master *m)
{
    return sim_node_is_up(m->node) && m->master && master_state(m->master, NULL) == MASTER_SERVING;
}

static struct s_master *s_leader(void)
{
    for (int i = 0; i < S_MASTERS; i++)
        if (s_serves(&sm[i]))
            return &sm[i];
    return NULL;
}

static struct s_master *s_standby(int nth)
{
    for (int i = 0; i < S_MASTERS; i++)
        if (!s_serves(&sm[i]) && !nth--)
            return &sm[i];
    return NULL;
}

static void s_dial(int i)
{
    struct wc *c = sm[i].c;
    struct env_op op = {0};
    rpc_connect(&c->host, sm[i].listen, 100 * MS, &op, &c->conn);
    CU_ASSERT_EQUAL_FATAL(sim_run_op(ws, &op, 1000 * MS), 0);
}

static void s_open(enum fsop_mount_mode mode)
{
    w_config(mode, 100 * MS);
    wcfg.journal.raft.members = "1@m1:1,2@m2:1,3@m3:1";
    wcfg.requests_max = 128;
    memset(sm, 0, sizeof sm);
    for (int i = 0; i < S_MASTERS; i++) {
        struct s_master *m = &sm[i];
        snprintf(m->name, sizeof m->name, "m%d", i + 1);
        snprintf(m->listen, sizeof m->listen, "m%d:1", i + 1);
        m->cfg = wcfg;
        m->cfg.listen = m->listen;
        m->cfg.journal.raft.id = (uint32_t)i + 1;
        m->factory.open = s_open_store;
        m->cfg.ufs = &m->factory;
        m->node = sim_node_add(ws, m->name);
        sim_node_start(m->node, s_boot, m);
    }
    struct sim_node *n = sim_node_add(ws, "client");
    struct env *e = sim_node_up(n);
    for (int i = 0; i < 10000 && !s_leader(); i++)
        w_run_ms(1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s_leader());
    for (int i = 0; i < S_MASTERS; i++) {
        struct wc *c = sm[i].c = &wclients[i];
        memset(c, 0, sizeof *c);
        c->env = e;
        c->host.on_call = wc_on_call;
        c->host.on_close = wc_on_close;
        CU_ASSERT_EQUAL(rpc_host_init(&c->host, e, sim_mem(n), 4, 256), 0);
        s_dial(i);
    }
}

static void s_close(void)
{
    char why[256] = "";
    for (int i = 0; i < S_MASTERS; i++)
        CU_ASSERT(!sim_node_is_up(sm[i].node) || master_check(sm[i].master, true, why, sizeof why));
    sim_close(ws);
    mem_drop(&wm);
}

static void s_make(const char *name)
{
    struct s_master *m = s_leader();
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    CU_ASSERT_EQUAL(w_fs(m->c, w_name(FSOP_MKDIR, INO_ROOT, name), &w), 0);
}

static struct fsop s_aside(struct fsop op)
{
    op.flags |= FSOP_F_ASIDE;
    return op;
}

/* what a master that does not lead says of a name, without a promise */
static int s_look(struct s_master *m, const char *name)
{
    int err = w_fs(m->c, s_aside(w_name(FSOP_LOOKUP, INO_ROOT, name)), &w);
    CU_ASSERT_EQUAL(w.reply.lease_ns, 0);
    return err;
}

static uint64_t s_status(struct s_master *m, const char *key)
{
    static char text[RPC_BODY_MAX];
    char want[64];
    (void)master_status_text(m->master, text, sizeof text);
    snprintf(want, sizeof want, "\n%s ", key);
    const char *at = strstr(text, want);
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    return strtoull(at + strlen(want), NULL, 10);
}

static void s_cut(struct s_master *m)
{
    for (int i = 0; i < S_MASTERS; i++)
        if (&sm[i] != m)
            sim_net_partition(m->node, sm[i].node, false);
}

static void test_master_standby_answers_at_once_what_was_just_made(void)
{
    s_open(FSOP_MOUNT_META);
    for (int i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%d", i);
        CU_ASSERT_EQUAL(s_look(s_standby(i % 2), name), E_NOENT);
        s_make(name);
        CU_ASSERT_EQUAL(s_look(s_standby(i % 2), name), 0);
        struct ino dir = w.reply.attr.ino;
        CU_ASSERT_EQUAL(w_fs(s_leader()->c, w_name(FSOP_LOOKUP, INO_ROOT, name), &w), 0);
        CU_ASSERT_EQUAL(w.reply.attr.ino.v, dir.v);
        struct fsop get = {.kind = FSOP_GETATTR, .ino = dir};
        CU_ASSERT_EQUAL(w_fs(s_standby(0)->c, s_aside(get), &w), 0);
        CU_ASSERT_EQUAL(w.reply.attr.ino.v, dir.v);
    }
    CU_ASSERT_EQUAL(s_status(s_standby(0), "requests.standby"), 100);
    struct fsop op = {.kind = FSOP_READDIR, .ino = INO_ROOT, .size = 4000};
    CU_ASSERT_EQUAL(w_fs(s_standby(1)->c, s_aside(op), &w), 0);
    CU_ASSERT(w.reply.data_len > 1000);
    op = (struct fsop){.kind = FSOP_STATFS};
    CU_ASSERT(w_fs(s_standby(1)->c, s_aside(op), &w) == 0 && w.reply.data_len);
    op = (struct fsop){.kind = FSOP_ACCESS, .ino = INO_ROOT, .mode = FSOP_ACCESS_R};
    CU_ASSERT_EQUAL(w_fs(s_standby(1)->c, s_aside(op), &w), 0);
    s_close();
}

/* who does not ask for it, and what only the leader knows */
static void test_master_standby_sends_the_rest_to_the_leader(void)
{
    s_open(FSOP_MOUNT_META);
    struct s_master *m = s_standby(0), *l = s_leader();
    CU_ASSERT_EQUAL(w_fs(l->c, w_name(FSOP_MKNOD, INO_ROOT, "f"), &w), 0);
    struct ino f = w.reply.attr.ino;
    const struct fsop no[] = {
        {.kind = FSOP_GETATTR, .ino = INO_ROOT},
        s_aside((struct fsop){.kind = FSOP_OPEN, .ino = f, .mode = FSOP_ACCESS_R}),
        s_aside((struct fsop){.kind = FSOP_GETATTR, .ino = f, .size = 10}),
        s_aside((struct fsop){.kind = FSOP_STATFS, .ino = INO_ROOT, .mode = 1}),
        s_aside(w_name(FSOP_MKDIR, INO_ROOT, "d")),
    };
    for (unsigned i = 0; i < ARRAY_LEN(no); i++) {
        CU_ASSERT_EQUAL(w_fs(m->c, no[i], &w), E_NOT_LEADER);
        CU_ASSERT(w.len == strlen(l->listen) && !memcmp(w.body, l->listen, w.len));
    }
    CU_ASSERT_EQUAL(s_status(m, "requests.standby"), 0);
    s_close();
    /* an under-store that would have to be asked first */
    s_open(FSOP_MOUNT_THROUGH);
    CU_ASSERT_EQUAL(s_look(s_standby(0), "x"), E_NOTSUP);
    CU_ASSERT_EQUAL(s_status(s_standby(0), "requests.standby_refused"), 1);
    s_close();
}

/* A standby looks below itself; what is not as its state says is the leader's to take in. */
static void test_master_standby_compares_with_the_under_store(void)
{
    s_open(FSOP_MOUNT_THROUGH);
    struct s_master *m = s_standby(0);
    struct fsop get = {.kind = FSOP_GETATTR};
    s_make("d"); /* a name alone is found in a directory that is not loaded */
    CU_ASSERT_EQUAL(s_look(m, "d"), 0);
    get.ino = w.reply.attr.ino;
    CU_ASSERT_EQUAL(s_look(m, "x"), E_NOTSUP);
    CU_ASSERT_EQUAL(w_readdir(s_leader()->c, INO_ROOT), 1);
    CU_ASSERT_EQUAL(s_look(m, "x"), E_NOENT);
    /* within the check interval nobody looks again */
    unsigned stats = wu.count[UFS_STAT];
    for (int i = 0; i < 20; i++) {
        CU_ASSERT_EQUAL(s_look(m, "x"), E_NOENT);
        CU_ASSERT_EQUAL(w_fs(m->c, s_aside(get), &w), 0);
    }
    CU_ASSERT(wu.count[UFS_STAT] <= stats + 1);
    /* somebody else makes and changes files */
    for (int i = 0; i < 5; i++) {
        char name[8];
        snprintf(name, sizeof name, "x%d", i);
        wu_add(name, FSOP_S_IFREG | 0644, 5);
        w_run_ms(101);
        CU_ASSERT_EQUAL(s_look(m, name), E_NOTSUP);
        CU_ASSERT_EQUAL(w_fs(s_leader()->c, w_name(FSOP_LOOKUP, INO_ROOT, name), &w), 0);
        CU_ASSERT_EQUAL(s_look(m, name), 0);
        CU_ASSERT_EQUAL(w.reply.attr.size, 5);
        struct wu_file *f = wu_find(name);
        f->size = 6;
        wu_touch(f);
        w_run_ms(101);
        CU_ASSERT_EQUAL(s_look(m, name), E_NOTSUP);
    }
    /* what hangs below does not hang here */
    wu.hang = true;
    w_run_ms(101);
    int64_t from = sim_now_ns(ws);
    CU_ASSERT_EQUAL(w_fs(m->c, s_aside(get), &w), E_NOT_LEADER);
    CU_ASSERT(sim_now_ns(ws) - from < 600 * MS);
    wu.hang = false;
    w_run_ms(200);
    CU_ASSERT_EQUAL(w_fs(m->c, s_aside(get), &w), 0);
    /* and what a change through us has done there already is not news */
    CU_ASSERT_EQUAL(w_readdir(s_leader()->c, INO_ROOT), 6);
    s_cut(m);
    s_make("e");
    w_run_ms(101);
    sim_net_heal_all(ws);
    CU_ASSERT_EQUAL(s_look(m, "e"), 0);
    w_run_ms(100);
    CU_ASSERT(s_status(m, "requests.now") == 0 && s_status(m, "ufs.jobs") == 0);
    s_close();
}

/* A standby that hears nobody has the old state, and must not show it. */
static void test_master_standby_that_is_behind_says_so(void)
{
    s_open(FSOP_MOUNT_META);
    s_make("before");
    for (int i = 0; i < 10; i++) {
        char name[16];
        struct s_master *m = s_standby(i % 2);
        snprintf(name, sizeof name, "d%d", i);
        CU_ASSERT_EQUAL(s_look(m, "before"), 0);
        s_cut(m);
        s_make(name);
        w_run_ms(i % 5 * 700); /* it knows the leader still, or none any more */
        for (int k = 0; k < S_MANY; k++) {
            struct fsop op = s_aside(w_name(FSOP_LOOKUP, INO_ROOT, k % 2 ? name : "before"));
            w_send(m->c, &op, &many[k]);
        }
        w_run_ms(600);
        for (int k = 0; k < S_MANY; k++)
            CU_ASSERT(many[k].done && many[k].err == E_NOT_LEADER);
        sim_net_heal_all(ws);
        int err = E_NOT_LEADER;
        for (int k = 0; k < 100 && err == E_NOT_LEADER; k++, w_run_ms(50))
            err = s_look(m, name);
        CU_ASSERT_EQUAL(err, 0);
        w_run_ms(3000);
        CU_ASSERT_EQUAL(s_status(m, "requests.now"), 0);
    }
    s_close();
}

/* those that wait together share a question to the leader */
static void test_master_standby_many_share_a_barrier(void)
{
    s_open(FSOP_MOUNT_META);
    s_make("d");
    struct s_master *m = s_standby(0);
    CU_ASSERT_EQUAL(s_look(m, "d"), 0);
    uint64_t before = s_status(m, "journal.messages");
    for (int round = 0; round < 10; round++) {
        for (int k = 0; k < S_MANY; k++) {
            struct fsop op = s_aside(w_name(FSOP_LOOKUP, INO_ROOT, "d"));
            w_send(m->c, &op, &many[k]);
        }
        for (int k = 0; k < S_MANY; k++)
            CU_ASSERT(w_wait(&many[k], 1000) && many[k].err == 0);
    }
    CU_ASSERT(s_status(m, "journal.messages") - before < 10 * S_MANY / 4);
    s_close();
}

/* Who begins to lead with such calls waiting answers them, and leads. */
static void test_master_standby_that_comes_to_lead(void)
{
    s_open(FSOP_MOUNT_META);
    s_make("d");
    struct s_master *old = s_leader();
    sim_node_crash(old->node);
    for (int i = 0; i < 4000 && !s_leader(); i++) {
        for (int k = 0; k < S_MASTERS; k++) {
            struct fsop op = s_aside(w_name(FSOP_LOOKUP, INO_ROOT, "d"));
            if (&sm[k] == old)
                continue;
            if (!many[k].done && i)
                continue;
            CU_ASSERT(!i || many[k].err == E_NOT_LEADER || many[k].err == 0);
            w_send(sm[k].c, &op, &many[k]);
        }
        w_run_ms(1);
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(s_leader());
    w_run_ms(600);
    for (int k = 0; k < S_MASTERS; k++)
        CU_ASSERT(&sm[k] == old || many[k].done);
    CU_ASSERT_EQUAL(s_look(s_leader(), "d"), 0);
    CU_ASSERT_EQUAL(s_status(s_leader(), "requests.now"), 0);
    s_close();
}

/* --- the client's side */

static struct client_req s_req;

static struct client *s_client(const char *name, bool read_any, bool ask_always)
{
    struct client_config cc = client_config_default();
    struct sim_node *n = sim_node_add(ws, name);
    struct client *c;
    cc.masters = "m1:1,m2:1,m3:1";
    cc.name = name;
    cc.cache_entries = 1000;
    cc.buffer_bytes = 1 << 20;
    cc.page_cache_bytes = 0;
    cc.read_any = read_any;
    cc.ask_always = ask_always;
    struct env *e = sim_node_up(n);
    CU_ASSERT_EQUAL_FATAL(client_open(e, sim_mem(n), &cc, NULL, &c), 0);
    return c;
}

static int s_ask(struct client *c, struct fsop op)
{
    memset(&s_req, 0, sizeof s_req);
    s_req.fsop = op;
    client_fs(c, &s_req);
    return (int)sim_run_op(ws, &s_req.op, 60000 * MS);
}

static struct client_stats s_stats(const struct client *c)
{
    struct client_stats s;
    client_stats(c, &s);
    return s;
}

/* Asked once: anybody; asked again: the leader, who lets it be kept.  What a standby said is not.
 */
static void test_master_standby_client_keeps_the_leaders_word_only(void)
{
    s_open(FSOP_MOUNT_META);
    struct client *a = s_client("writer", false, false), *b = s_client("reader", true, false);
    struct fsop look = {.kind = FSOP_GETATTR, .ino = INO_ROOT};
    for (int i = 0; i < 6; i++) {
        CU_ASSERT_EQUAL(s_ask(b, (struct fsop){.kind = FSOP_LISTXATTR, .ino = INO_ROOT}), 0);
        w_run_ms(50); /* connections to all are made */
    }
    for (int i = 0; i < 30; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%d", i);
        CU_ASSERT_EQUAL(s_ask(a, w_name(FSOP_MKDIR, INO_ROOT, name)), 0);
        look.ino = s_req.reply.attr.ino;
        struct client_stats was = s_stats(b);
        CU_ASSERT_EQUAL(s_ask(b, look), 0);
        bool is_aside = s_stats(b).asides > was.asides;
        CU_ASSERT((s_req.reply.lease_ns == 0) == is_aside);
        struct fsop set = {
            .kind = FSOP_SETATTR, .ino = look.ino, .valid = FSOP_SET_MODE, .mode = 0700};
        CU_ASSERT_EQUAL(s_ask(a, set), 0);
        was = s_stats(b);
        CU_ASSERT_EQUAL(s_ask(b, look), 0);
        CU_ASSERT_EQUAL(s_req.reply.attr.mode & 07777, 0700);
        CU_ASSERT(s_req.reply.lease_ns && s_stats(b).asides == was.asides);
        CU_ASSERT_EQUAL(s_ask(b, look), 0);
        CU_ASSERT_EQUAL(s_stats(b).cache_hits, was.cache_hits + 1);
    }
    struct client_stats st = s_stats(b);
    CU_ASSERT(st.asides >= 18 && st.asides < 40 && !st.asides_refused);
    s_close();
}

/* With nothing kept, every master has its turn; one that is gone costs no error, and little time.
 */
static void test_master_standby_client_goes_round(void)
{
    s_open(FSOP_MOUNT_META);
    struct client *c = s_client("reader", true, true);
    struct fsop look = {.kind = FSOP_GETATTR, .ino = INO_ROOT};
    for (int i = 0; i < 310; i++) {
        CU_ASSERT_EQUAL(s_ask(c, look), 0);
        w_run_ms(i < 10 ? 50 : 0);
    }
    for (int k = 0; k < 2; k++)
        CU_ASSERT(s_status(s_standby(k), "requests.standby") >= 100);
    struct s_master *m = s_standby(0);
    sim_node_crash(m->node);
    int64_t from = sim_now_ns(ws), worst = 0;
    for (int i = 0; i < 300; i++) {
        int64_t at = sim_now_ns(ws);
        CU_ASSERT_EQUAL(s_ask(c, look), 0);
        worst = base_max_u64((uint64_t)worst, (uint64_t)(sim_now_ns(ws) - at));
        w_run_ms(10);
    }
    CU_ASSERT(worst < 1100 * MS && sim_now_ns(ws) - from < 6000 * MS);
    /* one that is cut off from the leader, but not from us */
    sim_node_start(m->node, s_boot, m);
    w_run_ms(15000);
    uint64_t served = s_status(m, "requests.standby");
    for (int i = 0; i < 30; i++)
        CU_ASSERT_EQUAL(s_ask(c, look), 0);
    CU_ASSERT(s_status(m, "requests.standby") > served);
    s_cut(m);
    from = sim_now_ns(ws);
    for (int i = 0; i < 300; i++) {
        CU_ASSERT_EQUAL(s_ask(c, look), 0);
        w_run_ms(10);
    }
    CU_ASSERT(sim_now_ns(ws) - from < 6000 * MS);
    s_close();
}

UNIT_MAIN("master_standby", UNIT(test_master_standby_answers_at_once_what_was_just_made),
          UNIT(test_master_standby_sends_the_rest_to_the_leader),
          UNIT(test_master_standby_compares_with_the_under_store),
          UNIT(test_master_standby_that_is_behind_says_so),
          UNIT(test_master_standby_many_share_a_barrier),
          UNIT(test_master_standby_that_comes_to_lead),
          UNIT(test_master_standby_client_keeps_the_leaders_word_only),
          UNIT(test_master_standby_client_goes_round))
