/* sim/lab_zk_tree.h - what the servers of a ZooKeeper ensemble agree on: znodes and sessions, as a
 * deterministic state machine.  Every server of lab_zk.h has one of its own and feeds it the same
 * changes in the same order.  It knows no connection, no watch and no clock.
 *
 *  1. A change has one zxid and happens as a whole or not at all; also one that fails has a zxid.
 *  2. Which error comes first is as Apache ZooKeeper 3.8 has it (PrepRequestProcessor): the
 *     session, the form of the path, the ACL given, the parent, the permission, the node, ...
 *  3. A parent counts what was created in it: that is the number of a sequential name, and goes on
 *     over deletions.  The cversion that clients see is made of it: 2 * count - children.
 *  4. What it holds is bounded (lab_zk_bounds): over it ZK_ERR_SYSTEM, the same on all servers.
 *
 * Not there: quotas, containers, TTLs, the text of /zookeeper/config. */
#ifndef SIM_LAB_ZK_TREE_H
#define SIM_LAB_ZK_TREE_H

#include "core/list.h"
#include "core/mem.h"
#include "journal/zk_proto.h"

enum { LAB_ZK_BUCKETS = 1024, LAB_ZK_SESSION_BUCKETS = 128, LAB_ZK_OPS = 1024 };

struct lab_zk_bounds {
    uint32_t nodes, sessions;
    uint64_t bytes; /* of paths, data and ACLs */
};

struct lab_zk_id { /* as whom a connection has proved itself */
    char scheme[16], id[112];
};

struct lab_zk_change {
    int64_t zxid, time_ms;
    int64_t session;
    int32_t refused; /* an error that the leader has decided on; 0: none */
    const struct lab_zk_id *ids;
    uint32_t n_ids;
    /* CREATE, CREATE2, DELETE, SET_DATA, SET_ACL, CHECK, or a MULTI of at most LAB_ZK_OPS */
    const struct zk_request *q;
};

struct lab_zk_result {
    int32_t op, err;
    const char *path; /* of a creation; until the next change */
    uint32_t path_len;
    struct zk_stat stat; /* of CREATE2, SET_DATA, SET_ACL */
};

struct lab_zk_node {
    struct lab_zk_node *chain, *parent;
    struct list in_parent, children, in_session; /* in_session: of an ephemeral */
    char *path;
    uint32_t path_len;
    uint8_t *data; /* NULL: null */
    uint32_t data_cap;
    struct zk_list acl;
    struct zk_stat stat; /* cversion: so many were created in it; children: as it is */
};

struct lab_zk_session {
    struct lab_zk_session *chain;
    int64_t id;
    int32_t timeout_ms;
    struct list in_tree, ephemerals;
    /* what a leader knows of it besides, which nobody agrees on */
    int64_t expires_ns;
    int32_t server; /* that it is attached to; -1: not known yet */
    bool is_closing;
};

struct lab_zk_tree {
    struct mem *mem;
    struct lab_zk_bounds bounds;
    /* told of CREATED, DELETED and DATA when the whole change is done; n's parent is told of in the
     * same call */
    void (*on_event)(void *ctx, enum zk_event what, const struct lab_zk_node *n);
    void *ctx;
    int64_t zxid; /* of the last change */
    uint64_t bytes;
    uint32_t nodes, n_sessions;
    struct lab_zk_node *root, *bucket[LAB_ZK_BUCKETS];
    struct lab_zk_session *session[LAB_ZK_SESSION_BUCKETS];
    struct list sessions; /* in the order of their creation */
    struct list steps;    /* of the change under way, for undoing; of the last one, to be freed */
};

/* with /, /zookeeper, /zookeeper/quota and /zookeeper/config */
void lab_zk_tree_init(struct lab_zk_tree *t, struct mem *m, const struct lab_zk_bounds *bounds);
void lab_zk_tree_drop(struct lab_zk_tree *t);
/* `to` becomes as `from` is; nobody is told of it */
void lab_zk_tree_copy(struct lab_zk_tree *to, const struct lab_zk_tree *from);

/* ret_results: one for each operation.  ret: 0, or the error of the one that failed; then those of
 * a MULTI are ERRORs: 0 before it, and ZK_ERR_INCONSISTENCY behind it. */
int32_t lab_zk_tree_apply(struct lab_zk_tree *t, const struct lab_zk_change *c,
                          struct lab_zk_result *ret_results);
/* 0, or ZK_ERR_SYSTEM: there are too many */
int32_t lab_zk_tree_session_open(struct lab_zk_tree *t, int64_t zxid, int64_t id,
                                 int32_t timeout_ms);
/* its ephemerals go with it; nothing is done if there is no such */
void lab_zk_tree_session_close(struct lab_zk_tree *t, int64_t zxid, int64_t id);
struct lab_zk_session *lab_zk_tree_session(const struct lab_zk_tree *t, int64_t id); /* or NULL */

/* NULL: there is none; "" is the root, too */
struct lab_zk_node *lab_zk_tree_find(const struct lab_zk_tree *t, const char *path, uint32_t len);
struct zk_stat lab_zk_tree_stat(const struct lab_zk_node *n); /* as clients see it */
const char *lab_zk_tree_name(const struct lab_zk_node *n);    /* of it in its parent */
/* may who has these ids do any of perms? */
bool lab_zk_tree_allows(const struct lab_zk_node *n, int32_t perms, const struct lab_zk_id *ids,
                        uint32_t n_ids);
/* of everything that servers must agree on */
uint64_t lab_zk_tree_hash(const struct lab_zk_tree *t);
/* every invariant; false at the first that is broken */
bool lab_zk_tree_check(const struct lab_zk_tree *t);

#endif
