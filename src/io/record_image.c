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
