/* net/net_loop.c - one turn of the loop, and what needs nothing but the loop: time, chance, log,
 * timers, posts, the pool.
 *
 * libuv runs timers before it looks at sockets; after a pause of the process that fires deadlines
 * whose answers lie in a socket already.  So libuv's timer only wakes us, and our own heap fires in
 * the check phase, after the poll:
 *
 *     prepare   what the turn sent leaves (one write a connection, one submit for the disk); what
 *               the disk did at once completes; the wake-up time is set; the clock is let go
 *     poll      sockets, the io_uring's eventfd, finished pool work, posts, foreign descriptors
 *     check     deferred completions, then timers
 *
 * Invariants:
 *  1. done() never runs inside a submit: it runs from the poll, from prepare (disk), or from
 *     `later` in check.
 *  2. Completions and on_close of one connection pass through `later`, so they come in order.
 *  3. now_ns is read at its first use after prepare and stays until the next.
 *  4. The loop never sleeps while `later` holds something, or when what net_run_until waits for has
 *     come: the idle handle makes its timeout 0.
 *  5. Timers set while timers fire wait for the next turn, so that sockets are looked at between.
 *  6. The clock goes on while the machine sleeps: whoever wakes finds its leases over.  libuv's
 *     timer stands still meanwhile, so what is due may fire late by as long as it had to wait.
 *  7. Work that hangs (an under-store that does not answer) leaves threads to the disk.
 *
 * Why rounds are counted, of deferred completions in check and of disk completions in prepare: each
 * may start others, and without an end sockets would starve.  Why there is more than one: a turn
 * costs several microseconds of system calls, and most requests end after two or three steps. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include "core/mutant.h"
#include "net/net_denied.h"
#include "net/net_impl.h"

enum {
    NET_LOOP_LATER_ROUNDS = 4,
    NET_LOOP_DISK_ROUNDS = 2,
    NET_LOOP_HUGE = 2 << 20,
    NET_LOOP_POOL = 4, /* threads of the pool, if nobody says: libuv's own default */
};

/* which net this thread is running: tells a post from the loop from one from elsewhere */
static _Thread_local struct net *net_loop_running;

void *net_loop_alloc(size_t n)
{
    void *p = calloc(1, n);
    ASSERT(p);
    return p;
}

static void *net_loop_source_get(void *ctx, size_t n)
{
    (void)ctx;
    void *p = NULL;
    /* Pages for large blocks: they may be read into with O_DIRECT.  Not for the chunks of 64 KiB
     * that small ones are carved from: each would leave most of a page unused behind it. */
    size_t align = n >= NET_LOOP_HUGE           ? NET_LOOP_HUGE
                   : n >= 32 * ENV_DIRECT_ALIGN ? ENV_DIRECT_ALIGN
                                                : 64;
    if (posix_memalign(&p, align, n))
        return NULL;
    if (n >= NET_LOOP_HUGE) /* the kernel finds a huge page faster than 512 others */
        madvise(p, n - n % NET_LOOP_HUGE, MADV_HUGEPAGE);
    return p;
}

static void net_loop_source_put(void *ctx, void *p, size_t n)
{
    (void)ctx;
    (void)n;
    free(p);
}

struct mem_source net_mem_source(void)
{
    return (struct mem_source){net_loop_source_get, net_loop_source_put, NULL};
}

/* ---- time, chance, log ---- */

/* not CLOCK_MONOTONIC, which stands still while the machine sleeps */
int64_t net_loop_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return net_seconds(t.tv_sec) + t.tv_nsec;
}

int64_t net_loop_now(struct net *net)
{
    if (!net->now_fixed) {
        net->now_ns = net_loop_clock();
        net->now_fixed = true;
    }
    return net->now_ns;
}

static int64_t net_loop_clock_vt(struct env *e)
{
    (void)e;
    return net_loop_clock();
}

static int64_t net_loop_now_vt(struct env *e)
{
    return net_loop_now(net_of(e));
}

static int64_t net_loop_wall(struct env *e)
{
    (void)e;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return net_seconds(t.tv_sec) + t.tv_nsec;
}

/* straight from the kernel: the tokens of regions guard memory */
uint64_t net_loop_random(struct net *net)
{
    if (net->entropy_left < 8) {
        ssize_t n;
        do
            n = getrandom(net->entropy, 256, 0);
        while (n < 0 && errno == EINTR);
        ASSERT(n == 256);
        net->entropy_left = 256;
    }
    net->entropy_left -= 8;
    uint64_t v = base_get_u64(net->entropy + net->entropy_left);
    memset(net->entropy + net->entropy_left, 0, 8);
    return v;
}

static uint64_t net_loop_random_vt(struct env *e)
{
    return net_loop_random(net_of(e));
}

static bool net_loop_fault(struct env *e, const char *site)
{
    (void)e;
    (void)site;
    return false;
}

static void net_loop_log(struct env *e, enum env_log level, const char *line)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    struct net *net = net_of(e);
    if (level > net->config.log_level)
        return;
    if (net->config.log) {
        net->config.log(net->config.log_ctx, level, net->node, line);
        return;
    }
    struct timespec t;
    struct tm tm;
    char stamp[32];
    clock_gettime(CLOCK_REALTIME, &t);
    localtime_r(&t.tv_sec, &tm);
    strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &tm);
    fprintf(stderr, "%s.%03ld %-5s %s: %s\n", stamp, t.tv_nsec / 1000000, names[level], net->node,
            line);
}

/* ---- timers ---- */

static void net_loop_timer_set(struct env *e, struct env_timer *t, int64_t at_ns)
{
    heap_set(&net_of(e)->heap, t, at_ns);
}

static void net_loop_timer_stop(struct env *e, struct env_timer *t)
{
    heap_remove(&net_of(e)->heap, t);
}

static void net_loop_fire(struct net *net)
{
    uint64_t limit = net->heap.seq; /* invariant 5 */
    int64_t now = net_loop_now(net);
    struct env_timer *t;
    while ((t = heap_peek(&net->heap)) && t->at_ns <= now && t->seq <= limit) {
        heap_remove(&net->heap, t);
        t->op.ret = 0;
        t->op.done(&t->op);
    }
}

static void net_loop_on_timer(uv_timer_t *t)
{
    (void)t; /* it only ended the sleep */
}

static void net_loop_arm(struct net *net)
{
    if (MUTANT(RAFT_TIMER_FIRST))
        net_loop_fire(net);
    struct env_timer *t = heap_peek(&net->heap);
    if (!t) {
        uv_timer_stop(&net->timer);
        return;
    }
    if (t->at_ns == net->armed_ns && uv_is_active((uv_handle_t *)&net->timer))
        return;
    net->armed_ns = t->at_ns;
    net->now_fixed = false;
    int64_t wait_ns = t->at_ns - net_loop_now(net);
    /* libuv counts milliseconds from its own sample of the clock: refresh it, and round up */
    uv_update_time(&net->loop);
    uint64_t ms = wait_ns <= 0 ? 0 : ((uint64_t)wait_ns + 999999) / 1000000;
    uv_timer_start(&net->timer, net_loop_on_timer, ms, 0);
}

/* ---- completions ---- */

void net_loop_later(struct net *net, struct env_op *op, int64_t ret)
{
    op->ret = ret;
    list_push_back(&net->later, &op->link);
}

static void net_loop_run_later(struct net *net)
{
    struct list now;
    list_init(&now);
    list_splice(&now, &net->later);
    struct list *l;
    while ((l = list_pop(&now))) {
        struct env_op *op = list_entry(l, struct env_op, link);
        op->done(op);
    }
}

static void net_loop_post(struct env *e, struct env_op *op)
{
    struct net *net = net_of(e);
    if (net_loop_running == net) {
        list_push_back(&net->later, &op->link);
        return;
    }
    pthread_mutex_lock(&net->post_lock);
    bool first = list_empty(&net->posted);
    list_push_back(&net->posted, &op->link);
    pthread_mutex_unlock(&net->post_lock);
    if (first)
        uv_async_send(&net->async);
}

static void net_loop_on_async(uv_async_t *a)
{
    struct net *net = a->data;
    net_spin_event(net);
    pthread_mutex_lock(&net->post_lock);
    list_splice(&net->later, &net->posted);
    pthread_mutex_unlock(&net->post_lock);
}

/* ---- the pool ---- */

struct net_job *net_loop_job(struct net *net, struct env_op *op)
{
    struct list *l = list_pop(&net->jobs_free);
    struct net_job *job =
        l ? list_entry(l, struct net_job, link) : net_loop_alloc(sizeof(struct net_job));
    job->net = net;
    job->op = op;
    job->user = NULL;
    job->run = NULL;
    job->opened = NULL;
    job->place = NULL;
    job->denied = NULL;
    job->req.data = job;
    return job;
}

/* a call on names that this user may not make: which part of the name is in the way, and whose? */
static void net_loop_job_denied(struct net_job *job)
{
    char text[NET_DENIED];
    int wants = job->run == net_file_list                               ? R_OK | X_OK
                : job->run != net_file_open || job->flags & ENV_O_WRITE ? R_OK | W_OK
                                                                        : R_OK;
    char dir[ENV_NAME_MAX];
    fmt_into(dir, sizeof dir, "%s", job->name);
    char *slash = strrchr(dir, '/');
    *(slash ? slash : dir) = 0;
    bool is_denied =
        net_denied(job->place->dir_fd, job->place->name, job->name, wants, text, sizeof text) ||
        net_denied(job->place->dir_fd, job->place->name, dir, R_OK | W_OK | X_OK, text,
                   sizeof text);
    if (is_denied)
        job->denied = strdup(text);
}

static void net_loop_job_run(uv_work_t *req)
{
    struct net_job *job = req->data;
    if (job->user)
        job->user(job->op);
    else
        job->op->ret = job->run(job);
    int64_t ret = job->op->ret;
    if (job->run && job->place && (ret == E_ACCES || ret == E_PERM || ret == E_ROFS))
        net_loop_job_denied(job);
}

static void net_loop_work_more(struct net *net)
{
    struct list *l;
    while (!net->closing && net->work_busy < net->work_max && (l = list_pop(&net->work_wait))) {
        net->work_busy++;
        net_loop_job_start(list_entry(l, struct net_job, link));
    }
}

static void net_loop_job_done(uv_work_t *req, int status)
{
    struct net_job *job = req->data;
    struct net *net = job->net;
    struct env_op *op = job->op;
    ASSERT(status == 0);
    net->jobs_busy--;
    if (job->denied)
        fmt_log(&net->env, ENV_LOG_WARN, "net: permission denied: %s.", job->denied);
    free(job->denied);
    if (job->opened)
        list_push_back(&net->files, &job->opened->link);
    net->work_busy -= job->user != NULL;
    list_push_front(&net->jobs_free, &job->link);
    net_loop_work_more(net);
    if (!net->closing)
        op->done(op);
}

void net_loop_job_start(struct net_job *job)
{
    job->net->jobs_busy++;
    int rc = uv_queue_work(&job->net->loop, &job->req, net_loop_job_run, net_loop_job_done);
    ASSERT(rc == 0);
}

static void net_loop_work(struct env *e, struct env_op *op, void (*fn)(struct env_op *op))
{
    struct net *net = net_of(e);
    struct net_job *job = net_loop_job(net, op);
    job->user = fn;
    list_push_back(&net->work_wait, &job->link);
    net_loop_work_more(net);
}

/* ---- the turn ---- */

static bool net_loop_leave(struct net *net)
{
    net_stream_flush_all(net);
    return net_disk_flush(net);
}

static void net_loop_on_idle(uv_idle_t *i)
{
    (void)i; /* its presence keeps the poll from sleeping */
}

static void net_loop_on_prepare(uv_prepare_t *p)
{
    struct net *net = p->data;
    net->stats.turns++;
    bool again = net_loop_leave(net);
    for (int i = 0; i < NET_LOOP_DISK_ROUNDS && net_disk_reap(net); i++)
        again = net_loop_leave(net);
    bool is_over = net->until && *(volatile const bool *)net->until;
    net_loop_arm(net);
    if (again || is_over || !list_empty(&net->later) || net_spin_wait(net))
        uv_idle_start(&net->idle, net_loop_on_idle);
    net->now_fixed = false;
}

static void net_loop_on_check(uv_check_t *c)
{
    struct net *net = c->data;
    uv_idle_stop(&net->idle);
    for (int i = 0; i < NET_LOOP_LATER_ROUNDS && !list_empty(&net->later); i++)
        net_loop_run_later(net);
    net_loop_fire(net);
}

static void net_loop_once(struct net *net)
{
    uv_run(&net->loop, UV_RUN_ONCE);
}

static struct net *net_loop_enter(struct net *net)
{
    ASSERT(!net->in_turn);
    net->in_turn = true;
    struct net *before = net_loop_running;
    net_loop_running = net;
    net->now_fixed = false;
    return before;
}

static void net_loop_exit(struct net *net, struct net *before)
{
    net_loop_leave(net); /* the loop may not run again for long */
    net_loop_running = before;
    net->in_turn = false;
}

int net_run(struct net *net)
{
    struct net *before = net_loop_enter(net);
    while (!atomic_exchange(&net->stop, false))
        net_loop_once(net);
    net_loop_exit(net, before);
    return 0;
}

static void net_loop_on_deadline(struct env_op *op)
{
    (void)op; /* net_run_until looks at the clock */
}

int net_run_until(struct net *net, const bool *flag, int64_t deadline_ns)
{
    struct net *before = net_loop_enter(net);
    struct env_timer t = {.op.done = net_loop_on_deadline};
    int err = 0;
    heap_set(&net->heap, &t, deadline_ns);
    net->until = flag;
    while (!*(volatile const bool *)flag) {
        net_loop_once(net);
        if (*(volatile const bool *)flag)
            break;
        if (atomic_exchange(&net->stop, false)) {
            err = E_CANCELLED;
            break;
        }
        if (net_loop_now(net) >= deadline_ns) {
            err = E_TIMEOUT;
            break;
        }
    }
    heap_remove(&net->heap, &t);
    net->until = NULL;
    net_loop_exit(net, before);
    return err;
}

void net_stop(struct net *net)
{
    atomic_store(&net->stop, true);
    uv_async_send(&net->async);
}

/* ---- birth and death ---- */

static const struct env_vt *net_loop_vt(void)
{
    static struct env_vt vt;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    if (!vt.now_ns) {
        vt = (struct env_vt){
            .clock_ns = net_loop_clock_vt,
            .wall_ns = net_loop_wall,
            .random = net_loop_random_vt,
            .fault = net_loop_fault,
            .log = net_loop_log,
            .timer_set = net_loop_timer_set,
            .timer_stop = net_loop_timer_stop,
            .post = net_loop_post,
            .work = net_loop_work,
            .listen = net_tcp_listen,
            .unlisten = net_tcp_unlisten,
            .connect = net_tcp_connect,
            .send = net_stream_send,
            .backlog = net_stream_backlog,
            .hangup = net_tcp_hangup,
            .adopt = net_tcp_adopt,
            .share = net_mr_share,
            .revoke = net_mr_revoke,
            .rma = net_mr_rma,
        };
        net_disk_vt(&vt);
        vt.now_ns = net_loop_now_vt;
    }
    pthread_mutex_unlock(&lock);
    return &vt;
}

/* threads of libuv's pool: the first net decides, unless the operator did.  A process that says
 * nothing keeps its environment as it is: it may not be ours (the C API). */
static uint32_t net_loop_pool(unsigned wanted)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static uint32_t threads;
    pthread_mutex_lock(&lock);
    if (!threads) {
        char text[16];
        fmt_into(text, sizeof text, "%u", wanted);
        if (wanted)
            setenv("UV_THREADPOOL_SIZE", text, 0);
        const char *is = getenv("UV_THREADPOOL_SIZE");
        int n = is ? atoi(is) : NET_LOOP_POOL;
        threads = n > 0 ? (uint32_t)n : 1;
    }
    pthread_mutex_unlock(&lock);
    return threads;
}

uint32_t net_work_threads(void)
{
    uint32_t threads = net_loop_pool(0), own = threads > NET_LOOP_POOL ? 2 : 1;
    return threads > own ? threads - own : 1;
}

static void net_loop_defaults(struct net *net)
{
    struct net_config *c = &net->config;
    c->max_conns = c->max_conns ? c->max_conns : 4096;
    c->max_greeting = c->max_greeting ? c->max_greeting : 256;
    c->backlog_warn = c->backlog_warn ? c->backlog_warn : (uint64_t)64 << 20;
    c->backlog_max = c->backlog_max ? c->backlog_max : (uint64_t)1 << 30;
    c->held_max = c->held_max ? c->held_max : (uint64_t)1 << 30;
    c->hello_timeout_ns = c->hello_timeout_ns ? c->hello_timeout_ns : net_seconds(5);
    fmt_into(net->node, sizeof net->node, "%s", c->node ? c->node : "tarn");
    c->node = net->node;
    (void)net_loop_pool(c->pool_threads);
    net->work_max = net_work_threads();
}

int net_open(const struct net_config *config, struct net **ret_net)
{
    struct net *net = net_loop_alloc(sizeof *net);
    net->config = *config;
    net_loop_defaults(net);
    net->env.vt = net_loop_vt();
    net->own.net = net;
    net->own.dir_fd = -1;
    struct list *lists[] = {&net->later,     &net->posted, &net->jobs_free, &net->work_wait,
                            &net->conns,     &net->dirty,  &net->listeners, &net->chunks_free,
                            &net->refs_free, &net->files,  &net->greeting,  &net->shared,
                            &net->own.link};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        list_init(lists[i]);
    mem_init(&net->mem, net_mem_source(), UINT64_MAX / 2);
    heap_init(&net->heap, &net->mem);
    net->mr_free = UINT32_MAX;
    pthread_mutex_init(&net->post_lock, NULL);
    if (uv_loop_init(&net->loop)) {
        pthread_mutex_destroy(&net->post_lock);
        free(net);
        return E_NOMEM;
    }
    net->rbuf = net_loop_alloc(NET_RBUF + NET_DISCARD);
    int rc = uv_async_init(&net->loop, &net->async, net_loop_on_async);
    ASSERT(rc == 0);
    uv_prepare_init(&net->loop, &net->prepare);
    uv_check_init(&net->loop, &net->check);
    uv_idle_init(&net->loop, &net->idle);
    uv_timer_init(&net->loop, &net->timer);
    net->async.data = net->prepare.data = net->check.data = net;
    uv_prepare_start(&net->prepare, net_loop_on_prepare);
    uv_check_start(&net->check, net_loop_on_check);
    net_spin_init(net);
    int err = net_disk_open(net);
    if (!err)
        err = net_hello_secret(net);
    if (err) {
        net_close(net);
        return err;
    }
    *ret_net = net;
    return 0;
}

struct env *net_env(struct net *net)
{
    return &net->env;
}

uv_loop_t *net_uv(struct net *net)
{
    return &net->loop;
}

void net_event(struct net *net)
{
    net_spin_event(net);
}

void net_stats(struct net *net, struct net_stats *ret_stats)
{
    *ret_stats = net->stats;
    ret_stats->uring = net->uring != NULL;
}

static void net_loop_close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

void net_close(struct net *net)
{
    if (!net)
        return;
    ASSERT(!net->in_turn);
    net->closing = true;
    net_tcp_close_all(net);
    net_disk_close(net);
    uv_walk(&net->loop, net_loop_close_handle, NULL);
    uv_run(&net->loop, UV_RUN_DEFAULT); /* the pool's jobs and resolvers come back too */
    ASSERT(net->jobs_busy == 0 && list_empty(&net->conns) && list_empty(&net->listeners));
    int rc = uv_loop_close(&net->loop);
    ASSERT(rc == 0);
    struct list *l;
    while ((l = list_pop(&net->files))) {
        struct net_file *f = list_entry(l, struct net_file, link);
        net_file_close_read(f);
        close(f->fd);
        free(f);
    }
    while ((l = list_pop(&net->jobs_free)) || (l = list_pop(&net->work_wait)))
        free(list_entry(l, struct net_job, link));
    net_stream_free_spares(net);
    mem_drop(&net->mem);
    pthread_mutex_destroy(&net->post_lock);
    net_disk_close_places(net);
    free(net->secret_file);
    net_secret_wipe(&net->secrets);
    free(net->mr);
    free(net->rbuf);
    free(net);
}
