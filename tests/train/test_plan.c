// Predicted scaling against sums worked by hand.
#include "train/plan.h"

#include <stdio.h>

#include "core/file.h"
#include "support/test.h"

// 10 us and 10 GB/s between hosts, 1 us and 100 GB/s within.
static struct plan example(int ranks_per_host)
{
    return (struct plan){
        .ranks_per_host = ranks_per_host, .within = {1e-6, 1e11}, .between = {1e-5, 1e10}};
}

TEST(an_all_reduce_takes_what_the_formulas_say)
{
    struct plan p = example(1);
    const double bytes = 1e8;
    // 6 messages of 10 us, and 3/4 of the bytes twice: 60 us + 15 ms.
    EXPECT_NEAR(plan_all_reduce_s(&p, PLAN_ALGORITHM_RING, 4, bytes), 0.01506, 1e-12);
    // Up and down two levels, and the bytes twice: 40 us + 20 ms; five ranks need three levels.
    EXPECT_NEAR(plan_all_reduce_s(&p, PLAN_ALGORITHM_TREE, 4, bytes), 0.02004, 1e-12);
    EXPECT_NEAR(plan_all_reduce_s(&p, PLAN_ALGORITHM_TREE, 5, bytes), 0.02006, 1e-12);
    // One rank a host: nothing within.
    EXPECT_NEAR(plan_all_reduce_s(&p, PLAN_ALGORITHM_HIERARCHICAL, 4, bytes), 0.01506, 1e-12);
    // Two hosts of four: 6 us + 1.5 ms within, 20 us + 10 ms between.
    p = example(4);
    EXPECT_NEAR(plan_all_reduce_s(&p, PLAN_ALGORITHM_HIERARCHICAL, 8, bytes), 0.011526, 1e-12);
    // All on one host: its own link, whatever the way.
    EXPECT_NEAR(plan_all_reduce_s(&p, PLAN_ALGORITHM_RING, 4, bytes), 0.001506, 1e-12);
    EXPECT_NEAR(plan_all_reduce_s(&p, PLAN_ALGORITHM_HIERARCHICAL, 4, bytes), 0.001506, 1e-12);
    EXPECT_NEAR(plan_all_reduce_s(&p, PLAN_ALGORITHM_TREE, 4, bytes), 0.002004, 1e-12);
    for (enum plan_algorithm a = 0; a < PLAN_N_ALGORITHMS; a++)
        EXPECT_EQ(plan_all_reduce_s(&p, a, 1, bytes), 0);
}

TEST(buckets_overlap_with_the_backward_walk_one_after_another)
{
    struct plan p = {.forward_s = 0.1,
                     .backward_s = 0.2,
                     .other_s = 0.05,
                     .n_buckets = 2,
                     .bucket_bytes = {1e9, 3e9},
                     .ranks_per_host = 1,
                     .between = {0, 1e10}};
    // Two ranks in a ring: 0.1 s and 0.3 s. Ready at 0.15 and 0.3 s, through at 0.25 and 0.6 s.
    struct plan_outcome o = plan_predict(&p, PLAN_ALGORITHM_RING, 2);
    EXPECT_NEAR(o.all_reduce_s, 0.4, 1e-12);
    EXPECT_NEAR(o.exposed_s, 0.3, 1e-12);
    EXPECT_NEAR(o.step_s, 0.65, 1e-12);
    EXPECT_NEAR(o.efficiency, 0.35 / 0.65, 1e-12);
    // Ten times the bandwidth: through at 0.16 and 0.33 s.
    p.between.bytes_per_s = 1e11;
    EXPECT_NEAR(plan_predict(&p, PLAN_ALGORITHM_RING, 2).exposed_s, 0.03, 1e-12);
    // A link so slow that the second waits for the first: through at 1.15 and 4.15 s.
    p.between.bytes_per_s = 1e9;
    EXPECT_NEAR(plan_predict(&p, PLAN_ALGORITHM_RING, 2).exposed_s, 4.15 - 0.3, 1e-12);
    // Latency: 2 (p - 1) a a bucket in the ring, and the losses up and down the tree.
    p.between = (struct plan_link){0.01, 1e15};
    EXPECT_NEAR(plan_predict(&p, PLAN_ALGORITHM_RING, 4).exposed_s, 0.06 + 0.04, 1e-4);
    EXPECT_NEAR(plan_predict(&p, PLAN_ALGORITHM_RING, 1).efficiency, 1, 1e-12);
}

TEST(a_fixed_batch_is_shared_out)
{
    struct plan p = {.forward_s = 0.4,
                     .backward_s = 0.8,
                     .other_s = 0.1,
                     .n_buckets = 1,
                     .bucket_bytes = {1e9},
                     .ranks_per_host = 1,
                     .between = {0, 1e10},
                     .strong = true};
    // Four ranks: 0.1 + 0.2 + 0.1 s, and 2 * 3/4 * 0.1 s after the only bucket is ready.
    struct plan_outcome o = plan_predict(&p, PLAN_ALGORITHM_RING, 4);
    EXPECT_NEAR(o.step_s, 0.55, 1e-12);
    EXPECT_NEAR(o.efficiency, 1.3 / (4 * 0.55), 1e-12);
}

TEST(more_ranks_never_pay_better_and_few_bytes_want_a_tree)
{
    struct plan p = example(8);
    p.forward_s = 0.05, p.backward_s = 0.1;
    EXPECT_OK(plan_set_buckets(&p, 157, 25));
    for (enum plan_algorithm a = 0; a < PLAN_N_ALGORITHMS; a++) {
        double before = 2;
        for (int ranks = 1; ranks <= 4096; ranks *= 2) {
            double e = plan_predict(&p, a, ranks).efficiency;
            EXPECT(e > 0 && e <= 1 && e <= before + 1e-12);
            before = e;
        }
    }
    double ring = plan_all_reduce_s(&p, PLAN_ALGORITHM_RING, 4096, 1000);
    EXPECT(plan_all_reduce_s(&p, PLAN_ALGORITHM_TREE, 4096, 1000) < ring / 100);
}

TEST(buckets_are_those_of_a_run)
{
    struct plan p = {.n_buckets = 0};
    EXPECT_OK(plan_set_buckets(&p, 9, 2));
    // A quarter of 8 MiB left is 2, of 6 1.5, of 4.5 1.125; of 3.375 less than the least, 1 MiB.
    static const double mib[] = {1, 2, 1.5, 1.125, 1, 1, 1, 0.375};
    EXPECT_EQ(p.n_buckets, COUNT(mib));
    for (int i = 0; i < p.n_buckets; i++) EXPECT_NEAR(p.bucket_bytes[i], mib[i] * 1048576, 1e-3);
    EXPECT_OK(plan_set_buckets(&p, 157, 25)); // a quarter of 156 is more than 25
    for (int i = 1; i < 4; i++) EXPECT_NEAR(p.bucket_bytes[i], 25 * 1048576.0, 1e-3);
    EXPECT_NEAR(p.bucket_bytes[4], 81 * 1048576.0 / 4, 1e-3);
    EXPECT_STATUS(plan_set_buckets(&p, 5000, 1), E_ARG);
}

static const char *write_text(const char *name, const char *text)
{
    static char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", test_folder(), name);
    FILE *file = NULL;
    EXPECT_OK(file_open(path, "w", &file));
    (void)fputs(text, file);
    EXPECT_OK(file_close(file, path));
    return path;
}

TEST(a_runs_step_is_its_median_without_communication)
{
    double step_s = 0;
    EXPECT_OK(plan_read_step(
        write_text("m.jsonl", "{\"step\": 1, \"loss\": 3, \"step_s\": 9, \"comm_exposed_s\": 1}\n"
                              "{\"step\": 1, \"AP\": 0.5}\n"
                              "{\"step\": 2, \"loss\": 3, \"step_s\": 3, \"comm_exposed_s\": 1}\n"
                              "{\"step\": 3, \"loss\": 3, \"step_s\": 4, \"comm_exposed_s\": 1}\n"),
        &step_s));
    EXPECT_NEAR(step_s, 3, 1e-12);
    EXPECT_STATUS(plan_read_step(write_text("m.jsonl", "{\"step\": 1, \"AP\": 0.5}\n"), &step_s),
                  E_FORMAT);
    EXPECT_HAS(error_text(), "no step in it");
    EXPECT_STATUS(plan_read_step(write_text("m.jsonl", "{\"loss\": 1}\n"), &step_s), E_FORMAT);
    EXPECT_HAS(error_text(), "line 1");
}

TEST(measured_throughput_becomes_efficiency)
{
    struct plan_measured m;
    const char *path = write_text("s.csv", "mode,ranks,repeat,images_per_s,note\n"
                                           "weak,4,1,30,\nweak,1,1,10,\nweak,1,2,12,x\n"
                                           "strong,1,1,99,\nweak,1,3,9,\nweak,4,2,34,\n");
    EXPECT_OK(plan_read_scaling(path, false, &m));
    EXPECT_EQ(m.n, 2);
    EXPECT_EQ(m.at[0].ranks, 1);
    EXPECT_NEAR(m.at[0].images_per_s, 10, 1e-12);
    EXPECT_NEAR(m.at[1].images_per_s, 32, 1e-12);
    EXPECT_NEAR(m.at[1].efficiency, 0.8, 1e-12);
    EXPECT_OK(plan_read_scaling(path, true, &m));
    EXPECT_EQ(m.n, 1);
    EXPECT_STATUS(plan_read_scaling(write_text("s.csv", "a,b\n1,2\n"), false, &m), E_FORMAT);
    EXPECT_HAS(error_text(), "names no columns");
    path = write_text("s.csv", "ranks,images_per_s\n1,10\n2,fast\n");
    EXPECT_STATUS(plan_read_scaling(path, false, &m), E_FORMAT);
    EXPECT_HAS(error_text(), "line 3: ranks 2 and images_per_s fast");
    path = write_text("s.csv", "ranks,images_per_s\n1\n");
    EXPECT_STATUS(plan_read_scaling(path, false, &m), E_FORMAT);
    EXPECT_HAS(error_text(), "line 2: 1 fields");
}

TEST_MAIN()
