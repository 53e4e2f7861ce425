/* journal/zk_members.h - what each member of a ZooKeeper journal's group says of itself, for people
 * who look: nothing is decided by it.
 *
 *   /masters/<id>   "id address applied image" (ephemeral)
 *
 * Every member writes its own and reads all, one call at a time, every ZK_MEMBERS_NS.  A node that
 * a member's last process left is taken over as it is; it goes with that one's session, and the
 * next round makes another. */
#ifndef JOURNAL_ZK_MEMBERS_H
#define JOURNAL_ZK_MEMBERS_H

#include "journal/journal.h"
#include "journal/zk_client.h"
#include "journal/zk_elect.h"

#define ZK_MEMBERS_NS (2000 * 1000000LL)

/*  REST -> TELL (-> MAKE) -> LIST -> READ* -> REST */
enum zk_members_state {
    ZK_MEMBERS_REST,
    ZK_MEMBERS_TELL,
    ZK_MEMBERS_MAKE,
    ZK_MEMBERS_LIST,
    ZK_MEMBERS_READ,
};

struct zk_members {
    struct zk_elect_member member[JOURNAL_MEMBERS_MAX]; /* of the last whole round, by id */
    uint32_t n;
    /* own */
    struct env *env;
    struct zk *zk; /* NULL: nothing is begun */
    uint32_t id;
    const char *addr;
    uint64_t applied, image;
    enum zk_members_state state;
    struct zk_call call;
    struct env_timer timer;
    struct zk_elect_member next[JOURNAL_MEMBERS_MAX];
    uint32_t n_next, n_found, at;
    char found[JOURNAL_MEMBERS_MAX][16], path[48], text[80 + ENV_ADDR_MAX];
};

void zk_members_init(struct zk_members *m, struct env *e, uint32_t id, const char *addr);
/* there is a connection, and /masters */
void zk_members_run(struct zk_members *m, struct zk *z);
/* the session is over: nothing is begun any more, and nobody is known */
void zk_members_stop(struct zk_members *m);

#endif
