/* sim/sim_shared.h - a directory that several nodes share, and what may be wrong with it.
 *
 *     fs = sim_shared_open(s, "nfs", &cfg);    // a node of its own, whose disk holds the files
 *     e = sim_shared_mount(fs, node);          // an env for the node's processes: the files there,
 *                                              // all else (clock, timers, post, log) the node's
 *
 * The file calls are those of core/env.h; network calls must not be made on it.  Each call goes to
 * the server, takes effect there at one moment, and its answer comes back; while one way between
 * the two nodes is cut (sim_net_partition) or the server is away, it hangs.  A process that stands
 * still does not keep its calls from taking effect; one that dies leaves those under way done, done
 * in part or not done.  Costs, capacity and errors of the disk are the server's: sim_disk_set() of
 * sim_shared_node(); sim_disk_read() and its like look at it, too.
 *
 * Without weaknesses it is linearizable, what was synced is durable, and a crash of the server
 * loses nothing.  Durations of weaknesses are drawn up to what is given, or around it as a mean. */
#ifndef SIM_SIM_SHARED_H
#define SIM_SIM_SHARED_H

#include "sim/sim.h"

struct sim_shared;

/* 0: it has not that weakness */
struct sim_shared_config {
    int64_t way_min_ns, way_mean_ns; /* of a call to the server, and of its answer */
    uint32_t stray_ppm;              /* such calls take longer to get there, and others overtake */
    int64_t stray_mean_ns;           /*   them; they are given up with their process */
    int64_t retry_ns;                /* a client that was not heard asks again after this */

    int64_t stale_names_ns;  /* names are looked up in a view up to so old (a client sees its own
                                changes); what was removed since is E_STALE */
    int64_t stale_sizes_ns;  /* so is a file's size: reads beyond it are short, or of zeros */
    int64_t stale_pages_ns;  /* a page that was read is remembered up to so long */
    bool stale_direct;       /* the two before also where ENV_O_DIRECT was asked */
    uint32_t late_write_ppm; /* such writes land later, also after their process has died; */
    int64_t late_write_mean_ns;
    bool write_back;        /* those of them without ENV_O_DSYNC are answered before they land:
                               the client's next sync, or a call of it that could tell, ends it */
    uint32_t late_name_ppm; /* renames and unlinks likewise; they are not answered before */
    int64_t late_name_mean_ns;
    uint32_t
        create_both_ppm;    /* ENV_O_EXCL succeeds on a file that another client created at most */
    int64_t create_both_ns; /* so long ago */
    bool loses_unsynced;    /* a crash of the server is a power loss of its disk */
};

/* the ways of a LAN, and no weakness */
struct sim_shared_config sim_shared_quiet(void);
/* name: of the server, which becomes a node without a process */
struct sim_shared *sim_shared_open(struct sim *s, const char *name,
                                   const struct sim_shared_config *cfg);
struct sim_node *sim_shared_node(struct sim_shared *fs);
/* the same one for each life of n */
struct env *sim_shared_mount(struct sim_shared *fs, struct sim_node *n);
void sim_shared_set(struct sim_shared *fs, const struct sim_shared_config *cfg);
const struct sim_shared_config *sim_shared_get(const struct sim_shared *fs);
/* the server crashes, and is there again */
void sim_shared_down(struct sim_shared *fs);
void sim_shared_up(struct sim_shared *fs);
/* it answers nothing for so long; or, fails, with E_IO */
void sim_shared_outage(struct sim_shared *fs, int64_t for_ns, bool fails);
/* what n's process (NULL: anybody's) asks of some files waits so long, of about half of them: which
 * ones a hash of name and salt says.  It is given up with the process.  0: no more */
void sim_shared_stick(struct sim_shared *fs, const struct sim_node *n, uint64_t salt,
                      int64_t for_ns);
/* n's process has heard E_IO of it.  Perhaps long after the outage: it may have stood still. */
bool sim_shared_has_failed(const struct sim_shared *fs, const struct sim_node *n);

#endif
