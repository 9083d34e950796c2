// The CPU backend's stream and its use of oneDNN. Included by the files that call oneDNN alone.
//
// A plan is a primitive with its memory objects, made once for a descriptor and kept in the
// stream's cache. Running one is: find, set the pointers, run. Activations are plain NHWC on both
// sides; weights that a primitive wants in a layout of its own are repacked once a version.
#ifndef SHOAL_TENSOR_CPU_ONEDNN_INTERNAL_H
#define SHOAL_TENSOR_CPU_ONEDNN_INTERNAL_H

#include "tensor/cpu/cpu_internal.h"
#include "tensor/cpu/onednn_version.h"

enum {
    ONEDNN_MAX_PLANS = 1024,  // a canvas of ResNet-50 needs some 100
    ONEDNN_MAX_WEIGHTS = 256, // ResNet-50 needs some 60
    ONEDNN_MAX_ARGS = 9,
};

// A plan's name: what it does and for which descriptor. Compared by bytes: clear it first.
enum onednn_kind {
    ONEDNN_KIND_CONV,
    ONEDNN_KIND_CONV_DX_TURNED, // as a forward convolution with turned weights
    ONEDNN_KIND_CONV_DX,
    ONEDNN_KIND_CONV_DW,
    ONEDNN_KIND_MATMUL,
    ONEDNN_KIND_BATCH_NORM,
    ONEDNN_KIND_BATCH_NORM_DX,
    ONEDNN_KIND_MAX_POOL,
    ONEDNN_KIND_MAX_POOL_DX,
};

// C (m, n) = A (m, k) B (k, n): matrices are stored by rows, or by columns where the flag says so.
struct onednn_matmul_desc {
    int32_t m, k, n;
    int32_t ab_dtype, c_dtype;
    int32_t a_by_columns, b_by_columns;
    int32_t bias, relu; // C = relu(A B + bias (n))
    int32_t accumulate; // C = relu(C + A B + bias)
};

struct onednn_key {
    int32_t kind;
    int32_t variant; // what the kind makes of it
    union {
        struct conv2d_desc conv;
        struct onednn_matmul_desc matmul;
        struct norm_desc norm;
        struct max_pool2d_desc pool;
    } d;
};

// A primitive and what it is called with; primitive NULL: nothing to do.
struct onednn_call {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t args[ONEDNN_MAX_ARGS + 1]; // the scratchpad comes last
    int n_args;
    size_t scratch_bytes;
};

struct onednn_plan {
    struct onednn_call call;
    struct onednn_call repack; // weights to the primitive's layout, or their gradient to ours
    size_t packed_bytes;       // of the weights as the primitive has them
};

// Scratch of the stream, for the length of one slot: uses do not overlap.
enum onednn_scratch {
    ONEDNN_SCRATCH_LIBRARY, // oneDNN's own
    ONEDNN_SCRATCH_PACKED,  // weights or their gradients as the primitive has them
    ONEDNN_SCRATCH_PLAIN,   // weights or their gradients in our layout
    ONEDNN_SCRATCH_PATCHES, // what each output cell of a convolution sees
    ONEDNN_SCRATCH_DATA,    // an activation
    ONEDNN_SCRATCH_SUMS,    // partial sums
    ONEDNN_N_SCRATCH,
};

struct onednn_plan_entry {
    uint64_t hash, used;
    struct onednn_key key;
    struct onednn_plan *plan;
};

struct onednn_weights_entry {
    const void *data;
    uint64_t version, used;
    bool turned, whole;   // whole: packed holds that version
    dnnl_memory_t memory; // tells the layout
    void *packed;         // NULL: used once so far
};

struct stream {
    int threads;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    uint64_t clock; // for "least recently used"
    int n_plans, n_weights;
    struct onednn_plan_entry *plans;
    struct onednn_weights_entry *weights;
    void *scratch[ONEDNN_N_SCRATCH];
    size_t scratch_bytes[ONEDNN_N_SCRATCH];
    uint64_t n_repacked;        // weights repacked so far
    char *boxes[BACKEND_BOXES]; // what was posted
    size_t box_bytes[BACKEND_BOXES];
};

status onednn_check(dnnl_status_t code, const char *file, int line, const char *call);
// oneDNN's codes as ours, naming the call.
#define TRY_DNNL(call)                                                                             \
    do {                                                                                           \
        status dnnl_status_ = onednn_check((call), __FILE__, __LINE__, #call);                     \
        if (dnnl_status_ != OK) return dnnl_status_;                                               \
    } while (0)

// At least bytes, aligned to 64; the content lasts until the next request for the same use.
MUST_USE status onednn_scratch(struct stream *s, enum onednn_scratch use, size_t bytes, void *pp);
// Threads that the calling thread's next parallel regions use: oneDNN asks OpenMP.
void onednn_enter(const struct stream *s);
dnnl_data_type_t onednn_type(int32_t dtype);
// (n, h, w, c) activations, (o, h, w, i) weights, (n) vectors.
struct onednn_layout onednn_layout_nhwc(int32_t n, int32_t h, int32_t w, int32_t c, int32_t dtype);
struct onednn_layout onednn_layout_ohwi(int32_t o, int32_t h, int32_t w, int32_t i, int32_t dtype);
struct onednn_layout onednn_layout_vector(int32_t n);

// The plan of that key, made by build on first use; borrowed until the next call of onednn_plan.
typedef status onednn_build(struct stream *s, const struct onednn_key *key, struct onednn_plan *p);
MUST_USE status onednn_plan(struct stream *s, const struct onednn_key *key, onednn_build *build,
                            struct onednn_plan **out);
// For builders: takes pd over, and makes the primitive and a memory object for each of args.
MUST_USE status onednn_plan_make(struct stream *s, struct onednn_plan *p, dnnl_primitive_desc_t pd,
                                 const int *args, int n_args);
// For builders: how argument arg, the weights, comes from or (out) goes to our layout.
MUST_USE status onednn_plan_repack(struct stream *s, struct onednn_plan *p, int arg,
                                   const struct onednn_layout *ours, bool out, bool sum);
dnnl_memory_t onednn_plan_arg(const struct onednn_plan *p, int arg); // NULL where there is none
MUST_USE status onednn_set(struct onednn_plan *p, int arg, const void *data);
MUST_USE status onednn_run(struct stream *s, struct onednn_plan *p);
MUST_USE status onednn_repack(struct stream *s, struct onednn_plan *p, const void *from, void *to);

// Sets argument DNNL_ARG_WEIGHTS to w as the plan wants it; with turn, w (o, h, w, i) is given to
// the plan's repacking with every window turned by 180 degrees.
struct onednn_turn {
    int32_t o, h, w, i, dtype;
};
MUST_USE status onednn_set_weights(struct stream *s, struct onednn_plan *p, struct weights w,
                                   const struct onednn_turn *turn); // turn NULL: as it is
void onednn_drop_weights(struct stream *s);

MUST_USE status onednn_matmul(struct stream *s, const struct onednn_matmul_desc *d, const void *a,
                              const void *b, const float *bias, void *c);

// dbias[c] += sum over rows of dy (rows, c), in an order that does not depend on threads.
MUST_USE status onednn_column_sums(struct stream *s, int64_t rows, int32_t c, int32_t dtype,
                                   const void *dy, float *dbias);
// dw (k, n) += scale[k] * g (k, n); scale may be NULL.
void onednn_add_scaled(struct stream *s, int64_t k, int64_t n, const float *g, const float *scale,
                       float *dw);

#endif
