// What a GPU does later, the CPU has done at once: boxes hold copies, nothing is captured.
#include <string.h>

#include "core/mem.h"
#include "tensor/cpu/onednn_internal.h"

status cpu_post(struct stream *s, int box, const void *from, size_t bytes)
{
    ASSERT(box >= 0 && box < BACKEND_BOXES);
    TRY(mem_grow(&s->boxes[box], &s->box_bytes[box], bytes));
    if (bytes > 0) memcpy(s->boxes[box], from, bytes);
    return OK;
}

status cpu_fetch(struct stream *s, int box, void *to, size_t bytes)
{
    ASSERT(box >= 0 && box < BACKEND_BOXES && bytes <= s->box_bytes[box]);
    if (bytes > 0) memcpy(to, s->boxes[box], bytes);
    return OK;
}

status cpu_capture_begin(struct stream *s)
{
    (void)s;
    FAIL(E_UNSUPPORTED, "the CPU backend captures no work");
}

status cpu_capture_end(struct stream *s, struct capture **out)
{
    (void)s, (void)out;
    FAIL(E_UNSUPPORTED, "the CPU backend captures no work");
}

status cpu_capture_run(struct stream *s, struct capture *c)
{
    (void)s, (void)c;
    FAIL(E_UNSUPPORTED, "the CPU backend captures no work");
}

void cpu_capture_free(struct stream *s, struct capture *c)
{
    (void)s, (void)c;
}
