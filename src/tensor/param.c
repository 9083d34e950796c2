// Parameters: the flat buffers, the compute copies, and the layout of files.
#include "tensor/param.h"

#include <string.h>

#include "core/mem.h"
#include "core/pulse.h"

enum { SLICE_ALIGNMENT = 16 }; // elements: each parameter starts on 64 bytes

struct params {
    struct device *device;
    struct param **all; // in order of construction
    size_t n, capacity;
    // Flat device buffers. Trainable values and gradients share a layout: last made, first placed.
    float *values, *grads, *frozen;
    int64_t n_trainable, n_frozen;
    uint64_t version; // of the newest compute copies
    bool finished;
    bool folds_late;
    bool stale; // something was written besides the optimizer's steps: renew frozen copies too
};

status params_create(struct device *d, struct params **out)
{
    struct params *p;
    TRY(mem_zalloc(&p, 1));
    p->device = d;
    // Backends keep private copies by address and version, so versions must not come again when
    // another model gets this one's addresses: the count of allocations never stands still.
    p->version = (uint64_t)mem_n_allocs() << 32;
    *out = p;
    return OK;
}

static bool has_copy(const struct param *q)
{
    return q->compute.data != NULL && q->compute.data != q->value.data;
}

static void param_destroy(struct param *q, struct pool *pool)
{
    if (q == NULL) return;
    if (has_copy(q)) pool_give(pool, q->compute.data);
    mem_free(q->name);
    mem_free(q);
}

void params_destroy(struct params *p)
{
    if (p == NULL) return;
    for (size_t i = p->n; i-- > 0;) param_destroy(p->all[i], p->device->pool);
    pool_give(p->device->pool, p->frozen);
    pool_give(p->device->pool, p->grads);
    pool_give(p->device->pool, p->values);
    mem_free(p->all);
    mem_free(p);
}

status params_add(struct params *p, const char *name, enum param_kind kind, bool trainable,
                  struct shape shape, struct param **out)
{
    ASSERT(!p->finished && !(trainable && kind == PARAM_KIND_BUFFER));
    REQUIRE(params_find(p, name) == NULL, E_ARG, "two parameters are named %s", name);
    TRY(mem_grow(&p->all, &p->capacity, p->n + 1));
    struct param *q;
    TRY(mem_zalloc(&q, 1));
    status st = mem_strdup(name, &q->name);
    if (st != OK) {
        param_destroy(q, p->device->pool);
        return st;
    }
    q->kind = kind;
    q->trainable = trainable;
    q->number = (int)p->n;
    q->grad_offset = -1;
    q->value = (struct tensor){
        .name = q->name, .dtype = DTYPE_F32, .shape = shape, .param = q, .needs_grad = trainable};
    q->compute = q->value;
    p->all[p->n++] = q;
    *out = q;
    return OK;
}

// Room for a parameter in a flat buffer of *n elements so far; returns its place.
static int64_t place(const struct param *q, int64_t *n)
{
    int64_t at = *n, elements = tensor_elements(&q->value);
    *n += (elements + SLICE_ALIGNMENT - 1) / SLICE_ALIGNMENT * SLICE_ALIGNMENT;
    return at;
}

static status take_zeroed(struct params *p, int64_t n, float **out)
{
    void *memory;
    size_t bytes = (size_t)n * sizeof **out;
    TRY(pool_take(p->device->pool, bytes, &memory));
    *out = memory;
    return p->device->ops->zero(p->device->stream, memory, bytes);
}

status params_finish(struct params *p)
{
    ASSERT(!p->finished);
    for (size_t i = p->n; i-- > 0;)
        if (p->all[i]->trainable) p->all[i]->grad_offset = place(p->all[i], &p->n_trainable);
    for (size_t i = 0; i < p->n; i++)
        if (!p->all[i]->trainable) (void)place(p->all[i], &p->n_frozen);
    TRY(take_zeroed(p, p->n_trainable, &p->values));
    TRY(take_zeroed(p, p->n_trainable + PARAMS_TAIL, &p->grads));
    TRY(take_zeroed(p, p->n_frozen, &p->frozen));
    int64_t n_frozen = 0;
    for (size_t i = 0; i < p->n; i++) {
        struct param *q = p->all[i];
        q->value.data = q->trainable ? p->values + q->grad_offset : p->frozen + place(q, &n_frozen);
        q->grad = q->trainable ? p->grads + q->grad_offset : NULL;
        q->compute.data = q->value.data;
    }
    p->finished = true;
    p->stale = true;
    return OK;
}

static status refresh(struct params *p, struct param *q)
{
    const struct device *d = p->device;
    q->version = p->version;
    if (q->kind != PARAM_KIND_WEIGHT || (d->compute == DTYPE_F32 && q->scale == NULL)) return OK;
    q->folds_late = p->folds_late && q->trainable && d->compute == DTYPE_F32;
    if (q->folds_late) {
        if (has_copy(q)) pool_give(d->pool, q->compute.data);
        q->compute.data = q->value.data;
        return OK;
    }
    q->compute.dtype = d->compute;
    if (!has_copy(q)) TRY(pool_take(d->pool, tensor_bytes(&q->compute), &q->compute.data));
    int64_t k = q->value.shape.dim[0], n = tensor_elements(&q->value);
    const float *scale = NULL;
    if (q->scale != NULL) {
        ASSERT(q->scale->dtype == DTYPE_F32 && tensor_elements(q->scale) == k);
        scale = q->scale->data;
    }
    return d->ops->fold_weights(d->stream, k, k > 0 ? n / k : 0, q->value.data, scale, d->compute,
                                q->compute.data);
}

status params_refresh(struct params *p)
{
    ASSERT(p->finished);
    p->version++;
    for (size_t i = 0; i < p->n; i++)
        if (p->stale || p->all[i]->trainable) TRY(refresh(p, p->all[i]));
    p->stale = false;
    return OK;
}

bool params_refreshes_alike(const struct params *p)
{
    bool any = false;
    for (size_t i = 0; i < p->n; i++) any |= p->all[i]->trainable && has_copy(p->all[i]);
    return any && !p->stale;
}

void params_raise_versions(struct params *p)
{
    p->version++;
    for (size_t i = 0; i < p->n; i++)
        if (p->all[i]->trainable) p->all[i]->version = p->version;
}

void params_fold_late(struct params *p)
{
    p->folds_late = true;
}

status params_zero_grads(struct params *p)
{
    const struct device *d = p->device;
    return d->ops->zero(d->stream, p->grads, (size_t)p->n_trainable * sizeof *p->grads);
}

int params_n(const struct params *p)
{
    return (int)p->n;
}

struct param *params_at(const struct params *p, int i)
{
    ASSERT(i >= 0 && (size_t)i < p->n);
    return p->all[i];
}

struct param *params_find(const struct params *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->all[i]->name, name) == 0) return p->all[i];
    return NULL;
}

int64_t params_n_trainable(const struct params *p)
{
    return p->n_trainable;
}

float *params_values(const struct params *p)
{
    return p->values;
}

float *params_grads(const struct params *p)
{
    return p->grads;
}

float *params_halt(const struct params *p)
{
    return p->grads + p->n_trainable;
}

struct device *params_device(const struct params *p)
{
    return p->device;
}

// Files. A weight in memory is (outer, middle, inner) with the channels innermost, in files
// (outer, inner, middle): outer = K, middle = R * S of a convolution, or outer = O, middle = the
// H * W cells of the map that a linear weight reads.

struct file_layout {
    int64_t outer, middle, inner;
};

static struct file_layout layout_of(const struct param *q)
{
    const struct shape *s = &q->value.shape;
    if (q->kind == PARAM_KIND_WEIGHT && s->n_dims == 4)
        return (struct file_layout){s->dim[0], s->dim[1] * s->dim[2], s->dim[3]};
    if (q->flattened_hw > 0) {
        ASSERT(s->n_dims == 2 && s->dim[1] % q->flattened_hw == 0);
        return (struct file_layout){s->dim[0], q->flattened_hw, s->dim[1] / q->flattened_hw};
    }
    return (struct file_layout){1, 1, shape_elements(s)};
}

void param_file_shape(const struct param *q, struct shape *out)
{
    const struct shape *s = &q->value.shape;
    *out = *s;
    if (q->kind == PARAM_KIND_WEIGHT && s->n_dims == 4)
        *out = shape_4(s->dim[0], s->dim[3], s->dim[1], s->dim[2]);
}

// to (outer, columns, rows) from (outer, rows, columns).
static void transpose(int64_t outer, int64_t rows, int64_t columns, const float *from, float *to)
{
    for (int64_t o = 0; o < outer; o++, from += rows * columns, to += rows * columns)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++) to[j * rows + i] = from[i * columns + j];
}

status param_export(const struct params *p, const struct param *q, float *host,
                    struct shape *file_shape)
{
    const struct device *d = p->device;
    struct file_layout l = layout_of(q);
    pulse_beat();
    float *memory;
    status st = OK;
    param_file_shape(q, file_shape);
    TRY(mem_alloc(&memory, (size_t)tensor_elements(&q->value)));
    TRY_GOTO(st, d->ops->download(d->stream, memory, q->value.data, tensor_bytes(&q->value)), out);
    transpose(l.outer, l.middle, l.inner, memory, host);
out:
    mem_free(memory);
    return st;
}

status param_import(struct params *p, struct param *q, const float *host)
{
    const struct device *d = p->device;
    struct file_layout l = layout_of(q);
    pulse_beat();
    float *memory;
    status st = OK;
    TRY(mem_alloc(&memory, (size_t)tensor_elements(&q->value)));
    transpose(l.outer, l.inner, l.middle, host, memory);
    TRY_GOTO(st, d->ops->upload(d->stream, q->value.data, memory, tensor_bytes(&q->value)), out);
    TRY_GOTO(st, d->ops->wait(d->stream), out); // memory must outlive the copy
    p->stale = true;
out:
    mem_free(memory);
    return st;
}
