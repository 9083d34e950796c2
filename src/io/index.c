// Makes index and manifest by reading every record.
#include "io/index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/progress.h"
#include "io/label_map.h"
#include "io/parallel.h"
#include "io/record.h"
#include "io/record_index.h"
#include "io/scan.h"

struct indexer {
    const char *path, *labels_path;
    int jobs;
    char *folder;
    struct index_files files;
    struct manifest *manifest;
    struct category *labels; // what labels mean, in any order
    size_t n_labels, labels_capacity;
    bool are_given;   // the labels: a label that is not among them is an error
    bool is_map_read; // NAME.pbtxt is where they come from, so it is not written
    struct record_index *indices;
    struct progress progress;
    // The shard being read:
    struct manifest_shard *shard;
    struct record_index *index;
    size_t empty_capacity;
};

// ---- Labels
// --------------------------------------------------------------------------------------

static struct category *find_label(struct indexer *x, int64_t label)
{
    for (size_t i = 0; i < x->n_labels; i++)
        if (x->labels[i].label == label) return &x->labels[i];
    return NULL;
}

static status add_label(struct indexer *x, int32_t label, int64_t id, const char *name)
{
    TRY(mem_grow(&x->labels, &x->labels_capacity, x->n_labels + 1));
    struct category *c = &x->labels[x->n_labels];
    *c = (struct category){label, id, NULL};
    TRY(mem_strdup(name, &c->name));
    x->n_labels++;
    return OK;
}

static status take_labels(struct indexer *x, const struct category *from, int n)
{
    for (int i = 0; i < n; i++) TRY(add_label(x, from[i].label, from[i].id, from[i].name));
    x->are_given = true;
    return OK;
}

static status take_label_map(struct indexer *x, const char *path)
{
    struct category *map;
    int n;
    TRY(label_map_read(path, &map, &n));
    status st = take_labels(x, map, n);
    label_map_free(map, n);
    return st;
}

static status find_labels(struct indexer *x, const char *manifest_path, const char *map_path)
{
    struct manifest m;
    if (x->labels_path != NULL) {
        x->is_map_read = strcmp(x->labels_path, map_path) == 0;
        return take_label_map(x, x->labels_path);
    }
    if (file_exists(manifest_path) && manifest_read(manifest_path, &m) == OK) {
        status st = take_labels(x, m.categories, m.n_categories);
        manifest_fini(&m);
        return st;
    }
    x->is_map_read = file_exists(map_path);
    if (x->is_map_read) return take_label_map(x, map_path);
    return OK;
}

// A label that a record names itself.
static status learn_name(void *context, int64_t label, const char *text)
{
    struct indexer *x = context;
    if (label < 1 || label >= INT32_MAX || find_label(x, label) != NULL) return OK;
    return add_label(x, (int32_t)label, label, text);
}

static status learn_labels(struct indexer *x, const struct scan_record *r)
{
    if (!x->are_given) TRY(example_visit_names(r->payload, r->n, learn_name, x));
    for (int i = 0; i < r->image->n_annotations; i++) {
        const struct annotation *a = &r->image->annotations[i];
        struct category *c = find_label(x, a->label);
        REQUIRE(c != NULL, E_FORMAT,
                "%s: record %llu at byte %llu (image %s): label %d has no name%s", x->shard->file,
                (unsigned long long)r->number, (unsigned long long)r->offset,
                r->image->id_text != NULL ? r->image->id_text : "without id", a->label,
                x->are_given ? " among the labels" : "; give a label map with --labels");
        if (!r->gaps.no_annotation_ids) c->id = a->category_id;
    }
    return OK;
}

// ---- Records
// -------------------------------------------------------------------------------------

static status visit(void *context, const struct scan_record *r)
{
    struct indexer *x = context;
    struct manifest_shard *s = x->shard;
    if (r->st != OK) return error_restore(r->error);
    TRY(learn_labels(x, r));
    TRY(record_index_add(x->index, r->offset, r->bytes));
    if (record_image_is_usable(r->image->annotations, (size_t)r->image->n_annotations)) {
        s->n_usable++;
    } else {
        TRY(mem_grow(&s->empty, &x->empty_capacity, (size_t)s->n_empty + 1));
        s->empty[s->n_empty++] = s->n_records;
    }
    s->n_records++;
    s->bytes += r->bytes;
    manifest_count(&x->manifest->counts, r->image);
    progress_add(&x->progress, 1);
    return OK;
}

// Records without boxes that simply stand last need no list.
static void drop_plain_list(struct manifest_shard *s)
{
    if (s->n_empty > 0 && s->empty[0] != s->n_usable) return;
    mem_free(s->empty);
    s->empty = NULL;
    s->n_empty = 0;
}

static status read_shard(struct indexer *x, int i)
{
    char *path = NULL;
    TRY(manifest_add_shard(x->manifest, x->files.names[i], &x->shard));
    x->index = &x->indices[i];
    x->empty_capacity = 0;
    TRY(mem_printf(&path, "%s/%s", x->folder, x->files.names[i]));
    struct scan_params p = {path, NULL, x->jobs, false, visit, x};
    status st = scan_file(&p, &x->shard->crc);
    if (st == OK) drop_plain_list(x->shard);
    mem_free(path);
    return st;
}

// ---- Files
// ---------------------------------------------------------------------------------------

static status write_index(struct indexer *x, int i)
{
    char *path = NULL, *text = NULL;
    size_t n;
    TRY(mem_printf(&path, "%s/%s.idx", x->folder, x->files.names[i]));
    status st = record_index_print(&x->indices[i], &text, &n);
    if (st == OK) x->manifest->shards[i].index_crc = record_crc(0, text, n);
    if (st == OK) st = file_write(path, text, n);
    mem_free(text);
    mem_free(path);
    return st;
}

static status index_all(struct indexer *x, const char *manifest_path, const char *map_path)
{
    status st = OK;
    TRY(find_labels(x, manifest_path, map_path));
    TRY(mem_zalloc(&x->indices, (size_t)x->files.n));
    progress_begin(&x->progress, &(struct progress_params){.what = "index", .unit = "records"});
    for (int i = 0; i < x->files.n && st == OK; i++) st = read_shard(x, i);
    progress_end(&x->progress);
    TRY(st);
    REQUIRE(x->manifest->counts.images > 0, E_FORMAT, "%s: no record in it", x->path);
    TRY(manifest_set_categories(x->manifest, x->labels, (int)x->n_labels));
    for (int i = 0; i < x->files.n; i++) TRY(write_index(x, i));
    if (!x->is_map_read && x->n_labels > 0)
        TRY(label_map_write(map_path, x->manifest->categories, x->manifest->n_categories));
    return manifest_write(x->manifest, manifest_path);
}

static void indexer_fini(struct indexer *x)
{
    for (int i = 0; x->indices != NULL && i < x->files.n; i++) record_index_fini(&x->indices[i]);
    for (size_t i = 0; i < x->n_labels; i++) mem_free(x->labels[i].name);
    mem_free(x->indices);
    mem_free(x->labels);
    index_files_fini(&x->files);
    mem_free(x->folder);
}

status index_dataset(const char *path, const char *labels_path, int jobs, struct manifest *out)
{
    struct indexer x = {.path = path, .labels_path = labels_path, .manifest = out};
    char *manifest_path = NULL, *map_path = NULL;
    status st = OK;
    *out = (struct manifest){0};
    x.jobs = jobs > 0 ? jobs : parallel_processors();
    TRY_GOTO(st, file_folder_of(path, &x.folder), out);
    TRY_GOTO(st, mem_printf(&manifest_path, "%s.json", path), out);
    TRY_GOTO(st, mem_printf(&map_path, "%s.pbtxt", path), out);
    TRY_GOTO(st, index_find_files(path, &x.files), out);
    TRY_GOTO(st, index_all(&x, manifest_path, map_path), out);
out:
    indexer_fini(&x);
    mem_free(map_path);
    mem_free(manifest_path);
    if (st != OK) manifest_fini(out);
    return st;
}
