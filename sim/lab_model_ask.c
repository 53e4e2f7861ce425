/* sim/lab_model_ask.c - was an answer right at some moment at which it may have been given? (see
 * sim/lab_model.h)
 *
 * A fact holds in [from, to).  It may be seen in a window if it had begun when the answer came and
 * its end was not yet firm when the question was put. */
#include "sim/lab_model_impl.h"

static bool ask_seen(const struct lab_model *m, uint64_t from, uint64_t to, struct lab_window w)
{
    return (from == 0 || m->stamps[from].applied_ns <= w.to_ns) &&
           (to == MODEL_NEVER || m->stamps[to].firm_ns > w.from_ns);
}

static uint64_t ask_version_end(const struct model_node *n, uint32_t i)
{
    return i + 1 < n->n_v ? n->v[i + 1].from : MODEL_NEVER;
}

/* gone; or, with `unlinked`, only without a name */
static bool ask_dead(const struct lab_model *m, const struct model_node *n, bool unlinked,
                     struct lab_window w)
{
    for (uint32_t i = 0; i < n->n_v; i++)
        if ((n->v[i].dead || (unlinked && n->v[i].orphan)) &&
            ask_seen(m, n->v[i].from, ask_version_end(n, i), w))
            return true;
    return false;
}

/* at some moment the caller may (or, with `deny`, may not) */
static bool ask_may(const struct lab_model *m, const struct model_node *n, const struct fsop *op,
                    uint32_t access, bool deny, struct lab_window w)
{
    for (uint32_t i = 0; i < n->n_v; i++)
        if (!n->v[i].dead && ask_seen(m, n->v[i].from, ask_version_end(n, i), w) &&
            lab_model_may(&n->v[i], op, access) != deny)
            return true;
    return false;
}

static bool ask_attr(const struct lab_model *m, const struct fsattr *a, struct lab_window w,
                     char *ret_why)
{
    const struct model_node *n = lab_model_find(m, a->ino);
    for (uint32_t i = 0; n && i < n->n_v; i++) {
        const struct model_version *v = &n->v[i];
        if (!v->dead && ask_seen(m, v->from, ask_version_end(n, i), w) && v->mode == a->mode &&
            v->uid == a->uid && v->gid == a->gid &&
            ((a->mode & FSOP_S_IFMT) == FSOP_S_IFDIR || v->nlink == a->nlink))
            return true;
    }
    const struct model_version *v = n ? lab_model_now(n) : NULL;
    fmt_into(ret_why, LAB_MODEL_WHY,
             "answered inode %llu mode %o uid %u gid %u nlink %u, never so in that time; now mode "
             "%o uid %u gid %u nlink %u%s since record %llu",
             (unsigned long long)a->ino.v, a->mode, a->uid, a->gid, a->nlink, v ? v->mode : 0,
             v ? v->uid : 0, v ? v->gid : 0, v ? v->nlink : 0, v && v->dead ? " dead" : "",
             (unsigned long long)(v ? v->from : 0));
    return false;
}

/* value: what it must have been; 0: that it was absent */
static bool ask_entry(const struct lab_model *m, const struct model_entries *l, const char *name,
                      uint32_t len, bool present, uint64_t value, struct lab_window w)
{
    uint64_t since = 0;
    uint32_t hash = lab_model_hash(name, len);
    for (uint32_t i = 0; i < l->n; i++) {
        if (!lab_model_entry_is(l, i, name, len, hash))
            continue;
        const struct model_entry *e = l->e[i];
        if (present && e->value == value && ask_seen(m, e->from, e->to, w))
            return true;
        if (!present && since < e->from && ask_seen(m, since, e->from, w))
            return true;
        since = e->to;
    }
    return !present && since != MODEL_NEVER && ask_seen(m, since, MODEL_NEVER, w);
}

static bool ask_wrong(const struct fsop *op, const struct fsop_reply *rep, const char *what,
                      char *ret_why)
{
    fmt_into(ret_why, LAB_MODEL_WHY, "%s of %llu \"%.*s\" answered %s inode %llu: %s",
             fsop_kind_name(op->kind), (unsigned long long)op->ino.v, (int)op->name_len,
             op->name ? op->name : "", rep->err ? err_name(rep->err) : "ok",
             (unsigned long long)rep->attr.ino.v, what);
    return false;
}

static bool ask_lookup(const struct lab_model *m, const struct model_node *dir,
                       const struct fsop *op, const struct fsop_reply *rep, struct lab_window w,
                       char *ret_why)
{
    if (rep->err == E_NOENT)
        return ask_entry(m, &dir->names, op->name, op->name_len, false, 0, w) ||
               ask_wrong(op, rep, "the name was there all the time", ret_why);
    if (rep->err)
        return ask_wrong(op, rep, "not an answer to this", ret_why);
    return (ask_entry(m, &dir->names, op->name, op->name_len, true, rep->attr.ino.v, w) ||
            ask_wrong(op, rep, "the name was never that inode in that time", ret_why)) &&
           ask_attr(m, &rep->attr, w, ret_why);
}

static bool ask_xattr(const struct lab_model *m, const struct model_node *n, const struct fsop *op,
                      const struct fsop_reply *rep, struct lab_window w, char *ret_why)
{
    uint64_t value = base_hash(rep->data, rep->data_len, 3);
    bool ok = rep->err == 0 ? ask_entry(m, &n->xattrs, op->name, op->name_len, true, value, w)
              : rep->err == E_NODATA
                  ? ask_entry(m, &n->xattrs, op->name, op->name_len, false, 0, w) ||
                        ((lab_model_now(n)->mode & FSOP_S_IFMT) != FSOP_S_IFREG &&
                         (lab_model_now(n)->mode & FSOP_S_IFMT) != FSOP_S_IFDIR)
                  : false;
    return ok || ask_wrong(op, rep, "never so in that time", ret_why);
}

static bool ask_readlink(const struct lab_model *m, const struct model_node *n,
                         const struct fsop *op, const struct fsop_reply *rep, struct lab_window w,
                         char *ret_why)
{
    if (rep->err == E_INVAL)
        return (lab_model_now(n)->mode & FSOP_S_IFMT) != FSOP_S_IFLNK ||
               ask_wrong(op, rep, "it is a link", ret_why);
    if (rep->err)
        return ask_wrong(op, rep, "not an answer to this", ret_why);
    if (n->target &&
        (n->target_len != rep->data_len || memcmp(n->target, rep->data, rep->data_len)))
        return ask_wrong(op, rep, "another target", ret_why);
    return ask_attr(m, &rep->attr, w, ret_why);
}

bool lab_model_answer(const struct lab_model *m, const struct fsop *op,
                      const struct fsop_reply *rep, struct lab_window w, char *ret_why)
{
    const struct model_node *n = lab_model_find(m, op->ino);
    if (!n || rep->err == E_STALE)
        return !n ? rep->err == E_STALE || ask_wrong(op, rep, "no such inode ever", ret_why)
                  : ask_dead(m, n, op->kind == FSOP_OPEN, w) ||
                        ask_wrong(op, rep, "the inode lives", ret_why);
    uint32_t type = lab_model_now(n)->mode & FSOP_S_IFMT;
    uint32_t access = op->kind == FSOP_LOOKUP                            ? FSOP_ACCESS_X
                      : op->kind == FSOP_GETXATTR                        ? FSOP_ACCESS_R
                      : op->kind == FSOP_OPEN || op->kind == FSOP_ACCESS ? op->mode & 7
                                                                         : 0;
    if (rep->err == E_ACCES)
        return ask_may(m, n, op, access, true, w) || ask_wrong(op, rep, "it is allowed", ret_why);
    if (rep->err == E_ROFS && m->mount_mode[n->mount] == FSOP_MOUNT_RO)
        return true;
    if (rep->err == E_NOTDIR && (op->kind == FSOP_LOOKUP || op->kind == FSOP_READDIR))
        return type != FSOP_S_IFDIR || ask_wrong(op, rep, "it is a directory", ret_why);
    if (rep->err == 0 && access && !ask_may(m, n, op, access, false, w))
        return ask_wrong(op, rep, "it is not allowed", ret_why);
    switch (op->kind) {
    case FSOP_LOOKUP:
        return ask_lookup(m, n, op, rep, w, ret_why);
    case FSOP_GETXATTR:
        return ask_xattr(m, n, op, rep, w, ret_why);
    case FSOP_READLINK:
        return ask_readlink(m, n, op, rep, w, ret_why);
    case FSOP_OPEN:
        if (rep->err == E_ISDIR || rep->err == E_INVAL)
            return type != FSOP_S_IFREG || ask_wrong(op, rep, "it is a file", ret_why);
        break;
    default:
        break;
    }
    if (rep->err)
        return ask_wrong(op, rep, "not an answer to this", ret_why);
    return ask_attr(m, &rep->attr, w, ret_why);
}

/* the name was there from the first question to the last answer, whatever it named */
static bool ask_throughout(const struct lab_model *m, const struct model_entries *l, uint32_t at,
                           struct lab_window w)
{
    const struct model_entry *e = l->e[at];
    if (m->stamps[e->from].applied_ns > w.from_ns)
        return false;
    uint64_t to = e->to;
    for (uint32_t i = at + 1; i < l->n && to != MODEL_NEVER; i++)
        if (lab_model_entry_is(l, i, e->name, e->len, l->hash[at]) && l->e[i]->from == to)
            to = l->e[i]->to;
    return to == MODEL_NEVER || m->stamps[to].applied_ns > w.to_ns;
}

/* how many entries of that name were there at some moment */
static uint32_t ask_times(const struct lab_model *m, const struct model_entries *l,
                          const struct lab_model_name *x, struct lab_window w)
{
    uint32_t n = 0, hash = lab_model_hash(x->name, x->len);
    for (uint32_t i = 0; i < l->n; i++)
        n += lab_model_entry_is(l, i, x->name, x->len, hash) &&
             ask_seen(m, l->e[i]->from, l->e[i]->to, w);
    return n;
}

static bool ask_same(const struct lab_model_name *a, const struct lab_model_name *b)
{
    return a->len == b->len && !memcmp(a->name, b->name, a->len);
}

bool lab_model_listing(const struct lab_model *m, struct ino dir,
                       const struct lab_model_name *names, uint32_t n, struct lab_window w,
                       char *ret_why)
{
    const struct model_node *d = lab_model_find(m, dir);
    uint32_t hash[LAB_MODEL_NAMES];
    if (!d)
        return false;
    ASSERT(n <= ARRAY_LEN(hash));
    for (uint32_t i = 0; i < n; i++)
        hash[i] = lab_model_hash(names[i].name, names[i].len);
    for (uint32_t i = 0; i < n; i++) {
        const struct lab_model_name *x = &names[i];
        const char *bad = NULL;
        uint32_t times = 1;
        for (uint32_t k = 0; k < i; k++)
            times += hash[k] == hash[i] && ask_same(&names[k], x);
        if (times > ask_times(m, &d->names, x, w)) /* a name that goes and comes is a new one */
            bad = "once too often";
        if (!bad && !ask_entry(m, &d->names, x->name, x->len, true, x->ino.v, w))
            bad = "though it was not there";
        if (bad) {
            fmt_into(ret_why, LAB_MODEL_WHY, "listing of %llu has \"%.*s\" = %llu %s",
                     (unsigned long long)dir.v, (int)x->len, x->name, (unsigned long long)x->ino.v,
                     bad);
            return false;
        }
    }
    for (uint32_t i = 0; i < d->names.n; i++) {
        const struct model_entry *e = d->names.e[i];
        bool found = false;
        if (!ask_throughout(m, &d->names, i, w))
            continue;
        for (uint32_t k = 0; k < n && !found; k++)
            found = lab_model_entry_is(&d->names, i, names[k].name, names[k].len, hash[k]);
        if (!found) {
            fmt_into(ret_why, LAB_MODEL_WHY,
                     "listing of %llu lacks \"%.*s\", there since record %llu",
                     (unsigned long long)dir.v, (int)e->len, e->name, (unsigned long long)e->from);
            return false;
        }
    }
    return true;
}
