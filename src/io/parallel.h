// A loop over independent items on several threads.
#ifndef SHOAL_IO_PARALLEL_H
#define SHOAL_IO_PARALLEL_H

#include <stddef.h>

typedef void (*parallel_work)(void *context, size_t i);

// Calls work(context, i) once for each i in [0, n), the next free i to the next free thread; back
// when all are done. jobs threads, the caller's among them; fewer where the system gives no more.
void parallel_for(int jobs, size_t n, parallel_work work, void *context);
// Processors that this process may use, at least 1.
int parallel_processors(void);

#endif
