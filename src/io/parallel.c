// A loop over independent items on several threads.
#include "io/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "core/status.h"

enum { MAX_JOBS = 256 };

struct loop {
    parallel_work work;
    void *context;
    size_t n;
    atomic_size_t next;
};

static void *run(void *argument)
{
    struct loop *l = argument;
    for (size_t i = atomic_fetch_add(&l->next, 1); i < l->n; i = atomic_fetch_add(&l->next, 1))
        l->work(l->context, i);
    return NULL;
}

void parallel_for(int jobs, size_t n, parallel_work work, void *context)
{
    struct loop l = {work, context, n, 0};
    pthread_t threads[MAX_JOBS];
    int n_threads = 0;
    while (n_threads < jobs - 1 && n_threads < MAX_JOBS && (size_t)n_threads + 1 < n) {
        if (pthread_create(&threads[n_threads], NULL, run, &l) != 0) break;
        n_threads++;
    }
    (void)run(&l);
    for (int i = 0; i < n_threads; i++) (void)pthread_join(threads[i], NULL);
}

int parallel_processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? n : 1;
}
