// The configuration: what is read, what is refused and in which words.
#include "core/config.h"

#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "support/test.h"

// Writes NAME in the test's folder and returns its path.
static const char *write_file(const char *name, const char *text)
{
    static char path[4][256];
    static int turn;
    char *p = path[turn++ % 4];
    (void)snprintf(p, sizeof path[0], "%s/%s", test_folder(), name);
    EXPECT_OK(file_write(p, text, strlen(text)));
    return p;
}

static struct config config; // large; each test loads its own

static status parse(const char *text)
{
    return config_parse(text, "x.yaml", &config);
}

static void expect_refused(const char *text, const char *message)
{
    EXPECT_STATUS(parse(text), E_FORMAT);
    EXPECT_STR(error_text(), message);
}

static status override(const char *argument)
{
    char copy[256], *list[] = {copy};
    (void)snprintf(copy, sizeof copy, "%s", argument);
    return config_load(NULL, 1, list, &config);
}

TEST(the_defaults_are_torchvisions)
{
    EXPECT_OK(config_load(NULL, 0, NULL, &config));
    EXPECT_STR(config.model.name, "faster_rcnn");
    EXPECT_EQ(config.model.backbone, CONFIG_BACKBONE_RESNET50);
    EXPECT_EQ(config.model.norm, CONFIG_NORM_FROZEN_BN);
    EXPECT(config.model.norm_eps == 1e-5);
    EXPECT_EQ(config.model.rpn.anchor_sizes.n, 5);
    EXPECT(config.model.rpn.anchor_sizes.value[4] == 512);
    EXPECT(config.model.roi.score_threshold == 0.05);
    EXPECT_EQ(config.model.rpn.post_nms_top_n_train, 2000);
    EXPECT(config.input.std.value[2] == 0.225);
    EXPECT_EQ(config.input.n_canvases, 0);
    EXPECT(config.optimizer.lr == 0.02 && config.optimizer.betas[1] == 0.999);
    EXPECT_EQ(config.schedule.milestones.n, 2);
    EXPECT_EQ(config.schedule.warmup_steps, 1000);
    EXPECT_STR(config.train.init, "");
    EXPECT_EQ(config.train.seed, 1);
    EXPECT(config.train.deterministic && !config.optimizer.nesterov);
    EXPECT(config.comm.timeout_s == 300);
    EXPECT_EQ(config.expect.bbox_ap.n, 0);
}

TEST(a_file_lies_over_its_base_and_arguments_over_both)
{
    (void)write_file("base.yaml", "train: {epochs: 3, batch: 8}\noptimizer:\n  lr: 0.5\n");
    EXPECT_OK(file_make_folders(test_folder()));
    const char *path = write_file("run.yaml", "train: {epochs: 4, seed: 9}\nbase: base.yaml\n"
                                              "expect: {bbox_ap: [37.0, 0.4]}\n"
                                              "input:\n  canvases: [[800, 1344], [1344, 800]]\n");
    char first[] = "train.seed=10", second[] = "train.seed=11",
         third[] = "train.init=", fourth[] = "schedule.milestones=[1, 2, 3]";
    char *arguments[] = {first, second, third, fourth};
    EXPECT_OK(config_load(path, 4, arguments, &config));
    EXPECT_EQ(config.train.epochs, 4);
    EXPECT_EQ(config.train.batch, 8);
    EXPECT_EQ(config.train.seed, 11);
    EXPECT(config.optimizer.lr == 0.5);
    EXPECT_EQ(config.schedule.milestones.n, 3);
    EXPECT_EQ(config.expect.bbox_ap.n, 2);
    EXPECT(config.expect.bbox_ap.value[0] == 37.0 && config.expect.bbox_ap.value[1] == 0.4);
    EXPECT_EQ(config.input.n_canvases, 2);
    EXPECT(config.input.canvases[1].h == 1344 && config.input.canvases[1].w == 800);
}

TEST(an_empty_file_and_empty_groups_are_the_defaults)
{
    struct config standard;
    config_defaults(&standard);
    static const char *const texts[] = {"", "# nothing\n", "train:\ndata:\n  # nothing\n", "---\n"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        EXPECT_OK(parse(texts[i]));
        EXPECT_EQ(config_compare(&config, &standard, NULL, NULL, NULL), 0);
    }
}

TEST(an_unknown_key_is_named_with_its_place_and_the_nearest_known_key)
{
    expect_refused(
        "model:\n  bakbone: resnet18\n",
        "x.yaml:2:3: unknown key model.bakbone; the nearest known key is model.backbone");
    expect_refused("train: {epoch: 3}\n",
                   "x.yaml:1:9: unknown key train.epoch; the nearest known key is train.epochs");
    expect_refused("epochs: 3\n",
                   "x.yaml:1:1: unknown key epochs; the nearest known key is train.epochs");
    expect_refused("\noptimiser: {lr: 1}\n",
                   "x.yaml:2:1: unknown key optimiser; the nearest known key is optimizer");
    expect_refused("model: {rpn: {fg_iuo: 1}}",
                   "x.yaml:1:15: unknown key model.rpn.fg_iuo; the nearest known key is "
                   "model.rpn.fg_iou");
    EXPECT_STATUS(override("train.epoch=3"), E_ARG);
    EXPECT_STR(error_text(), "argument train.epoch=3: unknown key train.epoch; the nearest known "
                             "key is train.epochs");
    EXPECT_STATUS(override("train=3"), E_ARG);
    EXPECT_STR(error_text(), "argument train=3: train is a group of keys; name one of them");
    EXPECT_STATUS(override("--fast"), E_ARG);
    EXPECT_STR(error_text(), "argument --fast: want key=value");
}

// The parser never came back from a line of % with half a character.
TEST(what_is_no_text_is_refused_wherever_it_comes_from)
{
    expect_refused("train: {seed: 1}\n%\"\xa6\n",
                   "x.yaml:2: no YAML: byte 0xa6 at 19 stands in no text");
    expect_refused("model: {name: caf\xc3}\n",
                   "x.yaml:1: no YAML: byte 0xc3 at 17 stands in no text");
    EXPECT_STATUS(override("train.out_dir=%\xa6"), E_ARG);
    EXPECT_STR(error_text(),
               "argument train.out_dir=%\xa6: no YAML: byte 0xa6 at 1 stands in no text");
    EXPECT_OK(override("train.out_dir=caf\u00e9"));
    EXPECT_STR(config.train.out_dir, "caf\u00e9");
}

TEST(a_key_longer_than_any_is_compared_by_its_beginning)
{
    char argument[4000] = "train.epochs", *list[] = {argument};
    memset(argument + strlen(argument), 'x', sizeof argument - strlen(argument));
    memcpy(argument + sizeof argument - 3, "=1", 3);
    EXPECT_STATUS(config_load(NULL, 1, list, &config), E_ARG);
    EXPECT_HAS(error_text(), "the nearest known key is train.epochs");
}

TEST(a_repeated_key_is_refused)
{
    expect_refused("train:\n  epochs: 3\n  seed: 1\n  epochs: 3\n",
                   "x.yaml:4:3: train.epochs stands here a second time; the first is in line 2");
    expect_refused("data: {}\ntrain: {}\ndata: {}\n",
                   "x.yaml:3:1: data stands here a second time; the first is in line 1");
}

TEST(a_value_of_the_wrong_type_is_refused_with_what_is_wanted)
{
    expect_refused("train:\n  epochs: many\n",
                   "x.yaml:2:11: train.epochs: got many, want a whole number, 1 or more");
    expect_refused("train: {epochs: 1.5}",
                   "x.yaml:1:17: train.epochs: got 1.5, want a whole number, 1 or more");
    expect_refused("train: {epochs: \"3\"}",
                   "x.yaml:1:17: train.epochs: got the text \"3\", want a whole number, 1 or more");
    expect_refused("train: {epochs: [3]}",
                   "x.yaml:1:18: train.epochs: got a list [a, b, ...], want one value");
    expect_refused("train: {epochs: {a: 3}}",
                   "x.yaml:1:9: train.epochs: got neither a value nor a plain list");
    expect_refused("train: {epochs: }", "x.yaml:1:9: train.epochs: has no value");
    expect_refused("train: 3", "x.yaml:1:1: train is a group of keys, got a value");
    expect_refused(
        "train: {seed: 99999999999999999999}",
        "x.yaml:1:15: train.seed: got 99999999999999999999, want a whole number, 0 or more");
    expect_refused("optimizer: {lr: nan}",
                   "x.yaml:1:17: optimizer.lr: got nan, want a number, 0 or more");
    expect_refused("optimizer: {lr: 0x10}",
                   "x.yaml:1:17: optimizer.lr: got 0x10, want a number, 0 or more");
    expect_refused("optimizer: {lr: 1e999}",
                   "x.yaml:1:17: optimizer.lr: got 1e999, want a number, 0 or more");
    expect_refused("optimizer: {nesterov: yes}",
                   "x.yaml:1:23: optimizer.nesterov: got yes, want true or false");
    expect_refused("model: {norm: batch}",
                   "x.yaml:1:15: model.norm: got batch, want one of frozen_bn, bn, gn");
    expect_refused("train: {init: null}",
                   "x.yaml:1:15: train.init: got null, want text; \"\" is none");
    expect_refused("optimizer: {betas: [0.9]}",
                   "x.yaml:1:21: optimizer.betas: got 1 numbers, want 2");
    expect_refused("schedule: {milestones: [1,\n 2, x]}",
                   "x.yaml:2:5: schedule.milestones: got x, want a list of numbers, 1 to 1000000");
    expect_refused("input: {canvases: [[64, 64], 64]}",
                   "x.yaml:1:9: input.canvases: the list's values are not of one kind");
    expect_refused("input: {canvases: [64, 64]}",
                   "x.yaml:1:20: input.canvases: got a list [a, b, ...], want pairs [[a, b], ...]");
    expect_refused("input: {canvases: [[64]]}",
                   "x.yaml:1:9: input.canvases: got neither a value nor a plain list");
    expect_refused("input: {mean: [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}",
                   "x.yaml:1:16: input.mean: 17 numbers, at most 16 fit");
    EXPECT_STATUS(override("train.epochs=many"), E_ARG);
    EXPECT_STR(error_text(), "argument train.epochs=many: train.epochs: got many, want a whole "
                             "number, 1 or more");
    EXPECT_STATUS(override("train.epochs="), E_ARG);
    EXPECT_STATUS(override("train.epochs=[1"), E_ARG);
    EXPECT_HAS(error_text(), "argument train.epochs=[1: no YAML: ");
}

TEST(a_value_out_of_range_is_refused)
{
    expect_refused("model: {trainable_stages: 6}",
                   "x.yaml:1:27: model.trainable_stages: got 6, want a whole number, 0 to 5");
    expect_refused("train: {batch: 0}",
                   "x.yaml:1:16: train.batch: got 0, want a whole number, 1 or more");
    expect_refused("train: {batch: 3000000000}",
                   "x.yaml:1:16: train.batch: got 3000000000, want a whole number, 1 or more");
    expect_refused("input: {std: [1, 0, 1]}",
                   "x.yaml:1:18: input.std: got 0, want a list of numbers, 1.0e-06 to 1000");
    char text[2000] = "data: {train: ";
    memset(text + strlen(text), 'a', 1100);
    strcat(text, "}");
    expect_refused(text, "x.yaml:1:15: data.train: 1100 bytes long, at most 1023 fit");
}

TEST(broken_yaml_is_refused_with_its_place)
{
    EXPECT_STATUS(parse("train: {epochs: 3\n"), E_FORMAT);
    EXPECT_HAS(error_text(), "x.yaml:2:1: no YAML: "); // libfyaml's own words follow
    expect_refused("train: 1\n---\ntrain: 2\n",
                   "x.yaml: a second document begins (--- or ...); want one");
    expect_refused("- 1\n", "x.yaml: wants keys with values");
    expect_refused("[a, b]: 1\n", "x.yaml: wants plain names as keys");
    expect_refused(
        "train.epochs: 1\n",
        "x.yaml:1:1: train.epochs: a key with a dot; in a file, nest it: group: {key: value}");
    expect_refused("train: {epochs: &a 3, batch: *a}\n",
                   "x.yaml:1:30: train.batch: got an alias (*); write it out");
    expect_refused("data: {train: \"a\\0b\"}\n", "x.yaml:1:15: data.train: holds a NUL byte");
    expect_refused("base: other.yaml\n", "x.yaml:1:7: base: stands in files only");
}

TEST(base_files_are_found_beside_the_file_that_names_them)
{
    char folder[256], message[1024];
    (void)snprintf(folder, sizeof folder, "%s/deep", test_folder());
    EXPECT_OK(file_make_folders(folder));
    (void)write_file("deep/top.yaml", "base: middle.yaml\n");
    (void)write_file("deep/middle.yaml", "base: ../bottom.yaml\ntrain: {seed: 2}\n");
    (void)write_file("bottom.yaml", "train: {seed: 1, epochs: 5}\n");
    const char *top = write_file("deep/top.yaml", "base: middle.yaml\n");
    EXPECT_OK(config_load(top, 0, NULL, &config));
    EXPECT_EQ(config.train.seed, 2);
    EXPECT_EQ(config.train.epochs, 5);

    (void)write_file("bottom.yaml", "train: {seed: 1}\n\nbase: deep/./top.yaml\n");
    EXPECT_STATUS(config_load(top, 0, NULL, &config), E_FORMAT);
    (void)snprintf(message, sizeof message,
                   "%s/../bottom.yaml:3:7: base: %s/../deep/./top.yaml leads back to itself",
                   folder, folder);
    EXPECT_STR(error_text(), message);

    (void)write_file("bottom.yaml", "train: {sed: 1}\n");
    EXPECT_STATUS(config_load(top, 0, NULL, &config), E_FORMAT);
    EXPECT_HAS(error_text(), "bottom.yaml:1:9: unknown key train.sed");

    top = write_file("deep/top.yaml", "train: {}\nbase: missing.yaml\n");
    EXPECT_STATUS(config_load(top, 0, NULL, &config), E_IO);
    EXPECT_HAS(error_text(), "top.yaml:2:7: cannot open ");
    EXPECT_HAS(error_text(), "/deep/missing.yaml: No such file or directory");
    top = write_file("deep/top.yaml", "base: [a, b]\n");
    EXPECT_STATUS(config_load(top, 0, NULL, &config), E_FORMAT);
    EXPECT_HAS(error_text(), "base: wants the name of one file");
}

TEST(every_refused_allocation_is_reported_and_leaks_nothing)
{
    (void)write_file("base.yaml", "train: {seed: 1}\n");
    const char *path = write_file("run.yaml", "base: base.yaml\n");
    status st = E_NOMEM;
    int n_failures = 0;
    for (; st != OK && n_failures < 50; n_failures++) {
        mem_fail_at(n_failures + 1);
        st = config_load(path, 0, NULL, &config);
        mem_fail_at(0);
        EXPECT(st == OK || st == E_NOMEM);
    }
    EXPECT(n_failures > 3 && st == OK);
}

TEST(a_missing_file_is_named)
{
    EXPECT_STATUS(config_load("no/such.yaml", 0, NULL, &config), E_IO);
    EXPECT_STR(error_text(), "cannot open no/such.yaml: No such file or directory");
}

TEST(keys_that_contradict_each_other_are_refused)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"model: {name: ssd}", "model.name: got ssd, want faster_rcnn"},
        {"model: {rpn: {anchor_sizes: [8, 16]}}",
         "model.rpn.anchor_sizes: got 2 sizes, want 5, one for each of P2..P6"},
        {"model: {rpn: {aspect_ratios: []}}", "model.rpn.aspect_ratios: got none, want at least 1"},
        {"model: {rpn: {bg_iou: 0.8}}", "model.rpn.bg_iou: got 0.8, want at most fg_iou = 0.7"},
        {"model: {roi: {bg_iou: 0.8}}", "model.roi.bg_iou: got 0.8, want at most fg_iou = 0.5"},
        {"input: {min_size: 2000}", "input.min_size: got 2000, want at most max_size = 1333"},
        {"input: {mean: [0]}", "input.mean: got 1 values, want 3 (red, green, blue)"},
        {"input: {std: [1, 1]}", "input.std: got 2 values, want 3 (red, green, blue)"},
        {"input: {pad_multiple: 48}", "input.pad_multiple: got 48, want a multiple of 32"},
        {"input: {pad_multiple: 64, canvases: [[64, 96]]}",
         "input.canvases: got [64, 96], want multiples of pad_multiple = 64"},
        {"optimizer: {betas: [0.9, 1.0]}", "optimizer.betas: got [0.9, 1], want both below 1"},
        {"optimizer: {name: adam, nesterov: true}",
         "optimizer.nesterov: needs optimizer.name sgd and a momentum above 0"},
        {"schedule: {milestones: [3, 2]}",
         "schedule.milestones: 2 after 3, want increasing epochs"},
        {"schedule: {milestones: [2.5]}", "schedule.milestones: got 2.5, want whole epochs"},
        {"train: {device: cpu, precision: tf32}",
         "train.precision: tf32 is for GPUs; with train.device=cpu want fp32 or bf16"},
        {"train: {device: cpu}\ncomm: {backend: nccl}",
         "comm.backend: nccl is for GPUs; with train.device=cpu want auto, self or mpi"},
        {"train: {out_dir: ''}", "train.out_dir: is empty, want a folder"},
        {"expect: {bbox_ap: [37]}", "expect.bbox_ap: got 1 numbers, want [value, tolerance]"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char message[256];
        EXPECT_STATUS(parse(cases[i].text), E_ARG);
        (void)snprintf(message, sizeof message, "x.yaml: %s", cases[i].message);
        EXPECT_STR(error_text(), message);
    }
}

TEST(training_with_frozen_norms_needs_weights_and_evaluation_does_not)
{
    EXPECT_OK(parse(""));
    EXPECT_STATUS(config_check_training(&config), E_ARG);
    EXPECT_HAS(error_text(), "model.norm: frozen_bn needs train.init");
    EXPECT_OK(parse("train: {init: w.safetensors}"));
    EXPECT_OK(config_check_training(&config));
    EXPECT_OK(parse("model: {norm: gn, trainable_stages: 5}"));
    EXPECT_OK(config_check_training(&config));
}

static void expect_round_trip(void)
{
    struct config again;
    char *yaml = NULL, *yaml_again = NULL;
    EXPECT_OK(config_dump(&config, &yaml));
    if (yaml == NULL) return;
    EXPECT_OK(config_parse(yaml, "dump", &again));
    EXPECT(memcmp(&config, &again, sizeof config) == 0);
    EXPECT_OK(config_dump(&again, &yaml_again));
    EXPECT_STR(yaml_again, yaml);
    mem_free(yaml_again);
    mem_free(yaml);
}

TEST(a_dump_reads_back_as_the_same_configuration)
{
    EXPECT_OK(parse(""));
    expect_round_trip();
    EXPECT_OK(parse("optimizer: {lr: 0.1000000000000000055511151231257827, eps: 1.0e-300, "
                    "weight_decay: 123456789.123456789}\n"
                    "model: {norm: gn, backbone: resnet101, norm_eps: 0, rpn: {aspect_ratios: "
                    "[0.3333333333333333]}}\n"
                    "train: {init: \"a \\\"b\\\" \\\\ # ' \\x01\\n\\t\\u00e9: {\", out_dir: '- x', "
                    "max_steps: 9007199254740993}\n"
                    "input: {canvases: [[32, 64], [64, 32]], pad_multiple: 32}\n"
                    "expect: {bbox_ap: [37, .4]}\n"
                    "schedule: {milestones: []}"));
    EXPECT_EQ(config.train.max_steps, 9007199254740993);
    EXPECT_STR(config.train.init, "a \"b\" \\ # ' \x01\n\t\xc3\xa9: {");
    expect_round_trip();
}

TEST(any_double_survives_the_dump)
{
    EXPECT_OK(parse(""));
    uint64_t bits = 12345;
    for (int i = 0; i < 300; i++) {
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        uint64_t exponent = 1023 - 500 + (bits >> 40) % 1000, mantissa = bits >> 12;
        uint64_t image = exponent << 52 | mantissa;
        memcpy(&config.optimizer.weight_decay, &image, sizeof image);
        expect_round_trip();
    }
}

struct seen {
    int n;
    char text[256];
};

static void remember(void *context, const char *key, const char *a, const char *b)
{
    struct seen *s = context;
    s->n++;
    (void)snprintf(s->text, sizeof s->text, "%s %s %s", key, a, b);
}

static bool allow_epochs(const char *key)
{
    return strcmp(key, "train.epochs") == 0;
}

TEST(a_comparison_tells_what_differs_by_key)
{
    struct config other;
    struct seen seen = {0};
    uint64_t hash = 0, other_hash = 0;
    EXPECT_OK(parse("train: {epochs: 3}"));
    EXPECT_OK(config_parse("train: {epochs: 4, batch: 8}", "y", &other));
    EXPECT_EQ(config_compare(&config, &other, NULL, NULL, NULL), 2);
    EXPECT_EQ(config_compare(&config, &other, allow_epochs, remember, &seen), 1);
    EXPECT_EQ(seen.n, 1);
    EXPECT_STR(seen.text, "train.batch 16 8");
    EXPECT_OK(config_hash(&config, &hash));
    EXPECT_OK(config_hash(&other, &other_hash));
    EXPECT(hash != other_hash);
    EXPECT_OK(config_parse("train: {epochs: 3}", "z", &other));
    EXPECT_OK(config_hash(&other, &other_hash));
    EXPECT(hash == other_hash);
}

TEST(the_help_has_a_line_for_every_key)
{
    char *help = NULL, *yaml = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&help, &n);
    config_print_help(to);
    EXPECT_EQ(fclose(to), 0);
    EXPECT_HAS(help, "  train.epochs                     passes over the training images "
                     "(a whole number, 1 or more; default 26)\n");
    EXPECT_HAS(help, "(one of sgd, adam, adamw; default sgd)\n");
    EXPECT_OK(parse(""));
    EXPECT_OK(config_dump(&config, &yaml));
    int n_help = 0, n_keys = 0;
    for (char *p = help; (p = strchr(p, '\n')) != NULL; p++) n_help++;
    for (char *p = yaml; (p = strstr(p, ": ")) != NULL; p++) n_keys++;
    EXPECT_EQ(n_help, n_keys);
    free(help);
    mem_free(yaml);
}

TEST(the_shipped_configurations_load)
{
    struct config standard;
    config_defaults(&standard);
    EXPECT_OK(config_load(test_source_path("configs/coco_r50_fpn.yaml"), 0, NULL, &config));
    // The recipe is the defaults, but for where results go and what they should be.
    EXPECT_EQ(config_compare(&config, &standard, NULL, NULL, NULL), 2);
    EXPECT_STATUS(config_check_training(&config), E_ARG); // no train.init
    static const char *const from_scratch[] = {"configs/coco_r50_fpn_gn.yaml", "configs/demo.yaml"};
    static const enum config_norm norm[] = {CONFIG_NORM_GN, CONFIG_NORM_BN};
    for (size_t i = 0; i < COUNT(from_scratch); i++) {
        EXPECT_OK(config_load(test_source_path(from_scratch[i]), 0, NULL, &config));
        EXPECT_OK(config_check_training(&config));
        EXPECT_EQ(config.model.norm, norm[i]);
        EXPECT_EQ(config.model.trainable_stages, 5);
    }
}

// Every single-byte damage to a good file either reads or is refused; never a crash.
TEST(damaged_files_are_read_or_refused)
{
    static const char good[] = "train: {epochs: 3, init: \"a\\nb\"}\ninput:\n  canvases: [[32, "
                               "64]]\n  mean: [0, 0.5, 1e-3]\n";
    static const char bytes[] = "\0\n\t :{}[]\"'&*!|>%@-?#,~\x80\xff";
    char text[sizeof good];
    int n_refused = 0, n_read = 0;
    for (size_t i = 0; i + 1 < sizeof good; i++)
        for (size_t j = 0; j < sizeof bytes; j++) {
            memcpy(text, good, sizeof good);
            text[i] = bytes[j];
            *(parse(text) == OK ? &n_read : &n_refused) += 1;
        }
    EXPECT(n_refused > 500 && n_read > 100);
}

TEST_MAIN()
