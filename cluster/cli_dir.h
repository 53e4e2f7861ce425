/* cluster/cli_dir.h - the directory of a stopped master, for commands that look into it. */
#ifndef CLUSTER_CLI_DIR_H
#define CLUSTER_CLI_DIR_H

#include "cluster/cli.h"
#include "journal/journal.h"
#include "journal/log_format.h"
#include "net/net.h"

enum { CLI_DIR_LINE = 1024, CLI_DIR_PATH = 4096 };

struct cli_dir {
    const struct cli *cli;
    const char *dir;
    struct net *net;
    struct mem mem;
    struct env_op op;
    bool done;
    bool is_opening;              /* what is wrong with it is said once, by us */
    uint32_t complaints;          /* lines of warning or worse */
    char complaint[CLI_DIR_LINE]; /* the last */
    struct log_meta meta;         /* zeros if it cannot be read */
    int meta_err;
};

enum cli_dir_use {
    CLI_DIR_LOOK, /* it may be one that cannot be written to */
    CLI_DIR_CHANGE,
};
/* Locks it, so that a running master is noticed, and reads journal.meta.  CLI_OK or an exit code
 * that was explained.  A directory that is not there is not made.  Nothing is connected to from
 * there: d->net knows no cluster secret. */
int cli_dir_open(struct cli_dir *d, const struct cli *c, const char *dir, enum cli_dir_use use);
/* "BASE-ID" for each directory of a group's member beside `base`, as `tarn up --masters` makes
 * them; how many, at most cap, by their numbers */
unsigned cli_dir_members(const char *base, char (*to)[CLI_DIR_PATH], unsigned cap);
void cli_dir_close(struct cli_dir *d);
/* until *flag; an error: a minute passed without */
int cli_dir_wait(struct cli_dir *d, const bool *flag);

/* A journal there, opened to look or to recover, as cfg says; by journal.meta a single master's or
 * a group member's.  Waits until it has said what it is. */
struct cli_dir_journal {
    struct journal_host host;
    enum journal_role role;
    int why;
    bool decided;
    struct journal_status status;
};
/* j->host.apply NULL: nobody looks at images and records.  0, or E_TIMEOUT: the disk did not answer
 */
int cli_dir_journal(struct cli_dir *d, struct cli_dir_journal *j, const struct journal_config *cfg);

bool cli_dir_has_log(const char *dir); /* segments or images */
/* Is it a shared directory (journal.type zk), which has no member's log?  dir or "zk:dir"; NULL: as
 * the configuration says. */
bool cli_dir_is_zk(const struct cli *c, const char *dir);
/* as cli_dir_open, to look at one */
int cli_dir_open_zk(struct cli_dir *d, const struct cli *c, const char *dir);
/* how far a member's directory came */
enum cli_dir_life {
    CLI_DIR_BLANK, /* nothing of a journal is in it */
    CLI_DIR_BEGUN, /* it was being made: it has no entry yet */
    CLI_DIR_MADE,  /* whole, and nobody has voted or written with it */
    CLI_DIR_USED,
    CLI_DIR_BAD, /* it cannot be read, or is none of a group */
};
/* *j is what cli_dir_journal says, zeros where it was not asked */
enum cli_dir_life cli_dir_life(struct cli_dir *d, struct cli_dir_journal *j);

/* when its era began, as a person reads it: "2026-11-22T12:00:00Z 6921f3a01b2c3d4e"; "0": with the
 * cluster */
enum { CLI_DIR_ERA = 48 };
const char *cli_dir_era(char to[CLI_DIR_ERA], uint64_t era);
void cli_dir_era_json(cJSON *j, uint64_t era);
bool cli_dir_era_parse(const char *hex, uint64_t *ret_era);

/* "1@h:p" with "=PRIORITY" if it has one; returns bytes */
size_t cli_dir_member(char *to, size_t cap, uint32_t id, const char *addr, unsigned priority);
/* all members that st knows, "1@h:p,2@h:p=5", as master.members has them */
void cli_dir_member_list(char *to, size_t cap, const struct journal_status *st);

#endif
