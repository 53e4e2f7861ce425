/* tests/zk/zk_random.c - programs that nobody thought of: see zs_random in tests/zk/zk_suite.h.
 *
 * Two sessions, one of them with credentials, do one call after the other on a few paths; one of
 * them ends now and then, and another one takes its place.  After each step both sync, so what
 * watches have said belongs to it. */
#include <stdlib.h>
#include "core/fmt.h"
#include "core/prng.h"
#include "tests/zk/zk_suite.h"

enum { STEPS_MAX = 4096, EYES = 8 };

struct eye {
    struct zk_watch w;
    char path[32], name[16];
    struct program *g;
    uint32_t who;
};

struct program {
    struct zs *t;
    struct prng p;
    FILE *out;
    uint32_t step, made; /* made: sessions */
    struct zs_session *s[2];
    char name[2][8]; /* "a3": the third one in the first one's place */
    int64_t id[2];
    struct eye eye[2][EYES];
    char seen[2][1024]; /* by watches, in this step */
    int64_t zxid[STEPS_MAX];
};

static void eye_fired(struct zk_watch *w, enum zk_event event)
{
    struct eye *e = container_of(w, struct eye, w);
    char *seen = e->g->seen[e->who];
    size_t at = strlen(seen);
    fmt_into(seen + at, sizeof e->g->seen[0] - at, " %s%s:%s", e->name, e->path,
             zk_proto_event_name(event));
}

static void person_begin(struct program *g, uint32_t who)
{
    const struct zs_how how = {.password = who ? "b:secret" : NULL};
    struct zs *t = g->t;
    struct zs_session *s = zs_open(t, &how);
    g->s[who] = s;
    g->id[who] = zs_id(s);
    fmt_into(g->name[who], sizeof g->name[who], "%c%u", (char)('a' + (char)who), g->made++);
}

static void person_end(struct program *g, uint32_t who)
{
    zs_close(g->s[who], true);
    memset(g->s[who], 0, sizeof *g->s[who]);
    memset(g->eye[who], 0, sizeof g->eye[who]);
}

/* a change by its step; those of sessions and of the case's beginning have none */
static const char *when(struct program *g, int64_t zxid)
{
    static char text[8][16];
    static uint32_t at;
    char *to = text[at++ % 8];
    for (uint32_t i = 0; i <= g->step; i++)
        if (zxid && g->zxid[i] == zxid) {
            fmt_into(to, 16, "%u", i);
            return to;
        }
    return "?";
}

static void print_stat(struct program *g, const struct zk_stat *s)
{
    const char *owner = "-";
    for (uint32_t i = 0; i < 2; i++)
        if (s->owner && s->owner == g->id[i])
            owner = g->name[i];
    if (s->owner && *owner == '-')
        owner = "gone";
    fprintf(g->out, " {c%s m%s p%s v%d cv%d av%d %s %d bytes %d children%s}", when(g, s->czxid),
            when(g, s->mzxid), when(g, s->pzxid), (int)s->version, (int)s->cversion,
            (int)s->aversion, owner, (int)s->data_len, (int)s->children,
            s->mtime_ms < s->ctime_ms ? ", changed before it was made" : "");
}

static void draw_path(struct program *g, char to[32])
{
    static const char *const names[] = {"a", "b"};
    static const uint32_t depths[] = {1, 1, 1, 2, 2, 3};
    size_t at = 0;
    for (uint32_t n = depths[prng_below(&g->p, ARRAY_LEN(depths))]; n; n--)
        at += fmt_into(to + at, 32 - at, "/%s", names[prng_below(&g->p, ARRAY_LEN(names))]);
}

static struct zk_list draw_acl(struct program *g)
{
    int32_t perms = (int32_t)(1 + prng_below(&g->p, 31));
    switch (prng_below(&g->p, 12)) {
    case 0:
        return zs_acl(perms | ZK_PERM_READ, "world", "anyone", 0);
    case 1:
        return zs_acl(ZK_PERM_ALL, "auth", "", 0);
    case 2:
        return zs_acl(ZK_PERM_ALL, "auth", "", perms, "world", "anyone", 0);
    case 3:
        return zs_acl(perms, "nothing", "x", 0);
    default:
        return zk_proto_acl_open;
    }
}

static void draw_multi(struct program *g, struct zk_multi *o, char path[32], char data[8])
{
    static const int32_t ops[] = {ZK_OP_CREATE, ZK_OP_CREATE, ZK_OP_DELETE, ZK_OP_SET_DATA,
                                  ZK_OP_CHECK};
    draw_path(g, path);
    *o = (struct zk_multi){.what = ops[prng_below(&g->p, ARRAY_LEN(ops))], .path = path};
    o->data = data;
    o->data_len = (uint32_t)fmt_into(data, 8, "%u", g->step);
    o->version = prng_below(&g->p, 5) ? -1 : (int32_t)prng_below(&g->p, 3);
    o->flags = prng_below(&g->p, 3) ? 0 : (int32_t)prng_below(&g->p, 4);
}

static void print_answer(struct program *g, const struct zk_call *c, const struct zs_answer *a)
{
    bool has_stat = c->what != ZK_OP_DELETE && c->what != ZK_OP_MULTI && c->what != ZK_OP_CREATE;
    fprintf(g->out, " -> %s", a->is_answered ? zk_proto_err_name(a->err) : err_name((int)a->ret));
    for (uint32_t i = 0; i < a->n_ops; i++)
        fprintf(g->out, " %s%s", zk_proto_err_name(a->of[i].err), a->of[i].path);
    if (a->err || !a->is_answered)
        return;
    if (c->what == ZK_OP_CREATE || c->what == ZK_OP_CREATE2)
        fprintf(g->out, " %s", a->path);
    if (c->what == ZK_OP_GET_DATA)
        fprintf(g->out, " %s", a->has_data ? a->data : "null");
    if (a->n_names)
        fprintf(g->out, " [%s]", a->names);
    if (has_stat)
        print_stat(g, &a->stat);
}

static void draw_call(struct program *g, uint32_t who, struct zk_call *c, char path[32],
                      char data[8])
{
    static const int32_t whats[] = {
        ZK_OP_CREATE2,  ZK_OP_CREATE2, ZK_OP_CREATE2,       ZK_OP_CREATE,  ZK_OP_DELETE,
        ZK_OP_SET_DATA, ZK_OP_EXISTS,  ZK_OP_GET_DATA,      ZK_OP_GET_ACL, ZK_OP_SET_ACL,
        ZK_OP_MULTI,    ZK_OP_MULTI,   ZK_OP_GET_CHILDREN2, ZK_OP_EXISTS};
    draw_path(g, path);
    *c = (struct zk_call){.what = whats[prng_below(&g->p, ARRAY_LEN(whats))], .path = path};
    c->version = prng_below(&g->p, 4) ? -1 : (int32_t)prng_below(&g->p, 3);
    c->acl = prng_below(&g->p, 4) ? zk_proto_acl_open : draw_acl(g);
    if (prng_below(&g->p, 8)) {
        c->data = data;
        c->data_len = (uint32_t)fmt_into(data, 8, "%u", g->step);
    }
    if (c->what == ZK_OP_CREATE || c->what == ZK_OP_CREATE2)
        c->flags = prng_below(&g->p, 2) ? 0 : (int32_t)prng_below(&g->p, 4);
    bool can_watch =
        c->what == ZK_OP_EXISTS || c->what == ZK_OP_GET_DATA || c->what == ZK_OP_GET_CHILDREN2;
    struct eye *e = &g->eye[who][prng_below(&g->p, EYES)];
    if (!can_watch || e->w.state != ZK_WATCH_IDLE || !prng_below(&g->p, 3))
        return;
    *e = (struct eye){.w.fired = eye_fired, .g = g, .who = who};
    fmt_into(e->path, sizeof e->path, "%s", path);
    fmt_into(e->name, sizeof e->name, "%s", zk_proto_op_name(c->what));
    c->path = e->path;
    c->watch = &e->w;
}

static int seen_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* what a session's end did to several nodes was done in any order */
static void sort_seen(char *seen)
{
    char copy[1024], *word[64];
    uint32_t n = 0;
    size_t at = 0;
    memcpy(copy, seen, sizeof copy);
    for (char *p = strtok(copy, " "); p && n < ARRAY_LEN(word); p = strtok(NULL, " "))
        word[n++] = p;
    qsort(word, n, sizeof *word, seen_compare);
    for (uint32_t i = 0; i < n; i++)
        at += fmt_into(seen + at, sizeof copy - at, " %s", word[i]);
}

static void step(struct program *g)
{
    uint32_t who = (uint32_t)prng_below(&g->p, 2);
    char path[32], data[8], paths[4][32], datas[4][8];
    struct zk_multi ops[4];
    struct zk_call c;
    bool ends = false;
    g->seen[0][0] = g->seen[1][0] = 0;
    fprintf(g->out, "%u %s ", g->step, g->name[who]);
    if (!prng_below(&g->p, 40)) {
        ends = true;
        person_end(g, who);
        person_begin(g, who);
        fprintf(g->out, "ends, and %s comes", g->name[who]);
    } else {
        draw_call(g, who, &c, path, data);
        fprintf(g->out, "%s %s", zk_proto_op_name(c.what), c.what == ZK_OP_MULTI ? "" : c.path);
        if (c.what == ZK_OP_MULTI) {
            c.path = NULL;
            c.ops = ops;
            c.n_ops = 1 + (uint32_t)prng_below(&g->p, prng_below(&g->p, 2) ? 2 : 4);
            for (uint32_t i = 0; i < c.n_ops; i++) {
                draw_multi(g, &ops[i], paths[i], datas[i]);
                fprintf(g->out, "(%s %s v%d f%d)", zk_proto_op_name(ops[i].what), ops[i].path,
                        (int)ops[i].version, (int)ops[i].flags);
            }
        } else {
            fprintf(g->out, " v%d f%d acl of %u%s", (int)c.version, (int)c.flags, c.acl.n,
                    c.watch ? " watch" : "");
        }
        const struct zs_answer *a = zs_do(g->s[who], &c);
        g->zxid[g->step] = a->is_answered && !a->err ? a->zxid : 0;
        bool reads = c.what == ZK_OP_EXISTS || c.what == ZK_OP_GET_DATA ||
                     c.what == ZK_OP_GET_CHILDREN2 || c.what == ZK_OP_GET_ACL;
        if (reads)
            g->zxid[g->step] = 0;
        print_answer(g, &c, a);
    }
    for (uint32_t i = 0; i < 2; i++)
        zs_sync(g->s[i]);
    for (uint32_t i = 0; i < 2; i++)
        if (g->seen[i][0]) {
            if (ends)
                sort_seen(g->seen[i]);
            fprintf(g->out, "; %s hears of%s", g->name[i], g->seen[i]);
        }
    fputc('\n', g->out);
}

void zs_random(struct zs *t, struct zs_world *w, uint64_t seed, uint32_t steps, FILE *out)
{
    static struct program g;
    zs_begin_case(t, w, "random");
    memset(&g, 0, sizeof g);
    g.t = t;
    g.out = out;
    prng_seed(&g.p, seed, "zs_random", 0);
    for (uint32_t i = 0; i < 2; i++)
        person_begin(&g, i);
    fprintf(out, "program %llu\n", (unsigned long long)seed);
    for (g.step = 0; g.step < steps && g.step < STEPS_MAX; g.step++)
        step(&g);
    for (uint32_t i = 0; i < 2; i++)
        person_end(&g, i);
    zs_end_case(t);
}
