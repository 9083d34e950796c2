// Weights in the layouts that primitives want: repacked once a version, kept by address.
#include <string.h>

#include "core/mem.h"
#include "tensor/cpu/chunks_internal.h"
#include "tensor/cpu/onednn_internal.h"

// y = x (o, h, w, i) with every window turned by 180 degrees: rows of i channels change places.
static void turn_weights(const struct stream *s, const struct onednn_turn *t, const void *x,
                         void *y)
{
    const int64_t cells = (int64_t)t->h * t->w;
    const size_t row = (size_t)t->i * dtype_bytes((enum dtype)t->dtype);
#pragma omp parallel for num_threads(chunks_threads(s, t->o *cells * t->i)) schedule(static)
    for (int64_t o = 0; o < t->o; o++)
        for (int64_t cell = 0; cell < cells; cell++)
            memcpy((char *)y + (size_t)(o * cells + cell) * row,
                   (const char *)x + (size_t)(o * cells + cells - 1 - cell) * row, row);
}

static status pack(struct stream *s, struct onednn_plan *p, const void *data,
                   const struct onednn_turn *turn, void *packed)
{
    s->n_repacked++;
    if (turn == NULL) return onednn_repack(s, p, data, packed);
    void *turned = packed;
    if (p->repack.primitive != NULL) {
        size_t n = (size_t)turn->o * (size_t)turn->h * (size_t)turn->w * (size_t)turn->i;
        TRY(onednn_scratch(s, ONEDNN_SCRATCH_PLAIN, n * dtype_bytes((enum dtype)turn->dtype),
                           &turned));
    }
    turn_weights(s, turn, data, turned);
    return turned == packed ? OK : onednn_repack(s, p, turned, packed);
}

static void drop_entry(struct onednn_weights_entry *e)
{
    if (e->memory != NULL) (void)dnnl_memory_destroy(e->memory);
    mem_free(e->packed);
    *e = (struct onednn_weights_entry){0};
}

void onednn_drop_weights(struct stream *s)
{
    for (int i = 0; i < s->n_weights; i++) drop_entry(&s->weights[i]);
    s->n_weights = 0;
}

static struct onednn_weights_entry *find_entry(struct stream *s, const void *data, bool turned,
                                               onednn_desc layout)
{
    for (int i = 0; i < s->n_weights; i++) {
        struct onednn_weights_entry *e = &s->weights[i];
        onednn_desc theirs = NULL;
        if (e->data != data || e->turned != turned) continue;
        if (dnnl_memory_get_memory_desc(e->memory, &theirs) != dnnl_success) continue;
        if (dnnl_memory_desc_equal(theirs, layout) != 0) return e;
    }
    return NULL;
}

static struct onednn_weights_entry *free_entry(struct stream *s)
{
    if (s->n_weights < ONEDNN_MAX_WEIGHTS) return &s->weights[s->n_weights++];
    struct onednn_weights_entry *oldest = &s->weights[0];
    for (int i = 1; i < s->n_weights; i++)
        if (s->weights[i].used < oldest->used) oldest = &s->weights[i];
    drop_entry(oldest);
    return oldest;
}

static status add_entry(struct stream *s, const struct weights *w, bool turned, onednn_desc layout)
{
    struct onednn_weights_entry *e = free_entry(s);
    TRY_DNNL(dnnl_memory_create(&e->memory, layout, s->engine, DNNL_MEMORY_NONE));
    e->data = w->data;
    e->version = w->version;
    e->turned = turned;
    e->used = ++s->clock;
    return OK;
}

static status pack_into_scratch(struct stream *s, struct onednn_plan *p, struct weights w,
                                const struct onednn_turn *turn, void **packed)
{
    TRY(onednn_scratch(s, ONEDNN_SCRATCH_PACKED, p->packed_bytes, packed));
    return pack(s, p, w.data, turn, *packed);
}

// The copy that is kept of w, made anew where w has changed. The first time a layout is asked for
// it is only noted: weights that are used once a version (training without accumulation) need no
// copies beside them.
static status kept_copy(struct stream *s, struct onednn_plan *p, struct weights w,
                        const struct onednn_turn *turn, void **packed)
{
    onednn_desc layout = NULL;
    TRY_DNNL(dnnl_memory_get_memory_desc(onednn_plan_arg(p, DNNL_ARG_WEIGHTS), &layout));
    struct onednn_weights_entry *e = find_entry(s, w.data, turn != NULL, layout);
    if (e == NULL) {
        TRY(add_entry(s, &w, turn != NULL, layout));
        return pack_into_scratch(s, p, w, turn, packed);
    }
    e->used = ++s->clock;
    const bool again = e->version == w.version;
    e->version = w.version;
    if (e->packed == NULL && !again) return pack_into_scratch(s, p, w, turn, packed);
    if (e->packed == NULL || !again || !e->whole) {
        e->whole = false; // not found whole if packing fails
        if (e->packed == NULL) TRY(mem_alloc_aligned(p->packed_bytes, &e->packed));
        TRY(pack(s, p, w.data, turn, e->packed));
        e->whole = true;
    }
    *packed = e->packed;
    return OK;
}

status onednn_set_weights(struct stream *s, struct onednn_plan *p, struct weights w,
                          const struct onednn_turn *turn)
{
    void *packed;
    if (turn == NULL && p->repack.primitive == NULL) return onednn_set(p, DNNL_ARG_WEIGHTS, w.data);
    TRY(w.version != 0 ? kept_copy(s, p, w, turn, &packed)
                       : pack_into_scratch(s, p, w, turn, &packed));
    return onednn_set(p, DNNL_ARG_WEIGHTS, packed);
}
