// A batch's memory.
#include "core/mem.h"
#include "io/loader_internal.h"

// A batch remembers where its pixels came from: it may outlive its loader.
struct pooled_batch {
    struct batch batch; // first
    struct recycler *pool;
};

status batch_create(struct recycler *pool, int n, struct batch **out)
{
    struct pooled_batch *b = NULL;
    status st = OK;
    TRY(mem_zalloc(&b, 1));
    recycler_acquire(pool);
    b->pool = pool;
    TRY_GOTO(st, mem_zalloc(&b->batch.images, (size_t)n), out);
    b->batch.n_images = n;
    TRY_GOTO(st, mem_zalloc(&b->batch.groups, (size_t)n), out);
    *out = &b->batch;
    b = NULL;
out:
    batch_destroy(b == NULL ? NULL : &b->batch);
    return st;
}

void batch_destroy(struct batch *batch)
{
    if (batch == NULL) return;
    struct pooled_batch *b = (struct pooled_batch *)batch;
    for (int i = 0; i < batch->n_groups; i++) recycler_give(b->pool, batch->groups[i].pixels);
    for (int i = 0; i < batch->n_images; i++) {
        mem_free(batch->images[i].pixels);
        mem_free(batch->images[i].annotations);
        mem_free(batch->images[i].labels);
        mem_free(batch->images[i].boxes);
        mem_free(batch->images[i].id_text);
    }
    mem_free(batch->groups);
    mem_free(batch->images);
    recycler_release(b->pool);
    mem_free(b);
}
