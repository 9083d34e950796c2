// SGD, Adam, AdamW as torch.optim defines them, over the flat parameters; clipping by global norm.
#ifndef SHOAL_TRAIN_OPTIMIZER_H
#define SHOAL_TRAIN_OPTIMIZER_H

#include "core/config.h"
#include "tensor/param.h"

enum { OPTIMIZER_MAX_STATES = 2 };

struct optimizer;

// State begins at zero; params is borrowed and finished (params_finish).
MUST_USE status optimizer_create(const struct config_optimizer_params *c, struct params *params,
                                 struct optimizer **out);
void optimizer_destroy(struct optimizer *o);
// One step on the gradients as they are, number step (from 1) of the run. Clips them first where
// clip_norm > 0 (torch.nn.utils.clip_grad_norm_). The caller refreshes the model afterwards.
// *norm is the gradients' norm before clipping, -1 where none was computed; asking waits for the
// device, norm may be NULL. While params_halt's value is not 0 a step changes nothing.
MUST_USE status optimizer_step(struct optimizer *o, double lr, int64_t step, double *norm);

// State for checkpoints: n named flat fp32 buffers of params_n_trainable elements.
int optimizer_n_states(const struct optimizer *o);
const char *optimizer_state_name(const struct optimizer *o,
                                 int i); // "momentum_buffer", "exp_avg", ...
// Copies to or from host memory.
MUST_USE status optimizer_export(const struct optimizer *o, int i, float *host);
MUST_USE status optimizer_import(struct optimizer *o, int i, const float *host);

#endif
