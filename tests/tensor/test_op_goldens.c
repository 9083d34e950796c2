// Every op against torch: outputs and gradients of tests/golden/ops (made by make_ops.py).
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "io/safetensors.h"
#include "op_builds.h"

enum { NAME_BYTES = 96 };

struct golden {
    struct safetensors *file;
    const struct op_build *build;
    char name[NAME_BYTES]; // of the case
    char names[OP_CASE_MAX_IN + OP_CASE_MAX_PARAMS][NAME_BYTES];
    struct pyramid pyramid;
};

static const struct safetensors_entry *entry(const struct golden *g, const char *prefix,
                                             const char *name, const char *suffix)
{
    char key[3 * NAME_BYTES];
    (void)snprintf(key, sizeof key, "%s/%s%s%s", g->name, prefix, name, suffix);
    return safetensors_find(g->file, key);
}

static struct shape shape_of(const struct safetensors_entry *e)
{
    struct shape s = {.n_dims = e->n_dims};
    ASSERT(e->n_dims <= TENSOR_MAX_DIMS);
    for (int i = 0; i < e->n_dims; i++) s.dim[i] = e->dim[i];
    return s;
}

// Splits "?name:kind" off a list; false at its end.
static bool next_word(const char **list, char name[NAME_BYTES], char *kind, bool *optional)
{
    int n = 0;
    char word[NAME_BYTES];
    if (sscanf(*list, "%95s%n", word, &n) != 1) return false;
    *list += n;
    char *colon = strchr(word, ':');
    *optional = word[0] == '?';
    *kind = colon[1];
    *colon = '\0';
    (void)snprintf(name, NAME_BYTES, "%s", word + *optional);
    return true;
}

static void add_input(struct golden *g, struct op_case *c, const char *name, char kind,
                      bool optional)
{
    const struct safetensors_entry *e = entry(g, "", name, "");
    struct op_input *in = &c->in[c->n_in];
    char *copy = g->names[c->n_in++];
    if (e == NULL) {
        if (!optional) test_fail(__FILE__, __LINE__, "%s: no %s in the file", g->name, name);
        return;
    }
    (void)snprintf(copy, NAME_BYTES, "%s", name);
    *in = (struct op_input){.name = copy,
                            .place = kind == 'c'   ? OP_PLACE_COMPUTE
                                     : kind == 'f' ? OP_PLACE_F32
                                                   : OP_PLACE_I32,
                            .shape = shape_of(e),
                            .data = e->data,
                            .grad = entry(g, "d", name, "") != NULL};
}

static void add_param(struct golden *g, struct op_case *c, const char *name, char kind,
                      bool optional)
{
    const struct safetensors_entry *e = entry(g, "", name, ""), *scale = entry(g, "", "scale", "");
    struct op_param *p = &c->param[c->n_params];
    char *copy = g->names[OP_CASE_MAX_IN + c->n_params++];
    if (e == NULL) {
        if (!optional) test_fail(__FILE__, __LINE__, "%s: no %s in the file", g->name, name);
        return;
    }
    (void)snprintf(copy, NAME_BYTES, "%s", name);
    *p = (struct op_param){.name = copy,
                           .kind = kind == 'w'   ? PARAM_KIND_WEIGHT
                                   : kind == 'b' ? PARAM_KIND_BIAS
                                   : kind == 'n' ? PARAM_KIND_NORM
                                                 : PARAM_KIND_BUFFER,
                           .shape = shape_of(e),
                           .data = e->data,
                           .scale = kind == 'w' && scale != NULL ? scale->data : NULL,
                           .trainable = entry(g, "d", name, "") != NULL};
}

// "x*": x0, x1, ... as many as there are.
static void add_maps(struct golden *g, struct op_case *c)
{
    char name[NAME_BYTES];
    for (int i = 0; i < OP_CASE_MAX_IN; i++) {
        (void)snprintf(name, sizeof name, "x%d", i);
        if (entry(g, "", name, "") == NULL) return;
        add_input(g, c, name, 'c', false);
    }
}

static void add_pyramid(struct golden *g, struct op_case *c)
{
    const struct safetensors_entry *grids = entry(g, "", "grids", ""),
                                   *group = entry(g, "", "group", ""),
                                   *slot = entry(g, "", "slot", "");
    if (grids == NULL) return;
    int32_t n_groups = 1;
    for (size_t i = 0; i < group->n; i++)
        if (((const int32_t *)group->data)[i] >= n_groups)
            n_groups = ((const int32_t *)group->data)[i] + 1;
    g->pyramid = (struct pyramid){.n_images = (int32_t)group->n,
                                  .n_groups = n_groups,
                                  .n_levels = (int32_t)grids->dim[0] / n_groups,
                                  .n_anchors = c->i[0], // gather_patches
                                  .grids = grids->data,
                                  .group = group->data,
                                  .slot = slot->data};
    c->pyramid = &g->pyramid;
}

static void read_case(struct golden *g, struct op_case *c)
{
    char name[NAME_BYTES], kind;
    bool optional;
    *c = (struct op_case){.name = g->name, .build = g->build->build};
    const struct safetensors_entry *i = entry(g, "", "i", ""), *f = entry(g, "", "f", "");
    memcpy(c->i, i->data, i->n * sizeof *c->i);
    memcpy(c->f, f->data, f->n * sizeof *c->f);
    for (const char *list = g->build->in; next_word(&list, name, &kind, &optional);) {
        if (strcmp(name, "x*") == 0)
            add_maps(g, c);
        else
            add_input(g, c, name, kind, optional);
    }
    for (const char *list = g->build->params; next_word(&list, name, &kind, &optional);)
        add_param(g, c, name, kind, optional);
    add_pyramid(g, c);
}

// fp32: what summing a few hundred terms in another order may do. bf16: 8 bits of mantissa.
static struct tolerance tolerance_of(enum dtype compute)
{
    double t = compute == DTYPE_F32 ? 1e-5 : 2e-2;
    return (struct tolerance){.relative_l2 = t, .of_largest = t};
}

static void compare(const struct golden *g, const struct device *d, const char *what,
                    const struct safetensors_entry *want, const float *got)
{
    char text[3 * NAME_BYTES];
    struct tolerance t = tolerance_of(d->compute);
    (void)snprintf(text, sizeof text, "%s %s %s in %s", g->build->op, g->name, what,
                   dtype_name(d->compute));
    if (got == NULL)
        test_fail(__FILE__, __LINE__, "%s: nothing came back", text);
    else
        test_close(__FILE__, __LINE__, text, got, want->data, want->n, t);
}

static void run_case(struct golden *g, struct device *d)
{
    struct op_case c;
    struct op_result r;
    read_case(g, &c);
    const struct safetensors_entry *y = entry(g, "", "y", ""), *dy = entry(g, "", "dy", ""), *e;
    if (op_case_run(d, &c, dy->data, &r)) {
        EXPECT_EQ(r.n_y, y->n);
        compare(g, d, "y", y, r.y);
        for (int i = 0; i < c.n_in; i++)
            if (c.in[i].grad && (e = entry(g, "d", c.in[i].name, ""))->n > 0 && dy->n > 0)
                compare(g, d, g->names[i], e, r.din[i]);
        for (int i = 0; i < c.n_params; i++) {
            if (c.param[i].name == NULL) continue;
            const char *name = c.param[i].name;
            if (c.param[i].trainable) compare(g, d, name, entry(g, "d", name, ""), r.dparam[i]);
            if ((e = entry(g, "", name, "_after")) != NULL) compare(g, d, name, e, r.value[i]);
        }
    }
    op_result_free(&r);
}

static void run_file(const char *op, struct device *d)
{
    char path[NAME_BYTES];
    struct golden g = {.build = op_builds_find(op)};
    (void)snprintf(path, sizeof path, "tests/golden/ops/%s.safetensors", op);
    EXPECT_OK(safetensors_open(test_source_path(path), &g.file));
    if (g.file == NULL) return;
    int n = 0;
    for (const char *list = safetensors_metadata(g.file, "cases"); *list != '\0'; n++) {
        size_t length = strcspn(list, ",");
        (void)snprintf(g.name, sizeof g.name, "%.*s", (int)length, list);
        run_case(&g, d);
        list += length + (list[length] == ',');
    }
    EXPECT(n >= 2);
    safetensors_close(g.file);
}

static void run_op(const char *op)
{
    static const enum dtype precisions[] = {DTYPE_F32, DTYPE_BF16};
    for (size_t i = 0; i < COUNT(precisions); i++) {
        struct device *d = op_case_device(precisions[i]);
        if (d != NULL) run_file(op, d);
        device_close(d);
    }
}

#define GOLDEN(op)                                                                                 \
    TEST(op##_equals_torch)                                                                        \
    {                                                                                              \
        run_op(#op);                                                                               \
    }

GOLDEN(conv2d)
GOLDEN(linear)
GOLDEN(linear_pair)
GOLDEN(group_norm)
GOLDEN(batch_norm)
GOLDEN(max_pool2d)
GOLDEN(upsample_add)
GOLDEN(reshape)
GOLDEN(roi_align)
GOLDEN(gather_patches)
GOLDEN(softmax_ce)
GOLDEN(sigmoid_bce)
GOLDEN(smooth_l1)

TEST_MAIN()
