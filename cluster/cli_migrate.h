/* cluster/cli_migrate.h - what the files of `tarn journal migrate` share.
 *
 *   cli_migrate.c       the command: what is refused, the order of things, what is said
 *   cli_migrate_spec.c  --from and --to: a configuration, or TYPE:DIR
 *   cli_migrate_read.c  a stopped journal, read to its end into a state; changes nothing
 *   cli_migrate_zk.c    the same of a shared directory, and a fence for a new one
 *   cli_migrate_put.c   a state written as a journal
 *   cli_verify_zk.c, cli_dump_zk.c   `tarn journal verify` and `dump` of a shared directory */
#ifndef CLUSTER_CLI_MIGRATE_H
#define CLUSTER_CLI_MIGRATE_H

#include "cluster/cli_dir.h"
#include "cluster/cli_spans.h"
#include "core/meta.h"
#include "journal/raft.h"
#include "journal/zk_fence.h"

/* BACKUP: a file of `tarn journal backup`, as a source only */
enum cli_migrate_type { CLI_MIGRATE_LOCAL, CLI_MIGRATE_RAFT, CLI_MIGRATE_ZK, CLI_MIGRATE_BACKUP };

#define CLI_MIGRATE_DONE "migrated" /* LOG_META_UNFINISHED is called so when all is there */

/* One side.  dir: a member's each of a group; of zk the shared directory. */
struct cli_migrate_place {
    enum cli_migrate_type type;
    const char *option;    /* "--from", for complaints */
    struct config *config; /* its own, or NULL */
    unsigned n;
    char dir[JOURNAL_MEMBERS_MAX][CLI_DIR_PATH];
    uint32_t id[JOURNAL_MEMBERS_MAX]; /* --to: whose each directory is; of zk whose image it is */
    struct raft_conf conf;            /* --to raft: the group */
    char text[CLI_DIR_PATH + 8];      /* "raft:/var/lib/tarn/master" */
};

/* "" takes the configuration in force.  is_to: what is not there yet is named by it, with --members
 * and --id.  CLI_OK or an exit code that was explained. */
int cli_migrate_place(struct cli_migrate_place *p, struct cli *c, const char *option,
                      const char *spec, bool is_to);
/* What has no type, and is not "", is a shared directory. */
int cli_migrate_place_zk(struct cli_migrate_place *p, struct cli *c, const char *option,
                         const char *spec);
/* "1@a:1,2@b:2", by ascending id, all of them voters; false: err says what is wrong */
bool cli_migrate_conf(const char *text, struct raft_conf *ret_conf, char *err, size_t cap);
/* does it begin with a type? */
bool cli_migrate_is_typed(const char *spec);
void cli_migrate_place_end(struct cli_migrate_place *p);
const char *cli_migrate_type(enum cli_migrate_type t);

/* What a journal holds at its end. */
struct cli_migrate_state {
    struct cli_dir_journal j;
    struct cli *cli;
    struct mem mem;
    struct meta *meta;
    struct meta_limits limits; /* until a record sets others */
    uint64_t index, epoch, era, cluster_hi, cluster_lo;
    uint64_t image_index, replayed; /* from that image on, so many records */
    uint32_t member;                /* of a group: whose log it was */
    char members[JOURNAL_MEMBERS_MAX * (ENV_ADDR_MAX + 16)]; /* as it knows them; "" */
    bool is_loaded, is_bad; /* an image; a record of it is not there */
    /* of a group */
    uint64_t place, next;
    struct cli_spans spans;
    /* of a shared directory; checks_all: whatever is there is looked at, needed or not */
    struct {
        bool checks_all;
        uint64_t first, served, claimed, slots; /* first: record in the logs; the last epochs */
        unsigned logs, images, bad_images;      /* logs: that were read */
    } zk;
};

/* Reads all of it.  d: room for JOURNAL_MEMBERS_MAX, *ret_n are open, and locked, from then on,
 * also after an error.  is_part: less than a majority of a group will do.  is_new: it is a
 * destination that is not finished yet, and this directory of it alone. */
int cli_migrate_read(struct cli_migrate_state *s, struct cli *c, const struct cli_migrate_place *p,
                     bool is_part, struct cli_dir *d, unsigned *ret_n);
int cli_migrate_read_new(struct cli_migrate_state *s, struct cli *c,
                         const struct cli_migrate_place *p, unsigned i, struct cli_dir *d);
void cli_migrate_state_end(struct cli_migrate_state *s);
/* the record that begins the new era in the state; the same on both sides */
void cli_migrate_raise(struct cli_migrate_state *s, uint64_t era);

/* cli_migrate_read.c, for cli_migrate_zk.c */
int cli_migrate_state_begin(struct cli_migrate_state *s, struct cli *c,
                            const struct cli_migrate_place *p);
/* what a journal that is read is given to */
struct journal_host *cli_migrate_host(struct cli_migrate_state *s);
bool cli_migrate_apply(struct cli_migrate_state *s, uint64_t index, const void *rec, uint32_t len);

/* cli_migrate_zk.c.  fence: where that is, "" or a directory with a '/' behind it */
int cli_migrate_zk_read(struct cli_migrate_state *s, struct cli_dir *d, const char *fence);
/* What each epoch that served stands on, the newest first; the caller frees *ret. */
int cli_migrate_zk_chain(struct cli_migrate_state *s, struct cli_dir *d,
                         struct zk_fence_served **ret, unsigned *ret_n);
/* Does a master of it run, as far as ZooKeeper knows (cli_zk_living)?  Asked before anything is
 * read: asking takes its time, and what is acknowledged meanwhile would be missing. */
int cli_migrate_zk_ask(struct cli *c, const struct cli_migrate_place *p);
/* A fence in `where` by which e, the last of its epochs, has served, and that epoch's owner file;
 * its one segment is there. */
int cli_migrate_zk_fence(const struct cli *c, struct cli_dir *d, const char *where, uint64_t hi,
                         uint64_t lo, const struct zk_fence_served *e);

/* cli_migrate_put.c: what stands in LOG_META_UNFINISHED, and the writing */
struct cli_migrate_mark {
    char cluster[33], from[CLI_DIR_PATH + 8], type[8],
        members[JOURNAL_MEMBERS_MAX * (ENV_ADDR_MAX + 16)];
    uint64_t index, epoch, digest, era; /* of the source: index, digest */
    uint32_t id;
};
/* cli_migrate_zk.c: Nobody locks a shared directory against masters on other hosts, and one that
 * leads may do so without ZooKeeper.  Read again: is it as m says (index, epoch, digest)?  made:
 * what has come of it, ""; d is open. */
int cli_migrate_zk_again(struct cli *c, const struct cli_migrate_place *p, struct cli_dir *d,
                         const struct cli_migrate_mark *m, const char *made);
enum cli_migrate_life {
    CLI_MIGRATE_EMPTY, /* or not there */
    CLI_MIGRATE_BEGUN,
    CLI_MIGRATE_WHOLE,
    CLI_MIGRATE_FOREIGN, /* something else is in it */
};
/* *ret_m: of a directory that was begun or is whole */
enum cli_migrate_life cli_migrate_look(const char *dir, struct cli_migrate_mark *ret_m);
int cli_migrate_put(struct cli *c, const struct cli_migrate_place *p, unsigned i,
                    const struct cli_migrate_mark *m, struct cli_migrate_state *s,
                    struct cli_dir *d);
/* The image's file into fd, from where that stands: path is its name for complaints; conf n 0: of
 * no group. */
int cli_migrate_image(const struct cli *c, int fd, const char *path, struct cli_migrate_state *s,
                      const struct raft_conf *conf);
/* it was compared: from now on it counts */
int cli_migrate_finish(struct cli *c, const struct cli_migrate_place *p, unsigned i);

/* cli_verify_zk.c: `tarn journal verify` of a shared directory; spec: DIR, zk:DIR or "" */
int cli_verify_zk(struct cli *c, const char *spec);

/* cli_migrate.c: the command itself; from NULL: as --from says.  A restore has no --dry-run and
 * --verify. */
int cli_migrate_do(struct cli *c, const char *from);

#endif
