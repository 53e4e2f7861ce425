/* sim/lab_link.h - links and network cards of their own, in a scenario: what is not as net.* says.
 *
 *     "links": [{"from": "m1", "to": "c*", "latency_min": "35ms", "latency_mean": "40ms",
 *                "loss_ppm": 100, "one_way": true}],
 *     "nics": [{"node": "w*", "bytes_per_s": 12500000}]
 *
 * Machines by name, by role (m*, w*, c*), or all of them (*).  A link is in both directions unless
 * one_way says otherwise; what it does not say is as net.* says.
 *
 *  1. Of a pair of machines the last link that means it counts, whole; one of which nothing counts
 * is an error.  (Fields of several are not put together: a least latency of one and a mean of
 *     another may contradict each other, and nobody would have written them together.) */
#ifndef SIM_LAB_LINK_H
#define SIM_LAB_LINK_H

#include <stdio.h>
#include "sim/sim.h"

enum { LAB_LINKS_MAX = 256, LAB_NICS_MAX = 64 };

struct lab_link {
    char from[16], to[16];
    int64_t min_ns, mean_ns, loss_ppm; /* < 0: as net.* says */
    bool one_way;
};

struct lab_nic {
    char node[16];
    uint64_t bytes_per_s; /* 0: no limit */
};

struct lab_links {
    struct lab_link link[LAB_LINKS_MAX];
    struct lab_nic nic[LAB_NICS_MAX];
    uint32_t n, n_nics;
};

struct cJSON;
struct lab_scenario;

/* the whole list, of that name: "links" or "nics"; 0, or E_CONFIG, a text, and what it is about
 * (may stay as it was) */
int lab_link_parse(struct lab_links *l, const char *name, const struct cJSON *list, char *ret_why,
                   size_t cap, const struct cJSON **ret_bad);
/* machines are there, latencies fit net.*, and each counts somewhere; E_CONFIG */
int lab_link_check(const struct lab_scenario *s, char *ret_why, size_t cap);
/* without those of machines that are not there */
void lab_link_cut_strangers(struct lab_scenario *s);
/* both lists as members of a JSON object, with a comma before each; nothing if they are empty */
void lab_link_write(const struct lab_links *l, FILE *to);
/* all machines are there; is_healed: they lose nothing */
void lab_link_begin(const struct lab_scenario *s, struct sim *sim, bool is_healed);

#endif
