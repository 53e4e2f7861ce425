/* sim/example/register_main.c - a whole protocol in the simulator, to copy: registers that are read
 * and written at majorities (Attiya, Bar-Noy, Dolev 1995; Lynch, Shvartsman 1997), without a
 * leader.
 *
 *   build:  docs/simulator.md, "A protocol of your own"
 *   run:    example-register run sim/example/register.json --seed 1
 *   bugs:   example-register mutants; campaign and shrink take --mutant NAME
 *
 * THE PROTOCOL.  A value has a stamp: (counter, writer).  Servers keep the value with the highest
 * stamp that they have heard of.
 *   write   ASK all; of a majority's answers take the highest counter, add one; STORE at a majority
 *   read    ASK all; of a majority's answers take the highest stamp; STORE that, too; answer with
 * it INVARIANTS
 *  1. A server answers STORE when value and stamp are on its disk, and forgets neither.
 *  2. Two majorities have a server in common, so whoever asks after a STORE was done hears of it.
 *  3. A message may come twice, late or never: an answer says which operation and phase it is of.
 *  4. What a server reads at its start may be in the page cache only, after a write that failed: it
 *     is written anew, into another file, before anybody is told of it.
 * ON DISK a register has two sectors, written in turns: a power loss that tears one leaves one. */
#include "core/crc.h"
#include "sim/lab_mail.h"
#include "sim/tarn_sim_own.h"

enum { KEYS = 16, SECTOR = 512, THREADS = 32, AGAIN_NS = 40 * 1000000 };
enum msg_kind { MSG_ASK, MSG_TELL, MSG_STORE, MSG_STORED };

struct msg { /* every message of the protocol */
    uint64_t kind, op, key, stamp, value;
};

/* ---- a server ---- */

struct slot {
    struct env_op op;
    struct server *s;
    uint64_t stamp, value, turn; /* as it is on disk */
    bool busy;                   /* it is being written: */
    struct msg asked;            /* this, for */
    uint32_t asker;
};

struct server {
    struct lab_mail mail;
    struct lab_own_place *at;
    struct env_file *file;
    struct env_op op;
    enum { BOOT_OPEN, BOOT_READ, BOOT_NEW, BOOT_WRITE, BOOT_RENAME, BOOT_DONE } boot; /* op's */
    struct slot slots[KEYS];
    uint8_t disk[KEYS * 2][SECTOR]; /* as it is there, or is being written */
};

/* into the sector of its register that is next */
static void *server_seal(struct slot *k, uint64_t key, uint64_t stamp, uint64_t value)
{
    uint64_t cell[3] = {stamp, value};
    cell[2] = crc_update(0, cell, 2 * sizeof cell[0]);
    return memcpy(k->s->disk[2 * key + k->turn % 2], cell, sizeof cell);
}

static void server_answer(struct server *s, uint32_t to, enum msg_kind kind, const struct msg *q)
{
    const struct slot *k = &s->slots[q->key];
    struct msg a = {kind, q->op, q->key, k->stamp, k->value};
    /* the checker's: what it has once said it never takes back, whatever happens to it */
    uint64_t *memo = &s->at->memo[q->key];
    lab_own_checked(s->at->run, "memory", 1);
    if (a.stamp < *memo)
        lab_own_fail(s->at->run, "memory", 0, "m%u: register %u was at stamp %llx, and is at %llx",
                     s->at->index + 1, (unsigned)q->key, (unsigned long long)*memo,
                     (unsigned long long)a.stamp);
    *memo = a.stamp > *memo ? a.stamp : *memo;
    lab_mail_send(&s->mail, to, &a, sizeof a);
}

static void server_stored(struct env_op *op)
{
    struct slot *k = container_of(op, struct slot, op);
    k->busy = false;
    if (op->ret != SECTOR) { /* nobody knows what is on the disk: look at it anew */
        lab_own_exit(k->s->at);
        return;
    }
    k->stamp = k->asked.stamp;
    k->value = k->asked.value;
    k->turn++;
    server_answer(k->s, k->asker, MSG_STORED, &k->asked);
}

static void server_store(struct server *s, uint32_t from, const struct msg *q)
{
    struct slot *k = &s->slots[q->key];
    if (q->stamp <= k->stamp) {
        server_answer(s, from, MSG_STORED, q);
        return;
    }
    if (lab_own_bug("ACK_EARLY")) /* as if memory were a disk */
        lab_mail_send(&s->mail, from, &(struct msg){MSG_STORED, q->op, q->key, 0, 0}, sizeof *q);
    if (k->busy)
        return; /* who is not answered asks again */
    k->busy = true;
    k->asker = from;
    k->asked = *q;
    env_write(s->file, server_seal(k, q->key, q->stamp, q->value), SECTOR,
              (2 * q->key + k->turn % 2) * SECTOR, &k->op);
}

static void server_message(struct lab_mail *m, uint32_t from, const void *b, uint32_t len)
{
    struct server *s = container_of(m, struct server, mail);
    struct msg q = {.key = KEYS};
    memcpy(&q, b, len == sizeof q ? len : 0);
    if (q.key < KEYS && q.kind == MSG_ASK)
        server_answer(s, from, MSG_TELL, &q);
    else if (q.key < KEYS && q.kind == MSG_STORE)
        server_store(s, from, &q);
}

static void server_load(struct slot *k, uint64_t turn, const uint8_t *sector)
{
    uint64_t cell[3];
    memcpy(cell, sector, sizeof cell);
    if (crc_update(0, cell, 2 * sizeof cell[0]) != cell[2] || cell[0] <= k->stamp)
        return;
    k->stamp = cell[0];
    k->value = cell[1];
    k->turn = turn + 1; /* the other one is next */
}

static void server_boot(struct env_op *op)
{
    struct server *s = container_of(op, struct server, op);
    if (op->ret < 0)
        lab_own_exit(s->at);
    else if (++s->boot == BOOT_READ)
        env_read(s->file, s->disk, sizeof s->disk, 0, op);
    else if (s->boot == BOOT_NEW) /* what was read may be in memory only (4) */
        env_open(s->at->env, "new", ENV_O_WRITE | ENV_O_CREATE | ENV_O_TRUNC | ENV_O_DSYNC,
                 &s->file, op);
    else if (s->boot == BOOT_WRITE)
        env_write(s->file, s->disk, sizeof s->disk, 0, op);
    else if (s->boot == BOOT_RENAME)
        env_rename(s->at->env, "new", "registers", op);
    else
        lab_mail_open(&s->mail, s->at, server_message);
    for (uint32_t i = 0; i < KEYS * 2 && s->boot == BOOT_NEW; i++)
        server_load(&s->slots[i / 2], i, s->disk[i]);
}

static void server_begin(struct lab_own_place *at)
{
    struct server *s = mem_zalloc(at->mem, sizeof *s);
    ASSERT(s != NULL);
    s->at = at;
    s->op.done = server_boot;
    for (uint32_t i = 0; i < KEYS; i++)
        s->slots[i] = (struct slot){.s = s, .op = {.done = server_stored}};
    env_open(at->env, "registers", ENV_O_WRITE | ENV_O_CREATE, &s->file, &s->op);
}

/* ---- a client: what each of its threads is doing ---- */

struct call {
    struct env_timer timer;
    struct client *c;
    struct lab_own_op op;
    struct msg q;   /* ASK or STORE: the phase; it is over when a majority has answered */
    uint32_t heard; /* who has, a bit for each server */
};

struct client {
    struct lab_mail mail;
    struct lab_own_place *at;
    uint64_t phases;
    struct call calls[THREADS];
};

static void call_ask(struct env_op *op) /* also when answers are missing */
{
    struct call *k = container_of(op, struct call, timer.op);
    struct env *e = k->c->at->env;
    for (uint32_t i = 0; i < k->c->at->s->masters; i++)
        if (!(k->heard >> i & 1))
            lab_mail_send(&k->c->mail, i, &k->q, sizeof k->q);
    env_timer_set(e, &k->timer, env_now_ns(e) + AGAIN_NS);
}

static void call_phase(struct call *k, enum msg_kind kind)
{
    k->heard = 0;
    k->q.kind = kind;
    k->q.op = ++k->c->phases;
    call_ask(&k->timer.op);
}

static void call_over(struct call *k)
{
    env_timer_stop(k->c->at->env, &k->timer);
    k->q.op = 0;
    lab_own_end(k->c->at, k->op.number, LAB_OWN_OK, k->q.value);
}

static void client_message(struct lab_mail *m, uint32_t from, const void *b, uint32_t len)
{
    struct client *c = container_of(m, struct client, mail);
    struct call *k = c->calls;
    struct msg a = {.op = 0};
    memcpy(&a, b, len == sizeof a ? len : 0);
    while (k < c->calls + THREADS && (!a.op || k->q.op != a.op))
        k++;
    if (k == c->calls + THREADS) /* of a phase that is over */
        return;
    k->heard |= 1u << from;
    bool enough = 2 * (uint32_t)__builtin_popcount(k->heard) > c->at->s->masters;
    switch ((enum msg_kind)a.kind) {
    case MSG_TELL:
        if (a.stamp > k->q.stamp) {
            k->q.stamp = a.stamp;
            k->q.value = a.value;
        }
        if (enough && k->op.kind == LAB_OP_SET) {
            k->q.stamp = ((k->q.stamp >> 16) + 1) << 16 | (c->at->index * THREADS + k->op.thread);
            k->q.value = k->op.a;
        }
        if (enough && k->op.kind == LAB_OP_GET && lab_own_bug("NO_WRITE_BACK"))
            call_over(k);
        else if (enough)
            call_phase(k, MSG_STORE);
        break;
    case MSG_STORED:
        if (enough)
            call_over(k);
        break;
    default: /* is for servers */
        break;
    }
}

static void client_do(void *client, const struct lab_own_op *op)
{
    struct call *k = &((struct client *)client)->calls[op->thread];
    k->op = *op;
    k->q = (struct msg){.key = op->key};
    call_phase(k, MSG_ASK);
}

static void *client_begin(struct lab_own_place *at)
{
    struct client *c = mem_zalloc(at->mem, sizeof *c);
    ASSERT(c != NULL);
    c->at = at;
    for (uint32_t i = 0; i < THREADS; i++)
        c->calls[i] = (struct call){.c = c, .timer = {.op = {.done = call_ask}}};
    lab_mail_open(&c->mail, at, client_message);
    return c;
}

/* ---- the workload, the checker, the program ---- */

static void draw(struct prng *p, const struct lab_scenario *s, struct lab_own_op *op)
{
    op->kind = prng_chance_ppm(p, s->journal.reads_ppm) ? LAB_OP_GET : LAB_OP_SET;
    op->key = (uint32_t)prng_below(p, s->journal.keys);
}

static void judge_linear(struct lab_own_run *r)
{
    uint32_t n;
    struct lab_wgl_op *ops = lab_own_wgl(r, &n);
    struct lab_wgl_result res;
    lab_wgl_check(lab_own_mem(r), ops, n, 0, 1000000, &res);
    lab_own_checked(r, "linear", n);
    if (res.verdict != LAB_WGL_BAD)
        return;
    const struct lab_own_op *op = &lab_own_history(r, &n)[res.tag];
    lab_own_fail(r, "linear", op->to_ns, "c%u.%u saw %llu in register %u, which no order allows",
                 op->client + 1, op->thread, (unsigned long long)op->value, op->key);
}

static const char *const bugs[][2] = {
    {"NO_WRITE_BACK", "a read answers with what a majority told, and does not store it first"},
    {"ACK_EARLY", "a server answers before it has written"},
    {NULL, NULL}};

static const struct lab_own own = {
    .name = "register",
    .about = "registers at majorities of servers, without a leader",
    .bugs = bugs,
    .server = server_begin,
    .client = client_begin,
    .begin = client_do,
    .draw = draw,
    .checks = {
        {"linear", "reads and writes of each register have an order (Wing and Gong)", judge_linear},
        {"memory", "a server never goes back behind what it has said", NULL}}};

int main(int argc, char **argv)
{
    return tarn_sim_own(argc, argv, &own);
}
