/* journal/wal_cursor.h - reads durable records of a running log from disk, while it is appended to
 * and trimmed: for those who need what has left memory.  Several at once; 1 MiB of memory each.
 *
 * INVARIANTS
 *  1. Only durable records are handed out, each place once in a read, in order, without gaps.
 *  2. Nothing is believed that was read from disk before it was durable: the block behind the last
 *     durable batch may be torn while it is written, so it is read again later.
 *  3. A segment that is being removed counts as gone: E_NOENT, never E_CORRUPT. */
#ifndef JOURNAL_WAL_CURSOR_H
#define JOURNAL_WAL_CURSOR_H

#include "journal/wal.h"

struct wal_cursor;

/* NULL: no memory.  All cursors must be closed before wal_stop. */
struct wal_cursor *wal_cursor_open(struct wal *w);
/* Hands out records from, from+1, ... as far as they are durable, at most max_records of them and
 * max_bytes of their bytes, but at least one; the bytes are valid during the call, which must not
 * call back into the cursor.  Then op is done with their number (0: `from` is not durable yet), or
 * E_NOENT (trimmed), E_CORRUPT, E_IO, ...  One read at a time, after the log's start.  The next one
 * that goes on where this stopped goes on in the file, too. */
void wal_cursor_read(struct wal_cursor *c, uint64_t from, uint32_t max_bytes, uint32_t max_records,
                     void (*record)(void *ctx, uint64_t index, const struct log_record *r,
                                    const void *bytes),
                     void *ctx, struct env_op *op);
/* a read under way ends first, with E_CANCELLED; c is gone when op is done */
void wal_cursor_close(struct wal_cursor *c, struct env_op *op);

#endif
