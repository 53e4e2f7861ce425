/* cluster/config_zk.h - journal.zk: what must hold there, and the credentials. */
#ifndef CLUSTER_CONFIG_ZK_H
#define CLUSTER_CONFIG_ZK_H

#include "cluster/config.h"
#include "journal/zk_client.h"

enum { CONFIG_ZK_AUTH = ZK_AUTH_BYTES + 1 };

bool config_zk_is(const struct config *c); /* journal.type is zk */
/* 0, or E_CONFIG with a sentence in err */
int config_zk_check(const struct config *c, char *err, size_t cap);
/* Are keys set that mean nothing with this journal.type?  Who sets them meant zk.  Not for commands
 * that are told another type. */
int config_zk_alone(const struct config *c, char *err, size_t cap);
/* "USER:PASSWORD" of journal.zk.auth, read from its file if it names one; "": none.  0, or E_CONFIG
 * with a sentence in err. */
int config_zk_auth(const struct config *c, char to[CONFIG_ZK_AUTH], char *err, size_t cap);

#endif
