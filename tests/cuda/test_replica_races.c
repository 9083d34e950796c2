// Whole training steps on two fake devices for ThreadSanitizer: eager, captured, run by a capture,
// with sums on streams of their own, pictures on others, losses read late. A launch is one thread
// to it (SHIM_ONE_THREAD): races within a kernel are test_races' matter.
#include <math.h>
#include <stdlib.h>

#include "cuda/fake_cudart.h"
#include "cuda/replica_run.h"
#include "support/test.h"

enum { STEPS = 2 };

static const char *const pair[] = {"train.devices_per_rank=2", "train.batch=4",
                                   "model.fpn_channels=32", "model.roi.hidden=256",
                                   "comm.wire=bf16"};

TEST(steps_of_two_devices_have_no_race)
{
    static struct replica_losses losses[STEPS];
    struct fake_cudart_counts begin, end;
    struct replica_run r;
    setenv("SHOAL_CUDA_GRAPHS", "1", 1);
    fake_cudart_count(&begin);
    EXPECT_OK(replica_run_open(&r, true, true, pair, COUNT(pair)));
    for (int i = 0; i < STEPS; i++) EXPECT_OK(replica_run_step(&r, i, losses));
    EXPECT_OK(replica_read_losses(r.replica, true, &losses[STEPS - 1]));
    for (int i = 0; i < STEPS; i++) EXPECT(losses[i].sum[0] > 0 && isfinite(losses[i].sum[0]));
    fake_cudart_count(&end);
    EXPECT(end.graph_launches >= begin.graph_launches + STEPS);
    replica_run_close(&r);
}

TEST_MAIN()
