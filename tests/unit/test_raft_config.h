/* tests/unit/test_raft_config.h - the timing that tests of the Raft core start from: that of a LAN.
 */
#ifndef TESTS_UNIT_TEST_RAFT_CONFIG_H
#define TESTS_UNIT_TEST_RAFT_CONFIG_H

#include "journal/raft.h"

#define MS 1000000ll

/* little memory, so that its bounds are met; the caller sets the rest */
static struct raft_config raft_test_config(void)
{
    return (struct raft_config){.heartbeat_ns = 50 * MS,
                                .promise_ns = 150 * MS,
                                .suspect_min_ns = 1000 * MS,
                                .suspect_max_ns = 2000 * MS,
                                .round_min_ns = 100 * MS,
                                .round_max_ns = 200 * MS,
                                .drift_ppm = 1000,
                                .mem_entries = 64,
                                .mem_bytes = 1 << 20,
                                .catch_up_rounds = 10};
}

#endif
