// The sum of squares, for the gradient's norm.
#include "core/simd.h"
#include "tensor/cpu/chunks_internal.h"

// Parts and lanes are fixed, so the order of the additions depends on n alone, whatever the number
// of threads and the width of the machine's vectors.
enum { PARTS = 256, LANES = 16 };

static SIMD_CLONES double part_sum(int64_t n, const float *x)
{
    double lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += (double)x[i + j] * (double)x[i + j];
    for (int j = 0; i < n; i++, j++) lane[j] += (double)x[i] * (double)x[i];
    double sum = 0;
    for (int j = 0; j < LANES; j++) sum += lane[j];
    return sum;
}

status cpu_square_sum(struct stream *s, int64_t n, const float *x, double *out)
{
    double part[PARTS];
    int64_t length = (n + PARTS - 1) / PARTS;
#pragma omp parallel for num_threads(chunks_threads(s, n)) schedule(static)
    for (int i = 0; i < PARTS; i++) {
        int64_t begin = i * length, end = begin + length < n ? begin + length : n;
        part[i] = begin < end ? part_sum(end - begin, x + begin) : 0;
    }
    double sum = 0;
    for (int i = 0; i < PARTS; i++) sum += part[i];
    *out = sum;
    return OK;
}
