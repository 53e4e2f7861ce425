/* journal/raft_trail.c - what the log holds, without its bytes: where each term begins, and of the
 * entries in memory their type and length.
 *
 * Terms are runs, not one number an entry: a log of millions of entries from one leader is one run.
 * Entries older than mem_first have left memory; their bytes, types and lengths are on disk only.
 */
#include "journal/raft_impl.h"

static uint32_t raft_trail_run(const struct raft_trail *t, uint64_t index)
{
    uint32_t lo = 0, hi = t->n_runs; /* the last run with first <= index; there is one */
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (t->run[mid].first <= index)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

uint64_t raft_trail_term(const struct raft_trail *t, uint64_t index)
{
    if (index == t->base)
        return t->base_term;
    if (index < t->base || index > t->last)
        return 0;
    return t->run[raft_trail_run(t, index)].term;
}

uint64_t raft_trail_upto_term(const struct raft_trail *t, uint64_t index, uint64_t term)
{
    index = base_min_u64(index, t->last);
    while (index > t->base) {
        const struct raft_run *run = &t->run[raft_trail_run(t, index)];
        if (run->term <= term)
            break;
        index = run->first - 1;
    }
    return base_max_u64(index, t->base);
}

uint32_t raft_trail_runs(const struct raft_trail *t, uint64_t index)
{
    if (index >= t->last)
        return 0;
    return index <= t->base ? t->n_runs : t->n_runs - raft_trail_run(t, index + 1);
}

bool raft_trail_has_room(const struct raft_trail *t, uint32_t n)
{
    return t->last + 1 - t->mem_first + n <= (uint64_t)t->mask + 1 && t->n_runs < RAFT_RUNS_MAX;
}

void raft_trail_push(struct raft_trail *t, const struct raft_entry *e)
{
    ASSERT(raft_trail_has_room(t, 1) && e->term >= raft_trail_term(t, t->last));
    t->last++;
    if (t->n_runs == 0 || t->run[t->n_runs - 1].term != e->term)
        t->run[t->n_runs++] = (struct raft_run){t->last, e->term};
    t->ring[t->last & t->mask] = (struct raft_slot){e->len, e->type};
    t->mem_bytes += e->len;
}

void raft_trail_cut(struct raft_trail *t, uint64_t to)
{
    ASSERT(to >= t->base && to <= t->last);
    for (uint64_t i = base_max_u64(to + 1, t->mem_first); i <= t->last; i++)
        t->mem_bytes -= t->ring[i & t->mask].len;
    t->last = to;
    t->mem_first = base_min_u64(t->mem_first, to + 1);
    while (t->n_runs && t->run[t->n_runs - 1].first > to)
        t->n_runs--;
}

void raft_trail_evict(struct raft_trail *t, uint64_t upto, uint64_t entries, uint64_t bytes)
{
    upto = base_min_u64(upto, t->last);
    while (t->mem_first <= upto && (t->last + 1 - t->mem_first > entries || t->mem_bytes > bytes))
        t->mem_bytes -= t->ring[t->mem_first++ & t->mask].len;
}

void raft_trail_trim(struct raft_trail *t, uint64_t base)
{
    if (base <= t->base)
        return;
    ASSERT(base <= t->last);
    uint64_t term = raft_trail_term(t, base);
    uint32_t n = base == t->last ? t->n_runs : raft_trail_run(t, base + 1);
    t->n_runs -= n;
    memmove(t->run, t->run + n, t->n_runs * sizeof *t->run);
    if (t->n_runs)
        t->run[0].first = base_max_u64(t->run[0].first, base + 1);
    t->base = base;
    t->base_term = term;
    raft_trail_evict(t, base, 0, 0);
}

void raft_trail_reset(struct raft_trail *t, uint64_t index, uint64_t term)
{
    t->base = t->last = index;
    t->base_term = term;
    t->mem_first = index + 1;
    t->mem_bytes = 0;
    t->n_runs = 0;
}
