/* journal/ship.h - state images on their way from one master to another, chunk by chunk, on a
 * connection that carries other things too.
 *
 * Serving: a peer's IMAGE_GETs are answered in order, one chunk at a time, and few at once over all
 * peers; while the log is busy a pause of three times what a read took follows each.
 *
 * Fetching, one image at a time:
 *
 *   LIST -> (DISCARD -> LIST)* -> PROBE -> OPEN -> (RECHECK -> RESIZE ->) RUN -> SYNC -> VERIFY
 *        -> CLOSE -> RENAME
 *   an error: CLOSE (-> UNLINK)
 *
 * INVARIANTS
 *  1. What comes is written to image.recv-<index>-<term>-<mark>; it is called image-<index> only
 *     once all of it was synced, read back from the disk, and is the whole image of that index,
 *     term and cluster.
 *  2. A fetch of the same image goes on where the last one was, whatever ended that, also in a
 *     process before this one; then what is there is read first, and goes as far as it is right.
 *     Images that two masters wrote of one state may differ as files: the mark tells them apart.
 *  3. Unfinished ones of other images are removed, and one that is bad, or found the disk full.
 *  4. Who finds that what came whole does not check tells the holder, who looks at no more of an
 *     image than its begin and end when it serves it: it is the holder's file that may be damaged.
 *     The holder reads all of it then, and believes its own eyes alone (ship_doubt.c).
 *  5. A peer is not touched after ship_lost; a connection carries a few chunks of this at most. */
#ifndef JOURNAL_SHIP_H
#define JOURNAL_SHIP_H

#include "core/mem.h"
#include "journal/ship_format.h"

struct ship_config {
    const char *dir; /* as in wal_config */
    uint64_t cluster_hi, cluster_lo;
    bool (*busy)(void *ctx); /* true while appends are under way; may be NULL */
    void *busy_ctx;
    /* An image that others want from here is damaged.  May be NULL. */
    void (*bad)(void *ctx, uint64_t index);
    /* Is that known, and will there be another?  Then it is not served.  May be NULL. */
    bool (*is_bad)(void *ctx, uint64_t index);
    void *bad_ctx;
};

struct ship_progress {
    bool under_way;
    uint64_t index, have, total; /* total 0: not known yet */
};

struct ship;

/* NULL: no memory */
struct ship *ship_create(struct env *e, struct mem *m, const struct ship_config *cfg);
/* Ends a fetch, and closes what is open. */
void ship_stop(struct ship *s, struct env_op *op);
/* after ship_stop, or when nothing was ever asked of it */
void ship_free(struct ship *s);

/* The body of a JOURNAL_FRAME_IMAGE_GET or _DATA.  0 or E_PROTO. */
int ship_on_get(struct ship *s, struct env_peer *from, const void *b, uint32_t n);
int ship_on_data(struct ship *s, struct env_peer *from, const void *b, uint32_t n);
/* of a JOURNAL_FRAME_IMAGE_BAD */
int ship_on_bad(struct ship *s, const void *b, uint32_t n);
/* The connection is gone (on_close) or about to be (before env_hangup). */
void ship_lost(struct ship *s, struct env_peer *peer);
/* The newest is new: its file is not the one of before.  Images below `oldest` are not worth having
 * any more: those who fetch one are told the newest. Without it an image is served until its file
 * is gone. */
void ship_kept(struct ship *s, uint64_t oldest, uint64_t newest, uint64_t newest_term);

/* The oldest image that somebody fetches from here, or did a moment ago: on a connection that is
 * lost now, or whole, and is busy with it.  0: nobody does. */
uint64_t ship_serving(const struct ship *s);

/* Fetches image (index, term) from holder.  term is the epoch that snap_write was given; 0: any.
 * ret: 0, it is called image-<index> now;
 * E_CLOSED, E_TIMEOUT (silence), E_AGAIN (the holder serves too many): call again, it goes on;
 * E_NOENT: the holder has it no more, see ship_newer;
 * E_CORRUPT, E_CLUSTER, E_VERSION: it is not what it should be, and was removed: fetch anew;
 * E_NOSPC: removed, too; E_IO: this disk fails; E_NOMEM; E_CANCELLED. */
void ship_fetch(struct ship *s, uint64_t index, uint64_t term, struct env_peer *holder,
                struct env_op *op);
/* ends a fetch soon; what came is kept for the next */
void ship_cancel(struct ship *s);
/* removes what unfinished fetches left; not during one */
void ship_sweep(struct ship *s, struct env_op *op);
/* after E_NOENT: what the holder has; 0: it did not say */
uint64_t ship_newer(const struct ship *s, uint64_t *ret_term);
void ship_progress(const struct ship *s, struct ship_progress *ret_progress);

#endif
