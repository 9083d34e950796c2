// A pyramid's grids are the caller's; ops that walk back later keep a copy.
#include <string.h>

#include "tensor/ops/op_internal.h"

status op_copy_pyramid(struct tape *t, const struct pyramid *p, struct pyramid **out)
{
    struct pyramid *q;
    struct grid *grids;
    const size_t n = (size_t)p->n_groups * (size_t)p->n_levels;
    TRY(tape_arena(t, sizeof *q, &q));
    TRY(tape_arena(t, n * sizeof *grids, &grids));
    memcpy(grids, p->grids, n * sizeof *grids);
    *q = *p;
    q->grids = grids;
    *out = q;
    return OK;
}
