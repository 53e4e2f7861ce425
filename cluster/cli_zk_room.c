/* cluster/cli_zk_room.c - how much is free in the shared directory, and whether it is still the
 * one that the masters began with (cli_zk.h).
 *
 * One look at a time, on a thread of the pool: where the directory does not answer the look does
 * not end, and what is known grows old, which is told with it.
 *
 * Files that are removed while masters have them open are written on as if nothing were: that the
 * fence is gone is all that tells.  Of NFS it counts when two looks agree, and its device may
 * change by a remount: only the inode is compared. */
#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include "cluster/cli_zk.h"
#include "core/fmt.h"

static const int64_t ROOM_PAUSE_NS = 5000000000LL;
enum { ROOM_LOSSES = 2, ROOM_PATH = 4400, ROOM_LINE = 4800 };

static void room_look(struct env_op *op)
{
    struct cli_zk_room *r = container_of(op, struct cli_zk_room, op);
    char path[ROOM_PATH];
    struct statvfs s;
    struct stat st;
    fmt_into(path, sizeof path, "%.4000s/fence", r->dir);
    r->fence_ret = !stat(path, &st)                                         ? 0
                   : errno == ENOENT || errno == ENOTDIR || errno == ESTALE ? E_NOENT
                                                                            : E_IO;
    r->fence_now = r->fence_ret ? 0 : st.st_ino;
    op->ret = statvfs(r->dir, &s) ? E_IO : 0;
    if (op->ret)
        return;
    r->found.free = (uint64_t)s.f_bavail * s.f_frsize;
    r->found.size = (uint64_t)s.f_blocks * s.f_frsize;
}

static void room_fence(struct cli_zk_room *r)
{
    char line[ROOM_LINE];
    bool was_lost = r->room.is_lost;
    if (r->fence_ret == E_IO || (r->fence_ret && !r->fence))
        return; /* it is not known */
    if (!r->fence)
        r->fence = r->fence_now;
    r->losses = r->fence_now == r->fence ? 0 : base_min_u64(r->losses + 1, ROOM_LOSSES);
    if (r->losses == 0 || r->losses == ROOM_LOSSES)
        r->room.is_lost = r->losses == ROOM_LOSSES;
    if (r->room.is_lost == was_lost)
        return;
    if (was_lost)
        fmt_into(line, sizeof line, "the shared directory at %.4000s is the one again that it was",
                 r->dir);
    else
        fmt_into(line, sizeof line,
                 "the shared directory at %.4000s was emptied or replaced while masters run: what "
                 "they write is in removed files and is lost when they end; take a backup now "
                 "(`tarn journal backup`; it fails where the directory itself was removed: then "
                 "copy the files away through a mount)",
                 r->dir);
    env_log(r->env, was_lost ? ENV_LOG_WARN : ENV_LOG_ERROR, line);
}

static void room_looked(struct env_op *op)
{
    struct cli_zk_room *r = container_of(op, struct cli_zk_room, op);
    room_fence(r);
    if (!op->ret) {
        r->room.free = r->found.free;
        r->room.size = r->found.size;
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
