/* sim/lab_model.c - the model's state, and what each committed record does to it (see
 * sim/lab_model.h). */
#include "sim/lab_model_impl.h"

void *lab_model_alloc(struct lab_model *m, size_t n)
{
    void *p = mem_zalloc(m->mem, n);
    ASSERT(p != NULL);
    return p;
}

/* room for one more in an array of *cap objects */
static void *model_grow(struct lab_model *m, void *old, uint64_t n, uint64_t *cap, size_t size)
{
    if (n < *cap)
        return old;
    uint64_t more = *cap ? 2 * *cap : 4;
    void *p = lab_model_alloc(m, more * size);
    if (n)
        memcpy(p, old, n * size);
    mem_free(m->mem, old, *cap * size);
    *cap = more;
    return p;
}

struct model_node *lab_model_find(const struct lab_model *m, struct ino ino)
{
    uint32_t slot = (uint32_t)ino.v;
    struct model_node *n = slot < m->n_slots ? m->slots[slot] : NULL;
    while (n && n->ino.v != ino.v)
        n = n->next;
    return n;
}

struct model_node *lab_model_node_new(struct lab_model *m, struct ino ino, uint64_t index,
                                      const struct model_version *first)
{
    uint32_t slot = (uint32_t)ino.v;
    if (slot >= m->n_slots) {
        uint32_t n = m->n_slots ? m->n_slots : 256;
        while (n <= slot)
            n *= 2;
        struct model_node **more = lab_model_alloc(m, n * sizeof *more);
        uint32_t *gone = lab_model_alloc(m, n * sizeof *gone);
        if (m->n_slots) {
            memcpy(more, m->slots, m->n_slots * sizeof *more);
            memcpy(gone, m->gone, m->n_slots * sizeof *gone);
        }
        mem_free(m->mem, m->slots, m->n_slots * sizeof *more);
        mem_free(m->mem, m->gone, m->n_slots * sizeof *gone);
        m->slots = more;
        m->gone = gone;
        m->n_slots = n;
    }
    struct model_node *n = lab_model_alloc(m, sizeof *n);
    n->ino = ino;
    n->live_ns = INT64_MIN;
    n->next = m->slots[slot];
    m->slots[slot] = n;
    uint64_t cap = 0;
    n->v = model_grow(m, NULL, 0, &cap, sizeof *n->v);
    n->cap_v = (uint32_t)cap;
    n->v[n->n_v++] = *first;
    n->v[0].from = index;
    return n;
}

struct model_version *lab_model_change(struct lab_model *m, struct model_node *n, uint64_t index)
{
    struct model_version last = n->v[n->n_v - 1];
    if (last.from == index)
        return &n->v[n->n_v - 1];
    uint64_t cap = n->cap_v;
    n->v = model_grow(m, n->v, n->n_v, &cap, sizeof *n->v);
    n->cap_v = (uint32_t)cap;
    last.from = index;
    n->v[n->n_v] = last;
    return &n->v[n->n_v++];
}

struct model_entry *lab_model_entry_now(const struct model_entries *l, const char *name,
                                        uint32_t len)
{
    uint32_t hash = lab_model_hash(name, len);
    for (uint32_t i = l->n; i-- > 0;)
        if (lab_model_entry_is(l, i, name, len, hash))
            return l->e[i]->to == MODEL_NEVER ? l->e[i] : NULL;
    return NULL;
}

void lab_model_entry_add(struct lab_model *m, struct model_entries *l, uint64_t index,
                         const char *name, uint32_t len, uint64_t value)
{
    struct model_entry *e = lab_model_alloc(m, sizeof *e);
    uint64_t cap = l->cap, cap_hash = l->cap;
    l->e = model_grow(m, l->e, l->n, &cap, sizeof *l->e);
    l->hash = model_grow(m, l->hash, l->n, &cap_hash, sizeof *l->hash);
    l->cap = (uint32_t)cap;
    e->from = index;
    e->to = MODEL_NEVER;
    e->value = value;
    e->len = len;
    e->seen = true;
    memcpy(e->name, name, len);
    l->hash[l->n] = lab_model_hash(name, len);
    l->e[l->n++] = e;
}

bool lab_model_may(const struct model_version *v, const struct fsop *op, uint32_t access)
{
    if (op->uid == 0)
        return !(access & FSOP_ACCESS_X) || (v->mode & FSOP_S_IFMT) == FSOP_S_IFDIR ||
               (v->mode & 0111);
    unsigned shift = op->uid == v->uid ? 6 : op->gid == v->gid ? 3 : 0;
    return (v->mode >> shift & access) == access;
}

struct lab_model *lab_model_open(struct mem *mem, int64_t slack_ns, uint64_t records)
{
    struct lab_model *m = mem_zalloc(mem, sizeof *m);
    ASSERT(m != NULL);
    m->mem = mem;
    m->slack_ns = slack_ns;
    struct model_version root = {.mode = FSOP_S_IFDIR | 0755};
    struct model_node *n = lab_model_node_new(m, INO_ROOT, 0, &root);
    n->parent = INO_ROOT;
    m->mount_mode[0] = FSOP_MOUNT_META;
    lab_ring_open(&m->stamps, mem, sizeof(struct model_stamp), records, 0);
    *(struct model_stamp *)lab_ring_push(&m->stamps, 0) =
        (struct model_stamp){INT64_MIN, INT64_MIN};
    m->cap_owners = records + 64;
    m->owners = lab_model_alloc(m, m->cap_owners * sizeof *m->owners);
    m->seen = lab_model_alloc(m, MODEL_SEEN * sizeof *m->seen);
    return m;
}

uint64_t lab_model_applied(const struct lab_model *m)
{
    return m->applied;
}

int64_t lab_model_applied_ns(const struct lab_model *m, uint64_t index)
{
    return index <= m->applied ? lab_model_began_ns(m, index) : INT64_MAX;
}

void lab_model_firm(struct lab_model *m, uint64_t index, int64_t now_ns)
{
    struct model_stamp *s = index ? lab_ring_at(&m->stamps, index) : NULL;
    if (s && now_ns < s->firm_ns)
        s->firm_ns = now_ns;
}

uint32_t lab_model_files(const struct lab_model *m, struct ino ino, uint64_t *ret_ufs, uint32_t max)
{
    const struct model_node *n = lab_model_find(m, ino);
    uint32_t k = n ? n->n_ufs : 0;
    k = k < max ? k : max;
    if (k)
        memcpy(ret_ufs, n->ufs, k * sizeof *ret_ufs);
    return k;
}

int64_t lab_model_live_ns(const struct lab_model *m, struct ino ino)
{
    const struct model_node *n = lab_model_find(m, ino);
    return n ? n->live_ns : INT64_MIN;
}

bool lab_model_is_reclaimed(const struct lab_model *m, struct ino ino)
{
    const struct model_node *n = lab_model_find(m, ino);
    return n && lab_model_now(n)->orphan && lab_model_now(n)->dead;
}

/* does anybody write it now? */
static void model_take_live(struct lab_model *m, int64_t now_ns, const struct meta *state,
                            struct ino ino)
{
    struct model_node *n = lab_model_find(m, ino);
    struct fsop q = {.kind = FSOP_GETATTR, .ino = ino};
    struct fsop_reply rep;
    if (!n)
        return;
    meta_query(state, &q, NULL, 0, &rep);
    bool live = !rep.err && (rep.attr.flags & FSATTR_LIVE);
    if (live)
        n->live_ns = INT64_MAX;
    else if (n->live_ns == INT64_MAX)
        n->live_ns = now_ns;
}

uint64_t lab_model_vanished(const struct lab_model *m)
{
    return m->vanished;
}

bool lab_model_is_shared(const struct lab_model *m, uint64_t ufs)
{
    return ufs < m->cap_owners && m->owners[ufs] == UINT64_MAX;
}

static void model_own(struct lab_model *m, uint64_t ufs, struct ino ino)
{
    while (ufs >= m->cap_owners)
        m->owners = model_grow(m, m->owners, m->cap_owners, &m->cap_owners, sizeof *m->owners);
    if (!m->owners[ufs])
        m->owners[ufs] = ino.v;
    else if (m->owners[ufs] != ino.v)
        m->owners[ufs] = UINT64_MAX;
}

/* ret: it is another file than before */
static bool model_file_is(struct lab_model *m, struct model_node *n, const struct fsent *e)
{
    if (!n || !e->ufs_ino || (e->mode & FSOP_S_IFMT) != FSOP_S_IFREG ||
        (n->n_ufs && n->ufs[n->n_ufs - 1] == e->ufs_ino))
        return false;
    bool other = n->n_ufs > 0;
    if (n->n_ufs == MODEL_UFS) {
        memmove(n->ufs, n->ufs + 1, (MODEL_UFS - 1) * sizeof n->ufs[0]);
        n->n_ufs--;
    }
    n->ufs[n->n_ufs++] = e->ufs_ino;
    model_own(m, e->ufs_ino, n->ino);
    return other;
}

/* ---- what the under-store brings: taken over from the real machine ---- */

/* the inode is gone, and with a directory everything below it; a file may have other names */
static void model_kill(struct lab_model *m, uint64_t index, struct ino ino)
{
    struct model_node *n = lab_model_find(m, ino);
    if (!n || lab_model_now(n)->dead)
        return;
    lab_model_change(m, n, index)->dead = true;
    for (uint32_t i = 0; i < n->names.n; i++) {
        struct model_entry *e = n->names.e[i];
        if (e->to != MODEL_NEVER)
            continue;
        e->to = index;
        struct model_node *c = lab_model_find(m, (struct ino){e->value});
        if (!c)
            continue;
        bool is_dir = (lab_model_now(c)->mode & FSOP_S_IFMT) == FSOP_S_IFDIR;
        if (is_dir || lab_model_now(c)->nlink <= 1)
            model_kill(m, index, c->ino);
        else
            lab_model_change(m, c, index)->nlink--;
    }
}

static void model_take_attr(struct lab_model *m, uint64_t index, const struct fsattr *a,
                            struct ino parent)
{
    struct model_node *n = lab_model_find(m, a->ino);
    struct model_version v = {.mode = a->mode,
                              .uid = a->uid,
                              .gid = a->gid,
                              .nlink = a->nlink,
                              .orphan = a->flags & FSATTR_ORPHAN};
    if (!n)
        n = lab_model_node_new(m, a->ino, index, &v);
    const struct model_version *now = lab_model_now(n);
    bool is_dir = (a->mode & FSOP_S_IFMT) == FSOP_S_IFDIR;
    if (now->mode != v.mode || now->uid != v.uid || now->gid != v.gid || now->dead ||
        now->orphan != v.orphan || (!is_dir && now->nlink != v.nlink)) {
        struct model_version *to = lab_model_change(m, n, index);
        v.from = index;
        *to = v;
    }
    n->mount = a->mount;
    n->mount_root = a->flags & FSATTR_MOUNT_ROOT;
    if (is_dir && parent.v)
        n->parent = parent;
}

/* the node as the real machine has it now: attributes, or that it is gone */
static void model_take_node(struct lab_model *m, uint64_t index, const struct meta *state,
                            struct ino ino)
{
    struct fsop q = {.kind = FSOP_GETATTR, .ino = ino};
    struct fsop_reply rep;
    meta_query(state, &q, NULL, 0, &rep);
    if (rep.err)
        model_kill(m, index, ino);
    else
        model_take_attr(m, index, &rep.attr, (struct ino){0});
}

/* A writer found what it had written; another file was put there behind our back, perhaps, whose
 * attributes the namespace takes over when the last writer has closed. */
static void model_closed(struct lab_model *m, uint64_t index, struct model_node *n,
                         const struct fsent *e, const struct meta *state)
{
    if (!n)
        return;
    n->is_other |= model_file_is(m, n, e);
    struct fsop q = {.kind = FSOP_GETATTR, .ino = n->ino};
    struct fsop_reply rep;
    meta_query(state, &q, NULL, 0, &rep);
    bool is_news = n->is_other || lab_model_is_shared(m, e->ufs_ino);
    if (!is_news || (!rep.err && rep.attr.ufs_ino != e->ufs_ino))
        return;
    n->is_other = false;
    model_take_node(m, index, state, n->ino);
}

static void model_take_name(struct lab_model *m, uint64_t index, const struct meta *state,
                            struct model_node *dir, const struct fsop_dirent *d)
{
    struct model_entry *e = lab_model_entry_now(&dir->names, d->name, d->name_len);
    if (e && e->value != d->attr.ino.v) {
        e->to = index;
        model_take_node(m, index, state, (struct ino){e->value}); /* it may have other names */
        e = NULL;
        m->vanished++;
    }
    if (!e)
        lab_model_entry_add(m, &dir->names, index, d->name, d->name_len, d->attr.ino.v);
    else
        e->seen = true;
    model_take_attr(m, index, &d->attr, dir->ino);
}

static void model_take_dir(struct lab_model *m, uint64_t index, const struct meta *state,
                           struct ino ino)
{
    uint8_t buf[16 * 1024];
    model_take_node(m, index, state, ino);
    struct model_node *dir = lab_model_find(m, ino);
    if (!dir || lab_model_now(dir)->dead ||
        (lab_model_now(dir)->mode & FSOP_S_IFMT) != FSOP_S_IFDIR)
        return;
    for (uint32_t i = 0; i < dir->names.n; i++)
        dir->names.e[i]->seen = false;
    struct fsop q = {.kind = FSOP_READDIR, .flags = FSOP_F_ABSENT, .ino = ino};
    struct fsop_reply rep;
    do {
        meta_query(state, &q, buf, sizeof buf, &rep);
        struct rbuf r = rbuf_make(rep.data, rep.data_len);
        struct fsop_dirent d;
        while (rep.err == 0 && rbuf_left(&r) && fsop_dirent_get(&r, &d) == 0) {
            model_take_name(m, index, state, dir, &d);
            q.arg = d.cookie;
        }
    } while (rep.err == 0 && !(rep.flags & FSOP_R_EOF));
    for (uint32_t i = 0; i < dir->names.n; i++) {
        struct model_entry *e = dir->names.e[i];
        if (e->to != MODEL_NEVER || e->seen)
            continue;
        e->to = index;
        m->vanished++;
        model_take_node(m, index, state, (struct ino){e->value});
    }
}

/* which files the names lead to; one that was left as it is (somebody writes it) is not that file
 */
static void model_take_batch(struct lab_model *m, const struct fsop *op, const struct meta *state)
{
    struct model_node *dir = lab_model_find(m, op->ino);
    struct rbuf r = rbuf_make(op->data, op->data_len);
    struct fsent e;
    while (dir && rbuf_left(&r) && fsop_ent_get(&r, &e) == 0) {
        struct model_entry *d =
            e.name_len ? lab_model_entry_now(&dir->names, e.name, e.name_len) : NULL;
        struct fsop q = {.kind = FSOP_GETATTR, .ino = {d ? d->value : 0}};
        struct fsop_reply rep;
        meta_query(state, &q, NULL, 0, &rep);
        if (d && !rep.err && rep.attr.ufs_ino == e.ufs_ino)
            model_file_is(m, lab_model_find(m, (struct ino){d->value}), &e);
    }
}

static void model_take(struct lab_model *m, uint64_t index, const struct fsop *op,
                       const struct meta_result *res, const struct meta *state)
{
    struct fsent e;
    struct rbuf r = rbuf_make(op->data, op->data_len);
    if (op->kind == FSOP_LOAD)
        model_take_dir(m, index, state, op->ino);
    for (unsigned i = 0; i < res->n_changes; i++) {
        const struct meta_change *c = &res->changes[i];
        if (c->kind == META_CHANGE_ENTRY || c->kind == META_CHANGE_DIR)
            model_take_dir(m, index, state, c->ino);
        else
            model_take_node(m, index, state, c->ino);
    }
    if (op->kind == FSOP_LOAD)
        model_take_batch(m, op, state);
    if (op->kind == FSOP_REFRESH && op->data_len && fsop_ent_get(&r, &e) == 0) {
        struct fsop q = {.kind = FSOP_GETATTR, .ino = op->ino};
        struct fsop_reply rep;
        meta_query(state, &q, NULL, 0, &rep);
        if (!rep.err && rep.attr.ufs_ino == e.ufs_ino) /* it was taken over, not refused */
            model_file_is(m, lab_model_find(m, op->ino), &e);
    }
}

/* ---- records ---- */

static void model_owe(struct lab_model *m, const struct fsop *op, uint64_t intent)
{
    struct model_owed *o = lab_model_alloc(m, sizeof *o);
    o->op = *op;
    o->intent = intent;
    if (op->name_len) /* a pointer to nothing may be NULL */
        memcpy(o->name, op->name, op->name_len);
    if (op->kind == FSOP_RENAME)
        memcpy(o->name2, op->name2, op->name2_len);
    if (op->kind == FSOP_SYMLINK)
        memcpy(o->target, op->data, op->data_len);
    o->op.name = o->name;
    o->op.name2 = o->name2;
    o->op.data = o->target;
    o->next = m->owed;
    m->owed = o;
}

/* an exchange's outcome says four things, the last of what is behind the first name now */
static void model_exchanged(struct lab_model *m, uint64_t index, const struct fsop *owed,
                            struct rbuf *r, const struct meta *state)
{
    struct model_node *dir = lab_model_find(m, owed->ino);
    struct model_entry *d = lab_model_entry_now(&dir->names, owed->name, owed->name_len);
    struct model_node *n = d ? lab_model_find(m, (struct ino){d->value}) : NULL;
    struct fsent e = {0};
    for (int i = 0; i < 3; i++)
        if (!rbuf_left(r) || fsop_ent_get(r, &e))
            return;
    if (n && n->n_ufs && e.ufs_ino &&
        (n->ufs[n->n_ufs - 1] != e.ufs_ino || lab_model_is_shared(m, e.ufs_ino)))
        model_take_node(m, index, state, n->ino);
    model_file_is(m, n, &e);
}

/* One of several inodes of a file below (tree_load.c): what was changed through another one it
 * takes over with its next outcome. */
static void model_take_shared(struct lab_model *m, uint64_t index, struct model_node *n,
                              const struct fsent *e)
{
    if (!n || !n->n_ufs || n->ufs[n->n_ufs - 1] != e->ufs_ino ||
        !lab_model_is_shared(m, e->ufs_ino))
        return;
    struct model_version *v = lab_model_change(m, n, index);
    v->mode = e->mode;
    v->uid = e->uid;
    v->gid = e->gid;
}

static bool model_outcome(struct lab_model *m, uint64_t index, const struct fsop *op,
                          const struct meta_result *res, const struct meta *state, char *ret_why)
{
    struct model_owed **at = &m->owed;
    while (*at && (*at)->intent != op->arg)
        at = &(*at)->next;
    struct model_owed *o = *at;
    if (!o) /* a listing's end, or it is answered E_STALE */
        return true;
    *at = o->next;
    bool ok = true;
    if (op->err == 0 && res->reply.err == 0) {
        struct fsent e;
        struct rbuf r = rbuf_make(op->data, op->data_len);
        bool has_ent = op->data_len && fsop_ent_get(&r, &e) == 0;
        if (has_ent && e.ufs_ino)
            model_take_shared(m, index, lab_model_find(m, res->reply.attr.ino), &e);
        ok = lab_model_ops_perform(m, index, &o->op, &res->reply.attr, ret_why);
        struct model_node *n = lab_model_find(m, res->reply.attr.ino);
        bool had = has_ent && e.ufs_ino && n && n->n_ufs; /* what was removed is nowhere */
        if (had && (n->is_other || n->ufs[n->n_ufs - 1] != e.ufs_ino)) {
            /* somebody had put another file there: it has its own attributes; a writer may have
             * found it before, and left it to the last one; who took a name away leaves it to
             * whoever comes next */
            model_take_node(m, index, state, n->ino);
            const struct model_version *v = lab_model_now(n);
            n->is_other = (o->op.kind == FSOP_UNLINK || o->op.kind == FSOP_RENAME) &&
                          ((v->mode ^ e.mode) & 07777 || v->uid != e.uid || v->gid != e.gid);
            ok = true;
        }
        if (ok && has_ent && n)
            model_file_is(m, n, &e);
        if (ok && has_ent && o->op.kind == FSOP_RENAME && (o->op.flags & FSOP_F_EXCHANGE))
            model_exchanged(m, index, &o->op, &r, state);
    } else if (op->err == 0) {
        fmt_into(ret_why, LAB_MODEL_WHY, "%s succeeded in the under-store, its outcome is %s",
                 fsop_kind_name(o->op.kind), err_name(res->reply.err));
        ok = false;
    }
    mem_free(m->mem, o, sizeof *o);
    return ok;
}

static bool model_mutation(struct lab_model *m, uint64_t index, const struct fsop *op,
                           const struct meta_result *res, char *ret_why)
{
    int real = res->reply.err;
    if (err_is_retry(real) || err_class(real) == ERR_CLASS_PROTO || real == E_NOSPC ||
        (res->reply.flags & FSOP_R_DUPLICATE))
        return true; /* no answer, or one that was judged when it was first given */
    int want = lab_model_ops_judge(m, op);
    if (want != real) {
        fmt_into(ret_why, LAB_MODEL_WHY, "%s of %llu \"%.*s\" answered %s, the model says %s",
                 fsop_kind_name(op->kind), (unsigned long long)op->ino.v, (int)op->name_len,
                 op->name ? op->name : "", real ? err_name(real) : "ok",
                 want ? err_name(want) : "ok");
        return false;
    }
    if (real)
        return true;
    if (res->reply.intent) {
        model_owe(m, op, res->reply.intent);
        return true;
    }
    return lab_model_ops_perform(m, index, op, &res->reply.attr, ret_why);
}

static void model_stamp(struct lab_model *m, uint64_t index, int64_t now_ns)
{
    while (m->applied < index) { /* places without a record share the next one's time */
        m->applied++;
        *(struct model_stamp *)lab_ring_push(&m->stamps, m->applied) =
            (struct model_stamp){now_ns, now_ns + m->slack_ns};
    }
}

static void model_learn_mounts(struct lab_model *m, const struct meta *state)
{
    for (uint16_t k = 1; k <= LIMIT_MOUNTS; k++) {
        struct fsop_mount_info i;
        m->mount_mode[k] = meta_mount_get(state, k, &i) == 0 ? (uint8_t)i.mode : 0;
    }
    model_take_dir(m, m->applied, state, INO_ROOT);
}

bool lab_model_apply(struct lab_model *m, uint64_t index, int64_t now_ns, const struct fsop *op,
                     const struct meta_result *res, const struct meta *state, char *ret_why)
{
    struct fsent e;
    struct rbuf r = rbuf_make(op->data, op->data_len);
    if (op->kind == FSOP_WRITE_OPEN || op->kind == FSOP_WRITE_CLOSE)
        model_take_live(m, now_ns, state, op->ino);
    else if (op->kind == FSOP_OUTCOME && res->reply.attr.ino.v)
        model_take_live(m, now_ns, state, res->reply.attr.ino);
    if (index <= m->applied) {
        fmt_into(ret_why, LAB_MODEL_WHY, "record %llu follows record %llu",
                 (unsigned long long)index, (unsigned long long)m->applied);
        return false;
    }
    model_stamp(m, index, now_ns);
    switch (op->kind) {
    case FSOP_MOUNT:
    case FSOP_UNMOUNT:
        model_learn_mounts(m, state);
        return true;
    case FSOP_LOAD:
    case FSOP_REFRESH:
        model_take(m, index, op, res, state);
        return true;
    case FSOP_RECLAIM:
        if (res->reply.err == 0)
            model_kill(m, index, op->ino);
        return true;
    case FSOP_WRITE_CLOSE:
        if (res->reply.err == 0 && op->data_len && fsop_ent_get(&r, &e) == 0)
            model_closed(m, index, lab_model_find(m, op->ino), &e, state);
        return true;
    case FSOP_OUTCOME:
        if (!model_outcome(m, index, op, res, state, ret_why))
            return false;
        if (res->reply.attr.ino.v) /* made and opened at once */
            model_take_live(m, now_ns, state, res->reply.attr.ino);
        return true;
    case FSOP_MKNOD:
    case FSOP_MKDIR:
    case FSOP_SYMLINK:
    case FSOP_LINK:
    case FSOP_UNLINK:
    case FSOP_RMDIR:
    case FSOP_RENAME:
    case FSOP_SETATTR:
    case FSOP_SETXATTR:
    case FSOP_REMOVEXATTR:
    case FSOP_WRITE_OPEN:
        return model_mutation(m, index, op, res, ret_why);
    default:
        return true;
    }
}

/* ---- the whole against the whole ---- */

static bool model_compare_dir(struct lab_model *m, const struct meta *state, struct model_node *dir,
                              char *ret_why)
{
    uint8_t buf[16 * 1024];
    struct fsop q = {.kind = FSOP_READDIR, .flags = FSOP_F_ABSENT, .ino = dir->ino};
    struct fsop_reply rep;
    uint32_t there = 0, here = 0;
    for (uint32_t i = 0; i < dir->names.n; i++)
        here += dir->names.e[i]->to == MODEL_NEVER;
    do {
        meta_query(state, &q, buf, sizeof buf, &rep);
        struct rbuf r = rbuf_make(rep.data, rep.data_len);
        struct fsop_dirent d;
        while (rep.err == 0 && rbuf_left(&r) && fsop_dirent_get(&r, &d) == 0) {
            const struct model_entry *e = lab_model_entry_now(&dir->names, d.name, d.name_len);
            const struct model_node *n = e ? lab_model_find(m, (struct ino){e->value}) : NULL;
            there++;
            q.arg = d.cookie;
            if (n && n->ino.v == d.attr.ino.v && lab_model_now(n)->mode == d.attr.mode &&
                ((d.attr.mode & FSOP_S_IFMT) == FSOP_S_IFDIR ||
                 lab_model_now(n)->nlink == d.attr.nlink))
                continue;
            fmt_into(ret_why, LAB_MODEL_WHY,
                     "directory %llu has \"%.*s\" = %llu mode %o nlink %u, the model %llu",
                     (unsigned long long)dir->ino.v, (int)d.name_len, d.name,
                     (unsigned long long)d.attr.ino.v, d.attr.mode, d.attr.nlink,
                     (unsigned long long)(e ? e->value : 0));
            return false;
        }
    } while (rep.err == 0 && !(rep.flags & FSOP_R_EOF));
    if (rep.err || there != here)
        fmt_into(ret_why, LAB_MODEL_WHY, "directory %llu: %s, %u names, the model has %u",
                 (unsigned long long)dir->ino.v, rep.err ? err_name(rep.err) : "listed", there,
                 here);
    return !rep.err && there == here;
}

bool lab_model_compare(struct lab_model *m, const struct meta *state, char *ret_why)
{
    for (uint32_t slot = 0; slot < m->n_slots; slot++) {
        for (struct model_node *n = m->slots[slot]; n; n = n->next) {
            struct fsop q = {.kind = FSOP_GETATTR, .ino = n->ino};
            struct fsop_reply rep;
            const struct model_version *v = lab_model_now(n);
            meta_query(state, &q, NULL, 0, &rep);
            bool same = v->dead ? rep.err == E_STALE
                                : rep.err == 0 && rep.attr.mode == v->mode &&
                                      rep.attr.uid == v->uid && rep.attr.gid == v->gid;
            if (!same) {
                fmt_into(ret_why, LAB_MODEL_WHY,
                         "inode %llu: %s mode %o uid %u, the model: %s mode %o uid %u",
                         (unsigned long long)n->ino.v, rep.err ? err_name(rep.err) : "alive",
                         rep.attr.mode, rep.attr.uid, v->dead ? "dead" : "alive", v->mode, v->uid);
                return false;
            }
            if (!v->dead && (v->mode & FSOP_S_IFMT) == FSOP_S_IFDIR &&
                !model_compare_dir(m, state, n, ret_why))
                return false;
        }
    }
    return true;
}
