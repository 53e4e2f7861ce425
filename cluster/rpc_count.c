/* cluster/rpc_count.c - calls counted by method, and by how long they took: as turns of the loop
 * see it, so a call that is answered in its own turn took no time. */
#include "cluster/rpc.h"

#define RPC_COUNT_METHODS(X)          \
    X(FS, "fs")                       \
    X(SESSION_BEAT, "session_beat")   \
    X(STATUS, "status")               \
    X(ADMIN, "admin")                 \
    X(LOCATION, "location")           \
    X(CHANGE, "change")               \
    X(BACKUP, "backup")               \
    X(INVALIDATE, "invalidate")       \
    X(HOLDS, "holds")                 \
    X(PLACES, "places")               \
    X(WORKER_BEAT, "worker_beat")     \
    X(READ, "read")                   \
    X(WRITE, "write")                 \
    X(SYNC, "sync")                   \
    X(LOAD, "load")                   \
    X(LOCAL, "local")                 \
    X(ALLOC, "alloc")                 \
    X(WORKER_STATUS, "worker_status") \
    X(FREE, "free")

#define RPC_COUNT_PLACE(method, name) RPC_COUNT_##method,
enum rpc_count_place { RPC_COUNT_OTHER, RPC_COUNT_METHODS(RPC_COUNT_PLACE) RPC_COUNT_END };
#undef RPC_COUNT_PLACE
static_assert((int)RPC_COUNT_END <= (int)RPC_COUNTS, "a place for each method");

#define RPC_COUNT_NAME(method, name) name,
static const char *const rpc_names[RPC_COUNT_END] = {"other", RPC_COUNT_METHODS(RPC_COUNT_NAME)};
#undef RPC_COUNT_NAME

static const int64_t rpc_times_ns[RPC_TIMES] = {
    100000,    300000,    1000000,    3000000,    10000000,    30000000,
    100000000, 300000000, 1000000000, 3000000000, 10000000000, 30000000000,
};

int64_t rpc_time_ns(unsigned i)
{
    return rpc_times_ns[i];
}

const char *rpc_count_name(unsigned i)
{
    return i < RPC_COUNT_END ? rpc_names[i] : "unused";
}

struct rpc_count *rpc_count_of(struct rpc_count all[RPC_COUNTS], uint16_t method)
{
    switch (method) {
#define RPC_COUNT_CASE(method, name) \
    case RPC_##method:               \
        return &all[RPC_COUNT_##method];
        RPC_COUNT_METHODS(RPC_COUNT_CASE)
#undef RPC_COUNT_CASE
    default:
        return &all[RPC_COUNT_OTHER];
    }
}

void rpc_count_done(struct rpc_count *c, int err, int64_t took_ns)
{
    unsigned i = 0;
    c->errors += err < 0;
    c->ns += took_ns > 0 ? (uint64_t)took_ns : 0;
    while (i < RPC_TIMES && took_ns > rpc_times_ns[i])
        i++;
    if (i < RPC_TIMES)
        c->within[i]++;
    else
        c->longer++;
}
