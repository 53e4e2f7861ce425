/* cluster/master_mount.c - the configured mounts, and the under-stores of those that are mounted.
 *
 * INVARIANTS
 *  1. The journal says what is mounted; the configuration only asks for it.  What is missing there
 *     is journaled when leadership begins, one after the other; what is mounted differently is
 *     unmounted first.
 *     Before them come the limits, where the journal knows others: what an apply refuses must not
 *     depend on the configuration of who applies it.
 *  2. A mount that is refused (its parent directory does not exist, something is in its place) is
 *     tried again, with back-off, as long as this master leads.  A parent that nobody has loaded is
 *     looked for in its under-store.
 *  3. An under-store that cannot be opened is tried again, with back-off.  Until then its files
 *     answer E_IO, and what an earlier leadership may have done to it stays open. */
#include "cluster/master_impl.h"

static const int64_t MOUNT_BACKOFF_MIN_NS = 500 * MASTER_MS;
static const int64_t MOUNT_BACKOFF_MAX_NS = 10000 * MASTER_MS;

static int64_t mount_backoff(int64_t *backoff_ns)
{
    int64_t now = *backoff_ns > MOUNT_BACKOFF_MIN_NS ? *backoff_ns : MOUNT_BACKOFF_MIN_NS;
    *backoff_ns = now * 2 < MOUNT_BACKOFF_MAX_NS ? now * 2 : MOUNT_BACKOFF_MAX_NS;
    return now;
}

/* --- under-stores --- */

const struct master_ufs *master_mount_at(const struct master *m, uint16_t mount)
{
    return mount <= LIMIT_MOUNTS ? &m->ufs[mount] : &m->ufs[0];
}

static void mount_open(struct master *m, uint16_t number)
{
    struct fsop_mount_info i;
    struct master_ufs *u = &m->ufs[number];
    if (meta_mount_get(m->meta, number, &i) != 0) {
        u->mode = 0;
        u->is_broken = false;
        return;
    }
    u->mode = i.mode;
    u->check_interval_ns = (int64_t)base_min_u64(i.check_interval_ns, INT64_MAX / 4);
    for (uint32_t k = 0; k < m->cfg.n_mounts; k++)
        if (strlen(m->cfg.mounts[k].path) == i.path_len &&
            !memcmp(m->cfg.mounts[k].path, i.path, i.path_len))
            u->check_interval_ns = m->cfg.mounts[k].check_interval_ns;
    u->root = i.root;
    uint64_t hash = base_hash(i.uri, i.uri_len, 2);
    if (i.mode == FSOP_MOUNT_META || !i.uri_len || (u->ufs && u->uri_hash == hash))
        return;
    if (u->ufs)
        ufs_close(u->ufs);
    u->ufs = NULL;
    u->uri_hash = hash;
    char *uri = (char *)m->qbuf;
    memcpy(uri, i.uri, i.uri_len);
    uri[i.uri_len] = 0;
    int err = m->cfg.ufs ? m->cfg.ufs->open(m->cfg.ufs, m->env, uri, &u->ufs) : E_CONFIG;
    if (err) {
        u->ufs = NULL;
        u->retry_ns = env_now_ns(m->env) + mount_backoff(&u->backoff_ns);
        fmt_log(m->env, ENV_LOG_ERROR,
                "master: cannot open under-store %s: %s; check its path, it is tried again", uri,
                err_text(err));
    } else if (u->is_broken) {
        fmt_log(m->env, ENV_LOG_INFO, "master: under-store %s is open now", uri);
    }
    u->is_broken = err != 0;
    u->backoff_ns = err ? u->backoff_ns : 0;
}

void master_mount_look(struct master *m, uint16_t mount)
{
    const struct master_ufs *u = master_mount_at(m, mount);
    if (mount <= LIMIT_MOUNTS && !(u->is_broken && env_now_ns(m->env) < u->retry_ns))
        mount_open(m, mount);
}

void master_mount_open_all(struct master *m)
{
    for (uint16_t n = 0; n <= LIMIT_MOUNTS; n++)
        mount_open(m, n);
}

/* --- the configured mounts --- */

/* what is mounted at the path: 1 this, 0 nothing, -1 something else */
static int mount_is_there(struct master *m, const struct master_mount *want)
{
    const char *uri = want->uri ? want->uri : "";
    for (uint16_t n = 1; n <= LIMIT_MOUNTS; n++) {
        struct fsop_mount_info i;
        if (meta_mount_get(m->meta, n, &i) != 0 || i.path_len != strlen(want->path) ||
            memcmp(i.path, want->path, i.path_len) != 0)
            continue;
        bool is_same = i.mode == want->mode && i.uri_len == strlen(uri) &&
                       (!i.uri_len || !memcmp(i.uri, uri, i.uri_len));
        return is_same ? 1 : -1;
    }
    return 0;
}

bool master_mount_is_configured(const struct master *m, const char *path, uint32_t len)
{
    for (uint32_t k = 0; k < m->cfg.n_mounts; k++)
        if (strlen(m->cfg.mounts[k].path) == len && !memcmp(m->cfg.mounts[k].path, path, len))
            return true;
    return false;
}

/* what was mounted once stays so */
static void mount_say_left(struct master *m)
{
    for (uint16_t n = 1; n <= LIMIT_MOUNTS; n++) {
        struct fsop_mount_info i;
        if (meta_mount_get(m->meta, n, &i) == 0 &&
            !master_mount_is_configured(m, i.path, i.path_len))
            fmt_log(m->env, ENV_LOG_WARN,
                    "master: %.*s is still mounted, though the configuration names it no more; "
                    "`tarn fs unmount %.*s` ends that",
                    (int)i.path_len, i.path, (int)i.path_len, i.path);
    }
}

/* The interval of comparisons is read from the config and needs no record. */
static void mount_next(struct master *m)
{
    while (m->mounting < m->cfg.n_mounts) {
        const struct master_mount *want = &m->cfg.mounts[m->mounting];
        int is = mount_is_there(m, want);
        if (is != 1) {
            const char *uri = want->uri ? want->uri : "";
            struct fsop op = {.kind = is ? FSOP_UNMOUNT : FSOP_MOUNT,
                              .name = want->path,
                              .name_len = (uint32_t)strlen(want->path),
                              .data = uri,
                              .data_len = (uint32_t)strlen(uri),
                              .arg = want->mode,
                              .size = (uint64_t)want->check_interval_ns,
                              .time_ns = env_wall_ns(m->env)};
            m->is_unmounting = is != 0;
            master_submit(m, &op, &m->mount_sub);
            return;
        }
        m->mounting++;
    }
    if (!m->is_mounted)
        mount_say_left(m);
    master_serve(m);
}

static void mount_complain(struct master *m, const char *path, int err)
{
    if (m->is_unmounting)
        fmt_log(m->env, ENV_LOG_ERROR, "master: cannot unmount %s: %s; see its config", path,
                err_text(err));
    else if (err == E_NOENT)
        fmt_log(m->env, ENV_LOG_ERROR,
                "master: cannot mount %s: its parent directory does not exist; create it", path);
    else if (err == E_EXIST)
        fmt_log(m->env, ENV_LOG_ERROR,
                "master: cannot mount %s: something of that name is there; rename it", path);
    else
        fmt_log(m->env, ENV_LOG_ERROR, "master: cannot mount %s: %s; see its config", path,
                err_text(err));
}

/* The group's era (journal/era.h).  It is in the state before anybody is served, so
 * that no version of a file is one that was given, and cached by workers, in a past that is lost.
 */
static uint64_t mount_era(const struct master *m)
{
    struct journal_status j;
    master_journal_status(m, &j);
    return j.era;
}

static void mount_limits(struct master *m)
{
    struct meta_limits have = meta_limits(m->meta), want = m->cfg.limits;
    uint64_t era = mount_era(m);
    bool is_same = have.inodes_max == want.inodes_max && have.sessions_max == want.sessions_max &&
                   have.bytes_max == want.bytes_max && meta_era(m->meta) >= era;
    m->is_limiting = false;
    if (is_same && meta_applied(m->meta)) {
        mount_next(m);
        return;
    }
    struct fsop op = {.kind = FSOP_LIMITS,
                      .size = want.inodes_max,
                      .arg = want.sessions_max,
                      .mtime_ns = (int64_t)want.bytes_max,
                      .atime_ns = (int64_t)era};
    m->is_limiting = true;
    master_submit(m, &op, &m->mount_sub);
}

void master_mount_done(struct env_op *op)
{
    struct master *m = container_of(op, struct master, mount_sub.op);
    if (list_linked(&m->mount_sub.link))
        list_remove(&m->mount_sub.link);
    m->mount_sub.len = 0;
    if (!m->is_leading || op->ret == E_NOT_LEADER) { /* the next leadership begins anew */
        master_stop_step(m);
        return;
    }
    int err = op->ret < 0 ? (int)op->ret : m->mount_sub.reply.err;
    if (m->is_limiting) {
        bool is_again = op->ret < 0 && err_is_retry(err); /* without limits there is no session */
        m->is_limiting = false;
        if (err && !is_again)
            fmt_log(m->env, ENV_LOG_ERROR, "master: cannot set the limits: %s; see its config",
                    err_text(err));
        if (is_again || meta_era(m->meta) < mount_era(m))
            m->is_limiting = true; /* nobody is served before that: the next tick tries again */
        else
            mount_next(m);
        return;
    }
    if (op->ret < 0 && err_is_retry(err)) { /* it was not judged: nobody is served before that */
        m->mount_waits = true;
        return;
    }
    if (err == E_NOT_LOADED) { /* nothing to complain of: see mount_find_parent */
        if (!m->mount_failed)
            m->mount_retry_ns = m->mount_look_ns = env_now_ns(m->env);
        m->mount_failed = true;
    } else if (err) {
        mount_complain(m, m->cfg.mounts[m->mounting].path, err);
        m->mount_failed = true;
        m->mount_retry_ns = env_now_ns(m->env) + mount_backoff(&m->mount_backoff_ns);
    }
    if (err || !m->is_unmounting)
        m->mounting++;
    mount_next(m);
}

/* Walks to the directory that holds the mount point; what is not known is looked for. */
static int mount_find_parent(struct master *m, const char *path)
{
    struct fsattr a;
    int err = master_load_attr(m, INO_ROOT, &a);
    const char *slash;
    for (const char *p = path + 1; !err && (slash = strchr(p, '/')); p = slash + 1) {
        uint32_t n = (uint32_t)(slash - p);
        struct fsop op = {.kind = FSOP_LOOKUP, .ino = a.ino, .name = p, .name_len = n};
        struct fsop_reply rep;
        meta_query(m->meta, &op, m->qbuf, RPC_BODY_MAX, &rep);
        err = rep.err;
        if (err == E_NOT_LOADED) {
            struct ino key = {master_load_name_key(a.ino, p, n)};
            bool is_absent = master_load_verified_ns(m, key) >= m->mount_look_ns;
            if (!is_absent)
                master_load_name(m, a.ino, p, n);
            return is_absent ? E_NOENT : E_NOT_LOADED;
        }
        a = rep.attr;
    }
    return err;
}

static void mount_again(struct master *m)
{
    bool is_waiting = false;
    uint32_t first = m->cfg.n_mounts;
    int err = 0;
    for (uint32_t k = 0; k < m->cfg.n_mounts; k++) {
        const struct master_mount *want = &m->cfg.mounts[k];
        if (mount_is_there(m, want) == 1)
            continue;
        int found = want->path[0] == '/' ? mount_find_parent(m, want->path) : E_INVAL;
        is_waiting = is_waiting || found == E_NOT_LOADED;
        if (found == 0 && first == m->cfg.n_mounts)
            first = k;
        if (found != 0 && found != E_NOT_LOADED) {
            m->is_unmounting = false;
            mount_complain(m, want->path, found);
            err = found;
        }
    }
    if (is_waiting && !err) {
        m->mount_retry_ns = env_now_ns(m->env) + 100 * MASTER_MS;
        return;
    }
    m->mount_failed = err != 0;
    m->mount_retry_ns = env_now_ns(m->env) + mount_backoff(&m->mount_backoff_ns);
    m->mount_look_ns = m->mount_retry_ns;
    if (first < m->cfg.n_mounts) {
        m->mounting = first;
        mount_next(m);
    }
}

void master_mount_begin(struct master *m)
{
    m->mounting = 0;
    m->mount_failed = m->mount_waits = m->is_limiting = m->is_unmounting = false;
    m->mount_backoff_ns = 0;
    for (unsigned n = 0; n <= LIMIT_MOUNTS; n++)
        m->ufs[n].backoff_ns = 0;
    master_mount_open_all(m);
    ASSERT(!m->mount_sub.len); /* it ended before the leadership that it was for */
    mount_limits(m);
}

void master_mount_retry(struct master *m)
{
    if (m->is_limiting && m->is_leading && !m->mount_sub.len)
        mount_limits(m);
    if (m->mount_waits && m->is_leading && !m->mount_sub.len) {
        m->mount_waits = false;
        mount_next(m);
    }
}

void master_mount_tick(struct master *m)
{
    master_mount_retry(m);
    int64_t now = env_now_ns(m->env);
    for (uint16_t n = 1; n <= LIMIT_MOUNTS; n++)
        if (m->ufs[n].is_broken && now >= m->ufs[n].retry_ns)
            mount_open(m, n);
    if (m->mount_failed && !m->mount_sub.len && m->mounting >= m->cfg.n_mounts &&
        now >= m->mount_retry_ns)
        mount_again(m);
}
