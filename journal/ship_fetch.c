/* journal/ship_fetch.c - the side that wants an image.
 *
 * ship_fetch_run() takes the one operation of the present state on; the chunks have their own:
 * a ring of slots, asked for, written and counted in the order of the file. */
#include "core/mutant.h"
#include "core/sometimes.h"
#include "journal/ship_impl.h"

enum { SHIP_READ_BACK = SHIP_SLOTS * SHIP_CHUNK };

static void ship_fetch_run(struct ship *s);
static void ship_fetch_timer(struct env_op *op);
static void ship_slot_done(struct env_op *op);

static void ship_fetch_done(struct env_op *op)
{
    struct ship_fetch *f = container_of(op, struct ship_fetch, op);
    f->busy = false;
    f->fresh = true;
    ship_fetch_run(container_of(f, struct ship, fetch));
}

void ship_fetch_init(struct ship *s)
{
    struct ship_fetch *f = &s->fetch;
    f->op.done = ship_fetch_done;
    f->timer.op.done = ship_fetch_timer;
    for (int i = 0; i < SHIP_SLOTS; i++) {
        f->slots[i].ship = s;
        f->slots[i].op.done = ship_slot_done;
    }
}

/* --- names --- */

static void ship_part_name(const struct ship *s, const struct ship_part *p, char *ret_name)
{
    fmt_into(ret_name, ENV_NAME_MAX, "%simage.recv-%016llx-%016llx-%08x", s->dir,
             (unsigned long long)p->index, (unsigned long long)p->term, (unsigned)p->mark);
}

static bool ship_part_is(const char *leaf)
{
    return !strncmp(leaf, "image.recv-", 11);
}

/* is leaf an unfinished file of this image?  Then its mark. */
static bool ship_part_of(const struct ship *s, const char *leaf, uint32_t *ret_mark)
{
    char name[ENV_NAME_MAX];
    struct ship_part p = s->fetch.part;
    size_t n = strlen(leaf), to = n > 8 ? n - 8 : 0;
    uint32_t mark = 0;
    for (const char *c = leaf + to; *c; c++)
        mark = mark << 4 | (uint32_t)(*c >= 'a' ? *c - 'a' + 10 : *c - '0');
    p.mark = mark;
    ship_part_name(s, &p, name);
    *ret_mark = mark;
    return !strcmp(name + strlen(s->dir), leaf);
}

/* --- the end --- */

static void ship_fetch_fail(struct ship_fetch *f, int why)
{
    if (f->ret == 0)
        f->ret = why;
}

static void ship_fetch_finish(struct ship *s)
{
    struct ship_fetch *f = &s->fetch;
    struct env_op *op = f->user;
    env_timer_stop(s->env, &f->timer);
    mem_free(s->mem, f->memory, SHIP_READ_BACK + LOG_BLOCK);
    f->memory = NULL;
    f->holder = NULL;
    f->user = NULL;
    f->state = SHIP_REST;
    op->ret = f->ret;
    env_post(s->env, op);
    ship_rest(s);
}

/* may the bytes that are there serve the next fetch? */
static bool ship_fetch_keeps(int why)
{
    return why == E_CLOSED || why == E_TIMEOUT || why == E_AGAIN || why == E_CANCELLED ||
           why == E_NOENT || why == E_NOMEM;
}

static void ship_fetch_close(struct ship_fetch *f)
{
    struct env_file *file = f->file;
    f->file = NULL;
    f->state = SHIP_CLOSE;
    f->busy = true;
    env_close(file, &f->op);
}

/* what comes after a failure; waits for the writes under way */
static void ship_fetch_give_up(struct ship *s)
{
    struct ship_fetch *f = &s->fetch;
    char name[ENV_NAME_MAX];
    for (uint32_t i = 0; i < SHIP_SLOTS; i++)
        if (f->slots[i].state == SHIP_SLOT_WRITING) {
            f->closing = true; /* ship_slot_done comes back */
            return;
        }
    f->closing = false;
    if (f->file) {
        ship_fetch_close(f);
        return;
    }
    if (!f->named || ship_fetch_keeps(f->ret) || f->state == SHIP_UNLINK) {
        if (f->counts && ship_fetch_keeps(f->ret)) {
            SOMETIMES(SHIP_BROKEN);
            f->known = f->part;
        }
        ship_fetch_finish(s);
        return;
    }
    f->state = SHIP_UNLINK;
    f->busy = true;
    ship_part_name(s, &f->part, name);
    env_unlink(s->env, name, &f->op);
}

/* --- chunks --- */

static void ship_fetch_silence(struct ship *s)
{
    struct ship_fetch *f = &s->fetch;
    env_timer_set(s->env, &f->timer, env_now_ns(s->env) + SHIP_SILENCE_NS);
}

static void ship_fetch_timer(struct env_op *op)
{
    struct ship_fetch *f = container_of(op, struct ship_fetch, timer.op);
    struct ship *s = container_of(f, struct ship, fetch);
    bool waits = f->state == SHIP_PROBE;
    for (uint32_t i = 0; i < SHIP_SLOTS && f->state == SHIP_RUN; i++)
        waits |= f->slots[i].state == SHIP_SLOT_ASKED;
    if (waits)
        ship_fetch_fail(f, E_TIMEOUT);
    ship_fetch_run(s);
}

static void ship_fetch_get(struct ship *s, uint64_t off, uint32_t len)
{
    struct ship_fetch *f = &s->fetch;
    uint8_t body[SHIP_FORMAT_GET];
    struct wbuf w = wbuf_make(body, sizeof body);
    struct ship_get g = {f->part.index, f->part.term, off, len, f->tag};
    ship_format_get_put(&w, &g);
    ASSERT(!w.bad && w.len == sizeof body);
    struct env_iov iov = {body, sizeof body};
    env_send(f->holder->conn, JOURNAL_FRAME_IMAGE_GET, &iov, 1);
    ship_fetch_silence(s);
}

/* counts what is written in the order of the file, and asks for more */
static void ship_fetch_pump(struct ship *s)
{
    struct ship_fetch *f = &s->fetch;
    while (f->used && f->slots[f->first].state == SHIP_SLOT_WRITTEN) {
        struct ship_slot *t = &f->slots[f->first];
        t->state = SHIP_SLOT_FREE;
        f->part.have = t->off + t->len;
        f->first = (f->first + 1) % SHIP_SLOTS;
        f->used--;
    }
    f->counts = true;
    if (f->ret)
        return;
    if (!f->holder && f->part.have < f->part.total)
        ship_fetch_fail(f, E_CLOSED);
    while (!f->ret && f->used < SHIP_SLOTS && f->ask < f->part.total) {
        struct ship_slot *t = &f->slots[(f->first + f->used++) % SHIP_SLOTS];
        t->state = SHIP_SLOT_ASKED;
        t->off = f->ask;
        t->len = (uint32_t)base_min_u64(f->chunk, f->part.total - f->ask);
        t->asked_ns = env_now_ns(s->env);
        f->ask += t->len;
        ship_fetch_get(s, t->off, t->len);
    }
}

static void ship_slot_done(struct env_op *op)
{
    struct ship_slot *t = container_of(op, struct ship_slot, op);
    struct ship *s = t->ship;
    t->state = SHIP_SLOT_WRITTEN;
    if (op->ret != (int64_t)t->len) {
        t->state = SHIP_SLOT_ASKED; /* what is there is anything */
        ship_fetch_fail(&s->fetch, op->ret < 0 ? (int)op->ret : E_IO);
    }
    ship_fetch_run(s);
}

/* A slow line has other things to carry: it gets smaller chunks. */
static void ship_fetch_pace(struct ship *s, struct ship_fetch *f, int64_t took_ns)
{
    if (took_ns > SHIP_SLOW_NS || env_fault(s->env, "ship.small"))
        f->chunk = base_max_u64(f->chunk / 2, SHIP_CHUNK_MIN);
    else if (took_ns < SHIP_SLOW_NS / 4)
        f->chunk = base_min_u64(f->chunk * 2, SHIP_CHUNK);
}

static void ship_fetch_chunk(struct ship *s, const struct ship_data *d)
{
    struct ship_fetch *f = &s->fetch;
    for (uint32_t i = 0; i < SHIP_SLOTS; i++) {
        struct ship_slot *t = &f->slots[i];
        if (t->state != SHIP_SLOT_ASKED || t->off != d->off || t->len != d->n)
            continue;
        ship_fetch_pace(s, f, env_now_ns(s->env) - t->asked_ns);
        memcpy(t->buf, d->bytes, d->n);
        t->state = SHIP_SLOT_WRITING;
        env_write(f->file, t->buf, t->len, t->off, &t->op);
        return;
    }
}

/* why a holder does not give a chunk */
static void ship_fetch_refused(struct ship *s, const struct ship_data *d)
{
    struct ship_fetch *f = &s->fetch;
    SOMETIMES(SHIP_REFUSED);
    f->newest = d->newest;
    f->newest_term = d->newest_term;
    if (d->err != E_NOENT && d->err != E_AGAIN)
        fmt_log(s->env, ENV_LOG_WARN,
                "journal: the image at record %llu cannot be fetched: its holder says: %s.",
                (unsigned long long)f->part.index, err_text(d->err));
    ship_fetch_fail(f, d->err == E_NOENT || d->err == E_AGAIN ? d->err : E_CORRUPT);
}

void ship_fetch_data(struct ship *s, const struct ship_data *d)
{
    struct ship_fetch *f = &s->fetch;
    bool probing = f->state == SHIP_PROBE && f->asked && !f->ret;
    if (d->tag != f->tag || d->index != f->part.index || f->ret ||
        (!probing && f->state != SHIP_RUN))
        return;
    ship_fetch_silence(s);
    if (d->err) {
        ship_fetch_refused(s, d);
    } else if (probing) {
        f->part.total = d->total;
        f->part.mark = d->mark;
        f->asked = false;
        f->fresh = true;
    } else if (d->total != f->part.total || d->mark != f->part.mark) {
        ship_fetch_fail(f, E_CLOSED); /* another file than a moment ago */
    } else {
        ship_fetch_chunk(s, d);
    }
    ship_fetch_run(s);
}

void ship_fetch_lost(struct ship *s, const struct env_peer *peer)
{
    struct ship_fetch *f = &s->fetch;
    if (f->holder != peer || f->state == SHIP_REST)
        return;
    f->holder = NULL;
    ship_fetch_run(s);
}

/* --- one operation after the other --- */

static void ship_fetch_list(struct ship *s)
{
    struct ship_fetch *f = &s->fetch;
    if (f->fresh) {
        f->fresh = false;
        if (f->op.ret < 0) {
            ship_fetch_fail(f, (int)f->op.ret);
            return;
        }
        if (f->op.ret == 0) {
            f->state = SHIP_PROBE;
            return;
        }
        for (const char *n = f->names; n < f->names + f->op.ret; n += strlen(n) + 1) {
            uint32_t mark;
            fmt_into(f->after, sizeof f->after, "%s", n);
            if (!ship_part_is(n))
                continue;
            if (!f->found && f->part.index && ship_part_of(s, n, &mark)) {
                f->found = true;
                f->found_mark = mark;
                continue;
            }
            fmt_into(f->drop, sizeof f->drop, "%s%s", s->dir, n);
            f->state = SHIP_DISCARD;
            f->busy = true;
            env_unlink(s->env, f->drop, &f->op);
            return;
        }
    }
    f->busy = true;
    env_list(s->env, s->own_dir, f->after, f->names, sizeof f->names, &f->op);
}

static void ship_fetch_discarded(struct ship *s)
{
    struct ship_fetch *f = &s->fetch;
    f->fresh = false;
    if (f->op.ret < 0 && f->op.ret != E_NOENT)
        ship_fetch_fail(f, (int)f->op.ret);
    f->state = SHIP_LIST; /* on behind it */
}

/* asks what the holder has; the answer says which file it is */
static void ship_fetch_probe(struct ship *s)
{
    struct ship_fetch *f = &s->fetch;
    char name[ENV_NAME_MAX];
    if (f->part.index == 0) { /* a sweep */
        f->known.index = 0;
        ship_fetch_finish(s);
        return;
    }
    if (f->asked || !f->fresh) {
        if (!f->holder) {
            ship_fetch_fail(f, E_CLOSED);
        } else if (!f->asked) {
            f->asked = true;
            ship_fetch_get(s, 0, LOG_BLOCK);
        }
        return;
    }
    f->fresh = false;
    if (f->found && f->found_mark != f->part.mark) {
        struct ship_part other = f->part;
        other.mark = f->found_mark;
        ship_part_name(s, &other, f->drop);
        f->found = false;
        f->state = SHIP_DISCARD;
        f->busy = true;
        env_unlink(s->env, f->drop, &f->op);
        return; /* lists and asks again: no more to it */
    }
    f->state = SHIP_OPEN;
    f->named = true;
    f->busy = true;
    ship_part_name(s, &f->part, name);
    env_open(s->env, name, ENV_O_WRITE | ENV_O_CREATE | ENV_O_DIRECT | (f->found ? 0 : ENV_O_TRUNC),
             &f->file, &f->op);
}

static void ship_fetch_begin_check(struct ship *s, enum ship_fetch_state state)
{
    struct ship_fetch *f = &s->fetch;
    image_check_begin(&f->check, f->part.index, f->part.term, s->cfg.cluster_hi, s->cfg.cluster_lo);
    f->pos = 0;
    f->fresh = false;
    f->state = state;
}

static void ship_fetch_opened(struct ship *s)
{
    struct ship_fetch *f = &s->fetch;
    const struct ship_part *k = &f->known, *p = &f->part;
    f->fresh = false;
    if (f->op.ret < 0) {
        f->file = NULL;
        f->named = f->found;
        ship_fetch_fail(f, (int)f->op.ret);
        return;
    }
    f->size = (uint64_t)f->op.ret;
    if (!f->found || f->size == 0) {
        f->state = SHIP_RUN;
    } else if (k->index == p->index && k->term == p->term && k->mark == p->mark &&
               k->total == p->total && f->size <= p->total && f->size >= k->have) {
        f->part.have = f->ask = k->have;
        f->state = SHIP_RUN;
    } else {
        ship_fetch_begin_check(s, SHIP_RECHECK);
    }
    f->known.index = 0;
}

/* Reads the file from its beginning; true: that is over. */
static bool ship_fetch_read_back(struct ship *s, uint64_t upto)
{
    struct ship_fetch *f = &s->fetch;
    if (f->fresh) {
        f->fresh = false;
        if (f->op.ret <= 0)
            return true;
        f->pos += (uint64_t)f->op.ret;
        if (!image_check_feed(&f->check, f->slots[0].buf, (size_t)f->op.ret))
            return true;
    }
    if (f->pos >= upto || f->pos % LOG_BLOCK)
        return true;
    f->busy = true;
    env_read(f->file, f->slots[0].buf, (uint32_t)base_min_u64(SHIP_READ_BACK, upto - f->pos),
             f->pos, &f->op);
    return false;
}

/* a part that was here before this process: how far is it right? */
static void ship_fetch_recheck(struct ship *s)
{
    struct ship_fetch *f = &s->fetch;
    uint64_t upto = base_min_u64(f->part.total, f->size & ~(uint64_t)(LOG_BLOCK - 1));
    if (!ship_fetch_read_back(s, upto))
        return;
    f->part.have = image_check_is_whole(&f->check, f->part.total) || MUTANT(RAFT_SHIP_UNCHECKED)
                       ? f->part.total
                       : f->check.good & ~(uint64_t)(LOG_BLOCK - 1);
    f->ask = f->part.have = base_min_u64(f->part.have, upto);
    f->fresh = false;
    f->state = SHIP_RESIZE;
    f->busy = true;
    env_resize(f->file, f->part.have, &f->op);
}

static void ship_fetch_verify(struct ship *s)
{
    struct ship_fetch *f = &s->fetch;
    if (!ship_fetch_read_back(s, f->part.total))
        return;
    bool whole = (f->pos == f->part.total && image_check_is_whole(&f->check, f->part.total)) ||
                 MUTANT(RAFT_SHIP_UNCHECKED);
    if (whole) {
        ship_fetch_close(f);
        return;
    }
    int why = f->op.ret < 0      ? (int)f->op.ret /* this disk does not read back what it took */
              : f->check.verdict ? f->check.verdict
                                 : E_CORRUPT;
    uint8_t b[8];
    struct env_iov iov = {b, sizeof b};
    base_put_u64(b, f->part.index);
    if (f->holder && why == E_CORRUPT)
        env_send(f->holder->conn, JOURNAL_FRAME_IMAGE_BAD, &iov, 1);
    fmt_log(s->env, ENV_LOG_WARN,
            "journal: the image at record %llu came, and it is not what it should be: %s.",
            (unsigned long long)f->part.index, err_text(why));
    ship_fetch_fail(f, why);
}

static void ship_fetch_step_run(struct ship *s)
{
    struct ship_fetch *f = &s->fetch;
    f->fresh = false;
    ship_fetch_pump(s);
    if (f->ret || f->part.have < f->part.total)
        return;
    env_timer_stop(s->env, &f->timer);
    if (MUTANT(RAFT_SHIP_NOT_SYNCED)) {
        ship_fetch_begin_check(s, SHIP_VERIFY);
        return;
    }
    f->state = SHIP_SYNC;
    f->busy = true;
    env_sync(f->file, &f->op);
}

static void ship_fetch_rename(struct ship *s)
{
    struct ship_fetch *f = &s->fetch;
    char name[ENV_NAME_MAX], to[ENV_NAME_MAX];
    f->fresh = false;
    f->state = SHIP_RENAME;
    f->busy = true;
    ship_part_name(s, &f->part, name);
    ship_name(s, f->part.index, to);
    env_rename(s->env, name, to, &f->op);
}

static void ship_fetch_renamed(struct ship *s)
{
    struct ship_fetch *f = &s->fetch;
    f->fresh = false;
    if (f->op.ret < 0) {
        ship_fetch_fail(f, (int)f->op.ret);
        return;
    }
    f->named = false;
    ship_fetch_finish(s);
}

/* an operation that needs nothing but to have worked */
static bool ship_fetch_worked(struct ship_fetch *f)
{
    f->fresh = false;
    if (f->op.ret < 0)
        ship_fetch_fail(f, (int)f->op.ret);
    return f->op.ret >= 0;
}

/* true: go round again */
static bool ship_fetch_step(struct ship *s)
{
    struct ship_fetch *f = &s->fetch;
    enum ship_fetch_state was = f->state;
    switch (f->state) {
    case SHIP_REST:
        return false;
    case SHIP_LIST:
        ship_fetch_list(s);
        break;
    case SHIP_DISCARD:
        ship_fetch_discarded(s);
        break;
    case SHIP_PROBE:
        ship_fetch_probe(s);
        break;
    case SHIP_OPEN:
        ship_fetch_opened(s);
        break;
    case SHIP_RECHECK:
        ship_fetch_recheck(s);
        break;
    case SHIP_RESIZE:
        if (ship_fetch_worked(f))
            f->state = SHIP_RUN;
        break;
    case SHIP_RUN:
        ship_fetch_step_run(s);
        break;
    case SHIP_SYNC:
        if (ship_fetch_worked(f))
            ship_fetch_begin_check(s, SHIP_VERIFY);
        break;
    case SHIP_VERIFY:
        ship_fetch_verify(s);
        break;
    case SHIP_CLOSE:
        ship_fetch_rename(s);
        break;
    case SHIP_RENAME:
        ship_fetch_renamed(s);
        break;
    case SHIP_UNLINK:
        break;
    }
    return f->state != was || f->ret;
}

static void ship_fetch_run(struct ship *s)
{
    struct ship_fetch *f = &s->fetch;
    bool more = true;
    while (more && !f->busy && f->state != SHIP_REST) {
        if (f->ret) {
            if (f->state == SHIP_RUN)
                ship_fetch_pump(s); /* counts what came in time */
            ship_fetch_give_up(s);
            more = !f->closing;
        } else {
            more = ship_fetch_step(s);
        }
    }
}

/* --- the doors --- */

static void ship_fetch_begin(struct ship *s, uint64_t index, uint64_t term, struct env_peer *holder,
                             struct env_op *op)
{
    struct ship_fetch *f = &s->fetch;
    ASSERT(f->state == SHIP_REST && !f->user && !s->stop_op);
    f->user = op;
    f->holder = holder;
    f->part = (struct ship_part){.index = index, .term = term};
    f->ret = 0;
    f->tag++;
    f->chunk = SHIP_CHUNK;
    f->ask = f->pos = f->size = 0;
    f->first = f->used = 0;
    f->fresh = f->asked = f->found = f->named = f->counts = f->closing = false;
    f->newest = f->newest_term = 0;
    f->after[0] = 0;
    f->state = SHIP_LIST;
    f->memory = mem_alloc(s->mem, SHIP_READ_BACK + LOG_BLOCK);
    if (!f->memory)
        f->ret = E_NOMEM;
    for (int i = 0; i < SHIP_SLOTS && f->memory; i++) {
        f->slots[i].state = SHIP_SLOT_FREE;
        f->slots[i].buf =
            f->memory + (-(uintptr_t)f->memory & (LOG_BLOCK - 1)) + (size_t)i * SHIP_CHUNK;
    }
    ship_fetch_run(s);
}

void ship_fetch(struct ship *s, uint64_t index, uint64_t term, struct env_peer *holder,
                struct env_op *op)
{
    ASSERT(index && holder);
    ship_fetch_begin(s, index, term, holder, op);
}

void ship_sweep(struct ship *s, struct env_op *op)
{
    ship_fetch_begin(s, 0, 0, NULL, op);
}

void ship_cancel(struct ship *s)
{
    struct ship_fetch *f = &s->fetch;
    /* what is about to get its name gets it */
    if (f->state == SHIP_REST || f->state == SHIP_RENAME || (f->state == SHIP_CLOSE && f->ret == 0))
        return;
    ship_fetch_fail(f, E_CANCELLED);
    ship_fetch_run(s);
}

uint64_t ship_newer(const struct ship *s, uint64_t *ret_term)
{
    *ret_term = s->fetch.newest_term;
    return s->fetch.newest;
}

void ship_progress(const struct ship *s, struct ship_progress *ret_progress)
{
    const struct ship_fetch *f = &s->fetch;
    *ret_progress = (struct ship_progress){f->state != SHIP_REST && f->part.index, f->part.index,
                                           f->part.have, f->part.total};
}
