/* net/net_auth.c - see net/net_auth.h.
 *
 * A proof is HMAC-SHA256(secret, role of who proves, version, hello of who called, hello of who
 * accepted).  Invariants:
 *  1. Both hellos carry fresh chance of 256 bits, so no proof fits another connection; the role
 *     differs, so none fits the other direction.
 *  2. All of both hellos is proven: versions, cluster, and that a secret is held.  Nobody between
 *     can talk two ends down to an older version, or to no secret.
 *  3. Who has a secret talks to nobody who says he has none.
 *  4. Who accepts proves nothing before the other has: a stranger who calls gets no bytes on which
 *     to try guesses at a secret that a person thought up.
 *  5. Macs are compared in constant time, and always all of them.
 *
 * Not here: encryption, and integrity of what follows (docs/security.md says why).
 *
 * Why nettle: a third of a megabyte, no memory of its own, nothing to initialise, and it is there
 * wherever GnuTLS is.  libcrypto would add half a megabyte of private memory to each process. */
#include "net/net_auth.h"
#include <nettle/hmac.h>
#include <nettle/memops.h>

/* with its zeros: of one length, so no two texts to be proven can be the same */
static const char net_auth_roles[2][16] = {"tarn calls", "tarn accepts"};

void net_auth_mac(const struct net_secrets *s, unsigned i, const void *p, size_t p_n, const void *q,
                  size_t q_n, const void *r, size_t r_n, uint8_t ret_mac[NET_FRAME_MAC])
{
    struct hmac_sha256_ctx h;
    hmac_sha256_set_key(&h, s->len[i], s->key[i]);
    hmac_sha256_update(&h, p_n, p);
    hmac_sha256_update(&h, q_n, q);
    hmac_sha256_update(&h, r_n, r);
    hmac_sha256_digest(&h, NET_FRAME_MAC, ret_mac);
    explicit_bzero(&h, sizeof h);
}

/* accepts: the proof of the one who does */
static void net_auth_proof(const struct net_auth *a, bool accepts, const struct net_secrets *s,
                           unsigned i, uint8_t *ret_mac)
{
    uint8_t head[sizeof net_auth_roles[0] + 2];
    memcpy(head, net_auth_roles[accepts], sizeof net_auth_roles[0]);
    base_put_u16(head + sizeof net_auth_roles[0], a->version);
    net_auth_mac(s, i, head, sizeof head, a->hello[0], NET_FRAME_HELLO, a->hello[1],
                 NET_FRAME_HELLO, ret_mac);
}

void net_auth_begin(struct net_auth *a, bool accepts, const struct net_hello *mine,
                    const struct net_secrets *s, const uint8_t *fresh)
{
    memset(a, 0, sizeof *a);
    a->accepts = accepts;
    a->mine = *mine;
    a->mine.features = s->n ? NET_HELLO_SECRET : 0;
    memcpy(a->mine.challenge, fresh, NET_FRAME_CHALLENGE);
    net_frame_hello_encode(&a->mine, a->hello[accepts]);
    memcpy(a->out, a->hello[accepts], NET_FRAME_HELLO);
    a->out_n = NET_FRAME_HELLO;
}

static int64_t net_auth_fail(struct net_auth *a, int err, enum net_auth_fault fault)
{
    a->state = NET_AUTH_DEAD;
    a->fault = fault;
    return err;
}

static int64_t net_auth_hello(struct net_auth *a, const struct net_secrets *s, const uint8_t *b,
                              size_t n)
{
    int err = net_frame_hello_decode(b, n, &a->theirs);
    if (err == E_AGAIN)
        return 0;
    if (!err)
        err = net_frame_hello_match(&a->mine, &a->theirs);
    if (err < 0)
        return net_auth_fail(a, err, NET_AUTH_FINE);
    a->version = (uint16_t)err;
    memcpy(a->hello[!a->accepts], b, NET_FRAME_HELLO);
    bool we = a->mine.features & NET_HELLO_SECRET, they = a->theirs.features & NET_HELLO_SECRET;
    if (we != they)
        return net_auth_fail(a, E_AUTH, we ? NET_AUTH_ONLY_WE : NET_AUTH_ONLY_THEY);
    if (!we) {
        a->state = NET_AUTH_OPEN;
    } else if (a->accepts) {
        a->state = NET_AUTH_PROOF;
    } else {
        a->state = NET_AUTH_VERDICT;
        net_auth_proof(a, false, s, 0, a->out);
        net_auth_proof(a, false, s, 1, a->out + NET_FRAME_MAC);
        a->out_n = NET_FRAME_PROOF;
    }
    return NET_FRAME_HELLO;
}

/* what the caller proved, against each of our secrets */
static int64_t net_auth_judge(struct net_auth *a, const struct net_secrets *s, const uint8_t *b)
{
    uint8_t mac[NET_FRAME_MAC];
    unsigned with = 0, ok = 0;
    for (unsigned i = 0; i < 2; i++) {
        net_auth_proof(a, false, s, i, mac);
        unsigned good = (unsigned)memeql_sec(mac, b, NET_FRAME_MAC) |
                        (unsigned)memeql_sec(mac, b + NET_FRAME_MAC, NET_FRAME_MAC);
        with = good ? i : with;
        ok |= good;
    }
    memset(a->out, 0, NET_FRAME_VERDICT);
    a->out_n = NET_FRAME_VERDICT;
    if (!ok) {
        base_put_u32(a->out, (uint32_t)E_AUTH);
        return net_auth_fail(a, E_AUTH, NET_AUTH_WRONG);
    }
    net_auth_proof(a, true, s, with, a->out + 8);
    a->state = NET_AUTH_OPEN;
    return NET_FRAME_PROOF;
}

static int64_t net_auth_verdict(struct net_auth *a, const struct net_secrets *s, const uint8_t *b)
{
    uint8_t mac[2][NET_FRAME_MAC];
    if (base_get_u32(b) == (uint32_t)E_AUTH)
        return net_auth_fail(a, E_AUTH, NET_AUTH_THEY_REFUSE);
    net_auth_proof(a, true, s, 0, mac[0]);
    net_auth_proof(a, true, s, 1, mac[1]);
    unsigned ok = (unsigned)memeql_sec(mac[0], b + 8, NET_FRAME_MAC) |
                  (unsigned)memeql_sec(mac[1], b + 8, NET_FRAME_MAC);
    if (base_get_u64(b) || !ok)
        return net_auth_fail(a, E_AUTH, NET_AUTH_WRONG);
    a->state = NET_AUTH_OPEN;
    return NET_FRAME_VERDICT;
}

int64_t net_auth_take(struct net_auth *a, const struct net_secrets *s, const uint8_t *b, size_t n)
{
    a->out_n = 0;
    switch (a->state) {
    case NET_AUTH_HELLO:
        return net_auth_hello(a, s, b, n);
    case NET_AUTH_PROOF:
        return n < NET_FRAME_PROOF ? 0 : net_auth_judge(a, s, b);
    case NET_AUTH_VERDICT:
        return n < NET_FRAME_VERDICT ? 0 : net_auth_verdict(a, s, b);
    case NET_AUTH_OPEN:
    case NET_AUTH_DEAD:
        break;
    }
    ASSERT(!"the handshake is over");
    return E_FATAL;
}
