/* cluster/cli_dump.h - what the files of `tarn journal dump` share: cli_journal.c prints records,
 * cli_dump_zk.c finds the logs of a shared directory. */
#ifndef CLUSTER_CLI_DUMP_H
#define CLUSTER_CLI_DUMP_H

#include "cluster/cli_dir.h"
#include "cluster/cli_spans.h"

struct cli_journal_dump {
    struct cli_dir d;
    struct cli *cli;
    int64_t from, to;
    bool all, is_raft, looking; /* looking: the first pass */
    uint64_t last;              /* highest place printed or skipped */
    uint64_t bad;               /* stretches that are not intact */
    struct cli_spans spans;
    /* of the log of one epoch on shared storage: its records count from base + 1 up to limit */
    bool is_shared, is_refused; /* refused: nothing was read */
    uint64_t epoch, base, limit;
};

/* for scandir: in byte order, whatever the locale */
struct dirent;
int cli_journal_by_name(const struct dirent **a, const struct dirent **b);
/* every record of the log in that directory of d->d's, "": in itself; 0 or an error */
int cli_journal_walk(struct cli_journal_dump *d, const char *log);
/* one line of an image; leaf: its name below d->d's directory */
void cli_journal_image(struct cli_journal_dump *d, const char *leaf);
void cli_journal_fence(struct cli_journal_dump *d, uint64_t hi, uint64_t lo, uint64_t claimed,
                       uint64_t slots);

/* spec: DIR, zk:DIR or "" */
int cli_dump_zk(struct cli_journal_dump *d, const char *spec);

#endif
