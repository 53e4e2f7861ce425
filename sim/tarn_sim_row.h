/* sim/tarn_sim_row.h - what a campaign knows of one run, and the process that runs it.
 *
 * A worker is this program, started anew: it reads jobs from its standard input, runs them one
 * after the other and writes a row for each to its standard output.  Both ends are one binary, so a
 * row is a struct.  What ends the process - a failed assertion, a signal - ends one run and no
 * campaign.
 *
 *  1. A row is a function of (program, scenario, seed) but for wall_ns.
 *  2. A measure that does not exist for this kind of run has no bit in has. */
#ifndef SIM_TARN_SIM_ROW_H
#define SIM_TARN_SIM_ROW_H

#include "sim/lab_mark.h"
#include "sim/tarn_sim.h"

/* X(column, unit, what): unit is "ns", "ppm", "milli" (thousandths), "" for a count, or "kind" for
 * one of the counts that only tables have */
/* clang-format off */
#define ROW_MEASURES(X) \
    X(longest_down_ns, "ns", "the longest time without a success") \
    X(healed_ns, "ns", "from the end of the last fault to the first success; none: no such success") \
    X(up_ppm, "ppm", "windows of 100 ms with a success") \
    X(operations, "", "asked by the clients, until all is in order after the load") \
    X(unanswered, "", "of these: without an answer") \
    X(refused, "", "of these: answered with an error of the file system") \
    X(p50_ns, "ns", "latency of the successes, median") \
    X(p99_ns, "ns", "latency of the successes, 99 %") \
    X(records, "", "of the journal, applied") \
    X(duplicates, "", "of these: repetitions") \
    X(leaderships, "", "times that a master began to lead") \
    X(changes, "", "of the group's members, done") \
    X(images_cut, "", "state images written") \
    X(images_loaded, "", "state images loaded from others") \
    X(exits, "", "processes that gave up") \
    X(repairs, "", "damaged workers that were given an empty directory") \
    X(frames, "", "messages on the network") \
    X(frame_bytes, "", "bytes of these") \
    X(connects, "", "connections") \
    X(disk_writes, "", "writes of all disks") \
    X(disk_syncs, "", "syncs of all disks") \
    X(messages_per_record_milli, "milli", "messages on the network for each record of the journal") \
    X(unknown, "", "checks that were given up: their budget did not do") \
    X(kind_boot, "kind", "lines of --trace: processes that began") \
    X(kind_crash, "kind", "that ended") \
    X(kind_pause, "kind", "that stood still, or went on") \
    X(kind_timer, "kind", "timers that fired") \
    X(kind_op, "kind", "operations that ended, but for those below") \
    X(kind_work, "kind", "work of a pool that ended") \
    X(kind_driver, "kind", "steps of the scenario's own") \
    X(kind_frames, "kind", "writes that arrived, of one frame or more") \
    X(kind_open, "kind", "connections that were made") \
    X(kind_close, "kind", "connections that ended") \
    X(kind_rma, "kind", "pieces of remote memory that landed") \
    X(kind_disk, "kind", "operations of disks") \
    X(kind_sector, "kind", "sectors and names that a power loss decided about") \
    X(kind_fault, "kind", "rare paths that were taken") \
    X(kind_net, "kind", "links that were cut, slowed down and healed")  \
    X(kind_clock, "kind", "clocks that took another rate")
/* clang-format on */

enum row_measure {
#define ROW_ENUM(name, unit, what) ROW_##name,
    ROW_MEASURES(ROW_ENUM)
#undef ROW_ENUM
        ROW_COUNT
};

struct row_measure_text {
    const char *name, *unit, *what;
};

extern const struct row_measure_text tarn_sim_measures[ROW_COUNT];

struct row_job {
    uint64_t seed;
    uint32_t scenario, pass; /* pass 1: the second run of --twice */
};

struct row {
    struct row_job job;
    int32_t status; /* 0 or EXIT_*; what the second run says is only its hash */
    uint32_t n_marks;
    uint64_t hash[2], events;
    int64_t virtual_ns, wall_ns, at_ns; /* at_ns: of the first failure */
    uint64_t has;                       /* a bit for each measure */
    int64_t values[ROW_COUNT];
    char checker[24], what[512], drawn[LAB_DRAWN_MAX];
    struct lab_mark marks[LAB_MARKS_MAX];
};

/* a failure that is planted, to try what a campaign does with it: "KIND@SEED" */
struct row_plant {
    const char *kind;
    uint64_t seed;
};

enum { ROW_SCENARIOS = 64, ROW_PLANTS = 16, ROW_SETS = 64, ROW_SWEEPS = 3 };

struct row_scenario {
    const char *path;
    struct lab_scenario s;
    const char *sweep[ROW_SWEEPS]; /* of --sweep: "key=value" of this one */
    char digest[33]; /* of all that makes a run of it, but for the seed and the program */
    char text[200];  /* for people: its name */
    char *settings;  /* every key and its value, and every timed fault */
    int64_t db_id;   /* in the database */
    uint8_t *state;  /* by seed - from: runs that are done, and ROW_* */
};

struct row_plan { /* what campaign and worker read from the command line */
    struct row_scenario *scenarios;
    uint32_t n_scenarios;
    const char *sets[ROW_SETS];
    unsigned n_sets;
    const char *sweeps[ROW_SWEEPS + 1]; /* "key=value,value,..."; the last is refused */
    unsigned n_sweeps;
    const char *mutant;
    struct row_plant plants[ROW_PLANTS];
    unsigned n_plants;
};

/* runs jobs until its standard input ends */
int tarn_sim_worker(const struct row_plan *p);

#endif
