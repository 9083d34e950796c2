// Nobody hangs: a thread that ends the process with 75 where it has not got on for comm.timeout_s,
// or where the ranks that it hears of have fallen silent. The line it writes names who reports,
// step and phase, and the rank and host that is missed.
#ifndef SHOAL_COMM_WATCHDOG_H
#define SHOAL_COMM_WATCHDOG_H

#include "comm/comm_internal.h"

struct watchdog;

// Watches this process's pulse (core/pulse.h) from now on.
MUST_USE status watchdog_create(double timeout_s, struct watchdog **out);
// From now on c's ranks are heard of too. Every rank has to do it.
MUST_USE status watchdog_join(struct watchdog *w, struct comm *c);
// Ranks part. Collective; w keeps watching this process.
void watchdog_leave(struct watchdog *w);
// The process is about to end with exit_code: if it has not within seconds, w ends it.
void watchdog_hurry(struct watchdog *w, double seconds, int exit_code);
// comm_lost and comm_set_farewell (comm.h).
_Noreturn void watchdog_lost(struct watchdog *w, const char *reason);
void watchdog_set_farewell(struct watchdog *w, void (*farewell)(void *context), void *context);
void watchdog_destroy(struct watchdog *w); // w may be NULL
// NULL before watchdog_join.
struct heartbeat *watchdog_heartbeat(struct watchdog *w);

#endif
