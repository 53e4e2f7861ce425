/* journal/log_mend.h - one flipped bit of a header or a batch, found by its checksum and put right.
 *
 * A CRC-32C tells not only that a bit of what it covers has flipped but which one, as long as it is
 * one: every place leaves another difference between what was stored and what is computed.  A write
 * that a crash tore does not look like that: it lacks sectors.
 *
 *  1. What is called mended checks in full, as if it had been read so: a header by its checksum and
 *     by what must follow (place, chain); a batch's records by theirs, too, each with its own.  So
 *     64 bits and more say that these are the bytes that were written; were it not so, whoever
 *     takes them would take what a disk that damages without any trace gives him.
 *  2. Nothing is written: who mends does it to what he has read, every time he reads it. */
#ifndef JOURNAL_LOG_MEND_H
#define JOURNAL_LOG_MEND_H

#include "journal/log_format.h"

/* A header of n bytes as log_format_seal makes them: true if it checks now, and did not before. */
bool log_mend_head(void *p, size_t n, uint32_t magic);
/* A batch that log_format_batch_check does not accept as the next one (E_CORRUPT), of which avail
 * bytes are here.  True: something was mended, and it checks now; or its header does, and
 * *ret_need bytes have to be here for the rest. */
bool log_mend_batch(void *p, size_t avail, const struct log_expect *ex, size_t *ret_need);
/* Is there no sector of the batch, as far as its header says, that is empty?  Then no part of it
 * is missing as a torn write's is. */
bool log_mend_is_whole(const void *p, size_t avail);

#endif
