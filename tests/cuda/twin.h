// One buffer twice: in host memory for the CPU backend, and on the (fake) device for the CUDA
// backend. A slot is called on both with the same arguments, and what they wrote is compared.
#ifndef SHOAL_TESTS_CUDA_TWIN_H
#define SHOAL_TESTS_CUDA_TWIN_H

#include <stdint.h>

#include "tensor/backend.h"

enum { TWIN_MAX = 64 };

struct twin {
    const struct backend_ops *cpu, *cuda;
    struct stream *cpu_stream, *stream;
    int n;
    void *host[TWIN_MAX], *device[TWIN_MAX];
    size_t bytes[TWIN_MAX];
};

void twin_open(struct twin *t);
void twin_close(struct twin *t);
// Buffers of exact size, the same content on both sides. What is returned is the host's copy, and
// also the buffer's name.
void *twin_zeros(struct twin *t, size_t bytes);
void *twin_from(struct twin *t, const void *from, size_t bytes);
float *twin_normals(struct twin *t, uint64_t seed, size_t n);
// The device's copy of a buffer; NULL of NULL.
void *twin_device(const struct twin *t, const void *host);
// What the device has is what the host has: bit for bit; for floats, within a tolerance relative to
// the largest of them.
void twin_same(struct twin *t, const void *host, size_t n_floats);
void twin_same_bytes(struct twin *t, const void *host);
void twin_near(struct twin *t, const float *host, size_t n, double of_largest);

// TWIN(&t, add, DTYPE_F32, n, TWIN_AT(x), TWIN_AT(y)) calls the slot on both.
#define TWIN_AT(host) (on_device_ ? twin_device(twin_, (host)) : (void *)(host))
#define TWIN(t, slot, ...)                                                                         \
    do {                                                                                           \
        const struct twin *twin_ = (t);                                                            \
        (void)twin_;                                                                               \
        for (int on_device_ = 0; on_device_ < 2; on_device_++) {                                   \
            const struct backend_ops *ops_ = on_device_ ? twin_->cuda : twin_->cpu;                \
            EXPECT_OK(ops_->slot(on_device_ ? twin_->stream : twin_->cpu_stream, __VA_ARGS__));    \
        }                                                                                          \
    } while (0)

#endif
