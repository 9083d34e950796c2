// Atomics, each by itself: a reader may see a phase with the beats of the one before.
#include "core/pulse.h"

#include <stdatomic.h>

static _Atomic int64_t beats, step, n_steps;
static _Atomic int waits;
static _Atomic double own_s, data_wait_s;
static const char *_Atomic phase = "starting";

void pulse_beat(void)
{
    atomic_fetch_add(&beats, 1);
}

void pulse_enter(const char *name)
{
    atomic_store(&phase, name);
    pulse_beat();
}

void pulse_set_step(int64_t number)
{
    atomic_store(&step, number);
    pulse_beat();
}

void pulse_wait_begin(void)
{
    atomic_fetch_add(&waits, 1);
    pulse_beat();
}

void pulse_wait_end(void)
{
    atomic_fetch_sub(&waits, 1);
    pulse_beat();
}

void pulse_add_step(double own, double data_wait)
{
    atomic_store(&own_s, atomic_load(&own_s) + own); // one thread adds
    atomic_store(&data_wait_s, atomic_load(&data_wait_s) + data_wait);
    atomic_fetch_add(&n_steps, 1);
}

struct pulse pulse_now(void)
{
    return (struct pulse){.beats = atomic_load(&beats),
                          .step = atomic_load(&step),
                          .phase = atomic_load(&phase),
                          .waiting = atomic_load(&waits) > 0,
                          .n_steps = atomic_load(&n_steps),
                          .own_s = atomic_load(&own_s),
                          .data_wait_s = atomic_load(&data_wait_s)};
}
