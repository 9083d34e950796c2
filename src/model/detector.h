// A detector behind one table, so that the trainer, the logs and the metrics know no model: built
// from the config, it gives named losses for a micro-batch, or detections.
#ifndef SHOAL_MODEL_DETECTOR_H
#define SHOAL_MODEL_DETECTOR_H

#include "core/config.h"
#include "tensor/tape.h"

// One image of a micro-batch. Boxes are x0, y0, x1, y1 in pixels of the resized image.
struct detector_image {
    float h, w;                   // resized
    float original_h, original_w; // stored
    uint64_t id_key;              // keys the samplers
    int32_t group, slot;          // pixels[group] holds it at slot
    int32_t n_boxes;
    const float (*boxes)[4]; // targets; unused by detect
    const int32_t *labels;   // 1..
};

struct detector_batch {
    int n_images;
    const struct detector_image *images;
    int n_groups;
    struct tensor *const *pixels; // per canvas group: (n, H, W, 3) of the device's compute type
    // What scene_block_fill says of these images, in device memory, with room for gt_capacity
    // boxes; NULL: the detector sends it itself.
    const void *block;
    int gt_capacity;
};

enum { DETECTOR_MAX_LOSSES = 8 };

// A named list; value (n_images) fp32 holds each image's term.
struct detector_losses {
    int n;
    const char *name[DETECTOR_MAX_LOSSES];
    struct tensor *value[DETECTOR_MAX_LOSSES];
};

struct detection {
    float x0, y0, x1, y1; // pixels of the stored image
    float score;
    int32_t label;
};

// Detections of a micro-batch, best first; image i has those from offset[i] to offset[i + 1].
struct detector_result {
    int n_images;
    int *offset;
    struct detection *items;
};

struct detector;

struct detector_ops {
    const char *name; // model.name
    // n_labels: outputs of the classifier, background included.
    status (*create)(const struct config_model *c, int n_labels, struct device *d,
                     struct detector **out);
    void (*destroy)(struct detector *m);
    status (*losses)(struct detector *m, struct tape *t, const struct detector_batch *b,
                     uint64_t seed, uint64_t epoch, struct detector_losses *out);
    status (*detect)(struct detector *m, struct tape *t, const struct detector_batch *b,
                     struct detector_result *out);
    status (*refresh)(struct detector *m);
    // Fills every parameter as torchvision's constructors do, keyed by seed and name.
    status (*init)(struct detector *m, uint64_t seed);
};

// What every model's own struct begins with.
struct detector {
    const struct detector_ops *ops;
    struct params *params;
};

// Builds the model that c->name names; E_ARG lists the names where it is unknown. All parameters
// are zero until detector_init or an import, and detector_refresh must follow either.
MUST_USE status detector_create(const struct config_model *c, int n_labels, struct device *d,
                                struct detector **out);
void detector_destroy(struct detector *m);
struct params *detector_params(const struct detector *m);
MUST_USE status detector_init(struct detector *m, uint64_t seed);
// Makes everything that derives from the parameters anew: frozen BN's scale and shift, compute
// copies. After init, import, and every optimizer step.
MUST_USE status detector_refresh(struct detector *m);
// Records the forward pass and gives the losses of each image, as torchvision computes them for
// that image alone. seed and epoch key the samplers.
MUST_USE status detector_losses(struct detector *m, struct tape *t, const struct detector_batch *b,
                                uint64_t seed, uint64_t epoch, struct detector_losses *out);
// Without recording. out is the caller's: detector_result_fini.
MUST_USE status detector_detect(struct detector *m, struct tape *t, const struct detector_batch *b,
                                struct detector_result *out);
void detector_result_fini(struct detector_result *r);

#endif
