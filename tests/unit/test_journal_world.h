/* tests/unit/test_journal_world.h - one master's local journal on a hostile disk in memory, whose
 * every operation a test can fail or look at: a block of the log that holds something is only ever
 * overwritten with zeros. */
#ifndef TESTS_UNIT_TEST_JOURNAL_WORLD_H
#define TESTS_UNIT_TEST_JOURNAL_WORLD_H

#include "core/crc.h"
#include "tests/unit/test_journal_host.h"
#include "tests/unit/test_wal_fake.h"

static struct world world_one;
static struct fake fake_one;

static void world_patience(struct world *w)
{
    w->patience = 200000; /* events */
}

static bool world_step(struct world *w)
{
    return w->patience-- > 0 && fake_step(w->f);
}

static void world_open(struct world *w)
{
    unit_mem(&w->mem, 256 << 20);
    w->no_reset = w->next_id % 2 == 0;
    world_open_in(w, &w->f->env, &w->mem);
}

static void world_crash(struct world *w, bool power)
{
    if (power)
        fake_power_loss(w->f);
    else
        fake_kill(w->f);
    mem_drop(&w->mem);
    w->j = NULL;
}

/* everything that can happen without more input; timers go on for a while */
static UNUSED void world_settle(struct world *w)
{
    for (int i = 0; i < 20000; i++)
        if (!fake_step(w->f))
            break;
}

static void world_stop(struct world *w)
{
    world_until_stopped(w);
    if (w->stopped) {
        CU_ASSERT_EQUAL(w->f->n_ops, 0);
        for (unsigned k = 0; k < ARRAY_LEN(w->f->open_files); k++)
            CU_ASSERT_PTR_NULL(w->f->open_files[k]);
    }
    mem_drop(&w->mem);
    fake_forget(w->f);
    w->j = NULL;
}

/* a block of a segment that holds something may only become zeros */
static void world_on_write(struct fake *f, const char *name, const void *b, uint32_t len,
                           uint64_t off)
{
    static const uint8_t zero[LOG_BLOCK];
    struct fake_inode *n = fake_file(f, name);
    if (strncmp(name, "j/wal-", 6) || !n)
        return;
    for (uint32_t at = 0; at < len && off + at < n->size; at += LOG_BLOCK)
        EXPECT(&world_one, !memcmp(n->now + off + at, zero, LOG_BLOCK) ||
                               !memcmp((const uint8_t *)b + at, zero, LOG_BLOCK));
}

static void world_init(struct world *w, struct fake *f, uint64_t seed)
{
    world_init_truth(w, seed);
    fake_init(f, seed);
    w->f = f;
    f->on_write = world_on_write;
}

static void world_drop(struct world *w)
{
    if (w->j)
        world_crash(w, false);
    fake_drop(w->f);
    world_drop_truth(w);
}

#endif
