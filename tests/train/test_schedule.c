// Learning rates: torch's own values, and what a config comes to.
#include "train/schedule.h"

#include "support/test.h"

enum { STEPS_PER_EPOCH = 4 };

static void small_config(struct config *c)
{
    config_defaults(c);
    c->train.batch = 16;
    c->train.epochs = 4;
    c->optimizer.lr = 0.02;
    c->optimizer.lr_for_batch = 16;
    c->schedule.warmup_steps = 0;
}

static void expect_lr(const struct schedule *s, const double *want, int n)
{
    for (int i = 0; i < n; i++) EXPECT_NEAR(schedule_lr(s, i), want[i], 1e-14);
}

// torch 2: ChainedScheduler([LinearLR(o, 0.001, 1, 3), MultiStepLR(o, [8, 12], 0.1)]), lr 0.02
TEST(warm_up_and_milestones_are_torchs)
{
    static const double want[] = {2e-05, 0.00668, 0.01334, 0.02,  0.02,   0.02,   0.02,   0.02,
                                  0.002, 0.002,   0.002,   0.002, 0.0002, 0.0002, 0.0002, 0.0002};
    struct config c;
    struct schedule s;
    small_config(&c);
    c.schedule.warmup_steps = 3;
    c.schedule.milestones = (struct config_list){.n = 2, .value = {2, 3}};
    schedule_init(&s, &c, STEPS_PER_EPOCH);
    expect_lr(&s, want, COUNT(want));
    EXPECT_EQ(s.total_steps, 16);
}

// torch 2: CosineAnnealingLR(o, 10, eta_min=0.002), lr 0.02
TEST(cosine_is_torchs)
{
    static const double want[] = {
        0.02,  0.0195595086466564,  0.0182811529493745,  0.0162900672706323,  0.0137811529493745,
        0.011, 0.00821884705062547, 0.00570993272936774, 0.00371884705062547, 0.00244049135334362,
        0.002};
    struct config c;
    struct schedule s;
    small_config(&c);
    c.schedule.name = CONFIG_SCHEDULE_COSINE;
    c.schedule.min_factor = 0.1;
    c.train.max_steps = 10;
    schedule_init(&s, &c, STEPS_PER_EPOCH);
    for (size_t i = 0; i < COUNT(want); i++)
        EXPECT_NEAR(schedule_lr(&s, (int64_t)i), want[i], 1e-15 + want[i] * 1e-14);
    EXPECT_NEAR(schedule_lr(&s, 25), 0.002, 1e-15); // beyond the end it stays
    c.train.max_steps = 0;
    schedule_init(&s, &c, STEPS_PER_EPOCH);
    EXPECT_EQ(s.total_steps, 16);
    EXPECT_NEAR(schedule_lr(&s, 8), 0.011, 1e-15); // half way
}

TEST(warm_up_ends_with_the_first_epoch_at_the_latest)
{
    struct config c;
    struct schedule s;
    small_config(&c);
    c.schedule.warmup_steps = 1000;
    schedule_init(&s, &c, STEPS_PER_EPOCH);
    EXPECT_EQ(s.warmup_steps, STEPS_PER_EPOCH);
    EXPECT_NEAR(schedule_lr(&s, 0), 0.02 * 0.001, 1e-15);
    EXPECT_NEAR(schedule_lr(&s, 2), 0.02 * 0.5005, 1e-15);
    EXPECT_NEAR(schedule_lr(&s, 4), 0.02, 1e-15);
}

TEST(the_rate_follows_the_batch_unless_told_otherwise)
{
    struct config c;
    struct schedule s;
    small_config(&c);
    c.schedule.name = CONFIG_SCHEDULE_CONSTANT;
    c.train.batch = 4;
    schedule_init(&s, &c, STEPS_PER_EPOCH);
    EXPECT_NEAR(schedule_lr(&s, 7), 0.005, 1e-15);
    c.optimizer.lr_for_batch = 0;
    schedule_init(&s, &c, STEPS_PER_EPOCH);
    EXPECT_NEAR(schedule_lr(&s, 7), 0.02, 1e-15);
}

TEST(epochs_count_from_zero)
{
    struct config c;
    struct schedule s;
    small_config(&c);
    schedule_init(&s, &c, STEPS_PER_EPOCH);
    EXPECT_EQ(schedule_epoch(&s, 0), 0);
    EXPECT_EQ(schedule_epoch(&s, 3), 0);
    EXPECT_EQ(schedule_epoch(&s, 4), 1);
}

TEST_MAIN()
