/* sim/sim_config.c - two ready-made worlds: a quiet one for tests, a stormy one for searches. */
#include "sim/sim.h"

struct sim_config sim_config_quiet(uint64_t seed)
{
    const int64_t us = 1000, ms = 1000000, sec = 1000000000;
    return (struct sim_config){
        .seed = seed,
        .fault_sites = 1,
        .net = {.latency_min_ns = 50 * us,
                .latency_mean_ns = 100 * us,
                .nic_bytes_per_s = 1250000000,
                .rto_ns = 200 * ms,
                .clog_mean_ns = 2 * sec,
                .user_timeout_ns = 10 * sec,
                .syn_retry_ns = 1 * sec,
                .rma_pieces = 8,
                .rma_late_ppm = 500000,
                .revoke_mean_ns = 100 * us},
        .disk = {.read_min_ns = 20 * us,
                 .read_mean_ns = 80 * us,
                 .write_min_ns = 5 * us,
                 .write_mean_ns = 20 * us,
                 .sync_min_ns = 100 * us,
                 .sync_mean_ns = 400 * us,
                 .bytes_per_s = 1000000000,
                 .stall_mean_ns = 500 * ms,
                 .unlink_commit_ns = 5 * sec,
                 .lose_drop_ppm = 300000,
                 .lose_torn_ppm = 100000,
                 .lose_garbage_ppm = 100000,
                 .lose_name_ppm = 500000},
        .clock = {.wall_base_ns = 1700000000 * sec},
        .node_mem_bytes = 64 << 20,
        .work_ns = 20 * us,
        .stall_mean_ns = 100 * ms,
    };
}

struct sim_config sim_config_stormy(uint64_t seed)
{
    struct sim_config c = sim_config_quiet(seed);
    c.net.pair_extra_max_ns = 1000000;
    c.net.loss_ppm = 2000;
    c.net.reorder_ppm = 10000;
    c.net.reset_ppm = 100;
    c.net.half_open_ppm = 20;
    c.net.clog_ppm = 50;
    c.disk.stall_ppm = 100;
    c.clock.drift_max_ppm = 500;
    c.clock.wall_offset_max_ns = 3000000000;
    c.clock.mono_offset_max_ns = 1000000000000;
    c.fault_on_ppm = 250000;
    c.fault_fire_ppm = 50000;
    c.stall_ppm = 10;
    return c;
}
