/* sim/lab_group_check.c - the verdicts (see sim/lab_group.h).
 *
 * Whoever applies an index first says what is there, and a second machine, which never crashes,
 * goes on with it; everybody else, and every restart, must agree. */
#include <stdarg.h>
#include "sim/lab_group_impl.h"
#include "sim/lab_own.h"

const char *lab_group_verdict_name(enum lab_group_verdict v)
{
    static const char *const names[] = {"leaders",  "log",       "answers", "linear",
                                        "liveness", "structure", "raft"};
    return v < LAB_GROUP_VERDICTS ? names[v] : "";
}

void lab_group_finding(struct lab_group *g, struct lab_finding *f, const char *check,
                       const char *format, va_list args)
{
    if (f->failures++)
        return;
    fmt_into_v(f->what, sizeof f->what, format, args);
    f->at_ns = group_now_ns(g);
    lab_group_note(g, "FAIL %s: %s", check, f->what);
}

void lab_group_fail(struct lab_group *g, enum lab_group_verdict v, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    lab_group_finding(g, &g->check.findings[v], lab_own_verdict(&g->s, v), format, args);
    va_end(args);
}

void *lab_group_check_room(struct lab_group *g, void *p, uint64_t need, uint64_t *cap, size_t size)
{
    uint64_t to = *cap ? *cap : 1024;
    if (need <= *cap)
        return p;
    while (to < need)
        to *= 2;
    void *q = mem_zalloc(g->mem, to * size);
    ASSERT(q != NULL);
    if (*cap)
        memcpy(q, p, *cap * size);
    mem_free(g->mem, p, *cap * size);
    *cap = to;
    return q;
}

static void check_raft(void *ctx, const char *what)
{
    lab_group_fail(ctx, LAB_GROUP_RAFT, "%s", what);
}

void lab_group_check_open(struct lab_group *g)
{
    struct lab_raft_config rc = {check_raft, g, &g->check.findings[LAB_GROUP_RAFT].checks};
    if (g->s.journal.raft)
        g->raft = lab_raft_open(g->mem, &rc);
    for (uint32_t i = 0; g->raft && i < g->n_nodes; i++)
        g->node[i].watch = lab_raft_member(g->raft, sim_node_name(g->node[i].node));
    struct group_check *c = &g->check;
    uint64_t all = lab_scenario_operations(&g->s), n = lab_scenario_recent(&g->s), ops = 0;
    lab_ring_open(&c->entry, g->mem, sizeof(struct group_entry), n + n / 4, 0);
    lab_ring_open(&c->old, g->mem, sizeof(struct group_old), all + all / 4, GROUP_OLD);
    lab_ring_open(&c->tickets, g->mem, sizeof(uint64_t), all + all / 4, GROUP_OLD);
    c->ops = lab_group_check_room(g, c->ops, n, &ops, sizeof *c->ops);
    c->cap_ops = (uint32_t)ops;
    for (uint32_t k = 0; k < g->s.journal.keys; k++) {
        struct group_past *p = &c->past[k];
        uint64_t cap = 0, cap2 = 0;
        p->index = lab_group_check_room(g, NULL, n / g->s.journal.keys, &cap, sizeof *p->index);
        p->value = lab_group_check_room(g, NULL, n / g->s.journal.keys, &cap2, sizeof *p->value);
        p->cap = (uint32_t)cap;
    }
}

static bool check_index(struct lab_group *g, uint64_t index)
{
    bool ok = index < g->check.last + ((uint64_t)1 << 24);
    if (!ok)
        lab_group_fail(g, LAB_GROUP_LOG, "index %llu", (unsigned long long)index);
    return ok;
}

/* NULL: it was forgotten, or nobody has applied it yet */
static const struct group_entry *check_entry(struct lab_group *g, uint64_t index)
{
    return check_index(g, index) ? lab_ring_at(&g->check.entry, index) : NULL;
}

/* the same of what is not there */
static const struct group_old *check_old(struct lab_group *g, uint64_t index)
{
    static const struct group_old none;
    bool is_old = index < g->check.old.first;
    const struct group_old *o = check_index(g, index) ? lab_ring_at(&g->check.old, index) : NULL;
    return o || is_old ? o : &none;
}

static uint32_t check_state(uint64_t chain, uint64_t ballast_sum)
{
    return (uint32_t)base_mix_u64(chain + base_mix_u64(ballast_sum));
}

/* ---- leaders ---- */

static struct group_epoch *check_epoch(struct lab_group *g, uint64_t epoch)
{
    struct group_check *c = &g->check;
    uint64_t cap = c->cap_epochs;
    for (uint32_t i = 0; i < c->n_epochs; i++)
        if (c->epochs[i].epoch == epoch)
            return &c->epochs[i];
    c->epochs = lab_group_check_room(g, c->epochs, c->n_epochs + 1, &cap, sizeof *c->epochs);
    c->cap_epochs = (uint32_t)cap;
    c->epochs[c->n_epochs] = (struct group_epoch){.epoch = epoch};
    return &c->epochs[c->n_epochs++];
}

static void check_leader(struct group_node *n, uint64_t epoch, uint64_t applied)
{
    struct lab_group *g = n->g;
    const char *name = sim_node_name(n->node);
    struct group_epoch *e = check_epoch(g, epoch);
    g->stats.leaderships++;
    g->check.findings[LAB_GROUP_LEADERS].checks++;
    if (e->by)
        lab_group_fail(g, LAB_GROUP_LEADERS, "%s begins to lead in epoch %llu, as %s did before",
                       name, (unsigned long long)epoch, sim_node_name(e->by->node));
    if (epoch <= n->epoch)
        lab_group_fail(g, LAB_GROUP_LEADERS, "%s: epoch %llu after %llu", name,
                       (unsigned long long)epoch, (unsigned long long)n->epoch);
    n->epoch = epoch;
    e->by = n;
    /* Who wakes up to votes of an old term leads nobody. */
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const struct group_node *o = &g->node[i];
        if (o != n && o->m && o->epoch < epoch && lab_group_member_trusts(o->m, UINT64_MAX))
            lab_group_fail(g, LAB_GROUP_LEADERS, "%s begins to lead while %s has a lease", name,
                           sim_node_name(o->node));
    }
    for (uint32_t i = 0; i < g->check.n_epochs; i++) {
        const struct group_epoch *o = &g->check.epochs[i];
        if (o->epoch < epoch && o->acked > applied)
            lab_group_fail(g, LAB_GROUP_LEADERS,
                           "%s leads in epoch %llu, has applied %llu; %llu was acknowledged in "
                           "epoch %llu",
                           name, (unsigned long long)epoch, (unsigned long long)applied,
                           (unsigned long long)o->acked, (unsigned long long)o->epoch);
    }
}

void lab_group_check_role(struct group_node *n, enum journal_role role, uint64_t epoch, int why,
                          uint64_t applied)
{
    static const char *const names[] = {"starting", "standby", "leader", "failed"};
    struct lab_group *g = n->g;
    lab_group_note(g, "%s role %s epoch %llu applied %llu%s%s", sim_node_name(n->node), names[role],
                   (unsigned long long)epoch, (unsigned long long)applied, why ? " " : "",
                   why ? err_name(why) : "");
    if (g->watch.on_lead)
        g->watch.on_lead(g->watch.ctx, group_now_ns(g), sim_node_name(n->node), epoch,
                         role == JOURNAL_LEADER);
    g->check.findings[LAB_GROUP_STRUCTURE].checks++;
    if (role == JOURNAL_LEADER) {
        check_leader(n, epoch, applied);
        lab_group_plot_topple(n);
    }
    n->has_begun |= role == JOURNAL_STANDBY || role == JOURNAL_LEADER;
    /* a disk that is full has no place for a member's first files; then it has a reserve */
    bool no_place = (n->joins || !n->has_begun) && n->full && why == E_NOSPC;
    if (role == JOURNAL_FAILED && !no_place && group_now_ns(g) > n->excused_until_ns &&
        !(g->zk && lab_zk_site_excuses(g->zk, n->node, why)))
        lab_group_fail(g, LAB_GROUP_STRUCTURE, "%s: the journal failed: %s", sim_node_name(n->node),
                       err_name(why));
}

/* ---- log ---- */

/* What is committed is known to whoever may answer reads by himself. */
static void check_leases(struct group_node *by, uint64_t index)
{
    struct lab_group *g = by->g;
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        struct group_node *n = &g->node[i];
        if (n != by && n->m && lab_group_member_trusts(n->m, index))
            lab_group_fail(g, LAB_GROUP_LEADERS, "%s applies %llu while %s has a lease without it",
                           sim_node_name(by->node), (unsigned long long)index,
                           sim_node_name(n->node));
    }
}

static void check_first(struct lab_group *g, const struct group_record *r, struct group_entry *e)
{
    struct group_check *c = &g->check;
    uint64_t index = r->index, key = base_get_u64(r->bytes + 32);
    e->ticket = r->ticket;
    e->client = base_get_u64(r->bytes + 8);
    e->seq = base_get_u64(r->bytes + 16);
    uint64_t had = c->state.value[key];
    e->executed = lab_group_state_apply(&c->state, r, NULL, 0);
    e->value = c->state.session[e->client].value;
    e->did = c->state.session[e->client].did;
    e->chain = c->state.chain;
    c->last = index;
    g->stats.records++;
    g->stats.duplicates += !e->executed;
    struct group_past *p = &c->past[key];
    if (had != c->state.value[key]) {
        uint64_t cap = p->cap, cap2 = p->cap;
        p->index = lab_group_check_room(g, p->index, p->n + 1, &cap, sizeof *p->index);
        p->value = lab_group_check_room(g, p->value, p->n + 1, &cap2, sizeof *p->value);
        p->cap = (uint32_t)cap;
        p->index[p->n] = index;
        p->value[p->n++] = c->state.value[key];
    }
    if (e->ticket > g->tickets) {
        lab_group_fail(g, LAB_GROUP_LOG, "record %llu was never submitted",
                       (unsigned long long)index);
        return;
    }
    uint64_t *was = lab_ring_push(&c->tickets, e->ticket);
    if (was && *was)
        lab_group_fail(g, LAB_GROUP_LOG, "records %llu and %llu are of one submit",
                       (unsigned long long)*was, (unsigned long long)index);
    if (was)
        *was = index;
}

void lab_group_check_apply(struct group_node *n, const struct group_record *r, uint64_t before,
                           const struct group_state *st)
{
    struct lab_group *g = n->g;
    struct group_check *c = &g->check;
    uint64_t index = r->index, hash = r->digest | 1;
    const char *name = sim_node_name(n->node);
    c->findings[LAB_GROUP_LOG].checks++;
    if (!check_index(g, index))
        return;
    if (index <= before)
        lab_group_fail(g, LAB_GROUP_LOG, "%s applies %llu after %llu", name,
                       (unsigned long long)index, (unsigned long long)before);
    if (index > c->last) {
        struct group_entry *e = lab_ring_push(&c->entry, index);
        struct group_old *o = lab_ring_push(&c->old, index);
        e->hash = hash;
        if (before != c->last)
            lab_group_fail(g, LAB_GROUP_LOG,
                           "%s applies %llu after %llu; others have applied up to %llu", name,
                           (unsigned long long)index, (unsigned long long)before,
                           (unsigned long long)c->last);
        check_first(g, r, e);
        if (g->watch.on_record)
            g->watch.on_record(g->watch.ctx, group_now_ns(g), index, name);
        check_leases(n, index);
        e->ballast_sum = st->ballast_sum;
        *o = (struct group_old){(uint32_t)hash, check_state(e->chain, e->ballast_sum),
                                (uint32_t)e->ticket};
        lab_group_note(g, "%s record %llu ticket %llu client %llu seq %llu key %llu value %llu%s",
                       name, (unsigned long long)index, (unsigned long long)e->ticket,
                       (unsigned long long)e->client, (unsigned long long)e->seq,
                       (unsigned long long)base_get_u64(r->bytes + 32),
                       (unsigned long long)e->value, e->executed ? "" : " known");
        return;
    }
    const struct group_old *o = check_old(g, index);
    if (o && o->hash != (uint32_t)hash)
        lab_group_fail(g, LAB_GROUP_LOG, "%s applies ticket %llu as record %llu, which is %llu",
                       name, (unsigned long long)r->ticket, (unsigned long long)index,
                       (unsigned long long)o->ticket);
    else if (o && o->state != check_state(st->chain, st->ballast_sum))
        lab_group_fail(g, LAB_GROUP_LOG, "%s: another state than others had after record %llu",
                       name, (unsigned long long)index);
}

void lab_group_check_image(struct group_node *n, const struct group_state *st)
{
    struct lab_group *g = n->g;
    const struct group_old *o = check_old(g, st->applied);
    lab_group_note(g, "%s loads an image of %llu", sim_node_name(n->node),
                   (unsigned long long)st->applied);
    g->check.findings[LAB_GROUP_LOG].checks++;
    if (st->applied && o && o->state != check_state(st->chain, st->ballast_sum))
        lab_group_fail(g, LAB_GROUP_LOG, "%s: an image of %llu is not what others had there",
                       sim_node_name(n->node), (unsigned long long)st->applied);
}

void lab_group_check_done(struct group_node *n, uint64_t epoch, uint64_t ticket, uint64_t index,
                          uint64_t applied)
{
    struct lab_group *g = n->g;
    const struct group_old *was = check_old(g, index);
    const char *name = sim_node_name(n->node);
    struct group_epoch *o = check_epoch(g, epoch);
    g->check.findings[LAB_GROUP_LOG].checks++;
    if (index > applied)
        lab_group_fail(g, LAB_GROUP_LOG, "%s acknowledges %llu, has applied %llu", name,
                       (unsigned long long)index, (unsigned long long)applied);
    if (was && was->ticket != (uint32_t)ticket)
        lab_group_fail(
            g, LAB_GROUP_LOG, "%s acknowledges ticket %llu as record %llu, which is %llu", name,
            (unsigned long long)ticket, (unsigned long long)index, (unsigned long long)was->ticket);
    o->acked = base_max_u64(o->acked, index);
}

/* ---- answers ---- */

void lab_group_check_write(struct lab_group *g, const struct group_request *q, int64_t from_ns,
                           uint64_t floor, const struct group_answer *a)
{
    static const struct group_entry none;
    const struct group_entry *at = check_entry(g, a->index), *e = at ? at : &none;
    struct lab_wgl_op op = {.key = q->key, .from = from_ns, .to = group_now_ns(g)};
    g->check.findings[LAB_GROUP_ANSWERS].checks++;
    g->stats.writes++;
    if (a->index <= floor)
        lab_group_fail(
            g, LAB_GROUP_ANSWERS, "client %llu: asked when %llu had been seen, and written as %llu",
            (unsigned long long)q->client, (unsigned long long)floor, (unsigned long long)a->index);
    if (e->client != q->client || e->seq != q->seq || !e->executed || e->value != a->value ||
        e->did != a->did)
        lab_group_fail(g, LAB_GROUP_ANSWERS,
                       "client %llu: number %llu is answered as record %llu, value %llu, which is "
                       "client %llu, number %llu, value %llu",
                       (unsigned long long)q->client, (unsigned long long)q->seq,
                       (unsigned long long)a->index, (unsigned long long)a->value,
                       (unsigned long long)e->client, (unsigned long long)e->seq,
                       (unsigned long long)e->value);
    g->check.floor = base_max_u64(g->check.floor, a->index);
    op.f = q->verb == GROUP_WRITE ? LAB_WGL_WRITE : a->did ? LAB_WGL_CAS : LAB_WGL_READ;
    op.a = q->verb == GROUP_WRITE || a->did ? q->a : a->value;
    op.b = q->b;
    lab_group_linear_op(g, op);
}

static uint64_t check_value_at(const struct group_past *p, uint64_t index)
{
    uint32_t lo = 0, hi = p->n; /* of the changes, lo are at or before index */
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (p->index[mid] <= index)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo ? p->value[lo - 1] : 0;
}

void lab_group_check_read(struct lab_group *g, const struct group_request *q, int64_t from_ns,
                          uint64_t floor, const struct group_answer *a)
{
    struct group_check *c = &g->check;
    uint64_t want = check_value_at(&c->past[q->key], a->index);
    c->findings[LAB_GROUP_ANSWERS].checks++;
    g->stats.reads++;
    if (a->index < floor)
        lab_group_fail(
            g, LAB_GROUP_ANSWERS, "client %llu: asked when %llu had been seen, and read as of %llu",
            (unsigned long long)q->client, (unsigned long long)floor, (unsigned long long)a->index);
    if (a->value != want)
        lab_group_fail(g, LAB_GROUP_ANSWERS, "client %llu: key %llu as of %llu is %llu, not %llu",
                       (unsigned long long)q->client, (unsigned long long)q->key,
                       (unsigned long long)a->index, (unsigned long long)want,
                       (unsigned long long)a->value);
    c->floor = base_max_u64(c->floor, a->index);
    lab_group_linear_op(g, (struct lab_wgl_op){.key = q->key,
                                               .from = from_ns,
                                               .to = group_now_ns(g),
                                               .f = LAB_WGL_READ,
                                               .a = a->value});
}

void lab_group_check_unknown(struct lab_group *g, const struct group_request *q, int64_t from_ns)
{
    g->stats.unanswered++;
    lab_group_linear_op(
        g, (struct lab_wgl_op){.key = q->key,
                               .from = from_ns,
                               .to = INT64_MAX,
                               .f = q->verb == GROUP_WRITE ? LAB_WGL_WRITE : LAB_WGL_CAS_MAYBE,
                               .a = q->a,
                               .b = q->b});
}

/* ---- at the end, and before ---- */

void lab_group_check_end(struct lab_group *g)
{
    lab_group_linear_end(g);
}

/* Answers have places at `floor` or later: the change before that is what is read there. */
static void check_forget_past(struct group_past *p, uint64_t floor)
{
    uint32_t k = 0;
    while (k + 1 < p->n && p->index[k + 1] <= floor)
        k++;
    p->n -= k;
    memmove(p->index, p->index + k, p->n * sizeof *p->index);
    memmove(p->value, p->value + k, p->n * sizeof *p->value);
}

void lab_group_check_forget(struct lab_group *g)
{
    struct group_check *c = &g->check;
    int64_t from_ns[GROUP_KEYS];
    uint64_t floor = base_min_u64(c->floor, lab_group_load_oldest(g->load, from_ns));
    for (uint32_t k = 0; k < g->s.journal.keys; k++)
        check_forget_past(&c->past[k], floor);
    lab_ring_forget(&c->entry, floor);
    lab_group_linear_forget(g);
}
