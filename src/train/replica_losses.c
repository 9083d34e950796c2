// What a replica's losses came to: read at once, or a step late through pinned memory.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "train/replica_internal.h"

bool replica_is_late(const struct replica *r)
{
    return !r->device->ops->host_counts;
}

status replica_log_create(struct replica *r, const struct config *c, int n_workers)
{
    struct replica_log *log = &r->log;
    int capacity = c->train.batch / n_workers;
    if (capacity < c->train.micro_batch) capacity = c->train.micro_batch;
    if (!replica_is_late(r)) return OK;
    void *memory;
    TRY(pool_take(r->device->pool, DETECTOR_MAX_LOSSES * (size_t)capacity * sizeof *log->device,
                  &memory));
    log->device = memory;
    for (int i = 0; i < BACKEND_BOXES; i++) TRY(mem_zalloc(&log->posted[i].id, (size_t)capacity));
    log->capacity = capacity;
    return OK;
}

static void forget(struct replica_posted *p)
{
    for (int i = 0; i < p->n_images; i++) mem_free(p->id[i]);
    p->n_images = 0;
}

void replica_log_destroy(struct replica *r)
{
    for (int i = 0; i < BACKEND_BOXES; i++) {
        forget(&r->log.posted[i]);
        mem_free(r->log.posted[i].id);
    }
    if (r->log.device != NULL) pool_give(r->device->pool, r->log.device);
}

status replica_begin_step(struct replica *r, struct replica_losses *losses)
{
    memset(losses, 0, sizeof *losses);
    forget(&r->log.posted[r->log.box]);
    buckets_begin(r->buckets, r->lane);
    return params_zero_grads(detector_params(r->model));
}

static void note_bad(struct replica_losses *l, const char *term, const char *id)
{
    if (l->bad_term == NULL) l->bad_term = term;
    if (l->bad_term != term) return;
    size_t used = strlen(l->bad_ids);
    (void)snprintf(l->bad_ids + used, sizeof l->bad_ids - used, "%s%s", used > 0 ? ", " : "", id);
}

// An image's term joins the sums, in the images' order.
static void add_term(struct replica_losses *to, int term, float value, const char *id)
{
    to->sum[term] += (double)value;
    if (!isfinite(value)) note_bad(to, to->name[term], id);
}

status replica_add_losses(struct replica *r, const struct batch *b,
                          const struct replica_terms *from, struct replica_losses *to)
{
    const struct device *d = r->device;
    float *value;
    TRY(tape_arena(r->tape, (size_t)b->n_images * sizeof *value, &value));
    to->n = from->n;
    to->n_images += b->n_images;
    for (int k = 0; k < from->n; k++) {
        to->name[k] = from->name[k];
        TRY(d->ops->download(d->stream, value, from->value[k],
                             (size_t)b->n_images * sizeof *value));
        for (int i = 0; i < b->n_images; i++) add_term(to, k, value[i], b->images[i].id_text);
    }
    return OK;
}

static status keep_ids(struct replica_posted *p, const struct batch *b)
{
    for (int i = 0; i < b->n_images; i++) {
        TRY(mem_strdup(b->images[i].id_text, &p->id[p->n_images]));
        p->n_images++;
    }
    return OK;
}

status replica_keep_losses(struct replica *r, const struct batch *b,
                           const struct replica_terms *from)
{
    const struct device *d = r->device;
    struct replica_posted *p = &r->log.posted[r->log.box];
    const int first = p->n_images;
    REQUIRE(first + b->n_images <= r->log.capacity, E_ARG,
            "a step of more than %d images on a device", r->log.capacity);
    p->n_terms = from->n;
    for (int k = 0; k < from->n; k++) {
        p->name[k] = from->name[k];
        TRY(d->ops->copy(d->stream, r->log.device + k * r->log.capacity + first, from->value[k],
                         (size_t)b->n_images * sizeof *from->value[k]));
    }
    return keep_ids(p, b);
}

status replica_post_losses(struct replica *r)
{
    const struct device *d = r->device;
    struct replica_log *log = &r->log;
    if (!replica_is_late(r)) return OK;
    size_t n = (size_t)log->posted[log->box].n_terms * (size_t)log->capacity;
    TRY(d->ops->post(d->stream, log->box, log->device, n * sizeof *log->device));
    log->box = (log->box + 1) % BACKEND_BOXES;
    return OK;
}

status replica_read_losses(struct replica *r, bool newest, struct replica_losses *out)
{
    const struct device *d = r->device;
    struct replica_log *log = &r->log;
    int box = (log->box + BACKEND_BOXES - (newest ? 1 : 2)) % BACKEND_BOXES;
    struct replica_posted *p = &log->posted[box];
    size_t n = (size_t)p->n_terms * (size_t)log->capacity;
    float *value;
    memset(out, 0, sizeof *out);
    TRY(mem_alloc(&value, n));
    status st = d->ops->fetch(d->stream, box, value, n * sizeof *value);
    out->n = p->n_terms;
    out->n_images = p->n_images;
    for (int k = 0; k < p->n_terms && st == OK; k++) {
        out->name[k] = p->name[k];
        for (int i = 0; i < p->n_images; i++)
            add_term(out, k, value[k * log->capacity + i], p->id[i]);
    }
    forget(p);
    mem_free(value);
    return st;
}
