// Plans that were made before, a line each in a file: hours of compiling can be stopped and
// continued, and a network that has changed needs only its new graphs.
#ifndef SHOAL_TESTS_CUDA_PLAN_LOG_H
#define SHOAL_TESTS_CUDA_PLAN_LOG_H

#include <stdbool.h>

#include "core/status.h"

enum { PLAN_LOG_LINE_BYTES = 256 };

// Its lines are "conv 2x200x336x64 -> 64 3x3/1 bf16 +b relu   engine  51 of 31, workspace ...".
struct plan_log {
    const char *path;
    char *text; // what the file held when it was opened, NULL without a log
};

// Reads path, or begins it with a line that names the cuDNN ("9.19.0") that made what follows;
// NULL: no log. path is borrowed. Errors: E_IO; E_FORMAT where it is of another cuDNN.
MUST_USE status plan_log_open(const char *path, const char *cudnn, struct plan_log *out);
void plan_log_close(struct plan_log *l);
// Whether there was a whole line of this graph; copied without its end.
bool plan_log_find(const struct plan_log *l, const char *graph, char line[PLAN_LOG_LINE_BYTES]);
MUST_USE status plan_log_add(const struct plan_log *l, const char *line);

#endif
