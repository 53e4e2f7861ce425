/* journal/image_read.c - OPEN -> READ -> CLOSE, see image_read.h. */
#include "journal/image_read.h"
#include "core/fmt.h"

static void image_read_done(struct env_op *op)
{
    struct image_read *r = container_of(op, struct image_read, op);
    struct env_file *f = r->file;
    if (!r->is_open && op->ret >= 0) {
        r->is_open = true;
        env_read(f, r->to, r->len, r->offset, &r->op);
        return;
    }
    if (r->is_open && !r->was_read) {
        r->was_read = true;
        r->ret = op->ret;
        r->file = NULL;
        env_close(f, &r->op);
        return;
    }
    struct env_op *user = r->user;
    user->ret = r->is_open ? r->ret : op->ret;
    r->user = NULL;
    env_post(r->env, user);
    r->idle(r);
}

void image_read_start(struct image_read *r, const char *dir, uint64_t index, uint64_t offset,
                      void *to, uint32_t len, struct env_op *op)
{
    char leaf[LOG_NAME_MAX], name[ENV_NAME_MAX];
    if (r->user) {
        op->ret = E_AGAIN;
        env_post(r->env, op);
        return;
    }
    log_format_name(leaf, "image-", index);
    fmt_into(name, sizeof name, "%s%s", dir, leaf);
    r->user = op;
    r->to = to;
    r->len = len;
    r->offset = offset;
    r->is_open = r->was_read = false;
    r->op.done = image_read_done;
    env_open(r->env, name, ENV_O_READ, &r->file, &r->op);
}
