/* sim/lab_plan.c - see lab_plan.h. */
#include "sim/lab_plan.h"

static const struct journal_member *lab_plan_member(const struct lab_plan *p, uint32_t id)
{
    for (uint32_t i = 0; id && i < p->view->n; i++)
        if (p->view->member[i].id == id)
            return &p->view->member[i];
    return NULL;
}

static struct lab_plan_machine *lab_plan_by_id(const struct lab_plan *p, uint32_t id)
{
    for (uint32_t i = 0; i < p->n; i++)
        if (p->machine[i].id == id)
            return &p->machine[i];
    return NULL;
}

uint32_t lab_plan_voters(const struct journal_status *view)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < view->n; i++)
        n += view->member[i].votes;
    return n;
}

static struct lab_plan_step lab_plan_at(enum lab_plan_kind kind, uint32_t machine)
{
    return (struct lab_plan_step){.kind = kind, .machine = machine};
}

static struct lab_plan_step lab_plan_change(enum journal_verb verb, uint32_t id,
                                            const struct lab_plan_machine *joiner)
{
    struct lab_plan_step s = {.kind = LAB_PLAN_CHANGE, .change = {.verb = verb, .id = id}};
    if (joiner)
        s.change.addr = joiner->addr;
    if (verb == JOURNAL_REPLACE)
        s.change.new_id = joiner->id;
    return s;
}

/* one that is on its way in and whose disk is lost never comes: it is replaced meanwhile */
static bool lab_plan_is_changing(const struct lab_plan *p)
{
    bool changing = p->view->is_changing;
    for (uint32_t i = 0; i < p->view->n; i++) {
        const struct journal_member *m = &p->view->member[i];
        changing |= (m->joins && lab_plan_by_id(p, m->id)) || m->leaving;
    }
    return changing;
}

struct lab_plan_step lab_plan_mend(const struct lab_plan *p)
{
    struct lab_plan_machine *joiner = NULL;
    for (uint32_t i = 0; i < p->view->n; i++) { /* it has no vote yet: nothing rests on its disk */
        const struct journal_member *m = &p->view->member[i];
        struct lab_plan_machine *k = lab_plan_by_id(p, m->id);
        if (k && k->is_corrupt && m->joins && !m->votes)
            return lab_plan_at(LAB_PLAN_FRESH, (uint32_t)(k - p->machine));
    }
    if (lab_plan_is_changing(p))
        return lab_plan_at(LAB_PLAN_WAIT, 0);
    for (uint32_t i = 0; i < p->n; i++) {
        struct lab_plan_machine *k = &p->machine[i];
        if (k->lost)
            return lab_plan_at(LAB_PLAN_FRESH, i); /* another one, in the place of the old */
        bool in = lab_plan_member(p, k->id) != NULL;
        k->was_in |= in;
        if (k->id && !in && k->was_in)
            return lab_plan_at(LAB_PLAN_EMPTY, i);
        if (k->id && !in && !joiner)
            joiner = k;
    }
    for (uint32_t i = 0; i < p->view->n; i++) {
        uint32_t id = p->view->member[i].id;
        if (!lab_plan_by_id(p, id))
            return lab_plan_change(joiner ? JOURNAL_REPLACE : JOURNAL_REMOVE, id, joiner);
    }
    return joiner ? lab_plan_change(JOURNAL_ADD, joiner->id, joiner)
                  : lab_plan_at(LAB_PLAN_REST, 0);
}

/* a group of one voter less still stands what is damaged */
static bool lab_plan_may_shrink(const struct lab_plan *p)
{
    uint32_t voters = lab_plan_voters(p->view);
    return voters >= 3 && voters - 1 > 2 * p->damaged;
}

static struct lab_plan_step lab_plan_members(const struct lab_plan *p, uint64_t chance)
{
    uint32_t what = (uint32_t)(chance % 8), spare = 0;
    chance /= 8;
    uint32_t some = p->view->n ? p->view->member[chance % p->view->n].id : 0;
    while (spare < p->n && p->machine[spare].id)
        spare++;
    if (what < 3 && spare < p->n)
        return lab_plan_at(LAB_PLAN_FRESH, spare);
    if (what < p->removals && lab_plan_may_shrink(p))
        return lab_plan_change(JOURNAL_REMOVE, some, NULL);
    if (what != 5)
        return lab_plan_change(JOURNAL_ELECT, chance % 5 ? some : 0, NULL);
    struct lab_plan_step s = lab_plan_change(JOURNAL_PRIORITY, some, NULL);
    s.change.priority = (uint8_t)(chance / 16 % 4);
    return s;
}

struct lab_plan_step lab_plan_grant(const struct lab_plan *p, enum lab_fault_kind wish,
                                    uint32_t machine, uint64_t chance)
{
    if (wish == LAB_FAULT_MEMBERS)
        return lab_plan_members(p, chance);
    if (wish == LAB_FAULT_WIPE && machine < p->n && lab_plan_member(p, p->machine[machine].id) &&
        lab_plan_voters(p->view) >= 3)
        return lab_plan_at(LAB_PLAN_FRESH, machine);
    return lab_plan_at(LAB_PLAN_REST, 0);
}
