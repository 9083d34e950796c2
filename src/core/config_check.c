// What one key's range cannot say.
#include <math.h>
#include <string.h>

#include "core/config.h"
#include "core/log.h"

static status check_model(const struct config_model *m)
{
    REQUIRE(strcmp(m->name, "faster_rcnn") == 0, E_ARG, "model.name: got %s, want faster_rcnn",
            m->name);
    REQUIRE(m->rpn.anchor_sizes.n == 5, E_ARG,
            "model.rpn.anchor_sizes: got %d sizes, want 5, one for each of P2..P6",
            m->rpn.anchor_sizes.n);
    REQUIRE(m->rpn.aspect_ratios.n > 0, E_ARG,
            "model.rpn.aspect_ratios: got none, want at least 1");
    REQUIRE(m->rpn.bg_iou <= m->rpn.fg_iou, E_ARG,
            "model.rpn.bg_iou: got %g, want at most fg_iou = %g", m->rpn.bg_iou, m->rpn.fg_iou);
    REQUIRE(m->roi.bg_iou <= m->roi.fg_iou, E_ARG,
            "model.roi.bg_iou: got %g, want at most fg_iou = %g", m->roi.bg_iou, m->roi.fg_iou);
    return OK;
}

static status check_input(const struct config_input *in)
{
    REQUIRE(in->min_size <= in->max_size, E_ARG,
            "input.min_size: got %d, want at most max_size = %d", in->min_size, in->max_size);
    REQUIRE(in->mean.n == 3, E_ARG, "input.mean: got %d values, want 3 (red, green, blue)",
            in->mean.n);
    REQUIRE(in->std.n == 3, E_ARG, "input.std: got %d values, want 3 (red, green, blue)",
            in->std.n);
    REQUIRE(in->pad_multiple % 32 == 0, E_ARG, "input.pad_multiple: got %d, want a multiple of 32",
            in->pad_multiple);
    for (int i = 0; i < in->n_canvases; i++)
        REQUIRE(in->canvases[i].h % in->pad_multiple == 0 &&
                    in->canvases[i].w % in->pad_multiple == 0,
                E_ARG, "input.canvases: got [%d, %d], want multiples of pad_multiple = %d",
                in->canvases[i].h, in->canvases[i].w, in->pad_multiple);
    return OK;
}

static status check_steps(const struct config_optimizer_params *o,
                          const struct config_schedule_params *s)
{
    REQUIRE(o->betas[0] < 1 && o->betas[1] < 1, E_ARG,
            "optimizer.betas: got [%g, %g], want both below 1", o->betas[0], o->betas[1]);
    REQUIRE(!o->nesterov || (o->name == CONFIG_OPTIMIZER_SGD && o->momentum > 0), E_ARG,
            "optimizer.nesterov: needs optimizer.name sgd and a momentum above 0");
    for (int i = 0; i < s->milestones.n; i++) {
        double epoch = s->milestones.value[i];
        REQUIRE(epoch == floor(epoch), E_ARG, "schedule.milestones: got %g, want whole epochs",
                epoch);
        REQUIRE(i == 0 || epoch > s->milestones.value[i - 1], E_ARG,
                "schedule.milestones: %g after %g, want increasing epochs", epoch,
                s->milestones.value[i > 0 ? i - 1 : 0]);
    }
    return OK;
}

static status check_device(const struct config_train *t, const struct config_comm_params *comm)
{
    bool is_cpu = t->device == CONFIG_DEVICE_CPU;
    REQUIRE(!is_cpu || t->precision != CONFIG_PRECISION_TF32, E_ARG,
            "train.precision: tf32 is for GPUs; with train.device=cpu want fp32 or bf16");
    REQUIRE(!is_cpu || comm->backend != CONFIG_COMM_NCCL, E_ARG,
            "comm.backend: nccl is for GPUs; with train.device=cpu want auto, self or mpi");
    REQUIRE(t->out_dir[0] != '\0', E_ARG, "train.out_dir: is empty, want a folder");
    return OK;
}

static status check_expected(const char *key, const struct config_list *list)
{
    REQUIRE(list->n == 0 || list->n == 2, E_ARG, "%s: got %d numbers, want [value, tolerance]", key,
            list->n);
    return OK;
}

status config_check(const struct config *c)
{
    TRY(check_model(&c->model));
    TRY(check_input(&c->input));
    TRY(check_steps(&c->optimizer, &c->schedule));
    TRY(check_device(&c->train, &c->comm));
    TRY(check_expected("expect.bbox_ap", &c->expect.bbox_ap));
    TRY(check_expected("expect.bbox_ap50", &c->expect.bbox_ap50));
    return OK;
}

status config_check_training(const struct config *c)
{
    bool has_init = c->train.init[0] != '\0';
    REQUIRE(c->model.norm != CONFIG_NORM_FROZEN_BN || has_init, E_ARG,
            "model.norm: frozen_bn needs train.init, a safetensors file with the starting weights; "
            "from scratch use model.norm=gn model.trainable_stages=5");
    if (!has_init && c->model.trainable_stages < 5)
        log_warn("model.trainable_stages is %d without train.init: the other stages keep random "
                 "weights; from scratch use 5",
                 c->model.trainable_stages);
    return OK;
}
