/* tests/unit/test_zk_hand.c - the leader of a ZooKeeper journal is asked to hand over, and nobody
 * can be called: it has no session. */
#include "tests/unit/test_zk_world.h"

static struct zw zw_one;
static bool th_is_away;

static void th_look(struct zk_elect *e, struct zk_elect_look *ret_look)
{
    (void)e;
    *ret_look = (struct zk_elect_look){.has_session = !th_is_away};
}

static struct zw *th_begin(uint64_t seed)
{
    static struct zk_elect_vt vt;
    struct zw *w = &zw_one;
    zw_init(w, seed);
    w->numbers_come = true;
    vt = zw_elect_vt;
    vt.look = th_look;
    th_is_away = false;
    for (uint32_t i = 0; i < ZW_MEMBERS; i++) {
        zw_up(w, i);
        w->m[i].elect.vt = &vt;
    }
    zw_run(w, 200);
    for (int k = 0; k < 30 && w->m[0].role != JOURNAL_LEADER; k++) {
        zw_call(w, 0);
        zw_run(w, 100);
    }
    CU_ASSERT_FATAL(w->m[0].role == JOURNAL_LEADER);
    return w;
}

static void th_write(struct zw *w)
{
    uint32_t had = w->n_acked;
    for (uint32_t k = 0; k < 3; k++) {
        CU_ASSERT(zw_submit(w, 0, 100));
        zw_run(w, 2);
    }
    zw_read(w, 0);
    zw_run(w, 50);
    CU_ASSERT_EQUAL(w->n_acked, had + 3);
    CU_ASSERT_EQUAL(w->n_reads, 1);
}

struct th_change {
    struct env_op op;
    bool is_done;
};

static void th_changed(struct env_op *op)
{
    container_of(op, struct th_change, op)->is_done = true;
}

static void th_ask(struct zw *w, struct th_change *c)
{
    struct journal_change what = {.verb = JOURNAL_ELECT, .id = 2};
    *c = (struct th_change){.op.done = th_changed};
    journal_change(w->m[0].j, &what, w->s.disk.now_ns + 30000 * ZW_MS, &c->op);
    zw_run(w, 1);
}

static void th_end(struct zw *w)
{
    CU_ASSERT_EQUAL(w->n_calls, 0);
    CU_ASSERT_EQUAL(w->m[0].role, JOURNAL_LEADER);
    CU_ASSERT(!w->m[0].is_held && !w->bad);
    zw_drop(w);
}

static void test_without_a_session_nothing_is_drained(void)
{
    struct zw *w = th_begin(1);
    struct th_change c;
    th_is_away = true;
    th_ask(w, &c);
    CU_ASSERT(c.is_done && c.op.ret == E_SESSION_EXPIRED);
    th_write(w);
    th_end(w);
}

/* lost while the host ends what it began, or while what was submitted is being proven */
static void test_a_lost_session_ends_it(void)
{
    for (int is_drain = 0; is_drain < 2; is_drain++) {
        struct zw *w = th_begin(2);
        struct th_change c;
        w->hold_waits = !is_drain;
        if (is_drain) {
            w->s.m[0].stuck = "wal-";
            zw_submit(w, 0, 100);
        }
        th_ask(w, &c);
        CU_ASSERT(!c.is_done && zw_drive(w, 0)->hand.state != ZK_HAND_NOT);
        CU_ASSERT_EQUAL(zk_hand_is_closed(zw_drive(w, 0)), is_drain);
        th_is_away = true;
        zw_run(w, 1000);
        CU_ASSERT(c.is_done && c.op.ret == E_SESSION_EXPIRED);
        CU_ASSERT_EQUAL(zw_drive(w, 0)->hand.state, ZK_HAND_NOT);
        w->s.m[0].stuck = NULL;
        zw_run(w, 100);
        th_write(w);
        th_end(w);
    }
}

UNIT_MAIN("zk_hand", UNIT(test_without_a_session_nothing_is_drained),
          UNIT(test_a_lost_session_ends_it))
