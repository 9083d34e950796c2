// Precision over recall of one category: accumulate of pycocotools' cocoeval.py.
//
// Precision rises at true detections alone, so its envelope (the highest precision at this recall
// or beyond) and the first place where a recall is reached are found among these.
#include "core/simd.h"
#include "train/coco_eval_internal.h"

static const double spacing_of_one = 0x1p-52; // numpy.spacing(1)

// For each recall threshold how many true detections reach it: the least n with n / positives >=
// it.
static void wanted_tps(const struct coco_eval_params *p, int64_t n_positives, int64_t *wanted)
{
    int64_t n = 0;
    for (int r = 0; r < p->n_recalls; r++) {
        while ((double)n / (double)n_positives < p->recall[r]) n++;
        wanted[r] = n;
    }
}

// Walks down the detections of one area range within a limit, all thresholds at once: at each true
// one the precision so far and the score, a row of n_dets for each threshold. Fills n_true (T);
// returns the index of the first detection within the limit, or n_dets.
SIMD_CLONES
static size_t walk(const struct coco_eval_params *p, struct coco_eval_work *w, int32_t limit,
                   int64_t *n_true)
{
    uint32_t n_false[COCO_EVAL_MAX_IOUS] = {0};
    size_t first = w->n_dets;
    for (int t = 0; t < p->n_ious; t++) n_true[t] = 0;
    for (size_t i = 0; i < w->n_dets; i++) {
        if (w->sorted_rank[i] >= limit) continue;
        if (first == w->n_dets) first = i;
        uint32_t is_false = w->sorted_false[i];
        for (int t = 0; t < COCO_EVAL_MAX_IOUS; t++) n_false[t] += is_false >> t & 1;
        for (uint32_t bits = w->sorted_true[i]; bits != 0; bits &= bits - 1) {
            int t = __builtin_ctz(bits);
            size_t at = (size_t)t * w->n_dets + (size_t)n_true[t]++;
            int64_t n = n_false[t] + n_true[t];
            w->tp_precision[at] = (double)n_true[t] / ((double)n + spacing_of_one);
            w->tp_score[at] = w->keys[i].score;
        }
    }
    return first;
}

// A curve's place in the arrays, and how many true detections its recalls want.
struct curve {
    int t, a, m;
    int64_t n_positives;
    const int64_t *wanted; // (R)
    int64_t n_true;
    size_t first; // detection in order of score
};

static void draw(const struct coco_eval_params *p, struct coco_eval_work *w, const struct curve *c)
{
    double *precision = w->tp_precision + (size_t)c->t * w->n_dets;
    const double *score = w->tp_score + (size_t)c->t * w->n_dets;
    size_t n_am = (size_t)p->n_areas * (size_t)p->n_limits;
    size_t am = (size_t)c->a * (size_t)p->n_limits + (size_t)c->m;
    for (int64_t i = c->n_true - 1; i > 0; i--) // the envelope
        if (precision[i] > precision[i - 1]) precision[i - 1] = precision[i];
    w->recall[(size_t)c->t * n_am + am] = (double)c->n_true / (double)c->n_positives;
    for (int r = 0; r < p->n_recalls; r++) {
        size_t at = ((size_t)c->t * (size_t)p->n_recalls + (size_t)r) * n_am + am;
        int64_t n = c->wanted[r];
        w->precision[at] = 0;
        w->scores[at] = 0;
        if (c->first == w->n_dets || n > c->n_true) continue;
        // Recall 0 is reached by the very first detection, true or not.
        if (c->n_true > 0) w->precision[at] = precision[n > 0 ? n - 1 : 0];
        w->scores[at] = n > 0 ? score[n - 1] : w->keys[c->first].score;
    }
}

static void draw_area(const struct coco_eval_params *p, struct coco_eval_work *w, int a)
{
    int64_t wanted[COCO_EVAL_MAX_RECALLS], n_true[COCO_EVAL_MAX_IOUS];
    wanted_tps(p, w->n_positives[a], wanted);
    for (size_t i = 0; i < w->n_dets; i++) {
        size_t d = (size_t)a * w->n_dets + w->keys[i].index;
        w->sorted_true[i] = w->is_true[d];
        w->sorted_false[i] = w->is_false[d];
    }
    for (int m = 0; m < p->n_limits; m++) {
        size_t first = walk(p, w, p->limit[m], n_true);
        for (int t = 0; t < p->n_ious; t++)
            draw(p, w, &(struct curve){t, a, m, w->n_positives[a], wanted, n_true[t], first});
    }
}

static void sort_dets(struct coco_eval_work *w)
{
    for (size_t d = 0; d < w->n_dets; d++)
        w->keys[d] = (struct coco_eval_key){.score = w->dets[d].score, .index = (uint32_t)d};
    coco_eval_sort_keys(w->keys, w->keys_scratch, w->n_dets);
    for (size_t i = 0; i < w->n_dets; i++) w->sorted_rank[i] = w->dets[w->keys[i].index].rank;
}

void coco_eval_accumulate_category(const struct coco_eval_params *p, struct coco_eval_work *w)
{
    size_t n_tam = (size_t)p->n_ious * (size_t)p->n_areas * (size_t)p->n_limits;
    for (size_t i = 0; i < n_tam; i++) w->recall[i] = -1;
    for (size_t i = 0; i < n_tam * (size_t)p->n_recalls; i++) w->precision[i] = w->scores[i] = -1;
    sort_dets(w);
    for (int a = 0; a < p->n_areas; a++)
        if (w->n_positives[a] > 0) draw_area(p, w, a);
}
