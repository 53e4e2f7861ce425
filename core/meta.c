/* core/meta.c - the machine as a whole: open, apply, images (contract: core/meta.h).
 *
 * Files: inode dir xattr session mount intent hold one table each and its invariants; tree plans
 * and performs namespace operations over them (tree_ops, tree_rename, tree_attr, tree_load);
 * meta_query answers questions; meta_check verifies every invariant and hashes the state. */
#include "core/meta_internal.h"
#include "core/mutant.h"

static void meta_defs(struct store_def *d)
{
    d[TABLE_SUPER] = (struct store_def){sizeof(struct meta_super), STORE_PAGE};
    d[TABLE_INODE] = (struct store_def){sizeof(struct meta_inode), STORE_PAGE};
    d[TABLE_DENTRY] = (struct store_def){sizeof(struct meta_dentry), STORE_PAGE};
    d[TABLE_DENTRY_BUCKET] = (struct store_def){4, STORE_PAGE};
    d[TABLE_XATTR] = (struct store_def){sizeof(struct meta_xattr), STORE_PAGE_SMALL};
    d[TABLE_SESSION] = (struct store_def){sizeof(struct meta_session), STORE_PAGE_SMALL};
    d[TABLE_SESSION_BUCKET] = (struct store_def){4, STORE_PAGE_SMALL};
    d[TABLE_REPLY] = (struct store_def){sizeof(struct meta_reply), STORE_PAGE_SMALL};
    d[TABLE_REPLY_BUCKET] = (struct store_def){4, STORE_PAGE_SMALL};
    d[TABLE_WRITER] = (struct store_def){sizeof(struct meta_writer), STORE_PAGE_SMALL};
    d[TABLE_MOUNT] = (struct store_def){sizeof(struct meta_mount), STORE_PAGE_SMALL};
    d[TABLE_INTENT] = (struct store_def){sizeof(struct meta_intent_rec), STORE_PAGE_SMALL};
    d[TABLE_LOCK] = (struct store_def){sizeof(struct meta_lock), STORE_PAGE_SMALL};
    d[TABLE_LOCK_BUCKET] = (struct store_def){4, STORE_PAGE_SMALL};
    d[TABLE_ORPHAN] = (struct store_def){sizeof(struct meta_orphan_bits), STORE_PAGE_SMALL};
    store_blob_defs(d + TABLE_BLOB);
}

struct meta_super *meta_super_mut(struct meta *m)
{
    return store_mut(&m->st, TABLE_SUPER, 1);
}

const struct meta_super *meta_super(const struct meta *m)
{
    return store_get(&m->st, TABLE_SUPER, 1);
}

static void meta_new_state(struct meta *m)
{
    store_reset(&m->st);
    uint32_t slot = store_new_zero(&m->st, TABLE_SUPER);
    ASSERT(slot == 1);
    meta_super_mut(m)->rules = META_RULES_FIRST;
    slot = inode_new(m, FSOP_S_IFDIR | 0755, 0, 0, 0, 0);
    ASSERT(slot == META_ROOT);
    inode_mut(m, META_ROOT)->flags = INODE_LOADED;
}

int meta_open(struct mem *mem, const struct meta_limits *limits, struct meta **ret_m)
{
    struct meta *m = mem_zalloc(mem, sizeof *m);
    if (!m)
        return E_NOMEM;
    m->mem = mem;
    m->limits = *limits;
    m->mount_text = mem_alloc(mem, 2 * LIMIT_PATH);
    /* the first pages are few: if the budget cannot hold them, say so instead of panicking */
    if (!m->mount_text || mem->budget - mem->used < 256 * 1024) {
        mem_free(mem, m->mount_text, 2 * LIMIT_PATH);
        mem_free(mem, m, sizeof *m);
        return E_NOMEM;
    }
    struct store_def defs[TABLE_COUNT];
    meta_defs(defs);
    store_init(&m->st, mem, defs, TABLE_COUNT);
    meta_new_state(m);
    *ret_m = m;
    return 0;
}

void meta_close(struct meta *m)
{
    if (!m)
        return;
    store_reset(&m->st);
    mem_free(m->mem, m->mount_text, 2 * LIMIT_PATH);
    mem_free(m->mem, m, sizeof *m);
}

void meta_changed(struct meta *m, enum meta_change_kind kind, uint32_t node)
{
    struct meta_result *r = m->result;
    struct ino ino = inode_number(m, node);
    for (unsigned i = 0; i < r->n_changes; i++)
        if (r->changes[i].kind == kind && r->changes[i].ino.v == ino.v)
            return;
    if (r->n_changes < META_CHANGES_MAX)
        r->changes[r->n_changes++] = (struct meta_change){.kind = kind, .ino = ino};
}

void meta_changed_entry(struct meta *m, uint32_t dir, const char *name, uint32_t name_len)
{
    struct meta_result *r = m->result;
    if (r->n_changes == META_CHANGES_MAX)
        return;
    char *copy = m->names[r->n_changes];
    memcpy(copy, name, name_len);
    r->changes[r->n_changes++] = (struct meta_change){
        .kind = META_CHANGE_ENTRY, .ino = inode_number(m, dir), .name = copy, .name_len = name_len};
}

static int meta_reclaim(struct meta *m, const struct fsop *op)
{
    uint32_t node = inode_find(m, op->ino);
    if (!node)
        return E_STALE;
    const struct meta_inode *i = inode_at(m, node);
    if (!(i->flags & INODE_ORPHAN))
        return E_INVAL;
    if (i->file.writers)
        return E_BUSY;
    if (i->n_locks)
        return intent_refuse_node(m, node);
    meta_changed(m, META_CHANGE_ATTR, node);
    inode_free(m, node);
    return 0;
}

static int meta_version(struct meta *m, const struct fsop *op)
{
    if (op->arg < meta_super(m)->rules || op->arg > META_RULES) /* they do not go back */
        return E_VERSION;
    meta_super_mut(m)->rules = (uint16_t)op->arg;
    return 0;
}

static int meta_limits_set(struct meta *m, const struct fsop *op)
{
    uint64_t bytes = (uint64_t)op->mtime_ns, mib = bytes >> 20;
    uint64_t era = (uint64_t)op->atime_ns;
    if (era > meta_super(m)->era)
        meta_super_mut(m)->era = era;
    if (!op->size || !op->arg || op->arg > UINT32_MAX)
        return E_INVAL;
    if (mib > UINT32_MAX || (bytes && bytes < META_BYTES_LEAST))
        return E_INVAL;
    meta_super_mut(m)->memory_mib = (uint32_t)mib;
    meta_super_mut(m)->inodes_max = op->size;
    meta_super_mut(m)->sessions_max = (uint32_t)op->arg;
    return 0;
}

uint64_t meta_era(const struct meta *m)
{
    return meta_super(m)->era;
}

struct meta_limits meta_limits(const struct meta *m)
{
    const struct meta_super *sup = meta_super(m);
    if (!sup->inodes_max)
        return m->limits;
    return (struct meta_limits){.inodes_max = sup->inodes_max,
                                .sessions_max = sup->sessions_max,
                                .bytes_max = (uint64_t)sup->memory_mib << 20};
}

/* records that only the master itself writes */
static bool meta_is_masters(uint16_t kind)
{
    return kind == FSOP_LOAD || kind == FSOP_REFRESH || kind == FSOP_OUTCOME ||
           kind == FSOP_RECLAIM || kind == FSOP_VERSION || kind == FSOP_LIMITS || kind == FSOP_NOTE;
}

static int meta_dispatch(struct meta *m, uint64_t index, const struct fsop *op,
                         struct meta_result *r)
{
    switch (op->kind) {
    case FSOP_NOOP:
        return 0;
    case FSOP_SESSION_OPEN:
        return session_open(m, index, op, r);
    case FSOP_SESSION_CLOSE:
        return session_close(m, op);
    case FSOP_MOUNT:
        return mount_add(m, op, r);
    case FSOP_UNMOUNT:
        return mount_remove(m, op);
    case FSOP_LOAD:
        return tree_load(m, op, r);
    case FSOP_REFRESH:
        return tree_load_refresh(m, op);
    case FSOP_MKNOD:
    case FSOP_MKDIR:
    case FSOP_SYMLINK:
    case FSOP_LINK:
    case FSOP_UNLINK:
    case FSOP_RMDIR:
    case FSOP_RENAME:
    case FSOP_SETATTR:
    case FSOP_WRITE_OPEN:
        return tree_apply(m, op, r);
    case FSOP_WRITE_CLOSE:
        return tree_attr_write_close(m, op);
    case FSOP_SETXATTR:
        return xattr_set(m, op);
    case FSOP_REMOVEXATTR:
        return xattr_remove(m, op);
    case FSOP_OUTCOME:
        return tree_outcome(m, op, r);
    case FSOP_NOTE:
        return intent_note(m, op);
    case FSOP_RECLAIM:
        return meta_reclaim(m, op);
    case FSOP_VERSION:
        return meta_version(m, op);
    case FSOP_LIMITS:
        return meta_limits_set(m, op);
    default:
        return E_NOTSUP;
    }
}

/* an error that means "not now": no answer, so nothing is kept */
static bool meta_is_passing(int err)
{
    return err_is_retry(err) || err == E_SESSION_EXPIRED;
}

void meta_apply(struct meta *m, uint64_t index, const struct fsop *op, struct meta_result *ret_r)
{
    struct meta_super *sup = meta_super_mut(m);
    ASSERT(index > sup->applied);
    ASSERT(!m->loading);
    sup->applied = index;
    memset(ret_r, 0, sizeof *ret_r);
    ret_r->session = op->session;
    ret_r->seq = op->seq;
    m->result = ret_r;
    int err = 0;
    if (op->n_groups > LIMIT_GROUPS)
        err = E_PROTO;
    else if (op->session.v && meta_is_masters(op->kind))
        err = E_PERM;
    else if (op->session.v)
        err = session_begin(m, op, ret_r);
    if (err == 0) {
        err = meta_dispatch(m, index, op, ret_r);
        inode_touch_end(m);
        ret_r->reply.err = err;
        ret_r->reply.index = index;
        if (ret_r->session.v && ret_r->seq && !meta_is_passing(err))
            session_keep(m, ret_r->session, ret_r->seq, &ret_r->reply);
        else if (op->kind == FSOP_OUTCOME && ret_r->session.v)
            session_forget(m, ret_r->session, ret_r->seq);
    } else {
        ret_r->reply.err = err < 0 ? err : ret_r->reply.err;
        if (!ret_r->reply.index)
            ret_r->reply.index = index;
    }
    m->result = NULL;
}

uint64_t meta_applied(const struct meta *m)
{
    return m->st.t[TABLE_SUPER].live ? meta_super(m)->applied : 0;
}

void meta_stats(const struct meta *m, struct meta_stats *ret_s)
{
    const struct store_table *t = m->st.t;
    *ret_s = (struct meta_stats){
        .applied = meta_applied(m),
        .inodes = t[TABLE_INODE].live,
        .dentries = t[TABLE_DENTRY].live,
        .sessions = t[TABLE_SESSION].live,
        .intents = t[TABLE_INTENT].live,
        .orphans = t[TABLE_SUPER].live ? meta_super(m)->orphans : 0,
        .bytes = m->st.bytes,
    };
}

static void meta_intent_path(const struct meta *m, uint32_t node, const char *name, uint32_t n,
                             char *ret_path)
{
    struct meta_path_buf p;
    int err = dir_path(m, node, name, n, &p);
    ASSERT(err == 0); /* the plan that opened the intent has looked */
    memcpy(ret_path, p.b + p.at, LIMIT_BELOW - p.at);
}

static void meta_intent_paths(const struct meta *m, const struct fsop *op, struct meta_intent *i)
{
    uint32_t node = (uint32_t)i->ino.v, dir = (uint32_t)i->parent.v;
    struct meta_path_buf hidden;
    switch (op->kind) {
    case FSOP_LINK:
        meta_intent_path(m, node, NULL, 0, i->path);
        meta_intent_path(m, (uint32_t)i->parent2.v, op->name, op->name_len, i->path2);
        break;
    case FSOP_RENAME:
        meta_intent_path(m, dir, op->name, op->name_len, i->path);
        meta_intent_path(m, (uint32_t)i->parent2.v, op->name2, op->name2_len, i->path2);
        break;
    case FSOP_LOAD:
    case FSOP_SETATTR:
    case FSOP_WRITE_OPEN:
        meta_intent_path(m, node, NULL, 0, i->path);
        break;
    default:
        meta_intent_path(m, dir, op->name, op->name_len, i->path);
        break;
    }
    uint32_t lost = op->kind == FSOP_UNLINK       ? node
                    : op->kind != FSOP_RENAME     ? 0
                    : op->flags & FSOP_F_EXCHANGE ? 0
                                                  : (uint32_t)i->replaced.v;
    if (lost && !MUTANT(UNLINK_DROPS_BYTES) && inode_is_reg(inode_at(m, lost)) &&
        inode_at(m, lost)->nlink == 1) {
        dir_path_hidden(m, lost, &hidden);
        ASSERT(LIMIT_BELOW - hidden.at <= sizeof i->hidden);
        memcpy(i->hidden, hidden.b + hidden.at, LIMIT_BELOW - hidden.at);
    }
}

void meta_intent_clear(struct meta_intent *i)
{
    memset(i, 0, offsetof(struct meta_intent, hidden));
    i->hidden[0] = i->path[0] = i->path2[0] = i->target[0] = 0;
}

void meta_intent_copy(struct meta_intent *to, const struct meta_intent *from)
{
    memcpy(to, from, offsetof(struct meta_intent, hidden));
    memcpy(to->hidden, from->hidden, strlen(from->hidden) + 1);
    memcpy(to->path, from->path, strlen(from->path) + 1);
    memcpy(to->path2, from->path2, strlen(from->path2) + 1);
    memcpy(to->target, from->target, strlen(from->target) + 1);
}

static int meta_intent_fill(const struct meta *m, uint32_t slot, struct meta_intent *ret_i)
{
    const struct meta_intent_rec *rec = intent_at(m, slot);
    uint8_t b[LIMIT_PATH + 2 * LIMIT_NAME + 512];
    struct fsop op;
    int err = intent_op(m, slot, b, sizeof b, &op);
    if (err)
        return err;
    meta_intent_clear(ret_i);
    const struct meta_inode *i = inode_at(m, (uint32_t)rec->ino);
    ret_i->id = rec->id;
    ret_i->kind = rec->kind;
    ret_i->flags = op.flags;
    ret_i->mount = rec->mount;
    ret_i->session.v = rec->session;
    ret_i->seq = rec->seq;
    ret_i->ino.v = rec->ino;
    ret_i->parent.v = rec->parent;
    ret_i->parent2.v = rec->parent2;
    ret_i->replaced.v = rec->replaced;
    ret_i->fp = i->fp;
    ret_i->mode = op.kind == FSOP_SETATTR ? op.mode : i->mode;
    ret_i->uid = op.kind == FSOP_SETATTR ? op.set_uid : i->uid;
    ret_i->gid = op.kind == FSOP_SETATTR ? op.set_gid : i->gid;
    ret_i->rdev = op.rdev;
    ret_i->valid = op.valid;
    ret_i->size = op.size;
    ret_i->atime_ns = op.atime_ns;
    ret_i->mtime_ns = op.mtime_ns;
    ret_i->time_ns = op.time_ns;
    if (intent_is_exchange(&op) && op.size != META_NOT_NOTED) {
        ret_i->below = op.size;
        ret_i->below2 = (uint64_t)op.mtime_ns;
    }
    if (op.kind == FSOP_SYMLINK) {
        memcpy(ret_i->target, op.data, op.data_len);
        ret_i->target[op.data_len] = 0;
    }
    if (op.kind == FSOP_WRITE_OPEN && (op.valid & FSOP_SET_MODE))
        ret_i->mode = op.mode;
    meta_intent_paths(m, &op, ret_i);
    return 0;
}

int meta_intent_next(const struct meta *m, uint64_t after, struct meta_intent *ret_i)
{
    uint32_t s = intent_find(m, after);
    s = s ? intent_at(m, s)->next : meta_super(m)->intent_first;
    while (s && intent_at(m, s)->id <= after)
        s = intent_at(m, s)->next;
    return s ? meta_intent_fill(m, s, ret_i) : E_NOENT;
}

bool meta_intent_is_open(const struct meta *m, uint64_t id)
{
    return intent_find(m, id) != 0;
}

bool meta_name_is_locked(const struct meta *m, struct ino dir, const char *name, uint32_t len)
{
    uint32_t node = inode_find(m, dir);
    return node && intent_name_locked(m, node, name, len);
}

int meta_intent_get(const struct meta *m, uint64_t id, struct meta_intent *ret_i)
{
    uint32_t s = intent_find(m, id);
    return s ? meta_intent_fill(m, s, ret_i) : E_NOENT;
}

struct ino meta_orphan_next(const struct meta *m, struct ino after)
{
    return inode_orphan_next(m, after);
}

struct session_id meta_session_next(const struct meta *m, struct session_id after)
{
    return session_next(m, after);
}

struct ino meta_writer_next(const struct meta *m, struct session_id s, struct ino after)
{
    return session_writer_next(m, s, after);
}

bool meta_writes(const struct meta *m, struct session_id s, struct ino ino)
{
    return s.v && meta_file_writer_next(m, ino, (struct session_id){s.v - 1}).v == s.v;
}

struct session_id meta_file_writer_next(const struct meta *m, struct ino ino,
                                        struct session_id after)
{
    uint32_t node = inode_find(m, ino);
    bool is_reg = node && inode_is_reg(inode_at(m, node));
    return is_reg ? session_of_file_next(m, node, after) : (struct session_id){0};
}

struct session_id meta_file_writer_each(const struct meta *m, struct ino ino, uint32_t *at)
{
    uint32_t node = *at ? 0 : inode_find(m, ino);
    bool is_reg = node && inode_is_reg(inode_at(m, node));
    if (!*at && !is_reg)
        return (struct session_id){0};
    return session_of_file_each(m, node, at);
}

struct ino meta_writer_any(const struct meta *m, struct session_id s)
{
    return session_writer_any(m, s);
}

bool meta_session_exists(const struct meta *m, struct session_id s)
{
    return session_find(m, s) != 0;
}

int meta_path(const struct meta *m, struct ino ino, char *ret_path, size_t cap, uint16_t *ret_mount)
{
    uint32_t node = inode_find(m, ino);
    struct meta_path_buf p;
    if (!node)
        return E_STALE;
    int err = dir_path(m, node, NULL, 0, &p);
    if (err)
        return err;
    if (LIMIT_BELOW - p.at > cap)
        return E_NAMETOOLONG;
    memcpy(ret_path, p.b + p.at, LIMIT_BELOW - p.at);
    *ret_mount = inode_at(m, node)->mount;
    return 0;
}

int meta_path_other(const struct meta *m, struct ino ino, const char *path, char *ret_path,
                    size_t cap)
{
    uint32_t node = inode_find(m, ino), n;
    struct meta_path_buf p;
    if (!node)
        return E_STALE;
    for (uint32_t l = inode_at(m, node)->links; l; l = dir_at(m, l)->link_next) {
        const struct meta_dentry *d = dir_at(m, l);
        const char *name = dir_name(m, d, &n);
        if (dir_path(m, d->parent, name, n, &p) || LIMIT_BELOW - p.at > cap ||
            !strcmp(p.b + p.at, path))
            continue;
        memcpy(ret_path, p.b + p.at, LIMIT_BELOW - p.at);
        return 0;
    }
    return E_NOENT;
}

uint64_t meta_path_mark(const struct meta *m, struct ino ino)
{
    uint32_t node = inode_find(m, ino);
    struct meta_path_buf p;
    if (!node || dir_path(m, node, NULL, 0, &p) != 0)
        return 0;
    if (MUTANT(MARK_IGNORED))
        return 1;
    const struct meta_inode *i = inode_at(m, node);
    bool is_file = inode_is_reg(i); /* a directory's size and times change with its names */
    uint64_t now[] = {i->mount,
                      i->mode,
                      i->uid,
                      i->gid,
                      is_file ? i->version : 0,
                      is_file ? i->size : 0,
                      is_file ? (uint64_t)i->ctime_ns : 0};
    uint64_t mark = base_hash(p.b + p.at, LIMIT_BELOW - 1 - p.at, base_hash(now, sizeof now, 1));
    return mark ? mark : 1;
}

int meta_path_steady(const struct meta *m, struct ino ino, uint64_t mark, uint64_t *ret_intent)
{
    uint32_t node = inode_find(m, ino);
    uint32_t holder = node ? intent_holder(m, node) : 0;
    *ret_intent = holder ? intent_at(m, holder)->id : 0;
    return holder || meta_path_mark(m, ino) != mark ? E_CONFLICT : 0;
}

struct ino meta_parent(const struct meta *m, struct ino ino)
{
    uint32_t node = inode_find(m, ino);
    if (!node || inode_at(m, node)->flags & (INODE_ORPHAN | INODE_MOUNT_ROOT) ||
        !inode_at(m, node)->links)
        return (struct ino){0};
    return inode_number(m, dir_at(m, inode_at(m, node)->links)->parent);
}

int meta_mount_get(const struct meta *m, uint16_t number, struct fsop_mount_info *ret_i)
{
    return mount_get(m, number, ret_i);
}

void meta_image_begin(struct meta *m)
{
    store_image_begin(&m->st);
}

uint32_t meta_image_next(struct meta *m, void *buf, uint32_t cap)
{
    return store_image_next(&m->st, buf, cap);
}

void meta_image_end(struct meta *m)
{
    store_image_end(&m->st);
}

uint32_t meta_image_version(const struct meta *m, uint32_t *ret_oldest, uint32_t *ret_newest)
{
    *ret_oldest = STORE_VERSION_OLD;
    *ret_newest = STORE_VERSION;
    return m->st.loader.version;
}

int meta_image_load(struct meta *m, const void *piece, uint32_t len)
{
    if (!m->loading) {
        store_image_load_begin(&m->st);
        m->loading = true;
    }
    int err = store_image_load(&m->st, piece, len);
    if (err == 0 && len == 0 &&
        (m->st.t[TABLE_SUPER].live != 1 || m->st.t[TABLE_INODE].high <= META_ROOT ||
         meta_super(m)->rules > META_RULES))
        err = E_VERSION;
    if (err)
        meta_new_state(m);
    if (err || len == 0)
        m->loading = false;
    return err;
}
