/* sim/sim_net.c - links between nodes: latency, loss, clogs, partitions, and each node's NIC.
 *
 *  1. A link is one direction between two nodes.  Only special ones are stored.
 *  2. A node always reaches itself, in 10 us.
 *  3. A connection hides loss and reordering; here they are delays. */
#include "sim/sim_internal.h"

enum { SIM_NET_LOOPBACK_NS = 10000, SIM_NET_RETRIES = 6 };

void sim_net_open_world(struct sim *s)
{
    s->net.cfg = s->cfg.net;
    list_init(&s->net.conns);
    list_init(&s->net.dirty);
    prng_seed(&s->net.prng, s->cfg.seed, "net", 0);
    prng_seed(&s->net.raw, s->cfg.seed, "raw", 0);
}

void sim_net_close_world(struct sim *s)
{
    ASSERT(list_empty(&s->net.conns));
    sim_free(s, s->net.links, s->net.cap_links * sizeof *s->net.links);
}

/* ---- links ---- */

static uint32_t sim_net_slot(const struct sim_net *net, uint32_t from, uint32_t to)
{
    uint32_t mask = net->cap_links - 1;
    uint32_t i = (uint32_t)base_mix_u64((uint64_t)from << 32 | to) & mask;
    while (net->links[i].used && (net->links[i].from != from || net->links[i].to != to))
        i = (i + 1) & mask;
    return i;
}

struct sim_link *sim_net_special(struct sim *s, const struct sim_node *from,
                                 const struct sim_node *to)
{
    if (!s->net.n_links)
        return NULL;
    struct sim_link *l = &s->net.links[sim_net_slot(&s->net, from->id, to->id)];
    return l->used ? l : NULL;
}

static struct sim_link *sim_net_link_make(struct sim *s, const struct sim_node *from,
                                          const struct sim_node *to)
{
    struct sim_net *net = &s->net;
    if (net->n_links * 2 >= net->cap_links) {
        struct sim_link *old = net->links;
        uint32_t n = net->cap_links;
        net->cap_links = n ? n * 2 : 64;
        net->links = sim_alloc(s, net->cap_links * sizeof *old);
        for (uint32_t i = 0; i < n; i++)
            if (old[i].used)
                net->links[sim_net_slot(net, old[i].from, old[i].to)] = old[i];
        sim_free(s, old, n * sizeof *old);
    }
    struct sim_link *l = &net->links[sim_net_slot(net, from->id, to->id)];
    if (!l->used) {
        *l = (struct sim_link){.from = from->id, .to = to->id, .used = true};
        net->n_links++;
    }
    return l;
}

bool sim_net_blocked(struct sim *s, const struct sim_node *from, const struct sim_node *to)
{
    struct sim_link *l = sim_net_special(s, from, to);
    return l && l->blocked && from != to;
}

bool sim_net_passes(const struct sim_node *a, const struct sim_node *b)
{
    return !sim_net_blocked(a->sim, a, b);
}

int64_t sim_net_clogged_until(struct sim *s, const struct sim_node *from, const struct sim_node *to)
{
    struct sim_link *l = sim_net_special(s, from, to);
    return l ? l->clog_until_ns : 0;
}

int64_t sim_net_latency_ns(struct sim *s, const struct sim_node *from, const struct sim_node *to,
                           uint64_t bytes)
{
    const struct sim_net_config *c = &s->net.cfg;
    if (from == to)
        return SIM_NET_LOOPBACK_NS;
    struct sim_link *l = sim_net_special(s, from, to);
    int64_t slow = l && l->slow ? l->slow : 1;
    if (l && l->own)
        return slow * sim_draw_ns(&s->net.prng, l->min_ns, l->mean_ns);
    const struct sim_grid *way = s->cfg.model ? &s->cfg.model->way : NULL;
    int64_t ns = way && way->n_bytes
                     ? sim_model_draw_ns(way, bytes, 1, &s->net.prng)
                     : sim_draw_ns(&s->net.prng, c->latency_min_ns, c->latency_mean_ns);
    if (c->pair_extra_max_ns > 0) {
        uint64_t lo = base_min_u64(from->id, to->id), hi = base_max_u64(from->id, to->id);
        uint64_t h = base_mix_u64(base_mix_u64(s->cfg.seed ^ 0x70616972) ^ (lo << 32 | hi));
        ns += (int64_t)(h % (uint64_t)(c->pair_extra_max_ns + 1));
    }
    return slow * ns;
}

int64_t sim_net_journey_ns(struct sim *s, struct sim_node *from, struct sim_node *to,
                           uint64_t bytes)
{
    const struct sim_net_config *c = &s->net.cfg;
    int64_t ns = sim_net_latency_ns(s, from, to, bytes), rto_ns = c->rto_ns;
    if (from == to)
        return ns;
    struct sim_link *l = sim_net_special(s, from, to);
    uint32_t loss_ppm = l && l->own ? l->loss_ppm : c->loss_ppm;
    struct sim_hit hit = {.kind = SIM_CHANCE_LOSS};
    while (hit.n < SIM_NET_RETRIES && prng_chance_ppm(&s->net.prng, loss_ppm))
        hit.n++;
    if (sim_chance(s, from, to, hit.n > 0, &hit))
        for (uint64_t i = 0; i < hit.n && i < SIM_NET_RETRIES; i++) {
            s->stats.lost++;
            ns += rto_ns;
            rto_ns *= 2;
        }
    hit = (struct sim_hit){.kind = SIM_CHANCE_LATE};
    bool drawn = prng_chance_ppm(&s->net.prng, c->reorder_ppm);
    if (drawn)
        hit.for_ns = sim_net_latency_ns(s, from, to, bytes);
    if (sim_chance(s, from, to, drawn, &hit)) {
        s->stats.reordered++;
        ns += hit.for_ns;
    }
    hit = (struct sim_hit){.kind = SIM_CHANCE_CLOG};
    drawn = prng_chance_ppm(&s->net.prng, c->clog_ppm);
    if (drawn)
        hit.for_ns = prng_exp(&s->net.prng, c->clog_mean_ns);
    if (sim_chance(s, from, to, drawn, &hit))
        sim_net_clog(from, to, hit.for_ns);
    return ns;
}

static uint64_t sim_net_rate(const struct sim_node *n)
{
    if (n->sim->cfg.model && n->sim->cfg.model->way.n_bytes && !n->own_nic)
        return 0; /* the tables are by size */
    return n->own_nic ? n->nic_bytes_per_s : n->sim->net.cfg.nic_bytes_per_s;
}

int64_t sim_net_tx_ns(struct sim_node *n, uint64_t bytes, int64_t at_ns)
{
    if (n->tx_free_ns < at_ns)
        n->tx_free_ns = at_ns;
    n->tx_free_ns += sim_transfer_ns(bytes, sim_net_rate(n));
    return n->tx_free_ns;
}

/* The bytes streamed in while they were sent, unless another sender's were in the way. */
int64_t sim_net_rx_ns(struct sim_node *n, uint64_t bytes)
{
    n->rx_free_ns += sim_transfer_ns(bytes, sim_net_rate(n));
    if (n->rx_free_ns < n->sim->now_ns)
        n->rx_free_ns = n->sim->now_ns;
    return n->rx_free_ns;
}

/* ---- for drivers ---- */

void sim_net_set(struct sim *s, const struct sim_net_config *net)
{
    s->net.cfg = *net;
}

void sim_net_nic(struct sim_node *n, uint64_t bytes_per_s)
{
    n->own_nic = true;
    n->nic_bytes_per_s = bytes_per_s;
}

void sim_net_secret(struct sim_node *n, uint64_t first, uint64_t second)
{
    n->secret[0] = first;
    n->secret[1] = second;
}

void sim_net_link(struct sim_node *a, struct sim_node *b, int64_t min_ns, int64_t mean_ns,
                  uint32_t loss_ppm)
{
    struct sim_link *l = sim_net_link_make(a->sim, a, b);
    l->own = true;
    l->min_ns = min_ns;
    l->mean_ns = mean_ns;
    l->loss_ppm = loss_ppm;
}

void sim_net_partition(struct sim_node *a, struct sim_node *b, bool one_way)
{
    if (a == b)
        return;
    sim_net_link_make(a->sim, a, b)->blocked = true;
    if (!one_way)
        sim_net_link_make(a->sim, b, a)->blocked = true;
    sim_record(a->sim, a, SIM_K_NET, one_way ? 2 : 1, b->id);
}

void sim_net_partition_sets(struct sim_node *const *a, uint32_t n_a, struct sim_node *const *b,
                            uint32_t n_b, bool one_way)
{
    for (uint32_t i = 0; i < n_a; i++)
        for (uint32_t j = 0; j < n_b; j++)
            sim_net_partition(a[i], b[j], one_way);
}

void sim_net_heal(struct sim_node *a, struct sim_node *b)
{
    struct sim_link *there = sim_net_special(a->sim, a, b), *back = sim_net_special(a->sim, b, a);
    if (there)
        there->blocked = false;
    if (back)
        back->blocked = false;
    sim_record(a->sim, a, SIM_K_NET, 0, b->id);
    sim_conn_heal(a->sim);
}

void sim_net_heal_all(struct sim *s)
{
    for (uint32_t i = 0; i < s->net.cap_links; i++) {
        s->net.links[i].blocked = false;
        s->net.links[i].clog_until_ns = 0;
        s->net.links[i].slow = 0;
    }
    sim_record(s, NULL, SIM_K_NET, 0, UINT32_MAX);
    sim_conn_heal(s);
}

void sim_net_mend(struct sim *s)
{
    sim_conn_end_silent(s);
}

void sim_net_clog(struct sim_node *a, struct sim_node *b, int64_t dur_ns)
{
    struct sim_link *l = sim_net_link_make(a->sim, a, b);
    int64_t until_ns = a->sim->now_ns + dur_ns;
    if (l->clog_until_ns < until_ns)
        l->clog_until_ns = until_ns;
    a->sim->stats.clogs++;
    sim_record(a->sim, a, SIM_K_NET, 3, b->id);
}

void sim_net_slow(struct sim_node *a, struct sim_node *b, uint32_t times)
{
    sim_net_link_make(a->sim, a, b)->slow = times;
    sim_record(a->sim, a, SIM_K_NET, times ? 4 : 5, b->id);
}

static uint32_t sim_net_break(struct sim_node *a, struct sim_node *b, bool silent)
{
    uint32_t n = 0;
    list_each_safe(l, &a->sim->net.conns) {
        struct sim_conn *c = container_of(l, struct sim_conn, link);
        struct sim_node *x = c->end[0].node, *y = c->end[1].node;
        if ((x == a && y == b) || (x == b && y == a))
            n += sim_conn_break(c, silent);
    }
    return n;
}

uint32_t sim_net_reset(struct sim_node *a, struct sim_node *b)
{
    return sim_net_break(a, b, false);
}

uint32_t sim_net_half_open(struct sim_node *a, struct sim_node *b)
{
    return sim_net_break(a, b, true);
}
