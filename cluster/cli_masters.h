/* cluster/cli_masters.h - masters asked one by one, at their addresses, also those that do not
 * lead. */
#ifndef CLUSTER_CLI_MASTERS_H
#define CLUSTER_CLI_MASTERS_H

#include "cluster/cli_commands.h"
#include "cluster/rpc.h"
#include "cluster/rpc_format.h"
#include "net/net.h"

enum { CLI_MASTERS_MAX = 32 };

struct cli_masters_one {
    char addr[ENV_ADDR_MAX];
    int err;    /* 0, or why there is no answer */
    char *text; /* "\n" and its status, lines "key value\n"; NULL when err */
};

struct cli_masters {
    const struct cli *cli;
    struct net *net;
    struct mem mem;
    struct rpc_host rpc;
    struct cli_masters_one one[CLI_MASTERS_MAX];
    unsigned n;
    bool was_warned; /* that they are of several groups */
};

/* what asking one came to */
enum cli_masters_said {
    CLI_MASTERS_ANSWERS,
    CLI_MASTERS_GONE,   /* its host says that nobody listens there */
    CLI_MASTERS_SILENT, /* the host is down, or cut off, or the process stands still */
    CLI_MASTERS_BARRED, /* it could not be asked: whether it runs is not known */
};

/* knows the masters of the configuration; CLI_OK or an exit code */
int cli_masters_open(struct cli_masters *m, const struct cli *c);
/* knows none yet */
int cli_masters_open_none(struct cli_masters *m, const struct cli *c);
void cli_masters_add(struct cli_masters *m, const char *addr);
enum cli_masters_said cli_masters_said(const struct cli_masters_one *o);
/* One refuses us for good (another secret, no secret, another release), and nobody answered: says
 * so, CLI_CONFIG.  Else CLI_OK. */
int cli_masters_refused(const struct cli_masters *m);
void cli_masters_close(struct cli_masters *m);
/* Asks all of them, and whom they name as members; what they said before is forgotten.  If they are
 * of different groups that is said, once. */
void cli_masters_ask(struct cli_masters *m, int64_t timeout_ns);
/* For a command that talks to whoever leads: are those that are configured of one group?  Says so
 * if not; waits for nobody that is slow to answer. */
void cli_masters_heed(const struct cli *c);
/* the one that says it leads, in the latest era, there in the highest term; NULL: none */
const struct cli_masters_one *cli_masters_leader(const struct cli_masters *m);
/* by address; NULL: not asked */
const struct cli_masters_one *cli_masters_at(const struct cli_masters *m, const char *addr);
/* One call to addr: its error; reply gets at most cap bytes. */
int cli_masters_call(struct cli_masters *m, const char *addr, uint16_t method, const void *body,
                     uint32_t len, int64_t timeout_ns, void *reply, uint32_t cap,
                     uint32_t *ret_len);
/* Has addr write a state image; *ret_index is what it goes up to. */
int cli_masters_image(struct cli_masters *m, const char *addr, int64_t timeout_ns,
                      uint64_t *ret_index);
/* a value of a status; "" / 0 where there is none */
const char *cli_masters_str(const struct cli_masters_one *o, const char *key, char *to, size_t cap);
uint64_t cli_masters_u64(const struct cli_masters_one *o, const char *key);
/* of its n-th member */
uint64_t cli_masters_member(const struct cli_masters_one *o, unsigned n, const char *key);

#endif
