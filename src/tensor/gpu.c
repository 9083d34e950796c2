// GPUs for a program that was built without its GPU backend; else tensor/cuda/gpu.c has these.
#include "tensor/gpu.h"

#ifndef SHOAL_CUDA

#include <stdio.h>

void gpu_find(struct gpu_list *out)
{
    *out = (struct gpu_list){.runtime = "none", .driver = "none"};
    (void)snprintf(out->reason, sizeof out->reason, "this program was built without a GPU backend");
}

bool gpu_describe_library(char text[GPU_TEXT_BYTES])
{
    (void)snprintf(text, GPU_TEXT_BYTES, "missing: this program was built without a GPU backend");
    return false;
}

status gpu_open(int number, bool tf32, bool deterministic, struct stream **out)
{
    (void)number, (void)tf32, (void)deterministic, (void)out;
    FAIL(E_UNSUPPORTED, "this program was built without a GPU backend");
}

void *gpu_native_stream(const struct stream *s)
{
    (void)s;
    return NULL;
}

int gpu_number(const struct stream *s)
{
    (void)s;
    return 0;
}

const struct backend_ops *gpu_backend(void)
{
    return NULL;
}

#endif
