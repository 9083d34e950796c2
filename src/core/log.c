// One line a message, whole even when threads speak at once.
#include "core/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOST_BYTES = 64 };
static int own_rank, n_ranks = 1;
static char own_host[HOST_BYTES]; // "" or " (host)"
static void (*before_line)(void), (*after_line)(void);
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static enum log_level level_from_environment(void)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    const char *wanted = getenv("SHOAL_LOG");
    for (size_t i = 0; wanted != NULL && i < COUNT(names); i++)
        if (strcmp(wanted, names[i]) == 0) return (enum log_level)i;
    return LOG_LEVEL_INFO;
}

void log_set_rank(int rank, int size)
{
    own_rank = rank;
    n_ranks = size;
}

void log_set_host(const char *host)
{
    (void)snprintf(own_host, sizeof own_host, " (%.*s)", HOST_BYTES - 4, host);
}

void log_set_hooks(void (*before)(void), void (*after)(void))
{
    (void)pthread_mutex_lock(&lock); // no line sees one hook of each pair
    before_line = before;
    after_line = after;
    (void)pthread_mutex_unlock(&lock);
}

bool log_enabled(enum log_level level)
{
    if (own_rank != 0 && level > LOG_LEVEL_WARN && level != LOG_LEVEL_DEBUG) return false;
    return level <= level_from_environment();
}

static void say(enum log_level level, const char *format, va_list args)
{
    static const char *const marks[] = {"error: ", "warning: ", "", ""};
    if (!log_enabled(level)) return;
    char text[ERROR_TEXT_BYTES + 256];
    (void)vsnprintf(text, sizeof text, format, args);
    char who[32 + HOST_BYTES] = "";
    if (n_ranks > 1 && level != LOG_LEVEL_INFO)
        (void)snprintf(who, sizeof who, "rank %d%s: ", own_rank, own_host);
    (void)pthread_mutex_lock(&lock);
    if (before_line != NULL) before_line();
    (void)fprintf(stderr, "shoal: %s%s%s\n", who, marks[level], text);
    if (after_line != NULL) after_line();
    (void)pthread_mutex_unlock(&lock);
}

#define DEFINE_LOG(name, level)                                                                    \
    void name(const char *format, ...)                                                             \
    {                                                                                              \
        va_list args;                                                                              \
        va_start(args, format);                                                                    \
        say(level, format, args);                                                                  \
        va_end(args);                                                                              \
    }

DEFINE_LOG(log_error, LOG_LEVEL_ERROR)
DEFINE_LOG(log_warn, LOG_LEVEL_WARN)
DEFINE_LOG(log_info, LOG_LEVEL_INFO)
DEFINE_LOG(log_debug, LOG_LEVEL_DEBUG)
