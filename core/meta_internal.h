/* core/meta_internal.h - what the files of the metadata machine share: one struct, and each file's
 * functions.  Inside, things are named by slot (u32, 0 is none); numbers from outside pass
 * inode_find first. */
#ifndef CORE_META_INTERNAL_H
#define CORE_META_INTERNAL_H

#include "core/meta.h"
#include "core/meta_format.h"

/* What apply makes of a record depends on the state's rules (FSOP_VERSION) and on nothing else that
 * differs between programs: masters of two releases apply the same records, and a log that an older
 * one has written is applied again.  Who changes what any record does to any state, from the first
 * release on:
 *  1. adds one to META_RULES and keeps what was for states of older rules: `if
 *     (meta_super(m)->rules >= N)`.  A field that older records lack (as mtime_ns of WRITE_CLOSE
 *     did) is enough for old logs, not for an older master that applies new records: the rules are
 *     needed all the same.
 *  2. lets the leader write FSOP_VERSION once every member knows the new rules, never before: one
 *     that does not know them cannot go on.
 * A new state has the first rules, whatever program makes it, for it may be about to apply the log
 * of another one from its beginning.  Until there is a release the rules are 1, changes need none
 * of this, and no log or image of before need be read (STORE_VERSION says so of images). */
enum {
    META_RULES_FIRST = 1,
    META_RULES = 1,          /* newest rules this program knows */
    META_INTENTS_MAX = 4096, /* open at once; beyond: E_AGAIN */
    META_ROOT = 1,           /* slot of the root directory */
    META_REPLY_MAX = 256,    /* bytes of a kept reply: it has no data */
    META_SEQ_BITS = 34,      /* a directory's entry sequence; 28 bits of slot make it a cookie */
    META_SLOT_BITS = 28,
    META_INTENT_SHIFT = 20,
};

struct meta {
    struct mem *mem;
    struct meta_limits limits;
    struct store st;
    struct meta_result *result; /* of the apply under way */
    char names[META_CHANGES_MAX][LIMIT_NAME + 1];
    uint64_t touched[META_ATTRS / 64]; /* places in attr_index, by the apply under way */
    uint64_t work;                     /* names that this apply may still visit or take away */
    bool loading;                      /* an image */
    char *mount_text; /* LIMIT_PATH for a path, LIMIT_PATH for a URI: see mount_get */
};

/* a path's tail is written first: it grows to the front of a buffer */
struct meta_path_buf {
    char b[LIMIT_BELOW];
    uint32_t at; /* where the text begins; it ends at LIMIT_BELOW - 1 with NUL */
};

/* ---- meta.c */
struct meta_super *meta_super_mut(struct meta *m);
const struct meta_super *meta_super(const struct meta *m);
void meta_changed_entry(struct meta *m, uint32_t dir, const char *name, uint32_t name_len);
void meta_changed(struct meta *m, enum meta_change_kind kind, uint32_t node);

/* ---- inode.c */
const struct meta_inode *inode_at(const struct meta *m, uint32_t slot);
struct meta_inode *inode_mut(struct meta *m, uint32_t slot);
/* slot of a number from outside; 0 when there is no such inode */
uint32_t inode_find(const struct meta *m, struct ino ino);
struct ino inode_number(const struct meta *m, uint32_t slot);
static inline bool inode_is_dir(const struct meta_inode *i)
{
    return (i->mode & FSOP_S_IFMT) == FSOP_S_IFDIR;
}
static inline bool inode_is_reg(const struct meta_inode *i)
{
    return (i->mode & FSOP_S_IFMT) == FSOP_S_IFREG;
}
static inline bool inode_is_link(const struct meta_inode *i)
{
    return (i->mode & FSOP_S_IFMT) == FSOP_S_IFLNK;
}
/* E_NOSPC when no further inode fits */
int inode_room(const struct meta *m);
uint32_t inode_new(struct meta *m, uint32_t mode, uint32_t uid, uint32_t gid, uint16_t mount,
                   int64_t time_ns);
/* without links, children, writers; xattrs and target go with it */
void inode_free(struct meta *m, uint32_t slot);
uint64_t inode_version_next(const struct meta *m, uint64_t version);
void inode_change(struct meta *m, uint32_t slot); /* other contents: another version */
/* The record that is applied changes what a look below would find of it: what was found before
 * that must not come back. */
void inode_touch(struct meta *m, uint32_t slot);
/* the end of the record: until then its own names do not stand in each other's way */
void inode_touch_end(struct meta *m);
/* op says what was found when record op->mtime_ns had been applied (0: it does not say), and this
 * inode, or another that shares its place, was touched since */
bool inode_is_newer(const struct meta *m, uint32_t slot, const struct fsop *op);
void inode_attr(const struct meta *m, uint32_t slot, struct fsattr *ret_a);
/* what the caller of op may do: FSOP_ACCESS_* bits; E_ACCES */
int inode_may(const struct meta *m, uint32_t slot, const struct fsop *op, uint32_t access);
bool inode_owned(const struct meta *m, uint32_t slot, const struct fsop *op);
bool inode_in_group(const struct fsop *op, uint32_t gid);
/* takes over what the under-store says; the type is the caller's to check */
void inode_adopt(struct meta *m, uint32_t slot, const struct fsent *e);
void inode_orphan_set(struct meta *m, uint32_t slot, bool on);
struct ino inode_orphan_next(const struct meta *m, struct ino after);

/* ---- dir.c */
const struct meta_dentry *dir_at(const struct meta *m, uint32_t dent);
uint64_t dir_seq(const struct meta_dentry *d);
uint32_t dir_find(const struct meta *m, uint32_t dir, const char *name, uint32_t n);
uint32_t dir_hash(uint32_t dir, const char *name, uint32_t n);
const char *dir_name(const struct meta *m, const struct meta_dentry *d, uint32_t *ret_n);
/* E_NOSPC when no further entry fits */
int dir_room(const struct meta *m, uint32_t dir, uint32_t name_len);
uint32_t dir_add(struct meta *m, uint32_t dir, const char *name, uint32_t n, uint32_t node);
void dir_remove(struct meta *m, uint32_t dent);
/* the entry keeps its name and its place in listings, and names another inode */
void dir_repoint(struct meta *m, uint32_t dent, uint32_t node);
/* the directory that has this directory as an entry; 0 for the root */
uint32_t dir_parent(const struct meta *m, uint32_t dir);
/* node lies in the subtree of top (or is it) */
bool dir_is_below(const struct meta *m, uint32_t node, uint32_t top);
/* the first entry after a cookie */
uint32_t dir_seek(const struct meta *m, uint32_t dir, uint64_t cookie);
uint64_t dir_cookie(const struct meta *m, uint32_t dent);
/* A name of the directory was taken away, or names another inode, by the record that is applied.
 * What was read below before must not bring it back.  dir_gone: the last such record, of this
 * directory or of another that shares its place. */
void dir_gone_set(struct meta *m, uint32_t dir);
uint64_t dir_gone(const struct meta *m, uint32_t dir);
/* a changed entry list: times and version */
void dir_touch(struct meta *m, uint32_t dir, int64_t time_ns);
/* path of a node, then "/name" if given, relative to its mount's root.  E_NAMETOOLONG */
int dir_path(const struct meta *m, uint32_t node, const char *name, uint32_t n,
             struct meta_path_buf *ret_path);
/* where an unlinked file's bytes stay */
int dir_path_hidden(const struct meta *m, uint32_t node, struct meta_path_buf *ret_path);
/* drops the whole subtree's inodes and names, top included; top's own dentries too */
void dir_drop_tree(struct meta *m, uint32_t top);
/* what is below top, and no more than *work entries of it, which are counted down; true: all */
bool dir_drop_below(struct meta *m, uint32_t top, uint64_t *work);
int dir_check_name(const char *name, uint32_t n);

/* ---- xattr.c */
int xattr_set(struct meta *m, const struct fsop *op);
int xattr_remove(struct meta *m, const struct fsop *op);
int xattr_get(const struct meta *m, const struct fsop *op, struct wbuf *w);
int xattr_list(const struct meta *m, const struct fsop *op, struct wbuf *w);
void xattr_free_all(struct meta *m, uint32_t node);

/* ---- session.c */
uint32_t session_find(const struct meta *m, struct session_id id);
/* 0: go on; 1: the answer is in r (a repetition); or E_* */
int session_begin(struct meta *m, const struct fsop *op, struct meta_result *r);
/* keeps the answer (or the open intent) of (session, seq); no-op when the session is gone */
/* E_NOT_LOADED and the like: the request was not answered, it may come again */
void session_forget(struct meta *m, struct session_id id, uint64_t seq);
void session_keep(struct meta *m, struct session_id id, uint64_t seq, const struct fsop_reply *rep);
int session_open(struct meta *m, uint64_t index, const struct fsop *op, struct meta_result *r);
int session_close(struct meta *m, const struct fsop *op);
bool session_writes(const struct meta *m, uint32_t session, uint32_t node);
/* the session, if it lives and has not given up waiting for the answer to seq; or 0 */
uint32_t session_awaits(const struct meta *m, struct session_id id, uint64_t seq);
void session_writer_add(struct meta *m, uint32_t session, uint32_t node);
void session_writer_remove(struct meta *m, uint32_t session, uint32_t node);
struct session_id session_next(const struct meta *m, struct session_id after);
struct ino session_writer_any(const struct meta *m, struct session_id id);
/* every file that a session writes, in any order: 0 ends it */
uint32_t session_writer_first(const struct meta *m, struct session_id id);
uint32_t session_writer_after(const struct meta *m, uint32_t w);
uint32_t session_writer_node(const struct meta *m, uint32_t w);
struct ino session_writer_next(const struct meta *m, struct session_id id, struct ino after);
struct session_id session_of_file_next(const struct meta *m, uint32_t node,
                                       struct session_id after);
/* *at 0: the first of node's; else the one behind it */
struct session_id session_of_file_each(const struct meta *m, uint32_t node, uint32_t *at);
uint32_t session_reply_hash(uint32_t session, uint64_t seq);

/* ---- mount.c */
/* mount 0 is the cluster's own namespace where nothing is mounted: names only */
enum fsop_mount_mode mount_mode(const struct meta *m, uint16_t number);
/* the mode that governs an inode */
enum fsop_mount_mode mount_mode_of(const struct meta *m, uint32_t node);
int mount_add(struct meta *m, const struct fsop *op, struct meta_result *r);
int mount_remove(struct meta *m, const struct fsop *op);
/* a mount's root lies below top (top itself not counted) */
bool mount_below(const struct meta *m, uint32_t top);
/* path and uri are good until the next call */
int mount_get(const struct meta *m, uint16_t number, struct fsop_mount_info *ret_i);
int mount_list(const struct meta *m, struct wbuf *w);

/* ---- intent.c */
struct intent_spec {
    const struct fsop *op;
    uint16_t mount;
    uint32_t node, dir, dir2, replaced;
};
/* E_CONFLICT, and who holds the inode */
int intent_refuse_node(const struct meta *m, uint32_t node);
/* E_CONFLICT when somebody's lock forbids it */
int intent_may_name(const struct meta *m, uint32_t dir, const char *name, uint32_t n);
int intent_may_inode(const struct meta *m, uint32_t node);
/* the slot of the intent that has node itself or a tree around it, or 0 */
uint32_t intent_holder(const struct meta *m, uint32_t node);
int intent_may_tree(const struct meta *m, uint32_t node);
int intent_may_load(const struct meta *m, uint32_t dir);
/* no tree that node lies in is locked */
int intent_may_below(const struct meta *m, uint32_t node);
/* a lock on node or below it (names in directories count) */
bool intent_locks_below(const struct meta *m, uint32_t top);
bool intent_name_locked(const struct meta *m, uint32_t dir, const char *name, uint32_t n);
uint32_t intent_loading(const struct meta *m, uint32_t dir); /* slot of the load's intent, or 0 */
int intent_room(const struct meta *m);
/* size and mtime_ns of an exchange that is owed and not noted yet */
static const uint64_t META_NOT_NOTED = UINT64_MAX;
static inline bool intent_is_exchange(const struct fsop *op)
{
    return op->kind == FSOP_RENAME && (op->flags & FSOP_F_EXCHANGE);
}

/* FSOP_NOTE */
int intent_note(struct meta *m, const struct fsop *op);
uint32_t intent_open(struct meta *m, const struct intent_spec *spec, struct meta_result *r);
void intent_lock_name(struct meta *m, uint32_t intent, uint32_t dir, const char *name, uint32_t n);
void intent_lock_node(struct meta *m, uint32_t intent, enum meta_lock_kind kind, uint32_t node);
uint32_t intent_find(const struct meta *m, uint64_t id);
const struct meta_intent_rec *intent_at(const struct meta *m, uint32_t slot);
/* decodes the operation; buf must live as long as ret_op */
int intent_op(const struct meta *m, uint32_t slot, void *buf, uint32_t cap, struct fsop *ret_op);
/* unlocks and forgets */
void intent_close(struct meta *m, uint32_t slot);

/* ---- room.c: E_NOSPC (E_AGAIN: session, reply, intent) when the budget does not allow it */
int room_inode(const struct meta *m);
int room_entry(const struct meta *m, uint32_t name_len);
int room_bytes(const struct meta *m, size_t n);
int room_xattr(const struct meta *m, uint32_t name_len, uint32_t value_len);
int room_writer(const struct meta *m);
int room_session(const struct meta *m, uint32_t name_len);
int room_reply(const struct meta *m);
int room_intent(const struct meta *m);

/* ---- tree.c: the namespace's mutations */
struct tree_plan {
    const struct fsop *op;
    bool commit; /* the under-store has done it: nothing is refused any more */
    uint16_t mount;
    enum fsop_mount_mode mode;
    uint32_t dir, dir2, dent, dent2, node, node2;
    uint32_t new_mode, new_uid, new_gid; /* of what is created */
    bool nothing;                        /* succeeds without any change */
    struct fsop norm;                    /* the operation made explicit, where that differs */
};
int tree_apply(struct meta *m, const struct fsop *op, struct meta_result *r);
int tree_outcome(struct meta *m, const struct fsop *op, struct meta_result *r);
/* what every plan does: the directory of a name, entered; its entry, if it must be known */
int tree_enter(const struct meta *m, struct tree_plan *p, struct ino ino, const char *name,
               uint32_t n, uint32_t *ret_dir);
int tree_entry(const struct meta *m, const struct tree_plan *p, uint32_t dir, const char *name,
               uint32_t n, uint32_t *ret_dent);
/* RO and permission to change dir's entries */
int tree_writable(const struct meta *m, const struct tree_plan *p, uint32_t dir);
int tree_sticky(const struct meta *m, const struct tree_plan *p, uint32_t dir, uint32_t node);
/* ".tarn" in a mount's root is the master's own */
bool tree_is_hidden(const struct meta *m, uint32_t dir, const char *name, uint32_t n);
/* a node that lost a name: freed, or an orphan */
void tree_settle(struct meta *m, uint32_t node, int64_t time_ns);

/* ---- tree_ops.c */
int tree_ops_plan(struct meta *m, struct tree_plan *p);
void tree_ops_perform(struct meta *m, struct tree_plan *p);

/* ---- tree_rename.c */
int tree_rename_plan(struct meta *m, struct tree_plan *p);
void tree_rename_perform(struct meta *m, struct tree_plan *p);

/* ---- tree_attr.c */
int tree_attr_plan(struct meta *m, struct tree_plan *p);
void tree_attr_perform(struct meta *m, struct tree_plan *p);
int tree_attr_write_close(struct meta *m, const struct fsop *op);

/* ---- tree_load.c */
int tree_load(struct meta *m, const struct fsop *op, struct meta_result *r);
int tree_load_refresh(struct meta *m, const struct fsop *op);
/* clears the marks of a listing given up */
void tree_load_abort(struct meta *m, uint32_t dir);

#endif
