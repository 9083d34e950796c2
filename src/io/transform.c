// The transform, a row at a time: each stored row that is needed becomes floats once and is
// resampled along x once; two such rows are then blended into each row of the output. Per output
// that is (a * wx0 + b * wx1) * wy0 + (c * wx0 + d * wx1) * wy1, which is how torch's kernel
// rounds, too.
#include "io/transform.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "core/simd.h"
#include "core/tap.h"

void transform_init(const struct config_input *input, struct transform *out)
{
    out->input = input;
    for (int c = 0; c < 3; c++) {
        float mean = (float)input->mean.value[c], std = (float)input->std.value[c];
        for (int v = 0; v < 256; v++) out->table[c][v] = tap_value(v, mean, std);
    }
}

// ---- Sizes -----------------------------------------------------------------------------------

// torch takes the integer part in double; a side that would vanish (torch then fails) keeps one
// pixel.
static int32_t scaled_side(int32_t side, double scale)
{
    int32_t scaled = (int32_t)((double)side * scale);
    return scaled < 1 ? 1 : scaled;
}

static int32_t round_up(int32_t n, int32_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

static void choose_canvas(const struct config_input *input, struct transform_plan *plan)
{
    int64_t best_area = INT64_MAX;
    for (int i = 0; i < input->n_canvases; i++) {
        const struct config_canvas *canvas = &input->canvases[i];
        int64_t area = (int64_t)canvas->h * canvas->w;
        if (canvas->h < plan->h || canvas->w < plan->w || area >= best_area) continue;
        best_area = area;
        plan->canvas_h = canvas->h;
        plan->canvas_w = canvas->w;
    }
    if (best_area < INT64_MAX) return;
    plan->own_canvas = input->n_canvases > 0;
    plan->canvas_h = round_up(plan->h, input->pad_multiple);
    plan->canvas_w = round_up(plan->w, input->pad_multiple);
}

void transform_plan(const struct transform *t, int32_t h, int32_t w, struct transform_plan *out)
{
    double by_short = (double)t->input->min_size / (double)(h < w ? h : w);
    double by_long = (double)t->input->max_size / (double)(h < w ? w : h);
    double scale = by_long < by_short ? by_long : by_short;
    *out = (struct transform_plan){.from_h = h, .from_w = w};
    out->h = scaled_side(h, scale);
    out->w = scaled_side(w, scale);
    choose_canvas(t->input, out);
}

// ---- Pixels ----------------------------------------------------------------------------------

static void row_to_floats(const struct transform *t, const unsigned char *row, int32_t w, bool flip,
                          float *to)
{
    int step = flip ? -3 : 3;
    if (flip) to += (w - 1) * 3;
    for (int32_t x = 0; x < w; x++, row += 3, to += step) {
        to[0] = t->table[0][row[0]];
        to[1] = t->table[1][row[1]];
        to[2] = t->table[2][row[2]];
    }
}

SIMD_CLONES
static void resample_row(const float *from, const struct tap *taps, int32_t w, float *to)
{
    for (int32_t x = 0; x < w; x++) {
        const float *a = from + taps[x].first * 3, *b = from + taps[x].second * 3;
        for (int c = 0; c < 3; c++) to[3 * x + c] = tap_blend(a[c], b[c], taps[x].weight);
    }
}

SIMD_CLONES
static void blend_rows(const float *restrict a, const float *restrict b, float weight, int32_t n,
                       float *restrict to)
{
    for (int32_t i = 0; i < n; i++) to[i] = tap_blend(a[i], b[i], weight);
}

// Two resampled rows are kept; row y lives in slot y & 1, since no output needs rows y and y + 2.
struct row_cache {
    const struct transform *transform;
    const struct image *image;
    bool flip;
    int32_t w;         // resized
    struct tap *taps;  // w
    float *floats;     // (from_w, 3)
    float *rows[2];    // (w, 3)
    int32_t number[2]; // which stored row, -1: none
};

static const float *row_get(struct row_cache *cache, int32_t y)
{
    int slot = y & 1;
    if (cache->number[slot] != y) {
        const struct image *image = cache->image;
        const unsigned char *row = image->pixels + (size_t)y * (size_t)image->w * 3;
        row_to_floats(cache->transform, row, image->w, cache->flip, cache->floats);
        resample_row(cache->floats, cache->taps, cache->w, cache->rows[slot]);
        cache->number[slot] = y;
    }
    return cache->rows[slot];
}

static status cache_init(struct row_cache *cache, const struct transform_plan *plan)
{
    size_t row = (size_t)plan->w * 3;
    cache->w = plan->w;
    cache->number[0] = cache->number[1] = -1;
    TRY(mem_alloc(&cache->taps, (size_t)plan->w));
    TRY(mem_alloc(&cache->floats, (size_t)plan->from_w * 3));
    TRY(mem_alloc(&cache->rows[0], row));
    TRY(mem_alloc(&cache->rows[1], row));
    for (int32_t x = 0; x < plan->w; x++) cache->taps[x] = tap_at(x, plan->from_w, plan->w);
    return OK;
}

static void cache_fini(struct row_cache *cache)
{
    mem_free(cache->rows[1]);
    mem_free(cache->rows[0]);
    mem_free(cache->floats);
    mem_free(cache->taps);
}

static void zero(float *to, size_t n)
{
    if (n > 0) memset(to, 0, n * sizeof *to);
}

status transform_pixels(const struct transform *t, const struct transform_plan *plan,
                        const struct image *image, bool flip, float *to)
{
    ASSERT(image->h == plan->from_h && image->w == plan->from_w);
    struct row_cache cache = {.transform = t, .image = image, .flip = flip};
    size_t n = (size_t)plan->w * 3, row = (size_t)plan->canvas_w * 3;
    status st = OK;
    TRY_GOTO(st, cache_init(&cache, plan), out);
    for (int32_t y = 0; y < plan->h; y++, to += row) {
        struct tap tap = tap_at(y, plan->from_h, plan->h);
        const float *a = row_get(&cache, tap.first), *b = row_get(&cache, tap.second);
        blend_rows(a, b, tap.weight, (int32_t)n, to);
        zero(to + n, row - n);
    }
    zero(to, (size_t)(plan->canvas_h - plan->h) * row);
out:
    cache_fini(&cache);
    return st;
}

// ---- Boxes -----------------------------------------------------------------------------------

static float clamp(float v, float most)
{
    return v < 0 ? 0 : v > most ? most : v;
}

int transform_boxes(const struct transform_plan *plan, const struct annotation *annotations, int n,
                    bool flip, float (*boxes)[4], int32_t *labels, struct transform_counts *counts)
{
    float w = (float)plan->from_w, h = (float)plan->from_h;
    float by_x = (float)plan->w / w, by_y = (float)plan->h / h;
    int n_boxes = 0;
    for (int i = 0; i < n; i++) {
        const struct annotation *a = &annotations[i];
        if (a->is_crowd) {
            counts->crowds++;
            continue;
        }
        float left = (float)a->x, top = (float)a->y;
        float right = left + (float)a->w, bottom = top + (float)a->h;
        float x0 = clamp(left, w), y0 = clamp(top, h), x1 = clamp(right, w), y1 = clamp(bottom, h);
        if (!(x1 > x0 && y1 > y0)) {
            counts->empty_boxes++;
            continue;
        }
        counts->clipped_boxes += x0 != left || y0 != top || x1 != right || y1 != bottom;
        float *box = boxes[n_boxes];
        box[0] = (flip ? w - x1 : x0) * by_x;
        box[1] = y0 * by_y;
        box[2] = (flip ? w - x0 : x1) * by_x;
        box[3] = y1 * by_y;
        labels[n_boxes++] = a->label;
    }
    return n_boxes;
}
