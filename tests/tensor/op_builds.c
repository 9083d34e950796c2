// The calls.
#include "op_builds.h"

#include <string.h>

static status conv2d(struct tape *t, const struct op_case *c, struct tensor **in,
                     struct param **param, struct tensor **y)
{
    return op_conv2d(t, in[0],
                     &(struct conv2d_params){.name = c->name,
                                             .w = param[0],
                                             .bias = param[1],
                                             .residual = in[1],
                                             .shift = in[2],
                                             .stride = c->i[0],
                                             .pad = c->i[1],
                                             .relu = c->i[2] != 0},
                     y);
}

static status linear(struct tape *t, const struct op_case *c, struct tensor **in,
                     struct param **param, struct tensor **y)
{
    return op_linear(t, in[0],
                     &(struct linear_params){.name = c->name,
                                             .w = param[0],
                                             .bias = param[1],
                                             .relu = c->i[0] != 0,
                                             .fp32_out = c->i[1] != 0},
                     y);
}

static status linear_pair(struct tape *t, const struct op_case *c, struct tensor **in,
                          struct param **param, struct tensor **y)
{
    const struct linear_params p[2] = {
        {.name = c->name, .w = param[0], .bias = param[1], .fp32_out = true},
        {.name = c->name, .w = param[2], .bias = param[3], .fp32_out = true}};
    return op_linear_pair(t, in[0], p, y);
}

static status group_norm(struct tape *t, const struct op_case *c, struct tensor **in,
                         struct param **param, struct tensor **y)
{
    return op_group_norm(t, in[0],
                         &(struct group_norm_params){.name = c->name,
                                                     .gamma = param[0],
                                                     .beta = param[1],
                                                     .residual = in[1],
                                                     .groups = c->i[0],
                                                     .relu = c->i[1] != 0,
                                                     .eps = c->f[0]},
                         y);
}

static status batch_norm(struct tape *t, const struct op_case *c, struct tensor **in,
                         struct param **param, struct tensor **y)
{
    return op_batch_norm(t, in[0],
                         &(struct batch_norm_params){.name = c->name,
                                                     .gamma = param[0],
                                                     .beta = param[1],
                                                     .running_mean = param[2],
                                                     .running_var = param[3],
                                                     .residual = in[1],
                                                     .training = c->i[0] != 0,
                                                     .relu = c->i[1] != 0,
                                                     .eps = c->f[0],
                                                     .momentum = c->f[1]},
                         y);
}

static status max_pool2d(struct tape *t, const struct op_case *c, struct tensor **in,
                         struct param **param, struct tensor **y)
{
    (void)param;
    return op_max_pool2d(t, c->name, in[0], c->i[0], c->i[1], c->i[2], y);
}

static status upsample_add(struct tape *t, const struct op_case *c, struct tensor **in,
                           struct param **param, struct tensor **y)
{
    (void)param;
    return op_upsample_add(t, c->name, in[0], in[1], y);
}

static status reshape(struct tape *t, const struct op_case *c, struct tensor **in,
                      struct param **param, struct tensor **y)
{
    (void)param;
    return op_reshape(t, in[0], shape_2(c->i[0], c->i[1]), y);
}

static status roi_align(struct tape *t, const struct op_case *c, struct tensor **in,
                        struct param **param, struct tensor **y)
{
    (void)param;
    struct roi_align_params q = {
        .name = c->name, .pooled = c->i[0], .sampling = c->i[1], .n_levels = c->i[2]};
    return op_roi_align(t, in + 2, c->pyramid, in[0], in[1], &q, y);
}

static status gather_patches(struct tape *t, const struct op_case *c, struct tensor **in,
                             struct param **param, struct tensor **y)
{
    (void)param;
    return op_gather_patches(t, in + 2, c->pyramid, in[0], in[1], y);
}

static status softmax_ce(struct tape *t, const struct op_case *c, struct tensor **in,
                         struct param **param, struct tensor **y)
{
    (void)param;
    struct loss_params p = {
        .name = c->name, .label = in[1], .image = in[2], .weight = in[3], .n_images = c->i[0]};
    return op_softmax_ce(t, in[0], &p, y);
}

static status sigmoid_bce(struct tape *t, const struct op_case *c, struct tensor **in,
                          struct param **param, struct tensor **y)
{
    (void)param;
    struct loss_params p = {.name = c->name,
                            .column = in[1],
                            .label = in[2],
                            .image = in[3],
                            .weight = in[4],
                            .n_images = c->i[0]};
    return op_sigmoid_bce(t, in[0], &p, y);
}

static status smooth_l1(struct tape *t, const struct op_case *c, struct tensor **in,
                        struct param **param, struct tensor **y)
{
    (void)param;
    struct loss_params p = {.name = c->name,
                            .column = in[1],
                            .target = in[2],
                            .image = in[3],
                            .weight = in[4],
                            .beta = c->f[0],
                            .n_images = c->i[0]};
    return op_smooth_l1(t, in[0], &p, y);
}

const struct op_build op_builds[] = {
    {"conv2d", "x:c ?residual:c ?shift:f", "w:w ?bias:b", conv2d},
    {"linear", "x:c", "w:w ?bias:b", linear},
    {"linear_pair", "x:c", "w:w bias:b w2:w bias2:b", linear_pair},
    {"group_norm", "x:c ?residual:c", "gamma:n beta:n", group_norm},
    {"batch_norm", "x:c ?residual:c", "gamma:n beta:n mean:s var:s", batch_norm},
    {"max_pool2d", "x:c", "", max_pool2d},
    {"upsample_add", "lateral:c top:c", "", upsample_add},
    {"reshape", "x:c", "", reshape},
    {"roi_align", "rois:f image:i x*:c", "", roi_align},
    {"gather_patches", "image:i index:i x*:c", "", gather_patches},
    {"softmax_ce", "x:f label:i image:i weight:f", "", softmax_ce},
    {"sigmoid_bce", "x:f index:i label:i image:i weight:f", "", sigmoid_bce},
    {"smooth_l1", "x:f column:i target:f image:i weight:f", "", smooth_l1},
};
const int op_builds_n = COUNT(op_builds);

const struct op_build *op_builds_find(const char *op)
{
    for (int i = 0; i < op_builds_n; i++)
        if (strcmp(op_builds[i].op, op) == 0) return &op_builds[i];
    ASSERT(false && "an op that no case builds");
    return NULL;
}
