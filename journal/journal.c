/* journal/journal.c - what all variants share: the defaults, and how members are written. */
#include "journal/journal.h"
#include "journal/raft.h"

struct journal_config journal_config_default(void)
{
    return (struct journal_config){.dir = "",
                                   .segment_bytes = 16 << 20,
                                   .image_after_bytes = 64 << 20,
                                   .batches_in_flight = 4,
                                   .batch_bytes = 256 << 10,
                                   .queue_bytes = 8 << 20,
                                   .raft = {.heartbeat_ns = 50 * 1000000LL,
                                            .promise_ns = 150 * 1000000LL,
                                            .suspect_min_ns = 1000 * 1000000LL,
                                            .suspect_max_ns = 2000 * 1000000LL,
                                            .drift_ppm = 500,
                                            .keep_entries = 100000},
                                   .zk = {.dir = "",
                                          .poll_ns = 10 * 1000000LL,
                                          .tell_ns = 2 * 1000000LL,
                                          .outage_ns = 10 * 1000000000LL,
                                          .read_ns = 5 * 1000000000LL,
                                          .begin_ns = 1000 * 1000000LL}};
}

int64_t journal_sure_ns(const struct journal_raft *c)
{
    int64_t bound = raft_bound_ns(c->promise_ns, c->suspect_min_ns);
    return bound - bound / 1000000 * c->drift_ppm - c->promise_ns;
}

int64_t journal_begin_ns(const struct journal_config *c)
{
    return c->zk.id ? c->zk.begin_ns : journal_sure_ns(&c->raft);
}

const char *journal_bar_name(enum journal_bar bar)
{
    static const char *const names[JOURNAL_BARS] = {
        [JOURNAL_BAR_NONE] = "none",          [JOURNAL_BAR_STARTING] = "starting",
        [JOURNAL_BAR_FAILED] = "failed",      [JOURNAL_BAR_SESSION] = "session",
        [JOURNAL_BAR_CLUSTER] = "cluster",    [JOURNAL_BAR_ACCESS] = "access",
        [JOURNAL_BAR_STORAGE] = "storage",    [JOURNAL_BAR_ROOM] = "room",
        [JOURNAL_BAR_DAMAGED] = "damaged",    [JOURNAL_BAR_IMAGE] = "image",
        [JOURNAL_BAR_CANDIDACY] = "candidacy"};
    return names[bar];
}

/* a number up to max that ends before `end`; NULL: none */
static const char *journal_number(const char *p, const char *end, uint32_t max, uint32_t *ret)
{
    uint64_t v = 0;
    const char *from = p;
    for (; p < end && *p >= '0' && *p <= '9' && v <= max; p++)
        v = v * 10 + (uint64_t)(*p - '0');
    *ret = (uint32_t)v;
    return p > from && v <= max ? p : NULL;
}

bool journal_member_parse(const char *text, size_t n, uint32_t *ret_id, char ret_addr[ENV_ADDR_MAX],
                          uint8_t *ret_priority)
{
    const char *end = text + n, *p = journal_number(text, end, UINT32_MAX, ret_id), *addr;
    uint32_t priority = 0;
    if (!p || !*ret_id || p == end || *p++ != '@')
        return false;
    for (addr = p; p < end && *p != '=' && *p != '@' && *p != ','; p++)
        ;
    size_t len = (size_t)(p - addr);
    if (!len || len >= ENV_ADDR_MAX)
        return false;
    memcpy(ret_addr, addr, len);
    ret_addr[len] = 0;
    if (p < end && *p == '=')
        p = journal_number(p + 1, end, UINT8_MAX, &priority);
    *ret_priority = (uint8_t)priority;
    return p == end;
}
