/* sim/lab_model_ask.c - was an answer right at some moment at which it may have been given? (see
 * sim/lab_model.h)
 *
 * A fact holds in [from, to).  It may be seen in a window if it had begun when the answer came, its
 * end was not yet firm when the question was put, and nobody who counts had seen that it ended
 * (lab_model_seen.c). */
#include "sim/lab_model_impl.h"

struct ask {
    struct lab_model *m;
    struct lab_asker by;
    struct lab_window w;
    uint64_t seen;  /* of the fact that is looked at: what was seen before */
    uint64_t older; /* all that was against it: that this was seen; 0: that is not all */
};

static void ask_about(struct ask *q, enum lab_fact fact, uint64_t id, uint64_t name)
{
    q->seen = lab_model_seen(q->m, q->by, fact, id, name, q->w.from_ns);
    q->older = 0;
}

static bool ask_seen(struct ask *q, uint64_t from, uint64_t to)
{
    bool is_in_time = (from == 0 || lab_model_began_ns(q->m, from) <= q->w.to_ns) &&
                      (to == MODEL_NEVER || lab_model_firm_ns(q->m, to) > q->w.from_ns);
    if (is_in_time && to <= q->seen)
        q->older = q->seen;
    return is_in_time && to > q->seen;
}

static uint64_t ask_version_end(const struct model_node *n, uint32_t i)
{
    return i + 1 < n->n_v ? n->v[i + 1].from : MODEL_NEVER;
}

/* gone; or, with `unlinked`, only without a name */
static bool ask_dead(struct ask *q, const struct model_node *n, bool unlinked)
{
    ask_about(q, LAB_FACT_ATTR, n->ino.v, 0);
    for (uint32_t i = 0; i < n->n_v; i++)
        if ((n->v[i].dead || (unlinked && n->v[i].orphan)) &&
            ask_seen(q, n->v[i].from, ask_version_end(n, i))) {
            if (n->v[i].dead)
                lab_model_see(q->m, q->by, LAB_FACT_ATTR, n->ino.v, 0, n->v[i].from, q->w.to_ns);
            return true;
        }
    return false;
}

/* at some moment the caller may (or, with `deny`, may not) */
static bool ask_may(struct ask *q, const struct model_node *n, const struct fsop *op,
                    uint32_t access, bool deny)
{
    ask_about(q, LAB_FACT_ATTR, n->ino.v, 0);
    for (uint32_t i = 0; i < n->n_v; i++)
        if (!n->v[i].dead && ask_seen(q, n->v[i].from, ask_version_end(n, i)) &&
            lab_model_may(&n->v[i], op, access) != deny)
            return true;
    return false;
}

static bool ask_attr(struct ask *q, const struct fsattr *a, char *ret_why)
{
    const struct model_node *n = lab_model_find(q->m, a->ino);
    ask_about(q, LAB_FACT_ATTR, a->ino.v, 0);
    for (uint32_t i = 0; n && i < n->n_v; i++) {
        const struct model_version *v = &n->v[i];
        bool is_it = !v->dead && v->mode == a->mode && v->uid == a->uid && v->gid == a->gid &&
                     ((a->mode & FSOP_S_IFMT) == FSOP_S_IFDIR || v->nlink == a->nlink);
        if (is_it && ask_seen(q, v->from, ask_version_end(n, i))) {
            lab_model_see(q->m, q->by, LAB_FACT_ATTR, a->ino.v, 0, v->from, q->w.to_ns);
            return true;
        }
    }
    const struct model_version *v = n ? lab_model_now(n) : NULL;
    fmt_into(ret_why, LAB_MODEL_WHY,
             "answered inode %llu mode %o uid %u gid %u nlink %u, %s (record %llu); now mode %o "
             "uid %u gid %u nlink %u%s since record %llu",
             (unsigned long long)a->ino.v, a->mode, a->uid, a->gid, a->nlink,
             q->older ? "older than what was seen before" : "never so in that time",
             (unsigned long long)q->older, v ? v->mode : 0, v ? v->uid : 0, v ? v->gid : 0,
             v ? v->nlink : 0, v && v->dead ? " dead" : "", (unsigned long long)(v ? v->from : 0));
    return false;
}

/* value: what it must have been; 0: that it was absent */
static bool ask_entry(struct ask *q, enum lab_fact fact, const struct model_node *n,
                      const char *name, uint32_t len, bool present, uint64_t value)
{
    const struct model_entries *l = fact == LAB_FACT_NAME ? &n->names : &n->xattrs;
    uint64_t since = 0, first = MODEL_NEVER, id = base_hash(name, len, 12);
    uint32_t hash = lab_model_hash(name, len);
    ask_about(q, fact, n->ino.v, id);
    for (uint32_t i = 0; i < l->n && first == MODEL_NEVER; i++) {
        if (!lab_model_entry_is(l, i, name, len, hash))
            continue;
        const struct model_entry *e = l->e[i];
        if (present && e->value == value && ask_seen(q, e->from, e->to))
            first = e->from;
        if (!present && since < e->from && ask_seen(q, since, e->from))
            first = since;
        since = e->to;
    }
    if (first == MODEL_NEVER && !present && since != MODEL_NEVER && ask_seen(q, since, MODEL_NEVER))
        first = since;
    if (first != MODEL_NEVER)
        lab_model_see(q->m, q->by, fact, n->ino.v, id, first, q->w.to_ns);
    return first != MODEL_NEVER;
}

static bool ask_wrong(const struct ask *q, const struct fsop *op, const struct fsop_reply *rep,
                      const char *what, char *ret_why)
{
    fmt_into(ret_why, LAB_MODEL_WHY, "%s of %llu \"%.*s\" answered %s inode %llu: %s (record %llu)",
             fsop_kind_name(op->kind), (unsigned long long)op->ino.v, (int)op->name_len,
             op->name ? op->name : "", rep->err ? err_name(rep->err) : "ok",
             (unsigned long long)rep->attr.ino.v,
             q->older ? "older than what was seen before" : what, (unsigned long long)q->older);
    return false;
}

static bool ask_lookup(struct ask *q, const struct model_node *dir, const struct fsop *op,
                       const struct fsop_reply *rep, char *ret_why)
{
    if (rep->err == E_NOENT)
        return ask_entry(q, LAB_FACT_NAME, dir, op->name, op->name_len, false, 0) ||
               ask_wrong(q, op, rep, "the name was there all the time", ret_why);
    if (rep->err)
        return ask_wrong(q, op, rep, "not an answer to this", ret_why);
    return (ask_entry(q, LAB_FACT_NAME, dir, op->name, op->name_len, true, rep->attr.ino.v) ||
            ask_wrong(q, op, rep, "the name was never that inode in that time", ret_why)) &&
           ask_attr(q, &rep->attr, ret_why);
}

static bool ask_xattr(struct ask *q, const struct model_node *n, const struct fsop *op,
                      const struct fsop_reply *rep, char *ret_why)
{
    uint64_t value = base_hash(rep->data, rep->data_len, 3);
    uint32_t type = lab_model_now(n)->mode & FSOP_S_IFMT;
    bool has_none = type != FSOP_S_IFREG && type != FSOP_S_IFDIR;
    bool ok = rep->err == 0 ? ask_entry(q, LAB_FACT_XATTR, n, op->name, op->name_len, true, value)
              : rep->err == E_NODATA
                  ? has_none || ask_entry(q, LAB_FACT_XATTR, n, op->name, op->name_len, false, 0)
                  : false;
    return ok || ask_wrong(q, op, rep, "never so in that time", ret_why);
}

static bool ask_readlink(struct ask *q, const struct model_node *n, const struct fsop *op,
                         const struct fsop_reply *rep, char *ret_why)
{
    if (rep->err == E_INVAL)
        return (lab_model_now(n)->mode & FSOP_S_IFMT) != FSOP_S_IFLNK ||
               ask_wrong(q, op, rep, "it is a link", ret_why);
    if (rep->err)
        return ask_wrong(q, op, rep, "not an answer to this", ret_why);
    if (n->target &&
        (n->target_len != rep->data_len || memcmp(n->target, rep->data, rep->data_len)))
        return ask_wrong(q, op, rep, "another target", ret_why);
    return ask_attr(q, &rep->attr, ret_why);
}

bool lab_model_answer(struct lab_model *m, struct lab_asker by, const struct fsop *op,
                      const struct fsop_reply *rep, struct lab_window w, char *ret_why)
{
    struct ask q = {.m = m, .by = by, .w = w};
    const struct model_node *n = lab_model_find(m, op->ino);
    if (!n || rep->err == E_STALE)
        return !n ? rep->err == E_STALE || ask_wrong(&q, op, rep, "no such inode ever", ret_why)
                  : ask_dead(&q, n, op->kind == FSOP_OPEN) ||
                        ask_wrong(&q, op, rep, "the inode lives", ret_why);
    uint32_t type = lab_model_now(n)->mode & FSOP_S_IFMT;
    uint32_t access = op->kind == FSOP_LOOKUP                            ? FSOP_ACCESS_X
                      : op->kind == FSOP_GETXATTR                        ? FSOP_ACCESS_R
                      : op->kind == FSOP_OPEN || op->kind == FSOP_ACCESS ? op->mode & 7
                                                                         : 0;
    if (rep->err == E_ACCES)
        return ask_may(&q, n, op, access, true) || ask_wrong(&q, op, rep, "it is allowed", ret_why);
    if (rep->err == E_ROFS && m->mount_mode[n->mount] == FSOP_MOUNT_RO)
        return true;
    if (rep->err == E_NOTDIR && (op->kind == FSOP_LOOKUP || op->kind == FSOP_READDIR))
        return type != FSOP_S_IFDIR || ask_wrong(&q, op, rep, "it is a directory", ret_why);
    if (rep->err == 0 && access && !ask_may(&q, n, op, access, false))
        return ask_wrong(&q, op, rep, "it is not allowed", ret_why);
    switch (op->kind) {
    case FSOP_LOOKUP:
        return ask_lookup(&q, n, op, rep, ret_why);
    case FSOP_GETXATTR:
        return ask_xattr(&q, n, op, rep, ret_why);
    case FSOP_READLINK:
        return ask_readlink(&q, n, op, rep, ret_why);
    case FSOP_OPEN:
        if (rep->err == E_ISDIR || rep->err == E_INVAL)
            return type != FSOP_S_IFREG || ask_wrong(&q, op, rep, "it is a file", ret_why);
        break;
    default:
        break;
    }
    if (rep->err)
        return ask_wrong(&q, op, rep, "not an answer to this", ret_why);
    return ask_attr(&q, &rep->attr, ret_why);
}

/* the name was there from the first question to the last answer, whatever it named */
static bool ask_throughout(const struct lab_model *m, const struct model_entries *l, uint32_t at,
                           struct lab_window w)
{
    const struct model_entry *e = l->e[at];
    if (lab_model_began_ns(m, e->from) > w.from_ns)
        return false;
    uint64_t to = e->to;
    for (uint32_t i = at + 1; i < l->n && to != MODEL_NEVER; i++)
        if (lab_model_entry_is(l, i, e->name, e->len, l->hash[at]) && l->e[i]->from == to)
            to = l->e[i]->to;
    return to == MODEL_NEVER || lab_model_began_ns(m, to) > w.to_ns;
}

/* how many entries of that name were there at some moment */
static uint32_t ask_times(struct ask *q, const struct model_entries *l,
                          const struct lab_model_name *x)
{
    uint32_t n = 0, hash = lab_model_hash(x->name, x->len);
    q->seen = 0;
    for (uint32_t i = 0; i < l->n; i++)
        n += lab_model_entry_is(l, i, x->name, x->len, hash) &&
             ask_seen(q, l->e[i]->from, l->e[i]->to);
    return n;
}

static bool ask_same(const struct lab_model_name *a, const struct lab_model_name *b)
{
    return a->len == b->len && !memcmp(a->name, b->name, a->len);
}

bool lab_model_listing(struct lab_model *m, struct lab_asker by, struct ino dir,
                       const struct lab_model_name *names, uint32_t n, struct lab_window w,
                       char *ret_why)
{
    struct ask q = {.m = m, .by = by, .w = w};
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
        if (times > ask_times(&q, &d->names, x)) /* a name that goes and comes is a new one */
            bad = "once too often";
        if (!bad && !ask_entry(&q, LAB_FACT_NAME, d, x->name, x->len, true, x->ino.v))
            bad = q.older ? "which was seen to be no more" : "though it was not there";
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
