/* journal/raft.c - one step: who is spoken to, what it means for the term, what must be durable.
 *
 * A step handles one event, then does what follows from the new state: commit, changes of members,
 * transfer, reads, messages to members.  Nothing is left over for "later" except what did not fit
 * into the effects (fx.more). */
#include "core/sometimes.h"
#include "journal/raft_impl.h"

/* --- effects --- */

struct raft_message *raft_send(struct raft *r, enum raft_message_type type, struct raft_id to)
{
    struct raft_effects *fx = r->fx;
    ASSERT(fx->n_messages < RAFT_MESSAGES_MAX);
    struct raft_message *m = &fx->message[fx->n_messages++];
    *m = (struct raft_message){.type = type, .from = r->cfg.self, .to = to, .term = r->term};
    return m;
}

/* what an event itself makes sends at most two to each member */
bool raft_may_send(const struct raft *r)
{
    if (r->fx->n_messages < RAFT_MESSAGES_MAX)
        return true;
    r->fx->more = true;
    return false;
}

void raft_save_meta(struct raft *r)
{
    r->fx->save_meta = true;
    r->fx->meta_seq = ++r->meta_seq;
    r->fx->meta = (struct raft_meta){r->term, r->vote};
}

void raft_push(struct raft *r, const struct raft_entry *e, const struct raft_conf *conf)
{
    struct raft_effects *fx = r->fx;
    raft_trail_push(&r->trail, e);
    if (fx->store_n++ == 0)
        fx->store_first = r->trail.last;
    if (r->role == RAFT_LEADER)
        r->uncommitted_bytes += e->len;
    if (!conf)
        return;
    /* the one before is committed, or this one would not have been begun */
    raft_set_commit(r, r->conf_index[r->n_confs - 1]);
    raft_member_push(r, r->trail.last, conf);
}

void raft_cut(struct raft *r, uint64_t to)
{
    ASSERT(to >= r->commit && r->role != RAFT_LEADER && r->fx->store_n == 0);
    raft_trail_cut(&r->trail, to);
    raft_member_cut(r, to);
    r->stored = base_min_u64(r->stored, to);
    r->cut_floor = base_min_u64(r->cut_floor, to);
    r->fx->cut = true;
    SOMETIMES(RAFT_CUT);
    r->fx->cut_to = to;
}

void raft_set_commit(struct raft *r, uint64_t commit)
{
    if (commit <= r->commit)
        return;
    ASSERT(commit <= r->trail.last);
    for (uint64_t i = base_max_u64(r->commit + 1, r->trail.mem_first);
         r->role == RAFT_LEADER && i <= commit; i++)
        r->uncommitted_bytes -=
            base_min_u64(r->uncommitted_bytes, r->trail.ring[i & r->trail.mask].len);
    r->commit = commit;
    if (commit == r->trail.last) /* what had left memory was not subtracted */
        r->uncommitted_bytes = 0;
}

void raft_evict(struct raft *r)
{
    uint64_t entries = (uint64_t)(r->trail.mask + 1) / 4 * 3;
    /* not only what is applied: a tail that waits for its commit may be longer than memory */
    raft_trail_evict(&r->trail, r->stored, entries, r->cfg.mem_bytes);
}

/* --- events --- */

static void raft_stored(struct raft *r, uint64_t seq, uint64_t index)
{
    if (seq < r->cut_seq && !MUTANT(RAFT_ACK_ABA)) {
        SOMETIMES(RAFT_STORED_STALE);
        index = base_min_u64(index, r->cut_floor); /* some of that may have been cut since */
    } else {
        r->cut_floor = UINT64_MAX;
    }
    index = base_min_u64(index, r->trail.last);
    if (index <= r->stored)
        return;
    r->stored = index;
    raft_elect_stored(r);
    if (r->role == RAFT_FOLLOWER && r->leader.v && base_min_u64(index, r->verified) > r->acked)
        raft_repl_answer(r);
}

static void raft_meta_stored(struct raft *r, uint64_t seq)
{
    r->meta_done = base_max_u64(r->meta_done, seq);
    if (!raft_meta_durable(r))
        return;
    if (r->ack_due && r->role == RAFT_FOLLOWER && r->leader.v)
        raft_repl_answer(r);
    raft_elect_meta(r);
}

static void raft_propose(struct raft *r, const struct raft_event *ev)
{
    uint64_t bytes = 0;
    uint32_t n = ev->u.propose.n;
    for (uint32_t i = 0; i < n; i++)
        bytes += ev->u.propose.len[i];
    raft_evict(r);
    if (r->role != RAFT_LEADER)
        r->fx->ret = E_NOT_LEADER;
    else if (r->transfer.v || r->term_start == UINT64_MAX ||
             !raft_trail_has_room(&r->trail, n + RAFT_SPARE) ||
             (r->uncommitted_bytes && r->uncommitted_bytes + bytes > r->cfg.uncommitted_bytes &&
              !MUTANT(RAFT_TAIL_UNBOUNDED)))
        r->fx->ret = E_AGAIN;
    if (r->fx->ret)
        return;
    r->fx->first = r->trail.last + 1;
    for (uint32_t i = 0; i < n; i++) {
        struct raft_entry e = {.term = r->term, .type = RAFT_DATA, .len = ev->u.propose.len[i]};
        raft_push(r, &e, NULL);
    }
}

/* what every message says of terms; false: there is nothing else to it */
static bool raft_term(struct raft *r, const struct raft_message *m)
{
    bool from_leader =
        m->type == RAFT_MSG_APPEND || m->type == RAFT_MSG_IMAGE || m->type == RAFT_MSG_TIMEOUT_NOW;
    bool asks = m->type == RAFT_MSG_PRE_VOTE || m->type == RAFT_MSG_VOTE;
    if (m->term < r->term) {
        if (asks)
            return true;   /* it is told our term */
        if (from_leader) { /* so that it steps down */
            struct raft_message *a = raft_send(r, RAFT_MSG_APPEND_REPLY, m->from);
            a->reject = true;
        }
        return false;
    }
    if (from_leader) {
        if (m->term == r->term &&
            (r->role == RAFT_LEADER || (r->leader.v && !raft_id_eq(r->leader, m->from)))) {
            r->fx->ret = E_CORRUPT; /* two leaders of one term */
            return false;
        }
        raft_elect_follow(r, m->term, m->from);
        raft_elect_contact(r);
        return true;
    }
    bool supposed =
        m->type == RAFT_MSG_PRE_VOTE || (m->type == RAFT_MSG_PRE_VOTE_REPLY && !m->reject);
    if (m->term > r->term && !supposed && m->type != RAFT_MSG_VOTE)
        raft_elect_follow(r, m->term, (struct raft_id){0});
    return true;
}

static void raft_message(struct raft *r, const struct raft_message *m)
{
    if (raft_is_self(r, m->from) || m->from.v == 0) {
        r->fx->ret = E_PROTO;
        return;
    }
    if (!raft_term(r, m))
        return;
    switch (m->type) {
    case RAFT_MSG_PRE_VOTE:
        raft_elect_pre_vote(r, m);
        return;
    case RAFT_MSG_VOTE:
        raft_elect_vote(r, m);
        return;
    case RAFT_MSG_PRE_VOTE_REPLY:
    case RAFT_MSG_VOTE_REPLY:
        raft_elect_reply(r, m);
        return;
    case RAFT_MSG_APPEND:
        raft_repl_append(r, m);
        return;
    case RAFT_MSG_APPEND_REPLY:
        raft_repl_reply(r, m);
        return;
    case RAFT_MSG_IMAGE:
        raft_repl_image(r, m);
        return;
    case RAFT_MSG_READ:
        raft_read_asked(r, m);
        return;
    case RAFT_MSG_READ_REPLY:
        raft_read_replied(r, m);
        return;
    case RAFT_MSG_TIMEOUT_NOW:
        raft_elect_timeout_now(r, m);
        return;
    }
    r->fx->ret = E_PROTO;
}

static void raft_contact(struct raft *r, struct raft_id id, bool up)
{
    struct raft_peer *p = raft_member_peer(r, id);
    if (r->role == RAFT_LEADER && p)
        raft_repl_lost(r, p);
    if (r->role == RAFT_FOLLOWER && r->leader.v && raft_id_eq(id, r->leader)) {
        raft_read_drop(r);
        if (!up)
            raft_elect_refused(r);
    }
}

static void raft_image_ready(struct raft *r, const struct raft_image *i)
{
    /* one that was wanted before a newer one was is as good: images are of committed entries */
    bool is_wanted =
        i->index == r->wanted_index ? i->term == r->wanted_term : i->index < r->wanted_index;
    if (!is_wanted || r->installing)
        return;
    r->wanted_index = 0;
    if ((i->index <= r->commit && !MUTANT(RAFT_IMAGE_LATE)) || r->role == RAFT_LEADER)
        return;
    if (i->index <= r->trail.last && !MUTANT(RAFT_IMAGE_LATE) &&
        raft_trail_term(&r->trail, i->index) == i->term) {
        SOMETIMES(RAFT_IMAGE_OVERTAKEN);
        raft_set_commit(r, i->index); /* the log came here first */
        r->verified = base_max_u64(r->verified, i->index);
        return;
    }
    r->installing = true;
    r->install_index = i->index;
    r->install_term = i->term;
    r->install_conf = *i->conf;
    r->fx->install = true;
}

static void raft_image_installed(struct raft *r)
{
    ASSERT(r->installing);
    SOMETIMES(RAFT_IMAGE_INSTALLED);
    r->installing = false;
    raft_trail_reset(&r->trail, r->install_index, r->install_term);
    r->commit = r->applied = r->stored = r->verified = r->install_index;
    r->image_index = r->install_index;
    r->image_term = r->install_term;
    r->cut_seq = ++r->store_seq;
    r->cut_floor = r->install_index;
    if (MUTANT(RAFT_CONF_STALE)) {
        r->conf[0] = r->conf[r->n_confs - 1];
        r->conf_index[0] = r->install_index;
        r->n_confs = 1;
    } else
        raft_member_reset(r, r->install_index, &r->install_conf);
    if (r->leader.v && r->role == RAFT_FOLLOWER)
        raft_repl_answer(r);
}

static void raft_event(struct raft *r, const struct raft_event *ev)
{
    struct raft_effects *fx = r->fx;
    switch (ev->type) {
    case RAFT_TIME:
        raft_elect_time(r);
        return;
    case RAFT_MESSAGE:
        raft_message(r, ev->u.message);
        return;
    case RAFT_PROPOSE:
        raft_propose(r, ev);
        return;
    case RAFT_META_STORED:
        raft_meta_stored(r, ev->u.seq);
        return;
    case RAFT_STORED:
        raft_stored(r, ev->u.stored.seq, ev->u.stored.index);
        return;
    case RAFT_APPLIED:
        ASSERT(ev->u.index <= r->commit);
        r->applied = base_max_u64(r->applied, ev->u.index);
        return;
    case RAFT_READ:
        fx->ret = raft_read_ask(r, ev->u.seq);
        return;
    case RAFT_CHANGE:
        fx->first = r->trail.last + 1;
        fx->ret = raft_member_change(r, ev->u.conf);
        return;
    case RAFT_TRANSFER:
        fx->ret = raft_elect_transfer(r, ev->u.id);
        return;
    case RAFT_CAMPAIGN:
        fx->ret = raft_elect_campaign(r, false);
        return;
    case RAFT_CONTACT:
        raft_contact(r, ev->u.contact.id, ev->u.contact.up);
        return;
    case RAFT_FETCHED:
        raft_repl_fetched(r, ev);
        return;
    case RAFT_IMAGE_SAVED:
        r->image_index = ev->u.image.index;
        r->image_term = ev->u.image.term;
        return;
    case RAFT_IMAGE_READY:
        raft_image_ready(r, &ev->u.image);
        return;
    case RAFT_IMAGE_INSTALLED:
        raft_image_installed(r);
        return;
    case RAFT_TRIMMED:
        raft_trail_trim(&r->trail,
                        base_min_u64(ev->u.index, base_min_u64(r->image_index, r->stored)));
        return;
    case RAFT_HEALTH:
        r->fit = ev->u.fit;
        return;
    }
}

void raft_step(struct raft *r, const struct raft_event *ev, struct raft_effects *fx)
{
    r->now = ev->now_ns > r->now ? ev->now_ns : r->now;
    r->fx = fx;
    fx->ret = 0;
    fx->first = 0;
    fx->save_meta = fx->cut = fx->install = fx->image_wanted = fx->more = false;
    fx->store_n = 0;
    fx->n_messages = fx->n_reads = fx->n_fetches = 0;
    raft_event(r, ev);
    raft_repl_commit(r);
    raft_member_run(r);
    raft_read_run(r);
    raft_elect_transfer_run(r);
    raft_repl_pump(r);
    raft_evict(r);
    if (r->floor_term && raft_is_whole(r))
        r->floor_term = 0;
    if (fx->cut || fx->store_n)
        fx->store_seq = ++r->store_seq;
    if (fx->cut)
        r->cut_seq = r->store_seq;
    r->fx = NULL;
}

/* --- life --- */

static void raft_load(struct raft *r, const struct raft_start *s)
{
    struct raft_trail *t = &r->trail;
    raft_trail_reset(t, s->base, s->base_term);
    t->last = s->base + s->n;
    t->mem_first = t->last + 1;
    t->n_runs = s->n_runs;
    if (s->n_runs)
        memcpy(t->run, s->run, s->n_runs * sizeof *s->run);
    r->floor = s->floor;
    r->floor_term = s->floor_term;
    r->is_guest = s->is_guest && !MUTANT(RAFT_WIPED) && !MUTANT(RAFT_DISK_IGNORED);
    r->image_index = s->image.index;
    r->image_term = s->image.term;
    r->commit = r->applied = r->verified = s->image.index;
    r->stored = t->last;
    raft_member_reset(r, s->image.index, s->image.conf);
    for (uint32_t i = 0; i < s->n_confs; i++)
        if (s->conf_index[i] > s->image.index &&
            !(MUTANT(RAFT_CONF_OF_COMMIT) && i + 1 == s->n_confs))
            raft_member_push(r, s->conf_index[i], &s->conf[i]);
    if (r->n_confs > 1) /* all but the last are committed (raft_member.c, invariant 3) */
        r->commit = r->verified = r->conf_index[r->n_confs - 2];
    /* without the term it might be another one that stood there before, and that damage has brought
     * to light again */
    if (s->commit > r->commit && s->commit <= t->last &&
        raft_trail_term(t, s->commit) == s->commit_term)
        r->commit = r->verified = s->commit;
    /* who stored an entry of a term had taken that term up, though it may not have been written */
    r->term = base_max_u64(s->meta.term, raft_last_term(r));
    if (r->term == s->meta.term && !MUTANT(RAFT_VOTE_LOST))
        r->vote = s->meta.vote;
}

/* Who starts has heard nobody: a leader that lives is heard within a few heartbeats, and a pre-vote
 * in vain disturbs nobody, so a group that starts need not wait as long as a silent leader is
 * waited for.  Not before what may have been promised before the start is over (silent_until_ns).
 */
static int64_t raft_first_suspicion(struct raft *r)
{
    const struct raft_config *c = &r->cfg;
    int64_t lo = c->suspect_min_ns, hi = c->suspect_max_ns;
    if (c->promise_ns && !c->no_pre_vote) {
        int64_t bound = raft_bound_ns(c->promise_ns, c->suspect_min_ns);
        lo = base_min_i64(lo, bound);
        hi = base_min_i64(hi, bound + 2 * c->promise_ns);
    }
    return r->now + (hi > lo ? prng_range(&r->prng, lo, hi) : lo);
}

struct raft *raft_create(struct mem *m, const struct raft_config *cfg, const struct raft_start *s,
                         int64_t now_ns)
{
    ASSERT((cfg->mem_entries & (cfg->mem_entries - 1)) == 0 && cfg->mem_entries > 4 * RAFT_SPARE);
    ASSERT(s->base <= s->image.index && s->image.index <= s->base + s->n);
    if (s->n_runs > RAFT_RUNS_MAX || s->n_confs > RAFT_CONFS_MAX - 1)
        return NULL;
    struct raft *r = mem_zalloc(m, sizeof *r);
    if (!r)
        return NULL;
    r->mem = m;
    r->cfg = *cfg;
    if (r->cfg.inflight_messages > RAFT_INFLIGHT_MAX)
        r->cfg.inflight_messages = RAFT_INFLIGHT_MAX;
    r->trail.mask = cfg->mem_entries - 1;
    r->trail.ring = mem_alloc(m, cfg->mem_entries * sizeof *r->trail.ring);
    if (!r->trail.ring) {
        mem_free(m, r, sizeof *r);
        return NULL;
    }
    prng_seed(&r->prng, cfg->seed, "raft", cfg->self.v);
    r->now = now_ns;
    r->cut_floor = UINT64_MAX;
    r->fit = true;
    raft_load(r, s);
    r->silent_until_ns = MUTANT(RAFT_RESTART_VOTES)
                             ? now_ns
                             : now_ns + raft_bound_ns(cfg->promise_ns, cfg->suspect_min_ns);
    r->suspect_ns = raft_first_suspicion(r);
    return r;
}

void raft_free(struct raft *r)
{
    struct mem *m = r->mem;
    mem_free(m, r->trail.ring, ((size_t)r->trail.mask + 1) * sizeof *r->trail.ring);
    mem_free(m, r, sizeof *r);
}

/* --- questions --- */

int64_t raft_deadline_ns(const struct raft *r)
{
    switch (r->role) {
    case RAFT_FOLLOWER:
        return r->suspect_ns;
    case RAFT_PRE_CANDIDATE:
    case RAFT_CANDIDATE:
        return r->round_ns;
    case RAFT_LEADER:
        break;
    }
    return r->transfer.v && r->transfer_ns < r->heartbeat_ns ? r->transfer_ns : r->heartbeat_ns;
}

bool raft_is_guest(const struct raft *r)
{
    return r->is_guest;
}

bool raft_is_whole(const struct raft *r)
{
    uint64_t term = raft_trail_term(&r->trail, r->stored);
    return r->floor_term == 0 || term > r->floor_term ||
           (term == r->floor_term && r->stored >= r->floor) ||
           (r->floor_seen && base_min_u64(r->stored, r->verified) >= r->floor_seen);
}

bool raft_lease_holds(const struct raft *r, int64_t now_ns)
{
    return now_ns < raft_read_lease_ns(r);
}

const struct raft_conf *raft_conf(const struct raft *r)
{
    return raft_member_conf(r);
}

const struct raft_conf *raft_conf_at(const struct raft *r, uint64_t index)
{
    uint32_t i = r->n_confs;
    while (i > 1 && r->conf_index[i - 1] > index && !MUTANT(RAFT_CONF_IN_IMAGE))
        i--;
    return &r->conf[i - 1];
}

struct raft_entry raft_entry_at(const struct raft *r, uint64_t index)
{
    ASSERT(index >= r->trail.mem_first && index <= r->trail.last);
    const struct raft_slot *s = &r->trail.ring[index & r->trail.mask];
    return (struct raft_entry){raft_trail_term(&r->trail, index), s->len, s->type};
}

uint64_t raft_mem_first(const struct raft *r)
{
    return r->trail.mem_first;
}

uint64_t raft_term_at(const struct raft *r, uint64_t index)
{
    return raft_trail_term(&r->trail, index);
}

uint64_t raft_commit(const struct raft *r)
{
    return r->commit;
}

uint64_t raft_trim_limit(const struct raft *r, uint64_t margin)
{
    uint64_t last = base_min_u64(r->applied, r->stored), keep = last > margin ? last - margin : 0;
    for (uint32_t i = 0; r->role == RAFT_LEADER && i < r->n_peers; i++)
        last = base_min_u64(last, r->peer[i].match);
    return MUTANT(RAFT_TRIM_WAITS) ? last : base_max_u64(last, keep);
}

uint32_t raft_runs(const struct raft *r, uint64_t index)
{
    return raft_trail_runs(&r->trail, index);
}

static bool raft_is_forsaken(const struct raft *r)
{
    return r->role != RAFT_LEADER && (!r->leader.v || r->yielded);
}

void raft_brief(const struct raft *r, struct raft_brief *ret_brief)
{
    struct raft_brief *b = ret_brief;
    *b = (struct raft_brief){.role = r->role,
                             .forsaken = raft_is_forsaken(r),
                             .term = r->term,
                             .term_start = r->term_start,
                             .conf_index = r->conf_index[r->n_confs - 1]};
    for (uint32_t i = 0; r->role == RAFT_LEADER && i < r->n_peers; i++) {
        b->losses += r->peer[i].losses;
        b->lossy = r->peer[i].losses ? r->peer[i].id : b->lossy;
    }
}

void raft_status(const struct raft *r, struct raft_status *ret_status)
{
    struct raft_status *s = ret_status;
    *s = (struct raft_status){.role = r->role,
                              .term = r->term,
                              .commit = r->commit,
                              .applied = r->applied,
                              .stored = r->stored,
                              .last = r->trail.last,
                              .first = r->trail.base + 1,
                              .term_start = r->term_start,
                              .leader = r->leader,
                              .vote = r->vote,
                              .transfer_to = r->transfer,
                              .lease = raft_lease_holds(r, r->now),
                              .lease_until_ns = raft_read_lease_ns(r),
                              .joint = raft_member_is_joint(raft_member_conf(r)),
                              .forsaken = raft_is_forsaken(r),
                              .conf_index = r->conf_index[r->n_confs - 1]};
    for (uint32_t i = 0; r->role == RAFT_LEADER && i < r->n_peers; i++) {
        const struct raft_peer *p = &r->peer[i];
        s->peer[s->n_peers++] =
            (struct raft_peer_status){.id = p->id,
                                      .match = p->match,
                                      .next = p->next,
                                      .heard_ns = p->has_answered ? p->heard_ns : 0,
                                      .progress = (uint8_t)p->progress,
                                      .unfit = p->unfit,
                                      .rounds = p->rounds,
                                      .losses = p->losses};
    }
}
