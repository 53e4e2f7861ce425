/* sim/tarn_sim_own.h - the program tarn-sim with a protocol of your own: call it from main. */
#ifndef SIM_TARN_SIM_OWN_H
#define SIM_TARN_SIM_OWN_H

#include "sim/lab_own.h"

/* all of tarn-sim's commands; own NULL: without one.  ret: the exit status */
int tarn_sim_own(int argc, char **argv, const struct lab_own *own);

#endif
