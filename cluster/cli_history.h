/* cluster/cli_history.h - what a client asks and is answered, as a history for `tarn-sim
 * check-history` (docs/simulator.md, "Histories of a real cluster").
 *
 * An event is a line of JSON, appended by one write() before the client does anything, and before
 * who asked is told: several clients of one host may share a file, and the order of its lines is
 * the real time.  Three kinds of objects are recorded, each a register:
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
 *  3. Memory is bounded: SLOTS operations at once.  A line that cannot be written ends the history
 *     (an event is never left out of the middle of it), and whoever looks at failed() is told.
 *  4. Numbers of processes differ from those of all other recorders with high probability. */
#ifndef CLUSTER_CLI_HISTORY_H
#define CLUSTER_CLI_HISTORY_H

#include "cluster/cli.h"
#include "cluster/client.h"

enum { CLI_HISTORY_SLOTS = 4096 };

struct cli_history {
    struct client_tap tap; /* for client_config.tap */
    const char *path;
    int fd;
    bool failed;                              /* it ends before the client did */
    void (*say)(void *ctx, const char *text); /* gets a sentence then; NULL: standard error */
    void *ctx;
    uint64_t lines;
    uint64_t process[CLI_HISTORY_SLOTS];
    uint16_t free[CLI_HISTORY_SLOTS], n_free;
};

/* Opens or makes the file; say and ctx are set already.  0, or an errno. */
int cli_history_open(struct cli_history *h, const char *path, const char *by);
/* Of a command: a client of cc will be recorded in the file, unless path is "", and asks the
 * masters for everything.  CLI_OK, or an exit code (the error is printed) */
int cli_history_of(const struct cli *c, struct cli_history *h, const char *path,
                   struct client_config *cc);
/* false: it is not whole */
bool cli_history_close(struct cli_history *h);

#endif
