/* journal/wal_cursor.c - one segment's file at a time.
 *
 *   file:  CLOSED --pick, open--> HEADER --its header is right--> READY --> CLOSING --> CLOSED
 *
 * READY -> CLOSING when the records go on in another segment, when the segment was removed (also
 * while nobody reads: an open file would keep its blocks), after an error, and at the end.
 *
 * wal_cursor_run() moves on until the disk works or there is nothing to do; each turn of it looks
 * at the log's segments anew, because they come and go. */
#include "journal/wal_cursor.h"
#include "journal/wal_impl.h"

enum wal_cursor_file {
    WAL_CURSOR_CLOSED,
    WAL_CURSOR_HEADER,
    WAL_CURSOR_READY,
    WAL_CURSOR_CLOSING,
};

struct wal_cursor {
    struct wal *wal;
    struct list link;
    struct env_op kick;
    bool kicked;
    struct env_op *user, *close_op;
    /* the file */
    enum wal_cursor_file file;
    struct wal_read read;
    uint64_t seq;
    uint64_t believed; /* what was durable when the reader's window was read */
    uint32_t looks;    /* at what did not read back as it was written */
    bool in_batch;     /* the reader's batch has records left, from batch_at: batch_index */
    uint32_t batch_at;
    uint64_t batch_index;
    int bad; /* the read ends with this when the file is closed */
    /* the read under way */
    uint64_t from;
    uint32_t n, bytes, max_bytes, max_records;
    bool is_full;
    void (*record)(void *ctx, uint64_t index, const struct log_record *r, const void *bytes);
    void *ctx;
};

static void wal_cursor_run(struct wal_cursor *c);

static void wal_cursor_kicked(struct env_op *op)
{
    struct wal_cursor *c = container_of(op, struct wal_cursor, kick);
    c->kicked = false;
    wal_cursor_run(c);
}

static void wal_cursor_kick(struct wal_cursor *c)
{
    if (c->kicked)
        return;
    c->kicked = true;
    env_post(c->wal->env, &c->kick);
}

static void wal_cursor_wake(struct wal_read *r)
{
    wal_cursor_run(container_of(r, struct wal_cursor, read));
}

struct wal_cursor *wal_cursor_open(struct wal *w)
{
    struct wal_cursor *c = mem_zalloc(w->mem, sizeof *c);
    if (!c)
        return NULL;
    if (wal_read_init(&c->read, w->env, w->mem)) {
        mem_free(w->mem, c, sizeof *c);
        return NULL;
    }
    c->wal = w;
    c->kick.done = wal_cursor_kicked;
    c->read.wake = wal_cursor_wake;
    list_push_back(&w->cursors, &c->link);
    return c;
}

/* --- segments --- */

static bool wal_cursor_is_going(const struct wal *w, const struct wal_segment *s)
{
    return s->superseded || (w->trim.state != WAL_TRIM_IDLE && w->trim.seq == s->seq);
}

/* the open file's segment; NULL: removed, or about to be */
static const struct wal_segment *wal_cursor_segment(const struct wal_cursor *c)
{
    const struct wal *w = c->wal;
    for (uint32_t i = w->n_segs; i-- > 0;)
        if (w->segs[i].seq == c->seq)
            return wal_cursor_is_going(w, &w->segs[i]) ? NULL : &w->segs[i];
    return NULL;
}

/* The youngest segment that holds a durable place: what an older one holds of it may be what a
 * restart found without proof. */
static const struct wal_segment *wal_cursor_pick(const struct wal *w, uint64_t place)
{
    for (uint32_t i = w->n_segs; i-- > 0;) {
        const struct wal_segment *s = &w->segs[i];
        if (s->first_index <= place && place <= s->last_index && !wal_cursor_is_going(w, s))
            return s;
    }
    return NULL;
}

static void wal_cursor_shut(struct wal_cursor *c)
{
    c->in_batch = false;
    c->file = WAL_CURSOR_CLOSING;
    wal_read_close(&c->read);
}

/* the read ends with why, unless it gave something, and then the next one does */
static void wal_cursor_fail(struct wal_cursor *c, int why)
{
    c->bad = why;
    wal_cursor_shut(c);
}

static void wal_cursor_pick_file(struct wal_cursor *c, uint64_t place)
{
    const struct wal_segment *s = wal_cursor_pick(c->wal, place);
    char name[ENV_NAME_MAX];
    if (!s) {
        c->bad = E_NOENT;
        return;
    }
    c->seq = s->seq;
    c->looks = 0;
    c->file = WAL_CURSOR_HEADER;
    c->believed = 0;
    wal_name(c->wal, s->seq, name);
    wal_read_open(&c->read, name);
}

/* --- reading --- */

static void wal_cursor_damaged(struct wal_cursor *c)
{
    if (c->looks++ < WAL_LOOKS) { /* it may be another place's that was read */
        wal_read_again(&c->read);
        return;
    }
    fmt_log(c->wal->env, ENV_LOG_ERROR,
            "journal: %s: offset %llu does not read back as it was written, and record %llu is "
            "needed from there: check the disk.",
            c->read.name, (unsigned long long)c->read.at, (unsigned long long)c->from + c->n);
    wal_cursor_fail(c, E_CORRUPT);
}

/* the reader's next event; a read that it begins here sees all that is durable now */
static enum wal_read_event wal_cursor_step(struct wal_cursor *c, const struct wal_segment *s)
{
    struct wal *w = c->wal;
    c->read.limit = !s ? 0 : s->last_index == UINT64_MAX ? w->off : s->end;
    enum wal_read_event ev = wal_read_step(&c->read);
    if (ev == WAL_READ_WAIT && c->read.busy)
        c->believed = w->durable;
    return ev;
}

static void wal_cursor_error(struct wal_cursor *c)
{
    fmt_log(c->wal->env, ENV_LOG_ERROR, "journal: cannot read %s: %s.", c->read.name,
            err_text(c->read.verdict));
    wal_cursor_fail(c, c->read.verdict);
}

static bool wal_cursor_header(struct wal_cursor *c)
{
    const struct wal_segment *s = wal_cursor_segment(c);
    enum wal_read_event ev = wal_cursor_step(c, s);
    if (ev == WAL_READ_WAIT)
        return false;
    if (!s) {
        wal_cursor_shut(c); /* gone meanwhile; look again */
    } else if (ev != WAL_READ_HEADER) {
        wal_cursor_error(c);
    } else if (c->read.verdict || c->read.segment.crc != s->chain) {
        wal_cursor_damaged(c);
    } else {
        c->file = WAL_CURSOR_READY;
        c->looks = 0;
    }
    return true;
}

/* what the bounds allow of the reader's batch */
static void wal_cursor_hand(struct wal_cursor *c)
{
    struct log_record r;
    const void *bytes;
    while (c->n < c->max_records) {
        uint32_t at = c->batch_at;
        c->in_batch =
            log_format_record_next(c->read.payload, c->read.batch.payload_len, &at, &r, &bytes);
        if (!c->in_batch)
            return;
        if (c->batch_index == c->from + c->n) {
            c->is_full = c->n && (uint64_t)c->bytes + r.len > c->max_bytes;
            if (c->is_full)
                return;
            c->n++;
            c->bytes += r.len;
            c->record(c->ctx, c->batch_index, &r, bytes);
        }
        c->batch_at = at;
        c->batch_index++;
    }
}

static void wal_cursor_rewind(struct wal_cursor *c)
{
    const struct log_segment *h = &c->read.segment;
    c->in_batch = false;
    c->read.expect = (struct log_expect){h->seq, h->first_index, h->crc};
    wal_read_batches(&c->read, LOG_BLOCK);
}

static bool wal_cursor_ready(struct wal_cursor *c)
{
    const struct wal_segment *s = wal_cursor_segment(c);
    uint64_t place = c->from + c->n;
    if (!s || place > s->last_index || place < s->first_index) {
        wal_cursor_shut(c);
        return true;
    }
    if (place < (c->in_batch ? c->batch_index : c->read.expect.index))
        wal_cursor_rewind(c);
    if (c->in_batch) {
        wal_cursor_hand(c);
        return true;
    }
    if (c->read.expect.index > c->believed)
        wal_read_forget(&c->read);
    switch (wal_cursor_step(c, s)) {
    case WAL_READ_WAIT:
        return false;
    case WAL_READ_BATCH:
        c->looks = 0;
        c->in_batch = true;
        c->batch_at = 0;
        c->batch_index = c->read.batch.first_index;
        break;
    case WAL_READ_ERROR:
        wal_cursor_error(c);
        break;
    default: /* the place is durable and in this segment */
        wal_cursor_damaged(c);
    }
    return true;
}

static void wal_cursor_finish(struct wal_cursor *c, int64_t ret)
{
    struct env_op *op = c->user;
    c->user = NULL;
    c->bad = 0;
    op->ret = ret;
    op->done(op); /* may read on, or close */
}

/* nothing is under way; true: go round again, false: c may be gone */
static bool wal_cursor_end(struct wal_cursor *c)
{
    struct env *e = c->wal->env;
    struct env_op *op = c->close_op;
    if (c->user) {
        c->user->ret = E_CANCELLED;
        env_post(e, c->user);
        c->user = NULL;
    }
    if (c->file != WAL_CURSOR_CLOSED) {
        wal_cursor_shut(c);
        return true;
    }
    list_remove(&c->link);
    wal_read_drop(&c->read);
    mem_free(c->wal->mem, c, sizeof *c);
    op->ret = 0;
    env_post(e, op);
    return false;
}

static bool wal_cursor_turn(struct wal_cursor *c)
{
    if (c->file == WAL_CURSOR_CLOSING) {
        if (wal_read_step(&c->read) != WAL_READ_CLOSED)
            return false;
        c->file = WAL_CURSOR_CLOSED;
    }
    if (c->close_op)
        return wal_cursor_end(c);
    if (!c->user) {
        if (c->file != WAL_CURSOR_READY || wal_cursor_segment(c))
            return false;
        wal_cursor_shut(c);
        return true;
    }
    uint64_t place = c->from + c->n;
    if (c->bad || c->is_full || c->n == c->max_records || place > c->wal->durable) {
        wal_cursor_finish(c, c->n || !c->bad ? (int64_t)c->n : c->bad);
        return false;
    }
    switch (c->file) {
    case WAL_CURSOR_HEADER:
        return wal_cursor_header(c);
    case WAL_CURSOR_READY:
        return wal_cursor_ready(c);
    default:
        wal_cursor_pick_file(c, place);
        return true;
    }
}

static void wal_cursor_run(struct wal_cursor *c)
{
    while (!c->kicked && !c->read.busy && wal_cursor_turn(c))
        ;
}

void wal_cursor_gone(struct wal *w)
{
    for (struct list *l = w->cursors.next, *next; l != &w->cursors; l = next) {
        next = l->next;
        struct wal_cursor *c = list_entry(l, struct wal_cursor, link);
        if (!c->user && !c->close_op)
            wal_cursor_kick(c);
    }
}

void wal_cursor_read(struct wal_cursor *c, uint64_t from, uint32_t max_bytes, uint32_t max_records,
                     void (*record)(void *ctx, uint64_t index, const struct log_record *r,
                                    const void *bytes),
                     void *ctx, struct env_op *op)
{
    ASSERT(c->wal->state == WAL_RUNNING && !c->user && !c->close_op && from && max_records);
    c->user = op;
    c->from = from;
    c->n = c->bytes = 0;
    c->max_bytes = max_bytes;
    c->max_records = max_records;
    c->is_full = false;
    c->record = record;
    c->ctx = ctx;
    wal_cursor_kick(c);
}

void wal_cursor_close(struct wal_cursor *c, struct env_op *op)
{
    ASSERT(!c->close_op);
    c->close_op = op;
    wal_cursor_kick(c);
}
