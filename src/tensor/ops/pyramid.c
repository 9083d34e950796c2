// A pyramid's arrays are the caller's; ops that walk back later keep copies.
#include <string.h>

#include "tensor/ops/op_internal.h"

static status copy(struct tape *t, const void *from, size_t n, size_t bytes, void *to)
{
    void *p = NULL;
    if (from != NULL) {
        TRY(tape_arena(t, n * bytes, &p));
        memcpy(p, from, n * bytes);
    }
    memcpy(to, &p, sizeof p);
    return OK;
}

status op_copy_pyramid(struct tape *t, const struct pyramid *p, struct pyramid **out)
{
    struct pyramid *q;
    size_t images = (size_t)p->n_images, levels = (size_t)p->n_levels;
    TRY(tape_arena(t, sizeof *q, &q));
    *q = *p;
    TRY(copy(t, p->grids, (size_t)p->n_groups * levels, sizeof *p->grids, &q->grids));
    TRY(copy(t, p->group, images, sizeof *p->group, &q->group));
    TRY(copy(t, p->slot, images, sizeof *p->slot, &q->slot));
    TRY(copy(t, p->size, images, sizeof *p->size, &q->size));
    TRY(copy(t, p->cell_anchors, levels * (size_t)p->n_anchors, sizeof *p->cell_anchors,
             &q->cell_anchors));
    *out = q;
    return OK;
}
