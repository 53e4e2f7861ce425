/* journal/snap.h - state images: files that stand for all records up to an index.
 *
 * INVARIANTS
 *  1. A file called image-<index> was complete, checksummed and synced before it got that name; an
 *     unfinished one is called image.tmp and is thrown away after the next start.
 *  2. The two newest good images are kept; the log may be cut behind the older one, so losing the
 *     newer loses nothing.  Whatever else is called image-<index> goes once a good one is durable.
 *  3. An image is written one piece at a time with pauses while the log is busy: appends come
 *     first.
 *  4. A bad or incomplete image is reported and passed over, after what does not check was read a
 *     few times; one from a newer release or of another cluster stops the start.
 *  5. journal.reserve keeps space that an image may use when the disk is full: an image is what
 *     lets old segments go. */
#ifndef JOURNAL_SNAP_H
#define JOURNAL_SNAP_H

#include "journal/journal.h"
#include "journal/log_format.h"

enum { SNAP_KEEP = 2 };

struct snap_config {
    const char *dir;        /* as in wal_config */
    uint64_t reserve_bytes; /* at least; grows to the size of the last image */
    /* Not 0: the reserve goes in parts, as much as is needed at a time, and one that finds no room
     * to grow stays as it was, or keeps so many bytes of what it got.  0: it goes as a whole. */
    uint64_t reserve_part;
    uint64_t cluster_hi, cluster_lo;
    /* Not 0: by chance, of this process's life.  On storage that hosts share another one may have
     * the same directory, because it was given the same id, or stands still in the middle of an
     * image while its successor writes one: an unfinished image is tmp-<tag> then. */
    uint64_t tag;
    bool keeps_unread; /* an image that could not be read at start goes only behind good ones */
    bool check_all;    /* snap_open reads the older images too; the host only looks on */
    bool (*busy)(void *ctx); /* true while appends are under way */
    void *busy_ctx;
    /* the index of an image that stays though it is not one of the newest, if it is good; others
     * fetch it.  May be NULL, and speak of none. */
    uint64_t (*wanted)(void *ctx);
    void *wanted_ctx;
};

struct snap;

/* NULL: no memory */
struct snap *snap_create(struct env *e, struct mem *m, const struct snap_config *cfg,
                         struct journal_host *host);
void snap_free(struct snap *s); /* at rest only */
/* Finds the images and loads the newest good one into the host.  ret: 0 or E_*. */
void snap_open(struct snap *s, struct env_op *op);
/* after snap_open: what was loaded (0: nothing) */
uint64_t snap_index(const struct snap *s);
uint64_t snap_epoch(const struct snap *s);
/* the highest index that any image's name speaks of: records up to it were durable */
uint64_t snap_named(const struct snap *s);
/* records up to here are in both kept images; 0 when there are not two */
uint64_t snap_trim_index(const struct snap *s);
/* The image of that index turned out to be bad: the older one is the last that counts.  false: that
 * is known, or there is none. */
bool snap_mark_bad(struct snap *s, uint64_t index);
bool snap_is_bad(const struct snap *s, uint64_t index);
/* image-<index> has come from another master, and is not wanted: it goes when the next is written.
 * Not during snap_install. */
void snap_leave(struct snap *s, uint64_t index);
uint64_t snap_bytes(const struct snap *s); /* of the newest that is good */
bool snap_at_rest(const struct snap *s);
/* Writes an image; calls image_begin at once.  ret: 0, E_NOSPC, E_IO, E_CANCELLED, ... */
void snap_write(struct snap *s, uint64_t index, uint64_t epoch, struct env_op *op);
/* Loads image-<index>, which has come from another master (ship.h), in place of the state that the
 * host has: image_reset, then image_load as at start, a little at a time.  ret: 0, and it counts as
 * if it had been written here; or E_*, and then the host is empty and no image counts. */
void snap_install(struct snap *s, uint64_t index, struct env_op *op);
/* Sweeps up, and makes the reserve as large as it should be.  ret: 0 or E_NOSPC, ... */
void snap_reserve(struct snap *s, struct env_op *op);
/* gives the reserve, and what is left of an unfinished image, back to the file system; at rest only
 */
void snap_release(struct snap *s, struct env_op *op);
/* Gives so many bytes of the reserve back, or a little more, and what is left of an unfinished
 * image; with reserve_part, at rest only.  ret: 0, or E_NOSPC: it has none. */
void snap_give(struct snap *s, uint64_t bytes, struct env_op *op);
/* of the reserve, as far as is known */
uint64_t snap_reserve_bytes(const struct snap *s);
/* an image that is written or loaded, or a reserve under way, ends soon, with E_CANCELLED */
void snap_cancel(struct snap *s);

#endif
