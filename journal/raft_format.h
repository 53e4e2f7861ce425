/* journal/raft_format.h - what Raft members send each other, and configurations, as bytes (version
 * 1).
 *
 * A message is a fixed head, then its entries (each a term, a type, a length and the bytes), or for
 * RAFT_MSG_IMAGE a configuration.  The bytes of a RAFT_CONF entry are a configuration; those of a
 * RAFT_NOOP none.  Little-endian.  Every get takes any bytes and says 0 or E_PROTO. */
#ifndef JOURNAL_RAFT_FORMAT_H
#define JOURNAL_RAFT_FORMAT_H

#include "core/buf.h"
#include "journal/raft.h"

enum {
    RAFT_FORMAT_HEAD = 82,  /* bytes of a message without entries */
    RAFT_FORMAT_ENTRY = 13, /* of an entry beside its own */
    /* of a configuration, at most */
    RAFT_FORMAT_CONF_MAX = 4 + RAFT_MEMBERS_MAX * (4 + 1 + 1 + 8 + 2 + ENV_ADDR_MAX),
};

void raft_format_conf_put(struct wbuf *w, const struct raft_conf *c);
int raft_format_conf_get(struct rbuf *r, struct raft_conf *ret_conf);

/* The first piece of a member's state image: what of it is Raft's.  get: E_VERSION: it is the image
 * of a single master, which has no such piece. */
enum { RAFT_FORMAT_IMAGE_MAX = 20 + RAFT_FORMAT_CONF_MAX };
void raft_format_image_put(struct wbuf *w, uint64_t index, uint64_t term,
                           const struct raft_conf *c);
int raft_format_image_get(struct rbuf *r, uint64_t *ret_index, uint64_t *ret_term,
                          struct raft_conf *ret_conf);

/* the head; then m->n times raft_format_entry_put, or for RAFT_MSG_IMAGE the configuration */
void raft_format_head_put(struct wbuf *w, const struct raft_message *m);
void raft_format_entry_put(struct wbuf *w, const struct raft_entry *e, const void *bytes);

/* A message that came.  message.entry and message.conf point into this struct, bytes[] into what
 * was decoded. */
struct raft_format_message {
    struct raft_message message;
    struct raft_entry entry[RAFT_BATCH_ENTRIES];
    const void *bytes[RAFT_BATCH_ENTRIES];
    struct raft_conf conf;
};
int raft_format_get(const void *p, size_t n, struct raft_format_message *ret);

#endif
