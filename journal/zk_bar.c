/* journal/zk_bar.c - why a member would not come to lead now, and what is known of the room in the
 * shared directory: for people and for what watches the group.  Nothing is decided by it.
 *
 * A leader is looked at like the others: one without a session goes on, but nobody says that it
 * would be called again. */
#include "journal/zk_drive_impl.h"

enum { ZK_ROOM_SEGMENTS = 4, ZK_ROOM_IMAGES = 2 }; /* fewer fit: it is low */

static enum journal_bar zk_bar_of(const struct zk_drive *d, const struct zk_elect_look *l)
{
    bool is_leader = d->role == JOURNAL_LEADER;
    if (d->role == JOURNAL_FAILED)
        return JOURNAL_BAR_FAILED;
    if (d->role == JOURNAL_STARTING)
        return JOURNAL_BAR_STARTING;
    if (l->bar != JOURNAL_BAR_NONE && l->bar != JOURNAL_BAR_CANDIDACY)
        return l->bar;
    if (d->is_late)
        return JOURNAL_BAR_STORAGE;
    if (!is_leader && !zk_room_may_stand(d))
        return JOURNAL_BAR_ROOM;
    if (!is_leader && (d->torn.is_said || env_now_ns(d->env) < d->vain_until_ns))
        return JOURNAL_BAR_DAMAGED;
    if (!is_leader && d->lacks > ZK_LACKS_SAID)
        return JOURNAL_BAR_IMAGE;
    return d->stands ? l->bar : JOURNAL_BAR_CANDIDACY;
}

static struct zk_elect_look zk_bar_elect(struct zk_drive *d)
{
    struct zk_elect_look l = {.has_session = true, .since_ns = env_now_ns(d->env)};
    if (d->elect->vt->look)
        d->elect->vt->look(d->elect, &l);
    return l;
}

static void zk_bar_set(struct zk_drive *d, const struct zk_elect_look *l)
{
    enum journal_bar was = d->bar;
    d->bar = zk_bar_of(d, l);
    if ((was == JOURNAL_BAR_NONE) != (d->bar == JOURNAL_BAR_NONE))
        d->bar_ns = env_now_ns(d->env);
}

void zk_bar_look(struct zk_drive *d)
{
    struct zk_elect_look l = zk_bar_elect(d);
    zk_bar_set(d, &l);
}

void zk_bar_status(struct zk_drive *d, struct journal_status *st)
{
    const struct journal_room *r = d->cfg.zk.room;
    struct zk_elect_look l = zk_bar_elect(d);
    int64_t now = env_now_ns(d->env);
    zk_bar_set(d, &l);
    bool is_known = r && r->at_ns;
    uint64_t wants = ZK_ROOM_SEGMENTS * d->cfg.segment_bytes +
                     ZK_ROOM_IMAGES * (d->snap ? snap_bytes(d->snap) : 0);
    st->is_zk = true;
    st->zk = (struct journal_status_zk){
        .has_session = l.has_session,
        .session_ns = now - l.since_ns,
        .losses = l.losses,
        .bar = d->bar,
        .barred_ns = d->bar == JOURNAL_BAR_NONE ? 0 : now - d->bar_ns,
        .room = is_known ? *r : (struct journal_room){0},
        .room_ago_ns = is_known ? now - r->at_ns : -1,
        .room_low = is_known && r->free < wants,
    };
}
