/* sim/lab_check_append.c - files that several clients append to (see sim/lab_check.h).
 *
 * The model of such a file is a list of pieces: this append's bytes, zeros that a truncation to
 * more than there was has put there, or nothing yet.  The changes that the under-store made are
 * followed one by one, in the order in which they were made.
 *
 * INVARIANTS
 *  1. Bytes come from one append, at the place that it was given; where another one's stand, or a
 *     truncation has put zeros, nobody writes.
 *  2. An append is acknowledged when all of its bytes were there.
 *  3. It is behind everything that was acknowledged before it was begun, unless that was cut off.
 *  4. What was placed before a truncation does not come after it, behind the new end.
 *  5. Where nothing came there is an append of which nobody knows what became of it: its client
 *     died, was told no place, or that the write failed.  What was placed before the last
 *     truncation is no such excuse; a question that nobody waits for any more may be answered after
 *     it.
 *  6. Where nothing was begun nothing comes. */
#include "sim/lab_check_impl.h"

enum { PIECE_BEFORE = 1 << 30, PIECE_ZEROS, PIECE_NOTHING }; /* beside numbers of appends */

enum append_state { APPEND_ASKED, APPEND_PLACED, APPEND_DONE, APPEND_UNUSED, APPEND_LOST };

struct check_append {
    const void *who;
    uint8_t *bytes;
    uint32_t len, came;   /* came: bytes that were there at some moment */
    uint32_t cuts, cuts0; /* when the last of them came, and when it was asked for */
    uint64_t off, floor;  /* floor: what was acknowledged ended there when it was asked for */
    int64_t placed_ns;
    bool is_placed, is_again; /* again: another place was lost, perhaps */
    uint64_t epochs;          /* leaderships before it was asked for */
    enum append_state state;
};

struct check_piece {
    uint64_t from, to;
    uint32_t what;
};

struct check_log {
    struct ino ino;
    uint64_t ufs, size, floor;
    uint32_t seen, cuts; /* changes of the under-store; truncations among them */
    int64_t cut_ns;
    bool is_over; /* it was written in another way, or something was wrong */
    struct check_append *appends;
    struct check_piece *pieces;
    uint32_t n_appends, cap_appends, n_pieces, cap_pieces;
};

static void *append_grow(struct lab_check *c, void *of, uint32_t n, uint32_t *cap, size_t each)
{
    if (n < *cap)
        return of;
    uint32_t more = *cap ? 2 * *cap : 32;
    void *to = mem_zalloc(c->mem, more * each);
    ASSERT(to != NULL);
    if (n)
        memcpy(to, of, n * each);
    mem_free(c->mem, of, *cap * each);
    *cap = more;
    return to;
}

static void log_push(struct lab_check *c, struct check_log *g, uint64_t from, uint64_t to,
                     uint32_t what)
{
    if (from >= to)
        return;
    g->pieces = append_grow(c, g->pieces, g->n_pieces, &g->cap_pieces, sizeof *g->pieces);
    g->pieces[g->n_pieces++] = (struct check_piece){from, to, what};
}

/* from .. to is that now */
static void log_set(struct lab_check *c, struct check_log *g, uint64_t from, uint64_t to,
                    uint32_t what)
{
    struct check_piece *old = g->pieces;
    uint32_t n = g->n_pieces, cap = g->cap_pieces, i = 0;
    if (from >= g->size) {
        log_push(c, g, g->size, from, PIECE_NOTHING);
        log_push(c, g, from, to, what);
        g->size = base_max_u64(g->size, to);
        return;
    }
    g->pieces = NULL;
    g->n_pieces = g->cap_pieces = 0;
    for (; i < n && old[i].from < from; i++)
        log_push(c, g, old[i].from, base_min_u64(old[i].to, from), old[i].what);
    log_push(c, g, from, to, what);
    for (i = 0; i < n; i++)
        log_push(c, g, base_max_u64(old[i].from, to), old[i].to, old[i].what);
    g->size = base_max_u64(g->size, to);
    mem_free(c->mem, old, cap * sizeof *old);
}

static void log_wrong(struct lab_check *c, struct check_log *g, uint64_t at, const char *what)
{
    lab_check_fail(c, LAB_DATA, "file %llu (under-store inode %llu), byte %llu, change %u: %s",
                   (unsigned long long)g->ino.v, (unsigned long long)g->ufs, (unsigned long long)at,
                   g->seen, what);
    g->is_over = true;
}

/* whose it is */
static uint32_t log_whose(const struct check_log *g, const struct lab_ufs_change *h)
{
    for (uint32_t i = g->n_appends; i-- > 0;) {
        const struct check_append *a = &g->appends[i];
        if (a->is_placed && h->off >= a->off && h->off + h->len <= a->off + a->len &&
            !memcmp(a->bytes + (h->off - a->off), h->data, h->len))
            return i;
    }
    return UINT32_MAX;
}

static void log_write(struct lab_check *c, struct check_log *g, const struct lab_ufs_change *h)
{
    uint32_t i = log_whose(g, h);
    uint64_t to = h->off + h->len, own = 0;
    if (i == UINT32_MAX) {
        log_wrong(c, g, h->off, "bytes that no append was to put there");
        return;
    }
    struct check_append *a = &g->appends[i];
    for (uint32_t k = 0; k < g->n_pieces; k++) {
        const struct check_piece *p = &g->pieces[k];
        uint64_t from = base_max_u64(p->from, h->off), until = base_min_u64(p->to, to);
        if (from >= until)
            continue;
        own += p->what == i ? until - from : 0;
        if (p->what != i && p->what != PIECE_NOTHING) {
            log_wrong(c, g, from,
                      p->what == PIECE_ZEROS ? "an append before the end of the file"
                                             : "an append over another one's bytes");
            return;
        }
    }
    if (h->off > g->size && g->cuts && a->placed_ns < g->cut_ns)
        log_wrong(c, g, g->size,
                  "nothing, and an append behind it: a truncation came between its "
                  "place and its bytes");
    else if (a->cuts0 == g->cuts && a->off < a->floor)
        log_wrong(c, g, a->off, "an append before what was acknowledged before it was begun");
    else if (a->state == APPEND_UNUSED)
        log_wrong(c, g, a->off, "an append at a place that it had given up");
    a->came += (uint32_t)(h->len - own);
    a->cuts = g->cuts;
    log_set(c, g, h->off, to, i);
}

/* so many bytes from `from` to `to` that no append of unknown outcome was to fill */
static uint64_t log_unexplained(const struct check_log *g, uint64_t from, uint64_t to)
{
    uint64_t left = 0;
    while (from < to) {
        uint64_t next = to;
        bool explained = false;
        for (uint32_t i = 0; i < g->n_appends && !explained; i++) {
            const struct check_append *a = &g->appends[i];
            if (!a->is_placed || a->state == APPEND_DONE || a->placed_ns < g->cut_ns)
                continue;
            explained = a->off <= from && from < a->off + a->len;
            if (explained)
                next = base_min_u64(to, a->off + a->len);
            else if (a->off > from)
                next = base_min_u64(next, a->off);
        }
        left += explained ? 0 : next - from;
        from = next;
    }
    return left;
}

static void log_holes(struct lab_check *c, struct check_log *g)
{
    uint64_t left = 0, at = 0;
    for (uint32_t k = 0; k < g->n_pieces; k++) {
        const struct check_piece *p = &g->pieces[k];
        uint64_t n = p->what == PIECE_NOTHING ? log_unexplained(g, p->from, p->to) : 0;
        at = n ? p->from : at;
        left += n;
    }
    for (uint32_t i = 0; i < g->n_appends && left; i++) {
        const struct check_append *a = &g->appends[i];
        if (!a->is_placed || a->is_again)
            left -= base_min_u64(left, a->len);
    }
    if (left)
        log_wrong(c, g, at, "nothing, where no append is to come");
}

static void log_cut(struct lab_check *c, struct check_log *g, const struct lab_ufs_change *h)
{
    log_holes(c, g);
    for (uint32_t k = 0; k < g->n_pieces; k++) {
        struct check_piece *p = &g->pieces[k];
        p->to = base_min_u64(p->to, h->size);
        if (p->what == PIECE_NOTHING) /* what was to come there comes no more */
            p->what = PIECE_ZEROS;
    }
    while (g->n_pieces && g->pieces[g->n_pieces - 1].from >= h->size)
        g->n_pieces--;
    log_push(c, g, g->size, h->size, PIECE_ZEROS);
    g->size = h->size;
    g->floor = base_min_u64(g->floor, h->size);
    g->cuts++;
    g->cut_ns = h->t_ns;
}

/* all that the under-store has done since */
static void log_follow(struct lab_check *c, struct check_log *g)
{
    uint64_t ufs[2];
    g->is_over |= lab_model_files(c->model, g->ino, ufs, ARRAY_LEN(ufs)) != 1 || ufs[0] != g->ufs ||
                  lab_model_is_shared(c->model, g->ufs) || lab_ufs_is_displaced(c->ufs, g->ufs);
    for (; !g->is_over && g->seen < lab_ufs_changes(c->ufs, g->ufs); g->seen++) {
        const struct lab_ufs_change *h = lab_ufs_change(c->ufs, g->ufs, g->seen);
        if (h->behind || h->kind == LAB_UFS_SEED)
            g->is_over = true;
        else if (h->kind == LAB_UFS_SIZE)
            log_cut(c, g, h);
        else
            log_write(c, g, h);
    }
}

static struct check_log *log_of(struct lab_check *c, struct ino ino)
{
    for (uint32_t i = 0; i < c->n_logs; i++)
        if (c->logs[i]->ino.v == ino.v)
            return c->logs[i];
    return NULL;
}

static struct check_log *log_new(struct lab_check *c, struct ino ino)
{
    uint64_t ufs[2];
    if (c->n_logs == CHECK_LOGS)
        return NULL;
    struct check_log *g = c->logs[c->n_logs++] = mem_zalloc(c->mem, sizeof *g);
    ASSERT(g != NULL);
    g->ino = ino;
    g->is_over = lab_model_files(c->model, ino, ufs, ARRAY_LEN(ufs)) != 1;
    for (uint32_t i = 0; i < c->n_writes; i++)
        g->is_over |= c->writes[i].ino.v == ino.v && c->writes[i].until_ns >= sim_now_ns(c->sim);
    g->ufs = g->is_over ? 0 : ufs[0];
    g->seen = g->is_over ? 0 : lab_ufs_changes(c->ufs, g->ufs);
    if (g->seen) {
        g->size = g->floor = lab_ufs_change(c->ufs, g->ufs, g->seen - 1)->size;
        log_push(c, g, 0, g->size, PIECE_BEFORE);
    }
    return g;
}

void lab_check_append_ask(struct lab_check *c, const void *who, struct ino ino, const void *bytes,
                          uint32_t len)
{
    struct check_log *g = log_of(c, ino);
    if (!g)
        g = log_new(c, ino);
    if (!g || g->is_over)
        return;
    log_follow(c, g);
    g->appends = append_grow(c, g->appends, g->n_appends, &g->cap_appends, sizeof *g->appends);
    struct check_append *a = &g->appends[g->n_appends++];
    *a = (struct check_append){
        .who = who, .len = len, .floor = g->floor, .cuts0 = g->cuts, .epochs = c->n_epochs};
    a->bytes = mem_alloc(c->mem, len);
    ASSERT(a->bytes != NULL);
    memcpy(a->bytes, bytes, len);
}

/* the one that `who` is at */
static struct check_append *append_of(struct lab_check *c, const void *who,
                                      struct check_log **ret_g)
{
    for (uint32_t k = 0; k < c->n_logs; k++)
        for (uint32_t i = c->logs[k]->n_appends; i-- > 0;) {
            struct check_append *a = &c->logs[k]->appends[i];
            *ret_g = c->logs[k];
            if (a->who == who && a->state <= APPEND_PLACED)
                return a;
        }
    return NULL;
}

void lab_check_append_place(struct lab_check *c, const void *who, uint64_t off, bool again)
{
    struct check_log *g;
    struct check_append *a = append_of(c, who, &g);
    if (!a)
        return;
    log_follow(c, g); /* what came before it is judged by the place that it had then */
    a->off = off;
    a->is_placed = true;
    a->is_again = again || a->epochs != c->n_epochs;
    a->placed_ns = sim_now_ns(c->sim);
    a->state = APPEND_PLACED;
}

void lab_check_append_end(struct lab_check *c, const void *who, enum lab_append_end how)
{
    struct check_log *g;
    struct check_append *a = append_of(c, who, &g);
    if (!a)
        return;
    log_follow(c, g);
    a->state = how == LAB_APPEND_DONE     ? APPEND_DONE
               : how == LAB_APPEND_UNUSED ? APPEND_UNUSED
                                          : APPEND_LOST;
    if (g->is_over)
        return;
    c->findings[LAB_DATA].checks++;
    if (how == LAB_APPEND_DONE && a->came < a->len)
        log_wrong(c, g, a->off, "an append was acknowledged that never was there as a whole");
    else if (how == LAB_APPEND_UNUSED && a->came)
        log_wrong(c, g, a->off, "an append that is begun anew, and was begun already");
    else if (how == LAB_APPEND_DONE && a->cuts == g->cuts)
        g->floor = base_max_u64(g->floor, a->off + a->len);
}

void lab_check_append_other(struct lab_check *c, struct ino ino)
{
    struct check_log *g = log_of(c, ino);
    if (g)
        g->is_over = true;
}

void lab_check_append_follow(struct lab_check *c, int64_t oldest_ns)
{
    for (uint32_t i = 0; i < c->n_logs; i++) {
        struct check_log *g = c->logs[i];
        log_follow(c, g);
        if (g->is_over || !lab_model_is_over(c->model, g->ino, oldest_ns))
            continue;
        log_holes(c, g);
        g->is_over = true;
    }
}

void lab_check_append_each(struct lab_check *c, void (*fn)(void *ctx, uint64_t ufs), void *ctx)
{
    for (uint32_t i = 0; i < c->n_logs; i++)
        if (!c->logs[i]->is_over)
            fn(ctx, c->logs[i]->ufs);
}

void lab_check_append_over(struct lab_check *c)
{
    for (uint32_t i = 0; i < c->n_logs; i++) {
        struct check_log *g = c->logs[i];
        log_follow(c, g);
        if (!g->is_over)
            log_holes(c, g);
        c->findings[LAB_DATA].checks++;
    }
}
