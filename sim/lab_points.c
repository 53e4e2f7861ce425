/* sim/lab_points.c - one run with one crash (see sim/lab_points.h).
 *
 * The cluster is that of sim/lab_run.c with clients that do nothing of their own; a script is
 * carried out through the first two.  The last line of a script is the operation that the master
 * dies in.  Meanwhile the second client asks about the same names all the time. */
#include "sim/lab_points.h"
#include <stdarg.h>
#include "sim/lab_load_impl.h"
#include "sim/lab_run_impl.h"

static const int64_t POINTS_MS = 1000000;
static const int64_t POINTS_TAIL_NS = 60 * 1000000LL;
static const int64_t POINTS_DOWN_NS = 40 * 1000000LL;
static const int64_t POINTS_LATE_NS = 60000 * 1000000LL;

/* name, how long after the answer points still count in ms (0: a little), script.  "2:" is the
 * second client; behind: made in the under-store by somebody else. */
static const struct {
    const char *name;
    int64_t tail_ms;
    const char *script;
} points_ops[] = {
    {"mknod", 0, "mknod f"},
    {"mknod below", 0, "mkdir d;mknod d/f"},
    {"mkdir", 0, "mkdir d"},
    {"symlink", 0, "symlink f"},
    {"link", 0, "mknod f;mkdir d;2:stat f;link f d/g"},
    {"unlink", 900, "mknod f;2:stat f;unlink f"},
    {"unlink, one of two", 0, "mknod f;link f g;2:stat g;unlink f"},
    {"unlink, unknown", 0, "behind f;unlink f"},
    {"unlink, open", 900, "mknod f;2:wopen f;2:write;2:close;2:open f;unlink f"},
    {"unlink, then close", 1500, "mknod f;open f;unlink f;close"},
    {"rmdir", 0, "mkdir d;2:stat d;rmdir d"},
    {"rmdir, not empty", 0, "mkdir d;mknod d/f;rmdir d"},
    {"rename", 0, "mknod f;mkdir d;2:stat f;rename f d/g"},
    {"rename over a file", 900, "mknod f;mknod g;2:stat g;rename f g"},
    {"rename over an open file", 900, "mknod f;mknod g;2:open g;rename f g"},
    {"rename of a directory", 0, "mkdir d;mknod d/f;mkdir e;2:stat d/f;rename d e/g"},
    {"rename over a directory", 0, "mkdir d;mknod d/f;mkdir e;2:stat e;rename d e"},
    {"rename of the unknown", 0, "behind f;behind g;rename f g"},
    {"rename, no replace", 0, "mknod f;mknod g;noreplace f g"},
    {"exchange", 0, "mknod f;mknod g;2:stat g;exchange f g"},
    {"exchange, one is open", 0, "mknod f;mknod g;2:wopen g;2:write;2:close;2:open g;exchange f g"},
    {"exchange of directories", 0,
     "mkdir d;mknod d/f;mkdir e;mknod e/g;mkdir e/d;2:stat d/f;exchange d e/d"},
    {"exchange of a file and a directory", 0, "mknod f;mkdir d;mknod d/g;2:stat d/g;exchange f d"},
    {"exchange of the unknown", 0, "behind f;behind g;exchange f g"},
    {"exchange with nothing", 0, "mknod f;exchange f g"},
    {"rename to itself", 0, "mknod f;link f g;rename f g"},
    {"setattr mode", 0, "mknod f;2:stat f;chmod f"},
    {"setattr owner", 0, "mknod f;2:stat f;chown f"},
    {"setattr size", 0, "mknod f;wopen f;write;close;2:stat f;size f"},
    {"setattr times", 0, "mknod f;2:stat f;times f"},
    {"setattr of a directory", 0, "mkdir d;2:stat d;chmod d"},
    {"setxattr", 0, "mknod f;setxattr f"},
    {"removexattr", 0, "mknod f;setxattr f;rmxattr f"},
    {"create and open", 0, "mkdir d;2:stat d;create d/f"},
    {"create, what is there", 0, "2:mknod f;create f"},
    {"write what was created", 0, "create f;2:stat f;write"},
    {"close what was created", 0, "create f;write;2:stat f;close"},
    {"create, unlinked", 1500, "create f;2:unlink f;write;close"},
    {"open to write", 0, "mknod f;2:stat f;wopen f"},
    {"open to truncate", 0, "mknod f;wopen f;write;close;2:stat f;topen f"},
    {"write", 0, "mknod f;wopen f;write"},
    {"close after writing", 0, "mknod f;wopen f;write;2:stat f;close"},
    {"close, unlinked", 1500, "mknod f;wopen f;write;unlink f;close"},
    {"load of a name", 0, "behind f;stat f"},
    {"load of a listing", 0, "behind f;behind g;list ."},
    {"refresh", 0, "behind f;stat f;wait;behind f;stat f"},
    {"refresh of a listing", 0, "behind f;list .;wait;behind g;list ."},
};

struct points {
    struct lab_run *run;
    struct lab_points_result *res;
    struct run_node *master;
    enum lab_points_mode mode;
    uint32_t at, at2; /* where it dies; 0: it does not */
    uint32_t n, n2;   /* points so far, of the operation and of the recovery */
    bool counting, hit;
    int64_t die_ns, up_ns; /* 0: not now */
    bool is_dead_now, recovers;
    uint32_t boots;
    struct client_req req;
    struct client_io io;
    struct client_file *file[2];
    struct lab_check_file reading[2];
    bool done;
    uint8_t buf[3000];
    uint32_t tags;
    /* the one who asks meanwhile */
    struct client_req ask;
    bool asking;
    int64_t ask_from_ns, ask_at_ns;
    uint32_t asked;
    char ask_name[8];
};

const char *lab_points_name(uint32_t i)
{
    return i < ARRAY_LEN(points_ops) ? points_ops[i].name : NULL;
}

const char *lab_points_script(uint32_t i)
{
    return i < ARRAY_LEN(points_ops) ? points_ops[i].script : NULL;
}

const char *lab_points_mode_name(enum lab_points_mode m)
{
    static const char *const names[] = {"crash", "power", "torn", "double"};
    return m < LAB_POINTS_MODES ? names[m] : "?";
}

static void points_fail(struct points *p, const char *format, ...) PRINTF_LIKE(2, 3);

static void points_fail(struct points *p, const char *format, ...)
{
    va_list args;
    if (!p->res->ok)
        return;
    p->res->ok = false;
    va_start(args, format);
    fmt_into_v(p->res->why, sizeof p->res->why, format, args);
    va_end(args);
}

/* ---- points and deaths ---- */

static void points_event(void *ctx, const struct sim_trace *t)
{
    struct points *p = ctx;
    uint32_t m = sim_node_id(p->master->node);
    bool here = t->node == m, from = t->kind == SIM_K_FRAMES && (uint32_t)(t->b >> 32) == m;
    if (!p->counting || !(here || from || t->kind == SIM_K_DRIVER))
        return;
    p->hit = true;
    if (p->at)
        return;
    p->res->by_disk += t->kind == SIM_K_DISK;
    p->res->by_net += t->kind == SIM_K_FRAMES || t->kind == SIM_K_OPEN || t->kind == SIM_K_CLOSE;
    p->res->by_store += t->kind == SIM_K_DRIVER;
    p->res->by_rest += t->kind == SIM_K_OP || t->kind == SIM_K_TIMER || t->kind == SIM_K_WORK;
}

static void points_die(struct points *p)
{
    if (p->is_dead_now)
        return;
    p->is_dead_now = true;
    lab_run_down(p->master, p->mode == LAB_POINTS_CRASH ? sim_node_crash : sim_node_power_loss);
    p->up_ns = sim_now_ns(p->run->sim) + POINTS_DOWN_NS;
}

static void points_reach(struct points *p)
{
    if (p->mode == LAB_POINTS_TORN) {
        sim_node_stall(p->master->node, 1, 1000 * POINTS_MS);
        p->die_ns = sim_now_ns(p->run->sim) + 2 * POINTS_MS;
    } else {
        points_die(p);
    }
}

static void points_asked(struct env_op *op)
{
    struct points *p = container_of(op, struct points, ask.op);
    struct lab_window w = {p->ask_from_ns, sim_now_ns(p->run->sim)};
    p->asking = false;
    p->ask_at_ns = w.to_ns + 1 * POINTS_MS;
    lab_check_query(p->run->check, "c2", &p->ask.fsop, &p->ask.reply, w);
}

static bool points_is_writer(void *ctx, const char *client, struct ino ino)
{
    const struct points *p = ctx;
    uint32_t who = !strcmp(client, "c2");
    return p->file[who] && p->reading[who].ino.v == ino.v;
}

static void points_ask(struct points *p)
{
    static const char *const names[] = {"f", "g", "d", "e"};
    struct client *c = lab_load_client(p->run->load, 1);
    if (p->asking || !p->counting || !c || sim_now_ns(p->run->sim) < p->ask_at_ns)
        return;
    memset(&p->ask, 0, sizeof p->ask);
    fmt_into(p->ask_name, sizeof p->ask_name, "%s", names[p->asked++ % ARRAY_LEN(names)]);
    p->ask.fsop =
        (struct fsop){.kind = FSOP_LOOKUP, .ino = INO_ROOT, .name = p->ask_name, .name_len = 1};
    p->ask.op.done = points_asked;
    p->asking = true;
    p->ask_from_ns = sim_now_ns(p->run->sim);
    client_fs(c, &p->ask);
}

/* one event, and what is due after it */
static void points_step(struct points *p)
{
    struct lab_run *r = p->run;
    sim_step(r->sim);
    int64_t now = sim_now_ns(r->sim);
    if (p->hit && p->recovers) {
        p->hit = false;
        if (++p->n2 == p->at2)
            points_die(p);
    } else if (p->hit) {
        p->hit = false;
        if (++p->n == p->at)
            points_reach(p);
    }
    if (p->die_ns && now >= p->die_ns) {
        p->die_ns = 0;
        points_die(p);
    }
    if (p->is_dead_now && now >= p->up_ns) {
        p->is_dead_now = false;
        p->recovers = p->mode == LAB_POINTS_DOUBLE;
        p->counting = p->counting && p->recovers && p->boots++ == 0;
        lab_run_boot(p->master);
    }
    points_ask(p);
}

static bool points_wait(struct points *p)
{
    int64_t until = sim_now_ns(p->run->sim) + POINTS_LATE_NS;
    while (!p->done && sim_now_ns(p->run->sim) < until)
        points_step(p);
    if (!p->done)
        points_fail(p, "no answer within a minute");
    return p->done;
}

static void points_pass(struct points *p, int64_t ns)
{
    int64_t until = sim_now_ns(p->run->sim) + ns;
    while (sim_now_ns(p->run->sim) < until)
        points_step(p);
}

/* ---- operations ---- */

static void points_done(struct env_op *op)
{
    struct points *p = container_of(op, struct points, req.op);
    p->done = true;
}

static void points_io_done(struct env_op *op)
{
    struct points *p = container_of(op, struct points, io.op);
    p->done = true;
}

static int points_fs(struct points *p, uint32_t who)
{
    struct lab_check *k = p->run->check;
    const struct fsop *op = &p->req.fsop;
    struct lab_window w = {.from_ns = sim_now_ns(p->run->sim)};
    const char *name = who ? "c2" : "c1";
    p->done = false;
    p->req.fsop.n_groups = 1;
    p->req.fsop.groups[0] = LAB_CHECK_TAGS + 2048 + p->tags++;
    p->req.op.done = points_done;
    p->req.deadline_ns = 0;
    client_fs(lab_load_client(p->run->load, who), &p->req);
    if (!points_wait(p))
        return E_TIMEOUT;
    w.to_ns = sim_now_ns(p->run->sim);
    if (op->kind == FSOP_OPEN && (op->mode & FSOP_ACCESS_W)) {
        if (!p->req.reply.err && op->flags & FSOP_F_TRUNC)
            lab_check_sized(k, op->ino, 0, w);
    } else if (fsop_is_query(op->kind)) {
        if (op->kind != FSOP_READDIR)
            lab_check_query(k, name, op, &p->req.reply, w);
    } else {
        lab_check_mutation(k, name, op, &p->req.reply, w);
        if (p->req.file)
            lab_check_sized(k, p->req.reply.attr.ino, 0, w);
        if (op->valid & FSOP_SET_SIZE)
            lab_check_sized(k, op->ino, op->size, w);
    }
    return p->req.reply.err;
}

/* the inode at a path of at most two names; 0: there is none */
static struct ino points_find(struct points *p, uint32_t who, const char *path, size_t n)
{
    struct ino at = INO_ROOT;
    if (n == 1 && *path == '.')
        return at;
    while (n) {
        size_t len = 0;
        while (len < n && path[len] != '/')
            len++;
        memset(&p->req, 0, sizeof p->req);
        p->req.fsop =
            (struct fsop){.kind = FSOP_LOOKUP, .ino = at, .name = path, .name_len = (uint32_t)len};
        if (points_fs(p, who))
            return (struct ino){0};
        at = p->req.reply.attr.ino;
        path += len < n ? len + 1 : len;
        n -= len < n ? len + 1 : len;
    }
    return at;
}

static struct ino points_dir(struct points *p, uint32_t who, const char **path, size_t *n)
{
    const char *slash = memchr(*path, '/', *n);
    if (!slash)
        return INO_ROOT;
    struct ino dir = points_find(p, who, *path, (size_t)(slash - *path));
    *n -= (size_t)(slash + 1 - *path);
    *path = slash + 1;
    return dir;
}

static void points_io(struct points *p, uint32_t who, bool write)
{
    struct client *c = lab_load_client(p->run->load, who);
    struct lab_window w = {.from_ns = sim_now_ns(p->run->sim)};
    memset(&p->io, 0, sizeof p->io);
    p->done = false;
    p->io.op.done = points_io_done;
    p->io.file = p->file[who];
    p->io.buf = p->buf;
    p->io.len = write ? sizeof p->buf : 0;
    if (write) {
        lab_load_fill(p->buf, sizeof p->buf, 5);
        lab_check_writing(p->run->check, p, p->reading[who].ino, 0, sizeof p->buf);
        client_write(c, &p->io);
    } else {
        client_release(c, &p->io);
        p->file[who] = NULL;
    }
    if (!points_wait(p))
        return;
    w.to_ns = sim_now_ns(p->run->sim);
    if (write)
        lab_check_writing_end(p->run->check, p, true);
    if (write && p->io.op.ret == sizeof p->buf)
        lab_check_written(p->run->check, "c1", p->reading[who].ino, 0, p->buf, sizeof p->buf, w);
    p->res->err = p->io.op.ret < 0 ? (int)p->io.op.ret : 0;
}

/* the words of one command: at most three */
struct points_words {
    const char *w[3];
    size_t n[3];
};

static bool points_is(const struct points_words *x, const char *what)
{
    return x->n[0] == strlen(what) && !memcmp(x->w[0], what, x->n[0]);
}

/* kinds that name something in a directory */
static bool points_named(struct points *p, uint32_t who, const struct points_words *x,
                         struct fsop *op)
{
    static const struct {
        const char *word;
        uint16_t kind, flags;
    } kinds[] = {{"mknod", FSOP_MKNOD, 0},
                 {"create", FSOP_MKNOD, FSOP_F_OPEN},
                 {"mkdir", FSOP_MKDIR, 0},
                 {"symlink", FSOP_SYMLINK, 0},
                 {"unlink", FSOP_UNLINK, 0},
                 {"rmdir", FSOP_RMDIR, 0},
                 {"stat", FSOP_LOOKUP, 0},
                 {"rename", FSOP_RENAME, 0},
                 {"noreplace", FSOP_RENAME, FSOP_F_NOREPLACE},
                 {"exchange", FSOP_RENAME, FSOP_F_EXCHANGE}};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!points_is(x, kinds[i].word))
            continue;
        const char *a = x->w[1], *b = x->w[2];
        size_t na = x->n[1], nb = x->n[2];
        op->ino = points_dir(p, who, &a, &na);
        if (nb)
            op->ino2 = points_dir(p, who, &b, &nb);
        op->kind = kinds[i].kind;
        op->flags = kinds[i].flags;
        op->name = a;
        op->name_len = (uint32_t)na;
        op->name2 = b;
        op->name2_len = (uint32_t)nb;
        op->mode = op->kind == FSOP_MKNOD || op->kind == FSOP_MKDIR ? 0755 : 0;
        if (op->kind == FSOP_SYMLINK) {
            op->data = "there";
            op->data_len = 5;
        }
        return true;
    }
    return false;
}

/* kinds that are about an inode */
static bool points_about(struct points *p, uint32_t who, const struct points_words *x,
                         struct fsop *op)
{
    static const struct {
        const char *word;
        struct fsop op;
    } kinds[] = {
        {"chmod", {.kind = FSOP_SETATTR, .valid = FSOP_SET_MODE, .mode = 0600}},
        {"chown",
         {.kind = FSOP_SETATTR,
          .valid = FSOP_SET_UID | FSOP_SET_GID,
          .set_uid = 1001,
          .set_gid = 1002}},
        {"size", {.kind = FSOP_SETATTR, .valid = FSOP_SET_SIZE, .size = 777}},
        {"times",
         {.kind = FSOP_SETATTR,
          .valid = FSOP_SET_ATIME | FSOP_SET_MTIME,
          .atime_ns = 5,
          .mtime_ns = 6}},
        {"setxattr",
         {.kind = FSOP_SETXATTR, .name = "user.x", .name_len = 6, .data = "v", .data_len = 1}},
        {"rmxattr", {.kind = FSOP_REMOVEXATTR, .name = "user.x", .name_len = 6}},
        {"open", {.kind = FSOP_OPEN, .mode = FSOP_ACCESS_R}},
        {"wopen", {.kind = FSOP_OPEN, .mode = FSOP_ACCESS_R | FSOP_ACCESS_W}},
        {"topen",
         {.kind = FSOP_OPEN, .mode = FSOP_ACCESS_R | FSOP_ACCESS_W, .flags = FSOP_F_TRUNC}},
        {"list", {.kind = FSOP_READDIR, .size = 4000}},
    };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!points_is(x, kinds[i].word))
            continue;
        struct ino ino = points_find(p, who, x->w[1], x->n[1]);
        *op = kinds[i].op;
        op->ino = ino;
        return true;
    }
    if (!points_is(x, "link"))
        return false;
    const char *b = x->w[2];
    size_t nb = x->n[2];
    struct ino dir = points_dir(p, who, &b, &nb), ino = points_find(p, who, x->w[1], x->n[1]);
    *op = (struct fsop){
        .kind = FSOP_LINK, .ino = ino, .ino2 = dir, .name = b, .name_len = (uint32_t)nb};
    return true;
}

static void points_behind(struct points *p, const struct points_words *x)
{
    char path[64];
    fmt_into(path, sizeof path, "main/%.*s", (int)x->n[1], x->w[1]);
    lab_ufs_file(p->run->ufs, path, 100);
}

static void points_command(struct points *p, const struct points_words *x, uint32_t who,
                           bool is_last)
{
    struct fsop op = {0};
    if (points_is(x, "behind")) {
        points_behind(p, x);
        return;
    }
    if (points_is(x, "wait")) { /* until it is compared again, and its time can be trusted */
        points_pass(p, 1500 * POINTS_MS);
        return;
    }
    bool write = points_is(x, "write");
    bool is_io = write || points_is(x, "close");
    if (!is_io && !points_named(p, who, x, &op) && !points_about(p, who, x, &op))
        ASSERT(!"a word of a script");
    p->counting = is_last;
    if (is_io) {
        points_io(p, who, write);
        return;
    }
    memset(&p->req, 0, sizeof p->req);
    p->req.fsop = op;
    p->res->err = points_fs(p, who);
    if (p->req.file && !p->res->err) {
        p->file[who] = p->req.file;
        p->reading[who].ino = op.kind == FSOP_OPEN ? op.ino : p->req.reply.attr.ino;
    }
}

static void points_script(struct points *p, const char *s)
{
    while (*s && p->res->ok) {
        struct points_words x = {{"", "", ""}, {0, 0, 0}};
        uint32_t who = s[1] == ':' ? 1 : 0, n = 0;
        s += who ? 2 : 0;
        while (*s && *s != ';') {
            size_t len = strcspn(s, " ;");
            if (len && n < 3) {
                x.w[n] = s;
                x.n[n++] = len;
            }
            s += len + (s[len] == ' ');
        }
        bool is_last = *s == 0;
        s += !is_last;
        points_command(p, &x, who, is_last);
    }
}

/* ---- the end ---- */

static uint64_t points_digest_of(const struct meta *m, struct ino dir, uint64_t seed)
{
    uint8_t buf[8192], value[64];
    uint64_t sum = 0;
    struct fsop q = {.kind = FSOP_READDIR, .flags = FSOP_F_ABSENT, .ino = dir};
    struct fsop_reply rep, x;
    meta_query(m, &q, buf, sizeof buf, &rep);
    struct rbuf r = rbuf_make(rep.data, rep.data_len);
    struct fsop_dirent d;
    while (!rep.err && rbuf_left(&r) && fsop_dirent_get(&r, &d) == 0) {
        const struct fsattr *a = &d.attr;
        bool is_dir = (a->mode & FSOP_S_IFMT) == FSOP_S_IFDIR;
        uint64_t f[] = {a->mode,
                        a->uid,
                        a->gid,
                        is_dir ? 0 : a->size,
                        is_dir ? 0 : a->nlink,
                        a->atime_ns < 1000 ? (uint64_t)a->atime_ns : 0,
                        a->mtime_ns < 1000 ? (uint64_t)a->mtime_ns : 0};
        uint64_t h = base_hash(d.name, d.name_len, base_hash(f, sizeof f, seed));
        struct fsop g = {.kind = FSOP_GETXATTR, .ino = a->ino, .name = "user.x", .name_len = 6};
        meta_query(m, &g, value, sizeof value, &x);
        sum += h + (x.err ? 0 : base_hash(x.data, x.data_len, h));
        if (is_dir)
            sum += points_digest_of(m, a->ino, h);
    }
    return sum;
}

static void points_judge(struct points *p)
{
    struct lab_run *r = p->run;
    if (!lab_run_go(r, 0))
        points_fail(p, "the run did not end");
    p->res->digest = points_digest_of(lab_check_state(r->check), INO_ROOT, 1);
    p->res->events = sim_events(r->sim);
    for (unsigned v = 0; v < LAB_VERDICTS; v++) {
        const struct lab_finding *f = lab_check_finding(r->check, (enum lab_verdict)v);
        if (f->failures)
            points_fail(p, "%s: at %lld us: %s", lab_check_name((enum lab_verdict)v),
                        (long long)(f->at_ns / 1000), f->what);
    }
}

static void points_scenario(struct lab_scenario *s)
{
    lab_scenario_default(s);
    s->duration_ns = 3600 * 1000 * POINTS_MS;
    s->bound_ns = 30000 * POINTS_MS;
    s->workers = 1;
    s->clients = 2;
    s->store_files = s->store_dirs = 0;
    s->check_interval_ns = 400 * POINTS_MS;
    s->lease_ns = 300 * POINTS_MS;
    s->session_ns = 8000 * POINTS_MS;
    s->sim.net.user_timeout_ns = 600 * POINTS_MS;
    s->segment_bytes = 128 * 1024;
    s->capacity_bytes = 1 << 20;
    s->load.threads = 1;
    s->load.think_ns = 200 * POINTS_MS;
    s->load.deadline_ns = 20000 * POINTS_MS;
    memset(s->load.weights, 0, sizeof s->load.weights);
}

void lab_points_run(struct mem *m, uint32_t op, uint64_t seed, enum lab_points_mode mode,
                    uint32_t at, uint32_t at2, struct lab_points_result *ret_r)
{
    struct points *p = mem_zalloc(m, sizeof *p);
    struct lab_scenario *s = mem_zalloc(m, sizeof *s);
    ASSERT(p && s);
    memset(ret_r, 0, sizeof *ret_r);
    ret_r->ok = true;
    points_scenario(s);
    p->res = ret_r;
    p->mode = mode;
    p->at = at;
    p->at2 = at2;
    p->run = lab_run_open(m, s, seed, NULL, NULL);
    p->master = lab_run_node(p->run, "m1");
    lab_check_on_writer(p->run->check, points_is_writer, p);
    sim_trace_hook(p->run->sim, points_event, p);
    points_pass(p, 100 * POINTS_MS);
    points_script(p, points_ops[op].script);
    points_pass(p, points_ops[op].tail_ms ? points_ops[op].tail_ms * POINTS_MS : POINTS_TAIL_NS);
    p->counting = false;
    if (p->die_ns || p->is_dead_now) /* it dies, or is dead, at the very end */
        points_pass(p, 1000 * POINTS_MS);
    ret_r->points = p->recovers ? p->n2 : p->n;
    for (uint32_t i = 0; i < 2; i++)
        if (p->file[i] && ret_r->ok) {
            int err = ret_r->err;
            points_io(p, i, false);
            ret_r->err = err;
        }
    while (p->asking && ret_r->ok)
        points_step(p);
    p->run->s.duration_ns = sim_now_ns(p->run->sim);
    points_judge(p);
    lab_run_close(p->run);
}
