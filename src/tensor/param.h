// Parameters: named weights in one flat fp32 buffer, gradients in another, laid out in reverse
// order of construction, which is the order in which the backward walk finishes them: a
// communication bucket is a slice.
#ifndef SHOAL_TENSOR_PARAM_H
#define SHOAL_TENSOR_PARAM_H

#include "tensor/device.h"

enum param_kind {
    PARAM_KIND_WEIGHT, // convolution (OHWI) or linear (O, I)
    PARAM_KIND_BIAS,
    PARAM_KIND_NORM,   // gamma, beta
    PARAM_KIND_BUFFER, // running statistics, frozen BN's four: no gradient, not an optimizer's
};

struct param {
    char *name; // torchvision's
    enum param_kind kind;
    bool trainable;
    int number; // order of construction
    // Input features of a linear weight that reads a flattened (H, W, C) map: files hold C, H, W.
    int64_t flattened_hw;       // 0: plain
    struct tensor value;        // fp32
    const struct tensor *scale; // (k) frozen BN folded into the compute copy, or NULL
    struct tensor compute;      // what kernels read: shares value's memory in fp32 without scale
    bool folds_late;            // compute is value: whoever reads it multiplies by scale first
    uint64_t version;           // of compute, for struct weights
    float *grad;                // slice of the flat gradients, NULL where not trainable
    int64_t grad_offset;        // in elements of the flat buffer, -1 where not trainable
    int pending;                // recorded uses whose backward is still to come
};

struct params;

MUST_USE status params_create(struct device *d, struct params **out);
void params_destroy(struct params *p);
// Adds a parameter; name is copied. All are added before params_finish.
MUST_USE status params_add(struct params *p, const char *name, enum param_kind kind, bool trainable,
                           struct shape shape, struct param **out);
// Lays out values and gradients, zeroed. Parameters' tensors have data only from here on.
MUST_USE status params_finish(struct params *p);
// Makes the compute copies anew (casts, folded scales) and raises versions: after loading, and
// after every optimizer step. Folded scales must have been computed by their owner before. Frozen
// parameters are renewed where param_import has run since the last time.
MUST_USE status params_refresh(struct params *p);
// Whether the next params_refresh would give the device just the work that the last one gave it,
// and that is any: then it may be captured, and run again in place of the call, with versions
// raised by params_raise_versions.
bool params_refreshes_alike(const struct params *p);
void params_raise_versions(struct params *p);
// From the next params_refresh on, trainable fp32 weights with a scale have no compute copy, but
// are folded where they are used (op_weights_begin): less memory, for models that use them once a
// version.
void params_fold_late(struct params *p);
MUST_USE status params_zero_grads(struct params *p);

int params_n(const struct params *p);
struct param *params_at(const struct params *p, int i);
struct param *params_find(const struct params *p, const char *name); // NULL where there is none
// Trainable values and gradients as flat fp32 device buffers of the same layout, n elements; each
// parameter starts on 64 bytes, and what lies between two stays zero.
int64_t params_n_trainable(const struct params *p);
float *params_values(const struct params *p);
float *params_grads(const struct params *p);
// One float more, behind the gradients: how many losses were no numbers, of this and all earlier
// steps. It travels with the last gradients, so that all ranks have it alike, and while it is not 0
// the optimizers change nothing (backend.h, halt). params_zero_grads leaves it alone.
enum { PARAMS_TAIL = 16 }; // elements behind the gradients, the padding included
float *params_halt(const struct params *p);
struct device *params_device(const struct params *p);

// Host copies of a value, in the layout of torchvision's files: OIHW, linear inputs C, H, W.
// host has shape_elements(value.shape) elements; shape receives the file's.
MUST_USE status param_export(const struct params *p, const struct param *q, float *host,
                             struct shape *file_shape);
// The shape that the file must have, and the way back. Call params_refresh after the last.
void param_file_shape(const struct param *q, struct shape *out);
MUST_USE status param_import(struct params *p, struct param *q, const float *host);

#endif
