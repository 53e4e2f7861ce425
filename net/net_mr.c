/* net/net_mr.c - remote memory over TCP: regions that others reach by token, and the transfers.
 *
 * A token is (random << 32 | slot + 1): looking one up is an index and a comparison, and a guess
 * or an old token of a reused slot fails.
 *
 * Invariants:
 *  1. Only a region that is in its slot is written or read by a connection.
 *  2. A connection in the middle of placing into a region is on the region's placing list; a piece
 *     of output that points into it is on its refs list.  revoke() empties both at once: the
 *     placement becomes a discard, the output gets a copy of what has not left yet.
 *  3. Replies come in the order of the requests, because one connection carries both in order; so
 *     the reads of a connection are a queue and a number is only checked, never looked up.
 *
 * Why revoke copies rather than waits: the other end may take its time, and the owner wants its
 * memory now.  It is rare: a reader is normally answered before its region goes. */
#include <stdlib.h>
#include "net/net_impl.h"

/* region.impl: who is placing into it, and what output points into it */
static struct list *net_mr_placing(struct env_region *r)
{
    return (struct list *)(void *)&r->impl[0];
}

static struct list *net_mr_refs(struct env_region *r)
{
    return (struct list *)(void *)&r->impl[2];
}
static_assert(sizeof(((struct env_region *)0)->impl) >= 2 * sizeof(struct list), "two lists");

/* an rma op's own words while it waits for its answer */
enum { NET_MR_MEM, NET_MR_LEN, NET_MR_TOKEN, NET_MR_OFF, NET_MR_NUMBER };

static struct env_region *net_mr_find(struct net *net, uint64_t token)
{
    uint32_t slot = (uint32_t)token - 1;
    if (slot >= net->mr_n || net->mr[slot].token != token)
        return NULL;
    return net->mr[slot].region;
}

void net_mr_share(struct env *e, void *mem, uint64_t len, struct env_region *r,
                  struct env_key *ret_key)
{
    struct net *net = net_of(e);
    if (net->mr_free == UINT32_MAX) {
        uint32_t n = net->mr_n ? net->mr_n * 2 : 64;
        struct net_mr_slot *mr = realloc(net->mr, n * sizeof *mr);
        ASSERT(mr);
        for (uint32_t i = n; i-- > net->mr_n;) {
            mr[i] = (struct net_mr_slot){.free_next = net->mr_free};
            net->mr_free = i;
        }
        net->mr = mr;
        net->mr_n = n;
    }
    uint32_t i = net->mr_free;
    net->mr_free = net->mr[i].free_next;
    uint64_t token = net_loop_random(net) << 32 | (i + 1);
    net->mr[i] = (struct net_mr_slot){.region = r, .token = token};
    *r = (struct env_region){.env = e, .mem = mem, .len = len, .token = token};
    list_init(net_mr_placing(r));
    list_init(net_mr_refs(r));
    list_init(&r->link);
    *ret_key = (struct env_key){token, len};
}

void net_mr_revoke(struct env_region *r, struct env_op *op)
{
    struct net *net = net_of(r->env);
    uint32_t i = (uint32_t)r->token - 1;
    ASSERT(net_mr_find(net, r->token) == r);
    net->mr[i] = (struct net_mr_slot){.free_next = net->mr_free};
    net->mr_free = i;
    struct list *l;
    while ((l = list_pop(net_mr_placing(r))))
        list_entry(l, struct net_conn, place_link)->place_to = NULL;
    while ((l = list_pop(net_mr_refs(r)))) {
        struct net_seg *s = list_entry(l, struct net_seg, region_link);
        s->own = net_loop_alloc(s->n);
        memcpy(s->own, s->p, s->n);
        s->own_n = s->n;
        net_stream_hold(s->conn, (int64_t)s->n);
        s->p = s->own;
    }
    r->token = 0;
    net_loop_later(net, op, 0);
}

/* ---- asking ---- */

static void net_mr_ask(struct net_conn *c)
{
    while (c->reads_n < NET_READS_OUT && !list_empty(&c->reads_wait)) {
        struct env_op *op = list_entry(list_pop(&c->reads_wait), struct env_op, link);
        op->impl[NET_MR_NUMBER] = c->read_next++;
        list_push_back(&c->reads, &op->link);
        c->reads_n++;
        net_stream_item(c, &(struct net_frame){.kind = NET_FRAME_READ,
                                               .length = (uint32_t)op->impl[NET_MR_LEN],
                                               .check = (uint32_t)op->impl[NET_MR_NUMBER],
                                               .token = op->impl[NET_MR_TOKEN],
                                               .offset = op->impl[NET_MR_OFF]});
    }
}

static void net_mr_answered(struct net_conn *c, struct env_op *op, int64_t ret)
{
    list_remove(&op->link);
    c->reads_n--;
    net_loop_later(c->net, op, ret);
    net_mr_ask(c);
}

static void net_mr_write(struct net_conn *c, const void *mem, uint32_t len, struct env_key key,
                         uint64_t off, struct env_op *op)
{
    c->net->stats.rma_out++;
    net_stream_item(c,
                    &(struct net_frame){
                        .kind = NET_FRAME_WRITE, .length = len, .token = key.token, .offset = off});
    if (len > NET_COPY_MAX) {
        net_stream_ref(c, mem, len, op, NULL);
        return;
    }
    net_stream_bytes(c, mem, len);
    net_loop_later(c->net, op, len);
}

void net_mr_rma(struct env_conn *conn, enum env_rma dir, void *mem, uint32_t len,
                struct env_key key, uint64_t off, struct env_op *op)
{
    struct net_conn *c = net_conn_of(conn);
    ASSERT(!c->raw);
    /* the key came over the wire: it is checked, not trusted */
    int err = c->state != NET_OPEN || c->broken      ? E_CLOSED
              : !key.token                           ? E_STALE
              : len > NET_FRAME_RMA_MAX              ? E_TOOBIG
              : off > key.len || len > key.len - off ? E_INVAL
              : off > NET_FRAME_OFFSET_MAX           ? E_INVAL
                                                     : 0;
    if (err) {
        net_loop_later(c->net, op, err);
        return;
    }
    if (dir == ENV_RMA_WRITE) {
        net_mr_write(c, mem, len, key, off, op);
        return;
    }
    op->impl[NET_MR_MEM] = (uint64_t)(uintptr_t)mem;
    op->impl[NET_MR_LEN] = len;
    op->impl[NET_MR_TOKEN] = key.token;
    op->impl[NET_MR_OFF] = off;
    list_push_back(&c->reads_wait, &op->link);
    net_mr_ask(c);
}

/* ---- being asked ---- */

static int net_mr_on_write(struct net_conn *c, const struct net_frame *f)
{
    struct env_region *r = net_mr_find(c->net, f->token);
    if (r && (f->offset > r->len || f->length > r->len - f->offset))
        return E_PROTO;
    c->place_left = f->length;
    c->place_to = r ? (uint8_t *)r->mem + f->offset : NULL;
    if (r)
        list_push_back(net_mr_placing(r), &c->place_link);
    if (!f->length)
        net_mr_placed(c);
    return 0;
}

static int net_mr_on_read(struct net_conn *c, const struct net_frame *f)
{
    struct env_region *r = net_mr_find(c->net, f->token);
    /* an end that keeps to NET_READS_OUT cannot get here */
    if (c->replies >= NET_REPLIES_MAX || c->out_bytes > c->net->config.backlog_max)
        return E_TOOBIG;
    if (r && (f->offset > r->len || f->length > r->len - f->offset))
        return E_PROTO;
    if (c->broken)
        return 0;
    if (!r) {
        net_stream_item(c, &(struct net_frame){.kind = NET_FRAME_READ_ERR,
                                               .check = f->check,
                                               .token = (uint64_t)-E_STALE});
        return 0;
    }
    c->net->stats.rma_out++;
    net_stream_item(c, &(struct net_frame){
                           .kind = NET_FRAME_READ_DATA, .length = f->length, .check = f->check});
    const uint8_t *p = (const uint8_t *)r->mem + f->offset;
    if (f->length > NET_COPY_MAX)
        net_stream_ref(c, p, f->length, NULL, net_mr_refs(r));
    else
        net_stream_bytes(c, p, f->length);
    return 0;
}

static int net_mr_on_answer(struct net_conn *c, const struct net_frame *f)
{
    if (list_empty(&c->reads))
        return E_PROTO;
    struct env_op *op = list_entry(c->reads.next, struct env_op, link);
    if (f->check != op->impl[NET_MR_NUMBER])
        return E_PROTO;
    if (f->kind == NET_FRAME_READ_ERR) {
        int err = f->token <= INT32_MAX ? err_checked(-(int64_t)f->token) : E_PROTO;
        net_mr_answered(c, op, err);
        return 0;
    }
    if (f->length != op->impl[NET_MR_LEN])
        return E_PROTO;
    c->place_op = op;
    c->place_to = (uint8_t *)(uintptr_t)op->impl[NET_MR_MEM];
    c->place_left = f->length;
    if (!f->length)
        net_mr_placed(c);
    return 0;
}

int net_mr_item(struct net_conn *c, const struct net_frame *f)
{
    switch (f->kind) {
    case NET_FRAME_WRITE:
        return net_mr_on_write(c, f);
    case NET_FRAME_READ:
        return net_mr_on_read(c, f);
    default:
        return net_mr_on_answer(c, f);
    }
}

void net_mr_placed(struct net_conn *c)
{
    c->net->stats.rma_in++;
    c->place_to = NULL;
    if (list_linked(&c->place_link))
        list_remove(&c->place_link);
    if (c->place_op) {
        struct env_op *op = c->place_op;
        c->place_op = NULL;
        net_mr_answered(c, op, (int64_t)op->impl[NET_MR_LEN]);
    }
}

void net_mr_drop(struct net_conn *c)
{
    c->place_to = NULL;
    c->place_left = 0;
    c->place_op = NULL;
    if (list_linked(&c->place_link))
        list_remove(&c->place_link);
    struct list *l;
    while ((l = list_pop(&c->reads)) || (l = list_pop(&c->reads_wait)))
        net_loop_later(c->net, list_entry(l, struct env_op, link), E_CLOSED);
    c->reads_n = 0;
}
