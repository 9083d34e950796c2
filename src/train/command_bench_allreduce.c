// shoal bench allreduce: gradient buckets, all complete at once, against the same bytes in one
// call, in turn: of MPI_Allreduce, or on GPUs of NCCL.
#include "comm/bucket.h"
#include "comm/plain.h"
#include "core/mem.h"
#include "train/bench.h"
#include "train/command.h"
#include "train/command_bench.h"
#include "train/command_line.h"
#include "train/command_run.h"
#include "train/team.h"

enum { SLICE = 1 << 18 }; // elements, about a weight of ResNet-50

struct request {
    double mib;
    int64_t rounds;
    int n_words;
    char **words;
};

struct end { // of one device
    struct device *device;
    void *grads, *staging;
};

struct bench {
    const struct config *config;
    struct comm *comm;
    struct crew *crew;
    struct end *ends;              // by lane
    size_t n;                      // gradients
    struct buckets *buckets, *one; // one: all in a single bucket, GPUs alone
    struct bench_lap in_buckets[BENCH_MAX_LAPS], plain[BENCH_MAX_LAPS];
};

// ---- Devices -----------------------------------------------------------------------------------

static bool is_gpu(const struct end *e)
{
    return !e->device->ops->host_counts;
}

static status open_end(void *context, int lane)
{
    struct bench *b = context;
    struct end *e = &b->ends[lane];
    size_t bytes = b->n * sizeof(float);
    TRY(replica_open_device(b->config, b->comm, lane, &e->device));
    TRY(pool_take(e->device->pool, bytes, &e->grads));
    if (is_gpu(e)) TRY(pool_take(e->device->pool, bytes / 2, &e->staging));
    return e->device->ops->zero(e->device->stream, e->grads, bytes);
}

static status close_end(void *context, int lane)
{
    struct bench *b = context;
    buckets_leave(b->one, lane);
    buckets_leave(b->buckets, lane);
    device_close(b->ends[lane].device);
    return OK;
}

static status make_buckets(const struct bench *b, int64_t slice, struct buckets **out)
{
    struct bucket_slice *slices = NULL;
    int n_slices = (int)(((int64_t)b->n + slice - 1) / slice);
    TRY(mem_alloc(&slices, (size_t)n_slices));
    for (int i = 0; i < n_slices; i++) {
        int64_t from = (int64_t)i * slice, left = (int64_t)b->n - from;
        slices[i] = (struct bucket_slice){from, left < slice ? left : slice};
    }
    struct buckets_params params = {.comm = b->comm,
                                    .bucket_mib = b->config->comm.bucket_mib,
                                    .wire = b->config->comm.wire,
                                    .slices = slices,
                                    .n_slices = n_slices,
                                    .n_lanes = crew_n(b->crew),
                                    .on_gpu = is_gpu(&b->ends[0])};
    status st = buckets_create(&params, out);
    mem_free(slices);
    return st;
}

static status join(void *context, int lane)
{
    struct bench *b = context;
    struct end *e = &b->ends[lane];
    struct bucket_lane l = team_bucket_lane(e->device, e->grads, e->staging);
    TRY(buckets_join(b->buckets, lane, &l));
    return b->one != NULL ? buckets_join(b->one, lane, &l) : OK;
}

// What fails here, fails on this rank alone; then all meet.
static status prepare(struct bench *b)
{
    TRY(crew_create(b->config->train.devices_per_rank, &b->crew));
    TRY(mem_zalloc(&b->ends, (size_t)crew_n(b->crew)));
    TRY(crew_each(b->crew, open_end, b));
    TRY(make_buckets(b, SLICE, &b->buckets));
    return is_gpu(&b->ends[0]) ? make_buckets(b, (int64_t)b->n, &b->one) : OK;
}

static status meet(struct bench *b)
{
    TRY(buckets_meet(b->buckets));
    if (b->one != NULL) TRY(buckets_meet(b->one));
    return crew_each(b->crew, join, b);
}

// ---- Sums --------------------------------------------------------------------------------------

static status sum_lane(struct bench *b, struct buckets *buckets, int lane)
{
    const struct device *d = b->ends[lane].device;
    buckets_begin(buckets, lane);
    TRY(buckets_finish(buckets, lane, NULL));
    return d->ops->wait(d->stream);
}

static status sum_in_buckets(void *context, int lane)
{
    struct bench *b = context;
    return sum_lane(b, b->buckets, lane);
}

static status sum_in_one(void *context, int lane)
{
    struct bench *b = context;
    return sum_lane(b, b->one, lane);
}

static status time_buckets(struct bench *b, struct bench_lap *lap)
{
    TRY(comm_barrier(b->comm));
    struct bench_lap begin = bench_now();
    TRY(crew_each(b->crew, sum_in_buckets, b));
    *lap = bench_since(begin);
    return OK;
}

// Between ranks alone where gradients are in host memory.
static status time_plain(struct bench *b, struct bench_lap *lap)
{
    TRY(comm_barrier(b->comm));
    struct bench_lap begin = bench_now();
    if (b->one != NULL)
        TRY(crew_each(b->crew, sum_in_one, b));
    else
        TRY(plain_sum_f32(b->comm, b->ends[0].grads, b->n));
    *lap = bench_since(begin);
    return OK;
}

// Bytes that every device has to send and to receive in a ring, over the time.
static double bus_gb_per_s(const struct bench *b, const struct bench_lap *lap)
{
    double workers = comm_size(b->comm) * crew_n(b->crew);
    return 2e-9 * (workers - 1) / workers * (double)(b->n * sizeof(float)) / lap->wall_s;
}

static void report(const struct request *q, const struct bench *b)
{
    char carrier[COMM_HOST_BYTES];
    struct json_write w;
    int n = (int)q->rounds;
    struct bench_lap buckets = bench_median(b->in_buckets, n), plain = bench_median(b->plain, n);
    buckets_describe(b->buckets, carrier, sizeof carrier);
    bench_begin(&w, "allreduce");
    json_write_integer(&w, "ranks", comm_size(b->comm));
    json_write_integer(&w, "devices_per_rank", crew_n(b->crew));
    json_write_text(&w, "comm", carrier);
    json_write_digits(&w, "mib", q->mib, 6);
    json_write_digits(&w, "bucket_mib", b->config->comm.bucket_mib, 6);
    json_write_integer(&w, "n_buckets", buckets_n(b->buckets));
    json_write_integer(&w, "rounds", n);
    bench_write_device(&w, b->ends[0].device);
    bench_write_laps(&w, "buckets", b->in_buckets, n);
    bench_write_laps(&w, "plain", b->plain, n);
    json_write_digits(&w, "buckets_over_plain", buckets.wall_s / plain.wall_s, 4);
    json_write_digits(&w, "cpu_over_plain", buckets.cpu_s / plain.cpu_s, 4);
    json_write_digits(&w, "bus_gb_per_s", bus_gb_per_s(b, &buckets), 4);
    json_write_digits(&w, "plain_bus_gb_per_s", bus_gb_per_s(b, &plain), 4);
    bench_end(&w);
}

static status measure(const struct request *q, struct bench *b)
{
    struct bench_lap warm;
    TRY(time_buckets(b, &warm));
    TRY(time_plain(b, &warm));
    for (int64_t i = 0; i < q->rounds; i++) {
        TRY(time_buckets(b, &b->in_buckets[i]));
        TRY(time_plain(b, &b->plain[i]));
    }
    if (comm_rank(b->comm) == 0) report(q, b);
    return OK;
}

static void destroy(struct bench *b)
{
    if (b == NULL) return;
    if (b->ends != NULL && crew_each(b->crew, close_end, b) != OK) error_clear();
    buckets_destroy(b->one);
    buckets_destroy(b->buckets);
    crew_destroy(b->crew);
    mem_free(b->ends);
    mem_free(b);
}

static status body(void *context, const struct config *c, struct comm *comm)
{
    const struct request *q = context;
    struct bench *b = NULL;
    status st = OK;
    TRY_GOTO(st, mem_zalloc(&b, 1), out);
    b->config = c;
    b->comm = comm;
    b->n = (size_t)(q->mib * 1048576 / sizeof(float));
    TRY_GOTO(st, comm_all_ok(comm, prepare(b)), out);
    TRY_GOTO(st, meet(b), out);
    st = measure(q, b);
out:
    command_run_check(comm, st);
    destroy(b);
    return st;
}

static status load(void *context, struct config *c)
{
    const struct request *q = context;
    return config_load(NULL, q->n_words, q->words, c);
}

status command_bench_allreduce(int argc, char **argv)
{
    struct request q = {.mib = 157, .rounds = 10};
    const struct command_line_option options[] = {
        {"mib", COMMAND_LINE_NUMBER, &q.mib, "MIB", "of gradients (157: ResNet-50 FPN)", 0.001,
         8000, false},
        {"rounds", COMMAND_LINE_INTEGER, &q.rounds, "N", "of each side (10)", 1, BENCH_MAX_LAPS,
         false},
    };
    const struct command_line line = {
        .usage = "mpirun -n 2 shoal bench allreduce [key=value ...] [--mib MIB] [--rounds N]",
        .about =
            "Times gradient buckets (comm.bucket_mib) against one plain MPI_Allreduce, or on GPUs\n"
            "(train.device=cuda) against one sum by NCCL.",
        .options = options,
        .n_options = COUNT(options),
        .max_words = -1,
    };
    bool is_help;
    TRY(command_line_parse(&line, argc, argv, &q.n_words, &q.words, &is_help));
    return is_help ? OK : command_run(load, body, &q);
}
