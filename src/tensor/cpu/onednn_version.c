// oneDNN 3.x makes primitive descriptors in one call from memory descriptors that are handles; 2.6
// fills an operation descriptor first, and its memory descriptors are plain structs.
#include "tensor/cpu/onednn_version.h"

#include <string.h>

// The next of a chain of calls, as long as all went well.
#define THEN(code, call)                                                                           \
    do {                                                                                           \
        if ((code) == dnnl_success) (code) = (call);                                               \
    } while (0)

static const dnnl_dims_t no_dilation;

struct descs {
    dnnl_memory_desc_t src, weights, bias, dst;
};

#if DNNL_VERSION_MAJOR >= 3

#define REF(desc) (desc)

static dnnl_status_t make_desc(const struct onednn_layout *l, dnnl_memory_desc_t *out)
{
    *out = NULL;
    if (l->n_dims == 0) return dnnl_success;
    return dnnl_memory_desc_create_with_tag(out, l->n_dims, l->dims, l->type, l->tag);
}

static void drop_desc(dnnl_memory_desc_t *desc)
{
    if (*desc != NULL) (void)dnnl_memory_desc_destroy(*desc);
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1.0F, 0, dnnl_data_type_undef);
}

static dnnl_status_t append_relu(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0.0F, 0.0F);
}

#else

#define REF(desc) (&(desc))

static dnnl_status_t make_desc(const struct onednn_layout *l, dnnl_memory_desc_t *out)
{
    memset(out, 0, sizeof *out);
    if (l->n_dims == 0) return dnnl_success;
    return dnnl_memory_desc_init_by_tag(out, l->n_dims, l->dims, l->type, l->tag);
}

static void drop_desc(dnnl_memory_desc_t *desc)
{
    (void)desc;
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1.0F);
}

static dnnl_status_t append_relu(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_eltwise(ops, 1.0F, dnnl_eltwise_relu, 0.0F, 0.0F);
}

#endif

static dnnl_status_t make_descs(const struct onednn_layout *src,
                                const struct onednn_layout *weights,
                                const struct onednn_layout *bias, const struct onednn_layout *dst,
                                struct descs *out)
{
    memset(out, 0, sizeof *out);
    dnnl_status_t code = make_desc(src, &out->src);
    THEN(code, make_desc(weights, &out->weights));
    THEN(code, make_desc(bias, &out->bias));
    THEN(code, make_desc(dst, &out->dst));
    return code;
}

static void drop_descs(struct descs *d)
{
    drop_desc(&d->src);
    drop_desc(&d->weights);
    drop_desc(&d->bias);
    drop_desc(&d->dst);
}

static dnnl_status_t append_add(dnnl_post_ops_t ops, const struct onednn_layout *add)
{
    dnnl_memory_desc_t desc;
    dnnl_status_t code = make_desc(add, &desc);
    THEN(code, dnnl_post_ops_append_binary(ops, dnnl_binary_add, REF(desc)));
    drop_desc(&desc);
    return code;
}

static dnnl_status_t make_attr(const struct onednn_post *post, dnnl_primitive_attr_t *out)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t code = dnnl_primitive_attr_create(out);
    THEN(code, dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user));
    THEN(code, dnnl_post_ops_create(&ops));
    if (post->sum) THEN(code, append_sum(ops));
    if (post->add != NULL) THEN(code, append_add(ops, post->add));
    if (post->relu) THEN(code, append_relu(ops));
    THEN(code, dnnl_primitive_attr_set_post_ops(*out, ops));
    if (ops != NULL) (void)dnnl_post_ops_destroy(ops);
    return code;
}

static void drop_attr(dnnl_primitive_attr_t attr)
{
    if (attr != NULL) (void)dnnl_primitive_attr_destroy(attr);
}

static void drop_pd(dnnl_primitive_desc_t pd)
{
    if (pd != NULL) (void)dnnl_primitive_desc_destroy(pd);
}

static dnnl_status_t conv_pd(dnnl_engine_t engine, const struct onednn_version_conv *c,
                             const struct descs *d, enum onednn_pass pass,
                             dnnl_primitive_desc_t hint, dnnl_primitive_attr_t attr,
                             dnnl_primitive_desc_t *out)
{
    const dnnl_alg_kind_t kind = dnnl_convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
    if (pass == ONEDNN_PASS_FORWARD)
        return dnnl_convolution_forward_primitive_desc_create(
            out, engine, dnnl_forward_training, kind, d->src, d->weights, d->bias, d->dst,
            c->stride, no_dilation, c->pad_before, c->pad_after, attr);
    if (pass == ONEDNN_PASS_DATA)
        return dnnl_convolution_backward_data_primitive_desc_create(
            out, engine, kind, d->src, d->weights, d->dst, c->stride, no_dilation, c->pad_before,
            c->pad_after, hint, attr);
    return dnnl_convolution_backward_weights_primitive_desc_create(
        out, engine, kind, d->src, d->weights, d->bias, d->dst, c->stride, no_dilation,
        c->pad_before, c->pad_after, hint, attr);
#else
    dnnl_convolution_desc_t op;
    dnnl_status_t code;
    if (pass == ONEDNN_PASS_FORWARD)
        code = dnnl_dilated_convolution_forward_desc_init(&op, dnnl_forward_training, kind, &d->src,
                                                          &d->weights, &d->bias, &d->dst, c->stride,
                                                          no_dilation, c->pad_before, c->pad_after);
    else if (pass == ONEDNN_PASS_DATA)
        code = dnnl_dilated_convolution_backward_data_desc_init(&op, kind, &d->src, &d->weights,
                                                                &d->dst, c->stride, no_dilation,
                                                                c->pad_before, c->pad_after);
    else
        code = dnnl_dilated_convolution_backward_weights_desc_init(
            &op, kind, &d->src, &d->weights, &d->bias, &d->dst, c->stride, no_dilation,
            c->pad_before, c->pad_after);
    THEN(code, dnnl_primitive_desc_create(out, &op, attr, engine, hint));
    return code;
#endif
}

dnnl_status_t onednn_version_conv(dnnl_engine_t engine, const struct onednn_version_conv *c,
                                  dnnl_primitive_desc_t *out)
{
    struct descs d, forward = {0};
    dnnl_primitive_attr_t attr = NULL, plain = NULL;
    dnnl_primitive_desc_t hint = NULL;
    dnnl_status_t code = make_descs(&c->src, &c->weights, &c->bias, &c->dst, &d);
    THEN(code, make_attr(&c->post, &attr));
    if (c->pass != ONEDNN_PASS_FORWARD) { // the backward passes want to see their forward one
        struct onednn_layout weights = c->weights;
        weights.type = c->src.type;
        THEN(code, make_attr(&(struct onednn_post){0}, &plain));
        THEN(code, make_descs(&c->src, &weights, &c->bias, &c->dst, &forward));
        THEN(code, conv_pd(engine, c, &forward, ONEDNN_PASS_FORWARD, NULL, plain, &hint));
    }
    THEN(code, conv_pd(engine, c, &d, c->pass, hint, attr, out));
    drop_pd(hint);
    drop_attr(plain);
    drop_attr(attr);
    if (c->pass != ONEDNN_PASS_FORWARD) drop_descs(&forward);
    drop_descs(&d);
    return code;
}

static dnnl_status_t matmul_pd(dnnl_engine_t engine, const struct descs *d,
                               dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_matmul_primitive_desc_create(out, engine, d->src, d->weights, d->bias, d->dst,
                                             attr);
#else
    dnnl_matmul_desc_t op;
    dnnl_status_t code = dnnl_matmul_desc_init(&op, &d->src, &d->weights, &d->bias, &d->dst);
    THEN(code, dnnl_primitive_desc_create(out, &op, attr, engine, NULL));
    return code;
#endif
}

dnnl_status_t onednn_version_matmul(dnnl_engine_t engine, const struct onednn_version_matmul *m,
                                    dnnl_primitive_desc_t *out)
{
    struct descs d;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t code = make_descs(&m->src, &m->weights, &m->bias, &m->dst, &d);
    THEN(code, make_attr(&m->post, &attr));
    THEN(code, matmul_pd(engine, &d, attr, out));
    drop_attr(attr);
    drop_descs(&d);
    return code;
}

static dnnl_status_t norm_pd(dnnl_engine_t engine, const struct onednn_version_norm *n,
                             const dnnl_memory_desc_t *data, bool backward,
                             dnnl_primitive_desc_t hint, dnnl_primitive_attr_t attr,
                             dnnl_primitive_desc_t *out)
{
    unsigned flags = (unsigned)dnnl_use_scale | (unsigned)dnnl_use_shift;
    if (n->running) flags |= (unsigned)dnnl_use_global_stats;
#if DNNL_VERSION_MAJOR >= 3
    if (backward)
        return dnnl_batch_normalization_backward_primitive_desc_create(
            out, engine, dnnl_backward, *data, *data, *data, n->eps, flags, hint, attr);
    return dnnl_batch_normalization_forward_primitive_desc_create(
        out, engine, dnnl_forward_training, *data, *data, n->eps, flags, attr);
#else
    dnnl_batch_normalization_desc_t op;
    dnnl_status_t code = backward ? dnnl_batch_normalization_backward_desc_init(
                                        &op, dnnl_backward, data, data, n->eps, flags)
                                  : dnnl_batch_normalization_forward_desc_init(
                                        &op, dnnl_forward_training, data, n->eps, flags);
    THEN(code, dnnl_primitive_desc_create(out, &op, attr, engine, hint));
    return code;
#endif
}

dnnl_status_t onednn_version_norm(dnnl_engine_t engine, const struct onednn_version_norm *n,
                                  dnnl_primitive_desc_t *out)
{
    dnnl_memory_desc_t data;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t hint = NULL;
    dnnl_status_t code = make_desc(&n->data, &data);
    THEN(code, make_attr(&(struct onednn_post){0}, &attr));
    if (n->backward) THEN(code, norm_pd(engine, n, &data, false, NULL, attr, &hint));
    THEN(code, norm_pd(engine, n, &data, n->backward, hint, attr, out));
    drop_pd(hint);
    drop_attr(attr);
    drop_desc(&data);
    return code;
}

static dnnl_status_t pool_pd(dnnl_engine_t engine, const struct onednn_version_pool *p,
                             const struct descs *d, enum onednn_pass pass,
                             dnnl_primitive_desc_t hint, dnnl_primitive_attr_t attr,
                             dnnl_primitive_desc_t *out)
{
    const dnnl_prop_kind_t kind = p->training ? dnnl_forward_training : dnnl_forward_inference;
#if DNNL_VERSION_MAJOR >= 3
    if (pass == ONEDNN_PASS_FORWARD)
        return dnnl_pooling_forward_primitive_desc_create(
            out, engine, kind, dnnl_pooling_max, d->src, d->dst, p->stride, p->window, no_dilation,
            p->pad_before, p->pad_after, attr);
    return dnnl_pooling_backward_primitive_desc_create(out, engine, dnnl_pooling_max, d->src,
                                                       d->dst, p->stride, p->window, no_dilation,
                                                       p->pad_before, p->pad_after, hint, attr);
#else
    dnnl_pooling_desc_t op;
    dnnl_status_t code =
        pass == ONEDNN_PASS_FORWARD
            ? dnnl_pooling_forward_desc_init(&op, kind, dnnl_pooling_max, &d->src, &d->dst,
                                             p->stride, p->window, p->pad_before, p->pad_after)
            : dnnl_pooling_backward_desc_init(&op, dnnl_pooling_max, &d->src, &d->dst, p->stride,
                                              p->window, p->pad_before, p->pad_after);
    THEN(code, dnnl_primitive_desc_create(out, &op, attr, engine, hint));
    return code;
#endif
}

dnnl_status_t onednn_version_pool(dnnl_engine_t engine, const struct onednn_version_pool *p,
                                  dnnl_primitive_desc_t *out)
{
    const struct onednn_layout none = {0};
    struct descs d;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t hint = NULL;
    dnnl_status_t code = make_descs(&p->src, &none, &none, &p->dst, &d);
    THEN(code, make_attr(&(struct onednn_post){0}, &attr));
    if (p->pass != ONEDNN_PASS_FORWARD)
        THEN(code, pool_pd(engine, p, &d, ONEDNN_PASS_FORWARD, NULL, attr, &hint));
    THEN(code, pool_pd(engine, p, &d, p->pass, hint, attr, out));
    drop_pd(hint);
    drop_attr(attr);
    drop_descs(&d);
    return code;
}

dnnl_status_t onednn_version_reorder(dnnl_engine_t engine, onednn_desc from, onednn_desc to,
                                     bool sum, dnnl_primitive_desc_t *out)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t code = make_attr(&(struct onednn_post){.sum = sum}, &attr);
    THEN(code, dnnl_reorder_primitive_desc_create(out, from, engine, to, engine, attr));
    drop_attr(attr);
    return code;
}

dnnl_status_t onednn_version_memory(dnnl_engine_t engine, const struct onednn_layout *l,
                                    dnnl_memory_t *out)
{
    dnnl_memory_desc_t desc;
    dnnl_status_t code = make_desc(l, &desc);
    THEN(code, dnnl_memory_create(out, REF(desc), engine, DNNL_MEMORY_NONE));
    drop_desc(&desc);
    return code;
}
