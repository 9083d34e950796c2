// The device that a suite runs on: the CPU, or with SHOAL_TEST_DEVICE=cuda the first GPU.
#ifndef SHOAL_TESTS_SUPPORT_ON_DEVICE_H
#define SHOAL_TESTS_SUPPORT_ON_DEVICE_H

#include "tensor/device.h"

// threads: of the CPU. Skips the whole program where a GPU is asked for and there is none. Errors:
// as device_open_cpu and device_open_gpu.
MUST_USE status on_device_open(int threads, enum dtype compute, struct device **out);

#endif
