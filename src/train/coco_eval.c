// The evaluation's frame: images and categories in order, boxes grouped by category and image, then
// one category after the other through matching and accumulation.
#include "train/coco_eval.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/pulse.h"
#include "train/coco_eval_internal.h"

void coco_eval_params_init(struct coco_eval_params *p)
{
    *p = (struct coco_eval_params){
        .n_ious = 10,
        .n_recalls = 101,
        .n_areas = 4,
        .n_limits = 3,
        .area = {{0, 1e10}, {0, 1024}, {1024, 9216}, {9216, 1e10}},
        .limit = {1, 10, 100},
    };
    // numpy.linspace: start + i * step, the last one set to the end.
    for (int t = 0; t < 9; t++) p->iou[t] = 0.5 + t * ((0.95 - 0.5) / 9);
    p->iou[9] = 0.95;
    for (int r = 0; r <= 100; r++) p->recall[r] = r * 0.01;
}

static status check_params(const struct coco_eval_params *p)
{
    REQUIRE(p->n_ious >= 1 && p->n_ious <= COCO_EVAL_MAX_IOUS, E_ARG,
            "%d IoU thresholds, 1 to %d can be", p->n_ious, COCO_EVAL_MAX_IOUS);
    REQUIRE(p->n_recalls >= 1 && p->n_recalls <= COCO_EVAL_MAX_RECALLS, E_ARG,
            "%d recall thresholds, 1 to %d can be", p->n_recalls, COCO_EVAL_MAX_RECALLS);
    REQUIRE(p->n_areas >= 1 && p->n_areas <= COCO_EVAL_MAX_AREAS, E_ARG,
            "%d area ranges, 1 to %d can be", p->n_areas, COCO_EVAL_MAX_AREAS);
    REQUIRE(p->n_limits >= 1 && p->n_limits <= COCO_EVAL_MAX_LIMITS, E_ARG,
            "%d limits on detections, 1 to %d can be", p->n_limits, COCO_EVAL_MAX_LIMITS);
    for (int t = 0; t < p->n_ious; t++)
        REQUIRE(p->iou[t] > 0 && p->iou[t] <= 1, E_ARG, "IoU threshold %g, 0 to 1 wanted",
                p->iou[t]);
    for (int r = 0; r < p->n_recalls; r++)
        REQUIRE(p->recall[r] >= (r > 0 ? p->recall[r - 1] : 0) && p->recall[r] <= 1, E_ARG,
                "recall threshold %g, ascending from 0 to 1 wanted", p->recall[r]);
    for (int m = 0; m < p->n_limits; m++)
        REQUIRE(p->limit[m] > (m > 0 ? p->limit[m - 1] : 0), E_ARG,
                "limit of %d detections, ascending from 1 wanted", p->limit[m]);
    return OK;
}

struct ranked_image {
    const struct coco_id *id;
    size_t index;
};

static int compare_images(const void *a, const void *b)
{
    const struct coco_id *x = ((const struct ranked_image *)a)->id;
    const struct coco_id *y = ((const struct ranked_image *)b)->id;
    if (x->is_number != y->is_number) return x->is_number ? -1 : 1;
    if (x->is_number) return (x->number > y->number) - (x->number < y->number);
    return strcmp(x->text, y->text);
}

// rank[i]: place of image i in the order of ids.
static status rank_images(const struct coco_eval_input *in, int32_t *rank)
{
    struct ranked_image *all;
    char text[256];
    TRY(mem_alloc(&all, in->n_images));
    for (size_t i = 0; i < in->n_images; i++) all[i] = (struct ranked_image){&in->images[i], i};
    if (in->n_images > 0) qsort(all, in->n_images, sizeof *all, compare_images);
    size_t n = 0;
    for (; n < in->n_images; n++) {
        rank[all[n].index] = (int32_t)n;
        if (n > 0 && compare_images(&all[n - 1], &all[n]) == 0) break;
    }
    if (n < in->n_images) coco_id_show(all[n].id, text, sizeof text);
    mem_free(all);
    REQUIRE(n == in->n_images, E_FORMAT, "image id %s stands twice", text);
    return OK;
}

static int compare_categories(const void *a, const void *b)
{
    const struct coco_eval_category *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

// Ascending ids; of several with one id the first in the list gives the name.
static status sort_categories(const struct coco_eval_input *in, struct coco_eval *e)
{
    struct coco_eval_category *all;
    TRY(mem_zalloc(&all, in->n_categories));
    e->categories = all;
    for (size_t i = 0; i < in->n_categories; i++) {
        bool repeated = false;
        for (int k = 0; k < e->n_categories && !repeated; k++)
            repeated = all[k].id == in->categories[i].id;
        if (repeated) continue;
        all[e->n_categories].id = in->categories[i].id;
        TRY(mem_strdup(in->categories[i].name, &all[e->n_categories].name));
        e->n_categories++;
    }
    if (e->n_categories > 0) qsort(all, (size_t)e->n_categories, sizeof *all, compare_categories);
    return OK;
}

// Index of the category, or -1.
static int32_t find_category(const struct coco_eval *e, int64_t id)
{
    int32_t low = 0, high = e->n_categories;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (e->categories[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < e->n_categories && e->categories[low].id == id ? low : -1;
}

// One run: the frame's own state.
struct run {
    const struct coco_eval_input *in;
    struct coco_eval *e;
    int32_t *image_rank;
    uint32_t *source; // ground truth entry -> annotation; the same where no id is repeated
    struct coco_eval_groups gts, dets;
    struct coco_eval_work work;
};

static status check_box(const struct coco_eval_input *in, size_t image, const char *what,
                        const double box[4], double other)
{
    char id[256];
    ASSERT(image < in->n_images);
    REQUIRE(isfinite(box[0]) && isfinite(box[1]) && isfinite(box[2]) && isfinite(box[3]) &&
                isfinite(other),
            E_FORMAT, "image %s: %s with box %g, %g, %g, %g and %g, finite numbers wanted",
            coco_id_show(&in->images[image], id, sizeof id), what, box[0], box[1], box[2], box[3],
            other);
    return OK;
}

// source where ids repeat: pycocotools lists the ids image by image and looks each up, which finds
// the last one of that id, whatever its image and category.
static status order_repeated(struct run *r, const uint32_t *last)
{
    struct coco_eval_groups by_image;
    TRY(coco_eval_groups_init(&by_image, r->in->n_annotations, 1));
    for (size_t i = 0; i < by_image.n; i++) {
        by_image.image[i] = r->image_rank[r->in->annotation_image[i]];
        by_image.category[i] = find_category(r->e, r->in->annotations[i].category_id) < 0 ? -1 : 0;
    }
    status st = coco_eval_groups_sort(&by_image, (int)r->in->n_images, 1);
    r->gts.n = by_image.start[1];
    for (size_t i = 0; i < r->gts.n && st == OK; i++) r->source[i] = last[by_image.order[i]];
    coco_eval_groups_fini(&by_image);
    return st;
}

static status list_gts(struct run *r)
{
    uint32_t *last = NULL;
    status st = OK;
    size_t n = r->in->n_annotations;
    TRY_GOTO(st, mem_alloc(&r->source, n), out);
    TRY_GOTO(st, mem_alloc(&last, n), out);
    TRY_GOTO(st, coco_eval_repeats_find(r->in, last, &r->e->n_repeated_ids), out);
    for (size_t i = 0; i < n; i++) {
        r->source[i] = (uint32_t)i;
        r->e->n_id_zero += r->in->annotations[i].id == 0;
        r->e->n_unknown_annotations += find_category(r->e, r->in->annotations[i].category_id) < 0;
    }
    if (r->e->n_repeated_ids > 0) TRY_GOTO(st, order_repeated(r, last), out);
out:
    mem_free(last);
    return st;
}

static status group_gts(struct run *r)
{
    TRY(coco_eval_groups_init(&r->gts, r->in->n_annotations, r->e->n_categories));
    TRY(list_gts(r));
    for (size_t i = 0; i < r->gts.n; i++) {
        const struct annotation *a = &r->in->annotations[r->source[i]];
        int32_t image = r->in->annotation_image[r->source[i]];
        TRY(check_box(r->in, (size_t)image, "annotation", (double[]){a->x, a->y, a->w, a->h},
                      a->area));
        r->gts.image[i] = r->image_rank[image];
        r->gts.category[i] = find_category(r->e, a->category_id);
    }
    return coco_eval_groups_sort(&r->gts, (int)r->in->n_images, r->e->n_categories);
}

static status group_dets(struct run *r)
{
    TRY(coco_eval_groups_init(&r->dets, r->in->n_detections, r->e->n_categories));
    for (size_t i = 0; i < r->dets.n; i++) {
        const struct coco_detection *d = &r->in->detections[i];
        TRY(check_box(r->in, d->image, "detection", (double[]){d->x, d->y, d->w, d->h}, d->score));
        r->dets.image[i] = r->image_rank[d->image];
        r->dets.category[i] = find_category(r->e, d->category_id);
        if (r->dets.category[i] >= 0) continue;
        if (r->e->n_unknown_detections++ == 0) r->e->first_unknown_detection = i;
    }
    return coco_eval_groups_sort(&r->dets, (int)r->in->n_images, r->e->n_categories);
}

// ---- Categories ----

static void take_gts(struct run *r, int k)
{
    struct coco_eval_work *w = &r->work;
    const size_t *start = r->gts.start;
    w->n_gts = start[k + 1] - start[k];
    for (size_t i = 0; i < w->n_gts; i++) {
        uint32_t entry = r->gts.order[start[k] + i];
        const struct annotation *a = &r->in->annotations[r->source[entry]];
        w->gts[i] = (struct coco_eval_gt){
            .x = a->x,
            .y = a->y,
            .w = a->w,
            .h = a->h,
            .area = a->area,
            .image = r->gts.image[entry],
            .is_crowd = a->is_crowd,
            .id_is_zero = a->id == 0,
        };
    }
}

// Each image's detections by descending score, no more than the last limit.
static void take_dets(struct run *r, int k)
{
    struct coco_eval_work *w = &r->work;
    size_t limit = (size_t)r->e->params.limit[r->e->params.n_limits - 1];
    size_t at = r->dets.start[k], end = r->dets.start[k + 1];
    w->n_dets = 0;
    while (at < end) {
        int32_t image = r->dets.image[r->dets.order[at]];
        size_t n = 0;
        for (; at < end && r->dets.image[r->dets.order[at]] == image; at++, n++) {
            uint32_t entry = r->dets.order[at];
            w->keys[n] = (struct coco_eval_key){r->in->detections[entry].score, entry};
        }
        coco_eval_sort_keys(w->keys, w->keys_scratch, n);
        for (size_t i = 0; i < n && i < limit; i++) {
            const struct coco_detection *d = &r->in->detections[w->keys[i].index];
            w->dets[w->n_dets++] = (struct coco_eval_det){
                .x = d->x,
                .y = d->y,
                .w = d->w,
                .h = d->h,
                .score = d->score,
                .image = image,
                .rank = (int32_t)i,
            };
        }
    }
}

// Copies (n, A, M) of category k into (n, K, A, M).
static void scatter(const struct coco_eval *e, int k, const double *from, size_t n, double *to)
{
    size_t n_am = (size_t)e->params.n_areas * (size_t)e->params.n_limits;
    for (size_t i = 0; i < n; i++)
        memcpy(to + (i * (size_t)e->n_categories + (size_t)k) * n_am, from + i * n_am,
               n_am * sizeof *to);
}

static status evaluate(struct run *r)
{
    struct coco_eval *e = r->e;
    const struct coco_eval_params *p = &e->params;
    size_t n_t = (size_t)p->n_ious, n_tr = n_t * (size_t)p->n_recalls;
    size_t n_kam = (size_t)e->n_categories * (size_t)p->n_areas * (size_t)p->n_limits;
    TRY(mem_alloc(&e->precision, n_tr * n_kam));
    TRY(mem_alloc(&e->scores, n_tr * n_kam));
    TRY(mem_alloc(&e->recall, n_t * n_kam));
    TRY(coco_eval_work_init(&r->work, p, coco_eval_groups_largest(&r->gts, e->n_categories),
                            coco_eval_groups_largest(&r->dets, e->n_categories)));
    for (int k = 0; k < e->n_categories; k++) {
        take_gts(r, k);
        take_dets(r, k);
        TRY(coco_eval_match_category(p, &r->work));
        coco_eval_accumulate_category(p, &r->work);
        pulse_beat();
        scatter(e, k, r->work.precision, n_tr, e->precision);
        scatter(e, k, r->work.scores, n_tr, e->scores);
        scatter(e, k, r->work.recall, n_t, e->recall);
    }
    return coco_eval_summary_fill(e);
}

static status run_all(struct run *r)
{
    TRY(check_params(&r->e->params));
    REQUIRE(r->in->n_images < INT32_MAX && r->in->n_categories < INT32_MAX, E_ARG,
            "%zu images and %zu categories, fewer than 2^31 can be evaluated", r->in->n_images,
            r->in->n_categories);
    TRY(sort_categories(r->in, r->e));
    TRY(mem_alloc(&r->image_rank, r->in->n_images));
    TRY(rank_images(r->in, r->image_rank));
    TRY(group_gts(r));
    TRY(group_dets(r));
    return evaluate(r);
}

status coco_eval_create(const struct coco_eval_input *in, const struct coco_eval_params *params,
                        struct coco_eval **out)
{
    struct run r = {.in = in};
    TRY(mem_zalloc(&r.e, 1));
    r.e->n_images = in->n_images;
    r.e->n_annotations = in->n_annotations;
    r.e->n_detections = in->n_detections;
    if (params != NULL)
        r.e->params = *params;
    else
        coco_eval_params_init(&r.e->params);
    status st = run_all(&r);
    coco_eval_work_fini(&r.work);
    coco_eval_groups_fini(&r.dets);
    coco_eval_groups_fini(&r.gts);
    mem_free(r.source);
    mem_free(r.image_rank);
    if (st == OK)
        *out = r.e;
    else
        coco_eval_destroy(r.e);
    return st;
}

void coco_eval_destroy(struct coco_eval *e)
{
    if (e == NULL) return;
    for (int k = 0; k < e->n_categories; k++) mem_free(e->categories[k].name);
    mem_free(e->categories);
    mem_free(e->precision);
    mem_free(e->recall);
    mem_free(e->scores);
    mem_free(e);
}

void coco_eval_warn(const struct coco_eval *e)
{
    if (e->n_id_zero > 0)
        log_warn("%zu annotations have the id 0, which the COCO metrics never count as matched; "
                 "number them from 1",
                 e->n_id_zero);
    if (e->n_repeated_ids > 0)
        log_warn("%zu annotations have the id of a later one, which the COCO metrics take in their "
                 "place; give each its own",
                 e->n_repeated_ids);
    if (e->n_unknown_annotations > 0)
        log_warn("%zu annotations are of categories that are not listed and were left out",
                 e->n_unknown_annotations);
    if (e->n_unknown_detections > 0)
        log_warn("%zu of %zu detections are of categories that are not in the annotations and were "
                 "left out, the first of them result %zu",
                 e->n_unknown_detections, e->n_detections, e->first_unknown_detection);
}
