/* sim/lab_core.c - a random core that is healed, and what becomes of the rest (see sim/lab_core.h).
 */
#include "sim/lab_core.h"
#include "core/fmt.h"
#include "core/prng.h"

static const char *const fates[] = {"",
                                    "is down",
                                    "stands still",
                                    "is cut off",
                                    "is not heard",
                                    "hears nobody",
                                    "reaches one of them only"};

void lab_core_draw(struct lab_core *c, uint64_t seed, const char *what, uint32_t keep)
{
    struct prng p;
    uint32_t left = 0;
    prng_seed(&p, seed, what, 0);
    for (uint32_t i = 0; i < c->n; i++)
        left += c->votes[i];
    /* two that make a majority may go on for ever, and serve nobody */
    uint32_t fates_may = left > 3 ? LAB_CORE_PARTIAL : LAB_CORE_DEAF;
    for (uint32_t i = 0; i < c->n; i++) {
        c->fate[i] = (uint8_t)(1 + prng_below(&p, fates_may));
        if (!c->votes[i])
            continue;
        if (prng_below(&p, left--) < keep) {
            c->fate[i] = LAB_CORE_IN;
            keep--;
        }
    }
}

bool lab_core_has(const struct lab_core *c, const struct sim_node *n)
{
    for (uint32_t i = 0; i < c->n; i++)
        if (c->node[i] == n)
            return c->fate[i] == LAB_CORE_IN;
    return false;
}

void lab_core_cut(const struct lab_core *c, struct sim *s, struct sim_node *with)
{
    for (uint32_t i = 0; i < c->n; i++) {
        enum lab_core_fate f = (enum lab_core_fate)c->fate[i];
        for (uint32_t k = 0; k < sim_node_count(s) && f >= LAB_CORE_CUT; k++) {
            struct sim_node *x = sim_node_at(s, k);
            if (f == LAB_CORE_DEAF)
                sim_net_partition(x, c->node[i], true);
            else if (f == LAB_CORE_CUT || f == LAB_CORE_MUTE || x != with)
                sim_net_partition(c->node[i], x, f == LAB_CORE_MUTE);
        }
    }
}

void lab_core_say(const struct lab_core *c, char *ret_text, size_t cap)
{
    size_t at = 0;
    ret_text[0] = 0;
    for (uint32_t i = 0; i < c->n && at < cap; i++)
        if (c->fate[i] == LAB_CORE_IN)
            at +=
                fmt_into(ret_text + at, cap - at, "%s%s", at ? " " : "", sim_node_name(c->node[i]));
    for (uint32_t i = 0; i < c->n && at < cap; i++)
        if (c->fate[i] != LAB_CORE_IN)
            at += fmt_into(ret_text + at, cap - at, ", %s %s", sim_node_name(c->node[i]),
                           fates[c->fate[i]]);
}

bool lab_core_serves(struct lab_core_watch *w, int64_t now_ns, bool leads, uint64_t epoch,
                     bool asks, int64_t calm_ns, int64_t gap_ns)
{
    if (!w->since_ns || !leads || epoch != w->epoch || (asks && now_ns - w->success_ns > gap_ns)) {
        w->epoch = epoch;
        w->since_ns = now_ns;
    }
    return leads && now_ns - w->since_ns >= calm_ns;
}
