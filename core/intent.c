/* core/intent.c - open intents (effects owed to an under-store) and the locks they hold.
 *
 * INVARIANTS
 *  1. An id is (count << 20 | slot): ids rise, and one is found without a search.
 *  2. Every lock belongs to one open intent; inode.n_locks counts those on an inode (not NAMEs).
 *  3. No two intents hold locks that exclude each other: the same name, the same inode (INODE or
 *     TREE), anything below a TREE, any name of a directory under LOAD.
 *  4. A name whose intent ends while its directory is being listed stays locked by the listing: the
 *     listing may have read the directory before or after the change, so it must not touch it. */
#include "core/meta_internal.h"
#include "core/mutant.h"

static const struct meta_lock *intent_lock_at(const struct meta *m, uint32_t l)
{
    return store_get(&m->st, TABLE_LOCK, l);
}

const struct meta_intent_rec *intent_at(const struct meta *m, uint32_t slot)
{
    return store_get(&m->st, TABLE_INTENT, slot);
}

static struct meta_intent_rec *intent_mut(struct meta *m, uint32_t slot)
{
    return store_mut(&m->st, TABLE_INTENT, slot);
}

static uint32_t intent_node_hash(uint32_t node)
{
    return (uint32_t)base_mix_u64(node);
}

static bool intent_none(const struct meta *m)
{
    return m->st.t[TABLE_LOCK].live == 0;
}

/* the first lock of that kind on node, or 0 */
static uint32_t intent_node_lock(const struct meta *m, uint32_t node, enum meta_lock_kind kind)
{
    if (intent_none(m) || inode_at(m, node)->n_locks == 0)
        return 0;
    uint32_t l = store_index_first(&m->st, TABLE_LOCK_BUCKET, TABLE_LOCK, intent_node_hash(node));
    for (; l; l = store_index_next(&m->st, TABLE_LOCK, l)) {
        const struct meta_lock *k = intent_lock_at(m, l);
        if (k->node == node && k->kind == (uint32_t)kind)
            return l;
    }
    return 0;
}

uint32_t intent_loading(const struct meta *m, uint32_t dir)
{
    uint32_t l = intent_node_lock(m, dir, LOCK_LOAD);
    return l ? intent_lock_at(m, l)->intent : 0;
}

/* says who is in the way, so that the request can wait for just that */
static int intent_refuse(const struct meta *m, uint32_t slot)
{
    if (m->result)
        m->result->conflict = intent_at(m, slot)->id;
    return E_CONFLICT;
}

int intent_refuse_node(const struct meta *m, uint32_t node)
{
    uint32_t l = store_index_first(&m->st, TABLE_LOCK_BUCKET, TABLE_LOCK, intent_node_hash(node));
    for (; l; l = store_index_next(&m->st, TABLE_LOCK, l))
        if (intent_lock_at(m, l)->node == node && intent_lock_at(m, l)->kind != LOCK_NAME)
            return intent_refuse(m, intent_lock_at(m, l)->intent);
    return E_CONFLICT;
}

/* the lock of that name, or 0 */
static uint32_t intent_name_lock(const struct meta *m, uint32_t dir, const char *name, uint32_t n)
{
    if (intent_none(m))
        return 0;
    uint32_t l = store_index_first(&m->st, TABLE_LOCK_BUCKET, TABLE_LOCK, dir_hash(dir, name, n));
    for (; l; l = store_index_next(&m->st, TABLE_LOCK, l)) {
        const struct meta_lock *k = intent_lock_at(m, l);
        uint32_t have;
        if (k->node != dir || k->kind != LOCK_NAME)
            continue;
        const char *s = store_blob_short(&m->st, TABLE_BLOB, k->name, &have);
        if (have == n && !memcmp(s, name, n))
            return l;
    }
    return 0;
}

bool intent_name_locked(const struct meta *m, uint32_t dir, const char *name, uint32_t n)
{
    return intent_name_lock(m, dir, name, n) != 0;
}

int intent_may_below(const struct meta *m, uint32_t node)
{
    if (meta_super(m)->tree_locks == 0)
        return 0;
    for (; node; node = dir_parent(m, node)) {
        uint32_t l = intent_node_lock(m, node, LOCK_TREE);
        if (l)
            return intent_refuse(m, intent_lock_at(m, l)->intent);
    }
    return 0;
}

int intent_may_name(const struct meta *m, uint32_t dir, const char *name, uint32_t n)
{
    if (intent_none(m) || MUTANT(NAMES_UNLOCKED))
        return 0;
    uint32_t load = intent_loading(m, dir), l = intent_name_lock(m, dir, name, n);
    if (load || l)
        return intent_refuse(m, load ? load : intent_lock_at(m, l)->intent);
    return intent_may_below(m, dir);
}

uint32_t intent_holder(const struct meta *m, uint32_t node)
{
    uint32_t l = intent_node_lock(m, node, LOCK_INODE);
    if (!l && meta_super(m)->tree_locks)
        for (; node && !l; node = dir_parent(m, node))
            l = intent_node_lock(m, node, LOCK_TREE);
    return l ? intent_lock_at(m, l)->intent : 0;
}

int intent_may_inode(const struct meta *m, uint32_t node)
{
    uint32_t holder = intent_holder(m, node);
    return holder ? intent_refuse(m, holder) : 0;
}

/* the first intent with a lock on top or below it, or 0 */
static uint32_t intent_below(const struct meta *m, uint32_t top)
{
    if (intent_none(m))
        return 0;
    for (uint32_t s = meta_super(m)->intent_first; s; s = intent_at(m, s)->next)
        for (uint32_t l = intent_at(m, s)->locks; l; l = intent_lock_at(m, l)->next)
            if (dir_is_below(m, intent_lock_at(m, l)->node, top))
                return s;
    return 0;
}

bool intent_locks_below(const struct meta *m, uint32_t top)
{
    return intent_below(m, top) != 0;
}

int intent_may_tree(const struct meta *m, uint32_t node)
{
    if (intent_none(m))
        return 0;
    uint32_t below = intent_below(m, node);
    return below ? intent_refuse(m, below) : intent_may_below(m, node);
}

int intent_may_load(const struct meta *m, uint32_t dir)
{
    if (intent_none(m))
        return 0;
    uint32_t load = intent_loading(m, dir);
    return load ? intent_refuse(m, load) : intent_may_below(m, dir);
}

int intent_room(const struct meta *m)
{
    return m->st.t[TABLE_INTENT].live < META_INTENTS_MAX ? room_intent(m) : E_AGAIN;
}

uint32_t intent_open(struct meta *m, const struct intent_spec *spec, struct meta_result *r)
{
    uint8_t b[LIMIT_PATH + 2 * LIMIT_NAME + 512];
    struct wbuf w = wbuf_make(b, sizeof b);
    struct fsop op = *spec->op;
    if (op.kind != FSOP_SYMLINK)
        op.data_len = 0; /* what the kind does not use was not checked either */
    if (op.kind != FSOP_RENAME)
        op.name2_len = 0;
    if (intent_is_exchange(&op)) /* of the length that it will have: a note takes no more room */
        op.size = META_NOT_NOTED, op.mtime_ns = (int64_t)META_NOT_NOTED;
    fsop_put(&w, &op);
    ASSERT(!w.bad);
    struct meta_super *sup = meta_super_mut(m);
    uint32_t slot = store_new_zero(&m->st, TABLE_INTENT);
    ASSERT(slot < (uint32_t)1 << META_INTENT_SHIFT);
    struct meta_intent_rec *i = intent_mut(m, slot);
    i->id = ++sup->intent_count << META_INTENT_SHIFT | slot;
    i->kind = spec->op->kind;
    i->mount = spec->mount;
    i->session = spec->op->session.v;
    i->seq = spec->op->seq;
    i->ino = inode_number(m, spec->node).v;
    i->parent = inode_number(m, spec->dir).v;
    i->parent2 = inode_number(m, spec->dir2).v;
    i->replaced = inode_number(m, spec->replaced).v;
    i->op = store_blob_new(&m->st, TABLE_BLOB, b, w.len);
    i->prev = sup->intent_last;
    if (sup->intent_last)
        intent_mut(m, sup->intent_last)->next = slot;
    else
        sup->intent_first = slot;
    sup->intent_last = slot;
    r->reply.intent = i->id;
    return slot;
}

static uint32_t intent_lock(struct meta *m, uint32_t intent, enum meta_lock_kind kind,
                            uint32_t node, uint32_t name, uint32_t hash)
{
    uint32_t slot = store_new_zero(&m->st, TABLE_LOCK);
    struct meta_lock *l = store_mut(&m->st, TABLE_LOCK, slot);
    struct meta_intent_rec *i = intent_mut(m, intent);
    l->intent = intent;
    l->node = node;
    l->name = name;
    l->kind = (uint32_t)kind;
    l->next = i->locks;
    i->locks = slot;
    store_index_insert(&m->st, TABLE_LOCK_BUCKET, TABLE_LOCK, slot, hash);
    return slot;
}

void intent_lock_name(struct meta *m, uint32_t intent, uint32_t dir, const char *name, uint32_t n)
{
    uint32_t blob = store_blob_new(&m->st, TABLE_BLOB, name, n);
    intent_lock(m, intent, LOCK_NAME, dir, blob, dir_hash(dir, name, n));
}

void intent_lock_node(struct meta *m, uint32_t intent, enum meta_lock_kind kind, uint32_t node)
{
    intent_lock(m, intent, kind, node, 0, intent_node_hash(node));
    inode_mut(m, node)->n_locks++;
    if (kind == LOCK_TREE)
        meta_super_mut(m)->tree_locks++;
}

uint32_t intent_find(const struct meta *m, uint64_t id)
{
    uint32_t slot = (uint32_t)(id & (((uint32_t)1 << META_INTENT_SHIFT) - 1));
    if (slot == 0 || slot >= m->st.t[TABLE_INTENT].high)
        return 0;
    return intent_at(m, slot)->id == id ? slot : 0;
}

int intent_op(const struct meta *m, uint32_t slot, void *buf, uint32_t cap, struct fsop *ret_op)
{
    uint32_t n = store_blob_copy(&m->st, TABLE_BLOB, intent_at(m, slot)->op, buf, cap);
    if (n > cap)
        return E_RANGE;
    struct rbuf r = rbuf_make(buf, n);
    return fsop_get(&r, ret_op);
}

/* An exchange looks the same before and after but for what is where, which the namespace alone
 * does not know of directories.  So it is written down under the locks, before anything is done. */
int intent_note(struct meta *m, const struct fsop *op)
{
    uint8_t b[LIMIT_PATH + 2 * LIMIT_NAME + 512];
    struct fsop owed;
    uint32_t slot = intent_find(m, op->arg);
    if (!slot)
        return E_STALE;
    int err = intent_op(m, slot, b, sizeof b, &owed);
    ASSERT(err == 0);
    if (!intent_is_exchange(&owed) || !op->size || !op->mtime_ns || op->size == META_NOT_NOTED)
        return E_INVAL;
    if (owed.size != META_NOT_NOTED)
        return E_EXIST;
    uint8_t to[sizeof b];
    struct wbuf w = wbuf_make(to, sizeof to);
    owed.size = op->size;
    owed.mtime_ns = op->mtime_ns;
    fsop_put(&w, &owed);
    ASSERT(!w.bad);
    struct meta_intent_rec *i = intent_mut(m, slot);
    store_blob_free(&m->st, TABLE_BLOB, i->op);
    i->op = store_blob_new(&m->st, TABLE_BLOB, to, w.len);
    return 0;
}

static void intent_unlock(struct meta *m, uint32_t lock, uint32_t closing)
{
    struct meta_lock *l = store_mut(&m->st, TABLE_LOCK, lock);
    if (l->kind == LOCK_NAME) {
        uint32_t load = intent_loading(m, l->node);
        if (load && load != closing && !MUTANT(LISTING_WINS)) {
            l->intent = load;
            l->next = intent_at(m, load)->locks;
            intent_mut(m, load)->locks = lock;
            return;
        }
        store_blob_free(&m->st, TABLE_BLOB, l->name);
    } else {
        inode_mut(m, l->node)->n_locks--;
        if (l->kind == LOCK_TREE)
            meta_super_mut(m)->tree_locks--;
    }
    store_index_remove(&m->st, TABLE_LOCK_BUCKET, TABLE_LOCK, lock);
    store_free(&m->st, TABLE_LOCK, lock);
}

void intent_close(struct meta *m, uint32_t slot)
{
    struct meta_super *sup = meta_super_mut(m);
    struct meta_intent_rec *i = intent_mut(m, slot);
    for (uint32_t l = i->locks, next; l; l = next) {
        next = intent_lock_at(m, l)->next;
        intent_unlock(m, l, slot);
    }
    if (i->prev)
        intent_mut(m, i->prev)->next = i->next;
    else
        sup->intent_first = i->next;
    if (i->next)
        intent_mut(m, i->next)->prev = i->prev;
    else
        sup->intent_last = i->prev;
    store_blob_free(&m->st, TABLE_BLOB, i->op);
    memset(i, 0, sizeof *i);
    store_free(&m->st, TABLE_INTENT, slot);
}
