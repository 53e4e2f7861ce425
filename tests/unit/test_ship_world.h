/* tests/unit/test_ship_world.h - simulated masters that write, ship and take state images, without
 * a journal around them.
 *
 * A state is (id, bytes): its image is a stream whose bytes follow from the id.  The host checks
 * every byte that is loaded, and that an image ends where it should. */
#ifndef TESTS_UNIT_TEST_SHIP_WORLD_H
#define TESTS_UNIT_TEST_SHIP_WORLD_H

#include "core/fmt.h"
#include "core/prng.h"
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
    return (uint8_t)(base_mix_u64(id + at / 8) >> at % 8 * 8);
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

/* one master */
struct side {
    struct sim *s;
    struct sim_node *n;
    struct env *env;
    struct mem *mem;
    struct ship_host host;
    struct snap *snap;
    bool is_busy; /* with appends */
};

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
