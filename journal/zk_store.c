/* journal/zk_store.c - see zk_store.h: one call after the other, and what must come of each. */
#include "journal/zk_store.h"
#include "core/fmt.h"
#include "core/prng.h"

static void zk_store_begin(struct zk_store *s);

/* --- what is written --- */

static void zk_store_fill(struct zk_store *s, uint64_t what, uint32_t blocks)
{
    for (uint32_t i = 0; i < blocks * LOG_BLOCK; i++)
        s->block[i] = (uint8_t)base_mix_u64(s->tag + what + i / 8);
}

static bool zk_store_is(const struct zk_store *s, uint64_t what, uint32_t blocks)
{
    for (uint32_t i = 0; i < blocks * LOG_BLOCK; i++)
        if (s->block[i] != (uint8_t)base_mix_u64(s->tag + what + i / 8))
            return false;
    return true;
}

static const char *zk_store_leaf(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

/* is that name among those that were listed? */
static bool zk_store_lists(const struct zk_store *s, int64_t len, const char *name)
{
    const char *n = (const char *)s->block;
    for (; n < (const char *)s->block + len; n += strlen(n) + 1)
        if (!strcmp(n, zk_store_leaf(name)))
            return true;
    return false;
}

/* --- the end --- */

static void zk_store_lacks(struct zk_store *s, const char *what)
{
    s->ret = E_NOTSUP;
    fmt_into(s->text, sizeof s->text, "%s", what);
}

static void zk_store_end(struct zk_store *s)
{
    struct env_op *user = s->user;
    mem_free(s->mem, s->memory, 2 * LOG_BLOCK + ENV_DIRECT_ALIGN);
    s->memory = NULL;
    s->user = NULL;
    s->state = ZK_STORE_REST;
    env_reply(s->env, user, s->ret);
}

/* one that is open is closed; false: none is */
static bool zk_store_close(struct zk_store *s)
{
    struct env_file **p = s->file      ? &s->file
                          : s->other   ? &s->other
                          : s->renamed ? &s->renamed
                                       : &s->stray;
    struct env_file *f = *p;
    *p = NULL;
    if (f)
        env_close(f, &s->op);
    return f;
}

/* --- what must come of it --- */

static void zk_store_failed(struct zk_store *s, int why)
{
    static const char *const what[] = {
        [ZK_STORE_MAKE] = "make a file in",         [ZK_STORE_MAKE_TWICE] = "make a file in",
        [ZK_STORE_WRITE] = "write to a file in",    [ZK_STORE_WRITE_AGAIN] = "write to a file in",
        [ZK_STORE_GROW] = "write to a file in",     [ZK_STORE_SYNC] = "sync a file in",
        [ZK_STORE_MOVE] = "rename a file in",       [ZK_STORE_LIST] = "list",
        [ZK_STORE_REMOVE_NEW] = "remove a file in",
    };
    s->ret = why;
    fmt_into(s->text, sizeof s->text, "cannot %s '%sprobe': %s",
             s->state < (int)ARRAY_LEN(what) && what[s->state] ? what[s->state] : "read a file in",
             s->dir, err_text(why));
}

static void zk_store_judge_read(struct zk_store *s, int64_t ret)
{
    switch (s->state) {
    case ZK_STORE_LOOK:
        if (ret == E_NOENT)
            zk_store_lacks(s, "a file that was just made is not found by its name");
        else if (ret >= 0 && ret != LOG_BLOCK)
            zk_store_lacks(s, "a file's size is an older one when it is opened");
        break;
    case ZK_STORE_READ:
        if (ret >= 0 && (ret < LOG_BLOCK || !zk_store_is(s, 1, 1)))
            zk_store_lacks(s, "what was written to a file is not what another descriptor reads");
        break;
    case ZK_STORE_READ_AGAIN:
        if (ret >= 0 && (ret < LOG_BLOCK || !zk_store_is(s, 2, 1)))
            zk_store_lacks(s, "a file that was read before gives its older bytes, although it is "
                              "read past the cache (O_DIRECT)");
        break;
    default:
        if (ret >= 0 && (ret < 2 * LOG_BLOCK || !zk_store_is(s, 2, 2)))
            zk_store_lacks(s, "a file that has grown still ends where it did, for who has it open");
    }
}

static void zk_store_judge_name(struct zk_store *s, int64_t ret)
{
    switch (s->state) {
    case ZK_STORE_MAKE_TWICE:
        if (ret >= 0)
            zk_store_lacks(s, "one name can be made exclusively (O_EXCL) by two");
        break;
    case ZK_STORE_LOOK_OLD:
        if (ret >= 0)
            zk_store_lacks(s, "a file that was renamed is still found by its old name");
        break;
    case ZK_STORE_LOOK_NEW:
        if (ret == E_NOENT)
            zk_store_lacks(s, "a file that was renamed is not found by its new name");
        else if (ret >= 0 && ret != 2 * LOG_BLOCK)
            zk_store_lacks(s, "a file that was renamed is not the same by its new name");
        break;
    case ZK_STORE_LIST:
        if (ret >= 0 && (!zk_store_lists(s, ret, s->moved) || zk_store_lists(s, ret, s->name)))
            zk_store_lacks(s, "a directory's names are older ones when it is listed");
        break;
    default:
        if (ret >= 0)
            zk_store_lacks(s, "a file that was removed is still found by its name");
    }
}

static bool zk_store_is_named(enum zk_store_state st)
{
    return st == ZK_STORE_MAKE_TWICE || (st >= ZK_STORE_LOOK_OLD && st <= ZK_STORE_LIST) ||
           st == ZK_STORE_LOOK_GONE;
}

static bool zk_store_is_read(enum zk_store_state st)
{
    return st == ZK_STORE_LOOK || st == ZK_STORE_READ || st == ZK_STORE_READ_AGAIN ||
           st == ZK_STORE_READ_GROWN;
}

static void zk_store_done(struct env_op *op)
{
    struct zk_store *s = container_of(op, struct zk_store, op);
    int64_t ret = op->ret;
    bool is_absent = (s->state == ZK_STORE_MAKE_TWICE && ret == E_EXIST) ||
                     ((s->state == ZK_STORE_LOOK_OLD || s->state == ZK_STORE_LOOK_GONE) &&
                      (ret == E_NOENT || ret == E_STALE));
    if (s->state < ZK_STORE_CLOSE) {
        if (zk_store_is_named(s->state))
            zk_store_judge_name(s, ret);
        else if (zk_store_is_read(s->state))
            zk_store_judge_read(s, ret);
        if (ret < 0 && !is_absent && !s->ret)
            zk_store_failed(s, (int)ret);
        s->state = s->ret ? ZK_STORE_CLOSE : s->state + 1;
    } else if (s->state > ZK_STORE_CLOSE) {
        s->state++;
    }
    zk_store_begin(s);
}

/* --- the calls --- */

static void zk_store_open(struct zk_store *s, const char *name, unsigned flags,
                          struct env_file **ret_file)
{
    env_open(s->env, name, flags | ENV_O_DIRECT, ret_file, &s->op);
}

static void zk_store_write(struct zk_store *s, uint64_t what, uint32_t blocks)
{
    zk_store_fill(s, what, blocks);
    env_write(s->file, s->block, blocks * LOG_BLOCK, 0, &s->op);
}

static void zk_store_read(struct zk_store *s, uint32_t blocks)
{
    memset(s->block, 0, blocks * LOG_BLOCK);
    env_read(s->other, s->block, blocks * LOG_BLOCK, 0, &s->op);
}

static void zk_store_close_next(struct zk_store *s)
{
    char probe[ENV_NAME_MAX], after[ENV_NAME_MAX];
    switch (s->state) {
    case ZK_STORE_LIST:
        fmt_into(probe, sizeof probe, "%sprobe", s->dir);
        fmt_into(after, sizeof after, "%.15s", zk_store_leaf(s->moved)); /* just before it */
        env_list(s->env, probe, after, (char *)s->block, 2 * LOG_BLOCK, &s->op);
        return;
    case ZK_STORE_REMOVE_NEW:
    case ZK_STORE_REMOVE_OTHER:
        env_unlink(s->env, s->moved, &s->op);
        return;
    case ZK_STORE_LOOK_GONE:
        zk_store_open(s, s->moved, ENV_O_READ, &s->stray);
        return;
    case ZK_STORE_CLOSE:
        if (zk_store_close(s))
            return;
        s->state = ZK_STORE_REMOVE;
        env_unlink(s->env, s->name, &s->op);
        return;
    default:
        zk_store_end(s);
    }
}

static void zk_store_begin(struct zk_store *s)
{
    unsigned make = ENV_O_WRITE | ENV_O_CREATE | ENV_O_EXCL | ENV_O_DSYNC;
    switch (s->state) {
    case ZK_STORE_MAKE:
        zk_store_open(s, s->name, make, &s->file);
        return;
    case ZK_STORE_MAKE_TWICE:
        zk_store_open(s, s->name, make, &s->stray);
        return;
    case ZK_STORE_WRITE:
        zk_store_write(s, 1, 1);
        return;
    case ZK_STORE_LOOK:
        zk_store_open(s, s->name, ENV_O_READ | ENV_O_COHERENT, &s->other); /* as the fence */
        return;
    case ZK_STORE_READ:
    case ZK_STORE_READ_AGAIN:
        zk_store_read(s, 1);
        return;
    case ZK_STORE_WRITE_AGAIN:
        zk_store_write(s, 2, 1);
        return;
    case ZK_STORE_GROW:
        zk_store_write(s, 2, 2);
        return;
    case ZK_STORE_READ_GROWN:
        zk_store_read(s, 2);
        return;
    case ZK_STORE_SYNC:
        env_sync(s->file, &s->op);
        return;
    case ZK_STORE_MOVE:
        env_rename(s->env, s->name, s->moved, &s->op);
        return;
    case ZK_STORE_LOOK_OLD:
        zk_store_open(s, s->name, ENV_O_READ, &s->stray);
        return;
    case ZK_STORE_LOOK_NEW:
        zk_store_open(s, s->moved, ENV_O_READ, &s->renamed);
        return;
    default:
        zk_store_close_next(s);
    }
}

void zk_store_check(struct zk_store *s, struct env *shared, struct mem *m, const char *dir,
                    struct env_op *op)
{
    memset(s, 0, sizeof *s);
    s->env = shared;
    s->mem = m;
    s->user = op;
    s->op.done = zk_store_done;
    s->tag = env_random(shared);
    s->memory = mem_alloc(m, 2 * LOG_BLOCK + ENV_DIRECT_ALIGN);
    if (!s->memory) {
        env_reply(shared, op, E_NOMEM);
        return;
    }
    s->block = s->memory + (-(uintptr_t)s->memory & (ENV_DIRECT_ALIGN - 1));
    fmt_into(s->dir, sizeof s->dir, "%s", dir);
    fmt_into(s->name, sizeof s->name, "%sprobe/%016llx.new", dir, (unsigned long long)s->tag);
    fmt_into(s->moved, sizeof s->moved, "%sprobe/%016llx", dir, (unsigned long long)s->tag);
    s->state = ZK_STORE_MAKE;
    zk_store_begin(s);
}
