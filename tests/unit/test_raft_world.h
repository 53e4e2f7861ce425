/* tests/unit/test_raft_world.h - a few Raft cores in one hostile, tiny world, without any journal:
 * links that lose what is on its way, disks that take time and forget at a crash, clocks of
 * different speed, images, changes of members, transfers, reads.
 *
 * The world checks after every step: one leader a term; what is committed at an index is the same
 * everywhere and for ever; a new leader has all that is committed; a commit is durable on
 * majorities; a read sees what was committed before it was asked. */
#ifndef TESTS_UNIT_TEST_RAFT_WORLD_H
#define TESTS_UNIT_TEST_RAFT_WORLD_H

#include "core/prng.h"
#include "tests/unit/test_raft_config.h"
#include "tests/unit/unit.h"

enum { RW_NODES = 7, RW_LOG = 4096, RW_QUEUE = 512, RW_CONFS = 512, RW_TERMS = 4096, RW_OPS = 256 };

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
    struct rw_entry e[32];
    uint32_t conf; /* of an IMAGE */
};

struct rw_link { /* FIFO */
    struct rw_packet *q;
    uint32_t first, n;
    int64_t last_at;
    bool cut;
};

struct rw_op { /* of a disk, in order */
    int64_t at;
    bool is_meta, cut;
    struct raft_meta meta;
    uint64_t seq, cut_to, first, n;
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
    struct rw_op op[RW_OPS];
    uint32_t op_first, ops;
    int64_t skew_ppm, paused_until, image_at;
    struct rw_image coming;
    uint64_t applied;
    uint64_t read_name, read_floor; /* one read at a time; 0: none */
    bool member_once;
};

struct rw {
    struct mem mem;
    struct prng prng;
    int64_t now;
    struct rw_node node[RW_NODES + 1];
    struct rw_link link[RW_NODES + 1][RW_NODES + 1];
    uint32_t n;
    struct rw_entry committed[RW_LOG];
    uint64_t commit_term[RW_LOG]; /* of the leader that committed it */
    uint64_t n_committed, values, reads, reads_done;
    struct raft_id leader_of[RW_TERMS];
    struct raft_conf conf[RW_CONFS];
    uint32_t n_confs;
    struct raft_effects fx;
    const char *broken; /* first violation */
    uint64_t leaders, steps, installs, changes, transfers, cuts;
    /* chances */
    uint32_t loss_ppm;
    int64_t delay_ns, disk_ns;
    uint64_t image_every; /* 0: no images */
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
    return w->now + w->now / 1000000 * n->skew_ppm;
}

static void rw_step(struct rw *w, struct rw_node *n, struct raft_event *ev);

static void rw_event(struct rw *w, struct rw_node *n, enum raft_event_type type)
{
    struct raft_event ev = {.type = type};
    rw_step(w, n, &ev);
}

/* --- start and end --- */

static void rw_start(struct rw *w, struct rw_node *n)
{
    static struct raft_run run[RW_LOG];
    uint64_t conf_index[3];
    struct raft_conf conf[3];
    if (n->disk.last < n->image.index) { /* applied and imaged before it was stored here */
        n->disk.base = n->disk.last = n->image.index;
        n->disk.base_term = n->image.term;
    }
    struct raft_start s = {.meta = n->meta,
                           .image = {n->image.index, n->image.term, &w->conf[n->image.conf]},
                           .base = n->disk.base,
                           .base_term = n->disk.base_term,
                           .n = n->disk.last - n->disk.base,
                           .run = run,
                           .conf_index = conf_index,
                           .conf = conf};
    for (uint64_t i = n->disk.base + 1; i <= n->disk.last; i++) {
        struct rw_entry *e = rw_at(&n->disk, i);
        if (s.n_runs == 0 || run[s.n_runs - 1].term != e->term)
            run[s.n_runs++] = (struct raft_run){i, e->term};
        if (e->type != RAFT_CONF || i <= n->image.index)
            continue;
        if (s.n_confs == 3) {
            memmove(conf, conf + 1, sizeof conf - sizeof *conf);
            memmove(conf_index, conf_index + 1, sizeof conf_index - sizeof *conf_index);
            s.n_confs--;
        }
        conf[s.n_confs] = w->conf[e->value];
        conf_index[s.n_confs++] = i;
    }
    n->cfg.seed = prng_u64(&w->prng);
    n->log = n->disk;
    n->ops = 0;
    n->coming.index = 0;
    n->read_name = 0;
    n->applied = n->image.index;
    n->raft = raft_create(&w->mem, &n->cfg, &s, rw_clock(w, n));
    CU_ASSERT_PTR_NOT_NULL_FATAL(n->raft);
}

static void rw_disk_apply(struct rw_node *n, const struct rw_op *o, uint64_t n_entries)
{
    if (o->is_meta) {
        n->meta = o->meta;
        return;
    }
    if (o->cut && o->cut_to < n->disk.last)
        n->disk.last = o->cut_to;
    for (uint64_t i = o->first; i < o->first + n_entries && o->n; i++) {
        struct rw_entry *e = rw_at(&n->log, i);
        if (!e) /* cut from the log since: what is on disk there does not matter */
            break;
        ASSERT(n->disk.last + 1 == i);
        n->disk.last = i;
        n->disk.e[i % RW_LOG] = *e;
    }
}

static void rw_link_drop(struct rw *w, uint32_t a, uint32_t b)
{
    w->link[a][b].n = 0;
}

/* kill -9 or power loss: of what was under way a prefix is on disk */
static void rw_crash(struct rw *w, struct rw_node *n)
{
    raft_free(n->raft);
    n->raft = NULL;
    uint32_t keep = (uint32_t)prng_below(&w->prng, n->ops + 1);
    for (uint32_t i = 0; i < keep; i++) {
        struct rw_op *o = &n->op[(n->op_first + i) % RW_OPS];
        uint64_t k = o->n;
        if (i + 1 == keep && o->n)
            k = prng_below(&w->prng, o->n + 1);
        rw_disk_apply(n, o, k);
        if (k < o->n)
            break;
    }
    n->ops = 0;
    for (uint32_t i = 1; i <= w->n; i++) {
        rw_link_drop(w, n->id.v, i);
        rw_link_drop(w, i, n->id.v);
    }
    for (uint32_t i = 1; i <= w->n; i++) {
        struct rw_node *o = &w->node[i];
        if (!o->raft || o == n || w->link[i][n->id.v].cut || w->link[n->id.v][i].cut)
            continue;
        struct raft_event ev = {.type = RAFT_CONTACT, .u.contact = {n->id, false}};
        rw_step(w, o, &ev);
    }
}

/* --- checks --- */

static void rw_check_commit(struct rw *w, struct rw_node *n, const struct raft_conf *conf)
{
    uint64_t c = raft_commit(n->raft);
    for (uint64_t i = base_max_u64(n->log.base, n->image.index) + 1; i <= c; i++) {
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
        /* new: a majority has it on disk (by the leader's configuration) */
        uint32_t have[2] = {0, 0}, all[2] = {0, 0};
        for (uint32_t k = 0; k < conf->n; k++)
            for (uint32_t h = 0; h < 2; h++) {
                if (!(conf->member[k].flags & (h ? RAFT_OLD : RAFT_VOTER)))
                    continue;
                struct rw_node *o = &w->node[conf->member[k].id.v];
                struct rw_entry *d = rw_at(&o->disk, i);
                all[h]++;
                have[h] += i <= o->image.index || (d && d->term == e->term);
            }
        rw_check(w, have[0] * 2 > all[0] && (all[1] == 0 || have[1] * 2 > all[1]),
                 "committed without a majority of disks");
        struct raft_status s;
        raft_status(n->raft, &s);
        w->commit_term[i % RW_LOG] = s.term;
        w->committed[i % RW_LOG] = *e;
        w->n_committed = i;
    }
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

/* --- effects --- */

static void rw_send(struct rw *w, struct rw_node *n, const struct raft_message *m,
                    const struct rw_entry *fetched)
{
    struct rw_link *l = &w->link[n->id.v][m->to.v];
    if (!w->node[m->to.v].raft || l->cut || l->n == RW_QUEUE)
        return;
    if (prng_chance_ppm(&w->prng, w->loss_ppm)) { /* the connection breaks */
        rw_link_drop(w, n->id.v, m->to.v);
        return;
    }
    struct rw_packet *p = &l->q[(l->first + l->n++) % RW_QUEUE];
    p->m = *m;
    ASSERT(m->n <= ARRAY_LEN(p->e));
    for (uint32_t i = 0; i < m->n; i++)
        p->e[i] = fetched ? fetched[i] : *rw_at(&n->log, m->index + 1 + i);
    if (m->conf)
        p->conf = (uint32_t)rw_conf_put(w, m->conf);
    p->at = w->now + prng_range(&w->prng, w->delay_ns / 10, w->delay_ns);
    if (p->at < l->last_at)
        p->at = l->last_at;
    l->last_at = p->at;
}

static void rw_op(struct rw *w, struct rw_node *n, struct rw_op o)
{
    o.at = w->now + prng_range(&w->prng, w->disk_ns / 10, w->disk_ns);
    if (prng_chance_ppm(&w->prng, 2000))
        o.at += 50 * w->disk_ns;
    if (n->ops) {
        int64_t before = n->op[(n->op_first + n->ops - 1) % RW_OPS].at;
        o.at = o.at > before ? o.at : before;
    }
    ASSERT(n->ops < RW_OPS);
    n->op[(n->op_first + n->ops++) % RW_OPS] = o;
}

static void rw_fetch(struct rw *w, struct rw_node *n, struct raft_fetch f)
{
    struct raft_entry e[16];
    struct raft_event ev = {.type = RAFT_FETCHED, .u.fetched = {f.id, f.from, 0, e, NULL}};
    for (uint64_t i = f.from; ev.u.fetched.n < 16 && rw_at(&n->disk, i); i++) {
        struct rw_entry *x = rw_at(&n->disk, i);
        e[ev.u.fetched.n++] = (struct raft_entry){x->term, 8, x->type};
        if (x->type == RAFT_CONF) {
            ev.u.fetched.conf = &w->conf[x->value];
            break;
        }
    }
    rw_step(w, n, &ev);
}

static void rw_install(struct rw *w, struct rw_node *n)
{
    w->installs++;
    n->image = n->coming;
    n->log.base = n->log.last = n->image.index;
    n->log.base_term = n->image.term;
    n->disk = n->log;
    n->applied = n->image.index;
    for (uint32_t i = 0; i < n->ops;) { /* log writes are void now; term and vote are not */
        struct rw_op *o = &n->op[(n->op_first + i) % RW_OPS];
        if (!o->is_meta) {
            o->cut = false;
            o->n = 0;
        }
        i++;
    }
    rw_event(w, n, RAFT_IMAGE_INSTALLED);
}

static void rw_effects(struct rw *w, struct rw_node *n, const struct raft_event *ev,
                       const struct raft_conf *conf)
{
    struct raft_effects *fx = mem_alloc(&w->mem, sizeof *fx);
    *fx = w->fx;
    if (fx->save_meta)
        rw_op(w, n, (struct rw_op){.is_meta = true, .meta = fx->meta, .seq = fx->meta_seq});
    if (fx->cut) {
        w->cuts++;
        n->log.last = fx->cut_to;
        /* what waits for the disk of what was cut never gets there */
        for (uint32_t i = 0; i < n->ops; i++) {
            struct rw_op *o = &n->op[(n->op_first + i) % RW_OPS];
            if (!o->is_meta && o->n && o->first + o->n - 1 > fx->cut_to)
                o->n = o->first > fx->cut_to ? 0 : fx->cut_to + 1 - o->first;
        }
    }
    for (uint64_t i = fx->store_first; i < fx->store_first + fx->store_n; i++) {
        struct raft_entry e = raft_entry_at(n->raft, i);
        struct rw_entry x = {.term = e.term, .type = e.type};
        if (e.type == RAFT_CONF)
            x.value = rw_conf_put(w, raft_conf_at(n->raft, i));
        else if (ev->type == RAFT_MESSAGE && ev->u.message->n) {
            const struct raft_message *m = ev->u.message;
            const struct rw_packet *p = container_of(m, struct rw_packet, m);
            x = p->e[i - m->index - 1];
        } else
            x.value = ++w->values;
        ASSERT(i == n->log.last + 1 && i - n->log.base < RW_LOG);
        n->log.last = i;
        n->log.e[i % RW_LOG] = x;
    }
    if (fx->cut || fx->store_n)
        rw_op(w, n,
              (struct rw_op){.cut = fx->cut,
                             .cut_to = fx->cut_to,
                             .first = fx->store_first,
                             .n = fx->store_n,
                             .seq = fx->store_seq});
    rw_check_leader(w, n);
    rw_check_commit(w, n, conf);
    for (uint32_t i = 0; i < fx->n_messages; i++) {
        const struct raft_message *m = &fx->message[i];
        struct rw_entry fetched[16];
        for (uint32_t k = 0; m->fetched && k < m->n; k++)
            fetched[k] = *rw_at(&n->disk, m->index + 1 + k);
        rw_send(w, n, m, m->fetched ? fetched : NULL);
    }
    for (uint32_t i = 0; i < fx->n_reads; i++) {
        if (fx->read[i].name != n->read_name)
            continue;
        if (fx->read[i].ret == 0) {
            rw_check(w, fx->read[i].index >= n->read_floor, "a stale read");
            w->reads_done++;
        }
        n->read_name = 0;
    }
    if (fx->image_wanted) {
        n->coming = w->node[fx->image_from.v].image;
        n->image_at = w->now + prng_range(&w->prng, 1000000, 300000000);
        if (n->coming.index != fx->image_index)
            n->coming.index = 0; /* gone meanwhile: the leader offers another */
    }
    if (fx->install)
        rw_install(w, n);
    for (uint32_t i = 0; i < fx->n_fetches && n->raft; i++)
        rw_fetch(w, n, fx->fetch[i]);
    if (fx->more && n->raft)
        rw_event(w, n, RAFT_TIME);
    mem_free(&w->mem, fx, sizeof *fx);
}

static void rw_step(struct rw *w, struct rw_node *n, struct raft_event *ev)
{
    struct raft_conf conf = *raft_conf(n->raft); /* a step may begin another one */
    w->steps++;
    ev->now_ns = rw_clock(w, n);
    raft_step(n->raft, ev, &w->fx);
    rw_check(w, w->fx.ret != E_CORRUPT, "contradiction of what is committed");
    rw_effects(w, n, ev, &conf);
}

/* --- the world's own steps --- */

static void rw_deliver(struct rw *w, uint32_t from, uint32_t to)
{
    struct rw_link *l = &w->link[from][to];
    struct rw_packet *p = mem_alloc(&w->mem, sizeof *p);
    *p = l->q[l->first];
    l->first = (l->first + 1) % RW_QUEUE;
    l->n--;
    struct raft_entry e[32];
    for (uint32_t i = 0; i < p->m.n; i++) {
        e[i] = (struct raft_entry){p->e[i].term, 8, p->e[i].type};
        if (e[i].type == RAFT_CONF)
            p->m.conf = &w->conf[p->e[i].value];
    }
    if (p->m.type == RAFT_MSG_IMAGE)
        p->m.conf = &w->conf[p->conf];
    p->m.entry = e;
    if (w->trace)
        printf("%lld %u->%u type %d term %llu index %llu/%llu hint %llu commit %llu n %u%s\n",
               (long long)w->now / 1000, from, to, p->m.type, (unsigned long long)p->m.term,
               (unsigned long long)p->m.index, (unsigned long long)p->m.log_term,
               (unsigned long long)p->m.hint, (unsigned long long)p->m.commit, p->m.n,
               p->m.reject ? " reject" : "");
    struct raft_event ev = {.type = RAFT_MESSAGE, .u.message = &p->m};
    rw_step(w, &w->node[to], &ev);
    mem_free(&w->mem, p, sizeof *p);
}

static void rw_disk_done(struct rw *w, struct rw_node *n)
{
    struct rw_op o = n->op[n->op_first];
    n->op_first = (n->op_first + 1) % RW_OPS;
    n->ops--;
    rw_disk_apply(n, &o, o.n);
    struct raft_event ev = {.type = o.is_meta ? RAFT_META_STORED : RAFT_STORED};
    if (o.is_meta)
        ev.u.seq = o.seq;
    else {
        ev.u.stored.seq = o.seq;
        ev.u.stored.index = o.n ? o.first + o.n - 1 : n->disk.last;
    }
    rw_step(w, n, &ev);
}

static void rw_apply(struct rw *w, struct rw_node *n)
{
    n->applied = raft_commit(n->raft);
    struct raft_event ev = {.type = RAFT_APPLIED, .u.index = n->applied};
    rw_step(w, n, &ev);
}

static void rw_save_image(struct rw *w, struct rw_node *n)
{
    n->image = (struct rw_image){n->applied, rw_term_at(&n->log, n->applied),
                                 rw_conf_put(w, raft_conf_at(n->raft, n->applied))};
    struct raft_event ev = {.type = RAFT_IMAGE_SAVED,
                            .u.image = {n->image.index, n->image.term, NULL}};
    rw_step(w, n, &ev);
    if (!n->raft)
        return;
    uint64_t base = base_min_u64(n->image.index, raft_trim_limit(n->raft, 8));
    if (base <= n->log.base || base > n->disk.last)
        return;
    n->log.base_term = n->disk.base_term = rw_term_at(&n->log, base);
    n->log.base = n->disk.base = base;
    ev = (struct raft_event){.type = RAFT_TRIMMED, .u.index = base};
    rw_step(w, n, &ev);
}

/* runs everything that is due until `until` */
static void rw_run(struct rw *w, int64_t until)
{
    while (!w->broken) {
        int64_t best = until;
        uint32_t what = 0, a = 0, b = 0;
        for (uint32_t i = 1; i <= w->n; i++) {
            struct rw_node *n = &w->node[i];
            if (!n->raft)
                continue;
            int64_t held = n->paused_until;
#define RW_DUE(t, kind, x, y)                  \
    do {                                       \
        int64_t due = (t) > held ? (t) : held; \
        if (due < best) {                      \
            best = due;                        \
            what = kind;                       \
            a = x;                             \
            b = y;                             \
        }                                      \
    } while (0)
            for (uint32_t j = 1; j <= w->n; j++)
                if (w->link[j][i].n)
                    RW_DUE(w->link[j][i].q[w->link[j][i].first].at, 1, j, i);
            if (n->ops)
                RW_DUE(n->op[n->op_first].at, 2, i, 0);
            int64_t d = raft_deadline_ns(n->raft);
            if (d != INT64_MAX)
                RW_DUE(rw_clock(w, n) >= d ? w->now
                                           : w->now + (d - rw_clock(w, n)) / 1001 * 1000 + 1000,
                       3, i, 0);
            if (n->coming.index && n->image_at)
                RW_DUE(n->image_at, 4, i, 0);
        }
        if (!what)
            break;
        if (best > w->now)
            w->now = best;
        struct rw_node *n = &w->node[what == 1 ? b : a];
        if (what == 1)
            rw_deliver(w, a, b);
        else if (what == 2)
            rw_disk_done(w, n);
        else if (what == 3)
            rw_event(w, n, RAFT_TIME);
        else {
            n->image_at = 0;
            struct raft_event ev = {
                .type = RAFT_IMAGE_READY,
                .u.image = {n->coming.index, n->coming.term, &w->conf[n->coming.conf]}};
            rw_step(w, n, &ev);
        }
        if (n->raft && raft_commit(n->raft) > n->applied && prng_chance_ppm(&w->prng, 700000))
            rw_apply(w, n);
        if (w->image_every && n->raft && n->applied >= n->image.index + w->image_every &&
            n->applied > n->log.base)
            rw_save_image(w, n);
    }
    if (w->now < until)
        w->now = until;
}

static void rw_print(struct rw *w)
{
    static const char *const role[] = {"follower", "pre-candidate", "candidate", "leader"};
    for (uint32_t i = 1; i <= w->n; i++) {
        struct rw_node *n = &w->node[i];
        struct raft_status s;
        if (!n->raft) {
            printf("  %u down\n", i);
            continue;
        }
        raft_status(n->raft, &s);
        printf("  %u %s term %llu leader %u vote %u log %llu..%llu stored %llu commit %llu applied "
               "%llu conf@%llu%s:",
               i, role[s.role], (unsigned long long)s.term, s.leader.v, s.vote.v,
               (unsigned long long)s.first, (unsigned long long)s.last,
               (unsigned long long)s.stored, (unsigned long long)s.commit,
               (unsigned long long)s.applied, (unsigned long long)s.conf_index,
               s.joint ? " joint" : "");
        const struct raft_conf *c = raft_conf(n->raft);
        for (uint32_t k = 0; k < c->n; k++)
            printf(" %u/%x/p%u", c->member[k].id.v, c->member[k].flags, c->member[k].priority);
        for (uint32_t k = 0; k < s.n_peers; k++)
            printf(" [%u match %llu next %llu st %u]", s.peer[k].id.v,
                   (unsigned long long)s.peer[k].match, (unsigned long long)s.peer[k].next,
                   s.peer[k].progress);
        printf("\n");
    }
}

static bool rw_is_joint(const struct rw_node *n)
{
    struct raft_status s;
    raft_status(n->raft, &s);
    return s.joint;
}

static struct rw_node *rw_leader(struct rw *w)
{
    struct rw_node *best = NULL;
    struct raft_status s;
    uint64_t term = 0;
    for (uint32_t i = 1; i <= w->n; i++) {
        if (!w->node[i].raft)
            continue;
        raft_status(w->node[i].raft, &s);
        if (s.role == RAFT_LEADER && s.term >= term) {
            term = s.term;
            best = &w->node[i];
        }
    }
    return best;
}

static void rw_propose(struct rw *w, struct rw_node *n, uint32_t count)
{
    static const uint32_t len[8] = {8, 8, 8, 8, 8, 8, 8, 8};
    struct raft_event ev = {.type = RAFT_PROPOSE, .u.propose = {count, len}};
    rw_step(w, n, &ev);
}

static void rw_read(struct rw *w, struct rw_node *n)
{
    if (n->read_name)
        return;
    n->read_name = ++w->reads;
    n->read_floor = w->n_committed;
    struct raft_event ev = {.type = RAFT_READ, .u.seq = n->read_name};
    rw_step(w, n, &ev);
    if (w->fx.ret)
        n->read_name = 0;
}

static struct raft_config rw_config(void)
{
    struct raft_config c = raft_test_config();
    c.refused_max_ns = 30 * MS;
    c.uncommitted_bytes = 160;
    c.batch_bytes = 64;
    c.inflight_bytes = 128;
    c.inflight_messages = 4;
    return c;
}

/* n nodes, of which the first `voters` form the cluster; all are up */
static void rw_open(struct rw *w, uint64_t seed, uint32_t n, uint32_t voters,
                    const struct raft_config *cfg)
{
    memset(w, 0, sizeof *w);
    w->trace = getenv("RAFT_TRACE") != NULL;
    unit_mem(&w->mem, 1ull << 32);
    prng_seed(&w->prng, seed, "raft world", 0);
    w->n = n;
    w->delay_ns = MS;
    w->disk_ns = MS;
    struct raft_conf c = {0}, none = {0};
    for (uint32_t i = 0; i < voters; i++)
        c.member[c.n++] = (struct raft_member){.id = {i + 1}, .flags = RAFT_VOTER, .priority = 1};
    uint64_t first = rw_conf_put(w, &c), empty = rw_conf_put(w, &none);
    for (uint32_t i = 1; i <= n; i++) {
        struct rw_node *x = &w->node[i];
        x->id = (struct raft_id){i};
        x->cfg = cfg ? *cfg : rw_config();
        x->cfg.self = x->id;
        x->image.conf = i <= voters ? first : empty;
        x->member_once = i <= voters;
        for (uint32_t j = 1; j <= n; j++)
            w->link[i][j].q = mem_alloc(&w->mem, RW_QUEUE * sizeof *w->link[i][j].q);
    }
    for (uint32_t i = 1; i <= n; i++)
        rw_start(w, &w->node[i]);
}

static void rw_close(struct rw *w)
{
    mem_drop(&w->mem);
}

#endif
