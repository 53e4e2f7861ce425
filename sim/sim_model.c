/* sim/sim_model.c - times from what was measured of a machine (tarn bench calibrate).
 *
 *  1. A draw is one number of the stream, whatever the tables hold: at u of the way from a table's
 *     first point to its last, between two points in a straight line.  So the table's points are
 *     the quantiles of what is drawn.
 *  2. Between two sizes, and between two numbers of operations under way at once, it is the same u
 *     of both, in a straight line.  Below the smallest it is the smallest; beyond the largest the
 *     largest times as much as there is more: who has measured up to there has a queue there.
 *  3. Integers only. */
#include "sim/sim_internal.h"

__extension__ typedef __int128 sim_model_i128;

/* of one table */
static int64_t sim_model_point(const int64_t *ns, uint32_t u)
{
    uint32_t step = UINT32_MAX / (SIM_POINTS - 1) + 1, i = u / step;
    return ns[i] + (int64_t)((sim_model_i128)(ns[i + 1] - ns[i]) * (u % step) / step);
}

/* the place of v among at[]: the i before it, and how far it is from there to the next; past the
 * last: that one, and none */
static uint32_t sim_model_place(const uint64_t *at, uint32_t n, uint64_t v, uint64_t *ret_part,
                                uint64_t *ret_of)
{
    uint32_t i = 0;
    while (i + 1 < n && at[i + 1] <= v)
        i++;
    bool between = v > at[i] && i + 1 < n;
    *ret_part = between ? v - at[i] : 0;
    *ret_of = between ? at[i + 1] - at[i] : 1;
    return i;
}

static int64_t sim_model_between(int64_t a, int64_t b, uint64_t part, uint64_t of)
{
    return a + (int64_t)((sim_model_i128)(b - a) * (int64_t)part / (int64_t)of);
}

static int64_t sim_model_beyond(int64_t ns, uint64_t v, uint64_t last)
{
    return v > last && last ? (int64_t)((sim_model_i128)ns * (int64_t)v / (int64_t)last) : ns;
}

static int64_t sim_model_row(const struct sim_grid *g, uint32_t row, uint64_t bytes, uint32_t u)
{
    uint64_t part, of;
    uint32_t i = sim_model_place(g->bytes, g->n_bytes, bytes, &part, &of);
    int64_t ns = sim_model_point(g->ns[row][i], u);
    if (part)
        ns = sim_model_between(ns, sim_model_point(g->ns[row][i + 1], u), part, of);
    return sim_model_beyond(ns, bytes, g->bytes[g->n_bytes - 1]);
}

/* at u of 2^32 */
static int64_t sim_model_at_ns(const struct sim_grid *g, uint64_t bytes, uint64_t at_once,
                               uint32_t u)
{
    uint64_t part, of;
    uint32_t i = sim_model_place(g->at_once, g->n_at_once, at_once, &part, &of);
    int64_t ns = sim_model_row(g, i, bytes, u);
    if (part)
        ns = sim_model_between(ns, sim_model_row(g, i + 1, bytes, u), part, of);
    return sim_model_beyond(ns, at_once, g->at_once[g->n_at_once - 1]);
}

int64_t sim_model_draw_ns(const struct sim_grid *g, uint64_t bytes, uint64_t at_once,
                          struct prng *p)
{
    return sim_model_at_ns(g, bytes, at_once, (uint32_t)(prng_u64(p) >> 32));
}

int64_t sim_model_median_ns(const struct sim_grid *g, uint64_t bytes, uint64_t at_once)
{
    return sim_model_at_ns(g, bytes, at_once, 1U << 31);
}
