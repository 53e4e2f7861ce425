/* cluster/master_settings.c - what the configurations of a group's masters must agree in.
 *
 * What applies change follows from records alone: the limits (FSOP_LIMITS) and the mounts are such.
 * But the next leader journals what its own file says, and some settings are promises that whoever
 * leads next must keep, or that clients and other members rely on.  So each master says its own in
 * its status, where the command line compares them, and their sum in the journal's hello, for a
 * line in the log. Nothing is refused: a change of the configuration comes to one master after
 * another. */
#include "cluster/master_impl.h"
#include "cluster/rpc_text.h"
#include "core/crc.h"

static uint32_t settings_text_sum(uint32_t sum, const char *s)
{
    return crc_update(sum, s, strlen(s) + 1);
}

/* the same in whatever order they are written */
static uint64_t settings_mounts(const struct master *m)
{
    uint64_t all = m->cfg.n_mounts;
    for (uint32_t i = 0; i < m->cfg.n_mounts; i++) {
        const struct master_mount *o = &m->cfg.mounts[i];
        uint8_t b[9];
        base_put_u64(b, (uint64_t)o->check_interval_ns);
        b[8] = (uint8_t)o->mode;
        uint32_t sum = settings_text_sum(0, o->path);
        sum = settings_text_sum(sum, o->uri ? o->uri : "");
        all += crc_update(sum, b, sizeof b);
    }
    return all;
}

enum { SETTINGS = 8 };

struct settings_one {
    const char *key;
    uint64_t v;
};

static void settings_all(const struct master *m, struct settings_one to[SETTINGS])
{
    const struct settings_one all[SETTINGS] = {
        {"mounts", settings_mounts(m)},
        {"lease_ns", (uint64_t)m->cfg.lease_ns},
        {"session_ns", (uint64_t)m->cfg.session_ns},
        {"promise_ns", (uint64_t)m->cfg.journal.raft.promise_ns},
        {"page_bytes", m->cfg.page_bytes},
        {"stripe_bytes", m->cfg.stripe_bytes},
        {"inodes_max", m->cfg.limits.inodes_max},
        {"state_bytes_max", m->cfg.limits.bytes_max},
    };
    memcpy(to, all, sizeof all);
}

uint32_t master_settings_sum(const struct master *m)
{
    struct settings_one s[SETTINGS];
    uint32_t sum = 0;
    settings_all(m, s);
    for (uint32_t i = 0; i < SETTINGS; i++) {
        uint8_t b[8];
        base_put_u64(b, s[i].v);
        sum = crc_update(sum, b, sizeof b);
    }
    return sum ? sum : 1;
}

void master_settings_text(const struct master *m, struct rpc_text *t)
{
    struct settings_one s[SETTINGS];
    settings_all(m, s);
    for (uint32_t i = 0; i < SETTINGS; i++)
        rpc_text_line(t, "settings.%s %llu", s[i].key, (unsigned long long)s[i].v);
}
