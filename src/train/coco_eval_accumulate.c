// Precision over recall of one category: accumulate of pycocotools' cocoeval.py.
//
// Precision rises at true detections alone, so its envelope (the highest precision at this recall
// or beyond) and the first place where a recall is reached are found among these.
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

// A curve's place in the arrays: T, A and M index, and what the curve is drawn from.
struct curve {
    int t, a, m;
    int64_t n_positives;
    const int64_t *wanted; // (R)
};

// Fills tp_precision and tp_score with the values at each true detection, then makes the envelope.
// Returns how many there are; *first is the index of the first detection within the limit or
// n_dets.
static int64_t walk(const struct coco_eval_params *p, struct coco_eval_work *w,
                    const struct curve *c, size_t *first)
{
    int64_t tp = 0, fp = 0;
    int32_t limit = p->limit[c->m];
    *first = w->n_dets;
    for (size_t i = 0; i < w->n_dets; i++) {
        if (w->sorted_rank[i] >= limit) continue;
        if (*first == w->n_dets) *first = i;
        fp += w->sorted_false[i] >> c->t & 1;
        if ((w->sorted_true[i] >> c->t & 1) == 0) continue;
        w->tp_precision[tp] = (double)(tp + 1) / ((double)(fp + tp + 1) + spacing_of_one);
        w->tp_score[tp] = w->keys[i].score;
        tp++;
    }
    for (int64_t i = tp - 1; i > 0; i--)
        if (w->tp_precision[i] > w->tp_precision[i - 1])
            w->tp_precision[i - 1] = w->tp_precision[i];
    return tp;
}

static void draw(const struct coco_eval_params *p, struct coco_eval_work *w, const struct curve *c)
{
    size_t first;
    int64_t tp = walk(p, w, c, &first);
    size_t n_am = (size_t)p->n_areas * (size_t)p->n_limits;
    size_t am = (size_t)c->a * (size_t)p->n_limits + (size_t)c->m;
    w->recall[(size_t)c->t * n_am + am] = (double)tp / (double)c->n_positives;
    for (int r = 0; r < p->n_recalls; r++) {
        size_t at = ((size_t)c->t * (size_t)p->n_recalls + (size_t)r) * n_am + am;
        int64_t n = c->wanted[r];
        w->precision[at] = 0;
        w->scores[at] = 0;
        if (first == w->n_dets || n > tp) continue;
        // Recall 0 is reached by the very first detection, true or not.
        if (tp > 0) w->precision[at] = w->tp_precision[n > 0 ? n - 1 : 0];
        w->scores[at] = n > 0 ? w->tp_score[n - 1] : w->keys[first].score;
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
    for (int a = 0; a < p->n_areas; a++) {
        if (w->n_positives[a] == 0) continue;
        for (size_t i = 0; i < w->n_dets; i++) {
            size_t d = (size_t)a * w->n_dets + w->keys[i].index;
            w->sorted_true[i] = w->is_true[d];
            w->sorted_false[i] = w->is_false[d];
        }
        int64_t wanted[COCO_EVAL_MAX_RECALLS];
        wanted_tps(p, w->n_positives[a], wanted);
        for (int t = 0; t < p->n_ious; t++)
            for (int m = 0; m < p->n_limits; m++)
                draw(p, w, &(struct curve){t, a, m, w->n_positives[a], wanted});
    }
}
