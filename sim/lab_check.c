/* sim/lab_check.c - the log and the answers (see sim/lab_check.h). */
#include <stdarg.h>
#include "core/fmt.h"
#include "sim/lab_check_impl.h"

bool lab_check_is_due(const struct meta *state, uint64_t *since)
{
    struct meta_stats s;
    meta_stats(state, &s);
    if (s.applied >= *since && (s.applied - *since) * LAB_CHECK_SHARE < s.inodes)
        return false;
    *since = s.applied;
    return true;
}

static struct check_record *check_push(struct lab_check *c, uint64_t index)
{
    c->n_log = index;
    c->n_records++;
    lab_ring_push(&c->past, index);
    lab_ring_push(&c->states, index / CHECK_STATE_EVERY);
    return lab_ring_push(&c->log, index);
}

struct lab_check *lab_check_open(struct mem *m, struct sim *s, struct lab_ufs *u,
                                 const struct lab_check_config *cfg)
{
    struct lab_check *c = mem_zalloc(m, sizeof *c);
    ASSERT(c != NULL);
    c->mem = m;
    c->sim = s;
    c->ufs = u;
    c->cfg = *cfg;
    c->model = lab_model_open(m, cfg->slack_ns, cfg->recent);
    lab_ring_open(&c->log, m, sizeof(struct check_record), cfg->recent, 0);
    lab_ring_open(&c->past, m, sizeof(struct check_past), cfg->operations, CHECK_PAST);
    lab_ring_open(&c->states, m, sizeof(uint64_t), cfg->operations / CHECK_STATE_EVERY,
                  CHECK_PAST / CHECK_STATE_EVERY);
    lab_ring_open(&c->tags, m, sizeof(struct check_tag), cfg->operations, CHECK_TAGGED);
    check_push(c, 0); /* there is no record 0 */
    c->n_records = 0;
    c->behind = lab_ufs_stats(u)->behind;
    lab_ufs_on_effect(u, lab_check_effect, c);
    int err = meta_open(m, &cfg->limits, &c->state);
    ASSERT(err == 0);
    return c;
}

struct lab_finding *lab_check_finding(struct lab_check *c, enum lab_verdict v)
{
    return &c->findings[v];
}

const char *lab_check_name(enum lab_verdict v)
{
    static const char *const names[] = {"log",      "answers",   "data", "store",
                                        "liveness", "structure", "raft", "linear"};
    return names[v];
}

void lab_check_fail(struct lab_check *c, enum lab_verdict v, const char *format, ...)
{
    struct lab_finding *f = &c->findings[v];
    if (f->failures++ == 0) {
        va_list args;
        va_start(args, format);
        fmt_into_v(f->what, sizeof f->what, format, args);
        va_end(args);
        f->at_ns = sim_now_ns(c->sim);
    }
}

void lab_check_on_record(struct lab_check *c,
                         void (*fn)(void *ctx, int64_t at_ns, uint64_t index, const struct fsop *op,
                                    const struct meta_result *res),
                         void *ctx)
{
    c->on_record = fn;
    c->record_ctx = ctx;
}

void lab_check_on_writer(struct lab_check *c,
                         bool (*fn)(void *ctx, const char *client, struct ino ino), void *ctx)
{
    c->is_writer = fn;
    c->writer_ctx = ctx;
}

struct lab_model *lab_check_model(struct lab_check *c)
{
    return c->model;
}

const struct meta *lab_check_state(const struct lab_check *c)
{
    return c->state;
}

uint64_t lab_check_records(const struct lab_check *c)
{
    return c->n_records;
}

/* ---- the log ---- */

/* what makes two requests the same, for matching an answer with its record */
static uint64_t check_key(const struct fsop *op)
{
    const uint16_t flags = FSOP_F_NOREPLACE | FSOP_F_EXCHANGE | FSOP_F_TRUNC | FSOP_F_XATTR_CREATE |
                           FSOP_F_XATTR_REPLACE;
    uint64_t f[] = {op->kind,
                    op->flags & flags,
                    op->ino.v,
                    op->ino2.v,
                    op->mode,
                    op->rdev,
                    op->valid,
                    op->set_uid,
                    op->set_gid,
                    op->size,
                    op->uid,
                    op->gid,
                    (uint64_t)op->atime_ns,
                    (uint64_t)op->mtime_ns};
    uint64_t h = base_hash(f, sizeof f, 5);
    h = base_hash(op->name, op->name_len, h);
    h = base_hash(op->name2, op->name2_len, h);
    return op->kind == FSOP_WRITE_CLOSE ? h : base_hash(op->data, op->data_len, h);
}

uint64_t lab_check_hash(const struct fsop *op)
{
    static uint8_t buf[JOURNAL_RECORD_MAX];
    struct wbuf w = wbuf_make(buf, sizeof buf);
    fsop_put(&w, op);
    return sim_digest(buf, w.len); /* each master's records come past here: the fast one */
}

static void check_session_open(struct lab_check *c, const struct fsop *op,
                               const struct meta_result *res)
{
    if (res->reply.err || c->n_sessions == CHECK_SESSIONS)
        return;
    struct check_session *s = &c->sessions[c->n_sessions++];
    s->id = res->reply.value;
    fmt_into(s->client, sizeof s->client, "%.*s", (int)op->name_len, op->name);
}

/* no request twice: (session, seq) had an effect at most once */
static void check_once(struct lab_check *c, uint64_t index, struct check_record *r,
                       const struct fsop *op)
{
    uint64_t *bucket = &c->bucket[base_mix_u64(op->session.v ^ op->seq << 20) % CHECK_BUCKETS];
    const struct check_record *x;
    if (lab_check_did(c, op->session.v, op->seq))
        lab_check_fail(c, LAB_LOG,
                       "request %llu of session %llu (%s) took effect twice: in record %llu, and "
                       "long before",
                       (unsigned long long)op->seq, (unsigned long long)op->session.v,
                       fsop_kind_name(op->kind), (unsigned long long)index);
    for (uint64_t i = *bucket; (x = lab_ring_at(&c->log, i)) && i; i = x->before) {
        if (x->session != op->session.v || x->seq != op->seq)
            continue;
        lab_check_fail(c, LAB_LOG,
                       "request %llu of session %llu (%s) took effect twice: records %llu and %llu",
                       (unsigned long long)op->seq, (unsigned long long)op->session.v,
                       fsop_kind_name(op->kind), (unsigned long long)i, (unsigned long long)index);
        break;
    }
    r->before = *bucket;
    *bucket = index;
}

/* Each request has a number of its own among the caller's groups, whatever session and sequence it
 * travels under. */
static uint32_t check_tag(const struct fsop *op)
{
    bool many = op->kind == FSOP_WRITE_OPEN || op->kind == FSOP_WRITE_CLOSE; /* the client's own */
    return op->n_groups && !many && op->groups[0] >= LAB_CHECK_TAGS ? op->groups[0] : 0;
}

static void check_tag_once(struct lab_check *c, uint64_t index, const struct check_record *r)
{
    struct check_tag *t = lab_ring_push(&c->tags, r->tag - LAB_CHECK_TAGS);
    if (!t) /* so old that nobody knows */
        return;
    if (t->index && t->kind == r->kind)
        lab_check_fail(c, LAB_LOG, "one %s became two requests: records %llu and %llu",
                       fsop_kind_name(r->kind), (unsigned long long)t->index,
                       (unsigned long long)index);
    *t = (struct check_tag){index, r->kind};
}

/* what was found below and nobody has put there: names may come, as nothing is known before they
 * are looked for, but none may go */
static void check_found(struct lab_check *c, uint64_t index, const struct fsop *op)
{
    uint64_t was = c->vanished;
    c->vanished = lab_model_vanished(c->model);
    if (c->vanished == was || lab_ufs_stats(c->ufs)->behind != c->behind)
        return;
    lab_check_fail(c, LAB_ANSWERS,
                   "record %llu: a %s of inode %llu took away a name that nobody removed below",
                   (unsigned long long)index, fsop_kind_name(op->kind),
                   (unsigned long long)op->ino.v);
}

static void check_outcome(struct lab_check *c, uint64_t index, const struct fsop *op,
                          const struct meta_result *res)
{
    struct check_record *r;
    for (uint64_t i = index; i-- > 1 && (r = lab_ring_at(&c->log, i));) {
        if (r->intent != op->arg || r->final)
            continue;
        r->final = index;
        r->err = res->reply.err;
        r->ino = res->reply.attr.ino;
        return;
    }
}

void lab_check_new(struct lab_check *c, uint64_t index, const struct fsop *op,
                   const struct meta_result *real)
{
    struct meta_result res;
    char why[LAB_MODEL_WHY];
    struct check_record *r = check_push(c, index);
    meta_apply(c->state, index, op, &res);
    int err = res.reply.err;
    /* a repetition names the intent of the first, and the outcome answers the first */
    bool repeated = (res.reply.flags & FSOP_R_DUPLICATE) != 0;
    *(struct check_past *)lab_ring_at(&c->past, index) =
        (struct check_past){(uint32_t)lab_check_hash(op), (uint32_t)lab_check_answer_hash(&res)};
    if (c->cfg.is_group && index % CHECK_STATE_EVERY == 0 && lab_check_is_due(c->state, &c->hashed))
        *(uint64_t *)lab_ring_at(&c->states, index / CHECK_STATE_EVERY) = meta_hash(c->state);
    *r = (struct check_record){
        .key = check_key(op),
        .session = op->session.v,
        .seq = op->seq,
        .kind = op->kind,
        .tag = check_tag(op),
        .err = err,
        .ino = res.reply.attr.ino,
        .intent = repeated ? 0 : res.reply.intent,
        .final = res.reply.intent ? 0 : index,
        .counts = op->session.v && op->seq && !err_is_retry(err) && err != E_SESSION_EXPIRED &&
                  err != E_PROTO && !repeated,
    };
    if (c->on_record)
        c->on_record(c->record_ctx, sim_now_ns(c->sim), index, op, &res);
    if (real->reply.err != err || real->reply.attr.ino.v != res.reply.attr.ino.v)
        lab_check_fail(c, LAB_LOG, "record %llu (%s): the master answers %s, another machine %s",
                       (unsigned long long)index, fsop_kind_name(op->kind),
                       err_name(real->reply.err), err_name(err));
    if (r->counts)
        check_once(c, index, r, op);
    if (r->counts && r->tag)
        check_tag_once(c, index, r);
    if (op->kind == FSOP_SESSION_OPEN)
        check_session_open(c, op, &res);
    if (op->kind == FSOP_OUTCOME)
        check_outcome(c, index, op, &res);
    if (!lab_model_apply(c->model, index, sim_now_ns(c->sim), op, &res, c->state, why))
        lab_check_fail(c, LAB_ANSWERS, "record %llu: %s", (unsigned long long)index, why);
    check_found(c, index, op);
    if (r->ino.v && op->kind == FSOP_LOAD)
        r->ino.v = 0;
}

/* ---- answers ---- */

static bool check_is_answer(const struct fsop_reply *rep)
{
    return !err_is_retry(rep->err) && rep->err != E_SESSION_EXPIRED;
}

/* an error that a failure of the under-store explains, or a full journal */
static bool check_is_excused(const struct lab_check *c, int err)
{
    return (c->cfg.store_fails && (err == E_IO || err == E_NOSPC)) ||
           (c->cfg.journal_full && err == E_NOSPC);
}

void lab_check_mutation(struct lab_check *c, const char *client, const struct fsop *op,
                        const struct fsop_reply *rep, struct lab_window w)
{
    if (!check_is_answer(rep))
        return;
    c->findings[LAB_ANSWERS].checks++;
    uint64_t key = check_key(op);
    const struct check_record *near = NULL;
    struct check_record *mine = NULL, *r;
    for (uint64_t i = c->n_log; i > 0 && lab_model_applied_ns(c->model, i) >= w.from_ns; i--) {
        if (!(r = lab_ring_at(&c->log, i)))
            break;
        if (r->key != key || r->is_told || !r->counts || !r->final)
            continue;
        const struct check_session *s = lab_check_session(c, r->session);
        if (!s || strcmp(s->client, client) != 0)
            continue;
        near = r;
        /* two threads may have asked the same: the place in the log tells whose it is, or else the
         * older one is whose asking it must be if the other began later */
        if (r->err == rep->err && (rep->err || rep->attr.ino.v == r->ino.v) &&
            (!mine || mine->final != rep->index))
            mine = r;
    }
    if (mine) {
        mine->is_told = true;
        lab_model_firm(c->model, mine->final, w.to_ns);
        return;
    }
    if (rep->err && (check_is_excused(c, rep->err) || (!near && rep->err == E_STALE)))
        return;
    lab_check_fail(c, LAB_ANSWERS,
                   "%s: %s of %llu \"%.*s\" answered %s (inode %llu, record %llu), %s%s", client,
                   fsop_kind_name(op->kind), (unsigned long long)op->ino.v, (int)op->name_len,
                   op->name ? op->name : "", rep->err ? err_name(rep->err) : "ok",
                   (unsigned long long)rep->attr.ino.v, (unsigned long long)rep->index,
                   near ? "but its record says " : "but no record of that time says so",
                   near ? (near->err ? err_name(near->err) : "ok") : "");
}

void lab_check_query(struct lab_check *c, const char *client, const struct fsop *op,
                     const struct fsop_reply *rep, struct lab_window w)
{
    char why[LAB_MODEL_WHY];
    if (!check_is_answer(rep) || check_is_excused(c, rep->err))
        return;
    c->findings[LAB_ANSWERS].checks++;
    struct lab_asker by = lab_model_asker(client, rep->index != 0);
    if (!lab_model_answer(c->model, by, op, rep, w, why))
        lab_check_fail(c, LAB_ANSWERS, "%s, asked at %lld us: %s", client,
                       (long long)(w.from_ns / 1000), why);
    if (!rep->err && (op->kind == FSOP_LOOKUP || op->kind == FSOP_GETATTR || op->kind == FSOP_OPEN))
        lab_check_size(c, client, by, op, &rep->attr, w);
}

void lab_check_listing(struct lab_check *c, const char *client, struct ino dir,
                       const struct lab_model_name *names, uint32_t n, struct lab_window w)
{
    char why[LAB_MODEL_WHY] = "of no directory";
    c->findings[LAB_ANSWERS].checks++;
    struct lab_asker by = lab_model_asker(client, true); /* none is kept */
    if (!lab_model_listing(c->model, by, dir, names, n, w, why))
        lab_check_fail(c, LAB_ANSWERS, "%s, begun at %lld us: %s", client,
                       (long long)(w.from_ns / 1000), why);
}

void lab_check_whole(struct lab_check *c)
{
    char why[LAB_MODEL_WHY];
    c->findings[LAB_STRUCTURE].checks++;
    if (!meta_check(c->state, why, sizeof why))
        lab_check_fail(c, LAB_STRUCTURE, "metadata: %s", why);
    if (!lab_ufs_check(c->ufs, why, sizeof why))
        lab_check_fail(c, LAB_STRUCTURE, "under-store model: %s", why);
    c->findings[LAB_ANSWERS].checks++;
    if (!lab_model_compare(c->model, c->state, why))
        lab_check_fail(c, LAB_ANSWERS, "%s", why);
}

void lab_check_interval(struct lab_check *c)
{
    if (lab_check_is_due(c->state, &c->whole))
        lab_check_whole(c);
}
