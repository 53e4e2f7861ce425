/* sim/lab_wgl_text.c - histories as text (see sim/lab_wgl.h). */
#include "sim/lab_wgl.h"

/* A text is a number in this base, modulo 2^64: appending is one multiplication and one addition,
 * and equal texts are equal numbers.  (Different ones are equal by chance only.) */
#define TEXT_BASE 0x9e3779b97f4a7c15ULL

void lab_wgl_text(const char *text, size_t len, uint64_t *ret_a, uint64_t *ret_b)
{
    uint64_t a = 0, b = 1;
    for (size_t i = 0; i < len; i++) {
        a = a * TEXT_BASE + (uint8_t)text[i] + 1;
        b *= TEXT_BASE;
    }
    *ret_a = a;
    *ret_b = b;
}

struct word {
    const char *p;
    size_t n;
};

struct line {
    const char *p, *end;
};

struct text_value {
    enum { VALUE_NONE, VALUE_NIL, VALUE_NUMBER, VALUE_PAIR, VALUE_TEXT } type;
    uint64_t a, b;
};

static bool text_is(struct word w, const char *s)
{
    return w.n == strlen(s) && !memcmp(w.p, s, w.n);
}

/* the next of: :word, "text" (without the quotes), [, ], number, nil; n 0: the line's end */
static struct word text_word(struct line *l, bool *ret_quoted)
{
    *ret_quoted = false;
    while (l->p < l->end && strchr(" \t,{}\r", *l->p))
        l->p++;
    struct word w = {l->p, 0};
    if (l->p == l->end)
        return w;
    if (*l->p == '"') {
        w.p = ++l->p;
        while (l->p < l->end && *l->p != '"')
            l->p++;
        w.n = (size_t)(l->p - w.p);
        l->p += l->p < l->end;
        *ret_quoted = true;
        return w;
    }
    if (*l->p == '[' || *l->p == ']') {
        l->p++;
        w.n = 1;
        return w;
    }
    while (l->p < l->end && !strchr(" \t,{}[]\r\"", *l->p))
        l->p++;
    w.n = (size_t)(l->p - w.p);
    return w;
}

static bool text_number(struct word w, uint64_t *ret_v)
{
    uint64_t v = 0;
    bool minus = w.n > 1 && *w.p == '-';
    if (w.n == 0 || w.n > 18)
        return false;
    for (size_t i = minus; i < w.n; i++) {
        if (w.p[i] < '0' || w.p[i] > '9')
            return false;
        v = 10 * v + (uint64_t)(w.p[i] - '0');
    }
    *ret_v = minus ? 0 - v : v;
    return true;
}

/* numbers are never the state of nil */
static uint64_t text_state(uint64_t number)
{
    return base_mix_u64(number + 1);
}

static struct text_value text_value(struct line *l)
{
    struct text_value v = {.type = VALUE_NONE};
    bool quoted;
    struct word w = text_word(l, &quoted);
    if (quoted) {
        v.type = VALUE_TEXT;
        lab_wgl_text(w.p, w.n, &v.a, &v.b);
    } else if (text_is(w, "nil")) {
        v.type = VALUE_NIL;
    } else if (text_is(w, "[")) {
        uint64_t a, b;
        if (text_number(text_word(l, &quoted), &a) && text_number(text_word(l, &quoted), &b))
            v = (struct text_value){VALUE_PAIR, text_state(a), text_state(b)};
    } else if (text_number(w, &v.a)) {
        v.type = VALUE_NUMBER;
        v.a = text_state(v.a);
    }
    return v;
}

struct text_event {
    uint64_t process, key;
    struct word type, f;
    struct text_value value;
};

/* false: the line is no event */
static bool text_event(struct line l, struct text_event *e)
{
    static const char jepsen[] = "jepsen.util - ";
    bool quoted, has_process = false;
    memset(e, 0, sizeof *e);
    for (const char *p = l.p; p + sizeof jepsen <= l.end; p++) {
        if (memcmp(p, jepsen, sizeof jepsen - 1) != 0)
            continue;
        l.p = p + sizeof jepsen - 1;
        if (!text_number(text_word(&l, &quoted), &e->process))
            return false;
        e->type = text_word(&l, &quoted);
        e->f = text_word(&l, &quoted);
        e->value = text_value(&l);
        return e->type.n && *e->type.p == ':' && e->f.n && *e->f.p == ':';
    }
    for (struct word w; (w = text_word(&l, &quoted)).n;) {
        if (text_is(w, ":process"))
            has_process = text_number(text_word(&l, &quoted), &e->process);
        else if (text_is(w, ":type"))
            e->type = text_word(&l, &quoted);
        else if (text_is(w, ":f"))
            e->f = text_word(&l, &quoted);
        else if (text_is(w, ":value"))
            e->value = text_value(&l);
        else if (text_is(w, ":key")) {
            w = text_word(&l, &quoted);
            e->key = base_hash(w.p, w.n, 0);
        }
    }
    return has_process && e->type.n && e->f.n;
}

static bool text_f(struct word f, enum lab_wgl_f *ret_f)
{
    static const struct {
        const char *name;
        enum lab_wgl_f f;
    } names[] = {{":read", LAB_WGL_READ}, {":get", LAB_WGL_READ}, {":write", LAB_WGL_WRITE},
                 {":put", LAB_WGL_WRITE}, {":cas", LAB_WGL_CAS},  {":append", LAB_WGL_APPEND}};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (text_is(f, names[i].name)) {
            *ret_f = names[i].f;
            return true;
        }
    return false;
}

struct text_history {
    struct mem *mem;
    struct lab_wgl_op *ops;
    struct text_open { /* operations without an answer yet */
        uint64_t process;
        uint32_t op;
    } * open;
    uint32_t n, cap, n_open, cap_open;
};

/* room for one more in an array from m */
static bool text_room(struct mem *m, void *array, uint32_t n, uint32_t *cap, size_t size)
{
    void **p = array;
    if (n < *cap)
        return true;
    uint32_t to = *cap ? 2 * *cap : 256;
    void *q = mem_zalloc(m, to * size);
    if (!q)
        return false;
    if (n)
        memcpy(q, *p, n * size);
    mem_free(m, *p, *cap * size);
    *p = q;
    *cap = to;
    return true;
}

static int text_call(struct text_history *h, const struct text_event *e, uint32_t line)
{
    enum lab_wgl_f f;
    if (!text_f(e->f, &f))
        return E_INVAL;
    for (uint32_t i = 0; i < h->n_open; i++)
        if (h->open[i].process == e->process)
            return E_INVAL;
    if (!text_room(h->mem, &h->ops, h->n, &h->cap, sizeof *h->ops) ||
        !text_room(h->mem, &h->open, h->n_open, &h->cap_open, sizeof *h->open))
        return E_NOMEM;
    h->open[h->n_open++] = (struct text_open){e->process, h->n};
    h->ops[h->n++] = (struct lab_wgl_op){.key = e->key,
                                         .from = line,
                                         .to = INT64_MAX,
                                         .a = e->value.a,
                                         .b = e->value.b,
                                         .f = f,
                                         .tag = line};
    return 0;
}

static int text_answer(struct text_history *h, const struct text_event *e, uint32_t line)
{
    uint32_t i = 0;
    while (i < h->n_open && h->open[i].process != e->process)
        i++;
    if (i == h->n_open)
        return E_INVAL;
    struct lab_wgl_op *o = &h->ops[h->open[i].op];
    h->open[i] = h->open[--h->n_open];
    if (text_is(e->type, ":ok")) {
        o->to = line;
        if (o->f == LAB_WGL_READ)
            o->a = e->value.a;
    } else if (text_is(e->type, ":fail") && o->f == LAB_WGL_CAS) {
        o->f = LAB_WGL_CAS_FAILED;
        o->to = line;
    } else if (text_is(e->type, ":fail") || o->f == LAB_WGL_READ) {
        o->f = LAB_WGL_DROPPED;
    } else if (!text_is(e->type, ":info")) {
        return E_INVAL;
    }
    return 0;
}

int64_t lab_wgl_parse(struct mem *m, const char *text, size_t len, struct lab_wgl_op **ret_ops,
                      uint32_t *ret_cap, uint32_t *ret_line)
{
    struct text_history h = {.mem = m};
    const char *end = text + len;
    uint32_t line = 0;
    int err = 0;
    while (text < end && !err) {
        const char *nl = memchr(text, '\n', (size_t)(end - text));
        struct text_event e;
        line++;
        if (text_event((struct line){text, nl ? nl : end}, &e))
            err = text_is(e.type, ":invoke") ? text_call(&h, &e, line) : text_answer(&h, &e, line);
        text = nl ? nl + 1 : end;
    }
    for (uint32_t i = 0; i < h.n; i++) /* what nobody was told of */
        if (h.ops[i].to == INT64_MAX)
            h.ops[i].f = h.ops[i].f == LAB_WGL_CAS    ? LAB_WGL_CAS_MAYBE
                         : h.ops[i].f == LAB_WGL_READ ? LAB_WGL_DROPPED
                                                      : h.ops[i].f;
    mem_free(m, h.open, h.cap_open * sizeof *h.open);
    *ret_line = line;
    *ret_ops = h.ops;
    *ret_cap = h.cap;
    return err ? (int64_t)err : (int64_t)h.n;
}
