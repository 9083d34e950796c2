// shoal bench loader: the loader's time for a data set's first images against bare decoding and
// resizing of the same JPEGs, in turn.
#include <string.h>

#include "core/mem.h"
#include "io/jpeg.h"
#include "io/loader.h"
#include "io/transform.h"
#include "train/bench.h"
#include "train/command.h"
#include "train/command_bench.h"
#include "train/command_line.h"

struct request {
    const char *data;
    int64_t images, rounds;
    int n_words;
    char **words;
};

struct bench {
    const struct request *q;
    const struct config *c;
    struct dataset *d;
    int n; // images of a round
    struct record_image *records;
    struct bench_lap loader[BENCH_MAX_LAPS], bare[BENCH_MAX_LAPS];
    double waited_s; // of all rounds
};

// The first images, read before any clock runs.
static status read_records(struct bench *b)
{
    int n = 0;
    TRY(mem_zalloc(&b->records, (size_t)b->q->images));
    for (int s = 0; s < dataset_n_shards(b->d); s++) {
        uint64_t there = dataset_shard(b->d, s)->n_records;
        for (uint64_t k = 0; k < there && n < b->q->images; k++, n++)
            TRY(dataset_read(b->d, s, k, &b->records[n]));
    }
    REQUIRE(n > 0, E_ARG, "%s: no images", b->q->data);
    b->n = n;
    return OK;
}

static status decode_bare(const struct transform *t, const struct record_image *r, float **to,
                          size_t *room)
{
    struct image image = {0};
    struct transform_plan plan;
    status st = OK;
    TRY(jpeg_decode(r->jpeg, r->jpeg_bytes, &image));
    transform_plan(t, image.h, image.w, &plan);
    size_t n = 3 * (size_t)plan.canvas_h * (size_t)plan.canvas_w;
    if (n > *room) TRY_GOTO(st, mem_resize(to, n), out);
    if (n > *room) *room = n;
    st = transform_pixels(t, &plan, &image, false, *to);
out:
    image_fini(&image);
    return st;
}

static status run_bare(struct bench *b, struct bench_lap *lap)
{
    struct transform t;
    float *to = NULL;
    size_t room = 0;
    status st = OK;
    struct bench_lap begin = bench_now();
    transform_init(&b->c->input, &t);
    for (int i = 0; i < b->n && st == OK; i++) st = decode_bare(&t, &b->records[i], &to, &room);
    *lap = bench_since(begin);
    mem_free(to);
    return st;
}

static status run_loader(struct bench *b, struct bench_lap *lap)
{
    struct loader *l = NULL;
    struct loader_params p = {.dataset = b->d,
                              .input = &b->c->input,
                              .workers = b->c->data.workers,
                              .prefetch = b->c->data.prefetch,
                              .n_workers = 1,
                              .micro_batch = b->c->train.micro_batch};
    struct bench_lap begin = bench_now();
    TRY(loader_create(&p, &l));
    status st = OK;
    for (int left = b->n; left > 0 && st == OK;) {
        struct batch *batch = NULL;
        st = loader_next(l, &batch, &b->waited_s);
        if (st == OK) left -= batch->n_images;
        if (st == OK) batch_destroy(batch);
    }
    *lap = bench_since(begin);
    loader_destroy(l);
    return st;
}

static void report(const struct bench *b)
{
    struct json_write w;
    int n = (int)b->q->rounds;
    struct bench_lap loader = bench_median(b->loader, n), bare = bench_median(b->bare, n);
    bench_begin(&w, "loader");
    json_write_text(&w, "data", b->q->data);
    json_write_integer(&w, "images", b->n);
    json_write_integer(&w, "rounds", n);
    json_write_integer(&w, "workers", b->c->data.workers);
    json_write_integer(&w, "prefetch", b->c->data.prefetch);
    json_write_integer(&w, "min_size", b->c->input.min_size);
    bench_write_laps(&w, "loader", b->loader, n);
    bench_write_laps(&w, "bare", b->bare, n);
    json_write_digits(&w, "images_per_s", b->n / loader.wall_s, 6);
    json_write_digits(&w, "cpu_ms_per_image", 1e3 * loader.cpu_s / b->n, 6);
    json_write_digits(&w, "bare_cpu_ms_per_image", 1e3 * bare.cpu_s / b->n, 6);
    json_write_digits(&w, "cpu_over_bare", loader.cpu_s / bare.cpu_s, 4);
    json_write_digits(&w, "wall_over_bare", loader.wall_s / bare.wall_s, 4);
    bench_end(&w);
}

static status measure(struct bench *b)
{
    struct bench_lap warm;
    TRY(dataset_open(b->q->data, &b->d));
    TRY(read_records(b));
    // The loader reads in the order of dealing: with all images taken, both see the same ones.
    TRY(run_bare(b, &warm));
    for (int i = 0; i < b->q->rounds; i++) {
        TRY(run_loader(b, &b->loader[i]));
        TRY(run_bare(b, &b->bare[i]));
    }
    report(b);
    return OK;
}

static status run(const struct request *q)
{
    struct bench *b = NULL;
    struct config *c = NULL;
    status st = OK;
    TRY_GOTO(st, mem_zalloc(&b, 1), out);
    TRY_GOTO(st, mem_alloc(&c, 1), out);
    TRY_GOTO(st, bench_config(q->n_words, q->words, c), out);
    b->q = q;
    b->c = c;
    st = measure(b);
    for (int i = 0; b->records != NULL && i < b->n; i++) record_image_fini(&b->records[i]);
    mem_free(b->records);
    dataset_close(b->d);
out:
    mem_free(c);
    mem_free(b);
    return st;
}

status command_bench_loader(int argc, char **argv)
{
    struct request q = {.images = 500, .rounds = 3};
    const struct command_line_option options[] = {
        {"data", COMMAND_LINE_TEXT, &q.data, "DIR/NAME", "a packed data set", 0, 0, true},
        {"images", COMMAND_LINE_INTEGER, &q.images, "N", "a round, at most (500)", 1, 1000000,
         false},
        {"rounds", COMMAND_LINE_INTEGER, &q.rounds, "N", "of each side (3)", 1, BENCH_MAX_LAPS,
         false},
    };
    const struct command_line line = {
        .usage = "shoal bench loader --data DIR/NAME [CONFIG] [key=value ...] [--images N]",
        .about = "Times the loader (data.workers threads) against bare decoding and resizing of\n"
                 "the same JPEGs on one thread.",
        .options = options,
        .n_options = COUNT(options),
        .max_words = -1,
    };
    bool is_help;
    TRY(command_line_parse(&line, argc, argv, &q.n_words, &q.words, &is_help));
    return is_help ? OK : run(&q);
}
