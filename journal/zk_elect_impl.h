/* journal/zk_elect_impl.h - what the files of the election share; nobody else includes it.
 *
 *   zk_elect.c       sessions, the path, who stands and who is first; numbers; hints
 *   zk_elect_hand.c  who is first calls another one
 */
#ifndef JOURNAL_ZK_ELECT_IMPL_H
#define JOURNAL_ZK_ELECT_IMPL_H

#include "core/fmt.h"
#include "journal/zk_client.h"
#include "journal/zk_elect.h"
#include "journal/zk_members.h"
#include "journal/zk_near.h"

enum elect_state {
    ELECT_DOWN,
    ELECT_WHOSE,
    ELECT_MAKE,
    ELECT_ROOT, /* the chroot itself, one level after the other */
    ELECT_ACL,  /* with credentials: may others change the nodes? */
    ELECT_IDLE,
    ELECT_JOIN,
    ELECT_FIND,
    ELECT_LOOK,
    ELECT_WATCH,
    ELECT_OWN,
    ELECT_WAIT,
    ELECT_BURY,
    ELECT_LEAVE,
    ELECT_CLOSING,
    ELECT_STOPPING,
};

enum elect_count { ELECT_READ, ELECT_RAISE };
enum elect_hint {
    ELECT_HINT_REST,
    ELECT_HINT_TELL,
    ELECT_HINT_UNTELL, /* an older one, whosever it is */
    ELECT_HINT_ASK,
    ELECT_HINT_AWAIT, /* there is none */
};

enum {
    ELECT_PATH = 128,
    ELECT_CLUSTER = 40,
    ELECT_TRIES = 16,
    ELECT_TEXT = 32 + ENV_ADDR_MAX,
    ELECT_HAND_MAX = 2 * JOURNAL_MEMBERS_MAX, /* nodes that go when another one is called */
};

enum elect_hand { ELECT_HAND_REST, ELECT_HAND_LIST, ELECT_HAND_REMOVE };

#define ELECT_CALL_NS    (5000 * 1000000LL)
#define ELECT_HAND_NS    (2000 * 1000000LL) /* no submit is taken meanwhile */
#define ELECT_REFUSED_NS (5000 * 1000000LL)
#define ELECT_PAUSE_NS   (200 * 1000000LL)
#define ELECT_HEAR_NS    (2000 * 1000000LL) /* two pauses of the client: who leads hears it later */

struct elect {
    struct zk_elect elect;
    struct env *env;
    struct mem *mem;
    struct zk_config cfg;
    uint32_t id;
    char addr[ENV_ADDR_MAX], who[ZK_MEMBERS_WHO], cluster[ELECT_CLUSTER];
    struct zk *zk;
    struct zk_host host;
    enum elect_state state;
    bool stands, is_connected, is_again; /* again: the watch fired meanwhile */
    int64_t session_ns;                  /* connected since, or not connected */
    bool was_unknown;                    /* and said so, in this session */
    bool was_refused;                    /* and said so, since it could make its nodes */
    bool was_hidden;                     /* and said so */
    bool is_leaving; /* its node, if there is one, goes before it stands again */
    bool was_ours;   /* /cluster has said so, to this process */
    bool is_kept;    /* what it stood on is lost: it leads until another one claims, or is first */
    int64_t join_ns; /* it does not stand before */
    uint64_t losses;
    /* the election */
    struct zk_call call;
    bool is_calling;
    uint32_t made;
    char prefix[ELECT_PATH], own[ELECT_PATH], before[ELECT_PATH], watched[ELECT_PATH];
    uint32_t next_to; /* who that is: when it leads, this one is next; 0: not known */
    struct zk_near near;
    struct zk_watch watch;
    struct env_timer timer;
    /* numbers */
    struct zk_call count;
    enum elect_count counting;
    struct env_op *count_op;
    uint64_t above, number, *ret_number;
    uint32_t tries;
    char count_text[24];
    /* hints */
    struct zk_call hint;
    enum elect_hint hinting;
    struct zk_watch hint_watch;
    struct env_timer hint_timer;
    bool hint_due;
    uint64_t epoch, told, telling; /* this member's while it serves; what is in /leader by it */
    char hint_text[ELECT_TEXT], leader_addr[ENV_ADDR_MAX];
    /* another one is called */
    struct zk_call hand;
    enum elect_hand handing;
    struct env_op *hand_op;
    uint32_t hand_id, hand_to, hand_tries; /* to: whose turn it is when these nodes are gone */
    bool hand_sent;
    int64_t hand_deadline_ns;
    struct zk_multi hand_ops[ELECT_HAND_MAX];
    char hand_path[ELECT_HAND_MAX][ELECT_PATH];
    struct zk_members members;
    uint32_t n_acls; /* looked at */
    char open[64];   /* those that everybody may change */
    char root[ZK_ROOT_MAX];
    uint32_t root_len; /* of what is being made */
    struct env_op zk_op, near_op, *stop_op;
};

static inline struct elect *zk_elect_self(struct zk_elect *e)
{
    return container_of(e, struct elect, elect);
}

/* zk_elect.c */
/* "...-n-0000000012" -> 12; false: no such name */
bool zk_elect_sequence(const char *name, uint32_t len, uint64_t *ret_seq);

/* zk_elect_hand.c */
void zk_elect_hand(struct zk_elect *e, uint32_t id, int64_t deadline_ns, struct env_op *op);
/* who was called, or an error */
void zk_elect_hand_end(struct elect *l, int64_t ret);
void zk_elect_hand_init(struct elect *l);

#endif
