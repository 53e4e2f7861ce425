/* tests/unit/test_raft_traps.c - the ways in which Raft implementations have gone wrong, each as
 * the smallest schedule of one core that shows it.  Numbers are those of docs/raft-traps.md. */
#include "tests/unit/test_raft_one.h"

static void test_trap_01_only_own_term_is_counted(void)
{
    open_voters(3, 2, 2, (uint64_t[]){1, 2});
    lead(3);
    ack(2, 2); /* a majority has entry 2, of an old term */
    CU_ASSERT_EQUAL(st.commit, 0);
    ack(2, 3);
    CU_ASSERT_EQUAL(st.commit, 3);
    end();
}

static void test_trap_02_no_change_before_own_term_is_committed(void)
{
    open_voters(3, 1, 1, (uint64_t[]){1});
    lead(3);
    struct raft_conf c = voters(2);
    step((struct raft_event){.type = RAFT_CHANGE, .u.conf = &c});
    CU_ASSERT_EQUAL(fx.ret, E_AGAIN);
    ack(2, st.last);
    step((struct raft_event){.type = RAFT_CHANGE, .u.conf = &c});
    CU_ASSERT_EQUAL(fx.ret, 0);
    c = voters(1);
    step((struct raft_event){.type = RAFT_CHANGE, .u.conf = &c}); /* nor on top of another */
    CU_ASSERT_EQUAL(fx.ret, E_AGAIN);
    end();
}

static void ask_vote(uint32_t from, uint64_t term, uint64_t index, uint64_t log_term)
{
    message((struct raft_message){
        .type = RAFT_MSG_VOTE, .from = {from}, .term = term, .index = index, .log_term = log_term});
}

static void test_trap_03_vote_is_durable_before_it_is_told(void)
{
    open_voters(3, 1, 0, NULL);
    ask_vote(2, 2, 0, 0);
    CU_ASSERT(fx.save_meta && fx.meta.term == 2 && fx.meta.vote.v == 2);
    CU_ASSERT_PTR_NULL(sent(RAFT_MSG_VOTE_REPLY, 0));
    meta_stored();
    const struct raft_message *m = sent(RAFT_MSG_VOTE_REPLY, 2);
    CU_ASSERT(m && !m->reject && m->term == 2);
    ask_vote(3, 2, 5, 1); /* one vote a term */
    m = sent(RAFT_MSG_VOTE_REPLY, 3);
    CU_ASSERT(m && m->reject);
    end();
}

static void test_trap_03_start_knows_its_vote(void)
{
    struct raft_conf c = voters(3);
    open_conf(&c, 4, 2, 0, NULL);
    CU_ASSERT(st.term == 4 && st.vote.v == 2);
    ask_vote(3, 4, 9, 3);
    const struct raft_message *m = sent(RAFT_MSG_VOTE_REPLY, 3);
    CU_ASSERT(m && m->reject);
    end();
}

static void test_trap_04_step_down_keeps_the_vote(void)
{
    open_voters(3, 1, 0, NULL);
    at(now + 2100 * MS);
    message((struct raft_message){.type = RAFT_MSG_PRE_VOTE_REPLY, .from = {2}, .term = 2});
    meta_stored();
    CU_ASSERT(st.role == RAFT_CANDIDATE && st.vote.v == 1);
    append(3, 2, 0, 0, 0, 0, 0); /* another won this term */
    CU_ASSERT(st.role == RAFT_FOLLOWER && st.term == 2 && st.vote.v == 1 && !fx.save_meta);
    end();
}

static void test_trap_05_candidate_counts_itself_when_durable(void)
{
    open_voters(1, 1, 0, NULL);
    at(now + 2100 * MS);
    CU_ASSERT_EQUAL(st.role, RAFT_CANDIDATE);
    CU_ASSERT_TRUE(fx.save_meta);
    meta_stored();
    CU_ASSERT_EQUAL(st.role, RAFT_LEADER);
    end();
    open_voters(3, 1, 0, NULL);
    at(now + 2100 * MS);
    message((struct raft_message){.type = RAFT_MSG_PRE_VOTE_REPLY, .from = {2}, .term = 2});
    CU_ASSERT_PTR_NULL(sent(RAFT_MSG_VOTE, 0)); /* nor does it ask before */
    meta_stored();
    CU_ASSERT_PTR_NOT_NULL(sent(RAFT_MSG_VOTE, 2));
    end();
}

static void test_trap_06_late_append_keeps_the_suffix(void)
{
    open_voters(3, 1, 0, NULL);
    append(2, 2, 0, 0, 5, 2, 0);
    meta_stored();
    stored(5);
    append(2, 2, 0, 0, 2, 2, 0); /* an older one, once more */
    CU_ASSERT(!fx.cut && st.last == 5 && st.stored == 5);
    end();
}

static void test_trap_07_commit_only_what_was_verified(void)
{
    open_voters(3, 1, 3, (uint64_t[]){1, 1, 1}); /* 2 and 3 may differ from the leader's */
    append(2, 2, 1, 1, 0, 0, 3);
    CU_ASSERT_EQUAL(st.commit, 1);
    end();
}

static void test_trap_09_entries_read_late_are_not_sent_as_others(void)
{
    open_voters(3, 1, 5, (uint64_t[]){1, 1, 1, 1, 1}); /* on disk, not in memory */
    lead(3);
    message((struct raft_message){.type = RAFT_MSG_APPEND_REPLY,
                                  .from = {3},
                                  .term = st.term,
                                  .index = 5,
                                  .hint = 1,
                                  .log_term = 1,
                                  .reject = true});
    ack(3, 1);
    CU_ASSERT(fx.n_fetches == 1 && fx.fetch[0].id.v == 3 && fx.fetch[0].from == 2);
    ack(3, 3); /* it has got further by another way */
    struct raft_entry e[4] = {{1, 8, 1}, {1, 8, 1}, {1, 8, 1}, {1, 8, 1}};
    step((struct raft_event){.type = RAFT_FETCHED, .u.fetched = {{3}, 2, 4, e, NULL}});
    CU_ASSERT_PTR_NULL(sent(RAFT_MSG_APPEND, 3));
    CU_ASSERT(fx.n_fetches == 1 && fx.fetch[0].from == 4);
    end();
}

static void test_trap_10_hint_is_the_last_index(void)
{
    open_voters(3, 1, 2, (uint64_t[]){1, 1});
    append(2, 1, 9, 1, 0, 0, 0);
    const struct raft_message *m = sent(RAFT_MSG_APPEND_REPLY, 2);
    CU_ASSERT(m && m->reject && m->index == 9 && m->hint == 2 && m->log_term == 1);
    end();
    /* and the leader goes there at once, never beyond what it has */
    open_voters(3, 1, 5, (uint64_t[]){1, 1, 1, 1, 1});
    lead(3);
    message((struct raft_message){.type = RAFT_MSG_APPEND_REPLY,
                                  .from = {3},
                                  .term = st.term,
                                  .index = 5,
                                  .hint = 2,
                                  .log_term = 1,
                                  .reject = true});
    m = sent(RAFT_MSG_APPEND, 3);
    CU_ASSERT(m && m->index == 2 && m->log_term == 1);
    end();
}

static void test_trap_11_votes_compare_term_then_index(void)
{
    open_voters(3, 3, 2, (uint64_t[]){1, 3});
    ask_vote(2, 4, 9, 2); /* longer, of an older term */
    const struct raft_message *m = sent(RAFT_MSG_VOTE_REPLY, 2);
    CU_ASSERT(m && m->reject);
    ask_vote(3, 4, 1, 4);
    meta_stored();
    m = sent(RAFT_MSG_VOTE_REPLY, 3);
    CU_ASSERT(m && !m->reject);
    end();
}

static void test_trap_12_refused_pre_vote_tells_the_term(void)
{
    open_voters(3, 5, 1, (uint64_t[]){1});
    message((struct raft_message){
        .type = RAFT_MSG_PRE_VOTE, .from = {2}, .term = 4, .index = 9, .log_term = 3});
    const struct raft_message *m = sent(RAFT_MSG_PRE_VOTE_REPLY, 2);
    CU_ASSERT(m && m->reject && m->term == 5);
    end();
    open_voters(3, 3, 9, (uint64_t[]){3, 3, 3, 3, 3, 3, 3, 3, 3});
    at(now + 2100 * MS);
    message((struct raft_message){
        .type = RAFT_MSG_PRE_VOTE_REPLY, .from = {2}, .term = 5, .reject = true});
    CU_ASSERT_EQUAL(st.term, 5);
    end();
}

static void test_trap_13_pre_candidate_forgets_the_leader(void)
{
    open_voters(3, 1, 0, NULL);
    append(2, 1, 0, 0, 0, 0, 0);
    at(now + 2100 * MS);
    CU_ASSERT(st.role == RAFT_PRE_CANDIDATE && st.leader.v == 0);
    message((struct raft_message){.type = RAFT_MSG_PRE_VOTE, .from = {3}, .term = 2});
    const struct raft_message *m = sent(RAFT_MSG_PRE_VOTE_REPLY, 3);
    CU_ASSERT(m && !m->reject);
    end();
}

static void test_trap_14_promise_to_the_leader_is_kept(void)
{
    open_voters(3, 1, 0, NULL);
    append(2, 1, 0, 0, 0, 0, 0);
    now += 100 * MS;
    message((struct raft_message){.type = RAFT_MSG_PRE_VOTE, .from = {3}, .term = 2});
    const struct raft_message *m = sent(RAFT_MSG_PRE_VOTE_REPLY, 3);
    CU_ASSERT(m && m->reject);
    ask_vote(3, 9, 5, 5);
    CU_ASSERT(st.term == 1 && fx.n_messages == 0);
    now += 450 * MS; /* the lease is over by now; who stood still since has a while left */
    ask_vote(3, 9, 5, 5);
    CU_ASSERT(st.term == 1 && fx.n_messages == 0);
    now += 50 * MS; /* it has lapsed */
    ask_vote(3, 9, 5, 5);
    CU_ASSERT(st.term == 9 && st.vote.v == 3);
    end();
}

/* Who leads no more may have been sure of itself a moment ago: it is bound as the others are. */
static void test_trap_14_who_led_is_bound_like_its_followers(void)
{
    for (int forced = 0; forced < 2; forced++) {
        open_voters(3, 1, 0, NULL);
        lead(3);
        ack(2, 1);
        CU_ASSERT(st.lease);
        now += 100 * MS;
        message((struct raft_message){
            .type = RAFT_MSG_APPEND_REPLY, .from = {3}, .term = 6, .reject = true});
        CU_ASSERT(st.role == RAFT_FOLLOWER && st.term == 6);
        now += 499 * MS;
        message((struct raft_message){.type = RAFT_MSG_VOTE,
                                      .from = {3},
                                      .term = 9,
                                      .index = 9,
                                      .log_term = 8,
                                      .force = forced});
        CU_ASSERT_EQUAL(st.term, forced ? 9 : 6); /* whom it called itself is helped at once */
        now += 1 * MS;
        ask_vote(3, 9, 9, 8);
        CU_ASSERT(st.term == 9 && st.vote.v == 3);
        end();
    }
}

/* Who has just started and hears a leader owes nothing to others: they had ended when that one was
 * elected. */
static void test_trap_30_who_heard_a_leader_since_its_start_keeps_still_no_longer(void)
{
    open_voters(3, 1, 0, NULL);
    now -= 600 * MS; /* 100 ms after its start */
    append(2, 1, 0, 0, 0, 0, 0);
    step((struct raft_event){.type = RAFT_CONTACT, .u.contact = {{2}, false}});
    now += 140 * MS;
    ask_vote(3, 9, 5, 5);
    CU_ASSERT(st.term == 1 && fx.n_messages == 0);
    now += 10 * MS;
    ask_vote(3, 9, 5, 5);
    CU_ASSERT(st.term == 9 && st.vote.v == 3);
    end();
}

/* The leader's process is no more: it stands still nowhere, and only its lease has to be over. */
static void test_trap_14_a_refused_connection_shortens_the_promise(void)
{
    for (uint32_t id = 2; id <= 3; id++) {
        open_voters(3, 1, 0, NULL);
        append(2, 1, 0, 0, 0, 0, 0);
        now += 100 * MS;
        step((struct raft_event){.type = RAFT_CONTACT, .u.contact = {{id}, false}});
        ask_vote(3, 9, 5, 5);
        CU_ASSERT(st.term == 1 && fx.n_messages == 0);
        now += 50 * MS;
        ask_vote(3, 9, 5, 5);
        CU_ASSERT_EQUAL(st.term, id == 2 ? 9 : 1); /* another member's says nothing of it */
        end();
    }
}

static void campaign(void)
{
    step((struct raft_event){.type = RAFT_CAMPAIGN});
}

static void test_trap_30_a_higher_term_does_not_end_the_promise(void)
{
    open_voters(5, 1, 0, NULL);
    append(2, 1, 0, 0, 0, 0, 0);
    now += 10 * MS;
    message((struct raft_message){
        .type = RAFT_MSG_PRE_VOTE_REPLY, .from = {4}, .term = 7, .reject = true});
    CU_ASSERT(st.term == 7 && st.leader.v == 0);
    meta_stored();
    message((struct raft_message){.type = RAFT_MSG_PRE_VOTE, .from = {3}, .term = 8});
    const struct raft_message *m = sent(RAFT_MSG_PRE_VOTE_REPLY, 3);
    CU_ASSERT(m && m->reject);
    ask_vote(3, 8, 0, 0);
    CU_ASSERT(st.term == 7 && fx.n_messages == 0);
    ask_vote(3, 7, 0, 0); /* nor in the term that it has */
    m = sent(RAFT_MSG_VOTE_REPLY, 3);
    CU_ASSERT(m && m->reject && st.vote.v == 0);
    now += 590 * MS;
    ask_vote(3, 8, 0, 0);
    CU_ASSERT(st.term == 8 && st.vote.v == 3);
    end();
}

static void test_trap_30_who_promised_does_not_stand(void)
{
    open_voters(3, 1, 0, NULL);
    append(2, 1, 0, 0, 0, 0, 0);
    now += 10 * MS;
    campaign(); /* its own vote would count against the lease it helps to hold */
    CU_ASSERT(fx.ret == E_AGAIN && st.role == RAFT_FOLLOWER);
    now += 590 * MS;
    campaign();
    CU_ASSERT(fx.ret == 0 && st.role == RAFT_PRE_CANDIDATE);
    end();
    open_voters(3, 1, 0, NULL);
    append(2, 1, 0, 0, 0, 0, 0);
    message((struct raft_message){.type = RAFT_MSG_TIMEOUT_NOW, .from = {2}, .term = 1});
    CU_ASSERT_EQUAL(st.role, RAFT_CANDIDATE); /* but when the leader itself asks for it */
    end();
}

static void test_trap_15_leader_without_a_quorum_steps_down(void)
{
    open_voters(5, 1, 0, NULL);
    lead(5);
    for (int i = 0; i < 40 && st.role == RAFT_LEADER; i++) {
        at(now + 50 * MS);
        ack(2, 1); /* one of four */
    }
    CU_ASSERT_EQUAL(st.role, RAFT_FOLLOWER);
    end();
}

static void test_trap_16_removed_member_is_not_elected_by_transfer(void)
{
    struct raft_conf c = voters(3);
    c.member[0] = c.member[1]; /* without 1 */
    c.member[1] = c.member[2];
    c.n = 2;
    open_conf(&c, 1, 0, 0, NULL);
    append(2, 1, 0, 0, 0, 0, 0);
    message((struct raft_message){.type = RAFT_MSG_TIMEOUT_NOW, .from = {2}, .term = 1});
    CU_ASSERT(st.role == RAFT_FOLLOWER && st.term == 1);
    end();
}

static void test_trap_17_learner_votes_when_asked(void)
{
    struct raft_conf c = voters(3);
    c.member[0].flags = RAFT_LEARNER;
    open_conf(&c, 1, 0, 0, NULL);
    ask_vote(2, 2, 0, 0);
    meta_stored();
    const struct raft_message *m = sent(RAFT_MSG_VOTE_REPLY, 2);
    CU_ASSERT(m && !m->reject);
    end();
}

static void test_trap_18_new_leader_leaves_joint_consensus(void)
{
    struct raft_conf c = voters(3);
    c.member[0].flags = c.member[1].flags = RAFT_VOTER | RAFT_OLD;
    c.member[2].flags = RAFT_OLD; /* 3 goes; whoever began this is gone as well */
    open_conf(&c, 1, 0, 0, NULL);
    at(now + 2100 * MS);
    message((struct raft_message){.type = RAFT_MSG_PRE_VOTE_REPLY, .from = {2}, .term = 2});
    meta_stored();
    message((struct raft_message){.type = RAFT_MSG_VOTE_REPLY, .from = {2}, .term = 2});
    CU_ASSERT_TRUE(st.role == RAFT_LEADER && st.joint);
    stored(1);
    ack(2, 1);
    CU_ASSERT(st.commit == 1 && !st.joint && st.last == 2 && raft_conf(r)->n == 2);
    end();
}

static void test_trap_19_configuration_counts_from_its_append_on(void)
{
    struct raft_conf one = voters(1);
    struct raft_entry e = {2, 40, RAFT_CONF};
    open_voters(2, 1, 0, NULL);
    message((struct raft_message){
        .type = RAFT_MSG_APPEND, .from = {2}, .term = 2, .n = 1, .entry = &e, .conf = &one});
    meta_stored();
    stored(1);
    at(now + 2100 * MS); /* 2 removed itself and is gone: 1 needs nobody */
    CU_ASSERT_EQUAL(st.role, RAFT_CANDIDATE);
    meta_stored();
    stored(st.last);
    CU_ASSERT(st.role == RAFT_LEADER && st.commit == 2);
    end();
}

static void test_trap_26_what_waits_is_answered(void)
{
    open_voters(3, 1, 0, NULL);
    append(2, 1, 0, 0, 0, 0, 0);
    step((struct raft_event){.type = RAFT_READ, .u.seq = 7});
    CU_ASSERT(fx.ret == 0 && fx.n_reads == 0);
    append(3, 2, 0, 0, 0, 0, 0); /* another leads: 2 will not answer */
    CU_ASSERT(fx.n_reads == 1 && fx.read[0].name == 7 && fx.read[0].ret == E_NOT_LEADER);
    step((struct raft_event){.type = RAFT_READ, .u.seq = 8});
    step((struct raft_event){.type = RAFT_CONTACT, .u.contact = {{3}, true}});
    CU_ASSERT(fx.n_reads == 1 && fx.read[0].name == 8); /* it may have been lost on its way */
    end();
}

static void test_trap_20_demoted_member_counts_its_vote_in_the_old_half(void)
{
    struct raft_conf c = voters(2);
    c.member[0].flags = RAFT_OLD | RAFT_LEARNER;
    c.member[1].flags = RAFT_VOTER | RAFT_OLD;
    open_conf(&c, 1, 0, 0, NULL);
    at(now + 2100 * MS);
    message((struct raft_message){.type = RAFT_MSG_PRE_VOTE_REPLY, .from = {2}, .term = 2});
    meta_stored();
    message((struct raft_message){.type = RAFT_MSG_VOTE_REPLY, .from = {2}, .term = 2});
    CU_ASSERT_EQUAL(st.role, RAFT_LEADER);
    end();
}

static void test_trap_20_left_out_by_an_uncommitted_change_it_stands(void)
{
    struct raft_conf c = voters(3);
    struct raft_entry e = {2, 40, RAFT_CONF};
    open_voters(3, 1, 0, NULL);
    c.member[0] = c.member[1]; /* without 1 */
    c.member[1] = c.member[2];
    c.n = 2;
    message((struct raft_message){
        .type = RAFT_MSG_APPEND, .from = {2}, .term = 2, .n = 1, .entry = &e, .conf = &c});
    meta_stored();
    stored(1);
    at(now + 2100 * MS); /* perhaps nobody else has the entry */
    CU_ASSERT_EQUAL(st.role, RAFT_PRE_CANDIDATE);
    end();
}

static void test_trap_21_image_has_the_configuration_of_its_index(void)
{
    struct raft_conf two = voters(2);
    struct raft_entry e = {1, 40, RAFT_CONF};
    open_voters(3, 1, 1, (uint64_t[]){1});
    message((struct raft_message){.type = RAFT_MSG_APPEND,
                                  .from = {2},
                                  .term = 1,
                                  .index = 1,
                                  .log_term = 1,
                                  .commit = 1,
                                  .n = 1,
                                  .entry = &e,
                                  .conf = &two});
    CU_ASSERT(st.commit == 1 && raft_conf(r)->n == 2);
    CU_ASSERT_EQUAL(raft_conf_at(r, 1)->n, 3); /* an image of what is committed */
    end();
}

static void test_trap_21_configuration_is_cut_with_its_entry(void)
{
    struct raft_conf two = voters(2);
    struct raft_entry e = {2, 40, RAFT_CONF};
    open_voters(3, 1, 0, NULL);
    message((struct raft_message){
        .type = RAFT_MSG_APPEND, .from = {2}, .term = 2, .n = 1, .entry = &e, .conf = &two});
    CU_ASSERT_EQUAL(raft_conf(r)->n, 2); /* in effect as soon as it is in the log */
    append(3, 3, 0, 0, 1, 3, 0);
    CU_ASSERT(fx.cut && fx.cut_to == 0 && raft_conf(r)->n == 3);
    end();
}

static void test_trap_22_image_replaces_the_configuration(void)
{
    struct raft_conf three = voters(3), five = voters(5);
    open_conf(&five, 1, 0, 3, (uint64_t[]){1, 1, 1});
    message((struct raft_message){.type = RAFT_MSG_IMAGE,
                                  .from = {2},
                                  .term = 4,
                                  .index = 90,
                                  .log_term = 3,
                                  .commit = 95,
                                  .conf = &three});
    CU_ASSERT(fx.image_wanted && fx.image_index == 90);
    meta_stored();
    step((struct raft_event){.type = RAFT_IMAGE_READY, .u.image = {90, 3, &three}});
    CU_ASSERT_TRUE(fx.install);
    step((struct raft_event){.type = RAFT_IMAGE_INSTALLED});
    CU_ASSERT(raft_conf(r)->n == 3 && st.last == 90 && st.commit == 90);
    const struct raft_message *m = sent(RAFT_MSG_APPEND_REPLY, 2);
    CU_ASSERT(m && m->index == 90);
    end();
}

static void test_trap_23_start_takes_the_last_appended_configuration(void)
{
    struct raft_conf three = voters(3), two = voters(2);
    struct raft_run run = {1, 1};
    struct raft_config cfg = config();
    uint64_t at_index = 4;
    struct raft_start s = {.meta = {1, {0}},
                           .image.conf = &three,
                           .n = 5,
                           .run = &run,
                           .n_runs = 1,
                           .n_confs = 1,
                           .conf_index = &at_index,
                           .conf = &two};
    unit_mem(&mem, 1 << 24);
    r = raft_create(&mem, &cfg, &s, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r);
    CU_ASSERT_EQUAL(raft_conf(r)->n, 2);
    end();
}

static void test_trap_24_image_of_the_last_entry_ends_probing(void)
{
    open_voters(3, 1, 3, (uint64_t[]){1, 1, 1});
    lead(3);
    ack(2, 4);
    step((struct raft_event){.type = RAFT_APPLIED, .u.index = 4});
    step((struct raft_event){.type = RAFT_IMAGE_SAVED, .u.image = {4, st.term, NULL}});
    step((struct raft_event){.type = RAFT_TRIMMED, .u.index = 4});
    CU_ASSERT_PTR_NOT_NULL(sent(RAFT_MSG_IMAGE, 3));
    ack(3, 4);
    propose(1);
    const struct raft_message *m = sent(RAFT_MSG_APPEND, 3);
    CU_ASSERT(m && m->index == 4 && m->n == 1);
    end();
}

static void test_trap_25_no_candidacy_while_storing_or_installing(void)
{
    open_voters(3, 1, 0, NULL);
    append(2, 1, 0, 0, 2, 1, 0); /* not stored */
    at(now + 2100 * MS);
    CU_ASSERT_EQUAL(st.role, RAFT_FOLLOWER);
    stored(2);
    at(now + 300 * MS);
    CU_ASSERT_EQUAL(st.role, RAFT_PRE_CANDIDATE);
    end();
}

static void test_trap_27_completion_of_what_was_cut_does_not_count(void)
{
    open_voters(3, 1, 0, NULL);
    append(2, 2, 0, 0, 3, 2, 0);
    uint64_t old = store_seq;
    append(3, 3, 1, 2, 2, 3, 0); /* 2 and 3 are replaced before they were stored */
    CU_ASSERT(fx.cut && fx.cut_to == 1);
    meta_stored();
    step((struct raft_event){.type = RAFT_STORED, .u.stored = {old, 3}});
    CU_ASSERT_EQUAL(st.stored, 1);
    stored(3);
    CU_ASSERT_EQUAL(st.stored, 3);
    end();
}

static void test_trap_28_no_read_before_own_term_is_committed(void)
{
    open_voters(3, 1, 3, (uint64_t[]){1, 1, 1});
    lead(3);
    step((struct raft_event){.type = RAFT_READ, .u.seq = 5});
    CU_ASSERT(fx.ret == 0 && fx.n_reads == 0);
    ack(2, 4);
    CU_ASSERT(fx.n_reads == 1 && fx.read[0].index == 4 && fx.read[0].ret == 0);
    end();
}

static void test_trap_29_single_leader_reads_after_its_first_commit(void)
{
    open_voters(1, 1, 3, (uint64_t[]){1, 1, 1});
    at(now + 2100 * MS);
    meta_stored();
    CU_ASSERT_EQUAL(st.role, RAFT_LEADER);
    step((struct raft_event){.type = RAFT_READ, .u.seq = 1});
    CU_ASSERT_EQUAL(fx.n_reads, 0);
    stored(4);
    CU_ASSERT(fx.n_reads == 1 && fx.read[0].index == 4);
    end();
}

static void test_trap_30_lease_ends_in_time_and_with_a_transfer(void)
{
    open_voters(3, 1, 0, NULL);
    lead(3);
    int64_t t = now;
    ack(2, 1);
    CU_ASSERT_TRUE(raft_lease_holds(r, t + 149 * MS));
    CU_ASSERT_FALSE(raft_lease_holds(r, t + 150 * MS)); /* shortened by the drift */
    step((struct raft_event){.type = RAFT_TRANSFER, .u.id = {2}});
    CU_ASSERT_PTR_NOT_NULL(sent(RAFT_MSG_TIMEOUT_NOW, 2));
    CU_ASSERT_FALSE(raft_lease_holds(r, t));
    now += 600 * MS;
    ack(2, 1);
    at(now + 500 * MS); /* the transfer came to nothing: no lease all the same, */
    CU_ASSERT(st.role == RAFT_LEADER && st.transfer_to.v == 0);
    message((struct raft_message){.type = RAFT_MSG_APPEND_REPLY,
                                  .from = {3},
                                  .term = st.term,
                                  .index = 1,
                                  .hint = 1,
                                  .sent_ns = now - 101 * MS});
    CU_ASSERT_FALSE(raft_lease_holds(r, now));
    ack(3, 1); /* until a quorum has heard of that */
    CU_ASSERT_TRUE(raft_lease_holds(r, now));
    message((struct raft_message){.type = RAFT_MSG_VOTE,
                                  .from = {2},
                                  .term = st.term + 1,
                                  .index = 1,
                                  .log_term = 1,
                                  .force = true,
                                  .sent_ns = t + 1000 * MS});
    CU_ASSERT(st.role == RAFT_LEADER); /* it comes too late */
    end();
}

static void ask_forced(uint32_t from, uint64_t term, int64_t until_ns)
{
    message((struct raft_message){.type = RAFT_MSG_VOTE,
                                  .from = {from},
                                  .term = term,
                                  .index = 9,
                                  .log_term = term - 1,
                                  .force = true,
                                  .sent_ns = until_ns});
}

/* A call to lead holds until the leader's clock, as its followers hear it, says otherwise: then its
 * lease may hold again. */
static void test_trap_30_a_call_to_lead_is_over_when_the_leader_says_so(void)
{
    struct raft_message call = {.type = RAFT_MSG_TIMEOUT_NOW, .from = {2}, .term = 1};
    for (int late = 0; late < 2; late++) {
        open_voters(3, 1, 0, NULL);
        now += 500 * MS;
        append(2, 1, 0, 0, 0, 0, 0);
        call.sent_ns = now + (late ? 0 : 1);
        message(call);
        CU_ASSERT_EQUAL(st.role, late ? RAFT_FOLLOWER : RAFT_CANDIDATE);
        end();
        open_voters(3, 1, 0, NULL);
        now += 500 * MS;
        append(2, 1, 0, 0, 0, 0, 0);
        ask_forced(3, 2, now + (late ? 0 : 1));
        CU_ASSERT_EQUAL(st.vote.v, late ? 0 : 3);
        CU_ASSERT_EQUAL(st.term, late ? 1 : 2);
        end();
    }
    open_voters(3, 1, 0, NULL); /* who has just started may have heard so */
    now -= 200 * MS;
    append(2, 1, 0, 0, 0, 0, 0);
    ask_forced(3, 2, now + 500 * MS);
    CU_ASSERT(st.vote.v == 0 && st.term == 1);
    end();
    open_voters(3, 1, 0, NULL); /* another leader's clock says nothing of it */
    now += 500 * MS;
    append(2, 1, 0, 0, 0, 0, 0);
    append(3, 2, 0, 0, 0, 0, 0);
    ask_forced(2, 3, now + 1);
    CU_ASSERT_EQUAL(st.vote.v, 2);
    end();
}

static void test_trap_30_voter_that_starts_keeps_still(void)
{
    open_voters(3, 1, 0, NULL);
    now -= 110 * MS; /* 590 ms after its start */
    ask_vote(2, 5, 9, 9);
    CU_ASSERT(st.term == 1 && fx.n_messages == 0);
    end();
}

static void test_first_suspicion_is_short_but_outlasts_a_promise(void)
{
    const struct raft_conf c = voters(3);
    int64_t lo = INT64_MAX, hi = 0;
    for (uint64_t seed = 1; seed <= 64; seed++) {
        struct raft_config cfg = config();
        struct raft_start s = {.meta = {1, {0}}, .image.conf = &c};
        cfg.seed = seed;
        unit_mem(&mem, 1 << 24);
        now = 1000000 * MS;
        r = raft_create(&mem, &cfg, &s, now);
        CU_ASSERT_PTR_NOT_NULL_FATAL(r);
        int64_t wait = raft_deadline_ns(r) - now;
        lo = wait < lo ? wait : lo;
        hi = wait > hi ? wait : hi;
        now += wait;
        step((struct raft_event){.type = RAFT_TIME});
        CU_ASSERT_EQUAL(st.role, RAFT_PRE_CANDIDATE); /* which changes nothing of anybody */
        CU_ASSERT(st.term == 1 && !fx.save_meta);
        append(2, 1, 0, 0, 0, 0, 0); /* from here on it is patient */
        CU_ASSERT(raft_deadline_ns(r) - now >= cfg.suspect_min_ns);
        end();
    }
    CU_ASSERT(lo >= 4 * config().promise_ns && hi <= 6 * config().promise_ns);
    CU_ASSERT(hi - lo > config().promise_ns); /* not all at once */
}

/* Who was away gets what left the leader's memory, but not more than he can hold until his disk has
 * it: what he had to refuse would be read and sent once more. */
static void slow_disk(uint32_t batch, uint64_t most)
{
    uint64_t terms[200], from = 1;
    struct raft_entry e[8];
    for (int i = 0; i < 200; i++)
        terms[i] = 1;
    for (int i = 0; i < 8; i++)
        e[i] = (struct raft_entry){1, 4, RAFT_DATA};
    open_voters(3, 1, 200, terms);
    lead(3);
    message((struct raft_message){
        .type = RAFT_MSG_APPEND_REPLY, .from = {2}, .term = st.term, .index = 200, .reject = true});
    ack(2, 0);
    for (; fx.n_fetches == 1 && from < 100; from += batch) { /* all is taken, nothing stored */
        CU_ASSERT_EQUAL(fx.fetch[0].from, from);
        step((struct raft_event){.type = RAFT_FETCHED, .u.fetched = {{2}, from, batch, e, NULL}});
        CU_ASSERT_PTR_NOT_NULL(sent(RAFT_MSG_APPEND, 2));
    }
    CU_ASSERT_EQUAL(from, most + 1);
    message((struct raft_message){
        .type = RAFT_MSG_APPEND_REPLY, .from = {2}, .term = st.term, .hint = most, .sent_ns = now});
    CU_ASSERT_EQUAL(fx.n_fetches, 0);
    ack(2, batch);
    CU_ASSERT(fx.n_fetches == 1 && fx.fetch[0].from == most + 1);
    end();
}

static void test_slow_disk_is_not_flooded(void)
{
    slow_disk(8, 32); /* half of the 64 entries that he can hold */
    slow_disk(2, 16); /* eight messages */
}

/* ... and if he was sent too much after all, what waits for his disk is bounded in bytes, too. */
static void test_tail_of_a_slow_disk_is_bounded(void)
{
    struct raft_entry e[4];
    open_voters(3, 1, 0, NULL);
    for (uint64_t i = 0; i < 16; i++) {
        for (int k = 0; k < 4; k++)
            e[k] = (struct raft_entry){1, 100 << 10, RAFT_DATA};
        message((struct raft_message){.type = RAFT_MSG_APPEND,
                                      .from = {2},
                                      .term = 1,
                                      .index = 4 * i,
                                      .log_term = i ? 1 : 0,
                                      .n = 4,
                                      .entry = e});
        if (st.last == 4 * i)
            break;
    }
    CU_ASSERT_EQUAL(st.last, 12); /* the first that is more than 1 MiB */
    const struct raft_message *m = sent(RAFT_MSG_APPEND_REPLY, 2);
    CU_ASSERT(m && m->index == 0 && m->hint == 12);
    stored(12);
    message((struct raft_message){.type = RAFT_MSG_APPEND,
                                  .from = {2},
                                  .term = 1,
                                  .index = 12,
                                  .log_term = 1,
                                  .n = 4,
                                  .entry = e});
    CU_ASSERT_EQUAL(st.last, 16);
    end();
}

static void test_trap_40_uncommitted_tail_is_bounded(void)
{
    open_voters(3, 1, 0, NULL);
    lead(3);
    ack(2, 1);
    int taken = 0;
    for (int i = 0; i < 100; i++) {
        propose(1);
        taken += fx.ret == 0;
    }
    CU_ASSERT_EQUAL(fx.ret, E_AGAIN);
    CU_ASSERT_EQUAL(taken, 25); /* 200 bytes */
    stored(st.last);
    ack(2, st.last);
    propose(1);
    CU_ASSERT_EQUAL(fx.ret, 0);
    end();
}

static void test_trap_40_tail_that_is_not_in_memory_counts_as_full(void)
{
    open_voters(3, 1, 5, (uint64_t[]){1, 1, 1, 1, 1}); /* of lengths that only the disk knows */
    lead(3);
    propose(1);
    CU_ASSERT_EQUAL(fx.ret, E_AGAIN);
    ack(2, st.last);
    propose(1);
    CU_ASSERT_EQUAL(fx.ret, 0);
    end();
}

static void offer(uint32_t from, uint64_t term, uint64_t index)
{
    struct raft_conf three = voters(3);
    message((struct raft_message){.type = RAFT_MSG_IMAGE,
                                  .from = {from},
                                  .term = term,
                                  .index = index,
                                  .log_term = 1,
                                  .conf = &three});
}

static void test_trap_38_image_is_fetched_from_whoever_leads(void)
{
    open_voters(3, 1, 0, NULL);
    offer(2, 1, 90);
    CU_ASSERT(fx.image_wanted && fx.image_from.v == 2);
    offer(2, 1, 90); /* once is enough */
    CU_ASSERT_FALSE(fx.image_wanted);
    offer(3, 2, 90); /* 2 may be gone for good */
    CU_ASSERT(fx.image_wanted && fx.image_from.v == 3);
    end();
}

static void ready(uint64_t index, uint64_t term)
{
    struct raft_conf three = voters(3);
    step((struct raft_event){.type = RAFT_IMAGE_READY, .u.image = {index, term, &three}});
}

static void test_trap_25_nothing_is_taken_while_installing(void)
{
    open_voters(3, 1, 0, NULL);
    offer(2, 1, 90);
    ready(90, 1);
    CU_ASSERT_TRUE(fx.install);
    append(2, 1, 0, 0, 2, 1, 0);
    CU_ASSERT_EQUAL(fx.store_n, 0);
    at(now + 2100 * MS);
    CU_ASSERT_EQUAL(st.role, RAFT_FOLLOWER);
    step((struct raft_event){.type = RAFT_IMAGE_INSTALLED});
    append(2, 1, 90, 1, 2, 1, 0);
    CU_ASSERT_EQUAL(fx.store_n, 2);
    end();
}

static void test_trap_38_image_that_comes_too_late_is_not_installed(void)
{
    open_voters(3, 1, 0, NULL);
    offer(2, 1, 3);
    CU_ASSERT_TRUE(fx.image_wanted);
    append(2, 1, 0, 0, 5, 1, 4);
    stored(5);
    ready(3, 1);
    CU_ASSERT(!fx.install && st.last == 5 && st.commit == 4);
    end();
}

static void test_trap_39_log_is_not_kept_for_a_member_that_is_gone(void)
{
    open_voters(3, 1, 0, NULL);
    lead(3);
    for (int i = 0; i < 50; i++) {
        propose(1);
        stored(st.last);
        ack(2, st.last); /* 3 says nothing */
    }
    step((struct raft_event){.type = RAFT_APPLIED, .u.index = st.commit});
    CU_ASSERT_EQUAL(raft_trim_limit(r, 100), 0);
    CU_ASSERT_EQUAL(raft_trim_limit(r, 10), 41);
    ack(3, 45);
    CU_ASSERT_EQUAL(raft_trim_limit(r, 10), 45);
    end();
}

static void test_refused_connection_is_suspected_when_the_promise_lapsed(void)
{
    open_voters(3, 1, 0, NULL);
    append(2, 1, 0, 0, 0, 0, 0);
    step((struct raft_event){.type = RAFT_CONTACT, .u.contact = {{2}, false}});
    int64_t due = raft_deadline_ns(r) - now;
    CU_ASSERT(due >= 150 * MS && due <= 170 * MS);
    end();
}

static void test_two_leaders_of_a_term_are_reported(void)
{
    open_voters(3, 1, 0, NULL);
    append(2, 1, 0, 0, 0, 0, 0);
    append(3, 1, 0, 0, 0, 0, 0);
    CU_ASSERT(fx.ret == E_CORRUPT && st.leader.v == 2);
    end();
}

static void test_contradiction_of_what_is_committed_is_reported(void)
{
    open_voters(3, 1, 0, NULL);
    append(2, 1, 0, 0, 2, 1, 2);
    append(3, 2, 0, 0, 1, 2, 0);
    CU_ASSERT(fx.ret == E_CORRUPT && !fx.cut && st.last == 2);
    end();
}

static void test_start_takes_up_the_term_of_its_log(void)
{
    open_voters(3, 1, 2, (uint64_t[]){1, 4});
    CU_ASSERT(st.term == 4 && st.vote.v == 0);
    end();
}

/* A member answers, restarts without what it answered for, and does not know it (a torn write and a
 * damaged one look alike): it is given that again.  A late rejection of before its answer is none.
 */
static void test_who_lacks_what_it_answered_for_gets_it_again(void)
{
    open_voters(3, 1, 3, (uint64_t[]){1, 1, 1});
    lead(3);
    propose(2);
    stored(st.last);
    int64_t before = now;
    now += 5 * MS;
    ack(2, st.last);
    CU_ASSERT_EQUAL_FATAL(st.peer[0].match, st.last);
    struct raft_message m = {.type = RAFT_MSG_APPEND_REPLY,
                             .from = {2},
                             .term = st.term,
                             .reject = true,
                             .index = st.last,
                             .hint = 3,
                             .log_term = 1,
                             .sent_ns = before};
    message(m);
    CU_ASSERT(st.peer[0].match == st.last && st.peer[0].losses == 0);
    now += 5 * MS;
    m.sent_ns = now;
    message(m);
    CU_ASSERT(st.peer[0].match == 3 && st.peer[0].losses == 1);
    const struct raft_message *a = sent(RAFT_MSG_APPEND, 2);
    CU_ASSERT_PTR_NOT_NULL_FATAL(a);
    CU_ASSERT(a->index == 3 && a->n > 0);
    CU_ASSERT_EQUAL(st.commit, st.last); /* what was committed stays so */
    end();
}

UNIT_MAIN("raft traps", UNIT(test_who_lacks_what_it_answered_for_gets_it_again),
          UNIT(test_trap_01_only_own_term_is_counted),
          UNIT(test_trap_02_no_change_before_own_term_is_committed),
          UNIT(test_trap_03_vote_is_durable_before_it_is_told),
          UNIT(test_trap_03_start_knows_its_vote), UNIT(test_trap_04_step_down_keeps_the_vote),
          UNIT(test_trap_05_candidate_counts_itself_when_durable),
          UNIT(test_trap_06_late_append_keeps_the_suffix),
          UNIT(test_trap_07_commit_only_what_was_verified),
          UNIT(test_trap_09_entries_read_late_are_not_sent_as_others),
          UNIT(test_trap_10_hint_is_the_last_index),
          UNIT(test_trap_19_configuration_counts_from_its_append_on),
          UNIT(test_trap_26_what_waits_is_answered),
          UNIT(test_trap_11_votes_compare_term_then_index),
          UNIT(test_trap_12_refused_pre_vote_tells_the_term),
          UNIT(test_trap_13_pre_candidate_forgets_the_leader),
          UNIT(test_trap_14_promise_to_the_leader_is_kept),
          UNIT(test_trap_14_a_refused_connection_shortens_the_promise),
          UNIT(test_trap_14_who_led_is_bound_like_its_followers),
          UNIT(test_trap_30_who_heard_a_leader_since_its_start_keeps_still_no_longer),
          UNIT(test_trap_15_leader_without_a_quorum_steps_down),
          UNIT(test_trap_16_removed_member_is_not_elected_by_transfer),
          UNIT(test_trap_17_learner_votes_when_asked),
          UNIT(test_trap_18_new_leader_leaves_joint_consensus),
          UNIT(test_trap_20_demoted_member_counts_its_vote_in_the_old_half),
          UNIT(test_trap_20_left_out_by_an_uncommitted_change_it_stands),
          UNIT(test_trap_21_configuration_is_cut_with_its_entry),
          UNIT(test_trap_21_image_has_the_configuration_of_its_index),
          UNIT(test_trap_22_image_replaces_the_configuration),
          UNIT(test_trap_23_start_takes_the_last_appended_configuration),
          UNIT(test_trap_24_image_of_the_last_entry_ends_probing),
          UNIT(test_trap_25_no_candidacy_while_storing_or_installing),
          UNIT(test_trap_25_nothing_is_taken_while_installing),
          UNIT(test_trap_27_completion_of_what_was_cut_does_not_count),
          UNIT(test_trap_28_no_read_before_own_term_is_committed),
          UNIT(test_trap_29_single_leader_reads_after_its_first_commit),
          UNIT(test_trap_30_a_call_to_lead_is_over_when_the_leader_says_so),
          UNIT(test_trap_30_lease_ends_in_time_and_with_a_transfer),
          UNIT(test_trap_30_voter_that_starts_keeps_still),
          UNIT(test_first_suspicion_is_short_but_outlasts_a_promise),
          UNIT(test_slow_disk_is_not_flooded), UNIT(test_tail_of_a_slow_disk_is_bounded),
          UNIT(test_trap_30_a_higher_term_does_not_end_the_promise),
          UNIT(test_trap_30_who_promised_does_not_stand),
          UNIT(test_trap_38_image_is_fetched_from_whoever_leads),
          UNIT(test_trap_38_image_that_comes_too_late_is_not_installed),
          UNIT(test_trap_39_log_is_not_kept_for_a_member_that_is_gone),
          UNIT(test_trap_40_uncommitted_tail_is_bounded),
          UNIT(test_trap_40_tail_that_is_not_in_memory_counts_as_full),
          UNIT(test_refused_connection_is_suspected_when_the_promise_lapsed),
          UNIT(test_two_leaders_of_a_term_are_reported),
          UNIT(test_contradiction_of_what_is_committed_is_reported),
          UNIT(test_start_takes_up_the_term_of_its_log))
