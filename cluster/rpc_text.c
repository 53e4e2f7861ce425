/* cluster/rpc_text.c - lines of a status, and the calls of a host as such. */
#include "cluster/rpc_text.h"
#include "cluster/rpc.h"
#include "core/fmt.h"

static const char rpc_text_cut[] = "truncated 1\n";

struct rpc_text rpc_text_make(char *p, size_t cap)
{
    ASSERT(cap >= 64);
    return (struct rpc_text){p, 0, cap - sizeof rpc_text_cut, false};
}

void rpc_text_line(struct rpc_text *t, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    size_t n = fmt_into_v(line, sizeof line - 1, format, args);
    va_end(args);
    line[n++] = '\n';
    t->is_full = t->is_full || n > t->cap - t->len;
    if (t->is_full)
        return;
    memcpy(t->p + t->len, line, n);
    t->len += n;
}

void rpc_text_u64(struct rpc_text *t, const char *key, uint64_t v)
{
    rpc_text_line(t, "%s %llu", key, (unsigned long long)v);
}

size_t rpc_text_end(struct rpc_text *t)
{
    if (t->is_full) {
        memcpy(t->p + t->len, rpc_text_cut, sizeof rpc_text_cut - 1);
        t->len += sizeof rpc_text_cut - 1;
        t->is_full = false;
    }
    t->p[t->len] = 0;
    return t->len;
}

static void rpc_text_count(struct rpc_text *t, const char *key, const struct rpc_count *c)
{
    char times[512];
    size_t n = 0;
    uint64_t all = 0;
    rpc_text_line(t, "%s.calls %llu", key, (unsigned long long)c->calls);
    rpc_text_line(t, "%s.errors %llu", key, (unsigned long long)c->errors);
    rpc_text_line(t, "%s.bytes_in %llu", key, (unsigned long long)c->bytes_in);
    rpc_text_line(t, "%s.bytes_out %llu", key, (unsigned long long)c->bytes_out);
    for (unsigned i = 0; i < RPC_TIMES; i++) {
        all += c->within[i];
        n += fmt_into(times + n, sizeof times - n, " %lld:%llu", (long long)rpc_time_ns(i),
                      (unsigned long long)all);
    }
    rpc_text_line(t, "%s.time %llu sum %llu%s", key, (unsigned long long)(all + c->longer),
                  (unsigned long long)c->ns, times);
}

void rpc_text_calls(struct rpc_text *t, const struct rpc_host *h)
{
    char key[64];
    for (unsigned i = 0; i < RPC_COUNTS; i++) {
        fmt_into(key, sizeof key, "rpc.in.%s", rpc_count_name(i));
        if (h->came[i].calls)
            rpc_text_count(t, key, &h->came[i]);
        fmt_into(key, sizeof key, "rpc.out.%s", rpc_count_name(i));
        if (h->went[i].calls)
            rpc_text_count(t, key, &h->went[i]);
    }
}
