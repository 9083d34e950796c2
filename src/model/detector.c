// Which model answers to which name.
#include "model/detector.h"

#include <string.h>

#include "core/mem.h"
#include "model/faster_rcnn.h"

static const struct detector_ops *const models[] = {&faster_rcnn_ops};

status detector_create(const struct config_model *c, int n_labels, struct device *d,
                       struct detector **out)
{
    for (size_t i = 0; i < COUNT(models); i++)
        if (strcmp(models[i]->name, c->name) == 0) return models[i]->create(c, n_labels, d, out);
    FAIL(E_ARG, "model.name %s is unknown; want faster_rcnn", c->name);
}

void detector_destroy(struct detector *m)
{
    if (m != NULL) m->ops->destroy(m);
}

struct params *detector_params(const struct detector *m)
{
    return m->params;
}

status detector_init(struct detector *m, uint64_t seed)
{
    return m->ops->init(m, seed);
}

status detector_refresh(struct detector *m)
{
    return m->ops->refresh(m);
}

status detector_losses(struct detector *m, struct tape *t, const struct detector_batch *b,
                       uint64_t seed, uint64_t epoch, struct detector_losses *out)
{
    return m->ops->losses(m, t, b, seed, epoch, out);
}

status detector_detect(struct detector *m, struct tape *t, const struct detector_batch *b,
                       struct detector_result *out)
{
    return m->ops->detect(m, t, b, out);
}

void detector_result_fini(struct detector_result *r)
{
    mem_free(r->items);
    mem_free(r->offset);
    memset(r, 0, sizeof *r);
}
