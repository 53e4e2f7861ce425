/* cluster/cli_journal_group.h - the group of masters as a command sees it: what each says of
 * itself, and what its leader says of all. */
#ifndef CLUSTER_CLI_JOURNAL_GROUP_H
#define CLUSTER_CLI_JOURNAL_GROUP_H

#include "cluster/cli_masters.h"

/* a member as its leader, or else somebody, knows it, and as it says itself */
struct cli_journal_member {
    uint32_t id, priority;
    bool votes, leads, joins, leaving, connected, unfit;
    bool is_known;     /* match, lag and unfit are more than a beginning */
    bool is_electable; /* of a ZooKeeper journal, by its own word */
    uint64_t match, lag;
    int64_t heard_ago_ns; /* by the leader; -1: not since it leads */
    char addr[ENV_ADDR_MAX];
    const struct cli_masters_one *self; /* its own answer; NULL: none */
};

struct cli_journal_group {
    const struct cli *cli;
    struct cli_masters m;
    const struct cli_masters_one *view; /* whose word it is: the leader's, or the newest; or NULL */
    bool has_leader, is_zk; /* zk: any that is electable can lead, there is no quorum of masters */
    bool is_full;           /* zk: who leads has no room for the log */
    bool is_lost;           /* zk: the shared directory was removed under them, as one says */
    struct cli_journal_member member[JOURNAL_MEMBERS_MAX];
    unsigned n, voters, up;   /* up: voters that answer the leader, or us if nobody leads */
    unsigned electable;       /* zk: of those */
    int64_t until_ns, ask_ns; /* ask_ns: how long one of them has to answer */
    int64_t few_until_ns;     /* so long it is waited for more when too few answer */
    bool was_tried;           /* a change was asked for, and may be under way */
};

/* for a change: it takes its time, and each look must not.  CLI_OK or an exit code */
int cli_journal_group_open(struct cli_journal_group *g, const struct cli *c);
/* asks everybody anew */
void cli_journal_group_look(struct cli_journal_group *g);
/* until a leader is known; says why not, and the exit code, if there is none in time */
int cli_journal_group_wait(struct cli_journal_group *g);
/* the same, of a group: a single master is none */
int cli_journal_group_wait_leader(struct cli_journal_group *g);
/* says why nobody can be asked; the exit code */
int cli_journal_group_nobody(struct cli_journal_group *g);
const struct cli_journal_member *cli_journal_group_find(const struct cli_journal_group *g,
                                                        uint32_t id);
/* its members, of masters with a ZooKeeper journal, which nobody but they themselves tell */
void cli_journal_group_zk(struct cli_journal_group *g);
/* what is wrong with those of a ZooKeeper journal and what to do, a line at a time */
void cli_journal_group_zk_warn(const struct cli_journal_group *g,
                               void (*say)(void *ctx, const char *line), void *ctx);
/* its ZooKeeper session, or why it could not lead, in a few words */
const char *cli_journal_group_zk_bar(const struct cli_journal_member *m, char to[256]);
void cli_journal_group_zk_room(const struct cli_journal_group *g); /* says it */
/* what its own session is, and the room that it sees, as JSON */
void cli_journal_group_zk_json(const struct cli_journal_member *m, cJSON *j);
/* how many more may be lost; -1: nothing can be decided now */
int cli_journal_group_tolerates(const struct cli_journal_group *g);
/* the same of a raft group with so many voters */
int cli_journal_group_spare(unsigned voters, unsigned up);
/* a member's number; false, and said, for anything else */
bool cli_journal_group_id(const struct cli *c, const char *text, uint32_t *ret_id);

#define CLI_JOURNAL_GROUP_TIMEOUT                            \
    {                                                        \
        "timeout", 't', "TIME", "give up then (default 30s)" \
    }

#endif
