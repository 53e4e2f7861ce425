/* journal/zk_address.h - where a ZooKeeper ensemble is: "h1:2181,h2:2181,[::1]:2181/tarn/a".
 *
 * Servers are separated by commas; 2181 is the port where none is said.  What begins with the first
 * '/' is the chroot: all paths of the client are below it.  Pure. */
#ifndef JOURNAL_ZK_ADDRESS_H
#define JOURNAL_ZK_ADDRESS_H

#include "core/env.h"

enum { ZK_SERVERS_MAX = 16, ZK_ROOT_MAX = 256 };

struct zk_address {
    uint32_t n;
    char server[ZK_SERVERS_MAX][ENV_ADDR_MAX]; /* "host:port" */
    char root[ZK_ROOT_MAX];                    /* "/tarn/a"; "" for none */
};

/* 0; or E_CONFIG with a sentence in why that says what is wrong, and where */
int zk_address_parse(const char *text, struct zk_address *ret_a, char *why, size_t why_cap);

#endif
