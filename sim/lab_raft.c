/* sim/lab_raft.c - Raft's properties (see sim/lab_raft.h).
 *
 * WHY NO CHAIN.  Of each entry, by index and term, a digest and the term of the entry before it are
 * kept.  If both are the same on two logs, so are the entries before, by the same rule, down to the
 * first: this is the chain of hashes, a link at a time.  It can be forgotten from its old end, and
 * a log that was cut, or that begins with an image, goes on anywhere.
 *
 * MEMORY.  All is in tables of fixed size, by index, term and member; what is old gives way to what
 * is new.  Of what gave way nothing is said. */
#include "sim/lab_raft.h"
#include "core/fmt.h"
#include "journal/raft_format.h"
#include "journal/raft_log.h"
#include "sim/sim.h"

enum {
    RAFT_WINDOW = 1 << 15, /* entries */
    RAFT_SAME = 3,         /* of one index, and several terms */
    RAFT_TERMS = 512,
    RAFT_IDS = 256,
    RAFT_CONFS = 64,
    RAFT_ACKS = 24, /* members that answer one leader */
    RAFT_MACHINES = 16,
    RAFT_TEXT = 300,
};

struct raft_slot_seen { /* term 0: none; before: of the entry before it, 0: not known */
    uint64_t term, before, digest;
};

struct raft_index {
    uint64_t index;
    uint64_t committed, by; /* the entry's term, 0: it is not; the term in which it was */
    struct raft_slot_seen seen[RAFT_SAME];
};

struct raft_term {
    uint64_t term;
    const struct raft_machine *leader;
    uint32_t id, life; /* the leader's */
    uint32_t n;
    bool is_full;
    struct raft_ack {
        uint32_t id;
        uint64_t index;
    } ack[RAFT_ACKS];
};

struct raft_promise {
    uint32_t id, vote;
    uint64_t term;
};

struct raft_voters { /* n 0: not known */
    uint64_t index, term;
    uint32_t n;
    uint32_t id[RAFT_MEMBERS_MAX];
    uint8_t flags[RAFT_MEMBERS_MAX];
};

struct raft_machine {
    struct raft_watch watch;
    struct lab_raft *r;
    const char *name;
    uint32_t id, id_was, life; /* id_was: of its last life */
    /* its log: entries base+1 .. last */
    uint64_t base, base_term, last;
    uint32_t n_runs;
    struct raft_run run[RAFT_RUNS_MAX + 2];
    /* its core, after the last step */
    uint64_t led, commit; /* led: the term that it led in, 0: none */
    struct raft_meta saved;
    bool was_cut, conf_due;
    bool lost; /* its disk was, and it has its old name */
    struct raft_voters conf, conf_was;
};

struct lab_raft {
    struct lab_raft_config cfg;
    uint64_t committed; /* the highest index */
    struct raft_index *window;
    struct raft_term term[RAFT_TERMS];
    struct raft_promise promise[RAFT_IDS];
    struct raft_voters conf[RAFT_CONFS];
    uint32_t n_machines;
    struct raft_machine machine[RAFT_MACHINES];
};

#define U(x) ((unsigned long long)(x))

static void raft_bad(const struct raft_machine *m, const char *format, ...) PRINTF_LIKE(2, 3);
static void raft_bad(const struct raft_machine *m, const char *format, ...)
{
    char text[RAFT_TEXT];
    va_list args;
    va_start(args, format);
    fmt_into_v(text, sizeof text, format, args);
    va_end(args);
    m->r->cfg.fail(m->r->cfg.ctx, text);
}

static struct raft_machine *machine_of(struct raft_watch *w)
{
    return container_of(w, struct raft_machine, watch);
}

/* ---- what is remembered ---- */

/* NULL: forgotten */
static struct raft_index *raft_at(struct lab_raft *r, uint64_t index)
{
    struct raft_index *x = &r->window[index % RAFT_WINDOW];
    if (x->index < index)
        *x = (struct raft_index){.index = index};
    return x->index == index ? x : NULL;
}

static struct raft_term *raft_term_of(struct lab_raft *r, uint64_t term)
{
    struct raft_term *t = &r->term[term % RAFT_TERMS];
    if (t->term < term)
        *t = (struct raft_term){.term = term};
    return t->term == term ? t : NULL;
}

static struct raft_promise *raft_promise_of(struct lab_raft *r, uint32_t id)
{
    struct raft_promise *p = &r->promise[id % RAFT_IDS];
    if (p->id < id)
        *p = (struct raft_promise){.id = id};
    return p->id == id ? p : NULL;
}

static uint64_t raft_committed(struct lab_raft *r, uint64_t index)
{
    const struct raft_index *x = index <= r->committed ? raft_at(r, index) : NULL;
    return x ? x->committed : 0;
}

/* ---- a member's log ---- */

/* 0: not known, or not there */
static uint64_t machine_term(const struct raft_machine *m, uint64_t index)
{
    uint32_t lo = 0, hi = m->n_runs;
    if (index == m->base)
        return m->base_term;
    if (index < m->base || index > m->last)
        return 0;
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (m->run[mid].first <= index)
            lo = mid;
        else
            hi = mid;
    }
    return m->n_runs ? m->run[lo].term : 0;
}

static void machine_reset(struct raft_machine *m, uint64_t index, uint64_t term)
{
    m->base = m->last = index;
    m->base_term = term;
    m->n_runs = 0;
    m->conf_due = true;
}

static void machine_cut(struct raft_machine *m, uint64_t to)
{
    m->last = to;
    while (m->n_runs && m->run[m->n_runs - 1].first > to)
        m->n_runs--;
    m->conf_due = true;
}

static void machine_conf(struct raft_machine *m, uint64_t index, uint64_t term, const void *bytes,
                         uint32_t len)
{
    struct lab_raft *r = m->r;
    struct rbuf in = rbuf_make(bytes, len);
    struct raft_conf c;
    m->conf_due = true;
    struct raft_voters *v = &r->conf[0]; /* the oldest gives way */
    for (uint32_t i = 0; i < RAFT_CONFS; i++) {
        if (r->conf[i].index == index && r->conf[i].term == term)
            return;
        v = r->conf[i].index < v->index ? &r->conf[i] : v;
    }
    if (v->index > index || raft_format_conf_get(&in, &c))
        return;
    *v = (struct raft_voters){.index = index, .term = term, .n = c.n};
    for (uint32_t i = 0; i < c.n; i++) {
        v->id[i] = c.member[i].id.v;
        v->flags[i] = c.member[i].flags;
    }
}

static void machine_push(struct raft_machine *m, uint64_t index, uint64_t term, uint8_t type,
                         const void *bytes, uint32_t len)
{
    struct raft_index *x = raft_at(m->r, index);
    uint64_t before = machine_term(m, index - 1);
    uint64_t digest = sim_digest(bytes, len) + type;
    struct raft_slot_seen *to = x ? &x->seen[0] : NULL;
    ++*m->r->cfg.checks;
    if (before > term)
        raft_bad(m, "log matching: %s has entry %llu of term %llu behind one of term %llu", m->name,
                 U(index), U(term), U(before));
    for (uint32_t i = 0; x && i < RAFT_SAME && to->term != term; i++)
        if (x->seen[i].term == term || x->seen[i].term < to->term)
            to = &x->seen[i];
    if (to && to->term != term)
        *to = (struct raft_slot_seen){term, before, digest};
    if (to && to->digest != digest)
        raft_bad(m, "log matching: %s has another entry %llu of term %llu than others", m->name,
                 U(index), U(term));
    if (to && before && to->before && to->before != before)
        raft_bad(m,
                 "log matching: entry %llu of term %llu follows one of term %llu on %s, and one of "
                 "term %llu elsewhere",
                 U(index), U(term), U(before), m->name, U(to->before));
    if (to && !to->before)
        to->before = before;
    m->last = index;
    if (!m->n_runs || m->run[m->n_runs - 1].term != term) {
        if (m->n_runs == ARRAY_LEN(m->run)) { /* it was trimmed there: a core has fewer */
            m->base = m->run[1].first - 1;
            m->base_term = m->run[0].term;
            memmove(m->run, m->run + 1, --m->n_runs * sizeof *m->run);
        }
        m->run[m->n_runs++] = (struct raft_run){index, term};
    }
    if (type == RAFT_CONF)
        machine_conf(m, index, term, bytes, len);
}

/* the last configuration of the log, or the last committed one that it may begin with */
static void machine_conf_find(struct raft_machine *m)
{
    struct lab_raft *r = m->r;
    const struct raft_voters *best = NULL;
    m->conf_due = false;
    for (uint32_t i = 0; i < RAFT_CONFS; i++) {
        const struct raft_voters *v = &r->conf[i];
        uint64_t term =
            v->index <= m->base ? raft_committed(r, v->index) : machine_term(m, v->index);
        if (v->index && term == v->term && (!best || v->index > best->index))
            best = v;
    }
    m->conf = best ? *best : (struct raft_voters){.n = 0};
}

/* ---- what the log says ---- */

static void watch_found(struct raft_watch *w, uint64_t index, uint64_t term, uint8_t type,
                        const void *bytes, uint32_t len)
{
    struct raft_machine *m = machine_of(w);
    if (type == RAFT_LOG_RESET) {
        machine_reset(m, index, term);
        return;
    }
    if (index <= m->base || index > m->last + 1)
        machine_reset(m, index - 1, 0); /* of the entry before nothing is told */
    else if (index <= m->last)
        machine_cut(m, index - 1);
    machine_push(m, index, term, type, bytes, len);
}

static void watch_appended(struct raft_watch *w, uint64_t index, const struct raft_entry *e,
                           const void *bytes)
{
    machine_push(machine_of(w), index, e->term, e->type, bytes, e->len);
}

static void watch_cut(struct raft_watch *w, uint64_t to)
{
    struct raft_machine *m = machine_of(w);
    m->was_cut |= to < m->last;
    machine_cut(m, to);
}

static void watch_reset(struct raft_watch *w, uint64_t index, uint64_t term)
{
    struct raft_machine *m = machine_of(w);
    m->was_cut = true;
    machine_reset(m, index, term);
}

/* ---- promises ---- */

static void machine_promise(struct raft_machine *m, uint64_t term, uint32_t vote, const char *how)
{
    struct raft_promise *p = raft_promise_of(m->r, m->id);
    ++*m->r->cfg.checks;
    if (!p)
        return;
    if (term < p->term)
        raft_bad(m, "election safety: %s %s term %llu, and had promised something in term %llu",
                 m->name, how, U(term), U(p->term));
    if (term == p->term && p->vote && vote && vote != p->vote)
        raft_bad(m, "election safety: %s %s term %llu with a vote for %u, and had voted for %u",
                 m->name, how, U(term), vote, p->vote);
    if (term > p->term)
        *p = (struct raft_promise){.id = m->id, .term = term};
    if (term == p->term && !p->vote)
        p->vote = vote;
}

static void watch_began(struct raft_watch *w, struct raft_id self, const struct raft_meta *meta)
{
    struct raft_machine *m = machine_of(w);
    m->lost &= m->id_was == self.v;
    m->id = m->id_was = self.v;
    m->saved = *meta;
    m->was_cut = false;
    m->conf_due = true;
    if (m->lost) /* and knows nothing of its promises; but they hold */
        return;
    machine_promise(m, meta->term, meta->vote.v, "starts in");
    const struct raft_promise *p = raft_promise_of(m->r, m->id);
    if (p && p->vote && p->term == meta->term && !meta->vote.v)
        raft_bad(m, "election safety: %s starts in term %llu and has forgotten its vote for %u",
                 m->name, U(meta->term), p->vote);
}

static void watch_saved(struct raft_watch *w, const struct raft_meta *meta)
{
    machine_of(w)->saved = *meta;
}

/* vote 0: none is promised */
static void machine_told(struct raft_machine *m, uint64_t term, uint32_t vote, const char *how)
{
    if (m->saved.term < term || (vote && m->saved.term == term && m->saved.vote.v != vote))
        raft_bad(m, "election safety: %s %s term %llu, which is not on its disk", m->name, how,
                 U(term));
    machine_promise(m, term, vote, how);
}

static void machine_ack(struct raft_machine *m, uint64_t term, uint64_t index)
{
    struct raft_term *t = raft_term_of(m->r, term);
    uint32_t i = 0;
    while (t && i < t->n && t->ack[i].id != m->id)
        i++;
    if (t && i == RAFT_ACKS)
        t->is_full = true;
    if (!t || i == RAFT_ACKS)
        return;
    if (i == t->n)
        t->ack[t->n++] = (struct raft_ack){.id = m->id};
    t->ack[i].index = base_max_u64(t->ack[i].index, index);
}

static void watch_sent(struct raft_watch *w, const struct raft_message *x, uint64_t stored)
{
    struct raft_machine *m = machine_of(w);
    bool grants = x->type == RAFT_MSG_VOTE_REPLY && !x->reject;
    bool accepts = x->type == RAFT_MSG_APPEND_REPLY && !x->reject;
    if (m->lost && (x->type == RAFT_MSG_VOTE || grants))
        raft_bad(m,
                 "election safety: %s votes in term %llu; its disk was lost, and it has the same "
                 "name",
                 m->name, U(x->term));
    if (x->type == RAFT_MSG_VOTE)
        machine_told(m, x->term, m->id, "stands in");
    if (grants)
        machine_told(m, x->term, x->to.v, "votes in");
    if (!accepts)
        return;
    machine_told(m, x->term, 0, "answers in");
    if (x->index > stored && x->index > m->base)
        raft_bad(m, "state machine safety: %s answers for entry %llu, and has %llu on its disk",
                 m->name, U(x->index), U(stored));
    machine_ack(m, x->term, x->index);
}

/* ---- steps ---- */

/* RAFT_VOTER or RAFT_OLD: of that half */
static bool raft_has_majority(const struct raft_machine *m, const struct raft_voters *c,
                              const struct raft_term *t, uint64_t index, uint64_t stored,
                              uint8_t half)
{
    uint32_t have = 0, all = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        if (!(c->flags[i] & half))
            continue;
        all++;
        uint64_t has = c->id[i] == m->id ? stored : 0;
        for (uint32_t k = 0; k < t->n; k++)
            if (t->ack[k].id == c->id[i] && c->id[i] != m->id)
                has = t->ack[k].index;
        have += has >= index;
    }
    return all == 0 || have * 2 > all;
}

static bool raft_is_counted(const struct raft_machine *m, const struct raft_voters *c,
                            const struct raft_term *t, uint64_t index, uint64_t stored)
{
    return c->n == 0 || (raft_has_majority(m, c, t, index, stored, RAFT_VOTER) &&
                         raft_has_majority(m, c, t, index, stored, RAFT_OLD));
}

static void machine_committed(struct raft_machine *m, const struct raft_brief *b, uint64_t commit,
                              uint64_t stored)
{
    struct lab_raft *r = m->r;
    uint64_t term = machine_term(m, commit), was = raft_committed(r, commit);
    const struct raft_term *t = raft_term_of(r, b->term);
    if (commit > m->last)
        raft_bad(m, "state machine safety: %s commits entry %llu, its log ends at %llu", m->name,
                 U(commit), U(m->last));
    if (was && term && was != term)
        raft_bad(m,
                 "state machine safety: %s commits entry %llu of term %llu, and others one of term "
                 "%llu",
                 m->name, U(commit), U(term), U(was));
    if (b->role == RAFT_LEADER && term && term != b->term)
        raft_bad(m,
                 "state machine safety: %s leads in term %llu and commits entry %llu of term %llu",
                 m->name, U(b->term), U(commit), U(term));
    if (b->role == RAFT_LEADER && t && !t->is_full &&
        !raft_is_counted(m, &m->conf, t, commit, stored) &&
        !raft_is_counted(m, &m->conf_was, t, commit, stored))
        raft_bad(m, "state machine safety: %s commits entry %llu without a majority", m->name,
                 U(commit));
    for (uint64_t i = r->committed + 1; i <= commit && i <= m->last; i++) {
        struct raft_index *x = raft_at(r, i);
        r->committed = i;
        if (!x)
            continue;
        x->committed = machine_term(m, i);
        x->by = b->term;
    }
}

static void machine_elected(struct raft_machine *m, uint64_t term)
{
    struct lab_raft *r = m->r;
    uint64_t c = r->committed;
    const struct raft_index *x = NULL;
    while (c && (x = raft_at(r, c)) && x->by >= term)
        c--; /* it was elected late: another leads already */
    if (!c || !x)
        return;
    uint64_t has = machine_term(m, c);
    if (c > m->last)
        raft_bad(m,
                 "leader completeness: %s leads in term %llu, its log ends at %llu; %llu was "
                 "committed in term %llu",
                 m->name, U(term), U(m->last), U(c), U(x->by));
    else if (has && x->committed && has != x->committed)
        raft_bad(m,
                 "leader completeness: %s leads in term %llu, its entry %llu is of term %llu; one "
                 "of term %llu was committed in term %llu",
                 m->name, U(term), U(c), U(has), U(x->committed), U(x->by));
}

static void machine_leads(struct raft_machine *m, uint64_t term)
{
    struct raft_term *t = raft_term_of(m->r, term);
    if (m->led == term && m->was_cut)
        raft_bad(m, "leader append-only: %s leads in term %llu, and its log is cut to %llu",
                 m->name, U(term), U(m->last));
    if (!t)
        return;
    if (!t->leader) {
        t->leader = m;
        t->id = m->id;
        t->life = m->life;
        machine_elected(m, term);
    } else if (t->leader != m || t->id != m->id || t->life != m->life) {
        raft_bad(m, "election safety: %s leads in term %llu, as %s did", m->name, U(term),
                 t->leader->name);
    }
}

static bool raft_voters_are(const struct raft_voters *v, const struct raft_conf *c)
{
    bool same = v->n == c->n;
    for (uint32_t i = 0; same && i < v->n; i++)
        same = v->id[i] == c->member[i].id.v && v->flags[i] == c->member[i].flags;
    return same;
}

/* The last one of the log; of a log that begins behind it, with an image, perhaps a later one that
 * is committed (raft_log_start). */
static void machine_follows_conf(struct raft_machine *m, const struct raft *r)
{
    const struct raft_conf *c = raft_conf(r);
    const struct raft_voters *v = &m->conf, *later = NULL;
    if (v->n == 0 || raft_voters_are(v, c))
        return;
    for (uint32_t i = 0; v->index <= m->base && i < RAFT_CONFS; i++) {
        const struct raft_voters *x = &m->r->conf[i];
        if (x->index > v->index && raft_committed(m->r, x->index) == x->term &&
            raft_voters_are(x, c))
            later = x;
    }
    if (later)
        m->conf = *later;
    else
        raft_bad(m, "configuration: that of %s is not the last of its log, of entry %llu", m->name,
                 U(v->index));
}

/* by whoever leads: one at a time, and once it is known what is committed */
static void machine_changes_conf(struct raft_machine *m, const struct raft_brief *b,
                                 uint64_t commit)
{
    if (m->led != b->term || !m->conf.n || m->conf.index <= m->conf_was.index)
        return;
    if (m->conf_was.index > commit)
        raft_bad(m,
                 "configuration: %s begins a change with entry %llu; that of entry %llu is not "
                 "committed",
                 m->name, U(m->conf.index), U(m->conf_was.index));
    if (commit < b->term_start)
        raft_bad(m,
                 "configuration: %s begins a change with entry %llu, and has committed nothing in "
                 "term %llu",
                 m->name, U(m->conf.index), U(b->term));
}

static void watch_stepped(struct raft_watch *w, const struct raft *r, uint64_t stored)
{
    struct raft_machine *m = machine_of(w);
    uint64_t commit = raft_commit(r);
    struct raft_brief b;
    raft_brief(r, &b);
    ++*m->r->cfg.checks;
    if (m->conf_due)
        machine_conf_find(m);
    machine_follows_conf(m, r);
    if (b.role == RAFT_LEADER) {
        machine_leads(m, b.term);
        machine_changes_conf(m, &b, commit);
    }
    if (commit > m->commit)
        machine_committed(m, &b, commit, stored);
    m->commit = base_max_u64(m->commit, commit);
    m->led = b.role == RAFT_LEADER ? b.term : 0;
    m->was_cut = false;
    if (m->conf_was.index != m->conf.index || m->conf_was.term != m->conf.term)
        m->conf_was = m->conf;
}

/* ---- from outside ---- */

struct lab_raft *lab_raft_open(struct mem *m, const struct lab_raft_config *cfg)
{
    struct lab_raft *r = mem_zalloc(m, sizeof *r);
    ASSERT(r != NULL);
    r->cfg = *cfg;
    r->window = mem_zalloc(m, RAFT_WINDOW * sizeof *r->window);
    ASSERT(r->window != NULL);
    return r;
}

struct raft_watch *lab_raft_member(struct lab_raft *r, const char *name)
{
    ASSERT(r->n_machines < RAFT_MACHINES);
    struct raft_machine *m = &r->machine[r->n_machines++];
    m->r = r;
    m->name = name;
    m->watch = (struct raft_watch){.found = watch_found,
                                   .appended = watch_appended,
                                   .cut = watch_cut,
                                   .reset = watch_reset,
                                   .began = watch_began,
                                   .saved = watch_saved,
                                   .sent = watch_sent,
                                   .stepped = watch_stepped};
    return &m->watch;
}

void lab_raft_starts(struct raft_watch *w)
{
    struct raft_machine *m = machine_of(w);
    m->life++;
    m->id = 0;
    m->led = m->commit = 0;
    m->conf = m->conf_was = (struct raft_voters){.n = 0};
    machine_reset(m, 0, 0);
}

void lab_raft_lost(struct raft_watch *w)
{
    machine_of(w)->lost = true;
}
