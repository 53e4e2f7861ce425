/* tests/unit/test_raft_world.h - a few Raft cores in one hostile, tiny world, without any journal:
 * links that lose, repeat and delay, disks that take time and forget at a crash (term and vote in
 * one file, the log in another: either may be ahead), clocks of different speed, images that take
 * time to come and to install, changes of members, transfers, reads, a disk that is lost.
 *
 * The world checks after every step: one leader a term; two entries of one index and term are the
 * same; what is committed at an index is the same everywhere and for ever; a new leader has all
 * that is committed; a commit is durable on majorities; a read sees what was committed before it
 * was asked; nobody else commits while a lease holds; one vote a term, no answer for what is not on
 * disk, no promise broken; configurations come and go with their entries; what a leader takes in
 * without committing it is bounded; nothing of the log is kept for a member that is gone. */
#ifndef TESTS_UNIT_TEST_RAFT_WORLD_H
#define TESTS_UNIT_TEST_RAFT_WORLD_H

#include "tests/unit/test_raft_check.h"

static void rw_step(struct rw *w, struct rw_node *n, struct raft_event *ev);

static void rw_pause(struct rw *w, struct rw_node *n, int64_t ns)
{
    if (w->now >= n->paused_until)
        n->paused_clock = rw_clock(w, n);
    n->paused_until = w->now + ns;
}

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
    if (n->gone || n->off)
        return;
    if (n->disk.last < n->image.index || rw_term_at(&n->disk, n->image.index) != n->image.term) {
        /* the image came before the log was replaced by it */
        n->disk.base = n->disk.last = n->image.index;
        n->disk.base_term = n->image.term;
    }
    struct raft_start s = {.meta = n->meta,
                           .image = {n->image.index, n->image.term, &w->conf[n->image.conf]},
                           .floor = n->floor,
                           .floor_term = n->floor_term,
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
    n->logs.n = n->metas.n = n->fetches = 0;
    n->coming.index = 0;
    n->install_at = 0;
    n->read_name = 0;
    n->applied = n->image.index;
    n->checked = 0;
    n->raft = raft_create(&w->mem, &n->cfg, &s, rw_clock(w, n));
    CU_ASSERT_PTR_NOT_NULL_FATAL(n->raft);
}

/* n_entries of it get there */
static void rw_disk_apply(struct rw_node *n, const struct rw_op *o, uint64_t n_entries)
{
    if (o->cut && o->cut_to < n->disk.last)
        n->disk.last = o->cut_to;
    for (uint64_t i = 0; i < n_entries; i++) {
        ASSERT(n->disk.last + 1 == o->first + i);
        n->disk.last++;
        n->disk.e[n->disk.last % RW_LOG] = o->e[i];
    }
}

/* what is on its way is lost, and both ends are told */
static void rw_break(struct rw *w, uint32_t a, uint32_t b)
{
    w->link[a][b].n = w->link[b][a].n = 0;
    w->link[a][b].told_at = w->now + 1;
}

/* kill -9 or power loss: of what was under way a prefix is on disk, of either file */
static void rw_crash(struct rw *w, struct rw_node *n)
{
    raft_free(n->raft);
    n->raft = NULL;
    n->sure_until = 0;
    uint32_t keep = (uint32_t)prng_below(&w->prng, n->logs.n + 1);
    for (uint32_t i = 0; i < keep; i++) {
        struct rw_op *o = &n->logs.op[(n->logs.first + i) % RW_OPS];
        uint64_t k = o->n;
        if (i + 1 == keep && o->n)
            k = prng_below(&w->prng, o->n + 1);
        rw_disk_apply(n, o, k);
    }
    keep = (uint32_t)prng_below(&w->prng, n->metas.n + 1);
    if (keep)
        n->meta = n->metas.op[(n->metas.first + keep - 1) % RW_OPS].meta;
    if (n->install_at && prng_below(&w->prng, 2))
        n->image = n->coming; /* and the log is still the old one */
    n->logs.n = n->metas.n = 0;
    bool refused = prng_below(&w->prng, 2);
    for (uint32_t i = 1; i <= w->n; i++) {
        struct rw_node *o = &w->node[i];
        w->link[n->id.v][i].n = w->link[i][n->id.v].n = 0;
        if (!refused || !o->raft || o == n || w->link[i][n->id.v].cut || w->link[n->id.v][i].cut)
            continue;
        struct raft_event ev = {.type = RAFT_CONTACT, .u.contact = {n->id, false}};
        rw_step(w, o, &ev);
    }
}

/* --- effects --- */

static void rw_send(struct rw *w, struct rw_node *n, const struct raft_message *m)
{
    rw_check_message(w, n, m);
    struct rw_link *l = &w->link[n->id.v][m->to.v];
    if (!w->node[m->to.v].raft || l->cut || l->n == RW_QUEUE)
        return;
    if (prng_chance_ppm(&w->prng, w->loss_ppm)) { /* the connection breaks */
        rw_break(w, n->id.v, m->to.v);
        return;
    }
    struct rw_packet *p = &l->q[(l->first + l->n++) % RW_QUEUE];
    p->m = *m;
    p->e = m->n ? mem_alloc(&w->mem, m->n * sizeof *p->e) : NULL;
    for (uint32_t i = 0; i < m->n; i++)
        p->e[i] = m->fetched ? n->fetched[i] : *rw_at(&n->log, m->index + 1 + i);
    if (m->conf)
        p->conf = (uint32_t)rw_conf_put(w, m->conf);
    p->at = w->now + prng_range(&w->prng, l->delay_ns / 10, l->delay_ns);
    if (p->at < l->last_at)
        p->at = l->last_at;
    l->last_at = p->at;
    if (w->lates < RW_LATE && prng_chance_ppm(&w->prng, w->late_ppm)) {
        struct rw_packet *late = &w->late[w->lates++];
        *late = *p;
        late->e = m->n ? mem_alloc(&w->mem, m->n * sizeof *p->e) : NULL;
        if (m->n)
            memcpy(late->e, p->e, m->n * sizeof *p->e);
        late->at = w->now + prng_range(&w->prng, 0, 50 * l->delay_ns);
    }
}

static struct rw_op *rw_op(struct rw *w, struct rw_node *n, struct rw_ops *q)
{
    int64_t at = w->now + prng_range(&w->prng, n->disk_ns / 10, n->disk_ns);
    if (prng_chance_ppm(&w->prng, 2000))
        at += (int64_t)base_min_u64(50 * (uint64_t)n->disk_ns, 3000 * MS);
    if (q->n) {
        int64_t before = q->op[(q->first + q->n - 1) % RW_OPS].at;
        at = at > before ? at : before;
    }
    ASSERT(q->n < RW_OPS);
    struct rw_op *o = &q->op[(q->first + q->n++) % RW_OPS];
    *o = (struct rw_op){.at = at};
    return o;
}

/* what it asked to read of its log */
static void rw_fetched(struct rw *w, struct rw_node *n)
{
    struct raft_fetch f = n->fetch[0].f;
    memmove(n->fetch, n->fetch + 1, --n->fetches * sizeof *n->fetch);
    struct raft_entry e[16];
    struct raft_event ev = {.type = RAFT_FETCHED, .u.fetched = {f.id, f.from, 0, e, NULL}};
    bool unread = prng_chance_ppm(&w->prng, w->unread_ppm);
    for (uint64_t i = f.from; !unread && ev.u.fetched.n < 16 && rw_at(&n->disk, i); i++) {
        struct rw_entry *x = rw_at(&n->disk, i);
        n->fetched[ev.u.fetched.n] = *x;
        e[ev.u.fetched.n++] = (struct raft_entry){x->term, 8, x->type};
        if (x->type == RAFT_CONF) {
            ev.u.fetched.conf = &w->conf[x->value];
            break;
        }
    }
    rw_step(w, n, &ev);
}

static void rw_installed(struct rw *w, struct rw_node *n)
{
    w->installs++;
    n->install_at = 0;
    n->image = n->coming;
    n->coming.index = 0;
    n->log.base = n->log.last = n->image.index;
    n->log.base_term = n->image.term;
    n->disk = n->log;
    n->applied = n->image.index;
    for (uint32_t i = 0; i < n->logs.n; i++) { /* they are void now; their completions come */
        struct rw_op *o = &n->logs.op[(n->logs.first + i) % RW_OPS];
        o->cut = false;
        o->n = 0;
    }
    rw_event(w, n, RAFT_IMAGE_INSTALLED);
}

/* what a step put into the log, and what it means for the disk */
static void rw_store(struct rw *w, struct rw_node *n, const struct raft_event *ev,
                     const struct raft_effects *fx)
{
    if (fx->save_meta) {
        struct rw_op *o = rw_op(w, n, &n->metas);
        o->meta = fx->meta;
        o->seq = fx->meta_seq;
    }
    if (!fx->cut && !fx->store_n)
        return;
    rw_check(w, !n->install_at, "the log is written while an image is installed");
    struct rw_op *o = rw_op(w, n, &n->logs);
    o->cut = fx->cut;
    o->cut_to = fx->cut_to;
    o->seq = fx->store_seq;
    o->first = fx->store_first;
    o->n = fx->store_n;
    if (fx->cut) {
        w->cuts++;
        n->log.last = fx->cut_to;
    }
    if (fx->store_n)
        o->e = mem_alloc(&w->mem, fx->store_n * sizeof *o->e);
    for (uint64_t i = fx->store_first; i < fx->store_first + fx->store_n; i++) {
        struct raft_entry e = raft_entry_at(n->raft, i);
        struct rw_entry x = {.term = e.term, .type = e.type};
        if (ev->type == RAFT_MESSAGE && ev->u.message->n)
            x = container_of(ev->u.message, struct rw_packet, m)->e[i - ev->u.message->index - 1];
        else if (e.type == RAFT_CONF)
            x.value = rw_conf_put(w, raft_conf_at(n->raft, i));
        else
            x.value = ++w->values;
        ASSERT(i == n->log.last + 1 && i - n->log.base < RW_LOG);
        n->log.last = i;
        n->log.e[i % RW_LOG] = x;
        rw_check_seen(w, i, &x);
        o->e[i - fx->store_first] = x;
    }
    o->upto = n->log.last;
}

static void rw_reads(struct rw *w, struct rw_node *n, const struct raft_effects *fx)
{
    for (uint32_t i = 0; i < fx->n_reads; i++) {
        if (fx->read[i].name != n->read_name)
            continue;
        if (fx->read[i].ret == 0) {
            rw_check(w, fx->read[i].index >= n->read_floor, "a stale read");
            w->reads_done++;
        }
        n->read_name = 0;
    }
}

static void rw_effects(struct rw *w, struct rw_node *n, const struct raft_event *ev,
                       const struct raft_conf *conf)
{
    struct raft_effects *fx = mem_alloc(&w->mem, sizeof *fx);
    *fx = w->fx;
    rw_store(w, n, ev, fx);
    rw_check_promise(w, n, ev, fx);
    rw_check_sure(n, ev->now_ns, fx);
    if (fx->store_n || fx->cut || n->checked == 0)
        rw_check(w, !memcmp(rw_conf_upto(w, n, n->log.last), raft_conf(n->raft), sizeof *conf),
                 "a configuration that is not the log's last");
    rw_check_leader(w, n);
    rw_check_commit(w, n, conf);
    if (ev->type == RAFT_PROPOSE && fx->ret == 0)
        rw_check_tail(w, n);
    for (uint32_t i = 0; i < fx->n_messages; i++)
        rw_send(w, n, &fx->message[i]);
    rw_reads(w, n, fx);
    if (fx->image_wanted) {
        n->coming = (struct rw_image){fx->image_index, fx->image_term, 0};
        n->coming_from = fx->image_from;
        n->image_at = w->now + prng_range(&w->prng, 1000000, 300000000);
    }
    if (fx->install)
        n->install_at = w->now + prng_range(&w->prng, 1, w->install_ns);
    for (uint32_t i = 0; i < fx->n_fetches; i++) {
        ASSERT(n->fetches < ARRAY_LEN(n->fetch));
        n->fetch[n->fetches++] = (struct rw_fetch){
            w->now + prng_range(&w->prng, n->disk_ns / 10, n->disk_ns), fx->fetch[i]};
    }
    if (fx->more)
        rw_event(w, n, RAFT_TIME);
    mem_free(&w->mem, fx, sizeof *fx);
}

static void rw_step(struct rw *w, struct rw_node *n, struct raft_event *ev)
{
    struct raft_conf conf = *raft_conf(n->raft); /* a step may begin another one */
    w->steps++;
    /* a host that asks its loop for the time, not the clock, is where it was before a pause */
    ev->now_ns =
        MUTANT(RAFT_CLOCK_FROZEN) && w->now < n->paused_until ? n->paused_clock : rw_clock(w, n);
    raft_step(n->raft, ev, &w->fx);
    rw_hash(w, (uint64_t)w->now);
    rw_hash(w, (uint64_t)ev->type << 56 | (uint64_t)n->id.v << 48 | w->fx.n_messages << 16 |
                   w->fx.n_reads);
    rw_hash(w, raft_commit(n->raft) << 20 ^ w->fx.meta_seq << 40 ^ w->fx.store_seq);
    rw_check(w, w->fx.ret != E_CORRUPT, "contradiction of what is committed");
    if (n->floor_term && raft_is_whole(n->raft))
        n->floor = n->floor_term = 0;
    rw_effects(w, n, ev, &conf);
}

/* --- the world's own steps --- */

static void rw_arrive(struct rw *w, struct rw_packet *p)
{
    struct raft_entry *e = p->m.n ? mem_alloc(&w->mem, p->m.n * sizeof *e) : NULL;
    for (uint32_t i = 0; i < p->m.n; i++) {
        e[i] = (struct raft_entry){p->e[i].term, 8, p->e[i].type};
        if (e[i].type == RAFT_CONF)
            p->m.conf = &w->conf[p->e[i].value];
    }
    if (p->m.type == RAFT_MSG_IMAGE)
        p->m.conf = &w->conf[p->conf];
    p->m.entry = e;
    if (w->trace)
        printf("%lld %u->%u type %d term %llu index %llu/%llu hint %llu commit %llu n %u%s%s\n",
               (long long)w->now / 1000, p->m.from.v, p->m.to.v, p->m.type,
               (unsigned long long)p->m.term, (unsigned long long)p->m.index,
               (unsigned long long)p->m.log_term, (unsigned long long)p->m.hint,
               (unsigned long long)p->m.commit, p->m.n, p->m.reject ? " reject" : "",
               p->m.force ? " force" : "");
    struct raft_event ev = {.type = RAFT_MESSAGE, .u.message = &p->m};
    rw_step(w, &w->node[p->m.to.v], &ev);
    if (p->m.n) {
        mem_free(&w->mem, e, p->m.n * sizeof *e);
        mem_free(&w->mem, p->e, p->m.n * sizeof *p->e);
    }
}

static void rw_deliver(struct rw *w, uint32_t from, uint32_t to)
{
    struct rw_link *l = &w->link[from][to];
    struct rw_packet p = l->q[l->first];
    l->first = (l->first + 1) % RW_QUEUE;
    l->n--;
    rw_arrive(w, &p);
}

static void rw_deliver_late(struct rw *w, uint32_t i)
{
    struct rw_packet p = w->late[i];
    w->late[i] = w->late[--w->lates];
    rw_arrive(w, &p);
}

static void rw_log_done(struct rw *w, struct rw_node *n)
{
    struct rw_op o = n->logs.op[n->logs.first];
    n->logs.first = (n->logs.first + 1) % RW_OPS;
    n->logs.n--;
    rw_disk_apply(n, &o, o.n);
    if (o.e)
        mem_free(&w->mem, o.e, (o.upto + 1 - o.first) * sizeof *o.e);
    struct raft_event ev = {.type = RAFT_STORED, .u.stored = {o.seq, o.upto}};
    rw_step(w, n, &ev);
}

static void rw_meta_done(struct rw *w, struct rw_node *n)
{
    struct rw_op o = n->metas.op[n->metas.first];
    n->metas.first = (n->metas.first + 1) % RW_OPS;
    n->metas.n--;
    n->meta = o.meta;
    struct raft_event ev = {.type = RAFT_META_STORED, .u.seq = o.seq};
    rw_step(w, n, &ev);
}

static void rw_image_came(struct rw *w, struct rw_node *n)
{
    struct rw_node *from = &w->node[n->coming_from.v];
    n->image_at = 0;
    if (!from->raft || w->link[from->id.v][n->id.v].cut || w->link[n->id.v][from->id.v].cut) {
        n->image_at = w->now + 100 * MS; /* it goes on fetching until told otherwise */
        return;
    }
    if (from->image.index != n->coming.index) { /* gone meanwhile: a newer one will be offered */
        n->coming.index = 0;
        return;
    }
    n->coming = from->image;
    struct raft_event ev = {.type = RAFT_IMAGE_READY,
                            .u.image = {n->coming.index, n->coming.term, &w->conf[n->coming.conf]}};
    rw_step(w, n, &ev);
    if (!n->install_at)
        n->coming.index = 0;
}

static void rw_apply(struct rw *w, struct rw_node *n)
{
    uint64_t to = raft_commit(n->raft), every = w->image_every;
    if (w->images_aligned && every) /* every member takes its images at the same entries */
        to = base_min_u64(to, (n->applied / every + 1) * every);
    n->applied = to;
    struct raft_event ev = {.type = RAFT_APPLIED, .u.index = n->applied};
    rw_step(w, n, &ev);
}

static void rw_save_image(struct rw *w, struct rw_node *n)
{
    const struct raft_conf *conf = raft_conf_at(n->raft, n->applied);
    rw_check(w, !memcmp(rw_conf_upto(w, n, n->applied), conf, sizeof *conf),
             "a configuration that is not the image's");
    n->image = (struct rw_image){n->applied, rw_term_at(&n->log, n->applied), rw_conf_put(w, conf)};
    struct raft_event ev = {.type = RAFT_IMAGE_SAVED,
                            .u.image = {n->image.index, n->image.term, NULL}};
    rw_step(w, n, &ev);
    struct raft_status s;
    raft_status(n->raft, &s);
    uint64_t limit = raft_trim_limit(n->raft, RW_MARGIN);
    rw_check(w, limit + RW_MARGIN >= base_min_u64(s.applied, s.stored),
             "a log that is kept for a member that is gone");
    uint64_t base = base_min_u64(n->image.index, limit);
    if (base <= n->log.base || base > n->disk.last)
        return;
    n->log.base_term = n->disk.base_term = rw_term_at(&n->log, base);
    n->log.base = n->disk.base = base;
    ev = (struct raft_event){.type = RAFT_TRIMMED, .u.index = base};
    rw_step(w, n, &ev);
}

static void rw_contact(struct rw *w, uint32_t a, uint32_t b)
{
    w->link[a][b].told_at = 0;
    for (int k = 0; k < 2; k++) {
        struct rw_node *n = &w->node[k ? b : a];
        struct raft_event ev = {.type = RAFT_CONTACT, .u.contact = {{k ? a : b}, true}};
        if (n->raft)
            rw_step(w, n, &ev);
    }
}

enum rw_due {
    RW_NOTHING,
    RW_MESSAGE,
    RW_LATE_MESSAGE,
    RW_LOG_DONE,
    RW_META_DONE,
    RW_DEADLINE,
    RW_IMAGE_CAME,
    RW_INSTALLED,
    RW_FETCHED,
    RW_TOLD,
};

struct rw_next {
    int64_t at;
    enum rw_due what;
    uint32_t a, b;
};

static void rw_due(struct rw_next *x, int64_t at, int64_t held, enum rw_due what, uint32_t a,
                   uint32_t b)
{
    at = at > held ? at : held;
    if (at < x->at)
        *x = (struct rw_next){at, what, a, b};
}

static void rw_due_timer(struct rw *w, struct rw_next *x, uint32_t i)
{
    struct rw_node *n = &w->node[i];
    int64_t d = raft_deadline_ns(n->raft), c = rw_clock(w, n);
    if (d != INT64_MAX)
        rw_due(x, c >= d ? w->now : w->now + (d - c) / 1001 * 1000 + 1000, n->paused_until,
               RW_DEADLINE, i, 0);
}

/* Of what is due at one time messages come first, as a host drains its network before its timers.
 */
static struct rw_next rw_next(struct rw *w, int64_t until)
{
    struct rw_next x = {.at = until};
    for (uint32_t i = 1; i <= w->n; i++) {
        struct rw_node *n = &w->node[i];
        for (uint32_t j = 1; j <= w->n; j++)
            if (w->link[i][j].told_at)
                rw_due(&x, w->link[i][j].told_at, 0, RW_TOLD, i, j);
        if (!n->raft)
            continue;
        int64_t held = n->paused_until;
        if (MUTANT(RAFT_TIMER_FIRST))
            rw_due_timer(w, &x, i);
        for (uint32_t j = 1; j <= w->n; j++)
            if (w->link[j][i].n)
                rw_due(&x, w->link[j][i].q[w->link[j][i].first].at, held, RW_MESSAGE, j, i);
        if (n->logs.n)
            rw_due(&x, n->logs.op[n->logs.first].at, held, RW_LOG_DONE, i, 0);
        if (n->metas.n)
            rw_due(&x, n->metas.op[n->metas.first].at, held, RW_META_DONE, i, 0);
        rw_due_timer(w, &x, i);
        if (n->install_at)
            rw_due(&x, n->install_at, held, RW_INSTALLED, i, 0);
        else if (n->coming.index && n->image_at)
            rw_due(&x, n->image_at, held, RW_IMAGE_CAME, i, 0);
        if (n->fetches)
            rw_due(&x, n->fetch[0].at, held, RW_FETCHED, i, 0);
    }
    for (uint32_t i = 0; i < w->lates; i++)
        rw_due(&x, w->late[i].at, w->node[w->late[i].m.to.v].paused_until, RW_LATE_MESSAGE, i, 0);
    return x;
}

static void rw_do(struct rw *w, struct rw_next x)
{
    struct rw_node *n = &w->node[x.what == RW_MESSAGE        ? x.b
                                 : x.what == RW_LATE_MESSAGE ? w->late[x.a].m.to.v
                                                             : x.a];
    switch (x.what) {
    case RW_MESSAGE:
        rw_deliver(w, x.a, x.b);
        break;
    case RW_LATE_MESSAGE:
        if (n->raft && !w->link[w->late[x.a].m.from.v][n->id.v].cut)
            rw_deliver_late(w, x.a);
        else
            w->late[x.a] = w->late[--w->lates];
        break;
    case RW_LOG_DONE:
        rw_log_done(w, n);
        break;
    case RW_META_DONE:
        rw_meta_done(w, n);
        break;
    case RW_DEADLINE:
        rw_event(w, n, RAFT_TIME);
        break;
    case RW_IMAGE_CAME:
        rw_image_came(w, n);
        break;
    case RW_INSTALLED:
        rw_installed(w, n);
        break;
    case RW_FETCHED:
        rw_fetched(w, n);
        break;
    case RW_TOLD:
        rw_contact(w, x.a, x.b);
        break;
    case RW_NOTHING:
        break;
    }
    if (!n->raft || n->install_at)
        return;
    if (raft_commit(n->raft) > n->applied && prng_chance_ppm(&w->prng, 700000))
        rw_apply(w, n);
    if (w->image_every && n->applied >= n->image.index + w->image_every &&
        n->applied > n->log.base && n->applied <= n->log.last)
        rw_save_image(w, n);
}

/* runs everything that is due until `until` */
static void rw_run(struct rw *w, int64_t until)
{
    while (!w->broken) {
        struct rw_next x = rw_next(w, until);
        if (x.what == RW_NOTHING)
            break;
        if (x.at > w->now)
            w->now = x.at;
        rw_do(w, x);
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
    w->install_ns = MS;
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
        x->disk_ns = MS;
        for (uint32_t j = 1; j <= n; j++) {
            w->link[i][j].q = mem_alloc(&w->mem, RW_QUEUE * sizeof *w->link[i][j].q);
            w->link[i][j].delay_ns = MS;
        }
    }
    for (uint32_t i = 1; i <= n; i++)
        rw_start(w, &w->node[i]);
}

static void rw_close(struct rw *w)
{
    mem_drop(&w->mem);
}

#endif
