// The three losses: a term per row in double, then a sum per image in an order that the number of
// rows alone decides. Rows are few (some thousands), so what counts is that nothing waits.
#include <cmath>

#include "tensor/cuda/reduce.h"

constexpr int DELTAS = 4, ROWS_PER_BLOCK = THREADS / WARP;

// loss[image] += sum of weight[r] * term[r] over the image's rows; a block per image.
static __global__ void add_terms(int32_t rows, const double *term, const int32_t *image,
                                 const float *weight, float *loss)
{
    SHARED(double, room, THREADS / WARP);
    const int32_t own = static_cast<int32_t>(blockIdx.x);
    double sum = 0;
    for (int32_t r = static_cast<int32_t>(threadIdx.x); r < rows; r += THREADS)
        if (image[r] == own) sum += static_cast<double>(weight[r]) * term[r];
    sum = block_sum(sum, room);
    if (threadIdx.x == 0) loss[own] = static_cast<float>(static_cast<double>(loss[own]) + sum);
}

static status terms_take(struct stream *s, int32_t rows, double **out)
{
    void *memory;
    cuda_scratch_reset(s);
    TRY(cuda_scratch(s, static_cast<size_t>(rows) * sizeof(double), &memory));
    *out = static_cast<double *>(memory);
    return OK;
}

static status terms_add(struct stream *s, int32_t rows, int32_t n_images, const double *term,
                        const int32_t *image, const float *weight, float *loss)
{
    LAUNCH(add_terms, static_cast<unsigned>(n_images), THREADS, 0, cuda_native(s), rows, term,
           image, weight, loss);
    return LAUNCHED();
}

static __global__ void bce_terms(int32_t rows, int32_t columns, const float *x,
                                 const int32_t *index, const int32_t *label, const int32_t *image,
                                 double *term)
{
    for (int64_t r = thread_number(); r < rows; r += thread_count()) {
        term[r] = 0;
        if (image[r] < 0) continue;
        double logit = static_cast<double>(x[r * columns + index[r] % columns]);
        // -log(sigmoid(z)) for label 1, -log(1 - sigmoid(z)) for 0, without overflow.
        double z = label[r] != 0 ? logit : -logit;
        term[r] = log1p(exp(-fabs(z))) + (z < 0 ? -z : 0);
    }
}

static __global__ void bce_gradient(int32_t rows, int32_t columns, const float *x,
                                    const int32_t *index, const int32_t *label,
                                    const int32_t *image, const float *weight, const float *dloss,
                                    float *dx)
{
    for (int64_t r = thread_number(); r < rows; r += thread_count()) {
        const int32_t own = image[r] < 0 ? -1 : index[r] % columns;
        for (int32_t i = 0; i < columns; i++)
            if (i != own) dx[r * columns + i] = 0;
        if (own < 0) continue;
        double probability = 1 / (1 + exp(-static_cast<double>(x[r * columns + own])));
        double slope = probability - (label[r] != 0 ? 1 : 0);
        dx[r * columns + own] = static_cast<float>(slope * static_cast<double>(weight[r]) *
                                                   static_cast<double>(dloss[image[r]]));
    }
}

// beta 0 is the L1 loss.
static __device__ double l1_term(double difference, double beta)
{
    double distance = fabs(difference);
    return distance < beta ? 0.5 * distance * distance / beta : distance - 0.5 * beta;
}

static __device__ double l1_slope(double difference, double beta)
{
    if (fabs(difference) < beta) return difference / beta;
    if (std::isnan(difference)) return difference;
    return (difference > 0 ? 1 : 0) - (difference < 0 ? 1 : 0);
}

static __global__ void l1_terms(int32_t rows, int32_t columns, double beta, const float *x,
                                const int32_t *column, const float *target, const int32_t *image,
                                double *term)
{
    for (int64_t r = thread_number(); r < rows; r += thread_count()) {
        term[r] = 0;
        if (image[r] < 0 || column[r] < 0) continue;
        const float *from = x + r * columns + DELTAS * static_cast<int64_t>(column[r]);
        double sum = 0;
        for (int i = 0; i < DELTAS; i++)
            sum += l1_term(
                static_cast<double>(from[i]) - static_cast<double>(target[DELTAS * r + i]), beta);
        term[r] = sum;
    }
}

// columns are four per class, of which one class has a gradient.
static __global__ void l1_gradient(int32_t rows, int32_t columns, double beta, const float *x,
                                   const int32_t *column, const float *target, const int32_t *image,
                                   const float *weight, const float *dloss, float *dx)
{
    for (int64_t at = thread_number(); at < static_cast<int64_t>(rows) * columns;
         at += thread_count()) {
        const int64_t r = at / columns;
        const int32_t i = static_cast<int32_t>(at % columns);
        float slope = 0;
        if (image[r] >= 0 && column[r] >= 0 && i / DELTAS == column[r]) {
            double difference =
                static_cast<double>(x[at]) - static_cast<double>(target[DELTAS * r + i % DELTAS]);
            slope = static_cast<float>(l1_slope(difference, beta) * static_cast<double>(weight[r]) *
                                       static_cast<double>(dloss[image[r]]));
        }
        dx[at] = slope;
    }
}

// The larger of two; NaN wins.
static __device__ float larger(float a, float b)
{
    return b > a || std::isnan(b) ? b : a;
}

// The largest logit of a row and the log of the sum of exp(x - largest), for every lane of a warp.
static __device__ void row_statistics(int32_t classes, const float *x, float *top, double *log_sum)
{
    const int lane = static_cast<int>(threadIdx.x) % WARP;
    float most = x[0];
    for (int32_t i = lane; i < classes; i += WARP) most = larger(most, x[i]);
    for (int step = WARP / 2; step > 0; step /= 2)
        most = larger(most, __shfl_xor_sync(ALL_LANES, most, step));
    double sum = 0;
    for (int32_t i = lane; i < classes; i += WARP) sum += static_cast<double>(expf(x[i] - most));
    for (int step = WARP / 2; step > 0; step /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, step);
    *top = most;
    *log_sum = log(sum);
}

// A warp per row: rows are those of whole warps, so no lane leaves its warp alone.
static __global__ void ce_terms(int32_t rows, int32_t classes, const float *logits,
                                const int32_t *label, const int32_t *image, double *term)
{
    const int warp = static_cast<int>(threadIdx.x) / WARP;
    for (int64_t r = static_cast<int64_t>(blockIdx.x) * ROWS_PER_BLOCK + warp; r < rows;
         r += static_cast<int64_t>(gridDim.x) * ROWS_PER_BLOCK) {
        const float *x = logits + r * classes;
        double result = 0, log_sum;
        float top;
        if (image[r] >= 0) {
            row_statistics(classes, x, &top, &log_sum);
            result = log_sum + static_cast<double>(top) - static_cast<double>(x[label[r]]);
        }
        if (threadIdx.x % WARP == 0) term[r] = result;
    }
}

static __global__ void ce_gradient(int32_t rows, int32_t classes, const float *logits,
                                   const int32_t *label, const int32_t *image, const float *weight,
                                   const float *dloss, float *dx)
{
    const int warp = static_cast<int>(threadIdx.x) / WARP;
    for (int64_t r = static_cast<int64_t>(blockIdx.x) * ROWS_PER_BLOCK + warp; r < rows;
         r += static_cast<int64_t>(gridDim.x) * ROWS_PER_BLOCK) {
        const float *x = logits + r * classes;
        float top = 0, factor = 0, shift = 0;
        if (image[r] >= 0) {
            double log_sum;
            row_statistics(classes, x, &top, &log_sum);
            factor = weight[r] * dloss[image[r]];
            shift = static_cast<float>(log_sum);
        }
        for (int32_t i = static_cast<int32_t>(threadIdx.x) % WARP; i < classes; i += WARP) {
            float slope = image[r] >= 0 ? factor * expf(x[i] - top - shift) : 0;
            dx[r * classes + i] = image[r] >= 0 && i == label[r] ? slope - factor : slope;
        }
    }
}

static unsigned blocks_of_rows(int32_t rows)
{
    return blocks_for(static_cast<int64_t>(rows) * WARP);
}

extern "C" status cuda_softmax_ce(struct stream *s, int32_t rows, int32_t classes, int32_t n_images,
                                  const float *logits, const int32_t *label, const int32_t *image,
                                  const float *weight, float *loss)
{
    double *term;
    if (rows == 0 || n_images == 0) return OK;
    TRY(terms_take(s, rows, &term));
    LAUNCH(ce_terms, blocks_of_rows(rows), THREADS, 0, cuda_native(s), rows, classes, logits, label,
           image, term);
    return terms_add(s, rows, n_images, term, image, weight, loss);
}

extern "C" status cuda_softmax_ce_dx(struct stream *s, int32_t rows, int32_t classes,
                                     const float *logits, const int32_t *label,
                                     const int32_t *image, const float *weight, const float *dloss,
                                     float *dx)
{
    LAUNCH(ce_gradient, blocks_of_rows(rows), THREADS, 0, cuda_native(s), rows, classes, logits,
           label, image, weight, dloss, dx);
    return LAUNCHED();
}

extern "C" status cuda_sigmoid_bce(struct stream *s, int32_t rows, int32_t columns,
                                   int32_t n_images, const float *x, const int32_t *index,
                                   const int32_t *label, const int32_t *image, const float *weight,
                                   float *loss)
{
    double *term;
    if (rows == 0 || n_images == 0) return OK;
    TRY(terms_take(s, rows, &term));
    LAUNCH(bce_terms, blocks_for(rows), THREADS, 0, cuda_native(s), rows, columns, x, index, label,
           image, term);
    return terms_add(s, rows, n_images, term, image, weight, loss);
}

extern "C" status cuda_sigmoid_bce_dx(struct stream *s, int32_t rows, int32_t columns,
                                      const float *x, const int32_t *index, const int32_t *label,
                                      const int32_t *image, const float *weight, const float *dloss,
                                      float *dx)
{
    LAUNCH(bce_gradient, blocks_for(rows), THREADS, 0, cuda_native(s), rows, columns, x, index,
           label, image, weight, dloss, dx);
    return LAUNCHED();
}

extern "C" status cuda_smooth_l1(struct stream *s, int32_t rows, int32_t columns, int32_t n_images,
                                 float beta, const float *x, const int32_t *column,
                                 const float *target, const int32_t *image, const float *weight,
                                 float *loss)
{
    double *term;
    if (rows == 0 || n_images == 0) return OK;
    TRY(terms_take(s, rows, &term));
    LAUNCH(l1_terms, blocks_for(rows), THREADS, 0, cuda_native(s), rows, columns,
           static_cast<double>(beta), x, column, target, image, term);
    return terms_add(s, rows, n_images, term, image, weight, loss);
}

extern "C" status cuda_smooth_l1_dx(struct stream *s, int32_t rows, int32_t columns, float beta,
                                    const float *x, const int32_t *column, const float *target,
                                    const int32_t *image, const float *weight, const float *dloss,
                                    float *dx)
{
    LAUNCH(l1_gradient, blocks_for(static_cast<int64_t>(rows) * columns), THREADS, 0,
           cuda_native(s), rows, columns, static_cast<double>(beta), x, column, target, image,
           weight, dloss, dx);
    return LAUNCHED();
}
