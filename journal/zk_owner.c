/* journal/zk_owner.c - see zk_owner.h. */
#include "journal/zk_owner.h"
#include "core/fmt.h"
#include "core/mutant.h"

static void zk_owner_step(struct env_op *op);

bool zk_owner_init(struct zk_owner *o, struct env *shared, struct mem *m)
{
    memset(o, 0, sizeof *o);
    o->env = shared;
    o->mem = m;
    o->op.done = zk_owner_step;
    o->memory = mem_alloc(m, 2 * LOG_BLOCK + ENV_DIRECT_ALIGN);
    if (!o->memory)
        return false;
    o->block = o->memory + (-(uintptr_t)o->memory & (ENV_DIRECT_ALIGN - 1));
    return true;
}

void zk_owner_drop(struct zk_owner *o)
{
    ASSERT(o->state == ZK_OWNER_REST && !o->file);
    if (o->memory)
        mem_free(o->mem, o->memory, 2 * LOG_BLOCK + ENV_DIRECT_ALIGN);
    o->memory = NULL;
}

static void zk_owner_begin(struct zk_owner *o, enum zk_owner_state s, struct env_op *user)
{
    ASSERT(o->state == ZK_OWNER_REST);
    o->state = s;
    o->user = user;
}

static void zk_owner_end(struct zk_owner *o, int ret)
{
    struct env_op *user = o->user;
    o->user = NULL;
    o->is_new = false;
    o->state = ZK_OWNER_REST;
    user->ret = ret;
    user->done(user);
}

static void zk_owner_close(struct zk_owner *o, int ret)
{
    struct env_file *f = o->file;
    o->ret = ret;
    o->file = NULL;
    o->state = ZK_OWNER_SHUT;
    env_close(f, &o->op);
}

static void zk_owner_path(const char *dir, char *ret_name)
{
    fmt_into(ret_name, ENV_NAME_MAX, "%s/owner", dir);
}

/* --- telling --- */

static void zk_owner_put(struct zk_owner *o)
{
    struct zk_owner_block b = {.member = o->member,
                               .epoch = o->epoch,
                               .seq = ++o->seq,
                               .first = o->first,
                               .last = o->last};
    memset(o->block, 0, LOG_BLOCK);
    memcpy(o->block, &b, sizeof b);
    log_format_seal(o->block, LOG_BLOCK, ZK_OWNER_MAGIC);
}

static void zk_owner_write(struct zk_owner *o, enum zk_owner_state s)
{
    o->state = s;
    env_write(o->file, o->block, LOG_BLOCK, s == ZK_OWNER_TELL ? 0 : LOG_BLOCK, &o->op);
}

void zk_owner_make(struct zk_owner *o, const char *dir, uint64_t epoch, uint32_t member,
                   struct env_op *op)
{
    char name[ENV_NAME_MAX];
    ASSERT(!o->file);
    zk_owner_begin(o, ZK_OWNER_MAKE, op);
    o->epoch = epoch;
    o->member = member;
    o->first = 1;
    o->last = o->seq = 0;
    o->is_new = true;
    zk_owner_path(dir, name);
    env_open(o->env, name,
             ENV_O_WRITE | ENV_O_CREATE | ENV_O_DIRECT | ENV_O_DSYNC |
                 (MUTANT(ZK_NAME_REUSED) ? 0 : ENV_O_EXCL),
             &o->file, &o->op);
}

void zk_owner_tell(struct zk_owner *o, uint64_t first, uint64_t last, struct env_op *op)
{
    ASSERT(o->file && o->seq && first >= o->first && last >= o->last);
    zk_owner_begin(o, ZK_OWNER_TELL, op);
    o->first = first;
    o->last = last;
    zk_owner_put(o);
    zk_owner_write(o, ZK_OWNER_TELL);
}

/* --- being told --- */

void zk_owner_open(struct zk_owner *o, const char *dir, struct env_op *op)
{
    char name[ENV_NAME_MAX];
    ASSERT(!o->file);
    zk_owner_begin(o, ZK_OWNER_OPEN, op);
    o->seq = 0;
    zk_owner_path(dir, name);
    env_open(o->env, name, ENV_O_READ | ENV_O_DIRECT, &o->file, &o->op);
}

void zk_owner_read(struct zk_owner *o, struct env_op *op)
{
    ASSERT(o->file);
    zk_owner_begin(o, ZK_OWNER_READ, op);
    env_read(o->file, o->block, 2 * LOG_BLOCK, 0, &o->op);
}

static int zk_owner_take(struct zk_owner *o, int64_t got)
{
    struct zk_owner_block b;
    int ret = E_CORRUPT;
    uint64_t seq = 0;
    for (const uint8_t *p = o->block; p < o->block + got / LOG_BLOCK * LOG_BLOCK; p += LOG_BLOCK) {
        int why = log_format_check(p, LOG_BLOCK, ZK_OWNER_MAGIC);
        memcpy(&b, p, sizeof b);
        if (why == E_VERSION)
            ret = why;
        if (why || b.seq <= seq || !b.first || b.first - 1 > b.last || b.last > UINT64_MAX / 2)
            continue;
        ret = 0;
        seq = b.seq;
        o->first = b.first;
        o->last = b.last;
        o->epoch = b.epoch;
        o->member = b.member;
    }
    return ret;
}

void zk_owner_shut(struct zk_owner *o, struct env_op *op)
{
    if (!o->file) {
        env_reply(o->env, op, 0);
        return;
    }
    zk_owner_begin(o, ZK_OWNER_SHUT, op);
    zk_owner_close(o, 0);
}

/* --- the steps --- */

static void zk_owner_step(struct env_op *op)
{
    struct zk_owner *o = container_of(op, struct zk_owner, op);
    int ret = op->ret < 0 ? (int)op->ret : 0;
    if (ret && o->state <= ZK_OWNER_SYNC && o->is_new && o->file) {
        o->is_new = false; /* it stays: of this epoch nobody leads any more */
        zk_owner_close(o, ret);
        return;
    }
    switch (ret ? ZK_OWNER_REST : o->state) {
    case ZK_OWNER_MAKE:
        zk_owner_put(o);
        zk_owner_write(o, ZK_OWNER_TELL);
        return;
    case ZK_OWNER_TELL:
        zk_owner_write(o, ZK_OWNER_TELL_AGAIN);
        return;
    case ZK_OWNER_TELL_AGAIN:
        if (!o->is_new)
            break;
        o->is_new = false;
        o->state = ZK_OWNER_SYNC; /* its name */
        env_sync(o->file, &o->op);
        return;
    case ZK_OWNER_READ:
        ret = zk_owner_take(o, op->ret);
        break;
    case ZK_OWNER_SHUT:
        ret = o->ret;
        break;
    default:
        break;
    }
    zk_owner_end(o, ret);
}
