/* core/session.c - sessions: which requests were answered and how, and who writes what.
 *
 * INVARIANTS
 *  1. acked <= seq < acked + LIMIT_SESSION_WINDOW for every kept reply of a session.
 *  2. A (session, seq) has at most one record: answered with its reply, or naming its open intent.
 *  3. A (session, file) has at most one writer record; a file is LIVE while it has any. */
#include "core/meta_internal.h"
#include "core/mutant.h"

static struct meta_session *session_mut(struct meta *m, uint32_t s)
{
    return store_mut(&m->st, TABLE_SESSION, s);
}

static const struct meta_session *session_at(const struct meta *m, uint32_t s)
{
    return store_get(&m->st, TABLE_SESSION, s);
}

static const struct meta_reply *session_reply_at(const struct meta *m, uint32_t k)
{
    return store_get(&m->st, TABLE_REPLY, k);
}

uint32_t session_find(const struct meta *m, struct session_id id)
{
    uint32_t s = id.v ? store_index_first(&m->st, TABLE_SESSION_BUCKET, TABLE_SESSION,
                                          (uint32_t)base_mix_u64(id.v))
                      : 0;
    while (s && session_at(m, s)->id != id.v)
        s = store_index_next(&m->st, TABLE_SESSION, s);
    return s;
}

uint32_t session_reply_hash(uint32_t session, uint64_t seq)
{
    return (uint32_t)base_mix_u64(seq * 0x9e3779b97f4a7c15u + session);
}

static uint32_t session_reply_find(const struct meta *m, uint32_t session, uint64_t seq)
{
    uint32_t k = store_index_first(&m->st, TABLE_REPLY_BUCKET, TABLE_REPLY,
                                   session_reply_hash(session, seq));
    while (k && (session_reply_at(m, k)->session != session || session_reply_at(m, k)->seq != seq))
        k = store_index_next(&m->st, TABLE_REPLY, k);
    return k;
}

static void session_reply_drop(struct meta *m, uint32_t k)
{
    struct meta_reply r = *session_reply_at(m, k);
    struct meta_session *s = session_mut(m, r.session);
    store_index_remove(&m->st, TABLE_REPLY_BUCKET, TABLE_REPLY, k);
    if (r.prev)
        ((struct meta_reply *)store_mut(&m->st, TABLE_REPLY, r.prev))->next = r.next;
    else
        s->replies = r.next;
    if (r.next)
        ((struct meta_reply *)store_mut(&m->st, TABLE_REPLY, r.next))->prev = r.prev;
    s->n_replies--;
    store_blob_free(&m->st, TABLE_BLOB, r.reply);
    store_free(&m->st, TABLE_REPLY, k);
}

/* everything below `acked` has reached the client */
static void session_ack(struct meta *m, uint32_t slot, uint64_t acked)
{
    const struct meta_session *s = session_at(m, slot);
    uint64_t old = s->acked;
    if (acked <= old)
        return;
    if (acked - old <= s->n_replies) {
        for (uint64_t seq = old; seq < acked; seq++) {
            uint32_t k = session_reply_find(m, slot, seq);
            if (k)
                session_reply_drop(m, k);
        }
    } else {
        for (uint32_t k = s->replies, next; k; k = next) {
            next = session_reply_at(m, k)->next;
            if (session_reply_at(m, k)->seq < acked)
                session_reply_drop(m, k);
        }
    }
    session_mut(m, slot)->acked = acked;
}

int session_begin(struct meta *m, const struct fsop *op, struct meta_result *r)
{
    uint32_t s = session_find(m, op->session);
    if (!s)
        return E_SESSION_EXPIRED;
    if (op->seq == 0)
        return 0;
    if (op->acked > op->seq || op->seq < session_at(m, s)->acked)
        return E_PROTO;
    session_ack(m, s, op->acked);
    if (op->seq - session_at(m, s)->acked >= LIMIT_SESSION_WINDOW)
        return E_AGAIN;
    uint32_t k = session_reply_find(m, s, op->seq);
    if (!k || MUTANT(DUPLICATE_RUNS))
        return k ? 0 : room_reply(m);
    const struct meta_reply *kept = session_reply_at(m, k);
    if (kept->intent) {
        r->reply.intent = kept->intent;
    } else {
        uint8_t b[META_REPLY_MAX];
        uint32_t n = store_blob_copy(&m->st, TABLE_BLOB, kept->reply, b, sizeof b);
        struct rbuf rb = rbuf_make(b, n);
        int err = fsop_reply_get(&rb, &r->reply);
        ASSERT(err == 0);
    }
    r->reply.flags |= FSOP_R_DUPLICATE;
    return 1;
}

void session_keep(struct meta *m, struct session_id id, uint64_t seq, const struct fsop_reply *rep)
{
    uint32_t s = session_find(m, id);
    if (!s || seq == 0 || seq < session_at(m, s)->acked)
        return;
    uint32_t k = session_reply_find(m, s, seq);
    if (!k) {
        k = store_new_zero(&m->st, TABLE_REPLY);
        struct meta_reply *kept = store_mut(&m->st, TABLE_REPLY, k);
        struct meta_session *ses = session_mut(m, s);
        kept->seq = seq;
        kept->session = s;
        kept->next = ses->replies;
        if (ses->replies)
            ((struct meta_reply *)store_mut(&m->st, TABLE_REPLY, ses->replies))->prev = k;
        ses->replies = k;
        ses->n_replies++;
        store_index_insert(&m->st, TABLE_REPLY_BUCKET, TABLE_REPLY, k, session_reply_hash(s, seq));
    }
    struct meta_reply *kept = store_mut(&m->st, TABLE_REPLY, k);
    store_blob_free(&m->st, TABLE_BLOB, kept->reply);
    kept->reply = 0;
    kept->intent = rep->intent;
    if (!rep->intent) {
        uint8_t b[META_REPLY_MAX];
        struct fsop_reply bare = *rep;
        bare.data_len = 0;
        struct wbuf w = wbuf_make(b, sizeof b);
        fsop_reply_put(&w, &bare);
        ASSERT(!w.bad);
        kept->reply = store_blob_new(&m->st, TABLE_BLOB, b, w.len);
    }
}

void session_forget(struct meta *m, struct session_id id, uint64_t seq)
{
    uint32_t s = session_find(m, id);
    uint32_t k = s ? session_reply_find(m, s, seq) : 0;
    if (k)
        session_reply_drop(m, k);
}

uint32_t session_awaits(const struct meta *m, struct session_id id, uint64_t seq)
{
    uint32_t s = session_find(m, id);
    return s && (!seq || seq >= session_at(m, s)->acked) ? s : 0;
}

int session_open(struct meta *m, uint64_t index, const struct fsop *op, struct meta_result *r)
{
    if (m->st.t[TABLE_SESSION].live >= meta_limits(m).sessions_max)
        return E_AGAIN;
    if (op->name_len > LIMIT_NAME)
        return E_NAMETOOLONG;
    int err = room_session(m, op->name_len);
    if (err)
        return err;
    uint32_t slot = store_new_zero(&m->st, TABLE_SESSION);
    struct meta_session *s = session_mut(m, slot);
    struct meta_super *sup = meta_super_mut(m);
    s->id = index;
    s->name = store_blob_new(&m->st, TABLE_BLOB, op->name, op->name_len);
    s->prev = sup->session_last;
    if (sup->session_last)
        session_mut(m, sup->session_last)->next = slot;
    else
        sup->session_first = slot;
    sup->session_last = slot;
    store_index_insert(&m->st, TABLE_SESSION_BUCKET, TABLE_SESSION, slot,
                       (uint32_t)base_mix_u64(index));
    r->reply.value = index;
    return 0;
}

int session_close(struct meta *m, const struct fsop *op)
{
    if (op->session.v && op->session.v != op->arg)
        return E_PERM;
    uint32_t slot = session_find(m, (struct session_id){op->arg});
    if (!slot)
        return E_SESSION_EXPIRED;
    struct meta_session *s = session_mut(m, slot);
    if (s->writers)
        return E_BUSY;
    while (s->replies)
        session_reply_drop(m, s->replies);
    struct meta_super *sup = meta_super_mut(m);
    if (s->prev)
        session_mut(m, s->prev)->next = s->next;
    else
        sup->session_first = s->next;
    if (s->next)
        session_mut(m, s->next)->prev = s->prev;
    else
        sup->session_last = s->prev;
    store_index_remove(&m->st, TABLE_SESSION_BUCKET, TABLE_SESSION, slot);
    store_blob_free(&m->st, TABLE_BLOB, s->name);
    store_free(&m->st, TABLE_SESSION, slot);
    return 0;
}

static const struct meta_writer *session_writer_at(const struct meta *m, uint32_t w)
{
    return store_get(&m->st, TABLE_WRITER, w);
}

static struct meta_writer *session_writer_mut(struct meta *m, uint32_t w)
{
    return store_mut(&m->st, TABLE_WRITER, w);
}

/* a file has few writers, so its list is the one that is searched */
static uint32_t session_writer_find(const struct meta *m, uint32_t session, uint32_t node)
{
    uint32_t w = inode_at(m, node)->file.writers;
    while (w && session_writer_at(m, w)->session != session)
        w = session_writer_at(m, w)->next_of_file;
    return w;
}

bool session_writes(const struct meta *m, uint32_t session, uint32_t node)
{
    return session_writer_find(m, session, node) != 0;
}

void session_writer_add(struct meta *m, uint32_t session, uint32_t node)
{
    uint32_t slot = store_new_zero(&m->st, TABLE_WRITER);
    struct meta_writer *w = store_mut(&m->st, TABLE_WRITER, slot);
    struct meta_inode *i = inode_mut(m, node);
    struct meta_session *s = session_mut(m, session);
    w->node = node;
    w->session = session;
    w->next_of_file = i->file.writers;
    w->next_of_session = s->writers;
    if (s->writers)
        session_writer_mut(m, s->writers)->prev_of_session = slot;
    i->file.writers = s->writers = slot;
}

void session_writer_remove(struct meta *m, uint32_t session, uint32_t node)
{
    uint32_t slot = session_writer_find(m, session, node);
    ASSERT(slot != 0);
    uint32_t *at = &inode_mut(m, node)->file.writers;
    while (*at != slot)
        at = &session_writer_mut(m, *at)->next_of_file;
    struct meta_writer w = *session_writer_at(m, slot);
    *at = w.next_of_file;
    if (w.prev_of_session)
        session_writer_mut(m, w.prev_of_session)->next_of_session = w.next_of_session;
    else
        session_mut(m, session)->writers = w.next_of_session;
    if (w.next_of_session)
        session_writer_mut(m, w.next_of_session)->prev_of_session = w.prev_of_session;
    store_free(&m->st, TABLE_WRITER, slot);
}

struct session_id session_next(const struct meta *m, struct session_id after)
{
    uint32_t s = session_find(m, after);
    if (s)
        s = session_at(m, s)->next;
    else
        for (s = meta_super(m)->session_first; s && session_at(m, s)->id <= after.v;)
            s = session_at(m, s)->next;
    return (struct session_id){s ? session_at(m, s)->id : 0};
}

uint32_t session_writer_first(const struct meta *m, struct session_id id)
{
    uint32_t s = session_find(m, id);
    return s ? session_at(m, s)->writers : 0;
}

uint32_t session_writer_after(const struct meta *m, uint32_t w)
{
    return session_writer_at(m, w)->next_of_session;
}

uint32_t session_writer_node(const struct meta *m, uint32_t w)
{
    return session_writer_at(m, w)->node;
}

struct ino session_writer_any(const struct meta *m, struct session_id id)
{
    uint32_t s = session_find(m, id), w = s ? session_at(m, s)->writers : 0;
    return w ? inode_number(m, session_writer_at(m, w)->node) : (struct ino){0};
}

struct ino session_writer_next(const struct meta *m, struct session_id id, struct ino after)
{
    uint32_t s = session_find(m, id);
    struct ino best = {0};
    for (uint32_t w = s ? session_at(m, s)->writers : 0; w;
         w = session_writer_at(m, w)->next_of_session) {
        struct ino ino = inode_number(m, session_writer_at(m, w)->node);
        if (ino.v > after.v && (best.v == 0 || ino.v < best.v))
            best = ino;
    }
    return best;
}

struct session_id session_of_file_next(const struct meta *m, uint32_t node, struct session_id after)
{
    struct session_id best = {0};
    for (uint32_t w = inode_at(m, node)->file.writers; w;
         w = session_writer_at(m, w)->next_of_file) {
        uint64_t id = session_at(m, session_writer_at(m, w)->session)->id;
        if (id > after.v && (best.v == 0 || id < best.v))
            best.v = id;
    }
    return best;
}

struct session_id session_of_file_each(const struct meta *m, uint32_t node, uint32_t *at)
{
    *at = *at ? session_writer_at(m, *at)->next_of_file : inode_at(m, node)->file.writers;
    return (struct session_id){*at ? session_at(m, session_writer_at(m, *at)->session)->id : 0};
}
