/* sim/tarn_sim_report.c - tarn-sim report: a database of campaigns as one page of HTML that needs
 * nothing else: no script, no network, plots are inline SVG.
 *
 *  1. For each measure one plot: the empirical distribution in each scenario, with the band in
 *     which the true one lies as a whole with 95 % (Dvoretzky-Kiefer-Wolfowitz), medians with
 *     theirs.
 *  2. What is printed depends on the database alone. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/fmt.h"
#include "sim/lab_print.h"
#include "sim/lab_stats.h"
#include "sim/tarn_sim_args.h"
#include "sim/tarn_sim_db.h"

enum {
    WIDE = 600,
    HIGH = 250,
    LEFT = 44,
    RIGHT = 16,
    TOP = 10,
    BOTTOM = 34,
    STEPS = 300,
    FAILURES = 500
};

static const char usage[] =
    "tarn-sim report --db FILE [--excuse NAME,...] > report.html\n"
    "\n"
    "What is in a campaign's database, as one page: failures with the lines that reproduce them, "
    "distributions,\n"
    "marks that were reached or not.  --text: the summary that the campaign printed, instead.\n";

static const char style[] =
    "body{font:14px/1.45 system-ui,sans-serif;color:#1b1f24;max-width:1240px;margin:20px "
    "auto;padding:0 16px}"
    "h1{font-size:22px;margin:0 0 4px}h2{font-size:17px;margin:28px 0 8px}"
    "table{border-collapse:collapse;font-size:13px}th,td{text-align:left;padding:3px 10px 3px "
    "0;vertical-align:top;"
    "border-bottom:1px solid #e4e7eb}td.n,th.n{text-align:right}code{font:12px "
    "ui-monospace,monospace;overflow-wrap:anywhere}"
    ".plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(590px,1fr));gap:14px}"
    "figure{margin:0}figcaption{font-size:13px;margin:0 0 2px 44px}figcaption "
    "b{font-weight:600}svg{width:100%;height:auto;display:block}"
    ".bad{color:#b3261e;font-weight:600}.dim{color:#667}.key{display:inline-block;width:18px;"
    "height:3px;vertical-align:middle;"
    "margin:0 5px 0 14px}details{margin:8px 0}summary{cursor:pointer}";

static const char *const colours[] = {"#1f6feb", "#d9480f", "#2b8a3e", "#862e9c",
                                      "#c2255c", "#0b7285", "#846000", "#495057"};

struct series {
    int64_t *v;
    uint64_t n;
};

struct report {
    sqlite3 *db;
    int64_t ids[ROW_SCENARIOS];
    char names[ROW_SCENARIOS][120];
    uint32_t n;
};

static void text(const char *s)
{
    for (; s && *s; s++)
        if (*s == '<' || *s == '>' || *s == '&' || *s == '"')
            printf("&#%d;", *s);
        else
            putchar(*s);
}

static const char *column(sqlite3_stmt *st, int i)
{
    const char *t = (const char *)sqlite3_column_text(st, i);
    return t ? t : "";
}

static int64_t count(const struct report *r, const char *what, int64_t scenario)
{
    char sql[200];
    fmt_into(sql, sizeof sql, "SELECT count(*) FROM run WHERE scenario = %lld AND %s",
             (long long)scenario, what);
    return tarn_sim_db_number(r->db, sql);
}

/* ---- plots ---- */

struct axis {
    double lo, hi;
    bool log;
    const char *unit;
};

static double axis_x(const struct axis *a, double v)
{
    double lo = a->log ? log10(a->lo) : a->lo, hi = a->log ? log10(a->hi) : a->hi;
    double at = a->log ? log10(v > a->lo ? v : a->lo) : v;
    return LEFT + (at - lo) / (hi - lo) * (WIDE - LEFT - RIGHT);
}

static double axis_y(double share)
{
    return TOP + (1 - share) * (HIGH - TOP - BOTTOM);
}

static void axis_tick(const struct axis *a, double v)
{
    char label[40];
    double x = axis_x(a, v);
    printf("<line x1='%.1f' y1='%d' x2='%.1f' y2='%d' stroke='#e4e7eb'/>", x, TOP, x,
           HIGH - BOTTOM);
    if (!strcmp(a->unit, "ns"))
        fmt_into(label, sizeof label,
                 v < 1e6   ? "%g µs"
                 : v < 1e9 ? "%g ms"
                           : "%g s",
                 v / (v < 1e6   ? 1e3
                      : v < 1e9 ? 1e6
                                : 1e9));
    else if (!strcmp(a->unit, "ppm"))
        fmt_into(label, sizeof label, "%g %%", v / 1e4);
    else if (!strcmp(a->unit, "milli"))
        fmt_into(label, sizeof label, "%g", v / 1e3);
    else if (v >= 1e6)
        fmt_into(label, sizeof label, "%g M", v / 1e6);
    else
        fmt_into(label, sizeof label, "%g", v);
    printf("<text x='%.1f' y='%d' text-anchor='middle'>%s</text>", x, HIGH - BOTTOM + 16,
           v == 0 ? "0" : label);
}

static void axis_draw(const struct axis *a)
{
    for (int i = 0; i <= 4; i++) {
        double y = axis_y(i / 4.0);
        printf("<line x1='%d' y1='%.1f' x2='%d' y2='%.1f' stroke='#e4e7eb'/><text x='%d' y='%.1f' "
               "text-anchor='end'>%d %%</text>",
               LEFT, y, WIDE - RIGHT, y, LEFT - 6, y + 4, i * 25);
    }
    if (a->log) {
        double decades = log10(a->hi / a->lo);
        for (double p = pow(10, ceil(log10(a->lo))); p <= a->hi * 1.0001;
             p *= decades > 6 ? 100 : 10)
            axis_tick(a, p);
        return;
    }
    double step = pow(10, floor(log10((a->hi - a->lo) / 4)));
    while ((a->hi - a->lo) / step > 6)
        step *= (a->hi - a->lo) / step > 15 ? 5 : 2;
    for (double v = ceil(a->lo / step) * step; v <= a->hi * 1.0001; v += step)
        axis_tick(a, v);
}

static struct axis axis_make(const struct series *s, uint32_t n, const char *unit)
{
    struct axis a = {.lo = INFINITY, .unit = unit};
    bool zero = false;
    for (uint32_t i = 0; i < n; i++) {
        if (!s[i].n)
            continue;
        a.hi = fmax(a.hi, (double)s[i].v[s[i].n - 1]);
        uint64_t k = 0;
        while (k < s[i].n && s[i].v[k] <= 0)
            k++;
        zero |= k > s[i].n / 20; /* a logarithm would hide them */
        if (k < s[i].n)
            a.lo = fmin(a.lo, (double)s[i].v[k]);
    }
    a.log = !zero && a.lo < INFINITY && a.hi / a.lo > 50;
    if (!a.log)
        a.lo = 0;
    if (a.hi <= a.lo)
        a.hi = a.lo + 1;
    return a;
}

/* The curve, moved up and down by band; steps, of which a few hundred are drawn. */
static void curve(const struct axis *a, const struct series *s, double band, bool back)
{
    uint64_t steps = s->n < STEPS ? s->n : STEPS;
    for (uint64_t k = 0; k <= steps; k++) {
        uint64_t at =
            (back ? steps - k : k) * s->n / steps; /* so many are at or below what follows */
        double y0 = fmin(1, fmax(0, (double)at / (double)s->n + band));
        double x = axis_x(a, (double)s->v[at < s->n ? at : s->n - 1]);
        uint64_t before = at ? (uint64_t)(at - 1) : 0;
        double x0 = axis_x(a, (double)s->v[before]);
        printf("%.1f,%.1f %.1f,%.1f ", back ? x : x0, axis_y(y0), back ? x0 : x, axis_y(y0));
    }
}

static void plot(const struct report *r, const struct row_measure_text *m, const struct series *s)
{
    struct axis a = axis_make(s, r->n, m->unit);
    printf("<figure><figcaption><b>%s</b> <span class='dim'>", m->name);
    text(m->what);
    printf("</span></figcaption><svg viewBox='0 0 %d %d' font-size='11' fill='#444' role='img' "
           "aria-label='%s'>",
           WIDE, HIGH, m->name);
    axis_draw(&a);
    for (uint32_t i = 0; i < r->n; i++) {
        const char *colour = colours[i % ARRAY_LEN(colours)];
        if (!s[i].n)
            continue;
        double band = sqrt(3.6888794541139363 / (2 * (double)s[i].n));
        printf("<polygon fill='%s' fill-opacity='.12' points='", colour);
        curve(&a, &s[i], band, false);
        curve(&a, &s[i], -band, true);
        /* of more curves than there are colours the later ones are broken */
        printf("'/><polyline fill='none' stroke='%s' stroke-width='1.5'%s points='", colour,
               i / ARRAY_LEN(colours) % 2 ? " stroke-dasharray='5 3'" : "");
        curve(&a, &s[i], 0, false);
        printf("'/>");
        struct lab_stats_ranks q = lab_stats_quantile(s[i].n, 500000);
        if (q.lo && q.hi <= s[i].n)
            printf("<line x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f' stroke='%s' stroke-width='4'/>",
                   axis_x(&a, (double)s[i].v[q.lo - 1]), axis_x(&a, (double)s[i].v[q.hi - 1]),
                   axis_y(0.5), axis_y(0.5), colour);
    }
    printf("</svg></figure>\n");
}

static void quantile_rows(const struct report *r, const struct row_measure_text *m,
                          const struct series *s)
{
    static const uint32_t ppms[] = {500000, 950000, 990000};
    char a[40];
    for (uint32_t i = 0; i < r->n; i++) {
        if (!s[i].n)
            continue;
        printf("<tr><td>%s</td><td>", m->name);
        text(r->names[i]);
        printf("</td><td class='n'>%llu</td><td class='n'>%s</td>", (unsigned long long)s[i].n,
               tarn_sim_summary_text(s[i].v[0], m->unit, a, sizeof a));
        for (size_t q = 0; q < ARRAY_LEN(ppms); q++) {
            struct lab_stats_ranks k = lab_stats_quantile(s[i].n, ppms[q]);
            printf("<td class='n'>%s <span class='dim'>[",
                   tarn_sim_summary_text(s[i].v[k.at - 1], m->unit, a, sizeof a));
            printf("%s, ",
                   k.lo ? tarn_sim_summary_text(s[i].v[k.lo - 1], m->unit, a, sizeof a) : "?");
            printf("%s]</span></td>",
                   k.hi <= s[i].n ? tarn_sim_summary_text(s[i].v[k.hi - 1], m->unit, a, sizeof a)
                                  : "?");
        }
        printf("<td class='n'>%s</td></tr>\n",
               tarn_sim_summary_text(s[i].v[s[i].n - 1], m->unit, a, sizeof a));
    }
}

static void measures(const struct report *r, bool plots)
{
    static struct series s[ROW_SCENARIOS];
    for (int m = 0; m < ROW_COUNT; m++) {
        bool any = false;
        for (uint32_t i = 0; i < r->n; i++) {
            s[i].n = tarn_sim_summary_values(r->db, r->ids[i], tarn_sim_measures[m].name, &s[i].v);
            any |= s[i].n && (s[i].v[0] || s[i].v[s[i].n - 1]);
        }
        if (any && plots && strcmp(tarn_sim_measures[m].unit, "kind") != 0)
            plot(r, &tarn_sim_measures[m], s);
        else if (any && !plots)
            quantile_rows(r, &tarn_sim_measures[m], s);
        for (uint32_t i = 0; i < r->n; i++)
            free(s[i].v);
    }
}

/* ---- tables ---- */

static void scenarios(const struct report *r)
{
    printf("<h2>Runs</h2><table><tr><th>scenario<th class=n>seeds<th class=n>twice<th "
           "class=n>failed<th>95 %% interval<th class=n>safety"
           "<th class=n>crash<th class=n>divergence<th class=n>liveness</tr>\n");
    for (uint32_t i = 0; i < r->n; i++) {
        static const char *const kinds[] = {"status = 3", "status = 6", "status = 5", "status = 4"};
        int64_t n = count(r, "1", r->ids[i]), failed = count(r, "status != 0", r->ids[i]);
        double lo = 0, hi = 1;
        if (n)
            lab_stats_wilson((uint64_t)failed, (uint64_t)n, &lo, &hi);
        printf("<tr><td>");
        text(r->names[i]);
        printf("<td class=n>%lld<td class=n>%lld<td class='n%s'>%lld<td>%.3f to %.3f %%",
               (long long)n, (long long)count(r, "runs > 1", r->ids[i]), failed ? " bad" : "",
               (long long)failed, 100 * lo, 100 * hi);
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
            printf("<td class=n>%lld", (long long)count(r, kinds[k], r->ids[i]));
        printf("</tr>\n");
    }
    printf("</table>\n");
}

static void failures(const struct report *r)
{
    char again[3000];
    uint64_t n = 0;
    sqlite3_stmt *st = tarn_sim_db_ask(r->db, "SELECT s.path, s.sets, s.mutant, r.seed, r.runs, "
                                              "r.verdict, s.name, r.checker, r.at_ns, r.what"
                                              " FROM run r JOIN scenario s ON s.id = r.scenario "
                                              "WHERE r.status != 0 ORDER BY r.scenario, r.seed");
    printf("<h2>Failures</h2>\n");
    for (; tarn_sim_db_row(st) && n < FAILURES; n++) {
        tarn_sim_summary_again(st, again, sizeof again);
        if (!n)
            printf("<table><tr><th>scenario<th class=n>seed<th>verdict<th>checker<th "
                   "class=n>at<th>what, and the line that reproduces it</tr>\n");
        printf("<tr><td>");
        text(column(st, 6));
        printf("%s", *column(st, 1) ? " " : "");
        text(column(st, 1));
        printf("<td class=n>%lld<td class=bad>%s<td>", (long long)sqlite3_column_int64(st, 3),
               column(st, 5));
        text(column(st, 7));
        printf("<td class=n>%.3f&#160;s<td>", (double)sqlite3_column_int64(st, 8) / 1e9);
        text(column(st, 9));
        printf("<br><code>");
        text(again);
        printf("</code></tr>\n");
    }
    sqlite3_finalize(st);
    printf(n ? "</table>\n" : "<p>None.</p>\n");
    if (n == FAILURES)
        printf("<p>The first %d; the database has all.</p>\n", FAILURES);
}

/* one line for each mark, one cell for each scenario: darker, the more runs came to it */
static void marks(const struct report *r, const struct summary_options *o)
{
    sqlite3_stmt *st = tarn_sim_db_ask(
        r->db,
        "SELECT m.id, m.name, sum(r.runs), sum(r.hits) FROM mark m JOIN reached r ON r.mark = m.id"
        " GROUP BY m.id ORDER BY sum(r.runs) > 0, m.name");
    sqlite3_stmt *cell =
        tarn_sim_db_ask(r->db, "SELECT armed, runs FROM reached WHERE mark = ? AND scenario = ?");
    printf("<h2>Marks</h2><p class=dim>Share of the runs that could come to a mark and did; empty: "
           "no run could.</p><table><tr><th>mark");
    for (uint32_t i = 0; i < r->n; i++) {
        printf("<th class=n>");
        text(r->names[i]);
    }
    printf("<th class=n>hits</tr>\n");
    while (tarn_sim_db_row(st)) {
        bool reached = sqlite3_column_int64(st, 2) > 0,
             excused = tarn_sim_summary_excused(column(st, 1), o);
        printf("<tr><td%s>", reached || excused ? "" : " class=bad");
        text(column(st, 1));
        printf("%s", reached ? "" : excused ? " (excused)" : " (never)");
        for (uint32_t i = 0; i < r->n; i++) {
            sqlite3_bind_int64(cell, 1, sqlite3_column_int64(st, 0));
            sqlite3_bind_int64(cell, 2, r->ids[i]);
            if (tarn_sim_db_row(cell)) {
                double share =
                    (double)sqlite3_column_int64(cell, 1) / (double)sqlite3_column_int64(cell, 0);
                printf("<td class=n style='background:rgba(31,111,235,%.2f)'>%.1f %%", share * 0.35,
                       100 * share);
            } else {
                printf("<td>");
            }
            sqlite3_reset(cell);
        }
        printf("<td class=n>%lld</tr>\n", (long long)sqlite3_column_int64(st, 3));
    }
    printf("</table>\n");
    sqlite3_finalize(cell);
    sqlite3_finalize(st);
}

static void head(const struct report *r)
{
    char commit[80];
    tarn_sim_db_meta(r->db, "commit", commit, sizeof commit);
    printf("<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport "
           "content='width=device-width'><title>tarn-sim campaign, %s"
           "</title><style>%s</style>\n<h1>tarn-sim campaign</h1><p>commit <code>",
           commit, style);
    text(commit);
    printf("</code>; %lld seeds, <span%s>%lld failed</span>; %lld events, %.0f s of virtual time",
           (long long)tarn_sim_db_number(r->db, "SELECT count(*) FROM run"),
           tarn_sim_db_number(r->db, "SELECT count(*) FROM run WHERE status != 0") ? " class=bad"
                                                                                   : "",
           (long long)tarn_sim_db_number(r->db, "SELECT count(*) FROM run WHERE status != 0"),
           (long long)tarn_sim_db_number(r->db, "SELECT sum(events) FROM run"),
           (double)tarn_sim_db_number(r->db, "SELECT sum(virtual_ns / 1000000) FROM run") / 1e3);
    sqlite3_stmt *st = tarn_sim_db_ask(
        r->db, "SELECT compiler, program, cpu, cores, kernel FROM build ORDER BY id");
    while (tarn_sim_db_row(st)) {
        printf("<br>run by ");
        text(column(st, 0));
        printf(" <code class=dim>");
        text(column(st, 1));
        printf("</code>, on ");
        text(column(st, 2));
        printf(", %lld core%s, ", (long long)sqlite3_column_int64(st, 3),
               lab_print_s((uint64_t)sqlite3_column_int64(st, 3)));
        text(column(st, 4));
    }
    sqlite3_finalize(st);
    printf("</p>\n");
}

static void page(struct report *r, const struct summary_options *o)
{
    sqlite3_stmt *st =
        tarn_sim_db_ask(r->db, "SELECT id, name, sets, mutant FROM scenario ORDER BY id");
    while (r->n < ROW_SCENARIOS && tarn_sim_db_row(st)) {
        r->ids[r->n] = sqlite3_column_int64(st, 0);
        fmt_into(r->names[r->n++], sizeof r->names[0], "%s%s%s%s%s", column(st, 1),
                 *column(st, 2) ? " " : "", column(st, 2), *column(st, 3) ? " " : "",
                 column(st, 3));
    }
    sqlite3_finalize(st);
    head(r);
    scenarios(r);
    failures(r);
    printf("<h2>Distributions</h2><p class=dim>Empirical distribution functions of the runs; "
           "bands: 95 %% for the whole curve; thick: 95 %% "
           "interval of the median.<br>");
    for (uint32_t i = 0; i < r->n; i++) {
        const char *colour = colours[i % ARRAY_LEN(colours)];
        if (i / ARRAY_LEN(colours) % 2)
            printf("<span class=key style='background:repeating-linear-gradient(90deg,%s 0 "
                   "5px,#fff 5px 8px)'></span>",
                   colour);
        else
            printf("<span class=key style='background:%s'></span>", colour);
        text(r->names[i]);
    }
    printf("</p><div class=plots>\n");
    measures(r, true);
    printf("</div><details><summary>The same as "
           "numbers</summary><table><tr><th>measure<th>scenario<th class=n>n<th class=n>least<th "
           "class=n>median"
           "<th class=n>95 %%<th class=n>99 %%<th class=n>largest</tr>\n");
    measures(r, false);
    printf("</table></details>\n");
    marks(r, o);
    printf("</html>\n");
}

int tarn_sim_report(int argc, char **argv)
{
    static char *excuses[SUMMARY_EXCUSES];
    static struct report r;
    struct summary_options o = {.excuses = excuses, .marks = SUMMARY_MARKS_WARN};
    const char *path = NULL;
    bool as_text = false;
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(usage, stdout);
            return 0;
        }
        if (!strcmp(argv[i], "--text"))
            as_text = true;
        else if (!strcmp(argv[i], "--db") && argv[i + 1])
            path = argv[++i];
        else if (!strcmp(argv[i], "--excuse") &&
                 tarn_sim_args_excuse(argv[i + 1], excuses, &o.n_excuses))
            i++;
        else if (argv[i][0] == '-' && tarn_sim_takes("report", argv[i]))
            return tarn_sim_bad_value(argv[i], argv[i + 1]);
        else if (argv[i][0] == '-')
            return tarn_sim_unknown_option("report", argv[i]);
        else
            return tarn_sim_bad("unexpected operand", argv[i]);
    }
    if (!path)
        return tarn_sim_bad("which database? --db FILE", "");
    int err = tarn_sim_db_open(path, false, &r.db);
    if (err)
        return err;
    tarn_sim_db_reached(r.db);
    if (as_text)
        tarn_sim_summary(r.db, &o);
    else
        page(&r, &o);
    err = tarn_sim_db_close(r.db);
    return err || fflush(stdout) ? EXIT_BROKEN : 0;
}
