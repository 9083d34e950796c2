// JPEG files; pictures of more pixels than a fuzzer has time for are only measured.
#include "fuzz/fuzz.h"
#include "io/jpeg.h"

enum { MOST_PIXELS = 1 << 18 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    int32_t h, w;
    struct image image = {0};
    status st = jpeg_size(data, n, &h, &w);
    fuzz_expect(st);
    if (st != OK || (int64_t)h * w > MOST_PIXELS) return 0;
    st = jpeg_decode(data, n, &image);
    fuzz_expect(st);
    if (st == OK) ASSERT(image.h == h && image.w == w && image.pixels != NULL);
    image_fini(&image);
    return 0;
}
