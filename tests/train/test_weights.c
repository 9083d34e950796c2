// Model files are torchvision's state dicts, in both directions (tests/golden/state_dicts.txt).
#include "train/weights.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/safetensors.h"
#include "model/detector.h"
#include "support/keyed.h"
#include "support/test.h"

enum { NAME_BYTES = 256, MAX_ENTRIES = 800, PATH_BYTES = 512 };

static const char categories[] = "[{\"label\": 1, \"id\": 1, \"name\": \"a\"},"
                                 " {\"label\": 4, \"id\": 4, \"name\": \"b\"}]"; // five outputs

// ---- The listing -----------------------------------------------------------------------------

struct listed_entry {
    char name[NAME_BYTES], type[8];
    struct shape shape;
};

struct listed_model {
    char backbone[32], norm[32];
    int channels, hidden, outputs, n;
    struct listed_entry entry[MAX_ENTRIES];
};

static struct listed_model listed;

static void read_entry(char *line, struct listed_entry *e)
{
    char *word = strtok(line, " ");
    *e = (struct listed_entry){0};
    snprintf(e->name, sizeof e->name, "%s", word);
    snprintf(e->type, sizeof e->type, "%s", strtok(NULL, " "));
    while ((word = strtok(NULL, " ")) != NULL) e->shape.dim[e->shape.n_dims++] = atol(word);
}

// The next model of the file; false at its end. line holds the "model" line that ended the last.
static bool next_model(FILE *file, char line[1024])
{
    while (strncmp(line, "model ", 6) != 0)
        if (fgets(line, 1024, file) == NULL) return false;
    listed.n = 0;
    if (sscanf(line, "model %31s %31s %d %d %d", listed.backbone, listed.norm, &listed.channels,
               &listed.hidden, &listed.outputs) != 5)
        return false;
    line[0] = '\0';
    while (fgets(line, 1024, file) != NULL && strncmp(line, "model ", 6) != 0) {
        line[strcspn(line, "\n")] = '\0';
        if (listed.n < MAX_ENTRIES) read_entry(line, &listed.entry[listed.n++]);
        line[0] = '\0';
    }
    return true;
}

static bool find_model(const char *backbone, const char *norm, int outputs)
{
    char line[1024] = "";
    FILE *file = NULL;
    bool found = false;
    EXPECT_OK(file_open(test_source_path("tests/golden/state_dicts.txt"), "r", &file));
    while (!found && file != NULL && next_model(file, line))
        found = strcmp(listed.backbone, backbone) == 0 && strcmp(listed.norm, norm) == 0 &&
                listed.outputs == outputs;
    if (file != NULL) fclose(file);
    EXPECT(found);
    return found;
}

static bool counts_batches(const struct listed_entry *e)
{
    return strstr(e->name, ".num_batches_tracked") != NULL;
}

// ---- Models ----------------------------------------------------------------------------------

struct fixture {
    struct config config;
    struct device *device;
    struct detector *model;
    struct params *params;
};

static void open_model(struct fixture *f, const char *backbone, const char *norm, int channels,
                       int hidden, int outputs)
{
    char text[5][NAME_BYTES];
    char *lines[5] = {text[0], text[1], text[2], text[3], text[4]};
    snprintf(text[0], NAME_BYTES, "model.backbone=%s", backbone);
    snprintf(text[1], NAME_BYTES, "model.norm=%s", norm);
    snprintf(text[2], NAME_BYTES, "model.fpn_channels=%d", channels);
    snprintf(text[3], NAME_BYTES, "model.roi.hidden=%d", hidden);
    snprintf(text[4], NAME_BYTES, "model.norm_eps=0");
    EXPECT_OK(config_load(NULL, 5, lines, &f->config));
    EXPECT_OK(device_open_cpu(1, DTYPE_F32, &f->device));
    EXPECT_OK(detector_create(&f->config.model, outputs, f->device, &f->model));
    f->params = detector_params(f->model);
}

static void open_small(struct fixture *f, int outputs)
{
    open_model(f, "resnet18", "frozen_bn", 32, 64, outputs);
}

static void close_model(struct fixture *f)
{
    detector_destroy(f->model);
    device_close(f->device);
}

static const char *file_path(const char *name)
{
    static char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", test_folder(), name);
    return path;
}

// What an entry of a file that is made here says; the test's own change is applied last.
struct written_entry {
    char name[NAME_BYTES];
    struct shape shape;
    float *data;
    bool left_out;
};
typedef void (*change)(struct written_entry *e);

// A file of keyed values (seed 2) under the model's names, with changes.
static void write_changed(const struct fixture *f, change apply, const char *path)
{
    struct safetensors_writer *w;
    size_t n = 0;
    float *data, *at;
    for (int i = 0; i < params_n(f->params); i++)
        n += (size_t)tensor_elements(&params_at(f->params, i)->value);
    EXPECT_OK(mem_alloc(&data, n));
    EXPECT_OK(safetensors_writer_create(&w));
    at = data;
    for (int i = 0; i < params_n(f->params); i++) {
        const struct param *q = params_at(f->params, i);
        struct written_entry e = {.data = at};
        snprintf(e.name, sizeof e.name, "%s", q->name);
        param_file_shape(q, &e.shape);
        keyed_values(2, q->name, &e.shape, at);
        at += tensor_elements(&q->value);
        if (apply != NULL) apply(&e);
        if (!e.left_out)
            EXPECT_OK(safetensors_add(w, e.name, SAFETENSORS_TYPE_F32, e.shape.n_dims, e.shape.dim,
                                      e.data));
    }
    int64_t batches = 7;
    EXPECT_OK(safetensors_add(w, "backbone.body.bn1.num_batches_tracked", SAFETENSORS_TYPE_I64, 0,
                              NULL, &batches));
    EXPECT_OK(safetensors_write(w, path));
    safetensors_writer_destroy(w);
    mem_free(data);
}

// q holds the keyed values of seed, in the file's layout.
static bool holds(const struct fixture *f, const struct param *q, uint64_t seed)
{
    size_t n = (size_t)tensor_elements(&q->value);
    float *got, *want;
    struct shape shape;
    EXPECT_OK(mem_alloc(&got, n));
    EXPECT_OK(mem_alloc(&want, n));
    EXPECT_OK(param_export(f->params, q, got, &shape));
    keyed_values(seed, q->name, &shape, want);
    bool same = memcmp(got, want, n * sizeof *got) == 0;
    mem_free(got);
    mem_free(want);
    return same;
}

static void all_hold(const struct fixture *f, uint64_t seed)
{
    for (int i = 0; i < params_n(f->params); i++) {
        const struct param *q = params_at(f->params, i);
        if (!holds(f, q, seed)) test_fail(__FILE__, __LINE__, "%s has other values", q->name);
    }
}

// What the log says while path is loaded.
static const char *load_and_listen(const struct fixture *f, const char *path,
                                   enum weights_mode mode, status want)
{
    static char said[8192];
    char log_path[PATH_BYTES];
    snprintf(log_path, sizeof log_path, "%s/log", test_folder());
    int old = dup(STDERR_FILENO), log = open(log_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    dup2(log, STDERR_FILENO);
    status got = weights_load(f->params, path, mode);
    dup2(old, STDERR_FILENO);
    close(old);
    ssize_t n = pread(log, said, sizeof said - 1, 0);
    said[n > 0 ? n : 0] = '\0';
    close(log);
    EXPECT_STR(status_name(got), status_name(want));
    return said;
}

// ---- Names, types, shapes --------------------------------------------------------------------

static void same_names(const struct fixture *f)
{
    int n = 0;
    for (int i = 0; i < listed.n; i++) {
        const struct listed_entry *e = &listed.entry[i];
        if (counts_batches(e)) continue;
        n++;
        const struct param *q = params_find(f->params, e->name);
        struct shape shape;
        if (q == NULL) {
            test_fail(__FILE__, __LINE__, "%s %s: no %s", listed.backbone, listed.norm, e->name);
            continue;
        }
        param_file_shape(q, &shape);
        if (!shape_equal(&shape, &e->shape))
            test_fail(__FILE__, __LINE__, "%s: another shape", e->name);
    }
    EXPECT_EQ(params_n(f->params), n);
}

TEST(every_model_has_torchvisions_names_and_shapes)
{
    char line[1024] = "";
    FILE *file;
    int n = 0;
    EXPECT_OK(file_open(test_source_path("tests/golden/state_dicts.txt"), "r", &file));
    for (; next_model(file, line); n++) {
        struct fixture f;
        open_model(&f, listed.backbone, listed.norm, listed.channels, listed.hidden,
                   listed.outputs);
        same_names(&f);
        close_model(&f);
    }
    EXPECT_EQ(n, 4 * 3 + 1);
    fclose(file);
}

static void same_file(const char *path)
{
    struct safetensors *s;
    EXPECT_OK(safetensors_open(path, &s));
    EXPECT_EQ(safetensors_n(s), listed.n);
    for (int i = 0; i < listed.n; i++) {
        const struct listed_entry *want = &listed.entry[i];
        const struct safetensors_entry *got = safetensors_find(s, want->name);
        if (got == NULL) {
            test_fail(__FILE__, __LINE__, "no %s", want->name);
            continue;
        }
        bool is_i64 = strcmp(want->type, "I64") == 0;
        EXPECT(got->type == (is_i64 ? SAFETENSORS_TYPE_I64 : SAFETENSORS_TYPE_F32));
        EXPECT_EQ(got->n_dims, want->shape.n_dims);
        for (int k = 0; k < got->n_dims; k++) EXPECT_EQ(got->dim[k], want->shape.dim[k]);
        if (is_i64) EXPECT_EQ(*(const int64_t *)got->data, 12);
    }
    EXPECT_STR(safetensors_metadata(s, WEIGHTS_STEP_KEY), "12");
    EXPECT_STR(safetensors_metadata(s, "format"), "pt");
    safetensors_close(s);
}

TEST(a_saved_model_is_torchvisions_state_dict_and_loads_back)
{
    static const char *const norms[] = {"frozen_bn", "bn", "gn"};
    struct label_set labels;
    EXPECT_OK(label_set_from_json(categories, "test", &labels));
    for (size_t i = 0; i < COUNT(norms); i++) {
        struct fixture f;
        struct weights_snapshot *s;
        if (!find_model("resnet18", norms[i], 5)) break;
        open_model(&f, "resnet18", norms[i], 32, 64, 5);
        EXPECT_OK(keyed_fill(f.params, 2));
        EXPECT_OK(weights_snapshot(f.params, &f.config, &labels, 12, &s));
        EXPECT_OK(keyed_fill(f.params, 3)); // the snapshot does not see it
        EXPECT_OK(weights_write(s, file_path("saved")));
        weights_snapshot_destroy(s);
        same_file(file_path("saved"));
        (void)load_and_listen(&f, file_path("saved"), WEIGHTS_MODE_EXACT, OK);
        all_hold(&f, 2);
        close_model(&f);
    }
    label_set_fini(&labels);
}

// fasterrcnn_resnet50_fpn: 91 outputs, and norm_eps 0.
TEST(torchvisions_published_layout_loads)
{
    struct fixture f;
    open_model(&f, "resnet50", "frozen_bn", 256, 1024, 91);
    write_changed(&f, NULL, file_path("coco"));
    const char *said = load_and_listen(&f, file_path("coco"), WEIGHTS_MODE_EXACT, OK);
    EXPECT_HAS(said, "295 of 295 parameters matched");
    all_hold(&f, 2);
    EXPECT_OK(detector_refresh(f.model)); // frozen BN's scale with eps 0
    close_model(&f);
    remove(file_path("coco"));
}

// ---- Other files -----------------------------------------------------------------------------

static void cut(char *name, const char *part)
{
    char *at = strstr(name, part);
    if (at != NULL) memmove(at, at + strlen(part), strlen(at + strlen(part)) + 1);
}

static void name_as_before_0_13(struct written_entry *e)
{
    if (strncmp(e->name, "rpn.head.conv.", 14) == 0) cut(e->name, ".0.0");
    if (strncmp(e->name, "backbone.fpn.", 13) == 0) { // inner_blocks.2.0.weight
        char *leaf = strrchr(e->name, '.');
        memmove(leaf - 2, leaf, strlen(leaf) + 1);
    }
}

TEST(torchvisions_older_names_are_understood)
{
    struct fixture f;
    open_small(&f, 5);
    write_changed(&f, name_as_before_0_13, file_path("older"));
    struct safetensors *s;
    EXPECT_OK(safetensors_open(file_path("older"), &s));
    EXPECT(safetensors_find(s, "rpn.head.conv.weight") != NULL);
    EXPECT(safetensors_find(s, "backbone.fpn.inner_blocks.0.weight") != NULL);
    EXPECT(safetensors_find(s, "backbone.fpn.layer_blocks.3.bias") != NULL);
    safetensors_close(s);
    (void)load_and_listen(&f, file_path("older"), WEIGHTS_MODE_EXACT, OK);
    all_hold(&f, 2);
    close_model(&f);
}

static void keep_backbone(struct written_entry *e)
{
    e->left_out = strncmp(e->name, "backbone.body.", 14) != 0;
}

static void keep_resnet(struct written_entry *e)
{
    keep_backbone(e);
    cut(e->name, "backbone.body.");
}

TEST(a_backbone_alone_loads_with_and_without_prefix)
{
    static const change changes[] = {keep_backbone, keep_resnet};
    for (size_t i = 0; i < COUNT(changes); i++) {
        struct fixture f;
        open_small(&f, 5);
        EXPECT_OK(keyed_fill(f.params, 3));
        write_changed(&f, changes[i], file_path("backbone"));
        const char *said = load_and_listen(&f, file_path("backbone"), WEIGHTS_MODE_INIT, OK);
        EXPECT_HAS(said, "100 of 130 parameters matched");
        EXPECT_HAS(said, "30 parameters are not in the file");
        EXPECT_HAS(said, "backbone.fpn.inner_blocks.0.0.weight");
        for (int k = 0; k < params_n(f.params); k++) {
            const struct param *q = params_at(f.params, k);
            EXPECT(holds(&f, q, strncmp(q->name, "backbone.body.", 14) == 0 ? 2 : 3));
        }
        (void)load_and_listen(&f, file_path("backbone"), WEIGHTS_MODE_EXACT, E_FORMAT);
        EXPECT_HAS(error_text(), "is missing");
        close_model(&f);
    }
}

TEST(a_class_head_of_another_size_starts_afresh_and_says_so)
{
    struct fixture big, f;
    open_small(&big, 7);
    write_changed(&big, NULL, file_path("seven"));
    close_model(&big);
    open_small(&f, 5);
    EXPECT_OK(keyed_fill(f.params, 3));
    const char *said = load_and_listen(&f, file_path("seven"), WEIGHTS_MODE_INIT, OK);
    EXPECT_HAS(said, "class head roi_heads.box_predictor.cls_score.weight has shape (7, 64), "
                     "the model wants (5, 64): it starts afresh");
    EXPECT_HAS(said, "roi_heads.box_predictor.bbox_pred.bias has shape (28)");
    for (int k = 0; k < params_n(f.params); k++) {
        const struct param *q = params_at(f.params, k);
        EXPECT(holds(&f, q, strstr(q->name, "box_predictor") != NULL ? 3 : 2));
    }
    (void)load_and_listen(&f, file_path("seven"), WEIGHTS_MODE_EXACT, E_FORMAT);
    EXPECT_HAS(error_text(), "seven: roi_heads.box_predictor.cls_score.weight has shape (7, 64), "
                             "the model wants (5, 64)");
    close_model(&f);
}

static void swap_sides(struct written_entry *e)
{
    if (strcmp(e->name, "backbone.body.layer2.0.downsample.0.weight") != 0) return;
    int64_t k = e->shape.dim[0];
    e->shape.dim[0] = e->shape.dim[1];
    e->shape.dim[1] = k;
}

static void flatten_one(struct written_entry *e)
{
    if (strcmp(e->name, "backbone.fpn.inner_blocks.0.0.weight") == 0) e->shape.n_dims = 2;
}

static float spoilt; // by what

static void spoil(struct written_entry *e)
{
    if (strcmp(e->name, "roi_heads.box_head.fc7.weight") == 0) e->data[65] = spoilt;
}

TEST(other_shapes_and_values_that_are_no_numbers_are_refused)
{
    struct fixture f;
    open_small(&f, 5);
    write_changed(&f, swap_sides, file_path("bad"));
    (void)load_and_listen(&f, file_path("bad"), WEIGHTS_MODE_INIT, E_FORMAT);
    EXPECT_HAS(error_text(), "bad: backbone.body.layer2.0.downsample.0.weight has shape "
                             "(64, 128, 1, 1), the model wants (128, 64, 1, 1)");
    write_changed(&f, flatten_one, file_path("bad"));
    (void)load_and_listen(&f, file_path("bad"), WEIGHTS_MODE_INIT, E_FORMAT);
    EXPECT_HAS(error_text(), "has shape (32, 64), the model wants (32, 64, 1, 1)");
    static const float no_weights[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < COUNT(no_weights); i++) {
        spoilt = no_weights[i];
        write_changed(&f, spoil, file_path("bad"));
        for (enum weights_mode mode = WEIGHTS_MODE_INIT; mode <= WEIGHTS_MODE_EXACT; mode++) {
            (void)load_and_listen(&f, file_path("bad"), mode, E_FORMAT);
            EXPECT_HAS(error_text(),
                       "bad: roi_heads.box_head.fc7.weight[65] is not a finite number");
        }
    }
    close_model(&f);
}

TEST_MAIN()
