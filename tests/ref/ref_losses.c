#include <math.h>

#include "ref/ref_kernels.h"

double ref_softmax_ce(int32_t classes, const double *logits, int32_t label)
{
    double sum = 0;
    for (int i = 0; i < classes; i++) sum += exp(logits[i] - logits[label]);
    return log(sum);
}

double ref_sigmoid_bce(double logit, int32_t label)
{
    return log(1 + exp(label != 0 ? -logit : logit));
}

double ref_smooth_l1(double difference, double beta)
{
    double distance = fabs(difference);
    return distance < beta ? distance * distance / (2 * beta) : distance - beta / 2;
}
