/* journal/zk_store.h - does the shared storage give what the ZooKeeper journal needs?  As much of
 * it as one host can see by itself, with a file of its own in probe/.
 *
 * What it cannot see: whether another host reads what this one wrote.  Why that is needed, and of
 * which file systems, says docs/zookeeper-journal.md. */
#ifndef JOURNAL_ZK_STORE_H
#define JOURNAL_ZK_STORE_H

#include "core/env.h"
#include "core/mem.h"
#include "journal/log_format.h"

enum { ZK_STORE_TEXT = 256 };

/*  MAKE .. LOOK_GONE, one after the other -> CLOSE* -> REMOVE -> REMOVE_OTHER -> REST; whatever is
 *  not as it should be: -> CLOSE */
enum zk_store_state {
    ZK_STORE_REST,
    ZK_STORE_MAKE, /* a name is made by one only */
    ZK_STORE_MAKE_TWICE,
    ZK_STORE_WRITE,
    ZK_STORE_LOOK, /* another one finds it, as large as it is */
    ZK_STORE_READ, /* and reads what is there, */
    ZK_STORE_WRITE_AGAIN,
    ZK_STORE_READ_AGAIN, /* whatever it read before, */
    ZK_STORE_GROW,
    ZK_STORE_READ_GROWN, /* and wherever it ended before */
    ZK_STORE_SYNC,
    ZK_STORE_MOVE, /* a name that moved is here, and not there */
    ZK_STORE_LOOK_OLD,
    ZK_STORE_LOOK_NEW,
    ZK_STORE_LIST,
    ZK_STORE_REMOVE_NEW,
    ZK_STORE_LOOK_GONE,
    ZK_STORE_CLOSE,
    ZK_STORE_REMOVE,
    ZK_STORE_REMOVE_OTHER,
    ZK_STORE_DONE,
};

struct zk_store {
    char text[ZK_STORE_TEXT]; /* what is not as it should be; what failed */
    /* own */
    struct env *env;
    struct mem *mem;
    struct env_op op, *user;
    enum zk_store_state state;
    struct env_file *file, *other;    /* what writes, what reads */
    struct env_file *renamed, *stray; /* stray: should not be */
    int ret;
    uint64_t tag;
    uint8_t *memory, *block;
    char dir[ENV_NAME_MAX], name[ENV_NAME_MAX], moved[ENV_NAME_MAX];
};

/* dir: with a '/' behind it, or "".  ret: 0; E_NOTSUP: the storage cannot be used, text says why;
 * E_NOMEM; E_NOSPC, E_IO, ...: it could not be found out, text says what failed */
void zk_store_check(struct zk_store *s, struct env *shared, struct mem *m, const char *dir,
                    struct env_op *op);
static inline bool zk_store_at_rest(const struct zk_store *s)
{
    return s->state == ZK_STORE_REST;
}

#endif
