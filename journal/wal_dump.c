/* journal/wal_dump.c - LIST -> (OPEN segment -> items -> CLOSE)* -> END, one item per request. */
#include "core/fmt.h"
#include "journal/wal_dump.h"
#include "journal/wal_read.h"

enum { WAL_DUMP_NAMES = 4096 };

enum wal_dump_state {
    WAL_DUMP_LISTING,
    WAL_DUMP_NAMING,
    WAL_DUMP_READING,
    WAL_DUMP_CLOSING,
    WAL_DUMP_DONE,
};

struct wal_dump {
    struct env *env;
    struct mem *mem;
    const char *dir;
    struct wal_read read;
    struct env_op op, *user;
    enum wal_dump_state state;
    bool busy, reading, seek_next, unused; /* unused: the segment has no header */
    int failed;
    struct log_expect expect;
    struct wal_dump_item item;
    char names[WAL_DUMP_NAMES], after[ENV_NAME_MAX], path[ENV_NAME_MAX];
    uint32_t names_len, names_at;
};

static void wal_dump_run(struct wal_dump *d);

static void wal_dump_listed(struct env_op *op)
{
    struct wal_dump *d = container_of(op, struct wal_dump, op);
    d->busy = false;
    d->names_at = 0;
    d->names_len = op->ret > 0 ? (uint32_t)op->ret : 0;
    d->failed = op->ret < 0 ? (int)op->ret : 0;
    d->state = op->ret > 0 ? WAL_DUMP_NAMING : WAL_DUMP_DONE;
    wal_dump_run(d);
}

static void wal_dump_wake(struct wal_read *r)
{
    wal_dump_run(container_of(r, struct wal_dump, read));
}

struct wal_dump *wal_dump_open(struct env *e, struct mem *m, const char *dir)
{
    struct wal_dump *d = mem_zalloc(m, sizeof *d);
    if (!d)
        return NULL;
    if (wal_read_init(&d->read, e, m)) {
        mem_free(m, d, sizeof *d);
        return NULL;
    }
    d->env = e;
    d->mem = m;
    d->dir = dir;
    d->op.done = wal_dump_listed;
    d->read.wake = wal_dump_wake;
    d->read.any = true;
    return d;
}

void wal_dump_free(struct wal_dump *d)
{
    ASSERT(d->state == WAL_DUMP_DONE && !d->user);
    wal_read_drop(&d->read);
    mem_free(d->mem, d, sizeof *d);
}

const struct wal_dump_item *wal_dump_item(const struct wal_dump *d)
{
    return &d->item;
}

static void wal_dump_reply(struct wal_dump *d, int ret)
{
    struct env_op *op = d->user;
    d->user = NULL;
    op->ret = ret;
    env_post(d->env, op);
}

static void wal_dump_give(struct wal_dump *d, enum wal_dump_kind kind, int verdict)
{
    d->item.kind = kind;
    d->item.name = d->path;
    d->item.at = kind == WAL_DUMP_SEGMENT ? 0 : d->read.at;
    d->item.verdict = verdict;
    wal_dump_reply(d, 1);
}

/* the next name that is a segment's, or another list */
static void wal_dump_name(struct wal_dump *d)
{
    uint64_t seq;
    while (d->names_at < d->names_len) {
        const char *n = d->names + d->names_at;
        d->names_at += (uint32_t)strlen(n) + 1;
        fmt_into(d->after, sizeof d->after, "%s", n);
        if (!log_format_name_parse(n, "wal-", &seq))
            continue;
        fmt_into(d->path, sizeof d->path, "%s%s%s", d->dir, *d->dir ? "/" : "", n);
        d->seek_next = false;
        d->state = WAL_DUMP_READING;
        wal_read_open(&d->read, d->path);
        return;
    }
    d->state = WAL_DUMP_LISTING;
}

static void wal_dump_batch(struct wal_dump *d)
{
    const struct log_batch *b = &d->read.batch;
    d->item.batch = *b;
    d->item.payload = d->read.payload;
    d->item.chained = !d->unused && b->seq == d->expect.seq && b->first_index == d->expect.index &&
                      b->prev_chain == d->expect.chain;
    d->expect = (struct log_expect){b->seq, b->first_index + b->records, b->crc};
    wal_dump_give(d, WAL_DUMP_BATCH, 0);
}

static void wal_dump_read(struct wal_dump *d)
{
    struct wal_read *r = &d->read;
    struct log_batch b;
    if (d->seek_next) {
        d->seek_next = false;
        wal_read_raw(r, r->at + LOG_BLOCK);
    }
    switch (wal_read_step(r)) {
    case WAL_READ_WAIT:
        d->busy = r->busy;
        break;
    case WAL_READ_HEADER:
        d->item.segment = r->segment;
        d->expect = r->expect;
        d->unused = r->verdict == E_NODATA;
        wal_dump_give(d, WAL_DUMP_SEGMENT, r->verdict);
        break;
    case WAL_READ_BATCH:
        wal_dump_batch(d);
        break;
    case WAL_READ_BAD:
        d->seek_next = true;
        wal_dump_give(d, WAL_DUMP_BAD, r->verdict);
        break;
    case WAL_READ_END: /* of the log here; something intact may still follow zeros */
        d->seek_next = r->at + LOG_BLOCK < r->size && r->state == WAL_READ_AT_BATCH;
        if (!d->seek_next) {
            d->state = WAL_DUMP_CLOSING;
            wal_read_close(r);
        }
        if (d->seek_next || r->at < r->size)
            wal_dump_give(d, WAL_DUMP_END, 0);
        break;
    case WAL_READ_BLOCK:
        if (!log_format_batch_head(r->block, &b))
            wal_read_batches(r, r->at);
        break;
    case WAL_READ_ERROR:
        d->failed = r->verdict;
        d->state = WAL_DUMP_CLOSING;
        wal_read_close(r);
        break;
    case WAL_READ_CLOSED:
        d->state = d->failed ? WAL_DUMP_DONE : WAL_DUMP_NAMING;
        break;
    }
}

static void wal_dump_run(struct wal_dump *d)
{
    if (d->read.wake && !d->read.busy && d->state != WAL_DUMP_LISTING)
        d->busy = false;
    while (d->user && !d->busy) {
        switch (d->state) {
        case WAL_DUMP_LISTING:
            d->busy = true;
            env_list(d->env, d->dir, d->after, d->names, sizeof d->names, &d->op);
            break;
        case WAL_DUMP_NAMING:
            wal_dump_name(d);
            break;
        case WAL_DUMP_READING:
        case WAL_DUMP_CLOSING:
            wal_dump_read(d);
            break;
        case WAL_DUMP_DONE:
            wal_dump_reply(d, d->failed);
            break;
        }
    }
}

void wal_dump_next(struct wal_dump *d, struct env_op *op)
{
    ASSERT(!d->user);
    d->user = op;
    wal_dump_run(d);
}
