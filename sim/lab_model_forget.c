/* sim/lab_model_forget.c - what no open question can need any more (see sim/lab_model.h).
 *
 * A question that was put at from_ns cannot be answered by a fact whose end was firm by then
 * (lab_model_ask.c).  So such facts go, once every question that is open was put later:
 *
 *  1. A version of an inode, when the next one is firm; a name or an extended attribute, when its
 *     end is.  That a name was absent follows from what is there: since when it was counts only
 *     against what was seen before, which was forgotten with it.
 *  2. An inode, when its death is.  Its number stays known: it must not be given again.
 *  3. The times of a record, when it is firm at the latest. */
#include "sim/lab_model_impl.h"

static bool forget_is_firm(const struct lab_model *m, uint64_t index, int64_t oldest_ns)
{
    return lab_model_firm_ns(m, index) <= oldest_ns;
}

static void forget_entries(struct lab_model *m, struct model_entries *l, bool all,
                           int64_t oldest_ns)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        struct model_entry *e = l->e[i];
        if (all || (e->to != MODEL_NEVER && forget_is_firm(m, e->to, oldest_ns))) {
            mem_free(m->mem, e, sizeof *e);
            continue;
        }
        l->e[left] = e;
        l->hash[left++] = l->hash[i];
    }
    l->n = left;
}

static void forget_versions(const struct lab_model *m, struct model_node *n, int64_t oldest_ns)
{
    uint32_t k = 0;
    while (k + 1 < n->n_v && forget_is_firm(m, n->v[k + 1].from, oldest_ns))
        k++;
    if (k)
        memmove(n->v, n->v + k, (n->n_v - k) * sizeof *n->v);
    n->n_v -= k;
}

static bool forget_is_over(const struct lab_model *m, const struct model_node *n, int64_t oldest_ns)
{
    return lab_model_now(n)->dead && forget_is_firm(m, lab_model_now(n)->from, oldest_ns);
}

static void forget_list(struct lab_model *m, struct model_entries *l)
{
    forget_entries(m, l, true, 0);
    mem_free(m->mem, l->e, l->cap * sizeof *l->e);
    mem_free(m->mem, l->hash, l->cap * sizeof *l->hash);
}

static void forget_node(struct lab_model *m, struct model_node *n)
{
    uint32_t slot = (uint32_t)n->ino.v, generation = (uint32_t)(n->ino.v >> 32);
    m->gone[slot] = generation >= m->gone[slot] ? generation + 1 : m->gone[slot];
    forget_list(m, &n->names);
    forget_list(m, &n->xattrs);
    mem_free(m->mem, n->target, n->target ? n->target_len + 1 : 0);
    mem_free(m->mem, n->v, n->cap_v * sizeof *n->v);
    mem_free(m->mem, n, sizeof *n);
}

void lab_model_forget(struct lab_model *m, int64_t oldest_ns)
{
    for (uint32_t slot = 0; slot < m->n_slots; slot++) {
        struct model_node **at = &m->slots[slot], *n;
        while ((n = *at)) {
            if (forget_is_over(m, n, oldest_ns)) {
                *at = n->next;
                forget_node(m, n);
                continue;
            }
            forget_versions(m, n, oldest_ns);
            forget_entries(m, &n->names, false, oldest_ns);
            forget_entries(m, &n->xattrs, false, oldest_ns);
            at = &n->next;
        }
    }
    while (m->stamps.first < m->applied &&
           lab_model_began_ns(m, m->stamps.first) <= oldest_ns - m->slack_ns)
        lab_ring_forget(&m->stamps, m->stamps.first + 1);
}

bool lab_model_is_over(const struct lab_model *m, struct ino ino, int64_t oldest_ns)
{
    const struct model_node *n = lab_model_find(m, ino);
    return n && forget_is_over(m, n, oldest_ns);
}

void lab_model_each_file(const struct lab_model *m, void (*fn)(void *ctx, uint64_t ufs), void *ctx)
{
    for (uint32_t slot = 0; slot < m->n_slots; slot++)
        for (const struct model_node *n = m->slots[slot]; n; n = n->next)
            for (uint32_t i = 0; i < n->n_ufs; i++)
                fn(ctx, n->ufs[i]);
}
