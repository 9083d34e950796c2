// The two ops, and the fixture's life.
#include "tape_fixture.h"

#include "support/test.h"

struct tape_fixture tape_fixture_open(void)
{
    struct tape_fixture f = {0};
    EXPECT_OK(device_open_cpu(1, DTYPE_F32, &f.device));
    EXPECT_OK(tape_create(f.device, &f.tape));
    EXPECT_OK(params_create(f.device, &f.params));
    EXPECT_OK(params_add(f.params, "w", PARAM_KIND_WEIGHT, true, shape_1(1), &f.w));
    EXPECT_OK(params_add(f.params, "frozen", PARAM_KIND_WEIGHT, false, shape_1(1), &f.frozen));
    EXPECT_OK(params_finish(f.params));
    EXPECT_OK(param_import(f.params, f.w, &(float){3}));
    EXPECT_OK(param_import(f.params, f.frozen, &(float){5}));
    EXPECT_OK(params_refresh(f.params));
    return f;
}

void tape_fixture_close(struct tape_fixture *f)
{
    tape_destroy(f->tape);
    params_destroy(f->params);
    device_close(f->device);
}

size_t tape_fixture_in_use(const struct tape_fixture *f)
{
    struct pool_stats s;
    pool_stats(f->device->pool, &s);
    return s.bytes_in_use;
}

struct tensor *tape_fixture_input(struct tape_fixture *f, float value, bool wants_grad)
{
    struct tensor *x = NULL;
    EXPECT_OK(tape_tensor(f->tape, "x", DTYPE_F32, shape_1(TAPE_FIXTURE_N), &x));
    for (int i = 0; i < TAPE_FIXTURE_N; i++) ((float *)x->data)[i] = value;
    if (wants_grad) tape_require_grad(f->tape, x);
    return x;
}

// y = w x. Saves x where w trains.
static status times_backward(struct tape *t, struct node *n)
{
    const float *dy = n->out->grad->data;
    const struct param *w = *(struct param **)n->attr;
    float value = *(const float *)w->value.data;
    if (n->param[0] != NULL) {
        const float *x = n->saved[0]->data;
        for (int i = 0; i < TAPE_FIXTURE_N; i++) w->grad[0] += dy[i] * x[i];
    }
    struct tensor *dx;
    bool accumulate;
    TRY(tape_grad(t, n->in[0], &dx, &accumulate));
    if (dx == NULL) return OK;
    float *to = dx->data;
    for (int i = 0; i < TAPE_FIXTURE_N; i++) to[i] = (accumulate ? to[i] : 0) + value * dy[i];
    return OK;
}

static const struct op op_times = {.name = "times", .backward = times_backward};

status tape_fixture_times(struct tape *t, struct tensor *x, struct param *w, struct tensor **y)
{
    TRY(tape_tensor(t, "y", DTYPE_F32, shape_1(TAPE_FIXTURE_N), y));
    for (int i = 0; i < TAPE_FIXTURE_N; i++)
        ((float *)(*y)->data)[i] = *(const float *)w->value.data * ((const float *)x->data)[i];
    return tape_record(t,
                       &(struct tape_record){.op = &op_times,
                                             .in = &x,
                                             .n_in = 1,
                                             .saved = &(struct tensor *){w->trainable ? x : NULL},
                                             .n_saved = 1,
                                             .out = *y,
                                             .params = &w,
                                             .n_params = 1,
                                             .attr = &w,
                                             .attr_bytes = sizeof w});
}

// y = a + b, both gradients being dy.
static status plus_backward(struct tape *t, struct node *n)
{
    struct tensor *db;
    bool accumulate;
    const struct device *d = tape_device(t);
    TRY(tape_grad(t, n->in[1], &db, &accumulate));
    if (db != NULL) {
        if (!accumulate) TRY(d->ops->zero(d->stream, db->data, tensor_bytes(db)));
        TRY(d->ops->add(d->stream, DTYPE_F32, TAPE_FIXTURE_N, n->out->grad->data, db->data));
    }
    return tape_pass_grad(t, n, n->in[0]);
}

static const struct op op_plus = {.name = "plus", .backward = plus_backward};

status tape_fixture_plus(struct tape *t, struct tensor *a, struct tensor *b, struct tensor **y)
{
    TRY(tape_tensor(t, "sum", DTYPE_F32, shape_1(TAPE_FIXTURE_N), y));
    for (int i = 0; i < TAPE_FIXTURE_N; i++)
        ((float *)(*y)->data)[i] = ((const float *)a->data)[i] + ((const float *)b->data)[i];
    return tape_record(t,
                       &(struct tape_record){
                           .op = &op_plus, .in = (struct tensor *[]){a, b}, .n_in = 2, .out = *y});
}
