/* fuse/fuse_inval.h - tells the kernel to forget, on a thread of its own.
 *
 * A notification waits in the kernel for locks that a process may hold while it waits for us to
 * answer its request: sent from the loop it would wait for ever.  So the loop only queues; one
 * thread writes the notifications and posts each acknowledgement back to the loop. */
#ifndef FUSE_FUSE_INVAL_H
#define FUSE_FUSE_INVAL_H

#include <pthread.h>
#include "core/env.h"
#include "core/mem.h"
#include "core/limits.h"

struct fuse_session;

enum fuse_inval_what {
    FUSE_INVAL_ATTR = 1 << 0,  /* attributes of ino; waits for nothing */
    FUSE_INVAL_DATA = 1 << 1,  /* attributes and pages of ino */
    FUSE_INVAL_ENTRY = 1 << 2, /* name below ino */
    FUSE_INVAL_EPOCH = 1 << 3, /* every name is asked for again when it is next used */
};

enum { FUSE_INVAL_MAX = 1024, FUSE_INVAL_INOS = 256 };

/* One piece of work of the thread. */
struct fuse_inval_item {
    struct list link;
    unsigned what;
    uint32_t n_inos; /* ATTR and DATA concern all of inos, ENTRY the first */
    struct ino inos[FUSE_INVAL_INOS];
    uint32_t name_len;
    char name[LIMIT_NAME + 1];
    struct env_op *ack; /* posted when done; ret 0 */
};

struct fuse_inval {
    struct env *env;
    struct mem *mem;
    struct fuse_session *se;
    int fd;
    bool can_expire; /* the kernel can expire a name without detaching what is below it */
    bool no_epoch;   /* set by the thread, for good: the kernel does not know EPOCH, or see point */
    const char *point; /* our mount point: when something is mounted in a directory below it, there
                          are no epochs any more; NULL: it does not matter */
    int mounts;        /* /proc/self/mountinfo, which tells when it changes */
    bool is_started, stop;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct list queue, free;
    struct fuse_inval_item *items;
    uint32_t count;
    uint64_t sent; /* notifications the kernel took */
};

int fuse_inval_init(struct fuse_inval *v, struct env *e, struct mem *m, uint32_t items) MUST_CHECK;
/* se is mounted; its fd stays open until fuse_inval_stop */
int fuse_inval_start(struct fuse_inval *v, struct fuse_session *se, const char *point) MUST_CHECK;
/* An empty item to fill in and push, or NULL when all are queued. */
struct fuse_inval_item *fuse_inval_get(struct fuse_inval *v);
void fuse_inval_push(struct fuse_inval *v, struct fuse_inval_item *item);
/* What is queued is acknowledged unsent; false when the thread is still stuck in the kernel after
 * 2 s: then it, and v, must be left alone until the process ends. */
bool fuse_inval_stop(struct fuse_inval *v);
void fuse_inval_drop(struct fuse_inval *v);

#endif
