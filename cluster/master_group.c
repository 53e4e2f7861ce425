/* cluster/master_group.c - one of several masters: who leads instead, and the journal's
 * connections.
 *
 * INVARIANTS
 *  1. A master that does not serve answers E_NOT_LEADER; the body is the leader's address, where
 *     the journal knows another master for the leader, else empty.
 *  2. While no leader is known who asks waits here: for one, for this master's own leadership (then
 *     the body is its own address: ask again), or MASTER_ASK_NS.  So an election is not
 *     accompanied by everybody's trying every master again and again.  A full ring answers at
 *     once. */
#include "cluster/master_impl.h"

#define MASTER_ASK_NS (500 * MASTER_MS)

/* the leader's address, if it is known; is_own: if it is this one, else if it is another */
static uint32_t group_leader(struct master *m, bool is_own, char to[ENV_ADDR_MAX])
{
    struct journal_status s;
    memset(&s, 0, sizeof s);
    if (!m->is_group)
        return 0;
    journal_status(m->journal, &s);
    for (uint32_t i = 0; i < s.n; i++)
        if (s.leader && s.member[i].id == s.leader && (s.leader == s.self) == is_own)
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
    *a = (struct master_asker){t, env_now_ns(m->env) + MASTER_ASK_NS};
    env_timer_set(m->env, &m->tick, env_now_ns(m->env) + MASTER_TICK_NS);
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

struct env_peer *master_group_foreign(struct rpc_host *h, uint16_t type, const char *from)
{
    struct master *m = container_of(h, struct master, rpc);
    bool is_journal = type >= JOURNAL_FRAME_MIN && type <= JOURNAL_FRAME_MAX;
    return is_journal && !m->is_stopping ? journal_accept(m->journal, from) : NULL;
}
