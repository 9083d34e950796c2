// The CPU's stream: threads, oneDNN's engine, the cache of plans, and scratch memory.
#include "tensor/cpu/onednn_internal.h"

#include <omp.h>
#include <string.h>

#include "core/mem.h"

status onednn_check(dnnl_status_t code, const char *file, int line, const char *call)
{
    if (code == dnnl_success) return OK;
    const char *what = code == dnnl_out_of_memory       ? "out of memory"
                       : code == dnnl_unimplemented     ? "not implemented for this processor"
                       : code == dnnl_invalid_arguments ? "invalid arguments"
                                                        : "failed";
    error_set(file, line, "oneDNN: %s (%s)", what, call);
    return code == dnnl_out_of_memory   ? E_NOMEM
           : code == dnnl_unimplemented ? E_UNSUPPORTED
                                        : E_DEVICE;
}

static status open_engine(struct stream *s)
{
    TRY_DNNL(dnnl_engine_create(&s->engine, dnnl_cpu, 0));
    TRY_DNNL(dnnl_stream_create(&s->stream, s->engine, dnnl_stream_default_flags));
    TRY(mem_zalloc(&s->plans, ONEDNN_MAX_PLANS));
    TRY(mem_zalloc(&s->weights, ONEDNN_MAX_WEIGHTS));
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

static void call_drop(struct onednn_call *c)
{
    for (int i = 0; i < c->n_args; i++)
        if (c->args[i].memory != NULL) (void)dnnl_memory_destroy(c->args[i].memory);
    if (c->primitive != NULL) (void)dnnl_primitive_destroy(c->primitive);
}

static void plan_destroy(struct onednn_plan *p)
{
    if (p == NULL) return;
    call_drop(&p->call);
    call_drop(&p->repack);
    mem_free(p);
}

void cpu_close(struct stream *s)
{
    if (s == NULL) return;
    for (int i = 0; i < ONEDNN_N_SCRATCH; i++) mem_free(s->scratch[i]);
    for (int i = 0; i < BACKEND_BOXES; i++) mem_free(s->boxes[i]);
    onednn_drop_weights(s);
    for (int i = 0; i < s->n_plans; i++) plan_destroy(s->plans[i].plan);
    mem_free(s->weights);
    mem_free(s->plans);
    if (s->stream != NULL) (void)dnnl_stream_destroy(s->stream);
    if (s->engine != NULL) (void)dnnl_engine_destroy(s->engine);
    mem_free(s);
}

int cpu_threads(const struct stream *s)
{
    return s->threads;
}

void onednn_enter(const struct stream *s)
{
    omp_set_num_threads(s->threads);
}

status onednn_scratch(struct stream *s, enum onednn_scratch use, size_t bytes, void *pp)
{
    if (s->scratch_bytes[use] < bytes || s->scratch[use] == NULL) {
        mem_free(s->scratch[use]);
        s->scratch[use] = NULL;
        s->scratch_bytes[use] = 0;
        TRY(mem_alloc_aligned(bytes, &s->scratch[use]));
        s->scratch_bytes[use] = bytes;
    }
    memcpy(pp, &s->scratch[use], sizeof s->scratch[use]);
    return OK;
}

dnnl_data_type_t onednn_type(int32_t dtype)
{
    ASSERT(dtype == DTYPE_F32 || dtype == DTYPE_BF16);
    return dtype == DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
}

struct onednn_layout onednn_layout_nhwc(int32_t n, int32_t h, int32_t w, int32_t c, int32_t dtype)
{
    return (struct onednn_layout){4, {n, c, h, w}, onednn_type(dtype), dnnl_nhwc};
}

struct onednn_layout onednn_layout_ohwi(int32_t o, int32_t h, int32_t w, int32_t i, int32_t dtype)
{
    return (struct onednn_layout){4, {o, i, h, w}, onednn_type(dtype), dnnl_ohwi};
}

struct onednn_layout onednn_layout_vector(int32_t n)
{
    return (struct onednn_layout){1, {n}, dnnl_f32, dnnl_a};
}

static status add_arg(struct stream *s, struct onednn_call *c, int arg, onednn_desc desc)
{
    REQUIRE(desc != NULL, E_DEVICE, "oneDNN: the primitive has no argument %d", arg);
    c->args[c->n_args] = (dnnl_exec_arg_t){.arg = arg};
    TRY_DNNL(dnnl_memory_create(&c->args[c->n_args].memory, desc, s->engine, DNNL_MEMORY_NONE));
    c->n_args++;
    return OK;
}

static status call_make(struct stream *s, struct onednn_call *c, dnnl_primitive_desc_t pd,
                        const int *args, int n_args)
{
    ASSERT(n_args <= ONEDNN_MAX_ARGS);
    TRY_DNNL(dnnl_primitive_create(&c->primitive, pd));
    for (int i = 0; i < n_args; i++)
        TRY(add_arg(s, c, args[i],
                    dnnl_primitive_desc_query_md(pd, dnnl_query_exec_arg_md, args[i])));
    onednn_desc scratch = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    c->scratch_bytes = dnnl_memory_desc_get_size(scratch);
    return c->scratch_bytes == 0 ? OK : add_arg(s, c, DNNL_ARG_SCRATCHPAD, scratch);
}

status onednn_plan_make(struct stream *s, struct onednn_plan *p, dnnl_primitive_desc_t pd,
                        const int *args, int n_args)
{
    status st = call_make(s, &p->call, pd, args, n_args);
    (void)dnnl_primitive_desc_destroy(pd);
    return st;
}

dnnl_memory_t onednn_plan_arg(const struct onednn_plan *p, int arg)
{
    for (int i = 0; i < p->call.n_args; i++)
        if (p->call.args[i].arg == arg) return p->call.args[i].memory;
    return NULL;
}

static status make_repack(struct stream *s, struct onednn_call *c, onednn_desc from, onednn_desc to,
                          bool sum)
{
    dnnl_primitive_desc_t pd = NULL;
    TRY_DNNL(onednn_version_reorder(s->engine, from, to, sum, &pd));
    status st = call_make(s, c, pd, (int[]){DNNL_ARG_FROM, DNNL_ARG_TO}, 2);
    (void)dnnl_primitive_desc_destroy(pd);
    return st;
}

status onednn_plan_repack(struct stream *s, struct onednn_plan *p, int arg,
                          const struct onednn_layout *ours, bool out, bool sum)
{
    dnnl_memory_t plain = NULL;
    onednn_desc theirs = NULL, mine = NULL;
    TRY_DNNL(dnnl_memory_get_memory_desc(onednn_plan_arg(p, arg), &theirs));
    p->packed_bytes = dnnl_memory_desc_get_size(theirs);
    TRY_DNNL(onednn_version_memory(s->engine, ours, &plain));
    status st = onednn_check(dnnl_memory_get_memory_desc(plain, &mine), __FILE__, __LINE__,
                             "dnnl_memory_get_memory_desc");
    if (st == OK && dnnl_memory_desc_equal(theirs, mine) == 0)
        st = out ? make_repack(s, &p->repack, theirs, mine, sum)
                 : make_repack(s, &p->repack, mine, theirs, sum);
    (void)dnnl_memory_destroy(plain);
    return st;
}

// Keys are cleared before they are filled, so their bytes tell.
static const unsigned char *bytes_of(const struct onednn_key *key)
{
    return (const unsigned char *)key;
}

static uint64_t hash_of(const struct onednn_key *key)
{
    const unsigned char *bytes = bytes_of(key);
    uint64_t hash = 0xcbf29ce484222325U; // FNV-1a
    for (size_t i = 0; i < sizeof *key; i++) hash = (hash ^ bytes[i]) * 0x100000001b3U;
    return hash;
}

// Where the next plan goes: a free place, else that of the plan not used for the longest time.
static struct onednn_plan_entry *free_entry(struct stream *s)
{
    if (s->n_plans < ONEDNN_MAX_PLANS) return &s->plans[s->n_plans++];
    struct onednn_plan_entry *oldest = &s->plans[0];
    for (int i = 1; i < s->n_plans; i++)
        if (s->plans[i].used < oldest->used) oldest = &s->plans[i];
    plan_destroy(oldest->plan);
    oldest->plan = NULL;
    return oldest;
}

status onednn_plan(struct stream *s, const struct onednn_key *key, onednn_build *build,
                   struct onednn_plan **out)
{
    const uint64_t hash = hash_of(key);
    for (int i = 0; i < s->n_plans; i++) {
        struct onednn_plan_entry *e = &s->plans[i];
        if (e->hash != hash || memcmp(bytes_of(&e->key), bytes_of(key), sizeof *key) != 0) continue;
        e->used = ++s->clock;
        *out = e->plan;
        return OK;
    }
    struct onednn_plan *p = NULL;
    onednn_enter(s);
    TRY(mem_zalloc(&p, 1));
    status st = build(s, key, p);
    if (st != OK) {
        plan_destroy(p);
        return st;
    }
    *free_entry(s) =
        (struct onednn_plan_entry){.hash = hash, .used = ++s->clock, .key = *key, .plan = p};
    *out = p;
    return OK;
}

status onednn_set(struct onednn_plan *p, int arg, const void *data)
{
    dnnl_memory_t memory = onednn_plan_arg(p, arg);
    ASSERT(memory != NULL);
    TRY_DNNL(dnnl_memory_set_data_handle(memory, (void *)(uintptr_t)data));
    return OK;
}

static status execute(struct stream *s, struct onednn_call *c)
{
    if (c->scratch_bytes > 0) {
        void *scratch;
        TRY(onednn_scratch(s, ONEDNN_SCRATCH_LIBRARY, c->scratch_bytes, &scratch));
        TRY_DNNL(dnnl_memory_set_data_handle(c->args[c->n_args - 1].memory, scratch));
    }
    onednn_enter(s);
    TRY_DNNL(dnnl_primitive_execute(c->primitive, s->stream, c->n_args, c->args));
    TRY_DNNL(dnnl_stream_wait(s->stream));
    return OK;
}

status onednn_run(struct stream *s, struct onednn_plan *p)
{
    return execute(s, &p->call);
}

status onednn_repack(struct stream *s, struct onednn_plan *p, const void *from, void *to)
{
    struct onednn_call *c = &p->repack;
    TRY_DNNL(dnnl_memory_set_data_handle(c->args[0].memory, (void *)(uintptr_t)from));
    TRY_DNNL(dnnl_memory_set_data_handle(c->args[1].memory, to));
    return execute(s, c);
}
