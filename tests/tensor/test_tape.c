// The tape's promises, on ops small enough to work out by hand. The device is the CPU, whose memory
// the tests may read at once.
#include <string.h>

#include "core/mem.h"
#include "support/test.h"
#include "tensor/tape.h"

enum { N = 1000 }; // elements of an activation: 4,000 bytes, 4,096 in the pool

struct fixture {
    struct device *device;
    struct tape *tape;
    struct params *params;
    struct param *w, *frozen; // scalars 3 and 5
};

static struct fixture open_fixture(void)
{
    struct fixture f = {0};
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

static void close_fixture(struct fixture *f)
{
    tape_destroy(f->tape);
    params_destroy(f->params);
    device_close(f->device);
}

static size_t in_use(const struct fixture *f)
{
    struct pool_stats s;
    pool_stats(f->device->pool, &s);
    return s.bytes_in_use;
}

static struct tensor *input(struct fixture *f, float value, bool wants_grad)
{
    struct tensor *x = NULL;
    EXPECT_OK(tape_tensor(f->tape, "x", DTYPE_F32, shape_1(N), &x));
    for (int i = 0; i < N; i++) ((float *)x->data)[i] = value;
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
        for (int i = 0; i < N; i++) w->grad[0] += dy[i] * x[i];
    }
    struct tensor *dx;
    bool accumulate;
    TRY(tape_grad(t, n->in[0], &dx, &accumulate));
    if (dx == NULL) return OK;
    float *to = dx->data;
    for (int i = 0; i < N; i++) to[i] = (accumulate ? to[i] : 0) + value * dy[i];
    return OK;
}

static const struct op op_times = {.name = "times", .backward = times_backward};

static status times(struct tape *t, struct tensor *x, struct param *w, struct tensor **y)
{
    TRY(tape_tensor(t, "y", DTYPE_F32, shape_1(N), y));
    for (int i = 0; i < N; i++)
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
        TRY(d->ops->add(d->stream, DTYPE_F32, N, n->out->grad->data, db->data));
    }
    return tape_pass_grad(t, n, n->in[0]);
}

static const struct op op_plus = {.name = "plus", .backward = plus_backward};

static status plus(struct tape *t, struct tensor *a, struct tensor *b, struct tensor **y)
{
    TRY(tape_tensor(t, "sum", DTYPE_F32, shape_1(N), y));
    for (int i = 0; i < N; i++)
        ((float *)(*y)->data)[i] = ((const float *)a->data)[i] + ((const float *)b->data)[i];
    return tape_record(t,
                       &(struct tape_record){
                           .op = &op_plus, .in = (struct tensor *[]){a, b}, .n_in = 2, .out = *y});
}

struct ready {
    int n_calls;
    const struct param *last;
    float grad; // when it was called
    bool fail;
};

static status note_ready(void *context, struct param *p)
{
    struct ready *r = context;
    r->n_calls++;
    r->last = p;
    r->grad = p->grad[0];
    REQUIRE(!r->fail, E_COMM, "the wire is cut");
    return OK;
}

static float first(const struct tensor *x)
{
    return ((const float *)x->data)[0];
}

TEST(fan_out_adds_gradients)
{
    struct fixture f = open_fixture();
    struct tensor *x = input(&f, 1, true), *a, *b, *y;
    EXPECT_OK(times(f.tape, x, f.w, &a));
    EXPECT_OK(times(f.tape, x, f.frozen, &b));
    EXPECT_OK(plus(f.tape, a, b, &y));
    EXPECT_OK(plus(f.tape, y, x, &y));
    EXPECT_NEAR(first(y), 3 + 5 + 1, 0);
    EXPECT_OK(tape_backward(f.tape, &y, 1, 2));
    EXPECT_NEAR(first(x->grad), 2 * (3 + 5 + 1), 0);
    EXPECT_NEAR(((float *)x->grad->data)[N - 1], 2 * (3 + 5 + 1), 0);
    EXPECT_NEAR(f.w->grad[0], 2 * N, 0);
    close_fixture(&f);
}

TEST(a_weight_used_three_times_is_ready_once_and_whole)
{
    struct fixture f = open_fixture();
    struct ready ready = {0};
    tape_set_hooks(f.tape, &(struct tape_hooks){.context = &ready, .grad_ready = note_ready});
    struct tensor *x = input(&f, 1, false), *y = x;
    for (int i = 0; i < 3; i++) EXPECT_OK(times(f.tape, y, f.w, &y));
    EXPECT_EQ(f.w->pending, 3);
    EXPECT_OK(tape_backward(f.tape, &y, 1, 1));
    EXPECT_EQ(ready.n_calls, 1);
    EXPECT(ready.last == f.w);
    EXPECT_NEAR(ready.grad, 3 * 9 * N, 0); // d (w^3) / dw = 3 w^2
    EXPECT_EQ(f.w->pending, 0);
    close_fixture(&f);
}

TEST(a_second_walk_adds_to_the_gradients_of_parameters_and_tells_again)
{
    struct fixture f = open_fixture();
    struct ready ready = {0};
    struct tensor *y;
    for (int walk = 1; walk <= 2; walk++) {
        if (walk == 2)
            tape_set_hooks(f.tape,
                           &(struct tape_hooks){.context = &ready, .grad_ready = note_ready});
        EXPECT_OK(times(f.tape, input(&f, 1, false), f.w, &y));
        EXPECT_OK(tape_backward(f.tape, &y, 1, 1));
        EXPECT_NEAR(f.w->grad[0], walk * N, 0);
        tape_reset(f.tape);
    }
    EXPECT_EQ(ready.n_calls, 1);
    tape_set_hooks(f.tape, NULL);
    EXPECT_OK(times(f.tape, input(&f, 1, false), f.w, &y));
    EXPECT_OK(tape_backward(f.tape, &y, 1, 1));
    EXPECT_EQ(ready.n_calls, 1);
    close_fixture(&f);
}

TEST(a_failing_hook_ends_the_walk_and_the_tape_can_be_reset)
{
    struct fixture f = open_fixture();
    struct ready ready = {.fail = true};
    tape_set_hooks(f.tape, &(struct tape_hooks){.context = &ready, .grad_ready = note_ready});
    struct tensor *x = input(&f, 1, true), *y;
    EXPECT_OK(times(f.tape, x, f.frozen, &y));
    EXPECT_OK(times(f.tape, y, f.w, &y));
    EXPECT_STATUS(tape_backward(f.tape, &y, 1, 1), E_COMM);
    EXPECT_STR(error_text(), "the wire is cut");
    EXPECT(x->grad == NULL);
    tape_reset(f.tape);
    EXPECT_EQ(f.w->pending, 0);
    close_fixture(&f);
}

TEST(nothing_is_recorded_for_frozen_inputs_or_with_recording_off)
{
    struct fixture f = open_fixture();
    struct tensor *x = input(&f, 1, false), *y, *wants = input(&f, 1, true);
    EXPECT_OK(times(f.tape, x, f.frozen, &y));
    EXPECT(!y->needs_grad && x->n_saved == 0);
    tape_set_recording(f.tape, false);
    EXPECT(!tape_recording(f.tape));
    EXPECT_OK(times(f.tape, wants, f.w, &y));
    EXPECT(!y->needs_grad && wants->n_saved == 0);
    EXPECT_EQ(f.w->pending, 0);
    size_t before = in_use(&f);
    tape_drop(f.tape, y);
    EXPECT_EQ(in_use(&f), before - 4096);
    EXPECT_OK(tape_backward(f.tape, &y, 1, 1)); // nothing to walk, nothing to say
    EXPECT_NEAR(f.w->grad[0], 0, 0);
    close_fixture(&f);
}

TEST(frozen_parameters_are_left_out_of_nodes)
{
    struct fixture f = open_fixture();
    struct tensor *x = input(&f, 1, true), *y;
    EXPECT_OK(times(f.tape, x, f.frozen, &y));
    EXPECT(y->needs_grad);
    EXPECT_EQ(f.frozen->pending, 0);
    EXPECT_EQ(x->n_saved, 0);
    EXPECT_OK(tape_backward(f.tape, &y, 1, 1));
    EXPECT_NEAR(first(x->grad), 5, 0);
    close_fixture(&f);
}

TEST(dropped_activations_go_back_when_their_last_reader_is_done)
{
    struct fixture f = open_fixture();
    size_t base = in_use(&f);
    struct tensor *x = input(&f, 1, true), *a, *b, *y;
    EXPECT_OK(times(f.tape, x, f.frozen, &a)); // saves nothing
    tape_drop(f.tape, x);
    EXPECT(x->data == NULL);
    EXPECT_EQ(in_use(&f) - base, 1 * 4096); // a
    EXPECT_OK(times(f.tape, a, f.w, &b));   // saves a
    tape_drop(f.tape, a);
    tape_drop(f.tape, NULL);
    EXPECT(a->data != NULL);
    EXPECT_OK(times(f.tape, b, f.frozen, &y));
    tape_drop(f.tape, b);
    EXPECT_EQ(in_use(&f) - base, 2 * 4096); // a, y
    EXPECT_OK(tape_backward(f.tape, &y, 1, 1));
    EXPECT(a->data == NULL && a->grad == NULL);
    EXPECT_EQ(in_use(&f) - base, 2 * 4096); // y for its reader, the gradient of x
    EXPECT_NEAR(first(y), 75, 0);
    EXPECT_NEAR(first(x->grad), 75, 0);
    tape_reset(f.tape);
    EXPECT_EQ(in_use(&f), base);
    close_fixture(&f);
}

TEST(a_walk_through_a_long_chain_needs_two_gradients_at_a_time)
{
    struct fixture f = open_fixture();
    size_t base = in_use(&f);
    struct tensor *x = input(&f, 1, true), *y = x;
    struct pool_stats s;
    for (int i = 0; i < 50; i++) {
        struct tensor *next;
        EXPECT_OK(times(f.tape, y, f.frozen, &next));
        if (y != x) tape_drop(f.tape, y);
        y = next;
    }
    EXPECT_EQ(in_use(&f) - base, 2 * 4096); // x, y
    EXPECT_OK(tape_backward(f.tape, &y, 1, 1));
    pool_stats(f.device->pool, &s);
    EXPECT_EQ(s.bytes_peak - base, 4 * 4096); // x, y, dy, dx
    close_fixture(&f);
}

TEST(activations_that_nobody_dropped_go_back_during_the_walk_too)
{
    struct fixture f = open_fixture();
    size_t base = in_use(&f);
    struct tensor *x = input(&f, 1, true), *y = x;
    for (int i = 0; i < 5; i++) EXPECT_OK(times(f.tape, y, f.w, &y));
    EXPECT_EQ(in_use(&f) - base, 6 * 4096);
    EXPECT_OK(tape_backward(f.tape, &y, 1, 1));
    EXPECT_EQ(in_use(&f) - base, 3 * 4096); // x and its gradient, the root
    close_fixture(&f);
}

TEST(a_passed_gradient_is_the_same_memory)
{
    struct fixture f = open_fixture();
    size_t base = in_use(&f);
    struct tensor *x = input(&f, 1, true), *c = input(&f, 1, false), *y = x;
    struct pool_stats s;
    for (int i = 0; i < 4; i++) EXPECT_OK(plus(f.tape, y, c, &y));
    EXPECT_OK(tape_backward(f.tape, &y, 1, 7));
    EXPECT_NEAR(first(x->grad), 7, 0);
    pool_stats(f.device->pool, &s);
    EXPECT_EQ(s.bytes_peak - base, 7 * 4096); // x, c, four sums, one gradient for all
    close_fixture(&f);
}

TEST(nodes_that_nothing_flowed_to_are_passed_but_their_parameters_are_told)
{
    struct fixture f = open_fixture();
    struct ready ready = {0};
    tape_set_hooks(f.tape, &(struct tape_hooks){.context = &ready, .grad_ready = note_ready});
    struct tensor *x = input(&f, 1, true), *unused, *y;
    EXPECT_OK(times(f.tape, x, f.w, &unused));
    EXPECT_OK(times(f.tape, x, f.frozen, &y));
    EXPECT_OK(tape_backward(f.tape, &y, 1, 1));
    EXPECT_EQ(ready.n_calls, 1);
    EXPECT_NEAR(f.w->grad[0], 0, 0);
    EXPECT_NEAR(first(x->grad), 5, 0);
    close_fixture(&f);
}

TEST(several_roots_walk_together)
{
    struct fixture f = open_fixture();
    struct tensor *x = input(&f, 1, true), *a, *b;
    EXPECT_OK(times(f.tape, x, f.w, &a));
    EXPECT_OK(times(f.tape, a, f.frozen, &b)); // a is a root and an input
    EXPECT_OK(tape_backward(f.tape, (struct tensor *[]){a, b}, 2, 1));
    EXPECT_NEAR(first(x->grad), 3 * (1 + 5), 0);
    EXPECT_NEAR(first(a), 3, 0);
    EXPECT_NEAR(first(b), 15, 0);
    close_fixture(&f);
}

TEST(roots_are_fp32)
{
    struct fixture f = open_fixture();
    struct tensor *x;
    EXPECT_OK(tape_tensor(f.tape, "half", DTYPE_BF16, shape_1(4), &x));
    tape_require_grad(f.tape, x);
    EXPECT_STATUS(tape_backward(f.tape, &x, 1, 1), E_ARG);
    EXPECT_HAS(error_text(), "half");
    close_fixture(&f);
}

static status flatten_backward(struct tape *t, struct node *n)
{
    return tape_pass_grad(t, n, n->in[0]);
}

static const struct op op_flatten = {.name = "flatten", .backward = flatten_backward};

TEST(a_view_keeps_its_memory_alive)
{
    struct fixture f = open_fixture();
    size_t base = in_use(&f);
    struct tensor *x = input(&f, 1, false), *a, *view, *y;
    EXPECT_OK(times(f.tape, x, f.w, &a));
    EXPECT_OK(tape_view(f.tape, a, shape_1(N), &view));
    EXPECT_OK(tape_record(
        f.tape, &(struct tape_record){.op = &op_flatten, .in = &a, .n_in = 1, .out = view}));
    tape_drop(f.tape, a);
    EXPECT(view->data == a->data && a->data != NULL);
    EXPECT_OK(times(f.tape, view, f.w, &y)); // saves the view
    tape_drop(f.tape, view);
    EXPECT(view->data != NULL);
    EXPECT_OK(tape_backward(f.tape, &y, 1, 1));
    EXPECT(view->data == NULL && a->data == NULL);
    EXPECT_EQ(in_use(&f) - base, 2 * 4096); // x, y
    EXPECT_NEAR(f.w->grad[0], 2 * 3 * N, 0);
    tape_reset(f.tape);
    EXPECT_OK(tape_view(f.tape, input(&f, 1, false), shape_2(N, 1), &view));
    tape_drop(f.tape, view); // its base is still read
    EXPECT_EQ(in_use(&f) - base, 4096);
    tape_reset(f.tape);
    EXPECT_EQ(in_use(&f), base);
    close_fixture(&f);
}

TEST(wrapped_memory_is_left_alone)
{
    struct fixture f = open_fixture();
    static float outside[N];
    struct tensor *x, *y;
    outside[0] = 2;
    EXPECT_OK(tape_wrap(f.tape, "batch", DTYPE_F32, shape_1(N), outside, &x));
    EXPECT_OK(times(f.tape, x, f.w, &y));
    tape_drop(f.tape, x);
    EXPECT(x->data == outside);
    EXPECT_OK(tape_backward(f.tape, &y, 1, 1));
    EXPECT_NEAR(f.w->grad[0], 2, 0);
    close_fixture(&f);
}

// A step of changing size: n ops.
static void step(struct fixture *f, int n, void **at)
{
    struct tensor *x = input(f, 1, true), *y = x, *next;
    void *scratch;
    for (int i = 0; i < n; i++) {
        EXPECT_OK(tape_scratch(f->tape, 100000, &scratch));
        EXPECT_OK(times(f->tape, y, i % 2 == 0 ? f->w : f->frozen, &next));
        tape_scratch_free(f->tape, scratch);
        if (at != NULL) at[i] = next->data;
        if (i % 3 == 0 && y != x) tape_drop(f->tape, y);
        y = next;
    }
    EXPECT_OK(tape_backward(f->tape, &y, 1, 0.5f));
    if (at != NULL) at[n] = x->grad->data;
    tape_reset(f->tape);
}

TEST(a_step_gets_the_same_addresses_every_time_and_allocates_nothing)
{
    struct fixture f = open_fixture();
    void *once[41], *again[41];
    struct pool_stats before, after;
    step(&f, 40, once);
    step(&f, 70, NULL);
    pool_stats(f.device->pool, &before);
    int64_t n_allocs = mem_n_allocs();
    for (int i = 0; i < 3; i++) {
        step(&f, 40, again);
        EXPECT(memcmp(once, again, sizeof once) == 0);
        step(&f, 70, NULL);
    }
    pool_stats(f.device->pool, &after);
    EXPECT_EQ(after.n_backend_allocs, before.n_backend_allocs);
    EXPECT_EQ(mem_n_allocs(), n_allocs); // neither device nor host memory
    close_fixture(&f);
}

TEST(a_reset_without_a_walk_forgets_what_was_pending)
{
    struct fixture f = open_fixture();
    size_t base = in_use(&f);
    struct tensor *y;
    EXPECT_OK(times(f.tape, input(&f, 1, false), f.w, &y));
    EXPECT_EQ(f.w->pending, 1);
    tape_reset(f.tape);
    EXPECT_EQ(f.w->pending, 0);
    EXPECT_EQ(in_use(&f), base);
    close_fixture(&f);
}

TEST(arena_memory_is_aligned_and_of_any_size)
{
    struct fixture f = open_fixture();
    char *p[3];
    EXPECT_OK(tape_arena(f.tape, 1, &p[0]));
    EXPECT_OK(tape_arena(f.tape, 1 << 20, &p[1]));
    EXPECT_OK(tape_arena(f.tape, 0, &p[2]));
    for (int i = 0; i < 3; i++) EXPECT_EQ((uintptr_t)p[i] % 16, 0);
    memset(p[1], 1, 1 << 20);
    tape_reset(f.tape);
    char *again;
    EXPECT_OK(tape_arena(f.tape, 1, &again));
    EXPECT(again == p[0]);
    close_fixture(&f);
}

TEST(a_tensor_that_does_not_fit_is_refused_by_name_and_shape)
{
    struct fixture f = open_fixture();
    struct tensor *x = input(&f, 0, false);
    mem_fail_at(2); // the first is the pool's own list
    EXPECT_STATUS(tape_tensor(f.tape, "layer1.0", DTYPE_F32, shape_2(4096, 4096), &x), E_NOMEM);
    mem_fail_at(0);
    EXPECT_HAS(error_text(), "layer1.0 fp32 (4096, 4096): cpu: 67108864 bytes asked for");
    EXPECT_HAS(error_text(), "input.max_size");
    close_fixture(&f);
}

static status small_step(struct fixture *f)
{
    struct tensor *x, *y;
    TRY(tape_tensor(f->tape, "x", DTYPE_F32, shape_1(N), &x));
    memset(x->data, 0, tensor_bytes(x));
    TRY(times(f->tape, x, f->w, &y));
    TRY(times(f->tape, y, f->w, &y));
    return tape_backward(f->tape, &y, 1, 1);
}

TEST(every_failing_allocation_is_reported_and_the_next_step_is_whole)
{
    int n_failed = 0;
    for (int64_t n = 1; n < 10; n++) {
        struct fixture f = open_fixture();
        mem_fail_at(n);
        status st = small_step(&f);
        mem_fail_at(0);
        EXPECT(st == OK || st == E_NOMEM);
        n_failed += st != OK;
        tape_reset(f.tape);
        EXPECT_EQ(f.w->pending, 0);
        EXPECT_OK(small_step(&f));
        close_fixture(&f);
    }
    EXPECT(n_failed >= 2);
}

TEST_MAIN()
