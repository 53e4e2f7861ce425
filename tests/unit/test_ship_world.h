/* tests/unit/test_ship_world.h - simulated masters that write, ship and take state images, without
 * a journal around them.
 *
 * A state is (id, bytes): its image is a stream whose bytes follow from the id.  The host checks
 * every byte that is loaded, and that an image ends where it should. */
#ifndef TESTS_UNIT_TEST_SHIP_WORLD_H
#define TESTS_UNIT_TEST_SHIP_WORLD_H

#include "core/fmt.h"
#include "core/prng.h"
#include "journal/ship.h"
#include "journal/snap.h"
#include "sim/sim.h"
#include "tests/unit/unit.h"

#define SHIP_MS 1000000LL

struct ship_host {
    struct journal_host host;
    struct prng rng;
    uint64_t id, bytes;             /* the state */
    uint64_t out_id, out_bytes, at; /* the image going out */
    uint64_t in_id, in_bytes, in_at;
    bool writing, loading, good;
    uint32_t resets;
    uint64_t most; /* of image_load in one turn of the loop */
    uint64_t in_turn;
    int64_t turn_ns;
    struct env *env;
};

static uint8_t ship_host_byte(uint64_t id, uint64_t at)
{
    if (at < 8)
        return (uint8_t)(id >> at * 8);
    return (uint8_t)((id + at / 8) * 0x9e3779b97f4a7c15ull >> 56 ^ at * 37);
}

static struct ship_host *ship_host_of(struct journal_host *h)
{
    return container_of(h, struct ship_host, host);
}

static void ship_host_begin(struct journal_host *jh)
{
    struct ship_host *h = ship_host_of(jh);
    CU_ASSERT(!h->writing);
    h->writing = true;
    h->out_id = h->id;
    h->out_bytes = h->bytes;
    h->at = 0;
}

static uint32_t ship_host_next(struct journal_host *jh, void *buf, uint32_t cap)
{
    struct ship_host *h = ship_host_of(jh);
    uint64_t n = base_min_u64(h->out_bytes - h->at, cap);
    if (n > 1 && prng_below(&h->rng, 3) == 0)
        n = 1 + prng_below(&h->rng, n);
    for (uint64_t i = 0; i < n; i++)
        ((uint8_t *)buf)[i] = ship_host_byte(h->out_id, h->at + i);
    h->at += n;
    return (uint32_t)n;
}

static void ship_host_end(struct journal_host *jh)
{
    ship_host_of(jh)->writing = false;
}

static void ship_host_reset(struct journal_host *jh)
{
    struct ship_host *h = ship_host_of(jh);
    h->resets++;
    h->id = h->bytes = h->in_at = 0;
    h->good = false;
}

static int ship_host_load(struct journal_host *jh, const void *piece, uint32_t len)
{
    struct ship_host *h = ship_host_of(jh);
    const uint8_t *p = piece;
    CU_ASSERT(!h->good);
    if (h->turn_ns != env_now_ns(h->env)) {
        h->turn_ns = env_now_ns(h->env);
        h->in_turn = 0;
    }
    h->in_turn += len;
    h->most = base_max_u64(h->most, h->in_turn);
    if (len == 0) {
        h->id = h->in_id;
        h->bytes = h->in_at;
        h->good = true;
        return 0;
    }
    for (uint32_t i = 0; i < len; i++, h->in_at++) {
        if (h->in_at < 8)
            h->in_id = (h->in_at ? h->in_id : 0) | (uint64_t)p[i] << h->in_at * 8;
        else if (p[i] != ship_host_byte(h->in_id, h->in_at))
            return E_PROTO;
    }
    return 0;
}

enum { SIDE_LINKS = 8 };

struct side_link {
    struct env_peer peer;
    struct side *side;
    bool used;
};

/* one master */
struct side {
    struct sim *s;
    struct sim_node *n;
    struct env *env;
    struct mem *mem;
    struct ship_host host;
    struct snap *snap;
    bool is_busy; /* with appends */
    struct ship *ship;
    struct side_link links[SIDE_LINKS];
    struct env_acceptor acceptor;
    struct side_link *to; /* the connection to whom it fetches from */
    struct env_op fetch_op;
    bool fetching;
    int64_t fetch_ret;
    uint64_t data_bytes, data_frames, bad_frames; /* that came */
    bool heeds;                                   /* what is said of its images, as a master does */
    uint64_t told;                                /* that one is bad */
    void (*on_data)(struct side *d);
};

static void side_on_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    struct side *d = container_of(p, struct side_link, peer)->side;
    int ret = E_PROTO;
    if (type == JOURNAL_FRAME_IMAGE_GET) {
        ret = ship_on_get(d->ship, p, b, n);
    } else if (type == JOURNAL_FRAME_IMAGE_DATA) {
        d->data_bytes += n - SHIP_FORMAT_DATA;
        d->data_frames++;
        ret = ship_on_data(d->ship, p, b, n);
        if (d->on_data)
            d->on_data(d);
    } else if (type == JOURNAL_FRAME_IMAGE_BAD && d->heeds) {
        d->told++;
        ret = ship_on_bad(d->ship, b, n);
    }
    d->bad_frames += ret != 0;
}

static void side_on_close(struct env_peer *p, int why)
{
    struct side_link *l = container_of(p, struct side_link, peer);
    (void)why;
    ship_lost(l->side->ship, p);
    if (l->side->to == l)
        l->side->to = NULL;
    memset(p, 0xdd, sizeof *p); /* never touched again */
    l->used = false;
}

static struct side_link *side_link(struct side *d)
{
    for (int i = 0; i < SIDE_LINKS; i++)
        if (!d->links[i].used) {
            d->links[i] =
                (struct side_link){.peer = {.on_frame = side_on_frame, .on_close = side_on_close},
                                   .side = d,
                                   .used = true};
            return &d->links[i];
        }
    return NULL;
}

static struct env_peer *side_on_open(struct env_acceptor *a, const char *from)
{
    struct side_link *l = side_link(container_of(a, struct side, acceptor));
    (void)from;
    return l ? &l->peer : NULL;
}

static void side_fetch_done(struct env_op *op)
{
    struct side *d = container_of(op, struct side, fetch_op);
    d->fetching = false;
    d->fetch_ret = op->ret;
}

/* a state image has 8 bytes at least */
static UNUSED void side_state(struct side *d, uint64_t id, uint64_t bytes)
{
    d->host.id = id;
    d->host.bytes = bytes;
}

static bool side_busy(void *ctx)
{
    return ((struct side *)ctx)->is_busy;
}

static void side_bad(void *ctx, uint64_t index)
{
    snap_mark_bad(((struct side *)ctx)->snap, index);
}

static bool side_is_bad(void *ctx, uint64_t index)
{
    struct side *d = ctx;
    return d->heeds && snap_is_bad(d->snap, index);
}

static void side_up(struct side *d)
{
    d->env = sim_node_up(d->n);
    d->mem = sim_mem(d->n);
    d->is_busy = false;
    memset(&d->host, 0, sizeof d->host);
    prng_seed(&d->host.rng, sim_node_incarnation(d->n), sim_node_name(d->n), 0);
    d->host.env = d->env;
    d->host.host = (struct journal_host){.image_begin = ship_host_begin,
                                         .image_next = ship_host_next,
                                         .image_end = ship_host_end,
                                         .image_load = ship_host_load,
                                         .image_reset = ship_host_reset};
    struct snap_config c = {.dir = "j",
                            .reserve_bytes = 4096,
                            .cluster_hi = 7,
                            .cluster_lo = 9,
                            .busy = side_busy,
                            .busy_ctx = d};
    d->snap = snap_create(d->env, d->mem, &c, &d->host.host);
    CU_ASSERT_FATAL(d->snap != NULL);
    struct ship_config sc = {.dir = "j",
                             .cluster_hi = 7,
                             .cluster_lo = 9,
                             .busy = side_busy,
                             .busy_ctx = d,
                             .bad = side_bad,
                             .is_bad = side_is_bad,
                             .bad_ctx = d};
    d->ship = ship_create(d->env, d->mem, &sc);
    CU_ASSERT_FATAL(d->ship != NULL);
    memset(d->links, 0, sizeof d->links);
    d->to = NULL;
    d->fetching = false;
    d->acceptor = (struct env_acceptor){.on_open = side_on_open};
    struct env_op op = {0};
    char addr[ENV_ADDR_MAX];
    snprintf(addr, sizeof addr, "%s:7", sim_node_name(d->n));
    env_listen(d->env, addr, &d->acceptor, &op);
    CU_ASSERT_FATAL(sim_run_op(d->s, &op, 1000 * SHIP_MS) == 0);
}

static UNUSED bool side_connect(struct side *d, const char *holder)
{
    char addr[ENV_ADDR_MAX];
    struct env_op op = {0};
    if (d->to)
        return true;
    struct side_link *l = side_link(d);
    CU_ASSERT_FATAL(l != NULL);
    snprintf(addr, sizeof addr, "%s:7", holder);
    env_connect(d->env, addr, 2000 * SHIP_MS, &l->peer, &op);
    if (sim_run_op(d->s, &op, 5000 * SHIP_MS)) {
        l->used = false;
        return false;
    }
    d->to = l->used ? l : NULL;
    return d->to;
}

/* begins a fetch; side_fetched tells its end */
static UNUSED void side_begin_fetch(struct side *d, uint64_t index, uint64_t term)
{
    CU_ASSERT_FATAL(d->to && !d->fetching);
    d->fetching = true;
    d->fetch_op = (struct env_op){.done = side_fetch_done};
    ship_fetch(d->ship, index, term, &d->to->peer, &d->fetch_op);
}

static UNUSED int64_t side_fetched(struct side *d)
{
    int64_t until = sim_now_ns(d->s) + 600000 * SHIP_MS;
    while (d->fetching && sim_now_ns(d->s) < until && sim_step(d->s))
        ;
    CU_ASSERT_FATAL(!d->fetching);
    return d->fetch_ret;
}

/* as a master does it: connects, and calls again as long as that makes sense */
static UNUSED int64_t side_fetch(struct side *d, const char *holder, uint64_t index, uint64_t term)
{
    int64_t ret = E_CLOSED;
    for (int i = 0; i < 200 && (ret == E_CLOSED || ret == E_TIMEOUT || ret == E_AGAIN); i++) {
        if (side_connect(d, holder)) {
            side_begin_fetch(d, index, term);
            ret = side_fetched(d);
        }
        sim_run_until(d->s, sim_now_ns(d->s) + 20 * SHIP_MS);
    }
    return ret;
}

static UNUSED int64_t side_open(struct side *d)
{
    struct env_op op = {0};
    snap_open(d->snap, &op);
    return sim_run_op(d->s, &op, 600000 * SHIP_MS);
}

static UNUSED int64_t side_write(struct side *d, uint64_t index, uint64_t term)
{
    struct env_op op = {0};
    snap_write(d->snap, index, term, &op);
    return sim_run_op(d->s, &op, 600000 * SHIP_MS);
}

static UNUSED int64_t side_install(struct side *d, uint64_t index)
{
    struct env_op op = {0};
    snap_install(d->snap, index, &op);
    return sim_run_op(d->s, &op, 600000 * SHIP_MS);
}

#endif
