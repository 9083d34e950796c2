// The double of cuDNN: what its files share.
#ifndef SHOAL_TESTS_CUDA_FAKE_CUDNN_INTERNAL_H
#define SHOAL_TESTS_CUDA_FAKE_CUDNN_INTERNAL_H

#include <cudnn_graph.h>
#include <stdbool.h>
#include <stdint.h>

enum { FAKE_CUDNN_ATTRIBUTES = 16 };

struct fake_attribute {
    cudnnBackendAttributeName_t name;
    int64_t n;
    size_t bytes; // of all values
    bool held;    // the values are descriptors
    char *values;
};

// Descriptors live on while a plan needs what they say: they are counted.
struct fake_desc {
    cudnnBackendDescriptorType_t type;
    struct fake_attribute attribute[FAKE_CUDNN_ATTRIBUTES];
    int n, references;
    bool finalized;
    int variant; // of engine configurations: the engine
};

struct fake_tensor {
    int64_t id, dim[4], stride[4]; // dimensions N, C, H, W
    cudnnDataType_t type;
    bool is_virtual;
    char *data;
};

struct fake_conv_names {
    cudnnBackendAttributeName_t conv, w, x, y;
};

struct cudnnContext {
    cudaStream_t stream;
};

// The caller's code, with what cudnnGetLastErrorString will say.
cudnnStatus_t fake_cudnn_refuse(cudnnStatus_t code, const char *why);
const struct fake_attribute *fake_cudnn_find(const struct fake_desc *d,
                                             cudnnBackendAttributeName_t name);
int64_t fake_cudnn_integer(const struct fake_desc *d, cudnnBackendAttributeName_t name, int i);
int32_t fake_cudnn_small_integer(const struct fake_desc *d, cudnnBackendAttributeName_t name);
struct fake_desc *fake_cudnn_part(const struct fake_desc *d, cudnnBackendAttributeName_t name,
                                  int i);
struct fake_tensor fake_cudnn_read_tensor(const struct fake_desc *d);
bool fake_cudnn_names_of(cudnnBackendDescriptorType_t type, struct fake_conv_names *out);
void fake_cudnn_release(struct fake_desc *d);
// to holds held under name from now on.
void fake_cudnn_hold(struct fake_desc *to, cudnnBackendAttributeName_t name,
                     struct fake_desc *held);
// A plan's text, and the engine configuration of a text, NULL where it is none.
cudnnStatus_t fake_cudnn_write_plan(const struct fake_desc *plan, int64_t room, int64_t *n,
                                    char *text);
struct fake_desc *fake_cudnn_read_plan(const char *text, int64_t n);

#endif
