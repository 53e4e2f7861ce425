/* cluster/cli.h - the command line's common ground: options, help, exit codes, progress, sizes.
 *
 * A command is a row in a table: name, operands, options, what it does.  Help, parsing, errors with
 * suggestions and the common options come from that row. */
#ifndef CLUSTER_CLI_H
#define CLUSTER_CLI_H

#include <cjson/cJSON.h>
#include <stdio.h>
#include "cluster/config.h"

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,      /* the operation was refused or failed */
    CLI_USAGE = 2,       /* unknown command, option or operand */
    CLI_UNREACHABLE = 3, /* no master or worker answered in time */
    CLI_CONFIG = 4,      /* the configuration is wrong */
    CLI_DATA = 5,        /* bytes are not what they should be */
};

enum { CLI_OPTIONS_MAX = 24, CLI_SETS_MAX = 64 };

struct cli_option {
    const char *name; /* "recursive": --recursive */
    char letter;      /* 'r': -r; 0: none */
    const char *arg;  /* "N" if it takes a value, else NULL */
    const char *help;
};

struct cli;

/* directories that it uses, which are seen to answer before it begins (cli_touch.h) */
enum cli_touches {
    CLI_TOUCHES_NOTHING,
    CLI_TOUCHES_NAMED, /* operands, --from, --to, --dir; with one of those also as the next */
    CLI_TOUCHES_OWN,   /* and the journal's that the configuration names */
};

struct cli_command {
    const char *group; /* "fs" for `tarn fs ls`; NULL for `tarn status` */
    const char *name;
    const char *operands; /* "PATH..." */
    const char *summary;  /* one line */
    const char *details;  /* for --help; may be NULL */
    int (*run)(struct cli *c);
    int args_min, args_max;
    struct cli_option options[CLI_OPTIONS_MAX];
    bool reads_config; /* itself: a mistake in it does not keep the command from running */
    enum cli_touches touches;
};

struct cli {
    const struct cli_command *command;
    const char *program; /* argv[0] */
    struct config *config;
    const char *config_file;
    int n_args;
    char **args;
    const char *value[CLI_OPTIONS_MAX]; /* of the command's options; "" for a flag that is set */
    bool json, quiet;
};

/* Runs the command that argv names; prints help, errors and suggestions itself. */
int cli_main(const struct cli_command *const *commands, size_t n, int argc, char **argv);

/* the value of option `name` (one of the command's), or def */
const char *cli_value(const struct cli *c, const char *name, const char *def);
bool cli_flag(const struct cli *c, const char *name);
/* a whole number, a size or a duration; on nonsense prints the error and returns false */
bool cli_number(const struct cli *c, const char *name, int64_t def, int64_t min, int64_t max,
                int64_t *ret_n);
bool cli_size(const struct cli *c, const char *name, int64_t def, int64_t *ret_bytes);
bool cli_duration(const struct cli *c, const char *name, int64_t def, int64_t *ret_ns);

/* "tarn fs ls: ..." on stderr; returns code */
int cli_error(const struct cli *c, int code, const char *format, ...) PRINTF_LIKE(3, 4);
const char *cli_error_text(void); /* what it said last */
/* What hangs in the pool (storage that does not answer) is waited for by net_close, and again when
 * the process ends: from here on it ends, with code, after CLI_END_S at the latest. */
enum { CLI_END_S = 5 };
void cli_ending(int code);
/* net_close of a command, so bounded: the code is that of its last error */
struct net;
void cli_net_close(struct net *net);
/* the error of an operation on `what`, and the exit code that fits it */
int cli_fail(const struct cli *c, const char *what, int err);
/* a peer at addr, or we ourselves, will not have this connection, and waiting helps nothing:
 * CLI_CONFIG */
int cli_refused(const struct cli *c, const char *addr, int err);
/* prints and frees; a command under --json that prints no document is answered by
 * {"ok", "status", "error"} */
void cli_print_json(cJSON *j);
/* the same, an item at a time: memory does not grow with the list */
struct cli_json_list {
    uint64_t n;
};
void cli_json_item(struct cli_json_list *l, cJSON *item); /* prints and frees */
void cli_json_end(struct cli_json_list *l);
/* numbers in full, not as a double */
void cli_json_u64(cJSON *j, const char *name, uint64_t v);
void cli_json_i64(cJSON *j, const char *name, int64_t v);
/* JSON text with strings of any bytes, as valid UTF-8 */
void cli_json_write(FILE *out, const char *text);
/* between the two, a line on stderr says what is waited for if it takes longer than 2 s */
void cli_waiting(const struct cli *c, int64_t limit_ns);
void cli_waited(void);
/* standard output is not for a document: it carries a file, or the command goes on for long */
void cli_printed_raw(void);
bool cli_has_printed(void);

/* "12.3 MiB"; to cap 16 */
const char *cli_bytes(char *buf, uint64_t bytes);

/* A bar with rate and ETA on a terminal's stderr; one plain line each 2 s elsewhere. */
struct cli_progress {
    const char *what;
    uint64_t total, done; /* bytes; total 0: unknown */
    uint64_t items;
    int64_t start_ns, last_ns;
    bool tty, quiet;
};
void cli_progress_start(struct cli_progress *p, const struct cli *c, const char *what,
                        uint64_t total);
void cli_progress_add(struct cli_progress *p, uint64_t bytes, uint64_t items);
void cli_progress_end(struct cli_progress *p);
int64_t cli_now_ns(void);

#endif
