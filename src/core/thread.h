// What the program's threads share.
#ifndef SHOAL_CORE_THREAD_H
#define SHOAL_CORE_THREAD_H

#include <pthread.h>

#include "core/status.h"

// Starts a thread that takes no signals: these are the main thread's. what names it in the message
// of E_NOMEM.
MUST_USE status thread_start(pthread_t *out, void *(*run)(void *), void *context, const char *what);
// pthread_cond_wait, but no longer than seconds; false where they are over.
bool thread_wait_s(pthread_cond_t *changed, pthread_mutex_t *lock, double seconds);

#endif
