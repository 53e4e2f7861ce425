/* journal/ship_format.h - the frames of a state image on its way (version 1), little-endian.
 * Every get takes any bytes and says 0 or E_PROTO. */
#ifndef JOURNAL_SHIP_FORMAT_H
#define JOURNAL_SHIP_FORMAT_H

#include "core/buf.h"
#include "journal/journal.h"

enum {
    JOURNAL_FRAME_IMAGE_GET = JOURNAL_FRAME_MIN + 0x10,
    JOURNAL_FRAME_IMAGE_DATA = JOURNAL_FRAME_MIN + 0x11,
    JOURNAL_FRAME_IMAGE_BAD = JOURNAL_FRAME_MIN + 0x12, /* u64 index: it came whole and is not */
};

enum {
    SHIP_CHUNK = 64 * 1024, /* bytes of an image in a frame, at most */
    SHIP_FORMAT_GET = 32,
    SHIP_FORMAT_DATA = 56, /* beside the image's bytes */
};

/* Some bytes of an image, please; off and len are multiples of LOG_BLOCK. */
struct ship_get {
    uint64_t index, term; /* the image's; term 0: any */
    uint64_t off;
    uint32_t len;
    uint32_t tag; /* comes back with the answer */
};

struct ship_data {
    uint64_t index, off;
    uint64_t total; /* bytes of the file */
    /* with E_NOENT: the image that the holder has instead; 0: none, or not known */
    uint64_t newest, newest_term;
    uint32_t tag;
    uint32_t mark; /* two files of one index that differ, because two masters cut their pieces
                      differently, differ in this */
    int err;       /* 0, E_NOENT, E_AGAIN, or why the holder cannot read it */
    uint32_t n;
    const void *bytes;
};

void ship_format_get_put(struct wbuf *w, const struct ship_get *g);
int ship_format_get_get(const void *p, size_t n, struct ship_get *ret);
/* all but the bytes, which follow */
void ship_format_data_put(struct wbuf *w, const struct ship_data *d);
int ship_format_data_get(const void *p, size_t n, struct ship_data *ret);

#endif
