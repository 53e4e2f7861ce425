/* journal/zk_elect.c - see zk_elect.h.
 *
 *   DOWN --session--> WHOSE -> MAKE (-> ROOT -> MAKE) (-> ACL*) -> JOIN -> LOOK
 *   LOOK -> WATCH -> WAIT --who is before goes--> LOOK
 *   LOOK -> OWN -> WAIT                 first: its own node is watched
 *   WAIT -> BURY -> LOOK                the one before is plainly gone: its node goes
 *   JOIN -> FIND -> LOOK or JOIN        the answer was lost
 *   LEAVE -> FIND -> IDLE               not to stand
 *   CLOSING -> DOWN                     expired: another session
 *   FIND, LOOK -> WHOSE                 the path is gone
 *   FIND.. -> CLOSING                   refused
 *
 * ZOOKEEPER'S DATA LOST.  That a session is over says that others will be called, so who leads
 * steps down.  When the ensemble has lost its data (zk_client.h, older_zxid), or the path was
 * removed, nobody will be called before somebody stands again.  So who leads goes on, each step
 * proven by the fence as ever, until it is first again or another one claims; the others leave it a
 * session's time to stand before them.  Who has seen that the path was its cluster's makes /cluster
 * again where there is none: connect is the same for a process's life, so it is no other's path.
 * Numbers begin above what the fence has seen.
 *
 * REFUSED.  Whom ZooKeeper refuses would keep its node in front of others and could not come to
 * lead. So unless it leads it ends its session, and stands again behind the others when it may.
 *
 * The guid is that of the session, so whatever it created is found by it, also what comes to light
 * late.  One call of the election at a time, one of numbers, one of hints.  A call whose answer is
 * lost is followed by a look, never by the same again. */
#include "core/mutant.h"
#include "core/sometimes.h"
#include "journal/zk_elect_impl.h"

enum { ELECT_DIR_CLUSTER, ELECT_DIR_FIRST }; /* the former only when it is lost */
static const char *const elect_dirs[] = {"/cluster", "/election", "/epoch", "/masters"};

static void elect_run(struct elect *l);
static void elect_hint_run(struct elect *l);
static void elect_near(struct elect *l);

static void elect_stands(struct elect *l, enum zk_standing s)
{
    if (l->elect.standing == s)
        return;
    l->elect.standing = s;
    if (l->elect.changed)
        l->elect.changed(&l->elect, l->elect.ctx);
}

/* it takes part no more; why was said */
static void elect_fail(struct elect *l)
{
    l->elect.failed = E_CONFIG;
    if (l->elect.changed)
        l->elect.changed(&l->elect, l->elect.ctx);
}

static void elect_later(struct elect *l)
{
    if (!env_timer_is_set(&l->timer))
        env_timer_set(l->env, &l->timer, env_now_ns(l->env) + ELECT_PAUSE_NS);
}

/* --- calls of the election --- */

static void elect_call(struct elect *l, int32_t what, const char *path)
{
    l->call.what = what;
    l->call.path = path;
    l->call.version = -1;
    l->call.deadline_ns = env_now_ns(l->env) + ELECT_CALL_NS;
    l->is_calling = true;
    zk_submit(l->zk, &l->call);
}

static void elect_begin(struct elect *l)
{
    zk_call_renew(&l->call);
    switch (l->state) {
    case ELECT_WHOSE:
        elect_call(l, ZK_OP_GET_DATA, "/cluster");
        return;
    case ELECT_MAKE:
        l->call.data = l->made == ELECT_DIR_CLUSTER ? l->cluster : "0";
        l->call.data_len = (uint32_t)strlen(l->call.data);
        elect_call(l, ZK_OP_CREATE, elect_dirs[l->made]);
        return;
    case ELECT_ROOT:
        l->call.is_absolute = true;
        elect_call(l, ZK_OP_CREATE, l->root);
        return;
    case ELECT_ACL:
        if (!l->n_acls) {
            l->call.is_absolute = true;
            elect_call(l, ZK_OP_GET_ACL, strchr(l->cfg.connect, '/'));
        } else {
            elect_call(l, ZK_OP_GET_ACL, elect_dirs[l->n_acls - 1]);
        }
        return;
    case ELECT_JOIN:
        l->call.flags = ZK_CREATE_EPHEMERAL_SEQUENTIAL;
        l->call.data = l->addr;
        l->call.data_len = (uint32_t)strlen(l->addr);
        elect_call(l, ZK_OP_CREATE, l->prefix);
        return;
    case ELECT_FIND:
    case ELECT_LOOK:
        elect_call(l, ZK_OP_GET_CHILDREN, "/election");
        return;
    case ELECT_WATCH:
    case ELECT_OWN:
        zk_unwatch(l->zk, &l->watch);
        fmt_into(l->watched, sizeof l->watched, "%s", l->state == ELECT_OWN ? l->own : l->before);
        l->call.watch = &l->watch;
        elect_call(l, ZK_OP_GET_DATA, l->watched); /* not exists: that would watch what is gone */
        return;
    case ELECT_BURY:
        elect_call(l, ZK_OP_DELETE, l->before);
        return;
    case ELECT_LEAVE:
        elect_call(l, ZK_OP_DELETE, l->own);
        return;
    default:
        return;
    }
}

bool zk_elect_sequence(const char *name, uint32_t len, uint64_t *ret_seq)
{
    enum { DIGITS = 10 };
    uint64_t v = 0;
    if (len < DIGITS + 3 || memcmp(name + len - DIGITS - 3, "-n-", 3))
        return false;
    for (uint32_t i = len - DIGITS; i < len; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(name[i] - '0');
    }
    *ret_seq = v;
    return true;
}

uint32_t zk_elect_who(const char *name, uint32_t len)
{
    uint64_t id = 0;
    uint32_t at = 0;
    while (at < len && name[at] != '-')
        at++;
    for (at++; at < len && name[at] >= '0' && name[at] <= '9' && id <= UINT32_MAX; at++)
        id = id * 10 + (uint64_t)(name[at] - '0');
    return at < len && name[at] == '-' && id <= UINT32_MAX ? (uint32_t)id : 0;
}

/* own and the one before it, by the names that there are; false: it is not there */
static bool elect_place(struct elect *l)
{
    struct zk_list names = l->call.reply.children;
    const char *text, *mine = l->prefix + strlen("/election/");
    uint32_t len;
    uint64_t seq, own = UINT64_MAX, before = UINT64_MAX;
    while (zk_proto_text_next(&names, &text, &len))
        if (len < ELECT_PATH - 16 && len > strlen(mine) && !memcmp(text, mine, strlen(mine)) &&
            zk_elect_sequence(text, len, &seq) && seq < own) {
            own = seq;
            fmt_into(l->own, sizeof l->own, "/election/%.*s", (int)len, text);
        }
    if (own == UINT64_MAX)
        return false;
    *l->before = 0;
    l->next_to = 0;
    names = l->call.reply.children;
    while (zk_proto_text_next(&names, &text, &len))
        if (len < ELECT_PATH - 16 && zk_elect_sequence(text, len, &seq) && seq < own &&
            (before == UINT64_MAX || seq > before)) {
            before = seq;
            l->next_to = zk_elect_who(text, len);
            fmt_into(l->before, sizeof l->before, "/election/%.*s", (int)len, text);
        }
    return true;
}

/* the session, or the path, is there no more, and nobody stands: who leads goes on */
static void elect_keep(struct elect *l, int64_t timeout_ns)
{
    l->is_kept = l->elect.standing == ZK_STANDING_FIRST && l->epoch;
    l->losses++;
    l->join_ns = l->is_kept ? 0 : env_now_ns(l->env) + timeout_ns + ELECT_HEAR_NS;
}

/* it has a session, and the path is gone */
static void elect_anew(struct elect *l)
{
    struct zk_status st;
    zk_status(l->zk, &st);
    elect_keep(l, st.timeout_ns);
    fmt_log(l->env, ENV_LOG_ERROR, "journal: the cluster's path was removed from ZooKeeper at %s.",
            l->cfg.connect);
    if (!l->is_kept)
        elect_stands(l, ZK_STANDING_NOT);
    l->made = ELECT_DIR_FIRST;
    l->root_len = 0;
    l->told = 0;
    l->is_leaving = false;
    l->state = *l->cluster ? ELECT_WHOSE : ELECT_MAKE;
}

static void elect_listed(struct elect *l, int64_t ret)
{
    bool was_first = l->elect.standing == ZK_STANDING_FIRST;
    if (ret == E_NOENT) {
        elect_anew(l);
        return;
    }
    if (ret) {
        elect_later(l);
        return;
    }
    if (!elect_place(l)) {
        if (l->hand_sent) { /* that is why */
            zk_elect_hand_end(l, l->hand_to);
            was_first = false;
        }
        if (!l->is_kept)
            elect_stands(l, was_first ? ZK_STANDING_LOST : ZK_STANDING_NOT);
        l->is_leaving = false;
        l->state = l->stands ? ELECT_JOIN : ELECT_IDLE;
        return;
    }
    l->state = l->is_leaving ? ELECT_LEAVE : *l->before ? ELECT_WATCH : ELECT_OWN;
}

/* the next level of the chroot goes into l->root; false: that was the last one */
static bool elect_root_next(struct elect *l)
{
    const char *root = strchr(l->cfg.connect, '/');
    uint32_t n = root ? (uint32_t)strlen(root) : 0, at = l->root_len + 1;
    if (l->root_len >= n || n >= sizeof l->root)
        return false;
    while (at < n && root[at] != '/')
        at++;
    l->root_len = at;
    fmt_into(l->root, sizeof l->root, "%.*s", (int)at, root);
    return true;
}

static void elect_made(struct elect *l, int64_t ret)
{
    bool is_there = ret == 0 || ret == E_EXIST;
    if (l->state == ELECT_ROOT && is_there) {
        if (!elect_root_next(l))
            l->state = ELECT_MAKE;
    } else if (l->state == ELECT_MAKE && ret == E_NOENT && !l->root_len && elect_root_next(l)) {
        l->state = ELECT_ROOT;
    } else if (!is_there) {
        l->root_len = 0;
        l->state = ELECT_MAKE;
        elect_later(l);
    } else if (l->made == ELECT_DIR_CLUSTER) {
        l->state = ELECT_WHOSE; /* somebody may have been quicker */
    } else if (++l->made == ARRAY_LEN(elect_dirs)) {
        l->was_refused = false;
        l->state = l->cfg.digest && *l->cfg.digest ? ELECT_ACL : ELECT_IDLE;
        l->n_acls = strchr(l->cfg.connect, '/') ? 0 : 1;
        *l->open = 0;
        if (!l->elect.failed)
            zk_members_run(&l->members, l->zk);
    }
}

/* Nodes from before there were credentials stay everybody's.  They are not closed here: one master
 * with the wrong ones would lock all others out. */
static void elect_acl(struct elect *l, int64_t ret)
{
    size_t at = strlen(l->open);
    if (!ret && zk_proto_acl_is_open(l->call.reply.acl))
        fmt_into(l->open + at, sizeof l->open - at, "%s%s", at ? ", " : "",
                 l->n_acls ? elect_dirs[l->n_acls - 1] : "/");
    if (++l->n_acls <= ARRAY_LEN(elect_dirs))
        return;
    l->state = ELECT_IDLE;
    if (*l->open)
        fmt_log(l->env, ENV_LOG_WARN,
                "journal: in ZooKeeper at %s everybody may change %s: made before journal.zk.auth "
                "was set. When all masters have it, `tarn journal bootstrap` closes them.",
                l->cfg.connect, l->open);
}

/* of another cluster's path nothing is made, and nobody there is stood against */
static void elect_whose(struct elect *l, int64_t ret)
{
    const struct zk_reply *r = &l->call.reply;
    if (MUTANT(ZK_WHOSE_UNASKED) ||
        (!ret && r->data_len == strlen(l->cluster) && !memcmp(r->data, l->cluster, r->data_len))) {
        l->was_ours = true;
        l->made = ELECT_DIR_FIRST;
        l->state = ELECT_MAKE;
        return;
    }
    if (ret == E_NOENT && l->was_ours) {
        fmt_log(
            l->env, ENV_LOG_WARN,
            "journal: ZooKeeper at %s does not know cluster %s there any more: its path is made "
            "again.",
            l->cfg.connect, l->cluster);
        l->made = ELECT_DIR_CLUSTER;
        l->root_len = 0;
        l->state = ELECT_MAKE;
        return;
    }
    if (!ret) {
        fmt_log(
            l->env, ENV_LOG_ERROR,
            "journal: the shared directory has the journal of cluster %s, but ZooKeeper at %s is "
            "of cluster %.*s: this master ends. Set journal.zk.connect and "
            "journal.zk.shared_dir of one cluster.",
            l->cluster, l->cfg.connect, (int)base_min_u64(r->data_len, 64), (const char *)r->data);
        elect_fail(l);
        return;
    }
    if (ret == E_NOENT && !l->was_unknown) {
        l->was_unknown = true;
        fmt_log(l->env, ENV_LOG_ERROR,
                "journal: ZooKeeper at %s does not know cluster %s there: this master is not "
                "elected. See journal.zk.connect; `tarn journal bootstrap` makes the path.",
                l->cfg.connect, l->cluster);
    }
    elect_later(l);
}

static void elect_called(struct elect *l, int64_t ret)
{
    switch (l->state) {
    case ELECT_WHOSE:
        elect_whose(l, ret);
        return;
    case ELECT_MAKE:
    case ELECT_ROOT:
        elect_made(l, ret);
        return;
    case ELECT_ACL:
        elect_acl(l, ret);
        return;
    case ELECT_JOIN:
        l->state = ret == 0 || l->call.is_sent ? ELECT_FIND : ELECT_JOIN;
        if (ret && l->call.is_sent)
            SOMETIMES(ZK_JOIN_LOST);
        if (ret)
            elect_later(l);
        return;
    case ELECT_FIND:
    case ELECT_LOOK:
        elect_listed(l, ret);
        return;
    case ELECT_WATCH:
        l->state = ret ? ELECT_LOOK : ELECT_WAIT;
        if (ret && ret != E_NOENT)
            elect_later(l);
        return;
    case ELECT_OWN:
        l->state = ret ? ELECT_LOOK : ELECT_WAIT;
        if (ret && ret != E_NOENT)
            elect_later(l);
        if (!ret && !l->is_leaving) {
            l->is_kept = false;
            elect_stands(l, ZK_STANDING_FIRST);
        }
        return;
    case ELECT_BURY:
        l->state = ELECT_LOOK;
        if (ret && ret != E_NOENT)
            elect_later(l);
        return;
    case ELECT_LEAVE:
        if (ret && ret != E_NOENT) {
            elect_later(l);
        } else {
            l->state = ELECT_FIND; /* a creation whose answer was lost may have come twice */
        }
        return;
    default:
        return;
    }
}

static void elect_end(struct elect *l, bool closes_session);

/* a node of its own was seen */
static bool elect_has_node(const struct elect *l)
{
    return l->state == ELECT_LOOK || l->state == ELECT_WATCH || l->state == ELECT_OWN ||
           l->state == ELECT_WAIT || l->state == ELECT_BURY;
}

/* by ZooKeeper.  true: its session ends, and with it the node that it may have */
static bool elect_refused(struct elect *l, const char *path)
{
    bool may_have_node = elect_has_node(l) || l->state == ELECT_FIND || l->state == ELECT_LEAVE;
    if (!l->was_refused)
        fmt_log(l->env, ENV_LOG_ERROR,
                "journal: ZooKeeper refuses '%s': its path belongs to another user than "
                "journal.zk.auth names.  This master is not elected.",
                path);
    l->was_refused = true;
    if (!may_have_node || l->epoch || l->stop_op)
        return false;
    l->is_kept = false;
    l->join_ns = env_now_ns(l->env) + ELECT_REFUSED_NS;
    elect_end(l, true);
    return true;
}

/* who is before it has credentials, and this one none, while the path is everybody's: it looks now
 * and then */
static void elect_hidden(struct elect *l)
{
    if (!l->was_hidden)
        fmt_log(l->env, ENV_LOG_WARN,
                "journal: ZooKeeper refuses '%s', of a master with other credentials: set "
                "journal.zk.auth here, too.",
                l->call.path);
    l->was_hidden = true;
}

static void elect_call_done(struct env_op *op)
{
    struct elect *l = container_of(op, struct elect, call.op);
    l->is_calling = false;
    if (op->ret == E_ACCES && l->state == ELECT_WATCH)
        elect_hidden(l);
    else if (op->ret == E_ACCES && elect_refused(l, l->call.path))
        return;
    elect_called(l, op->ret);
    elect_run(l);
    elect_near(l);
    elect_hint_run(l);
}

static void elect_fired(struct zk_watch *w, enum zk_event event)
{
    struct elect *l = container_of(w, struct elect, watch);
    (void)event;
    if (l->state == ELECT_WAIT)
        l->state = ELECT_LOOK;
    else
        l->is_again = true;
    elect_run(l);
}

static int elect_session(struct elect *l, char *why, size_t why_cap);

static void elect_timer(struct env_op *op)
{
    struct elect *l = container_of(op, struct elect, timer.op);
    char why[256];
    if (l->zk)
        elect_run(l);
    else if (elect_session(l, why, sizeof why))
        elect_later(l);
}

static void elect_run(struct elect *l)
{
    if (!l->zk || l->is_calling || !l->is_connected || env_timer_is_set(&l->timer) || l->stop_op ||
        (l->state == ELECT_WHOSE && l->elect.failed))
        return;
    if (l->state == ELECT_IDLE && l->stands)
        l->state = ELECT_JOIN;
    if (l->state == ELECT_JOIN && !l->stands) { /* nothing was created */
        l->state = ELECT_IDLE;
        l->is_leaving = false;
    }
    if (l->state == ELECT_WAIT && l->is_again)
        l->state = ELECT_LOOK;
    if (l->is_leaving && elect_has_node(l))
        l->state = ELECT_LEAVE;
    if (l->state == ELECT_JOIN && env_now_ns(l->env) < l->join_ns) {
        env_timer_set(l->env, &l->timer, l->join_ns);
        return;
    }
    l->is_again = false;
    elect_begin(l);
}

static void elect_stand(struct zk_elect *e, bool is_on)
{
    struct elect *l = zk_elect_self(e);
    l->stands = is_on;
    if (!is_on) {
        e->standing = ZK_STANDING_NOT;
        l->is_kept = false;
        l->is_leaving = l->state == ELECT_JOIN || l->state == ELECT_FIND ||
                        l->state == ELECT_LEAVE || elect_has_node(l);
    }
    elect_run(l);
    elect_near(l);
}

/* --- is who leads still there? --- */

/* Who is next after the leader keeps a connection to it.  When its process is plainly gone its node
 * is removed, as the end of its session would.  Should it be there after all it leads no more: a
 * leader watches its own node. */
static void elect_near(struct elect *l)
{
    if (!l->stands || l->is_leaving || l->state == ELECT_CLOSING)
        zk_near_follow(&l->near, "");
    else if (l->state == ELECT_WAIT)
        zk_near_follow(&l->near, *l->before && l->next_to && l->next_to == l->elect.leader
                                     ? l->leader_addr
                                     : "");
}

static void elect_gone(struct zk_near *near)
{
    struct elect *l = container_of(near, struct elect, near);
    if (!l->stands || l->is_leaving || !l->is_connected || l->state != ELECT_WAIT)
        return;
    fmt_log(l->env, ENV_LOG_INFO,
            "journal: member %u is plainly gone; its turn ends before its session does.",
            l->next_to);
    SOMETIMES(ZK_GONE);
    l->state = ELECT_BURY;
    elect_run(l);
}

/* --- numbers --- */

static void elect_count_begin(struct elect *l, enum elect_count what)
{
    int32_t version = l->count.reply.stat.version;
    zk_call_renew(&l->count);
    l->counting = what;
    l->count.path = "/epoch";
    l->count.what = what == ELECT_READ ? ZK_OP_GET_DATA : ZK_OP_SET_DATA;
    l->count.version = version;
    l->count.data = what == ELECT_READ ? NULL : l->count_text;
    l->count.data_len = what == ELECT_READ ? 0 : (uint32_t)strlen(l->count_text);
    l->count.deadline_ns = env_now_ns(l->env) + ELECT_CALL_NS;
    if (l->zk && l->state != ELECT_CLOSING && l->state != ELECT_STOPPING)
        zk_submit(l->zk, &l->count);
    else
        env_reply(l->env, &l->count.op, E_CLOSED);
}

static void elect_count_end(struct elect *l, int64_t ret)
{
    struct env_op *op = l->count_op;
    l->count_op = NULL;
    op->ret = ret;
    op->done(op);
}

static bool elect_decimal(const char *p, uint32_t len, uint64_t *ret_v)
{
    uint64_t v = 0;
    for (uint32_t i = 0; i < len; i++) {
        if (p[i] < '0' || p[i] > '9' || v > UINT64_MAX / 20)
            return false;
        v = v * 10 + (uint64_t)(p[i] - '0');
    }
    *ret_v = v;
    return len > 0;
}

static void elect_count_done(struct env_op *op)
{
    struct elect *l = container_of(op, struct elect, count.op);
    uint64_t v;
    if (l->counting == ELECT_READ && op->ret == 0) {
        if (!elect_decimal(l->count.reply.data, l->count.reply.data_len, &v))
            v = 0; /* whoever wrote that: the fence says what is taken */
        l->number = base_max_u64(v, l->above) + 1;
        if (l->number > l->elect.most) {
            elect_count_end(l, E_RANGE);
            return;
        }
        fmt_into(l->count_text, sizeof l->count_text, "%llu", (unsigned long long)l->number);
        elect_count_begin(l, ELECT_RAISE);
    } else if (l->counting == ELECT_RAISE && op->ret == 0) {
        *l->ret_number = l->number;
        elect_count_end(l, 0);
    } else if (l->counting == ELECT_RAISE && ++l->tries < ELECT_TRIES &&
               (op->ret == E_CONFLICT || op->ret == E_CLOSED)) {
        SOMETIMES(ZK_NUMBER_AGAIN);
        elect_count_begin(l, ELECT_READ); /* if it happened, a number is lost: there are others */
    } else {
        bool is_refused = op->ret == E_ACCES;
        elect_count_end(l, op->ret);
        if (is_refused)
            (void)elect_refused(l, "/epoch");
    }
}

static void elect_number(struct zk_elect *e, uint64_t above, uint64_t *ret_number,
                         struct env_op *op)
{
    struct elect *l = zk_elect_self(e);
    ASSERT(!l->count_op);
    l->count_op = op;
    l->above = above;
    l->ret_number = ret_number;
    l->tries = 0;
    elect_count_begin(l, ELECT_READ);
}

/* --- hints --- */

static void elect_hint_call(struct elect *l, enum elect_hint what)
{
    zk_call_renew(&l->hint);
    l->hinting = what;
    l->hint.path = "/leader";
    l->hint.version = -1;
    l->hint.deadline_ns = env_now_ns(l->env) + ELECT_CALL_NS;
    if (what == ELECT_HINT_ASK || what == ELECT_HINT_AWAIT) {
        zk_unwatch(l->zk, &l->hint_watch);
        l->hint.what = what == ELECT_HINT_ASK ? ZK_OP_GET_DATA : ZK_OP_EXISTS;
        l->hint.watch = &l->hint_watch;
    } else {
        l->hint.what = what == ELECT_HINT_TELL ? ZK_OP_CREATE : ZK_OP_DELETE;
        l->hint.flags = what == ELECT_HINT_TELL ? ZK_CREATE_EPHEMERAL : 0;
        fmt_into(l->hint_text, sizeof l->hint_text, "%u %s %llu", l->id, l->addr,
                 (unsigned long long)l->epoch);
        l->hint.data = l->hint_text;
        l->hint.data_len = what == ELECT_HINT_TELL ? (uint32_t)strlen(l->hint_text) : 0;
        l->telling = what == ELECT_HINT_TELL ? l->epoch : 0;
    }
    zk_submit(l->zk, &l->hint);
}

/* "id address epoch" */
static void elect_hint_parse(struct elect *l, const char *p, uint32_t len)
{
    uint32_t a = 0, b;
    uint64_t id;
    while (a < len && p[a] != ' ')
        a++;
    for (b = a + 1; b < len && p[b] != ' ';)
        b++;
    bool is_good =
        b < len && b - a - 1 < ENV_ADDR_MAX && elect_decimal(p, a, &id) && id <= UINT32_MAX;
    l->elect.leader = is_good ? (uint32_t)id : 0;
    *l->leader_addr = 0;
    if (is_good)
        fmt_into(l->leader_addr, sizeof l->leader_addr, "%.*s", (int)(b - a - 1), p + a + 1);
    elect_near(l);
    if (l->elect.changed)
        l->elect.changed(&l->elect, l->elect.ctx);
}

static void elect_hint_run(struct elect *l)
{
    if (l->hinting != ELECT_HINT_REST || !l->is_connected || l->stop_op ||
        env_timer_is_set(&l->hint_timer) || l->state == ELECT_WHOSE || l->state == ELECT_MAKE ||
        l->state == ELECT_ROOT)
        return;
    if (l->told != l->epoch)
        elect_hint_call(l, l->told || !l->epoch ? ELECT_HINT_UNTELL : ELECT_HINT_TELL);
    else if (l->hint_due)
        elect_hint_call(l, ELECT_HINT_ASK);
}

static void elect_hint_done(struct env_op *op)
{
    struct elect *l = container_of(op, struct elect, hint.op);
    enum elect_hint was = l->hinting;
    int64_t ret = op->ret;
    l->hinting = ELECT_HINT_REST;
    if (was == ELECT_HINT_TELL) {
        l->told = ret == 0 ? l->telling : ret == E_EXIST ? UINT64_MAX : l->told;
    } else if (was == ELECT_HINT_UNTELL) {
        l->told = ret == 0 || ret == E_NOENT ? 0 : l->told;
    } else if (ret == 0) {
        l->hint_due = was == ELECT_HINT_AWAIT; /* it has come meanwhile */
        if (was == ELECT_HINT_ASK)
            elect_hint_parse(l, l->hint.reply.data, l->hint.reply.data_len);
    } else if (ret == E_NOENT && was == ELECT_HINT_ASK && l->is_connected && !l->stop_op) {
        elect_hint_parse(l, "", 0);
        elect_hint_call(l, ELECT_HINT_AWAIT);
        return;
    } else if (ret == E_NOENT) {
        l->hint_due = false;
    }
    bool is_fine = ret == 0 || ret == E_NOENT || ret == E_EXIST;
    if (!is_fine && !l->stop_op)
        env_timer_set(l->env, &l->hint_timer, env_now_ns(l->env) + ELECT_PAUSE_NS);
    elect_hint_run(l);
}

static void elect_hint_fired(struct zk_watch *w, enum zk_event event)
{
    struct elect *l = container_of(w, struct elect, hint_watch);
    (void)event;
    l->hint_due = true;
    elect_hint_run(l);
}

static void elect_hint_timer(struct env_op *op)
{
    elect_hint_run(container_of(op, struct elect, hint_timer.op));
}

static void elect_serves(struct zk_elect *e, uint64_t epoch)
{
    struct elect *l = zk_elect_self(e);
    l->epoch = epoch;
    elect_hint_run(l);
}

static void elect_tell(struct zk_elect *e, uint64_t applied, uint64_t image)
{
    struct elect *l = zk_elect_self(e);
    l->members.applied = applied;
    l->members.image = image;
    l->elect.n_members = l->members.n;
}

static void elect_look(struct zk_elect *e, struct zk_elect_look *ret_look)
{
    struct elect *l = zk_elect_self(e);
    bool has_node = elect_has_node(l) && !l->is_leaving;
    *ret_look = (struct zk_elect_look){.has_session = l->is_connected,
                                       .since_ns = l->session_ns,
                                       .losses = l->losses,
                                       .bar = !l->is_connected ? JOURNAL_BAR_SESSION
                                              : l->was_refused ? JOURNAL_BAR_ACCESS
                                              : has_node       ? JOURNAL_BAR_NONE
                                              : l->was_unknown && l->state == ELECT_WHOSE
                                                  ? JOURNAL_BAR_CLUSTER
                                                  : JOURNAL_BAR_CANDIDACY};
}

/* another process is this member */
static void elect_taken(struct zk_members *m)
{
    elect_fail(container_of(m, struct elect, members));
}

/* --- the session --- */

static int elect_session(struct elect *l, char *why, size_t why_cap)
{
    l->state = ELECT_DOWN;
    l->is_leaving = l->was_unknown = false;
    fmt_into(l->prefix, sizeof l->prefix, "/election/%016llx-%u-n-",
             (unsigned long long)env_random(l->env), l->id);
    l->made = ELECT_DIR_FIRST;
    l->root_len = 0;
    l->told = 0;
    l->hint_due = true;
    memset(&l->watch, 0, sizeof l->watch);
    memset(&l->hint_watch, 0, sizeof l->hint_watch);
    l->watch.fired = elect_fired;
    l->hint_watch.fired = elect_hint_fired;
    return zk_open(l->env, l->mem, &l->cfg, &l->host, &l->zk, why, why_cap);
}

static void elect_free(struct env_op *near_op)
{
    struct elect *l = container_of(near_op, struct elect, near_op);
    struct env_op *op = l->stop_op;
    struct env *e = l->env;
    env_timer_stop(e, &l->timer);
    env_timer_stop(e, &l->hint_timer);
    mem_free(l->mem, l, sizeof *l);
    env_reply(e, op, 0);
}

/* the client is gone: for good, or another session is begun */
static void elect_closed(struct env_op *op)
{
    struct elect *l = container_of(op, struct elect, zk_op);
    char why[256];
    l->zk = NULL;
    if (l->stop_op) {
        zk_near_stop(&l->near, &l->near_op);
        return;
    }
    if (elect_session(l, why, sizeof why)) {
        fmt_log(l->env, ENV_LOG_ERROR, "journal: no new ZooKeeper session: %s.", why);
        elect_later(l);
    }
}

static void elect_connected(struct elect *l, bool is_on)
{
    if (l->is_connected != is_on)
        l->session_ns = env_now_ns(l->env);
    l->is_connected = is_on;
}

static void elect_end(struct elect *l, bool closes_session)
{
    elect_connected(l, false);
    l->state = ELECT_CLOSING;
    zk_members_stop(&l->members);
    l->elect.n_members = 0;
    l->elect.leader = 0;
    elect_near(l);
    if (!l->is_kept)
        elect_stands(l, ZK_STANDING_LOST);
    zk_stop(l->zk, closes_session, &l->zk_op);
}

static void elect_over(struct elect *l, enum zk_state state)
{
    struct zk_status st;
    zk_status(l->zk, &st);
    l->is_kept = false;
    fmt_log(l->env, ENV_LOG_WARN, "journal: the ZooKeeper session is over (%s).",
            zk_state_name(state));
    if (st.older_zxid) {
        SOMETIMES(ZK_DATA_LOST);
        elect_keep(l, st.timeout_ns);
        fmt_log(l->env, ENV_LOG_ERROR,
                "journal: ZooKeeper at %s has lost its data, or was put back to older ones. The "
                "journal is not in it: no record is lost. This master %s.",
                l->cfg.connect,
                l->is_kept ? "goes on leading, and takes part anew" : "takes part anew");
    }
    elect_end(l, false);
}

static void elect_session_state(struct zk_host *h, enum zk_state state, int why)
{
    struct elect *l = container_of(h, struct elect, host);
    (void)why;
    if (l->state == ELECT_CLOSING)
        return;
    elect_connected(l, state == ZK_CONNECTED);
    if (l->stop_op)
        return;
    if (state == ZK_EXPIRED || state == ZK_AUTH_FAILED) {
        elect_over(l, state);
        return;
    }
    if (state != ZK_CONNECTED)
        return; /* nothing is known of others: who leads goes on, the fence proves each step */
    if (l->state == ELECT_DOWN)
        l->state = *l->cluster ? ELECT_WHOSE : ELECT_MAKE;
    env_timer_stop(l->env, &l->timer);
    if (l->made == ARRAY_LEN(elect_dirs) && !l->elect.failed)
        zk_members_run(&l->members, l->zk);
    elect_run(l);
    elect_hint_run(l);
}

/* --- the door --- */

const char *zk_elect_leader_addr(const struct zk_elect *e)
{
    return container_of(e, struct elect, elect)->leader_addr;
}

int zk_elect_open(struct env *e, struct mem *m, const struct zk_elect_config *cfg,
                  struct zk_elect **ret_e, char *why, size_t why_cap)
{
    static const struct zk_elect_vt vt = {elect_stand,   elect_number, elect_serves,
                                          zk_elect_hand, elect_tell,   elect_look};
    struct elect *l = mem_zalloc(m, sizeof *l);
    if (!l) {
        fmt_into(why, why_cap, "no memory");
        return E_NOMEM;
    }
    l->elect.vt = &vt;
    l->elect.most = UINT64_MAX;
    l->env = e;
    l->mem = m;
    l->cfg = *cfg->zk;
    l->id = cfg->id;
    l->session_ns = env_now_ns(e);
    fmt_into(l->addr, sizeof l->addr, "%s", cfg->addr);
    l->host.state = elect_session_state;
    l->call.op.done = elect_call_done;
    l->count.op.done = elect_count_done;
    zk_elect_hand_init(l);
    fmt_into(l->who, sizeof l->who, "%s", cfg->who ? cfg->who : "");
    fmt_into(l->cluster, sizeof l->cluster, "%s", cfg->cluster ? cfg->cluster : "");
    zk_members_init(&l->members, e, l->id, l->addr, l->who);
    l->members.refused = elect_taken;
    l->elect.member = l->members.member;
    l->hint.op.done = elect_hint_done;
    l->timer.op.done = elect_timer;
    l->hint_timer.op.done = elect_hint_timer;
    l->zk_op.done = elect_closed;
    l->near_op.done = elect_free;
    zk_near_init(&l->near, e, elect_gone);
    int ret = elect_session(l, why, why_cap);
    if (ret) {
        mem_free(m, l, sizeof *l);
        return ret;
    }
    *ret_e = &l->elect;
    return 0;
}

void zk_elect_stop(struct zk_elect *e, struct env_op *op)
{
    struct elect *l = zk_elect_self(e);
    l->stop_op = op;
    l->stands = false;
    env_timer_stop(l->env, &l->timer);
    env_timer_stop(l->env, &l->hint_timer);
    zk_members_stop(&l->members);
    if (l->state == ELECT_CLOSING)
        return; /* as soon as that is done */
    l->state = ELECT_STOPPING;
    if (l->zk)
        zk_stop(l->zk, true, &l->zk_op);
    else
        env_reply(l->env, &l->zk_op, 0);
}
