/* fuse/fuse_inval.c - see fuse_inval.h.
 *
 * INVARIANTS
 *  1. Items are of a fixed count; they are taken from `free`, queued, and put back by the thread.
 *  2. An item's ack is posted exactly once, after the kernel dropped what it names, or at stop.
 *  3. Nothing is held while the kernel is called.
 *  4. A name is dropped by the epoch of all names where the kernel has one (Linux 6.16): dropping
 *     one name takes its directory's lock, which a process here holds while its own change of that
 *     directory waits for the others' acknowledgements; two mounts that change one directory would
 *     each wait for the other, until a lease ends.  A name asked for again costs a look-up that the
 *     client's cache answers.
 *  5. But a name of an ended epoch takes along what is mounted in its directory (the kernel
 *     detaches it).  So where something is, names expire one by one, which leaves it alone. */
#define FUSE_USE_VERSION 314
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>
#include "fuse/fuse_inval.h"
#include "fuse/fuse_point.h"

enum { INVAL_NOTIFY_INC_EPOCH = 8, INVAL_STOP_S = 2 }; /* FUSE_NOTIFY_INC_EPOCH, since Linux 6.16 */

int fuse_inval_init(struct fuse_inval *v, struct env *e, struct mem *m, uint32_t items)
{
    memset(v, 0, sizeof *v);
    v->env = e;
    v->mem = m;
    v->fd = v->mounts = -1;
    list_init(&v->queue);
    list_init(&v->free);
    pthread_mutex_init(&v->lock, NULL);
    pthread_cond_init(&v->more, NULL);
    v->count = items;
    v->items = mem_zalloc(m, items * sizeof *v->items);
    if (!v->items)
        return E_NOMEM;
    for (uint32_t i = 0; i < items; i++)
        list_push_back(&v->free, &v->items[i].link);
    return 0;
}

/* Every name's lifetime in the kernel ends; each is asked for again when it is next used. */
static bool inval_epoch(struct fuse_inval *v)
{
    struct fuse_out_header h = {.len = sizeof h, .error = INVAL_NOTIFY_INC_EPOCH};
    return write(v->fd, &h, sizeof h) == (ssize_t)sizeof h || errno != EINVAL;
}

/* asked before each epoch; what is mounted is read again only when it has changed */
static bool inval_has_inner(struct fuse_inval *v)
{
    struct pollfd p = {.fd = v->mounts, .events = POLLPRI};
    if (!v->point || (v->mounts >= 0 && poll(&p, 1, 0) == 0))
        return false;
    if (v->mounts < 0) {
        v->mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
        p.fd = v->mounts;
        (void)poll(&p, 1, 0);
    }
    return fuse_point_has_inner(v->point);
}

static void inval_send(struct fuse_inval *v, const struct fuse_inval_item *it)
{
    bool is_epoch = it->what & (FUSE_INVAL_EPOCH | FUSE_INVAL_ENTRY) && !v->no_epoch;
    if (is_epoch && (inval_has_inner(v) || !inval_epoch(v))) {
        __atomic_store_n(&v->no_epoch, true, __ATOMIC_RELEASE);
        is_epoch = false;
    }
    /* ENOENT, the usual failure, says that the kernel does not hold it: what was wanted */
    if (it->what & (FUSE_INVAL_ATTR | FUSE_INVAL_DATA))
        for (uint32_t i = 0; i < it->n_inos; i++)
            fuse_lowlevel_notify_inval_inode(v->se, it->inos[i].v,
                                             it->what & FUSE_INVAL_DATA ? 0 : -1, 0);
    if (it->what & FUSE_INVAL_ENTRY && !is_epoch) {
        if (v->can_expire)
            fuse_lowlevel_notify_expire_entry(v->se, it->inos[0].v, it->name, it->name_len,
                                              FUSE_LL_EXPIRE_ONLY);
        else
            fuse_lowlevel_notify_inval_entry(v->se, it->inos[0].v, it->name, it->name_len);
    }
}

static void *inval_main(void *arg)
{
    struct fuse_inval *v = arg;
    pthread_mutex_lock(&v->lock);
    for (;;) {
        while (!v->stop && list_empty(&v->queue))
            pthread_cond_wait(&v->more, &v->lock);
        struct list *l = list_pop(&v->queue);
        if (!l)
            break;
        struct fuse_inval_item *it = list_entry(l, struct fuse_inval_item, link);
        bool stop = v->stop;
        pthread_mutex_unlock(&v->lock);
        if (!stop)
            inval_send(v, it);
        struct env_op *ack = it->ack;
        pthread_mutex_lock(&v->lock);
        list_push_back(&v->free, &it->link);
        v->sent += !stop;
        if (ack) {
            ack->ret = 0;
            env_post(v->env, ack);
        }
    }
    pthread_mutex_unlock(&v->lock);
    return NULL;
}

int fuse_inval_start(struct fuse_inval *v, struct fuse_session *se, const char *point)
{
    v->se = se;
    v->point = point;
    v->fd = fuse_session_fd(se);
    if (pthread_create(&v->thread, NULL, inval_main, v))
        return E_NOMEM;
    v->is_started = true;
    return 0;
}

struct fuse_inval_item *fuse_inval_get(struct fuse_inval *v)
{
    pthread_mutex_lock(&v->lock);
    struct list *l = list_pop(&v->free);
    pthread_mutex_unlock(&v->lock);
    return l ? list_entry(l, struct fuse_inval_item, link) : NULL;
}

void fuse_inval_push(struct fuse_inval *v, struct fuse_inval_item *item)
{
    pthread_mutex_lock(&v->lock);
    list_push_back(&v->queue, &item->link);
    pthread_cond_signal(&v->more);
    pthread_mutex_unlock(&v->lock);
}

bool fuse_inval_stop(struct fuse_inval *v)
{
    if (!v->is_started)
        return true;
    pthread_mutex_lock(&v->lock);
    v->stop = true;
    pthread_cond_signal(&v->more);
    pthread_mutex_unlock(&v->lock);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += INVAL_STOP_S;
    if (pthread_timedjoin_np(v->thread, NULL, &until)) {
        pthread_detach(v->thread);
        return false;
    }
    v->is_started = false;
    return true;
}

void fuse_inval_drop(struct fuse_inval *v)
{
    mem_free(v->mem, v->items, v->count * sizeof *v->items);
    if (v->mounts >= 0)
        close(v->mounts);
    v->mounts = -1;
    pthread_mutex_destroy(&v->lock);
    pthread_cond_destroy(&v->more);
    v->items = NULL;
}
