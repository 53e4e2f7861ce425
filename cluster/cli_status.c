/* cluster/cli_status.c - `tarn status`: the master's lines "a.b.c value" as a page for people, as
 * aligned lines, or as JSON. */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>
#include "cluster/cli_fs.h"

enum { CLI_STATUS_MAX = RPC_BODY_MAX };

/* --- asking --- */

static int cli_status_get(struct tarn *t, char *to)
{
    uint32_t n = 0;
    int err = tarn_call(t, RPC_STATUS, NULL, 0, to, CLI_STATUS_MAX, &n);
    to[err ? 0 : n] = 0;
    return err;
}

/* "workers.0.reports" -> its number in a status text */
static bool cli_status_worker_u64(const char *text, unsigned worker, const char *what,
                                  uint64_t *ret)
{
    char key[64];
    int n = snprintf(key, sizeof key, "\nworkers.%u.%s ", worker, what);
    const char *at = strstr(text, key);
    if (at)
        *ret = strtoull(at + n, NULL, 10);
    return at != NULL;
}

/* A report under way may be older than what was asked for, the one after it is not: so two. */
static bool cli_status_is_fresh(const char *before, const char *now)
{
    uint64_t a, b, alive;
    for (unsigned i = 0; cli_status_worker_u64(now, i, "reports", &b); i++) {
        if (cli_status_worker_u64(now, i, "alive", &alive) && alive &&
            cli_status_worker_u64(before, i, "reports", &a) && b < (b < a ? 2 : a + 2))
            return false; /* fewer than before: the master is another */
    }
    return true;
}

/* text holds a status, and then the first that is fresh */
static int cli_status_wait(const struct cli *c, struct tarn *t, char *text)
{
    char *before = strdup(text);
    int64_t until = cli_now_ns() + config_int(c->config, CONFIG_CLIENT_DEADLINE);
    int err = 0;
    ASSERT(before);
    while (!err && !cli_status_is_fresh(before, text)) {
        if (cli_now_ns() > until)
            err = E_TIMEOUT;
        usleep(50000);
        err = err ? err : cli_status_get(t, text);
    }
    free(before);
    return err;
}

int cli_status_fresh(const struct cli *c, struct tarn *t)
{
    char *text = malloc(CLI_STATUS_MAX + 1);
    ASSERT(text);
    int err = cli_status_get(t, text);
    err = err ? err : cli_status_wait(c, t, text);
    free(text);
    return err;
}

int cli_status_freed(const struct cli *c, struct tarn *t)
{
    static const char key[] = "\ntotal.to_free ";
    char *text = malloc(CLI_STATUS_MAX + 1);
    int64_t until = cli_now_ns() + config_int(c->config, CONFIG_CLIENT_DEADLINE);
    ASSERT(text);
    int err = cli_status_get(t, text);
    for (const char *at; !err && (at = strstr(text, key)) && at[sizeof key - 1] != '0';) {
        if (cli_now_ns() > until)
            err = E_TIMEOUT;
        usleep(20000);
        err = err ? err : cli_status_get(t, text);
    }
    free(text);
    return err;
}

/* --- a tree --- */

static cJSON *cli_status_value(const char *key, const char *text, unsigned depth)
{
    if (depth == 2 && (!strcmp(key, "alive") || !strcmp(key, "open") || !strcmp(key, "configured")))
        return cJSON_CreateBool(*text == '1');
    if (!strcmp(key, "why") && !strcmp(text, "-"))
        return cJSON_CreateNull();
    bool is_name = !strcmp(key, "id") || !strcmp(key, "host") || !strcmp(key, "path") ||
                   !strcmp(key, "cluster") || !strcmp(key, "disk");
    bool is_number = !is_name && *text && !text[strspn(text, "0123456789")];
    return is_number ? cJSON_CreateRaw(text) : cJSON_CreateString(text);
}

static void cli_status_put(cJSON *at, char *key, const char *value, unsigned depth)
{
    char *dot = strchr(key, '.');
    if (!dot) {
        cJSON_AddItemToObject(at, key, cli_status_value(key, value, depth));
        return;
    }
    *dot = 0;
    cJSON *next = cJSON_GetObjectItemCaseSensitive(at, key);
    if (!cJSON_IsObject(next))
        next = cJSON_AddObjectToObject(at, key);
    cli_status_put(next, dot + 1, value, depth + 1);
}

/* {"0": {}, "1": {}, "count": 2} becomes the array of what is numbered; the rest goes to "total" */
static void cli_status_array(cJSON *root, const char *key)
{
    cJSON *from = cJSON_DetachItemFromObjectCaseSensitive(root, key), *one;
    cJSON *list = cJSON_CreateArray(), *total = cJSON_GetObjectItemCaseSensitive(root, "total");
    if (!total)
        total = cJSON_AddObjectToObject(root, "total");
    while (from && (one = from->child)) {
        char name[96];
        cJSON_DetachItemViaPointer(from, one);
        snprintf(name, sizeof name, "%s_%s", key, one->string);
        if (cJSON_IsObject(one))
            cJSON_AddItemToArray(list, one);
        else
            cJSON_AddItemToObject(total, name, one);
    }
    cJSON_Delete(from);
    cJSON_AddItemToObject(root, key, list);
}

static cJSON *cli_status_tree(char *text)
{
    cJSON *j = cJSON_CreateObject();
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        char *value = strchr(line, ' ');
        if (!value)
            continue;
        *value++ = 0;
        cli_status_put(j, line, value, 0);
    }
    cli_status_array(j, "mounts");
    cli_status_array(j, "workers");
    cJSON *journal = cJSON_GetObjectItemCaseSensitive(j, "journal");
    if (cJSON_GetObjectItemCaseSensitive(journal, "members"))
        cli_status_array(journal, "members");
    return j;
}

/* --- a page --- */

static const char *cli_status_text(const cJSON *j, const char *a, const char *b)
{
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(j, a);
    x = b ? cJSON_GetObjectItemCaseSensitive(x, b) : x;
    return x && x->valuestring ? x->valuestring : "?";
}

static uint64_t cli_status_u64(const cJSON *j, const char *a, const char *b)
{
    return strtoull(cli_status_text(j, a, b), NULL, 10);
}

static bool cli_status_is(const cJSON *j, const char *key)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(j, key));
}

static void cli_status_page_workers(const cJSON *j)
{
    char used[16], cap[16], below[16], served[16];
    const cJSON *w;
    uint64_t hits = cli_status_u64(j, "total", "hits");
    uint64_t asked = hits + cli_status_u64(j, "total", "misses");
    printf("workers  %s of %s alive; %s of %s used; %" PRIu64
           " pages asked for, %u %% of them cached\n",
           cli_status_text(j, "total", "workers_alive"),
           cli_status_text(j, "total", "workers_count"),
           cli_bytes(used, cli_status_u64(j, "total", "used")),
           cli_bytes(cap, cli_status_u64(j, "total", "capacity")), asked,
           asked ? (unsigned)(hits * 100 / asked) : 0);
    printf("  %-22s %-14s %12s %12s %12s %14s\n", "address", "host", "used", "hits", "misses",
           "read below");
    cJSON_ArrayForEach(w, cJSON_GetObjectItemCaseSensitive(j, "workers"))
    {
        printf("  %-22s %-14.14s %12s %12s %12s %14s%s\n", cli_status_text(w, "addr", NULL),
               cli_status_text(w, "host", NULL), cli_bytes(used, cli_status_u64(w, "used", NULL)),
               cli_status_text(w, "hits", NULL), cli_status_text(w, "misses", NULL),
               cli_bytes(below, cli_status_u64(w, "ufs_bytes", NULL)),
               cli_status_is(w, "alive") ? "" : "  not alive");
        uint64_t corrupt = cli_status_u64(w, "corrupt", NULL);
        uint64_t errors = cli_status_u64(w, "errors", NULL);
        if (corrupt || errors)
            printf("      %" PRIu64 " damaged pages fetched again, %" PRIu64
                   " errors; see its log\n",
                   corrupt, errors);
    }
    printf("read     %s by clients, %s of it from the under-store\n",
           cli_bytes(served, cli_status_u64(j, "total", "bytes_served")),
           cli_bytes(below, cli_status_u64(j, "total", "ufs_bytes")));
}

static void cli_status_page(const cJSON *j)
{
    char used[16], budget[16], wal[16];
    const cJSON *m;
    printf("master   %s, %s, %s, epoch %s\n", cli_status_text(j, "listen", NULL),
           cli_status_text(j, "state", NULL), cli_status_text(j, "role", NULL),
           cli_status_text(j, "epoch", NULL));
    if (!cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(j, "why")))
        printf("  because of %s; see its log\n", cli_status_text(j, "why", NULL));
    printf("names    %s files and directories; %s of %s for the namespace used%s\n",
           cli_status_text(j, "meta", "inodes"),
           cli_bytes(used, cli_status_u64(j, "meta", "bytes")),
           cli_bytes(budget, cli_status_u64(j, "meta", "bytes_max")),
           cli_status_u64(j, "meta", "full") ? "; requests were refused: raise master.memory" : "");
    printf("journal  %s records, %s of log\n", cli_status_text(j, "journal", "last"),
           cli_bytes(wal, cli_status_u64(cJSON_GetObjectItemCaseSensitive(j, "journal"), "wal",
                                         "bytes")));
    printf("clients  %s, %s requests under way, %s timed out\n",
           cli_status_text(j, "sessions", "now"), cli_status_text(j, "requests", "now"),
           cli_status_text(j, "requests", "timeouts"));
    printf("mounts   %s\n", cli_status_text(j, "total", "mounts_count"));
    cJSON_ArrayForEach(m, cJSON_GetObjectItemCaseSensitive(j, "mounts")) printf(
        "  %-22s %-8s %s%s%s\n", cli_status_text(m, "path", NULL), cli_status_text(m, "mode", NULL),
        cli_status_text(m, "uri", NULL),
        cli_status_is(m, "open") || !strcmp(cli_status_text(m, "mode", NULL), "meta")
            ? ""
            : "  cannot be opened",
        cli_status_is(m, "configured") ? ""
                                       : "  not in the configuration any more (tarn fs unmount)");
    cli_status_page_workers(j);
}

static void cli_status_lines(char *text)
{
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        int n = (int)strcspn(line, " ");
        if (line[n])
            printf("%-32.*s %s\n", n, line, line + n + 1);
    }
}

static int cli_status_run(struct cli *c)
{
    struct tarn *t;
    char why[CONFIG_ERROR_MAX];
    const char *timeout = cli_value(c, "timeout", NULL);
    if (timeout && config_set(c->config, "client.deadline", timeout, why, sizeof why))
        return cli_error(c, CLI_USAGE, "--timeout: %s", why);
    int code = cli_journal_group_ready(c);
    if (!code)
        code = cli_fs_connect(c, &t);
    if (code)
        return code;
    char *text = malloc(CLI_STATUS_MAX + 1);
    ASSERT(text);
    int err = cli_status_get(t, text);
    if (!err && cli_flag(c, "fresh"))
        err = cli_status_wait(c, t, text);
    tarn_disconnect(t);
    if (err) {
        code = cli_fail(c, "status", err);
    } else if (!c->json && cli_flag(c, "all")) {
        cli_status_lines(text);
    } else {
        cJSON *j = cli_status_tree(text);
        if (c->json) {
            cli_print_json(j);
        } else {
            cli_status_page(j);
            if (strchr(config_masters(c->config), ','))
                cli_journal_group_page(c);
            cJSON_Delete(j);
        }
    }
    free(text);
    return code;
}

const struct cli_command cli_status = {
    NULL,
    "status",
    "",
    "what the cluster is doing",
    "One page; for programs --json, or with --all every counter, one a line.  What workers count\n"
    "is as old as their last report (master.worker_beat).",
    cli_status_run,
    0,
    0,
    {{"all", 'a', NULL, "every counter, one a line"},
     {"fresh", 'f', NULL, "first wait for reports that the workers begin from now on"},
     {"timeout", 't', "TIME", "give up then (client.deadline; for an election 4s)"}}};
