// A picture's memory.
#include "io/image.h"

#include "core/mem.h"

status image_init(int32_t h, int32_t w, struct image *out)
{
    ASSERT(h >= 1 && w >= 1);
    *out = (struct image){0};
    TRY(mem_alloc(&out->pixels, (size_t)h * (size_t)w * 3));
    out->h = h;
    out->w = w;
    return OK;
}

void image_fini(struct image *image)
{
    mem_free(image->pixels);
    *image = (struct image){0};
}
