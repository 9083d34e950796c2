// A COCO results file, read against a small set of images.
#include "core/mem.h"
#include "fuzz/fuzz.h"
#include "io/coco.h"

#include <stdlib.h>
#include <string.h>

static struct coco *truth(void)
{
    static const char text[] =
        "{\"images\":[{\"id\":1},{\"id\":2},{\"id\":\"a\"},{\"id\":900000000}],\"annotations\":[],"
        "\"categories\":[{\"id\":1,\"name\":\"x\"},{\"id\":3,\"name\":\"y\"}]}";
    static struct coco *c; // for the process, so that a leak checker finds it
    const struct coco_params params = {0};
    if (c == NULL && coco_read(fuzz_file((const uint8_t *)text, strlen(text)), &params, &c) != OK)
        abort();
    return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct coco *of = truth();
    struct coco_detection *found = NULL;
    size_t n_found = 0;
    status st = coco_results_read(fuzz_file(data, n), of, &found, &n_found);
    fuzz_expect(st);
    for (size_t i = 0; st == OK && i < n_found; i++) ASSERT(found[i].image < of->n_images);
    if (st == OK) mem_free(found);
    return 0;
}
