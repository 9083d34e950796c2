#include "tensor/cpu/loss_terms.h"

#include "core/mem.h"

status loss_terms_add(int32_t rows, int32_t n_images, const double *term, const int32_t *image,
                      const float *weight, float *loss)
{
    double *sum = NULL;
    TRY(mem_zalloc(&sum, (size_t)n_images));
    for (int32_t r = 0; r < rows; r++)
        if (image[r] >= 0) sum[image[r]] += (double)weight[r] * term[r];
    for (int32_t i = 0; i < n_images; i++) loss[i] = (float)((double)loss[i] + sum[i]);
    mem_free(sum);
    return OK;
}
