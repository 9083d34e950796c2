// What a step of Adam or AdamW multiplies by, the same for every element and on every backend.
#ifndef SHOAL_TENSOR_ADAM_FACTORS_H
#define SHOAL_TENSOR_ADAM_FACTORS_H

#include <math.h>

#include "tensor/backend.h"

struct adam_factors {
    float decay;       // added to the gradient: Adam's weight decay
    float keep;        // the weight's own factor: AdamW's weight decay
    float beta1, new1; // new1 = 1 - beta1
    float beta2, new2;
    float step;        // lr / (1 - beta1^t)
    float correction2; // sqrt(1 - beta2^t)
    float eps;
};

static inline struct adam_factors adam_factors_of(const struct adam_params *q)
{
    double t = (double)q->step;
    struct adam_factors f;
    f.decay = q->decoupled ? 0 : (float)q->weight_decay;
    f.keep = q->decoupled ? (float)(1 - q->lr * q->weight_decay) : 1;
    f.beta1 = (float)q->beta1;
    f.new1 = (float)(1 - q->beta1);
    f.beta2 = (float)q->beta2;
    f.new2 = (float)(1 - q->beta2);
    f.step = (float)(q->lr / (1 - pow(q->beta1, t)));
    f.correction2 = (float)sqrt(1 - pow(q->beta2, t));
    f.eps = (float)q->eps;
    return f;
}

#endif
