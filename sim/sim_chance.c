/* sim/sim_chance.c - what chance did, hit by hit: told as it happens, or given instead of drawn.
 *
 *  1. An occasion is one asking of a kind on a link, a machine or a site.  A hit is named by its
 *     time and by how many occasions like it there were before it at that time.
 *  2. What is given changes what happens, not what is drawn: given what was told of a run, that
 *     run is repeated bit by bit, and with one hit less the streams are where they were.
 *  3. One occasion takes one hit at most.  A hit whose occasion did not come waits for the next
 *     one, until sim_chance_expire.
 *  4. Where nothing is told or given an occasion costs a test of a pointer. */
#include "sim/sim_internal.h"

#define SIM_CHANCE_NONE UINT32_MAX

struct sim_chance_given {
    struct sim_chance c;
    uint32_t next; /* of its occasions, by time */
};

struct sim_chance_like { /* occasions that are alike */
    uint64_t key;        /* 0: none */
    int64_t at_ns;       /* the last time that there were any */
    uint32_t asked;      /* at that time */
    uint32_t first;      /* what is given and has not hit */
};

struct sim_chance_state {
    struct sim_chance_like *like; /* open addressing */
    uint32_t n, cap;
    struct sim_chance_given *given;
    uint32_t n_given;
    bool gives;
    void (*fn)(void *ctx, const struct sim_chance *c);
    void *ctx;
};

static struct sim_chance_state *sim_chance_begin(struct sim *s)
{
    if (!s->chance) {
        s->chance = sim_alloc(s, sizeof *s->chance);
        memset(s->chance, 0, sizeof *s->chance);
    }
    return s->chance;
}

void sim_chance_close_world(struct sim *s)
{
    struct sim_chance_state *x = s->chance;
    if (!x)
        return;
    if (x->cap)
        sim_free(s, x->like, x->cap * sizeof *x->like);
    if (x->n_given)
        sim_free(s, x->given, x->n_given * sizeof *x->given);
    sim_free(s, x, sizeof *x);
    s->chance = NULL;
}

static struct sim_chance_like *sim_chance_place(struct sim_chance_state *x, uint64_t key)
{
    uint64_t at = base_mix_u64(key) & (x->cap - 1);
    while (x->like[at].key && x->like[at].key != key)
        at = (at + 1) & (x->cap - 1);
    return &x->like[at];
}

static void sim_chance_grow(struct sim *s, struct sim_chance_state *x)
{
    struct sim_chance_like *was = x->like;
    uint32_t n = x->cap;
    x->cap = n ? 2 * n : 256;
    x->like = sim_alloc(s, x->cap * sizeof *x->like);
    memset(x->like, 0, x->cap * sizeof *x->like);
    for (uint32_t i = 0; i < n; i++)
        if (was[i].key)
            *sim_chance_place(x, was[i].key) = was[i];
    if (n)
        sim_free(s, was, n * sizeof *was);
}

static struct sim_chance_like *sim_chance_find(struct sim *s, enum sim_chance_kind kind,
                                               uint32_t node, uint32_t to, const char *site)
{
    struct sim_chance_state *x = s->chance;
    if (kind == SIM_CHANCE_SECTOR_TORN || kind == SIM_CHANCE_SECTOR_GARBAGE)
        kind = SIM_CHANCE_SECTOR_LOST; /* a sector has one fate */
    uint64_t key = base_mix_u64(base_mix_u64((uint64_t)node << 32 | to) + kind);
    if (site)
        key = base_hash(site, strlen(site), key);
    key += !key;
    if (2 * x->n >= x->cap)
        sim_chance_grow(s, x);
    struct sim_chance_like *l = sim_chance_place(x, key);
    if (!l->key) {
        *l = (struct sim_chance_like){key, -1, 0, SIM_CHANCE_NONE};
        x->n++;
    }
    return l;
}

/* Of what is given for such occasions: the first that skips no more hits; all others have one
 * occasion less to skip. */
static bool sim_chance_take(struct sim *s, struct sim_chance_like *l, struct sim_hit *hit)
{
    struct sim_chance_given *given = s->chance->given;
    bool hits = false;
    for (uint32_t *at = &l->first; *at != SIM_CHANCE_NONE && given[*at].c.at_ns <= s->now_ns;) {
        struct sim_chance *c = &given[*at].c;
        if (c->skip) {
            c->skip--;
        } else if (!hits) {
            hits = true;
            *hit = (struct sim_hit){c->for_ns, c->n, c->kind};
            *at = given[*at].next;
            continue;
        }
        at = &given[*at].next;
    }
    return hits;
}

bool sim_chance_ask(struct sim *s, const struct sim_node *n, const struct sim_node *to,
                    const char *site, bool drawn, struct sim_hit *hit)
{
    struct sim_chance_state *x = s->chance;
    struct sim_chance_like *l =
        sim_chance_find(s, hit->kind, n->id, to ? to->id : UINT32_MAX, site);
    if (l->at_ns != s->now_ns) {
        l->at_ns = s->now_ns;
        l->asked = 0;
    }
    uint32_t before = l->asked++;
    if (x->gives)
        drawn = sim_chance_take(s, l, hit);
    if (!drawn || !x->fn)
        return drawn;
    struct sim_chance c = {s->now_ns, before, hit->kind, hit->for_ns, hit->n, "", "", ""};
    ASSERT(strlen(n->name) < sizeof c.node && (!to || strlen(to->name) < sizeof c.to));
    memcpy(c.node, n->name, strlen(n->name));
    if (to)
        memcpy(c.to, to->name, strlen(to->name));
    ASSERT(!site || strlen(site) < sizeof c.site);
    if (site)
        memcpy(c.site, site, strlen(site));
    x->fn(x->ctx, &c);
    return true;
}

bool sim_chance_driver(struct sim *s, enum sim_chance_kind kind, const struct sim_node *n,
                       bool drawn, uint64_t *ret_n)
{
    struct sim_hit hit = {0, *ret_n, kind};
    bool hits = sim_chance(s, n, NULL, drawn, &hit);
    *ret_n = hit.n;
    return hits;
}

void sim_chance_hook(struct sim *s, void (*fn)(void *ctx, const struct sim_chance *c), void *ctx)
{
    struct sim_chance_state *x = sim_chance_begin(s);
    x->fn = fn;
    x->ctx = ctx;
}

void sim_chance_give(struct sim *s, const struct sim_chance *list, uint32_t n)
{
    struct sim_chance_state *x = sim_chance_begin(s);
    ASSERT(!x->gives);
    x->gives = true;
    x->n_given = n;
    if (n)
        x->given = sim_alloc(s, n * sizeof *x->given);
    for (uint32_t i = n; i-- > 0;) { /* from the end: each becomes the first of its occasions */
        const struct sim_chance *c = &list[i];
        struct sim_node *node = sim_node_find(s, c->node), *to = sim_node_find(s, c->to);
        ASSERT(i + 1 == n || c->at_ns <= list[i + 1].at_ns);
        x->given[i].c = *c;
        if (!node || (c->to[0] && !to))
            continue; /* of a machine that is not there */
        struct sim_chance_like *l = sim_chance_find(s, c->kind, node->id, to ? to->id : UINT32_MAX,
                                                    c->site[0] ? c->site : NULL);
        x->given[i].next = l->first;
        l->first = i;
    }
}

void sim_chance_expire(struct sim *s)
{
    struct sim_chance_state *x = s->chance;
    for (uint32_t i = 0; x && i < x->cap; i++) {
        struct sim_chance_like *l = &x->like[i];
        while (l->key && l->first != SIM_CHANCE_NONE && x->given[l->first].c.at_ns <= s->now_ns)
            l->first = x->given[l->first].next;
    }
}
