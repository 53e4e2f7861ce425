/* tests/unit/test_lab_raft.c - lies about the logs, messages and steps of a group's members, each
 * of which the checker of Raft's properties (sim/lab_raft.h) has to name. */
#include "sim/lab_raft.h"
#include "core/fmt.h"
#include "journal/raft_format.h"
#include "journal/raft_log.h"
#include "tests/unit/test_raft_one.h"

static struct mem lab_mem;
static struct lab_raft *lab;
static struct raft_watch *a, *b, *c;
static uint64_t checks, failures;
static bool is_early; /* messages leave before what they promise is on the disk */
static char first[400];

static void on_fail(void *ctx, const char *what)
{
    (void)ctx;
    if (failures++ == 0)
        fmt_into(first, sizeof first, "%s", what);
}

static void starts(struct raft_watch *w, uint32_t id, uint64_t term, uint32_t vote)
{
    struct raft_meta meta = {term, {vote}};
    lab_raft_starts(w);
    w->began(w, (struct raft_id){id}, &meta);
}

static void lab_open(void)
{
    struct lab_raft_config cfg = {.fail = on_fail, .checks = &checks};
    unit_mem(&lab_mem, 64 << 20);
    checks = failures = 0;
    first[0] = 0;
    lab = lab_raft_open(&lab_mem, &cfg);
    a = lab_raft_member(lab, "a");
    b = lab_raft_member(lab, "b");
    c = lab_raft_member(lab, "c");
    starts(a, 1, 1, 0);
    starts(b, 2, 1, 0);
    starts(c, 3, 1, 0);
}

static void is_told(const char *says)
{
    bool ok = failures == 1 && strstr(first, says);
    if (!ok)
        printf("  '%s': %llu failures, '%s'\n", says, (unsigned long long)failures, first);
    CU_ASSERT(ok);
    CU_ASSERT(checks > 0);
    mem_drop(&lab_mem);
}

static void grow(struct raft_watch *w, uint64_t index, uint64_t term, char byte)
{
    struct raft_entry e = {term, 1, RAFT_DATA};
    w->appended(w, index, &e, &byte);
}

static void grow_conf(struct raft_watch *w, uint64_t index, uint64_t term, uint32_t n)
{
    uint8_t bytes[RAFT_FORMAT_CONF_MAX];
    struct raft_conf conf = voters(n);
    struct wbuf to = wbuf_make(bytes, sizeof bytes);
    raft_format_conf_put(&to, &conf);
    struct raft_entry e = {term, (uint32_t)to.len, RAFT_CONF};
    w->appended(w, index, &e, bytes);
}

static void says(struct raft_watch *w, enum raft_message_type type, uint32_t to, uint64_t term,
                 uint64_t index, uint64_t on_disk)
{
    struct raft_message m = {.type = type, .to = {to}, .term = term, .index = index};
    struct raft_meta meta = {term, {type == RAFT_MSG_VOTE ? w == b ? 2 : 1 : to}};
    if (!is_early)
        w->saved(w, &meta);
    w->sent(w, &m, on_disk);
}

/* ---- logs and messages ---- */

static void test_truth_is_no_failure(void)
{
    lab_open();
    for (uint64_t i = 1; i < 100000; i++) { /* more than is remembered */
        grow(a, i, 1 + i / 1000, (char)i);
        grow(b, i, 1 + i / 1000, (char)i);
    }
    a->cut(a, 99990);
    grow(a, 99991, 500, 'x'); /* what is not committed may be another */
    b->cut(b, 99990);
    grow(b, 99991, 500, 'x');
    c->reset(c, 99990, 100);
    grow(c, 99991, 500, 'x');
    says(b, RAFT_MSG_VOTE_REPLY, 1, 500, 0, 0);
    says(b, RAFT_MSG_VOTE_REPLY, 1, 500, 0, 0);
    starts(b, 2, 500, 1);
    says(b, RAFT_MSG_VOTE_REPLY, 3, 501, 0, 0);
    CU_ASSERT_EQUAL(failures, 0);
    mem_drop(&lab_mem);
}

static void test_log_matching(void)
{
    lab_open();
    grow(a, 1, 1, 'x');
    grow(b, 1, 1, 'y');
    is_told("log matching: b has another entry 1 of term 1");

    lab_open();
    grow(a, 1, 1, 'x');
    grow(a, 2, 3, 'z');
    grow(b, 1, 2, 'x');
    grow(b, 2, 3, 'z');
    is_told("log matching: entry 2 of term 3 follows one of term 2 on b, and one of term 1");

    lab_open();
    grow(a, 1, 2, 'x');
    grow(a, 2, 1, 'y');
    is_told("log matching: a has entry 2 of term 1 behind one of term 2");
}

/* what is found at a start voids what was found before, and is compared as well */
static void test_log_that_is_found(void)
{
    static const uint8_t x = 'x', y = 'y';
    lab_open();
    grow(a, 1, 1, 'x');
    grow(a, 2, 1, 'x');
    lab_raft_starts(a);
    a->found(a, 1, 1, RAFT_DATA, &x, 1);
    a->found(a, 2, 1, RAFT_DATA, &x, 1);
    a->found(a, 2, 2, RAFT_DATA, &y, 1);
    CU_ASSERT_EQUAL(failures, 0);
    a->found(a, 9, 2, RAFT_LOG_RESET, NULL, 0);
    a->found(a, 10, 2, RAFT_DATA, &x, 1);
    CU_ASSERT_EQUAL(failures, 0);
    lab_raft_starts(a);
    a->found(a, 1, 1, RAFT_DATA, &y, 1);
    is_told("log matching: a has another entry 1");
}

static void test_votes(void)
{
    lab_open();
    says(b, RAFT_MSG_VOTE_REPLY, 1, 2, 0, 0);
    says(b, RAFT_MSG_VOTE_REPLY, 3, 2, 0, 0);
    is_told("election safety: b votes in term 2 with a vote for 3, and had voted for 1");

    lab_open();
    says(b, RAFT_MSG_VOTE_REPLY, 1, 2, 0, 0);
    says(b, RAFT_MSG_VOTE, 3, 2, 0, 0);
    is_told("election safety: b stands in term 2 with a vote for 2, and had voted for 1");

    lab_open();
    says(b, RAFT_MSG_VOTE_REPLY, 1, 2, 0, 0);
    starts(b, 2, 2, 0);
    is_told("election safety: b starts in term 2 and has forgotten its vote for 1");

    lab_open();
    says(b, RAFT_MSG_VOTE_REPLY, 1, 4, 0, 0);
    starts(b, 2, 3, 0);
    is_told("election safety: b starts in term 3, and had promised something in term 4");

    lab_open();
    says(b, RAFT_MSG_APPEND_REPLY, 1, 4, 0, 0);
    says(b, RAFT_MSG_VOTE_REPLY, 1, 3, 0, 0);
    is_told("election safety: b votes in term 3, and had promised something in term 4");
}

static void test_promises_are_durable(void)
{
    static const enum raft_message_type types[] = {RAFT_MSG_VOTE, RAFT_MSG_VOTE_REPLY,
                                                   RAFT_MSG_APPEND_REPLY};
    static const char *texts[] = {"b stands in term 2, which is not on its disk",
                                  "b votes in term 2, which is not on its disk",
                                  "b answers in term 2, which is not on its disk"};
    is_early = true;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        lab_open();
        says(b, types[i], 1, 2, 0, 0);
        is_told(texts[i]);
    }
    lab_open();
    b->saved(b, &(struct raft_meta){2, {3}});
    says(b, RAFT_MSG_VOTE_REPLY, 1, 2, 0, 0);
    is_told("b votes in term 2, which is not on its disk");
    is_early = false;
}

/* Without its disk it may start behind its promises, and with another name it has none. */
static void test_lost_disk(void)
{
    lab_open();
    says(b, RAFT_MSG_VOTE_REPLY, 1, 4, 0, 0);
    lab_raft_lost(b);
    starts(b, 2, 0, 0);
    CU_ASSERT_EQUAL(failures, 0);
    says(b, RAFT_MSG_VOTE_REPLY, 1, 5, 0, 0);
    is_told("election safety: b votes in term 5; its disk was lost");

    lab_open();
    says(b, RAFT_MSG_VOTE_REPLY, 1, 4, 0, 0);
    lab_raft_lost(b);
    starts(b, 2, 0, 0);
    starts(b, 7, 0, 0);
    says(b, RAFT_MSG_VOTE_REPLY, 1, 5, 0, 0);
    CU_ASSERT_EQUAL(failures, 0);
    starts(b, 7, 0, 0);
    is_told("election safety: b starts in term 0, and had promised something in term 5");
}

static void test_answer_for_what_is_not_stored(void)
{
    lab_open();
    grow(b, 1, 1, 'x');
    grow(b, 2, 1, 'x');
    says(b, RAFT_MSG_APPEND_REPLY, 1, 1, 1, 1);
    b->reset(b, 7, 1);
    says(b, RAFT_MSG_APPEND_REPLY, 1, 1, 7, 0);
    CU_ASSERT_EQUAL(failures, 0);
    says(b, RAFT_MSG_APPEND_REPLY, 1, 1, 8, 7);
    is_told("state machine safety: b answers for entry 8, and has 7 on its disk");
}

/* ---- steps: a core that leads in term 2 of three, entry 2 is its first ---- */

static void leads(void)
{
    static const uint64_t terms[] = {1};
    lab_open();
    open_voters(3, 1, 1, terms);
    grow_conf(a, 1, 1, 3);
    lead(3);
    CU_ASSERT_EQUAL(st.term, 2);
    CU_ASSERT_PTR_NULL(sent(RAFT_MSG_VOTE, 2));
    grow(a, 2, 2, 0);
    a->stepped(a, r, 2);
    CU_ASSERT_EQUAL(failures, 0);
}

static void test_election_safety(void)
{
    leads();
    grow_conf(b, 1, 1, 3);
    grow(b, 2, 2, 0);
    b->stepped(b, r, 2);
    end();
    is_told("election safety: b leads in term 2, as a did");
}

static void test_leader_append_only(void)
{
    leads();
    a->cut(a, 1);
    a->stepped(a, r, 1);
    end();
    is_told("leader append-only: a leads in term 2, and its log is cut to 1");
}

/* a follower that knows as much to be committed as the last leader: of a group where it is alone */
static void follows(const uint64_t *terms, uint32_t n)
{
    end();
    open_voters(3, 9, n, terms);
    append(2, 9, n, terms[n - 1], 0, 0, n);
    CU_ASSERT_EQUAL(st.commit, n);
}

static void committed(void)
{
    leads();
    says(b, RAFT_MSG_APPEND_REPLY, 1, 2, 2, 2);
    ack(2, 2);
    CU_ASSERT_EQUAL(st.commit, 2);
    a->stepped(a, r, 2);
    CU_ASSERT_EQUAL(failures, 0);
}

static void test_state_machine_safety(void)
{
    static const uint64_t same[] = {1, 2}, other[] = {1, 3};
    committed();
    follows(same, 2);
    grow_conf(b, 1, 1, 3);
    grow(b, 2, 2, 0);
    b->stepped(b, r, 2);
    CU_ASSERT_EQUAL(failures, 0);
    follows(other, 2);
    grow_conf(c, 1, 1, 3);
    grow(c, 2, 3, 0);
    c->stepped(c, r, 2);
    end();
    is_told("state machine safety: c commits entry 2 of term 3, and others one of term 2");

    leads();
    ack(2, 2); /* who answered did not, as far as anybody saw */
    a->stepped(a, r, 2);
    end();
    is_told("state machine safety: a commits entry 2 without a majority");

    leads();
    says(b, RAFT_MSG_APPEND_REPLY, 1, 2, 2, 2);
    ack(2, 2);
    a->stepped(a, r, 1); /* nor has it stored its own */
    end();
    is_told("state machine safety: a commits entry 2 without a majority");

    committed();
    follows((const uint64_t[]){1, 2, 2}, 3);
    grow_conf(b, 1, 1, 3);
    grow(b, 2, 2, 0);
    b->stepped(b, r, 2);
    end();
    is_told("state machine safety: b commits entry 3, its log ends at 2");
}

static void test_only_own_term_is_counted(void)
{
    static const uint64_t terms[] = {1, 1};
    lab_open();
    open_voters(3, 1, 2, terms);
    grow_conf(a, 1, 1, 3);
    grow(a, 2, 1, 'x');
    lead(3);
    a->stepped(a, r, 2);
    says(b, RAFT_MSG_APPEND_REPLY, 1, st.term, 3, 3);
    ack(2, 3);
    CU_ASSERT_EQUAL(st.commit, 3);
    grow(a, 3, 1, 'x'); /* as if its first entry were an old one */
    a->stepped(a, r, 3);
    end();
    is_told("state machine safety: a leads in term 2 and commits entry 3 of term 1");
}

/* the next leader: in term 10, with entries of these terms */
static void leads_next(uint32_t n, uint64_t term)
{
    const uint64_t terms[] = {1, term};
    committed();
    end();
    open_voters(3, 9, n, terms);
    lead(3);
    grow_conf(b, 1, 1, 3);
    if (n > 1)
        grow(b, 2, term, 0);
    b->stepped(b, r, n);
    end();
}

static void test_leader_completeness(void)
{
    leads_next(2, 2);
    CU_ASSERT_EQUAL(failures, 0);
    mem_drop(&lab_mem);
    leads_next(1, 0);
    is_told(
        "leader completeness: b leads in term 10, its log ends at 1; 2 was committed in term 2");
    leads_next(2, 3);
    is_told("leader completeness: b leads in term 10, its entry 2 is of term 3; one of term 2");
}

static void test_configuration(void)
{
    leads();
    propose(1);
    grow_conf(a, 3, 2, 3); /* as if that had been a change */
    a->stepped(a, r, 2);
    end();
    CU_ASSERT_EQUAL(failures, 2); /* nor is anything of its own term */
    failures = 1;
    is_told("configuration: a begins a change with entry 3; that of entry 1 is not committed");

    lab_open();
    open_voters(3, 1, 1, (const uint64_t[]){1});
    grow_conf(a, 1, 1, 2);
    a->stepped(a, r, 1);
    end();
    is_told("configuration: that of a is not the last of its log, of entry 1");
}

UNIT_MAIN("lab_raft", UNIT(test_truth_is_no_failure), UNIT(test_log_matching),
          UNIT(test_log_that_is_found), UNIT(test_votes), UNIT(test_promises_are_durable),
          UNIT(test_lost_disk), UNIT(test_answer_for_what_is_not_stored),
          UNIT(test_election_safety), UNIT(test_leader_append_only),
          UNIT(test_state_machine_safety), UNIT(test_only_own_term_is_counted),
          UNIT(test_leader_completeness), UNIT(test_configuration))
