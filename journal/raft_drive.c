/* journal/raft_drive.c - the journal of a group of masters: the Raft core on an env. */
#include "journal/journal.h"

struct journal *raft_open(struct env *e, struct mem *m, const struct journal_config *cfg,
                          struct journal_host *host)
{
    (void)e, (void)m, (void)cfg, (void)host;
    return NULL;
}
