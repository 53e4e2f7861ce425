/* cluster/rpc_format.c - the codec of the bodies of calls and answers.
 *
 * INVARIANTS
 *  1. get(put(x)) == x for every x whose texts fit in a u16 length.
 *  2. A get reads only inside its reader and accepts any bytes: 0 or E_PROTO.
 *  3. A list's count never exceeds what the bytes behind it can hold, so a loop over it ends soon
 *     whatever was sent.  The items themselves are checked by their own get, one by one.
 *
 * Format: rpc_format.h.  Dense, without presence masks: these bodies are few and short-lived. */
#include "cluster/rpc_format.h"

enum { /* least bytes of an item */
       ITEM_WORKER_MIN = 16,
       ITEM_LOCATION_MIN = 24,
       ITEM_INO_MIN = 8,
       ITEM_DELTA_MIN = 28,
       ITEM_MOUNT_MIN = 6,
};

/* a text in place; NULL when empty, so that absent and empty look the same */
static const char *rpc_format_text(struct rbuf *r, uint32_t *ret_n)
{
    size_t n;
    const char *s = rbuf_str16(r, &n);
    *ret_n = (uint32_t)n;
    return n ? s : NULL;
}

/* the rest of r becomes the reader of n items */
static int rpc_format_items(struct rbuf *r, uint32_t n, size_t item_min, struct rbuf *ret_items)
{
    size_t left = rbuf_left(r);
    if (r->bad || n > left / item_min) {
        r->bad = true;
        *ret_items = rbuf_make(NULL, 0);
        return E_PROTO;
    }
    *ret_items = rbuf_make(r->p + r->pos, left);
    r->pos = r->len;
    return 0;
}

void rpc_format_beat_put(struct wbuf *w, const struct rpc_beat *b)
{
    wbuf_u64(w, b->session.v);
    wbuf_u64(w, b->workers_seen);
}

int rpc_format_beat_get(struct rbuf *r, struct rpc_beat *ret_b)
{
    memset(ret_b, 0, sizeof *ret_b);
    ret_b->session.v = rbuf_u64(r);
    ret_b->workers_seen = rbuf_u64(r);
    return r->bad ? E_PROTO : 0;
}

void rpc_format_beat_reply_put(struct wbuf *w, const struct rpc_beat_reply *b)
{
    wbuf_u64(w, b->epoch);
    wbuf_u64(w, b->lease_ns);
    wbuf_u64(w, b->page_bytes);
    wbuf_u64(w, b->stripe_bytes);
    wbuf_u64(w, b->workers_version);
    wbuf_u32(w, b->n_workers);
}

int rpc_format_beat_reply_get(struct rbuf *r, struct rpc_beat_reply *ret_b)
{
    memset(ret_b, 0, sizeof *ret_b);
    ret_b->epoch = rbuf_u64(r);
    ret_b->lease_ns = rbuf_u64(r);
    ret_b->page_bytes = rbuf_u64(r);
    ret_b->stripe_bytes = rbuf_u64(r);
    ret_b->workers_version = rbuf_u64(r);
    ret_b->n_workers = rbuf_u32(r);
    return rpc_format_items(r, ret_b->n_workers, ITEM_WORKER_MIN, &ret_b->items);
}

void rpc_format_worker_info_put(struct wbuf *w, const struct rpc_worker_info *i)
{
    wbuf_u64(w, i->id.v);
    wbuf_u32(w, i->alive);
    wbuf_str16(w, i->addr, i->addr_len);
    wbuf_str16(w, i->host, i->host_len);
}

int rpc_format_worker_info_get(struct rbuf *r, struct rpc_worker_info *ret_i)
{
    memset(ret_i, 0, sizeof *ret_i);
    ret_i->id.v = rbuf_u64(r);
    ret_i->alive = rbuf_u32(r);
    ret_i->addr = rpc_format_text(r, &ret_i->addr_len);
    ret_i->host = rpc_format_text(r, &ret_i->host_len);
    return r->bad ? E_PROTO : 0;
}

void rpc_format_admin_put(struct wbuf *w, const struct rpc_admin *a)
{
    wbuf_u32(w, a->kind);
    wbuf_str16(w, a->path, a->path_len);
}

int rpc_format_admin_get(struct rbuf *r, struct rpc_admin *ret_a)
{
    memset(ret_a, 0, sizeof *ret_a);
    ret_a->kind = rbuf_u32(r);
    ret_a->path = rpc_format_text(r, &ret_a->path_len);
    return r->bad ? E_PROTO : 0;
}

void rpc_format_change_put(struct wbuf *w, const struct rpc_change *c)
{
    wbuf_u32(w, c->verb);
    wbuf_u32(w, c->id);
    wbuf_u32(w, c->new_id);
    wbuf_u32(w, c->priority);
    wbuf_u64(w, c->timeout_ns);
    wbuf_str16(w, c->addr, c->addr_len);
}

int rpc_format_change_get(struct rbuf *r, struct rpc_change *ret_c)
{
    memset(ret_c, 0, sizeof *ret_c);
    ret_c->verb = rbuf_u32(r);
    ret_c->id = rbuf_u32(r);
    ret_c->new_id = rbuf_u32(r);
    ret_c->priority = rbuf_u32(r);
    ret_c->timeout_ns = rbuf_u64(r);
    ret_c->addr = rpc_format_text(r, &ret_c->addr_len);
    bool is_known = ret_c->verb <= RPC_CHANGE_ELECT && ret_c->priority <= UINT8_MAX;
    return r->bad || !is_known || ret_c->addr_len >= ENV_ADDR_MAX ? E_PROTO : 0;
}

void rpc_format_backup_put(struct wbuf *w, const struct rpc_backup *b)
{
    wbuf_u64(w, b->index);
    wbuf_u64(w, b->offset);
}

int rpc_format_backup_get(struct rbuf *r, struct rpc_backup *ret_b)
{
    ret_b->index = rbuf_u64(r);
    ret_b->offset = rbuf_u64(r);
    return r->bad || ret_b->offset > INT64_MAX ? E_PROTO : 0;
}

void rpc_format_file_put(struct wbuf *w, const struct rpc_file *f)
{
    wbuf_u64(w, f->ino.v);
    wbuf_u64(w, f->version);
}

int rpc_format_file_get(struct rbuf *r, struct rpc_file *ret_f)
{
    memset(ret_f, 0, sizeof *ret_f);
    ret_f->ino.v = rbuf_u64(r);
    ret_f->version = rbuf_u64(r);
    return r->bad ? E_PROTO : 0;
}

void rpc_format_location_put(struct wbuf *w, const struct rpc_location *l)
{
    wbuf_u32(w, l->n);
}

int rpc_format_location_get(struct rbuf *r, struct rpc_location *ret_l)
{
    memset(ret_l, 0, sizeof *ret_l);
    ret_l->n = rbuf_u32(r);
    return rpc_format_items(r, ret_l->n, ITEM_LOCATION_MIN, &ret_l->items);
}

void rpc_format_location_item_put(struct wbuf *w, const struct rpc_location_item *i)
{
    wbuf_u64(w, i->worker.v);
    wbuf_u64(w, i->pages);
    wbuf_u64(w, i->bytes);
}

int rpc_format_location_item_get(struct rbuf *r, struct rpc_location_item *ret_i)
{
    memset(ret_i, 0, sizeof *ret_i);
    ret_i->worker.v = rbuf_u64(r);
    ret_i->pages = rbuf_u64(r);
    ret_i->bytes = rbuf_u64(r);
    return r->bad ? E_PROTO : 0;
}

void rpc_format_inval_put(struct wbuf *w, const struct rpc_inval *i)
{
    wbuf_u32(w, i->kind);
    wbuf_u64(w, i->ino.v);
    wbuf_str16(w, i->name, i->name_len);
}

int rpc_format_inval_get(struct rbuf *r, struct rpc_inval *ret_i)
{
    memset(ret_i, 0, sizeof *ret_i);
    ret_i->kind = rbuf_u32(r);
    ret_i->ino.v = rbuf_u64(r);
    ret_i->name = rpc_format_text(r, &ret_i->name_len);
    return r->bad ? E_PROTO : 0;
}

void rpc_format_inos_put(struct wbuf *w, uint32_t n)
{
    wbuf_u32(w, n);
}

int rpc_format_inos_get(struct rbuf *r, struct rpc_inos *ret_i)
{
    memset(ret_i, 0, sizeof *ret_i);
    ret_i->n = rbuf_u32(r);
    return rpc_format_items(r, ret_i->n, ITEM_INO_MIN, &ret_i->items);
}

void rpc_format_worker_beat_put(struct wbuf *w, const struct rpc_worker_beat *b)
{
    wbuf_u64(w, b->id.v);
    wbuf_u64(w, b->incarnation);
    wbuf_u32(w, b->flags);
    wbuf_str16(w, b->addr, b->addr_len);
    wbuf_str16(w, b->host, b->host_len);
    wbuf_u64(w, b->capacity);
    wbuf_u64(w, b->used);
    wbuf_u64(w, b->page_bytes);
    wbuf_u64(w, b->reads);
    wbuf_u64(w, b->hits);
    wbuf_u64(w, b->misses);
    wbuf_u64(w, b->bytes_served);
    wbuf_u64(w, b->ufs_bytes);
    wbuf_u64(w, b->ufs_reads);
    wbuf_u64(w, b->evictions);
    wbuf_u64(w, b->corrupt);
    wbuf_u64(w, b->errors);
    wbuf_u64(w, b->handed_out);
    wbuf_u64(w, b->held_bytes);
    wbuf_u32(w, b->n_deltas);
}

int rpc_format_worker_beat_get(struct rbuf *r, struct rpc_worker_beat *ret_b)
{
    memset(ret_b, 0, sizeof *ret_b);
    ret_b->id.v = rbuf_u64(r);
    ret_b->incarnation = rbuf_u64(r);
    ret_b->flags = rbuf_u32(r);
    ret_b->addr = rpc_format_text(r, &ret_b->addr_len);
    ret_b->host = rpc_format_text(r, &ret_b->host_len);
    ret_b->capacity = rbuf_u64(r);
    ret_b->used = rbuf_u64(r);
    ret_b->page_bytes = rbuf_u64(r);
    ret_b->reads = rbuf_u64(r);
    ret_b->hits = rbuf_u64(r);
    ret_b->misses = rbuf_u64(r);
    ret_b->bytes_served = rbuf_u64(r);
    ret_b->ufs_bytes = rbuf_u64(r);
    ret_b->ufs_reads = rbuf_u64(r);
    ret_b->evictions = rbuf_u64(r);
    ret_b->corrupt = rbuf_u64(r);
    ret_b->errors = rbuf_u64(r);
    ret_b->handed_out = rbuf_u64(r);
    ret_b->held_bytes = rbuf_u64(r);
    ret_b->n_deltas = rbuf_u32(r);
    return rpc_format_items(r, ret_b->n_deltas, ITEM_DELTA_MIN, &ret_b->items);
}

void rpc_format_delta_put(struct wbuf *w, const struct rpc_page_delta *d)
{
    wbuf_u64(w, d->ino.v);
    wbuf_u64(w, d->version);
    wbuf_u32(w, d->pages);
    wbuf_u64(w, d->bytes);
}

int rpc_format_delta_get(struct rbuf *r, struct rpc_page_delta *ret_d)
{
    memset(ret_d, 0, sizeof *ret_d);
    ret_d->ino.v = rbuf_u64(r);
    ret_d->version = rbuf_u64(r);
    ret_d->pages = rbuf_u32(r);
    ret_d->bytes = rbuf_u64(r);
    return r->bad ? E_PROTO : 0;
}

void rpc_format_worker_beat_reply_put(struct wbuf *w, const struct rpc_worker_beat_reply *b)
{
    wbuf_u64(w, b->epoch);
    wbuf_u64(w, b->interval_ns);
    wbuf_u64(w, b->page_bytes);
    wbuf_u32(w, b->want_full);
    wbuf_u32(w, b->n_mounts);
}

int rpc_format_worker_beat_reply_get(struct rbuf *r, struct rpc_worker_beat_reply *ret_b)
{
    memset(ret_b, 0, sizeof *ret_b);
    ret_b->epoch = rbuf_u64(r);
    ret_b->interval_ns = rbuf_u64(r);
    ret_b->page_bytes = rbuf_u64(r);
    ret_b->want_full = rbuf_u32(r);
    ret_b->n_mounts = rbuf_u32(r);
    return rpc_format_items(r, ret_b->n_mounts, ITEM_MOUNT_MIN, &ret_b->items);
}

void rpc_format_mount_put(struct wbuf *w, const struct rpc_mount_item *m)
{
    wbuf_u16(w, m->number);
    wbuf_u16(w, m->mode);
    wbuf_str16(w, m->uri, m->uri_len);
}

int rpc_format_mount_get(struct rbuf *r, struct rpc_mount_item *ret_m)
{
    memset(ret_m, 0, sizeof *ret_m);
    ret_m->number = rbuf_u16(r);
    ret_m->mode = rbuf_u16(r);
    ret_m->uri = rpc_format_text(r, &ret_m->uri_len);
    return r->bad ? E_PROTO : 0;
}

void rpc_format_addr_put(struct wbuf *w, const char *addr, uint32_t len)
{
    wbuf_str16(w, addr, len);
}

int rpc_format_addr_get(struct rbuf *r, const char **ret_addr, uint32_t *ret_len)
{
    *ret_addr = rpc_format_text(r, ret_len);
    return r->bad || *ret_len >= ENV_ADDR_MAX ? E_PROTO : 0;
}

void rpc_format_io_put(struct wbuf *w, const struct rpc_io *io)
{
    wbuf_u64(w, io->ino.v);
    wbuf_u64(w, io->version);
    wbuf_u64(w, io->size);
    wbuf_u64(w, io->fp);
    wbuf_u64(w, io->ufs_ino);
    wbuf_u16(w, io->mount);
    wbuf_u16(w, io->flags);
    wbuf_u64(w, io->off);
    wbuf_u32(w, io->len);
    wbuf_u64(w, io->key.token);
    wbuf_u64(w, io->key.len);
    wbuf_u64(w, io->key_off);
    wbuf_u16(w, io->valid_ms);
    wbuf_str16(w, io->path, io->path_len);
}

int rpc_format_io_get(struct rbuf *r, struct rpc_io *ret_io)
{
    memset(ret_io, 0, sizeof *ret_io);
    ret_io->ino.v = rbuf_u64(r);
    ret_io->version = rbuf_u64(r);
    ret_io->size = rbuf_u64(r);
    ret_io->fp = rbuf_u64(r);
    ret_io->ufs_ino = rbuf_u64(r);
    ret_io->mount = rbuf_u16(r);
    ret_io->flags = rbuf_u16(r);
    ret_io->off = rbuf_u64(r);
    ret_io->len = rbuf_u32(r);
    ret_io->key.token = rbuf_u64(r);
    ret_io->key.len = rbuf_u64(r);
    ret_io->key_off = rbuf_u64(r);
    ret_io->valid_ms = rbuf_u16(r);
    ret_io->path = rpc_format_text(r, &ret_io->path_len);
    return r->bad ? E_PROTO : 0;
}

void rpc_format_alloc_put(struct wbuf *w, const struct rpc_alloc *a)
{
    wbuf_u64(w, a->len);
    wbuf_u32(w, a->how);
}

int rpc_format_alloc_get(struct rbuf *r, struct rpc_alloc *ret_a)
{
    memset(ret_a, 0, sizeof *ret_a);
    ret_a->len = rbuf_u64(r);
    ret_a->how = rbuf_u32(r);
    return r->bad ? E_PROTO : 0;
}

void rpc_format_io_reply_put(struct wbuf *w, const struct rpc_io_reply *io)
{
    wbuf_u32(w, io->bytes);
    wbuf_u32(w, io->hit);
    wbuf_u64(w, io->kernel);
}

int rpc_format_io_reply_get(struct rbuf *r, struct rpc_io_reply *ret_io)
{
    memset(ret_io, 0, sizeof *ret_io);
    ret_io->bytes = rbuf_u32(r);
    ret_io->hit = rbuf_u32(r);
    ret_io->kernel = rbuf_u64(r);
    return r->bad ? E_PROTO : 0;
}

void rpc_format_local_put(struct wbuf *w, const struct rpc_local *l)
{
    wbuf_u32(w, l->kind);
    wbuf_u64(w, l->ino.v);
    wbuf_u64(w, l->version);
    wbuf_u64(w, l->size);
    wbuf_u64(w, l->token);
    wbuf_str16(w, l->host, l->host_len);
}

int rpc_format_local_get(struct rbuf *r, struct rpc_local *ret_l)
{
    memset(ret_l, 0, sizeof *ret_l);
    ret_l->kind = rbuf_u32(r);
    ret_l->ino.v = rbuf_u64(r);
    ret_l->version = rbuf_u64(r);
    ret_l->size = rbuf_u64(r);
    ret_l->token = rbuf_u64(r);
    ret_l->host = rpc_format_text(r, &ret_l->host_len);
    return r->bad ? E_PROTO : 0;
}

void rpc_format_local_reply_put(struct wbuf *w, const struct rpc_local_reply *l)
{
    wbuf_str16(w, l->address, l->address_len);
}

int rpc_format_local_reply_get(struct rbuf *r, struct rpc_local_reply *ret_l)
{
    memset(ret_l, 0, sizeof *ret_l);
    ret_l->address = rpc_format_text(r, &ret_l->address_len);
    return r->bad ? E_PROTO : 0;
}

void rpc_format_free_put(struct wbuf *w, const struct rpc_free *f)
{
    wbuf_u64(w, f->ino.v);
    wbuf_u64(w, f->below);
}

int rpc_format_free_get(struct rbuf *r, struct rpc_free *ret_f)
{
    memset(ret_f, 0, sizeof *ret_f);
    ret_f->ino.v = rbuf_u64(r);
    ret_f->below = rbuf_u64(r);
    return r->bad ? E_PROTO : 0;
}
