// Detecting on all devices of all ranks, scoring on rank zero.
#include "train/validate.h"

#include <stdatomic.h>
#include <string.h>

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

// What the devices of a rank do side by side.
struct sweep {
    struct team *team;
    const struct dataset *data;
    const struct label_set *labels;
    struct parcel *parcels; // by lane
    struct progress *progress;
    atomic_bool stopped; // before the end
};

// The others are about as far as the first device.
static void advance(struct sweep *s, int n_images)
{
    int64_t n = (int64_t)n_images * team_n_workers(s->team);
    int64_t n_left = s->progress->params.total - s->progress->done;
    progress_add(s->progress, n < n_left ? n : n_left);
}

// One worker's part of the images.
static status detect_all(struct sweep *s, int lane, struct loader *loader)
{
    struct team *t = s->team;
    while (!is_stopping(t->comm)) {
        struct batch *b = NULL;
        if (crew_failed(t->crew)) return OK;
        pulse_enter("evaluating");
        status st = loader_next(loader, &b, NULL);
        if (st == E_END) return OK;
        TRY(st);
        st = detect_batch(t->replicas[lane], b, s->labels, &s->parcels[lane]);
        if (lane == 0) advance(s, b->n_images);
        batch_destroy(b);
        TRY(st);
    }
    atomic_store(&s->stopped, true);
    return OK;
}

static status detect_part(void *context, int lane)
{
    struct sweep *s = context;
    const struct team *t = s->team;
    const struct config *c = t->config;
    int workers = c->data.workers / t->n;
    struct loader *loader = NULL;
    struct loader_params params = {.dataset = s->data,
                                   .input = &c->input,
                                   .workers = workers > 0 ? workers : 1,
                                   .prefetch = c->data.prefetch,
                                   .worker = team_worker(t, lane),
                                   .n_workers = team_n_workers(t),
                                   .micro_batch = c->train.micro_batch,
                                   .decoded = replica_is_late(t->replicas[lane])};
    TRY(loader_create(&params, &loader));
    status st = detect_all(s, lane, loader);
    loader_destroy(loader);
    return st;
}

// Whether a rank stopped before its end: then parts are missing, and all know.
static status agree_to_go_on(struct comm *comm, bool stopped)
{
    double n_stopped = stopped;
    TRY(comm_sum_f64(comm, &n_stopped, 1));
    return n_stopped > 0 ? E_SAVED : OK;
}

// This rank's part of the images; E_SAVED where it stopped before the end.
static status detect_parts(struct team *t, const struct dataset *d, const struct label_set *labels,
                           struct parcel *parcels)
{
    struct progress progress;
    struct sweep s = {
        .team = t, .data = d, .labels = labels, .parcels = parcels, .progress = &progress};
    progress_begin(&progress, &(struct progress_params){.what = "evaluate",
                                                        .unit = "images",
                                                        .total = (int64_t)dataset_n_images(d)});
    status st = crew_each(t->crew, detect_part, &s);
    progress_end(&progress);
    if (st != OK) return st;
    return atomic_load(&s.stopped) ? E_SAVED : OK;
}

// The lanes' parcels as one: the first.
static status join_parcels(struct parcel *parcels, int n)
{
    struct parcel *all = &parcels[0];
    for (int i = 1; i < n; i++) {
        const struct parcel *p = &parcels[i];
        TRY(mem_grow(&all->data, &all->capacity, all->n + p->n));
        if (p->n > 0) memcpy(all->data + all->n, p->data, p->n);
        all->n += p->n;
    }
    return OK;
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

// Rank zero gets all parts and scores them.
static status gather_and_score(struct team *t, const struct parcel *own, const struct dataset *d,
                               const struct label_set *labels, const char *results_path,
                               struct validation *out)
{
    char *all = NULL;
    size_t *offset = NULL, n = (size_t)comm_size(t->comm);
    status st = OK;
    TRY_GOTO(st, mem_zalloc(&offset, n + 1), out);
    TRY_GOTO(st, comm_gather(t->comm, own->data, own->n, &all, offset), out);
    pulse_enter("scoring");
    if (comm_rank(t->comm) == 0) st = finish(all, offset[n], d, labels, results_path, out);
    TRY_GOTO(st, comm_all_ok(t->comm, st), out);
out:
    mem_free(offset);
    mem_free(all);
    return st;
}

status validate_run(struct team *t, const struct dataset *d, const struct label_set *labels,
                    const char *results_path, struct validation *out)
{
    struct parcel *parcels = NULL;
    double begin_s = clock_now_s(), begin = profile_begin();
    *out = (struct validation){0};
    TRY(mem_zalloc(&parcels, (size_t)t->n));
    // A rank that fails here takes the job down at once: meeting first would mean waiting until the
    // others are through with all of their images.
    status st = detect_parts(t, d, labels, parcels);
    if (st == OK) st = join_parcels(parcels, t->n);
    if (st == OK || st == E_SAVED) st = agree_to_go_on(t->comm, st == E_SAVED);
    if (st == OK) st = gather_and_score(t, &parcels[0], d, labels, results_path, out);
    out->seconds = clock_now_s() - begin_s;
    profile_end(begin, PROFILE_KIND_PHASE, "evaluation", NULL);
    for (int i = 0; i < t->n; i++) parcel_fini(&parcels[i]);
    mem_free(parcels);
    if (st != OK) validation_fini(out);
    return st;
}

void validation_fini(struct validation *v)
{
    coco_eval_destroy(v->metrics);
    v->metrics = NULL;
}
