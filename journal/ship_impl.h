/* journal/ship_impl.h - what ship.c (serving), ship_doubt.c and ship_fetch.c share.  Nobody else
 * includes it. */
#ifndef JOURNAL_SHIP_IMPL_H
#define JOURNAL_SHIP_IMPL_H

#include "core/fmt.h"
#include "journal/image_check.h"
#include "journal/ship.h"

enum {
    SHIP_SLOTS = 4,   /* chunks asked for at once, and so of a peer's that wait to be served */
    SHIP_READS = 2,   /* chunks read at once for all peers */
    SHIP_SERVES = 16, /* peers served at once */
    SHIP_CHUNK_MIN = 16 * 1024,
    SHIP_NAMES = 4096,
    SHIP_BACKLOG = 4 * SHIP_CHUNK,
    SHIP_IDLE_TIMES = 4,
};

#define SHIP_PAUSE_NS   500000LL
#define SHIP_IDLE_NS    30000000000LL /* ship_serving, after nobody asked any more; at least */
#define SHIP_SILENCE_NS 5000000000LL
#define SHIP_SLOW_NS    40000000LL /* an answer that takes longer asks for smaller chunks */

/* OPEN -> HEAD -> TAIL -> READY -> READ -> READY ... -> CLOSE -> REST */
enum ship_serve_state {
    SHIP_SERVE_REST,
    SHIP_SERVE_OPEN,
    SHIP_SERVE_HEAD,
    SHIP_SERVE_TAIL,
    SHIP_SERVE_READY,
    SHIP_SERVE_READ,
    SHIP_SERVE_CLOSE,
};

struct ship_serve {
    struct ship *ship;
    struct env_peer *peer; /* NULL: lost, or free */
    enum ship_serve_state state;
    bool busy, is_stale; /* its file is not the one of that name any more */
    struct env_op op;
    struct env_timer timer;
    struct env_file *file;
    uint8_t *buf; /* while it reads */
    struct ship_get wants[SHIP_SLOTS];
    uint32_t n_wants;
    uint64_t index, term, total;
    uint32_t mark;
    int64_t began_ns, pause_until_ns, opened_ns, served_ns; /* the last: a chunk */
};

enum ship_slot_state { SHIP_SLOT_FREE, SHIP_SLOT_ASKED, SHIP_SLOT_WRITING, SHIP_SLOT_WRITTEN };

/* asked, written, counted: a chunk on its way */
struct ship_slot {
    struct env_op op;
    struct ship *ship;
    enum ship_slot_state state;
    uint64_t off;
    uint32_t len;
    int64_t asked_ns;
    uint8_t *buf;
};

enum ship_fetch_state {
    SHIP_REST,
    SHIP_LIST,
    SHIP_DISCARD,
    SHIP_PROBE,
    SHIP_OPEN,
    SHIP_RECHECK,
    SHIP_RESIZE,
    SHIP_RUN,
    SHIP_SYNC,
    SHIP_VERIFY,
    SHIP_CLOSE,
    SHIP_RENAME,
    SHIP_UNLINK,
};

/* an unfinished image: its name, and how far it goes */
struct ship_part {
    uint64_t index, term, total, have;
    uint32_t mark;
};

struct ship_fetch {
    enum ship_fetch_state state;
    bool busy, fresh; /* op is under way; op.ret belongs to the present state */
    bool asked;       /* the probe's answer is waited for */
    bool found;       /* the directory has a part with found_mark */
    bool named;       /* the part's file was made */
    bool counts;      /* part.have says how far the file goes */
    bool closing;     /* a failure waits for writes under way */
    int ret;
    struct env_op op, *user;
    struct env_timer timer;
    struct env_peer *holder;
    struct env_file *file;
    struct ship_part part;
    uint32_t found_mark, tag, chunk;
    uint64_t ask, size, pos;
    uint8_t *memory; /* the slots' */
    struct ship_slot slots[SHIP_SLOTS];
    uint32_t first, used;
    struct image_check check;
    uint64_t newest, newest_term;
    struct ship_part known; /* what this process wrote itself, and closed; index 0: nothing */
    char names[SHIP_NAMES], after[ENV_NAME_MAX], drop[ENV_NAME_MAX];
};

enum ship_doubt_state { SHIP_DOUBT_REST, SHIP_DOUBT_OPEN, SHIP_DOUBT_READ, SHIP_DOUBT_CLOSE };

/* an image that somebody else calls bad, being read here */
struct ship_doubt {
    enum ship_doubt_state state;
    bool busy, is_stale; /* op or timer is under way; its file is another one by now */
    struct env_op op;
    struct env_timer timer;
    struct env_file *file;
    uint8_t *buf; /* while it reads */
    uint64_t index, total, pos;
    int verdict;
    int64_t began_ns;
    struct image_check check;
};

struct ship {
    struct env *env;
    struct mem *mem;
    struct ship_config cfg;
    char own_dir[ENV_NAME_MAX], dir[ENV_NAME_MAX]; /* as given; with a '/' behind it */
    struct ship_serve serves[SHIP_SERVES];
    uint8_t *memory, *free_buf[SHIP_READS];
    uint32_t n_free;
    uint64_t oldest, newest, newest_term;
    uint64_t left; /* an image that was fetched on a connection that is lost; 0: none */
    int64_t left_until_ns;
    struct ship_doubt doubt;
    struct ship_fetch fetch;
    struct env_op *stop_op, kick;
    bool kicked, stopped;
};

/* ship.c: something came to rest; is that all that a stop waits for? */
void ship_rest(struct ship *s);
/* path of image-<index>, in ENV_NAME_MAX bytes */
void ship_name(const struct ship *s, uint64_t index, char *ret_name);

/* ship.c: those who wait for a buffer go on; peer `first` before the others */
void ship_wake(struct ship *s, int first);
void ship_found_bad(struct ship *s, uint64_t index);

/* ship_doubt.c */
void ship_doubt_init(struct ship *s);
void ship_doubt(struct ship *s, uint64_t index);
void ship_doubt_run(struct ship *s);

/* ship_fetch.c */
void ship_fetch_init(struct ship *s);
void ship_fetch_lost(struct ship *s, const struct env_peer *peer);
void ship_fetch_data(struct ship *s, const struct ship_data *d);

#endif
