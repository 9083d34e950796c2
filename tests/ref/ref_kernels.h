// The backend's own kernels as plain loops in double, straight from their definitions: slow, and
// written to be read. Arguments as in tensor/backend.h.
#ifndef SHOAL_TESTS_REF_REF_KERNELS_H
#define SHOAL_TESTS_REF_REF_KERNELS_H

#include "tensor/backend.h"

void ref_group_norm(const struct norm_desc *d, const double *x, const double *gamma,
                    const double *beta, const double *residual, double *y);

void ref_upsample_add(const struct upsample_add_desc *d, const double *lateral, const double *top,
                      double *y);

// Level of a roi, from 0.
int ref_roi_level(const struct roi_align_desc *d, const float roi[4]);
// Sample by sample and tap by tap, as torchvision's kernel goes.
void ref_roi_align(const struct roi_align_desc *d, const struct pyramid *p, const double *const *x,
                   const float *rois, const int32_t *image, double *y);

void ref_gather_patches(const struct pyramid *p, int32_t rows, int32_t c, const double *const *x,
                        const int32_t *image, const int32_t *index, double *y);

// One row's term.
double ref_softmax_ce(int32_t classes, const double *logits, int32_t label);
double ref_sigmoid_bce(double logit, int32_t label);
double ref_smooth_l1(double difference, double beta);

#endif
