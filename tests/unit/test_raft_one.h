/* tests/unit/test_raft_one.h - one core of Raft, number 1, and what is said to it. */
#ifndef TESTS_UNIT_TEST_RAFT_ONE_H
#define TESTS_UNIT_TEST_RAFT_ONE_H

#include "tests/unit/test_raft_config.h"
#include "tests/unit/unit.h"

static struct mem mem;
static struct raft *r;
static struct raft_effects fx;
static struct raft_status st;
static int64_t now;
static uint64_t store_seq, meta_seq;

static struct raft_config config(void)
{
    struct raft_config c = raft_test_config();
    c.self = (struct raft_id){1};
    c.seed = 7;
    c.refused_max_ns = 20 * MS;
    c.uncommitted_bytes = 200;
    c.batch_bytes = 4096;
    c.inflight_bytes = 8192;
    c.inflight_messages = 8;
    return c;
}

static struct raft_conf voters(uint32_t n)
{
    struct raft_conf c = {.n = n};
    for (uint32_t i = 0; i < n; i++)
        c.member[i] = (struct raft_member){.id = {i + 1}, .flags = RAFT_VOTER, .priority = 1};
    return c;
}

/* the short answer says what the long one does */
static void check_brief(void)
{
    struct raft_brief b;
    uint32_t losses = 0, lossy = 0;
    raft_brief(r, &b);
    for (uint32_t i = 0; i < st.n_peers; i++) {
        losses += st.peer[i].losses;
        lossy = st.peer[i].losses ? st.peer[i].id.v : lossy;
    }
    CU_ASSERT(b.role == st.role && b.forsaken == st.forsaken && b.term == st.term);
    CU_ASSERT(b.term_start == st.term_start && b.conf_index == st.conf_index);
    CU_ASSERT(b.losses == losses && b.lossy.v == lossy);
}

static void step(struct raft_event ev)
{
    ev.now_ns = now;
    raft_step(r, &ev, &fx);
    raft_status(r, &st);
    check_brief();
    if (fx.save_meta)
        meta_seq = fx.meta_seq;
    if (fx.cut || fx.store_n)
        store_seq = fx.store_seq;
}

/* member 1 of the configuration, with entries of these terms in its log */
static void open_conf(const struct raft_conf *conf, uint64_t term, uint32_t vote, uint32_t n,
                      const uint64_t *terms)
{
    struct raft_run run[16];
    struct raft_config cfg = config();
    struct raft_start s = {.meta = {term, {vote}}, .image.conf = conf, .n = n, .run = run};
    for (uint32_t i = 0; i < n; i++)
        if (i == 0 || terms[i] != terms[i - 1])
            run[s.n_runs++] = (struct raft_run){i + 1, terms[i]};
    unit_mem(&mem, 1 << 24);
    now = 1000000 * MS;
    r = raft_create(&mem, &cfg, &s, now);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r);
    raft_status(r, &st);
    now += 700 * MS; /* it is bound by what it may have heard before */
}

static void open_voters(uint32_t n_voters, uint64_t term, uint32_t n, const uint64_t *terms)
{
    struct raft_conf c = voters(n_voters);
    open_conf(&c, term, 0, n, terms);
}

static void end(void)
{
    raft_free(r);
    mem_drop(&mem);
}

static void message(struct raft_message m)
{
    m.to = (struct raft_id){1};
    step((struct raft_event){.type = RAFT_MESSAGE, .u.message = &m});
}

static const struct raft_message *sent(enum raft_message_type type, uint32_t to)
{
    for (uint32_t i = 0; i < fx.n_messages; i++)
        if (fx.message[i].type == type && (to == 0 || fx.message[i].to.v == to))
            return &fx.message[i];
    return NULL;
}

static void meta_stored(void)
{
    step((struct raft_event){.type = RAFT_META_STORED, .u.seq = meta_seq});
}

static void stored(uint64_t index)
{
    step((struct raft_event){.type = RAFT_STORED, .u.stored = {store_seq, index}});
}

static void at(int64_t t)
{
    now = t;
    step((struct raft_event){.type = RAFT_TIME});
}

/* an append of n entries of one term */
static void append(uint32_t from, uint64_t term, uint64_t prev, uint64_t prev_term, uint32_t n,
                   uint64_t entry_term, uint64_t commit)
{
    struct raft_entry e[16];
    for (uint32_t i = 0; i < n; i++)
        e[i] = (struct raft_entry){entry_term, 4, RAFT_DATA};
    message((struct raft_message){.type = RAFT_MSG_APPEND,
                                  .from = {from},
                                  .term = term,
                                  .index = prev,
                                  .log_term = prev_term,
                                  .commit = commit,
                                  .sent_ns = now,
                                  .n = n,
                                  .entry = e});
}

static void ack(uint32_t from, uint64_t index)
{
    message((struct raft_message){.type = RAFT_MSG_APPEND_REPLY,
                                  .from = {from},
                                  .term = st.term,
                                  .index = index,
                                  .hint = index,
                                  .sent_ns = now});
}

/* suspicion, pre-votes and votes of 2 (and 3): it leads, its first entry is stored */
static void lead(uint32_t n)
{
    at(now + 2100 * MS);
    CU_ASSERT_EQUAL(st.role, n == 1 ? RAFT_CANDIDATE : RAFT_PRE_CANDIDATE);
    for (uint32_t i = 2; i <= n / 2 + 1; i++)
        message((struct raft_message){
            .type = RAFT_MSG_PRE_VOTE_REPLY, .from = {i}, .term = st.term + 1});
    meta_stored();
    for (uint32_t i = 2; i <= n / 2 + 1; i++)
        message((struct raft_message){.type = RAFT_MSG_VOTE_REPLY, .from = {i}, .term = st.term});
    CU_ASSERT_EQUAL_FATAL(st.role, RAFT_LEADER);
    stored(st.last);
}

static void propose(uint32_t n)
{
    uint32_t len[16];
    for (uint32_t i = 0; i < n; i++)
        len[i] = 8;
    step((struct raft_event){.type = RAFT_PROPOSE, .u.propose = {n, len}});
}

#endif
