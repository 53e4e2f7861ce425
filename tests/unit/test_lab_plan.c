/* tests/unit/test_lab_plan.c - what is done about a group of masters, and what is not. */
#include "sim/lab_plan.h"
#include "tests/unit/unit.h"

static struct journal_status view;
static struct lab_plan_machine machine[5];
static struct lab_plan plan;

/* three voters, 1 to 3, on the first three of five machines; all is in order */
static void plan_init(void)
{
    memset(&view, 0, sizeof view);
    memset(machine, 0, sizeof machine);
    view.n = 3;
    for (uint32_t i = 0; i < 3; i++) {
        view.member[i].id = machine[i].id = i + 1;
        view.member[i].votes = machine[i].was_in = true;
    }
    for (uint32_t i = 0; i < 5; i++)
        machine[i].addr = i % 2 ? "odd:1" : "even:1";
    plan = (struct lab_plan){.view = &view, .machine = machine, .n = 5, .removals = 5};
}

static bool plan_is(struct lab_plan_step s, enum lab_plan_kind kind, uint32_t at)
{
    return s.kind == kind && s.machine == at;
}

static bool plan_asks(struct lab_plan_step s, enum journal_verb verb, uint32_t id, uint32_t new_id)
{
    return s.kind == LAB_PLAN_CHANGE && s.change.verb == verb && s.change.id == id &&
           s.change.new_id == new_id;
}

static void test_in_order(void)
{
    plan_init();
    CU_ASSERT(plan_is(lab_plan_mend(&plan), LAB_PLAN_REST, 0));
    view.is_changing = true;
    CU_ASSERT(plan_is(lab_plan_mend(&plan), LAB_PLAN_WAIT, 0));
    view.is_changing = false;
    view.member[1].leaving = true;
    CU_ASSERT(plan_is(lab_plan_mend(&plan), LAB_PLAN_WAIT, 0));
}

static void test_lost_disk_is_replaced_under_a_new_id(void)
{
    plan_init();
    machine[1].lost = true;
    view.is_changing = true; /* not in the middle of something */
    CU_ASSERT(plan_is(lab_plan_mend(&plan), LAB_PLAN_WAIT, 0));
    view.is_changing = false;
    CU_ASSERT(plan_is(lab_plan_mend(&plan), LAB_PLAN_FRESH, 1));
    machine[1] = (struct lab_plan_machine){.id = 4, .addr = "odd:1"};
    struct lab_plan_step s = lab_plan_mend(&plan);
    CU_ASSERT(plan_asks(s, JOURNAL_REPLACE, 2, 4) && !strcmp(s.change.addr, "odd:1"));
    view.member[1].id = 4; /* it is on its way in: wait for it */
    view.member[1].joins = true;
    CU_ASSERT(plan_is(lab_plan_mend(&plan), LAB_PLAN_WAIT, 0));
    CU_ASSERT(machine[1].id == 4);
    view.member[1].joins = false;
    CU_ASSERT(plan_is(lab_plan_mend(&plan), LAB_PLAN_REST, 0) && machine[1].was_in);
}

static void test_members_come_and_go(void)
{
    plan_init();
    view.n = 2; /* 3 was removed: it is stopped, and not taken in again */
    CU_ASSERT(plan_is(lab_plan_mend(&plan), LAB_PLAN_EMPTY, 2));
    machine[2] = (struct lab_plan_machine){0};
    CU_ASSERT(plan_is(lab_plan_mend(&plan), LAB_PLAN_REST, 0));
    machine[3].id = 9;
    CU_ASSERT(plan_asks(lab_plan_mend(&plan), JOURNAL_ADD, 9, 0));
    machine[0].id = 0; /* a member without a machine, and nobody to take its place */
    machine[3].id = 0;
    CU_ASSERT(plan_asks(lab_plan_mend(&plan), JOURNAL_REMOVE, 1, 0));
}

static void test_joiner_whose_disk_is_damaged(void)
{
    plan_init();
    machine[3] = (struct lab_plan_machine){.id = 4, .is_corrupt = true};
    view.member[view.n++] = (struct journal_member){.id = 4, .joins = true};
    CU_ASSERT(plan_is(lab_plan_mend(&plan), LAB_PLAN_FRESH, 3));
    view.member[3].votes = true; /* then something rests on its disk */
    CU_ASSERT(plan_is(lab_plan_mend(&plan), LAB_PLAN_WAIT, 0));
    view.member[3].votes = false;
    machine[3].id = 5; /* the one on its way never comes */
    CU_ASSERT(plan_asks(lab_plan_mend(&plan), JOURNAL_REPLACE, 4, 5));
}

static void test_wishes(void)
{
    plan_init();
    CU_ASSERT(plan_is(lab_plan_grant(&plan, LAB_FAULT_WIPE, 2, 0), LAB_PLAN_FRESH, 2));
    CU_ASSERT(plan_is(lab_plan_grant(&plan, LAB_FAULT_WIPE, 3, 0), LAB_PLAN_REST, 0));
    CU_ASSERT(plan_is(lab_plan_grant(&plan, LAB_FAULT_WIPE, UINT32_MAX, 0), LAB_PLAN_REST, 0));
    CU_ASSERT(plan_is(lab_plan_grant(&plan, LAB_FAULT_MEMBERS, 0, 0), LAB_PLAN_FRESH, 3));
    CU_ASSERT(plan_asks(lab_plan_grant(&plan, LAB_FAULT_MEMBERS, 0, 8 + 3), JOURNAL_REMOVE, 2, 0));
    struct lab_plan_step s = lab_plan_grant(&plan, LAB_FAULT_MEMBERS, 0, 8 * 35 + 5);
    CU_ASSERT(plan_asks(s, JOURNAL_PRIORITY, 3, 0) && s.change.priority == 2);
    CU_ASSERT(plan_asks(lab_plan_grant(&plan, LAB_FAULT_MEMBERS, 0, 8 + 6), JOURNAL_ELECT, 2, 0));
    plan.damaged = 1; /* two voters do not stand one damaged disk */
    CU_ASSERT(plan_asks(lab_plan_grant(&plan, LAB_FAULT_MEMBERS, 0, 8 + 3), JOURNAL_ELECT, 2, 0));
    plan.damaged = 0;
    view.n = 2;
    CU_ASSERT(plan_is(lab_plan_grant(&plan, LAB_FAULT_WIPE, 1, 0), LAB_PLAN_REST, 0));
    CU_ASSERT(plan_asks(lab_plan_grant(&plan, LAB_FAULT_MEMBERS, 0, 8 + 3), JOURNAL_ELECT, 2, 0));
}

UNIT_MAIN("lab plan", UNIT(test_in_order), UNIT(test_lost_disk_is_replaced_under_a_new_id),
          UNIT(test_members_come_and_go), UNIT(test_joiner_whose_disk_is_damaged),
          UNIT(test_wishes))
