/* sim/lab_fault.c - what a fault does to a link or a disk. */
#include "sim/lab_fault.h"
#include "core/prng.h"

/* kept in f->chance: also numbers of a scenario's text */
static const uint64_t FAULT_DRAW = 1ULL << 40;

uint64_t lab_fault_chance(struct lab_fault *f, struct sim *s, uint64_t bound)
{
    uint64_t v = sim_random(s, bound); /* also when it is given: others draw after it */
    if (f->n_chance >= LAB_CHANCES)
        return v;
    if (f->n_chance < f->n_given)
        v = f->chance[f->n_chance] % bound;
    f->chance[f->n_chance++] = v;
    return v;
}

void lab_fault_partition(const struct lab_fault *f, struct sim_node *from, struct sim_node *to)
{
    sim_net_partition(from, to, f->one_way);
}

void lab_fault_clog(const struct lab_fault *f, struct sim_node *from, struct sim_node *to)
{
    sim_net_clog(from, to, f->for_ns);
}

void lab_fault_reset(const struct lab_fault *f, struct sim_node *from, struct sim_node *to)
{
    (void)f;
    sim_net_reset(from, to);
}

void lab_fault_heal(const struct lab_fault *f, struct sim_node *from, struct sim_node *to)
{
    (void)f;
    sim_net_heal(from, to);
}

void lab_fault_slow(const struct lab_fault *f, struct sim_node *from, struct sim_node *to)
{
    static const uint32_t times[] = {20, 100, 500};
    uint32_t by = times[base_mix_u64((uint64_t)f->at_ns) % ARRAY_LEN(times)];
    sim_net_slow(from, to, by);
    if (!f->one_way)
        sim_net_slow(to, from, by);
}

void lab_fault_fast(const struct lab_fault *f, struct sim_node *from, struct sim_node *to)
{
    (void)f;
    sim_net_slow(from, to, 0);
    sim_net_slow(to, from, 0);
}

/* ---- drawn ---- */

void lab_fault_draw(struct lab_fault *f, struct sim *s)
{
    f->n_chance = 0;
    lab_fault_chance(f, s, FAULT_DRAW);
}

static uint64_t fault_mix(const struct lab_fault *f, uint64_t what, uint64_t salt)
{
    return base_mix_u64(base_mix_u64(f->chance[0] ^ salt << 48) + what);
}

/* Masters, workers and clients are halved each, as evenly as can be. */
static bool bridge_side(const struct lab_fault *f, struct sim *s, const struct sim_node *on,
                        const struct sim_node *n)
{
    uint64_t own = fault_mix(f, sim_node_id(n), 1);
    uint32_t before = 0;
    for (uint32_t i = 0; i < sim_node_count(s); i++) {
        const struct sim_node *x = sim_node_at(s, i);
        before += x != on && sim_node_name(x)[0] == sim_node_name(n)[0] &&
                  fault_mix(f, sim_node_id(x), 1) < own;
    }
    return before & 1;
}

void lab_fault_bridge(const struct lab_fault *f, struct sim *s, const struct sim_node *on,
                      void (*fn)(const struct lab_fault *f, struct sim_node *from,
                                 struct sim_node *to))
{
    for (uint32_t i = 0; i < sim_node_count(s); i++) {
        struct sim_node *a = sim_node_at(s, i);
        if (a == on || bridge_side(f, s, on, a))
            continue;
        for (uint32_t k = 0; k < sim_node_count(s); k++)
            if (sim_node_at(s, k) != on && bridge_side(f, s, on, sim_node_at(s, k)))
                fn(f, a, sim_node_at(s, k));
    }
}

enum { SWIZZLE_MACHINES = 12 }; /* of large clusters: so many, about */

int64_t lab_fault_swizzle(const struct lab_fault *f, struct sim *s, const struct sim_node *on,
                          int64_t after_ns)
{
    struct sim_node *some[4 * SWIZZLE_MACHINES];
    uint32_t n = 0;
    int64_t now = sim_now_ns(s), half = f->for_ns / 2 + 1, next = 0;
    for (uint32_t i = 0; i < sim_node_count(s) && n < ARRAY_LEN(some); i++) {
        struct sim_node *x = sim_node_at(s, i);
        if (x == on || fault_mix(f, i, 2) % sim_node_count(s) < SWIZZLE_MACHINES)
            some[n++] = x;
    }
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = f->one_way ? 0 : i + 1; k < n; k++) {
            uint64_t link = (uint64_t)sim_node_id(some[i]) << 32 | sim_node_id(some[k]);
            bool meant = some[i] == on || some[k] == on || fault_mix(f, link, 3) & 1;
            int64_t stop = f->at_ns + (int64_t)(fault_mix(f, link, 4) % (uint64_t)half);
            int64_t until = f->at_ns + half + (int64_t)(fault_mix(f, link, 5) % (uint64_t)half);
            if (i == k || !meant || stop <= after_ns)
                continue;
            if (stop > now) {
                next = !next || stop < next ? stop : next;
                continue;
            }
            sim_net_clog(some[i], some[k], until - now);
            if (!f->one_way)
                sim_net_clog(some[k], some[i], until - now);
        }
    }
    return next;
}

void lab_fault_clock(const struct lab_fault *f, struct sim_node *n, bool begin)
{
    const int64_t most = 5000000000;
    int64_t by = (int64_t)(f->chance[0] % (2 * (uint64_t)most + 1)) - most;
    sim_clock_step_wall(n, begin ? by : -by);
}

/* Every second time as far as it may be: what rests on a bound breaks there. */
void lab_fault_rate(const struct lab_fault *f, struct sim_node *n, uint32_t max_ppm)
{
    int64_t max = max_ppm < 1000000 ? max_ppm : 999999; /* it never stands still */
    uint64_t how = f->chance[0] % 4, some = f->chance[0] / 4 % (2 * (uint64_t)max + 1);
    sim_clock_rate(n, (int32_t)(how == 0 ? -max : how == 1 ? max : (int64_t)some - max));
}

/* ---- disks ---- */

bool lab_fault_errs(const struct sim_disk_config *d)
{
    return d->read_eio_ppm || d->write_eio_ppm || d->misdirect_ppm || d->misdirect_read_ppm;
}

void lab_fault_disk_calm(struct sim_disk_config *d)
{
    d->sync_fail_ppm = d->read_eio_ppm = d->write_eio_ppm = 0;
    d->misdirect_ppm = d->misdirect_read_ppm = 0;
}

/* A start reads some hundred times, and a busy log is written as often in a second: so that most
 * faults bring something, and few bring everything. */
static void fault_errs(struct sim_disk_config *d)
{
    d->read_eio_ppm += 10000;
    d->write_eio_ppm += 2000;
    d->misdirect_ppm += 5000;
    d->misdirect_read_ppm += 40000;
}

void lab_fault_disk(struct sim_node *n, struct sim_disk_config d, struct lab_fault_disks f)
{
    if (f.full)
        d.capacity = sim_disk_used(n) + 1;
    if (f.errs)
        fault_errs(&d);
    if (f.spared != LAB_FAULT_SPARES_NOTHING)
        d.read_eio_ppm = d.misdirect_ppm = d.misdirect_read_ppm = 0;
    if (f.spared == LAB_FAULT_SPARES_ALL)
        d.write_eio_ppm = 0;
    if (f.slow) {
        d.write_mean_ns *= 50;
        d.sync_mean_ns *= 50;
        d.stall_ppm = 5000;
    }
    if (f.unsynced)
        d.sync_fail_ppm = 200000;
    sim_disk_set(n, &d);
}
