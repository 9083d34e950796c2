// Detecting on all ranks, scoring on rank zero.
#include "train/validate.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/profile.h"
#include "core/pulse.h"
#include "core/progress.h"
#include "train/gathered.h"
#include "train/stop_request.h"

static status detect_batch(struct replica *r, const struct batch *b, const struct label_set *labels,
                           struct parcel *p)
{
    struct detector_result found;
    TRY(replica_detect(r, b, &found));
    status st = OK;
    for (int i = 0; i < b->n_images && st == OK; i++) {
        int first = found.offset[i], n = found.offset[i + 1] - first;
        st = parcel_add(p, &b->images[i], found.items + first, n, labels);
    }
    detector_result_fini(&found);
    return st;
}

// Whether this rank or, as far as it has heard, another one was asked to stop.
static bool is_stopping(struct comm *comm)
{
    if (stop_request_seen()) comm_raise(comm);
    return stop_request_seen() || comm_raised(comm);
}

// This rank's part of the images; E_SAVED where it stopped before the end.
static status detect_all(struct replica *r, struct comm *comm, struct loader *loader,
                         const struct label_set *labels, struct progress *progress,
                         struct parcel *p)
{
    while (!is_stopping(comm)) {
        struct batch *b = NULL;
        pulse_enter("evaluating");
        status st = loader_next(loader, &b, NULL);
        if (st == E_END) return OK;
        TRY(st);
        st = detect_batch(r, b, labels, p);
        int64_t n = (int64_t)b->n_images * comm_size(comm); // the others are about as far
        int64_t n_left = progress->params.total - progress->done;
        progress_add(progress, n < n_left ? n : n_left);
        batch_destroy(b);
        TRY(st);
    }
    return E_SAVED;
}

// Whether a rank stopped before its end: then parts are missing, and all know.
static status agree_to_go_on(struct comm *comm, bool stopped)
{
    double n_stopped = stopped;
    TRY(comm_sum_f64(comm, &n_stopped, 1));
    return n_stopped > 0 ? E_SAVED : OK;
}

static status detect_part(struct replica *r, struct comm *comm, const struct config *c,
                          const struct dataset *d, const struct label_set *labels, struct parcel *p)
{
    struct loader *loader = NULL;
    struct loader_params params = {.dataset = d,
                                   .input = &c->input,
                                   .workers = c->data.workers,
                                   .prefetch = c->data.prefetch,
                                   .worker = comm_rank(comm),
                                   .n_workers = comm_size(comm),
                                   .micro_batch = c->train.micro_batch};
    TRY(loader_create(&params, &loader));
    struct progress progress;
    progress_begin(&progress, &(struct progress_params){.what = "evaluate",
                                                        .unit = "images",
                                                        .total = (int64_t)dataset_n_images(d)});
    status st = detect_all(r, comm, loader, labels, &progress, p);
    progress_end(&progress);
    loader_destroy(loader);
    return st;
}

static status score(const struct gathered *g, const struct label_set *labels,
                    struct coco_eval **out)
{
    struct coco_eval_input in = {.categories = labels->items,
                                 .n_categories = (size_t)labels->n,
                                 .images = g->images,
                                 .n_images = g->n_images,
                                 .annotations = g->annotations,
                                 .annotation_image = g->annotation_image,
                                 .n_annotations = g->n_annotations,
                                 .detections = g->detections,
                                 .n_detections = g->n_detections};
    return coco_eval_create(&in, NULL, out);
}

static status finish(const char *all, size_t bytes, const struct dataset *d,
                     const struct label_set *labels, const char *results_path,
                     struct validation *out)
{
    struct gathered g;
    TRY(gathered_unpack(all, bytes, &g));
    status st = OK;
    out->n_images = (int64_t)g.n_images;
    out->n_expected = (int64_t)dataset_n_images(d);
    if (results_path != NULL) TRY_GOTO(st, gathered_write_results(&g, results_path), out);
    TRY_GOTO(st, score(&g, labels, &out->metrics), out);
out:
    gathered_fini(&g);
    return st;
}

status validate_run(struct replica *r, struct comm *comm, const struct config *c,
                    const struct dataset *d, const struct label_set *labels,
                    const char *results_path, struct validation *out)
{
    struct parcel own = {0};
    char *all = NULL;
    size_t *offset = NULL, n = (size_t)comm_size(comm);
    double begin_s = clock_now_s(), begin = profile_begin();
    *out = (struct validation){0};
    status st = OK;
    // A rank that fails here takes the job down at once: meeting first would mean waiting until the
    // others are through with all of their images.
    st = detect_part(r, comm, c, d, labels, &own);
    if (st == OK || st == E_SAVED) st = agree_to_go_on(comm, st == E_SAVED);
    if (st != OK) goto out;
    TRY_GOTO(st, mem_zalloc(&offset, n + 1), out);
    TRY_GOTO(st, comm_gather(comm, own.data, own.n, &all, offset), out);
    pulse_enter("scoring");
    if (comm_rank(comm) == 0) st = finish(all, offset[n], d, labels, results_path, out);
    TRY_GOTO(st, comm_all_ok(comm, st), out);
    out->seconds = clock_now_s() - begin_s;
    profile_end(begin, PROFILE_KIND_PHASE, "evaluation", NULL);
out:
    mem_free(offset);
    mem_free(all);
    parcel_fini(&own);
    if (st != OK) validation_fini(out);
    return st;
}

void validation_fini(struct validation *v)
{
    coco_eval_destroy(v->metrics);
    v->metrics = NULL;
}
