// The thread that asks NCCL how it is.
#ifdef SHOAL_CUDA

#include "comm/nccl_internal.h"
#include "core/mem.h"
#include "core/thread.h"

enum { REASON_BYTES = 512 };
static const double look_s = 0.2, patience_s = 2;

struct nccl_watch {
    struct comm *comm;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    // Under the lock:
    struct nccl **ends; // n of at most n_max
    int n, n_max;
    bool stop, leaving, aborted;
};

// Under the lock, which is open meanwhile: an abort may hang. Nobody leaves then
// (nccl_watch_remove).
static void abort_all(struct nccl_watch *w)
{
    w->leaving = true;
    (void)pthread_mutex_unlock(&w->lock);
    for (int i = 0; i < w->n; i++) nccl_abort(w->ends[i]);
    (void)pthread_mutex_lock(&w->lock);
    w->aborted = true;
    (void)pthread_cond_broadcast(&w->changed);
}

static bool find_broken(const struct nccl_watch *w, char *reason, size_t bytes)
{
    for (int i = 0; i < w->n; i++)
        if (nccl_broken(w->ends[i], reason, bytes)) return true;
    return false;
}

static void *look(void *argument)
{
    struct nccl_watch *w = argument;
    char reason[REASON_BYTES];
    (void)pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        (void)thread_wait_s(&w->changed, &w->lock, look_s);
        if (w->leaving && !w->aborted) abort_all(w);
        if (w->stop || w->leaving || !find_broken(w, reason, sizeof reason)) continue;
        (void)pthread_mutex_unlock(&w->lock);
        comm_lost(w->comm, reason); // calls farewell
    }
    (void)pthread_mutex_unlock(&w->lock);
    return NULL;
}

// The process is about to end: what NCCL has on the devices is taken off, in a moment or not at
// all.
static void farewell(void *context)
{
    struct nccl_watch *w = context;
    (void)pthread_mutex_lock(&w->lock);
    w->leaving = true;
    (void)pthread_cond_broadcast(&w->changed);
    if (pthread_equal(pthread_self(), w->thread)) abort_all(w);
    while (!w->aborted && thread_wait_s(&w->changed, &w->lock, patience_s)) continue;
    (void)pthread_mutex_unlock(&w->lock);
}

static status start(struct nccl_watch *w)
{
    TRY(thread_start(&w->thread, look, w, "the thread that watches NCCL"));
    w->has_thread = true;
    comm_set_farewell(w->comm, farewell, w);
    return OK;
}

status nccl_watch_create(struct comm *c, int n_max, struct nccl_watch **out)
{
    struct nccl_watch *w = NULL;
    status st = OK;
    TRY(mem_zalloc(&w, 1));
    w->comm = c;
    w->n_max = n_max;
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->changed, NULL);
    TRY_GOTO(st, mem_zalloc(&w->ends, (size_t)n_max), fail);
    TRY_GOTO(st, start(w), fail);
    *out = w;
    return OK;
fail:
    nccl_watch_destroy(w);
    return st;
}

void nccl_watch_destroy(struct nccl_watch *w)
{
    if (w == NULL) return;
    if (w->has_thread) {
        comm_set_farewell(w->comm, NULL, NULL);
        (void)pthread_mutex_lock(&w->lock);
        w->stop = true;
        (void)pthread_cond_broadcast(&w->changed);
        (void)pthread_mutex_unlock(&w->lock);
        (void)pthread_join(w->thread, NULL);
    }
    (void)pthread_cond_destroy(&w->changed);
    (void)pthread_mutex_destroy(&w->lock);
    mem_free(w->ends);
    mem_free(w);
}

void nccl_watch_add(struct nccl_watch *w, struct nccl *n)
{
    (void)pthread_mutex_lock(&w->lock);
    ASSERT(w->n < w->n_max);
    w->ends[w->n++] = n;
    (void)pthread_mutex_unlock(&w->lock);
}

void nccl_watch_remove(struct nccl_watch *w, const struct nccl *n)
{
    (void)pthread_mutex_lock(&w->lock);
    while (w->leaving) (void)pthread_cond_wait(&w->changed, &w->lock); // until the process ends
    int i = 0;
    while (i < w->n && w->ends[i] != n) i++;
    if (i < w->n) w->ends[i] = w->ends[--w->n];
    (void)pthread_mutex_unlock(&w->lock);
}

#endif
