/* journal/raft_log.c - index to place and back by spans; bytes in blocks; appends as fast as the
 * write-ahead log takes them.
 *
 *   entries:  base+1 .. (in the write-ahead log) .. to_wal-1 | to_wal .. last (memory only)
 *   spans:    cover base+1 .. to_wal-1; in one, places and indices count up together, one term */
#include "journal/raft_log.h"
#include "core/buf.h"
#include "core/fmt.h"
#include "journal/raft_format.h"
#include "journal/wal_cursor.h"

enum {
    RAFT_LOG_SPANS = RAFT_RUNS_MAX + 8,
    RAFT_LOG_SPANS_START = RAFT_RUNS_MAX / 2, /* with more a log begins with its image */
    RAFT_LOG_CONFS = 8,
    RAFT_LOG_BLOCK = 256 * 1024,
};

struct raft_span {
    uint64_t index, place, term;
};

/* bytes of entries, in order; never moved */
struct raft_block {
    struct list link;
    uint64_t first, last; /* indices */
    uint32_t used;
    uint8_t bytes[RAFT_LOG_BLOCK];
};

struct raft_held { /* an entry in memory */
    uint64_t term;
    const uint8_t *bytes;
    uint32_t len;
    uint8_t type;
};

struct raft_log {
    struct env *env;
    struct mem *mem;
    struct raft_log_host *host;
    struct raft_log_config cfg;
    struct wal *wal;
    struct wal_host wal_host;
    uint64_t base, base_term, last, to_wal;
    uint32_t n_spans;
    struct raft_span *span;
    /* memory */
    uint64_t mem_first;
    struct raft_held *held;
    struct list blocks;
    struct raft_block *spare;
    int64_t waiting_ns;
    /* recovery */
    bool replaying;
    int bad;
    uint64_t bad_place;
    struct env_op op, *user;
    uint32_t n_confs, n_runs;
    uint64_t conf_index[RAFT_LOG_CONFS];
    struct raft_conf conf[RAFT_LOG_CONFS];
    struct raft_run *run;
    bool reset_due; /* a RESET record is to be appended before the next entry */
};

/* --- spans --- */

/* the span that holds index; base < index < to_wal */
static const struct raft_span *raft_log_span(const struct raft_log *l, uint64_t index)
{
    uint32_t lo = 0, hi = l->n_spans;
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (l->span[mid].index <= index)
            lo = mid;
        else
            hi = mid;
    }
    return &l->span[lo];
}

uint64_t raft_log_place(const struct raft_log *l, uint64_t index)
{
    if (index <= l->base || index >= l->to_wal)
        return 0;
    const struct raft_span *s = raft_log_span(l, index);
    return s->place + (index - s->index);
}

static void raft_log_span_push(struct raft_log *l, uint64_t index, uint64_t place, uint64_t term)
{
    if (l->n_spans) {
        const struct raft_span *s = &l->span[l->n_spans - 1];
        if (s->term == term && s->place + (index - s->index) == place)
            return;
    }
    ASSERT(l->n_spans < RAFT_LOG_SPANS);
    l->span[l->n_spans++] = (struct raft_span){index, place, term};
}

static void raft_log_span_cut(struct raft_log *l, uint64_t to)
{
    while (l->n_spans && l->span[l->n_spans - 1].index > to)
        l->n_spans--;
    l->to_wal = base_min_u64(l->to_wal, to + 1);
}

static void raft_log_span_trim(struct raft_log *l, uint64_t base)
{
    uint32_t n = 0;
    while (n + 1 < l->n_spans && l->span[n + 1].index <= base + 1)
        n++;
    l->n_spans -= n;
    memmove(l->span, l->span + n, l->n_spans * sizeof *l->span);
    if (l->n_spans && l->span[0].index <= base) {
        l->span[0].place += base + 1 - l->span[0].index;
        l->span[0].index = base + 1;
    }
    if (base + 1 >= l->to_wal)
        l->n_spans = 0;
    l->base = base;
}

uint64_t raft_log_durable(const struct raft_log *l)
{
    return wal_durable(l->wal);
}

uint64_t raft_log_stored(const struct raft_log *l)
{
    uint64_t durable = wal_durable(l->wal), end = l->to_wal - 1;
    for (uint32_t i = l->n_spans; i-- > 0;) {
        const struct raft_span *s = &l->span[i];
        if (s->place <= durable)
            return s->index + base_min_u64(durable - s->place, end - s->index);
        end = s->index - 1;
    }
    return l->base;
}

uint64_t raft_log_last(const struct raft_log *l)
{
    return l->last;
}

/* --- memory --- */

static struct raft_held *raft_log_held(const struct raft_log *l, uint64_t index)
{
    ASSERT(index >= l->mem_first && index <= l->last);
    return &l->held[index & (l->cfg.mem_entries - 1)];
}

const void *raft_log_bytes(const struct raft_log *l, uint64_t index, uint32_t *ret_len)
{
    const struct raft_held *h = raft_log_held(l, index);
    *ret_len = h->len;
    return h->bytes;
}

static void raft_log_block_free(struct raft_log *l, struct raft_block *b)
{
    list_remove(&b->link);
    if (l->spare)
        mem_free(l->mem, b, sizeof *b);
    else
        l->spare = b;
}

static struct raft_block *raft_log_block_last(const struct raft_log *l)
{
    return list_empty(&l->blocks) ? NULL : list_entry(l->blocks.prev, struct raft_block, link);
}

static uint8_t *raft_log_room(struct raft_log *l, uint64_t index, uint32_t len)
{
    struct raft_block *b = raft_log_block_last(l);
    ASSERT(len <= RAFT_LOG_BLOCK);
    if (!b || RAFT_LOG_BLOCK - b->used < len) {
        b = l->spare ? l->spare : mem_alloc(l->mem, sizeof *b);
        l->spare = NULL;
        if (!b)
            return NULL;
        b->first = index;
        b->used = 0;
        list_init(&b->link);
        list_push_back(&l->blocks, &b->link);
    }
    uint8_t *p = b->bytes + b->used;
    b->used += len;
    b->last = index;
    return p;
}

/* blocks of entries above `to` go */
static void raft_log_blocks_cut(struct raft_log *l, uint64_t to)
{
    struct raft_block *b;
    while ((b = raft_log_block_last(l)) && b->first > to)
        raft_log_block_free(l, b);
    if (b && b->last > to)
        b->last = to;
}

void raft_log_release(struct raft_log *l, uint64_t mem_first)
{
    if (mem_first <= l->mem_first)
        return;
    ASSERT(mem_first <= l->to_wal);
    l->mem_first = mem_first;
    while (!list_empty(&l->blocks)) {
        struct raft_block *b = list_entry(l->blocks.next, struct raft_block, link);
        if (b->last >= mem_first)
            break;
        raft_log_block_free(l, b);
    }
}

int64_t raft_log_waiting_since(const struct raft_log *l)
{
    return l->waiting_ns;
}

/* --- appending --- */

static int raft_log_put(struct raft_log *l, uint8_t type, uint64_t index, uint64_t term,
                        const void *bytes, uint32_t len, uint64_t *ret_place)
{
    uint8_t head[RAFT_LOG_HEAD];
    base_put_u64(head, index);
    struct env_iov iov[2] = {{head, sizeof head}, {bytes, len}};
    return wal_append(l->wal, type, term, iov, len ? 2 : 1, ret_place);
}

/* what is not in the write-ahead log yet goes there, as far as it is taken */
static void raft_log_pump(struct raft_log *l)
{
    uint64_t place;
    if (l->replaying)
        return;
    if (l->reset_due) {
        if (raft_log_put(l, RAFT_LOG_RESET, l->base, l->base_term, NULL, 0, &place))
            return;
        l->reset_due = false;
    }
    while (l->to_wal <= l->last) {
        const struct raft_held *h = raft_log_held(l, l->to_wal);
        if (raft_log_put(l, h->type, l->to_wal, h->term, h->bytes, h->len, &place))
            return;
        raft_log_span_push(l, l->to_wal, place, h->term);
        l->to_wal++;
    }
}

int raft_log_append(struct raft_log *l, uint64_t index, const struct raft_entry *e,
                    const void *bytes)
{
    ASSERT(index == l->last + 1 && index - l->mem_first < l->cfg.mem_entries);
    uint8_t *p = raft_log_room(l, index, e->len);
    if (!p)
        return E_NOMEM;
    if (e->len)
        memcpy(p, bytes, e->len);
    l->last = index;
    *raft_log_held(l, index) = (struct raft_held){e->term, p, e->len, e->type};
    if (l->cfg.watch)
        l->cfg.watch->appended(l->cfg.watch, index, e, p);
    if (!l->waiting_ns)
        l->waiting_ns = env_now_ns(l->env);
    raft_log_pump(l);
    return 0;
}

static void raft_log_calm(struct raft_log *l)
{
    l->waiting_ns = raft_log_stored(l) < l->last ? env_now_ns(l->env) : 0;
}

void raft_log_cut(struct raft_log *l, uint64_t to)
{
    ASSERT(to >= l->base && to <= l->last);
    if (l->cfg.watch)
        l->cfg.watch->cut(l->cfg.watch, to);
    raft_log_span_cut(l, to);
    l->last = to;
    l->mem_first = base_min_u64(l->mem_first, to + 1);
    raft_log_blocks_cut(l, to);
    raft_log_calm(l);
}

void raft_log_reset(struct raft_log *l, uint64_t index, uint64_t term)
{
    if (l->cfg.watch)
        l->cfg.watch->reset(l->cfg.watch, index, term);
    l->n_spans = 0;
    l->base = l->last = index;
    l->base_term = term;
    l->to_wal = l->mem_first = index + 1;
    raft_log_blocks_cut(l, 0);
    l->waiting_ns = 0;
    l->reset_due = true;
    raft_log_pump(l);
}

void raft_log_trim(struct raft_log *l, uint64_t index)
{
    uint64_t place = raft_log_place(l, index);
    if (!place)
        return;
    l->base_term = raft_log_span(l, index)->term;
    raft_log_span_trim(l, index);
    wal_trim(l->wal, place);
}

/* --- what the write-ahead log says --- */

static struct raft_log *raft_log_of(struct wal_host *h)
{
    return container_of(h, struct raft_log, wal_host);
}

static void raft_log_bad(struct raft_log *l, uint64_t place, int why)
{
    if (l->bad)
        return;
    l->bad = why;
    l->bad_place = place;
}

static void raft_log_replay_conf(struct raft_log *l, uint64_t index, uint64_t place,
                                 const void *bytes, uint32_t len)
{
    struct rbuf r = rbuf_make(bytes, len);
    if (l->n_confs == RAFT_LOG_CONFS) {
        l->n_confs--;
        memmove(l->conf, l->conf + 1, l->n_confs * sizeof *l->conf);
        memmove(l->conf_index, l->conf_index + 1, l->n_confs * sizeof *l->conf_index);
    }
    if (raft_format_conf_get(&r, &l->conf[l->n_confs])) {
        raft_log_bad(l, place, E_CORRUPT);
        return;
    }
    l->conf_index[l->n_confs++] = index;
}

/* one record of the log as it was found, in the order of places */
static void raft_log_replayed(struct raft_log *l, uint64_t place, const struct log_record *r,
                              const uint8_t *bytes)
{
    if (r->type < RAFT_DATA || r->type > RAFT_LOG_RESET) {
        raft_log_bad(l, place, E_VERSION);
        return;
    }
    uint64_t index = r->len >= RAFT_LOG_HEAD ? base_get_u64(bytes) : 0;
    if (l->host->found && index)
        l->host->found(l->host, index, r->epoch, r->type, bytes + RAFT_LOG_HEAD,
                       r->len - RAFT_LOG_HEAD);
    if (l->cfg.watch && index)
        l->cfg.watch->found(l->cfg.watch, index, r->epoch, r->type, bytes + RAFT_LOG_HEAD,
                            r->len - RAFT_LOG_HEAD);
    bool first = l->last == 0 && l->base == 0;
    if (index == 0 || index > UINT64_MAX / 2 || r->epoch == 0 ||
        (!first && r->type != RAFT_LOG_RESET && index > l->last + 1)) {
        raft_log_bad(l, place, E_CORRUPT);
        return;
    }
    if (r->type == RAFT_LOG_RESET || index <= l->base || (first && index > 1)) {
        /* the log begins here; of the entry before, only a RESET tells the term */
        bool reset = r->type == RAFT_LOG_RESET;
        l->n_spans = 0;
        l->base = l->last = reset ? index : index - 1;
        l->base_term = reset ? r->epoch : 0;
        l->to_wal = l->last + 1;
        while (l->n_confs && (reset || l->conf_index[l->n_confs - 1] >= index))
            l->n_confs--;
        if (reset)
            return;
    } else if (index <= l->last) {
        raft_log_span_cut(l, index - 1);
        while (l->n_confs && l->conf_index[l->n_confs - 1] >= index)
            l->n_confs--;
    }
    if (l->n_spans && l->span[l->n_spans - 1].term > r->epoch) {
        raft_log_bad(l, place, E_CORRUPT);
        return;
    }
    if (l->n_spans == RAFT_LOG_SPANS - 4) { /* the core takes no more; there is an image by then */
        l->base_term = l->span[1].term;
        raft_log_span_trim(l, l->span[1].index);
    }
    raft_log_span_push(l, index, place, r->epoch);
    l->last = index;
    l->to_wal = index + 1;
    if (r->type == RAFT_CONF)
        raft_log_replay_conf(l, index, place, bytes + RAFT_LOG_HEAD, r->len - RAFT_LOG_HEAD);
}

static void raft_log_on_record(struct wal_host *h, uint64_t place, const struct log_record *r,
                               const void *bytes)
{
    struct raft_log *l = raft_log_of(h);
    if (l->replaying) {
        raft_log_replayed(l, place, r, bytes);
        return;
    }
    if (place != wal_durable(l->wal)) /* the last of its batch speaks for all */
        return;
    raft_log_calm(l);
    raft_log_pump(l);
    l->host->stored(l->host);
}

/* The last n places were given back before anything was written: what stood there waits again. */
static void raft_log_on_rejected(struct wal_host *h, uint32_t n, int why)
{
    struct raft_log *l = raft_log_of(h);
    uint64_t free = wal_last_index(l->wal) + 1;
    (void)n, (void)why;
    while (l->n_spans && l->span[l->n_spans - 1].place >= free) {
        l->to_wal = l->span[l->n_spans - 1].index;
        l->n_spans--;
    }
    if (l->n_spans) {
        const struct raft_span *s = &l->span[l->n_spans - 1];
        l->to_wal = base_min_u64(l->to_wal, s->index + (free - s->place));
    } else if (l->base_term) {
        l->reset_due = true; /* it may have been among them; twice does no harm */
    }
}

static void raft_log_on_failed(struct wal_host *h, int why)
{
    struct raft_log *l = raft_log_of(h);
    l->host->failed(l->host, why);
}

static void raft_log_on_space(struct wal_host *h, bool full)
{
    struct raft_log *l = raft_log_of(h);
    l->host->space(l->host, full);
    if (!full)
        raft_log_pump(l);
}

/* --- start --- */

static void raft_log_op_done(struct env_op *op)
{
    struct raft_log *l = container_of(op, struct raft_log, op);
    struct env_op *user = l->user;
    int64_t ret = op->ret;
    l->user = NULL;
    if (l->replaying) {
        l->replaying = false;
        if (l->bad)
            fmt_log(l->env, ENV_LOG_ERROR,
                    "journal: '%s': record %llu %s Nothing more was changed.",
                    env_disk(l->env, l->cfg.wal.dir), (unsigned long long)l->bad_place,
                    l->bad == E_VERSION
                        ? "is of a single master's journal or of a newer release: start that one, "
                          "or migrate it."
                        : "checks, but it does not continue those before: check the disk, or "
                          "replace this member.");
        if (ret >= 0 && l->bad)
            ret = l->bad;
        l->mem_first = l->last + 1;
    }
    user->ret = ret;
    user->done(user);
}

void raft_log_recover(struct raft_log *l, uint64_t from, uint64_t known, struct env_op *op)
{
    l->user = op;
    wal_recover(l->wal, from, known, &l->op);
}

void raft_log_allow_loss(struct raft_log *l)
{
    wal_allow_hole(l->wal);
}

bool raft_log_loss(const struct raft_log *l, uint64_t *ret_index, uint64_t *ret_term,
                   uint64_t *ret_known)
{
    struct wal_hole h;
    if (!wal_hole(l->wal, &h))
        return false;
    bool told = h.found && h.found >= h.known && h.found_type >= RAFT_DATA &&
                h.found_type <= RAFT_LOG_RESET;
    *ret_index = told ? h.found_head : UINT64_MAX;
    *ret_term = told ? h.found_epoch : 0;
    *ret_known = h.first_bad - 1;
    return true;
}

void raft_log_begin(struct raft_log *l, struct env_op *op)
{
    l->user = op;
    wal_recover_start(l->wal, wal_epoch(l->wal), &l->op);
}

void raft_log_replay(struct raft_log *l, struct env_op *op)
{
    struct wal_stats st;
    wal_stats(l->wal, &st);
    l->user = op;
    l->replaying = true;
    l->to_wal = 1;
    wal_recover_replay(l->wal, st.first_index ? st.first_index : 1, &l->op);
}

/* The first entry tells its own term only: it becomes the base, unless the log begins with it, or
 * the image ends right before it and knows. */
static void raft_log_find_base(struct raft_log *l, const struct raft_image *i)
{
    if (l->base == 0 || l->base_term || l->last == l->base)
        return;
    if (i->index == l->base && i->term && i->term <= l->span[0].term) {
        l->base_term = i->term;
        return;
    }
    l->base_term = l->span[0].term;
    raft_log_span_trim(l, l->base + 1);
}

int raft_log_start(struct raft_log *l, struct raft_start *s)
{
    const struct raft_image *i = &s->image;
    raft_log_find_base(l, i);
    if (i->index < l->base) {
        fmt_log(l->env, ENV_LOG_ERROR,
                "journal: '%s': the newest good image ends at record %llu, the log begins behind "
                "%llu.  Nothing is lost on the other members: replace this one.",
                env_disk(l->env, l->cfg.wal.dir), (unsigned long long)i->index,
                (unsigned long long)l->base);
        return E_CORRUPT;
    }
    bool has = i->index == l->base ? !i->index || i->term == l->base_term
                                   : i->index > l->base && i->index <= l->last &&
                                         raft_log_span(l, i->index)->term == i->term;
    if (!has) {
        raft_log_reset(l, i->index, i->term);
    } else if (l->n_spans > RAFT_LOG_SPANS_START && i->index > l->base + 1) {
        /* Files go whole, and hold more terms than the core has room for.  The image's own entry
         * stays, for its place: up to there they may go once there is another image. */
        l->base_term = raft_log_span(l, i->index - 1)->term;
        raft_log_span_trim(l, i->index - 1);
    }
    s->base = l->base;
    s->base_term = l->base_term;
    s->n = l->last - l->base;
    l->n_runs = 0;
    for (uint32_t k = 0; k < l->n_spans; k++)
        if (l->n_runs == 0 || l->run[l->n_runs - 1].term != l->span[k].term)
            l->run[l->n_runs++] = (struct raft_run){l->span[k].index, l->span[k].term};
    s->run = l->run;
    s->n_runs = l->n_runs;
    uint32_t first = 0;
    while (first < l->n_confs &&
           (l->n_confs - first > RAFT_CONFS_MAX - 1 || l->conf_index[first] <= i->index))
        first++;
    if (!has)
        first = l->n_confs;
    else if (first && l->conf_index[first - 1] > i->index)
        /* More have come since the image than can be kept; what is committed holds for what was
         * before it, too, but not the other way round: an image, or who takes it over, would count
         * on members that have left. */
        s->image.conf = &l->conf[first - 1];
    s->n_confs = l->n_confs - first;
    s->conf_index = l->conf_index + first;
    s->conf = l->conf + first;
    l->mem_first = l->last + 1;
    return 0;
}

/* --- reading back --- */

struct raft_log_reader {
    struct raft_log *log;
    struct wal_cursor *cursor;
    struct env_op op, *user;
    void (*entry)(void *ctx, uint64_t index, const struct raft_entry *e, const void *bytes);
    void *ctx;
    uint64_t next;
    uint32_t n;
    bool closing;
};

static void raft_log_reader_done(struct env_op *op)
{
    struct raft_log_reader *r = container_of(op, struct raft_log_reader, op);
    struct env_op *user = r->user;
    r->user = NULL;
    user->ret = op->ret < 0 ? op->ret : (int64_t)r->n;
    if (r->closing)
        mem_free(r->log->mem, r, sizeof *r);
    user->done(user);
}

struct raft_log_reader *raft_log_reader_open(struct raft_log *l)
{
    struct raft_log_reader *r = mem_zalloc(l->mem, sizeof *r);
    if (!r)
        return NULL;
    r->log = l;
    r->op.done = raft_log_reader_done;
    r->cursor = wal_cursor_open(l->wal);
    if (!r->cursor) {
        mem_free(l->mem, r, sizeof *r);
        return NULL;
    }
    return r;
}

static void raft_log_reader_record(void *ctx, uint64_t place, const struct log_record *rec,
                                   const void *bytes)
{
    struct raft_log_reader *r = ctx;
    /* while it was read, the entry may have been cut */
    if (raft_log_place(r->log, r->next) != place || rec->len < RAFT_LOG_HEAD ||
        base_get_u64(bytes) != r->next)
        return;
    struct raft_entry e = {rec->epoch, rec->len - RAFT_LOG_HEAD, rec->type};
    r->entry(r->ctx, r->next, &e, (const uint8_t *)bytes + RAFT_LOG_HEAD);
    r->next++;
    r->n++;
}

void raft_log_read(struct raft_log_reader *r, uint64_t from, uint32_t max_bytes,
                   uint32_t max_entries,
                   void (*entry)(void *ctx, uint64_t index, const struct raft_entry *e,
                                 const void *bytes),
                   void *ctx, struct env_op *op)
{
    struct raft_log *l = r->log;
    uint64_t place = raft_log_place(l, from);
    ASSERT(!r->user);
    r->user = op;
    r->entry = entry;
    r->ctx = ctx;
    r->next = from;
    r->n = 0;
    if (!place) {
        r->op.ret = E_NOENT;
        env_post(l->env, &r->op);
        return;
    }
    const struct raft_span *s = raft_log_span(l, from);
    uint64_t end = s + 1 < l->span + l->n_spans ? s[1].index : l->to_wal;
    wal_cursor_read(r->cursor, place, max_bytes, (uint32_t)base_min_u64(max_entries, end - from),
                    raft_log_reader_record, r, &r->op);
}

void raft_log_reader_close(struct raft_log_reader *r, struct env_op *op)
{
    ASSERT(!r->user);
    r->closing = true;
    r->user = op;
    r->n = 0;
    wal_cursor_close(r->cursor, &r->op);
}

/* --- life --- */

struct raft_log *raft_log_create(struct env *e, struct mem *m, const struct raft_log_config *cfg,
                                 struct raft_log_host *host)
{
    struct raft_log *l = mem_zalloc(m, sizeof *l);
    if (!l)
        return NULL;
    ASSERT((cfg->mem_entries & (cfg->mem_entries - 1)) == 0);
    l->env = e;
    l->mem = m;
    l->host = host;
    l->cfg = *cfg;
    l->wal_host = (struct wal_host){.record = raft_log_on_record,
                                    .rejected = raft_log_on_rejected,
                                    .failed = raft_log_on_failed,
                                    .space = raft_log_on_space};
    l->op.done = raft_log_op_done;
    list_init(&l->blocks);
    l->span = mem_alloc(m, RAFT_LOG_SPANS * sizeof *l->span);
    l->run = mem_alloc(m, RAFT_LOG_SPANS * sizeof *l->run);
    l->held = mem_alloc(m, cfg->mem_entries * sizeof *l->held);
    l->wal = wal_create(e, m, &cfg->wal, &l->wal_host);
    if (!l->span || !l->run || !l->held || !l->wal) {
        raft_log_free(l);
        return NULL;
    }
    l->to_wal = l->mem_first = 1;
    return l;
}

void raft_log_free(struct raft_log *l)
{
    struct mem *m = l->mem;
    raft_log_blocks_cut(l, 0);
    if (l->spare)
        mem_free(m, l->spare, sizeof *l->spare);
    if (l->wal)
        wal_free(l->wal);
    mem_free(m, l->held, l->cfg.mem_entries * sizeof *l->held);
    mem_free(m, l->run, RAFT_LOG_SPANS * sizeof *l->run);
    mem_free(m, l->span, RAFT_LOG_SPANS * sizeof *l->span);
    mem_free(m, l, sizeof *l);
}

bool raft_log_give(struct raft_log *l)
{
    return wal_give(l->wal);
}

void raft_log_hold(struct raft_log *l, bool on)
{
    wal_hold(l->wal, on);
}

void raft_log_lend(struct raft_log *l, bool on)
{
    wal_lend(l->wal, on);
}

void raft_log_flush(struct raft_log *l)
{
    wal_flush(l->wal);
}

bool raft_log_is_idle(const struct raft_log *l)
{
    return wal_is_idle(l->wal);
}

uint64_t raft_log_written(const struct raft_log *l)
{
    return wal_written(l->wal);
}

void raft_log_stats(const struct raft_log *l, struct wal_stats *ret_stats)
{
    wal_stats(l->wal, ret_stats);
}

void raft_log_stop(struct raft_log *l, struct env_op *op)
{
    wal_stop(l->wal, op);
}
