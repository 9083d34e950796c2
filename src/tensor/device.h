// A device at work: the backend's functions, one stream of work, and the pool of its memory.
#ifndef SHOAL_TENSOR_DEVICE_H
#define SHOAL_TENSOR_DEVICE_H

#include "tensor/backend.h"
#include "tensor/pool.h"
#include "tensor/tensor.h"

struct device {
    const struct backend_ops *ops;
    struct stream *stream;
    struct pool *pool;
    enum dtype compute; // of activations: DTYPE_F32 or DTYPE_BF16
};

// The CPU with n threads (0: as many as the process may use). E_UNSUPPORTED where compute is bf16
// and the processor has no instructions that oneDNN can run it with.
MUST_USE status device_open_cpu(int threads, enum dtype compute, struct device **out);
// GPU number n (gpu.h). compute: fp32 or bf16; tf32 and deterministic as gpu_open says.
// E_UNSUPPORTED, saying why, where it cannot be used.
MUST_USE status device_open_gpu(int number, enum dtype compute, bool tf32, bool deterministic,
                                struct device **out);
void device_close(struct device *d);

#endif
