// COCO instances: strictly, and leaving out what cannot be taken.
#include "fuzz/fuzz.h"
#include "io/coco.h"

#include <math.h>

static status ignore(void *context, const char *what)
{
    ASSERT(what[0] != '\0');
    ++*(int *)context;
    return OK;
}

static void check(const struct coco *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_images; i++) {
        ASSERT(c->images[i].first + c->images[i].n <= c->n_annotations);
        n += c->images[i].n;
        ASSERT(coco_find_image(c, &c->images[i].id) == (int64_t)i);
    }
    ASSERT(n == c->n_annotations);
    for (size_t i = 0; i < n; i++) {
        ASSERT(isfinite(c->annotations[i].x) && isfinite(c->annotations[i].h));
        ASSERT(coco_find_category(c, c->annotations[i].category_id) >= 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    int n_problems = 0;
    const struct coco_params ways[] = {
        {0}, {.problem = ignore, .context = &n_problems}, {.skip_strangers = true}};
    for (size_t i = 0; i < COUNT(ways); i++) {
        struct coco *c = NULL;
        status st = coco_read(fuzz_file(data, n), &ways[i], &c);
        fuzz_expect(st);
        if (st == OK) check(c);
        coco_destroy(c);
    }
    return 0;
}
