/* cluster/master_backup.c - pieces of a state image's file, for `tarn journal backup`.
 *
 * Any member answers, of the images that it has; an image that was pruned meanwhile is E_NOENT, and
 * who asks begins again with a newer one.  Nothing is kept between two calls. */
#include "cluster/master_impl.h"

static void backup_read(struct env_op *op)
{
    struct master_req *r = container_of(op, struct master_req, barrier);
    if (op->ret >= 0 && !r->is_answered) {
        rpc_reply(r->token, 0, r->page, (uint32_t)op->ret);
        r->is_answered = true;
    }
    master_rpc_done(r, op->ret < 0 ? (int)op->ret : 0);
}

void master_backup_call(struct master *m, struct rpc_token t, const void *body, uint32_t len)
{
    struct rbuf b = rbuf_make(body, len);
    struct rpc_backup q;
    int err = rpc_format_backup_get(&b, &q);
    if (err) {
        rpc_reply(t, err, NULL, 0);
        return;
    }
    struct master_req *r = master_rpc_new(m, t, RPC_BACKUP, NULL, 0);
    if (r)
        r->page = mem_alloc(m->mem, LIMIT_BATCH);
    if (!r || !r->page) {
        if (r)
            master_rpc_done(r, E_AGAIN);
        else
            rpc_reply(t, E_AGAIN, NULL, 0);
        return;
    }
    r->state = REQ_IMAGE;
    r->barrier.done = backup_read;
    journal_image_read(m->journal, q.index, q.offset, r->page, LIMIT_BATCH, &r->barrier);
}
