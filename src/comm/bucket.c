// Buckets and the thread that sums them.
#include "comm/bucket.h"

#include <pthread.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/pulse.h"
#include "core/profile.h"

struct bucket {
    int64_t offset, count;
    int n_slices, pending;
};

struct buckets {
    struct comm *comm;
    float *grads;
    int n_slices, n;
    struct bucket *all;
    int *of_slice;
    bool *slice_ready;
    int next; // first bucket not launched

    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    // Under the lock:
    int launched, summed;
    bool stop;
    struct error failure; // code OK while all is well
};

static const double first_bucket_mib = 1.0;

// Sums launched buckets one after another until told to stop.
static void *sum_buckets(void *argument)
{
    struct buckets *b = argument;
    profile_name_thread("gradients");
    (void)pthread_mutex_lock(&b->lock);
    for (;;) {
        while (!b->stop && b->summed == b->launched) (void)pthread_cond_wait(&b->changed, &b->lock);
        if (b->stop) break;
        const struct bucket *k = &b->all[b->summed];
        bool broken = b->failure.code != OK;
        (void)pthread_mutex_unlock(&b->lock);
        struct error e = {.code = OK};
        if (!broken) {
            double begin = profile_begin();
            status st = comm_sum_f32(b->comm, COMM_CHANNEL_GRADIENTS, b->grads + k->offset,
                                     (size_t)k->count);
            profile_end(begin, PROFILE_KIND_WORK, "all-reduce", NULL);
            if (st != OK) error_save(st, &e);
        }
        (void)pthread_mutex_lock(&b->lock);
        if (e.code != OK) b->failure = e;
        b->summed++;
        (void)pthread_cond_broadcast(&b->changed);
    }
    (void)pthread_mutex_unlock(&b->lock);
    return NULL;
}

static void assign(struct buckets *b, double bucket_mib, const struct bucket_slice *slices)
{
    b->n = 0;
    for (int i = 0; i < b->n_slices; i++) {
        double limit = (b->n <= 1 ? first_bucket_mib : bucket_mib) * 1024 * 1024;
        struct bucket *open = b->n > 0 ? &b->all[b->n - 1] : NULL;
        if (open == NULL || (double)open->count * sizeof(float) >= limit)
            b->all[b->n++] = (struct bucket){.offset = slices[i].offset};
        open = &b->all[b->n - 1];
        open->count += slices[i].count;
        open->n_slices++;
        b->of_slice[i] = b->n - 1;
    }
}

static status start_thread(struct buckets *b)
{
    if (comm_size(b->comm) == 1) return OK;
    REQUIRE(pthread_create(&b->thread, NULL, sum_buckets, b) == 0, E_NOMEM,
            "cannot start the communication thread");
    b->has_thread = true;
    return OK;
}

status buckets_create(struct comm *c, double bucket_mib, const struct bucket_slice *slices,
                      int n_slices, float *grads, struct buckets **out)
{
    struct buckets *b = NULL;
    TRY(mem_zalloc(&b, 1));
    b->comm = c;
    b->grads = grads;
    b->n_slices = n_slices;
    (void)pthread_mutex_init(&b->lock, NULL);
    (void)pthread_cond_init(&b->changed, NULL);
    status st = OK;
    TRY_GOTO(st, mem_zalloc(&b->all, (size_t)n_slices), fail);
    TRY_GOTO(st, mem_zalloc(&b->of_slice, (size_t)n_slices), fail);
    TRY_GOTO(st, mem_zalloc(&b->slice_ready, (size_t)n_slices), fail);
    assign(b, bucket_mib, slices);
    TRY_GOTO(st, start_thread(b), fail);
    buckets_begin(b);
    *out = b;
    return OK;
fail:
    buckets_destroy(b);
    return st;
}

void buckets_destroy(struct buckets *b)
{
    if (b == NULL) return;
    if (b->has_thread) {
        (void)pthread_mutex_lock(&b->lock);
        b->stop = true;
        (void)pthread_cond_broadcast(&b->changed);
        (void)pthread_mutex_unlock(&b->lock);
        (void)pthread_join(b->thread, NULL);
    }
    (void)pthread_cond_destroy(&b->changed);
    (void)pthread_mutex_destroy(&b->lock);
    mem_free(b->slice_ready);
    mem_free(b->of_slice);
    mem_free(b->all);
    mem_free(b);
}

int buckets_n(const struct buckets *b)
{
    return b->n;
}

void buckets_begin(struct buckets *b)
{
    for (int i = 0; i < b->n; i++) b->all[i].pending = b->all[i].n_slices;
    for (int i = 0; i < b->n_slices; i++) b->slice_ready[i] = false;
    b->next = 0;
    (void)pthread_mutex_lock(&b->lock);
    b->launched = b->summed = 0;
    (void)pthread_mutex_unlock(&b->lock);
}

static void launch_complete(struct buckets *b)
{
    int before = b->next;
    while (b->next < b->n && b->all[b->next].pending == 0) b->next++;
    if (b->next == before || !b->has_thread) return;
    (void)pthread_mutex_lock(&b->lock);
    b->launched = b->next;
    (void)pthread_cond_broadcast(&b->changed);
    (void)pthread_mutex_unlock(&b->lock);
}

status buckets_ready(struct buckets *b, int slice)
{
    ASSERT(slice >= 0 && slice < b->n_slices && !b->slice_ready[slice]);
    b->slice_ready[slice] = true;
    b->all[b->of_slice[slice]].pending--;
    launch_complete(b);
    return OK;
}

status buckets_finish(struct buckets *b, double *exposed_s)
{
    for (int i = 0; i < b->n_slices; i++)
        if (!b->slice_ready[i]) TRY(buckets_ready(b, i));
    *exposed_s = 0;
    if (!b->has_thread) return OK;
    double begin = clock_now_s();
    pulse_wait_begin();
    (void)pthread_mutex_lock(&b->lock);
    while (b->summed < b->n) (void)pthread_cond_wait(&b->changed, &b->lock);
    status code = b->failure.code;
    (void)pthread_mutex_unlock(&b->lock);
    pulse_wait_end();
    *exposed_s = clock_now_s() - begin;
    return code == OK ? OK : error_restore(&b->failure);
}
