/* sim/lab_mail.c - see sim/lab_mail.h. */
#include "sim/lab_mail.h"
#include "core/fmt.h"

enum { MAIL_PORT = 7400, MAIL_FRAME = 1 };

static const int64_t mail_connect_ns = 300000000, mail_again_ns = 20000000;

struct lab_mail_line { /* what we say to one */
    struct env_peer peer;
    struct env_op op;
    struct env_timer again;
    struct lab_mail *m;
    uint32_t to;
};

struct lab_mail_guest { /* what one says to us */
    struct env_peer peer;
    struct lab_mail *m;
    struct lab_mail_guest *next;
};

static void mail_connect(struct lab_mail_line *l)
{
    const struct lab_mail *m = l->m;
    char addr[ENV_ADDR_MAX];
    uint32_t servers = m->servers;
    bool is_client = l->to >= servers;
    fmt_into(addr, sizeof addr, "%s%u:%u", is_client ? "c" : "m",
             1 + (is_client ? l->to - servers : l->to), (unsigned)MAIL_PORT);
    env_connect(m->env, addr, mail_connect_ns, &l->peer, &l->op);
}

static void mail_again(struct lab_mail_line *l)
{
    env_timer_set(l->m->env, &l->again, env_now_ns(l->m->env) + mail_again_ns);
}

static void mail_connected(struct env_op *op)
{
    struct lab_mail_line *l = container_of(op, struct lab_mail_line, op);
    if (op->ret)
        mail_again(l);
}

static void mail_timer(struct env_op *op)
{
    mail_connect(container_of(op, struct lab_mail_line, again.op));
}

static void mail_line_closed(struct env_peer *p, int why)
{
    (void)why;
    mail_again(container_of(p, struct lab_mail_line, peer));
}

static void mail_line_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    (void)p, (void)type, (void)b, (void)n; /* nobody answers on it */
}

static void mail_guest_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    struct lab_mail *m = container_of(p, struct lab_mail_guest, peer)->m;
    uint32_t from;
    if (type != MAIL_FRAME || n < sizeof from)
        return;
    memcpy(&from, b, sizeof from);
    m->on_message(m, from, (const char *)b + sizeof from, n - (uint32_t)sizeof from);
}

static void mail_guest_closed(struct env_peer *p, int why)
{
    struct lab_mail_guest *g = container_of(p, struct lab_mail_guest, peer);
    (void)why;
    g->next = g->m->idle;
    g->m->idle = g;
}

static struct env_peer *mail_open(struct env_acceptor *a, const char *from)
{
    struct lab_mail *m = container_of(a, struct lab_mail, door);
    struct lab_mail_guest *g = m->idle ? m->idle : mem_alloc(m->mem, sizeof *g);
    (void)from;
    if (!g)
        return NULL;
    if (m->idle)
        m->idle = g->next;
    *g = (struct lab_mail_guest){
        .peer = {.on_frame = mail_guest_frame, .on_close = mail_guest_closed}, .m = m};
    return &g->peer;
}

static void mail_listening(struct env_op *op)
{
    ASSERT(op->ret == 0);
}

void lab_mail_open(struct lab_mail *m, const struct lab_own_place *at,
                   void (*on_message)(struct lab_mail *m, uint32_t from, const void *b,
                                      uint32_t len))
{
    char addr[ENV_ADDR_MAX];
    uint32_t all = at->s->masters + at->s->clients;
    *m = (struct lab_mail){.env = at->env,
                           .mem = at->mem,
                           .on_message = on_message,
                           .me = at->index + (at->is_client ? at->s->masters : 0),
                           .servers = at->s->masters,
                           .door = {.on_open = mail_open},
                           .listening = {.done = mail_listening}};
    fmt_into(addr, sizeof addr, "*:%u", (unsigned)MAIL_PORT);
    env_listen(at->env, addr, &m->door, &m->listening);
    m->lines = mem_zalloc(at->mem, all * sizeof *m->lines);
    ASSERT(m->lines != NULL);
    for (uint32_t i = 0; i < all; i++) {
        struct lab_mail_line *l = &m->lines[i];
        l->m = m;
        l->to = i;
        l->peer.on_frame = mail_line_frame;
        l->peer.on_close = mail_line_closed;
        l->op.done = mail_connected;
        l->again.op.done = mail_timer;
        if (i != m->me)
            mail_connect(l);
    }
}

bool lab_mail_send(struct lab_mail *m, uint32_t to, const void *b, uint32_t len)
{
    struct lab_mail_line *l = &m->lines[to];
    struct env_iov iov[] = {{&m->me, sizeof m->me}, {b, len}};
    ASSERT(len <= LAB_MAIL_MAX);
    if (!l->peer.conn)
        return false;
    env_send(l->peer.conn, MAIL_FRAME, iov, 2);
    return true;
}
