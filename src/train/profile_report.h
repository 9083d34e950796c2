// What SHOAL_PROFILE=1 leaves behind: tables of phases, ops and threads in the log, and a trace
// that Perfetto and chrome://tracing open.
#ifndef SHOAL_TRAIN_PROFILE_REPORT_H
#define SHOAL_TRAIN_PROFILE_REPORT_H

#include "core/profile.h"

// The tables as text, a line each; the caller's (mem_free). Shares are of the time of the phases.
MUST_USE status profile_report_text(const struct profile_tracks *t, char **text);
// Trace Event Format: complete events in microseconds, a thread per track.
MUST_USE status profile_report_write_trace(const struct profile_tracks *t, const char *path);
// Takes what was profiled, logs the tables and writes FOLDER/trace.json (folder NULL: no trace).
// Does nothing where profiling is off. A failure is a warning: the work itself is done.
void profile_report(const char *folder);

#endif
