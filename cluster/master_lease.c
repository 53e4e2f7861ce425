/* cluster/master_lease.c - sessions, what they may have cached, and how it is taken back.
 *
 * INVARIANTS
 *  1. What a session was given is remembered as a hold (ino, session) until it acknowledged an
 *     invalidation, ended, or its lease ran out and it was told to drop everything.  Without room
 *     for a hold the answer carries no lease.
 *  2. One RPC_INVALIDATE is under way per session; what comes meanwhile is collected for the next.
 *     Numbers rise, so "acknowledged up to" is one number: a mutation waits for a session while
 *     that has anything unacknowledged that is not younger than the mutation.  A hold that an
 *     invalidation ends lives until that is acknowledged, so that the next mutation waits as well.
 *  3. A lease that ran out with something unacknowledged makes the session void: it is not renewed
 *     before it has surely lapsed, and then with another epoch, on which the client drops
 *     everything. So the loss of an invalidation costs at most one lease, and no stale answer.
 *  4. A lease is not prolonged past an invalidation that stays unanswered for a second.
 *  5. A new leader does not know what its predecessor gave out.  It tells every session of that
 *     time, at its first beat, to drop everything (DIR of inode 0); mutations are answered when all
 *     of them have acknowledged that, or after one full lease.  So the grace ends early only when
 *     nobody can use an old answer any more.  Lengths of leases are taken to be the same on both
 *     sides of a change of leader: who shortens lease_ns waits for the old one by hand.
 *  6. A session's writers are closed, with what the under-store says, before the session is.  Once
 *     that has begun the session ends, however long it takes and whoever is heard of again.  Of a
 *     predecessor's beginnings a leader knows nothing: clients open what they write anew after a
 *     change of epoch (client_file.c).
 *
 * The client measures its lease from when it sent the beat, the master from when it got it, plus a
 * sixteenth for clocks that run apart: the client's ends first. */
#include "cluster/master_impl.h"
#include "core/mutant.h"
#include "core/sometimes.h"

static void lease_flush(struct master_session *s);

static int64_t lease_margin(const struct master *m)
{
    if (MUTANT(LEASE_SLACK_SKIPPED))
        return 0;
    return m->cfg.lease_ns / 16;
}

/* A session ends when nobody has heard of it for session_ns; not before a write that it began at
 * the end of its lease is over (client_piece.c): until then its files are LIVE. */
static int64_t lease_session_ns(const struct master *m)
{
    int64_t least = m->cfg.lease_ns + lease_margin(m) + RPC_WRITE_VALID_MS * MASTER_MS * 9 / 8;
    return m->cfg.session_ns > least ? m->cfg.session_ns : least;
}

/* --- holds --- */

static struct master_hold *lease_hold(const struct master *m, uint32_t at)
{
    return &m->holds[at / MASTER_HOLDS_CHUNK][at % MASTER_HOLDS_CHUNK];
}

/* a free place, or 0 */
static uint32_t lease_new_hold(struct master *m)
{
    uint32_t at = m->hold_free;
    if (at) {
        m->hold_free = lease_hold(m, at)->next;
        return at;
    }
    if (m->holds_high == m->n_holds)
        return 0;
    struct master_hold **chunk = &m->holds[m->holds_high / MASTER_HOLDS_CHUNK];
    if (!*chunk)
        *chunk = mem_zalloc(m->mem, sizeof **chunk * MASTER_HOLDS_CHUNK);
    return *chunk ? m->holds_high++ : 0;
}

static uint32_t *lease_bucket(struct master *m, struct ino ino)
{
    return &m->hold_hash[base_mix_u64(ino.v) & (m->hold_buckets - 1)];
}

static uint32_t *lease_list(struct master *m, const struct master_hold *h)
{
    struct master_session *s = &m->sessions[h->session];
    return h->doom ? &s->doomed : &s->holds;
}

static void lease_link(struct master *m, uint32_t at)
{
    struct master_hold *h = lease_hold(m, at);
    uint32_t *first = lease_list(m, h);
    h->session_prev = 0;
    h->session_next = *first;
    if (*first)
        lease_hold(m, *first)->session_prev = at;
    *first = at;
}

static void lease_unlink(struct master *m, uint32_t at)
{
    struct master_hold *h = lease_hold(m, at);
    if (h->session_prev)
        lease_hold(m, h->session_prev)->session_next = h->session_next;
    else
        *lease_list(m, h) = h->session_next;
    if (h->session_next)
        lease_hold(m, h->session_next)->session_prev = h->session_prev;
}

/* ends with the invalidation of that number; 0: it stays */
static void lease_doom(struct master *m, uint32_t at, uint64_t no)
{
    if (lease_hold(m, at)->doom == no)
        return;
    lease_unlink(m, at);
    lease_hold(m, at)->doom = no;
    lease_link(m, at);
}

static void lease_drop(struct master *m, uint32_t at)
{
    struct master_hold *h = lease_hold(m, at);
    if (h->prev)
        lease_hold(m, h->prev)->next = h->next;
    else
        *lease_bucket(m, h->ino) = h->next;
    if (h->next)
        lease_hold(m, h->next)->prev = h->prev;
    lease_unlink(m, at);
    memset(h, 0, sizeof *h);
    h->next = m->hold_free;
    m->hold_free = at;
    m->holds_used--;
}

bool master_lease_give(struct master *m, struct session_id id, struct ino ino)
{
    struct master_session *s = master_lease_find(m, id);
    if (!s || s->is_void || s->is_expiring)
        return false;
    uint32_t slot = (uint32_t)(s - m->sessions), *bucket = lease_bucket(m, ino);
    for (uint32_t at = *bucket; at; at = lease_hold(m, at)->next)
        if (lease_hold(m, at)->ino.v == ino.v && lease_hold(m, at)->session == slot) {
            lease_doom(m, at, 0);
            return true;
        }
    uint32_t at = lease_new_hold(m);
    if (!at)
        return false;
    struct master_hold *h = lease_hold(m, at);
    m->holds_used++;
    *h = (struct master_hold){.ino = ino, .next = *bucket, .session = slot};
    if (*bucket)
        lease_hold(m, *bucket)->prev = at;
    *bucket = at;
    lease_link(m, at);
    return true;
}

/* --- sessions --- */

struct master_session *master_lease_find(struct master *m, struct session_id id)
{
    if (!id.v)
        return NULL;
    list_each(it, &m->session_hash[base_mix_u64(id.v) & (m->session_buckets - 1)]) {
        struct master_session *s = list_entry(it, struct master_session, by_id);
        if (s->id.v == id.v)
            return s;
    }
    return NULL;
}

static void lease_drop_all(struct master_session *s)
{
    while (s->holds)
        lease_drop(s->m, s->holds);
    while (s->doomed)
        lease_drop(s->m, s->doomed);
    rpc_cancel(&s->inval_call);
    s->is_calling = s->is_clearing = false;
    s->sending_len = s->building_len = 0;
}

static void lease_free(struct master_session *s)
{
    struct master *m = s->m;
    lease_drop_all(s);
    rpc_cancel(&s->holds_call);
    if (s->is_asked) {
        m->asked_left--;
        s->is_asked = false;
    }
    m->sessions_unbeaten -= !s->has_beaten;
    mem_free(m->mem, s->sending, MASTER_INVAL_BYTES);
    mem_free(m->mem, s->building, MASTER_INVAL_BYTES);
    list_remove(&s->by_id);
    list_remove(&s->told);
    memset(s, 0, sizeof *s);
    m->sessions_used--;
}

static struct master_session *lease_new(struct master *m, struct session_id id)
{
    for (uint32_t i = 1; i < m->n_sessions; i++) {
        struct master_session *s = &m->sessions[i];
        if (s->id.v)
            continue;
        s->id = id;
        s->m = m;
        s->beat_ns = env_now_ns(m->env);
        list_init(&s->told);
        m->sessions_used++;
        list_push_back(&m->session_hash[base_mix_u64(id.v) & (m->session_buckets - 1)], &s->by_id);
        return s;
    }
    return NULL;
}

void master_lease_begin(struct master *m)
{
    struct session_id id = {0};
    master_lease_reset(m);
    while ((id = meta_session_next(m->meta, id)).v)
        if (lease_new(m, id))
            m->sessions_unbeaten++;
    m->orphan_at_ns = env_now_ns(m->env);
    m->orphan_wait_ns = 1000 * MASTER_MS;
    m->settled_ns = 0;
}

/* may somebody still use what an earlier leadership gave? */
static bool lease_is_grace(const struct master *m)
{
    return m->sessions_unbeaten &&
           env_now_ns(m->env) < m->led_since_ns + m->cfg.lease_ns + lease_margin(m);
}

void master_lease_reset(struct master *m)
{
    for (uint32_t i = 1; i < m->n_sessions; i++)
        if (m->sessions[i].id.v)
            lease_free(&m->sessions[i]);
    m->is_asking = false;
    m->asked_left = 0;
    m->orphan_after.v = 0;
}

/* Also who asks for nothing now must look for the next leader, which answers no change before it
 * has heard of everybody: an end of the connection is what all of them notice. */
void master_lease_hang_up(struct master *m)
{
    for (uint32_t i = 1; i < m->n_sessions && m->is_group; i++) {
        struct rpc_conn *c = m->sessions[i].id.v ? rpc_token_conn(m->sessions[i].token) : NULL;
        if (c)
            rpc_hangup(c);
    }
}

void master_lease_opened(struct master *m, struct session_id id, struct rpc_token t)
{
    struct master_session *s = master_lease_find(m, id);
    if (!s)
        s = lease_new(m, id);
    if (s && !s->has_beaten) {
        s->has_beaten = true;
        s->token = t;
    }
}

void master_lease_closed(struct master *m, struct session_id id)
{
    master_append_session_gone(m, id);
    struct master_session *s = master_lease_find(m, id);
    if (s)
        lease_free(s);
}

bool master_lease_is_heard(struct master *m, struct session_id id, struct rpc_token t)
{
    const struct master_session *s = master_lease_find(m, id);
    const struct rpc_conn *now = s ? rpc_token_conn(s->token) : NULL;
    return rpc_token_conn(t) && (!now || s->token.conn_serial <= t.conn_serial);
}

void master_lease_seen(struct master *m, struct session_id id, struct rpc_token t)
{
    struct master_session *s = master_lease_find(m, id);
    if (!s)
        return;
    bool is_other = s->token.conn != t.conn || s->token.conn_serial != t.conn_serial;
    s->beat_ns = env_now_ns(m->env);
    if (!master_lease_is_heard(m, id, t))
        return;
    s->token = t;
    if (is_other)
        lease_flush(s);
}

void master_lease_conn_closed(struct master *m, struct rpc_conn *c)
{
    for (uint32_t i = 1; i < m->n_sessions; i++)
        if (m->sessions[i].id.v && m->sessions[i].token.conn == c)
            memset(&m->sessions[i].token, 0, sizeof m->sessions[i].token);
}

int64_t master_lease_left_ns(struct master *m, struct session_id id)
{
    struct master_session *s = master_lease_find(m, id);
    if (!s || s->is_void || s->is_expiring)
        return 0;
    int64_t left = s->lease_until_ns - lease_margin(m) - env_now_ns(m->env);
    return left > 0 ? left : 0;
}

/* --- invalidations --- */

/* the session did not drop something in time: see invariant 3 */
static void lease_lapse(struct master_session *s)
{
    s->is_void = true;
    lease_drop_all(s);
}

int64_t master_lease_over_ns(struct master *m, struct session_id id)
{
    const struct master_session *s = master_lease_find(m, id);
    if (!s)
        return INT64_MIN;
    int64_t until_ns = s->lease_until_ns;
    if (!s->has_beaten) /* of a predecessor's lease nothing is known */
        until_ns = m->led_since_ns + m->cfg.lease_ns + lease_margin(m);
    return until_ns + RPC_WRITE_VALID_MS * MASTER_MS * 9 / 8;
}

bool master_lease_is_over(struct master *m, struct session_id id)
{
    struct master_session *s = master_lease_find(m, id);
    if (env_now_ns(m->env) < master_lease_over_ns(m, id))
        return false;
    if (s)
        lease_lapse(s); /* its next lease comes with another epoch */
    return true;
}

static bool lease_has_pending(const struct master_session *s)
{
    return s->sending_len || s->building_len;
}

/* it may still use what it was told to drop, or could not be told */
static bool lease_is_behind(const struct master_session *s)
{
    return lease_has_pending(s) || s->is_void;
}

static void lease_acked(struct master_session *s, uint64_t no)
{
    struct master *m = s->m;
    for (uint32_t at = s->doomed, next; at; at = next) {
        next = lease_hold(m, at)->session_next;
        if (lease_hold(m, at)->doom <= no)
            lease_drop(m, at);
    }
    if (s->is_clearing && s->clear_no <= no) {
        s->is_clearing = false;
        s->has_beaten = true;
        m->sessions_unbeaten--;
    }
    for (struct list *it = m->acking.next, *next; it != &m->acking; it = next) {
        struct master_req *r = list_entry(it, struct master_req, link);
        next = it->next;
        if (!master_lease_must_wait(m, r))
            master_rpc_wake(r);
    }
}

static void lease_inval_done(struct env_op *op)
{
    struct rpc_call *call = container_of(op, struct rpc_call, op);
    struct master_session *s = container_of(call, struct master_session, inval_call);
    s->is_calling = false;
    if (op->ret < 0)
        SOMETIMES(MASTER_INVAL_LOST);
    if (op->ret < 0 && !MUTANT(INVAL_LOST))
        return; /* sent again on its next connection, or at the next tick */
    s->sending_len = 0;
    uint64_t no = s->sending_last;
    lease_flush(s);
    lease_acked(s, no);
}

static void lease_flush(struct master_session *s)
{
    struct rpc_conn *c = rpc_token_conn(s->token);
    if (s->is_calling || !c || s->is_void)
        return;
    if (!s->sending_len && s->building_len) {
        uint8_t *p = s->sending;
        s->sending = s->building;
        s->building = p;
        s->sending_len = s->building_len;
        s->sending_first = s->building_first;
        s->sending_last = s->building_last;
        s->sending_since_ns = env_now_ns(s->m->env);
        s->building_len = 0;
    }
    if (!s->sending_len)
        return;
    s->is_calling = true;
    s->inval_call.op.done = lease_inval_done;
    s->m->n.invalidations++;
    rpc_call(c, RPC_INVALIDATE, s->sending, s->sending_len, env_now_ns(s->m->env) + MASTER_CALL_NS,
             &s->inval_call);
}

/* numbered m->inval_no; without room the session becomes void */
static void lease_tell(struct master_session *s, const struct rpc_inval *i)
{
    struct master *m = s->m;
    if (s->is_void)
        return;
    if (!s->building)
        s->building = mem_alloc(m->mem, MASTER_INVAL_BYTES);
    struct wbuf w = wbuf_make(s->building, s->building ? MASTER_INVAL_BYTES : 0);
    w.len = s->building_len;
    rpc_format_inval_put(&w, i);
    if (w.bad) {
        s->is_void = true; /* the lease, and who waits for it, run on until it lapses */
        rpc_cancel(&s->inval_call);
        s->is_calling = false;
        return;
    }
    if (!s->building_len)
        s->building_first = m->inval_no;
    s->building_len = (uint32_t)w.len;
    s->building_last = m->inval_no;
    if (!list_linked(&s->told))
        list_push_back(&m->told, &s->told);
}

/* Whoever asked for the change drops what it named itself.  It need not know which inode a name
 * stood for that it removed or replaced. */
static bool lease_knows(const struct meta_change *c, const struct meta_result *res,
                        const struct master_req *r)
{
    return c->kind != META_CHANGE_ATTR || c->ino.v == res->reply.attr.ino.v ||
           (r && c->ino.v == r->op.ino.v);
}

static void lease_change(struct master *m, const struct meta_change *c,
                         const struct meta_result *res, struct master_req *r)
{
    struct session_id by = lease_knows(c, res, r) ? res->session : (struct session_id){0};
    struct rpc_inval i = {.ino = c->ino, .kind = RPC_INVAL_ATTR};
    if (c->kind == META_CHANGE_ENTRY) {
        i.kind = RPC_INVAL_ENTRY;
        i.name = c->name;
        i.name_len = c->name_len;
    } else if (c->kind == META_CHANGE_DATA) {
        i.kind = RPC_INVAL_DATA;
    } else if (c->kind == META_CHANGE_DIR) {
        i.kind = RPC_INVAL_DIR;
    }
    bool is_all = c->kind == META_CHANGE_DATA || c->kind == META_CHANGE_DIR;
    for (uint32_t at = *lease_bucket(m, c->ino), next; at; at = next) {
        struct master_hold *h = lease_hold(m, at);
        struct master_session *s = &m->sessions[h->session];
        next = h->next;
        if (h->ino.v != c->ino.v || s->id.v == by.v)
            continue;
        if (r)
            r->acks[h->session / 64] |= 1ULL << h->session % 64;
        if (!h->doom) { /* else it was told to drop all of it, and has not asked since */
            lease_tell(s, &i);
            if (is_all && !s->is_void)
                lease_doom(m, at, m->inval_no);
        }
        if (h->doom == m->inval_no) {
            s->told_no = m->inval_no;
            s->told_of = c->ino;
        }
    }
}

/* Who writes a file has ends of its own writes in mind, whether or not it has asked for anything
 * since it was last told. */
static void lease_tell_writers(struct master *m, const struct meta_change *c, struct session_id by,
                               struct master_req *r)
{
    struct rpc_inval i = {.ino = c->ino, .kind = RPC_INVAL_DATA};
    struct session_id id;
    for (uint32_t at = 0; (id = meta_file_writer_each(m->meta, c->ino, &at)).v;) {
        struct master_session *s = id.v == by.v ? NULL : master_lease_find(m, id);
        uint32_t slot = s ? (uint32_t)(s - m->sessions) : 0;
        if (!s || (s->told_no == m->inval_no && s->told_of.v == c->ino.v))
            continue; /* it held the file, so it knows already */
        if (r)
            r->acks[slot / 64] |= 1ULL << slot % 64;
        lease_tell(s, &i);
    }
}

void master_lease_changed(struct master *m, const struct meta_result *res, struct master_req *r)
{
    m->inval_no++;
    for (unsigned i = 0; i < res->n_changes; i++) {
        lease_change(m, &res->changes[i], res, r);
        if (res->changes[i].kind == META_CHANGE_DATA)
            lease_tell_writers(m, &res->changes[i], res->session, r);
    }
    if (r)
        r->inval = m->inval_no;
    struct list *e;
    while ((e = list_pop(&m->told)))
        lease_flush(list_entry(e, struct master_session, told));
}

void master_lease_unchanged(struct master *m, struct master_req *r)
{
    r->inval = m->inval_no;
    for (uint32_t at = *lease_bucket(m, r->op.ino); at; at = lease_hold(m, at)->next) {
        const struct master_hold *h = lease_hold(m, at);
        const struct master_session *s = &m->sessions[h->session];
        if (h->ino.v == r->op.ino.v && s->id.v != r->op.session.v && lease_is_behind(s))
            r->acks[h->session / 64] |= 1ULL << h->session % 64;
    }
}

void master_lease_repeated(struct master *m, struct master_req *r)
{
    r->inval = m->inval_no;
    for (uint32_t i = 1; i < m->n_sessions; i++) {
        const struct master_session *s = &m->sessions[i];
        if (s->id.v && s->id.v != r->op.session.v && lease_is_behind(s))
            r->acks[i / 64] |= 1ULL << i % 64;
    }
}

bool master_lease_must_wait(const struct master *m, const struct master_req *r)
{
    int64_t now = env_now_ns(m->env);
    if (r->reply.err || r->op.kind == FSOP_SESSION_OPEN || MUTANT(ACKS_NOT_AWAITED))
        return false;
    if (lease_is_grace(m) && !MUTANT(GRACE_SKIPPED))
        return true;
    for (uint32_t w = 0; w < m->ack_words; w++)
        for (uint64_t bits = r->acks[w]; bits; bits &= bits - 1) {
            const struct master_session *s = &m->sessions[w * 64 + (uint32_t)__builtin_ctzll(bits)];
            bool is_old = (s->sending_len && s->sending_first <= r->inval) ||
                          (s->building_len && s->building_first <= r->inval) || s->is_void;
            if (s->id.v && is_old && now < s->lease_until_ns) {
                SOMETIMES(MASTER_ACK_WAITED);
                return true;
            }
        }
    return false;
}

/* room for new holds: the oldest places are asked to be given up */
static void lease_evict(struct master *m)
{
    if (m->holds_used < m->n_holds - m->n_holds / 8)
        return;
    m->inval_no++;
    for (unsigned n = 0; n < 256; n++) {
        m->hold_hand = m->hold_hand + 1 < m->holds_high ? m->hold_hand + 1 : 1;
        struct master_hold *h = lease_hold(m, m->hold_hand);
        struct fsattr a;
        if (!h->ino.v || h->doom || m->sessions[h->session].is_void ||
            m->sessions[h->session].building_len > MASTER_INVAL_BYTES / 2)
            continue;
        bool is_dir =
            master_load_attr(m, h->ino, &a) == 0 && (a.mode & FSOP_S_IFMT) == FSOP_S_IFDIR;
        struct rpc_inval i = {.kind = is_dir ? RPC_INVAL_DIR : RPC_INVAL_DATA, .ino = h->ino};
        lease_tell(&m->sessions[h->session], &i);
        lease_doom(m, m->hold_hand, m->inval_no);
    }
}

/* --- beats --- */

static void lease_clear(struct master *m, struct master_session *s)
{
    struct rpc_inval all = {.kind = RPC_INVAL_DIR};
    s->is_clearing = true;
    s->clear_no = ++m->inval_no;
    lease_tell(s, &all);
}

static uint64_t lease_renew(struct master *m, struct master_session *s)
{
    int64_t now = env_now_ns(m->env);
    if (s->is_expiring)
        return 0;
    if (lease_has_pending(s) && now >= s->lease_until_ns)
        lease_lapse(s);
    if (s->is_void && now >= s->lease_until_ns) {
        lease_drop_all(s);
        s->is_void = false;
        s->lapses++;
    }
    bool is_late = s->sending_len && now - s->sending_since_ns > 1000 * MASTER_MS;
    if (s->is_void || is_late) {
        int64_t left = s->lease_until_ns - lease_margin(m) - now;
        return left > 1 && !s->is_void ? (uint64_t)left : 1;
    }
    s->lease_until_ns = now + m->cfg.lease_ns + lease_margin(m);
    if (!s->has_beaten && !s->is_clearing)
        lease_clear(m, s);
    return (uint64_t)m->cfg.lease_ns * (MUTANT(LEASE_LONGER) ? 8 : 1);
}

void master_lease_beat(struct master *m, struct rpc_token t, const void *body, uint32_t len)
{
    struct rbuf b = rbuf_make(body, len);
    struct rpc_beat beat;
    if (rpc_format_beat_get(&b, &beat) != 0) {
        rpc_reply(t, E_PROTO, NULL, 0);
        return;
    }
    struct rpc_beat_reply rep = {.epoch = m->epoch,
                                 .page_bytes = m->cfg.page_bytes,
                                 .stripe_bytes = m->cfg.stripe_bytes,
                                 .workers_version = m->workers_version};
    struct master_session *s = master_lease_find(m, beat.session);
    if (s) {
        s->beat_ns = env_now_ns(m->env);
        s->token = t;
        rep.lease_ns = lease_renew(m, s);
        rep.epoch |= (uint64_t)s->lapses << 32; /* another epoch: drop everything */
    }
    struct wbuf w = wbuf_make(m->out, RPC_BODY_MAX), items = wbuf_make(m->qbuf, RPC_BODY_MAX - 256);
    if (beat.workers_seen != m->workers_version)
        rep.n_workers = master_member_list(m, &items);
    rpc_format_beat_reply_put(&w, &rep);
    wbuf_bytes(&w, items.p, items.len);
    rpc_reply(t, w.bad ? E_TOOBIG : 0, w.p, w.bad ? 0 : (uint32_t)w.len);
    if (s) /* who acknowledges it has heard of the epoch */
        lease_flush(s);
}

uint32_t master_lease_alive(const struct master *m)
{
    return m->sessions_used;
}

/* --- the end of a session --- */

static void lease_expire_next(struct master_job *j)
{
    struct master *m = j->m;
    j->ino = meta_writer_any(m->meta, j->session);
    if (!meta_session_exists(m->meta, j->session)) {
        master_load_job_end(j, 0);
    } else if (!j->ino.v) {
        struct fsop op = {.kind = FSOP_SESSION_CLOSE, .arg = j->session.v};
        master_load_submit_rec(j, &op, STEP_CLOSE_SESSION);
    } else if (meta_path(m->meta, j->ino, j->path, sizeof j->path, &j->mount) == 0 &&
               master_mount_at(m, j->mount)->ufs) {
        j->mark = meta_path_mark(m->meta, j->ino);
        j->seen = meta_applied(m->meta);
        j->uop.path = j->path;
        j->uop.buf = j->target;
        j->uop.len = sizeof j->target;
        master_load_submit_ufs(j, UFS_STAT, STEP_STAT);
    } else {
        struct fsop op = {.kind = FSOP_WRITE_CLOSE, .session = j->session, .ino = j->ino};
        master_load_submit_rec(j, &op, STEP_CLOSE_WRITER);
    }
}

void master_lease_expire_step(struct master_job *j)
{
    uint8_t ent[LIMIT_PATH + 256];
    struct wbuf w = wbuf_make(ent, sizeof ent);
    if (j->step == STEP_STAT) {
        if (j->ret >= 0)
            fsop_ent_put(&w, &j->uop.ent);
        else
            master_load_doubt(j->m, j->ino);
        struct fsop op = {.kind = FSOP_WRITE_CLOSE,
                          .session = j->session,
                          .ino = j->ino,
                          .size = j->mark,
                          .mtime_ns = (int64_t)j->seen,
                          .data = ent,
                          .data_len = (uint32_t)w.len};
        master_load_submit_rec(j, &op, STEP_CLOSE_WRITER);
        return;
    }
    ASSERT(j->step == STEP_CLOSE_WRITER || j->step == STEP_CLOSE_SESSION);
    struct ino left = meta_writer_any(j->m->meta, j->session);
    bool is_stuck = j->ret < 0 && left.v == j->ino.v;
    if (j->step == STEP_CLOSE_WRITER && !is_stuck) {
        lease_expire_next(j);
        return;
    }
    j->m->n.expired += j->ret >= 0 && list_empty(&j->waiters); /* nobody asked for it */
    master_load_job_end(j, j->ret < 0 ? j->ret : 0);
}

bool master_lease_expire(struct master *m, struct session_id id, struct master_req *r)
{
    struct master_session *s = master_lease_find(m, id);
    struct master_job *j = NULL;
    list_each(it, &m->job_list) {
        struct master_job *k = list_entry(it, struct master_job, link);
        if (k->kind == JOB_EXPIRE && k->session.v == id.v && k->epoch == m->epoch)
            j = k;
    }
    bool is_new = !j;
    if (is_new)
        j = master_load_job_new(m, JOB_EXPIRE);
    if (!j)
        return false;
    if (s)
        s->is_expiring = true;
    j->session = id;
    if (r) {
        r->is_checked = true;
        list_push_back(&j->waiters, &r->link);
    }
    if (is_new)
        lease_expire_next(j);
    return true;
}

/* --- orphans --- */

/* Who made a file to write it does not know that it has it before the answer comes, and that waits
 * for others: the state tells. */
static bool orphan_is_held(struct master *m, uint32_t i)
{
    struct fsattr a;
    return m->is_held[i] || (master_load_attr(m, m->orphans[i], &a) == 0 && a.flags & FSATTR_LIVE);
}

/* Who was not told yet that the last name is gone may open the file from what it has cached, after
 * it has said that it does not hold it. */
static bool orphan_is_cached(struct master *m, struct ino ino)
{
    int64_t now = env_now_ns(m->env);
    for (uint32_t at = *lease_bucket(m, ino); at; at = lease_hold(m, at)->next) {
        const struct master_session *s = &m->sessions[lease_hold(m, at)->session];
        if (lease_hold(m, at)->ino.v == ino.v && lease_is_behind(s) && now < s->lease_until_ns)
            return true;
    }
    return false;
}

static bool orphan_is_going(struct master *m, struct ino ino)
{
    list_each(it, &m->job_list) {
        const struct master_job *j = list_entry(it, struct master_job, link);
        if (j->kind == JOB_RECLAIM && j->ino.v == ino.v)
            return true;
    }
    return false;
}

/* Everybody has answered: those that nobody holds go, as fast as jobs are free.  Where some went
 * there may be more; where none could, asking again soon would not help. */
static void orphan_round_end(struct master *m)
{
    while (!m->ask_failed && m->n_reclaimed < m->n_orphans) {
        uint32_t i = m->n_reclaimed;
        bool goes = !orphan_is_held(m, i) && !orphan_is_going(m, m->orphans[i]);
        if (goes && !master_effect_reclaim(m, m->orphans[i]))
            return; /* at the next tick */
        m->orphan_gone += goes;
        m->n_reclaimed++;
    }
    m->is_asking = false;
    m->orphan_wait_ns = m->orphan_gone ? 500 * MASTER_MS : m->orphan_wait_ns * 2;
    if (m->orphan_wait_ns > 15000 * MASTER_MS)
        m->orphan_wait_ns = 15000 * MASTER_MS;
    m->orphan_at_ns = env_now_ns(m->env) + m->orphan_wait_ns;
    if (m->orphan_gone && m->n_orphans == MASTER_ORPHANS)
        m->orphan_at_ns = env_now_ns(m->env);
}

static void orphan_answered(struct env_op *op)
{
    struct rpc_call *call = container_of(op, struct rpc_call, op);
    struct master_session *s = container_of(call, struct master_session, holds_call);
    struct master *m = s->m;
    struct rbuf b = rbuf_make(call->reply, call->reply_len);
    struct rpc_inos held;
    s->is_asked = false;
    m->asked_left--;
    if (op->ret < 0 || rpc_format_inos_get(&b, &held) != 0)
        m->ask_failed = true;
    for (uint32_t k = 0; !m->ask_failed && k < held.n; k++) {
        uint64_t ino = rbuf_u64(&held.items);
        for (uint32_t i = 0; i < m->n_orphans; i++)
            m->is_held[i] |= m->orphans[i].v == ino && !MUTANT(RECLAIM_HELD);
    }
}

bool master_lease_orphan_opened(struct master *m, struct ino ino)
{
    if (orphan_is_going(m, ino))
        return false;
    for (uint32_t i = 0; m->is_asking && i < m->n_orphans; i++)
        m->is_held[i] = m->is_held[i] || m->orphans[i].v == ino.v;
    return true;
}

/* asks every session which of some orphans it holds; one that cannot be asked keeps them all */
static void orphan_round(struct master *m)
{
    struct meta_stats st;
    struct ino ino = m->orphan_after;
    meta_stats(m->meta, &st);
    m->n_orphans = m->n_reclaimed = m->orphan_gone = 0;
    m->ask_failed = st.sessions > m->sessions_used;
    if (!st.orphans) {
        m->orphan_at_ns = env_now_ns(m->env) + 1000 * MASTER_MS;
        m->orphan_wait_ns = 1000 * MASTER_MS;
        return;
    }
    struct wbuf w = wbuf_make(m->qbuf, RPC_BODY_MAX);
    while (m->n_orphans < MASTER_ORPHANS && (ino = meta_orphan_next(m->meta, ino)).v) {
        m->is_held[m->n_orphans] = orphan_is_cached(m, ino);
        m->orphans[m->n_orphans++] = ino;
    }
    m->orphan_after = m->n_orphans == MASTER_ORPHANS ? ino : (struct ino){0};
    rpc_format_inos_put(&w, m->n_orphans);
    for (uint32_t i = 0; i < m->n_orphans; i++)
        wbuf_u64(&w, m->orphans[i].v);
    m->is_asking = true;
    for (uint32_t i = 1; i < m->n_sessions; i++) {
        struct master_session *s = &m->sessions[i];
        struct rpc_conn *c = s->id.v ? rpc_token_conn(s->token) : NULL;
        if (s->id.v && !c && !MUTANT(AWAY_HOLDS_NOTHING))
            m->ask_failed = true;
        if (!c || m->ask_failed)
            continue;
        s->is_asked = true;
        m->asked_left++;
        s->holds_call.op.done = orphan_answered;
        rpc_call(c, RPC_HOLDS, w.p, (uint32_t)w.len, env_now_ns(m->env) + MASTER_CALL_NS,
                 &s->holds_call);
    }
}

/* --- time --- */

void master_lease_tick(struct master *m)
{
    int64_t now = env_now_ns(m->env);
    lease_evict(m);
    if (!m->settled_ns && !lease_is_grace(m))
        m->settled_ns = now;
    for (uint32_t i = 1; i < m->n_sessions; i++) {
        struct master_session *s = &m->sessions[i];
        if (!s->id.v)
            continue;
        if (lease_has_pending(s) && now >= s->lease_until_ns)
            lease_lapse(s);
        else
            lease_flush(s);
        /* also what could not be ended: a file of it is being moved, or no job was free */
        if (now - s->beat_ns > lease_session_ns(m) || s->is_expiring)
            (void)master_lease_expire(m, s->id, NULL);
    }
    if (m->is_asking && !m->asked_left)
        orphan_round_end(m);
    else if (!m->is_asking && now >= m->orphan_at_ns)
        orphan_round(m);
}

int master_lease_init(struct master *m)
{
    uint64_t want = m->cfg.limits.inodes_max / 4;
    uint32_t holds = 4096, buckets = 16;
    list_init(&m->told);
    while (holds < want && holds < 1u << 20)
        holds *= 2;
    if (m->cfg.limits.sessions_max > MASTER_SESSIONS_MAX)
        m->cfg.limits.sessions_max =
            MASTER_SESSIONS_MAX; /* each has its place here, or none ends */
    m->n_sessions = m->cfg.limits.sessions_max + 1;
    while (buckets < m->n_sessions)
        buckets *= 2;
    m->session_buckets = buckets;
    m->n_holds = m->hold_buckets = holds;
    m->sessions = master_keep(m, sizeof *m->sessions * m->n_sessions);
    m->session_hash = master_keep(m, sizeof *m->session_hash * buckets);
    m->holds = master_keep(m, sizeof *m->holds * (holds / MASTER_HOLDS_CHUNK));
    m->holds_high = 1;
    m->hold_hash = master_keep(m, sizeof *m->hold_hash * holds);
    if (!m->sessions || !m->session_hash || !m->holds || !m->hold_hash)
        return E_NOMEM;
    for (uint32_t i = 0; i < buckets; i++)
        list_init(&m->session_hash[i]);
    return 0;
}

void master_lease_free(struct master *m)
{
    for (uint32_t k = 0; m->holds && k < m->n_holds / MASTER_HOLDS_CHUNK; k++)
        mem_free(m->mem, m->holds[k], sizeof **m->holds * MASTER_HOLDS_CHUNK);
}

bool master_lease_check(const struct master *m, char *err_text_buf, size_t cap)
{
    uint32_t used = 0, held = 0, unbeaten = 0, asked = 0;
    for (uint32_t i = 1; i < m->n_sessions; i++) {
        const struct master_session *s = &m->sessions[i];
        used += s->id.v != 0;
        unbeaten += s->id.v && !s->has_beaten;
        asked += s->is_asked;
        for (int k = 0; k < 2; k++)
            for (uint32_t at = k ? s->doomed : s->holds; at && held <= m->n_holds;
                 at = lease_hold(m, at)->session_next, held++)
                if (lease_hold(m, at)->session != i || (lease_hold(m, at)->doom != 0) != k) {
                    fmt_into(err_text_buf, cap, "hold %u is on a list of session slot %u", at, i);
                    return false;
                }
    }
    if (used == m->sessions_used && held == m->holds_used && unbeaten == m->sessions_unbeaten &&
        asked == m->asked_left)
        return true;
    fmt_into(err_text_buf, cap,
             "sessions %u of %u, holds %u of %u, unbeaten %u of %u, asked %u of %u", used,
             m->sessions_used, held, m->holds_used, unbeaten, m->sessions_unbeaten, asked,
             m->asked_left);
    return false;
}
