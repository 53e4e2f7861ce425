/* sim/lab_group_rot.c - journals alone: disks of several members are damaged at once, within what a
 * group must recover from or beyond it.
 *
 * The atlas: what was acknowledged is durable on a majority.  While fewer than half of those that
 * vote are damaged at the same time, each acknowledged entry is whole on one of the others at
 * least, and everything comes back (within).  With more damaged at once the only copy may be gone,
 * and nobody can tell: then the group may stop for good, but nobody may lead without what was
 * acknowledged, and no answer may be wrong (beyond).
 *
 *   those that are hit stop -> after `for` bits of what they have written change -> they start
 *
 * Why bits of different places: one flipped bit of the last batch is mended, more of it cannot be
 * told from a write that the crash tore (docs/raft-traps.md). */
#include "sim/lab_fault.h"
#include "sim/lab_group_impl.h"

enum { ROT_FILES = 64 };

static uint32_t rot_voters(const struct lab_group *g)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n_nodes; i++)
        n += g->node[i].id != 0;
    return n;
}

void lab_group_plot_rot(struct group_event *e)
{
    struct lab_group *g = e->g;
    uint32_t n = rot_voters(g), hit = 0, few = (n - 1) / 2;
    uint64_t at = lab_group_chance(e, g->n_nodes);
    uint32_t want = g->s.beyond ? few + 1 + (uint32_t)lab_group_chance(e, n - few)
                                : 1 + (uint32_t)lab_group_chance(e, few ? few : 1);
    e->hit = 0;
    e->did = n > 0 && (g->s.beyond || (few && lab_group_is_calm(g)));
    for (uint32_t i = 0; i < g->n_nodes && hit < want && e->did; i++) {
        struct group_node *x = &g->node[(at + i) % g->n_nodes];
        if (!x->id)
            continue;
        hit++;
        e->hit |= 1U << (x - g->node);
        if (x->down++ == 0 && sim_node_is_up(x->node))
            lab_group_down(x, sim_node_crash);
    }
}

/* one bit of a file, behind its first block */
static void rot_flip(struct group_event *e, struct group_node *n, const char *file, uint64_t used,
                     struct prng *p)
{
    uint64_t from = used > 8192 ? 4096 : 0, at = from + prng_below(p, used - from);
    lab_group_note(e->g, "%s: '%s' rots at %llu of %llu", sim_node_name(n->node), file,
                   (unsigned long long)at, (unsigned long long)used);
    sim_disk_flip(n->node, file, at, (unsigned)prng_below(p, 8));
}

static void rot_disk(struct group_event *e, struct group_node *n)
{
    static char file[ROT_FILES][64];
    uint64_t used[ROT_FILES], u;
    uint32_t k = 0;
    struct prng p;
    prng_seed(&p, lab_group_chance(e, 1ULL << 40), "lab_group_rot", 0);
    for (const char *f = ""; k < ROT_FILES && (f = sim_disk_next(n->node, f));) {
        u = strstr(f, "wal-") ? lab_group_plot_used(n, f) : 0;
        if (!u)
            continue;
        used[k] = u;
        fmt_into(file[k++], sizeof file[0], "%s", f);
    }
    bool last = false;
    for (uint64_t i = k ? 1 + prng_below(&p, 3) : 0; i; i--) {
        uint64_t at = prng_below(&p, k);
        if (at + 1 == k && last)
            continue;
        last |= at + 1 == k;
        rot_flip(e, n, file[at], used[at], &p);
    }
    /* images, the file of the vote and term: only where nobody must start again */
    if (!e->g->s.beyond || prng_below(&p, 2))
        return;
    for (const char *f = ""; (f = sim_disk_next(n->node, f));)
        if (!strstr(f, "wal-") && sim_disk_size(n->node, f) > 0 && prng_below(&p, 2))
            rot_flip(e, n, f, (uint64_t)sim_disk_size(n->node, f), &p);
}

void lab_group_plot_rot_end(struct group_event *e)
{
    struct lab_group *g = e->g;
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        struct group_node *n = &g->node[i];
        if (!(e->hit >> i & 1))
            continue;
        rot_disk(e, n);
        if (g->s.beyond) {
            n->excused_until_ns = INT64_MAX;
            g->is_ruined = true;
        }
        n->down--;
        lab_group_boot(n);
    }
}
