/* fuse/fuse_ops_inval.c - what the cluster tells us to forget, passed on to the kernel.
 *
 * INVARIANTS
 *  1. An invalidation is acknowledged after the kernel has forgotten, or at once when the kernel
 *     cannot have it: the inode is not known, or the name was never given or its lifetime is over.
 *  2. Nothing is unbounded: when all items of the thread are queued, the acknowledgement joins the
 *     next walk over everything known.
 *  3. One walk at a time; it drops every name, then attributes and pages of every known inode,
 *     FUSE_INVAL_INOS at a time, and then acknowledges all that waited for it.
 *
 * Where the kernel cannot drop all names at once (before Linux 6.16), the acknowledgement waits for
 * the last lifetime given instead. */
#include "fuse/fuse_ops.h"

enum { INVAL_RETRY_NS = 5 * 1000 * 1000 };

static void inval_ack(struct fuse_ops *o, struct env_op *op)
{
    op->ret = 0;
    env_post(o->env, op);
}

static void inval_ack_all(struct fuse_ops *o, struct list *l)
{
    struct list *it;
    while ((it = list_pop(l)))
        inval_ack(o, list_entry(it, struct env_op, link));
}

static void inval_walk_begin(struct fuse_ops *o)
{
    list_splice(&o->walk_now, &o->walk_next);
    o->is_walking = true;
    o->walk_state = FUSE_OPS_WALK_NAMES;
    o->walk_cursor = 0;
    inval_ack(o, &o->walk);
}

static void inval_walk(struct fuse_ops *o, struct env_op *ack)
{
    list_push_back(&o->walk_next, &ack->link);
    if (!o->is_walking)
        inval_walk_begin(o);
}

static void inval_walk_end(struct fuse_ops *o)
{
    o->is_walking = false;
    inval_ack_all(o, &o->walk_now);
    if (!list_empty(&o->walk_next))
        inval_walk_begin(o);
}

/* NAMES -> INODES -> INODES ... -> EXPIRY -> end; each step is made when the one before is done */
static void inval_walk_step(struct fuse_ops *o)
{
    int64_t now = env_now_ns(o->env);
    struct fuse_inval_item *it = NULL;
    if (list_empty(&o->walk_now))
        return; /* stopped meanwhile */
    if (o->walk_state == FUSE_OPS_WALK_EXPIRY) {
        bool no_epoch = __atomic_load_n(&o->inval.no_epoch, __ATOMIC_ACQUIRE);
        if (no_epoch && o->walk_until_ns > now)
            env_timer_set(o->env, &o->walk_timer, o->walk_until_ns);
        else
            inval_walk_end(o);
        return;
    }
    it = fuse_inval_get(&o->inval);
    if (!it) {
        env_timer_set(o->env, &o->walk_timer, now + INVAL_RETRY_NS);
        return;
    }
    it->ack = &o->walk;
    it->n_inos = 0;
    if (o->walk_state == FUSE_OPS_WALK_NAMES) {
        o->walk_until_ns = o->nodes.entries_until_ns;
        it->what = FUSE_INVAL_EPOCH;
        o->walk_state = FUSE_OPS_WALK_INODES;
    } else {
        it->what = FUSE_INVAL_DATA;
        it->n_inos =
            (uint32_t)fuse_node_walk(&o->nodes, &o->walk_cursor, it->inos, FUSE_INVAL_INOS);
        if (!o->walk_cursor)
            o->walk_state = FUSE_OPS_WALK_EXPIRY;
    }
    fuse_inval_push(&o->inval, it);
}

static void inval_walk_posted(struct env_op *op)
{
    inval_walk_step(container_of(op, struct fuse_ops, walk));
}

static void inval_walk_fired(struct env_op *op)
{
    inval_walk_step(container_of(op, struct fuse_ops, walk_timer.op));
}

/* What the kernel may have of it; 0: nothing. */
static unsigned inval_what(struct fuse_ops *o, const struct rpc_inval *i, struct fuse_node *n)
{
    int64_t now = env_now_ns(o->env);
    if (!n)
        return 0;
    switch (i->kind) {
    case RPC_INVAL_ENTRY:
        if (i->name_len <= LIMIT_NAME &&
            fuse_node_name_until(&o->nodes, i->ino, i->name, i->name_len) > now)
            return FUSE_INVAL_ATTR | FUSE_INVAL_ENTRY;
        return FUSE_INVAL_ATTR;
    case RPC_INVAL_ATTR:
        return FUSE_INVAL_ATTR;
    case RPC_INVAL_DATA:
        if (!n->has_pages)
            return FUSE_INVAL_ATTR;
        n->has_pages = n->cached > 0;
        return FUSE_INVAL_DATA;
    default: /* RPC_INVAL_DIR, and what a newer master may send */
        return n->entries_until_ns > now ? FUSE_INVAL_ATTR | FUSE_INVAL_EPOCH : FUSE_INVAL_ATTR;
    }
}

static void inval_on_invalidate(struct client_host *h, const struct rpc_inval *i,
                                struct env_op *ack)
{
    struct fuse_ops *o = container_of(h, struct fuse_ops, host);
    o->inval_gen++;
    o->stats.invals++;
    if (!o->inval.is_started) {
        inval_ack(o, ack); /* not mounted yet: the kernel has nothing */
        return;
    }
    if (!i->ino.v) {
        inval_walk(o, ack);
        return;
    }
    unsigned what = inval_what(o, i, fuse_node_find(&o->nodes, i->ino));
    if (!what) {
        o->stats.invals_skipped++;
        inval_ack(o, ack);
        return;
    }
    bool no_epoch = __atomic_load_n(&o->inval.no_epoch, __ATOMIC_ACQUIRE);
    struct fuse_inval_item *it =
        what & FUSE_INVAL_EPOCH && no_epoch ? NULL : fuse_inval_get(&o->inval);
    if (!it) {
        inval_walk(o, ack);
        return;
    }
    it->what = what;
    it->n_inos = 1;
    it->inos[0] = i->ino;
    const struct fuse_node *n = fuse_node_find(&o->nodes, i->ino);
    if (n && n->alias)
        it->n_inos = (uint32_t)fuse_node_ids(n, it->inos, FUSE_INVAL_INOS);
    it->name_len = 0;
    if (what & FUSE_INVAL_ENTRY) {
        it->name_len = i->name_len;
        memcpy(it->name, i->name, i->name_len);
        it->name[i->name_len] = '\0';
    }
    it->ack = ack;
    fuse_inval_push(&o->inval, it);
}

void fuse_ops_inval_own(struct fuse_ops *o, struct fuse_node *n, struct env_op *done)
{
    struct fuse_inval_item *it = NULL;
    if (n->attr_until_ns <= env_now_ns(o->env) || !o->inval.is_started) {
        done->done(done);
        return;
    }
    n->attr_until_ns = 0;
    it = fuse_inval_get(&o->inval);
    if (!it) {
        inval_walk(o, done);
        return;
    }
    it->what = FUSE_INVAL_ATTR;
    it->n_inos = 1;
    it->inos[0] = n->ino;
    it->ack = done;
    fuse_inval_push(&o->inval, it);
}

void fuse_ops_inval_init(struct fuse_ops *o)
{
    list_init(&o->walk_now);
    list_init(&o->walk_next);
    o->walk.done = inval_walk_posted;
    o->walk_timer.op.done = inval_walk_fired;
    o->host.on_invalidate = inval_on_invalidate;
}

void fuse_ops_inval_stop(struct fuse_ops *o)
{
    env_timer_stop(o->env, &o->walk_timer);
    o->is_walking = true; /* a posted step may still come; nothing new begins */
    inval_ack_all(o, &o->walk_now);
    inval_ack_all(o, &o->walk_next);
}
