/* core/meta.h - the metadata state machine: namespace, sessions, mounts, open intents.
 *
 * A pure, deterministic machine: the same records in the same order give the same state, byte for
 * byte, on every master.  It knows no journal, network, clock or under-store; the master feeds it
 * committed records and performs the effects it asks for.
 *
 * INVARIANTS
 *  1. Apply is the authority: every condition (existence, permission, loop, duplicate, lock) is
 *     evaluated when the record is applied, never before.
 *  2. A request (session, seq) takes effect at most once.  Its answer is kept until the session
 *     acknowledges it; a repetition gets that answer.  E_NOT_LOADED and E_CONFLICT are not answers:
 *     they are not kept and changed nothing.
 *  3. In a THROUGH mount a namespace mutation only opens an intent: it is validated, the names and
 *     inodes it concerns are locked (others get E_CONFLICT), and reply.intent says that the
 *     under-store must be changed.  FSOP_OUTCOME closes the intent: on success the mutation takes
 *     place, on failure nothing does; its reply is the one for the original (session, seq).
 *     In META mounts mutations take place at once.  In RO mounts they are E_ROFS.
 *  4. An inode number is never reused.  An unlinked regular file becomes an orphan with a hidden
 *     under-store path until FSOP_RECLAIM.
 *  5. A listing cookie stays valid across mutation and restart: entries present during the whole
 *     listing are returned exactly once.
 *  6. An image cut at record N and loaded gives the state after record N.
 *
 * Layout: every persistent table lives in fixed-size pages of one paged store (core/store.h), so an
 * image is those pages, copied on write while it is being written, and loading is reading them. */
#ifndef CORE_META_H
#define CORE_META_H

#include "core/fsop.h"
#include "core/mem.h"

struct meta;

/* What an apply refuses for want of room depends on these, so all masters must have the same ones
 * at the same record: FSOP_LIMITS sets them.  Those of meta_open count until the first. */
struct meta_limits {
    uint64_t inodes_max;   /* beyond: E_NOSPC */
    uint32_t sessions_max; /* beyond: E_AGAIN */
    uint64_t bytes_max;    /* of the state's pages, in whole MiB; 0: no limit.  Beyond: E_NOSPC for
                              what a client adds (core/room.c) */
};

/* What an applied record made stale in clients' caches. */
enum meta_change_kind {
    META_CHANGE_ENTRY, /* parent's entry `name` (and parent's attributes) */
    META_CHANGE_ATTR,  /* attributes of ino */
    META_CHANGE_DATA,  /* attributes and content of ino */
    META_CHANGE_DIR,   /* any entry of directory ino, attributes and content of what the entries
                          name, and its own attributes */
};

struct meta_change {
    enum meta_change_kind kind;
    struct ino ino;   /* ENTRY: the parent */
    const char *name; /* ENTRY; valid until the next apply */
    uint32_t name_len;
};

enum { META_CHANGES_MAX = 8 };
enum { META_BYTES_LEAST = 16 << 20 }; /* the smallest bytes_max */

struct meta_result {
    struct fsop_reply reply;   /* reply.data valid until the next apply */
    struct session_id session; /* whose request this answers (for OUTCOME: the intent's) */
    uint64_t seq;
    struct meta_change changes[META_CHANGES_MAX];
    unsigned n_changes;
    uint64_t conflict; /* E_CONFLICT: the open intent that is in the way; 0: not known */
    bool is_full;      /* something was refused because of bytes_max */
};

/* An under-store effect that is owed.  Paths are relative to the mount's root, no leading '/'. */
struct meta_intent {
    uint64_t id;
    uint16_t kind; /* the fsop that opened it; LOAD: a listing under way, abort it on restart */
    uint16_t flags, mount;
    struct session_id session;
    uint64_t seq;
    struct ino ino; /* what is changed (new ones have their number already) */
    struct ino parent, parent2;
    struct ino replaced;    /* RENAME: what is behind the target, and goes away unless the two
                               are exchanged; else 0 */
    uint64_t below, below2; /* RENAME, exchange: what the under-store calls the two, which were
                               behind path and path2 before it; 0: not noted, nothing was done */
    uint64_t fp;            /* of ino, as known: an effect already done shows by its change */
    uint32_t mode, uid, gid, rdev, valid;
    uint64_t size;
    int64_t atime_ns, mtime_ns;
    int64_t time_ns;
    /* texts, long and mostly short: what follows their ends is not defined */
    char hidden[LIMIT_HIDDEN]; /* UNLINK of the last name, RENAME over one: where the bytes stay
                                (".tarn/orphan-<ino>"); "" when nothing is to be kept */
    char path[LIMIT_BELOW];    /* of the thing (RENAME: from; LINK: the existing file) */
    char path2[LIMIT_BELOW];   /* RENAME: to; LINK: the new name */
    char target[LIMIT_PATH];   /* SYMLINK */
};

struct meta_stats {
    uint64_t applied, inodes, dentries, sessions, intents, orphans, bytes;
};

/* NULL mem budget: E_NOMEM.  A new machine holds the root directory, mode 0755, owner 0:0. */
int meta_open(struct mem *mem, const struct meta_limits *limits, struct meta **ret_m) MUST_CHECK;
void meta_close(struct meta *m);

/* Applies record `index`, which is higher than the last one's. */
void meta_apply(struct meta *m, uint64_t index, const struct fsop *op, struct meta_result *ret_r);

/* Answers a query from applied state; variable data goes to buf.  E_NOT_LOADED where the answer
 * needs the under-store (LOOKUP of an unknown name in a directory that is not loaded, READDIR of
 * one): load and ask again.  FSOP_F_ABSENT as for records. */
void meta_query(const struct meta *m, const struct fsop *op, void *buf, uint32_t cap,
                struct fsop_reply *ret_rep);

uint64_t meta_applied(const struct meta *m);
void meta_stats(const struct meta *m, struct meta_stats *ret_s);
/* those in force */
struct meta_limits meta_limits(const struct meta *m);
/* of the group, as FSOP_LIMITS told it (journal/era.h) */
uint64_t meta_era(const struct meta *m);

/* The first open intent with id > after; E_NOENT when there is none. */
int meta_intent_next(const struct meta *m, uint64_t after, struct meta_intent *ret_i);
/* with empty texts */
void meta_intent_clear(struct meta_intent *i);
void meta_intent_copy(struct meta_intent *to, const struct meta_intent *from);
bool meta_intent_is_open(const struct meta *m, uint64_t id);
int meta_intent_get(const struct meta *m, uint64_t id, struct meta_intent *ret_i);
/* an effect under way concerns that name: what lies below it now is not taken over */
bool meta_name_is_locked(const struct meta *m, struct ino dir, const char *name, uint32_t len);
/* Orphans in a fixed order: the first one after `after` (which need not be one any more), or 0. */
struct ino meta_orphan_next(const struct meta *m, struct ino after);
/* Sessions in id order. */
struct session_id meta_session_next(const struct meta *m, struct session_id after);
/* A file that the session writes: the last one it began with (0: none), or in number order, which
 * takes a search of all that it writes. */
struct ino meta_writer_any(const struct meta *m, struct session_id s);
struct ino meta_writer_next(const struct meta *m, struct session_id s, struct ino after);
bool meta_writes(const struct meta *m, struct session_id s, struct ino ino);
/* the next session, in the order of their numbers, that has the file open for writing; 0: none */
struct session_id meta_file_writer_next(const struct meta *m, struct ino ino,
                                        struct session_id after);
/* All of them, in any order and one step each: *at is 0 at first, and good until the next record.
 * 0: that was the last. */
struct session_id meta_file_writer_each(const struct meta *m, struct ino ino, uint32_t *at);
bool meta_session_exists(const struct meta *m, struct session_id s);

/* Under-store path of an inode relative to its mount's root ("" for the root itself, the hidden
 * path for an orphan), and the mount's number. */
int meta_path(const struct meta *m, struct ino ino, char *ret_path, size_t cap,
              uint16_t *ret_mount);
/* The path of any of a file's names but the one of that path.  E_NOENT: it has no other. */
int meta_path_other(const struct meta *m, struct ino ino, const char *path, char *ret_path,
                    size_t cap);
/* A number for that path and for what changes of attributes leave there, never 0: what was seen at
 * a path is news of the inode only if it is still there, and still the same, when the news is
 * applied. 0 when there is no such inode. */
uint64_t meta_path_mark(const struct meta *m, struct ino ino);
/* E_CONFLICT: an effect under way (*ret_intent) may have put something else at the inode's path, or
 * has done so since its mark was taken (*ret_intent is 0). */
int meta_path_steady(const struct meta *m, struct ino ino, uint64_t mark, uint64_t *ret_intent);
/* where its (first) name is; 0: a mount's root, without a name, or not there */
struct ino meta_parent(const struct meta *m, struct ino ino);
/* path and uri are good until the next call on m.  Number 0 is the cluster's own namespace where
 * nothing is mounted: names only, as in a META mount. */
int meta_mount_get(const struct meta *m, uint16_t number, struct fsop_mount_info *ret_i);

/* State images.  begin cuts at meta_applied(); next hands out the bytes (0 at the end) while
 * applies go on; end drops what is left.  One image at a time. */
void meta_image_begin(struct meta *m);
uint32_t meta_image_next(struct meta *m, void *buf, uint32_t cap);
void meta_image_end(struct meta *m);
/* Pieces in order into a fresh machine; len 0 marks the end.  E_CORRUPT, E_VERSION, E_NOMEM. */
int meta_image_load(struct meta *m, const void *piece, uint32_t len);
/* The format that the last image loaded says it has (0: it did not get that far), and those read.
 */
uint32_t meta_image_version(const struct meta *m, uint32_t *ret_oldest, uint32_t *ret_newest);

/* Every invariant of every table, O(state); err_text gets the first that is broken. */
bool meta_check(const struct meta *m, char *err_text, size_t cap);
/* A hash over the whole logical state; equal states, equal hashes, whatever the slots. */
uint64_t meta_hash(const struct meta *m);
/* Every record of both, slot by slot: say() is told of each that differs, or that only one of them
 * has.  How many; 0: the one is a copy of the other. */
uint64_t meta_compare(const struct meta *a, const struct meta *b,
                      void (*say)(void *ctx, const char *text), void *ctx);

#endif
