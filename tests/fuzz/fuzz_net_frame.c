/* tests/fuzz/fuzz_net_frame.c - any bytes as a hello, then as a stream of items: what decodes must
 * encode to the same bytes and keep to the limits; nothing may be read past the end. */
#include "core/base.h"
#include "net/net_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct net_hello h, mine = {.version_min = NET_FRAME_VERSION_MIN,
                                .version_max = NET_FRAME_VERSION,
                                .frame_max = ENV_FRAME_MAX};
    uint8_t hello[NET_FRAME_HELLO], head[NET_FRAME_HEAD];
    if (size && net_frame_hello_decode(data, size, &h) == 0) {
        int version = net_frame_hello_match(&mine, &h);
        ASSERT(version == NET_FRAME_VERSION || version == E_VERSION || version == E_CLUSTER ||
               version == E_REFUSED);
        net_frame_hello_encode(&h, hello);
        data += NET_FRAME_HELLO;
        size -= NET_FRAME_HELLO;
    }
    while (size >= NET_FRAME_HEAD) {
        struct net_frame f;
        memcpy(head, data, sizeof head);
        /* let the fuzzer past the checksum now and then: else it sees little of what is behind */
        if (head[28] == 0 && head[29] == 0) {
            struct net_frame g = {.kind = head[2],
                                  .type = base_get_u16(head + 4),
                                  .length = base_get_u32(head + 8),
                                  .check = base_get_u32(head + 12),
                                  .token = base_get_u64(head + 16),
                                  .offset = base_get_u32(head + 24)};
            net_frame_encode(&g, head);
        }
        if (net_frame_decode(head, &f))
            return 0;
        uint8_t again[NET_FRAME_HEAD];
        net_frame_encode(&f, again);
        ASSERT(!memcmp(head, again, sizeof head));
        ASSERT(f.offset <= NET_FRAME_OFFSET_MAX && f.length <= NET_FRAME_RMA_MAX);
        ASSERT(f.kind != NET_FRAME_FRAME || f.length <= ENV_FRAME_MAX);
        data += NET_FRAME_HEAD;
        size -= NET_FRAME_HEAD;
        size_t n = net_frame_payload(&f);
        if (n > size)
            return 0;
        if (f.kind == NET_FRAME_FRAME && net_frame_check(&f, data) && f.check)
            return 0;
        data += n;
        size -= n;
    }
    return 0;
}
