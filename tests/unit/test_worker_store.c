/* tests/unit/test_worker_store.c - pages on disk, with places for few files at once. */
#include "cluster/worker_store.h"
#include "sim/sim.h"
#include "tests/unit/unit.h"

enum { PAGE = 64 * 1024, JOBS = 12 };

static struct mem mem;
static struct sim *sim;
static struct sim_node *node;
static struct worker_store store;
static struct job {
    struct worker_job job;
    unsigned done;
} jobs[JOBS];
static uint8_t page[PAGE], rec[WORKER_FORMAT_REC_MAX];

static void job_done(struct env_op *op)
{
    struct worker_job *j = container_of(op, struct worker_job, op);
    container_of(j, struct job, job)->done++;
}

static void submit(struct job *j, enum worker_job_kind kind, uint64_t ino)
{
    memset(j, 0, sizeof *j);
    j->job = (struct worker_job){.op.done = job_done,
                                 .kind = kind,
                                 .key = {{ino}, 1, 0},
                                 .buf = page,
                                 .rec = rec,
                                 .len = PAGE,
                                 .file_size = PAGE};
    worker_store_submit(&store, &j->job);
}

static void run(void)
{
    sim_run_until(sim, sim_now_ns(sim) + 2000000000LL);
}

static unsigned files_on_disk(void)
{
    unsigned n = 0;
    for (const char *name = ""; (name = sim_disk_next(node, name));)
        n++;
    return n;
}

static void test_worker_store_changes_wait_for_a_place(void)
{
    unit_mem(&mem, 256 << 20);
    struct sim_config cfg = sim_config_quiet(3);
    sim = sim_open(&mem, &cfg);
    node = sim_node_add(sim, "w");
    struct env *e = sim_node_up(node);
    CU_ASSERT_EQUAL_FATAL(worker_store_init(&store, e, sim_mem(node), "", PAGE, 2), 0);
    for (unsigned i = 0; i < JOBS; i++)
        submit(&jobs[i], WORKER_JOB_WRITE, 1 + i);
    run();
    for (unsigned i = 0; i < JOBS; i++)
        CU_ASSERT(jobs[i].done == 1 && jobs[i].job.op.ret == 0);
    CU_ASSERT_EQUAL(files_on_disk(), 2 * JOBS);
    /* in the order in which they were asked for: gone, and one that is there again */
    for (unsigned i = 0; i < JOBS - 1; i++)
        submit(&jobs[i], i % 3 ? WORKER_JOB_DROP : WORKER_JOB_CLEAR, 1 + i);
    submit(&jobs[JOBS - 1], WORKER_JOB_WRITE, JOBS - 1);
    run();
    for (unsigned i = 0; i < JOBS; i++)
        CU_ASSERT(jobs[i].done == 1 && jobs[i].job.op.ret == 0);
    CU_ASSERT_EQUAL(files_on_disk(), 2 * (2 + 4)); /* not dropped: 1, 4, 7, 10, 11, 12 */
    submit(&jobs[0], WORKER_JOB_READ, JOBS - 1);
    run();
    CU_ASSERT_EQUAL(jobs[0].job.op.ret, PAGE);
    for (int i = 0; i < 10 && !worker_store_close(&store); i++)
        run();
    CU_ASSERT_TRUE(worker_store_close(&store));
    worker_store_free(&store);
    sim_close(sim);
    mem_drop(&mem);
}

UNIT_MAIN("worker_store", UNIT(test_worker_store_changes_wait_for_a_place))
