/* journal/snap_impl.h - what snap.c (images) and snap_reserve.c (room for them) share.  Nobody else
 * includes it. */
#ifndef JOURNAL_SNAP_IMPL_H
#define JOURNAL_SNAP_IMPL_H

#include "core/fmt.h"
#include "journal/snap.h"

enum snap_state {
    SNAP_REST,
    SNAP_LIST,
    SNAP_LOAD_OPEN,
    SNAP_LOAD,
    SNAP_LOAD_CLOSE,
    SNAP_WRITE_OPEN,
    SNAP_WRITE,
    SNAP_WRITE_PAUSE,
    SNAP_FREE_RESERVE,
    SNAP_FREE_WAIT,
    SNAP_SYNC,
    SNAP_CLOSE,
    SNAP_RENAME,
    SNAP_PRUNE,
    SNAP_ABORT_CLOSE,
    SNAP_ABORT_UNLINK,
    SNAP_SWEEP,
    SNAP_RESERVE_OPEN,
    SNAP_RESERVE,
    SNAP_RESERVE_PAUSE,
    SNAP_RESERVE_SYNC,
    SNAP_RESERVE_CLOSE,
    SNAP_RESERVE_CUT,
    SNAP_RELEASE,
    SNAP_GIVE_OPEN,
    SNAP_GIVE,
    SNAP_GIVE_CLOSE,
};

enum {
    SNAP_BUF = LOG_PIECE_MAX + 2 * LOG_BLOCK,
    SNAP_READ = 4 * 1024 * 1024,               /* at once, into one of two windows */
    SNAP_READ_BESIDE = 256 * 1024,             /* the same while others are served */
    SNAP_TAIL = LOG_PIECE_MAX + 2 * LOG_BLOCK, /* before it: the begin of a piece that goes on */
    SNAP_STEP = 64 * 1024,                     /* of an image, written at once beside appends */
    SNAP_FILES_MAX = 64,
    SNAP_NAMES = 4096,
    SNAP_OLD_MAX = 8,
    SNAP_LOOKS = 3, /* more at what does not check: a disk may give another place's bytes */
    SNAP_PAUSE_NS = 500 * 1000,
    SNAP_FREED_RETRY_NS = 250 * 1000 * 1000,
};

struct snap_file {
    uint64_t index, bytes;
    bool bad, unread; /* unread: bad, because the storage did not give it */
};

struct snap {
    struct env *env;
    struct mem *mem;
    struct journal_host *host;
    struct snap_config cfg;
    char dir[ENV_NAME_MAX];
    struct env_op op;
    struct env_timer timer;
    struct env_op *user;
    enum snap_state state, after_sweep;
    int ret;
    bool cancel, fresh; /* fresh: op.ret belongs to the present state */
    struct env_file *file;
    uint8_t *memory, *buf;
    struct snap_file files[SNAP_FILES_MAX]; /* ascending */
    uint32_t n_files, at_file;
    uint64_t old[SNAP_OLD_MAX]; /* tags of other lives' unfinished images */
    uint32_t n_old;
    uint64_t loaded, loaded_epoch, named;
    /* the image being read or written */
    uint64_t index, epoch, size, pos, window_at, data_bytes;
    uint32_t window_len, crc, number, len;
    uint8_t *load_memory, *load, *window; /* two windows; the bytes from window_at on */
    uint32_t read_bytes;                  /* at once: no more than there is */
    uint64_t read_at;                     /* of the read under way, or of the next */
    unsigned read_into;                   /* which of the two */
    bool is_reading, is_drained;          /* the last: verdict is to be given */
    int verdict;
    uint64_t sure; /* all before it checked */
    uint32_t n_looks;
    bool is_refused; /* by the host, which has taken it in */
    bool checking, installing, ended, has_reserve, has_tmp;
    bool reserve_safe;                /* as large as it is, the reserve is durable */
    uint64_t reserve_has, give_bytes; /* has: bytes of it, when it was looked at last */
    enum snap_state after_give;
    struct env_file *spare; /* it, open beside an image */
    int64_t write_began_ns, freed_until_ns;
    char names[SNAP_NAMES], after[ENV_NAME_MAX];
};

/* no room: on the file system, or in this user's part of it */
static inline bool snap_is_full(int64_t ret)
{
    return ret == E_NOSPC || ret == E_DQUOT;
}

/* snap.c */
void snap_begin(struct snap *s, enum snap_state state, struct env_op *op);
void snap_end(struct snap *s, int ret);
void snap_close(struct snap *s, enum snap_state next);
void snap_path(const struct snap *s, const char *leaf, char *ret_name);
void snap_tmp(const struct snap *s, char *ret_name);
void snap_submit(struct snap *s); /* the next piece of an image, or the same once more */

/* snap_reserve.c; steps: as snap_step */
bool snap_reserve_step(struct snap *s);
bool snap_give_step(struct snap *s);
/* what is unfinished goes, and then: RESERVE_OPEN, RELEASE or GIVE_OPEN */
void snap_reserve_begin(struct snap *s, enum snap_state next);
/* an image found no room: a part of the reserve goes */
void snap_give_piece(struct snap *s);

#endif
