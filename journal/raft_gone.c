/* journal/raft_gone.c - who is a member no more is told so.
 *
 * Whoever is taken out of the group gets nothing from then on, as a rule not even the entry that
 * says so, and one that was away begins again as if nothing had been.  Those who stay tell it:
 *
 *   DRIVE_FRAME_GONE   u64, u64: term and index of the last entry that is known here to be
 *                      committed; the configuration there does not name you
 *
 * when that configuration is committed, when a new leader's first entry is, and behind each hello.
 * Whose number another disk bears by then is refused: the same two numbers are behind the hello of
 * that WELCOME, 0 if nothing is committed that says so.
 *
 * INVARIANTS
 *  1. Nothing is decided by it: it is said in the log and in the status.
 *  2. It is believed while no leader is heard, and of who has not less committed than this one, nor
 *     less than the last leader had that this one has heard: of his log some configuration may name
 *     it, as one that is being added, of which whoever is behind knows nothing.  An entry of a
 *     later term that is committed, or of that term and not before his last one, decides that.
 *  3. What is in the own log and perhaps not committed counts for nothing: a leader that was cut
 *     off may have put a configuration there behind that which removed it.
 *
 * What the last leader had is not known any more after a restart.  Then one that is being added may
 * hear it wrongly of a member that is behind, until a leader is heard. */
#include "journal/raft_drive_impl.h"

static bool gone_is_before(struct raft_run a, struct raft_run b)
{
    return a.term < b.term || (a.term == b.term && a.first < b.first);
}

/* the last entry that is known to be committed */
static struct raft_run gone_committed(const struct drive *d)
{
    uint64_t index = raft_commit(d->raft);
    return (struct raft_run){index, raft_term_at(d->raft, index)};
}

static bool gone_is_settled(const struct drive *d)
{
    struct raft_status s;
    raft_status(d->raft, &s);
    return !s.joint && s.commit >= s.conf_index;
}

void raft_gone_put(const struct drive *d, struct wbuf *w, uint32_t id)
{
    const struct raft_member *m = raft_member_find(raft_conf(d->raft), (struct raft_id){id});
    bool says = gone_is_settled(d) && (!m || m->disk);
    struct raft_run at = gone_committed(d);
    wbuf_u64(w, says ? at.term : 0);
    wbuf_u64(w, says ? at.first : 0);
}

void raft_gone_tell(struct drive *d, const struct drive_link *k)
{
    uint8_t b[16];
    struct wbuf w = wbuf_make(b, sizeof b);
    struct env_peer *to = raft_drive_link_peer(k);
    if (!to || k->is_member || d->state != DRIVE_RUNNING || !gone_is_settled(d) ||
        raft_member_find(raft_conf(d->raft), k->id))
        return;
    raft_gone_put(d, &w, k->id.v);
    struct env_iov iov = {b, w.len};
    env_send(to->conn, DRIVE_FRAME_GONE, &iov, 1);
}

int raft_gone_heard(struct drive *d, struct rbuf *r)
{
    struct raft_run at = {.term = rbuf_u64(r)};
    at.first = rbuf_u64(r);
    if (r->bad)
        return E_PROTO;
    if (gone_is_before(d->gone, at))
        d->gone = at;
    raft_drive_kick(d);
    return 0;
}

void raft_gone_led(struct drive *d, const struct raft_message *m)
{
    bool appends = m->type == RAFT_MSG_APPEND;
    struct raft_run at = {appends ? m->hint : m->index, m->term};
    if ((appends || m->type == RAFT_MSG_IMAGE) && gone_is_before(d->gone_led, at))
        d->gone_led = at;
}

bool raft_gone_is(const struct drive *d, const struct raft_brief *s)
{
    return d->gone.term && s->forsaken && !gone_is_before(d->gone, d->gone_led) &&
           !gone_is_before(d->gone, gone_committed(d));
}

static void gone_tell_all(struct drive *d, const struct raft_brief *s)
{
    if ((d->gone_told == s->conf_index && d->gone_told_term == s->term) ||
        raft_commit(d->raft) < s->conf_index)
        return;
    uint64_t term = gone_committed(d).term;
    if (d->gone_told == s->conf_index && d->gone_told_term == term)
        return;
    d->gone_told = s->conf_index;
    d->gone_told_term = term;
    for (uint32_t i = 0; i < DRIVE_LINKS; i++)
        if (d->link[i].id.v)
            raft_gone_tell(d, &d->link[i]);
}

void raft_gone_run(struct drive *d, const struct raft_brief *s)
{
    gone_tell_all(d, s);
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
