/* tests/fuzz/fuzz_log_start.c - a journal's directory with arbitrary edits: the start decides, in
 * bounded time, and a refused one leaves the bytes alone; a log that starts takes a record and
 * stops.
 *
 * Input: edits {u8 file and flags, u16 block or offset, u8 length, bytes} on a good directory with
 * two images and a meta file.  With the flag, checksums of the edited block are made right, so that
 * what stands behind them is reached too. */
#include "core/crc.h"
#include "journal/journal.h"
#include "journal/log_format.h"
#include "sim/sim.h"
#include "tests/fuzz/fuzz.h"

enum { FUZZ_FILES = 8, FUZZ_BYTES = 1 << 17, FUZZ_REPAIR = 0x80 };

struct fuzz_file {
    char name[ENV_NAME_MAX];
    uint8_t *b;
    uint32_t n;
};

struct fuzz {
    struct mem mem;
    struct sim *s;
    struct sim_node *n;
    struct journal *j;
    struct journal_host host;
    enum journal_role role;
    uint32_t pieces;
};

static struct fuzz_file fuzz_good[FUZZ_FILES];
static uint32_t fuzz_n;

static void fuzz_apply(struct journal_host *h, uint64_t index, const void *rec, uint32_t len)
{
    static volatile uint8_t sum;
    (void)h;
    (void)index;
    for (uint32_t i = 0; i < len; i++) /* all of it is readable */
        sum = sum ^ ((const uint8_t *)rec)[i];
}

static void fuzz_role(struct journal_host *h, enum journal_role role, uint64_t epoch, int why)
{
    (void)epoch;
    (void)why;
    container_of(h, struct fuzz, host)->role = role;
}

static void fuzz_image_begin(struct journal_host *h)
{
    container_of(h, struct fuzz, host)->pieces = 3;
}

static uint32_t fuzz_image_next(struct journal_host *h, void *buf, uint32_t cap)
{
    struct fuzz *f = container_of(h, struct fuzz, host);
    (void)cap;
    memset(buf, 7, 3000);
    return f->pieces && f->pieces-- ? 3000 : 0;
}

static void fuzz_image_end(struct journal_host *h)
{
    (void)h;
}

static int fuzz_image_load(struct journal_host *h, const void *piece, uint32_t len)
{
    fuzz_apply(h, 0, piece, len);
    return 0;
}

static void fuzz_open(struct fuzz *f)
{
    struct sim_config c = sim_config_quiet(1);
    memset(f, 0, sizeof *f);
    fuzz_mem(&f->mem, 1 << 30);
    f->s = sim_open(&f->mem, &c);
    f->n = sim_node_add(f->s, "m");
    f->host = (struct journal_host){.apply = fuzz_apply,
                                    .role = fuzz_role,
                                    .image_begin = fuzz_image_begin,
                                    .image_next = fuzz_image_next,
                                    .image_end = fuzz_image_end,
                                    .image_load = fuzz_image_load};
}

static void fuzz_start(struct fuzz *f)
{
    struct journal_config c = journal_config_default();
    c.segment_bytes = 48 << 10;
    c.batch_bytes = 4096;
    c.batches_in_flight = 2;
    c.queue_bytes = 32 << 10;
    c.cluster_hi = c.cluster_lo = 1;
    f->j = local_open(sim_node_up(f->n), sim_mem(f->n), &c, &f->host);
    ASSERT(f->j);
    for (int i = 0; i < 100000 && f->role == JOURNAL_STARTING; i++)
        sim_step(f->s);
    ASSERT(f->role != JOURNAL_STARTING);
}

static void fuzz_stop(struct fuzz *f)
{
    struct env_op op = {0};
    journal_stop(f->j, &op);
    ASSERT(sim_run_op(f->s, &op, 60000000000LL) == 0);
    sim_node_crash(f->n);
}

static void fuzz_close(struct fuzz *f)
{
    sim_close(f->s);
    mem_drop(&f->mem);
}

static int64_t fuzz_submit(struct fuzz *f, uint32_t len)
{
    static const uint8_t rec[3000];
    struct env_op op = {0};
    journal_submit(f->j, rec, len, &op);
    return sim_run_op(f->s, &op, 60000000000LL);
}

static void fuzz_make_good(void)
{
    static struct fuzz f;
    struct env_op op = {0};
    fuzz_open(&f);
    fuzz_start(&f);
    for (int i = 0; i < 24; i++) {
        ASSERT(fuzz_submit(&f, i % 3 ? 50 : 2500) > 0);
        if (i == 4 || i == 14) {
            journal_image_now(f.j, &op);
            ASSERT(sim_run_op(f.s, &op, 60000000000LL) > 0);
        }
    }
    fuzz_stop(&f);
    const char *at = "";
    for (const char *name; (name = sim_disk_next(f.n, at)); at = name) {
        if (!strcmp(name, "wal.new") || !strcmp(name, "journal.reserve"))
            continue;
        ASSERT(fuzz_n < FUZZ_FILES);
        struct fuzz_file *g = &fuzz_good[fuzz_n++];
        memcpy(g->name, name, strlen(name) + 1);
        g->n = (uint32_t)sim_disk_size(f.n, name);
        g->b = malloc(FUZZ_BYTES);
        ASSERT(g->b && g->n <= FUZZ_BYTES);
        ASSERT(sim_disk_read(f.n, name, g->b, g->n, 0) == g->n);
    }
    fuzz_close(&f);
}

static void fuzz_repair(uint8_t *b, uint32_t left)
{
    struct log_head h;
    struct log_batch x;
    memcpy(&h, b, sizeof h);
    if (h.magic == LOG_BATCH_MAGIC) {
        memcpy(&x, b, sizeof x);
        if (x.payload_len <= left - sizeof x)
            x.payload_crc = crc_update(0, b + sizeof x, x.payload_len);
        memcpy(b, &x, sizeof x);
        log_format_seal(b, sizeof x, h.magic);
    } else {
        log_format_seal(b, LOG_BLOCK, h.magic);
    }
}

static void fuzz_edit(struct fuzz_file *g, const uint8_t *e, uint32_t len)
{
    uint32_t at = ((uint32_t)e[2] % (g->n / LOG_BLOCK)) * LOG_BLOCK + (e[1] & 0x7fu);
    for (uint32_t i = 0; i < len && at + i < g->n; i++)
        g->b[at + i] = e[4 + i];
    if (e[0] & FUZZ_REPAIR)
        fuzz_repair(g->b + at / LOG_BLOCK * LOG_BLOCK, g->n - at / LOG_BLOCK * LOG_BLOCK);
}

static void fuzz_write(struct fuzz *f, const struct fuzz_file *g)
{
    struct env *e = sim_env(f->n);
    struct env_file *file;
    struct env_op op = {0};
    env_open(e, g->name, ENV_O_WRITE | ENV_O_CREATE, &file, &op);
    ASSERT(sim_run_op(f->s, &op, 60000000000LL) == 0);
    env_write(file, g->b, g->n, 0, &op);
    ASSERT(sim_run_op(f->s, &op, 60000000000LL) == g->n);
    env_close(file, &op);
    ASSERT(sim_run_op(f->s, &op, 60000000000LL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz f;
    static struct fuzz_file now[FUZZ_FILES];
    static uint8_t bytes[FUZZ_FILES][FUZZ_BYTES], after[FUZZ_BYTES];
    if (!fuzz_n)
        fuzz_make_good();
    for (uint32_t i = 0; i < fuzz_n; i++) {
        now[i] = fuzz_good[i];
        now[i].b = bytes[i];
        memcpy(bytes[i], fuzz_good[i].b, fuzz_good[i].n);
    }
    for (size_t at = 0; at + 4 <= size;) {
        uint32_t len = (uint32_t)base_min_u64(data[at + 3], size - at - 4);
        fuzz_edit(&now[(data[at] & 0x7fu) % fuzz_n], data + at, len);
        at += 4 + len;
    }
    fuzz_open(&f);
    sim_node_up(f.n);
    for (uint32_t i = 0; i < fuzz_n; i++)
        fuzz_write(&f, &now[i]);
    sim_node_crash(f.n);
    fuzz_start(&f);
    if (f.role == JOURNAL_LEADER)
        ASSERT(fuzz_submit(&f, 100) > 0);
    fuzz_stop(&f);
    for (uint32_t i = 0; i < fuzz_n && f.role == JOURNAL_FAILED; i++) {
        ASSERT(sim_disk_read(f.n, now[i].name, after, FUZZ_BYTES, 0) == now[i].n);
        ASSERT(!memcmp(after, now[i].b, now[i].n));
    }
    fuzz_close(&f);
    return 0;
}
