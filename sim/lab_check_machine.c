/* sim/lab_check_machine.c - the masters, as the checkers see them: who applies what, who leads (see
 * sim/lab_check.h).
 *
 * Whoever applies an index first says what is there, and a machine that never crashes goes on with
 * it; every other master, and every later life, must agree: with the record's bytes, with its
 * answer, and with the state at some of the indices, at each image and at each leadership.
 *
 * A leader of an earlier epoch may learn late that it leads: then it has not applied all that its
 * successors have, but all that leaders before it had. */
#include "core/fmt.h"
#include "sim/lab_check_impl.h"

uint64_t lab_check_answer_hash(const struct meta_result *res)
{
    const struct fsop_reply *p = &res->reply;
    uint64_t f[] = {(uint64_t)(int64_t)p->err,
                    p->attr.ino.v,
                    p->attr.version,
                    p->intent,
                    p->value,
                    p->flags,
                    res->n_changes};
    return base_hash(f, sizeof f, 3);
}

/* is_rare: the log's state is hashed for it, if it is the last one */
static void machine_state(struct check_machine *m, uint64_t index, const struct meta *state,
                          bool is_rare, const char *what)
{
    struct lab_check *c = m->check;
    const uint64_t *kept =
        index % CHECK_STATE_EVERY ? NULL : lab_ring_at(&c->states, index / CHECK_STATE_EVERY);
    uint64_t want = kept ? *kept : 0;
    if (!want && is_rare && index == c->n_log)
        want = meta_hash(c->state);
    if (want && meta_hash(state) != want)
        lab_check_fail(c, LAB_LOG, "%s: another state than the log gives %s record %llu", m->name,
                       what, (unsigned long long)index);
}

static struct check_epoch *machine_epoch(struct lab_check *c, uint64_t epoch)
{
    for (uint64_t i = c->n_epochs; i-- > 0;)
        if (c->epochs[i].epoch == epoch)
            return &c->epochs[i];
    if (c->n_epochs == c->cap_epochs) {
        uint64_t cap = c->cap_epochs ? 2 * c->cap_epochs : 16;
        struct check_epoch *more = mem_zalloc(c->mem, cap * sizeof *more);
        ASSERT(more != NULL);
        if (c->n_epochs)
            memcpy(more, c->epochs, c->n_epochs * sizeof *more);
        mem_free(c->mem, c->epochs, c->cap_epochs * sizeof *more);
        c->epochs = more;
        c->cap_epochs = cap;
    }
    c->epochs[c->n_epochs] = (struct check_epoch){.epoch = epoch};
    return &c->epochs[c->n_epochs++];
}

static bool machine_skips(const struct lab_check *c, uint64_t before, uint64_t index)
{
    return c->cfg.is_group ? before != c->n_log : index != c->n_log + 1;
}

static void machine_on_apply(struct master_observer *o, uint64_t index, const struct fsop *op,
                             const struct meta_result *res, const struct meta *state)
{
    struct check_machine *m = container_of(o, struct check_machine, observer);
    struct lab_check *c = m->check;
    uint64_t before = m->applied;
    m->applied = index;
    const struct check_past *was = lab_ring_at(&c->past, index);
    c->findings[LAB_LOG].checks++;
    if (m->leads)
        machine_epoch(c, m->epoch)->applied = index;
    if (index > c->n_log) {
        if (machine_skips(c, before, index))
            lab_check_fail(c, LAB_LOG,
                           "%s: record %llu was applied after %llu, the last one was %llu", m->name,
                           (unsigned long long)index, (unsigned long long)before,
                           (unsigned long long)c->n_log);
        else
            lab_check_new(c, index, op, res);
    } else if (was && was->hash != (uint32_t)lab_check_hash(op)) {
        const struct check_record *r = lab_ring_at(&c->log, index);
        lab_check_fail(c, LAB_LOG,
                       "%s: record %llu (%s) differs from what it was when first applied (%s)",
                       m->name, (unsigned long long)index, fsop_kind_name(op->kind),
                       r ? fsop_kind_name(r->kind) : "long ago");
    } else if (was && was->answer != (uint32_t)lab_check_answer_hash(res)) {
        lab_check_fail(c, LAB_LOG,
                       "%s: record %llu (%s) has another answer than when first applied", m->name,
                       (unsigned long long)index, fsop_kind_name(op->kind));
    } else if (c->cfg.is_group && index % CHECK_STATE_EVERY == 0) {
        machine_state(m, index, state, false, "after");
    }
}

static void machine_on_image(struct master_observer *o, const struct meta *state)
{
    struct check_machine *m = container_of(o, struct check_machine, observer);
    struct lab_check *c = m->check;
    m->applied = meta_applied(state);
    c->findings[LAB_LOG].checks++;
    if (m->applied > c->n_log)
        lab_check_fail(c, LAB_LOG, "%s: an image of record %llu, the last one was %llu", m->name,
                       (unsigned long long)m->applied, (unsigned long long)c->n_log);
    else
        machine_state(m, m->applied, state, true, "in an image after");
}

static void machine_is_behind(struct check_machine *m, uint64_t epoch, uint64_t applied)
{
    struct lab_check *c = m->check;
    if (!c->cfg.is_group || applied > c->n_log)
        lab_check_fail(c, LAB_LOG, "%s: epoch %llu begins with record %llu, %llu had been applied",
                       m->name, (unsigned long long)epoch, (unsigned long long)applied,
                       (unsigned long long)c->n_log);
    for (uint64_t i = 0; i < c->n_epochs && c->cfg.is_group; i++) {
        const struct check_epoch *e = &c->epochs[i];
        if (e->epoch < epoch && e->applied > applied)
            lab_check_fail(c, LAB_LOG,
                           "%s: epoch %llu begins with record %llu, %s had applied %llu in epoch "
                           "%llu",
                           m->name, (unsigned long long)epoch, (unsigned long long)applied,
                           e->by->name, (unsigned long long)e->applied,
                           (unsigned long long)e->epoch);
    }
}

static void machine_on_lead(struct master_observer *o, uint64_t epoch, const struct meta *state)
{
    struct check_machine *m = container_of(o, struct check_machine, observer);
    struct lab_check *c = m->check;
    struct check_epoch *e = machine_epoch(c, epoch);
    uint64_t applied = meta_applied(state);
    c->findings[LAB_LOG].checks++;
    if (e->by || epoch <= m->epoch)
        lab_check_fail(c, LAB_LOG, "%s: epoch %llu had been %s's, its own last one was %llu",
                       m->name, (unsigned long long)epoch, e->by ? e->by->name : "nobody",
                       (unsigned long long)m->epoch);
    m->epoch = epoch;
    m->leads = true;
    if (c->on_lead)
        c->on_lead(c->lead_ctx, sim_now_ns(c->sim), m->name, epoch, true);
    e->by = m;
    e->applied = applied;
    if (applied != c->n_log)
        machine_is_behind(m, epoch, applied);
    else if (meta_hash(state) != meta_hash(c->state))
        lab_check_fail(c, LAB_LOG,
                       "%s: epoch %llu begins with another state than the log's %llu records give",
                       m->name, (unsigned long long)epoch, (unsigned long long)c->n_log);
}

static void machine_on_step_down(struct master_observer *o)
{
    struct check_machine *m = container_of(o, struct check_machine, observer);
    struct lab_check *c = m->check;
    m->leads = false;
    if (c->on_lead)
        c->on_lead(c->lead_ctx, sim_now_ns(c->sim), m->name, m->epoch, false);
}

void lab_check_on_lead(struct lab_check *c,
                       void (*fn)(void *ctx, int64_t at_ns, const char *name, uint64_t epoch,
                                  bool begins),
                       void *ctx)
{
    c->on_lead = fn;
    c->lead_ctx = ctx;
}

struct master_observer *lab_check_observer(struct lab_check *c, const char *name)
{
    ASSERT(c->n_machines < CHECK_MACHINES);
    struct check_machine *m = &c->machines[c->n_machines++];
    m->check = c;
    fmt_into(m->name, sizeof m->name, "%s", name);
    m->observer = (struct master_observer){machine_on_apply, machine_on_lead, machine_on_image,
                                           machine_on_step_down};
    return &m->observer;
}

void lab_check_starts(struct master_observer *o)
{
    struct check_machine *m = container_of(o, struct check_machine, observer);
    m->applied = 0;
    m->leads = false;
}

bool lab_check_even(struct lab_check *c, struct master_observer *o, const struct meta *state,
                    char *ret_why, size_t cap)
{
    struct check_machine *m = container_of(o, struct check_machine, observer);
    c->findings[LAB_LOG].checks++;
    if (meta_applied(state) != c->n_log) {
        fmt_into(ret_why, cap, "%s has applied %llu of %llu", m->name,
                 (unsigned long long)meta_applied(state), (unsigned long long)c->n_log);
        return false;
    }
    machine_state(m, c->n_log, state, true, "at the end, after");
    return true;
}

uint64_t lab_check_leaderships(const struct lab_check *c)
{
    return c->n_epochs;
}
