/* journal/zk_elect_hand.c - who is first in the election calls another one (zk_elect.h).
 *
 * Its own node and all before the other's go in one step; that the answer is lost shows in the next
 * list, so it is never done twice. */
#include "journal/zk_elect_impl.h"

void zk_elect_hand_end(struct elect *l, int64_t ret)
{
    struct env_op *op = l->hand_op;
    l->hand_op = NULL;
    l->hand_sent = false;
    if (ret > 0)
        l->elect.standing = ZK_STANDING_NOT;
    if (!op)
        return;
    op->ret = ret;
    op->done(op);
}

static void elect_hand_begin(struct elect *l, enum elect_hand s, uint32_t n)
{
    int64_t most = env_now_ns(l->env) + ELECT_CALL_NS;
    zk_call_renew(&l->hand);
    l->handing = s;
    l->hand.what = s == ELECT_HAND_LIST ? ZK_OP_GET_CHILDREN : ZK_OP_MULTI;
    l->hand.path = s == ELECT_HAND_LIST ? "/election" : NULL;
    l->hand.version = -1;
    l->hand.deadline_ns = base_min_i64(most, l->hand_deadline_ns);
    l->hand.ops = l->hand_ops;
    l->hand.n_ops = n;
    zk_submit(l->zk, &l->hand);
}

/* whose turn it shall be, and its sequence; own: this one's.  false: there is nobody */
static bool elect_hand_target(struct elect *l, uint64_t *ret_seq, uint64_t *ret_own)
{
    struct zk_list names = l->hand.reply.children;
    const char *text, *mine = l->prefix + strlen("/election/");
    uint32_t len;
    uint64_t seq;
    *ret_seq = *ret_own = UINT64_MAX;
    while (zk_proto_text_next(&names, &text, &len)) {
        uint32_t id = zk_elect_who(text, len);
        if (!zk_elect_sequence(text, len, &seq))
            continue;
        if (len > strlen(mine) && !memcmp(text, mine, strlen(mine))) {
            *ret_own = base_min_u64(*ret_own, seq);
        } else if (id && id != l->id && (!l->hand_id || id == l->hand_id) && seq < *ret_seq) {
            *ret_seq = seq;
            l->hand_to = id;
        }
    }
    return *ret_seq != UINT64_MAX;
}

static void elect_hand_listed(struct elect *l)
{
    struct zk_list names;
    const char *text;
    uint32_t len, n = 0;
    uint64_t seq, to, own;
    uint32_t was_to = l->hand_to;
    bool is_there = elect_hand_target(l, &to, &own);
    if (own == UINT64_MAX) {
        zk_elect_hand_end(l, l->hand_sent ? (int64_t)was_to : E_CONFLICT);
        return;
    }
    if (!is_there) {
        zk_elect_hand_end(l, E_NOENT);
        return;
    }
    names = l->hand.reply.children;
    memset(l->hand_ops, 0, sizeof l->hand_ops);
    while (zk_proto_text_next(&names, &text, &len)) {
        bool goes = zk_elect_sequence(text, len, &seq) && (seq < to || seq == own);
        if (!goes || len >= ELECT_PATH - 16)
            continue;
        if (n == ELECT_HAND_MAX) {
            zk_elect_hand_end(l, E_NOSPC);
            return;
        }
        fmt_into(l->hand_path[n], ELECT_PATH, "/election/%.*s", (int)len, text);
        l->hand_ops[n] =
            (struct zk_multi){.what = ZK_OP_DELETE, .path = l->hand_path[n], .version = -1};
        n++;
    }
    l->hand_sent = true;
    elect_hand_begin(l, ELECT_HAND_REMOVE, n);
}

/* a session that is lost shows later than that it does not answer */
static int64_t elect_hand_fails(const struct elect *l, int64_t ret)
{
    if (!l->is_connected || (ret == E_TIMEOUT && !l->hand_sent))
        return E_SESSION_EXPIRED;
    return ret == E_NOENT ? E_AGAIN : ret;
}

static void elect_hand_done(struct env_op *op)
{
    struct elect *l = container_of(op, struct elect, hand.op);
    enum elect_hand was = l->handing;
    int64_t ret = op->ret;
    bool is_over = !l->zk || l->stop_op || l->state == ELECT_CLOSING;
    l->handing = ELECT_HAND_REST;
    if (!l->hand_op)
        return; /* the election has seen that it is done */
    if (was == ELECT_HAND_REMOVE && ret == 0)
        zk_elect_hand_end(l, l->hand_to);
    else if (was == ELECT_HAND_LIST && ret == 0)
        elect_hand_listed(l);
    else if (is_over || ++l->hand_tries == ELECT_TRIES ||
             env_now_ns(l->env) >= l->hand_deadline_ns || (!l->is_connected && !l->hand_sent) ||
             (ret != E_NOENT && ret != E_CLOSED && ret != E_TIMEOUT))
        zk_elect_hand_end(l, elect_hand_fails(l, ret));
    else
        elect_hand_begin(l, ELECT_HAND_LIST, 0); /* some left meanwhile, or it happened */
}

void zk_elect_hand(struct zk_elect *e, uint32_t id, int64_t deadline_ns, struct env_op *op)
{
    struct elect *l = zk_elect_self(e);
    ASSERT(!l->hand_op);
    if (!l->zk || l->handing != ELECT_HAND_REST || l->elect.standing != ZK_STANDING_FIRST ||
        l->state == ELECT_CLOSING || l->state == ELECT_STOPPING) {
        env_reply(l->env, op, E_CONFLICT);
        return;
    }
    if (!l->is_connected) {
        env_reply(l->env, op, E_SESSION_EXPIRED);
        return;
    }
    l->hand_op = op;
    l->hand_id = id;
    l->hand_to = l->hand_tries = 0;
    l->hand_sent = false;
    l->hand_deadline_ns = base_min_i64(deadline_ns, env_now_ns(l->env) + ELECT_HAND_NS);
    elect_hand_begin(l, ELECT_HAND_LIST, 0);
}

void zk_elect_hand_init(struct elect *l)
{
    l->hand.op.done = elect_hand_done;
}
