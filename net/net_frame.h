/* net/net_frame.h - what travels on a TCP connection.
 *
 * First one hello of 64 bytes from each side, at once, without waiting for the other's:
 *   0  magic "tarn/net"         8  u16 version_min  10 u16 version_max  12 u32 features
 *   16 u64 cluster_hi  24 u64 cluster_lo  32 u64 conn_id  40 u32 frame_max  44 zero to 60
 *   60 u32 crc32c of bytes 0..59
 * The magic, the versions and the checksum keep their place in every future version.
 *
 * Then items, each a header of 32 bytes and `length` bytes of payload (none for READ, READ_ERR):
 *   0  u8 magic 0xa7  1 u8 version  2 u8 kind  3 u8 zero  4 u16 type  6 u16 offset bits 32..47
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
    NET_FRAME_HELLO = 64,
    NET_FRAME_MAGIC = 0xa7,
    NET_FRAME_VERSION = 1,
    NET_FRAME_VERSION_MIN = 1, /* the oldest this code still speaks */
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

struct net_hello {
    uint16_t version_min, version_max;
    uint32_t features, frame_max;
    uint64_t cluster_hi, cluster_lo, conn_id;
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
 * E_CORRUPT */
int net_frame_hello_decode(const uint8_t *from, size_t n, struct net_hello *ret_h) MUST_CHECK;
/* the version both speak; or E_VERSION, E_CLUSTER, or E_REFUSED when this is our own echo (a
 * connection that met itself) */
int net_frame_hello_match(const struct net_hello *mine, const struct net_hello *theirs) MUST_CHECK;

#endif
