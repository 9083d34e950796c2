// A replica on the fake device, as the trainer uses it: steps that run ahead of the host, captured
// and not, give the same bits; in steady state a step allocates nothing and waits for nothing; a
// loss that is no number leaves the weights alone; memory that is missing ends in one line.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "cuda/fake_cudart.h"
#include "cuda/replica_run.h"
#include "support/test.h"
#include "tensor/device.h"

enum { STEPS = 6, LANES = 2 };

// Two devices, whose gradients leave in three buckets; the second device meets other shapes.
static const char *const pair[] = {"train.devices_per_rank=2", "train.batch=4",
                                   "model.norm=frozen_bn",     "train.precision=bf16",
                                   "model.fpn_channels=32",    "model.roi.hidden=512"};

struct outcome {
    struct replica_losses losses[2 * STEPS];
    float *weights;
    size_t n;
    struct fake_cudart_counts counts;
};

static void expect_weights(struct replica_run *r, int lane, const struct outcome *o)
{
    float *weights;
    size_t n;
    replica_run_weights(r, lane, &weights, &n);
    EXPECT(n == o->n && memcmp(weights, o->weights, n * sizeof *weights) == 0);
    mem_free(weights);
}

static void train(bool cuda, bool graphs, int steps, const char *const *more, size_t n_more,
                  struct outcome *o)
{
    struct replica_run r;
    setenv("SHOAL_CUDA_GRAPHS", graphs ? "1" : "0", 1);
    EXPECT_OK(replica_run_open(&r, cuda, true, more, n_more));
    for (int i = 0; i < steps; i++) EXPECT_OK(replica_run_step(&r, i, o->losses));
    if (cuda) EXPECT_OK(replica_read_losses(r.replica, true, &o->losses[steps - 1]));
    replica_run_weights(&r, 0, &o->weights, &o->n);
    for (int lane = 1; lane < r.team->n; lane++) expect_weights(&r, lane, o);
    fake_cudart_count(&o->counts);
    replica_run_close(&r);
}

static void same(const struct outcome *a, const struct outcome *b, int steps)
{
    for (int i = 0; i < steps; i++) {
        EXPECT_EQ(a->losses[i].n, REPLICA_RUN_TERMS);
        EXPECT_EQ(a->losses[i].n_images, b->losses[i].n_images);
        EXPECT(memcmp(a->losses[i].sum, b->losses[i].sum, sizeof a->losses[i].sum) == 0);
        EXPECT(a->losses[i].sum[0] > 0 && isfinite(a->losses[i].sum[0]));
    }
    EXPECT_EQ(a->n, b->n);
    EXPECT(memcmp(a->weights, b->weights, a->n * sizeof *a->weights) == 0);
}

// Of two steps one is captured, of three two are run by that capture.
static void captured_is_eager(int steps, const char *const *more, size_t n_more)
{
    static struct outcome eager, captured;
    struct fake_cudart_counts begin;
    fake_cudart_count(&begin);
    train(true, false, steps, more, n_more, &eager);
    EXPECT_EQ(eager.counts.graph_launches, begin.graph_launches);
    train(true, true, steps, more, n_more, &captured);
    EXPECT(captured.counts.graph_launches + 1 >=
           eager.counts.graph_launches + (unsigned long)steps);
    same(&eager, &captured, steps);
    fake_cudart_count(&captured.counts);
    EXPECT_EQ(captured.counts.living, begin.living);
    mem_free(eager.weights);
    mem_free(captured.weights);
}

TEST(captured_steps_have_the_bits_of_eager_ones)
{
    captured_is_eager(2, (const char *[]){"model.trainable_stages=5"}, 1);
}

TEST(captured_steps_of_frozen_bn_in_bf16_too)
{
    captured_is_eager(2,
                      (const char *[]){"model.norm=frozen_bn", "model.trainable_stages=1",
                                       "train.precision=bf16"},
                      3);
}

TEST(captured_micro_batches_accumulate)
{
    captured_is_eager(3, (const char *[]){"train.batch=4"}, 1);
}

// One device may run by a capture what the other runs eagerly: the sums are never captured.
TEST(captured_steps_of_two_devices_too)
{
    captured_is_eager(4, pair, COUNT(pair));
}

TEST(losses_read_late_are_the_cpu_backends)
{
    static struct outcome cpu, cuda;
    train(false, false, 3, NULL, 0, &cpu);
    train(true, true, 3, NULL, 0, &cuda);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < REPLICA_RUN_TERMS; k++) {
            EXPECT(strcmp(cpu.losses[i].name[k], cuda.losses[i].name[k]) == 0);
            EXPECT_NEAR(cuda.losses[i].sum[k], cpu.losses[i].sum[k], 1e-4);
        }
    EXPECT_CLOSE("weights", cuda.weights, cpu.weights, cpu.n, .relative_l2 = 1e-4);
    mem_free(cpu.weights);
    mem_free(cuda.weights);
}

// launches: of graphs, by all devices together.
static void expect_steady(struct replica_run *r, unsigned long launches)
{
    static struct replica_losses losses[2 * STEPS];
    struct fake_cudart_counts before, after;
    for (int i = 0; i < STEPS; i++) EXPECT_OK(replica_run_step(r, i, losses));
    for (int i = STEPS; i < STEPS + 3; i++) {
        fake_cudart_mark();
        fake_cudart_count(&before);
        EXPECT_OK(replica_run_step(r, i, losses));
        fake_cudart_count(&after);
        EXPECT_EQ(after.allocations, before.allocations);
        EXPECT_EQ(after.frees, before.frees);
        EXPECT_EQ(after.synchronisations, before.synchronisations);
        EXPECT_EQ(after.waits, 0);
        EXPECT_EQ(after.graph_launches, before.graph_launches + launches);
    }
}

TEST(a_step_in_steady_state_allocates_nothing_and_waits_for_nothing)
{
    struct replica_run r;
    setenv("SHOAL_CUDA_GRAPHS", "1", 1);
    EXPECT_OK(replica_run_open(&r, true, true, NULL, 0));
    expect_steady(&r, 1); // fp32: nothing is to be refreshed
    replica_run_close(&r);
}

// A piece behind each bucket, the rest, and the refresh.
TEST(nor_does_a_step_of_two_devices)
{
    struct replica_run r;
    setenv("SHOAL_CUDA_GRAPHS", "1", 1);
    EXPECT_OK(replica_run_open(&r, true, true, pair, COUNT(pair)));
    EXPECT_EQ(buckets_n(r.team->buckets), 3);
    expect_steady(&r, LANES * (3 + 1 + 1));
    replica_run_close(&r);
}

// ---- Losses that are no numbers ---------------------------------------------------------------

static void poison(struct replica_run *r)
{
    struct params *params = detector_params(r->replica->model);
    struct param *bias = params_find(params, "roi_heads.box_predictor.cls_score.bias");
    const float values[REPLICA_RUN_LABELS] = {0, NAN, 0, 0};
    EXPECT_OK(param_import(params, bias, values));
    EXPECT_OK(detector_refresh(r->replica->model));
}

TEST(a_loss_that_is_no_number_leaves_the_weights_as_they_were)
{
    static struct replica_losses losses[STEPS];
    struct replica_run r;
    float *before, *after;
    size_t n;
    setenv("SHOAL_CUDA_GRAPHS", "1", 1);
    EXPECT_OK(replica_run_open(&r, true, true, NULL, 0));
    for (int i = 0; i < 2; i++) EXPECT_OK(replica_run_step(&r, i, losses));
    poison(&r);
    replica_run_weights(&r, 0, &before, &n);
    for (int i = 2; i < 5; i++)
        EXPECT_OK(replica_run_step(&r, i, losses)); // the host has not looked yet
    replica_run_weights(&r, 0, &after, &n);
    EXPECT(memcmp(before, after, n * sizeof *before) == 0);
    EXPECT(losses[1].bad_term == NULL);
    for (int i = 2; i < 4; i++) {
        EXPECT(losses[i].bad_term != NULL && strcmp(losses[i].bad_term, "loss_classifier") == 0);
        char want[64];
        (void)snprintf(want, sizeof want, "picture %d, picture %d", 2 * i, 2 * i + 1);
        EXPECT(strcmp(losses[i].bad_ids, want) == 0);
    }
    mem_free(before);
    mem_free(after);
    replica_run_close(&r);
}

// ---- Memory that is missing -------------------------------------------------------------------

static status four_steps(void)
{
    static struct replica_losses losses[STEPS];
    struct replica_run r = {0};
    status st =
        replica_run_open(&r, true, false, NULL, 0); // weights are zeros: they take no memory
    for (int i = 0; i < 4 && st == OK; i++) st = replica_run_step(&r, i, losses);
    replica_run_close(&r);
    return st;
}

TEST(every_device_allocation_that_fails_is_told_in_one_line)
{
    struct fake_cudart_counts begin, end;
    setenv("SHOAL_CUDA_GRAPHS", "1", 1);
    fake_cudart_count(&begin);
    unsigned long n = 1;
    for (; n < 100; n++) {
        fake_cudart_fail_allocation(n, true);
        status st = four_steps();
        fake_cudart_fail_allocation(0, false);
        fake_cudart_count(&end);
        EXPECT_EQ(end.living, begin.living);
        if (st == OK) break;
        const char *text = error_text();
        printf("%lu: %s\n", n, text);
        EXPECT_EQ(st, E_NOMEM);
        EXPECT(strstr(text, "out of device memory") != NULL && strchr(text, '\n') == NULL);
        EXPECT(strstr(text, "train.micro_batch") != NULL);
        error_clear();
    }
    EXPECT(n > 3 && n < 100);
}

// A piece of memory that holds what it was given.
static void expect_usable(const struct device *d, void *memory)
{
    const int32_t sent = 7;
    int32_t got = 0;
    EXPECT_OK(d->ops->upload(d->stream, memory, &sent, sizeof sent));
    EXPECT_OK(d->ops->download(d->stream, &got, memory, sizeof got));
    EXPECT_EQ(got, sent);
}

TEST(an_allocation_that_fails_once_is_tried_again_with_less)
{
    enum { BYTES = 1 << 20 };
    struct device *d;
    struct pool_stats stats;
    void *first, *second = NULL;
    EXPECT_OK(device_open_gpu(0, DTYPE_F32, false, true, &d));
    fake_cudart_fail_allocation(1, false);
    EXPECT_OK(pool_take(d->pool, BYTES, &first)); // a whole segment was refused
    pool_stats(d->pool, &stats);
    EXPECT_EQ(stats.bytes_held, BYTES);
    fake_cudart_fail_allocation(1, true);
    EXPECT_EQ(pool_take(d->pool, BYTES, &second), E_NOMEM);
    error_clear();
    fake_cudart_fail_allocation(0, false);
    EXPECT_OK(pool_take(d->pool, BYTES, &second)); // no refusal stays
    expect_usable(d, first);
    expect_usable(d, second);
    pool_give(d->pool, first);
    pool_give(d->pool, second);
    device_close(d);
}

// The pool's, that for pictures, scratch memory: the list above names them.
TEST(training_survives_it)
{
    for (unsigned long n = 1; n <= 5; n += 2) {
        fake_cudart_fail_allocation(n, false);
        EXPECT_OK(four_steps());
        fake_cudart_fail_allocation(0, false);
    }
}

TEST_MAIN()
