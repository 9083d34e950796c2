// One image: read, checked against the JSON, encoded.
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/rng.h"
#include "io/example.h"
#include "io/jpeg.h"
#include "io/pack_internal.h"

static status check_size(const struct coco_image *image, int32_t h, int32_t w)
{
    REQUIRE(image->h >= 0, E_FORMAT, "its width and height in the JSON are no size");
    if (image->h == 0 || (image->h == h && image->w == w)) return OK;
    bool is_turned = image->h == w && image->w == h;
    FAIL(E_FORMAT, "is %d x %d (width x height), but the JSON says %d x %d%s", w, h, image->w,
         image->h, is_turned ? ": turned by EXIF? boxes must refer to the stored pixels" : "");
}

static status read_jpeg(const struct coco_image *image, const char *path, bool is_checked,
                        struct record_image *out)
{
    char *data = NULL;
    TRY(file_read(path, &data, &out->jpeg_bytes));
    out->jpeg = (unsigned char *)data;
    TRY(jpeg_size(out->jpeg, out->jpeg_bytes, &out->h, &out->w));
    TRY(check_size(image, out->h, out->w));
    if (is_checked) return OK;
    struct image pixels;
    TRY(jpeg_decode(out->jpeg, out->jpeg_bytes, &pixels));
    image_fini(&pixels);
    return OK;
}

static status find_file(const struct pack_source *s, const struct coco_image *image, char **path)
{
    REQUIRE(image->file_name != NULL && image->file_name[0] != '\0', E_FORMAT, "no file_name");
    if (image->file_name[0] == '/') return mem_strdup(image->file_name, path);
    return mem_printf(path, "%s/%s", s->folder, image->file_name);
}

static status load(const struct pack_source *s, size_t index, bool is_checked,
                   struct record_image *out)
{
    const struct coco_image *image = &s->coco->images[index];
    char *path = NULL, id[256];
    *out = (struct record_image){0};
    status st = find_file(s, image, &path);
    if (st == OK) {
        st = read_jpeg(image, path, is_checked, out);
        if (st != OK && st != E_IO) error_prefix("%s", path); // a system's refusal names it already
    }
    if (st != OK && st != E_NOMEM)
        error_prefix("%s: image id %s", s->coco->path, coco_id_show(&image->id, id, sizeof id));
    mem_free(path);
    return st;
}

status pack_image_check(const struct pack_source *s, size_t image)
{
    struct record_image loaded;
    status st = load(s, image, false, &loaded);
    record_image_fini(&loaded);
    return st;
}

static status fill(const struct pack_source *s, size_t index, struct record_image *out)
{
    const struct coco_image *image = &s->coco->images[index];
    out->id_is_number = image->id.is_number;
    out->id = image->id.number;
    out->n_annotations = (int)image->n;
    TRY(mem_strdup(image->file_name, &out->file_name));
    TRY(mem_alloc(&out->annotations, image->n));
    if (image->n > 0)
        memcpy(out->annotations, &s->coco->annotations[image->first],
               image->n * sizeof *out->annotations);
    if (image->id.is_number) return mem_printf(&out->id_text, "%lld", (long long)image->id.number);
    return mem_strdup(image->id.text, &out->id_text);
}

// Only without --skip-bad does a bad image get here unseen.
static void name_cure(bool is_checked, status st)
{
    if (is_checked || (st != E_FORMAT && st != E_IO)) return;
    struct error e;
    error_save(st, &e);
    error_set(__FILE__, __LINE__, "%s; --skip-bad leaves such images out", e.text);
}

status pack_image_encode(const struct pack_source *s, size_t image, bool is_checked,
                         unsigned char **frame, size_t *n, struct manifest_counts *counts)
{
    struct record_image loaded;
    status st = load(s, image, is_checked, &loaded);
    name_cure(is_checked, st);
    if (st == OK) st = fill(s, image, &loaded);
    if (st == OK) st = example_encode(&loaded, s->categories, s->n_categories, frame, n);
    if (st == OK) manifest_count(counts, &loaded);
    record_image_fini(&loaded);
    return st;
}
