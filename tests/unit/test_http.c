/* tests/unit/test_http.c - the server beside a real loop, asked by threads over sockets; what it
 * says of status texts, by their text. */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "cluster/http.h"
#include "cluster/http_metrics.h"
#include "net/net.h"
#include "tests/unit/unit.h"

/* ---- a loop, a server, and who asks ---- */

static struct net *net;
static struct http *http;
static atomic_int is_ready, texts;
static char source_text[4096];

static size_t source(struct http_source *s, char *to, size_t cap)
{
    (void)s;
    atomic_fetch_add(&texts, 1);
    snprintf(to, cap, "mount.serving %d\nclient.connected 1\nclient.session 1\n%s",
             atomic_load(&is_ready), source_text);
    return strlen(to);
}

static struct http_source from = {source};

static void server_open(int64_t stall_ms, int64_t wait_ms, unsigned conns, unsigned idle_s)
{
    struct net_config nc = {.node = "test"};
    char err[256] = "";
    source_text[0] = 0;
    atomic_store(&is_ready, 1);
    CU_ASSERT_EQUAL_FATAL(net_open(&nc, &net), 0);
    struct http_config hc = {.listen = "127.0.0.1:0",
                             .env = net_env(net),
                             .source = &from,
                             .stall_ns = stall_ms * 1000000,
                             .wait_ns = wait_ms * 1000000,
                             .conns_max = conns,
                             .idle_seconds = idle_s,
                             .most_seconds = idle_s == 10 ? 1 : 0};
    CU_ASSERT_EQUAL_FATAL(http_open(&hc, &http, err, sizeof err), 0);
    CU_ASSERT(http_port(http) != 0);
}

static void server_close(void)
{
    if (!http_close(http)) {
        while (!http_is_quiet(http)) {
            bool never = false;
            net_run_until(net, &never, env_now_ns(net_env(net)) + 10000000);
        }
        CU_ASSERT(http_close(http));
    }
    net_close(net);
}

static void (*asker)(void);

static void *ask_then_stop(void *arg)
{
    (void)arg;
    asker();
    net_stop(net);
    return NULL;
}

/* fn runs beside the loop; the loop ends with it */
static void beside(void (*fn)(void))
{
    pthread_t t;
    asker = fn;
    CU_ASSERT_EQUAL_FATAL(pthread_create(&t, NULL, ask_then_stop, NULL), 0);
    net_run(net);
    pthread_join(t, NULL);
}

static int dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(http_port(http))};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval limit = {.tv_sec = 60};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&a, sizeof a)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* everything until the other end closes; the status, or -1 */
static int answer(int fd, char *to, size_t cap)
{
    size_t n = 0;
    ssize_t r;
    while (n + 1 < cap && (r = recv(fd, to + n, cap - 1 - n, 0)) > 0)
        n += (size_t)r;
    to[n] = 0;
    close(fd);
    int status = -1;
    return sscanf(to, "HTTP/1.1 %d", &status) == 1 ? status : -1;
}

static int ask(const char *method, const char *path, const char *more, char *to, size_t cap)
{
    char request[512];
    int fd = dial();
    if (fd < 0)
        return -1;
    int n = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n", method, path,
                     more);
    if (send(fd, request, (size_t)n, MSG_NOSIGNAL) != n) {
        close(fd);
        return -1;
    }
    return answer(fd, to, cap);
}

static int get(const char *path, char *to, size_t cap)
{
    return ask("GET", path, "", to, cap);
}

static int64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* polled for a minute: this machine may be busy */
static bool becomes(const char *path, int status)
{
    static _Thread_local char text[16384];
    for (int64_t until = clock_ms() + 60000; clock_ms() < until; usleep(20000))
        if (get(path, text, sizeof text) == status)
            return true;
    return false;
}

/* ---- what is served ---- */

static void ask_everything(void)
{
    static char a[65536];
    CU_ASSERT(becomes("/healthz", 200));
    CU_ASSERT_EQUAL(get("/readyz", a, sizeof a), 200);
    CU_ASSERT_PTR_NOT_NULL(strstr(a, "Content-Type: application/json"));
    CU_ASSERT_PTR_NOT_NULL(strstr(a, "\r\n\r\n{\"ready\": true, \"process\": \"mount\""));
    CU_ASSERT_EQUAL(get("/metrics", a, sizeof a), 200);
    CU_ASSERT_PTR_NOT_NULL(strstr(a, "Content-Type: text/plain; version=0.0.4"));
    CU_ASSERT_PTR_NOT_NULL(strstr(a, "\ntarn_mount_serving 1\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(a, "\nprocess_open_fds "));
    CU_ASSERT_PTR_NOT_NULL(strstr(a, "\ntarn_build_info{version=\""));
    CU_ASSERT_EQUAL(a[strlen(a) - 1], '\n');
    CU_ASSERT_EQUAL(ask("HEAD", "/metrics", "", a, sizeof a), 200);
    CU_ASSERT(strlen(a) > 4 && !strcmp(a + strlen(a) - 4, "\r\n\r\n")); /* no body */
    CU_ASSERT_PTR_NOT_NULL(strstr(a, "Content-Length: "));
    CU_ASSERT_EQUAL(get("/", a, sizeof a), 200);
    CU_ASSERT_EQUAL(get("/nothing", a, sizeof a), 404);
    CU_ASSERT_EQUAL(get("/metrics/", a, sizeof a), 404);
    CU_ASSERT_EQUAL(get("/metrics?x=1", a, sizeof a), 200);
    CU_ASSERT_EQUAL(ask("POST", "/metrics", "Content-Length: 1000000000\r\n", a, sizeof a), 405);
    CU_ASSERT_PTR_NOT_NULL(strstr(a, "Allow: GET, HEAD"));
    CU_ASSERT_EQUAL(ask("DELETE", "/healthz", "", a, sizeof a), 405);
    atomic_store(&is_ready, 0);
    CU_ASSERT_EQUAL(get("/readyz", a, sizeof a), 503);
    CU_ASSERT_PTR_NOT_NULL(strstr(a, "\"reason\": \"not mounted\""));
    CU_ASSERT_EQUAL(get("/healthz", a, sizeof a), 200);
}

static void test_http_routes(void)
{
    server_open(60000, 60000, 0, 0);
    beside(ask_everything);
    server_close();
}

static void ask_nonsense(void)
{
    static const char *const junk[] = {"\r\n\r\n", "GET\r\n\r\n", "G@T /metrics HTTP/9.9\r\n\r\n",
                                       "GET /metrics HTTP/1.1\r\nNo colon\r\n\r\n", "\x16\x03\x01"};
    static char a[65536];
    for (size_t i = 0; i < ARRAY_LEN(junk); i++) {
        int fd = dial();
        CU_ASSERT_FATAL(fd >= 0);
        send(fd, junk[i], strlen(junk[i]), MSG_NOSIGNAL);
        shutdown(fd, SHUT_WR);
        (void)answer(fd, a, sizeof a); /* whatever it says, it ends */
    }
    memset(a, 'x', sizeof a); /* a head that is longer than its memory */
    int fd = dial();
    CU_ASSERT_FATAL(fd >= 0);
    send(fd, "GET /", 5, MSG_NOSIGNAL);
    send(fd, a, sizeof a, MSG_NOSIGNAL);
    int status = answer(fd, a, sizeof a);
    CU_ASSERT(status != 200);
    CU_ASSERT_EQUAL(get("/metrics", a, sizeof a), 200);
}

static void test_http_nonsense_ends(void)
{
    server_open(60000, 60000, 0, 2);
    beside(ask_nonsense);
    server_close();
}

/* ---- a loop that hangs ---- */

static atomic_bool is_held;

static void hold(struct env_op *op)
{
    (void)op;
    while (atomic_load(&is_held))
        usleep(1000);
}

static void ask_hung(void)
{
    static struct env_op op;
    static char a[4096];
    CU_ASSERT(becomes("/healthz", 200));
    atomic_store(&is_held, true);
    op = (struct env_op){.done = hold};
    env_post(net_env(net), &op);
    CU_ASSERT(becomes("/healthz", 503));
    CU_ASSERT_EQUAL(get("/healthz", a, sizeof a), 503);
    CU_ASSERT_PTR_NOT_NULL(strstr(a, "\"healthy\": false"));
    int before = atomic_load(&texts);
    CU_ASSERT_EQUAL(get("/readyz", a, sizeof a), 503);
    CU_ASSERT_PTR_NOT_NULL(strstr(a, "the event loop does not answer"));
    CU_ASSERT_EQUAL(get("/metrics", a, sizeof a), 503);
    CU_ASSERT_EQUAL(get("/metrics", a, sizeof a), 503);
    CU_ASSERT_EQUAL(atomic_load(&texts), before);
    atomic_store(&is_held, false);
    CU_ASSERT(becomes("/metrics", 200));
    CU_ASSERT(becomes("/healthz", 200));
}

static void test_http_a_hung_loop_is_told(void)
{
    server_open(1500, 200, 0, 0);
    beside(ask_hung);
    server_close();
}

static int pending_status;

static void *ask_pending(void *arg)
{
    static char a[4096];
    (void)arg;
    pending_status = get("/metrics", a, sizeof a);
    return NULL;
}

/* the loop ends while a question waits in it: the asker is told, nothing is left */
static void test_http_closes_with_a_question_under_way(void)
{
    pthread_t t;
    server_open(60000, 60000, 0, 0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&t, NULL, ask_pending, NULL), 0);
    while (http_is_quiet(http)) /* nobody runs the loop */
        usleep(1000);
    int64_t began = clock_ms();
    server_close();
    pthread_join(t, NULL);
    CU_ASSERT(clock_ms() - began < 30000); /* not the 60 s that the asker would wait */
    CU_ASSERT(pending_status == 503 || pending_status == -1);
}

/* ---- many ---- */

enum { ASKERS = 6, TIMES = 20 };

static void *ask_often(void *arg)
{
    static _Thread_local char a[65536];
    intptr_t bad = 0;
    (void)arg;
    for (int i = 0; i < TIMES; i++) {
        bad += get(i % 3 ? "/metrics" : "/readyz", a, sizeof a) != 200;
        bad += a[0] && a[strlen(a) - 1] != '\n';
    }
    return (void *)bad;
}

static void ask_from_many(void)
{
    pthread_t t[ASKERS];
    void *bad;
    for (int i = 0; i < ASKERS; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&t[i], NULL, ask_often, NULL), 0);
    for (int i = 0; i < ASKERS; i++) {
        pthread_join(t[i], &bad);
        CU_ASSERT_EQUAL((intptr_t)bad, 0);
    }
    CU_ASSERT(atomic_load(&texts) <= ASKERS * TIMES);
}

static void test_http_many_at_once(void)
{
    server_open(60000, 60000, 0, 0);
    atomic_store(&texts, 0);
    beside(ask_from_many);
    server_close();
}

static void ask_beyond_the_bound(void)
{
    int idle[8];
    static char a[4096];
    for (int i = 0; i < 8; i++) {
        idle[i] = dial(); /* begins, and says no more: closed after a second of silence */
        CU_ASSERT_FATAL(idle[i] >= 0);
        CU_ASSERT_EQUAL(send(idle[i], "GET /", 5, MSG_NOSIGNAL), 5);
    }
    CU_ASSERT(becomes("/healthz", 200));
    for (int i = 0; i < 8; i++)
        CU_ASSERT(answer(idle[i], a, sizeof a) != 200);
}

static void test_http_idle_connections_go(void)
{
    server_open(60000, 60000, 4, 1);
    beside(ask_beyond_the_bound);
    server_close();
}

static void *say_slowly(void *arg)
{
    intptr_t ended = 0;
    int fd = dial();
    (void)arg;
    if (fd < 0)
        return (void *)0;
    for (int64_t until = clock_ms() + 60000; clock_ms() < until && !ended; usleep(100000))
        ended = send(fd, "x", 1, MSG_NOSIGNAL) != 1;
    close(fd);
    return (void *)ended;
}

/* those who always have something to say, and never come to an end, do not keep others out */
static void ask_beside_slow_ones(void)
{
    pthread_t t[4];
    void *ended;
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&t[i], NULL, say_slowly, NULL), 0);
    CU_ASSERT(becomes("/healthz", 200));
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], &ended);
        CU_ASSERT(ended != NULL);
    }
    CU_ASSERT(becomes("/healthz", 200));
}

static void test_http_slow_connections_go(void)
{
    server_open(60000, 60000, 4, 10);
    beside(ask_beside_slow_ones);
    server_close();
}

static void test_http_addresses(void)
{
    char err[256] = "", taken[64];
    struct http *second = NULL;
    server_open(60000, 60000, 0, 0);
    snprintf(taken, sizeof taken, "127.0.0.1:%u", (unsigned)http_port(http));
    struct http_config hc = {.listen = taken, .env = net_env(net), .source = &from};
    CU_ASSERT_EQUAL(http_open(&hc, &second, err, sizeof err), E_ADDRINUSE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err, "cannot listen on 127.0.0.1:"));
    hc.listen = "0.0.0.0:0";
    CU_ASSERT_EQUAL(http_open(&hc, &second, err, sizeof err), E_ACCES);
    CU_ASSERT_PTR_NOT_NULL(strstr(err, "is not loopback"));
    hc.listen = "nonsense";
    CU_ASSERT_EQUAL(http_open(&hc, &second, err, sizeof err), E_INVAL);
    hc.listen = "0.0.0.0:0";
    hc.allow_non_loopback = true;
    CU_ASSERT_EQUAL_FATAL(http_open(&hc, &second, err, sizeof err), 0);
    CU_ASSERT(http_close(second));
    server_close();
}

/* ---- readiness by text ---- */

static bool ready(const char *text, const char *expect)
{
    char json[1024];
    bool ok = http_ready(text, json, sizeof json);
    CU_ASSERT_PTR_NOT_NULL(strstr(json, expect));
    if (!strstr(json, expect))
        printf("%s: %s\n", expect, json);
    CU_ASSERT(!strncmp(json, ok ? "{\"ready\": true" : "{\"ready\": false", 14));
    CU_ASSERT_EQUAL(json[strlen(json) - 1], '\n');
    return ok;
}

static void test_http_ready_master(void)
{
    static const char group[] =
        "journal.members.count 2\n"
        "journal.members.0.id 1\njournal.members.0.heard_ago_ns 9000000000\n"
        "journal.members.1.id 2\njournal.members.1.heard_ago_ns 1000\n";
    char text[1024];
    CU_ASSERT(
        ready("state serving\nrole leader\njournal.role leader\njournal.term 7\n", "\"term\": 7"));
    CU_ASSERT(!ready("state starting\nrole leader\njournal.role leader\n", "beginning"));
    CU_ASSERT(!ready("state starting\nrole standby\njournal.role starting\n", "being read"));
    CU_ASSERT(!ready("state failed\nrole leader\njournal.role failed\n", "failed"));
    CU_ASSERT(!ready("state stopped\nrole standby\njournal.role standby\njournal.leader 2\n",
                     "stopping"));
    CU_ASSERT(!ready("state starting\nrole standby\njournal.role standby\njournal.leader 0\n",
                     "no leader is known"));
    CU_ASSERT(!ready("state starting\nrole standby\njournal.role standby\njournal.gone 1\n",
                     "no member of its group"));
    snprintf(text, sizeof text, "state starting\nrole standby\njournal.role standby\n%s%s",
             "journal.leader 2\njournal.lag 5\n", group);
    CU_ASSERT(ready(text, "\"lag\": 5"));
    snprintf(text, sizeof text, "state starting\nrole standby\njournal.role standby\n%s%s",
             "journal.leader 1\n", group);
    CU_ASSERT(!ready(text, "the leader is silent"));
}

/* who cannot be elected stands by for nothing; who leads and serves is ready, and says what is
 * wrong */
static void test_http_ready_zk(void)
{
#define ZK_STANDBY "state starting\nrole standby\njournal.role standby\njournal.leader 2\n"
#define ZK_LEADER  "state serving\nrole leader\njournal.role leader\n"
#define ZK_BARRED  "\njournal.zk.barred_ns 3000000001\n"
    CU_ASSERT(ready(ZK_STANDBY "journal.zk.bar none\njournal.zk.barred_ns 0\n", "\"lag\": 0}"));
    CU_ASSERT(!ready(ZK_STANDBY "journal.zk.bar session" ZK_BARRED, "no ZooKeeper session"));
    CU_ASSERT(!ready(ZK_STANDBY "journal.zk.bar candidacy" ZK_BARRED, "does not stand"));
    CU_ASSERT(!ready(ZK_STANDBY "journal.zk.bar room" ZK_BARRED, "is full"));
    CU_ASSERT(ready(ZK_STANDBY "journal.zk.bar session\njournal.zk.barred_ns 2999999999\n",
                    "\"lag\": 0}"));
    CU_ASSERT(ready(ZK_LEADER "journal.zk.bar none\njournal.zk.barred_ns 0\n", "\"lag\": 0}"));
    CU_ASSERT(ready(ZK_LEADER "journal.zk.bar session" ZK_BARRED, "\"degraded\": \"no ZooKeeper"));
    CU_ASSERT(ready(ZK_LEADER "journal.zk.room_low 1\n",
                    "\"degraded\": \"the shared directory is nearly"));
    CU_ASSERT(ready(ZK_LEADER "journal.zk.room_low 1\njournal.zk.room_free 0\n",
                    "\"degraded\": \"the shared directory is full"));
    CU_ASSERT(ready(ZK_LEADER "journal.full 1\njournal.zk.room_lost 1\n",
                    "\"degraded\": \"the shared directory was emptied"));
    CU_ASSERT(!ready(ZK_STANDBY "journal.zk.bar none\njournal.zk.room_lost 1\n", "was emptied"));
    CU_ASSERT(ready(ZK_LEADER "journal.full 1\n", "\"degraded\": \"no room for the journal"));
}

static void test_http_ready_worker_and_mount(void)
{
    static const char heard[] =
        "masters.count 2\nmasters.0.interval_ns 500000000\n"
        "masters.1.interval_ns 500000000\nmasters.1.heard_ago_ns 700000000\n";
    char text[1024];
    snprintf(text, sizeof text, "worker.state serving\n%s", heard);
    CU_ASSERT(ready(text, "\"masters_heard\": 1"));
    snprintf(text, sizeof text, "worker.state starting\n%s", heard);
    CU_ASSERT(!ready(text, "being read"));
    CU_ASSERT(!ready("worker.state serving\nmasters.count 1\nmasters.0.interval_ns 500000000\n"
                     "masters.0.heard_ago_ns 3000000001\n",
                     "no master answers"));
    CU_ASSERT(ready("worker.state serving\nmasters.count 1\nmasters.0.interval_ns 60000000000\n"
                    "masters.0.heard_ago_ns 200000000000\n",
                    "worker"));
    CU_ASSERT(!ready("worker.state failed\n", "has failed"));
    CU_ASSERT(ready("mount.serving 1\nclient.state ready\nclient.connected 1\nclient.session 1\n",
                    "ready"));
    CU_ASSERT(!ready("mount.serving 1\nclient.state down\nclient.connected 0\nclient.session 1\n",
                     "no master has taken it in"));
    CU_ASSERT(!ready("", "starting"));
}

/* ---- metrics by text ---- */

static void shows(const char *text, const char *expect)
{
    char *got = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&got, &n);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    http_metrics(f, text);
    fclose(f);
    CU_ASSERT_STRING_EQUAL(got, expect);
    free(got);
}

static void test_http_metrics_kinds(void)
{
    shows("", "");
    shows("journal.committed 18446744073709551615\n",
          "# HELP tarn_journal_commit_index Last record that can not be lost any more.\n"
          "# TYPE tarn_journal_commit_index gauge\n"
          "tarn_journal_commit_index 18446744073709551615\n");
    shows("journal.syncs 12\nwhy -\nlisten 127.0.0.1:1\n",
          "# HELP tarn_journal_syncs_total Times that the log was made durable.\n"
          "# TYPE tarn_journal_syncs_total counter\n"
          "tarn_journal_syncs_total 12\n");
    shows("role standby\n", "# HELP tarn_master_role Whether the master leads: leader or standby.\n"
                            "# TYPE tarn_master_role gauge\n"
                            "tarn_master_role{role=\"standby\"} 1\n");
    shows("client.lease_left_ns 1500000000\n",
          "# HELP tarn_client_lease_seconds How long what is cached is still valid.\n"
          "# TYPE tarn_client_lease_seconds gauge\n"
          "tarn_client_lease_seconds 1.5\n");
    shows("rpc.in.fs.time 4 sum 2000000100 100000:1 1000000000:3\n",
          "# HELP tarn_rpc_server_duration_seconds From a call to its answer, as turns of the loop "
          "see it.\n"
          "# TYPE tarn_rpc_server_duration_seconds histogram\n"
          "tarn_rpc_server_duration_seconds_bucket{method=\"fs\",le=\"0.0001\"} 1\n"
          "tarn_rpc_server_duration_seconds_bucket{method=\"fs\",le=\"1\"} 3\n"
          "tarn_rpc_server_duration_seconds_bucket{method=\"fs\",le=\"+Inf\"} 4\n"
          "tarn_rpc_server_duration_seconds_sum{method=\"fs\"} 2.0000001\n"
          "tarn_rpc_server_duration_seconds_count{method=\"fs\"} 4\n");
}

/* samples of one metric stand together, whatever the order of the lines */
static void test_http_metrics_groups(void)
{
    shows("workers.0.id 00ff\nworkers.0.addr a:1\nworkers.0.alive 1\nworkers.0.used 10\n"
          "workers.1.id 00fe\nworkers.1.addr q\"\\x:2\nworkers.1.alive 0\nworkers.1.used 20\n",
          "# HELP tarn_master_worker_alive 1: it reports.\n"
          "# TYPE tarn_master_worker_alive gauge\n"
          "tarn_master_worker_alive{worker=\"a:1\"} 1\n"
          "tarn_master_worker_alive{worker=\"q\\\"\\\\x:2\"} 0\n"
          "# HELP tarn_master_worker_used_bytes Bytes of pages that it keeps.\n"
          "# TYPE tarn_master_worker_used_bytes gauge\n"
          "tarn_master_worker_used_bytes{worker=\"a:1\"} 10\n"
          "tarn_master_worker_used_bytes{worker=\"q\\\"\\\\x:2\"} 20\n");
    shows("new.thing 1\nnew.0.part 2\nnew.word word\nnew.1.part 3\n",
          "# HELP tarn_new_thing Not described.\n# TYPE tarn_new_thing untyped\n"
          "tarn_new_thing 1\n"
          "# HELP tarn_new_part Not described.\n# TYPE tarn_new_part untyped\n"
          "tarn_new_part{index=\"0\"} 2\ntarn_new_part{index=\"1\"} 3\n");
    shows("no value\nnonewline", "");
}

/* names, types and units of the whole table */
static void test_http_metrics_table(void)
{
    for (size_t i = 0; i < http_table_rows; i++) {
        const struct http_metric *m = &http_table[i];
        size_t n = m->name ? strlen(m->name) : 0;
        for (size_t k = 0; k < i; k++)
            CU_ASSERT(strcmp(m->key, http_table[k].key) != 0 &&
                      (!n || !http_table[k].name || strcmp(m->name, http_table[k].name) != 0));
        if (m->kind == HTTP_SILENT)
            continue;
        bool total = n > 6 && !strcmp(m->name + n - 6, "_total");
        bool seconds = n > 8 && !strcmp(m->name + n - 8, "_seconds");
        CU_ASSERT(n && strspn(m->name, "abcdefghijklmnopqrstuvwxyz_") == n);
        CU_ASSERT(m->help && m->help[0] && !strpbrk(m->help, "\\\n"));
        CU_ASSERT_EQUAL(total, m->kind == HTTP_COUNTER);
        CU_ASSERT_EQUAL(seconds, m->kind == HTTP_SECONDS || m->kind == HTTP_TIMES);
        CU_ASSERT_EQUAL(strchr(m->key, '*') != NULL || m->kind == HTTP_STATE, m->label != NULL);
        CU_ASSERT(!strstr(m->key, "bytes") || strstr(m->name, "bytes"));
    }
}

UNIT_MAIN("http", UNIT(test_http_routes), UNIT(test_http_nonsense_ends),
          UNIT(test_http_a_hung_loop_is_told), UNIT(test_http_closes_with_a_question_under_way),
          UNIT(test_http_many_at_once), UNIT(test_http_idle_connections_go),
          UNIT(test_http_slow_connections_go), UNIT(test_http_addresses),
          UNIT(test_http_ready_master), UNIT(test_http_ready_zk),
          UNIT(test_http_ready_worker_and_mount), UNIT(test_http_metrics_kinds),
          UNIT(test_http_metrics_groups), UNIT(test_http_metrics_table))
