/* cluster/master_append.c - where bytes are appended, when several mounts append to one file.
 *
 * Who appends asks with FSOP_GETATTR and the number of bytes in `size`; attr.size of the answer is
 * the place, given to nobody else.
 *
 * INVARIANTS
 *  1. A place is the end of the file below, as it is now, or the end of what was given before and
 *     may still be on its way, whichever is later.
 *  2. What was given is forgotten when the file has grown past it, when it is truncated, when its
 *     writer gives it back in the session that asked (the same question with the place + 1 in
 *     `arg`), or its session ends and
 *     all of it was that session's, after MASTER_APPEND_NS at the latest, which is longer than a
 *     client tries to write.
 *  3. A new leader does not know what was given: it gives nothing for as long as a write that its
 *     predecessor placed may still begin.  A client begins none when it has heard of another
 *     leader, or its lease is over (client_piece.c): so that is until all sessions of that time
 *     have acknowledged to have heard, or for one lease, and for what a worker has to begin it.
 *  4. Questions have numbers (mtime_ns): one that comes again, because its answer was lost, gets
 *     the place that it got (the last thousand or so are remembered); and one is given back once.
 *     One on a connection that its client has given up comes again on another one, and gets none
 *     here.
 *  5. A full table refuses (E_AGAIN): two writers never get one place.
 *  6. A truncation forgets what was given before it in the moment when it is recorded, and while it
 *     is under way below nothing is given: what was known of the end may be that of before, and
 *     what is given afterwards must not be forgotten with it, however late it is answered.
 *  7. A truncation is done below when no append is on its way to a place of before it: each session
 *     that has the file open for writing says so, one after the other (RPC_PLACES), and asks for
 *     another place for what it has not begun.  One that is not heard of is waited for until its
 *     lease, and what it began within that, is over; one that never says so, as long as what was
 *     given is kept.
 *
 * A writer that dies between question and write leaves a hole, if somebody appended meanwhile. */
#include "cluster/master_impl.h"
#include "core/mutant.h"

#define MASTER_APPEND_NS ((RPC_APPEND_VALID_MS + 15000) * MASTER_MS)

static struct master_append *append_find(struct master *m, struct ino ino, int64_t now)
{
    struct master_append *room = NULL;
    uint64_t at = base_mix_u64(ino.v);
    for (unsigned i = 0; i < 16; i++) {
        struct master_append *a = &m->appends[(at + i) % MASTER_APPENDS];
        if (a->ino.v == ino.v)
            return a;
        if (!room && (!a->ino.v || now >= a->until_ns))
            room = a;
    }
    return room;
}

/* where the answer to it is remembered, or may be: in the place of the oldest of a few */
static struct master_place *append_question(struct master *m, const struct fsop *op,
                                            bool *ret_is_it)
{
    uint64_t at = base_mix_u64(base_mix_u64(op->session.v) + (uint64_t)op->mtime_ns);
    struct master_place *oldest = NULL;
    for (unsigned i = 0; i < 8; i++) {
        struct master_place *p = &m->places[(at + i) % MASTER_PLACES];
        *ret_is_it = op->mtime_ns && p->asked == op->mtime_ns && p->session.v == op->session.v &&
                     p->ino.v == op->ino.v;
        if (*ret_is_it)
            return p;
        if (!oldest || p->number < oldest->number)
            oldest = p;
    }
    return oldest;
}

int master_append_place(struct master *m, const struct fsop *op, uint64_t *size)
{
    int64_t now = env_now_ns(m->env);
    struct master_append *a = append_find(m, op->ino, now);
    int64_t valid_ns = RPC_WRITE_VALID_MS * MASTER_MS * 9 / 8; /* by the slower clock */
    if (!a || !m->settled_ns || now < m->settled_ns + valid_ns)
        return E_AGAIN;
    bool is_known = a->ino.v == op->ino.v && now < a->until_ns;
    bool is_again;
    struct master_place *p = append_question(m, op, &is_again);
    if (op->arg) { /* given back */
        /* by the same session: with the one that asked its last write may outlive the answer */
        bool is_its =
            is_known && a->session.v == op->session.v && (!a->asked || a->asked == op->mtime_ns);
        if (is_its && a->end == op->arg - 1 + op->size) {
            a->end = op->arg - 1;
            a->asked = 0;
            if (is_again)
                p->asked = 0;
        }
        return 0;
    }
    if (is_again && is_known && p->number >= a->first) { /* its answer was lost */
        *size = p->at;
        a->until_ns = now + MASTER_APPEND_NS;
        return 0;
    }
    bool is_shared = false;
    if (is_known && a->end > *size && !MUTANT(APPEND_PLACE_SHARED)) {
        is_shared = a->is_shared || a->session.v != op->session.v;
        *size = a->end;
    }
    if (*size > INT64_MAX || op->size > INT64_MAX - *size)
        return E_FBIG;
    *a = (struct master_append){.ino = op->ino,
                                .session = op->session,
                                .end = *size + op->size,
                                .asked = op->mtime_ns,
                                .until_ns = now + MASTER_APPEND_NS,
                                .first = is_known ? a->first : m->n_places + 1,
                                .is_shared = is_shared};
    *p = (struct master_place){op->ino, op->session, op->mtime_ns, *size, ++m->n_places};
    return 0;
}

void master_append_cut(struct master *m, struct ino ino)
{
    struct master_append *a = ino.v ? append_find(m, ino, env_now_ns(m->env)) : NULL;
    if (a && a->ino.v == ino.v)
        a->ino.v = 0;
}

/* may bytes be on their way to the end of the file? */
static bool append_is_known(struct master *m, struct ino ino)
{
    int64_t now = env_now_ns(m->env), valid_ns = RPC_WRITE_VALID_MS * MASTER_MS * 9 / 8;
    const struct master_append *a = append_find(m, ino, now);
    bool is_settled = m->settled_ns && now >= m->settled_ns + valid_ns;
    return !is_settled || !a || (a->ino.v == ino.v && now < a->until_ns);
}

/* soon: an append takes about a millisecond, and one that takes long should not be asked for often
 */
static void append_again(struct master_job *j)
{
    const int64_t least_ns = 2 * MASTER_MS, most_ns = 25 * MASTER_MS;
    j->backoff_ns = j->backoff_ns < least_ns  ? least_ns
                    : j->backoff_ns < most_ns ? j->backoff_ns
                                              : most_ns;
    master_load_retry(j, STEP_PLACES);
}

static void append_answered(struct env_op *op)
{
    struct rpc_call *call = container_of(op, struct rpc_call, op);
    struct master_job *j = container_of(call, struct master_job, places_call);
    j->ret = (int)op->ret;
    if (!master_load_job_leads(j))
        return;
    if (j->ret == 0) {
        master_effect_step(j);
        return;
    }
    j->writer.v--; /* the same one again */
    append_again(j);
}

bool master_append_wait(struct master_job *j)
{
    struct master *m = j->m;
    struct ino ino = j->intent.ino;
    uint8_t body[16];
    if (MUTANT(APPEND_CUT_BESIDE) || !append_is_known(m, ino))
        return true;
    for (;;) {
        struct session_id id = meta_file_writer_next(m->meta, ino, j->writer);
        if (!id.v)
            break;
        const struct master_session *s = master_lease_find(m, id);
        struct rpc_conn *conn = s ? rpc_token_conn(s->token) : NULL;
        bool is_over = master_lease_is_over(m, id); /* it may be connected and stand still */
        if (!conn && !is_over) {
            append_again(j);
            return false;
        }
        j->writer = id;
        if (is_over)
            continue;
        struct wbuf w = wbuf_make(body, sizeof body);
        rpc_format_inos_put(&w, 1);
        wbuf_u64(&w, ino.v);
        j->step = STEP_PLACES;
        j->places_call.op.done = append_answered;
        rpc_call(conn, RPC_PLACES, w.p, (uint32_t)w.len,
                 base_min_i64(env_now_ns(m->env) + MASTER_CALL_NS, master_lease_over_ns(m, id)),
                 &j->places_call);
        return false;
    }
    j->backoff_ns = 0;
    return true;
}

void master_append_session_gone(struct master *m, struct session_id s)
{
    for (unsigned i = 0; i < MASTER_APPENDS; i++)
        if (m->appends[i].session.v == s.v && !m->appends[i].is_shared)
            m->appends[i].ino.v = 0;
}
