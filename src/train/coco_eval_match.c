// Which detection of a category matches which ground truth: evaluateImg of pycocotools'
// cocoeval.py.
//
// pycocotools looks, for each threshold and detection, through all ground truths of the image with
// the ignored ones last. Here only those with an IoU of at least the lowest threshold are looked
// at, the counted ones first and the ignored ones where none of these matched, which comes to the
// same.
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "train/coco_eval_internal.h"

// One image's slice of a category.
struct image_boxes {
    const struct coco_eval_gt *gts;
    const struct coco_eval_det *dets;
    size_t n_gts, n_dets, first_det;
};

// bbIou of pycocotools' maskApi.c: against a crowd, the share of the detection that lies in it.
static double iou(const struct coco_eval_det *d, const struct coco_eval_gt *g)
{
    double d_x1 = d->w + d->x, g_x1 = g->w + g->x;
    double w = (d_x1 < g_x1 ? d_x1 : g_x1) - (d->x > g->x ? d->x : g->x);
    if (w <= 0) return 0;
    double d_y1 = d->h + d->y, g_y1 = g->h + g->y;
    double h = (d_y1 < g_y1 ? d_y1 : g_y1) - (d->y > g->y ? d->y : g->y);
    if (h <= 0) return 0;
    double shared = w * h, d_area = d->w * d->h;
    return shared / (g->is_crowd ? d_area : d_area + g->w * g->h - shared);
}

// The IoU wanted at a threshold: pycocotools lets an exact fit pass at threshold 1.
static double wanted_iou(double threshold)
{
    const double most = 1 - 1e-10;
    return threshold < most ? threshold : most;
}

static status find_candidates(const struct image_boxes *b, double lowest, struct coco_eval_work *w)
{
    size_t n = 0;
    for (size_t d = 0; d < b->n_dets; d++) {
        w->candidate_start[d] = n;
        TRY(mem_grow(&w->candidates, &w->candidates_capacity, n + b->n_gts));
        double least = lowest;
        for (size_t g = 0; g < b->n_gts; g++) {
            double v = iou(&b->dets[d], &b->gts[g]);
            if (isnan(v) && !isnan(least)) {
                // 0/0 of boxes too small for a double's area. pycocotools takes it for a match, and
                // then whatever follows, as nothing is less than a NaN: so nobody is left out.
                least = v;
                n = w->candidate_start[d];
                g = 0;
                v = iou(&b->dets[d], &b->gts[g]);
            }
            if (!(v < least))
                w->candidates[n++] = (struct coco_eval_candidate){.gt = (int32_t)g, .iou = v};
        }
    }
    w->candidate_start[b->n_dets] = n;
    return OK;
}

// The best of the candidates that are ignored or not, as asked, or -1; the last one among equals.
static int32_t best_match(const struct coco_eval_candidate *c, size_t n,
                          const struct image_boxes *b, const struct coco_eval_work *w, bool ignored,
                          int t, double least)
{
    int32_t best = -1;
    for (size_t i = 0; i < n; i++) {
        int32_t g = c[i].gt;
        if (w->gt_ignored[g] != ignored) continue;
        if ((w->gt_matched[g] >> t & 1) != 0 && !b->gts[g].is_crowd) continue;
        if (c[i].iou < least) continue;
        least = c[i].iou;
        best = g;
    }
    return best;
}

// Both are bit sets over thresholds.
struct match_bits {
    uint32_t matched, ignored;
};

static struct match_bits match_det(const struct coco_eval_params *p, const struct image_boxes *b,
                                   size_t d, struct coco_eval_work *w)
{
    struct match_bits bits = {0, 0};
    const struct coco_eval_candidate *c = w->candidates + w->candidate_start[d];
    size_t n = w->candidate_start[d + 1] - w->candidate_start[d];
    for (int t = 0; t < p->n_ious && n > 0; t++) {
        double least = wanted_iou(p->iou[t]);
        int32_t g = best_match(c, n, b, w, false, t, least);
        if (g < 0) g = best_match(c, n, b, w, true, t, least);
        if (g < 0) continue;
        uint32_t bit = UINT32_C(1) << t;
        w->gt_matched[g] |= bit;
        if (w->gt_ignored[g]) bits.ignored |= bit;
        // pycocotools stores the annotation's id for "matched", so id 0 reads as not matched.
        if (!b->gts[g].id_is_zero) bits.matched |= bit;
    }
    return bits;
}

static bool outside(double area, const double range[2])
{
    return area < range[0] || area > range[1];
}

static void match_image(const struct coco_eval_params *p, const struct image_boxes *b, int a,
                        struct coco_eval_work *w)
{
    for (size_t g = 0; g < b->n_gts; g++) {
        w->gt_matched[g] = 0;
        w->gt_ignored[g] = b->gts[g].is_crowd || outside(b->gts[g].area, p->area[a]);
        w->n_positives[a] += !w->gt_ignored[g];
    }
    uint32_t all = UINT32_MAX >> (32 - p->n_ious);
    for (size_t d = 0; d < b->n_dets; d++) {
        struct match_bits bits = match_det(p, b, d, w);
        if (outside(b->dets[d].w * b->dets[d].h, p->area[a])) bits.ignored |= all & ~bits.matched;
        size_t at = (size_t)a * w->n_dets + b->first_det + d;
        w->is_true[at] = bits.matched & ~bits.ignored;
        w->is_false[at] = all & ~bits.matched & ~bits.ignored;
    }
}

// The next image in order that has a ground truth or a detection.
static struct image_boxes next_image(const struct coco_eval_work *w, size_t *g, size_t *d)
{
    int32_t image = INT32_MAX;
    if (*g < w->n_gts) image = w->gts[*g].image;
    if (*d < w->n_dets && w->dets[*d].image < image) image = w->dets[*d].image;
    struct image_boxes b = {.gts = w->gts + *g, .dets = w->dets + *d, .first_det = *d};
    while (*g + b.n_gts < w->n_gts && b.gts[b.n_gts].image == image) b.n_gts++;
    while (*d + b.n_dets < w->n_dets && b.dets[b.n_dets].image == image) b.n_dets++;
    *g += b.n_gts;
    *d += b.n_dets;
    return b;
}

status coco_eval_match_category(const struct coco_eval_params *p, struct coco_eval_work *w)
{
    double lowest = wanted_iou(p->iou[0]);
    for (int t = 1; t < p->n_ious; t++)
        if (p->iou[t] < lowest) lowest = p->iou[t];
    memset(w->n_positives, 0, sizeof w->n_positives);
    for (size_t g = 0, d = 0; g < w->n_gts || d < w->n_dets;) {
        struct image_boxes b = next_image(w, &g, &d);
        TRY(find_candidates(&b, lowest, w));
        for (int a = 0; a < p->n_areas; a++) match_image(p, &b, a, w);
    }
    return OK;
}
