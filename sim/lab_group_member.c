/* sim/lab_group_member.c - a master's process: a journal, and registers on it.
 *
 * A state image is the struct group_state, the ballast in pieces of random sizes, and a hash of all
 * that; it is cut into a copy, so that it shows if a journal mixed two. */
#include "sim/lab_group_impl.h"

struct member_line { /* a connection that somebody made to this master */
    struct env_peer peer;
    struct member *m;
    uint32_t requests; /* that will be answered on it */
};

struct member_request {
    struct env_op op;
    struct member_line *line;
    struct group_request q;
    uint64_t ticket;
};

struct member_image { /* being cut, or being loaded */
    struct group_state state;
    uint64_t *ballast;
    uint32_t at; /* bytes so far */
    uint64_t hash;
    bool open;
};

struct member {
    struct group_node *n;
    struct env *env;
    struct mem *mem;
    struct journal *journal;
    struct journal_host host;
    struct env_acceptor acceptor;
    struct env_op listen_op;
    enum journal_role role;
    uint64_t epoch, last_done;
    struct group_state st;
    uint64_t *ballast;
    uint32_t n_ballast; /* words */
    struct member_image out, in;
    uint32_t waiting;
    struct group_feeder *feeder; /* NULL: none */
    struct env_op elect_op;
    bool electing;
};

static struct member *member_of(struct journal_host *h)
{
    return container_of(h, struct member, host);
}

/* ---- the state ---- */

bool lab_group_record(struct lab_group *g, uint64_t index, const void *rec, uint32_t len,
                      struct group_record *ret_r)
{
    const uint8_t *bytes = rec;
    if (len < GROUP_HEAD)
        return false;
    if (!g->known)
        g->known = mem_zalloc(g->mem, GROUP_KNOWN * sizeof *g->known);
    ASSERT(g->known != NULL);
    uint64_t ticket = base_get_u64(bytes), digest = sim_digest(bytes, len);
    struct group_record *k = &g->known[ticket % GROUP_KNOWN];
    if (k->index != index || k->ticket != ticket || k->digest != digest || k->len != len) {
        if (base_hash(bytes + GROUP_HEAD, len - GROUP_HEAD, 0) != base_get_u64(bytes + 56))
            return false;
        *k = (struct group_record){NULL, len, index, ticket, digest, base_hash(bytes, len, index)};
    }
    *ret_r = *k;
    ret_r->bytes = bytes;
    return true;
}

bool lab_group_state_apply(struct group_state *st, const struct group_record *r, uint64_t *ballast,
                           uint32_t n_ballast)
{
    const uint8_t *rec = r->bytes;
    uint64_t client = base_get_u64(rec + 8), seq = base_get_u64(rec + 16);
    uint64_t verb = base_get_u64(rec + 24), key = base_get_u64(rec + 32);
    uint64_t a = base_get_u64(rec + 40), b = base_get_u64(rec + 48);
    ASSERT(client < GROUP_CLIENTS && key < GROUP_KEYS);
    struct group_session *s = &st->session[client];
    st->applied = r->index;
    st->chain = base_mix_u64(st->chain ^ r->link);
    if (n_ballast) {
        uint64_t at = base_mix_u64(st->chain) % n_ballast;
        st->ballast_sum -= base_mix_u64(ballast[at] + at);
        ballast[at] = st->chain;
        st->ballast_sum += base_mix_u64(ballast[at] + at);
    }
    if (seq <= s->seq)
        return false;
    bool did = verb == GROUP_WRITE || st->value[key] == a;
    if (did)
        st->value[key] = verb == GROUP_WRITE ? a : b;
    *s = (struct group_session){seq, r->index, st->value[key], did};
    return true;
}

static uint64_t member_ballast_sum(const uint64_t *ballast, uint32_t n)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += base_mix_u64(ballast[i] + i);
    return sum;
}

static void member_empty(struct member *m)
{
    memset(&m->st, 0, sizeof m->st);
    if (m->n_ballast)
        memset(m->ballast, 0, m->n_ballast * sizeof *m->ballast);
    m->st.ballast_sum = member_ballast_sum(m->ballast, m->n_ballast);
}

/* ---- what the journal calls ---- */

static void member_apply(struct journal_host *h, uint64_t index, const void *rec, uint32_t len)
{
    struct member *m = member_of(h);
    const struct lab_scenario_journal *j = &m->n->g->s.journal;
    uint64_t before = m->st.applied;
    struct group_record r;
    sim_node_spend(m->n->node, j->apply_ns + (int64_t)len * j->apply_byte_ps / 1000);
    if (!lab_group_record(m->n->g, index, rec, len, &r)) {
        lab_group_fail(m->n->g, LAB_GROUP_LOG, "%s: record %llu is none that was submitted",
                       sim_node_name(m->n->node), (unsigned long long)index);
        return;
    }
    lab_group_state_apply(&m->st, &r, m->ballast, m->n_ballast);
    lab_group_check_apply(m->n, &r, before, &m->st);
}

static void member_role(struct journal_host *h, enum journal_role role, uint64_t epoch, int why)
{
    struct member *m = member_of(h);
    m->role = role;
    m->epoch = epoch;
    lab_group_check_role(m->n, role, epoch, why, m->st.applied);
    if (role == JOURNAL_LEADER)
        m->n->g->rests = false;
    lab_group_feed_role(m->feeder, role == JOURNAL_LEADER);
    /* who never gets further has nothing to give back: the operator replaces it */
    m->n->corrupt = role != JOURNAL_FAILED ? 0 : m->n->corrupt + (why == E_CORRUPT);
    m->n->lost |= m->n->erred && m->n->corrupt > 1;
    if (role == JOURNAL_FAILED)
        lab_group_exit(m->n);
}

static void member_image_begin(struct journal_host *h)
{
    struct member *m = member_of(h);
    m->n->g->stats.images_cut++;
    m->out.state = m->st;
    if (m->n_ballast)
        memcpy(m->out.ballast, m->ballast, m->n_ballast * sizeof *m->ballast);
    m->out.at = 0;
    m->out.hash = 0;
    m->out.open = true;
}

static uint32_t member_image_bytes(const struct member *m)
{
    return (uint32_t)(sizeof m->st + m->n_ballast * sizeof *m->ballast);
}

static uint32_t member_image_next(struct journal_host *h, void *buf, uint32_t cap)
{
    struct member *m = member_of(h);
    struct member_image *i = &m->out;
    uint32_t all = member_image_bytes(m), n;
    if (cap < JOURNAL_PIECE_MIN || !i->open)
        lab_group_fail(m->n->g, LAB_GROUP_STRUCTURE, "%s: a piece of %u bytes of an image%s",
                       sim_node_name(m->n->node), cap, i->open ? "" : " that was not begun");
    if (i->at > all)
        return 0;
    if (i->at == all) {
        base_put_u64(buf, i->hash);
        i->at++;
        return 8;
    }
    if (i->at < sizeof i->state) {
        n = sizeof i->state;
        memcpy(buf, &i->state, n);
    } else {
        n = all - i->at;
        uint32_t some = 1 + (uint32_t)(env_random(m->env) % cap);
        n = n < some ? n : some;
        memcpy(buf, (const uint8_t *)i->ballast + (i->at - sizeof i->state), n);
    }
    i->hash = base_hash(buf, n, i->hash);
    i->at += n;
    return n;
}

static void member_image_end(struct journal_host *h)
{
    member_of(h)->out.open = false;
}

static int member_image_done(struct member *m)
{
    struct member_image *i = &m->in;
    bool ok = i->open && i->at == member_image_bytes(m) + 1;
    i->open = false;
    i->at = 0;
    if (!ok || i->state.ballast_sum != member_ballast_sum(i->ballast, m->n_ballast)) {
        lab_group_fail(m->n->g, LAB_GROUP_LOG, "%s: an image that is none was loaded",
                       sim_node_name(m->n->node));
        return E_PROTO;
    }
    m->st = i->state;
    if (m->n_ballast)
        memcpy(m->ballast, i->ballast, m->n_ballast * sizeof *m->ballast);
    m->n->g->stats.images_loaded++;
    lab_group_check_image(m->n, &m->st);
    return 0;
}

static int member_image_load(struct journal_host *h, const void *piece, uint32_t len)
{
    struct member *m = member_of(h);
    struct member_image *i = &m->in;
    uint32_t all = member_image_bytes(m);
    if (len == 0)
        return member_image_done(m);
    if (i->at == 0) {
        if (len != sizeof i->state)
            return E_PROTO;
        memcpy(&i->state, piece, len);
        i->open = true;
        i->hash = 0;
    } else if (i->at == all) {
        if (len != 8 || base_get_u64(piece) != i->hash)
            return E_PROTO;
        i->at++;
        return 0;
    } else if (len > all - i->at) {
        return E_PROTO;
    } else {
        memcpy((uint8_t *)i->ballast + (i->at - sizeof i->state), piece, len);
    }
    i->hash = base_hash(piece, len, i->hash);
    i->at += len;
    return 0;
}

static void member_image_reset(struct journal_host *h)
{
    struct member *m = member_of(h);
    m->in.open = false;
    m->in.at = 0;
    member_empty(m);
}

/* ---- requests ---- */

static void member_line_put(struct member_line *l)
{
    if (!l->peer.conn && !l->requests)
        mem_free(l->m->mem, l, sizeof *l);
}

/* who leads, as it knows: a status is long, and is not asked for at each answer of the leader */
static uint32_t member_leader(const struct member *m)
{
    struct journal_status s;
    if (m->role == JOURNAL_LEADER)
        return m->n->id;
    journal_status(m->journal, &s);
    return s.leader;
}

static void member_answer(struct member_request *r, int64_t err, struct group_answer *a)
{
    struct member_line *l = r->line;
    struct member *m = l->m;
    a->id = r->q.id;
    a->err = err;
    a->is_leader = m->role == JOURNAL_LEADER;
    a->leader = member_leader(m);
    if (l->peer.conn) {
        struct env_iov iov = {a, sizeof *a};
        env_send(l->peer.conn, GROUP_ANSWER, &iov, 1);
    }
    mem_free(m->mem, r, sizeof *r);
    m->waiting--;
    l->requests--;
    member_line_put(l);
}

int lab_group_member_done(struct member *m, uint64_t ticket, int64_t ret)
{
    if (ret > 0) {
        if ((uint64_t)ret <= m->last_done)
            lab_group_fail(m->n->g, LAB_GROUP_LOG, "%s: answers %lld after %llu",
                           sim_node_name(m->n->node), (long long)ret,
                           (unsigned long long)m->last_done);
        m->last_done = (uint64_t)ret;
        lab_group_check_done(m->n, m->epoch, ticket, (uint64_t)ret, m->st.applied);
        return 0;
    }
    if (ret == 0 || (!err_is_retry((int)ret) && ret != E_NOSPC))
        lab_group_fail(m->n->g, LAB_GROUP_STRUCTURE, "%s: a submit ends with %s",
                       sim_node_name(m->n->node), ret ? err_name((int)ret) : "0");
    return ret ? (int)ret : E_STALE;
}

static void member_written(struct env_op *op)
{
    struct member_request *r = container_of(op, struct member_request, op);
    struct member *m = r->line->m;
    const struct group_session *s = &m->st.session[r->q.client];
    struct group_answer a = {0};
    int64_t err = lab_group_member_done(m, r->ticket, op->ret);
    if (err == 0 && s->seq != r->q.seq)
        err = E_STALE;
    if (err == 0) {
        a.index = s->index;
        a.value = s->value;
        a.did = s->did;
    }
    member_answer(r, err, &a);
}

uint64_t lab_group_member_submit(struct member *m, const struct group_request *q, struct env_op *op)
{
    static uint8_t rec[JOURNAL_RECORD_MAX];
    const struct lab_scenario_journal *j = &m->n->g->s.journal;
    uint32_t filling = (uint32_t)q->filling;
    uint64_t words[8] = {++m->n->g->tickets, q->client, q->seq, q->verb, q->key, q->a, q->b, 0};
    ASSERT(GROUP_HEAD + filling <= JOURNAL_RECORD_MAX);
    for (uint32_t i = 0; i < filling; i++)
        rec[GROUP_HEAD + i] = (uint8_t)(words[0] + i);
    words[7] = base_hash(rec + GROUP_HEAD, filling, 0);
    memcpy(rec, words, sizeof words);
    sim_node_spend(m->n->node,
                   j->submit_ns + (int64_t)(GROUP_HEAD + filling) * j->submit_byte_ps / 1000);
    journal_submit(m->journal, rec, GROUP_HEAD + filling, op);
    return words[0];
}

static void member_status_into(struct member *m, struct group_answer *a)
{
    struct journal_status s;
    journal_status(m->journal, &s);
    a->is_changing = s.is_changing;
    a->n = s.n;
    for (uint32_t i = 0; i < s.n && i < JOURNAL_MEMBERS_MAX; i++) {
        const struct journal_member *x = &s.member[i];
        a->member[i] = (uint64_t)x->id << 8 | (x->votes ? GROUP_VOTES : 0) |
                       (x->leads ? GROUP_LEADS : 0) | (x->joins ? GROUP_JOINS : 0) |
                       (x->leaving ? GROUP_LEAVING : 0);
    }
}

static void member_read(struct env_op *op)
{
    struct member_request *r = container_of(op, struct member_request, op);
    struct member *m = r->line->m;
    struct group_answer a = {0};
    if (op->ret == 0 && r->q.verb == GROUP_STATUS)
        member_status_into(m, &a);
    a.index = m->st.applied;
    a.value = m->st.value[r->q.key];
    if (op->ret > 0 || (op->ret < 0 && !err_is_retry((int)op->ret)))
        lab_group_fail(m->n->g, LAB_GROUP_STRUCTURE, "%s: a barrier ends with %s",
                       sim_node_name(m->n->node), err_name((int)op->ret));
    member_answer(r, op->ret, &a);
}

static void member_changed(struct env_op *op)
{
    struct member_request *r = container_of(op, struct member_request, op);
    struct group_answer a = {0};
    member_answer(r, op->ret < 0 ? op->ret : 0, &a);
}

static void member_change(struct member *m, struct member_request *r)
{
    const struct group_request *q = &r->q;
    struct journal_change c = {.verb = (enum journal_verb)q->seq,
                               .id = (uint32_t)q->key,
                               .new_id = (uint32_t)q->a,
                               .priority = (uint8_t)q->a,
                               .addr = q->addr[0] ? q->addr : NULL};
    int64_t left_ns = q->until_ns - group_now_ns(m->n->g);
    r->op.done = member_changed;
    if (!m->journal->vt->change || left_ns <= 0) {
        r->op.ret = left_ns <= 0 ? E_TIMEOUT : E_NOTSUP;
        env_post(m->env, &r->op);
        return;
    }
    journal_change(m->journal, &c, env_now_ns(m->env) + left_ns, &r->op);
}

static void member_request(struct member_line *l, const void *b, uint32_t n)
{
    struct member *m = l->m;
    struct member_request *r = mem_zalloc(m->mem, sizeof *r);
    ASSERT(r && n == sizeof r->q);
    memcpy(&r->q, b, n);
    r->line = l;
    l->requests++;
    m->waiting++;
    switch ((enum group_verb)r->q.verb) {
    case GROUP_WRITE:
    case GROUP_CAS:
        r->op.done = member_written;
        r->ticket = lab_group_member_submit(m, &r->q, &r->op);
        break;
    case GROUP_READ:
    case GROUP_STATUS:
        r->op.done = member_read;
        journal_barrier(m->journal, &r->op);
        break;
    case GROUP_CHANGE:
        member_change(m, r);
        break;
    case GROUP_IMAGE:
        r->op.done = member_changed;
        journal_image_now(m->journal, &r->op);
        break;
    }
}

static void member_on_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    struct member_line *l = container_of(p, struct member_line, peer);
    struct member *m = l->m;
    if (type < JOURNAL_FRAME_MIN) {
        member_request(l, b, n);
        return;
    }
    struct env_conn *conn = p->conn;
    struct env_peer *to = journal_accept(m->journal, "?");
    if (!to) {
        env_hangup(conn);
    } else {
        env_adopt(conn, to);
        to->on_frame(to, type, b, n);
    }
    mem_free(m->mem, l, sizeof *l);
}

static void member_on_close(struct env_peer *p, int why)
{
    (void)why;
    member_line_put(container_of(p, struct member_line, peer));
}

static struct env_peer *member_on_open(struct env_acceptor *a, const char *from)
{
    struct member *m = container_of(a, struct member, acceptor);
    struct member_line *l = mem_zalloc(m->mem, sizeof *l);
    (void)from;
    if (!l)
        return NULL;
    l->m = m;
    l->peer.on_frame = member_on_frame;
    l->peer.on_close = member_on_close;
    return &l->peer;
}

/* ---- life ---- */

static void member_listening(struct env_op *op)
{
    ASSERT(op->ret == 0);
}

static struct journal_config member_config(const struct group_node *n)
{
    const struct lab_scenario *s = &n->g->s;
    struct journal_config c = journal_config_default();
    c.dir = "journal";
    c.segment_bytes = s->segment_bytes;
    c.image_after_bytes = s->image_after_bytes;
    c.cluster_hi = n->joins ? 0 : 0x7461726e; /* who joins takes the cluster's that calls it */
    c.cluster_lo = n->joins ? 0 : 1;
    c.raft.id = n->id;
    c.raft.members = n->founder ? n->g->members : NULL;
    c.raft.join = n->joins;
    c.raft.heartbeat_ns = s->journal.heartbeat_ns;
    c.raft.promise_ns = s->journal.promise_ns;
    c.raft.suspect_min_ns = s->journal.suspect_min_ns;
    c.raft.suspect_max_ns = s->journal.suspect_max_ns;
    c.raft.drift_ppm = lab_scenario_belief_ppm(s);
    c.raft.keep_entries = s->journal.keep_entries;
    c.raft.watch = n->watch;
    return c;
}

struct member *lab_group_member_open(struct env *e, struct mem *mem, struct group_node *n)
{
    struct member *m = mem_zalloc(mem, sizeof *m);
    struct journal_config c = member_config(n);
    ASSERT(m != NULL);
    if (n->watch)
        lab_raft_starts(n->watch);
    m->n = n;
    m->env = e;
    m->mem = mem;
    m->n_ballast = n->g->s.journal.ballast_bytes / sizeof *m->ballast;
    size_t bytes = m->n_ballast * sizeof *m->ballast;
    if (bytes) {
        m->ballast = mem_alloc(mem, bytes);
        m->out.ballast = mem_alloc(mem, bytes);
        m->in.ballast = mem_alloc(mem, bytes);
        ASSERT(m->ballast && m->out.ballast && m->in.ballast);
    }
    member_empty(m);
    m->host = (struct journal_host){.apply = member_apply,
                                    .role = member_role,
                                    .image_begin = member_image_begin,
                                    .image_next = member_image_next,
                                    .image_end = member_image_end,
                                    .image_load = member_image_load,
                                    .image_reset = member_image_reset};
    m->journal = n->g->zk               ? lab_group_zk_journal(n, e, mem, &c, &m->host)
                 : n->g->s.journal.raft ? raft_open(e, mem, &c, &m->host)
                                        : local_open(e, mem, &c, &m->host);
    if (!m->journal) {
        lab_group_fail(n->g, LAB_GROUP_STRUCTURE, "%s: the journal does not open",
                       sim_node_name(n->node));
        return NULL;
    }
    m->feeder = lab_group_feed_open(m, mem, n);
    m->acceptor.on_open = member_on_open;
    m->listen_op.done = member_listening;
    env_listen(e, n->addr, &m->acceptor, &m->listen_op);
    return m;
}

bool lab_group_member_leads(const struct member *m, uint64_t *ret_epoch)
{
    *ret_epoch = m->epoch;
    return m->role == JOURNAL_LEADER;
}

const struct group_state *lab_group_member_state(const struct member *m)
{
    return &m->st;
}

bool lab_group_member_trusts(struct member *m, uint64_t index)
{
    struct journal_status s;
    if (m->role != JOURNAL_LEADER)
        return false;
    journal_status(m->journal, &s);
    return s.committed < index && env_clock_ns(m->env) < s.lease_until_ns;
}

static void member_elected(struct env_op *op)
{
    container_of(op, struct member, elect_op)->electing = false;
}

void lab_group_member_elect(struct member *m, uint32_t id)
{
    struct journal_change c = {.verb = JOURNAL_ELECT, .id = id};
    if (m->electing || !m->journal->vt->change)
        return;
    m->electing = true;
    m->elect_op.done = member_elected;
    journal_change(m->journal, &c, env_now_ns(m->env) + 1000 * GROUP_MS, &m->elect_op);
}

bool lab_group_member_is_damaged(struct member *m)
{
    struct journal_status s;
    journal_status(m->journal, &s);
    return s.repairing || s.role == JOURNAL_STARTING; /* who still reads its disk may find that */
}

uint32_t lab_group_member_waiting(const struct member *m)
{
    return m->waiting + lab_group_feed_waiting(m->feeder);
}
