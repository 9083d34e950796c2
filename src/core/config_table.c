// Every key: type, place, default, range, help. Parsing, --help, the dump and the comparison at
// resume all read this table and nothing else.
#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "core/config_internal.h"

static const char *const backbones[] = {"resnet18", "resnet34", "resnet50", "resnet101", NULL};
static const char *const norms[] = {"frozen_bn", "bn", "gn", NULL};
static const char *const devices[] = {"auto", "cpu", "cuda", NULL};
static const char *const precisions[] = {"fp32", "tf32", "bf16", NULL};
static const char *const optimizers[] = {"sgd", "adam", "adamw", NULL};
static const char *const schedules[] = {"constant", "multistep", "cosine", NULL};
static const char *const backends[] = {"auto", "self", "mpi", "nccl", NULL};
static const char *const wires[] = {"fp32", "bf16", NULL};

#define NO_LIMIT   1e300
#define INT_LIMIT  ((double)INT_MAX)
#define LONG_LIMIT ((double)INT64_MAX)

// clang-format off
#define TEXT(key, standard, help)             { #key, CONFIG_TYPE_TEXT, offsetof(struct config, key), standard, 0, 0, NULL, help }
#define BOOL(key, standard, help)             { #key, CONFIG_TYPE_BOOL, offsetof(struct config, key), standard, 0, 0, NULL, help }
#define ENUM(key, standard, names, help)      { #key, CONFIG_TYPE_ENUM, offsetof(struct config, key), standard, 0, 0, names, help }
#define INT(key, standard, min, max, help)    { #key, CONFIG_TYPE_INT, offsetof(struct config, key), standard, min, max, NULL, help }
#define LONG(key, standard, min, help)        { #key, CONFIG_TYPE_INT64, offsetof(struct config, key), standard, min, LONG_LIMIT, NULL, help }
#define DOUBLE(key, standard, min, max, help) { #key, CONFIG_TYPE_DOUBLE, offsetof(struct config, key), standard, min, max, NULL, help }
#define LIST(key, standard, min, max, help)   { #key, CONFIG_TYPE_LIST, offsetof(struct config, key), standard, min, max, NULL, help }
#define PAIR(key, standard, min, max, help)   { #key, CONFIG_TYPE_PAIR, offsetof(struct config, key), standard, min, max, NULL, help }

static const struct config_field fields[] = {
    TEXT(model.name, "faster_rcnn", "the detector: faster_rcnn"),
    ENUM(model.backbone, "resnet50", backbones, "the ResNet below the feature pyramid"),
    ENUM(model.norm, "frozen_bn", norms, "normalisation in the backbone; frozen_bn needs train.init, gn is GroupNorm(32)"),
    DOUBLE(model.norm_eps, "1.0e-5", 0, 1, "added to variances; torchvision's published COCO_V1 detector needs 0"),
    INT(model.trainable_stages, "3", 0, 5, "backbone stages that are trained, from the top; from scratch use 5"),
    INT(model.fpn_channels, "256", 1, 4096, "channels of every pyramid level"),
    LIST(model.rpn.anchor_sizes, "32 64 128 256 512", 1, 10000, "anchor side on P2..P6, input pixels"),
    LIST(model.rpn.aspect_ratios, "0.5 1.0 2.0", 0.01, 100, "anchor heights / widths"),
    DOUBLE(model.rpn.fg_iou, "0.7", 0, 1, "anchors from this IoU on are positive"),
    DOUBLE(model.rpn.bg_iou, "0.3", 0, 1, "anchors below this IoU are negative"),
    INT(model.rpn.batch_per_image, "256", 1, INT_LIMIT, "anchors sampled for the losses of an image"),
    DOUBLE(model.rpn.positive_fraction, "0.5", 0, 1, "largest share of positives among them"),
    DOUBLE(model.rpn.nms_iou, "0.7", 0, 1, "proposals that overlap a better one by more are dropped"),
    DOUBLE(model.rpn.score_threshold, "0.0", 0, 1, "proposals below this score are dropped"),
    INT(model.rpn.pre_nms_top_n_train, "2000", 1, INT_LIMIT, "best anchors of each level kept before NMS, training"),
    INT(model.rpn.pre_nms_top_n_test, "1000", 1, INT_LIMIT, "the same, evaluation"),
    INT(model.rpn.post_nms_top_n_train, "2000", 1, INT_LIMIT, "proposals of an image kept after NMS, training"),
    INT(model.rpn.post_nms_top_n_test, "1000", 1, INT_LIMIT, "the same, evaluation"),
    DOUBLE(model.roi.fg_iou, "0.5", 0, 1, "proposals from this IoU on are positive"),
    DOUBLE(model.roi.bg_iou, "0.5", 0, 1, "proposals below this IoU are background"),
    INT(model.roi.batch_per_image, "512", 1, INT_LIMIT, "proposals sampled for the losses of an image"),
    DOUBLE(model.roi.positive_fraction, "0.25", 0, 1, "largest share of positives among them"),
    INT(model.roi.hidden, "1024", 1, 65536, "width of the two fully connected layers"),
    DOUBLE(model.roi.score_threshold, "0.05", 0, 1, "detections up to this score are dropped"),
    DOUBLE(model.roi.nms_iou, "0.5", 0, 1, "detections that overlap a better one of their class by more are dropped"),
    INT(model.roi.detections_per_image, "100", 1, INT_LIMIT, "best detections of an image kept"),
    INT(input.min_size, "800", 1, 32768, "shorter side after resizing, pixels"),
    INT(input.max_size, "1333", 1, 32768, "longest longer side after resizing, pixels"),
    LIST(input.mean, "0.485 0.456 0.406", -1000, 1000, "subtracted from red, green, blue in 0..1"),
    LIST(input.std, "0.229 0.224 0.225", 1e-6, 1000, "divides them then"),
    DOUBLE(input.flip, "0.5", 0, 1, "share of training images mirrored left to right"),
    INT(input.pad_multiple, "32", 32, 4096, "canvas sides are multiples of this, itself a multiple of 32"),
    { "input.canvases", CONFIG_TYPE_CANVASES, offsetof(struct config, input.canvases), "", 32, 32768, NULL,
      "[[height, width], ...]: the smallest that holds an image is its canvas; []: as pad_multiple says" },
    TEXT(data.train, "data/coco/train", "DIR/NAME of the training records"),
    TEXT(data.val, "data/coco/val", "DIR/NAME of the validation records"),
    INT(data.workers, "2", 1, 1024, "decoding threads of a rank, shared out among its devices"),
    INT(data.prefetch, "4", 1, 1024, "batches decoded ahead"),
    BOOL(data.drop_empty, "true", "train without images that have no usable box"),
    INT(train.epochs, "26", 1, INT_LIMIT, "passes over the training images"),
    LONG(train.max_steps, "0", 0, "stop after so many steps; 0: epochs decide"),
    INT(train.batch, "16", 1, INT_LIMIT, "images of one optimizer step, over all workers"),
    INT(train.micro_batch, "2", 1, INT_LIMIT, "images that run at once on a device"),
    INT(train.devices_per_rank, "1", 1, 64, "workers of a rank, a device and a thread each"),
    INT(train.threads, "0", 0, 1024, "compute threads of a rank, shared out among its devices; 0: its share of the cores"),
    LONG(train.seed, "1", 0, "what every random number is drawn from"),
    ENUM(train.device, "auto", devices, "where the model runs"),
    ENUM(train.precision, "fp32", precisions, "of convolutions and matrix products"),
    BOOL(train.deterministic, "true", "bit-identical runs on the same layout"),
    TEXT(train.init, "", "safetensors file with the starting weights; empty: random"),
    TEXT(train.out_dir, "runs/x", "folder for checkpoints and metrics"),
    ENUM(optimizer.name, "sgd", optimizers, "as torch defines it"),
    DOUBLE(optimizer.lr, "0.02", 0, NO_LIMIT, "learning rate for a batch of lr_for_batch images"),
    INT(optimizer.lr_for_batch, "16", 0, INT_LIMIT, "lr is scaled by train.batch / this; 0: taken as it is"),
    DOUBLE(optimizer.momentum, "0.9", 0, 1, "of sgd"),
    PAIR(optimizer.betas, "0.9 0.999", 0, 1, "of adam and adamw, below 1"),
    DOUBLE(optimizer.eps, "1.0e-8", 0, 1, "of adam and adamw"),
    DOUBLE(optimizer.weight_decay, "0.0001", 0, NO_LIMIT, "L2 for sgd and adam, decoupled for adamw"),
    BOOL(optimizer.nesterov, "false", "Nesterov's momentum, sgd only"),
    DOUBLE(optimizer.clip_norm, "0.0", 0, NO_LIMIT, "largest L2 norm of all gradients; 0: not clipped"),
    ENUM(schedule.name, "multistep", schedules, "how the learning rate falls"),
    LIST(schedule.milestones, "16 22", 1, 1e6, "epochs after which multistep multiplies it by gamma"),
    DOUBLE(schedule.gamma, "0.1", 0, 1, "of multistep"),
    LONG(schedule.warmup_steps, "1000", 0, "steps of linear warm-up, at most the first epoch's"),
    DOUBLE(schedule.warmup_factor, "0.001", 0, 1, "share of the learning rate that warm-up starts from"),
    DOUBLE(schedule.min_factor, "0.0", 0, 1, "share of the learning rate that cosine ends at"),
    LONG(checkpoint.every_steps, "0", 0, "steps between checkpoints; 0: none by steps"),
    INT(checkpoint.every_epochs, "1", 0, INT_LIMIT, "epochs between checkpoints; 0: none by epochs"),
    INT(checkpoint.keep, "3", 1, INT_LIMIT, "newest checkpoints kept, the best one besides"),
    INT(eval.every_epochs, "1", 0, INT_LIMIT, "epochs between evaluations; 0: none"),
    ENUM(comm.backend, "auto", backends, "what carries the gradients"),
    DOUBLE(comm.bucket_mib, "25", 0.001, 65536, "MiB of gradients reduced at once"),
    ENUM(comm.wire, "fp32", wires, "type of gradients on their way between ranks, and between GPUs"),
    DOUBLE(comm.timeout_s, "300", 1, NO_LIMIT, "seconds without progress after which the job ends"),
    LIST(expect.bbox_ap, "", 0, 100, "[AP in percent, tolerance] the run should reach; []: not stated"),
    LIST(expect.bbox_ap50, "", 0, 100, "the same for AP50"),
};
// clang-format on

// Enums are read and written as int.
_Static_assert(sizeof(enum config_norm) == sizeof(int), "enums are as wide as int");

int config_table_size(void)
{
    return (int)COUNT(fields);
}

const struct config_field *config_table_field(int i)
{
    return &fields[i];
}

const struct config_field *config_table_find(const char *key)
{
    for (size_t i = 0; i < COUNT(fields); i++)
        if (strcmp(fields[i].key, key) == 0) return &fields[i];
    return NULL;
}

bool config_table_is_group(const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i < COUNT(fields); i++)
        if (strncmp(fields[i].key, key, n) == 0 && fields[i].key[n] == '.') return true;
    return false;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

// Levenshtein's distance of a (n bytes, at most CONFIG_KEY_BYTES) and b; a row of the matrix at a
// time.
static int edits(const char *a, size_t n, const char *b)
{
    int row[CONFIG_KEY_BYTES + 1];
    for (size_t i = 0; i <= n; i++) row[i] = (int)i;
    for (int j = 0; b[j] != '\0'; j++) {
        int diagonal = row[0];
        row[0] = j + 1;
        for (size_t i = 1; i <= n; i++) {
            int replaced = diagonal + (a[i - 1] != b[j]);
            diagonal = row[i];
            row[i] = least(replaced, 1 + least(row[i], row[i - 1]));
        }
    }
    return row[n];
}

static const char *last_name(const char *key)
{
    const char *dot = strrchr(key, '.');
    return dot != NULL ? dot + 1 : key;
}

static int distance_of(const char *known, const char *key, int limit)
{
    size_t n = strlen(known), m = strlen(key);
    int lengths = (int)(n > m ? n - m : m - n); // no distance is less
    return lengths < limit ? edits(known, n, key) : limit;
}

// Keeps in nearest the n bytes of known if they are nearer to key than *best.
static void consider(const char *known, size_t n, const char *key, int *best, char *nearest)
{
    char name[CONFIG_KEY_BYTES];
    memcpy(name, known, n);
    name[n] = '\0';
    int whole = distance_of(name, key, *best);
    int last = distance_of(last_name(name), last_name(key), *best);
    int distance = least(whole, 1 + last);
    if (distance >= *best) return;
    *best = distance;
    memcpy(nearest, name, n + 1);
}

void config_table_nearest(const char *key, char nearest[CONFIG_KEY_BYTES])
{
    int best = INT_MAX - 1;
    char cut[CONFIG_KEY_BYTES]; // the rest of a longer key is as far from all of them
    const char *before = "";
    (void)snprintf(cut, sizeof cut, "%s", key);
    for (size_t i = 0; i < COUNT(fields); i++) {
        const char *known = fields[i].key;
        for (const char *dot = strchr(known, '.'); dot != NULL; dot = strchr(dot + 1, '.'))
            if (strncmp(known, before, (size_t)(dot - known) + 1) != 0) // a group is seen once
                consider(known, (size_t)(dot - known), cut, &best, nearest);
        consider(known, strlen(known), cut, &best, nearest);
        before = known;
    }
}
