/* tests/unit/test_master_memory.c - the master's state: its budget, and images cut under load. */
#include "core/prng.h"
#include "tests/unit/master_world.h"

enum { MM_CALLS = 16 };

/* A second machine that gets every record once, from the first on, and never an image. */
struct mm_shadow {
    struct master_observer observer;
    struct mem mem;
    struct meta *m;
    uint64_t first; /* record applied since the last start */
    uint32_t leads, from_image, differs;
};

static struct mm_shadow shadow;
static struct wcall call[MM_CALLS], one;
static char mm_value[60000];

static void mm_on_apply(struct master_observer *o, uint64_t index, const struct fsop *op,
                        const struct meta_result *res, const struct meta *state)
{
    static struct meta_result r;
    (void)o;
    (void)state;
    (void)res;
    shadow.first = shadow.first ? shadow.first : index;
    if (index == meta_applied(shadow.m) + 1)
        meta_apply(shadow.m, index, op, &r);
}

static void mm_on_lead(struct master_observer *o, uint64_t epoch, const struct meta *state)
{
    (void)o;
    (void)epoch;
    shadow.leads++;
    shadow.from_image += shadow.first > 1;
    shadow.differs +=
        meta_applied(state) != meta_applied(shadow.m) || meta_hash(state) != meta_hash(shadow.m);
    shadow.first = 0;
}

/* The master is killed at any moment while images are written under load, and starts from the
 * newest: what it has then is what the log's records give, in every table. */
static void test_master_images_under_load(void)
{
    char name[32];
    struct prng p;
    memset(&shadow, 0, sizeof shadow);
    unit_mem(&shadow.mem, 256 << 20);
    w_open(FSOP_MOUNT_META, 0);
    CU_ASSERT_EQUAL_FATAL(meta_open(&shadow.mem, &wcfg.limits, &shadow.m), 0);
    shadow.observer = (struct master_observer){.on_apply = mm_on_apply, .on_lead = mm_on_lead};
    wcfg.observer = &shadow.observer;
    wcfg.journal.image_after_bytes = 48 << 10;
    wcfg.limits.inodes_max = 1 << 16;
    w_master_crash(); /* observed from now on, from the first record */
    w_run_ms(200);
    w_master_start();
    struct wc *c = wc_new(0, true);
    prng_seed(&p, 1, "images", 0);
    uint32_t made = 0;
    for (int life = 0; life < 12; life++) {
        uint64_t rounds = 5 + prng_below(&p, 60);
        for (uint64_t k = 0; k < rounds; k++) {
            struct fsop op[MM_CALLS];
            for (int i = 0; i < MM_CALLS; i++) {
                static char names[MM_CALLS][40];
                bool kill = made > 50 && prng_below(&p, 4) == 0;
                snprintf(names[i], sizeof names[i], "f%u",
                         kill ? (uint32_t)prng_below(&p, made) : made++);
                op[i] = w_name(kill ? FSOP_UNLINK : FSOP_MKNOD, INO_ROOT, names[i]);
                op[i].acked = c->seq > 100 ? c->seq - 100 : 1;
                w_send(c, &op[i], &call[i]);
            }
            if (k + 1 < rounds) /* the last ones are under way when it dies */
                for (int i = 0; i < MM_CALLS; i++)
                    CU_ASSERT(w_wait(&call[i], 20000));
        }
        w_run_ms((int64_t)prng_below(&p, 3));
        w_master_crash();
        w_run_ms(200);
        w_master_start();
        CU_ASSERT_EQUAL(shadow.differs, 0);
        wc_dial(c);
        for (int i = 0; i < MM_CALLS; i++)
            CU_ASSERT(w_wait(&call[i], 1000));
    }
    snprintf(name, sizeof name, "f%u", made);
    struct fsop last = w_name(FSOP_MKNOD, INO_ROOT, name);
    last.acked = c->seq;
    CU_ASSERT_EQUAL(w_fs(c, last, &one), 0);
    CU_ASSERT_EQUAL(shadow.leads, 13);
    CU_ASSERT(shadow.from_image >= 8);
    w_close();
    meta_close(shadow.m);
    mem_drop(&shadow.mem);
}

static int mm_xattr(struct wc *c, struct ino ino, bool set)
{
    return w_fs(c,
                (struct fsop){.kind = set ? FSOP_SETXATTR : FSOP_REMOVEXATTR,
                              .ino = ino,
                              .name = "user.x",
                              .name_len = 6,
                              .data = mm_value,
                              .data_len = set ? sizeof mm_value : 0},
                &one);
}

/* A client fills the state: it is told so, in time; nothing dies, also not at the next start; and
 * what is removed makes room. */
static void test_master_full_state(void)
{
    struct ino file[400];
    char name[16];
    int n = 0, err = 0;
    w_open(FSOP_MOUNT_META, 0);
    w_master_crash();
    wcfg.limits.bytes_max = META_BYTES_LEAST;
    wcfg.limits.inodes_max = 1 << 20;
    w_run_ms(200);
    w_master_start();
    CU_ASSERT_EQUAL(meta_limits(master_meta(wmaster)).bytes_max, META_BYTES_LEAST);
    struct wc *c = wc_new(0, true);
    for (; !err && n < 400; n++) {
        snprintf(name, sizeof name, "f%d", n);
        err = w_fs(c, w_name(FSOP_MKNOD, INO_ROOT, name), &one);
        file[n] = one.reply.attr.ino;
        if (!err)
            err = mm_xattr(c, file[n], true);
    }
    CU_ASSERT_EQUAL(err, E_NOSPC);
    CU_ASSERT(n > 100 && n < 300);
    CU_ASSERT_EQUAL(w_admin(c, RPC_ADMIN_IMAGE, "", &one), 0);
    for (int start = 0; start < 2; start++) {
        CU_ASSERT_EQUAL(mm_xattr(c, file[n - 1], true), E_NOSPC);
        uint64_t hash = meta_hash(master_meta(wmaster));
        w_master_crash();
        w_run_ms(200);
        w_master_start();
        CU_ASSERT_EQUAL(meta_hash(master_meta(wmaster)), hash);
        wc_dial(c);
    }
    CU_ASSERT_EQUAL(mm_xattr(c, file[0], false), 0);
    CU_ASSERT_EQUAL(mm_xattr(c, file[n - 1], true), 0);
    w_close();
}

/* too little for any state: said at once */
static void test_master_budget_too_small(void)
{
    struct mem m;
    struct master *master;
    w_open(FSOP_MOUNT_META, 0);
    w_master_crash();
    unit_mem(&m, 48 << 20);
    CU_ASSERT_EQUAL(master_open(sim_node_up(sim_node_find(ws, "master")), &m, &wcfg, &master),
                    E_NOMEM);
    CU_ASSERT_PTR_NULL(master);
    mem_drop(&m);
    wmaster = NULL;
    w_close();
}

UNIT_MAIN("master_memory", UNIT(test_master_images_under_load), UNIT(test_master_full_state),
          UNIT(test_master_budget_too_small))
