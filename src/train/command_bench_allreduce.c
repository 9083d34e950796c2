// shoal bench allreduce: gradient buckets, all complete at once, against one plain MPI_Allreduce of
// the same bytes, in turn.
#include <string.h>

#include "comm/bucket.h"
#include "comm/plain.h"
#include "core/mem.h"
#include "train/bench.h"
#include "train/command.h"
#include "train/command_bench.h"
#include "train/command_line.h"
#include "train/command_run.h"

enum { SLICE = 1 << 18 }; // elements, about a weight of ResNet-50

struct request {
    double mib;
    int64_t rounds;
    int n_words;
    char **words;
};

struct bench {
    struct bench_lap buckets[BENCH_MAX_LAPS], plain[BENCH_MAX_LAPS];
    int n_buckets;
};

static status sum_in_buckets(struct buckets *buckets, struct comm *comm, struct bench_lap *lap)
{
    TRY(comm_barrier(comm));
    struct bench_lap begin = bench_now();
    buckets_begin(buckets, 0);
    TRY(buckets_finish(buckets, 0, NULL));
    *lap = bench_since(begin);
    return OK;
}

static status sum_plain(struct comm *comm, float *data, size_t n, struct bench_lap *lap)
{
    TRY(comm_barrier(comm));
    struct bench_lap begin = bench_now();
    TRY(plain_sum_f32(comm, data, n));
    *lap = bench_since(begin);
    return OK;
}

static status make_buckets(const struct config *c, struct comm *comm, float *data, size_t n,
                           struct buckets **out)
{
    struct bucket_slice *slices = NULL;
    int n_slices = (int)((n + SLICE - 1) / SLICE);
    TRY(mem_alloc(&slices, (size_t)n_slices));
    for (int i = 0; i < n_slices; i++) {
        int64_t from = (int64_t)i * SLICE, left = (int64_t)n - from;
        slices[i] = (struct bucket_slice){from, left < SLICE ? left : SLICE};
    }
    struct buckets_params params = {.comm = comm,
                                    .bucket_mib = c->comm.bucket_mib,
                                    .wire = c->comm.wire,
                                    .slices = slices,
                                    .n_slices = n_slices};
    status st = buckets_create(&params, out);
    mem_free(slices);
    return st == OK ? buckets_join(*out, 0, &(struct bucket_lane){.grads = data}) : st;
}

static void report(const struct request *q, const struct config *c, const struct comm *comm,
                   const struct bench *b)
{
    struct json_write w;
    int n = (int)q->rounds;
    struct bench_lap buckets = bench_median(b->buckets, n), plain = bench_median(b->plain, n);
    bench_begin(&w, "allreduce");
    json_write_integer(&w, "ranks", comm_size(comm));
    json_write_text(&w, "comm", comm_backend_name(comm));
    json_write_text(&w, "library", comm_version(comm));
    json_write_digits(&w, "mib", q->mib, 6);
    json_write_digits(&w, "bucket_mib", c->comm.bucket_mib, 6);
    json_write_integer(&w, "n_buckets", b->n_buckets);
    json_write_integer(&w, "rounds", n);
    bench_write_laps(&w, "buckets", b->buckets, n);
    bench_write_laps(&w, "plain", b->plain, n);
    json_write_digits(&w, "buckets_over_plain", buckets.wall_s / plain.wall_s, 4);
    json_write_digits(&w, "cpu_over_plain", buckets.cpu_s / plain.cpu_s, 4);
    bench_end(&w);
}

static status measure(const struct request *q, const struct config *c, struct comm *comm,
                      struct bench *b, float *data, size_t n)
{
    struct buckets *buckets = NULL;
    struct bench_lap warm;
    status st = OK;
    TRY(make_buckets(c, comm, data, n, &buckets));
    b->n_buckets = buckets_n(buckets);
    TRY_GOTO(st, sum_in_buckets(buckets, comm, &warm), out);
    TRY_GOTO(st, sum_plain(comm, data, n, &warm), out);
    for (int64_t i = 0; i < q->rounds; i++) {
        TRY_GOTO(st, sum_in_buckets(buckets, comm, &b->buckets[i]), out);
        TRY_GOTO(st, sum_plain(comm, data, n, &b->plain[i]), out);
    }
    if (comm_rank(comm) == 0) report(q, c, comm, b);
out:
    buckets_destroy(buckets);
    return st;
}

static status body(void *context, const struct config *c, struct comm *comm)
{
    const struct request *q = context;
    size_t n = (size_t)(q->mib * 1048576 / sizeof(float));
    struct bench *b = NULL;
    float *data = NULL;
    status st = OK;
    TRY_GOTO(st, mem_alloc(&b, 1), out);
    TRY_GOTO(st, mem_alloc_aligned(n * sizeof *data, &data), out);
    memset(data, 0, n * sizeof *data);
    st = measure(q, c, comm, b, data, n);
out:
    command_run_check(comm, st);
    mem_free(data);
    mem_free(b);
    return st;
}

static status run(struct request *q)
{
    struct config *c = NULL;
    TRY(mem_alloc(&c, 1));
    status st = config_load(NULL, q->n_words, q->words, c);
    st = command_run(c, st, body, q);
    mem_free(c);
    return st;
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
        .about = "Times gradient buckets (comm.bucket_mib) against one plain MPI_Allreduce.",
        .options = options,
        .n_options = COUNT(options),
        .max_words = -1,
    };
    bool is_help;
    TRY(command_line_parse(&line, argc, argv, &q.n_words, &q.words, &is_help));
    return is_help ? OK : run(&q);
}
