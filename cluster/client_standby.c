/* cluster/client_standby.c - questions that need not go to the leader: read_from any.
 *
 * What this client would ask the leader for nothing but an answer - no lease, no place, no open -
 * goes to all masters in turn, over a connection of its own to each, made when it is first wanted.
 *
 * INVARIANTS
 *  1. What a standby said is never kept: it has no lease.  What is kept and contradicts it is
 *     dropped, so nothing is seen new and then, from here, old again.  (Other things in the cache
 *     may still be as they were until the change is answered, as ever; client.h, ask_always.)
 *  2. A question goes aside once.  Whatever becomes of it there but an answer - a refusal, silence
 *     for CLIENT_ASIDE_NS, a lost connection - it goes to the leader next, within its deadline.
 *  3. A master that did not answer is left alone for a while, which grows as long as it does not;
 *     one that cannot be reached, or hears no leader, for a shorter one: nobody waits for that; one
 *     that is not to be asked this, for a moment: the next question may be as hopeless.
 *  4. Rent, then buy: what is asked again within a lease goes to the leader, whose answer may be
 *     kept.  So what is used often is cached, and what is looked at once costs the leader nothing.
 *     With ask_always nothing is kept, and all goes round.
 *  5. Nothing goes aside while the leader does not answer: no session, no lease, no barrier. */
#include "cluster/client_impl.h"

static const int64_t CLIENT_ASIDE_NS = 1000 * CLIENT_MS;
static const int64_t CLIENT_ASIDE_CONNECT_NS = 1000 * CLIENT_MS;
static const int64_t CLIENT_ASIDE_SILENT_NS = 1000 * CLIENT_MS; /* left alone: no answer */
static const int64_t CLIENT_ASIDE_REFUSED_NS = 100 * CLIENT_MS;
static const int64_t CLIENT_ASIDE_NOT_THIS_NS =
    64 * CLIENT_MS;                                            /* many questions in turn: at most */
static const int64_t CLIENT_ASIDE_AWAY_NS = 10000 * CLIENT_MS; /* at most */

/* every kind that a standby answers (master_standby.c), less those whose answers are worth their
 * lease at once: a listing with attributes saves a question for each name */
static bool standby_is_kind(const struct client *c, const struct fsop *op)
{
    switch (op->kind) {
    case FSOP_GETATTR:
        return !op->size && !op->arg;
    case FSOP_READDIR:
        return (op->mode || c->cfg.ask_always) && !(op->arg & FSOP_COOKIE_BELOW);
    case FSOP_STATFS:
        return !op->mode;
    case FSOP_LOOKUP:
    case FSOP_READLINK:
    case FSOP_GETXATTR:
    case FSOP_LISTXATTR:
    case FSOP_ACCESS:
        return true;
    default:
        return false;
    }
}

/* was it asked here lately? */
static bool standby_is_again(struct client *c, const struct fsop *op)
{
    bool may_lease = op->kind == FSOP_LOOKUP || op->kind == FSOP_GETATTR ||
                     op->kind == FSOP_READLINK || op->kind == FSOP_ACCESS;
    if (c->cfg.ask_always || !may_lease)
        return false;
    uint64_t hash = base_hash(op->name, op->name_len, base_mix_u64(op->ino.v) ^ op->kind);
    struct client_once *o = &c->once[hash % CLIENT_ONCE];
    int64_t now = env_now_ns(c->env);
    bool is_again = o->hash == hash && now - o->at_ns < c->lease_ns;
    *o = (struct client_once){hash, now};
    return is_again;
}

/* for twice as long as the last time */
static void standby_away(struct client_aside *a, int64_t least_ns, int64_t most_ns)
{
    a->away_ns = 2 * a->away_ns < most_ns ? 2 * a->away_ns : most_ns;
    a->away_ns = a->away_ns > least_ns ? a->away_ns : least_ns;
    a->away_until_ns = env_now_ns(a->c->env) + a->away_ns;
}

static void standby_connected(struct env_op *op)
{
    struct client_aside *a = container_of(op, struct client_aside, connecting);
    struct client *c = a->c;
    c->pending--;
    a->is_connecting = false;
    if (op->ret < 0)
        standby_away(a, CLIENT_ASIDE_REFUSED_NS, CLIENT_ASIDE_AWAY_NS);
    else if (c->state >= CLIENT_STOPPING)
        rpc_hangup(a->conn_new);
    else
        a->conn = a->conn_new;
    client_quiet(c);
}

static void standby_connect(struct client *c, uint32_t i)
{
    struct client_aside *a = &c->asides[i];
    a->c = c;
    a->is_connecting = true;
    a->connecting.done = standby_connected;
    c->pending++;
    rpc_connect(&c->rpc, c->masters[i], CLIENT_ASIDE_CONNECT_NS, &a->connecting, &a->conn_new);
}

struct rpc_conn *client_standby_conn(struct client *c, const struct fsop *op)
{
    if (!c->cfg.read_any || c->n_masters < 2 || !standby_is_kind(c, op) || standby_is_again(c, op))
        return NULL;
    for (uint32_t k = 0; k < c->n_masters; k++) {
        uint32_t i = c->aside_next++ % c->n_masters;
        struct client_aside *a = &c->asides[i];
        if (i == c->master)
            return NULL; /* its turn, too */
        if (env_now_ns(c->env) < a->away_until_ns || a->is_connecting)
            continue;
        if (a->conn)
            return a->conn;
        standby_connect(c, i);
    }
    return NULL;
}

int64_t client_standby_deadline_ns(const struct client *c, int64_t deadline_ns)
{
    int64_t at = env_now_ns(c->env) + CLIENT_ASIDE_NS;
    return at < deadline_ns ? at : deadline_ns;
}

static struct client_aside *standby_find(struct client *c, const struct rpc_conn *conn)
{
    for (uint32_t i = 0; i < c->n_masters; i++)
        if (c->asides[i].conn == conn)
            return &c->asides[i];
    return NULL;
}

void client_standby_done(struct client *c, struct rpc_conn *conn, int err)
{
    struct client_aside *a = standby_find(c, conn);
    int64_t least_ns = err == E_NOTSUP    ? CLIENT_MS
                       : err == E_TIMEOUT ? CLIENT_ASIDE_SILENT_NS
                                          : CLIENT_ASIDE_REFUSED_NS;
    *(err ? &c->stats.asides_refused : &c->stats.asides) += 1;
    if (!a)
        return;
    if (!err)
        a->away_ns = 0;
    else if (env_now_ns(c->env) >= a->away_until_ns) /* one of many at once counts */
        standby_away(a, least_ns,
                     err == E_NOTSUP ? CLIENT_ASIDE_NOT_THIS_NS : CLIENT_ASIDE_AWAY_NS);
    if (err == E_TIMEOUT) /* the next connection is made without anybody waiting */
        rpc_hangup(conn);
}

bool client_standby_closed(struct client *c, const struct rpc_conn *conn)
{
    struct client_aside *a = standby_find(c, conn);
    if (!a)
        return false;
    a->conn = NULL;
    if (env_now_ns(c->env) >= a->away_until_ns)
        standby_away(a, CLIENT_ASIDE_REFUSED_NS, CLIENT_ASIDE_AWAY_NS);
    return true;
}

int client_standby_init(struct client *c)
{
    if (c->cfg.read_any)
        c->once = mem_zalloc(c->mem, CLIENT_ONCE * sizeof *c->once);
    return c->cfg.read_any && !c->once ? E_NOMEM : 0;
}

void client_standby_free(struct client *c)
{
    mem_free(c->mem, c->once, c->once ? CLIENT_ONCE * sizeof *c->once : 0);
}
