// From the box head's outputs to detections: torchvision models/detection/roi_heads.py,
// postprocess_detections, and transform.py, postprocess.
//
// A candidate is a roi and a class other than background whose score is above the threshold. NMS
// runs per class in order of score; ties go to the lower row, then the lower class, here and among
// the per_image that are given. A candidate is its sort key, which names it; boxes are decoded
// where they are needed.
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "tensor/cpu/boxes.h"
#include "tensor/cpu/cpu_internal.h"
#include "tensor/cpu/nms.h"
#include "tensor/cpu/sort.h"

// One image's candidates of one class; room for n each.
struct candidates {
    int32_t n;
    uint64_t *keys, *spare; // index: (row - the image's first row) * n_classes + class
    float (*boxes)[4];      // clipped, pixels of the resized image
    bool *keep;
    float *scratch; // NMS_SCRATCH_FLOATS each
};

struct job {
    const struct pyramid *p;
    const struct detections_params *q;
    int32_t rows;
    const float *rois, *logits, *deltas;
    const float (*original)[2];
    struct detections *out;
    int threads;
    int32_t *first_row;    // [n_images + 1]
    float *scores;         // (rows, n_classes)
    struct candidates all; // the memory of all
    struct candidates *of; // [n_images * n_classes], class fastest
};

static void softmax(const float *logits, int32_t n, float *out)
{
    float largest = logits[0], sum = 0.0F;
    for (int32_t c = 1; c < n; c++) largest = boxes_max(logits[c], largest);
    for (int32_t c = 0; c < n; c++) {
        out[c] = expf(logits[c] - largest);
        sum += out[c];
    }
    for (int32_t c = 0; c < n; c++) out[c] /= sum;
}

static status find_scores(struct job *j, const int32_t *image)
{
    TRY(mem_zalloc(&j->first_row, (size_t)j->p->n_images + 1));
    for (int32_t r = 0; r < j->rows; r++)
        if (image[r] >= 0) j->first_row[image[r] + 1]++;
    for (int32_t i = 0; i < j->p->n_images; i++) j->first_row[i + 1] += j->first_row[i];
    TRY(mem_alloc(&j->scores, (size_t)j->rows * (size_t)j->q->n_classes));
#pragma omp parallel for num_threads(j->threads) schedule(static)
    for (int32_t r = 0; r < j->rows; r++)
        softmax(&j->logits[(int64_t)r * j->q->n_classes], j->q->n_classes,
                &j->scores[(int64_t)r * j->q->n_classes]);
    return OK;
}

// Counts or, where keys are there, writes the candidates of an image.
static void list_candidates(const struct job *j, int32_t image)
{
    int32_t n_classes = j->q->n_classes;
    struct candidates *of = &j->of[(int64_t)image * n_classes];
    for (int32_t c = 0; c < n_classes; c++) of[c].n = 0;
    for (int32_t r = j->first_row[image]; r < j->first_row[image + 1]; r++) {
        const float *scores = &j->scores[(int64_t)r * n_classes];
        uint32_t row = (uint32_t)(r - j->first_row[image]);
        for (int32_t c = 1; c < n_classes; c++) {
            if (!(scores[c] > j->q->score_threshold)) continue;
            int32_t at = of[c].n++;
            if (of[c].keys == NULL) continue;
            of[c].keys[at] = sort_best_first(scores[c], row * (uint32_t)n_classes + (uint32_t)c);
        }
    }
}

static status collect(struct job *j)
{
    int32_t n_lists = j->p->n_images * j->q->n_classes;
    size_t n = 1; // so that the keys are never NULL
    TRY(mem_zalloc(&j->of, (size_t)n_lists));
    for (int32_t i = 0; i < j->p->n_images; i++) list_candidates(j, i);
    for (int32_t i = 0; i < n_lists; i++) n += (size_t)j->of[i].n;
    TRY(mem_alloc(&j->all.keys, n));
    TRY(mem_alloc(&j->all.spare, n));
    TRY(mem_alloc(&j->all.boxes, n));
    TRY(mem_alloc(&j->all.keep, n));
    TRY(mem_alloc(&j->all.scratch, NMS_SCRATCH_FLOATS * n));
    struct candidates at = j->all;
    for (int32_t i = 0; i < n_lists; i++) {
        int32_t room = j->of[i].n;
        j->of[i] = at;
        at.keys += room;
        at.spare += room;
        at.boxes += room;
        at.keep += room;
        at.scratch += (int64_t)NMS_SCRATCH_FLOATS * room;
    }
    for (int32_t i = 0; i < j->p->n_images; i++) list_candidates(j, i);
    return OK;
}

static void release(struct job *j)
{
    mem_free(j->all.scratch);
    mem_free(j->all.keep);
    mem_free(j->all.boxes);
    mem_free(j->all.spare);
    mem_free(j->all.keys);
    mem_free(j->of);
    mem_free(j->scores);
    mem_free(j->first_row);
}

static void decode(const struct job *j, int32_t image, uint64_t key, float box[4])
{
    int64_t at = (int64_t)j->first_row[image] * j->q->n_classes + sort_index(key);
    boxes_decode(&j->deltas[4 * at], &j->rois[at / j->q->n_classes * 4], j->q->box_weights, box);
    boxes_clip(box, j->p->size[image]);
}

// Leaves a class's keys that stay, best first.
static void suppress(const struct job *j, int32_t list)
{
    struct candidates *c = &j->of[list];
    sort_keys(c->keys, c->spare, c->n);
    int32_t n = 0;
    for (int32_t i = 0; i < c->n; i++) {
        decode(j, list / j->q->n_classes, c->keys[i], c->boxes[n]);
        if (boxes_are_large(c->boxes[n], j->q->min_size)) c->keys[n++] = c->keys[i];
    }
    nms_mark((const float(*)[4])c->boxes, n, j->q->nms_iou, j->q->per_image, c->scratch, c->keep);
    c->n = 0;
    for (int32_t i = 0; i < n; i++)
        if (c->keep[i]) c->keys[c->n++] = c->keys[i];
}

static void write_row(const struct job *j, int32_t image, uint64_t key, int64_t row)
{
    int64_t at = (int64_t)j->first_row[image] * j->q->n_classes + sort_index(key);
    float *box = &j->out->boxes[4 * row];
    decode(j, image, key, box);
    for (int i = 0; i < 4; i++)
        box[i] *= j->original[image][1 - i % 2] / j->p->size[image][1 - i % 2];
    j->out->scores[row] = j->scores[at];
    j->out->labels[row] = (int32_t)(at % j->q->n_classes);
}

static void merge_classes(const struct job *j, int32_t image)
{
    const struct candidates *of = &j->of[(int64_t)image * j->q->n_classes];
    uint64_t *keys = of[0].keys; // an image's lists lie one after the other
    int32_t n = 0;
    for (int32_t c = 0; c < j->q->n_classes; c++)
        for (int32_t i = 0; i < of[c].n; i++) keys[n++] = of[c].keys[i];
    sort_keys(keys, of[0].spare, n);
    if (n > j->q->per_image) n = j->q->per_image;
    j->out->count[image] = n;
    int64_t row = (int64_t)image * j->out->capacity, end = row + j->out->capacity;
    for (int32_t i = 0; i < n; i++) write_row(j, image, keys[i], row++);
    for (; row < end; row++) {
        memset(&j->out->boxes[4 * row], 0, 4 * sizeof *j->out->boxes);
        j->out->scores[row] = 0.0F;
        j->out->labels[row] = 0;
    }
}

// NOLINTNEXTLINE(readability-function-size): the signature is the slot's
status cpu_detections(struct stream *s, const struct pyramid *p, const struct detections_params *q,
                      int32_t rows, const float *rois, const int32_t *image, const float *logits,
                      const float *deltas, const float (*original)[2], struct detections *out)
{
    struct job j = {.p = p,
                    .q = q,
                    .rows = rows,
                    .rois = rois,
                    .logits = logits,
                    .deltas = deltas,
                    .original = original,
                    .out = out,
                    .threads = cpu_threads(s)};
    status st = OK;
    TRY_GOTO(st, find_scores(&j, image), out);
    TRY_GOTO(st, collect(&j), out);
#pragma omp parallel for num_threads(j.threads) schedule(dynamic)
    for (int32_t i = 0; i < p->n_images * q->n_classes; i++) suppress(&j, i);
#pragma omp parallel for num_threads(j.threads) schedule(static)
    for (int32_t i = 0; i < p->n_images; i++) merge_classes(&j, i);
out:
    release(&j);
    return st;
}
