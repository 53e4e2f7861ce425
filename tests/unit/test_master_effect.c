/* tests/unit/test_master_effect.c - what is owed to the under-store while the journal refuses
 * records, and how much of it may run at once. */
#include "cluster/master_impl.h"
#include "tests/unit/master_world.h"

static struct wcall a, many[12];

/* ---- a journal that refuses records of one kind */

static struct {
    struct journal journal;
    struct journal *below;
    struct env *env;
    uint16_t kind;
    unsigned left, refused;
} refusing;

static void refusing_submit(struct journal *j, const void *rec, uint32_t len, struct env_op *op)
{
    struct fsop o;
    struct rbuf r = rbuf_make(rec, len);
    (void)j;
    if (refusing.left && fsop_get(&r, &o) == 0 && o.kind == refusing.kind) {
        refusing.left--;
        refusing.refused++;
        op->ret = E_AGAIN;
        env_post(refusing.env, op);
        return;
    }
    journal_submit(refusing.below, rec, len, op);
}

static void refuse(uint16_t kind, unsigned n)
{
    static struct journal_vt vt;
    refusing.below = wmaster->journal;
    refusing.env = wmaster->env;
    vt = *refusing.below->vt;
    vt.submit = refusing_submit;
    refusing.journal.vt = &vt;
    refusing.kind = kind;
    refusing.left = n;
    refusing.refused = 0;
    wmaster->journal = &refusing.journal;
}

static void refuse_no_more(void)
{
    wmaster->journal = refusing.below;
}

/* An effect that nobody has begun was not done before, whatever became of a later listing. */
static void test_master_effect_refused_outcome_of_a_listing_resumes_nothing(void)
{
    w_open(FSOP_MOUNT_THROUGH, 0);
    wu_add("d", FSOP_S_IFDIR | 0755, 0);
    for (int i = 0; i < 7; i++) {
        char name[8] = {'d', '/', 'f', (char)('0' + i), 0};
        wu_add(name, FSOP_S_IFREG | 0644, 1);
    }
    struct wc *c = wc_new(0, true);
    struct ino d = w_lookup(c, INO_ROOT, "d", 0);
    wu.fail_kind = UFS_MKDIR;
    wu.fail = E_UNAVAILABLE;
    wu.fail_always = true;
    for (int i = 0; i < 10; i++) { /* six of them get a job */
        char name[8] = {'n', (char)('0' + i), 0};
        struct fsop op = w_name(FSOP_MKDIR, INO_ROOT, name);
        w_send(c, &op, &many[i]);
    }
    w_run_ms(50);
    struct fsop op = {.kind = FSOP_READDIR, .ino = d};
    w_send(c, &op, &a);
    while (wu.count[UFS_LIST] < 2 && !a.done)
        w_run_ms(1);
    wu_find("d")->used = false;
    refuse(FSOP_OUTCOME, 1);
    for (int i = 0; i < 2000 && !refusing.refused; i++)
        w_run_ms(1);
    CU_ASSERT_EQUAL(refusing.refused, 1);
    wu_add("n9", FSOP_S_IFDIR | 0755, 0); /* somebody else */
    wu.fail = 0;
    for (int i = 0; i < 10; i++)
        CU_ASSERT(w_wait(&many[i], 10000) && many[i].err == (i < 9 ? 0 : E_EXIST));
    CU_ASSERT(w_wait(&a, 10000));
    struct meta_stats st;
    meta_stats(master_meta(wmaster), &st);
    CU_ASSERT_EQUAL(st.intents, 0);
    refuse_no_more();
    w_close();
}

/* What was done below is not done again because the journal had no room to say so. */
static void test_master_effect_refused_outcome_is_given_again(void)
{
    w_open(FSOP_MOUNT_THROUGH, 0);
    struct wc *c = wc_new(0, true);
    refuse(FSOP_OUTCOME, 3);
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_MKDIR, INO_ROOT, "d"), &a), 0);
    CU_ASSERT_EQUAL(refusing.refused, 3);
    CU_ASSERT_EQUAL(wu.count[UFS_MKDIR], 1);
    CU_ASSERT_EQUAL(wu.resumed, 0);
    refuse_no_more();
    w_close();
}

/* ---- how deep the stack is where the master answers */

static struct {
    struct env_vt vt;
    const struct env_vt *below;
    uintptr_t low, high;
    unsigned sends;
} deep;

static void deep_send(struct env_conn *c, uint16_t type, const struct env_iov *iov, unsigned n_iov)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    deep.low = here < deep.low ? here : deep.low;
    deep.high = here > deep.high ? here : deep.high;
    deep.sends++;
    deep.below->send(c, type, iov, n_iov);
}

/* Requests that wait for a job, and whose jobs end as they begin, have their turns one after the
 * other: the stack does not grow with their number. */
static void test_master_effect_many_waiters_need_no_deep_stack(void)
{
    enum { N = 240, CLIENTS = 4 };
    static struct wcall calls[CLIENTS][N];
    w_open(FSOP_MOUNT_THROUGH, 0);
    w_master_crash();
    wcfg.requests_max = 1024;
    w_master_start();
    struct wc *c[CLIENTS];
    for (int k = 0; k < CLIENTS; k++)
        c[k] = wc_new(k, true);
    wu.hang = true;
    for (int i = 0; i < N; i++)
        for (int k = 0; k < CLIENTS; k++) {
            char name[16] = ".tarn"; /* its job has nothing to do */
            if (i < 8)
                snprintf(name, sizeof name, "n%d.%d", k, i);
            struct fsop op = w_name(FSOP_LOOKUP, INO_ROOT, name);
            w_send(c[k], &op, &calls[k][i]);
        }
    w_run_ms(5);
    struct env *e = wmaster->env;
    deep.below = e->vt;
    deep.vt = *e->vt;
    deep.vt.send = deep_send;
    deep.low = UINTPTR_MAX;
    deep.high = deep.sends = 0;
    e->vt = &deep.vt;
    CU_ASSERT_EQUAL(wmaster->jobs_used[0], 24);
    wu.hang = false;
    w_run_ms(2000);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < CLIENTS; k++)
            CU_ASSERT(calls[k][i].done && calls[k][i].err == E_NOENT);
    CU_ASSERT(deep.sends >= 300);
    CU_ASSERT(deep.high - deep.low < 16 << 10);
    e->vt = deep.below;
    w_close();
}

UNIT_MAIN("master_effect", UNIT(test_master_effect_many_waiters_need_no_deep_stack),
          UNIT(test_master_effect_refused_outcome_of_a_listing_resumes_nothing),
          UNIT(test_master_effect_refused_outcome_is_given_again))
