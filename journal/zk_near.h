/* journal/zk_near.h - is the process that leads still there?  Asked by a connection to it, so that
 * who waits for its ZooKeeper session to run out need not, when it is plainly gone.
 *
 *   REST --follow--> DIAL --connected--> UP --closed--> DIAL --refused, twice--> GONE
 *                     ^ \--else--> PAUSE --later--+                (told once; then REST)
 *                     +---------------------------+
 *
 * INVARIANTS
 *  1. It is a hint: whoever acts on it claims, and the fence decides (zk_fence.h).
 *  2. Gone is who was connected to and refuses since: an address that never answered, or does not
 *     answer any more, says nothing.
 *  3. Refused twice, ZK_NEAR_AGAIN_NS apart: who starts anew at once may be back by then. */
#ifndef JOURNAL_ZK_NEAR_H
#define JOURNAL_ZK_NEAR_H

#include "core/env.h"

enum zk_near_state { ZK_NEAR_REST, ZK_NEAR_DIAL, ZK_NEAR_UP, ZK_NEAR_PAUSE };

#define ZK_NEAR_AGAIN_NS 20000000LL  /* between refusals */
#define ZK_NEAR_PAUSE_NS 200000000LL /* after any other failure */

struct zk_near {
    void (*gone)(struct zk_near *n); /* the owner's; it may follow somebody else from there */
    /* own */
    struct env *env;
    struct env_peer peer;
    struct env_op op;
    struct env_timer timer;
    struct env_op *stop_op;
    enum zk_near_state state;
    bool is_dialling, was_up;
    uint32_t refused;
    char addr[ENV_ADDR_MAX], dialled[ENV_ADDR_MAX];
};

void zk_near_init(struct zk_near *n, struct env *e, void (*gone)(struct zk_near *n));
/* from here on the process at addr; "": nobody.  The same again changes nothing. */
void zk_near_follow(struct zk_near *n, const char *addr);
/* n is the caller's again when op is done, with 0 */
void zk_near_stop(struct zk_near *n, struct env_op *op);

#endif
