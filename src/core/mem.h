// Memory: overflow-checked, countable, and failing on request so that tests reach every error path.
#ifndef SHOAL_CORE_MEM_H
#define SHOAL_CORE_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

// mem_alloc(&p, n): n elements of *p, not initialised. n = 0 gives a pointer that may be freed.
// mem_zalloc(&p, n): the same, zeroed.
// mem_resize(&p, n): keeps the old elements; on failure *p is untouched.
// All fail with E_NOMEM, naming the size asked for.
#define mem_alloc(pp, n)  mem_alloc_bytes((n), sizeof **(pp), (pp))
#define mem_zalloc(pp, n) mem_zalloc_bytes((n), sizeof **(pp), (pp))
#define mem_resize(pp, n) mem_resize_bytes((n), sizeof **(pp), (pp))
// Makes room for at least n elements, doubling *capacity (elements).
#define mem_grow(pp, capacity, n) mem_grow_bytes((n), sizeof **(pp), (capacity), (pp))

MUST_USE status mem_alloc_bytes(size_t n, size_t size, void *pp);
MUST_USE status mem_zalloc_bytes(size_t n, size_t size, void *pp);
MUST_USE status mem_resize_bytes(size_t n, size_t size, void *pp);
MUST_USE status mem_grow_bytes(size_t n, size_t size, size_t *capacity, void *pp);
// bytes aligned to 64 for vector loads; free with mem_free.
MUST_USE status mem_alloc_aligned(size_t bytes, void *pp);
MUST_USE status mem_strdup(const char *s, char **out);
MUST_USE status mem_printf(char **out, const char *format, ...) PRINTF_LIKE(2, 3);
void mem_free(void *p);
// bytes of zeros. Whole pages of a large block go back to the system, which hands out new ones,
// zeroed, where they are touched; so p must come from the functions above.
void mem_zero(void *p, size_t bytes);
// The contents are needed no more: a large block's whole pages go back to the system.
void mem_discard(void *p, size_t bytes);
// Once, at the start of a program: large blocks go back to the system when they are freed.
void mem_init(void);

// n * size, or E_NOMEM with a message where it overflows.
MUST_USE status mem_size(size_t n, size_t size, size_t *bytes);

// The n-th allocation from now on fails (1 = the next); 0 turns it off. For tests, and for
// SHOAL_MEM_FAIL_AT in the program.
void mem_fail_at(int64_t n);
// Allocations since the process started.
int64_t mem_n_allocs(void);

#endif
