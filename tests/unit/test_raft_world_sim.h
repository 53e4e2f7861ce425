/* tests/unit/test_raft_world_sim.h - a group of journals in the simulated world, each with a host
 * that only adds up what it applies.
 *
 * Always checked: every member applies the same bytes at an index; indices ascend; one leader for
 * each epoch; an answered submit is applied at the index that it was told. */
#ifndef TESTS_UNIT_TEST_RAFT_WORLD_SIM_H
#define TESTS_UNIT_TEST_RAFT_WORLD_SIM_H

#include "core/fmt.h"
#include "journal/journal.h"
#include "sim/sim.h"
#include "tests/unit/unit.h"

enum { GANG_MAX = 7, GANG_RECORDS = 1 << 16, GANG_OPS = 256 };
#define GANG_MS 1000000LL

struct gang;

struct gang_member {
    struct gang *g;
    uint32_t id;
    struct sim_node *node;
    struct journal *j;
    struct journal_host host;
    struct env_acceptor acceptor;
    struct env_op listen_op;
    char addr[32];
    enum journal_role role;
    uint64_t epoch, applied, sum, n_applied;
    int why;
    uint64_t out_applied, out_sum, out_n; /* of the image being cut */
    uint32_t out_left;
    uint64_t in[3];
    bool in_open;
    uint32_t roles;  /* how often it was told one */
    uint32_t resets; /* images that it took over, or that were bad */
    bool join, found, wiped;
    bool knows_cluster; /* which it is to join */
    bool is_busy;       /* with what a successor might do, too */
    bool is_held;       /* asked to begin nothing more of it */
    uint32_t asks;      /* how often */
};

struct gang_op {
    struct env_op op;
    struct gang *g;
    struct gang_member *on;
    uint64_t value;
    bool busy, done;
};

struct gang {
    struct mem mem;
    struct sim *s;
    uint32_t n;
    struct gang_member m[GANG_MAX];
    struct journal_config cfg;
    char members[512];
    uint64_t value_at[GANG_RECORDS]; /* what was applied at an index, by anybody */
    uint32_t leader_of[4096];        /* by epoch */
    uint64_t acked[GANG_RECORDS];
    uint32_t n_acked, n_refused;
    uint64_t next_value;
    struct gang_op ops[GANG_OPS];
    uint32_t ballast; /* pieces of an image */
    bool bad;
    char last_error[1024];
    uint32_t n_stalls; /* members that said so of their disks */
};

#define GANG_EXPECT(g, cond)                                                                       \
    do {                                                                                           \
        if (!(cond) && !(g)->bad) {                                                                \
            (g)->bad = true;                                                                       \
            fprintf(stderr, "expectation failed at line %d, %lld ms: %s\n  error: %s\n", __LINE__, \
                    (long long)(sim_now_ns((g)->s) / GANG_MS), #cond, (g)->last_error);            \
        }                                                                                          \
    } while (0)

static struct gang_member *gang_of(struct journal_host *h)
{
    return container_of(h, struct gang_member, host);
}

static void gang_apply(struct journal_host *h, uint64_t index, const void *rec, uint32_t len)
{
    struct gang_member *m = gang_of(h);
    struct gang *g = m->g;
    GANG_EXPECT(g, index > m->applied && index < GANG_RECORDS && len >= 8);
    if (g->bad)
        return;
    uint64_t v = base_get_u64(rec);
    GANG_EXPECT(g, g->value_at[index] == 0 || g->value_at[index] == v);
    g->value_at[index] = v;
    m->applied = index;
    m->sum = base_mix_u64(m->sum ^ v);
    m->n_applied++;
}

static void gang_role(struct journal_host *h, enum journal_role role, uint64_t epoch, int why)
{
    struct gang_member *m = gang_of(h);
    m->role = role;
    m->why = why;
    m->roles++;
    if (role != JOURNAL_LEADER)
        return;
    GANG_EXPECT(m->g, epoch < 4096 && (!m->g->leader_of[epoch] || m->g->leader_of[epoch] == m->id));
    m->g->leader_of[epoch % 4096] = m->id;
    m->epoch = epoch;
}

static void gang_image_begin(struct journal_host *h)
{
    struct gang_member *m = gang_of(h);
    m->out_applied = m->applied;
    m->out_sum = m->sum;
    m->out_n = m->n_applied;
    m->out_left = 1 + m->g->ballast;
}

static uint32_t gang_image_next(struct journal_host *h, void *buf, uint32_t cap)
{
    struct gang_member *m = gang_of(h);
    uint64_t head[3] = {m->out_applied, m->out_sum, m->out_n};
    uint32_t n = m->out_left == m->g->ballast + 1 ? sizeof head : JOURNAL_PIECE_MIN;
    if (m->out_left == 0)
        return 0;
    m->out_left--;
    (void)cap;
    memset(buf, (int)m->out_left, n);
    if (n == sizeof head)
        memcpy(buf, head, n);
    return n;
}

static void gang_image_end(struct journal_host *h)
{
    (void)h;
}

static int gang_image_load(struct journal_host *h, const void *piece, uint32_t len)
{
    struct gang_member *m = gang_of(h);
    if (len == 0) {
        GANG_EXPECT(m->g, m->in_open);
        m->applied = m->in[0];
        m->sum = m->in[1];
        m->n_applied = m->in[2];
        m->in_open = false;
    } else if (!m->in_open) {
        GANG_EXPECT(m->g, len == sizeof m->in);
        memcpy(m->in, piece, sizeof m->in);
        m->in_open = true;
    }
    return 0;
}

static void gang_image_reset(struct journal_host *h)
{
    struct gang_member *m = gang_of(h);
    m->applied = m->sum = m->n_applied = 0;
    m->in_open = false;
    m->resets++;
}

static bool gang_hold(struct journal_host *h, bool is_on)
{
    struct gang_member *m = gang_of(h);
    m->is_held = is_on;
    m->asks += is_on;
    return !m->is_busy;
}

static struct env_peer *gang_open_conn(struct env_acceptor *a, const char *from)
{
    struct gang_member *m = container_of(a, struct gang_member, acceptor);
    return m->j ? journal_accept(m->j, from) : NULL;
}

static void gang_log(void *ctx, int64_t at_ns, struct sim_node *n, enum env_log level,
                     const char *line)
{
    struct gang *g = ctx;
    if (getenv("WORLD_LOG"))
        fprintf(stderr, "%10.3f ms %s [%d] %s\n", (double)at_ns / 1e6, n ? sim_node_name(n) : "-",
                (int)level, line);
    g->n_stalls += strstr(line, "the disk stalls") != NULL;
    if (level == ENV_LOG_ERROR)
        fmt_into(g->last_error, sizeof g->last_error, "%s", line);
}

static void gang_listened(struct env_op *op)
{
    (void)op;
}

static void gang_start(struct gang *g, uint32_t i)
{
    struct gang_member *m = &g->m[i];
    struct env *e = sim_node_up(m->node);
    struct journal_config c = g->cfg;
    c.raft.id = m->id;
    c.raft.members = m->found ? g->members : NULL;
    c.raft.join = m->join;
    if (m->join && !m->knows_cluster)
        c.cluster_hi = c.cluster_lo = 0;
    m->host = (struct journal_host){.apply = gang_apply,
                                    .role = gang_role,
                                    .image_begin = gang_image_begin,
                                    .image_next = gang_image_next,
                                    .image_end = gang_image_end,
                                    .image_load = gang_image_load,
                                    .image_reset = gang_image_reset,
                                    .hold = gang_hold};
    m->role = JOURNAL_STARTING;
    m->applied = m->sum = m->n_applied = m->epoch = 0;
    m->in_open = m->is_busy = m->is_held = false;
    m->acceptor.on_open = gang_open_conn;
    m->listen_op.done = gang_listened;
    m->j = raft_open(e, sim_mem(m->node), &c, &m->host);
    CU_ASSERT_FATAL(m->j != NULL);
    env_listen(e, m->addr, &m->acceptor, &m->listen_op);
}

static UNUSED void gang_crash(struct gang *g, uint32_t i, bool power)
{
    if (power)
        sim_node_power_loss(g->m[i].node);
    else
        sim_node_crash(g->m[i].node);
    g->m[i].j = NULL;
    g->m[i].role = JOURNAL_STARTING;
    for (uint32_t k = 0; k < GANG_OPS; k++) /* they die with their process */
        if (g->ops[k].on == &g->m[i])
            g->ops[k].busy = false;
}

static void gang_add(struct gang *g)
{
    struct gang_member *m = &g->m[g->n];
    char name[16];
    m->g = g;
    m->id = ++g->n;
    fmt_into(name, sizeof name, "m%u", m->id);
    fmt_into(m->addr, sizeof m->addr, "%s:1", name);
    m->node = sim_node_add(g->s, name);
}

static struct gang *gang_new(const struct sim_config *sc, uint32_t n)
{
    struct gang *g = calloc(1, sizeof *g);
    struct sim_config c = *sc;
    unit_mem(&g->mem, 2ull << 30);
    c.on_log = gang_log;
    c.log_ctx = g;
    g->s = sim_open(&g->mem, &c);
    g->cfg = journal_config_default();
    g->cfg.segment_bytes = 1 << 20;
    g->cfg.cluster_hi = 7;
    g->cfg.cluster_lo = 8;
    for (uint32_t i = 0; i < n; i++) {
        gang_add(g);
        g->m[i].found = true;
        size_t at = strlen(g->members);
        fmt_into(g->members + at, sizeof g->members - at, "%s%u@%s", at ? "," : "", g->m[i].id,
                 g->m[i].addr);
    }
    return g;
}

static void gang_free(struct gang *g)
{
    CU_ASSERT(!g->bad);
    sim_close(g->s);
    mem_drop(&g->mem);
    free(g);
}

static void gang_run(struct gang *g, int64_t ms)
{
    sim_run_until(g->s, sim_now_ns(g->s) + ms * GANG_MS);
}

/* the one who leads in the highest epoch, or NULL */
static struct gang_member *gang_leader(struct gang *g)
{
    struct gang_member *best = NULL;
    for (uint32_t i = 0; i < g->n; i++)
        if (g->m[i].j && g->m[i].role == JOURNAL_LEADER && (!best || g->m[i].epoch > best->epoch))
            best = &g->m[i];
    return best;
}

static struct gang_member *gang_await_leader(struct gang *g, int64_t ms)
{
    for (int64_t end = sim_now_ns(g->s) + ms * GANG_MS; sim_now_ns(g->s) < end; gang_run(g, 1))
        if (gang_leader(g))
            return gang_leader(g);
    return gang_leader(g);
}

static void gang_op_done(struct env_op *op)
{
    struct gang_op *o = container_of(op, struct gang_op, op);
    struct gang *g = o->g;
    o->busy = false;
    o->done = true;
    if (op->ret <= 0) {
        g->n_refused++;
        return;
    }
    GANG_EXPECT(g, g->value_at[op->ret] == o->value);
    g->acked[g->n_acked++] = (uint64_t)op->ret;
}

/* false: nobody leads or all places are taken */
static bool gang_submit(struct gang *g, uint32_t len)
{
    static uint8_t rec[JOURNAL_RECORD_MAX];
    struct gang_member *m = gang_leader(g);
    for (uint32_t i = 0; m && i < GANG_OPS; i++) {
        struct gang_op *o = &g->ops[i];
        if (o->busy)
            continue;
        o->op.done = gang_op_done;
        o->g = g;
        o->busy = true;
        o->on = m;
        o->value = ++g->next_value;
        memset(rec, (int)o->value, len);
        base_put_u64(rec, o->value);
        journal_submit(m->j, rec, len, &o->op);
        return true;
    }
    return false;
}

/* n records, one after the other in batches; true: all were acknowledged */
static bool gang_write(struct gang *g, uint32_t n, uint32_t len)
{
    uint32_t want = g->n_acked + n;
    for (int64_t end = sim_now_ns(g->s) + 60000 * GANG_MS;
         g->n_acked < want && sim_now_ns(g->s) < end;) {
        uint32_t busy = 0;
        for (uint32_t i = 0; i < GANG_OPS; i++)
            busy += g->ops[i].busy;
        while (g->n_acked + busy < want && busy < GANG_OPS && gang_submit(g, len))
            busy++;
        gang_run(g, 1);
    }
    return g->n_acked >= want;
}

/* has everybody who runs applied everything? */
static bool gang_equal(struct gang *g)
{
    struct gang_member *l = gang_leader(g);
    for (uint32_t i = 0; l && i < g->n; i++)
        if (g->m[i].j && (g->m[i].sum != l->sum || g->m[i].n_applied != l->n_applied))
            return false;
    return l;
}

static UNUSED bool gang_await_equal(struct gang *g, int64_t ms)
{
    for (int64_t end = sim_now_ns(g->s) + ms * GANG_MS; sim_now_ns(g->s) < end; gang_run(g, 5))
        if (gang_equal(g))
            return true;
    return false;
}

/* new_id: of JOURNAL_PRIORITY the priority */
static UNUSED int64_t gang_change(struct gang *g, enum journal_verb verb, uint32_t id,
                                  uint32_t new_id, const char *addr)
{
    static struct gang_op o;
    struct gang_member *m = gang_leader(g);
    struct journal_change c = {.verb = verb, .id = id, .new_id = new_id, .addr = addr};
    if (verb == JOURNAL_PRIORITY)
        c.priority = (uint8_t)new_id;
    o = (struct gang_op){.op = {.done = gang_op_done}, .g = g, .busy = true};
    if (!m)
        return E_UNAVAILABLE;
    journal_change(m->j, &c, env_now_ns(sim_env(m->node)) + 20000 * GANG_MS, &o.op);
    for (int i = 0; i < 30000 && !o.done; i++)
        gang_run(g, 1);
    return o.done ? o.op.ret : E_TIMEOUT;
}

#endif
