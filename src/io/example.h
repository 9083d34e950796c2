// An image with its annotations as a tf.train.Example (protobuf), under the keys of the TensorFlow
// Object Detection API, and keys of our own for what those cannot hold.
//
// Shared keys: image/encoded, format, filename, source_id, height, width; image/object/bbox/xmin,
// xmax, ymin, ymax (float fractions of the size, here clipped to 0..1), class/text, class/label,
// is_crowd, area; one element per annotation, in the JSON's order. Own keys: shoal/bbox (x, y, w, h
// of each annotation, in pixels) and shoal/area as little-endian doubles in one bytes value,
// shoal/id, shoal/category_id; shoal/image_id where the id is a number.
#ifndef SHOAL_IO_EXAMPLE_H
#define SHOAL_IO_EXAMPLE_H

#include "io/dataset.h"

// The whole TFRecord frame of an image; *frame is the caller's. categories are in ascending order
// of labels and name every label used.
MUST_USE status example_encode(const struct record_image *image, const struct category *categories,
                               int n_categories, unsigned char **frame, size_t *frame_bytes);

// What a payload lacked, to be filled by who knows the data set.
struct example_gaps {
    bool no_id;             // id_text is NULL: neither source_id nor filename
    bool no_annotation_ids; // written by others: ids are 0, category ids are the labels
};
// A payload of ours or of others. Errors: E_FORMAT, what is missing or does not fit together.
MUST_USE status example_decode(const unsigned char *payload, size_t n, struct record_image *out,
                               struct example_gaps *gaps);

// Calls visit with each annotation's label and image/object/class/text, where a payload has both.
typedef status (*example_name_visit)(void *context, int64_t label, const char *text);
MUST_USE status example_visit_names(const unsigned char *payload, size_t n,
                                    example_name_visit visit, void *context);

#endif
