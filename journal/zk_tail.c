/* journal/zk_tail.c - see zk_tail.h.
 *
 * One segment's file is open at a time.  Its end is read one block at a time while nothing comes,
 * in large windows once something does.  A segment that may be full, or that has been quiet for 2,
 * 4, 8, ... looks, or any in a thorough look, is looked for its successor: its writer tells whether
 * there is one.  A place is found from the last segment down: those ahead have no header yet. */
#include "core/fmt.h"
#include "journal/zk_tail.h"

enum {
    ZK_TAIL_AHEAD = 512 * 1024,
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
    if (!t->memory || !zk_owner_init(&t->owner, shared, m)) {
        mem_free(m, t->memory, LOG_BLOCK + ENV_DIRECT_ALIGN);
        t->memory = NULL;
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
        zk_owner_drop(&t->owner);
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
    t->is_more |= t->bad != 0; /* what comes next could not be looked at */
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

static void zk_tail_told(struct zk_tail *t)
{
    t->found_seq = 0;
    t->is_gone = t->is_unseen = t->is_stopped = false;
    if (zk_owner_is_open(&t->owner)) {
        t->state = ZK_TAIL_TOLD;
        zk_owner_read(&t->owner, &t->op);
    } else {
        t->state = ZK_TAIL_OWNER;
        zk_owner_open(&t->owner, t->own_dir, &t->op);
    }
}

/* --- which segment? --- */

/* all that may be it were looked at, or one that ends the search was */
static void zk_tail_chosen(struct zk_tail *t)
{
    if (t->found_seq) {
        t->idle = t->missed = 0;
        zk_tail_close(t, 0);
        return;
    }
    t->is_empty = !t->is_open && !t->is_gone && !t->is_unseen && !t->bad;
    if (t->is_open && (t->is_gone || t->is_unseen)) { /* there is more: under way still, or gone */
        t->missed++;
        t->is_more = true;
    }
    if (!t->is_open && (t->is_gone || t->is_unseen) && !t->bad) {
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
        return t->is_open; /* made beforehand, or its first write is under way; or one that goes */
    memcpy(&h, t->block, sizeof h);
    if (h.seq != t->probe_seq || !h.first_index)
        return t->is_open;
    if (t->is_open ? h.prev_chain == t->chain && h.first_index == t->place
                   : h.first_index <= t->next)
        t->found_seq = t->probe_seq;
    else
        t->is_gone = true;
    return t->is_open || t->found_seq;
}

/* that one, or the next below it */
static void zk_tail_probe_seq(struct zk_tail *t, uint64_t seq)
{
    char leaf[LOG_NAME_MAX], name[ENV_NAME_MAX];
    if (t->is_stopped || seq < t->owner.first || seq > t->owner.last) {
        zk_tail_chosen(t);
        return;
    }
    t->probe_seq = seq;
    t->state = ZK_TAIL_PROBE_OPEN;
    log_format_name(leaf, "wal-", seq);
    fmt_into(name, sizeof name, "%s%s", t->dir, leaf);
    env_open(t->env, name, ENV_O_READ | ENV_O_DIRECT, &t->probe, &t->op);
}

/* the owner file is open, or was read, or could not be */
static void zk_tail_was_told(struct zk_tail *t, int64_t ret)
{
    if (ret < 0) {
        bool is_gone = t->state == ZK_TAIL_TOLD && (ret == E_NOENT || ret == E_STALE);
        t->bad = ret == E_STALE ? E_NOENT : (int)ret;
        if (is_gone) /* it is opened anew the next time */
            zk_tail_close(t, E_NOENT);
        else
            zk_tail_chosen(t);
    } else if (t->state == ZK_TAIL_OWNER) {
        zk_tail_told(t);
    } else if (t->is_open) {
        t->is_stopped = false;
        if (t->seq + 1 < t->owner.first) /* the one that followed went, too */
            t->is_gone = true;
        zk_tail_probe_seq(t, t->seq + 1);
    } else {
        zk_tail_probe_seq(t, t->owner.last);
    }
}

static void zk_tail_probe(struct zk_tail *t)
{
    int64_t ret = t->op.ret;
    struct env_file *f = t->probe;
    bool is_unseen = ret == E_NOENT || ret == E_STALE;
    switch (t->state) {
    case ZK_TAIL_PROBE_OPEN:
        if (ret >= 0) {
            t->state = ZK_TAIL_PROBE_READ;
            env_read(t->probe, t->block, LOG_BLOCK, 0, &t->op);
            return;
        }
        t->is_unseen |= is_unseen;
        t->bad = is_unseen ? 0 : (int)ret;
        t->is_stopped = t->bad || t->is_open;
        zk_tail_probe_seq(t, t->probe_seq - 1);
        return;
    case ZK_TAIL_PROBE_READ:
        t->is_unseen |= is_unseen;
        if (ret < 0 && !is_unseen)
            t->bad = (int)ret;
        t->is_stopped = t->bad || zk_tail_judge(t, ret);
        t->state = ZK_TAIL_PROBE_CLOSE;
        t->probe = NULL;
        env_close(f, &t->op);
        return;
    default:
        zk_tail_probe_seq(t, t->probe_seq - 1);
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
    /* soon: its writer may have left it for an image's sake; then ever less often */
    uint32_t idle = ++t->idle;
    bool is_due = idle > ZK_TAIL_IDLE_LOOKS ? idle % ZK_TAIL_IDLE_LOOKS == 0
                                            : idle > 1 && !(idle & (idle - 1));
    if (t->is_thorough || is_due || t->read.size < t->at + ZK_TAIL_NEAR)
        zk_tail_told(t);
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

/* So much is read at once: at first as if this look brought somewhat more than the last one did,
 * so that most need one read, and then with what it has brought.  Bounded: the log's writer waits
 * for the disk, too. */
static uint64_t zk_tail_ahead(const struct zk_tail *t)
{
    uint64_t n = t->look_bytes ? t->look_bytes / 2 : t->last_bytes + t->last_bytes / 4;
    return base_min_u64(n + LOG_BLOCK, ZK_TAIL_AHEAD);
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
    t->read.limit = t->at + zk_tail_ahead(t);
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

/* the owner file is closed */
static void zk_tail_gone(struct zk_tail *t)
{
    struct env_op *op = t->shut_op;
    t->seq = 0;
    if (!op) {
        zk_tail_end(t);
        return;
    }
    t->shut_op = NULL;
    t->state = ZK_TAIL_REST;
    env_reply(t->env, op, 0);
}

/* the file is closed, if it was open; true: another one is opened */
static bool zk_tail_closed(struct zk_tail *t)
{
    char leaf[LOG_NAME_MAX], name[ENV_NAME_MAX];
    t->is_open = false;
    if (t->shut_op || (t->bad == E_NOENT && !t->found_seq)) {
        t->state = ZK_TAIL_OWNER_SHUT;
        zk_owner_shut(&t->owner, &t->op);
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
        case ZK_TAIL_OWNER:
        case ZK_TAIL_TOLD:
            zk_tail_was_told(t, t->op.ret);
            break;
        case ZK_TAIL_OWNER_SHUT:
            zk_tail_gone(t);
            return;
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
        if (t->state == ZK_TAIL_OWNER || t->state == ZK_TAIL_TOLD ||
            t->state == ZK_TAIL_OWNER_SHUT || t->state == ZK_TAIL_PROBE_OPEN ||
            t->state == ZK_TAIL_PROBE_READ || t->state == ZK_TAIL_PROBE_CLOSE ||
            t->state == ZK_TAIL_OWN)
            return; /* an operation is under way */
    }
}

/* --- the door --- */

void zk_tail_size(const struct zk_tail *t, uint64_t *ret_segments, uint64_t *ret_bytes)
{
    uint64_t first = t->owner.first;
    *ret_segments = first && t->seq >= first ? t->seq - first + 1 : 0;
    *ret_bytes = *ret_segments * t->read.segment.bytes;
}

void zk_tail_look(struct zk_tail *t, bool is_thorough, struct env_op *op)
{
    ASSERT(t->state == ZK_TAIL_REST && !t->user);
    t->user = op;
    t->got = 0;
    t->bad = 0;
    t->last_bytes = t->look_bytes;
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
        zk_tail_told(t);
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
