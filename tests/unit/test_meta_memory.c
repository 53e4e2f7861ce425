/* tests/unit/test_meta_memory.c - the budget of the state: growth is refused before it is used up,
 * by every machine that applies the same records alike, and never by a panic.
 *
 * The machine under test has just the memory that its limit promises to need, so any growth that is
 * not refused in time ends the program. */
#include "core/fmt.h"
#include "core/store.h"
#include "tests/unit/test_meta.h"

enum { MEMORY_MAX = META_BYTES_LEAST, MEMORY_SESSIONS = 200 };

static struct kit k, k2;
static bool imaging; /* of k */
static char name[256], target[4096], value[LIMIT_XATTR_VALUE];

static void memory_open(struct kit *kit)
{
    memset(kit, 0, sizeof *kit);
    /* state, a copy of each page, the lists of pages */
    unit_mem(&kit->mem, 2 * (uint64_t)MEMORY_MAX + MEMORY_MAX / 64 + (1 << 20));
    struct meta_limits limits = {.inodes_max = 1 << 30, .sessions_max = MEMORY_SESSIONS};
    CU_ASSERT_EQUAL_FATAL(meta_open(&kit->mem, &limits, &kit->m), 0);
}

static uint64_t memory_bytes(const struct kit *kit)
{
    struct meta_stats st;
    meta_stats(kit->m, &st);
    return st.bytes;
}

static struct fsop memory_limits(uint64_t bytes)
{
    return (struct fsop){
        .kind = FSOP_LIMITS, .size = 1 << 30, .arg = MEMORY_SESSIONS, .mtime_ns = (int64_t)bytes};
}

struct memory_load {
    struct prng p;
    struct session_id session[MEMORY_SESSIONS];
    uint64_t seq[MEMORY_SESSIONS];
    uint32_t n_sessions, dirs, made;
    bool through;
};

/* any growth that a client can cause, with names of all lengths; rarely a removal */
static struct fsop memory_op(struct memory_load *l)
{
    struct fsop op = {.ino = INO_ROOT, .uid = 0, .mode = FSOP_S_IFREG | 0644};
    uint64_t dice = prng_below(&l->p, 100);
    struct ino any = {1 + prng_below(&l->p, l->made + 1)};
    uint32_t n = (uint32_t)fmt_into(name, sizeof name, "%llu-",
                                    (unsigned long long)prng_below(&l->p, l->made + 100));
    uint32_t more =
        prng_below(&l->p, 4) ? (uint32_t)prng_below(&l->p, 12) : (uint32_t)prng_below(&l->p, 230);
    memset(name + n, 'n', more);
    op.name = name;
    op.name_len = n + more;
    if (dice < 40) {
        op.kind = FSOP_MKNOD;
    } else if (dice < 45) {
        op.kind = FSOP_MKDIR;
    } else if (dice < 52) {
        op.kind = FSOP_SYMLINK;
        op.data = target;
        op.data_len = 1 + (uint32_t)prng_below(&l->p, sizeof target - 2);
    } else if (dice < 60) {
        op.kind = FSOP_SETXATTR;
        op.ino = any;
        op.name = "user.x";
        op.name_len = 6;
        op.data = value;
        op.data_len = (uint32_t)prng_below(&l->p, prng_below(&l->p, 10) ? 300 : sizeof value);
    } else if (dice < 65) {
        op.kind = FSOP_LINK;
        op.ino = any;
        op.ino2 = INO_ROOT;
    } else if (dice < 75) {
        op.kind = FSOP_RENAME;
        op.ino2 = INO_ROOT;
        op.name2 = target;
        op.name2_len = 1 + (uint32_t)prng_below(&l->p, 254);
    } else if (dice < 85) {
        op.kind = FSOP_WRITE_OPEN;
        op.ino = any;
    } else if (dice < 90) {
        op.kind = FSOP_SESSION_OPEN;
    } else {
        op.kind = FSOP_UNLINK;
    }
    if (op.kind != FSOP_SESSION_OPEN && l->n_sessions) {
        uint32_t s = (uint32_t)prng_below(&l->p, l->n_sessions);
        op.session = l->session[s];
        if (prng_below(&l->p, 2)) /* no answer to keep: only growth itself is in question */
            return op;
        op.seq = ++l->seq[s];
        op.acked = op.seq < 600 ? 1 : op.seq - prng_below(&l->p, 600); /* large windows */
    }
    return op;
}

static void memory_learn(struct memory_load *l, const struct fsop *op, const struct kit *kit)
{
    if (kit->r.reply.err)
        return;
    if (op->kind == FSOP_SESSION_OPEN) {
        l->seq[l->n_sessions] = 0;
        l->session[l->n_sessions++].v = kit->r.reply.value;
    }
    if (op->kind == FSOP_MKNOD || op->kind == FSOP_MKDIR || op->kind == FSOP_SYMLINK)
        l->made++;
}

/* now and then an image is begun, drained bit by bit, dropped or finished */
static void memory_image(struct kit *kit, struct prng *p)
{
    static uint8_t piece[4096];
    if (!imaging && prng_below(p, 50) == 0) {
        meta_image_begin(kit->m);
        imaging = true;
    } else if (imaging && meta_image_next(kit->m, piece, 1 + (uint32_t)prng_below(p, 600)) == 0) {
        meta_image_end(kit->m);
        imaging = false;
    }
}

static void memory_run(bool through)
{
    struct memory_load l = {.through = through};
    struct prng images;
    uint32_t full = 0, refused[2] = {0, 0};
    memset(target, 't', sizeof target);
    prng_seed(&l.p, 5, "memory", through);
    prng_seed(&images, 6, "memory", through);
    memory_open(&k);
    memory_open(&k2);
    CU_ASSERT_EQUAL(kit_apply(&k, memory_limits(MEMORY_MAX)), 0);
    CU_ASSERT_EQUAL(kit_apply(&k2, memory_limits(MEMORY_MAX)), 0);
    if (through) {
        struct fsop mount = {
            .kind = FSOP_MOUNT, NAME("/"), DATA("dir:/x"), .arg = FSOP_MOUNT_THROUGH};
        CU_ASSERT_EQUAL(kit_apply(&k, mount), 0);
        CU_ASSERT_EQUAL(kit_apply(&k2, mount), 0);
    }
    for (int step = 0; step < 200000; step++) {
        struct fsop op = memory_op(&l);
        op.flags |= through ? FSOP_F_ABSENT : 0;
        struct meta_intent i;
        if (through && prng_below(&l.p, 3) == 0 && meta_intent_next(k.m, 0, &i) == 0)
            op = (struct fsop){
                .kind = FSOP_OUTCOME, .arg = i.id, .err = prng_below(&l.p, 5) ? 0 : E_IO};
        int err = kit_apply(&k, op);
        CU_ASSERT_EQUAL_FATAL(kit_apply(&k2, op), err);
        CU_ASSERT_EQUAL_FATAL(k.r.is_full, k2.r.is_full);
        full += k.r.is_full;
        refused[0] += k.r.is_full && err == E_NOSPC;
        refused[1] += k.r.is_full && err == E_AGAIN;
        memory_learn(&l, &op, &k);
        memory_image(&k, &images);
        if (step % 30000 == 10000) { /* the other one continues from an image */
            meta_close(k2.m);
            mem_drop(&k2.mem);
            memory_open(&k2);
            meta_image_end(k.m);
            imaging = false;
            CU_ASSERT_EQUAL_FATAL(kit_copy(&k, &k2, 60000), 0);
            CU_ASSERT_EQUAL(memory_bytes(&k), memory_bytes(&k2));
        }
        CU_ASSERT_FATAL(memory_bytes(&k) <= MEMORY_MAX);
    }
    CU_ASSERT(full > 1000 && refused[0] > 1000 && refused[1] > 10);
    CU_ASSERT(memory_bytes(&k) > MEMORY_MAX / 2);
    CU_ASSERT_EQUAL(meta_hash(k.m), meta_hash(k2.m));
    meta_image_end(k.m);
    imaging = false;
    kit_close(&k);
    kit_close(&k2);
}

static void test_memory_of_names(void)
{
    memory_run(false);
}

static void test_memory_of_intents(void)
{
    memory_run(true);
}

/* each thing that can grow alone is refused at the soft limit, which leaves room for the rest */
static void memory_fill(uint16_t kind)
{
    enum { FILES = 4000, SOFT = MEMORY_MAX - MEMORY_MAX / 16 - (4 << 20) };
    struct session_id session[MEMORY_SESSIONS] = {{0}};
    uint32_t n = 0;
    int err = 0;
    memory_open(&k);
    CU_ASSERT_EQUAL(kit_apply(&k, memory_limits(MEMORY_MAX)), 0);
    for (int i = 0; i < MEMORY_SESSIONS; i++)
        session[i] = kit_session(&k);
    for (int i = 0; i < FILES; i++) {
        fmt_into(name, sizeof name, "file-%d", i);
        kit_make(&k, FSOP_MKNOD, INO_ROOT, name);
    }
    for (; err == 0 && n < 10000000; n++) {
        struct fsop op = {.kind = kind, .ino = {2 + n % FILES}, .mode = FSOP_S_IFREG | 0644};
        fmt_into(name, sizeof name, "more-%u", n);
        if (kind == FSOP_LINK)
            op.ino2 = INO_ROOT;
        else if (kind == FSOP_WRITE_OPEN)
            op.session = session[n / FILES % MEMORY_SESSIONS];
        else if (kind != FSOP_SETXATTR)
            op.ino = INO_ROOT;
        op.name = kind == FSOP_SETXATTR ? "user.x" : name;
        op.name_len = (uint32_t)strlen(op.name);
        op.data = kind == FSOP_SETXATTR ? value : target;
        op.data_len = kind == FSOP_SETXATTR ? sizeof value : kind == FSOP_SYMLINK ? 4000 : 0;
        err = kit_apply(&k, op);
    }
    CU_ASSERT_EQUAL(err, E_NOSPC);
    CU_ASSERT(k.r.is_full);
    /* an operation asks for its parts one by one */
    CU_ASSERT(memory_bytes(&k) <= SOFT + 4 * STORE_PAGE);
    CU_ASSERT(memory_bytes(&k) > SOFT - (1 << 20));
    kit_close(&k);
}

static void test_memory_fills_by_one_thing(void)
{
    static const uint16_t kinds[] = {FSOP_MKNOD,   FSOP_MKDIR,    FSOP_LINK,
                                     FSOP_SYMLINK, FSOP_SETXATTR, FSOP_WRITE_OPEN};
    memset(target, 't', sizeof target);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        memory_fill(kinds[i]);
}

/* what is removed makes room again, though pages are never given back */
static void test_memory_comes_back(void)
{
    uint32_t n = 0, again = 0;
    memory_open(&k);
    CU_ASSERT_EQUAL(kit_apply(&k, memory_limits(MEMORY_MAX)), 0);
    for (int round = 0; round < 2; round++) {
        uint32_t *made = round ? &again : &n;
        for (*made = 0;; ++*made) {
            fmt_into(name, sizeof name, "file-%u", *made);
            if (kit_apply(&k, (struct fsop){.kind = FSOP_MKNOD, .ino = INO_ROOT, NAME(name)}))
                break;
        }
        CU_ASSERT_EQUAL(k.r.reply.err, E_NOSPC);
        CU_ASSERT(k.r.is_full);
        for (uint32_t i = 0; i < *made && !round; i++) {
            fmt_into(name, sizeof name, "file-%u", i);
            struct ino ino = kit_find(&k, INO_ROOT, name);
            CU_ASSERT_EQUAL_FATAL(
                kit_apply(&k, (struct fsop){.kind = FSOP_UNLINK, .ino = INO_ROOT, NAME(name)}), 0);
            CU_ASSERT_EQUAL_FATAL(kit_apply(&k, (struct fsop){.kind = FSOP_RECLAIM, .ino = ino}),
                                  0);
        }
    }
    CU_ASSERT(n > 50000);
    CU_ASSERT(again >= n);
    /* a higher limit is a record too; one too low to work with is refused */
    CU_ASSERT_EQUAL(kit_apply(&k, memory_limits(MEMORY_MAX - 1)), E_INVAL);
    CU_ASSERT_EQUAL(kit_apply(&k, memory_limits(2 * (uint64_t)MEMORY_MAX)), 0);
    CU_ASSERT_EQUAL(meta_limits(k.m).bytes_max, 2 * (uint64_t)MEMORY_MAX);
    CU_ASSERT_EQUAL(kit_apply(&k, (struct fsop){.kind = FSOP_MKNOD, .ino = INO_ROOT, NAME("x")}),
                    0);
    kit_close(&k);
}

UNIT_MAIN("meta_memory", UNIT(test_memory_of_names), UNIT(test_memory_of_intents),
          UNIT(test_memory_fills_by_one_thing), UNIT(test_memory_comes_back))
