/* sim/tarn_sim_history_page.c - what tarn-sim check-history found, as a page: no script, no
 * network; each key's operations around the answer that nothing explains as a diagram. */
#include <stdlib.h>
#include <string.h>
#include "core/fmt.h"
#include "sim/tarn_sim_history.h"

enum { BEFORE = 11, AFTER = 3, ROWS = 40, LEFT = 110, WIDE = 1230, STEP_MIN = 20, STEP_MAX = 90 };
enum { HIGH = 22 };

static const char style[] =
    "<!doctype html><html lang='en'><meta charset='utf-8'><title>histories</title><style>"
    "body{font:14px/1.45 system-ui,sans-serif;color:#1b1f24;max-width:1240px;margin:20px "
    "auto;padding:0 16px}h1{font-size:22px;margin:0 0 4px}h2{font-size:17px;margin:28px 0 4px}"
    "table{border-collapse:collapse;font-size:13px}td,th{text-align:left;padding:2px 14px 2px 0;"
    "border-bottom:1px solid #e4e7eb}td.n{text-align:right}svg{display:block;margin:8px 0}"
    ".bad{color:#b3261e;font-weight:600}.dim{color:#667}.key{display:inline-block;width:14px;"
    "height:11px;margin:0 5px 0 14px;border-radius:2px}.wide{overflow-x:auto}</style>\n";

static const char *const fills[] = {"#d3f2da", "#f7c6c2", "#ffe8b3", "#e9ecef"};
static const char *const edges[] = {"#2b8a3e", "#b3261e", "#b07d00", "#adb5bd"};
enum { PLACED, BLOCKED, WAITING, LATER };

static void text(FILE *to, const char *s)
{
    tarn_sim_history_escape(to, s, strlen(s));
}

void tarn_sim_history_page_begin(FILE *to)
{
    fputs(style, to);
    fprintf(to, "<h1>Histories</h1><p class='dim'>Is there an order of the operations of each key "
                "that respects real time and explains every answer? In a diagram a row is a "
                "process, a bar is an operation from its call to its answer, a number is its place "
                "in the order.<br><span class='key' style='background:#d3f2da'></span>in the "
                "order<span class='key' style='background:#f7c6c2'></span>the answer that no order "
                "explains<span class='key' style='background:#ffe8b3'></span>under way then, and "
                "not in this order<span class='key' style='background:#e9ecef'></span>asked "
                "later</p>\n");
}

void tarn_sim_history_page_end(FILE *to)
{
    fprintf(to, "</html>\n");
}

/* ---- the diagram: time goes by calls and answers, not by the clock ---- */

struct diagram {
    const struct history_file *f;
    const struct history_key *k;
    const struct lab_wgl_op *ops;
    uint32_t *shown, n; /* places in ops */
    int64_t *times;     /* of their events, in order */
    uint32_t n_times;
    uint64_t process[ROWS];
    uint32_t n_rows, step;
};

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static double x_of(const struct diagram *d, int64_t at)
{
    uint32_t i = 0;
    while (i < d->n_times && d->times[i] < at)
        i++;
    return LEFT + d->step * (0.5 + i);
}

static uint32_t place_of(const struct history_key *k, uint32_t op)
{
    for (uint32_t i = 0; i < k->w.n; i++)
        if (k->w.order[i] == op)
            return i + 1;
    return 0;
}

/* what is near the answer: the end of the order, what is under way, and a few later ones */
static void diagram_choose(struct diagram *d)
{
    const struct history_key *k = d->k;
    const struct lab_wgl_op *bad = &d->ops[k->w.blocked];
    uint32_t later = 0;
    int64_t edge = k->w.n > BEFORE ? d->ops[k->w.order[k->w.n - BEFORE]].from : 0;
    for (uint32_t i = 0; i < k->n; i++) {
        const struct lab_wgl_op *o = &d->ops[i];
        uint32_t place = place_of(k, i), row = 0;
        uint64_t process = d->f->h.notes[o->tag].process;
        bool is_near = place ? place + BEFORE > k->w.n || o->from >= edge : i == k->w.blocked;
        if (!place && i != k->w.blocked && o->f != LAB_WGL_DROPPED)
            is_near = o->from < bad->to || later++ < AFTER;
        while (row < d->n_rows && d->process[row] != process)
            row++;
        if (!is_near || (row == ROWS && i != k->w.blocked))
            continue;
        if (row == d->n_rows && row < ROWS)
            d->process[d->n_rows++] = process;
        d->shown[d->n++] = i;
        d->times[d->n_times++] = o->from;
        if (o->to != INT64_MAX)
            d->times[d->n_times++] = o->to;
    }
    qsort(d->times, d->n_times, sizeof *d->times, by_time);
    uint32_t fits = (WIDE - LEFT) / (d->n_times + 1);
    d->step = fits < STEP_MIN ? STEP_MIN : fits > STEP_MAX ? STEP_MAX : fits;
}

static void diagram_bar(FILE *to, const struct diagram *d, uint32_t op)
{
    const struct lab_wgl_op *o = &d->ops[op];
    const struct lab_history_note *n = &d->f->h.notes[o->tag];
    char what[2 * HISTORY_TEXT];
    uint32_t place = place_of(d->k, op), row = 0;
    while (row + 1 < d->n_rows && d->process[row] != n->process)
        row++;
    int kind = op == d->k->w.blocked                  ? BLOCKED
               : place                                ? PLACED
               : o->from < d->ops[d->k->w.blocked].to ? WAITING
                                                      : LATER;
    double x0 = x_of(d, o->from);
    double x1 = o->to == INT64_MAX ? LEFT + d->step * (0.5 + d->n_times) : x_of(d, o->to);
    double y = 24 + HIGH * row;
    tarn_sim_history_op(d->f, o, what, sizeof what);
    fprintf(to, "<g><title>process %llu, line %u to ", (unsigned long long)n->process,
            n->asked_line);
    if (o->to == INT64_MAX)
        fprintf(to, "nowhere: ");
    else
        fprintf(to, "%u: ", n->answered_line);
    text(to, what);
    fprintf(to,
            "</title><rect x='%.1f' y='%.1f' width='%.1f' height='%d' rx='3' fill='%s' "
            "stroke='%s'%s/><text x='%.1f' y='%.1f'>",
            x0, y, x1 - x0, HIGH - 5, fills[kind], edges[kind],
            o->to == INT64_MAX ? " stroke-dasharray='4 3'" : "", x0 + 4, y + 12.5);
    if (place)
        fprintf(to, "<tspan font-weight='600'>%u</tspan> ", place);
    double room = (x1 - x0 - 8) / 6.6 - (place ? 1.5 + (place > 9) + (place > 99) : 0);
    size_t len = strlen(what), fits = room > 0 ? (size_t)room : 0;
    tarn_sim_history_escape(to, what, fits < len ? fits : len);
    fprintf(to, "</text></g>\n");
}

static void diagram_draw(FILE *to, const struct diagram *d)
{
    double x = x_of(d, d->ops[d->k->w.blocked].to);
    uint32_t wide = LEFT + d->step * (d->n_times + 1), high = 30 + HIGH * d->n_rows;
    fprintf(to,
            "<div class='wide'><svg width='%u' height='%u' font-size='11' fill='#1b1f24' "
            "role='img'>",
            wide, high);
    for (uint32_t i = 0; i < d->n_rows; i++)
        fprintf(to,
                "<text x='0' y='%u' fill='#667'>process %llu</text><line x1='%d' x2='%u' y1='%u' "
                "y2='%u' stroke='#f1f3f5'/>",
                37 + HIGH * i, (unsigned long long)d->process[i], LEFT, wide, 33 + HIGH * i,
                33 + HIGH * i);
    fprintf(to,
            "<line x1='%.1f' x2='%.1f' y1='16' y2='%u' stroke='#b3261e' stroke-dasharray='2 3'/>"
            "<text x='%.1f' y='11' fill='#b3261e' text-anchor='middle'>line %u</text>\n",
            x, x, high, x, d->f->h.notes[d->ops[d->k->w.blocked].tag].answered_line);
    for (uint32_t i = 0; i < d->n; i++)
        diagram_bar(to, d, d->shown[i]);
    fprintf(to, "</svg></div>\n");
}

static void diagram(FILE *to, const struct history_file *f, const struct history_key *k)
{
    struct diagram d = {.f = f, .k = k, .ops = f->h.ops + k->first};
    d.shown = calloc(k->n, sizeof *d.shown);
    d.times = calloc(2 * (size_t)k->n, sizeof *d.times);
    if (d.shown && d.times) {
        diagram_choose(&d);
        diagram_draw(to, &d);
    }
    free(d.shown);
    free(d.times);
}

/* ---- a file ---- */

static void order_table(FILE *to, const struct history_file *f, const struct history_key *k)
{
    char what[2 * HISTORY_TEXT];
    fprintf(to,
            "<details><summary>the order of %u operations</summary><table><tr><th>place<th>"
            "asked<th>answered<th>process<th></tr>",
            k->w.n);
    for (uint32_t i = 0; i < k->w.n; i++) {
        const struct lab_wgl_op *o = &f->h.ops[k->first + k->w.order[i]];
        const struct lab_history_note *n = &f->h.notes[o->tag];
        tarn_sim_history_op(f, o, what, sizeof what);
        fprintf(to, "<tr><td class='n'>%u<td class='n'>%u<td class='n'>", i + 1, n->asked_line);
        if (o->to != INT64_MAX)
            fprintf(to, "%u", n->answered_line);
        fprintf(to, "<td class='n'>%llu<td>", (unsigned long long)n->process);
        text(to, what);
        fprintf(to, "</tr>\n");
    }
    fprintf(to, "</table></details>\n");
}

static void page_key(FILE *to, const struct history_file *f, const struct history_key *k)
{
    const struct lab_wgl_op *bad = &f->h.ops[k->first + k->w.blocked];
    const struct lab_history_note *n = &f->h.notes[bad->tag];
    char what[2 * HISTORY_TEXT];
    fprintf(to, "<p>");
    if (n->key.p) {
        fprintf(to, "Key <b>");
        tarn_sim_history_escape(to, n->key.p, base_min_u64(n->key.n, 60));
        fprintf(to, "</b>. ");
    }
    if (!k->w.n_states) {
        fprintf(to, "The search ended before its first answer.</p>\n");
        return;
    }
    fprintf(to, "Line %u, process %llu: <span class='bad'>", n->answered_line,
            (unsigned long long)n->process);
    tarn_sim_history_op(f, bad, what, sizeof what);
    text(to, what);
    fprintf(to, "</span> is %s. What was answered before is explained by an order of %u operations",
            k->result.verdict == LAB_WGL_BAD ? "explained by no order" : "not explained so far",
            k->w.n);
    for (uint32_t i = 0; i < k->w.n_states; i++) {
        tarn_sim_history_state(f, k, i, what, sizeof what);
        fprintf(to, "%s<b>", i == 0 ? "; then the value is " : i == 1 ? ", after others " : ", ");
        text(to, what);
        fprintf(to, "</b>");
    }
    fprintf(to, "%s.</p>\n", k->w.more_states ? ", or another" : "");
    diagram(to, f, k);
    order_table(to, f, k);
}

void tarn_sim_history_page_file(FILE *to, const struct history_file *f)
{
    bool ok = f->result.verdict == LAB_WGL_OK;
    fprintf(to, "<h2>");
    text(to, f->path);
    fprintf(to,
            ": <span%s>%s</span></h2><p class='dim'>%s, %llu key(s), %u operations, %llu "
            "steps</p>\n",
            ok ? "" : " class='bad'", tarn_sim_history_verdict(f->result.verdict),
            lab_history_model_name(f->h.model), (unsigned long long)f->result.keys, f->h.n,
            (unsigned long long)f->result.steps);
    for (uint32_t i = 0; i < f->n_keys; i++)
        page_key(to, f, &f->keys[i]);
    if (f->more_keys)
        fprintf(to, "<p>and %u more keys</p>\n", f->more_keys);
}
