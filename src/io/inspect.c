// What a packed data set looks like.
#include "io/inspect.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "core/progress.h"
#include "io/jpeg.h"
#include "io/manifest.h"
#include "io/parallel.h"

enum { BATCH_PER_JOB = 8 };

struct slot {
    int shard;
    uint64_t k;
    status st;
    struct error *error;
    struct record_image image;
    struct inspect_channel channels[3];
};

struct inspector {
    const struct dataset *d;
    struct inspect_report *report;
    struct manifest_counts counts;
    struct slot *slots;
    struct progress progress;
};

// ---- Pixels
// --------------------------------------------------------------------------------------

void inspect_join(struct inspect_channel *a, const struct inspect_channel *b)
{
    double n = a->n + b->n, delta = b->mean - a->mean;
    if (b->n == 0) return;
    a->mean += delta * (b->n / n);
    a->m2 += b->m2 + delta * delta * (a->n * b->n / n);
    a->n = n;
}

double inspect_deviation(const struct inspect_channel *c)
{
    return c->n > 0 ? sqrt(c->m2 / c->n) : 0;
}

// One picture's sums are exact in integers: 255^2 times its pixels stays below 2^64, and the
// products below 2^128.
static void measure(const struct image *image, struct inspect_channel *channels)
{
    uint64_t n = (uint64_t)image->h * (uint64_t)image->w, sum[3] = {0}, squares[3] = {0};
    for (uint64_t i = 0; i < n; i++) {
        for (int c = 0; c < 3; c++) {
            uint64_t v = image->pixels[3 * i + (uint64_t)c];
            sum[c] += v;
            squares[c] += v * v;
        }
    }
    for (int c = 0; c < 3; c++) {
        unsigned __int128 spread =
            (unsigned __int128)squares[c] * n - (unsigned __int128)sum[c] * sum[c];
        channels[c].n = (double)n;
        channels[c].mean = (double)sum[c] / (double)n / 255.0;
        channels[c].m2 = (double)spread / (double)n / (255.0 * 255.0);
    }
}

static status read_slot(const struct inspector *x, struct slot *slot)
{
    struct image pixels;
    TRY(dataset_read(x->d, slot->shard, slot->k, &slot->image));
    status st = jpeg_decode(slot->image.jpeg, slot->image.jpeg_bytes, &pixels);
    if (st != OK) {
        error_prefix("%s: image %s", dataset_shard(x->d, slot->shard)->path, slot->image.id_text);
        return st;
    }
    measure(&pixels, slot->channels);
    image_fini(&pixels);
    return OK;
}

static void read_any(void *context, size_t i)
{
    struct inspector *x = context;
    struct slot *slot = &x->slots[i];
    slot->st = read_slot(x, slot);
    status failed = slot->st;
    if (failed != OK && mem_alloc(&slot->error, 1) == OK) error_save(failed, slot->error);
    progress_add(&x->progress, 1);
}

// ---- Counts, in order
// ----------------------------------------------------------------------------

static void count_size(struct inspect_report *r, const struct annotation *a)
{
    int bin = 0;
    if (a->area < 32.0 * 32.0)
        r->small++;
    else if (a->area < 96.0 * 96.0)
        r->medium++;
    else
        r->large++;
    double side = a->w > 0 && a->h > 0 ? sqrt(a->w * a->h) : 0;
    while (bin < INSPECT_SIZE_BINS - 1 && side >= ldexp(2.0, bin)) bin++;
    r->size_bins[bin]++;
}

static struct inspect_category *find(struct inspect_report *r, int32_t label)
{
    for (int i = 0; i < r->n_categories; i++)
        if (r->categories[i].category.label == label) return &r->categories[i];
    return NULL;
}

static void count_boxes(struct inspect_report *r, const struct record_image *image, uint64_t number)
{
    for (int i = 0; i < image->n_annotations; i++) {
        const struct annotation *a = &image->annotations[i];
        struct inspect_category *c = find(r, a->label);
        ASSERT(c != NULL); // dataset_read has checked it
        c->images += c->last_image != number;
        c->last_image = number;
        c->crowds += a->is_crowd;
        c->boxes += !a->is_crowd;
        if (!a->is_crowd) count_size(r, a);
    }
    uint64_t n = (uint64_t)image->n_annotations;
    if (n > r->most_boxes) r->most_boxes = n;
}

static void count_image(struct inspector *x, const struct slot *slot)
{
    struct inspect_report *r = x->report;
    const struct record_image *image = &slot->image;
    bool is_first = x->counts.images == 0;
    manifest_count(&x->counts, image);
    if (is_first || image->h < r->min_h) r->min_h = image->h;
    if (is_first || image->w < r->min_w) r->min_w = image->w;
    if (image->h > r->max_h) r->max_h = image->h;
    if (image->w > r->max_w) r->max_w = image->w;
    r->mean_h += (image->h - r->mean_h) / (double)x->counts.images;
    r->mean_w += (image->w - r->mean_w) / (double)x->counts.images;
    count_boxes(r, image, x->counts.images);
    for (int c = 0; c < 3; c++) inspect_join(&r->channels[c], &slot->channels[c]);
}

// ---- All of it
// -----------------------------------------------------------------------------------

static void slot_fini(struct slot *slot)
{
    record_image_fini(&slot->image);
    mem_free(slot->error);
    slot->error = NULL;
}

static status count_batch(struct inspector *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct slot *slot = &x->slots[i];
        if (slot->st != OK && slot->error != NULL) return error_restore(slot->error);
        REQUIRE(slot->st == OK, slot->st, "out of memory");
        count_image(x, slot);
        slot_fini(slot);
    }
    return OK;
}

static status run(struct inspector *x, int jobs)
{
    size_t most = (size_t)jobs * BATCH_PER_JOB, n = 0;
    status st = OK;
    TRY(mem_zalloc(&x->slots, most));
    for (int s = 0; s < dataset_n_shards(x->d) && st == OK; s++) {
        for (uint64_t k = 0; k < dataset_shard(x->d, s)->n_records && st == OK; k++) {
            x->slots[n++] = (struct slot){.shard = s, .k = k};
            if (n < most) continue;
            parallel_for(jobs, n, read_any, x);
            st = count_batch(x, n);
            n = st == OK ? 0 : n;
        }
    }
    if (st == OK) {
        parallel_for(jobs, n, read_any, x);
        st = count_batch(x, n);
    }
    for (size_t i = 0; i < most; i++) slot_fini(&x->slots[i]);
    mem_free(x->slots);
    return st;
}

static status make_categories(const struct dataset *d, struct inspect_report *r)
{
    TRY(mem_zalloc(&r->categories, (size_t)dataset_n_categories(d)));
    r->n_categories = dataset_n_categories(d);
    for (int i = 0; i < r->n_categories; i++) r->categories[i].category = *dataset_category(d, i);
    return OK;
}

status inspect_dataset(const struct dataset *d, int jobs, struct inspect_report *out)
{
    struct inspector x = {.d = d, .report = out};
    *out = (struct inspect_report){0};
    TRY(make_categories(d, out));
    progress_begin(&x.progress, &(struct progress_params){.what = "inspect",
                                                          .unit = "images",
                                                          .total = (int64_t)dataset_n_images(d)});
    status st = run(&x, jobs > 0 ? jobs : parallel_processors());
    progress_end(&x.progress);
    out->images = x.counts.images;
    out->usable = x.counts.usable;
    out->annotations = x.counts.annotations;
    out->crowds = x.counts.crowds;
    out->empty_boxes = x.counts.empty_boxes;
    out->boxes_past_edge = x.counts.boxes_past_edge;
    if (st != OK) {
        mem_free(out->categories);
        out->categories = NULL;
    }
    return st;
}
