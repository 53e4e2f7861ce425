/* tests/unit/test_master_group.c - a master that is one of several: a standby first, a leader and
 * a standby again any number of times in one life.  Its journal is the test's. */
#include "tests/unit/master_world.h"
#include "tests/unit/test_journal_fake.h"

enum { MASTER_ASKERS = 1024 }; /* master_impl.h */

static struct wcall w, w2;

static void g_depose(void)
{
    fj_do(ws, fj_depose_now);
}

static void g_lead(void)
{
    fj_do(ws, fj_lead_now);
    for (int i = 0; i < 1000 && master_state(wmaster, NULL) != MASTER_SERVING; i++)
        w_run_ms(1);
    CU_ASSERT_EQUAL(master_state(wmaster, NULL), MASTER_SERVING);
}

static void g_open(enum fsop_mount_mode mode)
{
    w_config(mode, 100 * MS);
    wcfg.journal_open = fj_open;
    sim_node_start(sim_node_add(ws, "master"), w_boot, NULL);
    w_run_ms(20);
    CU_ASSERT_EQUAL(master_state(wmaster, NULL), MASTER_STANDBY);
}

static struct wc *g_client(int i)
{
    struct wc *c = wc_new(i, true);
    c->redials = true;
    return c;
}

static const char *g_status(struct wc *c)
{
    static char text[RPC_BODY_MAX + 1];
    w_run_ms(1); /* who was just deposed hangs up */
    w_call(c, RPC_STATUS, NULL, 0, &w2);
    CU_ASSERT(w_wait(&w2, 1000) && w2.call.op.ret == 0);
    memcpy(text, w2.body, w2.len);
    text[w2.len] = 0;
    return text;
}

/* E_NOT_LEADER, and who does, within so many ms */
static void g_refused(struct wc *c, const char *hint, int64_t least_ms, int64_t most_ms)
{
    int64_t from = sim_now_ns(ws);
    struct fsop op = {.kind = FSOP_GETATTR, .ino = INO_ROOT};
    w_send(c, &op, &w);
    CU_ASSERT(w_wait(&w, 5000));
    CU_ASSERT_EQUAL(w.call.op.ret, E_NOT_LEADER);
    CU_ASSERT(w.len == strlen(hint) && !memcmp(w.body, hint, w.len));
    int64_t ms = (sim_now_ns(ws) - from) / MS;
    CU_ASSERT(ms >= least_ms && ms <= most_ms);
}

static void test_master_group_standby_says_who_leads(void)
{
    g_open(FSOP_MOUNT_META);
    struct wc *c = wc_new(0, false);
    fj.leader = 2;
    g_refused(c, "other2:1", 0, 5);
    fj.leader = 3;
    g_refused(c, "other3:1", 0, 5);
    CU_ASSERT_PTR_NOT_NULL(strstr(g_status(c), "state standby\nrole standby\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(g_status(c), "journal.leader 3\n"));
    /* nobody is known: it waits for the news, and for a while only */
    fj.leader = 0;
    g_refused(c, "", 450, 600);
    struct fsop op = {.kind = FSOP_GETATTR, .ino = INO_ROOT};
    w_send(c, &op, &w);
    w_run_ms(200);
    CU_ASSERT(!w.done);
    fj.leader = 2;
    w_run_ms(50);
    CU_ASSERT(w.done && w.call.op.ret == E_NOT_LEADER && w.len == 8);
    /* and it is itself */
    fj.leader = 0;
    w_send(c, &op, &w);
    w_run_ms(100);
    CU_ASSERT(!w.done);
    g_lead();
    w_run_ms(50);
    CU_ASSERT(w.done && w.call.op.ret == E_NOT_LEADER && !memcmp(w.body, "master:1", 8));
    CU_ASSERT_EQUAL(w_fs(c, op, &w), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(g_status(c), "state serving\nrole leader\n"));
    w_close();
}

/* Whose connection is lost is dead, as a rule: nobody is sent there. */
static void test_master_group_a_lost_leader_is_not_named(void)
{
    g_open(FSOP_MOUNT_META);
    struct wc *c = wc_new(0, false);
    fj.leader = 2;
    fj.lost = 2;
    g_refused(c, "", 450, 600);
    struct fsop op = {.kind = FSOP_GETATTR, .ino = INO_ROOT};
    w_send(c, &op, &w);
    w_run_ms(200);
    CU_ASSERT(!w.done);
    fj.leader = 3;
    w_run_ms(10); /* the news is looked for more often than MASTER_TICK_NS */
    CU_ASSERT(w.done && w.call.op.ret == E_NOT_LEADER && !memcmp(w.body, "other3:1", 8));
    w_close();
}

/* A change waits until the new leader has heard of everybody, also of who asks for nothing: so he
 * must hear at once that there is one. */
static void test_master_group_who_is_idle_hears_of_the_end(void)
{
    g_open(FSOP_MOUNT_META);
    g_lead();
    struct wc *busy = g_client(0), *idle = wc_new(1, true);
    CU_ASSERT_EQUAL(w_fs(busy, w_name(FSOP_MKNOD, INO_ROOT, "f"), &w), 0);
    idle->no_beats = true;
    g_depose();
    w_run_ms(10);
    CU_ASSERT_PTR_NULL(idle->conn);
    w_close();
}

static void test_master_group_more_askers_than_places(void)
{
    static struct wcall calls[200];
    g_open(FSOP_MOUNT_META);
    struct wc *c = wc_new(0, false);
    uint32_t room = MASTER_ASKERS;
    for (uint32_t sent = 0; sent < room + 100;) {
        uint32_t n = room + 100 - sent < 200 ? room + 100 - sent : 200;
        for (uint32_t i = 0; i < n; i++)
            w_call(c, RPC_LOCATION, NULL, 0, &calls[i]);
        w_run_ms(10);
        sent += n;
        if (sent < room)
            for (uint32_t i = 0; i < n; i++) {
                CU_ASSERT(!calls[i].done);
                rpc_cancel(&calls[i].call);
            }
    }
    unsigned done = 0;
    for (int i = 0; i < 200; i++)
        done += calls[i].done;
    CU_ASSERT(done >= 76 && done <= 124);
    w_run_ms(700);
    CU_ASSERT_PTR_NOT_NULL(strstr(g_status(c), "role standby\n"));
    w_close();
}

static void test_master_group_frames_of_the_journal_go_there(void)
{
    g_open(FSOP_MOUNT_META);
    struct wc *c = wc_new(0, false);
    struct env_iov iov = {"hello", 5};
    env_send(rpc_env_conn(c->conn), JOURNAL_FRAME_MIN + 3, &iov, 1);
    env_send(rpc_env_conn(c->conn), JOURNAL_FRAME_MAX, &iov, 1);
    w_run_ms(20);
    CU_ASSERT(fj.accepts == 1 && fj.frames == 2);
    rpc_hangup(c->conn);
    w_run_ms(20);
    CU_ASSERT_EQUAL(fj.closes, 1);
    wc_dial(c);
    env_send(rpc_env_conn(c->conn), JOURNAL_FRAME_MAX + 1, &iov, 1);
    w_run_ms(20);
    CU_ASSERT(fj.accepts == 1 && !c->conn);
    w_close();
}

/* A client as it should be: op was sent, and is repeated under its number until there is an answer.
 */
static int g_insist(struct wc *c, struct fsop op, struct wcall *call)
{
    for (int tries = 0; tries < 50; tries++) {
        for (int i = 0; i < 2000 && !call->done; i++) {
            w_run_ms(1);
            if (!fj.leads && i % 7 == 6)
                g_lead();
        }
        if (call->err != E_NOT_LEADER && call->err != E_AGAIN && call->err != E_TIMEOUT &&
            call->err != E_CLOSED)
            return call->err;
        if (!fj.leads)
            g_lead();
        CU_ASSERT_FATAL(call->done);
        w_send(c, &op, call);
    }
    return E_TIMEOUT;
}

/* Changes of leadership at every millisecond of every operation, with and without what was
 * submitted becoming committed afterwards. */
static void test_master_group_many_changes_with_requests_under_way(void)
{
    g_open(FSOP_MOUNT_THROUGH);
    g_lead();
    struct wc *c = g_client(0);
    unsigned deposed = 0;
    for (int round = 0; round < 240; round++) {
        char name[16], other[16];
        snprintf(name, sizeof name, "f%d", round % 40);
        snprintf(other, sizeof other, "g%d", round % 40);
        struct fsop op = w_name(FSOP_MKNOD, INO_ROOT, name);
        op.seq = ++c->seq;
        w_send(c, &op, &w);
        w_run_ms(round % 12);
        fj.keeps = (unsigned)round / 12 % 3;
        if (round % 12)
            g_depose();
        deposed += round % 12 != 0;
        CU_ASSERT_EQUAL(g_insist(c, op, &w), 0);
        CU_ASSERT_EQUAL(w.reply.attr.nlink, 1);
        CU_ASSERT_PTR_NOT_NULL(wu_find(name));
        struct fsop mv = w_name(FSOP_RENAME, INO_ROOT, name);
        mv.ino2 = INO_ROOT;
        mv.name2 = other;
        mv.name2_len = (uint32_t)strlen(other);
        mv.seq = ++c->seq;
        w_send(c, &mv, &w);
        w_run_ms(round % 11);
        g_depose();
        CU_ASSERT_EQUAL(g_insist(c, mv, &w), 0);
        CU_ASSERT(!wu_find(name) && wu_find(other));
        struct fsop rm = w_name(FSOP_UNLINK, INO_ROOT, other);
        rm.seq = ++c->seq;
        w_send(c, &rm, &w);
        w_run_ms(round % 9);
        if (round % 2)
            g_depose();
        CU_ASSERT_EQUAL(g_insist(c, rm, &w), 0);
        CU_ASSERT_PTR_NULL(wu_find(other));
        char why[256] = "";
        CU_ASSERT(master_check(wmaster, true, why, sizeof why));
        if (why[0])
            fprintf(stderr, "round %d: %s\n", round, why);
    }
    CU_ASSERT(deposed > 200 && fj.epoch > 400);
    if (!fj.leads)
        g_lead();
    w_run_ms(12000);
    const char *text = g_status(c);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nrequests.now 0\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nufs.jobs 0\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nmeta.intents 0\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nsessions.now 1\n"));
    struct env_op stop = {0};
    master_stop(wmaster, &stop);
    CU_ASSERT_EQUAL(sim_run_op(ws, &stop, 20000 * MS), 0);
    wmaster = NULL;
    w_close();
}

/* The mounts are being journaled when leadership ends; and an operation below hangs meanwhile. */
static void test_master_group_changes_while_it_begins(void)
{
    g_open(FSOP_MOUNT_THROUGH);
    fj.is_stalled = true;
    fj_do(ws, fj_lead_now);
    for (int i = 0; i < 20; i++) {
        w_run_ms(i);
        CU_ASSERT(i > 10 || master_state(wmaster, NULL) != MASTER_SERVING);
        fj.keeps = i > 9; /* from then on nothing is missing in the journal, step by step */
        g_depose();
        CU_ASSERT_EQUAL(master_state(wmaster, NULL), MASTER_STANDBY);
        fj.is_stalled = true;
        fj_do(ws, fj_lead_now);
        if (i < 9) {
            fj_do(ws, fj_flip_now);
            fj.is_stalled = true;
        }
    }
    g_depose();
    g_lead();
    struct wc *c = g_client(0);
    wu.hang = true;
    struct fsop op = w_name(FSOP_MKDIR, INO_ROOT, "d");
    op.seq = ++c->seq;
    w_send(c, &op, &w);
    w_run_ms(50);
    for (int i = 0; i < 20; i++) {
        if (i % 3) {
            g_depose();
            w_run_ms(i);
            g_lead();
        } else {
            fj_do(ws, fj_flip_now);
        }
        w_run_ms(i);
    }
    CU_ASSERT(w.done && w.err == E_NOT_LEADER);
    CU_ASSERT_PTR_NOT_NULL(strstr(g_status(c), "\nufs.jobs 1\n")); /* not one for each leadership */
    wu.hang = false;
    CU_ASSERT_EQUAL(g_insist(c, op, &w), 0);
    CU_ASSERT(wu.count[UFS_MKDIR] <= 2 && wu.resumed >= 1);
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 1);
    w_run_ms(3000);
    CU_ASSERT_PTR_NOT_NULL(strstr(g_status(c), "\nufs.jobs 0\n"));
    w_close();
}

/* What an earlier leader let somebody keep is waited for, at most a lease. */
static void test_master_group_old_leases_are_honoured(void)
{
    g_open(FSOP_MOUNT_META);
    g_lead();
    struct wc *a = g_client(0), *b = g_client(1);
    CU_ASSERT_EQUAL(w_fs(a, w_name(FSOP_MKNOD, INO_ROOT, "f"), &w), 0);
    struct ino f = w_lookup(b, INO_ROOT, "f", 0);
    CU_ASSERT(f.v != 0);
    b->no_beats = b->mute = true; /* it keeps what it has, and tells nobody */
    w_run_ms(300);
    g_depose();
    w_run_ms(100);
    g_lead();
    int64_t led = sim_now_ns(ws);
    struct fsop op = {.kind = FSOP_SETATTR, .ino = f, .valid = FSOP_SET_MODE, .mode = 0600};
    w_send(a, &op, &w);
    CU_ASSERT(w_wait(&w, 3000) && w.err == 0);
    int64_t ms = (sim_now_ns(ws) - led) / MS;
    CU_ASSERT(ms >= 1000 && ms <= 1200);
    /* with everybody's word it need not wait */
    b->no_beats = b->mute = false;
    w_run_ms(500);
    g_depose();
    g_lead();
    w_run_ms(250);
    led = sim_now_ns(ws);
    op.mode = 0640;
    op.seq = 0;
    CU_ASSERT_EQUAL(w_fs(a, op, &w), 0);
    CU_ASSERT(sim_now_ns(ws) - led < 100 * MS);
    w_close();
}

/* One that was deposed and does not know it yet answers no question, gives no lease and changes
 * nothing below. */
static void test_master_group_deposed_unawares(void)
{
    g_open(FSOP_MOUNT_THROUGH);
    g_lead();
    struct wc *c = g_client(0);
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKDIR, INO_ROOT, "d"), &w), 0);
    w_run_ms(300);
    unsigned made = wu.count[UFS_MKDIR];
    uint64_t lease = c->lease_ns;
    CU_ASSERT(lease > 0);
    fj.is_doubtful = true;
    c->lease_ns = 0;
    w_run_ms(500);
    CU_ASSERT_EQUAL(c->lease_ns, 0);
    struct fsop q = {.kind = FSOP_GETATTR, .ino = INO_ROOT};
    CU_ASSERT_EQUAL(w_fs(c, q, &w), E_NOT_LEADER);
    struct fsop op = w_name(FSOP_MKDIR, INO_ROOT, "e");
    op.seq = ++c->seq;
    w_send(c, &op, &w); /* this fake commits it nevertheless: the record, not the effect */
    w_run_ms(400);
    CU_ASSERT(!w.done && wu.count[UFS_MKDIR] == made);
    g_depose();
    g_lead();
    CU_ASSERT_EQUAL(g_insist(c, op, &w), 0);
    CU_ASSERT_EQUAL(wu.count[UFS_MKDIR], made + 1);
    w_close();
}

static int64_t g_no_effect(struct wc *c, const char *name)
{
    unsigned made = wu.count[UFS_MKDIR];
    struct fsop op = w_name(FSOP_MKDIR, INO_ROOT, name);
    w_send(c, &op, &w);
    w_run_ms(300);
    CU_ASSERT(!w.done && wu.count[UFS_MKDIR] == made);
    return made;
}

/* Another one is about to be called to lead: what was begun below comes to its end, and nothing is
 * begun until it is over. */
static void test_master_group_begins_nothing_when_it_hands_over(void)
{
    g_open(FSOP_MOUNT_THROUGH);
    g_lead();
    struct wc *c = g_client(0);
    struct fsop slow = w_name(FSOP_MKDIR, INO_ROOT, "slow");
    wu.hold = true;
    wu.hold_kind = UFS_MKDIR;
    w_send(c, &slow, &w2);
    w_run_ms(200);
    CU_ASSERT_EQUAL(wu.count[UFS_MKDIR], 1);
    fj_do(ws, fj_hold_now);
    CU_ASSERT_EQUAL(fj.is_quiet, false);
    int64_t made = g_no_effect(c, "held");
    CU_ASSERT_EQUAL(fj.held, 0);
    wu.hold = false;
    w_run_ms(100);
    CU_ASSERT(w2.done && w2.err == 0); /* its outcome is a record like others */
    CU_ASSERT_EQUAL(fj.held, 1);
    CU_ASSERT(!w.done && wu.count[UFS_MKDIR] == made);
    fj_do(ws, fj_go_on_now);
    CU_ASSERT(w_wait(&w, 1000) && w.err == 0);
    CU_ASSERT_EQUAL(wu.count[UFS_MKDIR], made + 1);

    fj_do(ws, fj_hold_now); /* in vain; then again, and another one leads */
    CU_ASSERT_EQUAL(fj.is_quiet, true);
    fj_do(ws, fj_go_on_now);
    fj_do(ws, fj_hold_now);
    made = g_no_effect(c, "owed");
    g_depose();
    fj_do(ws, fj_go_on_now);
    w_run_ms(300);
    CU_ASSERT(w.done && w.call.op.ret == E_NOT_LEADER && wu.count[UFS_MKDIR] == made);
    g_lead();
    w_run_ms(300);
    CU_ASSERT_EQUAL(wu.count[UFS_MKDIR], made + 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(g_status(c), "\nufs.jobs 0\n"));
    w_close();
}

static void g_stopped(struct env_op *op)
{
    (void)op;
    wmaster = NULL;
}

static void g_stop_now(void)
{
    static struct env_op op = {.done = g_stopped};
    master_stop(wmaster, &op);
}

/* who waits for the end of a hand-over does not wait when the master stops */
static void test_master_group_stops_while_it_hands_over(void)
{
    g_open(FSOP_MOUNT_THROUGH);
    g_lead();
    struct wc *c = wc_new(0, true);
    fj_do(ws, fj_hold_now);
    g_no_effect(c, "never");
    fj_do(ws, g_stop_now);
    w_run_ms(1000);
    CU_ASSERT_PTR_NULL(wmaster);
    w_close();
}

/* Of a journal that promises nothing beyond the moment: what is asked for right before is begun
 * soon after, or asked for again. */
static void test_master_group_begins_nothing_late(void)
{
    w_config(FSOP_MOUNT_THROUGH, 100 * MS);
    wcfg.journal_open = fj_open;
    wcfg.journal.zk.id = 1;
    wcfg.journal.zk.begin_ns = 40 * MS;
    sim_node_start(sim_node_add(ws, "master"), w_boot, NULL);
    w_run_ms(20);
    g_lead();
    struct wc *c = g_client(0);
    unsigned asked = fj.barriers;
    fj.barrier_ns = 60 * MS;
    int64_t made = g_no_effect(c, "late");
    CU_ASSERT(wu.late > 0 && fj.barriers > asked);
    fj.barrier_ns = 20 * MS;
    CU_ASSERT(w_wait(&w, 3000) && w.err == 0);
    CU_ASSERT_EQUAL(wu.count[UFS_MKDIR], made + 1);
    w_close();
}

/* Without a time in which surely nobody else leads no effect could be begun safely. */
static void test_master_group_refuses_to_lead_no_longer_than_promised(void)
{
    struct master *m = NULL;
    w_config(FSOP_MOUNT_THROUGH, 100 * MS);
    struct sim_node *n = sim_node_add(ws, "master");
    struct env *e = sim_node_up(n);
    wcfg.journal.raft.id = 1;
    wcfg.journal.raft.members = "1@master:1";
    wcfg.journal.raft.suspect_min_ns = wcfg.journal.raft.promise_ns;
    CU_ASSERT_EQUAL(master_open(e, sim_mem(n), &wcfg, &m), E_CONFIG);
    wcfg.journal.raft.suspect_min_ns = 2 * wcfg.journal.raft.promise_ns;
    CU_ASSERT_EQUAL(master_open(e, sim_mem(n), &wcfg, &m), 0);
    sim_close(ws);
    mem_drop(&wm);
}

/* A standby is given another's image, while workers report and somebody looks at it. */
static void test_master_group_image_on_a_standby(void)
{
    g_open(FSOP_MOUNT_META);
    g_lead();
    struct wc *c = g_client(0);
    for (int i = 0; i < 300; i++) {
        char name[32];
        snprintf(name, sizeof name, "name-%d", i);
        CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKNOD, INO_ROOT, name), &w), 0);
    }
    fj_do(ws, fj_save_now);
    for (int i = 0; i < 100; i++) {
        char name[32];
        snprintf(name, sizeof name, "name-%d", i);
        CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_UNLINK, INO_ROOT, name), &w), 0);
    }
    CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 200);
    for (int times = 0; times < 3; times++) {
        g_depose();
        fj.leader = 2;
        fj_do(ws, fj_load_begin_now);
        bool is_over = false;
        while (!is_over) {
            is_over = fj_loaded == fj_image_len;
            fj_do(ws, fj_load_some_now);
            CU_ASSERT((strstr(g_status(c), "\nmeta.inodes ") != NULL) == is_over);
            struct rpc_worker_beat b = {.id = {7}, .incarnation = 5, .addr = "w:1", .addr_len = 3};
            uint8_t body[512];
            struct wbuf o = wbuf_make(body, sizeof body);
            rpc_format_worker_beat_put(&o, &b);
            w_call(c, RPC_WORKER_BEAT, o.p, (uint32_t)o.len, &w);
            CU_ASSERT(w_wait(&w, 100) && w.call.op.ret == 0);
            g_refused(c, "other2:1", 0, 5);
        }
        g_lead();
        CU_ASSERT_EQUAL(w_readdir(c, INO_ROOT), 300);
    }
    free(fj_image);
    fj_image = NULL;
    w_close();
}

static void g_change(struct wc *c, uint32_t verb, uint32_t id, const char *addr)
{
    uint8_t body[256];
    struct wbuf b = wbuf_make(body, sizeof body);
    struct rpc_change ch = {verb, id, 0, 0, 1000 * MS, addr, (uint32_t)strlen(addr)};
    rpc_format_change_put(&b, &ch);
    w_call(c, RPC_CHANGE, b.p, (uint32_t)b.len, &w);
    w_run_ms(20);
}

static int64_t g_change_ret;

static void g_changed_now(void)
{
    fj.change->ret = g_change_ret;
    fj.change->done(fj.change);
}

/* The answer is the journal's, also when another master leads by then. */
static void test_master_group_changes_are_answered_by_the_journal(void)
{
    g_open(FSOP_MOUNT_META);
    struct wc *c = wc_new(0, false);
    fj.leader = 2;
    g_change(c, RPC_CHANGE_ELECT, 3, "");
    CU_ASSERT(w.done && w.call.op.ret == E_NOT_LEADER && w.len == 8);
    g_lead();
    g_change(c, RPC_CHANGE_ADD, 4, "new:1");
    CU_ASSERT(!w.done && fj.changed.verb == JOURNAL_ADD && fj.changed.id == 4);
    CU_ASSERT_STRING_EQUAL(fj.change_addr, "new:1");
    g_change_ret = E_EXIST;
    fj_do(ws, g_changed_now);
    w_run_ms(10);
    CU_ASSERT(w.done && w.call.op.ret == E_EXIST);
    g_change(c, RPC_CHANGE_ELECT, 2, "");
    g_depose();
    w_run_ms(100);
    CU_ASSERT(!w.done);
    g_change_ret = 0;
    fj_do(ws, g_changed_now);
    w_run_ms(10);
    CU_ASSERT(w.done && w.call.op.ret == 0);
    g_lead();
    w_call(c, RPC_CHANGE, "x", 1, &w);
    w_run_ms(10);
    CU_ASSERT(w.done && w.call.op.ret == E_PROTO);
    w_close();
}

static void g_report(struct wc *c, uint32_t flags, struct ino ino, uint64_t version)
{
    uint8_t body[512];
    struct wbuf o = wbuf_make(body, sizeof body);
    struct rpc_worker_beat b = {
        .id = {7}, .incarnation = 5, .flags = flags, .addr = "w:1", .addr_len = 3, .n_deltas = 1};
    struct rpc_page_delta d = {ino, version, 3, 3000};
    rpc_format_worker_beat_put(&o, &b);
    rpc_format_delta_put(&o, &d);
    w_call(c, RPC_WORKER_BEAT, o.p, (uint32_t)o.len, &w);
    CU_ASSERT(w_wait(&w, 100) && w.call.op.ret == 0);
}

/* Workers are known at once, and what they hold of old versions is ordered away by who leads. */
static void test_master_group_reports_to_a_standby_count(void)
{
    g_open(FSOP_MOUNT_META);
    g_lead();
    struct wc *c = g_client(0);
    struct wc *k = wc_new(1, false); /* the worker */
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKNOD, INO_ROOT, "f"), &w), 0);
    struct ino f = w.reply.attr.ino;
    uint64_t version = w.reply.attr.version;
    g_depose();
    g_report(k, RPC_BEAT_FULL_BEGIN | RPC_BEAT_FULL_END, f, version);
    g_report(k, 0, (struct ino){f.v + 7777}, 1);
    uint64_t pages = 0;
    CU_ASSERT(master_member_pages(wmaster, "w:1", &pages) && pages == 6);
    unsigned frees = k->frees;
    w_run_ms(100);
    CU_ASSERT_EQUAL(k->frees, frees);
    g_lead();
    w_run_ms(100);
    g_report(k, 0, f, version); /* orders go out with a report */
    w_run_ms(100);
    CU_ASSERT_EQUAL(k->frees, frees + 1);
    CU_ASSERT_EQUAL(k->freed.v, f.v + 7777);
    /* silent ones are found silent by standbys, too */
    g_depose();
    w_run_ms(3000);
    CU_ASSERT(!master_member_pages(wmaster, "w:1", &pages));
    w_close();
}

UNIT_MAIN("master_group", UNIT(test_master_group_standby_says_who_leads),
          UNIT(test_master_group_a_lost_leader_is_not_named),
          UNIT(test_master_group_who_is_idle_hears_of_the_end),
          UNIT(test_master_group_more_askers_than_places),
          UNIT(test_master_group_frames_of_the_journal_go_there),
          UNIT(test_master_group_many_changes_with_requests_under_way),
          UNIT(test_master_group_changes_while_it_begins),
          UNIT(test_master_group_old_leases_are_honoured), UNIT(test_master_group_deposed_unawares),
          UNIT(test_master_group_begins_nothing_when_it_hands_over),
          UNIT(test_master_group_stops_while_it_hands_over),
          UNIT(test_master_group_begins_nothing_late),
          UNIT(test_master_group_refuses_to_lead_no_longer_than_promised),
          UNIT(test_master_group_image_on_a_standby),
          UNIT(test_master_group_changes_are_answered_by_the_journal),
          UNIT(test_master_group_reports_to_a_standby_count))
