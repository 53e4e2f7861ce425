/* journal/raft_offline.c - a member's directory without its group: checked, or made the beginning
 * of a new group after a majority was lost for good.
 *
 *   check:    ... RECOVER -> REPLAY (reads only) -> CHECKED
 *   recover:  ... REPLAY -> OFFLINE: meta durable -> entry durable -> CHECKED
 *
 * RECOVERY AFTER THE LOSS OF A MAJORITY.  One survivor gets a configuration of its own as the next
 * entry of its log.  Raft cannot vouch for that: a majority may have committed what this log lacks,
 * and the lost members may come back.  What keeps a wrong use from doing harm:
 *
 *  1. The group gets a new era (journal.meta, every hello).  Members of different eras do not
 *     exchange a single message, so a member of before can neither vote here, nor make this group
 *     follow its term, nor be followed.  Terms alone do not give that: the others, a majority by
 *     their own configuration, may elect one of theirs in a higher term still, and would then cut
 *     this log.  Disk incarnations do not, either: they tell apart two disks of one member.
 *  2. The later era counts (era.c says which that is).  A member that hears of a later one stops
 *     for good and says why: its group was given up.
 *  3. The era and a term above all that is here are durable before the entry is.  A crash between
 *     them leaves a member that talks to nobody and elects nobody; the same command ends it.
 *  4. A member that the new configuration names beside this one begins with an empty directory
 *     (--join), which takes its era from the one that calls it.  So nobody votes with two pasts;
 *     nor with a part of this one: it gets its vote when it has all that was recovered.
 *
 * Why not a new cluster id: it stands in every segment and image, and clients and workers know it.
 */
#include "journal/era.h"
#include "journal/raft_drive_impl.h"

bool raft_offline_outdated(struct drive *d, uint64_t hi, uint64_t lo, uint64_t era, uint32_t from)
{
    const struct log_meta *m = &d->file.meta;
    if (hi != m->cluster_hi || lo != m->cluster_lo || !era_is_over(m->era, era) ||
        d->state != DRIVE_RUNNING)
        return false;
    fmt_log(d->env, ENV_LOG_ERROR,
            "journal: '%s': member %u says that the group was recovered or restored without this "
            "one (era %u there, %u here). This master stops: what it has beyond the others is "
            "lost. Move its directory away and let it come back as a new member (--join).",
            env_disk(d->env, d->dir), from, era_number(era), era_number(m->era));
    raft_drive_fail(d, E_CLUSTER);
    return true;
}

/* what the log says in the end, for those who only look */
static void offline_found(struct drive *d, const struct raft_start *s)
{
    struct drive_found *f = &d->found;
    f->base = s->base;
    f->last = s->base + s->n;
    f->last_term = s->n                        ? s->run[s->n_runs - 1].term
                   : s->base == s->image.index ? s->image.term
                                               : s->base_term;
    f->conf_index = s->image.index;
    f->conf = *s->image.conf;
    if (s->n_confs) {
        f->conf_index = s->conf_index[s->n_confs - 1];
        f->conf = s->conf[s->n_confs - 1];
    }
}

static void offline_end(struct drive *d)
{
    d->state = DRIVE_CHECKED;
    d->role = JOURNAL_STANDBY;
    d->host->role(d->host, JOURNAL_STANDBY, d->file.meta.epoch, 0);
}

static int offline_refuse(struct drive *d, const char *why)
{
    fmt_log(d->env, ENV_LOG_ERROR, "journal: '%s': %s. Nothing was changed.",
            env_disk(d->env, d->dir), why);
    return E_INVAL;
}

/* the configuration to be; what is known of a member's disk is forgotten, but for this one's */
static int offline_plan(struct drive *d)
{
    struct raft_conf *c = &d->first_conf;
    bool self = false;
    if (!c->n)
        return offline_refuse(d, "the new group cannot be read");
    for (uint32_t i = 0; i < c->n; i++) {
        self |= c->member[i].id.v == d->self.v;
        if (c->member[i].id.v == d->self.v)
            c->member[i].disk = d->file.meta.disk;
        else /* of two of them, each with a part of the log, one could lead */
            c->member[i].flags = RAFT_LEARNER | RAFT_PROMOTE;
    }
    if (!self)
        return offline_refuse(d, "the new group must name the member whose directory this is");
    if (d->found.last == 0)
        return offline_refuse(d, "this member is empty: use one that has a log");
    return 0;
}

static void offline_recover(struct drive *d)
{
    struct log_meta *m = &d->file.meta;
    int ret = offline_plan(d);
    if (ret) {
        raft_drive_fail(d, ret);
        return;
    }
    m->epoch = base_max_u64(m->epoch, d->found.last_term) + 1;
    m->vote = 0;
    m->era = era_next(base_max_u64(m->era, d->cfg.raft.recover_era), env_wall_ns(d->env),
                      (uint32_t)env_random(d->env));
    m->durable = base_max_u64(m->durable, raft_log_durable(d->log));
    m->voters = 1;                    /* who is alone has nobody to repair its log */
    if (m->committed > d->found.last) /* damage took it */
        m->committed = m->committed_term = 0;
    d->state = DRIVE_OFFLINE;
    d->busy = true;
    log_meta_save(&d->file, &d->op);
}

void raft_offline_replayed(struct drive *d, const struct raft_start *s)
{
    offline_found(d, s);
    if (d->cfg.check_only)
        offline_end(d);
    else
        offline_recover(d);
}

/* the new era is durable; then its entry is */
void raft_offline_run(struct drive *d)
{
    struct drive_found *f = &d->found;
    if (d->busy)
        return;
    if (d->op.ret < 0) {
        raft_drive_fail(d, (int)d->op.ret);
    } else if (!f->appended) {
        uint8_t conf[RAFT_FORMAT_CONF_MAX];
        struct wbuf w = wbuf_make(conf, sizeof conf);
        raft_format_conf_put(&w, &d->first_conf);
        struct raft_entry e = {
            .term = d->file.meta.epoch, .type = RAFT_CONF, .len = (uint32_t)w.len};
        f->appended = true;
        if (raft_log_append(d->log, f->last + 1, &e, conf))
            raft_drive_fail(d, E_NOMEM);
    } else if (raft_log_stored(d->log) == f->last + 1) {
        f->last = f->conf_index = f->last + 1;
        f->last_term = d->file.meta.epoch;
        f->conf = d->first_conf;
        offline_end(d);
    }
}

void raft_offline_status(const struct drive *d, struct journal_status *st)
{
    const struct drive_found *f = &d->found;
    st->epoch = d->file.meta.epoch;
    st->first_index = f->base + 1;
    st->last_index = f->last;
    st->last_term = f->last_term;
    st->conf_index = f->conf_index;
    st->n = f->conf.n;
    for (uint32_t i = 0; i < f->conf.n; i++) {
        const struct raft_member *m = &f->conf.member[i];
        st->member[i] =
            (struct journal_member){.id = m->id.v,
                                    .votes = m->flags & (RAFT_VOTER | RAFT_OLD),
                                    .joins = m->flags & RAFT_PROMOTE,
                                    .leaving = (m->flags & RAFT_OLD) && !(m->flags & RAFT_VOTER),
                                    .priority = m->priority,
                                    .disk = m->disk,
                                    .heard_ago_ns = -1};
        fmt_into(st->member[i].addr, sizeof st->member[i].addr, "%s", m->addr);
    }
}
