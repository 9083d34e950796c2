// The run's configuration: one struct, filled from YAML (libfyaml) with a base: file and from
// key=value overrides. The table in config_table.c is the only truth for
// keys, defaults, ranges, help and dump.
#ifndef SHOAL_CORE_CONFIG_H
#define SHOAL_CORE_CONFIG_H

#include <stdint.h>
#include <stdio.h>

#include "core/status.h"

enum {
    CONFIG_MAX_LIST = 16,     // longest list of numbers
    CONFIG_TEXT_BYTES = 1024, // longest text, paths included
};

enum config_norm { CONFIG_NORM_FROZEN_BN, CONFIG_NORM_BN, CONFIG_NORM_GN };
enum config_backbone {
    CONFIG_BACKBONE_RESNET18,
    CONFIG_BACKBONE_RESNET34,
    CONFIG_BACKBONE_RESNET50,
    CONFIG_BACKBONE_RESNET101,
};
enum config_precision { CONFIG_PRECISION_FP32, CONFIG_PRECISION_TF32, CONFIG_PRECISION_BF16 };
enum config_device { CONFIG_DEVICE_AUTO, CONFIG_DEVICE_CPU, CONFIG_DEVICE_CUDA };
enum config_optimizer { CONFIG_OPTIMIZER_SGD, CONFIG_OPTIMIZER_ADAM, CONFIG_OPTIMIZER_ADAMW };
enum config_schedule {
    CONFIG_SCHEDULE_CONSTANT,
    CONFIG_SCHEDULE_MULTISTEP,
    CONFIG_SCHEDULE_COSINE
};
enum config_comm { CONFIG_COMM_AUTO, CONFIG_COMM_SELF, CONFIG_COMM_MPI, CONFIG_COMM_NCCL };
enum config_wire { CONFIG_WIRE_FP32, CONFIG_WIRE_BF16 };

struct config_list {
    int n;
    double value[CONFIG_MAX_LIST];
};

struct config_canvas {
    int h, w; // pixels
};

struct config_rpn {
    struct config_list anchor_sizes;  // one per level, P2..P6, input pixels
    struct config_list aspect_ratios; // height / width
    double fg_iou, bg_iou;
    int batch_per_image;
    double positive_fraction;
    double nms_iou, score_threshold;
    int pre_nms_top_n_train, pre_nms_top_n_test;   // per level
    int post_nms_top_n_train, post_nms_top_n_test; // per image
};

struct config_roi {
    double fg_iou, bg_iou;
    int batch_per_image;
    double positive_fraction;
    int hidden;
    double score_threshold, nms_iou;
    int detections_per_image;
};

struct config_model {
    char name[CONFIG_TEXT_BYTES]; // "faster_rcnn"
    enum config_backbone backbone;
    enum config_norm norm;
    double norm_eps;
    int trainable_stages; // 0..5, torchvision's trainable_backbone_layers
    int fpn_channels;
    struct config_rpn rpn;
    struct config_roi roi;
};

struct config_input {
    int min_size, max_size;       // pixels
    struct config_list mean, std; // 3 each, of pixel values in 0..1
    double flip;                  // probability
    int pad_multiple;
    int n_canvases;
    struct config_canvas canvases[CONFIG_MAX_LIST];
};

struct config_data {
    char train[CONFIG_TEXT_BYTES], val[CONFIG_TEXT_BYTES]; // DIR/NAME of records
    int workers, prefetch;
    bool drop_empty;
};

struct config_train {
    int epochs;
    int64_t max_steps; // 0: epochs decide
    int batch, micro_batch, devices_per_rank, threads;
    int64_t seed;
    enum config_device device;
    enum config_precision precision;
    bool deterministic;
    char init[CONFIG_TEXT_BYTES], out_dir[CONFIG_TEXT_BYTES];
};

struct config_optimizer_params {
    enum config_optimizer name;
    double lr;
    int lr_for_batch;
    double momentum, betas[2], eps, weight_decay;
    bool nesterov;
    double clip_norm; // 0: none
};

struct config_schedule_params {
    enum config_schedule name;
    struct config_list milestones; // epochs
    double gamma;
    int64_t warmup_steps;
    double warmup_factor, min_factor;
};

struct config_checkpoint {
    int64_t every_steps;
    int every_epochs, keep;
};

struct config_eval {
    int every_epochs;
};

struct config_comm_params {
    enum config_comm backend;
    double bucket_mib;
    enum config_wire wire;
    double timeout_s;
};

struct config_expect { // what the run should reach; n = 0: not stated; else value, tolerance
    struct config_list bbox_ap, bbox_ap50;
};

struct config {
    struct config_model model;
    struct config_input input;
    struct config_data data;
    struct config_train train;
    struct config_optimizer_params optimizer;
    struct config_schedule_params schedule;
    struct config_checkpoint checkpoint;
    struct config_eval eval;
    struct config_comm_params comm;
    struct config_expect expect;
};

void config_defaults(struct config *c);
// Defaults, then path (and its base: files, relative to the file that names them), then n overrides
// "key=value" whose values are YAML, the last of a key winning. path may be NULL. The result has
// passed config_check (E_ARG).
// Errors: E_IO, E_FORMAT with FILE:LINE:COLUMN, the key, what was wanted and the nearest known key;
// E_ARG for an override, in the same words.
MUST_USE status config_load(const char *path, int n_overrides, char *const *overrides,
                            struct config *out);
// What single ranges cannot say: mean and std of three, five anchor sizes, min_size <= max_size,
// ... E_ARG names the keys.
MUST_USE status config_check(const struct config *c);
// What training needs besides, and evaluation does not: frozen_bn's train.init. Warns where random
// weights would stay frozen.
MUST_USE status config_check_training(const struct config *c);
// From YAML text, as config_dump writes it, without base:; name stands in messages.
MUST_USE status config_parse(const char *text, const char *name, struct config *out);
// Every key with its value as YAML, in the table's order; doubles in round-trip digits.
// The caller's (mem_free).
MUST_USE status config_dump(const struct config *c, char **yaml);
// The value of one key on a line of its own, texts as they are, the rest as YAML. E_ARG names the
// nearest key where there is none of that name.
MUST_USE status config_print_key(const struct config *c, const char *key, FILE *to);
// The keys' help, one line each with type, default and range.
void config_print_help(FILE *to);
// Compares a and b key by key, leaving out keys of which allow says true; calls differ(context,
// key, a's value, b's value) for each that differs. Returns how many differed.
typedef bool (*config_key_filter)(const char *key);
typedef void (*config_difference)(void *context, const char *key, const char *a, const char *b);
int config_compare(const struct config *a, const struct config *b, config_key_filter allow,
                   config_difference differ, void *context);
// 64-bit hash of the dump, for "same config on every rank".
MUST_USE status config_hash(const struct config *c, uint64_t *hash);

const char *config_backbone_name(enum config_backbone b);
const char *config_norm_name(enum config_norm n);

#endif
