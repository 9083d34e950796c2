// Ranks hear of each other beside the collectives: every rank sends rank zero its pulse about once
// a second, and rank zero answers with the state of the whole. So that a watchdog can tell a rank
// that waits for one that works from a rank that waits for one that is lost, and name it.
#ifndef SHOAL_COMM_HEARTBEAT_H
#define SHOAL_COMM_HEARTBEAT_H

#include "comm/comm_internal.h"

struct heartbeat;

// interval_s between beats; look_s between looks for a slow rank. c is borrowed. Collective in that
// every rank has to do it; nobody waits.
MUST_USE status heartbeat_create(struct comm *c, double interval_s, double look_s,
                                 struct heartbeat **out);
// Says good-bye to the other ranks and waits for theirs. Collective. h may be NULL, here and below.
void heartbeat_stop(struct heartbeat *h);
void heartbeat_destroy(struct heartbeat *h); // after heartbeat_stop

// See comm_raise.
void heartbeat_raise(struct heartbeat *h);
bool heartbeat_raised(const struct heartbeat *h);

// What one rank knows of another.
struct heartbeat_peer {
    int rank; // -1: nothing is known
    int64_t step;
    char phase[COMM_PHASE_BYTES];
    bool waiting;
    double quiet_s; // since it was heard of
    double still_s; // since it was heard to get on
};

struct heartbeat_view {
    int64_t others_beats;        // changes as long as any other rank gets on
    struct heartbeat_peer quiet; // of those that this rank listens to, the one not heard of for
                                 // longest
    struct heartbeat_peer still; // the rank that others may be waiting for: one that is not heard
                                 // of, or does not get on although it waits for nobody
};

// now_s: the watchdog's clock, which also stamps what has arrived; it is the only caller.
void heartbeat_look(struct heartbeat *h, double now_s, struct heartbeat_view *out);

#endif
