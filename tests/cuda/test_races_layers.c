// As test_races.c: the network's own layers, losses and optimizers, each on a small shape against
// the CPU backend. Shapes are odd; where it says so they are whole packs, so that both widths run.
#include "cuda/twin.h"
#include "ref/ref_arrays.h"
#include "support/test.h"

TEST(losses)
{
    enum { ROWS = 20, CLASSES = 35, IMAGES = 2 };
    struct twin t;
    twin_open(&t);
    int32_t image[ROWS], label[ROWS], column[ROWS];
    for (int32_t r = 0; r < ROWS; r++)
        image[r] = r % 3 - 1, label[r] = r % 2, column[r] = r % 4 - 1;
    void *of = twin_from(&t, image, sizeof image), *l = twin_from(&t, label, sizeof label),
         *k = twin_from(&t, column, sizeof column);
    float *x = twin_normals(&t, 1, ROWS * CLASSES), *weight = twin_normals(&t, 2, ROWS),
          *target = twin_normals(&t, 3, ROWS * 4), *dloss = twin_normals(&t, 4, IMAGES),
          *dx = twin_zeros(&t, ROWS * CLASSES * sizeof *dx);
    float *loss = twin_zeros(&t, IMAGES * sizeof *loss);
    TWIN(&t, softmax_ce, ROWS, CLASSES, IMAGES, TWIN_AT(x), TWIN_AT(l), TWIN_AT(of),
         TWIN_AT(weight), TWIN_AT(loss));
    TWIN(&t, softmax_ce_dx, ROWS, CLASSES, TWIN_AT(x), TWIN_AT(l), TWIN_AT(of), TWIN_AT(weight),
         TWIN_AT(dloss), TWIN_AT(dx));
    twin_near(&t, dx, ROWS * CLASSES, 1e-6);
    TWIN(&t, sigmoid_bce, ROWS, 3, IMAGES, TWIN_AT(x), TWIN_AT(l), TWIN_AT(l), TWIN_AT(of),
         TWIN_AT(weight), TWIN_AT(loss));
    TWIN(&t, sigmoid_bce_dx, ROWS, 3, TWIN_AT(x), TWIN_AT(l), TWIN_AT(l), TWIN_AT(of),
         TWIN_AT(weight), TWIN_AT(dloss), TWIN_AT(dx));
    twin_near(&t, dx, ROWS * CLASSES, 1e-6);
    TWIN(&t, smooth_l1, ROWS, 12, IMAGES, 0.5f, TWIN_AT(x), TWIN_AT(k), TWIN_AT(target),
         TWIN_AT(of), TWIN_AT(weight), TWIN_AT(loss));
    TWIN(&t, smooth_l1_dx, ROWS, 12, 0.5f, TWIN_AT(x), TWIN_AT(k), TWIN_AT(target), TWIN_AT(of),
         TWIN_AT(weight), TWIN_AT(dloss), TWIN_AT(dx));
    twin_near(&t, dx, ROWS * CLASSES, 1e-6);
    twin_near(&t, loss, IMAGES, 1e-6);
    twin_close(&t);
}

TEST(optimizers_give_the_same_bits)
{
    enum { N = 300 };
    struct twin t;
    twin_open(&t);
    float *w = twin_normals(&t, 1, N), *g = twin_normals(&t, 2, N), *m = twin_normals(&t, 3, N),
          *v = twin_zeros(&t, N * sizeof *v);
    const struct sgd_params sgd = {
        .lr = 0.1f, .momentum = 0.9f, .weight_decay = 0.01f, .nesterov = 1};
    const struct adam_params adam = {
        .lr = 0.1, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.1, .step = 3};
    TWIN(&t, sgd, &sgd, N, TWIN_AT(w), TWIN_AT(g), TWIN_AT(m));
    TWIN(&t, adam, &adam, N, TWIN_AT(w), TWIN_AT(g), TWIN_AT(m), TWIN_AT(v));
    twin_same(&t, w, N);
    twin_same(&t, m, N);
    twin_same(&t, v, N);
    twin_close(&t);
}

static void check_upsample_add(struct upsample_add_desc d)
{
    struct twin t;
    twin_open(&t);
    const size_t n = (size_t)(d.n * d.h * d.w * d.c),
                 n_top = (size_t)(d.n * d.h_top * d.w_top * d.c);
    float *lateral = twin_normals(&t, 1, n), *top = twin_normals(&t, 2, n_top),
          *y = twin_zeros(&t, n * sizeof *y);
    TWIN(&t, upsample_add, &d, TWIN_AT(lateral), TWIN_AT(top), TWIN_AT(y));
    TWIN(&t, upsample_add_dtop, &d, TWIN_AT(y), TWIN_AT(top), true);
    twin_same(&t, y, n);
    twin_same(&t, top, n_top);
    twin_close(&t);
}

TEST(upsample_add)
{
    check_upsample_add(
        (struct upsample_add_desc){.n = 2, .h = 5, .w = 7, .c = 4, .h_top = 3, .w_top = 4});
    check_upsample_add(
        (struct upsample_add_desc){.n = 1, .h = 3, .w = 1, .c = 3, .h_top = 1, .w_top = 1});
}

static void check_max_pool2d(struct max_pool2d_desc d)
{
    struct twin t;
    twin_open(&t);
    const size_t n = (size_t)(d.n * d.h * d.w * d.c), n_out = (size_t)(d.n * d.ho * d.wo * d.c);
    float *x = twin_normals(&t, 1, n), *y = twin_zeros(&t, n_out * sizeof *y);
    void *index = twin_zeros(&t, n_out);
    TWIN(&t, max_pool2d, &d, TWIN_AT(x), TWIN_AT(y), TWIN_AT(index));
    TWIN(&t, max_pool2d_dx, &d, TWIN_AT(y), TWIN_AT(index), TWIN_AT(x), true);
    twin_same(&t, y, n_out);
    twin_near(&t, x, n, 1e-6);
    twin_close(&t);
}

TEST(max_pool2d)
{
    check_max_pool2d((struct max_pool2d_desc){
        .n = 2, .h = 5, .w = 7, .c = 4, .window = 3, .stride = 2, .pad = 1, .ho = 3, .wo = 4});
    check_max_pool2d((struct max_pool2d_desc){
        .n = 1, .h = 1, .w = 3, .c = 3, .window = 1, .stride = 2, .pad = 0, .ho = 1, .wo = 2});
}

static void check_norm(struct norm_desc d, bool group)
{
    struct twin t;
    twin_open(&t);
    const size_t c = (size_t)d.c, n = (size_t)(d.n * d.hw) * c, groups = (size_t)(d.n * d.groups);
    const size_t n_statistics = group ? groups : c;
    float *x = twin_normals(&t, 1, n), *residual = twin_normals(&t, 2, n),
          *gamma = twin_normals(&t, 3, c), *beta = twin_normals(&t, 4, c),
          *running_mean = twin_zeros(&t, c * sizeof(float)),
          *running_var = twin_zeros(&t, c * sizeof(float)), *y = twin_zeros(&t, n * sizeof(float)),
          *mean = twin_zeros(&t, n_statistics * sizeof(float)),
          *rstd = twin_zeros(&t, n_statistics * sizeof(float));
    if (group) {
        TWIN(&t, group_norm, &d, TWIN_AT(x), TWIN_AT(gamma), TWIN_AT(beta), TWIN_AT(residual),
             TWIN_AT(y), TWIN_AT(mean), TWIN_AT(rstd));
        TWIN(&t, group_norm_dx, &d, TWIN_AT(x), TWIN_AT(y), TWIN_AT(gamma), TWIN_AT(mean),
             TWIN_AT(rstd), TWIN_AT(residual), true, TWIN_AT(running_mean), TWIN_AT(running_var));
    } else {
        TWIN(&t, batch_norm, &d, TWIN_AT(x), TWIN_AT(gamma), TWIN_AT(beta), TWIN_AT(residual),
             TWIN_AT(y), TWIN_AT(running_mean), TWIN_AT(running_var), TWIN_AT(mean), TWIN_AT(rstd));
        TWIN(&t, batch_norm_dx, &d, TWIN_AT(x), TWIN_AT(y), TWIN_AT(gamma), TWIN_AT(mean),
             TWIN_AT(rstd), TWIN_AT(residual), true, TWIN_AT(running_mean), TWIN_AT(running_var));
    }
    twin_near(&t, y, n, 2e-6);
    twin_near(&t, mean, n_statistics, 1e-6);
    twin_near(&t, rstd, n_statistics, 2e-6);
    twin_near(&t, residual, n, 1e-5);
    twin_near(&t, running_mean, c, 1e-5);
    twin_near(&t, running_var, c, 1e-5);
    twin_close(&t);
}

TEST(norms)
{
    const struct norm_desc whole = {.n = 2,
                                    .hw = 70,
                                    .c = 8,
                                    .groups = 2,
                                    .training = 1,
                                    .eps = 1e-5f,
                                    .momentum = 0.1f,
                                    .residual = 1,
                                    .relu = 1};
    check_norm(whole, true);
    check_norm(whole, false);
    check_norm(
        (struct norm_desc){.n = 1, .hw = 5, .c = 3, .groups = 3, .eps = 1e-5f, .residual = 1},
        true);
}

// Two images on two canvases, two levels, one anchor a cell.
static const struct grid grids[] = {
    {1, 5, 9, 4, 4}, {1, 3, 5, 8, 8}, {1, 4, 3, 4, 4}, {1, 1, 1, 16, 12}};
static const int32_t of_group[] = {0, 1}, of_slot[] = {0, 0};
static const struct pyramid pyramid = {.n_images = 2,
                                       .n_groups = 2,
                                       .n_levels = 2,
                                       .n_anchors = 1,
                                       .grids = grids,
                                       .group = of_group,
                                       .slot = of_slot};

// The pyramid as a slot is to get it.
static struct pyramid pyramid_on(struct twin *t, bool device)
{
    struct pyramid p = pyramid;
    void *group = twin_from(t, of_group, sizeof of_group),
         *slot = twin_from(t, of_slot, sizeof of_slot);
    p.group = device ? twin_device(t, group) : group;
    p.slot = device ? twin_device(t, slot) : slot;
    return p;
}

// Maps of c channels: their host copies into maps, what the slot is to get into device.
static void make_maps(struct twin *t, int32_t c, float *maps[4], void *device[4])
{
    for (size_t i = 0; i < COUNT(grids); i++) {
        maps[i] = twin_normals(t, 20 + i, (size_t)(grids[i].h * grids[i].w * c));
        device[i] = twin_device(t, maps[i]);
    }
}

static void same_maps(struct twin *t, int32_t c, float *const maps[4])
{
    for (size_t i = 0; i < COUNT(grids); i++)
        twin_same(t, maps[i], (size_t)(grids[i].h * grids[i].w * c));
}

TEST(roi_align_gives_the_same_bits)
{
    const float boxes[4][4] = {{3, 2, 17, 19}, {0, 0, 6, 200}, {-5, -9, 1, 1}, {1, 1, 1, 1}};
    const int32_t images[4] = {0, 1, 1, -1};
    const struct roi_align_desc d = {.rois = 4,
                                     .c = 4,
                                     .pooled = 3,
                                     .sampling = 2,
                                     .n_levels = 2,
                                     .canonical_size = 32,
                                     .canonical_level = 3};
    struct twin t;
    float *maps[4];
    void *device[4];
    twin_open(&t);
    make_maps(&t, d.c, maps, device);
    const struct pyramid p[2] = {pyramid_on(&t, false), pyramid_on(&t, true)};
    const size_t n = (size_t)(d.rois * d.pooled * d.pooled * d.c);
    float *rois = twin_from(&t, boxes, sizeof boxes), *y = twin_zeros(&t, n * sizeof *y);
    int32_t *image = twin_from(&t, images, sizeof images);
    TWIN(&t, roi_align, &d, &p[on_device_],
         (const void *const *)(on_device_ ? device : (void **)maps), TWIN_AT(rois), TWIN_AT(image),
         TWIN_AT(y));
    TWIN(&t, roi_align_dx, &d, &p[on_device_], TWIN_AT(y), TWIN_AT(rois), TWIN_AT(image),
         on_device_ ? device : (void **)maps);
    twin_same(&t, y, n);
    same_maps(&t, d.c, maps);
    twin_close(&t);
}

TEST(gather_patches_give_the_same_bits)
{
    const int32_t images[3] = {0, -1, 0}, anchors[3] = {11, 0, 12};
    struct twin t;
    float *maps[4];
    void *device[4];
    twin_open(&t);
    make_maps(&t, 4, maps, device);
    const struct pyramid p[2] = {pyramid_on(&t, false), pyramid_on(&t, true)};
    int32_t *image = twin_from(&t, images, sizeof images),
            *index = twin_from(&t, anchors, sizeof anchors);
    float *y = twin_zeros(&t, sizeof(float[3 * 9 * 4]));
    TWIN(&t, gather_patches, &p[on_device_], 3, 4, DTYPE_F32,
         (const void *const *)(on_device_ ? device : (void **)maps), TWIN_AT(image), TWIN_AT(index),
         TWIN_AT(y));
    TWIN(&t, gather_patches_dx, &p[on_device_], 3, 4, DTYPE_F32, TWIN_AT(y), TWIN_AT(image),
         TWIN_AT(index), on_device_ ? device : (void **)maps);
    twin_same(&t, y, 3 * 9 * 4);
    same_maps(&t, 4, maps);
    twin_close(&t);
}

TEST_MAIN()
