// A replica at work: micro-batches forward and backward.
#include "core/profile.h"
#include "core/pulse.h"
#include "model/scene.h"
#include "train/replica_internal.h"

// A group's decoded pictures as the network's input.
static status transform_group(struct replica *r, const struct batch *b, int group, void *to)
{
    const struct device *d = r->device;
    const struct batch_group *g = &b->groups[group];
    struct transform_source *sources;
    struct transform_desc desc = {.n = g->n, .h = g->h, .w = g->w, .dtype = (int32_t)d->compute};
    TRY(tape_arena(r->tape, (size_t)g->n * sizeof *sources, &sources));
    for (int i = 0; i < 3; i++) {
        desc.mean[i] = r->mean[i];
        desc.std[i] = r->std[i];
    }
    for (int i = 0; i < b->n_images; i++) {
        const struct batch_image *from = &b->images[i];
        if (from->group != group) continue;
        sources[from->slot] = (struct transform_source){.pixels = from->pixels,
                                                        .from_h = from->original_h,
                                                        .from_w = from->original_w,
                                                        .h = from->h,
                                                        .w = from->w,
                                                        .flip = from->flipped};
    }
    return d->ops->transform(d->stream, &desc, sources, to);
}

// Pixels that the host has transformed already.
static status upload_group(struct replica *r, const struct batch_group *g, struct tensor *x)
{
    const struct device *d = r->device;
    struct tensor *raw;
    const int64_t n = tensor_elements(x);
    const size_t bytes = (size_t)n * sizeof *g->pixels;
    if (x->dtype == DTYPE_F32) return d->ops->upload(d->stream, x->data, g->pixels, bytes);
    TRY(tape_tensor(r->tape, "input", DTYPE_F32, x->shape, &raw));
    TRY(d->ops->upload(d->stream, raw->data, g->pixels, bytes));
    TRY(d->ops->cast(d->stream, n, DTYPE_F32, raw->data, x->dtype, x->data));
    tape_drop(r->tape, raw);
    return OK;
}

// A group as a tensor of the compute type, at memory of its own or at to.
static status send_group(struct replica *r, const struct batch *b, int i, void *to,
                         struct tensor **x)
{
    const struct device *d = r->device;
    const struct batch_group *g = &b->groups[i];
    const struct shape shape = shape_4(g->n, g->h, g->w, 3);
    if (d->compute == DTYPE_F32 && d->ops->host_counts) // device memory is host memory
        return tape_wrap(r->tape, "input", DTYPE_F32, shape, g->pixels, x);
    if (to != NULL)
        TRY(tape_wrap(r->tape, "input", d->compute, shape, to, x));
    else
        TRY(tape_tensor(r->tape, "input", d->compute, shape, x));
    return g->pixels != NULL ? upload_group(r, g, *x) : transform_group(r, b, i, (*x)->data);
}

static bool comes_before(const struct batch_group *a, const struct batch_group *b)
{
    return a->h != b->h ? a->h < b->h : a->w < b->w;
}

void replica_order_groups(const struct batch *b, int *place)
{
    for (int i = 0; i < b->n_groups; i++) {
        place[i] = 0;
        for (int k = 0; k < b->n_groups; k++)
            place[i] += comes_before(&b->groups[k], &b->groups[i]);
    }
}

// Where the groups come: on a CPU, as the loader met them.
static status place_groups(struct replica *r, const struct batch *b, int **place)
{
    TRY(tape_arena(r->tape, (size_t)b->n_groups * sizeof **place, place));
    if (replica_is_late(r)) {
        replica_order_groups(b, *place);
        return OK;
    }
    for (int i = 0; i < b->n_groups; i++) (*place)[i] = i;
    return OK;
}

static status list_images(struct replica *r, const struct batch *b, const int *place,
                          const struct detector_image **out)
{
    struct detector_image *images;
    TRY(tape_arena(r->tape, (size_t)b->n_images * sizeof *images, &images));
    for (int i = 0; i < b->n_images; i++) {
        const struct batch_image *from = &b->images[i];
        images[i] = (struct detector_image){.h = (float)from->h,
                                            .w = (float)from->w,
                                            .original_h = (float)from->original_h,
                                            .original_w = (float)from->original_w,
                                            .id_key = from->id_key,
                                            .group = place[from->group],
                                            .slot = from->slot,
                                            .n_boxes = from->n_boxes,
                                            .boxes = (const float(*)[4])from->boxes,
                                            .labels = from->labels};
    }
    *out = images;
    return OK;
}

static status send_block(struct replica *r, uint64_t seed, uint64_t epoch,
                         const struct replica_place *to, struct detector_batch *b)
{
    const struct device *d = r->device;
    const size_t bytes = scene_block_bytes(b->n_images, to->gt_capacity);
    void *host;
    TRY(tape_arena(r->tape, bytes, &host));
    scene_block_fill(b, to->gt_capacity, seed, epoch, host);
    b->block = to->block;
    b->gt_capacity = to->gt_capacity;
    return d->ops->upload(d->stream, to->block, host, bytes);
}

status replica_send(struct replica *r, const struct batch *b, uint64_t seed, uint64_t epoch,
                    const struct replica_place *to, struct detector_batch *out)
{
    const struct detector_image *images;
    struct tensor **pixels;
    int *place;
    TRY(place_groups(r, b, &place));
    TRY(list_images(r, b, place, &images));
    TRY(tape_arena(r->tape, (size_t)b->n_groups * sizeof *pixels, &pixels));
    for (int i = 0; i < b->n_groups; i++)
        TRY(send_group(r, b, i, to != NULL ? to->pixels[place[i]] : NULL, &pixels[place[i]]));
    *out = (struct detector_batch){
        .n_images = b->n_images, .images = images, .n_groups = b->n_groups, .pixels = pixels};
    return to != NULL ? send_block(r, seed, epoch, to, out) : OK;
}

static status grad_ready(void *context, struct param *p)
{
    struct replica *r = context;
    return buckets_ready(r->buckets, r->lane, r->slice_of_param[p->number]);
}

static struct replica_terms terms_of(const struct detector_losses *l)
{
    struct replica_terms terms = {.n = l->n};
    for (int k = 0; k < l->n; k++) {
        terms.name[k] = l->name[k];
        terms.value[k] = l->value[k]->data;
    }
    return terms;
}

status replica_compute(struct replica *r, const struct batch *b, const struct detector_batch *input,
                       uint64_t seed, uint64_t epoch, float gradient_scale,
                       struct replica_losses *losses, struct replica_terms *terms)
{
    const struct device *d = r->device;
    struct detector_losses l;
    double begin = profile_begin();
    TRY(detector_losses(r->model, r->tape, input, seed, epoch, &l));
    *terms = terms_of(&l);
    if (replica_is_late(r))
        TRY(d->ops->count_not_finite(d->stream, terms->n, terms->value, b->n_images,
                                     params_halt(detector_params(r->model))));
    else
        TRY(replica_add_losses(r, b, terms, losses));
    profile_end(begin, PROFILE_KIND_PHASE, "forward", NULL);
    if (losses != NULL && losses->bad_term != NULL) return OK; // the step stops on all ranks
    begin = profile_begin();
    pulse_enter("backward");
    TRY(tape_backward(r->tape, l.value, l.n, gradient_scale));
    profile_end(begin, PROFILE_KIND_PHASE, "backward", NULL);
    return OK;
}

static status forward_backward(struct replica *r, const struct batch *b, uint64_t seed,
                               uint64_t epoch, float gradient_scale, struct replica_losses *losses)
{
    struct detector_batch input;
    struct replica_terms terms;
    pulse_enter("forward");
    TRY(replica_send(r, b, seed, epoch, NULL, &input));
    TRY(replica_compute(r, b, &input, seed, epoch, gradient_scale, losses, &terms));
    return replica_is_late(r) ? replica_keep_losses(r, b, &terms) : OK;
}

status replica_micro_batch(struct replica *r, const struct batch *b, uint64_t seed, uint64_t epoch,
                           int images_per_step, bool last, struct replica_losses *losses)
{
    struct tape_hooks hooks = {.context = r, .grad_ready = grad_ready};
    const float scale = 1.0f / (float)images_per_step;
    bool done;
    tape_set_recording(r->tape, true);
    TRY(replica_graphs_micro_batch(r, b, seed, epoch, scale, last, &done));
    if (done) return OK;
    tape_set_hooks(r->tape, last ? &hooks : NULL);
    status st = forward_backward(r, b, seed, epoch, scale, losses);
    tape_set_hooks(r->tape, NULL);
    tape_reset(r->tape);
    return st;
}

status replica_detect(struct replica *r, const struct batch *b, struct detector_result *out)
{
    struct detector_batch input;
    status st = OK;
    TRY_GOTO(st, replica_send(r, b, 0, 0, NULL, &input), out);
    TRY_GOTO(st, detector_detect(r->model, r->tape, &input, out), out);
out:
    tape_reset(r->tape);
    return st;
}
