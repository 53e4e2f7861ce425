/* tests/fuzz/fuzz_raft.c - arbitrary messages from the wire, decoded and stepped into a core: it
 * may refuse them, but neither its assertions nor its bounds may break, whoever sends them. */
#include "journal/raft_format.h"
#include "tests/fuzz/fuzz.h"

static struct raft_effects fx;
static struct raft_format_message m;

static struct raft *fuzz_open(struct mem *mem)
{
    static struct raft_conf conf;
    struct raft_config cfg = {.self = {1},
                              .heartbeat_ns = 50,
                              .promise_ns = 150,
                              .suspect_min_ns = 1000,
                              .suspect_max_ns = 2000,
                              .round_min_ns = 100,
                              .round_max_ns = 200,
                              .mem_entries = 64,
                              .mem_bytes = 4096,
                              .uncommitted_bytes = 4096,
                              .batch_bytes = 512,
                              .inflight_bytes = 1024,
                              .inflight_messages = 4,
                              .catch_up_rounds = 3};
    conf.n = 3;
    for (uint32_t i = 0; i < 3; i++)
        conf.member[i] = (struct raft_member){.id = {i + 1}, .flags = RAFT_VOTER, .priority = 1};
    struct raft_start s = {.image = {.conf = &conf}};
    return raft_create(mem, &cfg, &s, 1);
}

static void fuzz_step(struct raft *r, struct raft_event ev, int64_t now)
{
    ev.now_ns = now;
    raft_step(r, &ev, &fx);
    bool meta = fx.save_meta, store = fx.cut || fx.store_n, install = fx.install;
    uint64_t meta_seq = fx.meta_seq, seq = fx.store_seq;
    struct raft_status s;
    raft_status(r, &s);
    ASSERT(s.commit <= s.last && s.stored <= s.last && s.applied <= s.commit);
    if (install)
        fuzz_step(r, (struct raft_event){.type = RAFT_IMAGE_INSTALLED}, now);
    if (meta)
        fuzz_step(r, (struct raft_event){.type = RAFT_META_STORED, .u.seq = meta_seq}, now);
    if (store && !install)
        fuzz_step(r, (struct raft_event){.type = RAFT_STORED, .u.stored = {seq, s.last}}, now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mem mem;
    fuzz_mem(&mem, 16 << 20);
    struct raft *r = fuzz_open(&mem);
    int64_t now = 1;
    for (struct rbuf in = rbuf_make(data, size); r && rbuf_left(&in) > 3;) {
        uint8_t what = rbuf_u8(&in);
        now += rbuf_u8(&in) * 16;
        size_t n = base_min_u64(rbuf_u8(&in) * 4u, rbuf_left(&in));
        const void *p = rbuf_bytes(&in, n);
        if (what == 0)
            fuzz_step(r, (struct raft_event){.type = RAFT_TIME}, now);
        else if (what == 1 && fx.image_wanted)
            fuzz_step(r,
                      (struct raft_event){.type = RAFT_IMAGE_READY,
                                          .u.image = {fx.image_index, fx.image_term, &m.conf}},
                      now);
        else if (raft_format_get(p, n, &m) == 0)
            fuzz_step(r, (struct raft_event){.type = RAFT_MESSAGE, .u.message = &m.message}, now);
        struct raft_status s;
        raft_status(r, &s);
        fuzz_step(r, (struct raft_event){.type = RAFT_APPLIED, .u.index = s.commit}, now);
    }
    mem_drop(&mem);
    return 0;
}
