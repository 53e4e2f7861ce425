/* net/net_frame.h - what travels on a TCP connection.
 *
 * First one hello of 128 bytes from each side, at once, without waiting for the other's:
 *   0  magic "tarn/net"         8  u16 version_min  10 u16 version_max  12 u32 features
 *   16 u64 cluster_hi  24 u64 cluster_lo  32 u32 frame_max
 *   36 u16 log_min  38 u16 log_max  40 u16 image_min  42 u16 image_max      44 zero to 92
 *   92 challenge[32]  124 u32 crc32c of bytes 0..123
 * version_min..version_max: what this side speaks; the highest that both speak is used.  The log's
 * and the image's are those of a journal that this side reads and writes; 0: it has none.  The
 * magic and the versions keep their place for ever, the rest as long as ranges overlap: what is
 * zero here may get a meaning later.  The challenge is fresh chance; it also tells our own echo.
 *
 * When both sides hold a secret (features), who called proves it, then the other (net_auth.h):
 *   proof   of who called:  mac[32] by its first secret, mac[32] by its second (or the first again)
 *   verdict of the other:   0 i32 0 or E_AUTH  4 u32 zero  8 mac[32] by the secret that was right
 *
 * Then items, each a header of 32 bytes and `length` bytes of payload (none for READ, READ_ERR):
 *   0  u8 magic 0xa7  1 u8 layout   2 u8 kind  3 u8 zero  4 u16 type  6 u16 offset bits 32..47
 *   8  u32 length     12 u32 check  16 u64 token  24 u32 offset bits 0..31
 *   28 u32 crc32c of bytes 0..27
 * kind      type    length           check              token         offset
 * FRAME     app's   of the payload   crc of payload     0             0
 * WRITE     0       of the payload   0                  region        in the region
 * READ      0       wanted           request number     region        in the region
 * READ_DATA 0       of the payload   request number     0             0
 * READ_ERR  0       0                request number     u64 -(E_*)    0
 *
 * Bulk payloads carry no checksum here: pages have their own, checked where they are used, and
 * TCP's guards the way; a checksum of every gigabyte in both ends would cost half a core each. */
#ifndef NET_NET_FRAME_H
#define NET_NET_FRAME_H

#include "core/env.h"

enum {
    NET_FRAME_HEAD = 32,
    NET_FRAME_HELLO = 128,
    NET_FRAME_CHALLENGE = 32,
    NET_FRAME_MAC = 32,
    NET_FRAME_PROOF = 2 * NET_FRAME_MAC,
    NET_FRAME_VERDICT = 8 + NET_FRAME_MAC,
    NET_FRAME_MAGIC = 0xa7,
    NET_FRAME_LAYOUT = 1,      /* of the items' header */
    NET_FRAME_VERSION = 2,     /* of all that is said on a connection */
    NET_FRAME_VERSION_MIN = 2, /* the oldest this code still speaks */
    NET_FRAME_RMA_MAX = 1 << 30,
};
#define NET_FRAME_OFFSET_MAX (((uint64_t)1 << 48) - 1)

enum net_frame_kind {
    NET_FRAME_FRAME = 1,
    NET_FRAME_WRITE = 2,
    NET_FRAME_READ = 3,
    NET_FRAME_READ_DATA = 4,
    NET_FRAME_READ_ERR = 5,
};

struct net_frame {
    uint8_t kind;
    uint16_t type;
    uint32_t length, check;
    uint64_t token, offset;
};

enum net_hello_features { NET_HELLO_SECRET = 1 }; /* has one, and talks to nobody without it */

/* Versions of a journal that a node understands; 0: none, all the same to it. */
struct net_formats {
    uint16_t log_min, log_max, image_min, image_max;
};

struct net_hello {
    uint16_t version_min, version_max;
    uint32_t features, frame_max;
    uint64_t cluster_hi, cluster_lo;
    struct net_formats formats;
    uint8_t challenge[NET_FRAME_CHALLENGE];
};

void net_frame_encode(const struct net_frame *f, uint8_t to[NET_FRAME_HEAD]);
/* 0; E_PROTO not one of ours; E_CORRUPT checksum; E_VERSION; E_TOOBIG */
int net_frame_decode(const uint8_t from[NET_FRAME_HEAD], struct net_frame *ret_f) MUST_CHECK;
/* bytes that follow the header */
uint32_t net_frame_payload(const struct net_frame *f);
/* 0 or E_CORRUPT, for a FRAME */
int net_frame_check(const struct net_frame *f, const void *payload) MUST_CHECK;

void net_frame_hello_encode(const struct net_hello *h, uint8_t to[NET_FRAME_HELLO]);
/* n bytes have come so far; 0 with *ret_h set once all are here; E_AGAIN too few to say; E_PROTO,
 * E_CORRUPT; E_VERSION from another age, of whose hello only the versions are set */
int net_frame_hello_decode(const uint8_t *from, size_t n, struct net_hello *ret_h) MUST_CHECK;
/* the version both speak; or E_VERSION, E_CLUSTER, or E_REFUSED when this is our own echo (a
 * connection that met itself) */
int net_frame_hello_match(const struct net_hello *mine, const struct net_hello *theirs) MUST_CHECK;

#endif
