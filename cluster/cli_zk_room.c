/* cluster/cli_zk_room.c - how much is free in the shared directory (cli_zk.h).
 *
 * One look at a time, on a thread of the pool: where the directory does not answer the look does
 * not end, and what is known grows old, which is told with it. */
#include <sys/statvfs.h>
#include "cluster/cli_zk.h"

static const int64_t ROOM_PAUSE_NS = 5000000000LL;

static void room_look(struct env_op *op)
{
    struct cli_zk_room *r = container_of(op, struct cli_zk_room, op);
    struct statvfs s;
    op->ret = statvfs(r->dir, &s) ? E_IO : 0;
    if (op->ret)
        return;
    r->found.free = (uint64_t)s.f_bavail * s.f_frsize;
    r->found.size = (uint64_t)s.f_blocks * s.f_frsize;
}

static void room_looked(struct env_op *op)
{
    struct cli_zk_room *r = container_of(op, struct cli_zk_room, op);
    if (!op->ret) {
        r->room = r->found;
        r->room.at_ns = env_now_ns(r->env);
    }
    env_timer_set(r->env, &r->timer, env_now_ns(r->env) + ROOM_PAUSE_NS);
}

static void room_due(struct env_op *op)
{
    struct cli_zk_room *r = container_of(op, struct cli_zk_room, timer.op);
    r->op = (struct env_op){.done = room_looked};
    env_work(r->env, &r->op, room_look);
}

void cli_zk_room_open(struct cli_zk_room *r, struct env *e, const char *dir)
{
    *r = (struct cli_zk_room){.dir = dir, .env = e, .timer.op.done = room_due};
    env_timer_set(e, &r->timer, env_now_ns(e));
}
