/* sim/lab_history.c - histories as text (see sim/lab_history.h). */
#include "sim/lab_history.h"
#include <stdarg.h>
#include <stdlib.h>
#include "core/fmt.h"

/* A text is a number in this base, modulo 2^64: appending is one multiplication and one addition,
 * and equal texts are equal numbers.  (Different ones are equal by chance only.) */
#define TEXT_BASE 0x9e3779b97f4a7c15ULL

struct lab_history_open { /* an operation without an answer yet */
    uint64_t process;
    uint32_t op;
};

struct line {
    const char *p, *end;
};

enum token { TOKEN_END, TOKEN_TEXT, TOKEN_WORD, TOKEN_MARK, TOKEN_BROKEN };

enum value { VALUE_NONE, VALUE_NIL, VALUE_NUMBER, VALUE_PAIR, VALUE_TEXT };

struct text_value {
    enum value type;
    uint64_t a, b;
    struct lab_history_slice slice;
};

struct text_event {
    uint64_t process, key;
    struct lab_history_slice type, f, key_slice; /* without colons and quotes */
    bool has_process, has_key, is_start;
    struct text_value value;
};

static bool slice_is(struct lab_history_slice w, const char *s)
{
    return w.n == strlen(s) && !memcmp(w.p, s, w.n);
}

/* ---- tokens: a "text" (without the quotes), one of [ ] { }, or a word; JSON and EDN have the same
 * ones for what a history needs */

static bool text_is_space(char c)
{
    return c == ' ' || c == '\t' || c == ',' || c == '\r';
}

static bool text_is_mark(char c)
{
    return c == '[' || c == ']' || c == '{' || c == '}';
}

static enum token text_token(struct line *l, struct lab_history_slice *ret_s)
{
    while (l->p < l->end && text_is_space(*l->p))
        l->p++;
    *ret_s = (struct lab_history_slice){l->p, 0};
    if (l->p == l->end)
        return TOKEN_END;
    if (text_is_mark(*l->p)) {
        l->p++;
        ret_s->n = 1;
        return TOKEN_MARK;
    }
    if (*l->p == '"') {
        ret_s->p = ++l->p;
        for (; l->p < l->end && *l->p != '"'; l->p++)
            if (*l->p == '\\' && ++l->p == l->end)
                return TOKEN_BROKEN;
        ret_s->n = (uint32_t)(l->p - ret_s->p);
        if (l->p == l->end)
            return TOKEN_BROKEN;
        l->p++;
        return TOKEN_TEXT;
    }
    while (l->p < l->end && !text_is_space(*l->p) && !text_is_mark(*l->p) && *l->p != '"')
        l->p++;
    ret_s->n = (uint32_t)(l->p - ret_s->p);
    return TOKEN_WORD;
}

/* ---- values ---- */

static bool text_number(struct lab_history_slice w, uint64_t *ret_v)
{
    uint64_t v = 0;
    bool minus = w.n > 1 && *w.p == '-';
    if (w.n == 0 || w.n > 18)
        return false;
    for (uint32_t i = minus; i < w.n; i++) {
        if (w.p[i] < '0' || w.p[i] > '9')
            return false;
        v = 10 * v + (uint64_t)(w.p[i] - '0');
    }
    *ret_v = minus ? 0 - v : v;
    return true;
}

/* no number of 18 digits is the state of nil */
static uint64_t text_state(uint64_t number)
{
    return base_mix_u64(number ^ 1ULL << 63);
}

/* four digits of a \u; UINT32_MAX: they are none */
static uint32_t text_hex(const char *p, const char *end)
{
    uint32_t v = 0;
    if (end - p < 4)
        return UINT32_MAX;
    for (int i = 0; i < 4; i++) {
        char c = p[i], low = (char)(c | 32);
        if (c >= '0' && c <= '9')
            v = 16 * v + (uint32_t)(c - '0');
        else if (low >= 'a' && low <= 'f')
            v = 16 * v + (uint32_t)(low - 'a' + 10);
        else
            return UINT32_MAX;
    }
    return v;
}

struct text_sum {
    uint64_t a, b; /* the text as a number; the factor by which what stands before it counts */
};

static void text_byte(struct text_sum *t, uint32_t byte)
{
    t->a = t->a * TEXT_BASE + byte + 1;
    t->b *= TEXT_BASE;
}

static void text_unicode(struct text_sum *t, uint32_t c) /* UTF-8 */
{
    if (c >= 0x800)
        text_byte(t, 0xe0 | c >> 12);
    if (c >= 0x80)
        text_byte(t, c >= 0x800 ? 0x80 | (c >> 6 & 0x3f) : 0xc0 | c >> 6);
    text_byte(t, c >= 0x80 ? 0x80 | (c & 0x3f) : c);
}

static struct text_sum text_sum(struct lab_history_slice s)
{
    static const char from[] = "nrtbf", to[] = "\n\r\t\b\f";
    struct text_sum t = {0, 1};
    const char *end = s.p + s.n;
    for (const char *p = s.p; p < end; p++) {
        if (*p != '\\' || p + 1 == end) {
            text_byte(&t, (uint8_t)*p);
            continue;
        }
        uint32_t hex = *++p == 'u' ? text_hex(p + 1, end) : UINT32_MAX;
        const char *k = *p ? strchr(from, *p) : NULL;
        if (hex == UINT32_MAX) {
            text_byte(&t, (uint8_t)(k ? to[k - from] : *p));
        } else {
            text_unicode(&t, hex);
            p += 4;
        }
    }
    return t;
}

static bool text_plain(enum token t, struct lab_history_slice s, struct text_value *v)
{
    if (t == TOKEN_TEXT) {
        struct text_sum sum = text_sum(s);
        v->type = VALUE_TEXT;
        v->a = sum.a;
        v->b = sum.b;
    } else if (t == TOKEN_WORD && (slice_is(s, "nil") || slice_is(s, "null"))) {
        v->type = VALUE_NIL;
        v->a = LAB_HISTORY_NIL;
    } else if (t == TOKEN_WORD && text_number(s, &v->a)) {
        v->type = VALUE_NUMBER;
        v->a = text_state(v->a);
    } else {
        return false;
    }
    return true;
}

/* passes over what stands between brackets; false: they do not close */
static bool text_skip(struct line *l, struct lab_history_slice open)
{
    uint32_t depth = 1;
    for (struct lab_history_slice s = open; depth;) {
        enum token t = text_token(l, &s);
        if (t == TOKEN_END || t == TOKEN_BROKEN)
            return false;
        if (t == TOKEN_MARK)
            depth += *s.p == '[' || *s.p == '{' ? 1u : -1u;
    }
    return true;
}

/* false: brackets or quotes do not close; VALUE_NONE: it is something else */
static bool text_value(struct line *l, struct text_value *v)
{
    struct lab_history_slice s;
    enum token t = text_token(l, &s);
    *v = (struct text_value){.slice = s};
    if (t == TOKEN_BROKEN)
        return false;
    if (text_plain(t, s, v) || t != TOKEN_MARK)
        return true;
    struct line inside = *l;
    if (!text_skip(l, s))
        return false;
    v->slice.n = (uint32_t)(l->p - s.p);
    struct text_value old = {.type = VALUE_NONE}, new = {.type = VALUE_NONE};
    enum token first = text_token(&inside, &s);
    bool ok = text_plain(first, s, &old);
    enum token second = text_token(&inside, &s);
    ok = ok && text_plain(second, s, &new);
    if (ok && text_token(&inside, &s) == TOKEN_MARK && *s.p == ']' && *v->slice.p == '[')
        *v = (struct text_value){VALUE_PAIR, old.a, new.a, v->slice};
    return true;
}

/* ---- a line ---- */

static struct lab_history_slice text_keyword(struct lab_history_slice s)
{
    if (s.n && *s.p == ':')
        return (struct lab_history_slice){s.p + 1, s.n - 1};
    return s;
}

/* Jepsen's log.  false: it is none */
static bool text_log_line(struct line l, struct text_event *e)
{
    static const char jepsen[] = "jepsen.util - ";
    for (const char *p = l.p; p + sizeof jepsen <= l.end; p++) {
        if (memcmp(p, jepsen, sizeof jepsen - 1) != 0)
            continue;
        struct lab_history_slice s;
        l.p = p + sizeof jepsen - 1;
        e->has_process = text_token(&l, &s) == TOKEN_WORD && text_number(s, &e->process);
        if (text_token(&l, &s) != TOKEN_WORD || *s.p != ':')
            return false;
        e->type = text_keyword(s);
        if (text_token(&l, &s) != TOKEN_WORD || *s.p != ':')
            return false;
        e->f = text_keyword(s);
        return text_value(&l, &e->value);
    }
    return false;
}

static const char *text_field(struct line *l, struct lab_history_slice name, struct text_event *e)
{
    struct lab_history_slice s;
    if (slice_is(name, "value"))
        return text_value(l, &e->value) ? NULL : "a text or a bracket of its value does not end";
    enum token t = text_token(l, &s);
    if (t == TOKEN_END || t == TOKEN_BROKEN)
        return "it ends in the middle of a field";
    if (t == TOKEN_MARK)
        return (*s.p == '[' || *s.p == '{') && text_skip(l, s) ? NULL : "a bracket does not close";
    if (slice_is(name, "process"))
        e->has_process = t == TOKEN_WORD && text_number(s, &e->process);
    else if (slice_is(name, "type"))
        e->type = text_keyword(s);
    else if (slice_is(name, "f"))
        e->f = text_keyword(s);
    else if (slice_is(name, "start"))
        e->is_start = t == TOKEN_TEXT && slice_is(s, "any");
    else if (slice_is(name, "key")) {
        e->has_key = true;
        e->key_slice = s;
        e->key = base_hash(s.p, s.n, t == TOKEN_TEXT);
    }
    return NULL;
}

/* {"a": 1, ...} or {:a 1, ...}.  NULL, or what is wrong */
static const char *text_map_line(struct line l, bool is_json, struct text_event *e)
{
    struct lab_history_slice s;
    const char *why = NULL;
    text_token(&l, &s); /* the bracket */
    for (;;) {
        enum token t = text_token(&l, &s);
        if (t == TOKEN_MARK && *s.p == '}')
            return NULL;
        if (t != (is_json ? TOKEN_TEXT : TOKEN_WORD))
            return t == TOKEN_END ? "it ends before its }" : "a field has no name";
        struct lab_history_slice name = text_keyword(s);
        while (is_json && l.p < l.end && text_is_space(*l.p))
            l.p++;
        if (is_json && (l.p == l.end || *l.p++ != ':'))
            return "a field's name is not followed by a colon";
        if ((why = text_field(&l, name, e)))
            return why;
    }
}

/* 1: an event; 0: the line is none; or E_INVAL with *ret_why */
static int text_event(struct line l, struct text_event *e, const char **ret_why)
{
    memset(e, 0, sizeof *e);
    if (text_log_line(l, e))
        return e->has_process;
    memset(e, 0, sizeof *e);
    while (l.p < l.end && text_is_space(*l.p))
        l.p++;
    if (l.p == l.end || *l.p != '{')
        return 0;
    struct line after = {l.p + 1, l.end};
    struct lab_history_slice s;
    bool is_json = text_token(&after, &s) == TOKEN_TEXT;
    const char *why = text_map_line(l, is_json, e);
    if (why && (is_json || e->has_process)) {
        *ret_why = why;
        return E_INVAL;
    }
    if (!why && is_json && e->is_start && !e->has_process && !e->type.n)
        return 1;
    if (why || (!e->has_process && (!is_json || e->type.n)))
        return 0; /* another log's, or of who is no client */
    *ret_why = !e->has_process ? "it has no process"
               : !e->type.n    ? "it has no type"
                               : "it has no f";
    return e->has_process && e->type.n && e->f.n ? 1 : E_INVAL;
}

/* ---- operations ---- */

PRINTF_LIKE(2, 3) static int history_bad(struct lab_history *h, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fmt_into_v(h->why, sizeof h->why, format, args);
    va_end(args);
    return E_INVAL;
}

static int history_clip(struct lab_history_slice s)
{
    return s.n < 40 ? (int)s.n : 40;
}

static int history_f(struct lab_history *h, const struct text_event *e, enum lab_wgl_f *ret_f)
{
    static const struct {
        const char *name;
        enum lab_wgl_f f;
        enum lab_history_model model; /* the least that has it */
    } names[] = {{"read", LAB_WGL_READ, LAB_HISTORY_REGISTER},
                 {"write", LAB_WGL_WRITE, LAB_HISTORY_REGISTER},
                 {"cas", LAB_WGL_CAS, LAB_HISTORY_CAS},
                 {"get", LAB_WGL_READ, LAB_HISTORY_KV},
                 {"put", LAB_WGL_WRITE, LAB_HISTORY_KV},
                 {"append", LAB_WGL_APPEND, LAB_HISTORY_KV}};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!slice_is(e->f, names[i].name))
            continue;
        if (h->model == LAB_HISTORY_ANY)
            h->model = names[i].model == LAB_HISTORY_KV ? LAB_HISTORY_KV : LAB_HISTORY_CAS;
        bool is_kv = names[i].model == LAB_HISTORY_KV;
        if (is_kv != (h->model == LAB_HISTORY_KV) || names[i].model > h->model)
            return history_bad(h, "the model %s has no %s", lab_history_model_name(h->model),
                               names[i].name);
        *ret_f = names[i].f;
        return 0;
    }
    return history_bad(h, "nobody knows what \"%.*s\" does (read, write, cas, get, put, append)",
                       history_clip(e->f), e->f.p);
}

/* is it a value that such an operation may have? */
static int history_value(struct lab_history *h, enum lab_wgl_f f, const struct text_value *v)
{
    bool ok = f == LAB_WGL_CAS      ? v->type == VALUE_PAIR
              : f == LAB_WGL_APPEND ? v->type == VALUE_TEXT
                                    : v->type != VALUE_NONE && v->type != VALUE_PAIR;
    const char *want = f == LAB_WGL_CAS      ? "a cas needs [old new]"
                       : f == LAB_WGL_APPEND ? "an append needs a \"text\""
                                             : "a value is nil, a whole number below 10^18 or a "
                                               "\"text\"";
    if (ok)
        return 0;
    return history_bad(h, "%s, not \"%.*s\"", want, history_clip(v->slice), v->slice.p);
}

/* room for one more in an array from m */
static bool history_room(struct mem *m, void *array, uint32_t n, uint32_t *cap, size_t size)
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

static int history_call(struct lab_history *h, const struct text_event *e)
{
    enum lab_wgl_f f = LAB_WGL_DROPPED;
    int err = history_f(h, e, &f);
    for (uint32_t i = 0; i < h->n_open && !err; i++)
        if (h->open[i].process == e->process)
            err = history_bad(h, "process %llu asks again without an answer to line %u",
                              (unsigned long long)e->process, h->notes[h->open[i].op].asked_line);
    if (!err && f != LAB_WGL_READ)
        err = history_value(h, f, &e->value);
    if (err)
        return err;
    if (!history_room(h->mem, &h->ops, h->n, &h->cap_ops, sizeof *h->ops) ||
        !history_room(h->mem, &h->notes, h->n, &h->cap_notes, sizeof *h->notes) ||
        !history_room(h->mem, &h->open, h->n_open, &h->cap_open, sizeof *h->open))
        return E_NOMEM;
    h->open[h->n_open++] = (struct lab_history_open){e->process, h->n};
    h->processes = h->n_open > h->processes ? h->n_open : h->processes;
    h->notes[h->n] = (struct lab_history_note){.process = e->process,
                                               .asked_line = h->lines,
                                               .f = e->f,
                                               .key = e->key_slice,
                                               .asked = e->value.slice,
                                               .asked_state = e->value.a};
    h->ops[h->n] = (struct lab_wgl_op){.key = e->key,
                                       .from = h->lines,
                                       .to = INT64_MAX,
                                       .a = e->value.a,
                                       .b = e->value.b,
                                       .f = f,
                                       .tag = h->n};
    h->n++;
    return 0;
}

static int history_answer(struct lab_history *h, const struct text_event *e)
{
    uint32_t i = 0;
    while (i < h->n_open && h->open[i].process != e->process)
        i++;
    if (i == h->n_open)
        return history_bad(h, "process %llu has an answer to nothing",
                           (unsigned long long)e->process);
    uint32_t k = h->open[i].op;
    struct lab_wgl_op *o = &h->ops[k];
    struct lab_history_note *n = &h->notes[k];
    if (e->f.n != n->f.n || memcmp(e->f.p, n->f.p, n->f.n) != 0)
        return history_bad(h,
                           "process %llu asked for a %.*s on line %u, and the answer is of a %.*s",
                           (unsigned long long)e->process, history_clip(n->f), n->f.p,
                           n->asked_line, history_clip(e->f), e->f.p);
    if (e->has_key && e->key != o->key)
        return history_bad(h, "process %llu asked for another key on line %u",
                           (unsigned long long)e->process, n->asked_line);
    h->open[i] = h->open[--h->n_open];
    n->answered_line = h->lines;
    n->answered = e->value.slice;
    n->answered_state = e->value.a;
    if (slice_is(e->type, "ok")) {
        o->to = h->lines;
        if (o->f != LAB_WGL_READ)
            return 0;
        o->a = e->value.a;
        return history_value(h, o->f, &e->value);
    }
    if (slice_is(e->type, "fail") && o->f == LAB_WGL_CAS) {
        o->f = LAB_WGL_CAS_FAILED;
        o->to = h->lines;
    } else if (slice_is(e->type, "fail") || slice_is(e->type, "refused") ||
               (slice_is(e->type, "info") && o->f == LAB_WGL_READ)) {
        o->f = LAB_WGL_DROPPED;
    } else if (!slice_is(e->type, "info")) {
        return history_bad(h, "nobody knows the type \"%.*s\" (invoke, ok, fail, refused, info)",
                           history_clip(e->type), e->type.p);
    }
    return 0;
}

static int history_line(struct lab_history *h, struct line l)
{
    struct text_event e;
    const char *why = "";
    int is = text_event(l, &e, &why);
    if (is < 0)
        return history_bad(h, "%s", why);
    if (!is)
        return 0;
    if (!e.type.n) {
        h->start = LAB_WGL_ANY;
        return 0;
    }
    return slice_is(e.type, "invoke") ? history_call(h, &e) : history_answer(h, &e);
}

int lab_history_read(struct lab_history *h, struct mem *m, enum lab_history_model model,
                     const char *text, size_t len)
{
    const char *end = text + len;
    int err = 0;
    *h = (struct lab_history){.mem = m, .model = model, .start = LAB_HISTORY_NIL};
    while (text < end && !err) {
        const char *nl = memchr(text, '\n', (size_t)(end - text));
        h->lines++;
        if ((nl ? nl : end) - text > 1 << 20)
            err = history_bad(h, "a line of more than 1 MiB");
        else
            err = history_line(h, (struct line){text, nl ? nl : end});
        text = nl ? nl + 1 : end;
    }
    if (err)
        h->bad_line = h->lines;
    for (uint32_t i = 0; i < h->n; i++) /* what nobody was told of */
        if (h->ops[i].to == INT64_MAX)
            h->ops[i].f = h->ops[i].f == LAB_WGL_CAS    ? LAB_WGL_CAS_MAYBE
                          : h->ops[i].f == LAB_WGL_READ ? LAB_WGL_DROPPED
                                                        : h->ops[i].f;
    return err;
}

void lab_history_drop(struct lab_history *h)
{
    mem_free(h->mem, h->ops, h->cap_ops * sizeof *h->ops);
    mem_free(h->mem, h->notes, h->cap_notes * sizeof *h->notes);
    mem_free(h->mem, h->open, h->cap_open * sizeof *h->open);
    *h = (struct lab_history){.mem = h->mem};
}

const char *lab_history_model_name(enum lab_history_model m)
{
    static const char *const names[] = {"any", "register", "cas", "kv"};
    return names[m];
}

static void *history_get(void *ctx, size_t n)
{
    (void)ctx;
    return calloc(1, n);
}

static void history_put(void *ctx, void *p, size_t n)
{
    (void)ctx, (void)n;
    free(p);
}

void lab_history_mem(struct mem *m, uint64_t budget_bytes)
{
    mem_init(m, (struct mem_source){history_get, history_put, NULL}, budget_bytes);
}
