// Shards of one data set: images are encoded by many threads, a batch at a time, and written by one
// in the order of the shards, so that the bytes do not depend on the threads.
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/label_map.h"
#include "io/pack_internal.h"
#include "io/parallel.h"
#include "io/record.h"
#include "io/record_index.h"

enum { BATCH_PER_JOB = 16 };

// An image in the order in which records are written.
struct place {
    size_t image;
    int shard;
};

// One image under way.
struct slot {
    status st;
    unsigned char *frame;
    size_t n;
    struct manifest_counts counts;
    struct error *error; // where st says so and memory was there
};

struct batch {
    const struct pack_job *job;
    const struct place *places;
    struct slot *slots;
};

// The shard being written.
struct output {
    struct file_atomic file;
    struct record_index index;
    struct manifest_shard *shard;
    uint64_t offset;
    bool is_open;
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

// ---- Order
// ---------------------------------------------------------------------------------------

// Shard by shard, in each the images that pass drop_empty before the others.
static status deal(const struct pack_job *job, const struct pack_part *part, struct place **out,
                   uint64_t *n_usable)
{
    const struct coco *c = job->source->coco;
    size_t shards = (size_t)job->shards, next = 0, *dealt = NULL;
    TRY(mem_alloc(&dealt, part->n)); // images in the order of dealing
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < part->n; i++) {
            const struct coco_image *image = &c->images[part->images[i]];
            bool is_usable = record_image_is_usable(&c->annotations[image->first], image->n);
            if (is_usable == (pass == 0)) dealt[next++] = part->images[i];
        }
        if (pass == 0) *n_usable = next;
    }
    status st = mem_alloc(out, part->n);
    size_t to = 0;
    for (size_t s = 0; s < shards && st == OK; s++)
        for (size_t i = s; i < part->n; i += shards)
            (*out)[to++] = (struct place){dealt[i], (int)s};
    mem_free(dealt);
    return st;
}

static status check_shards(const struct pack_job *job, const struct pack_part *part,
                           uint64_t n_usable)
{
    uint64_t most = n_usable > 0 ? n_usable : part->n;
    REQUIRE(part->n > 0, E_ARG, "%s: no image for it", part->path);
    REQUIRE((uint64_t)job->shards <= most, E_ARG,
            "%s: %d shards for %llu images%s; use --shards %llu or less", part->path, job->shards,
            (unsigned long long)most, n_usable > 0 ? " with boxes" : "", (unsigned long long)most);
    return OK;
}

// ---- Encoding
// ------------------------------------------------------------------------------------

static void encode(void *context, size_t i)
{
    struct batch *b = context;
    struct slot *slot = &b->slots[i];
    *slot = (struct slot){0};
    slot->st = pack_image_encode(b->job->source, b->places[i].image, b->job->is_checked,
                                 &slot->frame, &slot->n, &slot->counts);
    status failed = slot->st; // carried to the writing thread
    if (failed != OK && mem_alloc(&slot->error, 1) == OK) error_save(failed, slot->error);
    progress_add(b->job->progress, 1);
}

static status slot_status(const struct slot *slot)
{
    if (slot->st == OK) return OK;
    if (slot->error != NULL) return error_restore(slot->error);
    FAIL(slot->st, "out of memory");
}

static void slot_fini(struct slot *slot)
{
    mem_free(slot->frame);
    mem_free(slot->error);
    *slot = (struct slot){0};
}

// ---- Writing
// -------------------------------------------------------------------------------------

static status output_open(struct output *o, const struct pack_job *job,
                          const struct pack_part *part, struct manifest *m)
{
    char *name = NULL, *path = NULL;
    status st = OK;
    TRY_GOTO(st,
             mem_printf(&name, "%s.record-%05d-of-%05d", base_name(part->path), m->n_shards,
                        job->shards),
             out);
    TRY_GOTO(st, mem_printf(&path, "%s/%s", job->folder, name), out);
    TRY_GOTO(st, manifest_add_shard(m, name, &o->shard), out);
    TRY_GOTO(st, file_atomic_open(path, &o->file), out);
    o->is_open = true;
    o->offset = 0;
    o->index.n = 0;
out:
    mem_free(path);
    mem_free(name);
    return st;
}

static status output_close(struct output *o, const struct pack_job *job)
{
    char *text = NULL, *path = NULL;
    size_t n;
    if (!o->is_open) return OK;
    status st = OK;
    o->is_open = false;
    TRY_GOTO(st, file_atomic_commit(&o->file), out);
    TRY_GOTO(st, record_index_print(&o->index, &text, &n), out);
    TRY_GOTO(st, mem_printf(&path, "%s/%s.idx", job->folder, o->shard->file), out);
    TRY_GOTO(st, file_write(path, text, n), out);
    o->shard->bytes = o->offset;
    o->shard->index_crc = record_crc(0, text, n);
out:
    mem_free(path);
    mem_free(text);
    return st;
}

static status output_write(struct output *o, const struct slot *slot)
{
    REQUIRE(fwrite(slot->frame, 1, slot->n, o->file.file) == slot->n, E_IO,
            "cannot write %s; is the disk full?", o->file.path);
    TRY(record_index_add(&o->index, o->offset, slot->n));
    o->offset += slot->n;
    o->shard->crc = record_crc(o->shard->crc, slot->frame, slot->n);
    o->shard->n_records++;
    o->shard->n_usable += slot->counts.usable;
    return OK;
}

static void add_counts(struct manifest_counts *to, const struct manifest_counts *from)
{
    to->images += from->images;
    to->usable += from->usable;
    to->annotations += from->annotations;
    to->crowds += from->crowds;
    to->empty_boxes += from->empty_boxes;
    to->boxes_past_edge += from->boxes_past_edge;
}

static status write_batch(struct output *o, const struct pack_job *job,
                          const struct pack_part *part, const struct batch *b, size_t n,
                          struct manifest *m)
{
    for (size_t i = 0; i < n; i++) {
        TRY(slot_status(&b->slots[i]));
        while (m->n_shards <= b->places[i].shard) {
            TRY(output_close(o, job));
            TRY(output_open(o, job, part, m));
        }
        TRY(output_write(o, &b->slots[i]));
        add_counts(&m->counts, &b->slots[i].counts);
        slot_fini(&b->slots[i]);
    }
    return OK;
}

static status write_places(const struct pack_job *job, const struct pack_part *part,
                           const struct place *places, struct manifest *m)
{
    size_t most = (size_t)job->jobs * BATCH_PER_JOB;
    struct output o = {.is_open = false};
    struct batch b = {.job = job};
    status st = mem_zalloc(&b.slots, most);
    for (size_t first = 0; first < part->n && st == OK; first += most) {
        size_t n = part->n - first < most ? part->n - first : most;
        b.places = &places[first];
        parallel_for(job->jobs, n, encode, &b);
        st = write_batch(&o, job, part, &b, n, m);
    }
    if (st == OK) st = output_close(&o, job);
    if (o.is_open) file_atomic_abort(&o.file);
    for (size_t i = 0; b.slots != NULL && i < most; i++) slot_fini(&b.slots[i]);
    mem_free(b.slots);
    record_index_fini(&o.index);
    return st;
}

static status write_label_map(const struct pack_job *job, const struct pack_part *part)
{
    char *path = NULL;
    TRY(mem_printf(&path, "%s/%s.pbtxt", job->folder, base_name(part->path)));
    status st = label_map_write(path, job->source->categories, job->source->n_categories);
    mem_free(path);
    return st;
}

status pack_write_part(const struct pack_job *job, const struct pack_part *part,
                       struct manifest *manifest)
{
    struct place *places = NULL;
    uint64_t n_usable = 0;
    status st = OK;
    *manifest = (struct manifest){0};
    TRY_GOTO(st, deal(job, part, &places, &n_usable), out);
    TRY_GOTO(st, check_shards(job, part, n_usable), out);
    TRY_GOTO(st,
             manifest_set_categories(manifest, job->source->categories, job->source->n_categories),
             out);
    TRY_GOTO(st, write_places(job, part, places, manifest), out);
    TRY_GOTO(st, write_label_map(job, part), out);
out:
    mem_free(places);
    if (st != OK) manifest_fini(manifest);
    return st;
}
