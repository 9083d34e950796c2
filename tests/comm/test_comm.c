// The comm table on one rank, and the same tests on several under mpirun.
#include "comm/comm.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "support/test.h"

static struct comm *comm;

TEST(ranks_know_each_other)
{
    EXPECT(comm_rank(comm) >= 0 && comm_rank(comm) < comm_size(comm));
    EXPECT_EQ(comm_local_size(comm), comm_size(comm)); // one host here
    EXPECT_EQ(comm_local_rank(comm), comm_rank(comm));
    EXPECT(strlen(comm_host(comm)) > 0);
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
    EXPECT_STATUS(comm_agree(comm, "the config", comm_rank(comm) == 1 ? 8 : 7), E_COMM);
    EXPECT_HAS(error_text(), "the config differs");
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
    EXPECT_EQ(st, mine ? E_IO : E_COMM);
    EXPECT_HAS(error_text(), mine ? "disk gone" : "failed; its own message says why");
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
