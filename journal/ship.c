/* journal/ship.c - the side that has images, and what both sides share.
 *
 * A peer that asks has a place here while its connection lasts.  ship_serve_run() moves one place
 * on until the disk works, a pause is due, or there is nothing to do. */
#include "core/crc.h"
#include "journal/ship_impl.h"

enum { SHIP_TAIL = 2 * LOG_BLOCK }; /* of a file: has the end, whose sum is over all of it */

static void ship_serve_run(struct ship_serve *v);

void ship_name(const struct ship *s, uint64_t index, char *ret_name)
{
    char leaf[LOG_NAME_MAX];
    log_format_name(leaf, "image-", index);
    fmt_into(ret_name, ENV_NAME_MAX, "%s%s", s->dir, leaf);
}

/* --- answers --- */

static void ship_answer(struct env_peer *to, const struct ship_data *d)
{
    uint8_t head[SHIP_FORMAT_DATA];
    struct wbuf w = wbuf_make(head, sizeof head);
    ship_format_data_put(&w, d);
    ASSERT(!w.bad && w.len == sizeof head);
    struct env_iov iov[2] = {{head, sizeof head}, {d->bytes, d->n}};
    env_send(to->conn, JOURNAL_FRAME_IMAGE_DATA, iov, d->n ? 2 : 1);
}

static void ship_refuse(struct ship *s, struct env_peer *to, const struct ship_get *g, int err)
{
    struct ship_data d = {.index = g->index, .off = g->off, .tag = g->tag, .err = err};
    if (err == E_NOENT) {
        d.newest = s->newest;
        d.newest_term = s->newest_term;
    }
    ship_answer(to, &d);
}

static void ship_serve_pop(struct ship_serve *v)
{
    memmove(v->wants, v->wants + 1, --v->n_wants * sizeof *v->wants);
}

static void ship_serve_refuse(struct ship_serve *v, int err)
{
    if (v->peer && v->n_wants) {
        ship_refuse(v->ship, v->peer, &v->wants[0], err);
        ship_serve_pop(v);
    }
}

/* --- the disk --- */

static void ship_serve_give_buf(struct ship_serve *v)
{
    struct ship *s = v->ship;
    if (!v->buf)
        return;
    s->free_buf[s->n_free++] = v->buf;
    v->buf = NULL;
}

static void ship_serve_close(struct ship_serve *v)
{
    struct env_file *f = v->file;
    v->file = NULL;
    v->state = SHIP_SERVE_CLOSE;
    v->busy = true;
    env_close(f, &v->op);
}

void ship_found_bad(struct ship *s, uint64_t index)
{
    if (index >= s->oldest && s->cfg.bad)
        s->cfg.bad(s->cfg.bad_ctx, index);
}

/* the file is no image, or cannot be read */
static void ship_serve_bad(struct ship_serve *v, int err)
{
    char name[ENV_NAME_MAX];
    ship_name(v->ship, v->index, name);
    fmt_log(v->ship->env, ENV_LOG_WARN,
            "journal: %s: %s; another master wants it and does not get it from here.", name,
            err_text(err));
    ship_serve_refuse(v, err);
    ship_serve_close(v);
    ship_found_bad(v->ship, v->index);
}

static int ship_serve_head(struct ship_serve *v)
{
    struct log_image h;
    int ret = log_format_check(v->buf, LOG_BLOCK, LOG_IMAGE_MAGIC);
    memcpy(&h, v->buf, sizeof h);
    v->term = h.epoch;
    return ret ? ret : h.index != v->index ? E_CORRUPT : 0;
}

static void ship_serve_chunk(struct ship_serve *v, uint32_t n)
{
    struct ship *s = v->ship;
    const struct ship_get *g = &v->wants[0];
    struct ship_data d = {.index = v->index,
                          .off = g->off,
                          .total = v->total,
                          .tag = g->tag,
                          .mark = v->mark,
                          .n = n,
                          .bytes = v->buf};
    if (v->peer) {
        ship_answer(v->peer, &d);
        ship_serve_pop(v);
    }
    int64_t now = env_now_ns(s->env), pause_ns = 3 * (now - v->began_ns);
    v->served_ns = now;
    if (s->cfg.busy && s->cfg.busy(s->cfg.busy_ctx))
        v->pause_until_ns = now + (pause_ns > SHIP_PAUSE_NS ? pause_ns : SHIP_PAUSE_NS);
}

/* bytes of the chunk that is wanted now */
static uint32_t ship_serve_len(const struct ship_serve *v)
{
    return (uint32_t)base_min_u64(v->wants[0].len, v->total - v->wants[0].off);
}

static void ship_serve_read_done(struct ship_serve *v, int64_t ret)
{
    enum ship_serve_state was = v->state;
    uint32_t want = was == SHIP_SERVE_HEAD   ? LOG_BLOCK
                    : was == SHIP_SERVE_TAIL ? SHIP_TAIL
                    : v->peer                ? ship_serve_len(v)
                                             : 0;
    int err = ret < 0 ? (int)ret : ret < want ? E_CORRUPT : 0;
    if (!err && was == SHIP_SERVE_HEAD)
        err = ship_serve_head(v);
    if (err) {
        ship_serve_bad(v, err);
    } else if (was == SHIP_SERVE_HEAD) {
        v->state = SHIP_SERVE_TAIL;
    } else if (was == SHIP_SERVE_TAIL) {
        v->mark = crc_update(0, v->buf, SHIP_TAIL);
        v->state = SHIP_SERVE_READY;
    } else {
        ship_serve_chunk(v, want);
        v->state = SHIP_SERVE_READY;
    }
    ship_serve_give_buf(v);
}

/* Until then the image counts as being fetched.  Who has all of it reads it back and loads it
 * before it wants what comes behind it, and that takes as long as the image is large: with the log
 * gone by then it would have been fetched in vain, and the next one too. */
static int64_t ship_serve_until_ns(const struct ship_serve *v)
{
    int64_t after_ns = SHIP_IDLE_TIMES * (v->served_ns - v->opened_ns);
    return v->served_ns + (after_ns > SHIP_IDLE_NS ? after_ns : SHIP_IDLE_NS);
}

static void ship_serve_done(struct env_op *op)
{
    struct ship_serve *v = container_of(op, struct ship_serve, op);
    struct ship *s = v->ship;
    v->busy = false;
    switch (v->state) {
    case SHIP_SERVE_OPEN:
        v->state = SHIP_SERVE_HEAD;
        v->opened_ns = v->served_ns = env_now_ns(s->env);
        v->total = op->ret < 0 ? 0 : (uint64_t)op->ret;
        if (op->ret < 0) {
            v->file = NULL;
            v->state = SHIP_SERVE_REST;
            ship_serve_refuse(v, (int)op->ret);
            ship_found_bad(s, v->index);
        } else if (v->total < SHIP_TAIL || v->total % LOG_BLOCK) {
            ship_serve_bad(v, E_CORRUPT);
        }
        break;
    case SHIP_SERVE_CLOSE:
        v->state = SHIP_SERVE_REST;
        break;
    default:
        ship_serve_read_done(v, op->ret);
    }
    ship_doubt_run(s);
    ship_wake(s, (int)(v - s->serves) + 1); /* this one last */
    ship_rest(s);
}

void ship_wake(struct ship *s, int first)
{
    for (int i = 0; i < SHIP_SERVES; i++)
        ship_serve_run(&s->serves[(first + i) % SHIP_SERVES]);
}

static void ship_serve_wait(struct ship_serve *v, int64_t at_ns)
{
    env_timer_set(v->ship->env, &v->timer, at_ns);
}

static void ship_serve_timer(struct env_op *op)
{
    struct ship_serve *v = container_of(op, struct ship_serve, timer.op);
    bool is_over = env_now_ns(v->ship->env) >= ship_serve_until_ns(v);
    if (!v->busy && v->n_wants == 0 && v->file && is_over)
        ship_serve_close(v); /* nobody asked for long */
    ship_serve_run(v);
}

static void ship_serve_open(struct ship_serve *v)
{
    char name[ENV_NAME_MAX];
    v->index = v->wants[0].index;
    v->state = SHIP_SERVE_OPEN;
    v->busy = true;
    v->is_stale = false;
    ship_name(v->ship, v->index, name);
    env_open(v->ship->env, name, ENV_O_READ | ENV_O_DIRECT, &v->file, &v->op);
}

static void ship_serve_read(struct ship_serve *v)
{
    struct ship *s = v->ship;
    if (s->n_free == 0)
        return; /* ship_serve_done comes back to it */
    v->buf = s->free_buf[--s->n_free];
    v->busy = true;
    v->began_ns = env_now_ns(s->env);
    if (v->state == SHIP_SERVE_HEAD) {
        env_read(v->file, v->buf, LOG_BLOCK, 0, &v->op);
    } else if (v->state == SHIP_SERVE_TAIL) {
        env_read(v->file, v->buf, SHIP_TAIL, v->total - SHIP_TAIL, &v->op);
    } else {
        v->state = SHIP_SERVE_READ;
        env_read(v->file, v->buf, ship_serve_len(v), v->wants[0].off, &v->op);
    }
}

/* one step; false: nothing more to do now */
static bool ship_serve_step(struct ship_serve *v)
{
    struct ship *s = v->ship;
    int64_t now = env_now_ns(s->env);
    if (!v->peer || s->stop_op) {
        env_timer_stop(s->env, &v->timer);
        v->n_wants = 0;
        v->peer = NULL;
        if (v->file)
            ship_serve_close(v);
        return false;
    }
    if (v->n_wants == 0) {
        if (v->file)
            ship_serve_wait(v, ship_serve_until_ns(v));
        return false;
    }
    const struct ship_get *g = &v->wants[0];
    bool pruned = g->index < s->oldest;
    if (v->file && (pruned || v->is_stale || v->index != g->index)) {
        ship_serve_close(v);
        return false;
    }
    if (pruned) {
        ship_serve_refuse(v, E_NOENT);
        return true;
    }
    if (s->cfg.is_bad && s->cfg.is_bad(s->cfg.bad_ctx, g->index)) {
        ship_serve_refuse(v, E_AGAIN);
        return true;
    }
    if (now < v->pause_until_ns || env_backlog(v->peer->conn) > SHIP_BACKLOG) {
        ship_serve_wait(v,
                        base_max_u64((uint64_t)v->pause_until_ns, (uint64_t)now + SHIP_PAUSE_NS));
        return false;
    }
    if (v->state == SHIP_SERVE_REST) {
        ship_serve_open(v);
    } else if (v->state == SHIP_SERVE_READY && g->term && g->term != v->term) {
        ship_serve_refuse(v, E_NOENT);
    } else if (v->state == SHIP_SERVE_READY && g->off >= v->total) {
        ship_serve_refuse(v, E_INVAL);
    } else {
        ship_serve_read(v);
        return false;
    }
    return true;
}

static void ship_serve_run(struct ship_serve *v)
{
    while (!v->busy && ship_serve_step(v))
        ;
}

/* --- the doors --- */

static struct ship_serve *ship_serve_of(struct ship *s, const struct env_peer *peer)
{
    for (int i = 0; i < SHIP_SERVES; i++)
        if (s->serves[i].peer == peer)
            return &s->serves[i];
    return NULL;
}

int ship_on_get(struct ship *s, struct env_peer *from, const void *b, uint32_t n)
{
    struct ship_get g;
    int ret = ship_format_get_get(b, n, &g);
    if (ret || s->stop_op)
        return ret;
    struct ship_serve *v = ship_serve_of(s, from);
    for (int i = 0; i < SHIP_SERVES && !v; i++)
        if (!s->serves[i].peer && !s->serves[i].busy && s->serves[i].state == SHIP_SERVE_REST)
            v = &s->serves[i];
    /* a new fetch: nobody waits for the answers to an old one, but for the one being read */
    if (v && v->n_wants && v->wants[v->n_wants - 1].tag != g.tag)
        v->n_wants = v->busy;
    if (!v || v->n_wants == SHIP_SLOTS) {
        ship_refuse(s, from, &g, E_AGAIN);
        return 0;
    }
    v->peer = from;
    v->wants[v->n_wants++] = g;
    ship_serve_run(v);
    return 0;
}

int ship_on_data(struct ship *s, struct env_peer *from, const void *b, uint32_t n)
{
    struct ship_data d;
    int ret = ship_format_data_get(b, n, &d);
    if (ret == 0 && from == s->fetch.holder)
        ship_fetch_data(s, &d);
    return ret;
}

int ship_on_bad(struct ship *s, const void *b, uint32_t n)
{
    struct rbuf r = rbuf_make(b, n);
    uint64_t index = rbuf_u64(&r);
    if (r.bad || rbuf_left(&r) || index == 0)
        return E_PROTO;
    if (!s->stop_op)
        ship_doubt(s, index);
    return 0;
}

static void ship_serve_leave(const struct ship_serve *v)
{
    struct ship *s = v->ship;
    int64_t now = env_now_ns(s->env), until = ship_serve_until_ns(v);
    if (v->index > s->left && now < s->left_until_ns)
        return; /* one is enough: the oldest, whose log is theirs, too */
    s->left = v->index;
    s->left_until_ns = until > now + SHIP_IDLE_NS ? until : now + SHIP_IDLE_NS;
}

void ship_lost(struct ship *s, struct env_peer *peer)
{
    struct ship_serve *v = ship_serve_of(s, peer);
    if (v) {
        if (v->file) /* it will be back, and go on */
            ship_serve_leave(v);
        v->peer = NULL;
        ship_serve_run(v);
    }
    ship_fetch_lost(s, peer);
}

void ship_kept(struct ship *s, uint64_t oldest, uint64_t newest, uint64_t newest_term)
{
    s->oldest = oldest;
    s->newest = newest;
    s->newest_term = newest_term;
    s->doubt.is_stale |= s->doubt.index == newest;
    for (int i = 0; i < SHIP_SERVES; i++) {
        struct ship_serve *v = &s->serves[i];
        v->is_stale |= v->index == newest; /* it may have been written anew */
        if (v->file && !v->busy && v->n_wants == 0 && (v->index < oldest || v->is_stale))
            ship_serve_close(v); /* its blocks are wanted */
    }
}

uint64_t ship_serving(const struct ship *s)
{
    uint64_t index = env_now_ns(s->env) < s->left_until_ns ? s->left : 0;
    for (int i = 0; i < SHIP_SERVES; i++)
        if (s->serves[i].file && (index == 0 || s->serves[i].index < index))
            index = s->serves[i].index;
    return index;
}

static void ship_kicked(struct env_op *op)
{
    struct ship *s = container_of(op, struct ship, kick);
    s->kicked = false;
    ship_rest(s);
}

struct ship *ship_create(struct env *e, struct mem *m, const struct ship_config *cfg)
{
    struct ship *s = mem_zalloc(m, sizeof *s);
    if (!s)
        return NULL;
    s->memory = mem_alloc(m, SHIP_READS * SHIP_CHUNK + LOG_BLOCK);
    if (!s->memory) {
        mem_free(m, s, sizeof *s);
        return NULL;
    }
    s->env = e;
    s->mem = m;
    s->cfg = *cfg;
    fmt_into(s->own_dir, sizeof s->own_dir, "%s", cfg->dir);
    fmt_into(s->dir, sizeof s->dir - LOG_NAME_MAX, "%s%s", cfg->dir, *cfg->dir ? "/" : "");
    s->kick.done = ship_kicked;
    uint8_t *buf = s->memory + (-(uintptr_t)s->memory & (LOG_BLOCK - 1));
    for (; s->n_free < SHIP_READS; buf += SHIP_CHUNK)
        s->free_buf[s->n_free++] = buf;
    for (int i = 0; i < SHIP_SERVES; i++) {
        s->serves[i].ship = s;
        s->serves[i].op.done = ship_serve_done;
        s->serves[i].timer.op.done = ship_serve_timer;
    }
    ship_doubt_init(s);
    ship_fetch_init(s);
    return s;
}

void ship_rest(struct ship *s)
{
    if (!s->stop_op || s->stopped || s->kicked || s->fetch.state != SHIP_REST ||
        s->doubt.state != SHIP_DOUBT_REST)
        return;
    for (int i = 0; i < SHIP_SERVES; i++)
        if (s->serves[i].busy)
            return;
    s->stopped = true;
    struct env_op *op = s->stop_op;
    op->ret = 0;
    env_post(s->env, op);
}

void ship_stop(struct ship *s, struct env_op *op)
{
    ASSERT(!s->stop_op);
    s->stop_op = op;
    s->kicked = true;
    env_post(s->env, &s->kick);
    for (int i = 0; i < SHIP_SERVES; i++)
        ship_serve_run(&s->serves[i]);
    ship_doubt_run(s);
    ship_cancel(s);
}

void ship_free(struct ship *s)
{
    ASSERT(s->fetch.state == SHIP_REST && s->n_free == SHIP_READS);
    mem_free(s->mem, s->memory, SHIP_READS * SHIP_CHUNK + LOG_BLOCK);
    mem_free(s->mem, s, sizeof *s);
}
