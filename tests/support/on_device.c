// See on_device.h.
#include "support/on_device.h"

#include <stdlib.h>
#include <string.h>

#include "support/test.h"
#include "tensor/gpu.h"

status on_device_open(int threads, enum dtype compute, struct device **out)
{
    static struct gpu_list gpus;
    const char *where = getenv("SHOAL_TEST_DEVICE");
    if (where == NULL || strcmp(where, "cuda") != 0) return device_open_cpu(threads, compute, out);
    gpu_find(&gpus);
    if (gpus.n == 0) test_skip(gpus.reason);
    return device_open_gpu(0, compute, false, true, out);
}
