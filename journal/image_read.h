/* journal/image_read.h - the bytes of a state image's file, a piece at a time, for a backup.
 *
 * Stateless: each read opens the file, reads, closes it.  An image that is pruned meanwhile is
 * gone (E_NOENT), and who reads begins again with a newer one.  One read at a time. */
#ifndef JOURNAL_IMAGE_READ_H
#define JOURNAL_IMAGE_READ_H

#include "core/env.h"
#include "journal/log_format.h"

struct image_read {
    struct env *env;
    void (*idle)(struct image_read *r); /* it is at rest again; the user's op is done next */
    /* own */
    struct env_op op, *user; /* user NULL: at rest */
    struct env_file *file;
    void *to;
    uint32_t len;
    uint64_t offset;
    int64_t ret;
    bool is_open, was_read;
};

/* dir: with a '/' behind it, or "".  ret: bytes, fewer than len only at the end of the file; or
 * E_NOENT, E_IO, ...; E_AGAIN: another read is under way */
void image_read_start(struct image_read *r, const char *dir, uint64_t index, uint64_t offset,
                      void *to, uint32_t len, struct env_op *op);
static inline bool image_read_at_rest(const struct image_read *r)
{
    return !r->user;
}

#endif
