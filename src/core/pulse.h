// That this process goes on, and with what: written by the work, read by a watchdog in its own
// thread. A process has one pulse; every room may beat. All calls may come from any thread.
//
//   pulse_enter("loading data");       // a phase, which is a beat too
//   for (...) { ...; pulse_beat(); }   // whatever is done is a beat; being busy is none
#ifndef SHOAL_CORE_PULSE_H
#define SHOAL_CORE_PULSE_H

#include <stdbool.h>
#include <stdint.h>

struct pulse {
    int64_t beats;     // grows with everything that is done
    int64_t step;      // of training under way, from 1; 0 outside of one
    const char *phase; // a literal
    bool waiting;      // for other ranks: their progress is as good as its own
    // Totals of the steps done: seconds of its own, without waiting for other ranks, and those of
    // them that were spent waiting for data.
    int64_t n_steps;
    double own_s, data_wait_s;
};

void pulse_beat(void);
void pulse_enter(const char *phase);
void pulse_set_step(int64_t step);
// Between the two, the main thread waits for other ranks. May nest.
void pulse_wait_begin(void);
void pulse_wait_end(void);
void pulse_add_step(double own_s, double data_wait_s);
struct pulse pulse_now(void);

#endif
