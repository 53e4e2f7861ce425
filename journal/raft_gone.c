/* journal/raft_gone.c - who is a member no more is told so.
 *
 * Whoever is taken out of the group gets nothing from then on, as a rule not even the entry that
 * says so, and one that was away begins again as if nothing had been.  Those who stay tell it:
 *
 *   DRIVE_FRAME_GONE   u64: the index of a committed configuration that does not name you
 *
 * when that configuration is committed, and behind each hello.
 *
 * INVARIANTS
 *  1. Nothing is decided by it: it is said in the log and in the status.
 *  2. It is believed of a configuration as new as the own one only, and while no leader is heard:
 * one that is just being added may be told so by somebody who is behind. */
#include "journal/raft_drive_impl.h"

void raft_gone_tell(struct drive *d, const struct drive_link *k)
{
    uint8_t b[8];
    struct raft_status s;
    struct env_peer *to = raft_drive_link_peer(k);
    if (!to || k->is_member || d->state != DRIVE_RUNNING)
        return;
    raft_status(d->raft, &s);
    if (s.joint || s.commit < s.conf_index || raft_member_find(raft_conf(d->raft), k->id))
        return;
    base_put_u64(b, s.conf_index);
    struct env_iov iov = {b, sizeof b};
    env_send(to->conn, DRIVE_FRAME_GONE, &iov, 1);
}

int raft_gone_heard(struct drive *d, const void *b, uint32_t n)
{
    struct rbuf r = rbuf_make(b, n);
    uint64_t index = rbuf_u64(&r);
    if (r.bad)
        return E_PROTO;
    d->gone_index = base_max_u64(d->gone_index, index);
    raft_drive_kick(d);
    return 0;
}

bool raft_gone_is(const struct drive *d, const struct raft_brief *s)
{
    return d->gone_index && d->gone_index >= s->conf_index && s->forsaken;
}

void raft_gone_run(struct drive *d, const struct raft_brief *s)
{
    if (d->gone_told != s->conf_index && raft_commit(d->raft) >= s->conf_index) {
        d->gone_told = s->conf_index;
        for (uint32_t i = 0; i < DRIVE_LINKS; i++)
            if (d->link[i].id.v)
                raft_gone_tell(d, &d->link[i]);
    }
    bool is_gone = raft_gone_is(d, s);
    if (is_gone && !d->is_gone)
        fmt_log(
            d->env, ENV_LOG_WARN,
            "journal: '%s': member %u is no member of its group any more, which goes on without "
            "it: stop this master. It may come back under a new number, with an empty directory "
            "(--join).",
            env_disk(d->env, d->dir), d->self.v);
    d->is_gone = is_gone;
}
