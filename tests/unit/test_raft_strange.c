/* tests/unit/test_raft_strange.c - what no member should say: a core refuses it, and goes on. */
#include "core/prng.h"
#include "tests/unit/test_raft_one.h"

/* An append that begins below the log is compared from there on only: what it says of the entry
 * where the log begins is known to be otherwise. */
static void test_terms_below_the_log_that_cannot_be(void)
{
    struct raft_conf c = voters(3);
    struct raft_config cfg = config();
    struct raft_start s = {
        .meta = {4, {0}}, .image = {.index = 5, .term = 3, .conf = &c}, .base = 5, .base_term = 3};
    unit_mem(&mem, 1 << 24);
    now = 1000000 * MS;
    r = raft_create(&mem, &cfg, &s, now);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r);
    append(2, 4, 0, 0, 6, 2, 0);
    CU_ASSERT(fx.ret == E_CORRUPT && st.last == 5);
    append(2, 4, 4, 3, 2, 3, 0);
    CU_ASSERT(fx.ret == 0 && st.last == 6);
    end();
}

/* Entries that follow an image are of its term or later: it is of none that its sender is not in.
 */
static void test_image_of_a_later_term(void)
{
    const struct raft_conf c = voters(3);
    struct raft_message m = {
        .type = RAFT_MSG_IMAGE, .from = {2}, .term = 4, .index = 6, .conf = &c};
    for (m.log_term = 3; m.log_term <= 5; m.log_term++) {
        open_voters(3, 4, 0, NULL);
        message(m);
        CU_ASSERT_EQUAL(fx.ret, m.log_term > 4 ? E_PROTO : 0);
        CU_ASSERT_EQUAL(fx.image_wanted, m.log_term <= 4);
        end();
    }
}

/* What an image says is committed no leader may contradict, though it has not spoken of it yet. */
static void test_leader_that_contradicts_an_image(void)
{
    struct raft_conf c = voters(3);
    struct raft_image image = {5, 1, &c};
    open_voters(3, 1, 0, NULL);
    message((struct raft_message){
        .type = RAFT_MSG_IMAGE, .from = {2}, .term = 1, .index = 5, .log_term = 1, .conf = &c});
    CU_ASSERT(fx.image_wanted);
    append(2, 1, 0, 0, 5, 1, 0);
    stored(5);
    append(3, 2, 0, 0, 0, 0, 0);
    step((struct raft_event){.type = RAFT_IMAGE_READY, .u.image = image});
    CU_ASSERT(st.commit == 5 && !fx.install);
    append(3, 2, 2, 1, 1, 2, 0);
    CU_ASSERT(fx.ret == E_CORRUPT && st.last == 5);
    end();
}

/* A candidate asks when its own vote is durable; who answers before was not asked. */
static void test_votes_before_they_were_asked_for(void)
{
    open_voters(3, 1, 0, NULL);
    at(now + 2100 * MS);
    for (uint32_t i = 2; i <= 3; i++)
        message((struct raft_message){.type = RAFT_MSG_PRE_VOTE_REPLY, .from = {i}, .term = 2});
    CU_ASSERT_EQUAL_FATAL(st.role, RAFT_CANDIDATE);
    for (uint32_t i = 2; i <= 3; i++)
        message((struct raft_message){.type = RAFT_MSG_VOTE_REPLY, .from = {i}, .term = 2});
    CU_ASSERT_EQUAL(st.role, RAFT_CANDIDATE);
    meta_stored();
    CU_ASSERT(st.role == RAFT_CANDIDATE && sent(RAFT_MSG_VOTE, 2));
    message((struct raft_message){.type = RAFT_MSG_VOTE_REPLY, .from = {2}, .term = 2});
    CU_ASSERT_EQUAL(st.role, RAFT_LEADER);
    end();
}

/* What answers under a newcomer's number before its disk is written down may be another disk: it
 * gets no vote by that, nor does it have what the other one had. */
static void test_answers_of_another_disk(void)
{
    for (int k = 0; k < 2; k++) {
        struct raft_conf c = voters(1), four = voters(4);
        struct raft_config cfg = config();
        struct raft_start s = {.meta = {1, {0}}, .image.conf = &c};
        unit_mem(&mem, 1 << 24);
        now = 1000000 * MS;
        cfg.knows_disks = k;
        r = raft_create(&mem, &cfg, &s, now);
        CU_ASSERT_PTR_NOT_NULL_FATAL(r);
        now += 700 * MS;
        lead(1);
        four.n = 2;
        four.member[1] = (struct raft_member){.id = {4}, .flags = RAFT_VOTER};
        step((struct raft_event){.type = RAFT_CHANGE, .u.conf = &four});
        CU_ASSERT_EQUAL(fx.ret, 0);
        for (int i = 0; i < 3; i++) {
            stored(st.last);
            ack(4, st.last);
            at(now + 60 * MS);
        }
        CU_ASSERT(st.peer[0].match > 0);
        CU_ASSERT_EQUAL(raft_member_find(raft_conf(r), (struct raft_id){4})->flags == RAFT_VOTER,
                        !k);
        if (k) {
            four.member[1].disk = 44;
            step((struct raft_event){.type = RAFT_CHANGE, .u.conf = &four});
            CU_ASSERT(fx.ret == 0 && st.peer[0].match == 0);
            stored(st.last);
            at(now + 60 * MS);
            CU_ASSERT(raft_member_find(raft_conf(r), (struct raft_id){4})->flags & RAFT_PROMOTE);
            for (int i = 0; i < 4; i++) {
                stored(st.last);
                ack(4, st.last);
                at(now + 60 * MS);
            }
            CU_ASSERT_EQUAL(raft_member_find(raft_conf(r), (struct raft_id){4})->flags, RAFT_VOTER);
        }
        end();
    }
}

/* --- at random --- */

static uint64_t some(struct prng *p, uint64_t near)
{
    static const uint64_t odd[] = {0, 1, 2, UINT64_MAX, UINT64_MAX / 2, INT64_MAX};
    if (prng_below(p, 30) == 0)
        return odd[prng_below(p, ARRAY_LEN(odd))];
    uint64_t x = near + prng_below(p, 9);
    return x > 4 ? x - 4 : x;
}

static void say(struct prng *p)
{
    struct raft_entry e[8];
    struct raft_conf c = voters(1 + (uint32_t)prng_below(p, 4));
    uint64_t term = some(p, 4) % 16;
    struct raft_message m = {
        .type = (enum raft_message_type)prng_range(p, RAFT_MSG_PRE_VOTE, RAFT_MSG_TIMEOUT_NOW),
        .from = {2 + (uint32_t)prng_below(p, 3)},
        .term = st.term + prng_below(p, 20) / 19,
        .index = some(p, prng_below(p, 2) ? st.last : st.commit),
        .log_term = term,
        .hint = some(p, st.last),
        .commit = some(p, st.last),
        .read = some(p, 4),
        .sent_ns = prng_below(p, 2) ? now : (int64_t)some(p, (uint64_t)now),
        .reject = prng_below(p, 2),
        .force = prng_below(p, 8) == 0,
        .unfit = prng_below(p, 8) == 0,
        .lost = prng_below(p, 8) == 0};
    if (prng_below(p, 4) == 0)
        m.type = RAFT_MSG_APPEND;
    if (prng_below(p, 2) && m.index <= st.last)
        m.log_term = raft_term_at(r, m.index);
    if (m.type == RAFT_MSG_APPEND)
        m.n = (uint32_t)prng_below(p, 8);
    if (prng_below(p, 3) == 0 && st.leader.v)
        m.from = st.leader;
    for (uint32_t i = 0; i < m.n; i++) {
        term += prng_below(p, 8) == 0;
        e[i] = (struct raft_entry){term, (uint32_t)prng_below(p, 64),
                                   i + 1 == m.n && prng_below(p, 4) == 0 ? RAFT_CONF : RAFT_DATA};
    }
    m.entry = e;
    if (m.type == RAFT_MSG_IMAGE || (m.n && e[m.n - 1].type == RAFT_CONF))
        m.conf = &c;
    message(m);
}

static void go_on(struct prng *p)
{
    struct raft_conf c = voters(1 + (uint32_t)prng_below(p, 4));
    switch (prng_below(p, 12)) {
    case 0:
        propose(2);
        break;
    case 1:
        step((struct raft_event){.type = RAFT_APPLIED, .u.index = st.commit});
        break;
    case 2:
        step((struct raft_event){
            .type = RAFT_IMAGE_SAVED,
            .u.image = {st.applied, raft_term_at(r, st.applied), raft_conf(r)}});
        step((struct raft_event){.type = RAFT_TRIMMED, .u.index = st.applied});
        break;
    case 3:
        step((struct raft_event){.type = RAFT_CHANGE, .u.conf = &c});
        break;
    case 4:
        step((struct raft_event){.type = RAFT_TRANSFER});
        break;
    case 5:
        step(
            (struct raft_event){.type = RAFT_CONTACT,
                                .u.contact = {{2 + (uint32_t)prng_below(p, 3)}, prng_below(p, 2)}});
        break;
    case 6:
        step((struct raft_event){.type = RAFT_READ, .u.seq = prng_below(p, 50)});
        break;
    case 7:
        step((struct raft_event){.type = RAFT_CAMPAIGN});
        break;
    default:
        now += (int64_t)prng_below(p, 300) * MS;
        step((struct raft_event){.type = RAFT_TIME});
        break;
    }
}

static void strange(uint64_t seed)
{
    struct prng p;
    uint64_t wanted = 0, wanted_term = 0;
    struct raft_conf c = voters(3);
    prng_seed(&p, seed, "strange", 0);
    open_voters(3, 1 + prng_below(&p, 4), 0, NULL);
    if (prng_below(&p, 3) == 0) {
        lead(3);
        ack(2, st.last);
    }
    for (int i = 0; i < 400; i++) {
        if (prng_below(&p, 3))
            say(&p);
        else
            go_on(&p);
        for (int k = 0; k < 4; k++) {
            if (fx.image_wanted) {
                wanted = fx.image_index;
                wanted_term = fx.image_term;
            }
            if (fx.install)
                step((struct raft_event){.type = RAFT_IMAGE_INSTALLED});
            else if (fx.save_meta && prng_below(&p, 4))
                meta_stored();
            else if ((fx.cut || fx.store_n) && prng_below(&p, 4))
                stored(st.last);
        }
        if (wanted && wanted < UINT64_MAX / 2 && prng_below(&p, 4) == 0) {
            struct raft_image image = {wanted, wanted_term, &c};
            wanted = 0;
            step((struct raft_event){.type = RAFT_IMAGE_READY, .u.image = image});
            if (fx.install)
                step((struct raft_event){.type = RAFT_IMAGE_INSTALLED});
        }
        CU_ASSERT_FATAL(st.commit <= st.last && st.stored <= st.last && st.applied <= st.commit);
    }
    end();
}

static void test_at_random(void)
{
    uint64_t n = getenv("RAFT_SEEDS") ? strtoull(getenv("RAFT_SEEDS"), NULL, 0) : 1000;
    for (uint64_t seed = 1; seed <= n; seed++)
        strange(seed);
}

/* of a candidate that has everything: is it helped? */
static bool is_helped(uint64_t term)
{
    bool pre_voted, voted;
    struct raft_message m = {
        .type = RAFT_MSG_PRE_VOTE, .from = {2}, .term = term, .index = 99, .log_term = term - 1};
    now += 5000 * MS; /* whom it followed is silent */
    message(m);
    pre_voted = sent(RAFT_MSG_PRE_VOTE_REPLY, 2) && !sent(RAFT_MSG_PRE_VOTE_REPLY, 2)->reject;
    m.type = RAFT_MSG_VOTE;
    message(m);
    voted = fx.save_meta && !sent(RAFT_MSG_VOTE_REPLY, 2);
    meta_stored();
    voted = voted && st.vote.v == 2;
    CU_ASSERT_EQUAL(voted, pre_voted);
    return voted;
}

/* Who began empty in a group that was there elects nobody, nor stands, before it is named by its
 * disk: its number may have voted with another one. */
static void test_a_guest_elects_nobody(void)
{
    struct raft_conf c = voters(3);
    struct raft_config cfg = config();
    struct raft_start s = {.meta = {1, {0}}, .image.conf = &c, .is_guest = true};
    struct raft_entry e = {2, 0, RAFT_CONF};
    struct raft_message m = {
        .type = RAFT_MSG_APPEND, .from = {2}, .term = 9, .n = 1, .entry = &e, .conf = &c};
    cfg.knows_disks = true;
    cfg.disk = 77;
    unit_mem(&mem, 1 << 24);
    now = 1000000 * MS;
    r = raft_create(&mem, &cfg, &s, now);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r);
    for (uint64_t disk = 75; disk <= 77; disk++) {
        CU_ASSERT(raft_is_guest(r) && !is_helped(st.term + 1));
        now += 5000 * MS;
        step((struct raft_event){.type = RAFT_CAMPAIGN});
        CU_ASSERT(fx.ret == E_AGAIN && st.role == RAFT_FOLLOWER);
        c.member[0].disk = disk == 75 ? 0 : disk;
        m.term = st.term + 1;
        message(m);
        meta_stored();
        stored(st.last);
        m.index = st.last;
        m.log_term = e.term;
    }
    CU_ASSERT(st.last == 3 && !raft_is_guest(r) && is_helped(st.term + 1));
    now += 5000 * MS;
    step((struct raft_event){.type = RAFT_CAMPAIGN});
    CU_ASSERT(fx.ret == 0 && st.role == RAFT_PRE_CANDIDATE);
    end();
}

/* Leaders that commit nothing do not fill the table of terms: with little room left, one writes
 * nothing of its own before a quorum could commit it at once. */
static void test_a_leader_with_many_terms_begins_late(void)
{
    static struct raft_run run[RAFT_RUNS_MAX];
    struct raft_conf c = voters(3);
    struct raft_config cfg = config();
    for (uint32_t n = RAFT_RUNS_LATE - 1; n <= RAFT_RUNS_LATE; n++) {
        for (uint32_t i = 0; i < n; i++)
            run[i] = (struct raft_run){i + 1, i + 1};
        struct raft_start s = {.meta = {n, {0}},
                               .image.conf = &c,
                               .commit = n,
                               .commit_term = n,
                               .n = n,
                               .run = run,
                               .n_runs = n};
        unit_mem(&mem, 1 << 24);
        now = 1000000 * MS;
        r = raft_create(&mem, &cfg, &s, now);
        CU_ASSERT_PTR_NOT_NULL_FATAL(r);
        raft_status(r, &st);
        lead(3);
        CU_ASSERT_EQUAL(st.last, n < RAFT_RUNS_LATE ? n + 1 : n);
        propose(1);
        CU_ASSERT_EQUAL(fx.ret, n < RAFT_RUNS_LATE ? 0 : E_AGAIN);
        if (n == RAFT_RUNS_LATE) {
            ack(2, n - 1);
            CU_ASSERT(st.last == n && fx.store_n == 0);
            ack(3, n); /* it and the leader have all: one more entry, and all is committed */
            CU_ASSERT(st.last == n + 1 && st.term_start == n + 1 && fx.store_n == 1);
            stored(n + 1);
            ack(3, n + 1);
            CU_ASSERT_EQUAL(st.commit, n + 1);
            propose(1);
            CU_ASSERT_EQUAL(fx.ret, 0);
        }
        end();
    }
}

UNIT_MAIN("raft strange", UNIT(test_terms_below_the_log_that_cannot_be),
          UNIT(test_image_of_a_later_term), UNIT(test_leader_that_contradicts_an_image),
          UNIT(test_votes_before_they_were_asked_for), UNIT(test_answers_of_another_disk),
          UNIT(test_at_random), UNIT(test_a_leader_with_many_terms_begins_late),
          UNIT(test_a_guest_elects_nobody))
