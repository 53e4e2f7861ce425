/* journal/image_check.h - is this the image that it should be?  Takes an image's bytes in order, in
 * any portions, keeps next to nothing, and says so as soon as one is wrong.
 *
 * INVARIANTS
 *  1. What it calls whole, snap.c loads (but for what the host makes of the bytes), and the other
 *     way round.
 *  2. The verdict does not depend on the portions. */
#ifndef JOURNAL_IMAGE_CHECK_H
#define JOURNAL_IMAGE_CHECK_H

#include "journal/log_format.h"

enum image_check_state {
    IMAGE_CHECK_HEAD,
    IMAGE_CHECK_PIECE,
    IMAGE_CHECK_BYTES,
    IMAGE_CHECK_SKIP,
    IMAGE_CHECK_WHOLE,
    IMAGE_CHECK_BAD,
};

struct image_check {
    /* what is wanted; epoch 0: any */
    uint64_t cluster_hi, cluster_lo, index, epoch;
    /* so far */
    uint64_t good; /* bytes that are right, up to the end of a piece; when whole: up to the end */
    int verdict;   /* of a bad one: E_CORRUPT, E_VERSION, E_CLUSTER */
    /* own */
    enum image_check_state state;
    uint64_t pos, data_bytes, left;
    uint32_t got, crc, number;
    struct log_piece piece;
    struct log_image_end end;
    uint8_t head[LOG_BLOCK];
};

void image_check_begin(struct image_check *c, uint64_t index, uint64_t epoch, uint64_t cluster_hi,
                       uint64_t cluster_lo);
/* the next n bytes; false: it is bad */
bool image_check_feed(struct image_check *c, const void *p, size_t n);
/* all is there, and a file of `bytes` bytes is what it should be */
static inline bool image_check_is_whole(const struct image_check *c, uint64_t bytes)
{
    return c->state == IMAGE_CHECK_WHOLE && bytes == base_align_up(c->good, LOG_BLOCK);
}

#endif
