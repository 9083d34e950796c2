// Random initialisation as torchvision's constructors do it, drawn by keyed generators: each
// parameter has a key of its own (seed, name), so that a change of one layer leaves the others'
// values alone.
#ifndef SHOAL_MODEL_INIT_H
#define SHOAL_MODEL_INIT_H

#include "tensor/param.h"

// Backbone convolutions: normal, std sqrt(2 / (K R S)) (kaiming, fan out); norms 1 and 0; running
// mean 0, variance 1; FPN: uniform, bound sqrt(3 / fan_in), bias 0; RPN head: normal, std 0.01,
// bias 0; linear layers: weights and biases uniform, bound 1 / sqrt(fan_in).
MUST_USE status init_params(struct params *params, uint64_t seed);

#endif
