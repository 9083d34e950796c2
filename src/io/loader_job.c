// What a decoding thread does for one micro-batch.
#include "io/loader_internal.h"

#include <limits.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "io/jpeg.h"

// Says which record a message of the JPEG decoder is about.
static status name_record(const struct loader_setup *setup, const struct loader_item *item,
                          status st)
{
    if (st != OK && st != E_NOMEM)
        error_prefix("%s: record %llu (image %s)",
                     dataset_shard(setup->params.dataset, item->place.shard)->path,
                     (unsigned long long)item->place.record, item->record.id_text);
    return st;
}

static status read_size(const struct record_image *record, int32_t *h, int32_t *w)
{
    TRY(jpeg_size(record->jpeg, record->jpeg_bytes, h, w));
    bool is_stated = record->h > 0 && record->w > 0;
    REQUIRE(!is_stated || (record->h == *h && record->w == *w), E_FORMAT,
            "JPEG: %d x %d pixels (height, width), its record says %d x %d", *h, *w, record->h,
            record->w);
    return OK;
}

static status fill_annotations(const struct loader_item *item, struct batch_image *image,
                               struct loader_counts *counts)
{
    const struct record_image *record = &item->record;
    size_t n = (size_t)record->n_annotations;
    struct transform_counts changed = {0};
    TRY(mem_alloc(&image->annotations, n));
    if (n > 0) memcpy(image->annotations, record->annotations, n * sizeof *record->annotations);
    image->n_annotations = record->n_annotations;
    TRY(mem_alloc(&image->boxes, n));
    TRY(mem_alloc(&image->labels, n));
    image->n_boxes = transform_boxes(&item->plan, record->annotations, record->n_annotations,
                                     image->flipped, image->boxes, image->labels, &changed);
    counts->crowds += changed.crowds;
    counts->empty_boxes += changed.empty_boxes;
    counts->clipped_boxes += changed.clipped_boxes;
    return OK;
}

static status plan_image(const struct loader_setup *setup, struct loader_job *job, int i)
{
    const struct loader_params *p = &setup->params;
    struct loader_item *item = &job->items[i];
    struct batch_image *image = &job->batch->images[i];
    TRY(dataset_read(p->dataset, item->place.shard, item->place.record, &item->record));
    const struct record_image *record = &item->record;
    int32_t h, w;
    TRY(name_record(setup, item, read_size(record, &h, &w)));
    transform_plan(&setup->transform, h, w, &item->plan);
    job->counts.own_canvas += item->plan.own_canvas;
    uint64_t key = rng_key((uint64_t)p->seed, job->epoch, record->id_key, RNG_PURPOSE_FLIP);
    *image = (struct batch_image){
        .position = job->positions[i],
        .id = record->id,
        .id_is_number = record->id_is_number,
        .id_key = record->id_key,
        .original_h = h,
        .original_w = w,
        .h = item->plan.h,
        .w = item->plan.w,
        .flipped = p->training && (double)rng_uniform(key, 0) < setup->input.flip,
    };
    TRY(mem_strdup(record->id_text, &image->id_text));
    return fill_annotations(item, image, &job->counts);
}

static void join_group(struct batch *batch, const struct transform_plan *plan,
                       struct batch_image *image)
{
    int g = 0;
    while (g < batch->n_groups &&
           (batch->groups[g].h != plan->canvas_h || batch->groups[g].w != plan->canvas_w))
        g++;
    if (g == batch->n_groups)
        batch->groups[batch->n_groups++] =
            (struct batch_group){.h = plan->canvas_h, .w = plan->canvas_w};
    image->group = g;
    image->slot = batch->groups[g].n++;
}

static size_t pixels_of(const struct batch_group *group)
{
    return (size_t)group->h * (size_t)group->w * 3;
}

status loader_job_plan(const struct loader_setup *setup, struct loader_job *job)
{
    TRY(batch_create(setup->pool, job->n, &job->batch));
    struct batch *batch = job->batch;
    for (int i = 0; i < job->n; i++) TRY(plan_image(setup, job, i));
    for (int i = 0; i < job->n; i++) join_group(batch, &job->items[i].plan, &batch->images[i]);
    for (int g = 0; g < batch->n_groups && !setup->params.decoded; g++) {
        struct batch_group *group = &batch->groups[g];
        size_t bytes;
        TRY(mem_size(pixels_of(group) * sizeof(float), (size_t)group->n, &bytes));
        TRY(recycler_take(setup->pool, bytes, &group->pixels));
    }
    return OK;
}

status loader_job_decode(const struct loader_setup *setup, struct loader_job *job, int i)
{
    struct loader_item *item = &job->items[i];
    struct batch_image *place = &job->batch->images[i];
    const struct batch_group *group = &job->batch->groups[place->group];
    struct image image = {0};
    status st = OK;
    TRY_GOTO(
        st,
        name_record(setup, item, jpeg_decode(item->record.jpeg, item->record.jpeg_bytes, &image)),
        out);
    if (setup->params.decoded) {
        place->pixels = image.pixels;
        image.pixels = NULL;
        goto out;
    }
    TRY_GOTO(st,
             transform_pixels(&setup->transform, &item->plan, &image, place->flipped,
                              group->pixels + (size_t)place->slot * pixels_of(group)),
             out);
out:
    image_fini(&image);
    record_image_fini(&item->record);
    item->record = (struct record_image){0};
    return st;
}

void loader_job_reset(struct loader_job *job)
{
    for (int i = 0; i < job->n; i++) {
        record_image_fini(&job->items[i].record);
        job->items[i].record = (struct record_image){0};
    }
    batch_destroy(job->batch);
    job->batch = NULL;
    job->n = job->n_claimed = job->n_finished = 0;
    job->counts = (struct loader_counts){0};
    job->failed = INT_MAX;
    job->error.code = OK;
    job->state = LOADER_STATE_WAITING;
}
