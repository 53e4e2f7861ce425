/* tests/unit/test_sim_shared.c - a shared directory in the simulator: as it should be, and with
 * each weakness: which happens when it is on, and never when it is off. */
#include "tests/unit/test_sim_shared.h"

/* ---- as it should be ---- */

/* what one client did, every other sees at once, however it looks */
static void test_shared_is_one(void)
{
    static const char *const names[] = {"log/1", "log/2", "fence"};
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sim_shared_config cfg = sim_shared_quiet();
        struct shared x;
        int is[3][8] = {{0}}, pages[3] = {-1, -1, -1}; /* -1: there is none */
        uint8_t v = 1;
        shared_open(&x, seed, &cfg);
        for (int round = 0; round < 300; round++) {
            int i = (int)sim_random(x.s, NODES), k = (int)sim_random(x.s, 3);
            unsigned flags = sim_random(x.s, 2) ? PLAIN : DIRECT;
            uint32_t page = (uint32_t)sim_random(x.s, 8);
            struct env_file *f = NULL;
            char list[64];
            unsigned create = sim_random(x.s, 4) == 0 ? ENV_O_CREATE | ENV_O_EXCL : 0;
            int64_t size = DO(&x, env_open(x.e[i], names[k], flags | create, &f, op));
            CU_ASSERT_EQUAL(size, create && pages[k] >= 0 ? E_EXIST
                                  : create                ? 0
                                  : pages[k] < 0          ? E_NOENT
                                                          : (int64_t)pages[k] * PAGE);
            if (size < 0)
                continue;
            pages[k] = pages[k] < 0 ? 0 : pages[k];
            if (sim_random(x.s, 2)) {
                CU_ASSERT_EQUAL(put(&x, f, page, v), PAGE);
                is[k][page] = v++;
                pages[k] = (int)page >= pages[k] ? (int)page + 1 : pages[k];
            } else {
                CU_ASSERT_EQUAL(get(&x, f, page), (int)page < pages[k] ? is[k][page] : -2);
            }
            CU_ASSERT_EQUAL(DO(&x, env_close(f, op)), 0);
            if (sim_random(x.s, 10) == 0) {
                CU_ASSERT_EQUAL(DO(&x, env_unlink(x.e[i], names[k], op)), 0);
                memset(is[k], 0, sizeof is[k]);
                pages[k] = -1;
            }
            int64_t n = DO(&x, env_list(x.e[(i + 1) % NODES], "log", "", list, 64, op));
            CU_ASSERT_EQUAL(n, 2 * (pages[0] >= 0) + 2 * (pages[1] >= 0));
        }
        CU_ASSERT(no_weakness(&x));
        shared_close(&x);
    }
}

/* every call answers as on a disk of one's own */
static void test_shared_calls(void)
{
    static uint8_t some[100];
    struct sim_shared_config cfg = sim_shared_quiet();
    struct shared x;
    struct env_file *f;
    shared_open(&x, 1, &cfg);
    CU_ASSERT_EQUAL(DO(&x, env_open(x.e[0], "../x", PLAIN, &f, op)), E_INVAL);
    CU_ASSERT_EQUAL(DO(&x, env_unlink(x.e[0], "x", op)), E_NOENT);
    CU_ASSERT_EQUAL(DO(&x, env_rename(x.e[0], "x", "y", op)), E_NOENT);
    f = file_of(&x, 0, "d/x", DIRECT | ENV_O_CREATE);
    CU_ASSERT_EQUAL(DO(&x, env_write(f, some, 100, 0, op)), E_INVAL); /* not aligned */
    CU_ASSERT_EQUAL(put(&x, f, 2, 7), PAGE);
    CU_ASSERT_EQUAL(DO(&x, env_punch(f, 2 * PAGE, PAGE, op)), 0);
    CU_ASSERT_EQUAL(get(&x, f, 2), 0);
    CU_ASSERT_EQUAL(DO(&x, env_resize(f, PAGE, op)), 0);
    CU_ASSERT_EQUAL(DO(&x, env_rename(x.e[1], "d/x", "d/y", op)), 0);
    CU_ASSERT_EQUAL(DO(&x, env_open(x.e[2], "d/x", PLAIN, &f, op)), E_NOENT);
    struct env_file *g = file_of(&x, 2, "d/y", ENV_O_READ);
    CU_ASSERT_EQUAL(get(&x, g, 0), 0);
    CU_ASSERT_EQUAL(DO(&x, env_write(g, some, 100, 0, op)), E_BADF);
    CU_ASSERT_EQUAL(DO(&x, env_unlink(x.e[0], "d/y", op)), 0);
    CU_ASSERT_EQUAL(get(&x, g, 0), 0); /* it is open */
    CU_ASSERT_EQUAL(DO(&x, env_close(g, op)), 0);
    CU_ASSERT_STRING_EQUAL(env_disk(x.e[0], ""), "nfs");
    shared_close(&x);
}

/* clock, timers and posts are the node's, and its own disk is another one */
static void test_shared_beside_its_files(void)
{
    struct sim_shared_config cfg = sim_shared_quiet();
    struct shared x;
    struct env_file *f;
    shared_open(&x, 1, &cfg);
    struct env *own = sim_env(x.n[0]);
    struct env_op op = {.ret = 5};
    CU_ASSERT_EQUAL(env_now_ns(x.e[0]), env_now_ns(own));
    CU_ASSERT_EQUAL(env_wall_ns(x.e[0]), env_wall_ns(own));
    env_post(x.e[0], &op);
    CU_ASSERT_EQUAL(sim_run_op(x.s, &op, sec), 5);
    struct env_timer t = {.op = {0}};
    env_timer_set(x.e[0], &t, env_now_ns(own) + ms);
    CU_ASSERT(env_timer_is_set(&t));
    CU_ASSERT_EQUAL(sim_run_op(x.s, &t.op, sec), 0);
    file_of(&x, 0, "mine", PLAIN | ENV_O_CREATE);
    CU_ASSERT_EQUAL(DO(&x, env_open(own, "mine", PLAIN, &f, op)), E_NOENT);
    shared_close(&x);
}

/* what was synced is there whoever dies; what was not is lost by a server only that loses it */
static void test_shared_durable(void)
{
    for (int loses = 0; loses < 2; loses++) {
        unsigned lost = 0;
        for (uint64_t seed = 0; seed < 40; seed++) {
            struct sim_shared_config cfg = sim_shared_quiet();
            cfg.loses_unsynced = loses;
            struct shared x;
            shared_open(&x, seed, &cfg);
            struct env_file *f = file_of(&x, 0, "f", DIRECT | ENV_O_CREATE);
            struct env_file *d = file_of(&x, 0, "d", DIRECT | ENV_O_CREATE | ENV_O_DSYNC);
            CU_ASSERT_EQUAL(put(&x, f, 0, 1), PAGE);
            CU_ASSERT_EQUAL(sync_of(&x, f), 0);
            CU_ASSERT_EQUAL(sync_of(&x, d), 0);
            CU_ASSERT_EQUAL(put(&x, d, 0, 2), PAGE);
            CU_ASSERT_EQUAL(put(&x, f, 1, 3), PAGE);
            dies(&x, 0, seed & 1);
            sim_shared_down(x.fs);
            shared_for(&x, sec);
            sim_shared_up(x.fs);
            CU_ASSERT_EQUAL(there(&x, "f", 0), 1);
            CU_ASSERT_EQUAL(there(&x, "d", 0), 2);
            struct env_file *g = file_of(&x, 1, "f", DIRECT);
            CU_ASSERT_EQUAL(get(&x, g, 0), 1);
            lost += get(&x, g, 1) != 3;
            CU_ASSERT(no_weakness(&x));
            shared_close(&x);
        }
        CU_ASSERT_EQUAL(lost > 0, loses);
    }
}

struct late {
    struct env_op op;
    bool done;
};

static void late_done(struct env_op *op)
{
    container_of(op, struct late, op)->done = true;
}

/* a process that stands still does not keep its call from taking effect, and hears of it later */
static void test_shared_pause(void)
{
    static _Alignas(PAGE) uint8_t b[PAGE];
    struct sim_shared_config cfg = sim_shared_quiet();
    struct shared x;
    struct late w = {.op.done = late_done};
    shared_open(&x, 1, &cfg);
    struct env_file *f = file_of(&x, 0, "f", DIRECT | ENV_O_CREATE);
    memset(b, 9, PAGE);
    env_write(f, b, PAGE, 0, &w.op);
    sim_node_pause(x.n[0]);
    shared_for(&x, sec);
    CU_ASSERT(!w.done);
    CU_ASSERT_EQUAL(there(&x, "f", 0), 9);
    sim_node_resume(x.n[0]);
    shared_for(&x, sec);
    CU_ASSERT(w.done && w.op.ret == PAGE);
    shared_close(&x);
}

/* while a client does not reach the server its calls hang, and others go on */
static void test_shared_partition(void)
{
    static _Alignas(PAGE) uint8_t b[PAGE];
    for (int one_way = 0; one_way < 3; one_way++) {
        struct sim_shared_config cfg = sim_shared_quiet();
        struct shared x;
        struct late w = {.op.done = late_done};
        shared_open(&x, 1, &cfg);
        struct sim_node *nfs = sim_shared_node(x.fs);
        struct env_file *f = file_of(&x, 0, "f", DIRECT | ENV_O_CREATE);
        struct env_file *g = file_of(&x, 1, "f", DIRECT);
        if (one_way == 2)
            sim_net_partition(nfs, x.n[0], true);
        else
            sim_net_partition(x.n[0], nfs, one_way);
        memset(b, 9, PAGE);
        env_write(f, b, PAGE, 0, &w.op);
        shared_for(&x, 20 * sec);
        CU_ASSERT(!w.done);
        CU_ASSERT_EQUAL(put(&x, g, 0, 4), PAGE);
        CU_ASSERT_EQUAL(sync_of(&x, g), 0);
        CU_ASSERT_EQUAL(get(&x, g, 0), 4);
        sim_net_heal(x.n[0], nfs);
        shared_for(&x, sec);
        CU_ASSERT(w.done && w.op.ret == PAGE);
        CU_ASSERT_EQUAL(get(&x, g, 0), 9); /* it had not been answered */
        shared_close(&x);
    }
}

/* ... also where only the answer does not get through */
static void test_shared_answer_is_cut_off(void)
{
    static _Alignas(PAGE) uint8_t b[PAGE];
    struct sim_shared_config cfg = sim_shared_quiet();
    struct shared x;
    struct late w = {.op.done = late_done};
    shared_open(&x, 1, &cfg);
    struct env_file *f = file_of(&x, 0, "f", DIRECT | ENV_O_CREATE);
    memset(b, 9, PAGE);
    env_write(f, b, PAGE, 0, &w.op);
    while (there(&x, "f", 0) != 9)
        CU_ASSERT_FATAL(sim_step(x.s));
    sim_net_partition(sim_shared_node(x.fs), x.n[0], true);
    shared_for(&x, 20 * sec);
    CU_ASSERT(!w.done);
    sim_net_heal_all(x.s);
    shared_for(&x, sec);
    CU_ASSERT(w.done && w.op.ret == PAGE);
    shared_close(&x);
}

/* the storage is away: calls wait for it, or fail */
static void test_shared_outage(void)
{
    struct sim_shared_config cfg = sim_shared_quiet();
    struct shared x;
    shared_open(&x, 1, &cfg);
    struct env_file *f = file_of(&x, 0, "f", DIRECT | ENV_O_CREATE);
    int64_t at_ns = sim_now_ns(x.s);
    sim_shared_outage(x.fs, 3 * sec, false);
    CU_ASSERT_EQUAL(put(&x, f, 0, 1), PAGE);
    CU_ASSERT(sim_now_ns(x.s) - at_ns >= 3 * sec && sim_now_ns(x.s) - at_ns < 4 * sec);
    sim_shared_outage(x.fs, 3 * sec, true);
    CU_ASSERT_EQUAL(put(&x, f, 0, 2), E_IO);
    CU_ASSERT_EQUAL(sync_of(&x, f), E_IO);
    CU_ASSERT_EQUAL(there(&x, "f", 0), 1);
    shared_for(&x, 3 * sec);
    CU_ASSERT_EQUAL(put(&x, f, 0, 3), PAGE);
    CU_ASSERT_EQUAL(sync_of(&x, f), 0);
    sim_shared_down(x.fs);
    struct late w = {.op.done = late_done};
    env_sync(f, &w.op);
    shared_for(&x, 60 * sec);
    CU_ASSERT(!w.done);
    sim_shared_up(x.fs);
    shared_for(&x, sec);
    CU_ASSERT(w.done && w.op.ret == 0);
    shared_close(&x);
}

/* who stands still hears of an error when it goes on, long after it */
static void test_shared_error_heard_late(void)
{
    struct sim_shared_config cfg = sim_shared_quiet();
    struct shared x;
    shared_open(&x, 1, &cfg);
    struct env_file *f = file_of(&x, 0, "f", DIRECT | ENV_O_CREATE);
    struct late w = {.op.done = late_done};
    sim_shared_outage(x.fs, sec, true);
    env_sync(f, &w.op);
    sim_node_pause(x.n[0]);
    shared_for(&x, 10 * sec);
    CU_ASSERT(!w.done && !sim_shared_has_failed(x.fs, x.n[0]));
    sim_node_resume(x.n[0]);
    shared_for(&x, sec);
    CU_ASSERT(w.done && w.op.ret == E_IO);
    CU_ASSERT(sim_shared_has_failed(x.fs, x.n[0]) && !sim_shared_has_failed(x.fs, x.n[1]));
    dies(&x, 0, false);
    CU_ASSERT(!sim_shared_has_failed(x.fs, x.n[0]));
    shared_close(&x);
}

/* nothing takes effect while the server is away, whatever was on its way to it */
static void test_shared_server_goes_under_way(void)
{
    static _Alignas(PAGE) uint8_t b[PAGE];
    for (int after = 0; after < 40; after++) {
        struct sim_shared_config cfg = sim_shared_quiet();
        struct shared x;
        struct late w = {.op.done = late_done};
        shared_open(&x, 1, &cfg);
        struct env_file *f = file_of(&x, 0, "f", DIRECT | ENV_O_CREATE);
        memset(b, 9, PAGE);
        env_write(f, b, PAGE, 0, &w.op);
        shared_for(&x, after * ms / 100);
        int before = there(&x, "f", 0);
        sim_shared_down(x.fs);
        shared_for(&x, 10 * sec);
        CU_ASSERT_EQUAL(there(&x, "f", 0), before);
        CU_ASSERT_EQUAL(w.done, before == 9);
        sim_shared_up(x.fs);
        shared_for(&x, sec);
        CU_ASSERT(w.done && w.op.ret == PAGE);
        CU_ASSERT_EQUAL(there(&x, "f", 0), 9);
        shared_close(&x);
    }
}

/* the server's disk is as any other: full, slow, failing */
static void test_shared_full_and_slow(void)
{
    struct sim_shared_config cfg = sim_shared_quiet();
    struct shared x;
    shared_open(&x, 1, &cfg);
    struct env_file *f = file_of(&x, 0, "f", DIRECT | ENV_O_CREATE);
    struct sim_disk_config disk = *sim_disk_get(sim_shared_node(x.fs));
    disk.capacity = 2 * PAGE;
    sim_disk_set(sim_shared_node(x.fs), &disk);
    CU_ASSERT_EQUAL(put(&x, f, 0, 1), PAGE);
    CU_ASSERT_EQUAL(put(&x, f, 1, 1), PAGE);
    CU_ASSERT_EQUAL(put(&x, f, 2, 1), E_NOSPC);
    CU_ASSERT_EQUAL(put(&x, f, 1, 2), PAGE);
    disk.write_eio_ppm = 1000000;
    disk.write_min_ns = disk.write_mean_ns = 2 * sec;
    sim_disk_set(sim_shared_node(x.fs), &disk);
    int64_t at_ns = sim_now_ns(x.s);
    CU_ASSERT_EQUAL(put(&x, f, 1, 2), E_IO);
    CU_ASSERT(sim_now_ns(x.s) - at_ns >= 2 * sec);
    shared_close(&x);
}

/* a call under way when its process dies was done, done in part, or not done, and then that is so
 */
static void test_shared_crash_under_way(void)
{
    static _Alignas(PAGE) uint8_t b[4 * PAGE];
    unsigned all = 0, part = 0, none = 0, renamed = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct sim_shared_config cfg = sim_shared_quiet();
        struct shared x;
        struct late w = {.op.done = late_done}, r = {.op.done = late_done};
        shared_open(&x, seed, &cfg);
        struct env_file *f = file_of(&x, 0, "f", DIRECT | ENV_O_CREATE);
        file_of(&x, 1, "from", PLAIN | ENV_O_CREATE);
        memset(b, 9, sizeof b);
        env_write(f, b, sizeof b, 0, &w.op);
        env_rename(x.e[0], "from", "to", &r.op);
        shared_for(&x, (int64_t)seed * 1000);
        dies(&x, 0, seed & 1);
        int64_t size = sim_disk_size(sim_shared_node(x.fs), "f");
        bool moved = sim_disk_size(sim_shared_node(x.fs), "to") >= 0;
        all += size == sizeof b;
        none += size == 0;
        part += size > 0 && size < (int64_t)sizeof b;
        renamed += moved;
        shared_for(&x, 10 * sec);
        CU_ASSERT_EQUAL(sim_disk_size(sim_shared_node(x.fs), "f"), size);
        CU_ASSERT_EQUAL(sim_disk_size(sim_shared_node(x.fs), "to") >= 0, moved);
        CU_ASSERT_EQUAL(sim_disk_size(sim_shared_node(x.fs), "from") >= 0, !moved);
        CU_ASSERT(!w.done && !r.done && no_weakness(&x));
        shared_close(&x);
    }
    CU_ASSERT(all > 5 && none > 5 && part > 5 && renamed > 5 && renamed < 95);
}

/* ---- weaknesses ---- */

/* fn tells whether it saw it; with the weakness in some runs, without in none */
static void weak(bool (*fn)(struct shared *x), void (*on)(struct sim_shared_config *cfg),
                 unsigned at_least)
{
    for (int is_on = 0; is_on < 2; is_on++) {
        unsigned seen = 0;
        for (uint64_t seed = 0; seed < 40; seed++) {
            struct sim_shared_config cfg = sim_shared_quiet();
            struct shared x;
            if (is_on)
                on(&cfg);
            shared_open(&x, seed, &cfg);
            seen += fn(&x);
            if (!is_on)
                CU_ASSERT(no_weakness(&x));
            shared_close(&x);
        }
        if (is_on)
            CU_ASSERT(seen >= at_least);
        if (!is_on)
            CU_ASSERT_EQUAL(seen, 0);
    }
}

static void on_stale_names(struct sim_shared_config *cfg)
{
    cfg->stale_names_ns = 2 * sec;
}

static bool lists(struct shared *x, int i, const char *what, uint32_t n)
{
    char b[64];
    int64_t ret = DO(x, env_list(x->e[i], "d", "", b, sizeof b, op));
    return ret == (int64_t)n && !memcmp(b, what, n);
}

/* new, renamed and removed names in a listing; after 2 s at most it is right */
static bool sees_an_old_list(struct shared *x)
{
    file_of(x, 0, "d/old", PLAIN | ENV_O_CREATE);
    file_of(x, 0, "d/gone", PLAIN | ENV_O_CREATE);
    shared_for(x, 3 * sec);
    CU_ASSERT(lists(x, 1, "gone\0old", 9));
    CU_ASSERT_EQUAL(DO(x, env_rename(x->e[0], "d/old", "d/moved", op)), 0);
    CU_ASSERT_EQUAL(DO(x, env_unlink(x->e[0], "d/gone", op)), 0);
    file_of(x, 0, "d/new", PLAIN | ENV_O_CREATE);
    CU_ASSERT(lists(x, 0, "moved\0new", 10)); /* its own changes */
    bool old = lists(x, 1, "gone\0old", 9);
    CU_ASSERT(old || lists(x, 1, "moved\0new", 10));
    file_of(x, 1, "d/own", PLAIN | ENV_O_CREATE);
    CU_ASSERT(lists(x, 1, "gone\0old\0own", 13) || lists(x, 1, "moved\0new\0own", 14));
    shared_for(x, 2 * sec + 1);
    CU_ASSERT(lists(x, 1, "moved\0new\0own", 14));
    return old;
}

/* the same by names: not there yet, there under an old name, or gone */
static bool opens_an_old_name(struct shared *x)
{
    struct env_file *f, *g = file_of(x, 0, "d/a", DIRECT | ENV_O_CREATE);
    file_of(x, 0, "d/b", PLAIN | ENV_O_CREATE);
    CU_ASSERT_EQUAL(put(x, g, 0, 5), PAGE);
    shared_for(x, 3 * sec);
    CU_ASSERT_EQUAL(DO(x, env_open(x->e[1], "d/none", PLAIN, &f, op)), E_NOENT);
    CU_ASSERT_EQUAL(DO(x, env_rename(x->e[0], "d/a", "d/none", op)), 0);
    CU_ASSERT_EQUAL(DO(x, env_unlink(x->e[0], "d/b", op)), 0);
    int64_t none = DO(x, env_open(x->e[1], "d/none", DIRECT, &f, op));
    CU_ASSERT(none == E_NOENT || none == PAGE);
    int64_t b = DO(x, env_open(x->e[1], "d/b", PLAIN, &f, op));
    CU_ASSERT(b == E_NOENT || b == E_STALE);
    int64_t a = DO(x, env_open(x->e[1], "d/a", DIRECT, &f, op));
    CU_ASSERT(a == E_NOENT || (a == PAGE && get(x, f, 0) == 5));
    /* who creates asks the server */
    CU_ASSERT_EQUAL(DO(x, env_open(x->e[1], "d/none", PLAIN | ENV_O_CREATE | ENV_O_EXCL, &f, op)),
                    E_EXIST);
    shared_for(x, 2 * sec + 1);
    CU_ASSERT_EQUAL(DO(x, env_open(x->e[1], "d/none", DIRECT, &f, op)), PAGE);
    CU_ASSERT_EQUAL(DO(x, env_open(x->e[1], "d/b", PLAIN, &f, op)), E_NOENT);
    return none == E_NOENT && b == E_STALE && a == PAGE;
}

static void test_shared_stale_names(void)
{
    weak(sees_an_old_list, on_stale_names, 10);
    weak(opens_an_old_name, on_stale_names, 10);
}

static void on_stale_sizes(struct sim_shared_config *cfg)
{
    cfg->stale_sizes_ns = 2 * sec;
}

static void on_stale_sizes_direct(struct sim_shared_config *cfg)
{
    on_stale_sizes(cfg);
    cfg->stale_direct = true;
}

/* a reader does not see what was appended; short, or zeros */
static bool sees_an_old_end(struct shared *x, unsigned flags)
{
    struct env_file *f = file_of(x, 0, "f", flags | ENV_O_CREATE);
    struct env_file *g = file_of(x, 1, "f", flags), *h;
    CU_ASSERT_EQUAL(put(x, f, 0, 1), PAGE);
    shared_for(x, 3 * sec);
    CU_ASSERT_EQUAL(get(x, f, 0), 1);
    CU_ASSERT_EQUAL(get(x, g, 0), 1);
    CU_ASSERT_EQUAL(put(x, f, 1, 2), PAGE);
    CU_ASSERT_EQUAL(sync_of(x, f), 0);
    CU_ASSERT_EQUAL(get(x, f, 1), 2); /* who wrote it sees it */
    int64_t size = DO(x, env_open(x->e[1], "f", flags, &h, op));
    int v = get(x, g, 1);
    CU_ASSERT(v == 2 || v == 0 || v == -2);
    CU_ASSERT_EQUAL(size, v == 2 ? 2 * PAGE : PAGE);
    CU_ASSERT_EQUAL(get(x, g, 0), 1);
    shared_for(x, 2 * sec + 1);
    CU_ASSERT_EQUAL(get(x, g, 1), 2);
    return v != 2;
}

static bool sees_an_old_end_plain(struct shared *x)
{
    return sees_an_old_end(x, PLAIN);
}

static bool sees_an_old_end_direct(struct shared *x)
{
    return sees_an_old_end(x, DIRECT);
}

static bool never(bool saw)
{
    CU_ASSERT(!saw);
    return true;
}

static bool sees_the_end_direct(struct shared *x)
{
    return !never(sees_an_old_end(x, DIRECT));
}

static void test_shared_stale_sizes(void)
{
    weak(sees_an_old_end_plain, on_stale_sizes, 10);
    weak(sees_an_old_end_direct, on_stale_sizes_direct, 10);
    weak(sees_the_end_direct, on_stale_sizes, 0);
}

static void on_stale_pages(struct sim_shared_config *cfg)
{
    cfg->stale_pages_ns = INT64_MAX;
}

static void on_stale_pages_a_while(struct sim_shared_config *cfg)
{
    cfg->stale_pages_ns = 2 * sec;
}

static void on_stale_pages_direct(struct sim_shared_config *cfg)
{
    on_stale_pages(cfg);
    cfg->stale_direct = true;
}

static bool sees_an_old_page(struct shared *x, unsigned flags, bool for_ever)
{
    struct env_file *f = file_of(x, 0, "f", DIRECT | ENV_O_CREATE);
    struct env_file *g = file_of(x, 1, "f", flags), *d = file_of(x, 1, "f", DIRECT);
    CU_ASSERT_EQUAL(put(x, f, 0, 1), PAGE);
    CU_ASSERT_EQUAL(put(x, f, 1, 1), PAGE);
    CU_ASSERT_EQUAL(get(x, g, 0), 1);
    CU_ASSERT_EQUAL(put(x, f, 0, 2), PAGE);
    CU_ASSERT_EQUAL(put(x, f, 1, 2), PAGE);
    CU_ASSERT_EQUAL(get(x, g, 1), 2); /* that one it had not read */
    int v = get(x, g, 0);
    CU_ASSERT(v == 1 || v == 2);
    if (flags == PLAIN)
        CU_ASSERT_EQUAL(get(x, d, 0), 2);
    shared_for(x, 10 * sec);
    CU_ASSERT_EQUAL(get(x, g, 0), for_ever ? v : 2);
    CU_ASSERT_EQUAL(put(x, g, 0, 3), PAGE); /* its own write it knows */
    CU_ASSERT_EQUAL(get(x, g, 0), 3);
    return v == 1;
}

static bool sees_an_old_page_plain(struct shared *x)
{
    return sees_an_old_page(x, PLAIN, true);
}

static bool sees_an_old_page_a_while(struct shared *x)
{
    return sees_an_old_page(x, PLAIN, false);
}

static bool sees_an_old_page_direct(struct shared *x)
{
    return sees_an_old_page(x, DIRECT, true);
}

static void test_shared_stale_pages(void)
{
    weak(sees_an_old_page_plain, on_stale_pages, 40);
    weak(sees_an_old_page_a_while, on_stale_pages_a_while, 20);
    weak(sees_an_old_page_direct, on_stale_pages_direct, 40);
}

static void on_late_writes(struct sim_shared_config *cfg)
{
    cfg->late_write_ppm = 500000;
    cfg->late_write_mean_ns = 2 * sec;
}

/* the write of a client that has died lands on what another one wrote and synced since */
static bool lands_after_a_death(struct shared *x, bool power)
{
    static _Alignas(PAGE) uint8_t b[PAGE];
    struct late w = {.op.done = late_done};
    struct env_file *f = file_of(x, 0, "f", DIRECT | ENV_O_CREATE | ENV_O_DSYNC);
    struct env_file *g = file_of(x, 1, "f", DIRECT);
    memset(b, 1, PAGE);
    env_write(f, b, PAGE, 0, &w.op);
    shared_for(x, 50 * ms);
    bool answered = w.done;
    dies(x, 0, power);
    memset(b, 0xee, PAGE); /* its memory is not its any more */
    struct sim_shared_config calm = sim_shared_quiet();
    calm.loses_unsynced = true;
    sim_shared_set(x->fs, &calm);
    CU_ASSERT_EQUAL(put(x, g, 0, 2), PAGE);
    CU_ASSERT_EQUAL(sync_of(x, g), 0);
    CU_ASSERT_EQUAL(get(x, g, 0), 2);
    shared_for(x, 60 * sec);
    int v = get(x, g, 0);
    CU_ASSERT(v == 2 || (v == 1 && !answered));
    sim_shared_down(x->fs);
    CU_ASSERT_EQUAL(there(x, "f", 0), v); /* it asked for a durable one */
    return v == 1;
}

static bool lands_after_a_crash(struct shared *x)
{
    return lands_after_a_death(x, false);
}

static bool lands_after_a_power_loss(struct shared *x)
{
    return lands_after_a_death(x, true);
}

static void test_shared_late_writes(void)
{
    weak(lands_after_a_crash, on_late_writes, 10);
    weak(lands_after_a_power_loss, on_late_writes, 10);
}

static void on_write_back(struct sim_shared_config *cfg)
{
    on_late_writes(cfg);
    cfg->late_write_ppm = 1000000;
    cfg->write_back = true;
}

/* a write is answered, its client stands still, another one writes and syncs: it is lost */
static bool lands_after_its_answer(struct shared *x)
{
    struct env_file *f = file_of(x, 0, "f", PLAIN | ENV_O_CREATE);
    struct env_file *g = file_of(x, 1, "f", DIRECT | ENV_O_DSYNC);
    CU_ASSERT_EQUAL(put(x, f, 0, 1), PAGE);
    sim_node_pause(x->n[0]);
    struct sim_shared_config calm = sim_shared_quiet();
    sim_shared_set(x->fs, &calm);
    CU_ASSERT_EQUAL(put(x, g, 0, 2), PAGE);
    shared_for(x, 60 * sec);
    int v = get(x, g, 0);
    sim_node_resume(x->n[0]);
    return v == 1;
}

/* who wrote sees it, and a sync makes it so for all; nothing of it comes after that */
static bool is_not_there_at_once(struct shared *x)
{
    struct env_file *f = file_of(x, 0, "f", PLAIN | ENV_O_CREATE);
    struct env_file *g = file_of(x, 1, "f", PLAIN);
    CU_ASSERT_EQUAL(put(x, f, 0, 1), PAGE);
    bool late = get(x, g, 0) != 1;
    CU_ASSERT_EQUAL(get(x, f, 0), 1);
    CU_ASSERT_EQUAL(get(x, g, 0), 1);
    CU_ASSERT_EQUAL(put(x, f, 0, 2), PAGE);
    CU_ASSERT_EQUAL(put(x, f, 0, 3), PAGE); /* in their order */
    CU_ASSERT_EQUAL(sync_of(x, f), 0);
    CU_ASSERT_EQUAL(get(x, g, 0), 3);
    struct env_file *d = file_of(x, 1, "f", PLAIN | ENV_O_DSYNC);
    CU_ASSERT_EQUAL(put(x, d, 0, 4), PAGE); /* durable ones are not answered before */
    CU_ASSERT_EQUAL(there(x, "f", 0), 4);
    CU_ASSERT_EQUAL(put(x, f, 0, 5), PAGE);
    struct sim_shared_config calm = sim_shared_quiet();
    sim_shared_set(x->fs, &calm);
    CU_ASSERT_EQUAL(put(x, f, 0, 6), PAGE); /* not late, but after its own */
    shared_for(x, 60 * sec);
    CU_ASSERT_EQUAL(get(x, f, 0), 6);
    return late;
}

/* ... and what was synced is durable, though it was late before that */
static bool is_durable_by_a_sync(struct shared *x)
{
    struct sim_shared_config cfg = *sim_shared_get(x->fs);
    struct env_file *f = file_of(x, 0, "f", PLAIN | ENV_O_CREATE);
    cfg.loses_unsynced = true;
    sim_shared_set(x->fs, &cfg);
    CU_ASSERT_EQUAL(put(x, f, 0, 1), PAGE);
    bool late = there(x, "f", 0) != 1;
    CU_ASSERT_EQUAL(sync_of(x, f), 0);
    sim_shared_down(x->fs);
    sim_shared_up(x->fs);
    CU_ASSERT_EQUAL(there(x, "f", 0), 1);
    return late;
}

/* an answered one dies with its machine, not with its process; and waits out a partition */
static bool lands_from_a_dead_machine(struct shared *x)
{
    struct env_file *f = file_of(x, 0, "f", PLAIN | ENV_O_CREATE);
    CU_ASSERT_EQUAL(put(x, f, 0, 1), PAGE);
    sim_node_power_loss(x->n[0]);
    shared_for(x, 100 * sec);
    bool gone = there(x, "f", 0) != 1;
    f = file_of(x, 1, "h", PLAIN | ENV_O_CREATE);
    CU_ASSERT_EQUAL(put(x, f, 0, 1), PAGE);
    sim_net_partition(x->n[1], sim_shared_node(x->fs), false);
    sim_node_crash(x->n[1]);
    shared_for(x, 100 * sec);
    CU_ASSERT_EQUAL(there(x, "h", 0) != 1, gone);
    sim_net_heal(x->n[1], sim_shared_node(x->fs));
    shared_for(x, 100 * sec);
    CU_ASSERT_EQUAL(there(x, "h", 0), 1);
    return gone;
}

/* there was no room when it landed: the sync says so, once */
static bool is_told_when_full(struct shared *x)
{
    struct sim_disk_config disk = *sim_disk_get(sim_shared_node(x->fs));
    struct env_file *f = file_of(x, 0, "f", PLAIN | ENV_O_CREATE);
    struct env_file *g = file_of(x, 1, "f", PLAIN);
    CU_ASSERT_EQUAL(put(x, f, 0, 1), PAGE);
    CU_ASSERT_EQUAL(sync_of(x, f), 0);
    disk.capacity = PAGE;
    sim_disk_set(sim_shared_node(x->fs), &disk);
    bool late = put(x, f, 1, 1) == PAGE;
    CU_ASSERT_EQUAL(sync_of(x, f), late ? E_NOSPC : 0);
    CU_ASSERT_EQUAL(sync_of(x, f), 0);
    CU_ASSERT_EQUAL(sync_of(x, g), 0); /* not this one's */
    CU_ASSERT_EQUAL(put(x, f, 1, 1), late ? PAGE : E_NOSPC);
    shared_for(x, 60 * sec); /* it lands by itself */
    CU_ASSERT_EQUAL(sync_of(x, f), late ? E_NOSPC : 0);
    return late;
}

static void test_shared_write_back(void)
{
    weak(lands_after_its_answer, on_write_back, 40);
    weak(is_not_there_at_once, on_write_back, 40);
    weak(is_durable_by_a_sync, on_write_back, 40);
    weak(lands_from_a_dead_machine, on_write_back, 40);
    weak(is_told_when_full, on_write_back, 40);
}

static void on_late_names(struct sim_shared_config *cfg)
{
    cfg->late_name_ppm = 500000;
    cfg->late_name_mean_ns = 5 * sec;
}

/* a rename and an unlink happen seconds after their client has gone */
static bool renames_after_a_death(struct shared *x)
{
    struct late r = {.op.done = late_done}, u = {.op.done = late_done};
    file_of(x, 1, "a", PLAIN | ENV_O_CREATE);
    file_of(x, 1, "b", PLAIN | ENV_O_CREATE);
    env_rename(x->e[0], "a", "to", &r.op);
    env_unlink(x->e[0], "b", &u.op);
    shared_for(x, 50 * ms);
    dies(x, 0, false);
    shared_for(x, 1);
    struct sim_node *n = sim_shared_node(x->fs);
    bool a = sim_disk_size(n, "a") >= 0, b = sim_disk_size(n, "b") >= 0;
    CU_ASSERT(!(a && r.done) && !(b && u.done));
    shared_for(x, 100 * sec);
    bool a_late = a && sim_disk_size(n, "to") >= 0, b_late = b && sim_disk_size(n, "b") < 0;
    CU_ASSERT(!a || a_late);
    CU_ASSERT(!b || b_late);
    return a_late && b_late;
}

static void test_shared_late_names(void)
{
    weak(renames_after_a_death, on_late_names, 3);
}

static void on_create_both(struct sim_shared_config *cfg)
{
    cfg->create_both_ppm = 500000;
    cfg->create_both_ns = sec;
}

static bool both_create(struct shared *x)
{
    unsigned excl = DIRECT | ENV_O_CREATE | ENV_O_EXCL;
    struct env_file *f = file_of(x, 0, "f", excl), *g;
    CU_ASSERT_EQUAL(put(x, f, 0, 1), PAGE);
    CU_ASSERT_EQUAL(DO(x, env_open(x->e[0], "f", excl, &g, op)), E_EXIST); /* the same client */
    int64_t ret = DO(x, env_open(x->e[1], "f", excl, &g, op));
    CU_ASSERT(ret == E_EXIST || ret == PAGE);
    shared_for(x, sec + 1);
    CU_ASSERT_EQUAL(DO(x, env_open(x->e[2], "f", excl, &g, op)), E_EXIST); /* too late */
    return ret == PAGE;
}

static void test_shared_create_both(void)
{
    weak(both_create, on_create_both, 10);
}

/* ---- calls that wait alone ---- */

/* a call takes longer, and a later one is done before it; if its process dies it is not done */
static void test_shared_stray_calls(void)
{
    uint32_t overtaken = 0, lost = 0, in_order = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        static _Alignas(PAGE) uint8_t b[PAGE];
        struct sim_shared_config cfg = sim_shared_quiet(), quiet = cfg;
        struct late w = {.op.done = late_done};
        struct shared x;
        cfg.stray_ppm = seed % 2 ? 500000 : 0;
        cfg.stray_mean_ns = sec;
        shared_open(&x, seed, &quiet);
        struct env_file *f = file_of(&x, 0, "f", DIRECT | ENV_O_CREATE | ENV_O_DSYNC);
        sim_shared_set(x.fs, &cfg);
        memset(b, 1, PAGE);
        env_write(f, b, PAGE, 0, &w.op);
        sim_shared_set(x.fs, &quiet);
        shared_for(&x, 10 * ms);
        CU_ASSERT_EQUAL(put(&x, f, 1, 2), PAGE);
        overtaken += !w.done;
        in_order += w.done;
        if (seed % 4 == 1)
            dies(&x, 0, false);
        lost += !w.done && seed % 4 == 1;
        shared_for(&x, 60 * sec);
        CU_ASSERT(w.done || seed % 4 == 1);
        CU_ASSERT_EQUAL(there(&x, "f", 0) == 1, w.done);
        CU_ASSERT(no_weakness(&x));
        shared_close(&x);
    }
    CU_ASSERT(overtaken > 3 && lost > 1);
    CU_ASSERT(in_order >= 20);
}

/* half of the files do not answer one client for a while; others are served */
static void test_shared_stuck_files(void)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    enum { FILES = ARRAY_LEN(names) };
    static _Alignas(PAGE) uint8_t b[PAGE];
    struct sim_shared_config cfg = sim_shared_quiet();
    uint32_t waited = 0;
    memset(b, 5, PAGE);
    for (uint64_t salt = 0; salt < 4; salt++) {
        struct shared x;
        struct late w[FILES] = {0}, o[FILES] = {0};
        uint32_t done = 0, others = 0;
        shared_open(&x, 4, &cfg);
        for (int i = 0; i < FILES; i++) {
            struct env_file *f = file_of(&x, 0, names[i], DIRECT | ENV_O_CREATE | ENV_O_DSYNC);
            struct env_file *g = file_of(&x, 1, names[i], DIRECT | ENV_O_DSYNC);
            w[i].op.done = o[i].op.done = late_done;
            if (i == 0)
                sim_shared_stick(x.fs, x.n[0], salt, sec);
            env_write(f, b, PAGE, 0, &w[i].op);
            env_write(g, b, PAGE, PAGE, &o[i].op);
        }
        shared_for(&x, 300 * ms);
        for (int i = 0; i < FILES; i++) {
            done += w[i].done;
            others += o[i].done;
        }
        CU_ASSERT_EQUAL(others, FILES);
        waited += FILES - done;
        if (salt == 3)
            dies(&x, 0, false);
        shared_for(&x, 2 * sec);
        for (int i = 0; i < FILES; i++) {
            CU_ASSERT(w[i].done || salt == 3);
            CU_ASSERT_EQUAL(there(&x, names[i], 0) == 5, w[i].done);
        }
        CU_ASSERT(no_weakness(&x));
        shared_close(&x);
    }
    CU_ASSERT(waited > 6 && waited < 18);
}

/* ---- the log on it ---- */

struct logged {
    struct wal_host host;
    uint64_t n;
};

static void logged_record(struct wal_host *h, uint64_t index, const struct log_record *r,
                          const void *bytes)
{
    struct logged *l = container_of(h, struct logged, host);
    CU_ASSERT_FATAL(index == l->n + 1 && r->len == 200 &&
                    base_get_u64(bytes) == base_mix_u64(index));
    l->n = index;
}

static void logged_failed(struct wal_host *h, int why)
{
    (void)h;
    (void)why;
    CU_FAIL("the log failed");
}

/* A node writes, dies in the middle of it, and the next one goes on with its log: unchanged, on
 * another machine, nothing that was handed out is missing. */
static void test_shared_log(void)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sim_shared_config cfg = sim_shared_quiet();
        cfg.loses_unsynced = true;
        struct shared x;
        uint64_t handed = 0;
        shared_open(&x, seed, &cfg);
        for (uint64_t life = 0; life < 6; life++) {
            int i = (int)(life % NODES);
            struct logged l = {.host = {.record = logged_record, .failed = logged_failed}};
            struct wal_config wc = {"log", 256 * 1024, 16 * 1024, 2, 1 << 20, 1, 1};
            struct wal *w = wal_create(x.e[i], sim_mem(x.n[i]), &wc, &l.host);
            CU_ASSERT_PTR_NOT_NULL_FATAL(w);
            CU_ASSERT_EQUAL_FATAL(DO(&x, wal_recover(w, 1, 0, op)), 0);
            CU_ASSERT_FATAL(wal_last_index(w) >= handed);
            CU_ASSERT_EQUAL_FATAL(DO(&x, wal_recover_start(w, life + 1, op)), 0);
            CU_ASSERT_EQUAL(DO(&x, wal_recover_replay(w, 1, op)), 0);
            for (uint64_t k = 0, next = l.n + 1; k < 50; k++, next++) {
                uint8_t b[200] = {0};
                struct env_iov iov = {b, sizeof b};
                uint64_t index = 0;
                base_put_u64(b, base_mix_u64(next));
                CU_ASSERT_EQUAL_FATAL(wal_append(w, 1, life + 1, &iov, 1, &index), 0);
                CU_ASSERT_EQUAL(index, next);
                shared_for(&x, (int64_t)sim_random(x.s, 300000));
            }
            handed = l.n;
            dies(&x, i, life & 1);
            if (life == 2 || life == 4) {
                sim_shared_down(x.fs);
                sim_shared_up(x.fs);
            }
        }
        CU_ASSERT(handed > 200);
        shared_close(&x);
    }
}

/* ---- one seed, one run ---- */

static uint64_t hash_of(uint64_t seed)
{
    struct sim_shared_config cfg = sim_shared_quiet();
    struct shared x;
    uint64_t h[2];
    on_stale_names(&cfg);
    on_stale_sizes(&cfg);
    on_late_writes(&cfg);
    on_late_names(&cfg);
    on_create_both(&cfg);
    cfg.stale_pages_ns = sec;
    cfg.stray_ppm = 50000;
    cfg.stray_mean_ns = sec;
    cfg.write_back = cfg.loses_unsynced = true;
    shared_open(&x, seed, &cfg);
    for (int round = 0; round < 200; round++) {
        static const char *const names[] = {"x/a", "x/b", "c"};
        int i = (int)sim_random(x.s, NODES), k = (int)sim_random(x.s, 3);
        struct env_file *f = NULL;
        char list[64];
        unsigned flags = PLAIN | (sim_random(x.s, 2) ? ENV_O_CREATE : 0);
        if (DO(&x, env_open(x.e[i], names[k], flags, &f, op)) >= 0) {
            put(&x, f, (uint32_t)sim_random(x.s, 5), (uint8_t)round);
            get(&x, f, (uint32_t)sim_random(x.s, 5));
        }
        (void)DO(&x, env_list(x.e[i], "x", "", list, sizeof list, op));
        if (round % 7 == 0)
            (void)DO(&x, env_rename(x.e[i], names[k], names[(k + 1) % 3], op));
        if (round % 11 == 0)
            (void)DO(&x, env_unlink(x.e[i], names[k], op));
        if (round % 13 == 0)
            dies(&x, i, round & 1);
        if (round % 50 == 49) {
            sim_shared_down(x.fs);
            sim_shared_up(x.fs);
        }
    }
    sim_hash(x.s, h);
    shared_close(&x);
    return h[0];
}

static void test_shared_same_seed_same_run(void)
{
    for (uint64_t seed = 0; seed < 5; seed++)
        CU_ASSERT_EQUAL(hash_of(seed), hash_of(seed));
    CU_ASSERT_NOT_EQUAL(hash_of(1), hash_of(2));
}

/* clang-format off */
UNIT_MAIN("sim_shared", UNIT(test_shared_is_one), UNIT(test_shared_calls),
          UNIT(test_shared_beside_its_files), UNIT(test_shared_durable), UNIT(test_shared_pause),
          UNIT(test_shared_partition),
          UNIT(test_shared_answer_is_cut_off), UNIT(test_shared_outage), UNIT(test_shared_server_goes_under_way),
UNIT(test_shared_full_and_slow),
          UNIT(test_shared_crash_under_way), UNIT(test_shared_error_heard_late), UNIT(test_shared_stale_names),
          UNIT(test_shared_stale_sizes), UNIT(test_shared_stale_pages),
          UNIT(test_shared_late_writes), UNIT(test_shared_write_back),
          UNIT(test_shared_late_names), UNIT(test_shared_create_both),
          UNIT(test_shared_stray_calls), UNIT(test_shared_stuck_files), UNIT(test_shared_log),
          UNIT(test_shared_same_seed_same_run))
/* clang-format on */
