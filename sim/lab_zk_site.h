/* sim/lab_zk_site.h - ZooKeeper and the shared storage of a run whose masters have their journal
 * there (journal.zk): an ensemble (sim/lab_zk.h), machines z1, z2, ...; a directory that the
 * masters share (sim/sim_shared.h), machine s1; and what goes wrong with these.  For groups of
 * journals and whole clusters alike.
 *
 *  1. Masters keep nothing on disks of their own.  Errors of the storage are errors of its calls:
 *     the disk of s1 itself damages nothing, unless a weakness says so (shared.*).
 *  2. Which server a fault hits is a draw of the fault. */
#ifndef SIM_LAB_ZK_SITE_H
#define SIM_LAB_ZK_SITE_H

#include "sim/lab_scenario.h"

struct lab_zk_site;

/* s outlives it, and says how things are: also what has changed in it since */
struct lab_zk_site *lab_zk_site_open(struct mem *m, struct sim *sim, const struct lab_scenario *s,
                                     uint64_t seed);
/* the operator's, before any master starts: servers run, the fence of that cluster is made */
int lab_zk_site_begin(struct lab_zk_site *z, uint64_t cluster_hi, uint64_t cluster_lo);
void lab_zk_site_vary(struct lab_zk_site *z, uint64_t seed);
/* what a process on n, member `id` at `addr`, opens its journal with; false: it cannot */
bool lab_zk_site_mount(struct lab_zk_site *z, struct sim_node *n, struct env *e, struct mem *m,
                       uint32_t id, const char *addr, struct journal_config *c);
/* n from all servers; how: 0 both ways, 1 what it sends, 2 what is sent to it */
void lab_zk_site_cut(struct lab_zk_site *z, struct sim_node *n, uint64_t how);
void lab_zk_site_uncut(struct lab_zk_site *z, struct sim_node *n);
/* false: why says what is wrong with the simulated ZooKeeper */
bool lab_zk_site_check(const struct lab_zk_site *z, char *why, size_t cap);
/* may the process on n end so, with what the storage did to it? */
bool lab_zk_site_excuses(const struct lab_zk_site *z, const struct sim_node *n, int why);
/* a fault of lab_scenario_fault_is_zk begins; ret: what its end is to be told */
uint32_t lab_zk_site_fault(struct lab_zk_site *z, struct lab_fault *f);
/* early: it is ended before its time */
void lab_zk_site_fault_end(struct lab_zk_site *z, const struct lab_fault *f, uint32_t which,
                           bool early);
/* what is healed: the disk as the scenario's, without stalls; weaknesses stay */
void lab_zk_site_heal(struct lab_zk_site *z);

#endif
