// Reading the detector's goldens.
#include "detector_golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

struct safetensors *golden_open(const char *name)
{
    char path[128];
    struct safetensors *g = NULL;
    snprintf(path, sizeof path, "tests/golden/detector/%s.safetensors", name);
    EXPECT_OK(safetensors_open(test_source_path(path), &g));
    return g;
}

const struct safetensors_entry *golden_entry(const struct safetensors *g, const char *name)
{
    const struct safetensors_entry *e = safetensors_find(g, name);
    if (e != NULL) return e;
    printf("no golden of the name %s\n", name);
    exit(1);
}

static const void *of_type(const struct safetensors *g, const char *name,
                           enum safetensors_type type)
{
    const struct safetensors_entry *e = golden_entry(g, name);
    if (e->type == type) return e->data;
    printf("golden %s has another type\n", name);
    exit(1);
}

const void *golden_f32(const struct safetensors *g, const char *name)
{
    return of_type(g, name, SAFETENSORS_TYPE_F32);
}

const void *golden_i32(const struct safetensors *g, const char *name)
{
    return of_type(g, name, SAFETENSORS_TYPE_I32);
}

size_t golden_n(const struct safetensors *g, const char *name)
{
    return golden_entry(g, name)->n;
}

void golden_close(const struct safetensors *g, const char *name, const char *suffix,
                  const float *got, double of_largest)
{
    char whole[128];
    snprintf(whole, sizeof whole, "%s%s", name, suffix);
    EXPECT_CLOSE(whole, got, golden_f32(g, whole), golden_n(g, whole), .of_largest = of_largest);
}

void golden_equal(const struct safetensors *g, const char *name, const int32_t *got)
{
    const int32_t *want = golden_i32(g, name);
    for (size_t i = 0; i < golden_n(g, name); i++) {
        if (got[i] == want[i]) continue;
        test_fail(__FILE__, __LINE__, "%s[%zu] = %d, want %d", name, i, got[i], want[i]);
        return;
    }
}

void golden_read_scene(const struct safetensors *g, struct golden_scene *out)
{
    const int32_t(*grids)[5] = golden_i32(g, "grids");
    *out = (struct golden_scene){.pyramid = {.n_images = GOLDEN_IMAGES,
                                             .n_groups = GOLDEN_GROUPS,
                                             .n_levels = GOLDEN_LEVELS,
                                             .n_anchors = 3,
                                             .grids = out->grids,
                                             .group = golden_i32(g, "group"),
                                             .slot = golden_i32(g, "slot"),
                                             .size = golden_f32(g, "size"),
                                             .cell_anchors = golden_f32(g, "cell_anchors")},
                                 .gt = {.offset = golden_i32(g, "gt.offset"),
                                        .boxes = golden_f32(g, "gt.boxes"),
                                        .labels = golden_i32(g, "gt.labels"),
                                        .capacity = (int32_t)golden_n(g, "gt.labels")}};
    for (int i = 0; i < GOLDEN_GROUPS * GOLDEN_LEVELS; i++) {
        char name[32];
        out->grids[i] = (struct grid){.n = grids[i][0],
                                      .h = grids[i][1],
                                      .w = grids[i][2],
                                      .stride_y = grids[i][3],
                                      .stride_x = grids[i][4]};
        snprintf(name, sizeof name, "logits.%d.%d", i / GOLDEN_LEVELS, i % GOLDEN_LEVELS);
        out->logits[i] = golden_f32(g, name);
        snprintf(name, sizeof name, "deltas.%d.%d", i / GOLDEN_LEVELS, i % GOLDEN_LEVELS);
        out->deltas[i] = golden_f32(g, name);
    }
}

// Columns of four bytes that a row of samples has.
enum { SAMPLE_COLUMNS = 1 + 1 + 4 + 1 + 1 + 4 + 1 };

status golden_samples_create(int n_images, int per_image, struct samples *out)
{
    size_t rows = (size_t)n_images * (size_t)per_image;
    size_t bytes = 4 * (SAMPLE_COLUMNS * rows + (size_t)n_images);
    char *memory;
    TRY(mem_alloc(&memory, bytes));
    memset(memory, 0x7f, bytes);
    *out = (struct samples){.image = (void *)memory, .per_image = per_image};
    out->index = out->image + rows;
    out->label = out->index + rows;
    out->column = out->label + rows;
    out->weight = (float *)(out->column + rows);
    out->boxes = out->weight + rows;
    out->delta = out->boxes + 4 * rows;
    out->count = (int32_t *)(out->delta + 4 * rows);
    return OK;
}

void golden_samples_destroy(struct samples *s)
{
    mem_free(s->image);
}

void golden_same_samples(int n_images, const struct samples *a, const struct samples *b)
{
    size_t rows = (size_t)n_images * (size_t)a->per_image;
    EXPECT(memcmp(a->image, b->image, 4 * (SAMPLE_COLUMNS * rows + (size_t)n_images)) == 0);
}
