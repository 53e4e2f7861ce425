/* tests/unit/test_raft_check.h - what the tests' world of Raft cores (test_raft_world.h) is made
 * of, and what is checked in it after every step. */
#ifndef TESTS_UNIT_TEST_RAFT_CHECK_H
#define TESTS_UNIT_TEST_RAFT_CHECK_H

#include "core/mutant.h"
#include "core/prng.h"
#include "journal/journal.h"
#include "tests/unit/test_raft_config.h"
#include "tests/unit/unit.h"

enum {
    RW_NODES = 7,
    RW_LOG = 4096,
    RW_QUEUE = 512,
    RW_CONFS = 512,
    RW_TERMS = 1 << 16,
    RW_OPS = 1024,
    RW_LATE = 64,
    RW_SEEN = 1 << 15,
    RW_MARGIN = 8,
};

struct rw_entry {
    uint64_t term, value; /* value: unique; a RAFT_CONF's: which of w->conf */
    uint8_t type;
};

struct rw_log { /* entries base+1 .. last */
    uint64_t base, base_term, last;
    struct rw_entry e[RW_LOG];
};

struct rw_packet {
    struct raft_message m;
    int64_t at;
    struct rw_entry *e;
    uint32_t conf; /* of an IMAGE */
};

struct rw_link { /* FIFO */
    struct rw_packet *q;
    uint32_t first, n;
    int64_t last_at, delay_ns;
    int64_t told_at; /* when the ends learn that it broke; 0: nothing to tell */
    bool cut;
};

struct rw_op { /* of a disk, in order: of the log, or of term and vote */
    int64_t at;
    bool cut;
    struct raft_meta meta;
    uint64_t seq, cut_to, first, n, upto; /* upto: what its completion says */
    struct rw_entry *e;
};

struct rw_ops {
    struct rw_op op[RW_OPS];
    uint32_t first, n;
};

struct rw_fetch {
    int64_t at;
    struct raft_fetch f;
};

struct rw_image {
    uint64_t index, term, conf;
};

struct rw_node {
    struct raft_id id;
    struct raft *raft; /* NULL: down */
    struct raft_config cfg;
    struct rw_log log, disk;
    struct raft_meta meta;
    struct rw_image image;
    struct rw_ops logs, metas;
    int64_t heard_ns;       /* when it did */
    int64_t promised_until; /* by its clock: it heard a leader; also if it has forgotten */
    int64_t sure_until;     /* by its clock: what it owes below may begin, as nobody else leads */
    uint64_t sure_term;     /* ... later than in this term */
    int64_t skew_ppm, paused_until, paused_clock, disk_ns;
    struct rw_image coming; /* index 0: none; what was wished for */
    struct raft_id coming_from;
    int64_t image_at, install_at;
    struct rw_fetch fetch[RW_NODES];
    uint32_t fetches;
    struct rw_entry fetched[16];
    uint64_t applied, checked;      /* its commit, up to here */
    uint64_t read_name, read_floor; /* one read at a time; 0: none */
    uint64_t floor, floor_term;     /* damage took entries, and they are not back */
    bool lost, gone;                /* its disk is lost; and it does not start any more */
    bool off;                       /* removed, and taken away */
};

struct rw_seen { /* the value of an entry, by index and term */
    uint64_t index, term, value;
};

struct rw {
    struct mem mem;
    struct prng prng;
    int64_t now;
    struct rw_node node[RW_NODES + 1];
    struct rw_link link[RW_NODES + 1][RW_NODES + 1];
    struct rw_packet late[RW_LATE]; /* repeated by the network, out of order */
    uint32_t n, lates;
    struct rw_entry committed[RW_LOG];
    uint64_t commit_term[RW_LOG]; /* of the leader that committed it */
    uint64_t n_committed, values, reads, reads_done;
    struct raft_id leader_of[RW_TERMS];
    uint8_t voted[RW_TERMS][RW_NODES + 1]; /* for whom, as it was told */
    struct raft_conf conf[RW_CONFS];
    uint32_t n_confs;
    struct raft_effects fx;
    struct rw_seen seen[RW_SEEN];
    uint32_t n_seen;
    const char *broken; /* first violation */
    uint64_t leaders, steps, installs, changes, transfers, cuts, rots;
    uint64_t hash; /* of all that happened */
    /* chances */
    uint32_t loss_ppm, late_ppm, unread_ppm;
    int64_t install_ns;
    uint64_t image_every; /* 0: no images */
    bool images_aligned;
    bool remove_for_good; /* who is removed is taken away at once */
    bool trace;
};

static void rw_check(struct rw *w, bool ok, const char *what)
{
    if (!ok && !w->broken) {
        w->broken = what;
        if (w->trace)
            printf("BROKEN %s at %lld\n", what, (long long)w->now);
    }
}

static void rw_hash(struct rw *w, uint64_t x)
{
    w->hash = (w->hash ^ x) * 0x9e3779b97f4a7c15ull;
    w->hash ^= w->hash >> 29;
}

static struct rw_entry *rw_at(struct rw_log *l, uint64_t i)
{
    return i > l->base && i <= l->last ? &l->e[i % RW_LOG] : NULL;
}

static uint64_t rw_term_at(struct rw_log *l, uint64_t i)
{
    struct rw_entry *e = rw_at(l, i);
    return e ? e->term : i == l->base ? l->base_term : 0;
}

static uint64_t rw_conf_put(struct rw *w, const struct raft_conf *c)
{
    for (uint32_t i = 0; i < w->n_confs; i++)
        if (!memcmp(&w->conf[i], c, sizeof *c))
            return i;
    ASSERT(w->n_confs < RW_CONFS);
    w->conf[w->n_confs] = *c;
    return w->n_confs++;
}

static int64_t rw_clock(const struct rw *w, const struct rw_node *n)
{
    /* exact, so that it never goes back */
    return w->now + w->now / 1000000 * n->skew_ppm + w->now % 1000000 * n->skew_ppm / 1000000;
}

/* --- checks --- */

static void rw_check_seen(struct rw *w, uint64_t index, const struct rw_entry *e)
{
    uint64_t h = (index * 0x9e3779b97f4a7c15ull + e->term * 0xc2b2ae3d27d4eb4full) >> 40;
    for (;; h++) {
        struct rw_seen *x = &w->seen[h % RW_SEEN];
        if (x->index == 0) {
            ASSERT(w->n_seen++ < RW_SEEN / 2);
            *x = (struct rw_seen){index, e->term, e->value};
        }
        if (x->index != index || x->term != e->term)
            continue;
        rw_check(w, x->value == e->value, "two entries of one index and term");
        return;
    }
}

/* something new is committed: whoever may answer reads by himself knows of it */
static void rw_check_leases(struct rw *w)
{
    for (uint32_t i = 1; i <= w->n; i++) {
        struct rw_node *n = &w->node[i];
        if (n->raft && raft_commit(n->raft) < w->n_committed)
            rw_check(w, !raft_lease_holds(n->raft, rw_clock(w, n)),
                     "a lease while another leader commits");
    }
}

static bool rw_has_majority(struct rw *w, uint64_t index, uint64_t term,
                            const struct raft_conf *conf)
{
    uint32_t have[2] = {0, 0}, all[2] = {0, 0};
    for (uint32_t k = 0; k < conf->n; k++)
        for (uint32_t h = 0; h < 2; h++) {
            if (!(conf->member[k].flags & (h ? RAFT_OLD : RAFT_VOTER)))
                continue;
            struct rw_node *o = &w->node[conf->member[k].id.v];
            struct rw_entry *d = rw_at(&o->disk, index);
            all[h]++;
            have[h] += o->lost || o->floor_term /* it had */ || index <= o->image.index ||
                       (d && d->term == term);
        }
    return have[0] * 2 > all[0] && (all[1] == 0 || have[1] * 2 > all[1]);
}

/* conf: in effect before the step; the one after it may have committed as well */
static void rw_check_commit(struct rw *w, struct rw_node *n, const struct raft_conf *conf)
{
    uint64_t c = raft_commit(n->raft);
    uint64_t from = base_max_u64(base_max_u64(n->log.base, n->image.index), n->checked) + 1;
    n->checked = c;
    for (uint64_t i = from; i <= c; i++) {
        struct rw_entry *e = rw_at(&n->log, i);
        rw_check(w, e != NULL, "committed what is not in the log");
        if (!e)
            return;
        if (i <= w->n_committed) {
            struct rw_entry *g = &w->committed[i % RW_LOG];
            rw_check(w, g->term == e->term && g->value == e->value,
                     "two entries committed at one index");
            continue;
        }
        rw_check(w,
                 rw_has_majority(w, i, e->term, conf) ||
                     rw_has_majority(w, i, e->term, raft_conf(n->raft)),
                 "committed without a majority of disks");
        struct raft_status s;
        raft_status(n->raft, &s);
        w->commit_term[i % RW_LOG] = s.term;
        w->committed[i % RW_LOG] = *e;
        w->n_committed = i;
        rw_check_leases(w);
    }
}

/* one vote in a term; an answer is for what is on the disk */
static void rw_check_message(struct rw *w, struct rw_node *n, const struct raft_message *m)
{
    if (m->type == RAFT_MSG_VOTE || (m->type == RAFT_MSG_VOTE_REPLY && !m->reject)) {
        uint8_t *v = &w->voted[m->term % RW_TERMS][n->id.v];
        uint8_t to = (uint8_t)(m->type == RAFT_MSG_VOTE ? n->id.v : m->to.v);
        rw_check(w, *v == 0 || *v == to, "two votes of one voter in a term");
        *v = to;
    }
    if (m->type == RAFT_MSG_APPEND_REPLY && !m->reject)
        rw_check(w, m->index <= n->disk.last || m->index <= n->image.index,
                 "an answer for what is not on the disk");
}

/* Who heard a leader neither stands nor votes while it is bound, unless the leader asked for it, or
 * its host is known to have refused a connection since. */
static void rw_check_promise(struct rw *w, struct rw_node *n, const struct raft_event *ev,
                             const struct raft_effects *fx)
{
    const struct raft_message *m = ev->type == RAFT_MESSAGE ? ev->u.message : NULL;
    bool helps = fx->save_meta && fx->meta.vote.v;
    if (m && (m->type == RAFT_MSG_TIMEOUT_NOW || (m->type == RAFT_MSG_VOTE && m->force)))
        helps = false;
    for (uint32_t i = 0; i < fx->n_messages; i++)
        helps |= fx->message[i].type == RAFT_MSG_PRE_VOTE_REPLY && !fx->message[i].reject;
    rw_check(w, !helps || ev->now_ns >= n->promised_until, "a promise to a leader is broken");
    struct raft_status s;
    raft_status(n->raft, &s);
    if (ev->type == RAFT_CONTACT && !ev->u.contact.up && s.leader.v == ev->u.contact.id.v)
        n->promised_until = base_min_i64(n->promised_until, n->heard_ns + n->cfg.promise_ns);
    if (m && (m->type == RAFT_MSG_APPEND || m->type == RAFT_MSG_IMAGE) && s.leader.v == m->from.v &&
        s.term == m->term) {
        n->heard_ns = ev->now_ns;
        n->promised_until = ev->now_ns + raft_bound_ns(n->cfg.promise_ns, n->cfg.suspect_min_ns);
    }
}

/* What a leader that is sure of itself begins below, it begins within journal_sure_ns: nobody else
 * leads before, unless it called him, which its host knew of. */
static void rw_check_sure(struct rw_node *n, int64_t now, const struct raft_effects *fx)
{
    struct journal_raft c = {.promise_ns = n->cfg.promise_ns,
                             .suspect_min_ns = n->cfg.suspect_min_ns,
                             .drift_ppm = n->cfg.drift_ppm};
    if (raft_lease_holds(n->raft, now)) {
        struct raft_status s;
        raft_status(n->raft, &s);
        n->sure_term = s.term;
        n->sure_until = now + journal_sure_ns(&c);
    }
    for (uint32_t i = 0; i < fx->n_messages; i++)
        if (fx->message[i].type == RAFT_MSG_TIMEOUT_NOW)
            n->sure_until = 0;
}

/* Who is elected late, in a term before, commits nothing. */
static void rw_check_nobody_is_sure(struct rw *w, const struct rw_node *leader, uint64_t term)
{
    for (uint32_t i = 1; i <= w->n; i++) {
        struct rw_node *o = &w->node[i];
        rw_check(w,
                 !o->raft || o == leader || o->sure_term > term || rw_clock(w, o) >= o->sure_until,
                 "another leads while effects may begin");
    }
}

/* the configuration in effect is the last one of the log, or that of the image */
static const struct raft_conf *rw_conf_upto(struct rw *w, struct rw_node *n, uint64_t index)
{
    for (uint64_t i = index; i > n->log.base && i > n->image.index; i--)
        if (n->log.e[i % RW_LOG].type == RAFT_CONF)
            return &w->conf[n->log.e[i % RW_LOG].value];
    return &w->conf[n->image.conf];
}

/* What a leader holds without having committed it is bounded.  Entries are of 8 bytes; one more
 * proposal may stand beside a bound that was 0 when it came. */
static void rw_check_tail(struct rw *w, struct rw_node *n)
{
    uint64_t bytes = 0;
    for (uint64_t i = raft_commit(n->raft) + 1; i <= n->log.last; i++)
        bytes += rw_at(&n->log, i)->type == RAFT_DATA ? 8 : 0;
    rw_check(w, bytes <= n->cfg.uncommitted_bytes, "a tail without a bound");
}

static void rw_check_leader(struct rw *w, struct rw_node *n)
{
    struct raft_status s;
    raft_status(n->raft, &s);
    if (s.role != RAFT_LEADER)
        return;
    ASSERT(s.term < RW_TERMS);
    if (w->leader_of[s.term].v == 0) {
        w->leader_of[s.term] = n->id;
        w->leaders++;
        rw_check_nobody_is_sure(w, n, s.term);
        for (uint64_t i = base_max_u64(n->log.base, n->image.index) + 1; i <= w->n_committed; i++) {
            struct rw_entry *e = rw_at(&n->log, i), *g = &w->committed[i % RW_LOG];
            if (w->commit_term[i % RW_LOG] >= s.term)
                break; /* it was elected late: another leads already */
            rw_check(w, e && e->term == g->term && e->value == g->value,
                     "a leader without a committed entry");
        }
    }
    rw_check(w, w->leader_of[s.term].v == n->id.v, "two leaders of one term");
}

#endif
