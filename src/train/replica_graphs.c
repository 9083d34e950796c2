// Micro-batches captured once and run again: forward and backward as one launch, or as one for each
// bucket of gradients (replica_pieces.c), which costs the host nothing while the device works. So
// is the refresh behind the optimizer, which itself is a few launches whose arguments differ.
//
// A capture holds for the shapes that it was made with: the canvases, how many images each has, and
// how many boxes there is room for. The first micro-batch of its shapes runs as ever, which brings
// cuDNN's plans and the pool's memory; the second is captured; from then on it is run. All that
// changes in between lies in device memory at addresses of its own and is sent before each run:
// pictures, boxes, sizes and the samplers' keys. The pool's memory that a capture uses is anybody's
// between two runs: a run reads nothing there that it has not written.
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/profile.h"
#include "core/pulse.h"
#include "model/scene.h"
#include "train/replica_internal.h"

// Two canvases and micro-batches of 8 have 9 shapes. What a graph needs of cuDNN must stay in its
// cache of 2048 plans, some 200 for a canvas and number of images.
enum { MAX_GROUPS = REPLICA_MAX_GROUPS, MAX_GRAPHS = 32, ALIGNMENT = 256, BOXES_MIN = 32 };

struct key { // compared as bytes
    int32_t n_images, n_groups, gt_capacity;
    int32_t sends; // its gradients leave
    float gradient_scale;
    int32_t group[MAX_GROUPS][3]; // n, h, w
};

struct graph {
    struct key key;
    uint64_t used;                 // the clock then
    struct replica_pieces *pieces; // NULL: seen once
    struct replica_terms terms;
};

struct replica_graphs {
    bool sends; // there are other workers: a step's last micro-batch sends them its gradients
    struct replica_pieces *refresh; // NULL: not yet
    struct graph all[MAX_GRAPHS];
    int n, gt_capacity;
    uint64_t clock;
    char *memory; // what a micro-batch brings
    size_t bytes, bytes_wanted;
};

// With listed canvases, as much as the largest may ask for.
static size_t bytes_for(const struct replica *r, const struct config *c)
{
    size_t most = 0;
    for (int i = 0; i < c->input.n_canvases; i++) {
        size_t area = (size_t)c->input.canvases[i].h * (size_t)c->input.canvases[i].w;
        if (area > most) most = area;
    }
    return (size_t)c->train.micro_batch * most * 3 * dtype_bytes(r->device->compute) + (1 << 16);
}

status replica_graphs_create(struct replica *r, const struct config *c, int n_workers)
{
    const char *wanted = getenv("SHOAL_CUDA_GRAPHS");
    bool off = wanted != NULL && strcmp(wanted, "0") == 0;
    if (!r->device->ops->captures || off || profile_enabled()) return OK;
    TRY(mem_zalloc(&r->graphs, 1));
    r->graphs->sends = n_workers > 1;
    r->graphs->bytes_wanted = bytes_for(r, c);
    return OK;
}

// The shapes stay known.
static void drop_all(struct replica *r)
{
    struct replica_graphs *g = r->graphs;
    for (int i = 0; i < g->n; i++) {
        replica_pieces_free(r, g->all[i].pieces);
        g->all[i].pieces = NULL;
    }
}

void replica_graphs_destroy(struct replica *r)
{
    const struct device *d = r->device;
    struct replica_graphs *g = r->graphs;
    if (g == NULL) return;
    (void)d->ops->wait(d->stream); // one may still be running
    drop_all(r);
    replica_pieces_free(r, g->refresh);
    if (g->memory != NULL) d->ops->free(d->stream, g->memory);
    mem_free(g);
    r->graphs = NULL;
}

// Room for boxes: a power of two, and never less than before, so that few shapes differ in it.
static int boxes_room(struct replica_graphs *g, const struct batch *b)
{
    int total = 0;
    for (int i = 0; i < b->n_images; i++) total += b->images[i].n_boxes;
    if (g->gt_capacity < BOXES_MIN) g->gt_capacity = BOXES_MIN;
    while (g->gt_capacity < total) g->gt_capacity *= 2;
    return g->gt_capacity;
}

static struct key key_of(struct replica_graphs *g, const struct batch *b, float gradient_scale,
                         bool last)
{
    int place[MAX_GROUPS];
    struct key k;
    memset(&k, 0, sizeof k);
    k.n_images = b->n_images;
    k.n_groups = b->n_groups;
    k.gt_capacity = boxes_room(g, b);
    k.sends = last && g->sends;
    k.gradient_scale = gradient_scale;
    replica_order_groups(b, place);
    for (int i = 0; i < b->n_groups; i++) {
        int32_t *to = k.group[place[i]];
        to[0] = b->groups[i].n, to[1] = b->groups[i].h, to[2] = b->groups[i].w;
    }
    return k;
}

static struct graph *find(struct replica_graphs *g, const struct key *key)
{
    for (int i = 0; i < g->n; i++) {
        if (memcmp(&g->all[i].key, key, sizeof *key) != 0) continue;
        g->all[i].used = ++g->clock;
        return &g->all[i];
    }
    return NULL;
}

// A graph's entry, in the place of the one used longest ago where there is no other.
static status add(struct replica *r, const struct key *key)
{
    const struct device *d = r->device;
    struct replica_graphs *g = r->graphs;
    struct graph *to = &g->all[0];
    if (g->n < MAX_GRAPHS) {
        to = &g->all[g->n++];
        to->pieces = NULL;
    }
    for (int i = 0; i < g->n && to->pieces != NULL; i++)
        if (g->all[i].used < to->used) to = &g->all[i];
    if (to->pieces != NULL) TRY(d->ops->wait(d->stream));
    replica_pieces_free(r, to->pieces);
    *to = (struct graph){.key = *key, .used = ++g->clock};
    return OK;
}

static size_t reserve(size_t *bytes, size_t n)
{
    size_t at = *bytes;
    *bytes = (at + n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return at;
}

// How many bytes an input takes, and where its parts lie: behind base, where that is not NULL.
static size_t lay_out(const struct replica *r, const struct key *key, char *base,
                      struct replica_place *out)
{
    size_t bytes = 0, each = 3 * dtype_bytes(r->device->compute);
    *out = (struct replica_place){.gt_capacity = key->gt_capacity};
    for (int i = 0; i < key->n_groups; i++) {
        const int32_t *k = key->group[i];
        size_t at = reserve(&bytes, (size_t)k[0] * (size_t)k[1] * (size_t)k[2] * each);
        if (base != NULL) out->pixels[i] = base + at;
    }
    size_t at = reserve(&bytes, scene_block_bytes(key->n_images, key->gt_capacity));
    if (base != NULL) out->block = base + at;
    return bytes;
}

// Memory of its own, which the pool will hand to nobody. Where it must grow, the captures are void.
static status make_room(struct replica *r, size_t bytes)
{
    const struct device *d = r->device;
    struct replica_graphs *g = r->graphs;
    void *memory;
    if (bytes <= g->bytes) return OK;
    TRY(d->ops->wait(d->stream));
    drop_all(r);
    if (g->memory != NULL) d->ops->free(d->stream, g->memory);
    g->memory = NULL;
    g->bytes = 0;
    if (bytes < g->bytes_wanted) bytes = g->bytes_wanted;
    status st = d->ops->alloc(d->stream, bytes, &memory);
    if (st == E_NOMEM) error_prefix("the input of a micro-batch (train.micro_batch lowers it)");
    if (st != OK) return st;
    g->memory = memory;
    g->bytes = bytes;
    return OK;
}

static status capture(struct replica *r, const struct batch *b, const struct detector_batch *input,
                      struct graph *to)
{
    TRY(replica_pieces_begin(r, to->key.sends, &to->pieces));
    status st = replica_compute(r, b, input, 0, 0, to->key.gradient_scale, NULL, &to->terms);
    return replica_pieces_end(r, st, &to->pieces);
}

// What cannot be captured still runs as ever.
static void give_up(struct replica *r)
{
    log_warn("CUDA graphs are off from here on: %s", error_text());
    error_clear();
    replica_graphs_destroy(r);
}

static status run(struct replica *r, const struct batch *b, uint64_t seed, uint64_t epoch,
                  struct graph *graph, bool *done)
{
    struct replica_place place;
    struct detector_batch input;
    (void)lay_out(r, &graph->key, r->graphs->memory, &place);
    TRY(replica_send(r, b, seed, epoch, &place, &input));
    if (graph->pieces == NULL) {
        status st = capture(r, b, &input, graph);
        tape_reset(r->tape);
        if (st != OK) {
            give_up(r);
            return OK;
        }
    }
    *done = true;
    TRY(replica_pieces_run(r, graph->pieces));
    return replica_keep_losses(r, b, &graph->terms);
}

status replica_graphs_micro_batch(struct replica *r, const struct batch *b, uint64_t seed,
                                  uint64_t epoch, float gradient_scale, bool last, bool *done)
{
    struct replica_graphs *g = r->graphs;
    struct replica_place place;
    *done = false;
    if (g == NULL || b->n_groups > MAX_GROUPS) return OK;
    const struct key key = key_of(g, b, gradient_scale, last);
    struct graph *graph = find(g, &key);
    if (graph == NULL) return add(r, &key);
    TRY(make_room(r, lay_out(r, &key, NULL, &place)));
    pulse_enter("forward and backward");
    status st = run(r, b, seed, epoch, graph, done);
    tape_reset(r->tape);
    return st;
}

static status capture_refresh(struct replica *r)
{
    struct replica_pieces **p = &r->graphs->refresh;
    TRY(replica_pieces_begin(r, false, p));
    return replica_pieces_end(r, params_refresh(detector_params(r->model)), p);
}

// What is loaded, once, has refreshed the model as a whole (detector_refresh).
status replica_refresh(struct replica *r)
{
    struct params *params = detector_params(r->model);
    if (r->graphs == NULL || !params_refreshes_alike(params)) return params_refresh(params);
    if (r->graphs->refresh != NULL)
        params_raise_versions(params);
    else if (capture_refresh(r) != OK) {
        give_up(r);
        return params_refresh(params);
    }
    return replica_pieces_run(r, r->graphs->refresh);
}
