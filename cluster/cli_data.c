/* cluster/cli_data.c - `tarn fs` commands about where bytes are: load, location; and `tarn status`.
 */
#include <stdlib.h>
#include <unistd.h>
#include "cluster/cli_fs.h"

enum { CLI_DATA_LOADS = 16, CLI_DATA_STEP = 8 << 20, CLI_DATA_STATUS_MAX = RPC_BODY_MAX };

/* --- load: a window of ranges under way over all files --- */

struct cli_data_load;

struct cli_data_slot {
    struct client_io io;
    struct cli_data_load *l;
    bool busy;
};

struct cli_data_load {
    struct cli_fs_visitor v;
    struct cli_data_slot slot[CLI_DATA_LOADS];
    unsigned busy;
    bool one_done;
    int err;
    struct cli_progress progress;
};

static void cli_data_load_done(struct env_op *op)
{
    struct cli_data_slot *s =
        container_of(container_of(op, struct client_io, op), struct cli_data_slot, io);
    struct cli_data_load *l = s->l;
    s->busy = false;
    l->busy--;
    l->one_done = true;
    if (op->ret < 0)
        l->err = (int)op->ret;
    else
        cli_progress_add(&l->progress, s->io.len, 0);
}

/* until at most `most` ranges are under way */
static void cli_data_load_wait(struct cli_data_load *l, unsigned most)
{
    while (l->busy > most) {
        l->one_done = false;
        int err = tarn_run_until(l->v.tarn, &l->one_done,
                                 env_now_ns(tarn_env(l->v.tarn)) + 600000000000LL);
        ASSERT(!err); /* the client ends every request by its deadline */
    }
}

static int cli_data_load_visit(struct cli_fs_visitor *v, const char *path, const struct fsattr *a)
{
    struct cli_data_load *l = container_of(v, struct cli_data_load, v);
    struct tarn_file *f;
    if (!cli_fs_is_file(a) || !a->size)
        return CLI_OK;
    int err = tarn_open(v->tarn, path, TARN_READ, 0, &f);
    if (err)
        return cli_fail(v->cli, path, err);
    uint64_t size = tarn_fstat(f).size;
    l->err = 0;
    for (uint64_t off = 0; off < size; off += CLI_DATA_STEP) {
        cli_data_load_wait(l, CLI_DATA_LOADS - 1);
        struct cli_data_slot *s = l->slot;
        while (s->busy)
            s++;
        memset(&s->io, 0, sizeof s->io);
        s->io.op.done = cli_data_load_done;
        s->io.file = tarn_client_file(f);
        s->io.off = off;
        s->io.len = (uint32_t)base_min_u64(CLI_DATA_STEP, size - off);
        s->l = l;
        s->busy = true;
        l->busy++;
        client_load(tarn_client(v->tarn), &s->io);
    }
    cli_data_load_wait(l, 0); /* the handle must outlive its requests */
    cli_progress_add(&l->progress, 0, 1);
    tarn_close(f);
    return l->err ? cli_fail(v->cli, path, l->err) : CLI_OK;
}

static int cli_data_size_visit(struct cli_fs_visitor *v, const char *path, const struct fsattr *a)
{
    struct cli_data_load *l = container_of(v, struct cli_data_load, v);
    (void)path;
    l->progress.total += cli_fs_is_file(a) ? a->size : 0;
    return CLI_OK;
}

static int cli_data_load_run(struct cli *c)
{
    struct cli_data_load *l = calloc(1, sizeof *l);
    uint64_t total = 0;
    ASSERT(l);
    l->v = (struct cli_fs_visitor){.cli = c};
    int code = cli_fs_connect(c, &l->v.tarn);
    if (code) {
        free(l);
        return code;
    }
    for (int pass = 0; pass < 2; pass++) {
        l->v.visit = pass ? cli_data_load_visit : cli_data_size_visit;
        if (pass)
            cli_progress_start(&l->progress, c, "loading", total);
        for (int i = 0; i < c->n_args; i++) {
            struct fsattr a;
            int err = tarn_stat(l->v.tarn, c->args[i], &a);
            int sub = err ? (pass ? cli_fail(c, c->args[i], err) : 0)
                          : cli_fs_walk(&l->v, c->args[i], &a, 0);
            code = sub ? sub : code;
        }
        total = l->progress.total;
    }
    cli_progress_end(&l->progress);
    char text[16];
    if (c->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddNumberToObject(j, "files", (double)l->progress.items);
        cJSON_AddNumberToObject(j, "bytes", (double)l->progress.done);
        cli_print_json(j);
    } else {
        printf("loaded %llu files, %s\n", (unsigned long long)l->progress.items,
               cli_bytes(text, l->progress.done));
    }
    tarn_disconnect(l->v.tarn);
    free(l);
    return code;
}

const struct cli_command cli_fs_load = {"fs",      "load",
                                        "PATH...", "bring files and trees into the workers' caches",
                                        NULL,      cli_data_load_run,
                                        1,         -1,
                                        {{0}}};

/* --- location --- */

static int cli_data_location(struct cli *c, struct tarn *t, const char *path, cJSON *all)
{
    struct fsattr a;
    uint8_t body[32], reply[16384];
    struct rpc_location loc;
    uint32_t n;
    int err = tarn_stat(t, path, &a);
    if (err)
        return cli_fail(c, path, err);
    struct wbuf w = wbuf_make(body, sizeof body);
    rpc_format_file_put(&w, &(struct rpc_file){a.ino, a.version});
    err = tarn_call(t, RPC_LOCATION, body, (uint32_t)w.len, reply, sizeof reply, &n);
    struct rbuf r = rbuf_make(reply, n);
    if (!err)
        err = rpc_format_location_get(&r, &loc);
    if (err)
        return cli_fail(c, path, err);
    cJSON *j = cJSON_CreateObject(), *workers = cJSON_AddArrayToObject(j, "workers");
    cJSON_AddStringToObject(j, "path", path);
    cJSON_AddNumberToObject(j, "size", (double)a.size);
    cJSON_AddNumberToObject(j, "version", (double)a.version);
    cJSON_AddItemToArray(all, j);
    if (!c->json)
        printf("%s: version %llu, %llu bytes%s\n", path, (unsigned long long)a.version,
               (unsigned long long)a.size, loc.n ? "" : ", not cached");
    for (uint32_t i = 0; i < loc.n; i++) {
        struct rpc_location_item item;
        char id[20], size[16];
        err = rpc_format_location_item_get(&loc.items, &item);
        if (err)
            return cli_fail(c, path, err);
        snprintf(id, sizeof id, "%016llx", (unsigned long long)item.worker.v);
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "worker", id);
        cJSON_AddNumberToObject(o, "pages", (double)item.pages);
        cJSON_AddNumberToObject(o, "bytes", (double)item.bytes);
        cJSON_AddItemToArray(workers, o);
        if (!c->json)
            printf("  worker %s: %llu pages, %s\n", id, (unsigned long long)item.pages,
                   cli_bytes(size, item.bytes));
    }
    return CLI_OK;
}

static int cli_data_location_run(struct cli *c)
{
    struct tarn *t;
    int code = cli_fs_connect(c, &t);
    if (code)
        return code;
    cJSON *all = cJSON_CreateArray();
    for (int i = 0; i < c->n_args; i++) {
        int sub = cli_data_location(c, t, c->args[i], all);
        code = sub ? sub : code;
    }
    tarn_disconnect(t);
    if (c->json)
        cli_print_json(all);
    else
        cJSON_Delete(all);
    return code;
}

const struct cli_command cli_fs_location = {
    "fs", "location", "PATH...", "which workers hold a file's pages", NULL, cli_data_location_run,
    1,    -1,         {{0}}};

/* --- status: lines "a.b.c value" become a tree (JSON) or aligned text --- */

static cJSON *cli_data_value(const char *text)
{
    char *end;
    double v = strtod(text, &end);
    return *text && !*end && strlen(text) < 16 ? cJSON_CreateNumber(v) : cJSON_CreateString(text);
}

static void cli_data_put(cJSON *at, char *key, const char *value)
{
    char *dot = strchr(key, '.');
    if (!dot) {
        cJSON_AddItemToObject(at, key, cli_data_value(value));
        return;
    }
    *dot = 0;
    cJSON *next = cJSON_GetObjectItemCaseSensitive(at, key);
    if (!cJSON_IsObject(next))
        next = cJSON_AddObjectToObject(at, key);
    cli_data_put(next, dot + 1, value);
}

static int cli_data_status_get(struct tarn *t, char *to)
{
    uint32_t n = 0;
    int err = tarn_call(t, RPC_STATUS, NULL, 0, to, CLI_DATA_STATUS_MAX, &n);
    to[err ? 0 : n] = 0;
    return err;
}

/* "workers.0.reports" -> its number in a status text */
static bool cli_data_status_u64(const char *text, unsigned worker, const char *what, uint64_t *ret)
{
    char key[64];
    int n = snprintf(key, sizeof key, "\nworkers.%u.%s ", worker, what);
    const char *at = strstr(text, key);
    if (at)
        *ret = strtoull(at + n, NULL, 10);
    return at != NULL;
}

/* A report under way may be older than what was asked for, the one after it is not: so two. */
static bool cli_data_status_is_fresh(const char *before, const char *now)
{
    uint64_t a, b, alive;
    for (unsigned i = 0; cli_data_status_u64(now, i, "reports", &b); i++) {
        if (cli_data_status_u64(now, i, "alive", &alive) && alive &&
            cli_data_status_u64(before, i, "reports", &a) && b < (b < a ? 2 : a + 2))
            return false; /* fewer than before: the master is another */
    }
    return true;
}

static int cli_data_status_fresh(struct cli *c, struct tarn *t, char *text)
{
    char *before = strdup(text);
    int64_t until = cli_now_ns() + config_int(c->config, CONFIG_CLIENT_DEADLINE);
    int err = 0;
    ASSERT(before);
    while (!err && !cli_data_status_is_fresh(before, text)) {
        if (cli_now_ns() > until)
            err = E_TIMEOUT;
        usleep(50000);
        err = err ? err : cli_data_status_get(t, text);
    }
    free(before);
    return err;
}

static int cli_data_status_run(struct cli *c)
{
    struct tarn *t;
    int code = cli_fs_connect(c, &t);
    if (code)
        return code;
    char *text = malloc(CLI_DATA_STATUS_MAX + 1);
    ASSERT(text);
    int err = cli_data_status_get(t, text);
    if (!err && cli_flag(c, "fresh"))
        err = cli_data_status_fresh(c, t, text);
    tarn_disconnect(t);
    if (err) {
        free(text);
        return cli_fail(c, "status", err);
    }
    cJSON *j = cJSON_CreateObject();
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        char *value = strchr(line, ' ');
        if (!value)
            continue;
        *value++ = 0;
        if (c->json)
            cli_data_put(j, line, value);
        else
            printf("%-32s %s\n", line, value);
    }
    free(text);
    if (c->json)
        cli_print_json(j);
    else
        cJSON_Delete(j);
    return CLI_OK;
}

const struct cli_command cli_status = {
    NULL,
    "status",
    "",
    "what the cluster is doing",
    "What workers count is as old as their last report (master.worker_beat).",
    cli_data_status_run,
    0,
    0,
    {{"fresh", 'f', NULL, "first wait for reports that the workers begin from now on"}}};
