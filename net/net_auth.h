/* net/net_auth.h - the beginning of a connection as a pure step: hellos, and who holds the secret.
 * Bytes: net_frame.h.  Pure: fuzzed by tests/fuzz.
 *
 *            their hello, no secrets here and there
 *   HELLO ------------------------------------------------------------> OPEN
 *     | \-- it called:  proof ->                    VERDICT --<- good--> OPEN
 *      \--- it accepts:                  PROOF --<- good, verdict -> --> OPEN
 *   every state: E_PROTO, E_CORRUPT, E_VERSION, E_CLUSTER, E_REFUSED, E_AUTH --> DEAD */
#ifndef NET_NET_AUTH_H
#define NET_NET_AUTH_H

#include "net/net_frame.h"
#include "net/net_secret.h"

enum net_auth_state {
    NET_AUTH_HELLO,
    NET_AUTH_PROOF,
    NET_AUTH_VERDICT,
    NET_AUTH_OPEN,
    NET_AUTH_DEAD
};

/* why it is E_AUTH, for the log */
enum net_auth_fault {
    NET_AUTH_FINE,
    NET_AUTH_ONLY_WE, /* have a secret */
    NET_AUTH_ONLY_THEY,
    NET_AUTH_WRONG,      /* what they proved is none of ours */
    NET_AUTH_THEY_REFUSE /* they say the same of us */
};

struct net_auth {
    enum net_auth_state state;
    enum net_auth_fault fault;
    bool accepts;
    uint16_t version; /* the one both speak */
    struct net_hello mine, theirs;
    uint8_t hello[2][NET_FRAME_HELLO]; /* as sent: of who called, of who accepted */
    uint8_t out[NET_FRAME_HELLO];      /* what the last step says to the other end */
    size_t out_n;
};

/* mine: features and challenge are set here; fresh: NET_FRAME_CHALLENGE bytes of chance */
void net_auth_begin(struct net_auth *a, bool accepts, const struct net_hello *mine,
                    const struct net_secrets *s, const uint8_t *fresh);
/* n bytes have come: how many of them were used (0: too few), or negative: DEAD.  What stands in
 * out is to be sent in any case. */
int64_t net_auth_take(struct net_auth *a, const struct net_secrets *s, const uint8_t *b, size_t n);

/* HMAC-SHA256 of three pieces by the i-th secret */
void net_auth_mac(const struct net_secrets *s, unsigned i, const void *p, size_t p_n, const void *q,
                  size_t q_n, const void *r, size_t r_n, uint8_t ret_mac[NET_FRAME_MAC]);

#endif
