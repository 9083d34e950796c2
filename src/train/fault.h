// Faults on request, for tests of what a run does about them: SHOAL_FAULT="hang:RANK:STEP" hangs
// that rank as it loads that step's data, "stop" and "kill" send it SIGSTOP or SIGKILL there, and
// "slow:RANK:SECONDS" makes each of its steps so much longer.
#ifndef SHOAL_TRAIN_FAULT_H
#define SHOAL_TRAIN_FAULT_H

#include <stdint.h>

// Where a rank begins with a step's data; step counts from 1.
void fault_strike(int rank, int64_t step);

#endif
