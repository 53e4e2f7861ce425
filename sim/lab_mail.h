/* sim/lab_mail.h - messages between the processes of a protocol (sim/lab_own.h), over the
 * connections of their envs.
 *
 *  1. A message comes once or never: it is lost when there is no connection just now, or when that
 *     breaks.  Nobody is told: who needs an answer asks again.
 *  2. Two messages from one process to another come in their order while one connection lives.
 *  3. Machines have numbers: servers from 0 on, then clients.  Everybody listens, connects to
 *     everybody, and connects again when a connection breaks. */
#ifndef SIM_LAB_MAIL_H
#define SIM_LAB_MAIL_H

#include "sim/lab_own.h"

enum { LAB_MAIL_MAX = 64 * 1024 }; /* bytes of a message */

struct lab_mail {
    struct env *env;
    struct mem *mem;
    uint32_t me, servers;
    void (*on_message)(struct lab_mail *m, uint32_t from, const void *b, uint32_t len);
    struct env_acceptor door;
    struct env_op listening;
    struct lab_mail_line *lines;
    struct lab_mail_guest *idle;
};

/* Embed it.  b is valid during the call only; from is the number of who sent it. */
void lab_mail_open(struct lab_mail *m, const struct lab_own_place *at,
                   void (*on_message)(struct lab_mail *m, uint32_t from, const void *b,
                                      uint32_t len));
/* false: it is lost already */
bool lab_mail_send(struct lab_mail *m, uint32_t to, const void *b, uint32_t len);

#endif
