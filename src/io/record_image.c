// One image's record in memory.
#include "core/mem.h"
#include "io/dataset.h"

void record_image_fini(struct record_image *r)
{
    mem_free(r->id_text);
    mem_free(r->file_name);
    mem_free(r->jpeg);
    mem_free(r->annotations);
    mem_free(r->frame);
    *r = (struct record_image){0};
}

bool record_image_is_usable(const struct annotation *annotations, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (annotations[i].w > 1 && annotations[i].h > 1) return true;
    return false;
}
