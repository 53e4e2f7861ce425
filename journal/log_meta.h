/* journal/log_meta.h - the small file beside the log, journal.meta: whose journal this is, and what
 * a master must never forget: the highest epoch it used, and in whose favour it voted.
 *
 * INVARIANTS
 *  1. There are two copies, each a checksummed block.  A save writes one, and when that is durable
 *     the other, and is done when both are.  So whatever was told stands in both: one that rots, or
 *     a write that never came to the disk, leaves the other, and a write that a crash tears leaves
 *     what was there before, or what was to be.  Of two good ones the later counts.  Nobody needs
 *     to tell rot from a torn write; with both bad there is no start.
 *  2. A copy says which of the two it is.  One that is found in the other's place, or does not
 *     check, may have been read badly, and is read again a few times: a write that went to the
 *     other's place leaves an old copy in its own, and to read that one twice would be to forget
 *     what the other says.  If the disk goes on giving one copy for both there is no start.
 *  3. The first write of a save goes to the worse copy.  Who finds that they differ, or stand in
 *     each other's place, saves before it tells anybody anything (is_single).
 *  4. What stays open is read back after a save, while nobody waits for it.  If a copy is not as it
 *     was written, all is saved once more, beginning where what was saved is not: else a crash that
 *     tears the next first write could leave none that is good where one of this save's went
 *     astray.  (A save that comes at once does not wait: on a slow disk nobody would be elected.)
 *  5. It gets its name when both copies are durable, so it is never there without one, and a later
 *     save needs no space.
 *  6. A save is durable when it is done.  One at a time. */
#ifndef JOURNAL_LOG_META_H
#define JOURNAL_LOG_META_H

#include "core/env.h"
#include "core/mem.h"
#include "journal/log_format.h"

/* READ_OPEN -> READ (-> READ_ONE, again and again: of a copy that is not what it should be) ->
 * READ_CLOSE -> REST;  (OPEN ->) WRITE -> WRITE_OTHER (-> CLOSE) -> REST (-> MEND -> MEND_OTHER ->
 * REST); a new one: OPEN -> WRITE -> SYNC -> CLOSE -> RENAME -> REST */
enum log_meta_state {
    LOG_META_REST,
    LOG_META_READ_OPEN,
    LOG_META_READ,
    LOG_META_READ_ONE,
    LOG_META_READ_CLOSE,
    LOG_META_OPEN,
    LOG_META_WRITE,
    LOG_META_WRITE_OTHER,
    LOG_META_SYNC,
    LOG_META_CLOSE,
    LOG_META_RENAME,
    LOG_META_MEND,
    LOG_META_MEND_OTHER,
};

enum { LOG_META_LOOKS = 4 };

/* one of the two, as it was read last */
struct log_meta_copy {
    struct log_meta meta;
    bool is_good, is_own; /* it checks; and it is the one that belongs there */
    uint32_t looks;
};

struct log_meta_file {
    struct log_meta meta; /* as read; the owner changes it, then saves */
    bool is_new;          /* there is no file yet: the first save makes it */
    bool is_single;       /* as read: one copy is bad, astray, or older than the other */
    bool keeps_open;      /* the owner's wish: between saves too, until log_meta_close */
    /* own */
    struct env *env;
    struct mem *mem;
    struct env_op op, *user;
    struct env_file *file;
    enum log_meta_state state;
    int ret, unread; /* unread: the disk's error when a copy was read last */
    struct log_meta_copy copy[2];
    uint32_t one;                   /* that is read again */
    uint32_t worse;                 /* to be written first */
    uint8_t *memory, *block, *back; /* as written; as read back */
    struct env_op back_op;
    bool is_reading_back;
    uint64_t back_counter;      /* of the save that is read back */
    uint32_t mended;            /* so often since */
    enum log_meta_state wanted; /* what begins when that is over */
    char name[ENV_NAME_MAX], new_name[ENV_NAME_MAX];
};

/* dir: with a '/' behind it, or "".  false: no memory */
bool log_meta_init(struct log_meta_file *f, struct env *e, struct mem *m,
                   const char *dir) MUST_CHECK;
void log_meta_drop(struct log_meta_file *f); /* at rest only */
/* ret: 0; E_NODATA: no file (is_new), or no good block in it; E_VERSION; E_IO, ... */
void log_meta_read(struct log_meta_file *f, struct env_op *op);
/* ret: 0, or an error after which nobody knows what is on the disk: the caller stops */
void log_meta_save(struct log_meta_file *f, struct env_op *op);
/* what keeps_open kept.  ret: 0 */
void log_meta_close(struct log_meta_file *f, struct env_op *op);
/* names as env_list gave them, n bytes: is a segment or an image among them?  after: the last of
 * them, for the next list. */
bool log_meta_listed(const char *names, int64_t n, char *after, size_t cap);
/* Among names as env_list gave them: `tarn journal migrate` has begun to make a journal of dir
 * (with a '/' behind it, or ""), and not ended.  Says so: nothing here counts yet. */
#define LOG_META_UNFINISHED "migrating"
bool log_meta_is_unfinished(struct env *e, const char *dir, const char *names, int64_t n);
/* After a read that came to `read`: is this the journal that is looked for?  has_data: there are
 * segments or images.  cluster: 0, 0 takes what is there.  member: of a group, or 0.  Without a
 * file it becomes a new one (is_new), if there is a cluster to be in.  ret: 0, or an error that the
 * log explains; E_NOENT: nothing here, and no cluster given. */
int log_meta_identify(struct log_meta_file *f, int read, bool has_data, uint64_t cluster_hi,
                      uint64_t cluster_lo, uint32_t member) MUST_CHECK;
static inline bool log_meta_at_rest(const struct log_meta_file *f)
{
    return f->state == LOG_META_REST;
}

#endif
