/* cluster/http.c - the server: libmicrohttpd, one thread that accepts and one for each connection.
 *
 *   connection's thread                         the loop
 *   --------------------                        --------
 *   no question under way? env_post ----------> source->text() into work, copied
 *   waits, at most wait_ns         <----------- takes the copy's place in h->text, broadcasts
 *   makes JSON or metrics of the text
 *
 * INVARIANTS
 *  1. The loop never waits for a connection: it takes the lock only to exchange a pointer, and no
 *     thread holds the lock for longer than that, or while it calls anything.
 *  2. One question at a time is in the loop, whatever many ask: those that come meanwhile get its
 *     answer.  So a loop that hangs collects nothing.
 *  3. A text is not changed once it is published; the last one who lets go of it frees it.
 *  4. /healthz needs no turn of the loop: it compares the clock with the last beat.
 *  5. At most conns_max connections and as many threads; each ends: by its one answer, after
 *     idle_seconds of silence, or when it is most_seconds old: else a few that say a byte now and
 *     then would keep everybody out.  What a request may take of memory is bounded by the library's
 *     pool.
 *
 * Why threads: a server inside the loop could not say that the loop hangs.  Why one a connection:
 * an answer may wait for the loop, and /healthz must not wait behind it. */
#include "cluster/http.h"
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "cluster/http_metrics.h"
#include "core/fmt.h"

enum {
    HTTP_TEXT_MAX = 8 << 20, /* a master's with ten thousand workers */
    HTTP_POOL = 16 << 10,    /* memory of a connection: its request's head and its answer's */
    HTTP_BACKLOG = 64,
};

static const int64_t http_beat_ns = 500000000LL;

struct http_text {
    atomic_uint users;
    size_t len;
    char p[];
};

struct http_conn {
    int fd; /* -1: free */
    int64_t began_ns;
};

struct http {
    struct http_config cfg;
    struct MHD_Daemon *daemon;
    uint16_t port;
    struct env_timer beat;
    atomic_llong beat_ns; /* when the loop turned last */
    char *work;           /* the loop's */

    pthread_mutex_t
        conns_lock;          /* held while a socket is shut, so that it is not another's by then */
    struct http_conn *conns; /* conns_max of them */

    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct env_op ask;
    bool is_asking, is_closing; /* under the lock, as what follows */
    uint64_t answers;
    struct http_text *text; /* of the last answer */
};

static int64_t http_clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void http_text_put(struct http_text *t)
{
    if (t && atomic_fetch_sub(&t->users, 1) == 1)
        free(t);
}

/* ---- connections ---- */

static void http_conn_told(void *cls, struct MHD_Connection *c, void **con,
                           enum MHD_ConnectionNotificationCode code)
{
    struct http *h = cls;
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    int was = code == MHD_CONNECTION_NOTIFY_STARTED ? -1 : i ? (int)i->connect_fd : -2;
    (void)con;
    pthread_mutex_lock(&h->conns_lock);
    for (unsigned k = 0; i && k < h->cfg.conns_max; k++)
        if (h->conns[k].fd == was) {
            int fd = was < 0 ? (int)i->connect_fd : -1;
            h->conns[k] = (struct http_conn){fd, http_clock_ns()};
            break;
        }
    pthread_mutex_unlock(&h->conns_lock);
}

/* shuts those that are too old; their threads then end them */
static void http_conns_age(struct http *h, int64_t now)
{
    pthread_mutex_lock(&h->conns_lock);
    for (unsigned k = 0; k < h->cfg.conns_max; k++)
        if (h->conns[k].fd >= 0 &&
            now - h->conns[k].began_ns > (int64_t)h->cfg.most_seconds * 1000000000)
            shutdown(h->conns[k].fd, SHUT_RDWR);
    pthread_mutex_unlock(&h->conns_lock);
}

/* ---- on the loop ---- */

static void http_beaten(struct env_op *op)
{
    struct http *h = container_of(op, struct http, beat.op);
    atomic_store(&h->beat_ns, http_clock_ns());
    http_conns_age(h, http_clock_ns());
    env_timer_set(h->cfg.env, &h->beat, env_now_ns(h->cfg.env) + http_beat_ns);
}

static void http_asked(struct env_op *op)
{
    struct http *h = container_of(op, struct http, ask);
    struct http_text *t = NULL, *old;
    if (h->daemon) {
        size_t n = h->cfg.source->text(h->cfg.source, h->work, HTTP_TEXT_MAX);
        t = malloc(sizeof *t + n + 1);
        if (t) {
            atomic_init(&t->users, 1);
            t->len = n;
            memcpy(t->p, h->work, n);
            t->p[n] = 0;
        }
    }
    pthread_mutex_lock(&h->lock);
    old = h->text;
    h->text = t;
    h->answers++;
    h->is_asking = false;
    pthread_cond_broadcast(&h->answered);
    pthread_mutex_unlock(&h->lock);
    http_text_put(old);
}

/* ---- on a connection's thread ---- */

/* what the loop says now; NULL: nothing in time.  http_text_put() it. */
static struct http_text *http_get(struct http *h)
{
    struct http_text *t = NULL;
    struct timespec until;
    int64_t at = http_clock_ns() + h->cfg.wait_ns;
    until = (struct timespec){at / 1000000000, at % 1000000000};
    pthread_mutex_lock(&h->lock);
    uint64_t before = h->answers;
    bool asks = !h->is_asking && !h->is_closing;
    h->is_asking = h->is_asking || asks;
    pthread_mutex_unlock(&h->lock);
    if (asks)
        env_post(h->cfg.env, &h->ask);
    pthread_mutex_lock(&h->lock);
    while (h->answers == before && !h->is_closing)
        if (pthread_cond_timedwait(&h->answered, &h->lock, &until))
            break;
    if (h->answers != before && h->text) {
        t = h->text;
        atomic_fetch_add(&t->users, 1);
    }
    pthread_mutex_unlock(&h->lock);
    return t;
}

static enum MHD_Result http_send(struct MHD_Connection *c, unsigned status, const char *type,
                                 char *body, size_t n)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(n, body, MHD_RESPMEM_MUST_FREE);
    if (!r) {
        free(body);
        return MHD_NO;
    }
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result ok = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return ok;
}

static enum MHD_Result http_say(struct MHD_Connection *c, unsigned status, const char *type,
                                const char *text)
{
    char *body = strdup(text);
    return body ? http_send(c, status, type, body, strlen(body)) : MHD_NO;
}

static const char http_json[] = "application/json", http_plain[] = "text/plain; charset=utf-8";

static bool http_is_turning(const struct http *h, int64_t *ret_ago_ns)
{
    *ret_ago_ns = http_clock_ns() - atomic_load(&h->beat_ns);
    return *ret_ago_ns <= h->cfg.stall_ns;
}

static enum MHD_Result http_health(struct http *h, struct MHD_Connection *c)
{
    char text[128];
    int64_t ago;
    bool ok = http_is_turning(h, &ago);
    fmt_into(text, sizeof text, "{\"healthy\": %s, \"loop_turned_ms_ago\": %lld}\n",
             ok ? "true" : "false", (long long)(ago / 1000000));
    return http_say(c, ok ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, http_json, text);
}

static enum MHD_Result http_readiness(struct http *h, struct MHD_Connection *c)
{
    char json[1024];
    struct http_text *t = http_get(h);
    if (!t)
        return http_say(c, MHD_HTTP_SERVICE_UNAVAILABLE, http_json,
                        "{\"ready\": false, \"reason\": \"the event loop does not answer\"}\n");
    bool ok = http_ready(t->p, json, sizeof json);
    http_text_put(t);
    return http_say(c, ok ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, http_json, json);
}

static enum MHD_Result http_numbers(struct http *h, struct MHD_Connection *c)
{
    char *body = NULL;
    size_t n = 0;
    struct http_text *t = http_get(h);
    if (!t)
        return http_say(c, MHD_HTTP_SERVICE_UNAVAILABLE, http_plain,
                        "the event loop does not answer\n");
    FILE *f = open_memstream(&body, &n);
    if (f) {
        http_metrics(f, t->p);
        http_metrics_process(f);
        if (fclose(f)) {
            free(body);
            body = NULL;
        }
    }
    http_text_put(t);
    if (!body)
        return MHD_NO;
    return http_send(c, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", body, n);
}

static enum MHD_Result http_request(void *cls, struct MHD_Connection *c, const char *url,
                                    const char *method, const char *version, const char *upload,
                                    size_t *upload_n, void **con)
{
    struct http *h = cls;
    (void)version, (void)upload, (void)upload_n, (void)con;
    /* at the first call: no body is waited for */
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return http_say(c, MHD_HTTP_METHOD_NOT_ALLOWED, http_plain, "GET or HEAD only\n");
    if (!strcmp(url, "/healthz"))
        return http_health(h, c);
    if (!strcmp(url, "/readyz"))
        return http_readiness(h, c);
    if (!strcmp(url, "/metrics"))
        return http_numbers(h, c);
    if (!strcmp(url, "/"))
        return http_say(c, MHD_HTTP_OK, http_plain, "/healthz\n/readyz\n/metrics\n");
    return http_say(c, MHD_HTTP_NOT_FOUND, http_plain, "/healthz, /readyz or /metrics\n");
}

/* ---- the address ---- */

static bool http_is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
    return a->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

static int http_bind(const struct addrinfo *a, uint16_t *ret_port)
{
    struct sockaddr_storage is;
    socklen_t n = sizeof is;
    const int on = 1;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, HTTP_BACKLOG) ||
        getsockname(fd, (struct sockaddr *)&is, &n)) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    *ret_port = ntohs(is.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&is)->sin6_port
                                               : ((struct sockaddr_in *)(void *)&is)->sin_port);
    return fd;
}

/* a listening socket for "host:port" or "[host]:port", or E_* */
static int http_socket(const struct http_config *cfg, uint16_t *ret_port, char *err_to, size_t cap)
{
    char host[ENV_ADDR_MAX];
    const char *colon = strrchr(cfg->listen, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    if (!colon || fmt_into(host, sizeof host, "%.*s", (int)(colon - cfg->listen), cfg->listen) !=
                      (size_t)(colon - cfg->listen)) {
        fmt_into(err_to, cap, "%s is not host:port", cfg->listen);
        return E_INVAL;
    }
    size_t n = strlen(host);
    bool is_quoted = n > 1 && host[0] == '[' && host[n - 1] == ']';
    if (is_quoted)
        host[n - 1] = 0;
    int rc = getaddrinfo(host + is_quoted, colon + 1, &hints, &found);
    if (rc) {
        fmt_into(err_to, cap, "%s: %s", cfg->listen, gai_strerror(rc));
        return E_INVAL;
    }
    int fd = -1, err = E_ACCES;
    if (!cfg->allow_non_loopback && !http_is_loopback(found->ai_addr)) {
        fmt_into(err_to, cap, "%s is not loopback (http.allow_remote permits it)", cfg->listen);
    } else if ((fd = http_bind(found, ret_port)) < 0) {
        err = errno == EADDRINUSE ? E_ADDRINUSE : errno == EACCES ? E_ACCES : E_IO;
        fmt_into(err_to, cap, "cannot listen on %s: %s", cfg->listen, strerror(errno));
    }
    freeaddrinfo(found);
    return fd < 0 ? err : fd;
}

/* ---- life ---- */

static void http_free(struct http *h)
{
    http_text_put(h->text);
    pthread_cond_destroy(&h->answered);
    pthread_mutex_destroy(&h->lock);
    pthread_mutex_destroy(&h->conns_lock);
    free(h->conns);
    free(h->work);
    free(h);
}

static struct http *http_new(const struct http_config *cfg)
{
    struct http *h = calloc(1, sizeof *h);
    pthread_condattr_t by_clock;
    ASSERT(h);
    h->cfg = *cfg;
    h->cfg.stall_ns = cfg->stall_ns ? cfg->stall_ns : 3000000000LL;
    h->cfg.wait_ns = cfg->wait_ns ? cfg->wait_ns : 2000000000LL;
    h->cfg.conns_max = cfg->conns_max ? cfg->conns_max : 16;
    h->cfg.idle_seconds = cfg->idle_seconds ? cfg->idle_seconds : 10;
    h->cfg.most_seconds = cfg->most_seconds ? cfg->most_seconds : 30;
    h->work = malloc(HTTP_TEXT_MAX);
    h->conns = calloc(h->cfg.conns_max, sizeof *h->conns);
    ASSERT(h->work && h->conns);
    for (unsigned i = 0; i < h->cfg.conns_max; i++)
        h->conns[i].fd = -1;
    pthread_mutex_init(&h->conns_lock, NULL);
    pthread_mutex_init(&h->lock, NULL);
    pthread_condattr_init(&by_clock);
    pthread_condattr_setclock(&by_clock, CLOCK_MONOTONIC);
    pthread_cond_init(&h->answered, &by_clock);
    pthread_condattr_destroy(&by_clock);
    h->ask.done = http_asked;
    h->beat.op.done = http_beaten;
    atomic_init(&h->beat_ns, http_clock_ns());
    return h;
}

int http_open(const struct http_config *cfg, struct http **ret_h, char *err_to, size_t cap)
{
    uint16_t port;
    int fd = http_socket(cfg, &port, err_to, cap);
    if (fd < 0)
        return fd;
    struct http *h = http_new(cfg);
    h->port = port;
    h->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL, 0, NULL,
        NULL, http_request, h, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
        h->cfg.conns_max, MHD_OPTION_CONNECTION_TIMEOUT, h->cfg.idle_seconds,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_POOL, MHD_OPTION_NOTIFY_CONNECTION,
        http_conn_told, h, MHD_OPTION_END);
    if (!h->daemon) {
        fmt_into(err_to, cap, "%s: the HTTP server does not start: %s", cfg->listen,
                 strerror(errno));
        close(fd);
        http_free(h);
        return E_IO;
    }
    env_timer_set(h->cfg.env, &h->beat, env_now_ns(h->cfg.env) + http_beat_ns);
    *ret_h = h;
    return 0;
}

uint16_t http_port(const struct http *h)
{
    return h->port;
}

bool http_is_quiet(const struct http *h)
{
    struct http *w = (struct http *)(uintptr_t)h;
    pthread_mutex_lock(&w->lock);
    bool quiet = !w->is_asking;
    pthread_mutex_unlock(&w->lock);
    return quiet;
}

bool http_close(struct http *h)
{
    pthread_mutex_lock(&h->lock);
    h->is_closing = true;
    pthread_cond_broadcast(&h->answered);
    pthread_mutex_unlock(&h->lock);
    env_timer_stop(h->cfg.env, &h->beat);
    if (h->daemon)
        MHD_stop_daemon(h->daemon);
    h->daemon = NULL;
    if (!http_is_quiet(h))
        return false;
    http_free(h);
    return true;
}
