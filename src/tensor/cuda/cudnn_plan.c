// Choosing an engine for a graph, and running it.
#include "tensor/cuda/cudnn_plan.h"

#include "core/mem.h"
#include "tensor/tensor.h"

typedef cudnnBackendDescriptor_t descriptor;

enum { MAX_CONFIGS = 64, MAX_OPERANDS = 6 };

// Configurations that one mode of the heuristics named, best first.
struct configs {
    descriptor heuristics, config[MAX_CONFIGS];
    int64_t n;
};

static void configs_fini(const struct cudnn_library *l, struct configs *c)
{
    for (int i = 0; i < MAX_CONFIGS; i++)
        if (c->config[i] != NULL) (void)l->destroy_descriptor(c->config[i]);
    if (c->heuristics != NULL) (void)l->destroy_descriptor(c->heuristics);
}

static status ask(const struct cudnn_target *t, descriptor graph, cudnnBackendHeurMode_t mode,
                  struct configs *out)
{
    const struct cudnn_library *l = t->library;
    TRY_CUDNN(l->create_descriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &out->heuristics));
    TRY_CUDNN(l->set_attribute(out->heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                               CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph));
    TRY_CUDNN(l->set_attribute(out->heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1,
                               &mode));
    if (t->property != NULL)
        TRY_CUDNN(l->set_attribute(out->heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
                                   CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &t->property));
    TRY_CUDNN(l->finalize(out->heuristics));
    for (int i = 0; i < MAX_CONFIGS; i++)
        TRY_CUDNN(l->create_descriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &out->config[i]));
    TRY_CUDNN(l->get_attribute(out->heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                               CUDNN_TYPE_BACKEND_DESCRIPTOR, MAX_CONFIGS, &out->n, out->config));
    if (out->n > MAX_CONFIGS) out->n = MAX_CONFIGS;
    return OK;
}

static status read_notes(const struct cudnn_library *l, descriptor config, struct cudnn_plan *p)
{
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    descriptor engine = NULL;
    int64_t n = 0;
    TRY_CUDNN(l->create_descriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine));
    cudnnStatus_t code = l->get_attribute(config, CUDNN_ATTR_ENGINECFG_ENGINE,
                                          CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n, &engine);
    if (code == CUDNN_STATUS_SUCCESS)
        code = l->get_attribute(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &n,
                                &p->engine);
    if (code == CUDNN_STATUS_SUCCESS)
        code = l->get_attribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &n, notes);
    p->notes = 0;
    for (int64_t i = 0; code == CUDNN_STATUS_SUCCESS && i < n; i++) p->notes |= 1U << notes[i];
    (void)l->destroy_descriptor(engine);
    TRY_CUDNN(code);
    return OK;
}

// Tensor cores round fp32 to TF32 on the way in, which fp32 is not to have done to it. Sums are
// fp32's whatever the operands are.
static bool allowed(const struct cudnn_graph_desc *d, unsigned notes)
{
    if (notes & 1U << CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION) return false;
    const unsigned rounds =
        1U << CUDNN_NUMERICAL_NOTE_TENSOR_CORE | 1U << CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
    if (d->dtype == DTYPE_F32 && !d->any_rounding && (notes & rounds) != 0) return false;
    return d->any_order || (notes & 1U << CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) == 0;
}

// A plan of what is given under name.
static status finish(const struct cudnn_target *t, cudnnBackendAttributeName_t name,
                     cudnnBackendAttributeType_t type, int64_t n_values, const void *values,
                     struct cudnn_plan *p)
{
    const struct cudnn_library *l = t->library;
    int64_t n = 0, bytes = 0;
    p->measured_ms = -1;
    TRY_CUDNN(l->create_descriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &p->descriptor));
    TRY_CUDNN(l->set_attribute(p->descriptor, name, type, n_values, values));
    if (t->property != NULL)
        TRY_CUDNN(l->set_attribute(p->descriptor, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
                                   CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &t->property));
    if (t->handle != NULL)
        TRY_CUDNN(l->set_attribute(p->descriptor, CUDNN_ATTR_EXECUTION_PLAN_HANDLE,
                                   CUDNN_TYPE_HANDLE, 1, &t->handle));
    TRY_CUDNN(l->finalize(p->descriptor));
    TRY_CUDNN(l->get_attribute(p->descriptor, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                               CUDNN_TYPE_INT64, 1, &n, &bytes));
    p->workspace_bytes = bytes > 0 ? (size_t)bytes : 0;
    return OK;
}

status cudnn_plan_finish(const struct cudnn_target *target, descriptor config, struct cudnn_plan *p)
{
    return finish(target, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                  &config, p);
}

status cudnn_plan_restore(const struct cudnn_target *target, const char *text, size_t n,
                          struct cudnn_plan *out)
{
    *out = (struct cudnn_plan){.engine = -1};
    return finish(target, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                  (int64_t)n, text, out);
}

status cudnn_plan_text(const struct cudnn_library *l, const struct cudnn_plan *p, char **text,
                       size_t *n)
{
    const cudnnBackendAttributeName_t name = CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION;
    int64_t room = 0, got = 0;
    *text = NULL;
    TRY_CUDNN(l->get_attribute(p->descriptor, name, CUDNN_TYPE_CHAR, 0, &room, NULL));
    REQUIRE(room > 0, E_DEVICE, "cuDNN: a plan without a text");
    TRY(mem_alloc(text, (size_t)room));
    cudnnStatus_t code = l->get_attribute(p->descriptor, name, CUDNN_TYPE_CHAR, room, &got, *text);
    *n = (size_t)(got < room ? got : room);
    if (code == CUDNN_STATUS_SUCCESS) return OK;
    mem_free(*text);
    *text = NULL;
    TRY_CUDNN(code);
    return OK;
}

static status visit_mode(const struct cudnn_target *t, const struct cudnn_graph_desc *d,
                         descriptor graph, cudnnBackendHeurMode_t mode,
                         const struct cudnn_plan_visitor *v, struct cudnn_plan_visited *to)
{
    struct configs c = {.n = 0};
    status st = OK;
    TRY_GOTO(st, ask(t, graph, mode, &c), out);
    to->offered += (int)c.n;
    for (int64_t i = 0; i < c.n && !(v->one && to->made > 0); i++) {
        struct cudnn_plan p = {.fallback = mode == CUDNN_HEUR_MODE_FALLBACK};
        bool made = false;
        TRY_GOTO(st, read_notes(t->library, c.config[i], &p), out);
        if (!allowed(d, p.notes)) continue;
        TRY_GOTO(st, v->visit(v->context, t, c.config[i], &p, &made), out);
        to->made += made;
    }
out:
    configs_fini(t->library, &c);
    return st;
}

status cudnn_plan_visit(const struct cudnn_target *t, const struct cudnn_graph_desc *d,
                        const struct cudnn_plan_visitor *v, struct cudnn_plan_visited *out)
{
    struct cudnn_graph g;
    status st = OK;
    *out = (struct cudnn_plan_visited){0};
    TRY_GOTO(st, cudnn_graph_build(t->library, t->handle, d, &g), out);
    descriptor graph = cudnn_graph_descriptor(&g);
    TRY_GOTO(st, visit_mode(t, d, graph, CUDNN_HEUR_MODE_A, v, out), out);
    if (out->made == 0)
        TRY_GOTO(st, visit_mode(t, d, graph, CUDNN_HEUR_MODE_FALLBACK, v, out), out);
    if (out->made == 0) {
        char text[CUDNN_GRAPH_TEXT_BYTES];
        error_set(__FILE__, __LINE__, "cuDNN has no engine for %s (%d offered)",
                  cudnn_graph_text(d, text), out->offered);
        st = E_UNSUPPORTED;
    }
out:
    cudnn_graph_fini(&g);
    return st;
}

static status take(void *context, const struct cudnn_target *t, descriptor config,
                   struct cudnn_plan *p, bool *made)
{
    struct cudnn_plan *out = context;
    *made = cudnn_plan_finish(t, config, p) == OK;
    if (*made) {
        *out = *p;
        return OK;
    }
    cudnn_plan_fini(t->library, p); // refused after all: the next
    error_clear();
    return OK;
}

status cudnn_plan_choose(const struct cudnn_target *target, const struct cudnn_graph_desc *d,
                         struct cudnn_plan *out)
{
    const struct cudnn_plan_visitor first = {.visit = take, .context = out, .one = true};
    struct cudnn_plan_visited visited;
    *out = (struct cudnn_plan){.engine = -1};
    status st = cudnn_plan_visit(target, d, &first, &visited);
    out->offered = visited.offered;
    return st;
}

void cudnn_plan_fini(const struct cudnn_library *l, struct cudnn_plan *p)
{
    if (p->descriptor != NULL) (void)l->destroy_descriptor(p->descriptor);
    p->descriptor = NULL;
}

static status fill(const struct cudnn_library *l, descriptor pack,
                   const struct cudnn_operands *operands, void *workspace)
{
    const void *all[] = {operands->x, operands->w, operands->y,
                         operands->b, operands->z, operands->m};
    const int64_t letters[] = {'x', 'w', 'y', 'b', 'z', 'm'};
    const void *pointers[MAX_OPERANDS];
    int64_t ids[MAX_OPERANDS], n = 0;
    for (int i = 0; i < MAX_OPERANDS; i++) {
        if (all[i] == NULL) continue;
        ids[n] = letters[i];
        pointers[n++] = all[i];
    }
    TRY_CUDNN(l->set_attribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, ids));
    TRY_CUDNN(l->set_attribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n,
                               pointers));
    TRY_CUDNN(l->set_attribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1,
                               &workspace));
    TRY_CUDNN(l->finalize(pack));
    return OK;
}

status cudnn_plan_run(const struct cudnn_library *l, cudnnHandle_t handle,
                      const struct cudnn_plan *p, const struct cudnn_operands *operands,
                      void *workspace)
{
    descriptor pack = NULL;
    TRY_CUDNN(l->create_descriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack));
    status st = fill(l, pack, operands, workspace);
    if (st == OK)
        st = cudnn_library_check(l, l->execute(handle, p->descriptor, pack), __FILE__, __LINE__,
                                 "execute");
    (void)l->destroy_descriptor(pack);
    return st;
}
