// What train.device=auto comes to.
#ifndef SHOAL_TRAIN_DEVICE_CHOICE_H
#define SHOAL_TRAIN_DEVICE_CHOICE_H

#include "comm/comm.h"

// Puts cuda or cpu in place of auto, the same on all ranks: cuda where each rank finds a GPU of its
// own for each of its devices, and cuDNN, and NCCL where there is more than one device. Says what
// it chose where a GPU was found. Collective.
MUST_USE status device_choice_settle(struct config *c, struct comm *comm);

#endif
