/* cluster/client.c - start and stop of a client, its numbers and its checks.
 *
 * Stopping: requests and I/O are cancelled, the session is closed, connections are hung up; when
 * the last completion has come back (client.pending) the memory goes back and the stop is done. */
#include "cluster/client_impl.h"
#include "core/fmt.h"

struct client_config client_config_default(void)
{
    return (struct client_config){
        .name = "client",
        .host = "",
        .deadline_ns = 30000 * CLIENT_MS,
        .requests_max = 1024,
        .cache_entries = 100000,
        .readahead_pages = 8,
        .buffer_bytes = 64 << 20,
        .page_cache_bytes = 512 << 20,
    };
}

/* "a:1,b:2": E_CONFIG for none, too many, or one too long */
static int client_masters(struct client *c, const char *list)
{
    while (list && *list) {
        size_t n = 0;
        while (list[n] && list[n] != ',')
            n++;
        if (n >= ENV_ADDR_MAX || c->n_masters == CLIENT_MASTERS_MAX)
            return E_CONFIG;
        if (n) {
            memcpy(c->masters[c->n_masters], list, n);
            c->masters[c->n_masters++][n] = 0;
        }
        list += n + (list[n] == ',');
    }
    c->n_given = c->n_masters;
    return c->n_masters ? 0 : E_CONFIG;
}

static void client_lists(struct client *c)
{
    struct list *lists[] = {&c->queued[0], &c->queued[1], &c->active,        &c->muts,
                            &c->calls,     &c->ios,       &c->io_waiting,    &c->pieces,
                            &c->ra_lru,    &c->ra_free,   &c->mount_waiting, &c->pages.lru,
                            &c->ra_slabs,  NULL};
    for (struct list **l = lists; *l; l++)
        list_init(*l);
    for (uint32_t i = 0; i < CLIENT_FILE_BUCKETS; i++)
        list_init(&c->files[i]);
}

static void client_free(struct client *c)
{
    struct mem *m = c->mem;
    if (c->cache.buckets)
        client_cache_free(c);
    if (c->rpc.conns.base)
        rpc_host_free(&c->rpc);
    client_worker_free(c);
    client_standby_free(c);
    client_readahead_free(c);
    client_pages_free(c);
    mem_free(m, c->piece_pool.base, (size_t)c->piece_pool.object_size * c->piece_pool.count);
    mem_free(m, c->scratch, RPC_BODY_MAX);
    mem_free(m, c, sizeof *c);
}

int client_open(struct env *e, struct mem *m, const struct client_config *cfg,
                struct client_host *host, struct client **ret_c)
{
    struct client *c = mem_zalloc(m, sizeof *c);
    if (!c)
        return E_NOMEM;
    struct client_config d = client_config_default();
    c->env = e;
    c->mem = m;
    c->host = host;
    c->places = 1;
    c->cfg = *cfg;
    c->cfg.name = cfg->name ? cfg->name : d.name;
    c->cfg.host = cfg->host ? cfg->host : d.host;
    c->cfg.deadline_ns = cfg->deadline_ns > 0 ? cfg->deadline_ns : d.deadline_ns;
    c->cfg.requests_max = cfg->requests_max ? cfg->requests_max : d.requests_max;
    c->next_seq = 1;
    c->page_bytes = 1 << 20;
    c->stripe_bytes = 1 << 30;
    client_lists(c);
    client_local_init(c);
    int err = client_masters(c, cfg->masters);
    c->scratch = mem_alloc(m, RPC_BODY_MAX);
    if (!err && !c->scratch)
        err = E_NOMEM;
    if (!err)
        err = pool_init(&c->piece_pool, m, sizeof(struct client_piece), CLIENT_PIECES_MAX);
    if (!err)
        err = client_cache_init(c);
    if (!err)
        err = client_pages_init(c);
    if (!err)
        err = client_standby_init(c);
    c->rpc.on_call = client_session_on_call;
    c->rpc.on_close = client_session_on_close;
    if (!err) /* beside the requests: the session's own, plain calls, pieces */
        err = rpc_host_init(&c->rpc, e, m, CLIENT_CONNS_MAX,
                            c->cfg.requests_max + CLIENT_PIECES_MAX + 64);
    if (err) {
        client_free(c);
        return err;
    }
    client_session_start(c);
    *ret_c = c;
    return 0;
}

static bool client_is_quiet(const struct client *c)
{
    return c->state == CLIENT_STOPPING && c->stopping && !c->closing_out && !c->pending &&
           list_empty(&c->active) && list_empty(&c->queued[0]) && list_empty(&c->queued[1]) &&
           list_empty(&c->ios) && list_empty(&c->pieces) && list_empty(&c->rpc.open);
}

static void client_stopped(struct env_op *op)
{
    struct client *c = container_of(op, struct client, stopped);
    struct env_op *user = c->stopping;
    client_file_stop(c);
    client_free(c);
    user->ret = 0;
    user->done(user);
}

void client_quiet(struct client *c)
{
    if (!client_is_quiet(c))
        return;
    c->state = CLIENT_STOPPED;
    c->stopped.done = client_stopped;
    c->stopped.ret = 0;
    env_post(c->env, &c->stopped); /* from the top of the loop: nobody below uses c any more */
}

void client_stop(struct client *c, struct env_op *op)
{
    ASSERT(c->state < CLIENT_STOPPING);
    c->stopping = op;
    env_timer_stop(c->env, &c->local_timer);
    client_session_stop(c);
    client_fs_stop(c);
    client_io_stop(c);
    client_quiet(c);
}

void client_stats(const struct client *c, struct client_stats *ret_s)
{
    *ret_s = c->stats;
    ret_s->session = c->session.v;
}

bool client_check(const struct client *c, char *err_text, size_t cap)
{
    uint64_t last = 0;
    list_each(it, &c->muts) {
        const struct client_fsr *s = list_entry(it, struct client_fsr, mut);
        if (s->seq <= last || s->seq >= c->next_seq) {
            fmt_into(err_text, cap, "mutation %llu after %llu, next is %llu",
                     (unsigned long long)s->seq, (unsigned long long)last,
                     (unsigned long long)c->next_seq);
            return false;
        }
        last = s->seq;
    }
    uint32_t n_files = 0, n_handles = 0;
    for (uint32_t b = 0; b < CLIENT_FILE_BUCKETS; b++) {
        list_each(it, &c->files[b]) {
            const struct cfile *cf = list_entry(it, struct cfile, link);
            uint32_t writers = 0, handles = 0;
            list_each(at, &cf->handles) {
                handles++;
                writers += list_entry(at, struct client_file, link)->is_writer;
            }
            if (handles != cf->n_handles || writers != cf->writers ||
                (writers && (cf->writer != WRITER_OPEN || !cf->live))) {
                fmt_into(err_text, cap, "file %llu: %u of %u handles, %u of %u writers, state %u",
                         (unsigned long long)cf->ino.v, (unsigned)handles, (unsigned)cf->n_handles,
                         (unsigned)writers, (unsigned)cf->writers, (unsigned)cf->writer);
                return false;
            }
            n_files++;
            n_handles += handles;
        }
    }
    if (n_files != c->n_files || n_handles != c->n_handles ||
        c->ra_bytes > base_max_u64(c->cfg.buffer_bytes, c->page_bytes)) {
        fmt_into(err_text, cap, "%u of %u files, %u of %u handles, %llu bytes read ahead",
                 (unsigned)n_files, (unsigned)c->n_files, (unsigned)n_handles,
                 (unsigned)c->n_handles, (unsigned long long)c->ra_bytes);
        return false;
    }
    if (!client_pages_check(c)) {
        fmt_into(err_text, cap, "%llu of %llu bytes of pages kept",
                 (unsigned long long)c->pages.bytes, (unsigned long long)c->pages.max);
        return false;
    }
    return client_cache_check(c, err_text, cap);
}
