// What ops keep, refuse and do with nothing; and a step of many ops in steady state.
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "support/test.h"
#include "tensor/ops.h"

enum { C = 16, SIDE = 16 }; // maps of 1 x 16 x 16 x 16 floats: 16 KiB

struct net {
    struct device *device;
    struct tape *tape;
    struct params *params;
    struct param *conv, *bias, *gamma, *beta, *linear, *linear_bias, *second, *second_bias, *frozen;
};

static struct param *add(struct net *n, const char *name, enum param_kind kind, bool trainable,
                         struct shape shape)
{
    struct param *p = NULL;
    EXPECT_OK(params_add(n->params, name, kind, trainable, shape, &p));
    return p;
}

static struct net open_net(void)
{
    struct net n = {0};
    EXPECT_OK(device_open_cpu(2, DTYPE_F32, &n.device));
    EXPECT_OK(tape_create(n.device, &n.tape));
    EXPECT_OK(params_create(n.device, &n.params));
    n.conv = add(&n, "conv.weight", PARAM_KIND_WEIGHT, true, shape_4(C, 3, 3, C));
    n.bias = add(&n, "conv.bias", PARAM_KIND_BIAS, true, shape_1(C));
    n.gamma = add(&n, "norm.weight", PARAM_KIND_NORM, true, shape_1(C));
    n.beta = add(&n, "norm.bias", PARAM_KIND_NORM, true, shape_1(C));
    n.linear = add(&n, "fc.weight", PARAM_KIND_WEIGHT, true, shape_2(4, 4 * C));
    n.linear_bias = add(&n, "fc.bias", PARAM_KIND_BIAS, true, shape_1(4));
    n.second = add(&n, "second.weight", PARAM_KIND_WEIGHT, true, shape_2(2, 4 * C));
    n.second_bias = add(&n, "second.bias", PARAM_KIND_BIAS, true, shape_1(2));
    n.frozen = add(&n, "frozen.weight", PARAM_KIND_WEIGHT, false, shape_4(C, 3, 3, C));
    EXPECT_OK(params_finish(n.params));
    for (int i = 0; i < params_n(n.params); i++) {
        struct param *p = params_at(n.params, i);
        float *value = p->value.data;
        uint64_t key = rng_key(5, 0, (uint64_t)i, RNG_PURPOSE_TEST);
        for (int64_t k = 0; k < tensor_elements(&p->value); k++)
            value[k] = 0.1f * (float)rng_normal(key, (uint64_t)k);
    }
    EXPECT_OK(params_refresh(n.params));
    return n;
}

static void close_net(struct net *n)
{
    tape_destroy(n->tape);
    params_destroy(n->params);
    device_close(n->device);
}

static struct tensor *draw(struct net *n, const char *name, struct shape shape, uint64_t id)
{
    struct tensor *x = NULL;
    uint64_t key = rng_key(6, 0, id, RNG_PURPOSE_TEST);
    EXPECT_OK(tape_tensor(n->tape, name, DTYPE_F32, shape, &x));
    for (int64_t i = 0; i < tensor_elements(x); i++)
        ((float *)x->data)[i] = (float)rng_normal(key, (uint64_t)i);
    return x;
}

static struct tensor *map(struct net *n)
{
    return draw(n, "x", shape_4(1, SIDE, SIDE, C), 0);
}

static struct tensor *integers(struct net *n, const char *name, int64_t count, int32_t value)
{
    struct tensor *x = NULL;
    EXPECT_OK(tape_tensor(n->tape, name, DTYPE_I32, shape_1(count), &x));
    for (int64_t i = 0; i < count; i++) ((int32_t *)x->data)[i] = value;
    return x;
}

static size_t in_use(const struct net *n)
{
    struct pool_stats s;
    pool_stats(n->device->pool, &s);
    return s.bytes_in_use;
}

static struct tensor *conv(struct net *n, struct tensor *x, struct param *w, struct param *bias,
                           bool relu)
{
    struct tensor *y = NULL;
    EXPECT_OK(op_conv2d(n->tape, x,
                        &(struct conv2d_params){
                            .name = "y", .w = w, .bias = bias, .stride = 1, .pad = 1, .relu = relu},
                        &y));
    return y;
}

TEST(a_convolution_keeps_its_input_only_where_its_weight_trains)
{
    struct net n = open_net();
    struct tensor *x = map(&n), *y = conv(&n, x, n.frozen, NULL, true);
    EXPECT(!y->needs_grad && x->n_saved == 0 && y->n_saved == 0); // a frozen stage keeps nothing
    y = conv(&n, x, n.conv, n.bias, false);
    EXPECT(y->needs_grad && x->n_saved == 1 && y->n_saved == 0);
    struct tensor *z = conv(&n, y, n.frozen, NULL, true);
    EXPECT(z->needs_grad && y->n_saved == 0 && z->n_saved == 1); // its ReLU reads z
    tape_set_recording(n.tape, false);
    z = conv(&n, y, n.conv, n.bias, true);
    EXPECT(!z->needs_grad && y->n_saved == 0 && z->n_saved == 0);
    close_net(&n);
}

// h = relu(conv(x)), read by a and b, which is recorded last and so walked first.
static struct tensor *walk_two_readers(struct net *n, struct tensor *x, bool relu,
                                       struct tensor **h)
{
    tape_require_grad(n->tape, x);
    *h = conv(n, x, n->conv, n->bias, relu);
    struct tensor *a = conv(n, *h, n->conv, NULL, false), *b = conv(n, *h, n->frozen, NULL, false);
    EXPECT_OK(tape_backward(n->tape, (struct tensor *[]){a, b}, 2, 0.5f));
    return x->grad;
}

TEST(the_last_gradient_into_a_relus_output_is_masked_on_its_way)
{
    struct net n = open_net();
    struct tensor *h, *dx = walk_two_readers(&n, map(&n), true, &h);
    EXPECT(tape_is_masked(h));
    // The same by the slots, one pass after the other.
    const struct backend_ops *ops = n.device->ops;
    struct stream *s = n.device->stream;
    const struct conv2d_desc d = {.n = 1,
                                  .h = SIDE,
                                  .w = SIDE,
                                  .c = C,
                                  .k = C,
                                  .r = 3,
                                  .s = 3,
                                  .stride = 1,
                                  .pad = 1,
                                  .ho = SIDE,
                                  .wo = SIDE,
                                  .bias = 1,
                                  .relu = 1};
    static float y[SIDE * SIDE * C], flow[COUNT(y)], sum[COUNT(y)], want[COUNT(y)];
    const struct weights w = {n.conv->value.data, 0}, frozen = {n.frozen->value.data, 0};
    EXPECT_OK(ops->conv2d(s, &d, map(&n)->data, w, n.bias->value.data, NULL, y));
    for (size_t i = 0; i < COUNT(flow); i++) flow[i] = 0.5f;
    EXPECT_OK(ops->conv2d_dx(s, &d, flow, frozen, (struct dx_epilogue){0}, sum));
    EXPECT_OK(ops->conv2d_dx(s, &d, flow, w, (struct dx_epilogue){.add = sum}, sum));
    EXPECT_OK(ops->relu_dx(s, DTYPE_F32, COUNT(y), y, sum, sum));
    EXPECT_OK(ops->conv2d_dx(s, &d, sum, w, (struct dx_epilogue){0}, want));
    EXPECT(memcmp(dx->data, want, sizeof want) == 0);
    tape_reset(n.tape);
    dx = walk_two_readers(&n, map(&n), false, &h);
    EXPECT(!tape_is_masked(h) && memcmp(dx->data, want, sizeof want) != 0);
    close_net(&n);
}

TEST(a_gradient_that_is_not_a_convolutions_last_is_masked_afterwards)
{
    struct net n = open_net();
    struct tensor *x = map(&n), *h, *pooled, *y;
    tape_require_grad(n.tape, x);
    h = conv(&n, x, n.conv, n.bias, true);
    EXPECT_OK(op_max_pool2d(n.tape, "pool", h, 2, 2, 0, &pooled)); // walked last
    y = conv(&n, h, n.frozen, NULL, false);
    EXPECT_OK(tape_backward(n.tape, (struct tensor *[]){pooled, y}, 2, 1));
    EXPECT(!tape_is_masked(h));
    close_net(&n);
}

TEST(pooling_keeps_an_index_only_where_a_walk_follows)
{
    struct net n = open_net();
    struct tensor *x = map(&n), *y;
    size_t before = in_use(&n);
    EXPECT_OK(op_max_pool2d(n.tape, "y", x, 2, 2, 0, &y));
    EXPECT_EQ(in_use(&n) - before, 64 * C * 4);
    x = map(&n);
    tape_require_grad(n.tape, x);
    before = in_use(&n);
    EXPECT_OK(op_max_pool2d(n.tape, "y", x, 2, 2, 0, &y));
    EXPECT_EQ(in_use(&n) - before, 64 * C * 5);
    EXPECT_EQ(x->n_saved, 0);
    close_net(&n);
}

TEST(a_norm_keeps_no_statistics_in_inference)
{
    struct net n = open_net();
    tape_set_recording(n.tape, false);
    struct tensor *x = map(&n), *y;
    size_t before = in_use(&n);
    EXPECT_OK(op_group_norm(
        n.tape, x,
        &(struct group_norm_params){
            .name = "y", .gamma = n.gamma, .beta = n.beta, .groups = 4, .eps = 1e-5f, .relu = true},
        &y));
    EXPECT_EQ(in_use(&n) - before, tensor_bytes(y));
    EXPECT(x->n_saved == 0 && y->n_saved == 0);
    close_net(&n);
}

static const struct grid grids[] = {{1, SIDE, SIDE, 4, 4}, {1, SIDE / 2, SIDE / 2, 8, 8}};
static const int32_t zero[] = {0};
static const struct pyramid one_image = {.n_images = 1,
                                         .n_groups = 1,
                                         .n_levels = 2,
                                         .n_anchors = 3,
                                         .grids = grids,
                                         .group = zero,
                                         .slot = zero};

struct loss_of_step {
    struct tensor *loss, *features[2];
};

// Two levels by convolution, norm, pooling and enlarging; rois of both through one weight to a
// loss.
static struct loss_of_step forward(struct net *n, int64_t rows)
{
    struct loss_of_step s;
    struct tensor *x = map(n), *a, *b, *small, *merged, *pooled, *flat, *logits;
    a = conv(n, x, n->conv, n->bias, true);
    tape_drop(n->tape, x);
    EXPECT_OK(op_group_norm(n->tape, a,
                            &(struct group_norm_params){.name = "norm",
                                                        .gamma = n->gamma,
                                                        .beta = n->beta,
                                                        .residual = a,
                                                        .groups = 4,
                                                        .eps = 1e-5f,
                                                        .relu = true},
                            &b));
    EXPECT_OK(op_max_pool2d(n->tape, "small", b, 3, 2, 1, &small));
    EXPECT_OK(op_upsample_add(n->tape, "merged", b, small, &merged));
    s.features[0] = conv(n, merged, n->conv, n->bias, false);
    s.features[1] = conv(n, small, n->frozen, NULL, true);
    struct tensor *rois = draw(n, "rois", shape_2(rows, 4), 1);
    for (int64_t i = 0; i < rows * 4; i++) // 48 pixels wide, or 132
        ((float *)rois->data)[i] = i % 4 < 2 ? 4 : i / 4 % 2 == 0 ? 52 : 136;
    struct tensor *image = integers(n, "image", rows, 0), *label = integers(n, "label", rows, 1);
    struct tensor *weight = draw(n, "weight", shape_1(rows), 2);
    EXPECT_OK(op_roi_align(
        n->tape, s.features, &one_image, rois, image,
        &(struct roi_align_params){.name = "pooled", .pooled = 2, .sampling = 2, .n_levels = 2},
        &pooled));
    EXPECT_OK(op_reshape(n->tape, pooled, shape_2(rows, 4 * C), &flat));
    EXPECT_OK(op_linear(n->tape, flat, &(struct linear_params){.name = "logits", .w = n->linear},
                        &logits));
    struct loss_params p = {
        .name = "loss", .label = label, .image = image, .weight = weight, .n_images = 1};
    EXPECT_OK(op_softmax_ce(n->tape, logits, &p, &s.loss));
    return s;
}

TEST(a_step_of_many_ops_repeats_to_the_bit_and_allocates_nothing)
{
    struct net n = open_net();
    struct pool_stats before = {0}, after;
    float loss = 0, grad = 0;
    void *at = NULL;
    for (int step = 0; step < 4; step++) {
        if (step == 1) pool_stats(n.device->pool, &before);
        EXPECT_OK(params_zero_grads(n.params));
        struct loss_of_step s = forward(&n, 6);
        EXPECT_OK(tape_backward(n.tape, &s.loss, 1, 1));
        float value = *(float *)s.loss->data, first = n.conv->grad[0];
        EXPECT(isfinite(value) && first != 0 && n.linear->grad[0] != 0 && n.gamma->grad[0] != 0);
        EXPECT(step == 0 || (value == loss && first == grad && s.loss->data == at));
        loss = value;
        grad = first;
        at = s.loss->data;
        tape_reset(n.tape);
    }
    pool_stats(n.device->pool, &after);
    EXPECT_EQ(after.n_backend_allocs, before.n_backend_allocs);
    EXPECT_EQ(after.bytes_peak, before.bytes_peak);
    close_net(&n);
}

// The loss of the first of a pair's outputs, or of that layer alone; its input's gradient.
static void walk_from_first(struct net *n, bool pair, float dx[3 * 4 * C])
{
    struct tensor *x = draw(n, "x", shape_2(3, 4 * C), 0), *y[2], *loss;
    struct tensor *label = integers(n, "label", 3, 1), *image = integers(n, "image", 3, 0);
    const struct linear_params p[2] = {
        {.name = "fc", .w = n->linear, .bias = n->linear_bias, .fp32_out = true},
        {.name = "second", .w = n->second, .bias = n->second_bias, .fp32_out = true}};
    const struct loss_params q = {.name = "loss",
                                  .label = label,
                                  .image = image,
                                  .weight = draw(n, "weight", shape_1(3), 1),
                                  .n_images = 1};
    EXPECT_OK(params_zero_grads(n->params));
    tape_require_grad(n->tape, x);
    EXPECT_OK(pair ? op_linear_pair(n->tape, x, p, y) : op_linear(n->tape, x, &p[0], &y[0]));
    EXPECT_OK(op_softmax_ce(n->tape, y[0], &q, &loss));
    EXPECT_OK(tape_backward(n->tape, &loss, 1, 1));
    memcpy(dx, x->grad->data, 3 * 4 * C * sizeof *dx);
    tape_reset(n->tape);
}

TEST(a_pair_of_which_one_output_is_used_has_that_ones_gradients)
{
    static float alone[3 * 4 * C], of_pair[3 * 4 * C], dw[4 * 4 * C], nothing[2 * 4 * C];
    struct net n = open_net();
    walk_from_first(&n, false, alone);
    memcpy(dw, n.linear->grad, sizeof dw);
    walk_from_first(&n, true, of_pair);
    EXPECT(alone[0] != 0 && dw[0] != 0);
    EXPECT_CLOSE("dx", of_pair, alone, COUNT(alone), 1e-7, 1e-7);
    EXPECT_CLOSE("dw", n.linear->grad, dw, COUNT(dw), 1e-7, 1e-7);
    EXPECT_CLOSE("dw of the other", n.second->grad, nothing, COUNT(nothing), 0, 0);
    EXPECT_NEAR(n.second_bias->grad[0], 0, 0);
    close_net(&n);
}

static status count_ready(void *context, struct param *p)
{
    (void)p;
    ++*(int *)context;
    return OK;
}

// An image without a single roi: the loss is zero, every gradient is, and nobody waits for one.
TEST(a_step_without_rois_is_whole)
{
    struct net n = open_net();
    int n_ready = 0;
    struct loss_of_step s = forward(&n, 0);
    tape_set_hooks(n.tape, &(struct tape_hooks){.context = &n_ready, .grad_ready = count_ready});
    EXPECT_NEAR(*(float *)s.loss->data, 0, 0);
    EXPECT_OK(tape_backward(n.tape, &s.loss, 1, 1));
    EXPECT_EQ(n_ready, 5);
    for (int64_t i = 0; i < params_n_trainable(n.params); i++)
        EXPECT_NEAR(params_grads(n.params)[i], 0, 0);
    close_net(&n);
}

TEST(levels_that_no_roi_reads_get_no_gradient)
{
    struct net n = open_net();
    struct tensor *maps[2] = {draw(&n, "p2", shape_4(1, SIDE, SIDE, 2), 0),
                              draw(&n, "p3", shape_4(1, SIDE / 2, SIDE / 2, 2), 1)};
    struct tensor *rois = draw(&n, "rois", shape_2(1, 4), 2), *image = integers(&n, "image", 1, 0);
    struct tensor *y, *flat;
    memcpy(rois->data, (float[]){4, 4, 20, 20}, 16);
    for (int i = 0; i < 2; i++) tape_require_grad(n.tape, maps[i]);
    EXPECT_OK(op_roi_align(
        n.tape, maps, &one_image, rois, image,
        &(struct roi_align_params){.name = "pooled", .pooled = 1, .sampling = 2, .n_levels = 1},
        &y));
    EXPECT_OK(op_reshape(n.tape, y, shape_1(2), &flat));
    EXPECT_OK(tape_backward(n.tape, &flat, 1, 1));
    EXPECT(maps[1]->grad == NULL);
    double sum = 0;
    for (int i = 0; i < SIDE * SIDE * 2; i++) sum += (double)((float *)maps[0]->grad->data)[i];
    EXPECT_NEAR(sum, 2, 1e-5); // bilinear weights of a sample sum to 1
    close_net(&n);
}

TEST(what_does_not_fit_is_refused_by_name_and_shape)
{
    struct net n = open_net();
    struct tensor *x = map(&n), *thin = draw(&n, "thin", shape_4(1, SIDE, SIDE, 3), 1), *y;
    struct tensor *rows = draw(&n, "rows", shape_2(3, 8), 2), *three = integers(&n, "three", 3, 0);
    struct tensor *four = draw(&n, "four", shape_1(4), 3);
    struct conv2d_params p = {.name = "layer1", .w = n.conv, .stride = 1, .pad = 1};
    EXPECT_STATUS(op_conv2d(n.tape, thin, &p, &y), E_SHAPE);
    EXPECT_STR(error_text(),
               "conv2d layer1: thin has 3 channels in fp32, conv.weight wants 16 in fp32");
    EXPECT_STATUS(op_conv2d(n.tape, rows, &p, &y), E_SHAPE);
    EXPECT_HAS(error_text(), "rows is fp32 (3, 8), want fp32 and 4 dimensions");
    p.residual = thin;
    EXPECT_STATUS(op_conv2d(n.tape, x, &p, &y), E_SHAPE);
    EXPECT_HAS(error_text(), "residual thin is fp32 (1, 16, 16, 3), want fp32 (1, 16, 16, 16)");
    struct tensor *dot = draw(&n, "dot", shape_4(1, 1, 1, C), 4);
    EXPECT_STATUS(
        op_conv2d(n.tape, dot, &(struct conv2d_params){.name = "y", .w = n.conv, .stride = 1}, &y),
        E_SHAPE);
    EXPECT_HAS(error_text(), "1 x 1, its window 3 x 3");
    EXPECT_STATUS(op_linear(n.tape, rows, &(struct linear_params){.name = "fc", .w = n.linear}, &y),
                  E_SHAPE);
    EXPECT_HAS(error_text(), "rows has 8 features in fp32, fc.weight wants 64");
    EXPECT_STATUS(op_group_norm(n.tape, x,
                                &(struct group_norm_params){
                                    .name = "gn", .gamma = n.gamma, .beta = n.beta, .groups = 5},
                                &y),
                  E_SHAPE);
    EXPECT_HAS(error_text(), "16 channels do not make 5 groups");
    EXPECT_STATUS(op_group_norm(n.tape, thin,
                                &(struct group_norm_params){
                                    .name = "gn", .gamma = n.gamma, .beta = n.beta, .groups = 1},
                                &y),
                  E_SHAPE);
    EXPECT_HAS(error_text(), "parameter norm.weight is fp32 (16), want fp32 and 3 elements");
    EXPECT_STATUS(op_upsample_add(n.tape, "up", x, thin, &y), E_SHAPE);
    EXPECT_HAS(error_text(), "top thin is");
    EXPECT_STATUS(op_max_pool2d(n.tape, "pool", x, 2, 2, 2, &y), E_ARG);
    EXPECT_STATUS(op_reshape(n.tape, x, shape_2(3, 5), &y), E_SHAPE);
    EXPECT_HAS(error_text(), "(1, 16, 16, 16) to (3, 5)");
    struct loss_params q = {.name = "loss", .label = three, .image = three, .weight = four};
    EXPECT_STATUS(op_softmax_ce(n.tape, rows, &q, &y), E_SHAPE);
    EXPECT_HAS(error_text(), "softmax_ce loss: weight four is fp32 (4), want fp32 and 3 elements");
    q.column = four;
    EXPECT_STATUS(op_sigmoid_bce(n.tape, rows, &q, &y), E_SHAPE);
    EXPECT_HAS(error_text(),
               "sigmoid_bce loss: column four is fp32 (4), want int32 and 3 elements");
    q.column = three;
    q.target = rows;
    EXPECT_STATUS(op_smooth_l1(n.tape, rows, &q, &y), E_SHAPE);
    EXPECT_HAS(error_text(), "smooth_l1 loss: target rows is fp32 (3, 8), want fp32 (3, 4)");
    EXPECT_STATUS(op_roi_align(n.tape, (struct tensor *[]){x, x}, &one_image, rows, three,
                               &(struct roi_align_params){
                                   .name = "roi", .pooled = 7, .sampling = 2, .n_levels = 2},
                               &y),
                  E_SHAPE);
    EXPECT_HAS(error_text(),
               "roi_align roi: map x is fp32 (1, 16, 16, 16), want fp32 (1, 8, 8, 16)");
    EXPECT_STATUS(
        op_gather_patches(n.tape, (struct tensor *[]){x, x}, &one_image, three, three, &y),
        E_SHAPE);
    close_net(&n);
}

TEST(a_copied_pyramid_outlives_its_original)
{
    struct net n = open_net();
    struct grid own_grids[2];
    struct pyramid original = one_image, *copy;
    memcpy(own_grids, grids, sizeof grids);
    original.grids = own_grids;
    EXPECT_OK(op_copy_pyramid(n.tape, &original, &copy));
    memset(own_grids, 0, sizeof own_grids);
    original.n_levels = 0;
    EXPECT_EQ(copy->grids[1].stride_y, 8);
    EXPECT_EQ(copy->n_levels, one_image.n_levels);
    close_net(&n);
}

TEST_MAIN()
