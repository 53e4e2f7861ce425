/* bench/etcd_main.c - a client of etcd that makes load: the gRPC call Put, unary, over one HTTP/2
 * connection, by libnghttp2.
 *
 *     bench-etcd PORT      (of a server on this host; told by lines, see bench_load.h)
 *
 * "leads" asks that server by a Status call.  Each outstanding request has a key of its own.  No
 * gRPC library, no threads, requests of a turn leave as one write: as little in the client's way as
 * in that of ours.  Built only where the library is. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "bench/bench_load.h"

enum { OUT_MAX = 1 << 20, BODY_MAX = BENCH_LOAD_SIZE_MAX + 64 };

struct request {
    int64_t began_ns;
    uint32_t len, sent;
    int slot;
    bool ok;
    uint8_t *body;
};

static struct client {
    int fd;
    nghttp2_session *session;
    struct bench_load load;
    struct request req[BENCH_LOAD_DEPTH_MAX];
    bool load_over;
    const char *err;
    uint8_t out[OUT_MAX];
    char authority[32];
    /* of the last Status call */
    uint8_t reply[4096];
    uint32_t reply_len;
    bool is_status;
} client;

static uint32_t put_varint(uint8_t *to, uint64_t v)
{
    uint32_t n = 0;
    for (; v >= 128; v >>= 7)
        to[n++] = (uint8_t)(v | 128);
    to[n++] = (uint8_t)v;
    return n;
}

/* a gRPC message of a PutRequest: key = 1, value = 2, both bytes */
static void request_body(struct request *r, int size)
{
    char key[32];
    uint8_t *p = r->body + 5;
    uint32_t key_len = (uint32_t)snprintf(key, sizeof key, "bench/%d", r->slot), n = 0;
    p[n++] = 0x0a;
    n += put_varint(p + n, key_len);
    memcpy(p + n, key, key_len);
    n += key_len;
    p[n++] = 0x12;
    n += put_varint(p + n, (uint64_t)size);
    memset(p + n, 7, (size_t)size);
    n += (uint32_t)size;
    r->body[0] = 0;
    for (int i = 0; i < 4; i++)
        r->body[1 + i] = (uint8_t)(n >> (24 - 8 * i));
    r->len = n + 5;
}

static ssize_t request_read(nghttp2_session *s, int32_t stream, uint8_t *buf, size_t cap,
                            uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct request *r = source->ptr;
    (void)s, (void)stream, (void)user;
    size_t n = r->len - r->sent < cap ? r->len - r->sent : cap;
    memcpy(buf, r->body + r->sent, n);
    r->sent += (uint32_t)n;
    if (r->sent == r->len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

#define HEADER(n, v)                                                     \
    {                                                                    \
        (uint8_t *)(n), (uint8_t *)(v), strlen(n), strlen(v),            \
            NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE \
    }

static void request_send(struct request *r, const char *path)
{
    nghttp2_nv h[] = {HEADER(":method", "POST"),
                      HEADER(":scheme", "http"),
                      HEADER(":path", path),
                      HEADER(":authority", client.authority),
                      HEADER("content-type", "application/grpc"),
                      HEADER("te", "trailers")};
    nghttp2_data_provider data = {.source.ptr = r, .read_callback = request_read};
    r->sent = 0;
    r->ok = false;
    r->began_ns = bench_load_now_ns();
    if (nghttp2_submit_request(client.session, NULL, h, sizeof h / sizeof *h, &data, r) < 0)
        client.err = "submit";
}

static int on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    (void)flags, (void)user;
    struct request *r = nghttp2_session_get_stream_user_data(s, frame->hd.stream_id);
    if (r && name_len == 11 && !memcmp(name, "grpc-status", 11))
        r->ok = value_len == 1 && *value == '0';
    return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t len, void *user)
{
    (void)s, (void)flags, (void)stream, (void)user;
    for (size_t i = 0; client.is_status && i < len && client.reply_len < sizeof client.reply; i++)
        client.reply[client.reply_len++] = data[i];
    return 0;
}

static int on_close(nghttp2_session *s, int32_t stream, uint32_t code, void *user)
{
    struct request *r = nghttp2_session_get_stream_user_data(s, stream);
    (void)user;
    if (!r)
        return 0;
    if ((code || !r->ok) && !client.err) {
        client.err = "a call failed";
        client.load.end_ns = 0;
    }
    if (client.is_status)
        client.load_over = true;
    else if (bench_load_done(&client.load, r->began_ns))
        request_send(r, "/etcdserverpb.KV/Put");
    else
        client.load_over = !client.load.busy;
    return 0;
}

static bool client_write(void)
{
    size_t n = 0;
    for (;;) {
        const uint8_t *p;
        ssize_t got = nghttp2_session_mem_send(client.session, &p);
        if (got < 0 || got > OUT_MAX)
            return false;
        if (got == 0 || n + (size_t)got > OUT_MAX) {
            for (size_t at = 0; at < n;) {
                ssize_t w = write(client.fd, client.out + at, n - at);
                if (w <= 0)
                    return false;
                at += (size_t)w;
            }
            n = 0;
        }
        if (got == 0)
            return true;
        memcpy(client.out + n, p, (size_t)got);
        n += (size_t)got;
    }
}

/* until the load, or the one call, is over */
static bool client_run(void)
{
    static uint8_t in[1 << 18];
    client.load_over = false;
    while (!client.load_over) {
        if (!client_write())
            return false;
        ssize_t n = read(client.fd, in, sizeof in);
        if (n <= 0 || nghttp2_session_mem_recv(client.session, in, (size_t)n) < 0)
            return false;
    }
    return client_write();
}

static bool client_open(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((uint16_t)port)};
    int one = 1;
    nghttp2_session_callbacks *cb;
    nghttp2_option *option;
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20},
                                         {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
    client.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(client.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(client.fd, (struct sockaddr *)&a, sizeof a))
        return false;
    snprintf(client.authority, sizeof client.authority, "127.0.0.1:%d", port);
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    nghttp2_option_new(&option);
    nghttp2_option_set_peer_max_concurrent_streams(option, 4096);
    if (nghttp2_session_client_new2(&client.session, cb, NULL, option))
        return false;
    nghttp2_session_set_local_window_size(client.session, NGHTTP2_FLAG_NONE, 0, 1 << 24);
    return !nghttp2_submit_settings(client.session, NGHTTP2_FLAG_NONE, settings, 2);
}

static uint64_t field(const uint8_t *p, uint32_t n, unsigned want, uint32_t *ret_at,
                      uint32_t *ret_len)
{
    uint32_t i = 0;
    while (i < n) {
        unsigned key = p[i++], shift = 0;
        uint64_t v = 0;
        while (i < n) {
            v |= (uint64_t)(p[i] & 127) << shift;
            shift += 7;
            if (!(p[i++] & 128) || shift > 63)
                break;
        }
        bool bytes = (key & 7) == 2;
        if (bytes && v > n - i)
            return 0;
        if (key >> 3 == want) {
            *ret_at = i;
            *ret_len = bytes ? (uint32_t)v : 0;
            return v;
        }
        i += bytes ? (uint32_t)v : 0;
    }
    return 0;
}

/* StatusResponse: header = 1 {cluster_id 1, member_id 2}, leader = 4 */
static bool client_leads(void)
{
    static struct request r;
    static uint8_t empty[5];
    uint32_t at = 0, len = 0, none;
    r = (struct request){.body = empty, .len = 5};
    client.is_status = true;
    client.reply_len = 0;
    request_send(&r, "/etcdserverpb.Maintenance/Status");
    bool ok = client_run() && r.ok && client.reply_len > 5;
    client.is_status = false;
    client.err = NULL;
    if (!ok)
        return false;
    const uint8_t *p = client.reply + 5;
    uint32_t n = client.reply_len - 5;
    uint64_t leader = field(p, n, 4, &none, &none);
    return field(p, n, 1, &at, &len) && leader && field(p + at, len, 2, &none, &none) == leader;
}

static void client_load(void)
{
    client.err = NULL;
    for (int i = 0; i < client.load.depth; i++) {
        struct request *r = &client.req[i];
        r->slot = i;
        if (!r->body && !(r->body = malloc(BODY_MAX)))
            _exit(1);
        request_body(r, client.load.size);
        request_send(r, "/etcdserverpb.KV/Put");
    }
    if (!client_run()) {
        bench_load_failed("connection lost");
        _exit(1);
    }
    if (client.err)
        bench_load_failed("%s", client.err);
    else
        bench_load_print(&client.load);
}

int main(int argc, char **argv)
{
    char line[256];
    if (argc != 2) {
        fprintf(stderr, "usage: bench-etcd PORT\n");
        return 2;
    }
    if (!client_open(atoi(argv[1]))) {
        fprintf(stderr, "bench-etcd: %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    while (fgets(line, sizeof line, stdin)) {
        if (!strncmp(line, "leads", 5)) {
            printf("leads %d\n", client_leads());
            fflush(stdout);
        } else if (bench_load_parse(&client.load, line)) {
            client_load();
        } else {
            bench_load_failed("not understood: %s", line);
        }
    }
    return 0;
}
