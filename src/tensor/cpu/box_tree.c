// Branch and bound over a packed tree of hulls. Boxes are halved again and again along the side in
// which they differ most; FAN that lie together then make a node, FAN nodes one of the level above.
//
// None of the boxes below an entry has a larger IoU with a than
// - the common area of a and their hull over the union that this and their least area leave.
//   Rounding keeps order (x <= y gives fl(x) <= fl(y)), so this holds for computed numbers too;
// - what the x axis alone allows, common length over length of the union, and the y axis: but for
//   rounding, which is less than the margin.
// At a leaf's entry, which is a box, the first is boxes_iou_at's own value and the least of the
// three. So what is left out cannot win.
#include "tensor/cpu/box_tree.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "core/simd.h"

enum { FAN = 16, MAX_LEVELS = 8 };

static const float margin = 1.00001F;

struct entry {
    float outer[4]; // hull of its boxes: least x0, least y0, most x1, most y1
    float inner[4]; // most x0, most y0, least x1, least y1
    float least_area, most_area;
    int32_t first; // least number of a box
};

struct node { // entries by columns; those that are not there have IoU 0 with everything
    float outer[4][FAN], inner[4][FAN];
    float least_area[FAN], most_area[FAN];
    int32_t first[FAN];
};

struct box_tree {
    int top;                        // level of the root; 0: leaves, whose entries are boxes
    struct node *level[MAX_LEVELS]; // in one piece of memory; entry e of node i is node i * FAN + e
                                    // of the level below
};

// ---- Building --------------------------------------------------------------------------------

// Swaps order's n entries until the first m have no larger side than the others (Hoare, Algorithm
// 65: FIND, 1961).
static void part(const float (*boxes)[4], int side, int32_t *order, int64_t n, int64_t m)
{
    for (int64_t low = 0, high = n - 1; low < high;) {
        float pivot = boxes[order[(low + high) / 2]][side];
        int64_t i = low, j = high;
        while (i <= j) {
            while (boxes[order[i]][side] < pivot) i++;
            while (boxes[order[j]][side] > pivot) j--;
            if (i > j) break;
            int32_t swap = order[i];
            order[i++] = order[j];
            order[j--] = swap;
        }
        if (m > j && m < i) return;
        if (m <= j)
            high = j;
        else
            low = i;
    }
}

static int widest_side(const float (*boxes)[4], const int32_t *order, int64_t n)
{
    int widest = 0;
    float most = -1;
    for (int side = 0; side < 4; side++) {
        float low = boxes[order[0]][side], high = low;
        for (int64_t i = 1; i < n; i++) {
            low = boxes_min(low, boxes[order[i]][side]);
            high = boxes_max(high, boxes[order[i]][side]);
        }
        if (high - low <= most) continue;
        most = high - low;
        widest = side;
    }
    return widest;
}

// Cuts where a power of two of nodes ends, so that no node of any level lies on both sides.
static void arrange(const float (*boxes)[4], int32_t *order, int64_t n)
{
    int64_t m = FAN;
    if (n <= FAN) return;
    while (2 * m < n) m *= 2;
    part(boxes, widest_side(boxes, order, n), order, n, m);
    arrange(boxes, order, m);
    arrange(boxes, order + m, n - m);
}

static struct entry entry_at(const struct node *node, int e)
{
    struct entry x = {.least_area = node->least_area[e],
                      .most_area = node->most_area[e],
                      .first = node->first[e]};
    for (int k = 0; k < 4; k++) {
        x.outer[k] = node->outer[k][e];
        x.inner[k] = node->inner[k][e];
    }
    return x;
}

static void set_entry(struct node *node, int e, const struct entry *x)
{
    for (int k = 0; k < 4; k++) {
        node->outer[k][e] = x->outer[k];
        node->inner[k][e] = x->inner[k];
    }
    node->least_area[e] = x->least_area;
    node->most_area[e] = x->most_area;
    node->first[e] = x->first;
}

static struct entry sum_up(const struct node *node)
{
    struct entry sum = entry_at(node, 0);
    for (int e = 1; e < FAN; e++) {
        struct entry x = entry_at(node, e);
        for (int k = 0; k < 2; k++) {
            sum.outer[k] = boxes_min(sum.outer[k], x.outer[k]);
            sum.inner[k] = boxes_max(sum.inner[k], x.inner[k]);
            sum.outer[k + 2] = boxes_max(sum.outer[k + 2], x.outer[k + 2]);
            sum.inner[k + 2] = boxes_min(sum.inner[k + 2], x.inner[k + 2]);
        }
        sum.least_area = boxes_min(sum.least_area, x.least_area);
        sum.most_area = boxes_max(sum.most_area, x.most_area);
        if (x.first < sum.first) sum.first = x.first;
    }
    return sum;
}

static int64_t nodes_for(int64_t n)
{
    return (n + FAN - 1) / FAN;
}

// All of whose entries are not there.
static status make_levels(struct box_tree *t, int64_t n)
{
    static const struct entry none = {{INFINITY, INFINITY, -INFINITY, -INFINITY},
                                      {-INFINITY, -INFINITY, INFINITY, INFINITY},
                                      INFINITY,
                                      0,
                                      INT32_MAX};
    int64_t begin[MAX_LEVELS], n_nodes = 0;
    do {
        n = nodes_for(n);
        begin[t->top++] = n_nodes;
        n_nodes += n;
    } while (n > 1);
    TRY(mem_alloc(&t->level[0], (size_t)n_nodes));
    while (--t->top > 0) t->level[t->top] = t->level[0] + begin[t->top];
    for (int64_t i = 0; i < n_nodes * FAN; i++)
        set_entry(&t->level[0][i / FAN], (int)(i % FAN), &none);
    return OK;
}

static void fill(struct box_tree *t, int64_t n, const float (*boxes)[4], const int32_t *order)
{
    for (int64_t i = 0; i < n; i++) {
        const float *box = boxes[order[i]];
        float area = boxes_area(box);
        struct entry x = {.least_area = area, .most_area = area, .first = order[i]};
        memcpy(x.outer, box, sizeof x.outer);
        memcpy(x.inner, box, sizeof x.inner);
        set_entry(&t->level[0][i / FAN], (int)(i % FAN), &x);
    }
    for (n = nodes_for(n); n > 1; n = nodes_for(n), t->top++) {
        for (int64_t i = 0; i < n; i++) {
            struct entry x = sum_up(&t->level[t->top][i]);
            set_entry(&t->level[t->top + 1][i / FAN], (int)(i % FAN), &x);
        }
    }
}

status box_tree_create(int32_t n, const float (*boxes)[4], struct box_tree **out)
{
    struct box_tree *t = NULL;
    int32_t *order = NULL;
    status st = OK;
    ASSERT(n > 0);
    TRY(mem_zalloc(&t, 1));
    TRY_GOTO(st, make_levels(t, n), fail);
    TRY_GOTO(st, mem_alloc(&order, (size_t)n), fail);
    for (int32_t i = 0; i < n; i++) order[i] = i;
    arrange(boxes, order, n);
    fill(t, n, boxes, order);
    mem_free(order);
    *out = t;
    return OK;
fail:
    box_tree_destroy(t);
    return st;
}

void box_tree_destroy(struct box_tree *t)
{
    if (t == NULL) return;
    mem_free(t->level[0]);
    mem_free(t);
}

// ---- Asking ----------------------------------------------------------------------------------

// boxes_min gives its second where one is NaN: 0 / 0 of areas stays so, and with a side of a of
// length 0 that one decides.
static SIMD_CLONES void find_bounds(const struct node *restrict n, const float a[4], float area,
                                    float *restrict bound)
{
    const float x0 = a[0], y0 = a[1], x1 = a[2], y1 = a[3];
    for (int e = 0; e < FAN; e++) {
        float w = boxes_max(boxes_min(x1, n->outer[2][e]) - boxes_max(x0, n->outer[0][e]), 0.0F);
        float h = boxes_max(boxes_min(y1, n->outer[3][e]) - boxes_max(y0, n->outer[1][e]), 0.0F);
        float either_w = boxes_max(x1, n->inner[2][e]) - boxes_min(x0, n->inner[0][e]);
        float either_h = boxes_max(y1, n->inner[3][e]) - boxes_min(y0, n->inner[1][e]);
        float common = boxes_min(w * h, n->most_area[e]);
        float by_area = common / (area + n->least_area[e] - common);
        bound[e] = boxes_min(boxes_min(w / either_w, h / either_h) * margin, by_area);
    }
}

// The entry that promises most, if it is more than that; -1 where none does.
static int most_promising(const struct node *n, const float bound[FAN], struct box_tree_hit than)
{
    int best = -1;
    for (int e = 0; e < FAN; e++) {
        if (!(bound[e] > than.iou || (bound[e] == than.iou && n->first[e] < than.box))) continue;
        than = (struct box_tree_hit){bound[e], n->first[e]};
        best = e;
    }
    return best;
}

static struct box_tree_hit best_below(const struct box_tree *t, int level, int64_t at,
                                      const float a[4], struct box_tree_hit best)
{
    const struct node *n = &t->level[level][at];
    float bound[FAN];
    find_bounds(n, a, boxes_area(a), bound);
    for (int e; (e = most_promising(n, bound, best)) >= 0; bound[e] = -1.0F)
        best = level > 0 ? best_below(t, level - 1, at * FAN + e, a, best)
                         : (struct box_tree_hit){bound[e], n->first[e]};
    return best;
}

struct box_tree_hit box_tree_best(const struct box_tree *t, const float a[4],
                                  struct box_tree_hit least)
{
    return best_below(t, t->top, 0, a, least);
}

static void mark_below(const struct box_tree *t, int level, int64_t at, const float a[4], float iou,
                       bool *mark)
{
    const struct node *n = &t->level[level][at];
    float bound[FAN];
    find_bounds(n, a, boxes_area(a), bound);
    for (int e = 0; e < FAN; e++) {
        if (!(bound[e] >= iou)) continue;
        if (level > 0) {
            mark_below(t, level - 1, at * FAN + e, a, iou, mark);
        } else {
#pragma omp atomic write
            mark[n->first[e]] = true;
        }
    }
}

void box_tree_mark(const struct box_tree *t, const float a[4], float iou, bool *mark)
{
    mark_below(t, t->top, 0, a, iou, mark);
}
