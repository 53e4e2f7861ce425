/* journal/zk_members.h - what each member of a ZooKeeper journal's group says of itself, for people
 * who look; and that no two processes take part as one member.
 *
 *   /masters/<id>   "id address applied image[ process]" (ephemeral); process: for people
 *
 * Every member writes its own and reads all, one call at a time, every ZK_MEMBERS_NS.  One that
 * finds its node to be another session's leaves it alone from then on and looks: a process that is
 * gone writes nothing any more, and its node goes with its session, however long that is; one that
 * is there writes again and again.  So who sees it written twice is the second one of its number,
 * and may not take part.  A restart waits, and needs nobody.
 *
 * So the second one is there for two writes of the first, ZK_MEMBERS_NS apart: 2 to 4 s, and as it
 * looks more often than that, not for much longer.  Meanwhile it stands for election, and should it
 * lead, the fence decides as between any two.  That it waited until it knew that it is alone would
 * make each restart wait as well: who was killed cannot be told from a second one sooner, and would
 * then stand later than it could. */
#ifndef JOURNAL_ZK_MEMBERS_H
#define JOURNAL_ZK_MEMBERS_H

#include "journal/journal.h"
#include "journal/zk_client.h"
#include "journal/zk_elect.h"

#define ZK_MEMBERS_NS      (2000 * 1000000LL)
#define ZK_MEMBERS_LOOK_NS (250 * 1000000LL) /* while its node is another's */

/*  REST -> TELL (-> MAKE) -> LIST -> READ* -> REST; while its node is another's: LOOK for TELL */
enum zk_members_state {
    ZK_MEMBERS_REST,
    ZK_MEMBERS_TELL,
    ZK_MEMBERS_MAKE,
    ZK_MEMBERS_LIST,
    ZK_MEMBERS_READ,
    ZK_MEMBERS_LOOK,
};

enum { ZK_MEMBERS_WHO = 96 };

struct zk_members {
    struct zk_elect_member member[JOURNAL_MEMBERS_MAX]; /* of the last whole round, by id */
    uint32_t n;
    /* The owner's: another process is this member; a log line says which.  Told once. */
    void (*refused)(struct zk_members *m);
    /* own */
    struct env *env;
    struct zk *zk; /* NULL: nothing is begun */
    uint32_t id;
    const char *addr, *who; /* who: the process; "" */
    uint64_t applied, image;
    int64_t other; /* session whose node it is; 0: this one's, as far as is known */
    int32_t other_version;
    enum zk_members_state state;
    struct zk_call call;
    struct env_timer timer;
    struct zk_elect_member next[JOURNAL_MEMBERS_MAX];
    uint32_t n_next, n_found, at;
    char found[JOURNAL_MEMBERS_MAX][16], path[48], text[80 + ENV_ADDR_MAX + ZK_MEMBERS_WHO];
};

/* addr and who live as long as m */
void zk_members_init(struct zk_members *m, struct env *e, uint32_t id, const char *addr,
                     const char *who);
/* there is a connection, and /masters */
void zk_members_run(struct zk_members *m, struct zk *z);
/* the session is over: nothing is begun any more, and nobody is known */
void zk_members_stop(struct zk_members *m);

#endif
