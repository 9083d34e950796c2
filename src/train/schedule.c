// Warm-up times multistep, cosine or constant.
#include "train/schedule.h"

#include <math.h>

static int64_t at_most(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void schedule_init(struct schedule *s, const struct config *c, int64_t steps_per_epoch)
{
    double scale = c->optimizer.lr_for_batch > 0
                       ? (double)c->train.batch / (double)c->optimizer.lr_for_batch
                       : 1.0;
    int64_t all_epochs = steps_per_epoch * c->train.epochs;
    *s = (struct schedule){
        .params = c->schedule,
        .base_lr = c->optimizer.lr * scale,
        .steps_per_epoch = steps_per_epoch,
        .warmup_steps = at_most(c->schedule.warmup_steps, steps_per_epoch),
        .total_steps = c->train.max_steps > 0 ? c->train.max_steps : all_epochs,
    };
}

int64_t schedule_epoch(const struct schedule *s, int64_t step)
{
    return step / s->steps_per_epoch;
}

static double warmup_factor(const struct schedule *s, int64_t step)
{
    if (step >= s->warmup_steps) return 1;
    double start = s->params.warmup_factor;
    return start + (1 - start) * (double)step / (double)s->warmup_steps;
}

static double multistep_factor(const struct schedule *s, int64_t step)
{
    double epoch = (double)schedule_epoch(s, step), factor = 1;
    for (int i = 0; i < s->params.milestones.n; i++)
        if (epoch >= s->params.milestones.value[i]) factor *= s->params.gamma;
    return factor;
}

static double cosine_factor(const struct schedule *s, int64_t step)
{
    double done = (double)at_most(step, s->total_steps) / (double)s->total_steps;
    double floor = s->params.min_factor;
    return floor + (1 - floor) * 0.5 * (1 + cos(3.14159265358979323846 * done));
}

double schedule_lr(const struct schedule *s, int64_t step)
{
    double lr = s->base_lr * warmup_factor(s, step);
    switch (s->params.name) {
    case CONFIG_SCHEDULE_CONSTANT:
        return lr;
    case CONFIG_SCHEDULE_MULTISTEP:
        return lr * multistep_factor(s, step);
    case CONFIG_SCHEDULE_COSINE:
        return lr * cosine_factor(s, step);
    }
    return lr;
}
