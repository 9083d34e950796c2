// A packed data set opened for reading. Shards are opened on first use and stay open, up to a
// number; pread shares them between threads.
#include "io/dataset.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/rng.h"
#include "io/example.h"
#include "io/manifest.h"
#include "io/record.h"
#include "io/record_index.h"

enum { MAX_OPEN_FILES = 256 }; // the usual limit of a process is 1024, and it needs others

struct open_files {
    pthread_mutex_t lock;
    int n_open;
    int *fds; // one per shard; -1: not open
};

struct dataset {
    char *path;
    struct manifest manifest;
    struct shard *shards;
    struct record_index *indices; // of each shard, records that pass drop_empty first
    uint64_t *first;              // number of each shard's first record in the whole
    uint64_t checksum;
    struct open_files *files;
};

// ---- Opening
// -------------------------------------------------------------------------------------

// Puts the records that pass drop_empty first, keeping their order.
static status order_index(const struct manifest_shard *s, struct record_index *index)
{
    struct record_span *ordered;
    if (s->n_empty == 0) return OK;
    TRY(mem_alloc(&ordered, (size_t)index->n));
    uint64_t n_usable = 0, n_empty = 0;
    for (uint64_t k = 0; k < index->n; k++) {
        bool is_empty = n_empty < s->n_empty && s->empty[n_empty] == k;
        uint64_t to = is_empty ? s->n_usable + n_empty++ : n_usable++;
        ordered[to] = index->spans[k];
    }
    mem_free(index->spans);
    index->spans = ordered;
    return OK;
}

static status open_index(const struct manifest_shard *s, const struct shard *shard,
                         struct record_index *index)
{
    char *path = NULL;
    uint32_t crc;
    TRY(mem_printf(&path, "%s.idx", shard->path));
    status st = record_index_read(path, shard->bytes, index, &crc);
    if (st == OK && (index->n != s->n_records || crc != s->index_crc)) {
        error_set(
            __FILE__, __LINE__,
            "%s: %llu records, checksum %08x; the manifest wants %llu, %08x: files of two data "
            "sets are mixed, or changed; pack or shoal index makes them fit",
            path, (unsigned long long)index->n, crc, (unsigned long long)s->n_records,
            s->index_crc);
        st = E_FORMAT;
    }
    mem_free(path);
    if (st == OK) st = order_index(s, index);
    return st;
}

static status open_shard(struct dataset *d, const char *folder, int i)
{
    const struct manifest_shard *s = &d->manifest.shards[i];
    struct shard *shard = &d->shards[i];
    *shard = (struct shard){NULL, s->n_records, s->n_usable, s->bytes};
    TRY(mem_printf(&shard->path, "%s/%s", folder, s->file));
    uint64_t bytes;
    TRY(file_size(shard->path, &bytes));
    REQUIRE(bytes == s->bytes, E_FORMAT,
            "%s: %llu bytes, but %s.json wants %llu: shards of two data sets are mixed, or a copy "
            "was cut short",
            shard->path, (unsigned long long)bytes, d->path, (unsigned long long)s->bytes);
    return open_index(s, shard, &d->indices[i]);
}

static status open_shards(struct dataset *d)
{
    status st = OK;
    char *folder = NULL;
    size_t n = (size_t)d->manifest.n_shards;
    TRY(mem_zalloc(&d->shards, n));
    TRY(mem_zalloc(&d->indices, n));
    TRY(mem_zalloc(&d->first, n));
    TRY(mem_alloc(&d->files->fds, n));
    for (size_t i = 0; i < n; i++) d->files->fds[i] = -1;
    TRY(file_folder_of(d->path, &folder));
    for (size_t i = 0; i < n && st == OK; i++) {
        st = open_shard(d, folder, (int)i);
        if (i + 1 < n) d->first[i + 1] = d->first[i] + d->shards[i].n_records;
    }
    mem_free(folder);
    return st;
}

static status open_manifest(struct dataset *d)
{
    char *path = NULL;
    TRY(mem_printf(&path, "%s.json", d->path));
    status st = OK;
    if (file_exists(path)) {
        st = manifest_read(path, &d->manifest);
    } else {
        error_set(__FILE__, __LINE__,
                  "no %s: make it with shoal pack, or with shoal index where records are there",
                  path);
        st = E_IO;
    }
    mem_free(path);
    if (st != OK) return st;
    return manifest_checksum(&d->manifest, &d->checksum);
}

status dataset_open(const char *path, struct dataset **out)
{
    status st = OK;
    struct dataset *d = NULL;
    TRY(mem_zalloc(&d, 1));
    TRY_GOTO(st, mem_zalloc(&d->files, 1), fail);
    (void)pthread_mutex_init(&d->files->lock, NULL);
    TRY_GOTO(st, mem_strdup(path, &d->path), fail);
    TRY_GOTO(st, open_manifest(d), fail);
    TRY_GOTO(st, open_shards(d), fail);
    *out = d;
    return OK;
fail:
    dataset_close(d);
    return st;
}

static void close_files(struct dataset *d)
{
    if (d->files == NULL) return;
    for (int i = 0; d->files->fds != NULL && i < d->manifest.n_shards; i++)
        if (d->files->fds[i] >= 0) (void)close(d->files->fds[i]);
    (void)pthread_mutex_destroy(&d->files->lock);
    mem_free(d->files->fds);
    mem_free(d->files);
}

void dataset_close(struct dataset *d)
{
    if (d == NULL) return;
    close_files(d);
    for (int i = 0; i < d->manifest.n_shards; i++) {
        if (d->shards != NULL) mem_free(d->shards[i].path);
        if (d->indices != NULL) record_index_fini(&d->indices[i]);
    }
    mem_free(d->first);
    mem_free(d->indices);
    mem_free(d->shards);
    manifest_fini(&d->manifest);
    mem_free(d->path);
    mem_free(d);
}

// ---- What it holds
// -------------------------------------------------------------------------------

int dataset_n_shards(const struct dataset *d)
{
    return d->manifest.n_shards;
}

const struct shard *dataset_shard(const struct dataset *d, int s)
{
    ASSERT(s >= 0 && s < d->manifest.n_shards);
    return &d->shards[s];
}

int dataset_n_categories(const struct dataset *d)
{
    return d->manifest.n_categories;
}

const struct category *dataset_category(const struct dataset *d, int i)
{
    ASSERT(i >= 0 && i < d->manifest.n_categories);
    return &d->manifest.categories[i];
}

int dataset_n_labels(const struct dataset *d)
{
    int n = d->manifest.n_categories;
    return n == 0 ? 1 : d->manifest.categories[n - 1].label + 1; // labels ascend
}

uint64_t dataset_n_images(const struct dataset *d)
{
    return d->manifest.counts.images;
}

uint64_t dataset_n_usable(const struct dataset *d)
{
    return d->manifest.counts.usable;
}

uint64_t dataset_checksum(const struct dataset *d)
{
    return d->checksum;
}

// ---- Reading
// -------------------------------------------------------------------------------------

// The shard's descriptor; *keep: it stays open for the next reader.
static status acquire_file(const struct dataset *d, int s, int *fd, bool *keep)
{
    struct open_files *files = d->files;
    status st = OK;
    uint64_t bytes;
    *keep = true;
    (void)pthread_mutex_lock(&files->lock);
    *fd = files->fds[s];
    if (*fd < 0) {
        st = record_open_file(d->shards[s].path, fd, &bytes);
        *keep = files->n_open < MAX_OPEN_FILES;
        if (st == OK && *keep) {
            files->fds[s] = *fd;
            files->n_open++;
        }
    }
    (void)pthread_mutex_unlock(&files->lock);
    return st;
}

static status read_frame(const struct dataset *d, int s, const struct record_span *span,
                         unsigned char **frame)
{
    int fd;
    bool keep;
    TRY(mem_alloc(frame, (size_t)span->bytes));
    TRY(acquire_file(d, s, &fd, &keep));
    status st = record_read_at(fd, d->shards[s].path, span->offset, *frame, (size_t)span->bytes);
    if (!keep) (void)close(fd);
    return st;
}

static int compare_labels(const void *a, const void *b)
{
    int32_t x = ((const struct category *)a)->label, y = ((const struct category *)b)->label;
    return (x > y) - (x < y);
}

// What records of others lack: an image id, and ids of annotations, unique in the data set.
static status fill_gaps(const struct dataset *d, int s, uint64_t k, const struct example_gaps *gaps,
                        struct record_image *out)
{
    enum { ANNOTATION_BITS = 24 };
    uint64_t record = d->first[s] + k;
    if (gaps->no_id) {
        TRY(mem_printf(&out->id_text, "%s#%llu", d->manifest.shards[s].file,
                       (unsigned long long)k));
        out->id_key = rng_id_from_text(out->id_text);
    }
    for (int i = 0; i < out->n_annotations; i++) {
        struct annotation *a = &out->annotations[i];
        struct category wanted = {.label = a->label};
        const struct category *found =
            bsearch(&wanted, d->manifest.categories, (size_t)d->manifest.n_categories,
                    sizeof wanted, compare_labels);
        REQUIRE(found != NULL, E_FORMAT, "label %d is not among the manifest's", a->label);
        if (!gaps->no_annotation_ids) continue;
        a->id = (int64_t)(record << ANNOTATION_BITS) + i + 1;
        a->category_id = found->id;
    }
    return OK;
}

static status decode_frame(const struct dataset *d, int s, uint64_t k, const unsigned char *frame,
                           size_t bytes, struct record_image *out)
{
    const unsigned char *payload;
    struct example_gaps gaps;
    size_t n;
    TRY(record_check(frame, bytes, &payload, &n));
    TRY(example_decode(payload, n, out, &gaps));
    return fill_gaps(d, s, k, &gaps, out);
}

// "shard at byte N (image 7): ", the image as far as it can be read: its bytes may be the bad ones.
static void name_place(const struct dataset *d, int s, const struct record_span *span,
                       const unsigned char *frame)
{
    struct record_image image = {0};
    struct example_gaps gaps;
    struct error kept;
    char who[256] = "";
    error_save(E_FORMAT, &kept);
    if (frame != NULL && span->bytes >= RECORD_FRAME_BYTES &&
        example_decode(frame + RECORD_HEADER_BYTES, (size_t)span->bytes - RECORD_FRAME_BYTES,
                       &image, &gaps) == OK &&
        image.id_text != NULL)
        (void)snprintf(who, sizeof who, " (image %s)", image.id_text);
    record_image_fini(&image);
    (void)error_restore(&kept);
    error_prefix("%s: record at byte %llu%s", d->shards[s].path, (unsigned long long)span->offset,
                 who);
}

status dataset_read(const struct dataset *d, int s, uint64_t k, struct record_image *out)
{
    unsigned char *frame = NULL;
    status st = OK;
    *out = (struct record_image){0};
    ASSERT(s >= 0 && s < d->manifest.n_shards && k < d->indices[s].n);
    const struct record_span *span = &d->indices[s].spans[k];
    TRY_GOTO(st, read_frame(d, s, span, &frame), out);
    st = decode_frame(d, s, k, frame, (size_t)span->bytes, out);
    if (st != OK) {
        record_image_fini(out);
        if (st != E_NOMEM) name_place(d, s, span, frame);
    }
out:
    mem_free(frame);
    return st;
}
