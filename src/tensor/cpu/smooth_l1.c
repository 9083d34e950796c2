// The smooth L1 loss (Fast R-CNN, Girshick 2015, eq. 3, with torch's beta) of four deltas a row.
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "tensor/cpu/cpu_internal.h"
#include "tensor/cpu/loss_terms.h"

enum { DELTAS = 4 };

// The row's first delta, or -1 where it has no loss. x is (rows, columns) with columns = 4 K.
static int64_t find_deltas(int32_t row, int32_t columns, const int32_t *column,
                           const int32_t *image)
{
    if (image[row] < 0 || column[row] < 0) return -1;
    return (int64_t)row * columns + DELTAS * (int64_t)column[row];
}

// beta 0 is the L1 loss.
static double term_of(double difference, double beta)
{
    double distance = fabs(difference);
    return distance < beta ? 0.5 * distance * distance / beta : distance - 0.5 * beta;
}

static double slope_of(double difference, double beta)
{
    if (fabs(difference) < beta) return difference / beta;
    if (isnan(difference)) return difference;
    return (difference > 0) - (difference < 0);
}

status cpu_smooth_l1(struct stream *s, int32_t rows, int32_t columns, int32_t n_images, float beta,
                     const float *x, const int32_t *column, const float *target,
                     const int32_t *image, const float *weight, float *loss)
{
    (void)s;
    double *term = NULL;
    TRY(mem_alloc(&term, (size_t)rows));
    for (int32_t r = 0; r < rows; r++) {
        int64_t at = find_deltas(r, columns, column, image);
        term[r] = 0;
        for (int i = 0; i < DELTAS && at >= 0; i++)
            term[r] +=
                term_of((double)x[at + i] - (double)target[DELTAS * (int64_t)r + i], (double)beta);
    }
    status st = loss_terms_add(rows, n_images, term, image, weight, loss);
    mem_free(term);
    return st;
}

status cpu_smooth_l1_dx(struct stream *s, int32_t rows, int32_t columns, float beta, const float *x,
                        const int32_t *column, const float *target, const int32_t *image,
                        const float *weight, const float *dloss, float *dx)
{
    (void)s;
    memset(dx, 0, (size_t)rows * (size_t)columns * sizeof *dx);
    for (int32_t r = 0; r < rows; r++) {
        int64_t at = find_deltas(r, columns, column, image);
        for (int i = 0; i < DELTAS && at >= 0; i++) {
            double difference = (double)x[at + i] - (double)target[DELTAS * (int64_t)r + i];
            dx[at + i] = (float)(slope_of(difference, (double)beta) * (double)weight[r] *
                                 (double)dloss[image[r]]);
        }
    }
    return OK;
}
