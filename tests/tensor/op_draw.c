// The cases and their numbers.
#include "op_draw.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"

static const struct grid two_groups[] = {
    {1, 4, 5, 4, 4}, {1, 2, 3, 8, 8}, {2, 3, 3, 4, 4}, {2, 2, 2, 8, 8}};
static const int32_t groups_of[] = {0, 1, 1}, slots_of[] = {0, 0, 1};
static const struct pyramid pyramid = {.n_images = 3,
                                       .n_groups = 2,
                                       .n_levels = 2,
                                       .n_anchors = 2,
                                       .grids = two_groups,
                                       .group = groups_of,
                                       .slot = slots_of};

#define S1(a)                                                                                      \
    {                                                                                              \
        1,                                                                                         \
        {                                                                                          \
            a                                                                                      \
        }                                                                                          \
    }
#define S2(a, b)                                                                                   \
    {                                                                                              \
        2,                                                                                         \
        {                                                                                          \
            a, b                                                                                   \
        }                                                                                          \
    }
#define S4(a, b, c, d)                                                                             \
    {                                                                                              \
        4,                                                                                         \
        {                                                                                          \
            a, b, c, d                                                                             \
        }                                                                                          \
    }
#define MAPS(c) S4(1, 4, 5, c), S4(1, 2, 3, c), S4(2, 3, 3, c), S4(2, 2, 2, c)

const struct draw op_draws[] = {
    {.label = "3x3",
     .op = "conv2d",
     .in = {S4(1, 4, 5, 2)},
     .param = {S4(3, 3, 3, 2), S1(3)},
     .i = {1, 1, 0}},
    {.label = "stride 2 with all",
     .op = "conv2d",
     .in = {S4(2, 4, 3, 2), S4(2, 2, 2, 3)},
     .param = {S4(3, 3, 3, 2), S1(3)},
     .i = {2, 1, 1},
     .relu = true},
    {.label = "shifted",
     .op = "conv2d",
     .in = {S4(1, 3, 3, 2), {0}, S1(2)},
     .param = {S4(2, 1, 1, 2)},
     .i = {1, 0, 0}},
    {.label = "relu",
     .op = "linear",
     .in = {S2(4, 6)},
     .param = {S2(3, 6), S1(3)},
     .i = {1, 0},
     .relu = true},
    {.label = "conv weight",
     .op = "linear",
     .in = {S2(2, 18)},
     .param = {S4(3, 3, 3, 2)},
     .i = {0, 1}},
    {.label = "two",
     .op = "linear_pair",
     .in = {S2(4, 6)},
     .param = {S2(2, 6), S1(2), S2(5, 6), S1(5)}},
    {.label = "plain",
     .op = "group_norm",
     .in = {S4(2, 2, 3, 4)},
     .param = {S1(4), S1(4)},
     .i = {2, 0},
     .f = {1e-5f}},
    {.label = "with all",
     .op = "group_norm",
     .in = {S4(1, 3, 2, 6), S4(1, 3, 2, 6)},
     .param = {S1(6), S1(6)},
     .i = {3, 1},
     .f = {1e-2f},
     .relu = true},
    {.label = "training",
     .op = "batch_norm",
     .in = {S4(2, 2, 3, 4)},
     .param = {S1(4), S1(4), S1(4), S1(4)},
     .i = {1, 0},
     .f = {1e-5f, 0.1f}},
    {.label = "evaluation with all",
     .op = "batch_norm",
     .in = {S4(2, 2, 2, 3), S4(2, 2, 2, 3)},
     .param = {S1(3), S1(3), S1(3), S1(3)},
     .i = {0, 1},
     .f = {1e-2f, 0.1f},
     .relu = true},
    {.label = "overlapping", .op = "max_pool2d", .in = {S4(1, 5, 4, 2)}, .i = {3, 2, 1}},
    {.label = "odd", .op = "upsample_add", .in = {S4(1, 5, 4, 2), S4(1, 2, 3, 2)}},
    {.label = "flat", .op = "reshape", .in = {S4(2, 1, 2, 3)}, .i = {2, 6}},
    {.label = "two groups",
     .op = "roi_align",
     .in = {S2(8, 4), S1(8), MAPS(2)},
     .i = {2, 2, 2},
     .integers_below = 3},
    {.label = "two groups",
     .op = "gather_patches",
     .in = {S1(5), S1(5), MAPS(2)},
     .i = {2},
     .integers_below = 3},
    {.label = "three images",
     .op = "softmax_ce",
     .in = {S2(5, 4), S1(5), S1(5), S1(5)},
     .i = {3},
     .integers_below = 3},
    {.label = "three images",
     .op = "sigmoid_bce",
     .in = {S2(5, 3), S1(5), S1(5), S1(5), S1(5)},
     .i = {3},
     .integers_below = 2},
    {.label = "three images",
     .op = "smooth_l1",
     .in = {S2(5, 8), S1(5), S2(5, 4), S1(5), S1(5)},
     .i = {3},
     .f = {1.0f},
     .integers_below = 2},
};
const int op_draws_n = COUNT(op_draws);

static bool is(const struct draw *d, const char *op)
{
    return strcmp(d->op, op) == 0;
}

// Values of input k. Max pooling gets values 0.1 apart, so that a step changes no maximum, and rois
// lie inside their maps.
static void fill(const struct draw *d, int k, size_t n, float *to)
{
    uint64_t key = rng_key((uint64_t)(d - op_draws), 0, (uint64_t)k, RNG_PURPOSE_TEST);
    for (size_t i = 0; i < n; i++) to[i] = (float)rng_normal(key, i);
    if (is(d, "max_pool2d"))
        for (size_t i = 0; i < n; i++) to[i] = 0.1f * (float)(i * 7 % n);
    if (k == OP_CASE_MAX_IN + 3) // a running variance
        for (size_t i = 0; i < n; i++) to[i] = 0.5f + to[i] * to[i];
    if (is(d, "roi_align") && k == 0) // every other one large enough for the second level
        for (size_t i = 0; i < n; i++)
            to[i] = (i / 4 % 2 == 0 ? (i % 4 < 2 ? 0.3f : 7.0f) : (i % 4 < 2 ? -72.0f : 50.0f)) +
                    rng_uniform(key, i) * 3;
}

// Integers: labels and columns cycle; lists of images ascend and end with a row left out.
static void fill_integers(const struct draw *d, char what, size_t n, int32_t *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (int32_t)(what == 'm' ? i * (size_t)d->integers_below / n
                                      : i % (size_t)d->integers_below);
    if (what == 'm') to[n - 1] = -1;
    static const int32_t anchors[] = {3, 45, 17, 25, 0}; // each group's first and second level
    if (what == 'i' && is(d, "gather_patches")) memcpy(to, anchors, sizeof anchors);
}

// The kind letter of word k of a list like "x:c ?residual:c", 'm' for image lists.
static char kind_of(const char *list, int k)
{
    char word[32] = "";
    for (int n; sscanf(list, "%31s%n", word, &n) == 1; list += n)
        if (strncmp(word, "x*", 2) == 0 || k-- == 0) break;
    return strncmp(word, "image", 5) == 0 ? 'm' : strchr(word, ':')[1];
}

static void draw_input(struct drawn *w, const struct draw *d, const struct op_build *b, int k)
{
    if (d->in[k].n_dims == 0) return;
    char kind = kind_of(b->in, k);
    bool integers = kind == 'i' || kind == 'm';
    w->n[k] = (size_t)shape_elements(&d->in[k]);
    EXPECT_OK(mem_alloc(&w->data[k], w->n[k]));
    if (integers)
        fill_integers(d, kind, w->n[k], (int32_t *)(void *)w->data[k]);
    else
        fill(d, k, w->n[k], w->data[k]);
    (void)snprintf(w->names[k], sizeof w->names[k], "%d", k);
    // Of the fp32 inputs only the losses' first has a gradient.
    w->c.in[k] =
        (struct op_input){.name = w->names[k],
                          .place = integers      ? OP_PLACE_I32
                                   : kind == 'f' ? OP_PLACE_F32
                                                 : OP_PLACE_COMPUTE,
                          .shape = d->in[k],
                          .data = w->data[k],
                          .grad = kind == 'c' || (kind == 'f' && k == 0 && !is(d, "roi_align"))};
}

static void draw_param(struct drawn *w, const struct draw *d, const struct op_build *b, int k)
{
    if (d->param[k].n_dims == 0) return;
    int at = OP_CASE_MAX_IN + k;
    w->n[at] = (size_t)shape_elements(&d->param[k]);
    EXPECT_OK(mem_alloc(&w->data[at], w->n[at]));
    fill(d, at, w->n[at], w->data[at]);
    char kind = kind_of(b->params, k);
    (void)snprintf(w->names[at], sizeof w->names[at], "p%d", k);
    w->c.param[k] = (struct op_param){.name = w->names[at],
                                      .kind = kind == 'w'   ? PARAM_KIND_WEIGHT
                                              : kind == 's' ? PARAM_KIND_BUFFER
                                                            : PARAM_KIND_BIAS,
                                      .shape = d->param[k],
                                      .data = w->data[at],
                                      .trainable = kind != 's'};
}

void op_draw(const struct draw *d, struct drawn *w)
{
    const struct op_build *b = op_builds_find(d->op);
    *w = (struct drawn){.c = {.name = d->op,
                              .n_in = OP_CASE_MAX_IN,
                              .n_params = OP_CASE_MAX_PARAMS,
                              .pyramid = &pyramid,
                              .build = b->build}};
    memcpy(w->c.i, d->i, sizeof w->c.i);
    memcpy(w->c.f, d->f, sizeof w->c.f);
    for (int k = 0; k < OP_CASE_MAX_IN; k++) draw_input(w, d, b, k);
    for (int k = 0; k < OP_CASE_MAX_PARAMS; k++) draw_param(w, d, b, k);
}

void op_draw_free(struct drawn *w)
{
    for (size_t i = 0; i < COUNT(w->data); i++) mem_free(w->data[i]);
}
