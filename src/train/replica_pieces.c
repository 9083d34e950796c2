// What the device is given for a micro-batch, captured in pieces. It is one piece but where
// gradients leave on the way: then a piece ends with every bucket that is complete, and the
// bucket's sum is launched between two pieces, never captured. NCCL wants it so: whether a sum is
// captured, and with which others, must be the same for all workers (its user guide, "Using NCCL
// with CUDA Graphs"), but each worker has shapes, and so graphs, of its own.
#include "core/mem.h"
#include "train/replica_internal.h"

static void forget_pending(struct replica_pieces *p)
{
    mem_free(p->pending);
    p->pending = NULL;
}

void replica_pieces_free(struct replica *r, struct replica_pieces *p)
{
    const struct device *d = r->device;
    if (p == NULL) return;
    for (int i = 0; i < p->n; i++) d->ops->capture_free(d->stream, p->capture[i]);
    forget_pending(p);
    mem_free(p->ready);
    mem_free(p->until);
    mem_free(p->capture);
    mem_free(p);
}

// Room for all buckets' pieces and the rest.
static status create(struct replica *r, bool sends, struct replica_pieces **out)
{
    struct replica_pieces *p = NULL;
    const int n_buckets = sends ? buckets_n(r->buckets) : 0;
    const size_t most = (size_t)n_buckets + 1, n_slices = (size_t)r->n_slices;
    status st = OK;
    TRY(mem_zalloc(&p, 1));
    p->replica = r;
    p->n_buckets = n_buckets;
    TRY_GOTO(st, mem_zalloc(&p->capture, most), fail);
    TRY_GOTO(st, mem_zalloc(&p->until, most), fail);
    TRY_GOTO(st, mem_zalloc(&p->ready, n_slices), fail);
    TRY_GOTO(st, mem_zalloc(&p->pending, most), fail);
    for (int i = 0; sends && i < r->n_slices; i++) p->pending[buckets_of_slice(r->buckets, i)]++;
    *out = p;
    return OK;
fail:
    replica_pieces_free(r, p);
    return st;
}

static status end_piece(struct replica_pieces *p)
{
    const struct device *d = p->replica->device;
    TRY(d->ops->capture_end(d->stream, &p->capture[p->n]));
    p->until[p->n++] = p->n_ready;
    return OK;
}

// As buckets_ready counts, but nothing is on its way.
static status grad_ready(void *context, struct param *param)
{
    struct replica_pieces *p = context;
    const struct device *d = p->replica->device;
    const int slice = p->replica->slice_of_param[param->number], before = p->next_bucket;
    ASSERT(p->n_ready < p->replica->n_slices);
    p->ready[p->n_ready++] = slice;
    p->pending[buckets_of_slice(p->replica->buckets, slice)]--;
    while (p->next_bucket < p->n_buckets && p->pending[p->next_bucket] == 0) p->next_bucket++;
    if (p->next_bucket == before) return OK;
    TRY(end_piece(p));
    return d->ops->capture_begin(d->stream);
}

status replica_pieces_begin(struct replica *r, bool sends, struct replica_pieces **out)
{
    const struct device *d = r->device;
    TRY(create(r, sends, out));
    const struct tape_hooks hooks = {.context = *out, .grad_ready = grad_ready};
    status st = d->ops->capture_begin(d->stream);
    if (st == OK) {
        tape_set_hooks(r->tape, sends ? &hooks : NULL);
        return OK;
    }
    replica_pieces_free(r, *out);
    *out = NULL;
    return st;
}

status replica_pieces_end(struct replica *r, status st, struct replica_pieces **p)
{
    const struct device *d = r->device;
    struct error first = {.code = OK};
    tape_set_hooks(r->tape, NULL);
    forget_pending(*p);
    if (st == OK && (st = end_piece(*p)) == OK) return OK;
    error_save(st, &first);
    (void)d->ops->capture_end(d->stream, NULL);
    replica_pieces_free(r, *p);
    *p = NULL;
    return error_restore(&first);
}

status replica_pieces_run(struct replica *r, const struct replica_pieces *p)
{
    const struct device *d = r->device;
    int k = 0;
    for (int i = 0; i < p->n; i++) {
        TRY(d->ops->capture_run(d->stream, p->capture[i]));
        for (; k < p->until[i]; k++) TRY(buckets_ready(r->buckets, r->lane, p->ready[k]));
    }
    return OK;
}
