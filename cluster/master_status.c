/* cluster/master_status.c - RPC_STATUS: what a master has to say, as lines "key value\n"
 * (cluster/rpc_text.h).  The same lines become /metrics: cluster/http_table.c knows what each is.
 */
#include "cluster/master_impl.h"
#include "cluster/rpc_text.h"
#include "journal/era.h"

static const char *const journal_roles[] = {"starting", "standby", "leader", "failed"};

static void status_member(const struct journal_member *e, const struct journal_status *j,
                          uint32_t n, struct rpc_text *s)
{
    const struct {
        const char *key;
        uint64_t v;
    } rows[] = {
        {"votes", e->votes},
        {"leads", e->leads},
        {"joins", e->joins},
        {"leaving", e->leaving},
        {"connected", e->connected},
        {"unfit", e->unfit},
        {"priority", e->priority},
        /* what only the leader knows of others */
        {"match", e->match},
        {"lag", j->last_index > e->match ? j->last_index - e->match : 0},
    };
    bool knows = j->role == JOURNAL_LEADER || e->id == j->self;
    rpc_text_line(s, "journal.members.%u.id %u", n, e->id);
    rpc_text_line(s, "journal.members.%u.addr %s", n, e->addr);
    for (unsigned i = 0; i < ARRAY_LEN(rows) - (knows ? 0 : 2); i++)
        rpc_text_line(s, "journal.members.%u.%s %llu", n, rows[i].key,
                      (unsigned long long)rows[i].v);
    if (e->heard_ago_ns >= 0)
        rpc_text_line(s, "journal.members.%u.heard_ago_ns %llu", n,
                      (unsigned long long)e->heard_ago_ns);
}

/* what only a group of masters has; all zero for a single one */
static void status_group(const struct journal_status *j, struct rpc_text *s)
{
    rpc_text_line(s, "journal.cluster %016llx%016llx", (unsigned long long)j->cluster_hi,
                  (unsigned long long)j->cluster_lo);
    rpc_text_line(s, "journal.disk %016llx", (unsigned long long)j->disk);
    rpc_text_u64(s, "journal.era", j->era);
    rpc_text_u64(s, "journal.era_began", era_number(j->era));
    rpc_text_u64(s, "journal.self", j->self);
    rpc_text_u64(s, "journal.leader", j->leader);
    rpc_text_u64(s, "journal.changing", j->is_changing);
    rpc_text_u64(s, "journal.gone", j->is_gone);
    rpc_text_u64(s, "journal.lease", j->lease);
    rpc_text_u64(s, "journal.elections", j->elections);
    rpc_text_u64(s, "journal.leaderships_lost", j->lost);
    rpc_text_u64(s, "journal.messages", j->messages);
    rpc_text_u64(s, "journal.message_bytes", j->message_bytes);
    rpc_text_u64(s, "journal.members.count", j->n);
    for (uint32_t i = 0; i < j->n; i++)
        status_member(&j->member[i], j, i, s);
}

static void status_zk(const struct journal_status_zk *z, struct rpc_text *s)
{
    rpc_text_u64(s, "journal.zk.session", z->has_session);
    rpc_text_u64(s, "journal.zk.session_ns", (uint64_t)z->session_ns);
    rpc_text_u64(s, "journal.zk.losses", z->losses);
    rpc_text_u64(s, "journal.zk.electable", z->bar == JOURNAL_BAR_NONE);
    rpc_text_line(s, "journal.zk.bar %s", journal_bar_name(z->bar));
    rpc_text_u64(s, "journal.zk.barred_ns", (uint64_t)z->barred_ns);
    if (z->room_ago_ns < 0)
        return;
    rpc_text_u64(s, "journal.zk.room_free", z->room.free);
    rpc_text_u64(s, "journal.zk.room_size", z->room.size);
    rpc_text_u64(s, "journal.zk.room_low", z->room_low);
    rpc_text_u64(s, "journal.zk.room_lost", z->room.is_lost);
    rpc_text_u64(s, "journal.zk.room_ago_ns", (uint64_t)z->room_ago_ns);
}

static void status_journal(struct master *m, struct rpc_text *s)
{
    struct journal_status j;
    memset(&j, 0, sizeof j);
    journal_status(m->journal, &j);
    rpc_text_u64(s, "journal.first", j.first_index);
    rpc_text_u64(s, "journal.last", j.last_index);
    rpc_text_u64(s, "journal.committed", j.committed);
    rpc_text_u64(s, "journal.applied", j.applied);
    rpc_text_u64(s, "journal.image.index", j.image_index);
    rpc_text_u64(s, "journal.image.bytes", j.image_bytes);
    rpc_text_u64(s, "journal.wal.bytes", j.wal_bytes);
    rpc_text_u64(s, "journal.wal.segments", j.wal_segments);
    rpc_text_u64(s, "journal.records", j.records);
    rpc_text_u64(s, "journal.batches", j.batches);
    rpc_text_u64(s, "journal.syncs", j.syncs);
    rpc_text_line(s, "journal.role %s", journal_roles[j.role]);
    rpc_text_line(s, "journal.kind %s",
                  m->cfg.journal.zk.id     ? "zk"
                  : m->cfg.journal.raft.id ? "raft"
                                           : "local");
    rpc_text_u64(s, "journal.term", j.epoch);
    rpc_text_u64(s, "journal.lag", j.committed > j.applied ? j.committed - j.applied : 0);
    rpc_text_u64(s, "journal.full", j.full);
    rpc_text_u64(s, "journal.repairing", j.repairing);
    if (j.is_zk)
        status_zk(&j.zk, s);
    status_group(&j, s);
}

static void status_requests(struct master *m, struct rpc_text *s)
{
    rpc_text_u64(s, "requests.now", m->reqs.count - m->reqs.free_count);
    rpc_text_u64(s, "requests.max", m->reqs.count);
    rpc_text_u64(s, "requests.calls", m->n.requests);
    rpc_text_u64(s, "requests.answers", m->n.answers);
    rpc_text_u64(s, "requests.again", m->n.again);
    rpc_text_u64(s, "requests.timeouts", m->n.timeouts);
    rpc_text_u64(s, "requests.duplicates", m->n.duplicates);
    rpc_text_u64(s, "requests.conflicts", m->n.conflicts);
    rpc_text_u64(s, "requests.standby", m->n.asides);
    rpc_text_u64(s, "requests.standby_refused", m->n.refused);
    rpc_text_u64(s, "ufs.jobs", m->jobs.count - m->jobs.free_count);
    rpc_text_u64(s, "ufs.loads", m->n.loads);
    rpc_text_u64(s, "ufs.checks", m->n.checks);
    rpc_text_u64(s, "ufs.refreshes", m->n.refreshes);
    rpc_text_u64(s, "ufs.names", m->n.names);
    rpc_text_u64(s, "ufs.looks", m->n.looks);
    rpc_text_u64(s, "ufs.outruns", m->n.outruns);
    rpc_text_u64(s, "ufs.effects", m->n.effects);
    rpc_text_u64(s, "ufs.resumed", m->n.resumed);
    rpc_text_u64(s, "ufs.reclaimed", m->n.reclaimed);
    rpc_text_u64(s, "sessions.now", m->sessions_used);
    rpc_text_u64(s, "sessions.expired", m->n.expired);
    rpc_text_u64(s, "sessions.holds", m->holds_used);
    rpc_text_u64(s, "sessions.invalidations", m->n.invalidations);
}

static void status_meta(struct master *m, struct rpc_text *s)
{
    struct meta_stats st;
    meta_stats(m->meta, &st);
    rpc_text_u64(s, "meta.applied", st.applied);
    rpc_text_u64(s, "meta.inodes", st.inodes);
    rpc_text_u64(s, "meta.dentries", st.dentries);
    rpc_text_u64(s, "meta.sessions", st.sessions);
    rpc_text_u64(s, "meta.intents", st.intents);
    rpc_text_u64(s, "meta.orphans", st.orphans);
    rpc_text_u64(s, "meta.bytes", st.bytes);
    rpc_text_u64(s, "meta.bytes_max", meta_limits(m->meta).bytes_max);
    rpc_text_u64(s, "meta.full", m->n.full);
    rpc_text_u64(s, "memory.used", m->mem->used);
    rpc_text_u64(s, "memory.max", m->mem->used_max);
    rpc_text_u64(s, "memory.budget", m->mem->budget);
}

static void status_mounts(struct master *m, struct rpc_text *s)
{
    uint32_t n = 0;
    for (uint16_t k = 1; k <= LIMIT_MOUNTS; k++) { /* 0 is the namespace around them */
        struct fsop_mount_info i;
        static const char *const modes[] = {"?", "ro", "through", "meta"};
        if (meta_mount_get(m->meta, k, &i) != 0 || !i.path_len)
            continue;
        rpc_text_line(s, "mounts.%u.path %.*s", n, (int)base_min_u64(i.path_len, 256), i.path);
        rpc_text_line(s, "mounts.%u.uri %.*s", n, (int)base_min_u64(i.uri_len, 256),
                      i.uri ? i.uri : "");
        rpc_text_line(s, "mounts.%u.mode %s", n, modes[i.mode < ARRAY_LEN(modes) ? i.mode : 0]);
        rpc_text_line(s, "mounts.%u.number %u", n, k);
        rpc_text_line(s, "mounts.%u.check_interval_ns %llu", n,
                      (unsigned long long)i.check_interval_ns);
        rpc_text_line(s, "mounts.%u.open %d", n, m->ufs[k].ufs != NULL);
        rpc_text_line(s, "mounts.%u.configured %d", n,
                      master_mount_is_configured(m, i.path, i.path_len));
        n++;
    }
    rpc_text_u64(s, "mounts.count", n);
}

static void status_worker(const struct master_worker *w, uint32_t n, struct rpc_text *s)
{
    const struct rpc_worker_beat *b = &w->last;
    const struct {
        const char *key;
        uint64_t v;
    } rows[] = {
        {"alive", w->is_alive},        {"reports", w->beats},
        {"capacity", b->capacity},     {"used", b->used},
        {"pages", w->pages},           {"page_bytes", w->bytes},
        {"reads", b->reads},           {"hits", b->hits},
        {"misses", b->misses},         {"bytes_served", b->bytes_served},
        {"ufs_bytes", b->ufs_bytes},   {"ufs_reads", b->ufs_reads},
        {"evictions", b->evictions},   {"corrupt", b->corrupt},
        {"errors", b->errors},         {"handed_out", b->handed_out},
        {"held_bytes", b->held_bytes},
    };
    rpc_text_line(s, "workers.%u.id %016llx", n, (unsigned long long)w->id.v);
    rpc_text_line(s, "workers.%u.addr %s", n, w->addr);
    rpc_text_line(s, "workers.%u.host %s", n, w->host);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
        rpc_text_line(s, "workers.%u.%s %llu", n, rows[i].key, (unsigned long long)rows[i].v);
}

static void status_workers(struct master *m, struct rpc_text *s)
{
    uint64_t alive = 0, capacity = 0, used = 0, hits = 0, misses = 0, ufs = 0, served = 0,
             handed = 0, to_free = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n_workers; i++) {
        const struct master_worker *w = &m->workers[i];
        if (!w->id.v)
            continue;
        n++;
        alive += w->is_alive;
        capacity += w->is_alive ? w->last.capacity : 0;
        used += w->is_alive ? w->last.used : 0;
        hits += w->last.hits;
        misses += w->last.misses;
        ufs += w->last.ufs_bytes;
        served += w->last.bytes_served;
        handed += w->last.handed_out;
        to_free += w->is_alive ? master_member_to_free(w) : 0;
    }
    rpc_text_u64(s, "workers.count", n);
    rpc_text_u64(s, "workers.alive", alive);
    rpc_text_u64(s, "workers.version", m->workers_version);
    rpc_text_u64(s, "total.capacity", capacity);
    rpc_text_u64(s, "total.used", used);
    rpc_text_u64(s, "total.hits", hits);
    rpc_text_u64(s, "total.misses", misses);
    rpc_text_u64(s, "total.ufs_bytes", ufs);
    rpc_text_u64(s, "total.bytes_served", served);
    rpc_text_u64(s, "total.handed_out", handed);
    rpc_text_u64(s, "total.to_free", to_free);
    n = 0;
    for (uint32_t i = 0; i < m->n_workers; i++)
        if (m->workers[i].id.v)
            status_worker(&m->workers[i], n++, s);
}

size_t master_status_text(struct master *m, char *to, size_t cap)
{
    static const char *const states[] = {"starting", "standby", "serving", "failed", "stopped"};
    struct rpc_text s = rpc_text_make(to, cap);
    rpc_text_line(&s, "state %s", states[m->state]);
    rpc_text_line(&s, "role %s", m->is_leading ? "leader" : "standby");
    rpc_text_u64(&s, "epoch", m->epoch);
    rpc_text_line(&s, "why %s", m->why ? err_name(m->why) : "-");
    rpc_text_line(&s, "listen %s", m->cfg.listen);
    status_journal(m, &s);
    master_settings_text(m, &s);
    if (!m->is_loading)
        status_meta(m, &s);
    status_requests(m, &s);
    if (!m->is_loading)
        status_mounts(m, &s);
    status_workers(m, &s);
    rpc_text_calls(&s, &m->rpc);
    return rpc_text_end(&s);
}

void master_status_reply(struct master *m, struct rpc_token t)
{
    rpc_reply(t, 0, m->out, (uint32_t)master_status_text(m, (char *)m->out, RPC_BODY_MAX));
}
