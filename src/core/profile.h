// Where the time goes: spans taken while SHOAL_PROFILE=1, a track for each thread. Off, a span
// costs a look at one flag. train/profile_report.h writes the table and the trace.
//
//   double begin = profile_begin();
//   TRY(optimizer_step(...));
//   profile_end(begin, PROFILE_KIND_PHASE, "optimizer", NULL);
//
// A span whose work fails is simply never ended.
#ifndef SHOAL_CORE_PROFILE_H
#define SHOAL_CORE_PROFILE_H

#include <stdint.h>

#include "core/status.h"

enum profile_kind {
    PROFILE_KIND_PHASE,    // parts of a step, on a device's thread; they do not overlap there
    PROFILE_KIND_FORWARD,  // an op of the tape, or a kernel that is none
    PROFILE_KIND_BACKWARD, // an op's backward
    PROFILE_KIND_PART,     // within one of the above
    PROFILE_KIND_WORK,     // what other threads do
    PROFILE_N_KINDS,
};
const char *profile_kind_name(enum profile_kind k);

// Turns it on where SHOAL_PROFILE is 1. Before any other thread runs.
void profile_init(void);
void profile_set(bool on); // for tests
bool profile_enabled(void);
// Names the calling thread's track; name is a literal.
void profile_name_thread(const char *name);

// Seconds since an arbitrary moment, 0 where profiling is off.
double profile_begin(void);
// name is a literal; detail (a layer's name, or NULL) is borrowed until profile_take.
void profile_end(double begin_s, enum profile_kind kind, const char *name, const char *detail);

struct profile_span {
    double begin_s, seconds;
    const char *name, *detail; // detail may be NULL
    enum profile_kind kind;
};

// All spans of one kind and name on a track.
struct profile_total {
    enum profile_kind kind;
    const char *name;
    int64_t n;
    double seconds;
};

enum { PROFILE_MAX_TOTALS = 64 };

struct profile_track {
    const char *name;
    struct profile_span *spans; // in order of their ends; no more than a limit
    size_t n_spans;
    int64_t n_lost; // spans beyond the limit, or for which there was no memory: in the totals only
    struct profile_total totals[PROFILE_MAX_TOTALS];
    int n_totals;
};

// What was taken so far by all threads, in the order in which they began; nothing stays behind.
// Other threads may go on taking spans. The caller's: profile_tracks_fini.
struct profile_tracks {
    struct profile_track *items;
    size_t n;
};
MUST_USE status profile_take(struct profile_tracks *out);
void profile_tracks_fini(struct profile_tracks *t);
// Sum over tracks; n may be NULL.
double profile_tracks_seconds(const struct profile_tracks *t, enum profile_kind kind,
                              const char *name, int64_t *n);

#endif
