// cuDNN 9, opened at run time: the ten entry points that the backend calls.
#ifndef SHOAL_TENSOR_CUDA_CUDNN_LIBRARY_H
#define SHOAL_TENSOR_CUDA_CUDNN_LIBRARY_H

#include <cudnn_graph.h>

#include "core/status.h"

struct cudnn_library {
    void *handle; // dlopen's
    size_t (*get_version)(void);
    const char *(*get_error_string)(cudnnStatus_t code);
    void (*get_last_error_string)(char *text, size_t bytes);
    cudnnStatus_t (*create)(cudnnHandle_t *out);
    cudnnStatus_t (*destroy)(cudnnHandle_t h);
    cudnnStatus_t (*set_stream)(cudnnHandle_t h, cudaStream_t s);
    cudnnStatus_t (*create_descriptor)(cudnnBackendDescriptorType_t type,
                                       cudnnBackendDescriptor_t *out);
    cudnnStatus_t (*destroy_descriptor)(cudnnBackendDescriptor_t d);
    cudnnStatus_t (*finalize)(cudnnBackendDescriptor_t d);
    cudnnStatus_t (*set_attribute)(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                                   cudnnBackendAttributeType_t type, int64_t n, const void *values);
    cudnnStatus_t (*get_attribute)(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                                   cudnnBackendAttributeType_t type, int64_t n, int64_t *n_got,
                                   void *values);
    cudnnStatus_t (*execute)(cudnnHandle_t h, cudnnBackendDescriptor_t plan,
                             cudnnBackendDescriptor_t variant);
};

// Errors: E_UNSUPPORTED with what the loader said, or where the version is no 9.x.
MUST_USE status cudnn_library_open(struct cudnn_library **out);
void cudnn_library_close(struct cudnn_library *l); // l may be NULL
// "9.19.0"
void cudnn_library_version(const struct cudnn_library *l, char *text, size_t bytes);
// Turns a code into a status, once: E_NOMEM, E_UNSUPPORTED or E_DEVICE; what is the text of what
// failed.
MUST_USE status cudnn_library_check(const struct cudnn_library *l, cudnnStatus_t code,
                                    const char *file, int line, const char *what);

// For functions that have a struct cudnn_library *l.
#define TRY_CUDNN(call)                                                                            \
    do {                                                                                           \
        status cudnn_status_ = cudnn_library_check(l, (call), __FILE__, __LINE__, #call);          \
        if (cudnn_status_ != OK) return cudnn_status_;                                             \
    } while (0)

#endif
