/* cluster/cli_data.c - `tarn fs` commands about where bytes are: load, location. */
#include <stdlib.h>
#include "cluster/cli_fs.h"

enum { CLI_DATA_LOADS = 16, CLI_DATA_STEP = 8 << 20 };

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
    int64_t patience_ns;
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
                                 env_now_ns(tarn_env(l->v.tarn)) + l->patience_ns);
        ASSERT(!err); /* the client ends every request by its deadline */
    }
}

static int cli_data_load_visit(struct cli_fs_visitor *v, const char *path, const struct fsattr *a)
{
    struct cli_data_load *l = container_of(v, struct cli_data_load, v);
    struct tarn_file *f;
    if (!cli_fs_is_file(a))
        return CLI_OK;
    if (!a->size) {
        cli_progress_add(&l->progress, 0, 1);
        return CLI_OK;
    }
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
    cli_progress_add(&l->progress, 0, !l->err);
    tarn_close(f);
    if (l->err == E_BUSY)
        return cli_error(v->cli, CLI_FAILED,
                         "%s: it is being written, nothing of it can be kept; load it later", path);
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
    l->patience_ns = 2 * config_int(c->config, CONFIG_CLIENT_DEADLINE) + 60000000000LL;
    int code = cli_fs_connect(c, &l->v.tarn);
    if (code) {
        free(l);
        return code;
    }
    struct rpc_worker_info any;
    if (!client_place(tarn_client(l->v.tarn), INO_ROOT, 0, &any)) {
        tarn_disconnect(l->v.tarn);
        free(l);
        return cli_error(c, CLI_UNREACHABLE, "no worker is alive to load into; see tarn status");
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
        cli_json_u64(j, "files", l->progress.items);
        cli_json_u64(j, "bytes", l->progress.done);
        cli_print_json(j);
    } else {
        printf("loaded %llu file%s, %s\n", (unsigned long long)l->progress.items,
               l->progress.items == 1 ? "" : "s", cli_bytes(text, l->progress.done));
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

static void cli_data_location_item(struct cli *c, const struct rpc_location_item *item,
                                   cJSON *workers)
{
    char id[20], size[16];
    snprintf(id, sizeof id, "%016llx", (unsigned long long)item->worker.v);
    if (!c->json) {
        printf("  worker %s: %llu page%s, %s\n", id, (unsigned long long)item->pages,
               item->pages == 1 ? "" : "s", cli_bytes(size, item->bytes));
        return;
    }
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "worker", id);
    cli_json_u64(o, "pages", item->pages);
    cli_json_u64(o, "bytes", item->bytes);
    cJSON_AddItemToArray(workers, o);
}

static int cli_data_location(struct cli *c, struct tarn *t, const char *path,
                             struct cli_json_list *list)
{
    struct fsattr a;
    uint8_t body[32], reply[16384];
    struct rpc_location loc;
    uint32_t n;
    int err = tarn_stat(t, path, &a);
    if (!err && cli_fs_is_dir(&a))
        err = E_ISDIR;
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
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "path", path);
    cli_json_u64(j, "size", a.size);
    cli_json_u64(j, "version", a.version);
    cJSON *workers = cJSON_AddArrayToObject(j, "workers");
    if (!c->json)
        printf("%s: version %llu, %llu bytes%s\n", path, (unsigned long long)a.version,
               (unsigned long long)a.size, loc.n ? "" : ", not cached");
    for (uint32_t i = 0; i < loc.n && !err; i++) {
        struct rpc_location_item item;
        err = rpc_format_location_item_get(&loc.items, &item);
        if (!err)
            cli_data_location_item(c, &item, workers);
    }
    if (c->json && !err)
        cli_json_item(list, j);
    else
        cJSON_Delete(j);
    return err ? cli_fail(c, path, err) : CLI_OK;
}

static int cli_data_location_run(struct cli *c)
{
    struct tarn *t;
    struct cli_json_list list = {0};
    int code = cli_fs_connect(c, &t);
    if (code)
        return code;
    int err = cli_flag(c, "fresh") ? cli_status_fresh(c, t) : 0;
    if (err)
        code = cli_fail(c, "waiting for the workers' reports", err);
    for (int i = 0; i < c->n_args && !err; i++) {
        int sub = cli_data_location(c, t, c->args[i], &list);
        code = sub ? sub : code;
    }
    tarn_disconnect(t);
    if (c->json && !err)
        cli_json_end(&list);
    return code;
}

const struct cli_command cli_fs_location = {
    "fs",
    "location",
    "PATH...",
    "which workers hold a file's pages",
    "As the workers' last reports say (master.worker_beat).",
    cli_data_location_run,
    1,
    -1,
    {{"fresh", 'f', NULL, "first wait for reports that the workers begin from now on"}}};
