/* tests/unit/test_master_append.c - places for appends of several clients to one file. */
#include "tests/unit/master_world.h"

static struct wcall a;
static struct ino ino;

static uint64_t place(struct wc *c, uint64_t n)
{
    CU_ASSERT_EQUAL(w_fs(c, (struct fsop){.kind = FSOP_GETATTR, .ino = ino, .size = n}, &a), 0);
    CU_ASSERT_EQUAL(a.reply.lease_ns, 0);
    return a.reply.attr.size;
}

static void undo(struct wc *c, uint64_t at, uint64_t n)
{
    struct fsop op = {.kind = FSOP_GETATTR, .ino = ino, .size = n, .arg = at + 1};
    CU_ASSERT_EQUAL(w_fs(c, op, &a), 0);
}

static struct wu_file *begin_for(struct wc **c1, struct wc **c2, int64_t session_ns)
{
    w_config(FSOP_MOUNT_THROUGH, 0);
    wcfg.session_ns = session_ns;
    w_master_start();
    struct wu_file *f = wu_add("f", FSOP_S_IFREG | 0644, 100);
    *c1 = wc_new(0, true);
    *c2 = wc_new(1, true);
    ino = w_lookup(*c1, INO_ROOT, "f", 0);
    CU_ASSERT_EQUAL(w_fs(*c1, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = ino}, &a), 0);
    CU_ASSERT_EQUAL(w_fs(*c2, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = ino}, &a), 0);
    w_run_ms(RPC_WRITE_VALID_MS);
    return f;
}

static struct wu_file *begin(struct wc **c1, struct wc **c2)
{
    return begin_for(c1, c2, 3000 * MS);
}

static void test_master_append_nobody_gets_the_same_place(void)
{
    struct wc *c1, *c2;
    struct wu_file *f = begin(&c1, &c2);
    CU_ASSERT_EQUAL(place(c1, 10), 100);
    CU_ASSERT_EQUAL(place(c2, 5), 110);
    CU_ASSERT_EQUAL(place(c1, 1), 115);
    f->size = 500; /* somebody wrote beyond the end */
    wu_touch(f);
    CU_ASSERT_EQUAL(place(c2, 7), 500);
    CU_ASSERT_EQUAL(place(c1, 7), 507);
    /* attributes are what lies below */
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_GETATTR, .ino = ino}, &a), 0);
    CU_ASSERT_EQUAL(a.reply.attr.size, 500);
    w_close();
}

static void test_master_append_what_was_given_back_or_cut_is_free(void)
{
    struct wc *c1, *c2;
    struct wu_file *f = begin(&c1, &c2);
    CU_ASSERT_EQUAL(place(c1, 10), 100);
    undo(c2, 100, 10); /* not by him: what c1 writes may still land */
    CU_ASSERT_EQUAL(place(c2, 1), 110);
    undo(c2, 110, 1);
    CU_ASSERT_EQUAL(place(c1, 1), 110); /* the last to ask has the say over all of it */
    undo(c1, 110, 1);
    undo(c1, 100, 10);
    CU_ASSERT_EQUAL(place(c2, 5), 100);
    CU_ASSERT_EQUAL(place(c1, 5), 105);
    undo(c2, 100, 5); /* not the last: a hole stays, nobody's bytes are overwritten */
    CU_ASSERT_EQUAL(place(c2, 1), 110);
    struct fsop cut = {.kind = FSOP_SETATTR, .ino = ino, .valid = FSOP_SET_SIZE, .size = 3};
    CU_ASSERT_EQUAL(w_fs(c2, cut, &a), 0);
    CU_ASSERT_EQUAL(f->size, 3);
    CU_ASSERT_EQUAL(place(c1, 5), 3);
    CU_ASSERT_EQUAL(
        w_fs(c2, (struct fsop){.kind = FSOP_WRITE_OPEN, .ino = ino, .flags = FSOP_F_TRUNC}, &a), 0);
    CU_ASSERT_EQUAL(place(c1, 5), 0);
    undo(c1, 0, 5); /* place 0, too, can be given back */
    CU_ASSERT_EQUAL(place(c2, 5), 0);
    w_close();
}

/* asked and given back again, because the answers were lost with a connection */
static void test_master_append_questions_that_come_twice(void)
{
    struct wc *c1, *c2;
    (void)begin(&c1, &c2);
    struct fsop op = {.kind = FSOP_GETATTR, .ino = ino, .size = 10, .mtime_ns = 1}, back = op;
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(w_fs(c1, op, &a), 0);
        CU_ASSERT_EQUAL(a.reply.attr.size, 100);
    }
    op.mtime_ns = 2;
    back.arg = 101;
    CU_ASSERT_EQUAL(w_fs(c1, back, &a), 0);
    CU_ASSERT_EQUAL(w_fs(c1, op, &a), 0);
    CU_ASSERT_EQUAL(a.reply.attr.size, 100);
    CU_ASSERT_EQUAL(w_fs(c1, back, &a), 0); /* not the other one's */
    CU_ASSERT_EQUAL(place(c2, 5), 110);
    CU_ASSERT_EQUAL(w_fs(c1, op, &a), 0); /* also when another one came between */
    CU_ASSERT_EQUAL(a.reply.attr.size, 100);
    struct fsop cut_all = {.kind = FSOP_SETATTR, .ino = ino, .valid = FSOP_SET_SIZE};
    CU_ASSERT_EQUAL(w_fs(c2, cut_all, &a), 0);
    CU_ASSERT_EQUAL(place(c2, 5), 0);
    CU_ASSERT_EQUAL(w_fs(c1, op, &a), 0); /* that place is no more */
    CU_ASSERT_EQUAL(a.reply.attr.size, 5);
    w_close();
}

/* those of several clients do not take each other's place in what is remembered */
static void test_master_append_many_questions_that_come_twice(void)
{
    struct wc *c[2];
    (void)begin(&c[0], &c[1]);
    for (unsigned i = 0; i < 400; i++) {
        struct fsop op = {
            .kind = FSOP_GETATTR, .ino = ino, .size = 1, .mtime_ns = 1 + (int64_t)(i % 200)};
        CU_ASSERT_EQUAL(w_fs(c[i % 2], op, &a), 0);
        CU_ASSERT_EQUAL(a.reply.attr.size, 100 + i % 200);
    }
    w_close();
}

/* sends the truncation of the file to 3 bytes */
static void cut(struct wc *c, struct wcall *w)
{
    struct fsop op = {.kind = FSOP_SETATTR, .ino = ino, .valid = FSOP_SET_SIZE, .size = 3};
    w_send(c, &op, w);
}

/* A truncation forgets what was given before it, not what is given after it, though it is answered
 * late, because somebody does not say that he has dropped the file, and again when it comes again.
 */
static void test_master_append_beside_a_truncation_that_is_not_answered(void)
{
    static struct wcall b;
    struct wc *c1, *c2;
    struct wu_file *f = begin(&c1, &c2);
    struct wc *c3 = wc_new(2, true);
    CU_ASSERT_EQUAL(place(c1, 10), 100);
    (void)w_lookup(c3, INO_ROOT, "f", 0);
    c3->mute = true;
    cut(c2, &b);
    w_run_ms(50);
    CU_ASSERT(f->size == 3 && !b.done);
    CU_ASSERT_EQUAL(place(c1, 5), 3);
    rpc_reply(c3->unanswered, 0, NULL, 0);
    c3->mute = false;
    CU_ASSERT(w_wait(&b, 1000) && b.err == 0);
    CU_ASSERT_EQUAL(place(c1, 5), 8);
    struct fsop again = {
        .kind = FSOP_SETATTR, .ino = ino, .valid = FSOP_SET_SIZE, .size = 3, .seq = c2->seq};
    CU_ASSERT_EQUAL(w_fs(c2, again, &b), 0);
    CU_ASSERT_EQUAL(place(c1, 5), 13);
    w_close();
}

/* What is on its way to its place is there before it, or never comes. */
static void test_master_append_a_truncation_waits_for_appends(void)
{
    static struct wcall b;
    struct wc *c1, *c2;
    struct wu_file *f = begin(&c1, &c2);
    w_run_ms(RPC_WRITE_VALID_MS);
    cut(c1, &b);
    CU_ASSERT(w_wait(&b, 1000) && b.err == 0);
    CU_ASSERT_EQUAL(c1->places_asked + c2->places_asked, 0); /* nobody appended */
    CU_ASSERT_EQUAL(place(c1, 10), 3);
    c1->appends = true;
    cut(c2, &b);
    w_run_ms(300);
    CU_ASSERT(f->size == 3 && !b.done && c1->places_asked > 1);
    f->size = 13;
    wu_touch(f);
    c1->appends = false;
    CU_ASSERT(w_wait(&b, 1000) && b.err == 0 && c2->places_asked == 1);
    CU_ASSERT_EQUAL(f->size, 3);
    CU_ASSERT_EQUAL(place(c2, 10), 3);
    w_close();
}

/* One that is not heard of may write as long as its lease lasts, and a second longer; also one that
 * is connected and stands still. */
static void truncated_beside(bool is_connected)
{
    static struct wcall b;
    struct wc *c1, *c2;
    struct wu_file *f = begin_for(&c1, &c2, 30000 * MS);
    CU_ASSERT_EQUAL(place(c1, 10), 100);
    if (is_connected)
        sim_node_pause(sim_node_find(ws, "client0"));
    else
        sim_node_crash(sim_node_find(ws, "client0"));
    int64_t from = sim_now_ns(ws);
    cut(c2, &b);
    while (!b.done && sim_now_ns(ws) - from < 20000 * MS)
        w_run_ms(10);
    CU_ASSERT(b.done && b.err == 0 && f->size == 3);
    CU_ASSERT(sim_now_ns(ws) - from >= wcfg.lease_ns / 2 + RPC_WRITE_VALID_MS * MS);
    CU_ASSERT(sim_now_ns(ws) - from <= wcfg.lease_ns * 2 + RPC_WRITE_VALID_MS * MS * 2);
    w_close();
}

static void test_master_append_a_truncation_waits_for_who_is_away(void)
{
    truncated_beside(false);
    truncated_beside(true);
}

/* One that always says that it appends, or does not know the question, holds it up no longer than
 * its place is kept. */
static void test_master_append_a_truncation_is_not_held_up_for_ever(void)
{
    static struct wcall b;
    struct wc *c1, *c2;
    struct wu_file *f = begin(&c1, &c2);
    CU_ASSERT_EQUAL(place(c1, 10), 100);
    c1->appends = true;
    cut(c2, &b);
    w_run_ms(RPC_APPEND_VALID_MS);
    CU_ASSERT(f->size == 100 && !b.done);
    w_run_ms(20000);
    CU_ASSERT(b.done && b.err == 0 && f->size == 3);
    w_close();
}

/* no file is that long, and the sum would begin anew */
static void test_master_append_of_more_than_there_can_be(void)
{
    struct wc *c1, *c2;
    (void)begin(&c1, &c2);
    struct fsop op = {.kind = FSOP_GETATTR, .ino = ino, .size = UINT64_MAX - 50};
    CU_ASSERT_EQUAL(w_fs(c1, op, &a), E_FBIG);
    op.size = (uint64_t)INT64_MAX - 99;
    CU_ASSERT_EQUAL(w_fs(c1, op, &a), E_FBIG);
    CU_ASSERT_EQUAL(place(c1, 10), 100);
    op.size = (uint64_t)INT64_MAX - 109;
    CU_ASSERT_EQUAL(w_fs(c2, op, &a), E_FBIG);
    CU_ASSERT_EQUAL(place(c2, 10), 110);
    w_close();
}

/* A new leader does not know who was given places, and asks all who write. */
static void test_master_append_a_truncation_under_the_next_leader(void)
{
    static struct wcall b;
    struct wc *c1, *c2;
    struct wu_file *f = begin(&c1, &c2);
    CU_ASSERT_EQUAL(place(c1, 10), 100);
    c1->appends = true;
    w_master_crash();
    w_master_start();
    wc_dial(c1);
    wc_dial(c2);
    cut(c2, &b);
    w_run_ms(500);
    CU_ASSERT(f->size == 100 && !b.done && c1->places_asked > 1);
    c1->appends = false;
    CU_ASSERT(w_wait(&b, 5000) && b.err == 0 && f->size == 3);
    w_close();
}

/* nobody would give it back */
static void test_master_append_no_place_for_a_session_that_is_over(void)
{
    struct wc *c1, *c2;
    (void)begin(&c1, &c2);
    c1->no_beats = true;
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_SESSION_CLOSE, .arg = c1->session.v}, &a),
                    0);
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_GETATTR, .ino = ino, .size = 10}, &a),
                    E_AGAIN);
    CU_ASSERT_EQUAL(place(c2, 5), 100);
    w_close();
}

/* done below, and not recorded yet */
static void test_master_append_during_a_truncation(void)
{
    static struct wcall b, c;
    struct wc *c1, *c2;
    struct wu_file *f = begin(&c1, &c2);
    struct fsop op = {.kind = FSOP_GETATTR, .ino = ino, .size = 5};
    CU_ASSERT_EQUAL(place(c1, 10), 100);
    wu.latency_ns = 1000 * MS;
    cut(c2, &b);
    for (int i = 0; i < 900 && f->size != 3; i++)
        w_run_ms(1);
    wu.latency_ns = 2 * MS;
    w_send(c1, &op, &c);
    w_run_ms(50);
    CU_ASSERT(f->size == 3 && !b.done && !c.done);
    CU_ASSERT(w_wait(&c, 5000) && c.err == 0 && b.done);
    CU_ASSERT_EQUAL(c.reply.attr.size, 3);
    w_close();
}

/* the end was looked at before it, and the answer of that look comes after it */
static void test_master_append_looked_at_before_a_truncation(void)
{
    static struct wcall b, c;
    struct wc *c1, *c2;
    struct wu_file *f = begin(&c1, &c2);
    struct fsop op = {.kind = FSOP_GETATTR, .ino = ino, .size = 5};
    w_run_ms(RPC_WRITE_VALID_MS);
    unsigned looks = wu.count[UFS_STAT];
    wu.hold = true;
    wu.hold_kind = UFS_STAT;
    w_send(c1, &op, &c);
    w_run_ms(50);
    CU_ASSERT_EQUAL(wu.count[UFS_STAT], looks + 1);
    cut(c2, &b);
    CU_ASSERT(w_wait(&b, 1000) && b.err == 0 && f->size == 3 && !c.done);
    wu.hold = false;
    CU_ASSERT(w_wait(&c, 5000) && c.err == 0);
    CU_ASSERT_EQUAL(c.reply.attr.size, 3);
    w_close();
}

/* ... or before somebody else appended and went */
static void test_master_append_looked_at_before_another_ends(void)
{
    static struct wcall c;
    struct wc *c1, *c2;
    struct wu_file *f = begin(&c1, &c2);
    struct fsop op = {.kind = FSOP_GETATTR, .ino = ino, .size = 5};
    w_run_ms(RPC_WRITE_VALID_MS);
    unsigned looks = wu.count[UFS_STAT];
    wu.latency_ns = 2000 * MS;
    w_send(c2, &op, &c);
    for (int i = 0; i < 1500 && wu.count[UFS_STAT] == looks; i++)
        w_run_ms(1);
    wu.latency_ns = 2 * MS;
    CU_ASSERT_EQUAL(place(c1, 10), 100);
    f->size = 110;
    wu_touch(f);
    c1->no_beats = true;
    CU_ASSERT_EQUAL(w_fs(c1, (struct fsop){.kind = FSOP_SESSION_CLOSE, .arg = c1->session.v}, &a),
                    0);
    CU_ASSERT_FALSE(c.done);
    CU_ASSERT(w_wait(&c, 5000) && c.err == 0);
    CU_ASSERT_EQUAL(c.reply.attr.size, 110);
    w_close();
}

/* A question on a connection that its client has given up gets no place: the client asks again on
 * another one, and nobody would give this one back. */
static void test_master_append_question_on_a_connection_of_before(void)
{
    static struct wcall b;
    for (int is_open = 0; is_open < 2; is_open++) {
        struct wc *c1, *c2;
        (void)begin(&c1, &c2);
        struct fsop op = {.kind = FSOP_GETATTR, .ino = ino, .size = 10, .mtime_ns = 1};
        struct rpc_conn *before = c1->conn;
        w_run_ms(RPC_WRITE_VALID_MS);
        unsigned looks = wu.count[UFS_STAT];
        wu.latency_ns = 2000 * MS;
        if (!is_open) {
            w_send(c1, &op, &b);
            for (int i = 0; i < 1500 && wu.count[UFS_STAT] == looks; i++)
                w_run_ms(1);
            rpc_hangup(before);
            w_run_ms(10);
        }
        wu.latency_ns = 2 * MS;
        c1->conn = NULL;
        wc_dial(c1);
        for (op.mtime_ns = 1; op.mtime_ns <= 2; op.mtime_ns++) {
            CU_ASSERT_EQUAL(w_fs(c1, op, &a), 0);
            CU_ASSERT_EQUAL(a.reply.attr.size, 90 + 10 * (uint64_t)op.mtime_ns);
        }
        if (is_open) { /* it took long to come */
            struct rpc_conn *now = c1->conn;
            c1->conn = before;
            op.mtime_ns = 1;
            w_send(c1, &op, &b);
            c1->conn = now;
        }
        w_run_ms(2000);
        CU_ASSERT_EQUAL(place(c2, 5), 120);
        w_close();
    }
}

static void test_master_append_a_dead_session_holds_no_place(void)
{
    struct wc *c1, *c2;
    (void)begin(&c1, &c2);
    CU_ASSERT_EQUAL(place(c1, 10), 100);
    sim_node_crash(sim_node_find(ws, "client0"));
    w_run_ms(4000);
    CU_ASSERT_EQUAL(place(c2, 5), 100);
    w_close();
}

static void test_master_append_a_dead_session_frees_nobody_elses_place(void)
{
    struct wc *c1, *c2;
    (void)begin(&c1, &c2);
    CU_ASSERT_EQUAL(place(c1, 10), 100); /* still on its way at the end */
    CU_ASSERT_EQUAL(place(c2, 5), 110);
    sim_node_crash(sim_node_find(ws, "client1"));
    w_run_ms(4000);
    CU_ASSERT(place(c1, 5) >= 110);
    w_close();
}

static void test_master_append_a_new_leader_waits_for_writes_on_their_way(void)
{
    struct wc *c1, *c2;
    (void)begin(&c1, &c2);
    CU_ASSERT_EQUAL(place(c1, 10), 100);
    w_master_crash();
    w_master_start();
    int64_t from = sim_now_ns(ws);
    wc_dial(c2);
    CU_ASSERT_EQUAL(place(c2, 5), 100);
    CU_ASSERT((sim_now_ns(ws) - from) / MS >= RPC_WRITE_VALID_MS - 100);
    w_close();
}

/* Who was given a place by the old one may begin to write there as long as its lease from that one
 * lasts: it need not have heard of the new one. */
static void test_master_append_a_new_leader_waits_for_leases_of_the_old_one(void)
{
    struct wc *c1, *c2;
    (void)begin(&c1, &c2);
    CU_ASSERT_EQUAL(place(c1, 10), 100);
    int64_t least = sim_now_ns(ws) - 110 * MS + wcfg.lease_ns + RPC_WRITE_VALID_MS * MS;
    w_master_crash();
    w_master_start();
    wc_dial(c2);
    CU_ASSERT_EQUAL(place(c2, 5), 100);
    CU_ASSERT(sim_now_ns(ws) >= least);
    w_close();
}

/* By the acknowledgement of what a new leader tells it first a session has heard that there is one.
 */
static void test_master_append_who_acknowledges_has_heard_of_the_new_leader(void)
{
    struct wc *c1, *c2;
    (void)begin(&c1, &c2);
    uint64_t epoch = c1->epoch;
    c1->mute = true;
    w_master_crash();
    w_master_start();
    for (int i = 0; i < 2; i++) { /* also if it has to be told again */
        unsigned before = c1->invals;
        c1->epoch = epoch;
        if (i)
            rpc_hangup(c1->conn);
        w_run_ms(10);
        wc_dial(c1);
        w_run_ms(300);
        CU_ASSERT(c1->invals > before && c1->epoch > epoch);
        CU_ASSERT_EQUAL(c1->inval_epoch, c1->epoch);
    }
    w_close();
}

UNIT_MAIN("master_append", UNIT(test_master_append_nobody_gets_the_same_place),
          UNIT(test_master_append_what_was_given_back_or_cut_is_free),
          UNIT(test_master_append_questions_that_come_twice),
          UNIT(test_master_append_many_questions_that_come_twice),
          UNIT(test_master_append_beside_a_truncation_that_is_not_answered),
          UNIT(test_master_append_a_truncation_waits_for_appends),
          UNIT(test_master_append_a_truncation_waits_for_who_is_away),
          UNIT(test_master_append_a_truncation_is_not_held_up_for_ever),
          UNIT(test_master_append_of_more_than_there_can_be),
          UNIT(test_master_append_a_truncation_under_the_next_leader),
          UNIT(test_master_append_no_place_for_a_session_that_is_over),
          UNIT(test_master_append_during_a_truncation),
          UNIT(test_master_append_looked_at_before_a_truncation),
          UNIT(test_master_append_looked_at_before_another_ends),
          UNIT(test_master_append_question_on_a_connection_of_before),
          UNIT(test_master_append_a_dead_session_holds_no_place),
          UNIT(test_master_append_a_dead_session_frees_nobody_elses_place),
          UNIT(test_master_append_a_new_leader_waits_for_writes_on_their_way),
          UNIT(test_master_append_a_new_leader_waits_for_leases_of_the_old_one),
          UNIT(test_master_append_who_acknowledges_has_heard_of_the_new_leader))
