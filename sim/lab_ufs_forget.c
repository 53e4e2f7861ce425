/* sim/lab_ufs_forget.c - what nobody asks for any more (see sim/lab_ufs.h).
 *
 *  1. The oldest changes of a file become one, with the bytes that they gave together, once they
 *     take as much as those: what is kept is at most about twice the files, and what is recent.
 *  2. The number of a change does not change. */
#include "sim/lab_ufs_impl.h"

static void forget_bytes(struct lab_ufs *u, const struct lab_ufs_change *c)
{
    if (c->kind == LAB_UFS_WRITE)
        mem_free(u->mem, c->data, c->len ? c->len : 1);
}

/* the first `count` of those that are kept */
static void forget_changes(struct lab_ufs *u, struct lab_ufs_node *n, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        forget_bytes(u, &n->changes[i]);
    n->n_forgot += count;
    memmove(n->changes, n->changes + count, (n->n_changes - n->n_forgot) * sizeof *n->changes);
}

/* change `at` becomes what all up to it have made together */
static void forget_merge(struct lab_ufs *u, struct lab_ufs_node *n, uint32_t at)
{
    struct lab_ufs_change *c = &n->changes[at], whole = *c;
    whole.kind = c->size ? LAB_UFS_WRITE : LAB_UFS_SIZE;
    whole.off = 0;
    whole.len = c->size;
    whole.data = NULL;
    if (c->size) {
        whole.data = lab_ufs_alloc(u, c->size);
        lab_ufs_data_read(n, n->n_forgot + at + 1, 0, whole.data, (uint32_t)c->size);
    }
    forget_bytes(u, c);
    *c = whole;
    forget_changes(u, n, at);
}

static void forget_states(struct lab_ufs *u, struct lab_ufs_node *n, int64_t known_ns)
{
    uint32_t last = 0, seed = 0; /* the first state that is kept is that after change `last` */
    uint64_t cost = 0;
    while (last + 1 < n->n_changes - n->n_forgot && n->changes[last + 1].t_ns <= known_ns) {
        last++;
        cost += n->changes[last].len + sizeof *n->changes;
        if (n->changes[last].kind == LAB_UFS_SEED) { /* nothing is left of what was before */
            seed = last;
            cost = 0;
        }
    }
    if (seed)
        forget_changes(u, n, seed);
    last -= seed;
    if (last && cost >= n->changes[last].size)
        forget_merge(u, n, last);
}

static void forget_node(struct lab_ufs *u, struct lab_ufs_node *n)
{
    for (uint32_t i = 0; i < n->n_changes - n->n_forgot; i++)
        forget_bytes(u, &n->changes[i]);
    mem_free(u->mem, n->changes, n->cap_changes * sizeof *n->changes);
    lab_ufs_text_free(u, n->target);
    u->nodes[n->ino] = NULL;
    mem_free(u->mem, n, sizeof *n);
}

void lab_ufs_keep(struct lab_ufs *u, uint64_t ino)
{
    if (ino < u->n_nodes && u->nodes[ino])
        u->nodes[ino]->is_kept = true;
}

void lab_ufs_forget(struct lab_ufs *u, int64_t known_ns)
{
    int64_t since_ns = lab_ufs_clock(u) - sim_now_ns(u->sim) + known_ns;
    list_each(it, &u->calls) {
        struct lab_ufs_call *c = list_entry(it, struct lab_ufs_call, link);
        if (c->seen)
            c->seen->is_read = true;
    }
    for (uint32_t i = 1; i < u->n_nodes; i++) {
        struct lab_ufs_node *n = u->nodes[i];
        if (!n)
            continue;
        bool is_read = n->is_read, is_kept = n->is_kept || n->nlink || n->first;
        n->is_read = n->is_kept = false;
        if (is_read)
            continue;
        if (!is_kept && n->ctime_ns <= since_ns)
            forget_node(u, n);
        else if (n->n_changes)
            forget_states(u, n, known_ns);
    }
}
