/* tests/unit/test_net_loop.c - the turn of the loop, what runs off it, and the pure parts of net.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "net/net.h"
#include "net/net_errno.h"
#include "net/net_frame.h"
#include "tests/unit/unit.h"

enum { MS = 1000000 };

/* Ours instead of the C library's, also for libuv: a machine that slept, as its clocks show it. */
static atomic_llong slept_s;

int clock_gettime(clockid_t which, struct timespec *t)
{
    int err = (int)syscall(SYS_clock_gettime, which, t);
    if (which == CLOCK_BOOTTIME)
        t->tv_sec += atomic_load(&slept_s);
    return err;
}

static struct net *loop_open(void)
{
    struct net *net;
    struct net_config c = {.node = "test"};
    CU_ASSERT_EQUAL_FATAL(net_open(&c, &net), 0);
    return net;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 * MS + t.tv_nsec;
}

static void run_ms(struct net *net, int ms)
{
    bool never = false;
    CU_ASSERT_EQUAL(net_run_until(net, &never, now_ns() + (int64_t)ms * MS), E_TIMEOUT);
}

/* ---- timers ---- */

static char order[32];

struct named {
    struct env_timer t;
    struct net *net;
    char name;
    int64_t fired_ns;
    struct named *stops;
};

static void named_fire(struct env_op *op)
{
    struct named *n = container_of(op, struct named, t.op);
    size_t at = strlen(order);
    order[at] = n->name;
    order[at + 1] = 0;
    n->fired_ns = env_now_ns(net_env(n->net));
    if (n->stops)
        env_timer_stop(net_env(n->net), &n->stops->t);
}

static void test_loop_timers_in_order(void)
{
    struct net *net = loop_open();
    struct env *e = net_env(net);
    struct named n[6];
    memset(n, 0, sizeof n);
    order[0] = 0;
    int64_t now = env_now_ns(e);
    CU_ASSERT_EQUAL(env_now_ns(e), now);
    for (int i = 0; i < 6; i++) {
        n[i].t.op.done = named_fire;
        n[i].net = net;
        n[i].name = (char)('a' + i);
    }
    env_timer_set(e, &n[0].t, now + 9 * MS);
    env_timer_set(e, &n[1].t, now + 3 * MS);
    env_timer_set(e, &n[2].t, now + 3 * MS); /* equal: in the order they were set */
    env_timer_set(e, &n[3].t, now - 5 * MS);
    env_timer_set(e, &n[4].t, now + 5 * MS);
    env_timer_set(e, &n[5].t, now + 1 * MS);
    env_timer_set(e, &n[5].t, now + 6 * MS); /* the last set wins */
    n[1].stops = &n[4];
    CU_ASSERT(env_timer_is_set(&n[4].t));
    CU_ASSERT_STRING_EQUAL(order, "");
    for (int i = 0; i < 1000 && env_timer_is_set(&n[0].t); i++)
        run_ms(net, 15);
    CU_ASSERT_STRING_EQUAL(order, "dbcfa");
    CU_ASSERT(!env_timer_is_set(&n[0].t) && !env_timer_is_set(&n[4].t));
    CU_ASSERT(n[0].fired_ns >= now + 9 * MS);
    CU_ASSERT(n[1].fired_ns >= now + 3 * MS);
    net_close(net);
}

struct again {
    struct env_timer t;
    struct net *net;
    int left;
    uint64_t turn;
    int same_turn;
    bool done;
};

static void again_fire(struct env_op *op)
{
    struct again *a = container_of(op, struct again, t.op);
    struct net_stats st;
    net_stats(a->net, &st);
    a->same_turn += st.turns == a->turn;
    a->turn = st.turns;
    if (--a->left)
        env_timer_set(net_env(a->net), &a->t, 0);
    else
        a->done = true;
}

static void test_loop_due_timer_waits_a_turn(void)
{
    struct net *net = loop_open();
    struct again a = {.t.op.done = again_fire, .net = net, .left = 20};
    env_timer_set(net_env(net), &a.t, 0);
    CU_ASSERT_EQUAL(net_run_until(net, &a.done, now_ns() + 20000LL * MS), 0);
    CU_ASSERT_EQUAL(a.left, 0);
    CU_ASSERT_EQUAL(a.same_turn, 0);
    net_close(net);
}

/* a process that slept past a deadline looks at its sockets first */
struct late {
    struct env_timer t;
    uv_poll_t poll;
    int fd;
    char order[4];
};

static void late_fire(struct env_op *op)
{
    strcat(container_of(op, struct late, t.op)->order, "t");
}

static void late_read(uv_poll_t *p, int status, int events)
{
    struct late *l = container_of(p, struct late, poll);
    char b;
    (void)status;
    (void)events;
    CU_ASSERT_EQUAL(read(l->fd, &b, 1), 1);
    strcat(l->order, "n");
}

static void test_loop_network_before_timers(void)
{
    struct net *net = loop_open();
    struct late l = {.t.op.done = late_fire};
    int fds[2];
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    l.fd = fds[0];
    uv_poll_init(net_uv(net), &l.poll, fds[0]);
    uv_poll_start(&l.poll, UV_READABLE, late_read);
    run_ms(net, 1);
    env_timer_set(net_env(net), &l.t, env_now_ns(net_env(net)) + 10 * MS);
    CU_ASSERT_EQUAL(write(fds[1], "x", 1), 1);
    nanosleep(&(struct timespec){.tv_nsec = 20 * MS}, NULL);
    run_ms(net, 1);
    CU_ASSERT_STRING_EQUAL(l.order, "nt");
    uv_close((uv_handle_t *)&l.poll, NULL);
    net_close(net);
    close(fds[0]);
    close(fds[1]);
}

/* ---- posts and work ---- */

enum { POSTERS = 3, POSTS = 5000 };

struct poster {
    struct net *net;
    pthread_t thread;
    struct post {
        struct env_op op;
        struct poster *from;
    } post[POSTS];
    int came, wrong;
    struct posters *all;
};

struct posters {
    struct poster p[POSTERS];
    int came;
    bool done;
};

static void post_done(struct env_op *op)
{
    struct post *x = container_of(op, struct post, op);
    struct poster *p = x->from;
    p->wrong += x != &p->post[p->came] || op->ret != p->came;
    p->came++;
    p->all->done = ++p->all->came == POSTERS * POSTS;
}

static void *poster_run(void *arg)
{
    struct poster *p = arg;
    for (int i = 0; i < POSTS; i++) {
        p->post[i].op.done = post_done;
        p->post[i].op.ret = i;
        p->post[i].from = p;
        env_post(net_env(p->net), &p->post[i].op);
    }
    return NULL;
}

static void test_loop_posts_from_threads(void)
{
    struct net *net = loop_open();
    static struct posters all;
    memset(&all, 0, sizeof all);
    for (int i = 0; i < POSTERS; i++) {
        all.p[i].net = net;
        all.p[i].all = &all;
        CU_ASSERT_EQUAL_FATAL(pthread_create(&all.p[i].thread, NULL, poster_run, &all.p[i]), 0);
    }
    CU_ASSERT_EQUAL(net_run_until(net, &all.done, now_ns() + 10000LL * MS), 0);
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(all.p[i].thread, NULL);
        CU_ASSERT_EQUAL(all.p[i].came, POSTS);
        CU_ASSERT_EQUAL(all.p[i].wrong, 0);
    }
    net_close(net);
}

struct chain {
    struct env_op op;
    struct net *net;
    int left;
    bool done, inside;
};

static void chain_done(struct env_op *op)
{
    struct chain *c = container_of(op, struct chain, op);
    CU_ASSERT(!c->inside); /* a submit never calls back */
    c->inside = true;
    if (--c->left)
        env_post(net_env(c->net), &c->op);
    else
        c->done = true;
    c->inside = false;
}

static void test_loop_post_from_its_own_callback(void)
{
    struct net *net = loop_open();
    struct chain c = {.op.done = chain_done, .net = net, .left = 100};
    env_post(net_env(net), &c.op);
    CU_ASSERT_EQUAL(net_run_until(net, &c.done, now_ns() + 10000LL * MS), 0);
    CU_ASSERT_EQUAL(c.left, 0);
    net_close(net);
}

struct job {
    struct env_op op;
    pthread_t loop, ran;
    int *left;
    bool *all_done;
};

static void job_run(struct env_op *op)
{
    struct job *j = container_of(op, struct job, op);
    j->ran = pthread_self();
    op->ret = 42;
}

static void job_done(struct env_op *op)
{
    struct job *j = container_of(op, struct job, op);
    CU_ASSERT(pthread_equal(pthread_self(), j->loop));
    CU_ASSERT(!pthread_equal(j->ran, j->loop));
    CU_ASSERT_EQUAL(op->ret, 42);
    *j->all_done = --*j->left == 0;
}

/* ---- before sleeping ---- */

enum { CALLS = 500, CALLS_APART = 100 };

/* a thread that calls again when the last call was taken, or some time later */
struct caller {
    struct env_op op;
    struct net *net;
    atomic_int taken;
    int calls, gap_ms;
    bool done;
};

static void call_done(struct env_op *op)
{
    struct caller *c = container_of(op, struct caller, op);
    c->done = atomic_fetch_add(&c->taken, 1) + 1 == c->calls;
}

static void *caller_run(void *arg)
{
    struct caller *c = arg;
    for (int i = 0; i < c->calls; i++) {
        while (atomic_load(&c->taken) < i)
            sched_yield();
        if (c->gap_ms)
            nanosleep(&(struct timespec){.tv_nsec = c->gap_ms * MS}, NULL);
        env_post(net_env(c->net), &c->op);
    }
    return NULL;
}

static struct net_stats call(int64_t spin_ns, int calls, int gap_ms)
{
    struct net_config config = {.node = "test", .spin_ns = spin_ns};
    struct caller c = {.calls = calls, .gap_ms = gap_ms, .op.done = call_done};
    struct net_stats s;
    pthread_t t;
    CU_ASSERT_EQUAL_FATAL(net_open(&config, &c.net), 0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&t, NULL, caller_run, &c), 0);
    CU_ASSERT_EQUAL(net_run_until(c.net, &c.done, now_ns() + 60000LL * MS), 0);
    pthread_join(t, NULL);
    net_stats(c.net, &s);
    net_close(c.net);
    return s;
}

static void test_loop_spins_where_it_helps(void)
{
    struct net_stats s = call(60000LL * MS, CALLS, 0); /* so long that the next call comes */
    CU_ASSERT(s.spins_hit > CALLS / 10 && s.spins_hit <= s.spins);
    s = call(MS / 10, CALLS_APART, 5); /* so short that it does not: soon given up */
    CU_ASSERT(s.spins > 0 && s.spins <= 20);
    s = call(0, CALLS, 0);
    CU_ASSERT_EQUAL(s.spins, 0);
}

static void tick_again(struct env_op *op)
{
    struct named *n = container_of(op, struct named, t.op);
    struct env *e = net_env(n->net);
    env_timer_set(e, &n->t, env_now_ns(e) + MS);
}

static void test_loop_does_not_spin_for_timers(void)
{
    struct net_config config = {.node = "test", .spin_ns = 20 * MS};
    struct named n = {.t.op.done = tick_again};
    struct net_stats s;
    CU_ASSERT_EQUAL_FATAL(net_open(&config, &n.net), 0);
    tick_again(&n.t.op);
    run_ms(n.net, 50);
    net_stats(n.net, &s);
    CU_ASSERT_EQUAL(s.spins, 0);
    env_timer_stop(net_env(n.net), &n.t);
    net_close(n.net);
}

static void test_loop_work_runs_elsewhere(void)
{
    struct net *net = loop_open();
    static struct job jobs[200];
    int left = ARRAY_LEN(jobs);
    bool done = false;
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        jobs[i] = (struct job){
            .op.done = job_done, .loop = pthread_self(), .left = &left, .all_done = &done};
        env_work(net_env(net), &jobs[i].op, job_run);
    }
    CU_ASSERT_EQUAL(left, ARRAY_LEN(jobs));
    CU_ASSERT_EQUAL(net_run_until(net, &done, now_ns() + 20000LL * MS), 0);
    CU_ASSERT_EQUAL(left, 0);
    net_close(net);
}

static void never_done(struct env_op *op)
{
    (void)op;
    CU_FAIL("a completion after net_close");
}

static _Atomic bool slow_ran;

static void slow_run(struct env_op *op)
{
    nanosleep(&(struct timespec){.tv_nsec = 20 * MS}, NULL);
    slow_ran = true;
    op->ret = 0;
}

static void test_loop_close_waits_for_work(void)
{
    struct net *net = loop_open();
    struct env_op work = {.done = never_done}, posted = work;
    struct env_timer t = {.op.done = never_done};
    env_work(net_env(net), &work, slow_run);
    env_post(net_env(net), &posted);
    env_timer_set(net_env(net), &t, 0);
    net_close(net);
    CU_ASSERT(slow_ran);
}

static void *stopper(void *arg)
{
    nanosleep(&(struct timespec){.tv_nsec = 5 * MS}, NULL);
    net_stop(arg);
    return NULL;
}

static void test_loop_stop(void)
{
    struct net *net = loop_open();
    pthread_t t;
    net_stop(net); /* before the run: it ends at once */
    CU_ASSERT_EQUAL(net_run(net), 0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&t, NULL, stopper, net), 0);
    CU_ASSERT_EQUAL(net_run(net), 0);
    pthread_join(t, NULL);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&t, NULL, stopper, net), 0);
    bool never = false;
    CU_ASSERT_EQUAL(net_run_until(net, &never, now_ns() + 20000LL * MS), E_CANCELLED);
    pthread_join(t, NULL);
    net_close(net);
}

static void test_loop_chance_and_clocks(void)
{
    struct net *net = loop_open();
    struct env *e = net_env(net);
    uint64_t seen = 0, first = env_random(e);
    for (int i = 0; i < 1000; i++)
        seen |= env_random(e) ^ first;
    CU_ASSERT_EQUAL(seen, UINT64_MAX);
    CU_ASSERT(!env_fault(e, "anything"));
    CU_ASSERT(env_wall_ns(e) > (int64_t)1600000000 * 1000 * MS);
    struct mem_source s = net_mem_source();
    void *p = s.get(s.ctx, 1 << 20);
    CU_ASSERT_EQUAL((uintptr_t)p % ENV_DIRECT_ALIGN, 0);
    s.put(s.ctx, p, 1 << 20);
    net_close(net);
}

/* A host that sleeps finds the time gone when it wakes: by each of its clocks, and so do timers. */
static void test_loop_time_goes_on_in_sleep(void)
{
    struct net *net = loop_open();
    struct env *e = net_env(net);
    struct named n = {.t.op.done = named_fire, .net = net, .name = 'a'};
    order[0] = 0;
    int64_t now = env_now_ns(e), clock = env_clock_ns(e);
    env_timer_set(e, &n.t, now + 3000LL * MS);
    run_ms(net, 1);
    CU_ASSERT_STRING_EQUAL(order, "");
    atomic_store(&slept_s, 3600);
    bool never = false; /* anything wakes it */
    CU_ASSERT_EQUAL(net_run_until(net, &never, env_now_ns(e) + MS), E_TIMEOUT);
    CU_ASSERT(env_now_ns(e) - now >= 3600LL * 1000 * MS);
    CU_ASSERT(env_clock_ns(e) - clock >= 3600LL * 1000 * MS);
    CU_ASSERT_STRING_EQUAL(order, "a");
    env_timer_stop(e, &n.t);
    net_close(net);
    atomic_store(&slept_s, 0);
}

/* ---- pure parts ---- */

static void test_errno_both_ways(void)
{
    static const int plain[] = {ENOENT, EEXIST,  ENOTDIR, EISDIR, ENOTEMPTY, EPERM, EACCES,
                                EINVAL, EXDEV,   EROFS,   ENOSPC, EIO,       EBUSY, ENAMETOOLONG,
                                ELOOP,  ENODATA, ERANGE,  EFBIG,  EMLINK,    EBADF, ENXIO,
                                E2BIG,  ETXTBSY, EDQUOT,  ESTALE, EOPNOTSUPP};
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        CU_ASSERT(net_errno_to_err(plain[i]) < 0);
        CU_ASSERT_EQUAL(net_errno_from_err(net_errno_to_err(plain[i])), plain[i]);
        CU_ASSERT_EQUAL(net_errno_to_err(-plain[i]), net_errno_to_err(plain[i]));
    }
#define CHECK(name, number, class, text) CU_ASSERT(net_errno_from_err(name) > 0);
    ERR_LIST(CHECK)
#undef CHECK
    CU_ASSERT_EQUAL(net_errno_from_err(0), 0);
    CU_ASSERT_EQUAL(net_errno_from_err(17), 0);
    CU_ASSERT_EQUAL(net_errno_to_err(0), 0);
    CU_ASSERT_EQUAL(net_errno_to_err(9999), E_IO);
    CU_ASSERT_EQUAL(net_errno_from_err(E_TIMEOUT), ETIMEDOUT);
    CU_ASSERT_EQUAL(net_errno_from_err(E_CHANGED), ESTALE);
    CU_ASSERT_EQUAL(net_errno_from_err(E_CORRUPT), EIO);
    CU_ASSERT_EQUAL(net_errno_from_err(E_SESSION_EXPIRED), EIO);
    CU_ASSERT_EQUAL(net_errno_to_err(ECONNRESET), E_CLOSED);
}

static void test_frame_round_trip_and_flips(void)
{
    static const struct net_frame good[] = {
        {.kind = NET_FRAME_FRAME, .type = 513, .length = ENV_FRAME_MAX, .check = 77},
        {.kind = NET_FRAME_WRITE,
         .length = NET_FRAME_RMA_MAX,
         .token = UINT64_MAX,
         .offset = NET_FRAME_OFFSET_MAX},
        {.kind = NET_FRAME_READ, .length = 0, .check = 5, .token = 1, .offset = 1ULL << 40},
        {.kind = NET_FRAME_READ_DATA, .length = 4096, .check = 6},
        {.kind = NET_FRAME_READ_ERR, .check = 6, .token = 20},
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        uint8_t b[NET_FRAME_HEAD];
        struct net_frame f;
        net_frame_encode(&good[i], b);
        CU_ASSERT_EQUAL_FATAL(net_frame_decode(b, &f), 0);
        CU_ASSERT(f.kind == good[i].kind && f.type == good[i].type && f.length == good[i].length &&
                  f.check == good[i].check && f.token == good[i].token &&
                  f.offset == good[i].offset);
        for (size_t bit = 0; bit < sizeof b * 8; bit++) {
            b[bit / 8] ^= (uint8_t)(1 << bit % 8);
            CU_ASSERT(net_frame_decode(b, &f) < 0);
            b[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

static void test_frame_refuses(void)
{
    static const struct {
        struct net_frame f;
        int err;
    } bad[] = {
        {{.kind = NET_FRAME_FRAME, .length = ENV_FRAME_MAX + 1}, E_TOOBIG},
        {{.kind = NET_FRAME_WRITE, .length = UINT32_MAX, .token = 1}, E_TOOBIG},
        {{.kind = NET_FRAME_WRITE, .length = 1}, E_PROTO},
        {{.kind = NET_FRAME_FRAME, .token = 1}, E_PROTO},
        {{.kind = NET_FRAME_READ_DATA, .type = 1}, E_PROTO},
        {{.kind = NET_FRAME_READ_ERR, .token = 20, .length = 1}, E_PROTO},
        {{.kind = 0}, E_PROTO},
        {{.kind = 99}, E_PROTO},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        uint8_t b[NET_FRAME_HEAD];
        struct net_frame f;
        net_frame_encode(&bad[i].f, b);
        CU_ASSERT_EQUAL(net_frame_decode(b, &f), bad[i].err);
    }
}

static void test_hello_rules(void)
{
    struct net_hello a = {.version_min = 1,
                          .version_max = 3,
                          .frame_max = ENV_FRAME_MAX,
                          .cluster_hi = 1,
                          .challenge = {1}},
                     b = a, c;
    uint8_t m[NET_FRAME_HELLO];
    b.challenge[31] = 2;
    b.formats = (struct net_formats){3, 4, 5, 6};
    net_frame_hello_encode(&b, m);
    CU_ASSERT_EQUAL(net_frame_hello_decode(m, 0, &c), E_AGAIN);
    CU_ASSERT_EQUAL(net_frame_hello_decode(m, NET_FRAME_HELLO - 1, &c), E_AGAIN);
    CU_ASSERT_EQUAL(net_frame_hello_decode(m, NET_FRAME_HELLO, &c), 0);
    CU_ASSERT_EQUAL(memcmp(b.challenge, c.challenge, sizeof b.challenge), 0);
    CU_ASSERT_EQUAL(memcmp(&b.formats, &c.formats, sizeof b.formats), 0);
    CU_ASSERT_EQUAL(net_frame_hello_match(&a, &c), 3);
    CU_ASSERT_EQUAL(net_frame_hello_match(&a, &a), E_REFUSED);
    a.formats =
        (struct net_formats){4, 9, 6, 6}; /* of a journal: both have one, or it is no matter */
    CU_ASSERT_EQUAL(net_frame_hello_match(&a, &c), 3);
    a.formats.log_min = 5;
    CU_ASSERT_EQUAL(net_frame_hello_match(&a, &c), E_VERSION);
    CU_ASSERT_EQUAL(net_frame_hello_match(&c, &a), E_VERSION);
    a.formats = (struct net_formats){1, 3, 7, 8};
    CU_ASSERT_EQUAL(net_frame_hello_match(&a, &c), E_VERSION);
    CU_ASSERT_EQUAL(net_frame_hello_match(&c, &a), E_VERSION);
    memset(&a.formats, 0, sizeof a.formats);
    c.version_min = 2;
    c.version_max = 2;
    CU_ASSERT_EQUAL(net_frame_hello_match(&a, &c), 2);
    c.version_min = c.version_max = 4;
    CU_ASSERT_EQUAL(net_frame_hello_match(&a, &c), E_VERSION);
    CU_ASSERT_EQUAL(net_frame_hello_match(&c, &a), E_VERSION);
    c = b;
    c.cluster_lo = 5;
    CU_ASSERT_EQUAL(net_frame_hello_match(&a, &c), E_CLUSTER);
    c.cluster_hi = c.cluster_lo = 0;
    CU_ASSERT_EQUAL(net_frame_hello_match(&a, &c), 3);
    for (size_t bit = 0; bit < sizeof m * 8; bit++) {
        m[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CU_ASSERT(net_frame_hello_decode(m, NET_FRAME_HELLO, &c) < 0);
        m[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    /* another age: told by its first twelve bytes, whatever follows */
    base_put_u16(m + 8, NET_FRAME_VERSION + 1);
    base_put_u16(m + 10, NET_FRAME_VERSION + 7);
    CU_ASSERT_EQUAL(net_frame_hello_decode(m, 11, &c), E_AGAIN);
    CU_ASSERT_EQUAL(net_frame_hello_decode(m, 12, &c), E_VERSION);
    CU_ASSERT_EQUAL(c.version_max, NET_FRAME_VERSION + 7);
    m[0] = 'G';
    CU_ASSERT_EQUAL(net_frame_hello_decode(m, 1, &c), E_PROTO);
}

UNIT_MAIN("net_loop", UNIT(test_loop_timers_in_order), UNIT(test_loop_due_timer_waits_a_turn),
          UNIT(test_loop_network_before_timers), UNIT(test_loop_posts_from_threads),
          UNIT(test_loop_post_from_its_own_callback), UNIT(test_loop_spins_where_it_helps),
          UNIT(test_loop_does_not_spin_for_timers), UNIT(test_loop_work_runs_elsewhere),
          UNIT(test_loop_close_waits_for_work), UNIT(test_loop_stop),
          UNIT(test_loop_chance_and_clocks), UNIT(test_loop_time_goes_on_in_sleep),
          UNIT(test_errno_both_ways), UNIT(test_frame_round_trip_and_flips),
          UNIT(test_frame_refuses), UNIT(test_hello_rules))
