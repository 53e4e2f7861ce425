/* tests/unit/test_lab_lies.c - who checks the checkers: for each verdict of `tarn-sim list
 * checkers` lies that it alone notices, so that one which says nothing any more is not covered by
 * another.
 *
 *  1. Before each lie the checker has seen some truth, and objected to nothing.
 *  2. A lie is noticed by its verdict, in the words that are given here, and by no other verdict.
 *
 * docs/simulator.md ("Who checks the checkers") lists them.  More lies: test_lab.c for file
 * systems, test_lab_group.c for journals, test_lab_wgl.c for histories. */
#include "core/meta_internal.h"
#include "sim/lab_run_impl.h"
#include "sim/lab_check_impl.h"
#include "sim/lab_group_impl.h"
#include "sim/lab_history.h"
#include "sim/lab_own.h"
#include "tests/unit/test_lab_content.h"
#include "tests/unit/test_lab_lie.h"

static void is_noticed(const char *lie, const char *names[], const struct lab_finding *const *f,
                       unsigned n, unsigned by, const char *says)
{
    for (unsigned v = 0; v < n; v++) {
        bool ok = (f[v]->failures != 0) == (v == by) && (v != by || strstr(f[v]->what, says));
        if (!ok)
            fprintf(stderr, "\n%s: %s has %llu failures: %s\n", lie, names[v],
                    (unsigned long long)f[v]->failures, f[v]->failures ? f[v]->what : "");
        CU_ASSERT(ok);
    }
}

/* ---- file systems ---- */

/* a record is another one after the restart */
static void lie_log_changed(struct lie *l)
{
    struct fsop op = {.kind = FSOP_SESSION_OPEN, .name = "c2", .name_len = 2};
    struct meta_result res;
    struct meta *again;
    CU_ASSERT_EQUAL_FATAL(
        meta_open(&l->m, &(struct meta_limits){.inodes_max = 1000, .sessions_max = 10}, &again), 0);
    lab_check_starts(l->o);
    meta_apply(again, 1, &op, &res);
    l->o->on_apply(l->o, 1, &op, &res, again);
}

/* the next record but one comes next */
static void lie_log_hole(struct lie *l)
{
    struct fsop op = lie_mkdir("e", 2);
    l->index++;
    lie_apply(l, &op);
}

/* one request of a client's takes effect under two numbers */
static void lie_log_twice(struct lie *l)
{
    for (uint64_t seq = 2; seq < 4; seq++) {
        struct fsop op = lie_mkdir(seq == 2 ? "e" : "f", seq);
        op.n_groups = 1;
        op.groups[0] = LAB_CHECK_TAGS + 5;
        lie_apply(l, &op);
    }
}

/* a master loads an image of a time that has not come */
static void lie_log_image(struct lie *l)
{
    struct fsop op = lie_mkdir("e", 2);
    struct meta_result res;
    meta_apply(l->real, ++l->index, &op, &res);
    l->o->on_image(l->o, l->real);
}

/* acknowledged, and in no record */
static void lie_answer_of_no_record(struct lie *l)
{
    struct fsop op = lie_mkdir("lost", 3);
    struct fsop_reply rep = {.index = 3, .attr = {.ino = {77}}};
    struct lab_window w = {sim_now_ns(l->s), sim_now_ns(l->s) + ms};
    lab_check_mutation(l->c, "c1", &op, &rep, w);
}

/* a name that is not there is found */
static void lie_answer_lookup(struct lie *l)
{
    struct fsop look = lie_lookup("never");
    struct fsop_reply rep = {.attr = {.ino = {77}, .mode = FSOP_S_IFDIR | 0755}};
    struct lab_window w = {sim_now_ns(l->s), sim_now_ns(l->s) + ms};
    lab_check_query(l->c, "c1", &look, &rep, w);
}

/* a listing without what was there all the time */
static void lie_answer_listing(struct lie *l)
{
    struct lab_window w = {sim_now_ns(l->s), sim_now_ns(l->s) + ms};
    lab_check_listing(l->c, "c1", INO_ROOT, NULL, 0, w);
}

/* that client, or a master for it, says that "d" is not there, though c1 has seen it; nobody was
 * told by who made it, so another one may still have kept that it is not there */
static void lie_answer_before(struct lie *l, const char *client, bool is_master)
{
    struct fsop look = lie_lookup("d");
    struct fsop_reply rep;
    meta_query(l->real, &look, NULL, 0, &rep);
    lab_check_query(l->c, "c1", &look, &rep, lie_now(l));
    rep = (struct fsop_reply){.err = E_NOENT};
    lab_check_query(l->c, "c2", &look, &rep, lie_now(l));
    CU_ASSERT_EQUAL(lab_check_finding(l->c, LAB_ANSWERS)->failures, 0);
    rep.index = is_master ? 2 : 0;
    lab_check_query(l->c, client, &look, &rep, lie_now(l));
}

static void lie_answer_older(struct lie *l)
{
    lie_answer_before(l, "c1", false);
}

static void lie_answer_older_of_others(struct lie *l)
{
    lie_answer_before(l, "c2", true);
}

/* c1 has seen that "d" is gone, and then lists it */
static void lie_answer_older_listing(struct lie *l)
{
    struct lab_model_name name = {.len = 1, .name = "d"};
    struct fsop look = lie_lookup("d"), op = look;
    struct fsop_reply rep;
    meta_query(l->real, &look, NULL, 0, &rep);
    name.ino = rep.attr.ino;
    op.kind = FSOP_RMDIR;
    op.session.v = 1;
    op.seq = 2;
    CU_ASSERT_EQUAL(lie_apply(l, &op).reply.err, 0);
    lab_check_listing(l->c, "c1", INO_ROOT, &name, 1, lie_now(l));
    rep = (struct fsop_reply){.err = E_NOENT};
    lab_check_query(l->c, "c1", &look, &rep, lie_now(l));
    CU_ASSERT_EQUAL(lab_check_finding(l->c, LAB_ANSWERS)->failures, 0);
    lab_check_listing(l->c, "c1", INO_ROOT, &name, 1, lie_now(l));
}

/* a new size, and then the old one, of a file that somebody outside has just changed */
static void lie_answer_older_size(struct lie *l)
{
    struct fsop op = {.kind = FSOP_GETATTR, .ino = lie_file(l)};
    struct fsop_reply rep;
    lab_ufs_rewrite(l->u, "main/f", 5000);
    meta_query(l->real, &op, NULL, 0, &rep);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(lab_check_finding(l->c, LAB_ANSWERS)->failures, 0);
        rep.attr.size = i == 1 ? 5000 : 100000;
        lab_check_query(l->c, "c1", &op, &rep, lie_now(l));
    }
}

/* The second machine knows a name that the first one does not. */
static void lie_ghost(struct lie *l)
{
    struct fsop op = lie_mkdir("ghost", 9);
    struct meta_result res = {
        .reply.attr = {.ino = {1ULL << 32 | 700}, .mode = FSOP_S_IFDIR | 0755, .nlink = 2}};
    char why[LAB_MODEL_WHY] = "";
    bool ok = lab_model_apply(lab_check_model(l->c), ++l->index, 0, &op, &res, l->real, why);
    if (!ok)
        fprintf(stderr, "\n%s\n", why);
    CU_ASSERT(ok);
}

/* then their answers differ, */
static void lie_answer_foretold(struct lie *l)
{
    struct fsop op = lie_mkdir("ghost", 2);
    lie_ghost(l);
    lie_apply(l, &op);
}

/* and so do their namespaces */
static void lie_answer_compared(struct lie *l)
{
    lie_ghost(l);
    lab_check_interval(l->c);
}

/* a look below finds nothing where nobody took anything away */
static void lie_answer_vanished(struct lie *l)
{
    struct ino ino = lie_file(l);
    l->c->behind = lab_ufs_stats(l->u)->behind; /* it was there from the beginning */
    struct fsop op = {.kind = FSOP_REFRESH, .ino = ino, .size = meta_path_mark(l->real, ino)};
    CU_ASSERT_EQUAL(lie_apply(l, &op).reply.err, 0);
}

/* one bit */
static void lie_data_bit(struct lie *l)
{
    struct ino ino = lie_file(l);
    struct fsent e;
    uint8_t b[64];
    lab_ufs_look(l->u, "main/f", &e, NULL);
    lie_wait(l, sec);
    content(l->u, e.ufs_ino, 1, 500, b, sizeof b);
    b[3] ^= 4;
    struct lab_check_file f = {.ino = ino, .opened_ns = sim_now_ns(l->s)};
    lab_check_read(l->c, "c1", &f, false, 500, sizeof b, b, sizeof b);
}

/* new bytes, and with the next open the old ones, of a file that somebody outside has just changed
 */
static void lie_data_older(struct lie *l)
{
    struct ino ino = lie_file(l);
    struct fsent e;
    uint8_t b[64];
    lab_ufs_look(l->u, "main/f", &e, NULL);
    lab_ufs_rewrite(l->u, "main/f", 100000);
    for (int i = 0; i < 3; i++) {
        struct lab_check_file f = {.ino = ino, .opened_ns = lie_now(l).from_ns};
        CU_ASSERT_EQUAL(lab_check_finding(l->c, LAB_DATA)->failures, 0);
        content(l->u, e.ufs_ino, i == 1 ? lab_ufs_changes(l->u, e.ufs_ino) : 1, 500, b, sizeof b);
        lab_check_read(l->c, "c1", &f, false, 500, sizeof b, b, sizeof b);
    }
}

/* an acknowledged write that is nowhere */
static void lie_data_lost(struct lie *l)
{
    struct ino ino = lie_file(l);
    lie_wait(l, sec);
    struct lab_window w = {sim_now_ns(l->s), sim_now_ns(l->s) + 1};
    lab_check_written(l->c, "c1", ino, 100, "lost", 4, w);
}

/* "f" is unlinked; it may be reclaimed once nobody holds it */
static struct ino lie_unlinked(struct lie *l)
{
    static uint8_t buf[256];
    struct ino ino = lie_file(l);
    struct fsop look = lie_lookup("m");
    struct fsop_reply rep;
    struct fsent none = {0};
    meta_query(l->real, &look, NULL, 0, &rep);
    struct fsop op = {.kind = FSOP_UNLINK,
                      .session = {1},
                      .seq = 2,
                      .ino = rep.attr.ino,
                      .name = "f",
                      .name_len = 1};
    uint64_t intent = lie_apply(l, &op).reply.intent;
    CU_ASSERT(intent != 0);
    struct wbuf w = wbuf_make(buf, sizeof buf);
    for (int i = 0; i < 3; i++)
        fsop_ent_put(&w, &none);
    op = (struct fsop){
        .kind = FSOP_OUTCOME, .arg = intent, .data = buf, .data_len = (uint32_t)w.len};
    CU_ASSERT_EQUAL(lie_apply(l, &op).reply.err, 0);
    return ino;
}

/* an unlinked file is reclaimed, and c1 holds it */
static void lie_data_held(struct lie *l)
{
    struct ino ino = lie_unlinked(l);
    struct lab_check_file f = {.ino = ino, .session = 1}, others = {.ino = ino, .session = 7};
    lab_check_held(l->c, "c1", &f);
    CU_ASSERT_EQUAL(lab_check_finding(l->c, LAB_DATA)->failures, 0);
    struct fsop op = {.kind = FSOP_RECLAIM, .ino = ino};
    CU_ASSERT_EQUAL(lie_apply(l, &op).reply.err, 0);
    lab_check_held(l->c, "c1", &others); /* that session is over */
    CU_ASSERT_EQUAL(lab_check_finding(l->c, LAB_DATA)->failures, 0);
    lab_check_held(l->c, "c1", &f);
}

static struct lab_ufs_effect lie_effect(struct lie *l, enum ufs_kind kind, const char *path)
{
    struct sim_node *n = sim_node_add(l->s, "m1");
    return (struct lab_ufs_effect){.kind = kind, .path = path, .path2 = "", .by = n};
}

/* bytes that nobody asked to be written */
static void lie_data_unasked(struct lie *l)
{
    lie_file(l);
    struct fsent e;
    lab_ufs_look(l->u, "main/f", &e, NULL);
    struct lab_ufs_effect x = lie_effect(l, UFS_WRITE, "f");
    x.ino = e.ufs_ino;
    x.len = 10;
    lab_check_effect(l->c, &x);
}

/* and bytes that somebody asked for who, by the log, does not write the file */
static void lie_data_not_writing(struct lie *l)
{
    struct ino ino = lie_file(l);
    struct fsent e;
    lab_ufs_look(l->u, "main/f", &e, NULL);
    struct lab_ufs_effect x = lie_effect(l, UFS_WRITE, "f");
    x.ino = e.ufs_ino;
    x.len = 10;
    lab_check_writing(l->c, l, ino, 0, 10);
    lab_check_effect(l->c, &x);
}

/* "d" is not in the under-store */
static void lie_store_name(struct lie *l)
{
    lab_check_end(l->c);
}

/* a hidden file that is no unlinked inode's; "d" is gone */
static void lie_store_hidden(struct lie *l)
{
    struct fsop op = {
        .kind = FSOP_RMDIR, .session = {1}, .seq = 2, .ino = INO_ROOT, .name = "d", .name_len = 1};
    CU_ASSERT_EQUAL(lie_apply(l, &op).reply.err, 0);
    lab_check_end(l->c);
    CU_ASSERT_EQUAL(lab_check_finding(l->c, LAB_STORE)->failures, 0);
    lab_ufs_mkdir(l->u, "main/.tarn");
    lab_ufs_file(l->u, "main/.tarn/17", 5);
    lab_check_end(l->c);
}

/* a change below that no record owes */
static void lie_store_effect(struct lie *l)
{
    struct lab_ufs_effect x = lie_effect(l, UFS_MKDIR, "new");
    lab_check_effect(l->c, &x);
}

static void lie_structure_state(struct lie *l)
{
    meta_super_mut((struct meta *)(uintptr_t)lab_check_state(l->c))->orphans++;
    lab_check_interval(l->c);
}

static void lie_structure_store(struct lie *l)
{
    l->u->nodes[1]->subdirs++;
    lab_check_interval(l->c);
}

static void test_lies_of_files(void)
{
    static const char *names[] = {"log",      "answers",   "data", "store",
                                  "liveness", "structure", "raft", "linear"};
    static const struct {
        enum lab_verdict by;
        void (*tell)(struct lie *l);
        const char *says;
        bool is_group; /* places in the log may be left out */
    } lies[] = {
        {LAB_LOG, lie_log_changed, "differs from what it was"},
        {LAB_LOG, lie_log_hole, "was applied after"},
        {LAB_LOG, lie_log_twice, "became two requests"},
        {LAB_LOG, lie_log_image, "an image of record 3"},
        {LAB_ANSWERS, lie_answer_of_no_record, "no record of that time says so"},
        {LAB_ANSWERS, lie_answer_lookup, "never"},
        {LAB_ANSWERS, lie_answer_listing, "begun at"},
        {LAB_ANSWERS, lie_answer_foretold, "record 4: ", true},
        {LAB_ANSWERS, lie_answer_compared, "the model has 2", true},
        {LAB_ANSWERS, lie_answer_vanished, "nobody removed below"},
        {LAB_ANSWERS, lie_answer_older, "older than what was seen before (record 2)"},
        {LAB_ANSWERS, lie_answer_older_of_others, "older than what was seen before (record 2)"},
        {LAB_ANSWERS, lie_answer_older_listing, "\"d\" = 2 which was seen to be no more"},
        {LAB_ANSWERS, lie_answer_older_size, "100000 bytes (version 1), which was seen to be no"},
        {LAB_DATA, lie_data_older, "(the newest of 1, change 2"},
        {LAB_DATA, lie_data_bit, "differs at byte 503"},
        {LAB_DATA, lie_data_lost, "never had 4 of them"},
        {LAB_DATA, lie_data_held, "and then reclaimed"},
        {LAB_DATA, lie_data_unasked, "nobody waits for it"},
        {LAB_DATA, lie_data_not_writing, "nobody writes file"},
        {LAB_STORE, lie_store_name, "is in the namespace, not in the under-store"},
        {LAB_STORE, lie_store_hidden, "1 hidden files"},
        {LAB_STORE, lie_store_effect, "no open intent"},
        {LAB_STRUCTURE, lie_structure_state, "metadata: "},
        {LAB_STRUCTURE, lie_structure_store, "under-store model: "},
    };
    /* two below; the third in test_lab_load_history.c */
    bool is_lied_to[LAB_VERDICTS] = {[LAB_LIVENESS] = true, [LAB_RAFT] = true, [LAB_LINEAR] = true};
    for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
        struct lie l;
        const struct lab_finding *f[LAB_VERDICTS];
        lie_open_as(&l, lies[i].is_group);
        for (unsigned v = 0; v < LAB_VERDICTS; v++) {
            f[v] = lab_check_finding(l.c, (enum lab_verdict)v);
            CU_ASSERT_EQUAL(f[v]->failures, 0);
            CU_ASSERT(!strcmp(names[v], lab_check_name((enum lab_verdict)v)));
        }
        lies[i].tell(&l);
        is_noticed(lies[i].says, names, f, LAB_VERDICTS, lies[i].by, lies[i].says);
        is_lied_to[lies[i].by] = true;
        (void)lie_close(&l, lies[i].by);
    }
    for (unsigned v = 0; v < LAB_VERDICTS; v++)
        CU_ASSERT(is_lied_to[v]);
}

/* Nothing is wrong but that all takes longer than was promised. */
static void test_lies_of_files_in_time(void)
{
    static const char *names[] = {"log",      "answers",   "data", "store",
                                  "liveness", "structure", "raft", "linear"};
    static struct lab_scenario s;
    struct lab_report p;
    struct mem m;
    unit_mem(&m, (uint64_t)4 << 30);
    lab_scenario_default(&s);
    s.duration_ns = sec;
    s.clients = 1;
    s.sim.net.latency_min_ns = s.sim.net.latency_mean_ns = 100 * ms;
    s.bound_ns = ms;
    struct lab_run *r = lab_run_open(&m, &s, 1, NULL, NULL);
    CU_ASSERT(lab_run_go(r, 0));
    lab_run_report(r, &p);
    is_noticed("late", names, p.findings, LAB_VERDICTS, LAB_LIVENESS, "healed");
    lab_run_close(r);
    mem_drop(&m);
}

/* of several masters, one votes twice; nobody hears it, so nothing comes of it */
static void test_lies_of_several_masters(void)
{
    static const char *names[] = {"log",      "answers",   "data", "store",
                                  "liveness", "structure", "raft", "linear"};
    static struct lab_scenario s;
    struct lab_report p;
    struct mem m;
    char why[LAB_ERROR];
    unit_mem(&m, (uint64_t)4 << 30);
    CU_ASSERT_EQUAL_FATAL(lab_scenario_parse(&s,
                                             "{\"duration\": \"2s\", \"bound\": \"10s\", "
                                             "\"masters\": 3, \"clients\": 1}",
                                             why),
                          0);
    struct lab_run *r = lab_run_open(&m, &s, 1, NULL, NULL);
    lab_run_go(r, 1900 * ms);
    lab_run_report(r, &p);
    for (unsigned v = 0; v < LAB_VERDICTS; v++)
        CU_ASSERT_EQUAL(p.findings[v]->failures, 0);
    CU_ASSERT(p.findings[LAB_RAFT]->checks > 100);
    struct raft_watch *w = lab_run_leader(r)->watch;
    struct raft_message vote = {.type = RAFT_MSG_VOTE_REPLY, .to = {7}, .term = 1000};
    w->saved(w, &(struct raft_meta){1000, {7}});
    w->sent(w, &vote, 0);
    vote.to.v = 8;
    w->saved(w, &(struct raft_meta){1000, {8}});
    w->sent(w, &vote, 0);
    lab_run_report(r, &p);
    is_noticed("votes twice", names, p.findings, LAB_VERDICTS, LAB_RAFT, "had voted for 7");
    lab_run_close(r);
    mem_drop(&m);
}

/* ---- journals ---- */

static struct mem mem;

/* three masters that have led and written for a while */
static struct lab_group *group_open(const char *more)
{
    static struct lab_scenario s;
    char json[500], why[LAB_ERROR];
    unit_mem(&mem, (uint64_t)1 << 30);
    fmt_into(json, sizeof json,
             "{\"duration\": \"2s\", \"bound\": \"10s\", \"masters\": 3, \"clients\": 2, "
             "\"journal\": {\"only\": 1}, \"load\": {\"think\": \"4ms\"}%s}",
             more);
    CU_ASSERT_EQUAL_FATAL(lab_scenario_parse(&s, json, why), 0);
    struct lab_group *g = lab_group_open(&mem, &s, 1, NULL, NULL);
    lab_group_go(g, 1900 * ms);
    for (unsigned v = 0; v < LAB_GROUP_VERDICTS; v++)
        CU_ASSERT_EQUAL(g->check.findings[v].failures, 0);
    return g;
}

static struct group_node *group_other(struct lab_group *g)
{
    struct group_node *led = lab_group_leader(g);
    CU_ASSERT_FATAL(led && lab_group_member_trusts(led->m, UINT64_MAX));
    return led == &g->node[0] ? &g->node[1] : &g->node[0];
}

/* a record of a write, with that ticket */
static void group_record(struct lab_group *g, uint64_t index, uint64_t ticket,
                         struct group_record *ret_r)
{
    static uint8_t bytes[GROUP_HEAD];
    uint64_t words[8] = {ticket, 1, 1 << 20, GROUP_WRITE, 0, 77, 0, base_hash(NULL, 0, 0)};
    memcpy(bytes, words, sizeof words);
    CU_ASSERT_FATAL(lab_group_record(g, index, bytes, sizeof bytes, ret_r));
}

static void lie_lease(struct lab_group *g)
{
    uint64_t epoch;
    lab_group_member_leads(lab_group_leader(g)->m, &epoch);
    lab_group_check_role(group_other(g), JOURNAL_LEADER, epoch + 1, 0, g->check.last);
}

/* somebody applies what the one who has a lease has not */
static void lie_behind_a_lease(struct lab_group *g)
{
    struct group_node *n = group_other(g);
    struct group_state st = *lab_group_member_state(n->m);
    struct group_record r;
    group_record(g, g->check.last + 1, ++g->tickets, &r);
    uint64_t before = g->check.last;
    lab_group_state_apply(&st, &r, NULL, 0);
    lab_group_check_apply(n, &r, before, &st);
}

static void lie_never_submitted(struct lab_group *g)
{
    struct group_node *n = lab_group_leader(g);
    struct group_state st = *lab_group_member_state(n->m);
    struct group_record r;
    uint64_t before = g->check.last, tickets = g->tickets;
    group_record(g, before + 1, tickets + 1, &r);
    g->tickets = tickets;
    for (uint32_t i = 0; i < g->n_nodes; i++) /* they are not asked about leases */
        g->node[i].m = &g->node[i] == n ? n->m : NULL;
    lab_group_check_apply(n, &r, before, &st);
}

/* what was applied long ago comes again */
static void lie_backwards(struct lab_group *g)
{
    struct group_node *n = group_other(g);
    struct group_state st = *lab_group_member_state(n->m);
    struct group_record r;
    const struct group_entry *e = lab_ring_at(&g->check.entry, g->check.last);
    group_record(g, g->check.last, e->ticket, &r);
    r.digest = e->hash;
    st.chain = e->chain;
    st.ballast_sum = e->ballast_sum;
    lab_group_check_apply(n, &r, g->check.last, &st);
}

/* the same records, and another state */
static void lie_other_state(struct lab_group *g)
{
    struct group_node *n = group_other(g);
    struct group_state st = *lab_group_member_state(n->m);
    struct group_record r;
    const struct group_entry *e = lab_ring_at(&g->check.entry, g->check.last);
    group_record(g, g->check.last, e->ticket, &r);
    r.digest = e->hash;
    st.chain = e->chain + 1;
    lab_group_check_apply(n, &r, g->check.last - 1, &st);
}

static void lie_read(struct lab_group *g)
{
    struct group_request q = {.verb = GROUP_READ, .client = 1};
    struct group_answer a = {.index = g->check.last, .value = 12345};
    lab_group_check_read(g, &q, group_now_ns(g), 0, &a);
    g->check.n_ops--; /* not told to the search */
}

/* two answers that no order explains; their places are not looked at */
static void lie_orders(struct lab_group *g)
{
    CU_ASSERT_FATAL(g->check.n_ops + 2 <= g->check.cap_ops);
    for (int i = 0; i < 2; i++)
        g->check.ops[g->check.n_ops++] = (struct lab_wgl_op){.key = 999,
                                                             .from = 10 * i,
                                                             .to = 10 * i + 1,
                                                             .f = LAB_WGL_READ,
                                                             .a = (uint64_t)i + 5,
                                                             .tag = g->check.n_ops};
    lab_group_check_end(g);
}

static void lie_failed(struct lab_group *g)
{
    lab_group_check_role(&g->node[0], JOURNAL_FAILED, 1, E_IO, 0);
}

static void lie_submit(struct lab_group *g)
{
    lab_group_member_done(lab_group_leader(g)->m, 1, E_PROTO);
}

/* a member votes twice; nobody is told, so nothing comes of it */
static void lie_vote(struct lab_group *g)
{
    struct raft_watch *w = lab_group_leader(g)->watch;
    struct raft_message m = {.type = RAFT_MSG_VOTE_REPLY, .to = {76}, .term = 1000};
    w->saved(w, &(struct raft_meta){1000, {76}});
    w->sent(w, &m, 0);
    m.to.v = 77;
    w->saved(w, &(struct raft_meta){1000, {77}});
    w->sent(w, &m, 0);
}

/* bytes of an entry, on one disk only, that it is not read again from */
static void lie_entry(struct lab_group *g)
{
    struct raft_watch *w = group_other(g)->watch;
    struct raft_entry e = {.term = 1000, .len = 1, .type = RAFT_DATA};
    w->appended(w, 1 << 20, &e, "x");
    lab_group_leader(g)->watch->appended(lab_group_leader(g)->watch, 1 << 20, &e, "y");
}

static void test_lies_of_journals(void)
{
    static const char *names[] = {"leaders",  "log",       "answers", "linear",
                                  "liveness", "structure", "raft"};
    static const struct {
        enum lab_group_verdict by;
        void (*tell)(struct lab_group *g);
        const char *says;
    } lies[] = {
        {LAB_GROUP_LEADERS, lie_lease, "has a lease"},
        {LAB_GROUP_LEADERS, lie_behind_a_lease, "has a lease without it"},
        {LAB_GROUP_LOG, lie_never_submitted, "was never submitted"},
        {LAB_GROUP_LOG, lie_backwards, " applies "},
        {LAB_GROUP_LOG, lie_other_state, "another state than others had"},
        {LAB_GROUP_ANSWERS, lie_read, "not 12345"},
        {LAB_GROUP_LINEAR, lie_orders, "no order explains the read of key 999"},
        {LAB_GROUP_STRUCTURE, lie_failed, "the journal failed"},
        {LAB_GROUP_STRUCTURE, lie_submit, "a submit ends with"},
        {LAB_GROUP_RAFT, lie_vote, "had voted for 76"},
        {LAB_GROUP_RAFT, lie_entry, "log matching: "},
    };
    bool is_lied_to[LAB_GROUP_VERDICTS] = {[LAB_GROUP_LIVENESS] = true}; /* below */
    for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
        const struct lab_finding *f[LAB_GROUP_VERDICTS];
        struct lab_group *g = group_open("");
        for (unsigned v = 0; v < LAB_GROUP_VERDICTS; v++) {
            f[v] = &g->check.findings[v];
            CU_ASSERT(!strcmp(names[v], lab_own_verdict(&g->s, v)));
        }
        lies[i].tell(g);
        is_noticed(lies[i].says, names, f, LAB_GROUP_VERDICTS, lies[i].by, lies[i].says);
        is_lied_to[lies[i].by] = true;
        lab_group_close(g);
        mem_drop(&mem);
    }
    for (unsigned v = 0; v < LAB_GROUP_VERDICTS; v++)
        CU_ASSERT(is_lied_to[v]);
}

static void test_lies_of_journals_in_time(void)
{
    static const char *names[] = {"leaders",  "log",       "answers", "linear",
                                  "liveness", "structure", "raft"};
    const struct lab_finding *f[LAB_GROUP_VERDICTS];
    struct lab_group *g = group_open(", \"net\": {\"latency_min\": \"20ms\"}");
    g->s.bound_ns = 1;
    CU_ASSERT(lab_group_go(g, 0));
    for (unsigned v = 0; v < LAB_GROUP_VERDICTS; v++)
        f[v] = &g->check.findings[v];
    is_noticed("late", names, f, LAB_GROUP_VERDICTS, LAB_GROUP_LIVENESS, "healed");
    lab_group_close(g);
    mem_drop(&mem);
}

/* ---- recorded histories ---- */

#define EV(p, type, f, v) "{:process " #p ", :type :" #type ", :f :" #f ", :value " v "}\n"

/* for each model one that is wrong, and only by the operation that the model is there for */
static void test_lies_of_histories(void)
{
    static const struct {
        enum lab_history_model model;
        const char *truth, *lie;
    } cases[] = {
        {LAB_HISTORY_REGISTER, EV(1, invoke, write, "1") EV(1, ok, write, "1"),
         EV(1, invoke, read, "nil") EV(1, ok, read, "nil")},
        {LAB_HISTORY_CAS, EV(1, invoke, cas, "[nil 1]") EV(1, ok, cas, "[nil 1]"),
         EV(1, invoke, cas, "[nil 2]") EV(1, ok, cas, "[nil 2]")},
        {LAB_HISTORY_CAS, EV(1, invoke, cas, "[nil 1]") EV(1, ok, cas, "[nil 1]"),
         EV(1, invoke, cas, "[1 2]") EV(1, fail, cas, "[1 2]")},
        {LAB_HISTORY_KV,
         EV(1, invoke, append, "\"a\"") EV(1, ok, append, "\"a\"") EV(1, invoke, append, "\"b\"")
             EV(1, ok, append, "\"b\""),
         EV(1, invoke, get, "nil") EV(1, ok, get, "\"ba\"")},
    };
    unit_mem(&mem, 64 << 20);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (int lie = 0; lie < 2; lie++) {
            char text[1000];
            struct lab_history h;
            struct lab_wgl_result r;
            fmt_into(text, sizeof text, "%s%s", cases[i].truth, lie ? cases[i].lie : "");
            CU_ASSERT_EQUAL_FATAL(lab_history_read(&h, &mem, cases[i].model, text, strlen(text)),
                                  0);
            lab_wgl_check(&mem, h.ops, h.n, h.start, 1000, &r);
            CU_ASSERT_EQUAL(r.verdict, lie ? LAB_WGL_BAD : LAB_WGL_OK);
            lab_history_drop(&h);
        }
    mem_drop(&mem);
}

UNIT_MAIN("lab_lies", UNIT(test_lies_of_files), UNIT(test_lies_of_files_in_time),
          UNIT(test_lies_of_several_masters), UNIT(test_lies_of_journals),
          UNIT(test_lies_of_journals_in_time), UNIT(test_lies_of_histories))
