// The project's C headers as the .cu files read them.
#ifndef SHOAL_TENSOR_CUDA_C_HEADERS_H
#define SHOAL_TENSOR_CUDA_C_HEADERS_H

#define _Noreturn [[noreturn]]
extern "C" {
#include "tensor/cuda/cuda_internal.h"
}

#endif
