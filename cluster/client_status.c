/* cluster/client_status.c - what a client has to say of itself, as lines "key value\n". */
#include "cluster/client_impl.h"
#include "cluster/rpc_text.h"

size_t client_status_text(const struct client *c, char *to, size_t cap)
{
    static const char *const states[] = {"down",  "connecting", "opening", "beating",
                                         "ready", "stopping",   "stopped"};
    const struct client_stats *s = &c->stats;
    int64_t left = c->lease_until_ns - env_now_ns(c->env);
    const struct {
        const char *key;
        uint64_t value;
    } all[] = {
        {"connected", s->connected},
        {"epoch", s->epoch},
        {"session", c->session.v != 0},
        {"lease_left_ns", c->session.v && left > 0 ? (uint64_t)left : 0},
        {"requests", s->requests},
        {"cache_hits", s->cache_hits},
        {"cache_entries", c->cache.n},
        {"retries", s->retries},
        {"asides", s->asides},
        {"asides_refused", s->asides_refused},
        {"invalidations", s->invalidations},
        {"reads", s->reads},
        {"bytes_read", s->bytes_read},
        {"writes", s->writes},
        {"bytes_written", s->bytes_written},
        {"worker_hits", s->worker_hits},
        {"worker_misses", s->worker_misses},
        {"fallback_reads", s->fallback_reads},
        {"failovers", s->failovers},
        {"readahead_pages", s->readahead_pages},
        {"readahead_bytes", c->ra_bytes},
        {"page_hits", s->page_hits},
        {"pages_kept", s->pages_kept},
        {"page_bytes", c->pages.bytes},
        {"files", c->n_files},
        {"handles", c->n_handles},
        {"workers_alive", c->n_alive},
    };
    struct rpc_text t = rpc_text_make(to, cap);
    rpc_text_line(&t, "client.state %s", states[c->state]);
    rpc_text_line(&t, "client.master %s", c->masters[c->master]);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        rpc_text_line(&t, "client.%s %llu", all[i].key, (unsigned long long)all[i].value);
    rpc_text_u64(&t, "memory.used", c->mem->used);
    rpc_text_u64(&t, "memory.max", c->mem->used_max);
    rpc_text_u64(&t, "memory.budget", c->mem->budget);
    rpc_text_calls(&t, &c->rpc);
    return rpc_text_end(&t);
}
