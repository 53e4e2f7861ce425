/* cluster/cli_zk_look.c - `tarn zk`: ZooKeeper as the masters see it.
 *
 *   ping             every server by itself: does it answer, how fast
 *   ls, get, stat    the nodes below the path of journal.zk.connect
 *
 * Each begins a session of its own and closes it; nothing is written. */
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include "cluster/cli_zk.h"

static const int64_t look_timeout_ns = 5000000000LL;
static const int64_t look_session_ns = 10000000000LL;

struct look {
    struct cli *cli;
    struct cli_zk_ask ask;
    int64_t timeout_ns;
    const char *connect;
    char path[ZK_PATH_MAX];
};

/* "a/b", "/a/b/" -> "/a/b" */
static int look_path(struct look *l, const char *text)
{
    size_t n = (size_t)snprintf(l->path, sizeof l->path, "%s%s", *text == '/' ? "" : "/", text);
    if (n >= sizeof l->path)
        return cli_error(l->cli, CLI_USAGE, "the path is longer than %d bytes", ZK_PATH_MAX);
    while (n > 1 && l->path[n - 1] == '/')
        l->path[--n] = 0;
    const char *wrong = n > 1 ? zk_proto_path_wrong(l->path, n, false) : NULL;
    return wrong ? cli_error(l->cli, CLI_USAGE, "the path \"%s\" %s", l->path, wrong) : CLI_OK;
}

static int look_open(struct look *l, struct cli *c)
{
    memset(l, 0, sizeof *l);
    l->cli = c;
    l->connect = cli_value(c, "connect", config_str(c->config, CONFIG_JOURNAL_ZK_CONNECT));
    if (!cli_duration(c, "timeout", look_timeout_ns, &l->timeout_ns))
        return CLI_USAGE;
    if (!*l->connect)
        return cli_error(
            c, CLI_CONFIG,
            "journal.zk.connect is not set: --connect HOST:PORT[,HOST:PORT...][/PATH]");
    int code = look_path(l, c->n_args ? c->args[0] : "/");
    return code ? code : cli_zk_ask_open(&l->ask, c);
}

/* one call below the path; CLI_OK or an exit code, and the session still is there */
static int look_call(struct look *l, int32_t what)
{
    struct zk_call call = {.what = what, .path = l->path};
    int code = cli_zk_ask_begin(&l->ask, l->connect, look_session_ns);
    if (code)
        return code;
    int err = cli_zk_ask_call(&l->ask, &call, l->timeout_ns);
    return err ? cli_zk_ask_fails(&l->ask, l->path, err) : CLI_OK;
}

/* --- ls --- */

static int look_by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void look_names(struct look *l)
{
    struct zk_list kids = l->ask.call.reply.children;
    uint32_t n = kids.n, have = 0, len;
    char **names = calloc(n + 1, sizeof *names);
    const char *text;
    struct cli_json_list list = {0};
    ASSERT(names);
    while (have < n && zk_proto_text_next(&kids, &text, &len))
        names[have++] = strndup(text, len);
    qsort(names, have, sizeof *names, look_by_name);
    for (uint32_t i = 0; i < have; i++) {
        if (l->cli->json)
            cli_json_item(&list, cJSON_CreateString(names[i]));
        else
            printf("%s\n", names[i]);
        free(names[i]);
    }
    if (l->cli->json)
        cli_json_end(&list);
    free(names);
}

static int cli_zk_ls_run(struct cli *c)
{
    static struct look l;
    int code = look_open(&l, c);
    if (code)
        return code;
    code = look_call(&l, ZK_OP_GET_CHILDREN2);
    if (!code)
        look_names(&l);
    cli_zk_ask_close(&l.ask);
    return code;
}

/* --- get, stat --- */

static const char *look_time(char to[40], int64_t ms)
{
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    size_t n = strftime(to, 32, "%Y-%m-%dT%H:%M:%S", gmtime_r(&s, &tm));
    snprintf(to + n, 40 - n, ".%03dZ", (int)(ms % 1000));
    return to;
}

static cJSON *look_stat_json(const char *path, const struct zk_stat *s)
{
    cJSON *j = cJSON_CreateObject();
    char owner[24], text[40];
    snprintf(owner, sizeof owner, "0x%" PRIx64, (uint64_t)s->owner);
    cJSON_AddStringToObject(j, "path", path);
    cli_json_i64(j, "czxid", s->czxid);
    cli_json_i64(j, "mzxid", s->mzxid);
    cli_json_i64(j, "pzxid", s->pzxid);
    cJSON_AddStringToObject(j, "created", look_time(text, s->ctime_ms));
    cJSON_AddStringToObject(j, "changed", look_time(text, s->mtime_ms));
    cJSON_AddNumberToObject(j, "version", s->version);
    cJSON_AddNumberToObject(j, "child_version", s->cversion);
    cJSON_AddNumberToObject(j, "acl_version", s->aversion);
    cJSON_AddBoolToObject(j, "ephemeral", s->owner != 0);
    cJSON_AddStringToObject(j, "owner", owner);
    cJSON_AddNumberToObject(j, "bytes", s->data_len);
    cJSON_AddNumberToObject(j, "children", s->children);
    return j;
}

static int cli_zk_get_run(struct cli *c)
{
    static struct look l;
    int code = look_open(&l, c);
    if (code)
        return code;
    code = look_call(&l, ZK_OP_GET_DATA);
    const struct zk_reply *r = &l.ask.call.reply;
    if (!code && c->json) {
        cJSON *j = look_stat_json(l.path, &r->stat);
        char *text = strndup(r->data ? (const char *)r->data : "", r->data_len);
        cJSON_AddStringToObject(j, "data", text);
        free(text);
        cli_print_json(j);
    } else if (!code && r->data_len) {
        cli_printed_raw();
        fwrite(r->data, 1, r->data_len, stdout);
        if (((const char *)r->data)[r->data_len - 1] != '\n')
            putchar('\n');
    }
    cli_zk_ask_close(&l.ask);
    return code;
}

static int cli_zk_stat_run(struct cli *c)
{
    static struct look l;
    int code = look_open(&l, c);
    if (code)
        return code;
    code = look_call(&l, ZK_OP_EXISTS);
    if (!code) {
        cJSON *j = look_stat_json(l.path, &l.ask.call.reply.stat), *f;
        if (c->json) {
            cli_print_json(j);
        } else {
            cJSON_ArrayForEach(f, j)
            {
                char *v = cJSON_PrintUnformatted(f);
                bool is_text = cJSON_IsString(f);
                printf("%-14s %s\n", f->string, is_text ? f->valuestring : v);
                free(v);
            }
            cJSON_Delete(j);
        }
    }
    cli_zk_ask_close(&l.ask);
    return code;
}

/* --- ping --- */

struct look_server {
    const char *addr;
    int err; /* of the session, or of the first call */
    int why; /* what the client was told */
    int64_t begun_ns, call_ns, session_ns, zxid;
    bool has_path;
};

/* a session with that server alone, one call that every server must ask the leader for, one look */
static void look_server(struct look *l, const struct zk_address *at, struct look_server *s)
{
    struct zk_call sync = {.what = ZK_OP_SYNC, .path = "/"};
    struct zk_call look = {.what = ZK_OP_EXISTS, .path = *at->root ? at->root : "/"};
    struct zk_status st = {0};
    int64_t from_ns = cli_now_ns();
    if (cli_zk_ask_begin(&l->ask, s->addr, look_session_ns)) {
        s->err = E_CONFIG;
        return;
    }
    s->err = cli_zk_ask_call(&l->ask, &sync, l->timeout_ns);
    s->begun_ns = cli_now_ns() - from_ns;
    if (!s->err) {
        from_ns = cli_now_ns();
        s->err = cli_zk_ask_call(&l->ask, &sync, l->timeout_ns);
        s->call_ns = cli_now_ns() - from_ns;
    }
    if (!s->err)
        s->has_path = !cli_zk_ask_call(&l->ask, &look, l->timeout_ns);
    zk_status(l->ask.zk, &st);
    s->why = st.why;
    s->session_ns = st.timeout_ns;
    s->zxid = st.zxid;
    cli_zk_ask_end(&l->ask);
}

static const char *look_server_why(const struct look_server *s)
{
    return s->why == E_NXIO ? "its name has no address" : err_text(s->why ? s->why : s->err);
}

static cJSON *look_server_json(const struct look_server *s)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "server", s->addr);
    cJSON_AddBoolToObject(j, "ok", !s->err);
    if (s->err) {
        cJSON_AddStringToObject(j, "error", look_server_why(s));
        return j;
    }
    cli_json_i64(j, "connect_us", s->begun_ns / 1000);
    cli_json_i64(j, "call_us", s->call_ns / 1000);
    cli_json_i64(j, "session_ms", s->session_ns / 1000000);
    cli_json_i64(j, "zxid", s->zxid);
    cJSON_AddBoolToObject(j, "path", s->has_path);
    return j;
}

static void look_server_say(const struct look_server *s)
{
    if (s->err)
        printf("%-24s does not serve: %s\n", s->addr, look_server_why(s));
    else
        printf("%-24s answers in %" PRId64 ".%03d ms (session %" PRId64 " ms, zxid 0x%" PRIx64
               ")\n",
               s->addr, s->call_ns / 1000000, (int)(s->call_ns / 1000 % 1000),
               s->session_ns / 1000000, (uint64_t)s->zxid);
}

static int look_ping_end(const struct look *l, const struct zk_address *at, unsigned up,
                         bool has_path)
{
    if (!up)
        return cli_error(l->cli, CLI_UNREACHABLE,
                         "no server of %s serves: do they run, and make a majority?", l->connect);
    if (!has_path)
        return cli_error(l->cli, CLI_FAILED,
                         "they serve, but there is no path %s: `tarn journal bootstrap` makes it",
                         at->root);
    return CLI_OK;
}

static int cli_zk_ping_run(struct cli *c)
{
    static struct look l;
    static struct zk_address at;
    char why[CONFIG_ERROR_MAX / 2];
    struct cli_json_list list = {0};
    unsigned up = 0;
    bool has_path = false;
    int code = look_open(&l, c);
    if (code)
        return code;
    if (zk_address_parse(l.connect, &at, why, sizeof why))
        code = cli_error(c, CLI_USAGE, "%s", why);
    for (uint32_t i = 0; i < at.n && !code; i++) {
        struct look_server s = {.addr = at.server[i]};
        look_server(&l, &at, &s);
        up += !s.err;
        has_path |= s.has_path;
        if (c->json)
            cli_json_item(&list, look_server_json(&s));
        else
            look_server_say(&s);
    }
    if (!code && c->json)
        cli_json_end(&list);
    if (!code)
        code = look_ping_end(&l, &at, up, has_path);
    cli_zk_ask_close(&l.ask);
    return code;
}

#define LOOK_OPTIONS                                                                           \
    {"connect", 0, "H:P,.../PATH", "these servers, and below that path (journal.zk.connect)"}, \
    {                                                                                          \
        "timeout", 't', "TIME", "for an answer (default 5s)"                                   \
    }

const struct cli_command cli_zk_ls = {"zk",
                                      "ls",
                                      "[PATH]",
                                      "the nodes below a node of ZooKeeper",
                                      "PATH begins at the path of journal.zk.connect.",
                                      cli_zk_ls_run,
                                      0,
                                      1,
                                      {LOOK_OPTIONS}};

const struct cli_command cli_zk_get = {"zk",
                                       "get",
                                       "PATH",
                                       "what a node of ZooKeeper holds",
                                       "/leader: who leads and where; /epoch: the last number "
                                       "given out; /cluster: whose path it is.",
                                       cli_zk_get_run,
                                       1,
                                       1,
                                       {LOOK_OPTIONS}};

const struct cli_command cli_zk_stat = {
    "zk",          "stat",          "PATH", "versions, times and owner of a node of ZooKeeper",
    NULL,          cli_zk_stat_run, 1,      1,
    {LOOK_OPTIONS}};

const struct cli_command cli_zk_ping = {
    "zk",
    "ping",
    "",
    "do the ZooKeeper servers answer, each by itself",
    "Exit status 3 when none does, 1 when they serve and the cluster's path is not there.",
    cli_zk_ping_run,
    0,
    0,
    {LOOK_OPTIONS}};
