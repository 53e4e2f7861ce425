/* journal/journal.c - what all variants share: the defaults. */
#include "journal/journal.h"

struct journal_config journal_config_default(void)
{
    return (struct journal_config){.dir = "",
                                   .segment_bytes = 16 << 20,
                                   .image_after_bytes = 64 << 20,
                                   .batches_in_flight = 4,
                                   .batch_bytes = 256 << 10,
                                   .queue_bytes = 8 << 20};
}
