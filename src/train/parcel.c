// Packing one rank's part of an evaluation for rank zero.
#include "train/parcel.h"

#include <string.h>

#include "core/mem.h"

static status append(struct parcel *p, const void *data, size_t n)
{
    TRY(mem_grow(&p->data, &p->capacity, p->n + n));
    if (n > 0) memcpy(p->data + p->n, data, n);
    p->n += n;
    return OK;
}

// COCO boxes are x, y, width, height; differences in float, as torchvision's evaluator takes them.
static struct parcel_detection to_coco(const struct detection *d, const struct label_set *labels)
{
    const struct category *category = label_set_find(labels, d->label);
    float w = d->x1 - d->x0, h = d->y1 - d->y0;
    return (struct parcel_detection){.category_id = category->id,
                                     .x = (double)d->x0,
                                     .y = (double)d->y0,
                                     .w = (double)w,
                                     .h = (double)h,
                                     .score = (double)d->score};
}

// A label between the categories' (ids with holes) has no category: nothing was ever trained on it.
static int count_known(const struct detection *items, int n, const struct label_set *labels)
{
    int known = 0;
    for (int i = 0; i < n; i++) known += label_set_find(labels, items[i].label) != NULL;
    return known;
}

status parcel_add(struct parcel *p, const struct batch_image *image, const struct detection *items,
                  int n, const struct label_set *labels)
{
    struct parcel_image head = {.position = image->position,
                                .id = image->id,
                                .id_is_number = image->id_is_number,
                                .n_annotations = image->n_annotations,
                                .n_detections = count_known(items, n, labels),
                                .id_bytes = (int32_t)strlen(image->id_text) + 1};
    TRY(append(p, &head, sizeof head));
    TRY(append(p, image->annotations, (size_t)image->n_annotations * sizeof *image->annotations));
    for (int i = 0; i < n; i++) {
        if (label_set_find(labels, items[i].label) == NULL) continue;
        struct parcel_detection d = to_coco(&items[i], labels);
        TRY(append(p, &d, sizeof d));
    }
    return append(p, image->id_text, (size_t)head.id_bytes);
}

void parcel_fini(struct parcel *p)
{
    mem_free(p->data);
    *p = (struct parcel){0};
}
