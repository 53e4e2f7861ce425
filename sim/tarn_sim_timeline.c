/* sim/tarn_sim_timeline.c - a run as one page of HTML: machines as lanes over virtual time, with
 * leaderships, faults, operations, records and messages.
 *
 *  1. To watch a run changes nothing in it.
 *  2. The page needs nothing else: the data are in it, and the script is that of
 *     sim/tarn_sim_timeline.html.  What is in it depends on the run alone.
 *  3. Of messages the last ones are kept, of operations and records the first ones; the page says
 *     when there were more. */
#include "sim/tarn_sim_timeline.h"
#include <stdlib.h>
#include <string.h>
#include "core/fmt.h"
#include "sim/lab_print.h"
#include "sim/tarn_sim.h"

enum { MESSAGES = 200000, MOST = 400000, TEXT = 96, THREADS = 1000, CHANCES = 2000 };
enum band_kind { BAND_CRASH, BAND_POWER, BAND_PAUSE, BAND_STALL };

static const char *const page[] = {
#include "tarn_sim_timeline_page.h"
};

struct band { /* also a leadership: kind is its term */
    uint32_t node;
    int64_t from_ns, to_ns; /* to_ns INT64_MAX: it lasts */
    uint64_t kind;
};

struct message {
    uint32_t from, to, frames;
    int64_t sent_ns, came_ns;
};

struct operation {
    uint32_t node, thread, outcome; /* 0 ok, 1 refused, 2 no answer */
    int64_t from_ns, to_ns;
    char text[TEXT];
};

struct record {
    int64_t at_ns;
    uint64_t index;
    char text[TEXT];
};

struct timeline {
    struct sim *sim;
    FILE *to;
    bool is_short, first, in_verdicts;
    struct lab_group_op open[THREADS]; /* by number: what has no answer yet is ASKED */
    struct message *messages;          /* a ring */
    uint64_t n_messages;
    struct band *bands, *leads;
    struct operation *ops;
    struct record *recs;
    uint32_t n_bands, n_leads, n_ops, n_recs;
    uint32_t cap_bands, cap_leads, cap_ops, cap_recs;
};

struct timeline *tarn_sim_timeline_open(struct sim *s)
{
    struct timeline *t = calloc(1, sizeof *t);
    if (t && !(t->messages = calloc(MESSAGES, sizeof *t->messages))) {
        free(t);
        return NULL;
    }
    if (t)
        t->sim = s;
    return t;
}

void tarn_sim_timeline_close(struct timeline *t)
{
    if (!t)
        return;
    free(t->messages);
    free(t->bands);
    free(t->leads);
    free(t->ops);
    free(t->recs);
    free(t);
}

/* room for one more, or false */
static bool room(struct timeline *t, void *array, uint32_t n, uint32_t *cap, size_t size)
{
    void **p = array;
    if (n < *cap)
        return true;
    uint32_t to = *cap ? 2 * *cap : 1024;
    void *q = n < MOST ? realloc(*p, to * size) : NULL;
    t->is_short |= !q;
    if (!q)
        return false;
    *p = q;
    *cap = to;
    return true;
}

/* ---- as it happens ---- */

static void band_begin(struct timeline *t, uint32_t node, int64_t at_ns, enum band_kind k)
{
    if (room(t, &t->bands, t->n_bands, &t->cap_bands, sizeof *t->bands))
        t->bands[t->n_bands++] = (struct band){node, at_ns, INT64_MAX, k};
}

/* the last one of that node, if it is still open */
static void band_end(struct band *b, uint32_t n, uint32_t node, int64_t at_ns)
{
    while (n-- > 0)
        if (b[n].node == node) {
            if (b[n].to_ns == INT64_MAX)
                b[n].to_ns = at_ns;
            return;
        }
}

static void band_pause(struct timeline *t, const struct sim_trace *e)
{
    if (e->a == 2) { /* b: for how long */
        band_begin(t, e->node, e->at_ns, BAND_STALL);
        band_end(t->bands, t->n_bands, e->node, e->at_ns + (int64_t)e->b);
    } else if (e->a == 1) {
        band_begin(t, e->node, e->at_ns, BAND_PAUSE);
    } else {
        band_end(t->bands, t->n_bands, e->node, e->at_ns);
    }
}

void tarn_sim_timeline_event(struct timeline *t, const struct sim_trace *e)
{
    if (e->kind == SIM_K_FRAMES) {
        struct message *m = &t->messages[t->n_messages++ % MESSAGES];
        *m = (struct message){(uint32_t)(e->b >> 32), e->node, (uint32_t)e->b, e->since_ns,
                              e->at_ns};
    } else if (e->kind == SIM_K_CRASH) {
        band_end(t->bands, t->n_bands, e->node, e->at_ns);
        band_end(t->leads, t->n_leads, e->node, e->at_ns);
        band_begin(t, e->node, e->at_ns, e->a ? BAND_POWER : BAND_CRASH);
    } else if (e->kind == SIM_K_BOOT) {
        band_end(t->bands, t->n_bands, e->node, e->at_ns);
    } else if (e->kind == SIM_K_PAUSE) {
        band_pause(t, e);
    }
}

static uint32_t node_of(const struct timeline *t, const char *name)
{
    uint32_t i = 0, n = sim_node_count(t->sim);
    while (i < n && strcmp(sim_node_name(sim_node_at(t->sim, i)), name) != 0)
        i++;
    return i < n ? i : 0;
}

void tarn_sim_timeline_lead(struct timeline *t, int64_t at_ns, const char *node, uint64_t epoch,
                            bool begins)
{
    uint32_t i = node_of(t, node);
    band_end(t->leads, t->n_leads, i, at_ns);
    if (begins && room(t, &t->leads, t->n_leads, &t->cap_leads, sizeof *t->leads))
        t->leads[t->n_leads++] = (struct band){i, at_ns, INT64_MAX, epoch};
}

void tarn_sim_timeline_record(struct timeline *t, int64_t at_ns, uint64_t index, const char *what)
{
    if (!room(t, &t->recs, t->n_recs, &t->cap_recs, sizeof *t->recs))
        return;
    struct record *r = &t->recs[t->n_recs++];
    *r = (struct record){.at_ns = at_ns, .index = index};
    fmt_into(r->text, sizeof r->text, "%s", what);
}

static struct operation *add_op(struct timeline *t, const char *client, uint32_t thread,
                                int64_t from_ns, int64_t to_ns)
{
    if (!room(t, &t->ops, t->n_ops, &t->cap_ops, sizeof *t->ops))
        return NULL;
    struct operation *o = &t->ops[t->n_ops++];
    *o = (struct operation){node_of(t, client), thread, 0, from_ns, to_ns, ""};
    return o;
}

/* answers that say that nobody knows; all others are the file system's */
static bool is_unanswered(int64_t ret)
{
    return err_is_retry((int)ret);
}

void tarn_sim_timeline_answer(struct timeline *t, const struct lab_load_answer *a)
{
    const struct fsop *op = a->op;
    struct operation *o = add_op(t, a->client, a->thread, a->w.from_ns, a->w.to_ns);
    if (!o)
        return;
    o->outcome = a->ret >= 0 ? 0 : is_unanswered(a->ret) ? 2 : 1;
    size_t n = fmt_into(o->text, sizeof o->text, "%s %llu", a->step, (unsigned long long)op->ino.v);
    if (op->name_len)
        n += fmt_into(o->text + n, sizeof o->text - n, " \"%.*s\"",
                      (int)base_min_u64(op->name_len, 24), op->name);
    if (a->len)
        n += fmt_into(o->text + n, sizeof o->text - n, " [%llu + %u]", (unsigned long long)a->off,
                      a->len);
    if (a->ret < 0)
        fmt_into(o->text + n, sizeof o->text - n, ": %s", err_name((int)a->ret));
}

void tarn_sim_timeline_op(struct timeline *t, int64_t at_ns, const struct lab_group_op *op)
{
    struct lab_group_op *open = &t->open[op->number % THREADS];
    *open = op->phase == LAB_GROUP_ASKED ? *op : (struct lab_group_op){.phase = LAB_GROUP_ANSWERED};
    if (op->phase == LAB_GROUP_ASKED)
        return;
    struct operation *o = add_op(t, op->client, op->thread, op->from_ns, at_ns);
    if (!o)
        return;
    bool is_read = !strcmp(op->what, "read");
    o->outcome = op->phase == LAB_GROUP_GIVEN_UP ? 2 : is_read || op->did ? 0 : 1;
    size_t n =
        fmt_into(o->text, sizeof o->text, "%s key %llu ", op->what, (unsigned long long)op->key);
    if (op->phase == LAB_GROUP_GIVEN_UP)
        fmt_into(o->text + n, sizeof o->text - n, "without an answer");
    else
        fmt_into(o->text + n, sizeof o->text - n, "= %llx by %s at %llu",
                 (unsigned long long)op->value, op->by, (unsigned long long)op->index);
}

/* ---- the page ---- */

static long long micro(const struct timeline *t, int64_t ns)
{
    return (long long)((ns == INT64_MAX ? sim_now_ns(t->sim) : ns) / 1000);
}

/* Text in a script: no "</", whatever the text says. */
static void put_text(FILE *to, const char *s)
{
    fputc('"', to);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\' || c == '<' || c < 32 || c >= 127)
            fprintf(to, "\\u%04x", c);
        else
            fputc(c, to);
    }
    fputc('"', to);
}

static void put_bands(const struct timeline *t, const char *name, const struct band *b, uint32_t n)
{
    fprintf(t->to, "\"%s\": [", name);
    for (uint32_t i = 0; i < n; i++)
        fprintf(t->to, "%s[%u,%lld,%lld,%llu]", i ? "," : "", b[i].node, micro(t, b[i].from_ns),
                micro(t, b[i].to_ns), (unsigned long long)b[i].kind);
    fprintf(t->to, "],\n");
}

static void put_messages(const struct timeline *t)
{
    uint64_t n = t->n_messages < MESSAGES ? t->n_messages : MESSAGES;
    fprintf(t->to, "\"left\": %llu, \"msgs\": [", (unsigned long long)(t->n_messages - n));
    for (uint64_t i = t->n_messages - n; i < t->n_messages; i++) {
        const struct message *m = &t->messages[i % MESSAGES];
        fprintf(t->to, "%s[%u,%u,%lld,%lld,%u]", i == t->n_messages - n ? "" : ",", m->from, m->to,
                micro(t, m->sent_ns), micro(t, m->came_ns), m->frames);
    }
    fprintf(t->to, "],\n");
}

static void put_data(struct timeline *t, const struct timeline_end *e)
{
    FILE *to = t->to;
    fprintf(to, "{\"name\": ");
    put_text(to, e->name);
    fprintf(to, ", \"seed\": \"%llu\", \"end\": %lld, \"load\": %lld,\n\"nodes\": [",
            (unsigned long long)e->seed, micro(t, e->end_ns), micro(t, e->load_ns));
    for (uint32_t i = 0; i < sim_node_count(t->sim); i++) {
        fprintf(to, i ? "," : "");
        put_text(to, sim_node_name(sim_node_at(t->sim, i)));
    }
    fprintf(to, "],\n");
    put_bands(t, "bands", t->bands, t->n_bands);
    put_bands(t, "leads", t->leads, t->n_leads);
    put_messages(t);
    fprintf(to, "\"ops\": [");
    for (uint32_t i = 0; i < t->n_ops; i++) {
        const struct operation *o = &t->ops[i];
        fprintf(to, "%s[%u,%u,%lld,%lld,%u,", i ? ",\n" : "", o->node, o->thread,
                micro(t, o->from_ns), micro(t, o->to_ns), o->outcome);
        put_text(to, o->text);
        fputc(']', to);
    }
    fprintf(to, "],\n\"recs\": [");
    for (uint32_t i = 0; i < t->n_recs; i++) {
        fprintf(to, "%s[%lld,%llu,", i ? "," : "", micro(t, t->recs[i].at_ns),
                (unsigned long long)t->recs[i].index);
        put_text(to, t->recs[i].text);
        fputc(']', to);
    }
    fprintf(to, "],\n\"faults\": [");
    t->first = true;
}

static const char mark[] = "/*DATA*/null";

static size_t page_mark(void)
{
    size_t i = 0;
    while (i < ARRAY_LEN(page) && !strstr(page[i], mark))
        i++;
    ASSERT(i < ARRAY_LEN(page));
    return i;
}

void tarn_sim_timeline_begin(struct timeline *t, FILE *to, const struct timeline_end *e)
{
    size_t at = page_mark();
    for (uint32_t i = 0; i < THREADS; i++)
        if (t->open[i].client && t->open[i].phase == LAB_GROUP_ASKED) {
            struct lab_group_op o = t->open[i];
            o.phase = LAB_GROUP_GIVEN_UP;
            tarn_sim_timeline_op(t, e->end_ns, &o);
        }
    t->to = to;
    for (size_t i = 0; i < at; i++)
        fputs(page[i], to);
    fwrite(page[at], 1, (size_t)(strstr(page[at], mark) - page[at]), to);
    put_data(t, e);
}

void tarn_sim_timeline_fault(struct timeline *t, const struct lab_fault *f)
{
    fprintf(t->to, "%s[%lld,%lld,", t->first ? "" : ",\n", micro(t, f->at_ns), micro(t, f->for_ns));
    put_text(t->to, lab_print_fault(f));
    fputc(']', t->to);
    t->first = false;
}

void tarn_sim_timeline_chances(struct timeline *t, const struct lab_chances *l)
{
    fprintf(t->to, "],\n\"chances\": [");
    for (uint32_t i = 0; i < l->n && i < CHANCES; i++) {
        const struct sim_chance *c = &l->c[i];
        bool lasts = lab_chance_has_field(c->kind, "for");
        fprintf(t->to, "%s[%lld,%lld,", i ? ",\n" : "", micro(t, c->at_ns),
                lasts ? micro(t, c->for_ns) : 0);
        put_text(t->to, lab_print_chance(c));
        fputc(']', t->to);
    }
    t->is_short |= l->n > CHANCES;
    fprintf(t->to, "],\n\"verdicts\": [");
}

/* with the digits that the report rounds to */
void tarn_sim_timeline_verdict(struct timeline *t, const char *name, const struct lab_finding *f)
{
    fprintf(t->to, "%s[\"%s\",%llu,%llu,%lld.%03d,", t->in_verdicts ? ",\n" : "", name,
            (unsigned long long)f->checks, (unsigned long long)f->failures, micro(t, f->at_ns),
            (int)(f->at_ns % 1000));
    t->in_verdicts = true;
    put_text(t->to, f->failures ? f->what : "");
    fputc(']', t->to);
}

bool tarn_sim_timeline_end(struct timeline *t)
{
    size_t at = page_mark();
    fprintf(t->to, "]}");
    fputs(strstr(page[at], mark) + sizeof mark - 1, t->to);
    for (size_t i = at + 1; i < ARRAY_LEN(page); i++)
        fputs(page[i], t->to);
    return !t->is_short;
}
