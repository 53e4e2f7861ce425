/* cluster/client_master.c - which master is tried next.
 *
 * INVARIANTS
 *  1. A round asks every master once at most; then there is a pause, which grows.  So nothing is
 *     hammered, however the masters point at each other.  Who led for a tenth of a second ends the
 *     round and its pauses: leadership may be handed over several times a second.
 *  2. A master that says who leads is believed, if that one was not asked in this round and was
 *     not just found dead; else the next in order is asked, those found dead last.
 *  3. What leads may be a master that nobody configured here: the group has changed since.  It is
 *     asked like the others from then on, until there are too many such: then the new one takes the
 *     place of an older one, never of one that was configured.
 *
 * Found dead: no answer within a time-out, for 2 s; a lost or refused connection, for 100 ms.  In
 * the first seconds without a leader the pauses stay short where there are several masters: an
 * election is under way. */
#include "cluster/client_impl.h"

static const int64_t CLIENT_BACKOFF_MIN_NS = 20 * CLIENT_MS;
static const int64_t CLIENT_BACKOFF_MAX_NS = 1000 * CLIENT_MS;
static const int64_t CLIENT_ELECTION_NS = 3000 * CLIENT_MS; /* so long pauses are at most: */
static const int64_t CLIENT_BACKOFF_ELECTION_NS = 80 * CLIENT_MS;
static const int64_t CLIENT_SILENT_NS = 2000 * CLIENT_MS;
static const int64_t CLIENT_REFUSED_NS = 100 * CLIENT_MS;

static bool master_is_asked(const struct client *c, uint32_t i)
{
    return c->asked >> i & 1;
}

bool client_master_is_dead(const struct client *c, uint32_t i)
{
    return env_now_ns(c->env) < c->dead_until_ns[i];
}

void client_master_reset(struct client *c)
{
    c->asked = 0;
    c->hint = UINT32_MAX;
    c->backoff_ns = CLIENT_BACKOFF_MIN_NS;
    c->lost_since_ns = env_now_ns(c->env);
}

/* Nothing that helps itself: somebody must change a configuration. */
void client_master_barred(struct client *c, int why)
{
    bool is_barred = why == E_AUTH || why == E_CONFIG || why == E_VERSION;
    uint32_t one = 1u << c->master, all = (uint32_t)((1ull << c->n_given) - 1);
    c->barred = is_barred ? c->barred | one : c->barred & ~one;
    if (is_barred && !c->decided && (c->barred & all) == all) {
        c->barred_why = why;
        c->decided = true;
    }
}

void client_master_serves(struct client *c)
{
    c->barred = 0;
    c->barred_why = 0;
    c->decided = true;
}

void client_master_dead(struct client *c, int why)
{
    if (c->n_masters > 1)
        c->dead_until_ns[c->master] =
            env_now_ns(c->env) + (why == E_TIMEOUT ? CLIENT_SILENT_NS : CLIENT_REFUSED_NS);
}

/* a place for a master that nobody named before; of many, one that was learned long ago goes */
static uint32_t master_place(struct client *c)
{
    if (c->n_masters < CLIENT_MASTERS_MAX)
        return c->n_masters++;
    for (uint32_t k = c->n_given; k < CLIENT_MASTERS_MAX; k++) {
        if (c->learned < c->n_given || c->learned >= CLIENT_MASTERS_MAX)
            c->learned = c->n_given;
        uint32_t i = c->learned++;
        const struct client_aside *a = &c->asides[i];
        if (i == c->master || a->conn || a->is_connecting)
            continue;
        c->asked &= ~(1u << i);
        c->dead_until_ns[i] = 0;
        memset(&c->asides[i], 0, sizeof c->asides[i]);
        return i;
    }
    return UINT32_MAX;
}

uint32_t client_master_hint(struct client *c, const void *hint, uint32_t len)
{
    uint32_t i = 0;
    if (!len || len >= ENV_ADDR_MAX || memchr(hint, 0, len))
        return UINT32_MAX;
    while (i < c->n_masters &&
           (strlen(c->masters[i]) != len || memcmp(c->masters[i], hint, len) != 0))
        i++;
    if (i == c->n_masters) {
        i = master_place(c);
        if (i == UINT32_MAX)
            return i;
        memcpy(c->masters[i], hint, len);
        c->masters[i][len] = 0;
    }
    c->hint = i;
    return i;
}

static int64_t master_pause(struct client *c)
{
    int64_t most_ns = CLIENT_BACKOFF_MAX_NS;
    if (c->n_masters > 1 && env_now_ns(c->env) - c->lost_since_ns < CLIENT_ELECTION_NS)
        most_ns = CLIENT_BACKOFF_ELECTION_NS;
    if (c->backoff_ns > most_ns)
        c->backoff_ns = most_ns;
    uint64_t half = (uint64_t)c->backoff_ns / 2;
    int64_t wait_ns = (int64_t)(half + env_random(c->env) % half);
    c->backoff_ns = c->backoff_ns * 2 < most_ns ? c->backoff_ns * 2 : most_ns;
    return wait_ns;
}

int64_t client_master_next(struct client *c)
{
    int64_t wait_ns = CLIENT_MS;
    uint32_t last = c->master, n = c->n_masters, next = UINT32_MAX;
    c->asked |= 1u << last;
    if (c->hint < n && !master_is_asked(c, c->hint) && !client_master_is_dead(c, c->hint))
        next = c->hint;
    for (uint32_t pass = 0; pass < 2 && next == UINT32_MAX; pass++)
        for (uint32_t k = 1; k <= n && next == UINT32_MAX; k++) {
            uint32_t i = (last + k) % n;
            if (!master_is_asked(c, i) && (pass || !client_master_is_dead(c, i)))
                next = i;
        }
    if (next == UINT32_MAX) {
        wait_ns = master_pause(c);
        c->asked = 0;
        next = (last + 1) % n;
        for (uint32_t k = 1; k < n && client_master_is_dead(c, next); k++)
            next = (next + 1) % n;
    }
    c->hint = UINT32_MAX;
    c->master = next;
    return wait_ns;
}
