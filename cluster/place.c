/* cluster/place.c - rendezvous hashing by a scan; see place.h. */
#include "cluster/place.h"

static uint64_t place_score(uint64_t what, struct worker_id w)
{
    return base_mix_u64(what ^ base_mix_u64(w.v));
}

/* is (score, id) a better choice than (other_score, other_id)? */
static bool place_better(uint64_t score, uint64_t id, uint64_t other_score, uint64_t other_id)
{
    return score != other_score ? score > other_score : id > other_id;
}

uint32_t place_pick(const struct worker_id *workers, uint32_t n, struct ino ino, uint64_t stripe,
                    uint32_t rank)
{
    if (rank >= n)
        return PLACE_NONE;
    uint64_t what = base_mix_u64(ino.v + 0x9e3779b97f4a7c15ULL * (stripe + 1));
    uint64_t last_score = 0, last_id = 0;
    uint32_t best = PLACE_NONE;
    /* one scan per rank: ranks beyond 2 are as rare as two lost workers */
    for (uint32_t r = 0; r <= rank; r++) {
        uint64_t best_score = 0;
        best = PLACE_NONE;
        for (uint32_t i = 0; i < n; i++) {
            uint64_t s = place_score(what, workers[i]);
            if (r > 0 && !place_better(last_score, last_id, s, workers[i].v))
                continue;
            if (best == PLACE_NONE || place_better(s, workers[i].v, best_score, workers[best].v)) {
                best = i;
                best_score = s;
            }
        }
        if (best == PLACE_NONE)
            return PLACE_NONE;
        last_score = best_score;
        last_id = workers[best].v;
    }
    return best;
}
