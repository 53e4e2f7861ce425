/* sim/lab_group_call.c - a client node's connections to the masters: made when they are needed, and
 * made anew after they broke. */
#include "sim/lab_group_impl.h"

static void call_on_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    struct group_line *l = container_of(p, struct group_line, peer);
    struct group_answer a;
    ASSERT(type == GROUP_ANSWER && n == sizeof a);
    memcpy(&a, b, sizeof a);
    l->c->on_answer(l->c, l->to, &a);
}

static void call_on_close(struct env_peer *p, int why)
{
    struct group_line *l = container_of(p, struct group_line, peer);
    (void)why;
    l->c->on_line(l->c, l->to, false);
}

static void call_connected(struct env_op *op)
{
    struct group_line *l = container_of(op, struct group_line, op);
    l->connecting = false;
    l->c->on_line(l->c, l->to, op->ret == 0);
}

static void call_boot(struct env *e, struct mem *m, void *ctx)
{
    struct group_caller *c = ctx;
    (void)m;
    c->env = e;
    for (uint32_t i = 0; i < c->g->n_nodes; i++)
        c->line[i] = (struct group_line){
            .peer = {.on_frame = call_on_frame, .on_close = call_on_close}, .c = c, .to = i};
    c->on_boot(c);
}

void lab_group_call_boot(struct group_caller *c)
{
    sim_node_start(c->node, call_boot, c);
}

bool lab_group_call(struct group_caller *c, uint32_t to, const struct group_request *q)
{
    struct group_line *l = &c->line[to];
    if (l->peer.conn) {
        struct env_iov iov = {q, sizeof *q};
        env_send(l->peer.conn, GROUP_REQUEST, &iov, 1);
        return true;
    }
    if (!l->connecting) {
        l->connecting = true;
        l->op.done = call_connected;
        env_connect(c->env, c->g->node[to].addr, 300 * GROUP_MS, &l->peer, &l->op);
    }
    return false;
}
