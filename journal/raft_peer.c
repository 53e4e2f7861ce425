/* journal/raft_peer.c - connections between members.
 *
 * Each member dials each other one of its configuration; whoever is dialled answers on the same
 * connection, and messages take the one that came up last.  So a member that was just added, and
 * knows nobody, can answer its leader, and one whose host went away without a word is talked to
 * again as soon as it is back, not when the old connection is given up.
 *
 *   dialling:  connect -> HELLO -> WELCOME -> up        accepted:  HELLO -> WELCOME back -> up
 *
 * INVARIANTS
 *  1. Nothing but a hello is taken from a connection before the hello says who is there: same
 *     cluster, the member that is meant, a version we speak, the disk that member is known by.  A
 *     disk that is not written down yet is that of who says hello first; of a newcomer, which has
 *     no vote, that of who is found at its address: whoever calls may be one that was removed, and
 *     bore the number before.  So no two disks are ever connected as one member.
 *  2. A message is handed to the core only if it is from the member whose connection it came on.
 *  3. Messages may be lost with a connection and overtake each other on two; the core bears that.
 *  4. When a member's last connection is lost it is dialled at once: a refusal says that it died
 *     (RAFT_CONTACT), so that a leader's death costs no suspicion. */
#include "journal/raft_drive_impl.h"
#include "core/mutant.h"
#include "journal/era.h"

static const int64_t DRIVE_DIAL_MIN_NS = 20 * 1000000LL;
static const int64_t DRIVE_DIAL_MAX_NS = 500 * 1000000LL;
static const int64_t DRIVE_CONNECT_NS = 700 * 1000000LL; /* the system's next try is at 1 s */
static const int64_t DRIVE_HELLO_NS = 3000 * 1000000LL;
static const int64_t DRIVE_SAY_NS = 10000 * 1000000LL;

struct drive_hello {
    uint16_t proto, format; /* versions spoken, newest */
    uint64_t cluster_hi, cluster_lo;
    uint32_t from, to; /* members; to 0: whoever is there */
    uint64_t disk, era;
    int64_t promise_ns;
    uint32_t settings; /* 0: not said */
    uint32_t is_guest; /* raft_is_guest */
    uint32_t bytes;    /* of it, as far as it was read */
};
enum { DRIVE_HELLO_BYTES = 60 };

static void drive_dial(struct drive_link *k);
static void drive_dial_later(struct drive_link *k);

static void drive_hello_put(const struct drive *d, struct wbuf *w, uint32_t to)
{
    wbuf_u16(w, DRIVE_PROTO);
    wbuf_u16(w, LOG_VERSION);
    wbuf_u64(w, d->file.meta.cluster_hi);
    wbuf_u64(w, d->file.meta.cluster_lo);
    wbuf_u32(w, d->self.v);
    wbuf_u32(w, to);
    wbuf_u64(w, d->file.meta.disk);
    wbuf_u64(w, d->file.meta.era);
    wbuf_u64(w, (uint64_t)d->cfg.raft.promise_ns);
    wbuf_u32(w, d->cfg.raft.settings);
    wbuf_u32(w, d->raft && raft_is_guest(d->raft));
}

/* is_last: nothing may follow.  E_VERSION: of a release whose hello is another one, so only the
 * versions and bytes are sure; what is longer and of a newer version begins as ours does. */
static int drive_hello_get(struct rbuf *r, struct drive_hello *h, bool is_last)
{
    size_t n = rbuf_left(r);
    *h = (struct drive_hello){0};
    h->proto = rbuf_u16(r);
    h->format = rbuf_u16(r);
    h->cluster_hi = rbuf_u64(r);
    h->cluster_lo = rbuf_u64(r);
    h->from = rbuf_u32(r);
    h->to = rbuf_u32(r);
    h->disk = rbuf_u64(r);
    h->era = rbuf_u64(r);
    h->promise_ns = (int64_t)rbuf_u64(r);
    h->settings = rbuf_u32(r);
    h->is_guest = rbuf_u32(r);
    h->bytes = (uint32_t)(is_last ? n : base_min_u64(n, DRIVE_HELLO_BYTES));
    if (n < 4)
        return E_PROTO;
    if (h->proto < DRIVE_PROTO || r->bad || (h->proto == DRIVE_PROTO && is_last && rbuf_left(r)))
        return E_VERSION;
    return h->from ? 0 : E_PROTO;
}

/* --- links --- */

/* one that called may not be of the configuration that is known here */
static const char *drive_where(const struct drive_link *k)
{
    return *k->addr ? k->addr : "an address not known yet";
}

struct drive_link *raft_drive_link_find(struct drive *d, struct raft_id id)
{
    for (uint32_t i = 0; id.v && i < DRIVE_LINKS; i++)
        if (d->link[i].id.v == id.v)
            return &d->link[i];
    return NULL;
}

static bool drive_link_idle(const struct drive_link *k)
{
    return !k->out && !k->in && !k->is_connecting && !k->is_reading && !k->is_closing && !k->reader;
}

static void drive_link_read_done(struct env_op *op);
static void drive_link_reader_closed(struct env_op *op);
static void drive_dialled(struct env_op *op);
static void drive_redial(struct env_op *op);

static struct drive_link *drive_link_new(struct drive *d, struct raft_id id)
{
    for (uint32_t i = 0; i < DRIVE_LINKS; i++) {
        struct drive_link *k = &d->link[i];
        if (k->id.v && (k->is_member || !drive_link_idle(k)))
            continue;
        env_timer_stop(d->env, &k->retry);
        uint8_t *fetch = k->fetch;
        memset(k, 0, sizeof *k);
        k->fetch = fetch;
        k->d = d;
        k->id = id;
        k->connecting.done = drive_dialled;
        k->retry.op.done = drive_redial;
        k->read_op.done = drive_link_read_done;
        k->close_op.done = drive_link_reader_closed;
        return k;
    }
    return NULL;
}

struct env_peer *raft_drive_link_peer(const struct drive_link *k)
{
    struct drive_conn *out = k->out && k->out->is_up ? k->out : NULL;
    struct drive_conn *in = k->in && k->in->is_up ? k->in : NULL;
    if (out && in) /* the other one may lead nowhere since */
        return out->up_no > in->up_no ? &out->peer : &in->peer;
    return out ? &out->peer : in ? &in->peer : NULL;
}

static void drive_say(struct drive_link *k, enum env_log level, const char *what, int why)
{
    int64_t now = env_now_ns(k->d->env);
    if (k->said_ns && now - k->said_ns < DRIVE_SAY_NS)
        return;
    k->said_ns = now;
    fmt_log(k->d->env, level, "journal: member %u at %s: %s: %s.", k->id.v, drive_where(k), what,
            err_text(why));
}

/* --- connections --- */

static void drive_on_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n);
static void drive_on_close(struct env_peer *p, int why);

static struct drive_conn *drive_conn_of(struct env_peer *p)
{
    return container_of(p, struct drive_conn, peer);
}

static void drive_hello_late(struct env_op *op);

static struct drive_conn *drive_conn_new(struct drive *d)
{
    for (uint32_t i = 0; i < DRIVE_CONNS; i++) {
        struct drive_conn *c = &d->conn[i];
        if (c->is_used)
            continue;
        memset(c, 0, sizeof *c);
        c->d = d;
        c->is_used = true;
        c->peer.on_frame = drive_on_frame;
        c->peer.on_close = drive_on_close;
        c->deadline.op.done = drive_hello_late;
        return c;
    }
    return NULL;
}

/* c is no more; what it means for its member */
static void drive_conn_gone(struct drive_conn *c, int why)
{
    struct drive *d = c->d;
    struct drive_link *k = c->link;
    env_timer_stop(d->env, &c->deadline);
    if (d->ship)
        ship_lost(d->ship, &c->peer);
    bool was_up = c->is_up;
    c->is_used = c->is_up = false;
    c->link = NULL;
    if (!k)
        return;
    if (k->out == c)
        k->out = NULL;
    if (k->in == c)
        k->in = NULL;
    if (d->stop_op || d->state != DRIVE_RUNNING)
        return;
    if (!was_up) { /* hung up on before it said who it is: it starts, perhaps */
        if (c->is_out)
            drive_dial_later(k);
        return;
    }
    if (!k->was_told) {
        k->was_told = true;
        fmt_log(d->env, ENV_LOG_INFO, "journal: member %u at %s: connection lost: %s.", k->id.v,
                drive_where(k), err_text(why));
    }
    k->backoff_ns = 0;
    if (k->is_member && !k->out)
        drive_dial(k);
}

static void drive_conn_drop(struct drive_conn *c, int why)
{
    if (c->peer.conn)
        env_hangup(c->peer.conn);
    drive_conn_gone(c, why);
}

static void drive_hello_late(struct env_op *op)
{
    struct drive_conn *c = container_of(op, struct drive_conn, deadline.op);
    drive_conn_drop(c, E_TIMEOUT);
}

static void drive_on_close(struct env_peer *p, int why)
{
    struct drive_conn *c = drive_conn_of(p);
    struct drive *d = c->d;
    drive_conn_gone(c, why);
    if (d->stop_op)
        raft_drive_run(d);
}

/* Said once for each that differs, however often it connects. */
static void drive_link_settings(struct drive_link *k, uint32_t settings)
{
    uint32_t own = k->d->cfg.raft.settings;
    if (own && settings && settings != own && settings != k->settings)
        fmt_log(k->d->env, ENV_LOG_WARN,
                "journal: member %u at %s is configured otherwise than this one (mounts, limits, "
                "leases, ...): `tarn journal status` says in what; make them equal.",
                k->id.v, drive_where(k));
    k->settings = settings;
}

/* the disk that this member is known by: whoever is connected with another one is not it */
static void drive_link_known(struct drive_link *k, uint64_t disk)
{
    k->disk = disk;
    if (!k->is_member || MUTANT(RAFT_DISK_IGNORED))
        return;
    if (k->in && k->in->disk != disk)
        drive_conn_drop(k->in, E_STALE);
    if (k->out && k->out->is_up && k->out->disk != disk)
        drive_conn_drop(k->out, E_STALE);
}

/* What a configuration says of a member's disk.  is_new: there was no such member before, or it was
 * elsewhere, and what is connected may be left of another one.  Who reads how the group came about
 * does not lose his leader by what was true once. */
static void drive_link_named(struct drive_link *k, const struct raft_member *m, bool is_new)
{
    struct drive *d = k->d;
    struct raft_status s;
    raft_status(d->raft, &s);
    if (!m->disk && (!is_new || m->flags & (RAFT_VOTER | RAFT_OLD)))
        return;
    k->disk = m->disk;
    if (s.leader.v != k->id.v && raft_member_find(raft_conf(d->raft), d->self))
        drive_link_known(k, m->disk);
}

/* the member answers: the core sends again what was lost */
static void drive_link_up(struct drive_link *k)
{
    struct drive *d = k->d;
    if (k->was_told || k->is_refused)
        fmt_log(d->env, ENV_LOG_INFO, "journal: member %u at %s: connected.", k->id.v,
                drive_where(k));
    k->is_refused = k->was_told = false;
    k->said_ns = 0;
    k->backoff_ns = 0;
    k->asked_ns = 0;
    k->is_silent = false;
    struct raft_event ev = {.type = RAFT_CONTACT, .u.contact = {k->id, true}};
    raft_drive_event(d, &ev, NULL);
}

/* --- dialling --- */

static void drive_dial_later(struct drive_link *k)
{
    struct drive *d = k->d;
    if (d->stop_op || !k->is_member || d->state != DRIVE_RUNNING)
        return;
    k->backoff_ns = k->backoff_ns ? 2 * k->backoff_ns : DRIVE_DIAL_MIN_NS;
    if (k->backoff_ns > DRIVE_DIAL_MAX_NS)
        k->backoff_ns = DRIVE_DIAL_MAX_NS;
    int64_t jitter = (int64_t)(env_random(d->env) % (uint64_t)(k->backoff_ns / 2 + 1));
    env_timer_set(d->env, &k->retry, env_now_ns(d->env) + k->backoff_ns + jitter);
}

static void drive_redial(struct env_op *op)
{
    drive_dial(container_of(op, struct drive_link, retry.op));
}

static void drive_dial(struct drive_link *k)
{
    struct drive *d = k->d;
    if (d->stop_op || k->out || k->is_connecting || !k->is_member || d->state != DRIVE_RUNNING)
        return;
    struct drive_conn *c = drive_conn_new(d);
    if (!c) {
        drive_dial_later(k);
        return;
    }
    env_timer_stop(d->env, &k->retry);
    c->is_out = true;
    c->link = k;
    k->out = c;
    k->is_connecting = true;
    env_connect(d->env, k->addr, DRIVE_CONNECT_NS, &c->peer, &k->connecting);
}

static void drive_dialled(struct env_op *op)
{
    struct drive_link *k = container_of(op, struct drive_link, connecting);
    struct drive *d = k->d;
    struct drive_conn *c = k->out;
    k->is_connecting = false;
    bool is_elsewhere = k->is_elsewhere;
    k->is_elsewhere = false;
    if (op->ret == 0 && !d->stop_op && k->is_member && !is_elsewhere) {
        uint8_t b[64];
        struct wbuf w = wbuf_make(b, sizeof b);
        drive_hello_put(d, &w, k->id.v);
        struct env_iov iov = {b, w.len};
        env_timer_set(d->env, &c->deadline, env_now_ns(d->env) + DRIVE_HELLO_NS);
        env_send(c->peer.conn, DRIVE_FRAME_HELLO, &iov, 1);
        return;
    }
    if (op->ret == E_TIMEOUT)
        k->backoff_ns = 0; /* it has waited long enough */
    drive_conn_drop(c, E_CLOSED);
    if (d->stop_op) {
        raft_drive_run(d);
        return;
    }
    if (op->ret == E_REFUSED && !raft_drive_link_peer(k) && !is_elsewhere) {
        k->is_refused = true;
        struct raft_event ev = {.type = RAFT_CONTACT, .u.contact = {k->id, false}};
        raft_drive_event(d, &ev, NULL);
    } else if (op->ret < 0 && op->ret != E_REFUSED && op->ret != E_TIMEOUT) {
        drive_say(k, ENV_LOG_WARN, "cannot connect", (int)op->ret);
    }
}

/* --- hello --- */

/* Who has lost its promises with its disk must come back as another.  is_found: it is who runs at
 * the member's address. */
static int drive_disk_check(struct drive *d, const struct drive_hello *h, bool is_found)
{
    const struct raft_member *m = raft_member_find(raft_conf(d->raft), (struct raft_id){h->from});
    const struct drive_link *k = raft_drive_link_find(d, (struct raft_id){h->from});
    if (!m || !raft_member_find(raft_conf(d->raft), d->self) || MUTANT(RAFT_DISK_IGNORED))
        return 0; /* who is not of it himself reads how the group came about */
    bool votes = m->flags & (RAFT_VOTER | RAFT_OLD);
    uint64_t disk = m->disk ? m->disk : k ? k->disk : 0;
    if (votes && !m->disk && h->is_guest)
        return E_STALE; /* nobody gets a vote before its disk is known: another one had it */
    if (m->disk || votes)
        return disk && disk != h->disk ? E_STALE : 0;
    return is_found || disk == h->disk ? 0 : disk ? E_STALE : E_UNAVAILABLE;
}

/* 0, or why the one who says this is not whom we talk to */
static int drive_hello_check(struct drive *d, const struct drive_hello *h, bool is_found)
{
    if (h->proto < DRIVE_PROTO || h->format != LOG_VERSION)
        return E_VERSION;
    if (h->cluster_hi != d->file.meta.cluster_hi || h->cluster_lo != d->file.meta.cluster_lo)
        return E_CLUSTER;
    if (h->era != d->file.meta.era)
        return E_CLUSTER; /* of before a recovery, or of another one (raft_offline.c) */
    if ((h->to && h->to != d->self.v) || h->from == d->self.v)
        return E_INVAL;
    if (h->promise_ns != d->cfg.raft.promise_ns)
        return E_INVAL; /* a leader's lease is as long as what it believes the others promise */
    return drive_disk_check(d, h, is_found);
}

static void drive_hello_said(struct drive *d, const struct drive_hello *h, const char *addr,
                             int why)
{
    int64_t now = env_now_ns(d->env);
    if (d->hello_said_ns && now - d->hello_said_ns < DRIVE_SAY_NS)
        return;
    d->hello_said_ns = now;
    if (why == E_STALE)
        fmt_log(d->env, ENV_LOG_ERROR,
                "journal: member %u (%s) comes with another disk than it is known by. It may have "
                "lost what it promised: replace it by a new id (`tarn journal replace %u "
                "NEWID@HOST:PORT`).",
                h->from, addr, h->from);
    else if (why == E_CLUSTER && h->era != d->file.meta.era &&
             h->cluster_hi == d->file.meta.cluster_hi && h->cluster_lo == d->file.meta.cluster_lo)
        fmt_log(d->env, ENV_LOG_ERROR,
                "journal: member %u (%s) is not of this group any more: %s. Nothing is taken from "
                "it; it may come back as a new member, with an empty directory (--join).",
                h->from, addr,
                era_number(h->era) == era_number(d->file.meta.era)
                    ? "two members were recovered, each for itself, and only one can go on"
                    : "the group was recovered or restored without it");
    else if (why == E_VERSION)
        fmt_log(d->env, ENV_LOG_ERROR,
                "journal: member %u (%s) is of another release: it speaks version %u and writes "
                "format %u, here it is %u and %u (its hello has %u bytes, ours %u). Nothing is "
                "taken from it. Run the newer release on every master; a downgrade is refused.",
                h->from, addr, h->proto, h->format, DRIVE_PROTO, LOG_VERSION, h->bytes,
                DRIVE_HELLO_BYTES);
    else if (why == E_INVAL && h->promise_ns != d->cfg.raft.promise_ns)
        fmt_log(d->env, ENV_LOG_ERROR,
                "journal: member %u (%s) has another journal.promise (%lld us; here %lld us): a "
                "lease would not be safe, so nothing is taken from it. Give all masters the same "
                "one while all are stopped.",
                h->from, addr, (long long)h->promise_ns / 1000,
                (long long)d->cfg.raft.promise_ns / 1000);
    else
        fmt_log(d->env, ENV_LOG_WARN,
                "journal: member %u (%s) is not whom we talk to: %s (cluster %016llx%016llx here, "
                "%016llx%016llx there).",
                h->from, addr, err_text(why), (unsigned long long)d->file.meta.cluster_hi,
                (unsigned long long)d->file.meta.cluster_lo, (unsigned long long)h->cluster_hi,
                (unsigned long long)h->cluster_lo);
}

static void drive_welcome(struct drive_conn *c, int err, uint32_t to)
{
    uint8_t b[96];
    struct wbuf w = wbuf_make(b, sizeof b);
    wbuf_u32(&w, (uint32_t)err);
    drive_hello_put(c->d, &w, to);
    if (err == E_STALE)
        raft_gone_put(c->d, &w, to);
    struct env_iov iov = {b, w.len};
    env_send(c->peer.conn, DRIVE_FRAME_WELCOME, &iov, 1);
}

/* An empty directory was called: 0, and it takes the caller's cluster and era; or why not. */
static int drive_join(struct drive *d, const struct drive_hello *h)
{
    struct journal_config *c = &d->cfg;
    bool is_meant = c->cluster_hi || c->cluster_lo;
    if (h->to != d->self.v || h->proto < DRIVE_PROTO || !(h->cluster_hi || h->cluster_lo))
        return E_UNAVAILABLE;
    if (is_meant && (h->cluster_hi != c->cluster_hi || h->cluster_lo != c->cluster_lo))
        return E_CLUSTER;
    c->cluster_hi = h->cluster_hi;
    c->cluster_lo = h->cluster_lo;
    d->is_called = true;
    d->join_era = h->era;
    fmt_log(d->env, ENV_LOG_INFO,
            "journal: '%s': joining cluster %016llx%016llx, called by member %u.",
            env_disk(d->env, d->dir), (unsigned long long)h->cluster_hi,
            (unsigned long long)h->cluster_lo, h->from);
    d->state = DRIVE_META;
    raft_drive_kick(d);
    return 0;
}

static void drive_on_hello(struct drive_conn *c, const void *b, uint32_t n)
{
    struct drive *d = c->d;
    struct drive_hello h;
    struct rbuf r = rbuf_make(b, n);
    int other = c->is_out || c->is_up ? E_PROTO : drive_hello_get(&r, &h, true);
    if (other == E_PROTO) {
        drive_conn_drop(c, E_PROTO);
        return;
    }
    bool joins = d->state == DRIVE_JOIN && !other;
    bool over = !other && raft_offline_outdated(d, h.cluster_hi, h.cluster_lo, h.era, h.from);
    int why = other                       ? other
              : joins                     ? drive_join(d, &h)
              : d->state == DRIVE_RUNNING ? drive_hello_check(d, &h, false)
                                          : E_UNAVAILABLE;
    if (over || (joins && !why)) { /* who called a directory that was empty tries again */
        drive_conn_drop(c, E_CLOSED);
        return;
    }
    struct drive_link *k = why ? NULL : raft_drive_link_find(d, (struct raft_id){h.from});
    if (!why && !k)
        k = drive_link_new(d, (struct raft_id){h.from});
    if (!why && !k)
        why = E_AGAIN;
    drive_welcome(c, why, h.from);
    if (why) {
        if (why != E_UNAVAILABLE && why != E_AGAIN)
            drive_hello_said(d, &h, "calling", why);
        env_timer_set(d->env, &c->deadline, env_now_ns(d->env) + DRIVE_HELLO_NS);
        return; /* it hangs up, or we do */
    }
    env_timer_stop(d->env, &c->deadline);
    if (k->in)
        drive_conn_drop(k->in, E_CLOSED);
    c->link = k;
    c->is_up = true;
    c->up_no = ++d->ups;
    c->disk = h.disk;
    k->in = c;
    drive_link_known(k, h.disk);
    drive_link_settings(k, h.settings);
    raft_gone_tell(d, k);
    drive_link_up(k);
}

static void drive_on_welcome(struct drive_conn *c, const void *b, uint32_t n)
{
    struct drive *d = c->d;
    struct drive_hello h;
    struct rbuf r = rbuf_make(b, n);
    int err = (int)rbuf_u32(&r);
    struct drive_link *k = c->link;
    int other = !c->is_out || c->is_up ? E_PROTO : drive_hello_get(&r, &h, err != E_STALE);
    if (other == E_PROTO) {
        drive_conn_drop(c, E_PROTO);
        return;
    }
    if (!other && raft_offline_outdated(d, h.cluster_hi, h.cluster_lo, h.era, h.from)) {
        drive_conn_drop(c, E_CLOSED);
        return;
    }
    int why = err ? err_checked(err) : other ? other : drive_hello_check(d, &h, true);
    if (!why && h.from != k->id.v)
        why = E_INVAL;
    if (why == E_STALE && err && h.era == d->file.meta.era && rbuf_left(&r) &&
        h.cluster_hi == d->file.meta.cluster_hi && h.cluster_lo == d->file.meta.cluster_lo)
        (void)raft_gone_heard(d, &r);
    if (why) {
        if (err && why != E_VERSION) /* else ours names both */
            drive_say(k, why == E_UNAVAILABLE ? ENV_LOG_DEBUG : ENV_LOG_WARN,
                      "it does not talk to us", why);
        else
            drive_hello_said(d, &h, k->addr, why);
        drive_conn_drop(c, why);
        return;
    }
    env_timer_stop(d->env, &c->deadline);
    c->is_up = true;
    c->up_no = ++d->ups;
    c->disk = h.disk;
    drive_link_known(k, h.disk);
    drive_link_settings(k, h.settings);
    drive_link_up(k);
}

struct env_peer *raft_drive_accept(struct journal *j, const char *from)
{
    struct drive *d = container_of(j, struct drive, journal);
    (void)from;
    if (d->stop_op || (d->state != DRIVE_RUNNING && d->state != DRIVE_JOIN))
        return NULL;
    struct drive_conn *c = drive_conn_new(d);
    if (!c)
        return NULL;
    env_timer_set(d->env, &c->deadline, env_now_ns(d->env) + DRIVE_HELLO_NS);
    return &c->peer;
}

/* --- messages --- */

static void drive_on_message(struct drive_conn *c, const void *b, uint32_t n)
{
    struct drive *d = c->d;
    struct raft_message *m = &d->in.message;
    if (raft_format_get(b, n, &d->in) || m->from.v != c->link->id.v || m->to.v != d->self.v) {
        drive_conn_drop(c, E_PROTO);
        return;
    }
    raft_gone_led(d, m);
    struct raft_event ev = {.type = RAFT_MESSAGE, .u.message = m};
    struct drive_source src = {
        .first = m->index + 1, .n = m->n, .bytes = d->in.bytes, .entry = d->in.entry};
    if (raft_drive_event(d, &ev, &src) == E_PROTO && c->is_used)
        drive_conn_drop(c, E_PROTO);
}

static void drive_on_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    struct drive_conn *c = drive_conn_of(p);
    struct drive *d = c->d;
    if (d->stop_op)
        return;
    if (c->is_up)
        c->link->asked_ns = 0;
    if (type == DRIVE_FRAME_HELLO) {
        drive_on_hello(c, b, n);
    } else if (type == DRIVE_FRAME_WELCOME) {
        drive_on_welcome(c, b, n);
    } else if (!c->is_up || d->state != DRIVE_RUNNING) {
        if (!c->is_up)
            drive_conn_drop(c, E_PROTO);
    } else if (type == DRIVE_FRAME_MESSAGE) {
        drive_on_message(c, b, n);
    } else if (type == DRIVE_FRAME_GONE) {
        struct rbuf r = rbuf_make(b, n);
        if (raft_gone_heard(d, &r))
            drive_conn_drop(c, E_PROTO);
    } else if (type == JOURNAL_FRAME_IMAGE_GET) {
        if (ship_on_get(d->ship, p, b, n))
            drive_conn_drop(c, E_PROTO);
    } else if (type == JOURNAL_FRAME_IMAGE_DATA) {
        if (ship_on_data(d->ship, p, b, n))
            drive_conn_drop(c, E_PROTO);
    } else if (type != JOURNAL_FRAME_IMAGE_BAD || ship_on_bad(d->ship, b, n)) {
        drive_conn_drop(c, E_PROTO);
    }
}

static void drive_put_entry(struct drive *d, struct wbuf *w, const struct raft_message *m,
                            const struct drive_link *k, uint32_t i)
{
    if (m->fetched) {
        raft_format_entry_put(w, &k->fetch_entry[i], k->fetch_at[i]);
        return;
    }
    struct raft_entry e = raft_entry_at(d->raft, m->index + 1 + i);
    const void *bytes = raft_log_bytes(d->log, m->index + 1 + i, &e.len);
    raft_format_entry_put(w, &e, bytes);
}

/* Each of these is answered at once by a member that is well. */
static bool drive_is_question(enum raft_message_type type)
{
    return type == RAFT_MSG_APPEND || type == RAFT_MSG_READ || type == RAFT_MSG_VOTE ||
           type == RAFT_MSG_PRE_VOTE;
}

/* After a cut the system sends what was lost again only after a pause that may be as long as the
 * cut was; a new connection does not wait. */
static void drive_asks(struct drive_link *k)
{
    struct drive *d = k->d;
    int64_t now = env_now_ns(d->env);
    if (!k->asked_ns) {
        k->asked_ns = now;
    } else if (now - k->asked_ns >= d->cfg.raft.suspect_min_ns) {
        k->is_silent = d->some_silent = true;
        raft_drive_kick(d);
    }
}

/* comes by in every turn, and the links lie far apart in memory */
void raft_drive_links_heed(struct drive *d)
{
    if (!d->some_silent)
        return;
    d->some_silent = false;
    for (uint32_t i = 0; i < DRIVE_LINKS; i++) {
        struct drive_link *k = &d->link[i];
        if (!k->is_silent)
            continue;
        k->is_silent = false;
        k->asked_ns = 0;
        if (k->in)
            drive_conn_drop(k->in, E_TIMEOUT);
        if (k->out && k->out->is_up)
            drive_conn_drop(k->out, E_TIMEOUT);
    }
}

void raft_drive_send(struct drive *d, const struct raft_message *m)
{
    struct drive_link *k = raft_drive_link_find(d, m->to);
    struct env_peer *p = k ? raft_drive_link_peer(k) : NULL;
    if (!p)
        return;
    struct wbuf w = wbuf_make(d->frame, ENV_FRAME_MAX);
    raft_format_head_put(&w, m);
    for (uint32_t i = 0; i < m->n; i++)
        drive_put_entry(d, &w, m, k, i);
    if (m->type == RAFT_MSG_IMAGE)
        raft_format_conf_put(&w, m->conf);
    ASSERT(!w.bad);
    d->messages++;
    d->message_bytes += w.len;
    if (drive_is_question(m->type))
        drive_asks(k);
    struct env_iov iov = {d->frame, w.len};
    env_send(p->conn, DRIVE_FRAME_MESSAGE, &iov, 1);
}

/* --- entries that left memory --- */

static void drive_fetched_entry(void *ctx, uint64_t index, const struct raft_entry *e,
                                const void *bytes)
{
    struct drive_link *k = ctx;
    uint32_t n = k->fetch_n;
    bool after_conf = n && k->fetch_entry[n - 1].type == RAFT_CONF;
    if (index != k->fetch_from + n || n == RAFT_BATCH_ENTRIES || after_conf ||
        k->fetch_bytes + e->len > (n ? DRIVE_BATCH_BYTES : DRIVE_FETCH_BYTES))
        return;
    if (e->len)
        memcpy(k->fetch + k->fetch_bytes, bytes, e->len);
    k->fetch_at[n] = k->fetch + k->fetch_bytes;
    k->fetch_entry[n] = *e;
    k->fetch_bytes += e->len;
    k->fetch_n++;
}

static void drive_link_reader_close(struct drive_link *k);

static void drive_link_read_done(struct env_op *op)
{
    struct drive_link *k = container_of(op, struct drive_link, read_op);
    struct drive *d = k->d;
    k->is_reading = false;
    if (d->stop_op || d->state != DRIVE_RUNNING) {
        raft_drive_run(d);
        return;
    }
    if (k->fetch_next) { /* what was read is of an earlier leadership, or membership */
        struct raft_fetch f = {k->id, k->fetch_next};
        k->fetch_next = 0;
        raft_drive_fetch(d, &f);
        return;
    }
    uint32_t n = op->ret < 0 ? 0 : k->fetch_n;
    if (op->ret < 0 && op->ret != E_NOENT) { /* it gets an image once the log is trimmed: */
        drive_say(k, ENV_LOG_ERROR, "entries for it cannot be read from the log", (int)op->ret);
        /* which in a quiet group nothing else brings about */
        d->image_wanted |= snap_trim_index(d->snap) < k->fetch_from;
    }
    const struct raft_conf *conf = NULL;
    if (n && k->fetch_entry[n - 1].type == RAFT_CONF) {
        struct rbuf r = rbuf_make(k->fetch_at[n - 1], k->fetch_entry[n - 1].len);
        if (raft_format_conf_get(&r, &k->fetch_conf))
            n--;
        else
            conf = &k->fetch_conf;
    }
    struct raft_event ev = {.type = RAFT_FETCHED,
                            .u.fetched = {k->id, k->fetch_from, n, k->fetch_entry, conf}};
    raft_drive_event(d, &ev, NULL);
    if (!k->is_member && d->state == DRIVE_RUNNING)
        drive_link_reader_close(k);
}

static void drive_link_reader_closed(struct env_op *op)
{
    struct drive_link *k = container_of(op, struct drive_link, close_op);
    struct drive *d = k->d;
    k->is_closing = false;
    if (d->state == DRIVE_RUNNING && !d->stop_op)
        raft_drive_kick(d); /* somebody may wait for its place */
    else
        raft_drive_run(d);
}

static void drive_link_reader_close(struct drive_link *k)
{
    if (!k->reader || k->is_reading || k->is_closing)
        return;
    k->is_closing = true;
    raft_log_reader_close(k->reader, &k->close_op);
    k->reader = NULL;
}

/* the core is told in the next step, and asks again with a heartbeat */
static void drive_fetch_nothing(struct drive *d, const struct raft_fetch *f)
{
    if (d->n_unread < RAFT_MEMBERS_MAX)
        d->unread[d->n_unread++] = *f;
    raft_drive_kick(d);
}

void raft_drive_fetch(struct drive *d, const struct raft_fetch *f)
{
    struct drive_link *k = raft_drive_link_find(d, f->id);
    if (!k) {
        drive_fetch_nothing(d, f);
        return;
    }
    if (k->is_reading) { /* the core has forgotten that, as this master did not lead in between */
        k->fetch_next = f->from;
        return;
    }
    if (!k->reader)
        k->reader = raft_log_reader_open(d->log);
    if (!k->fetch)
        k->fetch = mem_alloc(d->mem, DRIVE_FETCH_BYTES);
    if (!k->reader || !k->fetch) { /* it stays behind; that is no reason to lead no more */
        drive_say(k, ENV_LOG_ERROR, "the log is not read for it; raise the master's budget",
                  E_NOMEM);
        drive_fetch_nothing(d, f);
        return;
    }
    k->is_reading = true;
    k->fetch_from = f->from;
    k->fetch_n = k->fetch_bytes = 0;
    raft_log_read(k->reader, f->from, DRIVE_BATCH_BYTES, RAFT_BATCH_ENTRIES, drive_fetched_entry, k,
                  &k->read_op);
}

/* --- the configuration --- */

void raft_drive_links_follow(struct drive *d)
{
    const struct raft_conf *c = raft_conf(d->raft);
    bool was_member[DRIVE_LINKS];
    for (uint32_t i = 0; i < DRIVE_LINKS; i++) {
        was_member[i] = d->link[i].is_member;
        d->link[i].is_member = false;
    }
    for (uint32_t i = 0; i < c->n; i++) {
        const struct raft_member *m = &c->member[i];
        if (m->id.v == d->self.v)
            continue;
        struct drive_link *k = raft_drive_link_find(d, m->id);
        if (!k)
            k = drive_link_new(d, m->id);
        if (!k) {
            d->conf_seen = UINT64_MAX; /* when another one has ended */
            continue;
        }
        bool is_new = !was_member[k - d->link] || strcmp(k->addr, m->addr);
        k->is_member = true;
        if (strcmp(k->addr, m->addr)) {
            fmt_into(k->addr, sizeof k->addr, "%s", m->addr);
            k->is_elsewhere = k->is_connecting;
            if (k->out && !k->is_connecting)
                drive_conn_drop(k->out, E_CLOSED);
        }
        drive_link_named(k, m, is_new);
        drive_dial(k);
    }
    /* one that is a member no more may still need to hear that: its connections stay until it ends
     * them, and then its place is free */
    for (uint32_t i = 0; i < DRIVE_LINKS; i++)
        if (!d->link[i].is_member)
            drive_link_reader_close(&d->link[i]);
}

bool raft_drive_peers_end(struct drive *d)
{
    bool done = true;
    for (uint32_t i = 0; i < DRIVE_CONNS; i++) {
        struct drive_conn *c = &d->conn[i];
        bool dialling = c->is_used && c->link && c->link->out == c && c->link->is_connecting;
        if (c->is_used && !dialling)
            drive_conn_drop(c, E_CLOSED);
        done &= !dialling;
    }
    for (uint32_t i = 0; i < DRIVE_LINKS; i++) {
        struct drive_link *k = &d->link[i];
        env_timer_stop(d->env, &k->retry);
        drive_link_reader_close(k);
        done &= !k->is_reading && !k->is_closing;
        if (k->fetch && done) {
            mem_free(d->mem, k->fetch, DRIVE_FETCH_BYTES);
            k->fetch = NULL;
        }
    }
    return done;
}
