// Group normalisation (Wu and He 2018) with the residual and the ReLU that follow it: a pass for
// the sums, a pass that writes.
//
// Sums are taken per channel over chunks of rows whose number depends on the shape alone, in
// double, and chunks are added up in order: the same bits for any number of threads.
//
// N images, P positions (hw), C channels, G groups of D = C / G channels.
#include <math.h>

#include "core/bf16.h"
#include "core/mem.h"
#include "core/simd.h"
#include "tensor/cpu/chunks_internal.h"

enum {
    MAX_CHUNKS = 64, // of an image
    TILE = 16        // channels whose sums stay in registers
};

// How an image's positions are cut.
struct cut {
    int64_t rows; // positions of a chunk, but for the last
    int64_t n;    // chunks of an image
};

static int64_t elements(const struct norm_desc *d)
{
    return (int64_t)d->n * d->hw * d->c;
}

static struct cut cut_positions(const struct norm_desc *d)
{
    int64_t rows = CHUNKS_SIZE / d->c + 1, least = (d->hw + MAX_CHUNKS - 1) / MAX_CHUNKS;
    if (rows < least) rows = least;
    return (struct cut){.rows = rows, .n = (d->hw + rows - 1) / rows};
}

// sums (2, channels): the sum of a and of a * b over the rows, for `width` channels from c0.
static ALWAYS_INLINE void tile_sums(bool bf16, int64_t rows, int64_t channels, int64_t c0,
                                    int width, const void *a, const void *b, double *sums)
{
    double sum[TILE] = {0}, product[TILE] = {0};
    for (int64_t r = 0; r < rows; r++) {
        for (int j = 0; j < width; j++) {
            double x = (double)bf16_or_float(bf16, a, r * channels + c0 + j);
            sum[j] += x;
            product[j] += x * (double)bf16_or_float(bf16, b, r * channels + c0 + j);
        }
    }
    memcpy(sums + c0, sum, (size_t)width * sizeof *sum);
    memcpy(sums + channels + c0, product, (size_t)width * sizeof *product);
}

static SIMD_CLONES void chunk_sums(enum dtype t, int64_t rows, int64_t channels, const void *a,
                                   const void *b, double *sums)
{
    int64_t c = 0;
    for (; c + TILE <= channels; c += TILE) {
        if (t == DTYPE_BF16)
            tile_sums(true, rows, channels, c, TILE, a, b, sums);
        else
            tile_sums(false, rows, channels, c, TILE, a, b, sums);
    }
    if (c < channels)
        tile_sums(t == DTYPE_BF16, rows, channels, c, (int)(channels - c), a, b, sums);
}

// sums (N, 2, C): per image and channel the sum of a and of a * b. Borrows room (N, chunks, 2, C).
static void channel_sums(struct stream *s, const struct norm_desc *d, struct cut cut, const void *a,
                         const void *b, double *room, double *sums)
{
    enum dtype t = (enum dtype)d->dtype;
    int64_t c = d->c;
#pragma omp parallel for num_threads(chunks_threads(s, elements(d))) schedule(static)
    for (int64_t i = 0; i < d->n * cut.n; i++) {
        int64_t row = i % cut.n * cut.rows;
        int64_t rows = d->hw - row < cut.rows ? d->hw - row : cut.rows;
        int64_t at = (i / cut.n * d->hw + row) * c;
        chunk_sums(t, rows, c, chunks_at(t, a, at), chunks_at(t, b, at), room + 2 * i * c);
    }
    memset(sums, 0, (size_t)d->n * 2 * (size_t)c * sizeof *sums);
    for (int64_t i = 0; i < d->n * cut.n; i++)
        for (int64_t j = 0; j < 2 * c; j++) sums[i / cut.n * 2 * c + j] += room[2 * i * c + j];
}

// What a pass multiplies and adds per channel.
struct coefficients {
    const float *a, *b, *c;
};

// y = relu(a * x + b + residual).
static ALWAYS_INLINE void forward_body(bool bf16, bool add, const struct norm_desc *d, int64_t rows,
                                       const void *restrict x, const void *restrict residual,
                                       const struct coefficients *k, void *restrict y)
{
    const int64_t channels = d->c;
    const bool relu = d->relu != 0;
    const float *restrict scale = k->a, *restrict shift = k->b;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t j = 0; j < channels; j++) {
            float value = bf16_or_float(bf16, x, r * channels + j) * scale[j] + shift[j];
            if (add) value += bf16_or_float(bf16, residual, r * channels + j);
            bf16_or_float_set(bf16, y, r * channels + j, relu && value < 0 ? 0 : value);
        }
    }
}

static SIMD_CLONES void forward_chunk(const struct norm_desc *d, int64_t rows, const void *x,
                                      const void *residual, const struct coefficients *k, void *y)
{
    if (d->dtype == DTYPE_BF16 && d->residual)
        forward_body(true, true, d, rows, x, residual, k, y);
    else if (d->dtype == DTYPE_BF16)
        forward_body(true, false, d, rows, x, NULL, k, y);
    else if (d->residual)
        forward_body(false, true, d, rows, x, residual, k, y);
    else
        forward_body(false, false, d, rows, x, NULL, k, y);
}

// From the sums: the statistics (N, G) and the coefficients scale, shift (N, C).
static void forward_coefficients(const struct norm_desc *d, const double *sums, const float *gamma,
                                 const float *beta, float *mean, float *rstd, float *scale,
                                 float *shift)
{
    int64_t per_group = d->c / d->groups;
    double count = (double)per_group * (double)d->hw;
    for (int64_t i = 0; i < (int64_t)d->n * d->groups; i++) {
        int64_t image = i / d->groups, c0 = i % d->groups * per_group;
        const double *sum = sums + image * 2 * d->c, *square = sum + d->c;
        double total = 0, total_square = 0;
        for (int64_t c = c0; c < c0 + per_group; c++) {
            total += sum[c];
            total_square += square[c];
        }
        double average = total / count, variance = total_square / count - average * average;
        double inverse = 1 / sqrt(fmax(variance, 0) + (double)d->eps);
        mean[i] = (float)average;
        rstd[i] = (float)inverse;
        for (int64_t c = c0; c < c0 + per_group; c++) {
            scale[image * d->c + c] = (float)((double)gamma[c] * inverse);
            shift[image * d->c + c] =
                (float)((double)beta[c] - average * ((double)gamma[c] * inverse));
        }
    }
}

// Room for the sums of a pass and three coefficients per image and channel.
struct room {
    double *chunks, *sums;
    float *coefficient[3]; // (N, C) each, in one allocation
};

static void room_free(struct room *r)
{
    mem_free(r->coefficient[0]);
    mem_free(r->sums);
    mem_free(r->chunks);
}

static status room_make(const struct norm_desc *d, struct cut cut, struct room *r)
{
    size_t n = (size_t)d->n * (size_t)d->c;
    TRY(mem_alloc(&r->chunks, 2 * n * (size_t)cut.n));
    TRY(mem_alloc(&r->sums, 2 * n));
    TRY(mem_alloc(&r->coefficient[0], 3 * n));
    r->coefficient[1] = r->coefficient[0] + n;
    r->coefficient[2] = r->coefficient[1] + n;
    return OK;
}

status cpu_group_norm(struct stream *s, const struct norm_desc *d, const void *x,
                      const float *gamma, const float *beta, const void *residual, void *y,
                      float *mean, float *rstd)
{
    status st = OK;
    struct cut cut = cut_positions(d);
    struct room room = {0};
    enum dtype t = (enum dtype)d->dtype;
    TRY_GOTO(st, room_make(d, cut, &room), out);
    channel_sums(s, d, cut, x, x, room.chunks, room.sums);
    forward_coefficients(d, room.sums, gamma, beta, mean, rstd, room.coefficient[0],
                         room.coefficient[1]);
#pragma omp parallel for num_threads(chunks_threads(s, elements(d))) schedule(static)
    for (int64_t i = 0; i < d->n * cut.n; i++) {
        int64_t of = i / cut.n * d->c, row = i % cut.n * cut.rows;
        int64_t rows = d->hw - row < cut.rows ? d->hw - row : cut.rows;
        int64_t at = of * d->hw + row * d->c;
        struct coefficients k = {room.coefficient[0] + of, room.coefficient[1] + of, NULL};
        forward_chunk(d, rows, chunks_at(t, x, at), d->residual ? chunks_at(t, residual, at) : NULL,
                      &k, chunks_at_mut(t, y, at));
    }
out:
    room_free(&room);
    return st;
}

// dx (+)= a * dy + b * x + c.
static ALWAYS_INLINE void backward_body(bool bf16, bool accumulate, int64_t rows, int64_t channels,
                                        const void *restrict x, const void *restrict dy,
                                        const struct coefficients *k, void *restrict dx)
{
    const float *restrict a = k->a, *restrict b = k->b, *restrict c = k->c;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t j = 0; j < channels; j++) {
            int64_t at = r * channels + j;
            float value =
                bf16_or_float(bf16, dy, at) * a[j] + bf16_or_float(bf16, x, at) * b[j] + c[j];
            if (accumulate) value += bf16_or_float(bf16, dx, at);
            bf16_or_float_set(bf16, dx, at, value);
        }
    }
}

static SIMD_CLONES void backward_chunk(enum dtype t, bool accumulate, int64_t rows,
                                       int64_t channels, const void *x, const void *dy,
                                       const struct coefficients *k, void *dx)
{
    if (t == DTYPE_BF16 && accumulate)
        backward_body(true, true, rows, channels, x, dy, k, dx);
    else if (t == DTYPE_BF16)
        backward_body(true, false, rows, channels, x, dy, k, dx);
    else if (accumulate)
        backward_body(false, true, rows, channels, x, dy, k, dx);
    else
        backward_body(false, false, rows, channels, x, dy, k, dx);
}

// With xhat = (x - mean) * rstd and g = gamma * dy, over a group of M = D * P elements,
//   dx = rstd * (g - mean(g) - xhat * mean(g * xhat)).
// sums hold dy and dy * x per channel.
static void backward_coefficients(const struct norm_desc *d, const double *sums, const float *gamma,
                                  const float *mean, const float *rstd, float *const coefficient[3])
{
    int64_t per_group = d->c / d->groups;
    double count = (double)per_group * (double)d->hw;
    for (int64_t i = 0; i < (int64_t)d->n * d->groups; i++) {
        int64_t image = i / d->groups, c0 = i % d->groups * per_group;
        const double *sum = sums + image * 2 * d->c, *product = sum + d->c;
        double mu = (double)mean[i], inverse = (double)rstd[i], g = 0, g_x = 0;
        for (int64_t c = c0; c < c0 + per_group; c++) {
            g += (double)gamma[c] * sum[c];
            g_x += (double)gamma[c] * product[c];
        }
        double mean_g = g / count, mean_g_xhat = (g_x - mu * g) * inverse / count;
        for (int64_t c = c0; c < c0 + per_group; c++) {
            int64_t at = image * d->c + c;
            coefficient[0][at] = (float)((double)gamma[c] * inverse);
            coefficient[1][at] = (float)(-inverse * inverse * mean_g_xhat);
            coefficient[2][at] = (float)(-inverse * (mean_g - inverse * mu * mean_g_xhat));
        }
    }
}

// dgamma += sum of dy * xhat, dbeta += sum of dy, images in order.
static void parameter_gradients(const struct norm_desc *d, const double *sums, const float *mean,
                                const float *rstd, float *dgamma, float *dbeta)
{
    int64_t per_group = d->c / d->groups;
    for (int64_t c = 0; c < d->c; c++) {
        double gamma = 0, beta = 0;
        for (int64_t i = 0; i < d->n; i++) {
            const double *sum = sums + i * 2 * d->c, *product = sum + d->c;
            int64_t group = i * d->groups + c / per_group;
            gamma += (product[c] - (double)mean[group] * sum[c]) * (double)rstd[group];
            beta += sum[c];
        }
        if (dgamma != NULL) dgamma[c] += (float)gamma;
        if (dbeta != NULL) dbeta[c] += (float)beta;
    }
}

status cpu_group_norm_dx(struct stream *s, const struct norm_desc *d, const void *x, const void *dy,
                         const float *gamma, const float *mean, const float *rstd, void *dx,
                         bool accumulate, float *dgamma, float *dbeta)
{
    status st = OK;
    struct cut cut = cut_positions(d);
    struct room room = {0};
    enum dtype t = (enum dtype)d->dtype;
    TRY_GOTO(st, room_make(d, cut, &room), out);
    channel_sums(s, d, cut, dy, x, room.chunks, room.sums);
    parameter_gradients(d, room.sums, mean, rstd, dgamma, dbeta);
    backward_coefficients(d, room.sums, gamma, mean, rstd, room.coefficient);
#pragma omp parallel for num_threads(chunks_threads(s, elements(d))) schedule(static)
    for (int64_t i = 0; i < d->n * cut.n; i++) {
        int64_t of = i / cut.n * d->c, row = i % cut.n * cut.rows;
        int64_t rows = d->hw - row < cut.rows ? d->hw - row : cut.rows;
        int64_t at = of * d->hw + row * d->c;
        struct coefficients k = {room.coefficient[0] + of, room.coefficient[1] + of,
                                 room.coefficient[2] + of};
        backward_chunk(t, accumulate, rows, d->c, chunks_at(t, x, at), chunks_at(t, dy, at), &k,
                       chunks_at_mut(t, dx, at));
    }
out:
    room_free(&room);
    return st;
}
