// The CPU's stream: threads, and oneDNN's engine.
#include <omp.h>

#include "core/mem.h"
#include "tensor/cpu/dnnl_internal.h"

const char *dnnl_status_name(dnnl_status_t code)
{
    switch (code) {
    case dnnl_success:
        return "done";
    case dnnl_out_of_memory:
        return "out of memory";
    case dnnl_invalid_arguments:
        return "invalid arguments";
    case dnnl_unimplemented:
        return "not implemented for this processor";
    default:
        return "failed";
    }
}

static status open_engine(struct stream *s)
{
    TRY_DNNL(dnnl_engine_create(&s->engine, dnnl_cpu, 0));
    TRY_DNNL(dnnl_stream_create(&s->stream, s->engine, dnnl_stream_default_flags));
    return OK;
}

status cpu_open(int threads, struct stream **out)
{
    REQUIRE(threads >= 0, E_ARG, "cpu: %d threads, want 0 (all) or more", threads);
    struct stream *s = NULL;
    TRY(mem_zalloc(&s, 1));
    s->threads = threads > 0 ? threads : omp_get_num_procs();
    status st = OK;
    TRY_GOTO(st, open_engine(s), out);
    *out = s;
    s = NULL;
out:
    cpu_close(s);
    return st;
}

void cpu_close(struct stream *s)
{
    if (s == NULL) return;
    if (s->stream != NULL) (void)dnnl_stream_destroy(s->stream);
    if (s->engine != NULL) (void)dnnl_engine_destroy(s->engine);
    mem_free(s);
}

int cpu_threads(const struct stream *s)
{
    return s->threads;
}
