// What torchvision answered, from tests/golden/detector (tests/golden/make_detector.py).
#ifndef SHOAL_TESTS_TENSOR_DETECTOR_GOLDEN_H
#define SHOAL_TESTS_TENSOR_DETECTOR_GOLDEN_H

#include <stdint.h>

#include "io/safetensors.h"
#include "support/test.h"
#include "tensor/backend.h"

// tests/golden/detector/NAME.safetensors; NULL, and the test has failed, where it cannot be read.
struct safetensors *golden_open(const char *name);
// The entry's elements; the program ends where there is none of that name and type.
const struct safetensors_entry *golden_entry(const struct safetensors *g, const char *name);
const void *golden_f32(const struct safetensors *g, const char *name);
const void *golden_i32(const struct safetensors *g, const char *name);
size_t golden_n(const struct safetensors *g, const char *name);
// Compares got with the entry NAME + SUFFIX, each element within of_largest of the largest.
void golden_close(const struct safetensors *g, const char *name, const char *suffix,
                  const float *got, double of_largest);
// The same whole numbers.
void golden_equal(const struct safetensors *g, const char *name, const int32_t *got);

// The pyramid, ground truth and proposals of scene.safetensors, with the maps that made these.
enum { GOLDEN_IMAGES = 3, GOLDEN_GROUPS = 2, GOLDEN_LEVELS = 5, GOLDEN_PROPOSALS = 210 };
struct golden_scene {
    struct pyramid pyramid;
    struct grid grids[GOLDEN_GROUPS * GOLDEN_LEVELS];
    struct ground_truth gt;
    const float *logits[GOLDEN_GROUPS * GOLDEN_LEVELS], *deltas[GOLDEN_GROUPS * GOLDEN_LEVELS];
};
void golden_read_scene(const struct safetensors *g, struct golden_scene *out);

// Room for samples, filled with what no kernel writes.
MUST_USE status golden_samples_create(int n_images, int per_image, struct samples *out);
void golden_samples_destroy(struct samples *s);
// Both hold the same bytes.
void golden_same_samples(int n_images, const struct samples *a, const struct samples *b);

#endif
