// Parameters: where they lie, what kernels read, what files hold.
#include "core/mem.h"
#include "support/test.h"
#include "tensor/param.h"

struct fixture {
    struct device *device;
    struct params *params;
};

static struct fixture open_fixture(enum dtype compute)
{
    struct fixture f = {0};
    // The fixture's own device: bf16 compute copies need no bf16 instructions.
    EXPECT_OK(device_open_cpu(1, DTYPE_F32, &f.device));
    f.device->compute = compute;
    EXPECT_OK(params_create(f.device, &f.params));
    return f;
}

static void close_fixture(struct fixture *f)
{
    params_destroy(f->params);
    device_close(f->device);
}

static struct param *add(struct fixture *f, const char *name, enum param_kind kind, bool trainable,
                         struct shape shape)
{
    struct param *p = NULL;
    EXPECT_OK(params_add(f->params, name, kind, trainable, shape, &p));
    return p;
}

TEST(gradients_lie_in_reverse_order_of_construction)
{
    struct fixture f = open_fixture(DTYPE_F32);
    struct param *a = add(&f, "conv.weight", PARAM_KIND_WEIGHT, true, shape_4(2, 3, 3, 1)); // 18
    struct param *frozen = add(&f, "bn.weight", PARAM_KIND_BUFFER, false, shape_1(2));
    struct param *b = add(&f, "fc.weight", PARAM_KIND_WEIGHT, true, shape_2(4, 4));
    struct param *c = add(&f, "fc.bias", PARAM_KIND_BIAS, true, shape_1(4));
    EXPECT_OK(params_finish(f.params));
    EXPECT_EQ(c->grad_offset, 0);
    EXPECT_EQ(b->grad_offset, 16);
    EXPECT_EQ(a->grad_offset, 32);
    EXPECT_EQ(frozen->grad_offset, -1);
    EXPECT_EQ(params_n_trainable(f.params), 32 + 32);
    EXPECT(frozen->grad == NULL);
    EXPECT(a->grad == params_grads(f.params) + 32);
    EXPECT(a->value.data == params_values(f.params) + 32);
    EXPECT_EQ(params_n(f.params), 4);
    EXPECT(params_at(f.params, 1) == frozen && frozen->number == 1);
    EXPECT(params_find(f.params, "fc.weight") == b);
    EXPECT(params_find(f.params, "fc") == NULL);
    EXPECT(a->value.needs_grad && !frozen->value.needs_grad && a->value.param == a);
    float *value = a->value.data, *buffer = frozen->value.data;
    EXPECT(value[0] == 0 && value[17] == 0 && buffer[1] == 0 && a->grad[17] == 0);
    close_fixture(&f);
}

TEST(two_parameters_of_one_name_are_refused)
{
    struct fixture f = open_fixture(DTYPE_F32);
    struct param *p;
    (void)add(&f, "a.weight", PARAM_KIND_WEIGHT, true, shape_1(1));
    EXPECT_STATUS(params_add(f.params, "a.weight", PARAM_KIND_BIAS, true, shape_1(1), &p), E_ARG);
    EXPECT_HAS(error_text(), "a.weight");
    close_fixture(&f);
}

TEST(a_model_without_trainable_parameters_is_whole)
{
    struct fixture f = open_fixture(DTYPE_F32);
    (void)add(&f, "bn.running_mean", PARAM_KIND_BUFFER, false, shape_1(3));
    EXPECT_OK(params_finish(f.params));
    EXPECT_OK(params_refresh(f.params));
    EXPECT_OK(params_zero_grads(f.params));
    EXPECT_EQ(params_n_trainable(f.params), 0);
    close_fixture(&f);
}

// Files hold OIHW: element o, i, r, s of the file is o, r, s, i in memory.
TEST(convolution_weights_are_OIHW_in_files)
{
    struct fixture f = open_fixture(DTYPE_F32);
    struct param *p = add(&f, "w", PARAM_KIND_WEIGHT, true, shape_4(2, 2, 3, 4)); // O R S I
    EXPECT_OK(params_finish(f.params));
    float file[48], back[48];
    for (int i = 0; i < 48; i++) file[i] = (float)i;
    struct shape shape, want = shape_4(2, 4, 2, 3);
    param_file_shape(p, &shape);
    EXPECT(shape_equal(&shape, &want));
    EXPECT_OK(param_import(f.params, p, file));
    const float *memory = p->value.data;
    EXPECT_NEAR(memory[0], 0, 0);
    EXPECT_NEAR(memory[1], 6, 0);  // o 0, r 0, s 0, i 1: in the file after the 2 x 3 of i 0
    EXPECT_NEAR(memory[4], 1, 0);  // o 0, r 0, s 1, i 0
    EXPECT_NEAR(memory[12], 3, 0); // o 0, r 1, s 0, i 0
    EXPECT_NEAR(memory[24 + 2 * 4 + 3], 24 + 18 + 2, 0); // o 1, r 0, s 2, i 3
    EXPECT_OK(param_export(f.params, p, back, &shape));
    EXPECT(shape_equal(&shape, &want));
    for (int i = 0; i < 48; i++) EXPECT_NEAR(back[i], file[i], 0);
    close_fixture(&f);
}

// FC6 reads a flattened map: C, H, W in files, H, W, C in memory.
TEST(linear_weights_over_maps_are_CHW_in_files)
{
    struct fixture f = open_fixture(DTYPE_F32);
    struct param *p = add(&f, "fc6.weight", PARAM_KIND_WEIGHT, true, shape_2(2, 12));
    struct param *plain = add(&f, "fc7.weight", PARAM_KIND_WEIGHT, true, shape_2(2, 12));
    p->flattened_hw = 4; // 2 x 2 cells, 3 channels
    EXPECT_OK(params_finish(f.params));
    float file[24], back[24];
    for (int i = 0; i < 24; i++) file[i] = (float)i;
    EXPECT_OK(param_import(f.params, p, file));
    EXPECT_OK(param_import(f.params, plain, file));
    const float *memory = p->value.data, *straight = plain->value.data;
    static const float want[12] = {0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11};
    for (int i = 0; i < 12; i++) EXPECT_NEAR(memory[i], want[i], 0);
    EXPECT_NEAR(memory[13], 16, 0);
    EXPECT_NEAR(straight[1], 1, 0);
    struct shape shape, same = shape_2(2, 12);
    EXPECT_OK(param_export(f.params, p, back, &shape));
    EXPECT(shape_equal(&shape, &same));
    for (int i = 0; i < 24; i++) EXPECT_NEAR(back[i], file[i], 0);
    close_fixture(&f);
}

TEST(kernels_read_the_values_themselves_in_fp32)
{
    struct fixture f = open_fixture(DTYPE_F32);
    struct param *w = add(&f, "w", PARAM_KIND_WEIGHT, true, shape_2(2, 2));
    EXPECT_OK(params_finish(f.params));
    EXPECT_OK(params_refresh(f.params));
    EXPECT(w->compute.data == w->value.data);
    EXPECT(w->version != 0);
    close_fixture(&f);
}

TEST(a_scale_is_folded_into_a_copy_and_the_values_stay)
{
    struct fixture f = open_fixture(DTYPE_F32);
    struct param *w = add(&f, "w", PARAM_KIND_WEIGHT, true, shape_4(2, 1, 1, 2));
    float scale_values[2] = {2, -1}, file[4] = {1, 2, 3, 4};
    struct tensor scale = {.dtype = DTYPE_F32, .shape = shape_1(2), .data = scale_values};
    w->scale = &scale;
    EXPECT_OK(params_finish(f.params));
    EXPECT_OK(param_import(f.params, w, file));
    EXPECT_OK(params_refresh(f.params));
    const float *value = w->value.data, *compute = w->compute.data, want[4] = {2, 4, -3, -4};
    for (int i = 0; i < 4; i++) {
        EXPECT_NEAR(value[i], file[i], 0);
        EXPECT_NEAR(compute[i], want[i], 0);
    }
    close_fixture(&f);
}

TEST(weights_that_fold_late_give_their_copy_back)
{
    struct fixture f = open_fixture(DTYPE_F32);
    struct param *w = add(&f, "w", PARAM_KIND_WEIGHT, true, shape_4(2, 1, 1, 2));
    struct param *frozen = add(&f, "frozen", PARAM_KIND_WEIGHT, false, shape_4(2, 1, 1, 2));
    float scale_values[2] = {2, -1}, file[4] = {1, 2, 3, 4};
    struct tensor scale = {.dtype = DTYPE_F32, .shape = shape_1(2), .data = scale_values};
    struct pool_stats before, after;
    w->scale = frozen->scale = &scale;
    EXPECT_OK(params_finish(f.params));
    EXPECT_OK(param_import(f.params, w, file));
    EXPECT_OK(params_refresh(f.params));
    pool_stats(f.device->pool, &before);
    params_fold_late(f.params);
    EXPECT(!w->folds_late); // from the next refresh on
    EXPECT_OK(params_refresh(f.params));
    pool_stats(f.device->pool, &after);
    EXPECT(w->folds_late && w->compute.data == w->value.data);
    EXPECT(!frozen->folds_late && frozen->compute.data != frozen->value.data);
    EXPECT(after.bytes_in_use < before.bytes_in_use);
    close_fixture(&f);
}

TEST(bf16_copies_are_made_of_weights_alone)
{
    struct fixture f = open_fixture(DTYPE_BF16);
    struct param *w = add(&f, "w", PARAM_KIND_WEIGHT, true, shape_2(1, 2));
    struct param *b = add(&f, "b", PARAM_KIND_BIAS, true, shape_1(1));
    EXPECT_OK(params_finish(f.params));
    float file[2] = {1.0f, -2.5f};
    EXPECT_OK(param_import(f.params, w, file));
    EXPECT_OK(params_refresh(f.params));
    const uint16_t *copy = w->compute.data;
    EXPECT_EQ(w->compute.dtype, DTYPE_BF16);
    EXPECT_EQ(copy[0], 0x3f80);
    EXPECT_EQ(copy[1], 0xc020);
    EXPECT_EQ(b->compute.dtype, DTYPE_F32);
    EXPECT(b->compute.data == b->value.data);
    close_fixture(&f);
}

TEST(frozen_weights_are_folded_again_only_after_loading)
{
    struct fixture f = open_fixture(DTYPE_F32);
    struct param *frozen = add(&f, "a", PARAM_KIND_WEIGHT, false, shape_2(1, 1));
    struct param *moving = add(&f, "b", PARAM_KIND_WEIGHT, true, shape_2(1, 1));
    float one = 1;
    EXPECT_OK(params_finish(f.params));
    EXPECT_OK(params_refresh(f.params));
    uint64_t frozen_at = frozen->version, moving_at = moving->version;
    EXPECT_OK(params_refresh(f.params));
    EXPECT(frozen->version == frozen_at && moving->version > moving_at);
    EXPECT_OK(param_import(f.params, moving, &one));
    EXPECT_OK(params_refresh(f.params));
    EXPECT(frozen->version > frozen_at);
    close_fixture(&f);
}

TEST(versions_of_two_models_never_meet)
{
    struct device *d = NULL;
    EXPECT_OK(device_open_cpu(1, DTYPE_F32, &d));
    uint64_t version[2];
    for (int i = 0; i < 2; i++) {
        struct params *p = NULL;
        struct param *w = NULL;
        EXPECT_OK(params_create(d, &p));
        EXPECT_OK(params_add(p, "w", PARAM_KIND_WEIGHT, true, shape_2(1, 1), &w));
        EXPECT_OK(params_finish(p));
        EXPECT_OK(params_refresh(p));
        version[i] = w->version;
        params_destroy(p);
    }
    EXPECT(version[0] != version[1]);
    struct pool_stats s;
    pool_stats(d->pool, &s);
    EXPECT_EQ(s.bytes_in_use, 0);
    device_close(d);
}

TEST(zeroed_gradients_are_zero)
{
    struct fixture f = open_fixture(DTYPE_F32);
    struct param *w = add(&f, "w", PARAM_KIND_WEIGHT, true, shape_2(3, 3));
    EXPECT_OK(params_finish(f.params));
    for (int i = 0; i < 9; i++) w->grad[i] = 1;
    EXPECT_OK(params_zero_grads(f.params));
    for (int i = 0; i < 9; i++) EXPECT_NEAR(w->grad[i], 0, 0);
    close_fixture(&f);
}

static status make_all(struct device *d, struct params **out)
{
    struct param *w;
    struct shape shape;
    float host[4] = {1, 2, 3, 4};
    TRY(params_create(d, out));
    TRY(params_add(*out, "w", PARAM_KIND_WEIGHT, true, shape_4(2, 1, 1, 2), &w));
    TRY(params_add(*out, "b", PARAM_KIND_BIAS, false, shape_1(2), &w));
    TRY(params_finish(*out));
    TRY(param_import(*out, params_at(*out, 0), host));
    TRY(params_refresh(*out));
    return param_export(*out, params_at(*out, 0), host, &shape);
}

TEST(every_failing_allocation_is_reported_without_a_leak)
{
    struct device *d = NULL;
    int n_failed = 0;
    EXPECT_OK(device_open_cpu(1, DTYPE_F32, &d));
    d->compute = DTYPE_BF16; // so that compute copies are made
    for (int64_t n = 1; n < 40; n++) {
        struct params *p = NULL;
        struct pool_stats s;
        mem_fail_at(n);
        status st = make_all(d, &p);
        mem_fail_at(0);
        params_destroy(p);
        pool_stats(d->pool, &s);
        EXPECT_EQ(s.bytes_in_use, 0);
        EXPECT(st == OK || st == E_NOMEM);
        n_failed += st != OK;
    }
    EXPECT(n_failed >= 8);
    device_close(d);
}

TEST_MAIN()
