/* sim/lab_check_forget.c - a long run needs no more memory than a short one (see sim/lab_check.h).
 *
 * INVARIANTS
 *  1. Forgotten is only what no open question can need (oldest_ns: none was put before), so that
 *     every verdict is what it would have been.
 *  2. That no request takes effect twice holds for ever: of a session one bit is kept of each.
 *  3. Of the last CHECK_PAST records it is known what they were and answered, whoever applies them
 *     how late; the state that all of them give is compared in any case.  Of requests under two
 *     numbers the last CHECK_TAGGED are. */
#include "sim/lab_check_impl.h"

struct check_session *lab_check_session(struct lab_check *c, uint64_t id)
{
    for (uint32_t i = 0; i < c->n_sessions; i++)
        if (c->sessions[i].id == id)
            return &c->sessions[i];
    return NULL;
}

bool lab_check_did(struct lab_check *c, uint64_t session, uint64_t seq)
{
    const struct check_session *s = lab_check_session(c, session);
    return s && seq / 8 < s->cap_did && (s->did[seq / 8] >> seq % 8 & 1);
}

static void forget_request(struct lab_check *c, const struct check_record *r)
{
    struct check_session *s = lab_check_session(c, r->session);
    uint64_t cap = s && s->cap_did ? s->cap_did : 64;
    if (!s || r->seq / 8 >= (uint64_t)1 << 28)
        return;
    while (r->seq / 8 >= cap)
        cap *= 2;
    if (cap != s->cap_did) {
        uint8_t *more = mem_zalloc(c->mem, cap);
        ASSERT(more != NULL);
        if (s->cap_did)
            memcpy(more, s->did, s->cap_did);
        mem_free(c->mem, s->did, s->cap_did);
        s->did = more;
        s->cap_did = cap;
    }
    s->did[r->seq / 8] |= (uint8_t)(1 << r->seq % 8);
}

static void forget_records(struct lab_check *c, int64_t oldest_ns)
{
    for (; c->log.first < c->n_log; lab_ring_forget(&c->log, c->log.first + 1)) {
        const struct check_record *r = lab_ring_at(&c->log, c->log.first);
        bool is_awaited = r->intent && !r->final;
        if (is_awaited || lab_model_applied_ns(c->model, c->log.first) >= oldest_ns)
            return;
        if (r->counts)
            forget_request(c, r);
    }
}

static void forget_keep(void *ctx, uint64_t ufs)
{
    lab_ufs_keep(ctx, ufs);
}

void lab_check_forget(struct lab_check *c, int64_t oldest_ns)
{
    bool slack = c->cfg.slack_ns > c->cfg.behind_ns;
    int64_t known_ns = slack ? c->cfg.slack_ns : c->cfg.behind_ns;
    forget_records(c, oldest_ns);
    lab_check_append_follow(c, oldest_ns);
    lab_model_forget(c->model, oldest_ns);
    lab_model_each_file(c->model, forget_keep, c->ufs);
    lab_check_append_each(c, forget_keep, c->ufs);
    lab_ufs_forget(c->ufs, oldest_ns - known_ns);
}
