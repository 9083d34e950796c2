// Buckets on two fake devices of one process, by the double of NCCL: whole sums, in order, launched
// as soon as they are complete. Run under ThreadSanitizer too, which finds a wait that is missing
// (test_nccl_waits).
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "comm/bucket.h"
#include "core/mem.h"
#include "support/test.h"
#include "tensor/gpu.h"

enum { DEVICES = 2, N_SLICES = 3, SLICE = 1 << 18, N = N_SLICES * SLICE, STEPS = 2 };

struct worker {
    int lane;
    struct buckets *buckets;
    struct stream *stream;
    void *grads, *source, *staging, *result; // device memory
    float *host;
    pthread_t thread;
    status result_code;
    struct error error;
};

static struct comm *comm;
static enum config_wire wire;
static pthread_barrier_t meeting;

// The value of a slice's elements in a step.
static float made(int lane, int slice, int step)
{
    return 0.1f * (float)(lane + 1) + (float)slice + 10 * (float)step;
}

static status cast(void *context, int64_t n, const void *from, void *to, bool to_bf16)
{
    enum dtype source = to_bf16 ? DTYPE_F32 : DTYPE_BF16, target = to_bf16 ? DTYPE_BF16 : DTYPE_F32;
    return gpu_backend()->cast(context, n, source, from, target, to);
}

static status open_worker(struct worker *w)
{
    const struct backend_ops *ops = gpu_backend();
    TRY(gpu_open(w->lane, false, true, &w->stream));
    TRY(ops->alloc(w->stream, N * sizeof(float), &w->grads));
    TRY(ops->alloc(w->stream, N * sizeof(float), &w->source));
    TRY(ops->alloc(w->stream, N * sizeof(float), &w->result));
    TRY(ops->alloc(w->stream, N * sizeof(uint16_t), &w->staging));
    TRY(mem_alloc(&w->host, N));
    return buckets_join(w->buckets, w->lane,
                        &(struct bucket_lane){.grads = w->grads,
                                              .stream = gpu_native_stream(w->stream),
                                              .device = gpu_number(w->stream),
                                              .staging = w->staging,
                                              .cast = cast,
                                              .context = w->stream});
}

static void close_worker(struct worker *w)
{
    const struct backend_ops *ops = gpu_backend();
    buckets_leave(w->buckets, w->lane);
    mem_free(w->host);
    ops->free(w->stream, w->staging);
    ops->free(w->stream, w->result);
    ops->free(w->stream, w->source);
    ops->free(w->stream, w->grads);
    ops->close(w->stream);
}

// Slices in that order: a bucket waits for those before it. Copies, since a CUDA thread costs
// ThreadSanitizer half a millisecond.
static const int in_order[N_SLICES] = {0, 1, 2}, out_of_order[N_SLICES] = {1, 0, 2};

static status make_gradients(struct worker *w, const int order[N_SLICES])
{
    const struct backend_ops *ops = gpu_backend();
    TRY(ops->zero(w->stream, w->grads, N * sizeof(float)));
    for (int i = 0; i < N_SLICES; i++) {
        size_t at = (size_t)order[i] * SLICE;
        TRY(ops->copy(w->stream, (float *)w->grads + at, (float *)w->source + at,
                      SLICE * sizeof(float)));
        TRY(buckets_ready(w->buckets, w->lane, order[i]));
    }
    TRY(buckets_finish(w->buckets, w->lane, NULL));
    return ops->copy(w->stream, w->result, w->grads, N * sizeof(float));
}

static status upload_source(struct worker *w, int step)
{
    for (int i = 0; i < N; i++) w->host[i] = made(w->lane, i / SLICE, step);
    return gpu_backend()->upload(w->stream, w->source, w->host, N * sizeof(float));
}

static status check_result(struct worker *w, int step)
{
    TRY(gpu_backend()->download(w->stream, w->host, w->result, N * sizeof(float)));
    for (int i = 0; i < N; i++) {
        float want = made(0, i / SLICE, step) + made(1, i / SLICE, step);
        float off = fabsf(w->host[i] - want), room = wire == CONFIG_WIRE_BF16 ? want / 128 : 0;
        REQUIRE(off <= room, E_ARG, "lane %d, step %d, element %d: got %.9g, want %.9g", w->lane,
                step, i, (double)w->host[i], (double)want);
    }
    return OK;
}

static status eager_step(struct worker *w, int step, const int order[N_SLICES])
{
    TRY(upload_source(w, step));
    buckets_begin(w->buckets, w->lane);
    TRY(make_gradients(w, order));
    return check_result(w, step);
}

static status run_worker(struct worker *w)
{
    TRY(open_worker(w));
    TRY(eager_step(w, 7, in_order)); // nothing is allocated after the first
    for (int step = 0; step < STEPS; step++) TRY(eager_step(w, step, out_of_order));
    return OK;
}

static void *work(void *argument)
{
    struct worker *w = argument;
    w->result_code = run_worker(w);
    if (w->result_code != OK) error_save(w->result_code, &w->error);
    (void)pthread_barrier_wait(&meeting);
    close_worker(w);
    return NULL;
}

static void run(enum config_wire of_gradients)
{
    struct bucket_slice slices[N_SLICES];
    struct worker w[DEVICES] = {0};
    struct buckets *b;
    wire = of_gradients;
    for (int i = 0; i < N_SLICES; i++) slices[i] = (struct bucket_slice){(int64_t)i * SLICE, SLICE};
    EXPECT_OK(buckets_create(&(struct buckets_params){.comm = comm,
                                                      .bucket_mib = 1,
                                                      .wire = wire,
                                                      .slices = slices,
                                                      .n_slices = N_SLICES,
                                                      .n_lanes = DEVICES,
                                                      .on_gpu = true},
                             &b));
    EXPECT_EQ(buckets_n(b), N_SLICES);
    EXPECT_OK(buckets_meet(b));
    EXPECT_EQ(pthread_barrier_init(&meeting, NULL, DEVICES), 0);
    for (int i = 0; i < DEVICES; i++) {
        w[i].lane = i;
        w[i].buckets = b;
        EXPECT_EQ(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    }
    for (int i = 0; i < DEVICES; i++) {
        EXPECT_EQ(pthread_join(w[i].thread, NULL), 0);
        if (w[i].result_code != OK)
            test_fail(__FILE__, __LINE__, "lane %d: %s", i, w[i].error.text);
    }
    EXPECT_EQ(pthread_barrier_destroy(&meeting), 0);
    buckets_destroy(b);
}

TEST(sums_are_whole_on_every_device)
{
    run(CONFIG_WIRE_FP32);
}

#ifndef __SANITIZE_THREAD__ // casts are kernels, of too many threads for it
TEST(sums_in_bf16_are_within_its_rounding)
{
    run(CONFIG_WIRE_BF16);
}
#endif

int main(int argc, char **argv)
{
    struct config_comm_params params = {.backend = CONFIG_COMM_SELF, .timeout_s = 200};
    if (comm_create(&params, &comm) != OK) {
        test_fail(__FILE__, __LINE__, "%s", error_text());
        return 1;
    }
    int result = test_main(argc, argv);
    comm_destroy(comm);
    return result;
}
