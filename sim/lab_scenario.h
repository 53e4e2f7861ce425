/* sim/lab_scenario.h - a run described: machines, links, disks, load, and what goes wrong when.
 *
 * A scenario is a JSON object (docs/simulator.md lists every key); any key but the faults can be
 * set on the command line as "group.key=value".  Random faults are drawn from the seed before the
 * run and become timed faults like the others, so a run is always one list of them.
 *
 * Times are "250ms", "2s", "3m" or a number of nanoseconds.  An unknown key is an error that names
 * the nearest known one. */
#ifndef SIM_LAB_SCENARIO_H
#define SIM_LAB_SCENARIO_H

#include "cluster/master.h"
#include "cluster/worker.h"
#include "sim/lab_chance.h"
#include "sim/lab_link.h"
#include "sim/lab_load.h"
#include "sim/lab_ufs.h"

enum lab_fault_kind {
    LAB_FAULT_POWER_LOSS,   /* node; starts again after `for` */
    LAB_FAULT_CRASH,        /* likewise, but the machine stays up */
    LAB_FAULT_RESTART,      /* crash and start at once */
    LAB_FAULT_WIPE,         /* crash, its disk is lost, starts again after `for` */
    LAB_FAULT_PAUSE,        /* its process stands still for `for` */
    LAB_FAULT_PARTITION,    /* node from `to` ("*": everybody) for `for` */
    LAB_FAULT_CLOG,         /* what goes from node to `to` waits for `for` */
    LAB_FAULT_RESET,        /* its connections with `to` break */
    LAB_FAULT_BIT_FLIP,     /* in some file of its disk */
    LAB_FAULT_DISK_FULL,    /* nothing new fits on its disk for `for` */
    LAB_FAULT_DISK_SLOW,    /* its disk takes long, and stalls, for `for` */
    LAB_FAULT_SYNC_FAIL,    /* syncs of its disk fail now and then for `for` */
    LAB_FAULT_STALL,        /* its process stops for `for` in the middle of its next turn */
    LAB_FAULT_IMAGE,        /* its journal is told to write a state image */
    LAB_FAULT_MEMBERS,      /* its operator adds, removes or prefers masters, or elects one */
    LAB_FAULT_LOSE,         /* its disk is lost, and it starts as if nothing had happened */
    LAB_FAULT_SIEGE,        /* the leader reaches no other master for `for`, and may stand still */
    LAB_FAULT_USURP,        /* another one gets to lead while the leader may not notice */
    LAB_FAULT_BLACKOUT,     /* most masters lose power at once, for `for` */
    LAB_FAULT_SWIZZLE,      /* some links stop one by one, and go on again in another order */
    LAB_FAULT_BRIDGE,       /* two halves of the machines reach each other through node only */
    LAB_FAULT_LINK_SLOW,    /* what goes between node and `to` takes far longer for `for` */
    LAB_FAULT_CLOCK_STEP,   /* its wall clock is put on or back for `for` */
    LAB_FAULT_CLOCK_RATE,   /* its monotonic clock runs at another rate for `for` */
    LAB_FAULT_ROT,          /* bits of several masters' disks change at once */
    LAB_FAULT_DISK_ERRORS,  /* its disk fails, or reads and writes what is elsewhere, for `for` */
    LAB_FAULT_STORE_CHANGE, /* somebody changes a file of the under-store */
    LAB_FAULT_STORE_OUTAGE, /* every operation on the under-store fails for `for` */
    LAB_FAULT_STORE_FULL,
    /* of ZooKeeper and of the shared storage, where masters have their journal there */
    LAB_FAULT_ZK_CRASH,      /* one server is down for `for` */
    LAB_FAULT_ZK_PAUSE,      /* one server stands still for `for` */
    LAB_FAULT_ZK_AWAY,       /* all of them are down for `for` */
    LAB_FAULT_ZK_CUT,        /* one and the others do not hear of each other for `for` */
    LAB_FAULT_ZK_LAG,        /* one applies what is committed later, for `for` */
    LAB_FAULT_ZK_DEPOSE,     /* who leads them gives up */
    LAB_FAULT_ZK_EXPIRE,     /* they end a master's session */
    LAB_FAULT_SHARED_OUTAGE, /* the storage answers nothing for `for` */
    LAB_FAULT_SHARED_ERRORS, /* every call of it fails for `for` */
    LAB_FAULT_SHARED_FULL,   /* nothing new fits there for `for` */
    LAB_FAULT_SHARED_SLOW,   /* its disk takes long, and stalls, for `for` */
    LAB_FAULT_SHARED_CRASH,  /* it stops, and is there again after `for` */
    LAB_FAULT_SHARED_ROT,    /* a bit of its newest state image changes, if others go on */
    LAB_FAULT_ZK_LOSE,       /* all servers are down for `for`, and lose their disks, or go back */
    LAB_FAULT_ZK_BACK, /* somebody sets the counter of epochs back, again and again, for `for` */
    LAB_FAULT_SHARED_STUCK, /* half of its files do not answer one master, or all, for `for` */
    LAB_FAULT_TOPPLE,       /* who begins to lead within `for` ends a moment later */
    LAB_FAULTS
};

enum { LAB_CHANCES = 24 };

struct lab_fault {
    int64_t at_ns, for_ns;
    enum lab_fault_kind kind;
    char node[32], to[32];
    bool one_way;
    /* what chance made of it, in the order of asking (which file, which bit): recorded as it
     * happens, or given */
    uint64_t chance[LAB_CHANCES];
    uint32_t n_chance, n_given;
};

enum { LAB_FAULTS_MAX = 1024, LAB_ERROR = 600, LAB_DRAWN_MAX = 3000, LAB_PATH = 512 };

/* Masters with their journal on shared storage, elected through ZooKeeper (journal.zk): machines
 * z1, z2, ... and s1. */
struct lab_scenario_zk {
    uint32_t servers;
    int64_t session_ns, tick_ns, poll_ns, outage_ns, read_ns;
    uint32_t lag_ppm, slow_ppm; /* of servers */
};

/* what may be wrong with the shared storage: sim/sim_shared.h */
struct lab_scenario_shared {
    int64_t way_min_ns, way_mean_ns;
    int64_t stale_names_ns, stale_sizes_ns, stale_pages_ns;
    uint32_t stale_direct, late_write_ppm, write_back, late_name_ppm, create_both_ppm;
    uint32_t stray_ppm;
    uint32_t loses_unsynced;
    int64_t late_write_mean_ns, late_name_mean_ns, create_both_ns, stray_mean_ns;
};

/* The masters' journal: see sim/lab_group.h for a run of journals alone. */
struct lab_scenario_journal {
    uint32_t only;    /* journals and a few registers on them; no file system */
    uint32_t raft;    /* 0: each on its own */
    uint32_t zk;      /* with raft 0: one log on shared storage; with only, or several masters */
    uint32_t members; /* of the masters: who begins; the others are spare.  0: all */
    uint32_t keys, record_bytes, ballast_bytes;
    uint32_t reads_ppm, standby_ppm; /* of the operations; of the reads: asked of anybody */
    int64_t heartbeat_ns, promise_ns, suspect_min_ns, suspect_max_ns;
    int64_t attempt_ns; /* after which a client asks somebody else */
    uint64_t keep_entries;
    uint32_t drift_ppm;   /* what members believe of their clocks; 0: what is true */
    uint32_t outstanding; /* records that whoever leads keeps outstanding by itself */
    /* what a member spends on a record, and on each of its bytes, that it submits, and that it
     * applies; if turns take time */
    int64_t submit_ns, apply_ns;
    uint32_t submit_byte_ps, apply_byte_ps;
};

struct lab_scenario {
    char name[64], about[256];
    int64_t duration_ns; /* of the load */
    int64_t bound_ns;    /* everything must work so long after the last fault */
    uint32_t masters, workers, clients;
    struct sim_config sim;      /* its seed is set at the run */
    uint32_t together;          /* the masters are on one machine */
    char model[LAB_PATH];       /* file of what was measured of a machine, or "" */
    struct sim_model *measured; /* its tables, of the heap: sim.model */
    char dir[LAB_PATH];         /* of the scenario's file, with its '/'; "" */
    struct lab_ufs_config store;
    uint32_t store_files, store_dirs;
    uint64_t store_file_bytes;
    int64_t check_interval_ns;
    int64_t lease_ns, session_ns;
    uint64_t image_after_bytes, segment_bytes;
    uint64_t page_bytes, capacity_bytes;
    uint32_t readahead_pages;
    uint32_t client_ask_always; /* and what they are told is judged as a history, too */
    uint32_t client_direct;     /* clients may reach the under-store without a worker */
    struct lab_load_config load;
    struct lab_scenario_journal journal;
    struct lab_scenario_zk zk;
    struct lab_scenario_shared shared;
    uint32_t beyond;              /* more disks are damaged than can be recovered */
    uint32_t core;                /* after the storm a bare majority must do alone: lab_core.h */
    uint32_t swarm;               /* the seed draws some of the keys, too; 2: of files, too */
    uint64_t fixed[4];            /* keys that were set on the command line, by their number */
    char drawn[LAB_DRAWN_MAX];    /* what the seed drew: "key=value ..." */
    uint32_t random_leader_ppm;   /* of the random faults: they hit whoever leads */
    int64_t every_ns[LAB_FAULTS]; /* mean time between random ones; 0: none */
    int64_t random_for_ns;        /* how long they last, on average */
    int64_t random_from_ns, random_until_ns;
    uint32_t random_masters, random_workers, random_clients; /* may they be hit? */
    struct lab_links links;                                  /* what is not as sim.net says */
    struct lab_fault faults[LAB_FAULTS_MAX];
    uint32_t n_faults;
    char protocol[32];  /* of the program's own (sim/lab_own.h), not a file system */
    uint64_t seed;      /* unless the command line has one; 0: none */
    char mutant[32];    /* with that known bug */
    struct lab_ops ops; /* what the clients do, if has_ops; else the seed draws it */
    bool has_ops;
    struct lab_chances chances; /* what chance does to network and disks, if has_chances; else the
                                   rates and the seed say it */
    bool has_chances;
    struct lab_chances *told; /* no part of the text: gets what chance does in a run, or NULL */
    const struct cJSON *bad;  /* the parser's own: what it stumbled over */
};

/* journals alone, or a protocol of one's own: a lab_group */
static inline bool lab_scenario_is_group(const struct lab_scenario *s)
{
    return s->journal.only || *s->protocol;
}

/* By how much two clocks differ in speed, of the faster one's, as masters believe.  Unless the
 * scenario says otherwise a little more than they can, which is 2 d / (1 + d) if each is off by d.
 */
static inline uint32_t lab_scenario_belief_ppm(const struct lab_scenario *s)
{
    uint32_t max = s->sim.clock.drift_max_ppm;
    return s->journal.drift_ppm ? s->journal.drift_ppm : 2 * max + max / 4 + 100;
}

void lab_scenario_default(struct lab_scenario *s);
/* 0, or E_CONFIG with a text that says where and what */
int lab_scenario_parse(struct lab_scenario *s, const char *json, char *ret_why);
int lab_scenario_load(struct lab_scenario *s, const char *path, char *ret_why);
/* "key=value", as on the command line: times need a unit, and of each key X_ppm there is also X, a
 * probability; of a list only [], which empties it; E_CONFIG */
int lab_scenario_set(struct lab_scenario *s, const char *assignment, char *ret_why);
/* draws keys if it is a swarm, then the random faults, and sorts them all */
void lab_scenario_draw(struct lab_scenario *s, uint64_t seed);
/* About as many operations as the load may come to, and not too many: what the checkers remember of
 * them gets its room when a run begins, so that a run that goes on asks for no more memory. */
uint64_t lab_scenario_operations(const struct lab_scenario *s);
/* and in the time for which the checkers remember all of it */
uint64_t lab_scenario_recent(const struct lab_scenario *s);
/* of every master, and of the one that the checkers keep */
struct meta_limits lab_scenario_limits(const struct lab_scenario *s);
const char *lab_scenario_fault_name(enum lab_fault_kind k);
/* it hits ZooKeeper or the shared storage, and no master; chance says which of them */
static inline bool lab_scenario_fault_is_zk(enum lab_fault_kind k)
{
    return k >= LAB_FAULT_ZK_CRASH && k < LAB_FAULTS;
}
/* it is between its node and `to` */
bool lab_scenario_fault_is_link(enum lab_fault_kind k);
/* is "to", "chance", ... one of the fields that say something of it? */
bool lab_scenario_fault_has(enum lab_fault_kind k, const char *field);
/* why it can do nothing in this scenario, or NULL; of random ones that is not refused */
const char *lab_scenario_fault_idle(const struct lab_scenario *s, const struct lab_fault *f);
/* does the fault do anything in a run that ends at end_ns?  Those that are listed for a time when
 * the load is over, and idle ones, do not. */
bool lab_scenario_comes_to(const struct lab_scenario *s, const struct lab_fault *f, int64_t end_ns);
/* machines that are named are there, operations are of clients that are, masters promise no longer
 * than they may; E_CONFIG */
int lab_scenario_check(const struct lab_scenario *s, char *ret_why);
/* is there a machine of that name, by name and not by role? */
bool lab_scenario_has_machine(const struct lab_scenario *s, const char *name);
/* as JSON that says everything: what the seed drew, too, if it was drawn; lab_scenario_parse gives
 * the same */
void lab_scenario_write(const struct lab_scenario *s, FILE *to);
/* what it holds of the heap */
void lab_scenario_drop(struct lab_scenario *s);
/* for other tools: the i-th key's name, what it is, and its value there */
const char *lab_scenario_key_name(uint32_t i); /* NULL: there are no more */
uint64_t lab_scenario_get(const struct lab_scenario *s, uint32_t i);
bool lab_scenario_key_is_time(uint32_t i);
/* the parser's own: puts before the text in why at which line and key of json it is */
void lab_scenario_where(const struct cJSON *root, const struct cJSON *bad, const char *json,
                        char *why);
/* the parser's own: the list of timed faults; 0 or E_CONFIG, and bad is set where it is known */
int lab_scenario_faults(struct lab_scenario *s, const struct cJSON *list, char *ret_why);
/* the parser's own: a value as it is written, for a message; ret: its length */
size_t lab_scenario_value(const struct cJSON *j, char *to, size_t cap);
/* the parser's own: a key that stands twice in one object, or NULL */
const struct cJSON *lab_scenario_twice(const struct cJSON *root);
/* the parser's own: a file of less than most bytes as text, for free(); E_NOENT: it does not open,
 * E_IO: it cannot be read, or is too large */
int lab_scenario_text(const char *path, size_t most, char **ret_text);
struct lab_scenario_range {
    uint64_t min, max; /* max INT64_MAX: none */
    bool is_power;     /* of two */
};
struct lab_scenario_range lab_scenario_key_range(uint32_t i);
/* within the key's limits; false: it is not */
bool lab_scenario_put(struct lab_scenario *s, uint32_t i, uint64_t v);
/* digits, with a unit of time if with_unit */
bool lab_scenario_number(const char *text, bool with_unit, uint64_t *ret_v);
/* every key with its value, for --help and docs: the i-th as "key  value"; false at the end */
bool lab_scenario_key(const struct lab_scenario *s, uint32_t i, char *ret_line, size_t cap);

#endif
