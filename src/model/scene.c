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

static status build_images(struct tape *t, const struct detector_batch *b, struct scene *s)
{
    size_t n = (size_t)b->n_images;
    int32_t *group, *slot;
    float(*size)[2], (*original)[2];
    TRY(tape_arena(t, n * sizeof *group, &group));
    TRY(tape_arena(t, n * sizeof *slot, &slot));
    TRY(tape_arena(t, n * sizeof *size, &size));
    TRY(tape_arena(t, n * sizeof *original, &original));
    TRY(tape_arena(t, n * sizeof *s->key, &s->key));
    for (size_t i = 0; i < n; i++) {
        const struct detector_image *image = &b->images[i];
        group[i] = image->group;
        slot[i] = image->slot;
        size[i][0] = image->h;
        size[i][1] = image->w;
        original[i][0] = image->original_h;
        original[i][1] = image->original_w;
    }
    s->pyramid.group = group;
    s->pyramid.slot = slot;
    s->pyramid.size = (const float(*)[2])size;
    s->original = (const float(*)[2])original;
    return OK;
}

static status build_targets(struct tape *t, const struct detector_batch *b, struct scene *s)
{
    int32_t *offset, *labels, total = 0;
    float(*boxes)[4];
    TRY(tape_arena(t, ((size_t)b->n_images + 1) * sizeof *offset, &offset));
    for (int i = 0; i < b->n_images; i++) {
        offset[i] = total;
        total += b->images[i].n_boxes;
        if (b->images[i].n_boxes > s->max_gt) s->max_gt = b->images[i].n_boxes;
    }
    offset[b->n_images] = total;
    TRY(tape_arena(t, (size_t)total * sizeof *boxes, &boxes));
    TRY(tape_arena(t, (size_t)total * sizeof *labels, &labels));
    for (int i = 0; i < b->n_images; i++) {
        const struct detector_image *image = &b->images[i];
        size_t n = (size_t)image->n_boxes;
        if (n == 0) continue;
        memcpy(boxes + offset[i], image->boxes, n * sizeof *boxes);
        memcpy(labels + offset[i], image->labels, n * sizeof *labels);
    }
    s->gt = (struct ground_truth){
        .offset = offset, .boxes = (const float(*)[4])boxes, .labels = labels};
    return OK;
}

status scene_build(struct tape *t, const struct detector_batch *b, struct tensor *const *features,
                   const float (*cell_anchors)[4], int n_anchors, struct scene *out)
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
    TRY(build_images(t, b, &s));
    TRY(build_targets(t, b, &s));
    *out = s;
    return OK;
}

void scene_draw_keys(struct scene *s, const struct detector_batch *b, uint64_t seed, uint64_t epoch,
                     int purpose)
{
    for (int i = 0; i < b->n_images; i++)
        s->key[i] = rng_key(seed, epoch, b->images[i].id_key, (enum rng_purpose)purpose);
}
