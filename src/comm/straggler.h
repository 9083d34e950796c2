// Which rank holds the others up: every rank's seconds a step of its own, without its waits for
// other ranks, against the median rank's. Rank zero's alone.
#ifndef SHOAL_COMM_STRAGGLER_H
#define SHOAL_COMM_STRAGGLER_H

#include <stdint.h>

#include "core/status.h"

enum { STRAGGLER_TEXT_BYTES = 160 };

struct straggler;

// Looks every look_s from now_s on (clock_now_s).
MUST_USE status straggler_create(int n_ranks, double look_s, double now_s, struct straggler **out);
void straggler_destroy(struct straggler *s); // s may be NULL
bool straggler_due(struct straggler *s, double now_s);
// A rank's totals so far.
void straggler_note(struct straggler *s, int rank, int64_t n_steps, double own_s,
                    double data_wait_s);
// After every rank was noted: the slowest rank where it took more than 1.5 times the median rank's
// time (with an even number the lower of the two in the middle) in this look and the one before,
// and the words to say so; else -1. One that stays slow is named again only every 30 looks. A look
// at which some rank has done no step since the last goes on.
int straggler_find(struct straggler *s, char text[STRAGGLER_TEXT_BYTES]);

#endif
