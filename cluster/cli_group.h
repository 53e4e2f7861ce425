/* cluster/cli_group.h - what commands need to know of a group of masters. */
#ifndef CLUSTER_CLI_GROUP_H
#define CLUSTER_CLI_GROUP_H

#include "cluster/cli_commands.h"
#include "journal/journal.h"
#include "net/net.h"

/* journal.type is raft */
bool cli_group_is(const struct config *g);
/* *jc's part of a group, by the configuration; CLI_OK, or an exit code and a line that says what is
 * missing.  The members are left out: see cli_journal_bootstrap.c. */
int cli_group_journal(const struct cli *c, bool joins, struct journal_config *jc);
/* "0123..." -> two halves; false: not 32 hex digits */
bool cli_group_id(const char *hex, uint64_t *ret_hi, uint64_t *ret_lo);
/* a new cluster's, never zero; false: the kernel gives no random numbers (errno) */
bool cli_group_id_fresh(uint64_t *ret_hi, uint64_t *ret_lo);
void cli_group_id_text(char to[33], uint64_t hi, uint64_t lo);
/* the cluster whose journal lies in net's directory; E_NOENT: none */
int cli_group_on_disk(struct net *net, struct mem *mem, uint64_t *ret_hi, uint64_t *ret_lo);
/* One cluster writes an under-store: the lock below it is ours, or shared by the masters of the
 * cluster hi, lo (0, 0: of a single master).  CLI_OK or an exit code.  It is free when every
 * process that holds it is gone. */
int cli_group_claim(const struct cli *c, uint64_t hi, uint64_t lo);

#endif
