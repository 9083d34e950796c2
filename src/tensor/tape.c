// The tape: tensors, nodes and the arena of one step, and the walk back.
//
// Lifetimes. A tensor's memory goes back to the pool when the forward pass has dropped it, no
// recorded node still has it saved, and no view of it is alive. The walk drops a node's output once
// the node has been passed: every reader of it was recorded later and so walked before.
#include "tensor/tape.h"

#include <string.h>

#include "core/arena.h"
#include "core/mem.h"
#include "core/profile.h"

// What the tape knows of a tensor beside what ops see. The tensor comes first, so that one pointer
// is the other.
struct entry {
    struct tensor tensor;
    struct entry *base; // of a view on the tape: whose memory it shows
    int n_views;        // views that are alive
    int n_readers;      // recorded uses whose backward is still to come, this one with them
    bool relu, masked;  // see tape_take_mask
    bool has_node;      // made by a recorded op
    bool keep;          // a root: its data outlives the walk
    double born_s;      // profile_begin: ops make their output just before they run
    struct entry *next; // all tensors of the step
};

struct tape {
    struct device *device;
    bool recording, walked;
    struct tape_hooks hooks;
    struct arena arena; // of nodes, tensors and lists
    struct entry *entries;
    struct node **nodes;
    size_t n_nodes, capacity;
};

// Life of a tape.

status tape_create(struct device *d, struct tape **out)
{
    struct tape *t;
    TRY(mem_zalloc(&t, 1));
    t->device = d;
    t->recording = true;
    *out = t;
    return OK;
}

void tape_reset(struct tape *t)
{
    for (struct entry *e = t->entries; e != NULL; e = e->next) {
        if (e->tensor.view) continue;
        pool_give(t->device->pool, e->tensor.data);
        e->tensor.data = NULL;
    }
    t->entries = NULL;
    for (size_t i = 0; i < t->n_nodes; i++)
        for (int k = 0; k < NODE_MAX_PARAMS; k++)
            if (t->nodes[i]->param[k] != NULL) t->nodes[i]->param[k]->pending--;
    t->n_nodes = 0;
    t->walked = false;
    arena_reset(&t->arena);
}

void tape_destroy(struct tape *t)
{
    if (t == NULL) return;
    tape_reset(t);
    arena_fini(&t->arena);
    mem_free(t->nodes);
    mem_free(t);
}

status tape_arena(struct tape *t, size_t bytes, void *pp)
{
    return arena_take(&t->arena, bytes, pp);
}

struct device *tape_device(const struct tape *t)
{
    return t->device;
}

void tape_set_recording(struct tape *t, bool on)
{
    t->recording = on;
}

bool tape_recording(const struct tape *t)
{
    return t->recording;
}

void tape_set_hooks(struct tape *t, const struct tape_hooks *hooks)
{
    t->hooks = hooks != NULL ? *hooks : (struct tape_hooks){0};
}

// Tensors.

static struct entry *entry_of(struct tensor *x)
{
    return (struct entry *)(void *)x;
}

static status entry_create(struct tape *t, const char *name, enum dtype dtype, struct shape shape,
                           struct entry **out)
{
    struct entry *e;
    TRY(tape_arena(t, sizeof *e, &e));
    *e = (struct entry){.tensor = {.name = name, .dtype = dtype, .shape = shape}};
    e->next = t->entries;
    t->entries = e;
    *out = e;
    return OK;
}

status tape_tensor(struct tape *t, const char *name, enum dtype dtype, struct shape shape,
                   struct tensor **out)
{
    struct entry *e;
    TRY(entry_create(t, name, dtype, shape, &e));
    e->born_s = profile_begin();
    status st = pool_take(t->device->pool, tensor_bytes(&e->tensor), &e->tensor.data);
    if (st != OK) {
        char text[TENSOR_SHAPE_TEXT];
        error_prefix("%s %s %s", name, dtype_name(dtype), shape_text(&shape, text));
        return st;
    }
    *out = &e->tensor;
    return OK;
}

status tape_wrap(struct tape *t, const char *name, enum dtype dtype, struct shape shape, void *data,
                 struct tensor **out)
{
    struct entry *e;
    TRY(entry_create(t, name, dtype, shape, &e));
    e->tensor.data = data;
    e->tensor.view = true;
    *out = &e->tensor;
    return OK;
}

status tape_view(struct tape *t, struct tensor *x, struct shape shape, struct tensor **out)
{
    struct entry *e;
    ASSERT(x->data != NULL && shape_elements(&shape) == tensor_elements(x));
    TRY(entry_create(t, x->name, x->dtype, shape, &e));
    e->tensor.data = x->data;
    e->tensor.view = true;
    e->base = entry_of(x);
    e->base->n_views++;
    *out = &e->tensor;
    return OK;
}

void tape_require_grad(struct tape *t, struct tensor *x)
{
    ASSERT(t->recording && !entry_of(x)->has_node);
    x->needs_grad = true;
}

status tape_scratch(struct tape *t, size_t bytes, void **out)
{
    return pool_take(t->device->pool, bytes, out);
}

void tape_scratch_free(struct tape *t, void *p)
{
    pool_give(t->device->pool, p);
}

// Gives back the memory of tensors that nobody reads any more: e, and where e was the last view of
// another, that one too.
static void release_unused(struct tape *t, struct entry *e)
{
    while (e != NULL) {
        struct tensor *x = &e->tensor;
        bool wrapped = x->view && e->base == NULL;
        if (!x->dropped || x->n_saved > 0 || e->n_views > 0 || x->data == NULL || wrapped) return;
        if (x->view)
            e->base->n_views--;
        else if (t->walked) // its room is not wanted soon: gradients are on their way in
            pool_discard(t->device->pool, x->data);
        else
            pool_give(t->device->pool, x->data);
        x->data = NULL;
        e = e->base;
    }
}

void tape_drop(struct tape *t, struct tensor *x)
{
    if (x == NULL) return;
    x->dropped = true;
    release_unused(t, entry_of(x));
}

// Nodes.

static bool wants_grad(const struct tape_record *r)
{
    for (int i = 0; i < r->n_in; i++)
        if (r->in[i] != NULL && r->in[i]->needs_grad) return true;
    for (int i = 0; i < r->n_params; i++)
        if (r->params[i] != NULL && r->params[i]->trainable) return true;
    return false;
}

static status copy_tensors(struct tape *t, struct tensor *const *from, int n, struct tensor ***to)
{
    TRY(tape_arena(t, (size_t)n * sizeof *from, to));
    if (n > 0) memcpy(*to, from, (size_t)n * sizeof *from);
    return OK;
}

static status node_create(struct tape *t, const struct tape_record *r, struct node **out)
{
    struct node *n;
    TRY(tape_arena(t, sizeof *n, &n));
    *n = (struct node){
        .op = r->op, .n_in = r->n_in, .n_saved = r->n_saved, .out = r->out, .also = r->also};
    TRY(copy_tensors(t, r->in, r->n_in, &n->in));
    TRY(copy_tensors(t, r->saved, r->n_saved, &n->saved));
    if (r->attr_bytes > 0) {
        TRY(tape_arena(t, r->attr_bytes, &n->attr));
        memcpy(n->attr, r->attr, r->attr_bytes);
    }
    TRY(mem_grow(&t->nodes, &t->capacity, t->n_nodes + 1));
    *out = n;
    return OK;
}

static void record_output(struct tensor *y, bool relu)
{
    y->needs_grad = true;
    entry_of(y)->has_node = true;
    entry_of(y)->relu = relu;
}

status tape_record(struct tape *t, const struct tape_record *r)
{
    ASSERT(!t->walked && r->n_params <= NODE_MAX_PARAMS);
    profile_end(entry_of(r->out)->born_s, PROFILE_KIND_FORWARD, r->op->name, r->out->name);
    if (!t->recording || !wants_grad(r)) return OK;
    struct node *n;
    TRY(node_create(t, r, &n));
    for (int i = 0; i < r->n_saved; i++) {
        if (n->saved[i] == NULL) continue;
        ASSERT(n->saved[i]->data != NULL);
        n->saved[i]->n_saved++;
    }
    for (int i = 0; i < r->n_params; i++) {
        if (r->params[i] == NULL || !r->params[i]->trainable) continue;
        n->param[i] = r->params[i];
        n->param[i]->pending++;
    }
    for (int i = 0; i < r->n_in; i++)
        if (n->in[i] != NULL) entry_of(n->in[i])->n_readers++;
    record_output(r->out, r->relu);
    if (r->also != NULL) record_output(r->also, r->relu);
    t->nodes[t->n_nodes++] = n;
    return OK;
}

// The walk.

static void grad_free(struct tape *t, struct tensor *x)
{
    if (x == NULL || x->grad == NULL) return;
    pool_give(t->device->pool, x->grad->data);
    x->grad->data = NULL;
    x->grad = NULL;
}

static status seed_roots(struct tape *t, struct tensor *const *roots, int n_roots, float seed)
{
    for (int i = 0; i < n_roots; i++) {
        struct tensor *y = roots[i], *dy;
        bool accumulate;
        entry_of(y)->keep = true;
        if (!y->needs_grad) continue;
        REQUIRE(y->dtype == DTYPE_F32, E_ARG, "backward from %s: %s, want fp32", y->name,
                dtype_name(y->dtype));
        TRY(tape_grad(t, y, &dy, &accumulate));
        ASSERT(!accumulate);
        TRY(t->device->ops->fill(t->device->stream, tensor_elements(dy), seed, dy->data));
    }
    return OK;
}

static status params_done(struct tape *t, struct node *n)
{
    for (int i = 0; i < NODE_MAX_PARAMS; i++) {
        struct param *p = n->param[i];
        n->param[i] = NULL;
        if (p == NULL || --p->pending > 0 || t->hooks.grad_ready == NULL) continue;
        TRY(t->hooks.grad_ready(t->hooks.context, p));
    }
    return OK;
}

void tape_done_with(struct tape *t, struct node *n, int i)
{
    if (n->saved[i] == NULL) return;
    n->saved[i]->n_saved--;
    release_unused(t, entry_of(n->saved[i]));
    n->saved[i] = NULL;
}

// Every reader of it has been walked. y may be NULL.
static void output_done(struct tape *t, struct tensor *y)
{
    if (y != NULL && !entry_of(y)->keep) tape_drop(t, y);
}

static status walk_node(struct tape *t, struct node *n)
{
    double begin = profile_begin();
    if (n->out->grad != NULL || (n->also != NULL && n->also->grad != NULL)) {
        TRY(n->op->backward(t, n));
        profile_end(begin, PROFILE_KIND_BACKWARD, n->op->name, n->out->name);
    }
    grad_free(t, n->out);
    grad_free(t, n->also);
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] != NULL) entry_of(n->in[i])->n_readers--;
    for (int i = 0; i < n->n_saved; i++) tape_done_with(t, n, i);
    output_done(t, n->out);
    output_done(t, n->also);
    return params_done(t, n);
}

status tape_backward(struct tape *t, struct tensor *const *roots, int n_roots, float seed)
{
    ASSERT(!t->walked);
    t->walked = true;
    TRY(seed_roots(t, roots, n_roots, seed));
    for (; t->n_nodes > 0; t->n_nodes--) TRY(walk_node(t, t->nodes[t->n_nodes - 1]));
    return OK;
}

status tape_grad(struct tape *t, struct tensor *x, struct tensor **dx, bool *accumulate)
{
    *dx = NULL;
    *accumulate = false;
    if (!x->needs_grad) return OK;
    *accumulate = x->grad != NULL;
    if (x->grad == NULL) TRY(tape_tensor(t, x->name, x->dtype, x->shape, &x->grad));
    *dx = x->grad;
    return OK;
}

const void *tape_take_mask(struct tape *t, struct tensor *x)
{
    struct entry *e = entry_of(x);
    ASSERT(t->walked && e->n_readers > 0);
    if (!e->relu || e->n_readers > 1) return NULL;
    e->masked = true;
    return x->data;
}

bool tape_is_masked(const struct tensor *y)
{
    return ((const struct entry *)(const void *)y)->masked;
}

status tape_pass_grad(struct tape *t, struct node *n, struct tensor *x)
{
    struct tensor *dy = n->out->grad;
    if (!x->needs_grad) return OK;
    ASSERT(dy != NULL && dy->dtype == x->dtype && tensor_elements(dy) == tensor_elements(x));
    if (x->grad != NULL) {
        const struct device *d = t->device;
        return d->ops->add(d->stream, x->dtype, tensor_elements(x), dy->data, x->grad->data);
    }
    dy->shape = x->shape;
    dy->name = x->name;
    x->grad = dy;
    n->out->grad = NULL;
    return OK;
}
