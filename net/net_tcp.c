/* net/net_tcp.c - how a TCP connection begins and ends: addresses, listening, connecting.
 *
 * Sockets are our own and only watched by libuv (uv_poll): a transfer's payload is read straight
 * into the region's memory, which uv_tcp's buffers cannot do, and one writev takes a whole turn.
 *
 * Invariants:
 *  1. net_tcp_kill never calls the owner: ops and on_close go through `later`, ops first.
 *  2. A connection is freed only when libuv has let go of its handle and its resolver, and on_close
 *     was delivered or is not wanted; so anyone up the stack may still look at c->state.
 *  3. Nothing is read or delivered before the handshake (net_hello.c) is over; a raw connection
 *     has none.
 *  4. Nobody holds a connection in a state other than OPEN for longer than a deadline.
 *
 * A dead host: TCP_USER_TIMEOUT bounds unacknowledged data and a closed window, keepalive probes
 * bound silence, both at about NET_DEAD_MS.  No pings of our own: the layers above have heartbeats
 * where they need to know that a process, not only its kernel, is alive. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "net/net_impl.h"

enum { NET_TCP_BACKLOG = 512, NET_TCP_ACCEPTS = 64, NET_TCP_PAUSE_MS = 100 };

static void net_tcp_connect_next(struct net_conn *c);

/* ---- addresses ---- */

/* "host:port" or "[ipv6]:port" */
static int net_tcp_parse(const char *addr, char host[ENV_ADDR_MAX], char port[8])
{
    size_t n = strnlen(addr, ENV_ADDR_MAX);
    const char *colon = strrchr(addr, ':');
    if (n == ENV_ADDR_MAX || !colon)
        return E_INVAL;
    const char *from = addr, *to = colon;
    if (*from == '[') {
        if (to[-1] != ']')
            return E_INVAL;
        from++;
        to--;
    } else if (memchr(from, ':', (size_t)(to - from))) {
        return E_INVAL;
    }
    if (to <= from)
        return E_INVAL;
    memcpy(host, from, (size_t)(to - from));
    host[to - from] = 0;
    unsigned long v = 0;
    size_t digits = 0;
    for (const char *p = colon + 1; *p; p++, digits++) {
        if (*p < '0' || *p > '9' || digits == 5)
            return E_INVAL;
        v = v * 10 + (unsigned long)(*p - '0');
    }
    if (!digits || v > UINT16_MAX)
        return E_INVAL;
    fmt_into(port, 8, "%lu", v);
    return 0;
}

static void net_tcp_name(const struct sockaddr *sa, socklen_t len, char name[ENV_ADDR_MAX])
{
    char host[64], port[8];
    if (getnameinfo(sa, len, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV))
        fmt_into(name, ENV_ADDR_MAX, "?");
    else
        fmt_into(name, ENV_ADDR_MAX, sa->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* 0: r->list is there, or r->pending and cb will run */
static int net_tcp_resolve(struct net *net, struct net_resolve *r, const char *addr,
                           uv_getaddrinfo_cb cb)
{
    char host[ENV_ADDR_MAX], port[8];
    int err = net_tcp_parse(addr, host, port);
    if (err)
        return err;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    if (getaddrinfo(host, port, &hints, &r->list) == 0) {
        r->next = r->list;
        return 0;
    }
    r->list = NULL;
    hints.ai_flags = AI_NUMERICSERV;
    if (uv_getaddrinfo(&net->loop, &r->req, cb, host, port, &hints))
        return E_INVAL;
    r->pending = true;
    return 0;
}

static void net_tcp_resolve_free(struct net_resolve *r)
{
    if (r->list)
        freeaddrinfo(r->list);
    r->list = r->next = NULL;
}

/* ---- the end ---- */

static void net_tcp_free_if_done(struct net_conn *c)
{
    if (c->state != NET_DEAD || c->poll_open || c->resolve.pending || !c->told)
        return;
    list_remove(&c->link);
    net_tcp_resolve_free(&c->resolve);
    free(c);
}

static void net_tcp_on_closed(uv_handle_t *h)
{
    struct net_conn *c = h->data;
    c->poll_open = false;
    if (c->state == NET_CONNECTING)
        net_tcp_connect_next(c);
    else
        net_tcp_free_if_done(c);
}

static void net_tcp_close_fd(struct net_conn *c)
{
    if (c->fd < 0)
        return;
    uv_close((uv_handle_t *)&c->poll, net_tcp_on_closed);
    close(c->fd);
    c->fd = -1;
}

static void net_tcp_tell(struct env_op *op)
{
    struct net_conn *c = container_of(op, struct net_conn, close_op);
    struct env_peer *p = c->peer;
    c->told = true;
    c->peer = NULL;
    if (!c->hung) {
        p->conn = NULL;
        p->on_close(p, c->why);
    }
    net_tcp_free_if_done(c);
}

void net_tcp_kill(struct net_conn *c, int why)
{
    struct net *net = c->net;
    if (c->state == NET_DEAD)
        return;
    bool was_open = c->state == NET_OPEN;
    c->state = NET_DEAD;
    c->why = why;
    net->stats.conns--;
    net->stats.closed++;
    heap_remove(&net->heap, &c->deadline);
    net_hello_end(c);
    if (list_linked(&c->dirty_link))
        list_remove(&c->dirty_link);
    net_mr_drop(c);
    net_stream_drop(c);
    free(c->stash);
    net_stream_hold(c, -(int64_t)c->stash_cap);
    c->stash = NULL;
    c->stash_n = c->stash_cap = 0;
    if (c->connect_op) {
        net_loop_later(net, c->connect_op, why);
        c->connect_op = NULL;
    }
    if (c->resolve.pending)
        uv_cancel((uv_req_t *)&c->resolve.req);
    net_tcp_close_fd(c);
    c->told = !was_open || !c->peer || c->hung || net->closing;
    if (!c->told) {
        c->close_op.done = net_tcp_tell;
        net_loop_later(net, &c->close_op, 0);
    }
    net_tcp_free_if_done(c);
}

void net_tcp_hangup(struct env_conn *conn)
{
    struct net_conn *c = net_conn_of(conn);
    if (c->peer)
        c->peer->conn = NULL;
    c->hung = true;
    if (c->state == NET_DEAD)
        return;
    net_stream_flush(c); /* a goodbye sent just now should leave */
    net_tcp_kill(c, E_CANCELLED);
}

void net_tcp_adopt(struct env_conn *conn, struct env_peer *p)
{
    struct net_conn *c = net_conn_of(conn);
    ASSERT(c->peer && !c->hung);
    c->peer->conn = NULL;
    c->peer = p;
    p->conn = conn;
}

/* ---- a live socket ---- */

static void net_tcp_on_poll(uv_poll_t *h, int status, int events);

void net_tcp_events(struct net_conn *c)
{
    int want =
        c->state == NET_CONNECTING ? UV_WRITABLE : UV_READABLE | (c->blocked ? UV_WRITABLE : 0);
    if (want == c->events)
        return;
    c->events = want;
    int rc = uv_poll_start(&c->poll, want, net_tcp_on_poll);
    ASSERT(rc == 0);
}

static void net_tcp_watch(struct net_conn *c, int fd)
{
    c->fd = fd;
    c->events = 0;
    int rc = uv_poll_init(&c->net->loop, &c->poll, fd);
    ASSERT(rc == 0);
    c->poll.data = c;
    c->poll_open = true;
    net_tcp_events(c);
}

static void net_tcp_options(int fd)
{
    int on = 1, idle_s = 3, every_s = 2, probes = 3, dead_ms = NET_DEAD_MS;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof every_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof dead_ms);
    /* Within one host nothing can be congested, and a pacing default (bbr) holds back each burst to
     * the rate of those before it: a lockstep of requests and answers then stays slow for good. */
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    if (!getpeername(fd, (struct sockaddr *)&sa, &len) && net_hello_is_loopback((void *)&sa))
        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
}

static struct net_conn *net_tcp_new(struct net *net, enum net_conn_state state)
{
    struct net_conn *c = net_loop_alloc(sizeof *c);
    c->base.env = &net->env;
    c->net = net;
    c->state = state;
    c->fd = -1;
    list_init(&c->dirty_link);
    list_init(&c->place_link);
    list_init(&c->greet_link);
    list_init(&c->segs);
    list_init(&c->reads);
    list_init(&c->reads_wait);
    list_push_back(&net->conns, &c->link);
    net->stats.conns++;
    return c;
}

static void net_tcp_on_deadline(struct env_op *op)
{
    struct net_conn *c = container_of(op, struct net_conn, deadline.op);
    if (c->state == NET_HELLO)
        net_hello_timeout(c);
    net_tcp_kill(c, E_TIMEOUT);
}

static void net_tcp_greet(struct net_conn *c)
{
    c->state = NET_HELLO;
    net_tcp_options(c->fd);
    if (!c->raw)
        net_hello_begin(c);
    net_tcp_events(c);
    if (c->raw)
        net_tcp_opened(c);
}

/* Nobody listened, and TCP connected our port to itself: a hello would tell. */
static bool net_tcp_is_self(int fd)
{
    struct sockaddr_storage us, them;
    socklen_t n_us = sizeof us, n_them = sizeof them;
    return !getsockname(fd, (struct sockaddr *)&us, &n_us) &&
           !getpeername(fd, (struct sockaddr *)&them, &n_them) && n_us == n_them &&
           !memcmp(&us, &them, n_us);
}

static void net_tcp_on_poll(uv_poll_t *h, int status, int events)
{
    struct net_conn *c = h->data;
    net_spin_event(c->net);
    if (c->state == NET_CONNECTING) {
        int sys = 0;
        socklen_t len = sizeof sys;
        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &sys, &len) || sys) {
            c->why = net_errno_to_err(sys ? sys : errno);
            net_tcp_close_fd(c); /* the next address follows in net_tcp_on_closed */
        } else if (c->raw && net_tcp_is_self(c->fd)) {
            c->why = E_REFUSED;
            net_tcp_close_fd(c);
        } else {
            net_tcp_greet(c);
        }
        return;
    }
    if (status < 0 || events & UV_READABLE)
        net_stream_readable(c);
    if (c->state != NET_DEAD && status >= 0 && events & UV_WRITABLE) {
        c->blocked = false;
        net_stream_flush(c);
    }
    if (status < 0) /* libuv no longer watches it */
        net_tcp_kill(c, E_CLOSED);
}

void net_tcp_opened(struct net_conn *c)
{
    struct net *net = c->net;
    struct net_listener *l = c->listener;
    heap_remove(&net->heap, &c->deadline);
    net_hello_end(c);
    c->state = NET_OPEN;
    c->listener = NULL;
    if (c->connect_op) {
        struct env_op *op = c->connect_op;
        c->connect_op = NULL;
        net->stats.connected++;
        c->peer->conn = &c->base;
        op->ret = 0;
        op->done(op);
        return;
    }
    struct env_acceptor *a = l->acceptor;
    struct env_peer *p = a->on_open(a, c->name);
    if (!p) {
        net_tcp_kill(c, E_REFUSED);
        return;
    }
    net->stats.accepted++;
    c->peer = p;
    p->conn = &c->base;
}

/* ---- connect ---- */

static void net_tcp_connect_next(struct net_conn *c)
{
    struct addrinfo *ai;
    c->state = NET_CONNECTING;
    while ((ai = c->resolve.next)) {
        c->resolve.next = ai->ai_next;
        net_tcp_name(ai->ai_addr, ai->ai_addrlen, c->name);
        if (!c->raw && !net_hello_may_reach(c->net, ai->ai_addr)) {
            if (net_hello_may_log(c->net))
                fmt_log(&c->net->env, ENV_LOG_ERROR,
                        "net: will not connect to %s: it is not a loopback address and there is no "
                        "cluster secret; make one by `tarn secret new FILE`, copy it to every "
                        "host and set cluster.secret_file",
                        c->name);
            c->why = E_CONFIG;
            continue;
        }
        int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            c->why = net_errno_to_err(errno);
            continue;
        }
        /* the kernel may lend us the port of a server that is down: its next start can listen */
        int on = 1;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (connect(fd, ai->ai_addr, ai->ai_addrlen) == 0 || errno == EINPROGRESS) {
            net_tcp_watch(c, fd);
            return;
        }
        c->why = net_errno_to_err(errno);
        close(fd);
    }
    net_tcp_kill(c, c->why ? c->why : E_UNAVAILABLE);
}

static void net_tcp_on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct net_conn *c = container_of(req, struct net_conn, resolve.req);
    c->resolve.pending = false;
    c->resolve.list = c->resolve.next = list;
    if (c->state == NET_DEAD) {
        net_tcp_free_if_done(c);
        return;
    }
    if (status) {
        fmt_log(&c->net->env, ENV_LOG_WARN,
                "net: cannot find the address of %s (%s): check the name and the resolver",
                c->wanted, uv_strerror(status));
        net_tcp_kill(c, c->raw ? E_NXIO : E_UNAVAILABLE);
        return;
    }
    net_tcp_connect_next(c);
}

void net_tcp_connect(struct env *e, const char *addr, int64_t timeout_ns, struct env_peer *p,
                     struct env_op *op)
{
    struct net *net = net_of(e);
    struct net_conn *c = net_tcp_new(net, NET_RESOLVING);
    fmt_into(c->wanted, sizeof c->wanted, "%s", addr);
    fmt_into(c->name, sizeof c->name, "%s", addr);
    c->peer = p;
    c->raw = p->is_raw;
    p->conn = NULL;
    c->connect_op = op;
    if (timeout_ns <= 0)
        timeout_ns = net_seconds(NET_CONNECT_DEFAULT_S);
    c->deadline.op.done = net_tcp_on_deadline;
    heap_set(&net->heap, &c->deadline, net_loop_now(net) + timeout_ns);
    int err = net_tcp_resolve(net, &c->resolve, addr, net_tcp_on_resolved);
    if (err) {
        fmt_log(e, ENV_LOG_ERROR, "net: '%s' is not an address: write host:port or [ipv6]:port",
                c->wanted);
        net_tcp_kill(c, err);
    } else if (!c->resolve.pending) {
        net_tcp_connect_next(c);
    }
}

/* ---- listen ---- */

static void net_tcp_listener_free_if_done(struct net_listener *l)
{
    if (l->acceptor || l->poll_open || l->resolve.pending)
        return;
    net_tcp_resolve_free(&l->resolve);
    list_remove(&l->link);
    free(l);
}

static void net_tcp_on_listener_closed(uv_handle_t *h)
{
    struct net_listener *l = h->data;
    l->poll_open = false;
    net_tcp_listener_free_if_done(l);
}

static void net_tcp_listener_close(struct net_listener *l, int why)
{
    struct net *net = l->net;
    l->acceptor->impl = NULL;
    l->acceptor = NULL;
    heap_remove(&net->heap, &l->pause);
    if (l->op)
        net_loop_later(net, l->op, why);
    l->op = NULL;
    if (l->resolve.pending)
        uv_cancel((uv_req_t *)&l->resolve.req);
    if (l->poll_open) {
        uv_close((uv_handle_t *)&l->poll, net_tcp_on_listener_closed);
        close(l->fd);
    }
    list_each_safe(it, &net->conns) {
        struct net_conn *c = list_entry(it, struct net_conn, link);
        if (c->listener == l) {
            c->listener = NULL;
            net_tcp_kill(c, E_CANCELLED);
        }
    }
    net_tcp_listener_free_if_done(l);
}

static void net_tcp_on_accept(uv_poll_t *h, int status, int events);

static void net_tcp_resume(struct env_op *op)
{
    struct net_listener *l = container_of(op, struct net_listener, pause.op);
    uv_poll_start(&l->poll, UV_READABLE, net_tcp_on_accept);
}

/* one connection; false when there is none to take now */
static bool net_tcp_accept(struct net_listener *l)
{
    struct net *net = l->net;
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    int fd = accept4(l->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            fmt_log(&net->env, ENV_LOG_ERROR,
                    "net: cannot take connections on %s (%s): raise the limit of open files",
                    l->wanted, strerror(errno));
            uv_poll_stop(&l->poll);
            heap_set(&net->heap, &l->pause,
                     net_loop_now(net) + (int64_t)NET_TCP_PAUSE_MS * 1000000);
            return false;
        }
        return errno == ECONNABORTED || errno == EINTR;
    }
    char name[ENV_ADDR_MAX];
    net_tcp_name((struct sockaddr *)&sa, len, name);
    if (net->stats.conns >= net->config.max_conns) {
        if (net_hello_may_log(net))
            fmt_log(&net->env, ENV_LOG_WARN,
                    "net: %s refused: %u connections are open already, the configured limit", name,
                    net->config.max_conns);
        close(fd);
        return true;
    }
    struct net_conn *c = net_tcp_new(net, NET_HELLO);
    memcpy(c->name, name, sizeof name);
    c->listener = l;
    c->raw = l->raw;
    net_tcp_watch(c, fd);
    c->deadline.op.done = net_tcp_on_deadline;
    heap_set(&net->heap, &c->deadline, net_loop_now(net) + net->config.hello_timeout_ns);
    net_tcp_greet(c);
    return true;
}

static void net_tcp_on_accept(uv_poll_t *h, int status, int events)
{
    struct net_listener *l = h->data;
    (void)status;
    (void)events;
    for (int i = 0; i < NET_TCP_ACCEPTS && l->acceptor && net_tcp_accept(l); i++)
        ; /* a raw one's on_open runs in it, and may end the listening */
}

static int net_tcp_bind(struct net_listener *l)
{
    struct net *net = l->net;
    struct addrinfo *ai = l->resolve.list;
    /* a name that has both kinds, such as localhost, means the one that everybody tries */
    for (struct addrinfo *it = ai; it; it = it->ai_next)
        if (it->ai_family == AF_INET) {
            ai = it;
            break;
        }
    if (!ai)
        return E_INVAL;
    if (!net_hello_may_reach(net, ai->ai_addr)) {
        fmt_log(&net->env, ENV_LOG_ERROR,
                "net: will not listen on %s: other machines reach it and there is no cluster "
                "secret; use 127.0.0.1, or make one by `tarn secret new FILE`, copy it to every "
                "host and set cluster.secret_file",
                l->wanted);
        return E_CONFIG;
    }
    int on = 1;
    l->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0)
        return net_errno_to_err(errno);
    setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(l->fd, ai->ai_addr, ai->ai_addrlen) || listen(l->fd, NET_TCP_BACKLOG)) {
        int err = net_errno_to_err(errno);
        fmt_log(&net->env, ENV_LOG_ERROR, "net: cannot listen on %s: %s%s", l->wanted,
                strerror(errno),
                err == E_ADDRINUSE ? "; is another process there? (ss -ltnp)" : "");
        close(l->fd);
        return err;
    }
    int rc = uv_poll_init(&net->loop, &l->poll, l->fd);
    ASSERT(rc == 0);
    l->poll.data = l;
    l->poll_open = true;
    l->pause.op.done = net_tcp_resume;
    uv_poll_start(&l->poll, UV_READABLE, net_tcp_on_accept);
    return 0;
}

static void net_tcp_bound(struct net_listener *l, int err)
{
    if (!err)
        err = net_tcp_bind(l);
    if (err) {
        net_tcp_listener_close(l, err);
        return;
    }
    net_loop_later(l->net, l->op, 0);
    l->op = NULL;
}

static void net_tcp_on_listen_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct net_listener *l = container_of(req, struct net_listener, resolve.req);
    l->resolve.pending = false;
    l->resolve.list = list;
    if (l->acceptor && status)
        fmt_log(&l->net->env, ENV_LOG_ERROR,
                "net: cannot find the address of %s (%s): check the name and the resolver",
                l->wanted, uv_strerror(status));
    if (l->acceptor)
        net_tcp_bound(l, status ? E_INVAL : 0);
    else
        net_tcp_listener_free_if_done(l);
}

void net_tcp_listen(struct env *e, const char *addr, struct env_acceptor *a, struct env_op *op)
{
    struct net *net = net_of(e);
    struct net_listener *l = net_loop_alloc(sizeof *l);
    l->net = net;
    l->acceptor = a;
    l->raw = a->is_raw;
    l->op = op;
    a->impl = l;
    fmt_into(l->wanted, sizeof l->wanted, "%s", addr);
    list_push_back(&net->listeners, &l->link);
    int err = net_tcp_resolve(net, &l->resolve, addr, net_tcp_on_listen_resolved);
    if (err)
        fmt_log(e, ENV_LOG_ERROR, "net: '%s' is not an address: write host:port or [ipv6]:port",
                l->wanted);
    if (!l->resolve.pending)
        net_tcp_bound(l, err);
}

void net_tcp_unlisten(struct env *e, struct env_acceptor *a)
{
    (void)e;
    if (a->impl)
        net_tcp_listener_close(a->impl, E_CANCELLED);
}

uint16_t net_listen_port(struct net *net, struct env_acceptor *a)
{
    (void)net;
    struct net_listener *l = a->impl;
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    if (!l || !l->poll_open || getsockname(l->fd, (struct sockaddr *)&sa, &len))
        return 0;
    return ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
                                          : ((struct sockaddr_in *)&sa)->sin_port);
}

void net_tcp_close_all(struct net *net)
{
    list_each_safe(it, &net->listeners) {
        struct net_listener *l = list_entry(it, struct net_listener, link);
        if (l->acceptor)
            net_tcp_listener_close(l, E_CANCELLED);
    }
    list_each_safe(it, &net->conns) {
        struct net_conn *c = list_entry(it, struct net_conn, link);
        if (c->state != NET_DEAD) {
            net_tcp_kill(c, E_CANCELLED);
        } else {
            c->told = true; /* its tell is in `later`, which will not run */
            if (list_linked(&c->close_op.link))
                list_remove(&c->close_op.link);
            net_tcp_free_if_done(c);
        }
    }
}
