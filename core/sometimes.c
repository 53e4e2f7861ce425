/* core/sometimes.c - the registry of marks (see core/sometimes.h). */
#include "core/sometimes.h"

const struct sometimes_mark sometimes_marks[SOMETIMES_COUNT] = {
#define SOMETIMES_ROW(name, group, text, what) \
    [SOMETIMES_##name] = {text, what, SOMETIMES_GROUP_##group},
    SOMETIMES_MARKS(SOMETIMES_ROW)
#undef SOMETIMES_ROW
};

uint64_t sometimes_hits[SOMETIMES_COUNT];
