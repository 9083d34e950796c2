// A small detection data set made on the spot: coloured shapes of eight kinds on textured
// backgrounds, with the exact boxes of what was drawn. Every picture is a function of (seed, set,
// number, size).
#ifndef SHOAL_IO_SYNTH_H
#define SHOAL_IO_SYNTH_H

#include "io/image.h"

enum { SYNTH_N_CLASSES = 8, SYNTH_MAX_SHAPES = 5, SYNTH_MIN_SIZE = 32, SYNTH_MAX_SIZE = 4096 };

enum synth_set { SYNTH_SET_TRAIN, SYNTH_SET_VAL };

struct synth_shape {
    int32_t label;      // 1..SYNTH_N_CLASSES
    int32_t x, y, w, h; // tight bounds of the pixels that it covers by half or more
    int32_t area;       // how many these are
};

struct synth_picture {
    struct image image; // size x size
    int n;              // 1..SYNTH_MAX_SHAPES
    struct synth_shape shapes[SYNTH_MAX_SHAPES];
};

const char *synth_class_name(int32_t label);
// The caller's (synth_picture_fini). Fails with E_NOMEM.
MUST_USE status synth_draw(int64_t seed, enum synth_set set, int64_t number, int32_t size,
                           struct synth_picture *out);
void synth_picture_fini(struct synth_picture *picture);

struct synth_params {
    const char *folder;
    int64_t n_train, n_val; // pictures; n_val may be 0
    int32_t size;           // pixels a side
    int64_t seed;
};
// Writes FOLDER/train/000001.jpg ... and FOLDER/annotations/instances_train.json (COCO), and the
// same for val. The JSON comes last and whole, so that it stands only where its pictures do.
// *n_shapes: how many were drawn. Errors: E_IO with the path; then nothing that was
// written stays.
MUST_USE status synth_write(const struct synth_params *p, int64_t *n_shapes);

#endif
