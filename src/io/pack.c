// Packing COCO: read the JSON, choose labels, check and encode the images, write, publish.
#include "io/pack.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "io/pack_internal.h"
#include "io/parallel.h"

struct pack {
    const struct pack_params *p;
    struct pack_report *report;
    struct coco *coco;
    struct category *categories;
    int n_categories;
    int jobs;
    size_t n_images;
    size_t *images; // that can be packed, in the JSON's order
    int n_parts;
    struct pack_part *parts;
    struct manifest *manifests; // of the parts
    char *to;                   // DIR
    bool made_to;               // it was not there before
    char *folder;               // where files are written first
};

// ---- Annotations
// ---------------------------------------------------------------------------------

static status skip_annotation(void *context, const char *what)
{
    struct pack *k = context;
    log_warn("skipped: %s", what);
    k->report->skipped_annotations++;
    return OK;
}

static status refuse_annotation(void *context, const char *what)
{
    (void)context;
    FAIL(E_FORMAT, "%s; --skip-bad leaves such annotations out", what);
}

static void tell_what_was_filled(const struct coco *c)
{
    if (c->n_ids_filled > 0)
        log_info("%s: %zu annotations had no id and got one", c->path, c->n_ids_filled);
    if (c->n_areas_filled > 0)
        log_info("%s: %zu annotations had no area and got width x height", c->path,
                 c->n_areas_filled);
    if (c->n_zero_ids > 0)
        log_warn("%s: %zu annotations have id 0, which pycocotools never counts as matched; kept",
                 c->path, c->n_zero_ids);
}

static status read_annotations(struct pack *k)
{
    struct coco_params p = {.problem = k->p->skip_bad ? skip_annotation : refuse_annotation,
                            .context = k};
    TRY(coco_read(k->p->annotations, &p, &k->coco));
    tell_what_was_filled(k->coco);
    TRY(pack_labels_assign(k->p, k->coco, &k->categories, &k->n_categories));
    return OK;
}

// ---- Which images
// --------------------------------------------------------------------------------

struct check {
    const struct pack_source *source;
    struct error **errors; // of each image; NULL: good
    struct progress progress;
};

// Stands for an error that there was no memory to keep.
static struct error no_memory = {.code = E_NOMEM, .text = "out of memory"};

static void check_image(void *context, size_t i)
{
    struct check *c = context;
    status st = pack_image_check(c->source, i);
    if (st != OK) {
        struct error *e = NULL;
        struct error kept;
        error_save(st, &kept);
        bool is_kept = mem_alloc(&e, 1) == OK;
        if (is_kept) *e = kept;
        c->errors[i] = is_kept ? e : &no_memory;
    }
    progress_add(&c->progress, 1);
}

// Keeps the images without error; tells the others.
static status sort_out(struct pack *k, struct error *const *errors)
{
    k->n_images = 0;
    for (size_t i = 0; i < k->coco->n_images; i++) {
        const struct error *e = errors[i];
        if (e == NULL) {
            k->images[k->n_images++] = i;
            continue;
        }
        if (e->code == E_NOMEM) return error_restore(e);
        log_warn("skipped: %s", e->text);
        k->report->skipped_images++;
    }
    return OK;
}

static status check_images(struct pack *k, const struct pack_source *source)
{
    size_t n = k->coco->n_images;
    struct check c = {.source = source};
    TRY(mem_zalloc(&c.errors, n));
    progress_begin(&c.progress, &(struct progress_params){
                                    .what = "check", .unit = "images", .total = (int64_t)n});
    parallel_for(k->jobs, n, check_image, &c);
    progress_end(&c.progress);
    status st = sort_out(k, c.errors);
    for (size_t i = 0; i < n; i++)
        if (c.errors[i] != &no_memory) mem_free(c.errors[i]);
    mem_free(c.errors);
    return st;
}

static status choose_images(struct pack *k, const struct pack_source *source)
{
    size_t n = k->coco->n_images;
    TRY(mem_alloc(&k->images, n));
    for (size_t i = 0; i < n; i++) k->images[i] = i;
    k->n_images = n;
    if (k->p->skip_bad) TRY(check_images(k, source));
    k->n_parts = k->p->n_splits > 0 ? k->p->n_splits : 1;
    TRY(mem_zalloc(&k->parts, (size_t)k->n_parts));
    TRY(mem_zalloc(&k->manifests, (size_t)k->n_parts));
    return pack_split_images(k->p, k->coco, k->images, k->n_images, k->parts);
}

// ---- Writing
// -------------------------------------------------------------------------------------

// Removes what earlier runs left that were killed: their process is gone.
static void remove_stale(const char *to, const char *name)
{
    char prefix[256];
    DIR *folder = opendir(to);
    int length = snprintf(prefix, sizeof prefix, ".%s.packing-", name);
    if (folder == NULL || length >= (int)sizeof prefix) length = -1;
    for (struct dirent *e; length > 0 && (e = readdir(folder)) != NULL;) {
        if (strncmp(e->d_name, prefix, (size_t)length) != 0) continue;
        long pid = strtol(e->d_name + length, NULL, 10);
        char *path = NULL;
        if (pid <= 1 || kill((pid_t)pid, 0) == 0 || errno != ESRCH) continue;
        if (mem_printf(&path, "%s/%s", to, e->d_name) == OK && file_remove_tree(path) != OK)
            log_warn("cannot remove %s", path);
        mem_free(path);
    }
    if (folder != NULL) (void)closedir(folder);
}

static status make_folder(struct pack *k)
{
    const char *slash = strrchr(k->p->out, '/');
    const char *name = slash != NULL ? slash + 1 : k->p->out;
    TRY(file_folder_of(k->p->out, &k->to));
    remove_stale(k->to, name);
    k->made_to = !file_exists(k->to);
    TRY(mem_printf(&k->folder, "%s/.%s.packing-%d", k->to, name, (int)getpid()));
    return file_make_folders(k->folder);
}

static status write_parts(struct pack *k, const struct pack_source *source)
{
    struct progress progress;
    struct pack_job job = {source, k->jobs, k->p->shards, k->p->skip_bad, k->folder, &progress};
    status st = OK;
    progress_begin(&progress, &(struct progress_params){
                                  .what = "pack", .unit = "images", .total = (int64_t)k->n_images});
    for (int i = 0; i < k->n_parts && st == OK; i++)
        st = pack_write_part(&job, &k->parts[i], &k->manifests[i]);
    progress_end(&progress);
    return st;
}

static void tell(const struct pack *k, int i)
{
    const struct manifest_counts *c = &k->manifests[i].counts;
    int last = k->n_categories > 0 ? k->categories[k->n_categories - 1].label : 0;
    log_info("%s: %llu images (%llu with boxes), %llu boxes (%llu crowds, %llu without area, %llu "
             "past the edge), %d categories, %d outputs, %d shards",
             k->parts[i].path, (unsigned long long)c->images, (unsigned long long)c->usable,
             (unsigned long long)c->annotations, (unsigned long long)c->crowds,
             (unsigned long long)c->empty_boxes, (unsigned long long)c->boxes_past_edge,
             k->n_categories, last + 1, k->manifests[i].n_shards);
}

static status publish(struct pack *k)
{
    TRY(pack_publish(k->folder, k->to, k->parts, k->manifests, k->n_parts));
    for (int i = 0; i < k->n_parts; i++) {
        k->report->images += k->manifests[i].counts.images;
        tell(k, i);
    }
    if (k->report->skipped_images + k->report->skipped_annotations > 0)
        log_warn("%llu images and %llu annotations were skipped",
                 (unsigned long long)k->report->skipped_images,
                 (unsigned long long)k->report->skipped_annotations);
    return OK;
}

static status check_params(const struct pack_params *p)
{
    const char *slash = strrchr(p->out, '/');
    REQUIRE((slash != NULL ? slash + 1 : p->out)[0] != '\0', E_ARG, "--out %s: want DIR/NAME",
            p->out);
    REQUIRE(p->shards >= 1 && p->shards <= 99999, E_ARG, "--shards %d: want 1 to 99999", p->shards);
    REQUIRE(p->labels != PACK_LABELS_FROM || p->labels_from != NULL, E_ARG,
            "--labels-from wants a manifest");
    return pack_split_check(p);
}

static void pack_fini(struct pack *k, bool failed)
{
    if (k->folder != NULL && file_remove_tree(k->folder) != OK)
        log_warn("cannot remove %s", k->folder);
    if (failed && k->made_to) (void)rmdir(k->to);
    for (int i = 0; i < k->n_parts; i++) {
        if (k->manifests != NULL) manifest_fini(&k->manifests[i]);
        if (k->parts != NULL) pack_split_fini(&k->parts[i]);
    }
    mem_free(k->folder);
    mem_free(k->to);
    mem_free(k->manifests);
    mem_free(k->parts);
    mem_free(k->images);
    pack_labels_free(k->categories, k->n_categories);
    coco_destroy(k->coco);
}

status pack_coco(const struct pack_params *p, struct pack_report *report)
{
    status st = OK;
    struct pack k = {.p = p, .report = report};
    *report = (struct pack_report){0};
    TRY(check_params(p));
    k.jobs = p->jobs > 0 ? p->jobs : parallel_processors();
    TRY_GOTO(st, read_annotations(&k), out);
    struct pack_source source = {k.coco, p->images, k.categories, k.n_categories};
    TRY_GOTO(st, choose_images(&k, &source), out);
    TRY_GOTO(st, make_folder(&k), out);
    TRY_GOTO(st, write_parts(&k, &source), out);
    TRY_GOTO(st, publish(&k), out);
out:;
    struct error kept;
    error_save(st, &kept); // tidying up may set another
    pack_fini(&k, st != OK);
    return st == OK ? OK : error_restore(&kept);
}
