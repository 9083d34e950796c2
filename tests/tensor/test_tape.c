// What the tape records, and what its walk gives to whom.
#include "support/test.h"
#include "tape_fixture.h"

enum { N = TAPE_FIXTURE_N };

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
    struct tape_fixture f = tape_fixture_open();
    struct tensor *x = tape_fixture_input(&f, 1, true), *a, *b, *y;
    EXPECT_OK(tape_fixture_times(f.tape, x, f.w, &a));
    EXPECT_OK(tape_fixture_times(f.tape, x, f.frozen, &b));
    EXPECT_OK(tape_fixture_plus(f.tape, a, b, &y));
    EXPECT_OK(tape_fixture_plus(f.tape, y, x, &y));
    EXPECT_NEAR(first(y), 3 + 5 + 1, 0);
    EXPECT_OK(tape_backward(f.tape, &y, 1, 2));
    EXPECT_NEAR(first(x->grad), 2 * (3 + 5 + 1), 0);
    EXPECT_NEAR(((float *)x->grad->data)[N - 1], 2 * (3 + 5 + 1), 0);
    EXPECT_NEAR(f.w->grad[0], 2 * N, 0);
    tape_fixture_close(&f);
}

TEST(a_weight_used_three_times_is_ready_once_and_whole)
{
    struct tape_fixture f = tape_fixture_open();
    struct ready ready = {0};
    tape_set_hooks(f.tape, &(struct tape_hooks){.context = &ready, .grad_ready = note_ready});
    struct tensor *x = tape_fixture_input(&f, 1, false), *y = x;
    for (int i = 0; i < 3; i++) EXPECT_OK(tape_fixture_times(f.tape, y, f.w, &y));
    EXPECT_EQ(f.w->pending, 3);
    EXPECT_OK(tape_backward(f.tape, &y, 1, 1));
    EXPECT_EQ(ready.n_calls, 1);
    EXPECT(ready.last == f.w);
    EXPECT_NEAR(ready.grad, 3 * 9 * N, 0); // d (w^3) / dw = 3 w^2
    EXPECT_EQ(f.w->pending, 0);
    tape_fixture_close(&f);
}

TEST(a_second_walk_adds_to_the_gradients_of_parameters_and_tells_again)
{
    struct tape_fixture f = tape_fixture_open();
    struct ready ready = {0};
    struct tensor *y;
    for (int walk = 1; walk <= 2; walk++) {
        if (walk == 2)
            tape_set_hooks(f.tape,
                           &(struct tape_hooks){.context = &ready, .grad_ready = note_ready});
        EXPECT_OK(tape_fixture_times(f.tape, tape_fixture_input(&f, 1, false), f.w, &y));
        EXPECT_OK(tape_backward(f.tape, &y, 1, 1));
        EXPECT_NEAR(f.w->grad[0], walk * N, 0);
        tape_reset(f.tape);
    }
    EXPECT_EQ(ready.n_calls, 1);
    tape_set_hooks(f.tape, NULL);
    EXPECT_OK(tape_fixture_times(f.tape, tape_fixture_input(&f, 1, false), f.w, &y));
    EXPECT_OK(tape_backward(f.tape, &y, 1, 1));
    EXPECT_EQ(ready.n_calls, 1);
    tape_fixture_close(&f);
}

TEST(a_failing_hook_ends_the_walk_and_the_tape_can_be_reset)
{
    struct tape_fixture f = tape_fixture_open();
    struct ready ready = {.fail = true};
    tape_set_hooks(f.tape, &(struct tape_hooks){.context = &ready, .grad_ready = note_ready});
    struct tensor *x = tape_fixture_input(&f, 1, true), *y;
    EXPECT_OK(tape_fixture_times(f.tape, x, f.frozen, &y));
    EXPECT_OK(tape_fixture_times(f.tape, y, f.w, &y));
    EXPECT_STATUS(tape_backward(f.tape, &y, 1, 1), E_COMM);
    EXPECT_STR(error_text(), "the wire is cut");
    EXPECT(x->grad == NULL);
    tape_reset(f.tape);
    EXPECT_EQ(f.w->pending, 0);
    tape_fixture_close(&f);
}

TEST(nothing_is_recorded_for_frozen_inputs_or_with_recording_off)
{
    struct tape_fixture f = tape_fixture_open();
    struct tensor *x = tape_fixture_input(&f, 1, false), *y,
                  *wants = tape_fixture_input(&f, 1, true);
    EXPECT_OK(tape_fixture_times(f.tape, x, f.frozen, &y));
    EXPECT(!y->needs_grad && x->n_saved == 0);
    tape_set_recording(f.tape, false);
    EXPECT(!tape_recording(f.tape));
    EXPECT_OK(tape_fixture_times(f.tape, wants, f.w, &y));
    EXPECT(!y->needs_grad && wants->n_saved == 0);
    EXPECT_EQ(f.w->pending, 0);
    size_t before = tape_fixture_in_use(&f);
    tape_drop(f.tape, y);
    EXPECT_EQ(tape_fixture_in_use(&f), before - 4096);
    EXPECT_OK(tape_backward(f.tape, &y, 1, 1)); // nothing to walk, nothing to say
    EXPECT_NEAR(f.w->grad[0], 0, 0);
    tape_fixture_close(&f);
}

TEST(frozen_parameters_are_left_out_of_nodes)
{
    struct tape_fixture f = tape_fixture_open();
    struct tensor *x = tape_fixture_input(&f, 1, true), *y;
    EXPECT_OK(tape_fixture_times(f.tape, x, f.frozen, &y));
    EXPECT(y->needs_grad);
    EXPECT_EQ(f.frozen->pending, 0);
    EXPECT_EQ(x->n_saved, 0);
    EXPECT_OK(tape_backward(f.tape, &y, 1, 1));
    EXPECT_NEAR(first(x->grad), 5, 0);
    tape_fixture_close(&f);
}

TEST(nodes_that_nothing_flowed_to_are_passed_but_their_parameters_are_told)
{
    struct tape_fixture f = tape_fixture_open();
    struct ready ready = {0};
    tape_set_hooks(f.tape, &(struct tape_hooks){.context = &ready, .grad_ready = note_ready});
    struct tensor *x = tape_fixture_input(&f, 1, true), *unused, *y;
    EXPECT_OK(tape_fixture_times(f.tape, x, f.w, &unused));
    EXPECT_OK(tape_fixture_times(f.tape, x, f.frozen, &y));
    EXPECT_OK(tape_backward(f.tape, &y, 1, 1));
    EXPECT_EQ(ready.n_calls, 1);
    EXPECT_NEAR(f.w->grad[0], 0, 0);
    EXPECT_NEAR(first(x->grad), 5, 0);
    tape_fixture_close(&f);
}

TEST(several_roots_walk_together)
{
    struct tape_fixture f = tape_fixture_open();
    struct tensor *x = tape_fixture_input(&f, 1, true), *a, *b;
    EXPECT_OK(tape_fixture_times(f.tape, x, f.w, &a));
    EXPECT_OK(tape_fixture_times(f.tape, a, f.frozen, &b)); // a is a root and an input
    EXPECT_OK(tape_backward(f.tape, (struct tensor *[]){a, b}, 2, 1));
    EXPECT_NEAR(first(x->grad), 3 * (1 + 5), 0);
    EXPECT_NEAR(first(a), 3, 0);
    EXPECT_NEAR(first(b), 15, 0);
    tape_fixture_close(&f);
}

TEST(roots_are_fp32)
{
    struct tape_fixture f = tape_fixture_open();
    struct tensor *x;
    EXPECT_OK(tape_tensor(f.tape, "half", DTYPE_BF16, shape_1(4), &x));
    tape_require_grad(f.tape, x);
    EXPECT_STATUS(tape_backward(f.tape, &x, 1, 1), E_ARG);
    EXPECT_HAS(error_text(), "half");
    tape_fixture_close(&f);
}

TEST_MAIN()
