/* sim/lab_check_data.c - the bytes that readers got, and the under-store against the namespace (see
 * sim/lab_check.h). */
#include "core/fmt.h"
#include "sim/lab_check_impl.h"

void lab_check_doubt(struct lab_check *c, struct ino ino)
{
    if (c->n_doubts < CHECK_DOUBTS)
        c->doubts[c->n_doubts++] = ino.v;
}

bool lab_check_is_doubtful(const struct lab_check *c, struct ino ino)
{
    for (uint32_t i = 0; i < c->n_doubts; i++)
        if (c->doubts[i] == ino.v)
            return true;
    return false;
}

void lab_check_sized(struct lab_check *c, struct ino ino, uint64_t size, struct lab_window w)
{
    uint64_t ufs[16];
    uint32_t n = lab_model_files(c->model, ino, ufs, ARRAY_LEN(ufs));
    for (uint32_t i = 0; i < n; i++)
        lab_ufs_firm(c->ufs, ufs[i], size, w.from_ns, w.to_ns);
}

/* May the state after k changes be seen by an open sent at from_ns?  Yes if what replaced it came
 * later, or need not be known yet: a write is known before it is made (the file is LIVE), a change
 * of size when it is acknowledged, what comes from outside when the under-store is looked at. */
static bool data_may_see(const struct lab_check *c, uint64_t ufs, uint32_t k, int64_t from_ns,
                         bool doubtful)
{
    const struct lab_ufs_change *next = lab_ufs_change(c->ufs, ufs, k);
    if (!next)
        return true;
    int64_t known_ns = next->t_ns;
    if (doubtful || next->behind)
        known_ns += c->cfg.behind_ns;
    else if (next->kind == LAB_UFS_SIZE)
        known_ns = next->firm_ns ? next->firm_ns : next->t_ns + c->cfg.slack_ns;
    return known_ns > from_ns;
}

/* the states that a reader may see; false: too many to follow */
static bool data_begin(struct lab_check *c, struct lab_asker by, struct lab_check_file *f)
{
    uint64_t ufs[16];
    uint32_t n = lab_model_files(c->model, f->ino, ufs, ARRAY_LEN(ufs));
    bool doubtful = n > 1 || lab_check_is_doubtful(c, f->ino);
    f->begun = true;
    for (uint32_t i = 0; i < n; i++)
        doubtful |= lab_model_is_shared(c->model, ufs[i]);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t all = lab_ufs_changes(c->ufs, ufs[i]);
        uint64_t seen = lab_model_seen(c->model, by, LAB_FACT_BYTES, ufs[i], 0, f->opened_ns);
        for (uint32_t k = all; k > 0 && k >= seen; k--) {
            if (!data_may_see(c, ufs[i], k, f->opened_ns, doubtful))
                break; /* nor what was before */
            if (f->n_states == ARRAY_LEN(f->states))
                return false;
            f->states[f->n_states].ufs = ufs[i];
            f->states[f->n_states++].k = k;
        }
    }
    return f->n_states > 0;
}

/* A client that writes adds to the size what it has written itself.  While a truncation is not
 * acknowledged that may seem to be the later of the two, though the under-store had them the other
 * way round. */
static bool data_is_cut(const struct lab_check *c, uint64_t ufs, int64_t from_ns)
{
    for (uint32_t k = lab_ufs_changes(c->ufs, ufs); k > 0; k--) {
        const struct lab_ufs_change *h = lab_ufs_change(c->ufs, ufs, k - 1);
        if (h->t_ns + c->cfg.slack_ns <= from_ns)
            break;
        if (h->behind || (h->kind == LAB_UFS_SIZE && (!h->firm_ns || h->firm_ns > from_ns)))
            return true;
    }
    return false;
}

/* The pieces of one write reach the under-store in any order, and the client that asked for them
 * learns of each as it is answered: the end of an earlier one, when a later one is there already.
 */
static bool data_is_piece(const struct lab_check *c, uint64_t ufs, uint64_t size, int64_t from_ns)
{
    for (uint32_t k = lab_ufs_changes(c->ufs, ufs); k > 0; k--) {
        const struct lab_ufs_change *h = lab_ufs_change(c->ufs, ufs, k - 1);
        if (h->t_ns + c->cfg.slack_ns <= from_ns)
            break;
        if (h->kind == LAB_UFS_WRITE && h->off + h->len == size && h->size > size)
            return true;
    }
    return false;
}

void lab_check_size(struct lab_check *c, const char *client, struct lab_asker by,
                    const struct fsop *op, const struct fsattr *a, struct lab_window w)
{
    uint64_t ufs[16];
    uint32_t n = lab_model_files(c->model, a->ino, ufs, ARRAY_LEN(ufs));
    if ((a->mode & FSOP_S_IFMT) != FSOP_S_IFREG || n != 1 ||
        lab_model_is_shared(c->model, ufs[0]) || lab_ufs_is_displaced(c->ufs, ufs[0]))
        return;
    bool is_own = c->is_writer && c->is_writer(c->writer_ctx, client, a->ino);
    if ((a->flags & FSATTR_LIVE) && is_own &&
        (data_is_cut(c, ufs[0], w.from_ns) || data_is_piece(c, ufs[0], a->size, w.from_ns)))
        return; /* a cut by somebody outside is one, too */
    bool doubtful = lab_check_is_doubtful(c, a->ino);
    bool is_fixed = !(a->flags & FSATTR_LIVE) && !is_own; /* else it comes from several places */
    c->findings[LAB_ANSWERS].checks++;
    uint64_t seen =
        is_fixed ? lab_model_seen(c->model, by, LAB_FACT_SIZE, ufs[0], 0, w.from_ns) : 0;
    uint32_t k = lab_ufs_changes(c->ufs, ufs[0]), least = 0, older = 0;
    for (; k > 0 && data_may_see(c, ufs[0], k, w.from_ns, doubtful); k--) {
        bool is_it = lab_ufs_change(c->ufs, ufs[0], k - 1)->size == a->size;
        least = is_it && k >= seen ? k : least;
        older = is_it && k < seen ? k : older;
    }
    if (least && is_fixed)
        lab_model_see(c->model, by, LAB_FACT_SIZE, ufs[0], 0, least, w.to_ns);
    if (least)
        return;
    lab_check_fail(c, LAB_ANSWERS,
                   "%s, asked at %lld us: %s says that file %llu has %llu bytes (version %llu), %s",
                   client, (long long)(w.from_ns / 1000), fsop_kind_name(op->kind),
                   (unsigned long long)a->ino.v, (unsigned long long)a->size,
                   (unsigned long long)a->version,
                   older ? "which was seen to be no more" : "which it never had in that time");
}

static uint8_t *data_buffer(struct lab_check *c, uint32_t len)
{
    uint8_t *b = mem_alloc(c->mem, len ? len : 1);
    ASSERT(b != NULL);
    return b;
}

/* remembers which of n bytes are right */
static void data_mark(uint8_t *ok, const uint8_t *is, const uint8_t *bytes, uint32_t n)
{
    if (!memcmp(is, bytes, n))
        memset(ok, 1, n);
    else
        for (uint32_t b = 0; b < n; b++)
            ok[b] |= is[b] == bytes[b];
}

/* somebody writes: each byte is that of some state in the time of the open */
static void data_live(struct lab_check *c, const char *client, struct lab_check_file *f,
                      uint64_t off, const uint8_t *bytes, uint32_t n)
{
    uint64_t ufs[16];
    uint32_t n_ufs = lab_model_files(c->model, f->ino, ufs, ARRAY_LEN(ufs));
    uint8_t *buf = data_buffer(c, n), *ok = data_buffer(c, n);
    memset(ok, 0, n);
    for (uint32_t i = 0; i < n_ufs; i++) {
        for (uint32_t k = lab_ufs_changes(c->ufs, ufs[i]); k > 0 && memchr(ok, 0, n); k--) {
            if (!data_may_see(c, ufs[i], k, f->opened_ns, true))
                break;
            uint32_t got;
            const uint8_t *is = lab_ufs_content(c->ufs, ufs[i], k, off, buf, n, &got);
            data_mark(ok, is, bytes, got);
            for (uint32_t b = got; b < n; b++) /* grown since: zeros until they are written */
                ok[b] |= bytes[b] == 0;
        }
    }
    for (uint32_t b = 0; b < n && n_ufs; b++) {
        if (ok[b])
            continue;
        lab_check_fail(c, LAB_DATA,
                       "%s read byte %llu of file %llu, which is being written, as %02x: it never "
                       "was that",
                       client, (unsigned long long)(off + b), (unsigned long long)f->ino.v,
                       bytes[b]);
        break;
    }
    mem_free(c->mem, buf, n ? n : 1);
    mem_free(c->mem, ok, n ? n : 1);
}

static void data_explain(struct lab_check *c, const char *client, const struct lab_check_file *f,
                         uint64_t off, uint32_t len, const uint8_t *bytes, uint32_t n)
{
    uint8_t *buf = data_buffer(c, len);
    uint64_t ufs = f->n_states ? f->states[0].ufs : 0;
    uint32_t k = f->n_states ? f->states[0].k : 0, got = 0, at = 0;
    const uint8_t *want = k ? lab_ufs_content(c->ufs, ufs, k, off, buf, len, &got) : buf;
    while (at < n && at < got && bytes[at] == want[at])
        at++;
    lab_check_fail(c, LAB_DATA,
                   "%s read %u of %u bytes at %llu of file %llu opened at %lld us: no state of it "
                   "in that time has them (the newest of %u, change %u of under-store inode %llu, "
                   "gives %u bytes and differs at byte %llu: %02x, read %02x)",
                   client, n, len, (unsigned long long)off, (unsigned long long)f->ino.v,
                   (long long)(f->opened_ns / 1000), f->n_states, k, (unsigned long long)ufs, got,
                   (unsigned long long)(off + at), at < got ? want[at] : 0, at < n ? bytes[at] : 0);
    mem_free(c->mem, buf, len ? len : 1);
}

/* The client's next open has that state or a later one; of a file that another one replaced below,
 * nothing is said. */
static void data_see(struct lab_check *c, struct lab_asker by, const struct lab_check_file *f)
{
    uint32_t least = f->states[0].k;
    for (uint32_t i = 1; i < f->n_states; i++) {
        if (f->states[i].ufs != f->states[0].ufs)
            return;
        least = f->states[i].k < least ? f->states[i].k : least;
    }
    lab_model_see(c->model, by, LAB_FACT_BYTES, f->states[0].ufs, 0, least, sim_now_ns(c->sim));
}

void lab_check_read(struct lab_check *c, const char *client, struct lab_check_file *f, bool live,
                    uint64_t off, uint32_t len, const void *bytes, uint32_t n)
{
    c->findings[LAB_DATA].checks++;
    f->seen_live |= live || lab_model_live_ns(c->model, f->ino) >= f->opened_ns;
    if (f->seen_live) {
        data_live(c, client, f, off, bytes, n);
        return;
    }
    struct lab_asker by = lab_model_asker(client, false);
    if (!f->begun && !data_begin(c, by, f))
        f->seen_live = true;
    if (f->seen_live)
        return;
    uint8_t *buf = data_buffer(c, len);
    uint32_t left = 0, got;
    struct lab_check_file was = *f;
    for (uint32_t i = 0; i < f->n_states; i++) {
        const uint8_t *want =
            lab_ufs_content(c->ufs, f->states[i].ufs, f->states[i].k, off, buf, len, &got);
        if (got == n && !memcmp(want, bytes, n))
            f->states[left++] = f->states[i];
    }
    f->n_states = left;
    mem_free(c->mem, buf, len ? len : 1);
    if (!left) {
        data_explain(c, client, &was, off, len, bytes, n);
        f->seen_live = true; /* said once */
    } else if (n == 0 && !was.begun_bytes) {
        f->begun = false; /* who has got no bytes yet may be given another version */
        f->n_states = 0;
    }
    f->begun_bytes |= n > 0;
    if (left && n)
        data_see(c, by, f);
}

void lab_check_held(struct lab_check *c, const char *client, const struct lab_check_file *f)
{
    struct session_id s = {f->session};
    c->findings[LAB_DATA].checks++;
    if (s.v && lab_model_is_reclaimed(c->model, f->ino) && meta_session_exists(c->state, s))
        lab_check_fail(c, LAB_DATA,
                       "%s holds file %llu, opened at %lld us in session %llu, which lasts; but it "
                       "was unlinked, and then reclaimed",
                       client, (unsigned long long)f->ino.v, (long long)(f->opened_ns / 1000),
                       (unsigned long long)s.v);
}

void lab_check_unread(struct lab_check *c, const char *client, struct lab_check_file *f, int err)
{
    uint64_t ufs[16];
    uint32_t n = lab_model_files(c->model, f->ino, ufs, ARRAY_LEN(ufs));
    bool is_retry = err_is_retry(err) || err == E_SESSION_EXPIRED || err == E_CLOSED;
    if (is_retry || n != 1 || f->seen_live || (c->cfg.store_fails && err == E_IO) ||
        lab_model_is_shared(c->model, ufs[0]) || lab_check_is_doubtful(c, f->ino) ||
        lab_model_is_reclaimed(c->model, f->ino)) /* see lab_check_held */
        return;
    /* Changed since, or so shortly before that the open need not have known?  What the cluster does
     * itself it says to all before it answers, after a change of leader, too, but for those whose
     * lease it waits for: nobody has to look below for it. */
    uint32_t k = lab_ufs_changes(c->ufs, ufs[0]);
    const struct lab_ufs_change *last = k ? lab_ufs_change(c->ufs, ufs[0], k - 1) : NULL;
    int64_t old_ns = f->opened_ns - c->cfg.told_ns;
    c->findings[LAB_DATA].checks++;
    if (!last || last->t_ns > old_ns || lab_ufs_touched_ns(c->ufs, ufs[0]) > old_ns ||
        lab_model_live_ns(c->model, f->ino) > old_ns || lab_ufs_stats(c->ufs)->behind != c->behind)
        return;
    lab_check_fail(c, LAB_DATA,
                   "%s: a read of file %llu, opened at %lld us, failed with %s, but nothing has "
                   "changed it since %lld us",
                   client, (unsigned long long)f->ino.v, (long long)(f->opened_ns / 1000),
                   err_name(err), (long long)(last->t_ns / 1000));
}

void lab_check_written(struct lab_check *c, const char *client, struct ino ino, uint64_t off,
                       const void *bytes, uint32_t len, struct lab_window w)
{
    uint64_t ufs[16];
    uint32_t n_ufs = lab_model_files(c->model, ino, ufs, ARRAY_LEN(ufs));
    uint8_t *buf = data_buffer(c, len), *ok = NULL;
    uint32_t missing = 0, got;
    bool whole = false;
    c->findings[LAB_DATA].checks++;
    /* byte by byte: a long write is several, and others write too */
    for (uint32_t i = 0; i < n_ufs && !whole; i++) {
        for (uint32_t k = lab_ufs_changes(c->ufs, ufs[i]); k > 0 && !whole; k--) {
            if (lab_ufs_change(c->ufs, ufs[i], k - 1)->t_ns < w.from_ns)
                break;
            const uint8_t *is = lab_ufs_content(c->ufs, ufs[i], k, off, buf, len, &got);
            whole = got == len && !memcmp(is, bytes, len);
            if (whole)
                break;
            if (!ok) {
                ok = data_buffer(c, len);
                memset(ok, 0, len);
            }
            data_mark(ok, is, bytes, got);
        }
    }
    for (uint32_t b = 0; b < len && n_ufs && !whole; b++)
        missing += !ok || !ok[b];
    mem_free(c->mem, buf, len ? len : 1);
    mem_free(c->mem, ok, len ? len : 1);
    if (missing)
        lab_check_fail(c, LAB_DATA,
                       "%s: a write of %u bytes at %llu of file %llu, begun at %lld us, was "
                       "acknowledged, but the under-store (%u inodes, the last %llu, %u changes) "
                       "never had %u of them",
                       client, len, (unsigned long long)off, (unsigned long long)ino.v,
                       (long long)(w.from_ns / 1000), n_ufs,
                       (unsigned long long)(n_ufs ? ufs[n_ufs - 1] : 0),
                       n_ufs ? lab_ufs_changes(c->ufs, ufs[n_ufs - 1]) : 0, missing);
}

/* ---- the under-store against the namespace ---- */

struct walk {
    struct lab_check *c;
    char path[LIMIT_BELOW]; /* in the under-store, with its name first */
    uint64_t names;
};

static void walk_wrong(struct walk *k, const char *what)
{
    lab_check_fail(k->c, LAB_STORE, "%s: %s", k->path, what);
}

/* attributes of one name on both sides */
static void walk_same(struct walk *k, const struct fsattr *a, const struct fsent *e,
                      const char *target)
{
    char text[300];
    uint32_t type = a->mode & FSOP_S_IFMT;
    bool live = a->flags & FSATTR_LIVE;
    bool same = a->mode == e->mode && a->uid == e->uid && a->gid == e->gid &&
                (type != FSOP_S_IFREG || live || a->size == e->size);
    if (!same) {
        fmt_into(text, sizeof text,
                 "inode %llu has mode %o uid %u gid %u size %llu, the under-store mode %o uid %u "
                 "gid %u size %llu",
                 (unsigned long long)a->ino.v, a->mode, a->uid, a->gid, (unsigned long long)a->size,
                 e->mode, e->uid, e->gid, (unsigned long long)e->size);
        walk_wrong(k, text);
    }
    if (type == FSOP_S_IFLNK && same) {
        char buf[LIMIT_PATH];
        struct fsop q = {.kind = FSOP_READLINK, .ino = a->ino};
        struct fsop_reply rep;
        meta_query(k->c->state, &q, buf, sizeof buf, &rep);
        if (rep.err || rep.data_len != e->size || memcmp(rep.data, target, rep.data_len) != 0)
            walk_wrong(k, "another link target in the under-store");
    }
}

static void walk_dir(struct walk *k, struct ino dir, unsigned depth);

static void walk_name(struct walk *k, const struct fsop_dirent *d, unsigned depth)
{
    size_t at = strlen(k->path);
    struct fsent e;
    char target[LIMIT_PATH] = "";
    if (d->attr.flags & FSATTR_MOUNT_ROOT)
        return;
    fmt_into(k->path + at, sizeof k->path - at, "/%.*s", (int)d->name_len, d->name);
    k->names++;
    if (lab_ufs_look(k->c->ufs, k->path, &e, target) != 0)
        walk_wrong(k, "is in the namespace, not in the under-store");
    else
        walk_same(k, &d->attr, &e, target);
    if ((d->attr.mode & FSOP_S_IFMT) == FSOP_S_IFDIR)
        walk_dir(k, d->attr.ino, depth + 1);
    k->path[at] = 0;
}

/* names that the under-store has and a complete listing lacks */
static void walk_missing(struct walk *k, struct ino dir)
{
    const char *name;
    size_t at = strlen(k->path);
    for (uint32_t i = 0; (name = lab_ufs_name(k->c->ufs, k->path, i)); i++) {
        struct fsop q = {
            .kind = FSOP_LOOKUP, .ino = dir, .name = name, .name_len = (uint32_t)strlen(name)};
        struct fsop_reply rep;
        if (!strcmp(name, ".tarn"))
            continue;
        meta_query(k->c->state, &q, NULL, 0, &rep);
        if (rep.err != E_NOENT)
            continue;
        fmt_into(k->path + at, sizeof k->path - at, "/%s", name);
        walk_wrong(k, "is in the under-store, not in the namespace");
        k->path[at] = 0;
    }
}

static void walk_dir(struct walk *k, struct ino dir, unsigned depth)
{
    struct fsop q = {.kind = FSOP_READDIR, .flags = FSOP_F_ABSENT, .ino = dir};
    struct fsop_reply rep;
    uint32_t cap = 8192;
    uint8_t *buf = data_buffer(k->c, cap);
    do {
        meta_query(k->c->state, &q, buf, cap, &rep);
        struct rbuf r = rbuf_make(rep.data, rep.data_len);
        struct fsop_dirent d;
        while (!rep.err && rbuf_left(&r) && fsop_dirent_get(&r, &d) == 0) {
            q.arg = d.cookie;
            if (depth < 32)
                walk_name(k, &d, depth);
        }
    } while (!rep.err && !(rep.flags & FSOP_R_EOF));
    if (!rep.err && (rep.attr.flags & FSATTR_LOADED))
        walk_missing(k, dir);
    mem_free(k->c->mem, buf, cap);
}

/* every hidden file belongs to somebody */
static void walk_orphans(struct walk *k)
{
    const char *name;
    fmt_into(k->path, sizeof k->path, "%s/.tarn", k->c->cfg.store);
    uint32_t n = 0;
    while (lab_ufs_name(k->c->ufs, k->path, n))
        n++;
    struct meta_stats s;
    meta_stats(k->c->state, &s);
    name = n ? lab_ufs_name(k->c->ufs, k->path, 0) : "";
    if (n > s.orphans)
        lab_check_fail(k->c, LAB_STORE, "%u hidden files (first %s), but %llu unlinked inodes", n,
                       name, (unsigned long long)s.orphans);
}

void lab_check_end(struct lab_check *c)
{
    struct walk *k = mem_zalloc(c->mem, sizeof *k);
    ASSERT(k != NULL);
    k->c = c;
    lab_check_whole(c);
    lab_check_append_over(c);
    fmt_into(k->path, sizeof k->path, "%s", c->cfg.store);
    walk_dir(k, INO_ROOT, 0);
    walk_orphans(k);
    c->findings[LAB_STORE].checks += k->names + 1;
    mem_free(c->mem, k, sizeof *k);
}
