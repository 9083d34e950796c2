// Buckets: whole sums over lanes and ranks, launched in order whatever order the gradients finish
// in.
#include "comm/bucket.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "support/test.h"

static struct comm *comm;

enum { N_SLICES = 9, SLICE = 100000, N = N_SLICES * SLICE, STEPS = 4 };

// One device of this rank.
struct worker {
    struct buckets *buckets;
    int lane, number; // number: among all
    float *grads;
    pthread_t thread;
    status result;
};

static struct buckets *make(enum config_wire wire, int n_lanes)
{
    struct bucket_slice slices[N_SLICES];
    struct buckets *b = NULL;
    for (int i = 0; i < N_SLICES; i++) slices[i] = (struct bucket_slice){(int64_t)i * SLICE, SLICE};
    const struct buckets_params params = {.comm = comm,
                                          .bucket_mib = 0.8,
                                          .wire = wire,
                                          .slices = slices,
                                          .n_slices = N_SLICES,
                                          .n_lanes = n_lanes};
    EXPECT_OK(buckets_create(&params, &b));
    EXPECT_OK(buckets_meet(b));
    return b;
}

// Slices in an order of the worker's own; the first worker leaves the last two to the end, as
// parameters without gradient.
static status step(const struct worker *w, uint64_t number)
{
    uint32_t order[N_SLICES];
    double exposed_s = -1;
    rng_permutation(rng_key(number, (uint64_t)w->number, 0, RNG_PURPOSE_TEST), N_SLICES, order);
    buckets_begin(w->buckets, w->lane);
    int n = w->number == 0 ? N_SLICES - 2 : N_SLICES;
    for (int i = 0; i < n; i++) TRY(buckets_ready(w->buckets, w->lane, (int)order[i]));
    TRY(buckets_finish(w->buckets, w->lane, &exposed_s));
    REQUIRE(exposed_s >= 0, E_ARG, "exposed for %g s", exposed_s);
    return buckets_finish(w->buckets, w->lane, NULL); // nothing is left to do
}

// Sums of whole numbers are exact, whatever the order.
static status sum_numbers(struct worker *w, uint64_t number)
{
    int workers = w->number + 1;
    for (int i = 0; i < N; i++) w->grads[i] = (float)(i % 1000) * (float)workers;
    return step(w, number);
}

static void *work(void *argument)
{
    struct worker *w = argument;
    w->result = buckets_join(w->buckets, w->lane, &(struct bucket_lane){.grads = w->grads});
    for (uint64_t i = 0; i < STEPS && w->result == OK; i++) w->result = sum_numbers(w, i);
    return NULL;
}

static void check_lanes(int n_lanes)
{
    struct worker w[4] = {0};
    struct buckets *b = make(CONFIG_WIRE_FP32, n_lanes);
    // 400 kB a slice: the first bucket closes at 1 MiB with 3, the others at 0.8 MiB with 3.
    EXPECT_EQ(buckets_n(b), 3);
    for (int i = 0; i < n_lanes; i++) {
        w[i] = (struct worker){.buckets = b, .lane = i, .number = comm_rank(comm) * n_lanes + i};
        EXPECT_OK(mem_alloc(&w[i].grads, N));
    }
    for (int i = 0; i < n_lanes; i++) EXPECT_EQ(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    for (int i = 0; i < n_lanes; i++) EXPECT_EQ(pthread_join(w[i].thread, NULL), 0);
    int n = n_lanes * comm_size(comm);
    for (int i = 0; i < n_lanes; i++) {
        int wrong = 0;
        for (int k = 0; k < N; k++)
            wrong += w[i].grads[k] != (float)(k % 1000) * (float)(n * (n + 1) / 2);
        EXPECT_EQ(wrong, 0);
        EXPECT_EQ(w[i].result, OK);
        mem_free(w[i].grads);
    }
    buckets_destroy(b);
}

TEST(workers_that_finish_in_different_orders_still_agree)
{
    check_lanes(1);
    check_lanes(2);
    check_lanes(4);
}

static float draw(uint64_t worker, uint64_t k)
{
    return 2 * rng_uniform(rng_key(worker, 0, 0, RNG_PURPOSE_TEST), k) - 1;
}

static void sum_in_bf16(float *grads)
{
    struct buckets *b = make(CONFIG_WIRE_BF16, 1);
    struct worker w = {.buckets = b, .number = comm_rank(comm), .grads = grads};
    for (uint64_t k = 0; k < N; k++) grads[k] = draw((uint64_t)comm_rank(comm), k);
    EXPECT_OK(buckets_join(b, 0, &(struct bucket_lane){.grads = grads}));
    EXPECT_OK(step(&w, 1));
    buckets_destroy(b);
}

TEST(sums_in_bf16_are_within_its_rounding_and_the_same_bits_everywhere)
{
    float *grads, *again;
    uint64_t size = (uint64_t)comm_size(comm), hash = 0;
    int wrong = 0, inexact = 0;
    EXPECT_OK(mem_alloc(&grads, N));
    EXPECT_OK(mem_alloc(&again, N));
    sum_in_bf16(grads);
    sum_in_bf16(again);
    EXPECT(memcmp(grads, again, N * sizeof *grads) == 0);
    for (uint64_t k = 0; k < N; k++) {
        double want = 0, largest = 0;
        for (uint64_t r = 0; r < size; r++) {
            want += (double)draw(r, k);
            largest += fabs((double)draw(r, k));
        }
        // 8 bits: each of size roundings is off by 2^-8 of a partial sum at most.
        wrong += !(fabs((double)grads[k] - want) <= ldexp((double)size * largest, -8));
        inexact += (double)grads[k] != want;
        uint32_t bits;
        memcpy(&bits, &grads[k], sizeof bits);
        hash = hash * 1000003 + bits;
        if (size > 1) EXPECT_EQ(bits & 0xffff, 0);
    }
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(inexact > 0, size > 1); // alone, nothing is rounded
    EXPECT_OK(comm_agree(comm, "the sum", hash));
    mem_free(again);
    mem_free(grads);
}

TEST(what_carries_the_gradients_has_a_name)
{
    char text[COMM_HOST_BYTES];
    struct buckets *b = make(CONFIG_WIRE_BF16, 1);
    buckets_describe(b, text, sizeof text);
    EXPECT_HAS(text, comm_backend_name(comm));
    EXPECT_EQ(strstr(text, "wire bf16") != NULL, comm_size(comm) > 1);
    buckets_destroy(b);
}

int main(int argc, char **argv)
{
    struct config_comm_params params = {.backend = CONFIG_COMM_AUTO};
    if (comm_create(&params, &comm) != OK) {
        test_fail(__FILE__, __LINE__, "%s", error_text());
        return 1;
    }
    int result = test_main(argc, argv);
    comm_destroy(comm);
    return result;
}
