/* tests/unit/test_client.c - sessions, metadata requests, caches, paths. */
#include "cluster/client_impl.h"
#include "core/fmt.h"
#include "test_client_fake.h"

static void test_client_caches_within_its_lease(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 1, NULL), 0);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 1, "f"), 0);
    struct client_req r = {0};
    CU_ASSERT_EQUAL(fake_req(k, &r, FSOP_LOOKUP, 1, "f"), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_LOOKUP], 1);
    CU_ASSERT_EQUAL(r.reply.attr.ino.v, 2);
    CU_ASSERT(r.reply.lease_ns > 0 && r.reply.lease_ns <= k->lease_ns);
    /* absence is cached too */
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 1, "no"), E_NOENT);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 1, "no"), E_NOENT);
    CU_ASSERT_EQUAL(k->kinds[FSOP_LOOKUP], 2);
    /* without the master: until the lease is over, not longer */
    sim_net_partition(k->cn, k->mn[0], false);
    sim_net_partition(k->cn, k->mn[1], false);
    struct client_req q = {.deadline_ns = env_now_ns(k->e) + SEC};
    CU_ASSERT_EQUAL(fake_req(k, &q, FSOP_LOOKUP, 1, "f"), 0);
    fake_run(k, (int64_t)k->lease_ns);
    q = (struct client_req){.deadline_ns = env_now_ns(k->e) + SEC};
    int64_t before = sim_now_ns(k->sim);
    CU_ASSERT_EQUAL(fake_req(k, &q, FSOP_LOOKUP, 1, "f"), E_TIMEOUT);
    CU_ASSERT(sim_now_ns(k->sim) - before < SEC + 100 * MS);
    sim_net_heal_all(k->sim);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 1, "f"), 0);
    fake_close(k);
}

static void test_client_lookup_asks_for_permission(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    fake_find(k, INO_ROOT)->attr.mode = FSOP_S_IFDIR | 0700;
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 1, NULL), 0);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 1, "f"), 0);
    struct client_req r = {0};
    r.fsop.uid = 1000;
    k->answer_err[FSOP_LOOKUP] = E_ACCES;
    CU_ASSERT_EQUAL(fake_req(k, &r, FSOP_LOOKUP, 1, "f"), E_ACCES);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 1, "f"), 0); /* root: from cache */
    fake_close(k);
}

static void test_client_repeats_with_the_same_number(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    k->lose = 3;
    CU_ASSERT_EQUAL(fake_do(k, FSOP_MKDIR, 1, "x"), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_MKDIR], 4);
    CU_ASSERT_EQUAL(k->n_seqs, 1);
    CU_ASSERT_EQUAL(k->duplicates, 3);
    struct client_stats st;
    client_stats(k->c, &st);
    CU_ASSERT_EQUAL(st.retries, 3);
    fake_close(k);
}

static void test_client_waits_for_busy_ones(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    k->answer_err[FSOP_MKDIR] = E_CONFLICT;
    struct client_req r = {.deadline_ns = env_now_ns(k->e) + 2 * SEC};
    r.fsop.kind = FSOP_MKDIR;
    r.fsop.ino = INO_ROOT;
    r.fsop.name = "x";
    r.fsop.name_len = 1;
    client_fs(k->c, &r);
    r.op.done = fake_nothing;
    fake_run(k, 500 * MS);
    CU_ASSERT(k->kinds[FSOP_MKDIR] > 2);
    k->answer_err[FSOP_MKDIR] = 0;
    CU_ASSERT_EQUAL(sim_run_op(k->sim, &r.op, 5 * SEC), 0);
    k->answer_err[FSOP_RMDIR] = E_AGAIN;
    r = (struct client_req){.deadline_ns = env_now_ns(k->e) + SEC};
    CU_ASSERT_EQUAL(fake_req(k, &r, FSOP_RMDIR, 1, "x"), E_TIMEOUT);
    fake_close(k);
}

static void test_client_finds_the_leader(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 1, NULL), 0);
    k->m[0].leads = false;
    k->m[1].leads = true;
    k->epoch = 2;
    CU_ASSERT_EQUAL(fake_do(k, FSOP_MKDIR, 1, "a"), 0);
    sim_node_crash(k->mn[1]);
    k->m[0].leads = true;
    CU_ASSERT_EQUAL(fake_do(k, FSOP_MKDIR, 1, "b"), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_SESSION_OPEN], 1); /* the session outlived both */
    fake_close(k);
}

/* Leadership goes to and fro, several times a second: each time it is found at once.  Rounds of
 * asking are over when somebody leads, and so are their pauses. */
static void test_client_follows_one_hand_over_after_the_other(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    int64_t longest_ns = 0;
    CU_ASSERT_EQUAL(fake_do(k, FSOP_MKDIR, 1, "a"), 0);
    for (int i = 0; i < 20; i++) {
        fake_run(k, 150 * MS);
        k->m[i % 2].leads = false;
        k->m[1 - i % 2].leads = true;
        k->epoch++;
        int64_t from_ns = sim_now_ns(k->sim);
        CU_ASSERT_EQUAL(fake_do(k, FSOP_MKDIR, 1, "b"), 0);
        int64_t ns = sim_now_ns(k->sim) - from_ns;
        longest_ns = ns > longest_ns ? ns : longest_ns;
    }
    CU_ASSERT(longest_ns < 20 * MS);
    fake_close(k);
}

static void test_client_surfaces_an_expired_session(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 1, NULL), 0);
    k->expire = true;
    CU_ASSERT_EQUAL(fake_do(k, FSOP_MKDIR, 1, "a"), E_SESSION_EXPIRED);
    CU_ASSERT_EQUAL(k->n_seqs, 0);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_MKDIR, 1, "a"), 0); /* a later one: a new session */
    CU_ASSERT_EQUAL(k->kinds[FSOP_SESSION_OPEN], 2);
    k->expire = true; /* queries are simply asked again */
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 4, NULL), 0);
    /* a beat finds it out; the master was silent for the request in flight */
    k->silent = true;
    struct client_req r = {0};
    r.op.done = fake_nothing;
    r.fsop.kind = FSOP_MKDIR;
    r.fsop.ino = INO_ROOT;
    r.fsop.name = "q";
    r.fsop.name_len = 1;
    client_fs(k->c, &r);
    fake_run(k, 100 * MS);
    k->silent = false;
    k->expire = true;
    CU_ASSERT_EQUAL(sim_run_op(k->sim, &r.op, 9 * SEC), E_SESSION_EXPIRED);
    fake_close(k);
}

/* --- invalidations --- */

struct host {
    struct client_host h;
    struct env_op *op;
    uint32_t n, all;
    uint32_t kind;
    bool hold;
};

static void host_invalidate(struct client_host *h, const struct rpc_inval *i, struct env_op *op)
{
    struct host *me = container_of(h, struct host, h);
    me->n++;
    me->kind = i->kind;
    me->all += i->kind == RPC_INVAL_DIR && i->ino.v == 0;
    me->op = op;
    if (!me->hold)
        op->done(op);
}

static void call_done(struct env_op *op)
{
    struct fake *k = container_of(container_of(op, struct rpc_call, op), struct fake, call);
    k->call_done = true;
}

static void invalidate(struct fake *k, uint32_t kind, uint64_t ino, const char *name)
{
    uint8_t b[300];
    struct wbuf w = wbuf_make(b, sizeof b);
    struct rpc_inval i = {
        .kind = kind, .ino = {ino}, .name = name, .name_len = name ? (uint32_t)strlen(name) : 0};
    rpc_format_inval_put(&w, &i);
    k->call_done = false;
    k->call.op.done = call_done;
    rpc_call(k->client_conn, RPC_INVALIDATE, w.p, (uint32_t)w.len,
             env_now_ns(sim_env(k->mn[0])) + 10 * SEC, &k->call);
}

static void test_client_acknowledges_after_its_owner(void)
{
    struct client_config cfg = fake_config();
    struct host host = {.h = {host_invalidate}, .hold = true};
    struct fake *k = fake_open(&cfg, &host.h, false);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 1, NULL), 0);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 1, "f"), 0);
    invalidate(k, RPC_INVAL_ENTRY, 1, "f");
    fake_run(k, 200 * MS);
    CU_ASSERT_EQUAL(host.n, 1);
    CU_ASSERT_EQUAL(host.kind, RPC_INVAL_ENTRY);
    CU_ASSERT_FALSE(k->call_done);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 1, "f"), 0); /* not from cache any more */
    CU_ASSERT_EQUAL(k->kinds[FSOP_LOOKUP], 2);
    host.op->done(host.op);
    fake_run(k, 100 * MS);
    CU_ASSERT_TRUE(k->call_done);
    CU_ASSERT_EQUAL(k->call.op.ret, 0);
    fake_close(k);
}

static void test_client_drops_names_of_a_directory(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 3, NULL), 0);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 3, "g"), 0);
    invalidate(k, RPC_INVAL_DIR, 3, NULL);
    fake_run(k, 100 * MS);
    CU_ASSERT_TRUE(k->call_done);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 3, NULL), 0);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 3, "g"), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_LOOKUP], 2);
    CU_ASSERT_EQUAL(k->kinds[FSOP_GETATTR], 2);
    fake_close(k);
}

static void test_client_forgets_at_a_new_epoch(void)
{
    struct client_config cfg = fake_config();
    struct host host = {.h = {host_invalidate}};
    struct fake *k = fake_open(&cfg, &host.h, false);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 1, NULL), 0);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 1, NULL), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_GETATTR], 1);
    CU_ASSERT_EQUAL(host.all, 0);
    k->epoch = 9;
    fake_run(k, 2 * SEC);
    CU_ASSERT_EQUAL(host.all, 1);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 1, NULL), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_GETATTR], 2);
    fake_close(k);
}

static void test_client_drops_what_it_changed(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 1, NULL), 0);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 1, "f"), 0);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_UNLINK, 1, "f"), 0);
    uint32_t lookups = k->kinds[FSOP_LOOKUP], getattrs = k->kinds[FSOP_GETATTR];
    fake_do(k, FSOP_LOOKUP, 1, "f");
    fake_do(k, FSOP_GETATTR, 2, NULL);
    CU_ASSERT_EQUAL(k->kinds[FSOP_LOOKUP], lookups + 1);
    CU_ASSERT_EQUAL(k->kinds[FSOP_GETATTR], getattrs); /* the lookup brought them */
    fake_close(k);
}

static void test_client_cache_is_bounded(void)
{
    struct client_config cfg = fake_config();
    cfg.cache_entries = 5;
    struct fake *k = fake_open(&cfg, NULL, false);
    char name[8];
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "n%d", i);
        CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 1, name), E_NOENT);
        fake_check(k);
    }
    fake_close(k);
}

/* --- bounds --- */

static uint32_t many_done, many_timeouts;

static void many_ended(struct env_op *op)
{
    many_done++;
    many_timeouts += op->ret == E_TIMEOUT;
}

static void test_client_window_is_bounded(void)
{
    enum { N = 1500 };
    struct client_config cfg = fake_config();
    cfg.requests_max = 4000;
    struct fake *k = fake_open(&cfg, NULL, false);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 1, NULL), 0);
    struct client_req *r = calloc(N, sizeof *r);
    many_done = many_timeouts = 0;
    k->silent = true;
    for (int i = 0; i < N; i++) {
        r[i].fsop.kind = FSOP_MKDIR;
        r[i].fsop.ino = INO_ROOT;
        r[i].fsop.name = "x";
        r[i].fsop.name_len = 1;
        r[i].op.done = many_ended;
        client_fs(k->c, &r[i]);
    }
    fake_run(k, 500 * MS);
    CU_ASSERT_EQUAL(k->kinds[FSOP_MKDIR], LIMIT_SESSION_WINDOW);
    fake_check(k);
    fake_run(k, 4 * SEC); /* a beat goes unanswered: another connection */
    k->silent = false;
    fake_run(k, 5 * SEC);
    CU_ASSERT_EQUAL(many_done, N);
    CU_ASSERT_EQUAL(many_timeouts, 0);
    CU_ASSERT_EQUAL(k->n_seqs, N);
    CU_ASSERT(k->window_max <= LIMIT_SESSION_WINDOW);
    free(r);
    fake_close(k);
}

static void test_client_everything_ends_by_its_deadline(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    static const uint16_t kinds[] = {FSOP_MKDIR, FSOP_LOOKUP, FSOP_OPEN, FSOP_WRITE_OPEN};
    struct client_req r[ARRAY_LEN(kinds)];
    struct rpc_link_call call = {0};
    memset(r, 0, sizeof r);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 1, NULL), 0);
    for (int how = 0; how < 2; how++) {
        many_done = many_timeouts = 0;
        if (how)
            sim_net_partition(k->cn, k->mn[0], false);
        else
            k->silent = true;
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
            r[i] = (struct client_req){.deadline_ns = env_now_ns(k->e) + 2 * SEC};
            r[i].fsop.kind = kinds[i];
            r[i].fsop.ino.v = 2;
            r[i].fsop.name = "z";
            r[i].fsop.name_len = 1;
            r[i].op.done = many_ended;
            client_fs(k->c, &r[i]);
        }
        call = (struct rpc_link_call){.op.done = many_ended};
        if (how)
            client_call(k->c, RPC_STATUS, NULL, 0, env_now_ns(k->e) + 2 * SEC, &call);
        fake_run(k, 2 * SEC + 50 * MS);
        CU_ASSERT_EQUAL(many_done, ARRAY_LEN(kinds) + (how == 1));
        CU_ASSERT_EQUAL(many_done, many_timeouts);
        k->silent = false;
        sim_net_heal_all(k->sim);
        CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 3, NULL), 0);
    }
    call = (struct rpc_link_call){0};
    client_call(k->c, RPC_STATUS, NULL, 0, 0, &call);
    CU_ASSERT_EQUAL(sim_run_op(k->sim, &call.op, SEC), 0);
    k->cancels = 1; /* its master is stopped: it is asked again, of whoever leads then */
    call = (struct rpc_link_call){0};
    client_call(k->c, RPC_STATUS, NULL, 0, 0, &call);
    CU_ASSERT_EQUAL(sim_run_op(k->sim, &call.op, 5 * SEC), 0);
    CU_ASSERT_EQUAL(k->cancels, 0);
    fake_close(k);
}

static void test_client_stop_cancels(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 1, NULL), 0);
    struct client_file *f = fake_open_file(k, 2, FSOP_ACCESS_R | FSOP_ACCESS_W);
    k->silent = true;
    k->w[0].silent = k->w[1].silent = true;
    static uint8_t buf[3 * FAKE_PAGE];
    struct client_io io = {.file = f, .buf = buf, .len = sizeof buf};
    struct client_req r[3];
    memset(r, 0, sizeof r);
    many_done = 0;
    io.op.done = many_ended;
    client_read(k->c, &io);
    for (int i = 0; i < 3; i++) {
        r[i].op.done = many_ended;
        r[i].fsop.kind = i == 2 ? FSOP_OPEN : FSOP_MKDIR;
        r[i].fsop.ino.v = 2;
        r[i].fsop.mode = FSOP_ACCESS_R;
        r[i].fsop.name = "y";
        r[i].fsop.name_len = 1;
        client_fs(k->c, &r[i]);
        if (i == 0)
            fake_run(k, 10 * MS);
    }
    struct env_op stop = {0};
    client_stop(k->c, &stop);
    CU_ASSERT_EQUAL(sim_run_op(k->sim, &stop, 20 * SEC), 0);
    CU_ASSERT_EQUAL(many_done, 4);
    CU_ASSERT_EQUAL(io.op.ret, E_CANCELLED);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(r[i].op.ret, E_CANCELLED);
    sim_close(k->sim);
    mem_drop(&k->mem);
    free(k);
}

/* Two opens of one file for writing, the second of which waits for the first (or for a close). */
static void test_client_stop_cancels_who_waits_for_another(void)
{
    for (int is_closing = 0; is_closing < 2; is_closing++) {
        struct client_config cfg = fake_config();
        struct fake *k = fake_open(&cfg, NULL, false);
        struct client_req r[2];
        struct client_io io = {.op.done = many_ended};
        memset(r, 0, sizeof r);
        many_done = 0;
        CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 1, NULL), 0);
        if (is_closing)
            io.file = fake_open_file(k, 2, FSOP_ACCESS_W);
        k->answer_err[is_closing ? FSOP_WRITE_CLOSE : FSOP_WRITE_OPEN] = E_AGAIN; /* for ever */
        if (is_closing)
            client_release(k->c, &io);
        for (int i = 0; i < 2; i++) {
            r[i].op.done = many_ended;
            r[i].fsop.kind = FSOP_OPEN;
            r[i].fsop.ino.v = 2;
            r[i].fsop.mode = FSOP_ACCESS_W;
            client_fs(k->c, &r[i]);
        }
        fake_run(k, 100 * MS);
        CU_ASSERT_EQUAL(many_done, 0);
        struct env_op stop = {0};
        client_stop(k->c, &stop);
        CU_ASSERT_EQUAL(sim_run_op(k->sim, &stop, 3 * SEC), 0);
        CU_ASSERT_EQUAL(many_done, (uint32_t)(2 + is_closing));
        for (int i = 0; i < 2; i++)
            CU_ASSERT_EQUAL(r[i].op.ret, E_CANCELLED);
        sim_close(k->sim);
        mem_drop(&k->mem);
        free(k);
    }
}

/* --- paths --- */

static int64_t walk(struct fake *k, struct client_req *r, const char *path, bool follow)
{
    memset(r, 0, sizeof *r);
    r->fsop.name = path;
    r->fsop.name_len = (uint32_t)strlen(path);
    client_walk(k->c, r, follow);
    return sim_run_op(k->sim, &r->op, 20 * SEC);
}

static void test_client_walks(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    fake_add(k, 6, 1, "loop", FSOP_S_IFLNK | 0777, 4)->target = "loop";
    fake_add(k, 7, 3, "up", FSOP_S_IFLNK | 0777, 4)->target = "../f";
    fake_add(k, 8, 1, "gone", FSOP_S_IFLNK | 0777, 4)->target = "/d/nothing";
    struct client_req r;
    CU_ASSERT_EQUAL(walk(k, &r, "/", true), 0);
    CU_ASSERT_EQUAL(r.reply.attr.ino.v, 1);
    CU_ASSERT_EQUAL(walk(k, &r, "/d//./g", true), 0);
    CU_ASSERT_EQUAL(r.reply.attr.ino.v, 4);
    CU_ASSERT_EQUAL(walk(k, &r, "/l", true), 0);
    CU_ASSERT_EQUAL(r.reply.attr.ino.v, 4);
    CU_ASSERT_EQUAL(walk(k, &r, "/l", false), 0);
    CU_ASSERT_EQUAL(r.reply.attr.ino.v, 5);
    CU_ASSERT_EQUAL(walk(k, &r, "/d/../d/up", true), 0);
    CU_ASSERT_EQUAL(r.reply.attr.ino.v, 2);
    CU_ASSERT_EQUAL(walk(k, &r, "/loop", true), E_LOOP);
    CU_ASSERT_EQUAL(walk(k, &r, "/f/", true), E_NOTDIR);
    CU_ASSERT_EQUAL(walk(k, &r, "/d/", true), 0);
    CU_ASSERT_EQUAL(walk(k, &r, "f", true), E_INVAL);
    CU_ASSERT_EQUAL(walk(k, &r, "/d/new", true), E_NOENT);
    CU_ASSERT_EQUAL(r.reply.attr.ino.v, 3);
    CU_ASSERT_EQUAL(r.reply.value, 3);
    CU_ASSERT_EQUAL(walk(k, &r, "/no/new", true), E_NOENT);
    CU_ASSERT_EQUAL(r.reply.attr.ino.v, 0);
    CU_ASSERT_EQUAL(walk(k, &r, "/gone", true), E_NOENT);
    CU_ASSERT_EQUAL(r.reply.attr.ino.v, 0); /* the missing name is not the caller's */
    fake_close(k);
}

/* the path of a file that was opened without a question; NULL: the master was asked */
static const char *opened_path(struct fake *k, uint64_t ino)
{
    static char path[64];
    uint32_t before = k->kinds[FSOP_OPEN];
    struct client_file *f = fake_open_file(k, ino, FSOP_ACCESS_R);
    fmt_into(path, sizeof path, "%s", f->cf->path);
    CU_ASSERT_EQUAL(fake_release(k, f), 0);
    return k->kinds[FSOP_OPEN] == before ? path : NULL;
}

/* One open of a directory's file tells where the others lie, for as long as it lies there. */
static void test_client_opens_by_name_and_place(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    static const char *const names[] = {"h", "i", "j", "young"}, *const paths[] = {"d/h", "d/i",
                                                                                   "d/j",
                                                                                   "d/young"};
    for (uint64_t i = 0; i < 4; i++) {
        struct fake_file *f = fake_add(k, 10 + i, 3, names[i], FSOP_S_IFREG | 0644, 100);
        f->path = paths[i];
        f->attr.fp = i < 3 ? 77 : 0;
        CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 3, names[i]), 0);
    }
    CU_ASSERT_PTR_NULL(opened_path(k, 10));
    CU_ASSERT_STRING_EQUAL(opened_path(k, 11), "d/i");
    CU_ASSERT_PTR_NULL(opened_path(k, 13)); /* without a fingerprint the master compares */
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 1, "f"), 0);
    CU_ASSERT_PTR_NULL(opened_path(k, 2));
    invalidate(k, RPC_INVAL_ENTRY, 3, "j"); /* another name may be its own by now */
    fake_run(k, 100 * MS);
    CU_ASSERT_PTR_NULL(opened_path(k, 12));
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 1, "d"), 0);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 3, "i"), 0);
    CU_ASSERT_STRING_EQUAL(opened_path(k, 11), "d/i");
    invalidate(k, RPC_INVAL_ENTRY, 1, "d"); /* it was moved with all that is in it */
    fake_run(k, 100 * MS);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 3, "i"), 0);
    CU_ASSERT_PTR_NULL(opened_path(k, 11));
    fake_close(k);
}

/* What was unlinked is reclaimed when all have said that they do not hold it: who has said so asks
 * before it holds it, whatever it has cached. */
static void test_client_asks_before_it_opens_an_orphan(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    fake_find(k, (struct ino){2})->attr.flags |= FSATTR_ORPHAN;
    CU_ASSERT_EQUAL(fake_release(k, fake_open_file(k, 2, FSOP_ACCESS_R)), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_OPEN], 1);
    CU_ASSERT_EQUAL(fake_release(k, fake_open_file(k, 2, FSOP_ACCESS_R)), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_OPEN], 2);
    fake_close(k);
}

/* What an under-store says is no news of the master: a mount that is dead says "not connected". */
static void test_client_error_of_an_under_store(void)
{
    static const int errs[] = {E_CLOSED, E_REFUSED, E_UNAVAILABLE, E_CANCELLED};
    for (size_t i = 0; i < ARRAY_LEN(errs); i++) {
        struct client_config cfg = fake_config();
        struct fake *k = fake_open(&cfg, NULL, false);
        CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 1, NULL), 0);
        k->answer_err[FSOP_GETATTR] = errs[i];
        struct client_req r = {.fsop = {.kind = FSOP_GETATTR, .ino = {4}}};
        r.op.done = fake_nothing;
        r.op.ret = 1;
        client_fs(k->c, &r);
        bool is_lost = false;
        for (int ms = 0; ms < 500; ms++) {
            struct client_stats st;
            fake_run(k, MS);
            client_stats(k->c, &st);
            is_lost |= !st.connected;
        }
        CU_ASSERT_FALSE(is_lost);
        k->answer_err[FSOP_GETATTR] = 0;
        fake_run(k, 2 * SEC);
        CU_ASSERT_EQUAL(r.op.ret, 0);
        fake_close(k);
    }
}

/* Of a change of our own nobody tells us but its answer: until that is here the master is asked. */
static void test_client_asks_beside_its_own_changes(void)
{
    static const struct {
        uint16_t kind;
        uint64_t ino;
        const char *name;
        bool asks_file, asks_dir, asks_name; /* of inode 4, of inode 3, of "f" in the root */
    } cases[] = {
        {FSOP_SETATTR, 4, NULL, true, false, false}, {FSOP_SETATTR, 3, NULL, false, true, false},
        {FSOP_UNLINK, 1, "f", false, false, true},   {FSOP_MKDIR, 1, "f", false, false, true},
        {FSOP_MKDIR, 1, "new", false, false, false}, {FSOP_UNLINK, 1, "what", true, true, true},
        {FSOP_LOAD, 1, NULL, true, true, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client_config cfg = fake_config();
        struct fake *k = fake_open(&cfg, NULL, false);
        CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 1, NULL), 0);
        CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 3, NULL), 0);
        CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 4, NULL), 0);
        CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 1, "f"), 0);
        uint32_t attrs = k->kinds[FSOP_GETATTR], names = k->kinds[FSOP_LOOKUP];
        struct client_req own = {.deadline_ns = env_now_ns(k->e) + 2 * SEC};
        own.op.done = fake_nothing;
        own.fsop.kind = cases[i].kind;
        own.fsop.ino.v = cases[i].ino;
        own.fsop.name = cases[i].name;
        own.fsop.name_len = cases[i].name ? (uint32_t)strlen(cases[i].name) : 0;
        k->answer_err[cases[i].kind] = E_CONFLICT; /* so it stays under way */
        client_fs(k->c, &own);
        fake_run(k, 100 * MS);
        struct client_req r = {0};
        CU_ASSERT_EQUAL(fake_req(k, &r, FSOP_GETATTR, 4, NULL), 0);
        CU_ASSERT_EQUAL(k->kinds[FSOP_GETATTR], attrs + cases[i].asks_file);
        CU_ASSERT_EQUAL(r.reply.lease_ns == 0,
                        cases[i].asks_file); /* nor does the caller keep it */
        CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 3, NULL), 0);
        CU_ASSERT_EQUAL(k->kinds[FSOP_GETATTR], attrs + cases[i].asks_file + cases[i].asks_dir);
        CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 1, "f"), 0);
        CU_ASSERT_EQUAL(k->kinds[FSOP_LOOKUP], names + cases[i].asks_name);
        CU_ASSERT_EQUAL(sim_run_op(k->sim, &own.op, 5 * SEC), E_TIMEOUT);
        fake_close(k);
    }
}

/* What a standby has told is newer than what is kept, though nobody has called that back yet. */
static void test_client_drops_what_a_standby_contradicts(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct fsop op = {.kind = FSOP_GETATTR, .ino = {2}};
    struct fsop_reply rep = {.index = 9, .attr = fake_find(k, op.ino)->attr};
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 1, NULL), 0);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 1, "f"), 0);
    client_cache_aside(k->c, &op, &rep); /* the same */
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 2, NULL), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_GETATTR], 1);
    rep.attr.mode = FSOP_S_IFREG | 0600;
    client_cache_aside(k->c, &op, &rep);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 2, NULL), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_GETATTR], 2);
    op = (struct fsop){.kind = FSOP_LOOKUP, .ino = INO_ROOT, .name = "f", .name_len = 1};
    rep = (struct fsop_reply){.index = 10, .err = E_NOENT};
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 1, NULL), 0);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 1, "f"), 0);
    uint32_t asked = k->kinds[FSOP_LOOKUP];
    client_cache_aside(k->c, &op, &rep);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 1, "f"), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_LOOKUP], asked + 1);
    fake_close(k);
}

/* A change of our own is made, and waits for others; what tells of it first may not be kept. */
static void test_client_shows_nothing_older_than_it_was_told(void)
{
    struct client_config cfg = fake_config();
    struct fake *k = fake_open(&cfg, NULL, false);
    struct client_req r = {0};
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 1, "f"), 0);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 2, NULL), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_GETATTR], 0);
    fake_find(k, (struct ino){2})->attr.size = 5;
    fake_find(k, (struct ino){2})->attr.flags |= FSATTR_LIVE; /* no lease for that */
    CU_ASSERT_EQUAL(fake_req(k, &r, FSOP_OPEN, 2, NULL), 0);
    CU_ASSERT_EQUAL(r.reply.attr.size, 5);
    CU_ASSERT_EQUAL(fake_release(k, r.file), 0);
    r = (struct client_req){0};
    CU_ASSERT_EQUAL(fake_req(k, &r, FSOP_GETATTR, 2, NULL), 0);
    CU_ASSERT_EQUAL(r.reply.attr.size, 5);
    /* an answer that says no more than yes has attributes, too */
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 4, NULL), 0);
    fake_find(k, (struct ino){4})->attr.mode = FSOP_S_IFREG | 0600;
    r = (struct client_req){.fsop.uid = 7, .fsop.mode = FSOP_ACCESS_W};
    CU_ASSERT_EQUAL(fake_req(k, &r, FSOP_ACCESS, 4, NULL), 0);
    r = (struct client_req){0};
    CU_ASSERT_EQUAL(fake_req(k, &r, FSOP_GETATTR, 4, NULL), 0);
    CU_ASSERT_EQUAL(r.reply.attr.mode & 07777, 0600);
    /* and it may say that the inode is gone */
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 4, NULL), 0);
    k->answer_err[FSOP_ACCESS] = E_STALE;
    r = (struct client_req){.fsop.uid = 7, .fsop.mode = FSOP_ACCESS_W};
    CU_ASSERT_EQUAL(fake_req(k, &r, FSOP_ACCESS, 4, NULL), E_STALE);
    k->answer_err[FSOP_ACCESS] = 0;
    uint32_t asked = k->kinds[FSOP_GETATTR];
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 4, NULL), 0);
    CU_ASSERT_EQUAL(k->kinds[FSOP_GETATTR], asked + 1);
    /* nor a name, of which another user asks the master, as the directory is not his */
    fake_find(k, INO_ROOT)->attr.mode = FSOP_S_IFDIR | 0700;
    CU_ASSERT_EQUAL(fake_do(k, FSOP_GETATTR, 1, NULL), 0);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 1, "d"), 0);
    k->answer_lease_ns = 0;
    fake_find(k, (struct ino){3})->parent.v = 9;
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 1, "d"), 0); /* nothing told of it */
    r = (struct client_req){.fsop.uid = 7};
    CU_ASSERT_EQUAL(fake_req(k, &r, FSOP_LOOKUP, 1, "d"), E_NOENT);
    CU_ASSERT_EQUAL(fake_do(k, FSOP_LOOKUP, 1, "d"), E_NOENT);
    fake_close(k);
}

UNIT_MAIN(
    "client", UNIT(test_client_caches_within_its_lease),
    UNIT(test_client_lookup_asks_for_permission), UNIT(test_client_repeats_with_the_same_number),
    UNIT(test_client_waits_for_busy_ones), UNIT(test_client_finds_the_leader),
    UNIT(test_client_follows_one_hand_over_after_the_other),
    UNIT(test_client_surfaces_an_expired_session), UNIT(test_client_acknowledges_after_its_owner),
    UNIT(test_client_drops_names_of_a_directory), UNIT(test_client_forgets_at_a_new_epoch),
    UNIT(test_client_drops_what_it_changed), UNIT(test_client_shows_nothing_older_than_it_was_told),
    UNIT(test_client_drops_what_a_standby_contradicts),
    UNIT(test_client_asks_beside_its_own_changes), UNIT(test_client_cache_is_bounded),
    UNIT(test_client_window_is_bounded), UNIT(test_client_everything_ends_by_its_deadline),
    UNIT(test_client_stop_cancels), UNIT(test_client_stop_cancels_who_waits_for_another),
    UNIT(test_client_walks), UNIT(test_client_opens_by_name_and_place),
    UNIT(test_client_asks_before_it_opens_an_orphan), UNIT(test_client_error_of_an_under_store))
