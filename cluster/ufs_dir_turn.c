/* cluster/ufs_dir_turn.c - whose turn it is on the threads that may block in an under-store.
 *
 * The threads of env_work() are few and a call into an under-store that hangs keeps its thread, as
 * long as the kernel likes.  So an under-store gets only a share of them, such that when all but
 * one hang that one still has a quarter.  One that is alone has all.
 *
 * INVARIANTS
 *  1. Of an under-store at most `share` operations are on threads; the next ones wait, in order.
 *  2. waiting and busy belong to the loop of its env; the list of all under-stores, which only says
 *     how many there are, to whoever holds the lock. */
#include "cluster/ufs_dir_impl.h"
#include "net/net.h"

static pthread_mutex_t turn_lock = PTHREAD_MUTEX_INITIALIZER;
static struct list turn_all = {&turn_all, &turn_all};

/* with the lock */
static void turn_shares(struct env *e)
{
    unsigned n = 0, threads = net_work_threads();
    list_each(it, &turn_all)
        n += list_entry(it, struct ufs_dir, all)->env == e;
    unsigned rest = threads - (threads / 4 ? threads / 4 : 1), share = UINT32_MAX;
    if (n > 1)
        share = rest >= n ? rest / (n - 1) : 1;
    list_each(it, &turn_all)
        if (list_entry(it, struct ufs_dir, all)->env == e)
            atomic_store(&list_entry(it, struct ufs_dir, all)->share, share);
}

void ufs_dir_turn_join(struct ufs_dir *d)
{
    list_init(&d->waiting);
    pthread_mutex_lock(&turn_lock);
    list_push_back(&turn_all, &d->all);
    turn_shares(d->env);
    pthread_mutex_unlock(&turn_lock);
}

void ufs_dir_turn_leave(struct ufs_dir *d)
{
    pthread_mutex_lock(&turn_lock);
    list_remove(&d->all);
    turn_shares(d->env);
    pthread_mutex_unlock(&turn_lock);
}

static void turn_more(struct ufs_dir *d)
{
    struct list *l;
    while (d->busy < atomic_load(&d->share) && (l = list_pop(&d->waiting))) {
        d->busy++;
        env_work(d->env, list_entry(l, struct env_op, link), d->work);
    }
}

static void turn_done(struct env_op *op)
{
    struct ufs_op *o = container_of(op, struct ufs_op, op);
    struct ufs_dir *d = (void *)(uintptr_t)o->impl[0];
    memcpy(&op->done, &o->impl[2], sizeof op->done);
    d->busy--;
    turn_more(d);
    ufs_dir_put(d);
    op->done(op);
}

void ufs_dir_turn_submit(struct ufs_dir *d, struct ufs_op *o, void (*fn)(struct env_op *op))
{
    static_assert(sizeof o->op.done <= sizeof o->impl[2], "a function's address fits");
    memcpy(&o->impl[2], &o->op.done, sizeof o->op.done);
    o->op.done = turn_done;
    d->work = fn;
    list_push_back(&d->waiting, &o->op.link);
    turn_more(d);
}
