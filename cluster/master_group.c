/* cluster/master_group.c - one of several masters: who leads instead, and the journal's
 * connections.
 *
 * INVARIANTS
 *  1. A master that does not serve answers E_NOT_LEADER; the body is the leader's address, where
 *     the journal knows another master for the leader and is connected with it, else empty: whose
 *     connection is lost is dead, as a rule, and another election under way.
 *  2. While no leader is known who asks waits here: for one, for this master's own leadership (then
 *     the body is its own address: ask again), or MASTER_ASK_NS.  So an election is not
 *     accompanied by everybody's trying every master again and again.  A full ring answers at
 *     once.
 *  3. A change of the group is answered when the journal says what became of it, also if this
 *     master leads no more by then: that may be what was asked for. */
#include "cluster/master_impl.h"

#define MASTER_ASK_NS    (500 * MASTER_MS)
#define MASTER_CHANGE_NS (MASTER_DEADLINE_NS - 10000 * MASTER_MS) /* or it is asked again */

/* the leader's address, if it is known; is_own: if it is this one, else if it is another */
static uint32_t group_leader(struct master *m, bool is_own, char to[ENV_ADDR_MAX])
{
    struct journal_status s;
    memset(&s, 0, sizeof s);
    if (!m->is_group)
        return 0;
    journal_status(m->journal, &s);
    for (uint32_t i = 0; i < s.n; i++)
        if (s.leader && s.member[i].id == s.leader && (s.leader == s.self) == is_own &&
            s.member[i].connected)
            return (uint32_t)fmt_into(to, ENV_ADDR_MAX, "%s", s.member[i].addr);
    return 0;
}

uint32_t master_group_hint(struct master *m, char to[ENV_ADDR_MAX])
{
    return group_leader(m, false, to);
}

void master_group_refuse(struct master *m, struct rpc_token t)
{
    char hint[ENV_ADDR_MAX];
    uint32_t len = group_leader(m, false, hint);
    if (len || !m->is_group || m->n_askers == MASTER_ASKERS || m->is_stopping ||
        m->state == MASTER_FAILED) {
        rpc_reply(t, E_NOT_LEADER, hint, len);
        return;
    }
    struct master_asker *a = &m->askers[(m->ask_first + m->n_askers++) % MASTER_ASKERS];
    int64_t now = env_now_ns(m->env), soon = now + MASTER_ASK_TICK_NS;
    *a = (struct master_asker){t, now + MASTER_ASK_NS};
    m->is_idle = false;
    if (!env_timer_is_set(&m->tick) || m->tick.at_ns > soon)
        env_timer_set(m->env, &m->tick, soon);
}

static void group_answer(struct master *m, const char *hint, uint32_t len)
{
    rpc_reply(m->askers[m->ask_first].token, E_NOT_LEADER, hint, len);
    m->ask_first = (m->ask_first + 1) % MASTER_ASKERS;
    m->n_askers--;
}

void master_group_tick(struct master *m)
{
    char hint[ENV_ADDR_MAX];
    int64_t now = env_now_ns(m->env);
    if (!m->n_askers)
        return;
    uint32_t len = group_leader(m, false, hint);
    while (m->n_askers && (len || m->askers[m->ask_first].until_ns <= now))
        group_answer(m, hint, len);
}

void master_group_tell(struct master *m)
{
    char hint[ENV_ADDR_MAX];
    uint32_t len = m->n_askers ? group_leader(m, true, hint) : 0;
    while (m->n_askers)
        group_answer(m, hint, len);
}

void master_group_addresses(struct master *m, struct wbuf *w)
{
    struct journal_status s;
    memset(&s, 0, sizeof s);
    if (!m->is_group)
        return;
    journal_status(m->journal, &s);
    for (uint32_t i = 0; i < s.n; i++) {
        uint32_t len = (uint32_t)strlen(s.member[i].addr);
        if (w->cap - w->len > len + 2)
            rpc_format_addr_put(w, s.member[i].addr, len);
    }
}

/* --- changes --- */

static_assert((int)RPC_CHANGE_ADD == (int)JOURNAL_ADD &&
                  (int)RPC_CHANGE_ADD_LEARNER == (int)JOURNAL_ADD_LEARNER &&
                  (int)RPC_CHANGE_REMOVE == (int)JOURNAL_REMOVE &&
                  (int)RPC_CHANGE_REPLACE == (int)JOURNAL_REPLACE &&
                  (int)RPC_CHANGE_PRIORITY == (int)JOURNAL_PRIORITY &&
                  (int)RPC_CHANGE_ELECT == (int)JOURNAL_ELECT,
              "the same verbs");

static void group_changed(struct env_op *op)
{
    master_rpc_done(container_of(op, struct master_req, barrier), op->ret < 0 ? (int)op->ret : 0);
}

void master_group_change(struct master *m, struct rpc_token t, const void *body, uint32_t len)
{
    struct rbuf b = rbuf_make(body, len);
    struct rpc_change c;
    char addr[ENV_ADDR_MAX] = "";
    if (rpc_format_change_get(&b, &c) != 0 || !m->is_group) {
        rpc_reply(t, m->is_group ? E_PROTO : E_NOTSUP, NULL, 0);
        return;
    }
    struct master_req *r = master_rpc_new(m, t, RPC_CHANGE, NULL, 0);
    if (!r) {
        rpc_reply(t, E_AGAIN, NULL, 0);
        return;
    }
    if (c.addr_len)
        memcpy(addr, c.addr, c.addr_len);
    struct journal_change j = {(enum journal_verb)c.verb, c.id, c.new_id, (uint8_t)c.priority,
                               addr};
    int64_t for_ns = (int64_t)base_min_u64(c.timeout_ns, MASTER_CHANGE_NS);
    r->state = REQ_IMAGE;
    r->barrier.done = group_changed;
    journal_change(m->journal, &j, env_now_ns(m->env) + for_ns, &r->barrier);
}

void master_hand_over(struct master *m, int64_t timeout_ns, struct env_op *op)
{
    const struct journal_change c = {.verb = JOURNAL_ELECT};
    if (m->is_group)
        journal_change(m->journal, &c, env_now_ns(m->env) + timeout_ns, op);
    else
        env_reply(m->env, op, E_NOTSUP);
}

/* --- the journal's connections --- */

struct env_peer *master_group_foreign(struct rpc_host *h, uint16_t type, const char *from)
{
    struct master *m = container_of(h, struct master, rpc);
    bool is_journal = type >= JOURNAL_FRAME_MIN && type <= JOURNAL_FRAME_MAX;
    return is_journal && !m->is_stopping ? journal_accept(m->journal, from) : NULL;
}
