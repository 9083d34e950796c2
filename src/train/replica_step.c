// A replica at work: micro-batches forward and backward, and what the losses came to.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/profile.h"
#include "core/pulse.h"
#include "train/replica.h"

status replica_begin_step(struct replica *r, struct replica_losses *losses)
{
    memset(losses, 0, sizeof *losses);
    buckets_begin(r->buckets, r->lane);
    return params_zero_grads(detector_params(r->model));
}

// The loader's groups as tensors of the compute type.
static status upload_pixels(struct replica *r, const struct batch *b, struct tensor ***pixels)
{
    const struct device *d = r->device;
    TRY(tape_arena(r->tape, (size_t)b->n_groups * sizeof **pixels, pixels));
    for (int i = 0; i < b->n_groups; i++) {
        const struct batch_group *g = &b->groups[i];
        struct shape shape = shape_4(g->n, g->h, g->w, 3);
        struct tensor **x = &(*pixels)[i];
        if (d->compute == DTYPE_F32 && d->ops->host_counts) { // device memory is host memory
            TRY(tape_wrap(r->tape, "input", DTYPE_F32, shape, g->pixels, x));
            continue;
        }
        struct tensor *raw;
        TRY(tape_tensor(r->tape, "input", DTYPE_F32, shape, &raw));
        TRY(d->ops->upload(d->stream, raw->data, g->pixels, tensor_bytes(raw)));
        *x = raw;
        if (d->compute == DTYPE_F32) continue;
        TRY(tape_tensor(r->tape, "input", d->compute, shape, x));
        TRY(d->ops->cast(d->stream, tensor_elements(raw), DTYPE_F32, raw->data, d->compute,
                         (*x)->data));
        tape_drop(r->tape, raw);
    }
    return OK;
}

static status to_detector_batch(struct replica *r, const struct batch *b,
                                struct detector_batch *out)
{
    struct detector_image *images;
    struct tensor **pixels;
    TRY(tape_arena(r->tape, (size_t)b->n_images * sizeof *images, &images));
    for (int i = 0; i < b->n_images; i++) {
        const struct batch_image *from = &b->images[i];
        images[i] = (struct detector_image){.h = (float)from->h,
                                            .w = (float)from->w,
                                            .original_h = (float)from->original_h,
                                            .original_w = (float)from->original_w,
                                            .id_key = from->id_key,
                                            .group = from->group,
                                            .slot = from->slot,
                                            .n_boxes = from->n_boxes,
                                            .boxes = (const float(*)[4])from->boxes,
                                            .labels = from->labels};
    }
    TRY(upload_pixels(r, b, &pixels));
    *out = (struct detector_batch){
        .n_images = b->n_images, .images = images, .n_groups = b->n_groups, .pixels = pixels};
    return OK;
}

static void note_bad(struct replica_losses *l, const char *term, const char *id)
{
    if (l->bad_term == NULL) l->bad_term = term;
    if (l->bad_term != term) return;
    size_t used = strlen(l->bad_ids);
    (void)snprintf(l->bad_ids + used, sizeof l->bad_ids - used, "%s%s", used > 0 ? ", " : "", id);
}

// Downloads each image's terms, adds them up in the images' order, and notes what is not finite.
static status read_losses(struct replica *r, const struct batch *b,
                          const struct detector_losses *from, struct replica_losses *to)
{
    const struct device *d = r->device;
    float *value;
    TRY(tape_arena(r->tape, (size_t)b->n_images * sizeof *value, &value));
    to->n = from->n;
    to->n_images += b->n_images;
    for (int k = 0; k < from->n; k++) {
        to->name[k] = from->name[k];
        TRY(d->ops->download(d->stream, value, from->value[k]->data,
                             (size_t)b->n_images * sizeof *value));
        for (int i = 0; i < b->n_images; i++) {
            to->sum[k] += (double)value[i];
            if (!isfinite(value[i])) note_bad(to, from->name[k], b->images[i].id_text);
        }
    }
    return OK;
}

static status grad_ready(void *context, struct param *p)
{
    struct replica *r = context;
    return buckets_ready(r->buckets, r->lane, r->slice_of_param[p->number]);
}

static status forward_backward(struct replica *r, const struct batch *b, uint64_t seed,
                               uint64_t epoch, float gradient_scale, struct replica_losses *losses)
{
    struct detector_batch input;
    struct detector_losses terms;
    double begin = profile_begin();
    pulse_enter("forward");
    TRY(to_detector_batch(r, b, &input));
    TRY(detector_losses(r->model, r->tape, &input, seed, epoch, &terms));
    TRY(read_losses(r, b, &terms, losses));
    profile_end(begin, PROFILE_KIND_PHASE, "forward", NULL);
    if (losses->bad_term != NULL) return OK; // the step stops on all ranks; no use in going on
    begin = profile_begin();
    pulse_enter("backward");
    TRY(tape_backward(r->tape, terms.value, terms.n, gradient_scale));
    profile_end(begin, PROFILE_KIND_PHASE, "backward", NULL);
    return OK;
}

status replica_micro_batch(struct replica *r, const struct batch *b, uint64_t seed, uint64_t epoch,
                           int images_per_step, bool last, struct replica_losses *losses)
{
    struct tape_hooks hooks = {.context = r, .grad_ready = grad_ready};
    tape_set_hooks(r->tape, last ? &hooks : NULL);
    tape_set_recording(r->tape, true);
    status st = forward_backward(r, b, seed, epoch, 1.0f / (float)images_per_step, losses);
    tape_set_hooks(r->tape, NULL);
    tape_reset(r->tape);
    return st;
}

status replica_detect(struct replica *r, const struct batch *b, struct detector_result *out)
{
    struct detector_batch input;
    status st = OK;
    TRY_GOTO(st, to_detector_batch(r, b, &input), out);
    TRY_GOTO(st, detector_detect(r->model, r->tape, &input, out), out);
out:
    tape_reset(r->tape);
    return st;
}
