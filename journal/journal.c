/* journal/journal.c - what all variants share: the defaults. */
#include "journal/journal.h"

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
                                            .keep_entries = 100000}};
}
