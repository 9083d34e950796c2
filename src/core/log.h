// Messages to stderr, one line each, "shoal: text"; ranks other than zero speak on warnings and
// errors. Level by SHOAL_LOG = error | warn | info (default) | debug.
#ifndef SHOAL_CORE_LOG_H
#define SHOAL_CORE_LOG_H

#include "core/status.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_rank(int rank, int size);
// Warnings and errors carry "rank R (HOST): " from here on: for ranks on several hosts.
void log_set_host(const char *host);
bool log_enabled(enum log_level level);
// Warnings and errors of any rank carry "rank R: " where there is more than one.
void log_error(const char *format, ...) PRINTF_LIKE(1, 2);
void log_warn(const char *format, ...) PRINTF_LIKE(1, 2);
void log_info(const char *format, ...) PRINTF_LIKE(1, 2);
void log_debug(const char *format, ...) PRINTF_LIKE(1, 2);
// Runs before and after every line, so that a live progress line is wiped and drawn again.
void log_set_hooks(void (*before)(void), void (*after)(void));

#endif
