// A record's payload: tf.train.Example. Reals of any kind get a pass; what was read is as promised.
#include "fuzz/fuzz.h"
#include "io/example.h"

static status visit(void *context, int64_t label, const char *text)
{
    size_t *sum = context;
    for (; *text != '\0'; text++) *sum += (size_t)label;
    return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct record_image image = {0};
    struct example_gaps gaps = {0};
    size_t sum = 0;
    status st = example_decode(data, n, &image, &gaps);
    fuzz_expect(st);
    if (st == OK) ASSERT(image.n_annotations >= 0 && (image.id_text != NULL) == !gaps.no_id);
    record_image_fini(&image);
    fuzz_expect(example_visit_names(data, n, visit, &sum));
    return 0;
}
