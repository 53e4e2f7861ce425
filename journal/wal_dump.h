/* journal/wal_dump.h - looks at a log without opening it for use: for people, after something
 * broke.
 *
 *   d = wal_dump_open(env, mem, "dir");
 *   wal_dump_next(d, op) -> op.ret 1: d->item is the next thing; 0: the end; < 0: an error
 *
 * Every segment in the order of names, every batch in it that is intact, whether it chains to the
 * one before or not, and every stretch that is not intact.  Changes nothing on disk. */
#ifndef JOURNAL_WAL_DUMP_H
#define JOURNAL_WAL_DUMP_H

#include "core/env.h"
#include "core/mem.h"
#include "journal/log_format.h"

enum wal_dump_kind {
    WAL_DUMP_SEGMENT, /* verdict 0 and segment set; E_NODATA: prepared or retired; else damaged */
    WAL_DUMP_BATCH,   /* batch, payload (log_format_record_next); chained says if it continues */
    WAL_DUMP_BAD,     /* from at on nothing is intact, up to the next item */
    WAL_DUMP_END,     /* zeros or the end of the segment's file from at on */
};

struct wal_dump_item {
    enum wal_dump_kind kind;
    const char *name;
    uint64_t at;
    int verdict;
    bool chained;
    struct log_segment segment;
    struct log_batch batch;
    const uint8_t *payload; /* valid until the next wal_dump_next */
};

struct wal_dump;

/* NULL: no memory.  dir outlives it. */
struct wal_dump *wal_dump_open(struct env *e, struct mem *m, const char *dir);
void wal_dump_next(struct wal_dump *d, struct env_op *op);
const struct wal_dump_item *wal_dump_item(const struct wal_dump *d);
/* after the end or an error only */
void wal_dump_free(struct wal_dump *d);

#endif
