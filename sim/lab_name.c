/* sim/lab_name.c - see sim/lab_name.h. */
#include "sim/lab_name.h"
#include "core/fmt.h"
#include "sim/lab_op.h"

enum { NAME_BUCKETS = 4096 };

struct name {
    struct ino ino;
    uint32_t next_ino, next_text; /* index + 1 */
    uint32_t many;                /* of the first of its name: how many there are */
    char text[LAB_OP_PATH];
};

struct lab_names {
    struct mem *mem;
    struct name *name;
    uint32_t n, cap;
    uint32_t by_ino[NAME_BUCKETS], by_text[NAME_BUCKETS];
};

struct lab_names *lab_names_open(struct mem *m)
{
    struct lab_names *l = mem_zalloc(m, sizeof *l);
    ASSERT(l != NULL);
    l->mem = m;
    return l;
}

static struct name *name_by_ino(const struct lab_names *l, struct ino ino)
{
    uint32_t i = l->by_ino[base_mix_u64(ino.v) % NAME_BUCKETS];
    for (; i; i = l->name[i - 1].next_ino)
        if (l->name[i - 1].ino.v == ino.v)
            return &l->name[i - 1];
    return NULL;
}

static struct name *name_by_text(const struct lab_names *l, const char *text)
{
    uint32_t i = l->by_text[base_hash(text, strlen(text), 0) % NAME_BUCKETS];
    for (; i; i = l->name[i - 1].next_text)
        if (!strcmp(l->name[i - 1].text, text))
            return &l->name[i - 1];
    return NULL;
}

static struct name *name_add(struct lab_names *l)
{
    if (l->n == l->cap) {
        uint32_t cap = l->cap ? 2 * l->cap : 512;
        struct name *to = mem_alloc(l->mem, cap * sizeof *to);
        ASSERT(to != NULL);
        if (l->n)
            memcpy(to, l->name, l->n * sizeof *to);
        mem_free(l->mem, l->name, l->cap * sizeof *to);
        l->name = to;
        l->cap = cap;
    }
    memset(&l->name[l->n], 0, sizeof l->name[0]);
    return &l->name[l->n++];
}

void lab_names_learn(struct lab_names *l, struct ino parent, const char *name, uint32_t len,
                     struct ino ino)
{
    char text[LAB_OP_PATH];
    if (ino.v == INO_ROOT.v || name_by_ino(l, ino))
        return;
    const char *in = lab_names_of(l, parent);
    if (!*in)
        in = "?";
    if (strlen(in) + len + 10 >= sizeof text)
        in = "..."; /* too deep: the last name will do */
    fmt_into(text, sizeof text, "%s%s%.*s", in, in[strlen(in) - 1] == '/' ? "" : "/", (int)len,
             name);
    struct name *first = name_by_text(l, text);
    uint32_t many = first ? ++first->many : 1;
    if (many > 1)
        fmt_into(text + strlen(text), sizeof text - strlen(text), "#%u", many);
    struct name *n = name_add(l);
    uint32_t *a = &l->by_ino[base_mix_u64(ino.v) % NAME_BUCKETS];
    uint32_t *b = &l->by_text[base_hash(text, strlen(text), 0) % NAME_BUCKETS];
    n->ino = ino;
    n->many = 1;
    memcpy(n->text, text, sizeof n->text);
    n->next_ino = *a;
    n->next_text = *b;
    *a = *b = l->n;
}

const char *lab_names_of(const struct lab_names *l, struct ino ino)
{
    const struct name *n = ino.v == INO_ROOT.v ? NULL : name_by_ino(l, ino);
    return n ? n->text : ino.v == INO_ROOT.v ? "/" : "";
}

/* the one of exactly that name, or the last of it */
static const struct name *name_or_last(const struct lab_names *l, const char *name)
{
    char text[LAB_OP_PATH + 12];
    const struct name *n = name_by_text(l, name);
    const char *mark = strrchr(name, '#');
    if (n || !mark || strchr(mark, '/'))
        return n;
    size_t len = base_min_u64((uint64_t)(mark - name), LAB_OP_PATH - 1);
    memcpy(text, name, len);
    text[len] = 0;
    const struct name *first = name_by_text(l, text);
    if (!first || first->many < 2)
        return first;
    fmt_into(text + len, sizeof text - len, "#%u", first->many);
    return name_by_text(l, text);
}

struct ino lab_names_find(const struct lab_names *l, const char *name)
{
    char text[LAB_OP_PATH] = "";
    const struct name *n = NULL;
    if (!strcmp(name, "/"))
        return INO_ROOT;
    /* a step at a time: each may be called otherwise here */
    for (const char *at = name; *at;) {
        size_t len = strcspn(at + 1, "/") + 1, has = strlen(text);
        if (has + len >= sizeof text)
            return (struct ino){0};
        memcpy(text + has, at, len);
        text[has + len] = 0;
        n = name_or_last(l, text);
        if (n)
            memcpy(text, n->text, sizeof text);
        at += len;
    }
    return n ? n->ino : (struct ino){0};
}
