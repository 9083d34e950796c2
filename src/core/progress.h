// How far a long job is: one live line on a terminal, plain lines now and then elsewhere, never
// both.
//
// Both go to stderr beside the log; log lines wipe the live line and draw it again. Ranks other
// than zero and SHOAL_LOG=warn say nothing. SHOAL_PROGRESS=live or plain overrules the look at
// stderr: under mpirun, stderr is a pipe even where somebody watches.
//
//   struct progress p;
//   progress_begin(&p, &(struct progress_params){.what = "pack", .unit = "images", .total = n});
//   progress_add(&p, 1);                               // any thread: "pack: 12 of 99
//   images, 3.1/s" progress_update(&p, step, "epoch %d/%d, loss %.4f", ...);         // "...,
//   1:02:03 left" progress_end(&p);
#ifndef SHOAL_CORE_PROGRESS_H
#define SHOAL_CORE_PROGRESS_H

#include <stdint.h>

#include "core/status.h"

enum { PROGRESS_TEXT_BYTES = 192 };

struct progress_params {
    const char *what; // "train", "pack", "evaluate"
    const char *unit; // "steps", "images"
    int64_t total;    // 0: not known
    int64_t done;     // already done when it begins (a resumed run)
    double every_s;   // between plain lines; 0: 10
};

// One job under way, in the caller's storage from begin to end. Jobs may nest (an evaluation during
// training): the innermost is shown.
struct progress {
    struct progress_params params; // strings borrowed
    int64_t done;
    double begun_s, shown_s; // clock_now_s
    char text[PROGRESS_TEXT_BYTES];
    struct progress *outer;
};

void progress_begin(struct progress *p, const struct progress_params *params);
// Sets what is done, and the words shown between count and time left. Any thread; cheap when called
// often: drawn at most ten times a second.
void progress_update(struct progress *p, int64_t done, const char *format, ...) PRINTF_LIKE(3, 4);
void progress_add(struct progress *p, int64_t n);
// Wipes the live line. The innermost job ends first.
void progress_end(struct progress *p);

#endif
