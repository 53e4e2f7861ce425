/* tests/unit/test_net_auth.c - the cluster secret: its file, the handshake as a pure step between
 * two machines and whoever sits between them, and the same over sockets. */
#include <fcntl.h>
#include <sys/stat.h>
#include "core/crc.h"
#include "net/net_auth.h"
#include "tests/unit/test_net_side.h"

#define SECRET_A "a-secret-of-the-cluster-0123456789"
#define SECRET_B "b-secret-of-the-cluster-0123456789"
#define SECRET_C "c-secret-of-the-cluster-0123456789"

/* ---- the file ---- */

static struct net_secrets secrets(const char *text)
{
    struct net_secrets s = {0};
    char err[512] = "";
    if (*text && net_secret_parse(text, strlen(text), &s, err, sizeof err))
        CU_FAIL(err);
    return s;
}

static void test_secret_text(void)
{
    static const struct {
        const char *text;
        unsigned n;
        const char *err;
    } cases[] = {
        {SECRET_A, 1, ""},
        {SECRET_A "\n", 1, ""},
        {"# made by hand\r\n\r\n" SECRET_A "\r\n#\n" SECRET_B "\r\n", 2, ""},
        {SECRET_A "\n" SECRET_B "\n" SECRET_C "\n", 0, "more than two"},
        {"", 0, "no secret"},
        {"# " SECRET_A "\n", 0, "no secret"},
        {"0123456789012345678901234567890\n", 0, "32 to 128 characters, not 31"},
        {SECRET_A SECRET_A SECRET_A SECRET_A, 0, "not 136"},
        {SECRET_A " \n", 0, "without blanks"},
        {"0123456789012345678901234567890\x7f\n", 0, "printable"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct net_secrets s;
        char err[512] = "";
        int ret = net_secret_parse(cases[i].text, strlen(cases[i].text), &s, err, sizeof err);
        CU_ASSERT_EQUAL(ret, cases[i].n ? 0 : E_CONFIG);
        CU_ASSERT_EQUAL(s.n, cases[i].n);
        CU_ASSERT(strstr(err, cases[i].err) != NULL);
        CU_ASSERT(strstr(err, "secret-of") == NULL && strstr(err, "0123456789") == NULL);
        if (cases[i].n) {
            CU_ASSERT_EQUAL(s.len[0], strlen(SECRET_A));
            CU_ASSERT_EQUAL(memcmp(s.key[0], SECRET_A, s.len[0]), 0);
            CU_ASSERT_EQUAL(memcmp(s.key[1], cases[i].n == 2 ? SECRET_B : SECRET_A, s.len[1]), 0);
        }
    }
}

static void test_secret_file(void)
{
    char dir[] = "/tmp/tarn-secret-XXXXXX", path[64], err[512] = "", a[17], b[17];
    struct net_secrets s, t;
    struct stat st;
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
    fmt_into(path, sizeof path, "%s/s", dir);
    CU_ASSERT_EQUAL(net_secret_load(path, &s, err, sizeof err), E_NOENT);
    CU_ASSERT(strstr(err, "tarn secret new") != NULL);
    CU_ASSERT_EQUAL(net_secret_make(path, err, sizeof err), 0);
    CU_ASSERT_EQUAL(net_secret_make(path, err, sizeof err), E_EXIST);
    CU_ASSERT(!stat(path, &st) && (st.st_mode & 07777) == 0600);
    CU_ASSERT_EQUAL(net_secret_load(path, &s, err, sizeof err), 0);
    CU_ASSERT_EQUAL(s.n, 1);
    CU_ASSERT_EQUAL(s.len[0], 64);
    static const mode_t good[] = {0400, 0600, 0440, 0640},
                        bad[] = {0604, 0660, 0644, 0602, 0610, 0601};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        chmod(path, good[i]);
        CU_ASSERT_EQUAL(net_secret_load(path, &s, err, sizeof err), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        chmod(path, bad[i]);
        CU_ASSERT_EQUAL(net_secret_load(path, &t, err, sizeof err), E_ACCES);
        CU_ASSERT_EQUAL(t.n, 0);
        CU_ASSERT(strstr(err, "chmod 600") != NULL);
    }
    net_secret_print(&s, 0, a);
    net_secret_print(&s, 1, b);
    CU_ASSERT_EQUAL(strlen(a), 16);
    CU_ASSERT_STRING_EQUAL(a, b);
    unlink(path);
    CU_ASSERT_EQUAL(net_secret_make(path, err, sizeof err), 0);
    CU_ASSERT_EQUAL(net_secret_load(path, &t, err, sizeof err), 0);
    net_secret_print(&t, 0, b);
    CU_ASSERT(strcmp(a, b) != 0);
    unlink(path);
    CU_ASSERT_EQUAL(net_secret_load(dir, &t, err, sizeof err), E_CONFIG);
    rmdir(dir);
}

/* RFC 4231, test case 2: what the library does is HMAC-SHA256 */
static void test_auth_vector(void)
{
    static const uint8_t want[4] = {0x5b, 0xdc, 0xc1, 0x46}, end[4] = {0x64, 0xec, 0x38, 0x43};
    struct net_secrets s = {.n = 1, .len = {4, 4}, .key = {"Jefe", "Jefe"}};
    uint8_t mac[NET_FRAME_MAC];
    net_auth_mac(&s, 0, "what do ", 8, "ya want ", 8, "for nothing?", 12, mac);
    CU_ASSERT_EQUAL(memcmp(mac, want, 4), 0);
    CU_ASSERT_EQUAL(memcmp(mac + 28, end, 4), 0);
}

/* ---- two machines ---- */

enum { CALLS, ACCEPTS };

struct talk {
    struct net_secrets s[2];
    struct net_auth a[2];
    int64_t ret[2]; /* of the last step: 0 while it waits */
    uint8_t pipe[2][512];
    size_t n[2]; /* waits in the pipe to that side */
    uint8_t seed;
};

static void talk_out(struct talk *t, int from)
{
    struct net_auth *a = &t->a[from];
    memcpy(t->pipe[!from] + t->n[!from], a->out, a->out_n);
    t->n[!from] += a->out_n;
    a->out_n = 0;
}

static void talk_begin(struct talk *t, const char *calls, const char *accepts)
{
    struct net_hello mine = {.version_min = NET_FRAME_VERSION_MIN,
                             .version_max = NET_FRAME_VERSION,
                             .frame_max = ENV_FRAME_MAX,
                             .formats = {1, 1, 4, 5}};
    const char *text[2] = {calls, accepts};
    uint8_t seed = t->seed;
    memset(t, 0, sizeof *t);
    for (int i = 0; i < 2; i++) {
        uint8_t fresh[NET_FRAME_CHALLENGE];
        memset(fresh, ++seed, sizeof fresh);
        t->s[i] = secrets(text[i]);
        net_auth_begin(&t->a[i], i == ACCEPTS, &mine, &t->s[i], fresh);
        talk_out(t, i);
    }
    t->seed = seed;
}

/* what has come for a side, at most n bytes of it */
static void talk_step(struct talk *t, int side, size_t n)
{
    struct net_auth *a = &t->a[side];
    n = n < t->n[side] ? n : t->n[side];
    if (a->state == NET_AUTH_OPEN || a->state == NET_AUTH_DEAD || !n)
        return;
    t->ret[side] = net_auth_take(a, &t->s[side], t->pipe[side], n);
    talk_out(t, side);
    if (t->ret[side] <= 0)
        return;
    t->n[side] -= (size_t)t->ret[side];
    memmove(t->pipe[side], t->pipe[side] + t->ret[side], t->n[side]);
}

static void talk_on(struct talk *t)
{
    for (int i = 0; i < 8; i++)
        talk_step(t, i % 2, sizeof t->pipe[0]);
}

static bool talk_is_open(const struct talk *t)
{
    return t->a[CALLS].state == NET_AUTH_OPEN && t->a[ACCEPTS].state == NET_AUTH_OPEN;
}

static void test_auth_outcomes(void)
{
    static const struct {
        const char *calls, *accepts;
        enum net_auth_fault calls_says, accepts_says;
    } cases[] = {
        {"", "", NET_AUTH_FINE, NET_AUTH_FINE},
        {SECRET_A, SECRET_A, NET_AUTH_FINE, NET_AUTH_FINE},
        {SECRET_A, SECRET_A "\n" SECRET_B, NET_AUTH_FINE, NET_AUTH_FINE},
        {SECRET_B, SECRET_A "\n" SECRET_B, NET_AUTH_FINE, NET_AUTH_FINE},
        {SECRET_A "\n" SECRET_B, SECRET_B, NET_AUTH_FINE, NET_AUTH_FINE},
        {SECRET_A "\n" SECRET_B, SECRET_A, NET_AUTH_FINE, NET_AUTH_FINE},
        {SECRET_A "\n" SECRET_B, SECRET_B "\n" SECRET_C, NET_AUTH_FINE, NET_AUTH_FINE},
        {SECRET_A "\n" SECRET_B, SECRET_C "\n" SECRET_A, NET_AUTH_FINE, NET_AUTH_FINE},
        {SECRET_A, SECRET_B, NET_AUTH_THEY_REFUSE, NET_AUTH_WRONG},
        {SECRET_A, SECRET_A "x", NET_AUTH_THEY_REFUSE, NET_AUTH_WRONG},
        {SECRET_A, SECRET_B "\n" SECRET_C, NET_AUTH_THEY_REFUSE, NET_AUTH_WRONG},
        {SECRET_A "\n" SECRET_B, SECRET_C, NET_AUTH_THEY_REFUSE, NET_AUTH_WRONG},
        {SECRET_A, "", NET_AUTH_ONLY_WE, NET_AUTH_ONLY_THEY},
        {"", SECRET_A, NET_AUTH_ONLY_THEY, NET_AUTH_ONLY_WE},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct talk t = {.seed = (uint8_t)i};
        talk_begin(&t, cases[i].calls, cases[i].accepts);
        talk_on(&t);
        bool good = cases[i].calls_says == NET_AUTH_FINE;
        CU_ASSERT_EQUAL(talk_is_open(&t), good);
        CU_ASSERT_EQUAL(t.a[CALLS].fault, cases[i].calls_says);
        CU_ASSERT_EQUAL(t.a[ACCEPTS].fault, cases[i].accepts_says);
        if (!good)
            CU_ASSERT(t.ret[CALLS] == E_AUTH && t.ret[ACCEPTS] == E_AUTH);
        for (int k = 0; k < 2; k++)
            CU_ASSERT(memmem(t.pipe[k], sizeof t.pipe[k], "secret", 6) == NULL);
    }
}

/* nothing is decided by a part of a message, and nothing but its bytes is used */
static void test_auth_byte_by_byte(void)
{
    struct talk t = {0};
    talk_begin(&t, SECRET_A, SECRET_A);
    talk_step(&t, CALLS, sizeof t.pipe[0]);
    for (size_t n = 1; n < NET_FRAME_HELLO; n++) {
        talk_step(&t, ACCEPTS, n);
        CU_ASSERT(t.ret[ACCEPTS] == 0 && t.a[ACCEPTS].state == NET_AUTH_HELLO);
    }
    talk_step(&t, ACCEPTS, NET_FRAME_HELLO);
    CU_ASSERT_EQUAL(t.ret[ACCEPTS], NET_FRAME_HELLO);
    CU_ASSERT_EQUAL(t.n[CALLS], 0); /* who accepts proves nothing to who has proved nothing */
    for (size_t n = 1; n < NET_FRAME_PROOF; n++) {
        talk_step(&t, ACCEPTS, n);
        CU_ASSERT(t.ret[ACCEPTS] == 0 && t.a[ACCEPTS].state == NET_AUTH_PROOF);
    }
    CU_ASSERT_EQUAL(t.n[CALLS], 0);
    talk_step(&t, ACCEPTS, NET_FRAME_PROOF);
    CU_ASSERT_EQUAL(t.a[ACCEPTS].state, NET_AUTH_OPEN);
    for (size_t n = 1; n < NET_FRAME_VERDICT; n++) {
        talk_step(&t, CALLS, n);
        CU_ASSERT(t.ret[CALLS] == 0 && t.a[CALLS].state == NET_AUTH_VERDICT);
    }
    talk_step(&t, CALLS, NET_FRAME_VERDICT);
    CU_ASSERT(talk_is_open(&t));
}

/* every bit of every message counts; but for the padding of a hello nothing stays unnoticed */
static void test_auth_flipped(void)
{
    for (int side = 0; side < 2; side++) {
        size_t bits = 8 * (side == ACCEPTS ? NET_FRAME_PROOF : NET_FRAME_VERDICT), accepted = 0;
        for (size_t bit = 0; bit < bits; bit++) {
            struct talk t = {0};
            talk_begin(&t, SECRET_A, SECRET_A);
            talk_step(&t, CALLS, sizeof t.pipe[0]);
            talk_step(&t, ACCEPTS, NET_FRAME_HELLO);
            if (side == CALLS)
                talk_step(&t, ACCEPTS, NET_FRAME_PROOF);
            t.pipe[side][bit / 8] ^= (uint8_t)(1 << bit % 8);
            talk_step(&t, side, sizeof t.pipe[0]);
            accepted += t.a[side].state == NET_AUTH_OPEN;
            CU_ASSERT(t.a[side].state == NET_AUTH_OPEN || t.ret[side] == E_AUTH);
        }
        /* of two equal macs one is enough */
        CU_ASSERT_EQUAL(accepted, side == ACCEPTS ? bits : 0);
    }
}

/* Somebody between changes a hello, with a right checksum: to an older version, another cluster,
 * other formats, another challenge, or what means nothing yet. */
static void test_auth_hello_is_proven(void)
{
    for (int to = 0; to < 2; to++)
        for (size_t at = 0; at < 124; at++) {
            struct talk t = {0};
            talk_begin(&t, SECRET_A, SECRET_A);
            uint8_t *h = t.pipe[to];
            h[at] ^= 1;
            base_put_u32(h + 124, crc_update(0, h, 124));
            talk_on(&t);
            CU_ASSERT(t.ret[to] < 0);
            CU_ASSERT(t.a[CALLS].state != NET_AUTH_OPEN && t.a[ACCEPTS].state != NET_AUTH_OPEN);
        }
}

/* what was proved on one connection, said again on another */
static void test_auth_replayed(void)
{
    struct talk t = {0}, u;
    uint8_t hello[NET_FRAME_HELLO], proof[NET_FRAME_PROOF], verdict[NET_FRAME_VERDICT];
    talk_begin(&t, SECRET_A, SECRET_A);
    memcpy(hello, t.pipe[ACCEPTS], sizeof hello);
    talk_step(&t, CALLS, sizeof t.pipe[0]);
    memcpy(proof, t.pipe[ACCEPTS] + NET_FRAME_HELLO, sizeof proof);
    talk_step(&t, ACCEPTS, NET_FRAME_HELLO);
    talk_step(&t, ACCEPTS, NET_FRAME_PROOF);
    memcpy(verdict, t.pipe[CALLS], sizeof verdict);
    talk_step(&t, CALLS, sizeof t.pipe[0]);
    CU_ASSERT(talk_is_open(&t));

    u.seed = t.seed; /* the same caller, to all appearance, and a fresh challenge of the other */
    talk_begin(&u, SECRET_A, SECRET_A);
    memcpy(u.pipe[ACCEPTS], hello, sizeof hello);
    memcpy(u.pipe[ACCEPTS] + sizeof hello, proof, sizeof proof);
    u.n[ACCEPTS] = sizeof hello + sizeof proof;
    talk_step(&u, ACCEPTS, sizeof u.pipe[0]);
    talk_step(&u, ACCEPTS, sizeof u.pipe[0]);
    CU_ASSERT_EQUAL(u.ret[ACCEPTS], E_AUTH);
    CU_ASSERT_EQUAL(u.a[ACCEPTS].fault, NET_AUTH_WRONG);

    talk_begin(&u, SECRET_A, SECRET_A); /* and an old verdict */
    talk_step(&u, CALLS, sizeof u.pipe[0]);
    memcpy(u.pipe[CALLS], verdict, sizeof verdict);
    u.n[CALLS] = sizeof verdict;
    talk_step(&u, CALLS, sizeof u.pipe[0]);
    CU_ASSERT_EQUAL(u.ret[CALLS], E_AUTH);
}

/* somebody without the secret answers a caller with what the caller itself said */
static void test_auth_reflected(void)
{
    struct talk t = {0};
    talk_begin(&t, SECRET_A, SECRET_A);
    memcpy(t.pipe[CALLS], t.pipe[ACCEPTS], NET_FRAME_HELLO); /* its hello: it knows its challenge */
    talk_step(&t, CALLS, sizeof t.pipe[0]);
    CU_ASSERT_EQUAL(t.ret[CALLS], E_REFUSED);

    talk_begin(&t, SECRET_A, SECRET_A);
    talk_step(&t, CALLS, sizeof t.pipe[0]);
    const uint8_t *proof = t.pipe[ACCEPTS] + NET_FRAME_HELLO;
    memset(t.pipe[CALLS], 0, 8); /* its proof: that of the other role */
    memcpy(t.pipe[CALLS] + 8, proof, NET_FRAME_MAC);
    t.n[CALLS] = NET_FRAME_VERDICT;
    talk_step(&t, CALLS, sizeof t.pipe[0]);
    CU_ASSERT_EQUAL(t.ret[CALLS], E_AUTH);
    CU_ASSERT_EQUAL(t.a[CALLS].fault, NET_AUTH_WRONG);
}

/* ---- over sockets ---- */

static char side_dir[] = "/tmp/tarn-auth-XXXXXX";

static const char *secret_write(const char *name, const char *text)
{
    static char path[4][64];
    static int next;
    char *p = path[next++ % 4], fresh[80];
    if (access(side_dir, F_OK))
        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(side_dir));
    fmt_into(p, sizeof path[0], "%s/%s", side_dir, name);
    fmt_into(fresh, sizeof fresh, "%s.new", p);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CU_ASSERT(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    rename(fresh, p);
    return p;
}

static void secret_clean(void)
{
    char cmd[64];
    fmt_into(cmd, sizeof cmd, "rm -r %s", side_dir);
    CU_ASSERT_EQUAL(system(cmd), 0);
    memcpy(strrchr(side_dir, '-'), "-XXXXXX", 7);
}

static void auth_init(struct side *s, const char *node, const char *text)
{
    side_init_with(s, (struct net_config){.node = node,
                                          .secret_file = *text ? secret_write(node, text) : NULL});
}

static void expect_log(struct side *a, struct side *b, struct side *where, const char *text)
{
    for (int i = 0; i < 10000 && !strstr(where->log, text); i++)
        drive_ms(a, b, 1);
    CU_ASSERT(strstr(where->log, text) != NULL);
    CU_ASSERT(strstr(where->log, "secret-of-the") == NULL);
}

static void test_auth_over_tcp(void)
{
    static const struct {
        const char *calls, *accepts, *calls_log, *accepts_log;
    } cases[] = {
        {SECRET_A, SECRET_A, NULL, NULL},
        {SECRET_A, SECRET_B "\n" SECRET_A, NULL, NULL},
        {SECRET_A, SECRET_B, "refuses this node", "has another cluster secret"},
        {SECRET_A, "", "has no cluster secret", "this node has none"},
        {"", SECRET_A, "this node has none", "has no cluster secret"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct side a, b;
        int64_t ret;
        struct net_stats st;
        uint32_t zero = 0;
        auth_init(&a, "a", cases[i].calls);
        auth_init(&b, "b", cases[i].accepts);
        uint16_t port = side_listen(&b, "127.0.0.1:0", &ret);
        ret = side_connect(&a, &b, port);
        CU_ASSERT_EQUAL(ret, cases[i].calls_log ? E_AUTH : 0);
        if (!ret) {
            send_n(&a, 4, &zero);
            CU_ASSERT(drive_frames(&a, &b, &b.frames, 1));
            send_n(&b, 4, &zero);
            CU_ASSERT(drive_frames(&a, &b, &a.frames, 1));
        } else {
            expect_log(&a, &b, &a, cases[i].calls_log);
            expect_log(&a, &b, &b, cases[i].accepts_log);
            CU_ASSERT(strstr(a.log, "127.0.0.1:") && strstr(b.log, "127.0.0.1:"));
            net_stats(b.net, &st);
            CU_ASSERT_EQUAL(st.unauthorised, 1);
            CU_ASSERT_EQUAL(st.conns, 0);
            CU_ASSERT(!b.opened);
        }
        pair_close(&a, &b);
        secret_clean();
    }
}

/* two masters, of whose journals' formats none fits both; and a client, to whom it is all the same
 */
static void test_auth_formats_over_tcp(void)
{
    struct side a, b, c;
    int64_t ret;
    const char *secret = secret_write("s", SECRET_A);
    side_init_with(
        &a, (struct net_config){.node = "a", .secret_file = secret, .formats = {1, 1, 4, 5}});
    side_init_with(
        &b, (struct net_config){.node = "b", .secret_file = secret, .formats = {2, 3, 5, 6}});
    side_init_with(&c, (struct net_config){.node = "c", .secret_file = secret});
    uint16_t port = side_listen(&b, "127.0.0.1:0", &ret);
    CU_ASSERT_EQUAL(side_connect(&a, &b, port), E_VERSION);
    expect_log(&a, &b, &a, "2..2 (log 2..3, image 5..6), this node 2..2 (1..1, 4..5)");
    expect_log(&a, &b, &b, "2..2 (log 1..1, image 4..5), this node 2..2 (2..3, 5..6)");
    CU_ASSERT_EQUAL(side_connect(&c, &b, port), 0);
    net_close(c.net);
    pair_close(&a, &b);
    secret_clean();
}

/* in step with a caller without the secret: what it says after its hello */
static void test_auth_nothing_before_proof(void)
{
    static uint8_t mem[64], m[NET_FRAME_HELLO + 512];
    struct side b;
    struct env_region r;
    struct env_key key;
    struct net_stats st;
    int64_t ret;
    auth_init(&b, "b", SECRET_A);
    env_share(b.e, mem, sizeof mem, &r, &key);
    uint16_t port = side_listen(&b, "127.0.0.1:0", &ret);
    struct net_hello h = {.version_min = NET_FRAME_VERSION,
                          .version_max = NET_FRAME_VERSION,
                          .frame_max = ENV_FRAME_MAX,
                          .features = NET_HELLO_SECRET};
    net_frame_hello_encode(&h, m);
    for (int i = 0; i < 4; i++) { /* writes into a region whose key it knows */
        struct net_frame f = {.kind = NET_FRAME_WRITE, .length = 64, .token = key.token};
        net_frame_encode(&f, m + NET_FRAME_HELLO + i * 96);
        memset(m + NET_FRAME_HELLO + i * 96 + 32, 0xff, 64);
    }
    int fd = raw_connect(port);
    drive_ms(&b, NULL, 1);
    CU_ASSERT_EQUAL(send(fd, m, sizeof m, MSG_NOSIGNAL), (ssize_t)sizeof m);
    /* its hello, and a verdict without a proof; or less, when the kernel answers by a reset */
    CU_ASSERT(raw_read_all(&b, fd) <= NET_FRAME_HELLO + NET_FRAME_VERDICT);
    close(fd);
    CU_ASSERT_EQUAL(mem[0], 0);
    CU_ASSERT(!b.opened);
    net_stats(b.net, &st);
    CU_ASSERT_EQUAL(st.rma_in + st.frames_in, 0);
    CU_ASSERT_EQUAL(st.unauthorised, 1);
    net_close(b.net);
    secret_clean();
}

/* a byte now and then moves no deadline, before the hello and after it */
static void test_auth_slow_caller(void)
{
    for (int part = 0; part < 2; part++) {
        struct side b;
        int64_t ret;
        uint8_t m[NET_FRAME_HELLO], junk[4096];
        side_init_with(&b, (struct net_config){.node = "b",
                                               .hello_timeout_ns = SEC / 2,
                                               .secret_file = secret_write("b", SECRET_A)});
        uint16_t port = side_listen(&b, "127.0.0.1:0", &ret);
        struct net_hello h = {.version_min = NET_FRAME_VERSION,
                              .version_max = NET_FRAME_VERSION,
                              .frame_max = ENV_FRAME_MAX,
                              .features = NET_HELLO_SECRET};
        net_frame_hello_encode(&h, m);
        int fd = raw_connect(port);
        drive_ms(&b, NULL, 1);
        if (part)
            CU_ASSERT_EQUAL(send(fd, m, sizeof m, MSG_NOSIGNAL), (ssize_t)sizeof m);
        int64_t t0 = now_ns(), end = t0 + 30LL * SEC;
        size_t sent = 0;
        ssize_t r = 1;
        while (now_ns() < end) {
            drive_ms(&b, NULL, 10);
            if (sent < 60 && send(fd, m + sent, 1, MSG_NOSIGNAL) == 1)
                sent++;
            r = recv(fd, junk, sizeof junk, MSG_DONTWAIT);
            if (!r || (r < 0 && errno != EAGAIN))
                break;
        }
        CU_ASSERT(now_ns() < end);
        CU_ASSERT(strstr(b.log, part ? "did not prove in time" : "sent no hello in time") != NULL);
        CU_ASSERT(!b.opened);
        close(fd);
        net_close(b.net);
        secret_clean();
    }
}

/* more strangers than may be: the oldest go, and who is honest gets in */
static void test_auth_flood(void)
{
    enum { MOST = 8, FLOOD = 40 };
    struct side a, b;
    int64_t ret;
    int fd[FLOOD];
    struct net_stats st;
    auth_init(&a, "a", SECRET_A);
    side_init_with(&b, (struct net_config){.node = "b",
                                           .max_greeting = MOST,
                                           .secret_file = secret_write("b", SECRET_A)});
    uint16_t port = side_listen(&b, "127.0.0.1:0", &ret);
    for (int i = 0; i < FLOOD; i++) {
        fd[i] = raw_connect(port);
        drive_ms(&b, NULL, 1);
        net_stats(b.net, &st);
        CU_ASSERT(st.conns <= MOST);
    }
    for (int64_t end = now_ns() + 30LL * SEC; st.closed < FLOOD - MOST && now_ns() < end;) {
        drive_ms(&b, NULL, 1);
        net_stats(b.net, &st);
    }
    CU_ASSERT_EQUAL(st.closed, FLOOD - MOST);
    CU_ASSERT_EQUAL(st.conns, MOST);
    CU_ASSERT(strstr(b.log, "does something flood this port?") != NULL);
    CU_ASSERT_EQUAL(side_connect(&a, &b, port), 0);
    CU_ASSERT(drive(&b, &a, &b.opened));
    for (int i = 0; i < FLOOD; i++)
        close(fd[i]);
    for (int64_t end = now_ns() + 30LL * SEC; st.conns != 1 && now_ns() < end;) {
        drive_ms(&b, &a, 1);
        net_stats(b.net, &st);
    }
    CU_ASSERT_EQUAL(st.conns, 1);
    pair_close(&a, &b);
    secret_clean();
}

/* from one secret to another while both run: both, then the new one; each is read from its file */
static void test_auth_rotation(void)
{
    static const char *const steps[][2] = {{SECRET_A, SECRET_A},
                                           {SECRET_A "\n" SECRET_B, SECRET_A},
                                           {SECRET_A "\n" SECRET_B, SECRET_A "\n" SECRET_B},
                                           {SECRET_B, SECRET_A "\n" SECRET_B},
                                           {SECRET_B, SECRET_B},
                                           {SECRET_B, "short\n"},
                                           {SECRET_A, SECRET_B}};
    struct side a, b;
    int64_t ret;
    auth_init(&a, "a", steps[0][0]);
    auth_init(&b, "b", steps[0][1]);
    uint16_t port = side_listen(&b, "127.0.0.1:0", &ret);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        bool is_last = i == ARRAY_LEN(steps) - 1;
        secret_write("a", steps[i][0]);
        secret_write("b", steps[i][1]);
        drive_ms(&a, &b, i ? 1100 : 0); /* looked at once a second */
        b.opened = b.closed = a.closed = false;
        CU_ASSERT_EQUAL(side_connect(&a, &b, port), is_last ? E_AUTH : 0);
        if (is_last)
            break;
        CU_ASSERT(drive(&b, &a, &b.opened));
        env_hangup(a.peer.conn);
        CU_ASSERT(drive(&b, &a, &b.closed));
    }
    CU_ASSERT(strstr(b.log, "two are accepted") && strstr(b.log, "one is accepted"));
    CU_ASSERT(strstr(b.log, "what was read before stays in force") != NULL);
    pair_close(&a, &b);
    secret_clean();
}

static void test_auth_other_addresses(void)
{
    struct side a, b;
    int64_t ret;
    struct wait w = {.op.done = wait_done};
    auth_init(&a, "a", "");
    side_listen(&a, "0.0.0.0:0", &ret);
    CU_ASSERT_EQUAL(ret, E_CONFIG);
    side_listen(&a, "[::]:0", &ret);
    CU_ASSERT_EQUAL(ret, E_CONFIG);
    CU_ASSERT(strstr(a.log, "tarn secret new") != NULL);
    a.log[0] = 0;
    /* no packet leaves: an address that nobody has would answer by a time-out */
    env_connect(a.e, "192.0.2.1:7700", 20LL * SEC, &a.peer, &w.op);
    CU_ASSERT(drive(&a, NULL, &w.done));
    CU_ASSERT_EQUAL(w.op.ret, E_CONFIG);
    CU_ASSERT(strstr(a.log, "tarn secret new") != NULL);
    auth_init(&b, "b", SECRET_A);
    CU_ASSERT(side_listen(&b, "0.0.0.0:0", &ret) != 0);
    CU_ASSERT_EQUAL(ret, 0);
    pair_close(&a, &b);
    secret_clean();
}

static void test_auth_file_must_be_good(void)
{
    struct net *net;
    struct side s = {0};
    struct net_config c = {.node = "a", .log = side_log, .log_ctx = &s};
    c.secret_file = "/nonexistent/secret";
    CU_ASSERT_EQUAL(net_open(&c, &net), E_NOENT);
    c.secret_file = secret_write("a", "short\n");
    CU_ASSERT_EQUAL(net_open(&c, &net), E_CONFIG);
    CU_ASSERT(strstr(s.log, "tarn secret new") && strstr(s.log, "32 to 128"));
    secret_clean();
}

UNIT_MAIN("net_auth", UNIT(test_secret_text), UNIT(test_secret_file), UNIT(test_auth_vector),
          UNIT(test_auth_outcomes), UNIT(test_auth_byte_by_byte), UNIT(test_auth_flipped),
          UNIT(test_auth_hello_is_proven), UNIT(test_auth_replayed), UNIT(test_auth_reflected),
          UNIT(test_auth_over_tcp), UNIT(test_auth_formats_over_tcp),
          UNIT(test_auth_nothing_before_proof), UNIT(test_auth_slow_caller), UNIT(test_auth_flood),
          UNIT(test_auth_rotation), UNIT(test_auth_other_addresses),
          UNIT(test_auth_file_must_be_good))
