/* tests/unit/test_raft_drive_ship.c - what goes wrong around images, connections and proposals of a
 * group of journals: wishes that are void, fetches that fail, places that are all taken. */
#include "journal/raft_drive_impl.h"
#include "journal/raft_impl.h"
#include "journal/ship_impl.h"
#include "tests/unit/test_raft_world_sim.h"

static struct drive *drive_of(const struct gang_member *m)
{
    return container_of(m->j, struct drive, journal);
}

static uint32_t files(const struct gang_member *m, const char *what)
{
    uint32_t n = 0;
    for (const char *f = ""; (f = sim_disk_next(m->node, f));)
        n += strstr(f, what) != NULL;
    return n;
}

static uint64_t first_index(const struct gang_member *m)
{
    struct journal_status st;
    journal_status(m->j, &st);
    return st.first_index;
}

/* Three members, the first of which leads and keeps little of its log; the second keeps all if
 * `long_log`; the third was away and is ready to be started. */
static struct gang *one_is_behind(uint64_t seed, uint32_t ballast, bool long_log)
{
    struct sim_config c = sim_config_quiet(seed);
    struct gang *g = gang_new(&c, 3);
    g->ballast = ballast;
    for (uint32_t i = 0; i < 3; i++) {
        bool is_long = i == 1 && long_log;
        g->cfg.image_after_bytes = is_long ? 256 << 20 : 1 << 20;
        g->cfg.raft.keep_entries = is_long ? 1000000 : 10;
        gang_start(g, i);
    }
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    if (gang_leader(g)->id != 1)
        CU_ASSERT_EQUAL(gang_change(g, JOURNAL_ELECT, 1, 0, NULL), 0);
    gang_run(g, 100);
    CU_ASSERT(gang_write(g, 100, 100) && gang_await_equal(g, 1000));
    gang_crash(g, 2, false);
    CU_ASSERT(gang_write(g, 3000, 2000));
    for (int i = 0; i < 50 && first_index(&g->m[0]) < 200; i++) {
        CU_ASSERT(gang_write(g, 100, 2000));
        gang_run(g, 100);
    }
    CU_ASSERT_FATAL(first_index(&g->m[0]) >= 200);
    CU_ASSERT_FATAL(gang_leader(g) == &g->m[0]);
    return g;
}

/* until member i has something of an image, but not all */
static bool await_part(struct gang *g, uint32_t i)
{
    struct ship_progress p;
    for (int ms = 0; ms < 10000; ms++) {
        struct drive *d = drive_of(&g->m[i]);
        if (d->ship) {
            ship_progress(d->ship, &p);
            if (p.under_way && p.have && p.have < p.total)
                return true;
        }
        gang_run(g, 1);
    }
    return false;
}

/* What an image was wanted for came by another leader's log: nobody asks for it any more. */
static void test_a_wish_that_the_log_has_overtaken_is_given_up(void)
{
    struct gang *g = one_is_behind(1, 200, true);
    struct gang_member *away = &g->m[2];
    sim_net_nic(away->node, 8 << 20);
    g->cfg.image_after_bytes = 256 << 20;
    gang_start(g, 2);
    CU_ASSERT_FATAL(await_part(g, 2));
    gang_crash(g, 0, false);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) == &g->m[1]);
    CU_ASSERT(gang_await_equal(g, 30000));
    CU_ASSERT_EQUAL(away->resets, 0); /* the log came */
    uint32_t images = files(away, "image-");
    gang_start(g, 0); /* who was asked for the image is back */
    CU_ASSERT(gang_await_equal(g, 30000));
    gang_run(g, 5000);
    CU_ASSERT(!drive_of(away)->ship_wanted && !drive_of(away)->is_shipping);
    CU_ASSERT_EQUAL(files(away, "image.recv"), 0);
    CU_ASSERT_EQUAL(files(away, "image-"), images);
    gang_free(g);
}

/* an offer of an image in the name of a member, as if that led */
static void offer(struct drive *d, uint32_t from, uint64_t term, uint64_t index, uint64_t log_term)
{
    static struct raft_conf conf;
    conf = *raft_conf(d->raft);
    struct raft_message *m = &d->in.message;
    *m = (struct raft_message){.type = RAFT_MSG_IMAGE,
                               .from = {from},
                               .to = d->self,
                               .term = term,
                               .index = index,
                               .log_term = log_term,
                               .conf = &conf};
    struct raft_event ev = {.type = RAFT_MESSAGE, .u.message = m};
    raft_drive_event(d, &ev, NULL);
}

/* A fetch that is too far to be cancelled ends well after another image was wished for, which the
 * core still wants then: it knows nothing of the one that came. */
static void test_a_newer_wish_outlives_an_older_fetch(void)
{
    struct gang *g = one_is_behind(2, 20, false);
    struct gang_member *away = &g->m[2];
    gang_start(g, 2);
    struct drive *d = drive_of(away);
    for (int i = 0; i < 100000 && !(d->ship && d->is_shipping &&
                                    d->ship->fetch.state == SHIP_RENAME && d->shipping_index);
         i++)
        sim_step(g->s);
    CU_ASSERT_FATAL(d->ship && d->ship->fetch.state == SHIP_RENAME);
    uint64_t came = d->shipping_index;
    struct raft_status s;
    raft_status(d->raft, &s);
    offer(d, 2, s.term + 1, came - 5, d->shipping_term);
    CU_ASSERT(d->ship_wanted && d->ship_index == came - 5);
    for (int i = 0; i < 100000 && d->is_shipping; i++)
        sim_step(g->s);
    sim_step(g->s);
    CU_ASSERT(away->resets > 0 || d->installing || (d->ship_wanted && d->ship_index == came - 5));
    if (!away->resets && !d->installing)
        CU_ASSERT(snap_is_bad(d->snap, came)); /* its file goes with the next */
    CU_ASSERT(gang_await_equal(g, 30000));
    gang_free(g);
}

/* An image that does not fit is not sent again and again. */
static void test_a_full_disk_does_not_fetch_for_ever(void)
{
    struct gang *g = one_is_behind(3, 40, false);
    struct gang_member *away = &g->m[2];
    struct sim_disk_config full = *sim_disk_get(away->node), roomy = full;
    gang_start(g, 2);
    full.capacity = sim_disk_used(away->node) + (1 << 20);
    sim_disk_set(away->node, &full);
    gang_run(g, 60000);
    CU_ASSERT(away->role == JOURNAL_STANDBY && away->resets == 0);
    uint32_t fetches = drive_of(away)->ship->fetch.tag;
    CU_ASSERT(fetches > 3 && fetches < 16);
    sim_disk_set(away->node, &roomy);
    CU_ASSERT(gang_await_equal(g, 60000));
    CU_ASSERT_EQUAL(away->resets, 1);
    gang_free(g);
}

/* A follower's disk damages what comes, image after image, while the leader goes on: nobody writes
 * images for that, and it is not sent again and again. */
static void test_a_bad_disk_does_not_fetch_for_ever(void)
{
    struct gang *g = one_is_behind(30, 40, false);
    struct gang_member *away = &g->m[2];
    char name[ENV_NAME_MAX];
    uint64_t newest = 0, images = 0;
    uint32_t tag = 0, spoilt = 0;
    sim_net_nic(away->node, 64 << 20); /* there is a moment for it */
    gang_start(g, 2);
    g->last_error[0] = 0;
    for (int ms = 0; ms < 60000; ms++) {
        struct drive *l = drive_of(&g->m[0]), *d = drive_of(away);
        if (ms % 500 == 0)
            CU_ASSERT(gang_write(g, 20, 10000));
        images += newest && newest != snap_index(l->snap);
        newest = snap_index(l->snap);
        name[0] = 0;
        for (const char *f = ""; (f = sim_disk_next(away->node, f));)
            if (strstr(f, "image.recv-"))
                fmt_into(name, sizeof name, "%s", f);
        if (name[0] && d->ship && d->ship->fetch.tag != tag &&
            sim_disk_size(away->node, name) > 1 << 20) {
            for (uint64_t at = 500000; at < 520000; at += 1000) /* not only what pads it */
                CU_ASSERT_EQUAL(sim_disk_flip(away->node, name, at, 1), 0);
            tag = d->ship->fetch.tag;
            spoilt++;
        }
        gang_run(g, 1);
    }
    CU_ASSERT(gang_leader(g) == &g->m[0] && away->resets == 0);
    CU_ASSERT(images > 3); /* there was always another one to be had */
    CU_ASSERT(strstr(g->last_error, "is damaged") == NULL);
    CU_ASSERT(spoilt > 3 && spoilt < 10);
    CU_ASSERT(gang_await_equal(g, 60000));
    CU_ASSERT_EQUAL(away->resets, 1);
    gang_free(g);
}

static void image_done(struct env_op *op)
{
    CU_ASSERT(op->ret > 0);
}

/* An image takes longer than until two more are written, and the connection is cut every now and
 * then: it comes nevertheless, and the log behind it. */
static void test_a_slow_fetch_is_not_outrun(void)
{
    struct gang *g = one_is_behind(31, 160, false);
    struct gang_member *l = &g->m[0], *away = &g->m[2];
    uint64_t images = 0, newest = snap_index(drive_of(l)->snap);
    sim_net_nic(away->node, 200 << 10);
    gang_start(g, 2);
    for (int s = 1; s <= 200 && away->resets == 0; s++) {
        for (int i = 0; i < 10; i++) {
            CU_ASSERT(gang_write(g, 1, 15000));
            gang_run(g, 100);
        }
        if (s % 7 == 0) {
            struct env_op cut = {.done = image_done};
            sim_net_partition(l->node, away->node, false);
            sim_net_reset(l->node, away->node);
            gang_run(g, 100);
            CU_ASSERT(gang_write(g, 1, 15000));
            journal_image_now(l->j, &cut);
            gang_run(g, 1000);
            sim_net_heal(l->node, away->node);
        }
        images += newest != snap_index(drive_of(l)->snap);
        newest = snap_index(drive_of(l)->snap);
    }
    CU_ASSERT(gang_leader(g) == l && images > 2);
    CU_ASSERT(away->resets == 1 && files(l, "image-") == 3);
    sim_net_nic(away->node, 64 << 20);
    CU_ASSERT(gang_await_equal(g, 120000));
    CU_ASSERT_EQUAL(away->resets, 1);
    gang_run(g, 400000); /* nobody wants it any more */
    CU_ASSERT_EQUAL(ship_serving(drive_of(l)->ship), 0);
    for (int i = 0; i < 20; i++) {
        CU_ASSERT(gang_write(g, 100, 10000));
        gang_run(g, 1000);
    }
    CU_ASSERT_EQUAL(files(l, "image-"), 2);
    gang_free(g);
}

/* Six megabytes of log over a line of 200 KiB/s, a fifth of it over 40: in about the time that the
 * line needs, and the connection is not given up again and again for what is queued on it. */
static void test_a_slow_line_catches_up_by_log(void)
{
    for (uint32_t k = 1; k <= 5; k += 4) {
        struct sim_config c = sim_config_quiet(32);
        struct gang *g = gang_new(&c, 3);
        g->cfg.image_after_bytes = 256 << 20;
        for (uint32_t i = 0; i < 3; i++)
            gang_start(g, i);
        CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
        uint32_t away = (gang_leader(g)->id + 1) % 3;
        CU_ASSERT(gang_write(g, 100, 100) && gang_await_equal(g, 1000));
        gang_crash(g, away, false);
        CU_ASSERT(gang_write(g, 400 / k, 15000));
        sim_net_nic(g->m[away].node, (200 << 10) / k);
        gang_start(g, away);
        CU_ASSERT(gang_await_equal(g, 45000));
        CU_ASSERT_EQUAL(g->m[away].resets, 0);
        gang_free(g);
    }
}

/* A master that is stopped while it takes over an image, or fetches one, has not failed. */
static void test_a_stop_in_the_middle_of_an_image(void)
{
    for (int k = 0; k < 4; k++) {
        struct gang *g = one_is_behind(8, 200, false);
        struct gang_member *away = &g->m[2];
        gang_start(g, 2);
        if (k < 2)
            CU_ASSERT(await_part(g, 2));
        for (int i = 0; i < 1000000 && k >= 2 && !drive_of(away)->installing; i++)
            sim_step(g->s);
        CU_ASSERT(k < 2 || drive_of(away)->installing);
        if (k % 2)
            gang_run(g, 1);
        struct gang_op o = {.op = {.done = gang_op_done}, .g = g, .busy = true};
        g->last_error[0] = 0;
        env_unlisten(sim_env(away->node), &away->acceptor);
        journal_stop(away->j, &o.op);
        for (int ms = 0; ms < 5000 && !o.done; ms++)
            gang_run(g, 1);
        CU_ASSERT_FATAL(o.done);
        CU_ASSERT(away->role == JOURNAL_STANDBY && !g->last_error[0]);
        CU_ASSERT(list_empty(&sim_mem(away->node)->large));
        gang_crash(g, 2, false);
        gang_start(g, 2);
        CU_ASSERT(gang_await_equal(g, 20000));
        gang_free(g);
    }
}

/* --- places --- */

static struct drive_link *link_of(struct drive *d, uint32_t id)
{
    return raft_drive_link_find(d, (struct raft_id){id});
}

/* Entries of the log for a member without a place among the links: the core hears that there are
 * none, or it would never ask again. */
static void test_a_fetch_without_a_link_is_answered(void)
{
    struct gang *g = one_is_behind(4, 5, false);
    struct drive *d = drive_of(&g->m[0]);
    struct drive_link *k = link_of(d, 3);
    struct raft_peer *p = raft_member_peer(d->raft, (struct raft_id){3});
    CU_ASSERT_FATAL(k && p);
    p->fetching = true; /* as the core does when it asks */
    k->id.v = 99;
    struct raft_fetch f = {{3}, p->next};
    raft_drive_fetch(d, &f);
    gang_run(g, 10);
    CU_ASSERT(!p->fetching);
    k->id.v = 3;
    struct mem *mem = sim_mem(g->m[0].node); /* nor is one without memory */
    uint64_t budget = mem->budget;
    CU_ASSERT_FATAL(!k->reader);
    mem->budget = mem->used;
    p->fetching = true;
    f.from = p->next;
    raft_drive_fetch(d, &f);
    gang_run(g, 10);
    mem->budget = budget;
    CU_ASSERT(!p->fetching && g->m[0].role == JOURNAL_LEADER);
    gang_start(g, 2);
    CU_ASSERT(gang_await_equal(g, 20000));
    gang_free(g);
}

/* Those who were members once, and read the log while they were, leave their places to others. */
static void test_places_of_former_members_are_given_back(void)
{
    struct sim_config c = sim_config_quiet(5);
    struct gang *g = gang_new(&c, 3);
    g->cfg.queue_bytes = 1 << 18; /* of what is in memory, too */
    for (uint32_t i = 0; i < 3; i++)
        gang_start(g, i);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    CU_ASSERT(gang_write(g, 300, 4000));
    gang_add(g);
    struct gang_member *guest = &g->m[3];
    guest->join = true;
    uint32_t readers = 0;
    for (uint32_t id = 4; id < 4 + DRIVE_LINKS + 4 && !g->bad; id++) {
        guest->id = id;
        sim_node_wipe(guest->node);
        gang_start(g, 3);
        CU_ASSERT_EQUAL_FATAL(gang_change(g, JOURNAL_ADD_LEARNER, id, 0, guest->addr), 0);
        CU_ASSERT_FATAL(gang_await_equal(g, 5000));
        struct drive *d = drive_of(gang_leader(g));
        readers += link_of(d, id) && link_of(d, id)->reader;
        CU_ASSERT_EQUAL(gang_change(g, JOURNAL_REMOVE, id, 0, NULL), 0);
        gang_crash(g, 3, false);
    }
    CU_ASSERT(readers > DRIVE_LINKS);
    struct drive *d = drive_of(gang_leader(g));
    gang_run(g, 1000);
    readers = 0;
    for (uint32_t i = 0; i < DRIVE_LINKS; i++)
        readers += d->link[i].reader != NULL;
    CU_ASSERT(readers <= 2);
    gang_free(g);
}

/* A member whose host went away without a word comes back: it is talked to on the connection that
 * it makes, not on the one that leads nowhere. */
static void test_a_member_is_talked_to_where_it_was_heard_last(void)
{
    for (uint64_t seed = 9; seed < 13; seed++) {
        struct sim_config c = sim_config_quiet(seed);
        struct gang *g = gang_new(&c, 3);
        for (uint32_t i = 0; i < 3; i++)
            gang_start(g, i);
        CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
        CU_ASSERT(gang_write(g, 10, 100) && gang_await_equal(g, 1000));
        gang_run(g, 1000);
        struct gang_member *l = gang_leader(g), *f = &g->m[l->id % 3];
        CU_ASSERT(sim_net_half_open(l->node, f->node) > 0);
        gang_crash(g, f->id - 1, true);
        gang_start(g, f->id - 1);
        CU_ASSERT(gang_write(g, 10, 100));
        CU_ASSERT(gang_await_equal(g, 2000));
        gang_free(g);
    }
}

/* --- proposals --- */

static struct drive *burst(struct gang *g, uint32_t n)
{
    struct drive *d = drive_of(gang_leader(g));
    for (uint32_t i = 0; i < n; i++)
        CU_ASSERT(gang_submit(g, 100));
    return d;
}

/* Who is alone leaves at once; of the many of a turn the first does not, if there were many in the
 * last: one message and one batch for all. */
static void test_proposals_of_a_turn_go_together(void)
{
    struct sim_config c = sim_config_quiet(6);
    struct gang *g = gang_new(&c, 3);
    for (uint32_t i = 0; i < 3; i++)
        gang_start(g, i);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    CU_ASSERT(gang_write(g, 1, 100));
    gang_run(g, 300);
    struct drive *d = burst(g, 1);
    uint64_t last = raft_log_last(d->log);
    CU_ASSERT(d->n_queued == 0 && d->last_batch == 1); /* proposed within the call */
    gang_run(g, 300);
    burst(g, 10);
    CU_ASSERT(d->n_queued == 9 && raft_log_last(d->log) == last + 1);
    for (int i = 0; i < 1000 && d->n_queued; i++)
        sim_step(g->s);
    CU_ASSERT(d->last_batch == 9 && raft_log_last(d->log) == last + 10);
    gang_run(g, 300);
    uint64_t messages = d->messages, batches;
    struct wal_stats w;
    raft_log_stats(d->log, &w);
    batches = w.batches;
    burst(g, 10);
    CU_ASSERT(d->n_queued == 10 && raft_log_last(d->log) == last + 10);
    for (int i = 0; i < 1000 && d->n_queued; i++)
        sim_step(g->s);
    CU_ASSERT(d->last_batch == 10 && raft_log_last(d->log) == last + 20);
    CU_ASSERT_EQUAL(d->messages - messages, 2); /* one for each of the others */
    raft_log_stats(d->log, &w);
    CU_ASSERT(w.batches <= batches + 1);
    gang_run(g, 300);
    burst(g, 1); /* it waits for the others of its turn, in vain */
    CU_ASSERT(d->n_queued == 1);
    gang_run(g, 300);
    burst(g, 1);
    CU_ASSERT(d->n_queued == 0);
    gang_run(g, 300);
    CU_ASSERT_EQUAL(g->n_acked, 24);
    gang_free(g);
}

/* --- changes --- */

static void begin_change(struct gang *g, struct gang_member *m, struct journal_change c,
                         struct gang_op *o)
{
    *o = (struct gang_op){.op = {.done = gang_op_done}, .g = g, .busy = true};
    journal_change(m->j, &c, env_now_ns(sim_env(m->node)) + 20000 * GANG_MS, &o->op);
}

/* A leader that was cut off hears of its successor by an append that brings another change in place
 * of its own: that one was not made. */
static void test_a_change_is_not_taken_for_another_leaders(void)
{
    static struct gang_op mine, other;
    struct sim_config c = sim_config_quiet(7);
    struct gang *g = gang_new(&c, 3);
    for (uint32_t i = 0; i < 3; i++)
        gang_start(g, i);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    CU_ASSERT(gang_write(g, 10, 100) && gang_await_equal(g, 1000));
    struct gang_member *l = gang_leader(g), *a = &g->m[l->id % 3], *b = &g->m[(l->id + 1) % 3];
    gang_crash(g, a->id - 1, false);
    g->cfg.raft.suspect_min_ns = 300 * GANG_MS; /* it suspects before the leader gives up */
    g->cfg.raft.suspect_max_ns = 400 * GANG_MS;
    gang_start(g, a->id - 1);
    CU_ASSERT(gang_await_equal(g, 5000));
    gang_run(g, 300);
    sim_net_partition(l->node, b->node, false);
    sim_net_partition(l->node, a->node, false);
    begin_change(g, l, (struct journal_change){.verb = JOURNAL_ADD_LEARNER, .id = 9, .addr = "x:1"},
                 &mine);
    for (int i = 0; i < 950 && a->role != JOURNAL_LEADER; i++)
        gang_run(g, 1);
    CU_ASSERT_FATAL(a->role == JOURNAL_LEADER && l->role == JOURNAL_LEADER);
    begin_change(g, a, (struct journal_change){.verb = JOURNAL_PRIORITY, .id = 1, .priority = 3},
                 &other);
    gang_run(g, 30);
    CU_ASSERT(other.done && other.op.ret == 0 && !mine.done);
    sim_net_link(l->node, a->node, 60 * GANG_MS, 60 * GANG_MS, 0);
    sim_net_heal(l->node, a->node);
    sim_net_reset(l->node, a->node);
    gang_run(g, 70); /* the old leader has said what it has to say */
    sim_net_reset(l->node, a->node);
    gang_run(g, 400);
    sim_net_heal_all(g->s);
    CU_ASSERT(gang_await_equal(g, 5000));
    CU_ASSERT(mine.done && mine.op.ret == E_NOT_LEADER);
    struct journal_status st;
    journal_status(a->j, &st);
    CU_ASSERT_EQUAL(st.n, 3);
    gang_free(g);
}

/* More configurations since the image than the core keeps: after a restart an image that is written
 * while they are gone through does not go back behind the oldest of those that it has left out. */
static void test_a_restart_knows_the_configurations_of_its_log(void)
{
    struct sim_config c = sim_config_quiet(9);
    struct gang *g = gang_new(&c, 1);
    uint64_t at[6];
    struct journal_status st;
    gang_start(g, 0);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    for (uint32_t i = 0; i < 6; i++) {
        CU_ASSERT(gang_write(g, 10, 100));
        CU_ASSERT_EQUAL(gang_change(g, JOURNAL_PRIORITY, 1, i + 1, NULL), 0);
        journal_status(g->m[0].j, &st);
        at[i] = st.conf_index;
    }
    CU_ASSERT(gang_write(g, 10, 100));
    gang_crash(g, 0, false);
    gang_start(g, 0);
    CU_ASSERT_FATAL(gang_await_leader(g, 10000) != NULL);
    const struct raft *r = drive_of(&g->m[0])->raft;
    for (uint32_t i = 2; i < 6; i++) {
        const struct raft_conf *conf = raft_conf_at(r, at[i] + 5);
        CU_ASSERT(conf->n == 1 && conf->member[0].priority == i + 1);
    }
    gang_free(g);
}

/* the newest image of the leader is damaged at its begin, in the middle, at its end, or is gone;
 * nothing is written any more, and it may be of the very last record */
static void test_a_damaged_image_is_written_anew(void)
{
    for (int k = 0; k < 8; k++) {
        struct gang *g = one_is_behind(60 + (uint64_t)k, 4, false);
        struct gang_member *l = &g->m[0];
        struct env_op cut = {.done = image_done};
        char name[ENV_NAME_MAX] = "";
        CU_ASSERT(gang_await_equal(g, 1000));
        if (k % 2)
            journal_image_now(l->j, &cut);
        gang_run(g, 2000);
        for (const char *f = ""; (f = sim_disk_next(l->node, f));)
            if (!strncmp(f, "image-", 6))
                fmt_into(name, sizeof name, "%s", f);
        uint64_t size = (uint64_t)sim_disk_size(l->node, name);
        CU_ASSERT_FATAL(size > 3 * LOG_BLOCK);
        struct env_op op;
        if (k / 2 == 3) {
            env_unlink(sim_env(l->node), name, &op);
            CU_ASSERT_EQUAL(sim_run_op(g->s, &op, sim_now_ns(g->s) + 1000 * GANG_MS), 0);
        } else {
            uint64_t at = k / 2 == 0 ? 50 : k / 2 == 1 ? size / 2 : size - LOG_BLOCK;
            CU_ASSERT_EQUAL(sim_disk_flip(l->node, name, at, 2), 0);
        }
        gang_start(g, 2);
        CU_ASSERT(gang_await_equal(g, 8000));
        CU_ASSERT_EQUAL(g->m[2].resets, 1);
        CU_ASSERT(strstr(g->last_error, "is damaged: another member could not use it") != NULL);
        gang_crash(g, 0, true); /* and what it has now is good */
        gang_start(g, 0);
        CU_ASSERT(gang_await_leader(g, 10000) != NULL && gang_await_equal(g, 5000));
        gang_free(g);
    }
}

/* The image that is to take a damaged one's place cannot be written at first: that is tried again,
 * although nothing else is written any more. */
static void test_a_damaged_image_is_written_anew_later(void)
{
    struct gang *g = one_is_behind(70, 4, false);
    struct gang_member *l = &g->m[0];
    char name[ENV_NAME_MAX] = "";
    CU_ASSERT(gang_await_equal(g, 1000));
    gang_run(g, 2000);
    for (const char *f = ""; (f = sim_disk_next(l->node, f));)
        if (!strncmp(f, "image-", 6))
            fmt_into(name, sizeof name, "%s", f);
    CU_ASSERT_EQUAL(sim_disk_flip(l->node, name, 50, 2), 0);
    struct sim_disk_config well = *sim_disk_get(l->node), ill = well;
    ill.write_eio_ppm = 1000000;
    sim_disk_set(l->node, &ill);
    gang_start(g, 2);
    for (int ms = 0; ms < 10000 && !strstr(g->last_error, "is damaged"); ms++)
        gang_run(g, 1);
    CU_ASSERT(strstr(g->last_error, "is damaged: another member could not use it") != NULL);
    gang_run(g, 100);
    sim_disk_set(l->node, &well);
    CU_ASSERT_FATAL(gang_leader(g) == l);
    CU_ASSERT(gang_await_equal(g, 60000));
    CU_ASSERT_EQUAL(g->m[2].resets, 1);
    gang_free(g);
}

UNIT_MAIN("raft_drive_ship", UNIT(test_a_damaged_image_is_written_anew),
          UNIT(test_a_damaged_image_is_written_anew_later),
          UNIT(test_a_restart_knows_the_configurations_of_its_log),
          UNIT(test_a_wish_that_the_log_has_overtaken_is_given_up),
          UNIT(test_a_newer_wish_outlives_an_older_fetch),
          UNIT(test_a_full_disk_does_not_fetch_for_ever),
          UNIT(test_a_bad_disk_does_not_fetch_for_ever), UNIT(test_a_slow_fetch_is_not_outrun),
          UNIT(test_a_slow_line_catches_up_by_log), UNIT(test_a_stop_in_the_middle_of_an_image),
          UNIT(test_a_fetch_without_a_link_is_answered),
          UNIT(test_places_of_former_members_are_given_back),
          UNIT(test_a_member_is_talked_to_where_it_was_heard_last),
          UNIT(test_proposals_of_a_turn_go_together),
          UNIT(test_a_change_is_not_taken_for_another_leaders))
