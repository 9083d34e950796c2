// Sums on GPUs: each lane is a worker of NCCL's. Its calls only queue work, so no thread is needed.
#include "comm/bucket_internal.h"

#ifndef SHOAL_CUDA

status bucket_nccl_start(struct buckets *b)
{
    (void)b;
    FAIL(E_UNSUPPORTED, "several GPUs need NCCL, which this program was built without");
}

void bucket_nccl_stop(struct buckets *b)
{
    (void)b;
}

status bucket_nccl_meet(struct buckets *b)
{
    (void)b;
    return OK;
}

status bucket_nccl_join(struct buckets *b, int lane)
{
    (void)b, (void)lane;
    return OK;
}

void bucket_nccl_leave(struct buckets *b, int lane)
{
    (void)b, (void)lane;
}

status bucket_nccl_launch(struct buckets *b, int lane, const struct bucket *k)
{
    (void)b, (void)lane, (void)k;
    return OK;
}

status bucket_nccl_close(struct buckets *b, int lane, double *exposed_s)
{
    (void)b, (void)lane, (void)exposed_s;
    return OK;
}

void bucket_nccl_describe(const struct buckets *b, char *text, size_t bytes)
{
    (void)b, (void)text, (void)bytes;
}

#else

#include <stdatomic.h>
#include <stdio.h>

#include "comm/nccl_internal.h"
#include "core/mem.h"
#include "core/pulse.h"

struct bucket_nccl {
    struct nccl_library *library;
    struct nccl_watch *watch;
    ncclUniqueId id;
    atomic_bool failed; // a lane's call: the others' sums will never be whole
};

status bucket_nccl_start(struct buckets *b)
{
    TRY(mem_zalloc(&b->gpu, 1));
    TRY(nccl_library_open(&b->gpu->library));
    return nccl_watch_create(b->comm, b->n_lanes, &b->gpu->watch);
}

void bucket_nccl_stop(struct buckets *b)
{
    if (b->gpu == NULL) return;
    nccl_watch_destroy(b->gpu->watch);
    for (int i = 0; b->seats != NULL && i < b->n_lanes; i++) nccl_destroy(b->seats[i].nccl);
    nccl_library_close(b->gpu->library);
    mem_free(b->gpu);
    b->gpu = NULL;
}

// Rank zero draws the name by which workers find each other.
static status draw_id(struct bucket_nccl *g)
{
    return nccl_library_check(g->library, g->library->get_unique_id(&g->id), __FILE__, __LINE__,
                              "ncclGetUniqueId");
}

status bucket_nccl_meet(struct buckets *b)
{
    status st = comm_rank(b->comm) == 0 ? draw_id(b->gpu) : OK;
    TRY(comm_all_ok(b->comm, st));
    return comm_broadcast(b->comm, 0, &b->gpu->id, sizeof b->gpu->id);
}

status bucket_nccl_join(struct buckets *b, int lane)
{
    struct bucket_seat *s = &b->seats[lane];
    const struct nccl_params params = {.library = b->gpu->library,
                                       .id = &b->gpu->id,
                                       .n_workers = comm_size(b->comm) * b->n_lanes,
                                       .worker = comm_rank(b->comm) * b->n_lanes + lane,
                                       .device = s->lane.device,
                                       .stream = s->lane.stream};
    ASSERT(!b->bf16 || (s->lane.staging != NULL && s->lane.cast != NULL));
    pulse_wait_begin();
    status st = nccl_create(&params, &s->nccl);
    pulse_wait_end();
    TRY(st);
    nccl_watch_add(b->gpu->watch, s->nccl);
    return OK;
}

void bucket_nccl_leave(struct buckets *b, int lane)
{
    struct bucket_seat *s = &b->seats[lane];
    nccl_watch_remove(b->gpu->watch, s->nccl);
    if (s->nccl != NULL && atomic_load(&b->gpu->failed)) nccl_give_up(s->nccl);
    nccl_destroy(s->nccl);
    s->nccl = NULL;
}

static uint16_t *staged(const struct bucket_seat *s, int64_t offset)
{
    return (uint16_t *)s->lane.staging + offset;
}

static status sum(const struct bucket_seat *s, const struct bucket *k, bool bf16)
{
    float *grads = s->lane.grads + k->offset;
    size_t n = (size_t)k->count;
    if (!bf16) return nccl_all_reduce(s->nccl, grads, n, false);
    TRY(s->lane.cast(s->lane.context, k->count, grads, staged(s, k->offset), true));
    return nccl_all_reduce(s->nccl, staged(s, k->offset), n, true);
}

status bucket_nccl_launch(struct buckets *b, int lane, const struct bucket *k)
{
    status st = sum(&b->seats[lane], k, b->bf16);
    if (st != OK) atomic_store(&b->gpu->failed, true);
    return st;
}

// Buckets are neighbours, so what was launched since the last time is one piece.
status bucket_nccl_close(struct buckets *b, int lane, double *exposed_s)
{
    struct bucket_seat *s = &b->seats[lane];
    if (s->n_closed == s->next) return OK;
    const struct bucket *first = &b->all[s->n_closed], *last = &b->all[s->next - 1];
    int64_t n = last->offset + last->count - first->offset;
    TRY(nccl_close(s->nccl, exposed_s));
    s->n_closed = s->next;
    if (!b->bf16) return OK;
    return s->lane.cast(s->lane.context, n, staged(s, first->offset), s->lane.grads + first->offset,
                        false);
}

void bucket_nccl_describe(const struct buckets *b, char *text, size_t bytes)
{
    char version[32];
    nccl_library_version(b->gpu->library, version, sizeof version);
    (void)snprintf(text, bytes, "nccl (%s), ", version);
}

#endif
