// Checks a packed data set.
#include "io/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/progress.h"
#include "io/label_map.h"
#include "io/manifest.h"
#include "io/parallel.h"
#include "io/record_index.h"
#include "io/scan.h"

struct verify {
    const char *path;
    char *folder;
    struct manifest manifest;
    struct manifest_counts counts; // as found
    int jobs;
    verify_problem problem;
    void *context;
    struct verify_report *report;
    struct progress progress;
    uint64_t shard_records, shard_usable, shard_problems; // of the shard being read
};

static void tell(struct verify *v, const char *format, ...) PRINTF_LIKE(2, 3);

static void tell(struct verify *v, const char *format, ...)
{
    char what[ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    v->report->problems++;
    v->shard_problems++;
    v->problem(v->context, what);
}

// A failed check becomes a problem; running out of memory stays an error.
static status tell_error(struct verify *v, status st)
{
    if (st == OK || st == E_NOMEM) return st;
    tell(v, "%s", error_text());
    return OK;
}

static bool has_label(const struct manifest *m, int32_t label)
{
    for (int i = 0; i < m->n_categories; i++)
        if (m->categories[i].label == label) return true;
    return false;
}

static status visit(void *context, const struct scan_record *r)
{
    struct verify *v = context;
    v->report->records++;
    v->shard_records++;
    progress_add(&v->progress, 1);
    if (r->st != OK) {
        tell(v, "%s", r->error->text);
        return OK;
    }
    for (int i = 0; i < r->image->n_annotations; i++)
        if (!has_label(&v->manifest, r->image->annotations[i].label))
            tell(v, "record %llu at byte %llu (image %s): label %d is not among the manifest's",
                 (unsigned long long)r->number, (unsigned long long)r->offset,
                 r->image->id_text != NULL ? r->image->id_text : "without id",
                 r->image->annotations[i].label);
    uint64_t before = v->counts.usable;
    manifest_count(&v->counts, r->image);
    v->shard_usable += v->counts.usable - before;
    return OK;
}

// The index, or none where it is damaged.
static status read_index(struct verify *v, const struct manifest_shard *s, const char *path,
                         uint64_t bytes, struct record_index *index, bool *is_good)
{
    char *index_path = NULL;
    uint32_t crc = 0;
    TRY(mem_printf(&index_path, "%s.idx", path));
    status st = record_index_read(index_path, bytes, index, &crc);
    *is_good = st == OK;
    st = tell_error(v, st);
    if (*is_good && (crc != s->index_crc || index->n != s->n_records))
        tell(v, "%s: %llu records, checksum %08x; the manifest wants %llu, %08x", index_path,
             (unsigned long long)index->n, crc, (unsigned long long)s->n_records, s->index_crc);
    mem_free(index_path);
    return st;
}

static void check_totals(struct verify *v, const struct manifest_shard *s, const char *path,
                         uint32_t crc)
{
    if (v->shard_problems > 0) return; // what follows from them is no news
    if (v->shard_records != s->n_records || v->shard_usable != s->n_usable)
        tell(v, "%s: %llu records, %llu with boxes; the manifest wants %llu and %llu", path,
             (unsigned long long)v->shard_records, (unsigned long long)v->shard_usable,
             (unsigned long long)s->n_records, (unsigned long long)s->n_usable);
    else if (crc != s->crc)
        tell(v, "%s: checksum %08x, the manifest wants %08x: its records are whole, but others",
             path, crc, s->crc);
}

static status verify_content(struct verify *v, const struct manifest_shard *s, const char *path)
{
    struct record_index index = {0};
    uint64_t bytes;
    uint32_t crc = 0;
    bool has_index;
    status st = file_size(path, &bytes);
    if (st != OK) return tell_error(v, st);
    if (bytes != s->bytes)
        tell(v, "%s: %llu bytes, the manifest wants %llu", path, (unsigned long long)bytes,
             (unsigned long long)s->bytes);
    TRY(read_index(v, s, path, bytes, &index, &has_index));
    struct scan_params p = {path, has_index ? &index : NULL, v->jobs, true, visit, v};
    st = tell_error(v, scan_file(&p, &crc));
    record_index_fini(&index);
    if (st == OK) check_totals(v, s, path, crc);
    return st;
}

static status verify_shard(struct verify *v, const struct manifest_shard *s)
{
    char *path = NULL;
    v->shard_records = v->shard_usable = v->shard_problems = 0;
    TRY(mem_printf(&path, "%s/%s", v->folder, s->file));
    status st = verify_content(v, s, path);
    mem_free(path);
    return st;
}

static void compare_map(struct verify *v, const char *path, const struct category *map, int n)
{
    const struct manifest *m = &v->manifest;
    if (n != m->n_categories)
        tell(v, "%s: %d items, the manifest has %d categories", path, n, m->n_categories);
    for (int i = 0; i < m->n_categories; i++) {
        const struct category *c = &m->categories[i], *found = NULL;
        for (int k = 0; k < n && found == NULL; k++)
            if (map[k].label == c->label) found = &map[k];
        if (found == NULL || strcmp(found->name, c->name) != 0)
            tell(v, "%s: label %d is %s%s, in the manifest %s", path, c->label,
                 found == NULL ? "missing" : "", found == NULL ? "" : found->name, c->name);
    }
}

// The label map beside the manifest, where there is one.
static status verify_label_map(struct verify *v)
{
    struct category *map = NULL;
    char *path = NULL;
    int n = 0;
    TRY(mem_printf(&path, "%s.pbtxt", v->path));
    status st = OK;
    if (file_exists(path) && v->manifest.n_categories > 0) {
        st = label_map_read(path, &map, &n);
        if (st == OK) compare_map(v, path, map, n);
        st = tell_error(v, st);
    }
    label_map_free(map, n);
    mem_free(path);
    return st;
}

static void check_counts(struct verify *v)
{
    const struct manifest_counts *a = &v->counts, *b = &v->manifest.counts;
    if (v->report->problems > 0) return;
    if (a->annotations != b->annotations || a->crowds != b->crowds ||
        a->empty_boxes != b->empty_boxes || a->boxes_past_edge != b->boxes_past_edge)
        tell(v, "%s.json: its counts of boxes are not those of the records", v->path);
}

static status verify_all(struct verify *v)
{
    status st = OK;
    TRY(file_folder_of(v->path, &v->folder));
    progress_begin(&v->progress,
                   &(struct progress_params){.what = "verify",
                                             .unit = "records",
                                             .total = (int64_t)v->manifest.counts.images});
    for (int i = 0; i < v->manifest.n_shards && st == OK; i++)
        st = verify_shard(v, &v->manifest.shards[i]);
    progress_end(&v->progress);
    if (st == OK) st = verify_label_map(v);
    if (st == OK) check_counts(v);
    return st;
}

status verify_dataset(const char *path, int jobs, verify_problem problem, void *context,
                      struct verify_report *report)
{
    struct verify v = {.path = path, .problem = problem, .context = context, .report = report};
    char *manifest_path = NULL;
    *report = (struct verify_report){0};
    v.jobs = jobs > 0 ? jobs : parallel_processors();
    TRY(mem_printf(&manifest_path, "%s.json", path));
    status st = OK;
    if (file_exists(manifest_path)) {
        st = manifest_read(manifest_path, &v.manifest);
    } else {
        error_set(__FILE__, __LINE__,
                  "no %s: name the data set as DIR/NAME, or make the file with shoal index where "
                  "records are there",
                  manifest_path);
        st = E_IO;
    }
    mem_free(manifest_path);
    if (st != OK) return st;
    st = verify_all(&v);
    manifest_fini(&v.manifest);
    mem_free(v.folder);
    return st;
}
