// The data set's files: JPEGs and COCO's JSON.
#include <stdio.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/jpeg.h"
#include "io/json_write.h"
#include "io/synth.h"

enum { JPEG_QUALITY = 90, PATH_BYTES = 4096, NAME_BYTES = 32 };

static const char *const set_names[] = {[SYNTH_SET_TRAIN] = "train", [SYNTH_SET_VAL] = "val"};

struct found {
    int64_t image; // from 1
    struct synth_shape shape;
};

struct set {
    enum synth_set which;
    int64_t n_images;
    size_t n, capacity;
    struct found *found;
};

static status join(char path[PATH_BYTES], const char *folder, const char *sub, const char *name)
{
    int n = snprintf(path, PATH_BYTES, "%s/%s%s%s", folder, sub, name[0] != '\0' ? "/" : "", name);
    REQUIRE(n < PATH_BYTES, E_ARG, "%s: the path is too long", folder);
    return OK;
}

static void name_of(int64_t image, char name[NAME_BYTES])
{
    (void)snprintf(name, NAME_BYTES, "%06lld.jpg", (long long)image);
}

// Without the fsync of file_write: there are thousands, and the JSON vouches for them.
static status write_plain(const char *path, const unsigned char *data, size_t n)
{
    FILE *file = NULL;
    TRY(file_open(path, "wb", &file));
    (void)fwrite(data, 1, n, file);
    return file_close(file, path);
}

static status write_picture(const struct synth_params *p, struct set *set, int64_t image)
{
    struct synth_picture picture;
    char name[NAME_BYTES], path[PATH_BYTES];
    unsigned char *data = NULL;
    size_t n;
    status st = OK;
    name_of(image, name);
    TRY(join(path, p->folder, set_names[set->which], name));
    TRY(synth_draw(p->seed, set->which, image, p->size, &picture));
    TRY_GOTO(st, jpeg_encode(&picture.image, JPEG_QUALITY, &data, &n), out);
    TRY_GOTO(st, write_plain(path, data, n), out);
    TRY_GOTO(st, mem_grow(&set->found, &set->capacity, set->n + (size_t)picture.n), out);
    for (int i = 0; i < picture.n; i++)
        set->found[set->n++] = (struct found){image, picture.shapes[i]};
out:
    mem_free(data);
    synth_picture_fini(&picture);
    return st;
}

static void write_images(struct json_write *json, const struct synth_params *p,
                         const struct set *set)
{
    char name[NAME_BYTES];
    json_write_array(json, "images");
    for (int64_t i = 1; i <= set->n_images; i++) {
        name_of(i, name);
        json_write_object(json, NULL);
        json_write_integer(json, "id", i);
        json_write_text(json, "file_name", name);
        json_write_integer(json, "width", p->size);
        json_write_integer(json, "height", p->size);
        json_write_end(json);
    }
    json_write_end(json);
}

static void write_annotation(struct json_write *json, int64_t id, const struct found *found)
{
    const struct synth_shape *shape = &found->shape;
    json_write_object(json, NULL);
    json_write_integer(json, "id", id);
    json_write_integer(json, "image_id", found->image);
    json_write_integer(json, "category_id", shape->label);
    json_write_array(json, "bbox");
    json_write_integer(json, NULL, shape->x);
    json_write_integer(json, NULL, shape->y);
    json_write_integer(json, NULL, shape->w);
    json_write_integer(json, NULL, shape->h);
    json_write_end(json);
    json_write_integer(json, "area", shape->area);
    json_write_integer(json, "iscrowd", 0);
    json_write_end(json);
}

static void write_categories(struct json_write *json)
{
    json_write_array(json, "categories");
    for (int32_t label = 1; label <= SYNTH_N_CLASSES; label++) {
        json_write_object(json, NULL);
        json_write_integer(json, "id", label);
        json_write_text(json, "name", synth_class_name(label));
        json_write_text(json, "supercategory", "shape");
        json_write_end(json);
    }
    json_write_end(json);
}

static status json_path(const struct synth_params *p, enum synth_set which, char path[PATH_BYTES])
{
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "instances_%s.json", set_names[which]);
    return join(path, p->folder, "annotations", name);
}

static status write_annotations(const struct synth_params *p, const struct set *set)
{
    char path[PATH_BYTES];
    struct file_atomic f;
    struct json_write json;
    TRY(json_path(p, set->which, path));
    TRY(file_atomic_open(path, &f));
    json_write_init(&json, f.file, 2);
    json_write_object(&json, NULL);
    json_write_object(&json, "info");
    json_write_text(&json, "description", "coloured shapes, made by shoal pack synth");
    json_write_integer(&json, "seed", p->seed);
    json_write_end(&json);
    write_images(&json, p, set);
    write_categories(&json);
    json_write_array(&json, "annotations");
    for (size_t i = 0; i < set->n; i++) write_annotation(&json, (int64_t)i + 1, &set->found[i]);
    json_write_end(&json);
    json_write_end(&json);
    return file_atomic_commit(&f);
}

// *n_begun: pictures that may stand there, the last one in part.
static status write_set(const struct synth_params *p, enum synth_set which, int64_t n,
                        int64_t *n_shapes, int64_t *n_begun)
{
    struct set set = {.which = which, .n_images = n};
    char path[PATH_BYTES];
    status st = OK;
    TRY(json_path(p, which, path));
    (void)unlink(path); // an older one would vouch for other pictures
    TRY(join(path, p->folder, set_names[which], ""));
    TRY(file_make_folders(path));
    for (int64_t i = 1; i <= n; i++) {
        *n_begun = i;
        TRY_GOTO(st, write_picture(p, &set, i), out);
    }
    TRY_GOTO(st, write_annotations(p, &set), out);
    *n_shapes += (int64_t)set.n;
out:
    mem_free(set.found);
    return st;
}

// Takes away what write_set has written, as far as it came, and a folder that ends up empty.
static void remove_set(const struct synth_params *p, enum synth_set which, int64_t n_begun)
{
    char path[PATH_BYTES], name[NAME_BYTES];
    for (int64_t i = 1; i <= n_begun; i++) {
        name_of(i, name);
        if (join(path, p->folder, set_names[which], name) == OK) (void)unlink(path);
    }
    if (n_begun > 0 && json_path(p, which, path) == OK) (void)unlink(path);
    if (join(path, p->folder, set_names[which], "") == OK) (void)rmdir(path);
}

status synth_write(const struct synth_params *p, int64_t *n_shapes)
{
    char path[PATH_BYTES];
    int64_t train = 0, val = 0; // pictures begun
    struct error kept;
    *n_shapes = 0;
    TRY(join(path, p->folder, "annotations", ""));
    TRY(file_make_folders(path));
    status st = write_set(p, SYNTH_SET_TRAIN, p->n_train, n_shapes, &train);
    if (st == OK && p->n_val > 0) st = write_set(p, SYNTH_SET_VAL, p->n_val, n_shapes, &val);
    if (st == OK) return OK;
    error_save(st, &kept);
    remove_set(p, SYNTH_SET_TRAIN, train);
    remove_set(p, SYNTH_SET_VAL, val);
    (void)rmdir(path);
    (void)rmdir(p->folder);
    return error_restore(&kept);
}
