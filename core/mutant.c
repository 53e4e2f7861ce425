/* core/mutant.c - which bug is on; in builds with -Dmutants=true only (see core/mutant.h). */
#include "core/mutant.h"

uint32_t mutant_on, mutant_also;
