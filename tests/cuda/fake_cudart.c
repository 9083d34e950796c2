// Streams, events and launches of the fake CUDA run time.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cuda/fake_cudart_internal.h"

void __tsan_acquire(void *) __attribute__((weak));
void __tsan_release(void *) __attribute__((weak));
void AnnotateIgnoreSyncBegin(const char *, int) __attribute__((weak));
void AnnotateIgnoreSyncEnd(const char *, int) __attribute__((weak));

enum { DEVICES = 8 }; // so that a suite's number of CPU threads is always a device's number

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static cudaStream_t streams;
static cudaError_t last_error;
static unsigned long jitter_us, jitter_state = 1;
static bool is_inline;
static unsigned long n_launches, n_waits, n_host_waits;
static _Thread_local int current_device;
static uint64_t marks;
struct fake_cudart_counts fake_cudart_counts;

void fake_cudart_count(struct fake_cudart_counts *out)
{
    *out = fake_cudart_counts;
}

void fake_cudart_add(unsigned long *count, long n)
{
    (void)__atomic_fetch_add(count, (unsigned long)n, __ATOMIC_RELAXED);
}

void fake_cudart_mark(void)
{
    marks++;
    fake_cudart_counts.waits = 0;
}

void fake_cudart_lock(void)
{
    if (AnnotateIgnoreSyncBegin) AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
    pthread_mutex_lock(&mutex);
}

void fake_cudart_unlock(void)
{
    pthread_mutex_unlock(&mutex);
    if (AnnotateIgnoreSyncEnd) AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
}

static void comes_before(void *token)
{
    if (__tsan_release) __tsan_release(token);
}

static void comes_after(void *token)
{
    if (__tsan_acquire) __tsan_acquire(token);
}

cudaError_t fake_cudart_fail(cudaError_t e, const char *why)
{
    fprintf(stderr, "fake CUDA: %s\n", why);
    last_error = e;
    return e;
}

cudaError_t fake_cudart_last(void)
{
    return last_error;
}

cudaStream_t fake_cudart_streams(void)
{
    return streams;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// --- streams ---

static void execute_record(struct fake_op *op)
{
    comes_before(op->order);
    fake_cudart_lock();
    if (op->event->completed < op->generation) op->event->completed = op->generation;
    op->event->seconds = now();
    pthread_cond_broadcast(&changed);
    fake_cudart_unlock();
}

static void execute_wait(struct fake_op *op)
{
    fake_cudart_lock();
    while (op->event->completed < op->generation) pthread_cond_wait(&changed, &mutex);
    fake_cudart_unlock();
    comes_after(op->order);
}

void fake_cudart_execute(struct fake_op *op)
{
    if (op->kind == FAKE_RUN) op->run(op->arg);
    if (op->kind == FAKE_RECORD) execute_record(op);
    if (op->kind == FAKE_WAIT) execute_wait(op);
}

void fake_cudart_drop(struct fake_op *op)
{
    if (op->drop != NULL) op->drop(op->arg);
    free(op);
}

static void run_late(void)
{
    jitter_state = jitter_state * 6364136223846793005U + 1442695040888963407U;
    useconds_t late = jitter_us > 0 ? (useconds_t)((jitter_state >> 33) % jitter_us) : 0;
    fake_cudart_unlock();
    if (late > 0) usleep(late);
}

static void *work(void *arg)
{
    cudaStream_t s = arg;
    fake_cudart_lock();
    for (;;) {
        while (s->head == NULL && !s->closing) pthread_cond_wait(&changed, &mutex);
        if (s->head == NULL) break;
        struct fake_op *op = s->head;
        s->head = op->next;
        if (s->head == NULL) s->tail = &s->head;
        run_late();
        comes_after(op);
        fake_cudart_execute(op);
        comes_before(&s->order);
        fake_cudart_lock();
        s->done++;
        pthread_cond_broadcast(&changed);
        if (!op->kept) fake_cudart_drop(op);
    }
    fake_cudart_unlock();
    return NULL;
}

static void append(struct fake_op ***tail, struct fake_op *op)
{
    op->next = NULL;
    **tail = op;
    *tail = &op->next;
}

// Takes the operation over. While the stream captures, it goes into the graph instead.
cudaError_t fake_cudart_enqueue(cudaStream_t s, struct fake_op init)
{
    if (s == NULL)
        return fake_cudart_fail(cudaErrorInvalidResourceHandle, "work on the default stream");
    struct fake_op *op = malloc(sizeof *op);
    *op = init;
    if (is_inline && s->capture == NULL) {
        fake_cudart_execute(op);
        fake_cudart_drop(op);
        return cudaSuccess;
    }
    comes_before(op);
    fake_cudart_lock();
    if (s->capture != NULL) {
        op->kept = true;
        append(&s->capture->tail, op);
        s->unjoined++;
    } else {
        append(&s->tail, op);
        s->issued++;
    }
    pthread_cond_broadcast(&changed);
    fake_cudart_unlock();
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    (void)flags;
    cudaStream_t s = calloc(1, sizeof *s);
    s->tail = &s->head;
    s->device = current_device;
    const char *us = getenv("FAKE_CUDA_JITTER_US"), *seed = getenv("FAKE_CUDA_SEED");
    fake_cudart_lock();
    is_inline = getenv("FAKE_CUDA_INLINE") != NULL;
    jitter_us = us != NULL ? strtoul(us, NULL, 10) : 0;
    jitter_state += seed != NULL && streams == NULL ? strtoul(seed, NULL, 10) : 0;
    s->next = streams;
    streams = s;
    fake_cudart_unlock();
    pthread_create(&s->worker, NULL, work, s);
    fake_cudart_add(&fake_cudart_counts.living, 1);
    *out = s;
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *out, unsigned flags, int priority)
{
    (void)priority;
    return cudaStreamCreateWithFlags(out, flags);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    *least = 0;
    *greatest = -5;
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t s, enum cudaStreamCaptureStatus *out)
{
    *out = s->capture != NULL ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    if (s == NULL)
        return fake_cudart_fail(cudaErrorInvalidResourceHandle, "synchronise the default stream");
    if (s->capture != NULL)
        return fake_cudart_fail(cudaErrorStreamCaptureUnsupported,
                                "synchronise a capturing stream");
    fake_cudart_add(&fake_cudart_counts.synchronisations, 1);
    fake_cudart_lock();
    uint64_t wanted = s->issued;
    while (s->done < wanted) pthread_cond_wait(&changed, &mutex);
    fake_cudart_unlock();
    comes_after(&s->order);
    return last_error;
}

cudaError_t cudaStreamQuery(cudaStream_t s)
{
    fake_cudart_lock();
    bool done = s->done == s->issued;
    fake_cudart_unlock();
    if (done) comes_after(&s->order);
    return done ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaDeviceSynchronize(void)
{
    for (cudaStream_t s = streams; s != NULL; s = s->next)
        if (cudaStreamSynchronize(s) != cudaSuccess) return last_error;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    fake_cudart_lock();
    s->closing = true;
    for (cudaStream_t *p = &streams; *p != NULL; p = &(*p)->next)
        if (*p == s) {
            *p = s->next;
            break;
        }
    pthread_cond_broadcast(&changed);
    fake_cudart_unlock();
    pthread_join(s->worker, NULL);
    fake_cudart_add(&fake_cudart_counts.living, -1);
    free(s);
    return cudaSuccess;
}

// --- events ---

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
    (void)flags;
    *out = calloc(1, sizeof **out);
    fake_cudart_add(&fake_cudart_counts.living, 1);
    return cudaSuccess;
}

// It stays: work that is queued may still wait for it, as on a GPU.
cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    static cudaEvent_t gone;
    fake_cudart_lock();
    e->gone = gone;
    gone = e;
    fake_cudart_unlock();
    fake_cudart_add(&fake_cudart_counts.living, -1);
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    if (s == NULL)
        return fake_cudart_fail(cudaErrorInvalidResourceHandle, "event on the default stream");
    e->stream = s;
    e->mark = marks;
    e->capture = s->capture;
    if (s->capture != NULL) return cudaSuccess; // inside a capture an event is only an edge
    struct fake_order *order = malloc(sizeof *order);
    order->next = e->orders;
    e->orders = order;
    return fake_cudart_enqueue(
        s, (struct fake_op){
               .kind = FAKE_RECORD, .event = e, .generation = ++e->recorded, .order = order});
}

// Whether variable names this wait's number.
static bool is_left_out(const char *variable, unsigned long *count)
{
    const char *number = getenv(variable);
    fake_cudart_lock();
    bool left_out = number != NULL && ++*count == strtoul(number, NULL, 10);
    fake_cudart_unlock();
    return left_out;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned flags)
{
    (void)flags;
    if (e->capture != NULL) {
        if (s->capture == NULL) { // fork: the stream joins the capture
            s->capture = e->capture;
            s->unjoined = 0;
        } else {
            e->stream->unjoined = 0;
        }
        return cudaSuccess;
    }
    if (s->capture != NULL)
        return fake_cudart_fail(cudaErrorStreamCaptureIsolation,
                                "a capturing stream waits for an event from outside");
    if (is_left_out("FAKE_CUDA_DROP_WAIT", &n_waits)) return cudaSuccess;
    if (e->recorded == 0)
        return fake_cudart_fail(cudaErrorInvalidValue,
                                "wait for an event never recorded (a GPU would not wait)");
    return fake_cudart_enqueue(
        s, (struct fake_op){
               .kind = FAKE_WAIT, .event = e, .generation = e->recorded, .order = e->orders});
}

cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    if (is_left_out("FAKE_CUDA_DROP_HOST_WAIT", &n_host_waits)) return cudaSuccess;
    fake_cudart_add(&fake_cudart_counts.waits, e->mark == marks);
    fake_cudart_lock();
    while (e->completed < e->recorded) pthread_cond_wait(&changed, &mutex);
    fake_cudart_unlock();
    if (e->orders != NULL) comes_after(e->orders);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t e)
{
    fake_cudart_lock();
    bool done = e->completed >= e->recorded;
    fake_cudart_unlock();
    if (done && e->orders != NULL) comes_after(e->orders);
    return done ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t a, cudaEvent_t b)
{
    *ms = (float)(1e3 * (b->seconds - a->seconds));
    return cudaSuccess;
}

// --- launches ---

unsigned long fake_cudart_launches(void)
{
    fake_cudart_lock();
    unsigned long n = n_launches;
    fake_cudart_unlock();
    return n;
}

cudaError_t fake_cudart_launch(cudaStream_t s, void (*run)(void *), void (*drop)(void *), void *arg)
{
    if (s != NULL && s->device != current_device)
        return fake_cudart_fail(cudaErrorInvalidResourceHandle,
                                "launch on a stream of a device that is not current");
    fake_cudart_lock();
    n_launches++;
    fake_cudart_unlock();
    return fake_cudart_enqueue(
        s, (struct fake_op){.kind = FAKE_RUN, .run = run, .drop = drop, .arg = arg});
}

cudaError_t fake_cudart_check_launch(struct dim3 g, struct dim3 b, size_t bytes)
{
    unsigned threads = b.x * b.y * b.z;
    bool block_fits = threads > 0 && threads <= 1024 && b.z <= 64;
    bool grid_fits =
        g.x > 0 && g.x <= 2147483647U && g.y > 0 && g.y <= 65535 && g.z > 0 && g.z <= 65535;
    if (!block_fits || !grid_fits)
        return fake_cudart_fail(cudaErrorInvalidConfiguration,
                                "launch beyond the grid's or block's limits");
    if (bytes > 48 << 10)
        return fake_cudart_fail(cudaErrorInvalidValue,
                                "more than 48 KiB of dynamic shared memory not asked for");
    return cudaSuccess;
}

// --- devices and errors ---

cudaError_t cudaGetDeviceCount(int *n)
{
    if (getenv("FAKE_CUDA_NO_DEVICE") != NULL) return cudaErrorNoDevice; // *n stays as it was
    *n = DEVICES;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int i)
{
    if (i < 0 || i >= DEVICES) return fake_cudart_fail(cudaErrorInvalidDevice, "no such device");
    current_device = i;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *i)
{
    *i = current_device;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int i)
{
    *p = (struct cudaDeviceProp){.major = 9, .minor = 0, .multiProcessorCount = 132};
    p->totalGlobalMem = (size_t)80 << 30;
    (void)snprintf(p->name, sizeof p->name, "fake device %d", i);
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t e = last_error;
    last_error = cudaSuccess;
    return e;
}

const char *cudaGetErrorString(cudaError_t e)
{
    return e == cudaErrorMemoryAllocation ? "out of memory" : "error of the fake CUDA run time";
}
