/* net/net_secret.h - the cluster secret: a file with one line, or two while it is being changed. */
#ifndef NET_NET_SECRET_H
#define NET_NET_SECRET_H

#include "core/err.h"

enum { NET_SECRET_MIN = 32, NET_SECRET_MAX = 128 /* characters of one */ };

/* n is 0 (none), 1 or 2; of one, the second is the same again */
struct net_secrets {
    unsigned n;
    uint8_t len[2];
    uint8_t key[2][NET_SECRET_MAX];
};

/* E_CONFIG (E_NOENT, E_ACCES) with a sentence in err, and *ret_s has none */
int net_secret_load(const char *path, struct net_secrets *ret_s, char *err, size_t err_cap);
/* the text of such a file; E_CONFIG with a sentence */
int net_secret_parse(const char *text, size_t n, struct net_secrets *ret_s, char *err,
                     size_t err_cap);
/* makes the file, with a fresh one: E_EXIST if it is there; else as above */
int net_secret_make(const char *path, char *err, size_t err_cap);
/* 16 hex digits that tell secrets apart and give nothing away; i: 0 or 1 */
void net_secret_print(const struct net_secrets *s, unsigned i, char ret_text[17]);
void net_secret_wipe(struct net_secrets *s);

#endif
