/* sim/lab_fault.c - what a fault does to a link or a disk. */
#include "sim/lab_fault.h"

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

void lab_fault_disk(struct sim_node *n, struct sim_disk_config d, bool full, bool slow,
                    bool unsynced)
{
    if (full)
        d.capacity = sim_disk_used(n) + 1;
    if (slow) {
        d.write_mean_ns *= 50;
        d.sync_mean_ns *= 50;
        d.stall_ppm = 5000;
    }
    if (unsynced)
        d.sync_fail_ppm = 200000;
    sim_disk_set(n, &d);
}
