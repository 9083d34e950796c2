// Sampler output on the tape.
#include "model/sampled.h"

static status reserve(struct tape *t, const char *name, enum dtype dtype, int64_t rows,
                      int64_t columns, void **data)
{
    struct tensor *x;
    TRY(tape_tensor(t, name, dtype, shape_2(rows, columns), &x));
    *data = x->data;
    return OK;
}

status sampled_reserve(struct tape *t, int n_images, int per_image, struct sampled *out)
{
    int64_t rows = (int64_t)n_images * per_image;
    void *image, *index, *boxes, *label, *column, *delta, *weight, *count;
    TRY(reserve(t, "sampled.image", DTYPE_I32, rows, 1, &image));
    TRY(reserve(t, "sampled.index", DTYPE_I32, rows, 1, &index));
    TRY(reserve(t, "sampled.boxes", DTYPE_F32, rows, 4, &boxes));
    TRY(reserve(t, "sampled.label", DTYPE_I32, rows, 1, &label));
    TRY(reserve(t, "sampled.column", DTYPE_I32, rows, 1, &column));
    TRY(reserve(t, "sampled.delta", DTYPE_F32, rows, 4, &delta));
    TRY(reserve(t, "sampled.weight", DTYPE_F32, rows, 1, &weight));
    TRY(reserve(t, "sampled.count", DTYPE_I32, n_images, 1, &count));
    *out = (struct sampled){.raw = {.image = image,
                                    .index = index,
                                    .boxes = boxes,
                                    .label = label,
                                    .column = column,
                                    .delta = delta,
                                    .weight = weight,
                                    .count = count,
                                    .per_image = per_image}};
    return OK;
}

static status view(struct tape *t, const char *name, enum dtype dtype, struct shape shape,
                   void *data, struct tensor **out)
{
    return tape_wrap(t, name, dtype, shape, data, out);
}

status sampled_view(struct tape *t, int n_images, struct sampled *s)
{
    const struct device *d = tape_device(t);
    s->rows = n_images * s->raw.per_image;
    if (d->ops->host_counts) {
        s->rows = 0;
        for (int i = 0; i < n_images; i++) s->rows += s->raw.count[i];
    }
    struct shape one = shape_1(s->rows), four = shape_2(s->rows, 4);
    TRY(view(t, "sampled.image", DTYPE_I32, one, s->raw.image, &s->image));
    TRY(view(t, "sampled.index", DTYPE_I32, one, s->raw.index, &s->index));
    TRY(view(t, "sampled.boxes", DTYPE_F32, four, s->raw.boxes, &s->boxes));
    TRY(view(t, "sampled.label", DTYPE_I32, one, s->raw.label, &s->label));
    TRY(view(t, "sampled.column", DTYPE_I32, one, s->raw.column, &s->column));
    TRY(view(t, "sampled.delta", DTYPE_F32, four, s->raw.delta, &s->delta));
    return view(t, "sampled.weight", DTYPE_F32, one, s->raw.weight, &s->weight);
}
