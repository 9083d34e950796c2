// Whose memory lives how long on a tape.
#include <string.h>

#include "core/mem.h"
#include "support/test.h"
#include "tape_fixture.h"

enum { N = TAPE_FIXTURE_N };

static float first(const struct tensor *x)
{
    return ((const float *)x->data)[0];
}

TEST(dropped_activations_go_back_when_their_last_reader_is_done)
{
    struct tape_fixture f = tape_fixture_open();
    size_t base = tape_fixture_in_use(&f);
    struct tensor *x = tape_fixture_input(&f, 1, true), *a, *b, *y;
    EXPECT_OK(tape_fixture_times(f.tape, x, f.frozen, &a)); // saves nothing
    tape_drop(f.tape, x);
    EXPECT(x->data == NULL);
    EXPECT_EQ(tape_fixture_in_use(&f) - base, 1 * 4096); // a
    EXPECT_OK(tape_fixture_times(f.tape, a, f.w, &b));   // saves a
    tape_drop(f.tape, a);
    tape_drop(f.tape, NULL);
    EXPECT(a->data != NULL);
    EXPECT_OK(tape_fixture_times(f.tape, b, f.frozen, &y));
    tape_drop(f.tape, b);
    EXPECT_EQ(tape_fixture_in_use(&f) - base, 2 * 4096); // a, y
    EXPECT_OK(tape_backward(f.tape, &y, 1, 1));
    EXPECT(a->data == NULL && a->grad == NULL);
    EXPECT_EQ(tape_fixture_in_use(&f) - base, 2 * 4096); // y for its reader, the gradient of x
    EXPECT_NEAR(first(y), 75, 0);
    EXPECT_NEAR(first(x->grad), 75, 0);
    tape_reset(f.tape);
    EXPECT_EQ(tape_fixture_in_use(&f), base);
    tape_fixture_close(&f);
}

TEST(a_walk_through_a_long_chain_needs_two_gradients_at_a_time)
{
    struct tape_fixture f = tape_fixture_open();
    size_t base = tape_fixture_in_use(&f);
    struct tensor *x = tape_fixture_input(&f, 1, true), *y = x;
    struct pool_stats s;
    for (int i = 0; i < 50; i++) {
        struct tensor *next;
        EXPECT_OK(tape_fixture_times(f.tape, y, f.frozen, &next));
        if (y != x) tape_drop(f.tape, y);
        y = next;
    }
    EXPECT_EQ(tape_fixture_in_use(&f) - base, 2 * 4096); // x, y
    EXPECT_OK(tape_backward(f.tape, &y, 1, 1));
    pool_stats(f.device->pool, &s);
    EXPECT_EQ(s.bytes_peak - base, 4 * 4096); // x, y, dy, dx
    tape_fixture_close(&f);
}

TEST(activations_that_nobody_dropped_go_back_during_the_walk_too)
{
    struct tape_fixture f = tape_fixture_open();
    size_t base = tape_fixture_in_use(&f);
    struct tensor *x = tape_fixture_input(&f, 1, true), *y = x;
    for (int i = 0; i < 5; i++) EXPECT_OK(tape_fixture_times(f.tape, y, f.w, &y));
    EXPECT_EQ(tape_fixture_in_use(&f) - base, 6 * 4096);
    EXPECT_OK(tape_backward(f.tape, &y, 1, 1));
    EXPECT_EQ(tape_fixture_in_use(&f) - base, 3 * 4096); // x and its gradient, the root
    tape_fixture_close(&f);
}

TEST(a_passed_gradient_is_the_same_memory)
{
    struct tape_fixture f = tape_fixture_open();
    size_t base = tape_fixture_in_use(&f);
    struct tensor *x = tape_fixture_input(&f, 1, true), *c = tape_fixture_input(&f, 1, false),
                  *y = x;
    struct pool_stats s;
    for (int i = 0; i < 4; i++) EXPECT_OK(tape_fixture_plus(f.tape, y, c, &y));
    EXPECT_OK(tape_backward(f.tape, &y, 1, 7));
    EXPECT_NEAR(first(x->grad), 7, 0);
    pool_stats(f.device->pool, &s);
    EXPECT_EQ(s.bytes_peak - base, 7 * 4096); // x, c, four sums, one gradient for all
    tape_fixture_close(&f);
}

static status flatten_backward(struct tape *t, struct node *n)
{
    return tape_pass_grad(t, n, n->in[0]);
}

static const struct op op_flatten = {.name = "flatten", .backward = flatten_backward};

TEST(a_view_keeps_its_memory_alive)
{
    struct tape_fixture f = tape_fixture_open();
    size_t base = tape_fixture_in_use(&f);
    struct tensor *x = tape_fixture_input(&f, 1, false), *a, *view, *y;
    EXPECT_OK(tape_fixture_times(f.tape, x, f.w, &a));
    EXPECT_OK(tape_view(f.tape, a, shape_1(N), &view));
    EXPECT_OK(tape_record(
        f.tape, &(struct tape_record){.op = &op_flatten, .in = &a, .n_in = 1, .out = view}));
    tape_drop(f.tape, a);
    EXPECT(view->data == a->data && a->data != NULL);
    EXPECT_OK(tape_fixture_times(f.tape, view, f.w, &y)); // saves the view
    tape_drop(f.tape, view);
    EXPECT(view->data != NULL);
    EXPECT_OK(tape_backward(f.tape, &y, 1, 1));
    EXPECT(view->data == NULL && a->data == NULL);
    EXPECT_EQ(tape_fixture_in_use(&f) - base, 2 * 4096); // x, y
    EXPECT_NEAR(f.w->grad[0], 2 * 3 * N, 0);
    tape_reset(f.tape);
    EXPECT_OK(tape_view(f.tape, tape_fixture_input(&f, 1, false), shape_2(N, 1), &view));
    tape_drop(f.tape, view); // its base is still read
    EXPECT_EQ(tape_fixture_in_use(&f) - base, 4096);
    tape_reset(f.tape);
    EXPECT_EQ(tape_fixture_in_use(&f), base);
    tape_fixture_close(&f);
}

TEST(wrapped_memory_is_left_alone)
{
    struct tape_fixture f = tape_fixture_open();
    static float outside[N];
    struct tensor *x, *y;
    outside[0] = 2;
    EXPECT_OK(tape_wrap(f.tape, "batch", DTYPE_F32, shape_1(N), outside, &x));
    EXPECT_OK(tape_fixture_times(f.tape, x, f.w, &y));
    tape_drop(f.tape, x);
    EXPECT(x->data == outside);
    EXPECT_OK(tape_backward(f.tape, &y, 1, 1));
    EXPECT_NEAR(f.w->grad[0], 2, 0);
    tape_fixture_close(&f);
}

// A step of changing size: n ops.
static void step(struct tape_fixture *f, int n, void **at)
{
    struct tensor *x = tape_fixture_input(f, 1, true), *y = x, *next;
    void *scratch;
    for (int i = 0; i < n; i++) {
        EXPECT_OK(tape_scratch(f->tape, 100000, &scratch));
        EXPECT_OK(tape_fixture_times(f->tape, y, i % 2 == 0 ? f->w : f->frozen, &next));
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
    struct tape_fixture f = tape_fixture_open();
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
    tape_fixture_close(&f);
}

TEST(a_reset_without_a_walk_forgets_what_was_pending)
{
    struct tape_fixture f = tape_fixture_open();
    size_t base = tape_fixture_in_use(&f);
    struct tensor *y;
    EXPECT_OK(tape_fixture_times(f.tape, tape_fixture_input(&f, 1, false), f.w, &y));
    EXPECT_EQ(f.w->pending, 1);
    tape_reset(f.tape);
    EXPECT_EQ(f.w->pending, 0);
    EXPECT_EQ(tape_fixture_in_use(&f), base);
    tape_fixture_close(&f);
}

TEST(arena_memory_is_aligned_and_of_any_size)
{
    struct tape_fixture f = tape_fixture_open();
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
    tape_fixture_close(&f);
}

TEST(a_tensor_that_does_not_fit_is_refused_by_name_and_shape)
{
    struct tape_fixture f = tape_fixture_open();
    struct tensor *x = tape_fixture_input(&f, 0, false);
    mem_fail_at(2); // the first is the pool's own list
    EXPECT_STATUS(tape_tensor(f.tape, "layer1.0", DTYPE_F32, shape_2(4096, 4096), &x), E_NOMEM);
    mem_fail_at(0);
    EXPECT_HAS(error_text(), "layer1.0 fp32 (4096, 4096): cpu: 67108864 bytes asked for");
    EXPECT_HAS(error_text(), "input.max_size");
    tape_fixture_close(&f);
}

static status small_step(struct tape_fixture *f)
{
    struct tensor *x, *y;
    TRY(tape_tensor(f->tape, "x", DTYPE_F32, shape_1(N), &x));
    memset(x->data, 0, tensor_bytes(x));
    TRY(tape_fixture_times(f->tape, x, f->w, &y));
    TRY(tape_fixture_times(f->tape, y, f->w, &y));
    return tape_backward(f->tape, &y, 1, 1);
}

TEST(every_failing_allocation_is_reported_and_the_next_step_is_whole)
{
    int n_failed = 0;
    for (int64_t n = 1; n < 10; n++) {
        struct tape_fixture f = tape_fixture_open();
        mem_fail_at(n);
        status st = small_step(&f);
        mem_fail_at(0);
        EXPECT(st == OK || st == E_NOMEM);
        n_failed += st != OK;
        tape_reset(f.tape);
        EXPECT_EQ(f.w->pending, 0);
        EXPECT_OK(small_step(&f));
        tape_fixture_close(&f);
    }
    EXPECT(n_failed >= 2);
}

TEST_MAIN()
