/* journal/zk_elect.h - who is to lead, as the driver of the ZooKeeper journal sees it, and the same
 * by means of ZooKeeper.
 *
 * Nothing here is evidence of leadership: being first only says who should claim (zk_fence.h). */
#ifndef JOURNAL_ZK_ELECT_H
#define JOURNAL_ZK_ELECT_H

#include "core/env.h"
#include "core/mem.h"
#include "journal/journal.h"

enum zk_standing {
    ZK_STANDING_NOT,
    ZK_STANDING_FIRST, /* should claim, and lead */
    ZK_STANDING_LOST,  /* the session is over: whoever leads must not go on */
};

struct zk_elect;

struct zk_elect_look {
    bool has_session;
    int64_t since_ns;     /* by env_now_ns */
    enum journal_bar bar; /* of SESSION, CLUSTER, ACCESS, CANDIDACY; or none */
    uint64_t losses;      /* of ZooKeeper's data, or of the path, that this process has seen */
};

struct zk_elect_vt {
    /* take part, or not; when not, others are called.  Again after not: behind the others. */
    void (*stand)(struct zk_elect *e, bool is_on);
    /* A number above `above` that nobody else gets, unless the ensemble loses what it wrote.  ret:
     * 0 with *ret_number; E_RANGE: it would be above `most`, and nothing was changed; or another
     * error; within some bound. */
    void (*number)(struct zk_elect *e, uint64_t above, uint64_t *ret_number, struct env_op *op);
    /* for hints: this member serves, with that epoch; 0: not any more */
    void (*serves)(struct zk_elect *e, uint64_t epoch);
    /* This one is first, and gives that up for member `id` (0: whoever is next), which is first
     * then.  ret, within 2 s: who; E_NOENT: nobody such stands; E_CONFLICT: this one was not first;
     * E_SESSION_EXPIRED: it has no session, or no answer; that or another error: nobody knows
     * whether it still comes.  NULL: cannot be done. */
    void (*call)(struct zk_elect *e, uint32_t id, int64_t deadline_ns, struct env_op *op);
    /* for people: so far this member's state goes, and its last image.  May be NULL. */
    void (*tell)(struct zk_elect *e, uint64_t applied, uint64_t image);
    /* would this one be called, if those before it went?  May be NULL: nothing is in the way. */
    void (*look)(struct zk_elect *e, struct zk_elect_look *ret_look);
};

struct zk_elect_member { /* as it says of itself, now and then */
    uint32_t id;
    char addr[ENV_ADDR_MAX];
    uint64_t applied, image;
    int64_t heard_ns; /* by env_now_ns */
};

struct zk_elect {
    const struct zk_elect_vt *vt;
    enum zk_standing standing;
    int failed;                           /* it takes part no more, for ever, and said why */
    uint64_t most;                        /* the driver's: numbers above it are of no use */
    uint32_t leader;                      /* whom the others are told of; 0: nobody */
    const struct zk_elect_member *member; /* who takes part; by id */
    uint32_t n_members;
    void (*changed)(struct zk_elect *e, void *ctx); /* the driver's: look again */
    void *ctx;
};

/* By ZooKeeper, below the chroot, which is made if it is not there:
 *
 *   /election/<guid>-<id>-n-<sequence>   who stands (ephemeral): the lowest sequence is first. Each
 *                                   watches the one before it, so one departure wakes one member.
 *                                   The guid is found again when the answer to its creation is lost
 *   /epoch                          the highest number given out, as text; raised by comparing
 *   /leader                         "id address epoch" of who serves (ephemeral), for hints
 *   /masters/<id>                   zk_members.h
 *   /cluster                        whose path it is (`tarn journal bootstrap` makes it): nobody
 *                                   else takes part, or two clusters would elect one leader
 *
 * Who is first calls another one by removing its own node and all that come before the other's, in
 * one step: who finds its node gone stands again, behind the others.
 *
 * A session that expires is over for good: whoever is first then is LOST, another session is begun,
 * and it stands again behind the others.  When ZooKeeper's data are lost who leads goes on, and the
 * path is made again by those who know that it was their cluster's (zk_elect.c). */
struct zk_config;

struct zk_elect_config {
    const struct zk_config *zk; /* zk_client.h; connect lives as long as the election */
    uint32_t id;                /* of this member */
    const char *addr;           /* its address, for others; copied */
    const char *who;            /* the process, for people; NULL: nothing is said of it; copied */
    const char *cluster; /* what /cluster must say before this one takes part; NULL: anything;
                            copied */
};

/* 0, E_CONFIG or E_NOMEM with a sentence in why */
int zk_elect_open(struct env *e, struct mem *m, const struct zk_elect_config *cfg,
                  struct zk_elect **ret_e, char *why, size_t why_cap) MUST_CHECK;
/* "<guid>-<id>-n-<sequence>" -> id; 0: it is another's */
uint32_t zk_elect_who(const char *name, uint32_t len);
/* where the leader listens, as it said; "": not known */
const char *zk_elect_leader_addr(const struct zk_elect *e);
/* after the driver: stands no more, closes the session.  e is gone when op is done. */
void zk_elect_stop(struct zk_elect *e, struct env_op *op);

#endif
