/* tests/unit/test_meta_model.c - random operations against a naive second model; images cut in the
 * middle; listings under mutation; THROUGH mounts with outcomes at random. */
#include "tests/unit/test_meta.h"

/* ---- the model: a flat array of (parent, name, node) and an array of nodes; everything by search
 */

enum { MODEL_NAMES = 12, MODEL_NODES = 400, MODEL_ENTRIES = 600 };

struct model_node {
    bool used, dir;
    uint32_t links;
    struct ino ino;
};

struct model_entry {
    bool used;
    int parent, node;
    char name[4];
};

struct model {
    struct model_node node[MODEL_NODES]; /* 0 is the root */
    struct model_entry entry[MODEL_ENTRIES];
};

static struct model model;
static struct kit k, k2;
static struct kit *on = &k; /* the machine that the model follows */

static int model_find(int parent, const char *name)
{
    for (int e = 0; e < MODEL_ENTRIES; e++)
        if (model.entry[e].used && model.entry[e].parent == parent &&
            !strcmp(model.entry[e].name, name))
            return e;
    return -1;
}

static bool model_empty(int dir)
{
    for (int e = 0; e < MODEL_ENTRIES; e++)
        if (model.entry[e].used && model.entry[e].parent == dir)
            return false;
    return true;
}

static bool model_below(int node, int top)
{
    while (node != top) {
        int e = 0;
        if (node == 0)
            return false;
        while (!(model.entry[e].used && model.entry[e].node == node))
            e++;
        node = model.entry[e].parent;
    }
    return true;
}

static void model_add(int parent, const char *name, int node)
{
    int e = 0;
    while (model.entry[e].used)
        e++;
    model.entry[e] = (struct model_entry){.used = true, .parent = parent, .node = node};
    strcpy(model.entry[e].name, name);
    model.node[node].links++;
}

static int model_new(bool dir, struct ino ino)
{
    int n = 0;
    while (model.node[n].used)
        n++;
    model.node[n] = (struct model_node){.used = true, .dir = dir, .ino = ino};
    return n;
}

static void model_drop(int e)
{
    struct model_node *n = &model.node[model.entry[e].node];
    model.entry[e].used = false;
    if (--n->links == 0)
        n->used = false;
}

static int model_count(void)
{
    int n = 0;
    for (int i = 0; i < MODEL_ENTRIES; i++)
        n += model.entry[i].used;
    return n;
}

static int model_create(int parent, const char *name)
{
    if (!model.node[parent].dir)
        return E_NOTDIR;
    return model_find(parent, name) >= 0 ? E_EXIST : 0;
}

static int model_remove(bool dir, int parent, const char *name)
{
    if (!model.node[parent].dir)
        return E_NOTDIR;
    int e = model_find(parent, name);
    if (e < 0)
        return E_NOENT;
    int n = model.entry[e].node;
    if (dir != model.node[n].dir)
        return dir ? E_NOTDIR : E_ISDIR;
    if (dir && !model_empty(n))
        return E_NOTEMPTY;
    model_drop(e);
    return 0;
}

static int model_rename_over(int e, int e2, uint16_t flags)
{
    int n = model.entry[e].node, n2 = model.entry[e2].node;
    if (flags & FSOP_F_NOREPLACE)
        return E_EXIST;
    if (n == n2)
        return 0;
    if (model.node[n2].dir && model_below(model.entry[e].parent, n2))
        return flags & FSOP_F_EXCHANGE ? E_INVAL : E_NOTEMPTY;
    if (flags & FSOP_F_EXCHANGE) {
        model.entry[e].node = n2;
        model.entry[e2].node = n;
        return 0;
    }
    if (model.node[n].dir != model.node[n2].dir)
        return model.node[n].dir ? E_NOTDIR : E_ISDIR;
    if (model.node[n2].dir && !model_empty(n2))
        return E_NOTEMPTY;
    model_drop(e2);
    model.entry[e2] = model.entry[e];
    model.entry[e].used = false;
    return 1; /* the target's parent and name are filled in by the caller */
}

static int model_rename(int p, const char *name, int p2, const char *name2, uint16_t flags)
{
    if (!model.node[p].dir || !model.node[p2].dir)
        return E_NOTDIR;
    int e = model_find(p, name), e2 = model_find(p2, name2);
    if (e < 0 || ((flags & FSOP_F_EXCHANGE) && e2 < 0))
        return E_NOENT;
    if (model.node[model.entry[e].node].dir && model_below(p2, model.entry[e].node))
        return E_INVAL;
    if (e2 >= 0) {
        int err = model_rename_over(e, e2, flags);
        if (err != 1)
            return err;
        e = e2;
    }
    model.entry[e].parent = p2;
    strcpy(model.entry[e].name, name2);
    return 0;
}

/* ---- the comparison */

static void model_compare(void)
{
    uint32_t listed = 0, entries = 0;
    for (int e = 0; e < MODEL_ENTRIES; e++) {
        if (!model.entry[e].used)
            continue;
        entries++;
        struct ino ino = kit_find(on, model.node[model.entry[e].parent].ino, model.entry[e].name);
        CU_ASSERT_EQUAL_FATAL(ino.v, model.node[model.entry[e].node].ino.v);
        struct fsattr a = kit_attr(on, ino);
        if (!model.node[model.entry[e].node].dir)
            CU_ASSERT_EQUAL(a.nlink, model.node[model.entry[e].node].links);
    }
    for (int n = 0; n < MODEL_NODES; n++)
        if (model.node[n].used && model.node[n].dir)
            listed += (uint32_t)kit_attr(on, model.node[n].ino).size;
    CU_ASSERT_EQUAL(listed, entries);
    kit_check(on);
}

static struct fsop random_op(struct prng *p, const char **names, int *ret_p, int *ret_p2)
{
    static const uint16_t kinds[] = {FSOP_MKNOD,  FSOP_MKNOD, FSOP_MKDIR,  FSOP_MKDIR, FSOP_LINK,
                                     FSOP_UNLINK, FSOP_RMDIR, FSOP_RENAME, FSOP_RENAME};
    static const uint16_t flags[] = {0, 0, 0, FSOP_F_NOREPLACE, FSOP_F_EXCHANGE};
    int live[MODEL_NODES], n = 0;
    for (int i = 0; i < MODEL_NODES; i++)
        if (model.node[i].used)
            live[n++] = i;
    *ret_p = live[prng_below(p, (uint64_t)n)];
    *ret_p2 = live[prng_below(p, (uint64_t)n)];
    struct fsop op = {.kind = kinds[prng_below(p, ARRAY_LEN(kinds))]};
    op.ino = model.node[*ret_p].ino;
    op.name = names[prng_below(p, MODEL_NAMES)];
    op.name_len = (uint32_t)strlen(op.name);
    if (op.kind == FSOP_RENAME || op.kind == FSOP_LINK)
        op.ino2 = model.node[*ret_p2].ino;
    if (op.kind == FSOP_RENAME) {
        op.name2 = names[prng_below(p, MODEL_NAMES)];
        op.name2_len = (uint32_t)strlen(op.name2);
        op.flags = flags[prng_below(p, ARRAY_LEN(flags))];
    }
    if (model_count() > MODEL_NODES - 10 && op.kind <= FSOP_LINK)
        op.kind = FSOP_UNLINK; /* an entry per node at least: both arrays stay within bounds */
    return op;
}

static int model_apply(const struct fsop *op, int p, int p2)
{
    switch (op->kind) {
    case FSOP_MKNOD:
    case FSOP_MKDIR:
        return model_create(p, op->name);
    case FSOP_LINK:
        if (!model.node[p2].dir)
            return E_NOTDIR;
        if (model.node[p].dir)
            return E_PERM;
        return model_find(p2, op->name) >= 0 ? E_EXIST : 0;
    case FSOP_RENAME:
        return model_rename(p, op->name, p2, op->name2, op->flags);
    default:
        return model_remove(op->kind == FSOP_RMDIR, p, op->name);
    }
}

static const char *model_names[MODEL_NAMES] = {"a", "b", "c", "d", "e", "f",
                                               "g", "h", "i", "j", "k", "l"};

static void model_start(void)
{
    memset(&model, 0, sizeof model);
    model.node[0] = (struct model_node){.used = true, .dir = true, .links = 1, .ino = INO_ROOT};
}

static void model_step(struct prng *rng)
{
    int p, p2;
    struct fsop op = random_op(rng, model_names, &p, &p2);
    int want = model_apply(&op, p, p2), got = kit_apply(on, op);
    if (want != got)
        fprintf(stderr, "record %llu: %s %s: model %s, machine %s\n", (unsigned long long)on->index,
                fsop_kind_name(op.kind), op.name, err_name(want), err_name(got));
    CU_ASSERT_EQUAL_FATAL(want, got);
    if (!got && (op.kind == FSOP_MKNOD || op.kind == FSOP_MKDIR))
        model_add(p, op.name, model_new(op.kind == FSOP_MKDIR, on->r.reply.attr.ino));
    if (!got && op.kind == FSOP_LINK)
        model_add(p2, op.name, p);
    struct ino o = meta_orphan_next(on->m, (struct ino){0});
    if (o.v && prng_below(rng, 4) == 0)
        CU_ASSERT_EQUAL(kit_apply(on, (struct fsop){.kind = FSOP_RECLAIM, .ino = o}), 0);
}

static void test_model_agrees(void)
{
    struct prng rng;
    kit_open(&k, 100000);
    model_start();
    prng_seed(&rng, 11, "model", 0);
    for (int i = 0; i < 100000; i++) {
        model_step(&rng);
        if (i % 2000 == 0)
            model_compare();
    }
    model_compare();
    kit_close(&k);
}

/* A machine loaded from an image cut while records went on is the same machine from there on. */
static void test_model_images(void)
{
    static uint8_t image[1 << 20], piece[3000];
    struct prng rng, twin;
    for (uint64_t seed = 0; seed < 6; seed++) {
        kit_open(&k, 100000);
        kit_open(&k2, 100000);
        model_start();
        prng_seed(&rng, seed, "image", 0);
        for (int i = 0; i < 1500; i++)
            model_step(&rng);
        uint64_t at = k.index, hash = meta_hash(k.m);
        struct model model_at = model;
        uint32_t len = 0, n;
        twin = rng;
        meta_image_begin(k.m);
        while ((n = meta_image_next(k.m, piece, 1 + (uint32_t)(len * 7 % sizeof piece)))) {
            CU_ASSERT_FATAL(len + n <= sizeof image);
            memcpy(image + len, piece, n);
            len += n;
            for (int i = 0; i < 5; i++)
                model_step(&rng);
        }
        meta_image_end(k.m);
        uint64_t end = k.index, hash_end = meta_hash(k.m);
        for (uint32_t off = 0; off < len; off += n) {
            n = len - off < 12345 ? len - off : 12345;
            CU_ASSERT_EQUAL_FATAL(meta_image_load(k2.m, image + off, n), 0);
        }
        CU_ASSERT_EQUAL_FATAL(meta_image_load(k2.m, image, 0), 0);
        kit_close(&k);
        on = &k2; /* the loaded one takes over */
        CU_ASSERT_EQUAL(meta_applied(k2.m), at);
        CU_ASSERT_EQUAL(meta_hash(k2.m), hash);
        k2.index = at;
        kit_check(&k2);
        model = model_at;
        rng = twin;
        while (k2.index < end)
            model_step(&rng);
        CU_ASSERT_EQUAL(k2.index, end);
        CU_ASSERT_EQUAL(meta_hash(k2.m), hash_end);
        kit_close(&k2);
        on = &k;
    }
}

/* ---- listings: every name there during the whole listing appears exactly once */

static void test_model_listing_under_mutation(void)
{
    enum { STABLE = 300 };
    struct prng rng;
    prng_seed(&rng, 21, "listing", 0);
    for (int round = 0; round < 20; round++) {
        char name[16];
        unsigned seen[STABLE] = {0};
        uint64_t cookie = 0;
        kit_open(&k, 100000);
        for (int i = 0; i < STABLE; i++) {
            snprintf(name, sizeof name, "stay%d", i);
            kit_make(&k, FSOP_MKNOD, INO_ROOT, name);
            snprintf(name, sizeof name, "go%d", i);
            kit_make(&k, FSOP_MKNOD, INO_ROOT, name);
        }
        for (bool eof = false; !eof;) {
            CU_ASSERT_EQUAL_FATAL(
                kit_query(&k, (struct fsop){.kind = FSOP_READDIR,
                                            .ino = INO_ROOT,
                                            .arg = cookie,
                                            .size = 200 + prng_below(&rng, 2000)}),
                0);
            struct rbuf r = rbuf_make(k.q.data, k.q.data_len);
            struct fsop_dirent d;
            while (rbuf_left(&r)) {
                CU_ASSERT_EQUAL_FATAL(fsop_dirent_get(&r, &d), 0);
                CU_ASSERT(d.cookie > cookie && d.cookie <= INT64_MAX);
                cookie = d.cookie;
                snprintf(name, sizeof name, "%.*s", (int)d.name_len, d.name);
                if (!memcmp(name, "stay", 4))
                    seen[strtoul(name + 4, NULL, 10)]++;
            }
            eof = k.q.flags & FSOP_R_EOF;
            for (int i = 0; i < 20; i++) {
                char to[16];
                snprintf(name, sizeof name, "go%d", (int)prng_below(&rng, STABLE * 2));
                snprintf(to, sizeof to, "stay%d", (int)prng_below(&rng, STABLE));
                uint64_t what = prng_below(&rng, 3);
                if (what == 0) /* replaces a stable name: the name stays */
                    kit_apply(&k, (struct fsop){.kind = FSOP_RENAME,
                                                .ino = INO_ROOT,
                                                NAME(name),
                                                .ino2 = INO_ROOT,
                                                NAME2(to)});
                else
                    kit_apply(&k, (struct fsop){.kind = what == 1 ? FSOP_UNLINK : FSOP_MKNOD,
                                                .ino = INO_ROOT,
                                                NAME(name)});
            }
            if (prng_below(&rng, 4) == 0) { /* a restart in between */
                kit_open(&k2, 100000);
                CU_ASSERT_EQUAL_FATAL(kit_copy(&k, &k2, 5000), 0);
                CU_ASSERT_EQUAL(meta_hash(k.m), meta_hash(k2.m));
                meta_close(k.m);
                mem_drop(&k.mem);
                kit_open(&k, 100000);
                CU_ASSERT_EQUAL_FATAL(kit_copy(&k2, &k, 5000), 0);
                kit_close(&k2);
            }
        }
        for (int i = 0; i < STABLE; i++)
            CU_ASSERT_EQUAL(seen[i], 1);
        kit_close(&k);
    }
}

/* ---- THROUGH with everything at random: two machines, the second restarted from images */

static void chaos_data(struct prng *p, struct fsop *op, uint8_t *b, size_t cap)
{
    static const uint32_t types[] = {FSOP_S_IFREG, FSOP_S_IFDIR, FSOP_S_IFLNK, 0};
    struct wbuf w = wbuf_make(b, cap);
    uint64_t n = prng_below(p, 5);
    for (uint64_t i = 0; i < n; i++) {
        const char *name = model_names[prng_below(p, MODEL_NAMES)];
        struct fsent e = {NAME(name), .mode = types[prng_below(p, 4)] | 0755,
                          .fp = prng_below(p, 4), .size = prng_below(p, 100)};
        if ((e.mode & FSOP_S_IFMT) == 0)
            e.mode = 0;
        if (op->kind != FSOP_LOAD || prng_below(p, 8) == 0)
            e.name_len = 0;
        e.target = "t";
        e.target_len = 1;
        fsop_ent_put(&w, &e);
    }
    op->data = b;
    op->data_len = (uint32_t)w.len;
}

static struct fsop chaos_op(struct prng *p, uint8_t *b, size_t cap, const uint64_t *inos,
                            const uint64_t *intents, const struct session_id *ses, uint64_t *seqs)
{
    static const uint16_t kinds[] = {
        FSOP_MKNOD,       FSOP_MKNOD,    FSOP_MKDIR,       FSOP_MKDIR,      FSOP_SYMLINK,
        FSOP_LINK,        FSOP_UNLINK,   FSOP_RMDIR,       FSOP_RENAME,     FSOP_RENAME,
        FSOP_SETATTR,     FSOP_LOAD,     FSOP_LOAD,        FSOP_REFRESH,    FSOP_OUTCOME,
        FSOP_OUTCOME,     FSOP_OUTCOME,  FSOP_OUTCOME,     FSOP_OUTCOME,    FSOP_RECLAIM,
        FSOP_WRITE_CLOSE, FSOP_SETXATTR, FSOP_REMOVEXATTR, FSOP_WRITE_OPEN, FSOP_NOTE};
    static const uint16_t load_flags[] = {0, 0, FSOP_F_LOAD_BEGIN, FSOP_F_LOAD_LAST,
                                          FSOP_F_LOAD_BEGIN | FSOP_F_LOAD_LAST};
    struct fsop op = {.kind = kinds[prng_below(p, ARRAY_LEN(kinds))]};
    const char *name = model_names[prng_below(p, MODEL_NAMES)];
    const char *name2 = model_names[prng_below(p, MODEL_NAMES)];
    op.ino.v = inos[prng_below(p, 64)];
    op.ino2.v = inos[prng_below(p, 64)];
    op.name = name;
    op.name_len = 1;
    op.name2 = name2;
    op.name2_len = 1;
    op.mode = 0755;
    op.size = prng_below(p, 1000);
    op.valid = (uint32_t)prng_below(p, 256);
    bool masters = false;
    switch (op.kind) {
    case FSOP_LOAD:
        op.flags = load_flags[prng_below(p, ARRAY_LEN(load_flags))];
        op.arg = prng_below(p, 3) ? intents[prng_below(p, 16)] : 0;
        masters = true;
        break;
    case FSOP_OUTCOME:
        op.arg = intents[prng_below(p, 16)];
        op.err = prng_below(p, 3) ? 0 : E_EXIST;
        masters = true;
        break;
    case FSOP_NOTE:
        op.arg = intents[prng_below(p, 16)];
        op.mtime_ns = 9;
        masters = true;
        break;
    case FSOP_REFRESH:
    case FSOP_RECLAIM:
        masters = true;
        break;
    case FSOP_SETXATTR:
    case FSOP_REMOVEXATTR:
        op.name = prng_below(p, 2) ? "user.one" : "user.two";
        op.name_len = 8;
        break;
    default:
        op.flags = prng_below(p, 3) ? FSOP_F_ABSENT : 0;
        op.flags |= prng_below(p, 3) ? 0 : FSOP_F_TRUNC;
        op.flags |= op.kind == FSOP_RENAME && prng_below(p, 3) == 0 ? FSOP_F_EXCHANGE : 0;
        break;
    }
    if (masters || op.kind == FSOP_WRITE_CLOSE) {
        chaos_data(p, &op, b, cap);
    } else {
        op.data = "data";
        op.data_len = 4;
    }
    if (!masters) {
        uint64_t s = prng_below(p, 3);
        op.session = ses[s];
        op.seq = prng_below(p, 4) && seqs[s] ? seqs[s] += prng_below(p, 4) != 0 : ++seqs[s];
        op.acked = op.seq > 20 ? op.seq - prng_below(p, 20) : 0;
    }
    return op;
}

static void test_model_through_chaos(void)
{
    static uint8_t b[4096];
    struct prng rng;
    for (uint64_t seed = 0; seed < 8; seed++) {
        uint64_t inos[64], intents[16] = {0}, seqs[3] = {0}, opened = 0, done = 0;
        struct session_id ses[3];
        prng_seed(&rng, seed, "chaos", 0);
        kit_open(&k, 3000);
        kit_open(&k2, 3000);
        struct fsop mount = {
            .kind = FSOP_MOUNT, NAME("/m"), DATA("dir:/u"), .arg = FSOP_MOUNT_THROUGH};
        kit_apply(&k, mount);
        uint64_t top = k.r.reply.attr.ino.v;
        for (int i = 0; i < 64; i++)
            inos[i] = top;
        for (int i = 0; i < 3; i++)
            ses[i] = kit_session(&k);
        CU_ASSERT_EQUAL_FATAL(kit_copy(&k, &k2, 4096), 0);
        for (int i = 0; i < 6000; i++) {
            struct fsop op = chaos_op(&rng, b, sizeof b, inos, intents, ses, seqs);
            int err = kit_apply(&k, op);
            CU_ASSERT_EQUAL_FATAL(kit_apply(&k2, op), err);
            CU_ASSERT_EQUAL(k.r.reply.intent, k2.r.reply.intent);
            CU_ASSERT_EQUAL(k.r.n_changes, k2.r.n_changes);
            if (k.r.reply.intent) {
                intents[prng_below(&rng, 16)] = k.r.reply.intent;
                opened++;
            }
            done += op.kind == FSOP_OUTCOME && err == 0;
            if (k.r.reply.attr.ino.v)
                inos[prng_below(&rng, 64)] = k.r.reply.attr.ino.v;
            struct meta_intent in;
            for (uint64_t id = 0; i % 50 == 0 && !meta_intent_next(k.m, id, &in); id = in.id)
                if (prng_below(&rng, 4) == 0)
                    intents[prng_below(&rng, 16)] = in.id;
            if (i % 50 == 0) {
                kit_check(&k);
                CU_ASSERT_EQUAL_FATAL(meta_hash(k.m), meta_hash(k2.m));
                inos[prng_below(&rng, 64)] = top;
            }
            if (i % 1000 == 999) { /* the second one restarts from an image of the first */
                meta_close(k2.m);
                mem_drop(&k2.mem);
                kit_open(&k2, 3000);
                CU_ASSERT_EQUAL_FATAL(kit_copy(&k, &k2, 999), 0);
            }
        }
        CU_ASSERT(opened > 200 && done > 50);
        struct meta_intent in;
        while (!meta_intent_next(k.m, 0, &in)) /* what is owed can always be settled */
            CU_ASSERT_EQUAL(
                kit_apply(&k, (struct fsop){.kind = FSOP_OUTCOME, .arg = in.id, .err = E_IO}),
                in.kind == FSOP_LOAD ? 0 : E_IO);
        kit_close(&k2);
        kit_close(&k);
    }
}

/* Bytes per file, printed; the bound is the design's goal. */
static void test_model_memory_per_file(void)
{
    enum { FILES = 200000, NAME_BYTES = 12 };
    struct meta_stats before, after;
    struct ino dir = INO_ROOT;
    char name[32];
    kit_open(&k, 2000000);
    meta_stats(k.m, &before);
    for (int i = 0; i < FILES; i++) {
        if (i % 1000 == 0) {
            snprintf(name, sizeof name, "dir%09d", i);
            dir = kit_make(&k, FSOP_MKDIR, INO_ROOT, name);
        }
        snprintf(name, sizeof name, "file%08d", i);
        if (kit_apply(&k, (struct fsop){.kind = FSOP_MKNOD, .ino = dir, NAME(name)}))
            CU_FAIL_FATAL("create");
    }
    meta_stats(k.m, &after);
    uint64_t per_file = (after.bytes - before.bytes) / FILES;
    printf("%llu bytes a file with its name of %d ...", (unsigned long long)per_file, NAME_BYTES);
    CU_ASSERT(per_file <= 150 + NAME_BYTES);
    meta_close(k.m);
    mem_drop(&k.mem);
}

UNIT_MAIN("meta_model", UNIT(test_model_agrees), UNIT(test_model_images),
          UNIT(test_model_listing_under_mutation), UNIT(test_model_through_chaos),
          UNIT(test_model_memory_per_file))
