/* journal/zk_tail.c - see zk_tail.h.
 *
 * One segment's file is open at a time.  Its end is read one block at a time while nothing comes,
 * in large windows once something does.  A segment that may be full, or that has been quiet for a
 * while, or any in a thorough look, is looked for its successor: the names above its own, in order,
 * until one is no segment yet. */
#include "core/fmt.h"
#include "journal/zk_tail.h"

enum {
    ZK_TAIL_AHEAD = 256 * 1024,
    ZK_TAIL_NEAR = LOG_BATCH_MAX + 2 * LOG_BLOCK, /* of its end: the next batch may not fit */
    ZK_TAIL_MISSED = 8, /* successors that do not stand on what was read: begin anew */
};

static void zk_tail_run(struct zk_tail *t);

static void zk_tail_done(struct env_op *op)
{
    zk_tail_run(container_of(op, struct zk_tail, op));
}

static void zk_tail_wake(struct wal_read *r)
{
    zk_tail_run(container_of(r, struct zk_tail, read));
}

bool zk_tail_init(struct zk_tail *t, struct env *shared, struct mem *m)
{
    memset(t, 0, sizeof *t);
    t->env = shared;
    t->mem = m;
    t->op.done = zk_tail_done;
    if (wal_read_init(&t->read, shared, m))
        return false;
    t->read.wake = zk_tail_wake;
    t->memory = mem_alloc(m, LOG_BLOCK + ENV_DIRECT_ALIGN);
    if (!t->memory) {
        wal_read_drop(&t->read);
        return false;
    }
    t->block = t->memory + (-(uintptr_t)t->memory & (ENV_DIRECT_ALIGN - 1));
    return true;
}

void zk_tail_drop(struct zk_tail *t)
{
    ASSERT(t->state == ZK_TAIL_REST && !t->is_open);
    if (t->memory) {
        wal_read_drop(&t->read);
        mem_free(t->mem, t->memory, LOG_BLOCK + ENV_DIRECT_ALIGN);
    }
    t->memory = NULL;
}

void zk_tail_start(struct zk_tail *t, const char *dir, uint64_t from)
{
    ASSERT(t->state == ZK_TAIL_REST && !t->is_open && from);
    fmt_into(t->own_dir, sizeof t->own_dir, "%s", dir);
    fmt_into(t->dir, sizeof t->dir - LOG_NAME_MAX, "%s/", dir);
    t->next = from;
    t->is_torn = t->is_more = false;
    t->idle = t->missed = 0;
}

/* --- ends --- */

static void zk_tail_end(struct zk_tail *t)
{
    struct env_op *op = t->user;
    t->state = ZK_TAIL_REST;
    t->user = NULL;
    t->is_more |= t->bad != 0; /* what came before the error is not all */
    env_reply(t->env, op, t->got || !t->bad ? (int64_t)t->got : t->bad);
}

/* the file goes; then the look ends with why, or goes on with what was found */
static void zk_tail_close(struct zk_tail *t, int why)
{
    t->bad = why;
    t->in_batch = false;
    t->state = ZK_TAIL_SHUT;
    if (t->is_open)
        wal_read_close(&t->read);
}

static void zk_tail_list(struct zk_tail *t)
{
    char leaf[LOG_NAME_MAX];
    log_format_name(leaf, "wal-", t->seq);
    fmt_into(t->after, sizeof t->after, "%s", t->is_open ? leaf : "");
    t->found_seq = t->gone_first = 0;
    t->is_found = t->is_stopped = false;
    t->state = ZK_TAIL_LIST;
    t->name_at = t->names_len = 0;
    env_list(t->env, t->own_dir, t->after, t->names, sizeof t->names, &t->op);
}

/* --- which segment? --- */

/* all names were looked at, or one that ends the search was */
static void zk_tail_chosen(struct zk_tail *t)
{
    t->idle = 0;
    if (t->found_seq) {
        t->missed = 0;
        zk_tail_close(t, 0);
        return;
    }
    t->is_empty = !t->is_open && !t->gone_first && !t->bad;
    if (t->is_open && t->gone_first) { /* there is more: under way still, or gone */
        t->missed++;
        t->is_more = true;
    }
    if (!t->is_open && t->gone_first) {
        t->bad = E_NOENT;
    } else if (t->missed == ZK_TAIL_MISSED) {
        t->missed = 0;
        zk_tail_close(t, E_AGAIN); /* the next look finds its place anew */
        return;
    } else if (t->is_open && t->is_thorough && !t->is_more && !t->bad) {
        t->state = ZK_TAIL_OWN;
        env_read(t->read.file, t->block, LOG_BLOCK, 0, &t->op);
        return;
    }
    zk_tail_end(t);
}

/* the open segment's header was read again */
static void zk_tail_own(struct zk_tail *t, int64_t got)
{
    struct log_segment h;
    memcpy(&h, t->block, sizeof h);
    if (got < LOG_BLOCK || log_format_check(t->block, LOG_BLOCK, LOG_SEGMENT_MAGIC) ||
        h.seq != t->seq)
        zk_tail_close(t, got < 0 && got != E_STALE && got != E_NOENT ? (int)got : E_AGAIN);
    else
        zk_tail_end(t);
}

/* the header of probe_seq is in the block; does it end the search? */
static bool zk_tail_judge(struct zk_tail *t, int64_t got)
{
    struct log_segment h;
    if (got < LOG_BLOCK || log_format_check(t->block, LOG_BLOCK, LOG_SEGMENT_MAGIC))
        return t->found_seq || t->is_open; /* made beforehand, or its first write is under way; or
                                              one that goes, and then others follow */
    memcpy(&h, t->block, sizeof h);
    if (h.seq != t->probe_seq || !h.first_index)
        return true;
    if (t->is_open) {
        if (h.prev_chain == t->chain && h.first_index == t->place)
            t->found_seq = t->probe_seq;
        else
            t->gone_first = h.first_index;
        return true;
    }
    if (h.first_index > t->next) {
        t->gone_first = h.first_index;
        return true;
    }
    t->found_seq = t->probe_seq; /* the last that begins before what is wanted */
    return false;
}

static void zk_tail_probe_next(struct zk_tail *t)
{
    uint64_t seq;
    char name[ENV_NAME_MAX];
    while (t->name_at < t->names_len) {
        const char *n = t->names + t->name_at;
        t->name_at += (uint32_t)strlen(n) + 1;
        if (strlen(n) < sizeof t->after)
            fmt_into(t->after, sizeof t->after, "%s", n);
        if (!log_format_name_parse(n, "wal-", &seq))
            continue;
        t->probe_seq = seq;
        t->state = ZK_TAIL_PROBE_OPEN;
        fmt_into(name, sizeof name, "%s%s", t->dir, n);
        env_open(t->env, name, ENV_O_READ | ENV_O_DIRECT, &t->probe, &t->op);
        return;
    }
    t->state = ZK_TAIL_LIST;
    env_list(t->env, t->own_dir, t->after, t->names, sizeof t->names, &t->op);
}

static void zk_tail_listed(struct zk_tail *t, int64_t ret)
{
    if (ret < 0)
        t->bad = (int)ret;
    if (ret <= 0) {
        zk_tail_chosen(t);
        return;
    }
    t->names_len = (uint32_t)ret;
    t->name_at = 0;
    zk_tail_probe_next(t);
}

static void zk_tail_probe(struct zk_tail *t)
{
    int64_t ret = t->op.ret;
    struct env_file *f = t->probe;
    switch (t->state) {
    case ZK_TAIL_PROBE_OPEN:
        if (ret < 0) {
            t->bad = ret == E_NOENT ? 0 : (int)ret;
            if (t->bad)
                zk_tail_chosen(t);
            else
                zk_tail_probe_next(t);
            return;
        }
        t->state = ZK_TAIL_PROBE_READ;
        env_read(t->probe, t->block, LOG_BLOCK, 0, &t->op);
        return;
    case ZK_TAIL_PROBE_READ:
        if (ret < 0 && ret != E_NOENT && ret != E_STALE)
            t->bad = (int)ret;
        t->is_stopped = t->bad || zk_tail_judge(t, ret);
        t->state = ZK_TAIL_PROBE_CLOSE;
        t->probe = NULL;
        env_close(f, &t->op);
        return;
    default:
        if (t->is_stopped)
            zk_tail_chosen(t);
        else
            zk_tail_probe_next(t);
    }
}

/* --- reading --- */

/* the records of the reader's batch; false: no room */
static bool zk_tail_hand(struct zk_tail *t)
{
    struct log_record r;
    const void *bytes;
    for (;;) {
        uint32_t at = t->batch_at;
        if (!log_format_record_next(t->read.payload, t->read.batch.payload_len, &at, &r, &bytes))
            break;
        if (t->batch_index == t->next) {
            if (!t->record(t->ctx, t->next, &r, bytes))
                return false;
            t->next++;
            t->got++;
        }
        t->batch_at = at;
        t->batch_index++;
    }
    t->in_batch = false;
    return true;
}

static void zk_tail_batch(struct zk_tail *t)
{
    const struct log_batch *b = &t->read.batch;
    t->chain = b->crc;
    t->place = b->first_index + b->records;
    t->in_batch = true;
    t->batch_at = 0;
    t->batch_index = b->first_index;
    t->idle = t->missed = 0;
    t->at = t->read.at + log_format_batch_size(b);
    t->look_bytes += log_format_batch_size(b);
    t->bytes += log_format_batch_size(b);
}

/* nothing more is in the open segment, as it was read in this look */
static void zk_tail_at_end(struct zk_tail *t, bool is_torn)
{
    t->is_torn = is_torn;
    t->is_stale = true;
    t->idle++;
    if (t->is_thorough || t->idle >= ZK_TAIL_IDLE_LOOKS || t->read.size < t->at + ZK_TAIL_NEAR)
        zk_tail_list(t);
    else
        zk_tail_end(t);
}

static void zk_tail_header(struct zk_tail *t)
{
    const struct log_segment *h = &t->read.segment;
    bool fits = !t->read.verdict && h->seq == t->found_seq &&
                (t->seq ? h->prev_chain == t->chain && h->first_index == t->place
                        : h->first_index <= t->next);
    if (!fits) { /* it goes, or came only now */
        t->seq = 0;
        t->found_seq = 0;
        zk_tail_close(t, E_AGAIN);
        return;
    }
    t->seq = h->seq;
    t->found_seq = 0;
    t->chain = h->crc;
    t->place = h->first_index;
    t->at = LOG_BLOCK;
    t->state = ZK_TAIL_READ;
}

static void zk_tail_error(struct zk_tail *t)
{
    int why = t->read.verdict;
    t->seq = t->found_seq = 0;
    zk_tail_close(t, why == E_NOENT || why == E_STALE ? E_AGAIN : why);
}

/* one step of the reader; false: it works */
static bool zk_tail_read(struct zk_tail *t)
{
    if (t->in_batch) {
        if (!zk_tail_hand(t) || t->look_bytes >= ZK_TAIL_LOOK_BYTES) {
            t->is_more = true;
            zk_tail_end(t);
            return false;
        }
        return true;
    }
    if (t->is_stale && !t->read.busy) {
        wal_read_forget(&t->read);
        t->is_stale = false;
    }
    t->read.limit = t->at + (t->look_bytes || t->state == ZK_TAIL_OPEN ? ZK_TAIL_AHEAD : LOG_BLOCK);
    switch (wal_read_step(&t->read)) {
    case WAL_READ_WAIT:
        return false;
    case WAL_READ_HEADER:
        zk_tail_header(t);
        return true;
    case WAL_READ_BATCH:
        zk_tail_batch(t);
        return true;
    case WAL_READ_END:
        zk_tail_at_end(t, false);
        return false;
    case WAL_READ_BAD:
        if (t->read.verdict == E_VERSION)
            zk_tail_close(t, E_VERSION);
        else
            zk_tail_at_end(t, true);
        return t->state == ZK_TAIL_SHUT;
    default:
        zk_tail_error(t);
        return true;
    }
}

/* the file is closed, if it was open; true: another one is opened */
static bool zk_tail_closed(struct zk_tail *t)
{
    char leaf[LOG_NAME_MAX], name[ENV_NAME_MAX];
    t->is_open = false;
    if (t->shut_op) {
        struct env_op *op = t->shut_op;
        t->shut_op = NULL;
        t->state = ZK_TAIL_REST;
        t->seq = 0;
        env_reply(t->env, op, 0);
        return false;
    }
    if (!t->found_seq) {
        t->seq = 0;
        if (t->bad == E_AGAIN) {
            t->bad = 0;
            t->is_more = true;
        }
        zk_tail_end(t);
        return false;
    }
    log_format_name(leaf, "wal-", t->found_seq);
    fmt_into(name, sizeof name, "%s%s", t->dir, leaf);
    t->is_open = true;
    t->is_stale = false;
    t->state = ZK_TAIL_OPEN;
    t->at = 0;
    wal_read_open(&t->read, name);
    return true;
}

static void zk_tail_run(struct zk_tail *t)
{
    for (;;) {
        switch (t->state) {
        case ZK_TAIL_REST:
            return;
        case ZK_TAIL_LIST:
            zk_tail_listed(t, t->op.ret);
            break;
        case ZK_TAIL_PROBE_OPEN:
        case ZK_TAIL_PROBE_READ:
        case ZK_TAIL_PROBE_CLOSE:
            zk_tail_probe(t);
            break;
        case ZK_TAIL_OWN:
            zk_tail_own(t, t->op.ret);
            break;
        case ZK_TAIL_READ:
        case ZK_TAIL_OPEN:
            if (!zk_tail_read(t))
                return;
            break;
        case ZK_TAIL_SHUT:
            if (t->is_open && wal_read_step(&t->read) != WAL_READ_CLOSED)
                return;
            if (!zk_tail_closed(t))
                return;
            break;
        }
        if (t->state == ZK_TAIL_LIST || t->state == ZK_TAIL_PROBE_OPEN ||
            t->state == ZK_TAIL_PROBE_READ || t->state == ZK_TAIL_PROBE_CLOSE ||
            t->state == ZK_TAIL_OWN)
            return; /* an operation is under way */
    }
}

/* --- the door --- */

void zk_tail_look(struct zk_tail *t, bool is_thorough, struct env_op *op)
{
    ASSERT(t->state == ZK_TAIL_REST && !t->user);
    t->user = op;
    t->got = 0;
    t->bad = 0;
    t->look_bytes = 0;
    t->is_more = t->is_empty = false;
    t->is_thorough = is_thorough;
    t->is_stale = true;
    if (t->is_open) {
        t->state = ZK_TAIL_READ;
        t->op.ret = 0;
        env_post(t->env, &t->op);
    } else {
        t->seq = 0;
        zk_tail_list(t);
    }
}

void zk_tail_shut(struct zk_tail *t, struct env_op *op)
{
    ASSERT(t->state == ZK_TAIL_REST && !t->shut_op);
    t->shut_op = op;
    t->found_seq = 0;
    t->state = ZK_TAIL_SHUT;
    if (t->is_open)
        wal_read_close(&t->read);
    else
        env_post(t->env, &t->op);
}
