// A struct dx_epilogue around kernels that add in place.
#ifndef SHOAL_TENSOR_CPU_DX_EPILOGUE_H
#define SHOAL_TENSOR_CPU_DX_EPILOGUE_H

#include "tensor/cpu/cpu_internal.h"

// Before a kernel that adds to dx (n elements) where e->add is not NULL: what it adds to is there.
MUST_USE status dx_epilogue_begin(struct stream *s, enum dtype dtype, int64_t n,
                                  const struct dx_epilogue *e, void *dx);
// After it: the mask.
MUST_USE status dx_epilogue_end(struct stream *s, enum dtype dtype, int64_t n,
                                const struct dx_epilogue *e, void *dx);

#endif
