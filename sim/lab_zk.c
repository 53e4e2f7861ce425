/* sim/lab_zk.c - the ensemble of sim/lab_zk.h: who leads and who follows.
 *
 *            enough that look can hear each other, for as long as an election takes
 *   LOOKING ---------------------------------------> LEADING, FOLLOWING
 *      |  ^                                                 |
 *      |  +--- the leader is gone or silent; a leader has no quorum
 *      +--- there is a leader: after a while ---> FOLLOWING
 *
 * Votes are compared as in ZAB: the last epoch taken part in, then how much is logged, then the
 * number.  Who leads an epoch has had a quorum of that epoch, so of every other quorum somebody
 * knows of it, and of all that was committed in it.
 *
 * What is decided here is decided outside every node, of those only that have run lately: a server
 * that is paused takes part in nothing.  That one's time is over it sees in its own turn only. */
#include "core/fmt.h"
#include "sim/lab_zk_impl.h"

static const int64_t ms = 1000000;

struct lab_zk_config lab_zk_config_default(uint32_t servers, uint64_t seed)
{
    return (struct lab_zk_config){.seed = seed,
                                  .servers = servers,
                                  .name = "z",
                                  .tick_ns = 2000 * ms,
                                  .sync_ticks = 5,
                                  .hop_min_ns = 50000,
                                  .hop_mean_ns = 150000,
                                  .log_min_ns = 200000,
                                  .log_mean_ns = 1000000,
                                  .lag_ppm = 10000,
                                  .lag_mean_ns = 20 * ms,
                                  .election_min_ns = 200 * ms,
                                  .election_mean_ns = 260 * ms,
                                  .join_min_ns = 20 * ms,
                                  .join_mean_ns = 60 * ms,
                                  .slow_ppm = 0,
                                  .slow_mean_ns = 100 * ms,
                                  .conns = 256,
                                  .watches = 8192,
                                  .bounds = {.nodes = 65536, .sessions = 4096, .bytes = 16 << 20}};
}

int64_t lab_zk_draw_ns(struct lab_zk *z, int64_t min_ns, int64_t mean_ns)
{
    return min_ns + (mean_ns > min_ns ? prng_exp(&z->prng, mean_ns - min_ns) : 0);
}

bool lab_zk_is_up(const struct lab_zk_place *p)
{
    return p->boot && sim_node_is_up(p->node) && sim_node_incarnation(p->node) == p->boot;
}

bool lab_zk_reach(const struct lab_zk *z, uint32_t i, uint32_t j)
{
    struct sim_node *a = z->place[i].node, *b = z->place[j].node;
    return i == j || ((z->split >> i & 1) == (z->split >> j & 1) && sim_net_passes(a, b) &&
                      sim_net_passes(b, a));
}

/* has run not long ago */
static bool is_fresh(const struct lab_zk_place *p)
{
    return lab_zk_is_up(p) && sim_now_ns(p->z->sim) - p->beat_ns <= p->z->cfg.tick_ns;
}

static int64_t silence_ns(const struct lab_zk *z)
{
    return z->cfg.sync_ticks * z->cfg.tick_ns;
}

/* ---- what servers see of each other ---- */

/* it follows p, as far as p could know if it heard of it now */
static bool is_follower_of(const struct lab_zk_place *f, const struct lab_zk_place *p)
{
    return lab_zk_is_up(f) && f->role == LAB_ZK_FOLLOWING && f->leader == p->index &&
           f->epoch == p->epoch;
}

static bool is_leader_of(const struct lab_zk_place *l, const struct lab_zk_place *p)
{
    return lab_zk_is_up(l) && l->role == LAB_ZK_LEADING && l->epoch == p->epoch;
}

static void hear(struct lab_zk_place *p)
{
    for (uint32_t i = 0; i < p->z->cfg.servers; i++) {
        const struct lab_zk_place *o = &p->z->place[i];
        if (i == p->index || !lab_zk_reach(p->z, i, p->index))
            continue; /* nothing new */
        bool there = p->role == LAB_ZK_LEADING ? is_follower_of(o, p) : is_leader_of(o, p);
        if (there && o->beat_ns > p->heard_ns[i])
            p->heard_ns[i] = o->beat_ns;
        else if (!there)
            p->heard_ns[i] = INT64_MIN / 2; /* its connection was closed */
    }
}

static bool is_over(const struct lab_zk_place *p)
{
    const struct lab_zk *z = p->z;
    int64_t since = sim_now_ns(z->sim) - silence_ns(z);
    uint32_t n = 1;
    if (p->is_deposed)
        return true;
    if (p->role == LAB_ZK_FOLLOWING)
        return p->heard_ns[p->leader] < since || (p->epoch == z->epoch && !p->is_attached);
    for (uint32_t i = 0; i < z->cfg.servers; i++)
        n += i != p->index && p->heard_ns[i] >= since;
    return n < lab_zk_quorum(z);
}

void lab_zk_look(struct lab_zk_place *p)
{
    struct lab_zk *z = p->z;
    p->role = LAB_ZK_LOOKING;
    p->is_attached = p->is_deposed = false;
    p->links++;
    p->join_ns = 0;
    lab_zk_inbox_drop(p);
    if (z->leader == (int32_t)p->index)
        z->leader = -1;
    lab_zk_conns_doom(p->proc, 0, NULL);
}

void lab_zk_review(struct lab_zk_place *p)
{
    if (lab_zk_serves(p) && is_over(p))
        lab_zk_look(p);
}

/* ---- who takes part ---- */

/* a follower from now on, with what the leader has */
static void attach(struct lab_zk_place *p, struct lab_zk_place *l)
{
    struct lab_zk *z = p->z;
    int64_t now = sim_now_ns(z->sim);
    if (p->applied != l->applied) {
        lab_zk_tree_copy(&p->tree, &l->tree);
        z->stats.copies++;
    }
    p->applied = p->logged = p->committed = l->applied;
    p->epoch = l->epoch;
    p->leader = l->index;
    p->role = LAB_ZK_FOLLOWING;
    p->is_attached = true;
    p->links++;
    p->join_ns = 0;
    p->heard_ns[l->index] = now;
    l->heard_ns[p->index] = now;
    l->acked[p->index] = p->logged;
    lab_zk_log_feed(l, p);
}

/* whoever has most of the log: what is in none of the log's entries any more is in some tree */
static void catch_up(struct lab_zk_place *p)
{
    struct lab_zk *z = p->z;
    const struct lab_zk_place *most = p;
    for (uint32_t i = 0; i < z->cfg.servers; i++)
        if (z->place[i].applied > most->applied)
            most = &z->place[i];
    if (p->applied < z->log_first) {
        ASSERT(most->applied >= z->log_first && most->applied <= z->log_end);
        lab_zk_tree_copy(&p->tree, &most->tree);
        p->applied = most->applied;
        z->stats.copies++;
    }
    lab_zk_log_apply(p, z->log_end);
}

/* p leads those of the mask */
static void establish(struct lab_zk_place *p, uint32_t mask)
{
    struct lab_zk *z = p->z;
    ASSERT((uint32_t)__builtin_popcount(mask) >= lab_zk_quorum(z));
    z->epoch++;
    z->counter = 0;
    lab_zk_log_cut(z, p->logged);
    for (uint32_t i = 0; i < z->cfg.servers; i++) {
        struct lab_zk_place *o = &z->place[i];
        ASSERT(o->applied <= z->log_end); /* what was committed is never lost */
        o->is_attached = false;
        if (o->logged > z->log_end)
            o->logged = z->log_end;
        p->heard_ns[i] = INT64_MIN / 2;
        p->acked[i] = 0;
    }
    z->committed = z->log_end;
    catch_up(p);
    p->committed = p->acked[p->index] = p->logged = z->log_end;
    p->epoch = z->epoch;
    p->leader = p->index;
    p->role = LAB_ZK_LEADING;
    p->is_attached = true;
    p->join_ns = 0;
    z->leader = (int32_t)p->index;
    z->stats.elections++;
    lab_zk_sessions_arm(p);
    for (uint32_t i = 0; i < z->cfg.servers; i++)
        if (mask >> i & 1 && i != p->index)
            attach(&z->place[i], p);
}

static bool is_less(const struct lab_zk_place *a, const struct lab_zk_place *b)
{
    if (a->epoch != b->epoch)
        return a->epoch < b->epoch;
    return a->logged != b->logged ? a->logged < b->logged : a->index < b->index;
}

/* those that look, hear c, and vote for it */
static uint32_t votes_for(const struct lab_zk *z, const struct lab_zk_place *c)
{
    uint32_t mask = 0;
    for (uint32_t i = 0; i < z->cfg.servers; i++) {
        const struct lab_zk_place *o = &z->place[i];
        if (o->role == LAB_ZK_LOOKING && is_fresh(o) && lab_zk_reach(z, i, c->index) &&
            !is_less(c, o))
            mask |= 1u << i;
    }
    return mask >> c->index & 1 ? mask : 0;
}

/* a leader that p can join; NULL: there is none */
static struct lab_zk_place *leader_for(struct lab_zk *z, const struct lab_zk_place *p)
{
    struct lab_zk_place *l = z->leader < 0 ? NULL : &z->place[z->leader];
    bool ok = l && l->role == LAB_ZK_LEADING && is_fresh(l) && lab_zk_reach(z, p->index, l->index);
    return ok && !is_over(l) ? l : NULL;
}

static void elect(struct lab_zk *z)
{
    int64_t now = sim_now_ns(z->sim);
    struct lab_zk_place *best = NULL;
    for (uint32_t i = 0; i < z->cfg.servers; i++) {
        struct lab_zk_place *p = &z->place[i];
        if (p->role != LAB_ZK_LOOKING || !is_fresh(p) || leader_for(z, p))
            continue;
        uint32_t votes = (uint32_t)__builtin_popcount(votes_for(z, p));
        if (votes >= lab_zk_quorum(z) && (!best || is_less(best, p)))
            best = p;
    }
    if (!best)
        z->election_ns = 0;
    else if (!z->election_ns)
        z->election_ns = now + lab_zk_draw_ns(z, z->cfg.election_min_ns, z->cfg.election_mean_ns);
    else if (now >= z->election_ns) {
        z->election_ns = 0;
        establish(best, votes_for(z, best));
    }
}

static void join(struct lab_zk_place *p)
{
    struct lab_zk *z = p->z;
    struct lab_zk_place *l = leader_for(z, p);
    int64_t now = sim_now_ns(z->sim);
    if (p->role != LAB_ZK_LOOKING || !is_fresh(p) || !l)
        p->join_ns = 0;
    else if (!p->join_ns)
        p->join_ns = now + lab_zk_draw_ns(z, z->cfg.join_min_ns, z->cfg.join_mean_ns);
    else if (now >= p->join_ns)
        attach(p, l);
}

/* who is silent, or left, holds up neither commits nor the log */
static void detach_lost(struct lab_zk *z)
{
    const struct lab_zk_place *l = z->leader < 0 ? NULL : &z->place[z->leader];
    for (uint32_t i = 0; i < z->cfg.servers; i++) {
        struct lab_zk_place *p = &z->place[i];
        if (p->is_attached && l && p != l && l->heard_ns[i] < sim_now_ns(z->sim) - silence_ns(z))
            p->is_attached = false;
    }
}

static void poll(struct env_op *op)
{
    struct lab_zk *z = container_of(op, struct lab_zk, poll);
    for (uint32_t i = 0; i < z->cfg.servers; i++) {
        struct lab_zk_place *p = &z->place[i];
        if (p->role != LAB_ZK_DOWN && !lab_zk_is_up(p)) {
            p->role = LAB_ZK_DOWN;
            p->is_attached = false;
            lab_zk_inbox_drop(p);
            if (z->leader == (int32_t)i)
                z->leader = -1;
        }
    }
    lab_zk_lanes_deliver(z);
    for (uint32_t i = 0; i < z->cfg.servers; i++)
        if (lab_zk_serves(&z->place[i]))
            hear(&z->place[i]);
    detach_lost(z);
    elect(z);
    for (uint32_t i = 0; i < z->cfg.servers; i++) {
        struct lab_zk_place *p = &z->place[i];
        if (p->role == LAB_ZK_LOOKING)
            join(p);
        else if (p->role == LAB_ZK_FOLLOWING && is_over(p))
            lab_zk_wake(p); /* a leader looks at its next tick */
    }
    sim_at(z->sim, sim_now_ns(z->sim) + LAB_ZK_POLL_NS, &z->poll);
}

/* ---- for who uses it ---- */

struct lab_zk *lab_zk_open(struct mem *m, struct sim *s, const struct lab_zk_config *cfg)
{
    struct lab_zk *z = mem_zalloc(m, sizeof *z);
    ASSERT(z != NULL && cfg->servers >= 1 && cfg->servers <= LAB_ZK_SERVERS);
    z->mem = m;
    z->sim = s;
    z->cfg = *cfg;
    z->leader = -1;
    prng_seed(&z->prng, cfg->seed, "zookeeper", 0);
    z->secret = prng_u64(&z->prng);
    for (uint32_t i = 0; i < cfg->servers; i++) {
        struct lab_zk_place *p = &z->place[i];
        p->z = z;
        p->index = i;
        fmt_into(p->name, sizeof p->name, "%s%u", cfg->name, i + 1);
        p->node = sim_node_add(s, p->name);
        lab_zk_tree_init(&p->tree, m, &cfg->bounds);
        p->tree.on_event = lab_zk_watch_event;
        p->tree.ctx = p;
        list_init(&p->inbox);
        for (uint32_t j = 0; j < cfg->servers; j++)
            for (uint32_t k = 0; k < 2; k++)
                list_init(&z->lane[k][i][j].msgs);
    }
    z->poll.done = poll;
    sim_at(s, sim_now_ns(s) + LAB_ZK_POLL_NS, &z->poll);
    return z;
}

struct sim_node *lab_zk_node(struct lab_zk *z, uint32_t i)
{
    ASSERT(i < z->cfg.servers);
    return z->place[i].node;
}

void lab_zk_start(struct lab_zk *z, uint32_t i)
{
    struct lab_zk_place *p = &z->place[i];
    p->is_attached = p->is_deposed = false;
    if (z->leader == (int32_t)i)
        z->leader = -1;
    lab_zk_inbox_drop(p);
    sim_node_start(p->node, lab_zk_boot, p);
}

void lab_zk_start_all(struct lab_zk *z)
{
    for (uint32_t i = 0; i < z->cfg.servers; i++)
        lab_zk_start(z, i);
}

void lab_zk_connect_string(const struct lab_zk *z, char *buf, size_t cap)
{
    size_t at = 0;
    for (uint32_t i = 0; i < z->cfg.servers; i++)
        at += fmt_into(buf + at, cap - at, "%s%s:%u", i ? "," : "", z->place[i].name,
                       (unsigned)LAB_ZK_PORT);
}

void lab_zk_vary(struct lab_zk *z, uint64_t seed)
{
    prng_seed(&z->prng, seed, "zookeeper", 0);
}

void lab_zk_split(struct lab_zk *z, uint32_t mask)
{
    z->split = mask;
}

void lab_zk_lag(struct lab_zk *z, uint32_t i, int64_t ns)
{
    z->place[i].lag_ns = ns;
}

bool lab_zk_slow(struct lab_zk *z, int64_t session, int64_t ns)
{
    bool found = false;
    for (uint32_t i = 0; i < z->cfg.servers; i++) {
        if (!lab_zk_is_up(&z->place[i]))
            continue;
        list_each(l, &z->place[i].proc->conns) {
            struct lab_zk_conn *c = list_entry(l, struct lab_zk_conn, link);
            if (c->session != session || c->is_doomed)
                continue;
            c->slow_ns = ns;
            found = true;
        }
    }
    return found;
}

bool lab_zk_depose(struct lab_zk *z)
{
    struct lab_zk_place *p = z->leader < 0 ? NULL : &z->place[z->leader];
    if (!p || !lab_zk_is_up(p) || z->cfg.servers == 1)
        return false;
    p->is_deposed = true;
    p->is_attached = false; /* takes nothing any more, until it sees it */
    z->leader = -1;
    lab_zk_wake(p);
    return true;
}

bool lab_zk_expire(struct lab_zk *z, int64_t session)
{
    struct lab_zk_place *p = z->leader < 0 ? NULL : &z->place[z->leader];
    struct lab_zk_session *s = p ? lab_zk_tree_session(&p->tree, session) : NULL;
    if (!s || s->is_closing)
        return false;
    s->expires_ns = INT64_MIN;
    return true;
}

bool lab_zk_keep(struct lab_zk *z)
{
    if (z->leader < 0)
        return false;
    if (!z->has_kept)
        lab_zk_tree_init(&z->kept, z->mem, &z->cfg.bounds);
    lab_zk_tree_copy(&z->kept, &z->place[z->leader].tree);
    z->kept_epoch = z->epoch;
    return z->has_kept = true;
}

void lab_zk_lose(struct lab_zk *z, bool to_kept)
{
    ASSERT(!to_kept || z->has_kept);
    lab_zk_log_drop(z);
    z->leader = -1;
    z->election_ns = 0;
    z->counter = 0;
    z->epoch = to_kept ? z->kept_epoch : 0;
    for (uint32_t i = 0; i < z->cfg.servers; i++) {
        struct lab_zk_place *p = &z->place[i];
        ASSERT(!lab_zk_is_up(p));
        lab_zk_inbox_drop(p);
        lab_zk_tree_drop(&p->tree);
        lab_zk_tree_init(&p->tree, z->mem, &z->cfg.bounds);
        p->tree.on_event = lab_zk_watch_event;
        p->tree.ctx = p;
        if (to_kept)
            lab_zk_tree_copy(&p->tree, &z->kept);
        p->role = LAB_ZK_DOWN;
        p->is_attached = false;
        p->links++;
        p->epoch = z->epoch;
        p->applied = p->logged = p->committed = z->log_end;
    }
}

bool lab_zk_set(struct lab_zk *z, const char *path, const char *text)
{
    struct lab_zk_place *p = z->leader < 0 ? NULL : &z->place[z->leader];
    struct zk_request q = {.op = ZK_OP_SET_DATA, .version = -1};
    uint8_t b[256];
    struct wbuf w = wbuf_make(b, sizeof b);
    q.path = path;
    q.path_len = (uint32_t)strlen(path);
    q.data = text;
    q.data_len = (uint32_t)strlen(text);
    if (!p || !lab_zk_is_up(p) || z->wish)
        return false;
    if (!lab_zk_tree_find(&p->tree, path, q.path_len)) {
        q.op = ZK_OP_CREATE;
        q.acl = zk_proto_acl_open;
    }
    zk_proto_request_put(&w, &q);
    ASSERT(!w.bad);
    z->wish = lab_zk_entry_new(z, LAB_ZK_CHANGE, 0, NULL, 0, b + 4, (uint32_t)w.len - 4);
    lab_zk_wake(p);
    return true;
}

enum lab_zk_role lab_zk_role(const struct lab_zk *z, uint32_t i)
{
    return lab_zk_is_up(&z->place[i]) ? z->place[i].role : LAB_ZK_DOWN;
}

int32_t lab_zk_leader(const struct lab_zk *z)
{
    return z->leader;
}

uint32_t lab_zk_epoch(const struct lab_zk *z)
{
    return z->epoch;
}

const struct lab_zk_tree *lab_zk_tree(const struct lab_zk *z, uint32_t i)
{
    return &z->place[i].tree;
}

const struct lab_zk_stats *lab_zk_stats(const struct lab_zk *z)
{
    return &z->stats;
}

bool lab_zk_check(const struct lab_zk *z, char *why, size_t cap)
{
    for (uint32_t i = 0; i < z->cfg.servers; i++) {
        const struct lab_zk_place *p = &z->place[i];
        if (!lab_zk_tree_check(&p->tree)) {
            fmt_into(why, cap, "%s: its tree is broken", p->name);
            return false;
        }
        if (p->applied > z->committed || p->applied > p->logged) {
            fmt_into(why, cap, "%s: applied %llu, of %llu logged and %llu committed", p->name,
                     (unsigned long long)p->applied, (unsigned long long)p->logged,
                     (unsigned long long)z->committed);
            return false;
        }
        for (uint32_t j = 0; j < i; j++)
            if (z->place[j].applied == p->applied &&
                lab_zk_tree_hash(&z->place[j].tree) != lab_zk_tree_hash(&p->tree)) {
                fmt_into(why, cap, "%s and %s have applied the same and are not the same",
                         z->place[j].name, p->name);
                return false;
            }
    }
    return true;
}
