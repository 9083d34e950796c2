// Boxes are taken in blocks that stay in the first cache while all ground truth passes over them.
// A first pass finds each box's best ground truth, and for each block and ground-truth box the
// largest IoU between them; low-quality matches then look again only into blocks that hold some
// ground truth's largest. Ground truth that misses a block's hull has IoU 0 with all of it.
#include "tensor/cpu/matcher.h"

#include <string.h>

#include "core/mem.h"
#include "core/simd.h"
#include "tensor/cpu/matcher_many.h"

enum { LANES = 16 };

// A block at work, on a thread's own stack.
struct work {
    struct boxes_block boxes;
    float best[BOXES_BLOCK];   // largest IoU so far
    int32_t gt[BOXES_BLOCK];   // and whose
    float iou[BOXES_BLOCK];    // with the ground-truth box just passed
    float hull[4];             // of the boxes
    int32_t first, n, n_lanes; // n_lanes: n rounded up; what fills up has IoU 0 with everything
};

struct job {
    const struct matcher_params *q;
    const struct matcher_boxes *boxes;
    int32_t n_gt, n_blocks;
    const float (*gt)[4];
    float *largest; // [n_blocks * n_gt]
    float *highest; // [n_gt]
    int32_t *match;
};

static SIMD_CLONES void find_hull(struct work *w)
{
    float x0[LANES], y0[LANES], x1[LANES], y1[LANES];
    for (int32_t j = 0; j < LANES; j++) {
        x0[j] = w->boxes.x0[0];
        y0[j] = w->boxes.y0[0];
        x1[j] = w->boxes.x1[0];
        y1[j] = w->boxes.y1[0];
    }
    for (int32_t i = 0; i < w->n_lanes; i += LANES) {
#pragma omp simd
        for (int32_t j = 0; j < LANES; j++) {
            x0[j] = boxes_min(x0[j], w->boxes.x0[i + j]);
            y0[j] = boxes_min(y0[j], w->boxes.y0[i + j]);
            x1[j] = boxes_max(x1[j], w->boxes.x1[i + j]);
            y1[j] = boxes_max(y1[j], w->boxes.y1[i + j]);
        }
    }
    memcpy(w->hull, (const float[4]){x0[0], y0[0], x1[0], y1[0]}, sizeof w->hull);
    for (int32_t j = 1; j < LANES; j++) {
        w->hull[0] = boxes_min(w->hull[0], x0[j]);
        w->hull[1] = boxes_min(w->hull[1], y0[j]);
        w->hull[2] = boxes_max(w->hull[2], x1[j]);
        w->hull[3] = boxes_max(w->hull[3], y1[j]);
    }
}

static void load(const struct job *job, int32_t block, struct work *w)
{
    w->first = block * BOXES_BLOCK;
    int32_t left = job->boxes->n - w->first;
    w->n = left < BOXES_BLOCK ? left : BOXES_BLOCK;
    w->n_lanes = (w->n + LANES - 1) / LANES * LANES;
    job->boxes->fill(job->boxes->context, w->first, w->n, &w->boxes);
    float filler[4] = {w->boxes.x0[0], w->boxes.y0[0], w->boxes.x0[0], w->boxes.y0[0]};
    for (int32_t i = w->n; i < w->n_lanes; i++) boxes_block_set(&w->boxes, i, filler);
}

static bool misses(const float hull[4], const float box[4])
{
    return box[2] <= hull[0] || box[0] >= hull[2] || box[3] <= hull[1] || box[1] >= hull[3];
}

static SIMD_CLONES void find_ious(struct work *w, const float gt[4], float area)
{
    const float *restrict x0 = w->boxes.x0, *restrict y0 = w->boxes.y0;
    const float *restrict x1 = w->boxes.x1, *restrict y1 = w->boxes.y1;
    const float *restrict areas = w->boxes.area;
    float *restrict iou = w->iou;
#pragma omp simd
    for (int32_t i = 0; i < w->n_lanes; i++)
        iou[i] = boxes_iou_at(gt, area, x0, y0, x1, y1, areas, i);
}

// Takes the IoUs just found into best and gt; returns the largest of them.
static SIMD_CLONES float take_ious(struct work *w, int32_t g)
{
    float lane[LANES] = {0};
    float *restrict best = w->best, *restrict iou = w->iou;
    int32_t *restrict gt = w->gt;
    for (int32_t i = 0; i < w->n_lanes; i += LANES) {
#pragma omp simd
        for (int32_t j = 0; j < LANES; j++) {
            bool better = iou[i + j] > best[i + j];
            gt[i + j] = better ? g : gt[i + j];
            best[i + j] = better ? iou[i + j] : best[i + j];
            lane[j] = boxes_max(iou[i + j], lane[j]);
        }
    }
    float largest = lane[0];
    for (int32_t j = 1; j < LANES; j++) largest = boxes_max(lane[j], largest);
    return largest;
}

static void match_block(const struct job *job, int32_t block)
{
    struct work w;
    load(job, block, &w);
    find_hull(&w);
    memset(w.best, 0, sizeof w.best);
    memset(w.gt, 0, sizeof w.gt);
    float *largest = &job->largest[(int64_t)block * job->n_gt];
    for (int32_t g = 0; g < job->n_gt; g++) {
        largest[g] = 0.0F;
        if (misses(w.hull, job->gt[g])) continue;
        find_ious(&w, job->gt[g], boxes_area(job->gt[g]));
        largest[g] = take_ious(&w, g);
    }
    for (int32_t i = 0; i < w.n; i++) {
        int32_t other = w.best[i] >= job->q->bg_iou ? MATCHER_BETWEEN : MATCHER_BELOW;
        job->match[w.first + i] = w.best[i] >= job->q->fg_iou ? w.gt[i] : other;
    }
}

static void find_highest(const struct job *job)
{
    memset(job->highest, 0, (size_t)job->n_gt * sizeof *job->highest);
    for (int32_t b = 0; b < job->n_blocks; b++)
        for (int32_t g = 0; g < job->n_gt; g++)
            job->highest[g] = boxes_max(job->largest[(int64_t)b * job->n_gt + g], job->highest[g]);
}

static int32_t best_gt(const struct job *job, const struct boxes_block *boxes, int32_t i)
{
    float best = 0.0F;
    int32_t gt = 0;
    for (int32_t g = 0; g < job->n_gt; g++) {
        float iou = boxes_iou_at(job->gt[g], boxes_area(job->gt[g]), boxes->x0, boxes->y0,
                                 boxes->x1, boxes->y1, boxes->area, i);
        if (!(iou > best)) continue;
        best = iou;
        gt = g;
    }
    return gt;
}

// set_low_quality_matches_ of torchvision's Matcher.
static void add_low_quality(const struct job *job, int32_t block)
{
    struct work w;
    bool loaded = false;
    for (int32_t g = 0; g < job->n_gt; g++) {
        if (job->largest[(int64_t)block * job->n_gt + g] != job->highest[g]) continue;
        if (!loaded) load(job, block, &w);
        loaded = true;
        find_ious(&w, job->gt[g], boxes_area(job->gt[g]));
        for (int32_t i = 0; i < w.n; i++) {
            if (w.iou[i] != job->highest[g] || job->match[w.first + i] >= 0) continue;
            job->match[w.first + i] = best_gt(job, &w.boxes, i);
        }
    }
}

static void run(const struct job *job)
{
#pragma omp parallel for num_threads(job->q->threads) schedule(static)
    for (int32_t b = 0; b < job->n_blocks; b++) match_block(job, b);
    if (!job->q->low_quality) return;
    find_highest(job);
#pragma omp parallel for num_threads(job->q->threads) schedule(static)
    for (int32_t b = 0; b < job->n_blocks; b++) add_low_quality(job, b);
}

status matcher_match(const struct matcher_params *q, const struct matcher_boxes *boxes,
                     int32_t n_gt, const float (*gt)[4], int32_t *match)
{
    if (n_gt == 0) {
        for (int32_t i = 0; i < boxes->n; i++) match[i] = MATCHER_BELOW;
        return OK;
    }
    if (n_gt >= MATCHER_MANY && boxes->n > 0) return matcher_many_match(q, boxes, n_gt, gt, match);
    struct job job = {.q = q,
                      .boxes = boxes,
                      .n_gt = n_gt,
                      .n_blocks = (boxes->n + BOXES_BLOCK - 1) / BOXES_BLOCK,
                      .gt = gt,
                      .match = match};
    TRY(mem_alloc(&job.largest, (size_t)(job.n_blocks + 1) * (size_t)n_gt));
    job.highest = job.largest + (int64_t)job.n_blocks * n_gt;
    run(&job);
    mem_free(job.largest);
    return OK;
}
