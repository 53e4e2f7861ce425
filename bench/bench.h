/* bench/bench.h - what the benchmarks share: samples, medians, the report, child processes.
 *
 * A number never stands alone: each measured row names a baseline row of the same run, and the
 * report prints the ratio of medians beside machine, kernel, commit and parameters. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum { BENCH_ROUNDS_MAX = 512, BENCH_ROWS_MAX = 320, BENCH_DEPTH_MAX = 512 };

struct bench_row {
    char name[64];
    char unit[16]; /* "op/s", "MB/s", "us", "/rec" for one record */
    int baseline;  /* index of the row it is compared with; -1: none */
    double sample[BENCH_ROUNDS_MAX];
    int n;
};

struct bench {
    const char *title;
    char params[256];
    struct bench_row row[BENCH_ROWS_MAX];
    int n_rows;
    int rounds;       /* --rounds, default 5 */
    double seconds;   /* --seconds of each measurement, default 1 */
    const char *pin;  /* --pin: free (default), one, two */
    int depth;        /* --depth: meta, journal with this many outstanding only; 0: 1, 8, 64, 512 */
    uint64_t files;   /* --files of a large state or tree, default 1M */
    uint64_t tail;    /* --tail of a log; 0: a twentieth of the files */
    const char *only; /* --only: meta's create or stat, journal's systems; NULL: all */
    const char *dir;  /* --dir, where files are made; default: the current directory */
    const char *model, *out; /* --model: of predict; --out: of calibrate */
    bool json;
    char self[512]; /* path of this program, to start others with */
};

/* `tarn bench NAME ...`: argv[0] is NAME; exit code */
int bench_main(int argc, char **argv);
int bench_meta_main(struct bench *b);
int bench_fuse_main(struct bench *b);
int bench_names_main(struct bench *b);
int bench_image_main(struct bench *b);
int bench_journal_main(struct bench *b);
int bench_failover_main(struct bench *b);
int bench_restart_main(struct bench *b);
int bench_connect_main(struct bench *b);
int bench_reads_main(struct bench *b);
int bench_sim_main(struct bench *b);

/* reads and checksums the files in dir whose names begin with prefix, past the page cache; seconds,
 * or -1 */
double bench_image_raw(const char *dir, const char *prefix, double *ret_bytes);

/* bench_fuse_pass.c; false: the kernel does not read by itself here */
bool bench_fuse_pass_warm(const char *path, pid_t mount, void *buf);
bool bench_fuse_pass_find(const char *dir, int64_t bytes, char *path, size_t cap);
bool bench_fuse_pass_round(struct bench *b, const char *local, const char *mounted, void *buf);

/* the row's index; creates it at the first call */
int bench_row(struct bench *b, const char *name, const char *unit, int baseline);
void bench_sample(struct bench *b, int row, double value);
double bench_median(const struct bench_row *r);
/* as many of a hundred samples are no larger */
double bench_quantile(const struct bench_row *r, int of_100);
void bench_report(const struct bench *b);

/* this machine and kernel; the commit of the directory that we are in */
void bench_machine(char *to, size_t cap);
void bench_commit(char *to, size_t cap);
/* says what errno means for `what`; false */
bool bench_fail(const char *what);
/* This port and the next: below those of other tests and of outgoing connections. */
int bench_port(void);
/* writes DIR/tarn.json: a master and a worker below DIR, DIR/under mounted `through`; false: said
 */
bool bench_config(const char *dir, char *ret_path, size_t cap);

int64_t bench_now_ns(void);
/* this process, and what it starts from now on, goes where --pin puts servers or the caller */
void bench_pin(const struct bench *b, bool is_server);
/* starts argv[] (ended by NULL) with "--ready-fd N" appended, waits until it says ready; pid or -1
 */
pid_t bench_spawn(char *const argv[], const char *log);
void bench_end(pid_t pid); /* SIGTERM, later SIGKILL; reaps */
/* one that was started otherwise: ended when we are interrupted; until it is forgotten */
void bench_track(pid_t pid);
void bench_forget(pid_t pid);
/* a fresh directory below b->dir; and its removal with everything in it */
bool bench_temp_dir(const struct bench *b, char *path, size_t cap);
void bench_remove(const char *path);

#endif
