/* sim/lab_model.h - what the namespace should be: a second, simple machine beside core/meta.
 *
 * It replays every committed record in index order, foretells each answer, and keeps the whole
 * past: every name and every attribute with the range of indices in which it was true.  So it can
 * say of an answer whether it was right at some moment at which it may have been given.
 *
 * INVARIANTS
 *  1. A record's answer is foretold from the model's own state by rules written from POSIX, not by
 *     core/meta: two machines, two sources.  What a listing or a refresh of the under-store brings
 *     is taken over as it is; whether that was right is for the comparison with the under-store.
 *  2. A change is firm once somebody was told of it, at the latest when every lease that may hide
 *     it has run out.  What a firm change replaced must not be seen by requests that begin later.
 *  3. What no open question can need is forgotten (lab_model_forget.c): what was over, and known to
 *     be, before the oldest of them was put.  A verdict is the same with it and without.
 *  4. Of what each client saw the least index that explains it is kept, of the last few only: what
 *     is forgotten is asked of nobody (lab_model_seen.c). */
#ifndef SIM_LAB_MODEL_H
#define SIM_LAB_MODEL_H

#include "core/mem.h"
#include "core/meta.h"

struct lab_model;

/* A request was sent at from_ns and answered at to_ns. */
struct lab_window {
    int64_t from_ns, to_ns;
};

/* Who asked: a hash of the client's name; 0: somebody whose past is not judged.  is_master: a
 * master answered just now; else it may have been kept. */
struct lab_asker {
    uint64_t client;
    bool is_master;
};

enum lab_fact { LAB_FACT_NAME, LAB_FACT_ATTR, LAB_FACT_XATTR, LAB_FACT_SIZE, LAB_FACT_BYTES };

struct lab_model_name {
    struct ino ino;
    uint32_t len;
    char name[LIMIT_NAME + 1];
};

enum { LAB_MODEL_WHY = 320, LAB_MODEL_NAMES = 512 };

/* slack_ns: a change that nobody was told of is firm so long after it was applied */
/* records: as many are expected */
struct lab_model *lab_model_open(struct mem *m, int64_t slack_ns, uint64_t records);
/* record `index` (above the last one), its answer, and the real machine after it */
bool lab_model_apply(struct lab_model *m, uint64_t index, int64_t now_ns, const struct fsop *op,
                     const struct meta_result *res, const struct meta *state, char *ret_why);
/* no question is open, nor will be asked about again, that was put before oldest_ns */
void lab_model_forget(struct lab_model *m, int64_t oldest_ns);
/* the inode is dead, and lab_model_forget would forget it */
bool lab_model_is_over(const struct lab_model *m, struct ino ino, int64_t oldest_ns);
/* calls fn with each inode of the under-store that a file is, or has been */
void lab_model_each_file(const struct lab_model *m, void (*fn)(void *ctx, uint64_t ufs), void *ctx);
/* somebody was told at now_ns of what the record did */
void lab_model_firm(struct lab_model *m, uint64_t index, int64_t now_ns);
/* the whole namespace against the real one's */
bool lab_model_compare(struct lab_model *m, const struct meta *state, char *ret_why);
uint64_t lab_model_applied(const struct lab_model *m);
/* names that comparisons with the under-store took away */
uint64_t lab_model_vanished(const struct lab_model *m);
int64_t lab_model_applied_ns(const struct lab_model *m, uint64_t index);

/* LOOKUP GETATTR READLINK ACCESS OPEN GETXATTR: was this answer right at a moment of the window,
 * and not before what was seen by then? */
bool lab_model_answer(struct lab_model *m, struct lab_asker by, const struct fsop *op,
                      const struct fsop_reply *rep, struct lab_window w, char *ret_why);
/* a whole listing: each name at most once, none that never was, all that were there throughout */
bool lab_model_listing(struct lab_model *m, struct lab_asker by, struct ino dir,
                       const struct lab_model_name *names, uint32_t n, struct lab_window w,
                       char *ret_why);

/* ---- what was seen (lab_model_seen.c) ----
 * A fact is a name in a directory, an inode's attributes, one of its extended attributes, or (id:
 * the under-store's inode; an index counts its changes) a file's size or bytes. */
struct lab_asker lab_model_asker(const char *client, bool is_master);
/* what was seen of it by answers before from_ns may not be taken back: an explanation of the next
 * one holds at that index, or begins later */
uint64_t lab_model_seen(const struct lab_model *m, struct lab_asker by, enum lab_fact fact,
                        uint64_t id, uint64_t name, int64_t from_ns);
/* an answer at now_ns that nothing before that index explains */
void lab_model_see(struct lab_model *m, struct lab_asker by, enum lab_fact fact, uint64_t id,
                   uint64_t name, uint64_t index, int64_t now_ns);

/* the under-store's inodes that a file has been, oldest first; ret: how many */
/* when somebody last wrote it: INT64_MAX while one does, INT64_MIN: nobody ever */
int64_t lab_model_live_ns(const struct lab_model *m, struct ino ino);
/* its last name was removed through us, and its bytes after that */
bool lab_model_is_reclaimed(const struct lab_model *m, struct ino ino);
/* A file of the under-store that is two inodes here: hard links that were found there. */
bool lab_model_is_shared(const struct lab_model *m, uint64_t ufs);
uint32_t lab_model_files(const struct lab_model *m, struct ino ino, uint64_t *ret_ufs,
                         uint32_t max);

#endif
