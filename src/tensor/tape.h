// The tape: ops record themselves as they run, and the backward walk calls each op's own backward
// in reverse. Everything a step makes belongs to the tape and dies at tape_reset.
//
// Rules: activations' gradients are set on first use and added to afterwards (tape_grad says
// which); parameters' gradients always accumulate into the flat buffer that the trainer zeroes once
// a step.
#ifndef SHOAL_TENSOR_TAPE_H
#define SHOAL_TENSOR_TAPE_H

#include "tensor/device.h"
#include "tensor/param.h"

struct tape;
struct node;

struct op {
    const char *name;
    // Adds the gradients of the node's inputs. n->out->grad is there, or n->also's: nodes to which
    // nothing flowed back are passed over.
    status (*backward)(struct tape *t, struct node *n);
};

enum { NODE_MAX_PARAMS = 4 };

struct node {
    const struct op *op;
    int n_in, n_saved;
    struct tensor **in;        // inputs that may need a gradient; entries may be NULL
    struct tensor **saved;     // tensors whose data the backward reads: kept until it has run
    struct tensor *out, *also; // also: a second output, NULL but where an op has two
    struct param *param[NODE_MAX_PARAMS]; // parameters that get a gradient; NULL where none
    void *attr;                           // the op's own, in the tape's arena
};

// The only bridge outward.
struct tape_hooks {
    void *context;
    // A parameter's gradient is complete (its last recorded use has been walked).
    status (*grad_ready)(void *context, struct param *p);
};

MUST_USE status tape_create(struct device *d, struct tape **out);
void tape_destroy(struct tape *t);
// Forgets every node and gives all activations back.
void tape_reset(struct tape *t);
struct device *tape_device(const struct tape *t);
// Off: nothing is recorded (inference, parts without gradient). On at first.
void tape_set_recording(struct tape *t, bool on);
bool tape_recording(const struct tape *t);
void tape_set_hooks(struct tape *t, const struct tape_hooks *hooks); // NULL: none

// A new activation, not initialised; name is borrowed (a literal, or the layer's own).
MUST_USE status tape_tensor(struct tape *t, const char *name, enum dtype dtype, struct shape shape,
                            struct tensor **out);
// A tensor around memory that outlives the step (an input batch on a CPU); never freed by the tape.
MUST_USE status tape_wrap(struct tape *t, const char *name, enum dtype dtype, struct shape shape,
                          void *data, struct tensor **out);
// x's memory under another shape of as many elements; it lives until both are done with it.
MUST_USE status tape_view(struct tape *t, struct tensor *x, struct shape shape,
                          struct tensor **out);
// For a leaf that no op made (an input, in tests): asks for its gradient.
void tape_require_grad(struct tape *t, struct tensor *x);
// Scratch for the length of one call; give it back with tape_scratch_free.
MUST_USE status tape_scratch(struct tape *t, size_t bytes, void **out);
void tape_scratch_free(struct tape *t, void *p);
// Host memory that lives until tape_reset (attributes, small tables), aligned for anything.
MUST_USE status tape_arena(struct tape *t, size_t bytes, void *pp);
// The forward pass reads x no more: its memory is given back now, or when its last saved use has
// been walked. x may be NULL. Inputs made by tape_wrap are left alone.
void tape_drop(struct tape *t, struct tensor *x);

struct tape_record {
    const struct op *op;
    struct tensor *const *in;
    int n_in;
    struct tensor *const *saved; // entries may be NULL
    int n_saved;
    struct tensor *out, *also;   // also: a second output, or NULL
    struct param *const *params; // entries may be NULL or frozen: left out
    int n_params;
    const void *attr;
    size_t attr_bytes;
    bool relu; // out is a ReLU's output, and saved
};
// Records a node if recording is on and an input or parameter needs a gradient; out->needs_grad
// tells whether it did. Copies what it is given.
MUST_USE status tape_record(struct tape *t, const struct tape_record *r);

// Walks back from the roots (fp32), whose gradients are filled with seed. Gives activations and
// gradients back on the way; the roots' data and the gradients of leaves stay to be read. The tape
// can only be reset afterwards. Roots that were not recorded are passed over.
MUST_USE status tape_backward(struct tape *t, struct tensor *const *roots, int n_roots, float seed);
// For an op's backward: the gradient of x, NULL in *dx where x needs none. *accumulate is false on
// first use (the memory is not initialised: set it).
MUST_USE status tape_grad(struct tape *t, struct tensor *x, struct tensor **dx, bool *accumulate);
// For an op's backward that is about to give x's gradient the last of its parts, where x is a
// ReLU's output: x's data. The sum is then to be zeroed where they are not > 0, which the ReLU's
// own backward need not do again (tape_is_masked of its output). NULL where more is to come.
const void *tape_take_mask(struct tape *t, struct tensor *x);
bool tape_is_masked(const struct tensor *y);
// For an op's backward: saved tensor i has been read for the last time. Its memory may serve the
// gradients that are still to come: an input's gradient often has just its size.
void tape_done_with(struct tape *t, struct node *n, int i);
// For an op's backward whose input gradient equals dy: hands dy's memory over to x where x has no
// gradient yet, else adds. n->out->grad is gone afterwards where it was handed over; call it last.
MUST_USE status tape_pass_grad(struct tape *t, struct node *n, struct tensor *x);

#endif
