// Reading and writing model files.
#include "train/weights.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "io/safetensors.h"

enum { NAME_BYTES = 256 };

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

// ---- Reading ---------------------------------------------------------------------------------

// torchvision before 0.13 named a wrapped convolution "conv.weight" where it is "conv.0.0.weight"
// now, or "inner_blocks.0.weight" where it is "inner_blocks.0.0.weight".
static const struct safetensors_entry *find_older(const struct safetensors *file, const char *name)
{
    static const char *const wraps[] = {"rpn.head.conv.0.0.", "backbone.fpn.inner_blocks.",
                                        "backbone.fpn.layer_blocks."};
    bool wrapped = false;
    for (size_t i = 0; i < COUNT(wraps); i++) wrapped |= starts_with(name, wraps[i]);
    if (!wrapped) return NULL;
    char older[NAME_BYTES];
    const char *leaf = strrchr(name, '.');
    bool rpn = starts_with(name, "rpn.");
    int cut = (int)(leaf - name) - (int)strlen(rpn ? ".0.0" : ".0");
    (void)snprintf(older, sizeof older, "%.*s%s", cut, name, leaf);
    return safetensors_find(file, older);
}

static const struct safetensors_entry *find(const struct safetensors *file, const char *name)
{
    static const char body[] = "backbone.body.";
    const struct safetensors_entry *e = safetensors_find(file, name);
    if (e == NULL) e = find_older(file, name);
    if (e == NULL && starts_with(name, body)) e = safetensors_find(file, name + strlen(body));
    return e;
}

static bool is_class_head(const char *name)
{
    return starts_with(name, "roi_heads.box_predictor.");
}

static const char *entry_shape(const struct safetensors_entry *e, char text[TENSOR_SHAPE_TEXT])
{
    struct shape s = {.n_dims = e->n_dims < TENSOR_MAX_DIMS ? e->n_dims : TENSOR_MAX_DIMS};
    memcpy(s.dim, e->dim, (size_t)s.n_dims * sizeof *s.dim);
    return shape_text(&s, text);
}

static bool same_shape(const struct safetensors_entry *e, const struct shape *want)
{
    return e->n_dims == want->n_dims &&
           memcmp(e->dim, want->dim, (size_t)want->n_dims * sizeof *want->dim) == 0;
}

// Names for one log line; those that do not fit are counted.
struct name_list {
    char text[1024];
    int n, n_left_out;
};

static void name_list_add(struct name_list *l, const char *name)
{
    size_t used = strlen(l->text);
    l->n++;
    if (used + strlen(name) + 3 > sizeof l->text || l->n_left_out > 0)
        l->n_left_out++;
    else
        (void)snprintf(l->text + used, sizeof l->text - used, "%s%s", used > 0 ? ", " : "", name);
}

static void name_list_say(const struct name_list *l, const char *path, const char *what)
{
    char more[32] = "";
    if (l->n == 0) return;
    if (l->n_left_out > 0) (void)snprintf(more, sizeof more, " and %d more", l->n_left_out);
    log_info("%s: %d %s: %s%s", path, l->n, what, l->text, more);
}

struct reading {
    struct params *params;
    const struct safetensors *file;
    const char *path;
    enum weights_mode mode;
    float *host; // room for one parameter
    int n_matched;
    struct name_list missing, strangers;
};

static status import_entry(struct reading *r, struct param *q, const struct safetensors_entry *e)
{
    TRY(mem_resize(&r->host, e->n));
    TRY(safetensors_to_float(e, r->host));
    for (size_t i = 0; i < e->n; i++)
        REQUIRE(isfinite(r->host[i]), E_FORMAT, "%s: %s[%zu] is not a finite number", r->path,
                e->name, i);
    return param_import(r->params, q, r->host);
}

static status load_param(struct reading *r, struct param *q)
{
    char got[TENSOR_SHAPE_TEXT], wanted[TENSOR_SHAPE_TEXT];
    const struct safetensors_entry *e = find(r->file, q->name);
    if (e == NULL) {
        REQUIRE(r->mode == WEIGHTS_MODE_INIT, E_FORMAT, "%s: %s is missing", r->path, q->name);
        name_list_add(&r->missing, q->name);
        return OK;
    }
    struct shape want;
    param_file_shape(q, &want);
    if (!same_shape(e, &want)) {
        bool fresh = r->mode == WEIGHTS_MODE_INIT && is_class_head(q->name);
        REQUIRE(fresh, E_FORMAT, "%s: %s has shape %s, the model wants %s", r->path, e->name,
                entry_shape(e, got), shape_text(&want, wanted));
        log_info("%s: class head %s has shape %s, the model wants %s: it starts afresh", r->path,
                 e->name, entry_shape(e, got), shape_text(&want, wanted));
        return OK;
    }
    r->n_matched++;
    return import_entry(r, q, e);
}

// Entries of the file that no parameter asked for.
static void list_strangers(struct reading *r)
{
    for (int i = 0; i < safetensors_n(r->file); i++) {
        const struct safetensors_entry *e = safetensors_at(r->file, i);
        if (ends_with(e->name, ".num_batches_tracked")) continue;
        bool used = false;
        for (int k = 0; k < params_n(r->params) && !used; k++)
            used = find(r->file, params_at(r->params, k)->name) == e;
        if (!used) name_list_add(&r->strangers, e->name);
    }
}

static void report(struct reading *r)
{
    list_strangers(r);
    log_info("%s: %d of %d parameters matched", r->path, r->n_matched, params_n(r->params));
    name_list_say(&r->missing, r->path, "parameters are not in the file and keep initial values");
    name_list_say(&r->strangers, r->path, "entries are not used");
}

status weights_load(struct params *params, const char *path, enum weights_mode mode)
{
    struct safetensors *file = NULL;
    TRY(safetensors_open(path, &file));
    struct reading r = {.params = params, .file = file, .path = path, .mode = mode};
    status st = OK;
    for (int i = 0; i < params_n(params) && st == OK; i++)
        st = load_param(&r, params_at(params, i));
    if (st == OK && r.n_matched == 0) {
        error_set(__FILE__, __LINE__, "%s: no entry has the name of one of the model's parameters",
                  path);
        st = E_FORMAT;
    }
    if (st == OK) report(&r);
    mem_free(r.host);
    safetensors_close(file);
    return st;
}

// Labels that have numbers for names, from the class head's size.
static status count_labels(const struct safetensors *file, struct label_set *labels)
{
    const struct safetensors_entry *e =
        safetensors_find(file, "roi_heads.box_predictor.cls_score.weight");
    if (e == NULL || e->n_dims != 2 || e->dim[0] < 2 || e->dim[0] > INT32_MAX) return OK;
    return label_set_numbered((int32_t)e->dim[0] - 1, labels);
}

static status copy_info(const struct safetensors *file, const char *path, struct weights_info *info)
{
    const char *categories = safetensors_metadata(file, WEIGHTS_CATEGORIES_KEY);
    const char *yaml = safetensors_metadata(file, WEIGHTS_CONFIG_KEY);
    info->labels_are_named = categories != NULL;
    if (categories != NULL)
        TRY(label_set_from_json(categories, path, &info->labels));
    else
        TRY(count_labels(file, &info->labels));
    if (yaml != NULL) TRY(mem_strdup(yaml, &info->config_yaml));
    return OK;
}

status weights_read_info(const char *path, struct weights_info *out)
{
    struct safetensors *file = NULL;
    struct weights_info info = {0};
    TRY(safetensors_open(path, &file));
    status st = copy_info(file, path, &info);
    safetensors_close(file);
    if (st != OK)
        weights_info_fini(&info);
    else
        *out = info;
    return st;
}

void weights_info_fini(struct weights_info *info)
{
    label_set_fini(&info->labels);
    mem_free(info->config_yaml);
    info->config_yaml = NULL;
}

// ---- Writing ---------------------------------------------------------------------------------

struct weights_snapshot {
    struct safetensors_writer *writer; // borrows values
    float *values;
    char *config_yaml, *categories;
    int64_t batches; // of num_batches_tracked
};

static status add_param(struct weights_snapshot *s, const struct params *params,
                        const struct param *q, float *host)
{
    static const char tail[] = "running_var";
    struct shape shape;
    TRY(param_export(params, q, host, &shape));
    TRY(safetensors_add(s->writer, q->name, SAFETENSORS_TYPE_F32, shape.n_dims, shape.dim, host));
    bool batch_norm = s->batches >= 0 && ends_with(q->name, tail);
    if (!batch_norm) return OK;
    // torch's BatchNorm2d counts its batches; load_state_dict(strict=True) wants the entry.
    char name[NAME_BYTES];
    int stem = (int)(strlen(q->name) - strlen(tail));
    (void)snprintf(name, sizeof name, "%.*snum_batches_tracked", stem, q->name);
    return safetensors_add(s->writer, name, SAFETENSORS_TYPE_I64, 0, NULL, &s->batches);
}

static status add_params(struct weights_snapshot *s, const struct params *params)
{
    size_t n = 0;
    for (int i = 0; i < params_n(params); i++)
        n += (size_t)tensor_elements(&params_at(params, i)->value);
    TRY(mem_alloc(&s->values, n));
    float *host = s->values;
    for (int i = 0; i < params_n(params); i++) {
        const struct param *q = params_at(params, i);
        TRY(add_param(s, params, q, host));
        host += tensor_elements(&q->value);
    }
    return OK;
}

static status add_metadata(struct weights_snapshot *s, const struct config *c,
                           const struct label_set *labels, int64_t step)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%" PRId64, step);
    TRY(config_dump(c, &s->config_yaml));
    TRY(label_set_to_json(labels, &s->categories));
    TRY(safetensors_add_metadata(s->writer, "format", "pt"));
    TRY(safetensors_add_metadata(s->writer, WEIGHTS_STEP_KEY, text));
    TRY(safetensors_add_metadata(s->writer, WEIGHTS_CATEGORIES_KEY, s->categories));
    return safetensors_add_metadata(s->writer, WEIGHTS_CONFIG_KEY, s->config_yaml);
}

status weights_snapshot(const struct params *params, const struct config *c,
                        const struct label_set *labels, int64_t step, struct weights_snapshot **out)
{
    struct weights_snapshot *s = NULL;
    status st = OK;
    TRY(mem_zalloc(&s, 1));
    s->batches = c->model.norm == CONFIG_NORM_BN ? step : -1;
    TRY_GOTO(st, safetensors_writer_create(&s->writer), fail);
    TRY_GOTO(st, add_params(s, params), fail);
    TRY_GOTO(st, add_metadata(s, c, labels, step), fail);
    *out = s;
    return OK;
fail:
    weights_snapshot_destroy(s);
    return st;
}

void weights_snapshot_destroy(struct weights_snapshot *s)
{
    if (s == NULL) return;
    safetensors_writer_destroy(s->writer);
    mem_free(s->categories);
    mem_free(s->config_yaml);
    mem_free(s->values);
    mem_free(s);
}

status weights_write(const struct weights_snapshot *s, const char *path)
{
    return safetensors_write(s->writer, path);
}
