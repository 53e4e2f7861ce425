/* sim/lab_shrink.c - see sim/lab_shrink.h. */
#include "sim/lab_shrink.h"
#include <stdlib.h>
#include "core/fmt.h"

enum { FEW = 8 }; /* faults and operations, all of whose sets are tried */

struct shrink {
    const struct lab_shrink *how;
    struct lab_scenario *best, *next; /* next: the candidate */
    int64_t at_ns;                    /* when best fails */
    bool over;                        /* no time is left */
    uint32_t gains;
};

void lab_shrink_measure(const struct lab_scenario *s, struct lab_shrink_size *ret)
{
    *ret = (struct lab_shrink_size){.faults = s->n_faults,
                                    .operations = s->ops.n,
                                    .chances = s->chances.n,
                                    .masters = s->masters,
                                    .workers = s->workers,
                                    .clients = s->clients,
                                    .duration_ns = s->duration_ns};
    for (uint32_t i = 0; i < s->ops.n; i++)
        ret->steps += s->ops.op[i].n_steps;
}

static bool kind_is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* what stands for itself: not numbers and names with digits, not codes, not kinds of operations */
static bool kind_says(const char *word, size_t len)
{
    char w[32];
    if (len >= sizeof w)
        return true;
    fmt_into(w, sizeof w, "%.*s", (int)len, word);
    for (size_t i = 0; i < len; i++)
        if (w[i] >= '0' && w[i] <= '9')
            return false;
    for (uint16_t k = 0; k < 96; k++)
        if (!strcmp(w, fsop_kind_name(k)))
            return false;
    return strncmp(w, "E_", 2) != 0 && strcmp(w, "ok") != 0;
}

void lab_shrink_kind(const char *what, char *ret, size_t cap)
{
    size_t n = 0;
    for (const char *p = what; *p && n + 2 < cap;) {
        size_t len = 0;
        if (*p == '"') {
            const char *end = strchr(p + 1, '"');
            p = end ? end + 1 : p + 1;
            ret[n++] = '"';
            continue;
        }
        while (kind_is_word(p[len]))
            len++;
        if (!len) {
            ret[n++] = *p++;
            continue;
        }
        if (!kind_says(p, len))
            ret[n++] = '#';
        else
            n += fmt_into(ret + n, cap - n, "%.*s", (int)len, p);
        p += len;
    }
    ret[n] = 0;
}

/* ---- candidates ---- */

/* the candidate is what is best, for the caller to change */
static struct lab_scenario *shrink_next(struct shrink *k)
{
    struct lab_ops mine = k->next->ops;
    struct lab_chances its = k->next->chances;
    *k->next = *k->best;
    k->next->ops = mine;
    k->next->chances = its;
    while (k->next->ops.cap < k->best->ops.n)
        if (!lab_ops_add(&k->next->ops)) {
            k->over = true;
            break;
        }
    k->next->ops.n = k->over ? 0 : k->best->ops.n;
    if (k->next->ops.n)
        memcpy(k->next->ops.op, k->best->ops.op, k->best->ops.n * sizeof *k->best->ops.op);
    while (k->next->chances.cap < k->best->chances.n)
        if (!lab_chance_add(&k->next->chances)) {
            k->over = true;
            break;
        }
    k->next->chances.n = k->over ? 0 : k->best->chances.n;
    if (k->next->chances.n)
        memcpy(k->next->chances.c, k->best->chances.c,
               k->best->chances.n * sizeof *k->best->chances.c);
    return k->next;
}

/* does it fail, too?  Then it is the best now */
static bool shrink_try(struct shrink *k)
{
    int64_t at_ns = 0;
    char why[LAB_ERROR];
    k->over |= !k->how->may_go_on(k->how->ctx);
    if (k->over || lab_scenario_check(k->next, why) || !k->how->fails(k->how->ctx, k->next, &at_ns))
        return false;
    struct lab_scenario *was = k->best;
    k->best = k->next;
    k->next = was;
    k->at_ns = at_ns;
    k->gains++;
    if (k->how->on_smaller)
        k->how->on_smaller(k->how->ctx, k->best);
    return true;
}

/* ---- lists ---- */

static void cut_faults(struct lab_scenario *s, uint32_t from, uint32_t to)
{
    memmove(&s->faults[from], &s->faults[to], (s->n_faults - to) * sizeof s->faults[0]);
    s->n_faults -= to - from;
}

static void cut_ops(struct lab_scenario *s, uint32_t from, uint32_t to)
{
    memmove(&s->ops.op[from], &s->ops.op[to], (s->ops.n - to) * sizeof s->ops.op[0]);
    s->ops.n -= to - from;
}

static void cut_chances(struct lab_scenario *s, uint32_t from, uint32_t to)
{
    memmove(&s->chances.c[from], &s->chances.c[to], (s->chances.n - to) * sizeof s->chances.c[0]);
    s->chances.n -= to - from;
}

static void cut_links(struct lab_scenario *s, uint32_t from, uint32_t to)
{
    struct lab_links *l = &s->links;
    memmove(&l->link[from], &l->link[to], (l->n - to) * sizeof l->link[0]);
    l->n -= to - from;
}

static void cut_nics(struct lab_scenario *s, uint32_t from, uint32_t to)
{
    struct lab_links *l = &s->links;
    memmove(&l->nic[from], &l->nic[to], (l->n_nics - to) * sizeof l->nic[0]);
    l->n_nics -= to - from;
}

enum listed { FAULTS, OPS, CHANCES, LINKS, NICS };
static void (*const list_cut[])(struct lab_scenario *s, uint32_t from, uint32_t to) = {
    cut_faults, cut_ops, cut_chances, cut_links, cut_nics};

static uint32_t list_length(const struct shrink *k, enum listed l)
{
    const struct lab_scenario *s = k->best;
    const uint32_t lengths[] = {s->n_faults, s->ops.n, s->chances.n, s->links.n, s->links.n_nics};
    return lengths[l];
}

/* Pieces of half the list, of a quarter, ... of one, from the end, are left out where that is
 * possible; pieces of one until none gives way. */
static void shrink_list(struct shrink *k, enum listed l)
{
    uint32_t n = list_length(k, l);
    bool gave = true;
    for (uint32_t piece = n; piece && !k->over;) {
        gave = false;
        for (uint32_t to = list_length(k, l); to && !k->over;) {
            uint32_t from = to > piece ? to - piece : 0;
            list_cut[l](shrink_next(k), from, to);
            gave |= shrink_try(k);
            to = from;
        }
        n = list_length(k, l);
        if (piece == 1 && gave)
            continue;
        piece = piece == 1 ? 0 : piece / 2 > n ? n : piece / 2;
    }
}

/* two at a time: a name that is made, and its removal */
static void shrink_pairs(struct shrink *k)
{
    for (uint32_t a = 0; a < k->best->ops.n && k->best->ops.n <= 24; a++)
        for (uint32_t b = a + 1; b < k->best->ops.n && !k->over; b++) {
            struct lab_scenario *s = shrink_next(k);
            cut_ops(s, b, b + 1);
            cut_ops(s, a, a + 1);
            if (shrink_try(k))
                b = a;
        }
}

/* ---- time ---- */

static int64_t last_ns(const struct lab_scenario *s)
{
    int64_t last = 0;
    for (uint32_t i = 0; i < s->n_faults; i++)
        if (s->faults[i].at_ns + s->faults[i].for_ns > last)
            last = s->faults[i].at_ns + s->faults[i].for_ns;
    for (uint32_t i = 0; i < s->ops.n; i++)
        if (s->ops.op[i].at_ns > last)
            last = s->ops.op[i].at_ns;
    for (uint32_t i = 0; i < s->chances.n; i++)
        if (s->chances.c[i].at_ns > last)
            last = s->chances.c[i].at_ns;
    return last;
}

/* nothing after to_ns; faults end there */
static void cut_time(struct lab_scenario *s, int64_t to_ns)
{
    s->duration_ns = to_ns;
    for (uint32_t i = 0; i < s->n_faults;)
        if (s->faults[i].at_ns >= to_ns)
            cut_faults(s, i, i + 1);
        else
            i++;
    for (uint32_t i = 0; i < s->n_faults; i++)
        if (s->faults[i].at_ns + s->faults[i].for_ns > to_ns)
            s->faults[i].for_ns = to_ns - s->faults[i].at_ns;
    uint32_t n = s->ops.n;
    while (n && s->ops.op[n - 1].at_ns >= to_ns)
        n--;
    s->ops.n = n;
    n = s->chances.n;
    while (n && s->chances.c[n - 1].at_ns >= to_ns)
        n--;
    s->chances.n = n;
}

static void shrink_duration(struct shrink *k)
{
    static const int64_t ms = 1000000;
    int64_t ends[] = {k->at_ns / ms * ms + 2 * ms, k->at_ns / ms * ms + 20 * ms,
                      last_ns(k->best) / ms * ms + 20 * ms, last_ns(k->best) / ms * ms + 500 * ms};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        if (ends[i] >= k->best->duration_ns)
            continue;
        cut_time(shrink_next(k), ends[i]);
        if (shrink_try(k))
            return;
    }
}

/* the next time after t at which anything begins; INT64_MAX: nothing does */
static int64_t next_ns(const struct lab_scenario *s, int64_t t)
{
    int64_t next = INT64_MAX;
    for (uint32_t i = 0; i < s->n_faults; i++)
        if (s->faults[i].at_ns > t && s->faults[i].at_ns < next)
            next = s->faults[i].at_ns;
    for (uint32_t i = 0; i < s->ops.n; i++)
        if (s->ops.op[i].at_ns > t && s->ops.op[i].at_ns < next)
            next = s->ops.op[i].at_ns;
    for (uint32_t i = 0; i < s->chances.n; i++)
        if (s->chances.c[i].at_ns > t && s->chances.c[i].at_ns < next)
            next = s->chances.c[i].at_ns;
    return next;
}

static void earlier(struct lab_scenario *s, int64_t from_ns, int64_t by_ns)
{
    for (uint32_t i = 0; i < s->n_faults; i++)
        s->faults[i].at_ns -= s->faults[i].at_ns >= from_ns ? by_ns : 0;
    for (uint32_t i = 0; i < s->ops.n; i++)
        s->ops.op[i].at_ns -= s->ops.op[i].at_ns >= from_ns ? by_ns : 0;
    for (uint32_t i = 0; i < s->chances.n; i++)
        s->chances.c[i].at_ns -= s->chances.c[i].at_ns >= from_ns ? by_ns : 0;
    s->duration_ns = (s->duration_ns - by_ns + 999999) / 1000000 * 1000000;
}

/* what nothing happens in takes less time */
static void shrink_gaps(struct shrink *k)
{
    static const int64_t ms = 1000000;
    if (k->best->n_faults + k->best->ops.n + k->best->chances.n > 80)
        return;
    for (int64_t t = 0, next; (next = next_ns(k->best, t)) != INT64_MAX && !k->over;) {
        int64_t gaps[] = {ms, 20 * ms, 100 * ms, (next - t) / 4, (next - t) / 2};
        bool gave = false;
        for (size_t i = 0; i < ARRAY_LEN(gaps) && !gave; i++) {
            if (gaps[i] < ms || next - t < 4 * ms || gaps[i] * 4 / 3 >= next - t)
                continue;
            earlier(shrink_next(k), next, next - t - gaps[i]);
            gave = shrink_try(k);
        }
        t = gave ? next_ns(k->best, t) : next;
    }
}

static int64_t rounded(int64_t ns, int64_t unit)
{
    return ns < unit ? ns : (ns + unit / 2) / unit * unit;
}

static void round_item(struct lab_scenario *s, uint32_t i, int64_t unit)
{
    if (i < s->n_faults) {
        s->faults[i].at_ns = rounded(s->faults[i].at_ns, unit);
        s->faults[i].for_ns = rounded(s->faults[i].for_ns, unit);
    } else {
        struct lab_op *op = &s->ops.op[i - s->n_faults];
        op->at_ns = rounded(op->at_ns, unit);
        for (uint32_t j = 0; j < op->n_steps; j++)
            op->steps[j].wait_ns = rounded(op->steps[j].wait_ns, unit);
    }
}

static bool is_round(const struct lab_scenario *s, int64_t unit)
{
    bool round = true;
    for (uint32_t i = 0; i < s->n_faults; i++)
        round &= s->faults[i].at_ns % unit == 0 && s->faults[i].for_ns % unit == 0;
    for (uint32_t i = 0; i < s->ops.n; i++)
        round &= s->ops.op[i].at_ns % unit == 0;
    return round;
}

/* times that a person can read */
static void shrink_times(struct shrink *k)
{
    static const int64_t units[] = {10000000, 1000000, 100000};
    uint32_t n = k->best->n_faults + k->best->ops.n;
    for (size_t u = 0; u < ARRAY_LEN(units) && n <= 200 && !k->over; u++) {
        if (is_round(k->best, units[u]))
            return;
        struct lab_scenario *s = shrink_next(k);
        for (uint32_t i = 0; i < n; i++)
            round_item(s, i, units[u]);
        lab_ops_sort(&s->ops);
        if (shrink_try(k))
            return;
        for (uint32_t i = 0; i < n && u && !k->over; i++) {
            round_item(shrink_next(k), i, units[u]);
            lab_ops_sort(&k->next->ops);
            shrink_try(k);
        }
    }
}

/* ---- what one fault, one operation says ---- */

static void shrink_fault(struct shrink *k, uint32_t i)
{
    static const int64_t shorter[] = {1000000, 10000000, 100000000, 1000000000};
    for (size_t j = 0; j < ARRAY_LEN(shorter); j++) {
        if (k->best->faults[i].for_ns <= shorter[j] * 3 / 2)
            break;
        shrink_next(k)->faults[i].for_ns = shorter[j];
        if (shrink_try(k))
            break;
    }
    if (k->best->faults[i].one_way) {
        shrink_next(k)->faults[i].one_way = false;
        shrink_try(k);
    }
    if (k->best->faults[i].n_given) {
        shrink_next(k)->faults[i].n_given = 0;
        k->next->faults[i].n_chance = 0;
        shrink_try(k);
    }
}

static void cut_step(struct lab_op *op, uint32_t i)
{
    memmove(&op->steps[i], &op->steps[i + 1], (op->n_steps - i - 1u) * sizeof op->steps[0]);
    op->n_steps--;
}

static void shrink_steps(struct shrink *k, uint32_t i)
{
    for (uint32_t j = k->best->ops.op[i].n_steps; j-- > 0 && !k->over;) {
        cut_step(&shrink_next(k)->ops.op[i], j);
        if (shrink_try(k))
            continue;
        if (k->best->ops.op[i].steps[j].kind == LAB_STEP_ASK)
            continue;
        const struct lab_step was = k->best->ops.op[i].steps[j];
        if (was.wait_ns && was.kind < LAB_STEP_WAIT) {
            shrink_next(k)->ops.op[i].steps[j].wait_ns = 0;
            shrink_try(k);
        }
        if (was.off && was.kind < LAB_STEP_WAIT) {
            shrink_next(k)->ops.op[i].steps[j].off = 0;
            shrink_try(k);
        }
        if (was.len > 100) {
            shrink_next(k)->ops.op[i].steps[j].len = 100;
            shrink_try(k);
        }
    }
}

/* "/a#6/b#2" -> "/a/b": which of its name it is says something only where it matters */
static bool unmark(char *path)
{
    char *to = path;
    for (const char *at = path; *at;) {
        size_t digits = *at == '#' ? strspn(at + 1, "0123456789") : 0;
        if (digits && (at[digits + 1] == '/' || !at[digits + 1]))
            at += digits + 1;
        else
            *to++ = *at++;
    }
    bool less = *to != 0;
    *to = 0;
    return less;
}

static void shrink_op(struct shrink *k, uint32_t i)
{
    static const size_t plain[] = {offsetof(struct lab_op, user), offsetof(struct lab_op, flags)};
    if (k->best->ops.op[i].n_steps) {
        shrink_next(k)->ops.op[i].n_steps = 0;
        if (!shrink_try(k))
            shrink_steps(k, i);
    }
    for (size_t j = 0; j < ARRAY_LEN(plain); j++) {
        const void *was = (char *)&k->best->ops.op[i] + plain[j];
        if (!*(const uint32_t *)was)
            continue;
        *(uint32_t *)(void *)((char *)&shrink_next(k)->ops.op[i] + plain[j]) = 0;
        shrink_try(k);
    }
    struct lab_op *op = &shrink_next(k)->ops.op[i];
    bool in = unmark(op->in), to = unmark(op->to);
    if (in || to)
        shrink_try(k);
}

static void shrink_items(struct shrink *k)
{
    bool fills = false;
    for (uint32_t i = 0; i < k->best->ops.n; i++)
        for (uint32_t j = 0; j < k->best->ops.op[i].n_steps; j++)
            fills |= k->best->ops.op[i].steps[j].fill != 0;
    if (fills) {
        struct lab_scenario *s = shrink_next(k);
        for (uint32_t i = 0; i < s->ops.n; i++)
            for (uint32_t j = 0; j < s->ops.op[i].n_steps; j++)
                s->ops.op[i].steps[j].fill = 0;
        shrink_try(k);
    }
    for (uint32_t i = 0; i < k->best->n_faults && !k->over; i++)
        shrink_fault(k, i);
    for (uint32_t i = 0; i < k->best->ops.n && !k->over; i++)
        shrink_op(k, i);
}

/* ---- machines ---- */

/* without the faults of machines that are not there */
static void cut_strangers(struct lab_scenario *s)
{
    uint32_t n = s->n_faults, faults = 0, kept = 0;
    char why[LAB_ERROR];
    struct lab_ops ops = s->ops;
    struct lab_chances chances = s->chances;
    s->ops.n = s->chances.n = 0;
    lab_link_cut_strangers(s);
    for (uint32_t i = 0; i < n; i++) {
        struct lab_fault f = s->faults[i], first = s->faults[0];
        if (!strcmp(f.node, "leader") && s->masters == 1)
            fmt_into(f.node, sizeof f.node, "m1");
        if (!strcmp(f.to, "leader") && s->masters == 1)
            fmt_into(f.to, sizeof f.to, "m1");
        s->faults[0] = f;
        s->n_faults = 1;
        bool known = lab_scenario_check(s, why) == 0;
        s->faults[0] = first;
        if (known)
            s->faults[faults++] = f;
    }
    s->n_faults = 0;
    for (uint32_t i = 0; i < chances.n; i++) {
        chances.c[kept] = chances.c[i];
        s->chances = (struct lab_chances){&chances.c[kept], 1, 1};
        kept += lab_scenario_check(s, why) == 0;
    }
    chances.n = kept;
    s->chances = chances;
    s->n_faults = faults;
    s->ops = ops;
}

static bool names_client(const char *name, uint32_t client)
{
    char its[16];
    fmt_into(its, sizeof its, "c%u", client + 1);
    return !strcmp(name, its);
}

/* in all lists; `to` is not called otherwise yet */
static void call_client(struct lab_scenario *s, uint32_t client, uint32_t to)
{
    for (uint32_t i = 0; i < s->n_faults; i++) {
        struct lab_fault *f = &s->faults[i];
        if (names_client(f->node, client))
            fmt_into(f->node, sizeof f->node, "c%u", to + 1);
        if (names_client(f->to, client))
            fmt_into(f->to, sizeof f->to, "c%u", to + 1);
    }
    for (uint32_t i = 0; i < s->chances.n; i++) {
        struct sim_chance *x = &s->chances.c[i];
        if (names_client(x->node, client))
            fmt_into(x->node, sizeof x->node, "c%u", to + 1);
        if (names_client(x->to, client))
            fmt_into(x->to, sizeof x->to, "c%u", to + 1);
    }
    for (uint32_t i = 0; i < s->links.n; i++) {
        struct lab_link *x = &s->links.link[i];
        if (names_client(x->from, client))
            fmt_into(x->from, sizeof x->from, "c%u", to + 1);
        if (names_client(x->to, client))
            fmt_into(x->to, sizeof x->to, "c%u", to + 1);
    }
    for (uint32_t i = 0; i < s->links.n_nics; i++)
        if (names_client(s->links.nic[i].node, client))
            fmt_into(s->links.nic[i].node, sizeof s->links.nic[i].node, "c%u", to + 1);
}

/* clients and threads that do nothing are left out, the others called by the first numbers */
static void compact(struct lab_scenario *s)
{
    uint32_t n = 0, threads = 1;
    for (uint32_t c = 0; c < s->clients; c++) {
        uint32_t used = 0;
        bool does = false;
        for (uint32_t t = 0; t < s->load.threads; t++) {
            bool is_used = false;
            for (uint32_t i = 0; i < s->ops.n; i++) {
                struct lab_op *op = &s->ops.op[i];
                if (op->client != c || op->thread != t || (op->order & 1u << 31))
                    continue;
                is_used = does = true;
                op->client = n;
                op->thread = used;
                op->order |= 1u << 31; /* has its number */
            }
            used += is_used;
        }
        threads = used > threads ? used : threads;
        if (does)
            call_client(s, c, n);
        n += does;
    }
    for (uint32_t i = 0; i < s->ops.n; i++)
        s->ops.op[i].order &= ~(1u << 31);
    s->clients = n ? n : 1;
    s->load.threads = threads;
}

/* all that is done, by threads of the first client */
static void gather(struct lab_scenario *s)
{
    uint32_t threads = s->load.threads;
    s->load.threads *= s->clients;
    for (uint32_t i = 0; i < s->ops.n; i++) {
        s->ops.op[i].thread += s->ops.op[i].client * threads;
        s->ops.op[i].client = 0;
    }
    compact(s);
    cut_strangers(s);
}

static void shrink_machines(struct shrink *k)
{
    static const uint32_t masters[] = {1, 3};
    if (k->best->has_ops) {
        compact(shrink_next(k));
        cut_strangers(k->next);
        if (k->next->clients < k->best->clients || k->next->load.threads < k->best->load.threads)
            shrink_try(k);
    }
    if (k->best->has_ops && k->best->clients > 1 &&
        k->best->clients * k->best->load.threads < 256) {
        gather(shrink_next(k));
        shrink_try(k);
    }
    for (uint32_t n = 0; n < k->best->workers && n < 3 && !k->over; n++) {
        shrink_next(k)->workers = n;
        cut_strangers(k->next);
        shrink_try(k);
    }
    for (uint32_t n = 1; n < k->best->clients && n < 4 && !k->best->has_ops && !k->over; n++) {
        shrink_next(k)->clients = n;
        cut_strangers(k->next);
        shrink_try(k);
    }
    for (size_t i = 0; i < ARRAY_LEN(masters) && !k->over; i++) {
        if (masters[i] >= k->best->masters)
            continue;
        shrink_next(k)->masters = masters[i];
        if (k->next->journal.members > masters[i])
            k->next->journal.members = 0;
        cut_strangers(k->next);
        shrink_try(k);
    }
}

/* ---- knobs ---- */

/* chances of the world, that are 0 where nothing is left to chance */
static const char *const chances[] = {"fault_on_ppm",
                                      "stall_ppm",
                                      "net.pair_extra_max",
                                      "net.loss_ppm",
                                      "net.reorder_ppm",
                                      "net.reset_ppm",
                                      "net.half_open_ppm",
                                      "net.clog_ppm",
                                      "disk.stall_ppm",
                                      "clock.drift_max_ppm",
                                      "clock.wall_offset_max",
                                      "clock.mono_offset_max",
                                      "store.eio_ppm",
                                      "store.short_ppm",
                                      "disk.read_error_ppm",
                                      "disk.write_error_ppm",
                                      "disk.misdirect_write_ppm",
                                      "disk.misdirect_read_ppm"};
/* what becomes smaller, down to a least */
static const struct {
    const char *name;
    uint64_t least;
    bool drawn; /* says nothing to explicit operations */
} smaller[] = {{"store.files", 0, false},           {"store.dirs", 0, false},
               {"store.file_bytes", 1000, false},   {"load.io_bytes", 1000, true},
               {"load.file_bytes", 1000, true},     {"journal.keys", 1, false},
               {"journal.record_bytes", 64, false}, {"journal.ballast_bytes", 0, false}};
/* what is promised or asked of the cluster, what is done otherwise here, and what says nothing */
static const char *const kept[] = {"bound",           "duration",
                                   "masters",         "workers",
                                   "clients",         "seed",
                                   "swarm",           "master.lease",
                                   "master.session",  "client.deadline",
                                   "journal.only",    "journal.raft",
                                   "journal.members", "store.check_interval",
                                   "journal.zk",      "zk.servers",
                                   "zk.session",      "zk.tick"};

static uint32_t knob(const char *name)
{
    uint32_t i = 0;
    while (lab_scenario_key_name(i) && strcmp(lab_scenario_key_name(i), name) != 0)
        i++;
    ASSERT(lab_scenario_key_name(i) != NULL);
    return i;
}

static bool knob_is(uint32_t i, const char *const *names, size_t n)
{
    for (size_t j = 0; j < n; j++)
        if (!strcmp(lab_scenario_key_name(i), names[j]))
            return true;
    return false;
}

static bool knob_try(struct shrink *k, uint32_t i, uint64_t v)
{
    if (lab_scenario_get(k->best, i) == v || k->over)
        return false;
    return lab_scenario_put(shrink_next(k), i, v) && shrink_try(k);
}

static bool shrink_all_chances(struct shrink *k, bool listed)
{
    struct lab_scenario *s = shrink_next(k);
    bool any = listed && s->chances.n;
    for (size_t i = 0; i < ARRAY_LEN(chances); i++) {
        any |= lab_scenario_get(s, knob(chances[i])) != 0;
        lab_scenario_put(s, knob(chances[i]), 0);
    }
    if (listed)
        s->chances.n = 0;
    return !any || shrink_try(k);
}

static void shrink_chances(struct shrink *k)
{
    if (shrink_all_chances(k, false))
        return;
    for (size_t i = 0; i < ARRAY_LEN(chances); i++)
        knob_try(k, knob(chances[i]), 0);
}

static void shrink_sizes(struct shrink *k)
{
    for (size_t i = 0; i < ARRAY_LEN(smaller); i++) {
        uint32_t at = knob(smaller[i].name);
        uint64_t least = smaller[i].least;
        bool journals = !strncmp(smaller[i].name, "journal.", 8);
        if (journals != lab_scenario_is_group(k->best) || (smaller[i].drawn && k->best->has_ops) ||
            lab_scenario_get(k->best, at) <= least || knob_try(k, at, least))
            continue;
        for (int halves = 0; halves < 12; halves++) {
            uint64_t v = lab_scenario_get(k->best, at);
            if (v / 2 < least || !knob_try(k, at, v / 2))
                break;
        }
    }
}

static bool knob_may_default(uint32_t i)
{
    const char *name = lab_scenario_key_name(i);
    bool sized = false;
    for (size_t j = 0; j < ARRAY_LEN(smaller); j++)
        sized |= !strcmp(name, smaller[j].name);
    return !sized && strncmp(name, "load.", 5) != 0 && strncmp(name, "random.", 7) != 0 &&
           !knob_is(i, kept, ARRAY_LEN(kept)) && !knob_is(i, chances, ARRAY_LEN(chances));
}

/* what is as it usually is need not be said */
static void shrink_knobs(struct shrink *k)
{
    static struct lab_scenario usual;
    lab_scenario_default(&usual);
    struct lab_scenario *s = shrink_next(k);
    bool any = false;
    for (uint32_t i = 0; lab_scenario_key_name(i); i++) {
        uint64_t v = lab_scenario_get(&usual, i);
        if (!knob_may_default(i) || lab_scenario_get(s, i) == v)
            continue;
        lab_scenario_put(s, i, v);
        any = true;
    }
    if (!any || shrink_try(k))
        return;
    for (uint32_t i = 0; lab_scenario_key_name(i) && !k->over; i++)
        if (knob_may_default(i))
            knob_try(k, i, lab_scenario_get(&usual, i));
}

/* ---- few of few ---- */

/* Only those of the set (a bit each: faults, then operations).  The operations begin gap_ns apart
 * (0: when they did), those of one moment together; the first fault after_ns after the operation
 * before it, the others as long after theirs as before; after_ns < 0: the first one, too. */
static bool few_try(struct shrink *k, uint32_t set, int64_t gap_ns, int64_t after_ns)
{
    const struct lab_scenario *b = k->best;
    struct lab_scenario *s = shrink_next(k);
    int64_t spare_ns = b->duration_ns - last_ns(b), began[FEW], at_ns = 0, was_ns = 0;
    uint32_t nf = b->n_faults, n = 0;
    for (uint32_t i = 0; i < b->ops.n; i++) {
        if (!(set & 1u << (nf + i)))
            continue;
        bool together = n && b->ops.op[i].at_ns == was_ns;
        at_ns = !gap_ns ? b->ops.op[i].at_ns : together ? at_ns : n ? at_ns + gap_ns : 1000000;
        was_ns = b->ops.op[i].at_ns;
        began[i] = at_ns;
        s->ops.op[n] = b->ops.op[i];
        s->ops.op[n++].at_ns = began[i];
    }
    s->ops.n = n;
    n = 0;
    for (uint32_t i = 0; i < nf; i++) {
        if (!(set & 1u << i))
            continue;
        struct lab_fault f = b->faults[i];
        for (uint32_t j = b->ops.n; j-- > 0;)
            if ((set & 1u << (nf + j)) && b->ops.op[j].at_ns <= f.at_ns) {
                f.at_ns =
                    began[j] + (after_ns >= 0 && n == 0 ? after_ns : f.at_ns - b->ops.op[j].at_ns);
                break;
            }
        s->faults[n++] = f;
    }
    s->n_faults = n;
    s->duration_ns = last_ns(s) + (spare_ns > 0 ? spare_ns : 0) + 20000000;
    s->duration_ns = s->duration_ns / 1000000 * 1000000;
    return shrink_try(k);
}

static bool few_of(struct shrink *k, uint32_t set, uint32_t size)
{
    static const int64_t gaps[] = {0, 1000000, 20000000, 300000000}, step = 100000, most = 2000000;
    for (size_t i = 0; i < ARRAY_LEN(gaps); i++)
        if (few_try(k, set, gaps[i], -1))
            return true;
    if (size > 3 || !(set & ((1u << k->best->n_faults) - 1)))
        return false;
    for (int64_t after = 0; after < most; after += step)
        if (few_try(k, set, gaps[2], after))
            return true;
    return false;
}

/* Where one at a time and two at a time give way no more: every smaller set, the smallest first, at
 * other times, too - a fault that is a little later does what took two. */
static bool shrink_few(struct shrink *k)
{
    uint32_t n = k->best->n_faults + k->best->ops.n;
    if (n > FEW || !k->best->has_ops)
        return false;
    for (uint32_t size = 1; size < n; size++)
        for (uint32_t set = 1; set < 1u << n && !k->over; set++)
            if ((uint32_t)__builtin_popcount(set) == size && few_of(k, set, size))
                return true;
    return false;
}

/* ---- all of it ---- */

static void shrink_round(struct shrink *k)
{
    shrink_duration(k);
    shrink_list(k, CHANCES); /* first: each is bound to its moment */
    shrink_list(k, FAULTS);
    shrink_list(k, OPS);
    shrink_list(k, CHANCES);
    shrink_duration(k);
    shrink_chances(k);
    shrink_list(k, LINKS);
    shrink_list(k, NICS);
    shrink_machines(k);
    shrink_knobs(k);
    shrink_sizes(k);
    shrink_items(k);
    shrink_pairs(k);
    shrink_gaps(k);
}

bool lab_shrink(struct lab_scenario *s, int64_t at_ns, const struct lab_shrink *how)
{
    struct lab_scenario *two = calloc(2, sizeof *two);
    ASSERT(two != NULL);
    struct shrink k = {.how = how, .best = &two[0], .next = &two[1], .at_ns = at_ns};
    two[0] = *s;
    if (!shrink_all_chances(&k, true) && !s->has_chances)
        shrink_chances(&k);
    do {
        for (uint32_t rounds = 0, before = UINT32_MAX; rounds < 6 && k.gains != before && !k.over;
             rounds++) {
            before = k.gains;
            shrink_round(&k);
        }
    } while (shrink_few(&k));
    shrink_times(&k);
    shrink_duration(&k);
    *s = *k.best;
    k.next->measured = NULL; /* both have the one */
    lab_scenario_drop(k.next);
    free(two);
    return !k.over;
}
