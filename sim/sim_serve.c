/* sim/sim_serve.c - turns that take time, on processors that several nodes share.
 *
 * Without it an event of a node takes no time: whatever comes is served at once.  With it a node
 * that has something to do waits for a processor of its machine, first come, first served, and
 * then has one turn as the daemons' loop has it (net/net_loop.c):
 *
 *     all that has come until now is served, in its order, and what it posts to itself; then what
 *     it sends leaves, one write a connection; then what it asks of the disk; then its timers
 *
 * That all happens at the instant at which the turn begins; each thing adds what it costs, and
 * what leaves does so as much later as was spent before it.  When the turn's time is over, the
 * processor is free, and what came meanwhile is the next turn.
 *
 *     idle --event--> waits for a processor --> serves (at one instant) --leave--> its time goes on
 *       ^                                                                              |
 *       +------------------------------ its time is over ------------------------------+
 *
 * A processor that has nothing to do sleeps, and to wake it takes time (wake_ns): who comes to an
 * idle one begins that much later, with all that has come until then.  One that goes from one turn
 * to another is awake.  What a batch costs beside its records (batch_ns) is measured where each
 * process sleeps before it, with caches that are cold, so it is charged to turns that a process
 * begins on a processor that was idle; where turns follow each other the records' own costs, which
 * are measured under such a load, have it in them.
 *
 *  1. A node holds a processor from the beginning of a turn until its time is over, or its death.
 *  2. Events of a turn come before its LEAVE, timers among them: it has a class of its own.
 *  3. Nobody is interrupted: turns are short beside what a scheduler gives. */
#include "sim/sim_internal.h"

void sim_serve_open(struct sim_node *n)
{
    n->machine = sim_alloc(n->sim, sizeof *n->machine);
    n->machine->nodes = 1;
    list_init(&n->machine->waiting);
    list_init(&n->machine->on_disk);
    list_init(&n->wait);
    list_init(&n->submits);
}

void sim_serve_close(struct sim_node *n)
{
    if (--n->machine->nodes == 0)
        sim_free(n->sim, n->machine, sizeof *n->machine);
}

void sim_node_together(struct sim_node *n, struct sim_node *with)
{
    ASSERT(!n->incarnation);
    with->machine->nodes++;
    sim_serve_close(n);
    n->machine = with->machine;
}

void sim_node_spend(struct sim_node *n, int64_t ns)
{
    if (n->serves)
        n->spent_ns += ns;
}

int64_t sim_node_at_ns(const struct sim_node *n)
{
    return n->sim->now_ns + (n->serves ? n->spent_ns : 0);
}

enum { SIM_SERVE_LEAVE, SIM_SERVE_OVER, SIM_SERVE_AWAKE }; /* stages of the event */

static void sim_serve_event_at(struct sim_node *n, uint8_t stage, int64_t at_ns)
{
    struct sim_ev *ev = sim_ev_new(n->sim, n, SIM_EV_LEAVE);
    ev->turn = NULL;
    ev->stage = stage;
    sim_ev_at(n->sim, ev, at_ns);
}

/* n has a processor, and that is awake */
static void sim_serve_turn(struct sim_node *n, bool was_idle)
{
    n->serves = true;
    n->is_cold = was_idle;
    n->spent_ns = n->sim->cfg.serve.turn_ns;
    sim_serve_event_at(n, SIM_SERVE_LEAVE, n->sim->now_ns);
}

static void sim_serve_take(struct sim_node *n)
{
    n->has_core = true;
    n->machine->busy++;
}

bool sim_serve_begin(struct sim_node *n, struct sim_ev *ev)
{
    const struct sim_serve_config *c = &n->sim->cfg.serve;
    if (n->serves)
        return true;
    bool idle = !c->cores || n->machine->busy < c->cores;
    if (idle)
        sim_serve_take(n);
    if (idle && !c->wake_ns) {
        sim_serve_turn(n, true);
        return true;
    }
    n->waits = true;
    if (idle)
        sim_serve_event_at(n, SIM_SERVE_AWAKE, n->sim->now_ns + c->wake_ns);
    else
        list_push_back(&n->machine->waiting, &n->wait);
    return !sim_ev_hold(n, ev);
}

/* n's processor is free: for who has waited longest */
static void sim_serve_free(struct sim_node *n)
{
    n->has_core = false;
    n->machine->busy--;
    struct list *l = list_pop(&n->machine->waiting);
    if (!l)
        return;
    struct sim_node *next = container_of(l, struct sim_node, wait);
    next->waits = false;
    sim_serve_take(next);
    sim_serve_turn(next, false);
    sim_node_release(next);
}

static void sim_serve_leave(struct sim_node *n)
{
    n->leaves = true;
    sim_conn_flush(n->sim);
    sim_disk_io_leave(n);
    n->leaves = n->serves = false;
    n->stalled = true;
    sim_serve_event_at(n, SIM_SERVE_OVER, n->sim->now_ns + n->lag_ns + n->spent_ns);
    n->lag_ns = n->spent_ns = 0;
}

static void sim_serve_over(struct sim_node *n)
{
    n->stalled = false;
    if (list_empty(&n->held) || n->paused || !list_empty(&n->machine->waiting))
        sim_serve_free(n);
    else
        sim_serve_turn(n, false); /* it goes on at once */
    sim_node_release(n);
}

void sim_serve_event(struct sim *s, struct sim_ev *ev)
{
    struct sim_node *n = ev->node;
    uint8_t stage = ev->stage;
    sim_ev_free(s, ev);
    if (stage == SIM_SERVE_LEAVE) {
        sim_serve_leave(n);
    } else if (stage == SIM_SERVE_OVER) {
        sim_serve_over(n);
    } else {
        n->waits = false;
        sim_serve_turn(n, true);
        sim_node_release(n);
    }
}

void sim_serve_end(struct sim_node *n)
{
    n->serves = n->leaves = false;
    n->spent_ns = 0;
    if (list_linked(&n->wait))
        list_remove(&n->wait);
    n->waits = false;
    if (n->has_core)
        sim_serve_free(n);
}
