// The threads of a rank's devices, one for each: they do the same task side by side and meet at its
// end. Lane 0 is the caller's own thread, so a crew of one is a plain call. What belongs to a
// device is touched in its lane alone: a GPU is current for a thread, and a lane's thread stays the
// same.
#ifndef SHOAL_TRAIN_CREW_H
#define SHOAL_TRAIN_CREW_H

#include "core/status.h"

struct crew;

typedef status crew_task(void *context, int lane);

// n >= 1 lanes. E_NOMEM where a thread cannot be started.
MUST_USE status crew_create(int n, struct crew **out);
void crew_destroy(struct crew *c); // c may be NULL
int crew_n(const struct crew *c);
// Runs task(context, lane) for every lane and waits for all of them. Where any fail, the failure of
// the lowest lane is the caller's, with its message. Called from one thread.
MUST_USE status crew_each(struct crew *c, crew_task *task, void *context);
// Whether a lane has failed in the task under way: the others may as well leave, with OK.
bool crew_failed(const struct crew *c);

#endif
