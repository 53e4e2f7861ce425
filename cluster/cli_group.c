/* cluster/cli_group.c - a master's part in a group, and the lock that keeps clusters apart.
 *
 * The lock of an under-store: a file .tarn/lock in it.  A single master holds it alone.  Masters of
 * a group share it and write down whose it is: who gets it alone writes the cluster's id and
 * lets others share it; who shares it looks whether the id is its own.  Where there can be none
 * (not our directory, a file system without locks) there is none. */
#include "cluster/cli_group.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cluster/config_zk.h"
#include "journal/log_meta.h"

bool cli_group_is(const struct config *g)
{
    return !strcmp(config_str(g, CONFIG_JOURNAL_TYPE), "raft");
}

int cli_group_journal(const struct cli *c, bool joins, struct journal_config *jc)
{
    const struct config *g = c->config;
    if (joins && config_zk_is(g))
        return cli_error(c, CLI_CONFIG,
                         "--join: with journal.type zk a master takes part by being started: leave "
                         "--join out");
    if (!cli_group_is(g))
        return joins ? cli_error(c, CLI_CONFIG, "--join: journal.type is local; set it to raft")
                     : CLI_OK;
    if (!config_int(g, CONFIG_JOURNAL_ID))
        return cli_error(c, CLI_CONFIG,
                         "journal.id is not set: which of journal.members is this master? "
                         "(--set journal.id=N)");
    jc->raft.id = (uint32_t)config_int(g, CONFIG_JOURNAL_ID);
    jc->raft.join = joins;
    jc->raft.heartbeat_ns = config_int(g, CONFIG_JOURNAL_HEARTBEAT);
    jc->raft.promise_ns = config_int(g, CONFIG_JOURNAL_PROMISE);
    jc->raft.suspect_min_ns = config_int(g, CONFIG_JOURNAL_SUSPECT_MIN);
    jc->raft.suspect_max_ns = config_int(g, CONFIG_JOURNAL_SUSPECT_MAX);
    jc->raft.keep_entries = (uint64_t)config_int(g, CONFIG_JOURNAL_KEEP);
    return CLI_OK;
}

bool cli_group_id(const char *hex, uint64_t *ret_hi, uint64_t *ret_lo)
{
    char half[17] = {0};
    *ret_hi = *ret_lo = 0;
    if (strlen(hex) != 32 || strspn(hex, "0123456789abcdefABCDEF") != 32)
        return false;
    memcpy(half, hex, 16);
    *ret_hi = strtoull(half, NULL, 16);
    *ret_lo = strtoull(hex + 16, NULL, 16);
    return *ret_hi || *ret_lo;
}

bool cli_group_id_fresh(uint64_t *ret_hi, uint64_t *ret_lo)
{
    uint64_t fresh[2];
    if (getrandom(fresh, sizeof fresh, 0) != sizeof fresh)
        return false;
    *ret_hi = fresh[0] | 1;
    *ret_lo = fresh[1];
    return true;
}

void cli_group_id_text(char to[33], uint64_t hi, uint64_t lo)
{
    snprintf(to, 33, "%016llx%016llx", (unsigned long long)hi, (unsigned long long)lo);
}

/* --- on disk --- */

struct group_wait {
    struct env_op op;
    bool done;
};

static void group_waited(struct env_op *op)
{
    container_of(op, struct group_wait, op)->done = true;
}

int cli_group_on_disk(struct net *net, struct mem *mem, uint64_t *ret_hi, uint64_t *ret_lo)
{
    static struct log_meta_file f;
    struct env *e = net_env(net);
    struct group_wait w = {.op.done = group_waited};
    *ret_hi = *ret_lo = 0;
    if (!log_meta_init(&f, e, mem, ""))
        return E_NOMEM;
    log_meta_read(&f, &w.op);
    int err = net_run_until(net, &w.done, env_now_ns(e) + 60000000000LL);
    if (err) /* a disk that does not answer still has f */
        return err;
    err = (int)w.op.ret;
    if (!err) {
        *ret_hi = f.meta.cluster_hi;
        *ret_lo = f.meta.cluster_lo;
    }
    log_meta_drop(&f);
    return err == E_NODATA ? E_NOENT : err;
}

/* --- the lock --- */

/* fd is locked by us alone or shared with others; false: by somebody else, or for a moment by one
 * of us who is about to share it */
static bool group_lock(int fd, uint64_t hi, uint64_t lo)
{
    char mine[33], theirs[33] = {0};
    bool is_alone = !flock(fd, LOCK_EX | LOCK_NB);
    if (!is_alone && errno != EWOULDBLOCK)
        return true; /* there are no locks here */
    if (!hi && !lo)
        return is_alone;
    cli_group_id_text(mine, hi, lo);
    if (is_alone && (ftruncate(fd, 0) || pwrite(fd, mine, 32, 0) != 32))
        return true;
    if (flock(fd, LOCK_SH | LOCK_NB))
        return false;
    return pread(fd, theirs, 32, 0) == 32 && !memcmp(mine, theirs, 32);
}

static bool group_lock_patiently(int fd, uint64_t hi, uint64_t lo)
{
    for (int tries = 0; tries < 50; tries++) {
        if (group_lock(fd, hi, lo))
            return true;
        if (!hi && !lo)
            return false;
        usleep(20000);
    }
    return false;
}

int cli_group_claim(const struct cli *c, uint64_t hi, uint64_t lo)
{
    uint32_t n;
    const struct master_mount *m = config_mounts(c->config, &n);
    for (uint32_t i = 0; i < n; i++) {
        char path[PATH_MAX];
        if (m[i].mode != FSOP_MOUNT_THROUGH || strncmp(m[i].uri, "dir:", 4) ||
            snprintf(path, sizeof path, "%s/.tarn", m[i].uri + 4) >= (int)sizeof path ||
            (mkdir(path, 0700) && errno != EEXIST) ||
            snprintf(path, sizeof path, "%s/.tarn/lock", m[i].uri + 4) >= (int)sizeof path)
            continue;
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0 && !group_lock_patiently(fd, hi, lo))
            return cli_error(c, CLI_FAILED,
                             "%s is written by the master of another cluster, which holds %s: use "
                             "that one, or stop it",
                             m[i].uri + 4, path);
        /* it stays open for as long as we run */
    }
    return CLI_OK;
}
