/* journal/raft_admin.c - changes of the group on the operator's behalf, and what the status says.
 *
 * One step at a time.  A change is begun by the leader and done when its own last step is
 * committed: for a new voter that is after it has caught up and joint consensus was left, for an
 * election when another member leads.  A newcomer that is still on its way in holds nothing up,
 * waited for or not: others are changed meanwhile, another one is called to lead (as at a stop), or
 * it is taken back, of which whoever waits for it is told.  Whoever
 * asked may be told E_TIMEOUT or E_NOT_LEADER while the change goes on: the core finishes what is
 * in the log, whoever leads.  Who asks again, also of another leader, waits for the rest of it.
 *
 *   E_EXIST        it is so already, whoever made it so
 *   E_INVAL        no such member; that number is another one's; nobody would be left to vote
 *   E_AGAIN        another change is under way, or too many are waited for
 *   E_NOENT        who was to come was taken out again
 *   E_UNAVAILABLE  nobody can be called to lead now, or who was called did not come to the front */
#include "journal/raft_drive_impl.h"

enum { CHANGE_BEATS = 6 }; /* heartbeats without an answer, and a member is not called to lead */

/* --- a configuration that is being made --- */

static struct raft_member *drive_conf_find(struct raft_conf *c, uint32_t id)
{
    const struct raft_member *m = raft_member_find(c, (struct raft_id){id});
    return m ? &c->member[m - c->member] : NULL;
}

static int drive_conf_add(struct raft_conf *c, uint32_t id, const char *addr, uint8_t flags,
                          uint8_t priority)
{
    uint32_t at = c->n;
    if (c->n == RAFT_MEMBERS_MAX || id == 0 || !addr || !*addr || strlen(addr) >= ENV_ADDR_MAX)
        return E_INVAL;
    for (; at > 0 && c->member[at - 1].id.v > id; at--)
        c->member[at] = c->member[at - 1];
    c->n++;
    c->member[at] = (struct raft_member){.id = {id}, .flags = flags, .priority = priority};
    fmt_into(c->member[at].addr, sizeof c->member[at].addr, "%s", addr);
    return 0;
}

static void drive_conf_remove(struct raft_conf *c, struct raft_member *m)
{
    uint32_t at = (uint32_t)(m - c->member);
    c->n--;
    memmove(m, m + 1, (c->n - at) * sizeof *m);
    memset(&c->member[c->n], 0, sizeof *m);
}

/* --- "ID@HOST:PORT[=PRIORITY],..." --- */

int raft_drive_members_parse(const char *text, struct raft_conf *ret_conf)
{
    struct raft_conf *c = ret_conf;
    memset(c, 0, sizeof *c);
    for (const char *p = text, *end;; p = end + 1) {
        char addr[ENV_ADDR_MAX];
        uint8_t priority;
        uint32_t id;
        for (end = p; *end && *end != ','; end++)
            ;
        if (!journal_member_parse(p, (size_t)(end - p), &id, addr, &priority) ||
            drive_conf_find(c, id) || drive_conf_add(c, id, addr, RAFT_VOTER, priority))
            return E_INVAL;
        if (!*end)
            return 0;
    }
}

/* --- what a change wants --- */

/* the configuration that the change asks for */
static int drive_change_plan(struct raft_conf *c, const struct journal_change *ch)
{
    struct raft_member *m = drive_conf_find(c, ch->id);
    switch (ch->verb) {
    case JOURNAL_ADD:
    case JOURNAL_ADD_LEARNER: {
        uint8_t flags = ch->verb == JOURNAL_ADD ? RAFT_VOTER : RAFT_LEARNER;
        if (!m)
            return drive_conf_add(c, ch->id, ch->addr, flags, ch->priority);
        if (strcmp(m->addr, ch->addr) != 0)
            return E_INVAL;
        if (m->flags == flags)
            return E_EXIST;
        m->flags = flags; /* a learner is promoted, or a voter demoted */
        return 0;
    }
    case JOURNAL_REMOVE:
        if (!m)
            return E_INVAL;
        drive_conf_remove(c, m);
        return c->n ? 0 : E_INVAL;
    case JOURNAL_REPLACE: {
        const struct raft_member *now = drive_conf_find(c, ch->new_id);
        if (now) /* E_EXIST: it was asked for before, perhaps of another leader */
            return m || strcmp(now->addr, ch->addr) != 0 ? E_INVAL : E_EXIST;
        if (!m)
            return E_INVAL;
        struct raft_member old = *m;
        drive_conf_remove(c, m);
        return drive_conf_add(c, ch->new_id, ch->addr, old.flags, old.priority);
    }
    case JOURNAL_PRIORITY:
        if (!m)
            return E_INVAL;
        if (m->priority == ch->priority)
            return E_EXIST;
        m->priority = ch->priority;
        return 0;
    case JOURNAL_ELECT:
        break;
    }
    return E_INVAL;
}

/* the configuration in effect without what is on its way; false: something is */
static bool drive_conf_settled(const struct drive *d, struct raft_conf *ret_conf)
{
    struct raft_status s;
    raft_status(d->raft, &s);
    *ret_conf = *raft_conf(d->raft);
    for (uint32_t i = 0; i < ret_conf->n; i++)
        if (ret_conf->member[i].flags & RAFT_PROMOTE)
            ret_conf->member[i].flags = RAFT_VOTER; /* as it shall be */
    return !s.joint && s.conf_index <= s.commit;
}

/* --- changes that are waited for --- */

static void drive_change_end(struct drive_change *w, int ret)
{
    struct drive *d = w->d;
    struct env_op *op = w->op;
    if (!op)
        return;
    w->op = NULL;
    d->n_changes--;
    if (w == &d->elect)
        raft_hold_elect_end(d);
    env_timer_stop(d->env, &w->timer);
    raft_drive_reply(d, op, ret);
}

void raft_drive_elect_end(struct drive *d, int ret)
{
    drive_change_end(&d->elect, ret);
}

void raft_drive_change_end_all(struct drive *d, int ret)
{
    for (uint32_t i = 0; i < DRIVE_CHANGES; i++)
        drive_change_end(&d->change[i], ret);
    drive_change_end(&d->elect, ret);
}

static void drive_change_late(struct env_op *op)
{
    drive_change_end(container_of(op, struct drive_change, timer.op), E_TIMEOUT);
}

void raft_drive_change_init(struct drive *d)
{
    d->elect.d = d;
    d->elect.timer.op.done = drive_change_late;
    for (uint32_t i = 0; i < DRIVE_CHANGES; i++) {
        d->change[i].d = d;
        d->change[i].timer.op.done = drive_change_late;
    }
}

static struct drive_change *drive_change_free(struct drive *d, enum journal_verb verb)
{
    if (verb == JOURNAL_ELECT)
        return d->elect.op ? NULL : &d->elect;
    for (uint32_t i = 0; i < DRIVE_CHANGES; i++)
        if (!d->change[i].op)
            return &d->change[i];
    return NULL;
}

/* is it so, whoever made it so?  Another leader may have put another change in its place. */
static bool drive_change_holds(const struct drive *d, const struct journal_change *ch)
{
    const struct raft_conf *c = raft_conf(d->raft);
    const struct raft_member *m = raft_member_find(c, (struct raft_id){ch->id});
    const struct raft_member *now = raft_member_find(c, (struct raft_id){ch->new_id});
    switch (ch->verb) {
    case JOURNAL_ADD:
        return m && m->flags & RAFT_VOTER;
    case JOURNAL_ADD_LEARNER:
        return m && m->flags == RAFT_LEARNER;
    case JOURNAL_REMOVE:
        return !m;
    case JOURNAL_REPLACE:
        return !m && now && !(now->flags & RAFT_PROMOTE);
    case JOURNAL_PRIORITY:
        return m && m->priority == ch->priority;
    case JOURNAL_ELECT:
        break;
    }
    return false;
}

/* a newcomer that was asked for is on its way in, and nothing else is missing */
static bool drive_change_comes(const struct drive *d, const struct journal_change *ch)
{
    bool adds = ch->verb == JOURNAL_ADD, replaces = ch->verb == JOURNAL_REPLACE;
    uint32_t id = adds ? ch->id : replaces ? ch->new_id : 0;
    const struct raft_member *m = raft_member_find(raft_conf(d->raft), (struct raft_id){id});
    return m && m->flags & RAFT_PROMOTE;
}

static void drive_elect_run(struct drive *d, const struct raft_status *s)
{
    uint32_t id = d->elect.what.id;
    if (s->leader.v && s->leader.v != d->self.v) /* E_CONFLICT: somebody else was elected */
        raft_drive_elect_end(d, id == 0 || s->leader.v == id ? 0 : E_CONFLICT);
    else if (s->role == RAFT_LEADER && !s->transfer_to.v && !d->elect_waits)
        raft_drive_elect_end(d, E_UNAVAILABLE); /* it did not come to the front in time */
}

/* is what one waits for in effect and committed?  Others may be on their way in. */
void raft_drive_change_run(struct drive *d)
{
    struct raft_status s;
    if (!d->n_changes)
        return;
    raft_status(d->raft, &s);
    if (d->elect.op)
        drive_elect_run(d, &s);
    for (uint32_t i = 0; i < DRIVE_CHANGES; i++) {
        struct drive_change *w = &d->change[i];
        bool settled = !s.joint && s.commit >= s.conf_index && s.conf_index >= w->index;
        if (!w->op)
            continue;
        if (settled && drive_change_holds(d, &w->what))
            drive_change_end(w, 0);
        else if (s.role != RAFT_LEADER)
            drive_change_end(w, E_NOT_LEADER);
        else if (settled && !drive_change_comes(d, &w->what))
            drive_change_end(w, E_NOENT);
    }
}

/* Who does not answer now would not answer that call either, and whatever is proposed meanwhile
 * would wait for it. */
static bool drive_change_hears(const struct drive *d, uint32_t id)
{
    struct raft_status s;
    int64_t since_ns = env_clock_ns(d->env) - CHANGE_BEATS * d->cfg.raft.heartbeat_ns;
    raft_status(d->raft, &s);
    for (uint32_t i = 0; i < s.n_peers; i++)
        if (s.peer[i].id.v == id)
            return s.peer[i].heard_ns && s.peer[i].heard_ns >= since_ns;
    return true; /* the core knows better what is wrong with it */
}

static int drive_elect_begin(struct drive *d, uint32_t id)
{
    if (id == d->self.v)
        return E_EXIST;
    if (id && !drive_change_hears(d, id))
        return E_UNAVAILABLE;
    if (!raft_hold_elect(d))
        return 0;
    struct raft_event ev = {.type = RAFT_TRANSFER, .u.id = {id}};
    int ret = raft_drive_event(d, &ev, NULL);
    return ret == E_BUSY ? E_AGAIN : ret;
}

static int drive_change_begin(struct drive *d, const struct journal_change *ch, uint64_t *ret_index)
{
    *ret_index = 0;
    if (d->state != DRIVE_RUNNING || d->role != JOURNAL_LEADER || d->stop_op)
        return E_NOT_LEADER;
    if (!drive_change_free(d, ch->verb))
        return E_AGAIN;
    if (ch->verb == JOURNAL_ELECT)
        return drive_elect_begin(d, ch->id);
    bool settled = drive_conf_settled(d, &d->change_want);
    int ret = drive_change_plan(&d->change_want, ch);
    if (ret == E_EXIST && (!settled || !drive_change_holds(d, ch)))
        return 0; /* it is on its way */
    if (ret || !settled)
        return settled ? ret : E_AGAIN;
    struct raft_event ev = {.type = RAFT_CHANGE, .u.conf = &d->change_want};
    *ret_index = raft_log_last(d->log) + 1;
    return raft_drive_event(d, &ev, NULL);
}

void raft_drive_change(struct journal *j, const struct journal_change *c, int64_t deadline_ns,
                       struct env_op *op)
{
    struct drive *d = container_of(j, struct drive, journal);
    uint64_t index;
    int ret = drive_change_begin(d, c, &index);
    if (ret) {
        raft_drive_reply(d, op, ret);
        return;
    }
    struct drive_change *w = drive_change_free(d, c->verb);
    w->op = op;
    w->what = *c;
    w->what.addr = NULL;
    w->index = index;
    d->n_changes++;
    env_timer_set(d->env, &w->timer, deadline_ns);
    raft_drive_kick(d); /* it may be done already */
}

/* A member's disk is written down with its first hello, so that another one is recognised: of a
 * newcomer before it has a vote (raft_config.knows_disks).  Nothing that is waited for hides it. */
void raft_drive_learn_disks(struct drive *d)
{
    bool any = false;
    if (!drive_conf_settled(d, &d->change_want))
        return;
    const struct raft_conf *now = raft_conf(d->raft);
    for (uint32_t i = 0; i < now->n; i++) {
        struct raft_member *m = &d->change_want.member[i];
        const struct drive_link *k = raft_drive_link_find(d, m->id);
        bool is_there = k && (now->member[i].flags & RAFT_VOTER || raft_drive_link_peer(k));
        uint64_t disk = m->id.v == d->self.v ? d->file.meta.disk : is_there ? k->disk : 0;
        any |= !m->disk && disk;
        m->disk = m->disk ? m->disk : disk;
    }
    if (!any)
        return;
    struct raft_event ev = {.type = RAFT_CHANGE, .u.conf = &d->change_want};
    raft_drive_event(d, &ev, NULL);
}

/* --- status --- */

static void drive_status_members(struct drive *d, const struct raft_status *s,
                                 struct journal_status *st)
{
    const struct raft_conf *c = raft_conf(d->raft);
    int64_t now = env_clock_ns(d->env);
    st->n = c->n;
    for (uint32_t i = 0; i < c->n; i++) {
        const struct raft_member *m = &c->member[i];
        struct journal_member *o = &st->member[i];
        bool self = m->id.v == d->self.v;
        const struct drive_link *k = raft_drive_link_find(d, m->id);
        *o = (struct journal_member){.id = m->id.v,
                                     .votes = m->flags & (RAFT_VOTER | RAFT_OLD),
                                     .leads = m->id.v == s->leader.v,
                                     .joins = m->flags & RAFT_PROMOTE,
                                     .leaving = (m->flags & RAFT_OLD) && !(m->flags & RAFT_VOTER),
                                     .connected = self || (k && raft_drive_link_peer(k)),
                                     .unfit = self && !d->fit,
                                     .priority = m->priority,
                                     .disk = m->disk,
                                     .match = self ? s->stored : 0,
                                     .heard_ago_ns = self ? 0 : -1};
        memcpy(o->addr, m->addr, strlen(m->addr) + 1); /* asked for often: not by the formatter */
        for (uint32_t p = 0; p < s->n_peers; p++)
            if (s->peer[p].id.v == m->id.v) {
                o->match = s->peer[p].match;
                o->unfit = s->peer[p].unfit;
                o->heard_ago_ns = s->peer[p].heard_ns ? now - s->peer[p].heard_ns : -1;
            }
    }
}

void raft_drive_status(struct journal *j, struct journal_status *ret_status)
{
    struct drive *d = container_of(j, struct drive, journal);
    struct wal_stats w = {0};
    struct raft_status s = {0};
    if (d->log)
        raft_log_stats(d->log, &w);
    if (d->raft)
        raft_status(d->raft, &s);
    *ret_status = (struct journal_status){.role = d->role,
                                          .full = d->full,
                                          .epoch = s.term,
                                          .first_index = s.first,
                                          .last_index = s.last,
                                          .committed = s.commit,
                                          .applied = d->applied,
                                          .image_index = d->snap ? snap_index(d->snap) : 0,
                                          .image_bytes = d->snap ? snap_bytes(d->snap) : 0,
                                          .wal_bytes = w.bytes,
                                          .wal_segments = w.segments,
                                          .records = w.records,
                                          .batches = w.batches,
                                          .syncs = w.syncs,
                                          .cluster_hi = d->file.meta.cluster_hi,
                                          .cluster_lo = d->file.meta.cluster_lo,
                                          .disk = d->file.meta.disk,
                                          .self = d->self.v,
                                          .leader = s.leader.v,
                                          .conf_index = s.conf_index,
                                          .is_changing = s.joint || s.conf_index > s.commit,
                                          .repairing = d->raft && !raft_is_whole(d->raft),
                                          .lease = s.lease,
                                          .lease_until_ns = s.lease_until_ns,
                                          .elections = d->elections,
                                          .lost = d->lost,
                                          .messages = d->messages,
                                          .message_bytes = d->message_bytes};
    ret_status->era = d->file.meta.era;
    ret_status->is_gone = d->is_gone;
    if (d->raft)
        drive_status_members(d, &s, ret_status);
    else if (d->state == DRIVE_CHECKED)
        raft_offline_status(d, ret_status);
}
