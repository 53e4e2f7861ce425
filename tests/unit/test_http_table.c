/* tests/unit/test_http_table.c - every key that master, worker or client say of themselves has its
 * row in cluster/http_table.c: what /metrics would show as untyped is found here.
 *
 * It failed?  Give the new key a row: a name with its unit, gauge or counter, a sentence; or SILENT
 * where it is no number. */
#include "cluster/client.h"
#include "cluster/http_metrics.h"
#include "cluster/worker.h"
#include "tests/unit/master_world.h"

static char text[RPC_BODY_MAX];
static struct worker *worker;
static struct client *client;
static struct journal_vt vt;
static const struct journal_vt *below;

/* a group's status, whatever the journal is */
static void group_status(struct journal *j, struct journal_status *s)
{
    below->status(j, s);
    s->n = 2;
    s->is_zk = true;
    s->zk.room_ago_ns = 5;
    for (uint32_t i = 0; i < s->n; i++)
        s->member[i] = (struct journal_member){.id = i + 1, .addr = "a:1", .heard_ago_ns = 5};
}

static struct journal *group_open(struct env *e, struct mem *m, const struct journal_config *cfg,
                                  struct journal_host *host)
{
    struct journal *j = local_open(e, m, cfg, host);
    if (j) {
        below = j->vt;
        vt = *j->vt;
        vt.status = group_status;
        j->vt = &vt;
    }
    return j;
}

static void knows_all(const char *whose, unsigned at_least)
{
    unsigned n = 0;
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save), n++) {
        const struct http_metric *m;
        char *space = strchr(line, ' ');
        CU_ASSERT_PTR_NOT_NULL_FATAL(space);
        *space = 0;
        m = http_metrics_find(line);
        if (!m)
            fprintf(stderr, "%s: \"%s\" wants a row in cluster/http_table.c\n", whose, line);
        CU_ASSERT_PTR_NOT_NULL(m);
        uint64_t digits = strspn(space + 1, "0123456789");
        if (m && m->kind != HTTP_SILENT && m->kind != HTTP_STATE && m->kind != HTTP_TIMES &&
            space[1 + digits]) {
            fprintf(stderr, "%s: %s is no number: %s\n", whose, line, space + 1);
            CU_FAIL("no number");
        }
    }
    CU_ASSERT(n >= at_least);
}

static void worker_boot(struct env *e, struct mem *mem, void *ctx)
{
    (void)ctx;
    static struct worker_config wc;
    wc = worker_config_default();
    wc.listen = "worker:1";
    wc.host = "worker";
    wc.masters = "master:1";
    wc.dir = "";
    wc.capacity_bytes = 16 << 20;
    wc.buffer_bytes = 4 << 20;
    wc.ufs = &wu_factory;
    CU_ASSERT_EQUAL_FATAL(worker_open(e, mem, &wc, &worker), 0);
}

static void client_boot(struct env *e, struct mem *mem, void *ctx)
{
    (void)ctx;
    struct client_config cc = client_config_default();
    cc.masters = "master:1";
    cc.cache_entries = 100;
    cc.buffer_bytes = cc.page_cache_bytes = 0;
    cc.requests_max = 16;
    CU_ASSERT_EQUAL_FATAL(client_open(e, mem, &cc, NULL, &client), 0);
}

static void test_http_table_has_every_key(void)
{
    w_config(FSOP_MOUNT_RO, MS);
    wcfg.journal_open = group_open;
    w_master_start();
    sim_node_start(sim_node_add(ws, "worker"), worker_boot, NULL);
    sim_node_start(sim_node_add(ws, "client"), client_boot, NULL);
    wc_new(0, true);
    w_run_ms(3000);
    master_status_text(wmaster, text, sizeof text);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nworkers.0.alive 1\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nmounts.0.open 1\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\njournal.members.1.heard_ago_ns 5\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\njournal.zk.room_ago_ns 5\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nrpc.in.worker_beat.time "));
    knows_all("master", 120);
    worker_status_text(worker, text, sizeof text);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nmasters.0.heard_ago_ns "));
    knows_all("worker", 40);
    client_status_text(client, text, sizeof text);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nclient.connected 1\n"));
    knows_all("client", 30);
    w_close();
}

UNIT_MAIN("http_table", UNIT(test_http_table_has_every_key))
