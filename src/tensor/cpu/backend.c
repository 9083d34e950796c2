// The CPU backend's table, and the slots that move memory. Everything is done when a slot returns.
#include <string.h>

#include "core/mem.h"
#include "tensor/cpu/chunks_internal.h"

const struct backend_ops backend_cpu = {
    .name = "cpu",
    .host_counts = true,
    .captures = false,
    .open = cpu_open,
    .close = cpu_close,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .upload = cpu_upload,
    .download = cpu_download,
    .post = cpu_post,
    .fetch = cpu_fetch,
    .copy = cpu_copy,
    .zero = cpu_zero,
    .discard = cpu_discard,
    .wait = cpu_wait,
    .capture_begin = cpu_capture_begin,
    .capture_end = cpu_capture_end,
    .capture_run = cpu_capture_run,
    .capture_free = cpu_capture_free,
    .describe = cpu_describe,
    .transform = cpu_transform,
    .conv2d = cpu_conv2d,
    .conv2d_dx = cpu_conv2d_dx,
    .conv2d_dw = cpu_conv2d_dw,
    .linear = cpu_linear,
    .linear_dx = cpu_linear_dx,
    .linear_dw = cpu_linear_dw,
    .linear_pair = cpu_linear_pair,
    .linear_pair_dx = cpu_linear_pair_dx,
    .linear_pair_dw = cpu_linear_pair_dw,
    .group_norm = cpu_group_norm,
    .group_norm_dx = cpu_group_norm_dx,
    .batch_norm = cpu_batch_norm,
    .batch_norm_dx = cpu_batch_norm_dx,
    .max_pool2d = cpu_max_pool2d,
    .max_pool2d_dx = cpu_max_pool2d_dx,
    .upsample_add = cpu_upsample_add,
    .upsample_add_dtop = cpu_upsample_add_dtop,
    .relu_dx = cpu_relu_dx,
    .add = cpu_add,
    .fill = cpu_fill,
    .cast = cpu_cast,
    .fold_weights = cpu_fold_weights,
    .roi_align = cpu_roi_align,
    .roi_align_dx = cpu_roi_align_dx,
    .gather_patches = cpu_gather_patches,
    .gather_patches_dx = cpu_gather_patches_dx,
    .softmax_ce = cpu_softmax_ce,
    .softmax_ce_dx = cpu_softmax_ce_dx,
    .sigmoid_bce = cpu_sigmoid_bce,
    .sigmoid_bce_dx = cpu_sigmoid_bce_dx,
    .smooth_l1 = cpu_smooth_l1,
    .smooth_l1_dx = cpu_smooth_l1_dx,
    .proposals = cpu_proposals,
    .rpn_targets = cpu_rpn_targets,
    .roi_targets = cpu_roi_targets,
    .detections = cpu_detections,
    .count_not_finite = cpu_count_not_finite,
    .clip = cpu_clip,
    .sgd = cpu_sgd,
    .adam = cpu_adam,
    .square_sum = cpu_square_sum,
};

status cpu_alloc(struct stream *s, size_t bytes, void **out)
{
    (void)s;
    return mem_alloc_aligned(bytes, out);
}

void cpu_free(struct stream *s, void *ptr)
{
    (void)s;
    mem_free(ptr);
}

status cpu_upload(struct stream *s, void *to, const void *from, size_t bytes)
{
    return cpu_copy(s, to, from, bytes);
}

status cpu_download(struct stream *s, void *to, const void *from, size_t bytes)
{
    return cpu_copy(s, to, from, bytes);
}

status cpu_copy(struct stream *s, void *to, const void *from, size_t bytes)
{
    const int64_t n = (int64_t)bytes, share = CHUNKS_SIZE * (int64_t)sizeof(float);
#pragma omp parallel for num_threads(n <= share ? 1 : cpu_threads(s)) schedule(static)
    for (int64_t i = 0; i < n; i += share)
        memcpy((char *)to + i, (const char *)from + i, (size_t)(n - i < share ? n - i : share));
    return OK;
}

status cpu_zero(struct stream *s, void *to, size_t bytes)
{
    (void)s;
    mem_zero(to, bytes);
    return OK;
}

void cpu_discard(struct stream *s, void *at, size_t bytes)
{
    (void)s;
    mem_discard(at, bytes);
}

status cpu_wait(struct stream *s)
{
    (void)s;
    return OK;
}
