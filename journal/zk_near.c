/* journal/zk_near.c - see zk_near.h. */
#include "journal/zk_near.h"
#include "core/fmt.h"

static const int64_t NEAR_DIAL_NS = 2000000000;

static void near_dial(struct zk_near *n)
{
    env_timer_stop(n->env, &n->timer);
    if (n->is_dialling || n->peer.conn || n->stop_op)
        return; /* what is under way ends first */
    n->state = *n->addr ? ZK_NEAR_DIAL : ZK_NEAR_REST;
    if (n->state == ZK_NEAR_REST)
        return;
    n->is_dialling = true;
    fmt_into(n->dialled, sizeof n->dialled, "%s", n->addr);
    env_connect(n->env, n->dialled, NEAR_DIAL_NS, &n->peer, &n->op);
}

static void near_pause(struct zk_near *n, int64_t ns)
{
    n->state = ZK_NEAR_PAUSE;
    env_timer_set(n->env, &n->timer, env_now_ns(n->env) + ns);
}

static void near_stopped(struct zk_near *n)
{
    struct env_op *op = n->stop_op;
    n->state = ZK_NEAR_REST;
    env_timer_stop(n->env, &n->timer);
    env_reply(n->env, op, 0);
}

static void near_dialled(struct env_op *op)
{
    struct zk_near *n = container_of(op, struct zk_near, op);
    n->is_dialling = false;
    if (n->stop_op || strcmp(n->dialled, n->addr) != 0) {
        if (n->peer.conn) {
            env_hangup(n->peer.conn);
            n->peer.conn = NULL;
        }
        if (n->stop_op)
            near_stopped(n);
        else
            near_dial(n);
        return;
    }
    if (op->ret == 0) {
        n->state = ZK_NEAR_UP;
        n->was_up = true;
        n->refused = 0;
    } else if (op->ret != E_REFUSED || !n->was_up) {
        n->refused = 0;
        near_pause(n, ZK_NEAR_PAUSE_NS);
    } else if (++n->refused < 2) {
        near_pause(n, ZK_NEAR_AGAIN_NS);
    } else {
        n->state = ZK_NEAR_REST;
        *n->addr = 0;
        n->gone(n);
    }
}

static void near_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t len)
{
    (void)p, (void)type, (void)b, (void)len; /* nobody asked for anything */
}

static void near_closed(struct env_peer *p, int why)
{
    (void)why;
    near_dial(container_of(p, struct zk_near, peer));
}

static void near_timer(struct env_op *op)
{
    near_dial(container_of(op, struct zk_near, timer.op));
}

void zk_near_init(struct zk_near *n, struct env *e, void (*gone)(struct zk_near *n))
{
    memset(n, 0, sizeof *n);
    n->env = e;
    n->gone = gone;
    n->op.done = near_dialled;
    n->timer.op.done = near_timer;
    n->peer.on_frame = near_frame;
    n->peer.on_close = near_closed;
}

void zk_near_follow(struct zk_near *n, const char *addr)
{
    if (n->stop_op || !strcmp(n->addr, addr))
        return;
    fmt_into(n->addr, sizeof n->addr, "%s", addr);
    n->was_up = false;
    n->refused = 0;
    if (n->peer.conn) {
        env_hangup(n->peer.conn);
        n->peer.conn = NULL;
    }
    near_dial(n);
}

void zk_near_stop(struct zk_near *n, struct env_op *op)
{
    n->stop_op = op;
    if (n->peer.conn) {
        env_hangup(n->peer.conn);
        n->peer.conn = NULL;
    }
    if (!n->is_dialling)
        near_stopped(n);
}
