// The CPU backend's stream and its use of oneDNN. Included by the files that call oneDNN alone.
#ifndef SHOAL_TENSOR_CPU_DNNL_INTERNAL_H
#define SHOAL_TENSOR_CPU_DNNL_INTERNAL_H

#include <oneapi/dnnl/dnnl.h>

#include "tensor/cpu/cpu_internal.h"

struct stream {
    int threads;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

const char *dnnl_status_name(dnnl_status_t code);

// Turns oneDNN's codes into ours, naming the call.
#define TRY_DNNL(call)                                                                             \
    do {                                                                                           \
        dnnl_status_t dnnl_status_ = (call);                                                       \
        if (dnnl_status_ != dnnl_success)                                                          \
            FAIL(dnnl_status_ == dnnl_out_of_memory ? E_NOMEM : E_DEVICE, "oneDNN: %s: %s", #call, \
                 dnnl_status_name(dnnl_status_));                                                  \
    } while (0)

#endif
