/* net/net_stream.c - the bytes of a connection, both ways.
 *
 * Out: a list of pieces.  Frames and headers are copied into chunks, a transfer's memory is only
 * pointed to.  What one turn sends leaves in prepare as one writev (large ones as few); when that
 * is many frames, the first leave early (net_stream_early).
 *
 * In: one read goes to two places: first the rest of the transfer under way, straight into its
 * memory (or the dustbin), then the net's one receive buffer, where items are parsed in place.  An
 * item whose end has not come is set aside in the connection's stash and put back in front of the
 * next read.  After a transfer the buffer's part of a read is kept small, because what follows is
 * probably the next transfer, whose bytes should not pass through the buffer.  What a raw
 * connection brings is given to its owner as it was read.
 *
 * Invariants:
 *  1. While place_left > 0 the stash is empty: all that came was placed.
 *  2. The owner may do anything inside on_frame, also hang up; c->state is looked at after it.
 *  3. A connection is on the dirty list or blocked, or has nothing to send.
 *  4. All connections together hold at most held_max (and what one frame adds): over it the one
 *     that holds most is closed, so those that read what they asked for are not the ones to suffer.
 *
 * Why a shared receive buffer: a thousand idle connections cost nothing; and its 256 KiB stay in
 * the CPU's cache.  Why one read per turn does not loop until EAGAIN: a read that got less than it
 * asked for has emptied the socket, and epoll is level-triggered, so nothing can be missed. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include "core/crc.h"
#include "net/net_impl.h"

/* ---- pieces ---- */

static struct net_seg *net_stream_seg(struct net *net, bool chunk)
{
    struct list *l = list_pop(chunk ? &net->chunks_free : &net->refs_free);
    struct net_seg *s;
    if (l) {
        (*(chunk ? &net->chunks_free_n : &net->refs_free_n))--;
        s = list_entry(l, struct net_seg, link);
    } else {
        s = malloc(sizeof *s + (chunk ? NET_CHUNK : 0));
        ASSERT(s);
    }
    memset(s, 0, sizeof *s);
    list_init(&s->link);
    list_init(&s->region_link);
    s->cap = chunk ? NET_CHUNK : 0;
    s->p = s->data;
    return s;
}

void net_stream_hold(struct net_conn *c, int64_t n)
{
    c->held += (uint64_t)n;
    c->net->held += (uint64_t)n;
}

static void net_stream_crowded(struct net *net)
{
    while (net->held > net->config.held_max) {
        struct net_conn *most = NULL;
        list_each(it, &net->conns) {
            struct net_conn *c = list_entry(it, struct net_conn, link);
            if (c->held && (!most || c->held > most->held))
                most = c;
        }
        if (!most)
            return;
        fmt_log(&net->env, ENV_LOG_ERROR,
                "net: %s is closed: %llu MiB of memory are held for connections, more than the "
                "configured limit, %llu MiB for this one",
                most->name, (unsigned long long)(net->held >> 20),
                (unsigned long long)(most->held >> 20));
        net_tcp_kill(most, E_TOOBIG);
    }
}

/* err: of the op that waits for the piece; 0: all of it has left */
static void net_stream_seg_free(struct net_conn *c, struct net_seg *s, int err)
{
    struct net *net = c->net;
    list_remove(&s->link);
    if (list_linked(&s->region_link))
        list_remove(&s->region_link);
    if (s->op)
        net_loop_later(net, s->op, err ? err : s->op->ret);
    if (s->reply)
        c->replies--;
    free(s->own);
    net_stream_hold(c, -(int64_t)(s->own_n + s->cap));
    uint32_t *n = s->cap ? &net->chunks_free_n : &net->refs_free_n;
    if (*n >= NET_SPARE) {
        free(s);
        return;
    }
    (*n)++;
    list_push_front(s->cap ? &net->chunks_free : &net->refs_free, &s->link);
}

void net_stream_free_spares(struct net *net)
{
    struct list *l;
    while ((l = list_pop(&net->chunks_free)) || (l = list_pop(&net->refs_free)))
        free(list_entry(l, struct net_seg, link));
}

static void net_stream_dirty(struct net_conn *c, size_t n)
{
    struct net *net = c->net;
    c->out_bytes += n;
    if (!c->blocked && !list_linked(&c->dirty_link))
        list_push_back(&net->dirty, &c->dirty_link);
    if (c->out_bytes >= net->config.backlog_warn && !c->warned) {
        c->warned = true;
        fmt_log(&net->env, ENV_LOG_WARN,
                "net: %s takes data slowly: %llu MiB wait to be sent to it", c->name,
                (unsigned long long)(c->out_bytes >> 20));
    }
}

void net_stream_bytes(struct net_conn *c, const void *p, size_t n)
{
    const uint8_t *from = p;
    net_stream_dirty(c, n);
    while (n) {
        struct net_seg *s =
            list_empty(&c->segs) ? NULL : list_entry(c->segs.prev, struct net_seg, link);
        size_t used = s && s->cap ? (size_t)(s->p + s->n - s->data) : 0;
        if (!s || !s->cap || used == s->cap) {
            s = net_stream_seg(c->net, true);
            net_stream_hold(c, (int64_t)s->cap);
            list_push_back(&c->segs, &s->link);
            used = 0;
        }
        size_t take = n < s->cap - used ? n : s->cap - used;
        memcpy(s->data + used, from, take);
        s->n += take;
        from += take;
        n -= take;
    }
}

void net_stream_ref(struct net_conn *c, const void *p, size_t n, struct env_op *op,
                    struct list *region_refs)
{
    struct net_seg *s = net_stream_seg(c->net, false);
    net_stream_dirty(c, n);
    s->p = p;
    s->n = n;
    s->op = op;
    if (op)
        op->ret = (int64_t)n;
    s->conn = c;
    list_push_back(&c->segs, &s->link);
    if (region_refs) {
        s->reply = true;
        c->replies++;
        list_push_back(region_refs, &s->region_link);
    }
}

void net_stream_item(struct net_conn *c, const struct net_frame *f)
{
    uint8_t head[NET_FRAME_HEAD];
    net_frame_encode(f, head);
    net_stream_bytes(c, head, sizeof head);
}

static bool net_stream_full(struct net_conn *c, size_t n)
{
    if (c->out_bytes + n <= c->net->config.backlog_max)
        return false;
    fmt_log(&c->net->env, ENV_LOG_ERROR,
            "net: %s is closed: %llu MiB wait to be sent to it, more than the configured limit",
            c->name, (unsigned long long)(c->out_bytes >> 20));
    net_tcp_kill(c, E_TOOBIG);
    return true;
}

/* The first frames of a turn leave before its end, so that the other end, on another CPU, need not
 * wait for the last; then twice as many, and so on: long turns cost few writes. */
static void net_stream_early(struct net_conn *c, size_t n)
{
    if (c->early_turn != c->net->stats.turns) {
        c->early_turn = c->net->stats.turns;
        c->early = NET_EARLY;
    }
    c->frame_bytes += n;
    if (c->frame_bytes < c->early || c->blocked)
        return;
    c->early *= 2;
    net_stream_flush(c);
}

void net_stream_send(struct env_conn *conn, uint16_t type, const struct env_iov *iov,
                     unsigned n_iov)
{
    struct net_conn *c = net_conn_of(conn);
    struct net_frame f = {.kind = NET_FRAME_FRAME, .type = type};
    size_t n = 0;
    for (unsigned i = 0; i < n_iov; i++) {
        if (!c->raw)
            f.check = crc_update(f.check, iov[i].p, iov[i].n);
        n += iov[i].n;
    }
    ASSERT(n <= ENV_FRAME_MAX);
    f.length = (uint32_t)n;
    if (c->state != NET_OPEN || c->broken || net_stream_full(c, n))
        return;
    if (!c->raw) {
        c->net->stats.frames_out++;
        net_stream_item(c, &f);
    }
    for (unsigned i = 0; i < n_iov; i++)
        net_stream_bytes(c, iov[i].p, iov[i].n);
    net_stream_early(c, (c->raw ? 0 : NET_FRAME_HEAD) + n);
    net_stream_crowded(c->net);
}

uint64_t net_stream_backlog(struct env_conn *conn)
{
    return net_conn_of(conn)->out_bytes;
}

void net_stream_drop(struct net_conn *c)
{
    while (!list_empty(&c->segs))
        net_stream_seg_free(c, list_entry(c->segs.next, struct net_seg, link), E_CLOSED);
    c->out_bytes = 0;
}

/* ---- out ---- */

static void net_stream_left(struct net_conn *c, size_t n)
{
    c->out_bytes -= n;
    c->net->stats.bytes_out += n;
    while (n) {
        struct net_seg *s = list_entry(c->segs.next, struct net_seg, link);
        size_t take = n < s->n ? n : s->n;
        s->p += take;
        s->n -= take;
        n -= take;
        if (!s->n)
            net_stream_seg_free(c, s, 0);
    }
    if (c->warned && c->out_bytes < c->net->config.backlog_warn / 2)
        c->warned = false;
}

/* one writev; bytes that left, or a negated errno */
static ssize_t net_stream_write(struct net_conn *c, size_t max, size_t *ret_asked)
{
    struct iovec iov[NET_IOV];
    size_t n = 0, asked = 0;
    list_each(it, &c->segs) {
        struct net_seg *s = list_entry(it, struct net_seg, link);
        if (n == NET_IOV || asked >= max)
            break;
        iov[n++] = (struct iovec){(void *)(uintptr_t)s->p, s->n};
        asked += s->n;
    }
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = n};
    c->net->stats.writes++;
    *ret_asked = asked;
    ssize_t r = sendmsg(c->fd, &m, MSG_NOSIGNAL);
    return r < 0 ? -errno : r;
}

void net_stream_flush(struct net_conn *c)
{
    size_t turn = 0;
    c->frame_bytes = 0;
    if (list_linked(&c->dirty_link))
        list_remove(&c->dirty_link);
    while (!list_empty(&c->segs) && turn < NET_TURN_BYTES) {
        size_t asked;
        ssize_t r = net_stream_write(c, NET_TURN_BYTES - turn, &asked);
        if (r == -EINTR)
            continue;
        if (r < 0 && r != -EAGAIN) {
            /* what the other end said before it went is still to be read */
            c->broken = true;
            net_stream_drop(c);
            shutdown(c->fd, SHUT_RDWR);
            break;
        }
        if (r > 0) {
            turn += (size_t)r;
            net_stream_left(c, (size_t)r);
        }
        if (r < (ssize_t)asked)
            break;
    }
    c->blocked = !list_empty(&c->segs);
    net_tcp_events(c);
}

void net_stream_flush_all(struct net *net)
{
    struct list *l;
    while ((l = list_pop(&net->dirty)))
        net_stream_flush(list_entry(l, struct net_conn, dirty_link));
}

/* ---- in ---- */

static void net_stream_bad(struct net_conn *c, int err)
{
    c->net->stats.bad_frames++;
    fmt_log(&c->net->env, ENV_LOG_ERROR, "net: %s sent bytes that are no message (%s): closed",
            c->name, err_text(err));
    net_tcp_kill(c, err);
}

static size_t net_stream_place(struct net_conn *c, const uint8_t *b, size_t n)
{
    size_t take = n < c->place_left ? n : (size_t)c->place_left;
    if (b && c->place_to)
        memcpy(c->place_to, b, take);
    if (c->place_to)
        c->place_to += take;
    else
        c->net->stats.bytes_dropped += take;
    c->place_left -= take;
    if (!c->place_left)
        net_mr_placed(c);
    return take;
}

/* one item from b[0..n): bytes used, 0 when its end has not come, or negative and c is dead */
static int64_t net_stream_take(struct net_conn *c, const uint8_t *b, size_t n)
{
    struct net_frame f;
    if (n < NET_FRAME_HEAD)
        return 0;
    int err = net_frame_decode(b, &f);
    if (!err && f.kind == NET_FRAME_FRAME) {
        c->lean = false;
        if (n - NET_FRAME_HEAD < f.length)
            return 0;
        err = net_frame_check(&f, b + NET_FRAME_HEAD);
        if (!err) {
            c->net->stats.frames_in++;
            c->peer->on_frame(c->peer, f.type, b + NET_FRAME_HEAD, f.length);
            return c->state == NET_OPEN ? (int64_t)NET_FRAME_HEAD + f.length : E_CLOSED;
        }
    } else if (!err) {
        c->lean = net_frame_payload(&f) > NET_COPY_MAX;
        err = net_mr_item(c, &f);
        if (!err)
            return NET_FRAME_HEAD;
    }
    if (c->state == NET_OPEN)
        net_stream_bad(c, err);
    return err;
}

static void net_stream_stash(struct net_conn *c, const uint8_t *b, size_t n)
{
    if (n > c->stash_cap || (!n && c->stash_cap > NET_LEAN)) {
        free(c->stash);
        net_stream_hold(c, -(int64_t)c->stash_cap);
        c->stash_cap = n ? base_align_up(n, NET_LEAN) : 0;
        net_stream_hold(c, (int64_t)c->stash_cap);
        c->stash = n ? net_loop_alloc(c->stash_cap) : NULL;
    }
    if (n)
        memcpy(c->stash, b, n);
    c->stash_n = n;
}

/* b[0..n) has come after all that was placed; false when c is dead */
static bool net_stream_parse(struct net_conn *c, const uint8_t *b, size_t n)
{
    size_t at = 0;
    while (at < n) {
        int64_t used;
        if (c->place_left)
            used = (int64_t)net_stream_place(c, b + at, n - at);
        else if (c->state == NET_HELLO)
            used = net_hello_take(c, b + at, n - at);
        else
            used = net_stream_take(c, b + at, n - at);
        if (used < 0)
            return false;
        if (!used)
            break;
        at += (size_t)used;
    }
    net_stream_stash(c, b + at, n - at);
    net_stream_crowded(c->net);
    return c->state != NET_DEAD;
}

static void net_stream_ended(struct net_conn *c, int sys)
{
    int why = sys == ETIMEDOUT ? E_TIMEOUT : E_CLOSED;
    if (c->state == NET_HELLO)
        fmt_log(&c->net->env, ENV_LOG_DEBUG, "net: %s closed before its hello", c->name);
    else if (c->place_left || c->stash_n)
        fmt_log(&c->net->env, ENV_LOG_DEBUG, "net: %s closed in the middle of a message", c->name);
    net_tcp_kill(c, why);
}

/* bytes that came; 0: there are none now, or it has ended */
static size_t net_stream_read(struct net_conn *c, const struct iovec *iov, int n_iov)
{
    ssize_t r;
    do {
        r = readv(c->fd, iov, n_iov);
        c->net->stats.reads++;
    } while (r < 0 && errno == EINTR);
    if (r < 0 && errno == EAGAIN)
        return 0;
    if (r <= 0) {
        net_stream_ended(c, r ? errno : 0);
        return 0;
    }
    c->net->stats.bytes_in += (size_t)r;
    return (size_t)r;
}

static void net_stream_readable_raw(struct net_conn *c)
{
    struct net *net = c->net;
    size_t turn = 0;
    while (turn < NET_TURN_BYTES) {
        struct iovec iov = {net->rbuf, ENV_FRAME_MAX};
        size_t got = net_stream_read(c, &iov, 1);
        if (!got)
            return;
        turn += got;
        c->peer->on_frame(c->peer, 0, net->rbuf, (uint32_t)got);
        if (c->state != NET_OPEN || got < ENV_FRAME_MAX)
            return;
    }
}

void net_stream_readable(struct net_conn *c)
{
    struct net *net = c->net;
    size_t turn = 0;
    if (c->raw) {
        net_stream_readable_raw(c);
        return;
    }
    while (turn < NET_TURN_BYTES) {
        struct iovec iov[2];
        int n_iov = 0;
        size_t asked = 0, cap = c->lean ? NET_LEAN : NET_RBUF, kept = c->stash_n;
        if (c->place_left) {
            uint8_t *to = c->place_to ? c->place_to : net->rbuf + NET_RBUF;
            uint64_t max = c->place_to ? c->place_left : NET_DISCARD;
            asked = (size_t)base_min_u64(c->place_left, max);
            iov[n_iov++] = (struct iovec){to, asked};
        }
        uint64_t direct = asked;
        if (direct == c->place_left) { /* else the dustbin is full first */
            ASSERT(kept < NET_RBUF);
            if (kept)
                memcpy(net->rbuf, c->stash, kept);
            cap = kept < cap ? cap - kept : NET_LEAN;
            iov[n_iov++] = (struct iovec){net->rbuf + kept, cap};
            asked += cap;
        }
        size_t got = net_stream_read(c, iov, n_iov), placed = 0;
        if (!got)
            return;
        turn += got;
        if (c->place_left)
            placed = net_stream_place(c, NULL, (size_t)base_min_u64(got, direct));
        if (got > placed && !net_stream_parse(c, net->rbuf, kept + got - placed))
            return;
        if (got < asked)
            return;
    }
}
