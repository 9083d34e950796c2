// From a weights file to detections on a picture.
#include "train/predictor.h"

#include "core/mem.h"
#include "io/transform.h"
#include "train/device_choice.h"
#include "train/weights.h"

// What the training machine was like says nothing about this one.
static void forget_machine(struct config *c)
{
    c->train.device = CONFIG_DEVICE_AUTO;
    c->train.threads = 0;
    if (c->train.precision == CONFIG_PRECISION_TF32) c->train.precision = CONFIG_PRECISION_FP32;
}

static status read_settings(struct predictor *p, const char *weights, const char *config_path)
{
    struct weights_info info;
    TRY(weights_read_info(weights, &info));
    p->labels = info.labels;
    info.labels = (struct label_set){0};
    status st = OK;
    if (config_path != NULL)
        st = config_load(config_path, 0, NULL, &p->config);
    else if (info.config_yaml != NULL)
        st = config_parse(info.config_yaml, weights, &p->config);
    bool any = config_path != NULL || info.config_yaml != NULL;
    p->config.train.devices_per_rank = 1; // a picture at a time
    if (st == OK && any && config_path == NULL) forget_machine(&p->config);
    weights_info_fini(&info);
    TRY(st);
    REQUIRE(any, E_ARG, "%s does not carry the model's settings; add --config", weights);
    REQUIRE(p->labels.n > 0, E_ARG,
            "%s does not carry its categories; only `shoal eval` can use it", weights);
    return OK;
}

static status build(struct predictor *p, const char *weights, struct comm *comm)
{
    TRY(device_choice_settle(&p->config, comm));
    TRY(replica_create(&p->config, label_set_n_outputs(&p->labels), comm, 0, &p->replica));
    TRY(weights_load(detector_params(p->replica->model), weights, WEIGHTS_MODE_EXACT));
    return detector_refresh(p->replica->model);
}

status predictor_create(const char *weights, const char *config_path, struct comm *comm,
                        struct predictor **out)
{
    struct predictor *p = NULL;
    TRY(mem_zalloc(&p, 1));
    status st = read_settings(p, weights, config_path);
    if (st == OK) st = build(p, weights, comm);
    if (st != OK) {
        predictor_destroy(p);
        return st;
    }
    *out = p;
    return OK;
}

void predictor_destroy(struct predictor *p)
{
    if (p == NULL) return;
    replica_destroy(p->replica);
    label_set_fini(&p->labels);
    mem_free(p);
}

status predictor_run(struct predictor *p, const struct image *image, struct detector_result *out)
{
    struct transform t;
    struct transform_plan plan;
    transform_init(&p->config.input, &t);
    transform_plan(&t, image->h, image->w, &plan);
    struct batch_group group = {.n = 1, .h = plan.canvas_h, .w = plan.canvas_w};
    TRY(mem_alloc(&group.pixels, (size_t)plan.canvas_h * (size_t)plan.canvas_w * 3));
    struct batch_image item = {
        .original_h = image->h, .original_w = image->w, .h = plan.h, .w = plan.w};
    struct batch b = {.n_images = 1, .images = &item, .n_groups = 1, .groups = &group};
    status st = transform_pixels(&t, &plan, image, false, group.pixels);
    if (st == OK) st = replica_detect(p->replica, &b, out);
    mem_free(group.pixels);
    return st;
}
