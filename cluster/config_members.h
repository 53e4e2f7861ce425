/* cluster/config_members.h - journal.members: "1@host:port[=PRIORITY],2@host:port,...". */
#ifndef CLUSTER_CONFIG_MEMBERS_H
#define CLUSTER_CONFIG_MEMBERS_H

#include "cluster/config.h"

struct config_member {
    uint32_t id;
    uint8_t priority;
    char addr[ENV_ADDR_MAX];
};

/* E_CONFIG with a sentence in err: what is wrong, and with which member.  Empty text: none. */
int config_members_parse(const char *text, struct config_member to[JOURNAL_MEMBERS_MAX],
                         uint32_t *ret_n, char *err, size_t cap);
/* Everything that must hold for journal.type, id, members and the times of it; of zk, too. */
int config_members_check(const struct config *c, char *err, size_t cap);
/* "a:1,b:2" of "1@a:1,2@b:2"; what cannot be read is left out */
void config_members_addresses(const char *text, char *to, size_t cap);
bool config_members_is_addr(const char *s); /* host:port */

#endif
