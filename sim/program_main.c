/* sim/program_main.c - tarn-sim as it is built here: with no protocol but tarn's. */
#include "sim/tarn_sim_own.h"

int main(int argc, char **argv)
{
    return tarn_sim_own(argc, argv, NULL);
}
