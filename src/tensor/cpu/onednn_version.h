// What differs between oneDNN 2.6 and 3.x. Everything else is written in the words that both share,
// so that no other file asks for the version.
#ifndef SHOAL_TENSOR_CPU_ONEDNN_VERSION_H
#define SHOAL_TENSOR_CPU_ONEDNN_VERSION_H

#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>

// A borrowed memory descriptor: 2.x hands out pointers to structs, 3.x handles.
#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t onednn_desc;
#else
typedef const dnnl_memory_desc_t *onednn_desc;
#endif

// The backward pass of a norm wants to be given beta too, though it reads it not.
enum { ONEDNN_VERSION_DX_TAKES_BETA = DNNL_VERSION_MAJOR < 3 };

// A tensor as we describe it; n_dims 0: absent. Dimensions in oneDNN's order: N, C, H, W and
// O, I, H, W whatever the tag; dnnl_format_tag_any lets the primitive choose.
struct onednn_layout {
    int n_dims;
    dnnl_dims_t dims;
    dnnl_data_type_t type;
    dnnl_format_tag_t tag;
};

// What is done to an output before it is stored, in this order.
struct onednn_post {
    bool sum;                        // add what the output held
    const struct onednn_layout *add; // add another tensor; NULL: none
    bool relu;
};

enum onednn_pass { ONEDNN_PASS_FORWARD, ONEDNN_PASS_DATA, ONEDNN_PASS_WEIGHTS };

struct onednn_version_conv {
    enum onednn_pass pass;
    struct onednn_layout src, weights, bias, dst; // or their gradients
    dnnl_dims_t stride, pad_before, pad_after;
    struct onednn_post post; // forward only
};

struct onednn_version_matmul {
    struct onednn_layout src, weights, bias, dst;
    struct onednn_post post;
};

struct onednn_version_norm {
    bool backward;
    struct onednn_layout data;
    float eps;
    bool running; // given statistics, not the batch's
};

struct onednn_version_pool { // maximum
    enum onednn_pass pass;
    bool training; // keep where the maxima were
    struct onednn_layout src, dst;
    dnnl_dims_t window, stride, pad_before, pad_after;
};

// Each makes a primitive descriptor whose scratchpad the caller provides.
dnnl_status_t onednn_version_conv(dnnl_engine_t engine, const struct onednn_version_conv *c,
                                  dnnl_primitive_desc_t *out);
dnnl_status_t onednn_version_matmul(dnnl_engine_t engine, const struct onednn_version_matmul *m,
                                    dnnl_primitive_desc_t *out);
dnnl_status_t onednn_version_norm(dnnl_engine_t engine, const struct onednn_version_norm *n,
                                  dnnl_primitive_desc_t *out);
dnnl_status_t onednn_version_pool(dnnl_engine_t engine, const struct onednn_version_pool *p,
                                  dnnl_primitive_desc_t *out);
// to = from, or to += from with sum.
dnnl_status_t onednn_version_reorder(dnnl_engine_t engine, onednn_desc from, onednn_desc to,
                                     bool sum, dnnl_primitive_desc_t *out);
// A memory object without memory.
dnnl_status_t onednn_version_memory(dnnl_engine_t engine, const struct onednn_layout *l,
                                    dnnl_memory_t *out);

#endif
