// Where the images of a micro-batch lie.
#include "model/scene.h"

#include <string.h>

#include "core/rng.h"
#include "model/anchors.h"

static status build_grids(struct tape *t, const struct detector_batch *b, struct scene *s)
{
    struct grid *grids;
    int n = b->n_groups * FPN_LEVELS;
    TRY(tape_arena(t, (size_t)n * sizeof *grids, &grids));
    for (int i = 0; i < n; i++) {
        const struct shape *canvas = &b->pixels[i / FPN_LEVELS]->shape;
        const struct shape *map = &s->features[i]->shape;
        grids[i] = (struct grid){
            .n = (int32_t)map->dim[0], .h = (int32_t)map->dim[1], .w = (int32_t)map->dim[2]};
        TRY(anchors_set_strides((int)canvas->dim[1], (int)canvas->dim[2], &grids[i]));
    }
    s->pyramid.grids = grids;
    for (int g = 0; g < b->n_groups; g++) {
        int anchors = 0;
        for (int l = 0; l < FPN_LEVELS; l++) {
            const struct grid *grid = &grids[g * FPN_LEVELS + l];
            anchors += grid->h * grid->w * s->pyramid.n_anchors;
        }
        if (anchors > s->max_anchors) s->max_anchors = anchors;
    }
    return OK;
}

// Where the parts of a block begin.
struct layout {
    size_t rpn_key, roi_key, size, original, boxes, offset, group, slot, labels, bytes;
};

static size_t reserve(size_t *bytes, size_t n, size_t each)
{
    size_t at = *bytes;
    *bytes = (at + n * each + 7) / 8 * 8;
    return at;
}

static struct layout lay_out(int n_images, int gt_capacity)
{
    struct layout l = {0};
    size_t n = (size_t)n_images, gt = (size_t)gt_capacity;
    l.rpn_key = reserve(&l.bytes, n, sizeof(uint64_t));
    l.roi_key = reserve(&l.bytes, n, sizeof(uint64_t));
    l.size = reserve(&l.bytes, n, sizeof(float[2]));
    l.original = reserve(&l.bytes, n, sizeof(float[2]));
    l.boxes = reserve(&l.bytes, gt, sizeof(float[4]));
    l.offset = reserve(&l.bytes, n + 1, sizeof(int32_t));
    l.group = reserve(&l.bytes, n, sizeof(int32_t));
    l.slot = reserve(&l.bytes, n, sizeof(int32_t));
    l.labels = reserve(&l.bytes, gt, sizeof(int32_t));
    return l;
}

size_t scene_block_bytes(int n_images, int gt_capacity)
{
    return lay_out(n_images, gt_capacity).bytes;
}

static void fill_targets(const struct detector_batch *b, const struct layout *l, char *host)
{
    float(*boxes)[4] = (void *)(host + l->boxes);
    int32_t *offset = (void *)(host + l->offset), *labels = (void *)(host + l->labels);
    offset[0] = 0;
    for (int i = 0; i < b->n_images; i++) {
        const struct detector_image *image = &b->images[i];
        size_t n = (size_t)image->n_boxes;
        offset[i + 1] = offset[i] + image->n_boxes;
        if (n == 0) continue;
        memcpy(boxes + offset[i], image->boxes, n * sizeof *boxes);
        memcpy(labels + offset[i], image->labels, n * sizeof *labels);
    }
}

void scene_block_fill(const struct detector_batch *b, int gt_capacity, uint64_t seed,
                      uint64_t epoch, void *host)
{
    const struct layout l = lay_out(b->n_images, gt_capacity);
    char *base = host;
    uint64_t *rpn_key = (void *)(base + l.rpn_key), *roi_key = (void *)(base + l.roi_key);
    float(*size)[2] = (void *)(base + l.size), (*original)[2] = (void *)(base + l.original);
    int32_t *group = (void *)(base + l.group), *slot = (void *)(base + l.slot);
    for (int i = 0; i < b->n_images; i++) {
        const struct detector_image *image = &b->images[i];
        rpn_key[i] = rng_key(seed, epoch, image->id_key, RNG_PURPOSE_RPN_SAMPLE);
        roi_key[i] = rng_key(seed, epoch, image->id_key, RNG_PURPOSE_ROI_SAMPLE);
        group[i] = image->group;
        slot[i] = image->slot;
        size[i][0] = image->h;
        size[i][1] = image->w;
        original[i][0] = image->original_h;
        original[i][1] = image->original_w;
    }
    fill_targets(b, &l, base);
}

// A block in host memory, or on the device by an upload.
static status make_block(struct tape *t, const struct detector_batch *b, int gt_capacity,
                         uint64_t seed, uint64_t epoch, const char **out)
{
    const struct device *d = tape_device(t);
    const size_t bytes = scene_block_bytes(b->n_images, gt_capacity);
    struct tensor *x;
    char *host;
    TRY(tape_arena(t, bytes, &host));
    scene_block_fill(b, gt_capacity, seed, epoch, host);
    *out = host;
    if (d->ops->host_counts) return OK; // device memory is host memory
    TRY(tape_tensor(t, "scene", DTYPE_U8, shape_1((int64_t)bytes), &x));
    *out = x->data;
    return d->ops->upload(d->stream, x->data, host, bytes);
}

static void point_into(const char *base, const struct layout *l, struct scene *s)
{
    s->rpn_key = (const void *)(base + l->rpn_key);
    s->roi_key = (const void *)(base + l->roi_key);
    s->original = (const void *)(base + l->original);
    s->pyramid.size = (const void *)(base + l->size);
    s->pyramid.group = (const void *)(base + l->group);
    s->pyramid.slot = (const void *)(base + l->slot);
    s->gt.offset = (const void *)(base + l->offset);
    s->gt.boxes = (const void *)(base + l->boxes);
    s->gt.labels = (const void *)(base + l->labels);
}

static status build_block(struct tape *t, const struct detector_batch *b, uint64_t seed,
                          uint64_t epoch, struct scene *s)
{
    const char *base = b->block;
    int total = 0;
    for (int i = 0; i < b->n_images; i++) {
        const int n = b->images[i].n_boxes;
        total += n;
        if (n > s->max_gt) s->max_gt = n;
    }
    s->gt.capacity = b->block != NULL ? b->gt_capacity : total;
    ASSERT(total <= s->gt.capacity);
    if (!tape_device(t)->ops->host_counts) s->max_gt = s->gt.capacity; // shapes must not tell more
    if (base == NULL) TRY(make_block(t, b, s->gt.capacity, seed, epoch, &base));
    const struct layout l = lay_out(b->n_images, s->gt.capacity);
    point_into(base, &l, s);
    return OK;
}

status scene_build(struct tape *t, const struct detector_batch *b, uint64_t seed, uint64_t epoch,
                   struct tensor *const *features, const float (*cell_anchors)[4], int n_anchors,
                   struct scene *out)
{
    struct scene s = {.n_images = b->n_images};
    int n = b->n_groups * FPN_LEVELS;
    TRY(tape_arena(t, (size_t)n * sizeof *s.features, &s.features));
    memcpy(s.features, features, (size_t)n * sizeof *features);
    s.pyramid.n_images = b->n_images;
    s.pyramid.n_groups = b->n_groups;
    s.pyramid.n_levels = FPN_LEVELS;
    s.pyramid.n_anchors = n_anchors;
    s.pyramid.cell_anchors = cell_anchors;
    TRY(build_grids(t, b, &s));
    TRY(build_block(t, b, seed, epoch, &s));
    *out = s;
    return OK;
}
