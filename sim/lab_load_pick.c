/* sim/lab_load_pick.c - what a thread does next: a kind by weight, on something it has heard of
 * (see sim/lab_load.h). */
#include "sim/lab_load_impl.h"

static uint64_t pick_below(struct load_thread *t, uint64_t bound)
{
    return prng_below(&t->prng, bound);
}

/* ---- what the client has heard of ---- */

void lab_load_learn(struct load_client *lc, struct ino parent, const char *name, uint32_t len,
                    const struct fsattr *a)
{
    if (!a->ino.v || len > LIMIT_NAME || a->flags & FSATTR_MOUNT_ROOT)
        return;
    if (lc->l->names)
        lab_names_learn(lc->l->names, parent, name, len, a->ino);
    if (lc->l->cfg.weights[LAB_LOAD_APPEND] && len > 3 && !memcmp(name, "log", 3) &&
        (a->mode & FSOP_S_IFMT) == FSOP_S_IFREG)
        lab_load_log_add(lc->l, a->ino);
    uint32_t at = lc->n_known;
    for (uint32_t i = 0; i < lc->n_known; i++) {
        const struct load_known *k = &lc->known[i];
        if (k->ino.v == a->ino.v ||
            (k->parent.v == parent.v && k->len == len && !memcmp(k->name, name, len)))
            at = i;
    }
    if (at == LOAD_KNOWN)
        at = (uint32_t)(base_mix_u64(a->ino.v) % LOAD_KNOWN);
    if (at == lc->n_known)
        lc->n_known++;
    struct load_known *k = &lc->known[at];
    *k = (struct load_known){a->ino, parent, a->mode & FSOP_S_IFMT, len, ""};
    memcpy(k->name, name, len);
}

void lab_load_forget(struct load_client *lc, struct ino parent, const char *name, uint32_t len)
{
    for (uint32_t i = 0; i < lc->n_known; i++) {
        const struct load_known *k = &lc->known[i];
        if (k->parent.v == parent.v && k->len == len && !memcmp(k->name, name, len)) {
            lc->known[i] = lc->known[--lc->n_known];
            return;
        }
    }
}

/* something of one of the types (a mask of 1 << type >> 12), or NULL */
static const struct load_known *pick_known(struct load_thread *t, uint32_t types)
{
    const struct load_client *lc = t->lc;
    if (!lc->n_known)
        return NULL;
    uint32_t from = (uint32_t)pick_below(t, lc->n_known);
    for (uint32_t i = 0; i < lc->n_known; i++) {
        const struct load_known *k = &lc->known[(from + i) % lc->n_known];
        if (types & (1u << (k->type >> 12)))
            return k;
    }
    return NULL;
}

enum { PICK_DIR = 1 << 4, PICK_REG = 1 << 8, PICK_LINK = 1 << 10, PICK_ANY = 0xffff };

static struct ino pick_dir(struct load_thread *t)
{
    const struct load_known *k = pick_below(t, 3) ? pick_known(t, PICK_DIR) : NULL;
    return k ? k->ino : INO_ROOT;
}

static uint32_t pick_name(struct load_thread *t, char *to)
{
    uint64_t n = pick_below(t, t->lc->l->cfg.names);
    return (uint32_t)fmt_into(to, LIMIT_NAME, "n%llu", (unsigned long long)n);
}

/* ---- operations ---- */

static bool pick_new(struct load_thread *t, uint16_t kind)
{
    static const uint32_t modes[] = {0644, 0600, 0755, 0777, 0700};
    struct fsop *op = &t->req.fsop;
    op->kind = kind;
    op->ino = pick_dir(t);
    op->name = t->name;
    op->name_len = pick_name(t, t->name);
    op->mode = modes[pick_below(t, ARRAY_LEN(modes))];
    if (kind == FSOP_MKDIR)
        op->mode |= pick_below(t, 4) ? 0755 : 0;
    if (kind == FSOP_MKNOD && pick_below(t, 2)) {
        op->flags = FSOP_F_OPEN;
        t->steps = (uint32_t)pick_below(t, 4);
        t->sequential = true;
        t->at = 0;
        t->read_back = pick_below(t, 2);
    }
    if (kind == FSOP_SYMLINK) {
        op->mode = 0;
        op->data = t->data;
        uint64_t a = pick_below(t, 9), b = pick_below(t, 9); /* not in the call: order matters */
        op->data_len = (uint32_t)fmt_into(t->data, sizeof t->data, "n%llu/n%llu",
                                          (unsigned long long)a, (unsigned long long)b);
    }
    return true;
}

static void pick_named(struct load_thread *t, const struct load_known *k)
{
    struct fsop *op = &t->req.fsop;
    op->ino = k->parent;
    memcpy(t->name, k->name, k->len);
    op->name = t->name;
    op->name_len = k->len;
}

static bool pick_remove(struct load_thread *t, uint16_t kind)
{
    uint32_t types = pick_below(t, 16) == 0 ? PICK_ANY
                     : kind == FSOP_RMDIR   ? PICK_DIR
                                            : PICK_REG | PICK_LINK;
    const struct load_known *k = pick_known(t, types);
    if (!k || !k->len)
        return false;
    t->req.fsop.kind = kind;
    pick_named(t, k);
    return true;
}

static bool pick_rename(struct load_thread *t)
{
    struct fsop *op = &t->req.fsop;
    const struct load_known *k = pick_known(t, PICK_ANY);
    if (!k || !k->len)
        return false;
    op->kind = FSOP_RENAME;
    pick_named(t, k);
    op->ino2 = pick_below(t, 2) ? k->parent : pick_dir(t);
    op->name2 = t->name2;
    op->name2_len = pick_name(t, t->name2);
    uint64_t how = pick_below(t, 8);
    op->flags = how == 0 ? FSOP_F_NOREPLACE : how == 1 ? FSOP_F_EXCHANGE : 0;
    return true;
}

static bool pick_link(struct load_thread *t)
{
    struct fsop *op = &t->req.fsop;
    const struct load_known *k = pick_known(t, PICK_REG);
    if (!k)
        return false;
    op->kind = FSOP_LINK;
    op->ino = k->ino;
    op->ino2 = pick_dir(t);
    op->name = t->name;
    op->name_len = pick_name(t, t->name);
    return true;
}

static bool pick_setattr(struct load_thread *t)
{
    static const uint32_t modes[] = {0644, 0600, 0755, 0700, 0777};
    struct fsop *op = &t->req.fsop;
    const struct load_known *k = pick_known(t, PICK_REG | PICK_DIR);
    if (!k)
        return false;
    op->kind = FSOP_SETATTR;
    op->ino = k->ino;
    switch (pick_below(t, 5)) {
    case 0:
        op->valid = FSOP_SET_UID | FSOP_SET_GID;
        op->set_uid = op->set_gid = (uint32_t)(1000 + pick_below(t, 3));
        break;
    case 1:
        op->valid = FSOP_SET_SIZE;
        op->size = pick_below(t, t->lc->l->cfg.file_bytes);
        break;
    case 2:
        op->valid = FSOP_SET_ATIME | FSOP_SET_MTIME_NOW;
        op->atime_ns = 1600000000000000000 + (int64_t)pick_below(t, 1000);
        break;
    default:
        op->valid = FSOP_SET_MODE;
        op->mode = modes[pick_below(t, ARRAY_LEN(modes))];
        break;
    }
    return true;
}

static bool pick_xattr(struct load_thread *t)
{
    struct fsop *op = &t->req.fsop;
    const struct load_known *k = pick_known(t, PICK_REG | PICK_DIR);
    if (!k)
        return false;
    static const uint16_t kinds[] = {FSOP_SETXATTR, FSOP_GETXATTR, FSOP_REMOVEXATTR};
    op->kind = kinds[pick_below(t, 3)];
    op->ino = k->ino;
    op->name = t->name;
    op->name_len = (uint32_t)fmt_into(t->name, sizeof t->name, "user.%llu",
                                      (unsigned long long)pick_below(t, 3));
    if (op->kind == FSOP_SETXATTR) {
        op->data = t->data;
        op->data_len = (uint32_t)fmt_into(t->data, sizeof t->data, "value %llu",
                                          (unsigned long long)pick_below(t, 1000));
        if (pick_below(t, 4) == 0)
            op->flags = pick_below(t, 2) ? FSOP_F_XATTR_CREATE : FSOP_F_XATTR_REPLACE;
    }
    return true;
}

static bool pick_look(struct load_thread *t)
{
    struct fsop *op = &t->req.fsop;
    const struct load_known *k = pick_below(t, 3) ? pick_known(t, PICK_ANY) : NULL;
    op->kind = FSOP_LOOKUP;
    if (k && k->len) {
        pick_named(t, k);
        return true;
    }
    op->ino = pick_dir(t);
    op->name = t->name;
    op->name_len = pick_name(t, t->name);
    return true;
}

static bool pick_get(struct load_thread *t)
{
    struct fsop *op = &t->req.fsop;
    const struct load_known *k = pick_known(t, PICK_ANY);
    if (!k)
        return false;
    op->ino = k->ino;
    op->kind = k->type == FSOP_S_IFLNK && pick_below(t, 2) ? FSOP_READLINK : FSOP_GETATTR;
    if (op->kind == FSOP_GETATTR && pick_below(t, 4) == 0) {
        op->kind = FSOP_ACCESS;
        op->mode = 1 + (uint32_t)pick_below(t, 7);
    }
    return true;
}

static bool pick_open(struct load_thread *t, bool to_write)
{
    struct fsop *op = &t->req.fsop;
    const struct load_known *k = pick_known(t, PICK_REG);
    if (!k || (to_write && lab_load_is_log(t->lc->l, k->ino)))
        return false;
    op->kind = FSOP_OPEN;
    op->ino = k->ino;
    op->mode = FSOP_ACCESS_R | (to_write ? FSOP_ACCESS_W : 0);
    if (to_write && pick_below(t, 4) == 0)
        op->flags = FSOP_F_TRUNC;
    t->steps = 1 + (uint32_t)pick_below(t, 4);
    t->sequential = pick_below(t, 2);
    t->at = 0;
    t->read_back = to_write && pick_below(t, 2);
    return true;
}

/* the client's n-th log, if it has heard of it */
static const struct load_known *pick_log(struct load_thread *t)
{
    const struct load_client *lc = t->lc;
    uint32_t n = (uint32_t)pick_below(t, lc->l->cfg.logs);
    t->req.fsop.ino = INO_ROOT;
    t->req.fsop.name = t->name;
    t->req.fsop.name_len = (uint32_t)fmt_into(t->name, LIMIT_NAME, "log%u", n);
    for (uint32_t i = 0; i < lc->n_known; i++) {
        const struct load_known *k = &lc->known[i];
        if (k->parent.v == INO_ROOT.v && k->len == t->req.fsop.name_len &&
            !memcmp(k->name, t->name, k->len) && k->type == FSOP_S_IFREG)
            return k;
    }
    return NULL;
}

static bool pick_append(struct load_thread *t)
{
    struct fsop *op = &t->req.fsop;
    const struct load_known *k = pick_log(t);
    bool looks = pick_below(t, k ? 16 : 2) == 0;
    op->uid = op->gid = 0;
    t->steps = 1 + (uint32_t)pick_below(t, 4);
    t->sequential = true;
    t->at = 0;
    t->read_back = !pick_below(t, 4);
    t->appends = true;
    if (looks) {
        op->kind = FSOP_LOOKUP;
        return true;
    }
    if (!k) {
        op->kind = FSOP_MKNOD;
        op->mode = 0666;
        op->flags = FSOP_F_OPEN;
        return true;
    }
    op->kind = FSOP_OPEN;
    op->ino = k->ino;
    op->name_len = 0;
    op->mode = FSOP_ACCESS_R | FSOP_ACCESS_W;
    if (t->lc->l->cfg.weights[LAB_LOAD_CUT] && pick_below(t, 8) == 0)
        op->flags = FSOP_F_TRUNC;
    return true;
}

static bool pick_cut(struct load_thread *t)
{
    const struct lab_load_config *cfg = &t->lc->l->cfg;
    struct fsop *op = &t->req.fsop;
    const struct load_known *k = pick_log(t);
    if (!k)
        return false;
    uint64_t how = pick_below(t, 4), size = pick_below(t, 2 * (uint64_t)cfg->io_bytes);
    op->uid = op->gid = 0;
    op->kind = FSOP_SETATTR;
    op->ino = k->ino;
    op->name_len = 0;
    op->valid = FSOP_SET_SIZE;
    op->size = how < 2 ? 0 : how == 2 ? size : pick_below(t, cfg->file_bytes);
    return true;
}

static bool pick_kind(struct load_thread *t)
{
    struct fsop *op = &t->req.fsop;
    switch (t->kind) {
    case LAB_LOAD_CREATE:
        return pick_new(t, FSOP_MKNOD);
    case LAB_LOAD_MKDIR:
        return pick_new(t, FSOP_MKDIR);
    case LAB_LOAD_SYMLINK:
        return pick_new(t, FSOP_SYMLINK);
    case LAB_LOAD_LINK:
        return pick_link(t);
    case LAB_LOAD_UNLINK:
        return pick_remove(t, FSOP_UNLINK);
    case LAB_LOAD_RMDIR:
        return pick_remove(t, FSOP_RMDIR);
    case LAB_LOAD_RENAME:
        return pick_rename(t);
    case LAB_LOAD_SETATTR:
        return pick_setattr(t);
    case LAB_LOAD_XATTR:
        return pick_xattr(t);
    case LAB_LOAD_LOOKUP:
        return pick_look(t);
    case LAB_LOAD_GETATTR:
        return pick_get(t);
    case LAB_LOAD_LIST:
        op->kind = FSOP_READDIR;
        op->ino = pick_dir(t);
        op->size = 300 + pick_below(t, 3000);
        t->n_list = 0;
        return true;
    case LAB_LOAD_READ:
        return pick_open(t, false);
    case LAB_LOAD_WRITE:
        return pick_open(t, true);
    case LAB_LOAD_APPEND:
        return pick_append(t);
    case LAB_LOAD_CUT:
        return pick_cut(t);
    case LAB_LOAD_KINDS:
        break;
    }
    return false;
}

bool lab_load_pick(struct load_thread *t)
{
    const struct lab_load_config *cfg = &t->lc->l->cfg;
    uint64_t total = 0;
    for (unsigned k = 0; k < LAB_LOAD_KINDS; k++)
        total += cfg->weights[k];
    if (!total)
        return false;
    uint64_t at = pick_below(t, total);
    unsigned k = 0;
    while (at >= cfg->weights[k])
        at -= cfg->weights[k++];
    t->kind = (enum lab_load_kind)k;
    t->appends = false;
    memset(&t->req.fsop, 0, sizeof t->req.fsop);
    if (cfg->users && pick_below(t, 3) == 0)
        t->req.fsop.uid = t->req.fsop.gid = (uint32_t)(1000 + pick_below(t, cfg->users));
    return pick_kind(t);
}
