/* journal/log_format.h - the bytes of the write-ahead log, the state images and the meta file.
 *
 * A log is a row of segment files wal-<seq, 16 hex digits>; seq is never used twice.  A segment is
 *
 *   block 0      struct log_segment, zeros up to LOG_BLOCK (all zeros: prepared, not in use yet)
 *   then         batches, each starting at a multiple of LOG_BLOCK and padded with zeros to one
 *   then         zeros
 *
 * A batch is struct log_batch followed by its records; a record is struct log_record followed by
 * its bytes, padded to 8.  Indices are implied: record k of a batch has first_index + k.
 *
 * INVARIANTS
 *  1. In every version: magic, version and crc stand where they stand here, and crc is the CRC-32C
 *     of the whole header (a segment's: of its whole block) taken with the crc itself zero.  So a
 *     version from the future is told from damage.
 *  2. Chain: a batch's prev_chain is the crc of the batch before it in its segment, or of the
 *     segment's header; a header's prev_chain is the crc of the last batch before the segment.
 *     A batch's crc covers its payload_crc, so one value vouches for everything before it.
 *  3. A record's crc covers its header and bytes and is seeded with the record before it in the
 *     batch (the batch's prev_chain for the first), so records cannot change places.
 *  4. durable_upto (in batches and headers) is an index that was known durable when the batch was
 *     cut: true for ever after.  It is what tells damage from a torn tail.
 *  5. A segment may repeat records that an older one holds: a restart's first segment stands on the
 *     last batch that is proven durable, and repeats what came after it.
 *
 * An image is image-<index, 16 hex digits>: struct log_image in one block, then pieces (struct
 * log_piece and its bytes, padded to 8; a kind of 0 says: go on at the next LOG_BLOCK), then a
 * LOG_PIECE_END.  The meta file is two blocks of struct log_meta, one after the other; each says
 * which of the two it is, since version 2 of it.  Version 1 is still read. */
#ifndef JOURNAL_LOG_FORMAT_H
#define JOURNAL_LOG_FORMAT_H

#include "core/err.h"

enum {
    LOG_BLOCK = 4096,
    LOG_VERSION = 1,
    LOG_META_VERSION = 2,        /* of the meta file */
    LOG_BATCH_MAX = 1024 * 1024, /* bytes of a batch with its header and padding */
    LOG_PIECE_MAX = 256 * 1024,  /* bytes of a piece with its header */
    LOG_NAME_MAX = 32,           /* bytes of a file's name below the journal's directory */
};

#define LOG_SEGMENT_MAGIC 0x67655354u /* "TSeg" */
#define LOG_BATCH_MAGIC   0x74614254u /* "TBat" */
#define LOG_IMAGE_MAGIC   0x676d4954u /* "TImg" */
#define LOG_META_MAGIC    0x74654d54u /* "TMet" */

struct log_head { /* what every header begins with */
    uint32_t magic;
    uint16_t version, flags;
    uint32_t crc;
};

struct log_segment {
    uint32_t magic;
    uint16_t version, flags;
    uint32_t crc, prev_chain;
    uint64_t cluster_hi, cluster_lo;
    uint64_t seq, first_index, epoch, durable_upto;
    uint64_t bytes; /* of the file */
    uint64_t reserved;
};
static_assert(sizeof(struct log_segment) == 80, "stored");

struct log_batch {
    uint32_t magic;
    uint16_t version, flags;
    uint32_t crc, prev_chain;
    uint64_t seq, epoch, first_index, durable_upto;
    uint32_t payload_len, payload_crc, records, reserved;
};
static_assert(sizeof(struct log_batch) == 64, "stored");

struct log_record {
    uint32_t len;
    uint8_t type, flags;
    uint16_t reserved;
    uint64_t epoch;
    uint32_t crc, reserved2;
};
static_assert(sizeof(struct log_record) == 24, "stored");

struct log_image {
    uint32_t magic;
    uint16_t version, flags;
    uint32_t crc, reserved;
    uint64_t cluster_hi, cluster_lo;
    uint64_t index, epoch;
};
static_assert(sizeof(struct log_image) == 48, "stored");

enum { LOG_PIECE_DATA = 0x44505431, LOG_PIECE_END = 0x45505431 };

struct log_piece {
    uint32_t kind, len;
    uint32_t crc;    /* of this struct with crc zero and the bytes, seeded with the piece before */
    uint32_t number; /* of DATA pieces before this one */
};
static_assert(sizeof(struct log_piece) == 16, "stored");

struct log_image_end { /* the bytes of a LOG_PIECE_END */
    uint64_t index, data_bytes;
};
static_assert(sizeof(struct log_image_end) == 16, "stored");

struct log_meta {
    uint32_t magic;
    uint16_t version, flags;
    uint32_t crc;
    uint32_t place; /* which of the two this is, from 1 on; 0: not said, as in version 1 */
    uint64_t cluster_hi, cluster_lo;
    uint64_t counter;         /* the higher of two valid blocks counts */
    uint64_t epoch;           /* the highest ever used; of a group: Raft's current term */
    uint64_t disk;            /* incarnation: made by chance with the file */
    uint64_t trimmed;         /* records up to here may be missing from the log */
    uint64_t durable;         /* records up to here were durable: more evidence against damage */
    uint32_t member, vote;    /* of a group: whose it is, whom it voted for in this term; else 0 */
    uint64_t era;             /* of a group: which history it is of (era.c) */
    uint64_t lost, lost_term; /* damage took entries, the last of which was this one or one before
                                 it, and they are not back; lost_term 0: nothing */
    uint32_t voters;          /* of the group, when this was written */
    uint32_t is_guest;        /* of a member: raft_start.is_guest */
    uint64_t committed, committed_term; /* of a group: so much of the log was, as is known here */
};
static_assert(sizeof(struct log_meta) == 128, "stored");

/* Seals a header of n bytes: magic, the newest version and crc. */
void log_format_seal(void *header, size_t n, uint32_t magic);
/* 0; E_NODATA: all zeros; E_VERSION: intact, from the future; E_CORRUPT: anything else */
int log_format_check(const void *header, size_t n, uint32_t magic);

/* What a batch must be to be the next one. */
struct log_expect {
    uint64_t seq, index;
    uint32_t chain;
};

/* bytes a record takes in a batch */
static inline uint32_t log_format_record_size(uint32_t len)
{
    return (uint32_t)base_align_up(sizeof(struct log_record) + (uint64_t)len, 8);
}

/* Writes the record at p (log_format_record_size bytes); returns its crc, the next one's seed. */
uint32_t log_format_record_put(void *p, uint32_t seed, uint8_t type, uint64_t epoch,
                               const void *bytes, uint32_t len);
/* Completes the batch whose payload stands behind its header at p: fills in what is missing in *b,
 * seals it, pads with zeros.  Returns the padded length; b->crc is the chain from here. */
uint32_t log_format_batch_put(void *p, struct log_batch *b);

/* The header alone, as evidence: 0, E_NODATA, E_VERSION, E_CORRUPT. */
int log_format_batch_head(const void *p, struct log_batch *ret_b);
/* The whole batch at p, of which avail bytes are here: 0, or E_EOF: more bytes are needed (at least
 * *ret_need), E_NODATA: zeros, E_VERSION, E_CORRUPT.  ex NULL: any place in any log. */
int log_format_batch_check(const void *p, size_t avail, const struct log_expect *ex,
                           struct log_batch *ret_b, size_t *ret_need);
/* padded length of a checked batch */
static inline uint32_t log_format_batch_size(const struct log_batch *b)
{
    return (uint32_t)base_align_up(sizeof *b + (uint64_t)b->payload_len, LOG_BLOCK);
}

/* Walks the payload of a checked batch: *at starts at 0; false at the end. */
bool log_format_record_next(const void *payload, uint32_t payload_len, uint32_t *at,
                            struct log_record *ret_r, const void **ret_bytes);

/* a piece header's crc, over its bytes too */
uint32_t log_format_piece_crc(const struct log_piece *p, const void *bytes, uint32_t seed);

/* name (LOG_NAME_MAX bytes) = prefix + 16 hex digits */
void log_format_name(char *name, const char *prefix, uint64_t number);
/* true if name is prefix + 16 lower-case hex digits */
bool log_format_name_parse(const char *name, const char *prefix, uint64_t *ret_number);

#endif
