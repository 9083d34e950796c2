// Buckets: whole sums, launched in order whatever order the gradients finish in.
#include "comm/bucket.h"

#include "core/mem.h"
#include "core/rng.h"
#include "support/test.h"

static struct comm *comm;

enum { N_SLICES = 9, SLICE = 100000 };

static void fill(float *grads)
{
    for (int i = 0; i < N_SLICES * SLICE; i++)
        grads[i] = (float)(i % 1000) * (float)(comm_rank(comm) + 1);
}

static void check(const float *grads)
{
    int n = comm_size(comm), wrong = 0;
    for (int i = 0; i < N_SLICES * SLICE; i++)
        wrong += grads[i] != (float)(i % 1000) * (float)(n * (n + 1) / 2);
    EXPECT_EQ(wrong, 0);
}

TEST(ranks_that_finish_in_different_orders_still_agree)
{
    struct bucket_slice slices[N_SLICES];
    for (int i = 0; i < N_SLICES; i++) slices[i] = (struct bucket_slice){(int64_t)i * SLICE, SLICE};
    float *grads;
    struct buckets *b;
    EXPECT_OK(mem_alloc(&grads, N_SLICES * SLICE));
    EXPECT_OK(buckets_create(comm, 0.8, slices, N_SLICES, grads, &b));
    // 400 kB a slice: the first bucket closes at 1 MiB with 3, the others at 0.8 MiB with 3.
    EXPECT_EQ(buckets_n(b), 3);
    for (uint64_t step = 0; step < 5; step++) {
        uint32_t order[N_SLICES];
        rng_permutation(rng_key(step, (uint64_t)comm_rank(comm), 0, RNG_PURPOSE_TEST), N_SLICES,
                        order);
        double exposed_s = -1;
        fill(grads);
        buckets_begin(b);
        // Rank zero leaves the last two of its order to the end, as parameters without gradient.
        int n = comm_rank(comm) == 0 ? N_SLICES - 2 : N_SLICES;
        for (int i = 0; i < n; i++) EXPECT_OK(buckets_ready(b, (int)order[i]));
        EXPECT_OK(buckets_finish(b, &exposed_s));
        EXPECT(exposed_s >= 0);
        check(grads);
    }
    buckets_destroy(b);
    mem_free(grads);
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
