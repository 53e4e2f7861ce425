/* core/fsop.c - the codec of operations, answers and what lies inside them.
 *
 * INVARIANTS
 *  1. decode(encode(x)) == x for every x whose lengths respect core/limits.h.
 *  2. A decoder reads only inside its rbuf and leaves *ret_* zero where a field is absent.
 *  3. An encoder that runs out of room, or is given a length beyond the format, sets w->bad.
 *
 * Operations and answers carry a presence mask because most fields of most operations are zero and
 * the journal writes them all; entries and attributes are dense and are written in full. */
#include "core/fsop.h"

enum fsop_field { /* bits of the mask; the order of the fields; never renumber */
                  FIELD_SESSION,
                  FIELD_SEQ,
                  FIELD_ACKED,
                  FIELD_TIME,
                  FIELD_UID,
                  FIELD_GID,
                  FIELD_GROUPS,
                  FIELD_INO,
                  FIELD_INO2,
                  FIELD_MODE,
                  FIELD_RDEV,
                  FIELD_VALID,
                  FIELD_SET_UID,
                  FIELD_SET_GID,
                  FIELD_SIZE,
                  FIELD_ATIME,
                  FIELD_MTIME,
                  FIELD_ARG,
                  FIELD_ERR,
                  FIELD_NAME,
                  FIELD_NAME2,
                  FIELD_DATA,
                  FIELD_COUNT,
};

enum fsop_reply_field {
    REPLY_ERR,
    REPLY_FLAGS,
    REPLY_INDEX,
    REPLY_VALUE,
    REPLY_INTENT,
    REPLY_LEASE,
    REPLY_ATTR,
    REPLY_DATA,
    REPLY_COUNT,
};

static_assert(sizeof(struct fsattr) == 88, "attributes have no padding: they are compared whole");

#define BIT(field) ((uint32_t)1 << (field))

const char *fsop_kind_name(uint16_t kind)
{
    static const char *const names[] = {
        [FSOP_NOOP] = "noop",
        [FSOP_SESSION_OPEN] = "session_open",
        [FSOP_SESSION_CLOSE] = "session_close",
        [FSOP_MOUNT] = "mount",
        [FSOP_UNMOUNT] = "unmount",
        [FSOP_LOAD] = "load",
        [FSOP_REFRESH] = "refresh",
        [FSOP_MKNOD] = "mknod",
        [FSOP_MKDIR] = "mkdir",
        [FSOP_SYMLINK] = "symlink",
        [FSOP_LINK] = "link",
        [FSOP_UNLINK] = "unlink",
        [FSOP_RMDIR] = "rmdir",
        [FSOP_RENAME] = "rename",
        [FSOP_SETATTR] = "setattr",
        [FSOP_SETXATTR] = "setxattr",
        [FSOP_REMOVEXATTR] = "removexattr",
        [FSOP_WRITE_OPEN] = "write_open",
        [FSOP_WRITE_CLOSE] = "write_close",
        [FSOP_OUTCOME] = "outcome",
        [FSOP_RECLAIM] = "reclaim",
        [FSOP_VERSION] = "version",
        [FSOP_LIMITS] = "limits",
        [FSOP_NOTE] = "note",
        [FSOP_LOOKUP] = "lookup",
        [FSOP_GETATTR] = "getattr",
        [FSOP_READDIR] = "readdir",
        [FSOP_READLINK] = "readlink",
        [FSOP_GETXATTR] = "getxattr",
        [FSOP_LISTXATTR] = "listxattr",
        [FSOP_STATFS] = "statfs",
        [FSOP_OPEN] = "open",
        [FSOP_ACCESS] = "access",
        [FSOP_MOUNTS] = "mounts",
    };
    return kind < ARRAY_LEN(names) && names[kind] ? names[kind] : "unknown";
}

static uint32_t fsop_mask(const struct fsop *op)
{
    uint32_t m = 0;
    m |= op->session.v ? BIT(FIELD_SESSION) : 0;
    m |= op->seq ? BIT(FIELD_SEQ) : 0;
    m |= op->acked ? BIT(FIELD_ACKED) : 0;
    m |= op->time_ns ? BIT(FIELD_TIME) : 0;
    m |= op->uid ? BIT(FIELD_UID) : 0;
    m |= op->gid ? BIT(FIELD_GID) : 0;
    m |= op->n_groups ? BIT(FIELD_GROUPS) : 0;
    m |= op->ino.v ? BIT(FIELD_INO) : 0;
    m |= op->ino2.v ? BIT(FIELD_INO2) : 0;
    m |= op->mode ? BIT(FIELD_MODE) : 0;
    m |= op->rdev ? BIT(FIELD_RDEV) : 0;
    m |= op->valid ? BIT(FIELD_VALID) : 0;
    m |= op->set_uid ? BIT(FIELD_SET_UID) : 0;
    m |= op->set_gid ? BIT(FIELD_SET_GID) : 0;
    m |= op->size ? BIT(FIELD_SIZE) : 0;
    m |= op->atime_ns ? BIT(FIELD_ATIME) : 0;
    m |= op->mtime_ns ? BIT(FIELD_MTIME) : 0;
    m |= op->arg ? BIT(FIELD_ARG) : 0;
    m |= op->err ? BIT(FIELD_ERR) : 0;
    m |= op->name_len ? BIT(FIELD_NAME) : 0;
    m |= op->name2_len ? BIT(FIELD_NAME2) : 0;
    m |= op->data_len ? BIT(FIELD_DATA) : 0;
    return m;
}

static void fsop_put_groups(struct wbuf *w, const struct fsop *op)
{
    if (op->n_groups > LIMIT_GROUPS) {
        w->bad = true;
        return;
    }
    wbuf_u8(w, (uint8_t)op->n_groups);
    for (uint32_t i = 0; i < op->n_groups; i++)
        wbuf_u32(w, op->groups[i]);
}

static void fsop_put_field(struct wbuf *w, const struct fsop *op, enum fsop_field f)
{
    switch (f) {
    case FIELD_SESSION:
        wbuf_u64(w, op->session.v);
        break;
    case FIELD_SEQ:
        wbuf_u64(w, op->seq);
        break;
    case FIELD_ACKED:
        wbuf_u64(w, op->acked);
        break;
    case FIELD_TIME:
        wbuf_u64(w, (uint64_t)op->time_ns);
        break;
    case FIELD_UID:
        wbuf_u32(w, op->uid);
        break;
    case FIELD_GID:
        wbuf_u32(w, op->gid);
        break;
    case FIELD_GROUPS:
        fsop_put_groups(w, op);
        break;
    case FIELD_INO:
        wbuf_u64(w, op->ino.v);
        break;
    case FIELD_INO2:
        wbuf_u64(w, op->ino2.v);
        break;
    case FIELD_MODE:
        wbuf_u32(w, op->mode);
        break;
    case FIELD_RDEV:
        wbuf_u32(w, op->rdev);
        break;
    case FIELD_VALID:
        wbuf_u32(w, op->valid);
        break;
    case FIELD_SET_UID:
        wbuf_u32(w, op->set_uid);
        break;
    case FIELD_SET_GID:
        wbuf_u32(w, op->set_gid);
        break;
    case FIELD_SIZE:
        wbuf_u64(w, op->size);
        break;
    case FIELD_ATIME:
        wbuf_u64(w, (uint64_t)op->atime_ns);
        break;
    case FIELD_MTIME:
        wbuf_u64(w, (uint64_t)op->mtime_ns);
        break;
    case FIELD_ARG:
        wbuf_u64(w, op->arg);
        break;
    case FIELD_ERR:
        wbuf_u32(w, (uint32_t)op->err);
        break;
    case FIELD_NAME:
        wbuf_str16(w, op->name, op->name_len);
        break;
    case FIELD_NAME2:
        wbuf_str16(w, op->name2, op->name2_len);
        break;
    case FIELD_DATA:
        wbuf_str32(w, op->data, op->data_len);
        break;
    case FIELD_COUNT:
        break;
    }
}

void fsop_put(struct wbuf *w, const struct fsop *op)
{
    uint32_t mask = fsop_mask(op);
    wbuf_u16(w, op->kind);
    wbuf_u16(w, op->flags);
    wbuf_u32(w, mask);
    for (; mask; mask &= mask - 1)
        fsop_put_field(w, op, (enum fsop_field)__builtin_ctz(mask));
}

/* a length-prefixed text in place; NULL when empty, so that absent and empty look the same */
static const char *fsop_get_text(struct rbuf *r, uint32_t *ret_n)
{
    size_t n;
    const char *s = rbuf_str16(r, &n);
    *ret_n = (uint32_t)n;
    return n ? s : NULL;
}

static const void *fsop_get_data(struct rbuf *r, uint32_t *ret_n)
{
    size_t n;
    const void *p = rbuf_str32(r, &n);
    *ret_n = (uint32_t)n;
    return n ? p : NULL;
}

static void fsop_get_groups(struct rbuf *r, struct fsop *op)
{
    uint32_t n = rbuf_u8(r);
    if (n > LIMIT_GROUPS) {
        r->bad = true;
        return;
    }
    op->n_groups = n;
    for (uint32_t i = 0; i < n; i++)
        op->groups[i] = rbuf_u32(r);
}

static void fsop_get_field(struct rbuf *r, struct fsop *op, enum fsop_field f)
{
    switch (f) {
    case FIELD_SESSION:
        op->session.v = rbuf_u64(r);
        break;
    case FIELD_SEQ:
        op->seq = rbuf_u64(r);
        break;
    case FIELD_ACKED:
        op->acked = rbuf_u64(r);
        break;
    case FIELD_TIME:
        op->time_ns = (int64_t)rbuf_u64(r);
        break;
    case FIELD_UID:
        op->uid = rbuf_u32(r);
        break;
    case FIELD_GID:
        op->gid = rbuf_u32(r);
        break;
    case FIELD_GROUPS:
        fsop_get_groups(r, op);
        break;
    case FIELD_INO:
        op->ino.v = rbuf_u64(r);
        break;
    case FIELD_INO2:
        op->ino2.v = rbuf_u64(r);
        break;
    case FIELD_MODE:
        op->mode = rbuf_u32(r);
        break;
    case FIELD_RDEV:
        op->rdev = rbuf_u32(r);
        break;
    case FIELD_VALID:
        op->valid = rbuf_u32(r);
        break;
    case FIELD_SET_UID:
        op->set_uid = rbuf_u32(r);
        break;
    case FIELD_SET_GID:
        op->set_gid = rbuf_u32(r);
        break;
    case FIELD_SIZE:
        op->size = rbuf_u64(r);
        break;
    case FIELD_ATIME:
        op->atime_ns = (int64_t)rbuf_u64(r);
        break;
    case FIELD_MTIME:
        op->mtime_ns = (int64_t)rbuf_u64(r);
        break;
    case FIELD_ARG:
        op->arg = rbuf_u64(r);
        break;
    case FIELD_ERR:
        op->err = err_checked((int32_t)rbuf_u32(r));
        break;
    case FIELD_NAME:
        op->name = fsop_get_text(r, &op->name_len);
        break;
    case FIELD_NAME2:
        op->name2 = fsop_get_text(r, &op->name2_len);
        break;
    case FIELD_DATA:
        op->data = fsop_get_data(r, &op->data_len);
        break;
    case FIELD_COUNT:
        break;
    }
}

int fsop_get(struct rbuf *r, struct fsop *ret_op)
{
    memset(ret_op, 0, sizeof *ret_op);
    ret_op->kind = rbuf_u16(r);
    ret_op->flags = rbuf_u16(r);
    uint32_t mask = rbuf_u32(r);
    if (mask >> FIELD_COUNT)
        return E_PROTO;
    for (; mask && !r->bad; mask &= mask - 1)
        fsop_get_field(r, ret_op, (enum fsop_field)__builtin_ctz(mask));
    return r->bad ? E_PROTO : 0;
}

void fsop_attr_put(struct wbuf *w, const struct fsattr *a)
{
    wbuf_u64(w, a->ino.v);
    wbuf_u64(w, a->version);
    wbuf_u64(w, a->size);
    wbuf_u64(w, a->fp);
    wbuf_u64(w, a->ufs_ino);
    wbuf_u64(w, (uint64_t)a->atime_ns);
    wbuf_u64(w, (uint64_t)a->mtime_ns);
    wbuf_u64(w, (uint64_t)a->ctime_ns);
    wbuf_u32(w, a->mode);
    wbuf_u32(w, a->nlink);
    wbuf_u32(w, a->uid);
    wbuf_u32(w, a->gid);
    wbuf_u32(w, a->rdev);
    wbuf_u16(w, a->mount);
    wbuf_u16(w, a->flags);
}

int fsop_attr_get(struct rbuf *r, struct fsattr *ret_a)
{
    memset(ret_a, 0, sizeof *ret_a);
    ret_a->ino.v = rbuf_u64(r);
    ret_a->version = rbuf_u64(r);
    ret_a->size = rbuf_u64(r);
    ret_a->fp = rbuf_u64(r);
    ret_a->ufs_ino = rbuf_u64(r);
    ret_a->atime_ns = (int64_t)rbuf_u64(r);
    ret_a->mtime_ns = (int64_t)rbuf_u64(r);
    ret_a->ctime_ns = (int64_t)rbuf_u64(r);
    ret_a->mode = rbuf_u32(r);
    ret_a->nlink = rbuf_u32(r);
    ret_a->uid = rbuf_u32(r);
    ret_a->gid = rbuf_u32(r);
    ret_a->rdev = rbuf_u32(r);
    ret_a->mount = rbuf_u16(r);
    ret_a->flags = rbuf_u16(r);
    return r->bad ? E_PROTO : 0;
}

void fsop_reply_put(struct wbuf *w, const struct fsop_reply *rep)
{
    static const struct fsattr none;
    bool attr = memcmp(&rep->attr, &none, sizeof none) != 0;
    uint16_t mask = 0;
    mask |= rep->err ? BIT(REPLY_ERR) : 0;
    mask |= rep->flags ? BIT(REPLY_FLAGS) : 0;
    mask |= rep->index ? BIT(REPLY_INDEX) : 0;
    mask |= rep->value ? BIT(REPLY_VALUE) : 0;
    mask |= rep->intent ? BIT(REPLY_INTENT) : 0;
    mask |= rep->lease_ns ? BIT(REPLY_LEASE) : 0;
    mask |= attr ? BIT(REPLY_ATTR) : 0;
    mask |= rep->data_len ? BIT(REPLY_DATA) : 0;
    wbuf_u16(w, mask);
    if (rep->err)
        wbuf_u32(w, (uint32_t)rep->err);
    if (rep->flags)
        wbuf_u32(w, rep->flags);
    if (rep->index)
        wbuf_u64(w, rep->index);
    if (rep->value)
        wbuf_u64(w, rep->value);
    if (rep->intent)
        wbuf_u64(w, rep->intent);
    if (rep->lease_ns)
        wbuf_u64(w, rep->lease_ns);
    if (attr)
        fsop_attr_put(w, &rep->attr);
    if (rep->data_len)
        wbuf_str32(w, rep->data, rep->data_len);
}

int fsop_reply_get(struct rbuf *r, struct fsop_reply *ret_rep)
{
    memset(ret_rep, 0, sizeof *ret_rep);
    uint32_t mask = rbuf_u16(r);
    if (mask >> REPLY_COUNT)
        return E_PROTO;
    if (mask & BIT(REPLY_ERR))
        ret_rep->err = err_checked((int32_t)rbuf_u32(r));
    if (mask & BIT(REPLY_FLAGS))
        ret_rep->flags = rbuf_u32(r);
    if (mask & BIT(REPLY_INDEX))
        ret_rep->index = rbuf_u64(r);
    if (mask & BIT(REPLY_VALUE))
        ret_rep->value = rbuf_u64(r);
    if (mask & BIT(REPLY_INTENT))
        ret_rep->intent = rbuf_u64(r);
    if (mask & BIT(REPLY_LEASE))
        ret_rep->lease_ns = rbuf_u64(r);
    if (mask & BIT(REPLY_ATTR))
        fsop_attr_get(r, &ret_rep->attr);
    if (mask & BIT(REPLY_DATA))
        ret_rep->data = fsop_get_data(r, &ret_rep->data_len);
    return r->bad ? E_PROTO : 0;
}

void fsop_ent_put(struct wbuf *w, const struct fsent *e)
{
    wbuf_str16(w, e->name, e->name_len);
    wbuf_u32(w, e->mode);
    wbuf_u32(w, e->nlink);
    wbuf_u32(w, e->uid);
    wbuf_u32(w, e->gid);
    wbuf_u32(w, e->rdev);
    wbuf_u64(w, e->size);
    wbuf_u64(w, e->fp);
    wbuf_u64(w, e->ufs_ino);
    wbuf_u64(w, (uint64_t)e->atime_ns);
    wbuf_u64(w, (uint64_t)e->mtime_ns);
    wbuf_u64(w, (uint64_t)e->ctime_ns);
    wbuf_str16(w, e->target, e->target_len);
}

int fsop_ent_get(struct rbuf *r, struct fsent *ret_e)
{
    memset(ret_e, 0, sizeof *ret_e);
    ret_e->name = fsop_get_text(r, &ret_e->name_len);
    ret_e->mode = rbuf_u32(r);
    ret_e->nlink = rbuf_u32(r);
    ret_e->uid = rbuf_u32(r);
    ret_e->gid = rbuf_u32(r);
    ret_e->rdev = rbuf_u32(r);
    ret_e->size = rbuf_u64(r);
    ret_e->fp = rbuf_u64(r);
    ret_e->ufs_ino = rbuf_u64(r);
    ret_e->atime_ns = (int64_t)rbuf_u64(r);
    ret_e->mtime_ns = (int64_t)rbuf_u64(r);
    ret_e->ctime_ns = (int64_t)rbuf_u64(r);
    ret_e->target = fsop_get_text(r, &ret_e->target_len);
    return r->bad ? E_PROTO : 0;
}

void fsop_dirent_put(struct wbuf *w, const struct fsop_dirent *d)
{
    wbuf_u64(w, d->cookie);
    fsop_attr_put(w, &d->attr);
    wbuf_str16(w, d->name, d->name_len);
}

int fsop_dirent_get(struct rbuf *r, struct fsop_dirent *ret_d)
{
    memset(ret_d, 0, sizeof *ret_d);
    ret_d->cookie = rbuf_u64(r);
    fsop_attr_get(r, &ret_d->attr);
    ret_d->name = fsop_get_text(r, &ret_d->name_len);
    return r->bad ? E_PROTO : 0;
}

void fsop_statfs_put(struct wbuf *w, const struct fsop_statfs *s)
{
    wbuf_u64(w, s->bytes);
    wbuf_u64(w, s->bytes_free);
    wbuf_u64(w, s->files);
    wbuf_u64(w, s->files_free);
    wbuf_u32(w, s->name_max);
    wbuf_u32(w, s->block);
}

int fsop_statfs_get(struct rbuf *r, struct fsop_statfs *ret_s)
{
    memset(ret_s, 0, sizeof *ret_s);
    ret_s->bytes = rbuf_u64(r);
    ret_s->bytes_free = rbuf_u64(r);
    ret_s->files = rbuf_u64(r);
    ret_s->files_free = rbuf_u64(r);
    ret_s->name_max = rbuf_u32(r);
    ret_s->block = rbuf_u32(r);
    return r->bad ? E_PROTO : 0;
}

void fsop_mount_put(struct wbuf *w, const struct fsop_mount_info *i)
{
    wbuf_u16(w, i->number);
    wbuf_u16(w, i->mode);
    wbuf_u64(w, i->check_interval_ns);
    wbuf_u64(w, i->root.v);
    wbuf_str16(w, i->path, i->path_len);
    wbuf_str16(w, i->uri, i->uri_len);
}

int fsop_mount_get(struct rbuf *r, struct fsop_mount_info *ret_i)
{
    memset(ret_i, 0, sizeof *ret_i);
    ret_i->number = rbuf_u16(r);
    ret_i->mode = rbuf_u16(r);
    ret_i->check_interval_ns = rbuf_u64(r);
    ret_i->root.v = rbuf_u64(r);
    ret_i->path = fsop_get_text(r, &ret_i->path_len);
    ret_i->uri = fsop_get_text(r, &ret_i->uri_len);
    return r->bad ? E_PROTO : 0;
}
