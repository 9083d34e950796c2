// The project's C headers, as C and as the .cu files read them.
#ifndef SHOAL_TENSOR_CUDA_C_HEADERS_H
#define SHOAL_TENSOR_CUDA_C_HEADERS_H

#ifdef __cplusplus
#define _Noreturn [[noreturn]]
extern "C" {
#include "tensor/cuda/cuda_internal.h"
}
#else
#include "tensor/cuda/cuda_internal.h"
#endif

#endif
