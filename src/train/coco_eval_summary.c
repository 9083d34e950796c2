// The twelve numbers and the metrics of each category: means over the arrays, with numpy's
// rounding.
#include "core/mem.h"
#include "train/coco_eval_internal.h"

// numpy's pairwise summation (loops_utils.h, pairwise_sum): blocks of up to 128 values by eight
// accumulators, longer arrays by halves, so that the mean equals numpy.mean bit for bit.
static double pairwise_sum(const double *v, size_t n)
{
    if (n < 8) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) sum += v[i];
        return sum;
    }
    if (n > 128) {
        size_t half = n / 2;
        half -= half % 8;
        return pairwise_sum(v, half) + pairwise_sum(v + half, n - half);
    }
    double lane[8];
    for (size_t j = 0; j < 8; j++) lane[j] = v[j];
    size_t whole = n - n % 8;
    for (size_t i = 8; i < whole; i += 8)
        for (size_t j = 0; j < 8; j++) lane[j] += v[i + j];
    double sum =
        ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
    for (size_t i = whole; i < n; i++) sum += v[i];
    return sum;
}

// What a mean goes over: thresholds and categories from..end, one area range, one limit.
struct slice {
    int t, t_end, k, k_end, area, limit;
};

// Mean of the values above -1 of an array (T, n_inner, K, A, M), in its order; -1 where there is
// none. values has room for all.
static double mean(const struct coco_eval *e, const double *array, int n_inner,
                   const struct slice *s, double *values)
{
    size_t n = 0;
    size_t n_areas = (size_t)e->params.n_areas, n_limits = (size_t)e->params.n_limits;
    for (int t = s->t; t < s->t_end; t++)
        for (int r = 0; r < n_inner; r++)
            for (int k = s->k; k < s->k_end; k++) {
                size_t tr = (size_t)t * (size_t)n_inner + (size_t)r;
                size_t tra = (tr * (size_t)e->n_categories + (size_t)k) * n_areas + (size_t)s->area;
                double v = array[tra * n_limits + (size_t)s->limit];
                if (v > -1) values[n++] = v;
            }
    return n == 0 ? -1 : pairwise_sum(values, n) / (double)n;
}

// Index of an IoU threshold, or -1.
static int find_iou(const struct coco_eval *e, double iou)
{
    for (int t = 0; t < e->params.n_ious; t++)
        if (e->params.iou[t] == iou) return t;
    return -1;
}

// The slice of one threshold, or of all for iou = 0; false where the thresholds lack it.
static bool slice_iou(const struct coco_eval *e, double iou, struct slice *s)
{
    int t = iou == 0 ? 0 : find_iou(e, iou);
    s->t = t;
    s->t_end = iou == 0 ? e->params.n_ious : t + 1;
    return t >= 0;
}

// pycocotools' summarize, line by line.
static const struct stat {
    const char *name;
    bool is_recall;
    double iou; // 0: all
    int area, limit;
} table[COCO_EVAL_N_STATS] = {
    {"AP", false, 0, 0, 2},       {"AP50", false, 0.5, 0, 2},    {"AP75", false, 0.75, 0, 2},
    {"AP_small", false, 0, 1, 2}, {"AP_medium", false, 0, 2, 2}, {"AP_large", false, 0, 3, 2},
    {"AR1", true, 0, 0, 0},       {"AR10", true, 0, 0, 1},       {"AR100", true, 0, 0, 2},
    {"AR_small", true, 0, 1, 2},  {"AR_medium", true, 0, 2, 2},  {"AR_large", true, 0, 3, 2},
};

const char *coco_eval_stat_name(int i)
{
    ASSERT(i >= 0 && i < COCO_EVAL_N_STATS);
    return table[i].name;
}

static double stat(const struct coco_eval *e, const struct stat *what, double *values)
{
    struct slice s = {.k_end = e->n_categories, .area = what->area, .limit = what->limit};
    if (!slice_iou(e, what->iou, &s) || s.area >= e->params.n_areas ||
        s.limit >= e->params.n_limits)
        return -1;
    return what->is_recall ? mean(e, e->recall, 1, &s, values)
                           : mean(e, e->precision, e->params.n_recalls, &s, values);
}

static void category(const struct coco_eval *e, int k, double *values)
{
    struct coco_eval_category *c = &e->categories[k];
    struct slice s = {.k = k, .k_end = k + 1, .limit = e->params.n_limits - 1};
    (void)slice_iou(e, 0, &s);
    c->ap = mean(e, e->precision, e->params.n_recalls, &s, values);
    c->ar = mean(e, e->recall, 1, &s, values);
    c->ap50 = slice_iou(e, 0.5, &s) ? mean(e, e->precision, e->params.n_recalls, &s, values) : -1;
    if (c->ap < 0 || c->ar < 0)
        c->f1 = -1;
    else
        c->f1 = c->ap == 0 || c->ar == 0 ? 0 : 2 / (1 / c->ap + 1 / c->ar);
}

status coco_eval_summary_fill(struct coco_eval *e)
{
    double *values;
    TRY(mem_alloc(&values, (size_t)e->params.n_ious * (size_t)e->params.n_recalls *
                               (size_t)e->n_categories));
    for (int i = 0; i < COCO_EVAL_N_STATS; i++) e->stats[i] = stat(e, &table[i], values);
    for (int k = 0; k < e->n_categories; k++) category(e, k, values);
    mem_free(values);
    return OK;
}
