/* journal/raft_drive.c - the journal of a group of masters: the Raft core (raft.h) on an env.
 *
 * The core decides, this does: keeps entries on the log (raft_log.h), sends messages (raft_peer.c),
 * makes vote and term durable (log_meta.h), applies what is committed, answers submits and reads.
 *
 * INVARIANTS
 *  1. An effect is carried out in the step that asked for it; nothing of it is remembered for
 *     later but what waits for the disk.
 *  2. What is told to another member was durable before, because the core asks for messages only
 *     then; so messages leave at once, beside our own write.
 *  3. Entries are applied in order, once; `applied` never passes the core's commit.  A member that
 *     installs an image applies nothing until the image is the state.
 *  4. This master is LEADER for its host from when the first entry of its term is applied here
 *     until the core says otherwise.  Then the waiting submits end before the host hears it.
 *  5. A read waits for the index that the core names, after proof of leadership that is younger
 *     than the read.  The lease is looked at by a clock that is read then (env_clock_ns).
 *  6. Nobody is called to lead before the host has ended what it began (raft_hold.c).
 *  7. What may leave the disk is written down (journal.meta) before it does. */
#include "journal/raft_drive_impl.h"
#include "core/mutant.h"
#include "core/sometimes.h"

/* --- small --- */

void raft_drive_kick(struct drive *d)
{
    if (d->kicked)
        return;
    d->kicked = true;
    env_post(d->env, &d->kick_op);
}

static void drive_end_submits(struct drive *d, int why)
{
    for (; d->wait_tail < d->wait_head; d->wait_tail++)
        raft_drive_reply(d, d->wait[d->wait_tail % DRIVE_MEM_ENTRIES].op, why);
    raft_drive_reply_all(d, &d->queued, why);
    d->n_queued = 0;
    d->queue_tail = d->queue_head;
}

void raft_drive_end_all(struct drive *d, int why)
{
    drive_end_submits(d, why);
    for (uint32_t i = 0; i < DRIVE_READS; i++) {
        raft_drive_reply_all(d, &d->reads[i].ops, why);
        d->reads[i].name = 0;
    }
    raft_drive_reply_all(d, &d->reads_new, why);
    raft_drive_reply_all(d, &d->image_ops, why);
    raft_drive_change_end_all(d, why);
}

void raft_drive_fail(struct drive *d, int why)
{
    if (d->role == JOURNAL_FAILED)
        return;
    d->role = JOURNAL_FAILED;
    d->state = DRIVE_FAILED;
    env_timer_stop(d->env, &d->timer);
    env_timer_stop(d->env, &d->stall);
    raft_drive_end_all(d, E_NOT_LEADER);
    if (d->snap)
        snap_cancel(d->snap);
    d->host->role(d->host, JOURNAL_FAILED, d->epoch, why);
    raft_drive_kick(d); /* the others shall see at once that nobody is here */
}

/* --- vote and term --- */

static void drive_trim(struct drive *d, uint64_t index)
{
    raft_log_trim(d->log, index);
    struct raft_event ev = {.type = RAFT_TRIMMED, .u.index = index};
    raft_drive_event(d, &ev, NULL);
}

static uint32_t drive_voters(const struct drive *d)
{
    const struct raft_conf *c = raft_conf(d->raft);
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n; i++)
        n += (c->member[i].flags & (RAFT_VOTER | RAFT_OLD)) != 0;
    return n;
}

/* A start that finds as many terms behind its image as a log may hold can neither lead nor follow:
 * so that some of them can leave, it must know by itself what is committed.  And who was a guest is
 * none any more when what says so is durable. */
static void drive_meta_log(struct drive *d)
{
    struct log_meta *m = &d->file.meta;
    struct raft_status s;
    raft_status(d->raft, &s);
    m->is_guest = m->is_guest && (raft_is_guest(d->raft) || s.stored < s.conf_index);
    uint64_t index = base_min_u64(s.commit, s.stored);
    if (index <= m->committed)
        return;
    m->committed = index;
    m->committed_term = raft_term_at(d->raft, index);
}

void raft_drive_meta_save(struct drive *d)
{
    struct log_meta *m = &d->file.meta;
    if (d->meta_saving) {
        d->meta_dirty = true;
        return;
    }
    d->meta_saving = true;
    d->meta_dirty = false;
    d->meta_saving_seq = d->meta_seq;
    d->trim_saving = d->trim_want;
    m->epoch = d->meta_want.term;
    m->vote = d->meta_want.vote.v;
    m->durable = base_max_u64(m->durable, raft_log_durable(d->log));
    m->voters = drive_voters(d);
    drive_meta_log(d);
    if (raft_is_whole(d->raft))
        m->lost = m->lost_term = 0;
    if (d->trim_want)
        m->trimmed = base_max_u64(m->trimmed, raft_log_place(d->log, d->trim_want));
    log_meta_save(&d->file, &d->meta_op);
}

static void drive_meta_saved(struct env_op *op)
{
    struct drive *d = container_of(op, struct drive, meta_op);
    d->meta_saving = false;
    if (op->ret < 0) {
        fmt_log(
            d->env, ENV_LOG_ERROR,
            "journal: '%s': journal.meta cannot be written: %s. This master stops: nobody knows "
            "what it promised. Check the disk and restart.",
            env_disk(d->env, d->dir), err_text((int)op->ret));
        raft_drive_fail(d, (int)op->ret);
    }
    if (d->state != DRIVE_RUNNING || d->stop_op) {
        raft_drive_run(d);
        return;
    }
    if (d->cfg.raft.watch) {
        struct raft_meta meta = {d->file.meta.epoch, {(uint32_t)d->file.meta.vote}};
        d->cfg.raft.watch->saved(d->cfg.raft.watch, &meta);
    }
    if (d->trim_saving) {
        uint64_t trim = d->trim_saving;
        d->trim_want = d->trim_want == trim ? 0 : d->trim_want;
        d->trim_saving = 0;
        drive_trim(d, trim);
    }
    struct raft_event ev = {.type = RAFT_META_STORED, .u.seq = d->meta_saving_seq};
    if (d->meta_dirty)
        raft_drive_meta_save(d);
    raft_drive_event(d, &ev, NULL);
}

/* --- effects --- */

static void drive_queue_peek(const struct drive *d, uint64_t pos, void *p, uint64_t n)
{
    buf_ring_get(d->queue, d->cfg.queue_bytes, pos, p, n);
}

static void drive_queue_put(struct drive *d, const void *p, uint64_t n)
{
    buf_ring_put(d->queue, d->cfg.queue_bytes, d->queue_head, p, n);
    d->queue_head += n;
}

/* an entry of the core's goes to the log, its bytes from where they are */
static int drive_store(struct drive *d, uint64_t index, const struct drive_source *src)
{
    struct raft_entry e = raft_entry_at(d->raft, index);
    uint8_t conf[RAFT_FORMAT_CONF_MAX];
    if (src && src->is_queue && e.type == RAFT_DATA) {
        drive_queue_peek(d, d->queue_tail + 4, d->record, e.len);
        d->queue_tail += 4 + (uint64_t)e.len;
        struct env_op *op = list_entry(list_pop(&d->queued), struct env_op, link);
        d->n_queued--;
        d->wait[d->wait_head++ % DRIVE_MEM_ENTRIES] = (struct drive_wait){index, op};
        return raft_log_append(d->log, index, &e, d->record);
    }
    if (src && index >= src->first && index < src->first + src->n) {
        e.len = src->entry[index - src->first].len;
        return raft_log_append(d->log, index, &e, src->bytes[index - src->first]);
    }
    if (e.type == RAFT_CONF) {
        struct wbuf w = wbuf_make(conf, sizeof conf);
        raft_format_conf_put(&w, raft_conf_at(d->raft, index));
        ASSERT(!w.bad);
        e.len = (uint32_t)w.len;
        return raft_log_append(d->log, index, &e, conf);
    }
    return raft_log_append(d->log, index, &e, NULL);
}

static void drive_install(struct drive *d)
{
    d->installing = true;
    fmt_log(d->env, ENV_LOG_INFO, "journal: '%s': taking over the image of record %llu.",
            env_disk(d->env, d->dir), (unsigned long long)d->ship_index);
}

/* An image that is on its way from the same member comes to its end first: there may always be a
 * newer one before it is here.  What failed for good is tried again later, however new the image
 * is, but for that of another holder: it may be this disk that is to blame. */
static void drive_want_image(struct drive *d)
{
    bool goes_on = d->shipping_index && d->shipping_index < d->fx.image_index &&
                   d->shipping_from.v == d->fx.image_from.v;
    if (!d->ship_in_vain)
        d->ship_fails = 0;
    if (!d->ship_in_vain || d->shipping_from.v != d->fx.image_from.v)
        d->ship_again_ns = 0;
    d->ship_from = d->fx.image_from;
    d->ship_index = d->fx.image_index;
    d->ship_term = d->fx.image_term;
    d->ship_conf = *d->in.message.conf;
    d->ship_wanted = true;
    if (d->is_shipping && !goes_on)
        ship_cancel(d->ship);
}

static void drive_read_done(struct drive *d, const struct raft_read *r)
{
    for (uint32_t i = 0; i < DRIVE_READS; i++) {
        struct drive_read *g = &d->reads[i];
        if (g->name != r->name)
            continue;
        g->index = r->index;
        if (r->ret) {
            raft_drive_reply_all(d, &g->ops, r->ret);
            g->name = 0;
        }
        return;
    }
}

static void drive_effects(struct drive *d, const struct drive_source *src)
{
    struct raft_effects *fx = &d->fx;
    if (fx->save_meta) {
        d->meta_want = fx->meta;
        d->meta_seq = fx->meta_seq;
        d->elections += fx->meta.vote.v == d->self.v;
        raft_drive_meta_save(d);
    }
    if (fx->cut)
        raft_log_cut(d->log, fx->cut_to);
    if (fx->cut || fx->store_n)
        d->store_seq = fx->store_seq;
    if (d->state == DRIVE_RUNNING)
        raft_log_release(d->log, raft_mem_first(d->raft));
    for (uint64_t i = 0; i < fx->store_n; i++) {
        int ret = drive_store(d, fx->store_first + i, src);
        if (ret) {
            fmt_log(d->env, ENV_LOG_ERROR,
                    "journal: '%s': no memory for the log's tail; raise the master's budget.",
                    env_disk(d->env, d->dir));
            raft_drive_fail(d, ret);
            return;
        }
    }
    for (uint32_t i = 0; d->cfg.raft.watch && i < fx->n_messages; i++)
        d->cfg.raft.watch->sent(d->cfg.raft.watch, &fx->message[i], raft_log_stored(d->log));
    for (uint32_t i = 0; i < fx->n_messages; i++)
        if (fx->message[i].type != RAFT_MSG_TIMEOUT_NOW || !raft_hold_keeps(d, &fx->message[i]))
            raft_drive_send(d, &fx->message[i]);
    for (uint32_t i = 0; i < fx->n_reads; i++)
        drive_read_done(d, &fx->read[i]);
    for (uint32_t i = 0; i < fx->n_fetches; i++)
        raft_drive_fetch(d, &fx->fetch[i]);
    if (fx->install)
        drive_install(d);
    if (fx->image_wanted)
        drive_want_image(d);
    if (d->cfg.raft.watch)
        d->cfg.raft.watch->stepped(d->cfg.raft.watch, d->raft, raft_log_stored(d->log));
}

/* the time now, however long this turn has lasted */
static int64_t drive_clock_ns(const struct drive *d)
{
#ifdef TARN_MUTANTS
    if (MUTANT(RAFT_CLOCK_FROZEN)) /* as of the last timer: perhaps before a pause */
        return d->timer_clock_ns;
#endif
    return env_clock_ns(d->env);
}

static int drive_step(struct drive *d, struct raft_event *ev, const struct drive_source *src)
{
    ev->now_ns = env_clock_ns(d->env);
    raft_step(d->raft, ev, &d->fx);
    int ret = d->fx.ret;
    drive_effects(d, src);
    while (d->fx.more && d->state == DRIVE_RUNNING) {
        struct raft_event more = {.type = RAFT_TIME, .now_ns = env_clock_ns(d->env)};
        raft_step(d->raft, &more, &d->fx);
        drive_effects(d, NULL);
    }
    return ret;
}

int raft_drive_event(struct drive *d, struct raft_event *ev, const struct drive_source *src)
{
    if (d->state != DRIVE_RUNNING || d->stop_op)
        return E_NOT_LEADER;
    int ret = drive_step(d, ev, src);
    if (ret == E_CORRUPT) {
        fmt_log(d->env, ENV_LOG_ERROR,
                "journal: '%s': the leader's log and this one contradict each other where both are "
                "committed. This master stops. Compare `tarn journal dump` of the members; replace "
                "the one that is wrong.",
                env_disk(d->env, d->dir));
        raft_drive_fail(d, E_CORRUPT);
        return ret;
    }
    raft_drive_settle(d);
    return ret;
}

/* --- applying --- */

static void drive_apply_one(struct drive *d, uint64_t index, uint8_t type, const void *bytes,
                            uint32_t len)
{
    ASSERT(index == d->applied + 1 && index <= raft_commit(d->raft));
    if (type == RAFT_DATA)
        d->host->apply(d->host, index, bytes, len);
    d->applied = index;
    if (d->wait_tail == d->wait_head)
        return;
    const struct drive_wait *w = &d->wait[d->wait_tail % DRIVE_MEM_ENTRIES];
    if (w->index == index) {
        d->wait_tail++;
        raft_drive_reply(d, w->op, (int64_t)index);
    }
}

static void drive_apply_entry(void *ctx, uint64_t index, const struct raft_entry *e,
                              const void *bytes)
{
    struct drive *d = ctx;
    if (d->state == DRIVE_RUNNING && !d->stop_op && !d->installing && index == d->applied + 1 &&
        index <= raft_commit(d->raft))
        drive_apply_one(d, index, e->type, bytes, e->len);
}

static void drive_apply_read_done(struct env_op *op)
{
    struct drive *d = container_of(op, struct drive, read_op);
    d->is_reading = false;
    if (op->ret < 0 && op->ret != E_CANCELLED && op->ret != E_NOENT && d->state == DRIVE_RUNNING) {
        fmt_log(d->env, ENV_LOG_ERROR, "journal: '%s': entry %llu cannot be read back: %s.",
                env_disk(d->env, d->dir), (unsigned long long)d->applied + 1,
                err_text((int)op->ret));
        raft_drive_fail(d, (int)op->ret);
    }
    if (d->state == DRIVE_RUNNING && !d->stop_op)
        raft_drive_settle(d);
    else
        raft_drive_run(d);
}

static void drive_apply_read(struct drive *d)
{
    if (d->is_reading)
        return;
    if (!d->reader)
        d->reader = raft_log_reader_open(d->log);
    if (!d->reader) {
        raft_drive_fail(d, E_NOMEM);
        return;
    }
    d->is_reading = true;
    uint64_t n = base_min_u64(raft_commit(d->raft) - d->applied, DRIVE_APPLY_TURN);
    raft_log_read(d->reader, d->applied + 1, 1 << 20, (uint32_t)n, drive_apply_entry, d,
                  &d->read_op);
}

static void drive_apply(struct drive *d)
{
    uint64_t from = d->applied;
    while (d->state == DRIVE_RUNNING && !d->installing && !d->is_reading &&
           d->applied < raft_commit(d->raft)) {
        uint64_t i = d->applied + 1;
        if (i < raft_mem_first(d->raft)) {
            drive_apply_read(d);
            break;
        }
        if (i - from > DRIVE_APPLY_TURN) {
            raft_drive_kick(d);
            break;
        }
        uint32_t len;
        uint8_t type = raft_entry_at(d->raft, i).type;
        const void *bytes = raft_log_bytes(d->log, i, &len);
        drive_apply_one(d, i, type, bytes, len);
    }
}

/* --- who serves --- */

static void drive_set_role(struct drive *d, const struct raft_brief *s)
{
    bool leads = s->role == RAFT_LEADER && d->applied >= s->term_start && !d->installing;
    bool led = d->role == JOURNAL_LEADER;
    if (led && (s->role != RAFT_LEADER || s->term != d->epoch)) {
        d->lost++;
        SOMETIMES(RAFT_DEPOSED);
        d->role = JOURNAL_STANDBY;
        drive_end_submits(d, E_NOT_LEADER);
        fmt_log(d->env, ENV_LOG_INFO, "journal: '%s': member %u leads no more (term %llu).",
                env_disk(d->env, d->dir), d->self.v, (unsigned long long)s->term);
        d->host->role(d->host, JOURNAL_STANDBY, s->term, 0);
        led = false;
    }
    if (leads && !led) {
        d->role = JOURNAL_LEADER;
        d->epoch = s->term;
        SOMETIMES(RAFT_ELECTED);
        fmt_log(d->env, ENV_LOG_INFO, "journal: '%s': member %u leads in term %llu.",
                env_disk(d->env, d->dir), d->self.v, (unsigned long long)s->term);
        d->host->role(d->host, JOURNAL_LEADER, d->epoch, 0);
    }
}

/* --- reads --- */

static bool drive_read_at_once(const struct drive *d)
{
    return d->role == JOURNAL_LEADER && raft_lease_holds(d->raft, drive_clock_ns(d)) &&
           d->applied >= raft_commit(d->raft);
}

/* true: the core was asked */
static bool drive_reads(struct drive *d)
{
    struct drive_read *free = NULL;
    bool is_asking = false;
    if (!d->reads_busy && list_empty(&d->reads_new))
        return false;
    d->reads_busy = false;
    for (uint32_t i = 0; i < DRIVE_READS; i++) {
        struct drive_read *g = &d->reads[i];
        if (g->name && g->index && d->applied >= g->index) {
            raft_drive_reply_all(d, &g->ops, 0);
            g->name = 0;
        }
        if (!g->name)
            free = g;
        d->reads_busy = d->reads_busy || g->name;
        is_asking = is_asking || (g->name && !g->index);
    }
    /* a standby asks again when it is answered: for all that came meanwhile */
    if (list_empty(&d->reads_new) || !free || (is_asking && d->role != JOURNAL_LEADER))
        return false;
    if (drive_read_at_once(d)) {
        raft_drive_reply_all(d, &d->reads_new, 0);
        return false;
    }
    free->name = ++d->read_name;
    free->index = 0;
    d->reads_busy = true;
    list_splice(&free->ops, &d->reads_new);
    struct raft_event ev = {.type = RAFT_READ, .u.seq = free->name};
    int ret = drive_step(d, &ev, NULL);
    if (ret) {
        raft_drive_reply_all(d, &free->ops, ret == E_AGAIN ? E_AGAIN : E_NOT_LEADER);
        free->name = 0;
    }
    return true;
}

/* --- proposing --- */

static bool drive_propose(struct drive *d)
{
    uint32_t len[RAFT_BATCH_ENTRIES], n = 0;
    uint64_t bytes = 0;
    if (d->role != JOURNAL_LEADER)
        return false;
    for (uint64_t pos = d->queue_tail; n < d->n_queued && n < RAFT_BATCH_ENTRIES;) {
        drive_queue_peek(d, pos, &len[n], 4);
        if (n && bytes + len[n] > DRIVE_BATCH_BYTES)
            break;
        bytes += len[n];
        pos += 4 + (uint64_t)len[n++];
    }
    if (n == 0)
        return false;
    d->last_batch = n;
    struct raft_event ev = {.type = RAFT_PROPOSE, .u.propose = {n, len}};
    struct drive_source src = {.is_queue = true};
    return drive_step(d, &ev, &src) == 0;
}

/* --- what follows from a step --- */

static void drive_time_set(struct drive *d)
{
    int64_t at = raft_deadline_ns(d->raft), clock = env_clock_ns(d->env), now = env_now_ns(d->env);
    int64_t due = at == INT64_MAX ? INT64_MAX : at - clock + now;
    if (env_timer_is_set(&d->timer) && d->timer.at_ns <= due)
        return; /* it looks again then */
    if (due != INT64_MAX)
        env_timer_set(d->env, &d->timer, due);
}

/* Full, and nobody leads: the disks of all may be full.  The reserve becomes a segment of the log,
 * for the first entries of terms alone, so that somebody leads and what is there can be read.  Who
 * has no reserve stands only while nobody leads, and hands over to whoever has space. */
static void drive_lend(struct drive *d, const struct raft_brief *s)
{
    int64_t now = env_now_ns(d->env), wait = 2 * d->cfg.raft.suspect_max_ns;
    if (!s->forsaken || (!d->full && !d->is_poor))
        d->led_ns = now;
    d->forsaken = now - d->led_ns >= wait;
    if (d->forsaken && d->full && (!d->is_poor || now >= d->reserve_ns)) {
        d->is_poor = d->release_due = true; /* or what is there of it again */
        d->reserve_ns = now + wait;
        raft_log_lend(d->log, true);
        fmt_log(d->env, ENV_LOG_WARN,
                "journal: '%s': full, and nobody leads: the reserve is given up, so that what is "
                "there can be read. Changes are refused until there is space for it again.",
                env_disk(d->env, d->dir));
    }
    if (d->is_poor && !d->full && now >= d->reserve_ns) {
        d->reserve_ns = now + wait;
        d->reserve_due = true;
    }
}

/* Whether the disk stalls is for the timer to say: it fires when what has come meanwhile is served.
 * Who stood still itself sees old writes before that, and has nobody but itself to blame. */
static void drive_health(struct drive *d, const struct raft_brief *s)
{
    drive_lend(d, s);
    int64_t since = raft_log_waiting_since(d->log), now = env_now_ns(d->env);
    int64_t stall = d->cfg.raft.suspect_min_ns / 2;
    bool stalls = since && now - since >= stall && (d->is_late || !d->fit);
    bool has_space = !d->full && (!d->is_poor || d->forsaken), fit = has_space && !stalls;
    if (fit != d->fit) {
        d->fit = fit;
        fmt_log(d->env, fit ? ENV_LOG_INFO : ENV_LOG_WARN, "journal: '%s': the disk %s.",
                env_disk(d->env, d->dir),
                fit         ? "takes writes again"
                : has_space ? "stalls: this member cannot lead"
                            : "is full: this member cannot lead");
        struct raft_event ev = {.type = RAFT_HEALTH, .u.fit = fit};
        drive_step(d, &ev, NULL);
    }
    if (since && !env_timer_is_set(&d->stall))
        env_timer_set(d->env, &d->stall, stalls ? now + stall : since + stall);
}

/* What another member had answered for and lacks, its own log could not tell from a torn write. */
static void drive_losses(struct drive *d, const struct raft_brief *s)
{
    if (s->losses > d->losses)
        fmt_log(d->env, ENV_LOG_ERROR,
                "journal: member %u lacks entries that it had answered for; they are sent again. "
                "Check its disk: it damages or forgets what it was given.",
                s->lossy.v);
    d->losses = s->losses;
}

/* Steps make work for others: until nothing moves any more. */
void raft_drive_settle(struct drive *d)
{
    struct raft_brief s;
    if (d->is_settling) {
        d->settle_again = true;
        return;
    }
    d->is_settling = true;
    do {
        d->settle_again = false;
        if (d->has_stored) {
            d->has_stored = false;
            struct raft_event ev = {.type = RAFT_STORED,
                                    .u.stored = {d->store_seq, raft_log_stored(d->log)}};
            drive_step(d, &ev, NULL);
            d->settle_again = true;
        }
        if (d->n_unread) {
            const struct raft_fetch *f = &d->unread[--d->n_unread];
            struct raft_event ev = {.type = RAFT_FETCHED, .u.fetched = {f->id, f->from, 0}};
            drive_step(d, &ev, NULL);
            d->settle_again = true;
        }
        raft_brief(d->raft, &s);
        if (d->state == DRIVE_RUNNING)
            drive_set_role(d, &s);
        drive_apply(d);
        if (d->applied > d->applied_told) { /* also what was read back since the last time */
            d->applied_told = d->applied;
            struct raft_event ev = {.type = RAFT_APPLIED, .u.index = d->applied};
            drive_step(d, &ev, NULL);
            d->settle_again = true;
        }
        uint64_t conf_term = raft_term_at(d->raft, s.conf_index);
        if (s.conf_index != d->conf_seen || conf_term != d->conf_seen_term) {
            d->conf_seen = s.conf_index;
            d->conf_seen_term = conf_term; /* another one may take its index */
            raft_drive_links_follow(d);
            if (drive_voters(d) != d->file.meta.voters)
                raft_drive_meta_save(d); /* who is alone has nobody to repair its log */
        }
        if (d->file.meta.lost_term && !d->meta_saving && raft_is_whole(d->raft))
            raft_drive_meta_save(d); /* a restart would miss again what has come back */
        if (d->state == DRIVE_RUNNING && (drive_reads(d) || drive_propose(d)))
            d->settle_again = true;
        if (d->state == DRIVE_RUNNING)
            drive_health(d, &s);
        drive_losses(d, &s);
    } while (d->settle_again && d->state == DRIVE_RUNNING);
    d->is_settling = false;
    if (d->state != DRIVE_RUNNING)
        return;
    raft_gone_run(d, &s);
    raft_drive_links_heed(d);
    raft_log_flush(d->log);
    raft_hold_run(d);
    raft_drive_change_run(d);
    raft_drive_images(d);
    drive_time_set(d);
}

static void drive_timer_done(struct env_op *op)
{
    struct drive *d = container_of(op, struct drive, timer.op);
    struct raft_event ev = {.type = RAFT_TIME};
#ifdef TARN_MUTANTS
    d->timer_clock_ns = env_clock_ns(d->env);
#endif
    raft_drive_event(d, &ev, NULL);
    if (d->state == DRIVE_RUNNING && d->role == JOURNAL_LEADER)
        raft_drive_learn_disks(d);
}

static void drive_stall_done(struct env_op *op)
{
    struct drive *d = container_of(op, struct drive, stall.op);
    d->is_late = true;
    if (d->state == DRIVE_RUNNING && !d->stop_op)
        raft_drive_settle(d);
    d->is_late = false;
}

static void drive_kick_done(struct env_op *op)
{
    struct drive *d = container_of(op, struct drive, kick_op);
    d->kicked = false;
    if (d->state == DRIVE_RUNNING && !d->stop_op)
        raft_drive_settle(d);
    else
        raft_drive_run(d);
}

/* --- the log's calls --- */

static void drive_on_stored(struct raft_log_host *h)
{
    struct drive *d = container_of(h, struct drive, log_host);
    d->has_stored = true;
    if (d->state == DRIVE_RUNNING && !d->stop_op)
        raft_drive_settle(d);
    else
        raft_drive_run(d);
}

static void drive_on_failed(struct raft_log_host *h, int why)
{
    raft_drive_fail(container_of(h, struct drive, log_host), why);
}

static void drive_on_log_space(struct raft_log_host *h, bool full)
{
    raft_drive_on_space(container_of(h, struct drive, log_host), full);
}

static void drive_on_found(struct raft_log_host *h, uint64_t index, uint64_t term, uint8_t type,
                           const void *bytes, uint32_t len)
{
    struct drive *d = container_of(h, struct drive, log_host);
    d->cfg.raft.entry(d->host, index, term, type, bytes, len);
}

void raft_drive_launch(struct drive *d, const struct raft_start *s)
{
    const struct journal_raft *c = &d->cfg.raft;
    struct raft_config rc = {.self = d->self,
                             .seed = env_random(d->env),
                             .heartbeat_ns = c->heartbeat_ns,
                             .promise_ns = c->promise_ns,
                             .suspect_min_ns = c->suspect_min_ns,
                             .suspect_max_ns = c->suspect_max_ns,
                             .round_min_ns = c->promise_ns,
                             .round_max_ns = 2 * c->promise_ns,
                             .refused_max_ns = c->promise_ns / 2,
                             .drift_ppm = c->drift_ppm,
                             .mem_entries = DRIVE_MEM_ENTRIES,
                             .mem_bytes = d->cfg.queue_bytes,
                             .uncommitted_bytes = d->cfg.queue_bytes,
                             .batch_bytes = DRIVE_BATCH_BYTES,
                             .inflight_bytes = 4 << 20,
                             .inflight_messages = 64,
                             .catch_up_rounds = 10,
                             .knows_disks = true,
                             .disk = d->file.meta.disk};
    d->applied = s->image.index;
    d->meta_want = s->meta;
    d->fit = true;
    d->raft = raft_create(d->mem, &rc, s, env_clock_ns(d->env));
    if (!d->raft) {
        fmt_log(d->env, ENV_LOG_ERROR,
                "journal: '%s': no memory for what the group knows of its log; raise the master's "
                "budget.",
                env_disk(d->env, d->dir));
        raft_drive_fail(d, E_NOMEM);
        return;
    }
    if (c->watch) {
        struct raft_status st;
        raft_status(d->raft, &st);
        c->watch->began(c->watch, d->self, &(struct raft_meta){st.term, st.vote});
    }
    d->state = DRIVE_RUNNING;
    d->role = JOURNAL_STANDBY;
    d->reserve_due = true;
    d->image_past = s->base + s->n;
    d->conf_seen = UINT64_MAX;
    fmt_log(d->env, ENV_LOG_INFO,
            "journal: '%s' open: member %u, term %llu, image %llu, entries up to %llu.",
            env_disk(d->env, d->dir), d->self.v, (unsigned long long)s->meta.term,
            (unsigned long long)s->image.index, (unsigned long long)(s->base + s->n));
    d->host->role(d->host, JOURNAL_STANDBY, s->meta.term, 0);
    raft_drive_kick(d);
}

/* --- the door --- */

/* May another voter lead instead?  Then what does not fit here need not be refused. */
static bool drive_has_fitter(const struct drive *d)
{
    const struct raft_conf *c = raft_conf(d->raft);
    struct raft_status s;
    raft_status(d->raft, &s);
    for (uint32_t i = 0; i < s.n_peers; i++) {
        const struct raft_member *m = raft_member_find(c, s.peer[i].id);
        if (m && (m->flags & RAFT_VOTER) && !s.peer[i].unfit)
            return true;
    }
    return false;
}

static void drive_submit(struct journal *j, const void *rec, uint32_t len, struct env_op *op)
{
    struct drive *d = container_of(j, struct drive, journal);
    uint64_t room = d->cfg.queue_bytes - (d->queue_head - d->queue_tail);
    uint64_t waiting = d->wait_head - d->wait_tail + d->n_queued;
    bool no_space = d->full || d->is_poor;
    bool no_room = room < 4 + (uint64_t)len || waiting >= DRIVE_MEM_ENTRIES;
    int ret = d->role != JOURNAL_LEADER || d->stop_op           ? E_NOT_LEADER
              : len > JOURNAL_RECORD_MAX                        ? E_TOOBIG
              : no_space && drive_has_fitter(d)                 ? E_AGAIN
              : no_space                                        ? E_NOSPC
              : no_room || env_fault(d->env, "raft.queue_full") ? E_AGAIN
                                                                : 0;
    if (ret) {
        raft_drive_reply(d, op, ret);
        return;
    }
    if (d->queue_head == d->queue_tail) /* the few bytes at its beginning stay in the caches */
        d->queue_head = d->queue_tail = 0;
    drive_queue_put(d, &len, 4);
    drive_queue_put(d, rec, len);
    list_push_back(&d->queued, &op->link);
    d->n_queued++;
    /* alone, as the last one was: it is not the first of many that this turn brings */
    if (waiting == 0 && d->last_batch <= 1 && !d->is_settling && drive_propose(d))
        raft_log_flush(d->log);
    raft_drive_kick(d);
}

static void drive_barrier(struct journal *j, struct env_op *op)
{
    struct drive *d = container_of(j, struct drive, journal);
    if (d->state != DRIVE_RUNNING || d->stop_op) {
        raft_drive_reply(d, op, E_NOT_LEADER);
        return;
    }
    if (list_empty(&d->reads_new) && drive_read_at_once(d)) {
        raft_drive_reply(d, op, 0);
        return;
    }
    list_push_back(&d->reads_new, &op->link);
    raft_drive_kick(d);
}

static void drive_image_now(struct journal *j, struct env_op *op)
{
    struct drive *d = container_of(j, struct drive, journal);
    if (d->state != DRIVE_RUNNING || d->stop_op) {
        raft_drive_reply(d, op, E_NOT_LEADER);
        return;
    }
    list_push_back(&d->image_ops, &op->link);
    raft_drive_kick(d);
}

static void drive_image_read(struct journal *j, uint64_t index, uint64_t offset, void *to,
                             uint32_t len, struct env_op *op)
{
    struct drive *d = container_of(j, struct drive, journal);
    if (d->state != DRIVE_RUNNING || d->stop_op)
        raft_drive_reply(d, op, E_UNAVAILABLE);
    else
        image_read_start(&d->image_read, d->dir, index, offset, to, len, op);
}

static void drive_image_read_idle(struct image_read *r)
{
    struct drive *d = container_of(r, struct drive, image_read);
    if (d->stop_op)
        raft_drive_kick(d);
}

static void drive_stop_begin(struct journal *j, struct env_op *op)
{
    struct drive *d = container_of(j, struct drive, journal);
    ASSERT(!d->stop_op);
    d->stop_op = op;
    env_timer_stop(d->env, &d->timer);
    env_timer_stop(d->env, &d->stall);
    raft_drive_end_all(d, E_CANCELLED);
    if (d->snap)
        snap_cancel(d->snap);
    if (d->ship)
        ship_cancel(d->ship);
    raft_drive_kick(d);
}

void raft_drive_init(struct drive *d)
{
    static const struct journal_vt vt = {.submit = drive_submit,
                                         .barrier = drive_barrier,
                                         .image_now = drive_image_now,
                                         .image_read = drive_image_read,
                                         .status = raft_drive_status,
                                         .stop = drive_stop_begin,
                                         .accept = raft_drive_accept,
                                         .change = raft_drive_change,
                                         .held = raft_hold_held,
                                         .is_group = true};
    d->journal.vt = &vt;
    d->log_host = (struct raft_log_host){.stored = drive_on_stored,
                                         .failed = drive_on_failed,
                                         .space = drive_on_log_space,
                                         .found = d->cfg.raft.entry ? drive_on_found : NULL};
    d->image_read.env = d->env;
    d->image_read.idle = drive_image_read_idle;
    d->kick_op.done = drive_kick_done;
    d->read_name = env_random(d->env) | 1; /* a leader may still have some of our last process */
    d->timer.op.done = drive_timer_done;
    d->stall.op.done = drive_stall_done;
    raft_hold_init(d);
    raft_drive_change_init(d);
    d->meta_op.done = drive_meta_saved;
    d->read_op.done = drive_apply_read_done;
    list_init(&d->queued);
    list_init(&d->reads_new);
    list_init(&d->image_ops);
    list_init(&d->image_ops_running);
    for (uint32_t i = 0; i < DRIVE_READS; i++)
        list_init(&d->reads[i].ops);
}
