#include "tensor/cpu/conv2d_winograd.h"

#include <string.h>

#include "core/simd.h"
#include "tensor/cpu/chunks_internal.h"

enum {
    BLOCK = 16,        // channels that stand together
    TILE = 4,          // rows of an output tile
    BAND_CELLS = 4800, // of a band: with 256 channels 5 MB, 40 MB of tiles
    // Below so many cells of an image the direct kernels win (measured at 64 to 512 channels).
    MIN_CELLS = 2400,
    MIN_CELLS_WEIGHTS = 1200,
};

// Rows of the input (with one above and one below) become the band's rows of the output.
struct band {
    int32_t image, row, rows; // of the output
};

static int32_t band_rows(const struct conv2d_desc *d)
{
    const int64_t cells = (int64_t)d->h * d->w;
    const int32_t n = (int32_t)((cells + BAND_CELLS - 1) / BAND_CELLS);
    const int32_t rows = (d->h + n - 1) / n;
    return (rows + TILE - 1) / TILE * TILE;
}

static int32_t bands_of_image(const struct conv2d_desc *d)
{
    return (d->h + band_rows(d) - 1) / band_rows(d);
}

static struct band band_at(const struct conv2d_desc *d, int32_t i)
{
    const int32_t each = band_rows(d), n = bands_of_image(d);
    const int32_t row = i % n * each;
    return (struct band){i / n, row, d->h - row < each ? d->h - row : each};
}

// From (rows, w, c) to (c / 16, rows, w, 16), rows outside the map as zeros.
static void pack_band(const struct stream *s, const struct conv2d_desc *d, const float *x,
                      int32_t c, int32_t image, int32_t row, int32_t rows, float *to)
{
    const int32_t n_blocks = c / BLOCK;
#pragma omp parallel for num_threads(chunks_threads(s, (int64_t)rows * d->w * c)) schedule(static)
    for (int32_t i = 0; i < rows; i++) {
        const int32_t at = row + i;
        const float *from = x + ((int64_t)image * d->h + at) * d->w * c;
        for (int32_t b = 0; b < n_blocks; b++) {
            float *line = to + ((int64_t)b * rows + i) * d->w * BLOCK;
            if (at < 0 || at >= d->h) {
                memset(line, 0, (size_t)d->w * BLOCK * sizeof *line);
                continue;
            }
            for (int32_t j = 0; j < d->w; j++)
                memcpy(line + j * BLOCK, from + (int64_t)j * c + b * BLOCK, BLOCK * sizeof *line);
        }
    }
}

static inline void add_block(const float *restrict from, float *restrict to)
{
    for (int k = 0; k < BLOCK; k++) to[k] += from[k];
}

// The way back: y's rows are set, or added to.
static void unpack_band(const struct stream *s, const struct conv2d_desc *d, const float *from,
                        int32_t c, const struct band *band, bool accumulate, float *y)
{
    const int32_t n_blocks = c / BLOCK, rows = band->rows;
#pragma omp parallel for num_threads(chunks_threads(s, (int64_t)rows * d->w * c)) schedule(static)
    for (int32_t i = 0; i < rows; i++) {
        float *to = y + ((int64_t)band->image * d->h + band->row + i) * d->w * c;
        for (int32_t b = 0; b < n_blocks; b++) {
            const float *line = from + ((int64_t)b * rows + i) * d->w * BLOCK;
            for (int32_t j = 0; j < d->w; j++) {
                float *cell = to + (int64_t)j * c + b * BLOCK;
                if (accumulate)
                    add_block(line + j * BLOCK, cell);
                else
                    memcpy(cell, line + j * BLOCK, BLOCK * sizeof *cell);
            }
        }
    }
}

// ---- Plans: of a band, whose rows stand in the key's desc; h counts those above and below, too
// ---

static struct onednn_key key_of_band(enum onednn_kind kind, const struct conv2d_desc *d,
                                     int32_t rows)
{
    struct onednn_key key;
    memset(&key, 0, sizeof key);
    key.kind = (int32_t)kind;
    key.d.conv = *d;
    key.d.conv.n = 1;
    key.d.conv.h = rows + 2;
    key.d.conv.ho = rows;
    if (kind != ONEDNN_KIND_WINOGRAD) key.d.conv.bias = key.d.conv.relu = 0;
    return key;
}

static struct onednn_version_conv conv_of(const struct conv2d_desc *d, enum onednn_pass pass)
{
    struct onednn_version_conv c = {
        .winograd = true,
        .pass = pass,
        .src = {4, {1, d->c, d->h, d->w}, dnnl_f32, dnnl_nChw16c},
        .weights = onednn_layout_ohwi(d->k, 3, 3, d->c, DTYPE_F32),
        .dst = {4, {1, d->k, d->ho, d->w}, dnnl_f32, dnnl_nChw16c},
        .stride = {1, 1},
        .pad_before = {0, 1},
        .pad_after = {0, 1},
    };
    return c;
}

static status make(struct stream *s, struct onednn_plan *p, struct onednn_version_conv *c,
                   const int *args, int n_args, bool sum)
{
    const struct onednn_layout ours = c->weights;
    const bool weights = c->pass == ONEDNN_PASS_WEIGHTS;
    dnnl_primitive_desc_t pd = NULL;
    c->weights.tag = dnnl_format_tag_any;
    TRY_DNNL(onednn_version_conv(s->engine, c, &pd));
    TRY(onednn_plan_make(s, p, pd, args, n_args));
    return onednn_plan_repack(s, p, args[1], &ours, weights, sum);
}

static status build_forward(struct stream *s, const struct onednn_key *key, struct onednn_plan *p)
{
    struct onednn_version_conv c = conv_of(&key->d.conv, ONEDNN_PASS_FORWARD);
    if (key->d.conv.bias != 0) c.bias = onednn_layout_vector(key->d.conv.k);
    c.post.relu = key->d.conv.relu != 0;
    const int args[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS};
    return make(s, p, &c, args, key->d.conv.bias != 0 ? 4 : 3, false);
}

// The gradient of x is the convolution of dy with the weights turned: dy's channels come in.
static status build_turned(struct stream *s, const struct onednn_key *key, struct onednn_plan *p)
{
    const struct conv2d_desc *d = &key->d.conv;
    struct onednn_version_conv c = conv_of(d, ONEDNN_PASS_FORWARD);
    c.src.dims[1] = d->k;
    c.dst.dims[1] = d->c;
    // The same memory with input and output channels in each other's place.
    c.weights = (struct onednn_layout){4, {d->c, d->k, 3, 3}, dnnl_f32, dnnl_bcda};
    return make(s, p, &c, (const int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST}, 3, false);
}

static status build_dw(struct stream *s, const struct onednn_key *key, struct onednn_plan *p)
{
    struct onednn_version_conv c = conv_of(&key->d.conv, ONEDNN_PASS_WEIGHTS);
    const int args[] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST};
    return make(s, p, &c, args, 3, key->variant == 0);
}

// ---- Where it pays -----------------------------------------------------------------------------

// By trial, once: oneDNN 2.6 has these kernels for AVX-512, other versions may not.
static bool is_there(struct stream *s)
{
    const struct conv2d_desc d = {.h = 34, .w = 64, .c = 64, .k = 64, .ho = 32};
    if (s->winograd != 0) return s->winograd > 0;
    s->winograd = 1;
    const enum onednn_pass passes[] = {ONEDNN_PASS_FORWARD, ONEDNN_PASS_WEIGHTS};
    for (size_t i = 0; i < COUNT(passes); i++) {
        struct onednn_version_conv c = conv_of(&d, passes[i]);
        dnnl_primitive_desc_t pd = NULL;
        const char *name = NULL;
        c.weights.tag = dnnl_format_tag_any;
        if (onednn_version_conv(s->engine, &c, &pd) != dnnl_success ||
            dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name) != dnnl_success ||
            strncmp(name, "jit_wino_4x3", 12) != 0)
            s->winograd = -1;
        if (pd != NULL) (void)dnnl_primitive_desc_destroy(pd);
    }
    return s->winograd > 0;
}

bool conv2d_winograd_pays(struct stream *s, const struct conv2d_desc *d, enum onednn_pass pass)
{
    const int64_t cells = (int64_t)d->h * d->w;
    const int64_t least = pass == ONEDNN_PASS_WEIGHTS ? MIN_CELLS_WEIGHTS : MIN_CELLS;
    return d->dtype == DTYPE_F32 && d->r == 3 && d->s == 3 && d->stride == 1 && d->pad == 1 &&
           d->c % BLOCK == 0 && d->k % BLOCK == 0 && d->c >= 64 && d->k >= 64 &&
           (d->residual == 0 || pass != ONEDNN_PASS_FORWARD) && cells >= least && is_there(s);
}

// ---- The passes --------------------------------------------------------------------------------

// Room for the blocks of the largest band.
static status reserve(struct stream *s, const struct conv2d_desc *d, float **src, float **dst)
{
    const size_t row = (size_t)d->w * sizeof **src, rows = (size_t)band_rows(d);
    const size_t wide = (size_t)(d->c > d->k ? d->c : d->k);
    TRY(onednn_scratch(s, ONEDNN_SCRATCH_DATA, (rows + 2) * row * wide, src));
    return onednn_scratch(s, ONEDNN_SCRATCH_PATCHES, rows * row * wide, dst);
}

struct pass {
    enum onednn_kind kind;
    onednn_build *build;
    int32_t c, k; // channels in and out
    const struct onednn_turn *turn;
    const float *bias;
    bool accumulate;
};

// Sets the plan's weights: one copy serves all bands, as long as they want the same layout.
static status weights_for(struct stream *s, struct onednn_plan *p, struct weights w,
                          const struct onednn_turn *turn, onednn_desc *layout, void **packed)
{
    const dnnl_memory_t memory = onednn_plan_arg(p, DNNL_ARG_WEIGHTS);
    onednn_desc wanted = NULL;
    TRY_DNNL(dnnl_memory_get_memory_desc(memory, &wanted));
    if (*layout != NULL && dnnl_memory_desc_equal(*layout, wanted) != 0)
        return onednn_set(p, DNNL_ARG_WEIGHTS, *packed);
    TRY(onednn_set_weights(s, p, w, turn));
    TRY_DNNL(dnnl_memory_get_data_handle(memory, packed));
    *layout = wanted;
    return OK;
}

static status convolve(struct stream *s, const struct conv2d_desc *d, const struct pass *q,
                       const float *x, struct weights w, float *y)
{
    float *src, *dst;
    void *packed = NULL;
    onednn_desc layout = NULL;
    TRY(reserve(s, d, &src, &dst));
    for (int32_t i = 0; i < d->n * bands_of_image(d); i++) {
        const struct band band = band_at(d, i);
        const struct onednn_key key = key_of_band(q->kind, d, band.rows);
        struct onednn_plan *p;
        TRY(onednn_plan(s, &key, q->build, &p));
        pack_band(s, d, x, q->c, band.image, band.row - 1, band.rows + 2, src);
        TRY(onednn_set(p, DNNL_ARG_SRC, src));
        TRY(onednn_set(p, DNNL_ARG_DST, dst));
        TRY(weights_for(s, p, w, q->turn, &layout, &packed));
        if (q->bias != NULL) TRY(onednn_set(p, DNNL_ARG_BIAS, q->bias));
        TRY(onednn_run(s, p));
        unpack_band(s, d, dst, q->k, &band, q->accumulate, y);
    }
    return OK;
}

status conv2d_winograd(struct stream *s, const struct conv2d_desc *d, const void *x,
                       struct weights w, const float *bias, void *y)
{
    const struct pass q = {.kind = ONEDNN_KIND_WINOGRAD,
                           .build = build_forward,
                           .c = d->c,
                           .k = d->k,
                           .bias = d->bias != 0 ? bias : NULL};
    return convolve(s, d, &q, x, w, y);
}

status conv2d_winograd_dx(struct stream *s, const struct conv2d_desc *d, const void *dy,
                          struct weights w, void *dx, bool accumulate)
{
    const struct onednn_turn turn = {d->k, d->r, d->s, d->c, d->dtype};
    const struct pass q = {.kind = ONEDNN_KIND_WINOGRAD_DX,
                           .build = build_turned,
                           .c = d->k,
                           .k = d->c,
                           .turn = &turn,
                           .accumulate = accumulate};
    return convolve(s, d, &q, dy, w, dx);
}

static SIMD_CLONES void add(int64_t n, const float *restrict from, float *restrict to)
{
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

// A band's gradient, after those before it: bands come in order, whatever the threads.
static status add_band(struct stream *s, struct onednn_plan *p, int32_t i, float *total)
{
    float *own = total;
    if (i > 0) TRY(onednn_scratch(s, ONEDNN_SCRATCH_PLAIN, p->packed_bytes, &own));
    TRY(onednn_set(p, DNNL_ARG_DIFF_WEIGHTS, own));
    TRY(onednn_run(s, p));
    if (i > 0) add((int64_t)(p->packed_bytes / sizeof *own), own, total);
    return OK;
}

status conv2d_winograd_dw(struct stream *s, const struct conv2d_desc *d, const void *x,
                          const void *dy, bool scaled, struct onednn_plan **out, float **packed)
{
    float *src, *dst;
    TRY(reserve(s, d, &src, &dst));
    for (int32_t i = 0; i < d->n * bands_of_image(d); i++) {
        const struct band band = band_at(d, i);
        struct onednn_key key = key_of_band(ONEDNN_KIND_WINOGRAD_DW, d, band.rows);
        key.variant = scaled;
        TRY(onednn_plan(s, &key, build_dw, out));
        TRY(onednn_scratch(s, ONEDNN_SCRATCH_PACKED, (*out)->packed_bytes, packed));
        pack_band(s, d, x, d->c, band.image, band.row - 1, band.rows + 2, src);
        pack_band(s, d, dy, d->k, band.image, band.row, band.rows, dst);
        TRY(onednn_set(*out, DNNL_ARG_SRC, src));
        TRY(onednn_set(*out, DNNL_ARG_DIFF_DST, dst));
        TRY(add_band(s, *out, i, *packed));
    }
    return OK;
}
