// A ring of rooms, each pinned on the host and as large again on the device.
#include "tensor/cuda/feed.h"

#include "core/mem.h"
#include "tensor/cuda/stream_internal.h"

enum { ROOMS = 4, ROOM_BYTES_MIN = 1 << 20 };

struct room {
    char *host;
    void *device;
    size_t bytes;
    size_t used;        // of this turn
    cudaEvent_t copied; // out of host
    cudaEvent_t read;   // device, by the stream
    bool sent;          // once at least: both events were recorded
};

struct feed {
    cudaStream_t copies;
    struct room rooms[ROOMS];
    int now;
};

static status start(struct feed *f)
{
    TRY_CUDA(cudaStreamCreateWithFlags(&f->copies, cudaStreamNonBlocking));
    for (int i = 0; i < ROOMS; i++) {
        TRY_CUDA(cudaEventCreateWithFlags(&f->rooms[i].copied, cudaEventDisableTiming));
        TRY_CUDA(cudaEventCreateWithFlags(&f->rooms[i].read, cudaEventDisableTiming));
    }
    return OK;
}

static status create(struct feed **out)
{
    struct feed *f = NULL;
    TRY(mem_zalloc(&f, 1));
    status st = start(f);
    if (st != OK) {
        feed_destroy(f);
        return st;
    }
    *out = f;
    return OK;
}

void feed_destroy(struct feed *f)
{
    if (f == NULL) return;
    if (f->copies != NULL) (void)cudaStreamSynchronize(f->copies);
    for (int i = 0; i < ROOMS; i++) {
        struct room *r = &f->rooms[i];
        if (r->copied != NULL) (void)cudaEventDestroy(r->copied);
        if (r->read != NULL) (void)cudaEventDestroy(r->read);
        if (r->host != NULL) (void)cudaFreeHost(r->host);
        if (r->device != NULL) (void)cudaFree(r->device);
    }
    if (f->copies != NULL) (void)cudaStreamDestroy(f->copies);
    mem_free(f);
}

// A room's memory made anew, half as large again as asked for, since pictures differ: or just that
// large where the device has no more.
static status enlarge(struct stream *s, struct room *r, size_t bytes)
{
    if (r->sent) TRY_CUDA(cudaEventSynchronize(r->read));
    if (r->host != NULL) TRY_CUDA(cudaFreeHost(r->host));
    r->host = NULL;
    r->bytes = 0;
    cuda_free(s, r->device);
    r->device = NULL;
    size_t room = bytes + bytes / 2 > ROOM_BYTES_MIN ? bytes + bytes / 2 : (size_t)ROOM_BYTES_MIN;
    status st = cuda_alloc(s, room, &r->device);
    if (st == E_NOMEM) st = cuda_alloc(s, room = bytes, &r->device);
    if (st == E_NOMEM) error_prefix("cuda: pictures on their way (train.micro_batch lowers it)");
    if (st != OK) return st;
    TRY_CUDA(cudaMallocHost((void **)&r->host, room));
    r->bytes = room;
    return OK;
}

status feed_begin(struct stream *s, size_t bytes, char **host)
{
    if (s->feed == NULL) TRY(create(&s->feed));
    struct feed *f = s->feed;
    f->now = (f->now + 1) % ROOMS;
    struct room *r = &f->rooms[f->now];
    if (r->sent) TRY_CUDA(cudaEventSynchronize(r->copied));
    if (r->bytes < bytes) TRY(enlarge(s, r, bytes));
    r->used = bytes;
    *host = r->host;
    return OK;
}

status feed_send(struct stream *s, const char **device)
{
    struct feed *f = s->feed;
    struct room *r = &f->rooms[f->now];
    if (r->sent) TRY_CUDA(cudaStreamWaitEvent(f->copies, r->read, 0));
    TRY_CUDA(cudaMemcpyAsync(r->device, r->host, r->used, cudaMemcpyHostToDevice, f->copies));
    TRY_CUDA(cudaEventRecord(r->copied, f->copies));
    TRY_CUDA(cudaStreamWaitEvent(s->native, r->copied, 0));
    *device = r->device;
    return OK;
}

status feed_done(struct stream *s)
{
    struct room *r = &s->feed->rooms[s->feed->now];
    TRY_CUDA(cudaEventRecord(r->read, s->native));
    r->sent = true;
    return OK;
}
