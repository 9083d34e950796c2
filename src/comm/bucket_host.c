// The thread that sums buckets in host memory: lanes in their order, then ranks.
#include "comm/bucket_internal.h"

#include <string.h>

#include "core/mem.h"
#include "core/profile.h"
#include "core/pulse.h"
#include "core/simd.h"
#include "core/thread.h"

static SIMD_CLONES void add(size_t n, const float *restrict from, float *restrict to)
{
    for (size_t i = 0; i < n; i++) to[i] += from[i];
}

static status sum_over_ranks(struct buckets *b, float *data, size_t n)
{
    if (b->bf16) return comm_sum_bf16(b->comm, data, n);
    return comm_sum_f32(b->comm, COMM_CHANNEL_GRADIENTS, data, n);
}

// Every lane has launched it, so nobody else touches it.
static status sum_bucket(struct buckets *b, const struct bucket *k)
{
    size_t n = (size_t)k->count;
    float *sum = b->seats[0].lane.grads + k->offset;
    for (int i = 1; i < b->n_lanes; i++) add(n, b->seats[i].lane.grads + k->offset, sum);
    TRY(sum_over_ranks(b, sum, n));
    for (int i = 1; i < b->n_lanes; i++)
        memcpy(b->seats[i].lane.grads + k->offset, sum, n * sizeof *sum);
    pulse_beat();
    return OK;
}

// Buckets that all lanes have launched; under the lock.
static int64_t complete(const struct buckets *b)
{
    int64_t least = b->host.launched[0];
    for (int i = 1; i < b->n_lanes; i++)
        if (b->host.launched[i] < least) least = b->host.launched[i];
    return least;
}

// Sums complete buckets one after another until told to stop.
static void *sum_buckets(void *argument)
{
    struct buckets *b = argument;
    struct bucket_thread *h = &b->host;
    profile_name_thread("gradients");
    (void)pthread_mutex_lock(&h->lock);
    for (;;) {
        while (!h->stop && h->summed == complete(b)) (void)pthread_cond_wait(&h->changed, &h->lock);
        if (h->stop) break;
        const struct bucket *k = &b->all[h->summed % b->n];
        bool broken = h->failure.code != OK;
        (void)pthread_mutex_unlock(&h->lock);
        struct error e = {.code = OK};
        if (!broken) {
            double begin = profile_begin();
            status st = sum_bucket(b, k);
            profile_end(begin, PROFILE_KIND_WORK, "all-reduce", NULL);
            if (st != OK) error_save(st, &e);
        }
        (void)pthread_mutex_lock(&h->lock);
        if (e.code != OK) h->failure = e;
        h->summed++;
        (void)pthread_cond_broadcast(&h->changed);
    }
    (void)pthread_mutex_unlock(&h->lock);
    return NULL;
}

status bucket_host_start(struct buckets *b)
{
    struct bucket_thread *h = &b->host;
    TRY(mem_zalloc(&h->launched, (size_t)b->n_lanes));
    TRY(thread_start(&h->thread, sum_buckets, b, "the communication thread"));
    h->runs = true;
    return OK;
}

void bucket_host_stop(struct buckets *b)
{
    struct bucket_thread *h = &b->host;
    if (h->runs) {
        (void)pthread_mutex_lock(&h->lock);
        h->stop = true;
        (void)pthread_cond_broadcast(&h->changed);
        (void)pthread_mutex_unlock(&h->lock);
        (void)pthread_join(h->thread, NULL);
    }
    mem_free(h->launched);
}

void bucket_host_launch(struct buckets *b, int lane)
{
    const struct bucket_seat *s = &b->seats[lane];
    (void)pthread_mutex_lock(&b->host.lock);
    b->host.launched[lane] = s->goal - b->n + s->next;
    (void)pthread_cond_broadcast(&b->host.changed);
    (void)pthread_mutex_unlock(&b->host.lock);
}

status bucket_host_wait(struct buckets *b, int lane)
{
    struct bucket_thread *h = &b->host;
    pulse_wait_begin();
    (void)pthread_mutex_lock(&h->lock);
    while (h->summed < b->seats[lane].goal) (void)pthread_cond_wait(&h->changed, &h->lock);
    status code = h->failure.code;
    (void)pthread_mutex_unlock(&h->lock);
    pulse_wait_end();
    return code == OK ? OK : error_restore(&h->failure);
}
