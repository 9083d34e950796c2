// The buffers that one category after the other uses.
#include "core/mem.h"
#include "train/coco_eval_internal.h"

static status match_init(struct coco_eval_work *w, const struct coco_eval_params *p, size_t n_gts,
                         size_t n_dets)
{
    TRY(mem_alloc(&w->gts, n_gts));
    TRY(mem_alloc(&w->dets, n_dets));
    TRY(mem_alloc(&w->is_true, (size_t)p->n_areas * n_dets));
    TRY(mem_alloc(&w->is_false, (size_t)p->n_areas * n_dets));
    TRY(mem_alloc(&w->candidate_start, n_dets + 1));
    TRY(mem_alloc(&w->gt_matched, n_gts));
    TRY(mem_alloc(&w->gt_ignored, n_gts));
    return OK;
}

static status accumulate_init(struct coco_eval_work *w, const struct coco_eval_params *p,
                              size_t n_dets)
{
    size_t n_tam = (size_t)p->n_ious * (size_t)p->n_areas * (size_t)p->n_limits;
    TRY(mem_alloc(&w->keys, n_dets));
    TRY(mem_alloc(&w->keys_scratch, n_dets));
    TRY(mem_alloc(&w->sorted_rank, n_dets));
    TRY(mem_alloc(&w->sorted_true, n_dets));
    TRY(mem_alloc(&w->sorted_false, n_dets));
    TRY(mem_alloc(&w->tp_precision, (size_t)p->n_ious * n_dets));
    TRY(mem_alloc(&w->tp_score, (size_t)p->n_ious * n_dets));
    TRY(mem_alloc(&w->recall, n_tam));
    TRY(mem_alloc(&w->precision, n_tam * (size_t)p->n_recalls));
    TRY(mem_alloc(&w->scores, n_tam * (size_t)p->n_recalls));
    return OK;
}

status coco_eval_work_init(struct coco_eval_work *w, const struct coco_eval_params *p, size_t n_gts,
                           size_t n_dets)
{
    TRY(match_init(w, p, n_gts, n_dets));
    return accumulate_init(w, p, n_dets);
}

void coco_eval_work_fini(struct coco_eval_work *w)
{
    void *all[] = {w->gts,          w->dets,         w->is_true,
                   w->is_false,     w->candidates,   w->candidate_start,
                   w->gt_matched,   w->gt_ignored,   w->keys,
                   w->keys_scratch, w->sorted_rank,  w->sorted_true,
                   w->sorted_false, w->tp_precision, w->tp_score,
                   w->recall,       w->precision,    w->scores};
    for (size_t i = 0; i < COUNT(all); i++) mem_free(all[i]);
}
