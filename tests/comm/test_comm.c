// The comm table on one rank, and the same tests on several under mpirun.
#include "comm/comm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bf16.h"
#include "core/mem.h"
#include "core/rng.h"
#include "support/test.h"

static struct comm *comm;

TEST(ranks_know_each_other)
{
    EXPECT(comm_rank(comm) >= 0 && comm_rank(comm) < comm_size(comm));
    EXPECT_EQ(comm_local_size(comm), comm_size(comm)); // one host here
    EXPECT_EQ(comm_local_rank(comm), comm_rank(comm));
    EXPECT(strlen(comm_host(comm)) > 0);
    for (int r = 0; r < comm_size(comm); r++) EXPECT_STR(comm_host_of(comm, r), comm_host(comm));
    const char *launched = getenv("OMPI_COMM_WORLD_SIZE");
    EXPECT_STR(comm_backend_name(comm), launched != NULL ? "mpi" : "self");
    EXPECT_EQ(comm_size(comm), launched != NULL ? atoi(launched) : 1);
}

TEST(sums_reach_every_rank)
{
    int n = comm_size(comm), r = comm_rank(comm);
    float x[3] = {1, (float)r, (float)(r * r)};
    EXPECT_OK(comm_sum_f32(comm, COMM_CHANNEL_GRADIENTS, x, 3));
    EXPECT_EQ(x[0], n);
    EXPECT_EQ(x[1], n * (n - 1) / 2);
    double y = r + 1;
    EXPECT_OK(comm_sum_f64(comm, &y, 1));
    EXPECT_EQ(y, n * (n + 1) / 2);
}

TEST(rank_zero_broadcasts_and_gathers)
{
    char text[16] = "";
    if (comm_rank(comm) == 0) strcpy(text, "from zero");
    EXPECT_OK(comm_broadcast(comm, 0, text, sizeof text));
    EXPECT_STR(text, "from zero");

    char own[8];
    size_t bytes = (size_t)comm_rank(comm); // rank r sends r bytes, rank zero none
    memset(own, 'a' + comm_rank(comm), sizeof own);
    char *all = NULL;
    size_t offset[64];
    EXPECT_OK(comm_gather(comm, own, bytes, &all, offset));
    if (comm_rank(comm) == 0) {
        for (int r = 0; r < comm_size(comm); r++) {
            EXPECT_EQ(offset[r + 1] - offset[r], r);
            for (size_t i = offset[r]; i < offset[r + 1]; i++) EXPECT_EQ(all[i], 'a' + r);
        }
    }
    mem_free(all);
    EXPECT_OK(comm_barrier(comm));
}

TEST(disagreement_is_noticed_by_all)
{
    EXPECT_OK(comm_agree(comm, "the config", 7));
    if (comm_size(comm) == 1) return;
    EXPECT_STATUS(comm_agree(comm, "the config", comm_rank(comm) == 1 ? 8 : 7), E_ARG);
    EXPECT_HAS(error_text(), "the config on rank 1 (");
    EXPECT_HAS(error_text(), ") differs from rank 0's (");
    EXPECT(comm_failed_together(comm));
}

static status fail_here(void)
{
    FAIL(E_IO, "disk gone");
}

TEST(one_ranks_failure_is_everybodys)
{
    EXPECT_OK(comm_all_ok(comm, OK));
    bool mine = comm_rank(comm) == comm_size(comm) - 1;
    status st = comm_all_ok(comm, mine ? fail_here() : OK);
    EXPECT_EQ(st, E_IO);
    EXPECT(comm_failed_together(comm));
    char want[512] = "disk gone";
    if (comm_size(comm) > 1)
        snprintf(want, sizeof want, "on rank %d (%s): disk gone", comm_size(comm) - 1,
                 comm_host(comm));
    EXPECT_STR(error_text(), want);
    EXPECT_OK(comm_all_ok(comm, OK)); // whoever survived it starts anew
    EXPECT(!comm_failed_together(comm));
}

TEST(every_rank_failing_alike_gives_rank_zeros_message)
{
    error_set(__FILE__, __LINE__, "rank %d says so", comm_rank(comm));
    EXPECT_STATUS(comm_all_ok(comm, E_FORMAT), E_FORMAT);
    EXPECT_STR(error_text(), "rank 0 says so");
}

TEST(sums_of_every_size_are_whole_and_alike_on_all_ranks)
{
    static const size_t sizes[] = {1, 1000, 16383, 16384, 16387, 262144, 3000001};
    for (size_t k = 0; k < COUNT(sizes); k++) {
        size_t n = sizes[k];
        float *x;
        EXPECT_OK(mem_alloc(&x, n));
        for (size_t i = 0; i < n; i++) x[i] = (float)(i % 4096) / (float)(3 + comm_rank(comm));
        EXPECT_OK(comm_sum_f32(comm, COMM_CHANNEL_GRADIENTS, x, n));
        uint64_t hash = 0;
        size_t wrong = 0;
        for (size_t i = 0; i < n; i++) {
            double want = 0;
            for (int r = 0; r < comm_size(comm); r++) want += (double)(i % 4096) / (3.0 + r);
            wrong += !(x[i] >= want * (1 - 1e-6) && x[i] <= want * (1 + 1e-6));
            uint32_t bits;
            memcpy(&bits, &x[i], sizeof bits);
            hash = hash * 1000003 + bits;
        }
        EXPECT_EQ(wrong, 0);
        EXPECT_OK(comm_agree(comm, "the sum", hash));
        mem_free(x);
    }
}

static float draw(int rank, size_t i)
{
    return 2 * rng_uniform(rng_key(7, (uint64_t)rank, 0, RNG_PURPOSE_TEST), i) - 1;
}

// Chunk c begins with rank c's; each rank after it adds its own in fp32 and rounds.
static float sum_by_hand(int n_ranks, size_t n, size_t i)
{
    size_t chunk = (n + (size_t)n_ranks - 1) / (size_t)n_ranks;
    int first = (int)(i / chunk);
    float sum = bf16_to_float(bf16_from_float(draw(first, i)));
    for (int k = 1; k < n_ranks; k++) {
        float exact = sum + draw((first + k) % n_ranks, i);
        sum = bf16_to_float(bf16_from_float(exact));
    }
    return sum;
}

TEST(sums_in_bf16_are_rounded_on_the_wire_alone)
{
    static const size_t sizes[] = {1, 3, 1000, 262147, 900001}; // the last: 4 segments on 4 ranks
    for (size_t k = 0; k < COUNT(sizes); k++) {
        size_t n = sizes[k], wrong = 0;
        float *x;
        EXPECT_OK(mem_alloc(&x, n));
        for (size_t i = 0; i < n; i++) x[i] = draw(comm_rank(comm), i);
        EXPECT_OK(comm_sum_bf16(comm, x, n));
        for (size_t i = 0; i < n; i++) {
            float want = comm_size(comm) == 1 ? draw(0, i) : sum_by_hand(comm_size(comm), n, i);
            wrong += memcmp(&x[i], &want, sizeof want) != 0;
        }
        EXPECT_EQ(wrong, 0);
        mem_free(x);
    }
}

TEST(what_is_no_number_stays_so_in_bf16)
{
    float x[3] = {comm_rank(comm) == 0 ? NAN : 1, comm_rank(comm) == 0 ? INFINITY : 1, 0x1p-133F};
    EXPECT_OK(comm_sum_bf16(comm, x, 3));
    EXPECT(isnan(x[0]));
    EXPECT(isinf(x[1]) && x[1] > 0);
    EXPECT(x[2] == 0x1p-133F * (float)comm_size(comm)); // bf16's smallest
}

TEST(one_process_among_many_is_refused)
{
    struct config_comm_params self = {.backend = CONFIG_COMM_SELF};
    EXPECT_EQ(comm_launched_rank(), comm_rank(comm));
    EXPECT_EQ(comm_launched_size(), comm_size(comm));
    EXPECT_STATUS(comm_check(&self), comm_size(comm) > 1 ? E_ARG : OK);
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
