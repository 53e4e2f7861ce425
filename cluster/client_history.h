/* cluster/client_history.h - what a client asks and is answered, as lines of a history for
 * `tarn-sim check-history` (docs/simulator.md, "Histories of a real cluster").  Where they go is
 * the owner's: a file (cluster/cli_history.h), or a simulated run.
 *
 * An event is a line of JSON, given away before the client does anything, and before who asked is
 * told.  Three kinds of objects are recorded, each a register:
 *
 *     "name INO/NAME"   is there such a name in that directory?  1 or null.  mknod, mkdir, symlink
 *                       and link are a cas [null, 1] (E_EXIST: the comparison failed), unlink and
 *                       rmdir one of [1, null] (E_NOENT), lookup is a read; a rename is two
 *                       operations: a cas [1, null] of the one name and a write of the other
 *                       (NOREPLACE: cas [null, 1])
 *     "mode INO"        the permission bits: setattr is a write, getattr a read
 *     "xattr INO/NAME"  its value: a text, or, if that is long or no ASCII, length and hash; null:
 *                       none.  setxattr (XATTR_CREATE: a cas from null), removexattr, getxattr
 *
 *  1. What a line says is true of every outcome: an error that does not tell whether it happened is
 *     "info", and a rename of a file with several names, whose old name may be another name of what
 *     the new one leads to (then it stays), is one for the old name.
 *  2. Nothing is recorded of listings, exchanges, contents, sizes and times.
 *  3. Memory is bounded: SLOTS operations at once.  What has no place among them ends the history:
 *     an event is never left out of the middle of it. */
#ifndef CLUSTER_CLIENT_HISTORY_H
#define CLUSTER_CLIENT_HISTORY_H

#include "cluster/client.h"

enum { CLIENT_HISTORY_SLOTS = 4096 };

struct client_history {
    struct client_tap tap; /* for client_config.tap; which asks always */
    /* the owner's */
    void (*put)(struct client_history *h, const char *line, size_t n);
    void (*too_many)(struct client_history *h); /* operations at once: it sets is_over */
    int64_t (*now_ns)(const struct client_history *h);
    bool is_over; /* nothing is put any more */
    /* its own */
    uint64_t process[CLIENT_HISTORY_SLOTS];
    uint16_t free[CLIENT_HISTORY_SLOTS], n_free;
};

/* put, too_many and now_ns are set.  base: below 10^10, of no other recorder; by: who it is */
void client_history_start(struct client_history *h, uint64_t base, const char *by);

#endif
