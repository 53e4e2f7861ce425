/* journal/backup.h - a backup: one self-contained file, and the copying of images into and out of
 * it.  Pure: bytes in, verdict out.
 *
 *   block 0     struct backup_head, the configuration (raft_format.h), zeros
 *   then        the file of a state image (log_format.h), as it was
 *
 * Both are checksummed: the head as all of the log's headers are, the image piece by piece in a
 * chain.  The head holds the chain's last link, so one check vouches for all, and a head never
 * stands before another image than its own.
 *
 * A restore writes the image anew: with the new group's configuration in its first piece, and
 * perhaps another cluster id in its header.  Both depend on the file, the list of members and the
 * new era only, so every member that is restored from the same three begins with the same bytes.
 * The era is made once (era.h) and given to the other members' restores; the end of its mark says
 * for which file and list, so another file or list is refused there, and does not become a group
 * of two pasts. */
#ifndef JOURNAL_BACKUP_H
#define JOURNAL_BACKUP_H

#include "journal/log_format.h"
#include "journal/raft.h"

#define BACKUP_MAGIC 0x6b614254u /* "TBak" */

struct backup_head {
    uint32_t magic;
    uint16_t version, flags;
    uint32_t crc, chain; /* chain: crc of the image's last piece */
    uint64_t cluster_hi, cluster_lo, index, term, era;
    int64_t time_ns; /* when it was taken, wall time */
    uint64_t image_bytes;
    uint32_t conf_len, reserved; /* 0: of a single master */
};
static_assert(sizeof(struct backup_head) == 80, "stored");

struct backup {
    struct backup_head head;
    struct raft_conf conf; /* n 0: of a single master */
};

void backup_head_put(uint8_t block[LOG_BLOCK], const struct backup *b);
/* 0; E_NODATA: zeros; E_VERSION: of a newer release; E_CORRUPT */
int backup_head_get(const uint8_t block[LOG_BLOCK], struct backup *ret_b);

/* Walks an image of n bytes at p.  backup_walk_begin: as backup_head_get. */
struct backup_walk {
    const uint8_t *p;
    uint64_t n, pos, data_bytes;
    struct log_image head;
    uint32_t crc, number;
};
int backup_walk_begin(struct backup_walk *w, const uint8_t *p, uint64_t n);
/* the next piece of the state: 1; 0: the end, and all of it was intact; E_EOF: cut; E_CORRUPT */
int backup_walk_next(struct backup_walk *w, const uint8_t **ret_bytes, uint32_t *ret_len);

/* An image as it is written: what a call appends stands at buf[0..len) until the caller has taken
 * it and set len to 0.  buf holds LOG_PIECE_MAX + LOG_BLOCK. */
struct backup_out {
    uint8_t *buf;
    uint32_t len, crc, number;
    uint64_t written, data_bytes, index;
};
void backup_out_begin(struct backup_out *o, const struct log_image *head);
void backup_out_piece(struct backup_out *o, const void *bytes, uint32_t len);
void backup_out_end(struct backup_out *o);

/* a new era for a group of these members that begins with this backup, after every era known */
uint64_t backup_restore_era(const struct backup *b, const struct raft_conf *members, uint64_t known,
                            int64_t wall_ns, uint32_t chance);
/* is it such a one? */
bool backup_restore_fits(const struct backup *b, const struct raft_conf *members, uint64_t era);

/* What a restore makes of a backup; is_new: another cluster. */
struct backup_plan {
    uint64_t cluster_hi, cluster_lo, era;
};
struct backup_plan backup_restore_plan(const struct backup *b, const struct raft_conf *members,
                                       uint64_t era, bool is_new);

#endif
