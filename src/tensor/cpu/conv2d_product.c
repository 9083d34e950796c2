#include "tensor/cpu/conv2d_product.h"

#include <string.h>

#include "tensor/cpu/chunks_internal.h"
#include "tensor/cpu/onednn_internal.h"
#include "tensor/cpu/rows_sum.h"

enum { MAX_WINDOW = 49 };

// x is its own patches.
static bool is_flat(const struct conv2d_desc *d)
{
    return d->r == 1 && d->s == 1 && d->stride == 1 && d->pad == 0;
}

static int32_t n_rows(const struct conv2d_desc *d)
{
    return d->n * d->ho * d->wo;
}

// Channels of a patch.
static int32_t n_deep(const struct conv2d_desc *d)
{
    return d->r * d->s * d->c;
}

// Where the channels are at least twice the rows, patches are less memory than the repacked copies
// of the weights: ResNet-18's last stage on 8 images of 128 x 128, all passes of 512 channels 3x3
// on 4x4 cells, 50 ms -> 22 ms of one thread.
bool conv2d_product_pays(const struct conv2d_desc *d)
{
    return is_flat(d) || (2 * (int64_t)d->n * d->ho * d->wo <= d->k && d->r * d->s <= MAX_WINDOW);
}

// The patch of output cell row, zero where it looks outside.
static void take_patch(const struct conv2d_desc *d, int64_t row, const char *x, char *patch)
{
    const size_t cell = (size_t)d->c * dtype_bytes((enum dtype)d->dtype);
    const int64_t image = row / d->wo / d->ho;
    const int64_t i0 = row / d->wo % d->ho * d->stride - d->pad;
    const int64_t j0 = row % d->wo * d->stride - d->pad;
    for (int64_t i = i0; i < i0 + d->r; i++)
        for (int64_t j = j0; j < j0 + d->s; j++, patch += cell) {
            const bool inside = i >= 0 && i < d->h && j >= 0 && j < d->w;
            if (inside)
                memcpy(patch, x + (size_t)((image * d->h + i) * d->w + j) * cell, cell);
            else
                memset(patch, 0, cell);
        }
}

static status patches_of(struct stream *s, const struct conv2d_desc *d, const void *x,
                         const void **out)
{
    const size_t patch = (size_t)n_deep(d) * dtype_bytes((enum dtype)d->dtype);
    const int64_t rows = n_rows(d);
    char *patches;
    *out = x;
    if (is_flat(d)) return OK;
    TRY(onednn_scratch(s, ONEDNN_SCRATCH_PATCHES, (size_t)rows * patch, &patches));
#pragma omp parallel for num_threads(chunks_threads(s, rows *n_deep(d))) schedule(static)
    for (int64_t row = 0; row < rows; row++) take_patch(d, row, x, patches + (size_t)row * patch);
    *out = patches;
    return OK;
}

status conv2d_product(struct stream *s, const struct conv2d_desc *d, const void *x, const void *w,
                      const float *bias, const void *residual, void *y)
{
    const struct onednn_matmul_desc m = {.m = n_rows(d),
                                         .k = n_deep(d),
                                         .n = d->k,
                                         .ab_dtype = d->dtype,
                                         .c_dtype = d->dtype,
                                         .b_by_columns = true,
                                         .bias = d->bias,
                                         // As a product's third input it would cost oneDNN 2.6
                                         // its quick kernel.
                                         .accumulate = d->residual,
                                         .relu = d->relu};
    const void *patches;
    TRY(patches_of(s, d, x, &patches));
    if (d->residual != 0)
        TRY(cpu_copy(s, y, residual,
                     (size_t)m.m * (size_t)m.n * dtype_bytes((enum dtype)d->dtype)));
    return onednn_matmul(s, &m, patches, w, bias, y);
}

// Input cell number cell gets what its copies in the patches got, in the order of the window.
static void gather_cell(const struct conv2d_desc *d, int64_t cell, const float *dpatches,
                        bool accumulate, void *dx)
{
    int64_t offset[MAX_WINDOW];
    float weight[MAX_WINDOW];
    struct rows_sum sum = {.from = DTYPE_F32,
                           .to = (enum dtype)d->dtype,
                           .accumulate = accumulate,
                           .c = d->c,
                           .offset = offset,
                           .weight = weight};
    const int64_t image = cell / d->w / d->h, i = cell / d->w % d->h, j = cell % d->w;
    for (int32_t r = 0; r < d->r; r++)
        for (int32_t t = 0; t < d->s; t++) {
            const int64_t down = i + d->pad - r, right = j + d->pad - t;
            if (down < 0 || down % d->stride != 0 || down / d->stride >= d->ho) continue;
            if (right < 0 || right % d->stride != 0 || right / d->stride >= d->wo) continue;
            const int64_t row = (image * d->ho + down / d->stride) * d->wo + right / d->stride;
            offset[sum.n] = (row * d->r * d->s + r * d->s + t) * d->c;
            weight[sum.n++] = 1;
        }
    rows_sum(&sum, dpatches, chunks_at_mut(sum.to, dx, cell * d->c));
}

status conv2d_product_dx(struct stream *s, const struct conv2d_desc *d, const void *dy,
                         const void *w, void *dx, bool accumulate)
{
    const bool flat = is_flat(d);
    const int64_t cells = (int64_t)d->n * d->h * d->w;
    const struct onednn_matmul_desc m = {.m = n_rows(d),
                                         .k = d->k,
                                         .n = n_deep(d),
                                         .ab_dtype = d->dtype,
                                         .c_dtype = flat ? d->dtype : (int32_t)DTYPE_F32,
                                         .accumulate = flat && accumulate};
    if (flat) return onednn_matmul(s, &m, dy, w, NULL, dx);
    float *dpatches;
    const size_t n = (size_t)m.m * (size_t)m.n;
    TRY(onednn_scratch(s, ONEDNN_SCRATCH_PATCHES, n * sizeof *dpatches, &dpatches));
    TRY(onednn_matmul(s, &m, dy, w, NULL, dpatches));
#pragma omp parallel for num_threads(chunks_threads(s, cells * d->c)) schedule(static)
    for (int64_t cell = 0; cell < cells; cell++) gather_cell(d, cell, dpatches, accumulate, dx);
    return OK;
}

status conv2d_product_dw(struct stream *s, const struct conv2d_desc *d, const void *x,
                         const void *dy, const float *scale, float *dw)
{
    const struct onednn_matmul_desc m = {.m = d->k,
                                         .k = n_rows(d),
                                         .n = n_deep(d),
                                         .ab_dtype = d->dtype,
                                         .c_dtype = DTYPE_F32,
                                         .a_by_columns = true,
                                         .accumulate = scale == NULL};
    const void *patches;
    TRY(patches_of(s, d, x, &patches));
    if (scale == NULL) return onednn_matmul(s, &m, dy, patches, NULL, dw);
    float *plain;
    const size_t bytes = (size_t)m.m * (size_t)m.n * sizeof *plain;
    TRY(onednn_scratch(s, ONEDNN_SCRATCH_PLAIN, bytes, &plain));
    TRY(onednn_matmul(s, &m, dy, patches, NULL, plain));
    onednn_add_scaled(s, d->k, n_deep(d), plain, scale, dw);
    return OK;
}
