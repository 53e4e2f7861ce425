/* tests/unit/test_raft_format.c - messages and configurations survive the way; damaged ones are
 * refused. */
#include "journal/raft_format.h"
#include "tests/unit/unit.h"

static uint8_t wire[8192];
static struct raft_format_message got;

static struct raft_conf two(void)
{
    struct raft_conf c = {.n = 2};
    c.member[0] = (struct raft_member){.id = {3}, .flags = RAFT_VOTER | RAFT_OLD, .priority = 9};
    c.member[1] = (struct raft_member){
        .id = {7}, .flags = RAFT_LEARNER | RAFT_PROMOTE, .disk = 0x1122334455667788};
    strcpy(c.member[0].addr, "master-a:9100");
    strcpy(c.member[1].addr, "[::1]:9101");
    return c;
}

static size_t put_append(const struct raft_conf *c)
{
    uint8_t conf[RAFT_FORMAT_CONF_MAX];
    struct wbuf w = wbuf_make(wire, sizeof wire), cw = wbuf_make(conf, sizeof conf);
    struct raft_message m = {.type = RAFT_MSG_APPEND,
                             .from = {1},
                             .to = {2},
                             .term = 5,
                             .index = 10,
                             .log_term = 4,
                             .commit = 9,
                             .read = 77,
                             .sent_ns = 123456789,
                             .n = 3};
    raft_format_conf_put(&cw, c);
    raft_format_head_put(&w, &m);
    CU_ASSERT_EQUAL(w.len, RAFT_FORMAT_HEAD);
    raft_format_entry_put(&w, &(struct raft_entry){5, 0, RAFT_NOOP}, NULL);
    raft_format_entry_put(&w, &(struct raft_entry){5, 4, RAFT_DATA}, "data");
    raft_format_entry_put(&w, &(struct raft_entry){5, (uint32_t)cw.len, RAFT_CONF}, conf);
    CU_ASSERT_FALSE(w.bad || cw.bad);
    return w.len;
}

static void test_append_survives(void)
{
    struct raft_conf c = two();
    size_t n = put_append(&c);
    CU_ASSERT_EQUAL_FATAL(raft_format_get(wire, n, &got), 0);
    const struct raft_message *m = &got.message;
    CU_ASSERT(m->type == RAFT_MSG_APPEND && m->from.v == 1 && m->to.v == 2 && m->term == 5);
    CU_ASSERT(m->index == 10 && m->log_term == 4 && m->commit == 9 && m->read == 77);
    CU_ASSERT(m->sent_ns == 123456789 && m->n == 3 && !m->reject);
    CU_ASSERT(got.entry[1].len == 4 && !memcmp(got.bytes[1], "data", 4));
    CU_ASSERT_PTR_EQUAL_FATAL(m->conf, &got.conf);
    CU_ASSERT(!memcmp(&got.conf, &c, sizeof c));
}

static void test_every_cut_is_refused(void)
{
    struct raft_conf c = two();
    size_t n = put_append(&c);
    for (size_t i = 0; i < n; i++)
        CU_ASSERT_EQUAL(raft_format_get(wire, i, &got), E_PROTO);
    wire[n] = 0;
    CU_ASSERT_EQUAL(raft_format_get(wire, n + 1, &got), E_PROTO);
}

static void test_flags_and_image_survive(void)
{
    struct raft_conf c = two();
    struct raft_message m = {.type = RAFT_MSG_IMAGE,
                             .from = {1},
                             .to = {2},
                             .reject = true,
                             .unfit = true,
                             .young = true,
                             .ended = true};
    struct wbuf w = wbuf_make(wire, sizeof wire);
    raft_format_head_put(&w, &m);
    raft_format_conf_put(&w, &c);
    CU_ASSERT_EQUAL_FATAL(raft_format_get(wire, w.len, &got), 0);
    CU_ASSERT(got.message.reject && got.message.unfit && got.message.young && got.message.ended &&
              !got.message.force);
    CU_ASSERT(!memcmp(got.message.conf, &c, sizeof c));
}

static void refused(const struct raft_conf *c)
{
    struct wbuf w = wbuf_make(wire, sizeof wire);
    struct raft_conf back;
    raft_format_conf_put(&w, c);
    struct rbuf r = rbuf_make(wire, w.len);
    CU_ASSERT_EQUAL(raft_format_conf_get(&r, &back), E_PROTO);
}

static void test_unsound_configurations_are_refused(void)
{
    struct raft_conf c = two();
    c.member[1].id.v = 3; /* twice the same */
    refused(&c);
    c = two();
    c.member[0].id.v = 0;
    refused(&c);
    c = two();
    c.member[0].flags = 16;
    refused(&c);
    c = two();
    c.member[0].flags = 0;
    refused(&c);
    c = two();
    struct wbuf w = wbuf_make(wire, sizeof wire);
    raft_format_conf_put(&w, &c);
    base_put_u32(wire, RAFT_MEMBERS_MAX + 1);
    struct rbuf r = rbuf_make(wire, w.len);
    CU_ASSERT_EQUAL(raft_format_conf_get(&r, &c), E_PROTO);
}

static void test_a_configuration_comes_last(void)
{
    uint8_t conf[RAFT_FORMAT_CONF_MAX];
    struct raft_conf c = two();
    struct wbuf w = wbuf_make(wire, sizeof wire), cw = wbuf_make(conf, sizeof conf);
    struct raft_message m = {.type = RAFT_MSG_APPEND, .from = {1}, .to = {2}, .n = 2};
    raft_format_conf_put(&cw, &c);
    raft_format_head_put(&w, &m);
    raft_format_entry_put(&w, &(struct raft_entry){5, (uint32_t)cw.len, RAFT_CONF}, conf);
    raft_format_entry_put(&w, &(struct raft_entry){5, 0, RAFT_NOOP}, NULL);
    CU_ASSERT_EQUAL(raft_format_get(wire, w.len, &got), E_PROTO);
}

static void test_an_image_begins_with_its_group(void)
{
    struct raft_conf c = two(), d;
    struct wbuf w = wbuf_make(wire, sizeof wire);
    uint64_t index, term;
    raft_format_image_put(&w, 1ULL << 40, 77, &c);
    CU_ASSERT(!w.bad && w.len <= RAFT_FORMAT_IMAGE_MAX);
    struct rbuf r = rbuf_make(wire, w.len);
    CU_ASSERT_EQUAL(raft_format_image_get(&r, &index, &term, &d), 0);
    CU_ASSERT(index == 1ULL << 40 && term == 77 && !memcmp(&c, &d, sizeof c));
    for (size_t n = 0; n < w.len; n++) {
        r = rbuf_make(wire, n);
        CU_ASSERT_EQUAL(raft_format_image_get(&r, &index, &term, &d), E_VERSION);
    }
    wire[0] ^= 1; /* a single master's */
    r = rbuf_make(wire, w.len);
    CU_ASSERT_EQUAL(raft_format_image_get(&r, &index, &term, &d), E_VERSION);
}

UNIT_MAIN("raft_format", UNIT(test_append_survives), UNIT(test_every_cut_is_refused),
          UNIT(test_flags_and_image_survive), UNIT(test_unsound_configurations_are_refused),
          UNIT(test_a_configuration_comes_last), UNIT(test_an_image_begins_with_its_group))
