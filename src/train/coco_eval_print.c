// The metrics as text.
#include <string.h>

#include "train/coco_eval.h"

void coco_eval_print_stats(const struct coco_eval *e, FILE *to)
{
    static const char *const areas[] = {"all", "small", "medium", "large"};
    static const struct {
        const char *iou;
        int area, limit;
    } lines[COCO_EVAL_N_STATS] = {
        {"0.50:0.95", 0, 2}, {"0.50", 0, 2},      {"0.75", 0, 2},      {"0.50:0.95", 1, 2},
        {"0.50:0.95", 2, 2}, {"0.50:0.95", 3, 2}, {"0.50:0.95", 0, 0}, {"0.50:0.95", 0, 1},
        {"0.50:0.95", 0, 2}, {"0.50:0.95", 1, 2}, {"0.50:0.95", 2, 2}, {"0.50:0.95", 3, 2},
    };
    ASSERT(e->params.n_limits == 3);
    for (int i = 0; i < COCO_EVAL_N_STATS; i++) {
        bool is_recall = strncmp(coco_eval_stat_name(i), "AR", 2) == 0;
        (void)fprintf(to, " %-18s %s @[ IoU=%-9s | area=%6s | maxDets=%3d ] = %0.3f\n",
                      is_recall ? "Average Recall" : "Average Precision",
                      is_recall ? "(AR)" : "(AP)", lines[i].iou, areas[lines[i].area],
                      e->params.limit[lines[i].limit], e->stats[i]);
    }
}

void coco_eval_print_categories(const struct coco_eval *e, FILE *to)
{
    int widest = (int)strlen("category");
    for (int k = 0; k < e->n_categories; k++) {
        int width = (int)strlen(e->categories[k].name);
        if (width > widest) widest = width;
    }
    (void)fprintf(to, "%-*s %6s %6s %6s %6s\n", widest, "category", "AP", "AP50", "AR", "F1");
    for (int k = 0; k < e->n_categories; k++) {
        const struct coco_eval_category *c = &e->categories[k];
        (void)fprintf(to, "%-*s", widest, c->name);
        for (int i = 0; i < 4; i++) {
            double v = (const double[]){c->ap, c->ap50, c->ar, c->f1}[i];
            if (v < 0)
                (void)fprintf(to, " %6s", "-");
            else
                (void)fprintf(to, " %6.3f", v);
        }
        (void)fputc('\n', to);
    }
}
