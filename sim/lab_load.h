/* sim/lab_load.h - the clients of a simulated cluster: what they do all day, and what they saw.
 *
 * Each client node runs cluster/client.h with a few threads; a thread does one thing after another:
 * a metadata operation, a listing, an open with reads or writes and a release.  Every answer goes
 * to the checkers with the times at which it was asked and given.
 *
 * INVARIANTS
 *  1. What a thread does is drawn from its own stream of the seed, or given as a list of explicit
 *     operations; what was drawn can be recorded as such a list, which makes the same run.
 *  2. Threads live in the lab's memory, their clients in the node's: a crash leaves the thread to
 *     begin anew, its operation unanswered.
 *  3. Inode numbers and names come from answers, so they may be stale, as with any client. */
#ifndef SIM_LAB_LOAD_H
#define SIM_LAB_LOAD_H

#include "cluster/client.h"
#include "sim/lab_check.h"
#include "sim/lab_hist.h"
#include "sim/lab_op.h"

enum lab_load_kind {
    LAB_LOAD_CREATE,
    LAB_LOAD_MKDIR,
    LAB_LOAD_SYMLINK,
    LAB_LOAD_LINK,
    LAB_LOAD_UNLINK,
    LAB_LOAD_RMDIR,
    LAB_LOAD_RENAME,
    LAB_LOAD_SETATTR,
    LAB_LOAD_XATTR,
    LAB_LOAD_LOOKUP,
    LAB_LOAD_GETATTR,
    LAB_LOAD_LIST,
    LAB_LOAD_READ,
    LAB_LOAD_WRITE,
    LAB_LOAD_APPEND, /* to files that all append to */
    LAB_LOAD_CUT,    /* truncates one of those */
    LAB_LOAD_KINDS
};

struct lab_load_config {
    uint64_t seed;
    uint32_t threads;    /* of each client */
    int64_t think_ns;    /* mean, between two operations of a thread */
    int64_t linger_ns;   /* mean; every other thread holds its file so long between two accesses, or
                            its place in a listing */
    uint32_t names;      /* that files are called, in each directory */
    uint32_t io_bytes;   /* most bytes of one read or write */
    uint32_t file_bytes; /* most bytes of a file written here */
    uint32_t users;      /* callers: root and so many others */
    uint32_t logs;       /* files that are appended to, by everybody */
    uint32_t weights[LAB_LOAD_KINDS];
    int64_t deadline_ns;
    const struct lab_op *ops; /* they do these, and nothing else; sorted by time */
    uint32_t n_ops;
    bool is_explicit;
    uint32_t read_any; /* 1: every other client asks standbys, too; 2: all do */
    struct client_config client;
};

struct lab_load_stats {
    uint64_t ops, ok, refused, failed; /* refused: answered with an error of the file system */
    uint64_t bytes_read, bytes_written, probes_ok;
    uint64_t by_kind[LAB_LOAD_KINDS];
    uint64_t errors[128];    /* by -code */
    struct lab_hist latency; /* of those that succeeded, or were refused */
};

struct lab_load;

struct lab_load *lab_load_open(struct mem *m, struct sim *s, struct lab_check *c,
                               const struct lab_load_config *cfg);
/* a client on a node that is down; it is booted by lab_load_boot */
void lab_load_add(struct lab_load *l, struct sim_node *n);
void lab_load_boot(struct lab_load *l, struct sim_node *n);
/* the node has crashed: what its threads were doing is forgotten */
void lab_load_crashed(struct lab_load *l, struct sim_node *n);
/* nothing new is begun */
void lab_load_stop(struct lab_load *l);
/* what is drawn from now on is drawn from another seed */
void lab_load_vary(struct lab_load *l, uint64_t seed);
/* Called with each line of the clients' history, as a mount records it, if they always ask
 * (client_config.ask_always). */
void lab_load_on_history(struct lab_load *l, void (*fn)(void *ctx, const char *line, size_t n),
                         void *ctx);
/* that history is linearizable, as far as they alone make changes */
void lab_load_judge(struct lab_load *l);
/* for tests: so many steps of search for each key, not a million */
void lab_load_history_budget(struct lab_load *l, int steps);
/* when the oldest question was put, or file opened, that is still open; now: there is none */
int64_t lab_load_oldest_ns(const struct lab_load *l);
bool lab_load_is_idle(const struct lab_load *l);
/* every client walks all it can see, and makes and removes a file: everything must succeed */
void lab_load_probe(struct lab_load *l);
uint32_t lab_load_probes_left(const struct lab_load *l);
/* the node's process stands still, and so long does nothing about its deadlines */
void lab_load_paused(struct lab_load *l, struct sim_node *n, int64_t for_ns);
/* the node's clock runs at another rate */
void lab_load_clock(struct lab_load *l, struct sim_node *n);
/* requests that are over their deadline by more than that */
void lab_load_check(struct lab_load *l, int64_t late_ns);
const struct lab_load_stats *lab_load_stats(const struct lab_load *l);
/* called for each success, with the virtual time */
void lab_load_on_success(struct lab_load *l, void (*fn)(void *ctx, int64_t at_ns), void *ctx);
/* called for each answer; step is what was asked: an operation's name, or "io read" and so on */
struct lab_load_answer {
    const char *client, *step;
    uint32_t thread;
    struct lab_window w;
    const struct fsop *op; /* of an I/O: the open that it belongs to */
    const struct fsop_reply *rep;
    uint64_t off;
    uint32_t len;
    int64_t ret;
};
void lab_load_on_answer(struct lab_load *l, void (*fn)(void *ctx, const struct lab_load_answer *a),
                        void *ctx);
/* calls it, with E_TIMEOUT, for what is under way just now */
void lab_load_tell_open(struct lab_load *l);
/* keeps every operation that is begun from now on; call it before any is */
void lab_load_record(struct lab_load *l, struct lab_ops *to);
const char *lab_load_kind_name(enum lab_load_kind k);
/* sessions of that state that no client uses: of those that died, and such as were opened by a
 * request whose answer did not come back */
uint32_t lab_load_ghosts(const struct lab_load *l, const struct meta *state);
/* a client of its node, or NULL when it is down */
struct client *lab_load_client(struct lab_load *l, uint32_t i);

#endif
