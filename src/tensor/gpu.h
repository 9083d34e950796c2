// GPUs: which there are, and what is missing to use them. Asks nothing of a driver that is not
// there: the program starts and runs on machines that have none.
#ifndef SHOAL_TENSOR_GPU_H
#define SHOAL_TENSOR_GPU_H

#include "tensor/backend.h"

enum { GPU_MAX = 16, GPU_TEXT_BYTES = 256 };

struct gpu {
    char name[BACKEND_TEXT_BYTES];
    int major, minor; // compute capability
    size_t memory_bytes;
};

struct gpu_list {
    bool built; // this program has a GPU backend
    int n;
    struct gpu gpu[GPU_MAX];
    char reason[GPU_TEXT_BYTES];                          // why n is 0
    char runtime[GPU_TEXT_BYTES], driver[GPU_TEXT_BYTES]; // "13.0", "none"
};

// Never fails: what cannot be asked is said in the texts.
void gpu_find(struct gpu_list *out);
// Whether cuDNN can be used: its version as "9.19.0", or why not as "missing: ...".
bool gpu_describe_library(char text[GPU_TEXT_BYTES]);
// Device number n of gpu_find. tf32: fp32 convolutions and products may round their inputs to TF32;
// deterministic: only engines that always give the same bits. Errors: E_UNSUPPORTED where there is
// no such device or a library is missing; E_DEVICE.
MUST_USE status gpu_open(int number, bool tf32, bool deterministic, struct stream **out);
// What a stream that gpu_open made is to CUDA: its cudaStream_t, and the device's number. For those
// who order work of other libraries by it.
void *gpu_native_stream(const struct stream *s);
int gpu_number(const struct stream *s);
// Its functions; NULL where the program was built without.
const struct backend_ops *gpu_backend(void);

#endif
