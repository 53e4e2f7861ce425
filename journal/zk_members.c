/* journal/zk_members.c - see zk_members.h. */
#include "core/fmt.h"
#include "core/mutant.h"
#include "journal/zk_members.h"

static const int64_t ZK_MEMBERS_CALL_NS = 5000 * 1000000LL;

static void zk_members_begin(struct zk_members *m, enum zk_members_state s)
{
    static const int32_t what[] = {
        0, ZK_OP_SET_DATA, ZK_OP_CREATE, ZK_OP_GET_CHILDREN, ZK_OP_GET_DATA, ZK_OP_GET_DATA};
    zk_call_renew(&m->call);
    m->state = s;
    m->call.what = what[s];
    m->call.version = -1;
    m->call.path = m->path;
    m->call.deadline_ns = env_now_ns(m->env) + ZK_MEMBERS_CALL_NS;
    if (s == ZK_MEMBERS_LIST)
        fmt_into(m->path, sizeof m->path, "/masters");
    else if (s == ZK_MEMBERS_READ)
        fmt_into(m->path, sizeof m->path, "/masters/%s", m->found[m->at]);
    else
        fmt_into(m->path, sizeof m->path, "/masters/%u", m->id);
    if (s == ZK_MEMBERS_TELL || s == ZK_MEMBERS_MAKE) {
        fmt_into(m->text, sizeof m->text, "%u %s %llu %llu%s%s", m->id, m->addr,
                 (unsigned long long)m->applied, (unsigned long long)m->image, *m->who ? " " : "",
                 m->who);
        m->call.data = m->text;
        m->call.data_len = (uint32_t)strlen(m->text);
        m->call.flags = s == ZK_MEMBERS_MAKE ? ZK_CREATE_EPHEMERAL : 0;
    }
    zk_submit(m->zk, &m->call);
}

static void zk_members_rest(struct zk_members *m)
{
    m->state = ZK_MEMBERS_REST;
    if (m->zk)
        env_timer_set(m->env, &m->timer, env_now_ns(m->env) + ZK_MEMBERS_NS);
}

static void zk_members_listed(struct zk_members *m)
{
    struct zk_list names = m->call.reply.children;
    const char *text;
    uint32_t len;
    m->n_found = m->n_next = m->at = 0;
    while (zk_proto_text_next(&names, &text, &len))
        if (len && len < sizeof m->found[0] && m->n_found < JOURNAL_MEMBERS_MAX)
            fmt_into(m->found[m->n_found++], sizeof m->found[0], "%.*s", (int)len, text);
}

/* a number up to the next ' ' or the end; false: there is none */
static bool zk_members_number(const char **p, const char *end, uint64_t *ret_v)
{
    uint64_t v = 0;
    const char *from = *p;
    for (; *p < end && **p != ' '; (*p)++) {
        if (**p < '0' || **p > '9' || v > UINT64_MAX / 20)
            return false;
        v = v * 10 + (uint64_t)(**p - '0');
    }
    *ret_v = v;
    bool is_good = *p > from;
    *p += *p < end;
    return is_good;
}

static void zk_members_read(struct zk_members *m)
{
    const char *p = m->call.reply.data, *end = p + m->call.reply.data_len, *addr;
    struct zk_elect_member x = {.heard_ns = env_now_ns(m->env)};
    uint64_t id;
    uint32_t i = 0;
    if (!p || !zk_members_number(&p, end, &id) || !id || id > UINT32_MAX)
        return;
    for (addr = p; p < end && *p != ' ';)
        p++;
    if ((size_t)(p - addr) >= sizeof x.addr)
        return;
    fmt_into(x.addr, sizeof x.addr, "%.*s", (int)(p - addr), addr);
    p += p < end;
    if (!zk_members_number(&p, end, &x.applied) || !zk_members_number(&p, end, &x.image))
        return;
    x.id = (uint32_t)id;
    while (i < m->n_next && m->next[i].id < x.id)
        i++;
    if (i < m->n_next && m->next[i].id == x.id)
        return;
    memmove(m->next + i + 1, m->next + i, (m->n_next++ - i) * sizeof x);
    m->next[i] = x;
}

/* --- one number, one process --- */

/* whose node it is, as the answer says */
static void zk_members_whose(struct zk_members *m)
{
    const struct zk_stat *st = &m->call.reply.stat;
    struct zk_status z;
    zk_status(m->zk, &z);
    if (st->owner == z.session) {
        m->other = 0;
    } else if (st->owner != m->other) {
        m->other = st->owner;
        m->other_version = st->version;
    }
}

/* "id address applied image process" -> where, and the process; both are in `to` */
static const char *zk_members_parse(const char *p, uint32_t len, char *to, size_t cap,
                                    const char **ret_who)
{
    char *field[5] = {to};
    uint32_t n = 1;
    *ret_who = "";
    fmt_into(to, cap, "%.*s", (int)len, p ? p : "");
    for (char *c = to; *c && n < ARRAY_LEN(field); c++)
        if (*c == ' ') {
            *c = 0;
            field[n++] = c + 1;
        }
    if (n == ARRAY_LEN(field))
        *ret_who = field[4];
    return n > 1 ? field[1] : "?";
}

/* The other one's node was read.  true: it has written it since, so it is there */
static bool zk_members_is_second(struct zk_members *m)
{
    char text[sizeof m->text];
    const char *who, *at;
    /* one change may be a call that was under way when the other one died */
    if (!m->other || m->call.reply.stat.version - m->other_version < 2 || MUTANT(ZK_NUMBER_SHARED))
        return false;
    at = zk_members_parse(m->call.reply.data, m->call.reply.data_len, text, sizeof text, &who);
    fmt_log(m->env, ENV_LOG_ERROR,
            "journal: number %u is taken: %s%s%s takes part as member %u already. Two of one "
            "number would write their images to one place. Give this master a journal.id of its "
            "own, or stop that one.",
            m->id, at, *who ? ", " : "", who, m->id);
    zk_members_stop(m);
    m->state = ZK_MEMBERS_REST;
    m->refused(m);
    return true;
}

static void zk_members_done(struct env_op *op)
{
    struct zk_members *m = container_of(op, struct zk_members, call.op);
    int64_t ret = op->ret;
    if (!m->zk) {
        m->state = ZK_MEMBERS_REST;
        return;
    }
    bool is_own_node = m->state == ZK_MEMBERS_TELL || m->state == ZK_MEMBERS_LOOK;
    if (is_own_node && ret == E_NOENT) {
        m->other = 0;
        zk_members_begin(m, ZK_MEMBERS_MAKE);
        return;
    }
    if (is_own_node && ret == 0)
        zk_members_whose(m);
    if (m->state == ZK_MEMBERS_LOOK && ret == 0 && zk_members_is_second(m))
        return;
    bool is_gone = m->state == ZK_MEMBERS_READ && ret == E_NOENT;
    if (ret && ret != E_EXIST && !is_gone) {
        zk_members_rest(m);
        return;
    }
    if (m->state < ZK_MEMBERS_LIST || m->state == ZK_MEMBERS_LOOK) {
        zk_members_begin(m, ZK_MEMBERS_LIST);
        return;
    }
    if (m->state == ZK_MEMBERS_LIST) {
        zk_members_listed(m);
    } else {
        if (!is_gone)
            zk_members_read(m);
        m->at++;
    }
    if (m->at < m->n_found) {
        zk_members_begin(m, ZK_MEMBERS_READ);
        return;
    }
    memcpy(m->member, m->next, sizeof m->member);
    m->n = m->n_next;
    zk_members_rest(m);
}

static void zk_members_timer(struct env_op *op)
{
    struct zk_members *m = container_of(op, struct zk_members, timer.op);
    if (m->zk && m->state == ZK_MEMBERS_REST)
        zk_members_begin(m, m->other ? ZK_MEMBERS_LOOK : ZK_MEMBERS_TELL);
}

void zk_members_run(struct zk_members *m, struct zk *z)
{
    m->zk = z;
    if (m->state == ZK_MEMBERS_REST && !env_timer_is_set(&m->timer))
        zk_members_begin(m, m->other ? ZK_MEMBERS_LOOK : ZK_MEMBERS_TELL);
}

void zk_members_stop(struct zk_members *m)
{
    m->zk = NULL;
    m->n = 0;
    m->other = 0;
    env_timer_stop(m->env, &m->timer);
}

void zk_members_init(struct zk_members *m, struct env *e, uint32_t id, const char *addr,
                     const char *who)
{
    m->env = e;
    m->id = id;
    m->addr = addr;
    m->who = who;
    m->call.op.done = zk_members_done;
    m->timer.op.done = zk_members_timer;
}
