// A tree over very many boxes, for asking which of them overlap a box most. Answers are those of a
// loop over all of them, to the bit.
#ifndef SHOAL_TENSOR_CPU_BOX_TREE_H
#define SHOAL_TENSOR_CPU_BOX_TREE_H

#include "core/status.h"
#include "tensor/cpu/boxes.h"

struct box_tree;

struct box_tree_hit {
    float iou;
    int32_t box; // its number
};

// boxes (n, 4), n > 0, finite, no side negative, areas 0 or normal numbers; not kept. E_NOMEM
// alone.
MUST_USE status box_tree_create(int32_t n, const float (*boxes)[4], struct box_tree **out);
void box_tree_destroy(struct box_tree *t);
// The box of the largest IoU with a, of equals the first; or least, where that IoU is smaller, or
// is the same and least.box comes first. {0, 0} is less than any, {x, INT32_MAX} asks for x at
// least. Takes some microseconds with a million boxes.
struct box_tree_hit box_tree_best(const struct box_tree *t, const float a[4],
                                  struct box_tree_hit least);
// mark[i] = true for all boxes i whose IoU with a is iou or larger; iou > 0. Several threads may
// share mark.
void box_tree_mark(const struct box_tree *t, const float a[4], float iou, bool *mark);

#endif
