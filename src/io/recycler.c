// A pool of buffers. Each buffer carries its size in front, a cache line away from its data.
#include "io/recycler.h"

#include <pthread.h>
#include <string.h>

#include "core/mem.h"

enum { FRONT_BYTES = 64 };

struct front {
    size_t bytes; // behind the front
};

struct recycler {
    pthread_mutex_t lock;
    int n_shares, n, capacity;
    struct front **kept; // n, oldest first
};

status recycler_create(int n_kept, struct recycler **out)
{
    struct recycler *pool = NULL;
    TRY(mem_zalloc(&pool, 1));
    status st = mem_alloc(&pool->kept, (size_t)n_kept);
    if (st != OK) {
        mem_free(pool);
        return st;
    }
    (void)pthread_mutex_init(&pool->lock, NULL);
    pool->n_shares = 1;
    pool->capacity = n_kept;
    *out = pool;
    return OK;
}

void recycler_acquire(struct recycler *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->n_shares++;
    pthread_mutex_unlock(&pool->lock);
}

void recycler_release(struct recycler *pool)
{
    if (pool == NULL) return;
    pthread_mutex_lock(&pool->lock);
    int n_left = --pool->n_shares;
    pthread_mutex_unlock(&pool->lock);
    if (n_left > 0) return;
    for (int i = 0; i < pool->n; i++) mem_free(pool->kept[i]);
    pthread_mutex_destroy(&pool->lock);
    mem_free(pool->kept);
    mem_free(pool);
}

static struct front *remove_at(struct recycler *pool, int i)
{
    struct front *front = pool->kept[i];
    pool->n--;
    memmove(&pool->kept[i], &pool->kept[i + 1], (size_t)(pool->n - i) * sizeof(struct front *));
    return front;
}

// The smallest that is large enough.
static struct front *find(struct recycler *pool, size_t bytes)
{
    int best = -1;
    for (int i = 0; i < pool->n; i++) {
        size_t size = pool->kept[i]->bytes;
        if (size >= bytes && (best < 0 || size < pool->kept[best]->bytes)) best = i;
    }
    return best < 0 ? NULL : remove_at(pool, best);
}

status recycler_take(struct recycler *pool, size_t bytes, void *out)
{
    pthread_mutex_lock(&pool->lock);
    struct front *front = find(pool, bytes);
    pthread_mutex_unlock(&pool->lock);
    if (front == NULL) {
        REQUIRE(bytes <= SIZE_MAX - FRONT_BYTES, E_NOMEM, "out of memory: %zu bytes asked for",
                bytes);
        TRY(mem_alloc_aligned(bytes + FRONT_BYTES, &front));
        front->bytes = bytes;
    }
    void *p = (unsigned char *)front + FRONT_BYTES;
    memcpy(out, &p, sizeof p);
    return OK;
}

void recycler_give(struct recycler *pool, void *p)
{
    if (p == NULL) return;
    struct front *front = (struct front *)(void *)((unsigned char *)p - FRONT_BYTES), *old = NULL;
    pthread_mutex_lock(&pool->lock);
    if (pool->n == pool->capacity) old = pool->n > 0 ? remove_at(pool, 0) : front;
    if (old != front) pool->kept[pool->n++] = front;
    pthread_mutex_unlock(&pool->lock);
    mem_free(old);
}
