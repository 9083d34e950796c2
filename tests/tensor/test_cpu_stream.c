// What holds for the CPU's stream whatever it computes: versions of weights, bounded caches, the
// same bits every time, streams in threads of their own.
#include <pthread.h>
#include <string.h>

#include "core/mem.h"
#include "ref/ref_arrays.h"
#include "ref/ref_layers.h"
#include "support/test.h"
#include "tensor/cpu/onednn_internal.h"
#include "tensor/device.h"

enum { MAX = 1 << 16 };

// A convolution whose weights oneDNN wants in a layout of its own.
static const struct conv2d_desc small = {.n = 2,
                                         .h = 9,
                                         .w = 7,
                                         .c = 32,
                                         .k = 32,
                                         .r = 3,
                                         .s = 3,
                                         .stride = 1,
                                         .pad = 1,
                                         .ho = 9,
                                         .wo = 7};

struct arrays {
    float x[MAX], w[MAX], y[MAX], dy[MAX], dx[MAX], dw[MAX], dbias[64], want[MAX];
};
static struct arrays one, two;

static size_t n_x(const struct conv2d_desc *d)
{
    return (size_t)(d->n * d->h * d->w * d->c);
}

static size_t n_y(const struct conv2d_desc *d)
{
    return (size_t)(d->n * d->ho * d->wo * d->k);
}

static size_t n_w(const struct conv2d_desc *d)
{
    return (size_t)(d->k * d->r * d->s * d->c);
}

static void fill(struct arrays *a, const struct conv2d_desc *d)
{
    ref_normals(1, n_x(d), a->x), ref_normals(2, n_w(d), a->w), ref_normals(3, n_y(d), a->dy);
    memset(a->dw, 0, sizeof a->dw), memset(a->dbias, 0, sizeof a->dbias);
}

TEST(weights_of_a_new_version_are_seen)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    fill(&one, &small);
    for (uint64_t version = 1; version <= 3; version++) {
        const struct weights w = {one.w, version};
        ref_normals(10 + version, n_w(&small), one.w);
        ref_conv2d(&small, one.x, one.w, NULL, NULL, one.want);
        EXPECT_OK(backend_cpu.conv2d(s, &small, one.x, w, NULL, NULL, one.y));
        EXPECT_CLOSE("y", one.y, one.want, n_y(&small), 2e-6, 4e-6);
        ref_conv2d_dx(&small, one.dy, one.w, one.want);
        EXPECT_OK(backend_cpu.conv2d_dx(s, &small, one.dy, w, (struct dx_epilogue){0}, one.dx));
        EXPECT_CLOSE("dx", one.dx, one.want, n_x(&small), 2e-6, 4e-6);
    }
    backend_cpu.close(s);
}

static void use(struct stream *s, uint64_t version)
{
    const struct weights w = {one.w, version};
    EXPECT_OK(backend_cpu.conv2d(s, &small, one.x, w, NULL, NULL, one.y));
    EXPECT_OK(backend_cpu.conv2d_dx(s, &small, one.dy, w, (struct dx_epilogue){0}, one.dx));
}

TEST(weights_are_kept_from_their_second_use_and_then_repacked_once_a_version)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    fill(&one, &small);
    use(s, 5);
    EXPECT_EQ(s->n_repacked, 2); // as they are and turned
    EXPECT_EQ(s->n_weights, 2);
    use(s, 6);
    use(s, 7);
    EXPECT(s->weights[0].packed == NULL && s->weights[1].packed == NULL);
    EXPECT_EQ(s->n_repacked, 6); // one use a version: nothing is kept
    for (int i = 0; i < 3; i++) use(s, 7);
    EXPECT(s->weights[0].packed != NULL && s->weights[1].packed != NULL);
    EXPECT_EQ(s->n_repacked, 8);
    for (int i = 0; i < 3; i++) use(s, 8);
    EXPECT_EQ(s->n_repacked, 10);
    EXPECT_EQ(s->n_weights, 2);
    backend_cpu.close(s);
}

TEST(weights_of_version_0_are_never_kept)
{
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    for (uint64_t i = 0; i < 2; i++) {
        fill(&one, &small);
        ref_normals(20 + i, n_w(&small), one.w);
        ref_conv2d(&small, one.x, one.w, NULL, NULL, one.want);
        EXPECT_OK(
            backend_cpu.conv2d(s, &small, one.x, (struct weights){one.w, 0}, NULL, NULL, one.y));
        EXPECT_CLOSE("y", one.y, one.want, n_y(&small), 2e-6, 4e-6);
    }
    EXPECT_EQ(s->n_weights, 0);
    backend_cpu.close(s);
}

TEST(kept_weights_are_bounded_and_the_oldest_make_room)
{
    struct conv2d_desc d = {.n = 1,
                            .h = 4,
                            .w = 4,
                            .c = 16,
                            .k = 16,
                            .r = 3,
                            .s = 3,
                            .stride = 1,
                            .pad = 1,
                            .ho = 4,
                            .wo = 4};
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    fill(&one, &d);
    ref_normals(4, MAX, one.w);
    for (size_t i = 0; i < ONEDNN_MAX_WEIGHTS + 40; i++) {
        // The first is used all the time, so it stays.
        const struct weights first = {one.w, 7}, next = {one.w + 4 * (i + 1), 7};
        EXPECT_OK(backend_cpu.conv2d(s, &d, one.x, first, NULL, NULL, one.y));
        EXPECT_OK(backend_cpu.conv2d(s, &d, one.x, next, NULL, NULL, one.y));
        ref_conv2d(&d, one.x, next.data, NULL, NULL, one.want);
        EXPECT_CLOSE("y", one.y, one.want, n_y(&d), 2e-6, 4e-6);
    }
    EXPECT_EQ(s->n_weights, ONEDNN_MAX_WEIGHTS);
    EXPECT_EQ(s->n_repacked, ONEDNN_MAX_WEIGHTS + 40 + 2); // the first one twice, then kept
    backend_cpu.close(s);
}

TEST(plans_are_bounded)
{
    const float x[4] = {1, 2, 3, 4}, w[4] = {1, 1, 1, 1};
    const float sums[4] = {1, 3, 6, 10};
    float y[1];
    struct stream *s = NULL;
    EXPECT_OK(backend_cpu.open(1, &s));
    for (int rows = 0; rows < ONEDNN_MAX_PLANS + 10; rows++) {
        struct linear_desc d = {.rows = 1, .in = 1 + rows % 4, .out = 1};
        d.relu = rows / 4; // another descriptor, the same result
        EXPECT_OK(backend_cpu.linear(s, &d, x, (struct weights){w, 1}, NULL, y));
        EXPECT_NEAR(y[0], sums[rows % 4], 0);
    }
    EXPECT_EQ(s->n_plans, ONEDNN_MAX_PLANS);
    backend_cpu.close(s);
}

// All passes of a few layers, big enough that two threads share each; y, dx and dw remain.
static status work(struct arrays *a, int threads)
{
    struct conv2d_desc d = small;
    struct stream *s = NULL;
    const struct weights w = {a->w, 1};
    TRY(backend_cpu.open(threads, &s));
    d.h = d.ho = 24, d.w = d.wo = 18;
    fill(a, &d);
    status st = backend_cpu.conv2d(s, &d, a->x, w, NULL, NULL, a->y);
    if (st == OK) st = backend_cpu.conv2d_dx(s, &d, a->dy, w, (struct dx_epilogue){0}, a->dx);
    if (st == OK) st = backend_cpu.conv2d_dw(s, &d, a->x, a->dy, NULL, a->dw, a->dbias);
    // The same numbers as a tall matrix: the gradient of few weights is a long sum.
    const struct linear_desc l = {.rows = (int32_t)(n_x(&d) / 32), .in = 32, .out = 32};
    if (st == OK) st = backend_cpu.linear(s, &l, a->y, w, NULL, a->x);
    if (st == OK)
        st = backend_cpu.linear_dx(s, &l, a->dy, w, (struct dx_epilogue){.add = a->dx}, a->dx);
    if (st == OK) st = backend_cpu.linear_dw(s, &l, a->y, a->dy, a->dw, a->dbias);
    backend_cpu.close(s);
    return st;
}

static bool same_bits(const struct arrays *a, const struct arrays *b)
{
    return memcmp(a->x, b->x, sizeof a->x) == 0 && memcmp(a->y, b->y, sizeof a->y) == 0 &&
           memcmp(a->dx, b->dx, sizeof a->dx) == 0 && memcmp(a->dw, b->dw, sizeof a->dw) == 0 &&
           memcmp(a->dbias, b->dbias, sizeof a->dbias) == 0;
}

TEST(every_run_gives_the_same_bits)
{
    for (int threads = 1; threads <= 3; threads++) {
        EXPECT_OK(work(&one, threads));
        for (int run = 0; run < 3; run++) {
            EXPECT_OK(work(&two, threads));
            EXPECT(same_bits(&one, &two));
        }
    }
}

static void *worker(void *a)
{
    for (int i = 0; i < 5; i++) EXPECT_OK(work(a, 2));
    return NULL;
}

TEST(two_threads_with_a_stream_each_do_not_disturb_each_other)
{
    static struct arrays alone;
    pthread_t a, b;
    EXPECT_OK(work(&alone, 2));
    EXPECT_EQ(pthread_create(&a, NULL, worker, &one), 0);
    EXPECT_EQ(pthread_create(&b, NULL, worker, &two), 0);
    EXPECT_EQ(pthread_join(a, NULL), 0);
    EXPECT_EQ(pthread_join(b, NULL), 0);
    EXPECT(same_bits(&one, &alone));
    EXPECT(same_bits(&two, &alone));
}

TEST(a_failing_allocation_leaves_a_stream_that_works)
{
    status st = E_NOMEM;
    fill(&one, &small);
    ref_conv2d(&small, one.x, one.w, NULL, NULL, one.want);
    for (int64_t n = 1; st == E_NOMEM && n < 100; n++) {
        struct stream *s = NULL;
        const struct weights w = {one.w, 1};
        mem_fail_at(n);
        st = backend_cpu.open(1, &s);
        if (st == OK) st = backend_cpu.conv2d(s, &small, one.x, w, NULL, NULL, one.y);
        mem_fail_at(0);
        EXPECT(n > 1 || st == E_NOMEM);
        if (s != NULL) {
            EXPECT_OK(backend_cpu.conv2d(s, &small, one.x, w, NULL, NULL, one.y));
            EXPECT_CLOSE("y", one.y, one.want, n_y(&small), 2e-6, 4e-6);
        }
        backend_cpu.close(s);
    }
    EXPECT_OK(st);
}

TEST(a_device_opens_with_any_number_of_threads_and_either_type)
{
    struct device *d = NULL;
    EXPECT_OK(device_open_cpu(0, DTYPE_F32, &d));
    EXPECT(d == NULL || cpu_threads(d->stream) >= 1);
    device_close(d);
    EXPECT_STATUS(device_open_cpu(-1, DTYPE_F32, &d), E_ARG);
    EXPECT_STATUS(device_open_cpu(1, DTYPE_I32, &d), E_ARG);
    status st = device_open_cpu(1, DTYPE_BF16, &d);
    if (st == OK)
        device_close(d);
    else
        EXPECT_HAS(error_text(), "AVX-512"); // says what is wanted
}

TEST_MAIN()
